//! The worker's loop: starts tasks, sends exchanges, stops what is revoked. What to send and when is the
//! ledger's to say; here is the waiting.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fairlane_api::Json;
use fairlane_api::worker::{Completed, Exchange, Exchanged, Failed, Lease, Report};
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio::time::sleep_until;

use super::ledger::{Ledger, Orders, Plan};
use super::task::{TaskError, Tasks, class};
use super::{Context, Setup};
use crate::retry::Backoff;
use crate::{Client, Error, RetryPolicy};

/// A worker comes back to a server that was away for however long.
const RECONNECT: RetryPolicy = RetryPolicy {
    attempts_max: u32::MAX,
    delay_min: Duration::from_millis(20),
    delay_max: Duration::from_secs(2),
    patience: Duration::MAX,
};

type Ended = Result<(Id, Result<Json, TaskError>), JoinError>;

pub(super) struct Session {
    client: Client,
    setup: Setup,
    tasks: Arc<Tasks>,
    ledger: Ledger,
    running: BTreeMap<String, Running>,
    leases: HashMap<Id, String>,
    attempts: JoinSet<Result<Json, TaskError>>,
    exchanges: JoinSet<(u64, Result<Exchanged, Error>)>,
    backoff: Backoff,
    /// The server is away: nothing is sent before this.
    not_before: Option<Instant>,
    /// Tasks that were told to stop, and when they are dropped.
    stopping: BTreeMap<String, Instant>,
    gateway_url: Arc<str>,
}

struct Running {
    context: Context,
    abort: AbortHandle,
}

impl Session {
    pub(super) fn new(client: &Client, setup: Setup, tasks: Arc<Tasks>) -> Self {
        Self {
            client: client.with_retry(RetryPolicy::NEVER),
            ledger: Ledger::new(setup.slots),
            setup,
            tasks,
            running: BTreeMap::new(),
            leases: HashMap::new(),
            attempts: JoinSet::new(),
            exchanges: JoinSet::new(),
            backoff: Backoff::new(RECONNECT),
            not_before: None,
            stopping: BTreeMap::new(),
            gateway_url: client.gateway_url().into(),
        }
    }

    /// Works until `stop` ends, then finishes what it holds and reports it.
    pub(super) async fn run(mut self, stop: impl Future<Output = ()>) -> Result<(), Error> {
        let mut stop = pin!(stop);
        let mut stopping = false;
        while !self.ledger.is_drained() {
            self.send_due();
            let wake = self.wake_at();
            tokio::select! {
                Some(ended) = self.attempts.join_next_with_id() => self.finished(ended),
                Some(answer) = self.exchanges.join_next() => self.landed(answer).await?,
                () = &mut stop, if !stopping => {
                    stopping = true;
                    self.ledger.drain();
                    tracing::info!(held = self.ledger.held(), "worker drains");
                }
                () = sleep_until(wake.unwrap_or_else(Instant::now).into()), if wake.is_some() => {}
            }
            // Whatever else has ended goes with the same report.
            while let Some(ended) = self.attempts.try_join_next_with_id() {
                self.finished(ended);
            }
            self.drop_overdue();
        }
        Ok(())
    }

    fn wake_at(&self) -> Option<Instant> {
        let due = match (self.ledger.wake_at(), self.not_before) {
            (Some(wake), Some(not_before)) => Some(wake.max(not_before)),
            (wake, not_before) => wake.or(not_before),
        };
        [due, self.stopping.values().min().copied()].into_iter().flatten().min()
    }

    fn send_due(&mut self) {
        let now = Instant::now();
        if self.not_before.is_some_and(|at| at > now) {
            return;
        }
        self.not_before = None;
        while let Some(plan) = self.ledger.next(now) {
            self.send(plan);
        }
    }

    fn send(&mut self, plan: Plan) {
        let wait = if plan.hold { self.setup.poll } else { Duration::ZERO };
        let exchange = Exchange {
            worker: self.setup.name.clone(),
            pool: self.setup.pool.clone(),
            region: self.setup.region.clone(),
            slots: plan.slots,
            want: plan.want,
            wait_ms: u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
            report: plan.reports,
        };
        let client = self.client.clone();
        let flight = plan.flight;
        self.exchanges.spawn(async move { (flight, client.exchange(&exchange).await) });
    }

    async fn landed(
        &mut self,
        answer: Result<(u64, Result<Exchanged, Error>), JoinError>,
    ) -> Result<(), Error> {
        let (flight, result) = answer.expect("an exchange is never aborted and does not panic");
        match result {
            Ok(exchanged) => {
                self.backoff = Backoff::new(RECONNECT);
                self.not_before = None;
                let orders = self.ledger.answered(flight, exchanged, Instant::now());
                self.follow(orders).await;
                Ok(())
            }
            Err(error)
                if blames_a_report(&error)
                    && self.ledger.unreadable(flight, &error.to_string()) =>
            {
                Ok(())
            }
            Err(error) if is_transient(&error) => {
                self.ledger.failed(flight);
                let wait = self.backoff.next(error.retry_after()).unwrap_or(RECONNECT.delay_max);
                self.not_before = Some(Instant::now() + wait);
                tracing::warn!(%error, ?wait, "exchange failed, trying again");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    async fn follow(&mut self, orders: Orders) {
        for lease in &orders.stop {
            self.stop(lease);
        }
        for (lease, reason) in orders.refused {
            tracing::debug!(lease, ?reason, "outcome not recorded");
        }
        if orders.start.is_empty() {
            return;
        }
        for lease in orders.start {
            self.start(lease);
        }
        // Lets tasks that need no waiting end before the next exchange is opened, which then reports them.
        tokio::task::yield_now().await;
    }

    fn start(&mut self, lease: Lease) {
        let name = lease.lease.clone();
        let context = Context::new(lease, self.gateway_url.clone());
        let tasks = self.tasks.clone();
        let given = context.clone();
        // The task's own code, its first lines included, runs inside: a panic there is a failed attempt.
        let abort = self.attempts.spawn(async move { tasks.attempt(given).await });
        self.leases.insert(abort.id(), name.clone());
        self.running.insert(name, Running { context, abort });
    }

    /// Tells a task that its work is not wanted; drops it now, or after the grace if it has asked to be told.
    fn stop(&mut self, lease: &str) {
        let Some(running) = self.running.get(lease) else { return };
        if running.context.is_cancelled() {
            return;
        }
        if running.context.cancel() {
            self.stopping.insert(lease.to_owned(), Instant::now() + self.setup.grace);
        } else {
            running.abort.abort();
        }
    }

    fn drop_overdue(&mut self) {
        if self.stopping.is_empty() {
            return;
        }
        let now = Instant::now();
        let running = &self.running;
        self.stopping.retain(|lease, at| {
            let overdue = *at <= now;
            if let (true, Some(running)) = (overdue, running.get(lease)) {
                running.abort.abort();
            }
            !overdue
        });
    }

    fn finished(&mut self, ended: Ended) {
        let (id, result) = match ended {
            Ok((id, result)) => (id, result),
            Err(error) => (error.id(), Err(unfinished(error))),
        };
        let Some(lease) = self.leases.remove(&id) else { return };
        let cost = self.running.remove(&lease).and_then(|running| running.context.cost());
        self.stopping.remove(&lease);
        self.ledger.finish(match result {
            Ok(output) => Report {
                lease,
                completed: Some(Completed { output: Some(output), cost }),
                ..Report::default()
            },
            Err(error) => Report::failed(lease, Failed { cost, ..error.into_report() }),
        });
    }
}

/// The failure of a task that did not come to its end.
fn unfinished(error: JoinError) -> TaskError {
    match error.try_into_panic() {
        Ok(panic) => {
            let message = panic
                .downcast_ref::<&str>()
                .map(|text| (*text).to_owned())
                .or_else(|| panic.downcast_ref::<String>().cloned())
                .unwrap_or_else(|| "the task panicked".to_owned());
            TaskError::retryable(class::PANIC, message)
        }
        Err(_) => TaskError::fatal(class::CANCELLED, "the lease was revoked and the task stopped"),
    }
}

/// What a report says cannot be read, rather than what the worker says of itself.
fn blames_a_report(error: &Error) -> bool {
    let pointer = error.problem().and_then(|problem| problem.pointer.as_deref());
    match error.status() {
        Some(413) => true,
        Some(400 | 422) => pointer.is_none_or(|pointer| pointer.starts_with("/report")),
        _ => false,
    }
}

/// Another try may succeed though nothing changes here.
fn is_transient(error: &Error) -> bool {
    error.is_unavailable() || error.status().is_some_and(|status| status >= 500 || status == 429)
}
