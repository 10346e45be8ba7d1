//! Policies at the gates: what is forbidden waits, by the name of who forbids it, and goes on when that is no more.

use std::sync::Arc;

use crate::cell::effect::{PolicyEffect, Response};
use crate::cell::input::{Configure, Input, OpenCall, PolicyEdit, Query};
use crate::plan::Step;
use crate::policy::{Because, Source};
use crate::quota::Budget;
use crate::reject::Rejection;
use crate::router::Demand;
use crate::tenant::Tenant;
use crate::time::Span;

use super::desk::{Desk, ids, name, step, tasks, tenant, workflow};
use super::models::{call, counted, desk_with, leases, model};

fn calls(text: &str, tool: &str, after: &[u16]) -> Step {
    Step { tool: Some(name(tool)), ..step(text, after) }
}

/// `first` calls nothing, `second` the bureau.
fn desk() -> Desk {
    Desk::new(workflow("flow", vec![step("first", &[]), calls("second", "bureau", &[])]))
}

fn policy(id: &str, text: &str) -> Configure {
    Configure::Policy(Source { name: name(id), text: text.into() })
}

fn no_bureau() -> Configure {
    policy("no-bureau", r#"forbid (principal, action, resource == Tool::"bureau");"#)
}

fn rejection(desk: &mut Desk, configure: Configure) -> Rejection {
    match desk.ask(|reply| Input::Configure(reply, None, configure)) {
        Response::Rejected(rejection) => rejection,
        other => panic!("{other:?}"),
    }
}

fn effect(desk: &mut Desk, edit: PolicyEdit) -> PolicyEffect {
    match desk.ask(|reply| Input::Query(reply, Query::PolicyEffect(Box::new(edit)))) {
        Response::PolicyEffect(effect) => *effect,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_forbidden_step_waits_at_the_gate_and_goes_on_when_the_policy_is_removed() {
    let mut desk = desk();
    let run = desk.submit("b", "flow");
    desk.declare(no_bureau());
    assert_eq!(tasks(&desk.lease("w")), "first");
    let waits = desk.explain(&run);
    assert!(waits.contains(r#"Policy { policy: "no-bureau", because: Forbidden }"#), "{waits}");
    assert_eq!(desk.in_flight(), 1, "what waits holds no slot");
    desk.declare(Configure::DropPolicy(name("no-bureau")));
    assert_eq!(tasks(&desk.lease("w")), "second");
}

#[test]
fn a_forbidden_step_goes_on_when_its_tenants_context_is_another() {
    let mut desk = desk();
    desk.declare(policy(
        "bureau-for-large",
        r#"forbid (principal, action, resource == Tool::"bureau") unless { principal.tier == "large" };"#,
    ));
    let _ = desk.submit("a", "flow");
    assert_eq!(tasks(&desk.lease("w")), "first");
    desk.declare(Configure::Tenant(tenant("a", "large")));
    assert_eq!(tasks(&desk.lease("w")), "second");
}

#[test]
fn attributes_of_the_tenant_decide() {
    let mut desk = desk();
    desk.declare(policy(
        "telemetry",
        r#"forbid (principal, action, resource == Tool::"bureau")
           when { principal.hasTag("telemetry") && principal.getTag("telemetry") == "off" };"#,
    ));
    let off = Tenant { attributes: r#"{"telemetry": "off"}"#.into(), ..tenant("a", "small") };
    desk.declare(Configure::Tenant(off));
    let (_, _) = (desk.submit("a", "flow"), desk.submit("b", "flow"));
    assert_eq!(tasks(&desk.lease("w")), "first first second");
}

#[test]
fn a_policy_that_comes_while_a_step_runs_withdraws_it() {
    let mut desk = desk();
    let run = desk.submit("b", "flow");
    let grants = desk.lease("w");
    assert_eq!(tasks(&grants), "first second");
    desk.declare(no_bureau());
    let revoked = desk.exchange("w", 0, Vec::new()).revoked;
    assert_eq!(revoked, ids(&grants)[1..]);
    let _ = desk.fail("w", &revoked[0], true);
    assert_eq!(tasks(&desk.lease("w")), "");
    assert!(desk.explain(&run).contains("no-bureau"));
    assert!(desk.decisions().contains(&"withdrawn".to_owned()));
    desk.declare(Configure::DropPolicy(name("no-bureau")));
    assert_eq!(tasks(&desk.lease("w")), "second");
}

#[test]
fn a_candidate_that_policy_forbids_is_passed_over() {
    let mut desk = desk_with(vec![call("ask", &[])], Budget::default());
    desk.declare(policy("not-eu", r#"forbid (principal, action, resource in Tool::"eu");"#));
    let _ = desk.submit("b", "flow");
    counted(&mut desk, 1_000);
    assert_eq!(tasks(&leases(&mut desk)), "small");
}

#[test]
fn a_call_waits_if_all_candidates_are_forbidden_until_there_is_another() {
    let mut desk = desk_with(vec![step("before", &[]), call("ask", &[])], Budget::default());
    let run = desk.submit("b", "flow");
    counted(&mut desk, 1_000);
    desk.declare(policy("not-eu", r#"forbid (principal, action, resource in Tool::"eu");"#));
    desk.declare(policy("not-us", r#"forbid (principal, action, resource in Tool::"us");"#));
    assert_eq!(tasks(&leases(&mut desk)), "");
    let waits = desk.explain(&run);
    assert!(waits.contains(r#"Policy { policy: "not-eu", because: Forbidden }"#), "{waits}");
    desk.declare(super::models::endpoint("asia", Vec::new()));
    desk.declare(model(&[("eu", "large"), ("asia", "small")]));
    assert_eq!(tasks(&leases(&mut desk)), "small");
}

#[test]
fn a_workflow_that_the_tenant_may_not_start_is_refused() {
    let mut desk = desk();
    desk.declare(policy(
        "loans-for-large",
        r#"forbid (principal, action == Action::"start_run", resource == Workflow::"flow")
           unless { principal.tier == "large" };"#,
    ));
    let key = crate::row::RunKey { tenant: name("a"), run: crate::id::RunId(77) };
    match desk.try_submit(&key, "flow") {
        Response::Rejected(Rejection::PolicyDenied { policy, because, action, thing, step }) => {
            assert_eq!(
                (&*policy, because, action),
                ("loans-for-large", Because::Forbidden, "start_run")
            );
            assert_eq!((&*thing, step), ("flow", None));
        }
        other => panic!("{other:?}"),
    }
    let _ = desk.submit("b", "flow");
}

#[test]
fn a_run_that_could_do_nothing_is_refused_and_one_that_could_do_something_is_not() {
    let mut desk = desk();
    desk.declare(Configure::Workflow(Arc::new(workflow(
        "bureaus",
        vec![calls("one", "bureau", &[]), calls("two", "bureau", &[0])],
    ))));
    desk.declare(no_bureau());
    let key = crate::row::RunKey { tenant: name("a"), run: crate::id::RunId(77) };
    match desk.try_submit(&key, "bureaus") {
        Response::Rejected(Rejection::PolicyDenied { action, thing, step, .. }) => {
            assert_eq!((action, &*thing, step), ("call_tool", "bureau", Some(name("one"))));
        }
        other => panic!("{other:?}"),
    }
    let _ = desk.submit("a", "flow");
}

#[test]
fn a_call_through_the_gateway_is_refused_with_the_policy() {
    let mut desk = desk_with(vec![call("ask", &[])], Budget::default());
    desk.declare(policy(
        "no-models",
        r#"forbid (principal == Tenant::"b", action == Action::"use_model", resource);"#,
    ));
    let demand = Demand { input: 10, max_output: 10, min_output: 10, answers: 1 };
    let call = OpenCall {
        by: None,
        tenant: name("b"),
        lease: None,
        model: name("reasoner"),
        demand,
        avoid: Vec::new(),
        wait_max: Span::from_secs(10),
    };
    match desk.ask(|reply| Input::OpenCall(reply, Box::new(call))) {
        Response::Rejected(Rejection::PolicyDenied { policy, action, thing, .. }) => {
            assert_eq!((&*policy, action, &*thing), ("no-models", "use_model", "reasoner"));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn policies_survive_a_restart_with_their_versions() {
    let mut desk = desk();
    desk.declare(policy("no-bureau", r#"forbid (principal, action, resource == Tool::"other");"#));
    desk.declare(no_bureau());
    let run = desk.submit("b", "flow");
    desk.restart();
    assert_eq!(tasks(&desk.lease("w")), "first");
    assert!(desk.explain(&run).contains("no-bureau"));
    let kept = desk.disk().snapshot().policies;
    let versions: Vec<u32> = kept[0].versions.iter().map(|version| version.version).collect();
    assert_eq!(versions, [1, 2]);
    assert_eq!(desk.decisions(), ["policy-declared", "policy-declared"]);
}

#[test]
fn the_same_policy_twice_changes_nothing() {
    let mut desk = desk();
    desk.declare(no_bureau());
    let again = desk.ask(|reply| Input::Configure(reply, None, no_bureau()));
    assert!(matches!(again, Response::Configured { changed: false }), "{again:?}");
}

#[test]
fn what_is_wrong_is_refused_and_leaves_what_is_in_force() {
    let mut desk = desk();
    desk.declare(no_bureau());
    let wrong = rejection(&mut desk, policy("no-bureau", "forbid (principal, action, resource);"));
    assert!(matches!(wrong, Rejection::BadPolicy { .. }), "{wrong:?}");
    let base = rejection(&mut desk, policy("base", "permit (principal, action, resource);"));
    assert!(matches!(base, Rejection::BadPolicy { .. }), "{base:?}");
    let gone = rejection(&mut desk, Configure::DropPolicy(name("base")));
    assert!(matches!(gone, Rejection::UnknownPolicy { .. }), "{gone:?}");
    let _ = desk.submit("b", "flow");
    assert_eq!(tasks(&desk.lease("w")), "first");
}

#[test]
fn stored_policies_that_are_right_no_more_shut_what_they_decided_until_they_are_mended() {
    let mut desk = desk();
    let run = desk.submit("b", "flow");
    for id in ["one", "two"] {
        let source = Source {
            name: name(id),
            text: "forbid (principal, action, resource is Robot);".into(),
        };
        desk.committed.push(crate::cell::change::Change::Policy(crate::policy::Policy::first(
            source, desk.now,
        )));
    }
    desk.restart();
    assert_eq!(tasks(&desk.lease("w")), "first");
    let waits = desk.explain(&run);
    assert!(waits.contains(r#"Policy { policy: "one", because: Failed }"#), "{waits}");
    let still =
        rejection(&mut desk, policy("one", "forbid (principal, action, resource is Robot2);"));
    assert!(matches!(still, Rejection::BadPolicy { .. }), "{still:?}");
    desk.declare(policy("one", r#"forbid (principal, action, resource == Tool::"other");"#));
    assert_eq!(tasks(&desk.lease("w")), "", "the other one is still wrong");
    desk.declare(Configure::DropPolicy(name("two")));
    assert_eq!(tasks(&desk.lease("w")), "second");
}

#[test]
fn a_dry_run_says_which_steps_would_be_forbidden_and_which_allowed() {
    let mut desk = desk();
    let (_, _) = (desk.submit("a", "flow"), desk.submit("b", "flow"));
    let grants = desk.exchange("w", 3, Vec::new()).grants;
    assert_eq!(tasks(&grants), "first first second");
    let source = Source {
        name: name("no-bureau"),
        text: r#"forbid (principal, action, resource == Tool::"bureau");"#.into(),
    };
    let foreseen = effect(&mut desk, PolicyEdit::Declare(source));
    let said = |effect: &PolicyEffect| {
        let group = |group: &crate::cell::effect::AffectedGroup| {
            format!(
                "{} {} {} {} {} {:?}",
                group.tenant,
                group.action,
                group.thing,
                group.is_forbidden,
                group.policy,
                group.steps
            )
        };
        effect.groups.iter().map(group).collect::<Vec<_>>().join("\n")
    };
    assert_eq!((foreseen.forbidden.waiting, foreseen.forbidden.leased), (1, 1));
    assert_eq!(
        said(&foreseen),
        "a call_tool bureau true no-bureau Affected { waiting: 0, leased: 1 }\n\
         b call_tool bureau true no-bureau Affected { waiting: 1, leased: 0 }"
    );
    assert!(foreseen.is_complete);
    let waiting = desk.explain(&crate::row::RunKey { tenant: name("b"), run: crate::id::RunId(0) });
    assert!(!waiting.contains("no-bureau"), "a dry run changes nothing");
    desk.declare(no_bureau());
    let foreseen = effect(&mut desk, PolicyEdit::Remove(name("no-bureau")));
    assert_eq!((foreseen.allowed.waiting, foreseen.allowed.leased), (1, 1));
}

#[test]
fn a_step_costs_no_evaluation_beyond_the_first_of_its_kind() {
    let mut desk = desk();
    desk.declare(no_bureau());
    for _ in 0..50 {
        let _ = desk.submit("b", "flow");
    }
    let before = desk.driver.cell().policy_evaluations();
    assert_eq!(before, 1, "a run can do its first step, so that more is not asked at its start");
    for _ in 0..50 {
        let grants = desk.lease("w");
        if !grants.is_empty() {
            let _ = desk.complete("w", &ids(&grants));
        }
    }
    assert_eq!(desk.driver.cell().policy_evaluations(), before + 1, "the bureau, once");
}

#[test]
fn a_dry_run_counts_only_ways_that_a_call_of_a_model_has_but_for_policies() {
    let mut desk = desk_with(vec![call("ask", &[])], Budget::default());
    for (tool, region) in [("us", "us-east-1"), ("eu", "eu-west-1")] {
        let Configure::Tool(declared) = super::models::endpoint(tool, Vec::new()) else {
            unreachable!()
        };
        let location = crate::residency::Location::within(name(region), name(region));
        desk.declare(Configure::Tool(crate::quota::Tool { location, ..declared }));
    }
    desk.declare(model(&[("us", "large"), ("eu", "small")]));
    let residency = crate::residency::Residency { zone: Some(name("eu")), ..Default::default() };
    let rules = crate::tenant::Rules { data_residency: Some(residency), ..Default::default() };
    desk.declare(Configure::Tenant(Tenant { rules, ..tenant("b", "large") }));
    desk.declare(policy(
        "not-eu",
        r#"forbid (principal, action == Action::"use_model", resource in Tool::"eu")
           when { principal.tier == "large" };"#,
    ));
    let run = desk
        .try_submit(&crate::row::RunKey { tenant: name("b"), run: crate::id::RunId(77) }, "flow");
    assert!(matches!(run, Response::Submitted { .. }), "{run:?}");
    counted(&mut desk, 1_000);
    assert_eq!(tasks(&leases(&mut desk)), "");
    let foreseen = effect(&mut desk, PolicyEdit::Remove(name("not-eu")));
    assert_eq!((foreseen.allowed.waiting, foreseen.allowed.leased), (1, 0));
    desk.declare(Configure::DropPolicy(name("not-eu")));
    assert_eq!(tasks(&leases(&mut desk)), "small");
}

#[test]
fn a_dry_run_counts_steps_that_wait_for_their_next_attempt() {
    let retry = crate::plan::Retry {
        attempts: 3,
        backoff_min: Span::from_secs(60),
        backoff_max: Span::from_secs(60),
        ..crate::plan::Retry::default()
    };
    let second = Step { retry, ..calls("second", "bureau", &[]) };
    let mut desk = Desk::new(workflow("flow", vec![second]));
    let _ = desk.submit("b", "flow");
    let grants = desk.lease("w");
    let _ = desk.fail("w", &ids(&grants)[0], true);
    assert_eq!(tasks(&desk.lease("w")), "");
    let Configure::Policy(source) = no_bureau() else { unreachable!() };
    let foreseen = effect(&mut desk, PolicyEdit::Declare(source));
    assert_eq!((foreseen.forbidden.waiting, foreseen.forbidden.leased), (1, 0));
}
