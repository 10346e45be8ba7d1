//! How records stand in a row: a line each, with time, code, who, and facts.

use std::iter::Peekable;

use fairlane_audit::{Hash, Record};
use fairlane_core::row::Actor;

use crate::sqlite::codec::{Fault, name};

/// Nobody: the platform itself.
const NOBODY: &str = "-";

/// A record: its time, code, who, and facts.
pub(super) type Said<'a> = (u64, &'a str, &'a str, &'a str);

/// Who did something, as it is hashed. Empty: the platform itself.
pub(super) fn by(actor: Option<&Actor>) -> String {
    actor.map_or_else(String::new, Actor::to_string)
}

/// The inverse.
pub(super) fn actor(by: &str) -> Result<Option<Actor>, Fault> {
    match by.split_once(':') {
        None if by.is_empty() => Ok(None),
        Some(("person", id)) => Ok(Some(Actor::Person(name(id)?))),
        Some(("key", id)) => Ok(Some(Actor::Key(name(id)?))),
        _ => Err(Fault::Column(format!("{by} is nobody"))),
    }
}

pub(super) fn write(into: &mut String, (at, code, by, facts): Said<'_>) {
    let by = if by.is_empty() { NOBODY } else { by };
    if !into.is_empty() {
        into.push('\n');
    }
    *into += &format!("{at} {code} {by} ");
    *into += facts;
}

/// The inverse.
pub(super) fn parse(line: &str) -> Option<Said<'_>> {
    let mut parts = line.splitn(4, ' ');
    let (at, code, by, facts) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    Some((at.parse().ok()?, code, if by == NOBODY { "" } else { by }, facts))
}

/// The records of a row, numbered. A line that is none ends them: the chain tells that something is missing.
#[derive(Debug)]
pub(super) struct Lines<'a> {
    sequence: u64,
    lines: std::str::Lines<'a>,
}

impl<'a> Lines<'a> {
    pub(super) fn new(first: u64, text: &'a str) -> Self {
        Self { sequence: first, lines: text.lines() }
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = (u64, u64, &'a str, &'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        let (at, code, by, facts) = parse(self.lines.next()?)?;
        let sequence = self.sequence;
        self.sequence += 1;
        Some((sequence, at, code, by, facts))
    }
}

/// The same with their hashes. That of the last one is what the row has: where that does not follow from the text, whoever checks
/// the log sees it.
#[derive(Debug)]
pub(super) struct Hashed<'a> {
    lines: Peekable<Lines<'a>>,
    /// Of the record before.
    hash: Hash,
    head: Hash,
}

impl<'a> Hashed<'a> {
    pub(super) fn new(lines: Lines<'a>, before: Hash, head: Hash) -> Self {
        Self { lines: lines.peekable(), hash: before, head }
    }
}

impl<'a> Iterator for Hashed<'a> {
    type Item = (Record<'a>, Hash);

    fn next(&mut self) -> Option<Self::Item> {
        let (sequence, at, code, by, facts) = self.lines.next()?;
        let record = Record { sequence, at, code, by, facts };
        self.hash = if self.lines.peek().is_none() { self.head } else { record.hash(self.hash) };
        Some((record, self.hash))
    }
}
