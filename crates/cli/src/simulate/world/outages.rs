//! What is out at a time: slots of pools, and work that is slower or fails.

use fairlane_core::id::PoolName;
use fairlane_core::time::{Span, Time};

use super::{Event, World};
use crate::simulate::scenario::{Outage, Range};

impl World<'_> {
    /// The moments at which pools lose slots, or have them again.
    pub(super) fn plan_outages(&mut self) {
        let scenario = self.scenario;
        for outage in &scenario.outages {
            let Some(pool) = outage.pool.as_ref().and_then(|name| PoolName::parse(name).ok())
            else {
                continue;
            };
            for moment in [outage.at, outage.ends()] {
                self.plan(self.now + moment, Event::Slots(pool.clone()));
            }
        }
    }

    /// A pool has as many slots as the outages leave it. What is under way goes on.
    pub(super) fn change_slots(&mut self, pool: &PoolName) {
        let now = self.since_start();
        let of = |outage: &&Outage| outage.pool.as_deref() == Some(pool.as_str());
        let on = self.scenario.outages.iter().filter(of).filter(|outage| outage.is_on(now));
        let left = on.map(|outage| outage.slots.unwrap_or(0)).min();
        let Some(worker) = self.workers.get_mut(pool) else { return };
        let slots = left.map_or(worker.declared, |left| left.min(worker.declared));
        if slots != worker.slots {
            worker.slots = slots;
            worker.is_changed = true;
        }
    }

    /// How long work takes now by an outage, and how many attempts fail; of several, by the last that says it.
    pub(super) fn outage_of(&self, work: &str) -> (Option<Range>, Option<u32>) {
        let now = self.since_start();
        let of = |outage: &&Outage| outage.work.as_deref() == Some(work) && outage.is_on(now);
        self.scenario.outages.iter().filter(of).fold((None, None), |(takes, fails), outage| {
            (outage.takes.or(takes), outage.fails_percent().or(fails))
        })
    }

    fn since_start(&self) -> Span {
        self.now.since(Time(self.scenario.start.0))
    }
}
