//! The client: one server, one API key, and how a call is sent, tried again and read.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use fairlane_api::Problem;
use hyper::header::{
    ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderName, HeaderValue,
};
use hyper::{Method, Request};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::retry::{Backoff, random_u64};
use crate::tls::Trust;
use crate::transport::{Answer, Body, Transport};
use crate::{Error, RetryPolicy};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const KEY_MEANT: HeaderName = HeaderName::from_static("x-fairlane-key");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// Bound on a call, beyond what it asked the server to wait.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// A client of one server. Clones share their connections and are cheap.
///
/// ```no_run
/// # async fn example() -> Result<(), fairlane_client::Error> {
/// use fairlane_client::{Client, RetryPolicy};
///
/// let client = Client::new("http://127.0.0.1:7420", "fl_...")?;
/// let health = client.health().await?;
/// assert_eq!(health.status, "ok");
///
/// // One that leaves trying again to its caller:
/// let impatient = client.with_retry(RetryPolicy::NEVER);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Client {
    transport: Arc<Transport>,
    authorization: HeaderValue,
    /// Which key of somebody is meant who has several.
    meant: Option<HeaderValue>,
    keys: Arc<KeySource>,
    retry: RetryPolicy,
    answer_within: Duration,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("address", &self.transport.address()).finish_non_exhaustive()
    }
}

impl Client {
    /// A client of the server at `url` (such as `http://127.0.0.1:7420`) with an API key, or the token of somebody who has
    /// signed in. Connects when it is first used.
    ///
    /// # Errors
    /// If the URL or the key is malformed.
    ///
    /// ```
    /// use fairlane_client::{Client, Error};
    ///
    /// assert!(Client::new("http://127.0.0.1:7420", "fl_...").is_ok());
    /// assert!(matches!(Client::new("127.0.0.1", "fl_..."), Err(Error::Url { .. })));
    /// ```
    pub fn new(url: &str, key: &str) -> Result<Self, Error> {
        Self::trusting(url, key, &Trust::default())
    }

    /// The same for a server whose certificate leads to an authority of one's own.
    ///
    /// # Errors
    /// If the URL or the key is malformed.
    pub fn trusting(url: &str, key: &str, trust: &Trust) -> Result<Self, Error> {
        let mut authorization =
            HeaderValue::from_str(&format!("Bearer {}", key.trim())).map_err(|_| Error::Key)?;
        authorization.set_sensitive(true);
        Ok(Self {
            transport: Transport::new(url, trust)?,
            authorization,
            meant: None,
            keys: Arc::new(KeySource::default()),
            retry: RetryPolicy::default(),
            answer_within: ANSWER_WITHIN,
        })
    }

    /// The same client of somebody who has signed in and has several keys: this one is meant, by its id.
    ///
    /// # Errors
    /// If the id is malformed.
    pub fn with_key(&self, id: &str) -> Result<Self, Error> {
        let meant = HeaderValue::from_str(id.trim()).map_err(|_| Error::Key)?;
        Ok(Self { meant: Some(meant), ..self.clone() })
    }

    /// The same client with other bounds on trying again.
    #[must_use]
    pub fn with_retry(&self, retry: RetryPolicy) -> Self {
        Self { retry, ..self.clone() }
    }

    /// The same client with another bound on a single try (30 s by default). What a call asks the server to wait
    /// comes on top.
    #[must_use]
    pub fn with_timeout(&self, answer_within: Duration) -> Self {
        Self { answer_within, ..self.clone() }
    }

    /// Host and port of the server.
    pub fn address(&self) -> &str {
        self.transport.address()
    }

    /// The base URL to call models at, as clients of OpenAI's API do.
    ///
    /// ```
    /// let client = fairlane_client::Client::new("http://127.0.0.1:7420/", "fl_...").unwrap();
    /// assert_eq!(client.gateway_url(), "http://127.0.0.1:7420/v1");
    /// ```
    pub fn gateway_url(&self) -> String {
        self.transport.url("/v1")
    }

    /// An idempotency key that no other call has.
    pub fn new_idempotency_key(&self) -> String {
        self.keys.next()
    }

    /// Sends a call, again where that is allowed, and reads its answer as `T`.
    pub(crate) async fn call<T: DeserializeOwned>(&self, call: Call<'_>) -> Result<T, Error> {
        let answer = self.execute(&call).await?;
        serde_json::from_slice(&answer.body).map_err(|error| Error::Answer {
            call: call.to_string(),
            status: answer.status,
            detail: error.to_string(),
        })
    }

    /// The same for calls whose answer has no body or is no JSON.
    pub(crate) async fn call_raw(&self, call: Call<'_>) -> Result<Bytes, Error> {
        Ok(self.execute(&call).await?.body)
    }

    async fn execute(&self, call: &Call<'_>) -> Result<Answer, Error> {
        let mut backoff = Backoff::new(self.retry);
        loop {
            let error = match self.attempt(call).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let again = error.had_no_effect()
                || (call.resend == Resend::Harmless && error.is_unavailable());
            if !again {
                return Err(error);
            }
            match backoff.next(error.retry_after()) {
                Some(wait) => tokio::time::sleep(wait).await,
                None => return Err(error),
            }
        }
    }

    async fn attempt(&self, call: &Call<'_>) -> Result<Answer, Error> {
        let request = self.request(call)?;
        let within = self.answer_within.saturating_add(call.waits);
        let answer = self.transport.send(request, within).await?;
        if (200..300).contains(&answer.status) {
            return Ok(answer);
        }
        Err(refusal(call, answer.status, &answer.body))
    }

    pub(crate) fn request(&self, call: &Call<'_>) -> Result<Request<Body>, Error> {
        let body = call.body.clone().unwrap_or_default();
        let length = body.len();
        let mut request = Request::new(Body::new(body));
        *request.method_mut() = call.method.clone();
        *request.uri_mut() = self.transport.target(&call.path)?;
        let headers = request.headers_mut();
        headers.insert(HOST, self.transport.host().clone());
        headers.insert(AUTHORIZATION, self.authorization.clone());
        if let Some(meant) = &self.meant {
            headers.insert(KEY_MEANT, meant.clone());
        }
        if let Some(accept) = call.accept {
            headers.insert(ACCEPT, HeaderValue::from_static(accept));
        }
        if call.body.is_some() {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
            headers.insert(CONTENT_TYPE, call.media_type.map_or(JSON, HeaderValue::from_static));
        }
        if let Some(key) = call.idempotency_key {
            let key = HeaderValue::from_str(key).map_err(|_| Error::Key)?;
            headers.insert(IDEMPOTENCY_KEY, key);
        }
        Ok(request)
    }

    pub(crate) fn transport(&self) -> &Arc<Transport> {
        &self.transport
    }

    pub(crate) const fn retry(&self) -> RetryPolicy {
        self.retry
    }

    pub(crate) const fn answer_within(&self) -> Duration {
        self.answer_within
    }
}

/// Reads the answer to a call that was refused.
pub(crate) fn refusal(call: &Call<'_>, status: u16, body: &[u8]) -> Error {
    match serde_json::from_slice::<Problem>(body) {
        Ok(problem) => Error::Problem(Box::new(problem)),
        Err(_) => Error::Answer {
            call: call.to_string(),
            status,
            detail: "it is not a problem document".to_owned(),
        },
    }
}

/// Whether a call may be sent again when nobody knows if it took effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resend {
    Harmless,
    Never,
}

/// One call of a route.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) body: Option<Bytes>,
    /// JSON if absent.
    pub(crate) media_type: Option<&'static str>,
    pub(crate) accept: Option<&'static str>,
    pub(crate) idempotency_key: Option<&'a str>,
    pub(crate) resend: Resend,
    /// How long the server is asked to wait with its answer.
    pub(crate) waits: Duration,
}

impl<'a> Call<'a> {
    /// A call without a body; other methods than `POST` are harmless to send again.
    pub(crate) fn new(method: Method, path: String) -> Self {
        let resend = if method == Method::POST { Resend::Never } else { Resend::Harmless };
        Self {
            method,
            path,
            body: None,
            media_type: None,
            accept: None,
            idempotency_key: None,
            resend,
            waits: Duration::ZERO,
        }
    }

    pub(crate) fn get(path: String) -> Self {
        Self::new(Method::GET, path)
    }

    pub(crate) fn post(path: String) -> Self {
        Self::new(Method::POST, path)
    }

    pub(crate) fn put(path: String) -> Self {
        Self::new(Method::PUT, path)
    }

    pub(crate) fn json(mut self, body: &(impl Serialize + ?Sized)) -> Result<Self, Error> {
        self.body = Some(serde_json::to_vec(body)?.into());
        Ok(self)
    }

    pub(crate) fn text(mut self, body: impl Into<Bytes>, media_type: &'static str) -> Self {
        self.body = Some(body.into());
        self.media_type = Some(media_type);
        self
    }

    /// The server knows a call with this key again, so that it may be repeated.
    pub(crate) const fn keyed(mut self, key: &'a str) -> Self {
        self.idempotency_key = Some(key);
        self.resend = Resend::Harmless;
        self
    }

    /// The request itself makes sure that twice is like once.
    pub(crate) const fn harmless(mut self) -> Self {
        self.resend = Resend::Harmless;
        self
    }

    pub(crate) const fn waits(mut self, waits: Duration) -> Self {
        self.waits = waits;
        self
    }
}

impl fmt::Display for Call<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

/// A path whose variable parts are escaped, and a query from the parameters that are set.
#[derive(Debug)]
pub(crate) struct Path(String);

impl Path {
    /// `segments` are joined by `/`; each is escaped.
    pub(crate) fn new(segments: &[&str]) -> Self {
        let mut path = String::with_capacity(64);
        for segment in segments {
            path.push('/');
            escape(segment, &mut path);
        }
        Self(path)
    }

    /// Appends a suffix that needs no escape, such as `:batch`.
    pub(crate) fn suffix(mut self, suffix: &'static str) -> Self {
        self.0.push_str(suffix);
        self
    }

    pub(crate) fn query(mut self, name: &'static str, value: Option<impl fmt::Display>) -> Self {
        if let Some(value) = value {
            self.0.push(if self.0.contains('?') { '&' } else { '?' });
            self.0.push_str(name);
            self.0.push('=');
            escape(&value.to_string(), &mut self.0);
        }
        self
    }

    pub(crate) fn into_string(self) -> String {
        self.0
    }
}

/// Everything but RFC 3986's unreserved characters is escaped.
pub(crate) fn escape(text: &str, to: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            to.push(char::from(byte));
        } else {
            to.push('%');
            to.push(char::from(DIGITS[usize::from(byte >> 4)]));
            to.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
}

/// Keys unique to the process by random bits and to the call by a count: one call, no system call.
#[derive(Debug)]
struct KeySource {
    prefix: String,
    next: AtomicU64,
}

impl Default for KeySource {
    fn default() -> Self {
        let prefix = format!("{:016x}{:016x}", random_u64(), random_u64());
        Self { prefix, next: AtomicU64::new(0) }
    }
}

impl KeySource {
    fn next(&self) -> String {
        format!("{}-{}", self.prefix, self.next.fetch_add(1, Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_typed_cannot_leave_its_segment() {
        let path = Path::new(&["v1", "tenants", "a/../b?c", "runs"]).suffix(":batch");
        assert_eq!(path.into_string(), "/v1/tenants/a%2F..%2Fb%3Fc/runs:batch");
    }

    #[test]
    fn a_query_has_the_parameters_that_are_set() {
        let path = Path::new(&["v1"])
            .query("limit", Some(5))
            .query("cursor", None::<&str>)
            .query("workflow", Some("a&b"));
        assert_eq!(path.into_string(), "/v1?limit=5&workflow=a%26b");
    }

    #[test]
    fn a_key_does_not_show_in_debug_output() {
        let client = Client::new("http://localhost:1", "fl_secret").unwrap();
        assert!(!format!("{client:?}").contains("secret"));
    }

    #[test]
    fn generated_idempotency_keys_differ() {
        let client = Client::new("http://localhost:1", "k").unwrap();
        let other = client.with_retry(RetryPolicy::NEVER);
        assert_ne!(client.new_idempotency_key(), other.new_idempotency_key());
    }

    #[test]
    fn malformed_addresses_are_refused() {
        for url in ["", "localhost", "https://", "ftp://x", "http://x/?q=1", "http://"] {
            assert!(matches!(Client::new(url, "k"), Err(Error::Url { .. })), "{url}");
        }
    }
}
