//! What is to be forgotten on demand: a run, what there is of one person or thing, or all of a tenant.
//!
//! The cell ends what is under way and refuses to begin it again; whoever has the rows deletes them, with the keys that they are
//! sealed with. What remains is the [`ErasureRow`], which is the receipt: it names ids and digests, and nobody.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::id::{ErasureId, RunId, TenantId};
use crate::row::{Actor, RunKey};
use crate::time::Time;

/// What a run is about, such as an applicant: a digest of what its input names, so that nobody stands in a row by name. The same
/// name has another digest in another tenant. As text it is 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject(pub [u8; 16]);

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::fmt::Debug for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl Serialize for Subject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Subject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let is_digest = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        match u128::from_str_radix(&text, 16) {
            Ok(digest) if is_digest => Ok(Self(digest.to_be_bytes())),
            _ => Err(serde::de::Error::custom("a subject is 32 hexadecimal digits")),
        }
    }
}

/// What is erased, of what came in before it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Erased {
    /// With the runs that it has called.
    Run(RunId),
    Subject(Subject),
    /// Runs, channels and keys. Its declaration stays, so that its id is not taken for another one's, and its schedules, which
    /// hold nothing but times.
    Tenant,
}

/// That something was to be erased, and was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErasureRow {
    pub tenant: TenantId,
    pub id: ErasureId,
    pub of: Erased,
    pub asked: Time,
    pub by: Option<Actor>,
    /// Runs that are gone with their keys. Counted by who deletes them.
    pub runs: u64,
    /// When nothing of it was left.
    pub done: Option<Time>,
}

impl ErasureRow {
    /// Whether it is about that run, apart from runs that the one which it names has called.
    pub fn covers(&self, run: &RunKey, subject: Option<Subject>, created: Time) -> bool {
        let is_meant = match self.of {
            Erased::Run(id) => id == run.run,
            Erased::Subject(of) => subject == Some(of),
            Erased::Tenant => true,
        };
        is_meant && self.tenant == run.tenant && created <= self.asked
    }
}
