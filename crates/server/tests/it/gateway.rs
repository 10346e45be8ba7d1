//! Calls of models by clients that speak OpenAI's API.

use fairlane_fake_provider::{Answer, Provider, Reply as Says};
use fairlane_server::StoreKind;
use hyper::StatusCode;
use serde_json::{Value, json};

use crate::harness::{Client, Harness, Reply};

/// A server with the model `reasoner`, whose candidates are `large` at provider `eu` and `small` at provider `us`: a
/// thousand tokens cost 0.01 in and 0.05 out at the first, a tenth of that at the second.
pub(crate) struct Gateway {
    pub(crate) harness: Harness,
    pub(crate) eu: Provider,
    pub(crate) us: Provider,
    /// Tenant `a`.
    pub(crate) tenant: Client,
}

impl Gateway {
    pub(crate) async fn start() -> Self {
        let harness = Harness::start_with(|config| {
            config.store = StoreKind::Memory;
            config.drain_ms = 200;
        });
        Self::on(harness.await).await
    }

    pub(crate) async fn on(harness: Harness) -> Self {
        harness.declare().await;
        let eu = Provider::start().await.unwrap();
        let us = Provider::start().await.unwrap();
        let operator = &harness.operator;
        for (name, input, output) in [("large", "10", "50"), ("small", "1", "5")] {
            let price = json!({ "versions": [{ "input": input, "output": output }] });
            operator.put(&format!("/v1/catalog/prices/{name}"), price).await.ok();
        }
        let tenant = harness.client(json!({ "role": "tenant", "tenant": "a" })).await;
        let gateway = Self { harness, eu, us, tenant };
        gateway.endpoint("eu", json!({})).await;
        gateway.endpoint("us", json!({})).await;
        gateway.model(&[("eu", "large"), ("us", "small")]).await;
        gateway
    }

    /// Declares the endpoint with other fields than the usual ones.
    pub(crate) async fn endpoint(&self, name: &str, fields: Value) {
        let provider = if name == "eu" { &self.eu } else { &self.us };
        let mut endpoint = json!({
            "protocol": "chat", "url": provider.url("/v1"), "allow_private": true,
        });
        for (field, value) in fields.as_object().unwrap() {
            endpoint[field] = value.clone();
        }
        let path = format!("/v1/catalog/tools/{name}");
        self.harness.operator.put(&path, json!({ "endpoint": endpoint })).await.ok();
    }

    pub(crate) async fn model(&self, candidates: &[(&str, &str)]) {
        let of = |(endpoint, model): &(&str, &str)| json!({ "endpoint": endpoint, "model": model });
        let candidates: Vec<Value> = candidates.iter().map(of).collect();
        let body = json!({ "candidates": candidates });
        self.harness.operator.put("/v1/catalog/models/reasoner", body).await.ok();
    }

    /// Gives tenant `a` so much for a month, and the ladder.
    pub(crate) async fn budget(&self, month: &str, short: &[&str]) {
        let operator = &self.harness.operator;
        let class = json!({ "budget": { "month": month, "short": short } });
        operator.put("/v1/budget-classes/tight", class).await.ok();
        let tenant = json!({ "org": "org", "tier": "standard", "budget_class": "tight" });
        operator.put("/v1/tenants/a", tenant).await.ok();
    }

    pub(crate) async fn chat(&self, fields: Value) -> Reply {
        self.tenant.post("/v1/chat/completions", chat(&fields)).await
    }

    /// What the tenant has posted, held and not confirmed this month, once nothing is held any more.
    pub(crate) async fn spent(&self) -> (String, String) {
        for _ in 0..10_000 {
            let account = self.account().await;
            let text = |field: &str| account[field].as_str().unwrap_or("0.00").to_owned();
            if text("held") == "0.00" {
                return (text("posted"), text("uncertain"));
            }
            tokio::task::yield_now().await;
        }
        panic!("something is held for ever: {}", self.account().await);
    }

    pub(crate) async fn account(&self) -> Value {
        let accounts = self.tenant.get("/v1/tenants/a/budgets").await.ok();
        let mut accounts = accounts["accounts"].as_array().unwrap().clone().into_iter();
        accounts.find(|account| account["every"] == "month").unwrap_or_default()
    }

    /// What the provider was sent last.
    pub(crate) fn sent(provider: &Provider) -> Value {
        provider.received().last().unwrap().json()
    }
}

/// A chat completion of `reasoner` with these fields besides.
pub(crate) fn chat(fields: &Value) -> Value {
    let mut body =
        json!({ "model": "reasoner", "messages": [{ "role": "user", "content": "Say it." }] });
    for (name, value) in fields.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

/// Status, code and type of an error in OpenAI's form, with the checks that every one must pass.
#[track_caller]
pub(crate) fn error(reply: &Reply) -> (u16, String, String) {
    let body = reply.json();
    assert_eq!(reply.headers["content-type"], "application/json", "{body}");
    let error = &body["error"];
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    assert!(!text(&error["message"]).is_empty() && error.get("param").is_some(), "{body}");
    let known = text(&error["fairlane"]["code"]);
    assert!(fairlane_api::Code::parse(&known).is_some(), "{body}");
    let retry = error["fairlane"].get("retry_after_ms").is_some();
    assert_eq!(reply.headers.contains_key("retry-after"), retry, "{body}");
    (reply.status.as_u16(), text(&error["code"]), text(&error["type"]))
}

/// The data of each event.
pub(crate) fn events(body: &[u8]) -> Vec<String> {
    let text = std::str::from_utf8(body).unwrap();
    text.split_terminator("\n\n")
        .map(|event| event.strip_prefix("data: ").unwrap().to_owned())
        .collect()
}

fn texts(events: &[String]) -> String {
    let delta = |event: &String| {
        let event: Value = serde_json::from_str(event).ok()?;
        Some(event["choices"][0]["delta"]["content"].as_str()?.to_owned())
    };
    events.iter().filter_map(delta).collect()
}

#[tokio::test]
async fn an_answer_is_passed_on_as_the_provider_gave_it_and_paid_for() {
    let gateway = Gateway::start().await;
    gateway.eu.always(Says::answer("forty two"));
    let reply = gateway.chat(json!({ "max_tokens": 100, "seed": 7, "temperature": 0.50 })).await;
    let answer = reply.ok();
    assert_eq!(answer["choices"][0]["message"]["content"], "forty two");
    assert_eq!(answer["model"], "large", "it is what the provider says");
    assert_eq!(reply.headers["x-fairlane-served-by"], "eu/large");
    assert!(reply.headers["x-fairlane-call"].to_str().unwrap().parse::<u64>().is_ok());
    assert!(!reply.headers.contains_key("x-fairlane-degraded"));
    let sent = Gateway::sent(&gateway.eu);
    assert_eq!(
        (&sent["model"], &sent["max_tokens"], &sent["seed"]),
        (&"large".into(), &100.into(), &7.into())
    );
    // The fake counts words: 2 in of 10 a million, and 2 out of 50.
    assert_eq!(gateway.spent().await, ("0.00012".into(), "0.00".into()));
    assert_eq!(gateway.us.received_count(), 0);
}

#[tokio::test]
async fn a_stream_is_passed_on_event_by_event_with_its_usage_only_if_asked_for() {
    let gateway = Gateway::start().await;
    gateway.eu.always(Says::answer("one two three"));
    for (options, has_usage) in [
        (json!({ "stream": true }), false),
        (json!({ "stream": true, "stream_options": { "include_usage": true } }), true),
    ] {
        let reply = gateway.chat(options).await;
        assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
        assert_eq!(reply.headers["content-type"], "text/event-stream");
        assert_eq!(reply.headers["cache-control"], "no-store");
        assert_eq!(reply.headers["x-fairlane-served-by"], "eu/large");
        let events = events(&reply.body);
        assert_eq!(texts(&events), "one two three");
        assert_eq!(events.last().unwrap(), "[DONE]");
        assert_eq!(events.iter().any(|event| event.contains("prompt_tokens")), has_usage);
        assert_eq!(Gateway::sent(&gateway.eu)["stream_options"]["include_usage"], true);
    }
    // 2 in and 3 out, twice.
    assert_eq!(gateway.spent().await, ("0.00034".into(), "0.00".into()));
}

#[tokio::test]
async fn a_request_without_a_bound_has_a_default_and_never_all_that_is_left() {
    let gateway = Gateway::start().await;
    gateway.chat(json!({})).await.ok();
    assert_eq!(Gateway::sent(&gateway.eu)["max_completion_tokens"], 4_096);
    gateway.chat(json!({ "n": 3, "max_completion_tokens": 10 })).await.ok();
    let sent = Gateway::sent(&gateway.eu);
    assert_eq!((&sent["n"], &sent["max_completion_tokens"]), (&json!(3), &json!(10)));
}

#[tokio::test]
async fn a_short_budget_makes_the_answer_shorter_or_cheaper_as_the_ladder_says() {
    let gateway = Gateway::start().await;
    gateway.budget("0.10", &["shorter_output"]).await;
    let reply = gateway.chat(json!({ "n": 2, "max_tokens": 1_500 })).await;
    reply.ok();
    assert_eq!(reply.headers["x-fairlane-degraded"], "shorter_output");
    let bound = Gateway::sent(&gateway.eu)["max_tokens"].as_u64().unwrap();
    assert!((900..1_000).contains(&bound), "0.10 buys 2,000 tokens, for two answers: {bound}");
    gateway.budget("0.10", &["cheaper_model"]).await;
    let reply = gateway.chat(json!({ "max_tokens": 3_000 })).await;
    reply.ok();
    assert_eq!(reply.headers["x-fairlane-degraded"], "cheaper_model");
    assert_eq!(reply.headers["x-fairlane-served-by"], "us/small");
}

#[tokio::test]
async fn a_refusal_says_by_its_code_whether_money_or_a_limit_is_missing() {
    let gateway = Gateway::start().await;
    gateway.budget("0.10", &[]).await;
    let reply = gateway.chat(json!({ "max_tokens": 3_000 })).await;
    assert_eq!(error(&reply), (402, "budget-exhausted".into(), "insufficient_quota".into()));
    let facts = &reply.json()["error"]["fairlane"]["facts"];
    assert_eq!((&facts["account"], &facts["left"]), (&"tenant_month".into(), &"0.10".into()));
    assert_eq!(gateway.eu.received_count(), 0);

    let hour = json!({ "window": { "units": 1, "every": "hour" } });
    let class = json!({ "quotas": { "eu": [hour], "us": [hour] } });
    let operator = &gateway.harness.operator;
    operator.put("/v1/budget-classes/tight", class).await.ok();
    for served_by in ["eu/large", "us/small"] {
        assert_eq!(gateway.chat(json!({})).await.headers["x-fairlane-served-by"], served_by);
    }
    let reply = gateway.chat(json!({})).await;
    assert_eq!(error(&reply), (429, "tenant-limit".into(), "rate_limit_error".into()));
    operator.put("/v1/budget-classes/tight", json!({})).await.ok();
    for tool in ["eu", "us"] {
        let path = format!("/v1/catalog/tools/{tool}");
        let mut declared = operator.get(&path).await.ok();
        declared.as_object_mut().unwrap().remove("name");
        declared["limits"] = json!([hour]);
        operator.put(&path, declared).await.ok();
    }
    gateway.chat(json!({})).await;
    gateway.chat(json!({})).await;
    let reply = gateway.chat(json!({})).await;
    assert_eq!(error(&reply), (429, "provider-limit".into(), "rate_limit_error".into()));
}

#[tokio::test]
async fn a_model_that_the_tenant_has_not_is_not_found() {
    let gateway = Gateway::start().await;
    let operator = &gateway.harness.operator;
    operator.put("/v1/tiers/gold", json!({ "weight": 4, "cap": 10 })).await.ok();
    let candidates = json!([{ "endpoint": "eu", "model": "large", "tiers": ["gold"] }]);
    operator.put("/v1/catalog/models/best", json!({ "candidates": candidates })).await.ok();
    for model in ["none", "no model", "best"] {
        let reply = gateway.chat(json!({ "model": model })).await;
        let expected = (404, "model_not_found".into(), "invalid_request_error".into());
        assert_eq!(error(&reply), expected, "{model}");
        assert_eq!(reply.json()["error"]["param"], "model");
    }
    let list = gateway.tenant.get("/v1/models").await.ok();
    let model =
        json!({ "id": "reasoner", "object": "model", "created": 0, "owned_by": "fairlane" });
    assert_eq!(list, json!({ "object": "list", "data": [model] }));
    assert_eq!(gateway.tenant.get("/v1/models/reasoner").await.ok(), model);
    assert_eq!(error(&gateway.tenant.get("/v1/models/best").await).1, "model_not_found");
}

#[tokio::test]
async fn what_is_no_request_is_refused_with_its_place() {
    let gateway = Gateway::start().await;
    let deep = format!("{}1{}", "[".repeat(100), "]".repeat(100));
    for (body, status, code, param) in [
        ("{".to_owned(), 400, "invalid-value", Value::Null),
        ("[]".to_owned(), 400, "invalid-value", Value::Null),
        (deep, 422, "too-deep", Value::Null),
        (json!({ "messages": [{}] }).to_string(), 400, "invalid-value", json!("model")),
        (chat(&json!({ "messages": [] })).to_string(), 400, "invalid-value", json!("messages")),
        (chat(&json!({ "messages": [7] })).to_string(), 400, "invalid-value", json!("messages.0")),
        (chat(&json!({ "n": 0 })).to_string(), 400, "invalid-value", json!("n")),
        (chat(&json!({ "max_tokens": -1 })).to_string(), 400, "invalid-value", json!("max_tokens")),
        (
            chat(&json!({ "max_tokens": 0 })).to_string(),
            400,
            "invalid-value",
            json!("max_completion_tokens"),
        ),
    ] {
        let post = hyper::Method::POST;
        let reply = gateway.tenant.send_json(post, "/v1/chat/completions", &body).await;
        assert_eq!(error(&reply), (status, code.into(), "invalid_request_error".into()), "{body}");
        assert_eq!(reply.json()["error"]["param"], param, "{body}");
    }
    let request = gateway.tenant.request(hyper::Method::POST, "/v1/chat/completions", "{}");
    assert_eq!(error(&gateway.tenant.send(request).await).1, "unsupported-media-type");
}

#[tokio::test]
async fn a_prompt_that_no_candidate_takes_is_too_long() {
    let gateway = Gateway::start().await;
    let price = json!({ "versions": [{ "input": "1", "output": "1", "context": 50 }] });
    gateway.harness.operator.put("/v1/catalog/prices/tiny", price).await.ok();
    gateway.model(&[("eu", "tiny")]).await;
    let content = "word ".repeat(100);
    let reply = gateway.chat(json!({ "messages": [{ "role": "user", "content": content }] })).await;
    let expected = (400, "context_length_exceeded".into(), "invalid_request_error".into());
    assert_eq!(error(&reply), expected);
}

#[tokio::test]
async fn a_call_is_made_with_a_tenants_key_or_by_an_operator_who_names_the_tenant() {
    let gateway = Gateway::start().await;
    let as_tenant = async |client: &Client, tenant: &str| {
        let mut request = client.request(hyper::Method::GET, "/v1/models", "");
        request.headers_mut().insert("x-fairlane-tenant", tenant.parse().unwrap());
        client.send(request).await
    };
    let operator = &gateway.harness.operator;
    as_tenant(operator, "a").await.ok();
    as_tenant(&gateway.tenant, "a").await.ok();
    let refused = error(&operator.get("/v1/models").await);
    assert_eq!(refused, (400, "malformed-request".into(), "invalid_request_error".into()));
    for (client, tenant) in [(&gateway.tenant, "b"), (operator, "nil"), (operator, "\u{e4}")] {
        assert_eq!(error(&as_tenant(client, tenant).await).1, "unknown-tenant", "{tenant}");
    }
    let worker = gateway.harness.client(json!({ "role": "worker" })).await;
    let refused = error(&worker.get("/v1/models").await);
    assert_eq!(refused, (403, "forbidden".into(), "permission_error".into()));
    let nobody = error(&gateway.harness.anonymous().get("/v1/models").await);
    assert_eq!(nobody, (401, "unauthenticated".into(), "authentication_error".into()));
}

#[tokio::test]
async fn a_suspended_tenant_calls_no_models() {
    let gateway = Gateway::start().await;
    let tenant = json!({ "org": "org", "tier": "standard", "suspended": true });
    gateway.harness.operator.put("/v1/tenants/a", tenant).await.ok();
    assert_eq!(error(&gateway.chat(json!({})).await).1, "tenant-suspended");
}

#[tokio::test]
async fn calls_of_tools_are_passed_on() {
    let gateway = Gateway::start().await;
    let calls = json!([{ "index": 0, "id": "1", "function": { "name": "f", "arguments": "{}" } }]);
    let answer = Answer { tool_calls: Some(calls.clone()), ..Answer::new("") };
    gateway.eu.always(Says::Answer(answer));
    let whole = gateway.chat(json!({ "tools": [] })).await.ok();
    assert_eq!(whole["choices"][0]["message"]["tool_calls"], calls);
    let reply = gateway.chat(json!({ "stream": true })).await;
    assert!(events(&reply.body).iter().any(|event| event.contains("tool_calls")));
}
