//! Requests as they are written, and answers as they came: one connection, nothing repeated, nothing read into
//! types, since a difference may be in any byte.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use fairlane_client::{Error, Trust};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::Method;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longest that one answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// Largest answer that is read.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// What differs between any two answers: when, and which one.
const HEADERS_LEFT_OUT: [&str; 4] = ["date", "x-request-id", "request-id", "traceresponse"];

/// A request, before the ids in it are known to belong to anyone.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) method: Method,
    /// Path and query.
    pub(super) target: String,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Option<String>,
}

/// An answer without what differs between any two.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: String,
}

/// Where the server is, and whom a secure connection trusts.
#[derive(Clone, Debug)]
pub(super) struct Base {
    /// `http://HOST:PORT` or `https://HOST:PORT`, and perhaps a path.
    pub(super) url: String,
    pub(super) trust: Trust,
}

/// A connection to the server, made when it is first needed and again when it broke.
pub(super) struct Wire {
    address: String,
    prefix: String,
    /// `None`: in the clear.
    trust: Option<Trust>,
    open: Option<SendRequest<Full<Bytes>>>,
}

impl Wire {
    pub(super) fn new(base: &Base) -> anyhow::Result<Self> {
        let (trust, rest) = match base.url.split_once("://") {
            Some(("http", rest)) => (None, rest),
            Some(("https", rest)) => (Some(base.trust.clone()), rest),
            _ => bail!("expected http://HOST:PORT or https://HOST:PORT"),
        };
        let (address, prefix) = rest
            .split_once('/')
            .map_or((rest, String::new()), |(at, path)| (at, format!("/{path}")));
        let prefix = prefix.trim_end_matches('/').to_owned();
        Ok(Self { address: address.to_owned(), prefix, trust, open: None })
    }

    /// Sends a request with a key and reads the answer to its end; of a stream of events only the beginning.
    pub(super) async fn ask(
        &mut self,
        request: &Request,
        key: Option<&str>,
    ) -> anyhow::Result<(Answer, Duration)> {
        let mut sender = match self.reopen().await {
            Some(open) => open,
            None => self.connect().await?,
        };
        let built = self.build(request, key)?;
        let began = Instant::now();
        let read = async {
            let response = sender.send_request(built).await?;
            let (parts, body) = response.into_parts();
            let headers: BTreeMap<String, String> = parts
                .headers
                .iter()
                .filter(|(name, _)| !HEADERS_LEFT_OUT.contains(&name.as_str()))
                .map(|(name, value)| {
                    (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
                })
                .collect();
            let is_stream = headers
                .get("content-type")
                .is_some_and(|kind| kind.starts_with("text/event-stream"));
            let body = if is_stream { first(body).await? } else { whole(body).await? };
            let took = began.elapsed();
            let body = String::from_utf8_lossy(&body).into_owned();
            anyhow::Ok((Answer { status: parts.status.as_u16(), headers, body }, took, is_stream))
        };
        let named = || format!("{} {} was not answered", request.method, request.target);
        let read = match timeout(ANSWER_WITHIN, read).await {
            Ok(Ok(read)) => read,
            Ok(Err(error)) => return Err(self.broken(&format!("{error:#}"))).with_context(named),
            Err(_) => return Err(self.broken("it took too long")).with_context(named),
        };
        let (answer, took, is_stream) = read;
        self.open = (!is_stream).then_some(sender);
        Ok((answer, took))
    }

    /// The connection of the request before, if it is still there.
    async fn reopen(&mut self) -> Option<SendRequest<Full<Bytes>>> {
        let mut open = self.open.take()?;
        open.ready().await.ok().map(|()| open)
    }

    async fn connect(&self) -> anyhow::Result<SendRequest<Full<Bytes>>> {
        let failed = |source| Error::Connect { address: self.address.clone(), source };
        let stream = TcpStream::connect(&self.address).await.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        let Some(trust) = &self.trust else { return self.speak(stream).await };
        let host = self.address.rsplit_once(':').map_or(&*self.address, |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']');
        self.speak(Box::pin(trust.secure(host, stream)).await?).await
    }

    async fn speak(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) -> anyhow::Result<SendRequest<Full<Bytes>>> {
        let shaken = handshake(TokioIo::new(stream)).await;
        let (sender, connection) = shaken.map_err(|error| self.broken(&error.to_string()))?;
        // Ends by itself when the sender is dropped or the server hangs up; a failure reaches the request.
        tokio::spawn(connection);
        Ok(sender)
    }

    fn broken(&self, detail: &str) -> Error {
        Error::Broken { address: self.address.clone(), detail: detail.to_owned() }
    }

    fn build(
        &self,
        request: &Request,
        key: Option<&str>,
    ) -> anyhow::Result<hyper::Request<Full<Bytes>>> {
        let target = format!("{}{}", self.prefix, request.target);
        let mut builder = hyper::Request::builder().method(request.method.clone()).uri(target);
        builder = builder.header("host", &self.address);
        if let Some(key) = key {
            builder = builder.header("authorization", format!("Bearer {key}"));
        }
        for (name, value) in &request.headers {
            builder = builder.header(*name, value);
        }
        if request.body.is_some() {
            builder = builder.header("content-type", "application/json");
        }
        let body = request.body.clone().unwrap_or_default();
        Ok(builder.body(Full::new(Bytes::from(body)))?)
    }
}

async fn whole(body: Incoming) -> anyhow::Result<Bytes> {
    match Limited::new(body, ANSWER_BYTES_MAX).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) => bail!("{error}"),
    }
}

async fn first(mut body: Incoming) -> anyhow::Result<Bytes> {
    match body.frame().await {
        Some(frame) => Ok(frame?.into_data().unwrap_or_default()),
        None => Ok(Bytes::new()),
    }
}
