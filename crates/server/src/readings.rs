//! Readings of tenants and the decision log, for the operator and for each tenant its own.

use axum::Json as Answer;
use axum::extract::State;
use fairlane_api::Problem;
use fairlane_api::page::Page;
use fairlane_api::platform::{self as wire, Decision, Readings};
use fairlane_core::cell::effect::{Latency, Response, TenantView};
use fairlane_core::cell::input::Query;
use fairlane_core::tenant::TenantScope;
use fairlane_store::{DecisionQuery, DecisionRow};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::auth::{Identity, Operator, Scoped};
use crate::body::Params;
use crate::cells::{App, Here, InRegion};
use crate::page::{Paging, page};
use crate::problem::Refused;
use crate::serve::Surroundings;
use crate::wire::{json, timestamp};

/// A page of what one region has.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct PagingInRegion {
    /// `next` of the page before.
    cursor: Option<String>,
    /// Most entries, 1 to 1,000; 100 if absent.
    #[param(minimum = 1, maximum = 1_000)]
    limit: Option<u32>,
    /// A region of this server; its first one if absent.
    region: Option<String>,
}

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(get_readings))
        .routes(routes!(list_readings))
        .routes(routes!(list_decisions))
        .routes(routes!(list_platform_decisions))
}

/// Reads one tenant's numbers
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/readings", tag = "tenants", params(("tenant" = String, Path)),
    responses((status = 200, body = Readings), (status = "4XX", body = Problem), (status = "5XX", body = Problem))
)]
async fn get_readings(
    State(app): State<App>,
    Here(shared): Here,
    Scoped(scope): Scoped,
    identity: Identity,
) -> Result<Answer<Readings>, Refused> {
    let query = Query::Tenant(scope.tenant().clone());
    let read = |response| match response {
        Response::Tenant(view) => Ok(view),
        other => Err(other),
    };
    let view = shared.engine.query(query, read).await?;
    let attempts = identity.is_operator().then(|| app.attempts_by(scope.tenant()));
    Ok(Answer(readings_out(&view, attempts)))
}

/// Lists all tenants' numbers
#[utoipa::path(
    get, path = "/v1/platform/tenants", tag = "platform", params(Paging),
    responses((status = 200, body = Page<Readings>), (status = "4XX", body = Problem), (status = "5XX", body = Problem))
)]
async fn list_readings(
    State(app): State<App>,
    _: Operator,
    Params(paging): Params<Paging>,
) -> Result<Answer<Page<Readings>>, Refused> {
    let limit = paging.limit()?;
    let beyond = u32::try_from(limit + 1).unwrap_or(u32::MAX);
    let after = paging.after()?;
    let mut views = Vec::new();
    for cell in app.all() {
        let query = Query::Tenants { after: after.clone(), limit: beyond };
        let read = |response| match response {
            Response::Tenants(views) => Ok(views),
            other => Err(other),
        };
        views.append(&mut cell.engine.query(query, read).await?);
    }
    views.sort_by(|one: &TenantView, other| one.tenant.cmp(&other.tenant));
    let view = |view: TenantView| readings_out(&view, Some(app.attempts_by(&view.tenant)));
    Ok(Answer(page(views, limit, |view| view.tenant.to_string(), view)))
}

/// Lists decisions about one tenant, newest first
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/decisions", tag = "tenants",
    params(("tenant" = String, Path), Paging),
    responses((status = 200, body = Page<Decision>), (status = "4XX", body = Problem), (status = "5XX", body = Problem))
)]
async fn list_decisions(
    Here(shared): Here,
    Scoped(scope): Scoped,
    Params(paging): Params<Paging>,
) -> Result<Answer<Page<Decision>>, Refused> {
    decisions(&shared, Some(scope), &paging).await
}

/// Lists decisions about the platform, newest first
#[utoipa::path(
    get, path = "/v1/platform/decisions", tag = "platform", params(PagingInRegion),
    responses((status = 200, body = Page<Decision>), (status = "4XX", body = Problem), (status = "5XX", body = Problem))
)]
async fn list_platform_decisions(
    State(app): State<App>,
    _: Operator,
    Params(PagingInRegion { cursor, limit, region }): Params<PagingInRegion>,
) -> Result<Answer<Page<Decision>>, Refused> {
    let cell = app.named(&InRegion { region })?;
    decisions(cell, None, &Paging { cursor, limit }).await
}

async fn decisions(
    shared: &Surroundings,
    scope: Option<TenantScope>,
    paging: &Paging,
) -> Result<Answer<Page<Decision>>, Refused> {
    let limit = u32::try_from(paging.limit()?).unwrap_or(u32::MAX);
    let query = DecisionQuery { before: paging.after()?, limit };
    let page = shared.reads.decisions(scope, query).await?;
    Ok(Answer(Page {
        items: page.rows.into_iter().map(decision_out).collect(),
        next: page.next.map(|next| next.to_string()),
    }))
}

fn readings_out(view: &TenantView, cross_tenant_attempts: Option<u64>) -> Readings {
    Readings {
        tenant: view.tenant.to_string(),
        org: view.org.to_string(),
        tier: view.tier.to_string(),
        weight: view.weight,
        cap: view.cap,
        suspended: view.suspended,
        slots: view.slots,
        burst_slots: view.burst_slots,
        waiting: view.waiting,
        live_runs: view.live_runs,
        completed: view.completed,
        failed: view.failed,
        service_us: view.service.0,
        debt_us: view.debt.0,
        latency: view.latency.map(latency_out),
        sla_violations: view.sla_violations,
        cross_tenant_attempts,
    }
}

const fn latency_out(latency: Latency) -> wire::Latency {
    wire::Latency {
        count: latency.count,
        p50_us: latency.p50.0,
        p95_us: latency.p95.0,
        p99_us: latency.p99.0,
        max_us: latency.max.0,
    }
}

fn decision_out(DecisionRow { sequence, decision }: DecisionRow) -> Decision {
    Decision {
        tenant: decision.tenant.map(|tenant| tenant.to_string()),
        sequence,
        at: timestamp(decision.at),
        code: decision.code.to_string(),
        by: decision.by.map(|by| by.to_string()),
        facts: json(&decision.facts),
    }
}
