//! Wire types of the HTTP API, from which its `OpenAPI` document is generated.
//!
//! They know nothing of the domain: names and ids are plain text here, and the server checks them when it
//! turns a request into an input of the cell. Requests refuse unknown fields; answers may gain fields, and
//! clients must ignore what they do not know.
//!
//! Units stand in the names: `_ms` and `_us` are whole milliseconds and microseconds, `_permille` thousandths.
//! Points in time are [`Timestamp`]s.

pub mod arrival;
pub mod audit;
pub mod catalog;
pub mod code;
pub mod erasure;
pub mod gateway;
pub mod key;
pub mod notice;
pub mod page;
pub mod platform;
pub mod policy;
pub mod problem;
pub mod quota;
pub mod reading;
pub mod report;
pub mod residency;
pub mod resource;
pub mod review;
pub mod run;
pub mod schema;
pub mod time;
pub mod usage;
pub mod view;
pub mod words;
pub mod worker;
pub mod workflow;

pub use code::Code;
pub use problem::{Mistake, Problem};
pub use time::Timestamp;

/// A JSON value that is passed on as its text: inputs, outputs, payloads of signals, attributes.
pub type Json = Box<serde_json::value::RawValue>;
