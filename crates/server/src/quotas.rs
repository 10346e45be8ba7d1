//! `/v1/catalog/tools`, `/v1/budget-classes` and accounts: declare, read, list, top up.
//!
//! - `check`: from the wire to the domain, with all mistakes at once.
//! - `read`: how much is used, spent and left.

mod check;
mod read;

use axum::Json as Answer;
use axum::extract::{Path, State};
use fairlane_api::page::Page;
use fairlane_api::quota::{self as wire, AccountSpec, Amount, BudgetClassSpec, ToolSpec};
use fairlane_api::resource::Applied;
use fairlane_api::{Code, Problem};
use fairlane_core::calendar::Calendar;
use fairlane_core::cell::input::{Configure, SetAccount};
use fairlane_core::money::Nano;
use fairlane_core::quota::{BudgetClass, OrgBudget, Rule, Rung, Tool, Unit};
use fairlane_core::row::Owner;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) use self::check::{Check, amount};
pub(crate) use self::read::account_views;
use crate::auth::{Operator, Scoped};
use crate::body::{Json, Params};
use crate::catalog::endpoint;
use crate::cells::App;
use crate::declare::{DryRun, configure};
use crate::page::{Paging, page};
use crate::problem::Refused;
use crate::problem::rejection::unknown_tenant;
use crate::rules;
use crate::tenants::missing;
use crate::wire::path_name;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_tools))
        .routes(routes!(get_tool, put_tool))
        .routes(routes!(list_classes))
        .routes(routes!(get_class, put_class))
        .routes(routes!(put_tenant_account))
        .routes(routes!(put_org_account))
        .merge(read::routes())
}

/// Declares a tool: what all tenants together may call of it, where it is, and how the server calls it
#[utoipa::path(
    put, path = "/v1/catalog/tools/{tool}", tag = "catalog", params(("tool" = String, Path), DryRun),
    request_body = ToolSpec,
    responses((status = 200, body = Applied), (status = "4XX", body = Problem), (status = "5XX", body = Problem))
)]
async fn put_tool(
    State(shared): State<App>,
    operator: Operator,
    Path(tool): Path<String>,
    Params(dry_run): Params<DryRun>,
    Json(spec): Json<ToolSpec>,
) -> Result<Answer<Applied>, Refused> {
    let name = path_name(&tool)?;
    let mut check = Check::default();
    let limits = check.rules("/limits", &spec.limits);
    let breaker = spec.breaker.as_ref().and_then(|breaker| check.breaker(breaker));
    let endpoint = spec.endpoint.as_ref().and_then(|given| endpoint::read(&mut check, given));
    let location = rules::location(&mut check, &spec);
    let tool = check.finish(Tool { endpoint, breaker, location, ..Tool::new(name, limits) })?;
    configure((&shared, &operator), Configure::Tool(tool), dry_run).await.map(Answer)
}

/// Reads a tool
#[utoipa::path(
    get, path = "/v1/catalog/tools/{tool}", tag = "catalog", params(("tool" = String, Path)),
    responses((status = 200, body = wire::Tool), (status = "4XX", body = Problem))
)]
async fn get_tool(
    State(shared): State<App>,
    _: Operator,
    Path(tool): Path<String>,
) -> Result<Answer<wire::Tool>, Refused> {
    let found = tool.parse().ok().and_then(|name| shared.registry.tool(&name));
    let found = found.ok_or_else(|| missing(Code::UnknownTool, "tool", &tool))?;
    Ok(Answer(tool_out(&found)))
}

/// Lists tools
#[utoipa::path(
    get, path = "/v1/catalog/tools", tag = "catalog", params(Paging),
    responses((status = 200, body = Page<wire::Tool>), (status = "4XX", body = Problem))
)]
async fn list_tools(
    State(shared): State<App>,
    _: Operator,
    Params(paging): Params<Paging>,
) -> Result<Answer<Page<wire::Tool>>, Refused> {
    let limit = paging.limit()?;
    let read = shared.registry.tools(paging.after()?.as_ref(), limit + 1);
    Ok(Answer(page(read, limit, |tool| tool.name.to_string(), |tool| tool_out(&tool))))
}

/// Declares a budget class
///
/// Tiers and tenants refer to it by its name. What it says acts at once on its tenants, but a run keeps the budget for
/// one run that it was admitted with.
#[utoipa::path(
    put, path = "/v1/budget-classes/{class}", tag = "tenants", params(("class" = String, Path), DryRun),
    request_body = BudgetClassSpec,
    responses((status = 200, body = Applied), (status = "4XX", body = Problem), (status = "5XX", body = Problem))
)]
async fn put_class(
    State(shared): State<App>,
    operator: Operator,
    Path(class): Path<String>,
    Params(dry_run): Params<DryRun>,
    Json(spec): Json<BudgetClassSpec>,
) -> Result<Answer<Applied>, Refused> {
    let name = path_name(&class)?;
    let mut check = Check::default();
    let quotas = check.quotas(&spec.quotas);
    let budget = check.budget(&spec.budget);
    let class = check.finish(BudgetClass { name, quotas, budget })?;
    configure((&shared, &operator), Configure::Class(class), dry_run).await.map(Answer)
}

/// Reads a budget class
#[utoipa::path(
    get, path = "/v1/budget-classes/{class}", tag = "tenants", params(("class" = String, Path)),
    responses((status = 200, body = wire::BudgetClass), (status = "4XX", body = Problem))
)]
async fn get_class(
    State(shared): State<App>,
    _: Operator,
    Path(class): Path<String>,
) -> Result<Answer<wire::BudgetClass>, Refused> {
    let found = class.parse().ok().and_then(|name| shared.registry.class(&name));
    let found = found.ok_or_else(|| missing(Code::UnknownBudgetClass, "budget class", &class))?;
    Ok(Answer(class_out(&found)))
}

/// Lists budget classes
#[utoipa::path(
    get, path = "/v1/budget-classes", tag = "tenants", params(Paging),
    responses((status = 200, body = Page<wire::BudgetClass>), (status = "4XX", body = Problem))
)]
async fn list_classes(
    State(shared): State<App>,
    _: Operator,
    Params(paging): Params<Paging>,
) -> Result<Answer<Page<wire::BudgetClass>>, Refused> {
    let limit = paging.limit()?;
    let read = shared.registry.classes(paging.after()?.as_ref(), limit + 1);
    Ok(Answer(page(read, limit, |class| class.name.to_string(), |class| class_out(&class))))
}

/// Tops up a tenant's account, or lets it off debt
///
/// `every` is `day` or `month`. It is the account of the period that is under way, and what waits for money of it goes
/// on at once.
#[utoipa::path(
    put, path = "/v1/tenants/{tenant}/budgets/{every}", tag = "tenants",
    params(("tenant" = String, Path), ("every" = String, Path)), request_body = AccountSpec,
    responses((status = 200, body = Applied), (status = "4XX", body = Problem), (status = "5XX", body = Problem))
)]
async fn put_tenant_account(
    State(shared): State<App>,
    operator: Operator,
    Scoped(scope): Scoped,
    Path((_, every)): Path<(String, String)>,
    Json(spec): Json<AccountSpec>,
) -> Result<Answer<Applied>, Refused> {
    let tenant = scope.tenant().clone();
    if shared.registry.context(&tenant).is_none() {
        return Err(unknown_tenant(tenant.as_str()));
    }
    let every = [Calendar::Day, Calendar::Month].into_iter().find(|known| known.as_str() == every);
    let every = every.ok_or_else(|| {
        let refused = Refused::new(Code::NoAccount);
        refused.detail("tenants have budgets for the `day` and the `month`")
    })?;
    let account = account(Owner::Tenant(tenant), every, &spec)?;
    configure((&shared, &operator), Configure::Account(account), DryRun::default())
        .await
        .map(Answer)
}

/// Tops up an organisation's account of the month that is under way, or lets it off debt
#[utoipa::path(
    put, path = "/v1/orgs/{org}/budgets/month", tag = "tenants", params(("org" = String, Path)),
    request_body = AccountSpec,
    responses((status = 200, body = Applied), (status = "4XX", body = Problem), (status = "5XX", body = Problem))
)]
async fn put_org_account(
    State(shared): State<App>,
    operator: Operator,
    Path(org): Path<String>,
    Json(spec): Json<AccountSpec>,
) -> Result<Answer<Applied>, Refused> {
    let found = org.parse().ok().and_then(|id| shared.registry.org(&id));
    let found = found.ok_or_else(|| missing(Code::UnknownOrg, "organisation", &org))?;
    let account = account(Owner::Org(found.id), Calendar::Month, &spec)?;
    configure((&shared, &operator), Configure::Account(account), DryRun::default())
        .await
        .map(Answer)
}

fn account(owner: Owner, every: Calendar, spec: &AccountSpec) -> Result<SetAccount, Refused> {
    let mut check = Check::default();
    let topped_up = check.amount("/topped_up", &spec.topped_up);
    let forgiven = check.amount("/forgiven", &spec.forgiven);
    check.finish(SetAccount { owner, every, topped_up, forgiven })
}

fn tool_out(tool: &Tool) -> wire::Tool {
    let endpoint = tool.endpoint.as_ref().map(endpoint::out);
    let breaker = tool.breaker.map(|breaker| wire::Breaker {
        failures: breaker.failures,
        open_for: fairlane_workflow::show_span(breaker.open_for),
    });
    let (region, storage_region, certificates) = rules::location_out(&tool.location);
    wire::Tool {
        name: tool.name.to_string(),
        limits: rules_out(&tool.limits),
        endpoint,
        breaker,
        region,
        storage_region,
        certificates,
    }
}

fn class_out(class: &BudgetClass) -> wire::BudgetClass {
    let quotas = class.quotas.iter();
    let budget = &class.budget;
    wire::BudgetClass {
        name: class.name.to_string(),
        quotas: quotas.map(|(tool, rules)| (tool.to_string(), rules_out(rules))).collect(),
        budget: wire::Budget {
            run: budget.run.map(amount_out),
            reserve: amount_out(budget.reserve),
            day: budget.day.map(amount_out),
            month: budget.month.map(amount_out),
            time_zone: budget.time_zone.name().to_owned(),
            short: budget.short.iter().copied().map(rung_out).collect(),
        },
    }
}

pub(crate) fn org_budget_out(budget: &OrgBudget) -> wire::OrgBudget {
    let time_zone = budget.time_zone.name().to_owned();
    wire::OrgBudget { month: amount_out(budget.month), time_zone }
}

fn rules_out(rules: &[Rule]) -> Vec<wire::Rule> {
    rules.iter().map(rule_out).collect()
}

fn rule_out(rule: &Rule) -> wire::Rule {
    match rule {
        Rule::Window { units, every, time_zone, of } => wire::Rule::Window {
            units: *units,
            every: every_out(*every),
            time_zone: time_zone.name().to_owned(),
            of: unit_out(*of),
        },
        Rule::Bucket { units, per, burst, of } => wire::Rule::Bucket {
            units: *units,
            per: fairlane_workflow::show_span(*per),
            burst: *burst,
            of: unit_out(*of),
        },
        Rule::Concurrent { calls } => wire::Rule::Concurrent { calls: *calls },
    }
}

const fn unit_out(unit: Unit) -> wire::Unit {
    match unit {
        Unit::Calls => wire::Unit::Calls,
        Unit::Tokens => wire::Unit::Tokens,
    }
}

pub(crate) const fn every_out(every: Calendar) -> wire::Every {
    match every {
        Calendar::Minute => wire::Every::Minute,
        Calendar::Hour => wire::Every::Hour,
        Calendar::Day => wire::Every::Day,
        Calendar::Month => wire::Every::Month,
    }
}

pub(crate) const fn rung_out(rung: Rung) -> wire::Rung {
    match rung {
        Rung::CheaperModel => wire::Rung::CheaperModel,
        Rung::ShorterOutput => wire::Rung::ShorterOutput,
        Rung::SkipOptional => wire::Rung::SkipOptional,
        Rung::Escalate => wire::Rung::Escalate,
        Rung::Pause => wire::Rung::Pause,
        Rung::Fail => wire::Rung::Fail,
    }
}

pub(crate) fn amount_out(amount: Nano) -> Amount {
    Amount(amount.to_string())
}
