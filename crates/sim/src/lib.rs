//! Seeded simulator: the real cell and driver in virtual time, with faults and checkers.
//!
//! [`world::World`] plays one seed: clients, workers and an operator speak to the same `core::driver` that the server
//! runs, over a network that loses and delays, with a store that is slow, refuses, or takes a commit and does not
//! say so, and with a process that dies at every point in between. `check` holds what is promised against what is
//! committed, released and believed.
//!
//! Everything follows from the seed. The crate reads no clock and no randomness; a failure is repeated by its seed:
//!
//! ```text
//! FAIRLANE_SEED=17 cargo test -p fairlane-sim --test seeds one_seed -- --nocapture
//! ```
//!
//! Virtual time ([`agenda`]), draws ([`prng`]), rows ([`rows`]) and workers ([`worker`]) know nothing of the checkers and
//! can carry other scenarios.

pub mod agenda;
mod bounds;
mod catalog;
mod check;
pub mod client;
pub mod evaluator;
pub mod fault;
pub mod gateway;
mod host;
pub mod landscape;
pub mod operator;
mod people;
pub mod plans;
pub mod planted;
pub mod prng;
pub mod reviewer;
mod revision;
pub mod rows;
pub mod trace;
pub mod violation;
pub mod worker;
pub mod workload;
pub mod world;
