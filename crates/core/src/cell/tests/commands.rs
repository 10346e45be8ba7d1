//! What a tenant does to its runs.

use std::sync::Arc;

use expect_test::expect;

use super::desk::{ids, name, payload};
use super::{Desk, step, workflow};
use crate::cell::effect::Response;
use crate::cell::input::{Command, Idempotency, Input, Submit};
use crate::id::RunId;
use crate::reject::Rejection;
use crate::row::{Lane, RunKey, RunStatus};
use crate::time::Span;

#[test]
fn cancelling_tells_the_worker_and_keeps_its_slot_until_it_answers() {
    let mut desk = Desk::new(workflow("two", vec![step("first", &[]), step("second", &[0])]));
    let run = desk.submit("a", "two");
    let grants = desk.lease("w");
    let response = desk.command(&run, Command::Cancel);
    assert!(
        matches!(response, Response::Commanded { status: RunStatus::Stopping }),
        "{response:?}"
    );
    let told = desk.exchange("w", 0, Vec::new());
    assert_eq!(told.revoked, ids(&grants));
    assert_eq!(desk.in_flight(), 1);
    assert_eq!(desk.fail("w", &grants[0].lease, true), "Recorded");
    assert_eq!(desk.in_flight(), 0);
    expect![[r#"
        first: Leased
        run: Stopping
        first: Cancelled
        run: Cancelled
    "#]]
    .assert_eq(&desk.progress());
}

#[test]
fn a_cancelled_runs_slot_is_free_at_the_latest_when_its_lease_is_over() {
    let mut desk = Desk::new(workflow("one", vec![step("only", &[])]));
    let run = desk.submit("a", "one");
    desk.lease("w");
    desk.command(&run, Command::Cancel);
    desk.pass(Span::from_secs(10));
    assert_eq!(desk.in_flight(), 0);
    assert!(desk.progress().ends_with("run: Cancelled\n"));
}

#[test]
fn a_waiting_run_is_cancelled_at_once_and_again_without_effect() {
    let mut desk = Desk::new(workflow("one", vec![step("only", &[])]));
    let run = desk.submit("a", "one");
    let response = desk.command(&run, Command::Cancel);
    assert!(
        matches!(response, Response::Commanded { status: RunStatus::Cancelled }),
        "{response:?}"
    );
    assert!(desk.lease("w").is_empty());
    let again = desk.command(&run, Command::Cancel);
    assert!(matches!(again, Response::Rejected(Rejection::UnknownRun { .. })), "{again:?}");
}

#[test]
fn a_paused_run_gives_out_nothing_and_finishes_what_runs() {
    let mut desk = Desk::new(workflow("two", vec![step("first", &[]), step("second", &[0])]));
    let run = desk.submit("a", "two");
    let grants = desk.lease("w");
    desk.command(&run, Command::Pause);
    desk.complete("w", &ids(&grants));
    assert!(desk.lease("w").is_empty());
    assert!(desk.explain(&run).ends_with("second: Ready Resume\n"));
    desk.command(&run, Command::Resume);
    assert_eq!(desk.lease("w").len(), 1);
}

#[test]
fn a_foreign_run_answers_as_a_missing_one() {
    let mut desk = Desk::new(workflow("one", vec![step("only", &[])]));
    let run = desk.submit("a", "one");
    let foreign = RunKey { tenant: name("b"), run: run.run };
    let missing = RunKey { tenant: name("b"), run: RunId(99_999) };
    let answers =
        [foreign, missing].map(|key| format!("{:?}", desk.command(&key, Command::Cancel)));
    assert_eq!(
        answers[0].replace(&run.run.to_string(), "ID"),
        answers[1].replace(&RunId(99_999).to_string(), "ID")
    );
    assert!(desk.explain(&run).contains("only: Ready"));
}

#[test]
fn an_idempotency_key_names_one_run_and_refuses_another_request() {
    let mut desk = Desk::new(workflow("one", vec![step("only", &[])]));
    let mut submit = |run: u128, digest: u8, prior: Option<(RunId, [u8; 32])>| {
        desk.ask(|reply| {
            Input::Submit(Box::new(Submit {
                trace: None,
                subject: None,
                by: None,
                requester: None,
                reply,
                key: RunKey { tenant: name("a"), run: RunId(run) },
                workflow: name("one"),
                version: None,
                lane: Lane::Normal,
                input: payload("{}"),
                idempotency: Some(Idempotency { key: Arc::from("k"), digest: [digest; 32], prior }),
            }))
        })
    };
    let first = submit(1_001, 1, None);
    assert!(matches!(first, Response::Submitted { existing: false, .. }), "{first:?}");
    let again = submit(1_002, 1, None);
    assert!(
        matches!(again, Response::Submitted { run: RunId(1_001), existing: true }),
        "{again:?}"
    );
    let other = submit(1_003, 2, None);
    assert!(
        matches!(other, Response::Rejected(Rejection::IdempotencyConflict { run: RunId(1_001) })),
        "{other:?}"
    );
    desk.pass(Span::from_secs(1_000));
}

/// A signal under the key `k`.
fn signal(digest: u8, prior: Option<(RunId, [u8; 32])>) -> Command {
    let idempotency = Some(Idempotency { key: Arc::from("k"), digest: [digest; 32], prior });
    Command::Signal { name: name("go"), payload: payload("1"), idempotency }
}

#[test]
fn a_signal_that_is_sent_again_under_its_key_has_no_second_effect() {
    let mut desk = Desk::new(workflow("one", vec![step("only", &[])]));
    let run = desk.submit("a", "one");
    for _ in 0..2 {
        let response = desk.command(&run, signal(1, None));
        assert!(
            matches!(response, Response::Commanded { status: RunStatus::Running }),
            "{response:?}"
        );
    }
    assert_eq!(desk.signals(&run).len(), 1);

    // Later the cell has forgotten the key, and the store knows it.
    desk.pass(Span::from_secs(1_000));
    desk.command(&run, signal(1, Some((run.run, [1; 32]))));
    assert_eq!(desk.signals(&run).len(), 1);
    desk.command(&run, Command::Cancel);
}

#[test]
fn a_key_of_another_signal_is_refused() {
    let mut desk = Desk::new(workflow("one", vec![step("only", &[])]));
    let run = desk.submit("a", "one");
    desk.command(&run, signal(1, None));
    let other = desk.command(&run, signal(2, None));
    assert!(
        matches!(other, Response::Rejected(Rejection::IdempotencyConflict { run: of }) if of == run.run),
        "{other:?}"
    );
    assert_eq!(desk.signals(&run).len(), 1);
}

#[test]
fn a_refused_signal_does_not_use_up_its_key() {
    let mut desk = Desk::new(workflow("one", vec![step("only", &[])]));
    let run = desk.submit("a", "one");
    for _ in 0..crate::cell::command::INBOX_MAX {
        let (name, payload) = (name("go"), payload("1"));
        desk.command(&run, Command::Signal { name, payload, idempotency: None });
    }
    for _ in 0..2 {
        let refused = desk.command(&run, signal(1, None));
        assert!(matches!(refused, Response::Rejected(Rejection::InboxFull { .. })), "{refused:?}");
    }
}
