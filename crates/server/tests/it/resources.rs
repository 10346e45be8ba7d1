//! Declarations: idempotent, checked, read back, listed.

use serde_json::{Value, json};

use crate::harness::{Harness, PAIR};

#[tokio::test]
async fn the_same_declaration_twice_changes_nothing() {
    let harness = Harness::start().await;
    let operator = &harness.operator;
    for (path, body) in [
        ("/v1/orgs/o1", json!({ "weight": 3, "cap": 9 })),
        (
            "/v1/tiers/gold",
            json!({ "weight": 9, "cap": 50, "sla": { "percentile_permille": 950, "latency_ms": 200 } }),
        ),
        (
            "/v1/tenants/t1",
            json!({ "org": "org", "tier": "standard", "cap": 2, "suspended": true }),
        ),
        ("/v1/platform/pools/p1", json!({ "slots": 5, "policy": "fifo", "tasks": ["x"] })),
        (
            "/v1/platform/valve",
            json!({ "runs_soft": 10, "runs_hard": 20, "bytes_soft": 100, "bytes_hard": 200 }),
        ),
    ] {
        let dry = operator.put(&format!("{path}?dry_run=true"), body.clone()).await.ok();
        assert_eq!(dry, json!({ "changed": false, "dry_run": true }), "{path}");
        for changed in [true, false] {
            let applied = operator.put(path, body.clone()).await.ok();
            assert_eq!(applied["changed"], changed, "{path}");
        }
        let read = operator.get(path).await.ok();
        for (name, value) in body.as_object().unwrap() {
            if name != "tasks" {
                assert_eq!(read[name], *value, "{path} {name}");
            }
        }
    }
    let tenant = operator.get("/v1/tenants/t1").await.ok();
    assert_eq!(tenant["weight"], 4, "the tier fills in what the tenant leaves out");
    assert_eq!(tenant["attributes"], json!({}));
}

#[tokio::test]
async fn a_tier_that_changes_changes_its_tenants() {
    let harness = Harness::start().await;
    assert_eq!(harness.operator.get("/v1/tenants/a").await.ok()["cap"], 10);
    harness.operator.put("/v1/tiers/standard", json!({ "weight": 4, "cap": 3 })).await.ok();
    let tenant = harness.operator.get("/v1/tenants/a").await.ok();
    assert_eq!((&tenant["cap"], &tenant["version"]), (&json!(3), &json!(2)));
}

#[tokio::test]
async fn what_is_out_of_range_is_refused_with_its_place_and_its_range() {
    let harness = Harness::start().await;
    let rows = [
        ("/v1/orgs/x", json!({ "weight": 0 }), "out-of-range", "/weight"),
        ("/v1/orgs/x", json!({ "weight": 1_000_001 }), "out-of-range", "/weight"),
        ("/v1/orgs/x", json!({ "weight": 4_294_967_296_u64 }), "invalid-value", "/weight"),
        ("/v1/orgs/x", json!({ "weight": -1 }), "invalid-value", "/weight"),
        ("/v1/orgs/x", json!({ "cap": 0 }), "out-of-range", "/cap"),
        ("/v1/orgs/x", json!({ "wieght": 1 }), "unknown-field", "/wieght"),
        ("/v1/tiers/x", json!({ "weight": 1, "cap": 0 }), "out-of-range", "/cap"),
        ("/v1/tiers/x", json!({ "weight": 1 }), "invalid-value", ""),
        (
            "/v1/tiers/x",
            json!({ "weight": 1, "cap": 1, "urgent_share_permille": 1001 }),
            "out-of-range",
            "/urgent_share_permille",
        ),
        (
            "/v1/tiers/x",
            json!({ "weight": 1, "cap": 1, "burst": { "extra_slots": 1, "credit_ms": "1s" } }),
            "invalid-value",
            "/burst/credit_ms",
        ),
        (
            "/v1/tenants/x",
            json!({ "org": "org", "tier": "standard", "cap": 0 }),
            "out-of-range",
            "/cap",
        ),
        ("/v1/tenants/x", json!({ "org": "nil", "tier": "standard" }), "unknown-org", "/org"),
        ("/v1/tenants/x", json!({ "org": "org", "tier": "nil" }), "unknown-tier", "/tier"),
        ("/v1/tenants/x", json!({ "org": "O", "tier": "standard" }), "invalid-name", "/org"),
        (
            "/v1/tenants/x",
            json!({ "org": "org", "tier": "standard", "attributes": [1] }),
            "invalid-value",
            "/attributes",
        ),
        (
            "/v1/tenants/x",
            json!({ "org": "org", "tier": "standard", "attributes": { "long": "x".repeat(20_000) } }),
            "too-long",
            "/attributes",
        ),
    ];
    refused(&harness, &rows).await;
}

#[tokio::test]
async fn what_is_out_of_range_of_the_platform_is_refused_alike() {
    let harness = Harness::start().await;
    let rows = [
        ("/v1/platform/pools/x", json!({ "slots": 0 }), "out-of-range", "/slots"),
        (
            "/v1/platform/pools/x",
            json!({ "slots": 1, "quantum_ms": 0 }),
            "out-of-range",
            "/quantum_ms",
        ),
        (
            "/v1/platform/pools/x",
            json!({ "slots": 1, "policy": "lottery" }),
            "invalid-value",
            "/policy",
        ),
        (
            "/v1/platform/pools/x",
            json!({ "slots": 1, "tasks": ["a b"] }),
            "invalid-name",
            "/tasks/0",
        ),
        (
            "/v1/platform/valve",
            json!({ "runs_soft": 3, "runs_hard": 2, "bytes_soft": 1, "bytes_hard": 1 }),
            "out-of-range",
            "/runs_soft",
        ),
    ];
    refused(&harness, &rows).await;
}

/// Path, body, and the code and pointer of the problem.
type Row = (&'static str, Value, &'static str, &'static str);

async fn refused(harness: &Harness, rows: &[Row]) {
    for (path, body, code, pointer) in rows {
        for path in [(*path).to_owned(), format!("{path}?dry_run=true")] {
            let reply = harness.operator.put(&path, body.clone()).await;
            let expected = (422, (*code).to_owned(), (*pointer).to_owned());
            assert_eq!(reply.refusal(), expected, "{path} {body}");
            if *code == "out-of-range" {
                assert!(reply.problem()["expected"].as_str().unwrap().contains(" to "), "{body}");
            }
        }
    }
}

#[tokio::test]
async fn names_in_paths_are_checked() {
    let harness = Harness::start().await;
    let long = "x".repeat(65);
    for name in ["UPPER", "with%20space", "a.b", long.as_str()] {
        let reply = harness.operator.put(&format!("/v1/orgs/{name}"), json!({})).await;
        assert_eq!(reply.refusal(), (422, "invalid-name".into(), String::new()), "{name}");
        let reply = harness.operator.get(&format!("/v1/orgs/{name}")).await;
        assert_eq!(reply.refusal().1, "unknown-org", "{name}");
    }
}

#[tokio::test]
async fn lists_are_read_page_by_page() {
    let harness = Harness::start().await;
    for at in 0..7 {
        let body = json!({ "org": "org", "tier": "standard" });
        harness.operator.put(&format!("/v1/tenants/t{at}"), body).await.ok();
    }
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = harness.operator.get(&format!("/v1/tenants?limit=2{cursor}")).await.ok();
        seen.extend(page["items"].as_array().unwrap().iter().map(|item| item["id"].clone()));
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(json!(seen), json!(["a", "b", "t0", "t1", "t2", "t3", "t4", "t5", "t6"]));
    for query in ["limit=0", "limit=1001", "limit=x", "cursor=%20", "unknown=1"] {
        let reply = harness.operator.get(&format!("/v1/tenants?{query}")).await;
        assert_eq!(reply.refusal().1, "malformed-request", "{query}");
    }
}

#[tokio::test]
async fn workflow_versions_never_change() {
    let harness = Harness::start().await;
    let text = PAIR.replace("    task:", "    pool: main\n    task:");
    let path = "/v1/workflows/pair";
    let again = harness.operator.put_yaml(path, &text).await.ok();
    assert_eq!(
        again,
        json!({ "workflow": "pair", "version": 1, "changed": false, "dry_run": false })
    );
    let other = text.replace("input.n", "input.m");
    let reply = harness.operator.put_yaml(path, &other).await;
    assert_eq!(reply.refusal(), (409, "version-exists".into(), "/version".into()));
    let second = other.replace("version: 1", "version: 2");
    assert_eq!(harness.operator.put_yaml(path, &second).await.ok()["changed"], true);

    let newest = harness.operator.get(path).await.ok();
    assert_eq!((&newest["version"], &newest["versions"]), (&json!(2), &json!([2, 1])));
    assert_eq!(newest["source"], second);
    assert_eq!(newest["steps"][1]["after"], json!(["first"]));
    let first = harness.operator.get("/v1/workflows/pair?version=1").await.ok();
    assert_eq!(first["source"], text);
    let list = harness.operator.get("/v1/workflows").await.ok();
    assert_eq!(list["items"], json!([{ "name": "pair", "version": 2, "steps": 2 }]));
    for path in ["/v1/workflows/nil", "/v1/workflows/pair?version=3"] {
        assert_eq!(harness.operator.get(path).await.refusal().1, "unknown-workflow");
    }
}

#[tokio::test]
async fn all_mistakes_of_a_workflow_are_reported_at_once() {
    let harness = Harness::start().await;
    let text = "workflow: bad\nversion: 1\nsteps:\n  one:\n    task: x\n    pool: nil\n    afterr: [two]\n  \
                two:\n    task: y\n    pool: main\n    after: [three]\n";
    let reply = harness.operator.put_yaml("/v1/workflows/bad", text).await;
    assert_eq!(reply.refusal().1, "invalid-workflow");
    let problem = reply.problem();
    let mistakes = problem["mistakes"].as_array().unwrap();
    let codes: Vec<&str> =
        mistakes.iter().map(|mistake| mistake["code"].as_str().unwrap()).collect();
    for code in ["unknown-pool", "unknown-field", "unknown-step"] {
        assert!(codes.contains(&code), "{code} in {codes:?}");
    }
    assert!(mistakes.iter().all(|mistake| mistake["line"].as_u64() >= Some(4)), "{problem}");
}

#[tokio::test]
async fn a_workflow_is_named_as_its_path() {
    let harness = Harness::start().await;
    let reply = harness.operator.put_yaml("/v1/workflows/other", PAIR).await;
    assert_eq!(reply.status, 422);
    let text = PAIR.replace("    task:", "    pool: main\n    task:");
    let reply = harness.operator.put_yaml("/v1/workflows/other", &text).await;
    assert_eq!(reply.refusal(), (422, "invalid-value".into(), "/workflow".into()));
}

#[tokio::test]
async fn keys_are_made_listed_and_dropped() {
    let harness = Harness::start().await;
    let made = harness
        .operator
        .post("/v1/platform/keys", json!({ "role": "tenant", "tenant": "a", "label": "for a" }))
        .await
        .ok();
    let id = made["key"]["id"].as_str().unwrap();
    let list = harness.operator.get("/v1/platform/keys").await;
    assert!(!String::from_utf8_lossy(&list.body).contains("secret"));
    let listed = list.json()["items"].as_array().unwrap().iter().any(|key| *key == made["key"]);
    assert!(listed, "{list:?}");

    let client = crate::harness::Client {
        addr: harness.server.addr(),
        key: Some(made["secret"].as_str().unwrap().to_owned()),
    };
    client.get("/v1/tenants/a").await.ok();
    let path = format!("/v1/platform/keys/{id}");
    assert_eq!(harness.operator.delete(&path).await.status, 204);
    assert_eq!(client.get("/v1/tenants/a").await.refusal().0, 401);
    assert_eq!(
        harness.operator.delete(&path).await.refusal(),
        (404, "unknown-key".into(), String::new())
    );

    for (body, pointer) in [
        (json!({ "role": "tenant" }), "/tenant"),
        (json!({ "role": "operator", "tenant": "a" }), "/tenant"),
        (json!({ "role": "operator", "pools": [] }), "/pools"),
        (json!({ "role": "worker", "pools": ["main", "X"] }), "/pools/1"),
        (json!({ "role": "king" }), "/role"),
        (json!({ "role": "operator", "label": "x".repeat(201) }), "/label"),
    ] {
        let reply = harness.operator.post("/v1/platform/keys", body.clone()).await;
        assert_eq!((reply.refusal().0, reply.refusal().2), (422, pointer.into()), "{body}");
    }
}

#[tokio::test]
async fn the_operator_sees_readings_of_all() {
    let harness = Harness::start().await;
    let page = harness.operator.get("/v1/platform/tenants").await.ok();
    let names: Vec<_> =
        page["items"].as_array().unwrap().iter().map(|item| &item["tenant"]).collect();
    assert_eq!(json!(names), json!(["a", "b"]));
    let mut one = harness.operator.get("/v1/tenants/a/readings").await.ok();
    let windows = one.as_object_mut().unwrap().remove("windows").unwrap();
    assert_eq!(one, page["items"][0], "the same but for the windows, of which there are four");
    assert_eq!(windows.as_array().unwrap().len(), 4);
    let pools = harness.operator.get("/v1/platform/pools").await.ok();
    assert_eq!(pools["items"][0]["slots"], 100);
    for path in ["/v1/platform/decisions", "/v1/tenants/a/decisions"] {
        assert!(harness.operator.get(path).await.ok()["items"].is_array(), "{path}");
    }
}
