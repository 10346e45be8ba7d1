//! `/v1/tenants/{tenant}/erasures`: what is to be forgotten, and the receipts.

use axum::Json as Answer;
use axum::extract::Path;
use axum::http::StatusCode;
use fairlane_api::erasure::{Erasure, ErasureSpec, ErasureState};
use fairlane_api::page::Page;
use fairlane_api::{Code, Problem};
use fairlane_core::cell::effect::Response;
use fairlane_core::cell::input::{Erase, Input};
use fairlane_core::erasure::{Erased, ErasureRow, Subject};
use fairlane_core::id::{ErasureId, RunId, TenantId};
use fairlane_store::ErasureQuery;
use sha2::{Digest, Sha256};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::auth::{Identity, Scoped};
use crate::body::{Json, Params};
use crate::cells::{App, Here};
use crate::page::Paging;
use crate::problem::Refused;
use crate::problem::rejection::unknown_run;
use crate::wire::timestamp;

/// Longest text that names a subject.
const SUBJECT_BYTES_MAX: usize = 1_000;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(create_erasure, list_erasures)).routes(routes!(get_erasure))
}

/// What stands in rows for whom or what a run is about.
pub(crate) fn subject(tenant: &TenantId, named: &str) -> Subject {
    let mut hash = Sha256::new();
    for part in ["subject", tenant.as_str(), named] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let digest: [u8; 32] = hash.finalize().into();
    Subject(std::array::from_fn(|at| digest[at]))
}

/// Erases a run, what there is of a subject, or all of a tenant
///
/// What is under way of it is cancelled, and waited for until it has ended. Then its rows are deleted and its keys destroyed. The
/// answer is the receipt: it is done when its `state` says so. What comes in after it was asked for is not erased.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/erasures", tag = "erasures",
    params(("tenant" = String, Path)), request_body = ErasureSpec,
    responses((status = 202, body = Erasure), (status = "4XX", body = Problem), (status = "5XX", body = Problem))
)]
async fn create_erasure(
    Here(shared): Here,
    (Scoped(scope), identity): (Scoped, Identity),
    Json(spec): Json<ErasureSpec>,
) -> Result<(StatusCode, Answer<Erasure>), Refused> {
    let tenant = scope.tenant().clone();
    let of = read(&tenant, &spec)?;
    if of == Erased::Tenant && !identity.is_operator() {
        return Err(Refused::new(Code::Forbidden).at("/all").expected("an operator's key"));
    }
    let run = match of {
        Erased::Run(run) => Some(run),
        Erased::Subject(_) | Erased::Tenant => None,
    };
    if let Some(run) = run
        && shared.reads.run(&scope, run).await?.is_none()
    {
        return Err(unknown_run(&run.to_string()));
    }
    let id = ErasureId(RunId(uuid::Uuid::now_v7().as_u128()));
    let (erase, by) = (Erase { tenant, id, of }, Some(identity.actor()));
    match shared.engine.ask(|reply| Input::Erase(reply, by, erase)).await? {
        Response::Erasure(row) => Ok((StatusCode::ACCEPTED, Answer(erasure_out(&row)))),
        other => Err(Refused::internal(&format!("an erasure was answered with {other:?}"))),
    }
}

/// Lists a tenant's erasures, newest first
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/erasures", tag = "erasures", params(("tenant" = String, Path), Paging),
    responses((status = 200, body = Page<Erasure>), (status = "4XX", body = Problem), (status = "5XX", body = Problem))
)]
async fn list_erasures(
    Here(shared): Here,
    Scoped(scope): Scoped,
    Params(paging): Params<Paging>,
) -> Result<Answer<Page<Erasure>>, Refused> {
    let limit = u32::try_from(paging.limit()?).unwrap_or(u32::MAX);
    let query = ErasureQuery { before: paging.after()?, limit };
    let page = shared.reads.erasures(&scope, query).await?;
    let next = page.next.map(|id| id.to_string());
    Ok(Answer(Page { items: page.rows.iter().map(erasure_out).collect(), next }))
}

/// Reads an erasure: whether it is done, and then its receipt
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/erasures/{erasure}", tag = "erasures",
    params(("tenant" = String, Path), ("erasure" = String, Path)),
    responses((status = 200, body = Erasure), (status = "4XX", body = Problem), (status = "5XX", body = Problem))
)]
async fn get_erasure(
    Here(shared): Here,
    Scoped(scope): Scoped,
    Path((_, erasure)): Path<(String, String)>,
) -> Result<Answer<Erasure>, Refused> {
    let unknown = || {
        Refused::new(Code::UnknownErasure)
            .detail(format!("the tenant has asked for no erasure `{erasure}`"))
    };
    let id: ErasureId = erasure.parse().map_err(|_| unknown())?;
    let found = shared.reads.erasure(&scope, id).await?;
    found.map(|row| Answer(erasure_out(&row))).ok_or_else(unknown)
}

fn read(tenant: &TenantId, spec: &ErasureSpec) -> Result<Erased, Refused> {
    match (&spec.run, &spec.subject, spec.all) {
        (Some(run), None, false) => {
            // One that is no id is answered like one that is not there.
            let run = run.parse().map_err(|_| unknown_run(run))?;
            Ok(Erased::Run(run))
        }
        (None, Some(named), false) if (1..=SUBJECT_BYTES_MAX).contains(&named.len()) => {
            Ok(Erased::Subject(subject(tenant, named)))
        }
        (None, Some(_), false) => Err(Refused::new(Code::OutOfRange)
            .at("/subject")
            .expected(format!("a text of 1 to {SUBJECT_BYTES_MAX} bytes"))),
        (None, None, true) => Ok(Erased::Tenant),
        _ => Err(Refused::new(Code::InvalidValue)
            .detail("it is not said what to erase, or more than one thing is")
            .expected("exactly one of `run`, `subject` and `all: true`")),
    }
}

fn erasure_out(row: &ErasureRow) -> Erasure {
    let (run, subject) = match row.of {
        Erased::Run(run) => (Some(run), None),
        Erased::Subject(subject) => (None, Some(subject)),
        Erased::Tenant => (None, None),
    };
    Erasure {
        id: row.id.to_string(),
        run: run.as_ref().map(RunId::to_string),
        subject_digest: subject.as_ref().map(Subject::to_string),
        all: row.of == Erased::Tenant,
        state: if row.done.is_some() { ErasureState::Done } else { ErasureState::Open },
        asked: timestamp(row.asked),
        by: row.by.as_ref().map(ToString::to_string),
        runs: row.runs,
        done: row.done.map(timestamp),
    }
}
