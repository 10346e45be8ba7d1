//! Slot time that tenants have held, pool by pool, in the cell's own time, as the committed changes tell it.
//!
//! Counted since the owner's time began: what was used before goes with the owner that knew of it.

use std::collections::BTreeMap;

use fairlane_core::cell::change::Change;
use fairlane_core::id::{PoolName, TenantId};
use fairlane_core::row::{Instance, RunKey, StepState};
use fairlane_core::time::{Span, Time};

#[derive(Debug, Default)]
pub(crate) struct Service {
    held: BTreeMap<(RunKey, Instance), Hold>,
    ended: BTreeMap<PoolName, BTreeMap<TenantId, Used>>,
}

#[derive(Debug)]
struct Hold {
    pool: PoolName,
    since: Time,
}

/// What a tenant has had of a pool.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Used {
    /// Slot time, all its steps together.
    pub(crate) slot_time: Span,
    /// The longest step.
    pub(crate) longest: Span,
    pub(crate) dispatches: u64,
    pub(crate) held: u32,
}

impl Service {
    pub(crate) fn follow(&mut self, change: &Change) {
        let Change::Step(step) = change else { return };
        let place = (step.key.clone(), step.instance);
        if let StepState::Leased { pool, .. } = &step.state {
            self.used(pool.clone(), &step.key.tenant).dispatches += 1;
            self.held.insert(place, Hold { pool: pool.clone(), since: step.since });
        } else if let Some(hold) = self.held.remove(&place) {
            self.used(hold.pool, &step.key.tenant).add(step.since.since(hold.since));
        }
    }

    /// A new owner charges what runs from its first moment on.
    pub(crate) fn reloaded(&mut self, now: Time) {
        self.ended.clear();
        for hold in self.held.values_mut() {
            hold.since = now;
        }
    }

    /// What each tenant has had of a pool until that moment.
    pub(crate) fn until(&self, now: Time, pool: &PoolName) -> BTreeMap<TenantId, Used> {
        let mut until = self.ended.get(pool).cloned().unwrap_or_default();
        for ((key, _), hold) in self.held.iter().filter(|(_, hold)| hold.pool == *pool) {
            let used = until.entry(key.tenant.clone()).or_default();
            used.add(now.since(hold.since));
            used.held += 1;
        }
        until
    }

    fn used(&mut self, pool: PoolName, tenant: &TenantId) -> &mut Used {
        self.ended.entry(pool).or_default().entry(tenant.clone()).or_default()
    }
}

impl Used {
    pub(crate) fn join(&mut self, other: Self) {
        self.slot_time.0 += other.slot_time.0;
        self.longest = self.longest.max(other.longest);
        self.dispatches += other.dispatches;
        self.held += other.held;
    }

    fn add(&mut self, step: Span) {
        self.slot_time.0 += step.0;
        self.longest = self.longest.max(step);
    }
}
