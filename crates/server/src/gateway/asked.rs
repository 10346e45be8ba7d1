//! What is asked of a model, and who answers it: one provider after the other, until one does.

use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use fairlane_core::cell::input::OpenCall;
use fairlane_core::id::ModelName;
use fairlane_core::quota::Rung;
use fairlane_core::router::Demand;
use fairlane_core::time::Span;

use super::call::Call;
use super::caller::Caller;
use super::error::Error;
use super::relay::Relay;
use crate::problem::Refused;
use crate::provider::{metered, target};
use crate::serve::Shared;
use crate::telemetry::{CHAT, EMBEDDINGS};
use crate::upstream::chat::{self, Event, Events, OutputField};
use crate::upstream::{Fault, Malformed, embed};

/// Providers that are tried for one request.
const TRIES_MAX: usize = 3;

/// What a client asks for.
pub(super) struct Asked {
    model: ModelName,
    demand: Demand,
    what: What,
}

enum What {
    Chat {
        request: chat::Request,
        /// Answers, each of which may be as long as the bound.
        choices: u32,
    },
    Vectors(embed::Request),
}

/// What a provider answers.
enum Served {
    Whole(Bytes),
    Streamed(Box<(Option<Event>, Events)>),
}

/// Why one try had no answer.
enum Unserved {
    Fault(Fault),
    /// The endpoint cannot be called as it is declared.
    Unusable(String),
}

impl Asked {
    /// A chat completion; `output_default` bounds it if its client does not.
    pub(super) fn chat(body: &[u8], output_default: u32) -> Result<Self, Error> {
        let request = chat::Request::parse(body).map_err(Error::malformed)?;
        let model = named(&request.model())?;
        let choices = at_least_one("/n", request.choices())?;
        let output = request.output_tokens_max().unwrap_or(output_default);
        let output = at_least_one("/max_completion_tokens", output)?;
        let demand = Demand {
            input: request.input_tokens(),
            max_output: output.saturating_mul(choices),
            min_output: choices,
            answers: choices,
        };
        Ok(Self { model, demand, what: What::Chat { request, choices } })
    }

    pub(super) fn vectors(body: &[u8]) -> Result<Self, Error> {
        let request = embed::Request::parse(body).map_err(Error::malformed)?;
        let model = named(&request.model())?;
        let demand =
            Demand { input: request.input_tokens(), max_output: 0, min_output: 0, answers: 1 };
        Ok(Self { model, demand, what: What::Vectors(request) })
    }

    /// Calls one provider after the other until one answers.
    pub(super) async fn answered(
        &self,
        shared: &Shared,
        caller: &Caller,
    ) -> Result<Response, Error> {
        let mut avoid = Vec::new();
        let mut last = None;
        // All tries together wait no longer than this.
        let until = Instant::now() + Duration::from_millis(shared.config.gateway_wait_ms);
        while avoid.len() < TRIES_MAX {
            let wanted = OpenCall {
                tenant: caller.tenant.clone(),
                by: caller.by.clone(),
                lease: caller.lease.clone(),
                model: self.model.clone(),
                demand: self.demand,
                avoid: avoid.clone(),
                wait_max: left(until),
            };
            let mut call = match Call::open(shared, wanted, (caller.trace, self.operation())).await
            {
                Ok(call) => call,
                // What the last provider said tells more than that there is no other.
                Err(refused) => return Err(last.unwrap_or(refused)),
            };
            let endpoint = call.route.endpoint.clone();
            match self.tried(shared, &mut call).await {
                Ok(served) => return Ok(self.respond(shared, call, served)),
                Err(Unserved::Unusable(why)) => last = Some(Error::unusable(&endpoint, &why)),
                Err(Unserved::Fault(fault)) => {
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

    async fn tried(&self, shared: &Shared, call: &mut Call) -> Result<Served, Unserved> {
        let declared = shared.registry.tool(&call.route.endpoint).and_then(|tool| tool.endpoint);
        let endpoint = declared.ok_or_else(|| Unserved::Unusable("it is gone".to_owned()))?;
        let path = match &self.what {
            What::Chat { .. } => "/chat/completions",
            What::Vectors(_) => "/embeddings",
        };
        let (target, mut headers) = target(&endpoint, path).map_err(Unserved::Unusable)?;
        call.goes_to(&target.url);
        shared.traces.propagate(call.span(), &mut headers);
        let upstream = &shared.upstream;
        match &self.what {
            What::Vectors(request) => {
                let mut request = request.clone();
                request.set_model(&call.route.upstream);
                call.sent();
                let answer = embed::embed(upstream, &target, headers, &request).await?;
                let metered = metered(&answer.counted, &call.route);
                call.served(metered);
                Ok(Served::Whole(answer.raw))
            }
            What::Chat { request, choices } => {
                let mut request = request.clone();
                request.set_model(&call.route.upstream);
                let bound = (call.route.output / choices).max(1);
                request.bound_output(bound, OutputField::MaxCompletionTokens);
                call.sent();
                if !request.is_streamed() {
                    let answer = chat::complete(upstream, &target, headers, &request).await?;
                    let metered = metered(&answer.counted, &call.route);
                    call.served(metered);
                    return Ok(Served::Whole(answer.raw));
                }
                let mut events = chat::stream(upstream, &target, headers, &request).await?;
                let first = events.next().await.transpose()?;
                Ok(Served::Streamed(Box::new((first, events))))
            }
        }
    }

    const fn operation(&self) -> &'static str {
        match &self.what {
            What::Chat { .. } => CHAT,
            What::Vectors(_) => EMBEDDINGS,
        }
    }

    fn respond(&self, shared: &Shared, call: Call, served: Served) -> Response {
        let mut headers = HeaderMap::new();
        describe(&call, &mut headers);
        let (kind, body) = match served {
            Served::Whole(body) => ("application/json", Body::from(body)),
            Served::Streamed(begun) => {
                headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
                let relay = Relay::new(shared.clone(), call, *begun, self.is_usage_asked());
                ("text/event-stream", relay.into_body())
            }
        };
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        let mut response = Response::new(body);
        *response.headers_mut() = headers;
        response
    }

    fn is_usage_asked(&self) -> bool {
        matches!(&self.what, What::Chat { request, .. } if request.is_usage_asked())
    }
}

fn named(model: &str) -> Result<ModelName, Error> {
    model.parse().map_err(|_| Error::unknown_model(model))
}

fn left(until: Instant) -> Span {
    let left = until.saturating_duration_since(Instant::now()).as_micros();
    Span(u64::try_from(left).unwrap_or(u64::MAX))
}

fn at_least_one(pointer: &str, value: u32) -> Result<u32, Error> {
    let malformed = Malformed { pointer: pointer.into(), expected: "1 or more".into() };
    if value == 0 { Err(Error::malformed(malformed)) } else { Ok(value) }
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

impl From<Fault> for Unserved {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}
