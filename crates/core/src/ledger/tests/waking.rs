//! Who waits is woken when there may be enough, not before, and never all at once.

use super::*;

#[test]
fn who_waits_is_woken_when_the_period_turns_and_not_before() {
    let mut ledger = ledger(Some(10), None, None);
    let mut run = RunAccount::default();
    ledger.hold(NOW, T, &mut run, cents(10)).unwrap();
    let short = ledger.hold(NOW, T, &mut run, cents(10)).unwrap_err();
    ledger.wait(NOW, short.wake);
    let opens = short.opens.unwrap();
    assert_eq!(ledger.next_wake(), Some(opens));
    assert!(ledger.wake(Time(opens.0 - 1)).is_empty());
    assert_eq!(ledger.wake(opens), [short.wake]);
    assert_eq!(ledger.next_wake(), None);
    assert!(ledger.hold(opens, T, &mut run, cents(10)).is_ok());
}

#[test]
fn what_is_released_or_cheaper_than_held_wakes_who_waits_for_it() {
    let mut ledger = ledger(None, Some(10), None);
    let mut run = RunAccount::default();
    for is_released in [true, false] {
        let held = ledger.hold(NOW, T, &mut run, cents(5)).unwrap();
        let short = ledger.hold(NOW, T, &mut run, cents(6)).unwrap_err();
        ledger.wait(NOW, short.wake);
        assert!(ledger.wake(NOW).is_empty());
        if is_released {
            ledger.release(T, &mut run, &held);
        } else {
            ledger.settle(T, &mut run, &held, Cost::Known(cents(1)));
        }
        assert_eq!(ledger.wake(NOW), [short.wake]);
    }
}

#[test]
fn nobody_is_woken_where_nothing_became_free() {
    let mut ledger = ledger(None, Some(10), None);
    let mut run = RunAccount::default();
    let [dear, exact, unwaited] =
        [2, 3, 4].map(|cost| ledger.hold(NOW, T, &mut run, cents(cost)).unwrap());
    ledger.release(T, &mut run, &unwaited);
    wait_for(&mut ledger, NOW, T, 6);
    ledger.settle(T, &mut run, &exact, Cost::Known(cents(3)));
    ledger.settle(T, &mut run, &dear, Cost::Known(cents(7)));
    ledger.set_tenant(T, terms(None, Some(10)));
    ledger.set_org(ORG, OrgTerms::default());
    assert_eq!(ledger.adjust(NOW, Key::TenantMonth(T), Nano::ZERO, Nano::ZERO), Some(false));
    assert!(ledger.wake(NOW).is_empty());
}

#[test]
fn who_waits_twice_is_woken_once() {
    let mut ledger = ledger(None, Some(10), None);
    let key = Key::TenantMonth(T);
    let short = wait_for(&mut ledger, NOW, T, 50);
    for topped_up in [1, 2] {
        ledger.adjust(NOW, key, cents(topped_up), Nano::ZERO).unwrap();
        ledger.wait(NOW, short.wake);
    }
    assert_eq!(ledger.wake(NOW), [short.wake]);
    assert_eq!(ledger.next_wake(), None);
    assert!(ledger.wake(short.opens.unwrap()).is_empty());
}

#[test]
fn new_terms_wake_who_waits() {
    let mut ledger = ledger(None, Some(10), Some(10));
    let short = wait_for(&mut ledger, NOW, T, 11);
    ledger.set_tenant(T, terms(None, Some(20)));
    assert_eq!(ledger.wake(NOW), [short.wake]);
    let short = wait_for(&mut ledger, NOW, T, 11);
    assert_eq!(short.account, Account::OrgMonth);
    ledger.set_org(ORG, OrgTerms { month: None, zone: TimeZone::UTC });
    assert_eq!(ledger.wake(NOW), [short.wake]);
}

#[test]
fn a_tenant_that_moves_waits_no_longer_for_its_old_organisation() {
    let mut ledger = ledger(None, None, Some(10));
    let short = wait_for(&mut ledger, NOW, T, 11);
    assert_eq!(short.account, Account::OrgMonth);
    ledger.set_tenant(T, TenantTerms { org: ORG + 1, ..terms(None, None) });
    assert_eq!(ledger.wake(NOW), [short.wake]);
    assert_eq!(ledger.check(NOW, T, &RunAccount::default(), cents(11)), Ok(()));
}

#[test]
fn a_thousand_waiters_of_one_boundary_come_in_batches() {
    let mut ledger = Ledger::default();
    let mut opens = NOW;
    for tenant in 0..1_000 {
        ledger.set_tenant(tenant, terms(Some(1), None));
        opens = wait_for(&mut ledger, NOW, tenant, 2).opens.unwrap();
    }
    let mut woken = Vec::new();
    let mut now = opens;
    while let Some(due) = ledger.next_wake() {
        now = now.max(due);
        assert!(ledger.wake(Time(due.0 - 1)).is_empty(), "before its time");
        let batch = ledger.wake(now);
        assert!((1..=WAKES_MAX).contains(&batch.len()));
        assert!(batch.len() < WAKES_MAX || ledger.wake(now).is_empty(), "twice in a moment");
        woken.extend(batch);
    }
    assert_eq!((woken.len(), now.since(opens)), (1_000, Span(PACE.0 * 15)));
    woken.dedup();
    assert_eq!(woken.len(), 1_000);
}

/// A tenant whose waiters are always there again does not keep those of others from their turn.
#[test]
fn who_was_freed_first_is_woken_first() {
    let mut ledger = Ledger::default();
    let last = u32::try_from(WAKES_MAX).unwrap();
    let free_again = |ledger: &mut Ledger, tenant: u32, topped_up: u64| {
        wait_for(ledger, NOW, tenant, 200);
        ledger.adjust(NOW, Key::TenantMonth(tenant), cents(topped_up), Nano::ZERO).unwrap();
    };
    for tenant in 0..=last {
        ledger.set_tenant(tenant, terms(None, Some(1)));
        free_again(&mut ledger, tenant, 1);
    }
    assert_eq!(ledger.wake(NOW).len(), WAKES_MAX);
    for tenant in 0..last {
        free_again(&mut ledger, tenant, 2);
    }
    assert_eq!(ledger.next_wake(), Some(NOW + PACE));
    let next = ledger.wake(NOW + PACE);
    assert_eq!(next[0], Key::TenantMonth(last).wake());
}

#[test]
fn wake_keys_are_those_of_accounts_only() {
    let mut ledger = ledger(Some(0), Some(0), Some(0));
    for foreign in [0, 7, 1 << 62 | 7, 1 << 63 | 3 << 32, u64::MAX] {
        ledger.wait(NOW, foreign);
        assert_eq!(ledger.next_wake(), None, "{foreign:x}");
    }
    let places = [0, T, u32::MAX];
    let keys = places.map(|at| [Key::TenantDay(at), Key::TenantMonth(at), Key::OrgMonth(at)]);
    let mut wakes = BTreeSet::new();
    for key in keys.into_iter().flatten() {
        assert_eq!(key_of(key.wake()), Some(key));
        assert!(key.wake() >> 62 == 0b10 && wakes.insert(key.wake()), "{key:?}");
    }
}
