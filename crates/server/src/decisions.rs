//! The decision log, for the operator and for each tenant its own.

use axum::Json as Answer;
use axum::extract::State;
use fairlane_api::Problem;
use fairlane_api::page::Page;
use fairlane_api::platform::Decision;
use fairlane_core::tenant::TenantScope;
use fairlane_store::{DecisionQuery, DecisionRow};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::auth::{Operator, Scoped};
use crate::body::Params;
use crate::cells::{App, Here, InRegion};
use crate::page::Paging;
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
    OpenApiRouter::new().routes(routes!(list_decisions)).routes(routes!(list_platform_decisions))
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
