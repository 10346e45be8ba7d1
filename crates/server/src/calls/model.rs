//! One call of a model for a step.

use fairlane_core::catalog::{Metered, Usage};
use fairlane_core::cell::effect::Grant;
use fairlane_core::cell::input::{Called, Judged, Outcome};
use fairlane_core::limiter::Answer;
use fairlane_core::plan::Step;
use fairlane_core::row::{Failure, Payload, Route};

use super::{called, fit, prompt, time_left};
use crate::assembly::Unassembled;
use crate::provider::{answered, metered, said, target, used_by};
use crate::serve::Shared;
use crate::telemetry::CHAT;
use crate::upstream::chat::{self, OutputField, Request};
use crate::upstream::{Fault, Target};

/// Why there is no output, whether another attempt may have one, and what was used.
struct Unserved {
    failure: Failure,
    retryable: bool,
    metered: Metered,
    answer: Answer,
}

/// `None`: the inputs cannot be read now.
pub(super) async fn call(shared: &Shared, grant: &Grant, route: &Route) -> Option<Outcome> {
    let input = match shared.assembly.input(grant).await {
        Ok(input) => Ok(input),
        Err(Unassembled::Unavailable) => return None,
        Err(Unassembled::Failed(failure)) => Err(Unserved::unsent(failure)),
    };
    let served = match input {
        Ok(input) => served(shared, grant, route, &input).await,
        Err(unserved) => Err(unserved),
    };
    let called = match served {
        Ok((output, judged, metered)) => {
            Called { result: Ok(output), judged, metered, answer: Answer::Served }
        }
        Err(Unserved { failure, retryable, metered, answer }) => {
            Called { result: Err((failure, retryable)), judged: Judged::default(), metered, answer }
        }
    };
    Some(Outcome::Called(Box::new(called)))
}

async fn served(
    shared: &Shared,
    grant: &Grant,
    route: &Route,
    input: &Payload,
) -> Result<(Payload, Judged, Metered), Unserved> {
    let step = grant.workflow.step(grant.lease.instance.step);
    let mut request = prompt::request(step, &route.upstream, input).map_err(Unserved::unsent)?;
    request.bound_output(route.output, OutputField::MaxCompletionTokens);
    let answer = asked(shared, grant, route, &request).await?;
    let metered = metered(&answer.counted, route);
    let wrong =
        |failure, retryable| Unserved { failure, retryable, metered, answer: Answer::Served };
    match answer.finish_reason.as_deref() {
        Some("content_filter") => {
            let message = "the provider filtered the answer";
            return Err(wrong(Failure::cut("provider-filtered", message), false));
        }
        Some("length") if step.output_schema.is_some() => {
            let message = format!("the answer is longer than {} tokens", route.output);
            return Err(wrong(Failure::cut("output-cut", &message), true));
        }
        _ => {}
    }
    let output = output(step, &answer.text)
        .map_err(|message| wrong(Failure::cut("output-invalid", &message), true))?;
    match fit(shared, &grant.lease, &output).await {
        Ok(judged) => Ok((output, judged, metered)),
        Err((failure, retryable)) => Err(wrong(failure, retryable)),
    }
}

async fn asked(
    shared: &Shared,
    grant: &Grant,
    route: &Route,
    request: &Request,
) -> Result<chat::Answer, Unserved> {
    let declared = shared.registry.tool(&route.endpoint).and_then(|tool| tool.endpoint);
    let Some(endpoint) = declared else {
        let message = format!("the endpoint `{}` cannot be called any more", route.endpoint);
        return Err(Unserved::unsent(Failure::cut("endpoint-unknown", &message)));
    };
    let (target, mut headers) = target(&endpoint, "/chat/completions")
        .map_err(|message| Unserved::unsent(Failure::cut("endpoint-invalid", &message)))?;
    let target = Target { timeout: time_left(shared, grant, endpoint.timeout), ..target };
    let mut span = shared.traces.call(grant.trace, &called(grant));
    if let Some(span) = &mut span {
        span.of_model(CHAT, route);
        span.at(&target.url);
    }
    shared.traces.propagate(span.as_ref(), &mut headers);
    let answer = chat::complete(&shared.upstream, &target, headers, request).await;
    if let Some(span) = &mut span {
        match &answer {
            Ok(answer) => span.served(metered(&answer.counted, route).usage),
            Err(fault) => span.failed(fault),
        }
    }
    answer.map_err(|fault| Unserved::by(&fault, shared, route.input))
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

impl Unserved {
    /// Nothing was sent, and nothing would be otherwise the next time.
    const fn unsent(failure: Failure) -> Self {
        let metered = Metered { usage: Usage { input: 0, cached: 0, output: 0 }, is_certain: true };
        Self { failure, retryable: false, metered, answer: Answer::Unknown }
    }

    fn by(fault: &Fault, shared: &Shared, input: u32) -> Self {
        Self {
            failure: Failure::cut(fault.class(), &said(fault)),
            retryable: fault.is_retryable(),
            metered: used_by(fault, input),
            answer: answered(fault, shared),
        }
    }
}
