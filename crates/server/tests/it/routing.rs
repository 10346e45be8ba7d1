//! An EU tenant, and a model that is fast in us-east-1 and slower in eu-west-1: where its calls go, whatever happens there.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use fairlane_fake_provider::{Provider, Reply as Said};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::harness::{Harness, LONG_MS};

const ASK: &str = "
workflow: ask
version: 1
steps:
  ask:
    model: compliance
    prompt: Is {{ amount }} too much?
    with: { amount: input.amount }
    max_tokens: 500
    retry: { attempts: 2, backoff: 1ms..1ms }
";

/// Somebody who counts who comes, and says nothing.
struct Listener {
    url: String,
    connections: Arc<AtomicUsize>,
}

impl Listener {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = connections.clone();
        tokio::spawn(async move {
            while listener.accept().await.is_ok() {
                counted.fetch_add(1, Ordering::SeqCst);
            }
        });
        Self { url, connections }
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

struct Stage {
    harness: Harness,
    eu: Provider,
}

impl Stage {
    /// A server in eu-west-1. `us` is the first candidate, and `eu` the second.
    async fn start(us: &str) -> Self {
        let harness = Harness::start_with(|config| config.region = String::from("eu-west-1")).await;
        harness.declare().await;
        let stage = Self { harness, eu: Provider::start().await.unwrap() };
        let operator = &stage.harness.operator;
        stage.endpoint("us", us, "us-east-1", json!({})).await;
        stage.endpoint("eu", &stage.eu.url("/v1"), "eu-west-1", json!({})).await;
        let price = json!({ "versions": [{ "input": "2.00", "output": "10.00" }] });
        operator.put("/v1/catalog/prices/large", price).await.ok();
        stage.candidates(&["us", "eu"]).await;
        operator.put_yaml("/v1/workflows/ask", ASK).await.ok();
        stage.tenant(json!({ "data_residency": { "zone": "eu" } })).await;
        stage
    }

    async fn endpoint(&self, name: &str, url: &str, region: &str, more: Value) {
        let mut tool = json!({
            "endpoint": { "protocol": "chat", "url": url, "allow_private": true },
            "breaker": { "failures": 1, "open_for": "1h" },
            "region": region, "storage_region": region,
        });
        tool.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.harness.operator.put(&format!("/v1/catalog/tools/{name}"), tool).await.ok();
    }

    async fn candidates(&self, endpoints: &[&str]) {
        let candidate = |endpoint: &&str| json!({ "endpoint": endpoint, "model": "large" });
        let candidates: Vec<Value> = endpoints.iter().map(candidate).collect();
        let model = json!({ "candidates": candidates });
        self.harness.operator.put("/v1/catalog/models/compliance", model).await.ok();
    }

    async fn tenant(&self, rules: Value) {
        let mut tenant = json!({ "org": "org", "tier": "standard" });
        tenant.as_object_mut().unwrap().extend(rules.as_object().unwrap().clone());
        self.harness.operator.put("/v1/tenants/a", tenant).await.ok();
    }

    async fn ended(&self) -> Value {
        let body = json!({ "workflow": "ask", "input": { "amount": 5_000 } });
        let path = format!("/v1/tenants/a/runs?wait_ms={LONG_MS}");
        let reply = self.harness.operator.post(&path, body).await.ok();
        assert!(reply["ended_at"].is_string(), "{reply}");
        reply
    }

    async fn explained(&self, run: &Value) -> Value {
        let path = format!("/v1/tenants/a/runs/{}/explain", run.as_str().unwrap());
        self.harness.operator.get(&path).await.ok()
    }
}

/// The endpoint of a step's last call, and what was passed over with its code.
fn route(step: &Value) -> (String, Vec<String>) {
    let call = &step["call"];
    let passed = call["passed"].as_array().unwrap().iter().map(|passed| {
        format!("{}: {}", passed["endpoint"].as_str().unwrap(), passed["code"].as_str().unwrap())
    });
    (call["endpoint"].as_str().unwrap().to_owned(), passed.collect())
}

#[tokio::test]
async fn calls_of_an_eu_tenant_go_to_the_eu_though_the_us_comes_first() {
    let us = Listener::start().await;
    let stage = Stage::start(&us.url).await;
    let run = stage.ended().await;
    assert_eq!(run["status"], "completed", "{run}");
    let explained = stage.explained(&run["run"]).await;
    let step = &explained["steps"][0];
    let (endpoint, passed) = route(step);
    assert_eq!((endpoint.as_str(), passed.len()), ("eu", 1), "{explained}");
    assert!(passed[0].starts_with("us: "), "{passed:?}");
    let reason = step["call"]["passed"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("us-east-1") && reason.contains("US"), "{reason}");
    assert_eq!(step["call"]["region"], "eu-west-1");
    assert_eq!(us.connections(), 0);
}

#[tokio::test]
async fn with_the_eu_down_nothing_goes_to_the_us_whatever_the_tenant_wants_then() {
    let us = Listener::start().await;

    // It waits, as long as it takes.
    let stage = Stage::start(&us.url).await;
    stage.eu.always(Said::status(503));
    let run = stage.harness.submit("ask", json!({ "amount": 1 })).await;
    stage.eu.has_received(1).await;
    let waits = loop {
        let explained = stage.explained(&json!(run)).await;
        let waits = explained["steps"][0]["waits"].clone();
        if waits["gate"] == "limit" {
            break waits;
        }
        tokio::task::yield_now().await;
    };
    assert!(waits["needs"].as_str().unwrap().contains("circuit"), "{waits}");

    // It fails, once it has waited as long as its tenant says.
    let stage = Stage::start(&us.url).await;
    stage.eu.always(Said::status(503));
    let outage = json!({ "wait": "1ms", "then": "fail" });
    stage.tenant(json!({ "data_residency": { "zone": "eu" }, "outage": outage })).await;
    let run = stage.ended().await;
    assert_eq!(run["status"], "failed");
    assert_eq!(run["failure"]["class"], "endpoint-down", "{run}");

    // It takes another endpoint in the zone.
    let stage = Stage::start(&us.url).await;
    stage.eu.always(Said::status(503));
    let other = Provider::start().await.unwrap();
    stage.endpoint("frankfurt", &other.url("/v1"), "eu-central-1", json!({})).await;
    stage.candidates(&["us", "eu", "frankfurt"]).await;
    let run = stage.ended().await;
    assert_eq!(run["status"], "completed", "{run}");
    assert_eq!(route(&stage.explained(&run["run"]).await["steps"][0]).0, "frankfurt");

    assert_eq!(us.connections(), 0, "and nothing was ever sent to the US");
}

#[tokio::test]
async fn a_certified_endpoint_of_an_adequate_country_is_called_until_the_switch_is_thrown() {
    let us = Provider::start().await.unwrap();
    let stage = Stage::start(&us.url("/v1")).await;
    let operator = &stage.harness.operator;
    let certified = json!({ "certificates": ["eu-us-dpf"] });
    stage.endpoint("us", &us.url("/v1"), "us-east-1", certified).await;
    stage.tenant(json!({ "data_residency": { "zone": "eu", "adequate": ["US"] } })).await;
    let endpoint = async || {
        let run = stage.ended().await;
        let explained = stage.explained(&run["run"]).await;
        (route(&explained["steps"][0]).0, explained["steps"][0]["call"]["adequate"].clone())
    };
    assert_eq!(endpoint().await.0, "eu", "no decision is declared");

    let decision = json!({
        "name": "(EU) 2023/1795", "from": "2023-07-10T00:00:00Z", "certificate": "eu-us-dpf",
    });
    let adequacy = |suspended: bool| json!({ "suspended": suspended, "decisions": [decision] });
    operator.put("/v1/catalog/adequacy/US", adequacy(false)).await.ok();
    assert_eq!(endpoint().await, ("us".to_owned(), json!("US")));
    let report = operator.get("/v1/platform/reports/residency").await.ok();
    assert_eq!(report["countries"][0]["tenant_ids"], json!(["a"]), "{report}");

    operator.put("/v1/catalog/adequacy/US", adequacy(true)).await.ok();
    let received = us.received_count();
    assert_eq!(endpoint().await.0, "eu");
    assert_eq!(us.received_count(), received);
}

#[tokio::test]
async fn a_call_through_the_gateway_that_may_go_nowhere_is_refused_for_good() {
    let us = Listener::start().await;
    let stage = Stage::start(&us.url).await;
    stage.candidates(&["us"]).await;
    let client = stage.harness.client(json!({ "role": "tenant", "tenant": "a" })).await;
    let body = json!({ "model": "compliance", "messages": [{ "role": "user", "content": "?" }] });
    let reply = client.post("/v1/chat/completions", body).await;
    assert_eq!(reply.status.as_u16(), 451, "{reply:?}");
    assert_eq!(reply.headers["x-should-retry"], "false");
    assert!(String::from_utf8_lossy(&reply.body).contains("us-east-1"), "{reply:?}");
    let body = json!({ "workflow": "ask", "input": { "amount": 1 } });
    let refused = stage.harness.operator.post("/v1/tenants/a/runs", body).await;
    assert_eq!(refused.refusal(), (451, "outside-zone".into(), "/workflow".into()));
    assert_eq!(us.connections(), 0);
}
