//! Typed client of Fairlane's HTTP API, and the Rust worker SDK.
//!
//! [`Client`] has one method for each route, returns the wire types of [`api`] and keeps its connections open.
//! Calls that can be sent again without harm are: after a broken connection, and after a 503 once its
//! `Retry-After` is over. A submission carries an idempotency key, so it is one of them.
//!
//! ```no_run
//! use fairlane_client::{Client, Submit};
//!
//! # async fn example() -> Result<(), fairlane_client::Error> {
//! let client = Client::new("http://127.0.0.1:7420", "fl_...")?;
//! let submitted = client.submit("bank-17", Submit::new("loan-application").input(&"x")).await?;
//! println!("{}", submitted.run);
//! # Ok(())
//! # }
//! ```
//!
//! Whoever receives webhooks checks them with [`webhook::verify`].
//!
//! A worker is [`worker::Worker`]: tasks are async functions.
//!
//! This crate knows nothing of the domain behind the API, and prints nothing.

pub use fairlane_api as api;

mod channels;
mod client;
mod erasures;
mod error;
mod events;
mod places;
mod platform;
mod reports;
mod resources;
mod retry;
mod reviews;
mod runs;
pub mod sign_in;
mod tls;
mod transport;
mod usage;
pub mod webhook;
pub mod worker;
mod workflows;

pub use channels::NoticeFilter;
pub use client::Client;
pub use error::Error;
pub use events::{EventStream, RunEvent};
pub use platform::AuditOf;
pub use reports::{BudgetFilter, ShortFilter};
pub use resources::Write;
pub use retry::RetryPolicy;
pub use runs::{RunFilter, Submit};
pub use tls::Trust;
pub use usage::{CallFilter, Period};
pub use workflows::Definition;
