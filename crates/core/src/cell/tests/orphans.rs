//! Children of a map that has ended without them: they are awaited, whether or not the server restarts meanwhile.

use std::sync::Arc;

use super::desk::{ids, name, payload, tasks};
use super::{Desk, step, workflow};
use crate::cell::input::{Configure, Value};
use crate::plan::{Compensation, Expr, Map, Retry, Step, StepKind};
use crate::row::{LeaseId, RunKey, RunStatus};
use crate::time::Span;

/// A run that has failed because a child of its map did, while another child's step is a worker's still.
fn failed_beside_a_child(optional: bool) -> (Desk, RunKey, Vec<LeaseId>) {
    let undo = Compensation {
        task: name("undo_book"),
        pool: name("default"),
        with: Vec::new(),
        retry: Retry::default(),
        attempt_timeout: Span::from_secs(60),
    };
    let map = Map { over: Expr("input.list".into()), parallel: 2, items_max: 10 };
    let call = StepKind::Call { workflow: name("child"), version: None };
    let steps = vec![
        Step { compensate: Some(undo), ..step("book", &[]) },
        Step { kind: call, map: Some(map), optional, ..step("each", &[0]) },
        step("last", &[1]),
    ];
    let mut desk = Desk::new(workflow("child", vec![step("inner", &[])]));
    desk.declare(Configure::Workflow(Arc::new(workflow("parent", steps))));
    let run = desk.submit("b", "parent");
    let grants = desk.lease("w");
    desk.complete("w", &ids(&grants));
    desk.evaluate(Ok(Value::Items(2)));
    desk.evaluate(Ok(Value::Input(payload("{}"))));
    desk.evaluate(Ok(Value::Input(payload("{}"))));
    let grants = desk.lease("w");
    assert_eq!(tasks(&grants), "inner inner");
    desk.fail("w", &grants[0].lease, false);
    desk.progress();
    (desk, run, ids(&grants[1..]))
}

#[test]
fn compensation_waits_for_children_of_a_failed_map_whether_or_not_the_server_restarts() {
    for restarts in [false, true] {
        let (mut desk, run, left) = failed_beside_a_child(false);
        if restarts {
            desk.restart();
        }
        assert_eq!(tasks(&desk.lease("w")), "", "a worker is still at it, restarts: {restarts}");
        assert_eq!(desk.rows(&run).0.status, RunStatus::Stopping);
        assert_eq!(desk.fail("w", &left[0], false), "Recorded");
        let undo = desk.lease("w");
        assert_eq!(tasks(&undo), "undo_book");
        desk.complete("w", &ids(&undo));
        assert_eq!(desk.rows(&run).0.status, RunStatus::Failed);
    }
}

#[test]
fn a_run_does_not_complete_before_children_of_a_map_that_it_could_do_without() {
    for restarts in [false, true] {
        let (mut desk, run, left) = failed_beside_a_child(true);
        if restarts {
            desk.restart();
        }
        let last = desk.lease("w");
        assert_eq!(tasks(&last), "last");
        desk.complete("w", &ids(&last));
        assert_eq!(desk.rows(&run).0.status, RunStatus::Running, "restarts: {restarts}");
        assert_eq!(desk.fail("w", &left[0], false), "Recorded");
        assert_eq!(desk.rows(&run).0.status, RunStatus::Completed);
    }
}
