//! What waits inside a tenant: lanes of gate classes, each class a line of steps with the oldest run first.
//!
//! A lane is two shelves, of short and of long classes, ordered by their oldest steps. A parked class stands on no
//! shelf.

use std::collections::{BTreeMap, VecDeque};

use crate::id::mix;
use crate::time::{Span, Time};

use super::config::{Entry, Lane, TenantIx, Ticket};
use super::index::Index;
use super::shelf::{self, Links};
use super::slab::{NONE, Slab};

/// Urgent service up to this much is never held against a tenant: a share of nothing is nothing.
const URGENT_GRACE: Span = Span::from_secs(1);
/// Once this much service is counted, both counts are halved, so that the share is of the recent past.
const URGENT_WINDOW: Span = Span::from_secs(600);

/// A tenant with something ready, running or owed.
#[derive(Debug, Default)]
pub(super) struct Active {
    /// Its place in the tree.
    pub(super) flow: u32,
    /// Ready steps, parked ones included.
    pub(super) waiting: u32,
    shelves: [u32; 6],
    /// When each lane was served last, or began to wait.
    since: [Time; 3],
    pub(super) burst: BurstState,
    /// That the cap was reached has been logged in this episode of waiting.
    pub(super) is_cap_logged: bool,
}

/// Where a tenant stands with its burst.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum BurstState {
    /// It may burst.
    #[default]
    Ready,
    /// It may hold its extra slots, and is preferred by its credit.
    Bursting,
    /// The credit is used up: the normal cap holds until it owes nothing.
    PayingBack,
}

/// How much of a tenant's recent service was urgent.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct UrgentUse {
    urgent: u64,
    all: u64,
    /// The tenant was told that it is above its share.
    pub(super) is_told: bool,
}

impl UrgentUse {
    pub(super) const fn add(&mut self, used: Span, is_urgent: bool) {
        self.all = self.all.saturating_add(used.0);
        if is_urgent {
            self.urgent = self.urgent.saturating_add(used.0);
        }
        if self.all > URGENT_WINDOW.0 {
            self.all /= 2;
            self.urgent /= 2;
        }
    }

    pub(super) const fn take_back(&mut self, unused: Span, is_urgent: bool) {
        self.all = self.all.saturating_sub(unused.0);
        if is_urgent {
            self.urgent = self.urgent.saturating_sub(unused.0);
        }
    }

    /// Whether urgent steps still go first.
    pub(super) fn is_within(&self, share_permille: u32) -> bool {
        share_permille >= 1_000 || u128::from(self.urgent) <= self.allowed(share_permille)
    }

    /// Whether the tenant is clearly within its share again: to be told anew it must have been.
    pub(super) fn is_well_within(&self, share_permille: u32) -> bool {
        share_permille >= 1_000 || u128::from(self.urgent) * 4 <= self.allowed(share_permille) * 3
    }

    fn allowed(&self, share_permille: u32) -> u128 {
        u128::from(self.all) * u128::from(share_permille) / 1_000 + u128::from(URGENT_GRACE.0)
    }
}

/// What decides between lanes.
#[derive(Clone, Copy, Debug)]
pub(super) struct LaneRule {
    pub(super) age_guard: Span,
    /// Else urgent steps count as normal.
    pub(super) is_urgent_first: bool,
}

/// The step that a tenant gives next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub(super) class: u32,
    pub(super) lane: Lane,
    pub(super) key: u64,
    pub(super) step: Step,
}

/// A ready step in its class: the older run goes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) age: u64,
    pub(super) ticket: Ticket,
    pub(super) expected: Span,
}

impl Step {
    pub(super) const fn rank(&self) -> (u64, Ticket) {
        (self.age, self.ticket)
    }
}

/// Steps of one lane of a tenant that would meet the same gates.
#[derive(Debug)]
pub(super) struct Class {
    /// The oldest step stands here, so that a class of one allocates nothing.
    pub(super) first: Step,
    rest: VecDeque<Step>,
    key: u64,
    pub(super) tenant: TenantIx,
    lane: Lane,
    is_long: bool,
    shelf: u8,
    pub(super) links: Links,
    pub(super) parked: Option<Parked>,
}

/// Nobody's: what stands where no class is.
impl Default for Class {
    fn default() -> Self {
        Self {
            first: Step::default(),
            rest: VecDeque::new(),
            key: 0,
            tenant: TenantIx(NONE),
            lane: Lane::Normal,
            is_long: false,
            shelf: 0,
            links: Links::default(),
            parked: None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parked {
    pub(super) key: u64,
    pub(super) since: Time,
    sequence: u64,
}

/// All that waits in the pool.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    pub(super) classes: Slab<Class>,
    index: Index,
    /// By wake key, first parked first.
    parked: BTreeMap<(u64, u64), u32>,
    parks: u64,
}

impl Active {
    pub(super) fn new(flow: u32) -> Self {
        Self { flow, shelves: [NONE; 6], ..Self::default() }
    }

    /// Nothing waits; the rest stays what it is.
    pub(super) const fn clear_shelves(&mut self) {
        self.shelves = [NONE; 6];
        self.waiting = 0;
    }

    /// Whether there is a step that could be chosen, and a short one among them.
    pub(super) fn open(&self) -> [bool; 2] {
        let short = self.shelves.iter().step_by(2).any(|shelf| *shelf != NONE);
        let long = self.shelves.iter().skip(1).step_by(2).any(|shelf| *shelf != NONE);
        [short || long, short]
    }
}

impl Backlog {
    /// `lane` is where the step waits, which is its own lane wherever lanes count.
    pub(super) fn add(
        &mut self,
        now: Time,
        active: &mut Active,
        (entry, lane): (&Entry, Lane),
        is_long: bool,
    ) {
        let step = Step { age: entry.age, ticket: entry.ticket, expected: entry.expected };
        active.waiting += 1;
        if let Some(class) = self.find(entry, is_long) {
            let is_first = self.classes[class].insert(step);
            if is_first && self.classes[class].parked.is_none() {
                self.off_shelf(active, class);
                self.classes[class].put_first(step);
                shelf::insert(&mut self.classes, &mut active.shelves, class);
            } else if is_first {
                self.classes[class].put_first(step);
            }
            return;
        }
        let shelf = lane.index() * 2 + usize::from(is_long);
        let class = self.classes.insert(Class {
            first: step,
            rest: VecDeque::new(),
            key: entry.class,
            tenant: entry.tenant,
            lane: entry.lane,
            is_long,
            shelf: u8::try_from(shelf).expect("there are six shelves"),
            links: Links::default(),
            parked: None,
        });
        let classes = &self.classes;
        self.index.insert(class, |class| classes[class].hash());
        self.on_shelf(now, active, class);
    }

    /// Takes a ready step out; false if it is not there.
    pub(super) fn remove(&mut self, active: &mut Active, entry: &Entry, is_long: bool) -> bool {
        let Some(class) = self.find(entry, is_long) else { return false };
        let rank = (entry.age, entry.ticket);
        if self.classes[class].first.rank() == rank {
            self.pop(active, class);
        } else if !self.classes[class].remove_later(rank) {
            return false;
        }
        active.waiting -= 1;
        true
    }

    /// The step that the tenant gives next: `short` leaves long ones out, without a rule lanes do not count.
    pub(super) fn head(
        &self,
        active: &Active,
        now: Time,
        short: bool,
        rule: Option<LaneRule>,
    ) -> Option<Head> {
        let class = match rule {
            Some(rule) => self.by_lanes(active, now, short, rule),
            None => self.oldest(active, &Lane::ALL, short),
        }?;
        let found = &self.classes[class];
        Some(Head { class, lane: found.lane, key: found.key, step: found.first })
    }

    /// Takes the head out, as dispatched; says whether its class is long.
    pub(super) fn take(&mut self, now: Time, active: &mut Active, head: &Head) -> bool {
        let class = &self.classes[head.class];
        assert!(class.first == head.step, "the head changed between choosing and taking it");
        let (is_long, shelf) = (class.is_long, class.shelf);
        active.since[usize::from(shelf / 2)] = now;
        active.waiting -= 1;
        self.pop(active, head.class);
        is_long
    }

    /// The class leaves the queue until the key is woken.
    /// The step that was found leaves its class without being dispatched.
    pub(super) fn take_out(&mut self, active: &mut Active, head: &Head) {
        assert!(self.classes[head.class].first == head.step, "the head changed meanwhile");
        active.waiting -= 1;
        self.pop(active, head.class);
    }

    pub(super) fn park(&mut self, now: Time, active: &mut Active, class: u32, key: u64) {
        assert!(self.classes[class].parked.is_none(), "class {class} is parked already");
        self.off_shelf(active, class);
        self.parks += 1;
        self.classes[class].parked = Some(Parked { key, since: now, sequence: self.parks });
        self.parked.insert((key, self.parks), class);
    }

    /// The class that has waited longest for the key.
    pub(super) fn first_parked(&self, key: u64) -> Option<u32> {
        self.parked.range((key, 0)..=(key, u64::MAX)).next().map(|(_, class)| *class)
    }

    /// The class comes back into the queue.
    pub(super) fn unpark(&mut self, now: Time, active: &mut Active, class: u32) {
        self.forget_parked(class);
        self.on_shelf(now, active, class);
    }

    pub(super) fn find(&self, entry: &Entry, is_long: bool) -> Option<u32> {
        let hash = hash(entry.tenant, entry.lane, entry.class, is_long);
        self.index.find(hash, |class| {
            let class = &self.classes[class];
            class.key == entry.class
                && class.tenant == entry.tenant
                && class.lane == entry.lane
                && class.is_long == is_long
        })
    }

    /// Everything that waits, and what it is parked under; first parked first.
    pub(super) fn drain(&mut self) -> Vec<(Entry, Option<Parked>)> {
        let mut all = Vec::new();
        for class in self.classes.places() {
            let class = &self.classes[class];
            if class.tenant == TenantIx(NONE) {
                continue;
            }
            let entry = |step: &Step| Entry {
                tenant: class.tenant,
                lane: class.lane,
                class: class.key,
                age: step.age,
                ticket: step.ticket,
                expected: step.expected,
            };
            let steps = std::iter::once(&class.first).chain(&class.rest);
            all.extend(steps.map(|step| (entry(step), class.parked)));
        }
        *self = Self { parks: self.parks, ..Self::default() };
        all.sort_by_key(|(entry, parked)| {
            (parked.map(|parked| parked.sequence), entry.age, entry.ticket)
        });
        all
    }

    fn by_lanes(&self, active: &Active, now: Time, short: bool, rule: LaneRule) -> Option<u32> {
        let late = Lane::ALL
            .into_iter()
            .filter(|lane| now.since(active.since[lane.index()]) >= rule.age_guard)
            .filter_map(|lane| Some((lane, self.oldest(active, &[lane], short)?)))
            .min_by_key(|(lane, _)| (active.since[lane.index()], *lane));
        if let Some((_, late)) = late {
            return Some(late);
        }
        let first: &[Lane] =
            if rule.is_urgent_first { &[Lane::Urgent] } else { &[Lane::Urgent, Lane::Normal] };
        self.oldest(active, first, short)
            .or_else(|| self.oldest(active, &[Lane::Normal], short))
            .or_else(|| self.oldest(active, &[Lane::Background], short))
    }

    fn oldest(&self, active: &Active, lanes: &[Lane], short: bool) -> Option<u32> {
        let shelves = lanes.iter().flat_map(|lane| {
            let at = lane.index() * 2;
            [active.shelves[at], if short { NONE } else { active.shelves[at + 1] }]
        });
        shelves.filter(|shelf| *shelf != NONE).min_by_key(|class| self.classes[*class].first.rank())
    }

    /// The class loses its first step, and ends with its last.
    fn pop(&mut self, active: &mut Active, class: u32) {
        let is_parked = self.classes[class].parked.is_some();
        if !is_parked {
            self.off_shelf(active, class);
        }
        match self.classes[class].rest.pop_front() {
            Some(next) => {
                self.classes[class].first = next;
                if !is_parked {
                    shelf::insert(&mut self.classes, &mut active.shelves, class);
                }
            }
            None => self.forget(class),
        }
    }

    fn forget(&mut self, class: u32) {
        if self.classes[class].parked.is_some() {
            self.forget_parked(class);
        }
        let classes = &self.classes;
        self.index.remove(class, |class| classes[class].hash());
        self.classes.remove(class);
    }

    fn forget_parked(&mut self, class: u32) {
        let parked = self.classes[class].parked.take().expect("only a parked class is woken");
        let was = self.parked.remove(&(parked.key, parked.sequence));
        assert!(was == Some(class), "class {class} is parked and {was:?} is known");
    }

    fn off_shelf(&mut self, active: &mut Active, class: u32) {
        shelf::remove(&mut self.classes, &mut active.shelves, class);
    }

    fn on_shelf(&mut self, now: Time, active: &mut Active, class: u32) {
        let lane = usize::from(self.classes[class].shelf / 2);
        if active.shelves[lane * 2] == NONE && active.shelves[lane * 2 + 1] == NONE {
            active.since[lane] = now;
        }
        shelf::insert(&mut self.classes, &mut active.shelves, class);
    }
}

impl Class {
    pub(super) const fn key(&self) -> u64 {
        self.key
    }

    pub(super) const fn is_long(&self) -> bool {
        self.is_long
    }

    /// Steps that wait in it.
    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.rest.len()).unwrap_or(u32::MAX).saturating_add(1)
    }

    pub(super) const fn shelf(&self) -> usize {
        self.shelf as usize
    }

    /// How many steps of the class go before this one.
    pub(super) fn older_than(&self, rank: (u64, Ticket)) -> usize {
        usize::from(self.first.rank() < rank) + self.rest.partition_point(|step| step.rank() < rank)
    }

    fn hash(&self) -> u64 {
        hash(self.tenant, self.lane, self.key, self.is_long)
    }

    /// Puts the step into its place, unless that is the first one.
    fn insert(&mut self, step: Step) -> bool {
        if step.rank() < self.first.rank() {
            return true;
        }
        assert!(step.rank() != self.first.rank(), "{:?} waits already", step.ticket);
        if self.rest.back().is_none_or(|last| last.rank() < step.rank()) {
            self.rest.push_back(step);
            return false;
        }
        match self.rest.binary_search_by_key(&step.rank(), Step::rank) {
            Ok(_) => panic!("{:?} waits already", step.ticket),
            Err(at) => self.rest.insert(at, step),
        }
        false
    }

    fn put_first(&mut self, step: Step) {
        let second = std::mem::replace(&mut self.first, step);
        self.rest.push_front(second);
    }

    fn remove_later(&mut self, rank: (u64, Ticket)) -> bool {
        match self.rest.binary_search_by_key(&rank, Step::rank) {
            Ok(at) => self.rest.remove(at).is_some(),
            Err(_) => false,
        }
    }
}

fn hash(tenant: TenantIx, lane: Lane, class: u64, is_long: bool) -> u64 {
    let place = u64::from(tenant.0) << 3 | (lane.index() as u64) << 1 | u64::from(is_long);
    mix(mix(class) ^ place)
}
