//! A workflow file: checked as the server would, and made ready to be sent.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Context;
use fairlane_core::id::PoolName;
use fairlane_core::plan::{StepKind, Workflow};
use fairlane_workflow::{Format, Known, Source, inline, no_files, parse};

use crate::mistake::Mistake;

/// A definition without mistakes.
#[derive(Debug)]
pub(crate) struct Definition {
    pub(crate) name: String,
    pub(crate) version: u32,
    /// How many steps it has.
    pub(crate) steps: usize,
    pub(super) file: String,
    /// What is sent: the author's text, with the content of the files that it names in their place, since the
    /// server reads no files.
    pub(super) text: String,
    pub(super) format: Format,
    /// What the author wrote.
    original: String,
    /// Its schedules, each with its tenant.
    pub(super) schedules: Vec<(String, String)>,
    /// The steps that call other workflows, and which.
    pub(super) calls: Vec<(String, String)>,
    /// The steps that call tools, and which.
    pub(super) tools: Vec<(String, String)>,
    /// The steps that ask models, and which.
    pub(super) models: Vec<(String, String)>,
    /// Where pools of reviewers are named, and which.
    pub(super) reviewers: Vec<(String, String)>,
}

impl Definition {
    /// Reads a file. The inner error is everything that is wrong with it.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Result<Self, Vec<Mistake>>> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Self::parse(path, &text))
    }

    pub(super) fn parse(path: &Path, text: &str) -> Result<Self, Vec<Mistake>> {
        let file = path.display().to_string();
        let folder = path.parent().unwrap_or(Path::new("."));
        let files = |name: &str| {
            std::fs::read_to_string(folder.join(name))
                .map_err(|error| format!("the file {name:?} cannot be read: {error}"))
        };
        let workflow = read(&file, text, &Known::default(), &files)?;
        let schedules = workflow.schedules.iter();
        let schedules =
            schedules.map(|schedule| (schedule.name.to_string(), schedule.tenant.to_string()));
        let calls = workflow.steps.iter().filter_map(|step| match &step.kind {
            StepKind::Call { workflow, .. } => Some((step.name.to_string(), workflow.to_string())),
            _ => None,
        });
        let tools = workflow.steps.iter().filter_map(|step| {
            step.tool.as_ref().map(|tool| (step.name.to_string(), tool.to_string()))
        });
        let models = workflow.steps.iter().filter_map(|step| match &step.kind {
            StepKind::Model(call) => Some((step.name.to_string(), call.model.to_string())),
            _ => None,
        });
        let source = Source { text, format: Format::Auto, file: &file };
        let sent = inline(&source, &files).map_err(from_reader)?;
        let is_json = Path::new(&file).extension().is_some_and(|ending| ending == "json")
            || text.trim_start().starts_with('{');
        Ok(Self {
            name: workflow.name.to_string(),
            version: workflow.version,
            steps: workflow.steps.len(),
            schedules: schedules.collect(),
            calls: calls.collect(),
            tools: tools.collect(),
            models: models.collect(),
            reviewers: reviewers(&workflow),
            file,
            text: sent,
            format: if is_json { Format::Json } else { Format::Yaml },
            original: text.to_owned(),
        })
    }

    /// Steps whose pool is none of these.
    pub(super) fn check_pools(&self, pools: &BTreeSet<String>) -> Vec<Mistake> {
        let pools = pools.iter().filter_map(|name| Some((PoolName::parse(name).ok()?, None)));
        let known = Known { pools: Some(pools.collect()) };
        // Whatever else is said is known already, or is about files that are not read again.
        let mut mistakes = match read(&self.file, &self.original, &known, &no_files) {
            Ok(_) => Vec::new(),
            Err(mistakes) => mistakes,
        };
        mistakes.retain(|mistake| mistake.code == "unknown-pool");
        mistakes
    }
}

/// The pools that reviews name, with the pointers to them.
fn reviewers(workflow: &Workflow) -> Vec<(String, String)> {
    let mut named = Vec::new();
    for step in &workflow.steps {
        let StepKind::Review(terms) = &step.kind else { continue };
        let review = format!("/steps/{}/review", step.name);
        let own = terms.pool.iter().map(|pool| (format!("{review}/pool"), pool.to_string()));
        named.extend(own);
        for (at, rung) in terms.escalate.iter().enumerate() {
            let pointer = format!("{review}/escalate/{at}/pool");
            named.extend(rung.pool.iter().map(|pool| (pointer.clone(), pool.to_string())));
        }
    }
    named
}

/// Reads a definition as the server would.
fn read(
    file: &str,
    text: &str,
    known: &Known,
    files: &fairlane_workflow::Files<'_>,
) -> Result<Workflow, Vec<Mistake>> {
    let source = Source { text, format: Format::Auto, file };
    parse(&source, known, files).map_err(from_reader)
}

fn from_reader(mistakes: Vec<fairlane_workflow::Mistake>) -> Vec<Mistake> {
    mistakes.into_iter().map(Mistake::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_named_by_file_travels_in_the_definition() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("loan.yaml");
        std::fs::write(folder.path().join("loan.schema.json"), r#"{"type":"object"}"#).unwrap();
        let text = "workflow: loan\nversion: 1\ninput: { schema: loan.schema.json }\n\
            steps:\n  verify: { task: verify }\n";
        let definition = Definition::parse(&path, text).unwrap();
        assert_eq!(definition.format, Format::Yaml);
        assert_eq!(definition.text, text.replace("loan.schema.json", r#"{"type":"object"}"#));
    }

    #[test]
    fn a_definition_without_files_travels_as_it_is_written() {
        let text = "# by hand\nworkflow: loan\nversion: 2\nsteps:\n  verify: { task: verify, pool: fast }\n";
        let definition = Definition::parse(Path::new("loan.yaml"), text).unwrap();
        assert_eq!((definition.text.as_str(), definition.format), (text, Format::Yaml));
        assert_eq!(
            (definition.name.as_str(), definition.version, definition.steps),
            ("loan", 2, 1)
        );
        assert_eq!(definition.check_pools(&["fast".to_owned()].into()), []);
        let [mistake] = definition.check_pools(&BTreeSet::new()).try_into().unwrap();
        assert_eq!((mistake.line, mistake.code.as_str()), (5, "unknown-pool"));
    }
}
