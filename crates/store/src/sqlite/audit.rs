//! Tables `audit` and `audit_checkpoints`: the logs of tenants, and the platform's own.
//!
//! What one turn says of one tenant is one row, since a row of its own for each record would be most of what a turn writes. The
//! records of a row are chained in their order; the row has the hash of the last one. The log of the platform has the empty text
//! as tenant, which is no tenant's id, so that no scope reaches it.
//!
//! INVARIANT: what is remembered of logs was stored, or is stored by the transaction that is under way. When one is rolled back,
//! all of it is forgotten.

mod line;

use std::collections::BTreeMap;
use std::sync::Arc;

use fairlane_audit::tree::Path;
use fairlane_audit::{Checkpoint, Hash, Head, Proof, Record, Signed, Signer, genesis};
use fairlane_core::id::TenantId;
use fairlane_core::row::Decision;
use fairlane_core::tenant::TenantScope;
use fairlane_core::time::{Span, Time};
use rusqlite::{Connection, OptionalExtension as _, params};
use serde_json::value::RawValue;

use self::line::{Hashed, Lines, write};
use super::codec::{Columns, Fault, from_json, signed, to_json};
use crate::read::{AuditPage, AuditRecord, DecisionQuery, DecisionRow, Page, page_limit};

const PLATFORM: &str = "";
/// A log is closed once its oldest open record is as old as this.
const CLOSE_AFTER: Span = Span::from_secs(60);
/// A range has no more records than this, or about: a proof reads all of one.
const RANGE_MAX: u64 = 10_000;
/// Logs that one sweep closes: a signature and a row each, about five milliseconds of the committing thread together.
const CLOSED_MAX: usize = 100;
/// A row's text is cut at about this length, so that a page of records need not read much more than itself.
const ROW_BYTES: usize = 64 * 1024;
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
    /// Those with records that no checkpoint closes.
    open: BTreeMap<String, Log>,
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
}

impl Logs {
    pub(super) fn new(region: &str) -> Self {
        Self {
            platform: format!("platform@{region}"),
            signer: None,
            open: BTreeMap::new(),
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

    /// Appends what a turn has to say, one row for each log.
    pub(super) fn append<'d>(
        &mut self,
        connection: &Connection,
        decisions: impl Iterator<Item = &'d Decision>,
    ) -> Result<(), Fault> {
        let mut of: BTreeMap<&str, Vec<&Decision>> = BTreeMap::new();
        for decision in decisions {
            let tenant = decision.tenant.as_ref().map_or(PLATFORM, TenantId::as_str);
            of.entry(tenant).or_default().push(decision);
        }
        for (tenant, decisions) in of {
            let log = self.log(connection, tenant)?;
            if log.head.open.is_empty() {
                log.since = decisions[0].at;
            }
            let mut row = Row::after(&log.head);
            for decision in decisions {
                if row.records.len() > ROW_BYTES {
                    row.put(connection, tenant, &log.head)?;
                    row = Row::after(&log.head);
                }
                let by = line::by(decision.by.as_ref());
                let (at, facts) = (decision.at.0, &*decision.facts);
                log.head.append((at, &decision.code, &by, facts));
                write(&mut row.records, (at, &decision.code, &by, facts));
                row.at = decision.at;
            }
            row.put(connection, tenant, &log.head)?;
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
        self.log(connection, tenant)?;
        self.close_one(connection, tenant, now)
    }

    /// Closes logs whose time has come; gives whether there may be more.
    pub(super) fn close_due(&mut self, connection: &Connection, now: Time) -> Result<bool, Fault> {
        if self.signer.is_none() {
            return Ok(false);
        }
        let has_more = self.look(connection)?;
        let is_due =
            |log: &Log| now.since(log.since) >= CLOSE_AFTER || log.head.open.len() >= RANGE_MAX;
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
        // What is closed and does nothing more is not worth its memory.
        if let Some(checkpoint) = closed {
            put_checkpoint(connection, tenant, &checkpoint.sign(&signer))?;
        }
        self.open.remove(tenant);
        Ok(())
    }

    /// Finds some of the logs that were open when the store was.
    fn look(&mut self, connection: &Connection) -> Result<bool, Fault> {
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
            if self.log(connection, &tenant)?.head.open.is_empty() {
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

/// A row that is being filled.
struct Row {
    first: u64,
    at: Time,
    records: String,
}

impl Row {
    fn after(head: &Head) -> Self {
        Self { first: head.sequence + 1, at: Time(0), records: String::new() }
    }

    fn put(&self, connection: &Connection, tenant: &str, head: &Head) -> Result<(), Fault> {
        connection
            .prepare_cached(
                "INSERT INTO audit (tenant, last, first, at, head, records) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![
                tenant,
                signed(head.sequence),
                signed(self.first),
                signed(self.at.0),
                head.hash.0,
                self.records,
            ])?;
        Ok(())
    }
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

/// A log as it is stored. Takes time in what is open of it.
fn load(connection: &Connection, tenant: &str, name: &str) -> Result<Log, Fault> {
    let closed = checkpoint(connection, tenant, Closes::Newest)?.map(|closed| closed.checkpoint);
    let mut head = match &closed {
        Some(closed) => Head { sequence: closed.last, hash: closed.head, ..Head::new(name) },
        None => Head::new(name),
    };
    let mut since = Time(0);
    let mut statement = connection.prepare_cached(
        "SELECT first, records, head FROM audit WHERE tenant = ?1 AND last > ?2 ORDER BY last",
    )?;
    let mut rows = statement.query(params![tenant, signed(head.sequence)])?;
    while let Some(row) = rows.next()?.map(Columns) {
        // A row that was changed does not keep a whole region from working: the log goes on from what is stored.
        for (record, hash) in hashed(row, head.hash)? {
            if head.open.is_empty() {
                since = Time(record.at);
            }
            head.sequence = record.sequence;
            head.hash = hash;
            head.open.push(hash);
        }
    }
    Ok(Log { head, closed, since })
}

/// The records of a row of first sequence, records and head, which follow from that hash.
fn hashed<'r>(row: Columns<'r, '_>, before: Hash) -> Result<Hashed<'r>, Fault> {
    Ok(Hashed::new(Lines::new(row.unsigned(0)?, row.text(1)?), before, Hash(row.digest(2)?)))
}

fn broken(tenant: &str, sequence: u64) -> Fault {
    Fault::Column(format!("the audit log of `{tenant}` is broken at record {sequence}"))
}

/// Which checkpoint of a log.
#[derive(Clone, Copy, Debug)]
enum Closes {
    Newest,
    /// The one that closes the range with this record.
    With(u64),
    /// The one that ends with this record.
    At(u64),
}

fn checkpoint(
    connection: &Connection,
    tenant: &str,
    which: Closes,
) -> Result<Option<Signed>, Fault> {
    let (sql, at) = match which {
        Closes::Newest => ("last <= ?2 ORDER BY last DESC LIMIT 1", u64::MAX >> 1),
        Closes::With(at) => ("last >= ?2 ORDER BY last LIMIT 1", at),
        Closes::At(at) => ("last = ?2", at),
    };
    let mut statement = connection.prepare_cached(&format!(
        "SELECT body FROM audit_checkpoints WHERE tenant = ?1 AND {sql}"
    ))?;
    let mut rows = statement.query(params![tenant, signed(at)])?;
    rows.next()?.map(|row| from_json(Columns(row).text(0)?)).transpose()
}

fn key(scope: Option<&TenantScope>) -> &str {
    scope.map_or(PLATFORM, |scope| scope.tenant().as_str())
}

/// A page of a tenant's log, or of the platform's own, newest first.
pub(super) fn page(
    connection: &Connection,
    scope: Option<&TenantScope>,
    query: DecisionQuery,
) -> Result<Page<DecisionRow, u64>, Fault> {
    let limit = page_limit(query.limit);
    let before = query.before.map_or(i64::MAX, |before| i64::try_from(before).unwrap_or(i64::MAX));
    let mut statement = connection.prepare_cached(
        "SELECT first, records FROM audit WHERE tenant = ?1 AND last <= coalesce(
           (SELECT last FROM audit WHERE tenant = ?1 AND last >= ?2 - 1 ORDER BY last LIMIT 1), ?2)
         ORDER BY last DESC",
    )?;
    let mut rows = statement.query(params![key(scope), before])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()?.map(Columns) {
        let lines: Vec<_> = Lines::new(row.unsigned(0)?, row.text(1)?).collect();
        for (sequence, at, code, by, facts) in lines.into_iter().rev() {
            if signed(sequence) < before && found.len() <= limit {
                found.push(DecisionRow {
                    sequence,
                    decision: Decision {
                        tenant: scope.map(|scope| scope.tenant().clone()),
                        at: Time(at),
                        code: code.to_owned().into(),
                        by: line::actor(by)?,
                        facts: facts.into(),
                    },
                });
            }
        }
        if found.len() > limit {
            break;
        }
    }
    Ok(Page::cut(found, limit, |row| row.sequence))
}

/// Records after that one, oldest first, with their hashes, and the checkpoints that close ranges among them.
pub(super) fn after(
    connection: &Connection,
    (scope, platform): (Option<&TenantScope>, &str),
    after: u64,
    limit: u32,
) -> Result<AuditPage, Fault> {
    let tenant = key(scope);
    let name = scope.map_or(platform, |scope| scope.tenant().as_str());
    let limit = page_limit(limit);
    let after = after.min(AFTER_MAX);
    let mut records = Vec::new();
    let mut statement = connection.prepare_cached(
        "SELECT first, records, head FROM audit WHERE tenant = ?1 AND last > ?2 ORDER BY last",
    )?;
    let mut rows = statement.query(params![tenant, signed(after)])?;
    let mut before_row = None;
    let mut has_more = false;
    'rows: while let Some(row) = rows.next()?.map(Columns) {
        let mut before = match before_row {
            Some(hash) => hash,
            None => hash_before(connection, tenant, name, row.unsigned(0)?)?,
        };
        for (Record { sequence, at, code, by, facts }, hash) in hashed(row, before)? {
            before = hash;
            if sequence <= after {
                continue;
            }
            if records.len() == limit {
                has_more = true;
                break 'rows;
            }
            records.push(AuditRecord {
                sequence,
                at: Time(at),
                code: code.into(),
                by: by.into(),
                facts: facts.into(),
                hash,
            });
        }
        before_row = Some(before);
    }
    let first = records.first().map_or(after + 1, |record| record.sequence);
    let last = records.last().map_or(after, |record| record.sequence);
    let base = match first {
        // Nothing is before the first one.
        0 | 1 => None,
        first => checkpoint(connection, tenant, Closes::At(first - 1))?,
    };
    let checkpoints = checkpoints(connection, tenant, after, last)?;
    let newest = checkpoint(connection, tenant, Closes::Newest)?;
    Ok(AuditPage { log: name.to_owned(), base, records, checkpoints, newest, has_more })
}

fn checkpoints(
    connection: &Connection,
    tenant: &str,
    after: u64,
    last: u64,
) -> Result<Vec<Signed>, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT body FROM audit_checkpoints WHERE tenant = ?1 AND last > ?2 AND last <= ?3
         ORDER BY last",
    )?;
    let mut rows = statement.query(params![tenant, signed(after), signed(last)])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()?.map(Columns) {
        found.push(from_json(row.text(0)?)?);
    }
    Ok(found)
}

/// The hash that the record follows, as far as that is known.
fn hash_before(
    connection: &Connection,
    tenant: &str,
    name: &str,
    first: u64,
) -> Result<Hash, Fault> {
    if first <= 1 {
        return Ok(genesis(name));
    }
    let mut statement =
        connection.prepare_cached("SELECT head FROM audit WHERE tenant = ?1 AND last = ?2")?;
    let before = signed(first - 1);
    let stored = statement.query_one(params![tenant, before], |row| Ok(Columns(row).digest(0)));
    if let Some(stored) = stored.optional()? {
        return stored.map(Hash);
    }
    // The row before has gone with its range, or was taken away: who checks the log sees that it does not fit.
    let closed = checkpoint(connection, tenant, Closes::At(first - 1))?;
    Ok(closed.map_or_else(Hash::default, |closed| closed.checkpoint.head))
}

/// That a record is in its log. `None`: there is no such record, or no checkpoint closes it yet. Takes time in the range that is
/// closed with it.
pub(super) fn proof(
    connection: &Connection,
    scope: Option<&TenantScope>,
    sequence: u64,
) -> Result<Option<Proof>, Fault> {
    let tenant = key(scope);
    let Some(closed) = checkpoint(connection, tenant, Closes::With(sequence))? else {
        return Ok(None);
    };
    let (first, last) = (closed.checkpoint.first, closed.checkpoint.last);
    let mut statement = connection.prepare_cached(
        "SELECT first, records, head FROM audit WHERE tenant = ?1 AND last BETWEEN ?2 AND ?3
         ORDER BY last",
    )?;
    let mut rows = statement.query(params![tenant, signed(first), signed(last)])?;
    let mut before = hash_before(connection, tenant, &closed.checkpoint.log, first)?;
    let mut hashes = Vec::new();
    let mut found = None;
    while let Some(row) = rows.next()?.map(Columns) {
        for (record, hash) in hashed(row, before)? {
            if record.sequence == sequence {
                let Record { at, code, by, facts, .. } = record;
                let facts = RawValue::from_string(facts.to_owned());
                let facts = facts.map_err(|_| broken(tenant, sequence))?;
                found = Some((at, code.to_owned(), by.to_owned(), facts, before));
            }
            hashes.push(hash);
            before = hash;
        }
    }
    let (Some((at_us, code, by, facts, before)), Some(place)) =
        (found, usize::try_from(sequence.wrapping_sub(first)).ok())
    else {
        return Ok(None);
    };
    let path = Path::of(&hashes, place).ok_or_else(|| broken(tenant, sequence))?;
    Ok(Some(Proof { sequence, at_us, code, by, facts, before, path, checkpoint: closed }))
}

/// Checkpoints of all logs in the order in which they were made, after the one with that ordinal.
pub(super) fn made_after(
    connection: &Connection,
    ordinal: u64,
    limit: u32,
) -> Result<Vec<(u64, Signed)>, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT ordinal, body FROM audit_checkpoints WHERE ordinal > ?1 ORDER BY ordinal LIMIT ?2",
    )?;
    let mut rows = statement.query(params![signed(ordinal), limit])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()?.map(Columns) {
        found.push((row.unsigned(0)?, from_json(row.text(1)?)?));
    }
    Ok(found)
}

/// How many migrations a file has seen that has the tables of the audit log, and still the one before.
pub(super) const VERSION: i64 = 61;

/// Takes over what an older version logged without a chain. Takes time in all of it.
pub(super) fn adopt(connection: &Connection, region: &str) -> Result<(), Fault> {
    let mut logs = Logs::new(region);
    let mut adopted = Vec::new();
    let mut statement = connection
        .prepare("SELECT tenant, at, code, facts FROM decisions ORDER BY tenant, sequence")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()?.map(Columns) {
        let tenant = row.text(0)?;
        let decision = Decision {
            tenant: (tenant != PLATFORM).then(|| row.name(0)).transpose()?,
            at: row.time(1)?,
            code: row.text(2)?.to_owned().into(),
            by: None,
            facts: row.text(3)?.into(),
        };
        adopted.push(decision);
        if adopted.len() == ADOPTED_MAX {
            logs.append(connection, adopted.iter())?;
            adopted.clear();
        }
    }
    logs.append(connection, adopted.iter())
}
