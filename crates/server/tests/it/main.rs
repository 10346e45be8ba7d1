//! The server as its clients see it: over HTTP, on a real store, with a real cell.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod catalog;
mod circuits;
mod commands;
mod dashboard;
mod erasures;
mod errors;
mod events;
mod exchange;
mod faults;
mod fuzzed;
mod fuzzing;
mod gateway;
mod gateway_faults;
mod gateway_tokens;
mod gateway_waits;
mod hand;
mod harness;
mod hostile;
mod isolation;
mod mail;
mod metrics;
mod models;
mod notices;
mod openai_client;
mod openapi;
mod panics;
mod places;
mod policies;
mod python;
mod quotas;
mod readings;
mod replans;
mod reports;
mod requests;
mod resources;
mod restart;
mod reviews;
mod routing;
mod runs;
mod sealing;
mod sign_in;
mod usage;
