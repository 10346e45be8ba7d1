//! Room for runs that are not submitted: retries, and the children of calls.

use std::sync::Arc;

use super::desk::{ids, name, payload, pool, tenant};
use super::{Desk, step, workflow};
use crate::cell::effect::{Effect, Response};
use crate::cell::input::{Command, Configure, Value};
use crate::id::RunId;
use crate::plan::{Expr, Map, Step, StepIndex, StepKind, Timeouts};
use crate::pool::{Pool, Valve};
use crate::reject::{Rejection, ValveCause};
use crate::row::{RunKey, RunRow, RunStatus, StepRow};
use crate::tenant::Tier;
use crate::time::Span;

fn call(of: &str) -> Step {
    Step { kind: StepKind::Call { workflow: name(of), version: None }, ..step("call", &[]) }
}

/// `parent` calls `child`, and each tenant may have that many live runs at each level.
fn desk_of(runs_max: u32) -> Desk {
    let mut desk = Desk::new(workflow("child", vec![step("inner", &[])]));
    desk.declare(Configure::Workflow(Arc::new(workflow("parent", vec![call("child")]))));
    bound(&mut desk, runs_max);
    desk
}

fn bound(desk: &mut Desk, runs_max: u32) {
    for (tier, cap) in [("small", 2), ("large", 10)] {
        desk.declare(Configure::Tier(Tier {
            name: name(tier),
            weight: 1,
            cap,
            burst: None,
            urgent_share_permille: 1_000,
            runs_max,
            sla: None,
            budget_class: None,
            rules: crate::tenant::Rules::default(),
        }));
    }
}

/// Answers all that is asked for inputs of children, and says how many they were.
fn answer(desk: &mut Desk) -> usize {
    let mut count = 0;
    while desk.released.iter().any(|effect| matches!(effect, Effect::Evaluate(_))) {
        desk.evaluate(Ok(Value::Input(payload("{}"))));
        count += 1;
    }
    count
}

/// Workers do all that can be done.
fn work(desk: &mut Desk) {
    loop {
        answer(desk);
        let grants = desk.lease("w");
        if grants.is_empty() {
            return;
        }
        desk.complete("w", &ids(&grants));
    }
}

fn children(desk: &Desk) -> Vec<RunKey> {
    let live = desk.runs().into_iter();
    live.filter(|run| run.parent.is_some() && !run.status.is_ended()).map(|run| run.key).collect()
}

/// A run of `b` that has failed, as its rows are.
fn failed(desk: &mut Desk) -> (RunRow, Vec<StepRow>) {
    let run = desk.submit("b", "child");
    let grants = desk.lease("w");
    desk.fail("w", &grants[0].lease, false);
    desk.rows(&run)
}

#[test]
fn a_retry_counts_against_the_tenants_own_bound() {
    let mut desk = desk_of(2);
    let rows = failed(&mut desk);
    let first = desk.submit("b", "child");
    desk.submit("b", "child");
    match desk.retry(&rows) {
        Response::Rejected(Rejection::TenantQueueFull { live: 2, max: 2, retry_after }) => {
            assert!(retry_after >= Span::from_secs(1));
        }
        other => panic!("{other:?}"),
    }
    desk.command(&first, Command::Cancel);
    let response = desk.retry(&rows);
    assert!(matches!(response, Response::Commanded { status: RunStatus::Running }), "{response:?}");
}

#[test]
fn a_retry_passes_the_valve_like_a_submission() {
    let mut desk = desk_of(100);
    let rows = failed(&mut desk);
    desk.submit("b", "child");
    desk.submit("b", "child");
    desk.declare(Configure::Valve(Valve { runs_soft: 2, runs_hard: 4, ..Valve::default() }));
    let refused = desk.retry(&rows);
    assert!(
        matches!(
            refused,
            Response::Rejected(Rejection::ValveClosed {
                cause: ValveCause::RunsOverShare,
                depth: 2,
                threshold: 2,
                ..
            })
        ),
        "{refused:?}"
    );
    assert_eq!(desk.rows(&rows.0.key).0.status, RunStatus::Failed, "the run stays as it was");
}

/// A run of `a` that calls that many children at once.
fn fan(desk: &mut Desk, items: u32) -> RunKey {
    let map = Map { over: Expr("xs".into()), parallel: items, items_max: items };
    let fan = workflow("fan", vec![Step { map: Some(map), ..call("child") }]);
    desk.declare(Configure::Workflow(Arc::new(fan)));
    let run = desk.submit("a", "fan");
    desk.evaluate(Ok(Value::Items(items)));
    run
}

#[test]
fn a_call_waits_for_a_place_says_so_and_goes_on_when_one_is_free() {
    let mut desk = desk_of(2);
    let parent = fan(&mut desk, 3);
    assert_eq!(answer(&mut desk), 2, "no input is asked for that could not be used");
    assert_eq!(children(&desk).len(), 2);
    let seen = desk.explain(&parent);
    assert!(seen.contains("call: Ready Place(Some(TenantQueueFull { live: 2, max: 2"), "{seen}");
    let grants = desk.lease("w");
    desk.complete("w", &ids(&grants[..1]));
    assert_eq!(answer(&mut desk), 1);
    assert_eq!(children(&desk).len(), 2);
    desk.complete("w", &ids(&grants[1..]));
    work(&mut desk);
    assert_eq!(desk.rows(&parent).0.status, RunStatus::Completed);
    assert!(desk.live().is_empty());
}

#[test]
fn callers_that_fill_their_level_do_not_keep_their_children_out() {
    let mut desk = Desk::new(workflow("leaf", vec![step("inner", &[])]));
    desk.declare(Configure::Workflow(Arc::new(workflow("middle", vec![call("leaf")]))));
    desk.declare(Configure::Workflow(Arc::new(workflow("top", vec![call("middle")]))));
    bound(&mut desk, 1);
    desk.declare(Configure::Valve(Valve { runs_soft: 1, runs_hard: 1, ..Valve::default() }));
    let run = desk.submit("a", "top");
    answer(&mut desk);
    assert_eq!(desk.live().len(), 3, "one at each level, whatever the bounds");
    let key = RunKey { tenant: name("b"), run: RunId(777) };
    let refused = desk.try_submit(&key, "leaf");
    assert!(
        matches!(
            refused,
            Response::Rejected(Rejection::ValveClosed { cause: ValveCause::RunsHard, .. })
        ),
        "{refused:?}"
    );
    work(&mut desk);
    assert_eq!(desk.rows(&run).0.status, RunStatus::Completed);
}

#[test]
fn children_of_one_tenant_leave_the_last_third_of_the_valve_to_others() {
    let mut desk = desk_of(1_000);
    desk.declare(Configure::Valve(Valve { runs_soft: 9, runs_hard: 12, ..Valve::default() }));
    let parent = fan(&mut desk, 20);
    answer(&mut desk);
    assert_eq!(desk.live().len(), 11);
    let seen = desk.explain(&parent);
    assert!(seen.contains("RunsOverShare, depth: 11, threshold: 9"), "{seen}");
    desk.submit("b", "child");
    assert_eq!(desk.live().len(), 12);
    work(&mut desk);
    assert!(desk.live().is_empty());
    assert_eq!(desk.runs().len(), 22, "none was dropped");
}

#[test]
fn the_calls_of_older_runs_come_first() {
    let mut desk = desk_of(100);
    let steps = vec![step("first", &[]), Step { after: vec![StepIndex(0)], ..call("child") }];
    desk.declare(Configure::Workflow(Arc::new(workflow("late", steps))));
    let older = desk.submit("a", "late");
    desk.submit("a", "parent");
    desk.declare(Configure::Valve(Valve { runs_soft: 4, runs_hard: 4, ..Valve::default() }));
    answer(&mut desk);
    let younger = desk.submit("a", "parent");
    desk.declare(Configure::Valve(Valve { runs_soft: 3, runs_hard: 3, ..Valve::default() }));
    let grants = desk.lease("w");
    let (first, inner): (Vec<_>, Vec<_>) =
        grants.into_iter().partition(|grant| super::desk::task(grant) == "first");
    desk.complete("w", &ids(&first));
    assert!(desk.explain(&older).contains("call: Ready Place"));
    desk.complete("w", &ids(&inner));
    assert_eq!(answer(&mut desk), 1);
    assert!(desk.explain(&older).contains("call: Calling"), "though it came into line later");
    assert!(desk.explain(&younger).contains("call: Ready Place"));
}

#[test]
fn a_call_that_waits_in_line_can_be_given_up() {
    let mut desk = desk_of(100);
    let runs: Vec<RunKey> = crowd(&mut desk);
    let waiting = &runs[1];
    assert!(desk.explain(waiting).contains("Ready Place"));
    desk.command(waiting, Command::Cancel);
    assert_eq!(desk.rows(waiting).0.status, RunStatus::Cancelled);
    work(&mut desk);
    assert!(desk.live().is_empty());
    assert_eq!(desk.rows(&runs[0]).0.status, RunStatus::Completed);
}

/// Two callers of `a`, where the valve has room for one child.
fn crowd(desk: &mut Desk) -> Vec<RunKey> {
    desk.declare(Configure::Valve(Valve { runs_soft: 3, runs_hard: 3, ..Valve::default() }));
    let runs = (0..2).map(|_| desk.submit("a", "parent")).collect();
    assert_eq!(answer(desk), 1);
    runs
}

#[test]
fn a_line_outlives_a_restart() {
    let mut desk = desk_of(100);
    let runs = crowd(&mut desk);
    desk.restart_at(desk.now);
    assert!(desk.explain(&runs[1]).contains("Ready Place"));
    work(&mut desk);
    assert!(desk.live().is_empty());
}

#[test]
fn a_higher_bound_lets_waiting_children_in_at_once() {
    let mut desk = desk_of(100);
    crowd(&mut desk);
    desk.declare(Configure::Valve(Valve::default()));
    assert_eq!(answer(&mut desk), 1);
    assert_eq!(desk.live().len(), 4);
}

#[test]
fn a_call_whose_input_cannot_be_found_leaves_its_place_to_the_next() {
    let mut desk = desk_of(100);
    desk.declare(Configure::Valve(Valve { runs_soft: 3, runs_hard: 3, ..Valve::default() }));
    let runs = [desk.submit("a", "parent"), desk.submit("a", "parent")];
    assert!(desk.explain(&runs[1]).contains("Ready Place"));
    let failure =
        crate::row::Failure { class: "evaluation".into(), message: "no".into(), step: None };
    desk.evaluate(Err(failure));
    assert_eq!(answer(&mut desk), 1);
    work(&mut desk);
    assert_eq!(desk.rows(&runs[1]).0.status, RunStatus::Completed);
}

#[test]
fn a_bound_on_the_step_ends_its_wait_in_line() {
    let timeout = Timeouts { step: Some(Span::from_secs(4)), ..Timeouts::default() };
    let mut desk = desk_of(100);
    let hurried = Step { timeout, ..call("child") };
    desk.declare(Configure::Workflow(Arc::new(workflow("hurried", vec![hurried]))));
    desk.declare(Configure::Valve(Valve { runs_soft: 3, runs_hard: 3, ..Valve::default() }));
    desk.submit("a", "parent");
    answer(&mut desk);
    let run = desk.submit("a", "hurried");
    assert!(desk.explain(&run).contains("call: Ready Place"));
    desk.pass(Span::from_secs(4));
    assert_eq!(desk.rows(&run).0.status, RunStatus::Failed);
    work(&mut desk);
    assert!(desk.live().is_empty());
}

#[test]
fn an_input_that_the_valve_has_no_room_for_waits_with_its_call() {
    let mut desk = desk_of(100);
    desk.declare(Configure::Valve(Valve { bytes_soft: 100, bytes_hard: 200, ..Valve::default() }));
    let runs = [desk.submit("a", "parent"), desk.submit("a", "parent")];
    let large = payload(&format!("{:?}", "x".repeat(148)));
    desk.evaluate(Ok(Value::Input(large.clone())));
    desk.evaluate(Ok(Value::Input(large.clone())));
    assert_eq!(children(&desk).len(), 1);
    assert!(desk.explain(&runs[1]).contains("BytesHard"), "{}", desk.explain(&runs[1]));
    let grants = desk.lease("w");
    desk.complete("w", &ids(&grants));
    desk.evaluate(Ok(Value::Input(large)));
    assert_eq!(children(&desk).len(), 1);
    work(&mut desk);
    assert!(desk.live().is_empty());
}

#[test]
fn a_line_goes_on_when_a_run_of_its_tenant_ends_however_many_lines_there_are() {
    let mut desk = desk_of(1);
    let map = Map { over: Expr("xs".into()), parallel: 2, items_max: 2 };
    let fan = workflow("fan", vec![Step { map: Some(map), ..call("child") }]);
    desk.declare(Configure::Workflow(Arc::new(fan)));
    for number in 10..50 {
        let id = format!("t{number}");
        desk.declare(Configure::Tenant(tenant(&id, "large")));
        desk.submit(&id, "fan");
        desk.evaluate(Ok(Value::Items(2)));
        assert_eq!(answer(&mut desk), 1);
    }
    desk.declare(Configure::Pool(Pool { slots: 40, ..pool("default") }));
    for worker in ["w1", "w2", "w3", "w4"] {
        for lease in ids(&desk.exchange(worker, 10, Vec::new()).grants) {
            desk.complete(worker, std::slice::from_ref(&lease));
            assert_eq!(answer(&mut desk), 1, "the next child of {}", lease.key.tenant);
        }
    }
}
