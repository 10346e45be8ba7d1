//! Looking at the queues: who holds slots, who waits for what, and who was entitled to how much.
//!
//! Between two turns nothing changes, so what stands there as an input comes in has stood there since the last turn was
//! closed. The queues are looked at then, at most once in [`EVERY`], and what they say is counted for the whole time
//! since the last look. A state that came and went between two looks is not seen; what is counted over a minute is as
//! good as sixty looks.
//!
//! A look costs O(active tenants) in each pool in which something runs, and a sort of them where somebody waits.

use std::collections::{BTreeMap, BTreeSet};

use crate::gate::{LimitHolder, Refusal};
use crate::id::TierName;
use crate::pool::Policy;
use crate::reading::{
    Cause, Claim, Held, Member, Merge, Neighbours, Place, Served, Sketch, Windows, WorkAt,
    max_min_tree,
};
use crate::row::Decision;
use crate::scheduler::explain::FlowNow;
use crate::scheduler::{OrgIx, TenantIx};
use crate::time::{Span, Time};

use super::change::Change;
use super::directory::Directory;
use super::live::{Run, State};
use super::reading::Tally;
use super::{Cell, Turn};

/// How often is looked, unless nothing comes in for longer.
const EVERY: Span = Span::from_secs(1);
/// What happened longer ago than this, when nothing came in meanwhile, is not counted.
const LOOK_BACK_MAX: Span = Span::from_secs(300);
/// The time is counted in pieces that each lie in one slot of a window.
const PIECE: Span = Span::from_secs(15);
/// What was contended for this long ago is forgotten.
const SHARES_KEPT: Span = Span::from_secs(3_600);

/// What is known of the cell as a whole.
#[derive(Debug)]
pub(crate) struct Watch {
    looked: Time,
    /// Inputs have come in since the last turn was closed.
    pub(crate) is_open: bool,
    /// What the store took for commits.
    pub(crate) commits: Windows<Sketch>,
    pub(crate) tiers: BTreeMap<TierName, Windows<Tally>>,
    /// From dispatch to report.
    pub(crate) work: BTreeMap<WorkAt, Windows<Sketch>>,
    pub(crate) neighbours: Neighbours,
    /// By number of the pool, and class.
    pub(crate) reviews: BTreeMap<(u32, u8), Windows<Turnover>>,
    /// Entries of the decision log by code.
    pub(crate) decisions: BTreeMap<String, u64>,
}

/// Reviews that came and went.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Turnover {
    pub(crate) opened: u64,
    pub(crate) ended: u64,
}

/// What is known of one pool.
#[derive(Debug, Default)]
pub(crate) struct PoolWatch {
    /// What was seen at the last look; empty if nobody waited then.
    before: BTreeMap<TenantIx, Before>,
    /// Of tenants that wanted more slots than they held at two looks, in the time between.
    pub(crate) shares: BTreeMap<TenantIx, Windows<Share>>,
    pub(crate) orgs: BTreeMap<OrgIx, Windows<Share>>,
    pub(crate) full: Windows<Full>,
    /// From a dispatch into the last slot until one is given back, each as often as it is long.
    pub(crate) gaps: Windows<Sketch>,
    /// The last dispatch, or the last slot that was given back.
    turned: Time,
    /// That can be dispatched to, as it was seen last.
    slots: u32,
    /// Some get more than their part of it, and others less, as of the last look.
    pub(crate) is_unfair: bool,
    /// When what nobody contends for any more was forgotten.
    swept: Time,
}

/// A tenant in a pool at the last look.
#[derive(Clone, Copy, Debug)]
struct Before {
    service: u128,
    /// In thousandths of a slot.
    due: u64,
    contends: bool,
}

/// The time since the last look.
struct Look {
    since: Span,
    /// What of it is counted.
    pieces: Vec<(Time, Span)>,
}

/// Slot time of a tenant or an organisation while it contended.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Share(pub(crate) Served);

/// How long all slots of a pool were taken while somebody waited for one.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Full(pub(crate) Span);

impl Merge for Share {
    fn merge(&mut self, other: &Self) {
        self.0.service = self.0.service.saturating_add(other.0.service);
        self.0.due = self.0.due.saturating_add(other.0.due);
    }
}

impl Merge for Turnover {
    fn merge(&mut self, other: &Self) {
        self.opened += other.opened;
        self.ended += other.ended;
    }
}

impl Merge for Full {
    fn merge(&mut self, other: &Self) {
        add(&mut self.0, other.0);
    }
}

impl Watch {
    pub(crate) fn new(now: Time) -> Self {
        Self {
            looked: now,
            is_open: false,
            commits: Windows::default(),
            tiers: BTreeMap::new(),
            work: BTreeMap::new(),
            neighbours: Neighbours::default(),
            reviews: BTreeMap::new(),
            decisions: BTreeMap::new(),
        }
    }

    pub(crate) fn tier(&mut self, tier: &TierName, now: Time) -> &mut Tally {
        if !self.tiers.contains_key(tier) {
            self.tiers.insert(tier.clone(), Windows::default());
        }
        self.tiers.get_mut(tier).expect("just inserted").at(now)
    }
}

/// What a look at one pool found.
struct Seen {
    flows: Vec<FlowNow>,
    /// Ready steps that are in the queue, by tenant.
    queued: BTreeMap<TenantIx, u32>,
    /// Those that are not, and why.
    aside: Vec<(TenantIx, u32, Cause)>,
    /// Tenants with long steps there of which no more may run.
    long: BTreeSet<TenantIx>,
    /// Slots that there is a worker for.
    slots: u32,
    in_flight: u32,
    /// The pool gives each its part, and not what came first.
    has_parts: bool,
}

impl Seen {
    fn is_full(&self) -> bool {
        self.in_flight >= self.slots
    }

    /// What each flow is entitled to now and wants, in thousandths of a slot. What waits for something else wants no slot.
    fn dues(&self, directory: &Directory) -> Vec<u64> {
        let member = |flow: &FlowNow| {
            let queued = self.queued.get(&flow.tenant).copied().unwrap_or_default();
            let wanted = flow.in_flight.saturating_add(queued);
            let wants = if flow.is_paused { flow.in_flight } else { wanted.min(flow.cap) };
            Member { group: flow.org.0, claim: Claim { weight: flow.weight, wants } }
        };
        let members: Vec<Member> = self.flows.iter().map(member).collect();
        let orgs = self.flows.iter().map(|flow| {
            let org = directory.orgs.get(flow.org);
            (flow.org.0, Claim { weight: org.weight, wants: org.cap.unwrap_or(u32::MAX) })
        });
        max_min_tree(u64::from(self.slots) * 1_000, &orgs.collect(), &members)
    }

    /// What the steps of the flow wait for that are in the queue.
    fn cause(&self, pool: u32, flow: &FlowNow, due: u64) -> Cause {
        if flow.is_paused {
            Cause::Suspended
        } else if flow.is_full {
            Cause::TenantCap { pool }
        } else if flow.is_org_full {
            Cause::OrgCap { pool }
        } else if self.slots == 0 {
            Cause::Workers { pool }
        } else if self.has_parts && self.is_full() && u64::from(flow.in_flight) * 1_000 + 999 >= due
        {
            Cause::OwnShare { pool }
        } else if self.is_full() {
            Cause::Slots { pool }
        } else if self.long.contains(&flow.tenant) {
            Cause::LongSlots { pool }
        } else {
            Cause::Workers { pool }
        }
    }
}

impl Share {
    /// A part of the time since the last look.
    fn add(&mut self, (service, due_milli): (u128, u64), time: Span, since: Span) {
        let due = u128::from(due_milli) * u128::from(time.0) / 1_000;
        let service = service * u128::from(time.0) / u128::from(since.0.max(1));
        self.0.service = self.0.service.saturating_add(service.try_into().unwrap_or(u64::MAX));
        self.0.due = self.0.due.saturating_add(u64::try_from(due).unwrap_or(u64::MAX));
    }
}

/// Why a gate did not let a class through.
pub(crate) fn cause_of(refusal: &Refusal, directory: &Directory, pool: usize) -> Cause {
    match refusal {
        Refusal::Route { .. }
        | Refusal::Outside { .. }
        | Refusal::Denied { .. }
        | Refusal::Policy { .. } => Cause::Rules,
        Refusal::Budget { account, .. } => Cause::Budget(*account),
        Refusal::Limit { tool, holder, .. } => {
            let tool = directory.tool_number(tool).unwrap_or(u32::MAX);
            match holder {
                LimitHolder::Tenant => Cause::OwnQuota { tool },
                LimitHolder::Provider => Cause::Provider { tool },
            }
        }
        Refusal::NoWorker { .. } => Cause::Workers { pool: number(pool) },
        Refusal::Slot(_) => Cause::Slots { pool: number(pool) },
    }
}

/// The time between, in pieces of which each lies in one slot of a window.
fn pieces(from: Time, to: Time) -> impl Iterator<Item = (Time, Span)> {
    let mut at = from;
    std::iter::from_fn(move || {
        let begin = at;
        let border = Time((begin.0 / PIECE.0 + 1) * PIECE.0);
        at = border.min(to);
        (begin < to).then(|| (begin, at.since(begin)))
    })
}

fn number(pool: usize) -> u32 {
    u32::try_from(pool).expect("pools are bounded")
}

const fn times(time: Span, count: u32) -> Span {
    Span(time.0.saturating_mul(count as u64))
}

const fn add(sum: &mut Span, time: Span) {
    sum.0 = sum.0.saturating_add(time.0);
}

impl Cell {
    /// Looks at the queues, if it is time to and nothing is half done.
    pub(crate) fn look(&mut self) {
        if std::mem::replace(&mut self.watch.is_open, true) {
            return;
        }
        let now = self.now;
        let since = now.since(self.watch.looked);
        if since < EVERY {
            return;
        }
        let from = now - since.min(LOOK_BACK_MAX);
        self.watch.looked = now;
        let look = Look { since, pieces: pieces(from, now).collect() };
        for pool in 0..self.pools.len() {
            self.look_at_pool(pool, &look);
            self.pools[pool].watch.is_unfair = self.is_unfair(number(pool));
        }
        self.look_at_reviews(&look.pieces);
    }

    fn look_at_pool(&mut self, pool: usize, look: &Look) {
        let reading = self.pools[pool].scheduler.reading();
        let pieces = &look.pieces;
        if reading.waiting == 0 {
            self.pools[pool].watch.before.clear();
        }
        if reading.in_flight == 0 && reading.waiting == 0 {
            return;
        }
        let flows: Vec<FlowNow> = self.pools[pool].scheduler.flows_now().collect();
        for flow in flows.iter().filter(|flow| flow.in_flight > 0) {
            let reading = &mut self.directory.tenants.get_mut(flow.tenant).reading;
            for (at, time) in pieces {
                add(&mut reading.now(*at).service, times(*time, flow.in_flight));
            }
        }
        if reading.waiting == 0 {
            return;
        }
        let seen = self.see(pool, flows);
        let dues = seen.dues(&self.directory);
        self.note_held(pool, &seen, &dues, pieces);
        self.pools[pool].watch.slots = seen.slots;
        self.note_shares(pool, &seen, &dues, look);
    }

    fn see(&self, pool: usize, flows: Vec<FlowNow>) -> Seen {
        let state = &self.pools[pool];
        let declared = &self.directory.pools.list[pool];
        let reading = state.scheduler.reading();
        let mut seen = Seen {
            flows,
            queued: BTreeMap::new(),
            aside: Vec::new(),
            long: BTreeSet::new(),
            slots: state
                .offered(self.now, declared.lease)
                .max(reading.in_flight)
                .min(reading.dispatchable),
            in_flight: reading.in_flight,
            has_parts: declared.policy != Policy::Fifo,
        };
        for class in state.scheduler.classes_now() {
            let parked =
                class.is_parked.then(|| self.said.why_parked(pool, class.tenant, class.class));
            if let Some(why) = parked {
                seen.aside.push((class.tenant, class.steps, why.unwrap_or(Cause::Rules)));
                continue;
            }
            *seen.queued.entry(class.tenant).or_default() += class.steps;
            if class.is_long_full {
                seen.long.insert(class.tenant);
            }
        }
        seen
    }

    /// What each ready step waits for.
    fn note_held(&mut self, pool: usize, seen: &Seen, dues: &[u64], pieces: &[(Time, Span)]) {
        let queued = seen.flows.iter().zip(dues).filter_map(|(flow, due)| {
            let steps = *seen.queued.get(&flow.tenant)?;
            Some((flow.tenant, steps, seen.cause(number(pool), flow, *due)))
        });
        let mut held: BTreeMap<TenantIx, Held> = BTreeMap::new();
        for (tenant, steps, cause) in queued.chain(seen.aside.iter().copied()) {
            held.entry(tenant).or_default().add(cause, times(Span(1), steps));
        }
        for (tenant, causes) in held {
            let reading = &mut self.directory.tenants.get_mut(tenant).reading;
            for (at, time) in pieces {
                let tally = reading.now(*at);
                add(&mut tally.stood, *time);
                tally.held.add_times(&causes, *time);
            }
        }
    }

    /// What those that contend got of what they were entitled to, and who wants more than that. Who contends now and did at
    /// the last look is taken to have done so in between.
    fn note_shares(&mut self, pool: usize, seen: &Seen, dues: &[u64], look: &Look) {
        let (now, Look { since, pieces }) = (self.now, look);
        let mut orgs: BTreeMap<OrgIx, (u128, u64, bool)> = BTreeMap::new();
        let watch = &mut self.pools[pool].watch;
        let neighbours = &mut self.watch.neighbours;
        let before = std::mem::take(&mut watch.before);
        for (flow, due) in seen.flows.iter().zip(dues) {
            let queued = seen.queued.get(&flow.tenant).copied();
            let contends = queued.is_some();
            let was = before.get(&flow.tenant);
            let served = was.map_or(u128::from(times(*since, flow.in_flight).0), |was| {
                flow.service.saturating_sub(was.service)
            });
            let mean_due = was.map_or(*due, |was| was.due.midpoint(*due));
            let contended = contends && was.is_some_and(|was| was.contends);
            // Those that wait for nothing hold what they were entitled to, as a part of what their organisation did.
            let (of_org, due_of_org, is_contended) = orgs.entry(flow.org).or_default();
            *of_org += served;
            *due_of_org += mean_due;
            *is_contended |= contended;
            if contended {
                let shares = watch.shares.entry(flow.tenant).or_default();
                for (at, time) in pieces {
                    shares.at(*at).add((served, mean_due), *time, *since);
                }
            }
            let wanted = flow.in_flight.saturating_add(queued.unwrap_or_default());
            if contends && u64::from(wanted) * 1_000 > due + 999 {
                for (at, time) in pieces {
                    neighbours.wanted(*at, flow.tenant.0, times(*time, wanted));
                }
            }
            let at_look = Before { service: flow.service, due: *due, contends };
            watch.before.insert(flow.tenant, at_look);
        }
        for (org, (served, due, is_contended)) in orgs {
            if !is_contended {
                continue;
            }
            let shares = watch.orgs.entry(org).or_default();
            for (at, time) in pieces {
                shares.at(*at).add((served, due), *time, *since);
            }
        }
        if seen.slots > 0 && seen.is_full() && !seen.queued.is_empty() {
            for (at, time) in pieces {
                add(&mut watch.full.at(*at).0, *time);
            }
        }
        if now.since(watch.swept) > SHARES_KEPT {
            watch.swept = now;
            watch.shares.retain(|_, shares| shares.since(now) < SHARES_KEPT);
            watch.orgs.retain(|_, shares| shares.since(now) < SHARES_KEPT);
        }
    }

    fn look_at_reviews(&mut self, pieces: &[(Time, Span)]) {
        for (pool, tenant, reviews) in self.desk.queue.waiting() {
            let reading = &mut self.directory.tenants.get_mut(TenantIx(tenant)).reading;
            for (at, time) in pieces {
                let cause = Cause::Reviewers { pool };
                reading.now(*at).reviewing.add(cause, times(*time, reviews));
            }
        }
    }

    /// An attempt is dispatched that waited so long, where `parked` if not for a slot alone.
    pub(crate) fn note_dispatch(
        &mut self,
        (pool, tenant): (usize, TenantIx),
        (waited, started): (Span, Option<Span>),
        parked: Option<Cause>,
    ) {
        let now = self.now;
        self.pools[pool].watch.turned = now;
        let entry = self.directory.tenants.get_mut(tenant);
        let tier = self.watch.tier(&entry.context().tier, now);
        for tally in [entry.reading.now(now), tier] {
            tally.queue.add(waited);
            if let Some(started) = started {
                tally.start.add(started);
            }
        }
        let place = match parked {
            None => Place::Slots { pool: number(pool) },
            Some(Cause::Provider { tool }) => Place::Limit { tool },
            Some(_) => return,
        };
        self.watch.neighbours.waited(now, Some(tenant.0), place, waited);
    }

    /// Where an attempt was worked on: at its tool or the endpoint of its model, or else in the pool.
    pub(crate) fn work_at(&self, pool: usize, run: &Run, node: u32) -> WorkAt {
        let route = match &run.node(node).state {
            State::Leased(lease) => lease.passed.route.as_ref().map(|route| &route.endpoint),
            _ => None,
        };
        let tool = route.or_else(|| run.tool(node));
        let number = tool.and_then(|tool| self.directory.tool_number(tool));
        number.map_or(WorkAt::Pool(self::number(pool)), WorkAt::Tool)
    }

    /// A slot is about to be given back.
    pub(crate) fn note_slot_back(&mut self, pool: usize) {
        let state = &mut self.pools[pool];
        let watch = &mut state.watch;
        if watch.slots > 0 && state.scheduler.reading().in_flight >= watch.slots {
            watch.gaps.at(self.now).add_by_length(self.now.since(watch.turned));
        }
        watch.turned = self.now;
    }

    /// An attempt is over that took so long.
    pub(crate) fn note_work(&mut self, (tenant, at): (TenantIx, WorkAt), took: Span) {
        let now = self.now;
        self.watch.work.entry(at).or_default().at(now).add(took);
        let entry = self.directory.tenants.get_mut(tenant);
        self.watch.tier(&entry.context().tier, now).work.add(took);
        entry.reading.now(now).work.add(took);
    }

    /// A run is over.
    pub(crate) fn note_end(&mut self, run: &Run) {
        let now = self.now;
        let context = self.directory.tenants.get(run.tenant).context();
        self.watch.tier(&context.tier, now).ended(now.since(run.created), context.sla);
    }

    /// A review was claimed that nobody had claimed for so long.
    pub(crate) fn note_claim(&mut self, tenant: TenantIx, pool: u32, waited: Span) {
        let place = Place::Reviewers { pool };
        self.watch.neighbours.waited(self.now, Some(tenant.0), place, waited);
    }

    /// A review came or went.
    pub(crate) fn note_turnover(&mut self, item: (u32, u8), count: impl FnOnce(&mut Turnover)) {
        count(self.watch.reviews.entry(item).or_default().at(self.now));
    }

    /// What the turn says in the decision log.
    pub(crate) fn count_decisions(&mut self, turn: &Turn) {
        for change in &turn.changes {
            let Change::Decision(Decision { code, .. }) = change else { continue };
            match self.watch.decisions.get_mut(code.as_ref()) {
                Some(count) => *count += 1,
                None => {
                    self.watch.decisions.insert(code.to_string(), 1);
                }
            }
        }
    }

    /// Everybody waits for a commit.
    pub(crate) fn note_commit(&mut self, took: Span) {
        self.watch.commits.at(self.now).add(took);
        self.watch.neighbours.waited(self.now, None, Place::Store, took);
    }
}
