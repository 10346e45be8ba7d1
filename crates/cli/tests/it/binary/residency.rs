//! A server of two regions: what is an EU tenant's is in the EU store, and nowhere else.

use std::path::Path;

use fairlane_client::worker::{self, TaskError, Worker};
use fairlane_client::{Client, RunFilter, Submit};
use serde_json::{Value, json};

use super::process::Binary;
use crate::harness::{from, run};

const CONFIG: &str = "\
listen = \"127.0.0.1:0\"
data_dir = \"data\"
regions = [\"us-east-1\", \"eu-west-1\"]
";

const DECLARED: &str = "\
orgs: { banks: {} }
tiers: { standard: { weight: 1, cap: 10 } }
pools: { default: { slots: 10 } }
tools:
  bureau: { region: eu-west-1, storage_region: eu-west-1 }
tenants:
  euro: { org: banks, tier: standard, data_residency: { zone: eu }, attributes: { name: planted-attribute } }
  yank: { org: banks, tier: standard, data_residency: { zone: us } }
  any: { org: banks, tier: standard }
";

const WORKFLOW: &str = "\
workflow: check
version: 1
steps:
  first:
    task: first
    with: { applicant: input.applicant }
    retry: { attempts: 2, backoff: 1ms..1ms }
  said:
    wait: { signal: word }
    after: [first]
  second:
    task: second
    after: [said]
    with: { said: steps.said.output, first: steps.first.output }
";

/// What is planted in an EU tenant's work and must be in its store alone: what is looked for in SQL, in the clear.
const PLANTED: [&str; 2] = ["planted-attribute", "planted-key"];
/// The same of what is sealed there.
const SEALED: [&str; 4] = ["planted-input", "planted-output", "planted-failure", "planted-signal"];

/// Fails once with a message, then echoes.
async fn task(context: worker::Context, input: Value) -> Result<Value, TaskError> {
    if context.task() == "first" && context.attempt() == 1 {
        return Err(TaskError::retryable("odd", "planted-failure"));
    }
    Ok(json!({ "echo": input, "made": "planted-output" }))
}

async fn worker_key(binary: &Binary, region: &str) -> String {
    let arguments = ["key", "create", "worker", "--region", region];
    binary.ok(&arguments).await.trim().to_owned()
}

async fn flow(client: &Client, tenant: &str) -> String {
    let submit = Submit::new("check")
        .input(&json!({ "applicant": "planted-input" }))
        .idempotency_key("planted-key");
    let submitted = client.submit(tenant, submit).await.unwrap().run;
    client.signal(tenant, &submitted, "word", &json!("planted-signal")).await.unwrap();
    client.wait(tenant, &submitted).await.unwrap();
    submitted
}

/// The files below a folder with what is in them.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.append(&mut files(&path));
        } else {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            found.push((name, std::fs::read(&path).unwrap()));
        }
    }
    found
}

fn has(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_an_eu_tenants_is_in_the_eu_store_and_nowhere_else() {
    let operator = Binary::alone();
    operator.write("fairlane.toml", CONFIG);
    let mut server = operator.start_logging(&["serve", "--config", "fairlane.toml"], "server.log");
    let url = server.export("FAIRLANE_URL").await;
    let key = server.export("FAIRLANE_KEY").await;
    let binary = Binary::at(&url, &key);
    binary.write("declared.yaml", DECLARED);
    binary.write("check.yaml", WORKFLOW);
    binary.ok(&["apply", "-f", "declared.yaml", "-f", "check.yaml"]).await;
    let client = Client::new(&url, &key).unwrap();
    let region = async |tenant: &str| client.tenant(tenant).await.unwrap().region;
    assert_eq!(region("euro").await, "eu-west-1");
    assert_eq!(region("yank").await, "us-east-1");
    assert_eq!(region("any").await, "us-east-1", "who is bound to nothing is at home");

    let mut workers = Vec::new();
    for region in ["eu-west-1", "us-east-1"] {
        let client = Client::new(&url, &worker_key(&binary, region).await).unwrap();
        let worker = Worker::new(client, "default").task("first", task).task("second", task);
        workers.push(run(worker));
    }
    let european = flow(&client, "euro").await;
    let filter = RunFilter::default();
    assert_eq!(client.runs("euro", &filter).await.unwrap().items.len(), 1);
    assert_eq!(client.runs("yank", &filter).await.unwrap().items.len(), 0);
    for worker in workers {
        worker.drain().await.unwrap();
    }
    // The files as they are, with their logs, and the process as it is told nothing.
    server.kill().await;

    let folder = operator.path("server.log").parent().unwrap().to_owned();
    let (at_home, elsewhere): (Vec<_>, Vec<_>) =
        files(&folder).into_iter().partition(|(name, _)| name.starts_with("eu-west-1."));
    for text in PLANTED {
        assert!(at_home.iter().any(|(_, bytes)| has(bytes, text)), "{text} is kept somewhere");
    }
    for (text, (name, bytes)) in
        SEALED.iter().flat_map(|text| at_home.iter().map(move |file| (text, file)))
    {
        assert!(!has(bytes, text), "{text} is sealed, and stands in the clear in {name}");
    }
    let compact = european.replace('-', "");
    let raw: Vec<u8> = (0..compact.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&compact[at..at + 2], 16).unwrap())
        .collect();
    let holds_run = |bytes: &[u8]| bytes.windows(raw.len()).any(|window| window == raw);
    assert!(at_home.iter().any(|(_, bytes)| holds_run(bytes)), "the run is kept somewhere");
    for (name, bytes) in &elsewhere {
        for text in PLANTED.iter().chain(&SEALED).copied().chain([european.as_str()]) {
            assert!(!has(bytes, text), "{text} is in {name}");
        }
        assert!(!holds_run(bytes), "the run's id is in {name}");
    }
    assert!(elsewhere.iter().any(|(name, bytes)| name == "server.log" && !bytes.is_empty()));
    assert!(elsewhere.iter().any(|(name, _)| name == "us-east-1.db"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_takes_leases_of_the_region_that_its_key_says() {
    let operator = Binary::alone();
    operator.write("fairlane.toml", CONFIG);
    let mut server = operator.start(&["serve", "--config", "fairlane.toml"]);
    let url = server.export("FAIRLANE_URL").await;
    let key = server.export("FAIRLANE_KEY").await;
    let binary = Binary::at(&url, &key);
    binary.write("declared.yaml", DECLARED);
    binary.ok(&["apply", "-f", "declared.yaml"]).await;
    let exchange = async |key: &str, region: Option<&str>| {
        let client = Client::new(&url, key).unwrap();
        let exchange = from(json!({
            "worker": "w", "pool": "default", "slots": 1, "want": 1, "region": region
        }));
        match client.exchange(&exchange).await {
            Ok(_) => "taken".to_owned(),
            Err(error) => error.to_string(),
        }
    };
    let european = worker_key(&binary, "eu-west-1").await;
    assert_eq!(exchange(&european, None).await, "taken");
    let refused = exchange(&european, Some("us-east-1")).await;
    assert!(refused.contains("eu-west-1"), "{refused}");
    let nowhere = binary.ok(&["key", "create", "worker"]).await;
    let refused = exchange(nowhere.trim(), None).await;
    assert!(refused.contains("in which region"), "a worker that is nowhere is outside: {refused}");
    let said = binary.run(&["key", "create", "worker", "--region", "moon-1"]).await;
    assert!(said.code != 0 && said.stderr.contains("moon-1"), "{}", said.stderr);
    server.kill().await;
}
