//! Connections: HTTP/1.1 with keep-alive, idle ones kept for the next request.
//!
//! The last connection that was given back is taken first, so that a lower load lets the others go stale and
//! be closed. A request that was never written to its connection (the server had closed it meanwhile) moves on
//! to another one; every other failure is the caller's to judge.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::HeaderValue;
use hyper::http::uri::PathAndQuery;
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::Error;
use crate::tls::{self, Trust};

/// Idle connections kept. More may be open at once; those above this are closed when their request is done.
const IDLE_MAX: usize = 512;
/// How long a connection may take to be made.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// Largest answer that is read.
const ANSWER_BYTES_MAX: usize = 256 << 20;

pub(crate) type Body = Full<Bytes>;

/// Open connections to one server.
#[derive(Debug)]
pub(crate) struct Transport {
    /// Host and port, to connect to.
    address: String,
    /// The same, as the header `Host`.
    host: HeaderValue,
    /// Path of the base URL without a slash at its end; usually empty.
    prefix: String,
    /// `None`: connections are in the clear.
    tls: Option<Secure>,
    idle: Mutex<Vec<SendRequest<Body>>>,
}

/// How secure connections are made.
struct Secure {
    connector: TlsConnector,
    /// Whose certificate the server has to show.
    server: ServerName<'static>,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Bytes,
}

impl std::fmt::Debug for Secure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secure").field("server", &self.server).finish_non_exhaustive()
    }
}

impl Transport {
    /// Checks the address; connects when it is first needed.
    pub(crate) fn new(url: &str, trust: &Trust) -> Result<Arc<Self>, Error> {
        const EXPECTED: &str = "expected http://HOST:PORT or https://HOST:PORT";
        let wrong = |expected| Error::Url { url: url.to_owned(), expected };
        let uri: Uri = url.parse().map_err(|_| wrong(EXPECTED))?;
        let host = uri.host().ok_or_else(|| wrong("the host is missing"))?;
        let (tls, port) = match uri.scheme_str() {
            Some("http") => (None, 80),
            Some("https") => {
                let name = host.trim_start_matches('[').trim_end_matches(']').to_owned();
                let server =
                    ServerName::try_from(name).map_err(|_| wrong("the host is malformed"))?;
                let connector = TlsConnector::from(trust.config());
                (Some(Secure { connector, server }), 443)
            }
            _ => return Err(wrong(EXPECTED)),
        };
        if uri.query().is_some() {
            return Err(wrong("a query has no place in it"));
        }
        let address = format!("{host}:{}", uri.port_u16().unwrap_or(port));
        let header = HeaderValue::from_str(&address).map_err(|_| wrong("the host is malformed"))?;
        let prefix = uri.path().trim_end_matches('/').to_owned();
        Ok(Arc::new(Self { address, host: header, prefix, tls, idle: Mutex::new(Vec::new()) }))
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) const fn host(&self) -> &HeaderValue {
        &self.host
    }

    pub(crate) fn url(&self, path: &str) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}{}{path}", self.address, self.prefix)
    }

    /// The target of a request: the base URL's path, then `path`, which is already escaped.
    pub(crate) fn target(&self, path: &str) -> Result<Uri, Error> {
        let full = if self.prefix.is_empty() {
            PathAndQuery::try_from(path)
        } else {
            PathAndQuery::try_from(format!("{}{path}", self.prefix))
        };
        full.map(Uri::from)
            .map_err(|_| Error::Url { url: self.url(path), expected: "the path is malformed" })
    }

    /// Sends a request and reads the whole answer.
    pub(crate) async fn send(
        &self,
        request: Request<Body>,
        within: Duration,
    ) -> Result<Answer, Error> {
        match timeout(within, self.exchange(request)).await {
            Ok(answer) => answer,
            Err(_) => Err(Error::Timeout { address: self.address.clone(), after: within }),
        }
    }

    async fn exchange(&self, request: Request<Body>) -> Result<Answer, Error> {
        let (sender, response) = self.begin(request).await?;
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| self.broken(&*error))?.to_bytes();
        self.give_back(sender);
        Ok(Answer { status: parts.status.as_u16(), body })
    }

    /// Sends a request whose answer goes on for long. Its connection is not used again.
    pub(crate) async fn open(
        &self,
        request: Request<Body>,
        within: Duration,
    ) -> Result<Response<Incoming>, Error> {
        match timeout(within, self.begin(request)).await {
            Ok(begun) => begun.map(|(_, response)| response),
            Err(_) => Err(Error::Timeout { address: self.address.clone(), after: within }),
        }
    }

    async fn begin(
        &self,
        mut request: Request<Body>,
    ) -> Result<(SendRequest<Body>, Response<Incoming>), Error> {
        loop {
            let (mut sender, reused) = match self.take_idle().await {
                Some(sender) => (sender, true),
                // Agreeing on keys takes much room, in each future that may come to it.
                None => (Box::pin(self.connect()).await?, false),
            };
            match sender.try_send_request(request).await {
                Ok(response) => return Ok((sender, response)),
                Err(mut failed) => match failed.take_message() {
                    Some(unsent) if reused => request = unsent,
                    _ => return Err(self.broken(failed.error())),
                },
            }
        }
    }

    async fn take_idle(&self) -> Option<SendRequest<Body>> {
        loop {
            let mut sender = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
            if !sender.is_closed() && sender.ready().await.is_ok() {
                return Some(sender);
            }
        }
    }

    fn give_back(&self, sender: SendRequest<Body>) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_MAX && !sender.is_closed() {
            idle.push(sender);
        }
    }

    async fn connect(&self) -> Result<SendRequest<Body>, Error> {
        let failed = |source| Error::Connect { address: self.address.clone(), source };
        let stream = match timeout(CONNECT_WITHIN, TcpStream::connect(&self.address)).await {
            Ok(stream) => stream.map_err(failed)?,
            Err(_) => return Err(failed(std::io::ErrorKind::TimedOut.into())),
        };
        stream.set_nodelay(true).map_err(failed)?;
        let Some(Secure { connector, server }) = &self.tls else { return self.speak(stream).await };
        let agreed = timeout(CONNECT_WITHIN, connector.connect(server.clone(), stream)).await;
        match agreed {
            Ok(Ok(stream)) => self.speak(stream).await,
            Ok(Err(error)) => {
                Err(Error::Tls { address: self.address.clone(), detail: tls::told(&error) })
            }
            Err(_) => Err(failed(std::io::ErrorKind::TimedOut.into())),
        }
    }

    async fn speak(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) -> Result<SendRequest<Body>, Error> {
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| self.broken(&error))?;
        // Ends by itself when the sender is dropped or the server hangs up; a failure reaches the request.
        tokio::spawn(connection);
        Ok(sender)
    }

    pub(crate) fn broken(&self, error: &dyn std::error::Error) -> Error {
        let mut detail = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            detail = format!("{detail}: {cause}");
            source = cause.source();
        }
        Error::Broken { address: self.address.clone(), detail }
    }
}
