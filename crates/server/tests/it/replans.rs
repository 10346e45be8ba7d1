//! Plans that change while their run is under way: who plans, what is refused and why, what is done again, and what people
//! have a say in.

use fairlane_server::StoreKind;
use serde_json::{Value, json};

use crate::harness::{Client, Harness, Worker};

const LOAN: &str = "
workflow: loan
version: 1
steps:
  verify: { task: verify, with: { who: input.who } }
  credit: { after: verify, task: credit }
  comply: { after: credit, task: comply, with: { credit: steps.credit.output }, output: {
    check: steps.comply.output.ok, confidence: steps.comply.output.sure } }
  decide: { after: comply, task: decide, with: { comply: steps.comply.output } }
replan:
  on: [failed, rejected, low_confidence, contradiction]
  by: { task: plan, with: { who: input.who } }
  allow: { tasks: [{ task: bank }], tools: [bureau] }
";

/// The pool of all tasks is that of the harness.
fn in_main(text: &str) -> String {
    text.replace(" task: ", " pool: main, task: ")
}

async fn start(text: &str) -> (Harness, Worker, String) {
    let harness = Harness::start_on(StoreKind::Sqlite).await;
    harness.declare().await;
    harness.workflow("loan", &in_main(text)).await;
    let run = harness.submit("loan", json!({ "who": "ada" })).await;
    let worker = harness.worker("w");
    (harness, worker, run)
}

/// Does the next step, which is that task.
async fn does(worker: &Worker, task: &str, output: Value) -> Value {
    let lease = worker.lease().await;
    assert_eq!(lease["task"], task, "{lease}");
    let answer = worker.complete(&lease, output).await;
    assert_eq!(answer["accepted"][0]["receipt"], "recorded", "{answer}");
    lease
}

/// The next step, which is that task, fails for good.
async fn breaks(worker: &Worker, task: &str) {
    let lease = worker.lease().await;
    assert_eq!(lease["task"], task, "{lease}");
    worker.fail(&lease, false).await;
}

async fn comes_to_plan(worker: &Worker) {
    does(worker, "verify", json!("seen")).await;
    breaks(worker, "credit").await;
}

fn by_the_bank() -> Value {
    json!({
        "reason": "the bureau has no file, and the bank knows her",
        "drop": ["credit"],
        "steps": {
            "bank": { "after": "verify", "pool": "main", "task": "bank", "with": { "seen": "steps.verify.output" } },
            "comply": { "after": "bank", "pool": "main", "task": "comply", "with": { "credit": "steps.bank.output" } }
        }
    })
}

/// The run's replans, the last one decided.
async fn replans(harness: &Harness, run: &str) -> Vec<Value> {
    loop {
        let run = harness.run(run).await;
        let replans = run["replans"].as_array().cloned().unwrap_or_default();
        if replans.last().is_some_and(|last| last["verdict"] != "open") {
            return replans;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_worker_plans_around_a_step_that_has_failed() {
    let (harness, worker, run) = start(LOAN).await;
    comes_to_plan(&worker).await;
    let harness = harness.restart().await;
    let worker = harness.worker("w");
    let lease = does(&worker, "plan", by_the_bank()).await;
    let situation = &lease["input"]["replan"];
    assert_eq!((&situation["trigger"], &situation["step"]), (&json!("failed"), &json!("credit")));
    assert_eq!(situation["steps"]["verify"], json!({ "status": "done", "trust": "derived" }));
    assert_eq!(situation["definition"]["credit"]["task"], "credit");
    assert_eq!(lease["input"]["who"], "ada");
    let lease = does(&worker, "bank", json!(640)).await;
    assert_eq!(lease["input"], json!({ "seen": "seen" }));
    let harness = harness.restart().await;
    let worker = harness.worker("w");
    let lease = does(&worker, "comply", json!({ "ok": true })).await;
    assert_eq!(lease["input"], json!({ "credit": 640 }));
    does(&worker, "decide", json!("granted")).await;
    let output = harness.operator.get(&format!("/v1/tenants/a/runs/{run}/output")).await;
    assert_eq!(output.ok(), json!({ "decide": "granted" }));
    let replans = replans(&harness, &run).await;
    let shown = |field: &str| replans[0][field].clone();
    assert_eq!(shown("verdict"), "accepted");
    assert_eq!(shown("reason"), by_the_bank()["reason"]);
    assert_eq!(shown("added"), json!(["bank"]));
    assert_eq!(shown("dropped"), json!(["credit"]));
    assert_eq!(shown("kept"), json!(["verify"]));
}

#[tokio::test]
async fn what_a_revision_may_not_do_is_refused_with_its_reason() {
    let mut tool = by_the_bank();
    tool["steps"]["bank"]["tool"] = json!("bureau");
    let cycle = json!({
        "reason": "round and round", "drop": ["credit"],
        "steps": {
            "one": { "after": "two", "pool": "main", "task": "bank" }, "two": { "after": "one", "pool": "main", "task": "bank" },
            "comply": { "after": "two", "pool": "main", "task": "comply" }
        }
    });
    let mut other_task = by_the_bank();
    other_task["steps"]["bank"]["task"] = json!("rob");
    let mut no_expression = by_the_bank();
    no_expression["steps"]["bank"]["with"] = json!({ "x": "steps.decide.output" });
    let rows = [
        (tool, "denied", "its step `bank` uses `bureau`, which the tenant may not use"),
        (other_task, "not-allowed", "its step `bank` uses the task `rob`"),
        (cycle, "revision-invalid", "these steps wait for each other"),
        (no_expression, "revision-invalid", "decide need not have run when bank begins"),
        (
            json!({ "reason": "once more", "redo": ["verify", "credit"] }),
            "out-of-scope",
            "it touches the step `verify`, which is outside of its scope",
        ),
        (json!({ "reason": "well" }), "changes-nothing", "it changes nothing"),
        (
            json!({ "reason": "x", "steps": { "extra": { "pool": "main", "task": "bank" } } }),
            "leaves-failure",
            "it leaves the step `credit` as it is",
        ),
        (json!({ "reason": "x", "redo": ["pay"] }), "revision-invalid", "no step of the plan"),
    ];
    let once = LOAN.replace("  allow:", "  max: 1\n  allow:");
    let (harness, worker, first) = start(&once).await;
    harness.operator.put("/v1/catalog/tools/bureau", json!({})).await.ok();
    let tenant = json!({ "org": "org", "tier": "standard", "denied_tools": ["bureau"] });
    harness.operator.put("/v1/tenants/a", tenant).await.ok();
    let mut next = Some(first);
    for (revision, code, words) in rows {
        let run = match next.take() {
            Some(run) => run,
            None => harness.submit("loan", json!({ "who": "bob" })).await,
        };
        comes_to_plan(&worker).await;
        does(&worker, "plan", revision).await;
        let replans = replans(&harness, &run).await;
        let refused = replans[0]["refused"].as_str().unwrap_or_default();
        assert_eq!(replans[0]["code"], code, "{refused}");
        assert!(refused.contains(words), "{refused}");
        let run = harness.run(&run).await;
        assert_eq!(run["run"]["status"], "failed");
        assert_eq!(run["run"]["failure"]["step"], "credit");
    }
}

#[tokio::test]
async fn an_answer_that_is_no_revision_at_all_is_a_failed_attempt_of_the_planner() {
    let (harness, worker, run) = start(LOAN).await;
    comes_to_plan(&worker).await;
    let lease = worker.lease().await;
    let answer = worker.complete(&lease, json!({ "steps": [] })).await;
    assert_eq!(answer["accepted"][0]["reason"], "output_invalid");
    let lease = does(&worker, "plan", by_the_bank()).await;
    let refused = &lease["input"]["replan"]["refused"]["because"];
    assert!(refused.to_string().contains("no_answer"), "the next planner is told: {refused}");
    let replans = replans(&harness, &run).await;
    assert_eq!(replans[0]["code"], "planner-failed");
    assert!(replans[0]["refused"].as_str().unwrap().contains("reason"), "{replans:?}");
}

#[tokio::test]
async fn an_output_that_does_not_pass_its_check_is_planned_around() {
    let (harness, worker, run) = start(LOAN).await;
    does(&worker, "verify", json!("seen")).await;
    does(&worker, "credit", json!(700)).await;
    let lease = worker.lease().await;
    worker.complete(&lease, json!({ "ok": false, "sure": 1 })).await;
    does(&worker, "plan", json!({ "reason": "look again", "redo": ["comply"] })).await;
    let lease = worker.lease().await;
    assert_eq!(lease["task"], "comply");
    let replans = replans(&harness, &run).await;
    assert_eq!(replans[0]["trigger"], "rejected");
    assert_eq!(replans[0]["redone"], json!(["comply"]));
}

#[tokio::test]
async fn what_a_step_contradicts_is_suspect_until_it_is_done_again() {
    let (harness, worker, run) = start(LOAN).await;
    does(&worker, "verify", json!("seen")).await;
    does(&worker, "credit", json!(700)).await;
    let lease = worker.lease().await;
    let odd = |step: &str| {
        let failed = json!({ "class": "odd", "message": "no such score", "contradicts": [step] });
        json!([{ "lease": lease["lease"], "failed": failed }])
    };
    let told = worker.exchange(0, 0, odd("crdit")).await;
    let refused = &told["accepted"][0];
    assert_eq!(
        (&refused["receipt"], &refused["reason"]),
        (&json!("stale"), &json!("unknown_step"))
    );
    let detail = refused["detail"].as_str().unwrap();
    assert!(detail.starts_with("no step is named `crdit`; expected one of `"), "{detail}");
    worker.exchange(0, 0, odd("credit")).await;
    let trust = async |step: usize| harness.run(&run).await["steps"][step]["trust"].clone();
    assert_eq!((trust(0).await, trust(1).await), (json!("derived"), json!("suspect")));
    let lease = does(&worker, "plan", json!({ "reason": "again", "redo": ["comply"] })).await;
    assert_eq!(lease["input"]["replan"]["steps"]["credit"]["trust"], "suspect");
    does(&worker, "credit", json!(610)).await;
    let lease = does(&worker, "comply", json!({ "ok": true, "sure": 1.0 })).await;
    assert_eq!(lease["input"], json!({ "credit": 610 }));
    assert_eq!((trust(1).await, trust(2).await), (json!("derived"), json!("verified")));
}

async fn with_reviewer(harness: &Harness, attributes: Value) -> Client {
    let pool = json!({ "members": [{ "person": "ada" }] });
    harness.operator.put("/v1/catalog/reviewer-pools/people", pool).await.ok();
    let tenant = json!({
        "org": "org", "tier": "standard", "reviewer_pool": "people", "attributes": attributes,
        "replan_approval": true,
    });
    harness.operator.put("/v1/tenants/a", tenant).await.ok();
    harness.client(json!({ "role": "reviewer", "person": "ada" })).await
}

/// The review whose turn it is, with what it is about.
async fn review(client: &Client) -> Value {
    loop {
        let reply = client.post("/v1/reviews/next", json!({})).await;
        if reply.status == 200 {
            let id = reply.ok()["id"].as_str().unwrap().to_owned();
            return client.get(&format!("/v1/reviews/{id}")).await.ok();
        }
        tokio::task::yield_now().await;
    }
}

async fn decides(client: &Client, review: &Value, outcome: &str, data: Value) {
    let body = json!({
        "fence": review["claim"]["fence"], "digest": review["digest"],
        "outcome": outcome, "data": data,
    });
    let path = format!("/v1/reviews/{}/decide", review["id"].as_str().unwrap());
    client.post(&path, body).await.ok();
}

#[tokio::test]
async fn an_output_below_the_tenants_threshold_comes_to_a_person() {
    let schema = "schema: { type: object, properties: { ok: { type: boolean } } },\n    check";
    let text = LOAN.replace("low_confidence, ", "").replace("    check", &format!("    {schema}"));
    let (harness, worker, run) = start(&text).await;
    let ada = with_reviewer(&harness, json!({ "confidence_threshold": 0.8 })).await;
    does(&worker, "verify", json!("seen")).await;
    does(&worker, "credit", json!(700)).await;
    let doubted = json!({ "ok": true, "sure": 0.62 });
    does(&worker, "comply", doubted.clone()).await;
    let found = review(&ada).await;
    assert_eq!((&found["cause"], &found["kind"]), (&json!("confidence"), &json!("escalation")));
    let other = json!({
        "fence": found["claim"]["fence"], "digest": found["digest"],
        "outcome": "resolved", "data": { "ok": "yes" },
    });
    let path = format!("/v1/reviews/{}/decide", found["id"].as_str().unwrap());
    assert_eq!(ada.post(&path, other).await.refusal().1, "invalid-form");
    assert_eq!(found["subject"], doubted);
    decides(&ada, &found, "accepted", json!(null)).await;
    let lease = does(&worker, "decide", json!("granted")).await;
    assert_eq!(lease["input"], json!({ "comply": doubted }));
    assert_eq!(harness.run(&run).await["steps"][2]["trust"], "verified");
}

#[tokio::test]
async fn a_tenant_can_have_people_agree_to_every_revision() {
    let (harness, worker, run) = start(LOAN).await;
    let ada = with_reviewer(&harness, json!({})).await;
    comes_to_plan(&worker).await;
    does(&worker, "plan", by_the_bank()).await;
    let found = review(&ada).await;
    assert_eq!((&found["cause"], &found["kind"]), (&json!("replan"), &json!("approval")));
    assert_eq!(found["subject"], by_the_bank());
    decides(&ada, &found, "approved", json!(null)).await;
    does(&worker, "bank", json!(1)).await;
    let replans = replans(&harness, &run).await;
    assert_eq!(replans[0]["approved_by"], json!(["ada"]));
}

#[tokio::test]
async fn a_person_plans() {
    let text = LOAN.replace(
        "by: { task: plan, with: { who: input.who } }",
        "by: { review: { pool: people }, with: { who: input.who } }",
    );
    let harness = Harness::start_on(StoreKind::Sqlite).await;
    harness.declare().await;
    let ada = with_reviewer(&harness, json!({})).await;
    let tenant = json!({ "org": "org", "tier": "standard", "reviewer_pool": "people" });
    harness.operator.put("/v1/tenants/a", tenant).await.ok();
    harness.workflow("loan", &in_main(&text)).await;
    harness.submit("loan", json!({ "who": "ada" })).await;
    let worker = harness.worker("w");
    comes_to_plan(&worker).await;
    let found = review(&ada).await;
    assert_eq!(found["subject"]["replan"]["step"], "credit");
    let body = json!({
        "fence": found["claim"]["fence"], "digest": found["digest"],
        "outcome": "approved", "data": { "steps": {} },
    });
    let path = format!("/v1/reviews/{}/decide", found["id"].as_str().unwrap());
    assert_eq!(ada.post(&path, body).await.refusal().1, "invalid-form");
    decides(&ada, &found, "approved", by_the_bank()).await;
    does(&worker, "bank", json!(1)).await;
}
