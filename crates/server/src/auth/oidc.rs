//! People who sign in at an identity provider: whether a token is one of its, and what it says (OpenID Connect Core 1.0).
//!
//! The server takes tokens and nothing else of the provider's: it has no client secret, keeps no session and sends nobody
//! anywhere. Who may do what is said by keys that ask for a claim ([`SignIn`]); a token alone opens nothing.
//!
//! - A token counts if the configured issuer has signed it with a key that it publishes now, for this audience, and it is not
//!   over. Keys that both sides would have to know (HMAC), and none at all, are no signature.
//! - Published keys are fetched when a token needs one that is not known, one fetch at a time, for all that wait for it, and
//!   the next not before a few seconds, so that tokens of unknown keys cost the provider nothing. A fetch goes on when those
//!   who wait for it have gone. Keys are good for an hour, and while they are fetched anew or the provider does not answer for
//!   a day.

mod ring;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use fairlane_api::Code;
use fairlane_core::id::PersonId;
use fairlane_core::row::SignIn;
use fairlane_core::time::Span;
use hyper::body::Bytes;
use hyper::{Request, Uri};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::jwk::{Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, Header, Validation};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::config::Oidc;
use crate::problem::Refused;
use crate::upstream::{Target, Upstream};

/// Longest token that is looked at, in bytes.
const TOKEN_BYTES_MAX: usize = 16 * 1024;
/// Things that a token may say, lists taken apart; what is beyond is not looked at.
const CLAIMS_MAX: usize = 1_000;
/// Deepest object within a token whose members are looked at.
const DEPTH_MAX: usize = 4;
/// How long published keys are taken for what the provider publishes.
const FRESH: Duration = Duration::from_hours(1);
/// How long they are used while the provider does not answer.
const STALE_MAX: Duration = Duration::from_hours(24);
/// From the end of a fetch to the next one there is at least this.
const FETCH_EVERY: Duration = Duration::from_secs(5);
const FETCH_TIME_MAX: Duration = Duration::from_secs(5);
const FETCH_BYTES_MAX: usize = 1 << 20;
/// Published keys that are looked at.
const KEYS_MAX: usize = 100;
/// How far the clocks of the provider and of this server may be apart.
const LEEWAY_SECS: u64 = 60;

/// An identity provider, and the keys that it signs with.
#[derive(Debug)]
pub(crate) struct Provider {
    config: Oidc,
    upstream: Arc<Upstream>,
    known: RwLock<Option<Known>>,
    asked: Mutex<Asked>,
}

/// Whether published keys are asked for.
#[derive(Debug, Default)]
enum Asked {
    #[default]
    Never,
    /// Closed when that is over, whatever came of it.
    Now(watch::Receiver<()>),
    /// When it was over last.
    At(Instant),
}

/// The keys that were published.
#[derive(Debug)]
struct Known {
    keys: Vec<Published>,
    at: Instant,
}

#[derive(Clone, Debug)]
struct Published {
    id: Option<String>,
    /// The one algorithm that it is for, if that is said.
    algorithm: Option<Algorithm>,
    key: DecodingKey,
}

/// What a token says, signed by the provider.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Claims(BTreeMap<String, Vec<String>>);

/// The part of the provider's description that is used.
#[derive(Debug, Deserialize)]
struct Description {
    issuer: String,
    jwks_uri: String,
}

#[derive(Debug, Deserialize)]
struct KeySet {
    keys: Vec<Value>,
}

/// Whether a credential is meant as a token of an identity provider: three parts with dots between them.
pub(crate) fn is_token(credential: &str) -> bool {
    credential.split('.').count() == 3
}

impl Provider {
    pub(crate) fn new(config: Oidc, upstream: Arc<Upstream>) -> Self {
        ring::install();
        Self { config, upstream, known: RwLock::default(), asked: Mutex::default() }
    }

    pub(crate) const fn config(&self) -> &Oidc {
        &self.config
    }

    /// What the token says, if it is the provider's, for this server, and not over.
    pub(crate) async fn read(self: &Arc<Self>, token: &str) -> Result<Claims, Refused> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(invalid(&format!("it is longer than {TOKEN_BYTES_MAX} bytes")));
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| invalid("it is none"))?;
        if family(header.alg).is_none() {
            return Err(invalid("it is signed with a key that is no secret of the provider's"));
        }
        if header.crit.is_some() {
            return Err(invalid("it has to be understood in a way that this server does not know"));
        }
        if !header.typ.as_deref().is_none_or(is_of_people) {
            return Err(invalid("it is of a kind that says nothing of who signs in"));
        }
        let key = self.key(&header).await?;
        let mut validation = Validation::new(header.alg);
        validation.leeway = LEEWAY_SECS;
        validation.validate_nbf = true;
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation.set_issuer(&[&self.config.issuer]);
        validation.set_audience(&[&self.config.audience]);
        let decoded = jsonwebtoken::decode::<Map<String, Value>>(token, &key, &validation);
        match decoded {
            Ok(token) => Ok(Claims::of(&token.claims)),
            Err(error) => Err(invalid(match error.kind() {
                ErrorKind::ExpiredSignature => "its time is over: sign in again",
                ErrorKind::ImmatureSignature => "its time has not begun",
                ErrorKind::InvalidIssuer => "another provider has issued it",
                ErrorKind::InvalidAudience => "it is for somebody else",
                ErrorKind::MissingRequiredClaim(_) => {
                    "it has to say who has issued it, for whom, and until when"
                }
                ErrorKind::Json(_) | ErrorKind::Base64(_) | ErrorKind::Utf8(_) => {
                    "what it says cannot be read"
                }
                _ => "its signature is not the provider's",
            })),
        }
    }

    /// Who it is that has signed in.
    pub(crate) fn person(&self, claims: &Claims) -> Result<PersonId, Refused> {
        let claim = &self.config.person_claim;
        let Some([person]) = claims.0.get(claim).map(Vec::as_slice) else {
            let verified = if claim == "email" { ", or it is not verified" } else { "" };
            return Err(invalid(&format!("its `{claim}` names no person{verified}")));
        };
        person.parse().map_err(|error| invalid(&format!("its `{claim}` names no person: {error}")))
    }

    /// The key that a token was signed with.
    async fn key(self: &Arc<Self>, header: &Header) -> Result<DecodingKey, Refused> {
        if let Some(key) = self.find(header, FRESH) {
            return Ok(key);
        }
        if let Some(mut under_way) = self.ask() {
            // Who has a key that was good an hour ago does not wait for a slow provider.
            if let Some(key) = self.find(header, STALE_MAX) {
                return Ok(key);
            }
            // Nothing is sent.
            while under_way.changed().await.is_ok() {}
        }
        if let Some(key) = self.find(header, STALE_MAX) {
            return Ok(key);
        }
        if self.has_keys() {
            return Err(invalid("it is signed with a key that the provider does not publish"));
        }
        Err(Refused::new(Code::SignInUnavailable)
            .detail("the identity provider does not say what it signs with")
            .retry_after(Span::from_millis(FETCH_EVERY.as_millis().try_into().unwrap_or(u64::MAX))))
    }

    /// Asks for the published keys, or has a part in what is under way. `None`: it was just done.
    fn ask(self: &Arc<Self>) -> Option<watch::Receiver<()>> {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        match &*asked {
            Asked::Now(under_way) => return Some(under_way.clone()),
            Asked::At(at) if at.elapsed() < FETCH_EVERY => return None,
            Asked::At(_) | Asked::Never => {}
        }
        let (until, under_way) = watch::channel(());
        *asked = Asked::Now(under_way.clone());
        drop(asked);
        let over = Over { provider: self.clone(), _until: until };
        // Whoever asked may go away: that is no reason to keep others waiting.
        tokio::spawn(async move {
            match over.provider.fetch().await {
                Ok(keys) => over.provider.put(keys),
                Err(error) => {
                    let issuer = &over.provider.config.issuer;
                    tracing::warn!(event = "identity-keys-unread", %issuer, %error, "the identity provider's keys could not be read");
                }
            }
        });
        Some(under_way)
    }

    fn find(&self, header: &Header, age_max: Duration) -> Option<DecodingKey> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let known = known.as_ref().filter(|known| known.at.elapsed() < age_max)?;
        let fits = |key: &&Published| {
            Some(key.key.family()) == family(header.alg)
                && key.algorithm.is_none_or(|algorithm| algorithm == header.alg)
        };
        let mut fitting = known.keys.iter().filter(fits);
        let found = match &header.kid {
            Some(id) => fitting.find(|key| key.id.as_ref() == Some(id)),
            // One that is not named must be the only one.
            None => fitting.next().filter(|_| fitting.next().is_none()),
        };
        found.map(|found| found.key.clone())
    }

    fn has_keys(&self) -> bool {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.as_ref().is_some_and(|known| known.at.elapsed() < STALE_MAX)
    }

    fn put(&self, keys: Vec<Published>) {
        let known = Known { keys, at: Instant::now() };
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = Some(known);
    }

    /// Reads the provider's description, and the keys that it names.
    async fn fetch(&self) -> Result<Vec<Published>, String> {
        let issuer = &self.config.issuer;
        let at = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let description: Description = self.get(&at).await?;
        if description.issuer != *issuer {
            return Err(format!("it calls itself {}", description.issuer));
        }
        if !crate::config::is_trusted_url(&description.jwks_uri) {
            return Err("its keys are not at an address with TLS".to_owned());
        }
        let set: KeySet = self.get(&description.jwks_uri).await?;
        // What is not understood is for somebody else.
        let keys: Vec<_> =
            set.keys.into_iter().take(KEYS_MAX).filter_map(Published::read).collect();
        if keys.is_empty() { Err("it publishes no key to sign with".to_owned()) } else { Ok(keys) }
    }

    async fn get<T: DeserializeOwned>(&self, url: &str) -> Result<T, String> {
        let url: Uri = url.parse().map_err(|_| format!("{url} is no URL"))?;
        let target = Target {
            url,
            // The operator has named it.
            allow_private: true,
            timeout: FETCH_TIME_MAX,
            idle: FETCH_TIME_MAX,
            response_bytes_max: FETCH_BYTES_MAX,
        };
        let answer = self.upstream.call(&target, Request::new(Bytes::new())).await;
        let answer = answer.map_err(|fault| fault.to_string())?;
        serde_json::from_slice(answer.body()).map_err(|error| format!("{}: {error}", target.url))
    }
}

/// Says when asking is over, whatever came of it; before those who wait are told.
struct Over {
    provider: Arc<Provider>,
    _until: watch::Sender<()>,
}

impl Drop for Over {
    fn drop(&mut self) {
        let mut asked = self.provider.asked.lock().unwrap_or_else(PoisonError::into_inner);
        *asked = Asked::At(Instant::now());
    }
}

impl Published {
    fn read(key: Value) -> Option<Self> {
        let key: Jwk = serde_json::from_value(key).ok()?;
        let is_for_signatures =
            matches!(key.common.public_key_use, None | Some(PublicKeyUse::Signature));
        let algorithm = match key.common.key_algorithm {
            Some(named) => Some(named.to_string().parse().ok()?),
            None => None,
        };
        let read = DecodingKey::from_jwk(&key)
            .ok()
            .filter(|key| is_for_signatures && key.family() != AlgorithmFamily::Hmac)?;
        Some(Self { id: key.common.key_id, algorithm, key: read })
    }
}

impl Claims {
    fn of(token: &Map<String, Value>) -> Self {
        let mut claims = Self::default();
        let mut left = CLAIMS_MAX;
        claims.add("", token, (1, &mut left));
        // An address that nobody has verified is what somebody has typed.
        let is_verified = claims.0.get("email_verified").is_some_and(|is| is == &["true"]);
        if !is_verified {
            claims.0.remove("email");
        }
        claims
    }

    /// Members of objects are named by their path, with dots between.
    fn add(&mut self, path: &str, object: &Map<String, Value>, (depth, left): (usize, &mut usize)) {
        for (name, value) in object {
            // One without a name would be taken for one that is further out.
            if name.is_empty() {
                continue;
            }
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            match value {
                Value::Object(inner) if depth < DEPTH_MAX => {
                    self.add(&path, inner, (depth + 1, left));
                }
                Value::Array(values) => {
                    for value in values {
                        self.put(&path, value, left);
                    }
                }
                value => self.put(&path, value, left),
            }
        }
    }

    fn put(&mut self, path: &str, value: &Value, left: &mut usize) {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Bool(is) => is.to_string(),
            Value::Number(number) => number.to_string(),
            Value::Null | Value::Array(_) | Value::Object(_) => return,
        };
        if *left > 0 {
            *left -= 1;
            self.0.entry(path.to_owned()).or_default().push(text);
        }
    }

    /// Each thing that the token says.
    pub(crate) fn each(&self) -> impl Iterator<Item = SignIn> {
        self.0.iter().flat_map(|(claim, values)| {
            let of = |value: &String| SignIn {
                claim: claim.as_str().into(),
                value: value.as_str().into(),
            };
            values.iter().map(of)
        })
    }

    pub(crate) fn has(&self, asked: &SignIn) -> bool {
        let values = self.0.get(&*asked.claim);
        values.is_some_and(|values| values.iter().any(|value| **value == *asked.value))
    }
}

/// The kind of keys that an algorithm is for, if only who signs has the key.
fn family(algorithm: Algorithm) -> Option<AlgorithmFamily> {
    [AlgorithmFamily::Rsa, AlgorithmFamily::Ec, AlgorithmFamily::Ed]
        .into_iter()
        .find(|family| family.algorithms().contains(&algorithm))
}

/// Whether a token of this kind says who signs in: an ID token, which names none or the general one, or one for access. There
/// are others of the same provider's, such as those that say that somebody has signed out.
fn is_of_people(kind: &str) -> bool {
    let kind = kind.to_ascii_lowercase();
    matches!(kind.strip_prefix("application/").unwrap_or(&kind), "jwt" | "at+jwt")
}

fn invalid(why: &str) -> Refused {
    Refused::new(Code::Unauthenticated).detail(format!("the token is not valid: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The second example of RFC 7515 (A.2): RS256, with its key.
    const TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.\
        eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.\
        cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujG\
        bds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0G\
        arZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgG\
        Y9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
    const MODULUS: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qP\
        CJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63k\
        paSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJ\
        H7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";

    #[test]
    fn a_published_signature_is_that_of_its_key_and_a_changed_one_is_not() {
        ring::install();
        let key = Published::read(serde_json::json!({ "kty": "RSA", "n": MODULUS, "e": "AQAB" }));
        let key = key.unwrap().key;
        let mut validation = Validation::new(Algorithm::RS256);
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        let read = |token: &str| {
            jsonwebtoken::decode::<Map<String, Value>>(token, &key, &validation)
                .map(|read| read.claims)
        };
        assert_eq!(read(TOKEN).unwrap()["iss"], "joe");
        for changed in
            [TOKEN.replacen("eyJpc3MiOiJqb2Ui", "eyJpc3MiOiJqb2Ii", 1), TOKEN.replace("Rw", "RA")]
        {
            assert!(changed != TOKEN && read(&changed).is_err(), "{changed}");
        }
    }

    #[test]
    fn keys_that_are_no_ones_alone_or_not_for_signatures_are_not_taken() {
        let shared = serde_json::json!({ "kty": "oct", "k": "AAAA" });
        let sealing = serde_json::json!({ "kty": "RSA", "n": MODULUS, "e": "AQAB", "use": "enc" });
        let later = serde_json::json!({ "kty": "AKP", "alg": "ML-DSA-44", "pub": "AAAA" });
        for key in [shared, sealing, later, serde_json::json!(7)] {
            assert!(Published::read(key.clone()).is_none(), "{key}");
        }
    }

    #[test]
    fn lists_and_members_of_objects_are_taken_apart_and_bounded() {
        let said = serde_json::json!({
            "groups": ["a", "b", ["c"], null], "": { "groups": ["inner"] }, "realm": { "roles": ["x"] }, "level": 3,
            "email": "ada@acme.example", "many": vec!["y"; 2 * CLAIMS_MAX],
        });
        let claims = Claims::of(said.as_object().unwrap());
        let has = |claim: &str, value: &str| {
            claims.has(&SignIn { claim: claim.into(), value: value.into() })
        };
        assert!(!has("groups", "inner"), "a member without a name is not further out");
        assert!(has("groups", "b") && has("realm.roles", "x") && has("level", "3"));
        assert!(!has("groups", "c") && !has("email", "ada@acme.example") && !has("realm", "x"));
        assert!(claims.each().count() <= CLAIMS_MAX);
    }
}
