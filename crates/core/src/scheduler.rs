//! STUB to compile the cell against; replaced by the real one.
use crate::time::{Span, Time};
use std::collections::{BTreeMap, BTreeSet};
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrgIx(pub u32);
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantIx(pub u32);
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    Urgent,
    Normal,
    Background,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    Fair,
    Fifo,
    RoundRobin,
    Weighted,
}
#[derive(Clone, Copy, Debug)]
pub struct LongClass {
    pub over: Span,
    pub share_permille: u32,
}
#[derive(Clone, Copy, Debug)]
pub struct PoolConfig {
    pub slots: u32,
    pub policy: Policy,
    pub quantum: Span,
    pub long: Option<LongClass>,
    pub burst_max: Span,
    pub age_guard: Span,
}
#[derive(Clone, Copy, Debug)]
pub struct OrgConfig {
    pub weight: u32,
    pub cap: Option<u32>,
}
#[derive(Clone, Copy, Debug)]
pub struct Burst {
    pub extra_slots: u32,
    pub credit: Span,
}
#[derive(Clone, Copy, Debug)]
pub struct TenantConfig {
    pub org: OrgIx,
    pub weight: u32,
    pub cap: u32,
    pub burst: Option<Burst>,
    pub urgent_share_permille: u32,
    pub paused: bool,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    pub tenant: TenantIx,
    pub lane: Lane,
    pub class: u64,
    pub age: u64,
    pub ticket: Ticket,
    pub expected: Span,
}
pub struct Offer {
    pub ticket: Ticket,
}
pub enum GateAnswer {
    Pass,
    Park(u64),
}
pub struct Dispatch {
    pub ticket: Ticket,
}
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub enum Wait {
    Turn,
    Cap { cap: u32 },
}
impl Wait {
    pub fn is_turn(&self) -> bool {
        matches!(self, Self::Turn)
    }
}
pub struct Logged;
impl Logged {
    pub fn tenant(&self) -> TenantIx {
        TenantIx(0)
    }
    pub fn facts(&self) -> u32 {
        0
    }
    pub fn code(&self) -> &'static str {
        ""
    }
}
#[derive(Default)]
pub struct FlowReading {
    pub in_flight: u32,
    pub burst_slots: u32,
    pub waiting: u32,
    pub service: u128,
    pub debt: u128,
}
pub struct PoolReading {
    pub dispatchable: u32,
    pub in_flight: u32,
    pub waiting: u64,
}
#[derive(Debug)]
pub struct Scheduler {
    config: PoolConfig,
    caps: BTreeMap<TenantIx, TenantConfig>,
    queue: BTreeSet<(u64, Ticket, TenantIx)>,
    running: BTreeMap<Ticket, TenantIx>,
    held: BTreeMap<TenantIx, u32>,
}
impl Scheduler {
    pub fn new(config: PoolConfig) -> Self {
        Self {
            config,
            caps: BTreeMap::new(),
            queue: BTreeSet::new(),
            running: BTreeMap::new(),
            held: BTreeMap::new(),
        }
    }
    pub fn configure(&mut self, _: Time, c: PoolConfig) {
        self.config = c
    }
    pub fn set_dispatchable(&mut self, _: Time, _n: u32) {}
    pub fn set_org(&mut self, _: Time, _: OrgIx, _: OrgConfig) {}
    pub fn set_tenant(&mut self, _: Time, t: TenantIx, c: TenantConfig) {
        self.caps.insert(t, c);
    }
    pub fn enqueue(&mut self, _: Time, e: Entry) {
        assert!(self.queue.insert((e.age, e.ticket, e.tenant)));
    }
    pub fn withdraw(&mut self, _: Time, e: &Entry) -> bool {
        self.queue.remove(&(e.age, e.ticket, e.tenant))
    }
    pub fn next(&mut self, _: Time, gate: &mut dyn FnMut(Offer) -> GateAnswer) -> Option<Dispatch> {
        if self.running.len() >= self.config.slots as usize {
            return None;
        }
        let found = self
            .queue
            .iter()
            .find(|(_, _, t)| {
                let c = self.caps[t];
                !c.paused && self.held.get(t).copied().unwrap_or(0) < c.cap
            })
            .copied()?;
        let GateAnswer::Pass = gate(Offer { ticket: found.1 }) else { return None };
        self.queue.remove(&found);
        self.running.insert(found.1, found.2);
        *self.held.entry(found.2).or_default() += 1;
        Some(Dispatch { ticket: found.1 })
    }
    pub fn settle(&mut self, _: Time, t: Ticket) {
        let x = self.running.remove(&t).expect("running");
        *self.held.get_mut(&x).expect("held") -= 1;
    }
    pub fn unstart(&mut self, n: Time, t: Ticket) {
        self.settle(n, t)
    }
    pub fn restore(&mut self, _: Time, e: Entry, _: Time) {
        self.running.insert(e.ticket, e.tenant);
        *self.held.entry(e.tenant).or_default() += 1;
    }
    pub fn tick(&mut self, _: Time) {}
    pub fn next_tick(&self) -> Option<Time> {
        None
    }
    pub fn wake(&mut self, _: Time, _k: u64, _n: u32) {}
    pub fn explain(&self, _: Time, _: &Entry) -> Wait {
        Wait::Turn
    }
    pub fn flow(&self, _: Time, t: TenantIx) -> FlowReading {
        FlowReading { in_flight: self.held.get(&t).copied().unwrap_or(0), ..FlowReading::default() }
    }
    pub fn reading(&self) -> PoolReading {
        PoolReading {
            dispatchable: self.config.slots,
            in_flight: self.running.len() as u32,
            waiting: self.queue.len() as u64,
        }
    }
    pub fn take_log(&mut self) -> Vec<Logged> {
        Vec::new()
    }
}
