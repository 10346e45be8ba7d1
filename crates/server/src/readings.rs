//! Readings of tenants and of the platform.

mod view;
mod words;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json as Answer;
use axum::extract::State;
use fairlane_api::Problem;
use fairlane_api::page::Page;
use fairlane_api::reading::{Overview, Readings};
use fairlane_core::cell::effect::{Response, TenantView};
use fairlane_core::cell::input::Query;
use fairlane_core::cell::view::PlatformView;
use tokio::sync::Mutex;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::auth::{Identity, Operator, Scoped};
use crate::body::Params;
use crate::cells::{App, Here, InRegion};
use crate::page::{Paging, page};
use crate::problem::Refused;
use crate::serve::Shared;

/// What is told of the platform is at most so old: many who look cost the cell no more than one.
const FRESH: Duration = Duration::from_millis(900);

/// What the cell said of itself last, and when.
#[derive(Debug, Default)]
pub(crate) struct Lately(Mutex<Option<(Instant, Arc<PlatformView>)>>);

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(get_readings))
        .routes(routes!(list_readings))
        .routes(routes!(get_overview))
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
    Ok(Answer(view::readings(&view, attempts)))
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
    let out = |view: TenantView| view::readings(&view, Some(app.attempts_by(&view.tenant)));
    Ok(Answer(page(views, limit, |view| view.tenant.to_string(), out)))
}

/// Says whether the platform is well and fair in a region, and who waits for what
#[utoipa::path(
    get, path = "/v1/platform/overview", tag = "platform", params(InRegion),
    responses((status = 200, body = Overview), (status = "4XX", body = Problem), (status = "5XX", body = Problem))
)]
async fn get_overview(
    State(app): State<App>,
    _: Operator,
    Params(region): Params<InRegion>,
) -> Result<Answer<Overview>, Refused> {
    let cell = app.named(&region)?;
    let regions = app.all().iter().map(|cell| cell.region.to_string()).collect();
    let platform = lately(cell).await?;
    Ok(Answer(view::overview(&platform, (cell.region.to_string(), regions), app.all_attempts())))
}

/// What the cell says of itself, asked anew if that is no longer fresh.
pub(crate) async fn lately(cell: &Shared) -> Result<Arc<PlatformView>, Refused> {
    let mut known = cell.lately.0.lock().await;
    if let Some((at, view)) = known.as_ref()
        && at.elapsed() < FRESH
    {
        return Ok(Arc::clone(view));
    }
    let read = |response| match response {
        Response::Platform(view) => Ok(Arc::from(view)),
        other => Err(other),
    };
    let view = cell.engine.query(Query::Platform, read).await?;
    *known = Some((Instant::now(), Arc::clone(&view)));
    Ok(view)
}
