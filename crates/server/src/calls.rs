//! The server at work in its own pool: it takes leases as a worker does, calls models and tools, and reports.
//!
//! One loop exchanges with the cell: it sends what has ended, renews what goes on, and asks for as much as it can take. Each
//! lease is a task of its own. What was sent and not acknowledged is sent again; the cell records it once.
//!
//! - `model` calls a model and reads its answer, `tool` makes the request of a tool.
//! - `prompt` makes what a model is asked out of a step's inputs.

mod model;
pub(crate) mod prompt;
mod tool;

use std::collections::BTreeMap;
use std::time::Duration;

use fairlane_core::catalog::{Metered, Usage};
use fairlane_core::cell::effect::{Grant, Work};
use fairlane_core::cell::input::{
    AskId, Called as Answered, Configure, Exchange, Input, Judged, Outcome, Report,
};
use fairlane_core::id::WorkerName;
use fairlane_core::limiter::Answer;
use fairlane_core::plan::SERVER_POOL;
use fairlane_core::pool::{Policy, Pool};
use fairlane_core::row::{Failure, LeaseId, Payload};
use fairlane_core::time::Span;
use fairlane_workflow::{Mode, Template};
use serde_json::Map;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::MissedTickBehavior;
use tracing::Instrument;

use crate::access;
use crate::body::readable;
use crate::engine::desk::Handover;
use crate::output::{self, Unfit};
use crate::problem::Refused;
use crate::serve::Shared;
use crate::telemetry::Called;

/// Leases that it may hold at once; how many it gets is for the pool to say.
const SLOTS: u32 = 10_000;
/// Slots of the pool until an operator declares it otherwise.
const POOL_SLOTS: u32 = 256;
/// A lease that is not renewed for this long is lost: so long, too, until what a killed server held is tried again.
const LEASE: Span = Span::from_secs(15);
const RENEW_EVERY: Duration = Duration::from_secs(5);
/// Waits before the cell is asked again that could not be.
const WAIT_MIN: Duration = Duration::from_millis(50);
const WAIT_MAX: Duration = Duration::from_secs(2);

/// Declares the pool, if nobody has.
pub(crate) async fn declare_pool(shared: &Shared) -> Result<(), Refused> {
    if shared.registry.pool(&SERVER_POOL).is_some() {
        return Ok(());
    }
    let pool = Pool {
        name: SERVER_POOL.clone(),
        slots: POOL_SLOTS,
        policy: Policy::Fair,
        quantum: Span::from_millis(100),
        long: None,
        lease: LEASE,
        age_guard: Span::from_secs(60),
        burst_credit_max: Span::from_secs(60),
        tasks: None,
    };
    let declared = shared.engine.ask(|reply| Input::Configure(reply, None, Configure::Pool(pool)));
    declared.await.map(drop)
}

/// Works until the server stops.
pub(crate) async fn work(shared: Shared) {
    let (events, inbox) = mpsc::unbounded_channel();
    let worker = WorkerName::parse(SERVER_POOL.as_str()).expect("the pool's name is one");
    let desk = Desk { shared, worker, events, running: BTreeMap::new() };
    desk.work(inbox).await;
}

struct Desk {
    shared: Shared,
    worker: WorkerName,
    events: mpsc::UnboundedSender<Event>,
    running: BTreeMap<LeaseId, Running>,
}

struct Running {
    task: AbortHandle,
    grant: Grant,
}

enum Event {
    /// The cell answered, or dropped, an exchange with these reports.
    Answered { ask: AskId, sent: Vec<Report>, answer: Option<Handover> },
    /// A lease has come to its end.
    Ended(Report),
    /// A lease cannot be worked on now.
    GivenBack(LeaseId),
}

impl Desk {
    async fn work(mut self, mut inbox: mpsc::UnboundedReceiver<Event>) {
        let mut reports = Vec::new();
        let mut wait = WAIT_MIN;
        let mut renew = tokio::time::interval(RENEW_EVERY);
        renew.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let Some(ask) = self.exchange(&mut reports) else {
                tokio::select! {
                    () = tokio::time::sleep(wait) => wait = (wait * 2).min(WAIT_MAX),
                    () = self.shared.stopping() => return,
                }
                continue;
            };
            wait = WAIT_MIN;
            let mut is_open = true;
            while is_open && reports.is_empty() {
                tokio::select! {
                    event = inbox.recv() => {
                        let Some(event) = event else { return };
                        is_open &= self.take(event, ask, &mut reports);
                    }
                    _ = renew.tick() => reports.extend(self.heartbeats()),
                    () = self.shared.stopping() => return self.stop(reports),
                }
                // What has come meanwhile goes into the same message.
                while let Ok(event) = inbox.try_recv() {
                    is_open &= self.take(event, ask, &mut reports);
                }
            }
        }
    }

    /// Sends the reports and asks for work; `None` if the cell cannot be reached.
    fn exchange(&self, reports: &mut Vec<Report>) -> Option<AskId> {
        let ask = self.shared.engine.ask_id();
        let held = u32::try_from(self.running.len()).unwrap_or(u32::MAX);
        let sent = self.shared.engine.exchange(Exchange {
            ask,
            worker: self.worker.clone(),
            pool: SERVER_POOL.clone(),
            tenants: None,
            slots: SLOTS,
            want: SLOTS.saturating_sub(held),
            reports: reports.clone(),
            hold: true,
        });
        let answer: oneshot::Receiver<Handover> = sent.ok()?;
        let (sent, events) = (std::mem::take(reports), self.events.clone());
        tokio::spawn(async move {
            let answer = answer.await.ok();
            // An error means that the loop has ended.
            let _ = events.send(Event::Answered { ask, sent, answer });
        });
        Some(ask)
    }

    /// Takes what has come; false if the newest exchange is answered by it.
    fn take(&mut self, event: Event, newest: AskId, reports: &mut Vec<Report>) -> bool {
        match event {
            Event::Ended(report) => {
                self.running.remove(&report.lease);
                reports.push(report);
                true
            }
            Event::GivenBack(lease) => {
                self.running.remove(&lease);
                self.shared.engine.note(Input::Undelivered(vec![lease]));
                true
            }
            Event::Answered { ask, sent, answer: None } => {
                // Whether they were recorded is not known.
                reports.extend(sent);
                ask != newest
            }
            Event::Answered { ask, answer: Some(Handover { exchanged, courier }), .. } => {
                for grant in exchanged.grants {
                    self.begin(grant);
                }
                courier.delivered();
                for lease in exchanged.revoked {
                    reports.extend(self.call_off(lease));
                }
                ask != newest
            }
        }
    }

    fn begin(&mut self, grant: Grant) {
        let (shared, events) = (self.shared.clone(), self.events.clone());
        let (lease, work) = (grant.lease.clone(), grant.clone());
        let span =
            access::of_run(shared.names_runs(), &lease.key, grant.trace.map(|anchor| anchor.trace));
        let task = async move { done(&shared, &work).await };
        let task = tokio::spawn(task.instrument(span.clone()));
        let handle = task.abort_handle();
        self.running.insert(lease.clone(), Running { task: handle, grant: grant.clone() });
        let ended = async move {
            let event = match task.await {
                Ok(Some(outcome)) => Event::Ended(Report { lease, outcome }),
                Ok(None) => Event::GivenBack(lease),
                // It was called off, and is reported already.
                Err(error) if error.is_cancelled() => return,
                Err(_) => {
                    tracing::error!(event = "call-panicked", "a call was broken off by a panic");
                    let outcome = broken_off(&grant, "internal", "the call was broken off");
                    Event::Ended(Report { lease, outcome })
                }
            };
            let _ = events.send(event);
        };
        tokio::spawn(ended.instrument(span));
    }

    /// The lease is not wanted any more: the call is dropped, which tells the other side to stop.
    fn call_off(&mut self, lease: LeaseId) -> Option<Report> {
        let running = self.running.remove(&lease)?;
        running.task.abort();
        let outcome = broken_off(&running.grant, "revoked", "the lease was revoked");
        Some(Report { lease, outcome })
    }

    fn heartbeats(&self) -> Vec<Report> {
        let renew = |lease: &LeaseId| Report { lease: lease.clone(), outcome: Outcome::Heartbeat };
        self.running.keys().map(renew).collect()
    }

    /// What is under way is given up, and what is known of it written.
    fn stop(mut self, mut reports: Vec<Report>) {
        let leases: Vec<LeaseId> = self.running.keys().cloned().collect();
        for lease in leases {
            if let Some(running) = self.running.remove(&lease) {
                running.task.abort();
                let outcome = broken_off(&running.grant, "server-stopped", "the server stopped");
                reports.push(Report { lease, outcome });
            }
        }
        if !reports.is_empty() {
            self.exchange(&mut reports);
        }
    }
}

/// Works on a lease; `None` if it cannot be now.
async fn done(shared: &Shared, grant: &Grant) -> Option<Outcome> {
    match &grant.work {
        Work::Model(route) => model::call(shared, grant, route).await,
        Work::Tool => tool::call(shared, grant).await,
        Work::Task(task) => {
            let message = format!("the task `{task}` is for a worker");
            Some(Outcome::NotSent(Failure::cut("internal", &message)))
        }
    }
}

/// The call ended without an answer, and another attempt may have one. It may have been served.
fn broken_off(grant: &Grant, class: &str, message: &str) -> Outcome {
    let failure = Failure::cut(class, message);
    match &grant.work {
        Work::Model(route) => {
            let usage = Usage { input: route.input, cached: 0, output: 0 };
            let metered = Metered { usage, is_certain: false };
            let result = Err((failure, true));
            let judged = Judged::default();
            Outcome::Called(Box::new(Answered { result, judged, metered, answer: Answer::Unknown }))
        }
        Work::Task(_) | Work::Tool => Outcome::Failed {
            failure,
            retryable: true,
            cost: None,
            is_uncertain: true,
            retry_after: None,
            is_provider_down: false,
        },
    }
}

/// Checks what a call has brought; a check that cannot be made fails the attempt. The flag: whether another may do
/// better.
async fn fit(
    shared: &Shared,
    lease: &LeaseId,
    output: &Payload,
) -> Result<Judged, (Failure, bool)> {
    // What others made was not looked at when it came.
    if let Err(refused) = readable::check(output) {
        return Err((Failure::cut("output-invalid", &refused.0.to_string()), true));
    }
    match output::check(shared, lease, output).await {
        Ok(checked) => checked.map_err(|Unfit { failure, retryable, .. }| (failure, retryable)),
        Err(refused) => Err((Failure::cut("internal", &refused.0.to_string()), true)),
    }
}

/// For whom a call is made.
const fn called(grant: &Grant) -> Called<'_> {
    let key = &grant.lease.key;
    Called { tenant: &key.tenant, run: Some(key.run), number: 0 }
}

type Inputs = Map<String, serde_json::Value>;

/// What the templates of a step are filled with.
fn inputs(input: &Payload) -> Result<Inputs, Failure> {
    serde_json::from_slice(input).map_err(|error| {
        Failure::cut("input-invalid", &format!("the inputs are no object: {error}"))
    })
}

/// The template with the inputs in it, or a failure of that class.
fn filled(template: &str, mode: Mode, inputs: &Inputs, class: &str) -> Result<String, Failure> {
    let template = Template::parse(template, mode)
        .map_err(|mistake| Failure::cut(class, &mistake.to_string()))?;
    template.render(inputs).map_err(|error| Failure::cut(class, &error.to_string()))
}

/// How long a call may take: what its endpoint allows, and what is left of the attempt.
fn time_left(shared: &Shared, grant: &Grant, bound: Span) -> Duration {
    let left = grant.deadline.since(shared.now());
    Duration::from_micros(left.0.min(bound.0).max(1))
}
