//! What surrounds the driver: clock, HTTP, authentication, payload assembly.
//!
//! It authenticates, translates and asks the core; it holds no rule about tenants' rights. One file for each
//! resource has the conversions between wire and domain.
//!
//! - [`Server`] starts and stops; [`Config`] says how.
//! - `engine` is the way into the cell, `effects` and `assembly` do what the cell asks for.
//! - `notify` tells people what the cell has for them.
//! - `upstream` calls providers of models and tools, `calls` does so for steps and `gateway` for clients.
//! - `telemetry` tells those who look after the server where time goes.
//! - `dashboard` serves the page for browsers, which asks the API like any other client.
//! - `registry`, `cache` and `reads` answer what need not be asked of the cell.

mod access;
mod arrivals;
mod assembly;
mod audit;
mod auth;
mod body;
mod cache;
mod calls;
mod catalog;
mod cells;
mod channels;
mod clock;
pub mod config;
mod dashboard;
mod decisions;
mod declare;
mod dry_run;
mod effects;
mod engine;
mod erasures;
mod events;
mod gateway;
mod head;
mod hex;
mod key_file;
mod keys;
pub mod metrics;
mod notify;
pub mod openapi;
mod output;
mod page;
mod people;
mod places;
mod pools;
mod probes;
mod problem;
mod provider;
mod quotas;
mod readings;
mod reads;
mod registry;
mod reports;
mod reviews;
pub mod root_key;
mod rules;
mod runs;
mod sealing;
mod serve;
mod telemetry;
mod tenants;
mod turns;
mod upstream;
mod usage;
mod used;
mod wire;
mod worker;
mod workflows;

pub use config::{Config, StoreKind};
pub use serve::{Error, OPERATOR_KEY_FILE, Server};
