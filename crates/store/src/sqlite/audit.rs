//! Tables `audit`, `audit_open` and `audit_checkpoints`: the logs of tenants, and the platform's own.
//!
//! What a turn says is a row of [`audit_open`](journal) first, and in a row of the log's own in `audit` later. The records of a row
//! are chained in their order; the row has the hash of the last one. The log of the platform has the empty text as tenant, which is
//! no tenant's id, so that no scope reaches it. Where a record stands says nothing of whether a checkpoint closes it.
//!
//! INVARIANT: what is remembered of logs was stored, or is stored by the transaction that is under way. When one is rolled back,
//! all of it is forgotten.

mod journal;
mod line;
mod read;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use fairlane_audit::tree::Frontier;
use fairlane_audit::{Checkpoint, Head, Signed, Signer};
use fairlane_core::id::TenantId;
use fairlane_core::row::Decision;
use fairlane_core::time::{Span, Time};
use rusqlite::{Connection, OptionalExtension as _, params};

use self::journal::{ROW_BYTES, Rows, Said, Section, Waiting};
use self::line::write;
use self::read::{Closes, checkpoint, hashed};
pub(super) use self::read::{after, made_after, page, proof};
use super::codec::{Columns, Fault, signed, to_json};

const PLATFORM: &str = "";
/// A log is closed once its oldest open record is as old as this.
const CLOSE_AFTER: Span = Span::from_secs(60);
/// A range has no more records than this, or about: a proof reads all of one.
const RANGE_MAX: u64 = 10_000;
/// Logs that one sweep closes: a signature and a row each, about five milliseconds of the committing thread together.
const CLOSED_MAX: usize = 100;
/// No record has a sequence beyond this: what SQLite can compare, and one can be added to it.
const AFTER_MAX: u64 = i64::MAX.cast_unsigned() - 1;
/// Of what an older version left, so many come into one row.
const ADOPTED_MAX: usize = 500;

/// The logs of one store, as its writer knows them.
#[derive(Debug)]
pub(super) struct Logs {
    /// What the platform's own log is called.
    platform: String,
    signer: Option<Arc<Signer>>,
    /// Those with records that no checkpoint closes, or that are not in their own row yet.
    open: BTreeMap<String, Log>,
    /// What is in `audit_open`. `None`: it was not looked at yet.
    waiting: Option<Waiting>,
    looked: Looked,
}

/// How far the store was looked through for logs that were open when it was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Looked {
    /// Up to this log.
    UpTo(String),
    #[default]
    Nowhere,
    Through,
}

#[derive(Debug)]
struct Log {
    head: Head,
    closed: Option<Checkpoint>,
    /// When its oldest open record was made.
    since: Time,
    /// The last record that is in a row of its own.
    apart: u64,
}

impl Log {
    /// Nothing more is to be done for it: it is read again when it goes on.
    fn is_done(&self) -> bool {
        self.head.open.is_empty() && self.apart >= self.head.sequence
    }

    /// Goes on with records as they are stored. One that was changed does not keep a whole region from working: the log goes on
    /// from what is there.
    fn follow(&mut self, section: Section<'_>) {
        for (record, hash) in hashed(section, self.head.hash) {
            if self.head.open.is_empty() {
                self.since = Time(record.at);
            }
            self.head.sequence = record.sequence;
            self.head.hash = hash;
            self.head.open.push(hash);
        }
    }
}

impl Logs {
    pub(super) fn new(region: &str) -> Self {
        Self {
            platform: format!("platform@{region}"),
            signer: None,
            open: BTreeMap::new(),
            waiting: None,
            looked: Looked::default(),
        }
    }

    pub(super) fn platform(&self) -> &str {
        &self.platform
    }

    pub(super) fn sign_with(&mut self, signer: Arc<Signer>) {
        self.signer = Some(signer);
    }

    /// A transaction was rolled back.
    pub(super) fn forget(&mut self) {
        self.open.clear();
        self.waiting = None;
        self.looked = Looked::Nowhere;
    }

    /// What a log is called in what is signed: a tenant's like the tenant.
    fn name<'a>(&'a self, tenant: &'a str) -> &'a str {
        if tenant == PLATFORM { &self.platform } else { tenant }
    }

    fn log(&mut self, connection: &Connection, tenant: &str) -> Result<&mut Log, Fault> {
        if !self.open.contains_key(tenant) {
            let log = load(connection, tenant, self.name(tenant))?;
            self.open.insert(tenant.to_owned(), log);
        }
        Ok(self.open.get_mut(tenant).expect("it was just put there"))
    }

    /// Looks once at what is not in rows of logs yet. Takes time in that.
    fn waiting(&mut self, connection: &Connection) -> Result<&mut Waiting, Fault> {
        if self.waiting.is_none() {
            let waiting = journal::each(connection, |section| {
                let log = self.log(connection, section.log)?;
                log.apart = log.apart.min(section.first.saturating_sub(1));
                // A checkpoint may close what is here.
                if section.last > log.head.sequence {
                    log.follow(section);
                }
                Ok(ControlFlow::Continue(()))
            })?;
            self.waiting = Some(waiting);
        }
        Ok(self.waiting.as_mut().expect("it was just put there"))
    }

    /// Appends what a turn has to say.
    pub(super) fn append<'d>(
        &mut self,
        connection: &Connection,
        decisions: impl Iterator<Item = &'d Decision>,
    ) -> Result<(), Fault> {
        let mut decisions = decisions.peekable();
        let Some(at) = decisions.peek().map(|decision| decision.at) else { return Ok(()) };
        self.waiting(connection)?;
        let said = self.chain(connection, decisions)?;
        let waiting = self.waiting(connection)?;
        waiting.append(connection, &said, at)?;
        if waiting.is_enough() {
            self.take_apart(connection)?;
        }
        Ok(())
    }

    /// Numbers and chains records, each at the end of its log.
    fn chain<'d>(
        &mut self,
        connection: &Connection,
        decisions: impl Iterator<Item = &'d Decision>,
    ) -> Result<Said, Fault> {
        let mut of: BTreeMap<&str, Vec<&Decision>> = BTreeMap::new();
        for decision in decisions {
            let tenant = decision.tenant.as_ref().map_or(PLATFORM, TenantId::as_str);
            of.entry(tenant).or_default().push(decision);
        }
        let mut said = Said::default();
        let mut records = String::new();
        for (tenant, decisions) in of {
            let log = self.log(connection, tenant)?;
            if log.head.open.is_empty() {
                log.since = decisions[0].at;
            }
            let mut decisions = decisions.into_iter().peekable();
            while decisions.peek().is_some() {
                let first = log.head.sequence + 1;
                records.clear();
                while records.len() < ROW_BYTES
                    && let Some(decision) = decisions.next()
                {
                    let by = line::by(decision.by.as_ref());
                    let record = (decision.at.0, &*decision.code, &*by, &*decision.facts);
                    log.head.append(record);
                    write(&mut records, record);
                }
                let Head { sequence: last, hash: head, .. } = log.head;
                said.add(Section { log: tenant, first, last, head, records: &records });
            }
        }
        Ok(said)
    }

    /// Brings the oldest of what was said into rows of its logs.
    fn take_apart(&mut self, connection: &Connection) -> Result<(), Fault> {
        for (tenant, last) in self.waiting(connection)?.take_apart(connection)? {
            if let Some(log) = self.open.get_mut(&tenant) {
                log.apart = last;
                if log.is_done() {
                    self.open.remove(&tenant);
                }
            }
        }
        Ok(())
    }

    /// Closes a log with a checkpoint, if something of it is open.
    pub(super) fn close(
        &mut self,
        connection: &Connection,
        tenant: Option<&TenantId>,
        now: Time,
    ) -> Result<(), Fault> {
        let tenant = tenant.map_or(PLATFORM, TenantId::as_str);
        self.waiting(connection)?;
        self.log(connection, tenant)?;
        self.close_one(connection, tenant, now)
    }

    /// Does for logs whose time has come what is to be done, some of it; gives whether there may be more.
    pub(super) fn sweep(&mut self, connection: &Connection, now: Time) -> Result<bool, Fault> {
        let has_more = self.close_due(connection, now)?;
        let is_due = |waiting: &Waiting| {
            waiting.is_enough() || waiting.since().is_some_and(|at| now.since(at) >= CLOSE_AFTER)
        };
        if !is_due(self.waiting(connection)?) {
            return Ok(has_more);
        }
        self.take_apart(connection)?;
        Ok(is_due(self.waiting(connection)?) || has_more)
    }

    fn close_due(&mut self, connection: &Connection, now: Time) -> Result<bool, Fault> {
        if self.signer.is_none() {
            return Ok(false);
        }
        let has_more = self.look(connection)?;
        let is_due = |log: &Log| {
            let open = log.head.open.len();
            open >= RANGE_MAX || open > 0 && now.since(log.since) >= CLOSE_AFTER
        };
        let due = self.open.iter().filter(|(_, log)| is_due(log));
        let due: Vec<String> = due.map(|(tenant, _)| tenant.clone()).take(CLOSED_MAX).collect();
        for tenant in &due {
            self.close_one(connection, tenant, now)?;
        }
        Ok(has_more || due.len() == CLOSED_MAX)
    }

    fn close_one(&mut self, connection: &Connection, tenant: &str, now: Time) -> Result<(), Fault> {
        let (Some(signer), Some(log)) = (self.signer.clone(), self.open.get(tenant)) else {
            return Ok(());
        };
        let name = self.name(tenant);
        let closed = Checkpoint::close(name, &log.head, log.closed.as_ref(), now.0);
        let Some(closed) = closed else { return Ok(()) };
        let closed = closed.sign(&signer);
        put_checkpoint(connection, tenant, &closed)?;
        let log = self.open.get_mut(tenant).expect("it was there");
        log.closed = Some(closed.checkpoint);
        log.head.open = Frontier::default();
        // What is closed and does nothing more is not worth its memory.
        if log.is_done() {
            self.open.remove(tenant);
        }
        Ok(())
    }

    /// Finds some of the logs that were open when the store was.
    fn look(&mut self, connection: &Connection) -> Result<bool, Fault> {
        self.waiting(connection)?;
        for _ in 0..CLOSED_MAX {
            let next = match &self.looked {
                Looked::Through => return Ok(false),
                Looked::Nowhere => next_log(connection, None)?,
                Looked::UpTo(tenant) => next_log(connection, Some(tenant))?,
            };
            let Some(tenant) = next else {
                self.looked = Looked::Through;
                return Ok(false);
            };
            if self.log(connection, &tenant)?.is_done() {
                self.open.remove(&tenant);
            }
            self.looked = Looked::UpTo(tenant);
        }
        Ok(true)
    }
}

fn next_log(connection: &Connection, after: Option<&str>) -> Result<Option<String>, Fault> {
    let sql = match after {
        None => "SELECT tenant FROM audit ORDER BY tenant LIMIT 1",
        Some(_) => "SELECT tenant FROM audit WHERE tenant > ?1 ORDER BY tenant LIMIT 1",
    };
    let mut statement = connection.prepare_cached(sql)?;
    let first = |row: &rusqlite::Row<'_>| row.get(0);
    Ok(match after {
        None => statement.query_one([], first).optional()?,
        Some(after) => statement.query_one([after], first).optional()?,
    })
}

fn put_checkpoint(connection: &Connection, tenant: &str, closed: &Signed) -> Result<(), Fault> {
    connection
        .prepare_cached(
            "INSERT INTO audit_checkpoints (tenant, last, ordinal, body)
             VALUES (?1, ?2, (SELECT coalesce(max(ordinal), 0) + 1 FROM audit_checkpoints), ?3)",
        )?
        .execute(params![tenant, signed(closed.checkpoint.last), to_json(closed)])?;
    Ok(())
}

/// A log as its own rows have it. Takes time in what is open of it.
fn load(connection: &Connection, tenant: &str, name: &str) -> Result<Log, Fault> {
    let closed = checkpoint(connection, tenant, Closes::Newest)?.map(|closed| closed.checkpoint);
    let head = match &closed {
        Some(closed) => Head { sequence: closed.last, hash: closed.head, ..Head::new(name) },
        None => Head::new(name),
    };
    let mut log = Log { head, closed, since: Time(0), apart: 0 };
    let own = (log.head.sequence, AFTER_MAX);
    let _whole = read::each_apart(connection, tenant, own, |section| {
        log.follow(section);
        Ok(ControlFlow::Continue(()))
    })?;
    log.apart = log.head.sequence;
    Ok(log)
}

/// How many migrations a file has seen that has the tables of the audit log, and still the one before.
pub(super) const VERSION: i64 = 61;

/// Takes over what an older version logged without a chain. Takes time in all of it.
pub(super) fn adopt(connection: &Connection, region: &str) -> Result<(), Fault> {
    let mut logs = Logs::new(region);
    let mut taken = Rows::default();
    let mut adopted = Vec::new();
    let mut statement = connection
        .prepare("SELECT tenant, at, code, facts FROM decisions ORDER BY tenant, sequence")?;
    let mut rows = statement.query([])?;
    loop {
        let next = rows.next()?.map(Columns);
        if next.is_none() || adopted.len() == ADOPTED_MAX {
            let said = logs.chain(connection, adopted.iter())?;
            said.sections().try_for_each(|section| taken.add(connection, section))?;
            adopted.clear();
        }
        let Some(row) = next else { break };
        let tenant = row.text(0)?;
        adopted.push(Decision {
            tenant: (tenant != PLATFORM).then(|| row.name(0)).transpose()?,
            at: row.time(1)?,
            code: row.text(2)?.to_owned().into(),
            by: None,
            facts: row.text(3)?.into(),
        });
    }
    taken.finish(connection)?;
    Ok(())
}
