//! The client, the worker SDK and the binary against a real server.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails where it stands")]

mod binary;
mod harness;
mod sdk;
