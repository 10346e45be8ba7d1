//! Erasures, asked for through the API: what is gone, what is not, and who may ask.

use std::time::Duration;

use fairlane_server::StoreKind;
use serde_json::{Value, json};

use crate::harness::{Client, Harness};

/// Runs of it say whom they are about.
const LOAN: &str = "
workflow: loan
version: 1
input: { subject: applicant.id }
steps:
  first:
    task: first
    with: { n: input.applicant.id }
";

async fn start() -> Harness {
    let harness = Harness::start_on(StoreKind::Sqlite).await;
    harness.declare().await;
    harness.workflow("loan", LOAN).await;
    harness
}

fn about(person: &Value) -> Value {
    json!({ "applicant": { "id": person, "note": "zanzibar-marker" } })
}

async fn done(client: &Client, tenant: &str, asked: &Value) -> Value {
    let path = format!("/v1/tenants/{tenant}/erasures/{}", asked["id"].as_str().unwrap());
    for _ in 0..600 {
        let erasure = client.get(&path).await.ok();
        if erasure["state"] == "done" {
            return erasure;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it is never done: {asked}");
}

async fn erase(client: &Client, tenant: &str, what: Value) -> Value {
    let reply = client.post(&format!("/v1/tenants/{tenant}/erasures"), what).await;
    assert_eq!(reply.status, 202, "{reply:?}");
    done(client, tenant, &reply.json()).await
}

async fn is_there(harness: &Harness, run: &str) -> bool {
    let mut answers = Vec::new();
    for rest in ["", "/output", "/explain"] {
        let path = format!("/v1/tenants/a/runs/{run}{rest}");
        let reply = harness.operator.get(&path).await;
        answers.push(reply.status != 404 || reply.json()["code"] != "unknown-run");
    }
    assert!(answers == [true; 3] || answers == [false; 3], "{answers:?}");
    answers[0]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_there_is_of_a_person_is_gone_and_the_receipt_says_so() {
    let harness = start().await;
    let worker = harness.worker("w");
    let ada = harness.submit("loan", about(&json!("ada"))).await;
    worker.echo(1).await;
    let live = harness.submit("loan", about(&json!("ada"))).await;
    let bob = harness.submit("loan", about(&json!("bob"))).await;
    let seven = harness.submit("loan", about(&json!(7))).await;
    let keyed = harness
        .operator
        .post_keyed(
            "/v1/tenants/a/runs",
            "key-of-ada",
            &json!({ "workflow": "loan", "input": about(&json!("ada")) }).to_string(),
        )
        .await
        .ok();
    let tenant = harness.client(json!({ "role": "tenant", "tenant": "a" })).await;

    let receipt = erase(&tenant, "a", json!({ "subject": "ada" })).await;
    assert_eq!((&receipt["runs"], &receipt["state"]), (&json!(3), &json!("done")));
    assert!(receipt["by"].as_str().unwrap().starts_with("key:"), "{receipt}");
    assert!(!receipt.to_string().contains("ada"), "{receipt}");
    for gone in [&ada, &live, keyed["run"].as_str().unwrap()] {
        assert!(!is_there(&harness, gone).await);
    }
    for stays in [&bob, &seven] {
        assert!(is_there(&harness, stays).await);
    }
    let listed = harness.operator.get("/v1/tenants/a/runs").await.ok();
    assert_eq!(listed["items"].as_array().unwrap().len(), 2, "{listed}");
    // The key that led to a run is free.
    let again = harness
        .operator
        .post_keyed("/v1/tenants/a/runs", "key-of-ada", r#"{"workflow":"pair","input":{"n":1}}"#)
        .await;
    assert_eq!(again.status, 201, "{again:?}");
    // A number is the same as the text of it.
    assert_eq!(erase(&tenant, "a", json!({ "subject": "7" })).await["runs"], 1);
    assert!(!is_there(&harness, &seven).await);
    // The other tenant's are not touched, whatever they are called.
    assert_eq!(erase(&harness.operator, "b", json!({ "subject": "bob" })).await["runs"], 0);
    assert!(is_there(&harness, &bob).await);

    let log = harness.operator.get("/v1/tenants/a/decisions").await.ok().to_string();
    assert!(log.contains("erasure-asked") && log.contains("\"erased\""), "{log}");
    let page = harness.operator.get("/v1/tenants/a/erasures?limit=1").await.ok();
    assert_eq!(page["items"].as_array().unwrap().len(), 1);
    let path = format!("/v1/tenants/a/erasures?cursor={}", page["next"].as_str().unwrap());
    assert_eq!(harness.operator.get(&path).await.ok()["items"][0]["id"], receipt["id"]);
    // A restart knows no more than that.
    let harness = harness.restart().await;
    assert!(!is_there(&harness, &ada).await && is_there(&harness, &bob).await);
    let path = format!("/v1/tenants/a/erasures/{}", receipt["id"].as_str().unwrap());
    assert_eq!(harness.operator.get(&path).await.ok(), receipt);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_a_worker_has_is_erased_when_the_worker_gives_it_back() {
    let harness = start().await;
    let worker = harness.worker("w");
    let run = harness.submit("pair", json!({ "n": 1 })).await;
    let lease = worker.lease().await;
    let reply = harness.operator.post("/v1/tenants/a/erasures", json!({ "run": run })).await;
    let asked = reply.json();
    assert_eq!((reply.status.as_u16(), &asked["state"]), (202, &json!("open")));
    assert_eq!(harness.run(&run).await["run"]["status"], "stopping");
    worker.complete(&lease, json!({ "n": 1 })).await;
    let receipt = done(&harness.operator, "a", &asked).await;
    assert_eq!((&receipt["run"], &receipt["runs"]), (&json!(run), &json!(1)));
    assert!(!is_there(&harness, &run).await);
    let retried = harness.command(&run, "retry").await;
    assert_eq!(retried.json()["code"], "unknown-run");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_of_a_tenant_is_for_the_operator_and_takes_that_it_is_suspended() {
    let harness = start().await;
    let run = harness.submit("pair", json!({ "n": 1 })).await;
    let tenant = harness.client(json!({ "role": "tenant", "tenant": "a" })).await;
    let path = "/v1/tenants/a/erasures";
    assert_eq!(tenant.post(path, json!({ "all": true })).await.refusal().1, "forbidden");
    let refused = harness.operator.post(path, json!({ "all": true })).await;
    assert_eq!(refused.refusal().1, "tenant-not-suspended");
    let suspended = json!({ "org": "org", "tier": "standard", "suspended": true, "attributes": { "contact": "ada" } });
    harness.operator.put("/v1/tenants/a", suspended).await.ok();
    let receipt = erase(&harness.operator, "a", json!({ "all": true })).await;
    assert_eq!((&receipt["all"], &receipt["runs"]), (&json!(true), &json!(1)));
    assert!(!is_there(&harness, &run).await);
    let declared = harness.operator.get("/v1/tenants/a").await.ok();
    assert!(!declared.to_string().contains("ada"), "{declared}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_for_wrongly_says_what_would_be_right() {
    let harness = start().await;
    let path = "/v1/tenants/a/erasures";
    let nobody = "00000000-0000-7000-8000-000000000000";
    let refused = [
        (json!({}), "invalid-value"),
        (json!({ "run": nobody, "subject": "ada" }), "invalid-value"),
        (json!({ "subject": "ada", "all": true }), "invalid-value"),
        (json!({ "subject": "" }), "out-of-range"),
        (json!({ "subject": "x".repeat(1_001) }), "out-of-range"),
        (json!({ "run": "ada" }), "unknown-run"),
        (json!({ "run": nobody }), "unknown-run"),
        (json!({ "person": "ada" }), "unknown-field"),
    ];
    for (what, code) in refused {
        let reply = harness.operator.post(path, what.clone()).await;
        assert_eq!(reply.refusal().1, code, "{what}");
    }
    let viewer = harness.client(json!({ "role": "viewer", "tenant": "a" })).await;
    assert_eq!(viewer.post(path, json!({ "subject": "ada" })).await.refusal().1, "forbidden");
    assert_eq!(viewer.get(path).await.status, 200);
    for id in [nobody, "none"] {
        let reply = harness.operator.get(&format!("{path}/{id}")).await;
        assert_eq!(reply.refusal().1, "unknown-erasure");
    }
    // Whom a run is about has to be said where its workflow says so.
    for (input, at) in [
        (json!({}), "/input/applicant/id"),
        (json!({ "applicant": { "id": "" } }), "/input/applicant/id"),
        (json!({ "applicant": { "id": ["ada"] } }), "/input/applicant/id"),
    ] {
        let body = json!({ "workflow": "loan", "input": input });
        let refusal = harness.operator.post("/v1/tenants/a/runs", body).await.refusal();
        assert_eq!((refusal.1.as_str(), refusal.2.as_str()), ("invalid-input", at));
    }
}
