//! What survives, and what a server says when its store cannot be used.

use std::net::SocketAddr;

use fairlane_server::{Config, Error, Server, StoreKind};
use serde_json::json;

use crate::harness::{Harness, LONG_MS};

#[tokio::test]
async fn everything_acknowledged_is_there_after_a_restart() {
    let harness = Harness::start_on(StoreKind::Sqlite).await;
    harness.declare().await;
    let run = harness.submit("pair", json!({ "n": 3 })).await;
    let worker = harness.worker("w");
    let lease = worker.lease().await;
    let tenant = harness.client(json!({ "role": "tenant", "tenant": "a" })).await;

    let harness = harness.restart().await;
    let worker = harness.worker("w");
    let heartbeat = json!([{ "lease": lease["lease"], "heartbeat": {} }]);
    let answer = worker.exchange(0, 0, heartbeat).await;
    assert_eq!(answer["accepted"][0]["receipt"], "renewed", "the lease is still held");
    worker.complete(&lease, json!({ "n": 6 })).await;
    let lease = worker.lease().await;
    assert_eq!(lease["input"], json!({ "doubled": 6 }));

    let harness = harness.restart().await;
    let worker = harness.worker("w");
    worker.complete(&lease, json!("end")).await;
    let output = harness.operator.get(&format!("/v1/tenants/a/runs/{run}/output")).await;
    assert_eq!(output.ok(), json!({ "second": "end" }));
    let tenant = crate::harness::Client { addr: harness.server.addr(), ..tenant };
    assert_eq!(tenant.get("/v1/tenants/a/runs").await.ok()["items"][0]["id"], run);
    let workflow = harness.operator.get("/v1/workflows/pair").await.ok();
    assert_eq!(workflow["version"], 1);
}

#[tokio::test]
async fn an_idempotency_key_still_means_one_run_after_a_restart() {
    let harness = Harness::start_on(StoreKind::Sqlite).await;
    harness.declare().await;
    let submit = async |harness: &Harness, key: &str| {
        let body = json!({ "workflow": "pair", "input": { "n": 1 } }).to_string();
        let reply = harness.operator.post_keyed("/v1/tenants/a/runs", key, &body).await;
        reply.ok()["run"].clone()
    };
    let run = submit(&harness, "k").await;
    assert_ne!(submit(&harness, "other").await, run);
    assert_eq!(submit(&harness, "k").await, run);

    let harness = harness.restart().await;
    // At once, and when the keys of the store have been read.
    assert_eq!(submit(&harness, "k").await, run);
    assert_eq!(submit(&harness, "new").await, submit(&harness, "new").await);
    assert_eq!(submit(&harness, "k").await, run);
}

#[tokio::test]
async fn payloads_are_read_from_the_store_when_they_are_not_in_memory() {
    let harness = Harness::start_with(|config| config.payload_cache_bytes = 0).await;
    harness.declare().await;
    let text = "
workflow: parent
version: 1
steps:
  each:
    map: { over: input.list, parallel: 9 }
    call: { workflow: pair }
    with: { n: item }
  last:
    after: [each]
    when: size(steps.each.output) == 2
    task: last
    with: { all: steps.each.output }
";
    harness.workflow("parent", text).await;
    let worker = harness.worker("w");
    let working = tokio::spawn(async move { worker.echo(5).await });
    let path = format!("/v1/tenants/a/runs?wait_ms={LONG_MS}");
    let body = json!({ "workflow": "parent", "input": { "list": [1, 2] } });
    let answer = harness.operator.post(&path, body).await.ok();
    working.await.unwrap();
    let child = |n: u32| json!({ "second": { "doubled": n } });
    assert_eq!(answer["output"], json!({ "last": { "all": [child(1), child(2)] } }), "{answer}");
}

#[tokio::test]
async fn outputs_of_children_are_found_after_a_restart() {
    let harness = Harness::start_on(StoreKind::Sqlite).await;
    harness.declare().await;
    let text = "
workflow: parent
version: 1
steps:
  each:
    map: { over: input.list, parallel: 9 }
    call: { workflow: pair }
    with: { n: item }
  one:
    call: { workflow: pair }
    with: { n: 3 }
";
    harness.workflow("parent", text).await;
    let worker = harness.worker("w");
    let working = tokio::spawn(async move { worker.echo(6).await });
    let path = format!("/v1/tenants/a/runs?wait_ms={LONG_MS}");
    let body = json!({ "workflow": "parent", "input": { "list": [1, 2] } });
    let before = harness.operator.post(&path, body).await.ok();
    working.await.unwrap();
    let harness = harness.restart().await;
    let run = before["run"].as_str().expect("a run has an id");
    let output = harness.operator.get(&format!("/v1/tenants/a/runs/{run}/output")).await.ok();
    let child = |n: u32| json!({ "second": { "doubled": n } });
    assert_eq!(output["each"], json!([child(1), child(2)]), "{output}");
    assert_eq!(output, before["output"]);
}

#[tokio::test]
async fn two_servers_do_not_share_a_store() {
    let harness = Harness::start_on(StoreKind::Sqlite).await;
    let config = Config::new(harness.folder(), SocketAddr::from(([127, 0, 0, 1], 0)));
    let error = Server::start(config).await.unwrap_err();
    assert!(matches!(error, Error::Store(fairlane_store::Error::Locked { .. })), "{error:?}");
}

#[tokio::test]
async fn the_operators_key_of_a_new_store_is_written_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let harness = Harness::start_with(|config| config.operator_key_file = true).await;
    let path = harness.folder().join(fairlane_server::OPERATOR_KEY_FILE);
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(Some(text.trim()), harness.operator.key.as_deref());
}

#[tokio::test]
async fn the_probes_say_that_it_serves() {
    let harness = Harness::start().await;
    for path in ["/healthz", "/readyz"] {
        assert_eq!(harness.anonymous().get(path).await.ok()["status"], "ok", "{path}");
    }
}

#[tokio::test]
async fn a_stopping_server_answers_its_long_polls() {
    let harness = Harness::start().await;
    let worker = harness.worker("w");
    let poll = tokio::spawn(async move { worker.try_exchange(1, 60_000, json!([])).await });
    let pool = || async { harness.operator.get("/v1/platform/pools/main").await.ok() };
    while pool().await["workers"] != 1 {}
    harness.server.stop().await;
    let answer = poll.await.unwrap();
    assert_eq!(answer.ok()["leases"], json!([]));
}
