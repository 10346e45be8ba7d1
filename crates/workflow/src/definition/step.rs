//! One step: its fields, without what needs the other steps.

use std::collections::BTreeSet;

use fairlane_core::id::{StepName, ToolName};
use fairlane_core::plan::{Compensation, Expr, Judge, Map, Retry, StepKind, Timeouts};
use fairlane_core::time::Span;
use std::sync::Arc;

use super::expression::{self, Place, Use};
use super::kind::{self, Kind};
use super::part;
use super::reader::Reader;
use crate::mistake::{Code, Position};
use crate::tree::{Entry, Node, Value, quote};

/// Expected duration of an attempt where the author gives none.
pub(super) const EXPECTED_DEFAULT: Span = Span::from_secs(1);

/// Attempts of a model's call where the author says nothing of retries.
pub(super) const MODEL_ATTEMPTS_DEFAULT: u32 = 3;

/// Fields of a step, of whatever kind.
pub(super) const FIELDS: &[&str] = &[
    "task",
    "wait",
    "call",
    "review",
    "model",
    "prompt",
    "system",
    "max_tokens",
    "min_tokens",
    "pool",
    "after",
    "when",
    "with",
    "map",
    "retry",
    "timeout",
    "expect",
    "cost",
    "tool",
    "optional",
    "output",
    "compensate",
];

/// A step whose `after` is still a list of names.
#[derive(Debug)]
pub(super) struct Draft<'n> {
    pub(super) name: StepName,
    pub(super) at: Position,
    pub(super) path: &'n str,
    pub(super) after: Vec<(&'n Node, String)>,
    /// The expressions, to be checked against the graph.
    pub(super) uses: Vec<Use>,
    /// Missing if the step has a mistake that leaves it without one.
    pub(super) kind: Option<StepKind>,
    pub(super) when: Option<Expr>,
    pub(super) with: Vec<(String, Expr)>,
    pub(super) map: Option<Map>,
    pub(super) retry: Retry,
    pub(super) timeout: Timeouts,
    pub(super) expected: Span,
    pub(super) cost_nano: u64,
    pub(super) tool: Option<ToolName>,
    pub(super) optional: bool,
    pub(super) output_schema: Option<Arc<str>>,
    pub(super) judge: Judge,
    pub(super) compensate: Option<Compensation>,
}

pub(super) fn read<'n>(reader: &mut Reader<'_>, entry: &'n Entry) -> Option<Draft<'n>> {
    let name = name(reader, entry);
    let node = &entry.node;
    // A step without readable fields still is a step that others may name.
    let fields = reader.object(node, "a step", FIELDS, &[]);
    let mut uses = Vec::new();
    let (which, kind) = match &fields {
        Some(fields) => kind::read(reader, node, fields, &mut uses),
        None => (None, None),
    };
    let mut fields = fields.unwrap_or_default();
    kind::refuse_fields(reader, which, &mut fields);
    let map = fields.get("map").and_then(|node| part::map(reader, node, &mut uses));
    let place = if fields.contains_key("map") { Place::Item } else { Place::Step };
    let when = fields.get("when").and_then(|node| when(reader, node, &mut uses));
    let with = match fields.get("with") {
        Some(node) => expression::read_with(reader, node, place, &mut uses),
        None => Vec::new(),
    };
    let timeout = match fields.get("timeout") {
        Some(node) => part::timeouts(reader, node, which),
        None => Timeouts::default(),
    };
    let (output_schema, judge) = match fields.get("output") {
        Some(node) => output(reader, node, map.is_some(), &mut uses),
        None => (None, Judge::default()),
    };
    Some(Draft {
        name: name?,
        at: entry.at,
        path: &node.path,
        after: fields.get("after").map_or_else(Vec::new, |node| after(reader, node)),
        kind,
        when,
        with,
        map,
        retry: match fields.get("retry") {
            Some(node) => part::retry(reader, node).unwrap_or_default(),
            // A provider of models is now and then busy, and a text is not always the JSON that was asked for.
            None if which == Some(kind::Kind::Model) => {
                Retry { attempts: MODEL_ATTEMPTS_DEFAULT, ..Retry::default() }
            }
            None => Retry::default(),
        },
        timeout,
        expected: fields
            .get("expect")
            .and_then(|node| reader.span(node))
            .unwrap_or(EXPECTED_DEFAULT),
        cost_nano: fields.get("cost").and_then(|node| part::cost(reader, node)).unwrap_or(0),
        tool: fields.get("tool").and_then(|node| reader.name(node, "a tool", ToolName::parse)),
        optional: fields.get("optional").and_then(|node| reader.flag(node)).unwrap_or(false),
        output_schema,
        judge,
        compensate: fields
            .get("compensate")
            .and_then(|node| part::compensation(reader, node, &mut uses)),
        uses,
    })
}

fn name(reader: &mut Reader<'_>, entry: &Entry) -> Option<StepName> {
    let key = entry.key.as_str();
    let problem = match StepName::parse(key) {
        Ok(_) if key.starts_with(|c: char| c.is_ascii_digit()) => {
            "must not begin with a digit".to_owned()
        }
        Ok(_) if matches!(key, "in" | "true" | "false" | "null") => {
            "is a word of the expressions".to_owned()
        }
        Ok(name) => return Some(name),
        Err(error) => error.to_string(),
    };
    let message = format!("{} is no name of a step: it {problem}", quote(key));
    let expected = "1 to 64 letters, digits and _, because expressions say steps.NAME.output";
    reader.at_key(entry, Code::BadName, message, expected);
    None
}

/// The names after which the step comes, each once; whether there are such steps is checked with the graph.
fn after<'n>(reader: &mut Reader<'_>, node: &'n Node) -> Vec<(&'n Node, String)> {
    let expected = "the name of a step, or a list of names";
    let names: Vec<&Node> = match &node.value {
        Value::List(items) => items.iter().collect(),
        Value::Text(_) => vec![node],
        _ => {
            reader.wrong_type(node, expected);
            return Vec::new();
        }
    };
    let mut seen = BTreeSet::new();
    let mut after = Vec::new();
    for node in names {
        let Some(name) = reader.text(node, expected) else { continue };
        if seen.insert(name) {
            after.push((node, name.to_owned()));
        } else {
            let message = format!("{} is named twice", quote(name));
            reader.at(node, Code::Duplicate, message, "each step once");
        }
    }
    after
}

fn when(reader: &mut Reader<'_>, node: &Node, uses: &mut Vec<Use>) -> Option<Expr> {
    if let Value::Bool(value) = node.value {
        return Some(Expr(Arc::from(if value { "true" } else { "false" })));
    }
    let expected = "a condition such as steps.credit.output.score > 600";
    expression::read_text(reader, node, uses, expected)
}

/// A confidence that is written as a number: decimals that are read of it, and 1 with these.
const CONFIDENCE_PLACES: usize = 9;
const CONFIDENCE_MAX: u64 = 1_000_000_000;

/// Its schema, and what else is asked of it.
fn output(
    reader: &mut Reader<'_>,
    node: &Node,
    is_mapped: bool,
    uses: &mut Vec<Use>,
) -> (Option<Arc<str>>, Judge) {
    let known = ["schema", "check", "confidence", "threshold"];
    let Some(fields) = reader.object(node, "the output", &known, &[]) else {
        return (None, Judge::default());
    };
    let schema = fields.get("schema").and_then(|node| part::schema(reader, node));
    let mut judged = |name: &str| {
        let node = fields.get(name)?;
        if is_mapped {
            let message = format!("the output of a step that has a map has no {name}");
            reader.at(node, Code::WrongField, message, "a step behind it that looks at the list");
            return None;
        }
        match &node.value {
            Value::Bool(_) if name == "check" => {}
            Value::Number(_) if name != "check" => {
                reader.decimal(node, CONFIDENCE_PLACES, CONFIDENCE_MAX, "a number from 0 to 1")?;
            }
            Value::Text(_) => {}
            _ => {
                let example =
                    if name == "check" { "a condition" } else { "a number or an expression" };
                reader.wrong_type(node, example);
                return None;
            }
        }
        expression::read(reader, node, Place::Own, uses)
    };
    let (check, confidence) = (judged("check"), judged("confidence"));
    let least = judged("threshold");
    if let (Some(node), None) = (fields.get("threshold"), fields.get("confidence")) {
        let message = "a threshold for something that is not said";
        reader.at(node, Code::MissingField, message, "confidence beside it");
    }
    (schema, Judge { check, confidence, least })
}

/// Which kind of step the fields are read for; `None` if that is not clear.
pub(super) type Which = Option<Kind>;
