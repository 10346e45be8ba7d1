//! The process around the driver: what it knows only as long as it lives, and what it has handed to the store.

use std::collections::BTreeMap;

use fairlane_core::cell::change::Change;
use fairlane_core::cell::input::{AskId, Command, ReplyId};
use fairlane_core::driver::Driver;
use fairlane_core::id::{PoolName, RunId, TenantId, WorkerName};
use fairlane_core::row::RunKey;
use fairlane_core::time::{Span, Time};

use crate::client::Submission;
use crate::prng::Prng;

/// One life of the process is one epoch of the cell.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) driver: Option<Driver>,
    pub(crate) epoch: u64,
    /// Number of the process, in which the cell may be loaded several times.
    pub(crate) process: u64,
    /// Number of the turn that is open, in this life.
    pub(crate) turn: u64,
    /// When the turn in flight was closed.
    pub(crate) closed: Time,
    /// The time that the cell knew then.
    pub(crate) closed_clock: Time,
    pub(crate) replies: BTreeMap<ReplyId, Pending>,
    pub(crate) asks: BTreeMap<AskId, Ask>,
    /// When a tick is planned.
    pub(crate) tick: Option<Time>,
    /// The store suffered lately: until the cell's time is past this, fewer slots may be dispatchable.
    pub(crate) throttled: Time,
    ids: Prng,
    numbers: u64,
}

/// Somebody waits for a reply.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub(crate) from: Sender,
    pub(crate) about: About,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sender {
    Client {
        at: usize,
        number: u64,
    },
    Operator,
    Reviewer(usize),
    /// Of the host itself.
    Gateway,
    /// A checker, at a moment when nothing is open.
    Probe,
}

/// What was asked for, as the checkers need it.
#[derive(Clone, Debug)]
pub(crate) enum About {
    Submission(Submission),
    Command(RunKey, Command),
    Retry(RunKey),
    Configure,
    Review,
    /// A call of that tenant.
    Call(TenantId),
    /// By a checker, after so many commits.
    Query {
        commits: u64,
    },
}

/// An exchange that was handed to the driver and is not answered.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) at: usize,
    pub(crate) life: u32,
    pub(crate) number: u64,
    pub(crate) worker: WorkerName,
    pub(crate) pool: PoolName,
    pub(crate) slots: u32,
    pub(crate) want: u32,
    pub(crate) stepped: Time,
    /// How far the host's clock had jumped forward by then.
    pub(crate) lead: Span,
    /// The turn that it came in with.
    pub(crate) turn: u64,
    /// The turn in which a newer exchange, or the end of its long poll, took its want away.
    pub(crate) over: Option<u64>,
}

/// A turn on its way to the disk.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) turn: u64,
    pub(crate) changes: Vec<Change>,
    pub(crate) took: Span,
    pub(crate) fate: Fate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Durable,
    /// Nothing of it is durable, and the owner is told so.
    Refused,
    /// It is durable, and the owner is told that it may not be.
    AnswerLost,
}

impl Host {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            driver: None,
            epoch: 0,
            process: 0,
            turn: 0,
            closed: Time::default(),
            closed_clock: Time::default(),
            replies: BTreeMap::new(),
            asks: BTreeMap::new(),
            tick: None,
            throttled: Time::default(),
            ids: Prng::split(seed, "ids", 0),
            numbers: 0,
        }
    }

    /// The cell is gone, with everything that is only in its memory and everyone who waits for it. What other parts of
    /// the process are about to hand to it still reaches the next one.
    pub(crate) fn drop_cell(&mut self) {
        self.driver = None;
        self.replies.clear();
        self.asks.clear();
        self.tick = None;
        self.throttled = Time::default();
    }

    /// Everything that is only in memory is gone.
    pub(crate) fn die(&mut self) {
        self.drop_cell();
        self.process += 1;
    }

    pub(crate) fn live(&mut self, epoch: u64, driver: Driver) {
        self.driver = Some(driver);
        self.epoch = epoch;
        self.turn = 1;
    }

    /// A run id as the server makes it: the time in front, the rest drawn.
    pub(crate) fn run_id(&mut self, now: Time) -> RunId {
        let drawn = (u128::from(self.ids.next()) << 12) | u128::from(self.ids.next() & 0xfff);
        RunId((u128::from(now.as_millis()) << 80) | (0x7 << 76) | (drawn & ((1 << 76) - 1)))
    }

    /// Names somebody who will wait for a reply.
    pub(crate) const fn reply_id(&mut self) -> ReplyId {
        self.numbers += 1;
        ReplyId(self.numbers)
    }

    pub(crate) fn expect_reply(&mut self, from: Sender, about: About) -> ReplyId {
        let id = self.reply_id();
        self.replies.insert(id, Pending { from, about });
        id
    }

    /// Registers an exchange that is handed to the driver now.
    pub(crate) fn open_ask(&mut self, ask: Ask) -> AskId {
        self.numbers += 1;
        let id = AskId(self.numbers);
        for older in self.asks.values_mut() {
            if older.worker == ask.worker && older.pool == ask.pool {
                older.over = older.over.or(Some(self.turn));
            }
        }
        self.asks.insert(id, ask);
        id
    }

    pub(crate) fn end_poll(&mut self, ask: AskId) {
        if let Some(ask) = self.asks.get_mut(&ask) {
            ask.over = ask.over.or(Some(self.turn));
        }
    }
}
