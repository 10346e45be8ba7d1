//! Changes while the queue is in use: weights, caps, pauses, moves, policies. They act at once, on what waits too
//! (P17).

use crate::time::{Span, Time};

use super::config::{Entry, OrgConfig, OrgIx, Policy, PoolConfig, TenantConfig, TenantIx};
use super::flow::{Level, Share};
use super::lanes::{Active, BurstState};
use super::{OrgNode, Scheduler, TenantNode};

impl Scheduler {
    /// Sets the pool up anew. A change of policy begins a new account for everyone.
    pub fn configure(&mut self, _now: Time, config: PoolConfig) {
        let before = std::mem::replace(&mut self.config, config);
        self.dispatchable = config.slots;
        if before.policy != config.policy {
            self.rebuild();
        } else if before.long.is_some() != config.long.is_some() {
            let active: Vec<TenantIx> = self.active().collect();
            for tenant in active {
                self.update(tenant);
            }
        }
    }

    /// The valve: fewer slots than the pool has are given out. The order stays what it is.
    pub fn set_dispatchable(&mut self, _now: Time, slots: u32) {
        self.dispatchable = slots.min(self.config.slots);
    }

    pub fn set_org(&mut self, _now: Time, org: OrgIx, config: OrgConfig) {
        assert!(config.weight > 0, "a weight of 0 is refused at the edge");
        let place = org.0 as usize + 1;
        while self.orgs.len() <= place {
            let unknown = OrgConfig { weight: 1, cap: None };
            self.orgs.push(OrgNode {
                config: unknown,
                share: Share::new(1),
                level: Level::default(),
            });
        }
        let node = &mut self.orgs[place];
        node.config = config;
        self.root.reweigh(&mut node.share, config.weight);
        self.update_org(place);
    }

    /// Declares a tenant, or changes it: weight, cap, burst, pause, or the organisation that it belongs to.
    pub fn set_tenant(&mut self, _now: Time, tenant: TenantIx, config: TenantConfig) {
        assert!(config.weight > 0, "a weight of 0 is refused at the edge");
        assert!((config.org.0 as usize) + 1 < self.orgs.len(), "{:?} is not declared", config.org);
        let at = tenant.0 as usize;
        if self.tenants.len() <= at {
            self.tenants.resize_with(at + 1, TenantNode::default);
        }
        let before = self.tenants[at].config.replace(config);
        let Some(before) = before else { return };
        if self.tenants[at].active.is_none() {
            return;
        }
        if self.org_place(&before) != self.org_place(&config) || before.burst != config.burst {
            self.tenants[at].config = Some(before);
            self.leave(tenant);
            self.tenants[at].config = Some(config);
            self.join(tenant);
        }
        let weight = self.weight_of(&config);
        let place = self.org_place(&config);
        let active = self.tenants[at].active.as_deref_mut().expect("it was there above");
        self.orgs[place].level.reweigh(&mut active.share, weight);
        if before.paused != config.paused {
            self.sync_line(tenant);
        }
        self.update(tenant);
    }

    /// Takes the tenant out of its level, with what it holds.
    fn leave(&mut self, tenant: TenantIx) {
        self.drop_burst(tenant);
        let place = self.org_place(&self.tenant(tenant).config());
        let active = self.tenants[tenant.0 as usize]
            .active
            .as_deref_mut()
            .expect("only an active tenant moves");
        let OrgNode { share, level, .. } = &mut self.orgs[place];
        level.place(tenant.0, &mut active.share, [false; 2]);
        share.in_flight -= active.share.in_flight;
        // What it owes goes with it; where it goes has a virtual time of its own.
        active.share.start = active.share.start.saturating_sub(level.virtual_time);
        self.update_org(place);
    }

    fn join(&mut self, tenant: TenantIx) {
        let place = self.org_place(&self.tenant(tenant).config());
        let active = self.tenants[tenant.0 as usize]
            .active
            .as_deref_mut()
            .expect("only an active tenant moves");
        let OrgNode { share, level, .. } = &mut self.orgs[place];
        active.share.start += level.virtual_time;
        share.in_flight += active.share.in_flight;
        self.update_org(place);
    }

    /// Everyone at the start again, under the policy that holds now. What runs keeps its slots.
    fn rebuild(&mut self) {
        let active: Vec<TenantIx> = self.active().collect();
        self.root = Level::default();
        self.bursting.clear();
        self.burst_in_use = Span::ZERO;
        self.line.clear();
        for org in &mut self.orgs {
            org.level = Level::default();
            org.share =
                Share::new(if self.config.policy.has_orgs() { org.config.weight } else { 1 });
        }
        for node in &mut self.tenants {
            node.start = 0;
        }
        for tenant in active {
            let config = self.tenant(tenant).config();
            let (weight, place) = (self.weight_of(&config), self.org_place(&config));
            let active =
                self.tenants[tenant.0 as usize].active.as_deref_mut().expect("it was filtered for");
            let in_flight = active.share.in_flight;
            active.share = Share { in_flight, ..Share::new(weight) };
            active.burst = BurstState::Ready;
            self.orgs[place].share.in_flight += in_flight;
            self.sync_line(tenant);
            self.update(tenant);
        }
        // Charges of the old account would be settled against the new one.
        for running in self.running.values_mut() {
            running.charged = Span::ZERO;
        }
        let due: Vec<_> =
            self.running.values().map(|running| (running.started, running.entry.ticket)).collect();
        self.accruals = if self.config.policy == Policy::RoundRobin {
            std::collections::BinaryHeap::new()
        } else {
            due.into_iter().map(std::cmp::Reverse).collect()
        };
    }

    fn active(&self) -> impl Iterator<Item = TenantIx> {
        (0..)
            .map(TenantIx)
            .zip(&self.tenants)
            .filter(|(_, node)| node.active.is_some())
            .map(|(at, _)| at)
    }

    /// Under `Fifo`, makes the line hold exactly those steps of the tenant that can be chosen.
    pub(super) fn sync_line(&mut self, tenant: TenantIx) {
        if self.config.policy != Policy::Fifo {
            return;
        }
        self.line.retain(|_, (owner, ..)| *owner != tenant);
        let node = &self.tenants[tenant.0 as usize];
        if node.config().paused {
            return;
        }
        let Some(active) = node.active.as_deref() else { return };
        for (step, lane, class, is_long) in active.open_steps() {
            self.line.insert(step, (tenant, lane, class, is_long));
        }
    }

    /// The tenant's node as something that can wait and run.
    pub(super) fn activate(&mut self, tenant: TenantIx) -> &mut Active {
        let weight = self.weight_of(&self.tenant(tenant).config());
        let node = &mut self.tenants[tenant.0 as usize];
        let start = node.start;
        node.active.get_or_insert_with(|| {
            let mut active = Active::new(weight);
            active.share.start = start;
            Box::new(active)
        })
    }

    pub(super) fn tenant(&self, tenant: TenantIx) -> &TenantNode {
        &self.tenants[tenant.0 as usize]
    }

    /// Place of the organisation that the tenant stands under, by the policy.
    pub(super) const fn org_place(&self, config: &TenantConfig) -> usize {
        if self.config.policy.has_orgs() { config.org.0 as usize + 1 } else { 0 }
    }

    pub(super) fn org_of(&self, config: &TenantConfig) -> &OrgNode {
        &self.orgs[self.org_place(config)]
    }

    const fn weight_of(&self, config: &TenantConfig) -> u32 {
        if self.config.policy.has_orgs() { config.weight } else { 1 }
    }

    pub(super) fn cap_of(&self, config: &TenantConfig, burst: BurstState) -> u32 {
        let extra = match (burst, config.burst) {
            (BurstState::Bursting, Some(burst)) => burst.extra_slots,
            _ => 0,
        };
        if self.config.policy.has_caps() { config.cap.saturating_add(extra) } else { u32::MAX }
    }

    pub(super) fn org_cap(&self, org: &OrgNode) -> u32 {
        org.config.cap.filter(|_| self.config.policy.has_caps()).unwrap_or(u32::MAX)
    }

    pub(super) fn is_long(&self, entry: &Entry) -> bool {
        self.config.long.is_some_and(|long| entry.expected > long.over)
    }

    pub(super) fn long_cap(&self) -> u32 {
        self.config.long.map_or(u32::MAX, |long| {
            let share = u64::from(self.config.slots) * u64::from(long.share_permille) / 1_000;
            u32::try_from(share.max(1)).expect("a share of the slots is not more than the slots")
        })
    }

    pub(super) fn is_long_full(&self) -> bool {
        self.config.policy.has_caps() && self.long_in_flight >= self.long_cap()
    }
}

impl TenantNode {
    pub(super) fn config(&self) -> TenantConfig {
        self.config.expect("a tenant is declared before its steps come")
    }
}
