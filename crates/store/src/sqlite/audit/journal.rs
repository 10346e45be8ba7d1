//! Table `audit_open`: what turns have said last, a row for each turn over all logs.
//!
//! A turn of many tenants appends to one page here, in place of a page of each tenant. When there is enough of it, or it is old,
//! the oldest rows are taken apart: what they have of one log then stands together in table `audit`.
//!
//! A row is sections with an empty line between them, one for each log, or more if a turn had much to say. A section is a line
//! with its first sequence, its last one and the log, and then a line for each record. `heads` has the hash of the last record of
//! each section, one after the other.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use fairlane_audit::Hash;
use fairlane_core::time::Time;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{line, read};
use crate::sqlite::codec::{Columns, Fault, signed};

/// The text of a row of `audit` is not added to when it is as long as this, and a section is not longer, or by one record only:
/// a page of records then need not read much more than itself.
pub(super) const ROW_BYTES: usize = 64 * 1024;
/// Most that is taken apart at once, and about so much waits for it: some five milliseconds of the committing thread.
const TAKEN_BYTES: usize = 1 << 20;
/// As above: each log is a row and a page of its own.
const TAKEN_LOGS: usize = 500;

const HASH_BYTES: usize = 32;

/// Some records of one log, one after the other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Section<'r> {
    pub(super) log: &'r str,
    pub(super) first: u64,
    pub(super) last: u64,
    /// Hash of the last one.
    pub(super) head: Hash,
    pub(super) records: &'r str,
}

/// What one turn says, as it is stored.
#[derive(Debug, Default)]
pub(super) struct Said {
    heads: Vec<u8>,
    sections: String,
}

impl Said {
    pub(super) fn add(&mut self, section: Section<'_>) {
        let Section { log, first, last, head, records } = section;
        if !self.sections.is_empty() {
            self.sections.push_str("\n\n");
        }
        self.sections += &format!("{first} {last} {log}\n");
        self.sections += records;
        self.heads.extend(head.0);
    }

    pub(super) fn sections(&self) -> impl Iterator<Item = Section<'_>> {
        sections(&self.heads, &self.sections)
    }
}

/// Those of a row. What is none is left out: that something is missing is seen by who checks the log.
fn sections<'r>(heads: &'r [u8], text: &'r str) -> impl Iterator<Item = Section<'r>> {
    let heads = heads.chunks_exact(HASH_BYTES).map(|head| Hash(head.try_into().expect("32 bytes")));
    text.split("\n\n").zip(heads).filter_map(|(section, head)| {
        let (title, records) = section.split_once('\n')?;
        let mut parts = title.splitn(3, ' ');
        let (first, last) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        Some(Section { log: parts.next()?, first, last, head, records })
    })
}

/// How much waits in the table.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    bytes: usize,
    /// When the oldest of it was said.
    since: Option<Time>,
}

impl Waiting {
    pub(super) fn is_enough(&self) -> bool {
        self.bytes >= TAKEN_BYTES
    }

    pub(super) const fn since(&self) -> Option<Time> {
        self.since
    }

    fn count(&mut self, at: Time, bytes: usize) {
        self.bytes += bytes;
        self.since.get_or_insert(at);
    }

    pub(super) fn append(
        &mut self,
        connection: &Connection,
        said: &Said,
        at: Time,
    ) -> Result<(), Fault> {
        let sql = "INSERT INTO audit_open (at, heads, sections) VALUES (?1, ?2, ?3)";
        let row = params![signed(at.0), said.heads, said.sections];
        connection.prepare_cached(sql)?.execute(row)?;
        self.count(at, said.sections.len());
        Ok(())
    }

    /// Takes the oldest rows apart; gives each log that they were about with the last record that was taken. Takes time in
    /// what it takes, and is bounded.
    pub(super) fn take_apart(
        &mut self,
        connection: &Connection,
    ) -> Result<BTreeMap<String, u64>, Fault> {
        let mut taken = Rows::default();
        let (mut bytes, mut newest) = (0, None);
        let mut statement = connection
            .prepare_cached("SELECT turn, heads, sections FROM audit_open ORDER BY turn")?;
        let mut rows = statement.query([])?;
        while bytes < TAKEN_BYTES
            && let Some(row) = rows.next()?.map(Columns)
        {
            let (heads, text) = (row.blob(1)?, row.text(2)?);
            let logs: BTreeSet<&str> = sections(heads, text).map(|section| section.log).collect();
            let added = logs.iter().filter(|log| !taken.ends.contains_key(**log)).count();
            if newest.is_some() && taken.ends.len() + added > TAKEN_LOGS {
                break;
            }
            sections(heads, text).try_for_each(|section| taken.add(connection, section))?;
            bytes += text.len();
            newest = Some(signed(row.unsigned(0)?));
        }
        drop(rows);
        let ends = taken.finish(connection)?;
        without_overwriting(connection, || {
            let sql = "DELETE FROM audit_open WHERE turn <= ?1";
            Ok(connection.prepare_cached(sql)?.execute([newest])?)
        })?;
        self.bytes = self.bytes.saturating_sub(bytes);
        let oldest = "SELECT at FROM audit_open ORDER BY turn LIMIT 1";
        let oldest: Option<i64> =
            connection.prepare_cached(oldest)?.query_one([], |row| row.get(0)).optional()?;
        self.since = oldest.map(|at| Time(at.cast_unsigned()));
        Ok(ends)
    }
}

/// What is deleted here is elsewhere, and was never a secret: to overwrite it would write as much once more.
fn without_overwriting<T>(
    connection: &Connection,
    delete: impl FnOnce() -> Result<T, Fault>,
) -> Result<T, Fault> {
    connection.pragma_update(None, "secure_delete", false)?;
    let deleted = delete();
    connection.pragma_update(None, "secure_delete", true)?;
    deleted
}

/// Rows of `audit` that are being filled, one for each log.
#[derive(Debug, Default)]
pub(super) struct Rows {
    filling: BTreeMap<String, Row>,
    ends: BTreeMap<String, u64>,
}

#[derive(Debug)]
struct Row {
    first: u64,
    last: u64,
    head: Hash,
    records: String,
    /// Last records of ranges of the log that were closed: no row is of two of them.
    closed: Vec<u64>,
}

impl Rows {
    pub(super) fn add(&mut self, connection: &Connection, next: Section<'_>) -> Result<(), Fault> {
        match self.filling.get_mut(next.log) {
            Some(row) if row.takes(&next) => {
                row.records.push('\n');
                row.records.push_str(next.records);
                (row.last, row.head) = (next.last, next.head);
            }
            other => {
                let Section { log, first, last, head, records } = next;
                let begun = |closed| Row { first, last, head, records: records.to_owned(), closed };
                if let Some(row) = other {
                    row.put(connection, log)?;
                    *row = begun(std::mem::take(&mut row.closed));
                } else {
                    let closed = read::closed_from(connection, log, first)?;
                    self.filling.insert(log.to_owned(), begun(closed));
                }
            }
        }
        match self.ends.get_mut(next.log) {
            Some(end) => *end = next.last,
            None => drop(self.ends.insert(next.log.to_owned(), next.last)),
        }
        Ok(())
    }

    /// Stores what is left of them; gives how far each log came.
    pub(super) fn finish(self, connection: &Connection) -> Result<BTreeMap<String, u64>, Fault> {
        for (log, row) in &self.filling {
            row.put(connection, log)?;
        }
        Ok(self.ends)
    }
}

impl Row {
    fn takes(&self, next: &Section<'_>) -> bool {
        let is_next = self.last.checked_add(1) == Some(next.first);
        is_next && self.records.len() < ROW_BYTES && !self.closed.contains(&self.last)
    }

    fn put(&self, connection: &Connection, log: &str) -> Result<(), Fault> {
        let at = self.records.lines().next_back().and_then(line::parse).map_or(0, |said| said.0);
        // A row that is there already was not put there by this: the region goes on, and who checks the log sees it.
        let sql = "INSERT OR IGNORE INTO audit (tenant, last, first, at, head, records)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let (last, first) = (signed(self.last), signed(self.first));
        let row = params![log, last, first, signed(at), self.head.0, self.records];
        connection.prepare_cached(sql)?.execute(row)?;
        Ok(())
    }
}

/// Everything that waits in the table, as it was said. Takes time in that, which is about what is taken apart at once.
pub(super) fn each(
    connection: &Connection,
    mut visit: impl FnMut(Section<'_>) -> Result<ControlFlow<()>, Fault>,
) -> Result<Waiting, Fault> {
    let mut waiting = Waiting::default();
    let mut statement =
        connection.prepare_cached("SELECT at, heads, sections FROM audit_open ORDER BY turn")?;
    let mut rows = statement.query([])?;
    'rows: while let Some(row) = rows.next()?.map(Columns) {
        let text = row.text(2)?;
        waiting.count(row.time(0)?, text.len());
        for section in sections(row.blob(1)?, text) {
            if visit(section)?.is_break() {
                break 'rows;
            }
        }
    }
    Ok(waiting)
}
