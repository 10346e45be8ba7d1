//! What people decide of a run that is halted for want of money: an output by hand, or a cheaper model.

use fairlane_fake_provider::{Answer, Provider, Reply, Usage};
use serde_json::{Value, json};

use crate::harness::Harness;

const LOAN: &str = "
workflow: loan
version: 1
steps:
  check:
    task: check
    cost: 0.10
    output: { schema: { type: object, required: [ok], properties: { ok: { type: boolean } } } }
  decide:
    after: [check]
    task: decide
    with: { ok: steps.check.output.ok }
";

/// A run of `loan` that is halted at `check`.
async fn halted() -> (Harness, String) {
    let harness = Harness::start().await;
    harness.workflow("loan", LOAN).await;
    let run = harness.submit("loan", json!({})).await;
    let path = format!("/v1/tenants/a/runs/{run}");
    harness.operator.put(&format!("{path}/budget"), json!({ "limit": "0.05" })).await.ok();
    // It is tried when it could have a slot.
    let leases = harness.worker("w").exchange(1, 0, json!([])).await["leases"].clone();
    assert_eq!(leases, json!([]));
    let run_now = harness.run(&run).await;
    assert_eq!(run_now["run"]["status"], "paused", "{run_now}");
    (harness, path)
}

async fn decided(harness: &Harness, code: &str) -> Vec<(Value, Value)> {
    let log = harness.operator.get("/v1/tenants/a/decisions").await.ok();
    let entries = log["items"].as_array().unwrap().iter();
    entries
        .filter(|entry| entry["code"] == code)
        .map(|entry| (entry["by"].clone(), entry["facts"].clone()))
        .collect()
}

#[tokio::test]
async fn a_tenant_gives_the_output_of_a_step_that_cannot_be_paid_for() {
    let (harness, path) = halted().await;
    let a = harness.client(json!({ "role": "tenant", "tenant": "a" })).await;
    let resolve = format!("{path}/resolve");
    let body = json!({ "step": "check", "output": { "ok": true } });
    let done = a.post(&resolve, body.clone()).await.ok();
    assert_eq!(done["status"], "running");

    let lease = harness.worker("w").lease().await;
    assert_eq!((&lease["step"], &lease["input"]), (&json!("decide"), &json!({ "ok": true })));
    let keys = harness.operator.get("/v1/platform/keys").await.ok();
    let key = keys["items"].as_array().unwrap().iter().find(|key| key["role"] == "tenant").unwrap();
    let run = path.rsplit('/').next().unwrap();
    let facts = json!({ "run": run, "step": "check" });
    let by = format!("key:{}", key["id"].as_str().unwrap());
    assert_eq!(decided(&harness, "resolved-by-hand").await, [(json!(by), facts)]);
    let again = a.post(&resolve, body).await.refusal();
    assert_eq!(again, (409, "wrong-status".into(), String::new()));
}

#[tokio::test]
async fn an_output_by_hand_is_checked_as_one_that_a_worker_reports() {
    let (harness, path) = halted().await;
    let resolve = format!("{path}/resolve");
    let rows = [
        (json!({ "step": "check", "output": { "ok": 1 } }), 422, "invalid-value", "/output"),
        (json!({ "step": "check", "output": null }), 422, "invalid-value", "/output"),
        (json!({ "step": "none", "output": {} }), 422, "unknown-step", "/step"),
        (json!({ "step": "a b", "output": {} }), 422, "invalid-name", "/step"),
        (json!({ "step": "decide", "output": {} }), 409, "wrong-status", ""),
        (json!({ "step": "check" }), 422, "invalid-value", ""),
        (json!({ "output": {} }), 422, "invalid-value", ""),
        (json!({}), 422, "invalid-value", ""),
        (
            json!({ "step": "check", "output": { "ok": true }, "cheaper_model": true }),
            422,
            "invalid-value",
            "",
        ),
        (json!({ "cheaper_model": "yes" }), 422, "invalid-value", "/cheaper_model"),
        (json!({ "model": "small" }), 422, "unknown-field", "/model"),
    ];
    for (body, status, code, pointer) in rows {
        let refusal = harness.operator.post(&resolve, body.clone()).await.refusal();
        assert_eq!(refusal, (status, code.into(), pointer.into()), "{body}");
    }
    assert!(decided(&harness, "resolved-by-hand").await.is_empty());
    harness.command(path.rsplit('/').next().unwrap(), "cancel").await.ok();
    let body = json!({ "step": "check", "output": { "ok": true } });
    assert_eq!(harness.operator.post(&resolve, body).await.refusal().0, 409);
}

#[tokio::test]
async fn a_run_goes_on_with_a_cheaper_model_that_a_person_allows() {
    let harness = Harness::start().await;
    let provider = Provider::start().await.unwrap();
    let usage = json!({ "prompt_tokens": 10, "completion_tokens": 10 });
    provider.always(Reply::Answer(Answer::new("yes").with_usage(Usage::Json(usage))));
    let operator = &harness.operator;
    let endpoint = json!({ "protocol": "chat", "url": provider.url("/v1"), "allow_private": true });
    operator.put("/v1/catalog/tools/eu", json!({ "endpoint": endpoint })).await.ok();
    let mut candidates = Vec::new();
    for (name, output) in [("large", "1000"), ("small", "10")] {
        let price = json!({ "versions": [{ "input": "1", "output": output }] });
        operator.put(&format!("/v1/catalog/prices/{name}"), price).await.ok();
        candidates.push(json!({ "endpoint": "eu", "model": name }));
    }
    operator.put("/v1/catalog/models/reasoner", json!({ "candidates": candidates })).await.ok();
    let text = "{ workflow: ask, version: 1, steps: { ask: { model: reasoner, prompt: Hi, max_tokens: 100 } } }";
    operator.put_yaml("/v1/workflows/ask", text).await.ok();
    let class = json!({ "budget": { "run": "0.05", "short": ["pause"] } });
    operator.put("/v1/budget-classes/tight", class).await.ok();
    let tenant = json!({ "org": "org", "tier": "standard", "budget_class": "tight" });
    operator.put("/v1/tenants/a", tenant).await.ok();

    let run = harness.submit("ask", json!({})).await;
    let path = format!("/v1/tenants/a/runs/{run}");
    let mut status = json!("running");
    while status == "running" {
        status = operator.get(&path).await.ok()["run"]["status"].clone();
    }
    assert_eq!(status, "paused");
    operator.post(&format!("{path}/resolve"), json!({ "cheaper_model": true })).await.ok();
    assert!(operator.get(&format!("{path}/events")).await.status.is_success());
    let done = operator.get(&path).await.ok();
    assert_eq!(done["run"]["status"], "completed", "{done}");
    let call = &done["steps"][0]["call"];
    assert_eq!((&call["served_by"], &call["degraded"]), (&json!("small"), &json!("cheaper_model")));
    assert_eq!(decided(&harness, "cheaper-model-allowed").await.len(), 1);
}
