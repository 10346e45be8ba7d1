//! Runs from submission to output: waiting for the end, lists, conditions, maps, calls, waits.

use serde_json::{Value, json};

use crate::harness::{Harness, LONG_MS};

async fn submit_and_wait(harness: &Harness, workflow: &str, input: Value) -> Value {
    let path = format!("/v1/tenants/a/runs?wait_ms={LONG_MS}");
    let reply = harness.operator.post(&path, json!({ "workflow": workflow, "input": input })).await;
    assert_eq!(reply.status, 201);
    reply.ok()
}

#[tokio::test]
async fn a_submission_can_wait_for_the_end() {
    let harness = Harness::start().await;
    let worker = harness.worker("w");
    let working = tokio::spawn(async move { worker.echo(2).await });
    let answer = submit_and_wait(&harness, "pair", json!({ "n": 5 })).await;
    working.await.unwrap();
    assert_eq!(answer["status"], "completed");
    assert_eq!(answer["output"], json!({ "second": { "doubled": 5 } }));
    assert!(answer["ended_at"].as_str() > answer["created_at"].as_str());
    let run = answer["run"].as_str().unwrap();
    let output = harness.operator.get(&format!("/v1/tenants/a/runs/{run}/output")).await;
    assert_eq!(output.ok(), answer["output"]);
}

#[tokio::test]
async fn waiting_ends_with_the_time() {
    let harness = Harness::start().await;
    let reply =
        harness.operator.post("/v1/tenants/a/runs?wait_ms=1", json!({ "workflow": "pair" })).await;
    let answer = reply.ok();
    assert_eq!((&answer["status"], &answer["existing"]), (&json!("running"), &json!(false)));
    let run = answer["run"].as_str().unwrap();
    let reply = harness.operator.get(&format!("/v1/tenants/a/runs/{run}/output")).await;
    assert_eq!(reply.refusal(), (404, "no-output".into(), String::new()));
}

#[tokio::test]
async fn a_submission_that_exists_can_be_waited_for_too() {
    let harness = Harness::start().await;
    let body = json!({ "workflow": "pair", "input": { "n": 1 } }).to_string();
    let send = async |query: &str| {
        harness.operator.post_keyed(&format!("/v1/tenants/a/runs{query}"), "k", &body).await
    };
    let run = send("").await.ok()["run"].clone();
    let worker = harness.worker("w");
    let working = tokio::spawn(async move { worker.echo(2).await });
    let query = format!("?wait_ms={LONG_MS}");
    let live = send(&query).await.ok();
    let ended = send(&query).await.ok();
    working.await.unwrap();
    for answer in [live, ended] {
        assert_eq!((&answer["run"], &answer["existing"]), (&run, &json!(true)));
        assert_eq!(answer["status"], "completed");
        assert_eq!(answer["output"], json!({ "second": { "doubled": 1 } }));
    }
}

#[tokio::test]
async fn a_batch_gives_each_submission_its_own_result() {
    let harness = Harness::start().await;
    let body = json!({ "runs": [
        { "workflow": "pair", "input": { "n": 1 }, "idempotency_key": "k" },
        { "workflow": "nil" },
        { "workflow": "pair", "input": { "n": 2 }, "idempotency_key": "k" },
        { "workflow": "pair", "input": { "n": 1 }, "idempotency_key": "k" },
        { "workflow": "pair", "idempotency_key": "" },
        { "workflow": "P" },
        { "workflow": "pair", "inputs": {} },
        { "workflow": "pair", "version": "one" },
        7,
    ]});
    let answer = harness.operator.post("/v1/tenants/a/runs:batch", body).await.ok();
    let results = answer["results"].as_array().unwrap();
    let row = |result: &Value| {
        let problem = &result["problem"];
        let text = |name: &str| problem[name].as_str().unwrap_or_default().to_owned();
        (result["status"].as_u64().unwrap(), text("code"), text("pointer"))
    };
    let rows: Vec<_> = results.iter().map(row).collect();
    let expected = [
        (201, "", ""),
        (422, "unknown-workflow", "/runs/1/workflow"),
        (409, "idempotency-conflict", ""),
        (200, "", ""),
        (400, "malformed-request", "/runs/4/idempotency_key"),
        (422, "invalid-name", "/runs/5/workflow"),
        (422, "unknown-field", "/runs/6/inputs"),
        (422, "invalid-value", "/runs/7/version"),
        (422, "invalid-value", "/runs/8"),
    ];
    assert_eq!(rows.len(), expected.len());
    for (at, (row, (status, code, pointer))) in rows.iter().zip(expected).enumerate() {
        assert_eq!(*row, (status, code.to_owned(), pointer.to_owned()), "{at}");
    }
    assert_eq!(results[0]["run"], results[3]["run"]);
    let many = json!({ "runs": vec![json!({ "workflow": "pair" }); 1_001] });
    let reply = harness.operator.post("/v1/tenants/a/runs:batch", many).await;
    assert_eq!(reply.refusal(), (422, "too-many".into(), "/runs".into()));
    let reply = harness.operator.post("/v1/tenants/a/runs:batch", json!({ "runs": {} })).await;
    assert_eq!(reply.refusal(), (422, "invalid-value".into(), "/runs".into()));
}

#[tokio::test]
async fn runs_are_listed_newest_first_with_filters() {
    let harness = Harness::start().await;
    let mut runs = Vec::new();
    for at in 0..5 {
        let lane = if at % 2 == 0 { "urgent" } else { "background" };
        let body = json!({ "workflow": "pair", "lane": lane });
        let reply = harness.operator.post("/v1/tenants/a/runs", body).await.ok();
        runs.push(reply["run"].as_str().unwrap().to_owned());
    }
    harness.command(&runs[4], "cancel").await.ok();
    let list = async |query: &str| {
        let mut found = Vec::new();
        let mut cursor = String::new();
        loop {
            let path = format!("/v1/tenants/a/runs?limit=2{query}{cursor}");
            let page = harness.operator.get(&path).await.ok();
            let ids = page["items"].as_array().unwrap().iter();
            found.extend(ids.map(|run| run["id"].as_str().unwrap().to_owned()));
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return found,
            }
        }
    };
    let pick = |places: &[usize]| places.iter().map(|at| runs[*at].clone()).collect::<Vec<_>>();
    assert_eq!(list("").await, pick(&[4, 3, 2, 1, 0]));
    assert_eq!(list("&lane=urgent").await, pick(&[4, 2, 0]));
    assert_eq!(list("&status=cancelled").await, pick(&[4]));
    assert_eq!(list("&status=running&lane=urgent").await, pick(&[2, 0]));
    assert_eq!(list("&workflow=nil").await, pick(&[]));
    for query in ["status=done", "lane=x", "cursor=x", "workflow=X"] {
        let reply = harness.operator.get(&format!("/v1/tenants/a/runs?{query}")).await;
        assert!(matches!(reply.refusal().0, 400 | 422), "{query}");
    }
}

#[tokio::test]
async fn every_step_says_what_it_waits_for() {
    let harness = Harness::start().await;
    let run = harness.submit("pair", json!({ "n": 1 })).await;
    let explain = async || {
        let path = format!("/v1/tenants/a/runs/{run}/explain");
        harness.operator.get(&path).await.ok()["steps"].clone()
    };
    let steps = explain().await;
    assert_eq!(steps[0]["phase"], "ready");
    assert_eq!(
        (&steps[0]["waits"]["on"], &steps[0]["waits"]["gate"]),
        (&json!("gate"), &json!("slot"))
    );
    assert_eq!(steps[0]["waits"]["needs"], "a worker of pool `main` that asks for work");
    assert_eq!(steps[1]["waits"]["on"], "steps");
    assert_eq!(steps[1]["waits"]["steps"], json!(["first"]));
    assert!(steps[0]["since"].is_string());

    let worker = harness.worker("w");
    let lease = worker.lease().await;
    let steps = explain().await;
    assert_eq!(steps[0]["waits"]["worker"], "w");
    worker.complete(&lease, json!({ "n": 1 })).await;
    let steps = explain().await;
    assert_eq!(steps.as_array().unwrap().len(), 1, "what is done waits for nothing");
    assert_eq!(steps[0]["name"], "second");
    assert_eq!(harness.run(&run).await["steps"][0]["phase"], "done");
}

#[tokio::test]
async fn a_condition_decides_whether_a_step_runs() {
    let harness = Harness::start().await;
    let text = "
workflow: maybe
version: 1
steps:
  first:
    task: first
    with: { n: input.n }
  second:
    after: [first]
    when: steps.first.output.n > tenant.attributes.limit
    task: second
  third:
    after: [second]
    task: third
    with: { before: steps.second.output, how: steps.second.status }
";
    harness.workflow("maybe", text).await;
    let worker = harness.worker("w");
    let working = {
        let worker = worker.clone();
        tokio::spawn(async move { worker.echo(5).await })
    };
    let small = submit_and_wait(&harness, "maybe", json!({ "n": 7 })).await;
    assert_eq!(small["output"], json!({ "third": { "before": null, "how": "skipped" } }));
    let large = submit_and_wait(&harness, "maybe", json!({ "n": 8 })).await;
    assert_eq!(large["output"]["third"]["before"], json!({}));
    working.await.unwrap();
    let run = small["run"].as_str().unwrap();
    assert_eq!(harness.run(run).await["steps"][1]["phase"], "skipped");
}

#[tokio::test]
async fn a_condition_that_has_no_value_fails_the_run() {
    let harness = Harness::start().await;
    let text = "workflow: bad\nversion: 1\nsteps:\n  one:\n    task: t\n    when: input.n > 1\n";
    harness.workflow("bad", text).await;
    let answer = submit_and_wait(&harness, "bad", json!({ "n": "x" })).await;
    assert_eq!(answer["status"], "failed");
    assert_eq!(answer["failure"]["class"], "expression-failed", "{answer}");
}

#[tokio::test]
async fn a_map_runs_once_for_each_item() {
    let harness = Harness::start().await;
    let text = "
workflow: fan
version: 1
steps:
  each:
    map: { over: input.list, parallel: 2 }
    task: each
    with: { item: item, at: index }
  sum:
    after: [each]
    task: sum
    with: { all: steps.each.output }
";
    harness.workflow("fan", text).await;
    let worker = harness.worker("w");
    let working = tokio::spawn(async move { worker.echo(4).await });
    let answer = submit_and_wait(&harness, "fan", json!({ "list": ["x", { "y": 1 }, null] })).await;
    working.await.unwrap();
    let all = json!([
        { "item": "x", "at": 0 }, { "item": { "y": 1 }, "at": 1 }, { "item": null, "at": 2 }
    ]);
    assert_eq!(answer["output"], json!({ "sum": { "all": all } }), "{answer}");
    let run = harness.run(answer["run"].as_str().unwrap()).await;
    let parts: Vec<&Value> =
        run["steps"].as_array().unwrap().iter().map(|step| &step["part"]).collect();
    let expected = json!(["whole", { "item": 0 }, { "item": 1 }, { "item": 2 }, "whole"]);
    assert_eq!(json!(parts), expected);
}

#[tokio::test]
async fn a_call_gives_the_output_of_its_child() {
    let harness = Harness::start().await;
    let text = "
workflow: parent
version: 1
steps:
  child:
    call: { workflow: pair }
    with: { n: input.n }
  after_it:
    after: [child]
    task: after
    with: { got: steps.child.output.second.doubled }
";
    harness.workflow("parent", text).await;
    let worker = harness.worker("w");
    let working = tokio::spawn(async move { worker.echo(3).await });
    let answer = submit_and_wait(&harness, "parent", json!({ "n": 9 })).await;
    working.await.unwrap();
    assert_eq!(answer["output"], json!({ "after_it": { "got": 9 } }), "{answer}");
    let children = harness.operator.get("/v1/tenants/a/runs?workflow=pair").await.ok();
    assert_eq!(children["items"][0]["parent"], answer["run"]);
}

#[tokio::test]
async fn a_wait_until_a_time_that_has_passed_ends_at_once() {
    let harness = Harness::start().await;
    let text = "workflow: wait\nversion: 1\nsteps:\n  pause:\n    wait: { until: input.at }\n";
    harness.workflow("wait", text).await;
    let answer = submit_and_wait(&harness, "wait", json!({ "at": "2020-01-01T00:00:00Z" })).await;
    assert_eq!(answer["output"], json!({ "pause": null }), "{answer}");
}

#[tokio::test]
async fn a_call_whose_input_breaks_the_child_s_schema_fails_with_the_place() {
    let harness = Harness::start().await;
    let child = "
workflow: typed
version: 1
input:
  schema: { type: object, properties: { n: { type: integer, minimum: 1 }, s: { type: string } } }
steps:
  one:
    task: t
";
    let parent = "
workflow: parent
version: 1
steps:
  child:
    call: { workflow: typed }
    with: { n: input.n, s: input.s }
";
    harness.workflow("typed", child).await;
    harness.workflow("parent", parent).await;
    let answer = submit_and_wait(&harness, "parent", json!({ "n": 0, "s": 7 })).await;
    assert_eq!(answer["status"], "failed", "{answer}");
    assert_eq!(answer["failure"]["class"], "input-invalid");
    let message = answer["failure"]["message"].as_str().unwrap();
    assert!(message.contains("/n: ") && message.contains("/s: "), "{message}");
    let children = harness.operator.get("/v1/tenants/a/runs?workflow=typed").await.ok();
    assert_eq!(children["items"], json!([]), "no child was begun");
}
