//! Crash safety, from outside: a server that is killed at random moments under load, over and over, checked
//! against what its clients and workers wrote down themselves.
//!
//! No acknowledged run is lost, no outcome is recorded twice, the caps hold, no slot is leaked, all runs end.

mod crash {
    pub(crate) mod record;
    pub(crate) mod server;
}

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crash::record::Record;
use crash::server::Server;
use fairlane_client::api::run::RunStatus;
use fairlane_client::api::worker::{Exchange, Lease, Report};
use fairlane_client::{Client, Definition, Submit, Write};

const KILLS: u32 = 20;
const SUBMITTERS: u32 = 6;
const WORKERS: u32 = 3;
const POOL_SLOTS: u32 = 12;
/// Tenant and cap.
const TENANTS: [(&str, u32); 3] = [("small", 2), ("middle", 4), ("large", 10)];
const WORKFLOW: &str = "
workflow: chain
version: 1
steps:
  verify: { task: verify, retry: { attempts: 100, backoff: 10ms..50ms } }
  credit: { task: credit, after: verify, with: { before: steps.verify.output }, retry: { attempts: 100, backoff: 10ms..50ms } }
  decide: { task: decide, after: credit, with: { before: steps.credit.output }, retry: { attempts: 100, backoff: 10ms..50ms } }
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_twenty_times_under_load_keeps_its_promises() {
    let seed = std::env::var("FAIRLANE_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(fresh_seed);
    eprintln!("to repeat the moments of the kills: FAIRLANE_SEED={seed}");
    let mut server = Server::start().await;
    declare(&server.client()).await;
    let record = Arc::new(Record::default());
    let stop = Arc::new(AtomicBool::new(false));
    let submitters: Vec<_> = (0..SUBMITTERS)
        .map(|number| {
            tokio::spawn(submit_until(server.client(), record.clone(), stop.clone(), number))
        })
        .collect();
    let quit = Arc::new(AtomicBool::new(false));
    let workers: Vec<_> = (0..WORKERS)
        .map(|number| {
            tokio::spawn(work_until(server.client(), record.clone(), quit.clone(), number))
        })
        .collect();

    let mut random = seed;
    for _ in 0..KILLS {
        random = next(random);
        // The moment of the kill is the fault that is injected; nothing waits for it to be enough.
        tokio::time::sleep(Duration::from_millis(30 + random % 300)).await;
        server.kill();
        record.server_died();
        server.restart().await;
    }
    stop.store(true, Ordering::SeqCst);
    for submitter in submitters {
        submitter.await.expect("a submitter does not panic");
    }
    let client = server.client();
    for (tenant, run) in record.acknowledged() {
        let ended = client.wait(&tenant, &run).await.expect("an acknowledged run is there");
        assert_eq!(ended.status, RunStatus::Completed, "run {run}: {:?}", ended.failure);
        let output = client.run_output(&tenant, &run).await.expect("a completed run has an output");
        record.check_outcome(&run, &output);
    }
    quit.store(true, Ordering::SeqCst);
    for worker in workers {
        worker.await.expect("a worker does not panic");
    }
    record.check(&TENANTS, POOL_SLOTS);
    let pools = client.pools().await.expect("the pools are shown");
    assert_eq!(
        (pools[0].in_flight, pools[0].waiting),
        (0, 0),
        "slots or steps are left over: {pools:?}"
    );
    for reading in client.all_readings().await.expect("the readings are shown") {
        assert_eq!((reading.slots, reading.live_runs), (0, 0), "{reading:?}");
    }
    eprintln!("{}", record.summary());
}

async fn declare(client: &Client) {
    let org = serde_json::json!({ "weight": 1 });
    client.put_org("org", &spec(org), Write::Apply).await.expect("an organisation");
    for (tenant, cap) in TENANTS {
        let tier = serde_json::json!({ "weight": 1, "cap": cap });
        client.put_tier(tenant, &spec(tier), Write::Apply).await.expect("a tier");
        let declared = serde_json::json!({ "org": "org", "tier": tenant });
        client.put_tenant(tenant, &spec(declared), Write::Apply).await.expect("a tenant");
    }
    let pool = serde_json::json!({ "slots": POOL_SLOTS, "lease_ms": 3_000 });
    client.put_pool("default", &spec(pool), Write::Apply).await.expect("a pool");
    let workflow = Definition::Yaml(WORKFLOW);
    client.put_workflow("chain", workflow, Write::Apply).await.expect("a workflow");
}

fn spec<T: serde::de::DeserializeOwned>(json: serde_json::Value) -> T {
    serde_json::from_value(json).expect("a valid declaration")
}

/// Submits one run after the other under keys of its own, and sends each again until it is acknowledged.
async fn submit_until(client: Client, record: Arc<Record>, stop: Arc<AtomicBool>, number: u32) {
    let mut count = 0;
    while !stop.load(Ordering::SeqCst) {
        count += 1;
        // Load, but not more than the smallest tenant's two slots can work off in seconds.
        tokio::time::sleep(Duration::from_millis(20)).await;
        let (tenant, _) = TENANTS[(number as usize + count) % TENANTS.len()];
        let key = format!("{number}-{count}");
        loop {
            let submit = Submit::new("chain")
                .input(&serde_json::json!({ "key": key }))
                .idempotency_key(&key);
            match client.submit(tenant, submit).await {
                Ok(submitted) => {
                    record.acknowledge(tenant, &key, &submitted.run);
                    break;
                }
                Err(error) => assert!(error.is_unavailable(), "a submission was refused: {error}"),
            }
        }
    }
}

/// Works with the bare protocol, so that each receipt is seen. A report is sent until it is answered.
async fn work_until(client: Client, record: Arc<Record>, quit: Arc<AtomicBool>, number: u32) {
    let slots = 6;
    let mut reports: Vec<Report> = Vec::new();
    while !quit.load(Ordering::SeqCst) {
        let exchange = Exchange {
            worker: format!("worker-{number}"),
            pool: "default".into(),
            region: None,
            slots,
            want: slots,
            wait_ms: 200,
            report: reports.clone(),
        };
        let answer = match client.exchange(&exchange).await {
            Ok(answer) => answer,
            Err(error) => {
                assert!(error.is_unavailable(), "an exchange was refused: {error}");
                continue;
            }
        };
        record.receipts(&reports, &answer.accepted);
        reports = work(&record, &answer.leases).await;
    }
}

async fn work(record: &Record, leases: &[Lease]) -> Vec<Report> {
    for lease in leases {
        record.begin(lease);
    }
    tokio::time::sleep(Duration::from_millis(5)).await;
    leases
        .iter()
        .map(|lease| {
            let token = record.end(lease);
            let output = serde_json::json!({ "token": token, "input": lease.input });
            Report::completed(
                &lease.lease,
                serde_json::value::to_raw_value(&output).expect("plain JSON"),
            )
        })
        .collect()
}

fn fresh_seed() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(1, |now| u64::from(now.subsec_nanos()) | 1)
}

/// Vigna's xorshift, which is enough to spread the kills.
fn next(mut seed: u64) -> u64 {
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^ (seed << 17)
}
