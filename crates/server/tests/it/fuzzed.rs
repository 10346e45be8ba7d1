//! Exchanges that no worker would send, to a server that runs: each is answered, and each report has its receipt.

use fairlane_fuzz::Target;
use hyper::Method;
use serde_json::json;

use crate::harness::{Harness, LONG_MS, Worker};

/// Stands for the name of a lease that the worker holds, so that the inputs are the same each time.
const HELD: &str = "LEASE";

#[test]
fn every_exchange_is_answered_with_a_receipt_for_each_report() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let harness = runtime.block_on(Harness::start());
    let worker = harness.worker("w");
    let held = std::cell::RefCell::new(runtime.block_on(lease(&harness, &worker)));
    let seeds = [
        r#"{"worker": "w", "pool": "main", "slots": 10, "want": 0, "report": [{"lease": "LEASE", "heartbeat": {}}]}"#,
        r#"{"worker": "w", "pool": "main", "slots": 10, "report": [{"lease": "LEASE", "completed": {"output": {"n": 2}, "cost": "0.05"}},
            {"lease": "LEASE", "failed": {"class": "c", "message": "m", "retryable": true, "retry_after_ms": 5}}]}"#,
        r#"{"worker": "w", "pool": "main", "slots": 10, "report": [{"lease": "LEASE", "failed": {"class": "c", "contradicts": ["first"]}},
            {"lease": "a.00000000-0000-0000-0000-000000000000.0.-1.1", "completed": {"output": null}}]}"#,
    ];
    let target = Target::new("exchange", 1_500)
        .seeds(seeds)
        .words(["LEASE", "main", "w", "first", "1e9999", "\\ud800"]);
    target.run(|input| {
        let text = String::from_utf8_lossy(input).replace(HELD, &held.borrow());
        let body = serde_json::from_str::<fairlane_api::worker::Exchange>(&text).ok();
        // A server without work holds the request for so long; what it does then is tested elsewhere.
        if body.as_ref().is_some_and(|body| body.wait_ms > 0) {
            return vec!["it waits".to_owned()];
        }
        let sent = worker.client.send_json(Method::POST, "/v1/worker/exchange", &text);
        let answer = runtime.block_on(sent);
        assert!(answer.status.as_u16() < 500, "{} {:?}", answer.status, answer.body);
        if !answer.status.is_success() {
            let (status, code, pointer) = answer.refusal();
            return vec![format!("{status} {code} {}", pointer.matches('/').count())];
        }
        let body = body.expect("what the server takes, the wire type takes");
        let answer = answer.json();
        let receipts = answer["accepted"].as_array().unwrap();
        let named: Vec<&str> = receipts.iter().filter_map(|one| one["lease"].as_str()).collect();
        let reported: Vec<&str> = body.report.iter().map(|report| &*report.lease).collect();
        assert_eq!(named, reported, "one receipt for each report, in their order");
        let leases = answer["leases"].as_array().unwrap();
        assert!(leases.len() <= body.want as usize, "{} leases for {}", leases.len(), body.want);
        // What was given is given back, so that there is always room for one more.
        let other = Worker { client: worker.client.clone(), name: body.worker.clone() };
        for lease in leases {
            runtime.block_on(other.fail(lease, false));
        }
        if receipts.iter().any(|one| one["receipt"] == "recorded") {
            *held.borrow_mut() = runtime.block_on(lease(&harness, &worker));
        }
        receipts.iter().map(|one| format!("{} {}", one["receipt"], one["reason"])).collect()
    });
    runtime.block_on(harness.server.stop());
}

/// The name of a fresh lease.
async fn lease(harness: &Harness, worker: &Worker) -> String {
    harness.submit("pair", json!({ "n": 1 })).await;
    loop {
        // The answer has none if the input of the step that was given cannot be made of what came before.
        let answer = worker.exchange(1, LONG_MS, json!([])).await;
        if let Some(name) = answer["leases"][0]["lease"].as_str() {
            return name.to_owned();
        }
    }
}
