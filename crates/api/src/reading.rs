//! Readings: how long tenants wait, for what, whether shares are fair, and a diagnosis.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Timestamp;
use crate::resource::Valve;

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
    /// Submission to end over the last minute. Absent if no run ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<Latency>,
    /// Of an attempt, from ready to dispatched, over the last minute. Absent if none was dispatched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_wait: Option<Latency>,
    /// Slot time held over what it was entitled to in the last minute, while it wanted more than it held, in thousandths.
    /// Absent if it never did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share_permille: Option<u64>,
    /// Of its budget of the day or the month, whichever is used up further: what is spent or held, in thousandths. Above 1000
    /// it is in debt. Absent if neither is bounded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_used_permille: Option<u64>,
    /// The target in force. Absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sla: Option<Target>,
    /// Runs that took longer than the target, since the server started.
    pub sla_violations: u64,
    /// Whether it is slow now, and why.
    #[serde(default)]
    pub diagnosis: Diagnosis,
    /// Over the last minute, ten minutes, hour and day. Only where one tenant is read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub windows: Vec<WindowReadings>,
    /// Requests with its keys that named another tenant in the path or in the header `x-fairlane-tenant`, existing or not,
    /// since the server started. For an operator only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cross_tenant_attempts: Option<u64>,
}

/// Percentiles within 6.25 % of the true value; the count and the maximum are exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Latency {
    pub count: u64,
    pub p50_us: u64,
    pub p95_us: u64,
    pub p99_us: u64,
    pub max_us: u64,
}

/// That so many of a thousand runs take no longer from submission to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Target {
    pub percentile_permille: u32,
    pub latency_us: u64,
}

/// How far a target was met in a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Attainment {
    /// Runs that ended with a target in force.
    pub ended: u64,
    /// Those of them that took longer.
    pub late: u64,
    /// Part that did not, in thousandths: `1000 (ended - late) / ended`. Absent if none ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attained_permille: Option<u64>,
    /// Of the runs that may be late, the part that is left, in thousandths; negative if more were:
    /// `1000 (1 - late / (ended (1 - target)))`. Absent if none ended, or if none may be late.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_left_permille: Option<i64>,
    /// How fast that is used, in thousandths: at 1000 it lasts just as long as it must. `1000 late / (ended (1 - target))`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burn_rate_permille: Option<u64>,
}

/// What happened to a tenant, or to all of a tier, in a window that ends now and began its length ago, or up to a quarter of
/// that earlier.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WindowReadings {
    /// `1m`, `10m`, `1h` or `1d`.
    pub window: String,
    /// Of an attempt, from ready to dispatched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_wait: Option<Latency>,
    /// Of a run, from submission to its first dispatch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Latency>,
    /// Of a run, from submission to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<Latency>,
    /// Of an attempt, from dispatch to report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work: Option<Latency>,
    /// Absent without a target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sla: Option<Attainment>,
    /// Slot time held.
    pub service_us: u64,
    /// Slot time held over what it was entitled to, while it wanted more than it held, in thousandths. Absent if it never did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share_permille: Option<u64>,
    /// What held ready steps up, longest first.
    pub held: Vec<Held>,
}

/// How long steps were held up by one thing: the sum over steps, so that ten that wait for a second are ten seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Held {
    /// `suspended`, `tenant-cap`, `org-cap`, `own-quota`, `budget`, `rules`, `own-share`, `slots`, `long-slots`,
    /// `workers`, `provider` or `reviewers`.
    pub cause: String,
    /// The pool, the tool, the account or the pool of reviewers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    pub time_us: u64,
    /// It is the tenant's own: nobody else is touched by it.
    pub own: bool,
}

#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Wellness {
    #[default]
    Healthy,
    Degrading,
    Broken,
}

/// Whether a tenant is slow, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Diagnosis {
    pub state: Wellness,
    /// Absent if it is not slow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<SlowReason>,
    /// The same in a sentence.
    pub says: String,
    /// Time that its ready steps stood there in the last minute for that reason.
    pub held_us: u64,
    /// The same for any reason.
    pub held_in_all_us: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SlowReason {
    /// A cause, or `slow-work`, `slow-tool`, `slow-store`, `valve`, `unfair`, `interference` or `unknown`.
    pub code: String,
    /// The pool, the tool, the account or the pool of reviewers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// It is the tenant's own, and expected.
    pub own: bool,
}

/// The platform in one region: whether it is well, whether it is fair, and who waits for what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Overview {
    pub region: String,
    /// All regions of this server.
    pub regions: Vec<String>,
    pub at: Timestamp,
    pub state: Wellness,
    /// In a sentence.
    pub says: String,
    /// Why the platform is not well: what became slow, then what touches most tenants. Empty if it is well.
    pub reasons: Vec<SharedReason>,
    /// Tenants declared, those of which something was seen in the last minute, those that are slow for a reason of their own,
    /// and those that are for another one.
    pub tenants: u64,
    pub active: u64,
    pub slow_expected: u64,
    pub slow: u64,
    pub pools: Vec<PoolReadings>,
    pub tiers: Vec<TierReadings>,
    pub work: Vec<WorkReadings>,
    /// What the store took for commits, by window.
    pub commits: Vec<CommitReadings>,
    pub reviewers: Vec<ReviewerReadings>,
    pub interference: Vec<Interference>,
    pub valve: Valve,
    /// Requests with keys of tenants that named another tenant, since the server started: 0 if all is well.
    pub cross_tenant_attempts: u64,
    /// Entries of the decision log by code, since the server started.
    pub decisions: Vec<DecisionCount>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SharedReason {
    pub reason: SlowReason,
    /// In a sentence.
    pub says: String,
    /// How many tenants are slow for it.
    pub tenants: u64,
    /// The first few of them.
    pub examples: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PoolReadings {
    pub pool: String,
    pub slots: u32,
    /// Fewer while the valve shrinks dispatch.
    pub dispatchable: u32,
    pub in_flight: u32,
    pub waiting: u64,
    pub workers: u32,
    pub offered: u32,
    pub fairness: Vec<Fairness>,
    /// Part of the last minute in which all slots were taken and somebody waited for one, in thousandths.
    pub full_permille: u32,
    /// Tenants that hold or want most.
    pub top: Vec<Holder>,
    /// Slots and waiting steps of all others.
    pub other_slots: u32,
    pub other_waiting: u64,
}

/// Jain's index over service / min(demand, entitlement) of those that wanted more than they held, in thousandths.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Fairness {
    /// `1m`, `10m`, `1h` or `1d`.
    pub window: String,
    pub contenders: u32,
    /// Absent for fewer than two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jain_permille: Option<u32>,
    /// The same of organisations.
    pub orgs: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orgs_jain_permille: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Holder {
    pub tenant: String,
    pub org: String,
    pub slots: u32,
    pub waiting: u32,
    pub cap: u32,
}

/// All tenants of a tier together, and how far they are apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TierReadings {
    pub tier: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sla: Option<Target>,
    pub windows: Vec<WindowReadings>,
    /// Of the tenants' 95th percentiles from submission to end in the last minute. Absent if no run ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spread: Option<Spread>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Spread {
    pub tenants: u64,
    pub lowest_us: u64,
    pub median_us: u64,
    pub highest_us: u64,
    /// Whose it is.
    pub highest_of: String,
}

/// How long attempts took at a tool, at an endpoint of models, or in a pool where no tool is called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WorkReadings {
    /// `pool` or `tool`.
    pub kind: String,
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minute: Option<Latency>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hour: Option<Latency>,
    /// Half of the attempts of the last minute took twice as long as usual, and more.
    pub slow: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CommitReadings {
    /// `1m`, `10m`, `1h` or `1d`.
    pub window: String,
    pub took: Latency,
}

/// A class of a pool of reviewers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReviewerReadings {
    pub pool: String,
    pub class: u8,
    /// Reviews that nobody has claimed.
    pub open: u64,
    /// Reviews that somebody has.
    pub claimed: u64,
    /// Age of the oldest of them. Absent if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_us: Option<u64>,
    /// Reviews of the last hour.
    pub opened: u64,
    pub ended: u64,
    /// More come than go, and ten or more are older than ten minutes: the pool is too small.
    pub short: bool,
}

/// How the waits of quiet tenants follow the load of a loud one, over the last half hour.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Interference {
    /// The loud one.
    pub tenant: String,
    /// Where: `slots`, `limit`, `reviewers` or `store`.
    pub at: String,
    /// Which pool or tool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// Pearson's correlation of the waits with its load `lag_us` before.
    pub correlation: f64,
    pub lag_us: u64,
    /// Of seeing such a correlation by chance, over all pairs that were looked at.
    pub probability: f64,
    /// How much longer a quiet tenant's step waits for each slot that the loud one wants.
    pub ms_per_slot: f64,
    /// Slots that it wanted: its busiest tenth of the time less its quietest.
    pub slots: f64,
    /// How much longer quiet tenants' steps waited for that.
    pub effect_us: u64,
    /// Buckets of ten seconds that were compared.
    pub buckets: u32,
    /// Isolation is incomplete here: it is unlikely by chance, and more than what is unavoidable.
    pub significant: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DecisionCount {
    pub code: String,
    pub count: u64,
}
