//! Plans: chains, joins, conditions, maps, waits, children, compensation.

use std::sync::Arc;

use expect_test::{Expect, expect};

use super::desk::{ids, name, payload, tasks};
use super::{Desk, step, workflow};
use crate::cell::input::{Command, Configure, Value};
use crate::plan::{Compensation, Expr, Map, Retry, Step, StepKind, Wait};
use crate::time::Span;

fn check(got: &str, want: &Expect) {
    want.assert_eq(got);
}

/// Works on everything until nothing is leased any more, one round of leases at a time.
fn work(desk: &mut Desk) -> String {
    let mut rounds = Vec::new();
    loop {
        let grants = desk.lease("w");
        if grants.is_empty() {
            return rounds.join(" | ");
        }
        rounds.push(tasks(&grants));
        desk.complete("w", &ids(&grants));
    }
}

fn kind(name: &str, after: &[u16], kind: StepKind) -> Step {
    Step { kind, ..step(name, after) }
}

#[test]
fn a_chain_runs_step_by_step() {
    let mut desk = Desk::new(workflow("loan", vec![step("verify", &[]), step("decide", &[0])]));
    desk.submit("a", "loan");
    assert_eq!(work(&mut desk), "verify | decide");
    check(
        &desk.progress(),
        &expect![[r#"
            verify: Leased
            verify: Done
            decide: Leased
            decide: Done
            run: Completed
        "#]],
    );
}

#[test]
fn a_join_waits_for_all_that_come_before_it() {
    let steps =
        vec![step("start", &[]), step("left", &[0]), step("right", &[0]), step("join", &[1, 2])];
    let mut desk = Desk::new(workflow("diamond", steps));
    let run = desk.submit("b", "diamond");
    let start = desk.lease("w");
    desk.complete("w", &ids(&start));
    let both = desk.lease("w");
    assert_eq!(tasks(&both), "left right");
    desk.complete("w", &ids(&both[..1]));
    check(
        &desk.explain(&run),
        &expect![[r#"
            start: Done
            left: Done
            right: Leased Worker { worker: "w", until: Time(1300000000) }
            join: Pending Steps(["right"])
        "#]],
    );
    desk.complete("w", &ids(&both[1..]));
    assert_eq!(work(&mut desk), "join");
}

#[test]
fn a_condition_that_does_not_hold_skips_the_step_and_not_what_follows() {
    let manual = Step { when: Some(Expr("false".into())), ..step("manual", &[0]) };
    let mut desk =
        Desk::new(workflow("loan", vec![step("check", &[]), manual, step("decide", &[1])]));
    desk.submit("a", "loan");
    assert_eq!(work(&mut desk), "check");
    desk.evaluate(Ok(Value::Condition(false)));
    assert_eq!(work(&mut desk), "decide");
    assert!(desk.progress().ends_with("run: Completed\n"));
}

#[test]
fn a_map_runs_as_many_items_at_once_as_it_may() {
    let map = Map { over: Expr("input.list".into()), parallel: 2, items_max: 10 };
    let each = Step { map: Some(map), ..step("each", &[]) };
    let mut desk = Desk::new(workflow("batch", vec![each, step("after", &[0])]));
    desk.submit("b", "batch");
    desk.evaluate(Ok(Value::Items(5)));
    assert_eq!(work(&mut desk), "each each | each each | each | after");
    desk.submit("b", "batch");
    desk.evaluate(Ok(Value::Items(0)));
    assert_eq!(work(&mut desk), "after");
    desk.progress();
    desk.submit("b", "batch");
    desk.evaluate(Ok(Value::Items(11)));
    check(
        &desk.progress(),
        &expect![[r#"
            each: Failed
            run: Failed map-too-long the list has 11 items, at most 10 are allowed
        "#]],
    );
}

#[test]
fn one_failed_item_fails_the_map_and_calls_off_the_others() {
    let map = Map { over: Expr("input.list".into()), parallel: 2, items_max: 10 };
    let each = Step { map: Some(map), ..step("each", &[]) };
    let mut desk = Desk::new(workflow("batch", vec![each]));
    let run = desk.submit("b", "batch");
    desk.evaluate(Ok(Value::Items(3)));
    let grants = desk.lease("w");
    desk.fail("w", &grants[0].lease, false);
    check(
        &desk.progress(),
        &expect![[r#"
            each: Mapping
            each[0]: Leased
            each[1]: Leased
            each[0]: Failed
            each: Failed
            run: Stopping boom it broke
        "#]],
    );
    assert_eq!(desk.in_flight(), 1, "the other item's slot is its worker's until it reports");
    assert_eq!(desk.complete("w", &ids(&grants[1..])), "Recorded");
    assert_eq!(desk.in_flight(), 0);
    assert!(desk.explain(&run).contains("UnknownRun"));
}

#[test]
fn a_signal_is_kept_until_a_step_listens_and_taken_once() {
    let wait = StepKind::Wait(Wait::Signal(name("approved")));
    let steps =
        vec![step("first", &[]), kind("approval", &[0], wait.clone()), kind("again", &[1], wait)];
    let mut desk = Desk::new(workflow("loan", steps));
    let run = desk.submit("a", "loan");
    let signal =
        || Command::Signal { name: name("approved"), payload: payload("{}"), idempotency: None };
    desk.command(&run, signal());
    assert_eq!(work(&mut desk), "first");
    check(
        &desk.explain(&run),
        &expect![[r#"
            first: Done
            approval: Done
            again: Listening Signal { name: "approved", until: None }
        "#]],
    );
    let other = Command::Signal { name: name("other"), payload: payload("{}"), idempotency: None };
    desk.command(&run, other);
    assert!(desk.explain(&run).contains("again: Listening"));
    desk.command(&run, signal());
    assert!(desk.progress().ends_with("run: Completed\n"));
}

#[test]
fn a_wait_for_time_holds_nothing_and_ends_at_its_time() {
    let steps =
        vec![kind("pause", &[], StepKind::Wait(Wait::For(Span::from_secs(5)))), step("then", &[0])];
    let mut desk = Desk::new(workflow("later", steps));
    desk.submit("a", "later");
    desk.pass(Span::from_millis(4_999));
    assert_eq!(work(&mut desk), "");
    assert_eq!(desk.in_flight(), 0);
    desk.pass(Span::from_millis(1));
    assert_eq!(work(&mut desk), "then");
}

#[test]
fn a_called_workflow_runs_for_the_same_tenant_and_its_end_is_the_steps() {
    let call = StepKind::Call { workflow: name("child"), version: None };
    let mut desk = Desk::new(workflow("child", vec![step("inner", &[])]));
    desk.declare(Configure::Workflow(Arc::new(workflow(
        "parent",
        vec![kind("call", &[], call), step("after", &[0])],
    ))));
    desk.submit("a", "parent");
    desk.evaluate(Ok(Value::Input(payload("{}"))));
    let grants = desk.lease("w");
    assert_eq!(tasks(&grants), "inner");
    assert_eq!(grants[0].lease.key.tenant.as_str(), "a");
    desk.complete("w", &ids(&grants));
    assert_eq!(work(&mut desk), "after");

    desk.progress();
    desk.submit("a", "parent");
    desk.evaluate(Ok(Value::Input(payload("{}"))));
    let grants = desk.lease("w");
    desk.fail("w", &grants[0].lease, false);
    let seen = desk.progress();
    assert!(seen.contains("run: Failed child-failed the child run "), "{seen}");
    assert!(seen.contains(" failed: boom: it broke"), "{seen}");

    desk.submit("a", "parent");
    desk.evaluate(Ok(Value::Input(payload("{}"))));
    let grants = desk.lease("w");
    desk.command(&grants[0].lease.key, Command::Cancel);
    desk.complete("w", &ids(&grants));
    let seen = desk.progress();
    assert!(seen.contains(" was cancelled\n"), "{seen}");
}

#[test]
fn calls_that_nest_for_ever_are_refused_at_a_bound() {
    let call = StepKind::Call { workflow: name("loop"), version: None };
    let mut desk = Desk::new(workflow("loop", vec![kind("again", &[], call)]));
    desk.submit("a", "loop");
    for _ in 0..8 {
        desk.evaluate(Ok(Value::Input(payload("{}"))));
    }
    let seen = desk.progress();
    assert!(seen.contains("child-refused calls nest deeper than 8"), "{seen}");
    assert_eq!(seen.matches("run: Failed").count(), 9);
}

fn undo(name_of: &str) -> Compensation {
    Compensation {
        task: name(&format!("undo_{name_of}")),
        pool: name("default"),
        with: Vec::new(),
        retry: Retry::default(),
        attempt_timeout: Span::from_secs(60),
    }
}

#[test]
fn completed_steps_are_undone_in_reverse_order_when_the_run_fails() {
    let steps = vec![
        Step { compensate: Some(undo("book")), ..step("book", &[]) },
        step("look", &[0]),
        Step { compensate: Some(undo("pay")), ..step("pay", &[1]) },
        step("ship", &[2]),
    ];
    let mut desk = Desk::new(workflow("order", steps));
    desk.submit("a", "order");
    for _ in 0..3 {
        let grants = desk.lease("w");
        desk.complete("w", &ids(&grants));
    }
    let ship = desk.lease("w");
    desk.progress();
    desk.fail("w", &ship[0].lease, false);
    assert_eq!(work(&mut desk), "undo_pay | undo_book");
    check(
        &desk.progress(),
        &expect![[r#"
            ship: Failed
            run: Compensating boom it broke
            pay undo: Leased
            pay undo: Done
            book undo: Leased
            book undo: Done
            run: Failed boom it broke
        "#]],
    );
}

#[test]
fn an_optional_steps_failure_does_not_fail_the_run() {
    let fraud = Step { optional: true, ..step("fraud", &[]) };
    let mut desk = Desk::new(workflow("loan", vec![fraud, step("decide", &[0])]));
    desk.submit("a", "loan");
    let grants = desk.lease("w");
    desk.fail("w", &grants[0].lease, false);
    assert_eq!(work(&mut desk), "decide");
    assert!(desk.progress().ends_with("run: Completed\n"));
}
