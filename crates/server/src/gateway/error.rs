//! Refusals in the form that OpenAI's clients read: they show the message, and tell errors apart by their code.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use fairlane_api::Code;
use fairlane_api::gateway::CallErrorBody;
use fairlane_core::id::ToolName;
use fairlane_core::reject::Rejection;
use fairlane_core::router::NoWay;
use fairlane_core::time::Span;

use crate::problem::Refused;
use crate::provider::{retry_after, said};
use crate::upstream::{Fault, Malformed};

/// OpenAI's clients try some statuses again, unless this says that it is of no use.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
/// Those clients wait this long at most, whatever they are told, so that an earlier try would be for nothing.
const WAIT_MAX_MS: u64 = 60_000;
/// When to come again if the provider does not say.
const SOON: Span = Span::from_secs(1);

/// Why there is no answer.
#[derive(Debug)]
pub(crate) struct Error {
    refused: Refused,
    /// As OpenAI calls it, if its clients know it.
    code: Option<&'static str>,
    /// The same request will not succeed soon.
    is_final: bool,
}

impl Error {
    pub(crate) fn malformed(malformed: Malformed) -> Self {
        let Malformed { pointer, expected } = malformed;
        if pointer.is_empty() {
            // What stands there as expected is what the parser said.
            return Self::with_status(Refused::new(Code::InvalidValue).detail(expected), 400);
        }
        Self::with_status(Refused::new(Code::InvalidValue).at(pointer).expected(expected), 400)
    }

    pub(crate) fn unknown_model(model: &str) -> Self {
        let detail = format!("no model is named `{model}`, or the tenant's tier has none");
        let refused = Refused::new(Code::UnknownModel).detail(detail).at("/model");
        Self { code: Some("model_not_found"), ..Self::with_status(refused, 404) }
    }

    /// The endpoint is not set up as it should be, of which its tenants learn no more.
    pub(crate) fn unusable(endpoint: &ToolName, why: &str) -> Self {
        tracing::error!(event = "endpoint-unusable", %endpoint, why, "an endpoint cannot be called");
        let facts =
            serde_json::json!({ "endpoint": endpoint.as_str(), "class": "endpoint-invalid" });
        Refused::new(Code::ProviderFailed)
            .detail(format!("the endpoint `{endpoint}` cannot be called"))
            .facts(&facts)
            .into()
    }

    /// What became of the call at the endpoint.
    pub(crate) fn of_fault(endpoint: &ToolName, fault: &Fault) -> Self {
        let facts = serde_json::json!({ "endpoint": endpoint.as_str(), "class": fault.class() });
        let refused = |code| Refused::new(code).facts(&facts);
        let wait = retry_after(fault);
        match fault {
            Fault::Status { status: StatusCode::TOO_MANY_REQUESTS, .. } => {
                let refused = refused(Code::ProviderLimit).detail(fault.to_string());
                refused.retry_after(wait.unwrap_or(SOON)).into()
            }
            Fault::Status { status, .. } if is_of_request(*status) => {
                let refused = refused(Code::ProviderRefused).detail(said(fault));
                Self { is_final: true, ..Self::with_status(refused, status.as_u16()) }
            }
            Fault::Status { status, .. } if status.is_client_error() => {
                // What it says may be of the key, which is none of the tenant's.
                let refused = refused(Code::ProviderRefused).detail(fault.to_string());
                Self { is_final: true, ..refused.into() }
            }
            fault if fault.is_provider_down() => {
                let is_unavailable = wait.is_some();
                let refused = refused(Code::ProviderFailed)
                    .detail(fault.to_string())
                    .retry_after(wait.unwrap_or(SOON));
                if is_unavailable { Self::with_status(refused, 503) } else { refused.into() }
            }
            fault => {
                let refused = refused(Code::ProviderFailed).detail(fault.to_string());
                Self { is_final: true, ..refused.into() }
            }
        }
    }

    /// The body; of a stream that has begun it is an event.
    pub(crate) fn body(&self) -> Bytes {
        let mut body = CallErrorBody::new(&self.refused.0);
        if let Some(code) = self.code {
            code.clone_into(&mut body.error.code);
        }
        serde_json::to_vec(&body).unwrap_or_default().into()
    }

    fn with_status(mut refused: Refused, status: u16) -> Self {
        refused.0.status = status;
        refused.into()
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        let is_final = refused.0.retry_after_ms.is_some_and(|wait| wait > WAIT_MAX_MS);
        Self { refused, code: None, is_final }
    }
}

impl From<Rejection> for Error {
    fn from(rejection: Rejection) -> Self {
        match &rejection {
            Rejection::ModelUnavailable { model, because, .. } => match because {
                NoWay::UnknownModel | NoWay::Tier => Self::unknown_model(model.as_str()),
                NoWay::Context => Self {
                    code: Some("context_length_exceeded"),
                    ..Self::with_status(rejection.into(), 400)
                },
                // No other try goes better: it is for the operator to change.
                NoWay::Denied | NoWay::Outside => {
                    Self { is_final: true, ..Refused::from(rejection).into() }
                }
                NoWay::Endpoint | NoWay::Price => Refused::from(rejection).into(),
            },
            // Clients try conflicts again, and limits.
            Rejection::LimitReached { is_never: true, .. } | Rejection::StaleLease { .. } => {
                Self { is_final: true, ..Refused::from(rejection).into() }
            }
            _ => Refused::from(rejection).into(),
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let body = self.body();
        let mut response = self.refused.into_response();
        *response.body_mut() = Body::from(body);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.remove(header::CONTENT_LENGTH);
        if self.is_final {
            headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
        }
        response
    }
}

/// Whether a provider refuses so what its client has asked for, rather than the server that asks it.
fn is_of_request(status: StatusCode) -> bool {
    const OF_REQUEST: [StatusCode; 4] = [
        StatusCode::BAD_REQUEST,
        StatusCode::PAYLOAD_TOO_LARGE,
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        StatusCode::UNPROCESSABLE_ENTITY,
    ];
    OF_REQUEST.contains(&status)
}

#[cfg(test)]
mod tests {
    use fairlane_core::gate::LimitHolder;
    use fairlane_core::id::RunId;
    use fairlane_core::reject::ValveCause;

    use super::*;

    /// Status, code, `Retry-After` and `x-should-retry`.
    fn answer(rejection: Rejection) -> (u16, String, Option<String>, Option<String>) {
        let error = Error::from(rejection);
        let body: CallErrorBody = serde_json::from_slice(&error.body()).unwrap();
        let response = error.into_response();
        let header = |name: &str| {
            response.headers().get(name).map(|value| value.to_str().unwrap().to_owned())
        };
        let (after, again) = (header("retry-after"), header("x-should-retry"));
        (response.status().as_u16(), body.error.code, after, again)
    }

    fn limit(retry_after: Span) -> Rejection {
        Rejection::LimitReached {
            tool: "eu".parse().unwrap(),
            holder: LimitHolder::Tenant,
            rule: "hour@UTC".into(),
            used: 5,
            of: 5,
            opens: None,
            is_never: false,
            retry_after,
        }
    }

    #[test]
    fn a_closed_valve_is_told_from_limits() {
        let closed = Rejection::ValveClosed {
            cause: ValveCause::Calls,
            depth: 5,
            threshold: 5,
            retry_after: Span::from_secs(1),
        };
        assert_eq!(answer(closed), (503, "valve-closed".into(), Some("1".into()), None));
        let soon = answer(limit(Span::from_secs(60)));
        assert_eq!(soon, (429, "tenant-limit".into(), Some("60".into()), None));
    }

    #[test]
    fn a_client_does_not_try_again_what_cannot_succeed_soon() {
        let again = Some("false".to_owned());
        let late = answer(limit(Span::from_secs(61)));
        assert_eq!(late, (429, "tenant-limit".into(), Some("61".into()), again.clone()));
        let Rejection::LimitReached { tool, holder, rule, used, of, opens, retry_after, .. } =
            limit(Span::from_secs(1))
        else {
            unreachable!("it is one")
        };
        let never = Rejection::LimitReached {
            tool,
            holder,
            rule,
            used,
            of,
            opens,
            is_never: true,
            retry_after,
        };
        assert_eq!(answer(never), (429, "tenant-limit".into(), None, again.clone()));
        let stale = Rejection::StaleLease { run: RunId(7) };
        assert_eq!(answer(stale), (409, "stale-lease".into(), None, again));
    }

    #[test]
    fn what_a_provider_says_of_its_key_is_not_passed_on() {
        let refused = |status: u16| {
            let status = StatusCode::from_u16(status).unwrap();
            let (host, body_excerpt) = ("h".into(), "bad sk-1".into());
            let fault = Fault::Status { host, status, retry_after: None, body_excerpt };
            let error = Error::of_fault(&"eu".parse().unwrap(), &fault);
            (error.refused.status(), String::from_utf8_lossy(&error.body()).contains("sk-1"))
        };
        assert_eq!([400, 413, 422].map(refused), [(400, true), (413, true), (422, true)]);
        assert_eq!([401, 403, 404].map(refused), [(502, false); 3]);
    }
}
