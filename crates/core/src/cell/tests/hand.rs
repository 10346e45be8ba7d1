//! What people decide of runs that are halted for want of money.

use crate::cell::effect::Response;
use crate::cell::input::{ByHand, Command};
use crate::money::Nano;
use crate::plan::{Expr, Map, Step};
use crate::reject::Rejection;
use crate::row::{RunKey, RunStatus, StepState};

use super::desk::{Desk, ids, name, payload, step, tasks, workflow};

fn paid(text: &str, after: &[u16], cents: u64) -> Step {
    Step { cost_nano: Nano::from_cents(cents).0, ..step(text, after) }
}

/// A run of `dear`, which it cannot pay for, and then `next`.
fn halted() -> (Desk, RunKey) {
    let steps = vec![paid("dear", &[], 10), step("next", &[0]), step("last", &[1])];
    let mut desk = Desk::new(workflow("flow", steps));
    let run = desk.submit("b", "flow");
    desk.command(&run, Command::Budget { limit: Nano::from_cents(5) });
    assert_eq!(desk.lease("w").len(), 0);
    assert!(desk.rows(&run).0.money.halt.is_some());
    (desk, run)
}

fn resolve(desk: &mut Desk, run: &RunKey, step: &str) -> Response {
    let given = ByHand { step: name(step), output: payload("{\"by\":\"hand\"}") };
    desk.command(run, Command::Resolve(Box::new(given)))
}

fn needs(response: Response) -> &'static str {
    match response {
        Response::Rejected(Rejection::WrongStatus { needs, .. }) => needs,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_person_gives_the_output_of_a_step_that_cannot_be_paid_for() {
    let (mut desk, run) = halted();
    let response = resolve(&mut desk, &run, "dear");
    assert!(matches!(response, Response::Commanded { status: RunStatus::Running }), "{response:?}");
    let (row, steps) = desk.rows(&run);
    assert_eq!((row.status, row.money.halt, row.money.posted), (RunStatus::Running, None, Nano(0)));
    assert_eq!((&steps[0].state, steps[0].attempt), (&StepState::Done, 0));
    let decided = desk.decided("resolved-by-hand");
    let facts: serde_json::Value = serde_json::from_str(&decided[0].facts).unwrap();
    let expected = serde_json::json!({ "run": run.run.to_string(), "step": "dear" });
    assert_eq!((decided.len(), facts), (1, expected));
    let grants = desk.lease("w");
    assert_eq!(tasks(&grants), "next");
    desk.complete("w", &ids(&grants));
    assert_eq!(needs(resolve(&mut desk, &run, "dear")), "halted at that step for want of money");
}

#[test]
fn only_the_step_that_a_run_is_halted_for_is_resolved_by_hand() {
    let (mut desk, run) = halted();
    assert_eq!(needs(resolve(&mut desk, &run, "next")), "halted at that step for want of money");
    let response = resolve(&mut desk, &run, "none");
    assert!(matches!(response, Response::Rejected(Rejection::UnknownStep { .. })), "{response:?}");
    desk.command(&run, Command::Pause);
    assert_eq!(needs(resolve(&mut desk, &run, "dear")), "halted at that step for want of money");
    desk.command(&run, Command::Cancel);
    let response = resolve(&mut desk, &run, "dear");
    assert!(matches!(response, Response::Rejected(Rejection::UnknownRun { .. })), "{response:?}");
    assert!(desk.decided("resolved-by-hand").is_empty());
}

#[test]
fn the_last_step_that_is_resolved_by_hand_completes_its_run() {
    let mut desk = Desk::new(workflow("flow", vec![paid("dear", &[], 10)]));
    let run = desk.submit("b", "flow");
    desk.command(&run, Command::Budget { limit: Nano::from_cents(5) });
    desk.lease("w");
    let response = resolve(&mut desk, &run, "dear");
    assert!(
        matches!(response, Response::Commanded { status: RunStatus::Completed }),
        "{response:?}"
    );
    assert_eq!(desk.rows(&run).0.status, RunStatus::Completed);
}

#[test]
fn an_item_of_a_map_is_not_resolved_by_hand() {
    let over = Map { over: Expr("input.list".into()), parallel: 2, items_max: 10 };
    let mapped = Step { map: Some(over), ..paid("dear", &[], 10) };
    let mut desk = Desk::new(workflow("flow", vec![mapped]));
    let run = desk.submit("b", "flow");
    desk.command(&run, Command::Budget { limit: Nano::from_cents(5) });
    desk.evaluate(Ok(crate::cell::input::Value::Items(2)));
    desk.lease("w");
    assert!(desk.rows(&run).0.money.halt.is_some());
    let needed = needs(resolve(&mut desk, &run, "dear"));
    assert_eq!(needed, "halted at a step that is no map and is not being undone");
}
