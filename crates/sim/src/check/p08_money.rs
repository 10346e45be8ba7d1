//! P8: what is posted and held exceeds no budget, but by settlements above their holds. P9: nothing that was held is left
//! over, and each attempt is settled once, in all its accounts alike.

use std::collections::{BTreeMap, BTreeSet};

use fairlane_core::calendar::Calendar;
use fairlane_core::cell::change::Change;
use fairlane_core::id::TenantId;
use fairlane_core::money::Nano;
use fairlane_core::row::{CallRow, Hold, Owner, RunKey, StepState};
use fairlane_core::time::Time;

use crate::rows::Rows;
use crate::violation::{Verdict, holds};

const PROMISE: &str = "P8 money";

pub(super) type Account = (Owner, Calendar, Time);

/// After a turn: every account that money was held in anew has enough. Dispatch is the last thing in a turn, so what was
/// settled or declared in it came before; calls through the gateway come in between, and are judged where they come alone.
pub(crate) fn committed(changes: &[Change], rows: &Rows) -> Verdict {
    let mut runs = BTreeSet::new();
    let mut accounts = BTreeSet::new();
    let is_alone = |change: &Change| matches!(change, Change::Call(row) if row.ended.is_none());
    let are_calls_alone = changes
        .iter()
        .all(|change| is_alone(change) || matches!(change, Change::Use(_) | Change::Decision(_)));
    for change in changes {
        match change {
            Change::Step(step) => {
                if let StepState::Leased { hold: Some(hold), .. } = &step.state
                    // Nothing can always be held.
                    && hold.amount > Nano::ZERO
                {
                    runs.insert(step.key.clone());
                    accounts.extend(accounts_of(&step.key.tenant, hold));
                }
            }
            Change::Call(row) if are_calls_alone => {
                if let Some(hold) = row.hold.as_ref().filter(|hold| hold.amount > Nano::ZERO) {
                    runs.extend(run_of(row));
                    accounts.extend(accounts_of(&row.tenant, hold));
                }
            }
            _ => {}
        }
    }
    if accounts.is_empty() {
        return Ok(());
    }
    let held = held(rows);
    for account in accounts {
        let Some(has) = has(&account, rows) else { continue };
        let posted = rows.accounts.get(&account).map_or(Nano::ZERO, |row| row.posted);
        let held = held.get(&account).copied().unwrap_or_default();
        holds(posted.plus(held) <= has, PROMISE, || {
            format!("{posted} is posted and {held} held in {account:?}, which has {has}")
        })?;
    }
    runs.iter().try_for_each(|run| run_has_enough(run, rows))
}

/// With no run live: what was posted to a tenant's accounts is what its runs and its own calls have cost, and to all
/// organisations the same.
pub(crate) fn emptied(rows: &Rows) -> Verdict {
    let mut spent = BTreeMap::<&TenantId, Nano>::new();
    for run in rows.runs.values() {
        let of = spent.entry(&run.key.tenant).or_default();
        *of = of.plus(run.money.posted);
        holds(run.money.uncertain <= run.money.posted, PROMISE, || format!("{run:?}"))?;
    }
    for call in rows.calls.values().filter(|call| call.attempt.is_none()) {
        let of = spent.entry(&call.tenant).or_default();
        *of = of.plus(call.cost);
    }
    let posted = |is_it: &dyn Fn(&Account) -> bool| {
        let of = rows.accounts.iter().filter(|(account, _)| is_it(account));
        of.fold(Nano::ZERO, |sum, (_, row)| sum.plus(row.posted))
    };
    for (tenant, spent) in &spent {
        for every in [Calendar::Day, Calendar::Month] {
            let posted = posted(&|(owner, of, _)| {
                *of == every && matches!(owner, Owner::Tenant(id) if id == *tenant)
            });
            holds(posted == *spent, "P9 nothing leaks", || {
                format!("all of {tenant} cost {spent}, and {posted} is posted by the {every:?}")
            })?;
        }
    }
    let all = spent.values().fold(Nano::ZERO, |sum, spent| sum.plus(*spent));
    let orgs = posted(&|(owner, ..)| matches!(owner, Owner::Org(_)));
    holds(orgs == all, "P9 nothing leaks", || {
        format!("all runs and calls cost {all}, and {orgs} is posted to organisations")
    })
}

fn run_has_enough(run: &RunKey, rows: &Rows) -> Verdict {
    let Some(row) = rows.runs.get(run) else { return Ok(()) };
    let Some(limit) = row.money.limit else { return Ok(()) };
    let held = held_of_run(run, rows);
    let used = row.money.posted.plus(held).plus(row.money.reserve);
    holds(used <= limit, PROMISE, || format!("{held} is held for {row:?}"))
}

/// The run that a call is paid by.
pub(super) fn run_of(call: &CallRow) -> Option<RunKey> {
    let run = call.attempt?.run;
    Some(RunKey { tenant: call.tenant.clone(), run })
}

/// What is held for a run, by its leases and the calls under them.
pub(super) fn held_of_run(run: &RunKey, rows: &Rows) -> Nano {
    let held = rows.steps_of(run).filter_map(|step| match &step.state {
        StepState::Leased { hold: Some(hold), .. } => Some(hold.amount),
        _ => None,
    });
    let calls = rows.open_calls().filter(|call| run_of(call).as_ref() == Some(run));
    let calls = calls.filter_map(|call| call.hold.as_ref()).map(|hold| hold.amount);
    held.chain(calls).fold(Nano::ZERO, Nano::plus)
}

pub(super) fn accounts_of(tenant: &TenantId, hold: &Hold) -> Vec<Account> {
    let owner = Owner::Tenant(tenant.clone());
    let day = hold.tenant_day.map(|start| (owner.clone(), Calendar::Day, start));
    let month = hold.tenant_month.map(|start| (owner, Calendar::Month, start));
    let org = hold.org_month.as_ref();
    let org = org.map(|(org, start)| (Owner::Org(org.clone()), Calendar::Month, *start));
    [day, month, org].into_iter().flatten().collect()
}

/// What is held in each account, by the leases and by the calls of the gateway.
pub(super) fn held(rows: &Rows) -> BTreeMap<Account, Nano> {
    let steps = rows.steps.values().flat_map(BTreeMap::values);
    let leased = steps.filter_map(|step| match &step.state {
        StepState::Leased { hold: Some(hold), .. } => Some((&step.key.tenant, hold)),
        _ => None,
    });
    let calls = rows.open_calls().filter_map(|call| Some((&call.tenant, call.hold.as_ref()?)));
    let mut held = BTreeMap::<Account, Nano>::new();
    for (tenant, hold) in leased.chain(calls) {
        for account in accounts_of(tenant, hold) {
            let of = held.entry(account).or_default();
            *of = of.plus(hold.amount);
        }
    }
    held
}

/// What an account has in all; `None`: it is not bounded.
pub(super) fn has((owner, every, start): &Account, rows: &Rows) -> Option<Nano> {
    let budget = match owner {
        Owner::Tenant(id) => {
            let class = rows.context(id)?.budget_class.as_ref()?;
            let budget = &rows.classes.get(class)?.budget;
            if *every == Calendar::Day { budget.day } else { budget.month }
        }
        Owner::Org(id) => rows.orgs.get(id)?.budget.as_ref().map(|budget| budget.month),
    }?;
    let row = rows.accounts.get(&(owner.clone(), *every, *start));
    Some(row.map_or(budget, |row| budget.plus(row.topped_up).plus(row.forgiven)))
}
