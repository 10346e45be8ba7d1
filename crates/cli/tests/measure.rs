//! `demo`, `replay` and `bench` through the real binary, small: what they print adds up, whatever the machine does.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn fairlane(temporary: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_fairlane"))
        .args(arguments)
        .env("TMPDIR", temporary)
        .env_remove("FAIRLANE_URL")
        .env_remove("FAIRLANE_KEY")
        .output()
        .expect("the test made it so")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The report of a command that ended well and left nothing behind.
fn report(arguments: &[&str]) -> Value {
    let folder = tempfile::tempdir().expect("the test made it so");
    let output = fairlane(folder.path(), arguments);
    assert!(output.status.success(), "{}: {}", output.status, stderr(&output));
    let left: Vec<_> = std::fs::read_dir(folder.path()).expect("the test made it so").collect();
    assert!(left.is_empty(), "{left:?} is left behind");
    serde_json::from_slice(&output.stdout).expect("the test made it so")
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is not a count"))
}

fn sum(groups: &Value, field: &str) -> u64 {
    groups.as_array().expect("the test made it so").iter().map(|group| number(&group[field])).sum()
}

/// What must hold of a row, however long anything took.
fn assert_adds_up(group: &Value) {
    let count = |field: &str| number(&group[field]);
    assert_eq!(count("submitted"), count("done"), "everything is done in the end: {group}");
    assert_eq!(count("done"), number(&group["latency"]["count"]), "each has a latency: {group}");
    assert!(count("sla_missed") <= count("submitted"), "{group}");
    let at = |name: &str| number(&group["latency"][name]);
    assert!(at("p50_us") <= at("p95_us") && at("p95_us") <= at("max_us"), "{group}");
    assert!(number(&group["wait"]["max_us"]) <= at("max_us"), "{group}");
}

const TINY_DEMO: [&str; 14] = [
    "demo",
    "--json",
    "--institutions",
    "12",
    "--burst",
    "60",
    "--slots",
    "12",
    "--workers",
    "2",
    "--seconds",
    "1",
    "--load",
    "30",
];

#[test]
fn the_demo_s_table_adds_up() {
    let report = report(&TINY_DEMO);
    let quotas = &report["quotas"];
    quotas["groups"].as_array().expect("the test made it so").iter().for_each(assert_adds_up);
    assert_eq!(number(&quotas["others"]["tenants"]), 10, "one runs out of money, and is left out");
    let phases = ["baseline", "fifo", "fair"].map(|phase| &report[phase]);
    for phase in phases {
        phase["groups"].as_array().expect("the test made it so").iter().for_each(assert_adds_up);
        assert_adds_up(&phase["others"]);
        assert!(number(&phase["slots_seen"]) <= 12, "no more than the pool: {phase}");
        let jain = phase["jain"].as_f64().expect("the test made it so");
        assert!((0.0..=1.000_001).contains(&jain), "{jain}");
    }
    let [baseline, fifo, fair] = phases.map(|phase| {
        let all = sum(&phase["groups"], "submitted");
        let others = number(&phase["others"]["submitted"]);
        assert_eq!(sum(&phase["groups"], "tenants"), 12);
        assert_eq!(number(&phase["others"]["tenants"]), 11);
        (others, all - others)
    });
    assert!(baseline.0 > 0, "there is normal traffic");
    assert_eq!(baseline.1, 0, "no burst in the first phase");
    assert_eq!(fifo, (baseline.0, 60), "the same traffic, and the burst");
    assert_eq!(fair, fifo, "the same in both");
}

#[test]
fn the_demo_s_verdicts_follow_from_its_numbers() {
    let report = report(&TINY_DEMO);
    let p95 =
        |phase: &str| report[phase]["others"]["latency"]["p95_us"].as_f64().expect("a number");
    let ratio = report["fair_ratio"].as_f64().expect("the test made it so");
    assert!((ratio - p95("fair") / p95("baseline")).abs() < 1e-9);
    let met: Vec<bool> = report["expectations"]
        .as_array()
        .expect("the test made it so")
        .iter()
        .map(|expectation| expectation["met"].as_bool().expect("the test made it so"))
        .collect();
    let broke = &report["broke"];
    assert_eq!(
        number(&broke["submitted"]),
        number(&broke["done"]) + number(&broke["refused"]),
        "{broke}"
    );
    assert_eq!((&broke["budget"], &broke["debt"]), (&"1.00".into(), &"0.00".into()), "{broke}");
    let missed = |phase: &str| number(&report[phase]["others"]["sla_missed"]);
    let expected = [
        report["fifo_ratio"].as_f64().expect("the test made it so") >= 10.0,
        missed("fifo") > 0,
        ratio <= 1.1,
        missed("fair") == 0,
        report["quotas_ratio"].as_f64().expect("the test made it so") <= 1.1,
        missed("quotas") == 0,
        number(&broke["refused"]) > 0 && number(&broke["done"]) > 0,
        true,
        waits(&report["people"]["others"]) * 4 <= waits(&report["people"]["groups"][3]),
        true,
    ];
    assert_eq!(met, expected);
}

/// How long one in twenty reviews of a group waited at least.
fn waits(group: &Value) -> u64 {
    number(&group["wait"]["p95_us"])
}

#[test]
fn the_demo_s_people_decide_everything_and_nothing_leaves_the_zone() {
    let report = report(&TINY_DEMO);
    let people = &report["people"];
    let groups = people["groups"].as_array().expect("the test made it so");
    for group in groups {
        let count = |field: &str| number(&group[field]);
        assert_eq!(count("submitted"), count("decided"), "{group}");
        assert_eq!(count("submitted"), count("done"), "{group}");
        assert_eq!(count("decided"), count("by_shared") + count("by_dedicated"), "{group}");
        assert_eq!(count("decided"), number(&group["wait"]["count"]), "each has a wait: {group}");
    }
    assert_eq!(number(&groups[3]["submitted"]), 6, "one in ten of the burst");
    assert!(sum(&people["groups"], "by_dedicated") > 0, "one bank has people of its own");
    let places = people["places"].as_array().expect("the test made it so");
    assert_eq!(places.len(), 5);
    for place in places {
        assert_eq!(place["european_inside"], people["european"], "all are seen inside: {place}");
        assert!(number(&place["others_outside"]) > 0, "somebody looks outside: {place}");
    }
    assert_eq!(sum(&people["places"], "european_outside"), 0);
    assert_eq!(number(&people["residency_violations"]), 0);
}

/// Two small tenants and a large one; a column that nobody asked for.
fn arrivals(folder: &Path) -> String {
    let mut text = "trigger,tenant,arrival_ms,service_ms\n".to_owned();
    for at in 0..60 {
        let tenant = if at % 20 == 0 { "small-a" } else { "large" };
        text.push_str(&format!("timer,{tenant},{},{}\n", at * 50, 20 + at % 7));
    }
    text.push_str("timer,small-b,3000,10\n");
    let file = folder.join("arrivals.csv");
    std::fs::write(&file, text).expect("the test made it so");
    file.to_str().expect("the test made it so").to_owned()
}

#[test]
fn a_replay_submits_every_row_under_each_policy() {
    let folder = tempfile::tempdir().expect("the test made it so");
    let file = arrivals(folder.path());
    let report =
        report(&["replay", "--json", "--arrivals", &file, "--speed", "10", "--slots", "2"]);
    assert_eq!((number(&report["arrivals"]), number(&report["tenants"])), (61, 3));
    let policies = report["policies"].as_array().expect("the test made it so");
    let names: Vec<&str> = policies
        .iter()
        .map(|policy| policy["policy"].as_str().expect("the test made it so"))
        .collect();
    assert_eq!(names, ["fifo", "default"]);
    for policy in policies {
        policy["groups"].as_array().expect("the test made it so").iter().for_each(assert_adds_up);
        assert_eq!(number(&policy["all"]["submitted"]), 61);
        assert_eq!(sum(&policy["groups"], "submitted"), 61);
        assert_eq!(sum(&policy["groups"], "tenants"), 3);
        assert!(number(&policy["slots_seen"]) <= 2);
    }
}

#[test]
fn a_bad_row_is_refused_with_its_line_before_anything_starts() {
    let folder = tempfile::tempdir().expect("the test made it so");
    let file = folder.path().join("bad.csv");
    std::fs::write(&file, "tenant,arrival_ms,service_ms\na,1,2\na,2,soon\n")
        .expect("the test made it so");
    let output = fairlane(
        folder.path(),
        &["replay", "--arrivals", file.to_str().expect("the test made it so")],
    );
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    let said = stderr(&output);
    assert!(said.contains("line 3: service_ms is \"soon\": expected milliseconds"), "{said}");
}

#[test]
fn a_benchmark_prints_ratios_of_what_it_measured() {
    let folder = tempfile::tempdir().expect("the test made it so");
    let here = folder.path().to_str().expect("the test made it so");
    let report = report(&["bench", "latency", "--json", "--seconds", "1", "--data", here]);
    let lines = report["parts"][0]["lines"].as_array().expect("the test made it so");
    let first = &lines[0];
    let of = |field: &str| first[field].as_f64().expect("the test made it so");
    assert_eq!(first["unit"], "microseconds");
    assert!((of("ratio") - of("target") / of("value")).abs() < 1e-9, "less is better: {first}");
    let left: Vec<_> = std::fs::read_dir(folder.path()).expect("the test made it so").collect();
    assert!(left.is_empty(), "{left:?} is left behind");
}
