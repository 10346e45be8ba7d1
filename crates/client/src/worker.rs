//! The worker SDK: tasks are async functions, a worker is five lines.
//!
//! ```no_run
//! use fairlane_client::Client;
//! use fairlane_client::worker::{Context, Worker};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Deserialize)]
//! struct VerifyInput { applicant: String }
//! #[derive(Serialize)]
//! struct Verified { ok: bool }
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::new("http://127.0.0.1:7420", "fl_...")?;
//! Worker::new(client, "default")
//!     .slots(32)
//!     .task("verify_identity", |ctx: Context, input: VerifyInput| async move {
//!         println!("{} for {}", input.applicant, ctx.tenant());
//!         Ok(Verified { ok: true })
//!     })
//!     .run()
//!     .await?;
//! # Ok(())
//! # }
//! ```
//!
//! # What the worker does by itself
//!
//! - It asks for as many leases as it has free slots, by one long poll.
//! - It renews the leases of tasks that take long.
//! - It reports outcomes until the server has accepted them. A server that is killed and started again finds
//!   the worker at its door, with the same leases; the server records each outcome once.
//! - A task that panics is a failed attempt, and so is one that the worker does not have (`unknown-task`).
//! - When a run is cancelled or an attempt takes too long, the task is told ([`Context::cancelled`]) or dropped.
//! - On SIGTERM or ctrl-c it asks for nothing more, finishes what it holds, reports it and returns. A second
//!   signal makes it return at once; what it held is dispatched again when its leases have run out.
//!
//! An attempt can be repeated after it had its effects: the worker may die before it reports. Give
//! [`Context::idempotency_key`] to the systems that a task calls.
//!
//! Tasks run on the runtime that polls the worker. One that computes for long, or blocks, belongs into
//! `tokio::task::spawn_blocking`.

mod context;
#[cfg(test)]
mod fixture;
mod ledger;
mod session;
mod signals;
mod task;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use context::Context;
pub use task::{TaskError, class};

use crate::Client;
use crate::retry::random_u64;
use session::Session;
use signals::Signals;
use task::{Tasks, erase};

/// How long one long poll stays open. Far below what proxies and firewalls allow for a silent connection.
const POLL: Duration = Duration::from_secs(20);
/// How long a task that was told to stop may take.
const GRACE: Duration = Duration::from_secs(5);
const SLOTS: u32 = 16;

/// Why a worker ended before it was told to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("the worker has no task")]
    NoTask,
    /// The server refuses this worker, and would do so again: a wrong key, or a pool that is not declared.
    #[error(transparent)]
    Refused(#[from] crate::Error),
    #[error("cannot listen for signals: {0}")]
    Signals(std::io::Error),
    #[error("told to stop for a second time before the work was finished")]
    Interrupted,
}

/// A worker: tasks, and the pool whose steps it takes.
#[derive(Debug)]
#[must_use = "a worker does nothing until it is run"]
pub struct Worker {
    client: Client,
    setup: Setup,
    tasks: Tasks,
}

/// How a worker presents itself.
#[derive(Clone, Debug)]
struct Setup {
    name: String,
    pool: String,
    region: Option<String>,
    slots: u32,
    poll: Duration,
    grace: Duration,
}

impl Worker {
    /// A worker for the steps of `pool`, without tasks yet. It has 16 slots and a name that no other has.
    pub fn new(client: Client, pool: impl Into<String>) -> Self {
        let name = format!("worker-{}-{:08x}", std::process::id(), random_u64() >> 32);
        let (pool, region) = (pool.into(), None);
        let setup = Setup { name, pool, region, slots: SLOTS, poll: POLL, grace: GRACE };
        Self { client, setup, tasks: Tasks::default() }
    }

    /// Steps that it executes at once; at least 1, at most 10,000.
    pub fn slots(mut self, slots: u32) -> Self {
        self.setup.slots = slots.clamp(1, 10_000);
        self
    }

    /// The region in which it is, for a server of several. A worker's key says so already.
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.setup.region = Some(region.into());
        self
    }

    /// How it calls itself; unique among the workers of the pool. Shown where a step says who executes it.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.setup.name = name.into();
        self
    }

    /// How long a task that has asked for [`Context::cancelled`] may take to end by itself (5 s by default).
    pub const fn grace(mut self, grace: Duration) -> Self {
        self.setup.grace = grace;
        self
    }

    /// Adds a task. The input is what the step names in `with`, as an object; the output is what
    /// `steps.NAME.output` is to later steps.
    ///
    /// An input that `In` cannot be read from is a failure of class `invalid-input` that is not retried.
    pub fn task<Task, Running, In, Out>(mut self, name: impl Into<String>, task: Task) -> Self
    where
        Task: Fn(Context, In) -> Running + Send + Sync + 'static,
        Running: Future<Output = Result<Out, TaskError>> + Send + 'static,
        In: DeserializeOwned,
        Out: Serialize,
    {
        self.tasks.insert(name.into(), erase(task));
        self
    }

    /// What to do with tasks that have no function of their own ([`Context::task`] tells which it is). Without
    /// it they fail as `unknown-task`.
    pub fn fallback<Task, Running, In, Out>(mut self, task: Task) -> Self
    where
        Task: Fn(Context, In) -> Running + Send + Sync + 'static,
        Running: Future<Output = Result<Out, TaskError>> + Send + 'static,
        In: DeserializeOwned,
        Out: Serialize,
    {
        self.tasks.set_fallback(erase(task));
        self
    }

    /// Works until SIGTERM or ctrl-c, then drains: asks for nothing, finishes what it holds, and reports until
    /// the server has accepted it all, or a second signal comes.
    ///
    /// # Errors
    /// If the server refuses the worker, if signals cannot be listened for, or on a second signal.
    pub async fn run(self) -> Result<(), Error> {
        let mut signals = Signals::listen().map_err(Error::Signals)?;
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let working = self.run_until(async move {
            // It cannot fail: the sender is alive until it is used.
            let _ = stopped.await;
        });
        let mut working = std::pin::pin!(working);
        tokio::select! {
            ended = &mut working => return ended,
            () = signals.next() => {}
        }
        let _ = stop.send(());
        tokio::select! {
            ended = working => ended,
            () = signals.next() => Err(Error::Interrupted),
        }
    }

    /// Works until `stop` ends, then drains as [`Worker::run`] does. Dropping the returned future drops the tasks
    /// with it.
    ///
    /// # Errors
    /// If the server refuses the worker. Tasks under way are dropped: their outcomes could not be reported.
    pub async fn run_until(self, stop: impl Future<Output = ()>) -> Result<(), Error> {
        if self.tasks.is_empty() {
            return Err(Error::NoTask);
        }
        let session = Session::new(&self.client, self.setup, Arc::new(self.tasks));
        session.run(stop).await.map_err(Error::from)
    }
}
