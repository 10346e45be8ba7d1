//! Runs: what is submitted and what comes back.

use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::quota::RunMoney;
use crate::view::Step;
use crate::{Json, Problem, Timestamp};

/// A tenant's priority for a run. Never changes the order between tenants.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Lane {
    Urgent,
    #[default]
    Normal,
    Background,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    Running,
    /// Nothing new is dispatched; what runs, ends.
    Paused,
    /// Failed or cancelled: steps that workers still hold are told to stop, and their slots are awaited.
    Stopping,
    /// Failed or cancelled, and undoing completed steps in reverse order.
    Compensating,
    Completed,
    Failed,
    Cancelled,
}

impl RunStatus {
    pub const fn is_ended(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

/// Body of `POST /v1/tenants/{tenant}/runs`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Submission {
    pub workflow: String,
    /// Absent: the newest version at that moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lane: Option<Lane>,
    /// Any JSON value; `null` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    pub input: Option<Json>,
}

/// One entry of [`Batch`]: a submission with its idempotency key, which a single one has in a header.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BatchEntry {
    pub workflow: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lane: Option<Lane>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    pub input: Option<Json>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
}

/// Body of `POST /v1/tenants/{tenant}/runs:batch`: at most 1,000 submissions, each with its own result.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    pub runs: Vec<BatchEntry>,
}

/// Answer to [`Batch`], in its order.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct BatchAnswer {
    pub results: Vec<BatchResult>,
}

/// What became of one submission: the run, or the problem.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct BatchResult {
    /// 201 new, 200 existing, or the problem's.
    pub status: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

/// Answer to a submission.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Submitted {
    pub run: String,
    /// The idempotency key had been used for the same request.
    pub existing: bool,
    /// The status when the answer was sent: with `wait_ms` the run has usually ended.
    pub status: RunStatus,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Timestamp>,
    /// With `wait_ms`, if the run has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// With `wait_ms`, if the run has completed: the outputs of the steps that no other step waits for, by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub output: Option<Json>,
}

/// A run without its steps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Run {
    pub id: String,
    pub workflow: String,
    pub version: u32,
    pub lane: Lane,
    pub status: RunStatus,
    pub created_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// The run whose `call` step started this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// The schedule that started it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    /// Absent if it has no budget and has cost nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub money: Option<RunMoney>,
    /// What it was given and gave, and its steps, were kept for their time, and are gone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub payloads_expired: bool,
    /// Raised by each change that a client can see.
    pub revision: u64,
}

/// A run with every step of its plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RunDetail {
    pub run: Run,
    pub steps: Vec<Step>,
    /// How its plan was looked at again, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replans: Vec<Replan>,
}

/// A look at the plan of a run under way: what made it necessary, who planned, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Replan {
    /// 1 for the first of the run.
    pub number: u32,
    /// `failed`, `rejected`, `low_confidence`, `contradiction` or `budget`.
    pub trigger: String,
    /// The step that it began with.
    pub step: String,
    /// What was wrong with it.
    pub failure: Failure,
    /// The step that plans.
    pub planner: String,
    pub began_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    pub verdict: ReplanVerdict,
    /// Why a revision was refused, as a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// A stable code for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// What the planner says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who has agreed, where people have to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approved_by: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub added: Vec<String>,
    /// Steps that are defined in another way.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changed: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dropped: Vec<String>,
    /// Steps that had begun, and are done again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub redone: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub distrusted: Vec<String>,
    /// Steps that were done and are not done again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<String>,
}

/// What becomes of a replan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReplanVerdict {
    /// A planner is at work, or its revision is being judged.
    Open,
    /// The revision is the plan.
    Accepted,
    Refused,
    /// The run ended before.
    Cancelled,
}

/// Why a step or a run failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Failure {
    /// Stable code, such as `attempt-timeout`, or the class that the worker reported.
    pub class: String,
    pub message: String,
    /// The step that failed, for a run's failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
}

/// Answer to `cancel`, `pause`, `resume`, `retry`, `resolve` and to a signal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Commanded {
    pub run: String,
    pub status: RunStatus,
}

/// Body of `POST .../retry`; may be left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// Run this step and all that follow it again. Absent: the steps that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
}

/// Body of `POST .../resolve`: what a person decides of a run that is halted for want of money. Either `step` and
/// `output`, or `cheaper_model`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Resolve {
    /// The step that could not be paid for. It ends with `output`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// Any JSON value that the step's schema allows.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(value_type = Option<serde_json::Value>)]
    pub output: Option<Json>,
    /// From now on cheaper candidates of models may stand in, whatever the ladder of the tenant's class says.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cheaper_model: bool,
}

/// `null` is a value too.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Json>, D::Error> {
    Json::deserialize(deserializer).map(Some)
}

/// One change of a run, as the event stream sends it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Event {
    pub run: String,
    pub revision: u64,
    pub status: RunStatus,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// The step that changed, if it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<EventStep>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EventStep {
    pub name: String,
    pub part: crate::view::Part,
    pub phase: crate::view::Phase,
}
