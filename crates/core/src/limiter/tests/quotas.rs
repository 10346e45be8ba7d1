//! Windows and calls under way, at both levels.

use super::*;

fn at(text: &str) -> Time {
    let moment: jiff::Timestamp = text.parse().unwrap();
    Time(moment.as_microsecond().try_into().unwrap())
}

#[test]
fn a_day_of_25_hours_has_the_quota_of_one_day() {
    let quota = [window(3, Calendar::Day, "Europe/Berlin")];
    let mut limiter = Limiter::default();
    let by_day = ["2026-10-24T22:00:00Z", "2026-10-25T22:59:59Z", "2026-10-25T23:00:00Z"]
        .map(|text| take_all(&mut limiter, at(text), &caller(0, &quota)));
    assert_eq!(by_day, [3, 0, 3], "a new day begins after 25 hours, not after 24");
}

#[test]
fn a_month_is_as_long_as_it_is() {
    let quota = [window(2, Calendar::Month, "America/New_York")];
    let mut limiter = Limiter::default();
    let used = ["2028-02-01T05:00:00Z", "2028-03-01T04:59:59Z", "2028-03-01T05:00:00Z"]
        .map(|text| take_all(&mut limiter, at(text), &caller(0, &quota)));
    assert_eq!(used, [2, 0, 2]);
}

#[test]
fn a_refusal_says_which_rule_and_until_when() {
    let quota = [per_hour(2), window(5, Calendar::Day, "UTC")];
    let mut limiter = provider(&[per_hour(3)]);
    take_all(&mut limiter, Time(0), &caller(0, &quota));
    let own = limiter.take(Time(1), &caller(0, &quota), Units::CALL).unwrap_err();
    assert_eq!((own.holder, &*own.rule, own.used, own.of), (LimitHolder::Tenant, "hour@UTC", 2, 2));
    assert_eq!((own.opens, own.wake), (Some(Time(HOUR)), key(0)));
    take_all(&mut limiter, Time(1), &caller(1, &quota));
    let shared = limiter.take(Time(2), &caller(2, &quota), Units::CALL).unwrap_err();
    assert_eq!((shared.holder, shared.used, shared.of), (LimitHolder::Provider, 3, 3));
    assert_eq!((shared.opens, shared.wake), (Some(Time(HOUR)), key(2)));
    assert_eq!(limiter.would_block(Time(2), &caller(0, &quota), Units::CALL), Some(own));
}

#[test]
fn a_take_that_is_refused_takes_nothing_at_either_level() {
    let quota = [per_hour(10), bucket(1, Span::from_secs(1), 10)];
    let mut limiter = provider(&[per_hour(5), window(4, Calendar::Day, "UTC")]);
    assert!(
        limiter.take(Time(0), &caller(0, &quota), calls(5)).is_err(),
        "the provider's day has 4"
    );
    assert!(
        limiter.take(Time(0), &caller(0, &quota), calls(11)).is_err(),
        "the tenant's hour has 10"
    );
    assert_eq!(limiter.take_changes(), []);
    assert!(limiter.reading(Time(0), &caller(0, &quota)).iter().all(|rule| rule.used == 0));
    assert!(limiter.take(Time(0), &caller(0, &quota), calls(4)).is_ok());
}

#[test]
fn what_was_not_used_returns_to_its_own_window_only() {
    let quota = [per_hour(2)];
    let mut limiter = Limiter::default();
    let one = limiter.take(Time(0), &caller(0, &quota), Units::CALL).unwrap();
    let other = limiter.take(Time(0), &caller(0, &quota), Units::CALL).unwrap();
    limiter.give_back(&one);
    assert_eq!(take_all(&mut limiter, Time(1), &caller(0, &quota)), 1);
    assert_eq!(take_all(&mut limiter, Time(HOUR), &caller(0, &quota)), 2);
    limiter.give_back(&other);
    assert_eq!(take_all(&mut limiter, Time(HOUR), &caller(0, &quota)), 0, "its window is over");
}

#[test]
fn calls_under_way_are_bounded_whatever_their_size() {
    let quota = [Rule::Concurrent { calls: 2 }];
    let mut limiter = provider(&[Rule::Concurrent { calls: 3 }]);
    let taken = limiter.take(Time(0), &caller(0, &quota), calls(900)).unwrap();
    let resumed = limiter.resume(Time(0), &caller(0, &quota));
    let refused = limiter.take(Time(0), &caller(0, &quota), Units::CALL).unwrap_err();
    assert_eq!((refused.holder, refused.used, refused.opens), (LimitHolder::Tenant, 2, None));
    let third = limiter.take(Time(0), &caller(1, &quota), Units::CALL).unwrap();
    let refused = limiter.take(Time(0), &caller(2, &quota), Units::CALL).unwrap_err();
    assert_eq!((refused.holder, refused.used, refused.of), (LimitHolder::Provider, 3, 3));
    over(&mut limiter, &taken);
    limiter.give_back(&third);
    over(&mut limiter, &resumed);
    assert!(limiter.reading(Time(0), &caller(0, &quota)).iter().all(|rule| rule.used == 0));
}

#[test]
fn a_rule_that_comes_later_finds_the_calls_that_are_under_way() {
    let mut limiter = provider(&[per_hour(9)]);
    let taken = limiter.take(Time(0), &caller(0, &[]), Units::CALL).unwrap();
    limiter.set_tool(Time(1), TOOL, &[Rule::Concurrent { calls: 1 }], None);
    assert!(limiter.take(Time(1), &caller(1, &[]), Units::CALL).is_err());
    over(&mut limiter, &taken);
    assert_eq!(wakes(&mut limiter, Time(1)), [(Time(1), vec![key(1)])]);
}

#[test]
fn an_exhausted_quota_changes_nothing_for_others() {
    let quota = [per_hour(2)];
    let mut limiter = provider(&[per_hour(10)]);
    assert_eq!(take_all(&mut limiter, Time(0), &caller(0, &quota)), 2);
    assert_eq!(take_all(&mut limiter, Time(0), &caller(1, &[])), 8);
    // It stands in no line of the provider's: what it may take then it is called for when its own window turns.
    assert!(limiter.take(Time(1), &caller(0, &quota), Units::CALL).is_err());
    assert_eq!(limiter.tools[&TOOL].line.asked_units(0), None);
}

#[test]
fn rules_of_the_same_label_share_a_count_and_the_smallest_number_holds() {
    let quota = [per_hour(5), per_hour(3), per_hour(4)];
    let mut limiter = Limiter::default();
    assert_eq!(take_all(&mut limiter, Time(0), &caller(0, &quota)), 3);
    assert_eq!(limiter.reading(Time(0), &caller(0, &quota)).len(), 1);
}

#[test]
fn stored_counts_go_on_where_they_were() {
    let quota = [per_hour(5), bucket(1, Span::from_secs(10), 4)];
    let shared = [window(9, Calendar::Day, "Europe/Berlin"), bucket(3, Span::from_secs(7), 8)];
    let mut before = provider(&shared);
    for _ in 0..3 {
        before.take(Time(5), &caller(0, &quota), Units::CALL).unwrap();
    }
    let stored = before.take_changes();
    let names: Vec<_> = stored.iter().map(|(_, tenant, label, _)| (*tenant, &**label)).collect();
    let (own, all) = (Some(0), None);
    assert_eq!(
        names,
        [
            (all, "bucket@7000000"),
            (all, "day@Europe/Berlin"),
            (own, "bucket@10000000"),
            (own, "hour@UTC")
        ]
    );
    assert_eq!(before.take_changes(), [], "each is told once");
    for is_declared_first in [true, false] {
        let mut after = Limiter::default();
        if is_declared_first {
            after.set_tool(Time(6), TOOL, &shared, None);
        }
        for (tool, tenant, label, used) in &stored {
            after.restore(*tool, *tenant, label, *used);
        }
        after.set_tool(Time(6), TOOL, &shared, None);
        let resumed = after.resume(Time(6), &caller(0, &quota));
        let now = Time(10 * SECOND);
        assert_eq!(after.reading(now, &caller(0, &quota)), before.reading(now, &caller(0, &quota)));
        over(&mut after, &resumed);
        assert_eq!(
            take_all(&mut after, Time(6), &caller(0, &quota)),
            1,
            "one of the burst is left"
        );
    }
}

#[test]
fn a_stored_count_that_no_rule_can_have_is_left_out() {
    let mut limiter = provider(&[per_hour(1)]);
    let used = Used::Window { start: Time(0), units: 1 };
    for label in ["hour@Europe/Atlantis", "fortnight@UTC", "bucket@x", "", "bucket@5"] {
        limiter.restore(TOOL, None, label, used);
        limiter.restore(TOOL, Some(3), label, used);
    }
    assert_eq!(limiter.tools[&TOOL].uses.len(), 0);
    assert_eq!(take_all(&mut limiter, Time(0), &caller(0, &[])), 1);
}

#[test]
fn counts_of_windows_that_are_over_are_forgotten() {
    let quota = [per_hour(5), bucket(10, Span::from_secs(1), 10)];
    let mut limiter = Limiter::default();
    for tenant in 0..1_000 {
        take_all(&mut limiter, Time(u64::from(tenant)), &caller(tenant, &quota));
    }
    assert_eq!(limiter.tools[&TOOL].uses.len(), 1_000);
    for tenant in 1_000..2_000 {
        take_all(&mut limiter, Time(HOUR), &caller(tenant, &quota));
    }
    assert_eq!(limiter.tools[&TOOL].uses.len(), 1_000, "those of the last hour are gone");
    wakes(&mut limiter, Time(3 * HOUR));
    while !limiter.over.is_empty() {
        limiter.wake(Time(3 * HOUR));
    }
    assert_eq!(limiter.tools[&TOOL].uses.len(), 0);
    assert_eq!(limiter.waits.remembered(), 0, "all were woken");
}
