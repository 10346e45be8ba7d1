//! A provider that asked to be left alone, and one whose calls fail.

use super::*;
use crate::limiter::{CIRCUIT_OPEN, RETRY_AFTER};

const SOON: Time = Time(10 * SECOND);
const BREAKER: Breaker = Breaker { failures: 3, open_for: Span::from_secs(10) };
const TURNED_AWAY: Answer = Answer::TurnedAway { until: SOON };

fn call(limiter: &mut Limiter, now: Time, tenant: u32) -> Taken {
    limiter.take(now, &caller(tenant, &[]), Units::CALL).unwrap()
}

fn refused(limiter: &mut Limiter, now: Time, tenant: u32) -> crate::limiter::Blocked {
    limiter.take(now, &caller(tenant, &[]), Units::CALL).unwrap_err()
}

/// A call that ends so.
fn end(limiter: &mut Limiter, now: Time, answer: Answer) {
    let taken = call(limiter, now, 1);
    limiter.finish(now, &taken, answer, None);
}

/// Tenant 1 was told to come again at `SOON`; tenants 2 and 3 wait.
fn shut(rules: &[Rule]) -> Limiter {
    let mut limiter = provider(rules);
    end(&mut limiter, Time(0), TURNED_AWAY);
    for tenant in [2, 3] {
        let blocked = refused(&mut limiter, Time(SECOND), tenant);
        assert_eq!((&*blocked.rule, blocked.opens), (RETRY_AFTER, Some(SOON)));
        assert_eq!(blocked.holder, LimitHolder::Provider);
    }
    assert!(wakes(&mut limiter, Time(SOON.0 - 1)).is_empty(), "nobody is woken before");
    limiter
}

/// With a breaker, whose circuit has just opened.
fn broken(now: Time) -> Limiter {
    let mut limiter = Limiter::default();
    limiter.set_tool(now, TOOL, &[], Some(BREAKER));
    for _ in 0..3 {
        end(&mut limiter, now, Answer::Broken);
    }
    limiter
}

fn half_open(why: Why) -> Circuit {
    Circuit::HalfOpen { why }
}

fn open(until: Time, why: Why) -> Circuit {
    Circuit::Open { until, why }
}

#[test]
fn a_provider_that_is_shut_is_tried_by_one_call_and_opened_by_its_success() {
    for rules in [vec![], vec![per_hour(100)]] {
        let mut limiter = shut(&rules);
        assert_eq!(limiter.circuit(Time(SECOND), TOOL), open(SOON, Why::RetryAfter));
        assert_eq!(wakes(&mut limiter, SOON), [(SOON, vec![key(2)])], "{rules:?}");
        assert_eq!(limiter.circuit(SOON, TOOL), half_open(Why::RetryAfter));
        let trial = call(&mut limiter, SOON, 2);
        for tenant in [2, 3, 4] {
            let blocked = refused(&mut limiter, SOON, tenant);
            assert_eq!((&*blocked.rule, blocked.opens), (RETRY_AFTER, None), "one at a time");
        }
        over(&mut limiter, &trial);
        let later = Time(SOON.0 + SECOND);
        let woken: Vec<u64> =
            wakes(&mut limiter, later).into_iter().flat_map(|(_, keys)| keys).collect();
        assert!(woken.contains(&key(3)), "{woken:?} with {rules:?}");
        assert!(limiter.take(later, &caller(3, &[]), Units::CALL).is_ok());
        assert_eq!(limiter.circuit(later, TOOL), Circuit::Closed);
    }
}

#[test]
fn those_that_wait_for_a_shut_provider_try_it_in_the_order_of_the_line() {
    let mut limiter = shut(&[]);
    let blocked = refused(&mut limiter, SOON, 4);
    assert_eq!((&*blocked.rule, blocked.opens), (RETRY_AFTER, None), "others came first");
    assert_eq!(limiter.would_block(SOON, &caller(5, &[]), Units::CALL).unwrap().opens, None);
    assert_eq!(limiter.wake(SOON), [key(2)]);
    refused(&mut limiter, SOON, 3);
    call(&mut limiter, SOON, 2);
}

#[test]
fn a_call_for_the_trial_that_is_not_used_goes_to_the_next() {
    let mut limiter = shut(&[]);
    assert_eq!(limiter.wake(SOON), [key(2)]);
    let later = Time(SOON.0 + SECOND);
    assert_eq!(wakes(&mut limiter, later), [(later, vec![key(3)])]);
    call(&mut limiter, later, 3);
}

#[test]
fn a_trial_that_is_told_to_wait_again_shuts_it_again() {
    let mut limiter = shut(&[]);
    limiter.wake(SOON);
    let trial = call(&mut limiter, SOON, 2);
    let again = Time(2 * SOON.0);
    limiter.finish(SOON, &trial, Answer::TurnedAway { until: again }, None);
    assert_eq!(refused(&mut limiter, SOON, 3).opens, Some(again));
    assert_eq!(limiter.circuit(SOON, TOOL), open(again, Why::RetryAfter));
    assert_eq!(wakes(&mut limiter, again), [(again, vec![key(3)])], "and is tried again");
}

#[test]
fn a_trial_that_is_lost_or_never_left_proves_nothing() {
    for is_lost in [true, false] {
        let mut limiter = shut(&[]);
        limiter.wake(SOON);
        let trial = call(&mut limiter, SOON, 2);
        if is_lost {
            limiter.finish(SOON, &trial, Answer::Unknown, None);
        } else {
            limiter.give_back(&trial);
        }
        assert_eq!(limiter.circuit(SOON, TOOL), half_open(Why::RetryAfter), "still to be tried");
        let later = Time(SOON.0 + SECOND / 2);
        let woken = wakes(&mut limiter, later);
        assert!(woken.iter().any(|(_, keys)| keys.contains(&key(3))), "{woken:?}");
        let next = call(&mut limiter, later, 3);
        refused(&mut limiter, later, 4);
        over(&mut limiter, &next);
        assert_eq!(limiter.circuit(later, TOOL), Circuit::Closed);
    }
}

#[test]
fn calls_that_were_under_way_do_not_open_it_and_an_earlier_time_does_not_shorten_it() {
    let mut limiter = provider(&[]);
    let [first, second, third] = [1, 2, 3].map(|tenant| call(&mut limiter, Time(0), tenant));
    limiter.finish(Time(0), &first, TURNED_AWAY, None);
    limiter.finish(Time(0), &second, Answer::TurnedAway { until: Time(SECOND) }, None);
    assert_eq!(limiter.circuit(Time(0), TOOL), open(SOON, Why::RetryAfter));
    limiter.finish(SOON, &third, Answer::Served, None);
    assert_eq!(limiter.circuit(SOON, TOOL), half_open(Why::RetryAfter), "it left before");
}

#[test]
fn the_trial_of_a_circuit_that_was_closed_by_hand_says_nothing_of_the_next_one() {
    let mut limiter = broken(Time(0));
    let before = call(&mut limiter, SOON, 1);
    limiter.set_tool(SOON, TOOL, &[], None);
    limiter.set_tool(SOON, TOOL, &[], Some(BREAKER));
    for _ in 0..3 {
        end(&mut limiter, SOON, Answer::Broken);
    }
    let again = SOON + BREAKER.open_for;
    call(&mut limiter, again, 2);
    limiter.finish(again, &before, Answer::Served, None);
    assert_eq!(limiter.circuit(again, TOOL), half_open(Why::Failures));
    refused(&mut limiter, again, 3);
}

#[test]
fn a_trial_that_is_served_does_not_open_what_was_shut_for_longer_meanwhile() {
    let mut limiter = provider(&[]);
    let old = call(&mut limiter, Time(0), 1);
    end(&mut limiter, Time(0), TURNED_AWAY);
    let trial = call(&mut limiter, SOON, 2);
    let later = Time(2 * SOON.0);
    limiter.finish(SOON, &old, Answer::TurnedAway { until: later }, None);
    limiter.finish(SOON, &trial, Answer::Served, None);
    assert_eq!(limiter.circuit(SOON, TOOL), open(later, Why::RetryAfter));
    assert_eq!(refused(&mut limiter, SOON, 3).opens, Some(later));
    limiter.wake(later);
    let trial = call(&mut limiter, later, 3);
    over(&mut limiter, &trial);
    assert_eq!(limiter.circuit(later, TOOL), Circuit::Closed);
}

#[test]
fn so_many_failures_in_a_row_open_the_circuit_and_one_that_is_served_ends_the_row() {
    let mut limiter = Limiter::default();
    limiter.set_tool(Time(0), TOOL, &[], Some(BREAKER));
    let row = [Answer::Broken, Answer::Broken, Answer::Served, Answer::Broken, Answer::Broken];
    for answer in row {
        end(&mut limiter, Time(0), answer);
        assert_eq!(limiter.circuit(Time(0), TOOL), Circuit::Closed);
    }
    // What nobody knows neither counts nor ends it.
    end(&mut limiter, Time(0), Answer::Unknown);
    end(&mut limiter, Time(0), Answer::Broken);
    assert_eq!(limiter.circuit(Time(0), TOOL), open(SOON, Why::Failures));
    let blocked = refused(&mut limiter, Time(0), 2);
    assert_eq!((&*blocked.rule, blocked.used, blocked.of), (CIRCUIT_OPEN, 3, 3));
    assert_eq!(blocked.opens, Some(SOON));
}

#[test]
fn failures_open_nothing_without_a_breaker() {
    let mut limiter = provider(&[]);
    for _ in 0..2_000 {
        end(&mut limiter, Time(0), Answer::Broken);
    }
    assert_eq!(limiter.circuit(Time(0), TOOL), Circuit::Closed);
}

#[test]
fn each_trial_that_fails_doubles_the_time_up_to_sixteen_times() {
    let mut limiter = broken(Time(0));
    let mut now = Time(0);
    for times in [1, 2, 4, 8, 16, 16] {
        let until = now + Span(times * BREAKER.open_for.0);
        assert_eq!(limiter.circuit(now, TOOL), open(until, Why::Failures), "{times}");
        now = until;
        assert_eq!(limiter.circuit(now, TOOL), half_open(Why::Failures));
        end(&mut limiter, now, Answer::Broken);
    }
    now = now + Span(16 * BREAKER.open_for.0);
    end(&mut limiter, now, Answer::Served);
    assert_eq!(limiter.circuit(now, TOOL), Circuit::Closed);
    for _ in 0..3 {
        end(&mut limiter, now, Answer::Broken);
    }
    assert_eq!(limiter.circuit(now, TOOL), open(now + BREAKER.open_for, Why::Failures), "anew");
}

#[test]
fn failures_of_calls_that_were_under_way_do_not_keep_it_open_for_longer() {
    let mut limiter = Limiter::default();
    limiter.set_tool(Time(0), TOOL, &[], Some(BREAKER));
    let under_way = [1, 2, 3, 4, 5, 6].map(|tenant| call(&mut limiter, Time(0), tenant));
    for taken in &under_way {
        limiter.finish(Time(0), taken, Answer::Broken, None);
    }
    assert_eq!(limiter.circuit(Time(0), TOOL), open(SOON, Why::Failures));
}

#[test]
fn a_trial_without_an_answer_shuts_a_provider_that_asked_to_be_left_alone() {
    let mut limiter = shut(&[]);
    limiter.wake(SOON);
    let trial = call(&mut limiter, SOON, 2);
    limiter.finish(SOON, &trial, Answer::Broken, None);
    assert_eq!(limiter.circuit(SOON, TOOL), open(SOON + Span::from_secs(1), Why::Failures));
}

#[test]
fn a_provider_may_ask_for_more_time_than_its_breaker_gives_it() {
    let mut limiter = broken(Time(0));
    let late = Time(5 * SOON.0);
    let trial = call(&mut limiter, SOON, 1);
    limiter.finish(SOON, &trial, Answer::TurnedAway { until: late }, None);
    assert_eq!(limiter.circuit(SOON, TOOL), open(late, Why::RetryAfter));
    end(&mut limiter, late, Answer::Broken);
    let until = late + Span(2 * BREAKER.open_for.0);
    assert_eq!(limiter.circuit(late, TOOL), open(until, Why::Failures), "the second time");
}

#[test]
fn taking_the_breaker_away_closes_what_failures_opened_and_nothing_else() {
    let mut limiter = broken(Time(0));
    refused(&mut limiter, Time(0), 2);
    limiter.set_tool(Time(1), TOOL, &[], None);
    assert_eq!(limiter.circuit(Time(1), TOOL), Circuit::Closed);
    assert_eq!(limiter.wake(Time(1)), [key(2)]);
    let mut limiter = shut(&[]);
    limiter.set_tool(Time(1), TOOL, &[], Some(BREAKER));
    limiter.set_tool(Time(1), TOOL, &[], None);
    assert_eq!(limiter.circuit(Time(1), TOOL), open(SOON, Why::RetryAfter));
}

#[test]
fn one_tool_that_is_shut_changes_nothing_for_another_nor_for_what_never_passes() {
    let mut limiter = shut(&[per_hour(5)]);
    let other = Caller { tenant: 2, tool: TOOL + 1, quota: &[] };
    assert!(limiter.take(Time(SECOND), &other, Units::CALL).is_ok());
    let never = limiter.take(Time(SECOND), &caller(4, &[]), calls(6)).unwrap_err();
    assert_eq!((&*never.rule, never.of, never.opens), ("hour@UTC", 5, None));
}

#[test]
fn of_a_rule_and_a_shut_provider_the_one_that_opens_later_is_named() {
    let late = Time(2 * HOUR);
    for (until, rule, opens) in [(SOON, "hour@UTC", Time(HOUR)), (late, RETRY_AFTER, late)] {
        let mut limiter = provider(&[per_hour(1)]);
        end(&mut limiter, Time(0), Answer::TurnedAway { until });
        let blocked = refused(&mut limiter, Time(0), 2);
        assert_eq!((&*blocked.rule, blocked.opens), (rule, Some(opens)));
    }
}

#[test]
fn nothing_is_remembered_of_those_that_waited_for_a_provider_that_serves_again() {
    let mut limiter = shut(&[]);
    for tenant in [2, 3] {
        wakes(&mut limiter, SOON);
        let taken = call(&mut limiter, SOON, tenant);
        over(&mut limiter, &taken);
    }
    wakes(&mut limiter, Time(SOON.0 + 2 * SECOND));
    assert_eq!(limiter.tools[&TOOL].line.remembered(), 0);
    assert_eq!(limiter.next_wake(), None);
}
