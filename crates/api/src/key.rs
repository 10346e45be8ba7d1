//! API keys. The secret is shown once, when the key is made.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Timestamp;

/// What a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything.
    Operator,
    /// The runs and readings of one tenant.
    Tenant,
    /// The same, to read and not to change.
    Viewer,
    /// The audit log of one tenant, and nothing else.
    Auditor,
    /// The worker exchange.
    Worker,
    /// The reviews that one person may decide.
    Reviewer,
}

/// Body of `POST /v1/platform/keys`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewKey {
    pub role: Role,
    /// For the roles `tenant`, `viewer` and `auditor`, and only there: the tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// For role `reviewer`, and needed there: the person. For role `tenant`: who uses the key, if that is one person, who
    /// then decides none of the reviews of the runs that it submits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<String>,
    /// For role `worker` only: the pools that it may serve. Absent or empty: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pools: Option<Vec<String>>,
    /// For role `worker` only: the region in which the worker is. Its leases are those of that region; needed on a server of
    /// several regions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// From then on the key opens nothing. Absent: it does not expire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// For people: what the key is for. At most 200 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

/// A key without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Key {
    pub id: String,
    pub role: Role,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pools: Option<Vec<String>>,
    /// For role `worker` only: the region in which the worker is. Its leases are those of that region; needed on a server of
    /// several regions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    pub label: String,
    pub created_at: Timestamp,
    /// Absent: it does not expire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// Answer to `POST /v1/platform/keys`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreatedKey {
    pub key: Key,
    /// The whole credential, for `Authorization: Bearer`. It is not stored and cannot be shown again.
    pub secret: String,
}

/// The root key that wraps the keys of tenants, by a name that tells nothing of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RootKey {
    /// 16 hexadecimal digits.
    pub id: String,
    pub source: RootKeySource,
}

/// Where the server has its root key from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RootKeySource {
    /// The server can make a new one.
    File,
    /// Whoever sets it makes a new one.
    Environment,
}
