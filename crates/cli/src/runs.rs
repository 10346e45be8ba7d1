//! `fairlane runs`, `get`, `cancel`, `pause`, `resume`, `retry`, `resolve`, `signal`: what a tenant does with its runs.

use clap::Args;
use fairlane_api::run::{Commanded, Lane, Run, RunDetail, RunStatus};
use fairlane_api::usage::Call;
use fairlane_api::view::{Step, Trust};
use fairlane_client::{Client, RunFilter};

use crate::printer::Printer;
use crate::table::Table;
use crate::target::{ForTenant, OneRun, Target};
use crate::{input, text, usage};

/// Entries of one page.
const PAGE: u32 = 1_000;

/// List a tenant's runs, newest first
#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    of: ForTenant,
    #[arg(long, value_parser = input::status())]
    status: Option<RunStatus>,
    #[arg(long)]
    workflow: Option<String>,
    #[arg(long, value_parser = input::lane())]
    lane: Option<Lane>,
    /// Most runs to list
    #[arg(long, default_value_t = 50)]
    limit: u32,
}

impl List {
    pub(crate) async fn execute(self, target: &Target) -> anyhow::Result<()> {
        let runs = self.read(&target.client()?).await?;
        target.printer().data(&runs, |runs| list(runs))
    }

    async fn read(self, client: &Client) -> anyhow::Result<Vec<Run>> {
        let mut filter = RunFilter {
            status: self.status,
            workflow: self.workflow,
            lane: self.lane,
            ..RunFilter::default()
        };
        let wanted = self.limit as usize;
        let mut runs = Vec::new();
        while runs.len() < wanted {
            let left = u32::try_from(wanted - runs.len()).unwrap_or(PAGE);
            filter.limit = Some(left.min(PAGE));
            let page = client.runs(self.of.tenant()?, &filter).await?;
            runs.extend(page.items);
            filter.cursor = page.next;
            if filter.cursor.is_none() {
                break;
            }
        }
        Ok(runs)
    }
}

fn list(runs: &[Run]) -> String {
    let mut table =
        Table::new(&["RUN", "WORKFLOW", "LANE", "STATUS", "CREATED", ">TOOK", "FAILURE"]);
    for run in runs {
        table.row([
            run.id.clone(),
            format!("{} v{}", run.workflow, run.version),
            text::word(&run.lane),
            text::word(&run.status),
            text::time(run.created_at),
            text::or_dash(took(run)),
            run.failure.as_ref().map_or_else(String::new, |failure| failure.class.clone()),
        ]);
    }
    table.render()
}

fn took(run: &Run) -> Option<String> {
    run.ended_at.map(|ended| text::span_us(ended.0.saturating_sub(run.created_at.0)))
}

/// Show a run with its steps, or its output
#[derive(Debug, Args)]
pub(crate) struct Get {
    #[command(flatten)]
    run: OneRun,
    /// Print the run's output and nothing else
    #[arg(long)]
    output: bool,
}

impl Get {
    pub(crate) async fn execute(self, target: &Target) -> anyhow::Result<()> {
        let client = target.client()?;
        let OneRun { run, of } = &self.run;
        if self.output {
            let output = client.run_output(of.tenant()?, run).await?;
            let output: serde_json::Value = serde_json::from_str(output.get())?;
            return target.printer().data(&output, |output| format!("{output:#}"));
        }
        let detail = client.run(of.tenant()?, run).await?;
        target.printer().data(&detail, show)
    }
}

fn show(detail: &RunDetail) -> String {
    let mut steps = Table::new(&["STEP", "PHASE", ">ATTEMPT", "SINCE", "FAILURE"]);
    for step in &detail.steps {
        steps.row([
            text::step(&step.name, step.part),
            match step.trust {
                None | Some(Trust::Derived) => text::word(&step.phase),
                Some(trust) => format!("{}, {}", text::word(&step.phase), text::word(&trust)),
            },
            step.attempt.to_string(),
            text::or_dash(step.since.map(text::time)),
            step.failure.as_ref().map_or_else(String::new, text::failure),
        ]);
    }
    let mut text = format!("{}\n\n{}", head(&detail.run), steps.render());
    let called = |step: &Step| Some((text::step(&step.name, step.part), step.call.clone()?));
    let calls: Vec<(String, Call)> = detail.steps.iter().filter_map(called).collect();
    if !calls.is_empty() {
        text.push_str(&format!("\nLast calls of models\n{}", usage::of_steps(&calls)));
    }
    text
}

/// A run in a few lines.
pub(crate) fn head(run: &Run) -> String {
    let mut lines = vec![
        format!("run       {}", run.id),
        format!("workflow  {} v{}", run.workflow, run.version),
        format!("lane      {}", text::word(&run.lane)),
        format!("status    {}", text::word(&run.status)),
        format!("created   {}", text::time(run.created_at)),
    ];
    if let (Some(ended), Some(took)) = (run.ended_at, took(run)) {
        lines.push(format!("ended     {}, after {took}", text::time(ended)));
    }
    if let Some(deadline) = run.deadline_at {
        lines.push(format!("deadline  {}", text::time(deadline)));
    }
    if let Some(parent) = &run.parent {
        lines.push(format!("parent    {parent}"));
    }
    if let Some(schedule) = &run.schedule {
        lines.push(format!("schedule  {schedule}"));
    }
    if let Some(money) = &run.money {
        let of = money.limit.as_ref().map_or_else(String::new, |limit| format!(" of {limit}"));
        lines.push(format!("spent     {}{of}", money.posted));
    }
    if let Some(failure) = &run.failure {
        lines.push(format!("failure   {}", text::failure(failure)));
    }
    lines.join("\n")
}

/// Cancel a run, its children, and the steps that workers hold
#[derive(Debug, Args)]
pub(crate) struct Cancel {
    #[command(flatten)]
    run: OneRun,
}

impl Cancel {
    pub(crate) async fn execute(self, target: &Target) -> anyhow::Result<()> {
        let OneRun { run, of } = &self.run;
        told(target.printer(), &target.client()?.cancel(of.tenant()?, run).await?)
    }
}

/// Pause a run: nothing new is dispatched, and what runs, ends
#[derive(Debug, Args)]
pub(crate) struct Pause {
    #[command(flatten)]
    run: OneRun,
}

impl Pause {
    pub(crate) async fn execute(self, target: &Target) -> anyhow::Result<()> {
        let OneRun { run, of } = &self.run;
        told(target.printer(), &target.client()?.pause(of.tenant()?, run).await?)
    }
}

/// Resume a paused run
#[derive(Debug, Args)]
pub(crate) struct Resume {
    #[command(flatten)]
    run: OneRun,
}

impl Resume {
    pub(crate) async fn execute(self, target: &Target) -> anyhow::Result<()> {
        let OneRun { run, of } = &self.run;
        told(target.printer(), &target.client()?.resume(of.tenant()?, run).await?)
    }
}

/// Run an ended run again: from a step, or from the steps that failed
#[derive(Debug, Args)]
pub(crate) struct Retry {
    #[command(flatten)]
    run: OneRun,
    /// Run this step and all that follow it again
    #[arg(long, value_name = "STEP")]
    from: Option<String>,
}

impl Retry {
    pub(crate) async fn execute(self, target: &Target) -> anyhow::Result<()> {
        let OneRun { run, of } = &self.run;
        let client = target.client()?;
        told(target.printer(), &client.retry_run(of.tenant()?, run, self.from.as_deref()).await?)
    }
}

/// Decide of a run that is halted for want of money: give the step's output, or let a cheaper model stand in
#[derive(Debug, Args)]
pub(crate) struct Resolve {
    #[command(flatten)]
    run: OneRun,
    /// The step that could not be paid for
    #[arg(long, requires = "output", required_unless_present = "cheaper_model")]
    step: Option<String>,
    /// What it ends with: JSON, @FILE, or - for standard input
    #[arg(long, value_name = "JSON", requires = "step")]
    output: Option<String>,
    /// Let cheaper candidates of models stand in for the rest of the run
    #[arg(long, conflicts_with_all = ["step", "output"])]
    cheaper_model: bool,
}

impl Resolve {
    pub(crate) async fn execute(self, target: &Target) -> anyhow::Result<()> {
        let OneRun { run, of } = &self.run;
        let client = target.client()?;
        let tenant = of.tenant()?;
        let commanded = match (&self.step, &self.output) {
            (Some(step), Some(output)) => {
                let output = input::json("--output", output)?;
                client.resolve(tenant, run, step, &output).await?
            }
            _ => client.allow_cheaper_model(tenant, run).await?,
        };
        told(target.printer(), &commanded)
    }
}

/// Put a signal into a run's inbox
#[derive(Debug, Args)]
pub(crate) struct Signal {
    #[command(flatten)]
    run: OneRun,
    /// Name of the signal
    name: String,
    /// What it carries: JSON, @FILE, or - for standard input
    #[arg(long, short, value_name = "JSON", default_value = "null")]
    payload: String,
}

impl Signal {
    pub(crate) async fn execute(self, target: &Target) -> anyhow::Result<()> {
        let payload = input::json("--payload", &self.payload)?;
        let OneRun { run, of } = &self.run;
        let client = target.client()?;
        told(target.printer(), &client.signal(of.tenant()?, run, &self.name, &payload).await?)
    }
}

fn told(printer: Printer, commanded: &Commanded) -> anyhow::Result<()> {
    printer
        .data(commanded, |commanded| format!("{} {}", commanded.run, text::word(&commanded.status)))
}
