//! Tenants, organisations and tiers as the operator declares them, and the context that a run is pinned to.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::id::{ClassName, OrgId, ReviewerPoolName, TenantId, TierName, ToolName};
use crate::quota::OrgBudget;
use crate::residency::Residency;
use crate::review::CLASS_DEFAULT;
use crate::time::Span;

/// Largest weight: with `u32` weights and spans of years, normalised service stays far inside `u128`.
pub const WEIGHT_MAX: u32 = 1_000_000;
/// Largest cap of slots at any level.
pub const CAP_MAX: u32 = 1_000_000;
/// Largest size of a tenant's attributes, as JSON text.
pub const ATTRIBUTES_BYTES_MAX: usize = 16 * 1024;

/// An organisation: holds tenants, which share its weight and its cap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Org {
    pub id: OrgId,
    pub weight: u32,
    /// Most slots that its tenants may hold together, per pool.
    pub cap: Option<u32>,
    /// What its tenants may spend together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<OrgBudget>,
}

/// A named set of defaults for tenants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tier {
    pub name: TierName,
    pub weight: u32,
    /// Most slots that one tenant of the tier may hold, per pool.
    pub cap: u32,
    pub burst: Option<Burst>,
    /// Part of a tenant's service, in thousandths, that its urgent steps may take before they count as normal.
    pub urgent_share_permille: u32,
    /// Most runs of one tenant that may be live at once, at each depth of calls; further ones are refused, children wait.
    pub runs_max: u32,
    pub sla: Option<Sla>,
    /// Quotas and budgets of its tenants; `None`: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_class: Option<ClassName>,
    /// Who decides what no step names a pool for, and what the platform cannot; `None`: nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reviewer_pool: Option<ReviewerPoolName>,
    /// The priority class of its tenants' reviews: 0 is served first.
    #[serde(default = "class_default", skip_serializing_if = "is_class_default")]
    pub review_class: u8,
    #[serde(default)]
    pub rules: Rules,
}

/// Where a tenant's work may go and what it may use, and what is to be done where it cannot go: of a tier what its tenants
/// are given, of a tenant what differs from that, of a context both together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rules {
    /// Where data may be; `None`: anywhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_residency: Option<Residency>,
    /// `None`: all tools.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_tools: Option<BTreeSet<ToolName>>,
    /// Denied wins over allowed.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub denied_tools: BTreeSet<ToolName>,
    /// Which candidates of models are meant for it; `None`: those of the tier's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_tier: Option<TierName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outage: Option<Outage>,
    /// How long audit records are kept, from when a checkpoint closed them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audit_retention_days: Option<u32>,
    /// How long what a run was given and gave is kept, from its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload_retention_days: Option<u32>,
    /// How long its reviews are kept, from its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub review_retention_days: Option<u32>,
    /// How long all of it is kept, from its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_retention_days: Option<u32>,
    /// Nothing is deleted, whatever else says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub legal_hold: Option<bool>,
    /// Whether people have to agree before a run changes its plan; `None`: as its workflow says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replan_approval: Option<bool>,
}

/// What becomes of a step when the endpoint that it would go to is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outage {
    /// Whether another candidate may stand in, inside of the zone.
    pub alternative: bool,
    /// How long it waits for one to be well again; `None`: as long as it takes.
    pub wait: Option<Span>,
    /// What becomes of it then.
    pub then: AfterOutage,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AfterOutage {
    #[default]
    Fail,
    /// A person decides.
    Escalate,
}

impl Default for Outage {
    fn default() -> Self {
        Self { alternative: true, wait: None, then: AfterOutage::Fail }
    }
}

impl Tenant {
    /// Where its data may be, as it says or else its tier.
    pub fn residency<'a>(&'a self, tier: Option<&'a Tier>) -> Option<&'a Residency> {
        let of_tier = || tier.and_then(|tier| tier.rules.data_residency.as_ref());
        self.rules.data_residency.as_ref().or_else(of_tier)
    }
}

impl Rules {
    /// What the tenant says, and where it says nothing its tier. What either denies is denied.
    #[must_use]
    pub fn over(&self, tier: &Self) -> Self {
        Self {
            data_residency: self.data_residency.clone().or_else(|| tier.data_residency.clone()),
            allowed_tools: self.allowed_tools.clone().or_else(|| tier.allowed_tools.clone()),
            denied_tools: self.denied_tools.union(&tier.denied_tools).cloned().collect(),
            model_tier: self.model_tier.clone().or_else(|| tier.model_tier.clone()),
            outage: self.outage.or(tier.outage),
            audit_retention_days: self.audit_retention_days.or(tier.audit_retention_days),
            payload_retention_days: self.payload_retention_days.or(tier.payload_retention_days),
            review_retention_days: self.review_retention_days.or(tier.review_retention_days),
            run_retention_days: self.run_retention_days.or(tier.run_retention_days),
            legal_hold: self.legal_hold.or(tier.legal_hold),
            replan_approval: self.replan_approval.or(tier.replan_approval),
        }
    }

    pub fn allows(&self, tool: &ToolName) -> bool {
        let is_allowed = self.allowed_tools.as_ref().is_none_or(|allowed| allowed.contains(tool));
        is_allowed && !self.denied_tools.contains(tool)
    }
}

/// Permission to exceed the cap, paid back by waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Burst {
    /// Slots above the cap.
    pub extra_slots: u32,
    /// Slot time that may be used ahead of the share.
    pub credit: Span,
}

/// A target for the time from submission to the end of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sla {
    pub percentile_permille: u32,
    pub latency: Span,
}

/// A tenant as declared: a tier and what differs from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tenant {
    pub id: TenantId,
    pub org: OrgId,
    pub tier: TierName,
    pub weight: Option<u32>,
    pub cap: Option<u32>,
    pub burst: Option<Burst>,
    pub sla: Option<Sla>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_class: Option<ClassName>,
    /// Who decides what no step names a pool for, and what the platform cannot; `None`: nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reviewer_pool: Option<ReviewerPoolName>,
    /// A suspended tenant's steps are not dispatched and its new runs are refused.
    pub suspended: bool,
    #[serde(default)]
    pub rules: Rules,
    /// A JSON object, readable by expressions as `tenant.attributes`.
    pub attributes: Arc<str>,
}

/// What a tenant is at one version, tier defaults filled in. Minted by the cell; a run carries the version
/// that admitted it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Context {
    pub version: u32,
    pub tenant: TenantId,
    pub org: OrgId,
    pub tier: TierName,
    pub weight: u32,
    pub cap: u32,
    pub burst: Option<Burst>,
    pub urgent_share_permille: u32,
    pub runs_max: u32,
    pub sla: Option<Sla>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_class: Option<ClassName>,
    /// Who decides what no step names a pool for, and what the platform cannot; `None`: nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reviewer_pool: Option<ReviewerPoolName>,
    #[serde(default = "class_default", skip_serializing_if = "is_class_default")]
    pub review_class: u8,
    pub suspended: bool,
    #[serde(default)]
    pub rules: Rules,
    /// The version in which the rules became what they are.
    #[serde(default)]
    pub rules_since: u32,
    pub attributes: Arc<str>,
}

const fn class_default() -> u8 {
    CLASS_DEFAULT
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
const fn is_class_default(class: &u8) -> bool {
    *class == CLASS_DEFAULT
}

impl Context {
    /// The name by which candidates of models are meant for the tenant.
    pub fn model_tier(&self) -> &TierName {
        self.rules.model_tier.as_ref().unwrap_or(&self.tier)
    }

    /// The same as the version after that one: it is known since when the rules are what they are.
    #[must_use]
    pub fn after(mut self, before: &Self) -> Self {
        if self.rules == before.rules {
            self.rules_since = before.rules_since;
        }
        self
    }

    /// Fills in what the tenant leaves to its tier.
    pub fn resolve(tenant: &Tenant, tier: &Tier, version: u32) -> Self {
        Self {
            version,
            tenant: tenant.id.clone(),
            org: tenant.org.clone(),
            tier: tenant.tier.clone(),
            weight: tenant.weight.unwrap_or(tier.weight),
            cap: tenant.cap.unwrap_or(tier.cap),
            burst: tenant.burst.or(tier.burst),
            urgent_share_permille: tier.urgent_share_permille,
            runs_max: tier.runs_max,
            sla: tenant.sla.or(tier.sla),
            budget_class: tenant.budget_class.clone().or_else(|| tier.budget_class.clone()),
            reviewer_pool: tenant.reviewer_pool.clone().or_else(|| tier.reviewer_pool.clone()),
            review_class: tier.review_class,
            suspended: tenant.suspended,
            rules: tenant.rules.over(&tier.rules),
            rules_since: version,
            attributes: tenant.attributes.clone(),
        }
    }
}

/// The right to read one tenant's rows. Reads of the store take a scope, never a bare id.
///
/// Made in [`crate::auth`] only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantScope(TenantId);

impl TenantScope {
    pub(crate) const fn granted(tenant: TenantId) -> Self {
        Self(tenant)
    }

    pub const fn tenant(&self) -> &TenantId {
        &self.0
    }
}
