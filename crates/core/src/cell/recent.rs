//! Idempotency keys of the last minutes.
//!
//! The surroundings look a key up in the store before they send a submission; what was committed since then is
//! known here. So memory follows the pace of submissions, and not the keys' retention.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::id::RunId;
use crate::row::RunKey;
use crate::scheduler::TenantIx;
use crate::time::{Span, Time};

/// Longer than any request can take between its look-up and its turn.
pub(crate) const KEPT: Span = Span::from_secs(120);

pub(crate) type Key = (TenantIx, Arc<str>);

#[derive(Debug, Default)]
pub(crate) struct Recent {
    known: BTreeMap<Key, (RunId, [u8; 32])>,
    order: VecDeque<(Time, Key)>,
}

impl Recent {
    pub(crate) fn add(&mut self, now: Time, key: Key, run: RunId, digest: [u8; 32]) {
        while self.order.front().is_some_and(|(at, _)| now.since(*at) > KEPT) {
            if let Some((_, key)) = self.order.pop_front() {
                self.known.remove(&key);
            }
        }
        self.known.insert(key.clone(), (run, digest));
        self.order.push_back((now, key));
    }

    /// These runs are gone, and so is what led to them.
    pub(crate) fn forget(&mut self, now: Time, runs: &[RunKey]) {
        let since = (now - KEPT).as_millis();
        // Ids begin with the time at which their runs came in: those of older ones are not looked for, which takes time in all.
        let is_recent = |run: &RunId| run.millis() >= since;
        let gone: BTreeSet<RunId> = runs.iter().map(|key| key.run).filter(is_recent).collect();
        if !gone.is_empty() {
            self.known.retain(|_, (run, _)| !gone.contains(run));
        }
    }

    pub(crate) fn find(&self, tenant: TenantIx, key: &Arc<str>) -> Option<(RunId, [u8; 32])> {
        self.known.get(&(tenant, key.clone())).copied()
    }
}
