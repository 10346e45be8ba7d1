//! `fairlane run`: submit a run, and wait for its end if asked to.

use std::collections::BTreeMap;

use clap::Args;
use fairlane_api::run::{Lane, RunDetail, RunStatus};
use fairlane_api::view::{Part, Phase};
use fairlane_client::{Client, RunEvent, Submit};
use serde_json::json;

use crate::exit::Negative;
use crate::printer::Printer;
use crate::target::{ForTenant, Target};
use crate::{input, text};

/// Submit a run
///
/// Prints its id; with --wait its output, once it has ended.
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// Name of the workflow
    workflow: String,
    #[command(flatten)]
    of: ForTenant,
    /// The input: JSON, @FILE, or - for standard input
    #[arg(long, short, value_name = "JSON")]
    input: Option<String>,
    /// Version of the workflow; the newest if not given
    #[arg(long, value_name = "N")]
    workflow_version: Option<u32>,
    /// The tenant's priority for it
    #[arg(long, value_parser = input::lane())]
    lane: Option<Lane>,
    /// Names the submission: a second one of the same name is the same run
    #[arg(long, value_name = "TEXT")]
    idempotency_key: Option<String>,
    /// Wait for its end; exit code 1 if it did not complete
    #[arg(long, short)]
    wait: bool,
}

impl Run {
    pub(crate) async fn execute(self, target: &Target) -> anyhow::Result<()> {
        let client = target.client()?;
        let tenant = self.of.tenant()?.to_owned();
        let wait = self.wait;
        let submitted = client.submit(&tenant, self.into_submit()?).await?;
        if !wait {
            return target.printer().data(&submitted, |submitted| submitted.run.clone());
        }
        follow(&client, target.printer(), &tenant, &submitted.run).await
    }

    fn into_submit(self) -> anyhow::Result<Submit> {
        let mut submit = Submit::new(self.workflow);
        if let Some(text) = &self.input {
            submit = submit.json(input::json("--input", text)?);
        }
        if let Some(version) = self.workflow_version {
            submit = submit.version(version);
        }
        if let Some(lane) = self.lane {
            submit = submit.lane(lane);
        }
        if let Some(key) = self.idempotency_key {
            submit = submit.idempotency_key(key);
        }
        Ok(submit)
    }
}

/// Shows a run's progress, then its output.
async fn follow(client: &Client, printer: Printer, tenant: &str, run: &str) -> anyhow::Result<()> {
    let spinner = printer.spinner(format!("run {run}"));
    let mut under_way = UnderWay::default();
    let mut events = client.events(tenant, run).await?;
    while let Some(event) = events.next().await? {
        under_way.follow(&event);
        spinner.set_message(under_way.describe());
    }
    spinner.finish_and_clear();
    let detail = client.run(tenant, run).await?;
    report(client, printer, tenant, &detail).await
}

async fn report(
    client: &Client,
    printer: Printer,
    tenant: &str,
    detail: &RunDetail,
) -> anyhow::Result<()> {
    let run = &detail.run;
    let output = match run.status {
        RunStatus::Completed => Some(client.run_output(tenant, &run.id).await?),
        _ => None,
    };
    let took = run.ended_at.map(|ended| text::span_us(ended.0.saturating_sub(run.created_at.0)));
    let took = text::or_dash(took);
    let document = json!({ "run": run, "output": output });
    printer.data(&document, |document| {
        if document["output"].is_null() {
            return String::new();
        }
        serde_json::to_string_pretty(&document["output"]).unwrap_or_default()
    })?;
    let summary = format!("run {} {} after {took}", run.id, text::word(&run.status));
    if run.status == RunStatus::Completed {
        printer.note(&summary);
        return Ok(());
    }
    Err(Negative(match &run.failure {
        Some(failure) => format!("{summary}: {}", text::failure(failure)),
        None => summary,
    })
    .into())
}

/// The steps that are neither pending nor over.
#[derive(Debug, Default)]
pub(crate) struct UnderWay(BTreeMap<(String, Part), Phase>);

impl UnderWay {
    pub(crate) fn follow(&mut self, event: &RunEvent) {
        match event {
            RunEvent::Snapshot(detail) => {
                self.0.clear();
                for step in &detail.steps {
                    self.set(&step.name, step.part, step.phase);
                }
            }
            RunEvent::Change(event) => {
                if let Some(step) = &event.step {
                    self.set(&step.name, step.part, step.phase);
                }
            }
        }
    }

    fn set(&mut self, name: &str, part: Part, phase: Phase) {
        let is_over = matches!(
            phase,
            Phase::Pending | Phase::Done | Phase::Skipped | Phase::Failed | Phase::Cancelled
        );
        let key = (name.to_owned(), part);
        if is_over {
            self.0.remove(&key);
        } else {
            self.0.insert(key, phase);
        }
    }

    pub(crate) fn describe(&self) -> String {
        const SHOWN: usize = 4;
        let mut words: Vec<String> = self
            .0
            .iter()
            .take(SHOWN)
            .map(|((name, part), phase)| {
                format!("{}: {}", text::step(name, *part), text::word(phase))
            })
            .collect();
        if self.0.len() > SHOWN {
            words.push(format!("{} more", self.0.len() - SHOWN));
        }
        words.join(", ")
    }
}
