//! `/v1/platform/pools` and `/v1/platform/valve`: declare, and read with what the scheduler counts.

use std::collections::BTreeSet;

use axum::Json as Answer;
use axum::extract::{Path, State};
use fairlane_api::page::Page;
use fairlane_api::resource::{self as wire, Applied, PoolSpec, ValveSpec};
use fairlane_api::{Code, Problem};
use fairlane_core::cell::effect::{PoolView, Response, ValveView};
use fairlane_core::cell::input::{Configure, Query};
use fairlane_core::id::TaskName;
use fairlane_core::pool::{LongSteps, Policy, Pool, Valve};
use fairlane_core::time::Span;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::auth::Operator;
use crate::body::{Json, Params};
use crate::cells::{App, InRegion};
use crate::declare::{DryRun, configure};
use crate::problem::Refused;
use crate::serve::Shared;
use crate::tenants::missing;
use crate::wire::{millis, name, path_name};

/// Tasks that one pool may name.
const TASKS_MAX: usize = 10_000;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_pools))
        .routes(routes!(get_pool, put_pool))
        .routes(routes!(get_valve, put_valve))
}

/// Declares a pool of worker slots
#[utoipa::path(
    put, path = "/v1/platform/pools/{pool}", tag = "platform", params(("pool" = String, Path), DryRun),
    request_body = PoolSpec,
    responses((status = 200, body = Applied), (status = "4XX", body = Problem), (status = "5XX", body = Problem))
)]
async fn put_pool(
    State(shared): State<App>,
    operator: Operator,
    Path(pool): Path<String>,
    Params(dry_run): Params<DryRun>,
    Json(spec): Json<PoolSpec>,
) -> Result<Answer<Applied>, Refused> {
    let pool = Pool {
        name: path_name(&pool)?,
        slots: spec.slots,
        policy: policy(spec.policy),
        quantum: Span::from_millis(spec.quantum_ms),
        long: spec.long.map(|long| LongSteps {
            over: Span::from_millis(long.over_ms),
            share_permille: long.share_permille,
        }),
        lease: Span::from_millis(spec.lease_ms),
        age_guard: Span::from_millis(spec.age_guard_ms),
        burst_credit_max: Span::from_millis(spec.burst_credit_max_ms),
        tasks: spec.tasks.map(|tasks| task_names(&tasks)).transpose()?,
    };
    configure((&shared, &operator), Configure::Pool(pool), dry_run).await.map(Answer)
}

/// Reads a pool, with what it holds now
#[utoipa::path(
    get, path = "/v1/platform/pools/{pool}", tag = "platform",
    params(("pool" = String, Path), InRegion),
    responses((status = 200, body = wire::Pool), (status = "4XX", body = Problem), (status = "5XX", body = Problem))
)]
async fn get_pool(
    State(app): State<App>,
    _: Operator,
    Path(pool): Path<String>,
    Params(region): Params<InRegion>,
) -> Result<Answer<wire::Pool>, Refused> {
    let mut pools = read_pools(app.named(&region)?).await?;
    match pools.iter().position(|known| known.name == pool) {
        Some(at) => Ok(Answer(pools.swap_remove(at))),
        None => Err(missing(Code::UnknownPool, "pool", &pool)),
    }
}

/// Lists pools, with what each holds now
///
/// There are few pools: all of them are on the first page. On a server of several regions each has its own pool of the name.
#[utoipa::path(
    get, path = "/v1/platform/pools", tag = "platform",
    responses((status = 200, body = Page<wire::Pool>), (status = "4XX", body = Problem), (status = "5XX", body = Problem))
)]
async fn list_pools(
    State(app): State<App>,
    _: Operator,
) -> Result<Answer<Page<wire::Pool>>, Refused> {
    let mut items = Vec::new();
    for cell in app.all() {
        items.append(&mut read_pools(cell).await?);
    }
    items.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Answer(Page { items, next: None }))
}

/// Sets the valve's thresholds
#[utoipa::path(
    put, path = "/v1/platform/valve", tag = "platform", params(DryRun), request_body = ValveSpec,
    responses((status = 200, body = Applied), (status = "4XX", body = Problem), (status = "5XX", body = Problem))
)]
async fn put_valve(
    State(shared): State<App>,
    operator: Operator,
    Params(dry_run): Params<DryRun>,
    Json(spec): Json<ValveSpec>,
) -> Result<Answer<Applied>, Refused> {
    let valve = Valve {
        runs_soft: spec.runs_soft,
        runs_hard: spec.runs_hard,
        bytes_soft: spec.bytes_soft,
        bytes_hard: spec.bytes_hard,
        commit_slow: Span::from_millis(spec.commit_slow_ms),
    };
    configure((&shared, &operator), Configure::Valve(valve), dry_run).await.map(Answer)
}

/// Reads the valve
#[utoipa::path(
    get, path = "/v1/platform/valve", tag = "platform", params(InRegion),
    responses((status = 200, body = wire::Valve), (status = "4XX", body = Problem), (status = "5XX", body = Problem))
)]
async fn get_valve(
    State(app): State<App>,
    _: Operator,
    Params(region): Params<InRegion>,
) -> Result<Answer<wire::Valve>, Refused> {
    let read = |response| match response {
        Response::Valve(view) => Ok(view),
        other => Err(other),
    };
    Ok(Answer(valve_out(&app.named(&region)?.engine.query(Query::Valve, read).await?)))
}

async fn read_pools(cell: &Shared) -> Result<Vec<wire::Pool>, Refused> {
    let read = |response| match response {
        Response::Pools(views) => Ok(views),
        other => Err(other),
    };
    let views = cell.engine.query(Query::Pools, read).await?;
    let with_declared = |view: PoolView| Some((cell.registry.pool(&view.pool)?, view));
    let pools = views.into_iter().filter_map(with_declared);
    Ok(pools.map(|(declared, view)| pool_out(&declared, &view, cell)).collect())
}

fn task_names(tasks: &[String]) -> Result<BTreeSet<TaskName>, Refused> {
    if tasks.len() > TASKS_MAX {
        let refused = Refused::new(Code::TooMany).at("/tasks");
        return Err(refused.expected(format!("at most {TASKS_MAX}")));
    }
    tasks.iter().enumerate().map(|(at, task)| name(task, &format!("/tasks/{at}"))).collect()
}

const fn policy(policy: wire::Policy) -> Policy {
    match policy {
        wire::Policy::Fair => Policy::Fair,
        wire::Policy::Fifo => Policy::Fifo,
        wire::Policy::RoundRobin => Policy::RoundRobin,
        wire::Policy::Weighted => Policy::Weighted,
    }
}

const fn policy_out(policy: Policy) -> wire::Policy {
    match policy {
        Policy::Fair => wire::Policy::Fair,
        Policy::Fifo => wire::Policy::Fifo,
        Policy::RoundRobin => wire::Policy::RoundRobin,
        Policy::Weighted => wire::Policy::Weighted,
    }
}

fn pool_out(declared: &Pool, view: &PoolView, cell: &Shared) -> wire::Pool {
    let tasks = declared.tasks.as_ref();
    wire::Pool {
        name: declared.name.to_string(),
        region: cell.region.to_string(),
        slots: declared.slots,
        policy: policy_out(declared.policy),
        quantum_ms: millis(declared.quantum),
        long: declared.long.map(|long| wire::LongSteps {
            over_ms: millis(long.over),
            share_permille: long.share_permille,
        }),
        lease_ms: millis(declared.lease),
        age_guard_ms: millis(declared.age_guard),
        burst_credit_max_ms: millis(declared.burst_credit_max),
        tasks: tasks.map(|tasks| tasks.iter().map(ToString::to_string).collect()),
        dispatchable: view.dispatchable,
        in_flight: view.in_flight,
        waiting: view.waiting,
        workers: view.workers,
        offered: view.offered,
    }
}

pub(crate) const fn valve_out(view: &ValveView) -> wire::Valve {
    wire::Valve {
        open: view.open,
        live_runs: view.live_runs,
        runs_soft: view.runs_soft,
        runs_hard: view.runs_hard,
        waiting_bytes: view.waiting_bytes,
        bytes_soft: view.bytes_soft,
        bytes_hard: view.bytes_hard,
        refused: view.refused,
    }
}
