//! The tenants that wait for a provider, in the order of a start-time fair queue: organisations first, then the tenants of
//! each, with units for the service.
//!
//! Virtual time is the tag of who was served last; who comes anew starts there (P3). A tenant that was called stands in
//! the order until it takes its units, as if it wanted more: whoever is behind it waits for it, so that a heavy
//! tenant is called as often as its weight says although it comes back for each unit.

use std::collections::{BTreeMap, BTreeSet};

use crate::time::Time;

/// Units are scaled by this before they are divided by a weight.
const SCALE: u128 = 1 << 32;

type Tag = u128;

/// A tenant's place, and what it is divided by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flow {
    pub(super) org: u32,
    pub(super) org_weight: u32,
    pub(super) tenant: u32,
    pub(super) weight: u32,
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    reached: Tag,
    orgs: BTreeMap<u32, Org>,
    /// Organisations with somebody in them, by their tags.
    order: BTreeSet<(Tag, u32)>,
    members: BTreeMap<u32, Member>,
    /// Units that are kept for those who were called.
    kept: u64,
    calls: BTreeSet<(Time, u32)>,
}

#[derive(Debug, Default)]
struct Org {
    start: Tag,
    reached: Tag,
    starts: BTreeMap<u32, Tag>,
    order: BTreeSet<(Tag, u32)>,
}

#[derive(Clone, Copy, Debug)]
struct Member {
    flow: Flow,
    units: u64,
    /// Until when its units are kept for it.
    called: Option<Time>,
}

impl Queue {
    /// The tenant waits for so many units. Nothing changes if it waits already.
    pub(super) fn join(&mut self, flow: Flow, units: u64) {
        if let Some(member) = self.members.get_mut(&flow.tenant) {
            member.units = units;
            return;
        }
        let org = self.orgs.entry(flow.org).or_default();
        let was_empty = org.order.is_empty();
        let start = org.starts.entry(flow.tenant).or_default();
        *start = (*start).max(org.reached);
        org.order.insert((*start, flow.tenant));
        if was_empty {
            org.start = org.start.max(self.reached);
            self.order.insert((org.start, flow.org));
        }
        self.members.insert(flow.tenant, Member { flow, units, called: None });
    }

    /// The tenant has taken its units: those that were kept for it, or free ones.
    pub(super) fn served(&mut self, flow: Flow, units: u64) {
        match self.leave(flow.tenant) {
            // It was charged when it was called.
            Some(Member { called: Some(_), .. }) => {}
            _ => self.charge(flow, units),
        }
    }

    pub(super) fn refund(&mut self, flow: Flow, units: u64) {
        let Some(org) = self.orgs.get(&flow.org) else { return };
        let Some(start) = org.starts.get(&flow.tenant) else { return };
        let org_start = org.start.saturating_sub(part(units, flow.org_weight));
        let start = start.saturating_sub(part(units, flow.weight));
        self.set(flow, org_start, start);
    }

    pub(super) fn is_called(&self, tenant: u32) -> bool {
        self.members.get(&tenant).is_some_and(|member| member.called.is_some())
    }

    pub(super) fn has_others(&self, tenant: u32) -> bool {
        self.members.keys().any(|member| *member != tenant)
    }

    pub(super) const fn kept(&self) -> u64 {
        self.kept
    }

    pub(super) fn kept_for_others(&self, tenant: u32) -> u64 {
        let own = self.members.get(&tenant).filter(|member| member.called.is_some());
        self.kept - own.map_or(0, |member| member.units)
    }

    /// What the tenant wants whose turn it is; `None` if it has been called already, or nobody waits.
    pub(super) fn next_units(&self) -> Option<u64> {
        let member = self.members[&self.first()?];
        member.called.is_none().then_some(member.units)
    }

    /// Calls the tenant whose turn it is.
    pub(super) fn call(&mut self, until: Time) -> u32 {
        let tenant = self.first().expect("somebody waits");
        let member = self.members.get_mut(&tenant).expect("who stands in the order is a member");
        member.called = Some(until);
        let Member { flow, units, .. } = *member;
        self.kept += units;
        self.calls.insert((until, tenant));
        self.charge(flow, units);
        tenant
    }

    /// Takes back what was kept for those who did not come. They wait no more; when they try again they queue again.
    pub(super) fn expire(&mut self, now: Time) {
        while let Some(&(_, tenant)) = self.calls.first().filter(|(until, _)| *until <= now) {
            if let Some(Member { flow, units, .. }) = self.leave(tenant) {
                self.refund(flow, units);
            }
        }
    }

    pub(super) fn next_expiry(&self) -> Option<Time> {
        self.calls.first().map(|(until, _)| *until)
    }

    fn first(&self) -> Option<u32> {
        let (_, org) = self.order.first()?;
        self.orgs[org].order.first().map(|(_, tenant)| *tenant)
    }

    fn leave(&mut self, tenant: u32) -> Option<Member> {
        let member = self.members.remove(&tenant)?;
        if let Some(until) = member.called {
            self.kept -= member.units;
            self.calls.remove(&(until, tenant));
        }
        let org = self.orgs.get_mut(&member.flow.org).expect("a member's organisation is there");
        org.order.remove(&(org.starts[&tenant], tenant));
        if org.order.is_empty() {
            self.order.remove(&(org.start, member.flow.org));
        }
        self.forget(member.flow);
        Some(member)
    }

    fn charge(&mut self, flow: Flow, units: u64) {
        let org = self.orgs.entry(flow.org).or_default();
        let start = org.starts.entry(flow.tenant).or_default();
        let (tenant_at, org_at) = ((*start).max(org.reached), org.start.max(self.reached));
        org.reached = tenant_at;
        self.reached = org_at;
        self.set(flow, org_at + part(units, flow.org_weight), tenant_at + part(units, flow.weight));
        self.forget(flow);
    }

    /// Gives both flows new tags, and moves them to where they belong.
    fn set(&mut self, flow: Flow, org_start: Tag, start: Tag) {
        let org = self.orgs.get_mut(&flow.org).expect("the flow is there");
        let before = org.starts.insert(flow.tenant, start).unwrap_or_default();
        if org.order.remove(&(before, flow.tenant)) {
            org.order.insert((start, flow.tenant));
        }
        let org_before = std::mem::replace(&mut org.start, org_start);
        if self.order.remove(&(org_before, flow.org)) {
            self.order.insert((org_start, flow.org));
        }
    }

    /// Drops a tag that is not ahead of the virtual time: who comes anew has the same.
    fn forget(&mut self, flow: Flow) {
        let Some(org) = self.orgs.get_mut(&flow.org) else { return };
        let is_member = self.members.contains_key(&flow.tenant);
        if !is_member && org.starts.get(&flow.tenant).is_some_and(|start| *start <= org.reached) {
            org.starts.remove(&flow.tenant);
        }
        if org.starts.is_empty() && org.start <= self.reached {
            self.orgs.remove(&flow.org);
        }
    }
}

fn part(units: u64, weight: u32) -> Tag {
    u128::from(units) * SCALE / u128::from(weight.max(1))
}
