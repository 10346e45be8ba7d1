//! Reports for operators: budgets over several periods, and workflows whose runs are short of money.

use fairlane_core::calendar::Calendar;
use fairlane_core::cell::change::Change;
use fairlane_core::money::Nano;
use fairlane_core::row::{AccountRow, Owner};
use fairlane_core::time::{Span, Time};
use fairlane_store::Store as _;
use fairlane_store::memory::{Disk, MemoryStore};
use serde_json::{Value, json};

use crate::harness::Harness;

const PAID: &str = "
workflow: paid
version: 1
steps:
  call:
    task: call
    cost: 0.30
  more:
    after: [call]
    task: more
    when: input.more
    cost: 0.30
";

/// Tenant `a` has a budget of 0.50 for a run and 10 for a month, `b` has none.
async fn declare(harness: &Harness) {
    harness.declare().await;
    let operator = &harness.operator;
    let budget = json!({ "run": "0.50", "month": "10", "short": ["fail"] });
    operator.put("/v1/budget-classes/tight", json!({ "budget": budget })).await.ok();
    let tenant = json!({ "org": "org", "tier": "standard", "budget_class": "tight" });
    operator.put("/v1/tenants/a", tenant).await.ok();
    harness.workflow("paid", PAID).await;
}

/// A run of `paid` that has ended, after so many of its steps.
async fn paid(harness: &Harness, more: bool) {
    let run = harness.submit("paid", json!({ "more": more })).await;
    let worker = harness.worker("w");
    worker.complete(&worker.lease().await, json!(1)).await;
    // What it costs is asked when a worker could take it.
    assert_eq!(worker.exchange(1, 0, json!([])).await["leases"], json!([]));
    let events = format!("/v1/tenants/a/runs/{run}/events");
    let ended = harness.operator.get(&events).await;
    assert!(ended.status.is_success());
}

async fn report(harness: &Harness, what: &str) -> Value {
    harness.operator.get(&format!("/v1/platform/reports/{what}")).await.ok()
}

#[tokio::test]
async fn budgets_are_reported_over_the_period_under_way_and_those_before() {
    let disk = Disk::default();
    let harness = Harness::start_with_store(Box::new(MemoryStore::open(&disk))).await;
    declare(&harness).await;
    paid(&harness, false).await;
    let month = report(&harness, "budgets").await["items"][0]["periods"][0].clone();
    let starts: fairlane_api::Timestamp = month["starts_at"].as_str().unwrap().parse().unwrap();
    let before = |days: u64, cents| {
        Change::Account(AccountRow {
            owner: Owner::Tenant("a".parse().unwrap()),
            every: Calendar::Month,
            start: Time(starts.0 - Span::from_secs(days * 86_400).0),
            posted: Nano::from_cents(cents),
            uncertain: Nano::ZERO,
            topped_up: Nano::ZERO,
            forgiven: Nano::ZERO,
        })
    };
    let harness = {
        let mut store = MemoryStore::open(&disk);
        let epoch = store.claim().unwrap();
        store.commit(epoch, &[before(1, 1_200), before(32, 400)]).unwrap();
        harness.restart_with_store(Box::new(MemoryStore::open(&disk))).await
    };

    let page = report(&harness, "budgets?limit=1&periods=3").await;
    let a = &page["items"][0];
    assert_eq!(
        (&a["tenant"], &a["budget"], &page["next"]),
        (&json!("a"), &json!("10.00"), &json!("a"))
    );
    assert_eq!(
        (&a["verdict"], &a["overruns"], &a["complete"]),
        (&json!("overruns"), &json!(1), &json!(2))
    );
    // 1.2 and 0.4: 0.8 in the mean, and each 0.4 away from it.
    assert_eq!((&a["mean_permille"], &a["variance_millionths"]), (&json!(800), &json!(160_000)));
    let posted: Vec<&Value> =
        a["periods"].as_array().unwrap().iter().map(|period| &period["posted"]).collect();
    assert_eq!(posted, ["0.30", "12.00", "4.00"]);
    assert_eq!(a["periods"][1]["over"], "2.00");
    let b = &report(&harness, "budgets?cursor=a&every=day").await["items"][0];
    assert_eq!(
        (&b["tenant"], &b["verdict"], &b["budget"]),
        (&json!("b"), &json!("unbounded"), &Value::Null)
    );
    for query in ["every=hour", "periods=0", "periods=25", "limit=0", "cursor=A"] {
        let refusal = harness.operator.get(&format!("/v1/platform/reports/budgets?{query}")).await;
        assert_eq!(refusal.refusal(), (400, "malformed-request".into(), String::new()), "{query}");
    }
}

#[tokio::test]
async fn workflows_are_reported_whose_runs_are_short_of_money() {
    let harness = Harness::start_on(fairlane_server::StoreKind::Sqlite).await;
    declare(&harness).await;
    for more in [true, false, false] {
        paid(&harness, more).await;
    }
    harness.submit("paid", json!({ "more": false })).await;
    let found = report(&harness, "workflows").await;
    let expected = json!([{
        "workflow": "paid", "version": 1, "runs": 3, "short": 1, "short_permille": 333,
        "halted": 0, "failed": 1, "degraded": 0, "bounded": 3, "median_spent_permille": 600,
    }]);
    assert_eq!(
        (&found["workflows"], &found["cut"], &found["next"]),
        (&expected, &json!(false), &Value::Null)
    );
    assert_eq!(report(&harness, "workflows?tenant=a").await["workflows"], expected);
    for query in ["tenant=b", "cursor=b", "until=2020-01-01T00:00:00Z"] {
        assert_eq!(report(&harness, &format!("workflows?{query}")).await["workflows"], json!([]));
    }
    for (query, code, status) in [
        ("tenant=nil", "unknown-tenant", 404),
        ("cursor=a.b", "malformed-request", 400),
        ("from=2020-01-01T00:00:00Z", "malformed-request", 400),
        ("from=2100-01-01T00:00:00Z", "malformed-request", 400),
    ] {
        let reply = harness.operator.get(&format!("/v1/platform/reports/workflows?{query}")).await;
        assert_eq!(reply.refusal(), (status, code.into(), String::new()), "{query}");
    }
}
