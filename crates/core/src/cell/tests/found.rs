//! What the simulator found wrong in the cell, each as the shortest scenario that showed it.

use super::desk::{ids, name, payload};
use super::{Desk, step, workflow};
use crate::cell::effect::Response;
use crate::cell::input::{Command, Value};
use crate::plan::{Expr, Map, Step, StepKind, Timeouts, Wait};
use crate::reject::Rejection;
use crate::row::{RunKey, RunStatus};
use crate::time::Span;

fn hurried(text: &str) -> Step {
    let timeout = Timeouts { step: Some(Span::from_secs(2)), ..Timeouts::default() };
    Step { timeout, optional: true, ..step(text, &[]) }
}

#[test]
fn a_step_whose_bound_ends_in_the_queue_leaves_it() {
    let mut desk = Desk::new(workflow("late", vec![hurried("late"), step("next", &[0])]));
    desk.submit("a", "late");
    desk.pass(Span::from_secs(2));
    let grants = desk.lease("w");
    assert_eq!(super::desk::tasks(&grants), "next", "the step that has failed is not dispatched");
}

#[test]
fn no_attempt_is_given_longer_than_its_steps_bound() {
    let mut desk = Desk::new(workflow("late", vec![hurried("late"), step("next", &[0])]));
    desk.submit("a", "late");
    desk.pass(Span::from_secs(1));
    let grants = desk.lease("w");
    assert_eq!(
        grants[0].deadline,
        desk.now + Span::from_secs(1),
        "then the slot is another's, and the worker must know it"
    );
    desk.pass(Span::from_secs(1));
    assert_eq!(desk.in_flight(), 0);
    assert_eq!(desk.complete("w", &ids(&grants)), "Stale(Ended)");
}

#[test]
fn an_item_whose_turn_has_not_come_says_what_it_waits_for() {
    let map = Map { over: Expr("xs".into()), parallel: 1, items_max: 10 };
    let mut desk = Desk::new(workflow("each", vec![Step { map: Some(map), ..step("each", &[]) }]));
    let run = desk.submit("a", "each");
    desk.evaluate(Ok(Value::Items(2)));
    assert!(desk.explain(&run).ends_with("each: Pending Items { done: 0, of: 2 }\n"));
}

fn listener(text: &str, after: &[u16]) -> Step {
    Step { kind: StepKind::Wait(Wait::Signal(name("go"))), ..step(text, after) }
}

fn send(desk: &mut Desk, run: &RunKey) {
    let (name, payload) = (name("go"), payload("1"));
    desk.command(run, Command::Signal { name, payload, idempotency: None });
}

#[test]
fn a_signal_that_came_first_ends_the_bound_of_its_step() {
    let timeout = Timeouts { step: Some(Span::from_secs(2)), ..Timeouts::default() };
    let listens = Step { timeout, ..listener("listens", &[0]) };
    let mut desk = Desk::new(workflow("early", vec![step("first", &[]), listens]));
    let run = desk.submit("a", "early");
    send(&mut desk, &run);
    let grants = desk.lease("w");
    desk.complete("w", &ids(&grants));
    assert!(desk.progress().ends_with("listens: Done\nrun: Completed\n"));
    desk.pass(Span::from_secs(3));
    assert_eq!(desk.driver.next_wake(), None);
}

#[test]
fn a_map_whose_items_end_at_once_may_end_its_run() {
    let map = Map { over: Expr("xs".into()), parallel: 2, items_max: 10 };
    let each = Step { map: Some(map), ..listener("each", &[]) };
    let mut desk = Desk::new(workflow("each", vec![each]));
    let run = desk.submit("a", "each");
    (0..3).for_each(|_| send(&mut desk, &run));
    desk.evaluate(Ok(Value::Items(3)));
    assert!(desk.progress().ends_with("each: Done\nrun: Completed\n"));
}

#[test]
fn signals_that_came_first_let_the_longest_plan_through() {
    let chain = (0..500).map(|at| {
        let text = format!("s{at}");
        if at == 0 { listener(&text, &[]) } else { listener(&text, &[at - 1]) }
    });
    let mut steps: Vec<Step> = chain.collect();
    steps[0].when = Some(Expr("x".into()));
    let mut desk = Desk::new(workflow("chain", steps));
    let run = desk.submit("a", "chain");
    (0..500).for_each(|_| send(&mut desk, &run));
    desk.evaluate(Ok(Value::Condition(true)));
    assert!(desk.progress().ends_with("run: Completed\n"));
}

#[test]
fn signals_that_came_first_let_a_long_map_through() {
    let map = Map { over: Expr("xs".into()), parallel: 1, items_max: 1_000 };
    let each = Step { map: Some(map), ..listener("each", &[]) };
    let mut desk = Desk::new(workflow("each", vec![each]));
    let run = desk.submit("a", "each");
    (0..1_000).for_each(|_| send(&mut desk, &run));
    desk.evaluate(Ok(Value::Items(1_000)));
    assert!(desk.progress().ends_with("run: Completed\n"));
}

#[test]
fn a_retry_with_rows_of_an_earlier_life_is_refused() {
    let mut desk = Desk::new(workflow("one", vec![step("only", &[])]));
    let run = desk.submit("a", "one");
    let grants = desk.lease("w");
    desk.fail("w", &grants[0].lease, false);
    let early = desk.rows(&run);
    assert!(matches!(desk.retry(&early), Response::Commanded { status: RunStatus::Running }));
    let grants = desk.lease("w");
    desk.complete("w", &ids(&grants));
    assert_eq!(desk.rows(&run).0.status, RunStatus::Completed);
    let late = desk.retry(&early);
    assert!(matches!(late, Response::Rejected(Rejection::WrongStatus { .. })), "{late:?}");
    assert_eq!(desk.rows(&run).0.status, RunStatus::Completed);
}

#[test]
fn a_retry_of_a_cancelled_run_whose_steps_are_all_done_says_that_none_is_left() {
    let mut desk = Desk::new(workflow("one", vec![step("only", &[])]));
    let run = desk.submit("a", "one");
    let grants = desk.lease("w");
    desk.command(&run, Command::Cancel);
    assert_eq!(desk.complete("w", &ids(&grants)), "Recorded");
    let rows = desk.rows(&run);
    let status = RunStatus::Cancelled;
    assert_eq!(rows.0.status, status);
    let answer = desk.retry(&rows);
    let Response::Rejected(refused) = answer else { panic!("{answer:?}") };
    assert_eq!(refused, Rejection::NothingToRetry { run: run.run, status });
}

#[test]
fn an_answer_to_an_earlier_life_of_a_run_is_none_to_its_retry() {
    let manual = Step { when: Some(Expr("x".into())), ..step("manual", &[]) };
    let mut desk = Desk::new(workflow("one", vec![manual]));
    let run = desk.submit("a", "one");
    desk.command(&run, Command::Cancel);
    let rows = desk.rows(&run);
    desk.retry(&rows);
    desk.evaluate(Ok(Value::Condition(true)));
    assert!(desk.lease("w").is_empty(), "that was the answer to the cancelled run");
    desk.evaluate(Ok(Value::Condition(true)));
    assert_eq!(desk.lease("w").len(), 1);
}

#[test]
fn a_retried_run_keeps_the_signals_it_had_not_taken() {
    let listens = listener("listens", &[0]);
    let mut desk = Desk::new(workflow("sig", vec![step("work", &[]), listens]));
    let run = desk.submit("a", "sig");
    let send_payload = |desk: &mut Desk, text: &str| {
        let (name, payload) = (name("go"), payload(text));
        desk.command(&run, Command::Signal { name, payload, idempotency: None });
    };
    send_payload(&mut desk, "1");
    let grants = desk.lease("w");
    desk.fail("w", &grants[0].lease, false);
    let rows = desk.rows(&run);
    desk.retry(&rows);
    send_payload(&mut desk, "2");
    let payloads: Vec<_> = desk.signals(&run).into_iter().map(|(_, payload)| payload).collect();
    assert_eq!(payloads, [payload("1"), payload("2")], "both acknowledged signals are stored");
}
