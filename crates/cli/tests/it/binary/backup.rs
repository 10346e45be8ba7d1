//! `fairlane backup` and `restore`: a drill, while the server runs and after it is lost.

use fairlane_api::run::RunStatus;
use fairlane_client::Client;
use fairlane_client::worker::{Context, Worker};
use fairlane_server::{Config, Server};
use serde_json::{Value, json};

use super::process::{Binary, Said};
use crate::harness::{Harness, Running, TENANT, run};

async fn ok(args: &[&str]) -> Said {
    let said = Binary::alone().run(args).await;
    assert_eq!(said.code, 0, "{said:?}");
    said
}

/// A worker whose tasks put out what they are given.
fn echo(client: &Client) -> Running {
    let worker = Worker::new(client.clone(), "default");
    run(worker.task("work", |_: Context, input: Value| async move { Ok(input) }))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_before_a_backup_is_there_after_the_server_was_lost() {
    let harness = Harness::start_durable().await;
    let done = harness.submit(1).await;
    let work = echo(&harness.client);
    harness.ended(&done).await;
    work.drain().await.unwrap();
    let waiting = harness.submit(2).await;

    let place = tempfile::tempdir().unwrap();
    let path = |name: &str| place.path().join(name).to_str().unwrap().to_owned();
    let (out, lost, again) =
        (path("backup"), harness.folder().to_str().unwrap().to_owned(), path("data"));
    let said = ok(&["backup", &out, "--data-dir", &lost, "--json"]).await;
    let description: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(description["regions"][0]["live"], 1, "{description}");
    assert!(said.stderr.contains("root key is not in it"), "{said:?}");
    let later = harness.submit(3).await;
    let key = harness.key.clone();
    std::fs::create_dir(&again).unwrap();
    std::fs::copy(harness.folder().join("root.key"), path("data/root.key")).unwrap();
    harness.stop().await;

    ok(&["restore", &out, "--check"]).await;
    ok(&["restore", &out, "--data-dir", &again]).await;
    let said = Binary::alone().run(&["restore", &out, "--data-dir", &again]).await;
    assert_eq!(said.code, 5, "{said:?}");
    assert!(said.stderr.contains("is there already"), "{said:?}");

    let server = Server::start(Config::new(&again, ([127, 0, 0, 1], 0).into())).await.unwrap();
    let url = format!("http://{}", server.addr());
    let client = Client::new(&url, &key).unwrap();
    assert_eq!(client.run(TENANT, &done).await.unwrap().run.status, RunStatus::Completed);
    assert_eq!(client.run(TENANT, &waiting).await.unwrap().run.status, RunStatus::Running);
    client.run(TENANT, &later).await.expect_err("it came after the backup");
    let work = echo(&client);
    client.wait(TENANT, &waiting).await.unwrap();
    let output = client.run_output(TENANT, &waiting).await.unwrap();
    assert_eq!(
        serde_json::to_value(&output).unwrap(),
        json!({ "work": { "n": 2 } }),
        "what it was submitted with"
    );
    work.drain().await.unwrap();
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_backup_and_what_has_another_key_is_named() {
    let harness = Harness::start_durable().await;
    harness.submit(1).await;
    let place = tempfile::tempdir().unwrap();
    let path = |name: &str| place.path().join(name).to_str().unwrap().to_owned();
    let (out, data) = (path("backup"), harness.folder().to_str().unwrap().to_owned());
    ok(&["backup", &out, "--data-dir", &data]).await;

    let said = Binary::alone().run(&["backup", &out, "--data-dir", &data]).await;
    assert_eq!(said.code, 5, "what is there is not written over: {said:?}");
    let said = Binary::alone().run(&["backup", &path("other"), "--data-dir", &path("none")]).await;
    assert_eq!(said.code, 5, "{said:?}");
    assert!(!place.path().join("other").exists());
    let said = Binary::alone().run(&["restore", &path("none")]).await;
    assert!(said.code == 5 && said.stderr.contains("is no backup"), "{said:?}");
    // Without the root key that it was sealed with.
    let said = Binary::alone().run(&["restore", &out, "--data-dir", &path("new")]).await;
    assert!(said.code == 5 && said.stderr.contains("root key"), "{said:?}");
    assert!(!place.path().join("new/local.db").exists());
    std::fs::write(place.path().join("backup/local.db"), "hello").unwrap();
    let said = Binary::alone().run(&["restore", &out, "--check"]).await;
    assert!(said.code == 5 && said.stderr.contains("damaged"), "{said:?}");
}
