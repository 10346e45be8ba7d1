//! From a workflow file to the workflow that the cell runs, or to everything that is wrong with it.
//!
//! Reading goes in passes over the located tree: the text, the fields of each part, the graph of the steps,
//! the expressions against the graph. A pass goes on after a mistake wherever what follows still has a
//! meaning, so that one run of the reader shows all that is to be mended.

mod expression;
mod graph;
mod inline;
mod kind;
mod model;
mod part;
mod reader;
mod replan;
mod review;
mod schedules;
mod step;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fairlane_core::id::{PoolName, TaskName, WorkflowName};
use fairlane_core::plan::{STEPS_MAX, VERSIONS_MAX, Workflow};
use fairlane_core::replan::Revised;

use crate::mistake::{Code, Mistake};
use crate::tree::{self, Entry, Format, Node, Value, quote};
pub use inline::inline;
use reader::Reader;
pub(crate) use replan::is_reserved;
use step::Draft;

/// A workflow's text and what to call it.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    pub text: &'a str,
    pub format: Format,
    /// For messages; its ending decides the format where that is [`Format::Auto`].
    pub file: &'a str,
}

/// What the operator has declared, as far as it is known where the workflow is read.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Every pool, and the tasks of each where they are known; `None` if the pools are not known.
    pub pools: Option<BTreeMap<PoolName, Option<BTreeSet<TaskName>>>>,
}

/// Reads a file that the definition names, such as a schema; the error is a sentence.
pub type Files<'a> = dyn Fn(&str) -> Result<String, String> + 'a;

/// The answer of a place that has no files, such as the API.
pub fn no_files(name: &str) -> Result<String, String> {
    Err(format!("{} is the name of a file, and files cannot be read here", quote(name)))
}

/// Fields of the whole file.
const FIELDS: &[&str] =
    &["workflow", "version", "input", "timeout", "steps", "schedules", "replan"];

/// The workflow, or all mistakes in the order of the file, at most [`MISTAKES_MAX`](crate::MISTAKES_MAX).
pub fn parse(
    source: &Source<'_>,
    known: &Known,
    files: &Files<'_>,
) -> Result<Workflow, Vec<Mistake>> {
    let mut reader = Reader::new(source, known, files);
    let (root, flaws) = tree::read(source.text, source.format, source.file);
    for flaw in flaws {
        reader.report(flaw);
    }
    let workflow = root.as_ref().and_then(|root| workflow(&mut reader, root));
    let mistakes = reader.finish();
    match workflow {
        Some(workflow) if mistakes.is_empty() => Ok(workflow),
        _ => Err(mistakes),
    }
}

/// A definition that was accepted, as JSON and without its schedules, which name tenants and have their inputs;
/// comments are left out too. `None` if it cannot be read.
pub fn without_schedules(text: &str) -> Option<String> {
    let read = |format| match tree::read(text, format, "") {
        (Some(root), flaws) if flaws.is_empty() => Some(root),
        _ => None,
    };
    let mut root = read(Format::Json).or_else(|| read(Format::Yaml))?;
    if let Value::Object(fields) = &mut root.value {
        fields.retain(|field| field.key != "schedules");
    }
    serde_json::to_string_pretty(&root).ok()
}

/// The steps of a definition that was accepted, as JSON; null if it cannot be read.
pub fn definition_of(text: &str) -> serde_json::Value {
    let (root, _) = tree::read(text, Format::Auto, "");
    let definition = root.map(|root| root.to_json()).unwrap_or_default();
    definition.get("steps").cloned().unwrap_or_default()
}

fn workflow(reader: &mut Reader<'_>, root: &Node) -> Option<Workflow> {
    let fields = reader.object(root, "a workflow", FIELDS, &[])?;
    let name = reader
        .required(&fields, root, "workflow", "a name such as loan-application")
        .and_then(|node| reader.name(node, "a workflow", WorkflowName::parse));
    let version = reader
        .required(&fields, root, "version", "a whole number, 1 for the first version")
        .and_then(|node| reader.whole(node, 1, u64::from(VERSIONS_MAX)))
        .and_then(|version| u32::try_from(version).ok());
    let (input_schema, subject) =
        fields.get("input").map_or((None, None), |node| input(reader, node));
    let timeout = fields.get("timeout").and_then(|node| reader.span(node));
    let steps = reader
        .required(&fields, root, "steps", "an object with one entry for each step")
        .and_then(|node| drafts(reader, node))
        .and_then(|drafts| graph::link(reader, drafts));
    let schedules = match fields.get("schedules") {
        Some(node) => schedules::read(reader, node, input_schema.as_ref()),
        None => Vec::new(),
    };
    let replan = match (fields.get("replan"), &steps) {
        (Some(node), Some(steps)) => replan::read(reader, node, steps),
        _ => None,
    };
    Some(Workflow {
        name: name?,
        version: version?,
        source: Arc::from(reader.source),
        input_schema,
        subject,
        steps: steps?,
        timeout,
        schedules,
        replan,
        revised: Revised::default(),
    })
}

/// Its schema, and where in it the subject stands.
fn input(reader: &mut Reader<'_>, node: &Node) -> (Option<Arc<str>>, Option<Arc<str>>) {
    let Some(fields) = reader.object(node, "the input", &["schema", "subject"], &[]) else {
        return (None, None);
    };
    let subject = fields.get("subject").and_then(|node| part::subject(reader, node));
    let schema = fields.get("schema").and_then(|node| part::schema(reader, node));
    (schema, subject)
}

fn drafts<'n>(reader: &mut Reader<'_>, node: &'n Node) -> Option<Vec<Draft<'n>>> {
    let Value::Object(entries) = &node.value else {
        reader.wrong_type(node, "an object with one entry for each step");
        return None;
    };
    if entries.is_empty() {
        reader.at(node, Code::MissingField, "the workflow has no steps", "at least one step");
    }
    if entries.len() > STEPS_MAX {
        // Nothing else is said of such a file: it is not a plan that wants mending line by line.
        reader.at(
            node,
            Code::TooManySteps,
            format!("the workflow has {} steps", entries.len()),
            format!("at most {STEPS_MAX}; a list of many like items is one step with a map"),
        );
        return None;
    }
    Some(entries.iter().filter_map(|entry: &Entry| step::read(reader, entry)).collect())
}

#[cfg(test)]
mod tests;
