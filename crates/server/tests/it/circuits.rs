//! Providers that are left alone: what a worker reports of one, all tenants wait for.

use fairlane_server::StoreKind;
use serde_json::{Value, json};

use crate::harness::{Harness, Worker};

/// One call of a tool.
const CALL: &str = "
workflow: NAME
version: 1
steps:
  call:
    task: call
    tool: NAME
";

/// A server on a store that lasts, with a tool of that name and a workflow that calls it.
async fn start(tool: &str, spec: Value) -> Harness {
    let harness = Harness::start_on(StoreKind::Sqlite).await;
    harness.declare().await;
    harness.operator.put(&format!("/v1/catalog/tools/{tool}"), spec).await.ok();
    harness.workflow(tool, &CALL.replace("NAME", tool)).await;
    harness
}

async fn submit(harness: &Harness, tenant: &str, workflow: &str) -> String {
    let path = format!("/v1/tenants/{tenant}/runs");
    let run = harness.operator.post(&path, json!({ "workflow": workflow, "input": {} })).await;
    run.ok()["run"].as_str().unwrap().to_owned()
}

/// The attempt failed, and the provider had that to say.
async fn fail(worker: &Worker, lease: &Value, says: Value) {
    let mut failed = json!({ "class": "bureau", "retryable": false });
    failed.as_object_mut().unwrap().extend(says.as_object().unwrap().clone());
    worker.exchange(0, 0, json!([{ "lease": lease["lease"], "failed": failed }])).await;
}

async fn needs(harness: &Harness, tenant: &str, run: &str) -> Value {
    let path = format!("/v1/tenants/{tenant}/runs/{run}/explain");
    harness.operator.get(&path).await.ok()["steps"][0]["waits"].clone()
}

async fn circuit(harness: &Harness, tool: &str) -> Value {
    let path = format!("/v1/catalog/tools/{tool}/limits");
    harness.operator.get(&path).await.ok()["circuit"].clone()
}

/// What the decision log says of circuits, oldest first.
async fn logged(harness: &Harness) -> Vec<Value> {
    let read = harness.operator.get("/v1/platform/decisions").await.ok();
    let all = read["items"].as_array().unwrap().iter().rev();
    let is_of_tool = |entry: &&Value| entry["code"].as_str().unwrap().starts_with("tool-");
    all.filter(is_of_tool).cloned().collect()
}

#[tokio::test]
async fn a_provider_that_asks_to_be_left_alone_is_called_by_no_tenant() {
    let harness = start("bureau", json!({})).await;
    submit(&harness, "a", "bureau").await;
    let waiting = submit(&harness, "b", "bureau").await;
    let worker = harness.worker("w");
    assert_eq!(circuit(&harness, "bureau").await, json!({ "state": "closed" }));
    fail(&worker, &worker.lease().await, json!({ "retry_after_ms": 3_600_000 })).await;
    assert_eq!(worker.exchange(9, 0, json!([])).await["leases"], json!([]));
    let circuit = circuit(&harness, "bureau").await;
    assert_eq!((&circuit["state"], &circuit["why"]), (&json!("open"), &json!("retry_after")));
    let waits = needs(&harness, "b", &waiting).await;
    let until = circuit["until"].as_str().unwrap();
    assert_eq!(waits["opens_at"], until);
    let because = format!("its provider asked to be left alone until {until}");
    assert_eq!(waits["needs"], format!("tool `bureau` to be called again: {because}"));
    let entries = logged(&harness).await;
    assert_eq!(entries.len(), 1, "{entries:?}");
    assert_eq!(entries[0]["code"], "tool-shut");
    let facts = &entries[0]["facts"];
    assert_eq!((&facts["tool"], &facts["why"]), (&json!("bureau"), &json!("retry_after")));
    assert!(facts["until"].is_u64(), "{facts}");
}

#[tokio::test]
async fn after_its_time_one_call_tries_a_provider_and_opens_it_for_all() {
    let harness = start("bureau", json!({})).await;
    submit(&harness, "a", "bureau").await;
    for _ in 0..3 {
        submit(&harness, "b", "bureau").await;
    }
    let worker = harness.worker("w");
    fail(&worker, &worker.lease().await, json!({ "retry_after_ms": 50 })).await;
    let trial = worker.lease().await;
    assert_eq!(worker.exchange(9, 0, json!([])).await["leases"], json!([]), "one at a time");
    let state = json!({ "state": "half_open", "why": "retry_after" });
    assert_eq!(circuit(&harness, "bureau").await, state);
    worker.complete(&trial, json!({})).await;
    assert_eq!(circuit(&harness, "bureau").await, json!({ "state": "closed" }));
    worker.echo(2).await;
    let codes: Vec<Value> =
        logged(&harness).await.iter().map(|entry| entry["code"].clone()).collect();
    assert_eq!(codes, ["tool-shut", "tool-open"]);
}

#[tokio::test]
async fn so_many_failures_in_a_row_open_the_circuit_of_a_tool_with_a_breaker() {
    let breaker = json!({ "failures": 2, "open_for": "1h" });
    let harness = start("bureau", json!({ "breaker": breaker })).await;
    for _ in 0..2 {
        submit(&harness, "a", "bureau").await;
    }
    let worker = harness.worker("w");
    for _ in 0..2 {
        fail(&worker, &worker.lease().await, json!({ "provider_down": true })).await;
    }
    let circuit = circuit(&harness, "bureau").await;
    assert_eq!((&circuit["state"], &circuit["why"]), (&json!("open"), &json!("failures")));
    let waiting = submit(&harness, "b", "bureau").await;
    assert_eq!(worker.exchange(9, 0, json!([])).await["leases"], json!([]));
    let waits = needs(&harness, "b", &waiting).await;
    let words = waits["needs"].as_str().unwrap();
    assert!(words.contains("its circuit is open after 2 failures in a row until 2"), "{words}");
}

#[tokio::test]
async fn a_span_that_is_no_time_to_wait_is_refused_at_its_place() {
    let harness = start("bureau", json!({})).await;
    submit(&harness, "a", "bureau").await;
    let worker = harness.worker("w");
    let lease = worker.lease().await["lease"].clone();
    for millis in [0_u64, 86_400_001, u64::MAX] {
        let failed = json!({ "class": "busy", "retry_after_ms": millis });
        let report = json!([{ "lease": lease, "failed": failed }]);
        let refusal = worker.try_exchange(0, 0, report).await.refusal();
        let at = "/report/0/failed/retry_after_ms".to_owned();
        assert_eq!(refusal, (422, "out-of-range".into(), at), "{millis}");
    }
}
