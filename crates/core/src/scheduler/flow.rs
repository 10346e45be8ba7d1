//! The tree of flows: start tags, virtual times, and the order of those that can be chosen at each level.
//!
//! It knows flows and how many slots they hold, not steps: whoever owns the steps says with [`Tree::refresh`] whether
//! a flow has one to give.
//!
//! INVARIANT: a flow stands in an order of its parent's level exactly if it has something to give there and holds
//! fewer slots than its cap; its slots are the sum of its children's; V and the highest tag of a level never fall.

use std::collections::BTreeSet;

use crate::time::Span;

use super::config::{OrgIx, TenantIx};
use super::heap::{Heap, Key, Seats};
use super::slab::{NONE, Slab};

/// Slot-microseconds are scaled by this before they are divided by a weight, so that the rest lost to integer
/// division is below a millionth of a microsecond for any weight.
const SCALE: u128 = 1 << 20;

/// The highest stair is forgotten once virtual time has gone this many times as far without another one.
const STAIR_FADES: u128 = 8;

/// Stands for the order of activation of a flow that goes before its turn: it loses all ties.
const AFTER_ALL: u64 = u64::MAX;

/// Normalised service: slot-microseconds times [`SCALE`] over weight.
pub(super) type Tag = u128;

/// Which of a level's two orders: all eligible flows, or those that have a short step to give. The second one is
/// kept only in pools that bound their long steps.
pub(super) const ANY: usize = 0;
pub(super) const SHORT: usize = 1;

/// The flow of the whole pool.
pub(super) const ROOT: u32 = 0;

#[derive(Debug, Default)]
pub(super) struct Flow {
    /// S: normalised service, raised to the level's virtual time whenever the flow turns eligible.
    pub(super) start: Tag,
    /// Ties between tags end with who turned eligible first.
    pub(super) activated: u64,
    /// Slot time by which the flow is preferred while it bursts; for an organisation, the sum over its tenants.
    pub(super) credit: Span,
    pub(super) parent: u32,
    /// Place of the level of its children; [`NONE`] for a tenant.
    pub(super) level: u32,
    /// The tenant or the organisation that it stands for.
    pub(super) owner: u32,
    pub(super) weight: u32,
    /// Most slots that it may hold now.
    pub(super) cap: u32,
    pub(super) in_flight: u32,
    pub(super) stands: [bool; 2],
    /// Its cap, or that of a flow below it, is all that keeps it from being chosen.
    pub(super) is_full: bool,
    /// It came back from its cap when it last turned eligible.
    is_back: bool,
    /// The tag that it goes by instead of its own, for the sake of a flow below it that came back from its cap.
    lent: Option<Tag>,
}

/// A node that chooses among flows.
#[derive(Debug, Default)]
pub(super) struct Level {
    pub(super) clock: Clock,
    pub(super) orders: [Heap; 2],
    /// Flows below it, eligible or not.
    pub(super) flows: u32,
    /// Sum of their weights.
    pub(super) weights: u64,
    /// Flows below it that only a cap keeps from being chosen.
    pub(super) full: u32,
    /// Flows below it that went, or could have gone, before their turn since it last was their turn.
    pub(super) early: BTreeSet<u32>,
}

/// What is left of a level while nothing below it is active.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Clock {
    /// V.
    pub(super) virtual_time: Tag,
    /// The highest start tag that any flow ever had: where V goes when nobody is eligible.
    pub(super) start_max: Tag,
    /// The height of the stairs by which V rose of late: a step, times the slots that its flow held, in tags.
    stair: Tag,
}

#[derive(Debug)]
pub(super) struct Tree {
    pub(super) flows: Slab<Flow>,
    pub(super) levels: Slab<Level>,
    pub(super) seats: [Seats; 2],
    activations: u64,
    /// Flows are ordered by what their owner says (age of their oldest step), not by service.
    is_by_age: bool,
    /// How far ahead of its use a running step is charged.
    pub(super) ahead: Span,
    /// Slots of the pool. A cap that is not below them keeps nobody away.
    pub(super) slots: u32,
}

fn normalise(used: Span, weight: u32) -> Tag {
    u128::from(used.0) * SCALE / u128::from(weight)
}

/// Slot time that a difference of tags stands for, for a flow of that weight.
fn slot_time(tag: Tag, weight: u32) -> u128 {
    tag * u128::from(weight) / SCALE
}

impl Flow {
    pub(super) fn tenant(tenant: TenantIx, start: Tag, weight: u32) -> Self {
        Self { start, level: NONE, owner: tenant.0, weight, ..Self::default() }
    }

    pub(super) fn org(org: OrgIx, start: Tag, weight: u32, level: u32) -> Self {
        Self { start, level, owner: org.0, weight, ..Self::default() }
    }

    pub(super) fn is_eligible(&self) -> bool {
        self.stands[ANY]
    }
}

impl Clock {
    pub(super) const NEW: Self = Self { virtual_time: 0, start_max: 0, stair: 0 };

    /// Where a tag goes when its flow's weight changes: what it is ahead or behind in slot time stays.
    pub(super) fn reweighed(&self, start: Tag, before: u32, after: u32) -> Tag {
        let reached = self.virtual_time;
        let scaled = |tag: Tag| tag * u128::from(before) / u128::from(after);
        if start >= reached {
            reached + scaled(start - reached)
        } else {
            reached.saturating_sub(scaled(reached - start))
        }
    }

    fn reach(&mut self, tag: Tag) {
        let gone = tag.saturating_sub(self.virtual_time);
        self.virtual_time += gone;
        self.stair = self.stair.saturating_sub(gone / STAIR_FADES);
    }
}

impl Level {
    /// A level as it was when nothing below it was active any more.
    pub(super) fn resumed(clock: Clock) -> Self {
        Self { clock, ..Self::default() }
    }
}

impl Tree {
    pub(super) fn new(ahead: Span, slots: u32, is_by_age: bool) -> Self {
        let mut tree = Self {
            flows: Slab::default(),
            levels: Slab::default(),
            seats: Default::default(),
            activations: 0,
            is_by_age,
            ahead,
            slots,
        };
        let level = tree.levels.insert(Level::default());
        let root = Flow { parent: NONE, level, owner: NONE, weight: 1, ..Flow::default() };
        assert!(tree.flows.insert(root) == ROOT, "the root is the first flow");
        tree
    }

    /// Hangs a flow in. It is eligible for nothing yet.
    pub(super) fn insert(&mut self, parent: u32, mut flow: Flow) -> u32 {
        assert!(flow.weight > 0, "flow of {} has no weight", flow.owner);
        let level = self.children_of(parent);
        self.levels[level].flows += 1;
        self.levels[level].weights += u64::from(flow.weight);
        // A tag that was kept while the flow was away may have been scaled to a new weight meanwhile.
        let clock = &mut self.levels[level].clock;
        clock.start_max = clock.start_max.max(flow.start);
        flow.parent = parent;
        self.flows.insert(flow)
    }

    /// Takes out a flow that holds and gives nothing.
    pub(super) fn remove(&mut self, at: u32) -> Flow {
        assert!(!self.flows[at].is_eligible(), "flow {at} is removed and could be chosen");
        assert!(self.flows[at].in_flight == 0, "flow {at} is removed and holds slots");
        let flow = self.flows.remove(at);
        let level = self.children_of(flow.parent);
        self.levels[level].early.remove(&at);
        self.levels[level].flows -= 1;
        self.levels[level].weights -= u64::from(flow.weight);
        flow
    }

    /// Hangs a flow that stands in no order below another parent, with the slots that it holds. What it owes goes with
    /// it; where it goes has a virtual time of its own.
    pub(super) fn transplant(&mut self, at: u32, parent: u32) {
        assert!(!self.flows[at].is_eligible(), "flow {at} is moved while it could be chosen");
        let (weight, held, before) =
            (self.flows[at].weight, self.flows[at].in_flight, self.flows[at].parent);
        let (old, new) = (self.children_of(before), self.children_of(parent));
        self.levels[old].early.remove(&at);
        self.levels[old].flows -= 1;
        self.levels[old].weights -= u64::from(weight);
        self.levels[new].flows += 1;
        self.levels[new].weights += u64::from(weight);
        self.flows[before].in_flight -= held;
        self.flows[parent].in_flight += held;
        let owed = self.flows[at].start.saturating_sub(self.levels[old].clock.virtual_time);
        let flow = &mut self.flows[at];
        flow.start = self.levels[new].clock.virtual_time + owed;
        flow.parent = parent;
        let start = flow.start;
        let clock = &mut self.levels[new].clock;
        clock.start_max = clock.start_max.max(start);
    }

    /// The tenant's flow that is next in an order.
    pub(super) fn first(&self, order: usize) -> Option<u32> {
        let mut at = ROOT;
        while self.flows[at].level != NONE {
            at = self.levels[self.flows[at].level].orders[order].first()?.flow;
        }
        Some(at)
    }

    /// The one of some tenants' flows that is next in an order, if any of them stands in it.
    pub(super) fn first_of(&self, leaves: impl Iterator<Item = u32>, order: usize) -> Option<u32> {
        let keys = leaves.filter_map(|leaf| {
            let mut key = (None, None);
            let mut at = leaf;
            while at != ROOT {
                if !self.flows[at].stands[order] {
                    return None;
                }
                // What is above decides first.
                key = (Some(self.key_of(at)), key.0);
                at = self.flows[at].parent;
            }
            Some((key, leaf))
        });
        keys.min().map(|(_, leaf)| leaf)
    }

    /// A tenant's flow was chosen: virtual time follows, at each level, before anything is charged.
    pub(super) fn choose(&mut self, leaf: u32, order: usize) {
        if self.is_by_age {
            return;
        }
        let mut at = leaf;
        while at != ROOT {
            let chosen = at;
            at = self.flows[at].parent;
            let level = self.flows[at].level;
            self.levels[level].early.remove(&chosen);
            let first = self.levels[level].orders[order].first();
            if first.expect("one of its flows was chosen").activated != AFTER_ALL {
                let reached = self.frontier(level, order).expect("one of its flows was chosen");
                self.levels[level].clock.reach(reached);
            }
            if order == SHORT {
                self.lift_held_back(level);
            }
        }
    }

    /// One of some tenants' flows was chosen before its turn, since nobody is there for those before it. Who has that again and
    /// again does not owe it all: where it is too far ahead, all that go before their turn are moved back by as much, so that
    /// the order among them stays.
    pub(super) fn choose_early(&mut self, leaf: u32, among: impl Iterator<Item = u32>) {
        if self.is_by_age {
            return;
        }
        let mut with: BTreeSet<u32> = among.collect();
        let mut at = leaf;
        while at != ROOT {
            let parent = self.flows[at].parent;
            let level = self.children_of(parent);
            let reached = self.frontier(level, ANY).unwrap_or_default();
            let reached = reached.max(self.levels[level].clock.virtual_time);
            let ahead = self.flows[at].start.saturating_sub(reached);
            let allowed = self.may_owe(at, level);
            if ahead > allowed {
                let siblings = with.iter().filter(|peer| self.flows[**peer].parent == parent);
                self.levels[level].early.extend(siblings);
            }
            // Not at each step, so that it costs little.
            if ahead > 2 * allowed {
                self.move_back(level, reached, ahead - allowed);
                if parent != ROOT {
                    self.stand(parent, self.flows[parent].stands);
                }
            }
            with = with.iter().map(|peer| self.flows[*peer].parent).collect();
            at = parent;
        }
    }

    /// What a flow may be ahead of virtual time that goes before its turn.
    fn may_owe(&self, at: u32, level: u32) -> Tag {
        let flow = &self.flows[at];
        self.may_lag(level, ANY) + normalise(Span(self.ahead.0 + flow.credit.0), flow.weight)
    }

    /// Moves those that go before their turn back, none of them behind what it may owe.
    fn move_back(&mut self, level: u32, reached: Tag, by: Tag) {
        for at in self.levels[level].early.clone() {
            let floor = reached + self.may_owe(at, level);
            let start = self.flows[at].start;
            if start > floor {
                self.flows[at].start = start.saturating_sub(by).max(floor);
                self.stand(at, self.flows[at].stands);
            }
        }
    }

    /// Counts a slot along the path.
    pub(super) fn take_slot(&mut self, leaf: u32) {
        self.each_on_path(leaf, |flow| flow.in_flight += 1);
    }

    pub(super) fn free_slot(&mut self, leaf: u32) {
        self.each_on_path(leaf, |flow| {
            flow.in_flight = flow.in_flight.checked_sub(1).expect("who frees a slot held it");
        });
    }

    /// A step of the tenant has run for this long so far.
    pub(super) fn note_step(&mut self, leaf: u32, used: Span) {
        let mut at = leaf;
        while at != ROOT {
            let Flow { weight, parent, in_flight: slots, .. } = self.flows[at];
            let level = self.children_of(parent);
            let clock = &mut self.levels[level].clock;
            clock.stair = clock.stair.max(normalise(used, weight) * Tag::from(slots));
            at = parent;
        }
    }

    /// Charges slot time along the path. The orders follow with the next `refresh`.
    pub(super) fn charge(&mut self, leaf: u32, used: Span) {
        let mut at = leaf;
        while at != ROOT {
            let flow = &mut self.flows[at];
            flow.start += normalise(used, flow.weight);
            let (start, parent) = (flow.start, flow.parent);
            let level = self.children_of(parent);
            let clock = &mut self.levels[level].clock;
            clock.start_max = clock.start_max.max(start);
            at = parent;
        }
    }

    /// Sets how many slots a flow may hold. What a cap kept away until now has earned nothing when it is raised.
    pub(super) fn set_cap(&mut self, at: u32, cap: u32) {
        let flow = &mut self.flows[at];
        let is_raised = std::mem::replace(&mut flow.cap, cap) < cap;
        let mut at = at;
        while is_raised && at != ROOT && std::mem::take(&mut self.flows[at].is_full) {
            at = self.flows[at].parent;
            let level = self.flows[at].level;
            self.levels[level].full -= 1;
            if self.levels[level].full > 0 || !self.has_room(at) {
                return;
            }
        }
    }

    /// Takes a charge back. The orders follow with the next `refresh`.
    pub(super) fn refund(&mut self, leaf: u32, unused: Span) {
        self.each_on_path(leaf, |flow| {
            flow.start = flow.start.saturating_sub(normalise(unused, flow.weight));
        });
    }

    /// Puts the flow, and then each one above it, into the orders that it belongs to now: `open` says in which of
    /// them it has something to give.
    pub(super) fn refresh(&mut self, leaf: u32, open: [bool; 2]) {
        let (mut at, mut open) = (leaf, open);
        while at != ROOT {
            let flow = &self.flows[at];
            let has_room = self.has_room(at);
            let (parent, flow_level) = (flow.parent, Some(flow.level).filter(|at| *at != NONE));
            self.stand(at, open.map(|open| open && has_room));
            let has_full_below = flow_level.is_some_and(|level| self.levels[level].full > 0);
            let is_full = if open[ANY] { !has_room } else { has_full_below };
            let was_full = std::mem::replace(&mut self.flows[at].is_full, is_full);
            let level = self.children_of(parent);
            let level = &mut self.levels[level];
            level.full = level.full + u32::from(is_full) - u32::from(was_full);
            open = level.orders.each_ref().map(|order| !order.is_empty());
            at = parent;
        }
    }

    /// Like `refresh`, for a flow above tenants.
    pub(super) fn refresh_above(&mut self, at: u32) {
        let orders = &self.levels[self.flows[at].level].orders;
        let open = orders.each_ref().map(|order| !order.is_empty());
        self.refresh(at, open);
    }

    /// Where a tenant's flow is ordered by age: its oldest step.
    pub(super) fn set_age(&mut self, leaf: u32, age: u64, ticket: u64) {
        let flow = &mut self.flows[leaf];
        (flow.start, flow.activated) = (Tag::from(age), ticket);
    }

    /// A new weight keeps what the flow is ahead or behind in slot time, and so changes it in tags.
    pub(super) fn reweigh(&mut self, at: u32, weight: u32) {
        assert!(weight > 0, "a weight of 0 is refused at the edge");
        let level = self.children_of(self.flows[at].parent);
        let level = &mut self.levels[level];
        let flow = &mut self.flows[at];
        flow.start = level.clock.reweighed(flow.start, flow.weight, weight);
        level.weights = level.weights - u64::from(flow.weight) + u64::from(weight);
        level.clock.start_max = level.clock.start_max.max(flow.start);
        flow.weight = weight;
    }

    /// Slot time that the flow, or one above it, has had ahead of the others that could be chosen; the largest of
    /// them. Nobody is ahead of nobody.
    pub(super) fn lead(&self, leaf: u32) -> u128 {
        let mut most = 0;
        let mut at = leaf;
        while at != ROOT {
            let flow = &self.flows[at];
            let level = &self.levels[self.flows[flow.parent].level];
            let order = &level.orders[ANY];
            let rival = order.first().filter(|first| first.flow != at).or_else(|| order.second());
            if let Some(rival) = rival {
                let reached = level.clock.virtual_time.max(rival.tag);
                most = most.max(slot_time(flow.start.saturating_sub(reached), flow.weight));
            }
            at = flow.parent;
        }
        most
    }

    /// How many flows come before this one at its level and at those above, counted up to `most` at each.
    pub(super) fn count_before(&self, leaf: u32, most: u32) -> u32 {
        #[cfg(test)]
        super::explain::COUNTS.with(|counts| counts.set(counts.get() + 1));
        let mut count = 0;
        let mut at = leaf;
        while at != ROOT {
            let parent = self.flows[at].parent;
            let order = &self.levels[self.flows[parent].level].orders[ANY];
            count += order.count_before(&self.key_of(at), most);
            at = parent;
        }
        count
    }

    /// The part of the pool, in millionths, that the weights on its path entitle a flow to among active ones.
    pub(super) fn share_ppm(&self, leaf: u32) -> u32 {
        let mut share = 1_000_000;
        let mut at = leaf;
        while at != ROOT {
            let flow = &self.flows[at];
            let level = &self.levels[self.flows[flow.parent].level];
            share = share * u64::from(flow.weight) / level.weights;
            at = flow.parent;
        }
        u32::try_from(share).expect("a part of a million")
    }

    pub(super) fn clock_of(&self, parent: u32) -> Clock {
        self.levels[self.children_of(parent)].clock
    }

    pub(super) fn has_room(&self, at: u32) -> bool {
        let Flow { cap, in_flight, .. } = self.flows[at];
        in_flight < cap || cap >= self.slots
    }

    fn children_of(&self, parent: u32) -> u32 {
        let level = self.flows[parent].level;
        assert!(level != NONE, "flow {parent} has no children");
        level
    }

    fn each_on_path(&mut self, leaf: u32, mut change: impl FnMut(&mut Flow)) {
        let mut at = leaf;
        while at != NONE {
            change(&mut self.flows[at]);
            at = self.flows[at].parent;
        }
    }

    pub(super) fn key_of(&self, at: u32) -> Key {
        let flow = &self.flows[at];
        let tag = flow.start.saturating_sub(normalise(flow.credit, flow.weight));
        match flow.lent {
            Some(lent) if lent < tag => Key { tag: lent, activated: AFTER_ALL, flow: at },
            _ => Key { tag, activated: flow.activated, flow: at },
        }
    }

    /// What a flow may go by whose next one came back from its cap and is behind its siblings, if it has any: it is due
    /// more than its cap lets it have, and the slot that it does not get now it can never make up for. It was a sibling
    /// that brought the flow ahead, with steps that go on. So it goes before its turn, by no more than a stair, after all whose turn it
    /// is.
    fn lent_to(&self, at: u32) -> Option<Tag> {
        let flow = &self.flows[at];
        if flow.level == NONE {
            return None;
        }
        let level = &self.levels[flow.level];
        let first = &self.flows[level.orders[ANY].first()?.flow];
        let is_owed = first.is_back && first.start < level.clock.virtual_time;
        if level.flows < 2 || !is_owed || (flow.stands[SHORT] && !first.stands[SHORT]) {
            return None;
        }
        let clock = &self.levels[self.children_of(flow.parent)].clock;
        Some(flow.start.saturating_sub(clock.stair).max(clock.virtual_time))
    }

    fn stand(&mut self, at: u32, stands: [bool; 2]) {
        if stands[ANY] && !self.flows[at].is_eligible() && !self.is_by_age {
            self.activate(at);
        }
        let before = std::mem::replace(&mut self.flows[at].stands, stands);
        self.flows[at].lent = if self.is_by_age { None } else { self.lent_to(at) };
        let key = self.key_of(at);
        let level = self.children_of(self.flows[at].parent);
        for order in [ANY, SHORT] {
            let (heap, seats) = (&mut self.levels[level].orders[order], &mut self.seats[order]);
            match (before[order], stands[order]) {
                (false, true) => heap.push(key, seats),
                (true, false) => heap.remove(at, seats),
                (true, true) if heap.key(at, seats) != key => heap.set(key, seats),
                (true, true) | (false, false) => {}
            }
        }
    }

    /// A flow that turns eligible starts no earlier than the level's virtual time: whatever kept it away (nothing to
    /// do, a pause, a gate) has earned it nothing. One that only its cap kept away may be a stair behind: see the
    /// module's documentation.
    fn activate(&mut self, at: u32) {
        let level = self.children_of(self.flows[at].parent);
        let reached = self.frontier(level, ANY).unwrap_or(self.levels[level].clock.start_max);
        let is_back = self.flows[at].is_full;
        let may_lag = if is_back { self.may_lag(level, ANY) } else { 0 };
        let clock = &mut self.levels[level].clock;
        clock.reach(reached);
        let flow = &mut self.flows[at];
        flow.start = flow.start.max(clock.virtual_time.saturating_sub(may_lag));
        clock.start_max = clock.start_max.max(flow.start);
        self.activations += 1;
        flow.activated = self.activations;
        flow.is_back = is_back;
    }

    /// How far a flow may be behind that was kept away although it had work: a stair by which virtual time rises, and
    /// what the flow that virtual time follows is charged ahead of its use.
    fn may_lag(&self, level: u32, order: usize) -> Tag {
        let level = &self.levels[level];
        let ahead = level.orders[order].first().map_or(0, |first| {
            let first = &self.flows[first.flow];
            normalise(self.ahead, first.weight) * Tag::from(first.in_flight)
        });
        level.clock.stair + ahead
    }

    /// How far the level has come: the smallest start tag in the order. Where a bursting flow goes before its turn, that
    /// of the one whose turn it is; where it is alone, its own.
    fn frontier(&self, level: u32, order: usize) -> Option<Tag> {
        let order = &self.levels[level].orders[order];
        let first = order.first()?;
        let start = self.flows[first.flow].start;
        if start <= first.tag {
            return Some(start);
        }
        Some(order.second().map_or(start, |second| start.min(second.tag)))
    }

    /// While long steps hold all that they may, a flow that has no others is passed over, and its tag stays where it
    /// is although it keeps its place in the order. It must not gather a claim on the time that it could not use.
    fn lift_held_back(&mut self, level: u32) {
        let Some(first) = self.levels[level].orders[ANY].first().map(|first| first.flow) else {
            return;
        };
        let reached = self.levels[level].clock.virtual_time;
        let floor = reached.saturating_sub(self.may_lag(level, SHORT));
        let flow = &mut self.flows[first];
        if flow.stands[SHORT] || flow.start >= floor {
            return;
        }
        flow.start = floor;
        let key = self.key_of(first);
        self.levels[level].orders[ANY].set(key, &mut self.seats[ANY]);
    }
}
