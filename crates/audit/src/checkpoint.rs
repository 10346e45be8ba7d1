//! What closes a range of a log, and who says so.

use serde::{Deserialize, Serialize};

use crate::hash::{Hash, Kind, hex, unhex};
use crate::record::Head;
use crate::sign::{KeyId, PublicKey, Signer};

/// Closes the records from `first` to `last` of a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    pub log: String,
    /// 1 for the first of the log.
    pub number: u64,
    /// The first record that it closes: the one after the last of the checkpoint before.
    pub first: u64,
    pub last: u64,
    /// The root of the tree over the records.
    pub root: Hash,
    /// The hash of the last one.
    pub head: Hash,
    /// The hash of the checkpoint before; all zero for the first.
    pub before: Hash,
    /// When it was made, as Unix time in microseconds.
    pub at_us: u64,
}

/// With a signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed {
    #[serde(flatten)]
    pub checkpoint: Checkpoint,
    pub key: KeyId,
    /// 128 hexadecimal digits.
    pub signature: String,
}

/// Why a checkpoint is not to be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    #[error("it is signed with a key that you did not name")]
    Key,
    #[error("its signature is wrong: it was changed, or somebody else signed it")]
    Signature,
}

impl Checkpoint {
    /// Closes what is open, after the checkpoint `before`. `None`: nothing is.
    pub fn close(log: &str, head: &Head, before: Option<&Self>, at_us: u64) -> Option<Self> {
        let root = head.open.root()?;
        Some(Self {
            log: log.to_owned(),
            number: before.map_or(0, |before| before.number) + 1,
            first: head.sequence - head.open.len() + 1,
            last: head.sequence,
            root,
            head: head.hash,
            before: before.map_or_else(Hash::default, Self::hash),
            at_us,
        })
    }

    /// What is signed.
    fn text(&self) -> String {
        let Self { log, number, first, last, root, head, before, at_us } = self;
        format!(
            "fairlane audit checkpoint 1\n{log}\n{number} {first} {last}\n{root}\n{head}\n{before}\n{at_us}\n"
        )
    }

    #[must_use]
    pub fn hash(&self) -> Hash {
        Hash::of(Kind::Checkpoint, &[self.text().as_bytes()])
    }

    #[must_use]
    pub fn sign(self, signer: &Signer) -> Signed {
        let signature = hex(&signer.sign(self.text().as_bytes()));
        Signed { key: signer.public().id(), signature, checkpoint: self }
    }
}

impl Signed {
    /// Whether one of these keys has signed it.
    pub fn check(&self, keys: &[PublicKey]) -> Result<&Checkpoint, Wrong> {
        let key = keys.iter().find(|key| key.id() == self.key).ok_or(Wrong::Key)?;
        let signature = unhex::<64>(&self.signature).ok_or(Wrong::Signature)?;
        let is_signed = key.has_signed(self.checkpoint.text().as_bytes(), &signature);
        if is_signed { Ok(&self.checkpoint) } else { Err(Wrong::Signature) }
    }
}
