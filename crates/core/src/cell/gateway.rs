//! Calls of models that clients and workers make through the gateway: let through by the same gates as steps, without a slot.
//!
//! Each is written before it leaves, with what is held for it, and ends once: with what it used, or with the lease that it
//! was made under. One that was under way when its server was killed is settled at what was held for it, unconfirmed.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::Metered;
use crate::id::TenantId;
use crate::ledger::{Cost, Held, RunAccount};
use crate::limiter::{Answer, Taken};
use crate::money::Nano;
use crate::reject::{Rejection, ValveCause};
use crate::row::{CallAttempt, CallRow, LeaseId, Route, RunKey, RunStatus};
use crate::scheduler::TenantIx;
use crate::time::{Span, Time};

use super::change::Change;
use super::effect::Response;
use super::gates::short_rejected;
use super::input::{CloseCall, OpenCall, ReplyId};
use super::live::{At, State};
use super::model::{Options, Wanted, Without, options, route, units, way_caller};
use super::{Cell, Turn};

/// Calls under way at once.
const CALLS_MAX: usize = 100_000;
/// When to come again where nobody knows when there will be room.
const SOON: Span = Span::from_secs(1);

/// Calls that are under way.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    open: BTreeMap<u64, Open>,
    /// Those that were made under leases: by the fence of the lease.
    by_lease: BTreeSet<(u64, u64)>,
}

#[derive(Debug)]
struct Open {
    tenant: TenantIx,
    /// Where the lease is that it was made under.
    at: Option<At>,
    attempt: Option<CallAttempt>,
    route: Route,
    held: Held,
    /// What is held for one that is no run's.
    account: RunAccount,
    taken: Taken,
    began: Time,
}

impl Cell {
    pub(crate) fn open_call(&mut self, reply: ReplyId, call: &OpenCall, turn: &mut Turn) {
        match self.let_call_in(call, turn) {
            Ok((id, route)) => {
                turn.reply(reply, Response::Opened { call: id, route: Box::new(route) });
            }
            Err(rejection) => turn.reject(reply, rejection),
        }
    }

    fn let_call_in(&mut self, call: &OpenCall, turn: &mut Turn) -> Result<(u64, Route), Rejection> {
        let unknown = || Rejection::UnknownTenant { tenant: call.tenant.clone() };
        let tenant = self.directory.tenants.find(&call.tenant).ok_or_else(unknown)?;
        let context = self.directory.tenants.get(tenant).context().clone();
        if context.suspended {
            return Err(Rejection::Suspended { tenant: call.tenant.clone() });
        }
        if self.calls.open.len() >= CALLS_MAX {
            return Err(Rejection::ValveClosed {
                cause: ValveCause::Calls,
                depth: self.calls.open.len() as u64,
                threshold: CALLS_MAX as u64,
                retry_after: SOON,
            });
        }
        let lease = call.lease.as_ref();
        let at = lease.map(|lease| self.lease_of_call(&call.tenant, lease)).transpose()?;
        let account = at.map_or_else(RunAccount::default, |at| self.runs.get(at.run).money);
        let wanted = Wanted {
            model: call.model.clone(),
            demand: call.demand,
            is_optional: false,
            allows_cheaper: at.is_some_and(|at| self.runs.get(at.run).allows_cheaper),
            avoid: call.avoid.clone(),
            last: None,
        };
        let now = self.now;
        let can_pay = |need| self.ledger.check(now, tenant.0, &account, need);
        let found = options(&self.directory, &context, &wanted, now, can_pay);
        let options = found.map_err(|without| match without {
            Without::Way(because) => {
                let model = call.model.clone();
                Rejection::ModelUnavailable { step: None, model, because }
            }
            Without::Money(short) => short_rejected(&short),
        })?;
        let (route, taken, need) = self.take_open_way(tenant, &wanted, &options)?;
        let mut account = RunAccount::default();
        let money = match at {
            Some(at) => &mut self.runs.get_mut(at.run).money,
            None => &mut account,
        };
        let held = self.ledger.hold(now, tenant.0, money, need);
        let held = held.expect("what was just checked can be held");
        self.fence += 1;
        let id = self.fence;
        let attempt = at.map(|at| self.attempt_of(at));
        let route_taken = route.clone();
        let open =
            Open { tenant, at, attempt, route: route_taken, held, account, taken, began: now };
        turn.write(Change::Call(Box::new(self.open_row(id, &open))));
        if let Some(lease) = &call.lease {
            self.calls.by_lease.insert((lease.fence, id));
        }
        self.calls.open.insert(id, open);
        Ok((id, route))
    }

    /// Takes a call of the first endpoint that has room, or says what the one that opens first lacks. Nobody waits here.
    fn take_open_way(
        &mut self,
        tenant: TenantIx,
        wanted: &Wanted,
        options: &Options,
    ) -> Result<(Route, Taken, Nano), Rejection> {
        let mut soonest: Option<Rejection> = None;
        let mut opens_first = None;
        for choice in &options.choices {
            let way = &options.ways[choice.way];
            let caller = way_caller(&self.directory, tenant, way);
            let units = units(wanted.demand, choice);
            let blocked = match self.limiter.would_block(self.now, &caller, units) {
                Some(blocked) => blocked,
                None => match self.limiter.take(self.now, &caller, units) {
                    Ok(taken) => {
                        // Steps of the tenant that wait for the endpoint are not in its line any more.
                        self.wake_parked(taken.wake());
                        return Ok((route(wanted, way, choice), taken, choice.need));
                    }
                    Err(blocked) => {
                        self.limiter.gone(blocked.wake);
                        self.wake_parked(blocked.wake);
                        blocked
                    }
                },
            };
            if soonest.is_none() || blocked.opens < opens_first {
                opens_first = blocked.opens;
                soonest = Some(Rejection::LimitReached {
                    tool: way.endpoint.clone(),
                    holder: blocked.holder,
                    rule: blocked.rule,
                    used: blocked.used,
                    of: blocked.of,
                    opens: blocked.opens,
                    retry_after: blocked
                        .opens
                        .map_or(SOON, |opens| opens.since(self.now))
                        .max(SOON),
                });
            }
        }
        Err(soonest.expect("there is at least one choice"))
    }

    /// The lease that a call is made under, if it still is one.
    fn lease_of_call(&self, tenant: &TenantId, lease: &LeaseId) -> Result<At, Rejection> {
        let stale = || Rejection::StaleLease { run: lease.key.run };
        if lease.key.tenant != *tenant {
            return Err(stale());
        }
        let at = self.find_lease(lease).map_err(|_| stale())?;
        let run = self.runs.get(at.run);
        match &run.node(at.node).state {
            State::Leased(held) if !held.revoked && run.status != RunStatus::Stopping => Ok(at),
            _ => Err(stale()),
        }
    }

    pub(crate) fn attempt_of(&self, at: At) -> CallAttempt {
        let run = self.runs.get(at.run);
        let node = run.node(at.node);
        CallAttempt { run: run.key.run, instance: node.instance, attempt: node.attempt }
    }

    /// A call is over. One that is over already, since its lease is, stays as it was.
    pub(crate) fn close_call(&mut self, closed: &CloseCall, turn: &mut Turn) {
        let Some(open) = self.calls.open.get(&closed.call) else { return };
        if *self.tenant_of(open.tenant) != closed.tenant {
            return;
        }
        self.settle_call(closed.call, Some((closed.metered, closed.answer)), turn);
    }

    /// The lease is over: so are the calls that were made under it. What they have used, nobody has said.
    pub(crate) fn close_calls_of(&mut self, fence: u64, turn: &mut Turn) {
        let of = (fence, 0)..=(fence, u64::MAX);
        let calls: Vec<u64> = self.calls.by_lease.range(of).map(|(_, call)| *call).collect();
        for call in calls {
            self.settle_call(call, None, turn);
        }
    }

    /// `None`: nobody knows what it used.
    fn settle_call(&mut self, id: u64, ended: Option<(Metered, Answer)>, turn: &mut Turn) {
        let mut open = self.calls.open.remove(&id).expect("a call that is settled is under way");
        let metered = ended.map(|(metered, _)| metered);
        let cost = match metered {
            Some(metered) if metered.is_certain => Cost::Known(open.route.cost(metered.usage)),
            Some(metered) => Cost::Uncertain(open.route.cost(metered.usage)),
            None => Cost::Uncertain(open.held.amount),
        };
        let answer = ended.map_or(Answer::Unknown, |(_, answer)| answer);
        let tokens = metered.map(|metered| metered.usage.total());
        self.end_call(&open.taken, (answer, tokens), turn);
        let money = match open.at {
            Some(at) => &mut self.runs.get_mut(at.run).money,
            None => &mut open.account,
        };
        self.ledger.settle(open.tenant.0, money, &open.held, cost);
        let (Cost::Known(cost) | Cost::Uncertain(cost)) = cost;
        let row = CallRow {
            ended: Some(self.now),
            hold: None,
            metered: metered.unwrap_or_default(),
            cost,
            ..self.open_row(id, &open)
        };
        turn.write(Change::Call(Box::new(row)));
        if let Some(at) = open.at {
            let run = self.runs.get(at.run);
            let fence = run.node(at.node).fence;
            self.calls.by_lease.remove(&(fence, id));
            turn.write(Change::Run(Box::new(run.row(None, None))));
            self.end_shortage(at.run, turn);
        }
    }

    /// Calls that were under way when the last owner of the cell was killed.
    pub(crate) fn settle_left_calls(&mut self, left: Vec<CallRow>, turn: &mut Turn) {
        for row in left {
            let Some(tenant) = self.directory.tenants.find(&row.tenant) else { continue };
            let Some(hold) = row.hold.as_deref() else { continue };
            let held = self.directory.orgs.held(hold);
            let key =
                row.attempt.map(|attempt| RunKey { tenant: row.tenant.clone(), run: attempt.run });
            let run = key.and_then(|key| self.runs.find(&key));
            let money = match run {
                Some(run) => &mut self.runs.get_mut(run).money,
                None => &mut RunAccount::default(),
            };
            self.ledger.resume(tenant.0, money, &held);
            self.ledger.settle(tenant.0, money, &held, Cost::Uncertain(held.amount));
            if let Some(run) = run {
                turn.write(Change::Run(Box::new(self.runs.get(run).row(None, None))));
            }
            let ended = Some(self.now);
            let row = CallRow { ended, hold: None, cost: held.amount, ..row };
            turn.write(Change::Call(Box::new(row)));
        }
    }

    fn tenant_of(&self, tenant: TenantIx) -> &TenantId {
        &self.directory.tenants.get(tenant).declared.id
    }

    fn open_row(&self, id: u64, open: &Open) -> CallRow {
        CallRow {
            tenant: self.tenant_of(open.tenant).clone(),
            id,
            attempt: open.attempt,
            model: open.route.model.clone(),
            endpoint: open.route.endpoint.clone(),
            upstream: open.route.upstream.clone(),
            rung: open.route.rung,
            began: open.began,
            ended: None,
            hold: Some(Box::new(self.directory.orgs.hold(&open.held))),
            metered: Metered::default(),
            cost: Nano::ZERO,
        }
    }
}
