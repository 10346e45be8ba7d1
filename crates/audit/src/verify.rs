//! Reads an export and says what is wrong with it.
//!
//! In one pass and constant memory, but for what it finds and the checkpoints that are given beside it. Whoever changes a
//! record has to change its hash, then all hashes after it, then the roots and heads of checkpoints, and cannot sign these:
//! wherever that ends, what is found names it.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, BufRead};

use crate::checkpoint::{Checkpoint, Signed, Wrong};
use crate::export::{Head as ExportHead, Line, RecordLine, VERSION};
use crate::hash::Hash;
use crate::record::{Head, genesis};
use crate::sign::PublicKey;
use crate::tree::Frontier;

/// What is found is listed up to here; the rest is counted.
const FINDINGS_MAX: usize = 100;
/// Lines are no longer than this. Facts have a few hundred bytes.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// What an export is, and what is wrong with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub log: String,
    pub records: u64,
    pub first: u64,
    pub last: u64,
    /// Of the export itself.
    pub checkpoints: u64,
    /// Checkpoints from elsewhere that are of this log and fit it.
    pub witnessed: u64,
    /// When the last checkpoint was made, in Unix microseconds: the log is known to be whole up to then.
    pub closed_at_us: Option<u64>,
    pub findings: Vec<Finding>,
    /// Findings that are not listed.
    pub more: u64,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// It cannot be read; `line` from 1.
    Line { line: u64, why: String },
    /// The file does not begin with what an export begins with.
    NoHead,
    /// The hash that stands with a record is not its hash, after the record before it.
    Record { sequence: u64 },
    /// Records are not there.
    Missing { first: u64, last: u64 },
    /// A record stands where another one belongs.
    Order { sequence: u64, expected: u64 },
    /// A checkpoint is not signed by who is trusted.
    Checkpoint { number: u64, wrong: Wrong },
    /// Checkpoints are not there, or not in their order.
    CheckpointOrder { number: u64, expected: u64 },
    /// The records of a range are not those that were signed.
    Range { first: u64, last: u64, at_us: u64 },
    /// A checkpoint is of another log.
    OtherLog { log: String },
    /// The end is missing: the log had records up to `last` when that was signed.
    Truncated { at: u64, last: u64, at_us: u64 },
    /// The head says that it ends elsewhere.
    Length { at: u64, last: u64 },
    /// Records that no checkpoint closes.
    Open { first: u64, last: u64 },
    /// A checkpoint from elsewhere says something else of these records than the export.
    Disputed { number: u64, first: u64, last: u64, at_us: u64 },
}

impl Report {
    pub fn is_good(&self) -> bool {
        self.findings.is_empty()
    }

    fn find(&mut self, finding: Finding) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        } else {
            self.more += 1;
        }
    }
}

/// Checks an export with the public keys that are trusted, and against checkpoints of its log that were kept elsewhere; those
/// of other logs among them are passed over.
///
/// # Errors
/// If it cannot be read. What is wrong with what was read is in the report.
pub fn verify(
    mut export: impl BufRead,
    keys: &[PublicKey],
    witnesses: &[Signed],
) -> io::Result<Report> {
    let mut lines = Lines { number: 0, text: Vec::new() };
    let Some((_, first)) = lines.next(&mut export)? else {
        return Ok(Report { findings: vec![Finding::NoHead], ..Report::default() });
    };
    let Ok(Line::Export(head)) = first.and_then(parse) else {
        return Ok(Report { findings: vec![Finding::NoHead], ..Report::default() });
    };
    let mut check = Check::new(*head, keys, witnesses);
    while let Some((number, line)) = lines.next(&mut export)? {
        match line.and_then(parse) {
            Ok(line) => check.line(number, line),
            Err(why) => check.report.find(Finding::Line { line: number, why }),
        }
    }
    Ok(check.end())
}

fn parse(line: &[u8]) -> Result<Line<'_>, String> {
    serde_json::from_slice(line).map_err(|error| error.to_string())
}

/// The number after this one. An export may say that it has the largest number there is, long before anything shows that
/// it lies: nothing comes after that, and no log gets so far.
const fn following(number: u64) -> u64 {
    number.saturating_add(1)
}

struct Lines {
    number: u64,
    text: Vec<u8>,
}

/// A line, or why it is none.
type Numbered<'a> = (u64, Result<&'a [u8], String>);

impl Lines {
    /// The next line that is not empty, with its number. The inner error: it is too long to be one.
    fn next(&mut self, from: &mut impl BufRead) -> io::Result<Option<Numbered<'_>>> {
        loop {
            self.text.clear();
            self.number += 1;
            let read =
                io::Read::take(&mut *from, LINE_BYTES_MAX).read_until(b'\n', &mut self.text)?;
            if read == 0 {
                return Ok(None);
            }
            if !self.text.trim_ascii().is_empty() {
                break;
            }
        }
        if self.text.len() as u64 == LINE_BYTES_MAX && !self.text.ends_with(b"\n") {
            skip_line(from)?;
            let why = format!("it is longer than {LINE_BYTES_MAX} bytes");
            return Ok(Some((self.number, Err(why))));
        }
        Ok(Some((self.number, Ok(&self.text))))
    }
}

fn skip_line(from: &mut impl BufRead) -> io::Result<()> {
    loop {
        let buffer = from.fill_buf()?;
        if buffer.is_empty() {
            return Ok(());
        }
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let length = end.map_or(buffer.len(), |end| end + 1);
        from.consume(length);
        if end.is_some() {
            return Ok(());
        }
    }
}

struct Check<'a> {
    report: Report,
    keys: &'a [PublicKey],
    /// Checkpoints from elsewhere by the record that they end with, those that were not met yet.
    witnesses: BTreeMap<u64, Vec<&'a Signed>>,
    closed: Option<Signed>,
    head: Head,
    /// The checkpoint before: its hash, and the number of the next one. `None`: it is not known.
    before: Hash,
    number: u64,
}

impl<'a> Check<'a> {
    fn new(export: ExportHead, keys: &'a [PublicKey], witnesses: &'a [Signed]) -> Self {
        let ExportHead { version, log, first, last, after, closed } = export;
        let mut report = Report { log: log.clone(), first, last, ..Report::default() };
        if version != VERSION {
            let why = format!("it has version {version}, and this program reads {VERSION}");
            report.find(Finding::Line { line: 1, why });
        }
        if first == 0 {
            report.find(Finding::Order { sequence: 0, expected: 1 });
        }
        let mut head = Head { sequence: first.saturating_sub(1), ..Head::new(&log) };
        let (mut before, mut number) = (Hash::default(), 1);
        if let Some(after) = &after {
            if let Err(wrong) = after.check(keys) {
                report.find(Finding::Checkpoint { number: after.checkpoint.number, wrong });
            }
            if after.checkpoint.log != log {
                report.find(Finding::OtherLog { log: after.checkpoint.log.clone() });
            }
            if after.checkpoint.last != head.sequence {
                let (first, last) = (following(after.checkpoint.last), head.sequence);
                report.find(Finding::Missing { first, last });
            }
            head.hash = after.checkpoint.head;
            (before, number) = (after.checkpoint.hash(), following(after.checkpoint.number));
        } else if first > 1 {
            report.find(Finding::Missing { first: 1, last: first - 1 });
            // What the first one follows is not known: only what comes after it can be checked.
            head.hash = genesis(&log);
        }
        let mut by_end: BTreeMap<u64, Vec<&Signed>> = BTreeMap::new();
        for witness in witnesses.iter().filter(|witness| witness.checkpoint.log == log) {
            match witness.check(keys) {
                Ok(checkpoint) => by_end.entry(checkpoint.last).or_default().push(witness),
                Err(wrong) => {
                    let number = witness.checkpoint.number;
                    report.find(Finding::Checkpoint { number, wrong });
                }
            }
        }
        if let Some(after) = &after {
            // Of records that have gone nothing can be said, but for the last of them.
            let later = by_end.split_off(&after.checkpoint.last);
            by_end = later;
        }
        Self { report, keys, witnesses: by_end, closed, head, before, number }
    }

    fn line(&mut self, number: u64, line: Line<'_>) {
        match line {
            Line::Record(record) => self.record(&record),
            Line::Checkpoint(signed) => self.checkpoint(&signed),
            Line::Export(_) => {
                let why = "a second export begins here".to_owned();
                self.report.find(Finding::Line { line: number, why });
            }
        }
    }

    fn record(&mut self, line: &RecordLine<'_>) {
        let expected = following(self.head.sequence);
        self.report.records += 1;
        if line.sequence != expected {
            if line.sequence > expected {
                let last = line.sequence - 1;
                self.report.find(Finding::Missing { first: expected, last });
            } else {
                let sequence = line.sequence;
                self.report.find(Finding::Order { sequence, expected });
            }
            // After a gap, or what stands twice, its own hash is what the next one has to follow.
            self.head.sequence = line.sequence;
            self.head.hash = line.hash;
            self.head.open.push(line.hash);
            return;
        }
        if line.record().hash(self.head.hash) != line.hash {
            self.report.find(Finding::Record { sequence: line.sequence });
        }
        self.head.sequence = line.sequence;
        self.head.hash = line.hash;
        self.head.open.push(line.hash);
    }

    fn checkpoint(&mut self, signed: &Signed) {
        self.report.checkpoints += 1;
        let number = signed.checkpoint.number;
        if let Err(wrong) = signed.check(self.keys) {
            self.report.find(Finding::Checkpoint { number, wrong });
        }
        if signed.checkpoint.log != self.report.log {
            self.report.find(Finding::OtherLog { log: signed.checkpoint.log.clone() });
        }
        if number != self.number || signed.checkpoint.before != self.before {
            let expected = self.number;
            self.report.find(Finding::CheckpointOrder { number, expected });
        }
        self.range(&signed.checkpoint);
        for witness in self.witnesses.remove(&signed.checkpoint.last).unwrap_or_default() {
            self.witness(&witness.checkpoint, &signed.checkpoint);
        }
        (self.before, self.number) = (signed.checkpoint.hash(), following(number));
        self.head.open = Frontier::default();
        self.report.closed_at_us = Some(signed.checkpoint.at_us);
    }

    /// Whether the records since the last checkpoint are those that this one closes.
    fn range(&mut self, checkpoint: &Checkpoint) {
        let Checkpoint { first, last, root, head, at_us, .. } = *checkpoint;
        let is_same = self.head.sequence == last
            && last.checked_sub(self.head.open.len()).map(following) == Some(first)
            && self.head.open.root() == Some(root)
            && self.head.hash == head;
        if !is_same {
            self.report.find(Finding::Range { first, last, at_us });
        }
    }

    /// Whether one from elsewhere says the same as that of the export which ends where it does.
    fn witness(&mut self, witness: &Checkpoint, own: &Checkpoint) {
        if witness == own {
            self.report.witnessed += 1;
        } else {
            self.dispute(witness);
        }
    }

    fn dispute(&mut self, witness: &Checkpoint) {
        let Checkpoint { number, first, last, at_us, .. } = *witness;
        self.report.find(Finding::Disputed { number, first, last, at_us });
    }

    fn end(mut self) -> Report {
        let at = self.head.sequence;
        if let Some(open) = std::num::NonZero::new(self.head.open.len()) {
            let first = at.saturating_sub(open.get() - 1);
            self.report.find(Finding::Open { first, last: at });
        }
        match self.closed.take() {
            Some(closed) => {
                let Checkpoint { number, last, at_us, .. } = closed.checkpoint;
                if let Err(wrong) = closed.check(self.keys) {
                    self.report.find(Finding::Checkpoint { number, wrong });
                } else if last > at {
                    self.report.find(Finding::Truncated { at, last, at_us });
                } else if closed.checkpoint.hash() != self.before {
                    self.dispute(&closed.checkpoint);
                }
            }
            None if self.report.records > 0 || self.report.last > 0 => {
                self.report.find(Finding::NoHead);
            }
            None => {}
        }
        if self.report.last != at && self.report.is_good() {
            self.report.find(Finding::Length { at, last: self.report.last });
        }
        let ahead = self.witnesses.split_off(&following(at));
        if let Some((last, newest)) = ahead.last_key_value() {
            let at_us = newest[0].checkpoint.at_us;
            self.report.find(Finding::Truncated { at, last: *last, at_us });
        }
        for witness in std::mem::take(&mut self.witnesses).into_values().flatten() {
            self.dispute(&witness.checkpoint);
        }
        self.report
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line { line, why } => write!(f, "line {line} cannot be read: {why}"),
            Self::NoHead => f.write_str("it does not begin like an export of an audit log"),
            Self::Record { sequence } => {
                write!(f, "record {sequence} was changed, or the one before it")
            }
            Self::Missing { first, last } if first == last => {
                write!(f, "record {first} is missing")
            }
            Self::Missing { first, last } => write!(f, "records {first} to {last} are missing"),
            Self::Order { sequence, expected } => {
                write!(f, "record {sequence} stands where record {expected} belongs")
            }
            Self::Checkpoint { number, wrong } => write!(f, "checkpoint {number}: {wrong}"),
            Self::CheckpointOrder { number, expected } => {
                write!(
                    f,
                    "checkpoint {number} stands where checkpoint {expected} belongs, or follows another one"
                )
            }
            Self::Range { first, last, .. } => write!(
                f,
                "records {first} to {last} are not those that were signed: some were changed, moved, added or taken away"
            ),
            Self::OtherLog { log } => write!(f, "a checkpoint is of the log `{log}`"),
            Self::Truncated { at, last, .. } => write!(
                f,
                "the end is missing: the log had {last} records when a checkpoint was signed, and ends here with record {at}"
            ),
            Self::Length { at, last } => {
                write!(
                    f,
                    "the head says that it ends with record {last}, and it ends with record {at}"
                )
            }
            Self::Open { first, last } => {
                write!(f, "no checkpoint closes records {first} to {last}")
            }
            Self::Disputed { number, first, last, .. } => write!(
                f,
                "a signed checkpoint (number {number}) says something else of records {first} to {last}: the log was written anew"
            ),
        }
    }
}

#[cfg(test)]
mod tests;
