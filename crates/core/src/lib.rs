//! The control plane of Fairlane as a pure function.
//!
//! `cell::Cell` takes `(now, Input)` and appends changes and effects to a turn; `driver::Driver` puts the
//! commit between the two. Everything that waits (disks, sockets, clocks, people) stands outside.
//!
//! This crate knows no clock, no randomness, no async, no files, no network, no SQL, no HTTP, no logging and
//! no environment; no decision uses floats or iterates over a hash-ordered map. It never fails: a refusal is
//! a value.

pub mod auth;
pub mod calendar;
pub mod catalog;
pub mod cell;
pub mod driver;
pub mod erasure;
pub mod gate;
pub mod id;
pub mod ledger;
pub mod limiter;
pub mod money;
pub mod notice;
pub mod notices;
pub mod plan;
pub mod policy;
pub mod pool;
pub mod quota;
pub mod reading;
pub mod reject;
pub mod replan;
pub mod residency;
pub mod review;
pub mod reviews;
pub mod router;
pub mod row;
pub mod scheduler;
pub mod tenant;
pub mod time;
pub mod trace;
