//! Bringing what the log holds to its place in the file, beside the commits.
//!
//! SQLite's own way is to do it inside a commit once the log is long. That commit, and everybody behind it, then waits
//! until thousands of pages are written and synced: tens of milliseconds, more than once a second under load. Here a
//! thread with a connection of its own follows the log in steps, which does not hold up commits. When it has caught up
//! with a log that is long enough, the writer brings over the little that is left and begins the log anew; only
//! there can nothing be added meanwhile.
//!
//! Nothing depends on it but the log's length: what is in the log is durable. A failure (a full disk) is therefore
//! left alone; the log grows until it cannot, which the commit reports.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::codec::Fault;
use super::open::BUSY_TIMEOUT;
use super::report;
use crate::error::Error;

/// When to do how much, in pages of the log.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// The log grows by this before the thread follows.
    step: u32,
    /// A log of this length is begun anew when it can be.
    log: u32,
    /// Most that the writer itself brings over for that.
    rest: u32,
    /// At this length the writer brings over all of it: the thread does not keep up, and the log must not grow for
    /// ever.
    log_max: u32,
}

/// Steps of 2 MiB: small enough that the commits of that moment do not wait long behind them in the disk's queue, large
/// enough that pages that change all the time are not written each time. A log of 16 MiB, of which the writer brings over
/// 1 MiB, in about a millisecond.
pub(super) const PACE: Pace = Pace { step: 500, log: 4_000, rest: 250, log_max: 32_000 };

/// The thread, which ends when this is dropped.
#[derive(Debug)]
pub(super) struct Checkpointer {
    pace: Pace,
    progress: Arc<Progress>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Progress {
    /// Pages in the log.
    log: AtomicU32,
    /// How many of them are in their places too.
    moved: AtomicU32,
    is_closing: AtomicBool,
}

impl Checkpointer {
    /// Starts to follow the writer's log, in place of SQLite's own checkpoints.
    pub(super) fn start(writer: &mut Connection, path: &Path, pace: Pace) -> Result<Self, Error> {
        let fail = |error: rusqlite::Error| report("open the database's log", path, error.into());
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let own = Connection::open_with_flags(path, flags).map_err(fail)?;
        own.pragma_update_and_check(None, "wal_autocheckpoint", 0, |_| Ok(())).map_err(fail)?;
        own.pragma_update(None, "synchronous", "FULL").map_err(fail)?;
        let progress = Arc::new(Progress::default());
        let follow = {
            let progress = progress.clone();
            move || progress.follow(&own, pace.step)
        };
        let io = |source| Error::Io { action: "follow the log of", path: path.to_owned(), source };
        let builder = std::thread::Builder::new().name("fairlane-log".to_owned());
        let thread = builder.spawn(follow).map_err(io)?;
        let (noted, waker) = (progress.clone(), thread.thread().clone());
        let hook = move |_: &mut rusqlite::hooks::Wal, pages| {
            let pages = u32::try_from(pages).unwrap_or(u32::MAX);
            noted.log.store(pages, Ordering::Release);
            if noted.rest(pages) >= pace.step {
                waker.unpark();
            }
            Ok(())
        };
        writer.wal_hook(Some(hook)).map_err(fail)?;
        Ok(Self { pace, progress, thread: Some(thread) })
    }

    /// To be called by the writer between transactions: brings all of the log to its place and overwrites what is left of it.
    /// Gives whether it could.
    pub(super) fn empty_log(&self, writer: &Connection) -> Result<bool, Fault> {
        // Readers are not waited for: everybody waits for this thread.
        writer.busy_timeout(Duration::ZERO)?;
        let emptied = writer.prepare_cached("PRAGMA wal_checkpoint(TRUNCATE)");
        let is_busy = emptied.and_then(|mut emptied| emptied.query_one([], |row| row.get(0)));
        writer.busy_timeout(BUSY_TIMEOUT)?;
        self.progress.moved.store(0, Ordering::Release);
        self.progress.log.store(0, Ordering::Release);
        Ok(!is_busy?)
    }

    /// To be called by the writer between transactions: begins the log anew if it is long and nearly all of it is in
    /// its place.
    pub(super) fn renew_log(&self, writer: &Connection) -> Result<(), Fault> {
        let log = self.progress.log.load(Ordering::Acquire);
        let is_followed = self.progress.rest(log) <= self.pace.rest;
        if log >= self.pace.log_max || (log >= self.pace.log && is_followed) {
            self.progress.checkpoint(writer)?;
        }
        Ok(())
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.progress.is_closing.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It panicked only if SQLite's wrapper did; there is nothing to be said about the log.
            let _ = thread.join();
        }
    }
}

impl Progress {
    /// How many of the log's pages are not in their places.
    fn rest(&self, log: u32) -> u32 {
        // More than there are: they are those of the log before it was begun anew.
        log.checked_sub(self.moved.load(Ordering::Acquire)).unwrap_or(log)
    }

    fn follow(&self, connection: &Connection, step: u32) {
        loop {
            std::thread::park();
            if self.is_closing.load(Ordering::Acquire) {
                return;
            }
            if self.rest(self.log.load(Ordering::Acquire)) >= step {
                // See the module's head: it is tried again with the next step.
                let _ = self.checkpoint(connection);
            }
        }
    }

    /// Brings over what no reader needs in the log, without waiting for anybody.
    fn checkpoint(&self, connection: &Connection) -> Result<(), Fault> {
        let mut statement = connection.prepare_cached("PRAGMA wal_checkpoint(PASSIVE)")?;
        let (is_busy, log, moved) = statement.query_row([], |row| {
            Ok((row.get::<_, bool>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?))
        })?;
        if !is_busy {
            self.moved.store(u32::try_from(moved).unwrap_or(0), Ordering::Release);
            if log == moved {
                // The next commit begins at the front.
                self.log.store(0, Ordering::Release);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Commits a page at a time, and looks at the log's length in pages after each.
    fn commit(pace: Pace, commits: u32, mut after: impl FnMut(&Checkpointer, u64)) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pages.db");
        let mut writer = Connection::open(&path).unwrap();
        writer.pragma_update(None, "journal_mode", "WAL").unwrap();
        writer.pragma_update(None, "synchronous", "OFF").unwrap();
        writer.execute_batch("CREATE TABLE pages (id INTEGER PRIMARY KEY, body BLOB)").unwrap();
        let checkpointer = Checkpointer::start(&mut writer, &path, pace).unwrap();
        for id in 0..commits {
            let put = "INSERT INTO pages VALUES (?1, zeroblob(3000))";
            writer.prepare_cached(put).unwrap().execute([id]).unwrap();
            let log = std::fs::metadata(folder.path().join("pages.db-wal")).unwrap().len();
            after(&checkpointer, log / 4_120);
            checkpointer.renew_log(&writer).unwrap();
        }
        drop(checkpointer);
        let count = "SELECT count(*) FROM pages";
        assert_eq!(writer.query_row(count, [], |row| row.get::<_, u32>(0)).unwrap(), commits);
    }

    #[test]
    fn the_log_does_not_grow_past_its_bound_though_nobody_follows() {
        let pace = Pace { step: 10, log: 50, rest: 20, log_max: 200 };
        let mut longest = 0;
        commit(pace, 2_000, |checkpointer, log| {
            checkpointer.progress.is_closing.store(true, Ordering::Release);
            longest = longest.max(log);
        });
        assert!((200..230).contains(&longest), "{longest} pages");
    }

    #[test]
    fn a_log_that_was_followed_is_begun_anew() {
        let pace = Pace { step: 10, log: 50, rest: 20, log_max: u32::MAX };
        let mut longest = 0;
        commit(pace, 2_000, |checkpointer, log| {
            let progress = &checkpointer.progress;
            // The writer of this test waits for the thread, so that it is not the machine which says how far it is.
            let is_behind = || progress.rest(progress.log.load(Ordering::Acquire)) >= pace.step;
            let waits = (0..10_000_000).take_while(|_| is_behind());
            waits.for_each(|_| std::thread::yield_now());
            longest = longest.max(log);
        });
        assert!((10..80).contains(&longest), "{longest} pages");
    }
}
