//! Hierarchical start-time fair queueing over D slots, charged with the time that steps really take.
//!
//! It answers one question: *a slot is free; whose step runs next?* One [`Scheduler`] serves one pool. It knows
//! tickets and numbers, not runs; time comes in with each call, and nobody but the caller decides anything.
//!
//! # The tree
//!
//! `root -> organisation -> tenant -> lane -> gate class -> steps, oldest run first`. The first two levels are
//! fair queues over *flows*; inside a tenant lanes are strict, with an age guard, and what a tenant does there
//! changes nothing for others: its flow is charged the same whichever of its steps ran (P5). Weight belongs to the
//! organisation and is shared by its tenants, so that more tenants or more workflows buy no share.
//!
//! # The idea, and where it comes from
//!
//! Start-time fair queueing (Goyal, Vin, Cheng 1996) gives each flow a *start tag* `S`, its service divided by
//! its weight, and always serves the smallest; *virtual time* `V` is the tag last served. A flow that was away
//! comes back at `max(S, V)`, so that absence earns nothing (P3). SFQ(D) (Jin, Chase, Kaur 2004) runs D requests at a
//! time. The length of a step is not known when it starts, so, as in VTC (Sheng and others, OSDI 2024), service is
//! charged as it happens: a prepaid *quantum* at dispatch, further charges while the step runs, and at its end the
//! charge becomes what was really used. The prepaid part is needed, or one tenant would take all slots that are free in
//! one round; the running part is needed, or a tenant of long steps would run for nothing until they end (the queueset
//! of Kubernetes' priority and fairness prepays an estimate for the same reason).
//!
//! What went wrong elsewhere and is left there: tags in floats, rewound when they grow (Kubernetes); shares compared
//! as floats, ties by accident (Kueue); tags of idle clients that lag behind the clock and must be chased (dmClock). Tags
//! here are integers, slot-microseconds times 2^20 over weight in `u128`, which hold a million slots of weight 1 for
//! 10^19 years; ties end with who turned eligible first, and then with the place in the tree.
//!
//! # Virtual time
//!
//! `V` moves when a flow is chosen, and when one turns eligible: to the smallest tag in the order, or, if nobody is
//! in it (all others are idle or at their cap), to the highest tag ever given, which includes what running steps were
//! charged so far. So a tenant alone in the system owes nothing for it when others come, and a late arrival is not
//! paid for service used before it came. Charges of running steps are brought up to date before anything is decided,
//! so that this holds in the middle of long steps too.
//!
//! # Coming back from the cap
//!
//! A flow that only its cap kept away comes back at `max(S, V - L)`, where L is the highest stair that the level has seen
//! of late, in tags, and what the flow in front is charged ahead. Its work never ceased to wait, and its own slot has
//! just become free. Virtual time does not rise evenly but by stairs, as high as a step times the slots that its flow
//! holds: between two of them a flow whose share is above its cap gets ahead of V by using its one slot, and below it when
//! the stair comes. Raised to V each time that it leaves its cap it would lose its slot to everyone whose tag is equal, at
//! the end of each of its steps, and never hold what its cap allows (a tenant of weight 20 and cap 1 among 90 of weight 1
//! held its slot for 1 % of the time). Nothing accumulates beyond L: the time at the cap earns nothing, and when the cap is
//! raised the flow comes back at V. A flow that comes meanwhile comes at V, and so may find the capped one L behind it.
//!
//! Inside an organisation that is not enough. While a capped tenant is at its cap, the organisation's turns go to the
//! others in it; their steps go on when the capped one's has ended, and keep the organisation ahead, so that its slot goes
//! to another organisation. What it loses there it can never make up for: its cap does not let it. So an organisation
//! whose next step is of a tenant that came back from its cap and is behind V (it is due more than its cap) is *lent* its
//! turn: it goes by `max(V, S - L)`, with the L of its own level, after all whose tag is equal. The turn is charged like any
//! other, and V does not follow it. It is paid back by the others in the organisation, who wait until its own tag is the
//! smallest. A cap that is not below the pool's slots never keeps anybody away, and counts as none.
//!
//! # The bound
//!
//! One level; flows i and j are eligible throughout an interval; `w` are weights, `q` the quantum, `a >= q` how far
//! ahead of its use a running step is charged at most, `c` the longest step, `n <= D` the slots that a flow
//! holds, `W` real service. While both are eligible nothing lifts their tags, so a tag is service plus what is charged
//! ahead of it: `S(t) - S(t1) = (W(t1, t) + o(t) - o(t1)) / w` with `0 <= o <= n a`.
//!
//! *Tags.* A dispatch happens only at the smallest tag, so just after one of i `S_i <= S_j + q/w_i`; by symmetry
//! `|S_i - S_j| <= max(q/w_i, q/w_j)`, plus what their running steps have since been charged, or were given back.
//!
//! *Real service.* Let s be the last dispatch of i in the interval. (1) Up to s the tags bind: `W_i(t1, s)/w_i <=
//! W_j(t1, s)/w_j + q/w_i + (S_j - S_i)(t1) + o_j(s)/w_j + o_i(t1)/w_i`. (2) At t1 the flow that has just turned
//! eligible is at the smallest tag or above it, and the other one is above that by no more than its running steps: `(S_j -
//! S_i)(t1) <= n_j (c_j + a) / w_j`. (3) After s, i serves only what already runs, `n_i c_i` at most. Together
//!
//! `|W_i/w_i - W_j/w_j| <= (D + 1)(c_i/w_i + c_j/w_j) + 2 D a (1/w_i + 1/w_j)`,
//!
//! the bound of SFQ(D), with the longest step for the packet size, and what charging ahead adds. `c` is the step's
//! timeout, which is why every step has one.
//!
//! *Capped flows.* (2) does not hold for one that comes back from its cap: it may be L behind, and one above it L ahead.
//! Between it and any other that waits then, or while it comes and goes, the bound is larger by `L <= D (c + a) / w`, the
//! largest of the level. A flow at its cap is in no order and costs nobody anything. A step of an idle tenant waits at most
//! for the next release of a slot, and for those whose tag is `V` too and who came before.
//!
//! From below the bound is one of flows that are eligible throughout, which a capped flow is not: slots are whole, and
//! what it loses while it waits for the next release it cannot make up for, which counts most if its steps are much
//! shorter than those of others. Measured over thousands of random trees one with siblings has at least half of its share
//! by water-filling, and nearly always 4/5.
//!
//! # Choice among some tenants
//!
//! Workers may be there for some tenants only. Who of those is next is who comes first in the order of the whole tree; it is
//! charged as ever, so that what it had through workers of its own is counted in its share of the others. Virtual time stays
//! where it is when that was before its turn: the tags of those who wait are behind it, and nobody who comes meanwhile is put
//! behind them.
//!
//! So V stands still at the tag of one who waits for whom nobody is there, however much others have meanwhile, and one who
//! comes then starts at V. What is had before one's turn is therefore owed only up to a bound. Let `B = L + (a + u) / w`, with
//! u the credit of a burst: when one is chosen that is more than `2 B` ahead of V, all that went, or could have gone, before
//! their turn since it last was their turn are moved back, by what moves the chosen one to `V + B` (but none behind it).
//! They keep their distances, or one with short steps would be moved back time after time and one with a long step never
//! be next.
//! So between any two that are served the bound is larger by `2 B`, and one who waits unserved for however long finds the
//! others no further ahead of it, once somebody is there, than that and their running steps.
//!
//! # Cost
//!
//! `n` eligible siblings, `k` gate classes of the tenant: `enqueue`, `settle`, `unstart` and each round of `next` are
//! O(log n + log k), and a round of `next` either dispatches or parks a class; `withdraw` adds the shift in its class's
//! line; a round of `next_among` looks at each of
//! the tenants too, and once in `B` moves all that go before their turn, at O(log n) each. A running step costs one such operation each time it has used what it was charged. `explain` is O(log k) and a
//! constant. A decision allocates nothing. Memory is a small constant for each registered tenant and organisation (what
//! is left of one that went idle is its tag, so that forgetting it changes nothing), and O(active) for the rest.

#![warn(clippy::float_arithmetic)]

use std::collections::BTreeSet;

use crate::time::{Span, Time};

mod burst;
mod config;
pub(crate) mod explain;
mod flow;
mod heap;
mod index;
mod lanes;
mod live;
mod log;
mod policies;
mod running;
mod shelf;
mod slab;

#[cfg(test)]
mod tests;

pub use config::{
    Burst, Dispatch, Entry, GateAnswer, Lane, LongClass, Offer, OrgConfig, OrgIx, Policy,
    PoolConfig, TenantConfig, TenantIx, Ticket,
};
pub use explain::{FlowReading, PoolReading, Wait};
pub use log::{Event, Logged};

use flow::{ANY, Clock, Flow, Level, ROOT, SHORT, Tag, Tree};
use lanes::{Active, Backlog, BurstState, Head, LaneRule, UrgentUse};
use running::{Running, RunningSteps};
use slab::{NONE, Slab};

/// Bursts are looked at this often if nothing else happens, so that a payback is noted when it is due.
const BURST_REVIEW: Span = Span::from_secs(1);

/// The queue of one pool.
#[derive(Debug)]
pub struct Scheduler {
    config: PoolConfig,
    /// What the valve lets through, if it is less than the pool has.
    dispatchable: Option<u32>,
    long_in_flight: u32,
    waiting: u64,
    tree: Tree,
    orgs: Vec<OrgNode>,
    tenants: Vec<TenantNode>,
    active: Slab<Active>,
    backlog: Backlog,
    running: RunningSteps,
    bursting: BTreeSet<TenantIx>,
    burst_in_use: Span,
    bursts_reviewed: Time,
    log: Vec<Logged>,
    /// Tenants with nothing to do keep their place, to see that forgetting them changes nothing.
    #[cfg(test)]
    keeps_idle: bool,
}

#[derive(Debug)]
struct OrgNode {
    config: OrgConfig,
    /// The start tag and the clock while nothing below it is active: all that is left of it.
    start: Tag,
    clock: Clock,
    /// Its place in the tree while something is.
    flow: u32,
}

#[derive(Debug)]
struct TenantNode {
    config: Option<TenantConfig>,
    /// The start tag while the tenant is not active: all that is left of it.
    start: Tag,
    /// Slot-microseconds charged.
    service: u128,
    urgent: UrgentUse,
    active: u32,
}

impl Default for TenantNode {
    fn default() -> Self {
        Self { config: None, start: 0, service: 0, urgent: UrgentUse::default(), active: NONE }
    }
}

impl Scheduler {
    pub fn new(config: PoolConfig) -> Self {
        assert!(config.quantum > Span::ZERO, "a dispatch is charged something");
        Self {
            config,
            dispatchable: None,
            long_in_flight: 0,
            waiting: 0,
            tree: Tree::new(running::ahead(&config), config.slots, config.policy.is_by_age()),
            orgs: Vec::new(),
            tenants: Vec::new(),
            active: Slab::default(),
            backlog: Backlog::default(),
            running: RunningSteps::default(),
            bursting: BTreeSet::new(),
            burst_in_use: Span::ZERO,
            bursts_reviewed: Time::default(),
            log: Vec::new(),
            #[cfg(test)]
            keeps_idle: false,
        }
    }

    /// A step is ready. It must not be queued or running already.
    pub fn enqueue(&mut self, now: Time, entry: Entry) {
        assert!(self.running.get(entry.ticket).is_none(), "{:?} is running", entry.ticket);
        self.charge_running(now);
        let place = self.activate(entry.tenant);
        self.shelve(now, place, &entry);
        self.waiting += 1;
        self.update(entry.tenant);
    }

    /// A ready step is not wanted any more; false if it was not queued.
    pub fn withdraw(&mut self, now: Time, entry: &Entry) -> bool {
        let place = self.tenant(entry.tenant).active;
        if place == NONE {
            return false;
        }
        self.charge_running(now);
        let is_long = self.is_long(entry);
        if !self.backlog.remove(&mut self.active[place], entry, is_long) {
            return false;
        }
        self.waiting -= 1;
        self.update(entry.tenant);
        true
    }

    /// Gives a free slot to the next step that passes its gates. `None`: no slot may be given, or nobody can take it.
    pub fn next(
        &mut self,
        now: Time,
        gate: &mut dyn FnMut(Offer) -> GateAnswer,
    ) -> Option<Dispatch> {
        self.next_of(now, None, gate)
    }

    /// The same among the steps of some tenants, where others' cannot be worked on: in the order in which they would come, and
    /// charged like any other. Virtual time does not follow one that goes before its turn.
    pub fn next_among(
        &mut self,
        now: Time,
        among: &[TenantIx],
        gate: &mut dyn FnMut(Offer) -> GateAnswer,
    ) -> Option<Dispatch> {
        self.next_of(now, Some(among), gate)
    }

    fn next_of(
        &mut self,
        now: Time,
        among: Option<&[TenantIx]>,
        gate: &mut dyn FnMut(Offer) -> GateAnswer,
    ) -> Option<Dispatch> {
        self.charge_running(now);
        // Each round dispatches, parks a class or takes a step out, so there are at most as many rounds as steps.
        while self.in_flight() < self.dispatchable() {
            let order = if self.is_long_full() { SHORT } else { ANY };
            let leaf = match among {
                None => self.tree.first(order)?,
                Some(tenants) => self.first_among(tenants, order)?,
            };
            let tenant = TenantIx(self.tree.flows[leaf].owner);
            let head = self.head(now, tenant, order == SHORT);
            let Head { lane, key, step, .. } = head;
            match gate(Offer { ticket: step.ticket, tenant, lane, class: key }) {
                GateAnswer::Park(wake) => {
                    let place = self.tenant(tenant).active;
                    self.backlog.park(now, &mut self.active[place], head.class, wake);
                    self.update(tenant);
                }
                GateAnswer::Aside => self.set_aside(tenant, &head),
                GateAnswer::Pass => {
                    if self.tree.first(order) == Some(leaf) {
                        self.tree.choose(leaf, order);
                    } else if let Some(tenants) = among {
                        let flows: Vec<u32> = self.flows_of(tenants).collect();
                        self.tree.choose_early(leaf, flows.into_iter());
                    }
                    self.start(now, tenant, &head);
                    return Some(Dispatch { ticket: step.ticket, tenant });
                }
            }
        }
        None
    }

    /// The flow of the tenant among these that is next in an order.
    fn first_among(&self, tenants: &[TenantIx], order: usize) -> Option<u32> {
        self.tree.first_of(self.flows_of(tenants), order)
    }

    /// The flows of those that are active.
    fn flows_of(&self, tenants: &[TenantIx]) -> impl Iterator<Item = u32> {
        let places = tenants.iter().map(|tenant| self.tenant(*tenant).active);
        places.filter(|place| *place != NONE).map(|place| self.active[place].flow)
    }

    /// The step has ended, whatever came of it: its charge becomes what it used, and its slot is free.
    pub fn settle(&mut self, now: Time, ticket: Ticket) {
        self.charge_running(now);
        let running = self.running.remove(ticket).expect("only a running step is settled");
        let used = now.since(running.since);
        if used >= running.charged {
            self.charge(&running.entry, Span(used.0 - running.charged.0));
        } else {
            self.refund(&running.entry, Span(running.charged.0 - used.0));
        }
        let flow = self.active_of(running.entry.tenant).flow;
        self.tree.note_step(flow, used);
        self.release(&running);
    }

    /// A dispatch came to nothing before the step began: nothing is charged, its slot is free. The step is not queued.
    pub fn unstart(&mut self, now: Time, ticket: Ticket) {
        self.charge_running(now);
        let running = self.running.remove(ticket).expect("only a running step is taken back");
        self.refund(&running.entry, running.charged);
        if self.config.policy == Policy::RoundRobin {
            let flow = self.active_of(running.entry.tenant).flow;
            self.tree.refund(flow, self.config.charged_at_dispatch());
        }
        self.release(&running);
    }

    /// A step that was running before a restart: it holds its slot, above the caps if need be, and is charged from now
    /// on; the account of what was used before went with the memory that held it, for this step as for all others.
    pub fn restore(&mut self, now: Time, entry: Entry, started: Time) {
        assert!(started <= now, "{:?} started at {started}, after {now}", entry.ticket);
        self.charge_running(now);
        self.activate(entry.tenant);
        let is_long = self.is_long(&entry);
        self.occupy(now, entry, is_long);
    }

    /// Charges running steps that outlived what they were charged, and moves bursts on. No step becomes ready for a
    /// slot because time passes, and every other call charges what is due before it decides.
    pub fn tick(&mut self, now: Time) {
        self.charge_running(now);
        if now.since(self.bursts_reviewed) < BURST_REVIEW {
            return;
        }
        self.bursts_reviewed = now;
        let mut next = self.bursting.first().copied();
        while let Some(tenant) = next {
            self.update(tenant);
            next = self.bursting.range(TenantIx(tenant.0 + 1)..).next().copied();
        }
    }

    /// When `tick` has something to do at the latest.
    pub fn next_tick(&self) -> Option<Time> {
        (!self.bursting.is_empty()).then(|| self.bursts_reviewed + BURST_REVIEW)
    }

    /// Whether a class waits for the key.
    pub fn is_parked(&self, key: u64) -> bool {
        self.backlog.first_parked(key).is_some()
    }

    /// Lets classes that wait for the key try again, at most `most` of them, those that parked first.
    pub fn wake(&mut self, now: Time, key: u64, most: u32) {
        self.charge_running(now);
        for _ in 0..most {
            let Some(class) = self.backlog.first_parked(key) else { return };
            let tenant = self.backlog.classes[class].tenant;
            let place = self.tenant(tenant).active;
            self.backlog.unpark(now, &mut self.active[place], class);
            self.update(tenant);
        }
    }

    /// What was noted since the last call.
    pub fn take_log(&mut self) -> Vec<Logged> {
        std::mem::take(&mut self.log)
    }

    /// The step that a tenant gives, by the pool's policy.
    fn head(&self, now: Time, tenant: TenantIx, is_short: bool) -> Head {
        let node = self.tenant(tenant);
        let share_permille = node.config().urgent_share_permille;
        let rule = self.config.policy.has_lanes().then(|| LaneRule {
            age_guard: self.config.age_guard,
            is_urgent_first: node.urgent.is_within(share_permille),
        });
        let head = self.backlog.head(self.active_of(tenant), now, is_short, rule);
        head.expect("a tenant that can be chosen has a step to give")
    }

    /// Takes a step out that was offered and cannot go on by itself.
    fn set_aside(&mut self, tenant: TenantIx, head: &Head) {
        let place = self.tenant(tenant).active;
        self.backlog.take_out(&mut self.active[place], head);
        self.waiting -= 1;
        self.update(tenant);
    }

    fn start(&mut self, now: Time, tenant: TenantIx, head: &Head) {
        self.note_urgent(tenant);
        let place = self.tenant(tenant).active;
        let is_long = self.backlog.take(now, &mut self.active[place], head);
        self.waiting -= 1;
        let entry = Entry {
            tenant,
            lane: head.lane,
            class: head.key,
            age: head.step.age,
            ticket: head.step.ticket,
            expected: head.step.expected,
        };
        self.occupy(now, entry, is_long);
    }

    /// Counts a slot along the path, and charges the first quantum.
    fn occupy(&mut self, now: Time, entry: Entry, is_long: bool) {
        let quantum = self.config.quantum;
        let flow = self.active_of(entry.tenant).flow;
        self.running.insert(Running { entry, since: now, charged: quantum, is_long });
        self.tree.take_slot(flow);
        self.long_in_flight += u32::from(is_long);
        self.charge(&entry, quantum);
        if self.config.policy == Policy::RoundRobin {
            self.tree.charge(flow, self.config.charged_at_dispatch());
        }
        self.update(entry.tenant);
    }

    fn release(&mut self, running: &Running) {
        let tenant = running.entry.tenant;
        self.tree.free_slot(self.active_of(tenant).flow);
        self.long_in_flight -= u32::from(running.is_long);
        self.update(tenant);
    }

    /// Charges those running steps that have used up what they were charged, so that all tags are as of now.
    fn charge_running(&mut self, now: Time) {
        let ahead = self.tree.ahead;
        while let Some((running, more)) = self.running.charge_due(now, ahead) {
            self.charge(&running.entry, more);
            let flow = self.active_of(running.entry.tenant).flow;
            self.tree.note_step(flow, running.charged);
            self.update(running.entry.tenant);
        }
    }

    fn charge(&mut self, entry: &Entry, used: Span) {
        let node = &mut self.tenants[entry.tenant.0 as usize];
        node.service += u128::from(used.0);
        node.urgent.add(used, entry.lane == Lane::Urgent);
        if self.config.policy.charges_time() {
            self.tree.charge(self.active[node.active].flow, used);
        }
    }

    fn refund(&mut self, entry: &Entry, unused: Span) {
        let node = &mut self.tenants[entry.tenant.0 as usize];
        node.service -= u128::from(unused.0);
        node.urgent.take_back(unused, entry.lane == Lane::Urgent);
        if self.config.policy.charges_time() {
            self.tree.refund(self.active[node.active].flow, unused);
        }
    }

    /// Puts the tenant and its organisation where they belong now; call it after every change of one of them.
    fn update(&mut self, tenant: TenantIx) {
        if self.tenant(tenant).active == NONE {
            return;
        }
        self.turn_burst(tenant);
        self.note_cap(tenant);
        let config = self.tenant(tenant).config();
        let active = self.active_of(tenant);
        let (flow, cap) = (active.flow, self.cap_of(&config, active.burst));
        let mut open = if config.paused { [false; 2] } else { active.open() };
        open[SHORT] &= self.config.bounds_long();
        if self.config.policy.is_by_age() && open[ANY] {
            let oldest = self.backlog.head(active, Time::default(), false, None);
            let (age, ticket) = oldest.expect("an open tenant has a step to give").step.rank();
            self.tree.set_age(flow, age, ticket.0);
        }
        self.tree.set_cap(flow, cap);
        self.tree.refresh(flow, open);
        let active = self.active_of(tenant);
        let holds = self.tree.flows[flow].in_flight;
        #[cfg(test)]
        let holds = holds + u32::from(self.keeps_idle);
        if active.waiting == 0 && holds == 0 && active.burst == BurstState::Ready {
            self.retire(tenant);
        }
    }

    /// The tenant's queue and its place in the tree, made if it has none.
    fn activate(&mut self, tenant: TenantIx) -> u32 {
        let node = self.tenant(tenant);
        if node.active != NONE {
            return node.active;
        }
        let (config, start) = (node.config(), node.start);
        let has_orgs = self.config.policy.has_orgs();
        let parent = if has_orgs { self.activate_org(config.org) } else { ROOT };
        let weight = self.config.weight_of(&config);
        let flow = self.tree.insert(parent, Flow::tenant(tenant, start, weight));
        let place = self.active.insert(Active::new(flow));
        self.tenants[tenant.0 as usize].active = place;
        place
    }

    fn activate_org(&mut self, org: OrgIx) -> u32 {
        let node = &mut self.orgs[org.0 as usize];
        if node.flow == NONE {
            let level = self.tree.levels.insert(Level::resumed(node.clock));
            let flow = Flow::org(org, node.start, node.config.weight, level);
            node.flow = self.tree.insert(ROOT, flow);
            self.tree.set_cap(node.flow, node.config.cap_in(self.config.policy));
        }
        node.flow
    }

    /// Forgets a tenant with nothing to do, but for its tag.
    fn retire(&mut self, tenant: TenantIx) {
        let node = &mut self.tenants[tenant.0 as usize];
        let active = self.active.remove(std::mem::replace(&mut node.active, NONE));
        let flow = self.tree.remove(active.flow);
        node.start = flow.start;
        self.retire_org(flow.parent);
    }

    fn retire_org(&mut self, at: u32) {
        if at == ROOT || self.tree.levels[self.tree.flows[at].level].flows > 0 {
            return;
        }
        let flow = self.tree.remove(at);
        let node = &mut self.orgs[flow.owner as usize];
        node.clock = self.tree.levels.remove(flow.level).clock;
        node.start = flow.start;
        node.flow = NONE;
    }

    fn note_cap(&mut self, tenant: TenantIx) {
        let config = self.tenant(tenant).config();
        let active = self.active_of(tenant);
        if active.waiting == 0 {
            let place = self.tenant(tenant).active;
            self.active[place].is_cap_logged = false;
            return;
        }
        let cap = self.cap_of(&config, active.burst);
        let is_held_back =
            !config.paused && self.tree.flows[active.flow].in_flight >= cap && active.open()[ANY];
        if is_held_back && !active.is_cap_logged {
            let place = self.tenant(tenant).active;
            self.active[place].is_cap_logged = self.write_log(tenant, Event::CapReached { cap });
        }
    }

    fn note_urgent(&mut self, tenant: TenantIx) {
        let share_permille = self.tenant(tenant).config().urgent_share_permille;
        let urgent = self.tenant(tenant).urgent;
        let mut is_told = urgent.is_told;
        if urgent.is_told && urgent.is_well_within(share_permille) {
            is_told = false;
        } else if !urgent.is_told && !urgent.is_within(share_permille) {
            let event = Event::UrgentShareExceeded { share_permille };
            is_told = self.write_log(tenant, event);
        }
        self.tenants[tenant.0 as usize].urgent.is_told = is_told;
    }

    fn tenant(&self, tenant: TenantIx) -> &TenantNode {
        &self.tenants[tenant.0 as usize]
    }

    fn active_of(&self, tenant: TenantIx) -> &Active {
        &self.active[self.tenant(tenant).active]
    }

    fn in_flight(&self) -> u32 {
        self.tree.flows[ROOT].in_flight
    }

    fn dispatchable(&self) -> u32 {
        self.dispatchable.map_or(self.config.slots, |slots| slots.min(self.config.slots))
    }
}

impl TenantNode {
    fn config(&self) -> TenantConfig {
        self.config.expect("a tenant is declared before its steps come")
    }
}
