//! `/v1/catalog`: models, prices and places, and the endpoints of tools, which `quotas` declares.
//!
//! - `endpoint`: how the server calls a tool, from the wire and back.
//! - `policies`: declare, read, list, remove; what a change would do.
//! - `models`, `prices`, `places`, `reviewers`: declare, read, list.

pub(crate) mod endpoint;
mod models;
pub(crate) mod places;
pub(crate) mod policies;
mod prices;
mod reviewers;

use utoipa_axum::router::OpenApiRouter;

use crate::cells::App;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .merge(models::routes())
        .merge(prices::routes())
        .merge(places::routes())
        .merge(reviewers::routes())
        .merge(policies::routes())
}
