//! Policies over HTTP: declared as text or JSON, refused with all their mistakes, asked by runs, steps and calls.

use expect_test::expect;
use hyper::{Method, Request};
use serde_json::{Value, json};

use crate::harness::{Harness, Reply};

const TOOLS: &str = "
workflow: tools
version: 1
steps:
  first:
    task: first
  second:
    task: second
    tool: bureau
";

async fn start() -> Harness {
    let harness = Harness::start().await;
    harness.declare().await;
    harness.workflow("tools", TOOLS).await;
    harness
}

async fn put(harness: &Harness, name: &str, text: &str) -> Reply {
    let path = format!("/v1/catalog/policies/{name}");
    harness.operator.put(&path, json!({ "text": text })).await
}

const NO_BUREAU: &str = r#"forbid (principal, action, resource == Tool::"bureau");"#;

async fn explained(harness: &Harness, run: &str) -> Value {
    let path = format!("/v1/tenants/a/runs/{run}/explain");
    let view = harness.operator.get(&path).await.ok();
    let steps = view["steps"].as_array().unwrap();
    steps.iter().find(|step| step["name"] == "second").unwrap()["waits"].clone()
}

#[tokio::test]
async fn a_policy_is_declared_read_listed_with_its_versions_and_removed() {
    let harness = start().await;
    let operator = &harness.operator;
    for (text, changed) in [(NO_BUREAU, true), (NO_BUREAU, false)] {
        assert_eq!(put(&harness, "bureau", text).await.ok()["changed"], changed);
    }
    let second = r#"forbid (principal, action, resource == Tool::"other");"#;
    let mut request = operator.request(Method::PUT, "/v1/catalog/policies/bureau", second);
    request.headers_mut().insert("content-type", "text/plain; charset=utf-8".parse().unwrap());
    let request: Request<_> = request;
    assert_eq!(operator.send(request).await.ok()["changed"], true);
    let read = operator.get("/v1/catalog/policies/bureau").await.ok();
    assert_eq!((&read["text"], &read["version"]), (&json!(second), &json!(2)));
    assert_eq!(read["versions"].as_array().unwrap().len(), 2);
    let first = operator.get("/v1/catalog/policies/bureau?version=1").await.ok();
    assert_eq!(first["text"], NO_BUREAU);
    let names = |list: &Value| -> Vec<String> {
        let items = list["items"].as_array().unwrap();
        items.iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
    };
    let all = operator.get("/v1/catalog/policies").await.ok();
    assert_eq!(names(&all), ["base", "bureau", "default"]);
    let page = operator.get("/v1/catalog/policies?limit=2").await.ok();
    assert_eq!(names(&page), ["base", "bureau"]);
    let rest = format!("/v1/catalog/policies?cursor={}", page["next"].as_str().unwrap());
    assert_eq!(names(&operator.get(&rest).await.ok()), ["default"]);
    let schema = operator.get("/v1/catalog/policy-schema").await.ok();
    assert!(schema["text"].as_str().unwrap().contains("entity Tenant"));
    assert_eq!(operator.delete("/v1/catalog/policies/bureau").await.ok()["changed"], true);
    let gone = operator.delete("/v1/catalog/policies/bureau").await;
    assert_eq!(gone.refusal().1, "unknown-policy");
    for shipped in ["base", "default"] {
        let reply = operator.delete(&format!("/v1/catalog/policies/{shipped}")).await;
        assert_eq!(reply.refusal().1, "invalid-value");
        let expected = format!("policy `{shipped}` is part of the product and cannot be removed");
        assert_eq!(reply.json()["detail"], expected);
    }
}

#[tokio::test]
async fn what_is_wrong_is_refused_with_all_mistakes_and_their_places() {
    let harness = start().await;
    let text = "forbid (principal is Tenant, action, resource)\nwhen { principal.tire == \"free\" };\n\
                forbid (principal, action, resource is Toool);";
    let problem = put(&harness, "wrong", text).await.problem();
    assert_eq!((&problem["code"], &problem["status"]), (&json!("invalid-policy"), &json!(422)));
    expect![[r#"
        [
          {
            "code": "invalid-policy",
            "message": "attribute `tire` on entity type `Tenant` not found",
            "line": 2,
            "column": 8,
            "expected": "`tier`"
          },
          {
            "code": "invalid-policy",
            "message": "unrecognized entity type `Toool`",
            "line": 3,
            "column": 40,
            "expected": "`Tool`"
          }
        ]"#]]
    .assert_eq(&serde_json::to_string_pretty(&problem["mistakes"]).unwrap());
    let all = put(&harness, "all", "forbid (principal, action, resource);").await.problem();
    assert!(all["mistakes"][0]["message"].as_str().unwrap().contains("nothing could run"), "{all}");
    let base = put(&harness, "base", "permit (principal, action, resource);").await.problem();
    assert_eq!(base["code"], "invalid-policy");
}

#[tokio::test]
async fn a_forbidden_step_waits_is_explained_and_goes_on() {
    let harness = start().await;
    let run = harness.submit("tools", json!({})).await;
    let dry = harness
        .operator
        .put("/v1/catalog/policies/bureau?dry_run=true", json!({ "text": NO_BUREAU }))
        .await
        .ok();
    assert_eq!(dry["effect"]["newly_forbidden"], json!({ "waiting": 1, "running": 0 }), "{dry}");
    assert_eq!(dry["effect"]["groups"][0]["thing"], "bureau");
    put(&harness, "bureau", NO_BUREAU).await.ok();
    harness.worker("w").echo(1).await;
    let waits = explained(&harness, &run).await;
    assert_eq!((&waits["on"], &waits["gate"]), (&json!("gate"), &json!("policy")), "{waits}");
    assert!(waits["needs"].as_str().unwrap().contains("policy `bureau`"), "{waits}");
    harness.operator.delete("/v1/catalog/policies/bureau").await.ok();
    harness.worker("w").echo(1).await;
}

#[tokio::test]
async fn a_workflow_that_the_tenant_may_not_start_is_answered_451_with_the_policy() {
    let harness = start().await;
    let text = r#"forbid (principal == Tenant::"a", action == Action::"start_run", resource == Workflow::"tools");"#;
    put(&harness, "starts", text).await.ok();
    let refused = harness.operator.post("/v1/tenants/a/runs", json!({ "workflow": "tools" })).await;
    let problem = refused.problem();
    assert_eq!((&problem["status"], &problem["code"]), (&json!(451), &json!("policy-denied")));
    assert_eq!(
        problem["detail"],
        "policy `starts` does not allow the tenant to start workflow `tools`"
    );
    assert_eq!(problem["facts"]["policy"], "starts");
    let other = harness.operator.post("/v1/tenants/b/runs", json!({ "workflow": "tools" })).await;
    assert_eq!(other.status, 201, "{other:?}");
}

#[tokio::test]
async fn a_call_through_the_gateway_is_answered_451_with_the_policy() {
    let harness = start().await;
    let operator = &harness.operator;
    let endpoint =
        json!({ "protocol": "chat", "url": "http://127.0.0.1:9/v1", "allow_private": true });
    operator.put("/v1/catalog/tools/maker", json!({ "endpoint": endpoint })).await.ok();
    let price = json!({ "versions": [{ "input": "2.00", "output": "10.00", "context": 8_000 }] });
    operator.put("/v1/catalog/prices/large", price).await.ok();
    let candidates = json!([{ "endpoint": "maker", "model": "large" }]);
    operator.put("/v1/catalog/models/reasoner", json!({ "candidates": candidates })).await.ok();
    let text =
        r#"forbid (principal, action == Action::"use_model", resource in Model::"reasoner");"#;
    put(&harness, "no-reasoner", text).await.ok();
    let tenant = harness.client(json!({ "role": "tenant", "tenant": "a" })).await;
    let asked = json!({ "model": "reasoner", "messages": [{ "role": "user", "content": "hi" }] });
    let reply = tenant.post("/v1/chat/completions", asked).await;
    assert_eq!(reply.status, 451, "{reply:?}");
    let body = reply.json();
    assert!(body["error"]["message"].as_str().unwrap().contains("policy `no-reasoner`"), "{body}");
}
