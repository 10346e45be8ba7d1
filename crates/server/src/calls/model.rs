//! One call of a model for a step.

use fairlane_core::catalog::{Endpoint, Metered, Usage};
use fairlane_core::cell::effect::Grant;
use fairlane_core::cell::input::{Called, Outcome};
use fairlane_core::limiter::Answer;
use fairlane_core::plan::Step;
use fairlane_core::row::{Failure, Payload, Route};
use fairlane_core::time::Span;
use hyper::header::{AUTHORIZATION, HeaderMap};

use super::{failure, prompt, time_left};
use crate::assembly::Unassembled;
use crate::serve::Shared;
use crate::upstream::chat::{self, Counted, OutputField, Request};
use crate::upstream::{Fault, Secret, Target, Upstream};

/// Longest pause within an answer.
const IDLE: Span = Span::from_secs(60);

/// Why there is no output, whether another attempt may have one, and what was used.
struct Unserved {
    failure: Failure,
    retryable: bool,
    metered: Metered,
    answer: Answer,
}

/// `None`: the inputs cannot be read now.
pub(super) async fn call(
    shared: &Shared,
    upstream: &Upstream,
    grant: &Grant,
    route: &Route,
) -> Option<Outcome> {
    let input = match shared.assembly.input(grant).await {
        Ok(input) => Ok(input),
        Err(Unassembled::Unavailable) => return None,
        Err(Unassembled::Failed(failure)) => Err(Unserved::unsent(failure)),
    };
    let served = match input {
        Ok(input) => served(shared, upstream, grant, route, &input).await,
        Err(unserved) => Err(unserved),
    };
    let called = match served {
        Ok((output, metered)) => Called { result: Ok(output), metered, answer: Answer::Served },
        Err(Unserved { failure, retryable, metered, answer }) => {
            Called { result: Err((failure, retryable)), metered, answer }
        }
    };
    Some(Outcome::Called(Box::new(called)))
}

async fn served(
    shared: &Shared,
    upstream: &Upstream,
    grant: &Grant,
    route: &Route,
    input: &Payload,
) -> Result<(Payload, Metered), Unserved> {
    let step = grant.workflow.step(grant.lease.instance.step);
    let mut request = prompt::request(step, &route.upstream, input).map_err(Unserved::unsent)?;
    request.bound_output(route.output, OutputField::MaxCompletionTokens);
    let answer = asked(shared, upstream, grant, route, &request).await?;
    let metered = metered(&answer.counted);
    let wrong = |class: &str, message: &str, retryable| Unserved {
        failure: failure(class, message),
        retryable,
        metered,
        answer: Answer::Served,
    };
    match answer.finish_reason.as_deref() {
        Some("content_filter") => {
            return Err(wrong("provider-filtered", "the provider filtered the answer", false));
        }
        Some("length") if step.output_schema.is_some() => {
            let message = format!("the answer is longer than {} tokens", route.output);
            return Err(wrong("output-cut", &message, true));
        }
        _ => {}
    }
    let output =
        output(step, &answer.text).map_err(|message| wrong("output-invalid", &message, true))?;
    let max = shared.config.payload_bytes_max;
    if output.len() > max {
        let message = format!("the output has {} bytes, at most {max} are allowed", output.len());
        return Err(wrong("output-too-large", &message, false));
    }
    match shared.assembly.check_output(&grant.lease, &output).await {
        Ok(Ok(())) => Ok((output, metered)),
        Ok(Err(message)) => Err(wrong("output-invalid", &message, true)),
        Err(refused) => Err(wrong("internal", &refused.0.to_string(), true)),
    }
}

async fn asked(
    shared: &Shared,
    upstream: &Upstream,
    grant: &Grant,
    route: &Route,
    request: &Request,
) -> Result<chat::Answer, Unserved> {
    let declared = shared.registry.tool(&route.endpoint).and_then(|tool| tool.endpoint);
    let Some(endpoint) = declared else {
        let message = format!("the endpoint `{}` cannot be called any more", route.endpoint);
        return Err(Unserved::unsent(failure("endpoint-unknown", &message)));
    };
    let (target, headers) = target(&endpoint, "/chat/completions")
        .map_err(|message| Unserved::unsent(failure("endpoint-invalid", &message)))?;
    let target = Target { timeout: time_left(shared, grant, endpoint.timeout), ..target };
    let answer = chat::complete(upstream, &target, headers, request).await;
    answer.map_err(|fault| Unserved::by(&fault, shared, route.input))
}

/// Where a call of the endpoint goes, and the headers that authenticate it.
pub(crate) fn target(endpoint: &Endpoint, path: &str) -> Result<(Target, HeaderMap), String> {
    let url = format!("{}{path}", endpoint.url.trim_end_matches('/'));
    let url = url.parse().map_err(|error| format!("its address cannot be read: {error}"))?;
    let mut headers = HeaderMap::new();
    if let Some(name) = &endpoint.key {
        let secret = Secret::from_env(name).map_err(|error| error.to_string())?;
        headers.insert(AUTHORIZATION, secret.bearer());
    }
    let target = Target {
        url,
        allow_private: endpoint.allow_private,
        timeout: std::time::Duration::from_micros(endpoint.timeout.0),
        idle: std::time::Duration::from_micros(IDLE.0.min(endpoint.timeout.0)),
        response_bytes_max: usize::try_from(endpoint.answer_bytes_max).unwrap_or(usize::MAX),
    };
    Ok((target, headers))
}

/// With a schema the text is the JSON, without one it is a JSON string.
fn output(step: &Step, text: &str) -> Result<Payload, String> {
    if step.output_schema.is_none() {
        return Ok(Payload::from(serde_json::Value::from(text).to_string().into_bytes()));
    }
    let json: &serde_json::value::RawValue =
        serde_json::from_str(text).map_err(|error| format!("the answer is no JSON: {error}"))?;
    Ok(Payload::from(json.get().as_bytes()))
}

pub(crate) const fn metered(counted: &Counted) -> Metered {
    let usage = Usage {
        input: counted.usage.input_tokens,
        cached: counted.usage.cached_tokens,
        output: counted.usage.output_tokens,
    };
    Metered { usage, is_certain: counted.is_certain }
}

/// What a fault says of the provider.
pub(crate) fn answered(fault: &Fault, shared: &Shared) -> Answer {
    match fault.retry_after() {
        Some(after) => {
            let after = Span(u64::try_from(after.as_micros()).unwrap_or(u64::MAX));
            Answer::TurnedAway { until: shared.now() + after }
        }
        None if fault.is_provider_down() => Answer::Broken,
        None => Answer::Unknown,
    }
}

/// What may have been used by a call that ended in a fault: nothing if it was turned away, what went in if nobody knows.
pub(crate) fn used_by(fault: &Fault, input: u32) -> Metered {
    match fault {
        Fault::Timeout { .. }
        | Fault::Cut { .. }
        | Fault::Garbage { .. }
        | Fault::TooLarge { .. } => {
            Metered { usage: Usage { input, cached: 0, output: 0 }, is_certain: false }
        }
        _ => Metered { usage: Usage::default(), is_certain: true },
    }
}

impl Unserved {
    /// Nothing was sent, and nothing would be otherwise the next time.
    const fn unsent(failure: Failure) -> Self {
        let metered = Metered { usage: Usage { input: 0, cached: 0, output: 0 }, is_certain: true };
        Self { failure, retryable: false, metered, answer: Answer::Unknown }
    }

    fn by(fault: &Fault, shared: &Shared, input: u32) -> Self {
        Self {
            failure: failure(fault.class(), &said(fault)),
            retryable: fault.is_retryable(),
            metered: used_by(fault, input),
            answer: answered(fault, shared),
        }
    }
}

/// The fault with what the other side said, as far as that may be shown to whoever wrote the request.
pub(super) fn said(fault: &Fault) -> String {
    match fault {
        Fault::Status { body_excerpt, .. } if !body_excerpt.is_empty() => {
            format!("{fault}: {body_excerpt}")
        }
        _ => fault.to_string(),
    }
}
