//! Limits in tokens: beside calls, corrected by what was really used, and shared.

use proptest::prelude::*;

use super::*;
use crate::limiter::level::{Level, Seat};
use crate::limiter::wake_key;

fn hour_of_tokens(units: u64) -> Rule {
    tokens(per_hour(units))
}

fn used(limiter: &Limiter, now: Time, quota: &[Rule]) -> Vec<u64> {
    limiter.reading(now, &caller(0, quota)).iter().map(|rule| rule.used).collect()
}

#[test]
fn a_rule_of_tokens_has_a_label_of_its_own_and_rows_without_one_count_calls() {
    let rules = [per_hour(5), hour_of_tokens(5), tokens(bucket(1, Span(9), 1))];
    let labels = rules.map(|rule| rule.label());
    assert_eq!(labels, ["hour@UTC", "tokens:hour@UTC", "tokens:bucket@9"]);
    let stored = r#"{"window":{"units":1,"every":"hour","time_zone":"UTC"}}"#;
    assert_eq!(serde_json::from_str::<Rule>(stored).unwrap(), per_hour(1));
    let stored = r#"{"bucket":{"units":1,"per":9,"burst":1,"of":"tokens"}}"#;
    assert_eq!(serde_json::from_str::<Rule>(stored).unwrap(), tokens(bucket(1, Span(9), 1)));
}

#[test]
fn a_take_passes_in_calls_and_in_tokens_at_both_levels_or_takes_nothing() {
    let quota = [per_hour(9), hour_of_tokens(1_000)];
    let mut limiter = provider(&[tokens(bucket(500, Span::from_secs(1), 500)), per_hour(2)]);
    for (ask, rule) in [(1_001, "tokens:hour@UTC"), (501, "tokens:bucket@1000000")] {
        let refused = limiter.take(Time(0), &caller(0, &quota), prompt(ask)).unwrap_err();
        assert_eq!(&*refused.rule, rule);
    }
    assert_eq!(used(&limiter, Time(0), &quota), [0, 0, 0, 0]);
    assert_eq!(limiter.take_changes(), []);
    limiter.take(Time(0), &caller(0, &quota), prompt(400)).unwrap();
    assert_eq!(used(&limiter, Time(0), &quota), [1, 400, 400, 1]);
    let short = limiter.take(Time(0), &caller(0, &quota), prompt(200)).unwrap_err();
    assert_eq!((&*short.rule, short.used), ("tokens:bucket@1000000", 400));
    limiter.wake(Time(SECOND));
    limiter.take(Time(SECOND), &caller(0, &quota), prompt(100)).unwrap();
    let short = limiter.take(Time(2 * SECOND), &caller(0, &quota), prompt(1)).unwrap_err();
    assert_eq!(&*short.rule, "hour@UTC", "the provider's calls are used up, its tokens are not");
}

#[test]
fn a_call_without_tokens_passes_where_tokens_are_used_up() {
    let mut limiter = provider(&[hour_of_tokens(10)]);
    let taken = limiter.take(Time(0), &caller(0, &[]), prompt(10)).unwrap();
    limiter.finish(Time(0), &taken, Answer::Served, Some(15));
    assert!(limiter.take(Time(0), &caller(1, &[]), prompt(1)).is_err());
    assert!(limiter.would_block(Time(0), &caller(1, &[]), Units::CALL).is_none());
}

#[test]
fn what_a_call_really_used_is_counted_in_its_own_window_only_and_above_the_limit() {
    let quota = [per_hour(9), hour_of_tokens(100)];
    let late = Time(HOUR + 1);
    for (really, is_late, own) in
        [(30, false, 30), (170, false, 170), (30, true, 0), (170, true, 0)]
    {
        let mut limiter = provider(&[tokens(window(100, Calendar::Day, "UTC"))]);
        let taken = limiter.take(Time(0), &caller(0, &quota), prompt(60)).unwrap();
        let now = if is_late { late } else { Time(1) };
        let other = limiter.take(now, &caller(0, &quota), prompt(5)).unwrap();
        limiter.finish(now, &other, Answer::Served, None);
        limiter.finish(now, &taken, Answer::Served, Some(really));
        let calls = if is_late { 1 } else { 2 };
        assert_eq!(used(&limiter, now, &quota), [calls, own + 5, really + 5], "{really} at {now}");
    }
}

#[test]
fn tokens_that_come_back_let_others_try_and_those_above_the_limit_are_waited_for() {
    let quota = [hour_of_tokens(100)];
    for (quota, limits) in [(&quota[..], &[][..]), (&[], &quota)] {
        let mut limiter = provider(limits);
        let first = limiter.take(Time(0), &caller(0, quota), prompt(90)).unwrap();
        assert!(limiter.take(Time(0), &caller(0, quota), prompt(20)).is_err());
        limiter.finish(Time(1), &first, Answer::Served, Some(70));
        assert_eq!(limiter.wake(Time(1)), [key(0)]);
        let second = limiter.take(Time(1), &caller(0, quota), prompt(20)).unwrap();
        limiter.finish(Time(1), &second, Answer::Served, Some(500));
        let blocked = limiter.take(Time(2), &caller(0, quota), prompt(1)).unwrap_err();
        assert_eq!((blocked.used, blocked.of, blocked.opens), (570, 100, Some(Time(HOUR))));
    }
}

#[test]
fn a_bucket_is_full_later_or_sooner_by_what_a_call_really_used() {
    let quota = [tokens(bucket(10, Span::from_secs(1), 100))];
    for (really, full) in [(20, 2), (100, 10), (400, 40)] {
        let mut limiter = Limiter::default();
        let taken = limiter.take(Time(0), &caller(0, &quota), prompt(100)).unwrap();
        limiter.finish(Time(SECOND), &taken, Answer::Served, Some(really));
        let reading = limiter.reading(Time(SECOND), &caller(0, &quota));
        assert_eq!(reading[0].resets, Some(Time(full * SECOND)), "{really}");
    }
}

#[test]
fn a_bucket_that_was_full_again_meanwhile_still_counts_what_a_long_call_used() {
    let quota = [tokens(bucket(10, Span::from_secs(1), 100))];
    let mut limiter = Limiter::default();
    let long = limiter.take(Time(0), &caller(0, &quota), prompt(1)).unwrap();
    for second in 1..50 {
        let other = limiter.take(Time(second * SECOND), &caller(1, &quota), prompt(1)).unwrap();
        limiter.finish(Time(second * SECOND), &other, Answer::Served, None);
        limiter.wake(Time(second * SECOND));
    }
    limiter.finish(Time(50 * SECOND), &long, Answer::Served, Some(1_000));
    let blocked = limiter.take(Time(50 * SECOND), &caller(0, &quota), prompt(100)).unwrap_err();
    assert_eq!(blocked.opens, Some(Time(100 * SECOND)), "1,000 tokens are 100 seconds");
    wakes(&mut limiter, Time(200 * SECOND));
    assert_eq!(limiter.tools[&TOOL].uses.len(), 0, "and is forgotten in the end");
}

#[test]
fn calls_and_tokens_are_kept_for_those_that_are_called() {
    let mut limiter = provider(&[hour_of_tokens(100), per_hour(2)]);
    for _ in 0..2 {
        limiter.take(Time(0), &caller(9, &[]), prompt(50)).unwrap();
    }
    assert!(limiter.take(Time(0), &caller(0, &[]), prompt(80)).is_err());
    assert_eq!(limiter.wake(Time(HOUR)), [key(0)]);
    let blocked = limiter.take(Time(HOUR), &caller(1, &[]), prompt(30)).unwrap_err();
    assert_eq!((&*blocked.rule, blocked.used), ("tokens:hour@UTC", 0), "80 of 100 are kept");
    limiter.take(Time(HOUR), &caller(0, &[]), prompt(80)).unwrap();
    limiter.set_tool(Time(HOUR), TOOL, &[hour_of_tokens(1_000), per_hour(2)], None);
    let soon = Time(HOUR + 2_000);
    assert_eq!(wakes(&mut limiter, soon).pop().unwrap().1, [key(1)]);
    let blocked = limiter.take(soon, &caller(2, &[]), prompt(1)).unwrap_err();
    assert_eq!((&*blocked.rule, blocked.used), ("hour@UTC", 1), "the other call is kept");
}

#[test]
fn more_tokens_than_ever_pass_hold_nobody_up() {
    let mut limiter = provider(&[hour_of_tokens(100)]);
    limiter.take(Time(0), &caller(9, &[]), prompt(100)).unwrap();
    let refused = limiter.take(Time(0), &caller(0, &[]), prompt(101)).unwrap_err();
    assert_eq!((refused.of, refused.opens), (100, None));
    assert!(limiter.take(Time(0), &caller(1, &[]), prompt(1)).is_err());
    assert_eq!(wakes(&mut limiter, Time(HOUR)), [(Time(HOUR), vec![key(1)])]);
    limiter.set_tool(Time(HOUR), TOOL, &[hour_of_tokens(200)], None);
    assert!(limiter.wake(Time(HOUR)).contains(&key(0)), "the rule has changed");
}

#[test]
fn who_asks_for_no_tokens_is_not_always_next() {
    let mut limiter = provider(&[hour_of_tokens(1_000_000), Rule::Concurrent { calls: 1 }]);
    let mut call = limiter.take(Time(0), &caller(9, &[]), Units::CALL).unwrap();
    let asks = [Units::CALL, prompt(1)];
    let mut served = [0_u32; 2];
    for (tenant, units) in (0..).zip(asks) {
        assert!(limiter.take(Time(0), &caller(tenant, &[]), units).is_err());
    }
    for step in 1..=100 {
        let now = Time(step * SECOND);
        limiter.finish(now, &call, Answer::Served, None);
        let (_, woken) = wakes(&mut limiter, now).pop().unwrap();
        let at = woken.iter().find_map(|woken| (0..2).find(|at| key(*at) == *woken)).unwrap();
        let units = asks[at as usize];
        call = limiter.take(now, &caller(at, &[]), units).unwrap();
        assert!(limiter.take(now, &caller(at, &[]), units).is_err());
        served[at as usize] += 1;
    }
    assert_eq!(served, [50, 50]);
}

#[test]
fn service_that_begins_to_be_measured_in_tokens_forgets_what_it_was_in_calls() {
    let mut limiter = provider(&[per_hour(51)]);
    limiter.take(Time(0), &caller(9, &[]), calls(51)).unwrap();
    let asks = [(0, Units { calls: 50, tokens: 1 }), (1, prompt(1))];
    for (tenant, units) in asks {
        assert!(limiter.take(Time(0), &caller(tenant, &[]), units).is_err());
    }
    assert_eq!(limiter.wake(Time(HOUR)), [key(0), key(1)]);
    for (tenant, units) in asks {
        limiter.take(Time(HOUR), &caller(tenant, &[]), units).unwrap();
    }
    for tenant in [0, 1] {
        assert!(limiter.take(Time(HOUR), &caller(tenant, &[]), prompt(1)).is_err());
    }
    // The first had fifty calls, and as many tokens as the other one.
    limiter.set_tool(Time(HOUR), TOOL, &[hour_of_tokens(1)], None);
    assert_eq!(limiter.wake(Time(HOUR)), [key(0)], "who came first");
}

#[test]
fn stored_counts_of_tokens_go_on_beside_those_of_calls() {
    let quota = [per_hour(9), hour_of_tokens(100), tokens(bucket(10, Span::from_secs(1), 100))];
    let mut before = provider(&[hour_of_tokens(1_000)]);
    let taken = before.take(Time(0), &caller(0, &quota), prompt(60)).unwrap();
    before.finish(Time(0), &taken, Answer::Served, Some(70));
    let mut after = provider(&[hour_of_tokens(1_000)]);
    for (tool, tenant, label, used) in before.take_changes() {
        after.restore(tool, tenant, &label, used);
    }
    assert_eq!(used(&after, Time(1), &quota), used(&before, Time(1), &quota));
    assert_eq!(used(&after, Time(0), &quota), [1, 70, 70, 70]);
}

/// Three tenants by weight 1, 2 and 5, whose calls take so many tokens, really use so many, and are over after that time.
fn shares(asks: [u64; 3], uses: [u64; 3], lasts: Span) -> [u64; 3] {
    let rate = tokens(bucket(10_000, Span::from_secs(1), 40_000));
    let mut limiter = provider(&[rate, per_hour(1 << 30)]);
    for (tenant, weight) in (0..).zip([1, 2, 5]) {
        limiter.set_tenant(tenant, tenant, 1);
        limiter.set_org(tenant, weight);
    }
    limiter.take(Time(0), &caller(9, &[]), prompt(40_000)).unwrap();
    let mut got = [0; 3];
    let mut awake = vec![0, 1, 2];
    let mut under_way = std::collections::VecDeque::<(Time, Taken)>::new();
    let mut now = Time(0);
    while now < Time(4_000 * SECOND) {
        for tenant in std::mem::take(&mut awake) {
            let at = tenant as usize;
            while let Ok(taken) = limiter.take(now, &caller(tenant, &[]), prompt(asks[at])) {
                under_way.push_back((now + lasts, taken));
                got[at] += uses[at];
            }
        }
        let over = under_way.front().map(|(over, _)| *over);
        now = limiter.next_wake().into_iter().chain(over).min().unwrap();
        while let Some((_, taken)) = under_way.pop_front_if(|(over, _)| *over <= now) {
            limiter.finish(now, &taken, Answer::Served, Some(uses[taken.tenant as usize]));
        }
        let woken = limiter.wake(now).into_iter();
        awake.extend(woken.filter_map(|woken| (0..3).find(|at| wake_key((*at, TOOL)) == woken)));
    }
    got
}

fn assert_due(got: [u64; 3]) {
    let all: u64 = got.iter().sum();
    for (got, weight) in got.iter().zip([1, 2, 5]) {
        let due = all * weight / 8;
        assert!(got.abs_diff(due) * 100 <= due * 2, "{got} of {due} tokens");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn a_provider_is_shared_by_weight_in_tokens(asks in prop::array::uniform3(1_000_u64..20_000)) {
        assert_due(shares(asks, asks, Span::ZERO));
    }

    #[test]
    fn a_provider_is_shared_by_what_was_really_used(
        asks in prop::array::uniform3(1_000_u64..20_000),
        tenths in prop::array::uniform3(2_u64..20),
        lasts in prop::sample::select(vec![0, 1, 5]),
    ) {
        let mut uses = asks;
        uses.iter_mut().zip(tenths).for_each(|(use_, tenths)| *use_ = *use_ * tenths / 10);
        assert_due(shares(asks, uses, Span::from_secs(lasts)));
    }
}

#[test]
fn who_was_called_for_tokens_that_others_have_used_meanwhile_keeps_its_place() {
    let mut limiter = provider(&[hour_of_tokens(100)]);
    limiter.take(Time(0), &caller(9, &[]), prompt(100)).unwrap();
    for tenant in [0, 1] {
        assert!(limiter.take(Time(0), &caller(tenant, &[]), prompt(30)).is_err());
    }
    assert_eq!(limiter.wake(Time(HOUR)), [key(0), key(1)]);
    let first = limiter.take(Time(HOUR), &caller(0, &[]), prompt(30)).unwrap();
    limiter.finish(Time(HOUR), &first, Answer::Served, Some(200));
    let blocked = limiter.take(Time(HOUR), &caller(1, &[]), prompt(30)).unwrap_err();
    assert_eq!((blocked.used, blocked.opens), (200, Some(Time(2 * HOUR))));
    limiter.take(Time(HOUR), &caller(0, &[]), prompt(30)).unwrap_err();
    assert_eq!(limiter.next_wake(), Some(Time(2 * HOUR)), "nothing is kept for it meanwhile");
    assert_eq!(limiter.wake(Time(2 * HOUR)), [key(1)]);
}

#[test]
fn what_comes_back_of_a_call_earns_nothing_for_the_time_in_which_its_tenant_was_away() {
    let (mut level, mut left, mut stays) = (Level::default(), Seat::new(1), Seat::new(1));
    level.enter(&mut left, 1, 1);
    level.enter(&mut stays, 2, 2);
    level.serve(&mut left, 1, 100);
    level.retire(&mut left, 1);
    for _ in 0..10 {
        level.serve(&mut stays, 2, 50);
    }
    level.enter(&mut left, 1, 3);
    level.refund(&mut left, 1, 100);
    level.serve(&mut left, 1, 60);
    assert_eq!(level.first(), Some(2), "once is enough");
}

#[test]
fn what_a_call_really_used_is_written_down() {
    let quota = [hour_of_tokens(100)];
    let mut limiter = Limiter::default();
    let taken = limiter.take(Time(0), &caller(0, &quota), prompt(60)).unwrap();
    limiter.take_changes();
    limiter.finish(Time(0), &taken, Answer::Served, Some(70));
    let (_, _, label, used) = limiter.take_changes().pop().unwrap();
    let units = Used::Window { start: Time(0), units: 70 };
    assert_eq!((&*label, used), ("tokens:hour@UTC", units));
}

#[test]
fn buckets_of_calls_and_of_tokens_do_not_share_a_count() {
    let second = Span::from_secs(1);
    let quota = [bucket(10, second, 10), tokens(bucket(1_000, second, 1_000))];
    let mut limiter = Limiter::default();
    limiter.take(Time(0), &caller(0, &quota), prompt(400)).unwrap();
    assert_eq!(used(&limiter, Time(0), &quota), [1, 400]);
}
