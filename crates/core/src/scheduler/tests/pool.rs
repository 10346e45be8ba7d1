//! A pool in virtual time: steps arrive, run for as long as they were made to, and give their slots back.
//!
//! It keeps its own account of who held which slot for how long, and never asks the queue for it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use crate::id::mix;
use crate::scheduler::*;
use crate::time::{Span, Time};

pub(super) const SECOND: u64 = 1_000_000;

/// Numbers that look random and are the same in every run.
#[derive(Clone, Debug)]
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn roll(&mut self, below: u64) -> u64 {
        self.0 = mix(self.0);
        self.0 % below
    }

    pub(super) fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.roll(most - least + 1)
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Work {
    pub(super) tenant: u32,
    pub(super) lane: Lane,
    pub(super) class: u64,
    /// The shortest and the longest that a step takes.
    pub(super) length: (Span, Span),
}

/// Steps of one tenant that take `length` each.
pub(super) const fn work(tenant: u32, length: Span) -> Work {
    Work { tenant, lane: Lane::Normal, class: 0, length: (length, length) }
}

#[derive(Clone, Copy, Debug)]
struct Step {
    entry: Entry,
    length: Span,
    /// The tenant has more where this came from: a step that starts is followed by another one.
    source: Option<Work>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Use {
    in_flight: u32,
    area: u128,
    since: Time,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Start {
    pub(super) at: Time,
    pub(super) tenant: u32,
    pub(super) ticket: u64,
}

#[derive(Debug)]
pub(super) struct Pool {
    pub(super) scheduler: Scheduler,
    pub(super) now: Time,
    pub(super) starts: Vec<Start>,
    /// Classes whose gate is closed, and the key that each parks under.
    pub(super) closed: BTreeMap<u64, u64>,
    pub(super) log: Vec<(Time, Logged)>,
    /// For whom somebody is there. `None`: for all.
    pub(super) served: Option<Vec<TenantIx>>,
    /// Most slots that each tenant held at once.
    pub(super) peaks: BTreeMap<u32, u32>,
    tries: u64,
    dice: Dice,
    steps: Vec<Step>,
    arrivals: BinaryHeap<Reverse<(Time, u64)>>,
    ends: BinaryHeap<Reverse<(Time, u64)>>,
    uses: BTreeMap<u32, Use>,
}

pub(super) const fn config(slots: u32) -> PoolConfig {
    PoolConfig {
        slots,
        policy: Policy::Fair,
        quantum: Span::from_millis(10),
        long: None,
        burst_max: Span::from_secs(1_000),
        age_guard: Span::from_secs(3_600),
    }
}

pub(super) const fn tenant_of(org: u32, weight: u32, cap: u32) -> TenantConfig {
    TenantConfig {
        org: OrgIx(org),
        weight,
        cap,
        burst: None,
        urgent_share_permille: 1_000,
        paused: false,
    }
}

pub(super) const FREE: u32 = 1_000_000;

impl Pool {
    pub(super) fn new(config: PoolConfig) -> Self {
        Self {
            scheduler: Scheduler::new(config),
            now: Time(0),
            starts: Vec::new(),
            closed: BTreeMap::new(),
            log: Vec::new(),
            served: None,
            peaks: BTreeMap::new(),
            tries: 0,
            dice: Dice(1),
            steps: Vec::new(),
            arrivals: BinaryHeap::new(),
            ends: BinaryHeap::new(),
            uses: BTreeMap::new(),
        }
    }

    pub(super) fn org(&mut self, org: u32, weight: u32, cap: Option<u32>) {
        self.scheduler.set_org(self.now, OrgIx(org), OrgConfig { weight, cap });
    }

    pub(super) fn tenant(&mut self, tenant: u32, config: TenantConfig) {
        self.scheduler.set_tenant(self.now, TenantIx(tenant), config);
    }

    /// Each tenant alone in an organisation of that weight, without a cap.
    pub(super) fn tenants(&mut self, weights: &[u32]) {
        for (at, weight) in (0..).zip(weights) {
            self.org(at, *weight, None);
            self.tenant(at, tenant_of(at, 1, FREE));
        }
    }

    /// `count` steps arrive at `at`.
    pub(super) fn submit(&mut self, at: Time, work: Work, count: u32) {
        for _ in 0..count {
            self.arrive(at, work, None);
        }
    }

    /// From `at` on the tenant always has `depth` steps waiting.
    pub(super) fn saturate(&mut self, at: Time, work: Work, depth: u32) {
        for _ in 0..depth {
            self.arrive(at, work, Some(work));
        }
    }

    /// The tenant wants nothing any more: what waits is withdrawn, what runs ends in its own time.
    pub(super) fn leave(&mut self, tenant: u32) {
        let started: BTreeSet<u64> = self.starts.iter().map(|start| start.ticket).collect();
        for step in self.steps.iter_mut().filter(|step| step.entry.tenant.0 == tenant) {
            step.source = None;
            if !started.contains(&step.entry.ticket.0) {
                self.scheduler.withdraw(self.now, &step.entry);
            }
        }
    }

    pub(super) fn run_until(&mut self, end: Time) {
        self.dispatch();
        while let Some(next) = self.next_event().filter(|next| *next <= end) {
            self.now = next;
            while let Some(Reverse((_, ticket))) = pop_due(&mut self.ends, next) {
                self.hold(self.step(ticket).entry.tenant.0, -1);
                self.scheduler.settle(next, Ticket(ticket));
            }
            while let Some(Reverse((_, ticket))) = pop_due(&mut self.arrivals, next) {
                self.scheduler.enqueue(next, self.step(ticket).entry);
            }
            self.dispatch();
        }
        self.now = end;
    }

    pub(super) fn dispatch(&mut self) {
        let closed = &self.closed;
        let tries = &mut self.tries;
        let (now, served) = (self.now, self.served.clone());
        let mut gate = |offer: Offer| {
            *tries += 1;
            closed.get(&offer.class).map_or(GateAnswer::Pass, |key| GateAnswer::Park(*key))
        };
        while let Some(given) = match &served {
            None => self.scheduler.next(now, &mut gate),
            Some(tenants) => self.scheduler.next_among(now, tenants, &mut gate),
        } {
            let step = self.steps[usize::try_from(given.ticket.0).expect("a small number")];
            assert_eq!(step.entry.tenant, given.tenant, "the step is the tenant's own");
            self.starts.push(Start {
                at: self.now,
                tenant: given.tenant.0,
                ticket: given.ticket.0,
            });
            self.ends.push(Reverse((self.now + step.length, given.ticket.0)));
            let (now, tenant) = (self.now, given.tenant.0);
            let held = self.uses.entry(tenant).or_default();
            held.area += u128::from(held.in_flight) * u128::from(now.since(held.since).0);
            held.since = now;
            held.in_flight += 1;
            let peak = self.peaks.entry(tenant).or_default();
            *peak = (*peak).max(held.in_flight);
            if let Some(source) = step.source {
                let (entry, length) = entry_of(&mut self.dice, self.steps.len(), source);
                self.steps.push(Step { entry, length, source: step.source });
                self.scheduler.enqueue(self.now, entry);
            }
        }
        let now = self.now;
        self.log.extend(self.scheduler.take_log().into_iter().map(|logged| (now, logged)));
    }

    /// Slot-microseconds that the tenant's steps have held so far.
    pub(super) fn service(&self, tenant: u32) -> u128 {
        self.uses.get(&tenant).map_or(0, |held| {
            held.area + u128::from(held.in_flight) * u128::from(self.now.since(held.since).0)
        })
    }

    /// Slot-milliseconds that it held, for messages and round numbers.
    pub(super) fn service_ms(&self, tenant: u32) -> u64 {
        u64::try_from(self.service(tenant) / 1_000).expect("a test is short")
    }

    pub(super) fn in_flight(&self, tenant: u32) -> u32 {
        self.uses.get(&tenant).map_or(0, |held| held.in_flight)
    }

    /// How often the gates were asked.
    pub(super) const fn tries(&self) -> u64 {
        self.tries
    }

    pub(super) fn starts_of(&self, tenant: u32) -> Vec<Time> {
        self.starts.iter().filter(|start| start.tenant == tenant).map(|start| start.at).collect()
    }

    pub(super) fn codes_of(&self, tenant: u32) -> Vec<&'static str> {
        let of = self.log.iter().filter(|(_, logged)| logged.tenant.0 == tenant);
        of.map(|(_, logged)| logged.code()).collect()
    }

    /// The entry of a step that was submitted, by the order of submission.
    pub(super) fn entry(&self, ticket: u64) -> Entry {
        self.step(ticket).entry
    }

    fn step(&self, ticket: u64) -> Step {
        self.steps[usize::try_from(ticket).expect("a small number")]
    }

    fn arrive(&mut self, at: Time, work: Work, source: Option<Work>) {
        let (entry, length) = entry_of(&mut self.dice, self.steps.len(), work);
        self.arrivals.push(Reverse((at, entry.ticket.0)));
        self.steps.push(Step { entry, length, source });
    }

    fn next_event(&self) -> Option<Time> {
        let first = |heap: &BinaryHeap<Reverse<(Time, u64)>>| heap.peek().map(|next| next.0.0);
        first(&self.arrivals).into_iter().chain(first(&self.ends)).min()
    }

    fn hold(&mut self, tenant: u32, by: i32) {
        let now = self.now;
        let held = self.uses.entry(tenant).or_default();
        held.area += u128::from(held.in_flight) * u128::from(now.since(held.since).0);
        held.since = now;
        held.in_flight = held.in_flight.checked_add_signed(by).expect("who ends was running");
    }
}

fn pop_due(heap: &mut BinaryHeap<Reverse<(Time, u64)>>, now: Time) -> Option<Reverse<(Time, u64)>> {
    if heap.peek().is_some_and(|next| next.0.0 <= now) { heap.pop() } else { None }
}

fn entry_of(dice: &mut Dice, ticket: usize, work: Work) -> (Entry, Span) {
    let length = Span(dice.between(work.length.0.0, work.length.1.0));
    let ticket = u64::try_from(ticket).expect("a small number");
    let entry = Entry {
        tenant: TenantIx(work.tenant),
        lane: work.lane,
        class: work.class,
        age: ticket,
        ticket: Ticket(ticket),
        expected: length,
    };
    (entry, length)
}
