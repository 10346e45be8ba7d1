//! How the plan of a run was looked at again, as it is shown.

use fairlane_api::run::{Replan, ReplanVerdict};
use fairlane_core::id::StepName;
use fairlane_core::replan::{Part, ReplanRow, Unfit, Verdict};

use crate::wire::{failure_out, timestamp};

pub(super) fn replan_out(row: &ReplanRow) -> Replan {
    let name = |step| row.plan.step(step).name.to_string();
    let names = |steps: &[StepName]| steps.iter().map(ToString::to_string).collect();
    let (verdict, refused) = match &row.verdict {
        None => (ReplanVerdict::Open, None),
        Some(Verdict::Accepted) => (ReplanVerdict::Accepted, None),
        Some(Verdict::Refused(unfit)) => (ReplanVerdict::Refused, Some(unfit)),
        Some(Verdict::Cancelled) => (ReplanVerdict::Cancelled, None),
    };
    Replan {
        number: row.number,
        trigger: row.trigger.code().to_owned(),
        step: name(row.step),
        failure: failure_out(&row.failure),
        planner: name(row.planner),
        began_at: timestamp(row.began),
        ended_at: row.ended.map(timestamp),
        verdict,
        refused: refused.map(words),
        code: refused.map(|unfit| code(unfit).to_owned()),
        reason: row.reason.as_ref().map(ToString::to_string),
        approved_by: row.approved_by.iter().map(ToString::to_string).collect(),
        added: names(&row.diff.added),
        changed: names(&row.diff.changed),
        dropped: names(&row.diff.dropped),
        redone: names(&row.diff.redone),
        distrusted: names(&row.diff.distrusted),
        kept: names(&row.diff.kept),
    }
}

const fn code(unfit: &Unfit) -> &'static str {
    match unfit {
        Unfit::Invalid { .. } => "revision-invalid",
        Unfit::NoAnswer { .. } => "planner-failed",
        Unfit::OutOfScope { .. } => "out-of-scope",
        Unfit::NotAllowed { .. } => "not-allowed",
        Unfit::Denied { .. } => "denied",
        Unfit::TooCostly { .. } => "too-costly",
        Unfit::LeavesFailure { .. } => "leaves-failure",
        Unfit::Empty => "changes-nothing",
        Unfit::TooManySteps { .. } => "too-many-steps",
        Unfit::NoReviewers => "no-reviewers",
        Unfit::Rejected => "not-approved",
        Unfit::Overdue => "not-approved-in-time",
    }
}

/// Why a revision does not become the plan: a sentence.
fn words(unfit: &Unfit) -> String {
    match unfit {
        Unfit::Invalid { message } => message.to_string(),
        Unfit::NoAnswer { failure } => {
            format!("the planner gave no answer: {} ({})", failure.message, failure.class)
        }
        Unfit::OutOfScope { step } => {
            format!("it touches the step `{step}`, which is outside of its scope")
        }
        Unfit::NotAllowed { step, part, name } => {
            let part = match part {
                Part::Task => "task",
                Part::Tool => "tool",
                Part::Model => "model",
                Part::Workflow => "workflow",
            };
            format!(
                "its step `{step}` uses the {part} `{name}`, which the workflow does not allow to revisions"
            )
        }
        Unfit::Denied { step, name } => {
            format!("its step `{step}` uses `{name}`, which the tenant may not use")
        }
        Unfit::TooCostly { need, left } => {
            format!("what is left to do costs at least {need}, and {left} is left")
        }
        Unfit::LeavesFailure { step } => {
            format!(
                "it leaves the step `{step}` as it is, which has failed: drop, redo or change it"
            )
        }
        Unfit::Empty => "it changes nothing".to_owned(),
        Unfit::TooManySteps { steps } => {
            let max = fairlane_core::plan::STEPS_MAX;
            format!(
                "the plan would have {steps} steps, those that were dropped included; at most {max}"
            )
        }
        Unfit::NoReviewers => {
            "people have to agree to it, and no reviewer pool works for the tenant".to_owned()
        }
        Unfit::Rejected => "people did not agree to it".to_owned(),
        Unfit::Overdue => "nobody decided of it in time".to_owned(),
    }
}
