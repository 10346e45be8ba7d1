//! `/v1/catalog/policies`: who may do what, in Cedar.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Timestamp;

/// Body of `PUT /v1/catalog/policies/{policy}`. The same text can be sent as `text/plain`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicySpec {
    /// One or more statements of Cedar, at most 64 KiB.
    #[schema(
        example = "forbid (principal, action == Action::\"call_tool\", resource == Tool::\"mail\") when { principal.tier == \"free\" };"
    )]
    pub text: String,
}

/// A policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Policy {
    pub name: String,
    /// Counts from 1. Of what the product ships: 0.
    pub version: u32,
    /// When that version was declared; absent for what the product ships.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub declared: Option<Timestamp>,
    /// Part of the product. `base` is always in force; `default` until a policy of that name is declared.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shipped: bool,
    pub text: String,
    /// The versions that are kept, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub versions: Vec<PolicyVersion>,
}

/// A version of a policy, apart from its text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicyVersion {
    pub version: u32,
    pub declared: Timestamp,
}

/// Answer to the `PUT` or `DELETE` of a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AppliedPolicy {
    /// False if the declaration already stood.
    pub changed: bool,
    /// Nothing was written: the request said `dry_run=true`. `changed` is then always false.
    #[serde(default)]
    pub dry_run: bool,
    /// Of a dry run: what it would do to the work that is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<PolicyEffect>,
}

/// What a change of policies would do to steps that wait or run. A step that runs goes on; the next one asks anew.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicyEffect {
    /// Steps that may go on now, and might not any more.
    pub newly_forbidden: AffectedSteps,
    /// Steps that may not go on now, and might then.
    pub newly_allowed: AffectedSteps,
    /// By tenant and thing: what would be forbidden first, and of it what concerns most steps. At most 20.
    pub groups: Vec<AffectedGroup>,
    /// How many there are in all.
    pub groups_in_all: u64,
    /// False: there is so much work that only a part of it was looked at.
    pub complete: bool,
}

/// Numbers of steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AffectedSteps {
    pub waiting: u64,
    /// With a worker, or under way at a provider.
    pub running: u64,
}

/// Steps of one tenant that ask for the same thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AffectedGroup {
    pub tenant: String,
    /// `call_tool` or `use_model`.
    pub action: String,
    /// The tool, or the model by its alias.
    pub thing: String,
    /// True: they would be forbidden. False: they would be allowed.
    pub forbidden: bool,
    /// What would forbid them, or forbids them now.
    pub policy: String,
    pub steps: AffectedSteps,
}

/// What policies can speak about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicySchema {
    /// In Cedar's schema language.
    pub text: String,
}
