//! Servers as processes: started, stopped, killed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use fairlane_client::worker::{Context, Worker};
use fairlane_client::{Client, Submit};
use serde_json::{Value, json};

use super::process::{Binary, Started};
use crate::harness::{from, run};

/// A port that was free a moment ago, so that a server can come back to it.
pub(super) fn free_address() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

/// A development server, and what it said of itself.
pub(super) struct Dev {
    pub(super) process: Started,
    pub(super) url: String,
    pub(super) key: String,
    worker_key: String,
    tenant: String,
}

pub(super) async fn dev(binary: &Binary, arguments: &[&str]) -> Dev {
    let mut process = binary.start(&[&["dev"], arguments].concat());
    let url = process.export("FAIRLANE_URL").await;
    let key = process.export("FAIRLANE_KEY").await;
    let worker_key = process.export("FAIRLANE_WORKER_KEY").await;
    let tenant = process.export("FAIRLANE_TENANT").await;
    Dev { process, url, key, worker_key, tenant }
}

#[tokio::test]
async fn a_development_server_is_ready_keeps_its_keys_and_stops_on_sigterm() {
    let binary = Binary::alone();
    binary.write("hello.yaml", "workflow: hello\nversion: 1\nsteps:\n  greet: { task: greet }\n");
    let arguments = ["--listen", "127.0.0.1:0", "-f", "hello.yaml", "--worker"];
    let first = dev(&binary, &arguments).await;
    assert_eq!(first.tenant, "dev");
    let there = Binary::at(&first.url, &first.key);
    there.ok(&["run", "hello", "--tenant", "dev", "--wait"]).await;
    there.ok(&["tenant", "put", "acme", "--org", "dev", "--tier", "dev"]).await;
    assert!(first.process.terminate().await.success());
    let second = dev(&binary, &["--listen", "127.0.0.1:0"]).await;
    assert_eq!((second.key, second.worker_key), (first.key, first.worker_key));
    assert_eq!(second.tenant, "dev", "the one that it was given, whatever else there is");
    assert!(second.process.terminate().await.success());
}

#[tokio::test]
async fn serve_reads_its_file_and_shows_the_first_key_once() {
    let binary = Binary::alone();
    binary.write("fairlane.toml", "listen = \"127.0.0.1:0\"\ndata_dir = \"data\"\n");
    let mut server = binary.start(&["serve", "--config", "fairlane.toml"]);
    let url = server.export("FAIRLANE_URL").await;
    let key = server.export("FAIRLANE_KEY").await;
    Binary::at(&url, &key).ok(&["tenant", "list"]).await;
    let other = binary.run(&["serve", "--config", "fairlane.toml"]).await;
    assert_eq!(other.code, 5, "two servers do not share a store: {}", other.stderr);
    assert!(server.terminate().await.success());
}

#[tokio::test]
async fn a_wrong_configuration_is_said_and_nothing_starts() {
    let binary = Binary::alone();
    binary.write("fairlane.toml", "lisen = \"127.0.0.1:0\"\n");
    let said = binary.run(&["serve", "--check", "--config", "fairlane.toml"]).await;
    assert_eq!(said.code, 1, "the file has a mistake");
    assert!(said.stderr.contains("unknown field `lisen`"), "{}", said.stderr);
    let said = binary.run(&["serve", "--config", "fairlane.toml"]).await;
    assert_eq!(said.code, 5, "{}", said.stderr);
    binary.write("good.toml", "listen = \"127.0.0.1:0\"\n");
    let checked = binary.json(&["serve", "--check", "--config", "good.toml"]).await;
    assert_eq!(checked["mistakes"], json!([]));
    let said = binary.run(&["serve", "--check", "--config", "none.toml"]).await;
    assert!(said.code == 5 && said.stderr.contains("none.toml"), "{}", said.stderr);
}

/// What the worker did: how often it finished each input.
type Record = Arc<Mutex<BTreeMap<u64, u32>>>;

fn recording(client: &Client, record: &Record) -> Worker {
    let record = record.clone();
    Worker::new(client.clone(), "default").slots(8).task(
        "count",
        move |_: Context, input: Value| {
            let record = record.clone();
            async move {
                for _ in 0..input["n"].as_u64().unwrap_or_default() % 50 {
                    tokio::task::yield_now().await;
                }
                *record
                    .lock()
                    .unwrap()
                    .entry(input["n"].as_u64().unwrap_or_default())
                    .or_default() += 1;
                Ok(input["n"].clone())
            }
        },
    )
}

#[tokio::test]
async fn a_killed_server_loses_nothing_and_a_worker_goes_on_with_the_next_one() {
    let binary = Binary::alone();
    let address = free_address();
    binary.write(
        "pair.yaml",
        "workflow: pair\nversion: 1\nsteps:\n  one: { task: count, with: { n: input.n } }\n\
         \x20 two: { after: one, task: count, with: { n: steps.one.output + 1000 } }\n",
    );
    let mut server = dev(&binary, &["--listen", &address, "-f", "pair.yaml"]).await;
    let client = Client::new(&server.url, &server.key).unwrap();
    let record = Record::default();
    let worker = run(recording(&Client::new(&server.url, &server.worker_key).unwrap(), &record));
    let mut acknowledged = BTreeMap::new();
    for round in 0..4_u64 {
        for n in round * 25..round * 25 + 25 {
            let submit = Submit::new("pair").input(&json!({ "n": n }));
            acknowledged.insert(n, client.submit("dev", submit).await.unwrap().run);
        }
        server.process.kill().await;
        server = dev(&binary, &["--listen", &address]).await;
    }
    for (n, id) in &acknowledged {
        client.wait("dev", id).await.unwrap();
        let output: Value = from(client.run_output("dev", id).await.unwrap());
        assert_eq!(output, json!({ "two": n + 1000 }), "run {id}");
    }
    worker.drain().await.unwrap();
    // Executed at least once; recorded once, or an output would have been another.
    let executed = record.lock().unwrap().len();
    assert_eq!(executed, 2 * acknowledged.len());
    assert!(server.process.terminate().await.success());
}
