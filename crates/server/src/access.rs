//! What the log says of requests: one line for each, and the fields that all lines of a request have.
//!
//! A request is named by its id, which its answer says too. Of its path only the route is said, which the operator's clients share;
//! never what stands in its place, a query, a header or a body. Ids of runs are said by a server of one region only: the log is one,
//! and what belongs to another region stays there.

use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use fairlane_core::id::TenantId;
use fairlane_core::row::RunKey;
use fairlane_core::trace::TraceId;
use tracing::field::{Empty, display};
use tracing::{Instrument, Span};

use crate::serve::Surroundings;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest id of a request that is taken from its client.
const ID_BYTES_MAX: usize = 64;

/// Answers, with the id of the request, and writes its line.
pub(crate) async fn follow(request: Request, next: Next) -> Response {
    let id = id(request.headers());
    let text = id.to_str().unwrap_or_default();
    let span = tracing::info_span!("request", request_id = text, tenant = Empty, run = Empty);
    let mut response = answered(request, next).instrument(span).await;
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

async fn answered(request: Request, next: Next) -> Response {
    if !tracing::enabled!(tracing::Level::DEBUG) {
        return next.run(request).await;
    }
    let began = Instant::now();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let response = next.run(request).await;
    tracing::debug!(
        event = "request",
        %method,
        route = route.as_ref().map_or("none", MatchedPath::as_str),
        status = response.status().as_u16(),
        micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX),
        "answered"
    );
    response
}

/// The request that is under way is about this tenant, and its sender may know of it.
pub(crate) fn is_about(tenant: &TenantId) {
    Span::current().record("tenant", tenant.as_str());
}

/// It is about this run.
pub(crate) fn is_about_run(shared: &Surroundings, key: &RunKey) {
    if shared.names_runs() {
        Span::current().record("run", display(key.run));
    }
}

/// The fields of what is done for a run without a request. `names_runs`: see [`Surroundings::names_runs`].
pub(crate) fn of_run(names_runs: bool, key: &RunKey, trace: Option<TraceId>) -> Span {
    let span = tracing::info_span!("run", tenant = %key.tenant, run = Empty, trace = Empty);
    if names_runs {
        span.record("run", display(key.run));
        if let Some(trace) = trace {
            span.record("trace", format!("{:032x}", trace.0));
        }
    }
    span
}

/// What the client calls its request, if that is a name; else a new one.
fn id(headers: &HeaderMap) -> HeaderValue {
    let is_name = |value: &&HeaderValue| {
        let bytes = value.as_bytes();
        let is_of_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
        (1..=ID_BYTES_MAX).contains(&bytes.len()) && bytes.iter().all(is_of_name)
    };
    headers.get(REQUEST_ID).filter(is_name).cloned().unwrap_or_else(|| {
        let id = uuid::Uuid::now_v7().to_string();
        HeaderValue::try_from(id).expect("an id is visible ASCII")
    })
}
