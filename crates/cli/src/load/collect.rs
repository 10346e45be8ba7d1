//! How each run ended, by the server's own record of it.

use std::sync::Arc;

use anyhow::Context;
use fairlane_client::api::Timestamp;
use fairlane_client::api::run::{Run, RunStatus};
use fairlane_client::{Client, RunFilter};
use tokio::task::JoinSet;

use super::drive::{End, Sent, run_number};

/// Entries of a page: the most that the server gives.
const PAGE: u32 = 1_000;
/// Tenants whose runs are read at once.
const READERS: usize = 4;
/// The server stamps a run after the loader sent it, and the list is in the order of the stamps.
const SLACK_US: u64 = 5_000_000;

/// Whose clock the time before the end is counted from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begin {
    /// When the submission was due, by the loader's clock: loader and server are on one machine.
    Due,
    /// When the server admitted it: the loader's clock may differ.
    Admitted,
}

/// Reads the lists of runs and notes the ends in the records. `start` is the moment from which records count.
pub(crate) async fn collect(
    client: &Client,
    tenants: &Arc<[String]>,
    sent: &mut Sent,
    start: Timestamp,
    begin: Begin,
) -> anyhow::Result<()> {
    let mut readers: JoinSet<anyhow::Result<Vec<Run>>> = JoinSet::new();
    let mut wanted = vec![false; tenants.len()];
    for record in &sent.records {
        wanted[record.tenant as usize] = true;
    }
    let mut left = (0..tenants.len()).filter(|tenant| wanted[*tenant]);
    loop {
        while readers.len() < READERS
            && let Some(tenant) = left.next()
        {
            let (client, tenants) = (client.clone(), tenants.clone());
            readers.spawn(async move { runs_since(&client, &tenants[tenant], start).await });
        }
        let Some(runs) = readers.join_next().await else { return Ok(()) };
        for run in runs?? {
            note(sent, &run, start, begin)?;
        }
    }
}

async fn runs_since(client: &Client, tenant: &str, start: Timestamp) -> anyhow::Result<Vec<Run>> {
    let oldest = Timestamp(start.0.saturating_sub(SLACK_US));
    let mut filter = RunFilter { limit: Some(PAGE), ..RunFilter::default() };
    let mut runs = Vec::new();
    loop {
        let page = client.runs(tenant, &filter).await;
        let page = page.with_context(|| format!("cannot list the runs of {tenant}"))?;
        let is_past = page.items.last().is_none_or(|run| run.created_at < oldest);
        runs.extend(page.items);
        match page.next {
            Some(next) if !is_past => filter.cursor = Some(next),
            _ => return Ok(runs),
        }
    }
}

fn note(sent: &mut Sent, run: &Run, start: Timestamp, begin: Begin) -> anyhow::Result<()> {
    let Some(at) = sent.runs.get(&run_number(&run.id)?) else { return Ok(()) };
    let record = &mut sent.records[*at];
    record.end = match (run.status, run.ended_at) {
        (RunStatus::Completed, Some(ended)) => {
            let ended_us = match begin {
                Begin::Due => ended.0.saturating_sub(start.0),
                Begin::Admitted => record.due_us + ended.0.saturating_sub(run.created_at.0),
            };
            // The server's clock never runs backwards and may therefore be a little behind the loader's.
            End::Completed { at_us: ended_us.max(record.due_us) }
        }
        (status, _) if status.is_ended() => End::Failed,
        _ => End::Open,
    };
    Ok(())
}
