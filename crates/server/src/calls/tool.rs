//! One request of a tool for a step.

use fairlane_core::catalog::{Endpoint, Header, Method, Protocol, Request};
use fairlane_core::cell::effect::Grant;
use fairlane_core::cell::input::Outcome;
use fairlane_core::id::ToolName;
use fairlane_core::money::Nano;
use fairlane_core::row::{Failure, Payload};
use fairlane_workflow::Mode;
use hyper::body::Bytes;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde_json::value::RawValue;

use super::{Inputs, called, filled, fit, inputs, time_left};
use crate::assembly::Unassembled;
use crate::provider::{retry_after, said};
use crate::serve::Shared;
use crate::upstream::{Fault, Secret, Target};
use crate::worker::IdempotencyKey;

/// Class of the failure of a request that cannot be made out of its inputs.
const INVALID: &str = "request-invalid";

/// What a request of a tool is sent as.
struct Prepared {
    target: Target,
    request: hyper::Request<Bytes>,
}

/// `None`: the inputs cannot be read now.
pub(super) async fn call(shared: &Shared, grant: &Grant) -> Option<Outcome> {
    let input = match shared.assembly.input(grant).await {
        Ok(input) => input,
        Err(Unassembled::Unavailable) => return None,
        Err(Unassembled::Failed(failure)) => return Some(Outcome::NotSent(failure)),
    };
    let mut prepared = match prepared(shared, grant, &input) {
        Ok(prepared) => prepared,
        Err(failure) => return Some(Outcome::NotSent(failure)),
    };
    let mut span = shared.traces.call(grant.trace, &called(grant));
    if let Some(span) = &mut span {
        let step = grant.workflow.step(grant.lease.instance.step);
        let tool = step.tool.as_ref().map_or("", ToolName::as_str);
        span.of_tool(tool, prepared.request.method());
        span.at(&prepared.target.url);
    }
    shared.traces.propagate(span.as_ref(), prepared.request.headers_mut());
    let answered = shared.upstream.call(&prepared.target, prepared.request).await;
    if let Some(mut span) = span {
        match &answered {
            Ok(response) => span.answered(response.status()),
            Err(fault) => span.failed(fault),
        }
    }
    let response = match answered {
        Ok(response) => response,
        Err(fault) => return Some(failed(&fault)),
    };
    let output = output(response.body());
    Some(match fit(shared, &grant.lease, &output).await {
        Ok(judged) => Outcome::Completed { output, judged, cost: None },
        Err((failure, retryable)) => Outcome::failed(failure, retryable, None),
    })
}

fn prepared(shared: &Shared, grant: &Grant, input: &Payload) -> Result<Prepared, Failure> {
    let step = grant.workflow.step(grant.lease.instance.step);
    let name =
        step.tool.as_ref().ok_or_else(|| Failure::cut("internal", "the step has no tool"))?;
    let endpoint = shared.registry.tool(name).and_then(|tool| tool.endpoint);
    let unknown = || {
        let message =
            format!("the tool `{name}` has no endpoint with a request that the server could make");
        Failure::cut("endpoint-unknown", &message)
    };
    let endpoint = endpoint.ok_or_else(unknown)?;
    let Protocol::Http(request) = &endpoint.protocol else { return Err(unknown()) };
    let inputs = inputs(input)?;
    let url = filled(&endpoint.url, Mode::Url, &inputs, INVALID)?;
    let url = url.parse().map_err(|error| {
        Failure::cut("address-malformed", &format!("the address cannot be read: {error}"))
    })?;
    let timeout = time_left(shared, grant, endpoint.timeout);
    let target = Target {
        url,
        allow_private: endpoint.allow_private,
        timeout,
        idle: timeout,
        response_bytes_max: usize::try_from(endpoint.answer_bytes_max).unwrap_or(usize::MAX),
    };
    let body = body(request, input, &inputs)?;
    let mut headers = headers(&endpoint, request, &inputs)?;
    let key = IdempotencyKey(&grant.lease).to_string();
    let key = HeaderValue::from_str(&key)
        .map_err(|_| Failure::cut("internal", "the key is no header"))?;
    headers.entry("idempotency-key").or_insert(key);
    let mut sent = hyper::Request::new(body);
    *sent.method_mut() = method(request.method);
    *sent.headers_mut() = headers;
    Ok(Prepared { target, request: sent })
}

fn body(request: &Request, input: &Payload, inputs: &Inputs) -> Result<Bytes, Failure> {
    match (&request.body, request.method) {
        (Some(template), _) => filled(template, Mode::Json, inputs, INVALID).map(Bytes::from),
        (None, Method::Get | Method::Delete) => Ok(Bytes::new()),
        (None, Method::Post | Method::Put | Method::Patch) => Ok(Bytes::copy_from_slice(input)),
    }
}

fn headers(endpoint: &Endpoint, request: &Request, inputs: &Inputs) -> Result<HeaderMap, Failure> {
    let json = HeaderValue::from_static("application/json");
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, json.clone());
    if !matches!(request.method, Method::Get | Method::Delete) || request.body.is_some() {
        headers.insert(CONTENT_TYPE, json);
    }
    let secret = |name: &str| {
        Secret::from_env(name).map_err(|error| Failure::cut("secret-missing", &error.to_string()))
    };
    if let Some(name) = &endpoint.key {
        headers.insert(AUTHORIZATION, secret(name)?.bearer());
    }
    for (name, value) in &request.headers {
        let invalid = || Failure::cut(INVALID, &format!("the header `{name}` cannot be sent"));
        let header: HeaderName = name.parse().map_err(|_| invalid())?;
        let value = match value {
            Header::Secret(variable) => secret(variable)?.header(),
            Header::Text(template) => {
                let text = filled(template, Mode::Text, inputs, INVALID)?;
                HeaderValue::from_str(&text).map_err(|_| invalid())?
            }
        };
        headers.insert(header, value);
    }
    Ok(headers)
}

const fn method(method: Method) -> hyper::Method {
    match method {
        Method::Get => hyper::Method::GET,
        Method::Post => hyper::Method::POST,
        Method::Put => hyper::Method::PUT,
        Method::Patch => hyper::Method::PATCH,
        Method::Delete => hyper::Method::DELETE,
    }
}

/// JSON as it came, any other text as a JSON string, and nothing as null.
fn output(body: &[u8]) -> Payload {
    let text = String::from_utf8_lossy(body);
    if text.trim().is_empty() {
        return Payload::from(&b"null"[..]);
    }
    match serde_json::from_str::<&RawValue>(&text) {
        Ok(json) => Payload::from(json.get().as_bytes()),
        Err(_) => Payload::from(serde_json::Value::from(&*text).to_string().into_bytes()),
    }
}

fn failed(fault: &Fault) -> Outcome {
    let is_uncertain = fault.may_have_been_served();
    Outcome::Failed {
        failure: Failure::cut(fault.class(), &said(fault)),
        retryable: fault.is_retryable(),
        // What was turned away costs nothing.
        cost: (!is_uncertain).then_some(Nano::ZERO),
        is_uncertain,
        retry_after: retry_after(fault),
        is_provider_down: fault.is_provider_down(),
    }
}
