//! The checkers: each watches one promise, from outside, and knows nothing of how the workload comes about.
//!
//! They read three things: the stream of committed changes, which is a total order of everything that was decided;
//! the effects as they are released; and what workers believe. A module is named for the promise it watches.

mod answered;
mod declared;
pub(crate) mod p01_caps;
mod p04_work_conservation;
mod p06_waiting_holds_nothing;
mod p12_durability;
mod p12_outcomes_once;
mod p16_valve;
mod p17_live_changes;
mod ready;

use fairlane_core::cell::change::Change;
use fairlane_core::cell::effect::{Effect, Response};
use fairlane_core::cell::input::Input;

use crate::host::Host;
use crate::rows::Rows;
use crate::violation::Verdict;
use crate::worker::Message;

use answered::Answered;
use declared::Declared;
use ready::Moment;

/// All checkers, and what they share.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    declared: Declared,
    answered: Answered,
    caps: p01_caps::Caps,
    durability: p12_durability::Durability,
    once: p12_outcomes_once::Outcomes,
    valve: p16_valve::Admissions,
}

impl Checks {
    /// A worker's message is at the host's door.
    pub(crate) fn said(&mut self, message: &Message) {
        self.once.said(message);
    }

    /// An input is handed to the driver, into the turn of that number.
    pub(crate) fn stepped(&mut self, input: &Input, turn: u64) {
        self.answered.stepped(input, turn);
        self.once.stepped(input);
    }

    /// A turn is durable. The rows are those after it.
    pub(crate) fn committed(&mut self, changes: &[Change], rows: &Rows) -> Verdict {
        for change in changes {
            self.declared.follow(change);
            self.answered.follow(change);
            p17_live_changes::follow(change, &self.declared, rows)?;
            self.caps.follow(change, &self.declared, rows)?;
            self.once.follow(change, rows)?;
            self.valve.follow(change, &self.declared)?;
            self.durability.follow(change)?;
        }
        Ok(())
    }

    /// A turn is durable and its owner lives to release its effects.
    pub(crate) fn closed(
        &mut self,
        turn: u64,
        effects: &[Effect],
        host: &Host,
        rows: &Rows,
    ) -> Verdict {
        p04_work_conservation::closed(
            &p04_work_conservation::Close { turn, effects, host, rows },
            &self.caps,
            &self.answered,
        )
    }

    /// An effect leaves the host. Everything that it says must be durable.
    pub(crate) fn released(&mut self, effect: &Effect, host: &Host, rows: &Rows) -> Verdict {
        self.answered.released(effect)?;
        self.once.released(effect)?;
        self.durability.released(effect, host, rows)?;
        p16_valve::released(effect)
    }

    /// A new owner has read the rows.
    pub(crate) fn reloaded(&mut self, rows: &Rows) -> Verdict {
        self.answered.forget();
        self.durability.reloaded(rows)
    }

    /// The cell was asked about itself while nothing was under way.
    pub(crate) fn probed(&self, response: &Response, host: &Host, rows: &Rows) -> Verdict {
        let moment = Moment { turn: host.turn, clock: host.closed_clock };
        p06_waiting_holds_nothing::probed(response, moment, &self.caps, &self.answered, rows)
    }

    /// Healing is over and no run is live.
    pub(crate) fn emptied(&self, rows: &Rows) -> Verdict {
        self.caps.emptied()?;
        self.durability.emptied(rows)?;
        p06_waiting_holds_nothing::emptied(rows)
    }

    pub(crate) fn grants(&self) -> u64 {
        self.caps.grants()
    }
}
