//! Leases: who holds what, until when, and which reports count.

use super::desk::{ids, tasks};
use super::{Desk, step, workflow};
use crate::cell::effect::Response;
use crate::cell::input::{AskId, Exchange, Input, Outcome, Query, Report};
use crate::plan::{Retry, Step, Timeouts};
use crate::row::LeaseId;
use crate::time::Span;

fn one_step(retry: u32) -> Desk {
    let retry = Retry { attempts: retry, jitter_permille: 0, ..Retry::default() };
    let timeout = Timeouts { attempt: Span::from_secs(15), ..Timeouts::default() };
    Desk::new(workflow("one", vec![Step { retry, timeout, ..step("only", &[]) }]))
}

#[test]
fn a_worker_that_has_been_silent_for_a_lease_is_not_counted() {
    let mut desk = Desk::new(workflow("flow", vec![step("only", &[])]));
    desk.lease("gone");
    let counted = |desk: &mut Desk| match desk.ask(|reply| Input::Query(reply, Query::Pools)) {
        Response::Pools(pools) => (pools[0].workers, pools[0].offered),
        other => panic!("{other:?}"),
    };
    assert_eq!(counted(&mut desk), (1, 10));
    desk.pass(Span::from_secs(9));
    desk.lease("here");
    assert_eq!(counted(&mut desk), (2, 20));
    desk.pass(Span::from_secs(1));
    assert_eq!(counted(&mut desk), (1, 10));
}

#[test]
fn an_outcome_is_recorded_once_and_a_second_report_says_why_not() {
    let mut desk = Desk::new(workflow("two", vec![step("first", &[]), step("second", &[0])]));
    desk.submit("a", "two");
    let grants = desk.lease("w");
    let lease = ids(&grants);
    assert_eq!(desk.complete("other", &lease), "Stale(NotHolder)");
    assert_eq!(desk.complete("w", &lease), "Recorded");
    assert_eq!(desk.complete("w", &lease), "Stale(Ended)");
    let second = desk.lease("w");
    desk.complete("w", &ids(&second));
    assert_eq!(
        desk.complete("w", &ids(&second)),
        "Stale(Unknown)",
        "the run is over and forgotten"
    );
    let foreign = LeaseId {
        key: crate::row::RunKey { tenant: "b".parse().unwrap(), ..lease[0].key.clone() },
        ..lease[0].clone()
    };
    assert_eq!(desk.complete("w", &[foreign]), "Stale(Unknown)");
}

#[test]
fn a_silent_workers_lease_is_lost_and_costs_no_attempt() {
    let mut desk = one_step(1);
    desk.submit("a", "one");
    let first = desk.lease("w");
    desk.pass(Span::from_secs(9));
    assert!(desk.lease("v").is_empty(), "the lease still stands");
    desk.pass(Span::from_secs(1));
    let second = desk.lease("v");
    assert_eq!((second.len(), second[0].attempt), (1, 1));
    assert_eq!(desk.complete("w", &ids(&first)), "Stale(Superseded)");
    assert_eq!(desk.complete("v", &ids(&second)), "Recorded");
}

#[test]
fn a_heartbeat_renews_the_lease_up_to_the_attempts_deadline() {
    let mut desk = one_step(1);
    desk.submit("a", "one");
    let grants = desk.lease("w");
    desk.pass(Span::from_secs(9));
    assert_eq!(desk.report("w", &ids(&grants), &Outcome::Heartbeat), "Renewed");
    desk.pass(Span::from_secs(5));
    assert_eq!(desk.in_flight(), 1);
    desk.pass(Span::from_secs(1));
    assert_eq!(desk.in_flight(), 0);
    assert!(
        desk.progress()
            .ends_with("run: Failed attempt-timeout the attempt did not end within 15s\n")
    );
}

#[test]
fn a_failed_attempt_is_retried_after_a_backoff_and_no_further_than_its_attempts() {
    let mut desk = one_step(3);
    desk.submit("a", "one");
    for (attempt, backoff) in [(1, 1), (2, 2)] {
        let grants = desk.lease("w");
        assert_eq!(grants[0].attempt, attempt);
        desk.fail("w", &grants[0].lease, true);
        assert_eq!(desk.in_flight(), 0, "waiting holds nothing");
        desk.pass(Span::from_millis(backoff * 1_000 - 1));
        assert!(desk.lease("w").is_empty());
        desk.pass(Span::from_millis(1));
    }
    let grants = desk.lease("w");
    desk.fail("w", &grants[0].lease, true);
    assert!(desk.progress().ends_with("run: Failed boom it broke\n"));
}

#[test]
fn an_undelivered_grant_goes_back_to_the_queue_and_counts_no_attempt() {
    let mut desk = one_step(1);
    desk.submit("a", "one");
    let lost = desk.lease("w");
    desk.input(Input::Undelivered(ids(&lost)));
    assert_eq!(desk.in_flight(), 0);
    let found = desk.lease("v");
    assert_eq!((tasks(&found).as_str(), found[0].attempt), ("only", 1));
    assert!(found[0].lease.fence > lost[0].lease.fence);
    assert_eq!(desk.complete("w", &ids(&lost)), "Stale(Superseded)");
}

#[test]
fn a_step_that_kills_its_workers_fails_in_the_end() {
    let mut desk = one_step(1);
    desk.submit("a", "one");
    for _ in 0..20 {
        assert_eq!(desk.lease("w").len(), 1);
        desk.pass(Span::from_secs(10));
    }
    assert!(desk.progress().contains("run: Failed lease-lost"));
}

#[test]
fn a_worker_is_given_no_more_than_it_can_hold() {
    let mut desk = Desk::new(workflow("one", vec![step("only", &[])]));
    for _ in 0..4 {
        desk.submit("b", "one");
    }
    assert_eq!(desk.exchange("w", 3, Vec::new()).grants.len(), 3);
    assert_eq!(desk.exchange("w", 10, Vec::new()).grants.len(), 1);
    assert_eq!(desk.exchange("w", 10, Vec::new()).grants.len(), 0);
}

/// Whose steps an exchange was given.
fn given(desk: &mut Desk, ask: AskId) -> Option<String> {
    let exchanged = desk.answer_to(ask)?;
    let tenants = exchanged.grants.iter().map(|grant| grant.lease.key.tenant.to_string());
    Some(tenants.collect::<Vec<_>>().join(" "))
}

#[test]
fn a_worker_that_is_there_for_some_tenants_is_given_no_others_steps() {
    let mut desk = Desk::new(workflow("one", vec![step("only", &[])]));
    let first = desk.submit("a", "one");
    desk.submit("b", "one");
    let of: fn(&'static [&str]) -> _ = |tenants| ("bound", "default", Some(tenants));
    let ask = desk.ask_for_work(of(&["b"]), 10, Vec::new(), false);
    assert_eq!(given(&mut desk, ask).unwrap(), "b", "though `a` came first");
    let ask = desk.ask_for_work(of(&["b", "nobody"]), 10, Vec::new(), true);
    assert_eq!(given(&mut desk, ask), None);
    let explained = desk.explain(&first);
    assert!(explained.contains("NoWorker"), "{explained}");
    let ask = desk.ask_for_work(("w", "default", None), 10, Vec::new(), false);
    assert_eq!(given(&mut desk, ask).unwrap(), "a");
}

#[test]
fn a_step_goes_to_a_worker_that_can_take_no_other_first() {
    let mut desk = Desk::new(workflow("one", vec![step("only", &[])]));
    let common = desk.ask_for_work(("w", "default", None), 1, Vec::new(), true);
    let bound = desk.ask_for_work(("bound", "default", Some(&["a"][..])), 1, Vec::new(), true);
    desk.submit("a", "one");
    assert_eq!((given(&mut desk, common), given(&mut desk, bound)), (None, Some("a".to_owned())));
    desk.submit("a", "one");
    assert_eq!(given(&mut desk, common).unwrap(), "a", "it is there for all of them");
    let bound = desk.ask_for_work(("bound", "default", Some(&["a"][..])), 1, Vec::new(), true);
    desk.submit("b", "one");
    assert_eq!(given(&mut desk, bound), None);
}

/// Exchanges of the worker `w` that offer so many slots and report these as done.
fn offer(desk: &mut Desk, slots: u32, done: Vec<LeaseId>) {
    let report = |lease| {
        let outcome = super::desk::completed("1");
        Report { lease, outcome }
    };
    desk.input(Input::Exchange(Exchange {
        ask: AskId(1_000_000),
        worker: "w".parse().unwrap(),
        pool: "default".parse().unwrap(),
        tenants: None,
        slots,
        want: 0,
        reports: done.into_iter().map(report).collect(),
        hold: false,
    }));
}

/// Workers of the pool, and the slots that they offer.
fn offered(desk: &mut Desk) -> (u32, u32) {
    match desk.ask(|reply| Input::Query(reply, Query::Pools)) {
        Response::Pools(pools) => (pools[0].workers, pools[0].offered),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_worker_that_offers_nothing_is_forgotten_when_it_holds_nothing() {
    let mut desk = one_step(1);
    desk.submit("a", "one");
    let grants = desk.lease("w");
    assert_eq!(offered(&mut desk), (1, 10));
    offer(&mut desk, 0, Vec::new());
    assert_eq!(offered(&mut desk), (1, 0), "it still holds a lease");
    offer(&mut desk, 0, ids(&grants));
    assert_eq!(offered(&mut desk), (0, 0));
    assert!(desk.lease("w").is_empty());
    assert_eq!(offered(&mut desk), (1, 10), "it has come back");
}
