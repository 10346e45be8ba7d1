//! Chat completions on the OpenAI wire, which most providers and servers of models speak.
//!
//! - [`Request`] is what is asked. What is not understood here is passed on as it came.
//! - [`complete`] reads a whole [`Answer`], [`stream`] its [`Events`] one by one.
//! - What it took is [`Counted`]: what the provider says if that can be, an own count otherwise.

mod answer;
mod events;
mod request;
mod usage;

use hyper::body::Bytes;
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};

pub(crate) use answer::Answer;
pub(crate) use events::{Event, Events};
pub(crate) use request::{Message, OutputField, Request};
pub(crate) use usage::Counted;

use super::{Fault, Target, Upstream};

/// Asks for a whole answer, whatever the request says of streams. The headers are those that authenticate.
pub(crate) async fn complete(
    upstream: &Upstream,
    target: &Target,
    headers: HeaderMap,
    request: &Request,
) -> Result<Answer, Fault> {
    let sent = sent(headers, "application/json", request.whole_body());
    let body = upstream.call(target, sent).await?.into_body();
    Answer::read(body, request.input_tokens())
        .map_err(|what| Fault::Garbage { host: super::host(&target.url), what })
}

/// Asks for an answer as a stream, with its usage at the end, whatever the request says of streams.
pub(crate) async fn stream(
    upstream: &Upstream,
    target: &Target,
    headers: HeaderMap,
    request: &Request,
) -> Result<Events, Fault> {
    let sent = sent(headers, "text/event-stream", request.streamed_body());
    let response = upstream.open(target, sent).await?;
    let kind = response.headers().get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    let host = super::host(&target.url);
    if !kind.starts_with(b"text/event-stream") {
        return Err(Fault::Garbage { host, what: "it is no stream of events" });
    }
    Ok(Events::new(host, response.into_body(), request.input_tokens()))
}

pub(super) fn sent(
    mut headers: HeaderMap,
    accept: &'static str,
    body: Bytes,
) -> hyper::Request<Bytes> {
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(ACCEPT, HeaderValue::from_static(accept));
    let mut request = hyper::Request::new(body);
    *request.method_mut() = hyper::Method::POST;
    *request.headers_mut() = headers;
    request
}

#[cfg(test)]
mod tests;
