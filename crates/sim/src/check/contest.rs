//! Who stood in the queue of a pool when a turn was closed, at each level of the tree, and what each had had until then:
//! what the checkers of shares judge by.
//!
//! A flow *stands* if a step of it waits that its caps and its tenant's state have room for. Left out are pools whose
//! order is by intention another one: of other policies, with bounded long steps, or with bursts under way; and, until the
//! next owner comes, pools in which a dispatch came to nothing, since what it held is given back.

use std::collections::{BTreeMap, BTreeSet};

use fairlane_core::cell::change::Change;
use fairlane_core::cell::input::Input;
use fairlane_core::id::{OrgId, PoolName, TenantId};
use fairlane_core::pool::{Policy, Pool};
use fairlane_core::row::{RunKey, RunStatus, StepState};
use fairlane_core::time::{Span, Time};

use super::declared::Declared;
use super::ready::Ready;
use super::service::{Service, Used};

/// How far ahead of its use a running step is charged for each slot of the pool, unless the quantum is more.
const AHEAD_PER_SLOT: Span = Span::from_micros(10);

#[derive(Debug, Default)]
pub(crate) struct Contest {
    service: Service,
    pools: BTreeMap<PoolName, Queue>,
    /// Since the last close they may have stood in no queue for a moment.
    broken: BTreeSet<TenantId>,
    broken_orgs: BTreeSet<OrgId>,
    homes: BTreeMap<TenantId, OrgId>,
    numbers: u32,
}

/// A pool at its last close.
#[derive(Debug, Default)]
struct Queue {
    policy: Option<Policy>,
    is_void: bool,
    slots: u32,
    ahead: Span,
    waiting: Vec<Ready>,
    flows: BTreeMap<Flow, Last>,
    /// The longest step of each organisation, be its tenant still there or not: what it was charged stays with it.
    longest: BTreeMap<OrgId, Span>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Flow {
    Org(OrgId),
    Tenant(OrgId, TenantId),
}

#[derive(Debug)]
struct Last {
    number: u32,
    stands: bool,
    weight: u32,
    dispatches: u64,
}

/// One pool at one close.
#[derive(Debug)]
pub(crate) struct Round {
    pub(crate) pool: PoolName,
    pub(crate) now: Time,
    /// Most slots that the pool had since the owner came.
    slots: u32,
    /// How far ahead of its use a running step was charged at most.
    ahead: Span,
    pub(crate) entrants: Vec<Entrant>,
}

/// A flow at one close.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "facts of one moment that exclude none another")]
pub(crate) struct Entrant {
    pub(crate) flow: Flow,
    /// The flow's number, in all pools.
    pub(crate) number: u32,
    pub(crate) weight: u32,
    /// Its cap, or that of a tenant in it, can keep it away from a slot that is free.
    pub(crate) is_capped: bool,
    pub(crate) used: Used,
    pub(crate) stands: bool,
    /// It has stood all the time since the last close.
    pub(crate) stayed: bool,
    /// It stands, or it came and was given a slot at once.
    pub(crate) is_present: bool,
    /// Nothing is known of it, or what is known was of another weight.
    pub(crate) is_new: bool,
}

impl Contest {
    pub(crate) fn stepped(&mut self, input: &Input) {
        if matches!(input, Input::Undelivered(_)) {
            self.pools.values_mut().for_each(|queue| queue.is_void = true);
        }
    }

    pub(crate) fn follow(&mut self, change: &Change) {
        self.service.follow(change);
        match change {
            Change::Tenant(tenant, _) => {
                let before = self.homes.insert(tenant.id.clone(), tenant.org.clone());
                if before.is_some_and(|before| before != tenant.org) {
                    self.pools.values_mut().for_each(|queue| queue.flows.clear());
                }
                self.breaks(&tenant.id);
            }
            Change::Org(org) => drop(self.broken_orgs.insert(org.id.clone())),
            Change::Pool(pool) => self.set(pool),
            Change::Run(run)
                if run.status != RunStatus::Running && self.waits(|step| step.key == run.key) =>
            {
                self.breaks(&run.key.tenant);
            }
            Change::Step(step)
                if !matches!(step.state, StepState::Leased { .. })
                    && self.waits(|at| at.key == step.key && at.instance == step.instance) =>
            {
                self.breaks(&step.key.tenant);
            }
            Change::DropStep(RunKey { tenant, .. }, _) => self.breaks(tenant),
            _ => {}
        }
    }

    pub(crate) fn reloaded(&mut self, now: Time) {
        self.service.reloaded(now);
        for queue in self.pools.values_mut() {
            (queue.is_void, queue.slots, queue.ahead) = (false, 0, Span::ZERO);
            queue.flows.clear();
            queue.waiting.clear();
            queue.longest.clear();
        }
    }

    /// Whether any pool is one that shares can be judged in.
    pub(crate) fn is_on(&self, declared: &Declared) -> bool {
        let has_queue = |pool| self.pools.get(pool).is_some_and(|queue| !queue.is_void);
        declared.contexts.len() > 1
            && declared.pools.values().any(|pool| has_queue(&pool.name) && is_fair(pool, declared))
    }

    /// A turn was closed at that time.
    pub(crate) fn closed(&mut self, now: Time, declared: &Declared, ready: &[Ready]) -> Vec<Round> {
        let broken = std::mem::take(&mut self.broken);
        let broken_orgs = std::mem::take(&mut self.broken_orgs);
        let mut rounds = Vec::new();
        for pool in declared.pools.values().filter(|pool| is_fair(pool, declared)) {
            let Some(queue) = self.pools.get_mut(&pool.name).filter(|queue| !queue.is_void) else {
                continue;
            };
            queue.slots = queue.slots.max(pool.slots);
            let ahead = Span(AHEAD_PER_SLOT.0 * u64::from(pool.slots)).max(pool.quantum);
            queue.ahead = queue.ahead.max(ahead);
            let had_none = queue.waiting.is_empty();
            queue.waiting = ready.iter().filter(|step| step.pool == pool.name).cloned().collect();
            // Nobody waits, nor did: there is nothing to judge.
            if had_none && queue.waiting.is_empty() {
                continue;
            }
            let used = self.service.until(now, &pool.name);
            let mut entrants = entrants(pool, declared, &queue.waiting, &used);
            for entrant in &mut entrants {
                let last = queue.flows.entry(entrant.flow.clone()).or_insert_with(|| {
                    self.numbers += 1;
                    // No flow has this weight, so that the flow is new at its first close.
                    Last { number: self.numbers, stands: false, weight: 0, dispatches: 0 }
                });
                let is_broken = match &entrant.flow {
                    Flow::Org(org) => broken_orgs.contains(org),
                    Flow::Tenant(_, tenant) => broken.contains(tenant),
                };
                if let Flow::Org(org) = &entrant.flow {
                    let longest = queue.longest.entry(org.clone()).or_default();
                    *longest = (*longest).max(entrant.used.longest);
                    entrant.used.longest = *longest;
                }
                entrant.number = last.number;
                entrant.is_new = last.weight != entrant.weight;
                entrant.stayed = last.stands && entrant.stands && !is_broken && !entrant.is_new;
                let was_served = !last.stands && last.dispatches < entrant.used.dispatches;
                entrant.is_present = entrant.stands || was_served;
                last.stands = entrant.stands;
                last.weight = entrant.weight;
                last.dispatches = entrant.used.dispatches;
            }
            let (slots, ahead) = (queue.slots, queue.ahead);
            rounds.push(Round { pool: pool.name.clone(), now, slots, ahead, entrants });
        }
        rounds
    }

    fn set(&mut self, pool: &Pool) {
        let queue = self.pools.entry(pool.name.clone()).or_default();
        if queue.policy.replace(pool.policy) != Some(pool.policy) {
            queue.flows.clear();
        }
    }

    fn breaks(&mut self, tenant: &TenantId) {
        self.broken.insert(tenant.clone());
        self.broken_orgs.extend(self.homes.get(tenant).cloned());
    }

    /// Whether such a step waited at the last close.
    fn waits(&self, is_it: impl Fn(&Ready) -> bool) -> bool {
        self.pools.values().any(|queue| queue.waiting.iter().any(&is_it))
    }
}

impl Round {
    /// What two flows may be apart in service for their weights, multiplied with both weights: the bound that the
    /// documentation of `core::scheduler` derives, with the longest steps that there were for the longest possible.
    pub(crate) fn bound(&self, one: &Entrant, other: &Entrant) -> i128 {
        let slots = i128::from(self.slots);
        let (w_one, w_other) = (i128::from(one.weight), i128::from(other.weight));
        let (c_one, c_other) = (i128::from(one.used.longest.0), i128::from(other.used.longest.0));
        let ahead = i128::from(self.ahead.0);
        (slots + 1) * (c_one * w_other + c_other * w_one) + 2 * slots * ahead * (w_one + w_other)
    }

    /// What a flow that its cap kept away may be behind the others of its level when it comes back, or one above it be
    /// ahead for its sake: the longest step of any of them for its weight, with what it was charged ahead, on every slot.
    /// Multiplied with both weights, as the bound is.
    pub(crate) fn lag(&self, one: &Entrant, other: &Entrant) -> i128 {
        if !one.is_capped && !other.is_capped {
            return 0;
        }
        let weights = i128::from(one.weight) * i128::from(other.weight);
        let siblings =
            self.entrants.iter().filter(|sibling| sibling.flow.parent() == one.flow.parent());
        let lags = siblings.map(|sibling| {
            let step = i128::from(sibling.used.longest.0) + i128::from(self.ahead.0);
            i128::from(self.slots) * step * weights / i128::from(sibling.weight) + 1
        });
        lags.max().unwrap_or_default()
    }

    /// Each two flows of one level, in both orders.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&Entrant, &Entrant)> {
        self.entrants.iter().flat_map(move |one| {
            let others = self.entrants.iter().filter(|other| {
                other.number != one.number && other.flow.parent() == one.flow.parent()
            });
            others.map(move |other| (one, other))
        })
    }
}

impl Entrant {
    /// By how much it is ahead of the other in service for their weights, multiplied with both weights.
    pub(crate) fn lead(&self, other: &Self) -> i128 {
        let weighted = |used: Used, weight: u32| i128::from(used.slot_time.0) * i128::from(weight);
        weighted(self.used, other.weight) - weighted(other.used, self.weight)
    }
}

impl Flow {
    const fn parent(&self) -> Option<&OrgId> {
        match self {
            Self::Org(_) => None,
            Self::Tenant(org, _) => Some(org),
        }
    }
}

/// Whether the pool's order is that of shares and nothing else.
fn is_fair(pool: &Pool, declared: &Declared) -> bool {
    if declared.has_gates {
        return false;
    }
    let has_bursts = || declared.contexts.values().any(|context| context.burst.is_some());
    match pool.policy {
        Policy::Weighted => true,
        Policy::Fair => pool.long.is_none() && !has_bursts(),
        Policy::Fifo | Policy::RoundRobin => false,
    }
}

/// All flows of a pool, with the numbers of this close.
fn entrants(
    pool: &Pool,
    declared: &Declared,
    waiting: &[Ready],
    used: &BTreeMap<TenantId, Used>,
) -> Vec<Entrant> {
    let has_caps = pool.policy == Policy::Fair;
    let mut entrants = Vec::new();
    let mut orgs: BTreeMap<&OrgId, (Used, bool, bool)> = BTreeMap::new();
    for (tenant, context) in &declared.contexts {
        let used = used.get(tenant).copied().unwrap_or_default();
        let cap = if has_caps { context.cap } else { u32::MAX };
        let stands = !context.suspended
            && used.held < cap
            && waiting.iter().any(|step| step.key.tenant == *tenant);
        let org = orgs.entry(&context.org).or_default();
        org.0.join(used);
        org.1 |= stands;
        let is_capped = cap < pool.slots;
        org.2 |= is_capped;
        let flow = Flow::Tenant(context.org.clone(), tenant.clone());
        entrants.push(Entrant::new(flow, context.weight, used, stands).with_cap(is_capped));
    }
    for (org, (used, stands, is_capped)) in orgs {
        let Some(declared) = declared.orgs.get(org) else { continue };
        let cap = declared.cap.filter(|_| has_caps).unwrap_or(u32::MAX);
        let stands = stands && used.held < cap;
        let entrant = Entrant::new(Flow::Org(org.clone()), declared.weight, used, stands);
        entrants.push(entrant.with_cap(is_capped || cap < pool.slots));
    }
    entrants
}

impl Entrant {
    const fn new(flow: Flow, weight: u32, used: Used, stands: bool) -> Self {
        let (is_capped, stayed, is_present, is_new) = (false, false, false, true);
        Self { flow, number: 0, weight, is_capped, used, stands, stayed, is_present, is_new }
    }

    fn with_cap(self, is_capped: bool) -> Self {
        Self { is_capped, ..self }
    }
}
