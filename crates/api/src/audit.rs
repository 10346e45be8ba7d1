//! Audit logs: their records as they are hashed, and what closes and proves them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Json;

/// A part of an audit log, oldest first.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct AuditPage {
    /// What the log is called in what is signed: the tenant, or `platform@` and the region.
    pub log: String,
    /// The checkpoint that ends right before the first record, if one does: what a log begins after whose oldest records are
    /// gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Checkpoint>,
    pub records: Vec<AuditRecord>,
    /// Those that close ranges up to the last record, in their order.
    pub checkpoints: Vec<Checkpoint>,
    /// The newest of the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest: Option<Checkpoint>,
    /// There are more records: ask for those after the last one.
    pub has_more: bool,
}

/// One record. What is hashed is its text, to the byte.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct AuditRecord {
    /// 1 for the first of its log, and one more for each.
    pub sequence: u64,
    /// Unix time, in microseconds.
    pub at_us: u64,
    /// Names what happened, such as `admitted`.
    pub code: String,
    /// `person:<id>` or `key:<id>`. Absent: the platform itself.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub by: String,
    #[schema(value_type = Object)]
    pub facts: Json,
    /// SHA-256, as 64 hexadecimal digits.
    pub hash: String,
}

/// Closes a range of records, and is signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Checkpoint {
    pub log: String,
    /// 1 for the first of the log.
    pub number: u64,
    /// Sequences of the first and the last record that it closes.
    pub first: u64,
    pub last: u64,
    /// The root of the Merkle tree over the records.
    pub root: String,
    /// The hash of the last record.
    pub head: String,
    /// The hash of the checkpoint before.
    pub before: String,
    /// When it was made, as Unix time in microseconds.
    pub at_us: u64,
    /// Names the key: its first 16 digits.
    pub key: String,
    /// Ed25519, as 128 hexadecimal digits.
    pub signature: String,
}

/// That one record is in its log.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct AuditProof {
    pub sequence: u64,
    pub at_us: u64,
    pub code: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub by: String,
    #[schema(value_type = Object)]
    pub facts: Json,
    /// The hash of the record before it.
    pub before: String,
    /// What leads from the record to the root of its checkpoint: hashes of the halves that it is not in, the smallest first.
    pub path: Vec<String>,
    pub checkpoint: Checkpoint,
}

/// What checks checkpoints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditKey {
    /// As checkpoints name it.
    pub key: String,
    /// Ed25519, as 64 hexadecimal digits.
    pub public_key: String,
}
