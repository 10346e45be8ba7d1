//! How a person signs in from a command line: the device authorization grant (RFC 8628), at the identity provider that the
//! server names. The person agrees in a browser, on this machine or another one.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fairlane_api::key::{IdentityProvider, SignInAt};
use hyper::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, Uri};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::client::escape;
use crate::tls::Trust;
use crate::transport::{Answer, Body, Transport};
use crate::{Client, Error};

const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// What RFC 8628 says where the provider says nothing.
const INTERVAL_SECS: u64 = 5;
/// A provider that says nothing sensible is not asked more often, and is asked at all.
const INTERVAL_MIN: Duration = Duration::from_millis(200);
const INTERVAL_MAX: Duration = Duration::from_mins(1);
/// Nobody waits for longer, whatever the provider says.
const WAIT_MAX: Duration = Duration::from_hours(1);
/// How much slower to ask once the provider has said so (RFC 8628, 3.5).
const SLOWER: Duration = Duration::from_secs(5);
const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// Somebody who is to agree. It leads to a credential: `Debug` does not show the device's code.
pub struct Pending {
    client_id: String,
    token_endpoint: String,
    trust: Trust,
    device: Device,
}

#[derive(Deserialize)]
struct Device {
    #[serde(rename = "device_code")]
    code: String,
    user_code: String,
    verification_uri: String,
    verification_uri_complete: Option<String>,
    expires_in: u64,
    interval: Option<u64>,
}

/// What somebody has who has signed in. It is a credential: `Debug` does not show it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedIn {
    /// What a [`Client`] takes in the place of an API key.
    pub token: String,
    /// When it is over, as Unix time in seconds.
    pub expires_at: u64,
    /// What a new one is had with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<String>,
    pub client_id: String,
    pub token_endpoint: String,
}

#[derive(Debug, Deserialize)]
struct Description {
    issuer: String,
    device_authorization_endpoint: Option<String>,
    token_endpoint: String,
}

#[derive(Deserialize)]
struct Tokens {
    id_token: Option<String>,
    refresh_token: Option<String>,
    expires_in: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct Refusal {
    error: String,
    error_description: Option<String>,
}

impl Client {
    /// Where people sign in; `None`: nowhere, there are API keys only.
    pub async fn identity_provider(&self) -> Result<Option<IdentityProvider>, Error> {
        let at: SignInAt = self.get(&["v1", "sign-in"]).await?;
        Ok(at.provider)
    }
}

impl Pending {
    /// Asks the provider for a code that a person then agrees to.
    ///
    /// # Errors
    /// If the provider cannot be reached, or does not do this.
    pub async fn begin(provider: &IdentityProvider, trust: &Trust) -> Result<Self, Error> {
        let issuer = &provider.issuer;
        let at = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let description: Description = read(&send(Method::GET, &at, None, trust).await?, &at)?;
        if description.issuer != *issuer {
            let why = format!("{issuer} calls itself {}", description.issuer);
            return Err(Error::SignIn { why });
        }
        let endpoint = description.device_authorization_endpoint.ok_or_else(|| Error::SignIn {
            why: format!("{issuer} does not let people sign in from a command line (RFC 8628)"),
        })?;
        let asked = [("client_id", &*provider.client_id), ("scope", &*provider.scopes)];
        let device = read(&send(Method::POST, &endpoint, Some(&asked), trust).await?, &endpoint)?;
        let (client_id, trust) = (provider.client_id.clone(), trust.clone());
        Ok(Self { client_id, token_endpoint: description.token_endpoint, trust, device })
    }

    /// Where the person goes.
    pub fn address(&self) -> &str {
        let Device { verification_uri_complete: complete, verification_uri, .. } = &self.device;
        complete.as_deref().unwrap_or(verification_uri)
    }

    /// What the person is to see there, or to type.
    pub fn user_code(&self) -> &str {
        &self.device.user_code
    }

    /// Waits until the person has agreed, or it is too late.
    ///
    /// # Errors
    /// If the person does not agree in time, or the provider gives no token.
    pub async fn wait(self) -> Result<SignedIn, Error> {
        let wait = Duration::from_secs(self.device.expires_in).min(WAIT_MAX);
        let until = tokio::time::Instant::now() + wait;
        let interval = self.device.interval.unwrap_or(INTERVAL_SECS);
        let mut interval = Duration::from_secs(interval).clamp(INTERVAL_MIN, INTERVAL_MAX);
        loop {
            if tokio::time::Instant::now() >= until {
                return Err(Error::SignIn { why: "nobody agreed in time".to_owned() });
            }
            tokio::time::sleep_until(until.min(tokio::time::Instant::now() + interval)).await;
            let asked = [
                ("grant_type", DEVICE_GRANT),
                ("device_code", &*self.device.code),
                ("client_id", &*self.client_id),
            ];
            let at = &self.token_endpoint;
            let sent = send(Method::POST, at, Some(&asked), &self.trust).await;
            let is_away = match &sent {
                Ok(answer) => answer.status >= 500,
                Err(error) => error.is_unavailable(),
            };
            // It may be back before the person has agreed (RFC 8628, 3.5).
            if is_away {
                interval = (interval * 2).min(INTERVAL_MAX);
                continue;
            }
            let answer = sent?;
            match serde_json::from_slice::<Refusal>(&answer.body) {
                Ok(refusal) if refusal.error == "authorization_pending" => {}
                Ok(refusal) if refusal.error == "slow_down" => interval += SLOWER,
                _ => {
                    let of = (self.client_id.clone(), self.token_endpoint.clone());
                    return SignedIn::of(read(&answer, at)?, of, None);
                }
            }
        }
    }
}

impl SignedIn {
    /// Whether it is over, or about to be.
    pub fn is_over(&self) -> bool {
        const ABOUT: u64 = 30;
        self.expires_at <= now() + ABOUT
    }

    /// Asks for a new token, without the person.
    ///
    /// # Errors
    /// If the provider wants the person to sign in again.
    pub async fn renewed(&self, trust: &Trust) -> Result<Self, Error> {
        let refresh = self
            .refresh_token
            .as_deref()
            .ok_or_else(|| Error::SignIn { why: "the time is over".to_owned() })?;
        let asked = [
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh),
            ("client_id", &*self.client_id),
        ];
        let at = &self.token_endpoint;
        let answer = send(Method::POST, at, Some(&asked), trust).await?;
        let of = (self.client_id.clone(), self.token_endpoint.clone());
        Self::of(read(&answer, at)?, of, self.refresh_token.clone())
    }

    fn of(
        tokens: Tokens,
        (client_id, token_endpoint): (String, String),
        refresh_token: Option<String>,
    ) -> Result<Self, Error> {
        let why = || "the provider gave no ID token: the scope `openid` is needed".to_owned();
        let token = tokens.id_token.ok_or_else(|| Error::SignIn { why: why() })?;
        // What the token says itself is what the server goes by; what stands beside it is about another one, if at all.
        let expires_at = expiry(&token).unwrap_or_else(|| now() + tokens.expires_in.unwrap_or(0));
        let refresh_token = tokens.refresh_token.or(refresh_token);
        Ok(Self { token, expires_at, refresh_token, client_id, token_endpoint })
    }
}

impl std::fmt::Debug for Pending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Pending");
        shown.field("address", &self.address()).field("user_code", &self.user_code());
        shown.finish_non_exhaustive()
    }
}

impl std::fmt::Debug for SignedIn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SignedIn").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

/// When a token says that it is over. Nobody trusts it here: the server does the checking.
fn expiry(token: &str) -> Option<u64> {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    #[derive(Deserialize)]
    struct Claims {
        exp: u64,
    }
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    Some(serde_json::from_slice::<Claims>(&claims).ok()?.exp)
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Whether nobody between could read what is sent there: by TLS, or within this machine.
pub fn is_private(url: &Uri) -> bool {
    let is_here = matches!(url.host(), Some("localhost" | "127.0.0.1" | "[::1]"));
    is_here || url.scheme_str() == Some("https")
}

/// Sends a form, or asks for what is there.
async fn send(
    method: Method,
    url: &str,
    form: Option<&[(&str, &str)]>,
    trust: &Trust,
) -> Result<Answer, Error> {
    let wrong = |expected| Error::Url { url: url.to_owned(), expected };
    let parsed: Uri = url.parse().map_err(|_| wrong("expected a URL"))?;
    if !is_private(&parsed) {
        return Err(wrong("expected TLS: what is sent there is a credential"));
    }
    let origin = format!(
        "{}://{}",
        parsed.scheme_str().unwrap_or_default(),
        parsed.authority().map_or("", |authority| authority.as_str())
    );
    let transport = Transport::new(&origin, trust)?;
    let mut body = String::new();
    for (name, value) in form.unwrap_or_default() {
        if !body.is_empty() {
            body.push('&');
        }
        body.push_str(name);
        body.push('=');
        escape(value, &mut body);
    }
    let length = body.len();
    let mut request = Request::new(Body::from(body));
    *request.method_mut() = method;
    *request.uri_mut() =
        transport.target(parsed.path_and_query().map_or("/", |path| path.as_str()))?;
    let headers = request.headers_mut();
    headers.insert(HOST, transport.host().clone());
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    if form.is_some() {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        headers.insert(CONTENT_TYPE, form);
    }
    transport.send(request, ANSWER_WITHIN).await
}

fn read<T: DeserializeOwned>(answer: &Answer, url: &str) -> Result<T, Error> {
    if let Ok(Refusal { error, error_description }) = serde_json::from_slice(&answer.body) {
        let why = error_description.map_or(error.clone(), |said| format!("{said} ({error})"));
        return Err(Error::SignIn { why });
    }
    if !(200..300).contains(&answer.status) {
        return Err(Error::SignIn { why: format!("{url} answered with status {}", answer.status) });
    }
    serde_json::from_slice(&answer.body).map_err(|error| Error::SignIn {
        why: format!("what {url} answered cannot be read: {error}"),
    })
}
