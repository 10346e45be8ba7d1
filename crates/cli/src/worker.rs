//! `fairlane worker`: a worker for trying things out. It executes any task by waiting.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;
use fairlane_client::worker::{self, Context, TaskError};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::exit::Usage;
use crate::target::Target;
use crate::{input, log};

/// Run a sample worker that executes any task by waiting
///
/// How long is what the step's input says in `sleep_ms`, else --sleep-ms. With `fail` in the input the
/// attempt fails: true, or the failure's class.
#[derive(Debug, Args)]
pub(crate) struct Worker {
    /// The pool whose steps it takes
    #[arg(long, default_value = "default")]
    pool: String,
    /// The region in which it is, for a server of several regions; its key says so unless it is an operator's
    #[arg(long)]
    region: Option<String>,
    /// Steps that it executes at once
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    slots: u32,
    /// How long a step takes whose input does not say
    #[arg(long, value_name = "MS", default_value_t = 10)]
    sleep_ms: u64,
    /// Outputs by the name of the task, a JSON object: JSON, @FILE, or - for standard input
    #[arg(long, value_name = "JSON")]
    outputs: Option<String>,
    /// Tasks that fail for good, by name
    #[arg(long, value_name = "TASK", value_delimiter = ',')]
    fail: Vec<String>,
    /// Its name; made up if not given
    #[arg(long)]
    name: Option<String>,
}

/// What the worker reads of an input. Whatever else is in it is the task's business.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Simulated {
    sleep_ms: Option<u64>,
    fail: Value,
}

impl Worker {
    pub(crate) async fn execute(self, target: &Target) -> anyhow::Result<()> {
        let (client, printer) = (target.client()?, target.printer());
        let mut script = Script { fail: self.fail, ..Script::default() };
        if let Some(text) = &self.outputs {
            script.outputs = outputs(text)?;
        }
        log::text("warn");
        printer.note(&format!(
            "taking steps of pool {} from {} with {} slots; ctrl-c finishes what runs and ends",
            self.pool,
            client.address(),
            self.slots
        ));
        let mut worker = worker::Worker::new(client, self.pool).slots(self.slots);
        if let Some(region) = self.region {
            worker = worker.region(region);
        }
        if let Some(name) = self.name {
            worker = worker.name(name);
        }
        with_sample_task(worker, Duration::from_millis(self.sleep_ms), script).run().await?;
        Ok(())
    }
}

/// What becomes of tasks, by their names.
#[derive(Debug, Default)]
pub(crate) struct Script {
    outputs: Outputs,
    fail: Vec<String>,
}

/// What tasks put out, by their names.
type Outputs = BTreeMap<String, Value>;

fn outputs(text: &str) -> anyhow::Result<Outputs> {
    let text = input::json("--outputs", text)?;
    let wrong = |_| Usage("--outputs is not an object of outputs by task".to_owned());
    Ok(serde_json::from_str(text.get()).map_err(wrong)?)
}

/// Gives the worker a task for every name: it waits, and says so, unless it was told what to put out.
pub(crate) fn with_sample_task(
    worker: worker::Worker,
    sleep: Duration,
    script: Script,
) -> worker::Worker {
    worker.fallback(move |context, input| {
        let task = context.task().to_owned();
        let fails = script.fail.contains(&task);
        let output = script.outputs.get(&task).cloned();
        async move {
            if fails {
                let message = format!("the worker was told to fail {task}");
                return Err(TaskError::fatal("simulated", message));
            }
            simulate(context, input, sleep, output).await
        }
    })
}

async fn simulate(
    context: Context,
    input: Value,
    sleep: Duration,
    output: Option<Value>,
) -> Result<Value, TaskError> {
    let simulated =
        if input.is_object() { Simulated::deserialize(input)? } else { Simulated::default() };
    let sleep = simulated.sleep_ms.map_or(sleep, Duration::from_millis);
    tokio::time::sleep(sleep).await;
    match simulated.fail {
        Value::Null | Value::Bool(false) => {
            let slept_ms = u64::try_from(sleep.as_millis()).unwrap_or(u64::MAX);
            Ok(output.unwrap_or_else(|| {
                json!({ "task": context.task(), "attempt": context.attempt(), "slept_ms": slept_ms })
            }))
        }
        Value::String(class) => Err(TaskError::retryable(class, "the input asked for it")),
        _ => Err(TaskError::retryable("simulated", "the input asked for it")),
    }
}
