//! How much of limits is used, and what accounts have spent, hold and have left.

use axum::Json as Answer;
use axum::extract::{Path, State};
use fairlane_api::quota as wire;
use fairlane_api::{Code, Problem};
use fairlane_core::calendar::Calendar;
use fairlane_core::cell::effect::{AccountView, LimitView, Response};
use fairlane_core::cell::input::Query;
use fairlane_core::gate::Account;
use fairlane_core::limiter::{Circuit, Why};
use fairlane_core::row::Owner;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{amount_out, every_out};
use crate::auth::{Operator, Scoped};
use crate::cells::{App, Here};
use crate::problem::Refused;
use crate::serve::Surroundings;
use crate::tenants::missing;
use crate::wire::timestamp;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(get_tenant_accounts))
        .routes(routes!(get_org_accounts))
        .routes(routes!(get_tenant_limits))
        .routes(routes!(get_tool_use))
}

/// Reads a tenant's accounts of the day and the month that are under way
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/budgets", tag = "tenants", params(("tenant" = String, Path)),
    responses((status = 200, body = wire::Accounts), (status = "4XX", body = Problem), (status = "5XX", body = Problem))
)]
async fn get_tenant_accounts(
    Here(shared): Here,
    Scoped(scope): Scoped,
) -> Result<Answer<wire::Accounts>, Refused> {
    accounts(&shared, Owner::Tenant(scope.tenant().clone())).await
}

/// Reads an organisation's account of the month that is under way
#[utoipa::path(
    get, path = "/v1/orgs/{org}/budgets", tag = "tenants", params(("org" = String, Path)),
    responses((status = 200, body = wire::Accounts), (status = "4XX", body = Problem), (status = "5XX", body = Problem))
)]
async fn get_org_accounts(
    State(shared): State<App>,
    _: Operator,
    Path(org): Path<String>,
) -> Result<Answer<wire::Accounts>, Refused> {
    let found = org.parse().ok().and_then(|id| shared.registry.org(&id));
    let found = found.ok_or_else(|| missing(Code::UnknownOrg, "organisation", &org))?;
    accounts(shared.account_of(&found.id), Owner::Org(found.id.clone())).await
}

/// Reads how much a tenant has used of its own quotas
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/limits", tag = "tenants", params(("tenant" = String, Path)),
    responses((status = 200, body = wire::Limits), (status = "4XX", body = Problem), (status = "5XX", body = Problem))
)]
async fn get_tenant_limits(
    Here(shared): Here,
    Scoped(scope): Scoped,
) -> Result<Answer<wire::Limits>, Refused> {
    limits(&shared, Query::Quotas(scope.tenant().clone())).await
}

/// Reads how much all tenants together have used of a tool's limits, and whether it is called
#[utoipa::path(
    get, path = "/v1/catalog/tools/{tool}/limits", tag = "catalog", params(("tool" = String, Path)),
    responses((status = 200, body = wire::Limits), (status = "4XX", body = Problem), (status = "5XX", body = Problem))
)]
async fn get_tool_use(
    State(shared): State<App>,
    _: Operator,
    Path(tool): Path<String>,
) -> Result<Answer<wire::Limits>, Refused> {
    let name = tool.parse().map_err(|_| missing(Code::UnknownTool, "tool", &tool))?;
    limits(&shared, Query::Provider(name)).await
}

async fn accounts(shared: &Surroundings, owner: Owner) -> Result<Answer<wire::Accounts>, Refused> {
    let views = account_views(shared, owner).await?;
    Ok(Answer(wire::Accounts { accounts: views.iter().map(account_out).collect() }))
}

/// Accounts in the periods under way; of a tenant those of its day and its month.
pub(crate) async fn account_views(
    shared: &Surroundings,
    owner: Owner,
) -> Result<Vec<AccountView>, Refused> {
    let read = |response| match response {
        Response::Accounts(views) => Ok(views),
        other => Err(other),
    };
    shared.engine.query(Query::Accounts(owner), read).await
}

async fn limits(shared: &Surroundings, query: Query) -> Result<Answer<wire::Limits>, Refused> {
    let read = |response| match response {
        Response::Limits(views) => Ok((views, None)),
        Response::Provider(views, circuit) => Ok((views, Some(circuit))),
        other => Err(other),
    };
    let (views, circuit) = shared.engine.query(query, read).await?;
    let limits = views.iter().map(limit_out).collect();
    Ok(Answer(wire::Limits { limits, circuit: circuit.map(circuit_out) }))
}

fn account_out(view: &AccountView) -> wire::Account {
    let every = match view.account {
        Account::TenantDay => Calendar::Day,
        Account::Run | Account::TenantMonth | Account::OrgMonth => Calendar::Month,
    };
    wire::Account {
        every: every_out(every),
        starts_at: timestamp(view.start),
        ends_at: timestamp(view.end),
        budget: view.budget.map(amount_out),
        posted: amount_out(view.posted),
        uncertain: amount_out(view.uncertain),
        held: amount_out(view.held),
        topped_up: amount_out(view.topped_up),
        forgiven: amount_out(view.forgiven),
        debt: amount_out(view.debt),
        available: view.available.map(amount_out),
        forecast: amount_out(view.forecast),
    }
}

fn circuit_out(circuit: Circuit) -> wire::Circuit {
    let why_out = |why| match why {
        Why::RetryAfter => wire::Why::RetryAfter,
        Why::Failures => wire::Why::Failures,
    };
    let (state, why, until) = match circuit {
        Circuit::Closed => (wire::CircuitState::Closed, None, None),
        Circuit::Open { until, why } => (wire::CircuitState::Open, Some(why), Some(until)),
        Circuit::HalfOpen { why } => (wire::CircuitState::HalfOpen, Some(why), None),
    };
    wire::Circuit { state, why: why.map(why_out), until: until.map(timestamp) }
}

fn limit_out(view: &LimitView) -> wire::LimitUse {
    wire::LimitUse {
        tool: view.tool.to_string(),
        rule: view.rule.to_string(),
        used: view.used,
        of: view.of,
        opens_at: view.opens.map(timestamp),
    }
}
