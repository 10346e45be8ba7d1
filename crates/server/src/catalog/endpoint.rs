//! How the server calls a tool: read from the wire with all mistakes, and shown.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::http::uri::Authority;
use axum::http::{HeaderName, HeaderValue, Uri};
use fairlane_api::Code;
use fairlane_api::catalog as wire;
use fairlane_core::catalog::{
    ANSWER_BYTES_MAX, CALL_TIMEOUT_MAX, CALL_TIMEOUT_MIN, Endpoint, HEADERS_MAX, Header, Method,
    Protocol, Request, SURCHARGE_MAX,
};
use fairlane_core::money::Nano;
use fairlane_core::time::Span;
use fairlane_workflow::{Mode, SPAN_EXAMPLE, Template, parse_span, show_span};

use crate::problem::{Refused, pointer_segment};
use crate::quotas::{Check, amount_out};
use crate::upstream::secret::{self, NAME_BYTES_MAX, PREFIX};
use crate::wire::between;

/// Bounds on texts, so that the catalog stays in memory.
const URL_BYTES_MAX: usize = 2_048;
const HEADER_BYTES_MAX: usize = 4_096;
const BODY_BYTES_MAX: usize = 64 << 10;

/// A surcharge of 0.001 in nano-units.
const PERMILLE: u64 = 1_000_000;

/// What says how the message itself is sent is the connection's to say.
const HEADERS_REFUSED: [&str; 11] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// `None` if something is wrong.
pub(crate) fn read(check: &mut Check, given: &wire::Endpoint) -> Option<Endpoint> {
    url(check, given);
    if let Some(key) = &given.key_env {
        variable(check, "/endpoint/key_env", key);
    }
    let timeout = timeout(check, &given.timeout);
    let bytes_max = [1, u64::from(ANSWER_BYTES_MAX)];
    check.keep(between(given.answer_bytes_max, bytes_max, "/endpoint/answer_bytes_max"));
    let surcharge_permille = surcharge(check, given);
    let protocol = match (given.protocol, &given.request) {
        (wire::Protocol::Chat, None) => Protocol::Chat,
        (wire::Protocol::Chat, Some(_)) => {
            check.wrong(
                Refused::new(Code::InvalidValue)
                    .detail("the protocol says what is sent")
                    .at("/endpoint/request")
                    .expected("nothing, or `protocol: http`"),
            );
            Protocol::Chat
        }
        (wire::Protocol::Http, request) => {
            let request = request.clone().unwrap_or_default();
            Protocol::Http(self::request(check, &request, given.key_env.is_some()))
        }
    };
    Some(Endpoint {
        protocol,
        url: given.url.as_str().into(),
        key: given.key_env.as_deref().map(Arc::from),
        allow_private: given.allow_private,
        timeout: timeout?,
        answer_bytes_max: u32::try_from(given.answer_bytes_max).ok()?,
        surcharge_permille: surcharge_permille?,
    })
}

fn url(check: &mut Check, given: &wire::Endpoint) {
    let is_template = given.protocol == wire::Protocol::Http;
    if let Err((detail, expected)) = check_url(&given.url, is_template) {
        check.wrong(
            Refused::new(Code::InvalidValue).detail(detail).at("/endpoint/url").expected(expected),
        );
    } else if is_template {
        template(check, "/endpoint/url", &given.url, Mode::Url);
    }
}

/// A mistake in a template is told where it is written, not when a step first calls the tool.
fn template(check: &mut Check, pointer: &str, text: &str, mode: Mode) {
    if let Err(mistake) = Template::parse(text, mode) {
        check.wrong(
            Refused::new(Code::InvalidValue)
                .detail(format!("the template cannot be read: {mistake}"))
                .at(pointer)
                .expected("a text with {{ name }} for each value"),
        );
    }
}

const EXAMPLE: &str = "a URL such as `https://models.example/v1`";

/// What is wrong, and what would be right.
fn check_url(url: &str, is_template: bool) -> Result<(), (&'static str, &'static str)> {
    let path = check_host(url)?;
    if is_template {
        return Ok(());
    }
    if path.contains(['?', '{', '}']) {
        return Err((
            "the base of chat completions has a query or a template",
            "a URL to which `/chat/completions` can be added",
        ));
    }
    url.parse::<Uri>().map(drop).map_err(|_| ("this is no URL", EXAMPLE))
}

/// Gives what follows the host and the port of a URL that names them, and nobody's password.
pub(crate) fn check_host(url: &str) -> Result<&str, (&'static str, &'static str)> {
    if url.len() > URL_BYTES_MAX {
        return Err(("the URL is too long", "at most 2,048 bytes"));
    }
    let after = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let Some(after) = after else {
        return Err(("the URL begins with neither `https://` nor `http://`", EXAMPLE));
    };
    let end = after.find(['/', '?', '#']).unwrap_or(after.len());
    let (authority, path) = after.split_at(end);
    if authority.contains(['{', '}']) {
        return Err((
            "the host or the port is a template",
            "a fixed host: templates may stand in the path and the query",
        ));
    }
    if authority.contains('@') {
        return Err((
            "the URL has a user or a password",
            "a key in `key_env`, or in a header with `env`",
        ));
    }
    let parsed: Authority =
        authority.parse().map_err(|_| ("the URL has no valid host", EXAMPLE))?;
    let port =
        authority.strip_prefix(parsed.host()).and_then(|port| match port.strip_prefix(':') {
            Some(port) => port.parse::<u16>().ok().filter(|port| *port > 0),
            None => Some(0),
        });
    if parsed.host().is_empty() || port.is_none() {
        return Err(("the URL has no valid host and port", EXAMPLE));
    }
    if path.contains('#') || path.chars().any(char::is_control) {
        return Err(("the URL has a fragment or a control character", EXAMPLE));
    }
    Ok(path)
}

fn variable(check: &mut Check, pointer: &str, given: &str) {
    if secret::check_name(given).is_err() {
        check.wrong(
            Refused::new(Code::InvalidValue)
                .detail("the server does not read such a variable")
                .at(pointer)
                .expected(format!("`{PREFIX}` and A-Z 0-9 _, at most {NAME_BYTES_MAX} bytes")),
        );
    }
}

fn timeout(check: &mut Check, given: &str) -> Option<Span> {
    let pointer = "/endpoint/timeout";
    let Some(span) = parse_span(given) else {
        let refused = Refused::new(Code::InvalidValue);
        let refused = refused.detail(format!("`{given}` is no duration"));
        check.wrong(refused.at(pointer).expected(SPAN_EXAMPLE));
        return None;
    };
    if !(CALL_TIMEOUT_MIN..=CALL_TIMEOUT_MAX).contains(&span) {
        let [min, max] = [CALL_TIMEOUT_MIN, CALL_TIMEOUT_MAX].map(show_span);
        check.wrong(
            Refused::new(Code::OutOfRange)
                .detail(format!("the value is {given}"))
                .at(pointer)
                .expected(format!("{min} to {max}")),
        );
    }
    Some(span)
}

fn surcharge(check: &mut Check, given: &wire::Endpoint) -> Option<u32> {
    let most = u64::from(SURCHARGE_MAX);
    let read = given.surcharge.0.parse::<Nano>().ok().filter(|part| part.0 % PERMILLE == 0);
    let permille = read.map(|part| part.0 / PERMILLE).filter(|permille| *permille <= most);
    if permille.is_none() {
        check.wrong(
            Refused::new(Code::OutOfRange)
                .detail(format!("the surcharge is {:?}", given.surcharge.0))
                .at("/endpoint/surcharge")
                .expected(format!(
                    "0 to {} with at most 3 decimal places, such as 0.1 for 10 %",
                    most / 1_000
                )),
        );
    }
    u32::try_from(permille?).ok()
}

fn request(check: &mut Check, given: &wire::Request, has_key: bool) -> Request {
    let method = match given.method {
        wire::Method::Get => Method::Get,
        wire::Method::Post => Method::Post,
        wire::Method::Put => Method::Put,
        wire::Method::Patch => Method::Patch,
        wire::Method::Delete => Method::Delete,
    };
    if method == Method::Get && given.body.is_some() {
        check.wrong(
            Refused::new(Code::InvalidValue)
                .detail("a GET has no body")
                .at("/endpoint/request/body")
                .expected("another method, or values in the query of the URL"),
        );
    }
    if given.body.as_ref().is_some_and(|body| body.len() > BODY_BYTES_MAX) {
        let refused = Refused::new(Code::TooLong).at("/endpoint/request/body");
        check.wrong(refused.expected(format!("at most {BODY_BYTES_MAX} bytes")));
    }
    if let Some(body) = &given.body {
        template(check, "/endpoint/request/body", body, Mode::Json);
    }
    let headers = headers(check, &given.headers, has_key);
    Request { method, headers, body: given.body.as_deref().map(Arc::from) }
}

fn headers(
    check: &mut Check,
    given: &BTreeMap<String, wire::Header>,
    has_key: bool,
) -> Vec<(Arc<str>, Header)> {
    let pointer = "/endpoint/request/headers";
    if given.len() > HEADERS_MAX {
        let refused = Refused::new(Code::TooMany).at(pointer);
        check.wrong(refused.expected(format!("at most {HEADERS_MAX} headers")));
        return Vec::new();
    }
    let mut names = BTreeSet::new();
    let mut headers = Vec::with_capacity(given.len());
    for (name, value) in given {
        let pointer = format!("{pointer}/{}", pointer_segment(name));
        let lower = name.to_ascii_lowercase();
        if let Some((detail, expected)) = wrong_name(&lower, has_key, &names) {
            let refused = Refused::new(Code::InvalidValue).detail(detail);
            check.wrong(refused.at(&pointer).expected(expected));
        }
        names.insert(lower);
        headers.push((Arc::from(name.as_str()), header(check, &pointer, value)));
    }
    headers
}

/// What is wrong with the name of a header, and what would be right.
fn wrong_name(
    lower: &str,
    has_key: bool,
    names: &BTreeSet<String>,
) -> Option<(&'static str, &'static str)> {
    if HeaderName::from_bytes(lower.as_bytes()).is_err() {
        return Some(("this is no name of a header", "a name such as `X-Api-Key`"));
    }
    if HEADERS_REFUSED.contains(&lower) {
        return Some(("the server sets this header itself", "headers of the tool's own"));
    }
    if has_key && lower == "authorization" {
        return Some(("`key_env` sets this header", "one of both"));
    }
    names
        .contains(lower)
        .then_some(("another header has the same name: capitals do not count", "each header once"))
}

fn header(check: &mut Check, pointer: &str, given: &wire::Header) -> Header {
    match given {
        wire::Header::Text(text) => {
            if text.len() > HEADER_BYTES_MAX || HeaderValue::from_str(text).is_err() {
                check.wrong(
                    Refused::new(Code::InvalidValue)
                        .detail("this cannot be the value of a header")
                        .at(pointer)
                        .expected(format!("at most {HEADER_BYTES_MAX} visible ASCII characters")),
                );
            } else {
                template(check, pointer, text, Mode::Text);
            }
            Header::Text(text.as_str().into())
        }
        wire::Header::Secret(secret) => {
            variable(check, &format!("{pointer}/env"), &secret.env);
            Header::Secret(secret.env.as_str().into())
        }
    }
}

pub(crate) fn out(endpoint: &Endpoint) -> wire::Endpoint {
    let (protocol, request) = match &endpoint.protocol {
        Protocol::Chat => (wire::Protocol::Chat, None),
        Protocol::Http(request) => (wire::Protocol::Http, Some(request_out(request))),
    };
    wire::Endpoint {
        protocol,
        url: endpoint.url.to_string(),
        key_env: endpoint.key.as_deref().map(str::to_owned),
        allow_private: endpoint.allow_private,
        timeout: show_span(endpoint.timeout),
        answer_bytes_max: u64::from(endpoint.answer_bytes_max),
        surcharge: amount_out(Nano(u64::from(endpoint.surcharge_permille) * PERMILLE)),
        request,
    }
}

fn request_out(request: &Request) -> wire::Request {
    let method = match request.method {
        Method::Get => wire::Method::Get,
        Method::Post => wire::Method::Post,
        Method::Put => wire::Method::Put,
        Method::Patch => wire::Method::Patch,
        Method::Delete => wire::Method::Delete,
    };
    let header = |(name, value): &(Arc<str>, Header)| {
        let value = match value {
            Header::Text(text) => wire::Header::Text(text.to_string()),
            Header::Secret(env) => wire::Header::Secret(wire::Secret { env: env.to_string() }),
        };
        (name.to_string(), value)
    };
    wire::Request {
        method,
        headers: request.headers.iter().map(header).collect(),
        body: request.body.as_deref().map(str::to_owned),
    }
}
