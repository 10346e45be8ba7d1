//! How a log stands in a file: lines of JSON, each an object with one member.
//!
//! ```text
//! {"export":{"version":1,"log":"acme","first":1,"last":6,"closed":{<checkpoint 2>}}}
//! {"record":{"sequence":1,"at_us":1780000000000000,"code":"admitted","by":"key:0123456789abcdef","facts":{...},"hash":"..."}}
//! ...
//! {"checkpoint":{"log":"acme","number":1,"first":1,"last":3,...,"key":"...","signature":"..."}}
//! ```
//!
//! The head comes first and has the checkpoint that closes the whole, so that a file whose end is missing says so. A log whose
//! oldest ranges have gone begins after a checkpoint, which is the head's `after`.

use serde::{Deserialize, Serialize};

use crate::checkpoint::Signed;
pub use crate::record::RecordLine;

/// Of this form there has been no other.
pub const VERSION: u32 = 1;

/// The first line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    pub version: u32,
    pub log: String,
    /// Sequences of the first and the last record. An empty log goes from 1 to 0.
    pub first: u64,
    pub last: u64,
    /// What the first record follows, if records before it have gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Signed>,
    /// The last checkpoint. `None`: the log is empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<Signed>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line<'a> {
    Export(Box<Head>),
    #[serde(borrow)]
    Record(RecordLine<'a>),
    Checkpoint(Box<Signed>),
}
