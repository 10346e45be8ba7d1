//! P12, first half: what an effect says is durable before it is said, and what a client was told stays true.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fairlane_core::cell::change::Change;
use fairlane_core::cell::effect::{Effect, Exchanged, Progress, Receipt, Response};
use fairlane_core::cell::input::Command;
use fairlane_core::id::{RunId, TenantId};
use fairlane_core::row::{Instance, LeaseId, Part, Payload, RunKey, RunStatus, StepState};

use crate::client::Submission;
use crate::host::{About, Host};
use crate::rows::Rows;
use crate::violation::{Verdict, holds};

const PROMISE: &str = "P12 durability";

/// What the clients were told.
#[derive(Debug, Default)]
pub(crate) struct Durability {
    acknowledged: BTreeMap<RunKey, Submission>,
    keys: BTreeMap<(TenantId, Arc<str>), RunId>,
    cancelled: BTreeSet<RunKey>,
    /// Leases whose outcome a worker was told is recorded, since the last owner came.
    recorded: BTreeSet<LeaseId>,
    revisions: BTreeMap<RunKey, u64>,
    /// What each step has made, and what of it was forgotten with its step, to be made again.
    outputs: BTreeMap<(RunKey, Instance), Payload>,
    forgotten: BTreeSet<(RunKey, Payload)>,
}

impl Durability {
    /// An idempotency key leads to one run for ever.
    pub(crate) fn follow(&mut self, change: &Change) -> Verdict {
        match change {
            Change::Idempotency(row) => {
                let key = (row.tenant.clone(), row.key.clone());
                let before = self.keys.insert(key, row.run);
                holds(before.is_none_or(|before| before == row.run), PROMISE, || {
                    format!("{row:?} replaces {before:?}")
                })
            }
            Change::Step(row) => {
                if let Some(output) = &row.output {
                    self.outputs.insert((row.key.clone(), row.instance), output.clone());
                }
                Ok(())
            }
            // What its step has made is forgotten with it, a signal that it took too: it is done again.
            Change::DropStep(key, step) => {
                let of_step = (key.clone(), Instance { step: *step, part: Part::Whole });
                let forgotten = self.outputs.remove(&of_step);
                self.forgotten.extend(forgotten.map(|output| (key.clone(), output)));
                Ok(())
            }
            // A retry begins the run anew, cancelled or not.
            Change::Run(run) if run.status == RunStatus::Running && run.outcome.is_none() => {
                self.cancelled.remove(&run.key);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn released(&mut self, effect: &Effect, host: &Host, rows: &Rows) -> Verdict {
        match effect {
            Effect::Reply(id, response) => match host.replies.get(id).map(|to| &to.about) {
                Some(about) => self.replied(response, about, rows),
                None => Ok(()),
            },
            Effect::Exchanged(_, answer) => {
                let receipts = answer.receipts.iter();
                let recorded = receipts.filter(|(_, receipt)| *receipt == Receipt::Recorded);
                self.recorded.extend(recorded.map(|(lease, _)| lease.clone()));
                answered(answer, rows)
            }
            Effect::Progress(progress) => self.progressed(progress, rows),
            Effect::Evaluate(_)
            | Effect::NextTime(_)
            | Effect::Segment(_)
            | Effect::Declared(_)
            | Effect::Deliver(_) => Ok(()),
        }
    }

    /// A new owner finds everything that the ones before it acknowledged.
    pub(crate) fn reloaded(&mut self, rows: &Rows) -> Verdict {
        for key in self.acknowledged.keys() {
            holds(rows.runs.contains_key(key), PROMISE, || {
                format!("{key:?} was acknowledged, and no new owner finds it")
            })?;
        }
        for lease in std::mem::take(&mut self.recorded) {
            let row = rows.step(&lease.key, lease.instance);
            let is_lost = row.is_some_and(|row| {
                row.fence == lease.fence && matches!(row.state, StepState::Leased { .. })
            });
            holds(!is_lost, PROMISE, || {
                format!("the outcome of {lease:?} was acknowledged, and a new owner finds {row:?}")
            })?;
        }
        Ok(())
    }

    /// Everything that was acknowledged is there, and has ended as it was said.
    pub(crate) fn emptied(&self, rows: &Rows) -> Verdict {
        for key in self.acknowledged.keys() {
            let run = rows.runs.get(key);
            holds(run.is_some_and(|run| run.status.is_ended()), PROMISE, || {
                format!("{key:?} was acknowledged, and is {run:?}")
            })?;
        }
        for key in &self.cancelled {
            let status = rows.runs.get(key).map(|run| run.status);
            let is_stopped = matches!(status, Some(RunStatus::Cancelled | RunStatus::Failed));
            holds(is_stopped, PROMISE, || format!("{key:?} was cancelled, and is {status:?}"))?;
        }
        Ok(())
    }

    fn replied(&mut self, response: &Response, about: &About, rows: &Rows) -> Verdict {
        match (response, about) {
            (Response::Submitted { run, .. }, About::Submission(submission)) => {
                self.submitted(*run, submission, rows)
            }
            (Response::Commanded { status }, About::Command(key, Command::Cancel)) => {
                let row = rows.runs.get(key);
                let is_going =
                    row.is_some_and(|run| run.outcome.is_some() || run.status.is_ended());
                holds(is_going, PROMISE, || format!("a cancelled run is {row:?}"))?;
                if *status != RunStatus::Completed {
                    self.cancelled.insert(key.clone());
                }
                Ok(())
            }
            (Response::Commanded { .. }, About::Command(key, Command::Signal { payload, .. })) => {
                let is_forgotten = self.forgotten.contains(&(key.clone(), payload.clone()));
                holds(is_forgotten || keeps_signal(key, payload, rows), PROMISE, || {
                    format!("the acknowledged signal {payload:?} of {key:?} is nowhere")
                })
            }
            (Response::Commanded { .. }, About::Retry(key)) => {
                let row = rows.runs.get(key);
                holds(row.is_some(), PROMISE, || format!("{key:?} is retried and not there"))
            }
            _ => Ok(()),
        }
    }

    fn submitted(&mut self, run: RunId, submission: &Submission, rows: &Rows) -> Verdict {
        let key = RunKey { tenant: submission.tenant.clone(), run };
        let row = rows.runs.get(&key);
        let is_there = row.is_some_and(|row| {
            row.workflow == submission.workflow && row.input.as_ref() == Some(&submission.input)
        });
        holds(is_there, PROMISE, || format!("{submission:?} is acknowledged and is {row:?}"))?;
        if let Some(name) = &submission.key {
            let stored = rows.idempotency.get(&(key.tenant.clone(), name.clone()));
            let agrees =
                stored.is_some_and(|row| row.run == run && row.digest == submission.digest);
            holds(agrees, PROMISE, || format!("{submission:?} led to {run}, and to {stored:?}"))?;
        }
        self.acknowledged.entry(key).or_insert_with(|| submission.clone());
        Ok(())
    }

    /// What watchers are told grows, and an end that they are told is durable.
    fn progressed(&mut self, progress: &Progress, rows: &Rows) -> Verdict {
        let last = self.revisions.insert(progress.key.clone(), progress.revision);
        holds(last.is_none_or(|last| last < progress.revision), PROMISE, || {
            format!("{progress:?} follows revision {last:?}")
        })?;
        let row = rows.runs.get(&progress.key);
        let is_durable = match (row, progress.ended) {
            (None, _) => false,
            (Some(row), Some(_)) => row.ended == progress.ended && row.status == progress.status,
            (Some(_), None) => true,
        };
        holds(is_durable, PROMISE, || format!("{progress:?} is told of {row:?}"))
    }
}

/// A new owner has read all that there will ever be of the ones before it.
pub(crate) fn owned(epoch: u64, rows: &Rows) -> Verdict {
    holds(epoch == rows.epoch(), PROMISE, || {
        format!("a turn of epoch {epoch} became durable in epoch {}", rows.epoch())
    })
}

fn keeps_signal(key: &RunKey, payload: &Payload, rows: &Rows) -> bool {
    let has = |output: Option<&Payload>| output == Some(payload);
    rows.steps_of(key).any(|step| has(step.output.as_ref()))
        || rows.signals.values().any(|signal| signal.key == *key && has(Some(&signal.payload)))
}

fn answered(answer: &Exchanged, rows: &Rows) -> Verdict {
    let row = |lease: &LeaseId| rows.step(&lease.key, lease.instance);
    for grant in &answer.grants {
        let lease = &grant.lease;
        let is_durable = row(lease).is_some_and(|row| {
            row.fence == lease.fence && matches!(row.state, StepState::Leased { .. })
        });
        holds(is_durable, PROMISE, || format!("{lease:?} is granted and is {:?}", row(lease)))?;
    }
    Ok(())
}
