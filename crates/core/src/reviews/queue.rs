//! One priority class of one pool: whose review is next, for a person who may decide some of them.
//!
//! Tenants are flows of a start-time fair queue, and one review is the unit of service. What its reviews ask of a person is
//! a [`Need`]: a tenant stands in the order of each need that it has open reviews of, at one tag in all of them, so that the
//! first whom a person can serve is found by looking at the head of each need that the person meets. Within a tenant and
//! a need, reviews that exclude the same persons share a lane, in order of their due time.
//!
//! INVARIANT: a flow stands in `order` exactly if it has open reviews, and in the order of a need exactly if it has open
//! reviews of it; a flow without any is remembered only while its tag is above virtual time.

#![warn(clippy::arithmetic_side_effects)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::id::{PersonId, ReviewId};
use crate::time::Time;

use super::Need;

/// One review at the largest weight (a million) is still charged to a millionth; a tag outlives 2^88 reviews.
const SCALE: u128 = 1 << 40;
/// Reviews that are counted one by one for a position; beyond it the position is a lower bound.
pub(super) const RANK_MAX: usize = 10_000;

type Tag = u128;
/// Where a flow stands: start tag, order of arrival, tenant.
type Stand = (Tag, u64, u32);
/// Where a review stands within its tenant: due time, and its id, which begins with when it was opened.
pub(super) type Slot = (Time, ReviewId);
/// Persons who may not decide, in order.
pub(super) type Excluded = Arc<BTreeSet<PersonId>>;

#[derive(Debug, Default)]
pub(super) struct Queue {
    virtual_time: Tag,
    highest: Tag,
    order: BTreeSet<Stand>,
    by_need: BTreeMap<Arc<Need>, BTreeSet<Stand>>,
    flows: BTreeMap<u32, Flow>,
    /// Flows without open reviews whose tag is above virtual time.
    away: BTreeSet<(Tag, u32)>,
    arrivals: u64,
    /// How often reviewers who could have served this class took something of a higher one instead, since it was
    /// last served.
    pub(super) passed: u32,
    /// Open reviews.
    open: usize,
}

#[derive(Debug)]
struct Flow {
    start: Tag,
    /// What was charged and given back, and may be caught up on.
    owed: Tag,
    weight: u32,
    arrived: u64,
    open: usize,
    groups: BTreeMap<Arc<Need>, Group>,
}

/// Open reviews of one tenant and one need.
#[derive(Debug, Default)]
struct Group {
    heads: BTreeSet<(Slot, Excluded)>,
    lanes: BTreeMap<Excluded, BTreeSet<Slot>>,
}

/// A review's place in the queue.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) tenant: u32,
    pub(super) need: Arc<Need>,
    pub(super) excluded: Excluded,
    pub(super) slot: Slot,
}

/// What one person can serve.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) person: &'a PersonId,
    /// `None`: every tenant.
    pub(super) tenants: Option<&'a BTreeSet<u32>>,
    pub(super) may: &'a dyn Fn(&Need) -> bool,
    /// Whether the person may decide what is in this need of that tenant, as far as its needs go.
    pub(super) serves: &'a dyn Fn(&Need, u32) -> bool,
}

impl Queue {
    pub(super) const fn open(&self) -> usize {
        self.open
    }

    /// Open reviews by tenant, of those that have some.
    pub(super) fn waiting(&self) -> impl Iterator<Item = (u32, u32)> {
        let flows = self.flows.iter().filter(|(_, flow)| flow.open > 0);
        flows.map(|(tenant, flow)| (*tenant, u32::try_from(flow.open).unwrap_or(u32::MAX)))
    }

    /// An open review comes to its place; its tenant to the order, if it was the first.
    pub(super) fn put(&mut self, place: &Place, weight: u32) {
        let Place { tenant, need, excluded, slot } = place;
        if self.flows.get(tenant).is_none_or(|flow| flow.open == 0) {
            self.enter(*tenant, weight);
        }
        let flow = self.flows.get_mut(tenant).expect("it has just entered");
        flow.open = flow.open.saturating_add(1);
        self.open = self.open.saturating_add(1);
        let stand = (flow.start, flow.arrived, *tenant);
        let group = flow.groups.entry(need.clone()).or_insert_with(|| {
            self.by_need.entry(need.clone()).or_default().insert(stand);
            Group::default()
        });
        group.put(excluded, *slot);
    }

    /// A review is not open any more.
    pub(super) fn take(&mut self, place: &Place) {
        let Place { tenant, need, excluded, slot } = place;
        let flow = self.flows.get_mut(tenant).expect("a tenant with a review has a flow");
        let group = flow.groups.get_mut(need).expect("a review stands in its need");
        group.take(excluded, *slot);
        flow.open = flow.open.checked_sub(1).expect("an open review was counted");
        self.open = self.open.checked_sub(1).expect("an open review was counted");
        if group.lanes.is_empty() {
            flow.groups.remove(need);
            let stand = (flow.start, flow.arrived, *tenant);
            leave_need(&mut self.by_need, need, &stand);
        }
        if flow.open == 0 {
            self.leave(*tenant);
        }
    }

    /// Somebody takes the review whose turn it is: virtual time follows, and the tenant is charged for one.
    ///
    /// A tenant that was passed over, since nobody could serve it, does not keep what it missed beyond this one.
    pub(super) fn serve(&mut self, tenant: u32) {
        let flow = &self.flows[&tenant];
        self.virtual_time = self.virtual_time.max(flow.start);
        self.passed = 0;
        self.charge(tenant);
    }

    /// Somebody takes a review out of turn.
    pub(super) fn charge(&mut self, tenant: u32) {
        let virtual_time = self.virtual_time;
        self.retag(tenant, |flow| {
            let start = flow.start.max(virtual_time.saturating_sub(flow.owed));
            flow.start = start.saturating_add(flow.cost());
            flow.owed = flow.owed.min(virtual_time.saturating_sub(flow.start));
        });
    }

    /// A review that was charged is open again, and was put back: what it was charged is given back.
    pub(super) fn refund(&mut self, tenant: u32) {
        self.retag(tenant, |flow| {
            let cost = flow.cost();
            flow.start = flow.start.saturating_sub(cost);
            flow.owed = flow.owed.saturating_add(cost);
        });
    }

    /// A new weight keeps what the tenant is ahead in reviews.
    pub(super) fn reweigh(&mut self, tenant: u32, weight: u32) {
        if !self.flows.contains_key(&tenant) {
            return;
        }
        let virtual_time = self.virtual_time;
        self.retag(tenant, |flow| {
            let ahead = flow.start.saturating_sub(virtual_time);
            let scaled = ahead.saturating_mul(flow.weight.into());
            flow.weight = weight.max(1);
            let scaled = scaled.checked_div(flow.weight.into()).expect("a weight is at least one");
            flow.start = virtual_time.min(flow.start).saturating_add(scaled);
        });
    }

    /// The review whose turn it is, of those that the person can serve.
    pub(super) fn first(&self, view: View<'_>) -> Option<Place> {
        let found = match view.tenants {
            Some(tenants) => tenants
                .iter()
                .filter_map(|tenant| Some((*tenant, self.flows.get(tenant)?)))
                .flat_map(|(tenant, flow)| {
                    let stand = (flow.start, flow.arrived, tenant);
                    let groups = flow
                        .groups
                        .iter()
                        .filter(move |(need, _)| (view.may)(need) && (view.serves)(need, tenant));
                    groups.filter_map(move |(need, group)| found(stand, need, group, view.person))
                })
                .min_by_key(|(stand, slot, ..)| (*stand, *slot)),
            None => self
                .by_need
                .iter()
                .filter(|(need, _)| (view.may)(need))
                .filter_map(|(need, order)| {
                    // Only tenants are passed over that policy closes to the person, or of which every review excludes
                    // them.
                    let serves = |stand: &&Stand| (view.serves)(need, stand.2);
                    order.iter().filter(serves).find_map(|stand| {
                        let group = &self.flows[&stand.2].groups[need];
                        found(*stand, need, group, view.person)
                    })
                })
                .min_by_key(|(stand, slot, ..)| (*stand, *slot)),
        };
        let ((_, _, tenant), slot, need, excluded) = found?;
        Some(Place { tenant, need: need.clone(), excluded: excluded.clone(), slot })
    }

    /// The lanes of what the person can decide.
    pub(super) fn lanes<'a>(&'a self, view: View<'a>) -> impl Iterator<Item = &'a BTreeSet<Slot>> {
        let sees = move |tenant: &u32| view.tenants.is_none_or(|tenants| tenants.contains(tenant));
        let flows = self.flows.iter().filter(move |(tenant, _)| sees(tenant));
        let groups = flows
            .flat_map(|(tenant, flow)| {
                flow.groups.iter().map(move |(need, group)| (*tenant, need, group))
            })
            .filter(move |(tenant, need, _)| (view.may)(need) && (view.serves)(need, *tenant));
        groups
            .flat_map(|(_, _, group)| &group.lanes)
            .filter(move |(excluded, _)| !excluded.contains(view.person))
            .map(|(_, lane)| lane)
    }

    /// How many open reviews of this class come before one, if everybody could serve everything. Costs as much as a
    /// listing.
    pub(super) fn before(&self, place: &Place) -> u64 {
        let Some(flow) = self.flows.get(&place.tenant) else { return 0 };
        let lanes = flow.groups.values().flat_map(|group| group.lanes.values());
        let own = lanes.flat_map(|lane| lane.range(..place.slot)).take(RANK_MAX).count();
        let own = u64::try_from(own).unwrap_or(u64::MAX);
        let at = flow.start.saturating_add(flow.cost().saturating_mul(own.into()));
        let mut before = own;
        for (start, arrived, tenant) in &self.order {
            if *start > at {
                break;
            }
            if *tenant == place.tenant {
                continue;
            }
            let other = &self.flows[tenant];
            let gap = at.saturating_sub(*start);
            let turns = gap.checked_div(other.cost().max(1)).unwrap_or_default();
            let lands_on = start.saturating_add(turns.saturating_mul(other.cost())) == at;
            let is_behind = lands_on && *arrived > flow.arrived;
            let turns = turns.saturating_add(u128::from(!is_behind));
            let open = u64::try_from(other.open).unwrap_or(u64::MAX);
            before = before.saturating_add(u64::try_from(turns).unwrap_or(u64::MAX).min(open));
        }
        before
    }

    fn enter(&mut self, tenant: u32, weight: u32) {
        self.arrivals = self.arrivals.saturating_add(1);
        let reached = self.order.first().map_or(self.highest, |(tag, ..)| *tag);
        self.virtual_time = self.virtual_time.max(reached);
        let flow = self.flows.entry(tenant).or_insert_with(|| Flow {
            start: 0,
            owed: 0,
            weight: weight.max(1),
            arrived: 0,
            open: 0,
            groups: BTreeMap::new(),
        });
        self.away.remove(&(flow.start, tenant));
        // Where it stood when it left is worth nothing: time without open reviews earns no service.
        flow.start = flow.start.max(self.virtual_time);
        flow.owed = 0;
        flow.arrived = self.arrivals;
        self.highest = self.highest.max(flow.start);
        self.order.insert((flow.start, flow.arrived, tenant));
        self.forget();
    }

    fn leave(&mut self, tenant: u32) {
        let flow = &self.flows[&tenant];
        self.order.remove(&(flow.start, flow.arrived, tenant));
        if self.order.is_empty() {
            self.virtual_time = self.virtual_time.max(self.highest);
        }
        self.away.insert((flow.start, tenant));
        self.forget();
    }

    /// Forgets those whose tags say nothing any more.
    fn forget(&mut self) {
        while let Some(&(tag, tenant)) = self.away.first()
            && tag <= self.virtual_time
        {
            self.away.pop_first();
            self.flows.remove(&tenant);
        }
    }

    fn retag(&mut self, tenant: u32, change: impl FnOnce(&mut Flow)) {
        let flow = self.flows.get_mut(&tenant).expect("a tenant with a review has a flow");
        let before = (flow.start, flow.arrived, tenant);
        change(flow);
        let after = (flow.start, flow.arrived, tenant);
        self.highest = self.highest.max(flow.start);
        if flow.open == 0 {
            self.away.remove(&(before.0, tenant));
            self.away.insert((after.0, tenant));
            return;
        }
        let was_there = self.order.remove(&before);
        assert!(was_there, "tenant {tenant} is not where it stands");
        self.order.insert(after);
        for need in flow.groups.keys() {
            let order = self.by_need.get_mut(need).expect("a need with reviews has an order");
            order.remove(&before);
            order.insert(after);
        }
    }

    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.flows.len()
    }

    #[cfg(test)]
    pub(super) fn assert_sound(&self) {
        let stands: BTreeSet<Stand> = self
            .flows
            .iter()
            .filter(|(_, flow)| flow.open > 0)
            .map(|(tenant, flow)| (flow.start, flow.arrived, *tenant))
            .collect();
        assert!(stands == self.order, "{stands:?} {:?}", self.order);
        let mut by_need: BTreeMap<Arc<Need>, BTreeSet<Stand>> = BTreeMap::new();
        let mut open = 0;
        for (tenant, flow) in &self.flows {
            for (need, group) in &flow.groups {
                let stand = (flow.start, flow.arrived, *tenant);
                by_need.entry(need.clone()).or_default().insert(stand);
                open = group.lanes.values().map(BTreeSet::len).fold(open, usize::saturating_add);
                let heads: BTreeSet<_> = group
                    .lanes
                    .iter()
                    .map(|(key, lane)| (*lane.first().expect("no lane is empty"), key.clone()))
                    .collect();
                assert!(heads == group.heads, "{heads:?} {:?}", group.heads);
            }
        }
        assert!(by_need == self.by_need && open == self.open);
        assert!(self.away.len().saturating_add(self.order.len()) == self.flows.len());
    }
}

type Head<'a> = (Stand, Slot, &'a Arc<Need>, &'a Excluded);

fn found<'a>(
    stand: Stand,
    need: &'a Arc<Need>,
    group: &'a Group,
    person: &PersonId,
) -> Option<Head<'a>> {
    let (slot, excluded) = group.heads.iter().find(|(_, excluded)| !excluded.contains(person))?;
    Some((stand, *slot, need, excluded))
}

fn leave_need(by_need: &mut BTreeMap<Arc<Need>, BTreeSet<Stand>>, need: &Arc<Need>, stand: &Stand) {
    let order = by_need.get_mut(need).expect("a need with reviews has an order");
    order.remove(stand);
    if order.is_empty() {
        by_need.remove(need);
    }
}

impl Flow {
    fn cost(&self) -> Tag {
        SCALE.checked_div(self.weight.into()).expect("a weight is at least one")
    }
}

impl Group {
    fn put(&mut self, excluded: &Excluded, slot: Slot) {
        let lane = self.lanes.entry(excluded.clone()).or_default();
        if let Some(first) = lane.first().filter(|first| **first > slot) {
            self.heads.remove(&(*first, excluded.clone()));
        }
        lane.insert(slot);
        if lane.first() == Some(&slot) {
            self.heads.insert((slot, excluded.clone()));
        }
    }

    fn take(&mut self, excluded: &Excluded, slot: Slot) {
        let lane = self.lanes.get_mut(excluded).expect("a review stands in its lane");
        let was_first = lane.first() == Some(&slot);
        let was_there = lane.remove(&slot);
        assert!(was_there, "{slot:?} is not where it stands");
        if was_first {
            self.heads.remove(&(slot, excluded.clone()));
            if let Some(next) = lane.first() {
                self.heads.insert((*next, excluded.clone()));
            }
        }
        if lane.is_empty() {
            self.lanes.remove(excluded);
        }
    }
}
