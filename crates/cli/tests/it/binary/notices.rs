//! Notices as a user has them: a server that is killed, a receiver that checks what it gets, and the command line.

use std::time::SystemTime;

use fairlane_client::webhook::{Forged, Headers, verify};
use fairlane_fake_provider::{Provider, Received, Reply};
use serde_json::{Value, json};

use super::kill::{dev, free_address};
use super::process::Binary;
use crate::harness::Harness;

/// Looks at something that changes by itself; far more than it takes.
const LOOKS_MAX: usize = 1_000;

/// A receiver that takes everything, unless told otherwise.
async fn receiver() -> Provider {
    let receiver = Provider::start().await.unwrap();
    receiver.always(Reply::status(204));
    receiver
}

fn check(secret: &str, received: &Received, body: &[u8]) -> Result<(), Forged> {
    let header = |name| received.header(name).unwrap();
    let headers = Headers {
        id: header("webhook-id"),
        timestamp: header("webhook-timestamp"),
        signature: header("webhook-signature"),
    };
    verify(&[secret], headers, body, SystemTime::now())
}

/// The list of notices, once it is as it has to become.
async fn listed(binary: &Binary, arguments: &[&str], is: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..LOOKS_MAX {
        let listed = binary.json(&[&["notice", "list"], arguments].concat()).await;
        if is(&listed["items"]) {
            return listed["items"].clone();
        }
    }
    panic!("the notices did not become what they have to");
}

#[tokio::test]
async fn a_notice_outlives_a_server_that_is_killed_before_it_is_delivered() {
    let (binary, receiver, address) = (Binary::alone(), receiver().await, free_address());
    receiver.next(Reply::Silence);
    binary.write("hello.yaml", "workflow: hello\nversion: 1\nsteps:\n  greet: { task: greet }\n");
    let arguments = ["--listen", &address, "-f", "hello.yaml", "--worker"];
    let server = dev(&binary, &arguments).await;
    let there = Binary::at(&server.url, &server.key);
    let url = receiver.url("/");
    let set = ["channel", "set", "ops", "--tenant", "dev", "--webhook", &url, "--allow-private"];
    let secret = there.ok(&[&set[..], &["--event", "run.completed"]].concat()).await;
    let secret = secret.trim();
    there.ok(&["run", "hello", "--tenant", "dev", "--wait"]).await;
    // The receiver has it and says nothing: nobody knows whether it was told.
    receiver.has_received(1).await;
    server.process.kill().await;

    let server = dev(&binary, &["--listen", &address]).await;
    receiver.has_received(2).await;
    let received = receiver.received();
    assert_eq!(received[0].header("webhook-id"), received[1].header("webhook-id"));
    for one in &received {
        assert_eq!(check(secret, one, &one.body), Ok(()));
        assert_eq!(check(secret, one, b"{}"), Err(Forged::Signature));
    }
    let event = received[1].json();
    let link = format!("{}/v1/tenants/dev/runs/{}", server.url, event["run"].as_str().unwrap());
    assert_eq!((&event["type"], &event["link"]), (&json!("run.completed"), &json!(link)));
    let there = Binary::at(&server.url, &server.key);
    listed(&there, &["--tenant", "dev"], |items| items == &json!([])).await;
    assert!(server.process.terminate().await.success());
}

#[tokio::test]
async fn channels_and_notices_are_handled_on_the_command_line() {
    let harness = Harness::start().await;
    let (binary, receiver) = (Binary::of(&harness), receiver().await);
    let url = receiver.url("/hook");
    let set =
        ["channel", "set", "ops", "--webhook", &url, "--allow-private", "--event", "run.failed"];
    let dry = binary.ok(&[&set[..], &["--dry-run"]].concat()).await;
    assert_eq!(dry, "ops could be declared\n");
    let said = binary.run(&set).await;
    let secret = said.stdout.trim().to_owned();
    assert!(secret.starts_with("whsec_"), "{}", said.stdout);
    assert_eq!(said.stderr, "Requests are signed with this secret. It cannot be shown again.\n");
    assert_eq!(binary.ok(&set).await, "ops unchanged\n");
    let rotated = binary.ok(&["channel", "rotate", "ops"]).await;
    assert!(rotated.starts_with("whsec_") && rotated.trim() != secret);

    receiver.next(Reply::status(410));
    let notice = binary.ok(&["channel", "test", "ops"]).await;
    let failed = listed(&binary, &["--state", "failed"], |items| items != &json!([])).await;
    assert_eq!(
        (failed[0]["id"].as_str(), &failed[0]["last"]["status"]),
        (Some(notice.trim()), &json!(410))
    );
    let shown = binary.ok(&["channel", "show", "ops"]).await;
    assert!(shown.contains("gone since") && shown.contains(&url), "{shown}");
    assert_eq!(binary.ok(&set).await, "ops declared\n");
    binary.ok(&["notice", "redeliver", notice.trim()]).await;
    receiver.has_received(2).await;

    let refused = binary
        .run(&["channel", "set", "mail", "--email", "a@b.example", "--event", "run.failed"])
        .await;
    assert!(refused.stderr.contains("no relay for mail"), "{}", refused.stderr);
    let refused = binary
        .run(&["channel", "set", "x", "--webhook", "https://hooks.example", "--event", "run.done"])
        .await;
    assert!(refused.stderr.contains("there is no event `run.done`"), "{}", refused.stderr);
    assert_eq!(binary.ok(&["channel", "delete", "ops"]).await, "ops deleted\n");
    assert_eq!(binary.json(&["channel", "list"]).await, json!([]));
}
