//! Hierarchical start-time fair queueing over D slots, charged with the time that steps really take.
//!
//! It answers one question: *a slot is free; whose step runs next?* One [`Scheduler`] serves one pool. It knows
//! tickets and numbers, not runs; time comes in with each call.
//!
//! # The tree
//!
//! `root -> organisation -> tenant -> lane -> gate class -> steps, oldest run first`. The first two levels are
//! fair queues over *flows*; inside a tenant lanes are strict, with an age guard, and what a tenant does there
//! changes nothing for others: its flow is charged the same whichever of its steps ran (P5).
//!
//! # The idea, and where it comes from
//!
//! Start-time fair queueing (Goyal, Vin, Cheng 1996) gives each flow a *start tag* `S`, its service divided by
//! its weight, and always serves the smallest; *virtual time* `V` is the tag last served. A flow that was away
//! comes back at `max(S, V)`, so that absence earns nothing. SFQ(D) (Jin, Chase, Kaur 2004) runs D requests at a time. The
//! length of a step is not known when it starts, so, as in VTC (Sheng et al., OSDI 2024), service is charged as it
//! happens: a prepaid *quantum* at dispatch, further charges while the step runs, and at its end the charge becomes
//! what was really used. The prepaid part is needed, or one tenant would take all slots that are free in one round; the
//! running part is needed, or a tenant of long steps would run for nothing until they end (the queueset of Kubernetes'
//! priority and fairness prepays an estimate for the same reason).
//!
//! Where Kubernetes and dmClock keep times as floats or let an idle client's tag lag behind the clock, tags here are
//! integers ([`flow::SCALE`]ths of a slot-microsecond per weight, in `u128`, which hold a million slots of weight 1 for
//! 10^19 years), and only `max(S, V)` brings a flow back.
//!
//! # Virtual time when nobody is eligible
//!
//! If no flow is eligible (all are idle or at their cap), `V` moves to the highest start tag ever given, which includes
//! what running steps were charged so far. So a tenant that holds all slots with long steps has paid for them when another
//! one arrives, and the late arrival is not paid for service used before it came.
//!
//! # The bound
//!
//! Let flows i and j of one level be eligible throughout an interval. Write `q` for the largest single charge (the
//! quantum, or an eighth of a step's running time so far, whichever is larger) and `w` for weights.
//!
//! *Claim: `|S_i - S_j| <= max(q/w_i, q/w_j)` plus what settlement has given back.* When the interval begins both tags
//! are at least `V` and the smaller one is served next. A tag rises only (a) when its flow is chosen, and then it was the
//! smallest, so it ends at most `q/w` above the other; or (b) by accrual for steps that already run, each charge at most
//! `q`, after which the flow is not chosen again until the other has passed it. A settlement lowers a tag by at most what
//! that step was charged ahead of its use, which is again at most `q` a step.
//!
//! *Real service*: at any instant a flow has at most D steps running; each is charged at least for the time it has run,
//! and at most `q` ahead. So for real service `W` with steps of at most `c`, `|W_i/w_i - W_j/w_j| <= (D+1)(c_i/w_i +
//! c_j/w_j)`, the bound of SFQ(D) with `c` in place of the packet size. `c` is the step's timeout, which is why every step has
//! one.
//!
//! *Capped flows*: a flow at its cap is in no order and costs nobody anything; a step of an idle tenant waits at most for
//! the next release of a slot, since its tag is `V` and no eligible tag is smaller.
//!
//! # Cost
//!
//! `n` eligible siblings, `k` classes in the tenant's lane, `r` running steps: `enqueue`, `withdraw`, `settle` and one
//! round of `next` are O(log n + log r + k); `explain` is O(k) and a constant; memory is O(registered) small and
//! O(active) large nodes. No call allocates for a decision beyond what its ordered sets do.

#![warn(clippy::float_arithmetic)]

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};

use crate::time::{Span, Time};

mod burst;
mod config;
mod explain;
mod flow;
mod lanes;
mod live;
mod log;

#[cfg(test)]
mod tests;

pub use config::{
    Burst, Dispatch, Entry, GateAnswer, Lane, LongClass, Offer, OrgConfig, OrgIx, Policy,
    PoolConfig, TenantConfig, TenantIx, Ticket,
};
pub use explain::{FlowReading, PoolReading, Wait};
pub use log::{Event, Logged};

use config::Running;
use flow::{ANY, Level, SHORT, Share, Tag};
use lanes::{Active, BurstState, Head, LaneRule};

/// While a step runs it is charged ahead by this part of its running time, so that the number of charges grows with the
/// logarithm of its length.
const AHEAD_PART: u64 = 8;

/// The queue of one pool.
#[derive(Debug)]
pub struct Scheduler {
    config: PoolConfig,
    dispatchable: u32,
    in_flight: u32,
    long_in_flight: u32,
    waiting: u64,
    root: Level,
    /// The first one stands for all tenants under policies that know no organisations.
    orgs: Vec<OrgNode>,
    tenants: Vec<TenantNode>,
    running: BTreeMap<Ticket, Running>,
    /// When running steps outlive what they were charged; an entry whose step has ended or was charged since is stale.
    accruals: BinaryHeap<Reverse<(Time, Ticket)>>,
    parked: BTreeMap<u64, VecDeque<ClassPlace>>,
    /// Under `Fifo`, all steps that could be chosen, oldest first.
    line: BTreeMap<(u64, Ticket), (TenantIx, Lane, u64, bool)>,
    bursting: BTreeSet<TenantIx>,
    burst_in_use: Span,
    log: Vec<Logged>,
}

/// A class of one tenant's lane: its key, and whether its steps are long.
type ClassPlace = (TenantIx, Lane, (u64, bool));

#[derive(Debug)]
struct OrgNode {
    config: OrgConfig,
    share: Share,
    level: Level,
}

#[derive(Debug, Default)]
struct TenantNode {
    config: Option<TenantConfig>,
    /// The start tag while the tenant is not active: all that is left of it.
    start: Tag,
    /// Slot-microseconds of finished steps.
    service: u128,
    active: Option<Box<Active>>,
}

impl Scheduler {
    pub fn new(config: PoolConfig) -> Self {
        let everyone = OrgConfig { weight: 1, cap: None };
        Self {
            config,
            dispatchable: config.slots,
            in_flight: 0,
            long_in_flight: 0,
            waiting: 0,
            root: Level::default(),
            orgs: vec![OrgNode { config: everyone, share: Share::new(1), level: Level::default() }],
            tenants: Vec::new(),
            running: BTreeMap::new(),
            accruals: BinaryHeap::new(),
            parked: BTreeMap::new(),
            line: BTreeMap::new(),
            bursting: BTreeSet::new(),
            burst_in_use: Span::ZERO,
            log: Vec::new(),
        }
    }

    /// A step is ready. It must not be queued or running already.
    pub fn enqueue(&mut self, now: Time, entry: Entry) {
        assert!(!self.running.contains_key(&entry.ticket), "{:?} is running", entry.ticket);
        let is_long = self.is_long(&entry);
        let (is_fifo, paused) =
            (self.config.policy == Policy::Fifo, self.tenant(entry.tenant).config().paused);
        self.activate(entry.tenant).insert(now, &entry, is_long);
        self.waiting += 1;
        let is_open = self
            .tenant(entry.tenant)
            .active
            .as_deref()
            .and_then(|active| active.class(entry.lane, entry.class, is_long))
            .is_some_and(|class| class.parked.is_none());
        if is_fifo && is_open && !paused {
            self.line.insert(
                (entry.age, entry.ticket),
                (entry.tenant, entry.lane, entry.class, is_long),
            );
        }
        self.update(entry.tenant);
    }

    /// A ready step is not wanted any more; false if it was not queued.
    pub fn withdraw(&mut self, _now: Time, entry: &Entry) -> bool {
        let is_long = self.is_long(entry);
        let Some(active) = self.tenants[entry.tenant.0 as usize].active.as_deref_mut() else {
            return false;
        };
        // What is long may have been declared anew since it was queued.
        if !active.remove(entry, is_long) && !active.remove(entry, !is_long) {
            return false;
        }
        self.waiting -= 1;
        self.line.remove(&(entry.age, entry.ticket));
        self.update(entry.tenant);
        true
    }

    /// Gives a free slot to the next step that passes its gates. `None`: no slot may be given, or nobody can take it.
    pub fn next(
        &mut self,
        now: Time,
        gate: &mut dyn FnMut(Offer) -> GateAnswer,
    ) -> Option<Dispatch> {
        // Each round parks a class, so there are at most as many rounds as classes.
        while self.in_flight < self.dispatchable {
            let (tenant, head) = self.select(now)?;
            let active = self.tenants[tenant.0 as usize]
                .active
                .as_deref_mut()
                .expect("a chosen tenant is active");
            let class = active.class_key(head);
            let offer = Offer { ticket: head.ticket, tenant, lane: head.lane, class };
            match gate(offer) {
                GateAnswer::Park(wake) => self.park(now, tenant, head, wake),
                GateAnswer::Pass => return Some(self.start(now, tenant, head)),
            }
        }
        None
    }

    /// The step has ended, whatever came of it: its charge becomes what it used, and its slot is free.
    pub fn settle(&mut self, now: Time, ticket: Ticket) {
        let running = self.running.remove(&ticket).expect("only a running step is settled");
        let used = now.since(running.started);
        let tenant = running.entry.tenant;
        if self.config.policy != Policy::RoundRobin {
            if used >= running.charged {
                self.charge(tenant, Span(used.0 - running.charged.0));
            } else {
                self.refund(tenant, Span(running.charged.0 - used.0));
            }
        }
        let node = &mut self.tenants[tenant.0 as usize];
        node.service += u128::from(used.0);
        if let Some(active) = node.active.as_deref_mut() {
            active.urgent.add(used, running.is_urgent);
        }
        self.release(&running);
    }

    /// A dispatch came to nothing before the step began: nothing is charged, its slot is free. The step is not queued.
    pub fn unstart(&mut self, _now: Time, ticket: Ticket) {
        let running = self.running.remove(&ticket).expect("only a running step is taken back");
        if self.config.policy != Policy::RoundRobin {
            self.refund(running.entry.tenant, running.charged);
        }
        self.release(&running);
    }

    /// A step that was running before a restart: it holds its slot, above the caps if need be.
    pub fn restore(&mut self, now: Time, entry: Entry, started: Time) {
        let is_long = self.is_long(&entry);
        self.activate(entry.tenant);
        self.occupy(now, entry, is_long, started);
    }

    /// Charges running steps that outlived what they were charged, and moves bursts on. Call it whenever time has passed.
    pub fn tick(&mut self, now: Time) {
        while let Some(Reverse((due, ticket))) = self.accruals.peek().copied() {
            if due > now {
                break;
            }
            self.accruals.pop();
            self.accrue(now, due, ticket);
        }
        if !self.bursting.is_empty() {
            let bursting: Vec<TenantIx> = self.bursting.iter().copied().collect();
            for tenant in bursting {
                self.update(tenant);
            }
        }
    }

    /// When `tick` has something to do at the latest.
    pub fn next_tick(&self) -> Option<Time> {
        self.accruals.peek().map(|Reverse((due, _))| *due)
    }

    /// Lets classes that wait for the key try again, at most `most` of them, those that parked first.
    pub fn wake(&mut self, now: Time, key: u64, most: u32) {
        let Some(mut waiting) = self.parked.remove(&key) else { return };
        for _ in 0..most {
            let Some((tenant, lane, class)) = waiting.pop_front() else { break };
            let Some(active) = self.tenants[tenant.0 as usize].active.as_deref_mut() else {
                continue;
            };
            if active.unpark(now, lane, class, key) {
                self.sync_line(tenant);
                self.update(tenant);
            }
        }
        if !waiting.is_empty() {
            self.parked.insert(key, waiting);
        }
    }

    /// What was noted since the last call.
    pub fn take_log(&mut self) -> Vec<Logged> {
        std::mem::take(&mut self.log)
    }

    /// The tenant and the step that are next, by the pool's policy.
    fn select(&self, now: Time) -> Option<(TenantIx, Head)> {
        if self.config.policy == Policy::Fifo {
            let (_, &(tenant, lane, class, is_long)) = self.line.first_key_value()?;
            let active = self.tenant(tenant).active.as_deref()?;
            return Some((tenant, active.head_of(lane, class, is_long)?));
        }
        let is_short = self.is_long_full();
        let order = if is_short { SHORT } else { ANY };
        let org = &self.orgs[self.root.first(order)? as usize];
        let tenant = TenantIx(org.level.first(order)?);
        let node = self.tenant(tenant);
        let config = node.config();
        let rule = self.config.policy.has_lanes().then_some(LaneRule {
            age_guard: self.config.age_guard,
            urgent_share_permille: config.urgent_share_permille,
        });
        let head = node.active.as_deref()?.head(now, is_short, rule);
        Some((tenant, head.expect("a tenant that can be chosen has a step to give")))
    }

    fn start(&mut self, now: Time, tenant: TenantIx, head: Head) -> Dispatch {
        let org = self.org_place(&self.tenant(tenant).config());
        let active = self.tenants[tenant.0 as usize]
            .active
            .as_deref_mut()
            .expect("a chosen tenant is active");
        self.root.choose(&self.orgs[org].share);
        self.orgs[org].level.choose(&active.share);
        let (age, class, is_long) = active.take(now, head);
        self.waiting -= 1;
        self.line.remove(&(age, head.ticket));
        let entry = Entry {
            tenant,
            lane: head.lane,
            class,
            age,
            ticket: head.ticket,
            expected: Span::ZERO,
        };
        self.note_urgent(tenant);
        self.occupy(now, entry, is_long, now);
        Dispatch { ticket: head.ticket, tenant }
    }

    /// Counts a slot along the path, and charges the first quantum, or what has been used since `started`.
    fn occupy(&mut self, now: Time, entry: Entry, is_long: bool, started: Time) {
        let tenant = entry.tenant;
        let charged = self.config.quantum.max(now.since(started));
        let org = self.org_place(&self.tenant(tenant).config());
        let active =
            self.tenants[tenant.0 as usize].active.as_deref_mut().expect("it was made active");
        active.share.in_flight += 1;
        self.orgs[org].share.in_flight += 1;
        self.in_flight += 1;
        self.long_in_flight += u32::from(is_long);
        let is_urgent = entry.lane == Lane::Urgent;
        let clash = self
            .running
            .insert(entry.ticket, Running { entry, started, charged, is_long, is_urgent });
        assert!(clash.is_none(), "{:?} is running already", entry.ticket);
        if self.config.policy != Policy::RoundRobin {
            self.accruals.push(Reverse((started + charged, entry.ticket)));
        }
        self.charge(tenant, charged);
        self.update(tenant);
    }

    fn release(&mut self, running: &Running) {
        let tenant = running.entry.tenant;
        let org = self.org_place(&self.tenant(tenant).config());
        let active = self.tenants[tenant.0 as usize]
            .active
            .as_deref_mut()
            .expect("a running step's tenant is active");
        active.share.in_flight -= 1;
        self.orgs[org].share.in_flight -= 1;
        self.in_flight -= 1;
        self.long_in_flight -= u32::from(running.is_long);
        self.update(tenant);
    }

    fn accrue(&mut self, now: Time, due: Time, ticket: Ticket) {
        let Some(running) = self.running.get_mut(&ticket) else { return };
        if running.started + running.charged != due {
            return;
        }
        let elapsed = now.since(running.started);
        let wanted = Span(elapsed.0 + (elapsed.0 / AHEAD_PART).max(self.config.quantum.0));
        let more = Span(wanted.0 - running.charged.0);
        running.charged = wanted;
        let (tenant, next) = (running.entry.tenant, running.started + wanted);
        self.accruals.push(Reverse((next, ticket)));
        self.charge(tenant, more);
        self.update(tenant);
    }

    fn charge(&mut self, tenant: TenantIx, used: Span) {
        let org = self.org_place(&self.tenant(tenant).config());
        let active = self.tenants[tenant.0 as usize]
            .active
            .as_deref_mut()
            .expect("a charged tenant is active");
        let OrgNode { share, level, .. } = &mut self.orgs[org];
        level.charge(&mut active.share, used);
        self.root.charge(share, used);
    }

    fn refund(&mut self, tenant: TenantIx, unused: Span) {
        let org = self.org_place(&self.tenant(tenant).config());
        let active = self.tenants[tenant.0 as usize]
            .active
            .as_deref_mut()
            .expect("a charged tenant is active");
        Level::refund(&mut active.share, unused);
        Level::refund(&mut self.orgs[org].share, unused);
    }

    fn park(&mut self, now: Time, tenant: TenantIx, head: Head, wake: u64) {
        let active = self.tenants[tenant.0 as usize]
            .active
            .as_deref_mut()
            .expect("a chosen tenant is active");
        let class = active.park(now, head, wake);
        self.parked.entry(wake).or_default().push_back((tenant, head.lane, class));
        self.sync_line(tenant);
        self.update(tenant);
    }

    /// Puts the tenant and its organisation where they belong now; call it after every change of one of them.
    fn update(&mut self, tenant: TenantIx) {
        self.turn_burst(tenant);
        let config = self.tenant(tenant).config();
        let place = self.org_place(&config);
        let Some(active) = self.tenants[tenant.0 as usize].active.as_deref() else { return };
        let cap = self.cap_of(&config, active.burst);
        let has_room = !config.paused && active.share.in_flight < cap;
        let wants_more = !config.paused && active.open[ANY] > 0;
        let is_idle =
            active.ready == 0 && active.share.in_flight == 0 && active.burst == BurstState::Ready;
        if wants_more && !has_room && !active.cap_logged {
            self.write_log(tenant, Event::CapReached { cap });
        }
        let node = &mut self.tenants[tenant.0 as usize];
        let active = node.active.as_deref_mut().expect("it was there above");
        active.cap_logged = active.ready > 0 && (active.cap_logged || (wants_more && !has_room));
        let belongs = orders(self.config.long.is_some())
            .map(|kept| kept.is_some_and(|order| has_room && active.open[order] > 0));
        self.orgs[place].level.place(tenant.0, &mut active.share, belongs);
        if is_idle {
            node.start = active.share.start;
            node.active = None;
        }
        self.update_org(place);
    }

    fn update_org(&mut self, place: usize) {
        let cap = self.org_cap(&self.orgs[place]);
        let OrgNode { share, level, .. } = &mut self.orgs[place];
        let has_room = share.in_flight < cap;
        let belongs = orders(self.config.long.is_some())
            .map(|kept| kept.is_some_and(|order| has_room && !level.is_empty(order)));
        self.root.place(
            u32::try_from(place).expect("organisations are counted in 32 bits"),
            share,
            belongs,
        );
    }

    fn note_urgent(&mut self, tenant: TenantIx) {
        let share_permille = self.tenant(tenant).config().urgent_share_permille;
        let active = self.tenants[tenant.0 as usize]
            .active
            .as_deref_mut()
            .expect("a chosen tenant is active");
        let is_over = !active.urgent.is_within(share_permille);
        let was_over = std::mem::replace(&mut active.urgent.is_over, is_over);
        if is_over && !was_over {
            self.write_log(tenant, Event::UrgentShareExceeded { share_permille });
        }
    }

    fn write_log(&mut self, tenant: TenantIx, event: Event) {
        if self.log.len() < log::LOG_MAX {
            self.log.push(Logged { tenant, event });
        }
    }
}

/// The orders that are kept: without a class of long steps, all steps are short, and one order says it all.
const fn orders(has_long: bool) -> [Option<usize>; 2] {
    [Some(ANY), if has_long { Some(SHORT) } else { None }]
}
