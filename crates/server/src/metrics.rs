//! `/metrics`: what there is of the platform for Prometheus, in `OpenMetrics` text.
//!
//! The number of series does not grow with the tenants. Tiers, pools, tools and classes of reviews are told up to a bound each,
//! tenants those that hold and want most and those that the operator names; everything of everybody is in the API.

mod sheet;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::{FromRequestParts, State};
use axum::http::header;
use axum::http::request::Parts;
use axum::response::IntoResponse;
use fairlane_core::cell::effect::{Response, TenantView};
use fairlane_core::cell::input::Query;
use fairlane_core::cell::view::PlatformView;
use fairlane_core::id::TenantId;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::auth::{Operator, bearer};
use crate::cells::App;
use crate::problem::Refused;
use crate::readings::lately;
use crate::serve::Shared;
use sheet::Sheet;

pub use sheet::METRICS;

const NOT_FOUND: u16 = 404;
/// A token has so many characters at least.
const TOKEN_MIN: usize = 16;
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Who may read metrics and nothing else, if that is set up.
#[derive(Clone, Default)]
pub(crate) struct ScrapeToken(Option<Arc<str>>);

impl std::fmt::Debug for ScrapeToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "ScrapeToken(..)" } else { "ScrapeToken(none)" })
    }
}

impl ScrapeToken {
    /// `None` if it is so short that it can be guessed.
    pub(crate) fn new(token: &str) -> Option<Self> {
        let is_long = token.len() >= TOKEN_MIN;
        is_long.then(|| Self(Some(token.into())))
    }

    fn opens(&self, given: &str) -> bool {
        let is_same = |token: &Arc<str>| same(token.as_bytes(), given.as_bytes());
        self.0.as_ref().is_some_and(is_same)
    }
}

/// Compares without telling by the time where they differ.
fn same(one: &[u8], other: &[u8]) -> bool {
    let differ = one.iter().zip(other).fold(0, |differ, (one, other)| differ | (one ^ other));
    one.len() == other.len() && differ == 0
}

/// An operator, or whoever has the token for metrics.
struct Scraper;

impl FromRequestParts<App> for Scraper {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refused> {
        if bearer(parts)?.is_some_and(|given| app.scrape_token().opens(given)) {
            return Ok(Self);
        }
        Operator::from_request_parts(parts, app).await.map(|_| Self)
    }
}

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(metrics))
}

/// Reads the platform's metrics, as Prometheus collects them
#[utoipa::path(
    get, path = "/metrics", tag = "probes",
    responses(
        (status = 200, description = "OpenMetrics text", body = String, content_type = "application/openmetrics-text"),
        (status = "4XX", body = fairlane_api::Problem), (status = "5XX", body = fairlane_api::Problem)
    )
)]
async fn metrics(State(app): State<App>, _: Scraper) -> Result<impl IntoResponse, Refused> {
    let sheet = Sheet::new(app.all().len());
    for cell in app.all() {
        let platform = lately(cell).await?;
        let tenants = tenants_of(cell, &platform).await?;
        sheet.platform(cell.region.as_str(), &platform);
        for tenant in &tenants {
            sheet.tenant(cell.region.as_str(), tenant);
        }
    }
    sheet.attempts(app.all_attempts());
    let text = sheet.text().map_err(|error| Refused::internal(&error.to_string()))?;
    Ok(([(header::CONTENT_TYPE, OPEN_METRICS)], text))
}

/// Those that hold or want most, and those that are named.
async fn tenants_of(cell: &Shared, platform: &PlatformView) -> Result<Vec<TenantView>, Refused> {
    let mut loads: Vec<(u64, &TenantId)> = Vec::new();
    for holder in platform.pools.iter().flat_map(|pool| &pool.top) {
        loads.push((u64::from(holder.slots) + u64::from(holder.waiting), &holder.tenant));
    }
    loads.sort_by(|one, other| other.cmp(one));
    let mut wanted: BTreeSet<TenantId> = BTreeSet::new();
    for (_, tenant) in loads {
        if wanted.len() < cell.config.metrics_tenants_max as usize {
            wanted.insert(tenant.clone());
        }
    }
    wanted.extend(cell.config.metrics_tenants.iter().filter_map(|tenant| tenant.parse().ok()));
    let mut views = Vec::new();
    for tenant in wanted {
        let read = |response| match response {
            Response::Tenant(view) => Ok(*view),
            other => Err(other),
        };
        // One that is named and not declared, or in another region, has no numbers.
        match cell.engine.query(Query::Tenant(tenant), read).await {
            Ok(view) => views.push(view),
            Err(refused) if refused.status() == NOT_FOUND => {}
            Err(refused) => return Err(refused),
        }
    }
    Ok(views)
}
