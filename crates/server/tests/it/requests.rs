//! How many requests are taken, and of whom; and what workers of some tenants are given.

use serde_json::json;

use crate::harness::{Client, Harness, LONG_MS, Worker};

/// How many of so many reads of its tenant a client is let do, and the last refusal.
async fn taken(client: &Client, tenant: &str, sent: usize) -> (usize, Option<serde_json::Value>) {
    let (mut taken, mut refused) = (0, None);
    for _ in 0..sent {
        let reply = client.get(&format!("/v1/tenants/{tenant}")).await;
        if reply.status == 200 {
            taken += 1;
        } else {
            assert_eq!(reply.refusal(), (429, "too-many-requests".into(), String::new()));
            refused = Some(reply.problem());
        }
    }
    (taken, refused)
}

#[tokio::test]
async fn a_key_sends_as_often_as_it_may_and_others_of_its_tenant_go_on() {
    let harness = Harness::start().await;
    let body = json!({ "role": "tenant", "tenant": "a", "requests_per_second": 1 });
    let made = harness.operator.post("/v1/platform/keys", body.clone()).await;
    assert_eq!(made.json()["key"]["requests_per_second"], 1);
    let slow = harness.client(body).await;
    let (count, refused) = taken(&slow, "a", 100).await;
    // Ten at once, and one for each second that it took.
    assert!((10..60).contains(&count), "{count}");
    let refused = refused.unwrap();
    assert_eq!(refused["facts"], json!({ "of": "key", "requests_per_second": 1 }));
    assert!((1..=1_000).contains(&refused["retry_after_ms"].as_u64().unwrap()), "{refused}");
    let other = harness.client(json!({ "role": "tenant", "tenant": "a" })).await;
    assert_eq!(taken(&other, "a", 30).await.0, 30);
    let body = json!({ "role": "operator", "requests_per_second": 0 });
    let reply = harness.operator.post("/v1/platform/keys", body).await;
    assert_eq!(reply.refusal().2, "/requests_per_second");
}

#[tokio::test]
async fn a_tenant_sends_as_often_as_it_may_with_all_its_keys_and_no_other_is_refused() {
    let harness = Harness::start_with(|config| {
        config.store = fairlane_server::StoreKind::Memory;
        config.tenant_requests_per_second = 1;
    })
    .await;
    harness.declare().await;
    let key =
        async |tenant: &str| harness.client(json!({ "role": "tenant", "tenant": tenant })).await;
    let (one, two, b) = (key("a").await, key("a").await, key("b").await);
    let (count, refused) = taken(&one, "a", 60).await;
    assert!((10..40).contains(&count), "{count}");
    assert_eq!(refused.unwrap()["facts"]["of"], "tenant");
    assert!(taken(&two, "a", 5).await.0 <= 2, "it is the same tenant");
    assert_eq!(taken(&b, "b", 10).await.0, 10);
    assert_eq!(taken(&harness.operator, "a", 100).await.0, 100);
}

#[tokio::test]
async fn nobody_is_locked_out_by_who_guesses() {
    let harness = Harness::start_with(|config| {
        config.store = fairlane_server::StoreKind::Memory;
        config.tenant_requests_per_second = 1;
    })
    .await;
    harness.declare().await;
    let own = harness.client(json!({ "role": "tenant", "tenant": "a" })).await;
    let key = own.key.clone().unwrap();
    let wrong = Client { key: Some(format!("{}0", &key[..key.len() - 1])), ..own.clone() };
    let wrong = if wrong.key == own.key {
        Client { key: Some(format!("{}1", &key[..key.len() - 1])), ..own.clone() }
    } else {
        wrong
    };
    for _ in 0..100 {
        assert_eq!(wrong.get("/v1/tenants/a").await.status, 401);
    }
    assert_eq!(taken(&own, "a", 8).await.0, 8);
}

#[tokio::test]
async fn a_worker_with_a_key_for_some_tenants_is_given_their_steps_and_told_of_no_others() {
    let harness = Harness::start().await;
    let a = harness.submit("pair", json!({ "n": 1 })).await;
    let run = json!({ "workflow": "pair", "input": { "n": 2 } });
    harness.operator.post("/v1/tenants/b/runs", run).await.ok();
    let body = json!({ "role": "worker", "tenants": ["b"] });
    let made = harness.operator.post("/v1/platform/keys", body.clone()).await;
    assert_eq!(made.json()["key"]["tenants"], json!(["b"]));
    let bound = Worker { client: harness.client(body).await, name: "w".to_owned() };
    let leases = bound.exchange(5, 0, json!([])).await["leases"].clone();
    assert_eq!(leases.as_array().unwrap().len(), 1, "{leases}");
    assert_eq!(leases[0]["input"], json!({ "n": 2 }));

    // Another worker has the same name, and a step of the other tenant.
    let common = harness.worker("w");
    let lease = common.exchange(1, LONG_MS, json!([])).await["leases"][0].clone();
    assert_eq!(lease["input"], json!({ "n": 1 }));
    let report = json!([{ "lease": lease["lease"], "completed": { "output": { "n": 9 } } }]);
    let told = bound.exchange(0, 0, report).await;
    assert_eq!(told["accepted"][0]["reason"], "unknown", "{told}");
    harness.command(&a, "cancel").await.ok();
    let told = bound.exchange(0, 0, json!([])).await;
    assert_eq!(told["revoked"], json!([]), "nor is it told what the other is to stop");
    let told = common.exchange(0, 0, json!([])).await;
    assert_eq!(told["revoked"].as_array().unwrap().len(), 1, "{told}");
    let told = bound.complete(&leases[0], json!({ "n": 3 })).await;
    assert_eq!(told["accepted"][0]["receipt"], "recorded", "{told}");
}

#[tokio::test]
async fn names_of_workers_and_of_their_tenants_are_checked() {
    let harness = Harness::start().await;
    let body = json!({ "role": "worker", "tenants": ["a", "nil"] });
    let reply = harness.operator.post("/v1/platform/keys", body).await;
    assert_eq!(reply.refusal(), (422, "unknown-tenant".into(), "/tenants/1".into()));
    let body = json!({ "role": "tenant", "tenant": "a", "tenants": ["a"] });
    let reply = harness.operator.post("/v1/platform/keys", body).await;
    assert_eq!(reply.refusal(), (422, "invalid-value".into(), "/tenants".into()));
    let client = harness.client(json!({ "role": "worker", "tenants": ["a"] })).await;
    for name in ["w@0123", &"w".repeat(48)] {
        let worker = Worker { client: client.clone(), name: name.to_owned() };
        let reply = worker.try_exchange(1, 0, json!([])).await;
        assert_eq!(reply.refusal(), (422, "invalid-name".into(), "/worker".into()));
    }
}
