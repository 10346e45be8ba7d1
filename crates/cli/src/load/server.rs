//! A server in a process of its own, so that its memory, its processor time and its start can be measured.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use fairlane_client::Client;
use fairlane_client::api::key::{NewKey, Role};
use fairlane_server::Server;
use serde::{Deserialize, Serialize};

use super::child::{self, Process};
use super::stage::{config, operator_key};
use super::usage;
use super::work::{self, Instructions, Pace};

/// Name of the hidden command.
pub(crate) const COMMAND: &str = "load-server";
/// How long it may take to commit what it was given.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the process is told.
#[derive(Debug, Serialize, Deserialize)]
struct Told {
    folder: PathBuf,
}

/// What it answers when it serves.
#[derive(Debug, Serialize, Deserialize)]
struct Serving {
    url: String,
    key: String,
}

/// Body of the hidden command: serves until the parent is done.
pub(crate) async fn run() -> anyhow::Result<()> {
    let told: Told = child::instructions()?;
    let server = Server::start(config(&told.folder)).await.context("cannot start the server")?;
    let key = operator_key(&server, &told.folder)?;
    child::answer(&Serving { url: format!("http://{}", server.addr()), key })?;
    child::parent_is_done().await;
    server.stop().await;
    Ok(())
}

/// A server in a child process.
#[derive(Debug)]
pub(crate) struct ServerProcess {
    process: Process,
    client: Client,
    url: String,
    /// From the start of the process until `/readyz` said so.
    pub(crate) ready_after: Duration,
}

impl ServerProcess {
    pub(crate) async fn start(folder: &Path) -> anyhow::Result<Self> {
        let told = Told { folder: folder.to_owned() };
        let begin = Instant::now();
        let start =
            tokio::task::spawn_blocking(move || Process::start_and_hear::<Serving>(COMMAND, &told));
        let (process, serving) = start.await??;
        let client = Client::new(&serving.url, &serving.key)?;
        client.health().await.context("the server does not become ready")?;
        Ok(Self { process, client, url: serving.url, ready_after: begin.elapsed() })
    }

    pub(crate) const fn client(&self) -> &Client {
        &self.client
    }

    /// Starts a worker process for a pool.
    pub(crate) async fn start_worker(&self, pool: &str, slots: u32) -> anyhow::Result<Process> {
        let new = NewKey {
            pools: Some(vec![pool.to_owned()]),
            label: Some("bench".to_owned()),
            ..NewKey::of(Role::Worker)
        };
        let created = self.client.create_key(&new).await.context("cannot make a worker's key")?;
        let told = Instructions {
            pace: Pace::default(),
            url: self.url.clone(),
            key: created.secret,
            pool: pool.to_owned(),
            name: format!("{pool}-{}", std::process::id()),
            slots,
        };
        Process::start(work::COMMAND, &told)
    }

    pub(crate) fn resident_bytes(&self) -> Option<u64> {
        usage::resident_bytes(self.process.id())
    }

    pub(crate) fn processor_time(&self) -> Option<Duration> {
        usage::processor_time(self.process.id())
    }

    pub(crate) async fn stop(self) {
        self.process.join(PATIENCE).await;
    }

    /// As a crash would.
    pub(crate) fn kill(self) {
        self.process.kill();
    }
}
