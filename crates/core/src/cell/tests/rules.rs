//! Where steps may go and what they may use: an EU tenant among endpoints everywhere, and rules that change under way.

use std::collections::BTreeSet;

use crate::cell::effect::{Grant, Response, Work};
use crate::cell::input::{Configure, Input};
use crate::plan::Step;
use crate::quota::{Breaker, Budget, Tool};
use crate::reject::Rejection;
use crate::residency::{Adequacy, Because, Country, Decision, Declaration, Location, Residency};
use crate::router;
use crate::row::{Route, RunKey, RunStatus};
use crate::tenant::{AfterOutage, Outage, Rules, Tenant};
use crate::time::{Span, Time};

use super::desk::{Desk, ids, name, step, tenant};
use super::models::{call, counted, desk_with, endpoint, leases, model, report_done, used};

fn country(code: &str) -> Country {
    Country::parse(code).unwrap()
}

fn within(zone: &str) -> Residency {
    Residency { zone: Some(name(zone)), ..Residency::default() }
}

fn eu() -> Rules {
    Rules { data_residency: Some(within("eu")), ..Rules::default() }
}

/// Tenant `b` under these rules.
fn ruled(rules: Rules) -> Configure {
    Configure::Tenant(Tenant { rules, ..tenant("b", "large") })
}

/// An endpoint that works and keeps what it is sent in a region.
fn located(tool: &str, region: &str) -> Configure {
    let Configure::Tool(tool) = endpoint(tool, Vec::new()) else { unreachable!() };
    let location = Location::within(name(region), name(region));
    let breaker = Some(Breaker { failures: 1, open_for: Span::from_secs(30) });
    Configure::Tool(Tool { breaker, location, ..tool })
}

fn certified(tool: &str, region: &str, certificate: &str) -> Configure {
    let Configure::Tool(tool) = located(tool, region) else { unreachable!() };
    let certificates = [name(certificate)].into();
    let location = Location { certificates, ..tool.location };
    Configure::Tool(Tool { location, ..tool })
}

/// The model is fast in us-east-1 and slower in eu-west-1, which comes second.
fn desk(rules: Rules) -> Desk {
    let mut desk = desk_with(vec![call("ask", &[])], Budget::default());
    desk.declare(located("us", "us-east-1"));
    desk.declare(located("eu", "eu-west-1"));
    desk.declare(model(&[("us", "large"), ("eu", "small")]));
    desk.declare(ruled(rules));
    desk
}

fn route(grant: &Grant) -> &Route {
    match &grant.work {
        Work::Model(route) => route,
        other => panic!("{other:?}"),
    }
}

/// The endpoint that was chosen, and why the others were not.
fn told(grant: &Grant) -> (String, Vec<String>) {
    let route = route(grant);
    let passed = route.considered.passed.iter().map(|passed| {
        let because = match &passed.because {
            router::Because::Outside(outside) => format!("{:?}", outside.because),
            other => format!("{other:?}"),
        };
        format!("{}: {because}", passed.endpoint)
    });
    (route.endpoint.to_string(), passed.collect())
}

fn ask(desk: &mut Desk) -> RunKey {
    let run = desk.submit("b", "flow");
    counted(desk, 1_000);
    run
}

fn down(desk: &mut Desk, grant: &Grant) {
    let failure =
        crate::row::Failure { class: "down".into(), message: "no answer".into(), step: None };
    let outcome = crate::cell::input::Outcome::Called(Box::new(crate::cell::input::Called {
        result: Err((failure, true)),
        judged: crate::cell::input::Judged::default(),
        metered: used(10, 0),
        answer: crate::limiter::Answer::Broken,
    }));
    let report = crate::cell::input::Report { lease: grant.lease.clone(), outcome };
    desk.exchange_in("server", "s", 0, vec![report]);
}

#[test]
fn an_eu_tenant_is_served_in_the_eu_though_another_endpoint_comes_first() {
    let mut desk = desk(eu());
    ask(&mut desk);
    let grants = leases(&mut desk);
    assert_eq!(told(&grants[0]), ("eu".to_owned(), vec!["us: NotInZone".to_owned()]));
    report_done(&mut desk, &grants[0].lease);
    let disk = desk.disk();
    let [row] = disk.calls() else { panic!("one call") };
    assert_eq!(row.considered.passed.len(), 1, "what was not chosen is kept with the call");
    assert_eq!(row.considered.region, Some(name("eu-west-1")));
}

#[test]
fn one_that_is_bound_to_nothing_takes_the_first() {
    let mut desk = desk(Rules::default());
    ask(&mut desk);
    assert_eq!(told(&leases(&mut desk)[0]), ("us".to_owned(), vec!["eu: NotNeeded".to_owned()]));
}

#[test]
fn when_the_only_endpoint_in_the_zone_is_down_nothing_goes_outside() {
    let mut desk = desk(eu());
    let run = ask(&mut desk);
    let grants = leases(&mut desk);
    down(&mut desk, &grants[0]);
    // Its circuit is open now, and the next attempt finds no other way.
    desk.pass(Span::from_secs(5));
    assert_eq!(leases(&mut desk).len(), 0);
    assert!(desk.explain(&run).contains("circuit-open"), "{}", desk.explain(&run));
    desk.pass(Span::from_secs(60));
    assert_eq!(told(&leases(&mut desk)[0]).0, "eu", "one call tries it");
}

#[test]
fn an_endpoint_without_a_region_counts_as_outside() {
    let mut desk = desk(eu());
    let Configure::Tool(tool) = located("eu", "eu-west-1") else { unreachable!() };
    desk.declare(Configure::Tool(Tool { location: Location::default(), ..tool }));
    let key = RunKey { tenant: name("b"), run: crate::id::RunId(77) };
    let refused = desk.try_submit(&key, "flow");
    let Response::Rejected(Rejection::ModelUnavailable { because, passed, .. }) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(because, router::NoWay::Outside);
    assert!(format!("{passed:?}").contains("Unknown"), "{passed:?}");
}

/// An outage of the endpoint in the zone under these rules: what becomes of the run after eleven minutes.
fn outage(outage: Outage, has_alternative: bool) -> (Desk, RunKey) {
    let mut desk = desk(Rules { outage: Some(outage), ..eu() });
    if has_alternative {
        desk.declare(located("eu-2", "eu-central-1"));
        desk.declare(model(&[("us", "large"), ("eu", "small"), ("eu-2", "small")]));
    }
    let run = ask(&mut desk);
    let grants = leases(&mut desk);
    assert_eq!(told(&grants[0]).0, "eu");
    down(&mut desk, &grants[0]);
    desk.pass(Span::from_secs(5));
    (desk, run)
}

#[test]
fn in_an_outage_another_endpoint_in_the_zone_stands_in_if_the_tenant_takes_one() {
    let (mut desk, _) = outage(Outage::default(), true);
    let (chosen, passed) = told(&leases(&mut desk)[0]);
    assert_eq!(chosen, "eu-2");
    assert_eq!(passed[0], "us: NotInZone");

    let none = Outage { alternative: false, ..Outage::default() };
    let (mut desk, run) = outage(none, true);
    assert_eq!(leases(&mut desk).len(), 0, "it waits for the one that it has");
    assert!(desk.explain(&run).contains("circuit-open"));
}

#[test]
fn in_an_outage_a_step_fails_once_it_has_waited_as_long_as_its_tenant_says() {
    let wait = Some(Span::from_secs(600));
    let then = AfterOutage::Fail;
    let (mut desk, run) = outage(Outage { alternative: true, wait, then }, false);
    let mut tries = 0;
    for _ in 0..200 {
        desk.pass(Span::from_secs(5));
        // A trial now and then, which fails too.
        for grant in leases(&mut desk) {
            assert_eq!(told(&grant).0, "eu");
            down(&mut desk, &grant);
            tries += 1;
        }
        if desk.rows(&run).0.status.is_ended() {
            break;
        }
    }
    let (row, _) = desk.rows(&run);
    assert_eq!(row.status, RunStatus::Failed);
    assert!(tries < 10, "{tries}");
}

#[test]
fn certified_endpoints_of_an_adequate_country_are_in_until_the_decision_ends() {
    let adequate = [country("US")].into();
    let rules =
        Rules { data_residency: Some(Residency { adequate, ..within("eu") }), ..Rules::default() };
    let mut desk = desk(rules);
    desk.declare(certified("us", "us-east-1", "dpf"));
    ask(&mut desk);
    let before = leases(&mut desk);
    assert_eq!(told(&before[0]), ("eu".into(), vec!["us: NotAdequate".into()]));
    report_done(&mut desk, &before[0].lease);

    let until = Time(desk.now().0 + Span::from_secs(5).0);
    let decision = Decision {
        name: "DPF".into(),
        from: Time(1),
        until: Some(until),
        certificate: Some(name("dpf")),
        scope: None,
    };
    let adequacy = Adequacy { country: country("US"), suspended: false, decisions: vec![decision] };
    desk.declare(Configure::Residency(Declaration::Adequacy(adequacy)));
    let run = ask(&mut desk);
    let during = leases(&mut desk);
    assert_eq!(told(&during[0]).0, "us");
    assert_eq!(route(&during[0]).considered.adequate, Some(country("US")));

    // The decision ends while the call is under way: it is withdrawn, and goes where it may.
    desk.pass(Span::from_secs(5));
    let told_to_stop = desk.exchange_in("server", "s", 0, Vec::new()).revoked;
    assert_eq!(told_to_stop, ids(&during));
    assert_eq!(desk.decided("withdrawn").len(), 1);
    let stopped = crate::cell::input::Outcome::failed(
        crate::row::Failure { class: "revoked".into(), message: String::new().into(), step: None },
        true,
        None,
    );
    let report = crate::cell::input::Report { lease: during[0].lease.clone(), outcome: stopped };
    desk.exchange_in("server", "s", 0, vec![report]);
    let after = leases(&mut desk);
    assert_eq!(told(&after[0]), ("eu".into(), vec![format!("us: Lapsed {{ at: {until:?} }}")]));
    assert_eq!(after[0].attempt, 1, "what was withdrawn counts as no attempt");
    report_done(&mut desk, &after[0].lease);
    assert_eq!(desk.rows(&run).0.status, RunStatus::Completed);
}

/// Tenant `b` has a step at a worker that uses the tool `bureau`.
fn with_tool(location: Location, rules: Rules) -> Desk {
    let step = Step { tool: Some(name("bureau")), ..step("pull", &[]) };
    let mut desk = Desk::new(super::desk::workflow("flow", vec![step]));
    desk.declare(Configure::Tool(Tool { location, ..Tool::new(name("bureau"), Vec::new()) }));
    desk.declare(ruled(rules));
    desk
}

fn denied() -> Rules {
    Rules { denied_tools: [name("bureau")].into(), ..Rules::default() }
}

#[test]
fn a_tool_that_is_denied_is_taken_from_those_who_have_it_and_given_to_nobody() {
    let mut desk = with_tool(Location::default(), Rules::default());
    let run = desk.submit("b", "flow");
    let grants = desk.lease("w");
    let waiting = desk.submit("b", "flow");
    desk.declare(ruled(denied()));
    let heartbeat = crate::cell::input::Report {
        lease: grants[0].lease.clone(),
        outcome: crate::cell::input::Outcome::Heartbeat,
    };
    let answer = desk.exchange("w", 0, vec![heartbeat]);
    assert_eq!(format!("{:?}", answer.receipts[0].1), "Revoked", "told at the next heartbeat");
    assert_eq!(answer.revoked, ids(&grants));
    desk.fail("w", &grants[0].lease, true);
    assert_eq!(desk.lease("w").len(), 0);
    for key in [&run, &waiting] {
        assert!(desk.explain(key).contains("Denied"), "{}", desk.explain(key));
    }
    let key = RunKey { tenant: name("b"), run: crate::id::RunId(77) };
    let refused = desk.try_submit(&key, "flow");
    assert!(matches!(refused, Response::Rejected(Rejection::ToolDenied { .. })), "{refused:?}");
    desk.restart();
    assert_eq!(desk.lease("w").len(), 0, "the next owner knows it too");
    desk.declare(ruled(Rules::default()));
    assert_eq!(desk.lease("w").len(), 2, "they were admitted when it was allowed");
}

#[test]
fn a_lease_of_a_denied_tool_that_is_silent_comes_back_to_the_gate() {
    let mut desk = with_tool(Location::default(), Rules::default());
    let run = desk.submit("b", "flow");
    let _ = desk.lease("w");
    desk.declare(ruled(denied()));
    desk.pass(Span::from_secs(120));
    assert_eq!(desk.in_flight(), 0);
    assert!(desk.explain(&run).contains("Denied"), "{}", desk.explain(&run));
    desk.command(&run, crate::cell::input::Command::Cancel);
    assert_eq!(desk.rows(&run).0.status, RunStatus::Cancelled);
}

#[test]
fn a_withdrawn_step_of_a_cancelled_run_ends_with_it() {
    let mut desk = with_tool(Location::default(), Rules::default());
    let run = desk.submit("b", "flow");
    let grants = desk.lease("w");
    desk.declare(ruled(denied()));
    desk.command(&run, crate::cell::input::Command::Cancel);
    desk.fail("w", &grants[0].lease, true);
    assert_eq!(desk.rows(&run).0.status, RunStatus::Cancelled);
    assert_eq!(desk.in_flight(), 0);
}

#[test]
fn an_allow_list_lets_nothing_else_through_and_denied_wins() {
    let only = |tools: &[&str]| Rules {
        allowed_tools: Some(tools.iter().map(|tool| name(tool)).collect::<BTreeSet<_>>()),
        ..Rules::default()
    };
    for (rules, is_let_in) in [
        (only(&["bureau"]), true),
        (only(&["other"]), false),
        (Rules { denied_tools: denied().denied_tools, ..only(&["bureau"]) }, false),
    ] {
        let mut desk = with_tool(Location::default(), rules);
        let key = RunKey { tenant: name("b"), run: crate::id::RunId(77) };
        let is_refused = matches!(desk.try_submit(&key, "flow"), Response::Rejected(_));
        assert_eq!(is_refused, !is_let_in);
    }
}

#[test]
fn a_tool_is_where_it_says_or_outside() {
    let refused = |location| {
        let mut desk = with_tool(location, eu());
        let key = RunKey { tenant: name("b"), run: crate::id::RunId(77) };
        match desk.try_submit(&key, "flow") {
            Response::Rejected(Rejection::ToolOutside { outside, .. }) => {
                Some(outside.because.clone())
            }
            _ => None,
        }
    };
    assert_eq!(refused(Location::within(name("eu-west-1"), name("eu-west-1"))), None);
    assert_eq!(
        refused(Location::within(name("us-east-1"), name("us-east-1"))),
        Some(Because::NotInZone)
    );
    assert_eq!(refused(Location::default()), Some(Because::Unknown));
}

#[test]
fn what_relaxes_acts_on_runs_that_come_later() {
    let mut desk = desk(eu());
    let early = ask(&mut desk);
    desk.declare(ruled(Rules::default()));
    let late = ask(&mut desk);
    let grants = leases(&mut desk);
    let of = |key: &RunKey| {
        let grant = grants.iter().find(|grant| grant.lease.key == *key).unwrap();
        told(grant).0
    };
    assert_eq!(of(&early), "eu", "it was admitted under rules that keep it there");
    assert_eq!(of(&late), "us");
}

#[test]
fn a_tenant_whose_data_may_not_be_in_the_cells_region_is_refused() {
    let mut desk = Desk::new(super::desk::workflow("flow", vec![step("only", &[])]));
    let try_zone = |desk: &mut Desk, zone: &str| {
        let rules = Rules { data_residency: Some(within(zone)), ..Rules::default() };
        desk.ask(|reply| Input::Configure(reply, None, ruled(rules)))
    };
    assert!(matches!(try_zone(&mut desk, "eu"), Response::Configured { .. }));
    let refused = try_zone(&mut desk, "us");
    assert!(matches!(refused, Response::Rejected(Rejection::StoreOutside { .. })), "{refused:?}");
    let refused = try_zone(&mut desk, "moon");
    assert!(matches!(refused, Response::Rejected(Rejection::UnknownZone { .. })), "{refused:?}");
}

#[test]
fn decisions_that_overlap_have_ended_or_never_hold_are_refused() {
    let mut desk = desk(eu());
    let now = desk.now().0;
    let mut declared = |bounds: &[(u64, Option<u64>)]| {
        let decision = |(from, until): &(u64, Option<u64>)| Decision {
            name: "d".into(),
            from: Time(*from),
            until: until.map(Time),
            certificate: None,
            scope: None,
        };
        let decisions = bounds.iter().map(decision).collect();
        let adequacy = Adequacy { country: country("JP"), suspended: false, decisions };
        let declaration = Configure::Residency(Declaration::Adequacy(adequacy));
        match desk.ask(|reply| Input::Configure(reply, None, declaration)) {
            Response::Rejected(rejection) => format!("{rejection:?}"),
            other => format!("{other:?}"),
        }
    };
    let overlap = "DecisionsOverlap { at: 1 }";
    assert_eq!(declared(&[(1, None), (now + 5, None)]), overlap);
    assert_eq!(declared(&[(1, Some(now + 9)), (now + 5, None)]), overlap);
    assert_eq!(declared(&[(5, Some(5))]), "DecisionNeverHolds { at: 0 }");
    assert!(declared(&[(1, Some(now))]).starts_with("DecisionPast"));
    assert!(declared(&[]).starts_with("OutOfRange"));
    let good = [(1, Some(now + 9)), (now + 9, None)];
    assert_eq!(declared(&good), "Configured { changed: true }");
    assert_eq!(declared(&good), "Configured { changed: false }");
}

#[test]
fn a_denied_tool_at_a_model_is_a_candidate_less() {
    let mut desk = desk(Rules { denied_tools: [name("us")].into(), ..Rules::default() });
    ask(&mut desk);
    assert_eq!(told(&leases(&mut desk)[0]), ("eu".into(), vec!["us: Denied".into()]));
}

#[test]
fn a_step_whose_tool_its_run_was_admitted_without_fails_at_once() {
    let optional = Step { tool: Some(name("bureau")), optional: true, ..step("pull", &[]) };
    let mut desk = Desk::new(super::desk::workflow("flow", vec![optional, step("end", &[0])]));
    // Elsewhere too: what is for good is said first.
    desk.declare(Configure::Tool(Tool::new(name("bureau"), Vec::new())));
    desk.declare(ruled(Rules { data_residency: Some(within("eu")), ..denied() }));
    let run = desk.submit("b", "flow");
    assert_eq!(super::desk::tasks(&desk.lease("w")), "end");
    let (_, steps) = desk.rows(&run);
    assert!(format!("{:?}", steps[0].state).contains("tool-denied"), "{:?}", steps[0]);
}

#[test]
fn in_an_outage_a_person_does_the_step_if_the_tenant_wants_that() {
    for (outcome, status) in [("resolved", RunStatus::Completed), ("failed", RunStatus::Failed)] {
        let wait = Some(Span::from_secs(20));
        let mut desk = desk(eu());
        let mut people = super::reviews::pool("people", &["ada"]);
        // Who is nowhere is outside.
        people.members[0].region = Some(name("eu-west-1"));
        desk.declare(Configure::ReviewerPool(people));
        let Configure::Tenant(mut tenant) = ruled(eu()) else { unreachable!() };
        tenant.rules.outage =
            Some(Outage { wait, then: AfterOutage::Escalate, ..Outage::default() });
        tenant.reviewer_pool = Some(name("people"));
        desk.declare(Configure::Tenant(tenant));
        let run = ask(&mut desk);
        let grants = leases(&mut desk);
        down(&mut desk, &grants[0]);
        desk.pass(Span::from_secs(25));
        assert!(desk.explain(&run).contains("Reviewing"), "{}", desk.explain(&run));
        desk.restart();
        let (view, fence) = desk.next_review("ada").unwrap();
        assert!(matches!(view.cause, crate::row::ReviewCause::Outage { .. }));
        let decide = super::reviews::decide(view.id, "ada", fence, outcome);
        let given = crate::cell::input::Decide { digest: view.digest, ..decide };
        assert_eq!(desk.decide(given), Ok(0));
        assert_eq!(desk.rows(&run).0.status, status, "{outcome}");
    }
}
