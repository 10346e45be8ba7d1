//! Tenants are told of what happens: signed requests to a listening receiver, and what keeps them from leaving.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fairlane_fake_provider::{Provider, Received, Reply as Answer};
use fairlane_server::StoreKind;
use hmac::{Hmac, KeyInit, Mac};
use hyper::StatusCode;
use serde_json::{Value, json};

use crate::harness::Harness;

/// Looks at something that changes by itself; far more than it takes.
const LOOKS_MAX: usize = 20_000;

/// A receiver that takes everything, unless told otherwise.
async fn receiver() -> Provider {
    let receiver = Provider::start().await.unwrap();
    receiver.always(Answer::status(204));
    receiver
}

/// A server that tries again at once.
async fn start() -> Harness {
    let harness = Harness::start_with(|config| {
        config.store = StoreKind::Memory;
        config.notice_wait_ms = 1;
        config.public_url = Some("https://fairlane.example/".to_owned());
    })
    .await;
    harness.declare().await;
    harness
}

fn webhook(url: &str, events: &[&str]) -> Value {
    json!({ "webhook": { "url": url, "allow_private": true }, "events": events })
}

impl Harness {
    /// Declares a channel of a tenant, and gives its secret.
    async fn channel(&self, tenant: &str, channel: &str, spec: Value) -> String {
        let path = format!("/v1/tenants/{tenant}/channels/{channel}");
        let applied = self.operator.put(&path, spec).await.ok();
        applied["secret"].as_str().unwrap_or_default().to_owned()
    }

    async fn read_channel(&self, tenant: &str, channel: &str) -> Value {
        self.operator.get(&format!("/v1/tenants/{tenant}/channels/{channel}")).await.ok()
    }

    pub(crate) async fn test_channel(&self, tenant: &str, channel: &str) -> String {
        let path = format!("/v1/tenants/{tenant}/channels/{channel}/test");
        let reply = self.operator.post_empty(&path).await;
        assert_eq!(reply.status, StatusCode::ACCEPTED, "{reply:?}");
        reply.json()["notice"].as_str().unwrap().to_owned()
    }

    /// The tenant's notices, once so many of them are in that state.
    pub(crate) async fn notices(&self, tenant: &str, state: &str, count: usize) -> Vec<Value> {
        for _ in 0..LOOKS_MAX {
            let path = format!("/v1/tenants/{tenant}/notices?state={state}");
            let page = self.operator.get(&path).await.ok();
            let found = page["items"].as_array().unwrap();
            if found.len() == count {
                return found.clone();
            }
        }
        panic!("tenant {tenant} never has {count} notices that are {state}");
    }

    /// Waits until nothing of the tenant waits or is under way.
    pub(crate) async fn is_told(&self, tenant: &str) {
        for _ in 0..LOOKS_MAX {
            let page = self.operator.get(&format!("/v1/tenants/{tenant}/notices")).await.ok();
            let mut left = page["items"].as_array().unwrap().iter();
            if left.all(|notice| notice["state"] == "failed") {
                return;
            }
        }
        panic!("tenant {tenant} is never told all");
    }
}

/// What the header has to be for this secret.
fn signature(secret: &str, received: &Received) -> String {
    let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
    let head = |name| received.header(name).unwrap();
    let signed = format!("{}.{}.", head("webhook-id"), head("webhook-timestamp"));
    let mac = Hmac::<sha2::Sha256>::new_from_slice(&key).unwrap();
    let mac = mac.chain_update(signed).chain_update(&received.body).finalize();
    format!("v1,{}", STANDARD.encode(mac.into_bytes()))
}

fn age(received: &Received) -> u64 {
    let at: u64 = received.header("webhook-timestamp").unwrap().parse().unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    now.abs_diff(at)
}

#[tokio::test]
async fn a_receiver_that_fails_twice_is_told_in_the_end_with_a_signature_and_without_a_payload() {
    let (harness, receiver) = (start().await, receiver().await);
    receiver.next(Answer::status(500));
    receiver.next(Answer::Close);
    let secret =
        harness.channel("a", "ops", webhook(&receiver.url("/hook?x=1"), &["run.completed"])).await;
    let run = harness.submit("pair", json!({ "n": "a secret input" })).await;
    harness.worker("w").echo(2).await;
    receiver.has_received(3).await;
    harness.is_told("a").await;
    let received = receiver.received();
    assert_eq!(received.len(), 3);
    for one in &received {
        assert_eq!((one.method.as_str(), one.path.as_str()), ("POST", "/hook?x=1"));
        assert_eq!(one.header("webhook-signature"), Some(&*signature(&secret, one)));
        assert!(age(one) < 60);
        assert_eq!(one.header("webhook-id"), received[0].header("webhook-id"));
        assert_eq!(one.body, received[0].body);
        let event = one.json();
        let expected = json!({
            "id": one.header("webhook-id").unwrap(),
            "type": "run.completed",
            "tenant": "a",
            "at": event["at"],
            "run": run,
            "link": format!("https://fairlane.example/v1/tenants/a/runs/{run}"),
        });
        assert_eq!(event, expected);
    }
    assert_eq!(harness.read_channel("a", "ops").await["pending"], 0);
}

#[tokio::test]
async fn a_secret_is_shown_once() {
    let (harness, receiver) = (start().await, receiver().await);
    let spec = || webhook(&receiver.url("/"), &[]);
    let secret = harness.channel("a", "ops", spec()).await;
    assert!(secret.starts_with("whsec_") && secret.len() == 6 + 44, "{secret}");
    assert_eq!(harness.channel("a", "ops", spec()).await, "");
    let shown = harness.read_channel("a", "ops").await.to_string();
    assert!(!shown.contains("whsec_") && !shown.contains("secret"), "{shown}");
    let path = "/v1/tenants/a/channels/new?dry_run=true";
    let dry = harness.operator.put(path, spec()).await.ok();
    assert_eq!(dry, json!({ "changed": true, "dry_run": true }));
    assert_eq!(harness.operator.get("/v1/tenants/a/channels/new").await.status, 404);
}

#[tokio::test]
async fn a_rotated_secret_signs_beside_the_one_before() {
    let (harness, receiver) = (start().await, receiver().await);
    let old = harness.channel("a", "ops", webhook(&receiver.url("/"), &[])).await;
    let rotated = harness.operator.post_empty("/v1/tenants/a/channels/ops/rotate").await.ok();
    let new = rotated["secret"].as_str().unwrap();
    let notice = harness.test_channel("a", "ops").await;
    receiver.has_received(1).await;
    let one = &receiver.received()[0];
    let both = format!("{} {}", signature(new, one), signature(&old, one));
    assert_eq!(one.header("webhook-signature"), Some(&*both));
    let event = one.json();
    assert_eq!((&event["type"], &event["id"]), (&json!("channel.test"), &json!(notice)));
    assert_eq!(event["link"], "https://fairlane.example/v1/tenants/a/channels/ops");
}

#[tokio::test]
async fn a_slow_receiver_of_one_tenant_does_not_delay_the_other() {
    let (harness, slow, quick) = (start().await, receiver().await, receiver().await);
    slow.always(Answer::Silence);
    harness.channel("a", "ops", webhook(&slow.url("/"), &[])).await;
    harness.channel("b", "ops", webhook(&quick.url("/"), &[])).await;
    for _ in 0..20 {
        harness.test_channel("a", "ops").await;
    }
    slow.has_received(2).await;
    for _ in 0..20 {
        harness.test_channel("b", "ops").await;
    }
    quick.has_received(20).await;
    harness.is_told("b").await;
    // All of the other's are still there: two under way, the others behind them.
    assert_eq!(harness.notices("a", "sending", 2).await.len(), 2);
    assert_eq!(
        (slow.received_count(), harness.read_channel("a", "ops").await["pending"].as_u64()),
        (2, Some(20))
    );
}

#[tokio::test]
async fn nothing_goes_to_a_receiver_outside_of_the_tenants_zone() {
    let (harness, receiver) = (start().await, receiver().await);
    let in_us = |events: &[&str]| {
        let mut spec = webhook(&receiver.url("/"), events);
        spec["region"] = "us-east-1".into();
        spec
    };
    harness.channel("a", "before", in_us(&["run.completed"])).await;
    let european = json!({ "org": "org", "tier": "standard", "data_residency": { "zone": "eu" } });
    // The store of the test is nowhere, so that the region that it has is declared as one of the EU.
    harness.operator.put("/v1/catalog/regions/local", json!({ "country": "DE" })).await.ok();
    harness.operator.put("/v1/tenants/a", european).await.ok();

    let reply = harness.operator.put("/v1/tenants/a/channels/after", in_us(&[])).await;
    assert_eq!(reply.refusal(), (451, "outside-zone".into(), "/region".into()));
    let detail = reply.json()["detail"].as_str().unwrap().to_owned();
    assert_eq!(
        detail,
        "the receiver works in `us-east-1` (US), where the tenant's data may not be"
    );
    let nowhere = webhook(&receiver.url("/"), &[]);
    let reply = harness.operator.put("/v1/tenants/a/channels/after", nowhere).await;
    assert_eq!(reply.refusal(), (451, "outside-zone".into(), "/region".into()));

    harness.submit("pair", json!({ "n": 1 })).await;
    harness.worker("w").echo(2).await;
    harness.test_channel("a", "before").await;
    let failed = harness.notices("a", "failed", 2).await;
    for notice in &failed {
        assert_eq!(
            (&notice["because"]["code"], &notice["attempts"]),
            (&json!("outside-zone"), &json!(0))
        );
    }
    assert_eq!((receiver.received_count(), receiver.open_connections()), (0, 0));
}

#[tokio::test]
async fn a_private_address_needs_an_operators_word_and_is_not_connected_to() {
    let (harness, receiver) = (start().await, receiver().await);
    let tenant = harness.client(json!({ "role": "tenant", "tenant": "a" })).await;
    let reply = tenant.put("/v1/tenants/a/channels/ops", webhook(&receiver.url("/"), &[])).await;
    assert_eq!(reply.refusal(), (403, "forbidden".into(), "/webhook/allow_private".into()));
    let here = format!("https://{}/", receiver.address());
    for url in [here.as_str(), "https://10.0.0.1/", "https://localhost/hook", "https://[::1]/"] {
        let spec = json!({ "webhook": { "url": url }, "events": [] });
        let reply = tenant.put("/v1/tenants/a/channels/ops", spec).await;
        let (status, code, pointer) = reply.refusal();
        assert_eq!((status, code.as_str()), (422, "invalid-value"), "{url}");
        assert_eq!(pointer, "/webhook/url");
    }
    for url in ["http://169.254.1.1/", "https://[fe80::1]/", "http://169.254.169.254/latest"] {
        let reply = harness.operator.put("/v1/tenants/a/channels/ops", webhook(url, &[])).await;
        assert_eq!(reply.refusal().1, "invalid-value", "{url}");
    }
    assert_eq!(receiver.open_connections(), 0);
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_a_receiver_that_is_gone_closes_the_channel() {
    let (harness, receiver, other) = (start().await, receiver().await, receiver().await);
    receiver.next(Answer::Redirect { status: 307, to: other.url("/") });
    receiver.next(Answer::status(410));
    harness.channel("a", "ops", webhook(&receiver.url("/"), &[])).await;
    let notice = harness.test_channel("a", "ops").await;
    let failed = harness.notices("a", "failed", 1).await;
    assert_eq!((&failed[0]["id"], &failed[0]["last"]["status"]), (&json!(notice), &json!(410)));
    assert_eq!((other.received_count(), receiver.received_count()), (0, 2));
    let channel = harness.read_channel("a", "ops").await;
    assert_eq!((&channel["state"], &channel["failed"]), (&json!("gone"), &json!(1)));
    let reply = harness.operator.post_empty("/v1/tenants/a/channels/ops/test").await;
    assert_eq!(reply.refusal().1, "channel-closed");
    let path = format!("/v1/tenants/a/notices/{notice}/redeliver");
    assert_eq!(harness.operator.post_empty(&path).await.refusal().1, "channel-closed");
    // It is declared again, and what was given up is delivered.
    harness.channel("a", "ops", webhook(&receiver.url("/"), &[])).await;
    assert_eq!(harness.operator.post_empty(&path).await.status, StatusCode::ACCEPTED);
    receiver.has_received(3).await;
    harness.is_told("a").await;
    assert_eq!(harness.notices("a", "failed", 0).await.len(), 0);
    assert_eq!(harness.operator.post_empty(&path).await.refusal().1, "unknown-notice");
}

#[tokio::test]
async fn a_large_answer_is_not_read_and_counts_by_its_status() {
    let (harness, receiver) = (start().await, receiver().await);
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 9999999999\r\ncontent-encoding: gzip\r\n\r\n";
    receiver.next(Answer::Raw(format!("{head}some").into_bytes()));
    harness.channel("a", "ops", webhook(&receiver.url("/"), &[])).await;
    harness.test_channel("a", "ops").await;
    receiver.has_received(1).await;
    harness.is_told("a").await;
    assert_eq!(harness.notices("a", "failed", 0).await.len(), 0);
}

#[tokio::test]
async fn what_waits_is_delivered_after_a_restart() {
    let receiver = receiver().await;
    receiver.next(Answer::Silence);
    let harness = Harness::start_on(StoreKind::Sqlite).await;
    harness.declare().await;
    let secret = harness.channel("a", "ops", webhook(&receiver.url("/"), &[])).await;
    let notice = harness.test_channel("a", "ops").await;
    receiver.has_received(1).await;
    let harness = harness.restart().await;
    receiver.has_received(2).await;
    harness.is_told("a").await;
    let again = &receiver.received()[1];
    assert_eq!(again.header("webhook-id"), Some(&*notice));
    assert_eq!(again.header("webhook-signature"), Some(&*signature(&secret, again)));
}

#[tokio::test]
async fn the_mistakes_of_a_channel_are_placed() {
    let harness = start().await;
    let good = "https://hooks.example/x";
    let hook = |url: &str| json!({ "webhook": { "url": url }, "events": [] });
    for (spec, code, pointer) in [
        (json!({ "webhook": { "url": good } }), "invalid-value", ""),
        (json!({ "events": [] }), "invalid-value", ""),
        (
            json!({ "webhook": { "url": good }, "email": { "to": ["a@b.example"] }, "events": [] }),
            "invalid-value",
            "/email",
        ),
        (
            json!({ "webhook": { "url": good }, "events": ["run.completed", "run.done"] }),
            "invalid-value",
            "/events/1",
        ),
        (
            json!({ "webhook": { "url": good }, "events": ["channel.test"] }),
            "invalid-value",
            "/events/0",
        ),
        (json!({ "webhook": { "url": good }, "events": [], "x": 1 }), "unknown-field", "/x"),
        (
            json!({ "webhook": { "url": good, "secret": "s" }, "events": [] }),
            "unknown-field",
            "/webhook/secret",
        ),
        (hook("ftp://hooks.example"), "invalid-value", "/webhook/url"),
        (hook("hooks.example"), "invalid-value", "/webhook/url"),
        (hook("https://"), "invalid-value", "/webhook/url"),
        (hook("https://name:pass@hooks.example"), "invalid-value", "/webhook/url"),
        (hook("http://hooks.example"), "invalid-value", "/webhook/url"),
        (
            hook(&format!("https://hooks.example/{}", "x".repeat(2_048))),
            "invalid-value",
            "/webhook/url",
        ),
        (json!({ "email": { "to": ["a@b.example"] }, "events": [] }), "no-mail-relay", "/email"),
        (json!({ "email": { "to": ["nobody"] }, "events": [] }), "invalid-value", "/email/to/0"),
        (json!({ "email": { "to": [] }, "events": [] }), "out-of-range", "/email/to"),
        (
            json!({ "webhook": { "url": good }, "events": [], "region": "atlantis" }),
            "unknown-region",
            "/region",
        ),
    ] {
        let reply = harness.operator.put("/v1/tenants/a/channels/ops", spec.clone()).await;
        assert_eq!(reply.refusal(), (422, code.into(), pointer.into()), "{spec}");
    }
    let reply = harness.operator.put("/v1/tenants/a/channels/No!", hook(good)).await;
    assert_eq!(reply.refusal().1, "invalid-name");
    for at in 0..20 {
        harness.channel("a", &format!("c{at}"), hook(good)).await;
    }
    let reply = harness.operator.put("/v1/tenants/a/channels/more", hook(good)).await;
    assert_eq!(reply.refusal(), (422, "too-many".into(), String::new()));
    let listed = harness.operator.get("/v1/tenants/a/channels").await.ok();
    assert_eq!(listed["items"].as_array().unwrap().len(), 20);
}

#[tokio::test]
async fn another_tenants_channel_and_a_missing_one_answer_alike() {
    let harness = start().await;
    let spec = || json!({ "webhook": { "url": "https://hooks.example" }, "events": [] });
    harness.channel("b", "ops", spec()).await;
    let own = harness.client(json!({ "role": "tenant", "tenant": "a" })).await;
    for command in ["", "/rotate", "/test"] {
        let foreign = format!("/v1/tenants/b/channels/ops{command}");
        let missing = format!("/v1/tenants/none/channels/ops{command}");
        let [foreign, missing] = [foreign, missing].map(|path| async {
            let (path, own) = (path, own.clone());
            if command.is_empty() { own.get(&path).await } else { own.post_empty(&path).await }
        });
        let (foreign, missing) = (foreign.await, missing.await);
        assert_eq!(foreign.refusal(), (404, "unknown-tenant".into(), String::new()));
        assert_eq!(missing.refusal(), foreign.refusal());
        let path = format!("/v1/tenants/a/channels/ops{command}");
        let reply =
            if command.is_empty() { own.get(&path).await } else { own.post_empty(&path).await };
        assert_eq!(reply.refusal(), (404, "unknown-channel".into(), String::new()));
    }
    assert_eq!(own.delete("/v1/tenants/a/channels/ops").await.status, 404);
    own.put("/v1/tenants/a/channels/ops", spec()).await.ok();
    assert_eq!(own.delete("/v1/tenants/a/channels/ops").await.status, 204);
    assert_eq!(own.get("/v1/tenants/b/notices").await.status, 404);
}
