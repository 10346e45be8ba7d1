//! What the operator declares: organisations, tiers, tenants, pools, the valve.
//!
//! A `..Spec` is the body of a `PUT`; the same one twice changes nothing. What is absent takes the default that
//! its field names.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Json;
use crate::quota::OrgBudget;
use crate::residency::{Outage, Residency};

/// Answer to a `PUT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Applied {
    /// False if the declaration already stood.
    pub changed: bool,
    /// Nothing was written: the request said `dry_run=true`. `changed` is then always false.
    #[serde(default)]
    pub dry_run: bool,
}

/// Body of `PUT /v1/orgs/{org}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OrgSpec {
    /// Share against other organisations, 1 to 1,000,000.
    #[serde(default = "default_weight")]
    #[schema(default = 1, minimum = 1, maximum = 1_000_000)]
    pub weight: u32,
    /// Most slots that its tenants may hold together, per pool. Absent: no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cap: Option<u32>,
    /// What its tenants may spend together. Absent: no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<OrgBudget>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Org {
    pub id: String,
    pub weight: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cap: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<OrgBudget>,
}

/// Body of `PUT /v1/tiers/{tier}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TierSpec {
    /// Share of one tenant against others, 1 to 1,000,000.
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub weight: u32,
    /// Most slots that one tenant may hold, per pool.
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub cap: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<Burst>,
    /// Part of a tenant's service that its urgent steps may take before they count as normal.
    #[serde(default = "default_urgent_share")]
    #[schema(default = 500, maximum = 1_000)]
    pub urgent_share_permille: u32,
    /// Most runs of one tenant that may be live at once, at each depth of calls.
    #[serde(default = "default_runs_max")]
    #[schema(default = 1_000_000, minimum = 1)]
    pub runs_max: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sla: Option<Sla>,
    /// Names what its tenants may call and spend. Absent: no bound but those of the tools.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_class: Option<String>,
    /// Who decides what no step names a pool for, and what the platform cannot. Absent: nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reviewer_pool: Option<String>,
    /// The priority class of its tenants' reviews, 0 to 7: 0 is served first.
    #[serde(default = "default_review_class")]
    #[schema(default = 4, maximum = 7)]
    pub review_class: u8,
    /// Where data may be. Absent: anywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_residency: Option<Residency>,
    /// The only tools that may be used. Absent: all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_tools: Option<Vec<String>>,
    /// Tools that may not be used, whatever is allowed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub denied_tools: Vec<String>,
    /// Which candidates of models are meant for its tenants. Absent: those that name the tier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_tier: Option<String>,
    /// What becomes of a step when the endpoint that it would go to is down. Absent: another candidate stands in, and a step waits as long as it takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outage: Option<Outage>,
    /// How many days audit records are kept at least. Absent: for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 36_525)]
    pub audit_retention_days: Option<u32>,
    /// How many days what runs were given and gave is kept, from their end. Absent: for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 36_525)]
    pub payload_retention_days: Option<u32>,
    /// How many days reviews are kept, from the end of their run. Absent: for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 36_525)]
    pub review_retention_days: Option<u32>,
    /// How many days runs are kept, from their end. Absent: for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 36_525)]
    pub run_retention_days: Option<u32>,
    /// Nothing is deleted or erased while it stands, whatever else says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub legal_hold: Option<bool>,
    /// Whether people have to agree before a run changes its plan. Absent: as its workflow says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replan_approval: Option<bool>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Tier {
    pub name: String,
    pub weight: u32,
    pub cap: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<Burst>,
    pub urgent_share_permille: u32,
    pub runs_max: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sla: Option<Sla>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_class: Option<String>,
    /// Who decides what no step names a pool for, and what the platform cannot. Absent: nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reviewer_pool: Option<String>,
    /// The priority class of its tenants' reviews, 0 to 7: 0 is served first.
    #[serde(default = "default_review_class")]
    #[schema(default = 4, maximum = 7)]
    pub review_class: u8,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_residency: Option<Residency>,
    /// Absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_tools: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub denied_tools: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_tier: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outage: Option<Outage>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit_retention_days: Option<u32>,
    /// How many days what runs were given and gave is kept, from their end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload_retention_days: Option<u32>,
    /// How many days reviews are kept, from the end of their run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review_retention_days: Option<u32>,
    /// How many days runs are kept, from their end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_retention_days: Option<u32>,
    /// Nothing is deleted or erased while it stands, whatever else says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub legal_hold: Option<bool>,
    /// Whether people have to agree before a run changes its plan. Absent: as its workflow says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replan_approval: Option<bool>,
}

/// Permission to exceed the cap, paid back by waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Burst {
    /// Slots above the cap.
    pub extra_slots: u32,
    /// Slot time that may be used ahead of the share.
    pub credit_ms: u64,
}

/// A target for the time from submission to the end of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Sla {
    #[schema(minimum = 1, maximum = 1_000)]
    pub percentile_permille: u32,
    pub latency_ms: u64,
}

/// Body of `PUT /v1/tenants/{tenant}`: what differs from the tier.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TenantSpec {
    /// Cannot change later.
    pub org: String,
    pub tier: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub weight: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub cap: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<Burst>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sla: Option<Sla>,
    /// The tier's, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_class: Option<String>,
    /// Who decides what no step names a pool for, and what the platform cannot. Absent: nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reviewer_pool: Option<String>,
    /// Where data may be. Absent: where the tier says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_residency: Option<Residency>,
    /// The only tools that may be used. Absent: what the tier says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_tools: Option<Vec<String>>,
    /// Tools that may not be used, whatever is allowed, besides those of the tier.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub denied_tools: Vec<String>,
    /// Which candidates of models are meant for it. Absent: the tier's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_tier: Option<String>,
    /// What becomes of a step when the endpoint that it would go to is down. Absent: the tier's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outage: Option<Outage>,
    /// How many days audit records are kept at least. Absent: the tier's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 36_525)]
    pub audit_retention_days: Option<u32>,
    /// How many days what runs were given and gave is kept, from their end. Absent: the tier's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 36_525)]
    pub payload_retention_days: Option<u32>,
    /// How many days reviews are kept, from the end of their run. Absent: the tier's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 36_525)]
    pub review_retention_days: Option<u32>,
    /// How many days runs are kept, from their end. Absent: the tier's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 36_525)]
    pub run_retention_days: Option<u32>,
    /// Nothing is deleted or erased while it stands, whatever else says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub legal_hold: Option<bool>,
    /// Whether people have to agree before a run changes its plan. Absent: as its workflow says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replan_approval: Option<bool>,
    /// Steps of a suspended tenant are not dispatched, and its new runs are refused.
    #[serde(default)]
    pub suspended: bool,
    /// A JSON object, readable by expressions as `tenant.attributes`. At most 16 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub attributes: Option<Json>,
}

/// A tenant, with what its tier fills in.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Tenant {
    pub id: String,
    pub org: String,
    pub tier: String,
    /// Where its data is kept.
    #[serde(default)]
    pub region: String,
    /// Version of the context; new runs are pinned to it.
    pub version: u32,
    pub weight: u32,
    pub cap: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<Burst>,
    pub urgent_share_permille: u32,
    pub runs_max: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sla: Option<Sla>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_class: Option<String>,
    /// Who decides what no step names a pool for, and what the platform cannot. Absent: nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reviewer_pool: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_residency: Option<Residency>,
    /// Absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_tools: Option<Vec<String>>,
    /// Those of the tier and its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub denied_tools: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_tier: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outage: Option<Outage>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit_retention_days: Option<u32>,
    /// How many days what runs were given and gave is kept, from their end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload_retention_days: Option<u32>,
    /// How many days reviews are kept, from the end of their run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review_retention_days: Option<u32>,
    /// How many days runs are kept, from their end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_retention_days: Option<u32>,
    /// Nothing is deleted or erased while it stands, whatever else says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub legal_hold: Option<bool>,
    /// Whether people have to agree before a run changes its plan. Absent: as its workflow says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replan_approval: Option<bool>,
    pub suspended: bool,
    #[schema(value_type = Object)]
    pub attributes: Json,
}

/// Body of `PUT /v1/platform/pools/{pool}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PoolSpec {
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub slots: u32,
    #[serde(default)]
    pub policy: Policy,
    /// What a dispatch is charged before its real use is known.
    #[serde(default = "default_quantum_ms")]
    #[schema(default = 10)]
    pub quantum_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub long: Option<LongSteps>,
    /// A lease not renewed by a heartbeat for this long is lost.
    #[serde(default = "default_lease_ms")]
    #[schema(default = 30_000)]
    pub lease_ms: u64,
    /// After waiting this long a step of a lower lane gets a turn before higher ones.
    #[serde(default = "default_age_guard_ms")]
    #[schema(default = 60_000)]
    pub age_guard_ms: u64,
    /// Sum of the burst credits that may be in use at once.
    #[serde(default = "default_burst_credit_max_ms")]
    #[schema(default = 600_000)]
    pub burst_credit_max_ms: u64,
    /// The tasks that its workers know. Absent: any task is accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tasks: Option<Vec<String>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Pool {
    pub name: String,
    /// The region of this server that it is in.
    #[serde(default)]
    pub region: String,
    pub slots: u32,
    pub policy: Policy,
    pub quantum_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub long: Option<LongSteps>,
    pub lease_ms: u64,
    pub age_guard_ms: u64,
    pub burst_credit_max_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tasks: Option<Vec<String>>,
    /// Fewer than `slots` while the valve shrinks dispatch.
    pub dispatchable: u32,
    pub in_flight: u32,
    /// Steps that are ready and wait for a slot.
    pub waiting: u64,
    pub workers: u32,
    /// Slots that connected workers offer.
    pub offered: u32,
}

/// How a pool shares its slots.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
#[schema(as = SharingPolicy)]
pub enum Policy {
    /// Hierarchical start-time fair queueing with caps, lanes and burst.
    #[default]
    Fair,
    /// First in, first out over all tenants, no caps.
    Fifo,
    /// One step per tenant in turn, no caps.
    RoundRobin,
    /// Weighted between tenants; no caps, no lanes.
    Weighted,
}

/// Bounds the part of the pool that long steps may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LongSteps {
    /// A step is long if its expected duration is above this.
    pub over_ms: u64,
    /// Part of the slots; at least one slot.
    #[schema(minimum = 1, maximum = 1_000)]
    pub share_permille: u32,
}

/// Body of `PUT /v1/platform/valve`. Past `soft` the over-demanding are refused first, past `hard` everyone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ValveSpec {
    pub runs_soft: u64,
    pub runs_hard: u64,
    /// Bytes of waiting inputs.
    pub bytes_soft: u64,
    pub bytes_hard: u64,
    /// When a commit takes longer than this, fewer slots are dispatchable.
    #[serde(default = "default_commit_slow_ms")]
    #[schema(default = 1_000)]
    pub commit_slow_ms: u64,
}

/// The valve: thresholds and what it counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Valve {
    pub open: bool,
    pub live_runs: u64,
    pub runs_soft: u64,
    pub runs_hard: u64,
    pub waiting_bytes: u64,
    pub bytes_soft: u64,
    pub bytes_hard: u64,
    /// Submissions refused since the start.
    pub refused: u64,
}

const fn default_review_class() -> u8 {
    4
}

const fn default_weight() -> u32 {
    1
}

const fn default_urgent_share() -> u32 {
    500
}

const fn default_runs_max() -> u32 {
    1_000_000
}

const fn default_quantum_ms() -> u64 {
    10
}

const fn default_lease_ms() -> u64 {
    30_000
}

const fn default_age_guard_ms() -> u64 {
    60_000
}

const fn default_burst_credit_max_ms() -> u64 {
    600_000
}

const fn default_commit_slow_ms() -> u64 {
    1_000
}
