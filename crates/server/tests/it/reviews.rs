//! Reviews: who sees and decides them, what has no effect, and what becomes of the run.

use serde_json::{Value, json};

use crate::harness::{Client, Harness};

const LOAN: &str = "
workflow: loan
version: 1
steps:
  manual:
    with: { amount: input.amount }
    review:
      pool: underwriters
      form: { type: object, required: [limit], properties: { limit: { type: integer } } }
  decide:
    after: [manual]
    task: decide
    with: { outcome: steps.manual.output.outcome, limit: steps.manual.output.data.limit }
";

async fn start() -> Harness {
    let harness = Harness::start().await;
    declare(&harness).await;
    harness
}

/// Who reviews, and a workflow that has something reviewed.
async fn declare(harness: &Harness) {
    let members = json!([{ "person": "ada" }, { "person": "bob" }]);
    let pool = json!({ "pick": true, "members": members });
    harness.operator.put("/v1/catalog/reviewer-pools/underwriters", pool).await.ok();
    harness.workflow("loan", LOAN).await;
}

/// A review that waits for somebody.
pub(crate) async fn open_one(harness: &Harness) -> Value {
    declare(harness).await;
    harness.submit("loan", json!({ "amount": 7 })).await;
    loop {
        let open = harness.operator.get("/v1/reviews").await.ok();
        if let Some(review) = open["items"].get(0) {
            return review.clone();
        }
        tokio::task::yield_now().await;
    }
}

async fn reviewer(harness: &Harness, person: &str) -> Client {
    harness.client(json!({ "role": "reviewer", "person": person })).await
}

/// The review whose turn it is, once there is one.
async fn next(client: &Client) -> Value {
    loop {
        let reply = client.post("/v1/reviews/next", json!({})).await;
        if reply.status == 200 {
            return reply.ok();
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_decision_of_a_person_is_the_output_of_the_step() {
    let harness = start().await;
    let (ada, bob) = (reviewer(&harness, "ada").await, reviewer(&harness, "bob").await);
    let run = harness.submit("loan", json!({ "amount": 7 })).await;
    let review = next(&ada).await;
    let path = format!("/v1/reviews/{}", review["id"].as_str().unwrap());
    let shown = ada.get(&path).await.ok();
    assert_eq!((&shown["subject"], &shown["run"]), (&json!({ "amount": 7 }), &json!(run)));
    let explained = harness.operator.get(&format!("/v1/tenants/a/runs/{run}/explain")).await.ok();
    let waits = &explained["steps"][0]["waits"];
    assert_eq!((&waits["on"], &waits["pool"]), (&json!("review"), &json!("underwriters")));

    let fence = review["claim"]["fence"].clone();
    let decide = |fence: &Value, digest: &Value, data: Value| json!({ "fence": fence, "digest": digest, "outcome": "approved", "data": data });
    let url = format!("{path}/decide");
    let right = decide(&fence, &review["digest"], json!({ "limit": 5 }));
    let rows = [
        (decide(&json!("1"), &review["digest"], json!({ "limit": 5 })), 409, "stale-fence"),
        (decide(&fence, &json!("0".repeat(64)), json!({ "limit": 5 })), 409, "wrong-digest"),
        (decide(&fence, &review["digest"], json!({ "limit": "5" })), 422, "invalid-form"),
    ];
    for (body, status, code) in rows {
        let refusal = ada.post(&url, body).await.refusal();
        assert_eq!((refusal.0, refusal.1.as_str()), (status, code));
    }
    assert_eq!(bob.post(&url, right.clone()).await.refusal().1, "review-claimed");
    assert_eq!(ada.post(&url, right.clone()).await.ok()["more"], 0);
    assert_eq!(bob.post(&url, right.clone()).await.refusal().1, "unknown-review");
    let again = ada.post(&url, right).await;
    assert_eq!(again.refusal().1, "review-ended");
    let detail = again.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.ends_with("was decided by `ada`: `approved`"), "{detail}");
    // Whoever decided it, or may see all, can still read it; nobody else can.
    for client in [&ada, &harness.operator] {
        let ended = client.get(&path).await.ok();
        assert_eq!((&ended["state"], &ended["outcome"]), (&json!("decided"), &json!("approved")));
        assert_eq!((&ended["step"], &ended["decided_by"]), (&json!("manual"), &json!(["ada"])));
        assert_eq!(ended["subject"], json!({ "amount": 7 }));
    }
    assert_eq!(bob.get(&path).await.refusal().1, "unknown-review");
    let lease = harness.worker("w").lease().await;
    assert_eq!(lease["input"], json!({ "outcome": "approved", "limit": 5 }));
}

#[tokio::test]
async fn a_reviewers_key_opens_nothing_but_what_its_person_may_decide() {
    let harness = start().await;
    let (ada, eve) = (reviewer(&harness, "ada").await, reviewer(&harness, "eve").await);
    harness.submit("loan", json!({ "amount": 7 })).await;
    let review = next(&ada).await;
    let path = format!("/v1/reviews/{}", review["id"].as_str().unwrap());
    assert_eq!(eve.get("/v1/reviews").await.ok()["items"], json!([]));
    let missing = eve.get("/v1/reviews/00000000-0000-0000-0000-000000000000").await.refusal();
    assert_eq!(eve.get(&path).await.refusal(), missing);
    assert_eq!(eve.post_empty(&format!("{path}/claim")).await.refusal(), missing);
    let b = harness.client(json!({ "role": "tenant", "tenant": "b" })).await;
    assert_eq!(b.get(&path).await.refusal(), missing);
    for url in ["/v1/tenants/a/runs", "/v1/tenants", "/v1/workflows", "/v1/platform/pools"] {
        assert_eq!(ada.get(url).await.refusal().0, 403, "{url}");
    }
    // An operator decides as nobody, unless the glass is broken; and says why.
    let body = json!({ "fence": "1", "digest": review["digest"], "outcome": "rejected" });
    assert_eq!(harness.operator.post(&format!("{path}/decide"), body).await.refusal().0, 403);
    let glass = json!({
        "person": "bob", "reason": "ada is ill", "digest": review["digest"],
        "outcome": "rejected", "data": { "limit": 0 },
    });
    let broken = harness.operator.post(&format!("{path}/break-glass"), glass).await;
    assert_eq!(broken.status, 204);
    let log = harness.operator.get("/v1/tenants/a/decisions").await.ok();
    let entries = log["items"].as_array().unwrap();
    assert!(entries.iter().any(|entry| entry["code"] == "review-glass-broken"));
}

#[tokio::test]
async fn regions_take_turns_for_whoever_may_review_in_both() {
    let two = |config: &mut fairlane_server::Config| {
        config.regions = vec!["us-east-1".to_owned(), "eu-west-1".to_owned()];
    };
    let harness = Harness::start_with(two).await;
    harness.declare().await;
    let euro = json!({ "org": "org", "tier": "standard", "data_residency": { "zone": "eu" } });
    harness.operator.put("/v1/tenants/euro", euro).await.ok();
    let pool = json!({ "members": [{ "person": "ada", "region": "eu-west-1" }] });
    harness.operator.put("/v1/catalog/reviewer-pools/underwriters", pool).await.ok();
    harness.workflow("loan", LOAN).await;
    for _ in 0..3 {
        harness.submit("loan", json!({ "amount": 7 })).await;
    }
    let run = json!({ "workflow": "loan", "input": { "amount": 7 } });
    harness.operator.post("/v1/tenants/euro/runs", run).await;
    let ada = reviewer(&harness, "ada").await;
    let open = async || {
        let list = ada.get("/v1/reviews").await.ok();
        list["items"].as_array().unwrap().len()
    };
    while open().await < 4 {
        tokio::task::yield_now().await;
    }
    let mut tenants = Vec::new();
    for _ in 0..4 {
        tenants.push(next(&ada).await["tenant"].as_str().unwrap().to_owned());
    }
    assert_eq!(tenants, ["a", "euro", "a", "a"]);
}

#[tokio::test]
async fn policies_close_reviews_to_people_and_are_named() {
    let harness = start().await;
    let (ada, bob) = (reviewer(&harness, "ada").await, reviewer(&harness, "bob").await);
    harness.submit("loan", json!({ "amount": 7 })).await;
    let review = next(&ada).await;
    let path = format!("/v1/reviews/{}", review["id"].as_str().unwrap());
    let text = r#"forbid (principal == Key::"ada", action == Action::"decide_review", resource);"#;
    let put = harness.operator.put("/v1/catalog/policies/not-ada", json!({ "text": text })).await;
    put.ok();
    let decision = json!({
        "fence": review["claim"]["fence"], "digest": review["digest"], "outcome": "approved",
        "data": { "limit": 5 },
    });
    for reply in [
        ada.post(&format!("{path}/decide"), decision).await,
        ada.post_empty(&format!("{path}/claim")).await,
        ada.get(&path).await,
    ] {
        let (status, code, _) = reply.refusal();
        assert_eq!((status, code.as_str()), (451, "policy-denied"));
        assert!(reply.json()["detail"].as_str().unwrap().contains("`not-ada`"));
    }
    assert_eq!(ada.post("/v1/reviews/next", json!({})).await.status, 204);
    assert_eq!(bob.get(&path).await.ok()["id"], review["id"]);
}

#[tokio::test]
async fn what_a_person_asks_for_in_vain_is_said() {
    let harness = start().await;
    let ada = reviewer(&harness, "ada").await;
    harness.submit("loan", json!({ "amount": 7 })).await;
    let review = next(&ada).await;
    let path = format!("/v1/reviews/{}", review["id"].as_str().unwrap());
    let nowhere = ada.post("/v1/reviews/next", json!({ "pool": "nosuch" })).await;
    assert_eq!(nowhere.refusal(), (422, "unknown-reviewer-pool".into(), "/pool".into()));
    let empty = ada.post(&format!("{path}/comment"), json!({ "text": " " })).await;
    assert_eq!(empty.refusal(), (422, "invalid-value".into(), "/text".into()));
    let unheld = ada.post(&format!("{path}/reassign"), json!({ "to": "bob" })).await;
    assert_eq!(unheld.refusal(), (422, "invalid-value".into(), "/fence".into()));
}
