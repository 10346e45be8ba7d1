//! Commands against a server: what people and programs read, and exit codes.

use expect_test::expect;
use fairlane_client::worker::{Context, TaskError, Worker};
use serde_json::{Value, json};

use super::process::Binary;
use crate::harness::{Harness, Running, TENANT, is_leased, run};

fn worker(harness: &Harness) -> Running {
    let worker = Worker::new(harness.client.clone(), "default");
    run(worker.task("work", |_: Context, input: Value| async move {
        if input["n"] == 0 {
            return Err(TaskError::fatal("zero", "cannot divide"));
        }
        Ok(input)
    }))
}

#[tokio::test]
async fn a_run_is_waited_for_and_its_output_is_the_data() {
    let harness = Harness::start().await;
    let worker = worker(&harness);
    let binary = Binary::of(&harness);
    let said = binary.run(&["run", "one", "--input", r#"{"n": 2}"#, "--wait"]).await;
    assert_eq!((said.code, said.stdout.as_str()), (0, "{\n  \"work\": {\n    \"n\": 2\n  }\n}\n"));
    assert!(said.stderr.contains(" completed after "), "{}", said.stderr);
    let document = binary.json(&["run", "one", "--input", r#"{"n": 3}"#, "--wait"]).await;
    assert_eq!(
        (&document["output"]["work"]["n"], &document["run"]["status"]),
        (&json!(3), &json!("completed"))
    );
    worker.drain().await.unwrap();
}

#[tokio::test]
async fn a_run_that_fails_is_code_1() {
    let harness = Harness::start().await;
    let worker = worker(&harness);
    let said = Binary::of(&harness).run(&["run", "one", "-i", r#"{"n": 0}"#, "-w"]).await;
    assert_eq!((said.code, said.stdout.as_str()), (1, ""));
    assert!(said.stderr.starts_with("error: run "), "{}", said.stderr);
    assert!(said.stderr.ends_with(": zero in work: cannot divide\n"), "{}", said.stderr);
    worker.drain().await.unwrap();
}

#[tokio::test]
async fn a_run_is_listed_shown_explained_and_commanded() {
    let harness = Harness::start().await;
    let binary = Binary::of(&harness);
    let id = binary.ok(&["run", "one", "--lane", "urgent"]).await;
    let id = id.trim();
    let runs = binary.json(&["runs", "--status", "running", "--lane", "urgent"]).await;
    assert_eq!(runs[0]["id"], id);
    let table = binary.ok(&["runs"]).await;
    assert!(table.starts_with("RUN ") && table.contains("one v1"), "{table}");
    let shown = binary.ok(&["get", id]).await;
    assert!(shown.contains("status    running") && shown.contains("work  ready"), "{shown}");
    let explained = binary.ok(&["explain", id]).await;
    let sentence = explained.lines().last().unwrap();
    assert!(
        sentence.starts_with("work waits for ") && sentence.contains("at the gate `slot`"),
        "{explained}"
    );
    assert!(sentence.contains("a worker of pool `default`"), "{explained}");
    for (command, status) in [("pause", "paused"), ("resume", "running"), ("cancel", "cancelled")] {
        assert_eq!(binary.ok(&[command, id]).await, format!("{id} {status}\n"));
    }
    let said = binary.run(&["pause", id]).await;
    expect![[r#"
        exit code 3
        --- stderr
        error: The run's status does not allow this: run RUN is cancelled; expected a run that has not ended [wrong-status]
    "#]].assert_eq(&said.show(&[(id, "RUN")]));
    let retried = binary.json(&["retry", id, "--from", "work"]).await;
    assert_eq!(retried["status"], "running");
    binary.ok(&["signal", id, "hurry", "--payload", "[1]"]).await;
    let said = binary.run(&["get", id, "--output"]).await;
    assert_eq!(said.code, 3, "{}", said.stderr);
}

#[tokio::test]
async fn a_run_is_followed_to_its_end_line_by_line() {
    let harness = Harness::start().await;
    let binary = Binary::of(&harness);
    let id = binary.ok(&["run", "one", "-i", r#"{"n": 0}"#]).await;
    let id = id.trim();
    let mut follower = binary.start(&["events", id]);
    let mut lines = vec![follower.line().await];
    let worker = worker(&harness);
    lines.push(follower.line().await);
    while !lines.last().unwrap().contains("failed  zero") {
        lines.push(follower.line().await);
    }
    worker.drain().await.unwrap();
    expect![[r#"
        1  running  work: ready
        2  running  work: leased
        3  running  work: failed
        4  failed  zero in work: cannot divide"#]]
    .assert_eq(&lines.join("\n"));
    let said = binary.run(&["events", id, "--json"]).await;
    assert_eq!((said.code, said.stdout.lines().count()), (0, 1), "{}", said.stdout);
    let event: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(event["snapshot"]["run"]["status"], "failed");
    let said = binary.run(&["events", "0190"]).await;
    assert_eq!(said.code, 3, "{}", said.stderr);
}

#[tokio::test]
async fn decisions_are_listed_newest_first_page_by_page() {
    let harness = Harness::start().await;
    let binary = Binary::of(&harness);
    binary.ok(&["tenant", "set", TENANT, "--cap", "1"]).await;
    for _ in 0..2 {
        let runs = [harness.submit(1).await, harness.submit(2).await];
        let worker = worker(&harness);
        for run in runs {
            harness.ended(&run).await;
        }
        worker.drain().await.unwrap();
    }
    let all = binary.json(&["decisions", "--tenant", TENANT]).await;
    let all = all["items"].as_array().unwrap();
    let first = ["decisions", "--tenant", TENANT, "--limit", "1"];
    let said = binary.run(&first).await;
    assert!(said.stdout.starts_with("AT  "), "{}", said.stdout);
    assert!(said.stdout.contains(r#"  acme    cap-reached  -   {"cap":1,"#), "{}", said.stdout);
    let cursor = said.stderr.trim().strip_prefix("There are older ones: --cursor ").unwrap();
    let rest = binary.json(&["decisions", "--tenant", TENANT, "--cursor", cursor]).await;
    assert_eq!(rest["items"].as_array().unwrap()[..], all[1..]);
    let platform = binary.ok(&["decisions"]).await;
    assert!(platform.contains("declared ") && platform.contains(" key:"), "{platform}");
}

#[tokio::test]
async fn an_input_that_breaks_its_schema_has_all_its_mistakes_said() {
    let harness = Harness::start().await;
    let text = "
workflow: strict
version: 1
input: { schema: { type: object, properties: { a: { type: integer }, b: { type: string } } } }
steps: { work: { task: work } }
";
    harness.workflow("strict", text).await;
    let said = Binary::of(&harness).run(&["run", "strict", "-i", r#"{"a": "x", "b": 1}"#]).await;
    expect![[r#"
        exit code 3
        --- stderr
        error: The input does not match the workflow's schema: "x" is not of type "integer" (at /input/a) [invalid-input]
          also: 1 is not of type "string" (at /input/b)
    "#]].assert_eq(&said.show(&[]));
}

#[tokio::test]
async fn a_worker_that_drained_is_counted_no_more() {
    let harness = Harness::start().await;
    let worker = worker(&harness);
    let id = harness.submit(1).await;
    harness.ended(&id).await;
    assert_eq!(harness.client.pool("default").await.unwrap().workers, 1);
    worker.drain().await.unwrap();
    let pool = harness.client.pool("default").await.unwrap();
    assert_eq!((pool.workers, pool.offered), (0, 0));
}

#[tokio::test]
async fn what_is_not_there_is_refused_with_code_3_and_a_hint() {
    let harness = Harness::start().await;
    let binary = Binary::of(&harness);
    let said = binary.run(&["run", "none"]).await;
    expect![[r#"
        exit code 3
        --- stderr
        error: There is no such workflow or version: no workflow is named `none` (at /workflow) [unknown-workflow]
          hint: `fairlane workflow list` shows the workflows
    "#]].assert_eq(&said.show(&[]));
    let said = binary.run(&["runs", "--tenant", "none"]).await;
    expect![[r#"
        exit code 3
        --- stderr
        error: There is no such tenant: no tenant is named `none` [unknown-tenant]
          hint: `fairlane tenant list` shows the tenants
    "#]]
    .assert_eq(&said.show(&[]));
    let said = binary.run(&["get", "0190"]).await;
    assert_eq!(said.code, 3, "{}", said.stderr);
    let said = Binary::at(&harness.url(), "fl_wrong").run(&["tenant", "list"]).await;
    expect![[r#"
        exit code 3
        --- stderr
        error: A valid API key is needed: the API key is not valid [unauthenticated]
          hint: give a key with --key or FAIRLANE_KEY
    "#]]
    .assert_eq(&said.show(&[]));
}

#[tokio::test]
async fn tenants_are_changed_one_value_at_a_time() {
    let harness = Harness::start().await;
    let binary = Binary::of(&harness);
    assert_eq!(binary.ok(&["tenant", "set", TENANT, "--cap", "7"]).await, "acme changed\n");
    assert_eq!(binary.ok(&["tenant", "set", TENANT, "--cap", "7"]).await, "acme unchanged\n");
    assert_eq!(binary.ok(&["tenant", "suspend", TENANT]).await, "acme changed\n");
    let tenant = harness.client.tenant(TENANT).await.unwrap();
    assert_eq!((tenant.cap, tenant.weight, tenant.suspended), (7, 4, true));
    let said = binary.run(&["run", "one"]).await;
    assert_eq!(said.code, 3, "{}", said.stderr);
    binary.ok(&["tenant", "resume", TENANT]).await;
    binary
        .ok(&["tenant", "put", "bank-9", "--org", "org", "--tier", "standard", "--weight", "2"])
        .await;
    let list = binary.ok(&["tenant", "list"]).await;
    expect![[r#"
        TENANT  ORG  TIER      WEIGHT  CAP  STATE
        acme    org  standard       4    7  active
        bank-9  org  standard       2  100  active
    "#]]
    .assert_eq(&list);
    let shown = binary.ok(&["tenant", "get", TENANT]).await;
    expect![[r#"
        tenant      acme
        org         org
        tier        standard
        state       active
        weight      4
        cap         7 slots
        burst       -
        urgent      50 % of its service
        runs        at most 1000000 live
        sla         -
        class       -
        region      local
        data        -
        tools       all
        denied      -
        models      -
        outage      -
        kept        for ever
        replans     as the workflow says
        version     4
        attributes  {}

        slots now   0, of them 0 above the cap
        waiting     0 steps
        runs now    0 live
        ended       0 completed, 0 failed
        latency     -
        violations  0 runs missed the SLA
        service     0 us of slot time
        debt        0 us
        attempts    0 requests named another tenant
    "#]]
    .assert_eq(&shown);
    let said = binary.run(&["tenant", "set", TENANT, "--weight", "0"]).await;
    expect![[r#"
        exit code 3
        --- stderr
        error: A number is out of range: the value is 0 (at /weight); expected 1 to 1000000 [out-of-range]
    "#]].assert_eq(&said.show(&[]));
}

#[tokio::test]
async fn pools_and_workflows_are_shown() {
    let harness = Harness::start().await;
    let binary = Binary::of(&harness);
    binary.ok(&["pool", "put", "default", "--slots", "9", "--policy", "fifo"]).await;
    assert_eq!(binary.json(&["pool", "get", "default"]).await["policy"], "fifo");
    let said = binary.run(&["pool", "put", "new"]).await;
    assert_eq!(said.code, 2, "{}", said.stderr);
    expect![[r#"
        POOL     POLICY  SLOTS  RUNNING  WAITING  WORKERS  OFFERED
        default  fifo        9        0        0        0        0
        server   fair      256        0        0        1    10000
    "#]]
    .assert_eq(&binary.ok(&["pool", "list"]).await);
    expect![[r#"
        pool        default
        policy      fifo
        slots       9, 9 dispatchable now
        running     0
        waiting     0
        workers     0, offering 0 slots
        lease       30 s
        quantum     10 ms
        age guard   1 min
        burst       at most 10 min of credit in use
        long steps  -
        tasks       any
    "#]]
    .assert_eq(&binary.ok(&["pool", "get", "default"]).await);
    expect![[r#"
        WORKFLOW  NEWEST  STEPS
        one           v1      1
    "#]]
    .assert_eq(&binary.ok(&["workflow", "list"]).await);
    expect![[r#"
        workflow  one v1
        versions  v1

        STEP  KIND  AFTER  RUNS  POOL     OPTIONAL
        work  task         work  default
    "#]]
    .assert_eq(&binary.ok(&["workflow", "get", "one"]).await);
    assert_eq!(binary.ok(&["workflow", "get", "one", "--source"]).await, crate::harness::ONE);
}

#[tokio::test]
async fn a_key_is_shown_once_works_and_is_revoked() {
    let harness = Harness::start().await;
    let binary = Binary::of(&harness);
    let said = binary.run(&["key", "create", "tenant", TENANT, "--label", "test"]).await;
    assert_eq!(said.stderr, "This key is not stored and cannot be shown again.\n");
    let tenant = Binary::at(&harness.url(), said.stdout.trim());
    tenant.ok(&["runs"]).await;
    let keys = binary.json(&["key", "list"]).await;
    let key = keys.as_array().unwrap().iter().find(|key| key["label"] == "test").unwrap();
    binary.ok(&["key", "revoke", key["id"].as_str().unwrap()]).await;
    let said = tenant.run(&["runs"]).await;
    assert_eq!(said.code, 3, "{}", said.stderr);
    assert!(binary.ok(&["key", "list"]).await.starts_with("ID "));
}

#[tokio::test]
async fn top_prints_a_table_once() {
    let harness = Harness::start().await;
    let binary = Binary::of(&harness);
    let said = binary.run(&["top", "--once"]).await;
    expect![[r#"
        exit code 0
        --- stdout
        healthy  |  valve open, 0 live runs  |  pool default: 0/100 slots, 0 waiting, 0 workers  |  pool server: 0/256 slots, 0 waiting, 1 workers

        TENANT  TIER      SLOTS  CAP  SHARE  WAITING  RUNS  WAIT  P50  P95  DEBT  LATE  WHY
        acme    standard      0  100  0.0 %        0     0     -    -    -     -     0
    "#]]
    .assert_eq(&said.show(&[]));
    let look = binary.json(&["top", "--once"]).await;
    assert_eq!(look["tenants"][0]["tenant"], TENANT);
}

#[tokio::test]
async fn the_sample_worker_waits_as_inputs_say_and_drains_on_sigterm() {
    let harness = Harness::start().await;
    let text = "
workflow: simulated
version: 1
steps:
  work: { task: anything, with: { sleep_ms: input.sleep_ms, fail: input.fail } }
";
    harness.workflow("simulated", text).await;
    let binary = Binary::of(&harness);
    let worker = binary.start(&["worker", "--slots", "2"]);
    let said =
        binary.run(&["run", "simulated", "-w", "-i", r#"{"sleep_ms": 1, "fail": "odd"}"#]).await;
    assert!(said.stderr.contains("odd in work"), "{}", said.stderr);
    let submit = |input: Value| {
        let submit = fairlane_client::Submit::new("simulated").input(&input);
        harness.client.submit(TENANT, submit)
    };
    let id = submit(json!({ "sleep_ms": 300, "fail": false })).await.unwrap().run;
    harness.until(&id, is_leased).await;
    assert!(worker.terminate().await.success(), "it drained");
    assert_eq!(harness.output(&id).await["work"]["slept_ms"], 300);
}

/// A file of the repository.
fn example(path: &str) -> String {
    format!("{}/../../examples/{path}", env!("CARGO_MANIFEST_DIR"))
}

#[tokio::test]
async fn the_examples_are_declared_and_run_to_their_end_on_the_sample_worker() {
    let harness = Harness::start().await;
    let binary = Binary::of(&harness);
    binary.ok(&["apply", "-f", &example("loan"), "-f", &example("workflows")]).await;
    let outputs = format!("@{}", example("outputs.json"));
    let worker =
        binary.start(&["worker", "--sleep-ms", "0", "--fail", "pull_file", "--outputs", &outputs]);
    for workflow in [
        "loan-application",
        "check-documents",
        "open-account",
        "book-trip",
        "hello",
        "nightly-report",
        "check-applicant",
    ] {
        let input = format!("@{}", example(&format!("inputs/{workflow}.json")));
        let said = binary.run(&["run", workflow, "--input", &input, "--wait"]).await;
        assert_eq!(said.code, 0, "{workflow}: {}", said.stderr);
    }
    assert!(worker.terminate().await.success());
}
