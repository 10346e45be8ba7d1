//! A provider that asks to be left alone, and one whose calls fail: everybody waits, one tries.

use crate::cell::input::{Command, Configure, Outcome};
use crate::plan::Step;
use crate::quota::{Breaker, Tool};
use crate::row::{Failure, LeaseId, RunKey};
use crate::time::Span;

use super::desk::{Desk, ids, name, step, workflow};

/// Tenants `a` and `b` call the bureau in all their steps.
fn desk(breaker: Option<Breaker>) -> Desk {
    let call = Step { tool: Some(name("bureau")), ..step("call", &[]) };
    let mut desk = Desk::new(workflow("flow", vec![call]));
    desk.declare(Configure::Tool(Tool { breaker, ..Tool::new(name("bureau"), Vec::new()) }));
    desk
}

fn breaker(failures: u32) -> Breaker {
    Breaker { failures, open_for: Span::from_secs(30) }
}

fn boom() -> Failure {
    Failure { class: "busy".into(), message: "429".into(), step: None }
}

fn told_to_wait(secs: u64) -> Outcome {
    let retry_after = Some(Span::from_secs(secs));
    let (retryable, cost, is_provider_down) = (false, None, false);
    Outcome::Failed {
        failure: boom(),
        retryable,
        cost,
        is_uncertain: false,
        retry_after,
        is_provider_down,
    }
}

fn broken() -> Outcome {
    let (retryable, cost, retry_after, is_provider_down) = (false, None, None, true);
    Outcome::Failed {
        failure: boom(),
        retryable,
        cost,
        is_uncertain: false,
        retry_after,
        is_provider_down,
    }
}

fn submit(desk: &mut Desk, tenant: &str, count: usize) -> Vec<RunKey> {
    (0..count).map(|_| desk.submit(tenant, "flow")).collect()
}

fn report(desk: &mut Desk, lease: &LeaseId, outcome: &Outcome) {
    desk.report("w", std::slice::from_ref(lease), outcome);
}

/// What the decision log says of circuits.
fn circuits(desk: &Desk) -> Vec<String> {
    desk.decisions().into_iter().filter(|code| code.starts_with("tool-")).collect()
}

#[test]
fn a_provider_that_asks_to_be_left_alone_is_left_alone_by_everybody_and_tried_by_one() {
    let mut desk = desk(None);
    submit(&mut desk, "a", 3);
    let waiting = submit(&mut desk, "b", 3);
    let [first, others @ ..] = &ids(&desk.lease("w"))[..] else { panic!("four slots") };
    report(&mut desk, first, &told_to_wait(30));
    desk.complete("w", others);
    assert_eq!(desk.lease("w").len(), 0, "nobody calls it");
    let waits = desk.explain(&waiting[2]);
    assert!(waits.contains("holder: Provider, rule: \"retry-after\""), "{waits}");
    assert_eq!(circuits(&desk), ["tool-shut"]);
    desk.pass(Span::from_secs(29));
    assert_eq!(desk.lease("w").len(), 0);
    desk.pass(Span::from_secs(1));
    let trial = desk.lease("w");
    assert_eq!(trial.len(), 1, "one call tries it");
    assert_eq!(desk.lease("w").len(), 0, "and no other one meanwhile");
    desk.complete("w", &ids(&trial));
    assert_eq!(desk.lease("w").len(), 1, "it was served: the last one goes on");
    assert_eq!(circuits(&desk), ["tool-shut", "tool-open"]);
}

#[test]
fn failures_in_a_row_open_the_circuit_and_a_failed_trial_keeps_it_open_for_longer() {
    let mut desk = desk(Some(breaker(2)));
    submit(&mut desk, "a", 9);
    let [first, second, others @ ..] = &ids(&desk.lease("w"))[..] else { panic!("four slots") };
    report(&mut desk, first, &broken());
    assert!(circuits(&desk).is_empty());
    report(&mut desk, second, &broken());
    assert_eq!(circuits(&desk), ["tool-shut"]);
    desk.complete("w", others);
    assert_eq!(desk.lease("w").len(), 0);
    desk.pass(Span::from_secs(30));
    let [trial] = &ids(&desk.lease("w"))[..] else { panic!("one trial") };
    report(&mut desk, trial, &broken());
    desk.pass(Span::from_secs(59));
    assert_eq!(desk.lease("w").len(), 0, "twice as long");
    desk.pass(Span::from_secs(1));
    let trial = ids(&desk.lease("w"));
    desk.complete("w", &trial);
    assert_eq!(circuits(&desk), ["tool-shut", "tool-shut", "tool-open"]);
    assert!(desk.lease("w").len() > 1, "all go on");
}

#[test]
fn a_failure_of_the_step_itself_says_that_the_provider_serves() {
    let mut desk = desk(Some(breaker(2)));
    submit(&mut desk, "a", 4);
    let leases = ids(&desk.lease("w"));
    for (lease, is_own) in leases.iter().zip([false, true, false]) {
        if is_own {
            desk.fail("w", lease, false);
        } else {
            report(&mut desk, lease, &broken());
        }
    }
    assert!(circuits(&desk).is_empty());
}

#[test]
fn a_trial_whose_worker_falls_silent_or_that_was_never_sent_proves_nothing() {
    for is_silent in [true, false] {
        let mut desk = desk(None);
        submit(&mut desk, "a", 2);
        let first = ids(&desk.exchange("w", 1, Vec::new()).grants);
        report(&mut desk, &first[0], &told_to_wait(30));
        desk.pass(Span::from_secs(30));
        let trial = ids(&desk.lease("w"));
        assert_eq!(trial.len(), 1);
        if is_silent {
            desk.pass(Span::from_secs(600));
        } else {
            report(&mut desk, &trial[0], &Outcome::NotSent(boom()));
        }
        submit(&mut desk, "b", 2);
        desk.pass(Span::from_secs(2));
        assert_eq!(desk.lease("w").len(), 1, "tried again, by one");
        assert_eq!(circuits(&desk), ["tool-shut"]);
    }
}

#[test]
fn what_was_to_stop_and_failed_proves_nothing() {
    let mut desk = desk(None);
    let runs = submit(&mut desk, "a", 3);
    let first = ids(&desk.exchange("w", 1, Vec::new()).grants);
    report(&mut desk, &first[0], &told_to_wait(30));
    desk.pass(Span::from_secs(30));
    let trial = ids(&desk.lease("w"));
    let run = runs.iter().find(|run| **run == trial[0].key).unwrap();
    desk.command(&run.clone(), Command::Cancel);
    desk.fail("w", &trial[0], false);
    assert_eq!(circuits(&desk), ["tool-shut"]);
}

#[test]
fn a_breaker_that_is_taken_away_lets_everybody_go_on() {
    let mut desk = desk(Some(breaker(1)));
    submit(&mut desk, "a", 4);
    let first = ids(&desk.exchange("w", 1, Vec::new()).grants);
    report(&mut desk, &first[0], &broken());
    assert_eq!(desk.lease("w").len(), 0);
    desk.declare(Configure::Tool(Tool::new(name("bureau"), Vec::new())));
    assert_eq!(desk.lease("w").len(), 2, "as many as its cap lets it");
    assert_eq!(circuits(&desk), ["tool-shut", "tool-open"]);
}

#[test]
fn a_provider_is_left_alone_for_a_day_at_most() {
    let mut desk = desk(None);
    submit(&mut desk, "a", 2);
    let first = ids(&desk.exchange("w", 1, Vec::new()).grants);
    report(&mut desk, &first[0], &told_to_wait(1 << 40));
    desk.pass(Span::from_secs(24 * 3_600));
    assert_eq!(desk.lease("w").len(), 1);
}
