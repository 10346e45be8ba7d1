//! Calls of models that clients and workers make through the gateway: let through by the same gates as steps, without a slot.
//!
//! One for which an endpoint has no room waits, as a step does: in the line of the provider, in which its tenant has its share,
//! or for its tenant's own quota. It is refused at once if it would wait in vain.
//!
//! Each is written before it leaves, with what is held for it, and ends once: with what it used, or with the lease that it
//! was made under. One that was under way when its server was killed is settled at what was held for it, unconfirmed.

mod waiting;

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::Metered;
use crate::id::TenantId;
use crate::ledger::{Cost, Held, RunAccount};
use crate::limiter::{Answer, Blocked, Taken};
use crate::money::Nano;
use crate::policy::Ask;
use crate::reject::{Rejection, ValveCause};
use crate::router::{Choice, NoneFound, Way};
use crate::row::{CallAttempt, CallRow, LeaseId, Route, RunKey, RunStatus};
use crate::scheduler::TenantIx;
use crate::time::{Span, Time};
use crate::trace::Anchor;

use super::change::Change;
use super::effect::Response;
use super::gates::short_rejected;
use super::input::{CloseCall, OpenCall, ReplyId};
use super::live::{At, Revoked, State};
use super::model::{Full, Options, Wanted, Without, options, route, units, way_caller};
use super::outage;
use super::policy::model_denied;
use super::rules::Binding;
use super::{Cell, Turn};
use waiting::{WaitingCall, WaitingCalls};

/// Calls under way and waiting, each, at once.
const CALLS_MAX: usize = 100_000;
/// When to come again where nobody knows when there will be room.
const SOON: Span = Span::from_secs(1);

/// Calls that are under way.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    open: BTreeMap<u64, Open>,
    /// Those that were made under leases: by the fence of the lease.
    by_lease: BTreeSet<(u64, u64)>,
    waiting: WaitingCalls,
}

/// Why a call is not let in.
enum NotIn {
    Refused(Rejection),
    Blocked(Box<Lines>),
}

/// No way has room. One that can wait stands in all their lines.
struct Lines {
    /// Of the way that opens first.
    refusal: Rejection,
    /// Under which it is woken.
    keys: Vec<u64>,
}

/// How a call waits if there is no room for it.
#[derive(Clone, Copy, Debug)]
struct Waits {
    /// None: not at all.
    until: Option<Time>,
    /// The number under which it waits already.
    again: Option<u64>,
}

impl From<Rejection> for NotIn {
    fn from(rejection: Rejection) -> Self {
        Self::Refused(rejection)
    }
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
    pub(crate) fn open_call(&mut self, reply: ReplyId, call: Box<OpenCall>, turn: &mut Turn) {
        let until = self.now + call.wait_max;
        let may_wait = call.wait_max > Span::ZERO && self.calls.waiting.len() < CALLS_MAX;
        let waits = Waits { until: may_wait.then_some(until), again: None };
        match self.let_call_in(&call, waits, turn) {
            Ok((id, route)) => {
                let trace = self.trace_of_call(id);
                turn.reply(reply, Response::Opened { call: id, route: Box::new(route), trace });
            }
            Err(NotIn::Refused(rejection)) => {
                self.was_refused((&call.tenant, call.by), "call", &rejection);
                turn.reject(reply, rejection);
            }
            Err(NotIn::Blocked(lines)) => {
                let Lines { refusal, keys } = *lines;
                self.log_call_parked((&call.tenant, call.by.clone()), &refusal, turn);
                self.calls.waiting.wait(WaitingCall { reply, call, refusal, keys, until });
            }
        }
    }

    /// Whoever made the call does not want it any more. One that was let in ends as any other.
    pub(crate) fn give_up_call(&mut self, reply: ReplyId, turn: &mut Turn) {
        if let Some(waiting) = self.calls.waiting.take_of(reply) {
            self.wait_ended(waiting, turn);
        }
    }

    pub(crate) fn end_call_waits(&mut self, turn: &mut Turn) {
        while let Some(waiting) = self.calls.waiting.take_overdue(self.now) {
            self.wait_ended(waiting, turn);
        }
    }

    pub(crate) fn next_call_wait(&self) -> Option<Time> {
        self.calls.waiting.next_end()
    }

    pub(crate) fn wake_calls(&mut self, key: u64) {
        self.calls.waiting.wake(key);
    }

    pub(crate) fn is_call_woken(&self) -> bool {
        self.calls.waiting.is_any_woken()
    }

    /// Lets in those that were woken and have room now; whether there were any.
    pub(crate) fn retry_calls(&mut self, turn: &mut Turn) -> bool {
        let mut is_new = false;
        while let Some(key) = self.calls.waiting.next_woken() {
            while let Some((number, first)) = self.calls.waiting.first(key) {
                let (reply, call) = (first.reply, first.call.clone());
                let waits = Waits { until: Some(first.until), again: Some(number) };
                match self.let_call_in(&call, waits, turn) {
                    Err(NotIn::Blocked(lines)) => {
                        self.calls.waiting.wait_on(number, lines.keys, lines.refusal);
                        break;
                    }
                    Err(NotIn::Refused(rejection)) => {
                        self.stop_waiting(number, None);
                        self.was_refused((&call.tenant, call.by), "call", &rejection);
                        turn.reject(reply, rejection);
                    }
                    Ok((id, route)) => {
                        is_new = true;
                        self.stop_waiting(number, Some(id));
                        let (route, trace) = (Box::new(route), self.trace_of_call(id));
                        turn.reply(reply, Response::Opened { call: id, route, trace });
                    }
                }
            }
        }
        is_new
    }

    /// It is refused, or let in as this call. In the line that it was served in its tenant is expected back.
    fn stop_waiting(&mut self, number: u64, call: Option<u64>) {
        let Some(waiting) = self.calls.waiting.take(number) else { return };
        let served = call.map(|call| self.calls.open[&call].taken.wake());
        let left: Vec<u64> = waiting.keys.into_iter().filter(|key| Some(*key) != served).collect();
        self.leave_lines(&left);
    }

    fn wait_ended(&mut self, waiting: WaitingCall, turn: &mut Turn) {
        self.leave_lines(&waiting.keys);
        let mut refusal = waiting.refusal;
        if let Rejection::LimitReached { opens, retry_after, .. } = &mut refusal {
            *retry_after = come_again(*opens, self.now);
        }
        self.was_refused((&waiting.call.tenant, waiting.call.by), "call", &refusal);
        turn.reject(waiting.reply, refusal);
    }

    /// One of the tenant's does not wait under these keys any more. What still does tries again, and keeps the place: a line
    /// that is empty for a moment would forget what its tenants have had.
    fn leave_lines(&mut self, keys: &[u64]) {
        for key in keys {
            let linked = self.others.get(key).into_iter().flatten();
            let is_parked = std::iter::once(key)
                .chain(linked)
                .any(|key| self.pools.iter().any(|pool| pool.scheduler.is_parked(*key)));
            if !is_parked && self.calls.waiting.first(*key).is_none() {
                self.limiter.gone(*key);
            }
            self.wake_parked(*key);
        }
    }

    fn let_call_in(
        &mut self,
        call: &OpenCall,
        waits: Waits,
        turn: &mut Turn,
    ) -> Result<(u64, Route), NotIn> {
        let unknown = || Rejection::UnknownTenant { tenant: call.tenant.clone() };
        let tenant = self.directory.tenants.find(&call.tenant).ok_or_else(unknown)?;
        let context = self.directory.tenants.get(tenant).context().clone();
        if context.suspended {
            return Err(Rejection::Suspended { tenant: call.tenant.clone() }.into());
        }
        if self.calls.open.len() >= CALLS_MAX {
            return Err(Rejection::ValveClosed {
                cause: ValveCause::Calls,
                depth: self.calls.open.len() as u64,
                threshold: CALLS_MAX as u64,
                retry_after: SOON,
            }
            .into());
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
        let binding = match at {
            Some(at) => self.directory.binding(self.runs.get(at.run)),
            None => Binding::newest(&context),
        };
        let may = |ask: &Ask| self.policed.decide(&self.directory, tenant, ask);
        let found = options(&self.directory, binding, &wanted, now, (may, can_pay));
        let options = found.map_err(|without| match without {
            Without::Way(NoneFound { because, passed }) => {
                let model = call.model.clone();
                Rejection::ModelUnavailable { step: None, model, because, passed }
            }
            Without::Policy(denied) => model_denied(&call.model, denied),
            Without::Money(short) => short_rejected(&short),
        })?;
        let (choice, taken, full) = self.take_open_way(tenant, &wanted, &options, waits)?;
        // What of the tenant's waits for the endpoint is not in its line any more.
        self.wake_parked(taken.wake());
        let (route, need) = (route(&wanted, &options, &choice, &full), choice.need);
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
        self.log_call((&call.tenant, call.by.clone()), (id, held.amount), &route, turn);
        let open =
            Open { tenant, at, attempt, route: route_taken, held, account, taken, began: now };
        turn.write(Change::Call(Box::new(self.open_row(id, &open))));
        if let Some(lease) = &call.lease {
            self.calls.by_lease.insert((lease.fence, id));
        }
        self.calls.open.insert(id, open);
        Ok((id, route))
    }

    /// Takes a call of the first endpoint that has room. If none has, one that may wait stands in all their lines, unless it
    /// would wait in vain.
    fn take_open_way(
        &mut self,
        tenant: TenantIx,
        wanted: &Wanted,
        options: &Options,
        waits: Waits,
    ) -> Result<(Choice, Taken, Full), NotIn> {
        let mut soonest: Option<Rejection> = None;
        // Lines in which a take that was refused stands.
        let mut stood = Vec::new();
        let mut full = Full::new();
        for choice in &options.choices {
            let way = &options.ways[choice.way];
            let caller = way_caller(&self.directory, tenant, way);
            let units = units(wanted.demand, choice);
            let key = caller.wake();
            // Calls of the tenant that came before come first.
            let before = self.calls.waiting.before(key, waits.again);
            let refusal = if let Some(first) = before {
                first.refusal.clone()
            } else {
                let blocked = match self.limiter.would_block(self.now, &caller, units) {
                    Some(blocked) => blocked,
                    None => match self.limiter.take(self.now, &caller, units) {
                        Ok(taken) => {
                            self.leave_lines(&stood);
                            return Ok((*choice, taken, full));
                        }
                        Err(blocked) => {
                            stood.push(key);
                            blocked
                        }
                    },
                };
                limit_reached(way, &blocked, self.now)
            };
            let mut may_pass_on = true;
            if let Rejection::LimitReached { rule, .. } = &refusal {
                may_pass_on = outage::may_pass_on(options.outage, rule);
                full.push((choice.way, rule.clone()));
            }
            if soonest.as_ref().is_none_or(|first| opens_of(&refusal) < opens_of(first)) {
                soonest = Some(refusal);
            }
            if !may_pass_on {
                break;
            }
        }
        let refusal = soonest.expect("there is at least one choice");
        let (is_never, opens) = opens_of(&refusal);
        match waits.until {
            Some(until) if !is_never && opens.is_none_or(|opens| opens <= until) => {
                self.stand_in_lines(tenant, (wanted, options, full.len()), waits)
            }
            _ => {
                self.leave_lines(&stood);
                Err(NotIn::Refused(refusal))
            }
        }
    }

    /// None of the ways has room. A take that is refused stands in its line, unless that never has as much.
    fn stand_in_lines(
        &mut self,
        tenant: TenantIx,
        (wanted, options, tried): (&Wanted, &Options, usize),
        waits: Waits,
    ) -> Result<(Choice, Taken, Full), NotIn> {
        let mut lines = Vec::with_capacity(options.choices.len());
        for choice in &options.choices[..tried] {
            let way = &options.ways[choice.way];
            let caller = way_caller(&self.directory, tenant, way);
            let key = caller.wake();
            if let Some(first) = self.calls.waiting.before(key, waits.again) {
                lines.push((key, first.refusal.clone()));
                continue;
            }
            let units = units(wanted.demand, choice);
            let blocked = self.limiter.would_block(self.now, &caller, units);
            if blocked.is_some_and(|blocked| blocked.is_never) {
                continue;
            }
            match self.limiter.take(self.now, &caller, units) {
                Ok(taken) => {
                    let stood: Vec<u64> = lines.iter().map(|(key, _)| *key).collect();
                    self.leave_lines(&stood);
                    return Ok((*choice, taken, Full::new()));
                }
                Err(blocked) => {
                    lines.push((key, limit_reached(way, &blocked, self.now)));
                }
            }
        }
        let keys = lines.iter().map(|(key, _)| *key).collect();
        let soonest = lines.into_iter().min_by_key(|(_, refusal)| opens_of(refusal));
        let (_, refusal) = soonest.expect("one that may open was just found");
        Err(NotIn::Blocked(Box::new(Lines { refusal, keys })))
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
            State::Leased(held)
                if held.revoked == Revoked::No && run.status != RunStatus::Stopping =>
            {
                Ok(at)
            }
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

    /// Calls that are under way: whose, the lease that each was made under, and its way.
    pub(crate) fn open_calls(&self) -> impl Iterator<Item = (TenantIx, Option<At>, &Route)> {
        self.calls.open.values().map(|open| (open.tenant, open.at, &open.route))
    }

    /// The span of the attempt that the call is made for.
    fn trace_of_call(&self, id: u64) -> Option<Anchor> {
        let at = self.calls.open.get(&id)?.at?;
        self.traces.anchor(self.runs.get(at.run), at.node)
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
            considered: open.route.considered.clone(),
            began: open.began,
            ended: None,
            hold: Some(Box::new(self.directory.orgs.hold(&open.held))),
            metered: Metered::default(),
            cost: Nano::ZERO,
        }
    }
}

fn limit_reached(way: &Way, blocked: &Blocked, now: Time) -> Rejection {
    Rejection::LimitReached {
        tool: way.endpoint.clone(),
        holder: blocked.holder,
        rule: blocked.rule.clone(),
        used: blocked.used,
        of: blocked.of,
        opens: blocked.opens,
        is_never: blocked.is_never,
        retry_after: come_again(blocked.opens, now),
    }
}

/// Whether it never opens, and when it does; what nobody knows may be soon.
const fn opens_of(refusal: &Rejection) -> (bool, Option<Time>) {
    match refusal {
        Rejection::LimitReached { is_never, opens, .. } => (*is_never, *opens),
        _ => (false, None),
    }
}

fn come_again(opens: Option<Time>, now: Time) -> Span {
    opens.map_or(SOON, |opens| opens.since(now)).max(SOON)
}
