//! Logs that cannot be changed unnoticed.
//!
//! A log is a list of [records](Record), each chained to the one before by its hash. Now and then a
//! [checkpoint](Checkpoint) closes the range of records since the last one: it names the hash of the last record and the root
//! of a [Merkle tree](tree) over the range, and is signed. Who has a later checkpoint than the log that they are shown knows
//! that its end was cut off; who has none still sees every change, gap and reordering in between.
//!
//! ```text
//! record 1 <- record 2 <- record 3 <- record 4 <- record 5 <- record 6
//! |------- checkpoint 1 --------|     |---- checkpoint 2 ---|
//! ```
//!
//! - [`export`] is how a log stands in a file, line by line.
//! - [`verify()`] reads one and says what is wrong with it. It needs the file and a public key, and no server.
//! - [`Proof`] shows that one record is in the log, without the others.
//!
//! This crate knows nothing of stores, tenants or decisions: what a record says is text to it. The construction follows
//! RFC 9162 (Certificate Transparency 2.0), with a chain of ranges in place of one tree that grows, so that a log's old ranges
//! can go when their time is over.

mod checkpoint;
pub mod export;
mod hash;
mod proof;
mod record;
mod sign;
pub mod tree;
pub mod verify;

pub use self::checkpoint::{Checkpoint, Signed, Wrong};
pub use self::hash::{Hash, hex, unhex};
pub use self::proof::Proof;
pub use self::record::{Head, Record, genesis};
pub use self::sign::{KeyId, PublicKey, Signer};
pub use self::verify::{Finding, Report, verify};
