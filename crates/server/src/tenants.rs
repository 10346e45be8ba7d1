//! `/v1/orgs`, `/v1/tiers`, `/v1/tenants`: declare, read, list.

use std::sync::Arc;

use axum::Json as Answer;
use axum::extract::{Path, State};
use fairlane_api::page::Page;
use fairlane_api::resource::{self as wire, Applied, OrgSpec, TenantSpec, TierSpec};
use fairlane_api::{Code, Problem};
use fairlane_core::cell::input::Configure;
use fairlane_core::id::{ClassName, RegionName, ReviewerPoolName};
use fairlane_core::tenant::{Context, Org, Tenant, Tier};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::auth::{Operator, Scoped};
use crate::body::{Json, Params};
use crate::cells::{App, Here};
use crate::declare::{DryRun, configure};
use crate::page::{Paging, page};
use crate::problem::Refused;
use crate::problem::rejection::unknown_tenant;
use crate::quotas::{Check, org_budget_out};
use crate::rules::{Given, Shown};
use crate::serve::Shared;
use crate::wire::{burst, burst_out, json, name, path_name, sla, sla_out};

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_orgs))
        .routes(routes!(get_org, put_org))
        .routes(routes!(list_tiers))
        .routes(routes!(get_tier, put_tier))
        .routes(routes!(list_tenants))
        .routes(routes!(get_tenant, put_tenant))
}

/// Declares an organisation
#[utoipa::path(
    put, path = "/v1/orgs/{org}", tag = "tenants", params(("org" = String, Path), DryRun),
    request_body = OrgSpec,
    responses((status = 200, body = Applied), (status = "4XX", body = Problem), (status = "5XX", body = Problem))
)]
async fn put_org(
    State(shared): State<App>,
    operator: Operator,
    Path(org): Path<String>,
    Params(dry_run): Params<DryRun>,
    Json(spec): Json<OrgSpec>,
) -> Result<Answer<Applied>, Refused> {
    let id = path_name(&org)?;
    let mut check = Check::default();
    let budget = spec.budget.as_ref().map(|budget| check.org_budget(budget));
    let org = check.finish(Org { id, weight: spec.weight, cap: spec.cap, budget })?;
    configure((&shared, &operator), Configure::Org(org), dry_run).await.map(Answer)
}

/// Reads an organisation
#[utoipa::path(
    get, path = "/v1/orgs/{org}", tag = "tenants", params(("org" = String, Path)),
    responses((status = 200, body = wire::Org), (status = "4XX", body = Problem))
)]
async fn get_org(
    State(shared): State<App>,
    _: Operator,
    Path(org): Path<String>,
) -> Result<Answer<wire::Org>, Refused> {
    let found = org.parse().ok().and_then(|id| shared.registry.org(&id));
    found
        .as_ref()
        .map(org_out)
        .map(Answer)
        .ok_or_else(|| missing(Code::UnknownOrg, "organisation", &org))
}

/// Lists organisations
#[utoipa::path(
    get, path = "/v1/orgs", tag = "tenants", params(Paging),
    responses((status = 200, body = Page<wire::Org>), (status = "4XX", body = Problem))
)]
async fn list_orgs(
    State(shared): State<App>,
    _: Operator,
    Params(paging): Params<Paging>,
) -> Result<Answer<Page<wire::Org>>, Refused> {
    let limit = paging.limit()?;
    let read = shared.registry.orgs(paging.after()?.as_ref(), limit + 1);
    Ok(Answer(page(read, limit, |org| org.id.to_string(), |org| org_out(&org))))
}

/// Declares a tier
#[utoipa::path(
    put, path = "/v1/tiers/{tier}", tag = "tenants", params(("tier" = String, Path), DryRun),
    request_body = TierSpec,
    responses((status = 200, body = Applied), (status = "4XX", body = Problem), (status = "5XX", body = Problem))
)]
async fn put_tier(
    State(shared): State<App>,
    operator: Operator,
    Path(tier): Path<String>,
    Params(dry_run): Params<DryRun>,
    Json(spec): Json<TierSpec>,
) -> Result<Answer<Applied>, Refused> {
    let name = path_name(&tier)?;
    let given = Given::from(&spec);
    let mut check = Check::default();
    let rules = given.read(&mut check);
    let rules = check.finish(rules)?;
    let tier = Tier {
        name,
        weight: spec.weight,
        cap: spec.cap,
        burst: spec.burst.map(burst),
        urgent_share_permille: spec.urgent_share_permille,
        runs_max: spec.runs_max,
        sla: spec.sla.map(sla).transpose()?,
        budget_class: budget_class(spec.budget_class.as_deref())?,
        reviewer_pool: reviewer_pool(spec.reviewer_pool.as_deref())?,
        review_class: spec.review_class,
        rules,
    };
    let applied = configure((&shared, &operator), Configure::Tier(tier), dry_run).await;
    applied.map(Answer).map_err(|refused| given.placed(refused))
}

/// Reads a tier
#[utoipa::path(
    get, path = "/v1/tiers/{tier}", tag = "tenants", params(("tier" = String, Path)),
    responses((status = 200, body = wire::Tier), (status = "4XX", body = Problem))
)]
async fn get_tier(
    State(shared): State<App>,
    _: Operator,
    Path(tier): Path<String>,
) -> Result<Answer<wire::Tier>, Refused> {
    let found = tier.parse().ok().and_then(|name| shared.registry.tier(&name));
    found
        .as_ref()
        .map(tier_out)
        .map(Answer)
        .ok_or_else(|| missing(Code::UnknownTier, "tier", &tier))
}

/// Lists tiers
#[utoipa::path(
    get, path = "/v1/tiers", tag = "tenants", params(Paging),
    responses((status = 200, body = Page<wire::Tier>), (status = "4XX", body = Problem))
)]
async fn list_tiers(
    State(shared): State<App>,
    _: Operator,
    Params(paging): Params<Paging>,
) -> Result<Answer<Page<wire::Tier>>, Refused> {
    let limit = paging.limit()?;
    let read = shared.registry.tiers(paging.after()?.as_ref(), limit + 1);
    Ok(Answer(page(read, limit, |tier| tier.name.to_string(), |tier| tier_out(&tier))))
}

/// Declares a tenant
#[utoipa::path(
    put, path = "/v1/tenants/{tenant}", tag = "tenants", params(("tenant" = String, Path), DryRun),
    request_body = TenantSpec,
    responses((status = 200, body = Applied), (status = "4XX", body = Problem), (status = "5XX", body = Problem))
)]
async fn put_tenant(
    State(shared): State<App>,
    operator: Operator,
    Path(tenant): Path<String>,
    Params(dry_run): Params<DryRun>,
    Json(spec): Json<TenantSpec>,
) -> Result<Answer<Applied>, Refused> {
    let id = path_name(&tenant)?;
    let attributes = attributes(spec.attributes.as_ref())?;
    let given = Given::from(&spec);
    let mut check = Check::default();
    let rules = given.read(&mut check);
    let rules = check.finish(rules)?;
    let tenant = Tenant {
        id,
        org: name(&spec.org, "/org")?,
        tier: name(&spec.tier, "/tier")?,
        weight: spec.weight,
        cap: spec.cap,
        burst: spec.burst.map(burst),
        sla: spec.sla.map(sla).transpose()?,
        budget_class: budget_class(spec.budget_class.as_deref())?,
        reviewer_pool: reviewer_pool(spec.reviewer_pool.as_deref())?,
        rules,
        suspended: spec.suspended,
        attributes,
    };
    let applied = configure((&shared, &operator), Configure::Tenant(tenant), dry_run).await;
    applied.map(Answer).map_err(|refused| given.placed(refused))
}

/// Reads a tenant
///
/// What the tenant leaves to its tier is filled in.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}", tag = "tenants", params(("tenant" = String, Path)),
    responses((status = 200, body = wire::Tenant), (status = "4XX", body = Problem))
)]
async fn get_tenant(
    Here(shared): Here,
    Scoped(scope): Scoped,
) -> Result<Answer<wire::Tenant>, Refused> {
    let context = shared.registry.context(scope.tenant());
    let context = context.ok_or_else(|| unknown_tenant(scope.tenant().as_str()))?;
    Ok(Answer(tenant_out(&context, &shared.region)))
}

/// Lists tenants
#[utoipa::path(
    get, path = "/v1/tenants", tag = "tenants", params(Paging),
    responses((status = 200, body = Page<wire::Tenant>), (status = "4XX", body = Problem))
)]
async fn list_tenants(
    State(shared): State<App>,
    _: Operator,
    Params(paging): Params<Paging>,
) -> Result<Answer<Page<wire::Tenant>>, Refused> {
    let limit = paging.limit()?;
    let after = paging.after()?;
    let contexts = |cell: &Shared| {
        let read = cell.registry.contexts(after.as_ref(), limit + 1);
        read.into_iter().map(|context| (context, cell.region.clone())).collect()
    };
    let read = shared.merged(contexts, |(context, _)| context.tenant.clone());
    let view = |(context, region): (Arc<Context>, RegionName)| tenant_out(&context, &region);
    Ok(Answer(page(read, limit, |(context, _)| context.tenant.to_string(), view)))
}

pub(crate) fn missing(code: Code, what: &str, name: &str) -> Refused {
    Refused::new(code).detail(format!("no {what} is named `{name}`"))
}

fn budget_class(given: Option<&str>) -> Result<Option<ClassName>, Refused> {
    given.map(|class| name(class, "/budget_class")).transpose()
}

fn reviewer_pool(given: Option<&str>) -> Result<Option<ReviewerPoolName>, Refused> {
    given.map(|pool| name(pool, "/reviewer_pool")).transpose()
}

fn attributes(given: Option<&fairlane_api::Json>) -> Result<Arc<str>, Refused> {
    let Some(given) = given else { return Ok(Arc::from("{}")) };
    let refused = || Refused::new(Code::InvalidValue).at("/attributes").expected("a JSON object");
    if !given.get().starts_with('{') {
        return Err(refused());
    }
    // JSON can say what no value holds, such as 1e999 or half a surrogate. If it could stand here, nobody could read the
    // attributes, and a threshold among them would count for nothing.
    let read = serde_json::from_str::<serde_json::Value>(given.get());
    read.map_err(|error| refused().detail(error.to_string()))?;
    Ok(Arc::from(given.get()))
}

fn org_out(org: &Org) -> wire::Org {
    let budget = org.budget.as_ref().map(org_budget_out);
    wire::Org { id: org.id.to_string(), weight: org.weight, cap: org.cap, budget }
}

fn tier_out(tier: &Tier) -> wire::Tier {
    let rules = Shown::from(&tier.rules);
    wire::Tier {
        name: tier.name.to_string(),
        weight: tier.weight,
        cap: tier.cap,
        burst: tier.burst.map(burst_out),
        urgent_share_permille: tier.urgent_share_permille,
        runs_max: tier.runs_max,
        sla: tier.sla.map(sla_out),
        budget_class: tier.budget_class.as_ref().map(ToString::to_string),
        reviewer_pool: tier.reviewer_pool.as_ref().map(ToString::to_string),
        review_class: tier.review_class,
        data_residency: rules.data_residency,
        allowed_tools: rules.allowed_tools,
        denied_tools: rules.denied_tools,
        model_tier: rules.model_tier,
        outage: rules.outage,
        audit_retention_days: rules.audit_retention_days,
        payload_retention_days: rules.payload_retention_days,
        review_retention_days: rules.review_retention_days,
        run_retention_days: rules.run_retention_days,
        legal_hold: rules.legal_hold,
        replan_approval: rules.replan_approval,
    }
}

fn tenant_out(context: &Context, region: &RegionName) -> wire::Tenant {
    let rules = Shown::from(&context.rules);
    wire::Tenant {
        id: context.tenant.to_string(),
        org: context.org.to_string(),
        tier: context.tier.to_string(),
        region: region.to_string(),
        version: context.version,
        weight: context.weight,
        cap: context.cap,
        burst: context.burst.map(burst_out),
        urgent_share_permille: context.urgent_share_permille,
        runs_max: context.runs_max,
        sla: context.sla.map(sla_out),
        budget_class: context.budget_class.as_ref().map(ToString::to_string),
        reviewer_pool: context.reviewer_pool.as_ref().map(ToString::to_string),
        data_residency: rules.data_residency,
        allowed_tools: rules.allowed_tools,
        denied_tools: rules.denied_tools,
        model_tier: rules.model_tier,
        outage: rules.outage,
        audit_retention_days: rules.audit_retention_days,
        payload_retention_days: rules.payload_retention_days,
        review_retention_days: rules.review_retention_days,
        run_retention_days: rules.run_retention_days,
        legal_hold: rules.legal_hold,
        replan_approval: rules.replan_approval,
        suspended: context.suspended,
        attributes: json(&context.attributes),
    }
}

#[cfg(test)]
mod tests {
    use super::attributes;
    use crate::wire::json;

    #[test]
    fn attributes_are_an_object_that_can_be_read() {
        assert_eq!(attributes(None).ok().as_deref(), Some("{}"));
        let kept = r#"{"limit": 1.50, "n": 12345678901234567890123}"#;
        assert_eq!(attributes(Some(&json(kept))).ok().as_deref(), Some(kept));
        for text in
            ["[]", "7", r#"{"confidence_threshold": 0.9, "x": 1e999}"#, r#"{"x": "\ud800"}"#]
        {
            let refused = attributes(Some(&json(text))).unwrap_err();
            assert_eq!(refused.0.pointer.as_deref(), Some("/attributes"), "{text}");
            assert_eq!((refused.0.status, &*refused.0.code), (422, "invalid-value"), "{text}");
        }
    }
}
