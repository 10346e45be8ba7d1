//! Submissions at planned times, whatever the server does meanwhile: an open loop, as the world is.
//!
//! An arrival that could not be sent in time is sent late and still counts from the moment at which it was due,
//! so that a server that holds up its clients does not make its own numbers better.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use fairlane_client::api::Json;
use fairlane_client::api::run::BatchEntry;
use fairlane_client::{Client, Error, Submit};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::measure::Latencies;

/// Requests under way at once. Enough for a second of a slow server at the rates of this machine; what comes on top
/// waits, and counts as late.
const REQUESTS_MAX: usize = 256;
/// Submissions of one request. Larger ones would make the others of the same turn wait.
const BATCH_MAX: usize = 50;
/// Bound on what is remembered of a measurement: 64 bytes each.
pub(crate) const ARRIVALS_MAX: usize = 5_000_000;

/// A submission that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arrival {
    /// After the start.
    pub(crate) due: Duration,
    /// Position in the list of tenants.
    pub(crate) tenant: u32,
    /// Slot time that it needs.
    pub(crate) work_us: u64,
}

/// What to submit, where, for whom.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) client: Client,
    pub(crate) workflow: String,
    pub(crate) tenants: Arc<[String]>,
    /// The input of a run.
    pub(crate) input: fn(&Arrival) -> serde_json::Value,
    /// The idempotency key of its submission, if it has one.
    pub(crate) key: fn(&Arrival) -> Option<String>,
}

/// One submission and what became of it. Times are microseconds after the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) tenant: u32,
    pub(crate) due_us: u64,
    pub(crate) work_us: u64,
    pub(crate) end: End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The server did not take it.
    Refused,
    /// Taken, and not seen to end.
    Open,
    Failed,
    Completed {
        at_us: u64,
    },
}

/// All submissions of a measurement.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    pub(crate) records: Vec<Record>,
    /// The record of each run that was taken.
    pub(crate) runs: HashMap<u128, usize>,
    /// Problem codes, and how many submissions got each.
    pub(crate) refused: BTreeMap<String, u64>,
    /// From due to sent.
    pub(crate) lateness: Latencies,
}

/// Runs that were taken so far, for whoever watches.
pub(crate) type Taken = AtomicU64;

/// What one request brought: the arrival, and the run or the problem's code.
type Answers = Vec<(Arrival, Result<u128, String>)>;

/// Submits all arrivals, which come in the order of their times.
pub(crate) async fn drive(
    target: &Target,
    arrivals: impl Iterator<Item = anyhow::Result<Arrival>>,
    start: Instant,
    taken: &Taken,
) -> anyhow::Result<Sent> {
    let mut arrivals = arrivals;
    let mut sent = Sent::default();
    let room = Arc::new(Semaphore::new(REQUESTS_MAX));
    let mut flights: JoinSet<anyhow::Result<Answers>> = JoinSet::new();
    let mut next = arrivals.next().transpose()?;
    while let Some(first) = next {
        tokio::time::sleep_until((start + first.due).into()).await;
        let now = start.elapsed();
        let mut due: BTreeMap<u32, Vec<Arrival>> = BTreeMap::new();
        while let Some(arrival) = next.take_if(|arrival| arrival.due <= now) {
            due.entry(arrival.tenant).or_default().push(arrival);
            next = arrivals.next().transpose()?;
        }
        for batch in due.values().flat_map(|group| group.chunks(BATCH_MAX)) {
            let permit = room.clone().acquire_owned().await.context("the loader stopped")?;
            let sending = start.elapsed();
            for arrival in batch {
                sent.lateness.record(micros(sending.saturating_sub(arrival.due)));
            }
            let submit = submit(target, batch.to_vec());
            flights.spawn(async move {
                let _permit = permit;
                submit.await
            });
        }
        while let Some(answers) = flights.try_join_next() {
            sent.take(answers??, taken)?;
        }
    }
    while let Some(answers) = flights.join_next().await {
        sent.take(answers??, taken)?;
    }
    Ok(sent)
}

impl Sent {
    fn take(&mut self, answers: Answers, taken: &Taken) -> anyhow::Result<()> {
        for (arrival, answer) in answers {
            let end = match answer {
                Ok(run) => {
                    self.runs.insert(run, self.records.len());
                    taken.fetch_add(1, Ordering::Relaxed);
                    End::Open
                }
                Err(code) => {
                    *self.refused.entry(code).or_default() += 1;
                    End::Refused
                }
            };
            let (tenant, due_us, work_us) = (arrival.tenant, micros(arrival.due), arrival.work_us);
            self.records.push(Record { tenant, due_us, work_us, end });
        }
        if self.records.len() > ARRIVALS_MAX {
            bail!("more than {ARRIVALS_MAX} arrivals in one measurement");
        }
        Ok(())
    }
}

/// The request for arrivals of one tenant.
fn submit(
    target: &Target,
    batch: Vec<Arrival>,
) -> impl Future<Output = anyhow::Result<Answers>> + Send + 'static {
    let client = target.client.clone();
    let tenants = target.tenants.clone();
    let workflow = target.workflow.clone();
    let (input, key) = (target.input, target.key);
    async move {
        let tenant = &tenants[batch[0].tenant as usize];
        if let [arrival] = batch[..] {
            let mut submit = Submit::new(workflow).input(&input(&arrival));
            if let Some(key) = key(&arrival) {
                submit = submit.idempotency_key(key);
            }
            return match client.submit(tenant, submit).await {
                Ok(submitted) => Ok(vec![(arrival, Ok(run_number(&submitted.run)?))]),
                Err(error) => Ok(vec![(arrival, Err(refusal(error)?))]),
            };
        }
        let entries = batch
            .iter()
            .map(|arrival| entry(&workflow, &input(arrival), key(arrival)))
            .collect::<Result<Vec<_>, _>>()?;
        match client.submit_batch(tenant, entries).await {
            Ok(answer) => {
                let results =
                    answer.results.into_iter().map(|result| match (result.run, result.problem) {
                        (Some(run), _) => run_number(&run).map(Ok),
                        (None, Some(problem)) => Ok(Err(problem.code)),
                        (None, None) => Ok(Err(result.status.to_string())),
                    });
                let results: Vec<_> = results.collect::<anyhow::Result<_>>()?;
                Ok(batch.into_iter().zip(results).collect())
            }
            Err(error) => {
                let code = refusal(error)?;
                Ok(batch.into_iter().map(|arrival| (arrival, Err(code.clone()))).collect())
            }
        }
    }
}

fn entry(
    workflow: &str,
    input: &serde_json::Value,
    idempotency_key: Option<String>,
) -> anyhow::Result<BatchEntry> {
    let input: Json = serde_json::value::to_raw_value(input)?;
    Ok(BatchEntry {
        workflow: workflow.to_owned(),
        version: None,
        lane: None,
        input: Some(input),
        idempotency_key,
    })
}

/// The code of a refusal that belongs into the results; an error if the measurement cannot go on.
fn refusal(error: Error) -> anyhow::Result<String> {
    match error.problem() {
        Some(problem) if matches!(problem.status, 402 | 429 | 503) => Ok(problem.code.clone()),
        _ => Err(error).context("a submission failed"),
    }
}

/// A run's id as a number: sixteen bytes instead of a text for each of a million runs.
pub(crate) fn run_number(id: &str) -> anyhow::Result<u128> {
    u128::from_str_radix(&id.replace('-', ""), 16)
        .with_context(|| format!("the run id {id:?} is not a UUID"))
}

pub(crate) fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_id_is_read_as_a_number() {
        let id = "01890a5d-ac96-774b-bcce-b302099a8057";
        assert_eq!(run_number(id).unwrap(), 0x0189_0a5d_ac96_774b_bcce_b302_099a_8057);
        assert!(run_number("run-7").is_err());
    }

    #[test]
    fn what_was_refused_is_a_record_with_its_code() {
        let arrival = Arrival { due: Duration::from_millis(7), tenant: 3, work_us: 45 };
        let mut sent = Sent::default();
        let answers = vec![(arrival, Ok(9)), (arrival, Err("tenant-queue-full".to_owned()))];
        sent.take(answers, &Taken::default()).unwrap();
        assert_eq!(sent.runs.get(&9), Some(&0));
        assert_eq!(sent.records[1].end, End::Refused);
        assert_eq!(sent.refused["tenant-queue-full"], 1);
    }
}
