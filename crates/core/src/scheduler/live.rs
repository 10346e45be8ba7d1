//! Changes while the queue is in use: weights, caps, pauses, moves, policies. They act at once, on what waits too
//! (P17).

use crate::time::{Span, Time};

use super::config::{Entry, Lane, OrgConfig, OrgIx, Policy, PoolConfig, TenantConfig, TenantIx};
use super::flow::{Clock, ROOT, Tree};
use super::lanes::{Active, BurstState};
use super::log::Event;
use super::slab::NONE;
use super::{OrgNode, Scheduler, TenantNode, running};

impl Scheduler {
    /// Sets the pool up anew. A change of policy begins a new account for everyone.
    pub fn configure(&mut self, now: Time, config: PoolConfig) {
        assert!(config.quantum > Span::ZERO, "a dispatch is charged something");
        self.charge_running(now);
        let before = std::mem::replace(&mut self.config, config);
        self.tree.ahead = running::ahead(&config);
        if before.policy != config.policy {
            self.rebuild(now, before.policy);
            return;
        }
        if (before.quantum, running::ahead(&before)) != (config.quantum, self.tree.ahead) {
            self.recharge(now);
        }
        if before.long != config.long {
            self.reshelve(now);
        }
        if before.slots != config.slots {
            self.resize();
        }
    }

    /// Which caps are below the pool's slots has changed.
    fn resize(&mut self) {
        self.tree.slots = self.config.slots;
        let active: Vec<TenantIx> = self.tenants_active().collect();
        for tenant in active {
            self.update(tenant);
        }
    }

    /// How far ahead steps are charged has changed. What runs is charged as if it had never been another length, so that
    /// no step of a long quantum is charged less and less than it uses beside those of a short one.
    fn recharge(&mut self, now: Time) {
        let trimmed = self.running.trim(now, self.tree.ahead);
        for (entry, excess) in &trimmed {
            self.refund(entry, *excess);
        }
        for (entry, _) in trimmed {
            self.update(entry.tenant);
        }
    }

    /// The valve: fewer slots than the pool has are given out. The order stays what it is.
    pub fn set_dispatchable(&mut self, _now: Time, slots: u32) {
        self.dispatchable = (slots < self.config.slots).then_some(slots);
    }

    pub fn set_org(&mut self, now: Time, org: OrgIx, config: OrgConfig) {
        assert!(config.weight > 0, "a weight of 0 is refused at the edge");
        self.charge_running(now);
        let at = org.0 as usize;
        if self.orgs.len() <= at {
            self.orgs.resize_with(at + 1, OrgNode::unknown);
        }
        let before = std::mem::replace(&mut self.orgs[at].config, config);
        let flow = self.orgs[at].flow;
        if flow == NONE {
            let start = self.orgs[at].start;
            let clock = self.tree.clock_of(ROOT);
            self.orgs[at].start = clock.reweighed(start, before.weight, config.weight);
        } else {
            self.tree.reweigh(flow, config.weight);
            self.tree.set_cap(flow, config.cap_in(self.config.policy));
            self.tree.refresh_above(flow);
        }
    }

    /// Declares a tenant, or changes it: weight, cap, burst, pause, or the organisation that it belongs to.
    pub fn set_tenant(&mut self, now: Time, tenant: TenantIx, config: TenantConfig) {
        assert!(config.weight > 0, "a weight of 0 is refused at the edge");
        assert!((config.org.0 as usize) < self.orgs.len(), "{:?} is not declared", config.org);
        self.charge_running(now);
        let at = tenant.0 as usize;
        if self.tenants.len() <= at {
            self.tenants.resize_with(at + 1, TenantNode::default);
        }
        let before = self.tenants[at].config.unwrap_or(config);
        let is_moved = before.org != config.org && self.config.policy.has_orgs();
        if self.tenants[at].active == NONE {
            self.tenants[at].config = Some(config);
            let (start, clock) = (self.tenants[at].start, self.clock_above(&config));
            let weights = (self.config.weight_of(&before), self.config.weight_of(&config));
            // It owes nothing where it comes to: an idle tenant starts at that virtual time.
            self.tenants[at].start =
                if is_moved { 0 } else { clock.reweighed(start, weights.0, weights.1) };
            return;
        }
        if is_moved || before.burst != config.burst {
            self.end_burst(tenant);
        }
        self.tenants[at].config = Some(config);
        if is_moved {
            self.move_tenant(now, tenant, config.org);
        }
        let flow = self.active_of(tenant).flow;
        self.tree.reweigh(flow, self.config.weight_of(&config));
        self.update(tenant);
    }

    /// Forgets a tenant. Nothing of it may wait or run.
    pub fn remove_tenant(&mut self, now: Time, tenant: TenantIx) {
        self.charge_running(now);
        self.end_burst(tenant);
        if let Some(&Active { flow, waiting, .. }) = self.active.get(self.tenant(tenant).active) {
            let held = self.tree.flows[flow].in_flight;
            assert!(waiting == 0 && held == 0, "{tenant:?} has {waiting} waiting, {held} running");
            let place = self.tenant(tenant).active;
            self.active[place].burst = BurstState::Ready;
            self.bursting.remove(&tenant);
            self.update(tenant);
        }
        self.tenants[tenant.0 as usize] = TenantNode::default();
    }

    /// The clock of the level that the tenant's flow is in, or would be.
    fn clock_above(&self, config: &TenantConfig) -> Clock {
        let org = &self.orgs[config.org.0 as usize];
        match (self.config.policy.has_orgs(), org.flow) {
            (false, _) => self.tree.clock_of(ROOT),
            (true, NONE) => org.clock,
            (true, flow) => self.tree.clock_of(flow),
        }
    }

    /// Hangs an active tenant below another organisation, with all that it holds and was charged ahead.
    fn move_tenant(&mut self, now: Time, tenant: TenantIx, org: OrgIx) {
        let flow = self.active_of(tenant).flow;
        let before = self.tree.flows[flow].parent;
        let ahead = self.running.each().filter(|running| running.entry.tenant == tenant);
        let ahead = Span(ahead.map(|running| running.charged.0 - now.since(running.since).0).sum());
        self.tree.refresh(flow, [false; 2]);
        self.tree.refund(flow, ahead);
        let parent = self.activate_org(org);
        self.tree.transplant(flow, parent);
        self.tree.charge(flow, ahead);
        self.tree.refresh_above(before);
        self.retire_org(before);
    }

    /// Everyone at the start again, under the policy that holds now. What runs keeps its slots.
    fn rebuild(&mut self, now: Time, before: Policy) {
        let quantum = self.config.quantum;
        for tenant in std::mem::take(&mut self.bursting) {
            self.log_end_of_burst(tenant);
        }
        self.burst_in_use = Span::ZERO;
        let mut running: Vec<Entry> = Vec::new();
        for step in self.running.each() {
            let node = &mut self.tenants[step.entry.tenant.0 as usize];
            node.service =
                node.service + u128::from(now.since(step.since).0) + u128::from(quantum.0)
                    - u128::from(step.charged.0);
            (step.since, step.charged) = (now, quantum);
            running.push(step.entry);
        }
        self.running.line_up();
        let PoolConfig { slots, policy, .. } = self.config;
        self.tree = Tree::new(running::ahead(&self.config), slots, policy.is_by_age());
        for org in &mut self.orgs {
            (org.start, org.clock, org.flow) = (0, Clock::default(), NONE);
        }
        let waiting = self.backlog.drain();
        for node in &mut self.tenants {
            (node.start, node.active) = (0, NONE);
        }
        self.active = super::Slab::default();
        assert!(before != self.config.policy, "nothing is rebuilt for the policy that holds");
        for entry in running {
            self.activate(entry.tenant);
            let flow = self.active_of(entry.tenant).flow;
            self.tree.take_slot(flow);
            self.tree.charge(flow, self.config.charged_at_dispatch());
        }
        self.put_back(now, waiting);
    }

    /// What counts as long has changed: everything that waits is sorted anew. What runs stays what it was.
    fn reshelve(&mut self, now: Time) {
        let waiting = self.backlog.drain();
        for active in self.active.values_mut() {
            active.clear_shelves();
        }
        self.put_back(now, waiting);
    }

    fn put_back(&mut self, now: Time, waiting: Vec<(Entry, Option<super::lanes::Parked>)>) {
        for (entry, parked) in waiting {
            let place = self.activate(entry.tenant);
            self.shelve(now, place, &entry);
            let is_long = self.is_long(&entry);
            let class = self.backlog.find(&entry, is_long).expect("its step was just put there");
            if let Some(parked) = parked
                && self.backlog.classes[class].parked.is_none()
            {
                self.backlog.park(parked.since, &mut self.active[place], class, parked.key);
            }
        }
        let active: Vec<TenantIx> = self.tenants_active().collect();
        for tenant in active {
            self.update(tenant);
        }
    }

    pub(super) fn shelve(&mut self, now: Time, place: u32, entry: &Entry) {
        let lane = if self.config.policy.has_lanes() { entry.lane } else { Lane::Normal };
        let is_long = self.is_long(entry);
        self.backlog.add(now, &mut self.active[place], (entry, lane), is_long);
    }

    /// Tenants with something ready, running or owed, by their numbers.
    pub fn tenants_active(&self) -> impl Iterator<Item = TenantIx> {
        let numbered = (0..).map(TenantIx).zip(&self.tenants);
        numbered.filter(|(_, node)| node.active != NONE).map(|(at, _)| at)
    }

    fn log_end_of_burst(&mut self, tenant: TenantIx) {
        let flow = self.active_of(tenant).flow;
        let debt_us = u64::try_from(self.tree.lead(flow)).unwrap_or(u64::MAX);
        self.write_log(tenant, Event::BurstPaidBack { debt_us });
    }

    pub(super) fn cap_of(&self, config: &TenantConfig, burst: BurstState) -> u32 {
        let extra = match (burst, config.burst) {
            (BurstState::Bursting, Some(burst)) => burst.extra_slots,
            _ => 0,
        };
        if self.config.policy.has_caps() { config.cap.saturating_add(extra) } else { u32::MAX }
    }

    pub(super) fn is_long(&self, entry: &Entry) -> bool {
        let over = self.config.long.filter(|_| self.config.bounds_long());
        over.is_some_and(|long| entry.expected > long.over)
    }

    /// Most slots that long steps may hold: a share of those that can be given now, so that short ones find a slot when
    /// the valve leaves few.
    pub(super) fn long_cap(&self) -> u32 {
        self.config.long.map_or(u32::MAX, |long| {
            let share = u64::from(self.dispatchable()) * u64::from(long.share_permille) / 1_000;
            u32::try_from(share.max(1)).expect("a share of the slots is not more than the slots")
        })
    }

    pub(super) fn is_long_full(&self) -> bool {
        self.config.bounds_long() && self.long_in_flight >= self.long_cap()
    }
}

impl OrgConfig {
    pub(super) fn cap_in(&self, policy: Policy) -> u32 {
        self.cap.filter(|_| policy.has_caps()).unwrap_or(u32::MAX)
    }
}

impl OrgNode {
    const fn unknown() -> Self {
        let config = OrgConfig { weight: 1, cap: None };
        Self { config, start: 0, clock: Clock::NEW, flow: NONE }
    }
}
