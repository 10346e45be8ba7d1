//! The worker protocol: leases, reports, long polls, and what becomes of those that go astray.

use hyper::Method;
use serde_json::{Value, json};

use crate::harness::{Harness, LONG_MS};

fn receipt(answer: &Value) -> (&str, &str) {
    let accepted = &answer["accepted"][0];
    (accepted["receipt"].as_str().unwrap(), accepted["reason"].as_str().unwrap_or_default())
}

#[tokio::test]
async fn a_lease_says_what_is_to_be_done() {
    let harness = Harness::start().await;
    let run = harness.submit("pair", json!({ "n": 21 })).await;
    let worker = harness.worker("w");
    let answer = worker.try_exchange(1, LONG_MS, json!([])).await;
    // The answer is written by hand: it must be what the wire types say.
    let typed: fairlane_api::worker::Exchanged = serde_json::from_slice(&answer.body).unwrap();
    let lease = &typed.leases[0];
    assert_eq!((lease.tenant.as_str(), lease.run.as_str()), ("a", run.as_str()));
    assert_eq!((lease.workflow.as_str(), lease.version), ("pair", 1));
    assert_eq!((lease.step.as_str(), lease.task.as_str(), lease.attempt), ("first", "first", 1));
    assert_eq!(lease.part, fairlane_api::view::Part::Whole);
    assert_eq!(lease.input.get(), r#"{"n":21}"#);
    assert_eq!((lease.context.org.as_str(), lease.context.tier.as_str()), ("org", "standard"));
    assert_eq!(lease.context.attributes.get(), r#"{"limit":7}"#);
    assert!(lease.lease.starts_with(&lease.idempotency_key));
    assert!(lease.renew_within_ms > 0);

    let lease = answer.json()["leases"][0].clone();
    let answer = worker.complete(&lease, json!({ "n": 42 })).await;
    assert_eq!(receipt(&answer), ("recorded", ""));
    let second = worker.lease().await;
    assert_eq!((&second["step"], &second["input"]), (&json!("second"), &json!({ "doubled": 42 })));
    worker.complete(&second, json!("done")).await;
    let run = harness.run(&run).await;
    assert_eq!(run["run"]["status"], "completed");
}

#[tokio::test]
async fn one_exchange_reports_and_takes_the_next_lease() {
    let harness = Harness::start().await;
    harness.submit("pair", json!({ "n": 1 })).await;
    let worker = harness.worker("w");
    let lease = worker.lease().await;
    let report = json!([{ "lease": lease["lease"], "completed": { "output": { "n": 2 } } }]);
    let answer = worker.exchange(1, LONG_MS, report).await;
    assert_eq!(receipt(&answer), ("recorded", ""));
    assert_eq!(answer["leases"][0]["input"], json!({ "doubled": 2 }));
}

#[tokio::test]
async fn an_outcome_is_recorded_once() {
    let harness = Harness::start().await;
    harness.submit("pair", json!({ "n": 1 })).await;
    let worker = harness.worker("w");
    let lease = worker.lease().await;
    assert_eq!(receipt(&worker.complete(&lease, json!({ "n": 2 })).await), ("recorded", ""));
    assert_eq!(receipt(&worker.complete(&lease, json!({ "n": 3 })).await), ("stale", "ended"));
    assert_eq!(worker.lease().await["input"], json!({ "doubled": 2 }));
}

#[tokio::test]
async fn reports_that_do_not_count_say_why() {
    let harness = Harness::start().await;
    harness.submit("pair", json!({ "n": 1 })).await;
    let (worker, other) = (harness.worker("w"), harness.worker("other"));
    let lease = worker.lease().await;
    assert_eq!(receipt(&other.complete(&lease, json!(1)).await), ("stale", "not_holder"));
    let name = lease["lease"].as_str().unwrap();
    let (stem, _) = name.rsplit_once('.').unwrap();
    for wrong in ["nonsense".to_owned(), "x.y.z".to_owned(), name.replacen("a.", "b.", 1)] {
        let answer = worker.complete(&json!({ "lease": wrong }), json!(1)).await;
        assert_eq!(receipt(&answer), ("stale", "unknown"), "{wrong}");
    }
    let answer = worker.complete(&json!({ "lease": format!("{stem}.1") }), json!(1)).await;
    assert_eq!(receipt(&answer), ("stale", "superseded"));
    let heartbeat = json!([{ "lease": name, "heartbeat": {} }]);
    assert_eq!(receipt(&worker.exchange(0, 0, heartbeat).await), ("renewed", ""));
}

#[tokio::test]
async fn a_failed_attempt_is_tried_again_under_the_same_idempotency_key() {
    let harness = Harness::start().await;
    let text = "workflow: again\nversion: 1\nsteps:\n  one:\n    task: t\n    \
                retry: { attempts: 2, backoff: 1ms..1ms }\n";
    harness.workflow("again", text).await;
    let run = harness.submit("again", json!({})).await;
    let worker = harness.worker("w");
    let first = worker.lease().await;
    assert_eq!(receipt(&worker.fail(&first, true).await), ("recorded", ""));
    let second = worker.lease().await;
    assert_eq!(second["attempt"], 2);
    assert_eq!(second["idempotency_key"], first["idempotency_key"]);
    assert_ne!(second["lease"], first["lease"]);
    assert_eq!(receipt(&worker.complete(&first, json!(1)).await), ("stale", "superseded"));
    worker.fail(&second, true).await;
    let run = harness.run(&run).await;
    assert_eq!(run["run"]["status"], "failed");
    assert_eq!(
        run["run"]["failure"],
        json!({ "class": "bad-luck", "message": "no", "step": "one" })
    );
}

#[tokio::test]
async fn an_exchange_that_makes_no_sense_is_refused() {
    let harness = Harness::start().await;
    let whole = json!({ "worker": "w", "pool": "main", "slots": 1 });
    let rows = [
        (json!({ "worker": "w w" }), "invalid-name", "/worker"),
        (json!({ "pool": "M" }), "invalid-name", "/pool"),
        (json!({ "pool": "nil" }), "unknown-pool", "/pool"),
        (json!({ "slots": 10_001 }), "out-of-range", "/slots"),
        (json!({ "want": 10_001 }), "out-of-range", "/want"),
        (json!({ "wait_ms": 60_001 }), "out-of-range", "/wait_ms"),
        (
            json!({ "report": [{ "lease": "a.b" , "completed": {}, "failed": { "class": "x" } }] }),
            "",
            "",
        ),
        (json!({ "report": [{ "lease": 1 }] }), "invalid-value", "/report/0/lease"),
        (json!({ "unknown": 1 }), "unknown-field", "/unknown"),
    ];
    for (change, code, pointer) in rows {
        let mut body = whole.clone();
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let reply = harness.operator.post("/v1/worker/exchange", body.clone()).await;
        if code.is_empty() {
            assert_eq!(receipt(&reply.ok()), ("stale", "unknown"), "{body}");
        } else {
            assert_eq!(reply.refusal(), (422, code.into(), pointer.into()), "{body}");
        }
    }
    harness.submit("pair", json!({ "n": 1 })).await;
    let worker = harness.worker("w");
    let lease = worker.lease().await;
    for outcome in [json!({}), json!({ "completed": {}, "heartbeat": {} })] {
        let mut report = outcome.clone();
        report["lease"] = lease["lease"].clone();
        let reply = worker.try_exchange(0, 0, json!([report])).await;
        assert_eq!(reply.refusal(), (422, "invalid-value".into(), "/report/0".into()), "{outcome}");
    }
}

#[tokio::test]
async fn a_long_poll_is_answered_when_there_is_work() {
    let harness = Harness::start().await;
    let worker = harness.worker("w");
    let waiting = tokio::spawn(async move { worker.lease().await });
    // Whether the poll comes before or after it, it gets the lease.
    let run = harness.submit("pair", json!({ "n": 1 })).await;
    assert_eq!(waiting.await.unwrap()["run"], run);
}

#[tokio::test]
async fn a_long_poll_without_work_ends_empty() {
    let harness = Harness::start().await;
    let answer = harness.worker("w").exchange(1, 1, json!([])).await;
    assert_eq!(answer, json!({ "accepted": [], "leases": [], "revoked": [] }));
}

#[tokio::test]
async fn a_newer_poll_of_a_worker_answers_the_older_one() {
    let harness = Harness::start().await;
    let worker = harness.worker("w");
    let older = {
        let worker = worker.clone();
        tokio::spawn(async move { worker.exchange(1, LONG_MS, json!([])).await })
    };
    let mut answers = 0;
    while !older.is_finished() {
        worker.exchange(1, 1, json!([])).await;
        answers += 1;
    }
    assert_eq!(older.await.unwrap()["leases"], json!([]));
    assert!(answers > 0);
}

#[tokio::test]
async fn leases_of_a_connection_that_is_gone_come_back() {
    let harness = Harness::start().await;
    let gone = harness.worker("gone");
    let body =
        json!({ "worker": "gone", "pool": "main", "slots": 1, "want": 1, "wait_ms": LONG_MS });
    let poll = {
        let client = gone.client.clone();
        let text = body.to_string();
        tokio::spawn(
            async move { client.send_json(Method::POST, "/v1/worker/exchange", &text).await },
        )
    };
    let pools = || async { harness.operator.get("/v1/platform/pools/main").await.ok() };
    while pools().await["workers"] != 1 {}
    poll.abort();
    assert!(poll.await.unwrap_err().is_cancelled());
    harness.submit("pair", json!({ "n": 1 })).await;
    let lease = harness.worker("w").lease().await;
    assert_eq!((&lease["step"], &lease["attempt"]), (&json!("first"), &json!(1)));
}

#[tokio::test]
async fn an_input_that_cannot_be_made_fails_the_step() {
    let harness = Harness::start().await;
    let run = harness.submit("pair", json!({ "m": 1 })).await;
    let answer = harness.worker("w").exchange(1, 200, json!([])).await;
    assert_eq!(answer["leases"], json!([]));
    let run = harness.run(&run).await;
    assert_eq!(run["run"]["status"], "failed", "{run}");
    assert_eq!(run["run"]["failure"]["class"], "input-invalid");
    assert_eq!(run["run"]["failure"]["step"], "first");
}

#[tokio::test]
async fn an_output_that_breaks_its_schema_is_a_failed_attempt() {
    let harness = Harness::start().await;
    let text = r#"{
        "workflow": "typed", "version": 1,
        "steps": { "one": {
            "task": "t", "pool": "main",
            "output": { "schema": { "type": "object", "required": ["ok"] } }
        } }
    }"#;
    harness.operator.send_json(Method::PUT, "/v1/workflows/typed", text).await.ok();
    let run = harness.submit("typed", json!({})).await;
    let worker = harness.worker("w");
    let lease = worker.lease().await;
    assert_eq!(receipt(&worker.complete(&lease, json!({})).await), ("recorded", "output_invalid"));
    let run = harness.run(&run).await;
    assert_eq!(run["run"]["failure"]["class"], "output-invalid", "{run}");
}

#[tokio::test]
async fn an_output_that_is_too_large_is_a_failed_attempt() {
    let harness = Harness::start_with(|config| {
        config.store = fairlane_server::StoreKind::Memory;
        config.payload_bytes_max = 100;
    })
    .await;
    harness.declare().await;
    let run = harness.submit("pair", json!({ "n": 1 })).await;
    let worker = harness.worker("w");
    let lease = worker.lease().await;
    let answer = worker.complete(&lease, json!("x".repeat(99))).await;
    assert_eq!(receipt(&answer), ("recorded", "output_too_large"));
    assert_eq!(harness.run(&run).await["run"]["failure"]["class"], "output-too-large");
}

#[tokio::test]
async fn a_worker_holds_no_more_leases_than_slots() {
    let harness = Harness::start().await;
    for _ in 0..12 {
        harness.submit("pair", json!({ "n": 1 })).await;
    }
    let worker = harness.worker("w");
    let answer = worker.exchange(12, LONG_MS, json!([])).await;
    assert_eq!(answer["leases"].as_array().unwrap().len(), 10);
    assert_eq!(worker.exchange(2, 1, json!([])).await["leases"], json!([]));
}
