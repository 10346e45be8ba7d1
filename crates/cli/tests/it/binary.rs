//! The real binary: what it prints where, and how it ends.

mod audit;
mod backup;
mod catalog;
mod commands;
mod conformance;
mod curl;
mod files;
mod kill;
mod money;
mod notices;
mod places;
mod policies;
mod process;
mod residency;
mod reviews;
mod secure;
mod simulate;
mod simulate_people;
mod usage;
mod what_if;
