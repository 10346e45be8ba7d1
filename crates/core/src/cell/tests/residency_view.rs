//! What rests on the adequacy of a country, and what is outside, as people are told.

use crate::cell::effect::Response;
use crate::cell::input::{Configure, Input, Query};
use crate::cell::residency_view::ResidencyView;
use crate::cell::tests::desk::{Desk, name, tenant};
use crate::cell::tests::models::{call, counted, desk_with, endpoint, leases, model};
use crate::quota::{Budget, Tool};
use crate::residency::{Adequacy, Because, Country, Decision, Declaration, Location, Residency};
use crate::router;
use crate::tenant::{Rules, Tenant};
use crate::time::Span;

fn us() -> Country {
    Country::parse("US").unwrap()
}

fn adequacy(desk: &Desk, secs: u64, suspended: bool) -> Configure {
    let decision = Decision {
        name: "(EU) 2023/1795".into(),
        from: desk.now,
        until: Some(desk.now + Span::from_secs(secs)),
        certificate: None,
        scope: None,
    };
    let adequacy = Adequacy { country: us(), suspended, decisions: vec![decision] };
    Configure::Residency(Declaration::Adequacy(adequacy))
}

/// A tenant of the zone `eea+adequate`, and a model that only a region in the US serves.
fn desk() -> Desk {
    let mut desk = desk_with(vec![call("ask", &[])], Budget::default());
    let Configure::Tool(tool) = endpoint("us", Vec::new()) else { unreachable!() };
    let location = Location::within(name("us-east-1"), name("us-east-1"));
    desk.declare(Configure::Tool(Tool { location, ..tool }));
    desk.declare(model(&[("us", "small")]));
    let adequate = adequacy(&desk, 5, false);
    desk.declare(adequate);
    let residency = Residency { zone: Some(name("eea+adequate")), ..Residency::default() };
    let rules = Rules { data_residency: Some(residency), ..Rules::default() };
    desk.declare(Configure::Tenant(Tenant { rules, ..tenant("b", "large") }));
    desk
}

fn view(desk: &mut Desk) -> ResidencyView {
    match desk.ask(|reply| Input::Query(reply, Query::Residency)) {
        Response::Residency(view) => *view,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_call_rests_on_adequacy_until_that_is_suspended_and_is_outside_then() {
    let mut desk = desk();
    let run = desk.submit("b", "flow");
    counted(&mut desk, 100);
    assert!(view(&mut desk).adequate.is_empty(), "nothing is leased yet");
    assert_eq!(leases(&mut desk).len(), 1);
    let seen = view(&mut desk);
    let [(used, country)] = &seen.adequate[..] else { panic!("{seen:?}") };
    assert_eq!((&used.tenant, used.tool.as_str(), *country), (&run.tenant, "us", us()));
    assert_eq!(used.run, Some((run.run, name("ask"))));
    assert!(seen.outside.is_empty() && !seen.is_cut);

    let suspended = adequacy(&desk, 5, true);
    desk.declare(suspended);
    let seen = view(&mut desk);
    assert!(seen.adequate.is_empty());
    let [(used, router::Because::Outside(outside))] = &seen.outside[..] else { panic!("{seen:?}") };
    assert_eq!((used.tool.as_str(), &outside.because), ("us", &Because::Suspended));
}

#[test]
fn a_call_is_outside_when_the_decision_that_it_rests_on_has_ended() {
    let mut desk = desk();
    desk.submit("b", "flow");
    counted(&mut desk, 100);
    assert_eq!(leases(&mut desk).len(), 1);
    // Sooner than the lease of the call.
    desk.now = desk.now + Span::from_secs(5);
    let at = desk.now;
    let seen = view(&mut desk);
    let [(_, router::Because::Outside(outside))] = &seen.outside[..] else { panic!("{seen:?}") };
    assert_eq!((seen.at, &outside.because), (at, &Because::Lapsed { at }));
}

#[test]
fn candidates_can_be_meant_for_the_model_tier_of_a_tenant() {
    let mut desk = desk_with(vec![call("ask", &[])], Budget::default());
    let Configure::Model(mut model) = model(&[("eu", "large")]) else { unreachable!() };
    model.candidates[0].tiers = vec![name("compliance")];
    let refused = desk.ask(|reply| Input::Configure(reply, None, Configure::Model(model.clone())));
    assert!(matches!(refused, Response::Rejected(_)), "{refused:?}");
    let rules = Rules { model_tier: Some(name("compliance")), ..Rules::default() };
    desk.declare(Configure::Tenant(Tenant { rules, ..tenant("b", "large") }));
    desk.declare(Configure::Model(model));
    desk.submit("b", "flow");
    counted(&mut desk, 100);
    assert_eq!(leases(&mut desk).len(), 1);
}
