//! P8: what is posted and held never exceeds a budget. P9: what was held is settled or given back, whatever happens.

use crate::calendar::{Calendar, TimeZone};
use std::sync::Arc;

use crate::cell::effect::{AccountView, Response};
use crate::cell::input::{Command, Configure, Input, Judged, Outcome, Query, SetAccount, Value};
use crate::id::RunId;
use crate::money::Nano;
use crate::plan::{Retry, Step, StepKind, Timeouts};
use crate::quota::{Budget, BudgetClass, Rung};
use crate::reject::Rejection;
use crate::row::{Owner, RunKey, RunStatus};
use crate::tenant::Tenant;
use crate::time::Span;

use super::desk::{Desk, ids, name, payload, step, tenant, workflow};

fn cents(cents: u64) -> Nano {
    Nano::from_cents(cents)
}

fn paid(text: &str, after: &[u16], cost: u64) -> Step {
    Step { cost_nano: cents(cost).0, ..step(text, after) }
}

fn budget(run: Option<u64>, month: Option<u64>) -> Budget {
    Budget { run: run.map(cents), month: month.map(cents), ..Budget::default() }
}

/// Tenant `b` has that budget, `a` has none.
fn desk(steps: Vec<Step>, budget: Budget) -> Desk {
    let mut desk = Desk::new(workflow("flow", steps));
    declare(&mut desk, budget);
    desk.declare(Configure::Tenant(Tenant {
        budget_class: Some(name("tight")),
        ..tenant("b", "large")
    }));
    desk
}

fn declare(desk: &mut Desk, budget: Budget) {
    let class = BudgetClass { name: name("tight"), quotas: [].into(), budget };
    desk.declare(Configure::Class(class));
}

fn report(desk: &mut Desk, lease: &crate::row::LeaseId, cost: Option<Nano>) {
    let outcome = Outcome::Completed { output: payload("1"), judged: Judged::default(), cost };
    desk.report("w", std::slice::from_ref(lease), &outcome);
}

fn month_of(desk: &Desk) -> (Nano, Nano) {
    let rows = desk.disk().snapshot().accounts;
    let row = rows
        .iter()
        .find(|row| row.every == Calendar::Month && row.owner == Owner::Tenant(name("b")));
    row.map_or((Nano::ZERO, Nano::ZERO), |row| (row.posted, row.uncertain))
}

#[test]
fn an_empty_budget_parks_its_own_tenant_and_costs_one_try() {
    let mut desk = desk(vec![paid("call", &[], 10)], budget(None, Some(25)));
    let runs: Vec<RunKey> = (0..4).map(|_| desk.submit("b", "flow")).collect();
    let of_a = desk.submit("a", "flow");
    let grants = desk.lease("w");
    assert_eq!(grants.len(), 3, "two that can be paid, and the other tenant's");
    assert!(grants.iter().any(|grant| grant.lease.key == of_a));
    let waits = desk.explain(&runs[2]);
    assert!(waits.contains("Budget { account: TenantMonth"), "{waits}");
    let leases = ids(&grants);
    desk.complete("w", &leases);
    assert_eq!(month_of(&desk), (cents(20), Nano::ZERO));
    assert_eq!(desk.lease("w").len(), 0);
}

#[test]
fn a_settlement_below_its_hold_lets_the_next_step_through() {
    let mut desk = desk(vec![paid("call", &[], 10)], budget(None, Some(10)));
    desk.submit("b", "flow");
    desk.submit("b", "flow");
    let [lease] = &ids(&desk.lease("w"))[..] else { panic!("money for one") };
    assert_eq!(desk.lease("w").len(), 0);
    report(&mut desk, lease, Some(Nano::ZERO));
    let [lease] = &ids(&desk.lease("w"))[..] else { panic!("money for one more") };
    report(&mut desk, lease, Some(cents(12)));
    assert_eq!(month_of(&desk), (cents(12), Nano::ZERO), "more than held is spent, as debt");
}

#[test]
fn a_top_up_lets_waiting_steps_through_at_once() {
    let mut desk = desk(vec![paid("call", &[], 10)], budget(None, Some(10)));
    desk.submit("b", "flow");
    desk.submit("b", "flow");
    desk.lease("w");
    let topped_up = cents(5);
    for (topped_up, steps) in [(topped_up, 0), (cents(10), 1)] {
        desk.declare(Configure::Account(SetAccount {
            owner: Owner::Tenant(name("b")),
            every: Calendar::Month,
            topped_up,
            forgiven: Nano::ZERO,
        }));
        assert_eq!(desk.lease("w").len(), steps, "with {topped_up} more");
    }
}

#[test]
fn a_lost_lease_is_settled_unconfirmed_and_an_undelivered_one_costs_nothing() {
    let mut desk = desk(vec![paid("call", &[], 10)], budget(None, Some(20)));
    desk.submit("b", "flow");
    let leases = ids(&desk.lease("w"));
    desk.input(Input::Undelivered(leases));
    assert_eq!(month_of(&desk), (Nano::ZERO, Nano::ZERO));
    assert_eq!(desk.lease("w").len(), 1);
    desk.pass(Span::from_secs(11));
    assert_eq!(month_of(&desk), (cents(10), cents(10)));
    assert_eq!(desk.lease("w").len(), 1, "money for one more");
    desk.pass(Span::from_secs(11));
    assert_eq!(desk.lease("w").len(), 0);
}

#[test]
fn holds_outlive_the_server_and_are_settled_once() {
    let mut desk = desk(vec![paid("call", &[], 10)], budget(None, Some(10)));
    desk.submit("b", "flow");
    desk.submit("b", "flow");
    let leases = ids(&desk.lease("w"));
    desk.restart();
    assert_eq!(desk.lease("w").len(), 0, "what is held is held");
    desk.complete("w", &leases);
    desk.complete("w", &leases);
    assert_eq!(month_of(&desk), (cents(10), Nano::ZERO));
    desk.restart();
    assert_eq!(desk.lease("w").len(), 0, "what is spent is spent");
}

#[test]
fn each_attempt_of_a_retried_step_is_paid() {
    let retry =
        Retry { attempts: 3, backoff_min: Span(1), backoff_max: Span(1), jitter_permille: 0 };
    let mut desk = desk(vec![Step { retry, ..paid("call", &[], 10) }], budget(None, Some(20)));
    desk.submit("b", "flow");
    for _ in 0..2 {
        let [lease] = &ids(&desk.lease("w"))[..] else { panic!("money for two attempts") };
        desk.fail("w", lease, true);
        desk.pass(Span(1));
    }
    assert_eq!(desk.lease("w").len(), 0);
    assert_eq!(month_of(&desk), (cents(20), Nano::ZERO));
}

#[test]
fn a_run_that_cannot_pay_the_cheapest_way_through_its_plan_is_refused() {
    let steps = vec![
        paid("first", &[], 10),
        Step { optional: true, ..paid("extra", &[0], 50) },
        paid("last", &[0], 10),
    ];
    let mut desk = desk(steps, budget(Some(19), None));
    let key = RunKey { tenant: name("b"), run: RunId(99) };
    let response = format!("{:?}", desk.try_submit(&key, "flow"));
    assert!(
        response.contains("BudgetExhausted { account: Run, need: Nano(200000000)"),
        "{response}"
    );
    declare(&mut desk, budget(Some(20), None));
    desk.submit("b", "flow");
}

/// The run has 0.25 with 0.05 kept back: 0.10 are left when the step of 0.15 comes.
fn short_of_money(short: Vec<Rung>, is_optional: bool) -> (Desk, RunKey) {
    let steps = vec![
        paid("cheap", &[], 10),
        Step { optional: is_optional, when: None, ..paid("dear", &[0], 5) },
        paid("last", &[1], 1),
    ];
    let reserve = cents(5);
    let mut desk = desk(steps, Budget { reserve, short, ..budget(Some(25), None) });
    let run = desk.submit("b", "flow");
    let [lease] = &ids(&desk.lease("w"))[..] else { panic!("one step is ready") };
    report(&mut desk, lease, Some(cents(18)));
    (desk, run)
}

#[test]
fn a_run_without_money_pauses_at_its_reserve_and_goes_on_with_more() {
    let (mut desk, run) = short_of_money(Vec::new(), false);
    assert_eq!(desk.lease("w").len(), 0);
    assert_eq!(desk.rows(&run).0.status, RunStatus::Paused);
    let waits = desk.explain(&run);
    assert!(waits.contains("dear: Ready Money(Halt { rung: Pause"), "{waits}");
    assert!(waits.contains("need: Nano(50000000), left: Nano(20000000)"), "{waits}");
    assert_eq!(desk.decisions(), ["budget-short"]);
    desk.restart();
    assert!(desk.explain(&run).contains("Money(Halt"), "it is still paused for money");
    desk.command(&run, Command::Budget { limit: cents(27) });
    assert_eq!(desk.lease("w").len(), 0);
    desk.command(&run, Command::Budget { limit: cents(28) });
    assert_eq!(desk.lease("w").len(), 1);
    assert_eq!(desk.rows(&run).0.status, RunStatus::Running);
}

#[test]
fn an_optional_step_is_left_out_and_the_run_goes_on() {
    let (mut desk, run) = short_of_money(vec![Rung::SkipOptional, Rung::Fail], true);
    let grants = desk.lease("w");
    assert_eq!(super::desk::tasks(&grants), "last");
    desk.complete("w", &ids(&grants));
    assert_eq!(desk.rows(&run).0.status, RunStatus::Completed);
}

#[test]
fn a_step_that_is_not_optional_goes_down_to_the_next_rung() {
    let (mut desk, run) = short_of_money(vec![Rung::SkipOptional, Rung::Fail], false);
    assert_eq!(desk.lease("w").len(), 0);
    let row = desk.rows(&run).0;
    assert_eq!(row.status, RunStatus::Failed);
    assert_eq!(row.failure.unwrap().class.as_ref(), "budget-exhausted");
}

/// Of two steps that run at once the second finds what is left held by the first.
fn behind_a_hold(short: Vec<Rung>) -> (Desk, RunKey, Vec<crate::row::LeaseId>) {
    let optional = Step { optional: true, ..paid("extra", &[], 5) };
    let steps = vec![paid("first", &[], 12), optional, paid("last", &[0, 1], 1)];
    let mut desk = desk(steps, Budget { short, ..budget(Some(15), None) });
    let run = desk.submit("b", "flow");
    let leases = ids(&desk.lease("w"));
    assert_eq!(leases.len(), 1);
    assert_eq!(desk.rows(&run).0.status, RunStatus::Paused);
    assert_eq!(desk.decisions(), [] as [&str; 0], "nothing is to be decided yet");
    (desk, run, leases)
}

#[test]
fn a_step_that_waits_for_what_others_hold_goes_down_the_ladder_when_they_have_spent_it() {
    let (mut desk, run, leases) = behind_a_hold(vec![Rung::SkipOptional, Rung::Fail]);
    desk.restart();
    report(&mut desk, &leases[0], None);
    let grants = desk.lease("w");
    assert_eq!(super::desk::tasks(&grants), "last", "the optional one is left out");
    assert_eq!(desk.decisions(), ["budget-short"]);
    desk.complete("w", &ids(&grants));
    assert_eq!(desk.rows(&run).0.status, RunStatus::Completed);

    let (mut desk, run, leases) = behind_a_hold(vec![Rung::Fail]);
    report(&mut desk, &leases[0], None);
    desk.lease("w");
    let extra = desk.rows(&run).1.into_iter().find(|row| row.instance.step.0 == 1).unwrap();
    assert!(format!("{:?}", extra.state).contains("budget-exhausted"), "{extra:?}");

    let (mut desk, run, leases) = behind_a_hold(vec![Rung::Escalate]);
    report(&mut desk, &leases[0], None);
    desk.lease("w");
    assert_eq!(desk.rows(&run).0.status, RunStatus::Paused);
    assert!(desk.explain(&run).contains("rung: Escalate"), "{}", desk.explain(&run));
    assert_eq!(desk.decisions(), ["budget-short"]);
}

#[test]
fn a_step_that_waits_for_what_others_hold_goes_on_when_they_have_spent_less() {
    let (mut desk, run, leases) = behind_a_hold(vec![Rung::Fail]);
    report(&mut desk, &leases[0], Some(cents(9)));
    assert_eq!(super::desk::tasks(&desk.lease("w")), "extra");
    assert_eq!(desk.rows(&run).0.status, RunStatus::Running);
    assert_eq!(desk.decisions(), [] as [&str; 0]);
}

#[test]
fn a_resumed_run_without_money_pauses_again() {
    let (mut desk, run) = short_of_money(vec![Rung::Escalate], false);
    assert_eq!(desk.lease("w").len(), 0);
    assert!(desk.explain(&run).contains("rung: Escalate"));
    let response = desk.command(&run, Command::Resume);
    assert!(matches!(response, Response::Commanded { .. }));
    desk.lease("w");
    assert_eq!(desk.rows(&run).0.status, RunStatus::Paused);
    desk.command(&run, Command::Cancel);
    assert_eq!(desk.rows(&run).0.status, RunStatus::Cancelled);
}

#[test]
fn an_organisation_without_money_stops_all_its_tenants() {
    let mut desk = Desk::new(workflow("flow", vec![paid("call", &[], 10)]));
    let budget = Some(crate::quota::OrgBudget { month: cents(10), time_zone: TimeZone::UTC });
    desk.declare(Configure::Org(crate::tenant::Org {
        id: name("org"),
        weight: 1,
        cap: None,
        budget,
    }));
    desk.submit("a", "flow");
    desk.submit("b", "flow");
    assert_eq!(desk.lease("w").len(), 1);
}

#[test]
fn a_cost_that_was_not_expected_is_spent_all_the_same() {
    let mut desk = desk(vec![step("call", &[])], budget(Some(5), Some(5)));
    let run = desk.submit("b", "flow");
    let [lease] = &ids(&desk.lease("w"))[..] else { panic!("one step is ready") };
    report(&mut desk, lease, Some(cents(100)));
    assert_eq!(desk.rows(&run).0.money.posted, cents(100));
    assert_eq!(month_of(&desk), (cents(100), Nano::ZERO));
}

#[test]
fn a_child_that_a_rung_ends_is_told_to_its_caller_in_the_same_turn() {
    let kind = StepKind::Call { workflow: name("child"), version: None };
    let mut desk = desk(
        vec![Step { kind, ..step("call", &[]) }],
        Budget { short: vec![Rung::SkipOptional], ..budget(Some(5), None) },
    );
    let child = Step { optional: true, ..paid("dear", &[], 10) };
    desk.declare(Configure::Workflow(Arc::new(workflow("child", vec![child]))));
    let run = desk.submit("b", "flow");
    desk.evaluate(Ok(Value::Input(payload("{}"))));
    assert_eq!(desk.lease("w").len(), 0);
    assert_eq!(desk.rows(&run).0.status, RunStatus::Completed);
}

/// The only step, or the first of two, is optional, costs more than the run has, and has a minute.
fn halted(steps: usize) -> (Desk, RunKey) {
    let timeout = Timeouts { step: Some(Span::from_secs(60)), ..Timeouts::default() };
    let dear = Step { optional: true, timeout, ..paid("dear", &[], 10) };
    let steps = [dear, step("next", &[0])].into_iter().take(steps).collect();
    let mut desk = desk(steps, budget(Some(5), None));
    let run = desk.submit("b", "flow");
    assert_eq!(desk.lease("w").len(), 0);
    assert_eq!(desk.rows(&run).0.status, RunStatus::Paused);
    (desk, run)
}

#[test]
fn a_run_goes_on_when_the_step_that_it_was_halted_for_is_over() {
    let (mut desk, run) = halted(2);
    desk.pass(Span::from_secs(61));
    assert_eq!(desk.rows(&run).0.status, RunStatus::Running);
    assert_eq!(super::desk::tasks(&desk.lease("w")), "next");
}

#[test]
fn more_money_does_not_resume_what_its_tenant_has_paused() {
    let (mut desk, run) = halted(2);
    desk.command(&run, Command::Pause);
    desk.command(&run, Command::Budget { limit: cents(50) });
    assert_eq!(desk.rows(&run).0.status, RunStatus::Paused);
    let (mut desk, run) = halted(1);
    desk.pass(Span::from_secs(61));
    let rows = desk.rows(&run);
    assert_eq!((rows.0.status, rows.0.money.halt), (RunStatus::Completed, None));
}

#[test]
fn a_step_that_only_holds_keep_back_waits_for_them_and_goes_down_no_rung() {
    for rung in [Rung::Fail, Rung::Escalate] {
        let steps = vec![paid("one", &[], 10), paid("other", &[], 10)];
        let mut desk = desk(steps, Budget { short: vec![rung], ..budget(Some(20), None) });
        let run = desk.submit("b", "flow");
        desk.command(&run, Command::Budget { limit: cents(15) });
        let [lease] = &ids(&desk.lease("w"))[..] else { panic!("money for one at a time") };
        report(&mut desk, lease, Some(cents(1)));
        assert_eq!(desk.lease("w").len(), 1, "0.14 are left for 0.10");
    }
}

fn view(desk: &mut Desk, every: Calendar) -> AccountView {
    let query = Query::Budgets { after: Some(name("a")), every, limit: 10 };
    match desk.ask(|reply| Input::Query(reply, query)) {
        Response::Budgets(mut views) => {
            assert_eq!((views.len(), views[0].0.as_str()), (1, "b"));
            views.remove(0).1
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_first_minutes_of_a_period_say_little_of_its_end() {
    let mut desk = desk(vec![paid("call", &[], 10)], budget(None, Some(1_000)));
    assert_eq!(view(&mut desk, Calendar::Month).forecast, Nano::ZERO);
    desk.submit("b", "flow");
    let leases = ids(&desk.lease("w"));
    desk.complete("w", &leases);
    // It is a quarter past midnight of the first day of a month of 31 days.
    let month = view(&mut desk, Calendar::Month);
    assert_eq!((month.posted, month.forecast), (cents(10), cents(300)));
    assert_eq!(view(&mut desk, Calendar::Day).forecast, cents(300));
    let half = Span((month.end.since(month.start).0 / 2) - desk.now.since(month.start).0);
    desk.pass(half);
    assert_eq!(view(&mut desk, Calendar::Month).forecast, cents(20));
    assert_eq!(view(&mut desk, Calendar::Day).forecast, Nano::ZERO);
}

#[test]
fn an_ended_run_is_retried_only_if_its_tenant_can_pay_for_what_is_done_again() {
    let steps = vec![paid("first", &[], 10), paid("second", &[0], 20)];
    let mut desk = desk(steps, budget(None, None));
    let run = desk.submit("b", "flow");
    let leases = ids(&desk.lease("w"));
    desk.complete("w", &leases);
    let leases = ids(&desk.lease("w"));
    desk.fail("w", &leases[0], false);
    let rows = desk.rows(&run);
    assert_eq!(rows.0.status, RunStatus::Failed);
    // 0.30 are spent.
    declare(&mut desk, budget(None, Some(49)));
    let response = desk.retry(&rows);
    let Response::Rejected(Rejection::BudgetExhausted { need, left, .. }) = response else {
        panic!("{response:?}")
    };
    assert_eq!((need, left), (cents(20), cents(19)));
    declare(&mut desk, budget(None, Some(50)));
    let response = desk.retry(&rows);
    assert!(matches!(response, Response::Commanded { .. }), "{response:?}");
}

#[test]
fn a_run_that_has_used_up_its_own_budget_is_retried_and_halted() {
    let mut desk = desk(vec![paid("first", &[], 10)], budget(None, None));
    let run = desk.submit("b", "flow");
    desk.command(&run, Command::Budget { limit: cents(10) });
    let leases = ids(&desk.lease("w"));
    desk.fail("w", &leases[0], false);
    let rows = desk.rows(&run);
    assert!(matches!(desk.retry(&rows), Response::Commanded { .. }));
    assert_eq!(desk.lease("w").len(), 0);
    assert!(desk.rows(&run).0.money.halt.is_some(), "its budget can be raised now");
}
