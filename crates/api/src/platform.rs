//! The decision log, and probes.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Json, Timestamp};

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
