//! An identity provider that vouches for whom a test names: as much of OpenID Connect and of the device authorization grant
//! (RFC 8628) as a server and a command line of Fairlane use.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::http::{self, Received};

/// Whom its tokens are for, unless a test says otherwise.
pub const AUDIENCE: &str = "fairlane";

/// A running identity provider. It ends when this is dropped.
#[derive(Debug)]
pub struct IdentityProvider {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    accepting: JoinHandle<()>,
}

/// What tokens are signed with.
#[derive(Debug, Clone)]
pub struct Signer {
    pub id: String,
    kind: Arc<Kind>,
}

#[derive(Debug)]
enum Kind {
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

#[derive(Debug)]
struct State {
    issuer: String,
    published: Vec<Signer>,
    fetched: usize,
    is_down: bool,
    /// Keys are not given until it is over.
    holds: watch::Sender<bool>,
    /// What is said of who agrees to a device's code, once somebody has.
    agreed: Option<Value>,
    /// How often a device has asked in vain.
    asked: usize,
}

impl IdentityProvider {
    /// Listens on 127.0.0.1 and publishes one key, for ES256.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(Mutex::new(State {
            issuer: format!("http://{address}"),
            published: vec![Signer::ecdsa("first")],
            fetched: 0,
            is_down: false,
            holds: watch::Sender::new(false),
            agreed: None,
            asked: 0,
        }));
        let accepting = tokio::spawn(accept(listener, state.clone()));
        Ok(Self { address, state, accepting })
    }

    pub fn issuer(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Publishes these keys from now on, and no others.
    pub fn publish(&self, signers: &[Signer]) {
        self.state().published = signers.to_vec();
    }

    /// The first of the published keys.
    pub fn signer(&self) -> Signer {
        self.state().published[0].clone()
    }

    /// How often its keys were read.
    pub fn fetched(&self) -> usize {
        self.state().fetched
    }

    /// Whether it answers everything with a failure.
    pub fn set_down(&self, is_down: bool) {
        self.state().is_down = is_down;
    }

    /// Whether it keeps those who ask for its keys waiting.
    pub fn set_hold(&self, holds: bool) {
        self.state().holds.send_replace(holds);
    }

    /// Calls itself something else.
    pub fn set_issuer(&self, issuer: &str) {
        issuer.clone_into(&mut self.state().issuer);
    }

    /// What it says of somebody for the next hour.
    pub fn claims(&self, of: &Value) -> Value {
        let mut claims = json!({
            "iss": self.issuer(), "aud": AUDIENCE, "iat": now(), "exp": now() + 3_600,
        });
        if let (Some(claims), Some(of)) = (claims.as_object_mut(), of.as_object()) {
            claims.extend(of.clone());
        }
        claims
    }

    /// A token that says this of somebody, signed with the first of the published keys.
    pub fn token(&self, of: &Value) -> String {
        self.signer().sign(&self.claims(of))
    }

    /// Somebody agrees to the code of a device.
    pub fn agree(&self, of: &Value) {
        let claims = self.claims(of);
        self.state().agreed = Some(claims);
    }

    /// How often a device has asked before somebody agreed.
    pub fn asked(&self) -> usize {
        self.state().asked
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for IdentityProvider {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Signer {
    /// A new key on the curve P-256.
    ///
    /// # Panics
    /// If the machine has no randomness to give.
    pub fn ecdsa(id: &str) -> Self {
        let (algorithm, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let key = EcdsaKeyPair::generate_pkcs8(algorithm, &random).expect("there is randomness");
        let key = EcdsaKeyPair::from_pkcs8(algorithm, key.as_ref(), &random);
        Self { id: id.to_owned(), kind: Arc::new(Kind::Ecdsa(key.expect("it was just made"))) }
    }

    /// A new key on Curve25519.
    ///
    /// # Panics
    /// If the machine has no randomness to give.
    pub fn ed25519(id: &str) -> Self {
        let key =
            Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("there is randomness");
        let key = Ed25519KeyPair::from_pkcs8(key.as_ref()).expect("it was just made");
        Self { id: id.to_owned(), kind: Arc::new(Kind::Ed25519(key)) }
    }

    /// A token that says this.
    pub fn sign(&self, claims: &Value) -> String {
        self.sign_as(&json!({ "alg": self.algorithm(), "kid": self.id, "typ": "JWT" }), claims)
    }

    /// The same under a header of the test's own.
    ///
    /// # Panics
    /// If the machine has no randomness to give.
    pub fn sign_as(&self, header: &Value, claims: &Value) -> String {
        let message = format!("{}.{}", encode(&header.to_string()), encode(&claims.to_string()));
        let signature = match &*self.kind {
            Kind::Ecdsa(key) => {
                let signed = key.sign(&SystemRandom::new(), message.as_bytes());
                signed.expect("there is randomness").as_ref().to_vec()
            }
            Kind::Ed25519(key) => key.sign(message.as_bytes()).as_ref().to_vec(),
        };
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    pub fn algorithm(&self) -> &'static str {
        match *self.kind {
            Kind::Ecdsa(_) => "ES256",
            Kind::Ed25519(_) => "EdDSA",
        }
    }

    /// The public half, as it is published (RFC 7517).
    fn published(&self) -> Value {
        let mut key = match &*self.kind {
            Kind::Ecdsa(key) => {
                let (x, y) = key.public_key().as_ref()[1..].split_at(32);
                json!({ "kty": "EC", "crv": "P-256", "x": encode_bytes(x), "y": encode_bytes(y) })
            }
            Kind::Ed25519(key) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": encode_bytes(key.public_key().as_ref()) })
            }
        };
        key["kid"] = json!(self.id);
        key["use"] = json!("sig");
        key["alg"] = json!(self.algorithm());
        key
    }
}

/// Unix time in seconds.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn encode(text: &str) -> String {
    encode_bytes(text.as_bytes())
}

fn encode_bytes(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

async fn accept(listener: TcpListener, state: Arc<Mutex<State>>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(serve(stream, state.clone()));
    }
}

async fn serve(mut stream: TcpStream, state: Arc<Mutex<State>>) {
    let mut unread = Vec::new();
    while let Ok(Some(received)) = http::read(&mut stream, &mut unread).await {
        let ((status, body), mut holds) = {
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            (answer(&mut state, &received), state.holds.subscribe())
        };
        if received.path == "/keys" && holds.wait_for(|holds| !holds).await.is_err() {
            return;
        }
        let body = body.to_string();
        let answer = format!(
            "HTTP/1.1 {status} x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

fn answer(state: &mut State, received: &Received) -> (u16, Value) {
    if state.is_down {
        return (500, json!({ "error": "server_error" }));
    }
    let at = |path: &str| {
        let host = received.header("host").unwrap_or_default();
        format!("http://{host}{path}")
    };
    match (&*received.method, &*received.path) {
        ("GET", "/.well-known/openid-configuration") => {
            let description = json!({
                "issuer": state.issuer, "jwks_uri": at("/keys"), "token_endpoint": at("/token"),
                "device_authorization_endpoint": at("/device"),
            });
            (200, description)
        }
        ("GET", "/keys") => {
            state.fetched += 1;
            let mut keys: Vec<_> = state.published.iter().map(Signer::published).collect();
            // What a server need not understand.
            keys.push(json!({ "kty": "NEW", "kid": "of the future" }));
            (200, json!({ "keys": keys }))
        }
        ("POST", "/device") => (200, device(&at("/agree"))),
        ("POST", "/token") => match state.agreed.clone() {
            None => {
                state.asked += 1;
                (400, json!({ "error": "authorization_pending" }))
            }
            Some(claims) => {
                let token = state.published[0].sign(&claims);
                let renews =
                    String::from_utf8_lossy(&received.body).contains("refresh_token=again");
                // The first token is over at once if the test has said so; the one that it is renewed by is not.
                let token = if renews { renewed(state, &claims) } else { token };
                (
                    200,
                    json!({ "id_token": token, "refresh_token": "again", "token_type": "Bearer" }),
                )
            }
        },
        _ => (404, json!({ "error": "not_found" })),
    }
}

fn device(address: &str) -> Value {
    json!({
        "device_code": "device 1", "user_code": "WDJB-MJHT", "verification_uri": address,
        "expires_in": 60, "interval": 0,
    })
}

fn renewed(state: &State, claims: &Value) -> String {
    let mut claims = claims.clone();
    claims["exp"] = json!(now() + 3_600);
    state.published[0].sign(&claims)
}
