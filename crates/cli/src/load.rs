//! What demo, replay and bench drive a server with: a server of their own, worker processes, submissions at
//! planned times, and the collection of what the server recorded.
//!
//! Everything goes through the HTTP API and the worker protocol, with keys. Nothing here knows the core.

pub(crate) mod child;
pub(crate) mod collect;
pub(crate) mod declare;
pub(crate) mod drive;
pub(crate) mod fairness;
pub(crate) mod phase;
pub(crate) mod random;
pub(crate) mod report;
pub(crate) mod server;
pub(crate) mod stage;
pub(crate) mod usage;
pub(crate) mod work;
