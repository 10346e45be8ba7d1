//! What is declared at each point of the stream of changes.

use std::collections::BTreeMap;
use std::sync::Arc;

use fairlane_core::cell::change::Change;
use fairlane_core::id::{OrgId, PoolName, TenantId};
use fairlane_core::pool::{Pool, Valve};
use fairlane_core::tenant::{Context, Org};

#[derive(Debug, Default)]
pub(crate) struct Declared {
    pub(crate) orgs: BTreeMap<OrgId, Org>,
    pub(crate) contexts: BTreeMap<TenantId, Arc<Context>>,
    pub(crate) pools: BTreeMap<PoolName, Pool>,
    pub(crate) valve: Valve,
    /// Calls are limited or money is short: who has work waiting may have no use for a slot.
    pub(crate) has_gates: bool,
}

impl Declared {
    pub(crate) fn follow(&mut self, change: &Change) {
        match change {
            Change::Org(org) => drop(self.orgs.insert(org.id.clone(), org.clone())),
            Change::Tenant(tenant, context) => {
                self.contexts.insert(tenant.id.clone(), context.clone());
            }
            Change::Pool(pool) => drop(self.pools.insert(pool.name.clone(), pool.clone())),
            Change::Tool(_) | Change::Class(_) => self.has_gates = true,
            Change::Valve(valve) => self.valve = valve.clone(),
            _ => {}
        }
    }
}
