//! Utilisation, and who overruns or never uses a budget.

use fairlane_core::gate::Account;
use fairlane_core::row::Owner;

use super::*;

const BERLIN: &str = "Europe/Berlin";

/// 15 May 2026, 12:00 in UTC.
const NOW: Time = Time(1_778_846_400_000_000);

fn tenant() -> TenantId {
    TenantId::parse("a").unwrap()
}

fn current(budget_cents: Option<u64>, posted_cents: u64) -> Current {
    let zone = TimeZone::parse(BERLIN).unwrap();
    let Window { start, end } = Window::at(NOW, Calendar::Month, &zone);
    let view = AccountView {
        account: Account::TenantMonth,
        start,
        end,
        budget: budget_cents.map(Nano::from_cents),
        posted: Nano::from_cents(posted_cents),
        uncertain: Nano::ZERO,
        held: Nano::ZERO,
        topped_up: Nano::ZERO,
        forgiven: Nano::ZERO,
        debt: Nano::ZERO,
        available: None,
        forecast: Nano::ZERO,
    };
    Current { tenant: tenant(), zone, view }
}

/// The account of the month that lies so many before the one under way.
fn row(current: &Current, ago: usize, posted_cents: u64) -> AccountRow {
    AccountRow {
        owner: Owner::Tenant(tenant()),
        every: Calendar::Month,
        start: current.before(Calendar::Month, 24)[ago - 1].start,
        posted: Nano::from_cents(posted_cents),
        uncertain: Nano::ZERO,
        topped_up: Nano::ZERO,
        forgiven: Nano::ZERO,
    }
}

/// With so many cents spent in months before, by how long ago that was.
fn report(current: &Current, months: &[(usize, u64)]) -> BudgetUse {
    let rows: Vec<AccountRow> =
        months.iter().map(|(ago, cents)| row(current, *ago, *cents)).collect();
    let windows = current.before(Calendar::Month, 6);
    current.report(Calendar::Month, &spent(&windows, &rows))
}

#[test]
fn periods_before_follow_the_calendar_of_the_budget() {
    let starts: Vec<String> = current(None, 0)
        .before(Calendar::Month, 3)
        .iter()
        .map(|window| timestamp(window.start).to_string())
        .collect();
    assert_eq!(
        starts,
        [
            "2026-03-31T22:00:00.000000Z",
            "2026-02-28T23:00:00.000000Z",
            "2026-01-31T23:00:00.000000Z"
        ]
    );
}

#[test]
fn mean_and_variance_are_of_the_periods_that_are_over() {
    let report = report(&current(Some(1_000), 900), &[(1, 500), (2, 250)]);
    let used: Vec<Option<u64>> =
        report.periods.iter().map(|period| period.utilisation_permille).collect();
    assert_eq!(used, [Some(900), Some(500), Some(250)]);
    // (500 + 250) / 2 = 375; each is 125 away, and 0.125 x 0.125 = 0.015625.
    assert_eq!((report.mean_permille, report.variance_millionths), (Some(375), Some(15_625)));
    assert_eq!((report.complete, report.overruns, report.verdict), (2, 0, Verdict::Normal));
}

#[test]
fn a_period_without_spending_counts_once_something_was_spent_before() {
    let report = report(&current(Some(1_000), 0), &[(3, 300)]);
    assert_eq!((report.complete, report.mean_permille), (3, Some(100)));
    let newer = self::report(&current(Some(1_000), 0), &[]);
    assert_eq!((newer.complete, newer.mean_permille, newer.periods.len()), (0, None, 1));
}

#[test]
fn who_ended_above_its_budget_overruns_by_that_much_topped_up_or_not() {
    let current = current(Some(1_000), 100);
    let mut over = row(&current, 1, 1_250);
    over.topped_up = Nano::from_cents(200);
    over.forgiven = Nano::from_cents(20);
    let windows = current.before(Calendar::Month, 6);
    let report = current.report(Calendar::Month, &spent(&windows, &[over]));
    assert_eq!((report.verdict, report.overruns), (Verdict::Overruns, 1));
    let period = &report.periods[1];
    assert_eq!((&*period.over.0, &*period.debt.0), ("2.50", "0.30"));
    assert_eq!(period.utilisation_permille, Some(1_250));
}

#[test]
fn who_is_in_debt_now_overruns_too() {
    let mut current = current(Some(1_000), 1_100);
    current.view.debt = Nano::from_cents(100);
    let report = report(&current, &[]);
    assert_eq!((report.verdict, &*report.periods[0].debt.0), (Verdict::Overruns, "1.00"));
}

#[test]
fn who_stays_below_a_tenth_does_not_use_its_budget() {
    let verdict = |now, months: &[(usize, u64)]| report(&current(Some(1_000), now), months).verdict;
    assert_eq!(verdict(0, &[]), Verdict::Unused);
    assert_eq!(verdict(99, &[(1, 99), (2, 1)]), Verdict::Unused);
    assert_eq!(verdict(100, &[(1, 99)]), Verdict::Normal);
    assert_eq!(verdict(0, &[(1, 0), (2, 100)]), Verdict::Normal);
    assert_eq!(report(&current(None, 5), &[(1, 5)]).verdict, Verdict::Unbounded);
    assert_eq!(report(&current(Some(0), 0), &[]).verdict, Verdict::Normal, "there is none to use");
}

#[test]
fn days_of_another_time_zone_count_in_the_period_that_they_begin_in() {
    let current = current(Some(1_000), 0);
    let first = row(&current, 1, 100);
    let shifted = AccountRow { start: Time(first.start.0 + 7_200_000_000), ..row(&current, 1, 50) };
    let windows = current.before(Calendar::Month, 6);
    let report = current.report(Calendar::Month, &spent(&windows, &[first, shifted]));
    assert_eq!((&*report.periods[1].posted.0, report.complete), ("1.50", 1));
}
