//! Retrying an ended run from a step: what failed and what comes after it is forgotten and done again; what was
//! completed before stands.

use crate::plan::StepIndex;
use crate::reject::Rejection;
use crate::row::{Part, RunRow, RunStatus, StepRow, StepState};

use super::advance::downstream;
use super::change::Change;
use super::effect::Response;
use super::input::Retry;
use super::live::Shape;
use super::load::Restored;
use super::{Cell, Turn};

impl Cell {
    pub(crate) fn retry(&mut self, retry: Retry, turn: &mut Turn) {
        let reply = retry.reply;
        match self.retried(retry, turn) {
            Ok(status) => turn.reply(reply, Response::Commanded { status }),
            Err(rejection) => turn.reject(reply, rejection),
        }
    }

    fn retried(&mut self, retry: Retry, turn: &mut Turn) -> Result<RunStatus, Rejection> {
        let Retry { key, from, rows, .. } = retry;
        if let Some(run) = self.runs.find(&key) {
            let status = self.runs.get(run).status;
            return Err(Rejection::WrongStatus { run: key.run, status, needs: "ended" });
        }
        let unknown = || Rejection::UnknownRun { run: key.run };
        let (mut row, steps) =
            rows.filter(|(row, _)| row.key == key && row.status.is_ended()).ok_or_else(unknown)?;
        let tenant = self.directory.tenants.find(&key.tenant).ok_or_else(unknown)?;
        let shape =
            self.directory.shape(&row.workflow, Some(row.version)).cloned().ok_or_else(unknown)?;
        let from = match from {
            Some(name) => {
                let found = shape.workflow.indexed().find(|(_, step)| step.name == name);
                vec![found.ok_or(Rejection::UnknownStep { step: name })?.0]
            }
            None => unfinished(&shape, &steps),
        };
        if from.is_empty() {
            return Err(Rejection::WrongStatus {
                run: key.run,
                status: row.status,
                needs: "failed or cancelled, or name a step",
            });
        }
        if self.directory.tenants.get(tenant).context().suspended {
            return Err(Rejection::Suspended { tenant: key.tenant });
        }
        let again = downstream(&shape.workflow, &from);
        let kept = forget_steps(steps, &again, turn);
        reopen(&mut row, self.now, shape.workflow.timeout);
        turn.write(Change::Run(Box::new(row.clone())));
        let revision = row.revision;
        let place = self.restore_run(Restored { row, steps: kept, tenant, shape, revision }, turn);
        self.revive(place, turn);
        Ok(RunStatus::Running)
    }
}

/// Drops the rows of the steps that are done again, and returns the others.
fn forget_steps(steps: Vec<StepRow>, again: &[bool], turn: &mut Turn) -> Vec<StepRow> {
    let mut dropped = None;
    let mut kept = Vec::new();
    for step in steps {
        let index = step.instance.step;
        if !again.get(usize::from(index.0)).copied().unwrap_or(false) {
            kept.push(step);
        } else if dropped != Some(index) {
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
    shape.workflow.indexed().map(|(index, _)| index).filter(|index| !is_done(*index)).collect()
}

fn reopen(row: &mut RunRow, now: crate::time::Time, bound: Option<crate::time::Span>) {
    row.status = RunStatus::Running;
    row.outcome = None;
    row.failure = None;
    row.ended = None;
    row.deadline = bound.map(|bound| now + bound);
    row.revision += 1;
    row.input = None;
}
