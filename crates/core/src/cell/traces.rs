//! Where the time of runs goes that are followed: what each step wanted, waited for and got is said when it is over.
//!
//! Facts only, each as an effect; nothing here decides anything. Of a run that is not followed nothing is kept and nothing is
//! said. Classes of steps wait together, so what a step has waited for is read from what its class has, and its run.
//!
//! What is kept here is lost with the memory of the cell: of a step that waits over a restart the part before it is not told
//! apart by what it waited for.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::gate::Refusal;
use crate::id::RunId;
use crate::row::{Halt, Instance};
use crate::time::Time;
use crate::trace::{Anchor, Incoming, Sampling, Trace};

use super::audit::sort;
use super::dispatch::place;
use super::effect::{Effect, Segment, Try, WaitedOn, What};
use super::live::{At, Node, Run, State};
use super::{Cell, Turn};

/// Waits of one class, and pauses of one run, that are remembered: the newest ones.
const WAITS_MAX: usize = 16;
/// Classes whose waits are remembered.
const CLASSES_MAX: usize = 10_000;

/// A pool, a tenant, and a class of its steps.
type ClassKey = (usize, u32, u64);

#[derive(Debug, Default)]
pub(crate) struct Traces {
    /// `None`: nobody wants to know.
    pub(crate) sampling: Option<Sampling>,
    classes: BTreeMap<ClassKey, VecDeque<Park>>,
}

/// A time in which a class waited outside of the queue.
#[derive(Debug)]
struct Park {
    from: Time,
    to: Option<Time>,
    wake: u64,
    refusal: Refusal,
}

/// What is kept of a live run that is followed.
#[derive(Debug)]
pub(crate) struct Followed {
    pub(crate) trace: Trace,
    /// Since when nodes want what they have not got yet.
    wanted: BTreeMap<u32, Time>,
    pauses: VecDeque<Pause>,
}

#[derive(Debug)]
struct Pause {
    from: Time,
    to: Option<Time>,
    halt: Option<Halt>,
}

impl Traces {
    /// Whether a new run is followed, and in which trace.
    pub(crate) fn of_new(&self, run: RunId, incoming: Option<Incoming>) -> Option<Trace> {
        let sampling = self.sampling?;
        match incoming {
            Some(Incoming { anchor, is_sampled }) => {
                is_sampled.then_some(Trace { id: anchor.trace, parent: Some(anchor.span) })
            }
            None => sampling.takes(run).then(|| Trace::of_run(run)),
        }
    }

    /// The span of what a node is at now.
    pub(crate) fn anchor(&self, run: &Run, node: u32) -> Option<Anchor> {
        self.sampling?;
        run.anchor(node)
    }

    /// One of the class has passed the gates.
    pub(crate) fn passed(&mut self, class: ClassKey, now: Time) {
        self.close(class, now);
    }

    fn parked(&mut self, class: ClassKey, park: Park) {
        if self.classes.len() >= CLASSES_MAX && !self.classes.contains_key(&class) {
            let is_open =
                |parks: &VecDeque<Park>| parks.back().is_some_and(|park| park.to.is_none());
            self.classes.retain(|_, parks| is_open(parks));
            if self.classes.len() >= CLASSES_MAX {
                return;
            }
        }
        let now = park.from;
        let parks = self.classes.entry(class).or_default();
        if let Some(last) = parks.back_mut().filter(|last| last.to.is_none()) {
            last.wake = park.wake;
            if sort(&last.refusal) == sort(&park.refusal) {
                last.refusal = park.refusal;
                return;
            }
            last.to = Some(now);
        }
        if parks.len() == WAITS_MAX {
            parks.pop_front();
        }
        parks.push_back(park);
    }

    fn close(&mut self, class: ClassKey, now: Time) {
        let last = self.classes.get_mut(&class).and_then(VecDeque::back_mut);
        if let Some(last) = last {
            last.to.get_or_insert(now);
        }
    }

    fn waits(&self, class: ClassKey) -> impl Iterator<Item = Waited> {
        let parks = self.classes.get(&class).into_iter().flatten();
        parks.map(|park| Waited {
            from: park.from,
            to: park.to,
            on: WaitedOn::Gate(park.refusal.clone()),
        })
    }
}

impl Followed {
    pub(crate) fn new(trace: Trace) -> Self {
        Self { trace, wanted: BTreeMap::new(), pauses: VecDeque::new() }
    }

    /// A run of before a restart; `paused`: since when it is, and whether for want of money.
    pub(crate) fn restored(trace: Trace, paused: Option<(Time, Option<Halt>)>) -> Self {
        let mut followed = Self::new(trace);
        if let Some((since, halt)) = paused {
            followed.paused(since, halt);
        }
        followed
    }

    /// The node wants a slot; from now on, unless it did before.
    pub(crate) fn wants(&mut self, node: u32, now: Time) {
        self.wanted.entry(node).or_insert(now);
    }

    pub(crate) fn paused(&mut self, now: Time, halt: Option<Halt>) {
        if self.pauses.len() == WAITS_MAX {
            self.pauses.pop_front();
        }
        self.pauses.push_back(Pause { from: now, to: None, halt });
    }

    pub(crate) fn resumed(&mut self, now: Time) {
        if let Some(last) = self.pauses.back_mut() {
            last.to.get_or_insert(now);
        }
    }

    fn waits(&self) -> impl Iterator<Item = Waited> {
        self.pauses.iter().map(|pause| Waited {
            from: pause.from,
            to: pause.to,
            on: pause.halt.map_or(WaitedOn::Resume, WaitedOn::Money),
        })
    }
}

/// A wait; `to`: `None` if it goes on.
#[derive(Debug)]
struct Waited {
    from: Time,
    to: Option<Time>,
    on: WaitedOn,
}

impl Run {
    fn anchor(&self, node: u32) -> Option<Anchor> {
        let trace = self.followed.as_ref()?.trace;
        let node = self.node(node);
        let number = try_number(node, node.since);
        let span = trace.span(self.key.run).of_try(node.instance, number);
        Some(Anchor { trace: trace.id, span })
    }

    /// The trace of a run that the node calls now.
    pub(crate) fn trace_of_child(&self, node: u32, now: Time) -> Option<Trace> {
        let trace = self.followed.as_ref()?.trace;
        let node = self.node(node);
        let span = trace.span(self.key.run).of_try(node.instance, try_number(node, now));
        Some(Trace { id: trace.id, parent: Some(span) })
    }
}

/// What tells apart what is done for one instance. It follows from the instance's row.
fn try_number(node: &Node, since: Time) -> u64 {
    match (&node.state, node.attempt) {
        (State::Leased(_), _) => node.fence,
        (_, 0) => node.ready.0,
        _ => since.0,
    }
}

impl Cell {
    /// A node is put into its queue. What its class waited for before is over, if none of it was left there.
    pub(crate) fn trace_queued(&mut self, (pool, at, class): (usize, At, u64)) {
        let now = self.now;
        let run = self.runs.get(at.run);
        if run.followed.is_none() || self.traces.sampling.is_none() {
            return;
        }
        let key = (pool, run.tenant.0, class);
        let last = self.traces.classes.get(&key).and_then(VecDeque::back);
        let wake = last.filter(|last| last.to.is_none()).map(|last| last.wake);
        if wake.is_some_and(|wake| !self.pools[pool].scheduler.is_parked(wake)) {
            self.traces.close(key, now);
        }
    }

    /// A class of steps waits outside of the queue.
    pub(crate) fn trace_parked(
        &mut self,
        (pool, at, class): (usize, At, u64),
        wake: u64,
        refusal: Refusal,
    ) {
        if self.traces.sampling.is_some() {
            let tenant = self.runs.get(at.run).tenant;
            let park = Park { from: self.now, to: None, wake, refusal };
            self.traces.parked((pool, tenant.0, class), park);
        }
    }

    /// A node is given a slot: says what it has waited for. Gives when the step began to want it.
    pub(crate) fn trace_waits(
        &mut self,
        at: At,
        (pool, class): (usize, u64),
        is_first: bool,
        turn: &mut Turn,
    ) -> Time {
        let now = self.now;
        let run = self.runs.get_mut(at.run);
        let node = run.node(at.node);
        let (ready, fence) = (node.ready, node.fence);
        let Some(followed) = &mut run.followed else { return now };
        let queued = followed.wanted.remove(&at.node).unwrap_or(now);
        // The first try begins with the step, whose prompt and condition were looked at before.
        let wanted = if is_first { ready } else { queued };
        self.say_waits(at, (pool, class), (fence, queued), turn);
        wanted
    }

    fn say_waits(
        &self,
        at: At,
        (pool, class): (usize, u64),
        (number, from): (u64, Time),
        turn: &mut Turn,
    ) {
        let run = self.runs.get(at.run);
        let Some(followed) = run.followed.as_deref() else { return };
        let known = self.traces.waits((pool, run.tenant.0, class)).chain(followed.waits());
        let instance = run.node(at.node).instance;
        for (from, to, on) in parts(known.collect(), from, self.now) {
            self.say(run, (from, to), What::Wait { instance, of: Some(number), on }, turn);
        }
    }

    /// A node is about to leave its state for this one.
    pub(crate) fn trace_left(&mut self, at: At, next: &State, turn: &mut Turn) {
        let run = self.runs.get(at.run);
        if run.followed.is_none() || self.traces.sampling.is_none() {
            return;
        }
        let node = run.node(at.node);
        let instance = node.instance;
        // When what was no attempt began: with its step, or after attempts.
        let began = if node.attempt == 0 { node.ready } else { node.since };
        let number = try_number(node, node.since);
        let wait = |of, on| What::Wait { instance, of, on };
        match &node.state {
            State::Leased(lease) => {
                let pool = self.directory.pools.names[lease.pool].clone();
                let worker = Some((lease.worker.clone(), pool));
                // One that came to nothing was taken back from the count already.
                let attempt = node.attempt + u32::from(matches!(next, State::Ready { .. }));
                let what = Try { attempt, worker, ..ended(instance, number, next) };
                self.say(run, (lease.wanted, self.now), What::Try(what), turn);
            }
            // With a lease it was said already what was waited for.
            State::Ready { .. } => {
                if !matches!(next, State::Leased(_)) {
                    self.trace_given_up(at, next, turn);
                }
            }
            State::Reviewing(review) => {
                let on = WaitedOn::Review(**review);
                self.say_waited(at, (began, wait(Some(number), on)), next, turn);
            }
            State::Listening => {
                if let crate::plan::StepKind::Wait(crate::plan::Wait::Signal(name)) =
                    &run.step(at.node).kind
                {
                    let on = WaitedOn::Signal(name.clone());
                    self.say_waited(at, (began, wait(Some(number), on)), next, turn);
                }
            }
            State::Sleeping(_) => {
                let waited = wait(Some(number), WaitedOn::Time);
                self.say_waited(at, (began, waited), next, turn);
            }
            State::Disputed(_) | State::Proposed => {
                self.say(run, (node.since, self.now), wait(None, WaitedOn::Replan), turn);
            }
            State::Calling(_) | State::Mapping(_) => {
                let what = What::Try(ended(instance, number, next));
                self.say(run, (began, self.now), what, turn);
            }
            State::Evaluating(_) | State::InLine(_) if is_final(next) => {
                let what = What::Try(ended(instance, number, next));
                self.say(run, (began, self.now), what, turn);
            }
            // What never began, waits between two attempts, or is over already has no part of its own.
            State::Pending
            | State::Evaluating(_)
            | State::InLine(_)
            | State::Backoff(_)
            | State::Done
            | State::Skipped
            | State::Failed(_)
            | State::Cancelled => {}
        }
    }

    /// A node that waited for a slot is given none.
    fn trace_given_up(&mut self, at: At, next: &State, turn: &mut Turn) {
        let class = self.entry(at).class;
        let pool = place(self.runs.get(at.run), at.node);
        let pool = pool.and_then(|(pool, _)| self.directory.pools.find(pool));
        let run = self.runs.get_mut(at.run);
        let node = run.node(at.node);
        let (since, instance, attempt) = (node.since, node.instance, node.attempt);
        let Some(followed) = &mut run.followed else { return };
        let queued = followed.wanted.remove(&at.node).unwrap_or(since);
        let what = What::Try(Try { attempt, ..ended(instance, queued.0, next) });
        // Without a pool it did not wait.
        if let Some(pool) = pool {
            self.say_waits(at, (pool, class), (queued.0, queued), turn);
        }
        let run = self.runs.get(at.run);
        self.say(run, (queued, self.now), what, turn);
    }

    /// What was no attempt is over, and so is what it waited for.
    fn say_waited(&self, at: At, (began, wait): (Time, What), next: &State, turn: &mut Turn) {
        let run = self.runs.get(at.run);
        let node = run.node(at.node);
        self.say(run, (node.since, self.now), wait, turn);
        let what = What::Try(ended(node.instance, try_number(node, node.since), next));
        self.say(run, (began, self.now), what, turn);
    }

    /// The run is over.
    pub(crate) fn trace_ended(&self, run: &Run, turn: &mut Turn) {
        let failure = run.failure.as_ref().map(|failure| failure.class.clone());
        let (status, lane, schedule) = (run.status, run.lane, run.schedule.clone());
        let what = What::Run { status, failure, lane, schedule };
        self.say(run, (run.created, self.now), what, turn);
    }

    fn say(&self, run: &Run, (from, to): (Time, Time), what: What, turn: &mut Turn) {
        let Some(followed) = &run.followed else { return };
        if self.traces.sampling.is_none() {
            return;
        }
        let (key, trace) = (run.key.clone(), followed.trace);
        let workflow = Arc::clone(&run.shape.workflow);
        let segment = Segment { key, trace, workflow, from: from.min(to), to, what };
        turn.cause(Effect::Segment(Box::new(segment)));
    }
}

const fn is_final(state: &State) -> bool {
    matches!(state, State::Done | State::Skipped | State::Failed(_) | State::Cancelled)
}

/// A try that ends with the node in that state.
fn ended(instance: Instance, number: u64, next: &State) -> Try {
    let failure = match next {
        State::Failed(failure) => Some(failure.class.clone()),
        State::Backoff(wait) => Some(wait.1.class.clone()),
        State::Disputed(dispute) => Some(dispute.failure.class.clone()),
        _ => None,
    };
    Try { instance, number, attempt: 0, became: next.phase(), failure, worker: None }
}

/// Divides a time among what was waited for in it. What is left over was spent in the queue.
fn parts(mut known: Vec<Waited>, from: Time, to: Time) -> Vec<(Time, Time, WaitedOn)> {
    known.sort_by_key(|waited| waited.from);
    let mut parts = Vec::new();
    let mut at = from;
    for Waited { from, to: until, on } in known {
        let (from, until) = (from.max(at), until.unwrap_or(to).min(to));
        if until <= from {
            continue;
        }
        if from > at {
            parts.push((at, from, WaitedOn::Slot));
        }
        parts.push((from, until, on));
        at = until;
    }
    if to > at {
        parts.push((at, to, WaitedOn::Slot));
    }
    parts
}
