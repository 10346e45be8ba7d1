//! Erasures in memory: nothing is sealed here, and what is removed is gone.

use std::collections::BTreeSet;

use fairlane_core::erasure::{Erased, ErasureRow};
use fairlane_core::id::{ReviewId, RunId, TenantId};
use fairlane_core::row::{RunKey, RunRow};

use super::rows::Rows;
use crate::store::{FORGOTTEN_MAX, Forgotten};

impl Rows {
    /// Those that are not done, oldest first.
    pub(super) fn open_erasures(&self) -> Vec<ErasureRow> {
        let open = self.erasures.values().filter(|row| row.done.is_none());
        let mut open: Vec<ErasureRow> = open.cloned().collect();
        open.sort_by(|a, b| (a.asked, &a.tenant, a.id).cmp(&(b.asked, &b.tenant, b.id)));
        open
    }

    pub(super) fn forget(&mut self) -> Forgotten {
        let mut forgotten = Forgotten::default();
        for mut erasure in self.open_erasures() {
            let room = FORGOTTEN_MAX - forgotten.runs.len();
            if room == 0 {
                forgotten.has_more = true;
                break;
            }
            let covered = self.covered(&erasure);
            let all = covered.len();
            let mut ready: Vec<RunKey> = covered
                .into_iter()
                .filter(|(_, has_ended)| *has_ended)
                .map(|(key, _)| key)
                .collect();
            let is_all = ready.len() == all && all < room;
            ready.truncate(room);
            self.remove_runs(&ready);
            erasure.runs += ready.len() as u64;
            forgotten.has_more |= !is_all && !ready.is_empty();
            forgotten.is_waiting |= !is_all;
            self.erasures.put((erasure.tenant.clone(), erasure.id), erasure.clone());
            if is_all {
                forgotten.finished.push((erasure.tenant.clone(), erasure.id, erasure.runs));
            }
            forgotten.runs.extend(ready);
        }
        self.keep();
        forgotten
    }

    /// What an erasure is about, and whether each has ended.
    fn covered(&self, erasure: &ErasureRow) -> Vec<(RunKey, bool)> {
        let of = |row: &&RunRow| row.key.tenant == erasure.tenant;
        let mut named = BTreeSet::new();
        if let Erased::Run(run) = erasure.of {
            named.insert(run);
            let called = |row: &&RunRow, named: &BTreeSet<RunId>| {
                row.parent.as_ref().is_some_and(|parent| named.contains(&parent.run))
            };
            loop {
                let more = self.runs.values().filter(of).filter(|row| called(row, &named));
                let more: Vec<RunId> =
                    more.map(|row| row.key.run).filter(|run| !named.contains(run)).collect();
                if more.is_empty() {
                    break;
                }
                named.extend(more);
            }
        }
        let runs = self.runs.values().filter(|row| {
            named.contains(&row.key.run) && row.key.tenant == erasure.tenant
                || erasure.covers(&row.key, row.subject, row.created)
        });
        runs.map(|row| (row.key.clone(), row.ended.is_some())).collect()
    }

    fn remove_runs(&mut self, runs: &[RunKey]) {
        let gone: BTreeSet<&RunKey> = runs.iter().collect();
        let is_gone =
            |tenant: &TenantId, run: RunId| gone.contains(&RunKey { tenant: tenant.clone(), run });
        let of_gone = self.reviews.values().filter(|row| is_gone(&row.tenant, row.run));
        let reviews: BTreeSet<(TenantId, ReviewId)> =
            of_gone.map(|row| (row.tenant.clone(), row.id)).collect();
        self.runs.remove_if(|key, _| gone.contains(key));
        self.steps.remove_if(|key, _| gone.contains(&key.0));
        self.children.remove_if(|key, ()| is_gone(&key.0.tenant, key.3));
        self.signals.remove_if(|key, _| gone.contains(&key.0));
        self.replans.remove_if(|key, _| gone.contains(&key.0));
        self.idempotency.remove_if(|_, row| is_gone(&row.tenant, row.run));
        self.reviews.remove_if(|key, _| reviews.contains(key));
        self.review_events.remove_if(|key, _| reviews.contains(&(key.0.clone(), key.1)));
    }
}
