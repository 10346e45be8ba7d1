//! Endpoints of tools, models and prices: declared, read, listed, checked.

use serde_json::{Value, json};

use crate::harness::{Client, Harness};

const MODEL: &str = "/v1/catalog/models/eu%2Freasoner%3Alarge.v1";
const PRICE: &str = "/v1/catalog/prices/azure%2Feu%2Fgpt-5.5%3A0";

fn chat() -> Value {
    json!({ "protocol": "chat", "url": "https://models.example/v1" })
}

/// A tool `provider` that can be an endpoint, and a price.
async fn start() -> Harness {
    let harness = Harness::start().await;
    let operator = &harness.operator;
    operator.put("/v1/catalog/tools/provider", json!({ "endpoint": chat() })).await.ok();
    let price = json!({ "versions": [{ "input": "2.00", "output": "10.00" }] });
    operator.put(PRICE, price).await.ok();
    harness
}

/// Declares it three times, the first time to try, and reads it.
async fn declare(operator: &Client, path: &str, body: &Value) -> Value {
    let dry = operator.put(&format!("{path}?dry_run=true"), body.clone()).await.ok();
    assert_eq!(dry, json!({ "changed": false, "dry_run": true }), "{path}");
    for changed in [true, false] {
        let applied = operator.put(path, body.clone()).await.ok();
        assert_eq!(applied["changed"], changed, "{path}");
    }
    operator.get(path).await.ok()
}

#[tokio::test]
async fn an_endpoint_is_read_as_it_was_declared() {
    let harness = Harness::start().await;
    let tool = "/v1/catalog/tools/credit%2Fbureau";
    let spec = json!({ "limits": [{ "concurrent": { "calls": 2 } }], "endpoint": {
        "protocol": "http",
        "url": "http://127.0.0.1:9000/check/{{ id }}?day={{ day }}",
        "key_env": "FAIRLANE_SECRET_BUREAU",
        "allow_private": true,
        "timeout": "1h",
        "answer_bytes_max": 67_108_864,
        "surcharge": "0.015",
        "request": {
            "method": "PUT",
            "headers": { "X-Tenant": "bank", "X-Key": { "env": "FAIRLANE_SECRET_2" } },
            "body": "{\"id\": {{ id }}}",
        },
    }});
    let read = declare(&harness.operator, tool, &spec).await;
    assert_eq!((&read["limits"], &read["endpoint"]), (&spec["limits"], &spec["endpoint"]));

    let read =
        declare(&harness.operator, "/v1/catalog/tools/m", &json!({ "endpoint": chat() })).await;
    let filled = json!({
        "protocol": "chat", "url": "https://models.example/v1", "allow_private": false,
        "timeout": "1m", "answer_bytes_max": 1_048_576, "surcharge": "0.00",
    });
    assert_eq!(read["endpoint"], filled);
    let bare = json!({ "protocol": "http", "url": "https://bureau.example" });
    let read =
        declare(&harness.operator, "/v1/catalog/tools/h", &json!({ "endpoint": bare })).await;
    assert_eq!(read["endpoint"]["request"], json!({ "method": "POST" }));
    let gone = declare(&harness.operator, "/v1/catalog/tools/h", &json!({})).await;
    assert_eq!(gone, json!({ "name": "h", "limits": [] }));
}

/// An endpoint of the protocol `http` with one field set.
fn with(field: &str, value: Value) -> Value {
    let mut endpoint = json!({ "protocol": "http", "url": "https://tool.example/a" });
    endpoint[field] = value;
    endpoint
}

/// Endpoints, and the code and pointer of the problem.
async fn refused<const N: usize>(rows: [(Value, &'static str, &'static str); N]) {
    let harness = Harness::start().await;
    for (endpoint, code, pointer) in rows {
        let expected = (422, code.to_owned(), format!("/endpoint/{pointer}"));
        for path in ["/v1/catalog/tools/x", "/v1/catalog/tools/x?dry_run=true"] {
            let reply = harness.operator.put(path, json!({ "endpoint": endpoint })).await;
            assert_eq!(reply.status, 422, "{endpoint}");
            assert_eq!(reply.refusal(), expected, "{endpoint}");
        }
    }
}

#[tokio::test]
async fn an_endpoint_has_a_url_with_a_fixed_host() {
    let url = |url: &str| with("url", json!(url));
    let base = |url: &str| json!({ "protocol": "chat", "url": url });
    refused([
        (url("ftp://tool.example"), "invalid-value", "url"),
        (url("tool.example/a"), "invalid-value", "url"),
        (url("https://"), "invalid-value", "url"),
        (url("https:///a"), "invalid-value", "url"),
        (url("https://:80/a"), "invalid-value", "url"),
        (url("https://tool.example:/a"), "invalid-value", "url"),
        (url("https://tool.example:0/a"), "invalid-value", "url"),
        (url("https://tool.example:99999/a"), "invalid-value", "url"),
        (url("https://user:pass@tool.example/a"), "invalid-value", "url"),
        (url("https://tool.example\\@evil.example/a"), "invalid-value", "url"),
        (url("https://tool.example/a#b"), "invalid-value", "url"),
        (url("{{ scheme }}://tool.example/a"), "invalid-value", "url"),
        (url("https://{{ host }}/a"), "invalid-value", "url"),
        (url("https://tool.example{{ '/a' }}"), "invalid-value", "url"),
        (url("https://tool.example:{{ port }}/a"), "invalid-value", "url"),
        (url(&format!("https://tool.example/{}", "a".repeat(2_048))), "invalid-value", "url"),
        (base("https://tool.example/{{ a }}"), "invalid-value", "url"),
        (base("https://tool.example/v1?a=b"), "invalid-value", "url"),
        (base("https://tool.example/a b"), "invalid-value", "url"),
    ])
    .await;
}

#[tokio::test]
async fn a_template_of_an_endpoint_is_read_when_it_is_declared() {
    let request =
        |field: &str, value: Value| with("request", json!({ "method": "POST", field: value }));
    refused([
        (with("url", json!("https://tool.example/{{ a")), "invalid-value", "url"),
        (request("body", json!("{\"a\": {% if a %} 1}")), "invalid-value", "request/body"),
        (request("headers", json!({ "X-A": "{{ a b }}" })), "invalid-value", "request/headers/X-A"),
    ])
    .await;
}

#[tokio::test]
async fn what_is_wrong_with_an_endpoint_is_said_at_its_place() {
    let of_chat = json!({ "protocol": "chat", "url": "https://a.example", "request": {} });
    refused([
        (with("protocol", json!("grpc")), "invalid-value", "protocol"),
        (with("key_env", json!("PATH")), "invalid-value", "key_env"),
        (with("key_env", json!("FAIRLANE_SECRET_")), "invalid-value", "key_env"),
        (with("key_env", json!("FAIRLANE_SECRET_a")), "invalid-value", "key_env"),
        (with("timeout", json!("soon")), "invalid-value", "timeout"),
        (with("timeout", json!("999us")), "out-of-range", "timeout"),
        (with("timeout", json!("61m")), "out-of-range", "timeout"),
        (with("answer_bytes_max", json!(0)), "out-of-range", "answer_bytes_max"),
        (with("answer_bytes_max", json!(67_108_865)), "out-of-range", "answer_bytes_max"),
        (with("surcharge", json!("-0.1")), "out-of-range", "surcharge"),
        (with("surcharge", json!("0.0001")), "out-of-range", "surcharge"),
        (with("surcharge", json!("100.001")), "out-of-range", "surcharge"),
        (with("surcharge", json!("10 %")), "out-of-range", "surcharge"),
        (with("retries", json!(3)), "unknown-field", "retries"),
        (of_chat, "invalid-value", "request"),
    ])
    .await;
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_said_at_its_place() {
    let request = |request: Value| with("request", request);
    let header = |name: &str, value: Value| request(json!({ "headers": { name: value } }));
    let many: Value = (0..33).map(|at| (format!("x-{at}"), json!("a"))).collect();
    let both = json!({
        "protocol": "http", "url": "https://a.example", "key_env": "FAIRLANE_SECRET_A",
        "request": { "headers": { "authorization": "b" } },
    });
    refused([
        (request(json!({ "method": "TRACE" })), "invalid-value", "request/method"),
        (request(json!({ "method": "GET", "body": "{}" })), "invalid-value", "request/body"),
        (request(json!({ "body": {} })), "invalid-value", "request/body"),
        (request(json!({ "body": "a".repeat(65_537) })), "too-long", "request/body"),
        (request(json!({ "headers": many })), "too-many", "request/headers"),
        (header("a b", json!("c")), "invalid-value", "request/headers/a b"),
        (header("a/b", json!("c")), "invalid-value", "request/headers/a~1b"),
        (header("Host", json!("c")), "invalid-value", "request/headers/Host"),
        (header("content-LENGTH", json!("1")), "invalid-value", "request/headers/content-LENGTH"),
        (
            header("Transfer-Encoding", json!("c")),
            "invalid-value",
            "request/headers/Transfer-Encoding",
        ),
        (header("Connection", json!("close")), "invalid-value", "request/headers/Connection"),
        (header("X-A", json!("b\r\nHost: c")), "invalid-value", "request/headers/X-A"),
        (header("X-A", json!(7)), "invalid-value", "request/headers/X-A"),
        (header("X-A", json!({ "env": "PATH" })), "invalid-value", "request/headers/X-A/env"),
        (header("X-A", json!({ "text": "b" })), "unknown-field", "request/headers/X-A/text"),
        (
            request(json!({ "headers": { "X-A": "b", "x-a": "c" } })),
            "invalid-value",
            "request/headers/x-a",
        ),
        (both, "invalid-value", "request/headers/authorization"),
    ])
    .await;
}

#[tokio::test]
async fn a_model_and_a_price_are_read_as_they_were_declared() {
    let harness = start().await;
    let operator = &harness.operator;
    let versions = json!([
        { "currency": "USD", "input": "2.00", "output": "10.00", "context": 922_000 },
        {
            "from": "2026-12-01T00:00:00.000000Z", "currency": "USD", "input": "1.000000001",
            "cached_input": "0.10", "output": "5.00", "output_max": 128_000,
            "long": { "above": 200_000, "input": "2.00", "cached_input": "0.20", "output": "7.50" },
        },
    ]);
    let read = declare(operator, PRICE, &json!({ "versions": versions })).await;
    assert_eq!(read, json!({ "name": "azure/eu/gpt-5.5:0", "versions": versions }));

    let candidates = json!([
        {
            "endpoint": "provider", "model": "gpt 5.5", "price": "azure/eu/gpt-5.5:0",
            "tiers": ["standard"],
        },
        { "endpoint": "provider", "model": "azure/eu/gpt-5.5:0" },
    ]);
    let read = declare(operator, MODEL, &json!({ "candidates": candidates })).await;
    assert_eq!(read["name"], "eu/reasoner:large.v1");
    let mut filled = candidates;
    filled[1]["price"] = json!("azure/eu/gpt-5.5:0");
    assert_eq!(read["candidates"], filled);
}

#[tokio::test]
async fn models_and_prices_are_listed_page_by_page_and_outlive_the_server() {
    let harness = Harness::start_on(fairlane_server::StoreKind::Sqlite).await;
    let operator = &harness.operator;
    operator.put("/v1/catalog/tools/provider", json!({ "endpoint": chat() })).await.ok();
    for name in ["a", "b%2Fb", "c"] {
        let price = json!({ "versions": [{ "input": 0, "output": 0 }] });
        operator.put(&format!("/v1/catalog/prices/{name}"), price).await.ok();
        let model = json!({ "candidates": [{ "endpoint": "provider", "model": "a" }] });
        operator.put(&format!("/v1/catalog/models/{name}"), model).await.ok();
    }
    let harness = harness.restart().await;
    for path in ["/v1/catalog/prices", "/v1/catalog/models"] {
        let first = harness.operator.get(&format!("{path}?limit=2")).await.ok();
        let names = |page: &Value| -> Vec<String> {
            let items = page["items"].as_array().unwrap().iter();
            items.map(|item| item["name"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(names(&first), ["a", "b/b"]);
        let next = first["next"].as_str().unwrap().replace('/', "%2F");
        let second = harness.operator.get(&format!("{path}?cursor={next}")).await.ok();
        assert_eq!((names(&second), &second["next"]), (vec!["c".to_owned()], &Value::Null));
    }
    for (path, code) in
        [("/v1/catalog/prices/x%2Fy", "unknown-price"), ("/v1/catalog/models/x", "unknown-model")]
    {
        let refusal = harness.operator.get(path).await.refusal();
        assert_eq!(refusal, (404, code.into(), String::new()));
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_price_is_said_at_its_place() {
    let harness = Harness::start().await;
    let with = |field: &str, value: Value| {
        let mut version = json!({ "input": "1", "output": "2" });
        version[field] = value;
        json!({ "versions": [{ "input": "1", "output": "2" }, version] })
    };
    let from = |from: &str| with("from", json!(from));
    let long = |field: &str, value: Value| {
        let mut long = json!({ "above": 1, "input": "1", "output": "2" });
        long[field] = value;
        with("long", long)
    };
    let version = json!({ "input": "1", "output": "2" });
    let rows = [
        (json!({ "versions": [] }), "out-of-range", ""),
        (json!({ "versions": vec![version; 65] }), "too-many", ""),
        (with("input", json!("-1")), "out-of-range", "/1/input"),
        (with("input", json!("much")), "invalid-value", "/1/input"),
        (with("output", json!("1000000.01")), "out-of-range", "/1/output"),
        (with("cached_input", json!("0.0000000001")), "invalid-value", "/1/cached_input"),
        (with("currency", json!("EUR")), "wrong-currency", "/1/currency"),
        (with("currency", json!("usd")), "wrong-currency", "/1/currency"),
        (with("context", json!(0)), "out-of-range", "/1/context"),
        (with("output_max", json!(100_000_001_u64)), "out-of-range", "/1/output_max"),
        (with("unit", json!("token")), "unknown-field", "/1/unit"),
        (long("above", json!(0)), "out-of-range", "/1/long/above"),
        (long("input", json!("-1")), "out-of-range", "/1/long/input"),
        (long("cached_input", json!("-1")), "out-of-range", "/1/long/cached_input"),
        (long("output", json!("1000000.01")), "out-of-range", "/1/long/output"),
        (from("yesterday"), "invalid-value", "/1/from"),
        (with("context", json!(7)), "invalid-value", "/1/from"),
    ];
    for (body, code, pointer) in rows {
        let expected = (422, code.to_owned(), format!("/versions{pointer}"));
        for path in ["/v1/catalog/prices/x", "/v1/catalog/prices/x?dry_run=true"] {
            let reply = harness.operator.put(path, body.clone()).await;
            assert_eq!(reply.refusal(), expected, "{body}");
        }
    }
    let reply = harness.operator.put("/v1/catalog/prices/x", with("currency", json!("EUR"))).await;
    assert_eq!(reply.problem()["facts"], json!({ "currency": "USD" }));
    let reply = harness.operator.put("/v1/catalog/prices/a%20b", with("context", json!(7))).await;
    assert_eq!(reply.refusal(), (422, "invalid-name".into(), String::new()));
}

#[tokio::test]
async fn what_is_wrong_with_a_model_is_said_at_its_place() {
    let harness = start().await;
    let operator = &harness.operator;
    operator.put("/v1/catalog/tools/bureau", json!({})).await.ok();
    let good = json!({ "endpoint": "provider", "model": "m", "price": "azure/eu/gpt-5.5:0" });
    let with = |field: &str, value: Value| {
        let mut candidate = good.clone();
        candidate[field] = value;
        json!({ "candidates": [good, candidate] })
    };
    let rows = [
        (json!({ "candidates": [] }), "out-of-range", ""),
        (json!({ "candidates": vec![good.clone(); 17] }), "too-many", ""),
        (with("endpoint", json!("none")), "unknown-tool", "/1/endpoint"),
        (with("endpoint", json!("bureau")), "no-endpoint", "/1/endpoint"),
        (with("endpoint", json!("a b")), "invalid-name", "/1/endpoint"),
        (with("price", json!("none")), "unknown-price", "/1/price"),
        (with("price", json!("")), "invalid-name", "/1/price"),
        (with("price", Value::Null), "unknown-price", "/1/price"),
        (with("model", json!("")), "invalid-value", "/1/model"),
        (with("model", json!("a\nb")), "invalid-value", "/1/model"),
        (with("tiers", json!(["standard", "none"])), "unknown-tier", "/1/tiers"),
        (with("tiers", json!(["standard", "A"])), "invalid-name", "/1/tiers/1"),
        (with("tiers", json!(vec!["standard"; 65])), "too-many", "/1/tiers"),
        (with("tier", json!("standard")), "unknown-field", "/1/tier"),
    ];
    for (body, code, pointer) in rows {
        let expected = (422, code.to_owned(), format!("/candidates{pointer}"));
        for path in [MODEL.to_owned(), format!("{MODEL}?dry_run=true")] {
            let reply = operator.put(&path, body.clone()).await;
            assert_eq!(reply.refusal(), expected, "{body}");
        }
    }
    let unnamed = json!({ "candidates": [{ "endpoint": "provider", "model": "a b" }] });
    let refusal = operator.put(MODEL, unnamed).await.refusal();
    assert_eq!(refusal, (422, "invalid-name".into(), "/candidates/0/price".into()));

    operator.put(MODEL, json!({ "candidates": [good] })).await.ok();
    for path in ["/v1/catalog/tools/provider", "/v1/catalog/tools/provider?dry_run=true"] {
        let refusal = operator.put(path, json!({})).await.refusal();
        assert_eq!(refusal, (409, "endpoint-in-use".into(), "/endpoint".into()));
    }
}

#[tokio::test]
async fn all_mistakes_of_an_entry_are_reported_at_once() {
    let harness = Harness::start().await;
    let endpoint = json!({
        "protocol": "http", "url": "tool", "key_env": "KEY", "timeout": "0s", "surcharge": "x",
        "request": { "headers": { "Host": "a\n" } },
    });
    let price = json!({ "versions": [{ "currency": "EUR", "input": "-1", "output": "x" }] });
    let model = json!({ "candidates": [{ "endpoint": "a b", "model": "", "tiers": ["A"] }] });
    for (path, body, pointers) in [
        (
            "/v1/catalog/tools/x",
            json!({ "limits": [{ "concurrent": { "calls": 0 } }], "endpoint": endpoint }),
            json!([
                "/limits/0/concurrent/calls",
                "/endpoint/url",
                "/endpoint/key_env",
                "/endpoint/timeout",
                "/endpoint/surcharge",
                "/endpoint/request/headers/Host",
                "/endpoint/request/headers/Host",
            ]),
        ),
        (
            "/v1/catalog/prices/x",
            price,
            json!(["/versions/0/currency", "/versions/0/input", "/versions/0/output"]),
        ),
        (
            "/v1/catalog/models/x",
            model,
            json!([
                "/candidates/0/endpoint",
                "/candidates/0/model",
                "/candidates/0/price",
                "/candidates/0/tiers/0",
            ]),
        ),
    ] {
        let problem = harness.operator.put(path, body).await.problem();
        let mistakes = problem["mistakes"].as_array().unwrap();
        let found: Vec<_> = mistakes.iter().map(|mistake| &mistake["pointer"]).collect();
        assert_eq!(json!(found), pointers);
    }
}

#[tokio::test]
async fn a_platform_counts_in_the_currency_that_it_is_set_up_with() {
    let harness = Harness::start_with(|config| {
        config.store = fairlane_server::StoreKind::Memory;
        config.currency = "EUR".to_owned();
    })
    .await;
    let price = |currency: &str| json!({ "versions": [{ "currency": currency, "input": "1", "output": "2" }] });
    let refusal = harness.operator.put("/v1/catalog/prices/x", price("USD")).await.refusal();
    assert_eq!(refusal, (422, "wrong-currency".into(), "/versions/0/currency".into()));
    harness.operator.put("/v1/catalog/prices/x", price("EUR")).await.ok();
    let read = harness.operator.get("/v1/catalog/prices/x").await.ok();
    assert_eq!(read["versions"][0]["currency"], "EUR");
}
