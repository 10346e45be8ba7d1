//! Where data may be: regions, zones, decisions on countries, and what tiers and tenants ask for.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Timestamp;

/// Body of `PUT /v1/catalog/regions/{region}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RegionSpec {
    /// Where data rests: two capital letters as in ISO 3166-1.
    #[schema(example = "DE")]
    pub country: String,
    /// For people: the provider and the place. At most 512 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

/// A place where data rests or is worked on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Region {
    pub name: String,
    pub country: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// It is known without being declared.
    #[serde(default)]
    pub built_in: bool,
}

/// Body of `PUT /v1/catalog/zones/{zone}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ZoneSpec {
    /// All of their regions belong to it. At most 1,000.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 1_000)]
    pub countries: Vec<String>,
    /// Further regions that belong to it, wherever they are. At most 1,000.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 1_000)]
    pub regions: Vec<String>,
    /// Whether every country belongs to it for which an adequacy decision is in force.
    #[serde(default)]
    pub adequate: bool,
}

/// A named set of countries and regions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Zone {
    pub name: String,
    #[serde(default)]
    pub countries: Vec<String>,
    #[serde(default)]
    pub regions: Vec<String>,
    #[serde(default)]
    pub adequate: bool,
    /// It is known without being declared.
    #[serde(default)]
    pub built_in: bool,
}

/// Body of `PUT /v1/catalog/adequacy/{country}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AdequacySpec {
    /// The switch that puts all of its decisions out of force at once.
    #[serde(default)]
    pub suspended: bool,
    /// In the order of their beginning, none before the end of the last. At most 64.
    #[schema(min_items = 1, max_items = 64)]
    pub decisions: Vec<Decision>,
}

/// Decisions that a country protects data well enough.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Adequacy {
    pub country: String,
    pub suspended: bool,
    pub decisions: Vec<Decision>,
}

/// One decision on a country, in force from its beginning until its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AdequacyDecision)]
pub struct Decision {
    /// Its number. At most 512 bytes.
    #[schema(example = "(EU) 2019/419")]
    pub name: String,
    pub from: Timestamp,
    /// Absent: until it is declared otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// It covers only tools that have this certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// For people: whom it covers. At most 512 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
}

/// Where data may be: in the zone, in one of the regions, or in one of the countries while a decision on it is in force.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Residency {
    /// `eu`, `eea`, `eea+adequate`, `us`, or a zone of the catalog.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 1_000)]
    pub regions: Vec<String>,
    /// Countries.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 1_000)]
    pub adequate: Vec<String>,
}

/// What becomes of a step when the endpoint that it would go to is down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Outage {
    /// Whether another candidate of the model may stand in, where the tenant's data may be.
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub alternative: bool,
    /// How long it waits for one to be well again: a duration such as `10m`. Absent: as long as it takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<String>,
    /// What becomes of it then.
    #[serde(default)]
    pub then: AfterOutage,
}

#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum AfterOutage {
    #[default]
    Fail,
    /// A person decides.
    Escalate,
}

/// A candidate that a call does not go to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Passed {
    pub endpoint: String,
    /// What the endpoint calls the model.
    pub served_by: String,
    pub code: PassedCode,
    /// The same as a sentence, with its facts.
    pub reason: String,
}

/// Why a call does not go to a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PassedCode {
    /// It is not meant for the tenant's tier.
    Tier,
    /// The tenant may not use its endpoint.
    Denied,
    /// A policy forbids it.
    Policy,
    /// Its endpoint does not say where it is.
    UnknownLocation,
    /// The country of its region is not declared.
    UndeclaredRegion,
    /// Its region is in neither the zone nor the regions of the tenant.
    NotInZone,
    /// No adequacy decision on its country is declared.
    NotAdequate,
    /// The adequacy decision on its country has ended.
    AdequacyEnded,
    /// The adequacy decision on its country has not begun.
    AdequacyNotBegun,
    /// The adequacy of its country is suspended.
    AdequacySuspended,
    /// The adequacy decision on its country needs a certificate that its endpoint lacks.
    NotCertified,
    /// Its endpoint is not declared, or the server cannot call it.
    Endpoint,
    /// No price is in force for it.
    Price,
    /// More goes in and comes out than it takes.
    Context,
    /// It gave no answer to this call just now.
    Broken,
    /// Its endpoint is left alone, since its calls fail or it asked for it.
    Down,
    /// It costs more than there is.
    Money,
    /// It has no room at its limits.
    Limit,
    /// One before it was taken.
    NotNeeded,
}

const fn yes() -> bool {
    true
}
