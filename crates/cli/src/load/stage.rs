//! A server to measure, with its workers: one of our own in a folder of its own, or one that runs elsewhere.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use fairlane_client::Client;
use fairlane_client::api::key::{NewKey, Role};
use fairlane_server::{Config, Server};
use tempfile::TempDir;

use super::child::Process;
use super::work::{self, Instructions, Pace};

/// How long children may take to finish what they hold.
const PATIENCE: Duration = Duration::from_secs(3);

/// A server and worker processes.
#[derive(Debug)]
pub(crate) struct Stage {
    url: String,
    /// The operator's key of a server of our own.
    key: Option<String>,
    client: Client,
    server: Option<Server>,
    workers: Vec<Process>,
    folder: Folder,
    /// The region of its workers, if the server has several.
    home: Option<String>,
}

/// Where a server of our own keeps its store.
#[derive(Debug)]
enum Folder {
    /// The server is not ours.
    Elsewhere,
    Given(PathBuf),
    /// Removed at the end.
    Temporary(TempDir),
}

impl Stage {
    /// Starts a server inside this process, on a free port of the loopback interface, in `folder` or in a temporary
    /// one.
    pub(crate) async fn start(folder: Option<&Path>) -> anyhow::Result<Self> {
        Self::start_in(folder, &[]).await
    }

    /// The same with several regions, of which the first is home.
    pub(crate) async fn start_in(folder: Option<&Path>, regions: &[&str]) -> anyhow::Result<Self> {
        let folder = match folder {
            Some(folder) => Folder::Given(folder.to_owned()),
            None => Folder::Temporary(
                tempfile::Builder::new()
                    .prefix("fairlane-")
                    .tempdir()
                    .context("cannot make a temporary folder")?,
            ),
        };
        let mut config = config(folder.path().context("the folder was just made")?);
        config.regions = regions.iter().map(|region| (*region).to_owned()).collect();
        let home = config.regions.first().cloned();
        let data_dir = config.data_dir.clone();
        let server = Server::start(config).await.context("cannot start the server")?;
        let key = operator_key(&server, &data_dir)?;
        let url = format!("http://{}", server.addr());
        let client = Client::new(&url, &key)?;
        let (key, server, workers) = (Some(key), Some(server), Vec::new());
        Ok(Self { url, key, client, server, workers, folder, home })
    }

    /// Uses a server that runs already; the client has an operator's key.
    pub(crate) async fn connect(client: Client) -> anyhow::Result<Self> {
        let url = format!("http://{}", client.address());
        client.health().await.with_context(|| format!("no server at {url}"))?;
        Ok(Self {
            url,
            key: None,
            client,
            server: None,
            workers: Vec::new(),
            folder: Folder::Elsewhere,
            home: None,
        })
    }

    pub(crate) const fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The operator's key of a server of our own.
    pub(crate) fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// Whether server and loader share a clock.
    pub(crate) const fn is_own(&self) -> bool {
        self.server.is_some()
    }

    pub(crate) fn folder(&self) -> Option<&Path> {
        self.folder.path()
    }

    /// Starts worker processes for a pool with a key of their own, `slots` among them, and waits until all are there.
    pub(crate) async fn start_workers(
        &mut self,
        pool: &str,
        processes: u32,
        slots: u32,
    ) -> anyhow::Result<()> {
        self.start_paced_workers(pool, (processes, slots), Pace::default()).await
    }

    /// The same with workers that take another time for their work.
    pub(crate) async fn start_paced_workers(
        &mut self,
        pool: &str,
        (processes, slots): (u32, u32),
        pace: Pace,
    ) -> anyhow::Result<()> {
        let key = self.worker_key(pool).await?;
        let processes = processes.clamp(1, slots);
        for number in 0..processes {
            let name = format!("{pool}-{}-{number}", std::process::id());
            let slots = slots / processes + u32::from(number < slots % processes);
            let (url, key, pool) = (self.url.clone(), key.clone(), pool.to_owned());
            let told = Instructions { url, key, pool, name, slots, pace };
            self.workers.push(Process::start(work::COMMAND, &told)?);
        }
        self.wait_for_workers(pool, processes).await
    }

    async fn worker_key(&self, pool: &str) -> anyhow::Result<String> {
        let new = NewKey {
            pools: Some(vec![pool.to_owned()]),
            region: self.home.clone(),
            label: Some("simulated workers".to_owned()),
            ..NewKey::of(Role::Worker)
        };
        Ok(self.client.create_key(&new).await.context("cannot make a key for the workers")?.secret)
    }

    async fn wait_for_workers(&mut self, pool: &str, processes: u32) -> anyhow::Result<()> {
        // Starting a process takes milliseconds; a minute covers a machine that is busy with a build.
        for _ in 0..600 {
            if self.client.pool(pool).await?.workers >= processes {
                return Ok(());
            }
            if self.workers.iter_mut().any(Process::has_ended) {
                bail!("a worker process ended before it took part");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        bail!("the worker processes did not reach the server within a minute")
    }

    /// An error if a worker process has ended: what is measured then is not what was set up.
    pub(crate) fn check_workers(&mut self) -> anyhow::Result<()> {
        if self.workers.iter_mut().any(Process::has_ended) {
            bail!("a worker process ended during the measurement");
        }
        Ok(())
    }

    /// Ends all workers.
    pub(crate) async fn end_workers(&mut self) {
        for mut worker in std::mem::take(&mut self.workers) {
            worker.ask_to_end();
            worker.join(PATIENCE).await;
        }
    }

    /// Stops the workers, then the server, and removes a temporary folder.
    pub(crate) async fn stop(mut self) {
        for worker in &mut self.workers {
            worker.ask_to_end();
        }
        for worker in self.workers {
            worker.join(PATIENCE).await;
        }
        if let Some(server) = self.server {
            server.stop().await;
        }
    }
}

impl Folder {
    fn path(&self) -> Option<&Path> {
        match self {
            Self::Elsewhere => None,
            Self::Given(path) => Some(path),
            Self::Temporary(folder) => Some(folder.path()),
        }
    }
}

/// The setup of a server of our own in `folder`.
pub(crate) fn config(folder: &Path) -> Config {
    let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    Config { operator_key_file: true, drain_ms: 2_000, ..Config::new(folder, loopback) }
}

/// The operator's key of a server of our own: fresh, or from the file beside its store.
pub(crate) fn operator_key(server: &Server, folder: &Path) -> anyhow::Result<String> {
    if let Some(key) = server.operator_key() {
        return Ok(key.to_owned());
    }
    let file = folder.join(fairlane_server::OPERATOR_KEY_FILE);
    let key = std::fs::read_to_string(&file).with_context(|| {
        format!("the folder holds a store, and its key is not in {}", file.display())
    })?;
    Ok(key.trim().to_owned())
}
