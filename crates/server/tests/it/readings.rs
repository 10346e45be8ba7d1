//! Readings over HTTP: what the operator is told of the platform, and a tenant of itself.

use serde_json::{Value, json};

use crate::harness::{Harness, LONG_MS};

const CAPPED: &str = "
workflow: one
version: 1
steps:
  only:
    task: only
";

fn window<'a>(readings: &'a Value, name: &str) -> &'a Value {
    let windows = readings["windows"].as_array().unwrap();
    windows.iter().find(|window| window["window"] == name).unwrap()
}

#[tokio::test]
async fn a_tenant_is_told_why_it_waits_and_the_operator_that_nobody_else_does() {
    let harness = Harness::start().await;
    harness.workflow("one", CAPPED).await;
    let capped = json!({
        "org": "org", "tier": "standard", "cap": 1,
        "sla": { "percentile_permille": 900, "latency_ms": 500 },
    });
    harness.operator.put("/v1/tenants/a", capped).await.ok();
    for _ in 0..6 {
        harness.submit("one", json!({})).await;
    }
    let worker = harness.worker("w");
    // Each takes a while, with the cap of one, so that the others wait.
    for _ in 0..3 {
        let lease = worker.lease().await;
        tokio::time::sleep(std::time::Duration::from_millis(600)).await;
        worker.complete(&lease, json!(null)).await;
    }
    let held = worker.exchange(1, LONG_MS, json!([])).await;
    assert_eq!(held["leases"].as_array().unwrap().len(), 1, "{held}");
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    let tenant = harness.client(json!({ "role": "tenant", "tenant": "a" })).await;
    let readings = tenant.get("/v1/tenants/a/readings").await.ok();
    let diagnosis = &readings["diagnosis"];
    assert_eq!(diagnosis["reason"]["code"], "tenant-cap", "{readings}");
    assert_eq!(diagnosis["reason"]["own"], true, "{readings}");
    let says = diagnosis["says"].as_str().unwrap();
    assert!(says.contains("all 1 slots of pool `main`") && says.contains("Expected"), "{says}");
    let minute = window(&readings, "1m");
    assert_eq!(minute["queue_wait"]["count"], 4, "{readings}");
    assert_eq!(minute["latency"]["count"], 3, "{readings}");
    assert_eq!(minute["held"][0]["cause"], "tenant-cap", "{readings}");
    let sla = &window(&readings, "1h")["sla"];
    assert_eq!(sla["ended"], 3, "{readings}");
    let late = sla["late"].as_u64().unwrap();
    assert!(late >= 2, "{readings}");
    assert_eq!(sla["burn_rate_permille"], late * 1_000_000 / 300, "{readings}");

    let overview = harness.operator.get("/v1/platform/overview").await.ok();
    assert_eq!(overview["state"], "healthy", "{overview}");
    assert_eq!((&overview["tenants"], &overview["active"]), (&json!(2), &json!(1)), "{overview}");
    assert_eq!(overview["slow_expected"], 1, "{overview}");
    let pools = overview["pools"].as_array().unwrap();
    let main = pools.iter().find(|pool| pool["pool"] == "main").unwrap();
    assert_eq!(main["top"][0]["tenant"], "a", "{overview}");
    assert_eq!(overview["tiers"][0]["spread"]["tenants"], 1, "{overview}");
    assert_eq!(overview["regions"], json!(["local"]), "{overview}");
    assert_eq!(tenant.get("/v1/platform/overview").await.refusal().0, 403);
}

#[tokio::test]
async fn an_unknown_region_is_refused() {
    let harness = Harness::start().await;
    let refused = harness.operator.get("/v1/platform/overview?region=nowhere").await;
    assert_eq!(refused.status, 404, "{refused:?}");
}
