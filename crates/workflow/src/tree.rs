//! A YAML or JSON text as one kind of tree in which every value knows its place.
//!
//! Both readers make the same tree, so that the format is checked once. The tree is what JSON can say: YAML's
//! anchors, aliases, tags and further documents are refused, which also rules out a small text that grows
//! large. Knows nothing of workflows.

mod json;
mod yaml;

use std::fmt::Write as _;
use std::ops::Range;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use crate::mistake::{Code, MISTAKES_MAX, Mistake, Position};

/// Largest source text. A workflow of the most steps that are allowed is a third of it.
pub const SOURCE_BYTES_MAX: usize = 1024 * 1024;
/// Deepest nesting of lists and objects; schemas are the deepest that real files hold, with about 20.
pub const DEPTH_MAX: usize = 64;

/// How a source text is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// By the file's ending; without one, JSON if the first character is a brace.
    #[default]
    Auto,
    Yaml,
    Json,
}

/// A value and where it stands.
#[derive(Debug)]
pub struct Node {
    pub at: Position,
    /// JSON pointer.
    pub path: String,
    /// Bytes of the source that the value takes, for texts; else empty.
    pub(crate) range: Range<usize>,
    pub value: Value,
}

#[derive(Debug)]
pub enum Value {
    Null,
    Bool(bool),
    /// As JSON writes it; finite.
    Number(String),
    Text(String),
    List(Vec<Node>),
    Object(Vec<Entry>),
}

#[derive(Debug)]
pub struct Entry {
    pub key: String,
    /// Where the key stands.
    pub at: Position,
    pub node: Node,
}

/// Something wrong with the text itself.
#[derive(Debug)]
pub(crate) struct Flaw {
    pub(crate) at: Position,
    pub(crate) path: String,
    pub(crate) code: Code,
    pub(crate) message: String,
    pub(crate) expected: String,
}

/// The tree, if there is one, and everything wrong with the text itself.
pub(crate) fn read(source: &str, format: Format, file: &str) -> (Option<Node>, Vec<Flaw>) {
    if source.len() > SOURCE_BYTES_MAX {
        let flaw = Flaw {
            at: Position::START,
            path: String::new(),
            code: Code::TooLarge,
            message: format!("the file has {} bytes", source.len()),
            expected: format!("at most {SOURCE_BYTES_MAX}"),
        };
        return (None, vec![flaw]);
    }
    read_text(source, format, file)
}

/// The tree of a text of any size that need not be a workflow, and all mistakes of the text itself.
pub fn read_any(source: &str, format: Format, file: &str) -> (Option<Node>, Vec<Mistake>) {
    let (root, flaws) = read_text(source, format, file);
    let file: Arc<str> = Arc::from(file);
    let mistakes = flaws.into_iter().take(MISTAKES_MAX).map(|flaw| Mistake {
        file: file.clone(),
        line: flaw.at.line,
        column: flaw.at.column,
        path: flaw.path,
        code: flaw.code,
        message: flaw.message,
        expected: flaw.expected,
    });
    (root, mistakes.collect())
}

fn read_text(source: &str, format: Format, file: &str) -> (Option<Node>, Vec<Flaw>) {
    let mut flaws = Vec::new();
    let outcome = match resolve(format, source, file) {
        Format::Json => json::read(source, &mut flaws),
        Format::Yaml | Format::Auto => yaml::read(source, &mut flaws),
    };
    match outcome {
        Ok(node) => (Some(node), flaws),
        Err(flaw) => {
            flaws.push(flaw);
            (None, flaws)
        }
    }
}

fn resolve(format: Format, source: &str, file: &str) -> Format {
    if format != Format::Auto {
        return format;
    }
    let ends =
        |ending: &str| file.len() > ending.len() && file[..].to_ascii_lowercase().ends_with(ending);
    if ends(".json") || !(ends(".yaml") || ends(".yml")) && source.trim_start().starts_with('{') {
        Format::Json
    } else {
        Format::Yaml
    }
}

/// As JSON, in the order of the source.
impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.value {
            Value::Object(entries) => {
                serializer.collect_map(entries.iter().map(|entry| (&entry.key, &entry.node)))
            }
            Value::List(items) => serializer.collect_seq(items),
            _ => self.to_json().serialize(serializer),
        }
    }
}

impl Node {
    /// What a sentence calls the value.
    pub(crate) fn describe(&self) -> String {
        match &self.value {
            Value::Null => "nothing".to_owned(),
            Value::Bool(value) => format!("{value}"),
            Value::Number(text) => format!("the number {text}"),
            Value::Text(text) => format!("the text {}", quote(text)),
            Value::List(_) => "a list".to_owned(),
            Value::Object(_) => "an object".to_owned(),
        }
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }

    /// The value without its places.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match &self.value {
            Value::Null => Json::Null,
            Value::Bool(value) => Json::Bool(*value),
            Value::Number(text) => {
                serde_json::from_str(text).expect("the readers keep only numbers that JSON reads")
            }
            Value::Text(text) => Json::String(text.clone()),
            Value::List(items) => Json::Array(items.iter().map(Self::to_json).collect()),
            Value::Object(entries) => Json::Object(
                entries.iter().map(|entry| (entry.key.clone(), entry.node.to_json())).collect(),
            ),
        }
    }

    /// Where byte `offset` of this text stands in the source. For a text whose source differs from its value
    /// (escapes, folded lines) this is the nearest place that is known.
    pub(crate) fn position_in_text(&self, source: &str, offset: usize) -> Position {
        let Value::Text(value) = &self.value else { return self.at };
        let slice = source.get(self.range.clone()).unwrap_or("");
        let before = value.get(..offset).unwrap_or(value);
        if let Some(at) = slice.find(value.as_str()) {
            return self.at.after(&slice[..at + before.len()]);
        }
        // A block: each line of the value stands in the source behind its indentation.
        let mut from = 0;
        let mut lines = before.split('\n').peekable();
        for whole in value.split('\n') {
            let Some(line) = lines.next() else { break };
            let Some(at) = slice[from..].find(whole) else { break };
            if lines.peek().is_none() {
                return self.at.after(&slice[..from + at + line.len()]);
            }
            from += at + whole.len();
        }
        self.at
    }
}

/// The text in quotes, cut if it is long.
pub(crate) fn quote(text: &str) -> String {
    const SHOWN: usize = 60;
    if text.chars().count() <= SHOWN {
        return format!("{text:?}");
    }
    let cut: String = text.chars().take(SHOWN).collect();
    format!("{cut:?}...")
}

/// The pointer to a member of the value at `path`.
pub(crate) fn child(path: &str, key: &str) -> String {
    let mut pointer = String::with_capacity(path.len() + key.len() + 1);
    pointer.push_str(path);
    pointer.push('/');
    for c in key.chars() {
        match c {
            '~' => pointer.push_str("~0"),
            '/' => pointer.push_str("~1"),
            c => pointer.push(c),
        }
    }
    pointer
}

/// The pointer to an item of the list at `path`.
pub(crate) fn item(path: &str, index: usize) -> String {
    let mut pointer = path.to_owned();
    write!(pointer, "/{index}").expect("writing to a string cannot fail");
    pointer
}

/// Adds an entry unless its key is there already.
pub(crate) fn insert(
    entries: &mut Vec<Entry>,
    seen: &mut Seen,
    entry: Entry,
    flaws: &mut Vec<Flaw>,
) {
    match seen.get(&entry.key) {
        None => {
            seen.insert(entry.key.clone(), entry.at);
            entries.push(entry);
        }
        Some(first) => flaws.push(Flaw {
            at: entry.at,
            path: entry.node.path,
            code: Code::Duplicate,
            message: format!("{} is given twice, first on line {}", quote(&entry.key), first.line),
            expected: "each key once".to_owned(),
        }),
    }
}

/// Keys of one object so far, and where they stand.
pub(crate) type Seen = std::collections::BTreeMap<String, Position>;

/// A number in JSON's notation, if it is one that a double can hold.
pub(crate) fn is_finite_number(text: &str) -> bool {
    serde_json::from_str::<serde_json::Number>(text)
        .is_ok_and(|number| number.as_f64().is_some_and(f64::is_finite))
}
