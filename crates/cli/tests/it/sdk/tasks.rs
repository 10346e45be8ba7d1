//! Tasks: inputs and outputs, failures of every kind, slots.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use fairlane_api::Code;
use fairlane_api::run::{RunDetail, RunStatus};
use fairlane_client::Write;
use fairlane_client::worker::{Context, Error, TaskError, Worker, class};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::harness::{Door, Harness, TENANT, run, step};

#[derive(Deserialize)]
struct Input {
    n: u32,
}

#[derive(Serialize)]
struct Answer {
    doubled: u32,
    tenant: String,
    attempt: u32,
}

fn worker(harness: &Harness) -> Worker {
    Worker::new(harness.client.clone(), "default")
}

fn failure(detail: &RunDetail) -> (&str, &str) {
    let failure = step(detail).failure.as_ref().expect("the step failed");
    (&failure.class, &failure.message)
}

#[tokio::test]
async fn a_task_is_an_async_function_of_typed_values() {
    let harness = Harness::start().await;
    let worker = run(worker(&harness).task("work", |context: Context, input: Input| async move {
        assert_eq!((context.step(), context.task(), context.workflow()), ("work", "work", "one"));
        assert_eq!(context.attributes::<Value>()?, json!({}));
        let tenant = context.tenant().to_owned();
        Ok(Answer { doubled: input.n * 2, tenant, attempt: context.attempt() })
    }));
    let output = harness.output(&harness.submit(21).await).await;
    assert_eq!(output, json!({ "work": { "doubled": 42, "tenant": TENANT, "attempt": 1 } }));
    worker.drain().await.unwrap();
}

#[tokio::test]
async fn a_task_has_an_address_and_a_key_to_call_models_with() {
    let harness = Harness::start().await;
    let worker = run(worker(&harness).task("work", |context: Context, _: Input| async move {
        let is_token = context.gateway_token().is_some_and(|token| token.starts_with("fll_"));
        Ok((is_token, context.gateway_url().to_owned()))
    }));
    let output = harness.output(&harness.submit(1).await).await;
    let url = format!("http://{}/v1", harness.client.address());
    assert_eq!(output, json!({ "work": [true, url] }));
    worker.drain().await.unwrap();
}

#[tokio::test]
async fn a_failed_attempt_is_tried_again_if_it_may_be() {
    let harness = Harness::start().await;
    let worker = run(worker(&harness).task("work", |context: Context, input: Input| async move {
        match (input.n, context.attempt()) {
            (0, _) => Err(TaskError::fatal("hopeless", "no")),
            (_, 1) => Err(TaskError::retryable("bureau-away", "503")),
            (_, 2) => {
                let number: u32 = "x".parse()?;
                Ok(number)
            }
            (n, attempt) => Ok(n * attempt),
        }
    }));
    assert_eq!(harness.output(&harness.submit(5).await).await, json!({ "work": 15 }));
    let detail = harness.ended(&harness.submit(0).await).await;
    assert_eq!((failure(&detail), step(&detail).attempt), (("hopeless", "no"), 1));
    worker.drain().await.unwrap();
}

#[tokio::test]
async fn a_panic_is_a_failed_attempt_and_the_worker_goes_on() {
    let harness = Harness::start().await;
    let worker = run(worker(&harness).task("work", |context: Context, input: Input| async move {
        assert!(context.attempt() > 1, "the first attempt of {} fails", input.n);
        Ok(input.n)
    }));
    assert_eq!(harness.output(&harness.submit(3).await).await, json!({ "work": 3 }));
    worker.drain().await.unwrap();
}

#[tokio::test]
async fn a_panic_before_the_future_is_a_failed_attempt_too() {
    let harness = Harness::start().await;
    let worker = run(worker(&harness).task("work", |context: Context, _: Input| {
        assert!(context.attempt() > 3, "before the future");
        async { Ok(()) }
    }));
    let detail = harness.ended(&harness.submit(3).await).await;
    assert_eq!((failure(&detail), step(&detail).attempt), ((class::PANIC, "before the future"), 3));
    worker.drain().await.unwrap();
}

#[tokio::test]
async fn a_task_that_the_worker_does_not_have_fails_as_unknown() {
    let harness = Harness::start().await;
    let worker = run(worker(&harness).task("other", |_: Context, _: Value| async { Ok(()) }));
    let detail = harness.ended(&harness.submit(1).await).await;
    assert_eq!(failure(&detail), (class::UNKNOWN_TASK, "this worker has no task \"work\""));
    worker.drain().await.unwrap();
}

#[tokio::test]
async fn an_input_of_another_type_fails_for_good() {
    let harness = Harness::start().await;
    let worker = run(worker(&harness).task("work", |_: Context, _: Vec<u32>| async { Ok(()) }));
    let detail = harness.ended(&harness.submit(1).await).await;
    assert_eq!((failure(&detail).0, step(&detail).attempt), (class::INVALID_INPUT, 1));
    worker.drain().await.unwrap();
}

#[tokio::test]
async fn an_output_that_the_server_cannot_read_fails_alone() {
    let harness = Harness::start().await;
    let worker =
        run(worker(&harness).slots(8).task("work", |_: Context, input: Input| async move {
            let nest = |value, _| json!([value]);
            Ok((0..if input.n == 0 { 100 } else { 1 }).fold(json!(input.n), nest))
        }));
    let bad = harness.submit(0).await;
    let good = harness.submit(1).await;
    assert_eq!(harness.output(&good).await, json!({ "work": [1] }));
    let detail = harness.ended(&bad).await;
    assert_eq!(failure(&detail).0, class::OUTPUT_NOT_TAKEN);
    worker.drain().await.unwrap();
}

#[tokio::test]
async fn no_more_tasks_run_at_once_than_there_are_slots() {
    let harness = Harness::start().await;
    let (at_once, most) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let counted = (at_once.clone(), most.clone());
    let worker = run(worker(&harness).slots(3).task("work", move |_: Context, _: Input| {
        let (at_once, most) = counted.clone();
        async move {
            most.fetch_max(at_once.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
            at_once.fetch_sub(1, Ordering::SeqCst);
            Ok(())
        }
    }));
    let mut runs = Vec::new();
    for n in 0..40 {
        runs.push(harness.submit(n).await);
    }
    for run in &runs {
        harness.output(run).await;
    }
    assert!(most.load(Ordering::SeqCst) <= 3, "{most:?}");
    worker.drain().await.unwrap();
}

#[tokio::test]
async fn free_slots_go_on_asking_while_a_task_takes_long() {
    let harness = Harness::start().await;
    let door = Door::closed();
    let held = door.clone();
    let worker = run(worker(&harness).slots(2).task("work", move |_: Context, input: Input| {
        let held = held.pass();
        async move {
            if input.n == 0 {
                held.await;
            }
            Ok(input.n)
        }
    }));
    let long = harness.submit(0).await;
    for n in 1..5 {
        assert_eq!(harness.output(&harness.submit(n).await).await, json!({ "work": n }));
    }
    door.open();
    assert_eq!(harness.output(&long).await, json!({ "work": 0 }));
    worker.drain().await.unwrap();
}

#[tokio::test]
async fn a_worker_that_the_server_refuses_says_so() {
    let harness = Harness::start().await;
    let nothing = |_: Context, (): ()| async { Ok(()) };
    let elsewhere = Worker::new(harness.client.clone(), "nowhere").task("work", nothing);
    let error = run(elsewhere).ended().await.unwrap_err();
    assert!(
        matches!(&error, Error::Refused(error) if error.code() == Some(Code::UnknownPool)),
        "{error:?}"
    );
    let stranger = fairlane_client::Client::new(&harness.url(), "fl_wrong").unwrap();
    let error =
        run(Worker::new(stranger, "default").task("work", nothing)).ended().await.unwrap_err();
    assert!(matches!(&error, Error::Refused(error) if error.status() == Some(401)), "{error:?}");
    let error = run(Worker::new(harness.client.clone(), "default")).ended().await.unwrap_err();
    assert!(matches!(error, Error::NoTask), "{error:?}");
}

#[tokio::test]
async fn a_compensation_is_a_task_too() {
    let harness = Harness::start().await;
    harness
        .workflow(
            "undo",
            "
workflow: undo
version: 1
steps:
  reserve:
    task: reserve
    compensate: { task: give_back, with: { what: steps.reserve.output } }
  decide: { after: reserve, task: decide }
",
        )
        .await;
    let door = Door::closed();
    let undone = door.clone();
    let worker = worker(&harness)
        .task("reserve", |_: Context, _: Value| async { Ok("a seat") })
        .task("decide", |_: Context, _: Value| async { Err::<(), _>(TaskError::fatal("no", "no")) })
        .task("give_back", move |_: Context, input: Value| {
            let undone = undone.clone();
            async move {
                assert_eq!(input, json!({ "what": "a seat" }));
                undone.open();
                Ok(())
            }
        });
    let worker = run(worker);
    let submit = fairlane_client::Submit::new("undo");
    let submitted = harness.client.submit(TENANT, submit).await.unwrap();
    door.pass().await;
    let detail = harness.ended(&submitted.run).await;
    assert_eq!(detail.run.status, RunStatus::Failed);
    worker.drain().await.unwrap();
}

#[tokio::test]
async fn what_a_task_says_that_it_cost_is_what_was_spent() {
    let harness = Harness::start().await;
    let class = serde_json::from_value(json!({ "budget": { "run": "0.12", "short": ["fail"] } }));
    let class: fairlane_api::quota::BudgetClassSpec = class.unwrap();
    harness.client.put_budget_class("basic", &class, Write::Apply).await.unwrap();
    let tenant = json!({ "org": "org", "tier": "standard", "budget_class": "basic" });
    let tenant = serde_json::from_value(tenant).unwrap();
    harness.client.put_tenant(TENANT, &tenant, Write::Apply).await.unwrap();
    let text = "workflow: one\nversion: 2\nsteps:\n  first: { task: work, cost: 0.06, with: { n: input.n }, \
                retry: { attempts: 2, backoff: 1ms..1ms } }\n  \
                second: { task: work, cost: 0.06, after: [first], with: { n: input.n } }\n";
    harness.workflow("one", text).await;
    // Two attempts and what the second step holds are 0.02 + 0.02 + 0.06, if the task says so, and 0.18 if not.
    let worker = run(worker(&harness).task("work", |context: Context, input: Input| async move {
        if input.n > 0 {
            context.set_cost_nano(20_000_000);
        }
        match (context.step(), context.attempt()) {
            ("first", 1) => Err(TaskError::retryable("bureau-away", "503")),
            _ => Ok(input.n),
        }
    }));
    assert_eq!(harness.output(&harness.submit(1).await).await, json!({ "second": 1 }));
    let detail = harness.ended(&harness.submit(0).await).await;
    let failure = detail.run.failure.as_ref().unwrap();
    assert_eq!(
        (failure.class.as_str(), failure.step.as_deref()),
        ("budget-exhausted", Some("second"))
    );
    worker.drain().await.unwrap();
}
