//! What a new plan touches stops before it is followed.

use super::super::desk::{Desk, ids, name, payload, step, task, tasks};
use super::{loan_with, redo};
use crate::cell::input::{Command, Outcome};
use crate::plan::{Step, StepKind, Wait};
use crate::replan::{Scope, Verdict};
use crate::row::RunStatus;
use crate::time::Span;

#[test]
fn steps_that_run_and_are_to_be_done_again_stop_first() {
    let steps = vec![
        step("verify", &[]),
        step("credit", &[0]),
        step("long", &[0]),
        step("decide", &[1, 2]),
    ];
    let mut desk = Desk::new(loan_with(steps, |declared| declared.scope = Scope::All));
    let run = desk.submit("b", "loan");
    desk.work();
    let grants = desk.lease("w");
    assert_eq!(tasks(&grants), "credit long");
    let credit = grants.iter().find(|grant| task(grant) == "credit").unwrap();
    let long = grants.iter().find(|grant| task(grant) == "long").unwrap();
    desk.fail("w", &credit.lease, false);
    let planner = desk.lease("w2");
    assert_eq!(tasks(&planner), "plan");
    desk.complete("w2", &ids(&planner));
    desk.reads(&run, redo(&[1, 2]));
    assert_eq!(desk.lease("w").len(), 0, "the plan waits for the step that is held");
    let waits = desk.explain(&run);
    assert!(waits.contains("replan_1: Proposed Stopping([\"long\"])"), "{waits}");
    desk.restart();
    desk.reads(&run, redo(&[1, 2]));
    assert!(desk.explain(&run).contains("credit: Disputed"), "{}", desk.explain(&run));
    let receipt = desk.report("w", std::slice::from_ref(&long.lease), &Outcome::Heartbeat);
    assert_eq!(receipt, "Revoked");
    desk.complete("w", std::slice::from_ref(&long.lease));
    assert_eq!(desk.verdicts(&run), [Some(Verdict::Accepted)]);
    assert_eq!(desk.work(), "credit long", "what it said meanwhile is forgotten");
    assert_eq!(desk.work(), "decide");
    assert_eq!(desk.run_status(&run), RunStatus::Completed);
}

#[test]
fn a_step_that_fails_while_it_is_stopped_for_a_new_plan_does_not_hold_that_up() {
    let mut steps = vec![step("left", &[]), step("right", &[])];
    steps[1].timeout.step = Some(Span::from_secs(5));
    let mut desk = Desk::new(loan_with(steps, |declared| declared.scope = Scope::All));
    let run = desk.submit("b", "loan");
    let grants = desk.lease("w");
    desk.fail("w", &grants[0].lease, false);
    let planner = desk.lease("w2");
    desk.complete("w2", &ids(&planner));
    desk.reads(&run, redo(&[0, 1]));
    desk.pass(Span::from_secs(6));
    assert_eq!(desk.verdicts(&run), [Some(Verdict::Accepted)]);
    assert_eq!(desk.work(), "left right");
}

#[test]
fn nothing_begins_behind_a_step_that_is_stopped_for_a_new_plan() {
    let waits = StepKind::Wait(Wait::Signal(name("go")));
    for is_killed in [false, true] {
        let steps = vec![
            step("credit", &[]),
            step("long", &[]),
            step("longer", &[]),
            Step { kind: waits.clone(), ..step("word", &[1]) },
            step("decide", &[0, 2, 3]),
        ];
        let mut desk = Desk::new(loan_with(steps, |declared| declared.scope = Scope::All));
        let run = desk.submit("b", "loan");
        let go = Command::Signal { name: name("go"), payload: payload("1"), idempotency: None };
        desk.command(&run, go);
        let grants = desk.lease("w");
        let lease = |text: &str| {
            let grant = grants.iter().find(|grant| task(grant) == text).unwrap();
            std::slice::from_ref(&grant.lease).to_vec()
        };
        desk.fail("w", &lease("credit")[0], false);
        let planner = desk.lease("w2");
        desk.complete("w2", &ids(&planner));
        desk.reads(&run, redo(&[0, 1, 2]));
        desk.complete("w", &lease("long"));
        if is_killed {
            desk.restart();
            desk.reads(&run, redo(&[0, 1, 2]));
        }
        desk.complete("w", &lease("longer"));
        assert_eq!(desk.verdicts(&run), [Some(Verdict::Accepted)], "killed: {is_killed}");
        assert_eq!(desk.work(), "credit long longer");
        assert_eq!(desk.work(), "decide", "the signal was kept for the step that is done again");
        assert_eq!(desk.run_status(&run), RunStatus::Completed);
    }
}
