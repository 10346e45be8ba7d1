//! A server on a free port, a small HTTP client, and workers that do what a test says.

use std::net::SocketAddr;

use fairlane_server::{Config, Server, StoreKind};
use fairlane_store::Store;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Long enough for any answer that comes at all; no test waits for it to pass.
pub(crate) const LONG_MS: u64 = 30_000;

/// The loan workflow in small: two steps in a row, one of which reads the other's output.
pub(crate) const PAIR: &str = "
workflow: pair
version: 1
steps:
  first:
    task: first
    with: { n: input.n }
  second:
    after: [first]
    task: second
    with: { doubled: steps.first.output.n }
";

pub(crate) struct Harness {
    pub(crate) server: Server,
    pub(crate) operator: Client,
    folder: TempDir,
}

impl Harness {
    /// A server with an organisation, a tier, the tenants `a` and `b`, the pool `main` and the workflow `pair`.
    pub(crate) async fn start() -> Self {
        let harness = Self::start_on(StoreKind::Memory).await;
        harness.declare().await;
        harness
    }

    pub(crate) async fn start_on(store: StoreKind) -> Self {
        Self::start_with(|config| config.store = store).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::new(folder.path(), free_port());
        change(&mut config);
        let server = Server::start(config).await.unwrap();
        Self::of(server, folder)
    }

    pub(crate) async fn start_with_store(store: Box<dyn Store>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = Config { drain_ms: 500, ..Config::new(folder.path(), free_port()) };
        let server = Server::start_on(config, store).await.unwrap();
        Self::of(server, folder)
    }

    fn of(server: Server, folder: TempDir) -> Self {
        let key = server.operator_key().expect("the store is new").to_owned();
        let operator = Client { addr: server.addr(), key: Some(key) };
        Self { server, operator, folder }
    }

    /// Stops the server and starts it again on the same store.
    pub(crate) async fn restart(self) -> Self {
        self.restart_with(|_| {}).await
    }

    pub(crate) async fn restart_with(self, change: impl FnOnce(&mut Config)) -> Self {
        let Self { server, operator, folder } = self;
        server.stop().await;
        let mut config = Config::new(folder.path(), free_port());
        change(&mut config);
        let server = Server::start(config).await.unwrap();
        assert_eq!(server.operator_key(), None, "the store is not new");
        let operator = Client { addr: server.addr(), ..operator };
        Self { server, operator, folder }
    }

    /// Stops the server and starts it on a store of the same rows.
    pub(crate) async fn restart_with_store(self, store: Box<dyn Store>) -> Self {
        let Self { server, operator, folder } = self;
        server.stop().await;
        let config = Config::new(folder.path(), free_port());
        let server = Server::start_on(config, store).await.unwrap();
        let operator = Client { addr: server.addr(), ..operator };
        Self { server, operator, folder }
    }

    pub(crate) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    pub(crate) async fn declare(&self) {
        let operator = &self.operator;
        operator.put("/v1/orgs/org", json!({})).await.ok();
        operator.put("/v1/tiers/standard", json!({ "weight": 4, "cap": 10 })).await.ok();
        let tenant = json!({ "org": "org", "tier": "standard", "attributes": { "limit": 7 } });
        operator.put("/v1/tenants/a", tenant.clone()).await.ok();
        operator.put("/v1/tenants/b", tenant).await.ok();
        operator.put("/v1/platform/pools/main", json!({ "slots": 100 })).await.ok();
        self.workflow("pair", PAIR).await;
    }

    pub(crate) async fn workflow(&self, name: &str, text: &str) {
        // The pool of these workflows is written out, so that the texts can leave it out.
        let text = text.replace("    task:", "    pool: main\n    task:");
        let path = format!("/v1/workflows/{name}");
        self.operator.put_yaml(&path, &text).await.ok();
    }

    pub(crate) fn anonymous(&self) -> Client {
        Client { addr: self.server.addr(), key: None }
    }

    /// A client with a new key.
    pub(crate) async fn client(&self, key: Value) -> Client {
        let reply = self.operator.post("/v1/platform/keys", key).await;
        assert_eq!(reply.status, StatusCode::CREATED, "{reply:?}");
        let secret = reply.json()["secret"].as_str().unwrap().to_owned();
        Client { addr: self.server.addr(), key: Some(secret) }
    }

    /// Submits a run for tenant `a`, and gives its id.
    pub(crate) async fn submit(&self, workflow: &str, input: Value) -> String {
        let body = json!({ "workflow": workflow, "input": input });
        let reply = self.operator.post("/v1/tenants/a/runs", body).await;
        assert_eq!(reply.status, StatusCode::CREATED, "{reply:?}");
        reply.json()["run"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn run(&self, run: &str) -> Value {
        self.operator.get(&format!("/v1/tenants/a/runs/{run}")).await.ok()
    }

    pub(crate) async fn command(&self, run: &str, command: &str) -> Reply {
        self.operator.post_empty(&format!("/v1/tenants/a/runs/{run}/{command}")).await
    }

    pub(crate) fn worker(&self, name: &str) -> Worker {
        Worker { client: self.operator.clone(), name: name.to_owned() }
    }
}

pub(crate) fn free_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) addr: SocketAddr,
    pub(crate) key: Option<String>,
}

impl Client {
    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(self.request(Method::GET, path, "")).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Reply {
        self.send_json(Method::PUT, path, &body.to_string()).await
    }

    pub(crate) async fn put_yaml(&self, path: &str, text: &str) -> Reply {
        let mut request = self.request(Method::PUT, path, text);
        request.headers_mut().insert("content-type", "application/yaml".parse().unwrap());
        self.send(request).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Reply {
        self.send_json(Method::POST, path, &body.to_string()).await
    }

    /// Sends a body under an idempotency key.
    pub(crate) async fn post_keyed(&self, path: &str, key: &str, body: &str) -> Reply {
        let mut request = self.request(Method::POST, path, body);
        request.headers_mut().insert("content-type", "application/json".parse().unwrap());
        request.headers_mut().insert("idempotency-key", key.parse().unwrap());
        self.send(request).await
    }

    pub(crate) async fn post_empty(&self, path: &str) -> Reply {
        self.send(self.request(Method::POST, path, "")).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Reply {
        self.send(self.request(Method::DELETE, path, "")).await
    }

    pub(crate) async fn send_json(&self, method: Method, path: &str, body: &str) -> Reply {
        let mut request = self.request(method, path, body);
        request.headers_mut().insert("content-type", "application/json".parse().unwrap());
        self.send(request).await
    }

    pub(crate) fn request(&self, method: Method, path: &str, body: &str) -> Request<Full<Bytes>> {
        let mut request = Request::builder().method(method).uri(path).header("host", "test");
        if let Some(key) = &self.key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        request.body(Full::new(Bytes::from(body.to_owned()))).unwrap()
    }

    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Reply {
        let (status, headers, body) = self.open(request).await;
        let body = body.collect().await.unwrap().to_bytes();
        Reply { status, headers, body }
    }

    /// The answer's head, with its body still to be read.
    pub(crate) async fn open(
        &self,
        request: Request<Full<Bytes>>,
    ) -> (StatusCode, hyper::HeaderMap, Incoming) {
        let stream = tokio::net::TcpStream::connect(self.addr).await.unwrap();
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.unwrap();
        tokio::spawn(connection);
        let (head, body) = sender.send_request(request).await.unwrap().into_parts();
        (head.status, head.headers, body)
    }
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: hyper::HeaderMap,
    pub(crate) body: Bytes,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {:?}", String::from_utf8_lossy(&self.body)))
    }

    /// The body of an answer that is no refusal.
    #[track_caller]
    pub(crate) fn ok(&self) -> Value {
        assert!(
            self.status.is_success(),
            "{}: {}",
            self.status,
            String::from_utf8_lossy(&self.body)
        );
        self.json()
    }

    /// The problem document, with the checks that every one must pass.
    #[track_caller]
    pub(crate) fn problem(&self) -> Value {
        let problem = self.json();
        assert_eq!(self.headers["content-type"], "application/problem+json", "{problem}");
        assert_eq!(problem["status"], self.status.as_u16(), "{problem}");
        let code = problem["code"].as_str().unwrap();
        assert_eq!(problem["type"], format!("urn:fairlane:problem:{code}"));
        assert!(fairlane_api::Code::parse(code).is_some(), "{problem}");
        let retry = problem.get("retry_after_ms").is_some();
        assert_eq!(self.headers.contains_key("retry-after"), retry, "{problem}");
        problem
    }

    /// Status, code and pointer of the problem.
    #[track_caller]
    pub(crate) fn refusal(&self) -> (u16, String, String) {
        let problem = self.problem();
        let text = |name: &str| problem[name].as_str().unwrap_or_default().to_owned();
        (self.status.as_u16(), text("code"), text("pointer"))
    }
}

/// A worker of pool `main` with ten slots.
#[derive(Clone)]
pub(crate) struct Worker {
    pub(crate) client: Client,
    pub(crate) name: String,
}

impl Worker {
    pub(crate) async fn exchange(&self, want: u32, wait_ms: u64, report: Value) -> Value {
        self.try_exchange(want, wait_ms, report).await.ok()
    }

    pub(crate) async fn try_exchange(&self, want: u32, wait_ms: u64, report: Value) -> Reply {
        let body = json!({
            "worker": self.name, "pool": "main", "slots": 10, "want": want, "wait_ms": wait_ms,
            "report": report,
        });
        self.client.post("/v1/worker/exchange", body).await
    }

    /// Waits for one lease.
    pub(crate) async fn lease(&self) -> Value {
        let answer = self.exchange(1, LONG_MS, json!([])).await;
        assert_eq!(answer["leases"].as_array().unwrap().len(), 1, "{answer}");
        answer["leases"][0].clone()
    }

    pub(crate) async fn complete(&self, lease: &Value, output: Value) -> Value {
        let report = json!([{ "lease": lease["lease"], "completed": { "output": output } }]);
        self.exchange(0, 0, report).await
    }

    pub(crate) async fn fail(&self, lease: &Value, retryable: bool) -> Value {
        let failed = json!({ "class": "bad-luck", "message": "no", "retryable": retryable });
        self.exchange(0, 0, json!([{ "lease": lease["lease"], "failed": failed }])).await
    }

    /// Takes leases and completes each with its own input, until `count` are done.
    pub(crate) async fn echo(&self, count: usize) {
        for _ in 0..count {
            let lease = self.lease().await;
            self.complete(&lease, lease["input"].clone()).await;
        }
    }
}
