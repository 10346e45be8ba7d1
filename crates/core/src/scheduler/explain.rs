//! Why a ready step has no slot, and what the queue looks like: read from the state that decides (P13).

use serde::{Deserialize, Serialize};

use crate::time::Time;

use super::Scheduler;
use super::config::{Entry, TenantIx};
use super::flow::ANY;
use super::lanes::BurstState;

/// Flows counted before a step's own, at most: an explanation costs no more than this.
const AHEAD_MAX: usize = 1_000;

/// What a ready step waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wait {
    /// Its tenant is suspended.
    Paused,
    /// Its gate class waits for a key to be woken.
    Parked { key: u64, since: Time },
    /// Its tenant holds as many slots as it may.
    TenantCap { in_flight: u32, cap: u32, older_steps: u32 },
    /// Its organisation holds as many slots as it may.
    OrgCap { in_flight: u32, cap: u32 },
    /// Long steps hold as many slots as they may.
    LongSlots { in_flight: u32, cap: u32 },
    /// All slots are taken.
    PoolFull { in_flight: u32, slots: u32, older_steps: u32, tenants_ahead: u32 },
    /// A slot may be free: others, or older steps of its own tenant, come first.
    Turn { older_steps: u32, tenants_ahead: u32 },
}

impl Wait {
    /// Nothing but its turn stands between the step and a slot.
    pub const fn is_turn(&self) -> bool {
        matches!(self, Self::Turn { .. })
    }
}

/// One tenant's numbers in this pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowReading {
    pub in_flight: u32,
    pub cap: u32,
    /// Slots held above the cap.
    pub burst_slots: u32,
    /// Ready steps.
    pub waiting: u32,
    /// Slot-microseconds of finished steps.
    pub service: u128,
    /// Slot-microseconds ahead of its share.
    pub debt: u128,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolReading {
    pub slots: u32,
    pub dispatchable: u32,
    pub in_flight: u32,
    pub waiting: u64,
    /// Microseconds of burst credit in use.
    pub burst_credit: u64,
}

impl Scheduler {
    /// Why a queued step is not running. Bounded by the number of classes of its tenant and a constant.
    pub fn explain(&self, _now: Time, entry: &Entry) -> Wait {
        let node = self.tenant(entry.tenant);
        let config = node.config();
        if config.paused {
            return Wait::Paused;
        }
        let Some(active) = node.active.as_deref() else {
            return Wait::Turn { older_steps: 0, tenants_ahead: 0 };
        };
        let is_long = self.is_long(entry);
        let class = active.class(entry.lane, entry.class, is_long);
        if let Some((key, since)) = class.and_then(|class| class.parked) {
            return Wait::Parked { key, since };
        }
        let older = class.map_or(0, |class| class.older_than(entry.age, entry.ticket));
        let older_steps = u32::try_from(older).unwrap_or(u32::MAX);
        let cap = self.cap_of(&config, active.burst);
        if active.share.in_flight >= cap {
            return Wait::TenantCap { in_flight: active.share.in_flight, cap, older_steps };
        }
        let org = self.org_of(&config);
        let org_cap = self.org_cap(org);
        if org.share.in_flight >= org_cap {
            return Wait::OrgCap { in_flight: org.share.in_flight, cap: org_cap };
        }
        if is_long && self.is_long_full() {
            return Wait::LongSlots { in_flight: self.long_in_flight, cap: self.long_cap() };
        }
        let ahead = org.level.ahead_of(active.share.tag(), AHEAD_MAX)
            + self.root.ahead_of(org.share.tag(), AHEAD_MAX);
        let tenants_ahead = u32::try_from(ahead).unwrap_or(u32::MAX);
        if self.in_flight >= self.dispatchable {
            return Wait::PoolFull {
                in_flight: self.in_flight,
                slots: self.dispatchable,
                older_steps,
                tenants_ahead,
            };
        }
        Wait::Turn { older_steps, tenants_ahead }
    }

    pub fn flow(&self, _now: Time, tenant: TenantIx) -> FlowReading {
        let node = self.tenant(tenant);
        let config = node.config();
        let Some(active) = node.active.as_deref() else {
            return FlowReading {
                cap: config.cap,
                service: node.service,
                ..FlowReading::default()
            };
        };
        let org = self.org_of(&config);
        FlowReading {
            in_flight: active.share.in_flight,
            cap: self.cap_of(&config, active.burst).min(self.config.slots),
            burst_slots: match active.burst {
                BurstState::Ready => 0,
                BurstState::Bursting | BurstState::PayingBack => {
                    active.share.in_flight.saturating_sub(config.cap)
                }
            },
            waiting: active.ready,
            service: node.service,
            debt: org.level.debt(&active.share),
        }
    }

    pub const fn reading(&self) -> PoolReading {
        PoolReading {
            slots: self.config.slots,
            dispatchable: self.dispatchable,
            in_flight: self.in_flight,
            waiting: self.waiting,
            burst_credit: self.burst_in_use.0,
        }
    }

    /// Whether the tenant could be given a slot now, as far as the tree knows.
    pub fn is_eligible(&self, tenant: TenantIx) -> bool {
        let node = self.tenant(tenant);
        let org = self.org_of(&node.config());
        node.active.as_deref().is_some_and(|active| active.share.keys[ANY].is_some())
            && org.share.is_eligible()
    }
}
