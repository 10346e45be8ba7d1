//! Steps that the server does itself: calls of models and tools, against a provider that does what a test says.

use fairlane_fake_provider::{Answer, Provider, Reply as Said, Usage};
use fairlane_server::StoreKind;
use serde_json::{Value, json};

use crate::harness::{Harness, LONG_MS};

const CHECK: &str = "
workflow: check
version: 1
steps:
  ask:
    model: reasoner
    system: Answer in JSON.
    prompt: Is {{ amount }} too much for {{ who }}?
    with: { amount: input.amount, who: input.who }
    output: { schema: { type: object, required: [ok], properties: { ok: { type: boolean } } } }
    max_tokens: 500
    retry: { attempts: 2, backoff: 1ms..1ms }
";

const LOOK: &str = "
workflow: look
version: 1
steps:
  look:
    tool: bureau
    with: { id: input.id, note: input.note }
    cost: 0.05
    retry: { attempts: 2, backoff: 1ms..1ms }
";

/// A model with one candidate at the provider, at 2.00 and 10.00 a million tokens.
async fn start(store: StoreKind) -> (Harness, Provider) {
    let harness = Harness::start_on(store).await;
    harness.declare().await;
    let provider = Provider::start().await.unwrap();
    let operator = &harness.operator;
    let endpoint = json!({ "protocol": "chat", "url": provider.url("/v1"), "allow_private": true });
    operator.put("/v1/catalog/tools/maker", json!({ "endpoint": endpoint })).await.ok();
    let price = json!({ "versions": [{ "input": "2.00", "output": "10.00", "context": 8_000 }] });
    operator.put("/v1/catalog/prices/large", price).await.ok();
    let candidates = json!([{ "endpoint": "maker", "model": "large" }]);
    operator.put("/v1/catalog/models/reasoner", json!({ "candidates": candidates })).await.ok();
    operator.put_yaml("/v1/workflows/check", CHECK).await.ok();
    (harness, provider)
}

/// A tool that is one request of the provider's host.
async fn tool(harness: &Harness, provider: &Provider) {
    let url = provider.url("/people/{{ id }}");
    let headers = json!({ "x-note": "{{ note }}" });
    let request = json!({ "method": "POST", "headers": headers, "body": "{\"id\": {{ id }}}" });
    let endpoint =
        json!({ "protocol": "http", "url": url, "allow_private": true, "request": request });
    harness.operator.put("/v1/catalog/tools/bureau", json!({ "endpoint": endpoint })).await.ok();
    harness.operator.put_yaml("/v1/workflows/look", LOOK).await.ok();
}

/// Runs the workflow to its end.
async fn ended(harness: &Harness, workflow: &str, input: Value) -> Value {
    let body = json!({ "workflow": workflow, "input": input });
    let path = format!("/v1/tenants/a/runs?wait_ms={LONG_MS}");
    let reply = harness.operator.post(&path, body).await.ok();
    assert!(reply["ended_at"].is_string(), "{reply}");
    reply
}

async fn month(harness: &Harness) -> (Value, Value, Value) {
    let accounts = harness.operator.get("/v1/tenants/a/budgets").await.ok();
    let items = accounts["accounts"].as_array().unwrap();
    let month = items.iter().find(|account| account["every"] == "month").unwrap();
    (month["posted"].clone(), month["uncertain"].clone(), month["held"].clone())
}

fn loan() -> Value {
    json!({ "amount": 5_000, "who": "Ann \"A\" Lee" })
}

fn said(text: &str, input: u32, output: u32) -> Said {
    let usage = json!({ "prompt_tokens": input, "completion_tokens": output });
    Said::Answer(Answer::new(text).with_usage(Usage::Json(usage)))
}

#[tokio::test]
async fn a_model_is_asked_with_the_filled_prompt_and_paid_by_what_it_says_it_used() {
    let (harness, provider) = start(StoreKind::Sqlite).await;
    provider.next(said("{\"ok\": true, \"n\": 1.0}", 1_000, 100));
    let run = ended(&harness, "check", loan()).await;
    assert_eq!(run["output"], json!({ "ask": { "ok": true, "n": 1.0 } }));
    let asked = provider.received()[0].json();
    assert_eq!(provider.received()[0].path, "/v1/chat/completions");
    assert_eq!(asked["model"], "large");
    assert_eq!(asked["messages"][0], json!({ "role": "system", "content": "Answer in JSON." }));
    assert_eq!(asked["messages"][1]["content"], "Is 5000 too much for Ann \"A\" Lee?");
    assert_eq!(asked["max_completion_tokens"], 500);
    assert_eq!(asked["response_format"]["json_schema"]["name"], "ask");
    // 1,000 in and 100 out.
    assert_eq!(month(&harness).await, (json!("0.003"), json!("0.00"), json!("0.00")));
}

#[tokio::test]
async fn an_answer_that_breaks_the_schema_is_paid_and_asked_again() {
    let (harness, provider) = start(StoreKind::Memory).await;
    provider.next(said("I think so", 1_000, 100));
    provider.next(said("{\"ok\": false}", 1_000, 100));
    let run = ended(&harness, "check", loan()).await;
    assert_eq!(run["output"]["ask"]["ok"], false);
    assert_eq!(month(&harness).await.0, "0.006");
}

#[tokio::test]
async fn what_a_provider_does_wrong_fails_the_step_and_holds_nothing() {
    for (reply, class, uncertain) in [
        (Said::status(401), "provider-refused", "0.00"),
        (Said::status(503), "provider-failed", "0.00"),
        (Said::Garbage, "provider-garbage", "some"),
        (Said::Close, "provider-cut", "some"),
        (
            Said::Redirect { status: 302, to: "http://other.example/".into() },
            "provider-redirected",
            "0.00",
        ),
        (Said::BigHeaders { bytes: 10 << 20 }, "provider-too-large", "some"),
        (Said::BigBody { bytes: 2 << 20 }, "provider-too-large", "some"),
        (said("no JSON", 10, 10), "output-invalid", "0.00"),
        (said(r#"{"ok": true, "n": 1e999}"#, 10, 10), "output-invalid", "0.00"),
    ] {
        let (harness, provider) = start(StoreKind::Memory).await;
        provider.always(reply.clone());
        let run = ended(&harness, "check", loan()).await;
        assert_eq!(run["status"], "failed", "{run}");
        assert_eq!(run["failure"]["class"], class, "{reply:?}: {run}");
        let (_, unsure, held) = month(&harness).await;
        assert_eq!(held, "0.00", "{reply:?}");
        assert_eq!(unsure == "0.00", uncertain == "0.00", "{reply:?}: {unsure}");
    }
}

#[tokio::test]
async fn a_provider_that_says_no_usage_is_counted_here() {
    let (harness, provider) = start(StoreKind::Memory).await;
    let wrong = json!({ "prompt_tokens": -5, "completion_tokens": 1e30 });
    for usage in [Usage::Missing, Usage::Json(wrong)] {
        provider.next(Said::Answer(Answer::new("{\"ok\": true}").with_usage(usage)));
        let run = ended(&harness, "check", loan()).await;
        assert_eq!(run["status"], "completed", "{run}");
    }
    let (posted, uncertain, held) = month(&harness).await;
    assert_eq!((&posted, held), (&uncertain, json!("0.00")));
    assert_ne!(posted, "0.00");
}

#[tokio::test]
async fn a_tool_is_one_request_that_is_filled_from_the_step() {
    let (harness, provider) = start(StoreKind::Sqlite).await;
    tool(&harness, &provider).await;
    let run = ended(&harness, "look", json!({ "id": "a/b ?c", "note": "hi" })).await;
    assert_eq!(run["status"], "completed", "{run}");
    let sent = &provider.received()[0];
    assert_eq!((&*sent.method, &*sent.path), ("POST", "/people/a%2Fb%20%3Fc"));
    assert_eq!(sent.header("x-note"), Some("hi"));
    assert!(sent.header("idempotency-key").unwrap().starts_with("a."));
    assert_eq!(sent.json(), json!({ "id": "a/b ?c" }));
    assert_eq!(month(&harness).await.0, "0.05");
    // A value that would be another header.
    let run = ended(&harness, "look", json!({ "id": "1", "note": "a\r\nx-b: c" })).await;
    assert_eq!(run["failure"]["class"], "request-invalid", "{run}");
    assert_eq!(month(&harness).await.0, "0.05");
}

#[tokio::test]
async fn a_tool_that_turns_a_request_away_costs_nothing_and_one_that_may_have_served_it_its_cost() {
    let elsewhere = Provider::start().await.unwrap();
    let to = elsewhere.url("/people/1");
    let none = || "0.00".to_owned();
    let all = || "0.05".to_owned();
    for (says, posted, uncertain) in [
        (Said::status(400), none(), none()),
        (Said::status(500), none(), none()),
        (Said::throttled("1"), none(), none()),
        (Said::Redirect { status: 307, to }, none(), none()),
        (Said::Close, all(), all()),
        (Said::BigHeaders { bytes: 10_000_000 }, all(), all()),
    ] {
        let (harness, provider) = start(StoreKind::Memory).await;
        tool(&harness, &provider).await;
        let once = LOOK.replace("retry: { attempts: 2, backoff: 1ms..1ms }", "");
        let once = once.replace("version: 1", "version: 2");
        harness.operator.put_yaml("/v1/workflows/look", &once).await.ok();
        provider.always(says);
        let run = ended(&harness, "look", json!({ "id": "1", "note": "hi" })).await;
        assert_eq!(run["status"], "failed", "{run}");
        let account = month(&harness).await;
        assert_eq!(account, (json!(posted), json!(uncertain), json!("0.00")), "{run}");
    }
}

#[tokio::test]
async fn a_provider_that_turns_calls_away_is_left_alone_and_then_asked_again() {
    let (harness, provider) = start(StoreKind::Memory).await;
    tool(&harness, &provider).await;
    provider.next(Said::throttled("1"));
    let run = ended(&harness, "look", json!({ "id": "1", "note": "hi" })).await;
    assert_eq!(run["status"], "completed", "{run}");
    let decisions = harness.operator.get("/v1/platform/decisions").await.ok();
    let codes: Vec<&Value> =
        decisions["items"].as_array().unwrap().iter().map(|item| &item["code"]).collect();
    assert!(codes.contains(&&json!("tool-shut")), "{codes:?}");
    assert_eq!(provider.received_count(), 2);
}

#[tokio::test]
async fn a_private_address_is_refused_unless_its_endpoint_allows_it() {
    let (harness, provider) = start(StoreKind::Memory).await;
    let endpoint = json!({ "protocol": "chat", "url": provider.url("/v1") });
    harness.operator.put("/v1/catalog/tools/maker", json!({ "endpoint": endpoint })).await.ok();
    let run = ended(&harness, "check", loan()).await;
    assert_eq!(run["failure"]["class"], "address-refused", "{run}");
    assert_eq!((provider.received_count(), month(&harness).await.0), (0, json!("0.00")));
}

#[tokio::test]
async fn the_servers_own_pool_has_no_other_workers() {
    let (harness, _provider) = start(StoreKind::Memory).await;
    let body = json!({ "worker": "w", "pool": "server", "slots": 1, "want": 1, "wait_ms": 0, "report": [] });
    let reply = harness.operator.post("/v1/worker/exchange", body).await;
    assert_eq!(reply.refusal(), (403, "forbidden".into(), "/pool".into()));
}
