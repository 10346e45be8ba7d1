//! What a task knows of the step that it executes, and how it learns that it should stop.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use fairlane_api::Timestamp;
use fairlane_api::quota::Amount;
use fairlane_api::view::Part;
use fairlane_api::worker::Lease;
use serde::de::DeserializeOwned;
use tokio::sync::Notify;

/// The step that a task executes, for whom, and in which attempt. Cheap to clone.
#[derive(Clone)]
pub struct Context(Arc<Shared>);

struct Shared {
    lease: Lease,
    gateway_url: Arc<str>,
    cancel: Cancel,
    /// In nano-units; `COST_UNKNOWN` as long as the task has said nothing.
    cost: AtomicU64,
}

const COST_UNKNOWN: u64 = u64::MAX;
/// The most that the server takes: a thousand million units.
const COST_MAX: u64 = 1_000_000_000_000_000_000;
const NANO: u64 = 1_000_000_000;

/// Tells one task that its work is not wanted any more.
#[derive(Debug, Default)]
struct Cancel {
    cancelled: AtomicBool,
    /// The task has asked to be told, so that it is given time to end by itself.
    observed: AtomicBool,
    woken: Notify,
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("lease", &self.0.lease.lease).finish_non_exhaustive()
    }
}

impl Context {
    pub(super) fn new(lease: Lease, gateway_url: Arc<str>) -> Self {
        let cost = AtomicU64::new(COST_UNKNOWN);
        Self(Arc::new(Shared { lease, gateway_url, cancel: Cancel::default(), cost }))
    }

    pub fn tenant(&self) -> &str {
        &self.0.lease.tenant
    }

    /// The tenant's organisation.
    pub fn org(&self) -> &str {
        &self.0.lease.context.org
    }

    /// The tenant's tier.
    pub fn tier(&self) -> &str {
        &self.0.lease.context.tier
    }

    /// The tenant's attributes, as `T`.
    ///
    /// # Errors
    /// If they do not have the form of `T`.
    pub fn attributes<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.0.lease.context.attributes.get())
    }

    pub fn run(&self) -> &str {
        &self.0.lease.run
    }

    pub fn workflow(&self) -> &str {
        &self.0.lease.workflow
    }

    /// Version of the workflow.
    pub fn version(&self) -> u32 {
        self.0.lease.version
    }

    pub fn step(&self) -> &str {
        &self.0.lease.step
    }

    /// The step itself, one item of its `map`, or its compensation.
    pub fn part(&self) -> Part {
        self.0.lease.part
    }

    pub fn task(&self) -> &str {
        &self.0.lease.task
    }

    /// 1 for the first attempt.
    pub fn attempt(&self) -> u32 {
        self.0.lease.attempt
    }

    /// The same over all attempts of the step: give it to the systems that the task calls, so that a repeated
    /// attempt has no second effect.
    pub fn idempotency_key(&self) -> &str {
        &self.0.lease.idempotency_key
    }

    /// The key to call models with, as a client of OpenAI's API does at [`Context::gateway_url`]. The run pays for the
    /// calls, and they end with the attempt. A server without a gateway gives none.
    pub fn gateway_token(&self) -> Option<&str> {
        self.0.lease.gateway.as_ref().map(|gateway| &*gateway.token)
    }

    /// The base URL to call models at, such as `http://127.0.0.1:7420/v1`.
    pub fn gateway_url(&self) -> &str {
        &self.0.gateway_url
    }

    /// When the server takes the attempt for failed, by the server's clock.
    pub fn deadline(&self) -> Timestamp {
        self.0.lease.deadline
    }

    /// The whole lease as it came.
    pub fn lease(&self) -> &Lease {
        &self.0.lease
    }

    /// Says what the attempt really cost, in nano-units of the platform's currency, however it ends. The last word
    /// counts; without one the attempt cost what was held for it.
    pub fn set_cost_nano(&self, nano: u64) {
        self.0.cost.store(nano.min(COST_MAX), Ordering::SeqCst);
    }

    /// What the task has said that the attempt cost.
    pub(super) fn cost(&self) -> Option<Amount> {
        let nano = Some(self.0.cost.load(Ordering::SeqCst)).filter(|nano| *nano != COST_UNKNOWN)?;
        Some(Amount(format!("{}.{:09}", nano / NANO, nano % NANO)))
    }

    /// Ends when the work is not wanted any more: the run was cancelled or the attempt took too long.
    ///
    /// A task that never asks is dropped at its next `.await`. One that has asked is given the worker's
    /// [grace](super::Worker::grace) to end by itself, then it is dropped too. What it returns is reported, and
    /// the server decides what it still counts for.
    pub fn cancelled(&self) -> impl Future<Output = ()> + use<> {
        let shared = self.0.clone();
        shared.cancel.observed.store(true, Ordering::SeqCst);
        async move {
            // Made before the look at the flag, so that it hears what comes after.
            let woken = shared.cancel.woken.notified();
            if !shared.cancel.cancelled.load(Ordering::SeqCst) {
                woken.await;
            }
        }
    }

    pub fn is_cancelled(&self) -> bool {
        self.0.cancel.cancelled.load(Ordering::SeqCst)
    }

    /// Tells the task to stop. True: it has asked to be told, so give it time.
    pub(super) fn cancel(&self) -> bool {
        let cancel = &self.0.cancel;
        cancel.cancelled.store(true, Ordering::SeqCst);
        cancel.woken.notify_waiters();
        cancel.observed.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[tokio::test]
    async fn a_task_that_waits_for_the_end_is_woken() {
        let context = Context::new(fixture::lease("a"), "http://test/v1".into());
        let waiting = tokio::spawn(context.cancelled());
        assert!(context.cancel(), "it has asked");
        waiting.await.unwrap();
        context.cancelled().await;
    }

    #[test]
    fn the_last_cost_that_a_task_says_counts() {
        let context = Context::new(fixture::lease("a"), "http://test/v1".into());
        assert_eq!(context.cost(), None);
        for (nano, cost) in
            [(u64::MAX, "1000000000.000000000"), (1_050_000_000, "1.050000000"), (0, "0.000000000")]
        {
            context.set_cost_nano(nano);
            assert_eq!(context.cost(), Some(cost.into()));
        }
    }

    #[test]
    fn a_task_that_never_asked_is_not_waited_for() {
        let context = Context::new(fixture::lease("a"), "http://test/v1".into());
        assert!(!context.cancel());
        assert!(context.is_cancelled());
    }
}
