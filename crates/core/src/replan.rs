//! Changing the plan of a run that is under way: what a workflow declares of it, what a planner answers, and the record.
//!
//! A planner (a worker, a model, a person) is a step like any other: it waits at the same gates and spends from the same
//! accounts. What it answers is a proposal; the cell alone decides whether it becomes the plan (see `cell::replan`).

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::id::{
    ModelName, PersonId, PoolName, RunId, StepName, TaskName, TenantId, ToolName, WorkflowName,
};
use crate::money::Nano;
use crate::plan::{Step, StepIndex, StepKind, Workflow};
use crate::review::{Digest, Terms};
use crate::row::Failure;
use crate::time::Time;

/// Most replans that a workflow may allow one run.
pub const REPLANS_MAX: u32 = 20;
/// Where the author gives no number.
pub const REPLANS_DEFAULT: u32 = 2;

/// Why a plan is looked at again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// A step has failed for good.
    Failed,
    /// A step's output did not pass its check.
    Rejected,
    /// A step is less sure of its output than it must be.
    LowConfidence,
    /// A step says that what it was given cannot be true.
    Contradiction,
    /// A step cannot be paid for.
    Budget,
}

impl Trigger {
    pub const ALL: [Self; 5] =
        [Self::Failed, Self::Rejected, Self::LowConfidence, Self::Contradiction, Self::Budget];

    pub const fn code(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Rejected => "rejected",
            Self::LowConfidence => "low_confidence",
            Self::Contradiction => "contradiction",
            Self::Budget => "budget",
        }
    }
}

/// Which steps a revision may touch. New ones it may always add.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// The step that triggered it, and all that come after.
    #[default]
    Downstream,
    All,
    Steps(BTreeSet<StepName>),
}

/// What steps of a revision may do. Waits and reviews they may always have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parts {
    pub tasks: BTreeSet<(PoolName, TaskName)>,
    pub tools: BTreeSet<ToolName>,
    pub models: BTreeSet<ModelName>,
    pub workflows: BTreeSet<WorkflowName>,
}

impl Parts {
    /// Adds all that a step does.
    pub fn add(&mut self, step: &Step) {
        match &step.kind {
            StepKind::Task { task, pool } => {
                self.tasks.insert((pool.clone(), task.clone()));
            }
            StepKind::Model(call) => {
                self.models.insert(call.model.clone());
            }
            StepKind::Call { workflow, .. } => {
                self.workflows.insert(workflow.clone());
            }
            StepKind::Tool | StepKind::Wait(_) | StepKind::Review(_) => {}
        }
        if let Some(undo) = &step.compensate {
            self.tasks.insert((undo.pool.clone(), undo.task.clone()));
        }
        self.tools.extend(step.tool.clone());
    }

    /// What of a step is not among them: what it is, and its name.
    pub fn lacks(&self, step: &Step) -> Option<(Part, Arc<str>)> {
        let lacks_task = |pool: &PoolName, task: &TaskName| {
            let is_known = self.tasks.contains(&(pool.clone(), task.clone()));
            (!is_known).then(|| (Part::Task, Arc::from(task.as_str())))
        };
        let of_kind = match &step.kind {
            StepKind::Task { task, pool } => lacks_task(pool, task),
            StepKind::Model(call) => (!self.models.contains(&call.model))
                .then(|| (Part::Model, Arc::from(call.model.as_str()))),
            StepKind::Call { workflow, .. } => (!self.workflows.contains(workflow))
                .then(|| (Part::Workflow, Arc::from(workflow.as_str()))),
            StepKind::Tool | StepKind::Wait(_) | StepKind::Review(_) => None,
        };
        of_kind
            .or_else(|| {
                step.compensate.as_ref().and_then(|undo| lacks_task(&undo.pool, &undo.task))
            })
            .or_else(|| {
                let tool = step.tool.as_ref().filter(|tool| !self.tools.contains(*tool))?;
                Some((Part::Tool, Arc::from(tool.as_str())))
            })
    }
}

/// A kind of thing that a step uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    Task,
    Tool,
    Model,
    Workflow,
}

/// What a workflow declares of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Replanning {
    pub on: BTreeSet<Trigger>,
    /// Who plans. Its name is given to it when it is asked.
    pub planner: Step,
    pub scope: Scope,
    /// How often in one run; at least 1, at most [`REPLANS_MAX`].
    pub max: u32,
    /// What the workflow's own steps do, and what it allows besides.
    pub parts: Parts,
    /// People have to agree to every revision.
    pub approval: Option<Arc<Terms>>,
}

/// How the plan of a run differs in kind from one that was declared.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revised {
    /// How often it was looked at again; 0: it is as it was declared.
    pub replans: u32,
    /// Steps that are no part of it any more. Their places stay, since rows name steps by place.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub dropped: BTreeSet<StepIndex>,
    /// Steps that plan.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub planners: BTreeSet<StepIndex>,
}

impl Revised {
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }
}

/// What a planner has answered, read and checked as a plan: expressions read steps before theirs only, nothing waits for
/// itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Revision {
    /// The plan as it would be. Steps keep their places; new ones follow.
    pub plan: Arc<Workflow>,
    pub reason: Arc<str>,
    pub added: BTreeSet<StepIndex>,
    /// Steps with another definition, which are done again if they have begun.
    pub changed: BTreeSet<StepIndex>,
    pub dropped: BTreeSet<StepIndex>,
    pub redo: BTreeSet<StepIndex>,
    pub distrust: BTreeSet<StepIndex>,
    /// Of the answer as it came.
    pub digest: Digest,
}

/// Why a revision does not become the plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unfit {
    /// It cannot be read, or is no plan: a cycle, a step that is not there.
    Invalid { message: Arc<str> },
    /// The planner gave no answer.
    NoAnswer { failure: Failure },
    /// The step is outside of the scope.
    OutOfScope { step: StepName },
    /// The workflow does not allow it.
    NotAllowed { step: StepName, part: Part, name: Arc<str> },
    /// The tenant may not use it.
    Denied { step: StepName, name: Arc<str> },
    /// It costs more than there is.
    TooCostly { need: Nano, left: Nano },
    /// The step that has failed would stay as it is.
    LeavesFailure { step: StepName },
    /// It changes nothing.
    Empty,
    /// There would be too many steps.
    TooManySteps { steps: u32 },
    /// People have to agree, and nobody works for the tenant.
    NoReviewers,
    /// People did not agree.
    Rejected,
    /// Nobody decided in time.
    Overdue,
}

/// What becomes of a replan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Accepted,
    Refused(Unfit),
    /// The run ended before.
    Cancelled,
}

/// What a revision does to a plan, by the names of steps, each list in the plan's order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diff {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub added: Vec<StepName>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changed: Vec<StepName>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dropped: Vec<StepName>,
    /// Done again, though it was done or under way.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub redone: Vec<StepName>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub distrusted: Vec<StepName>,
    /// Done, trusted, and not done again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<StepName>,
}

/// A replan of a run, from when a planner is asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReplanRow {
    pub tenant: TenantId,
    pub run: RunId,
    /// 1 for the first of the run.
    pub number: u32,
    pub trigger: Trigger,
    /// The step that triggered it.
    pub step: StepIndex,
    /// What was wrong with it.
    pub failure: Failure,
    pub planner: StepIndex,
    pub began: Time,
    pub ended: Option<Time>,
    /// `None`: nobody has decided. Accepted and not ended: steps that the revision touches are being stopped.
    pub verdict: Option<Verdict>,
    /// What the planner says.
    pub reason: Option<Arc<str>>,
    /// Who has planned, if people did.
    pub planned_by: Vec<PersonId>,
    /// Who has agreed to the revision, where that is asked for. Nobody agrees to what they have planned.
    pub approved_by: Vec<PersonId>,
    pub diff: Diff,
    /// The plan of the run since then.
    pub plan: Arc<Workflow>,
}

/// How sure a step is of its output, and how sure it has to be, in thousandths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confidence {
    pub permille: u32,
    pub least_permille: u32,
}

impl Confidence {
    pub const fn is_low(self) -> bool {
        self.permille < self.least_permille
    }
}

/// How far the output of a step can be relied upon.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Trust {
    /// A rule or a person has checked it.
    Verified,
    /// Made from what can be relied upon.
    #[default]
    Derived,
    /// Something that came later puts it in doubt, or something that it was made from.
    Suspect,
}
