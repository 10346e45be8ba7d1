//! What is held, spent and left at each level. When waiters are woken, which period an amount belongs to, and all of it
//! against a list of holds and postings: in the files below.

use super::*;

mod books;
mod periods;
mod waking;

const T: u32 = 7;
const ORG: u32 = 3;
/// 2026-03-28, noon, in UTC.
const NOW: Time = Time(1_774_699_200_000_000);
const DAY: Span = Span::from_secs(24 * 3_600);

fn cents(cents: u64) -> Nano {
    Nano::from_cents(cents)
}

fn ledger(day: Option<u64>, month: Option<u64>, org: Option<u64>) -> Ledger {
    let mut ledger = Ledger::default();
    ledger.set_org(ORG, OrgTerms { month: org.map(cents), zone: TimeZone::UTC });
    ledger.set_tenant(T, terms(day, month));
    ledger
}

fn terms(day: Option<u64>, month: Option<u64>) -> TenantTerms {
    TenantTerms { org: ORG, day: day.map(cents), month: month.map(cents), zone: TimeZone::UTC }
}

fn limited(limit: u64) -> RunAccount {
    RunAccount { limit: Some(cents(limit)), ..RunAccount::default() }
}

/// Holds and spends the amount.
fn spend(ledger: &mut Ledger, now: Time, amount: u64) {
    let mut run = RunAccount::default();
    let held = ledger.hold(now, T, &mut run, cents(amount)).unwrap();
    ledger.settle(T, &mut run, &held, Cost::Known(cents(amount)));
}

/// Somebody waits for the tenant's account that is short of the amount.
fn wait_for(ledger: &mut Ledger, now: Time, tenant: u32, amount: u64) -> Short {
    let short = ledger.check(now, tenant, &RunAccount::default(), cents(amount)).unwrap_err();
    ledger.wait(now, short.wake);
    short
}

/// A free-tier tenant: 0.50 for a run, of which 0.05 are kept back. What is left counts them too.
#[test]
fn the_worked_example_comes_out_to_the_cent() {
    let mut ledger = ledger(None, None, None);
    let mut run = RunAccount { reserve: cents(5), ..limited(50) };
    for (step, cost, left, is_held) in [
        ("verify identity", 2, 48, true),
        ("pull credit", 5, 43, true),
        ("replan", 8, 35, true),
        ("deep verification", 12, 23, true),
        ("second replan", 8, 15, true),
        ("the step that it planned", 15, 15, false),
        ("the same on the cheaper model", 10, 5, true),
        ("issue decision", 8, 5, false),
    ] {
        let (account, need, left_to_hold) = (Account::Run, cents(cost), run.left().unwrap());
        match ledger.hold(NOW, T, &mut run, need) {
            Ok(held) => {
                assert!(is_held, "{step}");
                ledger.settle(T, &mut run, &held, Cost::Known(need));
            }
            Err(short) => {
                assert!(!is_held, "{step}");
                let expected = Short { account, need, left: left_to_hold, opens: None, wake: 0 };
                assert_eq!(short, expected, "{step}");
            }
        }
        assert_eq!(run.limit.unwrap().minus(run.posted), cents(left), "after {step}");
        assert_eq!(ledger.reading(NOW, Key::TenantMonth(T)).state.posted, run.posted);
    }
    assert_eq!(run.left(), Some(Nano::ZERO), "what is kept back is all there is");
}

#[test]
fn an_amount_is_held_at_every_level_or_at_none_and_the_narrowest_short_account_is_named() {
    let accounts = [Account::Run, Account::TenantDay, Account::TenantMonth, Account::OrgMonth];
    for (narrowest, account) in accounts.into_iter().enumerate() {
        // From that level on all are short.
        let money = |level: usize| if level < narrowest { 100 } else { 10 + level as u64 };
        let mut ledger = ledger(Some(money(1)), Some(money(2)), Some(money(3)));
        let mut run = limited(money(0));
        let short = ledger.hold(NOW, T, &mut run, cents(20)).unwrap_err();
        assert_eq!((short.account, short.need), (account, cents(20)));
        assert_eq!(short.left, cents(10 + narrowest as u64));
        assert_eq!(ledger.check(NOW, T, &run, cents(20)), Err(short));
        assert_eq!(run, limited(money(0)));
        for key in ledger.keys(T) {
            assert_eq!(ledger.reading(NOW, key).held, Nano::ZERO, "{key:?}");
            let opens = ledger.reading(NOW, key).window.end;
            assert!(key.account() != account || short.opens == Some(opens));
        }
    }
}

#[test]
fn a_thousand_holds_against_money_for_fifty_are_fifty() {
    let mut ledger = ledger(None, Some(50 * 3), None);
    let holds =
        (0..1_000).filter(|_| ledger.hold(NOW, T, &mut RunAccount::default(), cents(3)).is_ok());
    assert_eq!(holds.count(), 50);
}

#[test]
fn the_account_that_is_used_up_most_says_how_much_is_used() {
    assert_eq!(ledger(None, None, Some(9)).used_permille(NOW, T), None, "the tenant has no bound");
    let mut ledger = ledger(Some(20), Some(100), None);
    assert_eq!(ledger.used_permille(NOW, T), Some(0));
    spend(&mut ledger, NOW, 8);
    ledger.hold(NOW, T, &mut RunAccount::default(), cents(7)).unwrap();
    assert_eq!(ledger.used_permille(NOW, T), Some(750), "15 of the day's 20");
    assert_eq!(ledger.adjust(NOW, Key::TenantDay(T), cents(980), Nano::ZERO), Some(true));
    assert_eq!(ledger.used_permille(NOW, T), Some(150), "15 of the month's 100");
    ledger.set_tenant(T, terms(None, Some(0)));
    assert_eq!(ledger.used_permille(NOW, T), Some(1_000), "of nothing nothing is left");
    ledger.set_tenant(T, terms(None, Some(10)));
    assert_eq!(ledger.used_permille(NOW, T), Some(1_500), "in debt");
}

#[test]
fn a_settlement_above_its_hold_is_debt_and_blocks_until_it_is_let_off() {
    let mut ledger = ledger(None, Some(10), None);
    let mut run = RunAccount::default();
    let held = ledger.hold(NOW, T, &mut run, cents(10)).unwrap();
    ledger.settle(T, &mut run, &held, Cost::Known(cents(25)));
    let key = Key::TenantMonth(T);
    assert_eq!(ledger.reading(NOW, key).debt, cents(15));
    let short = ledger.hold(NOW, T, &mut run, cents(1)).unwrap_err();
    ledger.wait(NOW, short.wake);
    assert!(ledger.wake(NOW).is_empty());
    assert_eq!(ledger.adjust(NOW, key, Nano::ZERO, cents(15)), Some(true));
    assert_eq!(ledger.adjust(NOW, key, Nano::ZERO, cents(15)), Some(false));
    assert_eq!(ledger.wake(NOW), [short.wake]);
    assert!(ledger.hold(NOW, T, &mut run, cents(1)).is_err());
    assert_eq!(ledger.adjust(NOW, key, cents(1), cents(15)), Some(true));
    assert!(ledger.hold(NOW, T, &mut run, cents(1)).is_ok());
    assert_eq!(ledger.adjust(NOW, Key::TenantDay(T), cents(1), Nano::ZERO), None, "no bound there");
}

#[test]
fn a_step_that_costs_nothing_passes_where_nothing_is_left_and_holds_nothing() {
    let mut ledger = ledger(Some(0), Some(0), Some(0));
    let mut run = limited(0);
    assert_eq!(ledger.check(NOW, T, &run, Nano::ZERO), Ok(()));
    let held = ledger.hold(NOW, T, &mut run, Nano::ZERO).unwrap();
    assert_eq!(run.held, Nano::ZERO);
    ledger.release(T, &mut run, &held);
    assert!(ledger.accounts.is_empty());
}

#[test]
fn an_account_without_a_budget_is_counted_and_bounds_nothing() {
    let mut ledger = ledger(None, None, None);
    let mut run = RunAccount::default();
    let spent = ledger.hold(NOW, T, &mut run, cents(4)).unwrap();
    ledger.hold(NOW, T, &mut run, cents(3)).unwrap();
    ledger.settle(T, &mut run, &spent, Cost::Uncertain(cents(9)));
    for key in ledger.keys(T) {
        let Reading { state, held, debt, available, budget, .. } = ledger.reading(NOW, key);
        assert_eq!((state.posted, state.uncertain, held), (cents(9), cents(9), cents(3)));
        assert_eq!((debt, available, budget), (Nano::ZERO, None, None));
    }
    assert_eq!((run.posted, run.uncertain, run.held), (cents(9), cents(9), cents(3)));
}

#[test]
fn more_than_can_be_counted_is_refused_even_where_nothing_is_bounded() {
    let mut ledger = ledger(None, None, None);
    let mut runs = [RunAccount::default(); 30];
    let holds: Vec<_> =
        runs.iter_mut().map(|run| ledger.hold(NOW, T, run, Nano::MAX).ok()).collect();
    let passed = holds.iter().flatten().count();
    assert_eq!(passed as u64, u64::MAX / Nano::MAX.0);
    for (held, run) in holds.iter().zip(&mut runs) {
        let Some(held) = held else { continue };
        ledger.settle(T, run, held, Cost::Known(Nano::MAX));
    }
    assert_eq!(ledger.reading(NOW, Key::TenantMonth(T)).held, Nano::ZERO);
    // And of one run, in an account of its own each time.
    let mut run = RunAccount::default();
    let holds = (0..30).filter(|tenant| ledger.hold(NOW, *tenant, &mut run, Nano::MAX).is_ok());
    assert_eq!(holds.count() as u64, u64::MAX / Nano::MAX.0);
}

#[test]
#[should_panic(expected = "is taken from")]
fn a_hold_that_is_settled_twice_is_a_bug() {
    let mut ledger = ledger(None, None, None);
    let mut run = RunAccount::default();
    let held = ledger.hold(NOW, T, &mut run, cents(5)).unwrap();
    ledger.settle(T, &mut run, &held, Cost::Known(cents(5)));
    ledger.settle(T, &mut run, &held, Cost::Known(cents(5)));
}

#[test]
#[should_panic(expected = "the hold is open")]
fn a_hold_of_nothing_that_is_released_twice_is_a_bug() {
    let mut ledger = ledger(None, None, None);
    let mut run = RunAccount::default();
    let held = ledger.hold(NOW, T, &mut run, Nano::ZERO).unwrap();
    ledger.release(T, &mut run, &held);
    ledger.release(T, &mut run, &held);
}

#[test]
fn what_has_changed_is_taken_once_and_in_order() {
    let mut ledger = ledger(None, Some(90), None);
    let mut run = RunAccount::default();
    let held = ledger.hold(NOW, T, &mut run, cents(5)).unwrap();
    let free = ledger.hold(NOW, T, &mut run, Nano::ZERO).unwrap();
    ledger.settle(T, &mut run, &free, Cost::Known(Nano::ZERO));
    assert_eq!(ledger.take_changes(), [], "what is held is not stored, and nothing was spent");
    spend(&mut ledger, NOW + DAY, 2);
    ledger.settle(T, &mut run, &held, Cost::Uncertain(cents(4)));
    ledger.adjust(NOW + DAY, Key::TenantMonth(T), cents(1), cents(2)).unwrap();
    let changes = ledger.take_changes();
    let today = ledger.reading(NOW, Key::TenantDay(T)).window.start;
    let month = ledger.reading(NOW, Key::TenantMonth(T)).window.start;
    let state = |posted, uncertain| AccountState {
        posted: cents(posted),
        uncertain: cents(uncertain),
        ..AccountState::default()
    };
    let of_tenant = AccountState { topped_up: cents(1), forgiven: cents(2), ..state(6, 4) };
    assert_eq!(
        changes,
        [
            (Key::TenantDay(T), today, state(4, 4)),
            (Key::TenantDay(T), today + DAY, state(2, 0)),
            (Key::TenantMonth(T), month, of_tenant),
            (Key::OrgMonth(ORG), month, state(6, 4)),
        ]
    );
    assert_eq!(ledger.take_changes(), []);
}

#[test]
fn after_a_restart_all_is_as_it_was() {
    let mut before = ledger(Some(50), Some(90), Some(80));
    let mut run = limited(40);
    let open = [cents(3), cents(4)].map(|cost| before.hold(NOW, T, &mut run, cost).unwrap());
    let spent = before.hold(NOW, T, &mut run, cents(5)).unwrap();
    before.settle(T, &mut run, &spent, Cost::Uncertain(cents(6)));
    before.adjust(NOW, Key::TenantDay(T), cents(1), cents(2)).unwrap();
    let mut after = ledger(Some(50), Some(90), Some(80));
    for (key, start, state) in before.take_changes() {
        after.restore(key, start, state);
    }
    let mut again = RunAccount { held: Nano::ZERO, ..run };
    for held in &open {
        after.resume(T, &mut again, held);
    }
    assert_eq!(again, run);
    assert_eq!(after.accounts, before.accounts);
    assert_eq!(after.take_changes(), [], "what was stored is not to be stored again");
}
