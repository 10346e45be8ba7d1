//! Readings as they are told: with names, for whoever asked.

use serde::Serialize;

use crate::id::{OrgId, ReviewerPoolName, TenantId, TierName};
use crate::reading::diagnosis::State;
use crate::reading::{Interference, Percentiles, Window};
use crate::tenant::Sla;
use crate::time::{Span, Time};

use super::effect::{PoolView, ValveView};

/// What happened to a tenant, or to all of a tier, in a window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WindowView {
    #[serde(skip)]
    pub window: Window,
    pub queue: Option<Percentiles>,
    pub start: Option<Percentiles>,
    pub end: Option<Percentiles>,
    pub work: Option<Percentiles>,
    /// Runs that ended with a target in force, and those that missed it.
    pub aimed: u64,
    pub late: u64,
    /// Slot time held.
    pub service: Span,
    /// Service over what it was entitled to, while it wanted more than it held, in thousandths.
    pub share_permille: Option<u64>,
    pub held: Vec<HeldView>,
}

/// How long ready steps were held up by one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HeldView {
    pub cause: &'static str,
    /// The pool, the tool, or the account.
    pub place: Option<String>,
    pub time: Span,
    pub is_own: bool,
}

/// See [`crate::reading::diagnosis`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DiagnosisView {
    pub state: State,
    pub reason: Option<ReasonView>,
    pub held: Span,
    pub held_in_all: Span,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ReasonView {
    /// A cause's code, `slow-work`, `slow-store`, `valve`, `interference` or `unknown`.
    pub code: &'static str,
    pub place: Option<String>,
    pub is_own: bool,
}

/// All of a cell.
#[derive(Clone, Debug, Serialize)]
pub struct PlatformView {
    pub at: Time,
    /// Declared, and those of which something was seen in the last minute.
    pub tenants: u64,
    pub active: u64,
    /// Slow for a reason of their own, and for another one.
    pub slow_expected: u64,
    pub slow: u64,
    pub state: State,
    pub reasons: Vec<SharedReason>,
    pub pools: Vec<PoolReadings>,
    pub tiers: Vec<TierReadings>,
    pub work: Vec<WorkView>,
    pub commits: Vec<(WindowName, Percentiles)>,
    pub reviewers: Vec<ReviewersView>,
    pub interference: Vec<InterferenceView>,
    pub valve: ValveView,
    /// Entries of the decision log by code, since the cell was loaded.
    pub decisions: Vec<(String, u64)>,
}

pub type WindowName = &'static str;

/// Why the platform is not well, and who feels it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SharedReason {
    pub reason: ReasonView,
    pub tenants: u64,
    /// The first few of them.
    pub examples: Vec<TenantId>,
}

#[derive(Clone, Debug, Serialize)]
pub struct PoolReadings {
    pub pool: PoolView,
    pub fairness: Vec<FairnessView>,
    /// Part of the last minute in which all slots were taken and somebody waited for one, in thousandths.
    pub full_permille: u32,
    /// Those that hold or want most.
    pub top: Vec<HolderView>,
    /// Slots and waiting steps of all others.
    pub other_slots: u32,
    pub other_waiting: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FairnessView {
    pub window: WindowName,
    /// Tenants that wanted more than they held at some time, and Jain's index over them in thousandths.
    pub contenders: u32,
    pub jain_permille: Option<u32>,
    pub orgs: u32,
    pub orgs_jain_permille: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HolderView {
    pub tenant: TenantId,
    pub org: OrgId,
    pub slots: u32,
    pub waiting: u32,
    pub cap: u32,
}

/// All tenants of a tier together, and how far they are apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TierReadings {
    pub tier: TierName,
    pub sla: Option<Sla>,
    pub windows: Vec<WindowView>,
    /// Of the 95th percentiles of those tenants of which a run ended in the last minute.
    pub spread: Option<Spread>,
}

/// What is said beside a number that is of many tenants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Spread {
    pub tenants: u64,
    pub lowest: Span,
    pub median: Span,
    pub highest: Span,
    pub highest_of: TenantId,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WorkView {
    /// `pool` or `tool`.
    pub kind: &'static str,
    pub name: String,
    pub minute: Option<Percentiles>,
    pub hour: Option<Percentiles>,
    pub is_slow: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReviewersView {
    pub pool: ReviewerPoolName,
    pub class: u8,
    /// Reviews that nobody has claimed.
    pub open: u64,
    pub claimed: u64,
    /// Of those that nobody has decided.
    pub oldest: Option<Span>,
    /// In the last hour.
    pub opened: u64,
    pub ended: u64,
    /// There are too few reviewers.
    pub is_short: bool,
}

#[derive(Clone, Debug, Serialize)]
pub struct InterferenceView {
    pub tenant: TenantId,
    /// `slots`, `limit`, `reviewers` or `store`.
    pub at: &'static str,
    pub place: Option<String>,
    pub found: Interference,
}

/// Stable, for programs.
pub fn code_of(window: Window) -> WindowName {
    match window {
        Window::Minute => "1m",
        Window::TenMinutes => "10m",
        Window::Hour => "1h",
        Window::Day => "1d",
    }
}
