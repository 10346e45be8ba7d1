//! Calls of models: each by itself, and what they used together.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Timestamp;
use crate::quota::{Amount, Rung};
use crate::residency::Passed;
use crate::view::Part;

/// A call of a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Call {
    pub id: String,
    /// The run, step and attempt that it was made for. Absent if it was the tenant's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    pub model: String,
    /// The tool at which it was made.
    pub endpoint: String,
    /// What the endpoint calls the model.
    pub served_by: String,
    /// What was done because the money was short.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub degraded: Option<Rung>,
    pub status: CallStatus,
    pub began_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    pub tokens: Tokens,
    /// Whether the provider has said what was used.
    pub certain: bool,
    pub cost: Amount,
    /// Set aside for it while it is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Amount>,
    /// Where the endpoint works on what it is sent, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The country whose adequacy let the tenant's data go there. Absent: it did not rest on one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adequate: Option<String>,
    /// The candidates that it did not go to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub passed: Vec<Passed>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CallStatus {
    /// It is under way, or the server was killed under it.
    Open,
    Ended,
}

/// Tokens of one call, or of several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Tokens {
    pub input: u64,
    /// Part of `input` that the provider had in its cache.
    pub cached: u64,
    pub output: u64,
}

/// What a tenant's calls used that began at `starts_at` or later, before `ends_at`, and have ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Usage {
    pub starts_at: Timestamp,
    pub ends_at: Timestamp,
    pub total: Used,
    /// In the order of model, endpoint, who served it and region.
    pub models: Vec<ModelUsage>,
}

/// What calls of a model used that the same endpoint served as the same model in the same region.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ModelUsage {
    pub model: String,
    pub endpoint: String,
    /// What the endpoint calls the model.
    pub served_by: String,
    /// Where the endpoint worked on what it was sent, if that was known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    pub used: Used,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Used {
    pub calls: u64,
    pub tokens: Tokens,
    pub cost: Amount,
    /// Part of `cost` that no provider has confirmed.
    pub uncertain: Amount,
}
