//! `fairlane policy`: list, show, set and remove policies, and check them without a server.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Subcommand};
use fairlane_api::policy::{self, AffectedSteps, AppliedPolicy, PolicyEffect};
use fairlane_client::{Error, Write};
use fairlane_core::id::PolicyName;
use fairlane_core::policy::{Source, compile};
use serde_json::json;

use crate::mistake::{self, Mistake};
use crate::printer::Printer;
use crate::table::Table;
use crate::target::Target;
use crate::text;

/// List, show, set, remove and check policies: who may do what, in Cedar
#[derive(Debug, Args)]
pub(crate) struct Policy {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List all policies, those that the product ships included
    List,
    /// Show one policy
    #[command(visible_alias = "get")]
    Show {
        policy: String,
        /// The version; the one in force if not given
        #[arg(long, value_name = "N")]
        policy_version: Option<u32>,
        /// Print the text as it was declared, and nothing else
        #[arg(long)]
        source: bool,
    },
    /// Print what policies can speak about, in Cedar's schema language
    Schema,
    /// Declare a policy, or another version of it
    Set {
        policy: String,
        /// A file with statements of Cedar
        file: PathBuf,
        /// Check only, and say what it would do to the work that is there
        #[arg(long)]
        dry_run: bool,
    },
    /// Remove a policy
    Remove {
        policy: String,
        /// Check only, and say what it would do to the work that is there
        #[arg(long)]
        dry_run: bool,
    },
    /// Check policies without a server, as if they were in force together; all mistakes are shown, exit code 1 if there are
    /// any
    Check {
        /// Files that are named like the policies in them
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
}

impl Policy {
    pub(crate) async fn execute(self, target: &Target) -> anyhow::Result<()> {
        let printer = target.printer();
        match self.verb {
            Verb::List => {
                printer.data(&target.client()?.policies().await?, |policies| list(policies))
            }
            Verb::Show { policy, policy_version, source } => {
                let found = target.client()?.policy(&policy, policy_version).await?;
                if source && !printer.is_json() {
                    return printer.text(&found.text);
                }
                printer.data(&found, show)
            }
            Verb::Schema => {
                let schema = target.client()?.policy_schema().await?;
                if printer.is_json() {
                    return printer.data(&schema, |_| String::new());
                }
                printer.text(&schema.text)
            }
            Verb::Set { policy, file, dry_run } => {
                let client = target.client()?;
                let text = read(&file)?;
                let put = client.put_policy(&policy, &text, write(dry_run)).await;
                printer.data(&known(printer, &file, put)?, |applied| {
                    became(&policy, applied, "changed")
                })
            }
            Verb::Remove { policy, dry_run } => {
                let applied = target.client()?.remove_policy(&policy, write(dry_run)).await?;
                printer.data(&applied, |applied| became(&policy, applied, "removed"))
            }
            Verb::Check { files } => check(target, &files),
        }
    }
}

/// The name of the policy that a file has by its own.
pub(crate) fn name_of(path: &Path) -> String {
    path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
}

const fn write(dry_run: bool) -> Write {
    if dry_run { Write::Check } else { Write::Apply }
}

fn read(file: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}

/// Mistakes that the server has found are told with their places in the file.
fn known(
    printer: Printer,
    file: &Path,
    answer: Result<AppliedPolicy, Error>,
) -> anyhow::Result<AppliedPolicy> {
    match answer {
        Err(Error::Problem(problem)) if !problem.mistakes.is_empty() => {
            mistake::report(printer, Mistake::in_text(&file.display().to_string(), &problem))?;
            Err(Error::Problem(problem).into())
        }
        other => Ok(other?),
    }
}

fn check(target: &Target, files: &[PathBuf]) -> anyhow::Result<()> {
    let printer = target.printer();
    let mut sources = Vec::new();
    let mut mistakes = Vec::new();
    for path in files {
        let (file, name) = (path.display().to_string(), name_of(path));
        match PolicyName::parse(&name) {
            Ok(name) => sources.push((file, Source { name, text: read(path)?.into() })),
            Err(error) => mistakes.push(Mistake {
                file,
                line: 1,
                column: 1,
                message: format!("the file names the policy {name:?}, which {error}"),
                expected: Some("1 to 64 of a-z 0-9 - _, and an ending".to_owned()),
                code: "bad-name".to_owned(),
            }),
        }
    }
    let known: Vec<Source> = sources.iter().map(|(_, source)| source.clone()).collect();
    for found in compile(&known).err().into_iter().flatten() {
        let named = sources.iter().find(|(_, source)| source.name == found.policy);
        let (message, expected) = found.told();
        mistakes.push(Mistake {
            file: named.map_or_else(|| found.policy.to_string(), |(file, _)| file.clone()),
            line: found.line,
            column: found.column,
            message,
            expected,
            code: "invalid-policy".to_owned(),
        });
    }
    mistake::report(printer, mistakes)?;
    let document: Vec<_> = sources
        .iter()
        .map(|(file, source)| json!({ "file": file, "policy": source.name.as_str() }))
        .collect();
    printer.data(&document, |_| {
        let line =
            |(file, source): &(String, Source)| format!("{file}: {}, no mistakes\n", source.name);
        sources.iter().map(line).collect()
    })
}

fn list(policies: &[policy::Policy]) -> String {
    let mut table = Table::new(&["POLICY", "VERSION", "DECLARED", "SAYS"]);
    for policy in policies {
        let version =
            if policy.shipped { "shipped".to_owned() } else { format!("v{}", policy.version) };
        let declared = text::or_dash(policy.declared.map(text::time));
        let mut lines = policy.text.lines().map(str::trim);
        let first = lines.find(|line| !line.is_empty() && !line.starts_with("//"));
        table.row([policy.name.clone(), version, declared, first.unwrap_or_default().to_owned()]);
    }
    table.render()
}

fn show(policy: &policy::Policy) -> String {
    let version = if policy.shipped {
        "part of the product".to_owned()
    } else {
        format!("v{}", policy.version)
    };
    let mut text = format!("{:<11} {}\n{:<11} {version}\n", "policy", policy.name, "version");
    for kept in &policy.versions {
        let since = text::time(kept.declared);
        text.push_str(&format!("{:<11} v{} {since}\n", "declared", kept.version));
    }
    format!("{text}\n{}\n", policy.text.trim_end())
}

fn became(name: &str, applied: &AppliedPolicy, done: &str) -> String {
    let became = match (&applied.effect, applied.changed) {
        (Some(effect), _) => return format!("policy {name} checked\n{}", foreseen(effect)),
        (None, true) => done,
        (None, false) => "unchanged",
    };
    format!("policy {name} {became}\n")
}

fn foreseen(effect: &PolicyEffect) -> String {
    let steps = |AffectedSteps { waiting, running }: AffectedSteps| {
        format!("{waiting} steps that wait, {running} that run")
    };
    let mut text = format!(
        "would be forbidden  {}\nwould be allowed    {}\n",
        steps(effect.newly_forbidden),
        steps(effect.newly_allowed)
    );
    if !effect.groups.is_empty() {
        let mut table =
            Table::new(&["TENANT", "ACTION", "THING", "WOULD BE", "POLICY", ">WAIT", ">RUN"]);
        for group in &effect.groups {
            table.row([
                group.tenant.clone(),
                group.action.clone(),
                group.thing.clone(),
                if group.forbidden { "forbidden".to_owned() } else { "allowed".to_owned() },
                group.policy.clone(),
                group.steps.waiting.to_string(),
                group.steps.running.to_string(),
            ]);
        }
        text.push_str(&format!("\n{}", table.render()));
    }
    let left_out = effect.groups_in_all.saturating_sub(effect.groups.len() as u64);
    if left_out > 0 {
        text.push_str(&format!("and {left_out} more\n"));
    }
    if !effect.complete {
        text.push_str("only a part of the work was looked at\n");
    }
    text
}
