//! What steps wait for, as a place that can be looked at and a number that can be added up.

use serde::{Deserialize, Serialize};

use crate::gate::Account;
use crate::time::Span;

/// What holds steps up. Pools of workers, tools and pools of reviewers stand by their numbers in the cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Cause {
    /// The tenant is suspended.
    Suspended,
    /// It holds as many slots as it may.
    TenantCap { pool: u32 },
    /// Its organisation does.
    OrgCap { pool: u32 },
    /// A quota of its own is used up.
    OwnQuota { tool: u32 },
    /// An account is empty.
    Budget(Account),
    /// Rules or policies let it go nowhere.
    Rules,
    /// All slots are taken, and it has its part of them: it wants more than that.
    OwnShare { pool: u32 },
    /// All slots are taken, and it has less than its part.
    Slots { pool: u32 },
    /// Steps that take long hold as many slots as they may.
    LongSlots { pool: u32 },
    /// No worker asks for its work.
    Workers { pool: u32 },
    /// What all tenants share of a provider is used up, or the provider is left alone.
    Provider { tool: u32 },
    /// People are to decide.
    Reviewers { pool: u32 },
}

/// Where attempts are worked on, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WorkAt {
    /// A pool of workers, if no tool is called.
    Pool(u32),
    /// A tool, or the endpoint of a model.
    Tool(u32),
}

impl Cause {
    /// Stable, for programs.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Suspended => "suspended",
            Self::TenantCap { .. } => "tenant-cap",
            Self::OrgCap { .. } => "org-cap",
            Self::OwnQuota { .. } => "own-quota",
            Self::Budget(_) => "budget",
            Self::Rules => "rules",
            Self::OwnShare { .. } => "own-share",
            Self::Slots { .. } => "slots",
            Self::LongSlots { .. } => "long-slots",
            Self::Workers { .. } => "workers",
            Self::Provider { .. } => "provider",
            Self::Reviewers { .. } => "reviewers",
        }
    }

    /// Whether it is of the tenant's own making or in its own contract: nobody else is touched by it, and the tenant can be
    /// told what to do.
    pub const fn is_own(self) -> bool {
        match self {
            Self::Suspended
            | Self::TenantCap { .. }
            | Self::OrgCap { .. }
            | Self::OwnQuota { .. }
            | Self::Budget(_)
            | Self::Rules
            | Self::OwnShare { .. } => true,
            Self::Slots { .. }
            | Self::LongSlots { .. }
            | Self::Workers { .. }
            | Self::Provider { .. }
            | Self::Reviewers { .. } => false,
        }
    }
}

/// How long steps were held up by what: the sum over steps, so that ten steps that wait for a second are ten seconds.
/// As many entries as causes were met.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held(Vec<(Cause, Span)>);

impl Held {
    pub fn add(&mut self, cause: Cause, time: Span) {
        match self.0.iter_mut().find(|(known, _)| *known == cause) {
            Some((_, sum)) => sum.0 = sum.0.saturating_add(time.0),
            None => self.0.push((cause, time)),
        }
    }

    /// As long as that, with so many steps at a time as `steps` has microseconds.
    pub fn add_times(&mut self, steps: &Self, time: Span) {
        let longer = |steps: Span| Span(steps.0.saturating_mul(time.0));
        steps.0.iter().for_each(|(cause, steps)| self.add(*cause, longer(*steps)));
    }

    pub fn merge(&mut self, other: &Self) {
        other.0.iter().for_each(|(cause, time)| self.add(*cause, *time));
    }

    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What held them up longest.
    pub fn longest(&self) -> Option<(Cause, Span)> {
        let longest = self.0.iter().max_by_key(|(cause, time)| (*time, std::cmp::Reverse(*cause)));
        longest.copied()
    }

    /// The longest first.
    pub fn sorted(mut self) -> Vec<(Cause, Span)> {
        self.0.sort_by_key(|(cause, time)| (std::cmp::Reverse(*time), *cause));
        self.0
    }

    pub fn total(&self) -> Span {
        Span(self.0.iter().fold(0, |sum, (_, time)| sum.saturating_add(time.0)))
    }
}
