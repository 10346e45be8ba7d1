//! Cancel, pause, resume, retry, signal.

use serde_json::json;

use crate::harness::Harness;

#[tokio::test]
async fn a_cancelled_run_tells_its_worker_to_stop() {
    let harness = Harness::start().await;
    let run = harness.submit("pair", json!({ "n": 1 })).await;
    let worker = harness.worker("w");
    let lease = worker.lease().await;
    assert_eq!(harness.command(&run, "cancel").await.ok()["status"], "stopping");
    let answer = worker.exchange(1, crate::harness::LONG_MS, json!([])).await;
    assert_eq!(answer["revoked"], json!([lease["lease"]]));
    let heartbeat = json!([{ "lease": lease["lease"], "heartbeat": {} }]);
    let answer = worker.exchange(0, 0, heartbeat).await;
    assert_eq!(answer["accepted"][0]["receipt"], "revoked");
    worker.fail(&lease, false).await;
    let detail = harness.run(&run).await;
    assert_eq!(detail["run"]["status"], "cancelled", "{detail}");
    assert_eq!(detail["steps"][1]["phase"], "cancelled");
    let again = harness.command(&run, "cancel").await;
    assert_eq!(again.refusal(), (409, "wrong-status".into(), String::new()));
}

#[tokio::test]
async fn a_paused_run_is_not_dispatched() {
    let harness = Harness::start().await;
    let run = harness.submit("pair", json!({ "n": 1 })).await;
    for _ in 0..2 {
        assert_eq!(harness.command(&run, "pause").await.ok()["status"], "paused");
    }
    let worker = harness.worker("w");
    assert_eq!(worker.exchange(1, 1, json!([])).await["leases"], json!([]));
    assert_eq!(harness.run(&run).await["steps"][0]["waits"]["on"], "resume");
    assert_eq!(harness.command(&run, "resume").await.ok()["status"], "running");
    worker.echo(2).await;
    assert_eq!(harness.run(&run).await["run"]["status"], "completed");
    for command in ["cancel", "pause", "resume"] {
        let refusal = harness.command(&run, command).await.refusal();
        assert_eq!(refusal, (409, "wrong-status".into(), String::new()), "{command}");
    }
}

#[tokio::test]
async fn a_failed_run_is_retried_from_where_it_failed() {
    let harness = Harness::start().await;
    let run = harness.submit("pair", json!({ "n": 1 })).await;
    let worker = harness.worker("w");
    worker.echo(1).await;
    let lease = worker.lease().await;
    worker.fail(&lease, false).await;
    assert_eq!(harness.run(&run).await["run"]["status"], "failed");

    assert_eq!(harness.command(&run, "retry").await.ok()["status"], "running");
    let lease = worker.lease().await;
    assert_eq!((&lease["step"], &lease["input"]), (&json!("second"), &json!({ "doubled": 1 })));
    assert_eq!(harness.command(&run, "retry").await.refusal().1, "wrong-status");
    worker.complete(&lease, json!(2)).await;
    assert_eq!(harness.run(&run).await["run"]["status"], "completed");
}

#[tokio::test]
async fn a_run_is_retried_from_a_step_with_what_that_step_gives_now() {
    let harness = Harness::start().await;
    let run = harness.submit("pair", json!({ "n": 1 })).await;
    let worker = harness.worker("w");
    worker.echo(2).await;
    let path = format!("/v1/tenants/a/runs/{run}/retry");
    let reply = harness.operator.post(&path, json!({ "from": "nil" })).await;
    assert_eq!(reply.refusal(), (422, "unknown-step".into(), "/from".into()));
    let reply = harness.operator.post(&path, json!({ "form": "first" })).await;
    assert_eq!(reply.refusal().1, "unknown-field");
    harness.operator.post(&path, json!({ "from": "first" })).await.ok();
    let lease = worker.lease().await;
    assert_eq!(lease["step"], "first");
    worker.complete(&lease, json!({ "n": 100 })).await;
    let lease = worker.lease().await;
    assert_eq!(lease["input"], json!({ "doubled": 100 }));
    worker.complete(&lease, json!("end")).await;
    let output = harness.operator.get(&format!("/v1/tenants/a/runs/{run}/output")).await;
    assert_eq!(output.ok(), json!({ "second": "end" }));
}

#[tokio::test]
async fn a_signal_reaches_the_step_that_waits_for_it_before_or_after() {
    let harness = Harness::start().await;
    let text = "
workflow: ask
version: 1
steps:
  answer:
    wait: { signal: answer }
  then:
    after: [answer]
    task: then
    with: { got: steps.answer.output }
";
    harness.workflow("ask", text).await;
    let worker = harness.worker("w");

    let run = harness.submit("ask", json!({})).await;
    let waits = harness.run(&run).await["steps"][0]["waits"].clone();
    assert_eq!((&waits["on"], &waits["signal"]), (&json!("signal"), &json!("answer")));
    let path = format!("/v1/tenants/a/runs/{run}/signals/answer");
    assert_eq!(harness.operator.post(&path, json!({ "yes": 1 })).await.ok()["status"], "running");
    assert_eq!(worker.lease().await["input"], json!({ "got": { "yes": 1 } }));

    // It waits in the inbox of a run whose step does not listen yet.
    let text = text
        .replace("  answer:\n", "  answer:\n    after: [go]\n")
        .replace("steps:\n", "steps:\n  go:\n    wait: { signal: go }\n")
        .replace("workflow: ask", "workflow: late");
    harness.workflow("late", &text).await;
    let run = harness.submit("late", json!({})).await;
    let path = format!("/v1/tenants/a/runs/{run}/signals");
    harness.operator.post(&format!("{path}/answer"), json!("early")).await.ok();
    harness.operator.post_empty(&format!("{path}/go")).await.ok();
    assert_eq!(worker.lease().await["input"], json!({ "got": "early" }));

    let reply = harness.operator.post(&format!("{path}/bad%20name"), json!(1)).await;
    assert_eq!(reply.refusal().1, "invalid-name");
    let reply = harness.operator.send_json(hyper::Method::POST, &format!("{path}/go"), "{").await;
    assert_eq!(reply.refusal().1, "malformed-json");
}

#[tokio::test]
async fn a_signal_sent_again_under_its_key_is_answered_alike_and_taken_once() {
    let harness = Harness::start().await;
    let text = "
workflow: twice
version: 1
steps:
  first:
    wait: { signal: go }
  second:
    after: [first]
    wait: { signal: go }
";
    harness.workflow("twice", text).await;
    let run = harness.submit("twice", json!({})).await;
    let path = format!("/v1/tenants/a/runs/{run}/signals/go");
    let send = async |path: &str, key: &str, body: &str| {
        harness.operator.post_keyed(path, key, body).await
    };
    let phase = async |step: usize| harness.run(&run).await["steps"][step]["phase"].clone();
    let first = send(&path, "k1", "1").await.ok();
    assert_eq!(send(&path, "k1", "1").await.ok(), first);
    assert_eq!((phase(0).await, phase(1).await), (json!("done"), json!("listening")));
    for (path, body) in [(path.as_str(), "2"), (path.replace("/go", "/stop").as_str(), "1")] {
        let refusal = send(path, "k1", body).await.refusal();
        assert_eq!(refusal, (409, "idempotency-conflict".into(), String::new()));
    }

    // The second signal ends the run, which is no reason to answer it otherwise.
    send(&path, "k2", "2").await.ok();
    assert_eq!(harness.run(&run).await["run"]["status"], "completed");
    for key in ["k1", "k2"] {
        let body = key.trim_start_matches('k');
        assert_eq!(send(&path, key, body).await.ok()["status"], "completed");
        assert_eq!(send(&path, key, "3").await.refusal().1, "idempotency-conflict");
    }
    assert_eq!(send(&path, "k3", "3").await.refusal().1, "wrong-status");

    // A key of a submission is not one of a signal.
    let other = harness.submit("twice", json!({})).await;
    let submission = json!({ "workflow": "twice" }).to_string();
    assert_eq!(send("/v1/tenants/a/runs", "s", &submission).await.status, 201);
    let path = format!("/v1/tenants/a/runs/{other}/signals/go");
    assert_eq!(send(&path, "s", "1").await.refusal().1, "idempotency-conflict");
    assert_eq!(send(&path, "", "1").await.refusal().1, "malformed-request");
}
