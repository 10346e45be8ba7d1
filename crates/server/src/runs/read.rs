//! Runs as they are shown: what is stored, and for a live run what the cell says of every step.

use std::collections::BTreeMap;

use axum::Json as Answer;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use fairlane_api::page::Page;
use fairlane_api::quota as money;
use fairlane_api::run::{self as wire, Run, RunDetail};
use fairlane_api::view::{Phase as WirePhase, Step};
use fairlane_api::{Code, Problem};
use fairlane_core::cell::effect::{Response as Reply, RunView};
use fairlane_core::cell::input::Query;
use fairlane_core::id::RunId;
use fairlane_core::plan::Workflow;
use fairlane_core::row::{
    CallRow, Instance, Part, RunMoney, RunRow, RunStatus, StepRow, StepState,
};
use fairlane_store::{RunFilter, RunQuery};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Named;
use super::replan::replan_out;
use super::submit::output;
use crate::auth::Scoped;
use crate::body::Params;
use crate::cells::{App, Here};
use crate::page::{after, limit};
use crate::problem::Refused;
use crate::quotas::{amount_out, rung_out};
use crate::serve::Surroundings;
use crate::usage::call_out;
use crate::wire::{
    failure_out, lane, lane_out, name, part_out, route_out, status, status_out, step_out,
    timestamp, trust_out,
};

/// The last call of a model of each instance that has made one.
type LastCalls = BTreeMap<Instance, CallRow>;

/// Times that a run is read again because it ended in between.
const ROUNDS_MAX: u32 = 3;

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Listing {
    /// `next` of the page before.
    cursor: Option<String>,
    /// Most entries, 1 to 1,000; 100 if absent. A page can be shorter and still have a `next`.
    #[param(minimum = 1, maximum = 1_000)]
    limit: Option<u32>,
    status: Option<wire::RunStatus>,
    workflow: Option<String>,
    lane: Option<wire::Lane>,
}

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_runs))
        .routes(routes!(get_run))
        .routes(routes!(explain_run))
        .routes(routes!(get_output))
}

/// Lists a tenant's runs, newest first
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/runs", tag = "runs", params(("tenant" = String, Path), Listing),
    responses((status = 200, body = Page<Run>), (status = "4XX", body = Problem), (status = "5XX", body = Problem))
)]
async fn list_runs(
    Here(shared): Here,
    Scoped(scope): Scoped,
    Params(listing): Params<Listing>,
) -> Result<Answer<Page<Run>>, Refused> {
    let workflow = listing.workflow.as_deref().map(|text| name(text, "")).transpose();
    let workflow = workflow.map_err(|mut refused| {
        refused.0.pointer = None;
        refused
    })?;
    let filter = RunFilter {
        status: listing.status.map(status),
        workflow,
        lane: listing.lane.map(lane),
        ..RunFilter::default()
    };
    let before: Option<RunId> = listing.cursor.as_deref().map(after).transpose()?;
    let limit = u32::try_from(limit(listing.limit)?).unwrap_or(u32::MAX);
    let page = shared.reads.runs(&scope, RunQuery { before, limit, filter }).await?;
    Ok(Answer(Page {
        items: page.rows.iter().map(run_out).collect(),
        next: page.next.map(|next| next.to_string()),
    }))
}

/// Reads a run with every step of it
///
/// A step that waits shows the gate, since when, and what would let it through.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/runs/{run}", tag = "runs",
    params(("tenant" = String, Path), ("run" = String, Path)),
    responses((status = 200, body = RunDetail), (status = "4XX", body = Problem), (status = "5XX", body = Problem))
)]
async fn get_run(Here(shared): Here, named: Named) -> Result<Answer<RunDetail>, Refused> {
    detail(&shared, &named).await.map(Answer)
}

/// Explains what a run waits for: the steps of it that have not ended, and where calls of models went
///
/// Of the steps that have ended it has those that have called a model, with their last call.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/runs/{run}/explain", tag = "runs",
    params(("tenant" = String, Path), ("run" = String, Path)),
    responses((status = 200, body = RunDetail), (status = "4XX", body = Problem), (status = "5XX", body = Problem))
)]
async fn explain_run(Here(shared): Here, named: Named) -> Result<Answer<RunDetail>, Refused> {
    let mut detail = detail(&shared, &named).await?;
    detail.steps.retain(|step| !step.phase.is_final() || step.call.is_some());
    Ok(Answer(detail))
}

/// Reads the output of a completed run
///
/// An object of the outputs of the steps that no other step waits for, by name.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/runs/{run}/output", tag = "runs",
    params(("tenant" = String, Path), ("run" = String, Path)),
    responses((status = 200, body = Object), (status = "4XX", body = Problem), (status = "5XX", body = Problem))
)]
async fn get_output(Here(shared): Here, named: Named) -> Result<Response, Refused> {
    let row = shared.reads.run(&named.scope, named.run).await?.ok_or_else(|| named.unknown())?;
    if row.status != RunStatus::Completed {
        return Err(Refused::new(Code::NoOutput).expected("a run that has completed"));
    }
    let workflow = shared.assembly.plan(&row).await?;
    let workflow = workflow.ok_or_else(|| Refused::new(Code::NoOutput))?;
    let output = output(&shared, &row.key, &workflow).await?;
    let json = HeaderValue::from_static("application/json");
    Ok(([(header::CONTENT_TYPE, json)], String::from(Box::<str>::from(output))).into_response())
}

/// A run with its steps, as of one moment of it.
pub(crate) async fn detail(shared: &Surroundings, named: &Named) -> Result<RunDetail, Refused> {
    let mut rounds = 0;
    loop {
        let found = shared.reads.run_and_steps(&named.scope, named.run).await?;
        let (row, steps, calls) = found.ok_or_else(|| named.unknown())?;
        rounds += 1;
        let view = if row.status.is_ended() { None } else { live(shared, named).await? };
        let replans = match row.replans {
            0 => Vec::new(),
            _ => shared.reads.replans(&named.scope, named.run).await?,
        };
        let shown = || replans.iter().map(replan_out).collect();
        match view {
            Some(view) => {
                return Ok(RunDetail { replans: shown(), ..live_detail(&row, &view, &calls) });
            }
            None if row.status.is_ended() || rounds == ROUNDS_MAX => {
                let declared = shared.registry.workflow(&row.workflow, Some(row.version));
                let plan = replans.last().map(|newest| newest.plan.clone()).or(declared);
                let detail = stored_detail(&row, &steps, &calls, plan.as_deref());
                return Ok(RunDetail { replans: shown(), ..detail });
            }
            // It ended after it was read.
            None => {}
        }
    }
}

/// What the cell says of a run; `None` if it is not live.
async fn live(shared: &Surroundings, named: &Named) -> Result<Option<RunView>, Refused> {
    let query = Query::Explain(named.key());
    let read = |response| match response {
        Reply::Explained(view) => Ok(*view),
        other => Err(other),
    };
    match shared.engine.query(query, read).await {
        Ok(view) => Ok(Some(view)),
        Err(refused) if refused.0.code() == Some(Code::UnknownRun) => Ok(None),
        Err(refused) => Err(refused),
    }
}

fn live_detail(row: &RunRow, view: &RunView, calls: &LastCalls) -> RunDetail {
    let mut run = run_out(row);
    run.status = status_out(view.status);
    run.revision = view.revision;
    run.deadline_at = view.deadline.map(timestamp);
    if !view.status.is_ended() {
        run.ended_at = None;
    }
    if let Some(money) = &mut run.money {
        money.held = Some(amount_out(view.money.held));
        money.posted = amount_out(view.money.posted);
        money.uncertain = amount_out(view.money.uncertain);
    }
    let steps = view.steps.iter();
    let steps = steps.map(|step| with_call(step_out(step), calls.get(&step.instance)));
    RunDetail { run, steps: steps.collect(), replans: Vec::new() }
}

fn with_call(step: Step, call: Option<&CallRow>) -> Step {
    let call = call.map(|call| call_out(call, Some(step.name.clone())));
    Step { call, ..step }
}

fn stored_detail(
    row: &RunRow,
    steps: &[StepRow],
    calls: &LastCalls,
    workflow: Option<&Workflow>,
) -> RunDetail {
    let rows: BTreeMap<Instance, &StepRow> =
        steps.iter().map(|step| (step.instance, step)).collect();
    let Some(workflow) = workflow.filter(|_| !row.is_bare) else {
        return RunDetail { run: run_out(row), steps: Vec::new(), replans: Vec::new() };
    };
    let mut shown: Vec<Step> = Vec::new();
    for (index, step) in workflow.indexed() {
        let whole = Instance { step: index, part: Part::Whole };
        if !rows.contains_key(&whole) {
            shown.push(never_begun(step.name.as_str()));
        }
        let instances = rows.iter().filter(|(instance, _)| instance.step == index);
        shown.extend(instances.map(|(instance, row)| {
            with_call(stored_step(step.name.as_str(), row), calls.get(instance))
        }));
    }
    RunDetail { run: run_out(row), steps: shown, replans: Vec::new() }
}

fn stored_step(name: &str, row: &StepRow) -> Step {
    let failure = match &row.state {
        StepState::Backoff { failure, .. }
        | StepState::Disputed { failure, .. }
        | StepState::Failed { failure } => Some(failure),
        _ => None,
    };
    Step {
        name: name.to_owned(),
        part: part_out(row.instance.part),
        phase: phase_out(&row.state),
        attempt: row.attempt,
        since: Some(timestamp(row.since)),
        waits: None,
        failure: failure.map(failure_out),
        trust: matches!(row.state, StepState::Done).then(|| trust_out(row.trust)),
        route: match &row.state {
            StepState::Leased { route, .. } => route.as_deref().map(route_out),
            _ => None,
        },
        call: None,
    }
}

pub(crate) const fn phase_out(state: &StepState) -> WirePhase {
    match state {
        StepState::Ready => WirePhase::Ready,
        StepState::Leased { .. } => WirePhase::Leased,
        StepState::Backoff { .. } => WirePhase::Backoff,
        StepState::Sleeping { .. } => WirePhase::Sleeping,
        StepState::Listening { .. } => WirePhase::Listening,
        StepState::Calling { .. } => WirePhase::Calling,
        StepState::Reviewing { .. } => WirePhase::Reviewing,
        StepState::Mapping { .. } => WirePhase::Mapping,
        StepState::Disputed { .. } => WirePhase::Disputed,
        StepState::Proposed => WirePhase::Proposed,
        StepState::Done => WirePhase::Done,
        StepState::Skipped => WirePhase::Skipped,
        StepState::Failed { .. } => WirePhase::Failed,
        StepState::Cancelled => WirePhase::Cancelled,
    }
}

/// A step of an ended run that was not reached.
fn never_begun(name: &str) -> Step {
    Step {
        name: name.to_owned(),
        part: part_out(Part::Whole),
        phase: WirePhase::Cancelled,
        attempt: 0,
        since: None,
        waits: None,
        failure: None,
        trust: None,
        route: None,
        call: None,
    }
}

pub(crate) fn run_out(row: &RunRow) -> Run {
    Run {
        id: row.key.run.to_string(),
        workflow: row.workflow.to_string(),
        version: row.version,
        lane: lane_out(row.lane),
        status: status_out(row.status),
        created_at: timestamp(row.created),
        ended_at: row.ended.map(timestamp),
        deadline_at: row.deadline.map(timestamp),
        failure: row.failure.as_ref().map(failure_out),
        parent: row.parent.as_ref().map(|parent| parent.run.to_string()),
        schedule: row.schedule.as_ref().map(ToString::to_string),
        money: money_out(&row.money),
        payloads_expired: row.is_bare,
        revision: row.revision,
    }
}

fn money_out(account: &RunMoney) -> Option<money::RunMoney> {
    let is_there = *account != RunMoney::default();
    is_there.then(|| money::RunMoney {
        limit: account.limit.map(amount_out),
        reserve: amount_out(account.reserve),
        posted: amount_out(account.posted),
        uncertain: amount_out(account.uncertain),
        held: None,
        short: account.halt.map(|halt| money::Short {
            rung: rung_out(halt.rung),
            need: amount_out(halt.need),
            left: amount_out(halt.left),
            since: timestamp(halt.since),
        }),
    })
}
