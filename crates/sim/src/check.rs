//! The checkers: each watches one promise, from outside, and knows nothing of how the workload comes about.
//!
//! They read three things: the stream of committed changes, which is a total order of everything that was decided;
//! the effects as they are released; and what workers believe. A module is named for the promise it watches.

mod answered;
mod contest;
mod declared;
pub(crate) mod p01_caps;
mod p02_share;
mod p03_no_stored_credit;
mod p04_work_conservation;
pub(crate) mod p05_priority;
mod p06_waiting_holds_nothing;
mod p07_circuits;
mod p07_quotas;
mod p08_costs;
mod p08_money;
mod p08_ways;
mod p10_residency;
mod p12_durability;
mod p12_outcomes_once;
pub(crate) mod p14_audit;
mod p16_valve;
mod p17_live_changes;
mod ready;
mod review_turns;
mod reviews;
mod service;

use fairlane_core::cell::change::Change;
use fairlane_core::cell::effect::{Effect, Response};
use fairlane_core::cell::input::{Input, ReviewCommand};
use fairlane_core::time::Time;

use crate::host::Host;
use crate::rows::Rows;
use crate::violation::Verdict;
use crate::worker::Message;

use answered::Answered;
use contest::Contest;
use declared::Declared;
use ready::{Known, Moment};

/// All checkers, and what they share.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    declared: Declared,
    answered: Answered,
    ready: Known,
    /// Something was committed since shares were judged.
    is_changed: bool,
    contest: Contest,
    caps: p01_caps::Caps,
    shares: p02_share::Shares,
    credits: p03_no_stored_credit::Credits,
    dispatches: p05_priority::Dispatches,
    durability: p12_durability::Durability,
    once: p12_outcomes_once::Outcomes,
    quotas: p07_quotas::Quotas,
    circuits: p07_circuits::Circuits,
    costs: p08_costs::Costs,
    bounds: p10_residency::Bounds,
    audit: p14_audit::Audit,
    valve: p16_valve::Admissions,
    reviews: reviews::Reviews,
}

impl Checks {
    /// A worker's message is at the host's door.
    pub(crate) fn said(&mut self, message: &Message) {
        self.once.said(message);
        self.costs.said(message);
    }

    /// A reviewer's request is at the host's door.
    pub(crate) fn asked(&mut self, command: &ReviewCommand) {
        self.reviews.asked(command);
    }

    /// An input is handed to the driver, into the turn of that number.
    pub(crate) fn stepped(&mut self, input: &Input, turn: u64) {
        self.answered.stepped(input, turn);
        self.contest.stepped(input);
        self.quotas.stepped(input);
        self.costs.stepped(input);
        self.once.stepped(input);
    }

    /// A turn of the owner of that epoch is durable. The rows are those after it.
    pub(crate) fn committed(&mut self, epoch: u64, changes: &[Change], rows: &Rows) -> Verdict {
        self.ready.forget();
        self.is_changed = true;
        p12_durability::owned(epoch, rows)?;
        for (change, at) in changes.iter().zip(1..) {
            self.declared.follow(change);
            self.answered.follow(change);
            self.contest.follow(change);
            self.dispatches.follow(change);
            p17_live_changes::follow(change, &changes[at..], &self.declared, rows)?;
            self.caps.follow(change, &self.declared, rows)?;
            self.once.follow(change, rows)?;
            self.circuits.follow(change, rows)?;
            self.valve.follow(change, &self.declared)?;
            self.durability.follow(change)?;
        }
        self.quotas.committed(changes, rows)?;
        self.costs.committed(epoch, changes, rows)?;
        self.audit.committed(changes)?;
        p08_money::committed(changes, rows)?;
        p08_ways::committed(changes, rows)?;
        self.reviews.committed(changes, rows)?;
        self.bounds.committed(changes, rows)
    }

    /// A turn is durable and its owner lives to release its effects.
    pub(crate) fn closed(
        &mut self,
        turn: u64,
        effects: &[Effect],
        host: &Host,
        rows: &Rows,
    ) -> Verdict {
        self.quotas.closed(effects)?;
        self.bounds.closed(effects, rows)?;
        let moment = Moment { turn, clock: host.closed_clock };
        let close = p04_work_conservation::Close { turn, effects, host, rows };
        let asking = p04_work_conservation::asking(&close, &self.caps);
        let is_contest = std::mem::take(&mut self.is_changed) && self.contest.is_on(&self.declared);
        if asking.is_empty() && !is_contest {
            return Ok(());
        }
        let ready = self.ready.at(moment, &self.answered, rows);
        p04_work_conservation::closed(&close, &asking, &self.caps, ready)?;
        if !is_contest {
            return Ok(());
        }
        let rounds = self.contest.closed(host.closed_clock, &self.declared, ready);
        for round in &rounds {
            self.credits.judge(round)?;
            self.shares.judge(round)?;
        }
        Ok(())
    }

    /// An effect leaves the host. Everything that it says must be durable.
    pub(crate) fn released(&mut self, effect: &Effect, host: &Host, rows: &Rows) -> Verdict {
        self.answered.released(effect)?;
        self.once.released(effect)?;
        self.costs.released(effect, rows)?;
        self.durability.released(effect, host, rows)?;
        p16_valve::released(effect)
    }

    /// A new owner has read the rows.
    pub(crate) fn reloaded(&mut self, now: Time, rows: &Rows) -> Verdict {
        self.ready.forget();
        self.answered.forget();
        self.contest.reloaded(now);
        self.circuits.reloaded();
        self.reviews.reloaded();
        self.quotas.reloaded();
        self.durability.reloaded(rows)
    }

    /// The cell was asked about itself while nothing was under way.
    pub(crate) fn probed(&mut self, response: &Response, host: &Host, rows: &Rows) -> Verdict {
        let moment = Moment { turn: host.turn, clock: host.closed_clock };
        let ready = self.ready.at(moment, &self.answered, rows);
        p06_waiting_holds_nothing::probed(response, &self.caps, ready, rows)
    }

    /// Healing is over and no run is live.
    pub(crate) fn emptied(&self, rows: &Rows) -> Verdict {
        self.caps.emptied()?;
        self.durability.emptied(rows)?;
        p08_money::emptied(rows)?;
        self.costs.emptied()?;
        self.reviews.emptied(rows)?;
        p06_waiting_holds_nothing::emptied(rows)
    }

    pub(crate) const fn dispatches(&self) -> &p05_priority::Dispatches {
        &self.dispatches
    }

    pub(crate) fn grants(&self) -> u64 {
        self.caps.grants()
    }
}
