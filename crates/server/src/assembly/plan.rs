//! What planners are given, and what they answer, read as a plan.

use std::collections::BTreeMap;
use std::sync::Arc;

use fairlane_core::plan::{StepIndex, StepKind, Workflow};
use fairlane_core::replan::{Parts, ReplanRow, Scope, Verdict};
use fairlane_core::row::{Instance, Part, Payload, RunRow, StepRow, StepState};
use fairlane_core::tenant::TenantScope;
use fairlane_store::{Error, Payloads, Read};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value as Json, json};
use sha2::{Digest as _, Sha256};

use super::{Assembly, Subject, Unassembled, Value, failed};
use crate::problem::Refused;
use crate::reads::{Reads, revised};
use crate::registry::Registry;

/// Class of an answer that is no plan.
const INVALID: &str = "revision-invalid";

/// The plan that a run follows: that of its newest replan, or what its workflow declares.
pub(super) fn plan_here(
    registry: &Registry,
    reader: &mut dyn Read,
    scope: &TenantScope,
    row: &RunRow,
) -> Result<Option<Arc<Workflow>>, Error> {
    match row.replans {
        0 => Ok(registry.workflow(&row.workflow, Some(row.version))),
        _ => revised(reader, scope, row),
    }
}

impl Assembly {
    /// The plan that a run follows. `None` if its workflow is not there any more.
    pub(crate) async fn plan(&self, row: &RunRow) -> Result<Option<Arc<Workflow>>, Refused> {
        if row.replans == 0 {
            return Ok(self.0.registry.workflow(&row.workflow, Some(row.version)));
        }
        let (scope, this, row) = (self.scope(&row.key), self.clone(), row.clone());
        let read = move |reader: &mut dyn Read, scope: &TenantScope| {
            plan_here(&this.0.registry, reader, scope, &row)
        };
        self.0.reads.of(&scope, read).await
    }

    /// The input of a step that plans: its `with`, and where the run stands.
    pub(super) fn with_situation(
        &self,
        subject: &Subject,
        input: Value,
        reads: &Reads,
    ) -> Result<Value, Unassembled> {
        let Value::Input(input) = input else { return Ok(input) };
        let mut fields: Map<String, Json> = serde_json::from_slice(&input)
            .map_err(|error| failed("internal", &format!("the inputs are no object: {error}")))?;
        let (scope, run) = (self.scope(&subject.key), subject.key.run);
        let read = reads.here(&scope, |reader| {
            let steps = reader.steps(&scope, run, Payloads::Leave)?;
            let row = reader.run(&scope, run, Payloads::Leave)?;
            Ok((row, steps, reader.replans(&scope, run)?))
        });
        let (row, steps, replans) = read.map_err(|error| {
            tracing::error!(event = "plan-unread", %error, "the plan of a run could not be read from the store");
            Unassembled::Unavailable
        })?;
        fields.insert("replan".to_owned(), situation(subject, row.as_ref(), &steps, &replans));
        let text =
            serde_json::to_vec(&fields).map_err(|error| failed("internal", &error.to_string()))?;
        Ok(Value::Input(Payload::from(text)))
    }

    /// The output of a step that plans, as a plan.
    pub(super) fn revision(&self, subject: &Subject) -> Result<Value, Unassembled> {
        let (scope, run) = (self.scope(&subject.key), subject.key.run);
        let read = self.0.reads.here(&scope, |reader| reader.output(&scope, run, subject.instance));
        let output = read.map_err(|error| {
            tracing::error!(event = "revision-unread", %error, "a revision could not be read from the store");
            Unassembled::Unavailable
        })?;
        let output = output.ok_or_else(|| failed(INVALID, "the planner gave no answer"))?;
        let step = subject.workflow.step(subject.instance.step);
        let answer = match &step.kind {
            StepKind::Review(terms) => decided(terms, &output)?,
            _ => output.to_vec(),
        };
        let digest = Sha256::digest(&answer).into();
        let revision = fairlane_workflow::revise(&subject.workflow, &answer, digest)
            .map_err(|problem| failed(INVALID, &problem))?;
        Ok(Value::Revision(Box::new(revision)))
    }
}

/// What a person has decided.
#[derive(Deserialize)]
struct Decided<'a> {
    outcome: String,
    #[serde(borrow)]
    data: &'a RawValue,
}

/// The plan that a person has filled in.
fn decided(terms: &fairlane_core::review::Terms, output: &[u8]) -> Result<Vec<u8>, Unassembled> {
    let decided: Decided<'_> = serde_json::from_slice(output)
        .map_err(|error| failed(INVALID, &format!("the decision is none: {error}")))?;
    let mut outcomes = terms.outcomes.iter();
    let outcome = outcomes.find(|known| known.name.as_str() == decided.outcome);
    if outcome.is_some_and(|outcome| outcome.approving) {
        Ok(decided.data.get().as_bytes().to_vec())
    } else {
        Err(failed(INVALID, &format!("whoever was to plan decided `{}`", decided.outcome)))
    }
}

/// Where the run stands, for whoever plans.
fn situation(
    subject: &Subject,
    row: Option<&RunRow>,
    steps: &[StepRow],
    replans: &[ReplanRow],
) -> Json {
    let plan = &subject.workflow;
    let rows: BTreeMap<Instance, &StepRow> = steps.iter().map(|row| (row.instance, row)).collect();
    let declared = plan.replan.as_ref();
    let newest = replans.last();
    let before = replans.iter().rev().nth(1);
    let refused = before.and_then(|before| match &before.verdict {
        Some(Verdict::Refused(unfit)) => Some(json!({ "because": unfit, "reason": before.reason })),
        _ => None,
    });
    let max = declared.map_or(0, |declared| declared.max);
    let money = row.map(|row| &row.money);
    let left = money
        .and_then(|money| Some(money.limit?.minus(money.reserve).minus(money.posted).to_string()));
    json!({
        "number": newest.map(|newest| newest.number),
        "left": newest.map(|newest| max.saturating_sub(newest.number)),
        "trigger": newest.map(|newest| newest.trigger.code()),
        "step": newest.map(|newest| plan.step(newest.step).name.as_str()),
        "class": newest.map(|newest| &*newest.failure.class),
        "message": newest.map(|newest| &*newest.failure.message),
        "refused": refused,
        "scope": match declared.map(|declared| &declared.scope) {
            Some(Scope::Downstream) | None => json!("downstream"),
            Some(Scope::All) => json!("all"),
            Some(Scope::Steps(names)) => json!(names),
        },
        "may_use": declared.map(|declared| parts(&declared.parts)),
        "money_left": left,
        "steps": plan
            .indexed()
            .filter(|(index, _)| plan.has(*index))
            .map(|(index, step)| (step.name.to_string(), standing(&rows, index)))
            .collect::<Map<String, Json>>(),
        "definition": fairlane_workflow::definition_of(&plan.source),
    })
}

fn standing(rows: &BTreeMap<Instance, &StepRow>, step: StepIndex) -> Json {
    let Some(row) = rows.get(&Instance { step, part: Part::Whole }) else {
        return json!({ "status": "pending" });
    };
    let status = match &row.state {
        StepState::Done => "done",
        StepState::Disputed { .. } => "disputed",
        state => crate::cache::ended(state).unwrap_or("running"),
    };
    let trust = matches!(row.state, StepState::Done).then_some(row.trust);
    json!({ "status": status, "trust": trust })
}

fn parts(parts: &Parts) -> Json {
    let tasks = parts.tasks.iter().map(|(pool, task)| json!({ "task": task, "pool": pool }));
    json!({
        "tasks": tasks.collect::<Vec<_>>(),
        "tools": parts.tools,
        "models": parts.models,
        "workflows": parts.workflows,
    })
}
