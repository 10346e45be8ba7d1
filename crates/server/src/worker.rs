//! `/v1/worker/exchange`: reports in, leases out, in one batched long poll.
//!
//! Outputs are checked before the cell hears of them; inputs are put together after it has granted a lease.
//! Leases that do not reach the worker go back (see [`Courier`]).

mod answer;
mod lease;

use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use fairlane_api::quota::Amount;
use fairlane_api::worker::{self as wire, Acceptance, Reason};
use fairlane_api::{Code, Problem};
use fairlane_core::cell::effect::{Receipt, Stale};
use fairlane_core::cell::input::{AskId, Exchange, Input, Outcome, Report};
use fairlane_core::id::{KeyId, NAME_MAX, PoolName, RunId, WorkerName};
use fairlane_core::money::Nano;
use fairlane_core::plan::{SERVER_POOL, STEPS_MAX};
use fairlane_core::row::{Failure, LeaseId, Payload, RunKey};
use fairlane_core::time::Span;
use tokio::sync::oneshot;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::assembly::Unassembled;
use crate::auth::Identity;
use crate::body::Json;
use crate::cells::App;
use crate::engine::Engine;
use crate::engine::desk::{Courier, Handover};
use crate::output::{self, Unfit};
use crate::problem::Refused;
use crate::quotas::amount;
use crate::serve::Shared;
use crate::wire::{at_most, between, name};
use answer::{Answer, Delivery};
pub(crate) use lease::{IdempotencyKey, LeaseName, parse as parse_lease};

/// Leases that one worker may hold, want or report at once.
const LEASES_MAX: u64 = 10_000;
const WAIT_MS_MAX: u64 = 60_000;
const RETRY_AFTER_MS_MAX: u64 = 86_400_000;
/// The class of a failure that says of which steps the outputs cannot be true.
const CONTRADICTION: &str = "contradiction";
/// Longest class of a failure; what is longer is cut.
const CLASS_BYTES_MAX: usize = 64;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(exchange))
}

/// Reports, renews and takes leases
///
/// Delivery is at least once: report again what was not acknowledged. Outcomes are recorded once: a stale
/// report is refused, and says so.
#[utoipa::path(
    post, path = "/v1/worker/exchange", tag = "worker", request_body = wire::Exchange,
    responses((status = 200, body = wire::Exchanged), (status = "4XX", body = Problem), (status = "5XX", body = Problem))
)]
async fn exchange(
    State(app): State<App>,
    identity: Identity,
    Json(body): Json<wire::Exchange>,
) -> Result<Response, Refused> {
    let asker = Asker::of(&body, identity.bound_by())?;
    identity.serve(&asker.pool)?;
    if asker.pool == *SERVER_POOL {
        let refused = Refused::new(Code::Forbidden).at("/pool");
        return Err(refused
            .detail(format!("the slots of pool `{}` are for the server's own calls", asker.pool))
            .expected("another pool"));
    }
    let shared = identity.cell(&app, body.region.as_deref())?;
    let reports = read_reports(shared, &identity, body.report).await?;
    let ask = shared.engine.ask_id();
    let handover = shared.engine.exchange(Exchange {
        ask,
        worker: asker.worker.clone(),
        pool: asker.pool.clone(),
        tenants: identity.tenants_served().map(<[_]>::to_vec),
        slots: asker.slots,
        want: body.want,
        reports: reports.sent,
        hold: body.wait_ms > 0,
    })?;
    let handover = wait(shared, ask, handover, Duration::from_millis(body.wait_ms)).await?;
    let Handover { exchanged, mut courier } = handover;
    if let Some(rejection) = exchanged.rejection {
        return Err(rejection.into());
    }
    let receipts = visible(shared, &identity, exchanged.receipts).await?;
    let mut answer = Answer::new();
    answer.receipts(reports.marks, receipts);
    answer.begin_leases();
    for grant in &exchanged.grants {
        match shared.assembly.input(grant).await {
            Ok(input) => answer.lease(grant, &input, &shared.token_key),
            Err(Unassembled::Failed(failure)) => {
                courier.forget(&grant.lease);
                asker.fail(&shared.engine, grant.lease.clone(), failure)?;
            }
            Err(Unassembled::Unavailable) => courier.give_back(&grant.lease),
        }
    }
    answer.revoked(&exchanged.revoked);
    Ok(respond(answer, courier))
}

/// Whether the worker may be told of the lease: one of a pool or of a tenant that its key may not serve does not exist for it.
async fn may_know(shared: &Shared, identity: &Identity, lease: &LeaseId) -> Result<bool, Refused> {
    if !identity.is_of_some() {
        return Ok(true);
    }
    let is_theirs = identity.serves_tenant(&lease.key.tenant);
    let serves = |pool: &PoolName| is_theirs && identity.serve(pool).is_ok();
    let wanted = match shared.assembly.pool_at_hand(lease) {
        Some(pool) if serves(&pool) => return Ok(true),
        // The run is there, and must take as long as one that is not: a read of the store that finds nothing.
        Some(_) => &LeaseId { key: RunKey { run: RunId(0), ..lease.key.clone() }, ..lease.clone() },
        None => lease,
    };
    let stored = shared.assembly.pool_stored(wanted).await?;
    Ok(stored.is_some_and(|pool| serves(&pool)))
}

/// What the worker is told of its reports.
async fn visible(
    shared: &Shared,
    identity: &Identity,
    mut receipts: Vec<(LeaseId, Receipt)>,
) -> Result<Vec<(LeaseId, Receipt)>, Refused> {
    for (lease, receipt) in &mut receipts {
        if matches!(receipt, Receipt::Stale(_)) && !may_know(shared, identity, lease).await? {
            *receipt = Receipt::Stale(Stale::Unknown);
        }
    }
    Ok(receipts)
}

/// The worker as it presents itself.
struct Asker {
    worker: WorkerName,
    pool: PoolName,
    slots: u32,
}

/// The name by which the cell knows a worker. One that is there for some tenants is known with its key: whoever has another key
/// may take its name, and is told nothing of it, nor it of others.
fn worker(named: &str, bound_by: Option<&KeyId>) -> Result<WorkerName, Refused> {
    let refused = |expected: String| {
        Refused::new(Code::InvalidName)
            .at("/worker")
            .detail(format!("`{named}` is no name of a worker"))
            .expected(expected)
    };
    if named.contains('@') {
        return Err(refused("a name without `@`".to_owned()));
    }
    let Some(key) = bound_by else { return name(named, "/worker") };
    let most = NAME_MAX - key.as_str().len() - 1;
    if named.len() > most {
        return Err(refused(format!("at most {most} bytes, with a key for some tenants")));
    }
    name::<WorkerName>(named, "/worker")?;
    name(&format!("{named}@{key}"), "/worker")
}

/// Reports, ready for the cell.
struct Reports {
    sent: Vec<Report>,
    /// One for each report as it came.
    marks: Vec<Mark>,
}

/// What is known of a report before the cell has it.
enum Mark {
    /// The next of the cell's receipts is for it, with this remark.
    Sent(Option<Reason>),
    /// It is not for the cell.
    Settled(Acceptance),
}

impl Mark {
    fn unknown(lease: String) -> Self {
        let (receipt, reason) = (wire::Receipt::Stale, Some(Reason::Unknown));
        Self::Settled(Acceptance { lease, receipt, reason, detail: None })
    }
}

impl Asker {
    fn of(body: &wire::Exchange, bound_by: Option<&KeyId>) -> Result<Self, Refused> {
        at_most(u64::from(body.slots), LEASES_MAX, "/slots")?;
        at_most(u64::from(body.want), LEASES_MAX, "/want")?;
        at_most(body.wait_ms, WAIT_MS_MAX, "/wait_ms")?;
        if body.report.len() as u64 > LEASES_MAX {
            let refused = Refused::new(Code::TooMany).at("/report");
            return Err(refused.expected(format!("at most {LEASES_MAX} reports")));
        }
        Ok(Self {
            worker: worker(&body.worker, bound_by)?,
            pool: name(&body.pool, "/pool")?,
            slots: body.slots,
        })
    }

    /// The step cannot get its input: the attempt has failed without having reached the worker.
    fn fail(&self, engine: &Engine, lease: LeaseId, failure: Failure) -> Result<(), Refused> {
        let report = Report { lease, outcome: Outcome::NotSent(failure) };
        // Nobody waits for the receipt.
        drop(engine.exchange(Exchange {
            ask: engine.ask_id(),
            worker: self.worker.clone(),
            pool: self.pool.clone(),
            tenants: None,
            slots: self.slots,
            want: 0,
            reports: vec![report],
            hold: false,
        })?);
        Ok(())
    }
}

async fn read_reports(
    shared: &Shared,
    identity: &Identity,
    given: Vec<wire::Report>,
) -> Result<Reports, Refused> {
    let mut reports =
        Reports { sent: Vec::with_capacity(given.len()), marks: Vec::with_capacity(given.len()) };
    for (at, report) in given.into_iter().enumerate() {
        let Some(id) = lease::parse(&report.lease) else {
            reports.marks.push(Mark::unknown(report.lease));
            continue;
        };
        let (outcome, reason) = match (report.completed, report.failed, report.heartbeat) {
            (Some(completed), None, None) => {
                let cost = cost(completed.cost.as_ref(), &format!("/report/{at}/completed"))?;
                // How long an output is checked depends on the step.
                if !may_know(shared, identity, &id).await? {
                    reports.marks.push(Mark::unknown(report.lease));
                    continue;
                }
                completion(shared, &id, completed, cost).await?
            }
            (None, Some(failed), None) => {
                (failure(&failed, &format!("/report/{at}/failed"))?, None)
            }
            (None, None, Some(_)) => (Outcome::Heartbeat, None),
            _ => {
                return Err(Refused::new(Code::InvalidValue)
                    .at(format!("/report/{at}"))
                    .expected("exactly one of `completed`, `failed` and `heartbeat`"));
            }
        };
        reports.sent.push(Report { lease: id, outcome });
        reports.marks.push(Mark::Sent(reason));
    }
    Ok(reports)
}

async fn completion(
    shared: &Shared,
    lease: &LeaseId,
    completed: wire::Completed,
    cost: Option<Nano>,
) -> Result<(Outcome, Option<Reason>), Refused> {
    let output = completed.output.as_ref().map_or("null", |output| output.get());
    let output = Payload::from(output.as_bytes());
    Ok(match output::check(shared, lease, &output).await? {
        Ok(judged) => (Outcome::Completed { output, judged, cost }, None),
        Err(Unfit { reason, failure, retryable }) => {
            (Outcome::failed(failure, retryable, cost), Some(reason))
        }
    })
}

/// What the worker says that the attempt cost.
fn cost(given: Option<&Amount>, report: &str) -> Result<Option<Nano>, Refused> {
    given.map(|given| amount(given, &format!("{report}/cost"))).transpose()
}

fn failure(failed: &wire::Failed, report: &str) -> Result<Outcome, Refused> {
    let cost = cost(failed.cost.as_ref(), report)?;
    let retry_after = retry_after(failed.retry_after_ms, report)?;
    let class = if failed.class.is_empty() { "failed" } else { &failed.class };
    let class = &class[..class.floor_char_boundary(CLASS_BYTES_MAX)];
    let failure = Failure::cut(class, &failed.message);
    if !failed.contradicts.is_empty() {
        return contradiction(failed, failure, cost, report);
    }
    let wire::Failed { retryable, provider_down: is_provider_down, .. } = *failed;
    let is_uncertain = false;
    Ok(Outcome::Failed { failure, retryable, cost, is_uncertain, retry_after, is_provider_down })
}

/// What the worker was given cannot be true: it says of which steps.
fn contradiction(
    failed: &wire::Failed,
    failure: Failure,
    cost: Option<Nano>,
    report: &str,
) -> Result<Outcome, Refused> {
    at_most(failed.contradicts.len() as u64, STEPS_MAX as u64, &format!("{report}/contradicts"))?;
    let read = |(at, step): (usize, &String)| name(step, &format!("{report}/contradicts/{at}"));
    let steps = failed.contradicts.iter().enumerate().map(read).collect::<Result<_, _>>()?;
    let failure = Failure { class: CONTRADICTION.into(), ..failure };
    Ok(Outcome::Contradicted { failure, steps, cost })
}

/// How long the worker says that the provider is to be left alone.
fn retry_after(given: Option<u64>, report: &str) -> Result<Option<Span>, Refused> {
    if let Some(millis) = given {
        between(millis, [1, RETRY_AFTER_MS_MAX], &format!("{report}/retry_after_ms"))?;
    }
    Ok(given.map(Span::from_millis))
}

/// Waits for the answer; asks for it when the time is over, or the server stops.
async fn wait(
    shared: &Shared,
    ask: AskId,
    mut handover: oneshot::Receiver<Handover>,
    span: Duration,
) -> Result<Handover, Refused> {
    let leave = Leave { engine: &shared.engine, ask: Some(ask) };
    let answer = if span.is_zero() {
        handover.await
    } else {
        tokio::select! {
            biased;
            answer = &mut handover => answer,
            () = tokio::time::sleep(span) => {
                shared.engine.note(Input::Hurry(ask));
                handover.await
            }
            () = shared.stopping() => {
                shared.engine.note(Input::Hurry(ask));
                handover.await
            }
        }
    };
    leave.answered();
    answer.map_err(|_| shared.engine.unavailable())
}

/// Ends the poll of a worker whose connection has gone, so that it is offered nothing more.
struct Leave<'a> {
    engine: &'a Engine,
    ask: Option<AskId>,
}

impl Leave<'_> {
    fn answered(mut self) {
        self.ask = None;
    }
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        if let Some(ask) = self.ask {
            self.engine.note(Input::Hurry(ask));
        }
    }
}

fn respond(answer: Answer, courier: Courier) -> Response {
    let body = Body::new(Delivery::new(answer.finish(), courier));
    let mut response = Response::new(body);
    let json = axum::http::HeaderValue::from_static("application/json");
    response.headers_mut().insert(axum::http::header::CONTENT_TYPE, json);
    response
}

#[cfg(test)]
mod fuzzed;
