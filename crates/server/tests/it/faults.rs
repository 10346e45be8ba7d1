//! A store that fails: nothing is lost, nothing that was not durable is acknowledged, and the server says so.

use fairlane_store::faulty::{Fault, Faults, FaultyStore};
use fairlane_store::memory::{Disk, MemoryStore};
use fairlane_store::{Error, Store};
use serde_json::{Value, json};

use crate::harness::{Harness, Reply};

/// A server on a disk with all that the harness declares, whose commits from now on fail as said.
async fn start(disk: &Disk, faults: impl IntoIterator<Item = (u64, Fault)>) -> Harness {
    let harness = Harness::start_with_store(Box::new(MemoryStore::open(disk))).await;
    harness.declare().await;
    let faults: Faults = faults.into_iter().collect();
    let store = FaultyStore::new(MemoryStore::open(disk), faults);
    harness.restart_with_store(Box::new(store)).await
}

async fn submit(harness: &Harness, key: &str) -> Reply {
    let body = json!({ "workflow": "pair", "input": { "n": 1 } }).to_string();
    harness.operator.post_keyed("/v1/tenants/a/runs", key, &body).await
}

/// Submits under new keys until a submission is refused; gives that key, the answer, and the runs before it.
async fn submit_until_refused(harness: &Harness) -> (String, Reply, Vec<Value>) {
    let mut runs = Vec::new();
    for at in 0.. {
        let key = format!("k{at}");
        let reply = submit(harness, &key).await;
        if !reply.status.is_success() {
            return (key, reply, runs);
        }
        runs.push(reply.json()["run"].clone());
    }
    unreachable!("some commit fails")
}

/// Tries again as a client does, until the server is back.
async fn submit_until_accepted(harness: &Harness, key: &str) -> Reply {
    loop {
        let reply = submit(harness, key).await;
        if reply.status.is_success() {
            return reply;
        }
        assert_eq!(reply.status, 503, "{reply:?}");
        tokio::task::yield_now().await;
    }
}

async fn listed(harness: &Harness) -> Vec<Value> {
    let page = harness.operator.get("/v1/tenants/a/runs?limit=1000").await.ok();
    let mut runs: Vec<_> =
        page["items"].as_array().unwrap().iter().map(|run| run["id"].clone()).collect();
    runs.reverse();
    runs
}

#[tokio::test]
async fn a_full_disk_stops_what_is_new_and_loses_nothing() {
    let disk = Disk::default();
    let harness = start(&disk, [(10, Fault::Full)]).await;
    let (key, refused, mut runs) = submit_until_refused(&harness).await;
    assert_eq!(refused.refusal(), (503, "store-full".into(), String::new()));
    let again = submit_until_accepted(&harness, &key).await;
    assert_eq!(again.status, 201, "nothing of it had been written");
    runs.push(again.json()["run"].clone());
    assert_eq!(listed(&harness).await, runs);
    harness.worker("w").echo(runs.len() * 2).await;
}

#[tokio::test]
async fn probes_tell_of_a_store_that_fails() {
    let harness = start(&Disk::default(), (1..1_000).map(|at| (at, Fault::Fail))).await;
    let mut ready = harness.anonymous().get("/readyz").await;
    while ready.status == 200 {
        submit_until_refused(&harness).await;
        ready = harness.anonymous().get("/readyz").await;
    }
    assert_eq!(ready.json()["status"], "the store does not answer");
    assert_eq!(harness.anonymous().get("/healthz").await.ok()["status"], "ok");
}

#[tokio::test]
async fn a_lost_answer_is_found_again_by_its_idempotency_key() {
    let harness = start(&Disk::default(), [(10, Fault::LoseAnswer)]).await;
    let (key, refused, mut runs) = submit_until_refused(&harness).await;
    assert_eq!(refused.refusal().1, "store-unavailable");
    let again = submit_until_accepted(&harness, &key).await;
    assert_eq!((again.status.as_u16(), &again.json()["existing"]), (200, &json!(true)));
    runs.push(again.json()["run"].clone());
    assert_eq!(listed(&harness).await, runs);
}

#[tokio::test]
async fn a_report_that_was_not_committed_is_reported_again() {
    let harness = start(&Disk::default(), [2, 3, 5, 6, 8].map(|at| (at, Fault::Fail))).await;
    harness.submit("pair", json!({ "n": 1 })).await;
    let worker = harness.worker("w");
    let lease = loop {
        let reply = worker.try_exchange(1, 0, json!([])).await;
        if reply.status == 200
            && let Some(lease) = reply.json()["leases"].get(0)
        {
            break lease.clone();
        }
    };
    let report = json!([{ "lease": lease["lease"], "completed": { "output": { "n": 2 } } }]);
    let answer = loop {
        let reply = worker.try_exchange(0, 0, report.clone()).await;
        if reply.status == 200 {
            break reply.json();
        }
        assert_eq!(reply.refusal().1, "store-unavailable");
    };
    assert_eq!(answer["accepted"][0]["receipt"], "recorded", "{answer}");
    let next = loop {
        let reply = worker.try_exchange(1, 0, json!([])).await;
        if reply.status == 200
            && let Some(lease) = reply.json()["leases"].get(0)
        {
            break lease.clone();
        }
    };
    assert_eq!(next["input"], json!({ "doubled": 2 }));
}

#[tokio::test]
async fn a_server_whose_store_was_taken_serves_no_more() {
    let disk = Disk::default();
    let harness = start(&disk, []).await;
    let mut other = MemoryStore::open(&disk);
    other.claim().unwrap();
    assert_eq!(submit(&harness, "k").await.refusal().1, "store-unavailable");
    let ready = harness.anonymous().get("/readyz").await;
    assert_eq!(
        (ready.status.as_u16(), &ready.json()["status"]),
        (503, &json!("another server owns the store"))
    );
    assert_eq!(submit(&harness, "k").await.refusal().1, "store-unavailable");
    harness.server.stop().await;
}

#[tokio::test]
async fn a_store_that_never_opens_is_an_error_of_the_start() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("local.db"),
        "this is no database, and must not be overwritten",
    )
    .unwrap();
    let config = fairlane_server::Config::new(folder.path(), "127.0.0.1:0".parse().unwrap());
    let error = fairlane_server::Server::start(config).await.unwrap_err();
    assert!(matches!(error, fairlane_server::Error::Store(Error::Corrupt { .. })), "{error:?}");
}
