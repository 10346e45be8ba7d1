//! The parts of a definition that hold values of their own: retry, timeouts, map, compensation, cost, schema.

use std::sync::Arc;

use fairlane_core::money::Nano;
use fairlane_core::plan::{Compensation, MAP_ITEMS_MAX, Map, Retry, Timeouts};
use fairlane_core::time::Span;

use super::expression::{self, Place, Use};
use super::kind::{Kind, task_in_pool};
use super::reader::Reader;
use super::step::Which;
use crate::mistake::Code;
use crate::schema::{self, SCHEMA_BYTES_MAX};
use crate::span;
use crate::tree::{Node, Value, quote};

/// Most attempts of one step: with the longest backoff that is a year of trying.
pub(super) const ATTEMPTS_MAX: u32 = 100;
/// Items of a map at once, where the author gives no number.
const PARALLEL_DEFAULT: u32 = 10;
/// Items of a map, where the author gives no bound.
const ITEMS_DEFAULT: u32 = 1_000;
/// Decimal places of an amount of money: nano-units.
const COST_PLACES: usize = 9;

pub(super) fn retry(reader: &mut Reader<'_>, node: &Node) -> Option<Retry> {
    let fields = reader.object(node, "a retry", &["attempts", "backoff", "jitter"], &[])?;
    let defaults = Retry::default();
    let attempts = match fields.get("attempts") {
        Some(node) => {
            reader.whole(node, 1, u64::from(ATTEMPTS_MAX)).and_then(|n| u32::try_from(n).ok())
        }
        None => Some(defaults.attempts),
    };
    let (backoff_min, backoff_max) = match fields.get("backoff") {
        Some(node) => backoff(reader, node).unwrap_or_default(),
        None => (defaults.backoff_min, defaults.backoff_max),
    };
    let jitter = match fields.get("jitter") {
        Some(node) => reader
            .decimal(node, 3, 1_000, "a number from 0 to 1 with at most 3 decimals")
            .and_then(|n| u32::try_from(n).ok()),
        None => Some(defaults.jitter_permille),
    };
    Some(Retry { attempts: attempts?, backoff_min, backoff_max, jitter_permille: jitter? })
}

fn backoff(reader: &mut Reader<'_>, node: &Node) -> Option<(Span, Span)> {
    let expected = "a duration such as 1s, or a range such as 1s..30s";
    let text = reader.text(node, expected)?;
    match span::parse_range(text) {
        Some((min, max)) if min <= max => Some((min, max)),
        Some(_) => {
            let message = format!("the range {} ends before it begins", quote(text));
            reader.at(node, Code::OutOfRange, message, "the shorter wait first, as in 1s..30s");
            None
        }
        None => {
            let message = format!("{} is not a range of durations", quote(text));
            reader.at(node, Code::BadDuration, message, expected);
            None
        }
    }
}

/// A duration alone bounds one attempt, or the step if it has no attempts.
pub(super) fn timeouts(reader: &mut Reader<'_>, node: &Node, which: Which) -> Timeouts {
    let mut timeouts = Timeouts::default();
    let has_attempts = matches!(which, None | Some(Kind::Task | Kind::Model | Kind::Tool));
    if !matches!(node.value, Value::Object(_)) {
        if let Some(span) = reader.span(node) {
            if has_attempts {
                timeouts.attempt = span;
            } else {
                timeouts.step = Some(span);
            }
        }
        return timeouts;
    }
    let known: &[&str] = if has_attempts { &["queue", "attempt", "step"] } else { &["step"] };
    let Some(fields) = reader.object(node, "the timeout of this step", known, &[]) else {
        return timeouts;
    };
    timeouts.queue = fields.get("queue").and_then(|node| reader.span(node));
    timeouts.step = fields.get("step").and_then(|node| reader.span(node));
    if let Some(span) = fields.get("attempt").and_then(|node| reader.span(node)) {
        timeouts.attempt = span;
    }
    timeouts
}

pub(super) fn map(reader: &mut Reader<'_>, node: &Node, uses: &mut Vec<Use>) -> Option<Map> {
    let fields = reader.object(node, "a map", &["over", "parallel", "max"], &[])?;
    let over = reader
        .required(&fields, node, "over", "an expression for a list, such as input.items")
        .and_then(|node| expression::read(reader, node, Place::Step, uses));
    let mut count = |name: &str, default: u32| match fields.get(name) {
        Some(node) => {
            reader.whole(node, 1, u64::from(MAP_ITEMS_MAX)).and_then(|n| u32::try_from(n).ok())
        }
        None => Some(default),
    };
    let parallel = count("parallel", PARALLEL_DEFAULT);
    let items_max = count("max", ITEMS_DEFAULT);
    Some(Map { over: over?, parallel: parallel?, items_max: items_max? })
}

pub(super) fn compensation(
    reader: &mut Reader<'_>,
    node: &Node,
    uses: &mut Vec<Use>,
) -> Option<Compensation> {
    let known = ["task", "pool", "with", "retry", "timeout"];
    let fields = reader.object(node, "a compensation", &known, &[])?;
    let task = reader
        .required(&fields, node, "task", "the task that undoes the step")
        .and_then(|task| task_in_pool(reader, task, fields.get("pool").copied()));
    let with = match fields.get("with") {
        Some(node) => expression::read_with(reader, node, Place::Compensation, uses),
        None => Vec::new(),
    };
    let retry = fields.get("retry").and_then(|node| retry(reader, node)).unwrap_or_default();
    let attempt_timeout = fields
        .get("timeout")
        .and_then(|node| reader.span(node))
        .unwrap_or(Timeouts::ATTEMPT_DEFAULT);
    let (task, pool) = task?;
    Some(Compensation { task, pool, with, retry, attempt_timeout })
}

pub(super) fn cost(reader: &mut Reader<'_>, node: &Node) -> Option<u64> {
    let expected = "an amount from 0 to 1000000000 with at most 9 decimals";
    reader.decimal(node, COST_PLACES, Nano::MAX.0, expected)
}

/// Where in the input the person stands whom the run is about: a path such as `applicant.id`.
pub(super) fn subject(reader: &mut Reader<'_>, node: &Node) -> Option<Arc<str>> {
    let expected = "a path into the input, such as applicant.id";
    let text = reader.text(node, expected)?;
    let is_path = text.split('.').all(|field| {
        field.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && field.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    });
    if !is_path {
        reader.at(node, Code::BadName, format!("{} is not a path", quote(text)), expected);
    }
    is_path.then(|| text.into())
}

/// A JSON Schema: written in place, or the name of a file that holds it.
pub(super) fn schema(reader: &mut Reader<'_>, node: &Node) -> Option<Arc<str>> {
    let json = match &node.value {
        Value::Object(_) => node.to_json(),
        Value::Text(file) => {
            let text = (reader.files)(file)
                .map_err(|problem| {
                    reader.at(
                        node,
                        Code::BadFile,
                        problem,
                        "a schema in place, or a file that can be read",
                    );
                })
                .ok()?;
            if text.len() > SCHEMA_BYTES_MAX {
                return too_large(reader, node, text.len());
            }
            serde_json::from_str(&text)
                .map_err(|error| {
                    let message = format!("{} is not JSON: {error}", quote(file));
                    reader.at(node, Code::BadSchema, message, "a JSON Schema");
                })
                .ok()?
        }
        _ => {
            reader.wrong_type(node, "a JSON Schema in place, or the name of a file");
            return None;
        }
    };
    if let Err(problem) = schema::compile(&json) {
        let message = format!("this is not a JSON Schema: {problem}");
        reader.at(
            node,
            Code::BadSchema,
            message,
            "a JSON Schema of draft 2020-12 that refers to itself at most",
        );
        return None;
    }
    let text = json.to_string();
    if text.len() > SCHEMA_BYTES_MAX {
        return too_large(reader, node, text.len());
    }
    Some(Arc::from(text))
}

fn too_large(reader: &mut Reader<'_>, node: &Node, bytes: usize) -> Option<Arc<str>> {
    let message = format!("the schema has {bytes} bytes");
    reader.at(node, Code::TooLarge, message, format!("at most {SCHEMA_BYTES_MAX}"));
    None
}
