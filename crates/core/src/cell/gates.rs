//! What a step must be given before it is dispatched: money for it at every level, and units of its tool's limits.
//!
//! Both are taken together or not at all, at the moment when a slot would be given, and belong to the lease from then
//! on. Whoever ends the lease says what the attempt cost; a lease that is lost, or whose time is over, is settled at
//! what was held for it, unconfirmed, since the work may have been done.

use std::collections::{BTreeMap, BTreeSet};

use crate::calendar::TimeZone;
use crate::catalog::Metered;
use crate::gate::{Account, Refusal, Verdict, WakeKey};
use crate::id::{TenantId, ToolName};
use crate::ledger::{Cost, Ledger, OrgTerms, RunAccount, Short, TenantTerms};
use crate::limiter::{Answer, Blocked, Caller, Limiter, Units};
use crate::money::Nano;
use crate::plan::Step;
use crate::reject::Rejection;
use crate::row::{AccountRow, Hold, Part, Route, UseRow};
use crate::scheduler::{OrgIx, TenantIx};
use crate::tenant::Context;
use crate::time::Time;

use super::Cell;
use super::Turn;
use super::change::Change;
use super::directory::Directory;
use super::dispatch::PoolState;
use super::live::{At, Passed, Run, Runs, Shape, State};
use super::model::WAY;
use super::policy::Policed;
use super::rules::denied_for_good;

/// Rounds of waking and dispatching in one turn at most. Whom the gates would still let try is woken by the clock; what
/// rungs have made ready in the last round waits for the next turn, at the latest for the next exchange of a worker.
const ROUNDS_MAX: usize = 64;

/// The gates of one attempt, with all that they read.
pub(crate) struct Gates<'a> {
    pub(crate) now: Time,
    pub(crate) runs: &'a mut Runs,
    pub(crate) directory: &'a Directory,
    pub(crate) ledger: &'a mut Ledger,
    pub(crate) limiter: &'a mut Limiter,
    pub(crate) policed: &'a mut Policed,
    pub(crate) others: &'a mut OtherWaits,
}

/// A call that can go several ways waits for all of their endpoints, and stands under the key of one: by the keys of the
/// others, where it stands.
pub(crate) type OtherWaits = BTreeMap<u64, BTreeSet<u64>>;

impl Gates<'_> {
    /// Tries them all, in their order, and takes what they ask for if all let the step through.
    pub(crate) fn pass(&mut self, at: At) -> Result<Passed, Verdict> {
        if self.runs.get(at.run).model_call(at.node).is_some() {
            return self.pass_model(at);
        }
        let run = self.runs.get(at.run);
        if let Some(tool) = denied_for_good(run, at.node) {
            return Err(Verdict::Aside(Refusal::Denied { tool: tool.clone() }));
        }
        if let Some(refusal) = self.directory.forbids(run, at.node, self.now) {
            return Err(Verdict::Park { refusal, wake: WAY });
        }
        self.pass_policy(at)?;
        let run = self.runs.get_mut(at.run);
        let (tenant, cost) = (run.tenant, cost_of(run, at.node));
        if let Err(short) = self.ledger.check(self.now, tenant.0, &run.money, cost) {
            self.ledger.wait(self.now, short.wake);
            return Err(short_of(&short));
        }
        let taken = match caller(self.directory, run, at.node) {
            None => None,
            Some(caller) => {
                let taken = self.limiter.take(self.now, &caller, Units::CALL);
                Some(taken.map_err(|blocked| blocked_by(self.directory, &caller, &blocked))?)
            }
        };
        let held = (cost > Nano::ZERO).then(|| {
            let held = self.ledger.hold(self.now, tenant.0, &mut run.money, cost);
            Box::new(held.expect("what was just checked can be held"))
        });
        Ok(Passed { held, taken: taken.map(Box::new), route: None })
    }
}

/// What one attempt is expected to cost.
fn cost_of(run: &Run, node: u32) -> Nano {
    if run.node(node).instance.part == Part::Compensation {
        return Nano::ZERO;
    }
    Nano(run.step(node).cost_nano)
}

/// Who calls which tool with the step, and the tenant's own quota for it. Calls are counted although nothing limits them,
/// so that a new rule finds those under way.
fn caller<'a>(directory: &'a Directory, run: &Run, node: u32) -> Option<Caller<'a>> {
    tool_caller(directory, run.tenant, run.tool(node)?)
}

/// The tenant as a caller of the tool; `None` if nobody has named that tool yet.
pub(crate) fn tool_caller<'a>(
    directory: &'a Directory,
    tenant: TenantIx,
    name: &ToolName,
) -> Option<Caller<'a>> {
    let class = directory.budget_class(directory.tenants.get(tenant).context());
    let quota = class.and_then(|class| class.quotas.get(name)).map_or(&[][..], Vec::as_slice);
    Some(Caller { tenant: tenant.0, tool: directory.tool_number(name)?, quota })
}

/// The tenant's or the organisation's account is short for all steps like this one; a run's for its own only.
pub(crate) fn short_of(short: &Short) -> Verdict {
    let refusal = lacking(short);
    match short.account {
        Account::Run => Verdict::Aside(refusal),
        Account::TenantDay | Account::TenantMonth | Account::OrgMonth => {
            Verdict::Park { refusal, wake: WakeKey(short.wake) }
        }
    }
}

pub(crate) const fn lacking(short: &Short) -> Refusal {
    let Short { account, need, left, opens, .. } = *short;
    Refusal::Budget { account, need, left, opens }
}

pub(crate) const fn short_rejected(short: &Short) -> Rejection {
    let Short { account, need, left, opens, .. } = *short;
    Rejection::BudgetExhausted { account, need, left, opens }
}

pub(crate) fn blocked_by(directory: &Directory, caller: &Caller<'_>, blocked: &Blocked) -> Verdict {
    Verdict::Park { refusal: limited(directory, caller, blocked), wake: WakeKey(blocked.wake) }
}

pub(crate) fn limited(directory: &Directory, caller: &Caller<'_>, blocked: &Blocked) -> Refusal {
    Refusal::Limit {
        tool: directory.tool_name(caller.tool).clone(),
        holder: blocked.holder,
        rule: blocked.rule.clone(),
        used: blocked.used,
        of: blocked.of,
        opens: blocked.opens,
        is_never: blocked.is_never,
    }
}

impl Cell {
    pub(crate) fn gates(&mut self) -> (&mut Vec<PoolState>, Gates<'_>) {
        let Self { now, pools, runs, directory, ledger, limiter, policed, others, .. } = self;
        (pools, Gates { now: *now, runs, directory, ledger, limiter, policed, others })
    }

    /// Gives slots in all pools, wakes what the gates let try again, and so on until nothing more is woken.
    pub(crate) fn dispatch_all(&mut self, turn: &mut Turn) {
        for _ in 0..ROUNDS_MAX {
            let mut is_new = self.wake_gates();
            is_new |= self.retry_calls(turn);
            for pool in 0..self.pools.len() {
                is_new |= self.dispatch(pool, turn);
            }
            // What a rung ended here is told to its caller in the same turn.
            is_new |= !self.later.is_empty() || self.is_call_woken();
            self.catch_up(turn);
            if !is_new {
                break;
            }
        }
        for pool in 0..self.pools.len() {
            self.log_decisions(pool, turn);
            self.answer(pool, turn);
        }
        self.write_counts(turn);
    }

    /// Lets classes try again that wait for what may be there now; whether there were any.
    pub(crate) fn wake_gates(&mut self) -> bool {
        let mut keys = self.limiter.wake(self.now);
        keys.extend(self.ledger.wake(self.now));
        for key in &keys {
            self.wake_parked(*key);
        }
        !keys.is_empty()
    }

    /// Lets all classes in each pool, and all calls, try again that wait under the key. Not the first of them alone: it may
    /// have no money any more, or be called off before it tries, and would wake no other.
    pub(crate) fn wake_parked(&mut self, key: u64) {
        let others = self.others.remove(&key).unwrap_or_default();
        for key in std::iter::once(key).chain(others) {
            for pool in &mut self.pools {
                pool.scheduler.wake(self.now, key, u32::MAX);
            }
            self.wake_calls(key);
        }
    }

    pub(crate) fn next_gate_wake(&self) -> Option<Time> {
        self.limiter.next_wake().into_iter().chain(self.ledger.next_wake()).min()
    }

    /// Counts and accounts that have changed are written with what changed them.
    fn write_counts(&mut self, turn: &mut Turn) {
        for (tool, tenant, rule, used) in self.limiter.take_changes() {
            let tenant = tenant.map(|at| self.tenant_id(at));
            let tool = self.directory.tool_name(tool).clone();
            turn.write(Change::Use(UseRow { tool, tenant, rule, used }));
        }
        for (key, start, state) in self.ledger.take_changes() {
            let (owner, every) = self.directory.owner_of(key);
            turn.write(Change::Account(AccountRow {
                owner,
                every,
                start,
                posted: state.posted,
                uncertain: state.uncertain,
                topped_up: state.topped_up,
                forgiven: state.forgiven,
            }));
        }
    }

    fn tenant_id(&self, at: u32) -> TenantId {
        self.directory.tenants.get(TenantIx(at)).declared.id.clone()
    }

    /// The attempt is over, and this is what it cost.
    pub(crate) fn settle(&mut self, at: At, cost: Spent, turn: &mut Turn) {
        let Some((tenant, passed)) = self.passed(at) else { return };
        if let Some(taken) = &passed.taken {
            let ended = match cost {
                Spent::Said(_, answer) | Spent::Lost(answer) => (answer, None),
                Spent::Metered(metered, answer) => (answer, Some(metered.usage.total())),
            };
            self.end_call(taken, ended, turn);
        }
        if let Some(route) = &passed.route {
            let held = passed.held.as_deref().map_or(Nano::ZERO, |held| held.amount);
            let written = match cost {
                Spent::Metered(metered, _) => (metered, route.cost(metered.usage)),
                Spent::Said(cost, _) => (Metered::default(), cost.unwrap_or(held)),
                Spent::Lost(_) => (Metered::default(), held),
            };
            self.record_call(at, route, written, turn);
        }
        let run = self.runs.get_mut(at.run);
        let held = match (passed.held, cost) {
            (Some(held), _) => held,
            // What was expected to cost nothing did.
            (None, Spent::Said(Some(cost), _)) if cost > Nano::ZERO => {
                let held = self.ledger.hold(self.now, tenant.0, &mut run.money, Nano::ZERO);
                Box::new(held.expect("nothing can always be held"))
            }
            (None, _) => return,
        };
        let cost = match cost {
            Spent::Said(Some(cost), _) => Cost::Known(cost),
            Spent::Said(None, _) => Cost::Known(held.amount),
            Spent::Lost(_) => Cost::Uncertain(held.amount),
            Spent::Metered(Metered { usage, is_certain }, _) => {
                let cost = passed.route.map_or(held.amount, |route| route.cost(usage));
                if is_certain { Cost::Known(cost) } else { Cost::Uncertain(cost) }
            }
        };
        self.ledger.settle(tenant.0, &mut run.money, &held, cost);
        turn.write(Change::Run(Box::new(run.row(None, None))));
        self.end_shortage(at.run, turn);
    }

    /// The attempt never began: nothing of it was spent.
    pub(crate) fn release(&mut self, at: At, turn: &mut Turn) {
        let Some((tenant, passed)) = self.passed(at) else { return };
        if let Some(taken) = &passed.taken {
            self.limiter.give_back(taken);
        }
        if let Some(held) = &passed.held {
            self.ledger.release(tenant.0, &mut self.runs.get_mut(at.run).money, held);
            self.end_shortage(at.run, turn);
        }
    }

    fn passed(&mut self, at: At) -> Option<(TenantIx, Passed)> {
        let run = self.runs.get_mut(at.run);
        let tenant = run.tenant;
        let State::Leased(lease) = &mut run.node_mut(at.node).state else { return None };
        Some((tenant, std::mem::take(&mut lease.passed)))
    }

    /// A lease that outlived its owner: what was held for it is held again, and its call is under way.
    pub(crate) fn resume_passed(
        &mut self,
        at: At,
        hold: Option<&Hold>,
        route: Option<Box<Route>>,
    ) -> Passed {
        let tool = match &route {
            Some(route) => Some(route.endpoint.clone()),
            None => self.runs.get(at.run).tool(at.node).cloned(),
        };
        if let Some(tool) = &tool {
            self.directory.number_tool(tool);
        }
        let run = self.runs.get_mut(at.run);
        let tenant = run.tenant;
        let held = hold.map(|hold| Box::new(self.directory.orgs.held(hold)));
        if let Some(held) = &held {
            self.ledger.resume(tenant.0, &mut run.money, held);
        }
        let taken = tool
            .and_then(|tool| tool_caller(&self.directory, tenant, &tool))
            .map(|caller| Box::new(self.limiter.resume(self.now, &caller)));
        Passed { held, taken, route }
    }

    /// The refusal that a step would meet now, if it is one of money or of limits.
    pub(crate) fn gate_refusal(&self, at: At) -> Option<Refusal> {
        let run = self.runs.get(at.run);
        if let Some(call) = run.model_call(at.node) {
            return self.model_refusal(at, call);
        }
        let forbidden = self.directory.forbids(run, at.node, self.now);
        if let Some(refusal) = forbidden.or_else(|| self.policy_refusal(at)) {
            return Some(refusal);
        }
        let cost = cost_of(run, at.node);
        if let Err(short) = self.ledger.check(self.now, run.tenant.0, &run.money, cost) {
            return Some(lacking(&short));
        }
        let caller = caller(&self.directory, run, at.node)?;
        let blocked = self.limiter.would_block(self.now, &caller, Units::CALL)?;
        Some(limited(&self.directory, &caller, &blocked))
    }

    /// Whether a new run of the tenant may rest here, and can pay for the cheapest way through its plan.
    pub(crate) fn can_begin(&self, tenant: TenantIx, shape: &Shape) -> Result<(), Rejection> {
        self.may_store(tenant)?;
        let context = self.directory.tenants.get(tenant).context();
        self.may_begin(context, shape.bound_steps())?;
        let need = shape.least_cost.plus(self.models_cost(tenant, shape.bound_steps())?);
        self.can_pay(tenant, &self.directory.run_account(context), need)
    }

    /// Whether a run can pay for the cheapest way through the steps that it is to do again. Its own account refuses
    /// nothing: nobody could raise that of a run that has ended, and it is halted where that is short.
    pub(crate) fn can_begin_again(
        &self,
        tenant: TenantIx,
        shape: &Shape,
        again: &[bool],
    ) -> Result<(), Rejection> {
        let steps: Vec<&Step> = shape.bound_steps_of(again).collect();
        let context = self.directory.tenants.get(tenant).context();
        self.may_begin(context, steps.iter().copied())?;
        let costs = steps.iter().map(|step| Nano(step.cost_nano)).fold(Nano::ZERO, Nano::plus);
        let need = costs.plus(self.models_cost(tenant, steps.into_iter())?);
        self.can_pay(tenant, &RunAccount::default(), need)
    }

    pub(crate) fn can_pay(
        &self,
        tenant: TenantIx,
        account: &RunAccount,
        need: Nano,
    ) -> Result<(), Rejection> {
        let checked = self.ledger.check(self.now, tenant.0, account, need);
        checked.map_err(|short| short_rejected(&short))
    }

    /// The terms of a tenant's accounts and its weight are what its context and class say now.
    pub(crate) fn set_terms(&mut self, tenant: TenantIx) {
        let entry = self.directory.tenants.get(tenant);
        let (org, context) = (entry.org, entry.context());
        let terms = terms(&self.directory, context, org);
        self.limiter.set_tenant(tenant.0, org.0, context.weight);
        self.limiter.retry_all(tenant.0);
        self.ledger.set_tenant(tenant.0, terms);
    }

    pub(crate) fn set_org_terms(&mut self, at: OrgIx) {
        let org = self.directory.orgs.get(at);
        let (month, zone) = match &org.budget {
            Some(budget) => (Some(budget.month), budget.time_zone.clone()),
            None => (None, TimeZone::UTC),
        };
        self.limiter.set_org(at.0, org.weight);
        self.ledger.set_org(at.0, OrgTerms { month, zone });
    }
}

/// How an attempt ended, as far as its cost and its tool's provider go.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Spent {
    /// Its worker reported; `None`: it cost what was held for it.
    Said(Option<Nano>, Answer),
    /// A model's call used that much, and was answered so.
    Metered(Metered, Answer),
    /// Nobody knows what it cost.
    Lost(Answer),
}

fn terms(directory: &Directory, context: &Context, org: OrgIx) -> TenantTerms {
    let budget = directory.budget_class(context).map(|class| &class.budget);
    TenantTerms {
        org: org.0,
        day: budget.and_then(|budget| budget.day),
        month: budget.and_then(|budget| budget.month),
        zone: budget.map_or(TimeZone::UTC, |budget| budget.time_zone.clone()),
    }
}
