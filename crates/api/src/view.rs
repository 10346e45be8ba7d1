//! The steps of a run as the control plane sees them, with what each waits for.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Timestamp;
use crate::quota::Rung;
use crate::residency::Passed;
use crate::run::Failure;
use crate::usage::Call;

/// One instance of a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Step {
    pub name: String,
    pub part: Part,
    pub phase: Phase,
    /// Attempts begun so far.
    pub attempt: u32,
    /// When it entered the phase. Absent for a step of an ended run that never began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits: Option<Waiting>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// How far its output can be relied upon, if it is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust: Option<Trust>,
    /// The call of a model that is under way for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<Route>,
    /// Its last call of a model. Of a run with thousands of them, only the newest are looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<Call>,
}

/// The way that a call of a model goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Route {
    pub model: String,
    /// The tool at which it is made.
    pub endpoint: String,
    /// What the endpoint calls the model.
    pub served_by: String,
    /// What was done because the money was short.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub degraded: Option<Rung>,
    /// Tokens that go in, as the server counted them.
    pub input_tokens: u32,
    /// Most tokens that may come out.
    pub max_tokens: u32,
    /// Where the endpoint works on what it is sent, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The country whose adequacy lets the tenant's data go there. Absent: it does not rest on one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adequate: Option<String>,
    /// The candidates that it does not go to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub passed: Vec<Passed>,
}

/// Which instance of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// The step itself.
    Whole,
    /// Undoes it.
    Compensation,
    /// The item of a `map` at this position.
    Item(u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Steps before it have not ended.
    Pending,
    /// An expression of it is being evaluated.
    Evaluating,
    /// Waits at a gate.
    Ready,
    /// A worker holds the lease.
    Leased,
    /// Waits for its next attempt.
    Backoff,
    Sleeping,
    /// Waits for a signal.
    Listening,
    /// Its child runs.
    Calling,
    /// People decide.
    Reviewing,
    /// Its items are under way.
    Mapping,
    /// It cannot stand as it is, and a planner decides what becomes of it.
    Disputed,
    /// It has planned, and its revision is being judged.
    Proposed,
    Done,
    Skipped,
    Failed,
    Cancelled,
}

impl Phase {
    /// The step will not change any more, unless its run is retried.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Done | Self::Skipped | Self::Failed | Self::Cancelled)
    }
}

/// How far the output of a step can be relied upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Trust {
    /// A check or a person has looked at it.
    Verified,
    /// Made from what can be relied upon.
    Derived,
    /// A later step puts it in doubt, or something that it was made from.
    Suspect,
}

/// What a step waits for. The fields that are present depend on `on`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Waiting {
    pub on: WaitingOn,
    /// What would let it through, as a sentence.
    pub needs: String,
    /// The gate that holds it, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<Gate>,
    /// The latest moment at which this wait ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// When the gate opens: a budget or a limit is new then, or has room. Others may come first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opens_at: Option<Timestamp>,
    /// The steps before it that have not ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review: Option<String>,
    /// The priority class of the review; 0 is served first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<u8>,
    /// Open reviews that come before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
    /// The child run of a `call`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub child: Option<String>,
    /// Items done and in all, of a `map`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items_done: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items: Option<u32>,
    /// Why the last attempt failed, while the next one is waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// The candidates of its model, at the gate `route`: why none of them can serve it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub passed: Vec<Passed>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WaitingOn {
    /// Steps before it.
    Steps,
    /// The evaluation of an expression.
    Evaluation,
    Gate,
    /// A worker that holds the lease.
    Worker,
    /// The next attempt.
    Backoff,
    Time,
    Signal,
    /// The child run of a `call`.
    Child,
    /// Items of a `map`.
    Items,
    /// The run is paused.
    Resume,
    /// The run is paused, since a step of it could not be paid for.
    Money,
    /// People decide: `review`, `pool`, `class`, `before` and `until`.
    Review,
    /// A change of the plan: `steps` names who plans, or what has to stop first.
    Replan,
}

/// A check before dispatch, in the order in which they are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Gate {
    Route,
    Policy,
    Budget,
    Limit,
    Slot,
}
