//! The event stream of a run.

use http_body_util::BodyExt;
use hyper::Method;
use hyper::body::Incoming;
use serde_json::{Value, json};

use crate::harness::Harness;

struct Stream {
    body: Incoming,
    text: String,
}

impl Stream {
    async fn open(harness: &Harness, run: &str, last: Option<u64>) -> Self {
        let path = format!("/v1/tenants/a/runs/{run}/events");
        let mut request = harness.operator.request(Method::GET, &path, "");
        if let Some(last) = last {
            request.headers_mut().insert("last-event-id", last.into());
        }
        let (status, headers, body) = harness.operator.open(request).await;
        assert_eq!(
            (status.as_u16(), headers["content-type"].as_bytes()),
            (200, &b"text/event-stream"[..])
        );
        Self { body, text: String::new() }
    }

    /// Name, id and data of the next event; `None` at the end.
    async fn next(&mut self) -> Option<(String, u64, Value)> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    let line = event.lines().find_map(|line| line.strip_prefix(name));
                    line.unwrap_or_default().to_owned()
                };
                let parsed = (
                    field("event: "),
                    field("id: ").parse().unwrap(),
                    serde_json::from_str(&field("data: ")).unwrap(),
                );
                self.text = rest.to_string();
                return Some(parsed);
            }
            let frame = self.body.frame().await?.unwrap();
            self.text.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
        }
    }
}

#[tokio::test]
async fn a_stream_starts_with_a_snapshot_and_ends_with_the_run() {
    let harness = Harness::start().await;
    let run = harness.submit("pair", json!({ "n": 1 })).await;
    let mut stream = Stream::open(&harness, &run, None).await;
    let (name, mut revision, snapshot) = stream.next().await.unwrap();
    assert_eq!((name.as_str(), &snapshot["run"]["status"]), ("snapshot", &json!("running")));
    assert_eq!(snapshot["steps"].as_array().unwrap().len(), 2);
    let worker = harness.worker("w");
    let working = tokio::spawn(async move { worker.echo(2).await });
    let mut phases = Vec::new();
    let mut status = Value::Null;
    while let Some((name, id, event)) = stream.next().await {
        assert_eq!(name, "change");
        assert!(id > revision, "{id} after {revision}");
        revision = id;
        status = event["status"].clone();
        if let Some(step) = event.get("step") {
            phases.push(format!(
                "{} {}",
                step["name"].as_str().unwrap(),
                step["phase"].as_str().unwrap()
            ));
        }
    }
    working.await.unwrap();
    assert_eq!(status, "completed");
    assert_eq!(phases, ["first leased", "first done", "second leased", "second done"]);

    let mut late = Stream::open(&harness, &run, None).await;
    let (name, _, snapshot) = late.next().await.unwrap();
    assert_eq!((name.as_str(), &snapshot["run"]["status"]), ("snapshot", &json!("completed")));
    assert!(late.next().await.is_none());
    let mut seen = Stream::open(&harness, &run, Some(revision)).await;
    assert!(seen.next().await.is_none(), "there is nothing that this client has not seen");
}

#[tokio::test]
async fn a_client_that_comes_back_gets_what_it_missed() {
    let harness = Harness::start().await;
    let run = harness.submit("pair", json!({ "n": 1 })).await;
    let (_, revision, _) = Stream::open(&harness, &run, None).await.next().await.unwrap();
    let mut back = Stream::open(&harness, &run, Some(revision)).await;
    let worker = harness.worker("w");
    let lease = worker.lease().await;
    let (name, id, _) = back.next().await.unwrap();
    assert_eq!((name.as_str(), id > revision), ("change", true));
    drop(back);
    worker.complete(&lease, json!({ "n": 1 })).await;
    let mut late = Stream::open(&harness, &run, Some(id)).await;
    assert_eq!(late.next().await.unwrap().0, "snapshot");
}

#[tokio::test]
async fn a_stopping_server_ends_its_streams() {
    let harness = Harness::start().await;
    let run = harness.submit("pair", json!({ "n": 1 })).await;
    let mut stream = Stream::open(&harness, &run, None).await;
    stream.next().await.unwrap();
    harness.server.stop().await;
    assert!(stream.next().await.is_none());
}

#[tokio::test]
async fn streams_that_their_clients_left_do_not_count_against_the_tenant() {
    let harness = Harness::start().await;
    let run = harness.submit("pair", json!({ "n": 1 })).await;
    // More than a tenant may have at a time.
    for _ in 0..1_100 {
        Stream::open(&harness, &run, None).await.next().await.unwrap();
    }
    let missing = "0190b6c2-7a1e-7cc3-98c4-dc0c0c07398f";
    for _ in 0..1_100 {
        let reply = harness.operator.get(&format!("/v1/tenants/a/runs/{missing}/events")).await;
        assert_eq!(reply.refusal().1, "unknown-run");
    }
}
