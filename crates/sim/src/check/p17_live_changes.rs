//! P17: a suspension or a pause acts on what waits already: from its place in the stream on, nothing of the tenant or the run
//! is dispatched, and nothing new of a suspended tenant comes in. Lowered caps are watched by `p01_caps`, which takes the
//! caps of that moment; raised ones by `p04_work_conservation`.

use fairlane_core::cell::change::Change;
use fairlane_core::row::{Failure, Instance, Part, RunKey, RunRow, RunStatus, StepState};
use fairlane_core::time::Time;

use super::declared::Declared;
use crate::rows::Rows;
use crate::violation::{Verdict, holds};

const PROMISE: &str = "P17 live change";

/// A step of the run could not be paid for in the turn of that time, its prompt was too long, or its tool is denied for good; or one of a run that called
/// it, or of another run that the same step has called.
fn is_short(run: &RunRow, at: Time, rows: &Rows) -> bool {
    let is_of_caller = run.parent.as_ref().is_some_and(|parent| {
        let key = RunKey { tenant: run.key.tenant.clone(), run: parent.run };
        let whole = Instance { step: parent.instance.step, part: Part::Whole };
        let step = rows.step(&key, whole).filter(|step| step.since == at);
        let has_failed = step.is_some_and(
            |step| matches!(&step.state, StepState::Failed { failure } if says_short(failure)),
        );
        has_failed || rows.runs.get(&key).is_some_and(|caller| is_short(caller, at, rows))
    });
    run.money.halt.is_some_and(|halt| halt.since == at)
        || run.failure.as_ref().is_some_and(says_short)
        || is_of_caller
}

fn says_short(failure: &Failure) -> bool {
    let mut classes = ["budget-exhausted", "prompt-too-long", "tool-denied"].into_iter();
    classes.any(|class| &*failure.class == class || failure.message.contains(class))
}

/// The log says later in the turn that a step of the run had no money, and what followed from that.
fn is_short_later(run: &RunRow, later: &[Change]) -> bool {
    later.iter().any(|change| match change {
        Change::Decision(decision) if &*decision.code == "budget-short" => {
            let facts: serde_json::Value =
                serde_json::from_str(&decision.facts).unwrap_or_default();
            decision.tenant.as_ref() == Some(&run.key.tenant)
                && facts["run"] == run.key.run.to_string()
        }
        _ => false,
    })
}

/// `later`: the changes of the turn after this one.
pub(crate) fn follow(
    change: &Change,
    later: &[Change],
    declared: &Declared,
    rows: &Rows,
) -> Verdict {
    match change {
        Change::Step(step) if matches!(step.state, StepState::Leased { .. }) => {
            let context = declared.contexts.get(&step.key.tenant);
            holds(context.is_some_and(|context| !context.suspended), PROMISE, || {
                format!("{step:?} is dispatched for a tenant of {context:?}")
            })?;
            // Dispatch is the last thing in a turn, so the run's row after the turn is the one that counted; unless another
            // step of the run was offered a slot then that it had no money for.
            let run = rows.runs.get(&step.key);
            let status = run.map(|run| run.status);
            let is_short = run
                .is_some_and(|run| is_short(run, step.since, rows) || is_short_later(run, later));
            let may_run =
                is_short || matches!(status, Some(RunStatus::Running | RunStatus::Compensating));
            holds(may_run, PROMISE, || {
                format!("{step:?} is dispatched in a run that is {status:?}")
            })
        }
        Change::Run(run)
            if run.input.is_some() && run.parent.is_none() && run.schedule.is_none() =>
        {
            let context = declared.contexts.get(&run.key.tenant);
            holds(context.is_some_and(|context| !context.suspended), PROMISE, || {
                format!("{:?} comes in for a tenant of {context:?}", run.key)
            })
        }
        _ => Ok(()),
    }
}
