//! What every store must do, whatever is behind it. A new kind of store is done when it passes.
//!
//! ```
//! use fairlane_store::conformance::{Place, run};
//! use fairlane_store::memory::{Disk, MemoryStore};
//! use fairlane_store::{Error, Store};
//!
//! struct Memory(Disk);
//!
//! impl Place for Memory {
//!     fn open(&self) -> Result<Box<dyn Store>, Error> {
//!         Ok(Box::new(MemoryStore::open(&self.0)))
//!     }
//! }
//!
//! run(|| Memory(Disk::default()));
//! ```

mod erasures;
mod notices;
mod pages;
mod payloads;
mod reads;
mod reviews;
pub mod samples;
mod scopes;
mod turns;

#[cfg(test)]
pub(crate) use self::erasures::forget;
use crate::error::Error;
use crate::store::{Epoch, Store};

/// Where a store keeps what it keeps: opening it again finds what was committed.
pub trait Place {
    fn open(&self) -> Result<Box<dyn Store>, Error>;
}

/// One behaviour, tried at an empty place.
type Check = fn(&dyn Place) -> Result<(), Error>;

/// Runs every check at a place of its own.
///
/// # Panics
///
/// If the store does not do what it must; the message says what, and the backtrace which check.
pub fn run<P: Place>(make: impl Fn() -> P) {
    let rows = turns::CHECKS.iter().chain(payloads::CHECKS).chain(reads::CHECKS);
    let rows = rows.chain(pages::CHECKS).chain(scopes::CHECKS);
    for (name, check) in rows.chain(reviews::CHECKS).chain(notices::CHECKS).chain(erasures::CHECKS)
    {
        if let Err(error) = check(&make()) {
            panic!("{name}: {error}: {error:?}");
        }
    }
}

/// Makes a list of checks with their names.
macro_rules! checks {
    ($($check:ident)*) => {
        pub(super) const CHECKS: &[(&str, super::Check)] = &[$((stringify!($check), $check)),*];
    };
}
use checks;

/// Opens the store and takes its cell.
fn claimed(place: &dyn Place) -> Result<(Box<dyn Store>, Epoch), Error> {
    let mut store = place.open()?;
    let epoch = store.claim()?;
    Ok((store, epoch))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tempfile::TempDir;

    use super::*;
    use crate::faulty::{Faults, FaultyStore};
    use crate::memory::{Disk, MemoryStore};
    use crate::seal::Roots;
    use crate::sqlite::SqliteStore;

    struct Memory(Disk);

    impl Place for Memory {
        fn open(&self) -> Result<Box<dyn Store>, Error> {
            Ok(Box::new(MemoryStore::open(&self.0)))
        }
    }

    struct Folder(TempDir, Arc<Roots>);

    impl Place for Folder {
        fn open(&self) -> Result<Box<dyn Store>, Error> {
            Ok(Box::new(SqliteStore::open(self.0.path(), "eu", self.1.clone())?))
        }
    }

    /// A faulty store without faults is as good as the one inside.
    struct Faultless(Disk);

    impl Place for Faultless {
        fn open(&self) -> Result<Box<dyn Store>, Error> {
            let store: Box<dyn Store> = Box::new(MemoryStore::open(&self.0));
            Ok(Box::new(FaultyStore::new(store, Faults::new())))
        }
    }

    #[test]
    fn memory_conforms() {
        run(|| Memory(Disk::default()));
    }

    #[test]
    fn sqlite_conforms() {
        run(|| Folder(TempDir::new().unwrap(), Roots::ephemeral()));
    }

    #[test]
    fn a_faulty_store_without_faults_conforms() {
        run(|| Faultless(Disk::default()));
    }
}
