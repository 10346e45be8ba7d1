//! P5: a tenant's priorities change nothing for others. The same seed is played with the lanes of one tenant's runs
//! turned, and every step of every other tenant must be dispatched at the same moment as before.
//!
//! That can be asked where a tenant's runs are alike but for their lanes, since it is then only the order inside the tenant
//! that is turned.

use fairlane_core::cell::change::Change;
use fairlane_core::id::{PoolName, TenantId};
use fairlane_core::row::{Instance, RunKey, StepState};
use fairlane_core::time::Time;

use crate::violation::{Verdict, holds};

const PROMISE: &str = "P5 priority stays at home";

/// Every dispatch of one simulation, in order.
#[derive(Debug, Default)]
pub(crate) struct Dispatches(Vec<Dispatch>);

#[derive(Debug, PartialEq, Eq)]
struct Dispatch {
    at: Time,
    pool: PoolName,
    key: RunKey,
    instance: Instance,
}

impl Dispatches {
    pub(crate) fn follow(&mut self, change: &Change) {
        let Change::Step(step) = change else { return };
        if let StepState::Leased { pool, .. } = &step.state {
            let (key, pool) = (step.key.clone(), pool.clone());
            self.0.push(Dispatch { at: step.since, pool, key, instance: step.instance });
        }
    }

    /// Compares with the dispatches of the simulation in which that tenant's lanes are turned.
    pub(crate) fn agree(&self, turned: &Self, tenant: &TenantId) -> Verdict {
        let (here, there) = (self.of_others(tenant), turned.of_others(tenant));
        let first = here.iter().zip(&there).find(|(here, there)| here != there);
        holds(first.is_none() && here.len() == there.len(), PROMISE, || {
            format!(
                "with other lanes for {tenant} others have {} dispatches and not {}, the first \
                 that differs is {first:?}",
                there.len(),
                here.len()
            )
        })
    }

    fn of_others(&self, tenant: &TenantId) -> Vec<&Dispatch> {
        self.0.iter().filter(|dispatch| dispatch.key.tenant != *tenant).collect()
    }
}
