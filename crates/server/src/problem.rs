//! Refusals on their way out: problem documents (RFC 9457) and their HTTP answers.

pub(crate) mod rejection;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use fairlane_api::{Code, Mistake, Problem, problem};
use fairlane_core::time::Span;
use serde::Serialize;

/// A request that is answered with a problem document.
#[derive(Debug)]
pub(crate) struct Refused(pub(crate) Box<Problem>);

impl Refused {
    pub(crate) fn new(code: Code) -> Self {
        Self(Box::new(Problem::new(code)))
    }

    pub(crate) fn detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// The value of the request body that was wrong. What does not exist is then not the resource that the
    /// request was for, hence 422 and not 404.
    pub(crate) fn at(mut self, pointer: impl Into<String>) -> Self {
        self.0.pointer = Some(pointer.into());
        if self.0.status == 404 {
            self.0.status = 422;
        }
        self
    }

    /// The same for a value inside of a larger body.
    pub(crate) fn below(mut self, pointer: &str) -> Self {
        let inner = self.0.pointer.take().unwrap_or_default();
        self.at(format!("{pointer}{inner}"))
    }

    pub(crate) fn expected(mut self, expected: impl Into<String>) -> Self {
        self.0.expected = Some(expected.into());
        self
    }

    pub(crate) fn facts(mut self, facts: &impl Serialize) -> Self {
        self.0.facts = serde_json::value::to_raw_value(facts).ok();
        self
    }

    pub(crate) fn retry_after(mut self, span: Span) -> Self {
        self.0.retry_after_ms = Some(span.as_millis_ceil());
        self
    }

    pub(crate) fn mistakes(mut self, mistakes: Vec<Mistake>) -> Self {
        self.0.mistakes = mistakes;
        self
    }

    pub(crate) fn status(&self) -> u16 {
        self.0.status
    }

    /// A bug or a surprise: logged with its cause, of which the client learns nothing.
    pub(crate) fn internal(cause: &dyn std::fmt::Display) -> Self {
        tracing::error!(event = "request-failed", %cause, "a request failed inside the server");
        Self::new(Code::Internal)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let problem = self.0;
        let status =
            StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(problem::MEDIA_TYPE));
        if let Some(millis) = problem.retry_after_ms {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(millis.div_ceil(1_000).max(1)));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// Escapes one segment of a JSON pointer (RFC 6901).
pub(crate) fn pointer_segment(segment: &str) -> String {
    segment.replace('~', "~0").replace('/', "~1")
}
