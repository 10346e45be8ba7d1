//! The store of one server: one SQLite file per region, one writer, any number of readers beside it.
//!
//! The file is in WAL mode with `synchronous=FULL`: a commit that returned is on the disk. One turn is one transaction,
//! which checks the epoch itself. Table families have one module each.
//!
//! Beside `<region>.db` stand SQLite's own `-wal` and `-shm`, `<region>.lock`, which keeps a second server off, and
//! `<region>.erased`, the list of what was erased.

mod accounts;
mod audit;
pub mod backup;
mod calls;
mod cells;
mod checkpoint;
mod cleartext;
mod codec;
mod erasures;
mod idempotency;
mod keyring;
mod lock;
mod notices;
mod open;
mod payloads;
mod reader;
mod replans;
mod resources;
mod retention;
mod reviews;
mod runs;
mod schedules;
mod schema;
mod signals;
mod steps;
#[cfg(test)]
mod tests;
mod uses;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fairlane_audit::Signer;
use fairlane_core::cell::change::{Change, Snapshot};
use fairlane_core::time::{Span, Time};
use rusqlite::{Connection, ErrorCode, TransactionBehavior};

use self::audit::Logs;
use self::checkpoint::{Checkpointer, PACE};
use self::codec::Fault;
use self::erasures::{List, Turn, Which};
use self::keyring::{Db, Keyring};
use self::lock::Lock;
pub use self::reader::SqliteReader;
use self::retention::Pass;
use crate::error::Error;
use crate::read::Read;
use crate::seal::Roots;
use crate::store::{Epoch, Forgotten, IDEMPOTENCY_RETENTION, SWEEP_MAX, Store};

/// Keys of runs that one sweep wraps anew: about a millisecond of the committing thread.
const SWEEP_KEYS_MAX: u32 = 100;
/// Emptying the log brings all of it to its place, which takes some tens of milliseconds of the committing thread.
const EMPTIED_EVERY: Span = Span::from_secs(10);

/// A region's file, open for writing. No other process can open it so meanwhile.
#[derive(Debug)]
pub struct SqliteStore {
    // In this order they end: the log is followed no more, the file is closed, the lock is given back.
    checkpointer: Checkpointer,
    connection: Connection,
    keys: Arc<Keyring>,
    logs: Logs,
    list: List,
    erasing: Turn,
    pass: Pass,
    /// When the log was last emptied, so that nothing that was erased is in it.
    emptied: Option<Time>,
    path: PathBuf,
    _lock: Lock,
}

impl SqliteStore {
    /// Opens `<folder>/<region>.db`, which is created if it is not there, and brought to the newest schema. `roots` wrap the
    /// keys that it seals with; what is sealed already opens with the same ones only.
    pub fn open(folder: &Path, region: &str, roots: Arc<Roots>) -> Result<Self, Error> {
        let is_name = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
        if region.is_empty() || region.len() > 64 || !region.bytes().all(is_name) {
            return Err(Error::RegionName { name: region.to_owned() });
        }
        std::fs::create_dir_all(folder).map_err(|source| Error::Io {
            action: "create the folder",
            path: folder.to_owned(),
            source,
        })?;
        let lock = Lock::take(folder.join(format!("{region}.lock")))?;
        let path = folder.join(format!("{region}.db"));
        let keys = Arc::new(Keyring::new(roots));
        let mut connection = open::writer(&path, region, &keys)?;
        let list = List::beside(&path);
        catch_up(&mut connection, &keys, &list)
            .map_err(|fault| report("erase again what was erased", &path, fault))?;
        let checkpointer = Checkpointer::start(&mut connection, &path, PACE)?;
        Ok(Self {
            checkpointer,
            connection,
            keys,
            logs: Logs::new(region),
            list,
            erasing: Turn::default(),
            pass: Pass::default(),
            emptied: None,
            path,
            _lock: lock,
        })
    }

    /// Closes its audit logs with checkpoints of this key from now on.
    #[must_use]
    pub fn sign_with(mut self, signer: Arc<Signer>) -> Self {
        self.logs.sign_with(signer);
        self
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    fn named<T>(&self, action: &'static str, result: Result<T, Fault>) -> Result<T, Error> {
        result.map_err(|fault| report(action, &self.path, fault))
    }

    /// Overwrites the log, unless that was done just now; gives whether it was. A reader that is in the middle of something keeps
    /// it from being done.
    fn empty_log(&mut self, now: Time) -> Result<bool, Error> {
        if self.emptied.is_some_and(|at| now.since(at) < EMPTIED_EVERY) {
            return Ok(false);
        }
        let emptied = self.checkpointer.empty_log(&self.connection);
        let emptied = self.named("empty the log", emptied)?;
        if emptied {
            self.emptied = Some(now);
        }
        Ok(emptied)
    }

    /// Runs `write` in one transaction under the epoch.
    fn owned<T>(
        &mut self,
        action: &'static str,
        held: Epoch,
        write: impl FnOnce(Db<'_>, &mut Logs) -> Result<T, Fault>,
    ) -> Result<T, Error> {
        let written = self.transact(action, held, write);
        if written.is_err() {
            self.keys.forget();
            self.logs.forget();
        }
        written
    }

    fn transact<T>(
        &mut self,
        action: &'static str,
        held: Epoch,
        write: impl FnOnce(Db<'_>, &mut Logs) -> Result<T, Fault>,
    ) -> Result<T, Error> {
        let path = &self.path;
        let fail = |fault: Fault| report(action, path, fault);
        // Dropped without a commit, it is rolled back.
        let tx = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(|error| fail(error.into()))?;
        let current = cells::epoch(&tx).map_err(fail)?;
        if current != held {
            return Err(Error::StaleEpoch { held, current });
        }
        let written =
            write(Db { connection: &tx, keys: &self.keys }, &mut self.logs).map_err(fail)?;
        tx.commit().map_err(|error| fail(error.into()))?;
        // The turn is durable: what the log needs can wait, and is no reason to fail.
        let _ = self.checkpointer.renew_log(&self.connection);
        Ok(written)
    }
}

impl Store for SqliteStore {
    fn claim(&mut self) -> Result<Epoch, Error> {
        // A single statement is a transaction of its own.
        self.named("claim the cell", cells::claim(&self.connection))
    }

    fn load(&mut self) -> Result<Snapshot, Error> {
        let read = || -> Result<Snapshot, Fault> {
            let tx = self.connection.unchecked_transaction()?;
            snapshot(Db { connection: &tx, keys: &self.keys })
        };
        self.named("load the cell", read())
    }

    fn commit(&mut self, epoch: Epoch, changes: &[Change]) -> Result<(), Error> {
        self.owned("commit a turn", epoch, |db, logs| {
            changes.iter().try_for_each(|change| apply(db, change))?;
            let decisions = changes.iter().filter_map(|change| match change {
                Change::Decision(decision) => Some(decision),
                _ => None,
            });
            logs.append(&db, decisions)?;
            changes.iter().try_for_each(|change| match change {
                Change::CloseLog { tenant, at } => logs.close(&db, tenant.as_ref(), *at),
                _ => Ok(()),
            })
        })
    }

    fn sweep(&mut self, epoch: Epoch, now: Time) -> Result<u32, Error> {
        let limit = now - IDEMPOTENCY_RETENTION;
        self.owned("sweep", epoch, |db, logs| {
            let swept = idempotency::sweep(&db, limit, SWEEP_MAX)?;
            let has_more = db.sweep_keys(SWEEP_KEYS_MAX)? == SWEEP_KEYS_MAX;
            let has_more = logs.sweep(&db, now)? || has_more;
            Ok(if has_more { SWEEP_MAX } else { swept })
        })
    }

    fn forget(&mut self, epoch: Epoch, now: Time) -> Result<Forgotten, Error> {
        let list = self.list.clone();
        // Begun anew if the transaction fails.
        let (mut turn, mut pass) = (self.erasing.take(), std::mem::take(&mut self.pass));
        let mut forgotten = self.owned("forget", epoch, |db, _| {
            let mut forgotten = Forgotten::default();
            erasures::erase(db, (&list, Which::Ended), &mut turn, &mut forgotten)?;
            retention::expire(db, now, &mut pass, &mut forgotten)?;
            Ok(forgotten)
        })?;
        (self.erasing, self.pass) = (turn, pass);
        if !forgotten.finished.is_empty() && !self.empty_log(now)? {
            // What was deleted is in the log still.
            forgotten.finished.clear();
            forgotten.is_waiting = true;
        }
        Ok(forgotten)
    }

    fn reader(&self) -> Result<Box<dyn Read>, Error> {
        let connection = open::reader(&self.path)?;
        let (keys, log) = (self.keys.clone(), self.logs.platform().to_owned());
        Ok(Box::new(SqliteReader { connection, keys, log, path: self.path.clone() }))
    }

    fn close(self: Box<Self>) -> Result<(), Error> {
        let Self { checkpointer, connection, path, _lock: lock, .. } = *self;
        drop(checkpointer);
        let closed = connection.close();
        drop(lock);
        closed.map_err(|(_, error)| report("close the database", &path, error.into()))
    }
}

/// An older copy of the file has in it what was erased since.
fn catch_up(connection: &mut Connection, keys: &Keyring, list: &List) -> Result<(), Fault> {
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    erasures::catch_up(Db { connection: &tx, keys }, list)?;
    Ok(tx.commit()?)
}

fn snapshot(db: Db<'_>) -> Result<Snapshot, Fault> {
    let connection = db.connection;
    let runs = runs::live(db)?;
    let mut pinned = BTreeSet::new();
    let mut last = None;
    for run in &runs {
        let pin = (&run.key.tenant, run.context);
        if last != Some(pin) {
            pinned.insert((pin.0.clone(), pin.1));
            last = Some(pin);
        }
    }
    Ok(Snapshot {
        orgs: resources::orgs(connection)?,
        tiers: resources::tiers(connection)?,
        tenants: resources::tenants(connection)?,
        contexts: resources::contexts(connection, &pinned)?,
        pools: resources::pools(connection)?,
        valve: resources::valve(connection)?,
        workflows: resources::workflows(connection)?,
        tools: resources::tools(connection)?,
        classes: resources::classes(connection)?,
        models: resources::models(connection)?,
        prices: resources::prices(connection)?,
        policies: resources::policies(connection)?,
        residency: resources::residency(connection)?,
        region: None,
        share: fairlane_core::quota::Share::default(),
        means: fairlane_core::notice::Means::default(),
        sampling: None,
        uses: uses::all(connection)?,
        accounts: accounts::recent(connection)?,
        calls: calls::open(connection)?,
        reviewer_pools: resources::reviewer_pools(connection)?,
        keys: resources::keys(connection)?,
        schedules: schedules::all(connection)?,
        runs,
        steps: steps::live(db)?,
        signals: signals::live(connection)?,
        reviews: reviews::open(db)?,
        replans: replans::live(db)?,
        channels: notices::channels(db)?,
        notices: notices::all(connection)?,
        erasures: erasures::open(connection)?,
    })
}

fn apply(db: Db<'_>, change: &Change) -> Result<(), Fault> {
    let tx = db.connection;
    match change {
        Change::Org(org) => resources::put_org(tx, org),
        Change::Tier(tier) => resources::put_tier(tx, tier),
        Change::Tenant(tenant, context) => resources::put_tenant(tx, tenant, context),
        Change::Pool(pool) => resources::put_pool(tx, pool),
        Change::Valve(valve) => resources::put_valve(tx, valve),
        Change::Workflow(workflow) => resources::put_workflow(tx, workflow),
        Change::Tool(tool) => resources::put_tool(tx, tool),
        Change::Class(class) => resources::put_class(tx, class),
        Change::Model(model) => resources::put_model(tx, model),
        Change::Price(price) => resources::put_price(tx, price),
        Change::Policy(policy) => resources::put_policy(tx, policy),
        Change::DropPolicy(policy) => resources::delete_policy(tx, policy),
        Change::Residency(declaration) => resources::put_residency(tx, declaration),
        Change::Use(row) => uses::put(tx, row),
        Change::Account(row) => accounts::put(tx, row),
        Change::Call(row) => calls::put(tx, row),
        Change::ReviewerPool(pool) => resources::put_reviewer_pool(tx, pool),
        Change::Key(key) => resources::put_key(tx, key),
        Change::DropKey(key) => resources::delete_key(tx, key),
        Change::RenewSeal(Some(tenant)) => db.renew_tenant(tenant),
        Change::RenewSeal(None) => db.renew_root(),
        Change::Run(row) => runs::put(db, row),
        Change::Step(row) => steps::put(db, row),
        Change::DropStep(key, step) => steps::drop_step(tx, key, *step),
        Change::Replan(row) => replans::put(db, row),
        Change::Idempotency(row) => idempotency::put(tx, row),
        Change::Signal(row) => signals::put(db, row),
        Change::TakeSignal { key, sequence, instance } => {
            signals::take(db, key, *sequence, *instance)
        }
        Change::Schedule(row) => schedules::put(tx, row),
        Change::DropSchedule(tenant, workflow, name) => {
            schedules::delete(tx, tenant, workflow, name)
        }
        Change::Review(row) => reviews::put(db, row),
        Change::ReviewEvent(row) => reviews::put_event(db, row),
        Change::SupersedeReview(tenant, review) => reviews::supersede(tx, tenant, *review),
        Change::Channel(row) => notices::put_channel(db, row),
        Change::DropChannel(tenant, channel) => notices::delete_channel(tx, tenant, channel),
        Change::Notice(row) => notices::put(tx, row),
        Change::DropNotice(tenant, notice) => notices::delete(tx, tenant, *notice),
        // All of a turn are written at once, after the rest.
        Change::Decision(_) | Change::CloseLog { .. } => Ok(()),
        Change::Erasure(row) => erasures::put(tx, row),
    }
}

/// What went wrong inside, with where and at what.
fn report(action: &'static str, path: &Path, fault: Fault) -> Error {
    let path = path.to_owned();
    match fault {
        Fault::Missing(what) => Error::Missing { what },
        Fault::Sealed(what) => Error::Sealed { path, what },
        Fault::UnknownRoot(id) => Error::UnknownRoot { path, id },
        Fault::Root(source) => Error::Root { path, source },
        Fault::Column(detail) => Error::Corrupt { path, detail },
        Fault::List(path, source) => {
            Error::Io { action: "keep the list of erasures", path, source }
        }
        Fault::Sqlite(error) => match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Error::Full { path },
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
                Error::Corrupt { path, detail: error.to_string() }
            }
            Some(_) => Error::Database { action, path, source: Box::new(error) },
            None => Error::Corrupt { path, detail: error.to_string() },
        },
    }
}
