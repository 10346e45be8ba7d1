//! Tools, budget classes, budgets and their accounts: declared, checked, and met by runs.

use serde_json::{Value, json};

use fairlane_server::StoreKind;
use tokio::task::JoinSet;

use crate::harness::{Harness, Reply};

/// Two steps in a row that cost something.
const DEAR: &str = "
workflow: dear
version: 1
steps:
  first:
    task: first
    tool: bureau
    cost: 0.05
    retry: { attempts: 2, backoff: 1ms..1ms }
  second:
    after: [first]
    task: second
    cost: 0.08
";

/// Tenant `a` in a budget class of its own.
async fn start(class: Value) -> Harness {
    let harness = Harness::start().await;
    harness.operator.put("/v1/budget-classes/basic", class).await.ok();
    let tenant = json!({ "org": "org", "tier": "standard", "budget_class": "basic" });
    harness.operator.put("/v1/tenants/a", tenant).await.ok();
    harness.workflow("dear", DEAR).await;
    harness
}

async fn submit(harness: &Harness) -> Reply {
    harness.operator.post("/v1/tenants/a/runs", json!({ "workflow": "dear", "input": {} })).await
}

#[tokio::test]
async fn the_same_tool_or_class_twice_changes_nothing() {
    let harness = Harness::start().await;
    let operator = &harness.operator;
    let rules = json!([
        { "window": { "units": 500, "every": "hour", "time_zone": "Europe/Berlin" } },
        { "bucket": { "units": 100, "per": "1s", "burst": 20 } },
        { "bucket": { "units": 9000, "per": "1s", "burst": 90000, "of": "tokens" } },
        { "concurrent": { "calls": 10 } },
    ]);
    let breaker = json!({ "failures": 5, "open_for": "30s" });
    for (path, body) in [
        ("/v1/catalog/tools/credit%2Fbureau", json!({ "limits": rules, "breaker": breaker })),
        (
            "/v1/budget-classes/high-volume",
            json!({
                "quotas": { "credit/bureau": rules },
                "budget": {
                    "run": "0.50", "reserve": "0.05", "day": "20.00", "month": "100.00",
                    "time_zone": "Europe/Berlin", "short": ["skip_optional", "escalate"],
                },
            }),
        ),
        ("/v1/orgs/org", json!({ "weight": 1, "budget": { "month": "9.00", "time_zone": "UTC" } })),
        ("/v1/tiers/standard", json!({ "weight": 4, "cap": 9, "budget_class": "high-volume" })),
        (
            "/v1/tenants/b",
            json!({ "org": "org", "tier": "standard", "budget_class": "high-volume" }),
        ),
    ] {
        let dry = operator.put(&format!("{path}?dry_run=true"), body.clone()).await.ok();
        assert_eq!(dry, json!({ "changed": false, "dry_run": true }), "{path}");
        for changed in [true, false] {
            let applied = operator.put(path, body.clone()).await.ok();
            assert_eq!(applied["changed"], changed, "{path}");
        }
        let read = operator.get(path).await.ok();
        for (name, value) in body.as_object().unwrap() {
            assert_eq!(read[name], *value, "{path} {name}");
        }
    }
    assert_eq!(operator.get("/v1/tenants/a").await.ok()["budget_class"], "high-volume");
    for (path, name) in
        [("/v1/catalog/tools", "credit/bureau"), ("/v1/budget-classes", "high-volume")]
    {
        let list = operator.get(path).await.ok();
        assert_eq!(list["items"][0]["name"], name, "{list}");
    }
    for (path, code) in
        [("/v1/catalog/tools/x", "unknown-tool"), ("/v1/budget-classes/x", "unknown-budget-class")]
    {
        assert_eq!(operator.get(path).await.refusal(), (404, code.into(), String::new()));
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_tool_is_said_at_its_place() {
    let harness = Harness::start().await;
    let tool = "/v1/catalog/tools/x";
    let window = |units: u64, zone: &str| json!({ "limits": [{ "window": { "units": units, "every": "day", "time_zone": zone } }] });
    let bucket = |per: &str, burst: u64| json!({ "limits": [{ "bucket": { "units": 1, "per": per, "burst": burst } }] });
    let call = json!({ "concurrent": { "calls": 1 } });
    let breaker = |failures: u64, open_for: &str| json!({ "breaker": { "failures": failures, "open_for": open_for } });
    let rows = [
        (tool, window(0, "UTC"), "out-of-range", "/limits/0/window/units"),
        (tool, window(1_000_000_000_001, "UTC"), "out-of-range", "/limits/0/window/units"),
        (tool, window(1, "Atlantis"), "invalid-value", "/limits/0/window/time_zone"),
        (tool, bucket("1 s", 1), "invalid-value", "/limits/0/bucket/per"),
        (tool, bucket("367d", 1), "out-of-range", "/limits/0/bucket/per"),
        (tool, bucket("1us", 1), "out-of-range", "/limits/0/bucket/per"),
        (tool, bucket("1s", 0), "out-of-range", "/limits/0/bucket/burst"),
        (tool, json!({ "limits": [call, call] }), "invalid-value", "/limits/1"),
        (tool, json!({ "limits": vec![call; 9] }), "too-many", "/limits"),
        (
            tool,
            json!({ "limits": [{ "window": { "units": 1, "every": "day", "of": "letters" } }] }),
            "invalid-value",
            "/limits/0/window/of",
        ),
        (tool, breaker(0, "1s"), "out-of-range", "/breaker/failures"),
        (tool, breaker(1_001, "1s"), "out-of-range", "/breaker/failures"),
        (tool, breaker(1, "soon"), "invalid-value", "/breaker/open_for"),
        (tool, breaker(1, "25h"), "out-of-range", "/breaker/open_for"),
        (tool, json!({ "breaker": { "failures": 1 } }), "invalid-value", "/breaker"),
        (
            tool,
            json!({ "limits": [{ "concurrent": { "calls": 0 } }] }),
            "out-of-range",
            "/limits/0/concurrent/calls",
        ),
        (
            tool,
            json!({ "limits": [{ "window": { "unit": 1, "every": "day" } }] }),
            "unknown-field",
            "/limits/0/window/unit",
        ),
    ];
    refused(&harness, rows).await;
}

#[tokio::test]
async fn what_is_wrong_with_a_budget_class_is_said_at_its_place() {
    let harness = Harness::start().await;
    let class = "/v1/budget-classes/x";
    let budget = |budget: Value| json!({ "budget": budget });
    let rows = [
        (
            class,
            json!({ "quotas": { "a/b": [{ "concurrent": { "calls": 0 } }] } }),
            "out-of-range",
            "/quotas/a~1b/0/concurrent/calls",
        ),
        (class, json!({ "quotas": { "a b": [] } }), "invalid-name", "/quotas/a b"),
        (class, budget(json!({ "run": "-0.01" })), "out-of-range", "/budget/run"),
        (class, budget(json!({ "day": "1e9" })), "invalid-value", "/budget/day"),
        (class, budget(json!({ "month": "1000000000.01" })), "out-of-range", "/budget/month"),
        (class, budget(json!({ "month": [] })), "invalid-value", "/budget/month"),
        (
            class,
            budget(json!({ "run": "0.04", "reserve": "0.05" })),
            "out-of-range",
            "/budget/reserve",
        ),
        (class, budget(json!({ "time_zone": "X" })), "invalid-value", "/budget/time_zone"),
        (class, budget(json!({ "short": ["fail", "fail"] })), "invalid-value", "/budget/short/1"),
        (class, budget(json!({ "short": ["beg"] })), "invalid-value", "/budget/short/0"),
        ("/v1/orgs/x", json!({ "budget": { "month": "much" } }), "invalid-value", "/budget/month"),
        (
            "/v1/tiers/x",
            json!({ "weight": 1, "cap": 1, "budget_class": "nil" }),
            "unknown-budget-class",
            "/budget_class",
        ),
        (
            "/v1/tenants/x",
            json!({ "org": "org", "tier": "standard", "budget_class": "nil" }),
            "unknown-budget-class",
            "/budget_class",
        ),
        (
            "/v1/tenants/x",
            json!({ "org": "org", "tier": "standard", "budget_class": "N" }),
            "invalid-name",
            "/budget_class",
        ),
    ];
    refused(&harness, rows).await;
}

/// Path, body, and the code and pointer of the problem.
async fn refused<const N: usize>(
    harness: &Harness,
    rows: [(&'static str, Value, &'static str, &'static str); N],
) {
    for (path, body, code, pointer) in rows {
        for path in [path.to_owned(), format!("{path}?dry_run=true")] {
            let reply = harness.operator.put(&path, body.clone()).await;
            assert_eq!(reply.refusal(), (422, code.into(), pointer.into()), "{path} {body}");
        }
    }
}

#[tokio::test]
async fn all_mistakes_of_a_class_are_reported_at_once() {
    let harness = Harness::start().await;
    let body = json!({
        "quotas": { "b": [{ "bucket": { "units": 0, "per": "soon", "burst": 0 } }] },
        "budget": { "run": "free", "month": "-1", "time_zone": "Atlantis" },
    });
    let reply = harness.operator.put("/v1/budget-classes/x", body).await;
    let problem = reply.problem();
    assert_eq!(problem["pointer"], "/quotas/b/0/bucket/units");
    let mistakes = problem["mistakes"].as_array().unwrap();
    let pointers: Vec<_> = mistakes.iter().map(|mistake| &mistake["pointer"]).collect();
    let expected = json!([
        "/quotas/b/0/bucket/units",
        "/quotas/b/0/bucket/burst",
        "/quotas/b/0/bucket/per",
        "/budget/run",
        "/budget/month",
        "/budget/time_zone",
    ]);
    assert_eq!(json!(pointers), expected);
    assert!(mistakes.iter().all(|mistake| mistake.get("line").is_none()), "{problem}");
}

#[tokio::test]
async fn a_run_that_its_tenant_cannot_pay_is_refused_with_what_is_left() {
    let harness = start(json!({ "budget": { "day": "0.04" } })).await;
    let reply = submit(&harness).await;
    assert_eq!(reply.refusal(), (402, "budget-exhausted".into(), String::new()));
    let facts = &reply.problem()["facts"];
    assert_eq!((&facts["account"], &facts["left"]), (&json!("tenant_day"), &json!("0.04")));
    assert!(facts["opens"].as_str().unwrap().ends_with('Z'), "{facts}");

    let path = "/v1/tenants/a/budgets/day";
    for changed in [true, false] {
        let topped_up = harness.operator.put(path, json!({ "topped_up": "1.00" })).await.ok();
        assert_eq!(topped_up["changed"], changed);
    }
    assert_eq!(submit(&harness).await.status, 201);
}

#[tokio::test]
async fn a_step_waits_for_money_until_the_account_is_topped_up() {
    let harness = start(json!({ "budget": { "month": "0.13" } })).await;
    let run = submit(&harness).await.ok()["run"].as_str().unwrap().to_owned();
    let worker = harness.worker("w");
    let lease = worker.lease().await;
    let completed = json!({ "output": {}, "cost": "0.06" });
    worker.exchange(0, 0, json!([{ "lease": lease["lease"], "completed": completed }])).await;

    let explained = harness.operator.get(&format!("/v1/tenants/a/runs/{run}/explain")).await.ok();
    let waits = &explained["steps"][0]["waits"];
    assert_eq!(waits["gate"], "budget", "{explained}");
    assert_eq!(
        waits["needs"], "0.08 of the tenant's budget for the month, which has 0.07 left",
        "the report's cost counts, and not the estimate"
    );
    assert!(waits["opens_at"].is_string(), "{waits}");
    let path = "/v1/tenants/a/budgets/month";
    harness.operator.put(path, json!({ "topped_up": "0.01" })).await.ok();
    assert_eq!(worker.lease().await["step"], "second");
}

#[tokio::test]
async fn a_run_that_is_paused_for_money_goes_on_with_a_larger_budget() {
    let harness = start(json!({ "budget": { "run": "0.14", "reserve": "0.01" } })).await;
    let run = submit(&harness).await.ok()["run"].as_str().unwrap().to_owned();
    let worker = harness.worker("w");
    let lease = worker.lease().await;
    let failed = json!({ "class": "x", "retryable": true, "cost": "0.06" });
    worker.exchange(0, 0, json!([{ "lease": lease["lease"], "failed": failed }])).await;
    let lease = worker.lease().await;
    worker.complete(&lease, json!({})).await;
    // It is tried when it could have a slot.
    assert_eq!(worker.exchange(1, 0, json!([])).await["leases"], json!([]));

    let explained = harness.operator.get(&format!("/v1/tenants/a/runs/{run}/explain")).await.ok();
    assert_eq!(explained["run"]["status"], "paused", "{explained}");
    let waits = &explained["steps"][0]["waits"];
    assert_eq!(waits["on"], "money", "{explained}");
    assert_eq!(
        waits["needs"],
        "0.08 of the run's budget, which has 0.02 left: a larger budget, a cheaper model, its output \
         by hand, or the run to be resumed or cancelled"
    );
    let path = format!("/v1/tenants/a/runs/{run}/budget");
    let less = harness.operator.put(&path, json!({ "limit": "0.19" })).await.ok();
    assert_eq!(less["status"], "paused");
    let enough = harness.operator.put(&path, json!({ "limit": "0.20" })).await.ok();
    assert_eq!(enough["status"], "running");
    assert_eq!(worker.lease().await["step"], "second");
}

#[tokio::test]
async fn a_step_waits_for_a_limit_and_says_whose_it_is() {
    let own = json!({ "quotas": { "bureau": [{ "concurrent": { "calls": 1 } }] } });
    let shared = json!({ "limits": [{ "window": { "units": 2, "every": "month" } }] });
    let harness = start(own).await;
    harness.operator.put("/v1/catalog/tools/bureau", shared).await.ok();
    let mut runs = Vec::new();
    for _ in 0..3 {
        runs.push(submit(&harness).await.ok()["run"].as_str().unwrap().to_owned());
    }
    let worker = harness.worker("w");
    let needs = async |run: &str| {
        // It is tried when it could have a slot.
        assert_eq!(worker.exchange(1, 0, json!([])).await["leases"], json!([]));
        let path = format!("/v1/tenants/a/runs/{run}/explain");
        let waits = harness.operator.get(&path).await.ok()["steps"][0]["waits"].clone();
        assert_eq!(waits["gate"], "limit", "{waits}");
        (waits["needs"].as_str().unwrap().to_owned(), waits["opens_at"].is_string())
    };
    let lease = worker.lease().await;
    let (words, opens) = needs(&runs[1]).await;
    let own = "room in the tenant's own quota of tool `bureau`: 1 of 1 calls are under way";
    assert_eq!((words.as_str(), opens), (own, false));
    worker.complete(&lease, json!({})).await;
    // Other steps pass: they call nothing.
    let mut steps = Vec::new();
    for _ in 0..2 {
        let lease = worker.lease().await;
        steps.push(lease["step"].as_str().unwrap().to_owned());
        worker.complete(&lease, json!({})).await;
    }
    steps.sort();
    assert_eq!(steps, ["first", "second"]);
    worker.complete(&worker.lease().await, json!({})).await;
    let (words, opens) = needs(&runs[2]).await;
    let shared = "its turn at the limit of tool `bureau` that all tenants share";
    assert_eq!((words.as_str(), opens), (shared, true));
}

#[tokio::test]
async fn accounts_that_are_not_there_are_refused() {
    let harness = start(json!({ "budget": { "day": "1" } })).await;
    for (path, code) in [
        ("/v1/tenants/a/budgets/month", "no-account"),
        ("/v1/tenants/a/budgets/hour", "no-account"),
        ("/v1/tenants/b/budgets/day", "no-account"),
        ("/v1/tenants/nil/budgets/day", "unknown-tenant"),
        ("/v1/orgs/org/budgets/month", "no-account"),
        ("/v1/orgs/nil/budgets/month", "unknown-org"),
    ] {
        let reply = harness.operator.put(path, json!({ "topped_up": "1" })).await;
        assert_eq!(reply.refusal(), (404, code.into(), String::new()), "{path}");
    }
    harness.operator.put("/v1/orgs/org", json!({ "budget": { "month": "1" } })).await.ok();
    let path = "/v1/orgs/org/budgets/month";
    assert_eq!(harness.operator.put(path, json!({ "forgiven": "1" })).await.ok()["changed"], true);
    let reply = harness.operator.put(path, json!({ "forgiven": "-1", "topped_up": "x" })).await;
    assert_eq!(reply.refusal(), (422, "invalid-value".into(), "/topped_up".into()));
    assert_eq!(reply.problem()["mistakes"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_cost_that_is_no_amount_is_refused_at_its_place() {
    let harness = start(json!({})).await;
    submit(&harness).await.ok();
    let worker = harness.worker("w");
    let lease = worker.lease().await["lease"].clone();
    for (report, pointer) in [
        (json!({ "lease": lease, "completed": { "cost": "free" } }), "/report/0/completed/cost"),
        (
            json!({ "lease": lease, "failed": { "class": "x", "cost": "-1" } }),
            "/report/0/failed/cost",
        ),
    ] {
        let reply = worker.try_exchange(0, 0, json!([report])).await;
        assert_eq!((reply.refusal().0, reply.refusal().2), (422, pointer.to_owned()));
    }
}

#[tokio::test]
async fn a_wrong_budget_of_a_run_is_one_mistake_beside_a_reserve() {
    let harness = Harness::start().await;
    let body = json!({ "budget": { "run": "-1", "reserve": "0.05" } });
    let reply = harness.operator.put("/v1/budget-classes/x", body).await;
    assert_eq!(reply.refusal(), (422, "out-of-range".into(), "/budget/run".into()));
    assert!(reply.problem().get("mistakes").is_none());
}

#[tokio::test]
async fn a_thousand_steps_at_once_against_money_for_fifty_start_exactly_fifty() {
    const ONE: &str = "
workflow: one
version: 1
steps:
  call:
    task: call
    cost: 0.03
";
    let harness = Harness::start_on(StoreKind::Sqlite).await;
    harness.declare().await;
    let operator = &harness.operator;
    let class = json!({ "budget": { "month": "1.50" } });
    operator.put("/v1/budget-classes/basic", class).await.ok();
    operator.put("/v1/tiers/standard", json!({ "weight": 1, "cap": 1000 })).await.ok();
    let tenant = json!({ "org": "org", "tier": "standard", "budget_class": "basic" });
    operator.put("/v1/tenants/a", tenant).await.ok();
    operator.put("/v1/platform/pools/main", json!({ "slots": 1000 })).await.ok();
    harness.workflow("one", ONE).await;
    for _ in 0..10 {
        let runs: Vec<Value> =
            (0..100).map(|_| json!({ "workflow": "one", "input": {} })).collect();
        operator.post("/v1/tenants/a/runs:batch", json!({ "runs": runs })).await.ok();
    }
    let mut asks = JoinSet::new();
    for at in 0..100 {
        let worker = harness.worker(&format!("w{at}"));
        asks.spawn(async move {
            let answer = worker.exchange(10, 0, json!([])).await;
            (worker, answer["leases"].as_array().unwrap().clone())
        });
    }
    let answers = asks.join_all().await;
    assert_eq!(answers.iter().map(|(_, leases)| leases.len()).sum::<usize>(), 50);
    let accounts = harness.operator.get("/v1/tenants/a/budgets").await.ok();
    let month = &accounts["accounts"][1];
    assert_eq!(month["every"], "month");
    assert_eq!((&month["held"], &month["available"]), (&json!("1.50"), &json!("0.00")));

    // One of them cost less than was held: there is money for one more.
    let (holder, leases) = answers.iter().find(|(_, leases)| !leases.is_empty()).unwrap();
    let completed = json!({ "output": {}, "cost": "0.00" });
    let done = json!([{ "lease": leases[0]["lease"], "completed": completed }]);
    let answer = holder.exchange(10, 0, done).await;
    assert_eq!(answer["leases"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn what_is_used_spent_and_left_can_be_read() {
    let own = json!({
        "quotas": { "bureau": [{ "window": { "units": 9, "every": "month" } }] },
        "budget": { "month": "1.00", "run": "0.50" },
    });
    let harness = start(own).await;
    let shared = json!({ "limits": [{ "concurrent": { "calls": 5 } }] });
    harness.operator.put("/v1/catalog/tools/bureau", shared).await.ok();
    let run = submit(&harness).await.ok()["run"].as_str().unwrap().to_owned();
    let worker = harness.worker("w");
    let lease = worker.lease().await;

    let limits = harness.operator.get("/v1/tenants/a/limits").await.ok();
    let limit = &limits["limits"][0];
    assert_eq!(
        (&limit["rule"], &limit["used"], &limit["of"]),
        (&json!("month@UTC"), &json!(1), &json!(9))
    );
    assert_eq!(limits["limits"].as_array().unwrap().len(), 1, "the provider's is not shown");
    let limits = harness.operator.get("/v1/catalog/tools/bureau/limits").await.ok();
    assert_eq!((&limits["limits"][0]["used"], &limits["limits"][0]["of"]), (&json!(1), &json!(5)));

    let money = harness.operator.get(&format!("/v1/tenants/a/runs/{run}/explain")).await.ok();
    assert_eq!(
        money["run"]["money"],
        json!({
            "limit": "0.50", "reserve": "0.00", "posted": "0.00", "uncertain": "0.00", "held": "0.05",
        })
    );
    let completed = json!({ "output": {}, "cost": "0.04" });
    worker.exchange(0, 0, json!([{ "lease": lease["lease"], "completed": completed }])).await;
    let accounts = harness.operator.get("/v1/tenants/a/budgets").await.ok();
    let [day, month] = [0, 1].map(|at| accounts["accounts"][at].clone());
    assert_eq!((&day["posted"], day.get("budget")), (&json!("0.04"), None));
    assert_eq!((&month["posted"], &month["available"]), (&json!("0.04"), &json!("0.96")));
    let org = harness.operator.get("/v1/orgs/org/budgets").await.ok();
    assert_eq!(org["accounts"][0]["posted"], "0.04");
    let run = harness.operator.get(&format!("/v1/tenants/a/runs/{run}")).await.ok();
    assert_eq!(run["run"]["money"]["posted"], "0.04", "{run}");
    assert_eq!(harness.operator.get("/v1/orgs/nil/budgets").await.refusal().0, 404);
    assert_eq!(harness.operator.get("/v1/catalog/tools/nil/limits").await.refusal().0, 404);
}
