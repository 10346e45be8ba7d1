//! Calls that the server makes itself: to providers of models, and to tools that are plain HTTP.
//!
//! It owns the connections, the bounds of an answer, and what a call can end in ([`Fault`]). It knows nothing of the
//! cell, of tenants or of money: who may call what, and what that costs, is decided before.
//!
//! - An address that a name leads to is judged where the connection is made, so that a name whose answer changes
//!   between two look-ups gains nothing. Connections that may go to private addresses have a pool of their own.
//! - Redirects are never followed: they would lead a key to a host that nobody has declared.
//! - Every answer is bounded in bytes and in time, headers included.
//! - No header, no query and no body is ever logged or part of a fault's text.

pub(crate) mod address;
pub(crate) mod chat;
mod connector;
pub(crate) mod embed;
mod fault;
mod fields;
pub(crate) mod secret;
mod sse;
mod stream;
mod tls;
pub(crate) mod tokens;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{self, HeaderValue};
use hyper::{HeaderMap, Request, Response, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use tokio::time::{Instant, timeout_at};

use connector::Connector;
pub(crate) use fault::Fault;
pub(crate) use fields::Malformed;
pub(crate) use secret::Secret;
pub(crate) use stream::Stream;

/// Most bytes of an answer's status line and headers. Providers send about two KiB.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Idle connections kept for each host: as many as an executor with this many steps at once can use again.
const IDLE_CONNECTIONS_MAX: usize = 64;
/// How long an idle connection is kept. Common servers of models close theirs after five seconds, and a request that
/// meets the close on its way is lost.
const IDLE_TIME_MAX: Duration = Duration::from_secs(4);
/// A call without a sensible bound of its own ends after this.
const CALL_TIME_MAX: Duration = Duration::from_hours(24);
/// What is read of a refusal, before secrets are taken out of it and it is cut.
const REFUSAL_BYTES_MAX: usize = 4 * 1024;
/// How long the body of a refusal is waited for; what has come by then has to do.
const REFUSAL_TIME_MAX: Duration = Duration::from_secs(2);

/// Where a call goes, and its bounds.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// With scheme and host; `http` or `https`.
    pub(crate) url: Uri,
    /// Whether loopback and private addresses are allowed. Those that hand out a machine's own credentials never
    /// are.
    pub(crate) allow_private: bool,
    /// From the start of the call to the end of its answer.
    pub(crate) timeout: Duration,
    /// Longest pause within an answer's body.
    pub(crate) idle: Duration,
    /// 0: only whether the other side took it is of interest, and its answer is not looked at beyond the head.
    pub(crate) response_bytes_max: usize,
}

/// Makes calls and keeps their connections. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Upstream {
    public: Pool,
    private: Pool,
}

type Pool = Client<HttpsConnector<Connector>, Full<Bytes>>;

impl Upstream {
    pub(crate) fn new() -> Self {
        Self::of(&tls::config(None).expect("what is compiled in can be trusted"))
    }

    /// Trusts the authorities whose certificates are given, in PEM, besides those that are compiled in.
    pub(crate) fn with_roots(pem: &[u8]) -> Result<Self, tls::Error> {
        Ok(Self::of(&tls::config(Some(pem))?))
    }

    fn of(tls: &ClientConfig) -> Self {
        Self { public: pool(tls, false), private: pool(tls, true) }
    }

    /// Sends the request to the target and reads the whole answer. Its address, and headers that belong to the
    /// connection, are the target's, whatever the request says.
    pub(crate) async fn call(
        &self,
        target: &Target,
        request: Request<Bytes>,
    ) -> Result<Response<Bytes>, Fault> {
        let (parts, body) = self.open(target, request).await?.into_parts();
        Ok(Response::from_parts(parts, body.whole().await?))
    }

    /// Sends the request to the target and returns as soon as the answer's headers are there and good. Dropping the
    /// stream closes the connection, which tells the other side to stop.
    pub(crate) async fn open(
        &self,
        target: &Target,
        request: Request<Bytes>,
    ) -> Result<Response<Stream>, Fault> {
        let host = host(&target.url);
        let opened = self.opened(target, &host, request).await;
        if let Err(fault) = &opened {
            tracing::debug!(event = "call-failed", %host, class = fault.class(), "a call ended in a fault");
        }
        opened
    }

    async fn opened(
        &self,
        target: &Target,
        host: &Arc<str>,
        request: Request<Bytes>,
    ) -> Result<Response<Stream>, Fault> {
        let deadline = Instant::now() + target.timeout.min(CALL_TIME_MAX);
        let request = prepared(target, host, request)?;
        let secrets = secrets(&target.url, request.headers());
        let pool = if target.allow_private { &self.private } else { &self.public };
        let response = match timeout_at(deadline, pool.request(request)).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(fault::of_client(host, &error)),
            Err(_) => return Err(Fault::Timeout { host: host.clone(), after: target.timeout }),
        };
        let (parts, body) = response.into_parts();
        if head_bytes(&parts.headers) > HEAD_BYTES_MAX {
            return Err(Fault::HeadersTooLarge { host: host.clone() });
        }
        let mut stream = Stream::new(Arc::clone(host), body, deadline, target);
        if parts.status.is_success() {
            if target.response_bytes_max > 0 {
                check(host, target, &parts.headers)?;
            }
            return Ok(Response::from_parts(parts, stream));
        }
        if parts.status.is_redirection() {
            return Err(redirected(host, parts.status, &parts.headers));
        }
        if !parts.status.is_client_error() && !parts.status.is_server_error() {
            return Err(Fault::Garbage { host: host.clone(), what: "a status that is none" });
        }
        let body = stream.start(REFUSAL_BYTES_MAX, REFUSAL_TIME_MAX).await;
        Err(Fault::Status {
            host: host.clone(),
            status: parts.status,
            retry_after: fault::retry_after(parts.status, &parts.headers, SystemTime::now()),
            body_excerpt: fault::excerpt(&body, &secrets),
        })
    }
}

fn pool(tls: &ClientConfig, may_private: bool) -> Pool {
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls.clone())
        .https_or_http()
        .enable_http1()
        .wrap_connector(Connector { may_private });
    Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_TIME_MAX)
        .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
        .http1_max_buf_size(HEAD_BYTES_MAX)
        .build(connector)
}

/// How a fault names the other side: its host, and its port if the address has one.
fn host(url: &Uri) -> Arc<str> {
    match (url.host(), url.port_u16()) {
        (Some(host), Some(port)) => format!("{host}:{port}").into(),
        (Some(host), None) => host.into(),
        (None, _) => "".into(),
    }
}

/// The request as it is sent. What frames a message and what belongs to one connection is not the caller's to say: a
/// second length or host would let a template smuggle a request into another one's connection.
fn prepared(
    target: &Target,
    host: &Arc<str>,
    request: Request<Bytes>,
) -> Result<Request<Full<Bytes>>, Fault> {
    const OWN: [header::HeaderName; 9] = [
        header::ACCEPT_ENCODING,
        header::CONNECTION,
        header::CONTENT_LENGTH,
        header::EXPECT,
        header::HOST,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
    ];
    let malformed = |why| Fault::Malformed { host: host.clone(), why };
    if !matches!(target.url.scheme_str(), Some("http" | "https")) || host.is_empty() {
        return Err(malformed("it is no address of http or https"));
    }
    if target.url.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err(malformed("it has a name or password in it"));
    }
    let (mut parts, body) = request.into_parts();
    if parts.method == hyper::Method::CONNECT {
        return Err(malformed("CONNECT asks for a tunnel"));
    }
    parts.uri = target.url.clone();
    parts.version = hyper::Version::HTTP_11;
    for name in OWN {
        parts.headers.remove(name);
    }
    parts.headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    Ok(Request::from_parts(parts, Full::new(body)))
}

/// What a refusal may echo and nobody may read: values that are marked, and the query.
fn secrets(url: &Uri, headers: &HeaderMap) -> Vec<Vec<u8>> {
    let marked = headers.values().filter(|value| value.is_sensitive()).map(HeaderValue::as_bytes);
    marked
        .flat_map(|value| [value, value.strip_prefix(b"Bearer ").unwrap_or(value)])
        .chain(url.query().map(str::as_bytes))
        .filter(|secret| !secret.is_empty())
        .map(<[u8]>::to_vec)
        .collect()
}

/// The connection reads no further than its buffer, which may have grown to twice the bound by then.
fn head_bytes(headers: &HeaderMap) -> usize {
    const AROUND: usize = ": \r\n".len();
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + AROUND).sum()
}

/// Whether the head promises what can be read.
fn check(host: &Arc<str>, target: &Target, headers: &HeaderMap) -> Result<(), Fault> {
    let is_encoded = headers.get(header::CONTENT_ENCODING).is_some_and(|value| value != "identity");
    if is_encoded {
        return Err(Fault::Garbage { host: host.clone(), what: "a compressed body, unasked" });
    }
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    let limit = target.response_bytes_max;
    match length.and_then(|text| text.parse::<u64>().ok()) {
        Some(length) if usize::try_from(length).is_ok_and(|length| length <= limit) => Ok(()),
        Some(_) => Err(Fault::TooLarge { host: host.clone(), limit }),
        None => Ok(()),
    }
}

fn redirected(host: &Arc<str>, status: StatusCode, headers: &HeaderMap) -> Fault {
    let to = headers.get(header::LOCATION).and_then(|value| value.to_str().ok());
    let to_host = to
        .and_then(|to| to.parse::<Uri>().ok())
        .map(|to| self::host(&to))
        .filter(|to| !to.is_empty())
        .unwrap_or_else(|| host.clone());
    Fault::Redirect { host: host.clone(), status, to_host }
}

#[cfg(test)]
mod tests;
