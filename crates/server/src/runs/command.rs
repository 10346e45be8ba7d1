//! What a tenant does to a run: cancel, pause, resume, retry, signal, resolve. And an operator: set its budget.

use std::sync::Arc;

use axum::Json as Answer;
use axum::extract::Path;
use axum::http::HeaderMap;
use fairlane_api::quota::RunBudget;
use fairlane_api::run::{Commanded, Resolve as ResolveBody, Retry as RetryBody};
use fairlane_api::{Code, Problem};
use fairlane_core::cell::effect::Response;
use fairlane_core::cell::input::{ByHand, Command, Idempotency, Input, Retry};
use fairlane_core::id::{RunId, SignalName, StepName};
use fairlane_core::reject::Rejection;
use fairlane_core::row::{Payload, RunRow};
use sha2::{Digest, Sha256};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Named;
use super::submit::idempotency_key;
use crate::assembly::output_breaks;
use crate::auth::Operator;
use crate::body::{Json, MediaType, OptionalJson, Raw, readable, wrong_media_type};
use crate::cells::{App, Here};
use crate::problem::Refused;
use crate::quotas::amount;
use crate::serve::Surroundings;
use crate::wire::{name, status_out};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(cancel))
        .routes(routes!(pause))
        .routes(routes!(resume))
        .routes(routes!(retry))
        .routes(routes!(signal))
        .routes(routes!(budget))
        .routes(routes!(resolve))
}

/// Cancels a run
///
/// Workers are told to stop, children are cancelled too, and completed steps are undone where the workflow
/// says how.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/runs/{run}/cancel", tag = "runs",
    params(("tenant" = String, Path), ("run" = String, Path)),
    responses((status = 200, body = Commanded), (status = "4XX", body = Problem), (status = "5XX", body = Problem))
)]
async fn cancel(Here(shared): Here, named: Named) -> Result<Answer<Commanded>, Refused> {
    command(&shared, &named, Command::Cancel).await
}

/// Pauses a run: nothing new of it is dispatched
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/runs/{run}/pause", tag = "runs",
    params(("tenant" = String, Path), ("run" = String, Path)),
    responses((status = 200, body = Commanded), (status = "4XX", body = Problem), (status = "5XX", body = Problem))
)]
async fn pause(Here(shared): Here, named: Named) -> Result<Answer<Commanded>, Refused> {
    command(&shared, &named, Command::Pause).await
}

/// Resumes a paused run
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/runs/{run}/resume", tag = "runs",
    params(("tenant" = String, Path), ("run" = String, Path)),
    responses((status = 200, body = Commanded), (status = "4XX", body = Problem), (status = "5XX", body = Problem))
)]
async fn resume(Here(shared): Here, named: Named) -> Result<Answer<Commanded>, Refused> {
    command(&shared, &named, Command::Resume).await
}

/// Runs the failed steps of an ended run again, or a step and all that follow it
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/runs/{run}/retry", tag = "runs",
    params(("tenant" = String, Path), ("run" = String, Path)), request_body = Option<RetryBody>,
    responses((status = 200, body = Commanded), (status = "4XX", body = Problem), (status = "5XX", body = Problem))
)]
async fn retry(
    Here(shared): Here,
    named: Named,
    OptionalJson(body): OptionalJson<RetryBody>,
) -> Result<Answer<Commanded>, Refused> {
    let from = body.from.as_deref().map(|step| name(step, "/from")).transpose()?;
    let session = shared.engine.session();
    let rows = shared.reads.ended_run(&named.scope, named.run).await?;
    let (key, by) = (named.key(), Some(named.by.clone()));
    let retry = |reply| Input::Retry(Box::new(Retry { reply, by, key, from, rows }));
    commanded(&named, shared.engine.ask_in(session, retry).await?)
}

/// Sends a signal to a run
///
/// The body is the payload, any JSON value; `null` if it is left out. It waits in the run's inbox until a step
/// takes it. With the header `Idempotency-Key` the same signal again is answered like the first and has no
/// further effect.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/runs/{run}/signals/{signal}", tag = "runs",
    params(
        ("tenant" = String, Path), ("run" = String, Path), ("signal" = String, Path),
        ("Idempotency-Key" = Option<String>, Header, description = "At most 200 visible ASCII characters")
    ),
    request_body(content = Option<serde_json::Value>, content_type = "application/json"),
    responses((status = 200, body = Commanded), (status = "4XX", body = Problem), (status = "5XX", body = Problem))
)]
async fn signal(
    Here(shared): Here,
    named: Named,
    Path((_, _, signal)): Path<(String, String, String)>,
    headers: HeaderMap,
    body: Raw,
) -> Result<Answer<Commanded>, Refused> {
    let name: SignalName = crate::wire::path_name(&signal)?;
    let payload = payload(&shared, &body)?;
    let Some(key) = headers.get("idempotency-key").map(idempotency_key).transpose()? else {
        return command(&shared, &named, Command::Signal { name, payload, idempotency: None })
            .await;
    };
    let digest = digest(&named, &name, &payload);
    let session = shared.engine.session();
    let prior = prior(&shared, &named, &key).await?;
    let idempotency = Some(Idempotency { key: key.clone(), digest, prior });
    let signal = Command::Signal { name, payload, idempotency };
    let ask = |reply| Input::Command(reply, Some(named.by.clone()), named.key(), signal);
    let response = shared.engine.ask_in(session, ask).await;
    match answer(&shared, &named, response).await {
        // The run has ended, perhaps by this signal: the cell knows no more of it, and the store does.
        Err(refused) if refused.0.code() == Some(Code::WrongStatus) => {
            repeated(&shared, &named, &key, digest).await?.ok_or(refused)
        }
        sent => sent,
    }
}

/// Sets what a run may spend in all
///
/// A run that is paused for want of money goes on if this is enough.
#[utoipa::path(
    put, path = "/v1/tenants/{tenant}/runs/{run}/budget", tag = "runs",
    params(("tenant" = String, Path), ("run" = String, Path)), request_body = RunBudget,
    responses((status = 200, body = Commanded), (status = "4XX", body = Problem), (status = "5XX", body = Problem))
)]
async fn budget(
    Here(shared): Here,
    _: Operator,
    named: Named,
    Json(body): Json<RunBudget>,
) -> Result<Answer<Commanded>, Refused> {
    let limit = amount(&body.limit, "/limit")?;
    command(&shared, &named, Command::Budget { limit }).await
}

/// Decides, as a person, of a run that is halted for want of money
///
/// With `step` and `output` the step that could not be paid for ends with that output. With `cheaper_model` cheaper
/// candidates of models may stand in for the rest of the run. The decision log has whose key it was.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/runs/{run}/resolve", tag = "runs",
    params(("tenant" = String, Path), ("run" = String, Path)), request_body = ResolveBody,
    responses((status = 200, body = Commanded), (status = "4XX", body = Problem), (status = "5XX", body = Problem))
)]
async fn resolve(
    Here(shared): Here,
    named: Named,
    OptionalJson(body): OptionalJson<ResolveBody>,
) -> Result<Answer<Commanded>, Refused> {
    // A run that is not there is said before what is wrong with the body.
    let run = shared.reads.run(&named.scope, named.run).await?.ok_or_else(|| named.unknown())?;
    let ResolveBody { step, output, cheaper_model } = body;
    match (step, output, cheaper_model) {
        (Some(step), Some(output), false) => {
            let step: StepName = name(&step, "/step")?;
            let output = given_output(&shared, &run, &step, &output).await?;
            let given = Box::new(ByHand { step, output });
            let resolved = command(&shared, &named, Command::Resolve(given)).await;
            resolved.map_err(|refused| match refused.0.code() {
                Some(Code::UnknownStep) => refused.at("/step"),
                _ => refused,
            })
        }
        (None, None, true) => command(&shared, &named, Command::AllowCheaper).await,
        _ => Err(Refused::new(Code::InvalidValue)
            .detail("the body does not say one thing to do")
            .expected("`step` and `output`, or `cheaper_model: true`")),
    }
}

/// An output that a person gives, checked as one that a worker reports.
async fn given_output(
    shared: &Surroundings,
    run: &RunRow,
    step: &StepName,
    output: &fairlane_api::Json,
) -> Result<Payload, Refused> {
    let max = shared.config.payload_bytes_max;
    if output.get().len() > max {
        return Err(Refused::new(Code::BodyTooLarge)
            .at("/output")
            .expected(format!("at most {max} bytes")));
    }
    let output = Payload::from(output.get().as_bytes());
    let workflow = shared.assembly.plan(run).await?;
    let found = workflow.and_then(|workflow| {
        let index = workflow.indexed().find(|(_, known)| known.name == *step)?.0;
        workflow.step(index).output_schema.clone()
    });
    // Whether there is such a step is for the cell to say.
    let Some(schema) = found else { return Ok(output) };
    match shared.assembly.check(schema, output.clone()).await? {
        Ok(()) => Ok(output),
        Err(violations) => Err(Refused::new(Code::InvalidValue)
            .detail(output_breaks(&violations))
            .at("/output")
            .expected("a value that the step's schema allows")),
    }
}

/// What the store knows of an idempotency key.
async fn prior(
    shared: &Surroundings,
    named: &Named,
    key: &Arc<str>,
) -> Result<Option<(RunId, [u8; 32])>, Refused> {
    let known = shared.idempotency(&named.scope, vec![Some(key.clone())]).await?;
    Ok(known.into_iter().flatten().next().map(|row| (row.run, row.digest)))
}

/// The answer to a signal that an ended run had been sent before; `None` if it had not.
async fn repeated(
    shared: &Surroundings,
    named: &Named,
    key: &Arc<str>,
    digest: [u8; 32],
) -> Result<Option<Answer<Commanded>>, Refused> {
    match prior(shared, named, key).await? {
        None => Ok(None),
        Some((run, other)) if other != digest => Err(Rejection::IdempotencyConflict { run }.into()),
        Some(_) => {
            let row = shared.reads.run(&named.scope, named.run).await?;
            let row = row.ok_or_else(|| named.unknown())?;
            commanded(named, Response::Commanded { status: row.status }).map(Some)
        }
    }
}

/// What the idempotency key of a signal stands for. A submission's begins with the length of a tenant's id, so
/// that none is hashed as this is.
fn digest(named: &Named, signal: &SignalName, payload: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(b"a signal");
    for part in [
        named.scope.tenant().as_str().as_bytes(),
        &named.run.0.to_be_bytes(),
        signal.as_str().as_bytes(),
        payload,
    ] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

fn payload(shared: &Surroundings, body: &Raw) -> Result<Payload, Refused> {
    if body.bytes.is_empty() {
        return Ok(Payload::from(&b"null"[..]));
    }
    if body.media_type != Some(MediaType::Json) {
        return Err(wrong_media_type("application/json"));
    }
    let max = shared.config.payload_bytes_max;
    if body.bytes.len() > max {
        return Err(Refused::new(Code::BodyTooLarge).expected(format!("at most {max} bytes")));
    }
    readable::check(&body.bytes)?;
    let value: &serde_json::value::RawValue = serde_json::from_slice(&body.bytes)
        .map_err(|error| Refused::new(Code::MalformedJson).detail(error.to_string()))?;
    Ok(Payload::from(value.get().as_bytes()))
}

async fn command(
    shared: &Surroundings,
    named: &Named,
    command: Command,
) -> Result<Answer<Commanded>, Refused> {
    let by = Some(named.by.clone());
    let ask = |reply| Input::Command(reply, by, named.key(), command);
    let response = shared.engine.ask(ask).await;
    answer(shared, named, response).await
}

async fn answer(
    shared: &Surroundings,
    named: &Named,
    response: Result<Response, Refused>,
) -> Result<Answer<Commanded>, Refused> {
    match response {
        Ok(response) => commanded(named, response),
        Err(refused) if refused.0.code() == Some(Code::UnknownRun) => {
            Err(ended(shared, named, refused).await?)
        }
        Err(refused) => Err(refused),
    }
}

/// The cell knows live runs only: one that it does not know may have ended.
async fn ended(shared: &Surroundings, named: &Named, refused: Refused) -> Result<Refused, Refused> {
    Ok(match shared.reads.run(&named.scope, named.run).await? {
        Some(row) => {
            let (run, status) = (named.run, row.status);
            Rejection::WrongStatus { run, status, needs: "a run that has not ended" }.into()
        }
        None => refused,
    })
}

fn commanded(named: &Named, response: Response) -> Result<Answer<Commanded>, Refused> {
    match response {
        Response::Commanded { status } => {
            Ok(Answer(Commanded { run: named.run.to_string(), status: status_out(status) }))
        }
        other => Err(Refused::internal(&format!("a command was answered by {other:?}"))),
    }
}
