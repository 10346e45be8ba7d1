//! Reading logs: what is in rows of their own, and then what is not yet.
//!
//! The caller has a transaction open, so that nothing goes from one place to the other meanwhile.

use std::ops::ControlFlow;

use fairlane_audit::tree::Path;
use fairlane_audit::{Hash, Proof, Record, Signed, genesis};
use fairlane_core::row::Decision;
use fairlane_core::tenant::TenantScope;
use fairlane_core::time::Time;
use rusqlite::{Connection, OptionalExtension as _, params};
use serde_json::value::RawValue;

use super::journal::{self, Section};
use super::line::{self, Hashed, Lines};
use super::{AFTER_MAX, PLATFORM};
use crate::read::{AuditPage, AuditRecord, DecisionQuery, DecisionRow, Page, page_limit};
use crate::sqlite::codec::{Columns, Fault, from_json, signed};

/// The records of a section, which follow the one with that hash, with theirs.
pub(super) fn hashed(section: Section<'_>, before: Hash) -> Hashed<'_> {
    Hashed::new(Lines::new(section.first, section.records), before, section.head)
}

/// A row of first sequence, last one, head and records.
fn section<'r>(log: &'r str, row: Columns<'r, '_>) -> Result<Section<'r>, Fault> {
    let (first, last, head) = (row.unsigned(0)?, row.unsigned(1)?, Hash(row.digest(2)?));
    Ok(Section { log, first, last, head, records: row.text(3)? })
}

/// Sections of a log with records after that one, and at or before the other, in their order.
fn each(
    connection: &Connection,
    tenant: &str,
    (after, up_to): (u64, u64),
    mut visit: impl FnMut(Section<'_>) -> Result<ControlFlow<()>, Fault>,
) -> Result<(), Fault> {
    if each_apart(connection, tenant, (after, up_to), &mut visit)?.is_break() {
        return Ok(());
    }
    journal::each(connection, |section| {
        let is_meant = section.log == tenant && section.last > after && section.first <= up_to;
        if is_meant { visit(section) } else { Ok(ControlFlow::Continue(())) }
    })?;
    Ok(())
}

/// The same of those in rows of their own.
pub(super) fn each_apart(
    connection: &Connection,
    tenant: &str,
    (after, up_to): (u64, u64),
    mut visit: impl FnMut(Section<'_>) -> Result<ControlFlow<()>, Fault>,
) -> Result<ControlFlow<()>, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT first, last, head, records FROM audit
         WHERE tenant = ?1 AND last > ?2 AND first <= ?3 ORDER BY last",
    )?;
    let mut rows = statement.query(params![tenant, signed(after), signed(up_to)])?;
    while let Some(row) = rows.next()?.map(Columns) {
        if visit(section(tenant, row)?)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}

fn broken(tenant: &str, sequence: u64) -> Fault {
    Fault::Column(format!("the audit log of `{tenant}` is broken at record {sequence}"))
}

/// Which checkpoint of a log.
#[derive(Clone, Copy, Debug)]
pub(super) enum Closes {
    Newest,
    /// The one that closes the range with this record.
    With(u64),
    /// The one that ends with this record.
    At(u64),
}

pub(super) fn checkpoint(
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

/// The last records of ranges that are closed, from that record on.
pub(super) fn closed_from(
    connection: &Connection,
    tenant: &str,
    first: u64,
) -> Result<Vec<u64>, Fault> {
    let mut statement = connection
        .prepare_cached("SELECT last FROM audit_checkpoints WHERE tenant = ?1 AND last >= ?2")?;
    let ends = statement.query_map(params![tenant, signed(first)], |row| row.get::<_, i64>(0))?;
    ends.map(|end| Ok(end?.cast_unsigned())).collect()
}

fn key(scope: Option<&TenantScope>) -> &str {
    scope.map_or(PLATFORM, |scope| scope.tenant().as_str())
}

/// A page of a tenant's log, or of the platform's own, newest first.
pub(in crate::sqlite) fn page(
    connection: &Connection,
    scope: Option<&TenantScope>,
    query: DecisionQuery,
) -> Result<Page<DecisionRow, u64>, Fault> {
    let limit = page_limit(query.limit);
    let tenant = key(scope);
    let before = query.before.unwrap_or(AFTER_MAX).min(AFTER_MAX);
    let mut found = Vec::new();
    let mut newest = Vec::new();
    journal::each(connection, |section| {
        if section.log == tenant && section.first < before {
            found_in(scope, section, before, &mut newest)?;
        }
        Ok(ControlFlow::Continue(()))
    })?;
    found.extend(newest.into_iter().rev());
    let mut statement = connection.prepare_cached(
        "SELECT first, last, head, records FROM audit WHERE tenant = ?1 AND last <= coalesce(
           (SELECT last FROM audit WHERE tenant = ?1 AND last >= ?2 - 1 ORDER BY last LIMIT 1), ?2)
         ORDER BY last DESC",
    )?;
    let mut rows = statement.query(params![tenant, signed(before)])?;
    while found.len() <= limit
        && let Some(row) = rows.next()?.map(Columns)
    {
        let mut of_row = Vec::new();
        found_in(scope, section(tenant, row)?, before, &mut of_row)?;
        found.extend(of_row.into_iter().rev());
    }
    found.truncate(limit + 1);
    Ok(Page::cut(found, limit, |row| row.sequence))
}

/// Adds those records of a section that stand before that one.
fn found_in(
    scope: Option<&TenantScope>,
    section: Section<'_>,
    before: u64,
    found: &mut Vec<DecisionRow>,
) -> Result<(), Fault> {
    let lines = Lines::new(section.first, section.records);
    for (sequence, at, code, by, facts) in lines.take_while(|line| line.0 < before) {
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
    Ok(())
}

/// Records after that one, oldest first, with their hashes, and the checkpoints that close ranges among them.
pub(in crate::sqlite) fn after(
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
    let mut before_next = None;
    let mut has_more = false;
    each(connection, tenant, (after, AFTER_MAX), |section| {
        let mut before = match before_next {
            Some(hash) => hash,
            None => hash_before(connection, tenant, name, section.first)?,
        };
        for (Record { sequence, at, code, by, facts }, hash) in hashed(section, before) {
            before = hash;
            if sequence <= after {
                continue;
            }
            if records.len() == limit {
                has_more = true;
                return Ok(ControlFlow::Break(()));
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
        before_next = Some(before);
        Ok(ControlFlow::Continue(()))
    })?;
    let first = records.first().map_or(after + 1, |record| record.sequence);
    let last = records.last().map_or(after, |record| record.sequence);
    let base = match first {
        // Nothing is before the first one.
        0 | 1 => None,
        first => checkpoint(connection, tenant, Closes::At(first - 1))?,
    };
    // Where older ranges are gone, their last checkpoint is the base, and closes none of these.
    let checkpoints = checkpoints(connection, tenant, first.saturating_sub(1), last)?;
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
    if let Some(closed) = checkpoint(connection, tenant, Closes::At(first - 1))? {
        return Ok(closed.checkpoint.head);
    }
    let mut found = Hash::default();
    journal::each(connection, |section| {
        let is_before = section.log == tenant && section.last == first - 1;
        if is_before {
            found = section.head;
        }
        Ok(if is_before { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    Ok(found)
}

/// That a record is in its log. `None`: there is no such record, or no checkpoint closes it yet. Takes time in the range that is
/// closed with it.
pub(in crate::sqlite) fn proof(
    connection: &Connection,
    scope: Option<&TenantScope>,
    sequence: u64,
) -> Result<Option<Proof>, Fault> {
    let tenant = key(scope);
    let Some(closed) = checkpoint(connection, tenant, Closes::With(sequence))? else {
        return Ok(None);
    };
    let (first, last) = (closed.checkpoint.first, closed.checkpoint.last);
    let mut before = hash_before(connection, tenant, &closed.checkpoint.log, first)?;
    let mut hashes = Vec::new();
    let mut found = None;
    each(connection, tenant, (first - 1, last), |section| {
        for (record, hash) in hashed(section, before) {
            if record.sequence == sequence {
                let Record { at, code, by, facts, .. } = record;
                let facts = RawValue::from_string(facts.to_owned());
                let facts = facts.map_err(|_| broken(tenant, sequence))?;
                found = Some((at, code.to_owned(), by.to_owned(), facts, before));
            }
            hashes.push(hash);
            before = hash;
        }
        Ok(ControlFlow::Continue(()))
    })?;
    let (Some((at_us, code, by, facts, before)), Some(place)) =
        (found, usize::try_from(sequence.wrapping_sub(first)).ok())
    else {
        return Ok(None);
    };
    let path = Path::of(&hashes, place).ok_or_else(|| broken(tenant, sequence))?;
    Ok(Some(Proof { sequence, at_us, code, by, facts, before, path, checkpoint: closed }))
}

/// Checkpoints of all logs in the order in which they were made, after the one with that ordinal.
pub(in crate::sqlite) fn made_after(
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
