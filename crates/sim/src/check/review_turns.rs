//! How often others are served while somebody's review waits.
//!
//! In a shared pool whose members do not pick, and inside one class, tenant `i` waits with something that a reviewer may
//! decide. Its tag is at most `1/w_i` above the virtual time at which it was served last; a tenant `j` that a reviewer takes
//! instead stands at no higher tag, which is raised by `1/w_j` each time, and by the first one to the virtual time at least.
//! So before `i` is served, `j` is served at most `floor(w_j / w_i) + 2` times, and once more for each of its claims that
//! came to nothing and were given back.

use std::collections::{BTreeMap, BTreeSet};

use fairlane_core::id::{ReviewerPoolName, TenantId};
use fairlane_core::row::ReviewRow;

use super::reviews::File;
use crate::rows::Rows;
use crate::violation::{Verdict, holds};

const PROMISE: &str = "reviews: turns";

type Place = (ReviewerPoolName, u8);

#[derive(Debug, Default)]
pub(crate) struct Turns {
    /// In a place, for who waits: how often each other tenant was served since the first one was.
    served: BTreeMap<(Place, TenantId), BTreeMap<TenantId, u64>>,
    /// In a place, claims of a tenant that were given back since then.
    refunds: BTreeMap<(Place, TenantId), u64>,
}

impl Turns {
    /// Weights, people or places are others now. What was given back before still counts: the tags are as they were.
    pub(crate) fn forget(&mut self) {
        self.served.clear();
    }

    /// All tags begin anew.
    pub(crate) fn begin(&mut self) {
        self.served.clear();
        self.refunds.clear();
    }

    /// A tenant is served by somebody who could have served those who wait.
    pub(crate) fn served(
        &mut self,
        (pool, class): (&ReviewerPoolName, u8),
        tenant: &TenantId,
        waiting: &BTreeSet<TenantId>,
        rows: &Rows,
    ) -> Verdict {
        let place = (pool.clone(), class);
        self.served.remove(&(place.clone(), tenant.clone()));
        let weight = |tenant| rows.context(tenant).map_or(1, |context| u64::from(context.weight));
        let refunds = self.refunds.get(&(place.clone(), tenant.clone())).copied().unwrap_or(0);
        for one in waiting {
            let others = self.served.entry((place.clone(), one.clone())).or_default();
            let times = others.entry(tenant.clone()).or_default();
            *times += 1;
            let most = weight(tenant) / weight(one).max(1) + 2 + refunds;
            holds(*times <= most, PROMISE, || {
                format!(
                    "{tenant} is served {times} times in {place:?} while {one} waits, {most} may be"
                )
            })?;
        }
        Ok(())
    }

    /// A claim came to nothing.
    pub(crate) fn refunded(&mut self, (pool, class): (&ReviewerPoolName, u8), tenant: &TenantId) {
        *self.refunds.entry(((pool.clone(), class), tenant.clone())).or_default() += 1;
    }

    /// A tenant was charged out of turn, or its review moved: it may wait longer from here.
    pub(crate) fn charged(&mut self, file: &File, row: &ReviewRow) {
        let (pool, class) = file.place();
        let place = (pool.clone(), class);
        self.served.retain(|(of, tenant), _| *of != place || *tenant != row.tenant);
        self.refunded((pool, class), &row.tenant);
    }
}
