//! Expressions in a definition: read at their place, and noted for the check against the graph.

use std::fmt::Write as _;
use std::sync::Arc;

use fairlane_core::id::StepName;
use fairlane_core::plan::Expr;

use super::reader::Reader;
use crate::expr::{self, Compiled, Wrong};
use crate::mistake::{Code, Position};
use crate::tree::{Flaw, Node, Value, quote};

/// Most entries of one `with`.
pub(super) const WITH_MAX: usize = 64;
/// Longest name of an entry.
const NAME_BYTES_MAX: usize = 64;

/// Where an expression stands, which decides what it may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Steps upstream.
    Step,
    /// Steps upstream, and the item of the map.
    Item,
    /// Every step: when it runs, the others have ended.
    Compensation,
    /// Steps upstream, and the output of the step itself.
    Own,
}

/// A step, or the item of a map, that an expression reads.
#[derive(Debug)]
pub(super) struct Use {
    pub(super) at: Position,
    pub(super) path: String,
    pub(super) place: Place,
    /// `None` for `item` and `index`.
    pub(super) step: Option<StepName>,
}

/// The expression that the value is: a text is read as CEL, anything else stands for itself.
pub(super) fn read(
    reader: &mut Reader<'_>,
    node: &Node,
    place: Place,
    uses: &mut Vec<Use>,
) -> Option<Expr> {
    match &node.value {
        Value::Text(text) => {
            let text = text.trim_end();
            check(reader, node, text, place, uses)?;
            Some(Expr(Arc::from(text)))
        }
        Value::Null => {
            reader.wrong_type(node, "an expression");
            None
        }
        _ => {
            let text = literal(reader, node, place, uses)?;
            // The parts are right; together they can still be too large.
            expr::compile(&text)
                .map_err(|wrongs| {
                    if let Some(wrong) = wrongs.into_iter().next() {
                        reader.at(node, wrong.code, wrong.message, wrong.expected);
                    }
                })
                .ok()?;
            Some(Expr(Arc::from(text)))
        }
    }
}

/// An expression that must be written as a text.
pub(super) fn read_text(
    reader: &mut Reader<'_>,
    node: &Node,
    uses: &mut Vec<Use>,
    expected: &str,
) -> Option<Expr> {
    if matches!(node.value, Value::Text(_)) {
        return read(reader, node, Place::Step, uses);
    }
    reader.wrong_type(node, expected);
    None
}

/// The entries of a `with`, in the order of the file.
pub(super) fn read_with(
    reader: &mut Reader<'_>,
    node: &Node,
    place: Place,
    uses: &mut Vec<Use>,
) -> Vec<(String, Expr)> {
    let Value::Object(entries) = &node.value else {
        reader.wrong_type(node, "an object of names and expressions");
        return Vec::new();
    };
    if entries.len() > WITH_MAX {
        let message = format!("there are {} entries", entries.len());
        reader.at(node, Code::TooLarge, message, format!("at most {WITH_MAX}"));
        return Vec::new();
    }
    let mut with = Vec::with_capacity(entries.len());
    for entry in entries {
        if entry.key.is_empty() || entry.key.len() > NAME_BYTES_MAX {
            let message = format!("{} has {} bytes", quote(&entry.key), entry.key.len());
            let expected = format!("a name of 1 to {NAME_BYTES_MAX} bytes");
            reader.at_key(entry, Code::BadName, message, expected);
        }
        let expression = if entry.node.is_null() {
            Some(Expr(Arc::from("null")))
        } else {
            read(reader, &entry.node, place, uses)
        };
        with.extend(expression.map(|expression| (entry.key.clone(), expression)));
    }
    with
}

fn check(
    reader: &mut Reader<'_>,
    node: &Node,
    text: &str,
    place: Place,
    uses: &mut Vec<Use>,
) -> Option<()> {
    match expr::compile(text) {
        Ok(compiled) => {
            note(reader, node, &compiled, place, uses);
            report(reader, node, compiled.never);
            Some(())
        }
        Err(wrongs) => {
            report(reader, node, wrongs);
            None
        }
    }
}

fn report(reader: &mut Reader<'_>, node: &Node, wrongs: Vec<Wrong>) {
    for wrong in wrongs {
        let at = node.position_in_text(reader.source, wrong.offset);
        let Wrong { code, message, expected, .. } = wrong;
        reader.report(Flaw { at, path: node.path.clone(), code, message, expected });
    }
}

fn note(reader: &Reader<'_>, node: &Node, compiled: &Compiled, place: Place, uses: &mut Vec<Use>) {
    uses.extend(compiled.spots.iter().map(|spot| Use {
        at: node.position_in_text(reader.source, spot.offset),
        path: node.path.clone(),
        place,
        step: spot.step.clone(),
    }));
}

/// A value of the file as the text of an expression. Texts in it are expressions, as everywhere in `with`.
fn literal(
    reader: &mut Reader<'_>,
    node: &Node,
    place: Place,
    uses: &mut Vec<Use>,
) -> Option<String> {
    Some(match &node.value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(text) => number(text),
        Value::Text(text) => {
            check(reader, node, text, place, uses)?;
            format!("({})", text.trim_end())
        }
        Value::List(items) => {
            let mut text = String::from("[");
            let mut complete = true;
            for (at, item) in items.iter().enumerate() {
                let comma = if at > 0 { ", " } else { "" };
                match literal(reader, item, place, uses) {
                    Some(item) => {
                        write!(text, "{comma}{item}").expect("writing to a string cannot fail");
                    }
                    None => complete = false,
                }
            }
            text.push(']');
            return complete.then_some(text);
        }
        Value::Object(entries) => {
            let mut text = String::from("{");
            let mut complete = true;
            for (at, entry) in entries.iter().enumerate() {
                let comma = if at > 0 { ", " } else { "" };
                // A text of JSON is a text of CEL: what JSON escapes, CEL reads alike.
                let key = serde_json::Value::String(entry.key.clone());
                match literal(reader, &entry.node, place, uses) {
                    Some(value) => {
                        write!(text, "{comma}{key}: {value}")
                            .expect("writing to a string cannot fail");
                    }
                    None => complete = false,
                }
            }
            text.push('}');
            return complete.then_some(text);
        }
    })
}

/// A number of JSON as CEL writes it: whole ones are `int` or `uint` if these can hold them.
fn number(text: &str) -> String {
    if text.parse::<i64>().is_ok() || text.contains(['.', 'e', 'E']) {
        return text.to_owned();
    }
    if text.parse::<u64>().is_ok() { format!("{text}u") } else { format!("{text}.0") }
}
