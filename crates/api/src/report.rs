//! Reports for operators: how far tenants use their budgets, which workflows run out of theirs, and where data is.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Timestamp;
use crate::quota::{Amount, Every};
use crate::residency::{Decision, PassedCode};

/// How far a tenant has used one of its budgets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BudgetUse {
    pub tenant: String,
    /// `day` or `month`.
    pub every: Every,
    /// As its budget class has it now, for periods that are over too. Absent: nothing is bounded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Amount>,
    pub verdict: Verdict,
    /// Periods that are over and count: from the first in which something was spent.
    pub complete: u32,
    /// Mean of the utilisation of those, rounded down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean_permille: Option<u64>,
    /// Mean of the squares of how far each is from the mean, as a part of one, rounded down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variance_millionths: Option<u64>,
    /// How many of those ended above the budget.
    pub overruns: u32,
    /// Newest first: the one under way, then those that count.
    pub periods: Vec<PeriodUse>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// There is debt in the period under way, or one that counts ended above the budget.
    Overruns,
    /// There is a budget, and no period reached 10 % of it, that under way included.
    Unused,
    Normal,
    /// There is no budget.
    Unbounded,
}

/// What was spent of a budget in one period.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PeriodUse {
    pub starts_at: Timestamp,
    pub ends_at: Timestamp,
    /// It is over.
    pub complete: bool,
    pub posted: Amount,
    /// Part of `posted` that nobody has confirmed.
    pub uncertain: Amount,
    pub topped_up: Amount,
    pub forgiven: Amount,
    /// `posted` as a part of `budget`, rounded down: what was topped up does not count as budget. Absent without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub utilisation_permille: Option<u64>,
    /// How far `posted` is above `budget`.
    pub over: Amount,
    /// How far `posted`, and what is held, are above `budget`, `topped_up` and `forgiven` together.
    pub debt: Amount,
}

/// Which workflows' runs ran short of money, of the runs that were submitted in a time and have ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ShortWorkflows {
    pub starts_at: Timestamp,
    pub ends_at: Timestamp,
    /// Those with the largest `short_permille` first, then those with the most runs.
    pub workflows: Vec<ShortWorkflow>,
    /// There was more to look at than one answer does: these are the numbers of a part.
    pub cut: bool,
    /// Give it as `cursor` to count the rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// How the runs of one version of a workflow came out with their money.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ShortWorkflow {
    pub workflow: String,
    pub version: u32,
    /// Runs that have ended.
    pub runs: u64,
    /// Those that were halted, failed or degraded for want of money, each once.
    pub short: u64,
    /// `short` as a part of `runs`, rounded down.
    pub short_permille: u64,
    /// Were paused, since a step could not be paid for.
    pub halted: u64,
    /// Failed with `budget-exhausted`.
    pub failed: u64,
    /// Went on with a cheaper model, a shorter output, or without an optional step.
    pub degraded: u64,
    /// Runs with a budget of their own.
    pub bounded: u64,
    /// The median of what those have spent as a part of their limit; of an even number of runs the lower one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub median_spent_permille: Option<u64>,
}

/// What rests on the adequacy of countries, and what is where it may not be, at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ResidencyReport {
    pub at: Timestamp,
    /// Every country with decisions, by its code.
    pub countries: Vec<CountryReport>,
    /// What is under way where it may not be any more: it has been called back.
    pub outside: Vec<OutsideUse>,
    /// Tenants whose data rests where it may not be any more, the first 1,000 of each region of the server: no run of
    /// theirs comes in.
    #[serde(default)]
    pub stores: Vec<OutsideStore>,
    /// Decisions in force that end within 90 days, the next one first.
    pub ending: Vec<EndingDecision>,
    /// There is more under way than one report has, at most 1,000 of each kind in each region of the server.
    pub cut: bool,
}

/// What rests on the adequacy of a country.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CountryReport {
    pub country: String,
    /// All decisions on it are put out of force.
    pub suspended: bool,
    /// The decision in force. Absent: there is none now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decision>,
    /// How many tenants name the country, or a zone that takes adequate countries in and has not this one anyway.
    pub tenants: u64,
    /// The first 1,000 of them, by id.
    pub tenant_ids: Vec<String>,
    /// What is under way there.
    pub live: Vec<LiveUse>,
}

/// An endpoint or a tool that is being used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LiveUse {
    pub tenant: String,
    /// Absent, as is `step`, if the call is the tenant's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    pub endpoint: String,
}

/// One that may not go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OutsideUse {
    pub tenant: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    pub endpoint: String,
    pub code: PassedCode,
    /// The same as a sentence, with its facts.
    pub reason: String,
}

/// A tenant whose data rests where it may not be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OutsideStore {
    pub tenant: String,
    /// Where its data rests.
    pub region: String,
    pub code: PassedCode,
    /// The same as a sentence, with its facts.
    pub reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EndingDecision {
    pub country: String,
    pub name: String,
    pub until: Timestamp,
}
