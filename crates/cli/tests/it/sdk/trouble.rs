//! Workers in trouble: lost answers, restarts, revoked and lost leases, draining.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use fairlane_api::run::RunStatus;
use fairlane_api::view::WaitingOn;
use fairlane_api::worker::{Exchange, Lease, Receipt};
use fairlane_client::Client;
use fairlane_client::worker::{Context, Worker};
use serde_json::{Value, json};

use super::wire::Wire;
use crate::harness::{Door, Harness, OnDrop, TENANT, from, is_leased, run, step};

/// A worker whose task waits until the door is opened, then answers with its attempt.
fn waiting(client: &Client, door: &Door) -> Worker {
    let door = door.clone();
    Worker::new(client.clone(), "default").slots(4).task(
        "work",
        move |context: Context, _: Value| {
            let open = door.pass();
            async move {
                open.await;
                Ok(context.attempt())
            }
        },
    )
}

#[tokio::test]
async fn a_report_whose_answer_is_lost_is_sent_again_and_counts_once() {
    let harness = Harness::start().await;
    let wire = Wire::to(harness.addr()).await;
    let client = Client::new(&wire.url(), &harness.key).unwrap();
    let door = Door::closed();
    let worker = run(waiting(&client, &door));
    let id = harness.submit(1).await;
    harness.until(&id, is_leased).await;
    wire.lose_answers(3);
    door.open();
    assert_eq!(harness.output(&id).await, json!({ "work": 1 }));
    let next = harness.submit(2).await;
    door.open();
    assert_eq!(harness.output(&next).await, json!({ "work": 1 }), "the first attempt again");
    assert_eq!(wire.left_to_lose(), 0);
    worker.drain().await.unwrap();
}

#[tokio::test]
async fn a_worker_outlives_restarts_of_the_server() {
    let mut harness = Harness::start_durable().await;
    let door = Door::closed();
    let worker = run(waiting(&harness.client, &door));
    for n in 0..3 {
        let id = harness.submit(n).await;
        harness.until(&id, is_leased).await;
        harness = harness.restart().await;
        door.open();
        assert_eq!(harness.output(&id).await, json!({ "work": 1 }), "the lease was still good");
    }
    worker.drain().await.unwrap();
}

#[tokio::test]
async fn what_ends_while_the_server_is_away_is_reported_when_it_is_back() {
    let harness = Harness::start_durable().await;
    let (door, done) = (Door::closed(), Door::closed());
    let (held, says) = (door.clone(), done.clone());
    let worker = Worker::new(harness.client.clone(), "default").slots(2).task(
        "work",
        move |context: Context, _: Value| {
            let (held, says) = (held.pass(), OnDrop(says.clone()));
            async move {
                held.await;
                drop(says);
                Ok(context.attempt())
            }
        },
    );
    let worker = run(worker);
    let ids = [harness.submit(1).await, harness.submit(2).await];
    for id in &ids {
        harness.until(id, is_leased).await;
    }
    let restarting = tokio::spawn(harness.restart());
    for _ in &ids {
        door.open();
        done.pass().await;
    }
    let harness = restarting.await.unwrap();
    for id in &ids {
        assert_eq!(harness.output(id).await, json!({ "work": 1 }));
    }
    worker.drain().await.unwrap();
}

/// A worker that takes the lease of a new run and is never heard of again.
async fn fall_silent(harness: &Harness) -> Lease {
    let exchange: Exchange = from(json!({
        "worker": "silent", "pool": "default", "slots": 100, "want": 1, "wait_ms": 30_000
    }));
    let client = harness.client.clone();
    let asking = tokio::spawn(async move { client.exchange(&exchange).await.unwrap() });
    let id = harness.submit(1).await;
    let lease = asking.await.unwrap().leases.remove(0);
    assert_eq!(lease.run, id);
    lease
}

#[tokio::test]
async fn a_long_task_keeps_its_lease_while_others_lose_theirs() {
    let harness = Harness::start().await;
    harness.pool(json!({ "slots": 10, "lease_ms": 1_500 })).await;
    let (door, begun) = (Door::closed(), Arc::new(AtomicU32::new(0)));
    let (held, count) = (door.clone(), begun.clone());
    let worker = Worker::new(harness.client.clone(), "default").slots(1);
    let worker = run(worker.task("work", move |context: Context, _: Value| {
        count.fetch_add(1, Ordering::SeqCst);
        let open = held.pass();
        async move {
            open.await;
            Ok(context.attempt())
        }
    }));
    let id = harness.submit(0).await;
    harness.until(&id, is_leased).await;
    // Leases that nobody renews run out one after the other meanwhile.
    for _ in 0..2 {
        let lost = fall_silent(&harness).await;
        harness.until(&lost.run, |detail| !is_leased(detail)).await;
        harness.client.cancel(TENANT, &lost.run).await.unwrap();
    }
    assert_eq!(begun.load(Ordering::SeqCst), 1);
    door.open();
    assert_eq!(harness.output(&id).await, json!({ "work": 1 }), "one attempt was enough");
    worker.drain().await.unwrap();
}

#[tokio::test]
async fn a_cancelled_run_s_task_is_dropped() {
    let harness = Harness::start().await;
    let dropped = Door::closed();
    let says = dropped.clone();
    let worker = Worker::new(harness.client.clone(), "default").slots(1);
    let worker = run(worker.task("work", move |_: Context, _: Value| {
        let says = OnDrop(says.clone());
        async move {
            std::future::pending::<()>().await;
            drop(says);
            Ok(())
        }
    }));
    let id = harness.submit(1).await;
    harness.until(&id, is_leased).await;
    harness.client.cancel(TENANT, &id).await.unwrap();
    dropped.pass().await;
    assert_eq!(harness.ended(&id).await.run.status, RunStatus::Cancelled);
    worker.drain().await.unwrap();
}

#[tokio::test]
async fn a_task_that_asks_for_the_end_is_let_tidy_up() {
    let harness = Harness::start().await;
    let (asked, tidy) = (Door::closed(), Door::closed());
    let doors = (asked.clone(), tidy.clone());
    let worker = Worker::new(harness.client.clone(), "default").slots(1);
    let worker = run(worker.task("work", move |context: Context, _: Value| {
        let (asked, tidy) = doors.clone();
        async move {
            let cancelled = context.cancelled();
            asked.open();
            cancelled.await;
            tokio::task::yield_now().await;
            tidy.open();
            Ok("too late")
        }
    }));
    let id = harness.submit(1).await;
    asked.pass().await;
    harness.client.cancel(TENANT, &id).await.unwrap();
    tidy.pass().await;
    assert_eq!(harness.ended(&id).await.run.status, RunStatus::Cancelled);
    worker.drain().await.unwrap();
}

#[tokio::test]
async fn an_attempt_that_takes_too_long_is_stopped_and_tried_again() {
    let harness = Harness::start().await;
    let text = "
workflow: slow
version: 1
steps:
  work:
    task: work
    timeout: { attempt: 300ms }
    retry: { attempts: 20, backoff: 1ms..1ms }
";
    harness.workflow("slow", text).await;
    let worker = Worker::new(harness.client.clone(), "default");
    let worker = run(worker.task("work", |context: Context, _: Value| async move {
        if context.attempt() == 1 {
            std::future::pending::<()>().await;
        }
        Ok(context.attempt())
    }));
    let submit = fairlane_client::Submit::new("slow");
    let submitted = harness.client.submit(TENANT, submit).await.unwrap();
    let output = harness.output(&submitted.run).await;
    assert!(output["work"].as_u64().is_some_and(|attempt| attempt > 1), "{output}");
    worker.drain().await.unwrap();
}

#[tokio::test]
async fn a_lost_lease_s_outcome_is_nobody_s_and_the_next_attempt_counts() {
    let harness = Harness::start().await;
    harness.pool(json!({ "slots": 10, "lease_ms": 300 })).await;
    let lease = fall_silent(&harness).await;
    let worker = Worker::new(harness.client.clone(), "default");
    let worker =
        worker.task("work", |context: Context, _: Value| async move { Ok(context.attempt()) });
    let worker = run(worker);
    let output = harness.output(&lease.run).await;
    assert_eq!(output, json!({ "work": 1 }), "a lost lease costs no attempt");
    let late: Exchange = from(json!({
        "worker": "silent", "pool": "default", "slots": 1,
        "report": [{ "lease": lease.lease, "completed": { "output": "late" } }]
    }));
    let answer = harness.client.exchange(&late).await.unwrap();
    assert_eq!(answer.accepted[0].receipt, Receipt::Stale);
    worker.drain().await.unwrap();
}

#[tokio::test]
async fn draining_finishes_what_runs_reports_it_and_takes_nothing_new() {
    let harness = Harness::start().await;
    let door = Door::closed();
    let worker = run(waiting(&harness.client, &door));
    let ids = [harness.submit(1).await, harness.submit(2).await];
    for id in &ids {
        harness.until(id, is_leased).await;
    }
    let drained = worker.begin_drain();
    door.open();
    door.open();
    drained.await.unwrap().unwrap();
    for id in &ids {
        assert_eq!(harness.output(id).await, json!({ "work": 1 }));
    }
    let late = harness.submit(3).await;
    let detail = harness.client.run(TENANT, &late).await.unwrap();
    let waits = step(&detail).waits.as_ref().unwrap();
    assert_eq!(waits.on, WaitingOn::Gate);
    harness.stop().await;
}

#[tokio::test]
async fn an_idle_worker_drains_at_once() {
    let harness = Harness::start().await;
    let worker = run(waiting(&harness.client, &Door::closed()));
    while harness.client.pool("default").await.unwrap().workers == 0 {}
    worker.drain().await.unwrap();
}
