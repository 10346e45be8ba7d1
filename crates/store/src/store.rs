//! What the owner of a cell does with its store.

use std::fmt;

use fairlane_core::cell::change::{Change, Snapshot};
use fairlane_core::id::{ErasureId, TenantId};
use fairlane_core::row::RunKey;
use fairlane_core::time::{Span, Time};

use crate::error::Error;
use crate::read::Read;

/// How long an idempotency key is remembered after its submission.
pub const IDEMPOTENCY_RETENTION: Span = Span::from_secs(24 * 60 * 60);
/// Most rows that one [`Store::sweep`] deletes: about a millisecond of the committing thread.
pub const SWEEP_MAX: u32 = 1_000;

/// Most runs that one [`Store::forget`] deletes: some milliseconds of the committing thread.
pub const FORGOTTEN_MAX: usize = 50;

/// What one [`Store::forget`] has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Runs that are gone, wholly or but for their own row.
    pub runs: Vec<RunKey>,
    /// What was kept for long enough and is gone: of whom, what, and of how many runs, or of how many records.
    pub expired: Vec<(TenantId, &'static str, u64)>,
    /// Erasures of which nothing is left, with how many runs each of them was. Named until they are committed as done.
    pub finished: Vec<(TenantId, ErasureId, u64)>,
    /// Rows that were deleted or changed: a step ends when these are many.
    pub rows: usize,
    /// There is more to do at once.
    pub has_more: bool,
    /// There will be more, once runs have ended or readers are through.
    pub is_waiting: bool,
}

/// [`Store::load`] leaves out accounts of periods that began longer than this before the newest period of their owner:
/// none of them is under way, and no hold is as old.
pub(crate) const ACCOUNTS_LOADED: Span = Span::from_secs(62 * 24 * 60 * 60);

/// Ownership of a cell, numbered: each claim is one higher than the last. A write under any but the newest changes
/// nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The one writer of a cell's rows, owned by the committing thread.
///
/// Opening is each implementation's own function. `Box<dyn Store>` works, so that the kind of store is a matter of
/// configuration.
pub trait Store: Send + fmt::Debug {
    /// Takes the cell: raises its epoch, so that every earlier owner's writes are refused from now on.
    fn claim(&mut self) -> Result<Epoch, Error>;

    /// Reads all that the cell keeps in memory, as of the last commit.
    fn load(&mut self) -> Result<Snapshot, Error>;

    /// Writes the changes in order, all or none, durably, if the epoch is the newest. No changes, no write: then
    /// only the epoch is checked.
    ///
    /// `input: None` and `output: None` leave a stored payload alone. What belongs to a run comes after the run.
    fn commit(&mut self, epoch: Epoch, changes: &[Change]) -> Result<(), Error>;

    /// Forgets idempotency keys older than [`IDEMPOTENCY_RETENTION`], oldest first and at most [`SWEEP_MAX`], and returns how
    /// many; and goes on with what a renewed key of a tenant has left to do. There may be more if it returns `SWEEP_MAX`.
    fn sweep(&mut self, epoch: Epoch, now: Time) -> Result<u32, Error>;

    /// Deletes some of what is to be erased, and of what was kept for long enough.
    fn forget(&mut self, epoch: Epoch, now: Time) -> Result<Forgotten, Error>;

    /// A reader beside the writer, for another thread. It sees what is committed.
    fn reader(&self) -> Result<Box<dyn Read>, Error>;

    /// Closes it properly. Dropping it is as safe for what was committed, but reports nothing.
    fn close(self: Box<Self>) -> Result<(), Error>;
}

impl<S: Store + ?Sized> Store for Box<S> {
    fn claim(&mut self) -> Result<Epoch, Error> {
        (**self).claim()
    }

    fn load(&mut self) -> Result<Snapshot, Error> {
        (**self).load()
    }

    fn commit(&mut self, epoch: Epoch, changes: &[Change]) -> Result<(), Error> {
        (**self).commit(epoch, changes)
    }

    fn sweep(&mut self, epoch: Epoch, now: Time) -> Result<u32, Error> {
        (**self).sweep(epoch, now)
    }

    fn forget(&mut self, epoch: Epoch, now: Time) -> Result<Forgotten, Error> {
        (**self).forget(epoch, now)
    }

    fn reader(&self) -> Result<Box<dyn Read>, Error> {
        (**self).reader()
    }

    fn close(self: Box<Self>) -> Result<(), Error> {
        (*self).close()
    }
}
