//! `simulate`: stories in virtual time, and what is wrong with a scenario.

use serde_json::{Value, json};

use super::process::Binary;

const BANKS: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/scenarios/three-banks.yaml");
const MONDAY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/scenarios/monday.yaml");
const MINUTE: u64 = 60_000_000;

const PLATFORM: &str = "
pools: { default: { slots: 2 } }
orgs: { o: }
tiers: { t: { weight: 1, cap: 2, budget_class: c } }
budget_classes: { c: { budget: { run: 0.05 } } }
tenants: { a: { org: o, tier: t }, b: { org: o, tier: t } }
tools: { eu: { endpoint: { protocol: chat, url: 'https://eu.example/v1' } } }
prices: { large: { versions: [{ input: 10, output: 50 }] } }
models: { reasoner: { candidates: [{ endpoint: eu, model: l, price: large }] } }
";
const WORK: &str = "
workflow: w
version: 1
steps:
  look: { task: look, with: { n: input.n } }
  think:
    after: look
    when: steps.look.output.score > 5 && input.n == 1
    model: reasoner
    prompt: 'why {{ score }}'
    max_tokens: 400
    with: { score: steps.look.output.score }
";

fn with_platform(scenario: &str) -> Binary {
    let binary = Binary::alone();
    binary.write("platform.yaml", PLATFORM);
    binary.write("work.yaml", WORK);
    binary.write("s.yaml", scenario);
    binary
}

#[tokio::test]
async fn a_bank_that_uses_up_its_calls_waits_for_the_next_hour_and_nobody_else_notices() {
    let report = Binary::alone().json(&["simulate", BANKS]).await;
    let bank = &report["plays"][0]["tenants"]["regional-bank"];
    let told = ["runs", "completed", "slots_max", "spent"].map(|field| &bank[field]);
    assert_eq!(told, [&json!(200), &json!(200), &json!(50), &json!("40.00")]);

    let calls = &bank["calls"]["credit_bureau"];
    let column = report["column_us"].as_u64().unwrap();
    assert_eq!(60 * MINUTE % column, 0, "a column begins with the second hour");
    let hour = usize::try_from(60 * MINUTE / column).unwrap();
    let columns: Vec<u64> = serde_json::from_value(calls["columns"].clone()).unwrap();
    assert_eq!(columns[..hour].iter().sum::<u64>(), 500, "the first hour's calls");
    assert_eq!(calls["count"], 800, "four for each");
    let still = &bank["still"];
    let from = still["from_us"].as_u64().unwrap();
    assert!((22 * MINUTE..26 * MINUTE).contains(&from), "{still}");
    let resumed = still["to_us"].as_u64().unwrap();
    assert!(resumed.abs_diff(60 * MINUTE) < 1_000_000, "{still}");

    let difference = &report["differences"][0];
    assert_eq!(difference["same"], json!(["credit-union", "start-up"]));
    let sides = ["gain", "lose", "unchanged"].map(|side| &difference["tenants"][side]);
    assert_eq!(sides, [&json!(0), &json!(0), &json!(2)]);
}

#[tokio::test]
async fn on_a_monday_nobody_can_tell_that_one_bank_sends_five_thousand() {
    let binary = Binary::alone();
    let report = binary.json(&["simulate", MONDAY, "--html", "monday.html"]).await;
    let group = |play: &str, name: &str| {
        let plays = report["plays"].as_array().unwrap();
        let play = plays.iter().find(|one| one["name"] == play).unwrap();
        let groups = play["groups"].as_array().unwrap();
        groups.iter().find(|group| group["name"] == name).unwrap().clone()
    };
    for quiet in ["by default", "without the 5000"] {
        let others = group(quiet, "bank");
        assert_eq!((&others["tenants"], &others["sla_missed"]), (&json!(199), &json!(0)));
        let p95 = others["latency"]["p95_us"].as_u64().unwrap();
        assert!(p95.abs_diff(45_000_000) < 100_000, "{p95}: the four steps and no wait");
    }
    let fifo = group("first in, first out", "bank");
    assert!(fifo["latency"]["p95_us"].as_u64().unwrap() > 5 * MINUTE, "{fifo}");
    assert!(fifo["sla_missed"].as_u64().unwrap() > 24, "dozens of banks: {fifo}");
    // Fifty slots, 5,000 times 45 seconds, since nine o'clock.
    let bank = group("by default", "first-national");
    assert_eq!(bank["completed"], 5_000);
    let drained = bank["last_end_us"].as_u64().unwrap() - 60 * MINUTE;
    assert!(drained.abs_diff(75 * MINUTE) < MINUTE, "{drained}");
    let tenant = &report["plays"][0]["tenants"]["bank-007"];
    assert_eq!(tenant["sla"]["met"], true, "{tenant}");

    let pools = |play: usize| report["plays"][play]["pools"][0]["jain"].as_f64();
    let (fair, fifo) = (pools(0), pools(1).expect("the pool is full for half an hour"));
    assert!(fair.is_none_or(|fair| fair > 0.95) && fifo < 0.7, "{fair:?} {fifo}");
    let page = std::fs::read_to_string(binary.path("monday.html")).unwrap();
    assert!(page.contains("199 tenants") || page.contains("200 tenants</summary>"), "{page}");
    assert!(page.contains("first in, first out") && page.contains("<polyline"), "{page}");
    for outside in ["http:", "https:", "<script", "url("] {
        assert!(!page.contains(outside), "the page needs {outside}");
    }
}

#[tokio::test]
async fn steps_are_played_as_the_scenario_and_their_conditions_say() {
    let binary = with_platform(
        "declare: [platform.yaml, work.yaml]\nlasts: 1h\n\
         work:\n  look: { takes: 10s, output: { score: 7 } }\n  \
           reasoner: { takes: 30s..60s, input_tokens: 1000, output_tokens: 300 }\n\
         arrivals:\n- { tenant: a, workflow: w, input: { n: 1 } }\n\
         - { tenant: b, workflow: w, input: { n: 2 } }\n",
    );
    let mut reports = Vec::new();
    for _ in 0..2 {
        let mut report = binary.json(&["simulate", "s.yaml"]).await;
        report["took_us"] = Value::Null;
        reports.push(report);
    }
    assert_eq!(reports[0], reports[1], "the same story twice");
    let tenants = &reports[0]["plays"][0]["tenants"];
    let latency = |tenant: &str| tenants[tenant]["latency"]["max_us"].as_u64().unwrap() / 1_000_000;
    assert!((40..=70).contains(&latency("a")), "both steps: {tenants:#}");
    assert_eq!(latency("b"), 10, "its condition is false");
    // 1,000 tokens in at 10 and 300 out at 50 a million.
    assert_eq!((&tenants["a"]["spent"], &tenants["b"]["spent"]), (&json!("0.025"), &json!("0.00")));
    assert_eq!(tenants["a"]["calls"]["eu"]["count"], 1);
    let other = binary.json(&["simulate", "s.yaml", "--seed", "2"]).await;
    assert_ne!(other["plays"], reports[0]["plays"], "other service times");
}

#[tokio::test]
async fn policies_are_compared_with_the_same_arrivals() {
    let binary = with_platform(
        "declare: [platform.yaml, work.yaml]\nlasts: 1h\nwork: { look: { takes: 60s } }\n\
         arrivals:\n- { tenant: a, workflow: w, count: 20, input: { n: 2 } }\n\
         - { tenant: b, workflow: w, at: 1s, input: { n: 2 } }\n\
         compare: [{ name: fifo, policy: fifo }, { name: fair }, { name: alone, without: [a] }]\n",
    );
    let report = binary.json(&["simulate", "s.yaml"]).await;
    let waits = [0, 1, 2].map(|play: usize| {
        let wait = &report["plays"][play]["tenants"]["b"]["wait"]["max_us"];
        wait.as_u64().unwrap() / 1_000_000
    });
    // Behind all of it; behind what runs; behind nothing.
    assert_eq!(waits, [599, 59, 0]);
    let jain =
        [0, 1].map(|play: usize| report["plays"][play]["pools"][0]["jain"].as_f64().unwrap());
    assert!(jain[0] < 0.6 && jain[1] > jain[0], "one has all, and then both have some: {jain:?}");
    let sides = &report["differences"][0]["tenants"];
    assert_eq!([&sides["gain"], &sides["lose"]], [1, 0], "b waits less, and a no longer: {sides}");
    let text = binary.ok(&["simulate", "s.yaml"]).await;
    assert!(text.contains("fair, beside fifo: 1 tenant gains, 0 lose, 1 unchanged"), "{text}");
}

#[tokio::test]
async fn a_trace_says_who_comes_when_and_how_long_it_takes() {
    let binary = with_platform(
        "declare: [platform.yaml, one.yaml]\nlasts: 10s\n\
         groups: { them: { trace: trace.csv, tier: t } }\narrivals: [{ group: them, workflow: one }]\n\
         compare: [{ name: all }, { name: without x, without: [x] }]\n",
    );
    binary.write("one.yaml", "workflow: one\nversion: 1\nsteps: { only: { task: t } }\n");
    let rows = "tenant,arrival_ms,service_ms,org\nx,500,2000,big\nx,500,2000,big\nx,500,3000,big\n\
                y,1000,1500,big\nz,20000,1,z\n";
    binary.write("trace.csv", rows);
    let report = binary.json(&["simulate", "s.yaml"]).await;
    let of = |play: usize| &report["plays"][play]["groups"][0];
    assert_eq!(
        (&of(0)["name"], &of(0)["tenants"]),
        (&json!("them"), &json!(2)),
        "z comes after the end"
    );
    assert_eq!((&of(0)["runs"], &of(1)["runs"]), (&json!(4), &json!(1)));
    // Two slots, and times from the first row on: y comes after half a second and waits until one is free.
    let y =
        |play: usize| report["plays"][play]["tenants"]["y"]["latency"]["max_us"].as_u64().unwrap();
    assert!(y(0).abs_diff(3_000_000) < 10_000 && y(1).abs_diff(1_500_000) < 10_000, "{}", y(0));
    assert!(binary.ok(&["simulate", "s.yaml"]).await.contains("them"));

    binary.write("trace.csv", "tenant,arrival_ms,service_ms\nx,soon,1\n");
    let said = binary.run(&["simulate", "s.yaml"]).await;
    assert!(said.code == 2 && said.stderr.contains("trace.csv, line 2: arrival_ms"), "{said:?}");
}

#[tokio::test]
async fn what_is_wrong_with_a_scenario_is_said_with_its_place() {
    let binary = with_platform(
        "declare: [platform.yaml, work.yaml]\nlasts: 1h\nwork:\n  lok: { takes: 1s }\narrivals:\n\
         - { tenant: nobody, workflow: w }\n- { tenant: a, workflow: none }\n",
    );
    let said = binary.run(&["simulate", "s.yaml"]).await;
    assert_eq!(said.code, 1, "{}", said.stderr);
    for line in [
        "s.yaml:4:3: no workflow has a task, a tool or a model lok; ",
        "s.yaml:6:13: no tenant nobody is declared; ",
        "s.yaml:7:26: no workflow none is declared; ",
    ] {
        assert!(said.stderr.contains(line) || said.stdout.contains(line), "{}", said.stderr);
    }

    let calls = "workflow: w\nversion: 1\nsteps:\n  ask: { wait: { signal: go } }\n";
    binary.write("work.yaml", calls);
    binary.write(
        "s.yaml",
        "declare: [platform.yaml, work.yaml]\nlasts: 1h\narrivals: [{ tenant: a, workflow: w }]\n",
    );
    let said = binary.run(&["simulate", "s.yaml"]).await;
    assert!(said.stderr.contains("the step ask of w waits for a signal"), "{}", said.stderr);
    assert_eq!(said.code, 1);

    binary.write(
        "s.yaml",
        "declare: [platform.yaml]\nlasts: 1h\n\
         groups: { x: { tenants: 2, tier: gold }, 'A b': { tenants: 1, tier: t }, y: { tenants: 0, tier: t } }\n\
         arrivals:\n- { group: z, workflow: w }\n- { workflow: w }\n\
         - { tenant: a, workflow: w, every: 1m, about_every: 1m }\n",
    );
    let said = binary.run(&["simulate", "s.yaml"]).await;
    let all = said.stderr + &said.stdout;
    for line in [
        "its tenants would have no good names",
        "s.yaml:3:88: these are 0 tenants; expected 1 to 10,000 tenants",
        "s.yaml:5:12: there is no group z",
        "s.yaml:6:3: it is not said whose they are",
        "they come regularly and by chance",
    ] {
        assert!(all.contains(line), "{line} is not in {all}");
    }
    binary.write(
        "s.yaml",
        "declare: [platform.yaml]\nlasts: 1h\ngroups: { x: { tenants: 2, tier: gold } }\n\
         arrivals: [{ group: x, workflow: one }]\n",
    );
    let said = binary.run(&["simulate", "s.yaml"]).await;
    assert!(said.stderr.contains("no tier gold is declared"), "{}", said.stderr);

    binary.write(
        "s.yaml",
        "declare: [nowhere.yaml]\nlasts: 1h\narrivals: [{ tenant: a, workflow: one }]\n",
    );
    let said = binary.run(&["simulate", "s.yaml"]).await;
    assert!(said.stderr.contains("nowhere.yaml"), "{}", said.stderr);
    assert_ne!(said.code, 0);
}
