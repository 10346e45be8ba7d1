//! Who is woken, and when.

use super::*;

#[test]
fn who_waits_for_its_quota_is_woken_when_its_window_turns() {
    let quota = [per_hour(1)];
    let mut limiter = Limiter::default();
    take_all(&mut limiter, Time(5), &caller(0, &quota));
    assert_eq!(wakes(&mut limiter, Time(HOUR - 1)), []);
    assert_eq!(wakes(&mut limiter, Time(HOUR)), [(Time(HOUR), vec![key(0)])]);
    assert_eq!(limiter.next_wake(), None, "it is woken once");
}

#[test]
fn a_thousand_waiters_of_one_boundary_are_not_woken_in_one_moment() {
    let quota = [per_hour(1)];
    let mut own = Limiter::default();
    let mut shared = provider(&[per_hour(5_000)]);
    shared.take(Time(0), &caller(5_000, &[]), calls(5_000)).unwrap();
    for tenant in 0..1_000 {
        take_all(&mut own, Time(0), &caller(tenant, &quota));
        assert!(shared.take(Time(0), &caller(tenant, &[]), Units::CALL).is_err());
    }
    for limiter in [&mut own, &mut shared] {
        let woken = wakes(limiter, Time(HOUR + SECOND / 2));
        let mut keys: Vec<u64> = woken.iter().flat_map(|(_, keys)| keys.clone()).collect();
        keys.sort_unstable();
        assert_eq!(keys, (0..1_000).map(key).collect::<Vec<_>>());
        assert!(woken.iter().all(|(_, keys)| keys.len() <= 64));
        for (i, (at, _)) in woken.iter().enumerate() {
            assert_eq!(at.0, HOUR + 10_000 * i as u64);
        }
    }
}

#[test]
fn a_call_that_is_over_lets_the_next_one_try() {
    let quota = [Rule::Concurrent { calls: 1 }];
    let mut limiter = Limiter::default();
    let taken = limiter.take(Time(1), &caller(0, &quota), Units::CALL).unwrap();
    assert!(limiter.take(Time(1), &caller(0, &quota), Units::CALL).is_err());
    assert_eq!(limiter.next_wake(), None);
    over(&mut limiter, &taken);
    assert_eq!(limiter.next_wake(), Some(Time(1)));
    assert_eq!(limiter.wake(Time(1)), [key(0)]);
}

#[test]
fn units_that_come_back_let_the_next_one_try() {
    let quota = [per_hour(1)];
    let mut limiter = Limiter::default();
    let taken = limiter.take(Time(1), &caller(0, &quota), Units::CALL).unwrap();
    assert!(limiter.take(Time(1), &caller(0, &quota), Units::CALL).is_err());
    limiter.give_back(&taken);
    assert_eq!(limiter.wake(Time(1)), [key(0)]);
    assert!(limiter.take(Time(1), &caller(0, &quota), Units::CALL).is_ok());
}

#[test]
fn another_quota_lets_all_of_the_tenant_try() {
    let mut limiter = provider(&[per_hour(3)]);
    for tool in [TOOL, 8, 9] {
        let caller = Caller { tenant: 4, tool, quota: &[per_hour(1)] };
        take_all(&mut limiter, Time(0), &caller);
    }
    take_all(&mut limiter, Time(0), &caller(5, &[]));
    limiter.retry_all(4);
    let keys = [TOOL, 8, 9].map(|tool| crate::limiter::wake_key((4, tool)));
    assert_eq!(limiter.wake(Time(0)), keys);
    limiter.retry_all(5);
    assert_eq!(limiter.wake(Time(0)), [key(5)], "it keeps its place in the line");
    assert_eq!(limiter.tools[&TOOL].line.asked_units(5), Some(Units::CALL));
}

#[test]
fn a_larger_limit_lets_those_in_the_line_in_at_once() {
    let mut limiter = provider(&[per_hour(1)]);
    for tenant in 0..4 {
        take_all(&mut limiter, Time(0), &caller(tenant, &[]));
    }
    assert_eq!(wakes(&mut limiter, Time(SECOND)), []);
    limiter.set_tool(Time(SECOND), TOOL, &[per_hour(3)], None);
    assert_eq!(limiter.wake(Time(SECOND)), [key(0), key(1)], "one unit of three is used");
    limiter.set_tool(Time(SECOND), TOOL, &[], None);
    assert_eq!(limiter.wake(Time(SECOND)), [key(2), key(3)]);
}

#[test]
fn who_asks_for_more_than_ever_passes_holds_nobody_up() {
    let mut limiter = provider(&[per_hour(5)]);
    limiter.take(Time(0), &caller(9, &[]), calls(5)).unwrap();
    assert!(limiter.take(Time(0), &caller(0, &[]), calls(3)).is_err());
    assert!(limiter.take(Time(0), &caller(1, &[]), Units::CALL).is_err());
    limiter.set_tool(Time(1), TOOL, &[per_hour(2)], None);
    let woken = limiter.wake(Time(1));
    assert_eq!(woken, [key(0)], "it may see that it asks for too much");
    let refused = limiter.take(Time(1), &caller(0, &[]), calls(3)).unwrap_err();
    assert_eq!((refused.of, refused.opens), (2, None));
    assert_eq!(wakes(&mut limiter, Time(HOUR)), [(Time(HOUR), vec![key(1)])]);
    limiter.set_tool(Time(HOUR), TOOL, &[per_hour(9)], None);
    assert!(limiter.wake(Time(HOUR)).contains(&key(0)), "the rule has changed");
}

#[test]
fn who_could_not_use_its_call_owes_nothing_for_it() {
    let mut limiter = provider(&[per_hour(10)]);
    limiter.set_org(1, 5);
    limiter.set_tenant(1, 1, 1);
    limiter.take(Time(0), &caller(9, &[]), calls(10)).unwrap();
    for tenant in [0, 1] {
        assert!(limiter.take(Time(0), &caller(tenant, &[]), calls(5)).is_err());
    }
    assert_eq!(limiter.wake(Time(HOUR)), [key(0), key(1)]);
    for now in [Time(HOUR), Time(HOUR + SECOND)] {
        assert!(limiter.take(now, &caller(1, &[]), calls(5)).is_ok());
        assert!(limiter.take(now, &caller(1, &[]), calls(5)).is_err());
        wakes(&mut limiter, Time(HOUR + SECOND));
    }
    assert!(limiter.take(Time(HOUR + SECOND), &caller(0, &[]), calls(5)).is_err());
    // It is next after the one that came before it. Had it been charged, two more takes of the other one would come first.
    assert_eq!(wakes(&mut limiter, Time(2 * HOUR)), [(Time(2 * HOUR), vec![key(1), key(0)])]);
}

#[test]
fn a_call_that_is_not_used_goes_to_the_next() {
    let mut limiter = provider(&[per_hour(1)]);
    for tenant in 0..3 {
        take_all(&mut limiter, Time(0), &caller(tenant, &[]));
    }
    take_all(&mut limiter, Time(0), &caller(0, &[]));
    assert_eq!(wakes(&mut limiter, Time(HOUR)), [(Time(HOUR), vec![key(0)])]);
    let refused = limiter.take(Time(HOUR), &caller(2, &[]), Units::CALL).unwrap_err();
    assert_eq!((refused.used, refused.of), (0, 1), "it is kept for another");
    let next = wakes(&mut limiter, Time(HOUR + SECOND));
    assert_eq!(next, [(Time(HOUR + SECOND), vec![key(1)])]);
    assert!(limiter.take(Time(HOUR + SECOND), &caller(1, &[]), Units::CALL).is_ok());
    let again = wakes(&mut limiter, Time(2 * HOUR));
    assert_eq!(again, [(Time(2 * HOUR), vec![key(2)])]);
}

#[test]
fn who_is_called_while_its_own_quota_is_used_up_gives_the_call_on_at_once() {
    let quota = [window(1, Calendar::Day, "UTC")];
    let mut limiter = provider(&[per_hour(1)]);
    limiter.take(Time(0), &caller(9, &[]), Units::CALL).unwrap();
    limiter.take(Time(0), &caller(0, &quota), Units::CALL).unwrap_err();
    limiter.take(Time(0), &caller(1, &[]), Units::CALL).unwrap_err();
    limiter.restore(TOOL, Some(0), "day@UTC", Used::Window { start: Time(0), units: 1 });
    assert_eq!(limiter.wake(Time(HOUR)), [key(0)]);
    let refused = limiter.take(Time(HOUR), &caller(0, &quota), Units::CALL).unwrap_err();
    assert_eq!(refused.holder, LimitHolder::Tenant);
    assert_eq!(limiter.next_wake(), Some(Time(HOUR)));
    assert_eq!(limiter.wake(Time(HOUR)), [key(1)]);
}

#[test]
fn steps_of_two_sizes_behind_one_key_are_both_served() {
    let mut limiter = provider(&[per_hour(10)]);
    limiter.take(Time(0), &caller(0, &[]), calls(10)).unwrap();
    for tenant in [1, 2] {
        assert!(limiter.take(Time(0), &caller(tenant, &[]), Units::CALL).is_err());
    }
    assert_eq!(limiter.wake(Time(HOUR)), [key(1), key(2)]);
    assert!(
        limiter.take(Time(HOUR), &caller(1, &[]), calls(10)).is_err(),
        "one is kept for another"
    );
    for tenant in [1, 2] {
        assert!(limiter.take(Time(HOUR), &caller(tenant, &[]), Units::CALL).is_ok());
    }
    assert_eq!(wakes(&mut limiter, Time(2 * HOUR)), [(Time(2 * HOUR), vec![key(1)])]);
    assert!(limiter.take(Time(2 * HOUR), &caller(1, &[]), calls(10)).is_ok());
}

#[test]
fn who_is_gone_keeps_nothing_and_an_unknown_key_is_harmless() {
    let mut limiter = provider(&[per_hour(1)]);
    for tenant in 0..3 {
        take_all(&mut limiter, Time(0), &caller(tenant, &[]));
    }
    limiter.gone(key(0));
    for unknown in [0, 5, u64::MAX, 1 << 63, key(77), crate::limiter::wake_key((0, 99))] {
        limiter.gone(unknown);
    }
    assert_eq!(limiter.wake(Time(HOUR)), [key(1)]);
    limiter.gone(key(1));
    assert_eq!(limiter.wake(Time(HOUR)), [key(2)]);
    limiter.gone(key(2));
    assert_eq!(limiter.next_wake(), None);
    assert_eq!(limiter.tools[&TOOL].line.remembered(), 0);
}

#[test]
fn keys_of_different_tenants_and_tools_differ_and_are_marked() {
    let spots = [(0, 0), (1, 0), (0, 1), (u32::MAX, 0), (u32::MAX, (1 << 30) - 1)];
    let keys = spots.map(crate::limiter::wake_key);
    for (i, key) in keys.iter().enumerate() {
        assert_eq!(key >> 62, 1);
        assert_eq!(crate::limiter::spot_of(*key), Some(spots[i]));
        assert!(!keys[..i].contains(key));
    }
}

#[test]
fn a_called_tenant_can_move_to_an_organisation_that_has_nobody_in_the_line() {
    let mut limiter = provider(&[Rule::Concurrent { calls: 8 }]);
    let (back, gone, moves, holder) = (1, 2, 3, 99);
    for (tenant, org) in [(back, 1), (gone, 2), (moves, 3), (holder, 9)] {
        limiter.set_org(org, 1);
        limiter.set_tenant(tenant, org, 1);
    }
    let now = Time(SECOND);
    let mut calls: Vec<_> =
        (0..8).map(|_| limiter.take(now, &caller(holder, &[]), Units::CALL).unwrap()).collect();
    for tenant in [back, gone, moves] {
        assert!(limiter.take(now, &caller(tenant, &[]), Units::CALL).is_err());
    }
    over(&mut limiter, &calls.pop().unwrap());
    assert_eq!(limiter.wake(now), [key(back)]);
    assert!(limiter.take(now, &caller(back, &[]), Units::CALL).is_ok());
    assert!(limiter.take(now, &caller(back, &[]), Units::CALL).is_err(), "it waits again");
    over(&mut limiter, &calls.pop().unwrap());
    assert_eq!(limiter.wake(now), [key(gone)]);
    assert!(limiter.take(now, &caller(gone, &[]), Units::CALL).is_ok());
    over(&mut limiter, &calls.pop().unwrap());
    wakes(&mut limiter, Time(SECOND + 20_000));
    // It was called and has no slot; where it comes to, nobody waits any more.
    limiter.set_tenant(moves, 2, 1);
    over(&mut limiter, &calls.pop().unwrap());
    let woken = wakes(&mut limiter, Time(3 * SECOND));
    assert!(woken.iter().any(|(_, keys)| keys.contains(&key(back))), "{woken:?}");
}

#[test]
fn whoever_waits_anywhere_can_be_told_to_try_again() {
    let quota = [per_hour(1)];
    let mut limiter = provider(&[per_hour(2)]);
    // The first waits for its own quota, the second for the provider's limit.
    take_all(&mut limiter, Time(5), &caller(0, &quota));
    take_all(&mut limiter, Time(5), &caller(1, &[]));
    assert!(limiter.wake(Time(6)).is_empty());
    limiter.retry_everyone();
    assert_eq!(limiter.wake(Time(6)), [key(0), key(1)]);
    assert!(limiter.wake(Time(6)).is_empty());
}
