//! One measured phase: submissions at their times, live progress, the wait for the last run, and the records.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use fairlane_client::Client;
use fairlane_client::api::Timestamp;
use indicatif::ProgressBar;

use super::collect::{Begin, collect};
use super::drive::{Arrival, Sent, Taken, Target, drive, micros};

/// Between making everything ready and the first arrival.
const LEAD: Duration = Duration::from_millis(100);
/// How often the waiting and running are looked at. Each look is two requests.
const LOOK: Duration = Duration::from_millis(200);

/// What a phase needs besides its arrivals.
#[derive(Debug)]
pub(crate) struct Phase<'a> {
    pub(crate) target: &'a Target,
    pub(crate) pool: &'a str,
    pub(crate) begin: Begin,
    /// Name for the progress bar.
    pub(crate) label: &'a str,
    pub(crate) bar: ProgressBar,
    /// If no run ends for this long after the last arrival, those that are open are given up.
    pub(crate) patience: Duration,
}

/// What a phase brought.
#[derive(Debug)]
pub(crate) struct Phased {
    pub(crate) sent: Sent,
    /// From the first arrival to the end of the last run.
    pub(crate) elapsed: Duration,
    /// Slot time that the server counted.
    pub(crate) service_us: u64,
    /// Most slots seen taken at once, and most steps seen waiting for one.
    pub(crate) slots_seen: u32,
    pub(crate) waiting_seen: u64,
}

#[derive(Debug, Default)]
struct Seen {
    slots: AtomicU64,
    waiting: AtomicU64,
}

/// Runs a phase to its end.
pub(crate) async fn run(
    phase: &Phase<'_>,
    arrivals: impl Iterator<Item = anyhow::Result<Arrival>>,
) -> anyhow::Result<Phased> {
    let client = &phase.target.client;
    let before = service_us(client).await?;
    let base = client.valve().await?.live_runs;
    let (taken, seen) = (Taken::default(), Seen::default());
    let (start, clock) = (Instant::now() + LEAD, unix_now() + micros(LEAD));
    let mut sent = tokio::select! {
        sent = drive(phase.target, arrivals, start, &taken) => sent?,
        failed = watch(phase, &taken, &seen, base) => return Err(failed),
    };
    drain(phase, &taken, &seen, base).await?;
    let elapsed = start.elapsed();
    phase.bar.set_message(format!("{}: reading the results", phase.label));
    collect(client, &phase.target.tenants, &mut sent, Timestamp(clock), phase.begin).await?;
    let service_us = service_us(client).await?.saturating_sub(before);
    phase.bar.finish_and_clear();
    Ok(Phased {
        sent,
        elapsed,
        service_us,
        slots_seen: u32::try_from(seen.slots.load(Ordering::Relaxed)).unwrap_or(u32::MAX),
        waiting_seen: seen.waiting.load(Ordering::Relaxed),
    })
}

/// Looks for as long as submissions go on; returns only with an error.
async fn watch(phase: &Phase<'_>, taken: &Taken, seen: &Seen, base: u64) -> anyhow::Error {
    loop {
        tokio::time::sleep(LOOK).await;
        if let Err(error) = look(phase, taken, seen, base).await {
            return error;
        }
    }
}

/// Waits until every run has ended, or none has for too long.
async fn drain(phase: &Phase<'_>, taken: &Taken, seen: &Seen, base: u64) -> anyhow::Result<()> {
    let mut least = u64::MAX;
    let mut since = Instant::now();
    loop {
        let live = look(phase, taken, seen, base).await?;
        if live <= base {
            return Ok(());
        }
        if live < least {
            (least, since) = (live, Instant::now());
        } else if since.elapsed() > phase.patience {
            return Ok(());
        }
        tokio::time::sleep(LOOK / 4).await;
    }
}

/// One look: how many runs are live, for the bar and the peaks.
async fn look(phase: &Phase<'_>, taken: &Taken, seen: &Seen, base: u64) -> anyhow::Result<u64> {
    let client = &phase.target.client;
    let live = client.valve().await.context("the server does not answer any more")?.live_runs;
    let pool = client.pool(phase.pool).await?;
    seen.slots.fetch_max(u64::from(pool.in_flight), Ordering::Relaxed);
    seen.waiting.fetch_max(pool.waiting, Ordering::Relaxed);
    let taken = taken.load(Ordering::Relaxed);
    phase.bar.set_position(taken.saturating_sub(live.saturating_sub(base)));
    phase.bar.set_message(format!(
        "{}: {:>3} of {} slots, {:>5} steps waiting",
        phase.label, pool.in_flight, pool.slots, pool.waiting
    ));
    Ok(live)
}

/// Slot time that all tenants used since the server started.
async fn service_us(client: &Client) -> anyhow::Result<u64> {
    let readings = client.all_readings().await.context("cannot read the tenants' numbers")?;
    Ok(readings.iter().map(|reading| reading.service_us).sum())
}

/// Microseconds of the epoch, by the clock of this machine.
pub(crate) fn unix_now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    micros(since)
}
