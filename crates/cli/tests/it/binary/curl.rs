//! The worker of the guide, as it stands there, against a real server.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::process::Command;

use super::process::Binary;
use crate::harness::{Harness, TENANT, from};

const GUIDE: &str = include_str!("../../../../../docs/guides/worker-with-curl.md");

/// The first block of the guide in that language.
fn block(language: &str) -> &'static str {
    let start = format!("```{language}\n");
    let (_, rest) = GUIDE.split_once(&start).expect("the guide has such a block");
    rest.split_once("\n```").expect("the block ends").0
}

#[tokio::test]
async fn the_worker_of_the_guide_does_its_work() {
    let harness = Harness::start().await;
    let binary = Binary::of(&harness);
    binary.write("greet.yaml", block("yaml"));
    binary.ok(&["apply", "-f", "greet.yaml"]).await;
    let key = binary.ok(&["key", "create", "worker", "--pool", "default"]).await;
    let mut worker = Command::new("sh")
        .args(["-c", block("sh")])
        .env("FAIRLANE_URL", harness.url())
        .env("FAIRLANE_WORKER_KEY", key.trim())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    for name in ["Ada", "Grace"] {
        let input = json!({ "name": name }).to_string();
        let output =
            binary.ok(&["run", "greeting", "--tenant", TENANT, "--input", &input, "--wait"]).await;
        let output: Value = from(serde_json::from_str::<Value>(&output).unwrap());
        assert_eq!(output, json!({ "greet": { "greeting": format!("Hello {name}") } }));
    }
    worker.kill().await.unwrap();
}
