//! A YAML or JSON file as a tree whose values know their places, so that a mistake can be shown where it is.

use std::collections::BTreeMap;

use fairlane_workflow::{Format, Position, tree};
use serde_json::Value;

use crate::mistake::Mistake;

/// Line and column, both from 1.
pub(crate) type Place = (u32, u32);

/// A value, and where it and what is in it stands.
#[derive(Debug)]
pub(crate) struct Located {
    pub(crate) at: Place,
    pub(crate) content: Content,
}

#[derive(Debug)]
pub(crate) enum Content {
    /// Null, a truth value, a number or a text.
    Scalar(Value),
    List(Vec<Located>),
    Object(BTreeMap<String, Entry>),
}

#[derive(Debug)]
pub(crate) struct Entry {
    /// Where the key stands.
    pub(crate) at: Place,
    pub(crate) value: Located,
}

/// Reads a file: the tree, unless the text makes none, and everything that is wrong with the text itself.
pub(crate) fn read(file: &str, text: &str) -> (Option<Located>, Vec<Mistake>) {
    let (root, mistakes) = tree::read_any(text, Format::Auto, file);
    (root.map(Located::from), mistakes.into_iter().map(Mistake::from).collect())
}

impl From<tree::Node> for Located {
    fn from(node: tree::Node) -> Self {
        let content = match node.value {
            tree::Value::List(items) => Content::List(items.into_iter().map(Self::from).collect()),
            tree::Value::Object(entries) => {
                let entry = |entry: tree::Entry| {
                    (entry.key, Entry { at: place(entry.at), value: Self::from(entry.node) })
                };
                Content::Object(entries.into_iter().map(entry).collect())
            }
            tree::Value::Null => Content::Scalar(Value::Null),
            tree::Value::Bool(value) => Content::Scalar(value.into()),
            tree::Value::Text(text) => Content::Scalar(text.into()),
            // The reader keeps only numbers that JSON has.
            tree::Value::Number(text) => {
                Content::Scalar(serde_json::from_str(&text).unwrap_or(Value::Null))
            }
        };
        Self { at: place(node.at), content }
    }
}

const fn place(at: Position) -> Place {
    (at.line, at.column)
}

impl Located {
    pub(crate) const fn object(&self) -> Option<&BTreeMap<String, Entry>> {
        match &self.content {
            Content::Object(entries) => Some(entries),
            _ => None,
        }
    }

    /// The value without its places.
    pub(crate) fn to_json(&self) -> Value {
        match &self.content {
            Content::Scalar(value) => value.clone(),
            Content::List(items) => Value::Array(items.iter().map(Self::to_json).collect()),
            Content::Object(entries) => Value::Object(
                entries.iter().map(|(key, entry)| (key.clone(), entry.value.to_json())).collect(),
            ),
        }
    }

    /// Where the value at a JSON pointer stands; of a value that is not there, what it would stand in.
    pub(crate) fn place(&self, pointer: &str) -> Place {
        self.nearest(pointer).0
    }

    /// Where the key of the value at a JSON pointer stands, or the value if it has none.
    pub(crate) fn key_place(&self, pointer: &str) -> Place {
        let (at, key) = self.nearest(pointer);
        key.unwrap_or(at)
    }

    fn nearest(&self, pointer: &str) -> (Place, Option<Place>) {
        let (mut node, mut key) = (self, None);
        for segment in pointer.split('/').skip(1) {
            let segment = segment.replace("~1", "/").replace("~0", "~");
            let child = match &node.content {
                Content::Object(entries) => {
                    entries.get(&segment).map(|entry| (&entry.value, Some(entry.at)))
                }
                Content::List(items) => {
                    segment.parse::<usize>().ok().and_then(|at| Some((items.get(at)?, None)))
                }
                Content::Scalar(_) => None,
            };
            let Some(child) = child else { return (node.at, None) };
            (node, key) = child;
        }
        (node.at, key)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const FILE: &str =
        "tiers:\n  free:\n    weight: 1\n    cap: 3 # slots\npools: {a/b: {slots: [1, \"2\"]}}\n";

    fn good(text: &str) -> Located {
        let (root, mistakes) = read("f", text);
        assert_eq!(mistakes, []);
        root.unwrap()
    }

    #[test]
    fn values_are_what_json_would_call_them() {
        let located = good(FILE);
        let value = json!({
            "tiers": { "free": { "weight": 1, "cap": 3 } }, "pools": { "a/b": { "slots": [1, "2"] } }
        });
        assert_eq!(located.to_json(), value);
        assert_eq!(good(&value.to_string()).to_json(), value);
    }

    #[test]
    fn every_value_and_key_knows_its_place() {
        let located = good(FILE);
        for (pointer, value, key) in [
            ("/tiers/free/cap", (4, 10), (4, 5)),
            ("/tiers/free", (3, 5), (2, 3)),
            ("/pools/a~1b/slots/1", (5, 26), (5, 26)),
            ("/tiers/free/missing", (3, 5), (3, 5)),
        ] {
            assert_eq!(located.place(pointer), value, "{pointer}");
            assert_eq!(located.key_place(pointer), key, "{pointer}");
        }
    }

    #[test]
    fn what_is_wrong_with_the_text_is_said_with_its_place() {
        let (root, mistakes) = read("f", "tiers:\n  a: [1\nb: 2\n");
        assert!(root.is_none());
        assert_eq!((mistakes[0].code.as_str(), mistakes[0].line), ("syntax", 3));
        let (root, mistakes) = read("f", "a: 1\na: 2\n");
        assert_eq!(root.unwrap().to_json(), json!({ "a": 1 }));
        assert_eq!((mistakes[0].code.as_str(), mistakes[0].line), ("duplicate", 2));
    }
}
