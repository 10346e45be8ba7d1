//! Live runs in memory: what scheduling needs of them, and no payload.
//!
//! A run's instances are its nodes: first the plan's steps in their order, then items of maps and
//! compensations as they come. A place in memory is an [`At`]; it doubles as the scheduler's ticket.
//!
//! INVARIANT: `open` counts the plan's steps that are not final, `held` the nodes that hold a slot or a child run.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::erasure::Subject;
use crate::id::{PersonId, ReviewId, RunId, SignalName, StepName, ToolName, WorkerName};
use crate::ledger::{Held, RunAccount};
use crate::limiter::Taken;
use crate::money::Nano;
use crate::plan::{ModelCall, Step, StepIndex, StepKind, Wait, Workflow};
use crate::replan::{Confidence, Trigger, Trust};
use crate::row::{
    Failure, Halt, Instance, Lane, Parent, Part, Payload, Route, RunKey, RunMoney, RunRow,
    RunStatus, StepRow, StepState, Worked,
};
use crate::tenant::Context;
use crate::time::Time;

use super::directory::Directory;
use super::effect::Phase;
use super::replan::Replan;
use super::traces::Followed;

/// A workflow version with what the cell derives from it once.
#[derive(Debug)]
pub(crate) struct Shape {
    pub(crate) workflow: Arc<Workflow>,
    /// For each step, the steps that wait for it.
    pub(crate) dependents: Vec<Box<[StepIndex]>>,
    /// What a run costs that takes the cheapest way through the plan: one attempt of each step that it cannot leave out,
    /// calls of models apart.
    pub(crate) least_cost: Nano,
}

impl Shape {
    pub(crate) fn new(workflow: Arc<Workflow>) -> Self {
        let mut dependents = vec![Vec::new(); workflow.steps.len()];
        for (index, step) in workflow.indexed() {
            for before in &step.after {
                dependents[usize::from(before.0)].push(index);
            }
        }
        let dependents = dependents.into_iter().map(Vec::into_boxed_slice).collect();
        let mut shape = Self { workflow, dependents, least_cost: Nano::ZERO };
        let costs = shape.bound_steps().map(|step| Nano(step.cost_nano));
        shape.least_cost = costs.fold(Nano::ZERO, Nano::plus);
        shape
    }

    /// The steps that a run cannot leave out.
    pub(crate) fn bound_steps(&self) -> impl Iterator<Item = &Step> {
        self.workflow.steps.iter().filter(|step| is_bound(step))
    }

    /// Those of them that are marked.
    pub(crate) fn bound_steps_of(&self, marked: &[bool]) -> impl Iterator<Item = &Step> {
        let steps = self.workflow.steps.iter().zip(marked);
        steps.filter(|(step, is_marked)| **is_marked && is_bound(step)).map(|(step, _)| step)
    }
}

/// Whether a run cannot leave the step out.
pub(crate) fn is_bound(step: &Step) -> bool {
    step.when.is_none() && step.map.is_none() && !step.optional
}

/// Where a node is: the run's place in the arena, and the node's in the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct At {
    pub(crate) run: u32,
    pub(crate) node: u32,
}

impl At {
    pub(crate) const fn ticket(self) -> u64 {
        ((self.run as u64) << 32) | self.node as u64
    }

    #[expect(clippy::cast_possible_truncation, reason = "the two halves are taken one by one")]
    pub(crate) const fn from_ticket(ticket: u64) -> Self {
        Self { run: (ticket >> 32) as u32, node: ticket as u32 }
    }
}

#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) key: RunKey,
    pub(crate) tenant: crate::scheduler::TenantIx,
    /// Order of admission: older runs go first inside a class. Also tells apart runs that had one place.
    pub(crate) age: u64,
    pub(crate) shape: Arc<Shape>,
    pub(crate) context: Arc<Context>,
    pub(crate) lane: Lane,
    pub(crate) status: RunStatus,
    pub(crate) outcome: Option<RunStatus>,
    pub(crate) created: Time,
    /// A step of it has been dispatched.
    pub(crate) has_begun: bool,
    pub(crate) deadline: Option<Time>,
    pub(crate) failure: Option<Box<Failure>>,
    pub(crate) parent: Option<Box<Parent>>,
    pub(crate) schedule: Option<StepName>,
    /// Who submitted it, and decides none of its reviews.
    pub(crate) requester: Option<PersonId>,
    pub(crate) subject: Option<Subject>,
    /// Who wants to know where its time goes.
    pub(crate) followed: Option<Box<Followed>>,
    pub(crate) revision: u64,
    pub(crate) input_bytes: u32,
    pub(crate) money: RunAccount,
    pub(crate) halt: Option<Halt>,
    /// A person lets cheaper candidates of models stand in.
    pub(crate) allows_cheaper: bool,
    /// First those of the steps that the run had when it came into memory, in their order; see `late`.
    pub(crate) nodes: Vec<Node>,
    /// The nodes of steps that came later, in order of the steps.
    pub(crate) late: Vec<u32>,
    /// How often its plan was looked at again.
    pub(crate) replans: u32,
    /// The plan is being looked at.
    pub(crate) replan: Option<Box<Replan>>,
    pub(crate) open: u32,
    pub(crate) held: u32,
    /// Where the items of maps begin: step, first node, count.
    pub(crate) maps: Vec<(StepIndex, u32, u32)>,
    pub(crate) inbox: VecDeque<(u64, SignalName)>,
    pub(crate) signals: u64,
}

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) instance: Instance,
    pub(crate) state: State,
    pub(crate) attempt: u32,
    /// Dispatches that ended with a lost lease.
    pub(crate) losses: u16,
    /// Steps before it that are not final.
    pub(crate) blocked: u16,
    /// The number of its newest evaluation: an answer with another one is late.
    pub(crate) round: u32,
    pub(crate) fence: u64,
    /// Of the prompt of a model's call; 0: not counted yet.
    pub(crate) tokens: u32,
    /// The endpoint that gave no answer to the last attempt.
    pub(crate) broken: Option<Box<ToolName>>,
    pub(crate) trust: Trust,
    pub(crate) since: Time,
    pub(crate) ready: Time,
    pub(crate) worked: Worked,
}

/// The state of a node; `StepState` is the stored form of those that are facts.
#[derive(Debug)]
pub(crate) enum State {
    Pending,
    Evaluating(Asked),
    /// The child of a call has no place yet; the bytes of its input, if they are known.
    InLine(u64),
    /// Queued: it stands in the scheduler. Not queued: the run is paused.
    Ready {
        queued: bool,
    },
    Leased(Box<Lease>),
    Backoff(Box<(Time, Failure)>),
    Sleeping(Time),
    Listening,
    Calling(Box<RunId>),
    /// People decide.
    Reviewing(Box<ReviewId>),
    Mapping(Box<Mapping>),
    /// A planner decides what becomes of it.
    Disputed(Box<Dispute>),
    /// It has planned, and its revision is looked at.
    Proposed,
    Done,
    Skipped,
    Failed(Box<Failure>),
    Cancelled,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    When,
    Over,
    Until,
    ChildInput,
    Prompt,
    Subject,
    Revision,
}

/// What is wrong with a step that a planner decides of.
#[derive(Clone, Debug)]
pub(crate) struct Dispute {
    pub(crate) trigger: Trigger,
    pub(crate) failure: Failure,
    /// It has an output, which may stand: how sure it is of that.
    pub(crate) doubt: Option<Confidence>,
}

#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) worker: WorkerName,
    pub(crate) pool: usize,
    pub(crate) started: Time,
    /// Without a heartbeat until then the lease is lost. Never after the deadline.
    pub(crate) until: Time,
    pub(crate) deadline: Time,
    pub(crate) revoked: Revoked,
    /// When the step began to want it.
    pub(crate) wanted: Time,
    /// What the gates took for it.
    pub(crate) passed: Passed,
}

/// Whether a worker is to stop, and what becomes of the step then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Revoked {
    No,
    /// The step may not go where it was sent any more: it tries again to pass the gates.
    Withdrawn,
    /// Nobody wants it any more.
    CalledOff,
}

/// What a step was given at the gates: money held for it, units of its tool's limits, and the way of its model's call.
#[derive(Debug, Default)]
pub(crate) struct Passed {
    pub(crate) held: Option<Box<Held>>,
    pub(crate) taken: Option<Box<Taken>>,
    pub(crate) route: Option<Box<Route>>,
}

#[derive(Debug)]
pub(crate) struct Mapping {
    /// Node of item 0; the others follow it.
    pub(crate) base: u32,
    pub(crate) items: u32,
    /// Items begun so far, in order.
    pub(crate) begun: u32,
    pub(crate) done: u32,
}

impl Node {
    pub(crate) fn new(instance: Instance, blocked: u16, now: Time) -> Self {
        Self {
            instance,
            state: State::Pending,
            attempt: 0,
            losses: 0,
            blocked,
            round: 0,
            fence: 0,
            tokens: 0,
            broken: None,
            trust: Trust::Derived,
            since: now,
            ready: now,
            worked: Worked::default(),
        }
    }

    /// Whether it takes part in what the run must wait for before it can end early.
    pub(crate) const fn is_held(&self) -> bool {
        matches!(self.state, State::Leased(_) | State::Calling(_))
    }

    pub(crate) const fn is_final(&self) -> bool {
        matches!(self.state, State::Done | State::Skipped | State::Failed(_) | State::Cancelled)
    }

    pub(crate) const fn phase(&self) -> Phase {
        self.state.phase()
    }
}

impl State {
    pub(crate) const fn phase(&self) -> Phase {
        match self {
            Self::Pending => Phase::Pending,
            Self::Evaluating(_) => Phase::Evaluating,
            Self::Ready { .. } | Self::InLine(_) => Phase::Ready,
            Self::Leased(_) => Phase::Leased,
            Self::Backoff(_) => Phase::Backoff,
            Self::Sleeping(_) => Phase::Sleeping,
            Self::Listening => Phase::Listening,
            Self::Calling(_) => Phase::Calling,
            Self::Reviewing(_) => Phase::Reviewing,
            Self::Mapping(_) => Phase::Mapping,
            Self::Disputed(_) => Phase::Disputed,
            Self::Proposed => Phase::Proposed,
            Self::Done => Phase::Done,
            Self::Skipped => Phase::Skipped,
            Self::Failed(_) => Phase::Failed,
            Self::Cancelled => Phase::Cancelled,
        }
    }
}

impl Run {
    pub(crate) fn step(&self, node: u32) -> &Step {
        self.shape.workflow.step(self.node(node).instance.step)
    }

    /// The call of a model that a node stands for.
    pub(crate) fn model_call(&self, node: u32) -> Option<&ModelCall> {
        match &self.step(node).kind {
            StepKind::Model(call) if self.node(node).instance.part != Part::Compensation => {
                Some(call)
            }
            _ => None,
        }
    }

    /// The tool that a node calls, if it is no call of a model. What undoes a step calls none.
    pub(crate) fn tool(&self, node: u32) -> Option<&ToolName> {
        let is_undo = self.node(node).instance.part == Part::Compensation;
        self.step(node).tool.as_ref().filter(|_| !is_undo)
    }

    /// How many callers stand above it.
    pub(crate) fn level(&self) -> usize {
        level(self.parent.as_deref())
    }

    pub(crate) fn node(&self, node: u32) -> &Node {
        &self.nodes[node as usize]
    }

    pub(crate) fn node_mut(&mut self, node: u32) -> &mut Node {
        &mut self.nodes[node as usize]
    }

    /// The place of an instance, if the run has it.
    pub(crate) fn find(&self, instance: Instance) -> Option<u32> {
        if usize::from(instance.step.0) >= self.shape.workflow.steps.len() {
            return None;
        }
        match instance.part {
            Part::Whole => Some(self.whole(instance.step)),
            Part::Item(at) => match self.maps.iter().find(|(step, ..)| *step == instance.step) {
                Some((_, base, items)) => (at < *items).then_some(base + at),
                // An item that outlived its map over a restart.
                None => self.search(instance),
            },
            Part::Compensation => self.search(instance),
        }
    }

    fn search(&self, instance: Instance) -> Option<u32> {
        let at = self.nodes.iter().position(|node| node.instance == instance)?;
        u32::try_from(at).ok()
    }

    /// The node of a step.
    pub(crate) fn whole(&self, step: StepIndex) -> u32 {
        let first = self.shape.workflow.steps.len() - self.late.len();
        match usize::from(step.0).checked_sub(first) {
            Some(at) => self.late[at],
            None => step.0.into(),
        }
    }

    pub(crate) fn whole_node(&self, step: StepIndex) -> &Node {
        self.node(self.whole(step))
    }

    /// Nodes that stand for the plan's steps, without items and compensations, in the order of the steps.
    pub(crate) fn wholes(&self) -> impl Iterator<Item = (u32, &Node)> {
        let first = self.shape.workflow.steps.len() - self.late.len();
        let first = u32::try_from(first).expect("steps are bounded");
        (0..first).chain(self.late.iter().copied()).map(|node| (node, self.node(node)))
    }

    /// Whether the node is an item of a map that is done again, or is no part of the plan any more.
    pub(crate) fn is_forgotten(&self, node: u32) -> bool {
        let Instance { step, part } = self.node(node).instance;
        let is_in = |(mapped, base, items): &(StepIndex, u32, u32)| {
            *mapped == step && (*base..base + items).contains(&node)
        };
        matches!(part, Part::Item(_)) && self.node(node).is_final() && !self.maps.iter().any(is_in)
    }

    /// The stored form, without the input, which is written once.
    pub(crate) fn row(&self, ended: Option<Time>, input: Option<Payload>) -> RunRow {
        RunRow {
            key: self.key.clone(),
            workflow: self.shape.workflow.name.clone(),
            version: self.shape.workflow.version,
            context: self.context.version,
            lane: self.lane,
            status: self.status,
            outcome: self.outcome,
            created: self.created,
            ended,
            deadline: self.deadline,
            failure: self.failure.as_deref().cloned(),
            parent: self.parent.as_deref().cloned(),
            schedule: self.schedule.clone(),
            requester: self.requester.clone(),
            subject: self.subject,
            trace: self.followed.as_ref().map(|followed| followed.trace),
            revision: self.revision,
            input_bytes: self.input_bytes,
            money: RunMoney {
                limit: self.money.limit,
                reserve: self.money.reserve,
                posted: self.money.posted,
                uncertain: self.money.uncertain,
                halt: self.halt,
                allows_cheaper: self.allows_cheaper,
            },
            replans: self.replans,
            is_bare: false,
            input,
        }
    }

    /// The stored form of a node, `None` for states that follow from other rows.
    pub(crate) fn step_row(&self, node: u32, directory: &Directory) -> Option<StepRow> {
        let node = self.node(node);
        let state = match &node.state {
            State::Pending | State::Evaluating(_) | State::InLine(_) => return None,
            State::Ready { .. } => StepState::Ready,
            State::Leased(lease) => StepState::Leased {
                worker: lease.worker.clone(),
                pool: directory.pools.names[lease.pool].clone(),
                until: lease.deadline,
                hold: lease.passed.held.as_deref().map(|held| Box::new(directory.orgs.hold(held))),
                route: lease.passed.route.clone(),
            },
            State::Backoff(wait) => StepState::Backoff { until: wait.0, failure: wait.1.clone() },
            State::Sleeping(until) => StepState::Sleeping { until: *until },
            State::Listening => match &self.shape.workflow.step(node.instance.step).kind {
                StepKind::Wait(Wait::Signal(signal)) => {
                    StepState::Listening { signal: signal.clone() }
                }
                _ => return None,
            },
            State::Calling(child) => StepState::Calling { child: **child },
            State::Reviewing(review) => StepState::Reviewing { review: **review },
            State::Mapping(mapping) => StepState::Mapping { items: mapping.items },
            State::Disputed(dispute) => StepState::Disputed {
                trigger: dispute.trigger,
                failure: dispute.failure.clone(),
                doubt: dispute.doubt,
            },
            State::Proposed => StepState::Proposed,
            State::Done => StepState::Done,
            State::Skipped => StepState::Skipped,
            State::Failed(failure) => StepState::Failed { failure: (**failure).clone() },
            State::Cancelled => StepState::Cancelled,
        };
        Some(StepRow {
            key: self.key.clone(),
            instance: node.instance,
            state,
            attempt: node.attempt,
            fence: node.fence,
            since: node.since,
            ready: node.ready,
            trust: node.trust,
            worked: node.worked.clone(),
            output: None,
        })
    }
}

/// How deep a run is called.
pub(crate) fn level(parent: Option<&Parent>) -> usize {
    parent.map_or(0, |parent| (parent.depth as usize).min(super::call::LEVELS - 1))
}

/// The live runs, by place and by id.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    places: Vec<Option<Box<Run>>>,
    free: Vec<u32>,
    by_id: BTreeMap<RunId, u32>,
}

impl Runs {
    pub(crate) fn insert(&mut self, run: Run) -> u32 {
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push(None);
            u32::try_from(self.places.len() - 1).expect("the valve bounds the number of live runs")
        });
        let clash = self.by_id.insert(run.key.run, place);
        assert!(clash.is_none(), "run {} is live already", run.key.run);
        self.places[place as usize] = Some(Box::new(run));
        place
    }

    pub(crate) fn remove(&mut self, place: u32) -> Box<Run> {
        let run = self.places[place as usize].take().expect("a live run has a place");
        self.by_id.remove(&run.key.run);
        self.free.push(place);
        run
    }

    /// The place of a run of that tenant; another tenant's run is not found.
    pub(crate) fn find(&self, key: &RunKey) -> Option<u32> {
        let place = *self.by_id.get(&key.run)?;
        (self.get(place).key.tenant == key.tenant).then_some(place)
    }

    /// Whether any tenant has a live run of that id.
    pub(crate) fn is_taken(&self, run: RunId) -> bool {
        self.by_id.contains_key(&run)
    }

    pub(crate) fn get(&self, place: u32) -> &Run {
        self.places[place as usize].as_deref().expect("a live run has a place")
    }

    pub(crate) fn get_mut(&mut self, place: u32) -> &mut Run {
        self.places[place as usize].as_deref_mut().expect("a live run has a place")
    }

    /// The run that has that node, if there is one.
    pub(crate) fn at(&self, at: At) -> Option<&Run> {
        let run = self.places.get(at.run as usize)?.as_deref()?;
        (at.node as usize).lt(&run.nodes.len()).then_some(run)
    }

    /// The run at a place if it is still the one of that age.
    pub(crate) fn aged(&self, place: u32, age: u64) -> Option<&Run> {
        self.places.get(place as usize)?.as_deref().filter(|run| run.age == age)
    }

    /// Places of all live runs, in order of their ids.
    pub(crate) fn places(&self) -> impl Iterator<Item = u32> {
        self.by_id.values().copied()
    }
}
