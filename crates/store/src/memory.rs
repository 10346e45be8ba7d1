//! A store without a disk, with the semantics of the others: for the simulator, and for tests of what stands above.
//!
//! A [`Disk`] is what survives: drop the [`MemoryStore`] and open another one on the same disk, and exactly what was
//! committed is there.

mod erasing;
mod reader;
mod rows;
mod table;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fairlane_core::cell::change::{Change, Snapshot};
use fairlane_core::time::Time;

pub use self::reader::MemoryReader;
use self::rows::Rows;
use crate::error::Error;
use crate::read::Read;
use crate::store::{Epoch, Forgotten, IDEMPOTENCY_RETENTION, SWEEP_MAX, Store};

type Held<'d> = MutexGuard<'d, Arc<Rows>>;

/// What was committed. Clones are handles of the same disk.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    rows: Arc<Mutex<Arc<Rows>>>,
}

impl Disk {
    /// A disk of its own that holds what this one holds now. Nothing is copied until one of them is written to.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self { rows: Arc::new(Mutex::new(Arc::clone(&self.hold()))) }
    }

    fn hold(&self) -> Held<'_> {
        // A poisoned lock means that some reader panicked: nothing between a commit's first write and its end does.
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The writer of a disk. Several may be open: the epoch decides which one can write.
#[derive(Debug)]
pub struct MemoryStore {
    disk: Disk,
}

impl MemoryStore {
    pub fn open(disk: &Disk) -> Self {
        Self { disk: disk.clone() }
    }

    /// Runs `write` if the epoch is the newest.
    fn owned<T>(&self, held: Epoch, write: impl FnOnce(&mut Rows) -> T) -> Result<T, Error> {
        let mut rows = self.disk.hold();
        let current = rows.epoch;
        if current == held {
            Ok(write(Arc::make_mut(&mut rows)))
        } else {
            Err(Error::StaleEpoch { held, current })
        }
    }
}

impl Store for MemoryStore {
    fn claim(&mut self) -> Result<Epoch, Error> {
        let mut rows = self.disk.hold();
        let rows = Arc::make_mut(&mut rows);
        rows.epoch.0 += 1;
        Ok(rows.epoch)
    }

    fn load(&mut self) -> Result<Snapshot, Error> {
        Ok(self.disk.hold().snapshot())
    }

    fn commit(&mut self, epoch: Epoch, changes: &[Change]) -> Result<(), Error> {
        self.owned(epoch, |rows| rows.commit(changes))?
    }

    fn sweep(&mut self, epoch: Epoch, now: Time) -> Result<u32, Error> {
        self.owned(epoch, |rows| rows.sweep(now - IDEMPOTENCY_RETENTION, SWEEP_MAX))
    }

    fn forget(&mut self, epoch: Epoch, _: Time) -> Result<Forgotten, Error> {
        self.owned(epoch, Rows::forget)
    }

    fn reader(&self) -> Result<Box<dyn Read>, Error> {
        Ok(Box::new(MemoryReader { disk: self.disk.clone() }))
    }

    fn close(self: Box<Self>) -> Result<(), Error> {
        Ok(())
    }
}
