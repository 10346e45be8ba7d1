//! What the operator and a tenant can see of the live state: readings and the decision log.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Json, Timestamp};

/// One tenant's numbers over all pools.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Readings {
    pub tenant: String,
    pub org: String,
    pub tier: String,
    pub weight: u32,
    pub cap: u32,
    pub suspended: bool,
    /// Slots held now.
    pub slots: u32,
    /// Those of them that are above the cap.
    pub burst_slots: u32,
    /// Steps that are ready and wait for a slot.
    pub waiting: u32,
    pub live_runs: u64,
    pub completed: u64,
    pub failed: u64,
    /// Slot time used so far.
    pub service_us: u64,
    /// Slot time used ahead of its share.
    pub debt_us: u64,
    /// Submission to end over the last minutes. Absent if no run ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<Latency>,
    pub sla_violations: u64,
    /// Requests with its keys that named another tenant in the path or in the header `x-fairlane-tenant`, existing or not,
    /// since the server started. For an operator only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cross_tenant_attempts: Option<u64>,
}

/// Percentiles within 10 % of the true value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Latency {
    pub count: u64,
    pub p50_us: u64,
    pub p95_us: u64,
    pub p99_us: u64,
    pub max_us: u64,
}

/// An entry of the audit log: what was decided, and what was done by whom.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Decision {
    /// Absent for decisions about the platform.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    pub sequence: u64,
    pub at: Timestamp,
    /// Stable code, such as `cap-reached`.
    pub code: String,
    /// Who did it: `person:<id>` or `key:<id>`. Absent: the platform itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    #[schema(value_type = Object)]
    pub facts: Json,
}

/// Answer of `/healthz` and `/readyz`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// `ok`, or what is wrong.
    pub status: String,
    pub version: String,
}
