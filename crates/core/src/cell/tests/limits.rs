//! Caps, bounds and time limits, and what an operator changes while runs wait.

use super::desk::{ids, name, tenant};
use super::{Desk, step, workflow};
use crate::cell::effect::Response;
use crate::cell::input::{Configure, Input};
use crate::id::RunId;
use crate::plan::{Step, Timeouts};
use crate::pool::Valve;
use crate::reject::{Rejection, ValveCause};
use crate::row::RunKey;
use crate::scheduler::explain::COUNTS;
use crate::tenant::Tenant;
use crate::time::Span;

fn desk_of(timeout: Timeouts) -> Desk {
    Desk::new(workflow("one", vec![Step { timeout, ..step("only", &[]) }]))
}

#[test]
fn a_tenant_holds_no_more_slots_than_its_cap() {
    let mut desk = desk_of(Timeouts::default());
    let runs: Vec<RunKey> = (0..5).map(|_| desk.submit("a", "one")).collect();
    let held = desk.lease("w");
    assert_eq!(held.len(), 2);
    assert!(desk.explain(&runs[2]).contains("TenantCap { in_flight: 2, cap: 2, older_steps: 0 }"));
    desk.submit("b", "one");
    assert_eq!(desk.lease("w").len(), 1, "another tenant is not delayed");
    desk.complete("w", &ids(&held[..1]));
    assert_eq!(desk.lease("w").len(), 1);
}

#[test]
fn a_changed_cap_and_a_suspension_act_on_what_waits() {
    let mut desk = desk_of(Timeouts::default());
    for _ in 0..5 {
        desk.submit("a", "one");
    }
    let declared = tenant("a", "small");
    desk.declare(Configure::Tenant(Tenant { suspended: true, ..declared.clone() }));
    assert!(desk.lease("w").is_empty());
    let key = RunKey { tenant: name("a"), run: RunId(777) };
    let refused = desk.try_submit(&key, "one");
    assert!(matches!(refused, Response::Rejected(Rejection::Suspended { .. })), "{refused:?}");
    desk.declare(Configure::Tenant(Tenant { cap: Some(3), ..declared }));
    assert_eq!(desk.lease("w").len(), 3);
}

#[test]
fn a_full_queue_of_one_tenant_is_refused_with_a_time_to_come_back() {
    let mut desk = desk_of(Timeouts::default());
    for _ in 0..100 {
        desk.submit("a", "one");
    }
    let key = RunKey { tenant: name("a"), run: RunId(777) };
    match desk.try_submit(&key, "one") {
        Response::Rejected(Rejection::TenantQueueFull { live: 100, max: 100, retry_after }) => {
            assert!(retry_after >= Span::from_secs(1));
        }
        other => panic!("{other:?}"),
    }
    desk.submit("b", "one");
}

#[test]
fn a_wait_for_a_slot_a_step_and_a_run_end_at_their_bounds() {
    let queue = Timeouts { queue: Some(Span::from_secs(3)), ..Timeouts::default() };
    let mut desk = desk_of(queue);
    let run = desk.submit("a", "one");
    let begun = desk.now;
    let said = desk.explain(&run);
    assert!(said.contains(&format!("until: Some({:?})", begun + Span::from_secs(3))), "{said}");
    desk.pass(Span::from_secs(3));
    assert!(desk.progress().ends_with("run: Failed queue-timeout no slot was given within 3s\n"));

    let whole = Timeouts { step: Some(Span::from_secs(4)), ..Timeouts::default() };
    let mut desk = desk_of(whole);
    desk.submit("a", "one");
    desk.lease("w");
    desk.pass(Span::from_secs(4));
    assert!(desk.progress().ends_with("run: Failed step-timeout the step did not end within 4s\n"));
    assert_eq!(desk.in_flight(), 0);

    let mut bounded = workflow("bounded", vec![step("only", &[])]);
    bounded.timeout = Some(Span::from_secs(5));
    let mut desk = Desk::new(bounded);
    desk.submit("a", "bounded");
    desk.pass(Span::from_secs(5));
    assert!(desk.progress().ends_with("run: Failed run-timeout the run did not end within 5s\n"));
}

#[test]
fn absurd_numbers_are_refused_with_the_range() {
    let mut desk = desk_of(Timeouts::default());
    let mut refused = |declared: Tenant| match desk
        .ask(|reply| Input::Configure(reply, None, Configure::Tenant(declared)))
    {
        Response::Rejected(Rejection::OutOfRange { field, value, .. }) => {
            format!("{field} {value}")
        }
        other => format!("{other:?}"),
    };
    assert_eq!(refused(Tenant { cap: Some(0), ..tenant("a", "small") }), "/cap 0");
    assert_eq!(refused(Tenant { weight: Some(0), ..tenant("a", "small") }), "/weight 0");
    assert_eq!(
        refused(Tenant { weight: Some(u32::MAX), ..tenant("a", "small") }),
        "/weight 4294967295"
    );
}

#[test]
fn a_suffering_store_shrinks_dispatch_for_a_while() {
    let mut desk = desk_of(Timeouts::default());
    for _ in 0..6 {
        desk.submit("b", "one");
    }
    desk.input(Input::CommitTook(Span::from_secs(2)));
    assert_eq!(desk.lease("w").len(), 2, "half of the four slots");
    desk.pass(Span::from_secs(5));
    assert_eq!(desk.lease("w").len(), 2);
}

#[test]
fn the_valve_refuses_the_over_demanding_and_notes_it() {
    let mut desk = desk_of(Timeouts::default());
    desk.declare(Configure::Valve(Valve { runs_soft: 3, runs_hard: 6, ..Valve::default() }));
    for _ in 0..4 {
        desk.submit("b", "one");
    }
    let key = |run| RunKey { tenant: name("b"), run: RunId(run) };
    match desk.try_submit(&key(777), "one") {
        Response::Rejected(Rejection::ValveClosed {
            cause: ValveCause::RunsOverShare,
            depth: 4,
            ..
        }) => {}
        other => panic!("{other:?}"),
    }
    desk.submit("a", "one");
    assert_eq!(desk.decisions(), ["valve-closing"]);
}

#[test]
fn explaining_a_large_run_counts_the_tenants_ahead_once() {
    let steps = (0..300).map(|at| step(&format!("s{at}"), &[])).collect();
    let mut desk = Desk::new(workflow("wide", steps));
    desk.submit("b", "wide");
    assert_eq!(desk.lease("w").len(), 4, "the pool is full");
    let run = desk.submit("a", "wide");
    let before = COUNTS.get();
    let explained = desk.explain(&run);
    assert_eq!(explained.matches("PoolFull").count(), 300);
    assert!(explained.contains("older_steps: 299, tenants_ahead: 1"), "{explained}");
    assert_eq!(COUNTS.get() - before, 1);
}
