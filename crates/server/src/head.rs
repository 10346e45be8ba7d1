//! What is checked of every request before its path is looked at: the size of its head, and that the path is a
//! text. And what every answer says to browsers.

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use fairlane_api::Code;

use crate::problem::Refused;

/// Longest line and headers of a request.
pub(crate) const BYTES_MAX: usize = 64 * 1024;
/// Heads up to this are read to their end, so that they can be refused with a problem. The connection of a
/// longer one is closed with a bare 431.
pub(crate) const READ_BYTES_MAX: usize = 2 * BYTES_MAX;

/// What every answer says to browsers: it is what its type says it is, no page may frame it or run anything of it, its address
/// is told to nobody, and it is kept nowhere.
const SAID_TO_BROWSERS: [(HeaderName, &str); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
];
/// And with TLS: never again without.
const SECURE_ONLY: &str = "max-age=31536000";

/// Answers, with what is said to browsers. What an answer says itself stays.
pub(crate) async fn guard(is_secure: bool, request: Request, next: Next) -> Response {
    let mut response = match check(&request) {
        Ok(()) => next.run(request).await,
        Err(refused) => refused.into_response(),
    };
    let headers = response.headers_mut();
    for (name, value) in SAID_TO_BROWSERS {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    if is_secure {
        let value = HeaderValue::from_static(SECURE_ONLY);
        headers.insert(header::STRICT_TRANSPORT_SECURITY, value);
    }
    response
}

fn check(request: &Request) -> Result<(), Refused> {
    let bytes = size(request);
    if bytes > BYTES_MAX {
        let mut refused = Refused::new(Code::MalformedRequest)
            .detail(format!("the line and the headers have {bytes} bytes"))
            .expected(format!("at most {BYTES_MAX}"));
        refused.0.status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE.as_u16();
        return Err(refused);
    }
    if !is_text(request.uri().path()) {
        return Err(Refused::new(Code::MalformedRequest).detail("the path is not UTF-8"));
    }
    Ok(())
}

/// Bytes of the request line and the headers as they were sent.
fn size(request: &Request) -> usize {
    const LINE: usize = "  HTTP/1.1\r\n".len();
    const HEADER: usize = ": \r\n".len();
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    let headers = request.headers().iter().map(|(name, value)| {
        let name: &str = name.as_str();
        name.len() + value.len() + HEADER
    });
    LINE + request.method().as_str().len() + target + headers.sum::<usize>()
}

/// Whether the path is UTF-8 once its escapes are read. An escape that is none stands for itself.
fn is_text(path: &str) -> bool {
    if !path.contains('%') {
        return true;
    }
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let [first, behind @ ..] = rest {
        let escaped = match behind {
            [high, low, ..] if *first == b'%' => digit(*high).zip(digit(*low)),
            _ => None,
        };
        if let Some((high, low)) = escaped {
            bytes.push(high << 4 | low);
            rest = &behind[2..];
        } else {
            bytes.push(*first);
            rest = behind;
        }
    }
    std::str::from_utf8(&bytes).is_ok()
}

fn digit(character: u8) -> Option<u8> {
    char::from(character).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}
