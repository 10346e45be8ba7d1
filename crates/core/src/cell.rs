//! The cell: the tenants of one region, with their scheduler, as one value.
//!
//! `step` takes one input and the time, and appends changes and effects to the open turn. `close` is called
//! once before a turn is committed: it gives the slots that are free to the steps that are ready, so that all
//! inputs of a turn compete and one exchange is answered once.
//!
//! The cell's memory is a cache of live rows: everything here can be rebuilt by [`Cell::load`] from what was
//! committed. It holds no payloads. It never fails: what it refuses is an answer.
//!
//! Files: one for each family of inputs; `advance` moves plans on, `dispatch` gives slots, `live` is the memory.

mod advance;
mod audit;
mod call;
mod catalog;
pub mod change;
mod circuits;
mod command;
mod compensate;
mod configure;
mod directory;
mod dispatch;
pub mod effect;
mod erase;
mod evaluated;
mod exchange;
mod explain;
mod finish;
mod gates;
mod gateway;
mod hand;
pub mod input;
mod ladder;
mod live;
mod load;
mod model;
mod notice;
mod observe;
mod outage;
mod policy;
mod quotas;
mod reading;
mod recent;
mod replan;
pub mod residency_view;
mod retry;
mod review;
mod rules;
mod schedule;
mod submit;
mod survey;
mod timer;
mod traces;
mod turn;
mod valve;
pub mod view;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};

use crate::erasure::ErasureRow;
use crate::id::TenantId;
use crate::ledger::Ledger;
use crate::limiter::Limiter;
use crate::row::RunKey;
use crate::time::Time;

pub use turn::Turn;

use call::Lines;
use directory::Directory;
use dispatch::PoolState;
use gates::OtherWaits;
use gateway::Calls;
use input::Input;
use live::{Run, Runs};
use notice::Outbox;
use policy::Policed;
use recent::Recent;
use retry::Reopened;
use review::Desk;
use schedule::Schedules;
use timer::{Kind, Timer, Timers};
use traces::Traces;
use valve::Queue;

/// All of one region's tenants: what is declared, what is live, who waits, and who is next.
#[derive(Debug)]
pub struct Cell {
    now: Time,
    directory: Directory,
    /// By the place that the directory gives a pool's name.
    pools: Vec<PoolState>,
    runs: Runs,
    timers: Timers,
    schedules: Schedules,
    queue: Queue,
    calls: Calls,
    limiter: Limiter,
    ledger: Ledger,
    policed: Policed,
    others: OtherWaits,
    /// When a decision on a country begins or ends.
    rules_next: Option<Time>,
    lines: Lines,
    desk: Desk,
    outbox: Outbox,
    recent: Recent,
    reopened: Reopened,
    /// Those under way, and those that were done lately.
    erasures: BTreeMap<TenantId, Vec<ErasureRow>>,
    said: audit::Said,
    watch: observe::Watch,
    traces: Traces,
    /// The next fencing token.
    fence: u64,
    /// Counts admissions: the age of runs.
    ages: u64,
    /// Numbers evaluations over all runs, and questions for the times of schedules: a run that is retried, or read again by
    /// the next owner, asks the same things again, and the answers to its earlier life are told from those that are awaited.
    evaluations: u32,
    /// What one run causes in another; done at the end of the step, so that a run is never changed while
    /// another change of it is under way.
    later: VecDeque<Later>,
}

/// See [`Cell::later`].
#[derive(Debug)]
enum Later {
    /// A caller does not want this run any more.
    Cancel(RunKey),
    /// A run that a step or a schedule started is over.
    Ended(Box<Run>),
}

impl Cell {
    /// Steps the cell by one input. `now` must not be before that of the last call.
    pub fn step(&mut self, now: Time, input: Input, turn: &mut Turn) {
        assert!(
            now >= self.now,
            "time fell from {} to {now}: the driver keeps it from falling",
            self.now
        );
        self.now = now;
        self.look();
        self.fire(turn);
        match input {
            Input::Tick => {}
            Input::Configure(reply, by, configure) => self.configure(reply, by, configure, turn),
            Input::Submit(submit) => self.submit(*submit, turn),
            Input::Command(reply, by, key, command) => {
                self.command((reply, by), &key, command, turn);
            }
            Input::Review(reply, command) => self.review(reply, command, turn),
            Input::Notice(reply, by, command) => self.notice((reply, by), command, turn),
            Input::Delivered(delivered) => self.delivered(delivered, turn),
            Input::Erase(reply, by, erase) => self.erase((reply, by), erase, turn),
            Input::Erased(done) => self.erased(done, turn),
            Input::Retry(retry) => self.retry(*retry, turn),
            Input::Exchange(exchange) => self.exchange(exchange, turn),
            Input::Hurry(ask) => self.hurry(ask, turn),
            Input::OpenCall(reply, call) => self.open_call(reply, call, turn),
            Input::GiveUpCall(reply) => self.give_up_call(reply, turn),
            Input::CloseCall(closed) => self.close_call(&closed, turn),
            Input::Undelivered(leases) => self.undelivered(&leases, turn),
            Input::Evaluated(evaluated) => self.evaluated(evaluated, turn),
            Input::Scheduled(scheduled) => self.scheduled(&scheduled, turn),
            Input::Query(reply, query) => self.query(reply, &query, turn),
            Input::CommitTook(took) => self.commit_took(took),
        }
        self.catch_up(turn);
    }

    /// Ends a turn: dispatches what can be dispatched and answers exchanges. Call it after the last input and
    /// before the commit.
    pub fn close(&mut self, turn: &mut Turn) {
        self.dispatch_all(turn);
        self.send_notices(turn);
        self.log_valve(turn);
        self.log_refused(turn);
        self.count_decisions(turn);
        self.watch.is_open = false;
    }

    /// When the next `Tick` is due, if nothing else comes first.
    pub fn next_wake(&self) -> Option<Time> {
        let pools = self.pools.iter().filter_map(|pool| pool.scheduler.next_tick());
        let waits = self.next_gate_wake().into_iter().chain(self.next_call_wait());
        let waits = waits.chain(self.rules_next).chain(self.desk.queue.next_due());
        let waits = waits.chain(self.next_notice());
        self.timers.next().into_iter().chain(pools).chain(waits).min()
    }

    pub(crate) fn catch_up(&mut self, turn: &mut Turn) {
        while let Some(later) = self.later.pop_front() {
            match later {
                Later::Cancel(key) => self.cancel_called(&key, turn),
                Later::Ended(run) => self.called_run_ended(&run, turn),
            }
        }
        self.fill_places(turn);
    }

    fn fire(&mut self, turn: &mut Turn) {
        for pool in &mut self.pools {
            pool.scheduler.tick(self.now);
        }
        self.wake_gates();
        self.end_call_waits(turn);
        self.pass_reviews(turn);
        self.pass_notices();
        self.follow_decisions(turn);
        while let Some(Timer { due, kind, at }) = self.timers.pop(self.now) {
            match kind {
                Kind::Run => self.run_overdue(at.run, turn),
                Kind::Queue => self.queue_overdue(at, turn),
                Kind::Outage => self.outage_overdue(at, turn),
                Kind::Step => self.step_overdue(at, turn),
                Kind::Lease => self.lease_overdue(at, turn),
                Kind::Backoff => self.backoff_over(at, turn),
                Kind::Sleep => self.slept(at, turn),
                Kind::Schedule => self.schedule_due(at.run, due, turn),
                Kind::Recover => self.recover(),
            }
        }
    }
}
