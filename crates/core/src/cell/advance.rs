//! How a plan moves on: a step whose predecessors are final begins, evaluates, becomes ready or waits, and
//! when it becomes final, those behind it begin.

use std::sync::Arc;

use crate::plan::{StepIndex, StepKind, Wait};
use crate::row::{Failure, Instance, Part, Payload, RunStatus};
use crate::time::{Span, Time};

use super::change::Change;
use super::effect::{Effect, Evaluation, Progress, Question};
use super::live::{Asked, At, Mapping, Node, Run, State};
use super::timer::Kind;
use super::{Cell, Turn};

/// Failure classes that the cell itself gives. Workers' classes are free.
pub(crate) mod class {
    pub(crate) const ATTEMPT_TIMEOUT: &str = "attempt-timeout";
    pub(crate) const QUEUE_TIMEOUT: &str = "queue-timeout";
    pub(crate) const STEP_TIMEOUT: &str = "step-timeout";
    pub(crate) const RUN_TIMEOUT: &str = "run-timeout";
    pub(crate) const LEASE_LOST: &str = "lease-lost";
    pub(crate) const MAP_TOO_LONG: &str = "map-too-long";
    pub(crate) const CHILD_FAILED: &str = "child-failed";
    pub(crate) const CHILD_REFUSED: &str = "child-refused";
    pub(crate) const BUDGET_EXHAUSTED: &str = "budget-exhausted";
    pub(crate) const PROMPT_TOO_LONG: &str = "prompt-too-long";
    pub(crate) const NO_REVIEWERS: &str = "no-reviewers";
    pub(crate) const REVIEW_OVERDUE: &str = "review-overdue";
    pub(crate) const REVIEW_FAILED: &str = "review-failed";
    pub(crate) const TOOL_DENIED: &str = "tool-denied";
    pub(crate) const ENDPOINT_DOWN: &str = "endpoint-down";
    pub(crate) const POOL_UNKNOWN: &str = "pool-unknown";
    /// An output that does not pass its step's check; the surroundings say so.
    pub(crate) const OUTPUT_REJECTED: &str = "output-rejected";
    pub(crate) const CONTRADICTION: &str = "contradiction";
    pub(crate) const LOW_CONFIDENCE: &str = "low-confidence";
    pub(crate) const NO_PLAN: &str = "no-plan";
}

impl Cell {
    /// A step's predecessors are final: its clock starts.
    pub(crate) fn begin(&mut self, at: At, turn: &mut Turn) {
        let now = self.now;
        let run = self.runs.get_mut(at.run);
        let node = run.node_mut(at.node);
        node.ready = now;
        node.since = now;
        let step = run.step(at.node);
        let (when, bound) = (step.when.clone(), step.timeout.step);
        if let Some(bound) = bound {
            self.timers.set(now + bound, Kind::Step, at);
        }
        match when {
            Some(when) => self.ask(at, Asked::When, Question::When(when), turn),
            None => self.enter(at, turn),
        }
    }

    /// The condition holds, or there is none.
    pub(crate) fn enter(&mut self, at: At, turn: &mut Turn) {
        let step = self.runs.get(at.run).step(at.node);
        match step.map.as_ref().map(|map| map.over.clone()) {
            Some(over) => self.ask(at, Asked::Over, Question::Over(over), turn),
            None => self.start(at, turn),
        }
    }

    /// The step, or one item of it, does what its kind says.
    pub(crate) fn start(&mut self, at: At, turn: &mut Turn) {
        let kind = self.runs.get(at.run).step(at.node).kind.clone();
        match kind {
            StepKind::Task { .. } | StepKind::Model(_) | StepKind::Tool => {
                self.make_ready(at, turn);
            }
            StepKind::Wait(Wait::For(span)) => self.sleep(at, self.now + span, turn),
            StepKind::Wait(Wait::Until(when)) => {
                self.ask(at, Asked::Until, Question::Until(when), turn);
            }
            StepKind::Wait(Wait::Signal(_)) => self.listen(at, turn),
            StepKind::Call { .. } => self.begin_call(at, turn),
            StepKind::Review(_) => self.ask(at, Asked::Subject, Question::Subject, turn),
        }
    }

    pub(crate) fn ask(&mut self, at: At, asked: Asked, what: Question, turn: &mut Turn) {
        let now = self.now;
        self.evaluations = self.evaluations.wrapping_add(1);
        if asked == Asked::ChildInput {
            let run = self.runs.get(at.run);
            self.queue.keep_place(run.tenant, run.level() + 1);
        }
        let run = self.runs.get_mut(at.run);
        let node = run.node_mut(at.node);
        node.round = self.evaluations;
        node.state = State::Evaluating(asked);
        node.since = now;
        let (instance, round) = (node.instance, node.round);
        turn.cause(Effect::Evaluate(Box::new(Evaluation {
            key: run.key.clone(),
            instance,
            round,
            workflow: run.shape.workflow.clone(),
            context: run.context.clone(),
            what,
        })));
    }

    /// Queues the node for a slot, unless the run is paused.
    pub(crate) fn make_ready(&mut self, at: At, turn: &mut Turn) {
        let now = self.now;
        let run = self.runs.get_mut(at.run);
        if run.model_call(at.node).is_some() && run.node(at.node).tokens == 0 {
            // What it would cost is known only once its prompt is.
            return self.ask(at, Asked::Prompt, Question::Prompt, turn);
        }
        let queued = run.status != RunStatus::Paused;
        if let Some(followed) = &mut run.followed {
            followed.wants(at.node, now);
        }
        let is_compensation = run.node(at.node).instance.part == Part::Compensation;
        let bound = if is_compensation { None } else { run.step(at.node).timeout.queue };
        let node = run.node_mut(at.node);
        node.since = now;
        node.state = State::Ready { queued: false };
        if queued {
            if let Some(bound) = bound {
                self.timers.set(now + bound, Kind::Queue, at);
            }
            self.enqueue(at, turn);
        }
    }

    pub(crate) fn sleep(&mut self, at: At, until: Time, turn: &mut Turn) {
        self.move_to(at, State::Sleeping(until), None, turn);
        self.timers.set(until, Kind::Sleep, at);
    }

    pub(crate) fn slept(&mut self, at: At, turn: &mut Turn) {
        self.end(at, State::Done, Some(null()), turn);
    }

    fn listen(&mut self, at: At, turn: &mut Turn) {
        if !self.take_signal(at, turn) {
            self.move_to(at, State::Listening, None, turn);
        }
    }

    /// Ends the step with the oldest signal in the inbox that it waits for; false if there is none.
    pub(crate) fn take_signal(&mut self, at: At, turn: &mut Turn) -> bool {
        let run = self.runs.get_mut(at.run);
        let StepKind::Wait(Wait::Signal(name)) = &run.step(at.node).kind else {
            unreachable!("only a wait for a signal listens");
        };
        let name = name.clone();
        let Some(found) = run.inbox.iter().position(|(_, waiting)| *waiting == name) else {
            return false;
        };
        let (sequence, _) = run.inbox.remove(found).expect("the position was just found");
        let (key, instance) = (run.key.clone(), run.node(at.node).instance);
        self.clear_timers(at);
        // The step's row must be there before the payload is moved into it.
        self.move_to(at, State::Done, None, turn);
        turn.write(Change::TakeSignal { key, sequence, instance });
        self.follow(at, turn);
        true
    }

    /// The list of a map has this many items: one node each, the first of them begun.
    pub(crate) fn fan_out(&mut self, at: At, items: u32, turn: &mut Turn) {
        let now = self.now;
        let run = self.runs.get_mut(at.run);
        let step = run.step(at.node);
        let most = step.map.as_ref().map_or(0, |map| map.items_max);
        if items > most {
            let failure = fail(
                class::MAP_TOO_LONG,
                &format!("the list has {items} items, at most {most} are allowed"),
            );
            self.end(at, State::Failed(Box::new(failure)), None, turn);
            return;
        }
        if items == 0 {
            self.end(at, State::Done, Some(Arc::from(&b"[]"[..])), turn);
            return;
        }
        let step = run.node(at.node).instance.step;
        let base = u32::try_from(run.nodes.len()).expect("maps and steps are bounded");
        run.nodes.extend(
            (0..items).map(|item| Node::new(Instance { step, part: Part::Item(item) }, 0, now)),
        );
        run.maps.push((step, base, items));
        let mapping = Mapping { base, items, begun: 0, done: 0 };
        self.move_to(at, State::Mapping(Box::new(mapping)), None, turn);
        self.begin_items(at, turn);
    }

    /// Begins items until as many are under way as may be.
    pub(crate) fn begin_items(&mut self, at: At, turn: &mut Turn) {
        let age = self.runs.get(at.run).age;
        loop {
            // An item that ends at once can end the map, and the run with it.
            if self.runs.aged(at.run, age).is_none() {
                return;
            }
            let run = self.runs.get_mut(at.run);
            let parallel = run.step(at.node).map.as_ref().map_or(1, |map| map.parallel.max(1));
            let State::Mapping(mapping) = &mut run.node_mut(at.node).state else { return };
            if mapping.begun == mapping.items || mapping.begun - mapping.done >= parallel {
                return;
            }
            let item = At { run: at.run, node: mapping.base + mapping.begun };
            mapping.begun += 1;
            let now = self.now;
            let run = self.runs.get_mut(at.run);
            if run.node(item.node).is_final() {
                // Recovered as final: it is counted where it is found.
                continue;
            }
            run.node_mut(item.node).ready = now;
            self.start(item, turn);
        }
    }

    /// Enters a state, keeps the counts and writes the row.
    pub(crate) fn move_to(
        &mut self,
        at: At,
        state: State,
        output: Option<Payload>,
        turn: &mut Turn,
    ) {
        self.trace_left(at, &state, turn);
        self.set(at, state);
        let run = self.runs.get_mut(at.run);
        run.revision += 1;
        if let Some(mut row) = run.step_row(at.node, &self.directory) {
            row.output = output;
            turn.write(Change::Step(Box::new(row)));
        }
        let node = run.node(at.node);
        turn.cause(Effect::Progress(Progress {
            key: run.key.clone(),
            revision: run.revision,
            status: run.status,
            created: run.created,
            ended: None,
            failure: None,
            step: Some((node.instance, run.step(at.node).name.clone(), node.phase())),
        }));
    }

    /// Enters a state and keeps the counts; the row is not written.
    pub(crate) fn set(&mut self, at: At, state: State) {
        self.leave_line(at);
        let now = self.now;
        let run = self.runs.get_mut(at.run);
        let id = run.key.run;
        let node = run.node_mut(at.node);
        let (was_held, was_final) = (node.is_held(), node.is_final());
        if matches!(node.state, State::Leased(_)) {
            node.worked.add(now.since(node.since));
        }
        node.state = state;
        node.since = now;
        let (is_held, is_final) = (node.is_held(), node.is_final());
        let is_whole = node.instance.part == Part::Whole;
        assert!(!was_final, "{:?} of run {} was final", node.instance, id);
        run.held = run.held + u32::from(is_held) - u32::from(was_held);
        run.open -= u32::from(is_whole && is_final);
    }

    /// Enters a final state, and lets what follows from it happen.
    pub(crate) fn end(&mut self, at: At, state: State, output: Option<Payload>, turn: &mut Turn) {
        if matches!(state, State::Done) {
            self.runs.get_mut(at.run).node_mut(at.node).trust = self.trust_of(at);
        }
        let state = self.or_disputed(at, state);
        self.clear_timers(at);
        self.move_to(at, state, output, turn);
        self.follow(at, turn);
    }

    /// What follows from a node that has just become final.
    fn follow(&mut self, at: At, turn: &mut Turn) {
        match self.runs.get(at.run).node(at.node).instance.part {
            Part::Whole => self.follow_step(at, turn),
            Part::Item(_) => self.follow_item(at, turn),
            Part::Compensation => self.compensate(at.run, turn),
        }
    }

    pub(crate) fn follow_step(&mut self, at: At, turn: &mut Turn) {
        self.end_halt(at, turn);
        let run = self.runs.get(at.run);
        if run.outcome.is_some() {
            self.conclude(at.run, turn);
            return;
        }
        if self.follow_replan(at, turn) {
            return;
        }
        let run = self.runs.get(at.run);
        if matches!(run.node(at.node).state, State::Cancelled) {
            // A revision of the plan stops it.
            self.conclude(at.run, turn);
            return;
        }
        let step = run.step(at.node);
        if let (State::Failed(failure), false) = (&run.node(at.node).state, step.optional) {
            let failure = Failure { step: Some(step.name.clone()), ..(**failure).clone() };
            self.abandon(at.run, RunStatus::Failed, Some(failure), turn);
            return;
        }
        let age = run.age;
        let shape = run.shape.clone();
        let index = run.node(at.node).instance.step;
        for dependent in &shape.dependents[usize::from(index.0)] {
            let node = self.runs.get(at.run).whole(*dependent);
            self.unblock(At { run: at.run, node }, turn);
            // A dependent that ends at once can end the run with it, or the plan: the next one has been begun then.
            let goes_on = |run: &Run| run.outcome.is_none() && Arc::ptr_eq(&run.shape, &shape);
            if !self.runs.aged(at.run, age).is_some_and(goes_on) {
                return;
            }
        }
        self.conclude(at.run, turn);
    }

    /// Ends the run if nothing is left to do, or to wait for, in it.
    pub(crate) fn conclude(&mut self, run: u32, turn: &mut Turn) {
        if self.apply_revision(run, turn) {
            return;
        }
        let live = self.runs.get(run);
        if live.held > 0 {
            return;
        }
        if live.outcome.is_some() {
            self.compensate(run, turn);
        } else if live.open == 0 {
            self.finish(run, RunStatus::Completed, turn);
        }
    }

    fn unblock(&mut self, at: At, turn: &mut Turn) {
        let run = self.runs.get_mut(at.run);
        if run.is_held_back(at.node) {
            // The plan that is followed next counts anew.
            return;
        }
        let node = run.node_mut(at.node);
        node.blocked -= 1;
        if node.blocked == 0 && matches!(node.state, State::Pending) {
            self.begin(at, turn);
        }
    }

    fn follow_item(&mut self, at: At, turn: &mut Turn) {
        let run = self.runs.get_mut(at.run);
        let whole = At { run: at.run, node: run.whole(run.node(at.node).instance.step) };
        let failure = match &run.node(at.node).state {
            State::Failed(failure) => Some(failure.clone()),
            _ => None,
        };
        let State::Mapping(mapping) = &mut run.node_mut(whole.node).state else {
            // The map was called off; this item only gave its slot back.
            self.conclude(at.run, turn);
            return;
        };
        mapping.done += 1;
        let is_complete = mapping.done == mapping.items;
        match failure {
            Some(failure) => self.fail_map(whole, failure, turn),
            None if is_complete => self.end(whole, State::Done, None, turn),
            None => self.begin_items(whole, turn),
        }
    }

    /// One item has failed for good: the others are called off, and the step fails with it.
    fn fail_map(&mut self, whole: At, failure: Box<Failure>, turn: &mut Turn) {
        self.call_off_items(whole, turn);
        self.end(whole, State::Failed(failure), None, turn);
    }

    pub(crate) fn clear_timers(&mut self, at: At) {
        let run = self.runs.get(at.run);
        let node = run.node(at.node);
        let bounds = &run.step(at.node).timeout;
        match &node.state {
            State::Ready { .. } => {
                if let Some(bound) = bounds.queue {
                    self.timers.clear(node.since + bound, Kind::Queue, at);
                }
            }
            State::Leased(lease) => self.timers.clear(lease.until, Kind::Lease, at),
            State::Backoff(wait) => self.timers.clear(wait.0, Kind::Backoff, at),
            State::Sleeping(until) => self.timers.clear(*until, Kind::Sleep, at),
            _ => {}
        }
        if let (Part::Whole, Some(bound)) = (node.instance.part, bounds.step) {
            self.timers.clear(node.ready + bound, Kind::Step, at);
        }
    }
}

/// The JSON `null` that a step without an output leaves.
pub(crate) fn null() -> Payload {
    Arc::from(&b"null"[..])
}

pub(crate) fn fail(class: &str, message: &str) -> Failure {
    Failure { class: Arc::from(class), message: Arc::from(message), step: None }
}

/// The wait before the next attempt: doubled for each one so far, at most the maximum, and the part of it
/// that is drawn at random taken from a fixed mix of run, node and attempt.
pub(crate) fn backoff(retry: &crate::plan::Retry, attempt: u32, seed: u64) -> Span {
    let doubled = retry.backoff_min.0.saturating_mul(1u64 << attempt.saturating_sub(1).min(40));
    let full = doubled.min(retry.backoff_max.0);
    let drawn = u128::from(full) * u128::from(retry.jitter_permille.min(1_000)) / 1_000;
    let part = crate::id::mix(seed) % 1_000_001;
    let taken = drawn * u128::from(part) / 1_000_000;
    Span(full - u64::try_from(taken).expect("a part of a span is a span"))
}

/// Marks the given steps and all that come after one of them, straight or through others.
pub(crate) fn downstream(workflow: &crate::plan::Workflow, from: &[StepIndex]) -> Vec<bool> {
    let mut reached = vec![false; workflow.steps.len()];
    for start in from {
        reached[usize::from(start.0)] = true;
    }
    // The first pass reaches all of them and the second nothing more, but in a plan that was revised: there a step can come
    // after one behind it.
    let mut is_done = false;
    while !is_done {
        is_done = true;
        for (index, step) in workflow.indexed().filter(|(index, _)| workflow.has(*index)) {
            let at = usize::from(index.0);
            if !reached[at] && step.after.iter().any(|before| reached[usize::from(before.0)]) {
                reached[at] = true;
                is_done = false;
            }
        }
    }
    reached
}
