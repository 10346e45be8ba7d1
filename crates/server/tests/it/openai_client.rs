//! OpenAI's own client for Python against the gateway.

use std::process::Command;

use fairlane_fake_provider::{Answer, Reply as Says};
use serde_json::json;

use crate::gateway::Gateway;
use crate::python;

const CLIENT: &str = "openai==3.57.0";
const CHECKS: usize = 10;

#[tokio::test]
async fn openais_client_works_with_another_base_url_and_key() {
    let gateway = Gateway::start().await;
    gateway.eu.always(Says::answer("one two three"));
    let half = Says::HalfStream { answer: Answer::new("one two three"), events: 3 };
    gateway.us.always(half);
    let operator = &gateway.harness.operator;
    gateway.model(&[("eu", "large")]).await;
    let broken = json!({ "candidates": [{ "endpoint": "us", "model": "small" }] });
    operator.put("/v1/catalog/models/broken", broken).await.ok();
    let hour = json!({ "window": { "units": 1, "every": "hour" } });
    let mut variables = vec![
        ("GATEWAY_URL", format!("http://{}/v1", gateway.harness.server.addr())),
        ("TENANT_KEY", gateway.tenant.key.clone().unwrap()),
    ];
    for (tenant, variable, class) in [
        ("poor", "POOR_KEY", json!({ "budget": { "month": "0.001" } })),
        ("limited", "LIMITED_KEY", json!({ "quotas": { "eu": [hour] } })),
    ] {
        operator.put(&format!("/v1/budget-classes/{tenant}"), class).await.ok();
        let body = json!({ "org": "org", "tier": "standard", "budget_class": tenant });
        operator.put(&format!("/v1/tenants/{tenant}"), body).await.ok();
        let client = gateway.harness.client(json!({ "role": "tenant", "tenant": tenant })).await;
        variables.push((variable, client.key.unwrap()));
    }
    let ran = tokio::task::spawn_blocking(move || {
        let mut python = Command::new(python::with(CLIENT));
        let script = python::script("openai_client.py");
        python::run(python.arg(script).envs(variables).env_remove("OPENAI_BASE_URL"))
    });
    let said = ran.await.unwrap();
    let passed = said.lines().filter(|line| line.starts_with("passed: ")).count();
    assert_eq!(passed, CHECKS, "{said}");
    gateway.spent().await;
}
