//! `/v1/platform/keys`: make, list and drop API keys.

use std::str::FromStr;
use std::sync::Arc;

use axum::Json as Answer;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use fairlane_api::key::{self as wire, CreatedKey, Key, NewKey};
use fairlane_api::page::Page;
use fairlane_api::{Code, Problem};
use fairlane_core::cell::input::Configure;
use fairlane_core::id::{NameError, TenantId};
use fairlane_core::row::{Access, Credential, KeyRow, Role, SignIn};
use fairlane_core::time::Time;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::auth::{Operator, mint, new_key_id};
use crate::body::{Json, Params};
use crate::cells::App;
use crate::declare::{DryRun, configure};
use crate::page::{Paging, page};
use crate::problem::Refused;
use crate::problem::rejection::unknown_tenant;
use crate::serve::Shared;
use crate::wire::{between, name, timestamp};

const LABEL_BYTES_MAX: usize = 200;
/// Pools that one key may name.
const POOLS_MAX: usize = 256;
/// Tenants that one key may name.
const TENANTS_MAX: usize = 256;
/// Longest claim, and longest value of one, that a key may ask for.
const CLAIM_BYTES_MAX: usize = 200;
/// Requests a second that a key may be given.
const RATE_MAX: u32 = 1_000_000;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list_keys, post_key)).routes(routes!(delete_key))
}

/// Makes an API key
///
/// The secret is in the answer, and nowhere else.
#[utoipa::path(
    post, path = "/v1/platform/keys", tag = "platform", request_body = NewKey,
    responses((status = 201, body = CreatedKey), (status = "4XX", body = Problem), (status = "5XX", body = Problem))
)]
async fn post_key(
    State(shared): State<App>,
    operator: Operator,
    Json(new): Json<NewKey>,
) -> Result<(StatusCode, Answer<CreatedKey>), Refused> {
    let role = role(&shared, &new)?;
    let label = new.label.unwrap_or_default();
    if label.len() > LABEL_BYTES_MAX {
        return Err(Refused::new(Code::TooLong)
            .at("/label")
            .expected(format!("at most {LABEL_BYTES_MAX} bytes")));
    }
    let expires = new.expires_at.map(|at| Time(at.0));
    if expires.is_some_and(|expires| expires <= shared.now()) {
        return Err(Refused::new(Code::InvalidValue).at("/expires_at").expected("a time to come"));
    }
    let sign_in = new.sign_in.map(|asked| sign_in(&shared, asked, &role)).transpose()?;
    if let Some(rate) = new.requests_per_second {
        between(rate.into(), [1, RATE_MAX.into()], "/requests_per_second")?;
    }
    let (row, secret) = match sign_in {
        Some(asked) => {
            let (id, credential, created) =
                (new_key_id()?, Credential::SignIn(asked), shared.now());
            let (expires, rate, label) = (None, None, label.into());
            (KeyRow { id, credential, role, created, expires, rate, label }, String::new())
        }
        None => mint(role, &label, shared.now())?,
    };
    let row = KeyRow { expires, rate: new.requests_per_second, ..row };
    let key = key_out(&row);
    configure((&shared, &operator), Configure::Key(row), DryRun::default()).await?;
    Ok((StatusCode::CREATED, Answer(CreatedKey { key, secret })))
}

/// Lists API keys, without their secrets
#[utoipa::path(
    get, path = "/v1/platform/keys", tag = "platform", params(Paging),
    responses((status = 200, body = Page<Key>), (status = "4XX", body = Problem))
)]
async fn list_keys(
    State(shared): State<App>,
    _: Operator,
    Params(paging): Params<Paging>,
) -> Result<Answer<Page<Key>>, Refused> {
    let limit = paging.limit()?;
    let after = paging.after()?;
    let keys = |cell: &Shared| cell.registry.keys(after.as_ref(), limit + 1);
    let read = shared.merged(keys, |row| row.id.clone());
    let view = |row: Arc<KeyRow>| key_out(&row);
    Ok(Answer(page(read, limit, |row| row.id.to_string(), view)))
}

/// Drops an API key, which stops working at once
#[utoipa::path(
    delete, path = "/v1/platform/keys/{key}", tag = "platform", params(("key" = String, Path)),
    responses((status = 204), (status = "4XX", body = Problem), (status = "5XX", body = Problem))
)]
async fn delete_key(
    State(shared): State<App>,
    operator: Operator,
    Path(key): Path<String>,
) -> Result<StatusCode, Refused> {
    let id = key.parse().map_err(|_| Refused::new(Code::UnknownKey))?;
    configure((&shared, &operator), Configure::DropKey(id), DryRun::default()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What a key asks for of who signs in.
fn sign_in(app: &App, asked: wire::SignIn, role: &Role) -> Result<SignIn, Refused> {
    let invalid = |pointer: &str, expected: &str| {
        Err(Refused::new(Code::InvalidValue).at(pointer).expected(expected))
    };
    if app.auth().provider.is_none() {
        return Err(Refused::new(Code::InvalidValue)
            .at("/sign_in")
            .detail("nobody can sign in: `oidc` is not configured")
            .expected("a key with a secret"));
    }
    if matches!(role, Role::Worker { .. }) {
        return invalid("/sign_in", "a key with a secret for workers, who are no people");
    }
    for (pointer, text) in [("/sign_in/claim", &asked.claim), ("/sign_in/value", &asked.value)] {
        if text.is_empty() || text.len() > CLAIM_BYTES_MAX {
            return invalid(pointer, &format!("1 to {CLAIM_BYTES_MAX} bytes"));
        }
    }
    Ok(SignIn { claim: asked.claim.into(), value: asked.value.into() })
}

fn role(app: &App, new: &NewKey) -> Result<Role, Refused> {
    let misplaced = |pointer: &str, role: &str| {
        Err(Refused::new(Code::InvalidValue).at(pointer).expected(format!("role `{role}` with it")))
    };
    let access = access(new.role);
    if new.tenant.is_some() && access.is_none() {
        return misplaced("/tenant", "tenant");
    }
    if new.pools.is_some() && new.role != wire::Role::Worker {
        return misplaced("/pools", "worker");
    }
    if new.tenants.is_some() && new.role != wire::Role::Worker {
        return misplaced("/tenants", "worker");
    }
    if new.region.is_some() && new.role != wire::Role::Worker {
        return misplaced("/region", "worker");
    }
    if new.person.is_some() && access.is_none() && new.role != wire::Role::Reviewer {
        return misplaced("/person", "reviewer");
    }
    let person = new.person.as_deref().map(|person| name(person, "/person")).transpose()?;
    match new.role {
        wire::Role::Operator => Ok(Role::Operator),
        wire::Role::Tenant | wire::Role::Viewer | wire::Role::Auditor => {
            let tenant = new.tenant.as_deref().ok_or_else(|| {
                Refused::new(Code::InvalidValue).at("/tenant").expected("the tenant's id")
            })?;
            let access = access.unwrap_or_default();
            Ok(Role::Tenant { tenant: name(tenant, "/tenant")?, access, person })
        }
        wire::Role::Reviewer => {
            let needed = || Refused::new(Code::InvalidValue).at("/person").expected("the person");
            Ok(Role::Reviewer { person: person.ok_or_else(needed)? })
        }
        wire::Role::Worker => {
            let pools = names(new.pools.as_deref(), "/pools", POOLS_MAX)?;
            let tenants: Vec<TenantId> = names(new.tenants.as_deref(), "/tenants", TENANTS_MAX)?;
            for (at, tenant) in tenants.iter().enumerate() {
                if app.of(tenant).is_none() {
                    return Err(unknown_tenant(tenant.as_str()).at(format!("/tenants/{at}")));
                }
            }
            let region = new.region.as_deref().map(|region| name(region, "/region")).transpose()?;
            Ok(Role::Worker { pools, tenants, region })
        }
    }
}

/// A list of names that a body has at that place.
fn names<T: FromStr<Err = NameError>>(
    given: Option<&[String]>,
    pointer: &str,
    most: usize,
) -> Result<Vec<T>, Refused> {
    let given = given.unwrap_or_default();
    if given.len() > most {
        return Err(Refused::new(Code::TooMany).at(pointer).expected(format!("at most {most}")));
    }
    let read = |(at, text): (usize, &String)| name(text, &format!("{pointer}/{at}"));
    given.iter().enumerate().map(read).collect()
}

/// What of a tenant's a role is for, if it is one of a tenant's.
const fn access(role: wire::Role) -> Option<Access> {
    match role {
        wire::Role::Tenant => Some(Access::Full),
        wire::Role::Viewer => Some(Access::View),
        wire::Role::Auditor => Some(Access::Audit),
        wire::Role::Operator | wire::Role::Worker | wire::Role::Reviewer => None,
    }
}

const fn tenant_role(access: Access) -> wire::Role {
    match access {
        Access::Full => wire::Role::Tenant,
        Access::View => wire::Role::Viewer,
        Access::Audit => wire::Role::Auditor,
    }
}

pub(crate) fn key_out(row: &KeyRow) -> Key {
    let (region, tenants) = match &row.role {
        Role::Worker { region, tenants, .. } => (
            region.as_ref().map(ToString::to_string),
            Some(tenants.iter().map(ToString::to_string).collect::<Vec<_>>()),
        ),
        Role::Operator | Role::Tenant { .. } | Role::Reviewer { .. } => (None, None),
    };
    let sign_in = match &row.credential {
        Credential::Secret(_) => None,
        Credential::SignIn(SignIn { claim, value }) => {
            Some(wire::SignIn { claim: claim.to_string(), value: value.to_string() })
        }
    };
    let person = match &row.role {
        Role::Reviewer { person } => Some(person.to_string()),
        Role::Tenant { person, .. } => person.as_ref().map(ToString::to_string),
        Role::Operator | Role::Worker { .. } => None,
    };
    let (role, tenant, pools) = match &row.role {
        Role::Operator => (wire::Role::Operator, None, None),
        Role::Reviewer { .. } => (wire::Role::Reviewer, None, None),
        Role::Tenant { tenant, access, .. } => {
            (tenant_role(*access), Some(tenant.to_string()), None)
        }
        Role::Worker { pools, .. } => {
            let pools = pools.iter().map(ToString::to_string).collect();
            (wire::Role::Worker, None, Some(pools))
        }
    };
    Key {
        id: row.id.to_string(),
        role,
        tenant,
        person,
        pools,
        tenants: tenants.filter(|tenants| !tenants.is_empty()),
        region,
        sign_in,
        requests_per_second: row.rate,
        label: row.label.to_string(),
        created_at: timestamp(row.created),
        expires_at: row.expires.map(timestamp),
    }
}
