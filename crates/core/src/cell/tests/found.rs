//! What the simulator found wrong in the cell, each as the shortest scenario that showed it.

use super::desk::ids;
use super::{Desk, step, workflow};
use crate::cell::input::Value;
use crate::plan::{Expr, Map, Step, Timeouts};
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
