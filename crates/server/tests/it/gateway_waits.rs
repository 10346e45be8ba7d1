//! Calls that wait until there is room for them.

use std::time::Duration;

use fairlane_fake_provider::Reply as Says;
use fairlane_server::StoreKind;
use hyper::StatusCode;
use serde_json::json;

use crate::gateway::{Gateway, chat, error};
use crate::harness::{Harness, Reply};

/// One call at a time at the only endpoint.
async fn gateway(wait_ms: u64) -> Gateway {
    let harness = Harness::start_with(|config| {
        config.store = StoreKind::Memory;
        config.gateway_wait_ms = wait_ms;
        config.drain_ms = 200;
    });
    let gateway = Gateway::on(harness.await).await;
    gateway.model(&[("eu", "large")]).await;
    let operator = &gateway.harness.operator;
    let mut eu = operator.get("/v1/catalog/tools/eu").await.ok();
    eu.as_object_mut().unwrap().remove("name");
    eu["limits"] = json!([{ "concurrent": { "calls": 1 } }]);
    operator.put("/v1/catalog/tools/eu", eu).await.ok();
    gateway
}

/// A call by a client that waits for the answer as long as the task lives.
fn call(gateway: &Gateway, word: &str) -> tokio::task::JoinHandle<Reply> {
    let (tenant, body) = (gateway.tenant.clone(), chat(&json!({ "user": word })));
    tokio::spawn(async move { tenant.post("/v1/chat/completions", body).await })
}

/// Until the provider has had so many requests.
async fn received(gateway: &Gateway, count: u64) {
    while gateway.eu.received_count() < count {
        tokio::task::yield_now().await;
    }
}

/// Long enough for a call to come to the cell; if it does not, the test proves less and does not fail.
async fn comes() {
    tokio::time::sleep(Duration::from_millis(50)).await;
}

#[tokio::test]
async fn a_call_waits_until_the_one_before_it_is_over() {
    let gateway = gateway(600_000).await;
    gateway.eu.next(Says::Silence);
    let first = call(&gateway, "first");
    received(&gateway, 1).await;
    let second = call(&gateway, "second");
    comes().await;
    first.abort();
    let reply = second.await.unwrap();
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.json());
    assert_eq!(Gateway::sent(&gateway.eu)["user"], "second");
    assert_ne!(gateway.spent().await.0, "0.00");
}

#[tokio::test]
async fn a_client_that_goes_away_while_it_waits_costs_nothing() {
    let gateway = gateway(600_000).await;
    gateway.eu.next(Says::Silence);
    let first = call(&gateway, "first");
    received(&gateway, 1).await;
    let second = call(&gateway, "second");
    comes().await;
    let third = call(&gateway, "third");
    comes().await;
    second.abort();
    first.abort();
    let reply = third.await.unwrap();
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.json());
    gateway.spent().await;
    let users: Vec<_> =
        gateway.eu.received().iter().map(|sent| sent.json()["user"].clone()).collect();
    assert_eq!(users.last().unwrap(), "third");
}

#[tokio::test]
async fn a_gateway_without_patience_refuses_at_once() {
    let gateway = gateway(0).await;
    gateway.eu.next(Says::Silence);
    let first = call(&gateway, "first");
    received(&gateway, 1).await;
    let reply = gateway.chat(json!({})).await;
    assert_eq!(error(&reply), (429, "provider-limit".into(), "rate_limit_error".into()));
    first.abort();
}
