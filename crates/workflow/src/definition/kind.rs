//! What a step does: a task, a call of a model or a tool, a wait, or a call of a child workflow. And which fields each of
//! them has.

use fairlane_core::id::{PoolName, SignalName, TaskName, WorkflowName};
use fairlane_core::plan::{StepKind, VERSIONS_MAX, Wait};

use super::expression::{self, Use};
use super::model;
use super::reader::{Fields, Reader};
use super::review;
use super::step::Which;
use crate::mistake::{Code, nearest};
use crate::tree::{Node, Value};

/// The kinds of steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Task,
    Model,
    /// `tool` without a task: the server calls it.
    Tool,
    Wait,
    Call,
    Review,
}

const EXPECTED: &str = "exactly one of task, model, wait, call, review; or a tool alone";

/// The fields that say what a step does.
const KINDS: &[(&str, Kind)] = &[
    ("task", Kind::Task),
    ("model", Kind::Model),
    ("wait", Kind::Wait),
    ("call", Kind::Call),
    ("review", Kind::Review),
];

/// The pool of a task that names none.
const POOL_DEFAULT: &str = "default";

/// The kind, as far as it is clear, and the step's work.
pub(super) fn read(
    reader: &mut Reader<'_>,
    node: &Node,
    fields: &Fields<'_>,
    uses: &mut Vec<Use>,
) -> (Which, Option<StepKind>) {
    let named: Vec<(&str, Kind, &Node)> = KINDS
        .iter()
        .filter_map(|(name, kind)| fields.get(name).map(|node| (*name, *kind, *node)))
        .collect();
    match named.as_slice() {
        [] if fields.contains_key("tool") => (Some(Kind::Tool), Some(StepKind::Tool)),
        [] => {
            reader.at(node, Code::MissingField, "the step does not say what it does", EXPECTED);
            (None, None)
        }
        [(_, kind, named)] => {
            let (step, node) = (node, named);
            let work = match kind {
                Kind::Task => task(reader, node, fields.get("pool").copied()),
                Kind::Model => model::read(reader, node, step, fields),
                Kind::Tool => Some(StepKind::Tool),
                Kind::Wait => wait(reader, node, uses).map(StepKind::Wait),
                Kind::Call => call(reader, node),
                Kind::Review => review::read(reader, node),
            };
            (Some(*kind), work)
        }
        [_, (second, _, node), ..] => {
            let names: Vec<&str> = named.iter().map(|(name, ..)| *name).collect();
            let message = format!("the step has {}; {second} is one too many", names.join(" and "));
            reader.at(node, Code::WrongField, message, EXPECTED);
            (None, None)
        }
    }
}

/// Refuses the fields that a step of this kind does not have, and takes them out.
pub(super) fn refuse_fields(reader: &mut Reader<'_>, which: Which, fields: &mut Fields<'_>) {
    const OF_MODELS: &[&str] = &["prompt", "system", "max_tokens", "min_tokens"];
    let (name, refused, of_models): (&str, &[&str], _) = match which {
        None => return,
        Some(Kind::Task) => ("task", &[], OF_MODELS),
        // Where it is called and what it costs is for the catalog to say.
        Some(Kind::Model) => ("model", &["pool", "cost", "tool"], &[][..]),
        Some(Kind::Tool) => ("tool", &["pool"], OF_MODELS),
        Some(Kind::Wait) => (
            "wait",
            &["pool", "with", "map", "retry", "expect", "cost", "tool", "output", "compensate"],
            OF_MODELS,
        ),
        // What people decide has a form, and its own bound.
        Some(Kind::Review) => (
            "review",
            &["pool", "retry", "expect", "cost", "tool", "output", "compensate"],
            OF_MODELS,
        ),
        // A child run retries its own steps and checks its own outputs; its end is the step's.
        Some(Kind::Call) => {
            ("call", &["pool", "retry", "expect", "cost", "tool", "output"], OF_MODELS)
        }
    };
    for field in refused.iter().chain(of_models) {
        if let Some(node) = fields.remove(field) {
            let message = format!("a step that is a {name} has no {field}");
            reader.at(node, Code::WrongField, message, format!("the step without {field}"));
        }
    }
}

fn task(reader: &mut Reader<'_>, node: &Node, pool: Option<&Node>) -> Option<StepKind> {
    let (task, pool) = task_in_pool(reader, node, pool)?;
    Some(StepKind::Task { task, pool })
}

/// A task and its pool, which must be declared where that is known.
pub(super) fn task_in_pool(
    reader: &mut Reader<'_>,
    node: &Node,
    pool: Option<&Node>,
) -> Option<(TaskName, PoolName)> {
    let task = reader.name(node, "a task", TaskName::parse);
    let pool_name = match pool {
        Some(node) => reader.name(node, "a pool", PoolName::parse)?,
        None => PoolName::parse(POOL_DEFAULT).expect("the default is a name"),
    };
    let task = task?;
    let Some(pools) = &reader.known.pools else { return Some((task, pool_name)) };
    let Some(tasks) = pools.get(&pool_name) else {
        let expected = match nearest(pool_name.as_str(), pools.keys().map(PoolName::as_str)) {
            Some(meant) => format!("{meant} (did you mean that?)"),
            None => one_of("the pools", pools.keys().map(PoolName::as_str)),
        };
        let message = format!("there is no pool {pool_name}");
        reader.at(pool.unwrap_or(node), Code::UnknownPool, message, expected);
        return None;
    };
    if let Some(tasks) = tasks
        && !tasks.contains(&task)
    {
        let expected = match nearest(task.as_str(), tasks.iter().map(TaskName::as_str)) {
            Some(meant) => format!("{meant} (did you mean that?)"),
            None => one_of("the tasks", tasks.iter().map(TaskName::as_str)),
        };
        let message = format!("the pool {pool_name} has no task {task}");
        reader.at(node, Code::UnknownTask, message, expected);
        return None;
    }
    Some((task, pool_name))
}

/// The names, if they are few.
fn one_of<'a>(what: &str, names: impl Iterator<Item = &'a str>) -> String {
    const SHOWN: usize = 10;
    let names: Vec<&str> = names.take(SHOWN + 1).collect();
    match names.len() {
        0 => format!("one of {what} that are declared (there are none)"),
        1..=SHOWN => format!("one of {}", names.join(", ")),
        _ => format!("one of {what} that are declared"),
    }
}

fn wait(reader: &mut Reader<'_>, node: &Node, uses: &mut Vec<Use>) -> Option<Wait> {
    let fields = reader.object(node, "a wait", &["for", "until", "signal"], &[])?;
    let Value::Object(entries) = &node.value else { return None };
    if fields.len() != 1 || entries.len() != 1 {
        if entries.len() == fields.len() {
            let message = format!("the wait has {} conditions", fields.len());
            reader.at(node, Code::WrongField, message, "exactly one of for, until, signal");
        }
        return None;
    }
    if let Some(node) = fields.get("for") {
        return reader.span(node).map(Wait::For);
    }
    if let Some(node) = fields.get("until") {
        let expected = "an expression for an RFC 3339 time, such as input.due";
        return expression::read_text(reader, node, uses, expected).map(Wait::Until);
    }
    fields
        .get("signal")
        .and_then(|node| reader.name(node, "a signal", SignalName::parse))
        .map(Wait::Signal)
}

fn call(reader: &mut Reader<'_>, node: &Node) -> Option<StepKind> {
    let fields = reader.object(node, "a call", &["workflow", "version"], &[])?;
    let workflow = reader
        .required(&fields, node, "workflow", "the name of the child workflow")
        .and_then(|node| reader.name(node, "a workflow", WorkflowName::parse));
    let version = match fields.get("version") {
        Some(node) => {
            let version = reader.whole(node, 1, u64::from(VERSIONS_MAX))?;
            Some(u32::try_from(version).ok()?)
        }
        None => None,
    };
    Some(StepKind::Call { workflow: workflow?, version })
}
