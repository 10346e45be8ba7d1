//! Steps that hold a slot, and which of them have outlived what they were charged.
//!
//! A step is charged ahead of its use. At dispatch that is one quantum, later as far ahead as [`ahead`] says; so both
//! kinds come due in the order in which they were charged, and two lines take the place of a heap. When one of the two
//! lengths changes, the lines are made anew.
//!
//! INVARIANT: each line is in the order in which its steps come due.

use crate::id::mix;
use crate::time::{Span, Time};

use super::config::{Entry, PoolConfig, Ticket};
use super::index::Index;
use super::slab::{NONE, Slab};

/// How far ahead a running step of a pool is charged for each slot of the pool, so that charges come at most at a
/// rate of 100,000 a second whatever the number of slots.
const AHEAD_PER_SLOT: Span = Span::from_micros(10);

/// How far ahead of its use a running step is charged: the quantum, or more in a pool of many slots.
pub(super) fn ahead(config: &PoolConfig) -> Span {
    Span(AHEAD_PER_SLOT.0 * u64::from(config.slots)).max(config.quantum)
}

/// A step that holds a slot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Running {
    pub(super) entry: Entry,
    /// Since when its time is charged.
    pub(super) since: Time,
    /// Slot time charged so far.
    pub(super) charged: Span,
    pub(super) is_long: bool,
}

#[derive(Debug, Default)]
pub(super) struct RunningSteps {
    steps: Slab<Slot>,
    index: Index,
    /// Charged at dispatch only; charged since.
    lines: [Line; 2],
}

const FRESH: usize = 0;
const CHARGED: usize = 1;

#[derive(Debug, Default)]
struct Slot {
    running: Option<Running>,
    line: usize,
    next: u32,
    previous: u32,
}

#[derive(Debug)]
struct Line {
    first: u32,
    last: u32,
}

impl Default for Line {
    fn default() -> Self {
        Self { first: NONE, last: NONE }
    }
}

impl Slot {
    const fn running(&self) -> &Running {
        self.running.as_ref().expect("a place in the index holds a step")
    }

    fn due(&self) -> Time {
        self.running().since + self.running().charged
    }
}

impl RunningSteps {
    pub(super) fn get(&self, ticket: Ticket) -> Option<&Running> {
        self.find(ticket).map(|place| self.steps[place].running())
    }

    pub(super) fn insert(&mut self, running: Running) {
        let ticket = running.entry.ticket;
        assert!(self.find(ticket).is_none(), "{ticket:?} is running already");
        let place = self.steps.insert(Slot { running: Some(running), ..Slot::default() });
        let steps = &self.steps;
        self.index.insert(place, |place| mix(steps[place].running().entry.ticket.0));
        self.append(FRESH, place);
    }

    pub(super) fn remove(&mut self, ticket: Ticket) -> Option<Running> {
        let place = self.find(ticket)?;
        self.unlink(place);
        let steps = &self.steps;
        self.index.remove(place, |place| mix(steps[place].running().entry.ticket.0));
        self.steps.remove(place).running
    }

    /// Charges one step that has used up what it was charged, as far ahead as it says; gives the step and how much more
    /// it was charged.
    pub(super) fn charge_due(&mut self, now: Time, ahead: Span) -> Option<(Running, Span)> {
        let is_due = |first: &u32| *first != NONE && self.steps[*first].due() <= now;
        let place = self.lines.iter().map(|line| line.first).find(is_due)?;
        self.unlink(place);
        let running = self.steps[place].running.as_mut().expect("a step in a line runs");
        let wanted = Span(now.since(running.since).0 + ahead.0);
        let more = Span(wanted.0 - running.charged.0);
        running.charged = wanted;
        let charged = *running;
        self.append(CHARGED, place);
        Some((charged, more))
    }

    /// Every step that runs, in no order that means anything, for whoever changes all of them.
    pub(super) fn each(&mut self) -> impl Iterator<Item = &mut Running> {
        self.steps.values_mut().filter_map(|slot| slot.running.as_mut())
    }

    /// Steps are charged this far ahead from now on: takes back what any was charged further, and gives who that was and
    /// how much.
    pub(super) fn trim(&mut self, now: Time, ahead: Span) -> Vec<(Entry, Span)> {
        let mut trimmed = Vec::new();
        for running in self.each() {
            let most = Span(now.since(running.since).0 + ahead.0);
            if running.charged > most {
                trimmed.push((running.entry, Span(running.charged.0 - most.0)));
                running.charged = most;
            }
        }
        self.line_up();
        trimmed
    }

    /// Puts all steps into one line, in the order in which they come due. None of them is charged further ahead than
    /// steps will be from now on, so that it is the line of those that are charged again.
    pub(super) fn line_up(&mut self) {
        self.lines = [Line::default(), Line::default()];
        let runs = |place: &u32| self.steps[*place].running.is_some();
        let mut places: Vec<u32> = self.steps.places().filter(runs).collect();
        places.sort_by_key(|place| self.steps[*place].due());
        for place in places {
            self.append(CHARGED, place);
        }
    }

    fn find(&self, ticket: Ticket) -> Option<u32> {
        self.index.find(mix(ticket.0), |place| self.steps[place].running().entry.ticket == ticket)
    }

    fn append(&mut self, line: usize, place: u32) {
        let last = std::mem::replace(&mut self.lines[line].last, place);
        let slot = &mut self.steps[place];
        (slot.line, slot.next, slot.previous) = (line, NONE, last);
        if last == NONE {
            self.lines[line].first = place;
        } else {
            self.steps[last].next = place;
        }
    }

    fn unlink(&mut self, place: u32) {
        let Slot { line, next, previous, .. } = self.steps[place];
        if previous == NONE {
            self.lines[line].first = next;
        } else {
            self.steps[previous].next = next;
        }
        if next == NONE {
            self.lines[line].last = previous;
        } else {
            self.steps[next].previous = previous;
        }
    }
}
