//! Tools of the catalog with their limits, and budget classes, as the operator declares them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::calendar::{Calendar, TimeZone};
use crate::catalog::Endpoint;
use crate::id::{ClassName, ToolName};
use crate::money::Nano;
use crate::residency::Location;
use crate::time::Span;

/// Most rules of one tool, or of one tool in one class.
pub const RULES_MAX: usize = 8;
/// Most tools in one class.
pub const QUOTAS_MAX: usize = 1_000;
/// Largest number of units in a rule.
pub const UNITS_MAX: u64 = 1_000_000_000_000;
/// Longest period of a bucket.
pub const PERIOD_MAX: Span = Span::from_secs(366 * 24 * 3_600);
/// Most failures in a row that a breaker may wait for.
pub const FAILURES_MAX: u32 = 1_000;
/// Longest time that a breaker may stay open at first.
pub const OPEN_FOR_MAX: Span = Span::from_secs(24 * 3_600);

/// A tool of the catalog: what steps call, and what all tenants together may call of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tool {
    pub name: ToolName,
    /// The provider's own limits, shared by all tenants; all of them hold.
    pub limits: Vec<Rule>,
    /// How the server calls it; `None`: only workers do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<Endpoint>,
    /// When it is left alone because its calls fail; `None`: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breaker: Option<Breaker>,
    /// Where it works on what it is sent.
    #[serde(default, skip_serializing_if = "Location::is_unknown")]
    pub location: Location,
}

/// When a provider is left alone because its calls fail, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breaker {
    /// So many failures in a row open it.
    pub failures: u32,
    /// How long it stays open at first: doubled for each trial that fails, up to 16 times that.
    pub open_for: Span,
}

impl Tool {
    /// One that workers call.
    pub const fn new(name: ToolName, limits: Vec<Rule>) -> Self {
        Self { name, limits, endpoint: None, breaker: None, location: Location::unknown() }
    }
}

/// What a rule counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    #[default]
    Calls,
    Tokens,
}

impl Unit {
    /// How the label of a rule begins that counts it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Calls => "",
            Self::Tokens => "tokens:",
        }
    }
}

/// One limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// So many units in each window of the calendar; new at its boundary.
    Window {
        units: u64,
        every: Calendar,
        time_zone: TimeZone,
        #[serde(default)]
        of: Unit,
    },
    /// So many units per period, spread evenly, and at most `burst` at once.
    Bucket {
        units: u64,
        per: Span,
        burst: u64,
        #[serde(default)]
        of: Unit,
    },
    /// So many calls under way at once.
    Concurrent { calls: u32 },
}

/// The part of what all tenants share that one of several cells gives out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Which of the cells it is, from 0.
    pub at: u32,
    pub of: u32,
}

impl Default for Share {
    fn default() -> Self {
        Self { at: 0, of: 1 }
    }
}

impl Share {
    /// Its part of so many: all parts together are the whole.
    pub const fn part(self, units: u64) -> u64 {
        let of = self.of as u64;
        units / of + if (self.at as u64) < units % of { 1 } else { 0 }
    }
}

impl Rule {
    /// The largest number that can be divided among cells: each needs one at least.
    pub const fn units(&self) -> u64 {
        match self {
            Self::Window { units, .. } => *units,
            Self::Bucket { units, burst, .. } => {
                if *units < *burst {
                    *units
                } else {
                    *burst
                }
            }
            Self::Concurrent { calls } => *calls as u64,
        }
    }

    /// A cell's part of it.
    #[must_use]
    pub fn part(&self, share: Share) -> Self {
        match *self {
            Self::Window { units, every, ref time_zone, of } => {
                Self::Window { units: share.part(units), every, time_zone: time_zone.clone(), of }
            }
            Self::Bucket { units, per, burst, of } => {
                Self::Bucket { units: share.part(units), per, burst: share.part(burst), of }
            }
            Self::Concurrent { calls } => {
                let part = share.part(u64::from(calls));
                Self::Concurrent { calls: u32::try_from(part).unwrap_or(calls) }
            }
        }
    }

    /// Tells the counts of one rule from those of another of the same tool. A rule that changes its number only keeps
    /// its counts.
    pub fn label(&self) -> String {
        match self {
            Self::Window { every, time_zone, of, .. } => {
                format!("{}{}@{}", of.label(), every.as_str(), time_zone.name())
            }
            Self::Bucket { per, of, .. } => format!("{}bucket@{}", of.label(), per.0),
            Self::Concurrent { .. } => "concurrent".into(),
        }
    }

    /// What it counts; `None`: calls under way.
    pub const fn unit(&self) -> Option<Unit> {
        match self {
            Self::Window { of, .. } | Self::Bucket { of, .. } => Some(*of),
            Self::Concurrent { .. } => None,
        }
    }
}

/// A named set of quotas and budgets, which tiers and tenants refer to. What it says holds at once, for running work too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetClass {
    pub name: ClassName,
    /// What each tenant of the class may call of a tool. A tool that is not named has the provider's limits only.
    pub quotas: BTreeMap<ToolName, Vec<Rule>>,
    pub budget: Budget,
}

/// What each tenant of a class may spend. `None`: no bound at that level.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// For one run.
    pub run: Option<Nano>,
    /// Part of the run's budget that is kept back: its steps stop there, and not at zero.
    pub reserve: Nano,
    pub day: Option<Nano>,
    pub month: Option<Nano>,
    /// Where its days and months begin.
    pub time_zone: TimeZone,
    /// What is done, in this order, with a step that its run's budget has no money for.
    pub short: Vec<Rung>,
}

/// One rung of the ladder that a run without money goes down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rung {
    /// Call a cheaper model that may serve in the place of the first.
    CheaperModel,
    /// Let less come out of the model.
    ShorterOutput,
    /// Leave the step out, if it is optional.
    SkipOptional,
    /// Pause the run until an operator resolves it.
    Escalate,
    /// Pause the run and offer the choices to the tenant.
    Pause,
    /// Fail the step.
    Fail,
}

/// What the tenants of an organisation may spend together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrgBudget {
    pub month: Nano,
    pub time_zone: TimeZone,
}
