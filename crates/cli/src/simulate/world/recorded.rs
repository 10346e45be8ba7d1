//! Recorded runs: each step takes what it took, skips what it skipped, and ends as it ended.
//!
//! No expression is evaluated, since there are no payloads: conditions, lists and times are answered from the record. What
//! came from outside (a signal, a review, a cancellation) comes again as long after the step began to wait, or after the run
//! came, as it did.

use std::collections::BTreeMap;
use std::sync::Arc;

use fairlane_core::cell::effect::{Evaluation, Grant, Question};
use fairlane_core::cell::input::{
    BreakGlass, Command, Decide, Input, Outcome, ReplyId, ReviewCommand, Value,
};
use fairlane_core::id::{PersonId, SignalName};
use fairlane_core::plan::{StepIndex, Workflow};
use fairlane_core::row::{
    Actor, Failure, Instance, Payload, ReviewRow, ReviewState, RunKey, RunRow, StepRow, StepState,
};
use fairlane_core::time::{Span, Time};

use super::{Came, Event, Run, World, failure, outcome};
use crate::recorded::{End, Place, Recorded, Taken};
use crate::simulate::scenario::Effort;

/// Who decides reviews of recorded runs: the one member that their pools have.
pub(crate) const REVIEWER: &str = "reviewer";

/// What a record says of an attempt.
pub(super) struct Attempt {
    pub(super) takes: Span,
    pub(super) outcome: Outcome,
}

impl World<'_> {
    /// The record of a run, and which of them it is.
    fn record(&self, key: &RunKey) -> Option<(usize, &Recorded)> {
        match self.runs.get(key)?.came {
            Came::Recorded(at) => Some((at, self.scenario.records.get(at)?)),
            Came::Arrival(_) => None,
        }
    }

    fn taken(&self, key: &RunKey, workflow: &Workflow, instance: Instance) -> Option<&Taken> {
        let (_, record) = self.record(key)?;
        record.steps.get(&place(workflow, instance))
    }

    /// A run that another one calls, when it has just come in: its record is that of the step.
    pub(super) fn note_called(&mut self, row: &RunRow) {
        let Some(parent) = row.parent.as_ref().filter(|_| !self.runs.contains_key(&row.key)) else {
            return;
        };
        let key = RunKey { tenant: row.key.tenant.clone(), run: parent.run };
        let Some((at, step)) = self.record(&key).and_then(|(at, _)| {
            let workflow = self.plan_of(Came::Recorded(at))?;
            Some((at, place(workflow, parent.instance)))
        }) else {
            return;
        };
        let came = self
            .called
            .get(&(at, step))
            .map_or(Came::Arrival(usize::MAX), |at| Came::Recorded(*at));
        self.runs.insert(row.key.clone(), Run { came, takes: None, steps: BTreeMap::new() });
    }

    /// The plan of what came so.
    pub(super) fn plan_of(&self, came: Came) -> Option<&Arc<Workflow>> {
        let (name, version) = match came {
            Came::Arrival(at) => (&self.scenario.arrivals.get(at)?.workflow, None),
            Came::Recorded(at) => {
                let record = self.scenario.records.get(at)?;
                (&record.workflow, Some(record.version))
            }
        };
        let of = self.workflows.iter().filter(|of| of.name.as_str() == name);
        of.filter(|of| version.is_none_or(|version| of.version == version))
            .max_by_key(|of| of.version)
    }

    /// A recorded run has come: if it was cancelled, it will be.
    pub(super) fn plan_cancel(&mut self, key: &RunKey, at: usize) {
        let cancelled = self.scenario.records.get(at).and_then(Recorded::cancelled);
        if let Some(after) = cancelled {
            self.plan(self.now + after, Event::Cancel(key.clone()));
        }
    }

    /// A step of a recorded run that waits for somebody: it comes when it came.
    pub(super) fn note_waits(&mut self, row: &StepRow) {
        let StepState::Listening { signal } = &row.state else { return };
        if let Some(at) = self.told_at(&row.key, row.instance, row.since) {
            self.plan(at, Event::Signal(row.key.clone(), signal.clone()));
        }
    }

    /// The same for one that waits for a person.
    pub(super) fn note_review(&mut self, row: &ReviewRow) {
        if !matches!(row.state, ReviewState::Open) || row.events > 1 {
            return;
        }
        let key = RunKey { tenant: row.tenant.clone(), run: row.run };
        if let Some(at) = self.told_at(&key, row.instance, row.opened) {
            self.plan(at, Event::Decide(Box::new(row.clone())));
        }
    }

    /// When a step that has waited since then is told what it waits for, if it was.
    fn told_at(&self, key: &RunKey, instance: Instance, since: Time) -> Option<Time> {
        let (at, record) = self.record(key)?;
        let workflow = self.plan_of(Came::Recorded(at))?;
        match record.steps.get(&place(workflow, instance))? {
            Taken::Waited { took, end: End::Done } => Some(since + *took),
            _ => None,
        }
    }

    pub(super) fn cancel(&mut self, key: RunKey) {
        let reply = ReplyId(self.next_id());
        self.input(Input::Command(reply, None, key, Command::Cancel));
    }

    pub(super) fn signal(&mut self, key: RunKey, name: SignalName) {
        let reply = ReplyId(self.next_id());
        let payload = Payload::from(b"null".to_vec());
        self.input(Input::Command(
            reply,
            None,
            key,
            Command::Signal { name, payload, idempotency: None },
        ));
    }

    pub(super) fn decide(&mut self, row: &ReviewRow) {
        let reply = ReplyId(self.next_id());
        let person: PersonId = REVIEWER.parse().expect("it is a name");
        let approves = row.terms.outcomes.iter().find(|outcome| outcome.approving);
        let Some(outcome) = approves.or(row.terms.outcomes.first()) else { return };
        let decide = Decide {
            review: row.id,
            person: person.clone(),
            fence: 0,
            digest: row.digest,
            outcome: outcome.name.clone(),
            data: "null".into(),
            result: row.digest,
        };
        let glass = BreakGlass { decide, by: Actor::Person(person), reason: "recorded".into() };
        self.input(Input::Review(reply, ReviewCommand::BreakGlass(Box::new(glass))));
    }

    /// What is asked of a recorded run; `None` if the run is not recorded.
    pub(super) fn remember(&self, evaluation: &Evaluation) -> Option<Result<Value, Failure>> {
        let Evaluation { key, workflow, instance, what, .. } = evaluation;
        self.record(key)?;
        let taken = self.taken(key, workflow, *instance);
        let work = workflow.step(instance.step).kind.pool().is_some();
        Some(match what {
            // Its expression was wrong: it has not been worked on.
            Question::When(_)
                if work && matches!(taken, Some(Taken::Waited { end: End::Failed, .. })) =>
            {
                Err(failure("recorded"))
            }
            Question::When(_) => Ok(Value::Condition(!matches!(taken, Some(Taken::Skipped)))),
            Question::Over(_) => Ok(Value::Items(match taken {
                Some(Taken::Mapped(items)) => *items,
                _ => 0,
            })),
            Question::Until(_) => Ok(Value::Until(match taken {
                Some(Taken::Waited { took, .. }) => self.now + *took,
                _ => self.now,
            })),
            Question::ChildInput => Ok(Value::Input(Payload::from(b"null".to_vec()))),
            Question::Subject => Ok(Value::Digest([0; 32])),
            Question::Prompt => Ok(Value::Tokens(match taken {
                Some(Taken::Worked { tokens: Some((input, _)), .. }) => *input,
                _ => Effort::default().input_tokens,
            })),
            Question::Revision => Err(failure("not-simulated")),
        })
    }

    /// What an attempt of a recorded step takes, and what comes of it.
    pub(super) fn repeat(&self, grant: &Grant) -> Option<Attempt> {
        let lease = &grant.lease;
        self.record(&lease.key)?;
        let taken = self.taken(&lease.key, &grant.workflow, lease.instance);
        let usual = Effort::default();
        let again = |takes, fails: bool, retryable, effort: &Effort| {
            let outcome = outcome(effort, &grant.work, fails.then_some(retryable));
            Some(Attempt { takes, outcome })
        };
        match taken {
            Some(Taken::Worked { attempts, end, tokens }) => {
                let number = (grant.attempt.max(1) as usize).min(attempts.len());
                let is_last = number == attempts.len();
                let takes = attempts.get(number - 1).copied().unwrap_or_default();
                let effort = tokens.map_or(usual, |(input_tokens, output_tokens)| Effort {
                    input_tokens,
                    output_tokens,
                    ..Effort::default()
                });
                // One that was called off goes on until it is again.
                let takes = if is_last && *end == End::Cut { long(takes) } else { takes };
                again(takes, !is_last || *end == End::Failed, !is_last, &effort)
            }
            // It never came as far.
            Some(Taken::Waited { end: End::Failed, .. }) => again(Span::ZERO, true, false, &usual),
            Some(Taken::Waited { took, .. }) => again(*took, false, false, &usual),
            Some(Taken::Skipped | Taken::Mapped(_)) | None => {
                let expected = grant.workflow.step(lease.instance.step).expected;
                again(expected, false, false, &usual)
            }
        }
    }
}

/// Longer than whatever ends it may take.
const fn long(takes: Span) -> Span {
    Span(takes.0.saturating_mul(2).saturating_add(60_000_000))
}

fn place(workflow: &Workflow, instance: Instance) -> Place {
    let Instance { step: StepIndex(at), part } = instance;
    let step =
        workflow.steps.get(usize::from(at)).map_or_else(String::new, |step| step.name.to_string());
    Place { step, part }
}
