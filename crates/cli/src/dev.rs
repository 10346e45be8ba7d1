//! `fairlane dev`: a server for development in this process, ready to be used at once.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use fairlane_api::key::{NewKey, Role};
use fairlane_client::{Client, Write, worker};
use fairlane_server::{Config, OPERATOR_KEY_FILE, Server};
use serde_json::json;

use crate::printer::Printer;
use crate::target::Target;
use crate::{apply, log, signals};

/// The file of the worker's key, beside the operator's.
const WORKER_KEY_FILE: &str = "worker.key";
/// What an empty server is given, so that a workflow can be run on it.
const POOL: &str = "default";
const TENANT: &str = "dev";

/// Run a server for development, with its data in a folder
///
/// Prints how to reach it as lines for a shell. A server without tenants is given one named `dev`, and a pool
/// named `default`.
#[derive(Debug, Args)]
pub(crate) struct Dev {
    /// Folder of its data
    #[arg(long, value_name = "DIR", default_value = "fairlane-data")]
    data: PathBuf,
    /// Address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7420")]
    listen: SocketAddr,
    /// Declare what these files say; a file or folder, as `apply` reads them
    #[arg(long = "file", short, value_name = "FILE|DIR")]
    files: Vec<PathBuf>,
    /// Run a sample worker too, which executes any task of the pool `default` by waiting
    #[arg(long)]
    worker: bool,
}

impl Dev {
    pub(crate) async fn execute(self, target: &Target) -> anyhow::Result<()> {
        log::text("warn");
        let printer = target.printer();
        let mut config = Config::new(&self.data, self.listen);
        config.operator_key_file = true;
        let server = Server::start(config).await?;
        let url = format!("http://{}", server.addr());
        let result = self.attend(printer, &url).await;
        server.stop().await;
        result
    }

    /// Sets the server up, says how to reach it, and waits until it is to end.
    async fn attend(self, printer: Printer, url: &str) -> anyhow::Result<()> {
        let key = read_key(&self.data.join(OPERATOR_KEY_FILE))?;
        let client = Client::new(url, &key)?;
        let worker_key = worker_key(&client, &self.data).await?;
        first_pool(&client).await?;
        if !self.files.is_empty() {
            apply::load(&client, printer, &self.files).await?;
        }
        let tenant = first_tenant(&client).await?;
        let reach = json!({
            "url": url, "key": key, "worker_key": worker_key, "tenant": tenant,
            "dashboard": dashboard(url, &key),
        });
        let stop = signals::stop();
        printer.data(&reach, |_| {
            format!(
                "export FAIRLANE_URL={url}\nexport FAIRLANE_KEY={key}\n\
                 export FAIRLANE_WORKER_KEY={worker_key}\nexport FAIRLANE_TENANT={tenant}"
            )
        })?;
        printer.note(&format!(
            "Paste these lines into another terminal. Ctrl-c ends the server.\nDashboard: {}",
            dashboard(url, &key)
        ));
        if !self.worker {
            return Ok(stop.await?);
        }
        let worker = worker::Worker::new(Client::new(url, &worker_key)?, POOL);
        let worker = crate::worker::with_sample_task(
            worker,
            Duration::from_millis(10),
            crate::worker::Script::default(),
        );
        let mut stopped = Ok(());
        worker.run_until(async { stopped = stop.await }).await?;
        Ok(stopped?)
    }
}

/// The address of the dashboard for whoever has the key. What stands behind `#` a browser keeps to itself.
pub(crate) fn dashboard(url: &str, key: &str) -> String {
    format!("{url}/ui/#key={key}")
}

/// The key of a store that is there already stands in a file, and nowhere else.
fn read_key(file: &Path) -> anyhow::Result<String> {
    let key = std::fs::read_to_string(file).with_context(|| {
        format!(
            "cannot read the operator's key in {}; it was not made by `fairlane dev`?",
            file.display()
        )
    })?;
    Ok(key.trim().to_owned())
}

/// A key for workers: the one in the file, or a new one.
async fn worker_key(client: &Client, folder: &Path) -> anyhow::Result<String> {
    let file = folder.join(WORKER_KEY_FILE);
    if file.exists() {
        return read_key(&file);
    }
    let label = Some("worker of fairlane dev".to_owned());
    let new = NewKey { label, ..NewKey::of(Role::Worker) };
    let secret = client.create_key(&new).await?.secret;
    write_key(&file, &secret).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(secret)
}

/// Writes a file that only its owner can read.
fn write_key(file: &Path, secret: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    writeln!(options.open(file)?, "{secret}")
}

/// A tenant to try things with: `dev`, else the first there is, else a new one.
async fn first_tenant(client: &Client) -> anyhow::Result<String> {
    let mut tenants: Vec<String> =
        client.tenants().await?.into_iter().map(|tenant| tenant.id).collect();
    if !tenants.is_empty() {
        let at = tenants.iter().position(|tenant| tenant == TENANT).unwrap_or_default();
        return Ok(tenants.swap_remove(at));
    }
    let org = serde_json::from_value(json!({}))?;
    let tier = serde_json::from_value(json!({ "weight": 1, "cap": 100 }))?;
    let tenant = serde_json::from_value(json!({ "org": TENANT, "tier": TENANT }))?;
    client.put_org(TENANT, &org, Write::Apply).await?;
    client.put_tier(TENANT, &tier, Write::Apply).await?;
    client.put_tenant(TENANT, &tenant, Write::Apply).await?;
    Ok(TENANT.to_owned())
}

/// Steps that name no pool go to this one.
async fn first_pool(client: &Client) -> anyhow::Result<()> {
    if client.pools().await?.iter().all(|pool| pool.name != POOL) {
        let spec = serde_json::from_value(json!({ "slots": 100 }))?;
        client.put_pool(POOL, &spec, Write::Apply).await?;
    }
    Ok(())
}
