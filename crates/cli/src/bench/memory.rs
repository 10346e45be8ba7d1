//! Memory of a server with very many tenants and very many waiting runs, and how long it takes to come back from a
//! crash with them.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use fairlane_client::api::resource::{OrgSpec, PoolSpec, TierSpec, ValveSpec};
use fairlane_client::api::run::BatchEntry;
use fairlane_client::{Client, Definition, Write};
use indicatif::ProgressBar;
use tokio::task::JoinSet;

use super::report::{Line, Part, Unit};
use super::workflow::{DEFINITION, POOL, TIER, WORKFLOW};
use crate::load::declare::{self, pool_defaults, tier_defaults};
use crate::load::drive::micros;
use crate::load::server::ServerProcess;
use crate::measure::per_second;
use crate::printer::Printer;

const TENANTS_PER_ORG: u64 = 100;
/// Runs in one request.
const BATCH: u64 = 1_000;
const REQUESTS_AT_ONCE: usize = 4;
const SETTLE: Duration = Duration::from_secs(1);
const TARGET_TENANTS_BYTES: u64 = 100 << 20;
const TARGET_RUNS_BYTES: u64 = 1 << 30;
const TARGET_RECOVERY_US: u64 = 10_000_000;

/// How much of each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Amounts {
    pub(crate) tenants: u64,
    pub(crate) runs: u64,
}

pub(crate) async fn measure(
    folder: &Path,
    amounts: Amounts,
    printer: Printer,
) -> anyhow::Result<Part> {
    let folder = folder.join("memory");
    let server = ServerProcess::start(&folder).await?;
    let Amounts { tenants, runs } = amounts;
    declare_base(server.client(), runs).await?;

    let begin = Instant::now();
    let bar = printer.spinner(format!("declaring {tenants} tenants"));
    declare_tenants(server.client(), tenants).await?;
    bar.finish_and_clear();
    let declared = per_second(tenants, begin.elapsed());
    tokio::time::sleep(SETTLE).await;
    let with_tenants = server.resident_bytes();

    let begin = Instant::now();
    submit(server.client(), amounts, &printer.bar(runs, "submitting runs that wait")).await?;
    let submitted = per_second(runs, begin.elapsed());
    tokio::time::sleep(SETTLE).await;
    let with_runs = server.resident_bytes();

    server.kill();
    let bar = printer.spinner("recovering");
    let server = ServerProcess::start(&folder).await.context("the server does not come back")?;
    bar.finish_and_clear();
    let live = server.client().valve().await?.live_runs;
    anyhow::ensure!(live == runs, "{runs} runs waited before the crash, and {live} after it");
    tokio::time::sleep(SETTLE).await;
    let recovered = server.resident_bytes();
    let recovery = micros(server.ready_after);
    server.kill();

    let memory = |what: String, bytes: Option<u64>, target| {
        bytes.map(|bytes| Line::bytes_with_target(what, bytes, target))
    };
    let counted = crate::measure::count;
    let mut lines = Vec::new();
    lines.extend(memory(
        format!("memory, {} tenants", counted(tenants)),
        with_tenants,
        TARGET_TENANTS_BYTES,
    ));
    lines.extend(memory(
        format!("memory, and {} waiting runs", counted(runs)),
        with_runs,
        TARGET_RUNS_BYTES,
    ));
    lines.extend(memory("memory after recovery".to_owned(), recovered, TARGET_RUNS_BYTES));
    lines.push(Line::micros_with_target(
        "recovery after kill -9 until ready",
        recovery,
        TARGET_RECOVERY_US,
    ));
    lines.push(Line::new("tenants declared, one a request", declared, Unit::PerSecond));
    lines.push(Line::new("runs submitted, 1,000 a request", submitted, Unit::PerSecond));
    Ok(Part {
        name: "memory",
        method: "resident memory of the server process; runs of the 4-step workflow with an input of 40 bytes, \
                 all waiting, since the pool has no worker"
            .to_owned(),
        lines,
    })
}

async fn declare_base(client: &Client, runs: u64) -> anyhow::Result<()> {
    let pool = PoolSpec { slots: 1, ..pool_defaults() };
    client.put_pool(POOL, &pool, Write::Apply).await.context("cannot declare the pool")?;
    let applied = client.put_workflow(WORKFLOW, Definition::Yaml(DEFINITION), Write::Apply).await;
    applied.context("cannot declare the workflow")?;
    let tier = TierSpec { cap: 1_000, ..tier_defaults() };
    client.put_tier(TIER, &tier, Write::Apply).await.context("cannot declare the tier")?;
    let valve = ValveSpec {
        runs_soft: runs + 1,
        runs_hard: runs + 2,
        bytes_soft: 8 << 30,
        bytes_hard: 16 << 30,
        commit_slow_ms: 60_000,
    };
    client.put_valve(&valve, Write::Apply).await.context("cannot declare the valve")?;
    Ok(())
}

async fn declare_tenants(client: &Client, tenants: u64) -> anyhow::Result<()> {
    let orgs = (0..tenants.div_ceil(TENANTS_PER_ORG)).map(org);
    declare::orgs(client, orgs.map(|id| (id, OrgSpec { weight: 1, cap: None, budget: None })))
        .await?;
    let spec = |number: u64| declare::tenant(org(number / TENANTS_PER_ORG), TIER);
    declare::tenants(client, (0..tenants).map(|number| (tenant(number), spec(number)))).await
}

/// Spreads the runs over tenants, a thousand for each while there are tenants for that.
async fn submit(client: &Client, amounts: Amounts, bar: &ProgressBar) -> anyhow::Result<()> {
    let input: Arc<str> = Arc::from(r#"{"application":"0123456789012345678"}"#);
    let mut requests: JoinSet<anyhow::Result<u64>> = JoinSet::new();
    for (number, first) in (0..amounts.runs).step_by(usize::try_from(BATCH)?).enumerate() {
        let count = BATCH.min(amounts.runs - first);
        let (client, input) = (client.clone(), input.clone());
        let to = tenant(number as u64 % amounts.tenants);
        requests.spawn(async move { batch(&client, &to, &input, count).await });
        if requests.len() >= REQUESTS_AT_ONCE
            && let Some(sent) = requests.join_next().await
        {
            bar.inc(sent??);
        }
    }
    while let Some(sent) = requests.join_next().await {
        bar.inc(sent??);
    }
    bar.finish_and_clear();
    Ok(())
}

/// Submits so many runs of one tenant; each must be taken.
pub(crate) async fn batch(
    client: &Client,
    tenant: &str,
    input: &str,
    count: u64,
) -> anyhow::Result<u64> {
    let entries = (0..count).map(|_| {
        Ok(BatchEntry {
            workflow: WORKFLOW.to_owned(),
            version: None,
            lane: None,
            input: Some(serde_json::value::RawValue::from_string(input.to_owned())?),
            idempotency_key: None,
        })
    });
    let entries = entries.collect::<anyhow::Result<Vec<_>>>()?;
    let answer = client.submit_batch(tenant, entries).await.context("a batch was refused")?;
    match answer.results.into_iter().find_map(|result| result.problem) {
        Some(problem) => Err(anyhow::anyhow!("a run was refused: {problem}")),
        None => Ok(count),
    }
}

fn org(number: u64) -> String {
    format!("org-{number}")
}

fn tenant(number: u64) -> String {
    format!("tenant-{number}")
}
