//! Slots to steps: the queue of each pool, the workers that ask, and the leases between them.
//!
//! Dispatch happens when a turn closes, so that all inputs of the turn compete. A step that is next passes the gates
//! first; see the module of that name.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::gate::{Refusal, Verdict};
use crate::id::{PoolName, WorkerName};
use crate::plan::StepKind;
use crate::pool::Pool;
use crate::reading::Cause;
use crate::row::{LeaseId, Part};
use crate::scheduler::{Entry, GateAnswer, Offer, Scheduler, TenantIx, Ticket};
use crate::time::{Span, Time};

use super::advance::{class, fail};
use super::effect::{Effect, Exchanged, Grant, Work};
use super::gates::Spent;
use super::input::AskId;
use super::live::{At, Lease, Passed, Revoked, Run, State};
use super::observe::PoolWatch;
use super::timer::Kind;
use super::{Cell, Turn};

/// A worker not heard of for this many lease times, and without leases, is forgotten.
const WORKER_SILENCE_LEASES: u64 = 4;

#[derive(Debug)]
pub(crate) struct PoolState {
    pub(crate) scheduler: Scheduler,
    pub(crate) workers: BTreeMap<WorkerName, Worker>,
    /// Open asks in order of arrival: the worker that has waited longest is served first.
    pub(crate) asks: VecDeque<Ask>,
    pub(crate) swept: Time,
    pub(crate) watch: PoolWatch,
}

impl PoolState {
    /// Slots that connected workers offer.
    pub(crate) fn offered(&self, now: Time, silence: Span) -> u32 {
        let there = self.there(now, silence);
        there.fold(0, |sum, (_, worker)| sum.saturating_add(worker.slots))
    }

    /// Workers that hold something, ask for something, or were heard of within the span.
    pub(crate) fn there(
        &self,
        now: Time,
        silence: Span,
    ) -> impl Iterator<Item = (&WorkerName, &Worker)> {
        let asking: BTreeSet<&WorkerName> = self.asks.iter().map(|ask| &ask.worker).collect();
        self.workers.iter().filter(move |(name, worker)| {
            worker.held > 0 || now.since(worker.seen) < silence || asking.contains(name)
        })
    }
}

#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) slots: u32,
    pub(crate) held: u32,
    pub(crate) seen: Time,
    /// Leases that it must be told to stop.
    pub(crate) revoked: Vec<LeaseId>,
}

/// A step that takes a slot.
struct Chosen {
    at: At,
    class: u64,
    /// What its class had to wait for.
    parked: Option<Cause>,
    /// What it was given at the gates.
    passed: Passed,
}

/// What came of offering a slot.
struct Offered {
    chosen: Option<Chosen>,
    /// Those that cannot go on by themselves.
    aside: Vec<(At, Refusal)>,
    /// Of classes that wait now outside of the queue, the first; with the key that wakes them.
    parked: Vec<(At, u64, u64, Refusal)>,
}

/// An exchange that is not answered yet.
#[derive(Debug)]
pub(crate) struct Ask {
    pub(crate) id: AskId,
    pub(crate) worker: WorkerName,
    /// Whose steps it can take, in order. `None`: everyone's.
    pub(crate) tenants: Option<Arc<[TenantIx]>>,
    pub(crate) want: u32,
    pub(crate) hold: bool,
    pub(crate) answer: Exchanged,
}

impl PoolState {
    pub(crate) fn new(pool: &Pool) -> Self {
        Self {
            scheduler: Scheduler::new(super::configure::queue_config(pool)),
            workers: BTreeMap::new(),
            asks: VecDeque::new(),
            swept: Time::default(),
            watch: PoolWatch::default(),
        }
    }

    /// The asks whose workers have room, in their order.
    fn open_asks(&self) -> impl Iterator<Item = (usize, &Ask)> {
        self.asks.iter().enumerate().filter(|(_, ask)| self.is_open(ask))
    }

    fn is_open(&self, ask: &Ask) -> bool {
        let given = u32::try_from(ask.answer.grants.len()).unwrap_or(u32::MAX);
        let room = |worker: &Worker| worker.slots.saturating_sub(worker.held);
        let room = self.workers.get(&ask.worker).map_or(0, room);
        ask.want.saturating_sub(given).min(room) > 0
    }

    /// Whose steps the open asks can take.
    fn asked(&self) -> Asked {
        let mut asked = Asked::default();
        for (_, ask) in self.open_asks() {
            asked.add(ask.tenants.as_ref());
        }
        asked
    }

    /// An ask was given a step. A worker has one that is open.
    fn note_given(&self, ask: usize, asked: &mut Asked) {
        let ask = &self.asks[ask];
        if !self.is_open(ask) {
            asked.remove(ask.tenants.as_ref());
        }
    }

    /// The ask that a step of the tenant is given to: one that can take no others' first, so that those which can are there for
    /// these.
    fn ask_for(&self, tenant: TenantIx, is_for_some: bool) -> Option<usize> {
        let mut common = None;
        for (at, ask) in self.open_asks() {
            match &ask.tenants {
                None if !is_for_some => return Some(at),
                None => common = common.or(Some(at)),
                Some(bound) if bound.binary_search(&tenant).is_ok() => return Some(at),
                Some(_) => {}
            }
        }
        common
    }

    /// Whether somebody asks who could take a step of the tenant.
    pub(crate) fn is_asked_for(&self, tenant: TenantIx) -> bool {
        let takes = |ask: &Ask| {
            let bound = ask.tenants.as_ref();
            bound.is_none_or(|bound| bound.binary_search(&tenant).is_ok())
        };
        self.asks.iter().any(|ask| ask.want > 0 && takes(ask))
    }
}

/// Of which tenants there is somebody to take a step: kept up to date while asks are met, so that many workers of the same
/// tenants cost no more than one.
#[derive(Default)]
struct Asked {
    /// Asks that can take everyone's.
    common: usize,
    /// How many asks can take the steps of just these.
    bound: BTreeMap<Arc<[TenantIx]>, usize>,
    /// In how many of those a tenant is.
    counts: BTreeMap<TenantIx, usize>,
    /// The tenants that are in any.
    tenants: Vec<TenantIx>,
}

impl Asked {
    fn add(&mut self, tenants: Option<&Arc<[TenantIx]>>) {
        let Some(tenants) = tenants else {
            self.common += 1;
            return;
        };
        let known = self.bound.entry(tenants.clone()).or_default();
        *known += 1;
        if *known > 1 {
            return;
        }
        for tenant in tenants.iter() {
            let count = self.counts.entry(*tenant).or_default();
            *count += 1;
            if let (1, Err(at)) = (*count, self.tenants.binary_search(tenant)) {
                self.tenants.insert(at, *tenant);
            }
        }
    }

    fn remove(&mut self, tenants: Option<&Arc<[TenantIx]>>) {
        let Some(tenants) = tenants else {
            self.common -= 1;
            return;
        };
        let known = self.bound.get_mut(tenants).expect("what is removed was added");
        *known -= 1;
        if *known > 0 {
            return;
        }
        self.bound.remove(tenants);
        for tenant in tenants.iter() {
            let count = self.counts.get_mut(tenant).expect("it was counted");
            *count -= 1;
            if *count == 0 {
                self.counts.remove(tenant);
                self.tenants.retain(|other| other != tenant);
            }
        }
    }

    const fn is_none(&self) -> bool {
        self.common == 0 && self.tenants.is_empty()
    }
}

impl Cell {
    /// Gives slots to steps while there are both and a worker asks. Gives whether a step could not go on, so that other
    /// pools may have something new to do.
    pub(crate) fn dispatch(&mut self, pool: usize, turn: &mut Turn) -> bool {
        let mut has_aside = false;
        if self.pools[pool].scheduler.reading().waiting == 0 {
            return false;
        }
        let mut asked = self.pools[pool].asked();
        while !asked.is_none() {
            let Offered { chosen, aside, parked } = self.offer(pool, &asked);
            for (at, class, wake, refusal) in parked {
                self.log_parked(pool, (at, class), &refusal, turn);
                self.trace_parked((pool, at, class), wake, refusal);
            }
            let is_over = chosen.is_none() && aside.is_empty();
            if let Some(Chosen { at, class, parked, passed }) = chosen {
                let tenant = self.runs.get(at.run).tenant;
                self.note_start(pool, at, parked);
                let ask = self.pools[pool].ask_for(tenant, !asked.tenants.is_empty());
                let ask = ask.expect("a step is chosen of those that somebody can take");
                self.lease((pool, ask), (at, class), passed, turn);
                self.pools[pool].note_given(ask, &mut asked);
            }
            // What becomes of these can pause or end runs, so that the lease comes first.
            has_aside |= !aside.is_empty();
            if !aside.is_empty() {
                self.set_aside(&aside, turn);
                // That can give leases back.
                asked = self.pools[pool].asked();
            }
            if is_over {
                break;
            }
        }
        has_aside
    }

    /// The step that passes, and those that were taken out of the queue before it was found.
    fn offer(&mut self, pool: usize, asked: &Asked) -> Offered {
        let now = self.now;
        let mut passed = None;
        let mut aside = Vec::new();
        let mut parked = Vec::new();
        let (pools, mut gates) = self.gates();
        let gate = &mut |offer: Offer| {
            let at = At::from_ticket(offer.ticket.0);
            match gates.pass(at) {
                Ok(given) => {
                    passed = Some((given, offer.class));
                    GateAnswer::Pass
                }
                Err(Verdict::Park { refusal, wake }) => {
                    parked.push((at, offer.class, wake.0, refusal));
                    GateAnswer::Park(wake.0)
                }
                Err(Verdict::Pass) => unreachable!("a step that passes is no refusal"),
                Err(Verdict::Aside(refusal)) => {
                    aside.push((at, refusal));
                    GateAnswer::Aside
                }
            }
        };
        let scheduler = &mut pools[pool].scheduler;
        let dispatched = match asked.common {
            0 => scheduler.next_among(now, &asked.tenants, gate),
            _ => scheduler.next(now, gate),
        };
        let chosen = dispatched.map(|dispatch| {
            let passed = passed.expect("who is given a slot has passed the gates");
            let (passed, class) = passed;
            let parked = self.not_parked(pool, dispatch.tenant, class);
            self.traces.passed((pool, dispatch.tenant.0, class), now);
            Chosen { at: At::from_ticket(dispatch.ticket.0), class, parked, passed }
        });
        Offered { chosen, aside, parked }
    }

    fn lease(
        &mut self,
        (pool, ask): (usize, usize),
        (at, class): (At, u64),
        passed: Passed,
        turn: &mut Turn,
    ) {
        let now = self.now;
        let lease_time = self.directory.pools.list[pool].lease;
        self.clear_queue_timer(at);
        let run = self.runs.get_mut(at.run);
        let work = work(run, at.node, &passed);
        let (_, bound) = place(run, at.node).expect("only steps that are worked on are queued");
        let route = passed.route.clone();
        let deadline = overdue(run, at.node).unwrap_or(Time::MAX).min(now + bound);
        let until = deadline.min(now + lease_time);
        let worker = self.pools[pool].asks[ask].worker.clone();
        self.fence += 1;
        let node = run.node_mut(at.node);
        node.attempt += 1;
        let is_first = std::mem::replace(&mut node.fence, self.fence) == 0;
        self.log_passed(at, &passed, turn);
        let wanted = self.trace_waits(at, (pool, class), is_first, turn);
        // Others of the tenant that call the tool wait under the same key, and are not in its line any more.
        let wake = passed.taken.as_deref().map(crate::limiter::Taken::wake);
        let worker_name = worker.clone();
        let lease = Lease {
            worker: worker_name,
            pool,
            started: now,
            until,
            deadline,
            revoked: Revoked::No,
            wanted,
            passed,
        };
        self.timers.set(until, Kind::Lease, at);
        self.move_to(at, State::Leased(Box::new(lease)), None, turn);
        let run = self.runs.get(at.run);
        let node = run.node(at.node);
        let grant = Grant {
            lease: LeaseId { key: run.key.clone(), instance: node.instance, fence: node.fence },
            workflow: run.shape.workflow.clone(),
            context: run.context.clone(),
            work,
            attempt: node.attempt,
            deadline,
            renew_within: Span(lease_time.0 / 2),
            trace: self.traces.anchor(run, at.node),
        };
        if let Some(route) = route {
            self.log_degraded(at, &route, turn);
        }
        if let Some(key) = wake {
            self.wake_parked(key);
        }
        let state = &mut self.pools[pool];
        state.workers.get_mut(&worker).expect("a worker that asks is known").held += 1;
        state.asks[ask].answer.grants.push(grant);
    }

    /// For people: how long the step waited, and the run if it is its first.
    fn note_start(&mut self, pool: usize, at: At, parked: Option<Cause>) {
        let now = self.now;
        let run = self.runs.get_mut(at.run);
        let started =
            (!std::mem::replace(&mut run.has_begun, true)).then(|| now.since(run.created));
        let waited = now.since(run.node(at.node).since);
        let tenant = run.tenant;
        self.note_dispatch((pool, tenant), (waited, started), parked);
    }

    /// Answers the asks that have something to be told, or do not want to wait.
    pub(crate) fn answer(&mut self, pool: usize, turn: &mut Turn) {
        let state = &mut self.pools[pool];
        let mut waiting = VecDeque::with_capacity(state.asks.len());
        let mut leaving = Vec::new();
        for mut ask in state.asks.drain(..) {
            let worker = state.workers.get_mut(&ask.worker).expect("a worker that asks is known");
            ask.answer.revoked.append(&mut worker.revoked);
            if ask.hold && ask.answer.grants.is_empty() && ask.answer.revoked.is_empty() {
                waiting.push_back(ask);
            } else {
                if worker.slots == 0 && worker.held == 0 {
                    leaving.push(ask.worker);
                }
                turn.cause(Effect::Exchanged(ask.id, ask.answer));
            }
        }
        // One that offers nothing and holds nothing has gone; whoever asks must be known.
        leaving.retain(|gone| waiting.iter().all(|ask| ask.worker != *gone));
        for gone in leaving {
            state.workers.remove(&gone);
        }
        state.asks = waiting;
    }

    /// Puts a ready node into its pool's queue.
    pub(crate) fn enqueue(&mut self, at: At, turn: &mut Turn) {
        let run = self.runs.get(at.run);
        let (pool, _) = place(run, at.node).expect("only steps that are worked on are queued");
        let Some(pool) = self.directory.pools.find(pool) else {
            let failure = fail(class::POOL_UNKNOWN, &format!("the pool {pool} is not declared"));
            self.end(at, State::Failed(Box::new(failure)), None, turn);
            return;
        };
        let entry = self.entry(at);
        self.trace_queued((pool, at, entry.class));
        self.pools[pool].scheduler.enqueue(self.now, entry);
        let node = self.runs.get_mut(at.run).node_mut(at.node);
        node.state = State::Ready { queued: true };
        self.watch_outage(at);
    }

    /// Takes a queued node out of its pool's queue; it stays ready.
    pub(crate) fn withdraw(&mut self, at: At) {
        let entry = self.entry(at);
        let pool = self.pool_of(at);
        let was_there = self.pools[pool].scheduler.withdraw(self.now, &entry);
        assert!(was_there, "a queued step is in its pool's queue");
        self.clear_queue_timer(at);
        self.runs.get_mut(at.run).node_mut(at.node).state = State::Ready { queued: false };
    }

    pub(crate) fn clear_queue_timer(&mut self, at: At) {
        self.unwatch_outage(at);
        let run = self.runs.get(at.run);
        let node = run.node(at.node);
        if let (State::Ready { .. }, Some(bound)) = (&node.state, run.step(at.node).timeout.queue) {
            self.timers.clear(node.since + bound, Kind::Queue, at);
        }
    }

    pub(crate) fn pool_of(&self, at: At) -> usize {
        let place = place(self.runs.get(at.run), at.node);
        let (pool, _) = place.expect("only steps that are worked on have a pool");
        self.directory.pools.find(pool).expect("pools are never removed")
    }

    /// How the scheduler knows the node.
    pub(crate) fn entry(&mut self, at: At) -> Entry {
        let run = self.runs.get(at.run);
        let step = run.step(at.node);
        let is_undo = run.node(at.node).instance.part == Part::Compensation;
        let rules = run.context.rules_since;
        let class = match run.model_call(at.node) {
            Some(call) => {
                let tokens = run.node(at.node).tokens;
                let means = (step.optional, run.allows_cheaper);
                self.directory.model_class(call, tokens, means, rules)
            }
            None if is_undo => self.directory.class((None, 0), 0),
            None => self.directory.class((step.tool.as_ref(), step.cost_nano), rules),
        };
        Entry {
            tenant: run.tenant,
            lane: lane(run.lane),
            class,
            age: run.age,
            ticket: Ticket(at.ticket()),
            expected: step.expected,
        }
    }

    /// The node's lease is over: the slot is free, the worker has room again, and what it cost is settled.
    pub(crate) fn give_back(&mut self, at: At, cost: Spent, turn: &mut Turn) {
        let fence = self.runs.get(at.run).node(at.node).fence;
        self.close_calls_of(fence, turn);
        self.settle(at, cost, turn);
        let State::Leased(lease) = &self.runs.get(at.run).node(at.node).state else { return };
        let (pool, took) = (lease.pool, self.now.since(lease.started));
        self.note_slot_back(pool);
        let State::Leased(lease) = &self.runs.get(at.run).node(at.node).state else { return };
        self.timers.clear(lease.until, Kind::Lease, at);
        let state = &mut self.pools[pool];
        state.scheduler.settle(self.now, Ticket(at.ticket()));
        if let Some(worker) = state.workers.get_mut(&lease.worker) {
            worker.held = worker.held.saturating_sub(1);
            worker.revoked.retain(|revoked| revoked.fence != fence);
        }
        let run = self.runs.get(at.run);
        let place = self.work_at(pool, run, at.node);
        self.note_work((run.tenant, place), took);
    }

    /// Tells the worker to stop; the slot is its until it reports or the lease runs out.
    pub(crate) fn revoke(&mut self, at: At) {
        self.revoke_as(at, Revoked::CalledOff);
    }

    /// The same; what becomes of the step then is what was said last, but what is called off stays so.
    pub(crate) fn revoke_as(&mut self, at: At, revoked: Revoked) {
        let run = self.runs.get_mut(at.run);
        let key = run.key.clone();
        let node = run.node_mut(at.node);
        let id = LeaseId { key, instance: node.instance, fence: node.fence };
        let State::Leased(lease) = &mut node.state else { return };
        if lease.revoked == Revoked::CalledOff {
            return;
        }
        if std::mem::replace(&mut lease.revoked, revoked) != Revoked::No {
            return;
        }
        if let Some(worker) = self.pools[lease.pool].workers.get_mut(&lease.worker) {
            worker.revoked.push(id);
        }
    }

    /// Forgets workers that have gone, so that memory follows the live ones.
    pub(crate) fn sweep_workers(&mut self, pool: usize) {
        let silence =
            Span(self.directory.pools.list[pool].lease.0.saturating_mul(WORKER_SILENCE_LEASES));
        let state = &mut self.pools[pool];
        if self.now.since(state.swept) < silence {
            return;
        }
        state.swept = self.now;
        let there: BTreeSet<WorkerName> =
            state.there(self.now, silence).map(|(name, _)| name.clone()).collect();
        state.workers.retain(|name, _| there.contains(name));
    }
}

/// Where a node is worked on, and the bound on an attempt.
pub(crate) fn place(run: &Run, node: u32) -> Option<(&PoolName, Span)> {
    let step = run.step(node);
    if run.node(node).instance.part == Part::Compensation {
        let undo = step.compensate.as_ref()?;
        return Some((&undo.pool, undo.attempt_timeout));
    }
    Some((step.kind.pool()?, step.timeout.attempt))
}

/// What is done there for a node that has passed the gates.
fn work(run: &Run, node: u32, passed: &Passed) -> Work {
    let step = run.step(node);
    if run.node(node).instance.part == Part::Compensation {
        let undo = step.compensate.as_ref().expect("only what has one is undone");
        return Work::Task(undo.task.clone());
    }
    match (&step.kind, &passed.route) {
        (StepKind::Task { task, .. }, _) => Work::Task(task.clone()),
        (StepKind::Model(_), Some(route)) => Work::Model(route.clone()),
        (StepKind::Tool, _) => Work::Tool,
        (
            StepKind::Model(_) | StepKind::Wait(_) | StepKind::Call { .. } | StepKind::Review(_),
            _,
        ) => {
            unreachable!("what waits takes no slot, and a model's call has its way")
        }
    }
}

/// When the step's own bound over all attempts ends. A worker must know it: once it is over the slot is another's.
fn overdue(run: &Run, node: u32) -> Option<Time> {
    let at = run.node(node);
    let bound = run.step(node).timeout.step.filter(|_| at.instance.part == Part::Whole)?;
    Some(at.ready + bound)
}

const fn lane(lane: crate::row::Lane) -> crate::scheduler::Lane {
    match lane {
        crate::row::Lane::Urgent => crate::scheduler::Lane::Urgent,
        crate::row::Lane::Normal => crate::scheduler::Lane::Normal,
        crate::row::Lane::Background => crate::scheduler::Lane::Background,
    }
}
