//! `export-arrivals` and `simulate --what-if`: what came is played again, unchanged and changed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use fairlane_api::run::RunDetail;
use fairlane_api::view::Phase;
use fairlane_client::Submit;
use fairlane_client::worker::{Context, TaskError, Worker};
use serde_json::{Value, json};

use super::process::Binary;
use crate::harness::{Harness, Running, TENANT, run};

const SHAPES: &str = "
workflow: shapes
version: 1
steps:
  first: { task: first, with: { n: input.n }, retry: { attempts: 3, backoff: 1ms..1ms } }
  skipped: { after: first, when: input.n > 1000, task: never }
  each: { after: first, map: { over: input.list }, task: each }
  ask: { after: each, wait: { signal: go } }
  sub: { after: ask, call: { workflow: one }, with: { n: input.n } }
  last: { after: sub, task: last, with: { n: input.n } }
";

const PLATFORM: &str = "
pools: { default: { slots: 4 } }
orgs: { o: , p: }
tiers: { t: { weight: 1, cap: 4, sla: { percentile_permille: 950, latency_ms: 60000 } } }
tenants: { a: { org: o, tier: t }, b: { org: p, tier: t } }
";
const ONE: &str = "workflow: one\nversion: 1\nsteps: { only: { task: t } }\n";
const HEAD: &str = "tenant,arrival_ms,service_ms,org,run,parent,workflow,version,lane,outcome,latency_ms,spent,steps";

/// Forty runs of `a` at once, of ten seconds each, and one of `b` every minute.
fn recorded() -> Binary {
    let binary = Binary::alone();
    binary.write("platform.yaml", PLATFORM);
    binary.write("one.yaml", ONE);
    let mut rows = vec![HEAD.to_owned()];
    let mut row = |tenant: &str, at: u32| {
        let run = rows.len();
        rows.push(format!(
            "{tenant},{at},10000,,{run},,one,1,normal,completed,10000,0.00,only=10000"
        ));
    };
    (0..40).for_each(|_| row("a", 0));
    (1..6).for_each(|minute| row("b", minute * 60_000 + 5_000));
    binary.write("arrivals.csv", &(rows.join("\n") + "\n"));
    binary.write(
        "s.yaml",
        "declare: [platform.yaml, one.yaml]\nlasts: 10m\nrecorded: arrivals.csv\n",
    );
    binary
}

fn seconds(value: &Value) -> u64 {
    (value.as_u64().unwrap() + 500_000) / 1_000_000
}

/// Workers of all tasks; two first attempts fail, and so does what is to divide by zero.
fn workers(harness: &Harness) -> Running {
    let failed = Arc::new(AtomicU32::new(0));
    let worker =
        Worker::new(harness.client.clone(), "default")
            .slots(8)
            .task("first", move |context: Context, input: Value| {
                let is_bad = context.attempt() == 1 && failed.fetch_add(1, Ordering::Relaxed) < 2;
                async move {
                    if is_bad { Err(TaskError::retryable("busy", "again")) } else { Ok(input) }
                }
            })
            .task("each", |_: Context, input: Value| async move { Ok(input) })
            .task("work", |_: Context, input: Value| async move {
                if input["n"] == 0 { Err(TaskError::fatal("zero", "no")) } else { Ok(input) }
            })
            .task("last", |_: Context, input: Value| async move { Ok(input) });
    run(worker)
}

/// Four runs of `shapes`, of which one is cancelled while it waits, with three children; one that fails; one under way.
async fn came(harness: &Harness) {
    harness.workflow("shapes", SHAPES).await;
    let worker = workers(harness);
    let mut runs = Vec::new();
    for n in 1..=4 {
        let submit = Submit::new("shapes").input(&json!({ "n": n, "list": [1, 2, 3] }));
        runs.push(harness.client.submit(TENANT, submit).await.unwrap().run);
    }
    let bad = harness.submit(0).await;
    let cancelled = runs.pop().unwrap();
    for run in &runs {
        harness.client.signal(TENANT, run, "go", &json!(null)).await.unwrap();
        harness.ended(run).await;
    }
    harness.ended(&bad).await;
    let is_asking = |run: &RunDetail| {
        run.steps.iter().any(|step| step.name == "ask" && step.phase == Phase::Listening)
    };
    harness.until(&cancelled, is_asking).await;
    harness.client.cancel(TENANT, &cancelled).await.unwrap();
    harness.ended(&cancelled).await;
    let live = Submit::new("shapes").input(&json!({ "n": 9, "list": [] }));
    harness.client.submit(TENANT, live).await.unwrap();
    worker.drain().await.unwrap();
}

#[tokio::test]
async fn what_came_is_exported_and_played_again_step_by_step() {
    let harness = Harness::start().await;
    came(&harness).await;
    let binary = Binary::of(&harness);
    let all = ["export-arrivals", "--out", "out", "--from", "2020-01-01", "--until", "2100-01-01"];
    let exported = binary.json(&all).await;
    let counts = [&exported["runs"], &exported["left_out"]["live"]];
    assert_eq!(counts, [8, 1], "{exported}");
    let csv = std::fs::read_to_string(binary.path("out/arrivals.csv")).unwrap();
    for (shape, count) in
        [("skipped=-", 4), ("each=*3", 4), ("first=!", 2), ("ask=~", 3), ("ask=x~", 1)]
    {
        assert_eq!(csv.matches(shape).count(), count, "{shape}: {csv}");
    }

    // Played on its own day, though that time is long.
    let (from, until) = hour_of(&csv, &exported);
    let day = ["export-arrivals", "--out", "day", "--from", &from, "--until", &until];
    binary.json(&day).await;
    let report = binary.json(&["simulate", "day/scenario.yaml"]).await;
    let tenant = &report["plays"][0]["tenants"][TENANT];
    let counts = ["runs", "completed", "failed", "cancelled", "live"].map(|field| &tenant[field]);
    assert_eq!(counts, [8, 6, 1, 1, 0], "{tenant}");
    let service = &exported["service_us"];
    assert_eq!(&tenant["service_us"], service, "each step takes what it took, to the microsecond");
    harness.stop().await;
}

#[tokio::test]
async fn an_export_names_no_tenant_if_it_is_to_be_anonymous() {
    let harness = Harness::start().await;
    let worker = workers(&harness);
    let done = harness.submit(1).await;
    harness.ended(&done).await;
    worker.drain().await.unwrap();
    let binary = Binary::of(&harness);
    let period = ["--from", "2020-01-01", "--until", "2100-01-01"];
    binary.json(&[&["export-arrivals", "--anonymous", "--out", "out"], &period[..]].concat()).await;
    for file in ["arrivals.csv", "declarations.json", "scenario.yaml"] {
        let text = std::fs::read_to_string(binary.path(&format!("out/{file}"))).unwrap();
        let text = text.replace("arrivals/acme=x2", "");
        assert!(!text.contains(TENANT) && !text.contains("\"org\": \"org\""), "{file}: {text}");
    }
    for (arguments, expected) in [
        (&["--out", "out"][..], "the folder out is not empty"),
        (
            &["--out", "new", "--day", "2020-01-01"],
            "no run that came between 2020-01-01T00:00:00Z and 2020-01-02T00:00:00Z has ended",
        ),
        (&["--out", "new", "--tenant", "nobody"], "there is no tenant nobody"),
        (&["--out", "new", "--day", "soon"], "--day: expected a day such as"),
        (&["--out", "new", "--from", "2020-01-02", "--until", "2020-01-01"], "is not after --from"),
    ] {
        let said = binary.run(&[&["export-arrivals"], arguments].concat()).await;
        assert!(said.code == 2 && said.stderr.contains(expected), "{said:?}");
    }
    harness.stop().await;
}

/// An hour around what was exported, whose times are after its beginning.
fn hour_of(csv: &str, exported: &Value) -> (String, String) {
    let first = csv.lines().nth(1).unwrap().split(',').nth(1).unwrap();
    let from: fairlane_api::Timestamp = serde_json::from_value(exported["from"].clone()).unwrap();
    let after: f64 = first.parse().unwrap();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "milliseconds of this century"
    )]
    let first = from.0 + after as u64 * 1_000;
    let hour = 3_600_000_000;
    let at = |micros: u64| fairlane_api::Timestamp(micros).to_string();
    (at(first - 1_000_000), at(first + hour))
}

#[tokio::test]
async fn a_changed_cap_a_doubled_tenant_and_weights_say_who_gains_and_who_loses() {
    let binary = recorded();
    let report = binary
        .json(&[
            "simulate",
            "s.yaml",
            "--what-if",
            "tenants/a.cap=2",
            "--what-if",
            "arrivals/a=x2",
            "--what-if",
            "arrivals/b=0, pools/default.slots=40, tiers/t.cap=40",
        ])
        .await;
    let effect = |play: usize, tenant: &str| {
        let all = report["differences"][play]["tenants"]["all"].as_array().unwrap();
        all.iter().find(|effect| effect["name"] == tenant).cloned().unwrap()
    };
    // Four slots do forty times ten seconds and one of b in a hundred and ten seconds, two in two hundred.
    let capped = effect(0, "a");
    let took = [0, 1].map(|side: usize| seconds(&capped["latency_max_us"][side]));
    assert_eq!((took, &capped["side"]), ([110, 200], &json!("loses")), "{capped}");
    // After a minute b waits for a slot of a; with the cap there is one.
    let other = effect(0, "b");
    assert_eq!(other["side"], "gains", "{other}");
    let sides = &report["differences"][0]["tenants"];
    assert_eq!([&sides["gain"], &sides["lose"], &sides["unchanged"]], [1, 1, 0]);
    assert_eq!(sides["all"][0]["name"], "a", "who loses most is first");

    let doubled = effect(1, "a");
    assert_eq!(doubled["completed"], json!([40, 80]), "{doubled}");
    assert_eq!(seconds(&doubled["latency_max_us"][1]), 210);
    let late = &doubled["late"];
    assert_eq!(late, &json!([16, 56]), "later than a minute: {doubled}");

    let wide = effect(2, "a");
    assert_eq!((seconds(&wide["latency_max_us"][1]), &wide["side"]), (10, &json!("gains")));
    let text = binary
        .ok(&["simulate", "s.yaml", "--what-if", "tenants/a.cap=2", "--html", "p.html"])
        .await;
    let words =
        "tenants/a.cap=2, beside unchanged: 1 tenant gains, 1 loses, 0 unchanged (within 5 %)";
    assert!(text.contains(words) && text.contains("1 min 40 s → 3 min 10 s"), "{text}");
    let page = std::fs::read_to_string(binary.path("p.html")).unwrap();
    assert!(
        page.contains("1 tenant gains, 1 loses") && page.contains("1 min 40 s → 3 min 10 s"),
        "{page}"
    );
}

#[tokio::test]
async fn a_scenario_has_changes_of_its_own_and_tenants_of_groups_can_change() {
    let binary = recorded();
    binary.write(
        "s.yaml",
        "declare: [platform.yaml, one.yaml]\nlasts: 10m\nwork: { t: { takes: 10s } }\n\
         groups: { g: { tenants: 12, tier: t } }\narrivals: [{ group: g, workflow: one, count: 8 }]\n\
         compare:\n- { name: now }\n- { name: heavy, change: { tenants: { g-01: { weight: 50 } }, orgs: { g-01: { weight: 50 } } } }\n\
         - { name: half, times: { g: 0.5 } }\n",
    );
    let report = binary.json(&["simulate", "s.yaml"]).await;
    let effects =
        |play: usize| report["differences"][play]["tenants"]["all"].as_array().unwrap().clone();
    let heavy = effects(0);
    let side =
        |name: &str| heavy.iter().find(|effect| effect["name"] == name).unwrap()["side"].clone();
    assert_eq!(side("g-01"), "gains", "{heavy:#?}");
    assert!(heavy.iter().any(|effect| effect["side"] == "loses"), "somebody pays: {heavy:#?}");
    let half = effects(1);
    assert!(half.iter().all(|effect| effect["completed"] == json!([8, 4])), "{half:#?}");
    assert!(half.iter().all(|effect| effect["side"] == "gains"), "{half:#?}");
    let groups = report["differences"][1]["groups"]["all"].as_array().unwrap();
    assert_eq!(groups[0]["name"], "g");
}

#[tokio::test]
async fn what_cannot_be_changed_or_read_is_said_with_its_place() {
    let binary = recorded();
    for (change, expected) in [
        (
            "tenants/c.cap=2",
            "--what-if 'tenants/c.cap=2':1:23: c is not among the tenants that are declared",
        ),
        ("tenants/a.cap=0", "--what-if 'tenants/a.cap=0'"),
        ("tenants/a.cup=1", "cup"),
        ("caps/a.x=1", "there is no section `caps`"),
        ("arrivals/c=x2", "--what-if 'arrivals/c=x2':1:1: no tenant c is declared"),
        ("tenants/a.cap", "there is no `=`"),
    ] {
        let said = binary.run(&["simulate", "s.yaml", "--what-if", change]).await;
        assert_ne!(said.code, 0, "{change}");
        assert!(
            said.stderr.contains(expected) && said.stderr.contains("expected"),
            "{change}: {}",
            said.stderr
        );
    }
    let text = "declare: [platform.yaml, one.yaml]\nlasts: 10m\nrecorded: arrivals.csv\n\
                compare:\n- { name: now }\n- { name: less, change: { tenants: { a: { cap: 0 } } } }\n";
    binary.write("s.yaml", text);
    let said = binary.run(&["simulate", "s.yaml"]).await;
    assert!(said.stderr.contains("s.yaml:6:48: "), "{}", said.stderr);
    binary.write("s.yaml", &text.replace("cap: 0", "cap: 1"));
    binary.write("arrivals.csv", &format!("{HEAD}\nc,0,1,,1,,one,1,normal,completed,1,0,only=1\n"));
    let said = binary.run(&["simulate", "s.yaml"]).await;
    assert!(
        said.stderr.contains("s.yaml:3:11: no tenant c is declared, and a run of it is recorded"),
        "{}",
        said.stderr
    );
    binary.write(
        "arrivals.csv",
        &format!("{HEAD}\na,0,1,,1,,one,1,normal,completed,1,0,only=soon\n"),
    );
    let said = binary.run(&["simulate", "s.yaml"]).await;
    assert!(
        said.stderr.contains("arrivals.csv, line 2: steps has \"only=soon\""),
        "{}",
        said.stderr
    );
}
