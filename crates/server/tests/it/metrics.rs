//! `/metrics`: who may read it, and that it says what happened.

use hyper::StatusCode;
use serde_json::json;

use crate::harness::{Client, Harness, Worker};

async fn scrape(client: &Client) -> String {
    let reply = client.get("/metrics").await;
    assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
    let kind = reply.headers["content-type"].to_str().unwrap();
    assert!(kind.starts_with("application/openmetrics-text; version=1.0.0"), "{kind}");
    String::from_utf8(reply.body.to_vec()).unwrap()
}

/// The value of the series, written as it is in the text.
fn value<'a>(text: &'a str, series: &str) -> &'a str {
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series} in\n{text}"))
}

#[tokio::test]
async fn metrics_say_what_happened() {
    let harness = Harness::start_with(|config| {
        config.store = fairlane_server::StoreKind::Memory;
        config.metrics_tenants = vec!["b".into(), "unknown".into()];
    })
    .await;
    harness.declare().await;
    for n in 0..3 {
        harness.submit("pair", json!({ "n": n })).await;
    }
    let worker: Worker = harness.worker("w");
    worker.echo(6).await;
    // What was told before is told for a second.
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let text = scrape(&harness.operator).await;
    assert_eq!(value(&text, r#"fairlane_tenants{region="local"}"#), "2.0");
    assert_eq!(value(&text, r#"fairlane_pool_slots{region="local",pool="main"}"#), "100.0");
    assert_eq!(value(&text, r#"fairlane_state{region="local"}"#), "0.0");
    assert_eq!(value(&text, r#"fairlane_decisions_total{region="local",code="admitted"}"#), "3.0");
    let took = r#"fairlane_tier_latency_seconds{region="local",tier="standard",quantile="0.5"}"#;
    assert!(value(&text, took).parse::<f64>().unwrap() > 0.0);
    assert_eq!(value(&text, r#"fairlane_tenant_slots{region="local",tenant="b"}"#), "0.0", "named");
    assert!(!text.contains("unknown"), "{text}");
    assert!(text.ends_with("# EOF\n"), "{text}");
}

#[tokio::test]
async fn an_operator_and_the_token_for_metrics_read_them_and_nobody_else() {
    const TOKEN: &str = "a-secret-of-prometheus";
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, format!("{TOKEN}\n")).unwrap();
    let harness = Harness::start_with(|config| {
        config.store = fairlane_server::StoreKind::Memory;
        config.metrics_token_file = Some(file);
    })
    .await;
    harness.declare().await;
    scrape(&harness.operator).await;
    let prometheus = Client { key: Some(TOKEN.into()), ..harness.anonymous() };
    scrape(&prometheus).await;
    for path in ["/v1/platform/overview", "/v1/platform/tenants", "/v1/tenants/a/readings"] {
        assert_eq!(prometheus.get(path).await.refusal().0, 401, "{path}");
    }
    assert_eq!(harness.anonymous().get("/metrics").await.refusal().0, 401);
    let almost = Client { key: Some(TOKEN[1..].into()), ..harness.anonymous() };
    assert_eq!(almost.get("/metrics").await.refusal().0, 401);
    let tenant = harness.client(json!({ "role": "tenant", "tenant": "a" })).await;
    assert_eq!(tenant.get("/metrics").await.refusal().0, 403);
}

#[tokio::test]
async fn a_token_that_can_be_guessed_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "short").unwrap();
    let mut config = fairlane_server::Config::new(folder.path(), crate::harness::free_port());
    config.metrics_token_file = Some(file);
    let error = fairlane_server::Server::start(config).await.unwrap_err().to_string();
    assert!(error.contains("16 characters"), "{error}");
}
