//! Where tenants' data rests: nothing that is declared takes it out of where it may be, and what time does so stops what is
//! new.

use crate::cell::effect::Response;
use crate::cell::input::{Configure, Input, Query};
use crate::reject::Rejection;
use crate::residency::{Adequacy, Country, Decision, Declaration, Region, Residency, Zone};
use crate::row::RunKey;
use crate::tenant::{Rules, Tenant, Tier};
use crate::time::{Span, Time};

use super::desk::{Desk, name, step, tenant, workflow};

fn country(code: &str) -> Country {
    Country::parse(code).unwrap()
}

fn desk() -> Desk {
    Desk::new(workflow("flow", vec![step("only", &[])]))
}

fn within(zone: &str) -> Rules {
    let data_residency = Some(Residency { zone: Some(name(zone)), ..Residency::default() });
    Rules { data_residency, ..Rules::default() }
}

fn large(rules: Rules) -> Configure {
    Configure::Tier(Tier {
        review_class: 4,
        reviewer_pool: None,
        name: name("large"),
        weight: 1,
        cap: 10,
        burst: None,
        urgent_share_permille: 1_000,
        runs_max: 100,
        sla: None,
        budget_class: None,
        rules,
    })
}

fn zone(text: &str, countries: &[&str]) -> Configure {
    Configure::Residency(Declaration::Zone(Zone {
        name: name(text),
        countries: countries.iter().map(|code| country(code)).collect(),
        regions: [].into(),
        adequate: false,
    }))
}

fn region(text: &str, code: &str) -> Configure {
    let region = Region { name: name(text), country: country(code), label: None };
    Configure::Residency(Declaration::Region(region))
}

/// Refused for these tenants, and so when it is only asked.
fn refused(desk: &mut Desk, configure: &Configure) -> Vec<String> {
    let query = Query::StoresAfter(Box::new(configure.clone()));
    let asked = desk.ask(|reply| Input::Query(reply, query));
    let told = desk.ask(|reply| Input::Configure(reply, None, configure.clone()));
    assert_eq!(format!("{asked:?}"), format!("{told:?}"));
    match told {
        Response::Rejected(Rejection::TenantsOutside { count, tenants, .. }) => {
            assert!(count >= tenants.len() as u64);
            tenants.iter().map(ToString::to_string).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_tier_that_would_take_its_tenants_elsewhere_is_refused_with_their_names() {
    let mut desk = desk();
    desk.declare(Configure::Tenant(tenant("c", "large")));
    desk.declare(Configure::Tenant(Tenant { rules: within("eu"), ..tenant("d", "large") }));
    assert_eq!(refused(&mut desk, &large(within("us"))), ["b", "c"], "`d` says itself where");
    desk.declare(large(within("eu")));
}

#[test]
fn a_zone_or_a_region_that_would_leave_a_store_outside_is_refused() {
    let mut desk = desk();
    desk.declare(Configure::Tenant(Tenant { rules: within("eea"), ..tenant("b", "large") }));
    assert_eq!(refused(&mut desk, &zone("eea", &["US"])), ["b"]);
    assert_eq!(refused(&mut desk, &region("eu-west-1", "US")), ["b"]);
    // What concerns no store is no concern of this.
    desk.declare(zone("eea", &["IE"]));
    desk.declare(zone("us", &["CA"]));
    desk.declare(region("us-east-1", "CA"));
}

#[test]
fn when_the_decision_ends_that_a_store_rests_on_no_run_comes_in() {
    let mut desk = desk();
    let at = desk.now();
    let decision = Decision {
        name: "on Ireland".into(),
        from: Time(1),
        until: Some(at + Span::from_secs(60)),
        certificate: None,
        scope: None,
    };
    let of = |suspended| {
        let (country, decisions) = (country("IE"), vec![decision.clone()]);
        Configure::Residency(Declaration::Adequacy(Adequacy { country, suspended, decisions }))
    };
    desk.declare(of(false));
    let adequate = Residency { adequate: [country("IE")].into(), ..Residency::default() };
    let rules = Rules { data_residency: Some(adequate), ..Rules::default() };
    let bound = Tenant { rules, ..tenant("b", "large") };
    desk.declare(Configure::Tenant(bound.clone()));
    let _ = desk.submit("b", "flow");
    // The switch acts at once, and is refused to nobody.
    desk.declare(of(true));
    let key = RunKey { tenant: name("b"), run: crate::id::RunId(900) };
    let is_outside = |response: &Response| {
        matches!(response, Response::Rejected(Rejection::StoreOutside { .. }))
    };
    let said = desk.try_submit(&key, "flow");
    assert!(is_outside(&said), "{said:?}");
    desk.declare(of(false));
    let _ = desk.submit("b", "flow");
    desk.pass(Span::from_secs(61));
    let said = desk.try_submit(&key, "flow");
    assert!(is_outside(&said), "{said:?}");
    let _ = desk.submit("a", "flow");
    // Its operator can still protect it; what says where its data is has to be right.
    desk.declare(Configure::Tenant(Tenant { suspended: true, ..bound.clone() }));
    desk.declare(Configure::Tenant(Tenant { cap: Some(5), ..bound.clone() }));
    let moved = Tenant { rules: within("us"), ..bound };
    let said = desk.ask(|reply| Input::Configure(reply, None, Configure::Tenant(moved)));
    assert!(is_outside(&said), "{said:?}");
}
