//! Typed client of the HTTP API and the Rust worker SDK.
