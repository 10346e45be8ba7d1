//! `/v1/catalog/policies`: who may do what.
//!
//! A dry run is asked of the cell, since what a policy would do depends on the work that is there.

use axum::Json as Answer;
use axum::extract::{Path, State};
use fairlane_api::page::Page;
use fairlane_api::policy::{self as wire, AppliedPolicy, PolicySpec};
use fairlane_api::{Code, Mistake, Problem};
use fairlane_core::cell::effect::{Affected, PolicyEffect, Response};
use fairlane_core::cell::input::{Configure, Input, PolicyEdit, Query};
use fairlane_core::id::PolicyName;
use fairlane_core::policy::{self, Policy, Source, Version};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::auth::Operator;
use crate::body::{MediaType, Params, Raw, parse, wrong_media_type};
use crate::cells::App;
use crate::declare::{DryRun, configure};
use crate::page::{Paging, page};
use crate::problem::Refused;
use crate::tenants::missing;
use crate::wire::{path_name, timestamp};

/// Groups that one answer shows.
const GROUPS_MAX: usize = 20;

#[derive(Clone, Copy, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Which {
    /// The version in force if absent.
    version: Option<u32>,
}

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_policies))
        .routes(routes!(get_policy, put_policy, delete_policy))
        .routes(routes!(get_policy_schema))
}

/// Declares a policy: statements of Cedar about who may do what
///
/// All policies are in force together, and a `forbid` of any of them wins. The body is the text itself, or JSON. All
/// mistakes in it are reported at once. A dry run says what it would do to the work that is there.
#[utoipa::path(
    put, path = "/v1/catalog/policies/{policy}", tag = "catalog",
    params(("policy" = String, Path), DryRun),
    request_body(content(
        (PolicySpec = "application/json"),
        (String = "text/plain")
    )),
    responses((status = 200, body = AppliedPolicy), (status = "4XX", body = Problem), (status = "5XX", body = Problem))
)]
async fn put_policy(
    State(shared): State<App>,
    operator: Operator,
    Path(policy): Path<String>,
    Params(dry_run): Params<DryRun>,
    body: Raw,
) -> Result<Answer<AppliedPolicy>, Refused> {
    let name: PolicyName = path_name(&policy)?;
    let text = text(&body)?;
    let source = Source { name, text: text.into() };
    if dry_run.dry_run {
        return effect(&shared, PolicyEdit::Declare(source)).await.map(Answer);
    }
    let applied = configure((&shared, &operator), Configure::Policy(source), dry_run).await?;
    Ok(Answer(AppliedPolicy { changed: applied.changed, dry_run: false, effect: None }))
}

/// Removes a policy
///
/// Without a `default` of its own the platform permits again what nothing forbids.
#[utoipa::path(
    delete, path = "/v1/catalog/policies/{policy}", tag = "catalog",
    params(("policy" = String, Path), DryRun),
    responses((status = 200, body = AppliedPolicy), (status = "4XX", body = Problem), (status = "5XX", body = Problem))
)]
async fn delete_policy(
    State(shared): State<App>,
    operator: Operator,
    Path(policy): Path<String>,
    Params(dry_run): Params<DryRun>,
) -> Result<Answer<AppliedPolicy>, Refused> {
    let name: PolicyName = policy.parse().map_err(|_| unknown(&policy))?;
    let is_shipped = shipped().iter().any(|shipped| shipped.name == policy);
    if is_shipped && shared.registry.policy(&name).is_none() {
        return Err(Refused::new(Code::InvalidValue)
            .detail(format!("policy `{policy}` is part of the product and cannot be removed")));
    }
    if dry_run.dry_run {
        return effect(&shared, PolicyEdit::Remove(name)).await.map(Answer);
    }
    let applied = configure((&shared, &operator), Configure::DropPolicy(name), dry_run).await?;
    Ok(Answer(AppliedPolicy { changed: applied.changed, dry_run: false, effect: None }))
}

/// Reads a policy
#[utoipa::path(
    get, path = "/v1/catalog/policies/{policy}", tag = "catalog", params(("policy" = String, Path), Which),
    responses((status = 200, body = wire::Policy), (status = "4XX", body = Problem))
)]
async fn get_policy(
    State(shared): State<App>,
    _: Operator,
    Path(policy): Path<String>,
    Params(Which { version }): Params<Which>,
) -> Result<Answer<wire::Policy>, Refused> {
    let name = policy.parse().ok();
    if let Some(found) = name.as_ref().and_then(|name| shared.registry.policy(name)) {
        let shown = match version {
            None => found.newest(),
            Some(number) => {
                let kept = found.versions.iter().find(|kept| kept.version == number);
                kept.ok_or_else(|| unknown_version(&found, number))?
            }
        };
        return Ok(Answer(policy_out(&found, shown)));
    }
    let shipped = shipped().into_iter().find(|shipped| shipped.name == policy && version.is_none());
    shipped.map(Answer).ok_or_else(|| unknown(&policy))
}

/// Lists policies, those that the product ships included
#[utoipa::path(
    get, path = "/v1/catalog/policies", tag = "catalog", params(Paging),
    responses((status = 200, body = Page<wire::Policy>), (status = "4XX", body = Problem))
)]
async fn list_policies(
    State(shared): State<App>,
    _: Operator,
    Params(paging): Params<Paging>,
) -> Result<Answer<Page<wire::Policy>>, Refused> {
    let limit = paging.limit()?;
    let after: Option<PolicyName> = paging.after()?;
    let declared = shared.registry.policies(after.as_ref(), limit + 1);
    let mut all: Vec<wire::Policy> =
        declared.iter().map(|policy| policy_out(policy, policy.newest())).collect();
    let is_declared =
        |name: &str| name.parse().is_ok_and(|name| shared.registry.policy(&name).is_some());
    let is_after = |name: &str| after.as_ref().is_none_or(|after| name > after.as_str());
    all.extend(shipped().into_iter().filter(|one| is_after(&one.name) && !is_declared(&one.name)));
    all.sort_by(|one, other| one.name.cmp(&other.name));
    all.truncate(limit + 1);
    Ok(Answer(page(all, limit, |policy| policy.name.clone(), |policy| policy)))
}

/// Reads what policies can speak about
#[utoipa::path(
    get, path = "/v1/catalog/policy-schema", tag = "catalog",
    responses((status = 200, body = wire::PolicySchema), (status = "4XX", body = Problem))
)]
async fn get_policy_schema(_: Operator) -> Answer<wire::PolicySchema> {
    Answer(wire::PolicySchema { text: policy::SCHEMA.to_owned() })
}

fn text(body: &Raw) -> Result<String, Refused> {
    match body.media_type {
        Some(MediaType::Json) => Ok(parse::<PolicySpec>(&body.bytes)?.text),
        Some(MediaType::Text) => String::from_utf8(body.bytes.to_vec()).map_err(|_| {
            Refused::new(Code::MalformedRequest)
                .detail("the body is no text")
                .expected("Cedar, in UTF-8")
        }),
        _ => Err(wrong_media_type("text/plain or application/json")),
    }
}

/// What the change would do in all regions together.
async fn effect(app: &App, edit: PolicyEdit) -> Result<AppliedPolicy, Refused> {
    let changed = match &edit {
        PolicyEdit::Declare(Source { name, text }) => {
            app.home().registry.policy(name).is_none_or(|known| known.newest().text != *text)
        }
        PolicyEdit::Remove(_) => true,
    };
    let mut all = wire::PolicyEffect { complete: true, ..wire::PolicyEffect::default() };
    for cell in app.all() {
        let query = Query::PolicyEffect(Box::new(edit.clone()));
        match cell.engine.ask(|reply| Input::Query(reply, query)).await? {
            Response::PolicyEffect(effect) => add(&mut all, &effect),
            other => {
                return Err(Refused::internal(&format!("a dry run was answered by {other:?}")));
            }
        }
    }
    all.groups.sort_by_key(|group| {
        let steps = group.steps.waiting + group.steps.running;
        (!group.forbidden, std::cmp::Reverse(steps), group.tenant.clone(), group.thing.clone())
    });
    all.groups.truncate(GROUPS_MAX);
    Ok(AppliedPolicy { changed, dry_run: true, effect: Some(all) })
}

/// Adds what one cell says.
fn add(all: &mut wire::PolicyEffect, effect: &PolicyEffect) {
    let steps =
        |Affected { waiting, leased }: Affected| wire::AffectedSteps { waiting, running: leased };
    let plus = |to: &mut wire::AffectedSteps, more: Affected| {
        to.waiting += more.waiting;
        to.running += more.leased;
    };
    plus(&mut all.newly_forbidden, effect.forbidden);
    plus(&mut all.newly_allowed, effect.allowed);
    all.groups_in_all += effect.groups_in_all;
    all.complete &= effect.is_complete;
    all.groups.extend(effect.groups.iter().map(|group| wire::AffectedGroup {
        tenant: group.tenant.to_string(),
        action: group.action.to_owned(),
        thing: group.thing.to_string(),
        forbidden: group.is_forbidden,
        policy: group.policy.to_string(),
        steps: steps(group.steps),
    }));
}

fn policy_out(policy: &Policy, shown: &Version) -> wire::Policy {
    let version = |version: &Version| wire::PolicyVersion {
        version: version.version,
        declared: timestamp(version.declared),
    };
    wire::Policy {
        name: policy.name.to_string(),
        version: shown.version,
        declared: Some(timestamp(shown.declared)),
        shipped: false,
        text: shown.text.to_string(),
        versions: policy.versions.iter().rev().map(version).collect(),
    }
}

/// What is in force without being declared, by name.
fn shipped() -> [wire::Policy; 2] {
    [(policy::BASE_NAME, policy::BASE), (policy::DEFAULT_NAME, policy::DEFAULT)].map(
        |(name, text)| wire::Policy {
            name: name.to_owned(),
            version: 0,
            declared: None,
            shipped: true,
            text: text.to_owned(),
            versions: Vec::new(),
        },
    )
}

fn unknown(policy: &str) -> Refused {
    missing(Code::UnknownPolicy, "policy", policy)
}

fn unknown_version(policy: &Policy, version: u32) -> Refused {
    let kept: Vec<String> =
        policy.versions.iter().map(|version| version.version.to_string()).collect();
    Refused::new(Code::UnknownPolicy)
        .detail(format!("version {version} of policy `{}` is not kept", policy.name))
        .expected(format!("one of {}", kept.join(", ")))
}

/// A mistake that the core found, for a problem document.
pub(crate) fn mistake_out(mistake: &policy::Mistake) -> Mistake {
    let (message, expected) = mistake.told();
    let (line, column) = (mistake.line, mistake.column);
    let code = Code::InvalidPolicy.as_str().to_owned();
    Mistake { code, message, line, column, pointer: None, expected }
}

#[cfg(test)]
mod fuzzed;
