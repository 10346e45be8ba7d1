//! Bad requests, and what each gets.

use hyper::Method;
use serde_json::{Value, json};

use crate::harness::{Client, Harness, Reply};

async fn submit(client: &Client, body: &str) -> Reply {
    client.send_json(Method::POST, "/v1/tenants/a/runs", body).await
}

#[tokio::test]
async fn bodies_that_cannot_be_read_are_refused_with_the_place() {
    let harness = Harness::start().await;
    let deep = format!(r#"{{"workflow":"pair","input":{}1{}}}"#, "[".repeat(100), "]".repeat(100));
    let rows = [
        ("", 400, "malformed-json", ""),
        ("{", 400, "malformed-json", ""),
        (r#"{"workflow":"pair"} x"#, 400, "malformed-json", ""),
        (r#"{"workflow":"pair","input":{"a":tru}}"#, 400, "malformed-json", ""),
        (r#"{"workflow":"pair","input":{"n":-1e999}}"#, 400, "malformed-json", ""),
        (r#"{"workflow":"pair","input":{"text":"\ud800"}}"#, 400, "malformed-json", ""),
        ("[]", 422, "invalid-value", ""),
        ("{}", 422, "invalid-value", ""),
        (r#"{"workflow":7}"#, 422, "invalid-value", "/workflow"),
        (r#"{"workflow":"pair","version":"1"}"#, 422, "invalid-value", "/version"),
        (r#"{"workflow":"pair","lane":"fast"}"#, 422, "invalid-value", "/lane"),
        (r#"{"workflow":"pair","inptu":1}"#, 422, "unknown-field", "/inptu"),
        (r#"{"workflow":"P"}"#, 422, "invalid-name", "/workflow"),
        (r#"{"workflow":"nil"}"#, 422, "unknown-workflow", "/workflow"),
        (r#"{"workflow":"pair","version":9}"#, 422, "unknown-workflow", "/version"),
        (deep.as_str(), 422, "too-deep", ""),
    ];
    for (body, status, code, pointer) in rows {
        let reply = submit(&harness.operator, body).await;
        assert_eq!(reply.refusal(), (status, code.into(), pointer.into()), "{body}");
    }
}

#[tokio::test]
async fn what_is_too_large_is_refused() {
    let harness = Harness::start_with(|config| {
        config.store = fairlane_server::StoreKind::Memory;
        config.body_bytes_max = 4_096;
        config.payload_bytes_max = 1_024;
    })
    .await;
    harness.declare().await;
    let body = |bytes: usize| json!({ "workflow": "pair", "input": "x".repeat(bytes) }).to_string();
    let reply = submit(&harness.operator, &body(5_000)).await;
    assert_eq!(reply.refusal(), (413, "body-too-large".into(), String::new()));
    let reply = submit(&harness.operator, &body(1_023)).await;
    assert_eq!(reply.refusal(), (413, "body-too-large".into(), "/input".into()));
    assert_eq!(submit(&harness.operator, &body(1_022)).await.status, 201);
}

#[tokio::test]
async fn the_media_type_must_be_right() {
    let harness = Harness::start().await;
    let operator = &harness.operator;
    for (method, path, media_type) in [
        (Method::POST, "/v1/tenants/a/runs", None),
        (Method::POST, "/v1/tenants/a/runs", Some("text/plain")),
        (Method::PUT, "/v1/orgs/x", Some("application/xml")),
        (Method::PUT, "/v1/workflows/pair", Some("text/plain")),
        (Method::PUT, "/v1/workflows/pair", None),
    ] {
        let mut request = operator.request(method, path, "{}");
        if let Some(media_type) = media_type {
            request.headers_mut().insert("content-type", media_type.parse().unwrap());
        }
        let reply = operator.send(request).await;
        assert_eq!(reply.refusal().1, "unsupported-media-type", "{path} {media_type:?}");
        assert_eq!(reply.status, 415);
    }
    let mut request = operator.request(Method::PUT, "/v1/orgs/x", "{}");
    let with_charset = "Application/JSON; charset=utf-8".parse().unwrap();
    request.headers_mut().insert("content-type", with_charset);
    operator.send(request).await.ok();
}

#[tokio::test]
async fn unknown_paths_and_methods_are_problems_too() {
    let harness = Harness::start().await;
    for path in ["/nothing", "/v1", "/v1/nothing", "/v1/tenants/a/runs/x/y/z"] {
        let reply = harness.operator.get(path).await;
        assert_eq!(reply.refusal(), (404, "unknown-path".into(), String::new()), "{path}");
    }
    let reply = harness.operator.delete("/v1/orgs/org").await;
    assert_eq!(reply.refusal(), (405, "method-not-allowed".into(), String::new()));
    assert!(reply.headers["allow"].to_str().unwrap().contains("PUT"));
}

#[tokio::test]
async fn keys_that_are_wrong_are_refused_alike() {
    let harness = Harness::start().await;
    let good = harness.operator.key.clone().unwrap();
    let mut answers = Vec::new();
    for key in ["", "x", "fl_", "fl_0000000000000000_00", &good[..good.len() - 1]] {
        let client = Client { addr: harness.server.addr(), key: Some(key.to_owned()) };
        let reply = client.get("/v1/orgs").await;
        assert_eq!(reply.status, 401, "{key}");
        answers.push(reply.body);
    }
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]));
    let client = harness.anonymous();
    let mut request = client.request(Method::GET, "/v1/orgs", "");
    request.headers_mut().insert("authorization", format!("Basic {good}").parse().unwrap());
    assert_eq!(client.send(request).await.status, 401);
}

#[tokio::test]
async fn a_plan_of_ten_thousand_steps_is_refused() {
    use std::fmt::Write;
    let harness = Harness::start().await;
    let mut text = "workflow: huge\nversion: 1\nsteps:\n".to_owned();
    for at in 0..10_000 {
        let _ = write!(text, "  s{at}:\n    task: t\n    pool: main\n");
    }
    let reply = harness.operator.put_yaml("/v1/workflows/huge", &text).await;
    assert_eq!(reply.refusal().1, "invalid-workflow");
    let mistakes = reply.problem()["mistakes"].clone();
    assert!(
        mistakes.as_array().unwrap().iter().any(|mistake| mistake["code"] == "too-many-steps"),
        "{mistakes}"
    );
}

#[tokio::test]
async fn an_expression_that_nests_too_deeply_is_refused() {
    let harness = Harness::start().await;
    let expression = format!("{}1{}", "(".repeat(1_000), ")".repeat(1_000));
    let text = format!(
        "workflow: deep\nversion: 1\nsteps:\n  one:\n    task: t\n    pool: main\n    when: \"{expression} == 1\"\n"
    );
    let reply = harness.operator.put_yaml("/v1/workflows/deep", &text).await;
    assert_eq!(reply.refusal().1, "invalid-workflow");
    assert_eq!(reply.problem()["mistakes"][0]["code"], "expression-too-large");
}

#[tokio::test]
async fn an_input_that_breaks_the_schema_is_refused_with_the_place() {
    let harness = Harness::start().await;
    let text = r#"{
        "workflow": "typed", "version": 1,
        "input": { "schema": {
            "type": "object", "required": ["amount"],
            "properties": { "amount": { "type": "integer", "minimum": 1 } }
        } },
        "steps": { "one": { "task": "t", "pool": "main" } }
    }"#;
    let path = "/v1/workflows/typed";
    harness.operator.send_json(Method::PUT, path, text).await.ok();
    let reply = harness
        .operator
        .post("/v1/tenants/a/runs", json!({ "workflow": "typed", "input": { "amount": 0 } }))
        .await;
    assert_eq!(reply.refusal(), (422, "invalid-input".into(), "/input/amount".into()));
    let body = json!({ "workflow": "typed", "input": { "amount": 1 } });
    harness.operator.post("/v1/tenants/a/runs", body).await.ok();
}

#[tokio::test]
async fn a_suspended_tenant_takes_no_new_runs() {
    let harness = Harness::start().await;
    let body = json!({ "org": "org", "tier": "standard", "suspended": true });
    harness.operator.put("/v1/tenants/a", body).await.ok();
    let reply = submit(&harness.operator, r#"{"workflow":"pair"}"#).await;
    assert_eq!(reply.refusal(), (403, "tenant-suspended".into(), String::new()));
}

#[tokio::test]
async fn a_tenant_has_a_bound_on_live_runs_and_the_platform_too() {
    let harness = Harness::start().await;
    let tier = json!({ "weight": 4, "cap": 10, "runs_max": 2 });
    harness.operator.put("/v1/tiers/standard", tier).await.ok();
    let body = r#"{"workflow":"pair"}"#;
    for _ in 0..2 {
        assert_eq!(submit(&harness.operator, body).await.status, 201);
    }
    let reply = submit(&harness.operator, body).await;
    assert_eq!(reply.refusal().1, "tenant-queue-full");
    assert_eq!(reply.status, 429);
    assert_eq!(reply.problem()["facts"]["max"], 2);
    assert_eq!(reply.problem()["facts"]["retry_after_ms"], reply.problem()["retry_after_ms"]);

    let valve = json!({ "runs_soft": 1, "runs_hard": 2, "bytes_soft": 1000, "bytes_hard": 2000 });
    harness.operator.put("/v1/platform/valve", valve).await.ok();
    let reply = harness.operator.post("/v1/tenants/b/runs", json!({ "workflow": "pair" })).await;
    assert_eq!(reply.refusal(), (503, "valve-closed".into(), String::new()));
    assert_eq!(harness.operator.get("/v1/platform/valve").await.ok()["refused"], 1);
}

#[tokio::test]
async fn an_idempotency_key_means_one_request() {
    let harness = Harness::start().await;
    let client = &harness.operator;
    let send = async |key: &str, body: Value| {
        client.post_keyed("/v1/tenants/a/runs", key, &body.to_string()).await
    };
    let first = send("k1", json!({ "workflow": "pair", "input": { "n": 1 } })).await;
    let again = send("k1", json!({ "workflow": "pair", "input": { "n": 1 } })).await;
    assert_eq!((first.status.as_u16(), again.status.as_u16()), (201, 200));
    assert_eq!(first.json()["run"], again.json()["run"]);
    assert_eq!(first.headers["location"], again.headers["location"]);
    let other = send("k1", json!({ "workflow": "pair", "input": { "n": 2 } })).await;
    assert_eq!(other.refusal(), (409, "idempotency-conflict".into(), String::new()));
    assert_eq!(other.problem()["facts"]["run"], first.json()["run"]);
    let long = "k".repeat(201);
    for key in ["", "a b", long.as_str()] {
        let reply = send(key, json!({ "workflow": "pair" })).await;
        assert_eq!(reply.refusal().1, "malformed-request", "{key:?}");
    }
}

#[tokio::test]
async fn a_list_is_not_taken_for_an_object() {
    let harness = Harness::start().await;
    let rows = [
        (Method::POST, "/v1/tenants/a/runs", r#"["pair",1,"urgent",{}]"#, ""),
        (Method::PUT, "/v1/orgs/x", "[5,7]", ""),
        (Method::PUT, "/v1/tiers/x", r#"{"weight":1,"cap":1,"sla":[950,100]}"#, "/sla"),
        (
            Method::POST,
            "/v1/worker/exchange",
            r#"{"worker":"w","pool":"main","slots":1,"report":[["l"]]}"#,
            "/report/0",
        ),
    ];
    for (method, path, body, pointer) in rows {
        let reply = harness.operator.send_json(method, path, body).await;
        assert_eq!(reply.refusal(), (422, "invalid-value".into(), pointer.into()), "{body}");
        assert_eq!(reply.problem()["expected"], "an object", "{body}");
    }
}

#[tokio::test]
async fn what_is_wrong_is_said_in_words_of_the_api() {
    let harness = Harness::start().await;
    let operator = &harness.operator;
    let whole = "a whole number from 0 to 4294967295";
    for (path, body, expected) in [
        ("/v1/orgs/x", r#"{"weight":"x"}"#, whole),
        ("/v1/orgs/x", r#"{"weight":-1}"#, whole),
        ("/v1/orgs/x", "7", "an object"),
        ("/v1/tenants/c", r#"{"org":7}"#, "a text"),
    ] {
        let reply = operator.send_json(Method::PUT, path, body).await;
        assert_eq!(reply.problem()["expected"], expected, "{body}");
    }
    let reply = operator.get("/v1/orgs?limit=x").await;
    assert_eq!(reply.refusal(), (400, "malformed-request".into(), String::new()));
    assert_eq!(reply.problem()["detail"], "the parameter `limit` is not a whole number");
}

#[tokio::test]
async fn a_path_that_is_not_utf_8_is_malformed() {
    let harness = Harness::start().await;
    for path in ["/v1/tenants/a/runs/%FF", "/v1/tenants/%ff", "/v1/orgs/%C3%28", "/%FF"] {
        let reply = harness.operator.get(path).await;
        assert_eq!(reply.refusal(), (400, "malformed-request".into(), String::new()), "{path}");
    }
    assert_eq!(harness.operator.get("/v1/orgs/%C3%A4").await.status, 404);
}

#[tokio::test]
async fn headers_beyond_their_bound_are_refused_with_a_problem() {
    let harness = Harness::start().await;
    let send = async |bytes: usize| {
        let mut request = harness.operator.request(Method::GET, "/v1/orgs", "");
        request.headers_mut().insert("x-large", "x".repeat(bytes).parse().unwrap());
        harness.operator.send(request).await
    };
    assert_eq!(send(60_000).await.status, 200);
    for bytes in [66_000, 120_000] {
        let reply = send(bytes).await;
        assert_eq!(reply.refusal(), (431, "malformed-request".into(), String::new()), "{bytes}");
    }
}

#[tokio::test]
async fn a_target_that_cannot_be_met_or_missed_is_refused() {
    let harness = Harness::start().await;
    for (sla, pointer) in [
        (json!({ "percentile_permille": 950, "latency_ms": 0 }), "/sla/latency_ms"),
        (json!({ "percentile_permille": 0, "latency_ms": 5 }), "/sla/percentile_permille"),
        (json!({ "percentile_permille": 1_001, "latency_ms": 5 }), "/sla/percentile_permille"),
    ] {
        for (path, mut body) in [
            ("/v1/tiers/x", json!({ "weight": 1, "cap": 1 })),
            ("/v1/tenants/a", json!({ "org": "org", "tier": "standard" })),
        ] {
            body["sla"] = sla.clone();
            let reply = harness.operator.put(path, body).await;
            assert_eq!(reply.refusal(), (422, "out-of-range".into(), pointer.into()), "{sla}");
        }
    }
}

#[tokio::test]
async fn a_schedule_for_a_tenant_that_is_not_there_is_refused_with_the_place() {
    let harness = Harness::start().await;
    let text = "workflow: w\nversion: 1\nsteps: { one: { task: t, pool: main } }\nschedules:\n  \
        daily: { tenant: a, cron: 0 6 * * * }\n  nightly: { tenant: nil, cron: 0 2 * * * }\n";
    for path in ["/v1/workflows/w", "/v1/workflows/w?dry_run=true"] {
        let reply = harness.operator.put_yaml(path, text).await;
        let place = "/schedules/nightly/tenant".to_owned();
        assert_eq!(reply.refusal(), (422, "unknown-tenant".into(), place), "{path}");
    }
}
