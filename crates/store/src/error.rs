//! Operating failures of a store: what was wrong, where, and what to do about it.

use std::path::PathBuf;

use crate::seal::{RootError, RootId};
use crate::store::Epoch;

/// Why a store could not do what it was asked. Whatever the error, a failed commit changed nothing that a later
/// `load` of the same owner shows, except after [`Error::Io`], [`Error::Database`] and [`Error::Injected`], where it
/// is unknown: the owner throws its memory away and loads again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "{} is in use by {by}: stop that server, or give this one another data directory",
        path.display()
    )]
    Locked { path: PathBuf, by: String },
    #[error(
        "{} has schema version {found}, and this program knows versions up to {supported}: \
         run the newer release that wrote it, or restore a backup from before the upgrade",
        path.display()
    )]
    NewerSchema { path: PathBuf, found: i64, supported: i64 },
    #[error(
        "{} is damaged or not a store: {detail}; nothing was changed in it: \
         move it away and restore a backup",
        path.display()
    )]
    Corrupt { path: PathBuf, detail: String },
    #[error(
        "epoch {held} is stale, the cell is owned under epoch {current} now: \
         drop what is in memory and claim the cell again"
    )]
    StaleEpoch { held: Epoch, current: Epoch },
    #[error("no space is left for {}: free some, nothing of this commit was written", path.display())]
    Full { path: PathBuf },
    #[error("{} is there already: a store is restored where there is none", path.display())]
    Exists { path: PathBuf },
    /// A change refers to a row that is not there. The whole commit was refused.
    #[error("a change needs {what}, which is not stored: this is a bug of whoever made the change")]
    Missing { what: String },
    #[error(
        "{name:?} cannot name a region: use 1 to 64 of a-z, 0-9, - and _, as it becomes a file name"
    )]
    RegionName { name: String },
    #[error("cannot {action} {}", path.display())]
    Io { action: &'static str, path: PathBuf, source: std::io::Error },
    #[error("cannot {action} in {}", path.display())]
    Database {
        action: &'static str,
        path: PathBuf,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error(
        "{what} in {} does not open with the key that it should: it was changed, or it is of another place",
        path.display()
    )]
    Sealed { path: PathBuf, what: String },
    #[error(
        "{} is sealed under the root key {id}, which this server does not have: \
         give it the file or the variable that the server had which wrote it",
        path.display()
    )]
    UnknownRoot { path: PathBuf, id: RootId },
    #[error("the keys of {} cannot be used", path.display())]
    Root { path: PathBuf, source: RootError },
    /// Made by [`crate::faulty`].
    #[error("commit {call} fails because the schedule of faults says so")]
    Injected { call: u64 },
}

impl Error {
    /// The store has no room: accept no new work, what is stored is safe.
    pub const fn is_full(&self) -> bool {
        matches!(self, Self::Full { .. })
    }

    /// Another owner has the cell.
    pub const fn is_stale(&self) -> bool {
        matches!(self, Self::StaleEpoch { .. })
    }
}
