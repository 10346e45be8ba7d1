//! P12, second half: the outcome of a step is recorded exactly once, and it is one that the holder of its lease reported.
//!
//! Outputs of the simulated workers name their lease, and signals have payloads of their own, so that every output in
//! the rows can be traced to what was said.

use std::collections::{BTreeMap, BTreeSet};

use fairlane_core::cell::change::Change;
use fairlane_core::cell::effect::{Effect, Receipt};
use fairlane_core::cell::input::{Command, Input, Outcome};
use fairlane_core::id::WorkerName;
use fairlane_core::plan::{StepKind, Wait};
use fairlane_core::row::{Instance, LeaseId, Part, Payload, RunKey, StepRow, StepState};

use crate::rows::Rows;
use crate::violation::{Verdict, holds};

const PROMISE: &str = "P12 once";

#[derive(Debug, Default)]
pub(crate) struct Outcomes {
    /// Outputs that workers have reported: by lease and reporter.
    reported: BTreeMap<(LeaseId, WorkerName), BTreeSet<Payload>>,
    holders: BTreeMap<LeaseId, WorkerName>,
    /// Leases that came to an end.
    concluded: BTreeSet<LeaseId>,
    ended: BTreeSet<(RunKey, Instance)>,
    receipts: BTreeSet<LeaseId>,
    /// How often each signal was sent, and how often one was taken.
    signalled: BTreeMap<Payload, u32>,
    consumed: BTreeMap<Payload, u32>,
}

impl Outcomes {
    pub(crate) fn stepped(&mut self, input: &Input) {
        match input {
            Input::Exchange(exchange) => {
                for report in &exchange.reports {
                    if let Outcome::Completed { output } = &report.outcome {
                        let by = (report.lease.clone(), exchange.worker.clone());
                        self.reported.entry(by).or_default().insert(output.clone());
                    }
                }
            }
            Input::Command(_, _, Command::Signal { payload, .. }) => {
                *self.signalled.entry(payload.clone()).or_default() += 1;
            }
            _ => {}
        }
    }

    pub(crate) fn follow(&mut self, change: &Change, rows: &Rows) -> Verdict {
        match change {
            Change::Step(step) => {
                let place = (step.key.clone(), step.instance);
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
            StepKind::Task { .. } => self.was_reported(step, output),
            _ if step.instance.part == Part::Compensation => self.was_reported(step, output),
            _ => Ok(()),
        }
    }

    fn was_reported(&self, step: &StepRow, output: &Payload) -> Verdict {
        let lease = lease(step);
        let holder = self.holders.get(&lease).cloned();
        let said = holder.and_then(|holder| self.reported.get(&(lease, holder)));
        holds(said.is_some_and(|said| said.contains(output)), PROMISE, || {
            format!("{step:?} has an output that the holder of its lease did not report: {said:?}")
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

fn lease(step: &StepRow) -> LeaseId {
    LeaseId { key: step.key.clone(), instance: step.instance, fence: step.fence }
}
