//! The gateway: calls of models by clients that speak OpenAI's API, under the limits and budgets of a tenant.
//!
//! What clients send is passed on as it came, but for the model's name and the bound on the output; what providers
//! answer is passed on as it came. Only errors are this server's own, in the form that OpenAI's clients read.
//!
//! - `caller` is who calls, and pays.
//! - `call` is one call that the cell let through. Whatever becomes of it, it is settled once.
//! - `relay` passes on an answer as it is written.
//! - `error` says why there is none.
//!
//! A provider that is down, or wants to be left alone, is replaced by the model's next candidate as long as the client
//! has been told nothing.

mod call;
mod caller;
mod error;
mod relay;

use axum::Json as Answer;
use axum::body::Body;
use axum::extract::{FromRequest, Path, Request as HttpRequest, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use fairlane_api::Code;
use fairlane_api::gateway::{CallErrorBody, ServedModel, ServedModels};
use fairlane_core::catalog::Model;
use fairlane_core::cell::input::OpenCall;
use fairlane_core::id::ModelName;
use fairlane_core::quota::Rung;
use fairlane_core::router::Demand;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::body::{MediaType, Raw, check_depth, wrong_media_type};
use crate::problem::Refused;
use crate::provider::{metered, target};
use crate::serve::Shared;
use crate::upstream::Fault;
use crate::upstream::chat::{self, Event, Events, Malformed, OutputField, Request};
use call::Call;
use caller::Caller;
use error::Error;
use relay::Relay;

/// Providers that are tried for one request.
const TRIES_MAX: usize = 3;

pub(crate) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(complete))
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
        (status = 200, body = Object, description = "As OpenAI describes it, or a stream of its events"),
        (status = "4XX", body = CallErrorBody), (status = "5XX", body = CallErrorBody)
    )
)]
async fn complete(
    State(shared): State<Shared>,
    caller: Caller,
    request: HttpRequest,
) -> Result<Response, Error> {
    let request = Request::parse(&read(&shared, request).await?).map_err(Error::malformed)?;
    let chat = Chat::new(request, shared.config.gateway_output_tokens)?;
    tokio::select! {
        answer = answered(&shared, &caller, &chat) => answer,
        () = shared.cut_off() => Err(Refused::new(Code::ShuttingDown).into()),
    }
}

/// Lists the models that the tenant may call
#[utoipa::path(
    get, path = "/v1/models", tag = "gateway",
    params(("x-fairlane-tenant" = Option<String>, Header, description = "The tenant; only with an operator's key")),
    responses((status = 200, body = ServedModels), (status = "4XX", body = CallErrorBody))
)]
async fn list_models(State(shared): State<Shared>, caller: Caller) -> Answer<ServedModels> {
    let models = shared.registry.models(None, usize::MAX);
    let may = models.iter().filter(|model| may_call(&shared, &caller, model));
    Answer(ServedModels::new(may.map(|model| ServedModel::new(model.name.to_string())).collect()))
}

/// Reads a model that the tenant may call
#[utoipa::path(
    get, path = "/v1/models/{model}", tag = "gateway",
    params(
        ("model" = String, Path),
        ("x-fairlane-tenant" = Option<String>, Header, description = "The tenant; only with an operator's key")
    ),
    responses((status = 200, body = ServedModel), (status = "4XX", body = CallErrorBody))
)]
async fn get_model(
    State(shared): State<Shared>,
    caller: Caller,
    Path(model): Path<String>,
) -> Result<Answer<ServedModel>, Error> {
    let found = model.parse().ok().and_then(|name| shared.registry.model(&name));
    let found = found.filter(|found| may_call(&shared, &caller, found));
    let found = found.ok_or_else(|| Error::unknown_model(&model))?;
    Ok(Answer(ServedModel::new(found.name.to_string())))
}

fn may_call(shared: &Shared, caller: &Caller, model: &Model) -> bool {
    let Some(context) = shared.registry.context(&caller.tenant) else { return false };
    model.candidates.iter().any(|candidate| candidate.is_for(&context.tier))
}

async fn read(shared: &Shared, request: HttpRequest) -> Result<Bytes, Error> {
    let Raw { media_type, bytes } = Raw::from_request(request, shared).await?;
    if media_type != Some(MediaType::Json) {
        return Err(wrong_media_type("application/json").into());
    }
    check_depth(&bytes)?;
    Ok(bytes)
}

/// A chat completion that is asked for.
struct Chat {
    request: Request,
    model: ModelName,
    demand: Demand,
    /// Answers, each of which may be as long as the bound.
    choices: u32,
}

/// What a provider answers.
enum Served {
    Whole(Bytes),
    Streamed(Box<(Option<Event>, Events)>),
}

/// Why one try had no answer.
enum Untried {
    Fault(Fault),
    /// The endpoint cannot be called as it is declared.
    Unusable(String),
}

impl Chat {
    fn new(request: Request, output_default: u32) -> Result<Self, Error> {
        let model = request.model();
        let model = model.parse().map_err(|_| Error::unknown_model(&model))?;
        let choices = request.choices();
        let least = |field: &str, value: u32| {
            let malformed = Malformed { pointer: field.into(), expected: "1 or more".into() };
            if value == 0 { Err(Error::malformed(malformed)) } else { Ok(value) }
        };
        least("/n", choices)?;
        let output = request.output_tokens_max().unwrap_or(output_default);
        let output = least("/max_completion_tokens", output)?;
        let demand = Demand {
            input: request.input_tokens(),
            max_output: output.saturating_mul(choices),
            min_output: choices,
        };
        Ok(Self { request, model, demand, choices })
    }

    async fn asked(&self, shared: &Shared, call: &mut Call) -> Result<Served, Untried> {
        let declared = shared.registry.tool(&call.route.endpoint).and_then(|tool| tool.endpoint);
        let endpoint = declared.ok_or_else(|| Untried::Unusable("it is gone".to_owned()))?;
        let (target, headers) =
            target(&endpoint, "/chat/completions").map_err(Untried::Unusable)?;
        let mut request = self.request.clone();
        request.set_model(&call.route.upstream);
        let bound = (call.route.output / self.choices).max(1);
        request.bound_output(bound, OutputField::MaxCompletionTokens);
        call.sent();
        if !request.is_streamed() {
            let answer = chat::complete(&shared.upstream, &target, headers, &request).await?;
            call.served(metered(&answer.counted));
            return Ok(Served::Whole(answer.raw));
        }
        let mut events = chat::stream(&shared.upstream, &target, headers, &request).await?;
        let first = events.next().await.transpose()?;
        Ok(Served::Streamed(Box::new((first, events))))
    }

    fn respond(&self, shared: &Shared, call: Call, served: Served) -> Response {
        let mut headers = HeaderMap::new();
        describe(&call, &mut headers);
        let (kind, body) = match served {
            Served::Whole(body) => ("application/json", Body::from(body)),
            Served::Streamed(begun) => {
                headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
                let is_usage_asked = self.request.is_usage_asked();
                let relay = Relay::new(shared.clone(), call, *begun, is_usage_asked);
                ("text/event-stream", relay.into_body())
            }
        };
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        let mut response = Response::new(body);
        *response.headers_mut() = headers;
        response
    }
}

/// Calls one provider after the other until one answers.
async fn answered(shared: &Shared, caller: &Caller, chat: &Chat) -> Result<Response, Error> {
    let mut avoid = Vec::new();
    let mut last = None;
    while avoid.len() < TRIES_MAX {
        let wanted = OpenCall {
            tenant: caller.tenant.clone(),
            lease: None,
            model: chat.model.clone(),
            demand: chat.demand,
            avoid: avoid.clone(),
        };
        let mut call = match Call::open(shared, wanted).await {
            Ok(call) => call,
            // What the last provider said tells more than that there is no other.
            Err(refused) => return Err(last.unwrap_or(refused)),
        };
        let endpoint = call.route.endpoint.clone();
        let untried = match chat.asked(shared, &mut call).await {
            Ok(served) => return Ok(chat.respond(shared, call, served)),
            Err(untried) => untried,
        };
        match untried {
            Untried::Unusable(why) => last = Some(Error::unusable(&endpoint, &why)),
            Untried::Fault(fault) => {
                call.failed(&fault, shared);
                let error = Error::of_fault(&endpoint, &fault);
                if !fault.is_provider_down() && fault.retry_after().is_none() {
                    return Err(error);
                }
                last = Some(error);
            }
        }
        avoid.push(endpoint);
    }
    Err(last.unwrap_or_else(|| Refused::internal(&"a call was never tried").into()))
}

/// Says which call it was, and who served it.
fn describe(call: &Call, headers: &mut HeaderMap) {
    let route = &call.route;
    let rung = route.rung.map(|rung| match rung {
        Rung::CheaperModel => "cheaper_model",
        Rung::ShorterOutput => "shorter_output",
        Rung::SkipOptional => "skip_optional",
        Rung::Escalate => "escalate",
        Rung::Pause => "pause",
        Rung::Fail => "fail",
    });
    let served_by = format!("{}/{}", route.endpoint, route.upstream);
    let said = [
        ("x-fairlane-call", Some(call.id.to_string())),
        ("x-fairlane-served-by", Some(served_by)),
        ("x-fairlane-degraded", rung.map(str::to_owned)),
    ];
    for (name, value) in said {
        if let Some(value) = value.and_then(|value| value.try_into().ok()) {
            headers.insert(name, value);
        }
    }
}

impl From<Fault> for Untried {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}
