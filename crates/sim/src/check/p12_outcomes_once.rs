//! P12, second half: the outcome of a step is recorded exactly once, and it is one that the holder of its lease reported.
//!
//! Outputs of the simulated workers name their lease, and signals have payloads of their own, so that every output in
//! the rows can be traced to what was said. What workers say is heard at the host's door: a host that passes it on as if
//! another one had said it cannot hide that.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fairlane_core::cell::change::Change;
use fairlane_core::cell::effect::{Effect, Receipt};
use fairlane_core::cell::input::{Command, Input, Outcome};
use fairlane_core::id::WorkerName;
use fairlane_core::plan::{StepKind, Wait};
use fairlane_core::replan::Trust;
use fairlane_core::row::{
    Instance, LeaseId, Part, Payload, ReviewCause, ReviewState, RunKey, StepRow, StepState,
};

use crate::rows::Rows;
use crate::violation::{Verdict, holds};
use crate::worker::{FAILURE_MESSAGE, Message};

const PROMISE: &str = "P12 once";

#[derive(Debug, Default)]
pub(crate) struct Outcomes {
    /// Outcomes that workers have reported: by lease and reporter.
    reported: BTreeMap<(LeaseId, WorkerName), BTreeSet<Said>>,
    holders: BTreeMap<LeaseId, WorkerName>,
    /// Leases that came to an end.
    concluded: BTreeSet<LeaseId>,
    ended: BTreeSet<(RunKey, Instance)>,
    receipts: BTreeSet<LeaseId>,
    /// How often each signal was sent, and how often one was taken.
    signalled: BTreeMap<Payload, u32>,
    consumed: BTreeMap<Payload, u32>,
}

/// What came of an attempt, in its worker's words.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Said {
    Output(Payload),
    Failure(Arc<str>),
}

impl Outcomes {
    pub(crate) fn said(&mut self, message: &Message) {
        for report in &message.reports {
            let said = match &report.outcome {
                Outcome::Heartbeat => continue,
                Outcome::Completed { output, .. } => Said::Output(output.clone()),
                Outcome::Failed { failure, .. }
                | Outcome::Contradicted { failure, .. }
                | Outcome::NotSent(failure) => Said::Failure(failure.class.clone()),
                Outcome::Called(called) => match &called.result {
                    Ok(output) => Said::Output(output.clone()),
                    Err((failure, _)) => Said::Failure(failure.class.clone()),
                },
            };
            let by = (report.lease.clone(), message.name.clone());
            self.reported.entry(by).or_default().insert(said);
        }
    }

    pub(crate) fn stepped(&mut self, input: &Input) {
        if let Input::Command(_, _, _, Command::Signal { payload, .. }) = input {
            *self.signalled.entry(payload.clone()).or_default() += 1;
        }
    }

    pub(crate) fn follow(&mut self, change: &Change, rows: &Rows) -> Verdict {
        match change {
            Change::Step(step) => {
                let place = (step.key.clone(), step.instance);
                if step.state == StepState::Done
                    && step.output.is_none()
                    && step.trust == Trust::Suspect
                {
                    // Only that it is in doubt, which is no other end.
                    return Ok(());
                }
                holds(!self.ended.contains(&place), PROMISE, || {
                    format!("{place:?} had ended, and becomes {:?}", step.state)
                })?;
                if step.state.is_final() {
                    self.ended.insert(place);
                }
                if let StepState::Leased { worker, .. } = &step.state {
                    self.holders.insert(lease(step), worker.clone());
                } else {
                    self.concluded.insert(lease(step));
                }
                self.failure(step)?;
                self.output(step, rows)
            }
            Change::DropStep(key, step) => {
                self.ended.retain(|(of, instance)| of != key || instance.step != *step);
                Ok(())
            }
            Change::TakeSignal { key, instance, .. } => {
                let output = rows.step(key, *instance).and_then(|row| row.output.clone());
                self.consume(output, key, *instance)
            }
            _ => Ok(()),
        }
    }

    /// A lease's outcome is acknowledged once, and only to its holder.
    pub(crate) fn released(&mut self, effect: &Effect) -> Verdict {
        let Effect::Exchanged(_, answer) = effect else { return Ok(()) };
        for (lease, receipt) in &answer.receipts {
            if *receipt == Receipt::Recorded {
                holds(self.concluded.contains(lease), PROMISE, || {
                    format!("the outcome of {lease:?} is acknowledged and not durable")
                })?;
                holds(self.receipts.insert(lease.clone()), PROMISE, || {
                    format!("the outcome of {lease:?} is acknowledged twice")
                })?;
            }
        }
        Ok(())
    }

    /// A failure of an attempt is in its worker's words too; all others are the cell's own.
    fn failure(&self, step: &StepRow) -> Verdict {
        let (StepState::Backoff { failure, .. } | StepState::Failed { failure }) = &step.state
        else {
            return Ok(());
        };
        // What fails a map is the failure of one of its items.
        let is_own = failure.step.is_none() && self.holders.contains_key(&lease(step));
        if !is_own || &*failure.message != FAILURE_MESSAGE {
            return Ok(());
        }
        self.was_reported(step, &Said::Failure(failure.class.clone()))
    }

    fn output(&mut self, step: &StepRow, rows: &Rows) -> Verdict {
        let (StepState::Done, Some(output)) = (&step.state, &step.output) else { return Ok(()) };
        let run = rows.runs.get(&step.key);
        let Some(workflow) = run.and_then(|run| rows.workflow_of(run)) else { return Ok(()) };
        let declared = workflow.step(step.instance.step);
        let is_mapped_whole = declared.map.is_some() && step.instance.part == Part::Whole;
        match &declared.kind {
            _ if is_mapped_whole => Ok(()),
            StepKind::Wait(Wait::Signal(_)) if step.instance.part != Part::Compensation => {
                self.consume(Some(output.clone()), &step.key, step.instance)
            }
            // A person did it in the place of a worker: the checker of reviews looks at that.
            StepKind::Task { .. } | StepKind::Model(_) | StepKind::Tool
                if is_resolved(step, rows) =>
            {
                Ok(())
            }
            StepKind::Task { .. } | StepKind::Model(_) | StepKind::Tool => {
                self.was_reported(step, &Said::Output(output.clone()))
            }
            _ if step.instance.part == Part::Compensation => {
                self.was_reported(step, &Said::Output(output.clone()))
            }
            _ => Ok(()),
        }
    }

    fn was_reported(&self, step: &StepRow, outcome: &Said) -> Verdict {
        let lease = lease(step);
        let holder = self.holders.get(&lease).cloned();
        let said = holder.and_then(|holder| self.reported.get(&(lease, holder)));
        holds(said.is_some_and(|said| said.contains(outcome)), PROMISE, || {
            format!("{step:?} ended as the holder of its lease did not report: {said:?}")
        })
    }

    fn consume(&mut self, output: Option<Payload>, key: &RunKey, instance: Instance) -> Verdict {
        let payload = output.unwrap_or_else(|| Payload::from(&b""[..]));
        let sent = self.signalled.get(&payload).copied().unwrap_or(0);
        let taken = self.consumed.entry(payload.clone()).or_default();
        *taken += 1;
        holds(*taken <= sent, PROMISE, || {
            format!("{key:?} {instance:?} took {payload:?}, sent {sent} times, taken {taken} times")
        })
    }
}

/// Whether people have given a step's output, since it could not be paid for or nobody answered.
fn is_resolved(step: &StepRow, rows: &Rows) -> bool {
    rows.reviews.values().any(|row| {
        let is_its = (row.run, row.instance) == (step.key.run, step.instance);
        let resolves = matches!(&row.state, ReviewState::Decided { outcome } if outcome.as_str() == "resolved");
        is_its && resolves && row.cause != ReviewCause::Step
    })
}

fn lease(step: &StepRow) -> LeaseId {
    LeaseId { key: step.key.clone(), instance: step.instance, fence: step.fence }
}
