//! `fairlane workflow`: list, show, and check definitions.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use fairlane_api::workflow::{self, WorkflowSummary};
use serde_json::json;

use crate::apply::Definition;
use crate::table::Table;
use crate::target::Target;
use crate::{mistake, text};

/// List and show workflows, and check definitions
#[derive(Debug, Args)]
pub(crate) struct Workflow {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List all workflows
    List,
    /// Show a version of a workflow
    Get {
        workflow: String,
        /// The version; the newest if not given
        #[arg(long, value_name = "N")]
        workflow_version: Option<u32>,
        /// Print the definition as its author wrote it, and nothing else
        #[arg(long)]
        source: bool,
    },
    /// Check definitions without a server; all mistakes are shown, exit code 1 if there are any
    Check {
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
}

impl Workflow {
    pub(crate) async fn execute(self, target: &Target) -> anyhow::Result<()> {
        let printer = target.printer();
        match self.verb {
            Verb::List => {
                printer.data(&target.client()?.workflows().await?, |workflows| list(workflows))
            }
            Verb::Get { workflow, workflow_version, source } => {
                let found = target.client()?.workflow(&workflow, workflow_version).await?;
                if source && !printer.is_json() {
                    return printer.text(&found.source);
                }
                printer.data(&found, show)
            }
            Verb::Check { files } => check(target, &files),
        }
    }
}

fn check(target: &Target, files: &[PathBuf]) -> anyhow::Result<()> {
    let mut mistakes = Vec::new();
    let mut good = Vec::new();
    for file in files {
        match Definition::read(file)? {
            Ok(definition) => good.push((file, definition)),
            Err(found) => mistakes.extend(found),
        }
    }
    mistake::report(target.printer(), mistakes)?;
    let document: Vec<_> = good
        .iter()
        .map(|(file, definition)| {
            let (name, version) = (&definition.name, definition.version);
            json!({ "file": file, "workflow": name, "version": version, "steps": definition.steps })
        })
        .collect();
    target.printer().data(&document, |_| {
        let line = |(file, definition): &(&PathBuf, Definition)| {
            let Definition { name, version, steps, .. } = definition;
            format!("{}: {name} v{version}, {steps} steps, no mistakes\n", file.display())
        };
        good.iter().map(line).collect()
    })
}

fn list(workflows: &[WorkflowSummary]) -> String {
    let mut table = Table::new(&["WORKFLOW", ">NEWEST", ">STEPS"]);
    for workflow in workflows {
        table.row([
            workflow.name.clone(),
            format!("v{}", workflow.version),
            workflow.steps.to_string(),
        ]);
    }
    table.render()
}

fn show(workflow: &workflow::Workflow) -> String {
    let versions: Vec<String> =
        workflow.versions.iter().map(|version| format!("v{version}")).collect();
    let mut table = Table::new(&["STEP", "KIND", "AFTER", "RUNS", "POOL", "OPTIONAL"]);
    for step in &workflow.steps {
        table.row([
            step.name.clone(),
            text::word(&step.kind),
            step.after.join(", "),
            step.task.clone().or_else(|| step.calls.clone()).unwrap_or_default(),
            step.pool.clone().unwrap_or_default(),
            if step.optional { "yes".to_owned() } else { String::new() },
        ]);
    }
    format!(
        "workflow  {} v{}\nversions  {}\n\n{}",
        workflow.name,
        workflow.version,
        versions.join(", "),
        table.render()
    )
}
