//! What the policies leave out. `Fair` is the whole; the others are there for comparison, and for platforms whose
//! tenants are alike. All of them ask the gates, respect pauses, and give out no more slots than there are.

use crate::time::Span;

use super::config::{Policy, PoolConfig, TenantConfig};

/// What a turn is charged where turns count and not time. Any length would do, as long as it is the same for ever:
/// tenants are apart by turns, and a turn of another length would make many of one.
const TURN: Span = Span::from_millis(1);

impl Policy {
    /// Caps of tenants and organisations, bursts, and the class of long steps.
    pub(super) const fn has_caps(self) -> bool {
        matches!(self, Self::Fair)
    }

    /// Urgent before normal before background, inside a tenant.
    pub(super) const fn has_lanes(self) -> bool {
        matches!(self, Self::Fair)
    }

    /// Tenants stand below organisations, and weights count.
    pub(super) const fn has_orgs(self) -> bool {
        matches!(self, Self::Fair | Self::Weighted)
    }

    /// The order is that of the oldest steps, and nothing is charged.
    pub(super) const fn is_by_age(self) -> bool {
        matches!(self, Self::Fifo)
    }

    /// What is charged is the time that steps take. Else it is the turn, whatever it takes.
    pub(super) const fn charges_time(self) -> bool {
        matches!(self, Self::Fair | Self::Weighted)
    }
}

impl PoolConfig {
    /// Long steps are bounded, and a second order of short ones is kept.
    pub(super) const fn bounds_long(&self) -> bool {
        self.policy.has_caps() && self.long.is_some()
    }

    /// What a tenant's tag is charged when one of its steps is given a slot.
    pub(super) const fn charged_at_dispatch(&self) -> Span {
        match self.policy {
            Policy::Fair | Policy::Weighted => self.quantum,
            Policy::RoundRobin => TURN,
            Policy::Fifo => Span::ZERO,
        }
    }

    pub(super) const fn weight_of(&self, config: &TenantConfig) -> u32 {
        if self.policy.has_orgs() { config.weight } else { 1 }
    }
}
