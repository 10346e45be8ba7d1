//! `/v1/tenants/{tenant}/calls` and `/usage`: calls of models, one by one and summed up.

use std::collections::BTreeMap;

use axum::Json as Answer;
use fairlane_api::page::Page;
use fairlane_api::usage::{self as wire, CallStatus, Tokens, Used};
use fairlane_api::{Code, Problem, Timestamp};
use fairlane_core::catalog::Usage as Counted;
use fairlane_core::gate::Account;
use fairlane_core::id::RunId;
use fairlane_core::money::Nano;
use fairlane_core::row::{CallRow, Owner};
use fairlane_core::time::{Span, Time};
use fairlane_store::{CallQuery, UsageRow};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::auth::Scoped;
use crate::body::Params;
use crate::cells::{App, Here};
use crate::page::{after, limit};
use crate::places::passed_out;
use crate::problem::Refused;
use crate::quotas::{account_views, amount_out, rung_out};
use crate::reads::Planned;
use crate::serve::Shared;
use crate::wire::{part_out, timestamp};

/// Longest time that calls are summed up over, as all of them are read.
const USAGE_DAYS_MAX: u64 = 366;

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Listing {
    /// `next` of the page before.
    cursor: Option<String>,
    /// Most entries, 1 to 1,000; 100 if absent.
    #[param(minimum = 1, maximum = 1_000)]
    limit: Option<u32>,
    /// Only calls that were made for this run.
    run: Option<String>,
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Period {
    /// Calls that began then or later. Absent: the beginning of the tenant's month that is under way.
    from: Option<Timestamp>,
    /// Calls that began before. Absent: the end of that month. At most 366 days after `from`.
    until: Option<Timestamp>,
}

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list_calls)).routes(routes!(get_usage))
}

/// Lists a tenant's calls of models, newest first
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/calls", tag = "tenants", params(("tenant" = String, Path), Listing),
    responses((status = 200, body = Page<wire::Call>), (status = "4XX", body = Problem), (status = "5XX", body = Problem))
)]
async fn list_calls(
    Here(shared): Here,
    Scoped(scope): Scoped,
    Params(listing): Params<Listing>,
) -> Result<Answer<Page<wire::Call>>, Refused> {
    let before: Option<u64> = listing.cursor.as_deref().map(after).transpose()?;
    let limit = u32::try_from(limit(listing.limit)?).unwrap_or(u32::MAX);
    let run: Option<RunId> = listing.run.as_deref().map(run).transpose()?;
    let (page, plans) = shared.reads.calls(&scope, CallQuery { before, limit, run }).await?;
    let step = |call: &CallRow| step_name(&shared, &plans, call);
    Ok(Answer(Page {
        items: page.rows.iter().map(|call| call_out(call, step(call))).collect(),
        next: page.next.map(|next| next.to_string()),
    }))
}

/// Sums up what a tenant's calls of models used, by model and who served it
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/usage", tag = "tenants", params(("tenant" = String, Path), Period),
    responses((status = 200, body = wire::Usage), (status = "4XX", body = Problem), (status = "5XX", body = Problem))
)]
async fn get_usage(
    Here(shared): Here,
    Scoped(scope): Scoped,
    Params(period): Params<Period>,
) -> Result<Answer<wire::Usage>, Refused> {
    let month = async || {
        let views = account_views(&shared, Owner::Tenant(scope.tenant().clone())).await?;
        let month = views.iter().find(|view| view.account == Account::TenantMonth);
        month.map(|view| (view.start, view.end)).ok_or_else(|| Refused::internal(&"no month"))
    };
    let given = |at: Option<Timestamp>| at.map(|at| Time(at.0));
    let (from, until) = match (given(period.from), given(period.until)) {
        (Some(from), Some(until)) => (from, until),
        (from, until) => {
            let (start, end) = month().await?;
            (from.unwrap_or(start), until.unwrap_or(end))
        }
    };
    if from >= until || until.since(from) > Span::from_secs(USAGE_DAYS_MAX * 86_400) {
        return Err(Refused::new(Code::MalformedRequest)
            .detail("the parameter `until` is not after `from`, or too long after it")
            .expected(format!("a period of at most {USAGE_DAYS_MAX} days")));
    }
    let rows = shared.reads.usage(&scope, from, until).await?;
    Ok(Answer(wire::Usage {
        starts_at: timestamp(from),
        ends_at: timestamp(until),
        total: total(&rows),
        models: rows.iter().map(model_out).collect(),
    }))
}

fn run(text: &str) -> Result<RunId, Refused> {
    text.parse().map_err(|_| {
        Refused::new(Code::MalformedRequest)
            .detail("the parameter `run` is not the id of a run")
            .expected("an id such as 0190b6c2-7a1e-7cc3-98c4-dc0c0c07398f")
    })
}

/// What the step is called that a call was made for.
fn step_name(shared: &Shared, plans: &BTreeMap<RunId, Planned>, call: &CallRow) -> Option<String> {
    let attempt = call.attempt?;
    let (workflow, version, plan) = plans.get(&attempt.run)?;
    let declared = || shared.registry.workflow(workflow, Some(*version));
    let workflow = plan.clone().or_else(declared)?;
    let step = workflow.steps.get(usize::from(attempt.instance.step.0))?;
    Some(step.name.to_string())
}

pub(crate) fn call_out(row: &CallRow, step: Option<String>) -> wire::Call {
    let Counted { input, cached, output } = row.metered.usage;
    wire::Call {
        id: row.id.to_string(),
        run: row.attempt.map(|attempt| attempt.run.to_string()),
        step,
        part: row.attempt.map(|attempt| part_out(attempt.instance.part)),
        attempt: row.attempt.map(|attempt| attempt.attempt),
        model: row.model.to_string(),
        endpoint: row.endpoint.to_string(),
        served_by: row.upstream.to_string(),
        degraded: row.rung.map(rung_out),
        status: if row.ended.is_some() { CallStatus::Ended } else { CallStatus::Open },
        began_at: timestamp(row.began),
        ended_at: row.ended.map(timestamp),
        tokens: Tokens { input: input.into(), cached: cached.into(), output: output.into() },
        certain: row.metered.is_certain,
        cost: amount_out(row.cost),
        held: row.hold.as_ref().map(|hold| amount_out(hold.amount)),
        region: row.considered.region.as_ref().map(ToString::to_string),
        adequate: row.considered.adequate.map(|country| country.to_string()),
        passed: passed_out(&row.considered.passed),
    }
}

fn model_out(row: &UsageRow) -> wire::ModelUsage {
    wire::ModelUsage {
        model: row.model.to_string(),
        endpoint: row.endpoint.to_string(),
        served_by: row.upstream.to_string(),
        region: row.region.as_ref().map(ToString::to_string),
        used: total(std::slice::from_ref(row)),
    }
}

fn total(rows: &[UsageRow]) -> Used {
    let sum = |of: fn(&UsageRow) -> u64| rows.iter().map(of).fold(0, u64::saturating_add);
    Used {
        calls: sum(|row| row.calls),
        tokens: Tokens {
            input: sum(|row| row.input),
            cached: sum(|row| row.cached),
            output: sum(|row| row.output),
        },
        cost: amount_out(Nano(sum(|row| row.cost.0))),
        uncertain: amount_out(Nano(sum(|row| row.uncertain.0))),
    }
}
