//! How many requests are taken of a key, and of all keys of a tenant together.
//!
//! Counted is who has authenticated, and nobody else: what anybody can send (an address, a header, the id of a key) is never
//! counted against anyone, so that nobody can be locked out by others. Attempts with a wrong secret count for nothing.
//!
//! The rule is the generic cell rate algorithm (ITU-T I.371): of each counted one only the time is kept at which all that it
//! has sent would have been sent evenly.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use fairlane_core::id::{KeyId, TenantId};
use fairlane_core::row::{KeyRow, Role};
use tokio::time::Instant;

/// So much of what is allowed may come at once.
pub(crate) const AT_ONCE: Duration = Duration::from_secs(10);
/// Those that have sent nothing for a while are forgotten when there are this many, and twice as many as were left then.
const FORGET_FROM: usize = 4_096;

/// Counts requests. A time for each key and tenant that has sent some of late.
#[derive(Debug)]
pub(crate) struct Limits {
    /// Requests a second of all keys of a tenant. `None`: as many as come.
    tenant_rate: Option<u32>,
    counted: Mutex<Counted>,
}

#[derive(Debug, Default)]
struct Counted {
    keys: Lines<KeyId>,
    tenants: Lines<TenantId>,
}

/// Until when what each has sent would have been sent evenly.
#[derive(Debug)]
struct Lines<K> {
    until: BTreeMap<K, Instant>,
    forget_at: usize,
}

/// There are too many requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limited {
    pub(crate) of: Of,
    /// Requests a second that are allowed.
    pub(crate) rate: u32,
    /// When there is room for the next one.
    pub(crate) wait: Duration,
}

/// Whose limit it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Of {
    Key,
    Tenant,
}

impl Limits {
    pub(crate) fn new(tenant_rate: Option<u32>) -> Self {
        Self { tenant_rate, counted: Mutex::default() }
    }

    /// Counts a request with the key, if there is room for it. O(log n) of those that have sent some of late.
    pub(crate) fn take(&self, key: &KeyRow, now: Instant) -> Result<(), Limited> {
        let tenant = match &key.role {
            Role::Tenant { tenant, .. } => Some(tenant),
            Role::Operator | Role::Worker { .. } | Role::Reviewer { .. } => None,
        };
        self.count(key.rate.map(|rate| (&key.id, rate)), tenant, now)
    }

    /// Counts a request that a lease of the tenant makes.
    pub(crate) fn take_of_tenant(&self, tenant: &TenantId, now: Instant) -> Result<(), Limited> {
        self.count(None, Some(tenant), now)
    }

    /// What one of the two refuses is not counted by the other.
    fn count(
        &self,
        key: Option<(&KeyId, u32)>,
        tenant: Option<&TenantId>,
        now: Instant,
    ) -> Result<(), Limited> {
        let tenant = tenant.zip(self.tenant_rate);
        if key.is_none() && tenant.is_none() {
            return Ok(());
        }
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let limited = |of, rate| move |wait| Limited { of, rate, wait };
        if let Some((id, rate)) = key {
            counted.keys.room(id, rate, now).map_err(limited(Of::Key, rate))?;
        }
        if let Some((id, rate)) = tenant {
            counted.tenants.room(id, rate, now).map_err(limited(Of::Tenant, rate))?;
            counted.tenants.add(id, rate, now);
        }
        if let Some((id, rate)) = key {
            counted.keys.add(id, rate, now);
        }
        Ok(())
    }
}

impl<K: Ord + Clone> Lines<K> {
    /// How long there is no room for one more.
    fn room(&self, id: &K, rate: u32, now: Instant) -> Result<(), Duration> {
        let until = self.until.get(id).copied().unwrap_or(now);
        let ahead = until.saturating_duration_since(now) + interval(rate);
        match ahead.checked_sub(AT_ONCE.max(interval(rate))) {
            None | Some(Duration::ZERO) => Ok(()),
            Some(wait) => Err(wait),
        }
    }

    fn add(&mut self, id: &K, rate: u32, now: Instant) {
        if self.until.len() >= self.forget_at {
            self.until.retain(|_, until| *until > now);
            self.forget_at = FORGET_FROM.max(2 * self.until.len());
        }
        match self.until.get_mut(id) {
            Some(until) => *until = (*until).max(now) + interval(rate),
            None => drop(self.until.insert(id.clone(), now + interval(rate))),
        }
    }
}

impl<K> Default for Lines<K> {
    fn default() -> Self {
        Self { until: BTreeMap::new(), forget_at: FORGET_FROM }
    }
}

fn interval(rate: u32) -> Duration {
    Duration::from_secs(1) / rate.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fairlane_core::row::Credential;
    use fairlane_core::time::Time;

    fn key(id: &str, role: Role, rate: Option<u32>) -> KeyRow {
        KeyRow {
            id: id.parse().unwrap(),
            credential: Credential::Secret([0; 32]),
            role,
            created: Time(1),
            expires: None,
            rate,
            label: "".into(),
        }
    }

    fn of(tenant: &str) -> Role {
        let access = fairlane_core::row::Access::Full;
        Role::Tenant { tenant: tenant.parse().unwrap(), access, person: None }
    }

    /// How many of so many are taken at that time.
    fn taken(limits: &Limits, key: &KeyRow, now: Instant, sent: usize) -> usize {
        (0..sent).filter(|_| limits.take(key, now).is_ok()).count()
    }

    #[test]
    fn a_key_has_ten_seconds_worth_at_once_and_then_its_rate() {
        let (limits, start) = (Limits::new(None), Instant::now());
        let slow = key("slow", Role::Operator, Some(3));
        assert_eq!(taken(&limits, &slow, start, 100), 30);
        let refused = limits.take(&slow, start).unwrap_err();
        assert_eq!((refused.of, refused.rate), (Of::Key, 3));
        assert!(refused.wait <= interval(3), "{refused:?}");
        assert_eq!(taken(&limits, &slow, start + refused.wait, 100), 1);
        assert_eq!(taken(&limits, &slow, start + AT_ONCE + Duration::from_secs(1), 100), 30);
        assert_eq!(taken(&limits, &key("free", Role::Operator, None), start, 1_000), 1_000);
    }

    #[test]
    fn all_keys_of_a_tenant_share_its_rate_and_no_others() {
        let (limits, start) = (Limits::new(Some(1)), Instant::now());
        let one = key("one", of("a"), Some(1_000));
        assert_eq!(taken(&limits, &one, start, 100), 10);
        let two = key("two", of("a"), None);
        assert_eq!(limits.take(&two, start).unwrap_err().of, Of::Tenant);
        assert_eq!(taken(&limits, &key("three", of("b"), None), start, 100), 10);
        let worker = Role::Worker { pools: Vec::new(), tenants: Vec::new(), region: None };
        assert_eq!(taken(&limits, &key("worker", worker, None), start, 100), 100);
        let lease = limits.take_of_tenant(&"a".parse().unwrap(), start);
        assert_eq!(lease.unwrap_err().of, Of::Tenant);
    }

    #[test]
    fn what_the_tenants_limit_refuses_is_not_counted_against_the_key() {
        let (limits, start) = (Limits::new(Some(1)), Instant::now());
        let key = key("key", of("a"), Some(2));
        assert_eq!(taken(&limits, &key, start, 1_000), 10);
        assert_eq!(taken(&limits, &key, start + AT_ONCE, 1_000), 10);
    }

    #[test]
    fn who_is_quiet_is_forgotten() {
        let (limits, start) = (Limits::new(Some(1)), Instant::now());
        for at in 0..3 * FORGET_FROM {
            let now = start + Duration::from_secs(2 * at as u64);
            limits.take_of_tenant(&format!("t{at}").parse().unwrap(), now).unwrap();
        }
        assert!(limits.counted.lock().unwrap().tenants.until.len() <= FORGET_FROM);
    }
}
