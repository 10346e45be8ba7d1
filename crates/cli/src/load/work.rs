//! The worker processes of demo, replay and bench: they speak the worker protocol like anybody's, and their
//! work is simulated by sleeping.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use fairlane_client::Client;
use fairlane_client::worker::{Context, TaskError, Worker};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::child;

/// Name of the hidden command.
pub(crate) const COMMAND: &str = "load-worker";

/// What each task of the loan workflow takes. Together 45 ms: 45 s of work at a thousandth of the time.
pub(crate) const LOAN_TASKS: [(&str, Duration); 4] = [
    ("verify_identity", Duration::from_millis(8)),
    ("pull_credit", Duration::from_millis(20)),
    ("review_compliance", Duration::from_millis(12)),
    ("issue_decision", Duration::from_millis(5)),
];
/// Sleeps as long as its input says.
pub(crate) const SIMULATE: &str = "simulate";
/// Does nothing, and answers with [`NO_OP_OUTPUT`].
pub(crate) const NO_OP: &str = "no_op";
/// 100 bytes as JSON: 98 and the quotes.
const NO_OP_OUTPUT: &str = "01234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567";

/// What a worker process is told.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Instructions {
    pub(crate) url: String,
    pub(crate) key: String,
    pub(crate) pool: String,
    pub(crate) name: String,
    pub(crate) slots: u32,
    #[serde(default)]
    pub(crate) pace: Pace,
}

/// How long the work of loans takes.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Pace {
    /// As many times as [`LOAN_TASKS`] say.
    pub(crate) times: u32,
    /// What a credit bureau does takes [`SLOWER`] times as long once the worker has run for so long.
    pub(crate) slow_credit_after_ms: Option<u64>,
}

impl Default for Pace {
    fn default() -> Self {
        Self { times: 1, slow_credit_after_ms: None }
    }
}

/// The task that a credit bureau does, and how much slower it becomes.
const CREDIT: &str = "pull_credit";
const SLOWER: u32 = 4;

#[derive(Deserialize)]
struct Simulated {
    service_us: u64,
}

/// Body of the hidden command: works until the parent is done.
pub(crate) async fn run() -> anyhow::Result<()> {
    let told: Instructions = child::instructions()?;
    let client = Client::new(&told.url, &told.key)?;
    worker(client, &told)
        .run_until(child::parent_is_done())
        .await
        .with_context(|| format!("worker {} ended", told.name))
}

/// The worker itself, for those that run it inside their own process.
pub(crate) fn worker(client: Client, told: &Instructions) -> Worker {
    let mut worker =
        Worker::new(client, told.pool.clone()).slots(told.slots).name(told.name.clone());
    let Pace { times, slow_credit_after_ms } = told.pace;
    let slow_from = slow_credit_after_ms.map(|after| Instant::now() + Duration::from_millis(after));
    for (task, takes) in LOAN_TASKS {
        let takes = takes * times;
        worker = worker.task(task, move |context: Context, input: Value| async move {
            let is_slow = task == CREDIT && slow_from.is_some_and(|from| Instant::now() >= from);
            tokio::time::sleep(if is_slow { takes * SLOWER } else { takes }).await;
            Ok::<Value, TaskError>(loan_output(&context, &input))
        });
    }
    worker
        .task(SIMULATE, |_: Context, input: Simulated| async move {
            tokio::time::sleep(Duration::from_micros(input.service_us)).await;
            Ok::<(), TaskError>(())
        })
        .task(NO_OP, |_: Context, _: Value| async { Ok::<&'static str, TaskError>(NO_OP_OUTPUT) })
}

/// What a task of the loan workflow answers: a decision that depends on the application alone.
pub(crate) fn loan_output(context: &Context, input: &Value) -> Value {
    let amount = input.get("amount").and_then(Value::as_u64).unwrap_or_default();
    match context.task() {
        "verify_identity" => json!({ "verified": true }),
        "pull_credit" => json!({ "score": 500 + amount % 350 }),
        "review_compliance" => json!({ "clear": input["score"].as_u64() >= Some(520) }),
        _ => json!({ "approved": input["clear"] == json!(true) }),
    }
}
