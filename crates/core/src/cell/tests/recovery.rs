//! What is live is a function of the rows: a run goes on after a restart, or a retry, as it would have without.

use super::desk::{ids, name, payload, tasks, tenant};
use super::{Desk, step, workflow};
use crate::cell::effect::Response;
use crate::cell::input::{Command, Configure};
use crate::plan::{Step, StepKind, Wait};
use crate::row::{RunKey, RunStatus};

fn listener(text: &str, after: &[u16]) -> Step {
    Step { kind: StepKind::Wait(Wait::Signal(name("go"))), ..step(text, after) }
}

fn send(desk: &mut Desk, run: &RunKey, json: &str) {
    let (name, payload) = (name("go"), payload(json));
    desk.command(run, Command::Signal { name, payload, idempotency: None });
}

/// A run that has failed at its first step with a signal in its inbox that its second step waits for.
fn failed_with_a_signal() -> (Desk, RunKey) {
    let steps = vec![step("work", &[]), listener("listens", &[0]), listener("again", &[1])];
    let mut desk = Desk::new(workflow("sig", steps));
    let run = desk.submit("a", "sig");
    send(&mut desk, &run, "1");
    let grants = desk.lease("w");
    desk.fail("w", &grants[0].lease, false);
    (desk, run)
}

#[test]
fn a_retried_run_takes_the_signals_that_it_had_not_taken() {
    let (mut desk, run) = failed_with_a_signal();
    let rows = desk.rows(&run);
    assert!(matches!(desk.retry(&rows), Response::Commanded { status: RunStatus::Running }));
    let grants = desk.lease("w");
    desk.progress();
    desk.complete("w", &ids(&grants));
    assert!(desk.progress().ends_with("listens: Done\nagain: Listening\n"));
    assert_eq!(desk.signals(&run), [], "it is taken, and its row is gone");
    send(&mut desk, &run, "2");
    assert!(desk.progress().ends_with("run: Completed\n"));
}

#[test]
fn a_retried_run_is_the_same_after_a_restart() {
    let (mut desk, run) = failed_with_a_signal();
    let rows = desk.rows(&run);
    desk.retry(&rows);
    desk.restart();
    let grants = desk.lease("w");
    desk.progress();
    desk.complete("w", &ids(&grants));
    assert!(desk.progress().ends_with("listens: Done\nagain: Listening\n"));
}

#[test]
fn a_signal_that_comes_after_a_retry_is_taken_after_the_earlier_one() {
    let (mut desk, run) = failed_with_a_signal();
    let rows = desk.rows(&run);
    desk.retry(&rows);
    send(&mut desk, &run, "2");
    let payloads: Vec<_> = desk.signals(&run).into_iter().map(|(_, payload)| payload).collect();
    assert_eq!(payloads, [payload("1"), payload("2")]);
    let grants = desk.lease("w");
    desk.complete("w", &ids(&grants));
    assert!(desk.progress().ends_with("listens: Done\nagain: Done\nrun: Completed\n"));
}

#[test]
fn a_step_that_listens_takes_a_signal_that_is_found_in_the_inbox() {
    let mut desk = Desk::new(workflow("sig", vec![listener("listens", &[]), step("then", &[0])]));
    let run = desk.submit("a", "sig");
    desk.store_signal(&run, 7, "go");
    desk.restart();
    assert!(desk.progress().contains("listens: Done"));
    assert_eq!(tasks(&desk.lease("w")), "then");
    assert_eq!(desk.signals(&run), []);
}

fn versions(desk: &Desk, id: &str) -> Vec<u32> {
    let tenants = &desk.driver.cell().directory.tenants;
    tenants.get(tenants.find(&name(id)).expect("it is declared")).versions()
}

fn renew(desk: &mut Desk, cap: u32) {
    desk.declare(Configure::Tenant(crate::tenant::Tenant {
        cap: Some(cap),
        ..tenant("a", "small")
    }));
}

#[test]
fn contexts_are_kept_as_long_as_live_runs_are_pinned_to_them() {
    let mut desk = Desk::new(workflow("one", vec![step("only", &[])]));
    for cap in 1..=5 {
        renew(&mut desk, cap);
    }
    assert_eq!(versions(&desk, "a"), [6], "nobody needs the others");
    let early = desk.submit("a", "one");
    renew(&mut desk, 1);
    renew(&mut desk, 2);
    let late = desk.submit("a", "one");
    renew(&mut desk, 3);
    assert_eq!(versions(&desk, "a"), [6, 8, 9]);
    desk.restart();
    assert_eq!(versions(&desk, "a"), [6, 8, 9]);
    desk.command(&late, Command::Cancel);
    assert_eq!(versions(&desk, "a"), [6, 9]);
    desk.command(&early, Command::Cancel);
    assert_eq!(versions(&desk, "a"), [9]);
}

#[test]
fn a_retried_run_stays_pinned_to_the_context_that_admitted_it() {
    for restarts in [false, true] {
        let mut desk = Desk::new(workflow("one", vec![step("only", &[])]));
        let run = desk.submit("a", "one");
        desk.command(&run, Command::Cancel);
        renew(&mut desk, 1);
        assert_eq!(versions(&desk, "a"), [2]);
        let rows = desk.rows(&run);
        desk.retry(&rows);
        if restarts {
            desk.restart();
        }
        assert_eq!(versions(&desk, "a"), [1, 2], "restarts: {restarts}");
        let grants = desk.lease("w");
        assert_eq!(grants[0].context.version, 1);
        desk.complete("w", &ids(&grants));
        assert_eq!(desk.rows(&run).0.context, 1);
        assert_eq!(versions(&desk, "a"), [2]);
    }
}
