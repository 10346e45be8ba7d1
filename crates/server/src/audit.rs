//! `/v1/tenants/{tenant}/audit` and `/v1/platform/audit`: logs as they are chained, checkpoints, proofs, and the public key.
//!
//! `key` is the file of the key that signs; `carry` brings checkpoints to where this server cannot change them any more.

pub(crate) mod carry;
pub(crate) mod key;

use axum::Json as Answer;
use axum::extract::State;
use fairlane_api::audit::{self as wire, AuditKey, AuditPage, AuditProof, AuditRecord};
use fairlane_api::{Code, Problem};
use fairlane_audit::{Hash, Proof, Signed};
use fairlane_core::cell::input::{Configure, Input};
use fairlane_core::id::TenantId;
use fairlane_core::row::Actor;
use fairlane_core::tenant::TenantScope;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::auth::{Identity, Operator, Scoped};
use crate::body::Params;
use crate::cells::{App, Here, InRegion};
use crate::problem::Refused;
use crate::serve::Surroundings;
use crate::wire::json;

const LIMIT: u32 = 100;
const LIMIT_MAX: u32 = 1_000;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(get_audit))
        .routes(routes!(close_audit))
        .routes(routes!(get_audit_proof))
        .routes(routes!(get_platform_audit))
        .routes(routes!(close_platform_audit))
        .routes(routes!(get_platform_audit_proof))
        .routes(routes!(get_audit_key))
}

/// Which part of a log.
#[derive(Clone, Copy, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct After {
    /// Records after this sequence; from the oldest if absent.
    #[serde(default)]
    after: u64,
    /// At most so many; 100 if absent.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
}

/// The same of the platform's own.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct AfterInRegion {
    /// Records after this sequence; from the oldest if absent.
    #[serde(default)]
    after: u64,
    /// At most so many; 100 if absent.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// A region of this server; its first one if absent.
    region: Option<String>,
}

/// Which record.
#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct OfRecord {
    sequence: u64,
}

/// The same of the platform's own.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct OfRecordInRegion {
    sequence: u64,
    /// A region of this server; its first one if absent.
    region: Option<String>,
}

/// Reads a tenant's audit log, oldest first, with its hashes and checkpoints
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/audit", tag = "audit",
    params(("tenant" = String, Path), After),
    responses((status = 200, body = AuditPage), (status = "4XX", body = Problem), (status = "5XX", body = Problem))
)]
async fn get_audit(
    Here(shared): Here,
    Scoped(scope): Scoped,
    Params(after): Params<After>,
) -> Result<Answer<AuditPage>, Refused> {
    read(&shared, Some(scope), after).await
}

/// Closes a tenant's audit log with a checkpoint now
///
/// Checkpoints are made by themselves, about a minute after a record. One is made at once for who exports the log. The answer is
/// the newest one, whether it was made now or nothing was open.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/audit/close", tag = "audit", params(("tenant" = String, Path)),
    responses((status = 200, body = wire::Checkpoint), (status = "4XX", body = Problem), (status = "5XX", body = Problem))
)]
async fn close_audit(
    Here(shared): Here,
    (Scoped(scope), identity): (Scoped, Identity),
) -> Result<Answer<wire::Checkpoint>, Refused> {
    close(&shared, Some(scope), identity.actor()).await
}

/// Proves that a record is in a tenant's audit log
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/audit/proof", tag = "audit",
    params(("tenant" = String, Path), OfRecord),
    responses((status = 200, body = AuditProof), (status = "4XX", body = Problem), (status = "5XX", body = Problem))
)]
async fn get_audit_proof(
    Here(shared): Here,
    Scoped(scope): Scoped,
    Params(OfRecord { sequence }): Params<OfRecord>,
) -> Result<Answer<AuditProof>, Refused> {
    prove(&shared, Some(scope), sequence).await
}

/// Reads the platform's own audit log in a region, oldest first
#[utoipa::path(
    get, path = "/v1/platform/audit", tag = "audit", params(AfterInRegion),
    responses((status = 200, body = AuditPage), (status = "4XX", body = Problem), (status = "5XX", body = Problem))
)]
async fn get_platform_audit(
    State(app): State<App>,
    _: Operator,
    Params(AfterInRegion { after, limit, region }): Params<AfterInRegion>,
) -> Result<Answer<AuditPage>, Refused> {
    read(app.named(&InRegion { region })?, None, After { after, limit }).await
}

/// Closes the platform's own audit log in a region with a checkpoint now
#[utoipa::path(
    post, path = "/v1/platform/audit/close", tag = "audit", params(InRegion),
    responses((status = 200, body = wire::Checkpoint), (status = "4XX", body = Problem), (status = "5XX", body = Problem))
)]
async fn close_platform_audit(
    State(app): State<App>,
    operator: Operator,
    Params(region): Params<InRegion>,
) -> Result<Answer<wire::Checkpoint>, Refused> {
    close(app.named(&region)?, None, operator.by).await
}

/// Proves that a record is in the platform's own audit log
#[utoipa::path(
    get, path = "/v1/platform/audit/proof", tag = "audit", params(OfRecordInRegion),
    responses((status = 200, body = AuditProof), (status = "4XX", body = Problem), (status = "5XX", body = Problem))
)]
async fn get_platform_audit_proof(
    State(app): State<App>,
    _: Operator,
    Params(OfRecordInRegion { sequence, region }): Params<OfRecordInRegion>,
) -> Result<Answer<AuditProof>, Refused> {
    prove(app.named(&InRegion { region })?, None, sequence).await
}

/// Tells the public key that checkpoints are signed with
///
/// Whoever checks a log later has to have it from here beforehand: a log that brings its own key proves nothing.
#[utoipa::path(
    get, path = "/v1/audit-key", tag = "audit",
    responses((status = 200, body = AuditKey), (status = "4XX", body = Problem))
)]
async fn get_audit_key(State(app): State<App>, _: Identity) -> Result<Answer<AuditKey>, Refused> {
    let public = app.audit_key().ok_or_else(unchained)?;
    Ok(Answer(AuditKey { key: public.id().to_string(), public_key: public.to_string() }))
}

async fn read(
    shared: &Surroundings,
    scope: Option<TenantScope>,
    After { after, limit }: After,
) -> Result<Answer<AuditPage>, Refused> {
    let limit = limit.unwrap_or(LIMIT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(Refused::new(Code::InvalidValue)
            .at("limit")
            .expected(format!("a number from 1 to {LIMIT_MAX}")));
    }
    let page = shared.reads.audit(scope, after, limit).await?.ok_or_else(unchained)?;
    let record = |record: fairlane_store::AuditRecord| AuditRecord {
        sequence: record.sequence,
        at_us: record.at.0,
        code: record.code.into(),
        by: record.by.into(),
        facts: json(&record.facts),
        hash: record.hash.to_string(),
    };
    Ok(Answer(AuditPage {
        log: page.log,
        base: page.base.map(checkpoint_out),
        records: page.records.into_iter().map(record).collect(),
        checkpoints: page.checkpoints.into_iter().map(checkpoint_out).collect(),
        newest: page.newest.map(checkpoint_out),
        has_more: page.has_more,
    }))
}

async fn close(
    shared: &Surroundings,
    scope: Option<TenantScope>,
    by: Actor,
) -> Result<Answer<wire::Checkpoint>, Refused> {
    let tenant: Option<TenantId> = scope.as_ref().map(|scope| scope.tenant().clone());
    let close = Configure::CloseLog(tenant);
    shared.engine.ask(|reply| Input::Configure(reply, Some(by), close)).await?;
    let page = shared.reads.audit(scope, u64::MAX >> 1, 1).await?.ok_or_else(unchained)?;
    let newest = page
        .newest
        .ok_or_else(|| Refused::new(Code::UnknownRecord).detail("nothing is in the log yet"))?;
    Ok(Answer(checkpoint_out(newest)))
}

async fn prove(
    shared: &Surroundings,
    scope: Option<TenantScope>,
    sequence: u64,
) -> Result<Answer<AuditProof>, Refused> {
    let unknown = || {
        Refused::new(Code::UnknownRecord)
            .detail(format!("there is no record `{sequence}` that a checkpoint closes"))
            .expected("the sequence of a record; a checkpoint closes it within about a minute, or at once if asked to")
    };
    let proof = shared.reads.audit_proof(scope, sequence).await?;
    proof.map(|proof| Answer(proof_out(proof))).ok_or_else(unknown)
}

/// That the server has no chain to show.
fn unchained() -> Refused {
    Refused::new(Code::NotDurable)
        .detail("this server keeps its rows in memory: nothing is chained or signed")
}

fn proof_out(proof: Proof) -> AuditProof {
    AuditProof {
        sequence: proof.sequence,
        at_us: proof.at_us,
        code: proof.code,
        by: proof.by,
        facts: proof.facts,
        before: proof.before.to_string(),
        path: proof.path.0.iter().map(Hash::to_string).collect(),
        checkpoint: checkpoint_out(proof.checkpoint),
    }
}

fn checkpoint_out(signed: Signed) -> wire::Checkpoint {
    let closed = signed.checkpoint;
    wire::Checkpoint {
        log: closed.log,
        number: closed.number,
        first: closed.first,
        last: closed.last,
        root: closed.root.to_string(),
        head: closed.head.to_string(),
        before: closed.before.to_string(),
        at_us: closed.at_us,
        key: signed.key.to_string(),
        signature: signed.signature,
    }
}
