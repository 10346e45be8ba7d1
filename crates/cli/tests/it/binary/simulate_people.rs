//! `simulate` with people who decide and with what breaks.

use serde_json::{Value, json};

use super::process::Binary;

const MINUTE: u64 = 60_000_000;

const PLATFORM: &str = "
pools: { default: { slots: 2 } }
reviewer_pools: { desk: { lease_ms: 60000, members: [{ person: ada }] } }
orgs: { o: }
tiers: { t: { weight: 1, cap: 2, reviewer_pool: desk } }
tenants: { a: { org: o, tier: t }, b: { org: o, tier: t } }
";
const ASKED: &str = "
workflow: asked
version: 1
steps:
  look: { task: look }
  decide: { after: look, review: { due: 52m } }
  pay: { after: decide, when: steps.decide.output.outcome == 'approved', task: pay }
";
const WORKED: &str = "
workflow: worked
version: 1
steps:
  look: { task: look, retry: { attempts: 1 } }
";

fn with_platform(scenario: &str) -> Binary {
    let binary = Binary::alone();
    binary.write("platform.yaml", PLATFORM);
    binary.write("asked.yaml", ASKED);
    binary.write("worked.yaml", WORKED);
    let head = "declare: [platform.yaml, asked.yaml, worked.yaml]\nlasts: 2h\n";
    binary.write("s.yaml", &format!("{head}{scenario}"));
    binary
}

async fn played(scenario: &str) -> Value {
    with_platform(scenario).json(&["simulate", "s.yaml"]).await["plays"].take()
}

fn number(of: &Value) -> u64 {
    of.as_u64().unwrap_or_else(|| panic!("{of} is no number"))
}

/// Percentiles are within a thousandth.
#[track_caller]
fn is_about(value: u64, minutes: u64) {
    assert!(value.abs_diff(minutes * MINUTE) <= minutes * MINUTE / 1_000, "{value}: {minutes} min");
}

const TEN_OF_A: &str = "
work: { look: { takes: 0s }, pay: { takes: 0s } }
arrivals:
- { tenant: a, workflow: asked, count: 10 }
- { tenant: b, workflow: asked, at: 1m }
";

#[tokio::test]
async fn one_person_decides_one_after_the_other_by_turns_of_the_tenants() {
    let scenario = format!("reviewers: {{ desk: {{ takes: 5m, data: {{ why: ok }} }} }}{TEN_OF_A}");
    let plays = played(&scenario).await;
    let desk = &plays[0]["desks"][0];
    let counts = ["people", "asked", "decided", "overdue", "open"].map(|of| number(&desk[of]));
    // Eleven times five minutes; the last one would end after fifty-five, and is due after 52.
    assert_eq!(counts, [1, 11, 10, 1, 0], "{desk}");
    let (a, b) = (&plays[0]["tenants"]["a"], &plays[0]["tenants"]["b"]);
    // When what is under way is decided it is its turn after one more, and not after ten.
    is_about(number(&b["reviews"]["wait"]["max_us"]), 9);
    is_about(number(&a["reviews"]["wait"]["max_us"]), 50);
    assert_eq!((number(&a["completed"]), number(&a["failed"])), (9, 1));
    let busy = desk["busy"].as_f64().unwrap();
    assert!((busy - 52.0 / 120.0).abs() < 0.01, "{desk}");
}

#[tokio::test]
async fn with_more_people_the_same_reviews_come_to_the_same_sooner() {
    let text = "reviewers: { desk: { takes: 5m..10m, rejects_percent: 50 } }\ncompare:\n- { name: one }\n\
         - { name: two, change: { reviewer_pools: { desk: { members: [{ person: ada }, { person: bob }] } } } }\n";
    let short = TEN_OF_A.replace("count: 10", "count: 4");
    let plays = played(&format!("{text}{short}")).await;
    let [one, two] = [0, 1].map(|at: usize| &plays[at]["tenants"]["a"]);
    let waits = [one, two].map(|of| number(&of["reviews"]["wait"]["max_us"]));
    assert!(waits[1] < waits[0] * 2 / 3, "{waits:?}");
    // Half are rejected, by the same chance: those run no last step.
    let paid = [one, two].map(|of| number(&of["service_us"]));
    assert_eq!(paid[0], paid[1]);
    assert_eq!(number(&two["reviews"]["decided"]), 4, "{two}");
}

#[tokio::test]
async fn who_goes_home_takes_no_more() {
    let scenario =
        format!("reviewers: {{ desk: {{ takes: 5m, from: 10m, until: 19m }} }}{TEN_OF_A}");
    let plays = played(&scenario).await;
    let desk = &plays[0]["desks"][0];
    // From ten to fifteen, and what was begun at fifteen.
    assert_eq!(number(&desk["decided"]), 2, "{desk}");
    assert!(desk["busy"].as_f64().unwrap() > 1.0, "one stayed for longer: {desk}");
}

#[tokio::test]
async fn a_pool_that_is_out_takes_nothing_and_work_that_is_out_fails_or_is_slow() {
    let arrivals = "work: { look: { takes: 1m } }\narrivals:\n\
                    - { tenant: a, workflow: worked, at: 5m }\n- { tenant: b, workflow: worked, at: 40m }\n";
    let of = |plays: &Value, tenant: &str, what: &str| plays[0]["tenants"][tenant][what].clone();
    let pool =
        played(&format!("outages:\n- {{ pool: default, at: 4m, lasts: 10m }}\n{arrivals}")).await;
    is_about(number(&of(&pool, "a", "wait")["max_us"]), 9);
    is_about(number(&of(&pool, "b", "latency")["max_us"]), 1);

    let less = "outages:\n- { pool: default, at: 0s, lasts: 10m, slots: 1 }\n\
                work: { look: { takes: 1m } }\narrivals:\n- { tenant: a, workflow: worked, count: 2 }\n";
    let less = played(less).await;
    assert_eq!(number(&of(&less, "a", "slots_max")), 1);

    let fails =
        played(&format!("outages:\n- {{ work: look, at: 4m, lasts: 10m }}\n{arrivals}")).await;
    assert_eq!((of(&fails, "a", "failed"), of(&fails, "b", "failed")), (json!(1), json!(0)));

    let slow = "outages:\n- { work: look, at: 4m, lasts: 10m, takes: 3m }\n";
    let slow = played(&format!("{slow}{arrivals}")).await;
    let latency = |tenant| number(&of(&slow, tenant, "latency")["max_us"]);
    is_about(latency("a"), 3);
    is_about(latency("b"), 1);
}

#[tokio::test]
async fn people_and_outages_that_make_no_sense_are_told_with_their_places() {
    let wrong = "reviewers:\n  desk: { takes: 5m, from: 2h, until: 1h }\noutages:\n- { at: 0s, lasts: 0s }\n\
                 - { pool: default, at: 0s, lasts: 1m, takes: 1m }\n- { work: look, at: 0s, lasts: 1m, slots: 1 }\n\
                 arrivals: [{ tenant: a, workflow: worked }]\n";
    let said = with_platform(wrong).run(&["simulate", "s.yaml"]).await;
    assert_eq!(said.code, 1, "{}", said.stderr);
    for told in [
        "s.yaml:4:39: they go before they come",
        "s.yaml:6:3: it is not said what is out",
        "s.yaml:6:20: this is no time",
        "s.yaml:7:3: a pool works, or does not",
        "s.yaml:8:43: work has no slots",
    ] {
        assert!(said.stderr.contains(told), "{told}: {}", said.stderr);
    }
    let unknown = "reviewers: { nobody: { takes: 5m } }\noutages: [{ pool: p, at: 0s, lasts: 1m }, { work: w, at: 0s, lasts: 1m }]\n\
                   arrivals: [{ tenant: a, workflow: worked }]\n";
    let said = with_platform(unknown).run(&["simulate", "s.yaml"]).await;
    for told in ["no reviewer pool nobody", "no pool p", "a tool or a model w"] {
        assert!(said.stderr.contains(told), "{told}: {}", said.stderr);
    }
    let alone = with_platform("arrivals: [{ tenant: a, workflow: asked }]\n");
    let said = alone.run(&["simulate", "s.yaml"]).await;
    assert!(said.stderr.contains("no `reviewers` decide"), "{}", said.stderr);
}
