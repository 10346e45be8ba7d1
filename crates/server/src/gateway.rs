//! The gateway: calls of models by clients that speak OpenAI's API, under the limits and budgets of a tenant.
//!
//! What clients send is passed on as it came, but for the model's name and the bound on the output; what providers
//! answer is passed on as it came. Only errors are this server's own, in the form that OpenAI's clients read.
//!
//! - `caller` is who calls, and pays; `token` what a worker calls with under a lease.
//! - `asked` is what is asked, and finds who answers.
//! - `call` is one call that the cell let through. Whatever becomes of it, it is settled once.
//! - `relay` passes on an answer as it is written.
//! - `error` says why there is none.
//!
//! A provider that is down, or wants to be left alone, is replaced by the model's next candidate as long as the client
//! has been told nothing.

mod asked;
mod call;
mod caller;
mod error;
mod relay;
mod token;

use axum::Json as Answer;
use axum::extract::{FromRequest, Path, Request, State};
use axum::response::Response;
use bytes::Bytes;
use fairlane_api::Code;
use fairlane_api::gateway::{CallErrorBody, CallEvent, ServedModel, ServedModels};
use fairlane_core::catalog::Model;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::body::{MediaType, Raw, readable, wrong_media_type};
use crate::cells::App;
use crate::problem::Refused;
use asked::Asked;
use caller::Caller;
use error::Error;
pub(crate) use token::{LeaseToken, TokenKey};

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(complete))
        .routes(routes!(embed))
        .routes(routes!(list_models))
        .routes(routes!(get_model))
}

/// Asks a model for an answer
///
/// Request and answer are those of OpenAI's chat completions, streams included. `model` is a model of the catalog.
/// The headers `x-fairlane-call` and `x-fairlane-served-by` (endpoint and model) say what was called, and
/// `x-fairlane-degraded` what was done because the money was short.
#[utoipa::path(
    post, path = "/v1/chat/completions", tag = "gateway",
    params(("x-fairlane-tenant" = Option<String>, Header, description = "The tenant; only with an operator's key")),
    request_body(content = Object, description = "A chat completion as OpenAI describes it"),
    responses(
        (
            status = 200, description = "As OpenAI describes it, or a stream of its events",
            content((Object = "application/json"), (CallEvent = "text/event-stream"))
        ),
        (status = "4XX", body = CallErrorBody), (status = "5XX", body = CallErrorBody)
    )
)]
async fn complete(
    State(app): State<App>,
    caller: Caller,
    request: Request,
) -> Result<Response, Error> {
    let body = read(&app, request).await?;
    answer(&caller, Asked::chat(&body, app.config.gateway_output_tokens)?).await
}

/// Asks a model for the embeddings of texts
///
/// Request and answer are those of OpenAI's embeddings; the headers of the answer are those of a chat completion.
#[utoipa::path(
    post, path = "/v1/embeddings", tag = "gateway",
    params(("x-fairlane-tenant" = Option<String>, Header, description = "The tenant; only with an operator's key")),
    request_body(content = Object, description = "Texts as OpenAI describes it"),
    responses(
        (status = 200, body = Object, description = "As OpenAI describes it"),
        (status = "4XX", body = CallErrorBody), (status = "5XX", body = CallErrorBody)
    )
)]
async fn embed(
    State(app): State<App>,
    caller: Caller,
    request: Request,
) -> Result<Response, Error> {
    let body = read(&app, request).await?;
    answer(&caller, Asked::vectors(&body)?).await
}

/// Lists the models that the tenant may call
#[utoipa::path(
    get, path = "/v1/models", tag = "gateway", operation_id = "list_served_models",
    params(("x-fairlane-tenant" = Option<String>, Header, description = "The tenant; only with an operator's key")),
    responses((status = 200, body = ServedModels), (status = "4XX", body = CallErrorBody))
)]
async fn list_models(caller: Caller) -> Answer<ServedModels> {
    let models = caller.shared.registry.models(None, usize::MAX);
    let may = models.iter().filter(|model| may_call(&caller, model));
    Answer(ServedModels::new(may.map(|model| ServedModel::new(model.name.to_string())).collect()))
}

/// Reads a model that the tenant may call
#[utoipa::path(
    get, path = "/v1/models/{model}", tag = "gateway", operation_id = "get_served_model",
    params(
        ("model" = String, Path),
        ("x-fairlane-tenant" = Option<String>, Header, description = "The tenant; only with an operator's key")
    ),
    responses((status = 200, body = ServedModel), (status = "4XX", body = CallErrorBody))
)]
async fn get_model(
    caller: Caller,
    Path(model): Path<String>,
) -> Result<Answer<ServedModel>, Error> {
    let found = model.parse().ok().and_then(|name| caller.shared.registry.model(&name));
    let found = found.filter(|found| may_call(&caller, found));
    let found = found.ok_or_else(|| Error::unknown_model(&model))?;
    Ok(Answer(ServedModel::new(found.name.to_string())))
}

fn may_call(caller: &Caller, model: &Model) -> bool {
    let Some(context) = caller.shared.registry.context(&caller.tenant) else { return false };
    model.candidates.iter().any(|candidate| candidate.is_for(context.model_tier()))
}

/// Answers, unless the server stops before.
async fn answer(caller: &Caller, asked: Asked) -> Result<Response, Error> {
    let shared = &caller.shared;
    tokio::select! {
        answer = asked.answered(shared, caller) => answer,
        () = shared.cut_off() => Err(Refused::new(Code::ShuttingDown).into()),
    }
}

async fn read(app: &App, request: Request) -> Result<Bytes, Error> {
    let Raw { media_type, bytes } = Raw::from_request(request, app).await?;
    if media_type != Some(MediaType::Json) {
        return Err(wrong_media_type("application/json").into());
    }
    readable::check(&bytes)?;
    Ok(bytes)
}
