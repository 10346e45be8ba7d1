//! Which period an amount belongs to, and how long an account is remembered.

use super::*;

fn at(text: &str) -> Time {
    let moment: jiff::Timestamp = text.parse().unwrap();
    Time(u64::try_from(moment.as_microsecond()).unwrap())
}

fn zoned(zone: &str) -> TenantTerms {
    TenantTerms { zone: TimeZone::parse(zone).unwrap(), ..terms(None, Some(10)) }
}

fn just_before(time: Time) -> Time {
    Time(time.0 - 1)
}

#[test]
fn a_hold_is_settled_in_its_own_period() {
    let mut ledger = ledger(Some(10), None, None);
    let mut run = RunAccount::default();
    let held = ledger.hold(NOW, T, &mut run, cents(10)).unwrap();
    let tomorrow = NOW + DAY;
    assert_eq!(ledger.reading(tomorrow, Key::TenantDay(T)).available, Some(cents(10)));
    ledger.settle(T, &mut run, &held, Cost::Uncertain(cents(10)));
    assert_eq!(ledger.reading(tomorrow, Key::TenantDay(T)).available, Some(cents(10)));
    let yesterdays = ledger.reading(NOW, Key::TenantDay(T));
    assert_eq!((yesterdays.state.posted, yesterdays.state.uncertain), (cents(10), cents(10)));
}

#[test]
fn a_month_with_a_change_of_summer_time_begins_and_ends_at_local_midnight() {
    let mut ledger = ledger(None, None, None);
    ledger.set_tenant(T, zoned("Europe/Berlin"));
    let (start, end) = (at("2026-02-28T23:00:00Z"), at("2026-03-31T22:00:00Z"));
    let mut run = RunAccount::default();
    ledger.hold(just_before(start), T, &mut run, cents(10)).unwrap();
    let held = ledger.hold(start, T, &mut run, cents(10)).unwrap();
    assert_eq!(held.tenant_month, Some(start));
    let short = ledger.hold(just_before(end), T, &mut run, cents(1)).unwrap_err();
    assert_eq!((short.left, short.opens), (Nano::ZERO, Some(end)));
    ledger.wait(just_before(end), short.wake);
    assert!(ledger.wake(just_before(end)).is_empty());
    assert_eq!(ledger.wake(end), [short.wake]);
    let april = ledger.hold(end, T, &mut run, cents(10)).unwrap();
    ledger.settle(T, &mut run, &held, Cost::Known(cents(4)));
    assert_eq!(ledger.reading(end, Key::TenantMonth(T)).state.posted, Nano::ZERO);
    assert_eq!(ledger.reading(start, Key::TenantMonth(T)).state.posted, cents(4));
    ledger.settle(T, &mut run, &april, Cost::Known(cents(7)));
    assert_eq!(ledger.reading(end, Key::TenantMonth(T)).state.posted, cents(7));
}

#[test]
fn a_hold_stays_with_the_organisation_that_it_was_made_in() {
    let mut ledger = ledger(None, None, Some(10));
    let mut run = RunAccount::default();
    let held = ledger.hold(NOW, T, &mut run, cents(10)).unwrap();
    ledger.set_tenant(T, TenantTerms { org: ORG + 1, ..terms(None, None) });
    ledger.settle(T, &mut run, &held, Cost::Known(cents(8)));
    assert_eq!(ledger.reading(NOW, Key::OrgMonth(ORG)).state.posted, cents(8));
    assert_eq!(ledger.reading(NOW, Key::OrgMonth(ORG + 1)).state.posted, Nano::ZERO);
}

#[test]
fn accounts_that_are_over_are_forgotten_although_nobody_touches_them() {
    let mut ledger = ledger(None, None, None);
    let mut run = RunAccount::default();
    let held = ledger.hold(NOW, T, &mut run, cents(1)).unwrap();
    for day in 0..1_000 {
        spend(&mut ledger, NOW + Span(DAY.0 * day), 1);
        ledger.take_changes();
        ledger.wake(NOW + Span(DAY.0 * day));
        assert!(ledger.accounts.len() <= 5 + 3, "{:?}", ledger.accounts);
    }
    ledger.wake(NOW + Span(DAY.0 * 2_000));
    assert_eq!(ledger.accounts.len(), 3, "those of the hold that is open still");
    ledger.settle(T, &mut run, &held, Cost::Known(cents(1)));
    assert_eq!(ledger.take_changes().len(), 3);
    assert!(ledger.accounts.is_empty() && ledger.ends.is_empty());
}

#[test]
fn an_account_that_is_over_is_kept_while_it_holds_or_is_to_be_stored() {
    let mut ledger = ledger(None, None, None);
    let mut run = RunAccount::default();
    let held = ledger.hold(NOW, T, &mut run, cents(2)).unwrap();
    spend(&mut ledger, NOW, 5);
    ledger.take_changes();
    let later = NOW + Span(DAY.0 * 40);
    ledger.wake(later);
    assert_eq!(ledger.reading(NOW, Key::TenantDay(T)).state.posted, cents(5));
    ledger.settle(T, &mut run, &held, Cost::Known(cents(2)));
    ledger.wake(later);
    let posted: Vec<Nano> = ledger.take_changes().iter().map(|(.., it)| it.posted).collect();
    assert_eq!(posted, [cents(7); 3]);
    assert!(ledger.accounts.is_empty());
}

/// What it will cost is added to what was posted there, so that must be known still.
#[test]
fn a_hold_of_nothing_keeps_the_account_that_it_is_settled_in() {
    let mut ledger = ledger(None, None, None);
    let mut run = RunAccount::default();
    let nothing = ledger.hold(NOW, T, &mut run, Nano::ZERO).unwrap();
    let held = ledger.hold(NOW, T, &mut run, cents(5)).unwrap();
    let later = NOW + Span(DAY.0 * 40);
    ledger.wake(later);
    ledger.settle(T, &mut run, &held, Cost::Known(cents(5)));
    ledger.take_changes();
    ledger.settle(T, &mut run, &nothing, Cost::Known(cents(3)));
    let posted: Vec<Nano> = ledger.take_changes().iter().map(|(.., it)| it.posted).collect();
    assert_eq!(posted, [cents(8); 3]);
}

#[test]
fn a_batch_of_wakes_just_before_the_end_forgets_nothing() {
    let mut ledger = ledger(None, Some(10), None);
    let end = ledger.reading(NOW, Key::TenantMonth(T)).window.end;
    let just_before = Time(end.0 - PACE.0 / 2);
    for tenant in (T + 1..).take(WAKES_MAX) {
        ledger.set_tenant(tenant, terms(None, Some(1)));
        wait_for(&mut ledger, just_before, tenant, 2);
        ledger.adjust(just_before, Key::TenantMonth(tenant), cents(1), Nano::ZERO).unwrap();
    }
    assert_eq!(ledger.wake(just_before).len(), WAKES_MAX);
    spend(&mut ledger, just_before, 10);
    ledger.take_changes();
    assert!(ledger.hold(just_before, T, &mut RunAccount::default(), cents(1)).is_err());
}

/// In March both zones begin together, and Berlin ends an hour earlier.
#[test]
fn another_time_zone_does_not_forget_what_was_spent_in_the_period_under_way() {
    // Alone, and where so many others are over that it takes a while to forget them.
    for others in [0, 50] {
        let mut ledger = ledger(None, None, None);
        for tenant in (T + 1..).take(others) {
            ledger.hold(NOW, tenant, &mut RunAccount::default(), cents(1)).unwrap();
        }
        ledger.set_tenant(T, zoned("Europe/Berlin"));
        spend(&mut ledger, NOW, 10);
        ledger.take_changes();
        ledger.set_tenant(T, zoned("Africa/Lagos"));
        let now = at("2026-03-31T22:30:00Z");
        ledger.wake(now);
        let mut run = RunAccount::default();
        let nothing = ledger.hold(now, T, &mut run, Nano::ZERO).unwrap();
        ledger.settle(T, &mut run, &nothing, Cost::Known(cents(1)));
        ledger.take_changes();
        assert_eq!(ledger.reading(now, Key::TenantMonth(T)).debt, cents(1));
        for _ in 0..50 {
            ledger.wake(at("2026-03-31T23:00:00Z"));
        }
        let reading = ledger.reading(now, Key::TenantMonth(T));
        assert_eq!(reading.state.posted, Nano::ZERO, "now it is over");
    }
}

#[test]
fn another_time_zone_holds_at_once() {
    let mut ledger = ledger(None, None, Some(10));
    let mut run = RunAccount::default();
    ledger.hold(NOW, T, &mut run, cents(1)).unwrap();
    ledger.set_tenant(T, zoned("Europe/Berlin"));
    ledger.set_org(ORG, OrgTerms { month: None, zone: TimeZone::parse("Asia/Kolkata").unwrap() });
    let held = ledger.hold(NOW, T, &mut run, cents(1)).unwrap();
    assert_eq!(held.tenant_day, Some(at("2026-03-27T23:00:00Z")));
    assert_eq!(held.tenant_month, Some(at("2026-02-28T23:00:00Z")));
    assert_eq!(held.org_month, Some((ORG, at("2026-02-28T18:30:00Z"))));
}
