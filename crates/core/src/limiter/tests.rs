//! Quotas in virtual time: rules by themselves, tenants beside each other, and a provider that they share.

use proptest::prelude::*;

use super::*;
use crate::calendar::{Calendar, Zone};

const TOOL: u32 = 5;
/// 2026-03-28, 12:00 in UTC.
const NOON: Time = Time(1_774_699_200_000_000);
const HOUR: Span = Span::from_secs(3_600);

fn window(units: u64, every: Calendar) -> Rule {
    Rule::Window { units, every, time_zone: Zone::UTC }
}

fn bucket(units: u64, per: Span, burst: u64) -> Rule {
    Rule::Bucket { units, per, burst }
}

fn caller(tenant: u32, quota: &[Rule]) -> Caller<'_> {
    Caller { tenant, tool: TOOL, quota }
}

fn with_provider(rules: &[Rule]) -> Limiter {
    let mut limiter = Limiter::default();
    limiter.set_tool(NOON, TOOL, rules);
    drop(limiter.wake(NOON));
    limiter
}

fn takes(limiter: &mut Limiter, now: Time, caller: &Caller<'_>, most: usize) -> usize {
    (0..most).take_while(|_| limiter.take(now, caller, 1).is_ok()).count()
}

#[test]
fn a_window_lets_so_many_through_and_is_new_at_its_boundary() {
    let quota = [window(50, Calendar::Hour)];
    let mut limiter = Limiter::default();
    let now = NOON + Span::from_secs(600);
    assert_eq!(takes(&mut limiter, now, &caller(1, &quota), 99), 50);
    let blocked = limiter.take(now, &caller(1, &quota), 1).unwrap_err();
    assert_eq!((blocked.holder, blocked.used, blocked.of), (LimitHolder::Tenant, 50, 50));
    assert_eq!(blocked.opens, Some(NOON + HOUR));
    assert_eq!(&*blocked.rule, "hour@UTC");
    assert_eq!(limiter.next_wake(), Some(NOON + HOUR));
    assert!(limiter.wake(Time((NOON + HOUR).0 - 1)).is_empty());
    assert_eq!(limiter.wake(NOON + HOUR), [blocked.wake]);
    assert_eq!(takes(&mut limiter, NOON + HOUR, &caller(1, &quota), 99), 50);
    assert_eq!(takes(&mut limiter, now, &caller(2, &quota), 99), 50, "another tenant has its own");
}

#[test]
fn a_take_is_of_all_rules_or_of_none() {
    let quota = [window(10, Calendar::Hour), window(3, Calendar::Day)];
    let mut limiter = with_provider(&[window(2, Calendar::Day)]);
    assert_eq!(takes(&mut limiter, NOON, &caller(1, &quota), 9), 2);
    let used: Vec<u64> =
        limiter.reading(NOON, &caller(1, &quota)).iter().map(|reading| reading.used).collect();
    assert_eq!(used, [2, 2, 2], "the third take left nothing behind");
}

#[test]
fn what_comes_back_returns_to_its_own_window_only() {
    let quota = [window(2, Calendar::Hour), bucket(1, Span::from_secs(60), 2)];
    let mut limiter = Limiter::default();
    let first = limiter.take(NOON, &caller(1, &quota), 1).unwrap();
    limiter.take(NOON, &caller(1, &quota), 1).unwrap();
    assert!(limiter.take(NOON, &caller(1, &quota), 1).is_err());
    limiter.give_back(&first);
    let second = limiter.take(NOON, &caller(1, &quota), 1).unwrap();
    let later = NOON + HOUR;
    assert_eq!(takes(&mut limiter, later, &caller(1, &quota), 9), 2);
    limiter.give_back(&second);
    assert_eq!(limiter.reading(later, &caller(1, &quota))[0].used, 2);
}

#[test]
fn calls_under_way_are_bounded_and_wake_the_next_when_they_end() {
    let quota = [Rule::Concurrent { calls: 2 }];
    let mut limiter = Limiter::default();
    let first = limiter.take(NOON, &caller(1, &quota), 1).unwrap();
    limiter.take(NOON, &caller(1, &quota), 1).unwrap();
    let blocked = limiter.take(NOON, &caller(1, &quota), 1).unwrap_err();
    assert!(limiter.wake(NOON + HOUR).is_empty());
    limiter.finish(&first);
    assert_eq!(limiter.wake(NOON + HOUR), [blocked.wake]);
    assert!(limiter.take(NOON, &caller(1, &quota), 1).is_ok());
    let mut next = Limiter::default();
    next.resume(NOON, &caller(1, &quota));
    next.resume(NOON, &caller(1, &quota));
    assert!(next.take(NOON, &caller(1, &quota), 1).is_err(), "they are under way after a restart");
}

#[test]
fn counts_outlive_a_restart() {
    let quota = [window(5, Calendar::Hour), bucket(7, Span::from_secs(10), 5)];
    let mut limiter = with_provider(&[window(9, Calendar::Month)]);
    assert_eq!(takes(&mut limiter, NOON, &caller(1, &quota), 3), 3);
    let mut next = with_provider(&[window(9, Calendar::Month)]);
    let changes = limiter.take_changes();
    assert_eq!(changes.len(), 3);
    assert!(limiter.take_changes().is_empty());
    for (tool, tenant, label, used) in changes {
        next.restore(tool, tenant, &label, used);
    }
    // A bucket's time is stored in whole microseconds, rounded up.
    let now = NOON + Span(1);
    assert_eq!(takes(&mut next, now, &caller(1, &quota), 9), 2);
    let tenants: usize = (2..9).map(|tenant| takes(&mut next, now, &caller(tenant, &[]), 9)).sum();
    assert_eq!(tenants, 4, "the provider's own has counted five");
}

#[test]
fn an_empty_quota_of_one_tenant_changes_nothing_for_another() {
    let quota = [window(1, Calendar::Hour)];
    let mut limiter = with_provider(&[window(1_000, Calendar::Hour)]);
    assert_eq!(takes(&mut limiter, NOON, &caller(1, &quota), 9), 1);
    assert_eq!(takes(&mut limiter, NOON, &caller(2, &[]), 9), 9);
}

#[test]
fn a_call_that_is_not_used_goes_to_the_next() {
    let mut limiter = with_provider(&[window(1, Calendar::Minute)]);
    limiter.take(NOON, &caller(1, &[]), 1).unwrap();
    let blocked: Vec<u64> =
        [2, 3].map(|tenant| limiter.take(NOON, &caller(tenant, &[]), 1).unwrap_err().wake).into();
    assert!(limiter.wake(NOON).is_empty());
    let turned = NOON + Span::from_secs(60);
    assert_eq!(limiter.wake(turned), [blocked[0]]);
    assert!(limiter.take(turned, &caller(3, &[]), 1).is_err(), "it is kept for the one called");
    assert!(limiter.wake(turned).is_empty());
    assert_eq!(limiter.next_wake(), Some(turned + CALL_TTL));
    assert_eq!(limiter.wake(turned + CALL_TTL), [blocked[1]]);
    assert!(limiter.take(turned + CALL_TTL, &caller(3, &[]), 1).is_ok());
}

#[test]
fn a_lower_limit_holds_for_who_was_called_before_it() {
    let mut limiter = with_provider(&[window(2, Calendar::Minute)]);
    limiter.take(NOON, &caller(1, &[]), 2).unwrap();
    limiter.take(NOON, &caller(2, &[]), 2).unwrap_err();
    let turned = NOON + Span::from_secs(60);
    assert_eq!(limiter.wake(turned).len(), 1);
    limiter.set_tool(turned, TOOL, &[window(1, Calendar::Minute)]);
    assert!(limiter.take(turned, &caller(2, &[]), 2).is_err());
    assert!(limiter.take(turned, &caller(2, &[]), 1).is_ok());
}

#[test]
fn a_thousand_waiters_of_one_boundary_come_in_batches() {
    let quota = [window(1, Calendar::Hour)];
    let mut limiter = Limiter::default();
    for tenant in 0..1_000 {
        assert_eq!(takes(&mut limiter, NOON, &caller(tenant, &quota), 9), 1);
    }
    let (mut woken, mut now) = (0, NOON);
    while let Some(due) = limiter.next_wake() {
        now = now.max(due);
        woken += limiter.wake(now).len();
    }
    assert_eq!((woken, now), (1_000, NOON + HOUR + Span(PACE.0 * 15)));
}

/// Tenants that always have more steps wait for one provider; what each was given, by tenant.
fn contend(rule: Rule, weights: &[(u32, u32, u32)], order: &[u32], length: Span) -> Vec<u64> {
    let mut limiter = with_provider(&[rule]);
    for (org, org_weight, _) in weights {
        limiter.set_org(*org, *org_weight);
    }
    for (tenant, (org, _, weight)) in (0..).zip(weights) {
        limiter.set_tenant(tenant, *org, *weight);
    }
    let mut given = vec![0; weights.len()];
    let mut now = NOON;
    let mut ready: Vec<u32> = order.to_vec();
    while now < NOON + length {
        for tenant in std::mem::take(&mut ready) {
            while limiter.take(now, &caller(tenant, &[]), 1).is_ok() {
                given[tenant as usize] += 1;
            }
        }
        ready = limiter.wake(now).into_iter().map(tenant_of).collect();
        if ready.is_empty() {
            now = limiter.next_wake().expect("somebody waits").max(Time(now.0 + 1));
            ready = limiter.wake(now).into_iter().map(tenant_of).collect();
        }
    }
    given
}

fn tenant_of(key: u64) -> u32 {
    u32::try_from(key & u64::from(u32::MAX)).unwrap()
}

/// Weights 1 and 2 of organisations; 1, 3 and 5 of tenants.
const WEIGHTS: [(u32, u32, u32); 3] = [(0, 1, 5), (1, 2, 1), (1, 2, 3)];

fn assert_fair(given: &[u64], what: &str) {
    let all: u64 = given.iter().sum();
    for (given, (of, parts)) in given.iter().zip([(4, 12), (2, 12), (6, 12)]) {
        let due = all * of / parts;
        assert!(given.abs_diff(due) * 50 <= due, "{given} and not {due} of {all}, {what}");
    }
}

#[test]
fn a_scarce_provider_is_shared_by_weight_whatever_the_order_of_arrival() {
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        let given = contend(window(120, Calendar::Minute), &WEIGHTS, &order, Span(HOUR.0 * 12));
        assert_fair(&given, &format!("in a window, arriving as {order:?}"));
        let rule = bucket(10, Span::from_secs(1), 5);
        let given = contend(rule, &WEIGHTS, &order, HOUR);
        assert_fair(&given, &format!("in a bucket, arriving as {order:?}"));
        assert_eq!(given.iter().sum::<u64>(), 36_000 + 5 - 1, "and nothing of it is left unused");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Over any interval a bucket lets no more through than its burst and its rate.
    #[test]
    fn a_bucket_never_lets_more_through_than_its_rate_and_burst(
        (rate, per, burst) in (1..50_u64, 1..5_000_u64, 1..10_u64),
        gaps in proptest::collection::vec(0..3_000_u64, 1..200),
    ) {
        let quota = [bucket(rate, Span(per), burst)];
        let mut limiter = Limiter::default();
        let (mut now, mut taken) = (NOON, Vec::new());
        for gap in gaps {
            now = now + Span(gap);
            let can = |from: &Time, count: u64| {
                // Units that have dripped since, rounded down, and the burst.
                u128::from(count) <= u128::from(burst)
                    + u128::from(now.since(*from).0) * u128::from(rate) / u128::from(per)
            };
            let fits = taken.iter().enumerate().all(|(at, from)| can(from, (taken.len() - at + 1) as u64))
                && can(&now, 1);
            let passed = limiter.take(now, &caller(1, &quota), 1);
            assert_eq!(passed.is_ok(), fits, "at {now}");
            match passed {
                Ok(_) => taken.push(now),
                Err(blocked) => {
                    let opens = blocked.opens.unwrap();
                    assert!(limiter.would_block(opens, &caller(1, &quota), 1).is_none());
                    assert!(limiter.would_block(Time(opens.0 - 1), &caller(1, &quota), 1).is_some());
                }
            }
        }
    }

    /// No window of any rule is exceeded, by tenants or by all of them.
    #[test]
    fn no_window_is_ever_exceeded(
        events in proptest::collection::vec((0..4_u32, 0..20_000_u64, 0..4_u32), 1..300),
    ) {
        let quota = [window(3, Calendar::Minute)];
        let mut limiter = with_provider(&[window(5, Calendar::Minute)]);
        let mut counts = BTreeMap::<(u64, Option<u32>), u64>::new();
        let mut now = NOON;
        for (tenant, millis, what) in events {
            now = now + Span::from_millis(millis);
            drop(limiter.wake(now));
            let minute = now.0 / 60_000_000;
            let Ok(taken) = limiter.take(now, &caller(tenant, &quota), 1) else { continue };
            if what == 0 {
                limiter.give_back(&taken);
                continue;
            }
            for of in [None, Some(tenant)] {
                *counts.entry((minute, of)).or_default() += 1;
            }
        }
        for ((_, of), count) in counts {
            assert!(count <= if of.is_some() { 3 } else { 5 });
        }
    }
}
