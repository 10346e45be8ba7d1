//! `/v1/catalog/reviewer-pools`: the people who decide.

use std::collections::BTreeSet;
use std::str::FromStr;

use axum::Json as Answer;
use axum::extract::{Path, State};
use fairlane_api::page::Page;
use fairlane_api::resource::Applied;
use fairlane_api::review::{self as wire, Reviewer, ReviewerPoolSpec};
use fairlane_api::{Code, Problem};
use fairlane_core::cell::input::Configure;
use fairlane_core::id::NameError;
use fairlane_core::review::{Member, ReviewerPool};
use fairlane_core::time::Span;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::auth::Operator;
use crate::body::{Json, Params};
use crate::cells::App;
use crate::declare::{DryRun, configure};
use crate::page::{Paging, page};
use crate::problem::Refused;
use crate::problem::rejection::unknown_tenant;
use crate::rules::at_region;
use crate::tenants::missing;
use crate::wire::{millis, name, path_name};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_reviewer_pools))
        .routes(routes!(get_reviewer_pool, put_reviewer_pool))
}

/// Declares a pool of reviewers
///
/// Who is not in it any more decides nothing from then on, and where each works counts from then on.
#[utoipa::path(
    put, path = "/v1/catalog/reviewer-pools/{pool}", tag = "catalog",
    params(("pool" = String, Path), DryRun), request_body = ReviewerPoolSpec,
    responses((status = 200, body = Applied), (status = "4XX", body = Problem), (status = "5XX", body = Problem))
)]
async fn put_reviewer_pool(
    State(shared): State<App>,
    operator: Operator,
    Path(pool): Path<String>,
    Params(dry_run): Params<DryRun>,
    Json(spec): Json<ReviewerPoolSpec>,
) -> Result<Answer<Applied>, Refused> {
    let members = spec.members.iter().enumerate().map(|(at, given)| member(at, given));
    let pool = ReviewerPool {
        name: path_name(&pool)?,
        tenant: spec.tenant.as_deref().map(|tenant| name(tenant, "/tenant")).transpose()?,
        lease: Span::from_millis(spec.lease_ms),
        class_bound: spec.class_bound,
        pick: spec.pick,
        members: members.collect::<Result<_, _>>()?,
    };
    known_tenants(&shared, &pool)?;
    let regions: Vec<String> =
        spec.members.into_iter().map(|member| member.region.unwrap_or_default()).collect();
    let declared = configure((&shared, &operator), Configure::ReviewerPool(pool), dry_run).await;
    declared.map(Answer).map_err(|refused| at_member(refused, &regions))
}

/// Reads a pool of reviewers
#[utoipa::path(
    get, path = "/v1/catalog/reviewer-pools/{pool}", tag = "catalog", params(("pool" = String, Path)),
    responses((status = 200, body = wire::ReviewerPool), (status = "4XX", body = Problem))
)]
async fn get_reviewer_pool(
    State(shared): State<App>,
    _: Operator,
    Path(pool): Path<String>,
) -> Result<Answer<wire::ReviewerPool>, Refused> {
    let found = pool.parse().ok().and_then(|name| shared.registry.reviewer_pool(&name));
    let found = found.as_ref().map(pool_out).map(Answer);
    found.ok_or_else(|| missing(Code::UnknownReviewerPool, "reviewer pool", &pool))
}

/// Lists pools of reviewers
#[utoipa::path(
    get, path = "/v1/catalog/reviewer-pools", tag = "catalog", params(Paging),
    responses((status = 200, body = Page<wire::ReviewerPool>), (status = "4XX", body = Problem))
)]
async fn list_reviewer_pools(
    State(shared): State<App>,
    _: Operator,
    Params(paging): Params<Paging>,
) -> Result<Answer<Page<wire::ReviewerPool>>, Refused> {
    let limit = paging.limit()?;
    let read = shared.registry.reviewer_pools(paging.after()?.as_ref(), limit + 1);
    Ok(Answer(page(read, limit, |pool| pool.name.to_string(), |pool| pool_out(&pool))))
}

/// The tenants that a pool and its members are for are known in some cell.
fn known_tenants(app: &App, pool: &ReviewerPool) -> Result<(), Refused> {
    let own = pool.tenant.iter().map(|tenant| ("/tenant".to_owned(), tenant));
    let members = pool.members.iter().zip(0..).flat_map(|(member, at): (_, u32)| {
        let named = member.tenants.iter().flatten().zip(0..);
        named.map(move |(tenant, place): (_, u32)| {
            (format!("/members/{at}/tenants/{place}"), tenant)
        })
    });
    match own.chain(members).find(|(_, tenant)| app.of(tenant).is_none()) {
        Some((pointer, tenant)) => {
            Err(unknown_tenant(tenant.as_str()).at(pointer).expected("a tenant that is declared"))
        }
        None => Ok(()),
    }
}

/// The refusal of a region, at the first member who works there.
fn at_member(refused: Refused, regions: &[String]) -> Refused {
    if refused.0.code() != Some(Code::UnknownRegion) {
        return refused;
    }
    let refused = at_region(refused, "/members", regions);
    match &refused.0.pointer {
        Some(pointer) => {
            let pointer = format!("{pointer}/region");
            refused.at(pointer)
        }
        None => refused,
    }
}

fn member(at: usize, given: &Reviewer) -> Result<Member, Refused> {
    let place = |field: &str| format!("/members/{at}/{field}");
    Ok(Member {
        person: name(&given.person, &place("person"))?,
        skills: names(&given.skills, &place("skills"))?,
        certifications: names(&given.certifications, &place("certifications"))?,
        region: given.region.as_deref().map(|region| name(region, &place("region"))).transpose()?,
        tenants: given.tenants.as_deref().map(|own| names(own, &place("tenants"))).transpose()?,
    })
}

fn names<T: FromStr<Err = NameError> + Ord>(
    given: &[String],
    pointer: &str,
) -> Result<BTreeSet<T>, Refused> {
    let each = given.iter().enumerate();
    each.map(|(at, text)| name(text, &format!("{pointer}/{at}"))).collect()
}

fn pool_out(pool: &ReviewerPool) -> wire::ReviewerPool {
    let list = |names: &mut dyn Iterator<Item = String>| names.collect::<Vec<_>>();
    let member = |member: &Member| Reviewer {
        person: member.person.to_string(),
        skills: list(&mut member.skills.iter().map(ToString::to_string)),
        certifications: list(&mut member.certifications.iter().map(ToString::to_string)),
        region: member.region.as_ref().map(ToString::to_string),
        tenants: member.tenants.as_ref().map(|own| list(&mut own.iter().map(ToString::to_string))),
    };
    wire::ReviewerPool {
        name: pool.name.to_string(),
        spec: ReviewerPoolSpec {
            tenant: pool.tenant.as_ref().map(ToString::to_string),
            lease_ms: millis(pool.lease),
            class_bound: pool.class_bound,
            pick: pool.pick,
            members: pool.members.iter().map(member).collect(),
        },
    }
}
