//! The worker protocol: one batched long poll that reports, renews and asks for leases.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::quota::Amount;
use crate::{Json, Timestamp};

/// Body of `POST /v1/worker/exchange`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Exchange {
    /// The worker process as it names itself; unique among the workers of the pool.
    pub worker: String,
    pub pool: String,
    /// The region in which it is. Its key says so: needed only with an operator's key, on a server of several regions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Leases that the worker can hold at once.
    #[schema(maximum = 10_000)]
    pub slots: u32,
    /// Leases that it wants now.
    #[serde(default)]
    #[schema(maximum = 10_000)]
    pub want: u32,
    /// How long to wait if there is nothing to lease. The answer comes earlier if there is.
    #[serde(default)]
    #[schema(maximum = 60_000)]
    pub wait_ms: u64,
    /// At most 10,000.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub report: Vec<Report>,
}

/// News of one lease: exactly one of `completed`, `failed` and `heartbeat`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Report {
    pub lease: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed: Option<Completed>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<Failed>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat: Option<Heartbeat>,
}

/// The attempt succeeded.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Completed {
    /// Any JSON value; `null` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    pub output: Option<Json>,
    /// What the attempt really cost. Absent: what was held for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Amount>,
}

/// The attempt failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Failed {
    /// A short stable name for the kind of failure, such as `bureau-unavailable`.
    pub class: String,
    /// For people; at most 4 KiB are kept.
    #[serde(default)]
    pub message: String,
    /// False if another attempt cannot succeed.
    #[serde(default = "default_retryable")]
    #[schema(default = true)]
    pub retryable: bool,
    /// What the attempt really cost. Absent: what was held for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Amount>,
    /// The provider of the step's tool asked to be left alone for so long (HTTP 429, `Retry-After`): no tenant calls it
    /// until then, and after that one call at a time, until one is served. At most a day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 86_400_000)]
    pub retry_after_ms: Option<u64>,
    /// The provider did not answer, or answered with an error of its own (HTTP 5xx): the tool's breaker counts it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub provider_down: bool,
    /// Steps before this one whose outputs cannot be true, as this step sees it: they are in doubt from now on. The class is
    /// `contradiction` then, and there is no further attempt.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contradicts: Vec<String>,
}

/// Still at work: renews the lease.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Heartbeat {}

impl Report {
    pub fn completed(lease: impl Into<String>, output: Json) -> Self {
        let completed = Some(Completed { output: Some(output), cost: None });
        Self { lease: lease.into(), completed, ..Self::default() }
    }

    pub fn failed(lease: impl Into<String>, failed: Failed) -> Self {
        Self { lease: lease.into(), failed: Some(failed), ..Self::default() }
    }

    pub fn heartbeat(lease: impl Into<String>) -> Self {
        Self { lease: lease.into(), heartbeat: Some(Heartbeat {}), ..Self::default() }
    }
}

/// Answer to [`Exchange`].
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct Exchanged {
    /// What became of each report, in their order.
    pub accepted: Vec<Acceptance>,
    pub leases: Vec<Lease>,
    /// Leases of this worker that it should stop working on. Each is named until the worker reports it in
    /// any way; its slot stays taken until then or until the lease runs out.
    pub revoked: Vec<String>,
}

/// What became of one report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Acceptance {
    pub lease: String,
    pub receipt: Receipt,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// What was wrong with the report, and what would be right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Receipt {
    /// The outcome is recorded, once.
    Recorded,
    /// The lease is renewed.
    Renewed,
    /// Stop: the lease is held but its work is not wanted any more.
    Revoked,
    /// Nothing was recorded; `reason` says why.
    Stale,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// No such lease, or its run has ended and is forgotten, or the key may not serve its pool.
    Unknown,
    /// The step already ended; its outcome stands.
    Ended,
    /// The lease ran out, and the step was dispatched again or waits to be.
    Superseded,
    /// Another worker holds it.
    NotHolder,
    /// The output breaks the step's schema: the attempt is recorded as failed.
    OutputInvalid,
    /// The output is larger than allowed: the attempt is recorded as failed.
    OutputTooLarge,
    /// `contradicts` names a step that the run has not; `detail` says which it has. The lease is as it was.
    UnknownStep,
}

/// The right and the duty to run one attempt of a step.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Lease {
    /// Names the lease in reports. Opaque.
    pub lease: String,
    pub tenant: String,
    pub run: String,
    pub workflow: String,
    pub version: u32,
    pub step: String,
    pub part: crate::view::Part,
    pub task: String,
    /// 1 for the first.
    pub attempt: u32,
    /// The same over all attempts of the step: give it to the systems that the task calls.
    pub idempotency_key: String,
    /// The inputs that the step names in `with`, as an object.
    #[schema(value_type = Object)]
    pub input: Json,
    pub context: Context,
    /// Hard end of the attempt.
    pub deadline: Timestamp,
    /// A heartbeat is due within this.
    pub renew_within_ms: u64,
    /// How the attempt calls models.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<GatewayAccess>,
    /// The span of the attempt, as the header `traceparent` of W3C Trace Context has it: spans of the worker's own hang on it. Only
    /// if the run is followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

/// Calls of models that count to the attempt's run.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct GatewayAccess {
    /// The API key for `/v1/chat/completions` and `/v1/embeddings` of this server. It is good as long as the lease is.
    pub token: String,
}

impl std::fmt::Debug for GatewayAccess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("GatewayAccess")
    }
}

/// What a worker may know of the tenant that it works for.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Context {
    pub version: u32,
    pub org: String,
    pub tier: String,
    #[schema(value_type = Object)]
    pub attributes: Json,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

const fn default_retryable() -> bool {
    true
}
