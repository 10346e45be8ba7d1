//! Reading requests: bounded bodies, JSON with the place of each mistake, queries, media types.
//!
//! - `readable` refuses what others could not read that it is handed on to.
//! - `strict` takes no list for an object, and no key twice.
//! - `room` bounds what large bodies take while they arrive.

pub(crate) mod readable;
mod room;
mod strict;

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use fairlane_api::{Code, words};
use fairlane_core::time::Span;
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use serde_path_to_error::Segment;

use crate::auth::Sender;
use crate::cells::App;
use crate::problem::{Refused, pointer_segment};
use room::Held;
pub(crate) use room::Room;
use strict::Strict;

/// A body that takes longer than this to arrive is given up, so that slow senders hold no memory.
const BODY_TIME_MAX: Duration = Duration::from_secs(30);

/// When to send a large body again for which there was no room.
const ROOM_AGAIN: Span = Span::from_secs(5);

/// A JSON body that must be there.
#[derive(Debug)]
pub(crate) struct Json<T>(pub(crate) T);

/// A JSON body that may be left out.
#[derive(Debug)]
pub(crate) struct OptionalJson<T>(pub(crate) T);

/// The bytes of a body of any type.
#[derive(Debug)]
pub(crate) struct Raw {
    pub(crate) media_type: Option<MediaType>,
    pub(crate) bytes: Bytes,
}

/// The query of a request; parameters that are not known are refused.
#[derive(Debug)]
pub(crate) struct Params<T>(pub(crate) T);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MediaType {
    Json,
    Yaml,
    Text,
    Other,
}

impl<T: DeserializeOwned> FromRequest<App> for Json<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, shared: &App) -> Result<Self, Refused> {
        if media_type(request.headers()) != Some(MediaType::Json) {
            return Err(wrong_media_type("application/json"));
        }
        let bytes = read(request, shared).await?;
        Ok(Self(parse(&bytes)?))
    }
}

impl<T: DeserializeOwned + Default> FromRequest<App> for OptionalJson<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, shared: &App) -> Result<Self, Refused> {
        let media_type = media_type(request.headers());
        let bytes = read(request, shared).await?;
        match (bytes.is_empty(), media_type) {
            (true, _) => Ok(Self(T::default())),
            (false, Some(MediaType::Json)) => Ok(Self(parse(&bytes)?)),
            (false, _) => Err(wrong_media_type("application/json")),
        }
    }
}

impl FromRequest<App> for Raw {
    type Rejection = Refused;

    async fn from_request(request: Request, shared: &App) -> Result<Self, Refused> {
        let media_type = media_type(request.headers());
        let bytes = read(request, shared).await?;
        Ok(Self { media_type, bytes })
    }
}

impl<T: DeserializeOwned> FromRequestParts<App> for Params<T> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Refused> {
        match Query::try_from_uri(&parts.uri) {
            Ok(Query(params)) => Ok(Self(params)),
            Err(rejection) => {
                Err(Refused::new(Code::MalformedRequest).detail(query(&rejection.body_text())))
            }
        }
    }
}

pub(crate) fn wrong_media_type(expected: &str) -> Refused {
    Refused::new(Code::UnsupportedMediaType).expected(expected)
}

/// Parses a body, and on a mistake says where it is and what was expected.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refused> {
    readable::check(bytes)?;
    // The second reading keeps track of the path and is slower; only a wrong body is read twice.
    read_json(bytes).map_err(|_| explain::<T>(bytes))
}

fn read_json<T: DeserializeOwned>(bytes: &[u8]) -> serde_json::Result<T> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = T::deserialize(Strict(&mut deserializer))?;
    deserializer.end()?;
    Ok(value)
}

fn explain<T: DeserializeOwned>(bytes: &[u8]) -> Refused {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let mut track = serde_path_to_error::Track::new();
    let tracked = serde_path_to_error::Deserializer::new(&mut deserializer, &mut track);
    let Err(cause) = T::deserialize(Strict(tracked)) else {
        return match deserializer.end() {
            Err(error) => Refused::new(Code::MalformedJson).detail(error.to_string()),
            Ok(()) => Refused::internal(&"a body failed to parse once and not twice"),
        };
    };
    if cause.classify() != Category::Data {
        return Refused::new(Code::MalformedJson).detail(cause.to_string());
    }
    let message = cause.to_string();
    // From the end: before it stands what was sent, which may have these words in it.
    let message = message.rsplit_once(" at line ").map_or(&*message, |(message, _)| message);
    let pointer = pointer(&track.path());
    match message.rsplit_once(", expected ") {
        Some((found, expected)) if found.starts_with("unknown field") => {
            Refused::new(Code::UnknownField).detail(found).at(pointer).expected(expected)
        }
        Some((found, expected)) => Refused::new(Code::InvalidValue)
            .detail(words::found(found))
            .at(pointer)
            .expected(words::expected(expected)),
        None => Refused::new(Code::InvalidValue).detail(message).at(pointer),
    }
}

/// What is wrong with a query, from what its reader says: `...: limit: invalid digit found in string`.
fn query(message: &str) -> String {
    let message = message.trim_start_matches("Failed to deserialize query string: ");
    match message.split_once(": ") {
        Some((name, cause)) if cause.starts_with("invalid digit") => {
            format!("the parameter `{name}` is not a whole number")
        }
        Some((name, cause)) => format!("the parameter `{name}` is wrong: {}", words::found(cause)),
        None => words::found(message),
    }
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    let segment = |segment: &Segment| match segment {
        Segment::Seq { index } => format!("/{index}"),
        Segment::Map { key: name } | Segment::Enum { variant: name } => {
            format!("/{}", pointer_segment(name))
        }
        Segment::Unknown => String::new(),
    };
    path.iter().map(segment).collect()
}

/// The whole body, of whoever has authenticated.
async fn read(request: Request, app: &App) -> Result<Bytes, Refused> {
    let sender = request.extensions().get::<Sender>().cloned();
    let held = app.room().held(sender);
    let collected = collect(request.into_body(), app.config.body_bytes_max, held);
    match tokio::time::timeout(BODY_TIME_MAX, collected).await {
        Ok(collected) => collected,
        Err(_) => Err(Refused::new(Code::MalformedRequest)
            .detail(format!("the body took longer than {} s", BODY_TIME_MAX.as_secs()))),
    }
}

async fn collect(mut body: Body, bytes_max: usize, mut held: Held) -> Result<Bytes, Refused> {
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame =
            frame.map_err(|_| Refused::new(Code::MalformedRequest).detail("the body broke off"))?;
        let Ok(data) = frame.into_data() else { continue };
        let bytes = first.len() + rest.len() + data.len();
        if bytes > bytes_max {
            let expected = format!("at most {bytes_max} bytes");
            return Err(Refused::new(Code::BodyTooLarge).expected(expected));
        }
        if !held.grow(bytes) {
            return Err(Refused::new(Code::Overloaded)
                .detail("too many large bodies arrive at once")
                .retry_after(ROOM_AGAIN));
        }
        // Most bodies come in one piece, which is not copied.
        if first.is_empty() && rest.is_empty() {
            first = data;
        } else {
            rest.extend_from_slice(&std::mem::take(&mut first));
            rest.extend_from_slice(&data);
        }
    }
    Ok(if rest.is_empty() { first } else { rest.freeze() })
}

fn media_type(headers: &HeaderMap) -> Option<MediaType> {
    let text = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    Some(match essence.as_str() {
        "application/json" => MediaType::Json,
        "application/yaml" | "application/x-yaml" | "text/yaml" | "text/x-yaml" => MediaType::Yaml,
        "text/plain" => MediaType::Text,
        _ => MediaType::Other,
    })
}

#[cfg(test)]
pub(crate) mod fuzzed;

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> (u16, String, Option<String>, Option<String>) {
        let refused = parse::<fairlane_api::worker::Exchange>(text.as_bytes()).unwrap_err();
        let problem = refused.0;
        (problem.status, problem.code, problem.pointer, problem.expected)
    }

    #[test]
    fn a_mistake_is_placed_by_a_pointer() {
        let (status, code, pointer, _) = refused(r#"{"worker":"w","pool":"p","slots":"ten"}"#);
        assert_eq!((status, code.as_str()), (422, "invalid-value"));
        assert_eq!(pointer.as_deref(), Some("/slots"));

        let (status, code, pointer, _) = refused(
            r#"{"worker":"w","pool":"p","slots":1,"report":[{"lease":"l","complete":{}}]}"#,
        );
        assert_eq!((status, code.as_str()), (422, "unknown-field"));
        assert_eq!(pointer.as_deref(), Some("/report/0/complete"));
    }

    #[test]
    fn what_was_sent_is_not_taken_for_the_words_of_the_refusal() {
        for name in ["a at line 1", "a, expected b", "a at line 1, expected b at line 2"] {
            let (status, code, pointer, expected) = refused(&format!(r#"{{"{name}":1}}"#));
            assert_eq!((status, code.as_str()), (422, "unknown-field"), "{name}");
            assert_eq!(pointer, Some(format!("/{name}")));
            assert!(expected.is_some_and(|expected| expected.contains("`worker`")), "{name}");
        }
        let (_, code, pointer, expected) = refused(r#"{"slots":"1 at line 1, expected b"}"#);
        assert_eq!((code.as_str(), pointer.as_deref()), ("invalid-value", Some("/slots")));
        assert_eq!(expected.as_deref(), Some("a whole number from 0 to 4294967295"));
    }

    #[test]
    fn no_key_is_taken_twice() {
        use fairlane_api::quota::BudgetClassSpec;
        let text = r#"{"quotas":{"a":[{"concurrent":{"calls":1}}],"b":[],"\u0061":[]}}"#;
        let problem = parse::<BudgetClassSpec>(text.as_bytes()).unwrap_err().0;
        assert_eq!((problem.status, &*problem.code), (422, "invalid-value"));
        assert_eq!(problem.pointer.as_deref(), Some("/quotas/a"));
        assert_eq!(problem.detail.as_deref(), Some(r#"the key "a" is given twice"#));
        let text = text.replace("\\u0061", "c");
        assert_eq!(parse::<BudgetClassSpec>(text.as_bytes()).unwrap().quotas.len(), 3);
        let (_, code, _, _) = refused(r#"{"worker":"w","worker":"w","pool":"p","slots":1}"#);
        assert_eq!(code, "invalid-value");
        // What is handed on as its text is not looked into.
        let text = r#"{"lease":"l","completed":{"output":{"a":1,"a":2}}}"#;
        assert!(parse::<fairlane_api::worker::Report>(text.as_bytes()).is_ok());
    }

    #[test]
    fn a_missing_field_is_named() {
        let (status, code, _, _) = refused(r#"{"worker":"w"}"#);
        assert_eq!((status, code.as_str()), (422, "invalid-value"));
    }

    #[test]
    fn broken_json_is_malformed() {
        for text in ["", "{", "{]", "nonsense", r#"{"worker":"w","pool":"p","slots":1} x"#] {
            let (status, code, _, _) = refused(text);
            assert_eq!((status, code.as_str()), (400, "malformed-json"), "{text}");
        }
    }

    #[test]
    fn payloads_keep_their_text() {
        let text = r#"{"lease":"l","completed":{"output": {"b" : 1.50, "a":[ ]} }}"#;
        let report: fairlane_api::worker::Report = parse(text.as_bytes()).unwrap();
        let output = report.completed.unwrap().output.unwrap();
        assert_eq!(output.get(), r#"{"b" : 1.50, "a":[ ]}"#);
    }
}
