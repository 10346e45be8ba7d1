//! Reads single values from the located tree, and collects what is wrong with them.
//!
//! Every method answers `None` after it has reported a mistake, so that callers only say what they want.

use std::collections::BTreeMap;
use std::sync::Arc;

use fairlane_core::id::NameError;
use fairlane_core::time::Span;

use super::{Files, Known, Source};
use crate::mistake::{Code, MISTAKES_MAX, Mistake, nearest};
use crate::span;
use crate::tree::{Entry, Flaw, Node, Value, quote};

pub(super) struct Reader<'a> {
    pub(super) source: &'a str,
    pub(super) known: &'a Known,
    pub(super) files: &'a Files<'a>,
    /// What templates may read besides the `with` of their step.
    pub(super) also_given: Option<&'static str>,
    file: Arc<str>,
    mistakes: Vec<Mistake>,
}

/// The fields of an object that are known to the format.
pub(super) type Fields<'n> = BTreeMap<&'n str, &'n Node>;

impl<'a> Reader<'a> {
    pub(super) fn new(source: &Source<'a>, known: &'a Known, files: &'a Files<'a>) -> Self {
        Self {
            source: source.text,
            known,
            files,
            also_given: None,
            file: Arc::from(source.file),
            mistakes: Vec::new(),
        }
    }

    pub(super) fn finish(mut self) -> Vec<Mistake> {
        self.mistakes.sort_by_key(|mistake| (mistake.line, mistake.column));
        self.mistakes
    }

    pub(super) fn report(&mut self, flaw: Flaw) {
        let Flaw { at, path, code, message, expected } = flaw;
        if self.mistakes.len() < MISTAKES_MAX {
            let (line, column) = (at.line, at.column);
            let file = self.file.clone();
            self.mistakes.push(Mistake { file, line, column, path, code, message, expected });
        }
    }

    /// Reports a mistake of the key of an entry.
    pub(super) fn at_key(
        &mut self,
        entry: &Entry,
        code: Code,
        message: impl Into<String>,
        expected: impl Into<String>,
    ) {
        let (message, expected) = (message.into(), expected.into());
        let path = entry.node.path.clone();
        self.report(Flaw { at: entry.at, path, code, message, expected });
    }

    /// Reports a mistake of a value.
    pub(super) fn at(
        &mut self,
        node: &Node,
        code: Code,
        message: impl Into<String>,
        expected: impl Into<String>,
    ) {
        let (message, expected) = (message.into(), expected.into());
        self.report(Flaw { at: node.at, path: node.path.clone(), code, message, expected });
    }

    pub(super) fn wrong_type(&mut self, node: &Node, expected: &str) {
        let message = match &node.value {
            Value::Null => "there is no value".to_owned(),
            _ => format!("this is {}", node.describe()),
        };
        self.at(node, Code::WrongType, message, expected);
    }

    /// The fields of an object; those that the format does not have are refused, those of a later release
    /// by name.
    pub(super) fn object<'n>(
        &mut self,
        node: &'n Node,
        what: &str,
        known: &[&str],
        later: &[&str],
    ) -> Option<Fields<'n>> {
        let Value::Object(entries) = &node.value else {
            self.wrong_type(node, &format!("an object with the fields {}", known.join(", ")));
            return None;
        };
        let mut fields = BTreeMap::new();
        for entry in entries {
            let key = entry.key.as_str();
            if known.contains(&key) {
                fields.insert(key, &entry.node);
            } else if later.contains(&key) {
                let message =
                    format!("{key} is part of the format, but this release does not run it");
                self.at_key(entry, Code::NotAvailable, message, "a workflow without it");
            } else {
                let expected = match nearest(key, known.iter().copied()) {
                    Some(meant) => format!("{meant} (did you mean that?)"),
                    None => format!("one of {}", known.join(", ")),
                };
                let message = format!("{what} has no field {}", quote(key));
                self.at_key(entry, Code::UnknownField, message, expected);
            }
        }
        Some(fields)
    }

    pub(super) fn required<'n>(
        &mut self,
        fields: &Fields<'n>,
        of: &Node,
        name: &str,
        expected: &str,
    ) -> Option<&'n Node> {
        let found = fields.get(name).copied();
        if found.is_none() {
            self.at(of, Code::MissingField, format!("the field {name} is missing"), expected);
        }
        found
    }

    pub(super) fn text<'n>(&mut self, node: &'n Node, expected: &str) -> Option<&'n str> {
        if let Value::Text(text) = &node.value {
            Some(text)
        } else {
            self.wrong_type(node, expected);
            None
        }
    }

    /// A name, `what` says of what.
    pub(super) fn name<T>(
        &mut self,
        node: &Node,
        what: &str,
        parse: fn(&str) -> Result<T, NameError>,
    ) -> Option<T> {
        let text = self.text(node, &format!("the name of {what}, a text"))?;
        parse(text)
            .map_err(|error| {
                let message = format!("{} is no name of {what}: it {error}", quote(text));
                self.at(
                    node,
                    Code::BadName,
                    message,
                    "a name of 1 to 64 of the allowed characters",
                );
            })
            .ok()
    }

    pub(super) fn flag(&mut self, node: &Node) -> Option<bool> {
        if let Value::Bool(value) = &node.value {
            Some(*value)
        } else {
            self.wrong_type(node, "true or false");
            None
        }
    }

    pub(super) fn whole(&mut self, node: &Node, min: u64, max: u64) -> Option<u64> {
        let expected = format!("a whole number from {min} to {max}");
        let Value::Number(text) = &node.value else {
            self.wrong_type(node, &expected);
            return None;
        };
        let found = span::scaled(text, 0).filter(|number| (min..=max).contains(number));
        if found.is_none() {
            self.at(node, Code::OutOfRange, format!("{text} is out of range"), expected);
        }
        found
    }

    /// A span above zero.
    pub(super) fn span(&mut self, node: &Node) -> Option<Span> {
        let text = self.text(node, span::EXAMPLE)?;
        let found = span::parse(text);
        match found {
            Some(Span::ZERO) => {
                self.at(node, Code::OutOfRange, "the duration is zero", "a duration above zero");
                None
            }
            Some(found) => Some(found),
            None => {
                let message = format!("{} is not a duration", quote(text));
                self.at(
                    node,
                    Code::BadDuration,
                    message,
                    format!("{}, at most 3660d", span::EXAMPLE),
                );
                None
            }
        }
    }

    /// An amount with decimals as a whole number of its smallest parts.
    pub(super) fn decimal(
        &mut self,
        node: &Node,
        places: usize,
        max: u64,
        expected: &str,
    ) -> Option<u64> {
        let Value::Number(text) = &node.value else {
            self.wrong_type(node, expected);
            return None;
        };
        let found = span::scaled(text, places).filter(|amount| *amount <= max);
        if found.is_none() {
            self.at(node, Code::OutOfRange, format!("{text} is out of range"), expected);
        }
        found
    }
}
