//! `/healthz` and `/readyz`, without authentication: they say nothing about anyone.

use axum::Json as Answer;
use axum::extract::State;
use axum::http::StatusCode;
use fairlane_api::platform::Health as Answered;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::cells::App;
use crate::engine::health::{Health, State as EngineState};
use crate::serve::Shared;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(healthz)).routes(routes!(readyz))
}

/// Says that the process lives
#[utoipa::path(
    get, path = "/healthz", tag = "probes", security(()), responses((status = 200, body = Answered))
)]
async fn healthz() -> Answer<Answered> {
    Answer(health("ok"))
}

/// Says whether requests can be served
#[utoipa::path(
    get, path = "/readyz", tag = "probes", security(()),
    responses((status = 200, body = Answered), (status = 503, body = Answered))
)]
async fn readyz(State(app): State<App>) -> (StatusCode, Answer<Answered>) {
    let health_of = |cell: &Shared| cell.engine.health.clone();
    let is_ready = |health: &std::sync::Arc<Health>| health.state() == EngineState::Ready;
    let ill = app.all().iter().map(health_of).find(|health| !is_ready(health));
    match ill {
        None if !app.is_prepared() => (StatusCode::SERVICE_UNAVAILABLE, Answer(health("starting"))),
        None => (StatusCode::OK, Answer(health(app.engine.health.describe()))),
        Some(ill) => (StatusCode::SERVICE_UNAVAILABLE, Answer(health(ill.describe()))),
    }
}

fn health(status: &str) -> Answered {
    Answered { status: status.to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() }
}
