//! Why a ready step has no slot, and what the queue looks like: read from the state that decides (P13).

use serde::{Deserialize, Serialize};

use crate::time::Time;

use super::Scheduler;
use super::config::{Entry, OrgIx, TenantIx};
use super::flow::ROOT;
use super::lanes::BurstState;
use super::slab::NONE;

/// Flows counted before a step's own, at most: an explanation costs no more than this.
const AHEAD_MAX: u32 = 1_000;

#[cfg(test)]
thread_local! {
    /// How often the tenants ahead were counted: what an explanation costs.
    pub(crate) static COUNTS: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
}

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
    /// Slot-microseconds charged: used, and up to a quantum ahead for each running step.
    pub service: u128,
    /// Slot-microseconds that it, or its organisation, has had ahead of the others that want slots.
    pub debt: u128,
    pub weight: u32,
    /// What its weights entitle it to among those that are active, in millionths of the pool; 0 while it is not.
    pub share_ppm: u32,
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

/// A tenant with something ready, running or owed, for those who watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FlowNow {
    pub(crate) tenant: TenantIx,
    pub(crate) org: OrgIx,
    pub(crate) weight: u32,
    pub(crate) in_flight: u32,
    /// Slot-microseconds charged since the start, as in [`FlowReading`].
    pub(crate) service: u128,
    /// As it is contracted, burst slots that it has now included, whether or not the policy of the pool keeps to it.
    pub(crate) cap: u32,
    pub(crate) is_paused: bool,
    /// It, or its organisation, holds as many slots as the pool's policy allows.
    pub(crate) is_full: bool,
    pub(crate) is_org_full: bool,
}

/// A class of ready steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClassNow {
    pub(crate) tenant: TenantIx,
    pub(crate) class: u64,
    pub(crate) steps: u32,
    /// It waits outside of the queue.
    pub(crate) is_parked: bool,
    /// Its steps are long, and no more of those may run.
    pub(crate) is_long_full: bool,
}

impl Scheduler {
    /// All tenants that are active here. O(active).
    pub(crate) fn flows_now(&self) -> impl Iterator<Item = FlowNow> {
        // Places that are free stand for the flow of the whole pool.
        let places = self.active.places().map(|place| &self.active[place]);
        places.filter(|active| active.flow != ROOT).map(|active| {
            let flow = &self.tree.flows[active.flow];
            let tenant = TenantIx(flow.owner);
            let node = self.tenant(tenant);
            let config = node.config();
            let org = &self.tree.flows[flow.parent];
            FlowNow {
                tenant,
                org: config.org,
                weight: config.weight,
                in_flight: flow.in_flight,
                service: node.service,
                cap: if self.config.policy.has_caps() { flow.cap } else { config.cap },
                is_paused: config.paused,
                is_full: flow.in_flight >= flow.cap,
                is_org_full: flow.parent != ROOT && org.in_flight >= org.cap,
            }
        })
    }

    /// All classes of ready steps. O(classes).
    pub(crate) fn classes_now(&self) -> impl Iterator<Item = ClassNow> {
        let is_long_full = self.is_long_full();
        let classes = self.backlog.classes.places().map(|place| &self.backlog.classes[place]);
        classes.filter(|class| class.tenant != TenantIx(NONE)).map(move |class| ClassNow {
            tenant: class.tenant,
            class: class.key(),
            steps: class.len(),
            is_parked: class.parked.is_some(),
            is_long_full: is_long_full && class.is_long(),
        })
    }

    /// Why a queued step is not running. Costs a constant, the logarithm of its class, and one count of the
    /// tenants ahead.
    pub fn explain(&self, _now: Time, entry: &Entry) -> Wait {
        self.explain_after(entry, &mut None)
    }

    /// The same for one of many steps of a tenant: `ahead` keeps the number of tenants ahead, which is the same
    /// for all of them, so that it is counted once.
    pub(crate) fn explain_after(&self, entry: &Entry, ahead: &mut Option<u32>) -> Wait {
        let node = self.tenant(entry.tenant);
        let config = node.config();
        if config.paused {
            return Wait::Paused;
        }
        let is_long = self.is_long(entry);
        let class = self.backlog.find(entry, is_long).map(|class| &self.backlog.classes[class]);
        let Some(class) = class else {
            return Wait::Turn { older_steps: 0, tenants_ahead: 0 };
        };
        if let Some(parked) = class.parked {
            return Wait::Parked { key: parked.key, since: parked.since };
        }
        let older = class.older_than((entry.age, entry.ticket));
        let older_steps = u32::try_from(older).unwrap_or(u32::MAX);
        let flow = &self.tree.flows[self.active_of(entry.tenant).flow];
        if flow.in_flight >= flow.cap {
            return Wait::TenantCap { in_flight: flow.in_flight, cap: flow.cap, older_steps };
        }
        let org = &self.tree.flows[flow.parent];
        if flow.parent != ROOT && org.in_flight >= org.cap {
            return Wait::OrgCap { in_flight: org.in_flight, cap: org.cap };
        }
        if is_long && self.is_long_full() {
            return Wait::LongSlots { in_flight: self.long_in_flight, cap: self.long_cap() };
        }
        let count = || self.tree.count_before(self.active_of(entry.tenant).flow, AHEAD_MAX);
        let tenants_ahead = *ahead.get_or_insert_with(count);
        let (in_flight, slots) = (self.in_flight(), self.dispatchable());
        if in_flight >= slots {
            return Wait::PoolFull { in_flight, slots, older_steps, tenants_ahead };
        }
        Wait::Turn { older_steps, tenants_ahead }
    }

    pub fn flow(&self, _now: Time, tenant: TenantIx) -> FlowReading {
        let node = self.tenant(tenant);
        let config = node.config();
        let idle = FlowReading {
            cap: self.cap_of(&config, BurstState::Ready).min(self.config.slots),
            weight: config.weight,
            service: node.service,
            ..FlowReading::default()
        };
        let Some(active) = self.active.get(node.active) else { return idle };
        let flow = &self.tree.flows[active.flow];
        FlowReading {
            in_flight: flow.in_flight,
            cap: flow.cap.min(self.config.slots),
            burst_slots: match active.burst {
                BurstState::Ready => 0,
                BurstState::Bursting | BurstState::PayingBack => {
                    flow.in_flight.saturating_sub(config.cap)
                }
            },
            waiting: active.waiting,
            debt: self.tree.lead(active.flow),
            share_ppm: self.tree.share_ppm(active.flow),
            ..idle
        }
    }

    pub fn reading(&self) -> PoolReading {
        PoolReading {
            slots: self.config.slots,
            dispatchable: self.dispatchable(),
            in_flight: self.in_flight(),
            waiting: self.waiting,
            burst_credit: self.burst_in_use.0,
        }
    }
}
