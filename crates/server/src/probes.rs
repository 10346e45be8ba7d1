//! `/healthz` and `/readyz`, without authentication: they say nothing about anyone.

use axum::Json as Answer;
use axum::extract::State;
use axum::http::StatusCode;
use fairlane_api::platform::Health;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::engine::health::State as EngineState;
use crate::serve::Shared;

pub(crate) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(healthz)).routes(routes!(readyz))
}

/// Says that the process lives
#[utoipa::path(
    get, path = "/healthz", tag = "probes", security(()), responses((status = 200, body = Health))
)]
async fn healthz() -> Answer<Health> {
    Answer(health("ok"))
}

/// Says whether requests can be served
#[utoipa::path(
    get, path = "/readyz", tag = "probes", security(()),
    responses((status = 200, body = Health), (status = 503, body = Health))
)]
async fn readyz(State(shared): State<Shared>) -> (StatusCode, Answer<Health>) {
    let engine = &shared.engine.health;
    let status = match engine.state() {
        EngineState::Ready => StatusCode::OK,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, Answer(health(engine.describe())))
}

fn health(status: &str) -> Health {
    Health { status: status.to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() }
}
