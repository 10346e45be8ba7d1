//! Timers of the cell: one ordered set, so that the next one is known and each is removed when its cause ends.

use std::collections::BTreeSet;

use crate::time::Time;

use super::live::At;

/// What a timer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// The run's deadline; the node is not used.
    Run,
    /// `timeout: queue`.
    Queue,
    /// An endpoint may have been down for as long as a queued step waits for one.
    Outage,
    /// `timeout: step`.
    Step,
    /// The lease is lost, or the attempt's time is over.
    Lease,
    Backoff,
    Sleep,
    /// A schedule's next time; `at.run` is its place, the node is not used.
    Schedule,
    /// No commit was slow for a while: all slots are dispatchable again; the place is not used.
    Recover,
}

/// One timer. Times first, so that the set's order is the order of firing; ties end with the place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Timer {
    pub(crate) due: Time,
    pub(crate) kind: Kind,
    pub(crate) at: At,
}

/// All timers that are set. Set, clear and pop are O(log n).
#[derive(Debug, Default)]
pub(crate) struct Timers(BTreeSet<Timer>);

impl Timers {
    pub(crate) fn set(&mut self, due: Time, kind: Kind, at: At) {
        self.0.insert(Timer { due, kind, at });
    }

    /// Clearing a timer that is not set does nothing.
    pub(crate) fn clear(&mut self, due: Time, kind: Kind, at: At) {
        self.0.remove(&Timer { due, kind, at });
    }

    pub(crate) fn next(&self) -> Option<Time> {
        self.0.first().map(|timer| timer.due)
    }

    /// Takes the first timer that is due.
    pub(crate) fn pop(&mut self, now: Time) -> Option<Timer> {
        if self.0.first()?.due > now {
            return None;
        }
        self.0.pop_first()
    }
}
