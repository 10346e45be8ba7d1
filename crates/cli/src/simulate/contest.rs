//! How evenly the slots of a pool are shared while there are too few: Jain's index over what tenants received of what they
//! were entitled to.
//!
//! Only the time counts in which all slots of the pool are held. In it, a tenant's *demand* is the slot time that its steps
//! used, and that those could have used which waited; its *entitlement* is what water filling by weights and caps gives it,
//! and never more than its demand; its *service* is what it used. The index is taken over service / entitlement of the
//! tenants that have a demand, in each column of time by itself, and its mean is weighed by how long the pool was full.
//! What a step waits after a failed attempt is not counted. Caps of organisations are not looked at.

use std::collections::BTreeMap;

use fairlane_core::cell::change::Snapshot;
use fairlane_core::id::{PoolName, TenantId};
use fairlane_core::time::{Span, Time};
use serde::Serialize;

use super::story::COLUMNS;
use crate::measure;
use crate::measure::share::{Claim, Member, jain_of_shares};

#[derive(Debug, Default)]
pub(super) struct Contest {
    tenants: BTreeMap<TenantId, usize>,
    /// By the tenant's number.
    shares: Vec<Share>,
    org_weights: Vec<f64>,
    pools: BTreeMap<PoolName, Pool>,
}

#[derive(Clone, Copy, Debug)]
struct Share {
    org: usize,
    weight: f64,
    cap: f64,
}

#[derive(Debug, Default)]
struct Pool {
    slots: u32,
    held: Vec<Stretch>,
    waited: Vec<Stretch>,
}

/// From when to when a step of a tenant held or wanted a slot.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    tenant: usize,
    from: Time,
    until: Time,
}

/// How a pool was used and shared.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Shared {
    pub(super) name: String,
    pub(super) slots: u32,
    /// Slot time used, of what there was.
    pub(super) used: f64,
    /// For how long all of its slots were held.
    pub(super) full_us: u64,
    /// Absent if it was never full.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) jain: Option<f64>,
}

/// Slot-microseconds of one tenant in one column.
#[derive(Clone, Copy, Debug, Default)]
struct Cell {
    service: u64,
    waited: u64,
}

impl Contest {
    pub(super) fn new(declared: &Snapshot) -> Self {
        let orgs: BTreeMap<_, usize> =
            declared.orgs.iter().zip(0..).map(|(org, at)| (&org.id, at)).collect();
        let mut newest = BTreeMap::new();
        for context in &declared.contexts {
            newest.insert(context.tenant.clone(), context);
        }
        let shares = newest.values().map(|context| Share {
            org: orgs.get(&context.org).copied().unwrap_or_default(),
            weight: f64::from(context.weight),
            cap: f64::from(context.cap),
        });
        let pools = declared
            .pools
            .iter()
            .map(|pool| (pool.name.clone(), Pool { slots: pool.slots, ..Pool::default() }));
        Self {
            shares: shares.collect(),
            org_weights: declared.orgs.iter().map(|org| f64::from(org.weight)).collect(),
            pools: pools.collect(),
            tenants: newest.into_keys().zip(0..).collect(),
        }
    }

    pub(super) fn held(&mut self, pool: &PoolName, tenant: &TenantId, (from, until): (Time, Time)) {
        let tenant = self.tenants.get(tenant);
        if let (Some(tenant), Some(pool)) = (tenant, self.pools.get_mut(pool)) {
            pool.held.push(Stretch { tenant: *tenant, from, until });
        }
    }

    /// A step wanted a slot and had none.
    pub(super) fn waited(
        &mut self,
        pool: &PoolName,
        tenant: &TenantId,
        (from, until): (Time, Time),
    ) {
        let tenant = self.tenants.get(tenant).filter(|_| from < until);
        if let (Some(tenant), Some(pool)) = (tenant, self.pools.get_mut(pool)) {
            pool.waited.push(Stretch { tenant: *tenant, from, until });
        }
    }

    /// Over a play of that length, in columns of that width.
    pub(super) fn shared(&self, (start, end): (Time, Time), width: Span) -> Vec<Shared> {
        self.pools
            .iter()
            .map(|(name, pool)| self.of_pool(name, pool, (start, end), width))
            .collect()
    }

    fn of_pool(
        &self,
        name: &PoolName,
        pool: &Pool,
        (start, end): (Time, Time),
        width: Span,
    ) -> Shared {
        let full = full(pool);
        let mut lasted = vec![0; COLUMNS];
        for (from, until) in &full {
            spread((*from, *until), (start, width), |column, part| lasted[column] += part);
        }
        let mut cells = vec![BTreeMap::<usize, Cell>::new(); COLUMNS];
        let mut add = |stretches: &[Stretch], count: fn(&mut Cell, u64)| {
            for stretch in stretches {
                for both in overlaps(&full, stretch) {
                    spread(both, (start, width), |column, part| {
                        count(cells[column].entry(stretch.tenant).or_default(), part);
                    });
                }
            }
        };
        add(&pool.held, |cell, part| cell.service += part);
        add(&pool.waited, |cell, part| cell.waited += part);
        let columns = cells.iter().zip(&lasted).filter(|(_, lasted)| **lasted > 0);
        let (mut sum, mut weight) = (0.0, 0.0);
        for (cells, lasted) in columns {
            let length = float(*lasted);
            if let Some(index) = self.index(cells, f64::from(pool.slots) * length, length) {
                sum += index * length;
                weight += length;
            }
        }
        let used: u64 = pool.held.iter().map(|held| held.until.since(held.from).0).sum();
        let offered = end.since(start).0.saturating_mul(pool.slots.into());
        Shared {
            name: name.to_string(),
            slots: pool.slots,
            used: measure::ratio(used, offered.max(1)),
            full_us: lasted.iter().sum(),
            jain: (weight > 0.0).then(|| sum / weight),
        }
    }

    fn index(&self, cells: &BTreeMap<usize, Cell>, capacity: f64, length: f64) -> Option<f64> {
        let members: Vec<Member> = cells
            .iter()
            .map(|(tenant, cell)| {
                let Share { org, weight, cap } = self.shares[*tenant];
                let demand = float(cell.service + cell.waited);
                Member { org, claim: Claim { weight, limit: demand.min(cap * length) } }
            })
            .collect();
        let received = cells.values().map(|cell| float(cell.service));
        jain_of_shares(capacity, &self.org_weights, &members, received)
    }
}

/// When all slots were held, in order.
fn full(pool: &Pool) -> Vec<(Time, Time)> {
    let mut turns: Vec<(Time, i64)> = Vec::with_capacity(pool.held.len() * 2);
    for stretch in &pool.held {
        turns.push((stretch.from, 1));
        turns.push((stretch.until, -1));
    }
    turns.sort_unstable();
    let (mut full, mut held, mut since) = (Vec::new(), 0, None);
    for at_once in turns.chunk_by(|a, b| a.0 == b.0) {
        let now = at_once[0].0;
        held += at_once.iter().map(|(_, change)| change).sum::<i64>();
        match (since, held >= i64::from(pool.slots)) {
            (None, true) => since = Some(now),
            (Some(from), false) => {
                full.push((from, now));
                since = None;
            }
            _ => {}
        }
    }
    full
}

/// The parts of a stretch in which the pool was full.
fn overlaps<'a>(
    full: &'a [(Time, Time)],
    stretch: &'a Stretch,
) -> impl Iterator<Item = (Time, Time)> + 'a {
    let first = full.partition_point(|(_, until)| *until <= stretch.from);
    let inside = full[first..].iter().take_while(|(from, _)| *from < stretch.until);
    inside.map(|(from, until)| ((*from).max(stretch.from), (*until).min(stretch.until)))
}

/// Cuts a time into its columns.
fn spread(
    (from, until): (Time, Time),
    (start, width): (Time, Span),
    mut add: impl FnMut(usize, u64),
) {
    let mut from = from;
    while from < until {
        let column = from.since(start).0 / width.0;
        let ends = (start + Span((column + 1) * width.0)).min(until);
        let column = usize::try_from(column).unwrap_or(COLUMNS).min(COLUMNS - 1);
        add(column, ends.since(from).0);
        from = ends;
    }
}

#[expect(clippy::cast_precision_loss, reason = "slot time, for a report")]
const fn float(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two slots, and two tenants of the same weight; stretches in seconds.
    fn shared(held: &[(usize, u64, u64)], waited: &[(usize, u64, u64)]) -> Shared {
        let at = |(tenant, from, until): &(usize, u64, u64)| {
            let [from, until] = [from, until].map(|second| Time(second * 1_000_000));
            Stretch { tenant: *tenant, from, until }
        };
        let pool = Pool {
            slots: 2,
            held: held.iter().map(at).collect(),
            waited: waited.iter().map(at).collect(),
        };
        let share = |org| Share { org, weight: 1.0, cap: 2.0 };
        let contest = Contest {
            shares: vec![share(0), share(1)],
            org_weights: vec![1.0, 1.0],
            ..Contest::default()
        };
        let name = PoolName::parse("p").unwrap();
        let end = Time(240_000_000);
        contest.of_pool(&name, &pool, (Time(0), end), Span(1_000_000))
    }

    #[test]
    fn a_pool_that_is_never_full_is_shared_with_nobody() {
        let alone = shared(&[(0, 0, 10), (1, 20, 30)], &[(1, 0, 20)]);
        assert_eq!((alone.jain, alone.full_us), (None, 0));
    }

    #[test]
    fn who_has_both_slots_while_another_waits_lowers_the_index() {
        let unfair = shared(&[(0, 0, 10), (0, 0, 10)], &[(1, 0, 10)]);
        assert_eq!((unfair.jain, unfair.full_us), (Some(0.5), 10_000_000));
        let fair = shared(&[(0, 0, 10), (1, 0, 10)], &[(1, 0, 10), (0, 0, 10)]);
        assert_eq!(fair.jain, Some(1.0));
        // Half the time so, half the time so; while the pool is not full nobody is looked at.
        let both =
            shared(&[(0, 0, 20), (0, 0, 10), (1, 10, 20), (0, 30, 40)], &[(1, 0, 10), (1, 30, 40)]);
        assert_eq!((both.jain, both.full_us), (Some(0.75), 20_000_000));
    }

    #[test]
    fn who_wants_less_than_its_share_has_all_that_it_is_entitled_to() {
        let little = shared(&[(0, 0, 9), (0, 0, 10), (1, 9, 10)], &[(0, 0, 10)]);
        assert!(little.jain.unwrap() > 0.999, "{little:?}");
    }
}
