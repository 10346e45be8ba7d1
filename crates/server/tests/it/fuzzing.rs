//! Every operation is asked in the ways that the document allows, and in ways that it does not: no answer is a failure
//! of the server, and each has the form that the document gives it.
//!
//! Schemathesis makes up the requests, `tests/clients/fuzzing.py` says which.

use std::process::Command;

use fairlane_fake_provider::Reply as Says;
use serde_json::{Value, json};

use crate::gateway::Gateway;
use crate::harness::{Client, Harness};
use crate::python;

/// The same requests are made up from the same seed by the same versions only.
const SCHEMATHESIS: &str = include_str!("../clients/fuzzing.txt");
/// Requests of one operation in each phase that makes them up at random; the others follow from the document.
const EXAMPLES: u32 = 10;

/// A task that a worker does, and then people are asked.
const ASKED: &str = "
workflow: asked
version: 1
steps:
  first:
    task: first
  ask:
    after: [first]
    with: { n: input.n }
    review: { pool: people }
";

const FORBID: &str =
    r#"forbid (principal, action == Action::"call_tool", resource == Tool::"mail");"#;

#[tokio::test(flavor = "multi_thread")]
async fn what_an_operator_asks_is_answered_as_the_document_says() {
    let gateway = started().await;
    ask(&gateway, &gateway.harness.operator).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_tenant_asks_is_answered_as_the_document_says() {
    let gateway = started().await;
    ask(&gateway, &gateway.tenant).await;
}

/// A server with a store, and on it something of each kind.
async fn started() -> Gateway {
    let gateway = Gateway::on(Harness::start_with(|config| config.drain_ms = 200).await).await;
    gateway.eu.always(Says::answer("one two three"));
    gateway.us.always(Says::answer("one two three"));
    gateway.budget("1000", &[]).await;
    let harness = &gateway.harness;
    // Nobody answers there, so that what is to be told stays.
    let hook = json!({ "url": "http://127.0.0.1:1/hook", "allow_private": true });
    let rows = [
        ("catalog/regions/dublin", json!({ "country": "IE", "label": "Ireland" })),
        ("catalog/zones/union", json!({ "countries": ["IE"] })),
        (
            "catalog/adequacy/JP",
            json!({ "decisions": [{ "name": "x", "from": "2019-01-23T00:00:00Z" }] }),
        ),
        ("catalog/policies/mail", json!({ "text": FORBID })),
        (
            "catalog/reviewer-pools/people",
            json!({ "pick": true, "members": [{ "person": "ada" }] }),
        ),
        ("tenants/a/channels/hook", json!({ "events": ["run.completed"], "webhook": hook })),
    ];
    for (path, body) in rows {
        harness.operator.put(&format!("/v1/{path}"), body).await.ok();
    }
    harness.workflow("asked", ASKED).await;
    for workflow in ["pair", "asked", "asked"] {
        harness.submit(workflow, json!({ "n": 1 })).await;
    }
    harness.worker("w").echo(3).await;
    harness.operator.post("/v1/tenants/a/erasures", json!({ "subject": "nobody" })).await.ok();
    gateway
}

/// What exists, by the names that paths and bodies have for it.
async fn names(operator: &Client) -> Value {
    json!({
        "adequacy": ["JP"],
        "channel": ["hook"],
        "class": ["tight"],
        "country": ["JP"],
        "erasure": ids(operator, "/v1/tenants/a/erasures").await,
        "every": ["day", "month"],
        "model": ["reasoner"],
        "notice": ids(operator, "/v1/tenants/a/notices").await,
        "org": ["org"],
        "policy": ["mail"],
        "pool": ["main", "people"],
        "price": ["large", "small"],
        "region": ["dublin"],
        "review": ids(operator, "/v1/reviews").await,
        "run": ids(operator, "/v1/tenants/a/runs").await,
        "tenant": ["a", "b"],
        "tier": ["standard"],
        "tool": ["eu", "us"],
        "workflow": ["asked", "pair"],
        "zone": ["union"],
    })
}

/// The ids of what is listed there, once there is something.
async fn ids(operator: &Client, path: &str) -> Vec<String> {
    loop {
        let page = operator.get(path).await.ok();
        let items = page["items"].as_array().unwrap();
        if !items.is_empty() {
            return items.iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect();
        }
        tokio::task::yield_now().await;
    }
}

async fn ask(gateway: &Gateway, client: &Client) {
    let variables = [
        ("FUZZING_URL", format!("http://{}", client.addr)),
        ("FUZZING_KEY", client.key.clone().unwrap()),
        ("FUZZING_NAMES", names(&gateway.harness.operator).await.to_string()),
        ("FUZZING_EXAMPLES", EXAMPLES.to_string()),
    ];
    // What it leaves behind is left where the server's files are.
    let folder = gateway.harness.folder().to_owned();
    let ran = tokio::task::spawn_blocking(move || {
        let mut python = Command::new(python::with(SCHEMATHESIS));
        python::run(python.arg(python::script("fuzzing.py")).envs(variables).current_dir(folder))
    });
    let said = ran.await.unwrap();
    assert!(said.contains("No issues found"), "{said}");
}
