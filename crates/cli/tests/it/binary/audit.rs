//! `fairlane audit`: a log is taken out of a server, and checked without it.

use std::path::Path;

use serde_json::Value;

use super::process::{Binary, Said};
use crate::harness::{Harness, TENANT};

/// Runs a command that needs no server.
async fn alone(args: &[&str]) -> Said {
    Binary::alone().run(args).await
}

async fn exported(harness: &Harness, folder: &Path, args: &[&str]) -> String {
    let binary = Binary::of(harness);
    let file = folder.join("log.jsonl");
    let out = file.to_str().unwrap();
    let said = binary.run(&[&["audit", "export", "--out", out], args].concat()).await;
    assert_eq!(said.code, 0, "{said:?}");
    std::fs::read_to_string(file).unwrap()
}

/// A tenant with some runs, one of which was cancelled.
async fn busy() -> Harness {
    let harness = Harness::start_durable().await;
    for n in 0..3 {
        harness.submit(n).await;
    }
    let run = harness.submit(9).await;
    harness.client.cancel(TENANT, &run).await.unwrap();
    harness
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exported_log_is_checked_without_the_server() {
    let harness = busy().await;
    let folder = tempfile::tempdir().unwrap();
    let key = Binary::of(&harness).run(&["audit", "key"]).await;
    let key = key.stdout.trim();
    let text = exported(&harness, folder.path(), &["--tenant", TENANT]).await;
    assert!(
        text.contains("\"code\":\"admitted\"") && text.contains("\"code\":\"run-cancelled\""),
        "{text}"
    );
    let id = &harness.key.split('_').nth(1).unwrap();
    assert!(text.contains(&format!("\"by\":\"key:{id}\"")), "{text}");
    let platform = exported(&harness, folder.path(), &[]).await;
    assert!(platform.contains("platform@local"), "{platform}");
    harness.stop().await;

    let file = folder.path().join("log.jsonl");
    let file = file.to_str().unwrap();
    let check = async |lines: Vec<String>| {
        std::fs::write(file, lines.join("\n")).unwrap();
        alone(&["audit", "verify", file, "--public-key", key]).await
    };
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let said = check(lines.clone()).await;
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.stdout.starts_with("The log `acme` is as it was written: "), "{said:?}");

    let edited =
        lines.iter().map(|line| line.replacen("\"lane\":\"normal\"", "\"lane\":\"urgent\"", 1));
    let without = lines[..3].iter().chain(&lines[4..]).cloned();
    let mut swapped = lines.clone();
    swapped.swap(2, 3);
    let short = lines[..lines.len() - 2].to_vec();
    for (lines, expected) in [
        (edited.collect(), "was changed"),
        (without.collect(), "record 3 is missing"),
        (swapped, "stands where record"),
        (short, "no checkpoint closes records"),
    ] {
        let said = check(lines).await;
        assert_eq!(said.code, 1, "{said:?}");
        assert!(said.stdout.contains(expected), "{expected}: {said:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_record_is_proven_alone() {
    let harness = busy().await;
    let binary = Binary::of(&harness);
    let key = binary.run(&["audit", "key"]).await.stdout.trim().to_owned();
    let folder = tempfile::tempdir().unwrap();
    exported(&harness, folder.path(), &["--tenant", TENANT]).await;
    let proof = binary.run(&["audit", "prove", "--tenant", TENANT, "2"]).await;
    assert_eq!(proof.code, 0, "{proof:?}");
    let missing = binary.run(&["audit", "prove", "--tenant", TENANT, "99"]).await;
    assert_eq!(missing.code, 3, "{missing:?}");
    assert!(missing.stderr.contains("no record `99`"), "{missing:?}");
    harness.stop().await;

    let file = folder.path().join("proof.json");
    let file = file.to_str().unwrap();
    std::fs::write(file, &proof.stdout).unwrap();
    let said = alone(&["audit", "verify-proof", file, "--public-key", &key]).await;
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.stdout.starts_with("Record 2 of the log `acme`"), "{said:?}");
    let mut changed: Value = serde_json::from_str(&proof.stdout).unwrap();
    changed["code"] = "rejected".into();
    std::fs::write(file, changed.to_string()).unwrap();
    let said = alone(&["audit", "verify-proof", file, "--public-key", &key]).await;
    assert_eq!(said.code, 1, "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_none_and_a_file_that_is_none_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let none = folder.path().join("none");
    let none = none.to_str().unwrap();
    let said = alone(&["audit", "verify", none, "--public-key", "beef"]).await;
    assert_eq!(said.code, 2, "{said:?}");
    assert!(
        said.stderr.contains("--public-key beef") && said.stderr.contains("fairlane audit key"),
        "{said:?}"
    );
    let said = alone(&["audit", "verify", none, "--public-key", &"ab".repeat(32)]).await;
    assert_eq!(said.code, 5, "{said:?}");
    std::fs::write(none, "hello\n").unwrap();
    let said = alone(&["audit", "verify", none, "--public-key", &"ab".repeat(32)]).await;
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.stdout.contains("does not begin like an export"), "{said:?}");
}
