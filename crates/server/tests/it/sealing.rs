//! What rows are sealed with: where it comes from, that it can be renewed, and that nothing works without it.

use fairlane_server::{Config, Server, StoreKind};
use serde_json::json;

use crate::harness::{Harness, free_port};

async fn sealed() -> (Harness, String) {
    let harness = Harness::start_on(StoreKind::Sqlite).await;
    harness.declare().await;
    let run = harness.submit("pair", json!({ "n": 1, "name": "ada-lovelace" })).await;
    (harness, run)
}

fn root_key(harness: &Harness) -> String {
    std::fs::read_to_string(harness.folder().join("root.key")).unwrap()
}

async fn starts(harness: &Harness) -> Result<Server, String> {
    let config = Config::new(harness.folder(), free_port());
    Server::start(config).await.map_err(|error| {
        let source = std::error::Error::source(&error).map(ToString::to_string);
        format!("{error}: {}", source.unwrap_or_default())
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn root_and_tenant_keys_are_renewed_while_the_server_runs() {
    let (harness, run) = sealed().await;
    let before = root_key(&harness);
    let shown = harness.operator.get("/v1/platform/root-key").await.ok();
    assert_eq!(shown["source"], "file");

    let rotated = harness.operator.post_empty("/v1/platform/root-key/rotate").await.ok();
    assert_ne!(rotated["id"], shown["id"]);
    assert_ne!(root_key(&harness), before);
    let keys = root_key(&harness).lines().filter(|line| !line.starts_with('#')).count();
    assert_eq!(keys, 1, "the old one is gone");
    let reply = harness.operator.post_empty("/v1/platform/tenants/a/key/rotate").await;
    assert_eq!(reply.status, 202, "{reply:?}");
    let next = harness.submit("pair", json!({ "n": 2 })).await;

    let harness = harness.restart().await;
    // The steps' inputs are made of the runs', which are read from the store.
    let worker = harness.worker("w");
    for (run, n) in [(run, 1), (next, 2)] {
        let lease = worker.lease().await;
        assert_eq!((&lease["run"], &lease["input"]), (&json!(run), &json!({ "n": n })));
    }
    let log = harness.operator.get("/v1/tenants/a/decisions").await.ok().to_string();
    assert!(log.contains("tenant-key-renewed"), "{log}");
    let log = harness.operator.get("/v1/platform/decisions").await.ok().to_string();
    assert!(log.contains("root-key-renewed"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_root_key_a_server_does_not_start_and_makes_no_new_one() {
    let (harness, run) = sealed().await;
    let file = harness.folder().join("root.key");
    let kept = root_key(&harness);
    let id = harness.operator.get("/v1/platform/root-key").await.ok()["id"].clone();
    let folder = harness.folder().to_owned();
    let harness = {
        let harness = harness.restart().await;
        let copy = tempfile::tempdir().unwrap();
        for entry in std::fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
        }
        std::fs::remove_file(copy.path().join("root.key")).unwrap();
        let config = Config::new(copy.path(), free_port());
        let error = Server::start(config).await.unwrap_err();
        let text = std::error::Error::source(&error).unwrap().to_string();
        assert!(text.contains(id.as_str().unwrap()), "{text}");
        assert!(!copy.path().join("root.key").exists(), "a new one would open nothing");
        harness
    };
    std::fs::write(&file, "0".repeat(64)).unwrap();
    let error = starts(&harness).await.unwrap_err();
    assert!(error.contains("in use"), "the first one runs still: {error}");
    std::fs::write(&file, kept).unwrap();
    let lease = harness.worker("w").lease().await;
    assert_eq!((&lease["run"], &lease["input"]), (&json!(run), &json!({ "n": 1 })));
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_the_operators_to_renew_and_a_store_in_memory_has_none() {
    let (harness, _) = sealed().await;
    let tenant = harness.client(json!({ "role": "tenant", "tenant": "a" })).await;
    for path in ["/v1/platform/root-key/rotate", "/v1/platform/tenants/a/key/rotate"] {
        assert_eq!(tenant.post_empty(path).await.status, 403, "{path}");
    }
    let missing = harness.operator.post_empty("/v1/platform/tenants/nobody/key/rotate").await;
    assert_eq!(missing.json()["code"], "unknown-tenant");

    let harness = Harness::start().await;
    let reply = harness.operator.post_empty("/v1/platform/root-key/rotate").await;
    assert_eq!((reply.status.as_u16(), &reply.json()["code"]), (409, &json!("no-root-key")));
}
