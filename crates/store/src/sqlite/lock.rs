//! The lock that keeps a second server off a region's file.
//!
//! An advisory lock of the operating system on a file of its own, held as long as the value lives. It ends with the
//! process however that ends, so that nothing has to be cleaned up after a crash. The text in it only serves the
//! message of whoever finds it taken.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::error::Error;

#[derive(Debug)]
pub(super) struct Lock {
    /// Locked until it is closed.
    _file: File,
}

impl Lock {
    pub(super) fn take(path: PathBuf) -> Result<Self, Error> {
        let opened =
            OpenOptions::new().create(true).read(true).write(true).truncate(false).open(&path);
        let mut file = match opened {
            Ok(file) => file,
            Err(source) => return Err(Error::Io { action: "open the lock file", path, source }),
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::Locked { by: holder(&path), path }),
            Err(TryLockError::Error(source)) => {
                return Err(Error::Io { action: "lock", path, source });
            }
        }
        let written = file
            .set_len(0)
            .and_then(|()| write!(file, "process {} on {}", std::process::id(), host()));
        match written {
            Ok(()) => Ok(Self { _file: file }),
            Err(source) => Err(Error::Io { action: "write the lock file", path, source }),
        }
    }
}

fn holder(path: &Path) -> String {
    match std::fs::read_to_string(path) {
        Ok(text) if !text.is_empty() => text,
        _ => "another process".to_owned(),
    }
}

/// The machine's name where the system tells it in a file.
fn host() -> String {
    ["/proc/sys/kernel/hostname", "/etc/hostname"]
        .into_iter()
        .find_map(|path| std::fs::read_to_string(path).ok())
        .map_or_else(|| "this machine".to_owned(), |name| name.trim().to_owned())
}
