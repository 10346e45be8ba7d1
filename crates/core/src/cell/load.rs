//! Recovery: the cell as it follows from committed rows.
//!
//! Readiness is derived, timers are set again, leases count against their caps from the first moment, and each
//! gets a fresh lease time, because heartbeats are not stored: its worker may be alive and well.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::id::{RunId, TenantId};
use crate::ledger::{AccountState, Ledger, RunAccount};
use crate::limiter::Limiter;
use crate::money::Nano;
use crate::replan::ReplanRow;
use crate::row::{
    AccountRow, Instance, Part, RunKey, RunRow, RunStatus, SignalRow, StepRow, StepState, UseRow,
};
use crate::tenant::{Context, Tenant};
use crate::time::Time;

use super::advance::{class, fail};
use super::change::Snapshot;
use super::live::{At, Dispute, Lease, Mapping, Node, Revoked, Run, Shape, State};
use super::policy::Policed;
use super::replan::Replan;
use super::submit::fresh_nodes;
use super::timer::Kind;
use super::traces::Followed;
use super::{Cell, Turn};
use crate::scheduler::TenantIx;

/// Fencing tokens of one epoch: more than any owner can give out.
const FENCES_PER_EPOCH: u64 = 1 << 40;

impl Cell {
    /// Builds the cell from what was committed, as the owner of that epoch. What follows from it at once (steps
    /// that can begin, schedules without a time) is in `turn`.
    pub fn load(now: Time, epoch: u64, snapshot: Snapshot, turn: &mut Turn) -> Self {
        let mut cell = Self::empty(now, epoch);
        cell.policed = Policed::load(snapshot.policies);
        cell.traces.sampling = snapshot.sampling;
        let directory = &mut cell.directory;
        directory.classes = keyed(snapshot.classes, |class| class.name.clone());
        directory.models = keyed(snapshot.models, |model| model.name.clone());
        directory.prices = keyed(snapshot.prices, |price| price.name.clone());
        directory.region = snapshot.region;
        directory.share = snapshot.share;
        for declaration in snapshot.residency {
            directory.atlas.declare(declaration);
        }
        directory.valve = snapshot.valve.unwrap_or_default();
        directory.tiers = keyed(snapshot.tiers, |tier| tier.name.clone());
        directory.keys = keyed(snapshot.keys, |key| key.id.clone());
        for tool in snapshot.tools {
            cell.put_tool(tool);
        }
        snapshot.pools.iter().for_each(|pool| cell.put_pool(pool));
        for org in snapshot.orgs {
            cell.put_org(org);
        }
        cell.load_tenants(snapshot.tenants, &snapshot.contexts);
        for pool in snapshot.reviewer_pools {
            cell.put_reviewer_pool(pool);
        }
        for row in snapshot.uses {
            cell.restore_use(&row);
        }
        for row in snapshot.accounts {
            cell.restore_account(&row);
        }
        for workflow in snapshot.workflows {
            cell.directory.put_workflow(workflow);
        }
        let live = Live {
            runs: snapshot.runs,
            steps: grouped(snapshot.steps, |step| &step.key),
            signals: grouped(snapshot.signals, |signal| &signal.key),
            contexts: snapshot.contexts,
            replans: keyed(snapshot.replans, |row| (row.tenant.clone(), row.run)),
        };
        cell.load_runs(epoch, live, turn);
        // Before what is told of.
        cell.load_notices(snapshot.means, snapshot.channels, snapshot.notices);
        cell.load_reviews(snapshot.reviews, turn);
        cell.settle_left_calls(snapshot.calls, turn);
        cell.load_schedules(snapshot.schedules, turn);
        for row in snapshot.erasures {
            cell.erasures.entry(row.tenant.clone()).or_default().push(row);
        }
        let places: Vec<u32> = cell.runs.places().collect();
        for run in places {
            cell.revive(run, turn);
        }
        cell.rules_next = cell.directory.atlas.next_change(now);
        cell.withdraw_leases(None, turn);
        cell.catch_up(turn);
        cell
    }

    /// Of that owner, in which nothing is declared and nobody waits.
    fn empty(now: Time, epoch: u64) -> Self {
        Self {
            now,
            directory: super::directory::Directory::default(),
            pools: Vec::new(),
            runs: super::live::Runs::default(),
            timers: super::timer::Timers::default(),
            schedules: super::schedule::Schedules::default(),
            queue: super::valve::Queue::default(),
            recent: super::recent::Recent::default(),
            reopened: super::retry::Reopened::default(),
            erasures: BTreeMap::new(),
            fence: epoch * FENCES_PER_EPOCH,
            ages: 0,
            said: super::audit::Said::default(),
            watch: super::observe::Watch::new(now),
            traces: super::traces::Traces::default(),
            evaluations: first_evaluation(epoch),
            lines: super::call::Lines::default(),
            desk: super::review::Desk::default(),
            outbox: super::notice::Outbox::default(),
            calls: super::gateway::Calls::default(),
            limiter: Limiter::default(),
            ledger: Ledger::default(),
            policed: Policed::default(),
            others: super::gates::OtherWaits::default(),
            rules_next: None,
            later: VecDeque::new(),
        }
    }

    fn restore_use(&mut self, row: &UseRow) {
        let tenant = match &row.tenant {
            None => None,
            Some(id) => match self.directory.tenants.find(id) {
                Some(tenant) => Some(tenant.0),
                None => return,
            },
        };
        let tool = self.directory.number_tool(&row.tool);
        self.limiter.restore(tool, tenant, &row.rule, row.used);
    }

    fn restore_account(&mut self, row: &AccountRow) {
        let Some(key) = self.directory.account(&row.owner, row.every) else { return };
        let AccountRow { start, posted, uncertain, topped_up, forgiven, .. } = *row;
        let state = AccountState { posted, uncertain, topped_up, forgiven };
        self.ledger.restore(key, start, state);
    }

    /// Tenants with the newest of their contexts; of the others, those come with the runs that are pinned to them.
    fn load_tenants(&mut self, tenants: Vec<Tenant>, contexts: &[Arc<Context>]) {
        let mut newest = BTreeMap::new();
        for context in contexts {
            let slot = newest.entry(&context.tenant).or_insert(context);
            if slot.version < context.version {
                *slot = context;
            }
        }
        for tenant in tenants {
            if let Some(context) = newest.get(&tenant.id) {
                self.put_tenant(tenant, (*context).clone());
            }
        }
    }

    fn load_runs(&mut self, epoch: u64, live: Live, turn: &mut Turn) {
        let Live { runs, mut steps, mut signals, contexts, mut replans } = live;
        let contexts: BTreeMap<_, _> = contexts
            .into_iter()
            .map(|context| ((context.tenant.clone(), context.version), context))
            .collect();
        for row in runs {
            let Some(tenant) = self.directory.tenants.find(&row.key.tenant) else { continue };
            let replan = replans.remove(&(row.key.tenant.clone(), row.key.run));
            let shape = match &replan {
                Some(replan) => Some(Arc::new(Shape::new(replan.plan.clone()))),
                None => self.directory.shape(&row.workflow, Some(row.version)).cloned(),
            };
            let Some(shape) = shape else { continue };
            let restored = Restored {
                steps: steps.remove(&row.key).unwrap_or_default(),
                signals: signals.remove(&row.key).unwrap_or_default(),
                tenant,
                context: contexts.get(&(row.key.tenant.clone(), row.context)).cloned(),
                shape,
                replan: replan.filter(|replan| replan.ended.is_none()),
                revision: epoch << 24,
                row,
            };
            self.restore_run(restored, turn);
        }
    }

    /// Puts a run back into memory; nothing of it begins yet.
    pub(crate) fn restore_run(&mut self, restored: Restored, _turn: &mut Turn) -> u32 {
        let Restored { row, steps, signals, tenant, context, shape, replan, revision } = restored;
        self.ages += 1;
        let level = super::live::level(row.parent.as_ref());
        let entry = self.directory.tenants.get_mut(tenant);
        let context = entry.pin(context.filter(|context| context.version == row.context));
        self.queue.enter(tenant, entry.context().weight, level, u64::from(row.input_bytes));
        let nodes = fresh_nodes(&shape, row.created);
        let since = row.money.halt.map_or(self.now, |halt| halt.since);
        let paused = (row.status == RunStatus::Paused).then_some((since, row.money.halt));
        let run = Run {
            key: row.key,
            tenant,
            age: self.ages,
            context,
            lane: row.lane,
            status: row.status,
            outcome: row.outcome,
            created: row.created,
            // Whether a step of it was dispatched before is not known here.
            has_begun: true,
            deadline: row.deadline,
            failure: row.failure.map(Box::new),
            parent: row.parent.map(Box::new),
            schedule: row.schedule,
            requester: row.requester,
            subject: row.subject,
            followed: row.trace.map(|trace| Box::new(Followed::restored(trace, paused))),
            revision: row.revision.max(revision),
            input_bytes: row.input_bytes,
            money: RunAccount {
                limit: row.money.limit,
                reserve: row.money.reserve,
                posted: row.money.posted,
                uncertain: row.money.uncertain,
                held: Nano::ZERO,
            },
            halt: row.money.halt,
            allows_cheaper: row.money.allows_cheaper,
            late: Vec::new(),
            replans: row.replans,
            replan: None,
            open: u32::try_from(nodes.len()).expect("steps are bounded"),
            nodes,
            held: 0,
            maps: Vec::new(),
            // The next number is past those in the inbox; those that were taken have left no row to replace.
            signals: signals.last().map_or(0, |newest| newest.sequence),
            inbox: signals.into_iter().map(|signal| (signal.sequence, signal.name)).collect(),
            shape,
        };
        let place = self.runs.insert(run);
        let (maps, others): (Vec<_>, Vec<_>) =
            steps.into_iter().partition(|step| matches!(step.state, StepState::Mapping { .. }));
        for step in maps.into_iter().chain(others) {
            self.restore_step(place, step);
        }
        self.leave_out(place, replan);
        let live = self.runs.get_mut(place);
        live.count_blocked();
        place
    }

    fn restore_step(&mut self, run: u32, row: StepRow) {
        let live = self.runs.get_mut(run);
        if usize::from(row.instance.step.0) >= live.shape.workflow.steps.len() {
            return;
        }
        let node = match (row.instance.part, live.find(row.instance)) {
            (_, Some(node)) => node,
            // Items of a map that has ended already hold nothing any more, unless a worker or a child run holds one:
            // those are awaited.
            (Part::Item(_), None) if !row.state.is_held() => return,
            (_, None) => {
                let node = u32::try_from(live.nodes.len()).expect("maps and steps are bounded");
                live.nodes.push(Node::new(row.instance, 0, row.ready));
                node
            }
        };
        let at = At { run, node };
        let state = self.restored_state(at, row.state);
        self.set(at, state);
        let live = self.runs.get_mut(run).node_mut(node);
        live.attempt = row.attempt;
        live.fence = row.fence;
        live.since = row.since;
        live.ready = row.ready;
        live.trust = row.trust;
        if let State::Leased(lease) = &mut live.state {
            // When it first became ready, or as near as rows tell.
            lease.wanted = if row.attempt <= 1 { row.ready } else { row.since };
        }
        live.worked = row.worked;
    }

    fn restored_state(&mut self, at: At, stored: StepState) -> State {
        match stored {
            StepState::Ready => State::Ready { queued: false },
            StepState::Leased { worker, pool, until, hold, route } => {
                let Some(pool) = self.directory.pools.find(&pool) else {
                    return State::Ready { queued: false };
                };
                let lease_time = self.directory.pools.list[pool].lease;
                let passed = self.resume_passed(at, hold.as_deref(), route);
                State::Leased(Box::new(Lease {
                    worker,
                    pool,
                    started: self.now,
                    until: until.min(self.now + lease_time),
                    deadline: until,
                    revoked: Revoked::No,
                    wanted: self.now,
                    passed,
                }))
            }
            StepState::Backoff { until, failure } => State::Backoff(Box::new((until, failure))),
            StepState::Sleeping { until } => State::Sleeping(until),
            StepState::Listening { .. } => State::Listening,
            StepState::Calling { child } => State::Calling(Box::new(child)),
            StepState::Reviewing { review } => State::Reviewing(Box::new(review)),
            StepState::Disputed { trigger, failure, doubt } => {
                State::Disputed(Box::new(Dispute { trigger, failure, doubt }))
            }
            StepState::Proposed => State::Proposed,
            StepState::Mapping { items } => {
                let now = self.now;
                let run = self.runs.get_mut(at.run);
                let step = run.node(at.node).instance.step;
                let base = u32::try_from(run.nodes.len()).expect("maps and steps are bounded");
                let item = |item| Node::new(Instance { step, part: Part::Item(item) }, 0, now);
                run.nodes.extend((0..items).map(item));
                run.maps.push((step, base, items));
                State::Mapping(Box::new(Mapping { base, items, begun: 0, done: 0 }))
            }
            StepState::Done => State::Done,
            StepState::Skipped => State::Skipped,
            StepState::Failed { failure } => State::Failed(Box::new(failure)),
            StepState::Cancelled => State::Cancelled,
        }
    }

    /// Steps that are no part of the plan any more and never began, and planners that did not, are over.
    fn leave_out(&mut self, run: u32, replan: Option<ReplanRow>) {
        let live = self.runs.get_mut(run);
        live.replan = replan.map(|row| Box::new(Replan { row, accepted: None }));
        let planner = live.replan.as_ref().map(|replan| replan.row.planner);
        let workflow = &live.shape.workflow;
        let out = workflow.indexed().map(|(index, _)| index).filter(|index| {
            let is_pending = matches!(live.whole_node(*index).state, State::Pending);
            !workflow.has(*index) && Some(*index) != planner && is_pending
        });
        for index in out.collect::<Vec<_>>() {
            let node = self.runs.get(run).whole(index);
            self.set(At { run, node }, State::Cancelled);
        }
    }

    /// Sets what a restored run waits for going again, and begins what can begin.
    pub(crate) fn revive(&mut self, run: u32, turn: &mut Turn) {
        let live = self.runs.get(run);
        let (age, nodes) =
            (live.age, u32::try_from(live.nodes.len()).expect("maps and steps are bounded"));
        if let (Some(deadline), None) = (live.deadline, live.outcome) {
            self.timers.set(deadline, Kind::Run, At { run, node: 0 });
        }
        for node in 0..nodes {
            self.revive_node(At { run, node }, turn);
            if self.runs.aged(run, age).is_none() {
                return;
            }
        }
        if self.runs.get(run).outcome.is_none() {
            self.begin_unblocked(run, turn);
        }
        if self.runs.aged(run, age).is_some() {
            self.conclude(run, turn);
        }
    }

    fn revive_node(&mut self, at: At, turn: &mut Turn) {
        let live = self.runs.get(at.run);
        let node = live.node(at.node);
        let is_stopping = live.outcome.is_some() && node.instance.part != Part::Compensation;
        if let (Part::Whole, Some(bound), false) =
            (node.instance.part, live.step(at.node).timeout.step, node.is_final())
            && !matches!(node.state, State::Pending | State::Disputed(_))
            && !live.has_planned(at.node)
        {
            self.timers.set(node.ready + bound, Kind::Step, at);
        }
        match &node.state {
            State::Leased(lease) => {
                self.timers.set(lease.until, Kind::Lease, at);
                self.revive_lease(at);
                if is_stopping || self.is_orphan_item(at) {
                    self.revoke(at);
                }
            }
            State::Calling(child) => {
                let child = crate::row::RunKey { tenant: live.key.tenant.clone(), run: **child };
                if self.runs.find(&child).is_none() {
                    // A child's end and its caller's step are one turn, so this one cannot be waited for.
                    let failure = fail(
                        class::CHILD_FAILED,
                        &format!("the child run {} is not there", child.run),
                    );
                    self.end(at, State::Failed(Box::new(failure)), None, turn);
                } else if is_stopping || self.is_orphan_item(at) {
                    self.later.push_back(super::Later::Cancel(child));
                }
            }
            _ if is_stopping && !node.is_final() => self.call_off(at, turn),
            State::Ready { queued: false } => self.make_ready(at, turn),
            State::Backoff(wait) => self.timers.set(wait.0, Kind::Backoff, at),
            State::Sleeping(until) => self.timers.set(*until, Kind::Sleep, at),
            State::Mapping(_) => self.revive_map(at, turn),
            State::Reviewing(review) if !self.desk.is_open(**review) => self.start(at, turn),
            State::Listening => drop(self.take_signal(at, turn)),
            State::Proposed => self.ask_revision(at, turn),
            State::Disputed(_) => self.replan(at.run, turn),
            _ => {}
        }
    }

    fn revive_lease(&mut self, at: At) {
        let entry = self.entry(at);
        let State::Leased(lease) = &self.runs.get(at.run).node(at.node).state else { return };
        let state = &mut self.pools[lease.pool];
        state.scheduler.restore(self.now, entry, lease.started);
        let now = self.now;
        let worker = state.workers.entry(lease.worker.clone()).or_insert_with(|| {
            super::dispatch::Worker { slots: 0, held: 0, seen: now, revoked: Vec::new() }
        });
        worker.held += 1;
        worker.slots = worker.slots.max(worker.held);
    }

    fn is_orphan_item(&self, at: At) -> bool {
        let live = self.runs.get(at.run);
        let instance = live.node(at.node).instance;
        // Of a map that has ended, or has failed and is disputed.
        matches!(instance.part, Part::Item(_))
            && !matches!(live.whole_node(instance.step).state, State::Mapping(_))
    }

    /// Counts the items that are begun and done, and begins more.
    fn revive_map(&mut self, at: At, turn: &mut Turn) {
        let run = self.runs.get_mut(at.run);
        let State::Mapping(mapping) = &run.node(at.node).state else { return };
        let items = &run.nodes[mapping.base as usize..(mapping.base + mapping.items) as usize];
        let done = items.iter().filter(|item| item.is_final()).count();
        // Items begin in order, so the last one that is not pending tells how many were begun.
        let begun = items
            .iter()
            .rposition(|item| !matches!(item.state, State::Pending))
            .map_or(0, |last| last + 1);
        let pending: Vec<u32> = (mapping.base..)
            .zip(&items[..begun])
            .filter(|(_, item)| matches!(item.state, State::Pending))
            .map(|(node, _)| node)
            .collect();
        let is_complete = done == items.len();
        let State::Mapping(mapping) = &mut run.node_mut(at.node).state else { return };
        mapping.done = u32::try_from(done).expect("items are bounded");
        mapping.begun = u32::try_from(begun).expect("items are bounded");
        if is_complete {
            return self.end(at, State::Done, None, turn);
        }
        for node in pending {
            self.start(At { run: at.run, node }, turn);
        }
        self.begin_items(at, turn);
    }

    fn load_schedules(&mut self, rows: Vec<crate::row::ScheduleRow>, turn: &mut Turn) {
        for row in rows {
            let key = super::input::ScheduleKey {
                tenant: row.tenant,
                workflow: row.workflow,
                name: row.name,
            };
            let at = self.schedule_place(key);
            let planned = &mut self.schedules.list[at as usize];
            planned.next = row.next;
            planned.last = row.last;
            planned.queued = row.queued;
        }
        let newest: Vec<_> = self
            .directory
            .workflows
            .values()
            .filter_map(|versions| {
                versions.last_key_value().map(|(_, shape)| shape.workflow.clone())
            })
            .collect();
        for workflow in newest {
            for schedule in &workflow.schedules {
                let key = super::input::ScheduleKey {
                    tenant: schedule.tenant.clone(),
                    workflow: workflow.name.clone(),
                    name: schedule.name.clone(),
                };
                let at = self.schedule_place(key);
                let planned = &mut self.schedules.list[at as usize];
                planned.declared = Some(schedule.clone());
                match planned.next {
                    Some(next) => self.timers.set(next, Kind::Schedule, At { run: at, node: 0 }),
                    None => self.ask_next(at, turn),
                }
            }
        }
    }
}

/// Far from where the owners before began to count.
fn first_evaluation(epoch: u64) -> u32 {
    u32::try_from(crate::id::mix(epoch) >> 32).expect("the upper half of a number")
}

fn keyed<K: Ord, T>(rows: Vec<T>, key: impl Fn(&T) -> K) -> BTreeMap<K, T> {
    rows.into_iter().map(|row| (key(&row), row)).collect()
}

fn grouped<T>(rows: Vec<T>, key: impl Fn(&T) -> &RunKey) -> BTreeMap<RunKey, Vec<T>> {
    let mut groups: BTreeMap<RunKey, Vec<T>> = BTreeMap::new();
    for row in rows {
        match groups.get_mut(key(&row)) {
            Some(group) => group.push(row),
            None => drop(groups.insert(key(&row).clone(), vec![row])),
        }
    }
    groups
}

/// What was live when the cell was left.
struct Live {
    runs: Vec<RunRow>,
    steps: BTreeMap<RunKey, Vec<StepRow>>,
    signals: BTreeMap<RunKey, Vec<SignalRow>>,
    contexts: Vec<Arc<Context>>,
    /// The newest of each run that has one.
    replans: BTreeMap<(TenantId, RunId), ReplanRow>,
}

/// What is needed to put a run back into memory.
#[derive(Debug)]
pub(crate) struct Restored {
    pub(crate) row: RunRow,
    pub(crate) steps: Vec<StepRow>,
    /// Those that no step has taken, in order of their sequence.
    pub(crate) signals: Vec<SignalRow>,
    pub(crate) tenant: TenantIx,
    /// The version that it is pinned to; if that is not stored any more, the one in force takes its place.
    pub(crate) context: Option<Arc<Context>>,
    pub(crate) shape: Arc<Shape>,
    /// The replan that is under way.
    pub(crate) replan: Option<ReplanRow>,
    /// Revisions go on from here at least, since not each was stored.
    pub(crate) revision: u64,
}
