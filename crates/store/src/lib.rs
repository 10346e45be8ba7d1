//! Durable rows of a cell: the [`Store`] trait, its conformance suite, and SQLite behind it.
//!
//! A store writes what it is given and decides nothing. The cell's owner [claims](Store::claim) it, which raises the
//! epoch; [loads](Store::load) what is live; and [commits](Store::commit) the changes of each turn in one transaction
//! under that epoch. The API reads pages through [`Read`], always under a tenant's scope, so that another tenant's id
//! answers exactly as a missing one: the key that is looked up begins with the scope's tenant.
//!
//! - [`sqlite`]: one file per region, for one server.
//! - [`memory`]: the same semantics without a disk, for the simulator and tests.
//! - [`faulty`]: any store, failing as a schedule of faults says.
//!
//! - [`conformance`]: what every store must do; run it against a new one.
//!
//! This crate is the only one that holds SQL. It knows no clock, no HTTP and no async.

pub mod conformance;
mod error;
pub mod faulty;
pub mod memory;
mod read;
pub mod seal;
pub mod sqlite;
mod store;

pub use error::Error;
pub use read::{
    AuditPage, AuditRecord, CallQuery, DecisionQuery, DecisionRow, ErasureQuery, PAGE_MAX, Page,
    Payloads, Read, ReviewQuery, RunFilter, RunQuery, SCAN_MAX, UsageRow,
};
pub use store::{Epoch, FORGOTTEN_MAX, Forgotten, IDEMPOTENCY_RETENTION, SWEEP_MAX, Store};
