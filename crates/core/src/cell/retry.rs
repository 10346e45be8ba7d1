//! Retrying an ended run from a step: what failed and what comes after it is forgotten and done again; what was
//! completed before stands. Signals that were not taken are in its inbox again, and it stays pinned to its context.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::plan::StepIndex;
use crate::reject::Rejection;
use crate::row::{Part, RunKey, RunRow, RunStatus, StepRow, StepState};
use crate::time::Time;

use super::advance::downstream;
use super::change::{Change, EndedRun};
use super::effect::Response;
use super::input::Retry;
use super::live::{Shape, level};
use super::load::Restored;
use super::recent::KEPT;
use super::review::superseded;
use super::submit::Entrant;
use super::{Cell, Turn};

/// Runs that were opened again in the last minutes, with the revision at which they were. The surroundings read a
/// run's rows before they send a retry; rows from before that revision are of a life that is over.
#[derive(Debug, Default)]
pub(crate) struct Reopened {
    known: BTreeMap<RunKey, u64>,
    order: VecDeque<(Time, RunKey, u64)>,
}

impl Reopened {
    fn add(&mut self, now: Time, run: &RunRow) {
        while self.order.front().is_some_and(|(at, ..)| now.since(*at) > KEPT) {
            if let Some((_, key, revision)) = self.order.pop_front()
                && self.known.get(&key) == Some(&revision)
            {
                self.known.remove(&key);
            }
        }
        self.known.insert(run.key.clone(), run.revision);
        self.order.push_back((now, run.key.clone(), run.revision));
    }

    fn is_stale(&self, run: &RunRow) -> bool {
        self.known.get(&run.key).is_some_and(|revision| run.revision < *revision)
    }
}

impl Cell {
    pub(crate) fn retry(&mut self, retry: Retry, turn: &mut Turn) {
        let (reply, key, by) = (retry.reply, retry.key.clone(), retry.by.clone());
        let said = serde_json::json!({ "from": retry.from });
        match self.retried(retry, turn) {
            Ok(status) => {
                self.log_command(&key, by, ("run-retried", said), turn);
                turn.reply(reply, Response::Commanded { status });
            }
            Err(rejection) => {
                self.queue.count(&rejection);
                self.was_refused((&key.tenant, by), "retry", &rejection);
                turn.reject(reply, rejection);
            }
        }
    }

    fn retried(&mut self, retry: Retry, turn: &mut Turn) -> Result<RunStatus, Rejection> {
        let Retry { key, from, rows, .. } = retry;
        if let Some(run) = self.runs.find(&key) {
            let status = self.runs.get(run).status;
            return Err(Rejection::WrongStatus { run: key.run, status, needs: "ended" });
        }
        let unknown = || Rejection::UnknownRun { run: key.run };
        let EndedRun { run: mut row, steps, signals, context, plan } = rows
            .filter(|rows| rows.run.key == key && rows.run.status.is_ended())
            .filter(|rows| !self.is_erased(&key, rows.run.subject, rows.run.created))
            .ok_or_else(unknown)?;
        if row.is_bare {
            return Err(Rejection::NotKept { run: key.run });
        }
        if self.reopened.is_stale(&row) {
            let status = RunStatus::Running;
            return Err(Rejection::WrongStatus { run: key.run, status, needs: "ended" });
        }
        let tenant = self.directory.tenants.find(&key.tenant).ok_or_else(unknown)?;
        let declared = self.directory.shape(&row.workflow, Some(row.version)).cloned();
        let shape = match plan {
            Some(plan) => Arc::new(Shape::new(plan)),
            None => declared.ok_or_else(unknown)?,
        };
        let from = match from {
            Some(name) => {
                let mut steps =
                    shape.workflow.indexed().filter(|(index, _)| shape.workflow.has(*index));
                let found = steps.find(|(_, step)| step.name == name);
                vec![found.ok_or(Rejection::UnknownStep { step: name })?.0]
            }
            None => unfinished(&shape, &steps),
        };
        if from.is_empty() {
            return Err(Rejection::NothingToRetry { run: key.run, status: row.status });
        }
        // It comes in anew, and counts like any run: ended runs are not a way past the bounds.
        let entrant = Entrant {
            level: level(row.parent.as_ref()),
            lane: row.lane,
            bytes: u64::from(row.input_bytes),
        };
        self.let_in(tenant, &entrant)?;
        let again = downstream(&shape.workflow, &from);
        self.can_begin_again(tenant, &shape, &again)?;
        self.may_start(tenant, &shape)?;
        let kept = forget_steps(&shape, steps, &again, turn);
        reopen(&mut row, self.now, shape.workflow.timeout);
        self.reopened.add(self.now, &row);
        turn.write(Change::Run(Box::new(row.clone())));
        let revision = row.revision;
        let restored =
            Restored { row, steps: kept, signals, tenant, context, shape, replan: None, revision };
        let place = self.restore_run(restored, turn);
        self.revive(place, turn);
        Ok(RunStatus::Running)
    }
}

/// Drops the rows of the steps that are done again, and returns the others. Reviews that were decided for them are
/// superseded.
fn forget_steps(
    shape: &Shape,
    steps: Vec<StepRow>,
    again: &[bool],
    turn: &mut Turn,
) -> Vec<StepRow> {
    let mut dropped = None;
    let mut kept = Vec::new();
    for step in steps {
        let index = step.instance.step;
        if !again.get(usize::from(index.0)).copied().unwrap_or(false) {
            kept.push(step);
            continue;
        }
        let declared = shape.workflow.step(index);
        superseded(&step.key, declared, (step.ready, step.fence), turn);
        if dropped != Some(index) {
            dropped = Some(index);
            turn.write(Change::DropStep(step.key, index));
        }
    }
    kept
}

/// Steps without a completed or skipped row, or undone by a compensation.
fn unfinished(shape: &Shape, steps: &[StepRow]) -> Vec<StepIndex> {
    let is_done = |index: StepIndex| {
        let mut rows = steps.iter().filter(|row| row.instance.step == index);
        let whole = rows.clone().find(|row| row.instance.part == Part::Whole);
        let was_undone = rows.any(|row| row.instance.part == Part::Compensation);
        !was_undone
            && whole.is_some_and(|row| matches!(row.state, StepState::Done | StepState::Skipped))
    };
    let is_left = |index: &StepIndex| shape.workflow.has(*index) && !is_done(*index);
    shape.workflow.indexed().map(|(index, _)| index).filter(is_left).collect()
}

fn reopen(row: &mut RunRow, now: crate::time::Time, bound: Option<crate::time::Span>) {
    row.status = RunStatus::Running;
    row.outcome = None;
    row.failure = None;
    row.ended = None;
    row.deadline = bound.map(|bound| now + bound);
    row.revision += 1;
    row.trace = row.trace.map(|trace| trace.again(row.key.run));
    row.input = None;
}
