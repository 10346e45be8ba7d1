//! Random calls against a model that knows nothing of fairness: it counts slots and knows who may start.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::pool::{Dice, SECOND};
use crate::scheduler::flow::Clock;
use crate::scheduler::*;
use crate::time::{Span, Time};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    Parked(u64),
    Running,
}

#[derive(Debug)]
struct Model {
    scheduler: Scheduler,
    config: PoolConfig,
    dispatchable: u32,
    now: Time,
    dice: Dice,
    steps: BTreeMap<u64, (Entry, State)>,
    orgs: Vec<OrgConfig>,
    tenants: Vec<TenantConfig>,
    bursting: BTreeSet<TenantIx>,
    /// Wake keys of classes whose gate is closed.
    closed: BTreeMap<u64, u64>,
    clocks: Vec<Clock>,
    next: u64,
    /// Everything that was given a slot: when, whose, which.
    given: Vec<(Time, u32, u64)>,
    /// Where each tenant and organisation stands in the queue's numbering.
    numbers: fn(u32) -> u32,
}

const ORGS: u32 = 3;
const TENANTS: u32 = 7;
const OVER: Span = Span::from_secs(1);

impl Model {
    fn new(seed: u64, policy: Policy, numbers: fn(u32) -> u32) -> Self {
        let mut dice = Dice(seed);
        let long = (dice.roll(2) == 0).then_some(LongClass { over: OVER, share_permille: 300 });
        let config = PoolConfig {
            slots: 6,
            policy,
            quantum: Span::from_millis(10),
            long,
            burst_max: Span::from_secs(5),
            age_guard: Span::from_secs(2),
        };
        let mut model = Self {
            scheduler: Scheduler::new(config),
            config,
            dispatchable: u32::MAX,
            now: Time(SECOND),
            dice,
            steps: BTreeMap::new(),
            orgs: Vec::new(),
            tenants: Vec::new(),
            bursting: BTreeSet::new(),
            closed: BTreeMap::new(),
            clocks: Vec::new(),
            next: 0,
            given: Vec::new(),
            numbers,
        };
        for org in 0..ORGS {
            model.orgs.push(OrgConfig { weight: 1, cap: None });
            model.set_org(org);
        }
        for tenant in 0..TENANTS {
            let config = model.any_tenant();
            model.tenants.push(config);
            model.set_tenant(tenant, config);
        }
        model
    }

    fn roll(&mut self, below: u32) -> u32 {
        u32::try_from(self.dice.roll(below.into())).expect("it is below")
    }

    fn any_tenant(&mut self) -> TenantConfig {
        let burst = Burst { extra_slots: 1 + self.roll(3), credit: Span::from_secs(2) };
        TenantConfig {
            org: OrgIx((self.numbers)(self.roll(ORGS))),
            weight: 1 + self.roll(4),
            cap: 1 + self.roll(4),
            burst: (self.roll(3) == 0).then_some(burst),
            urgent_share_permille: 100 * self.roll(11),
            paused: self.roll(8) == 0,
        }
    }

    fn set_org(&mut self, org: u32) {
        let config = OrgConfig {
            weight: 1 + self.roll(4),
            cap: (self.roll(3) == 0).then_some(1 + self.roll(5)),
        };
        self.orgs[org as usize] = config;
        self.scheduler.set_org(self.now, OrgIx((self.numbers)(org)), config);
    }

    fn set_tenant(&mut self, tenant: u32, config: TenantConfig) {
        self.tenants[tenant as usize] = config;
        self.scheduler.set_tenant(self.now, TenantIx((self.numbers)(tenant)), config);
    }

    /// The model's number of one of the queue's.
    fn own(&self, number: u32) -> usize {
        (0..TENANTS).position(|own| (self.numbers)(own) == number).expect("it was declared")
    }

    fn any_step(&mut self, wanted: fn(State) -> bool) -> Option<Entry> {
        let found: Vec<Entry> = self
            .steps
            .values()
            .filter(|(_, state)| wanted(*state))
            .map(|(entry, _)| *entry)
            .collect();
        let at = self.dice.roll(found.len().max(1) as u64);
        found.into_iter().nth(usize::try_from(at).expect("it is below"))
    }

    fn enqueue(&mut self) {
        let tenant = self.roll(TENANTS);
        let entry = Entry {
            tenant: TenantIx((self.numbers)(tenant)),
            lane: Lane::ALL[self.roll(3) as usize],
            class: self.dice.roll(3),
            // Mostly younger than those before.
            age: self.next + 10 - self.dice.roll(10),
            ticket: Ticket(self.next),
            expected: Span(self.dice.roll(2 * OVER.0)),
        };
        self.next += 1;
        self.scheduler.enqueue(self.now, entry);
        let parked = self.parked_class(&entry);
        self.steps.insert(entry.ticket.0, (entry, parked.map_or(State::Waiting, State::Parked)));
    }

    fn is_long(&self, entry: &Entry) -> bool {
        let is_bound = self.config.policy == Policy::Fair && self.config.long.is_some();
        is_bound && entry.expected > OVER
    }

    /// Steps that are parked as one: same tenant, lane and class, and all long or all short.
    fn is_same_class(&self, one: &Entry, two: &Entry) -> bool {
        (one.tenant, one.lane, one.class, self.is_long(one))
            == (two.tenant, two.lane, two.class, self.is_long(two))
    }

    fn parked_class(&self, entry: &Entry) -> Option<u64> {
        self.steps.values().find_map(|(other, state)| match state {
            State::Parked(key) if self.is_same_class(entry, other) => Some(*key),
            _ => None,
        })
    }

    fn act(&mut self) {
        match self.roll(25) {
            0..8 => self.enqueue(),
            8..14 => {
                if let Some(entry) = self.any_step(|state| state == State::Running) {
                    self.scheduler.settle(self.now, entry.ticket);
                    self.steps.remove(&entry.ticket.0);
                }
            }
            14 => {
                if let Some(entry) = self.any_step(|state| state == State::Running) {
                    self.scheduler.unstart(self.now, entry.ticket);
                    self.steps.remove(&entry.ticket.0);
                }
            }
            15 => {
                if let Some(entry) = self.any_step(|state| state != State::Running) {
                    assert!(self.scheduler.withdraw(self.now, &entry));
                    self.steps.remove(&entry.ticket.0);
                }
            }
            16 => {
                let tenant = self.roll(TENANTS);
                let config = self.any_tenant();
                self.set_tenant(tenant, config);
            }
            17 => {
                let org = self.roll(ORGS);
                self.set_org(org);
            }
            18 => self.toggle_gate(),
            19 => {
                let slots = 1 + self.roll(6);
                self.scheduler.set_dispatchable(self.now, slots);
                // As many as there are is no bound, also if there are more later.
                self.dispatchable = if slots < self.config.slots { slots } else { u32::MAX };
            }
            20 => self.configure(),
            21 => self.now = self.now + Span(self.dice.roll(5 * SECOND)),
            22 => self.scheduler.tick(self.now),
            _ => self.now = self.now + Span(self.dice.roll(SECOND / 10)),
        }
    }

    /// Another quantum and another number of slots: how far ahead a step is charged follows from both.
    fn configure(&mut self) {
        let quanta = [1, 10, 500, 5_000, 60_000].map(Span::from_millis);
        self.config.quantum = quanta[self.roll(5) as usize];
        self.config.slots = if self.roll(4) == 0 { 60_000 } else { 1 + self.roll(8) };
        self.scheduler.configure(self.now, self.config);
    }

    /// Opens a closed gate and wakes what waits for it, or closes one.
    fn toggle_gate(&mut self) {
        let class = self.dice.roll(3);
        let Some(key) = self.closed.remove(&class) else {
            let key = 100 + self.dice.roll(2);
            self.closed.insert(class, key);
            return;
        };
        self.scheduler.wake(self.now, key, u32::MAX);
        for (_, state) in self.steps.values_mut() {
            if *state == State::Parked(key) {
                *state = State::Waiting;
            }
        }
    }

    fn held(&self, which: impl Fn(&Entry) -> bool) -> u32 {
        let running =
            self.steps.values().filter(|(entry, state)| *state == State::Running && which(entry));
        u32::try_from(running.count()).expect("few")
    }

    fn cap_of(&self, tenant: TenantIx) -> u32 {
        let config = &self.tenants[self.own(tenant.0)];
        let extra = config.burst.filter(|_| self.bursting.contains(&tenant));
        config.cap + extra.map_or(0, |burst| burst.extra_slots)
    }

    fn org_of(&self, tenant: TenantIx) -> OrgIx {
        self.tenants[self.own(tenant.0)].org
    }

    /// Whether one more slot for this step is allowed, gates apart.
    fn may_start(&self, entry: &Entry) -> bool {
        let config = &self.tenants[self.own(entry.tenant.0)];
        if config.paused || self.held(|_| true) >= self.dispatchable.min(self.config.slots) {
            return false;
        }
        if self.config.policy != Policy::Fair {
            return true;
        }
        let org = (0..ORGS).find(|own| (self.numbers)(*own) == config.org.0).expect("declared");
        let org_cap = self.orgs[org as usize].cap.unwrap_or(u32::MAX);
        let long_cap = (self.dispatchable.min(self.config.slots) * 300 / 1_000).max(1);
        self.held(|other| other.tenant == entry.tenant) < self.cap_of(entry.tenant)
            && self.held(|other| self.org_of(other.tenant) == config.org) < org_cap
            && (!self.is_long(entry) || self.held(|other| self.is_long(other)) < long_cap)
    }

    /// Gives the tenants whose burst has ended.
    fn read_log(&mut self) -> BTreeSet<TenantIx> {
        let mut ended = BTreeSet::new();
        for logged in self.scheduler.take_log() {
            match logged.event {
                Event::BurstGranted { .. } => assert!(self.bursting.insert(logged.tenant)),
                Event::BurstSpent { .. } => {
                    assert!(self.bursting.remove(&logged.tenant));
                    ended.insert(logged.tenant);
                }
                Event::BurstPaidBack { .. }
                | Event::CapReached { .. }
                | Event::UrgentShareExceeded { .. } => {}
            }
        }
        ended
    }

    /// First, now and then, to workers that are there for some tenants only.
    fn dispatch(&mut self) {
        if self.roll(3) == 0 {
            let chosen = (0..TENANTS).filter(|_| self.dice.roll(2) == 0);
            let some: Vec<_> = chosen.map(self.numbers).map(TenantIx).collect();
            self.give(Some(&some));
        }
        self.give(None);
    }

    fn give(&mut self, among: Option<&[TenantIx]>) {
        let is_meant = |tenant| among.is_none_or(|some| some.contains(&tenant));
        loop {
            let closed = &self.closed;
            let mut parked = Vec::new();
            let gate = &mut |offer: Offer| match closed.get(&offer.class) {
                Some(key) => {
                    parked.push((offer.ticket.0, *key));
                    GateAnswer::Park(*key)
                }
                None => GateAnswer::Pass,
            };
            let given = match among {
                None => self.scheduler.next(self.now, gate),
                Some(some) => self.scheduler.next_among(self.now, some, gate),
            };
            for (ticket, key) in parked {
                let first = self.steps[&ticket].0;
                let same: Vec<u64> = self
                    .steps
                    .values()
                    .filter(|(entry, state)| {
                        *state == State::Waiting && self.is_same_class(&first, entry)
                    })
                    .map(|(entry, _)| entry.ticket.0)
                    .collect();
                for ticket in same {
                    self.steps.get_mut(&ticket).expect("it was found").1 = State::Parked(key);
                }
            }
            let ended = self.read_log();
            let Some(given) = given else { break };
            let (entry, state) = self.steps[&given.ticket.0];
            assert_eq!(state, State::Waiting, "only what waits is given a slot: {entry:?}");
            assert!(is_meant(given.tenant), "{entry:?} is none of theirs: {among:?}");
            // A burst may have ended with what this dispatch was charged.
            let bursting = self.bursting.clone();
            self.bursting.extend(ended);
            assert!(self.may_start(&entry), "P1: {entry:?} exceeds a cap in {self:#?}");
            self.bursting = bursting;
            self.steps.get_mut(&given.ticket.0).expect("it waits").1 = State::Running;
            let own = u32::try_from(self.own(given.tenant.0)).expect("few");
            self.given.push((self.now, own, given.ticket.0));
            self.read_log();
        }
        for (entry, state) in self.steps.values() {
            let could = *state == State::Waiting && is_meant(entry.tenant) && self.may_start(entry);
            assert!(!could, "P4: {entry:?} waits beside a free slot in {self:#?}");
        }
    }

    fn check(&mut self) {
        let clocks = self.scheduler.check();
        self.scheduler.check_charges(self.now);
        for (before, after) in self.clocks.iter().zip(&clocks) {
            assert!(before.virtual_time <= after.virtual_time, "V fell");
            assert!(before.start_max <= after.start_max, "the highest tag fell");
        }
        self.clocks = clocks;
        let reading = self.scheduler.reading();
        assert_eq!(reading.in_flight, self.held(|_| true));
        assert_eq!(reading.waiting + u64::from(reading.in_flight), self.steps.len() as u64);
        for tenant in (0..TENANTS).map(self.numbers).map(TenantIx) {
            let flow = self.scheduler.flow(self.now, tenant);
            assert_eq!(flow.in_flight, self.held(|entry| entry.tenant == tenant));
        }
        for (entry, state) in self.steps.values().filter(|(_, state)| *state != State::Running) {
            let wait = self.scheduler.explain(self.now, entry);
            let is_true = match &wait {
                Wait::Paused => self.tenants[self.own(entry.tenant.0)].paused,
                Wait::Parked { key, .. } => *state == State::Parked(*key),
                Wait::TenantCap { in_flight, cap, .. } => {
                    in_flight >= cap && *cap == self.cap_of(entry.tenant)
                }
                Wait::OrgCap { in_flight, cap } | Wait::LongSlots { in_flight, cap } => {
                    in_flight >= cap
                }
                Wait::PoolFull { in_flight, slots, .. } => in_flight >= slots,
                Wait::Turn { .. } => false,
            };
            assert!(is_true, "P13: after a dispatch {entry:?} ({state:?}) waits for {wait:?}");
        }
    }
}

fn run(
    seed: u64,
    policy: Policy,
    numbers: fn(u32) -> u32,
    keeps_idle: bool,
) -> Vec<(Time, u32, u64)> {
    let mut model = Model::new(seed, policy, numbers);
    model.scheduler.keeps_idle = keeps_idle;
    for _ in 0..400 {
        model.act();
        model.dispatch();
        model.check();
    }
    assert!(model.given.len() > 20, "seed {seed} does something");
    model.given
}

const fn same(number: u32) -> u32 {
    number
}

/// Another order, with gaps.
const fn shuffled(number: u32) -> u32 {
    (number * 5 + 3) % 7 * 3
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn caps_hold_slots_do_not_idle_and_every_wait_is_explained(seed: u64) {
        run(seed, Policy::Fair, same, false);
    }

    #[test]
    fn the_other_policies_hold_what_they_promise(seed: u64) {
        for policy in [Policy::Fifo, Policy::RoundRobin, Policy::Weighted] {
            run(seed, policy, same, false);
        }
    }
}

#[test]
fn two_runs_of_one_seed_give_one_log_whatever_tenants_are_called_and_whether_idle_ones_are_kept() {
    for seed in 0..12 {
        let first = run(seed, Policy::Fair, same, false);
        assert_eq!(first, run(seed, Policy::Fair, same, false), "seed {seed} again");
        assert_eq!(
            first,
            run(seed, Policy::Fair, shuffled, false),
            "seed {seed} with other numbers"
        );
        assert_eq!(first, run(seed, Policy::Fair, same, true), "seed {seed} without forgetting");
    }
}
