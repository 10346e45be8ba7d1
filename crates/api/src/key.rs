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
    /// For role `worker` only: the tenants whose steps it may be given. Absent or empty: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenants: Option<Vec<String>>,
    /// For role `worker` only: the region in which the worker is. Its leases are those of that region; needed on a server of
    /// several regions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// For people: the key is of whoever signs in at the identity provider and is said to be that. It has no secret then. Not
    /// for role `worker`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sign_in: Option<SignIn>,
    /// Most requests a second with the key; ten times as many at once. 1 to 1,000,000; absent: as many as come, up to what all
    /// keys of a tenant may send together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_second: Option<u32>,
    /// From then on the key opens nothing. Absent: it does not expire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// For people: what the key is for. At most 200 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

impl NewKey {
    /// One of that role, of which nothing else is said.
    pub const fn of(role: Role) -> Self {
        Self {
            role,
            tenant: None,
            person: None,
            pools: None,
            tenants: None,
            region: None,
            sign_in: None,
            requests_per_second: None,
            expires_at: None,
            label: None,
        }
    }
}

/// Something that the identity provider says of people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignIn {
    /// The name of a claim, such as `email`, `sub` or `groups`; members of objects with dots between, such as
    /// `realm_access.roles`. At most 200 bytes. `email` counts only where the provider has verified it.
    pub claim: String,
    /// What it is, or has among others. At most 200 bytes.
    pub value: String,
}

/// Answer to `GET /v1/sign-in`: where people sign in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SignInAt {
    /// Absent: nobody signs in, and there are API keys only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<IdentityProvider>,
}

/// An identity provider, as `fairlane login` uses it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct IdentityProvider {
    /// Its description is at `/.well-known/openid-configuration` below it.
    pub issuer: String,
    /// Who Fairlane's command line is there.
    pub client_id: String,
    /// What it asks for.
    pub scopes: String,
}

/// Answer to `GET /v1/me`: who asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Me {
    /// The one person who asks, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<String>,
    /// The keys that the credential opens. An API key opens itself; who has signed in may have several.
    pub keys: Vec<Key>,
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
    /// The tenants whose steps a worker may be given. Absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenants: Option<Vec<String>>,
    /// For role `worker` only: the region in which the worker is. Its leases are those of that region; needed on a server of
    /// several regions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Whose it is, of those who sign in. Absent: whoever has its secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sign_in: Option<SignIn>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_second: Option<u32>,
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
    /// The whole credential, for `Authorization: Bearer`. It is not stored and cannot be shown again. Absent: it is of who signs
    /// in.
    #[serde(default, skip_serializing_if = "String::is_empty")]
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
