//! The typed client: answers, refusals, and what it does when the server is away.

use std::time::Duration;

use fairlane_api::run::{BatchEntry, Lane, RunStatus};
use fairlane_api::{Code, key};
use fairlane_client::worker::{Context, Worker};
use fairlane_client::{Client, Error, RetryPolicy, RunFilter, Submit};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::wire::Wire;
use crate::harness::{Harness, TENANT, from, run};

fn echo(client: &Client) -> Worker {
    Worker::new(client.clone(), "default")
        .task("work", |_: Context, input: Value| async { Ok(input) })
}

#[tokio::test]
async fn a_run_is_submitted_and_waited_for() {
    let harness = Harness::start().await;
    let worker = run(echo(&harness.client));
    let submit = Submit::new("one").input(&json!({ "n": 7 })).lane(Lane::Urgent);
    let ended = harness.client.submit_and_wait(TENANT, submit).await.unwrap();
    assert_eq!(ended.status, RunStatus::Completed);
    assert_eq!(from::<Value>(ended.output), json!({ "work": { "n": 7 } }));
    worker.drain().await.unwrap();
}

#[tokio::test]
async fn the_same_idempotency_key_is_the_same_run() {
    let harness = Harness::start().await;
    let submit = |n: u32| Submit::new("one").input(&json!({ "n": n })).idempotency_key("k");
    let first = harness.client.submit(TENANT, submit(1)).await.unwrap();
    let second = harness.client.submit(TENANT, submit(1)).await.unwrap();
    assert_eq!((first.run, second.existing), (second.run, true));
    let error = harness.client.submit(TENANT, submit(2)).await.unwrap_err();
    assert_eq!(error.code(), Some(Code::IdempotencyConflict));
}

#[tokio::test]
async fn a_submission_whose_answer_is_lost_is_one_run() {
    let harness = Harness::start().await;
    let wire = Wire::to(harness.addr()).await;
    let client = Client::new(&wire.url(), &harness.key).unwrap();
    wire.lose_answers(2);
    let submitted = client.submit(TENANT, Submit::new("one")).await.unwrap();
    assert_eq!(wire.left_to_lose(), 0);
    assert!(submitted.existing, "the server had it already");
    let runs = harness.client.runs(TENANT, &RunFilter::default()).await.unwrap();
    assert_eq!(runs.items.len(), 1);
}

#[tokio::test]
async fn a_call_that_may_not_be_repeated_says_that_its_answer_is_lost() {
    let harness = Harness::start().await;
    let wire = Wire::to(harness.addr()).await;
    let client = Client::new(&wire.url(), &harness.key).unwrap();
    wire.lose_answers(1);
    let error = client.submit(TENANT, Submit::new("one").without_key()).await.unwrap_err();
    assert!(matches!(error, Error::Broken { .. }), "{error:?}");
    assert!(error.is_unavailable());
}

#[tokio::test]
async fn a_batch_has_a_result_for_each_entry() {
    let harness = Harness::start().await;
    let entry = |workflow: &str| -> BatchEntry { from(json!({ "workflow": workflow })) };
    let entries = vec![entry("one"), entry("none"), entry("one")];
    let answer = harness.client.submit_batch(TENANT, entries).await.unwrap();
    let statuses: Vec<u16> = answer.results.iter().map(|result| result.status).collect();
    assert_eq!((statuses[0], statuses[2]), (201, 201));
    let problem = answer.results[1].problem.as_ref().unwrap();
    assert_eq!(problem.code(), Some(Code::UnknownWorkflow));
}

#[tokio::test]
async fn events_tell_a_run_from_its_state_to_its_end() {
    let harness = Harness::start_durable().await;
    let run_id = harness.submit(1).await;
    let mut events = harness.client.events(TENANT, &run_id).await.unwrap();
    let first = events.next().await.unwrap().expect("the run has not ended");
    assert_eq!(first.status(), RunStatus::Running);
    // The stream goes on over a restart of the server.
    let harness = harness.restart().await;
    let worker = run(echo(&harness.client));
    let mut revision = first.revision();
    let mut status = first.status();
    while let Some(event) = events.next().await.unwrap() {
        assert!(event.revision() >= revision, "{event:?}");
        (revision, status) = (event.revision(), event.status());
    }
    assert_eq!(status, RunStatus::Completed);
    worker.drain().await.unwrap();
}

#[tokio::test]
async fn runs_are_paused_resumed_signalled_cancelled_and_tried_again() {
    let harness = Harness::start().await;
    let client = &harness.client;
    let id = harness.submit(1).await;
    assert_eq!(client.pause(TENANT, &id).await.unwrap().status, RunStatus::Paused);
    assert_eq!(client.resume(TENANT, &id).await.unwrap().status, RunStatus::Running);
    assert_eq!(client.signal(TENANT, &id, "hurry", &1).await.unwrap().status, RunStatus::Running);
    assert_eq!(client.cancel(TENANT, &id).await.unwrap().status, RunStatus::Cancelled);
    let error = client.pause(TENANT, &id).await.unwrap_err();
    assert_eq!(error.code(), Some(Code::WrongStatus));
    assert_eq!(
        client.retry_run(TENANT, &id, Some("work")).await.unwrap().status,
        RunStatus::Running
    );
    assert_eq!(client.explain(TENANT, &id).await.unwrap().steps.len(), 1);
}

#[tokio::test]
async fn a_tenant_s_key_sees_its_tenant_and_no_other() {
    let harness = Harness::start().await;
    let new = key::NewKey { tenant: Some(TENANT.to_owned()), ..key::NewKey::of(key::Role::Tenant) };
    let created = harness.client.create_key(&new).await.unwrap();
    let tenant = Client::new(&harness.url(), &created.secret).unwrap();
    assert_eq!(tenant.tenant(TENANT).await.unwrap().id, TENANT);
    assert_eq!(tenant.readings(TENANT).await.unwrap().tenant, TENANT);
    let foreign = tenant.tenant("other").await.unwrap_err();
    assert_eq!(foreign.status(), Some(404));
    assert_eq!(tenant.tenants().await.unwrap_err().code(), Some(Code::Forbidden));
    harness.client.delete_key(&created.key.id).await.unwrap();
    assert_eq!(tenant.tenant(TENANT).await.unwrap_err().code(), Some(Code::Unauthenticated));
    assert!(harness.client.keys().await.unwrap().iter().all(|key| key.id != created.key.id));
}

#[tokio::test]
async fn declarations_are_read_back_and_lists_are_whole() {
    let harness = Harness::start().await;
    let client = &harness.client;
    assert_eq!(client.orgs().await.unwrap().len(), 1);
    assert_eq!(client.tiers().await.unwrap()[0].cap, 100);
    assert_eq!(client.org("org").await.unwrap().weight, 1);
    assert_eq!(client.tier("standard").await.unwrap().weight, 4);
    assert_eq!(client.pools().await.unwrap()[0].name, "default");
    assert!(client.valve().await.unwrap().open);
    assert_eq!(client.workflows().await.unwrap()[0].name, "one");
    assert_eq!(client.workflow("one", Some(1)).await.unwrap().steps[0].name, "work");
    assert_eq!(client.health().await.unwrap().status, "ok");
    assert_eq!(client.all_readings().await.unwrap().len(), 1);
    client.decisions(Some(TENANT), None, 10).await.unwrap();
    client.decisions(None, None, 10).await.unwrap();
}

#[tokio::test]
async fn a_server_that_cannot_serve_now_is_asked_again_when_it_says() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let busy = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let problem =
            r#"{"type":"t","title":"full","status":503,"code":"store-full","retry_after_ms":1}"#;
        for (status, body) in
            [("503 Busy", problem), ("503 Busy", problem), ("200 OK", r#"{"items":[]}"#)]
        {
            let mut request = vec![0; 4096];
            let read = stream.read(&mut request).await.unwrap();
            assert!(request[..read].starts_with(b"GET /v1/orgs"), "one connection, one call");
            let answer =
                format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    let client = Client::new(&url, "k").unwrap();
    assert_eq!(client.orgs().await.unwrap(), []);
    busy.await.unwrap();
}

#[tokio::test]
async fn a_server_that_is_away_is_an_error_of_its_own() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let client = Client::new(&url, "k").unwrap().with_retry(RetryPolicy::NEVER);
    let error = client.orgs().await.unwrap_err();
    assert!(matches!(error, Error::Connect { .. }) && error.is_unavailable(), "{error:?}");
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let client = Client::new(&url, "k").unwrap().with_retry(RetryPolicy::NEVER);
    let error = client.with_timeout(Duration::from_millis(1)).orgs().await.unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
}

#[tokio::test]
async fn an_answer_that_is_not_the_api_s_is_said_to_be_one() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 4096];
        let _ = stream.read(&mut request).await.unwrap();
        let answer = "HTTP/1.1 404 Not Found\r\ncontent-length: 5\r\n\r\nnginx";
        stream.write_all(answer.as_bytes()).await.unwrap();
    });
    let error = Client::new(&url, "k").unwrap().orgs().await.unwrap_err();
    assert!(matches!(error, Error::Answer { status: 404, .. }), "{error:?}");
}
