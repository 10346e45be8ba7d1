//! What the policies leave out. `Fair` is the whole; the others are there for comparison, and for platforms whose
//! tenants are alike. All of them ask the gates, respect pauses, and give out no more slots than there are.

use super::config::{Policy, PoolConfig, TenantConfig};

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

    /// What is charged is the time that steps take. Else it is the turn: one quantum a dispatch, whatever it takes.
    pub(super) const fn charges_time(self) -> bool {
        matches!(self, Self::Fair | Self::Weighted)
    }
}

impl PoolConfig {
    /// Long steps are bounded, and a second order of short ones is kept.
    pub(super) const fn bounds_long(&self) -> bool {
        self.policy.has_caps() && self.long.is_some()
    }

    pub(super) const fn weight_of(&self, config: &TenantConfig) -> u32 {
        if self.policy.has_orgs() { config.weight } else { 1 }
    }
}
