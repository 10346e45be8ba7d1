//! One level of the line: start tags, virtual time, and the order of those that stand in it.

#![warn(clippy::arithmetic_side_effects)]

use std::collections::BTreeSet;

/// Units are scaled by this before they are divided by a weight: one unit at the largest weight (a million) is still
/// charged to a millionth, and what is charged for the largest take fits 2^80.
const SCALE: u128 = 1 << 40;

/// Service, normalised: units times [`SCALE`] over weight.
pub(super) type Tag = u128;

/// A level of the tree. `V` is the start tag last served, or the smallest that stood in the order when one came to it,
/// or, when nobody stands in it, the highest ever given.
#[derive(Debug, Default)]
pub(super) struct Level {
    virtual_time: Tag,
    highest: Tag,
    order: BTreeSet<(Tag, u64, u32)>,
    /// Those that went away with a tag above `V`. At or below it the tag says nothing, and is forgotten.
    away: BTreeSet<(Tag, u32)>,
}

/// What stands in a level, or stood in it and is remembered.
#[derive(Debug, Default)]
pub(super) struct Seat {
    start: Tag,
    /// The tag at which it came, as far back as charges can be taken back.
    floor: Tag,
    pub(super) weight: u32,
    arrived: u64,
    at: Stand,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stand {
    #[default]
    Out,
    Order,
    Away,
}

impl Seat {
    pub(super) fn new(weight: u32) -> Self {
        Self { weight: weight.max(1), ..Self::default() }
    }

    fn cost(&self, units: u64) -> Tag {
        let scaled = u128::from(units).saturating_mul(SCALE);
        scaled.checked_div(self.weight.into()).expect("a seat has a weight")
    }

    pub(super) fn stands(&self) -> bool {
        self.at == Stand::Order
    }

    pub(super) fn is_away(&self) -> bool {
        self.at == Stand::Away
    }
}

impl Level {
    pub(super) fn first(&self) -> Option<u32> {
        self.order.first().map(|(_, _, id)| *id)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Comes to the order, no earlier in it than virtual time: to have been away has earned nothing.
    pub(super) fn enter(&mut self, seat: &mut Seat, id: u32, arrived: u64) {
        if seat.stands() {
            return;
        }
        self.take_out(seat, id);
        let reached = self.order.first().map_or(self.highest, |(tag, ..)| *tag);
        self.virtual_time = self.virtual_time.max(reached);
        if seat.start < self.virtual_time {
            (seat.start, seat.floor) = (self.virtual_time, self.virtual_time);
        }
        seat.arrived = arrived;
        self.put(seat, id, Stand::Order);
    }

    /// Leaves the order, and will be back: its tag is kept.
    pub(super) fn step_out(&mut self, seat: &mut Seat, id: u32) {
        self.take_out(seat, id);
        if self.order.is_empty() {
            self.virtual_time = self.virtual_time.max(self.highest);
        }
    }

    /// Leaves for good, as far as anybody knows.
    pub(super) fn retire(&mut self, seat: &mut Seat, id: u32) {
        self.step_out(seat, id);
        self.put(seat, id, Stand::Away);
    }

    /// It is served: virtual time follows, and then it is charged.
    pub(super) fn serve(&mut self, seat: &mut Seat, id: u32, units: u64) {
        self.virtual_time = self.virtual_time.max(seat.start);
        let start = seat.start.saturating_add(seat.cost(units));
        self.put_at(seat, id, start);
    }

    pub(super) fn charge(&mut self, seat: &mut Seat, id: u32, units: u64) {
        let start = seat.start.saturating_add(seat.cost(units));
        self.put_at(seat, id, start);
    }

    /// Takes a charge back. Who has been here since it was charged is behind then, and may catch up; for the time before it
    /// came it has earned nothing.
    pub(super) fn refund(&mut self, seat: &mut Seat, id: u32, units: u64) {
        let start = seat.start.saturating_sub(seat.cost(units));
        self.put_at(seat, id, start.max(seat.floor.min(seat.start)));
    }

    /// What it was ahead or behind is forgotten.
    pub(super) fn level(&mut self, seat: &mut Seat, id: u32) {
        seat.floor = self.virtual_time;
        self.put_at(seat, id, self.virtual_time);
    }

    /// A new weight keeps what the seat is ahead in units, and so changes it in tags.
    pub(super) fn reweigh(&mut self, seat: &mut Seat, id: u32, weight: u32) {
        let weight = weight.max(1);
        let ahead = seat.start.saturating_sub(self.virtual_time);
        let scaled = ahead.saturating_mul(seat.weight.into()).checked_div(weight.into());
        let start = self.virtual_time.min(seat.start).saturating_add(scaled.unwrap_or(ahead));
        seat.weight = weight;
        seat.floor = self.virtual_time.min(start);
        self.put_at(seat, id, start);
    }

    /// How far it is ahead of virtual time.
    pub(super) fn ahead(&self, seat: &Seat) -> Tag {
        seat.start.saturating_sub(self.virtual_time)
    }

    /// Comes from another level, and brings along what it was ahead there.
    pub(super) fn adopt(&mut self, seat: &mut Seat, ahead: Tag) {
        seat.start = self.virtual_time.saturating_add(ahead);
        seat.floor = self.virtual_time;
        self.highest = self.highest.max(seat.start);
    }

    /// One whose tag says nothing any more.
    pub(super) fn pop_forgotten(&mut self) -> Option<u32> {
        let (tag, id) = *self.away.first()?;
        (tag <= self.virtual_time).then(|| {
            self.away.pop_first();
            id
        })
    }

    fn put_at(&mut self, seat: &mut Seat, id: u32, start: Tag) {
        let at = seat.at;
        self.take_out(seat, id);
        seat.start = start;
        self.put(seat, id, at);
    }

    fn put(&mut self, seat: &mut Seat, id: u32, at: Stand) {
        seat.at = at;
        self.highest = self.highest.max(seat.start);
        let is_new = match at {
            Stand::Out => true,
            Stand::Order => self.order.insert((seat.start, seat.arrived, id)),
            Stand::Away => self.away.insert((seat.start, id)),
        };
        assert!(is_new, "{id} stands twice in a level");
    }

    fn take_out(&mut self, seat: &mut Seat, id: u32) {
        let was_there = match std::mem::take(&mut seat.at) {
            Stand::Out => true,
            Stand::Order => self.order.remove(&(seat.start, seat.arrived, id)),
            Stand::Away => self.away.remove(&(seat.start, id)),
        };
        assert!(was_there, "{id} is not where it stands");
    }
}
