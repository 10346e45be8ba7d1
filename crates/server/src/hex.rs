//! Bytes as hexadecimal digits: keys, digests.

pub(crate) use fairlane_audit::{hex as encode, unhex as decode};
