//! The cell by scenarios: inputs in, what a client and a worker see out.

mod audit;
mod catalog;
mod circuits;
mod commands;
mod cron;
mod desk;
mod disk;
mod erasures;
mod flows;
mod found;
mod hand;
mod leases;
mod limits;
mod models;
mod money;
mod moves;
mod notices;
mod orphans;
mod places;
mod policy;
mod quota;
mod readings;
mod recovery;
mod replan;
mod residency_view;
mod review_policy;
mod reviews;
mod rules;
mod stores;
mod timeline;
mod traces;
mod waiting;

pub(crate) use desk::{Desk, step, workflow};
