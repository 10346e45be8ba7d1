//! A server on a free port, clients of it, workers that end with the test, and a wire that can be cut.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use fairlane_api::resource::{OrgSpec, PoolSpec, TenantSpec, TierSpec};
use fairlane_api::run::{RunDetail, RunStatus};
use fairlane_api::view::{Phase, Step};
use fairlane_client::worker::{self, Worker};
use fairlane_client::{Client, Definition, RetryPolicy, Submit, Write};
use fairlane_server::{Config, Server, StoreKind};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub(crate) const TENANT: &str = "acme";

/// One step, whose task is `work`.
pub(crate) const ONE: &str = "
workflow: one
version: 1
steps:
  work:
    task: work
    with: { n: input.n }
    retry: { attempts: 3, backoff: 1ms..1ms }
";

/// A restart may take long on a busy machine; no test waits for this to pass.
const PATIENT: RetryPolicy = RetryPolicy {
    attempts_max: 10_000,
    delay_min: Duration::from_millis(10),
    delay_max: Duration::from_millis(100),
    patience: Duration::from_mins(5),
};

pub(crate) struct Harness {
    pub(crate) client: Client,
    pub(crate) key: String,
    server: Server,
    folder: TempDir,
}

impl Harness {
    /// A server with the tenant `acme`, the pool `default` and the workflow `one`, in memory.
    pub(crate) async fn start() -> Self {
        let harness = Self::start_on(StoreKind::Memory).await;
        harness.declare().await;
        harness
    }

    /// The same with a store on disk, which can be started again.
    pub(crate) async fn start_durable() -> Self {
        let harness = Self::start_on(StoreKind::Sqlite).await;
        harness.declare().await;
        harness
    }

    async fn start_on(store: StoreKind) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::new(folder.path(), SocketAddr::from(([127, 0, 0, 1], 0)));
        config.store = store;
        let server = Server::start(config).await.unwrap();
        let key = server.operator_key().expect("the store is new").to_owned();
        let client = Client::new(&url(server.addr()), &key).unwrap().with_retry(PATIENT);
        Self { client, key, server, folder }
    }

    /// Stops the server and starts it again, on the same store and port.
    pub(crate) async fn restart(self) -> Self {
        let Self { client, key, server, folder } = self;
        let addr = server.addr();
        server.stop().await;
        let server = Server::start(Config::new(folder.path(), addr)).await.unwrap();
        Self { client, key, server, folder }
    }

    pub(crate) async fn stop(self) {
        self.server.stop().await;
    }

    pub(crate) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    pub(crate) fn url(&self) -> String {
        url(self.addr())
    }

    async fn declare(&self) {
        let client = &self.client;
        let org: OrgSpec = from(json!({}));
        let tier: TierSpec = from(json!({ "weight": 4, "cap": 100 }));
        let tenant: TenantSpec = from(json!({ "org": "org", "tier": "standard" }));
        client.put_org("org", &org, Write::Apply).await.unwrap();
        client.put_tier("standard", &tier, Write::Apply).await.unwrap();
        client.put_tenant(TENANT, &tenant, Write::Apply).await.unwrap();
        self.pool(json!({ "slots": 100 })).await;
        self.workflow("one", ONE).await;
    }

    pub(crate) async fn pool(&self, spec: Value) {
        let spec: PoolSpec = from(spec);
        self.client.put_pool("default", &spec, Write::Apply).await.unwrap();
    }

    pub(crate) async fn workflow(&self, name: &str, text: &str) {
        self.client.put_workflow(name, Definition::Yaml(text), Write::Apply).await.unwrap();
    }

    /// Submits a run of the workflow `one` and gives its id.
    pub(crate) async fn submit(&self, n: u32) -> String {
        let submit = Submit::new("one").input(&json!({ "n": n }));
        self.client.submit(TENANT, submit).await.unwrap().run
    }

    /// The run, once it is in this state.
    pub(crate) async fn until(&self, run: &str, is: impl Fn(&RunDetail) -> bool) -> RunDetail {
        loop {
            let detail = self.client.run(TENANT, run).await.unwrap();
            if is(&detail) {
                return detail;
            }
        }
    }

    /// The run, once it has ended.
    pub(crate) async fn ended(&self, run: &str) -> RunDetail {
        self.client.wait(TENANT, run).await.unwrap();
        self.client.run(TENANT, run).await.unwrap()
    }

    /// What a completed run put out.
    pub(crate) async fn output(&self, run: &str) -> Value {
        let detail = self.ended(run).await;
        assert_eq!(detail.run.status, RunStatus::Completed, "{:?}", detail.run.failure);
        from(self.client.run_output(TENANT, run).await.unwrap())
    }
}

fn url(addr: SocketAddr) -> String {
    format!("http://{addr}")
}

/// Any value as another type, by way of JSON.
pub(crate) fn from<T: serde::de::DeserializeOwned>(value: impl serde::Serialize) -> T {
    serde_json::from_str(&serde_json::to_string(&value).unwrap()).unwrap()
}

/// The step `work` of a run of `one`.
pub(crate) fn step(detail: &RunDetail) -> &Step {
    &detail.steps[0]
}

pub(crate) fn is_leased(detail: &RunDetail) -> bool {
    step(detail).phase == Phase::Leased
}

/// A worker that is running.
pub(crate) struct Running {
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Result<(), worker::Error>>,
}

impl Running {
    /// Tells it to stop, and waits until it has drained.
    pub(crate) async fn drain(self) -> Result<(), worker::Error> {
        self.begin_drain().await.unwrap()
    }

    /// Tells it to stop.
    pub(crate) fn begin_drain(self) -> JoinHandle<Result<(), worker::Error>> {
        let _ = self.stop.send(());
        self.ended
    }

    /// Waits until it ends by itself.
    pub(crate) async fn ended(self) -> Result<(), worker::Error> {
        let Self { stop: _stop, ended } = self;
        ended.await.unwrap()
    }
}

pub(crate) fn run(worker: Worker) -> Running {
    let (stop, stopped) = oneshot::channel();
    let ended = tokio::spawn(worker.run_until(async {
        let _ = stopped.await;
    }));
    Running { stop, ended }
}

/// Something that tasks and tests wait for each other at. Each `open` lets one `pass` through.
#[derive(Clone)]
pub(crate) struct Door(std::sync::Arc<tokio::sync::Semaphore>);

impl Door {
    pub(crate) fn closed() -> Self {
        Self(std::sync::Arc::new(tokio::sync::Semaphore::new(0)))
    }

    pub(crate) fn open(&self) {
        self.0.add_permits(1);
    }

    pub(crate) fn pass(&self) -> impl Future<Output = ()> + use<> {
        let door = self.0.clone();
        async move { door.acquire().await.unwrap().forget() }
    }
}

/// Says when it is dropped: how a test learns that a task's future is gone.
pub(crate) struct OnDrop(pub(crate) Door);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.open();
    }
}
