//! Any store, failing as a schedule of faults says: for the simulator and for tests of what stands above a store.
//!
//! Nothing here is random and nothing sleeps: the schedule is a value, and a delay is a number that the caller's virtual
//! clock may add.

use std::collections::BTreeMap;

use fairlane_core::cell::change::{Change, Snapshot};
use fairlane_core::time::{Span, Time};

use crate::error::Error;
use crate::read::Read;
use crate::store::{Epoch, Forgotten, Store};

/// What happens to one commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is refused, and nothing is written.
    Fail,
    /// It is refused because the disk is full, and nothing is written.
    Full,
    /// It is written, and the answer is an error: nobody knows.
    LoseAnswer,
    /// It is written, and takes this long.
    Delay(Span),
    /// From this commit on nothing is written, and every answer says that it was: a disk that lies. What is above
    /// cannot notice; a checker must.
    LoseTail,
}

/// Which commits fail: the first commit through the wrapper is number 1.
pub type Faults = BTreeMap<u64, Fault>;

/// A store with faults in its commits.
#[derive(Debug)]
pub struct FaultyStore<S> {
    store: S,
    faults: Faults,
    commits: u64,
    delay: Span,
    lying: bool,
}

impl<S: Store> FaultyStore<S> {
    pub const fn new(store: S, faults: Faults) -> Self {
        Self { store, faults, commits: 0, delay: Span::ZERO, lying: false }
    }

    /// Commits asked for so far, failed ones included.
    pub const fn commits(&self) -> u64 {
        self.commits
    }

    /// The time that commits should have taken since the last call.
    pub const fn take_delay(&mut self) -> Span {
        std::mem::replace(&mut self.delay, Span::ZERO)
    }

    pub fn into_inner(self) -> S {
        self.store
    }
}

impl<S: Store> Store for FaultyStore<S> {
    fn claim(&mut self) -> Result<Epoch, Error> {
        self.store.claim()
    }

    fn load(&mut self) -> Result<Snapshot, Error> {
        self.store.load()
    }

    fn commit(&mut self, epoch: Epoch, changes: &[Change]) -> Result<(), Error> {
        self.commits += 1;
        let call = self.commits;
        if self.lying {
            return Ok(());
        }
        match self.faults.get(&call) {
            None => self.store.commit(epoch, changes),
            Some(Fault::Fail) => Err(Error::Injected { call }),
            Some(Fault::Full) => Err(Error::Full { path: "the faulty store".into() }),
            Some(Fault::LoseAnswer) => {
                self.store.commit(epoch, changes)?;
                Err(Error::Injected { call })
            }
            Some(Fault::Delay(span)) => {
                self.delay = Span(self.delay.0.saturating_add(span.0));
                self.store.commit(epoch, changes)
            }
            Some(Fault::LoseTail) => {
                self.lying = true;
                Ok(())
            }
        }
    }

    fn sweep(&mut self, epoch: Epoch, now: Time) -> Result<u32, Error> {
        if self.lying { Ok(0) } else { self.store.sweep(epoch, now) }
    }

    fn forget(&mut self, epoch: Epoch, now: Time) -> Result<Forgotten, Error> {
        if self.lying { Ok(Forgotten::default()) } else { self.store.forget(epoch, now) }
    }

    fn reader(&self) -> Result<Box<dyn Read>, Error> {
        self.store.reader()
    }

    fn close(self: Box<Self>) -> Result<(), Error> {
        Box::new(self.store).close()
    }
}

#[cfg(test)]
mod tests {
    use fairlane_core::tenant::Org;

    use super::*;
    use crate::memory::{Disk, MemoryStore};

    fn store(faults: impl IntoIterator<Item = (u64, Fault)>) -> (FaultyStore<MemoryStore>, Epoch) {
        let store = MemoryStore::open(&Disk::default());
        let mut store = FaultyStore::new(store, faults.into_iter().collect());
        let epoch = store.claim().unwrap();
        (store, epoch)
    }

    /// Commits an organisation of that name.
    fn commit(store: &mut impl Store, epoch: Epoch, name: &str) -> Result<(), Error> {
        let org = Org { id: name.parse().unwrap(), weight: 1, cap: None, budget: None };
        store.commit(epoch, &[Change::Org(org)])
    }

    fn stored(store: &mut impl Store) -> Vec<String> {
        store.load().unwrap().orgs.iter().map(|org| org.id.to_string()).collect()
    }

    #[test]
    fn a_failed_commit_writes_nothing_and_the_next_one_goes_on() {
        let (mut store, epoch) = store([(1, Fault::Fail)]);
        assert!(matches!(commit(&mut store, epoch, "a"), Err(Error::Injected { call: 1 })));
        commit(&mut store, epoch, "b").unwrap();
        assert_eq!(stored(&mut store), ["b"]);
    }

    #[test]
    fn a_full_disk_is_told_apart() {
        let (mut store, epoch) = store([(1, Fault::Full)]);
        assert!(commit(&mut store, epoch, "a").unwrap_err().is_full());
        assert!(stored(&mut store).is_empty());
    }

    #[test]
    fn a_lost_answer_leaves_the_commit_behind() {
        let (mut store, epoch) = store([(1, Fault::LoseAnswer)]);
        assert!(commit(&mut store, epoch, "a").is_err());
        assert_eq!(stored(&mut store), ["a"]);
    }

    #[test]
    fn a_delay_is_counted_and_not_slept() {
        let delay = Span::from_secs(3_600);
        let (mut store, epoch) = store([(1, Fault::Delay(delay))]);
        commit(&mut store, epoch, "a").unwrap();
        assert_eq!(store.take_delay(), delay);
        assert_eq!(store.take_delay(), Span::ZERO);
        assert_eq!(stored(&mut store), ["a"]);
    }

    #[test]
    fn a_lost_tail_is_acknowledged_and_gone() {
        let (mut store, epoch) = store([(2, Fault::LoseTail)]);
        for name in ["a", "b", "c"] {
            commit(&mut store, epoch, name).unwrap();
        }
        assert_eq!(store.commits(), 3);
        assert_eq!(stored(&mut store), ["a"]);
        assert_eq!(stored(&mut store.into_inner()), ["a"]);
    }
}
