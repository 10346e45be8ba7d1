//! One record, and the chain that it stands in.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::hash::{Hash, Kind};
use crate::tree::Frontier;

/// What a record says. Text as it is, to the byte: it is hashed so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// 1 for the first of its log, and one more for each.
    pub sequence: u64,
    /// Unix time, in microseconds.
    pub at: u64,
    /// Names what happened, such as `admitted`.
    pub code: &'a str,
    /// Who did it: `person:<id>` or `key:<id>`. Empty: the platform itself.
    pub by: &'a str,
    /// A JSON object.
    pub facts: &'a str,
}

/// Where the chain of a log begins: no record of another log follows from it.
pub fn genesis(log: &str) -> Hash {
    Hash::of(Kind::Genesis, &[b"fairlane audit log 1\n", log.as_bytes()])
}

impl Record<'_> {
    /// The hash of the record, which follows the one with that hash.
    #[must_use]
    pub fn hash(&self, before: Hash) -> Hash {
        let length = |text: &str| (text.len() as u64).to_be_bytes();
        Hash::of(
            Kind::Record,
            &[
                &before.0,
                &self.sequence.to_be_bytes(),
                &self.at.to_be_bytes(),
                &length(self.code),
                self.code.as_bytes(),
                &length(self.by),
                self.by.as_bytes(),
                self.facts.as_bytes(),
            ],
        )
    }
}

/// How far a log goes, and what its next checkpoint closes: all that is needed to append to it. Constant but for a hash for
/// each doubling of the range that is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Of the newest record; 0 if there is none.
    pub sequence: u64,
    /// Of the newest record, or the [`genesis`].
    pub hash: Hash,
    /// Records since the last checkpoint.
    pub open: Frontier,
}

impl Head {
    /// Of an empty log.
    pub fn new(log: &str) -> Self {
        Self { sequence: 0, hash: genesis(log), open: Frontier::default() }
    }

    /// Appends a record, whose sequence is the next one, and gives that and its hash.
    pub fn append(&mut self, (at, code, by, facts): (u64, &str, &str, &str)) -> (u64, Hash) {
        self.sequence += 1;
        let record = Record { sequence: self.sequence, at, code, by, facts };
        self.hash = record.hash(self.hash);
        self.open.push(self.hash);
        (self.sequence, self.hash)
    }
}

/// A record as JSON, with its hash.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordLine<'a> {
    pub sequence: u64,
    /// Unix time, in microseconds.
    pub at_us: u64,
    pub code: std::borrow::Cow<'a, str>,
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub by: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    pub facts: &'a RawValue,
    pub hash: Hash,
}

impl RecordLine<'_> {
    pub fn record(&self) -> Record<'_> {
        let (sequence, at) = (self.sequence, self.at_us);
        Record { sequence, at, code: &self.code, by: &self.by, facts: self.facts.get() }
    }
}
