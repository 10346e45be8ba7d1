//! That one record is in a log, without the others.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::checkpoint::{Signed, Wrong};
use crate::hash::Hash;
use crate::record::Record;
use crate::sign::PublicKey;
use crate::tree::Path;

/// A record with what leads from it to a signed checkpoint.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    pub sequence: u64,
    /// Unix time, in microseconds.
    pub at_us: u64,
    pub code: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub by: String,
    pub facts: Box<RawValue>,
    /// The hash of the record before it.
    pub before: Hash,
    pub path: Path,
    pub checkpoint: Signed,
}

/// Why a proof proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unproven {
    #[error("the checkpoint: {0}")]
    Checkpoint(#[from] Wrong),
    #[error("the checkpoint closes records {first} to {last}, and this is {sequence}")]
    Range { sequence: u64, first: u64, last: u64 },
    #[error("the record is not the one that the checkpoint closes: one of them was changed")]
    Root,
}

impl Proof {
    pub fn check(&self, keys: &[PublicKey]) -> Result<(), Unproven> {
        let checkpoint = self.checkpoint.check(keys)?;
        let (first, last, sequence) = (checkpoint.first, checkpoint.last, self.sequence);
        if !(first..=last).contains(&sequence) {
            return Err(Unproven::Range { sequence, first, last });
        }
        let (code, by, facts) = (&*self.code, &*self.by, self.facts.get());
        let record = Record { sequence, at: self.at_us, code, by, facts };
        let count = (last - first).saturating_add(1);
        let root = self.path.root(record.hash(self.before), sequence - first, count);
        if root == Some(checkpoint.root) { Ok(()) } else { Err(Unproven::Root) }
    }
}
