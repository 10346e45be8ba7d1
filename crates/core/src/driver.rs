//! Persist, then act: the order that makes every promise about durability.
//!
//! The driver owns the cell, the open turn, and at most one turn in flight. Its surroundings read a clock, hand in
//! inputs, commit what `take` gives, and release what `committed` gives. Server and simulator run this same
//! code; the server only supplies the waiting.
//!
//! ```text
//! step step step | take -> commit ... committed -> release
//!                  step step (the next turn, while the last commits) | take -> ...
//! ```
//!
//! INVARIANT: no effect leaves before the changes of its turn, and of all turns before it, are committed.

use crate::cell::change::{Change, Snapshot};
use crate::cell::effect::Effect;
use crate::cell::input::Input;
use crate::cell::{Cell, Turn};
use crate::time::Time;

#[derive(Debug)]
pub struct Driver {
    cell: Cell,
    now: Time,
    open: Turn,
    /// Effects of the turn that is being committed.
    in_flight: Option<Vec<Effect>>,
}

impl Driver {
    /// Builds the cell from what was committed, as the owner of that epoch.
    pub fn load(now: Time, epoch: u64, snapshot: Snapshot) -> Self {
        let mut open = Turn::default();
        let cell = Cell::load(now, epoch, snapshot, &mut open);
        Self { cell, now, open, in_flight: None }
    }

    /// Steps the cell by one input. A clock that jumped back counts as standing still.
    pub fn step(&mut self, now: Time, input: Input) {
        self.now = self.now.max(now);
        self.cell.step(self.now, input, &mut self.open);
    }

    /// Ends the open turn and gives its changes to commit, all in one transaction. `None` if a commit is under way
    /// or nothing has happened. A turn that changes nothing still has its place in the order: its batch is empty, and
    /// `committed` follows without a commit.
    pub fn take(&mut self) -> Option<Vec<Change>> {
        if self.in_flight.is_some() {
            return None;
        }
        self.cell.close(&mut self.open);
        if self.open.is_empty() {
            return None;
        }
        let Turn { changes, effects } = std::mem::take(&mut self.open);
        self.in_flight = Some(effects);
        Some(changes)
    }

    /// The turn in flight is durable: these are its effects, in order.
    ///
    /// A commit that failed has no such call: drop the driver with all that it remembers, release nothing, and load
    /// again.
    pub fn committed(&mut self) -> Vec<Effect> {
        self.in_flight.take().expect("a commit ended that was never begun")
    }

    pub const fn is_committing(&self) -> bool {
        self.in_flight.is_some()
    }

    /// When an `Input::Tick` is due, if nothing comes before.
    pub fn next_wake(&self) -> Option<Time> {
        self.cell.next_wake()
    }

    /// The time as the cell knows it, which never falls.
    pub const fn now(&self) -> Time {
        self.now
    }

    pub const fn cell(&self) -> &Cell {
        &self.cell
    }
}
