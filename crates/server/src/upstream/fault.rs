//! What a call can end in other than an answer, and what follows from it.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hyper::header::{self, HeaderMap};
use hyper::{StatusCode, http};
use hyper_util::client::legacy;

use super::connector;

/// Longest wait that a provider can ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_hours(24);
/// The wait after a refusal for too many calls that names none.
const RETRY_AFTER_DEFAULT: Duration = Duration::from_secs(1);
/// What is kept of a refusal's body.
const EXCERPT_BYTES_MAX: usize = 512;

/// Why there is no answer. Each text names the host, and neither query nor header nor body: the host is the
/// catalog's, everything else may be a tenant's data or a key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// The target or the request cannot be sent as it is.
    #[error("the address of {host} cannot be called: {why}")]
    Malformed { host: Arc<str>, why: &'static str },
    #[error("{host} has no address")]
    Unresolved {
        host: Arc<str>,
        #[source]
        source: io::Error,
    },
    /// Loopback, private, link-local, metadata and the like.
    #[error("{host} is at an address that may not be called")]
    Address { host: Arc<str> },
    #[error("no connection to {host}")]
    Connect {
        host: Arc<str>,
        #[source]
        source: io::Error,
    },
    /// The other side's certificate is not good, or it does not speak TLS.
    #[error("no secure connection to {host}: {why}")]
    Tls { host: Arc<str>, why: Box<str> },
    #[error("{host} took longer than {after:?}")]
    Timeout { host: Arc<str>, after: Duration },
    #[error("{host} redirects to {to_host} ({status}); redirects are not followed")]
    Redirect { host: Arc<str>, status: StatusCode, to_host: Arc<str> },
    #[error("the answer of {host} is larger than {limit} bytes")]
    TooLarge { host: Arc<str>, limit: usize },
    #[error("the headers of {host} are larger than {} bytes", super::HEAD_BYTES_MAX)]
    HeadersTooLarge { host: Arc<str> },
    #[error("the answer of {host} cannot be read: {what}")]
    Garbage { host: Arc<str>, what: &'static str },
    /// The connection ended before the answer did.
    #[error("{host} ended its answer too early")]
    Cut { host: Arc<str> },
    #[error("{host} refused with {status}")]
    Status {
        host: Arc<str>,
        status: StatusCode,
        retry_after: Option<Duration>,
        /// The start of what it said, without the secrets that it was sent and without control characters. It may
        /// have a tenant's data in it.
        body_excerpt: Box<str>,
    },
}

impl Fault {
    /// Whether the other side is down, rather than unwilling to serve this call. It is what a circuit breaker counts.
    pub(crate) fn is_provider_down(&self) -> bool {
        match self {
            Self::Unresolved { .. }
            | Self::Connect { .. }
            | Self::Timeout { .. }
            | Self::Garbage { .. }
            | Self::Cut { .. } => true,
            Self::Status { status, .. } => {
                status.is_server_error() && *status != StatusCode::NOT_IMPLEMENTED
            }
            Self::Malformed { .. }
            | Self::Address { .. }
            | Self::Tls { .. }
            | Self::Redirect { .. }
            | Self::TooLarge { .. }
            | Self::HeadersTooLarge { .. } => false,
        }
    }

    /// Whether the other side may have done what it was asked, which its answer does not say. It was not reached, or turned the
    /// request away, otherwise.
    pub(crate) const fn may_have_been_served(&self) -> bool {
        match self {
            Self::Timeout { .. }
            | Self::Cut { .. }
            | Self::Garbage { .. }
            | Self::TooLarge { .. }
            | Self::HeadersTooLarge { .. } => true,
            Self::Malformed { .. }
            | Self::Unresolved { .. }
            | Self::Address { .. }
            | Self::Connect { .. }
            | Self::Tls { .. }
            | Self::Redirect { .. }
            | Self::Status { .. } => false,
        }
    }

    /// How long the other side asks to be left alone, by everybody.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Whether the same call can succeed later.
    pub(crate) fn is_retryable(&self) -> bool {
        const PASSING: [StatusCode; 4] = [
            StatusCode::REQUEST_TIMEOUT,
            StatusCode::CONFLICT,
            StatusCode::TOO_EARLY,
            StatusCode::TOO_MANY_REQUESTS,
        ];
        match self {
            Self::Status { status, .. } if PASSING.contains(status) => true,
            _ => self.is_provider_down(),
        }
    }

    /// The class of a step's failure. These are stable: workflows name them.
    pub(crate) fn class(&self) -> &'static str {
        match self {
            Self::Malformed { .. } => "address-malformed",
            Self::Unresolved { .. } => "address-unknown",
            Self::Address { .. } => "address-refused",
            Self::Connect { .. } => "provider-unreachable",
            Self::Tls { .. } => "provider-insecure",
            Self::Timeout { .. } => "provider-timeout",
            Self::Redirect { .. } => "provider-redirected",
            Self::TooLarge { .. } | Self::HeadersTooLarge { .. } => "provider-too-large",
            Self::Garbage { .. } => "provider-garbage",
            Self::Cut { .. } => "provider-cut",
            Self::Status { status, .. } if *status == StatusCode::TOO_MANY_REQUESTS => {
                "provider-throttled"
            }
            Self::Status { status, .. } if status.is_server_error() => "provider-failed",
            Self::Status { .. } => "provider-refused",
        }
    }
}

/// What the client says went wrong before the headers were there.
pub(super) fn of_client(host: &Arc<str>, error: &legacy::Error) -> Fault {
    let host = Arc::clone(host);
    if error.is_connect() {
        return of_connection(host, error);
    }
    match find::<hyper::Error>(error) {
        Some(error) if error.is_parse_too_large() => Fault::HeadersTooLarge { host },
        Some(error) if error.is_parse() => Fault::Garbage { host, what: "it is no HTTP" },
        Some(error) if error.is_user() => {
            Fault::Malformed { host, why: "its request is no HTTP/1.1" }
        }
        // The connection was lost while the request was sent or its answer awaited.
        _ => Fault::Cut { host },
    }
}

/// What is not of the connector below is of TLS, which is made on top of its connections.
fn of_connection(host: Arc<str>, error: &legacy::Error) -> Fault {
    let again = |source: &io::Error| io::Error::new(source.kind(), source.to_string());
    match find::<connector::Error>(error) {
        Some(connector::Error::Refused) => return Fault::Address { host },
        Some(connector::Error::Unresolved(source)) => {
            return Fault::Unresolved { host, source: again(source) };
        }
        Some(connector::Error::Unreachable(source)) => {
            return Fault::Connect { host, source: again(source) };
        }
        None => {}
    }
    let mut cause = find::<io::Error>(error);
    // `io::Error::source` passes over an error that is wrapped in another.
    while let Some(wrapped) = cause
        && let Some(inner) = wrapped.get_ref()
        && let Some(inner) = inner.downcast_ref::<io::Error>()
    {
        cause = Some(inner);
    }
    match cause {
        Some(cause) if cause.kind() != io::ErrorKind::InvalidData => {
            Fault::Connect { host, source: again(cause) }
        }
        Some(cause) => Fault::Tls { host, why: cause.to_string().into() },
        None => Fault::Tls { host, why: "its name is not one that a certificate can have".into() },
    }
}

/// What went wrong while the body was read.
pub(super) fn of_body(host: Arc<str>, error: &hyper::Error) -> Fault {
    let is_malformed = |error: &io::Error| {
        matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput)
    };
    if error.is_parse_too_large() {
        Fault::HeadersTooLarge { host }
    } else if error.is_parse() || find::<io::Error>(error).is_some_and(is_malformed) {
        Fault::Garbage { host, what: "its chunks are none" }
    } else {
        Fault::Cut { host }
    }
}

fn find<'e, E: Error + 'static>(error: &'e (dyn Error + 'static)) -> Option<&'e E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// How long a refusal asks to wait: seconds, or a date that is compared with the answer's own, since the two clocks
/// may differ.
pub(super) fn retry_after(
    status: StatusCode,
    headers: &HeaderMap,
    now: SystemTime,
) -> Option<Duration> {
    let is_throttled = status == StatusCode::TOO_MANY_REQUESTS;
    if !is_throttled && status != StatusCode::SERVICE_UNAVAILABLE {
        return None;
    }
    let date = |text: &str| httpdate::parse_http_date(text).ok();
    let wait = text(headers, header::RETRY_AFTER).and_then(|text| {
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Some(text.parse().map_or(RETRY_AFTER_MAX, Duration::from_secs));
        }
        let now = self::text(headers, header::DATE).and_then(date).unwrap_or(now);
        Some(date(text)?.duration_since(now).unwrap_or_default())
    });
    wait.or(is_throttled.then_some(RETRY_AFTER_DEFAULT)).map(|wait| wait.min(RETRY_AFTER_MAX))
}

fn text(headers: &HeaderMap, name: http::HeaderName) -> Option<&str> {
    Some(headers.get(name)?.to_str().ok()?.trim())
}

/// The start of a refusal's body. Some providers repeat the key that they refuse.
pub(super) fn excerpt(body: &[u8], secrets: &[Vec<u8>]) -> Box<str> {
    let mut text = String::from_utf8_lossy(body).into_owned();
    for secret in secrets {
        text = text.replace(&*String::from_utf8_lossy(secret), "***");
    }
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    text[..text.floor_char_boundary(EXCERPT_BYTES_MAX)].trim().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

    fn wait(status: u16, headers: &[(&'static str, &str)]) -> Option<u64> {
        let headers = headers
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap()));
        let now = httpdate::parse_http_date(NOW).unwrap();
        let status = StatusCode::from_u16(status).unwrap();
        retry_after(status, &headers.collect(), now).map(|wait| wait.as_secs())
    }

    #[test]
    fn a_wait_is_in_seconds_or_until_a_date() {
        assert_eq!(wait(429, &[("retry-after", "7")]), Some(7));
        assert_eq!(wait(503, &[("retry-after", " 0 ")]), Some(0));
        assert_eq!(wait(503, &[("retry-after", "Sun, 06 Nov 1994 08:50:37 GMT")]), Some(60));
    }

    #[test]
    fn a_date_is_compared_with_that_of_the_answer() {
        let date = ("date", "Sun, 06 Nov 1994 08:50:27 GMT");
        assert_eq!(wait(429, &[("retry-after", "Sun, 06 Nov 1994 08:50:37 GMT"), date]), Some(10));
        assert_eq!(wait(429, &[("retry-after", NOW), date]), Some(0));
    }

    #[test]
    fn no_wait_is_longer_than_a_day() {
        for long in ["86401", "99999999999999999999999", "Sat, 06 Nov 2094 08:50:37 GMT"] {
            assert_eq!(wait(429, &[("retry-after", long)]), Some(86_400), "{long}");
        }
    }

    #[test]
    fn too_many_calls_without_a_wait_that_can_be_read_wait_a_second() {
        for none in ["", "-1", "1.5", "soon"] {
            assert_eq!(wait(429, &[("retry-after", none)]), Some(1), "{none}");
            assert_eq!(wait(503, &[("retry-after", none)]), None, "{none}");
        }
        assert_eq!(wait(429, &[]), Some(1));
        assert_eq!(wait(500, &[("retry-after", "7")]), None);
    }

    #[test]
    fn an_excerpt_is_short_and_has_no_secrets_and_no_control_characters() {
        let secrets = [b"Bearer sk-1".to_vec(), b"sk-1".to_vec()];
        assert_eq!(
            &*excerpt(b"bad key:\r\n\x1b[31msk-1\xff", &secrets),
            "bad key:   [31m***\u{fffd}"
        );
        let long = "ä".repeat(255) + "€";
        assert_eq!(excerpt(long.as_bytes(), &secrets).len(), 510);
    }

    fn status(status: u16) -> Fault {
        Fault::Status {
            host: "h".into(),
            status: StatusCode::from_u16(status).unwrap(),
            retry_after: None,
            body_excerpt: "".into(),
        }
    }

    #[test]
    fn a_provider_is_down_if_it_fails_and_not_if_it_refuses() {
        let down = |code| status(code).is_provider_down();
        assert!([500, 502, 503, 504, 529].into_iter().all(down));
        assert!(![400, 401, 403, 404, 408, 409, 422, 429, 501].into_iter().any(down));
    }

    #[test]
    fn a_call_is_tried_again_if_the_same_can_succeed_later() {
        let again = |code| status(code).is_retryable();
        assert!([408, 409, 425, 429, 500, 503].into_iter().all(again));
        assert!(![400, 401, 402, 403, 404, 413, 422, 451, 501].into_iter().any(again));
    }

    #[test]
    fn each_status_has_its_class() {
        let classes = [429, 500, 401].map(|code| status(code).class());
        assert_eq!(classes, ["provider-throttled", "provider-failed", "provider-refused"]);
    }
}
