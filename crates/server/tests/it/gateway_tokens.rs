//! Calls of models under a lease, and embeddings.

use fairlane_fake_provider::{Answer, Reply as Says, Usage};
use fairlane_server::StoreKind;
use serde_json::{Value, json};

use crate::gateway::{Gateway, chat, error};
use crate::harness::{Client, Harness, LONG_MS, Reply};

fn holder(gateway: &Gateway, lease: &Value) -> Client {
    let token = lease["gateway"]["token"].as_str().unwrap().to_owned();
    assert!(token.starts_with("fll_"), "{token}");
    Client { addr: gateway.harness.server.addr(), key: Some(token) }
}

async fn call(client: &Client) -> Reply {
    client.post("/v1/chat/completions", chat(&json!({ "max_tokens": 100 }))).await
}

#[tokio::test]
async fn a_call_under_a_lease_is_paid_by_its_run_and_only_as_long_as_it_is_one() {
    let gateway = Gateway::start().await;
    let class = json!({ "budget": { "run": "0.02", "month": "1.00" } });
    let operator = &gateway.harness.operator;
    operator.put("/v1/budget-classes/tight", class).await.ok();
    let tenant = json!({ "org": "org", "tier": "standard", "budget_class": "tight" });
    operator.put("/v1/tenants/a", tenant).await.ok();
    gateway.eu.always(Says::Answer(
        Answer::new("x")
            .with_usage(Usage::Json(json!({ "prompt_tokens": 1_000, "completion_tokens": 100 }))),
    ));
    gateway.harness.submit("pair", json!({ "n": 1 })).await;
    let worker = gateway.harness.worker("w");
    let lease = worker.lease().await;
    let holder = holder(&gateway, &lease);
    call(&holder).await.ok();
    assert_eq!(gateway.spent().await.0, "0.015");
    let reply = call(&holder).await;
    assert_eq!(error(&reply).1, "budget-exhausted");
    assert_eq!(reply.json()["error"]["fairlane"]["facts"]["account"], "run");
    call(&gateway.tenant).await.ok();
    assert_eq!(holder.get("/v1/models").await.ok()["data"][0]["id"], "reasoner");

    worker.complete(&lease, json!({ "n": 1 })).await;
    let reply = call(&holder).await;
    assert_eq!(error(&reply), (409, "stale-lease".into(), "invalid_request_error".into()));
    assert_eq!(reply.headers["x-should-retry"], "false");
}

#[tokio::test]
async fn the_token_of_a_lease_opens_nothing_else_and_no_other_tenant() {
    let gateway = Gateway::start().await;
    gateway.harness.submit("pair", json!({ "n": 1 })).await;
    let lease = gateway.harness.worker("w").lease().await;
    let holder = holder(&gateway, &lease);
    for path in ["/v1/tenants/a/budgets", "/v1/orgs", "/v1/workflows/pair"] {
        assert_eq!(holder.get(path).await.refusal().1, "unauthenticated", "{path}");
    }
    let mut request = holder.request(hyper::Method::GET, "/v1/models", "");
    request.headers_mut().insert("x-fairlane-tenant", "b".parse().unwrap());
    assert_eq!(error(&holder.send(request).await).1, "unknown-tenant");
    let token = holder.key.clone().unwrap();
    let forged = Client { key: Some(format!("{token}A")), ..holder };
    assert_eq!(error(&call(&forged).await).1, "unauthenticated");
}

#[tokio::test]
async fn a_token_outlives_the_server_as_its_lease_does() {
    let harness = Harness::start_on(StoreKind::Sqlite).await;
    let gateway = Gateway::on(harness).await;
    gateway.harness.submit("pair", json!({ "n": 1 })).await;
    let worker = gateway.harness.worker("w");
    let exchanged = worker.exchange(1, LONG_MS, json!([])).await;
    let before = holder(&gateway, &exchanged["leases"][0]);
    let Gateway { harness, eu, us, tenant } = gateway;
    let harness = harness.restart().await;
    let holder = Client { addr: harness.server.addr(), ..before };
    call(&holder).await.ok();
    drop((eu, us, tenant));
}

#[tokio::test]
async fn embeddings_are_passed_on_and_cost_what_goes_in() {
    let gateway = Gateway::start().await;
    let usage = json!({ "prompt_tokens": 500, "total_tokens": 500 });
    gateway.eu.always(Says::Answer(Answer::new("").with_usage(Usage::Json(usage))));
    let body = json!({ "model": "reasoner", "input": ["one", "two"], "dimensions": 4 });
    let reply = gateway.tenant.post("/v1/embeddings", body.clone()).await;
    assert_eq!(reply.ok()["data"].as_array().unwrap().len(), 2);
    assert_eq!(reply.headers["x-fairlane-served-by"], "eu/large");
    let received = gateway.eu.received();
    assert_eq!(received[0].path, "/v1/embeddings");
    assert_eq!(
        received[0].json(),
        json!({ "model": "large", "input": ["one", "two"], "dimensions": 4 })
    );
    assert_eq!(gateway.spent().await, ("0.005".into(), "0.00".into()));

    gateway.eu.always(Says::Answer(Answer::new("").with_usage(Usage::Missing)));
    gateway.tenant.post("/v1/embeddings", body.clone()).await.ok();
    let (posted, uncertain) = gateway.spent().await;
    assert_eq!((posted.as_str(), uncertain.as_str()), ("0.00534", "0.00034"));

    gateway.eu.always(Says::status(500));
    let reply = gateway.tenant.post("/v1/embeddings", body).await;
    assert_eq!(reply.headers["x-fairlane-served-by"], "us/small");
    let reply = gateway.tenant.post("/v1/embeddings", json!({ "model": "reasoner" })).await;
    assert_eq!(error(&reply), (400, "invalid-value".into(), "invalid_request_error".into()));
    assert_eq!(reply.json()["error"]["param"], "input");
}
