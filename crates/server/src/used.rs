//! Idempotency keys that the store may have. Nearly every submission brings a key that nobody has used, and to ask
//! the store for it costs more than the rest of the request; here most of them are known to be new.
//!
//! Bloom filters (Bloom, "Space/time trade-offs in hash coding with allowable errors", 1970): each says for certain
//! that a key was never noted, or that it may have been. A key is noted before its submission is sent, so that none
//! can be in the store and not here. Filters are added as they fill, each twice as large as the one before, and let
//! go when the youngest of their keys is past its retention. One look is O(filters), at most [`FILTERS_MAX`].
//!
//! INVARIANT: what is called new is not in the store. Until the keys of an earlier start have been read, and when
//! there is no room left, nothing is called new and the store is asked.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

use fairlane_core::auth::AllTenants;
use fairlane_core::id::TenantId;
use fairlane_core::tenant::TenantScope;
use fairlane_core::time::{Span, Time};
use fairlane_store::{Error, IDEMPOTENCY_RETENTION, PAGE_MAX};
use fastbloom::AtomicBloomFilter;

use crate::reads::Reads;

/// Bits of the first filter: 64 KiB, which is little for an idle server and enough for fifty thousand keys.
const BITS_MIN: usize = 1 << 19;
/// Bits of the largest filters, 32 MiB each.
const BITS_MAX: usize = 1 << 28;
/// One key in a hundred that is new is taken for one that may be known.
const BITS_PER_KEY: usize = 10;
/// With all of them 256 MiB, for two hundred million keys in a day: 2,400 a second.
const FILTERS_MAX: usize = 16;
/// How long keys are remembered: an hour beyond their retention, for clocks that differ and sweeps that come late.
const KEPT: Span = Span(IDEMPOTENCY_RETENTION.0 + 3_600 * 1_000_000);

#[derive(Debug)]
pub(crate) struct UsedKeys {
    hasher: RandomState,
    filters: RwLock<Vec<Filter>>,
    /// The keys that the store had at the start are noted.
    is_complete: AtomicBool,
    /// Keys were not noted for want of room; before this time, in microseconds, any key may be one of them.
    blind_until: AtomicU64,
}

#[derive(Debug)]
struct Filter {
    bits: AtomicBloomFilter,
    keys: AtomicU64,
    keys_max: u64,
    /// When the last key was noted, in microseconds.
    newest: AtomicU64,
}

impl UsedKeys {
    /// `is_new_store`: there are no keys from before.
    pub(crate) fn new(is_new_store: bool) -> Self {
        Self {
            hasher: RandomState::new(),
            filters: RwLock::new(vec![Filter::new(BITS_MIN)]),
            is_complete: AtomicBool::new(is_new_store),
            blind_until: AtomicU64::new(0),
        }
    }

    /// Notes the key. True if it is certain that the store does not have it.
    pub(crate) fn is_new(&self, now: Time, scope: &TenantScope, key: &str) -> bool {
        // Before the look: keys that are noted between the two would be neither found nor still awaited.
        let knows_all = self.is_complete.load(Ordering::Acquire)
            && now.0 >= self.blind_until.load(Ordering::Acquire);
        let hash = self.hasher.hash_one((scope.tenant().as_str(), key));
        !self.note(now, hash) && knows_all
    }

    /// Notes the keys that the store has of these tenants. To be called off the threads that serve connections.
    ///
    /// # Errors
    /// If the store cannot be read: then it goes on being asked for each key.
    pub(crate) fn read_from_store(
        &self,
        now: Time,
        (rights, tenants): (AllTenants, &[TenantId]),
        reads: &Reads,
    ) -> Result<(), Error> {
        for tenant in tenants {
            let scope = rights.scope(tenant);
            let mut after = None;
            loop {
                let page = reads.here(&scope, |reader| {
                    reader.idempotency_keys(&scope, after.as_deref(), PAGE_MAX)
                })?;
                for key in &page.rows {
                    self.note(now, self.hasher.hash_one((tenant.as_str(), &**key)));
                }
                match page.next {
                    Some(next) => after = Some(next),
                    None => break,
                }
            }
        }
        self.is_complete.store(true, Ordering::Release);
        Ok(())
    }

    /// True if the key may have been noted before.
    fn note(&self, now: Time, hash: u64) -> bool {
        let (was_noted, is_full) = {
            let filters = self.filters.read().unwrap_or_else(PoisonError::into_inner);
            let (newest, older) = filters.split_last().expect("there is always one filter");
            if newest.renew(now, hash) {
                return true;
            }
            // Noted again: the store may have swept it, and keep it anew for longer than an older filter lives.
            let was_noted = older.iter().any(|filter| filter.bits.contains_hash(hash));
            (was_noted, !newest.take(now, hash))
        };
        if is_full {
            self.grow(now, hash);
        }
        was_noted
    }

    fn grow(&self, now: Time, hash: u64) {
        let mut filters = self.filters.write().unwrap_or_else(PoisonError::into_inner);
        filters.retain(|filter| now.since(Time(filter.newest.load(Ordering::Relaxed))) < KEPT);
        // Another thread may have been here first.
        if filters.last().is_some_and(|filter| filter.take(now, hash)) {
            return;
        }
        if filters.len() >= FILTERS_MAX {
            self.blind_until.fetch_max((now + KEPT).0, Ordering::AcqRel);
            return;
        }
        let bits = filters.last().map_or(BITS_MIN, |last| (last.bits.num_bits() * 2).min(BITS_MAX));
        let filter = Filter::new(bits);
        filter.take(now, hash);
        filters.push(filter);
    }
}

impl Filter {
    fn new(bits: usize) -> Self {
        let keys_max = bits / BITS_PER_KEY;
        Self {
            bits: AtomicBloomFilter::with_num_bits(bits).expected_items(keys_max),
            keys: AtomicU64::new(0),
            keys_max: keys_max as u64,
            newest: AtomicU64::new(0),
        }
    }

    /// True if the key may be in it, which is then as young as now.
    fn renew(&self, now: Time, hash: u64) -> bool {
        let is_in = self.bits.contains_hash(hash);
        if is_in {
            self.newest.fetch_max(now.0, Ordering::Relaxed);
        }
        is_in
    }

    /// Notes the key, unless the filter is full.
    fn take(&self, now: Time, hash: u64) -> bool {
        if self.keys.fetch_add(1, Ordering::Relaxed) >= self.keys_max {
            return false;
        }
        self.bits.insert_hash(hash);
        self.newest.fetch_max(now.0, Ordering::Relaxed);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time(1_800_000_000_000_000);

    fn scope(tenant: &str) -> TenantScope {
        let rights = fairlane_core::cell::change::Snapshot::default().all_tenants();
        rights.scope(&TenantId::parse(tenant).unwrap())
    }

    #[test]
    fn a_key_is_new_once_for_each_tenant() {
        let used = UsedKeys::new(true);
        assert!(used.is_new(NOW, &scope("acme"), "a"));
        assert!(!used.is_new(NOW, &scope("acme"), "a"));
        assert!(used.is_new(NOW, &scope("bolt"), "a"));
    }

    #[test]
    fn no_key_is_ever_taken_for_new_twice_however_many_there_are() {
        let used = UsedKeys::new(true);
        let acme = scope("acme");
        let keys: Vec<String> = (0..200_000).map(|at| format!("key-{at}")).collect();
        let taken_for_known = keys.iter().filter(|key| !used.is_new(NOW, &acme, key)).count();
        assert!(taken_for_known < keys.len() / 50, "{taken_for_known} of {}", keys.len());
        assert!(used.filters.read().unwrap().len() > 1, "the first filter was enough");
        assert!(keys.iter().all(|key| !used.is_new(NOW, &acme, key)));
    }

    #[test]
    fn a_key_that_is_used_again_is_known_for_as_long_as_the_store_keeps_it() {
        let used = UsedKeys::new(true);
        let acme = scope("acme");
        let fill = |now: Time| {
            let begun = used.filters.read().unwrap().len();
            let mut at = 0;
            while used.filters.read().unwrap().len() == begun {
                used.is_new(now, &acme, &format!("{now}-{at}"));
                at += 1;
            }
        };
        assert!(used.is_new(NOW, &acme, "a"));
        fill(NOW);
        let again = NOW + IDEMPOTENCY_RETENTION;
        assert!(!used.is_new(again, &acme, "a"));
        // The first filter is let go when the second is full.
        fill(NOW + KEPT);
        assert!(!used.is_new(NOW + KEPT, &acme, "a"));
    }

    #[test]
    fn nothing_is_new_before_the_keys_of_an_earlier_start_are_read() {
        let used = UsedKeys::new(false);
        assert!(!used.is_new(NOW, &scope("acme"), "a"));
        used.is_complete.store(true, Ordering::Release);
        assert!(used.is_new(NOW, &scope("acme"), "b"));
        assert!(!used.is_new(NOW, &scope("acme"), "a"), "it was noted while the store was read");
    }

    #[test]
    fn without_room_nothing_is_new_until_what_was_not_noted_is_past_its_retention() {
        let used = UsedKeys::new(true);
        {
            let mut filters = used.filters.write().unwrap();
            filters.clear();
            filters.extend((0..FILTERS_MAX).map(|_| Filter::new(640)));
            for filter in filters.iter() {
                filter.keys.store(filter.keys_max, Ordering::Relaxed);
                filter.newest.store(NOW.0, Ordering::Relaxed);
            }
        }
        let acme = scope("acme");
        let later = NOW + KEPT;
        assert!(used.is_new(NOW, &acme, "a"), "every key until then was noted");
        assert!(!used.is_new(NOW, &acme, "a"), "this one was not");
        assert!(!used.is_new(later - Span::from_secs(1), &acme, "b"));
        let past = later + KEPT;
        assert!(used.is_new(past, &acme, "a"), "all of it is past its retention");
        assert_eq!(used.filters.read().unwrap().len(), 1);
    }
}
