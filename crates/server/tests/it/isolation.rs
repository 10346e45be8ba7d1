//! A tenant's key sees its tenant. Everything else answers as if it did not exist.

use hyper::Method;
use serde_json::json;

use crate::harness::{Client, Harness};
use crate::openapi::{is_gateway, operations};

#[tokio::test]
async fn another_tenant_answers_exactly_as_a_missing_one() {
    let harness = Harness::start().await;
    let run = harness.submit("pair", json!({})).await;
    let b = harness.client(json!({ "role": "tenant", "tenant": "b" })).await;
    for (method, path, _) in operations() {
        if !path.starts_with("/v1/tenants/{tenant}") || method == Method::PUT {
            continue;
        }
        let answer = async |tenant: &str| {
            let path = path.replace("{tenant}", tenant).replace("{run}", &run);
            let mut request = b.request(method.clone(), &path, "{}");
            request.headers_mut().insert("content-type", "application/json".parse().unwrap());
            let reply = b.send(request).await;
            assert_eq!(reply.refusal().1, "unknown-tenant", "{method} {path}");
            assert_eq!(reply.status, 404);
            let mut headers = reply.headers.clone();
            headers.remove("date");
            // Names the request, and each is another one.
            headers.remove("x-request-id");
            headers.remove("content-length");
            let body = String::from_utf8(reply.body.to_vec()).unwrap();
            (headers, body.replace(&format!("`{tenant}`"), "`?`"))
        };
        let (foreign, missing) = (answer("a").await, answer("nil").await);
        assert_eq!(foreign, missing, "{method} {path}");
    }
}

#[tokio::test]
async fn another_tenants_run_answers_exactly_as_a_missing_one() {
    let harness = Harness::start().await;
    let run = harness.submit("pair", json!({})).await;
    let missing = "0190b6c2-7a1e-7cc3-98c4-dc0c0c07398f";
    let b = harness.client(json!({ "role": "tenant", "tenant": "b" })).await;
    for (method, path, _) in operations() {
        // What an operator alone may do is forbidden for either.
        if !path.contains("{run}") || method == Method::PUT {
            continue;
        }
        let answer = async |run: &str| {
            let path = path.replace("{tenant}", "b").replace("{run}", run);
            let path = path.replace("{signal}", "s");
            let reply = b.send(b.request(method.clone(), &path, "")).await;
            assert_eq!(reply.refusal().1, "unknown-run", "{method} {path}");
            String::from_utf8(reply.body.to_vec()).unwrap().replace(run, "?")
        };
        assert_eq!(answer(&run).await, answer(missing).await, "{method} {path}");
        answer("no-uuid").await;
    }
}

#[tokio::test]
async fn each_role_reaches_its_own_part_only() {
    let harness = Harness::start().await;
    let tenant = harness.client(json!({ "role": "tenant", "tenant": "a" })).await;
    let worker = harness.client(json!({ "role": "worker", "pools": ["main"] })).await;
    for (method, path, is_open) in operations() {
        if is_open {
            continue;
        }
        let path = path.replace("{tenant}", "a");
        let is_tenants = path.starts_with("/v1/tenants/a")
            && (method != Method::PUT || path.contains("/channels/"));
        let is_workflow = path.starts_with("/v1/workflows") && method == Method::GET;
        let is_of_reviews = path.starts_with("/v1/reviews")
            && (method == Method::GET
                || ["/reassign", "/escalate", "/comment"].iter().any(|end| path.ends_with(end)));
        let is_everybodys = path == "/v1/audit-key" || path == "/v1/me";
        let is_worker = path == "/v1/worker/exchange";
        let status = async |client: &crate::harness::Client| {
            let mut request = client.request(method.clone(), &path, "{}");
            request.headers_mut().insert("content-type", "application/json".parse().unwrap());
            client.send(request).await.status.as_u16()
        };
        let reaches = |status: u16| status != 403 && status != 401;
        if !is_worker {
            assert_eq!(
                reaches(status(&tenant).await),
                is_tenants || is_workflow || is_of_reviews || is_gateway(&path) || is_everybodys,
                "{method} {path}"
            );
            assert_eq!(reaches(status(&worker).await), is_everybodys, "{method} {path}");
        }
    }
    let exchange = |pool: &str| json!({ "worker": "w", "pool": pool, "slots": 1 });
    harness.operator.put("/v1/platform/pools/other", json!({ "slots": 1 })).await.ok();
    worker.post("/v1/worker/exchange", exchange("main")).await.ok();
    let reply = worker.post("/v1/worker/exchange", exchange("other")).await;
    assert_eq!(reply.refusal(), (403, "forbidden".into(), String::new()));
    let reply = tenant.post("/v1/worker/exchange", exchange("main")).await;
    assert_eq!(reply.refusal(), (403, "forbidden".into(), String::new()));
}

#[tokio::test]
async fn a_lease_of_a_pool_that_a_worker_s_key_may_not_serve_is_unknown_to_it() {
    let harness = Harness::start().await;
    harness.operator.put("/v1/platform/pools/other", json!({ "slots": 1 })).await.ok();
    harness.submit("pair", json!({ "n": 1 })).await;
    let holder = harness.worker("w");
    let lease = holder.lease().await["lease"].as_str().unwrap().to_owned();
    let both = json!({ "role": "worker", "pools": ["main", "other"] });
    let other = harness.client(json!({ "role": "worker", "pools": ["other"] })).await;
    let both = harness.client(both).await;
    let reason = async |client: &Client, lease: &str| {
        let report = json!([{ "lease": lease, "heartbeat": {} }]);
        let body = json!({ "worker": "w", "pool": "other", "slots": 1, "report": report });
        let answer = client.post("/v1/worker/exchange", body).await.ok();
        answer["accepted"][0]["reason"].as_str().unwrap().to_owned()
    };
    assert_eq!(reason(&both, &lease).await, "not_holder");
    assert_eq!(reason(&other, &lease).await, "unknown");
    holder.complete(&json!({ "lease": lease }), json!({ "n": 2 })).await;
    assert_eq!(reason(&both, &lease).await, "ended");
    assert_eq!(reason(&other, &lease).await, "unknown");
}

#[tokio::test]
async fn a_request_that_names_another_tenant_is_counted_once_and_shown_to_the_operator() {
    let harness = Harness::start().await;
    let b = harness.client(json!({ "role": "tenant", "tenant": "b" })).await;
    let attempts = async |of: &str| {
        let readings = harness.operator.get(&format!("/v1/tenants/{of}/readings")).await.ok();
        readings["cross_tenant_attempts"].as_u64().unwrap()
    };
    for path in ["", "/runs", "/readings", "/runs/0190b6c2-7a1e-7cc3-98c4-dc0c0c07398f"] {
        b.get(&format!("/v1/tenants/b{path}")).await;
    }
    b.get("/v1/tenants/%62").await.ok();
    assert_eq!(attempts("b").await, 0, "its own name, written as it likes");
    for (count, path) in (1..).zip(["a", "nil", "a/runs", "a/channels", "NO NAME"]) {
        b.get(&format!("/v1/tenants/{}", path.replace(' ', "%20"))).await;
        assert_eq!(attempts("b").await, count, "{path}");
    }
    b.put("/v1/tenants/a", json!({})).await;
    assert_eq!(attempts("b").await, 6, "what only an operator may ask is counted too");
    let mut request = b.request(Method::GET, "/v1/models", "");
    request.headers_mut().insert("x-fairlane-tenant", "a".parse().unwrap());
    b.send(request).await;
    assert_eq!((attempts("b").await, attempts("a").await), (7, 0));

    let listed = harness.operator.get("/v1/platform/tenants").await.ok();
    let of_b = listed["items"].as_array().unwrap().iter().find(|one| one["tenant"] == "b").unwrap();
    assert_eq!(of_b["cross_tenant_attempts"], 7);
    let own = b.get("/v1/tenants/b/readings").await.ok();
    assert!(own.get("cross_tenant_attempts").is_none(), "{own}");
}

#[tokio::test]
async fn a_tenants_list_holds_its_own_runs() {
    let harness = Harness::start().await;
    let run = harness.submit("pair", json!({})).await;
    let a = harness.client(json!({ "role": "tenant", "tenant": "a" })).await;
    let b = harness.client(json!({ "role": "tenant", "tenant": "b" })).await;
    let listed = a.get("/v1/tenants/a/runs").await.ok();
    assert_eq!(listed["items"][0]["id"], run);
    let listed = b.get("/v1/tenants/b/runs").await.ok();
    assert_eq!(listed["items"], json!([]));
}

#[tokio::test]
async fn a_tenant_reads_a_workflow_without_what_belongs_to_other_tenants() {
    let harness = Harness::start().await;
    harness
        .operator
        .put("/v1/tenants/other-bank", json!({ "org": "org", "tier": "standard" }))
        .await
        .ok();
    let text = "
workflow: nightly
version: 1
# As other-bank has asked for.
schedules:
  night:
    tenant: other-bank
    cron: 30 2 * * *
    input: { account: secret-17 }
steps:
  report:
    task: report
";
    harness.workflow("nightly", text).await;
    let path = "/v1/workflows/nightly";
    let a = harness.client(json!({ "role": "tenant", "tenant": "a" })).await;
    let reply = a.get(path).await;
    let body = String::from_utf8(reply.body.to_vec()).unwrap();
    for foreign in ["other-bank", "secret-17", "night:", "30 2"] {
        assert!(!body.contains(foreign), "{foreign} in {body}");
    }
    let shown = reply.ok();
    let source: serde_json::Value =
        serde_json::from_str(shown["source"].as_str().unwrap()).unwrap();
    assert_eq!(
        source,
        json!({
            "workflow": "nightly", "version": 1,
            "steps": { "report": { "pool": "main", "task": "report" } },
        })
    );
    assert_eq!(shown["steps"][0]["name"], "report");
    let whole = harness.operator.get(path).await.ok();
    assert!(whole["source"].as_str().unwrap().contains("secret-17"), "an operator sees all of it");
}

/// Whether a request of the client's comes through to what it asks for.
async fn reaches(client: &crate::harness::Client, method: &Method, path: &str) -> bool {
    let mut request = client.request(method.clone(), path, "{}");
    request.headers_mut().insert("content-type", "application/json".parse().unwrap());
    let status = client.send(request).await.status.as_u16();
    status != 403 && status != 401
}

#[tokio::test]
async fn a_viewer_reads_all_of_its_tenant_and_changes_nothing_and_an_auditor_reads_its_log() {
    let harness = Harness::start_on(fairlane_server::StoreKind::Sqlite).await;
    harness.declare().await;
    let [tenant, viewer, auditor] = ["tenant", "viewer", "auditor"];
    let key = async |role| harness.client(json!({ "role": role, "tenant": "a" })).await;
    let (tenant, viewer, auditor) = (key(tenant).await, key(viewer).await, key(auditor).await);
    let (mut read, mut changed, mut log) = (0, 0, 0);
    for (method, path, is_open) in operations() {
        if is_open {
            continue;
        }
        let path = path.replace("{tenant}", "a");
        let is_log = path == "/v1/audit-key"
            || path == "/v1/me"
            || path.starts_with("/v1/tenants/a/audit")
            || path == "/v1/tenants/a/decisions";
        let is_tenants = reaches(&tenant, &method, &path).await;
        let expected = is_tenants && method == Method::GET;
        assert_eq!(reaches(&viewer, &method, &path).await, expected, "{method} {path}");
        assert_eq!(reaches(&auditor, &method, &path).await, is_log, "{method} {path}");
        read += u32::from(expected);
        changed += u32::from(is_tenants && !expected);
        log += u32::from(is_log);
    }
    assert!(read > 20 && changed > 15 && log == 6, "{read} {changed} {log}");
    // A name in the path that is the log's opens nothing else.
    for path in ["/v1/tenants/a/channels/audit", "/v1/tenants/a/runs/decisions"] {
        assert!(!reaches(&auditor, &Method::GET, path).await, "{path}");
    }
    let foreign = auditor.get("/v1/tenants/b/audit").await;
    let missing = auditor.get("/v1/tenants/nobody/audit").await;
    assert_eq!((foreign.status, missing.status.as_u16()), (missing.status, 404));
}

#[tokio::test]
async fn a_key_opens_nothing_once_its_time_is_over() {
    let harness = Harness::start().await;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let micros = u64::try_from(now.as_micros()).unwrap();
    let at = |micros: u64| serde_json::to_value(fairlane_api::Timestamp(micros)).unwrap();
    let body = |at| json!({ "role": "tenant", "tenant": "a", "expires_at": at });
    let past = harness.operator.post("/v1/platform/keys", body(at(micros - 1))).await.refusal();
    assert_eq!(past, (422, "invalid-value".into(), "/expires_at".into()));
    let hour = 3_600_000_000;
    let later = harness.operator.post("/v1/platform/keys", body(at(micros + hour))).await;
    assert_eq!(later.json()["key"]["expires_at"], at(micros + hour));
    let soon = harness.client(body(at(micros + 300_000))).await;
    loop {
        let reply = soon.get("/v1/tenants/a").await;
        if reply.status == 401 {
            assert_eq!(reply.json()["code"], "unauthenticated");
            break;
        }
        assert_eq!(reply.status, 200, "{reply:?}");
    }
}
