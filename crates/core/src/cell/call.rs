//! Runs that other runs start: the children of `call`, and the lines in which calls wait until a child may come in.
//!
//! A child is accepted work: it is never refused for want of room. But it is bounded like other runs, or one tenant's
//! fan-out would shut out all others. So a call whose child has no place waits in a line of its tenant and depth, and asks
//! for its child's input once there is one. Runs are at *levels*: level 0 are those that clients and schedules start,
//! level `n` their children `n` calls deep; `runs_max` bounds each level by itself, and the valve all of them together.
//!
//! A caller and its child cannot wait for each other: a tenant's first child at a level always comes in, so at each level
//! with a line there is a run that goes on; one at the last level calls nothing, ends, and lets the next one in; and so on
//! upwards. Nothing else wakes a line for sure, and nothing else has to.
//!
//! A call that waits holds no row and no payload: where it stands follows from its run's rows.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::id::{RunId, mix};
use crate::plan::StepKind;
use crate::reject::Rejection;
use crate::row::{Lane, Parent, Payload, RunKey, RunStatus};
use crate::scheduler::TenantIx;

use super::advance::{class, fail};
use super::effect::Question;
use super::live::{Asked, At, Run, State};
use super::submit::Admission;
use super::valve::Applicant;
use super::{Cell, Turn};

/// How deep calls may nest.
pub(crate) const CALL_DEPTH_MAX: u32 = 8;
/// Levels of runs: the callers of all, and their children at each depth.
pub(crate) const LEVELS: usize = CALL_DEPTH_MAX as usize + 1;
/// Lines of other tenants that are looked at when runs have left, since the valve may have room for them now.
const OTHERS_MAX: usize = 16;

/// Whose children, and at which level.
type LineKey = (TenantIx, usize);

/// Calls whose children have no place yet. In each line those of the oldest run come first.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    /// The age of the run, its place, and the bytes of the child's input if they are known.
    lines: BTreeMap<LineKey, BTreeMap<(u64, At), u64>>,
    /// The line that was looked at last on behalf of others.
    looked_at: Option<LineKey>,
}

impl Lines {
    fn insert(&mut self, line: LineKey, call: (u64, At), bytes: u64) {
        self.lines.entry(line).or_default().insert(call, bytes);
    }

    fn remove(&mut self, line: LineKey, call: (u64, At)) {
        if let Some(calls) = self.lines.get_mut(&line) {
            calls.remove(&call);
            if calls.is_empty() {
                self.lines.remove(&line);
            }
        }
    }

    fn first(&self, line: LineKey) -> Option<(At, u64)> {
        let (&(_, at), &bytes) = self.lines.get(&line)?.first_key_value()?;
        Some((at, bytes))
    }

    fn of(&self, tenant: TenantIx) -> Vec<LineKey> {
        self.lines.range((tenant, 0)..=(tenant, LEVELS)).map(|(line, _)| *line).collect()
    }

    /// The next lines round the circle.
    fn others(&mut self) -> Vec<LineKey> {
        let after = self.looked_at.map_or(Bound::Unbounded, Bound::Excluded);
        let upto = self.looked_at.map_or(Bound::Excluded((TenantIx(0), 0)), Bound::Included);
        let rest = self.lines.range((after, Bound::Unbounded));
        let round = rest.chain(self.lines.range((Bound::Unbounded, upto)));
        let found: Vec<LineKey> = round.take(OTHERS_MAX).map(|(line, _)| *line).collect();
        self.looked_at = found.last().copied().or(self.looked_at);
        found
    }
}

impl Cell {
    /// A `call` step, or an item of one, begins: it asks for its child's input if the child can have a place.
    pub(crate) fn begin_call(&mut self, at: At, turn: &mut Turn) {
        let run = self.runs.get(at.run);
        let level = run.level() + 1;
        if level >= LEVELS {
            let refusal = format!("calls nest deeper than {CALL_DEPTH_MAX}");
            let failure = fail(class::CHILD_REFUSED, &refusal);
            return self.end(at, State::Failed(Box::new(failure)), None, turn);
        }
        let has_line = self.lines.lines.contains_key(&(run.tenant, level));
        if has_line || self.child_place(at, 0).is_err() {
            return self.stand_in_line(at, 0);
        }
        self.ask(at, Asked::ChildInput, Question::ChildInput, turn);
    }

    /// Whether the child of the call can come in now.
    pub(crate) fn child_place(&self, at: At, bytes: u64) -> Result<(), Rejection> {
        let run = self.runs.get(at.run);
        let context = self.directory.tenants.get(run.tenant).context();
        let child = Applicant {
            tenant: run.tenant,
            weight: context.weight,
            runs_max: context.runs_max,
            level: run.level() + 1,
            lane: Lane::Urgent,
            bytes,
        };
        self.queue.has_place(&self.directory.valve, &child)
    }

    fn stand_in_line(&mut self, at: At, bytes: u64) {
        self.set(at, State::InLine(bytes));
        let run = self.runs.get(at.run);
        self.lines.insert((run.tenant, run.level() + 1), (run.age, at), bytes);
    }

    /// Keeps lines and places true when a call leaves a state.
    pub(crate) fn leave_line(&mut self, at: At) {
        let run = self.runs.get(at.run);
        let line = (run.tenant, run.level() + 1);
        match run.node(at.node).state {
            State::InLine(_) => self.lines.remove(line, (run.age, at)),
            State::Evaluating(Asked::ChildInput) => self.queue.give_place_back(line.0, line.1),
            _ => {}
        }
    }

    /// Where runs have left, calls that wait go on. A line is looked at whenever a run of its tenant has left: see above why
    /// that is enough.
    pub(crate) fn fill_places(&mut self, turn: &mut Turn) {
        let freed = self.queue.take_freed();
        if freed.is_empty() || self.lines.lines.is_empty() {
            return;
        }
        for tenant in freed {
            for line in self.lines.of(tenant) {
                self.fill_line(line, turn);
            }
        }
        for line in self.lines.others() {
            self.fill_line(line, turn);
        }
    }

    /// A bound was changed: every line is looked at.
    pub(crate) fn fill_all_places(&mut self, turn: &mut Turn) {
        let lines: Vec<LineKey> = self.lines.lines.keys().copied().collect();
        for line in lines {
            self.fill_line(line, turn);
        }
    }

    fn fill_line(&mut self, line: LineKey, turn: &mut Turn) {
        while let Some((at, bytes)) = self.lines.first(line)
            && self.child_place(at, bytes).is_ok()
        {
            self.leave_line(at);
            self.ask(at, Asked::ChildInput, Question::ChildInput, turn);
        }
    }

    /// The input of a `call` is there: the child comes in, if it still has a place with an input of that size.
    pub(crate) fn call(&mut self, at: At, input: Payload, turn: &mut Turn) {
        let bytes = input.len() as u64;
        self.stand_in_line(at, bytes);
        if self.child_place(at, bytes).is_err() {
            return;
        }
        let run = self.runs.get(at.run);
        let node = run.node(at.node);
        let StepKind::Call { workflow, version } = &run.step(at.node).kind else {
            unreachable!("only a call has a child");
        };
        let salt =
            (u64::from(node.instance.step.0) << 48) ^ node.instance.part.code().cast_unsigned();
        let (origin, salt) = (run.key.run, mix(salt) ^ u64::from(node.attempt));
        let Some(shape) = self.directory.shape(workflow, *version).cloned() else {
            let refusal = format!("the workflow {workflow} is not declared");
            let failure = fail(class::CHILD_REFUSED, &refusal);
            return self.end(at, State::Failed(Box::new(failure)), None, turn);
        };
        let depth = run.parent.as_ref().map_or(0, |parent| parent.depth) + 1;
        let mut admission = Admission {
            key: run.key.clone(),
            tenant: run.tenant,
            shape,
            lane: run.lane,
            input,
            parent: Some(Parent { run: run.key.run, instance: node.instance, depth }),
            schedule: None,
            requester: run.requester.clone(),
            subject: run.subject,
            trace: run.trace_of_child(at.node, self.now),
            by: None,
        };
        let child = self.new_id(origin, salt);
        admission.key.run = child;
        self.move_to(at, State::Calling(Box::new(child)), None, turn);
        self.admit(admission, turn);
    }

    /// A child is over: its caller's step is.
    pub(crate) fn child_ended(
        &mut self,
        caller: &RunKey,
        parent: &Parent,
        ended: &Run,
        turn: &mut Turn,
    ) {
        let Some(run) = self.runs.find(caller) else { return };
        let live = self.runs.get(run);
        let Some(node) = live.find(parent.instance) else { return };
        let at = At { run, node };
        if !matches!(&live.node(node).state, State::Calling(child) if **child == ended.key.run) {
            return;
        }
        let is_abandoned = live.outcome.is_some();
        let state = match ended.status {
            RunStatus::Completed => State::Done,
            _ if is_abandoned => State::Cancelled,
            status => {
                let how = if status == RunStatus::Cancelled { "was cancelled" } else { "failed" };
                let because = ended.failure.as_deref().map_or(String::new(), |failure| {
                    format!(": {}: {}", failure.class, failure.message)
                });
                let message = format!("the child run {} {how}{because}", ended.key.run);
                State::Failed(Box::new(fail(class::CHILD_FAILED, &message)))
            }
        };
        self.end(at, state, None, turn);
    }

    /// The id of a run that another run or a schedule starts. No run has it, live or ended: the fence is in it, which
    /// no two ids of a cell share.
    pub(crate) fn new_id(&mut self, origin: RunId, salt: u64) -> RunId {
        loop {
            self.fence += 1;
            let id = origin.derive(self.now, mix(salt) ^ self.fence.rotate_left(20));
            if !self.runs.is_taken(id) {
                return id;
            }
        }
    }
}
