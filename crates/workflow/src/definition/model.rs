//! A step that calls a model.

use std::collections::BTreeSet;
use std::sync::Arc;

use fairlane_core::catalog::TOKENS_MAX;
use fairlane_core::id::ModelName;
use fairlane_core::plan::{ModelCall, StepKind};

use super::reader::{Fields, Reader};
use crate::mistake::{Code, nearest};
use crate::template::{Mode, Template};
use crate::tree::{Node, Value, quote};

/// Most tokens that come out of a call whose author gives no bound.
const MAX_TOKENS_DEFAULT: u32 = 1_024;
/// The part of them that is worth a call, where the author gives none.
const MIN_TOKENS_PART: u32 = 4;
/// Longest template.
pub(super) const TEMPLATE_BYTES_MAX: usize = 256 << 10;

pub(super) fn read(
    reader: &mut Reader<'_>,
    node: &Node,
    step: &Node,
    fields: &Fields<'_>,
) -> Option<StepKind> {
    let model = reader.name(node, "a model", ModelName::parse);
    let expected = "the template of what the model is asked";
    let prompt = reader.required(fields, step, "prompt", expected);
    let mut given = names_of(fields.get("with").copied());
    given.extend(reader.also_given);
    let prompt = prompt.and_then(|node| template(reader, node, &given));
    let system = match fields.get("system") {
        Some(node) => Some(template(reader, node, &given)?),
        None => None,
    };
    let max_tokens = match fields.get("max_tokens") {
        Some(node) => tokens(reader, node)?,
        None => MAX_TOKENS_DEFAULT,
    };
    let min_tokens = match fields.get("min_tokens") {
        Some(node) => {
            let min_tokens = tokens(reader, node)?;
            if min_tokens > max_tokens {
                let message = format!("{min_tokens} tokens are more than may come out");
                reader.at(node, Code::TooLarge, message, format!("at most {max_tokens}"));
                return None;
            }
            min_tokens
        }
        None => max_tokens.div_ceil(MIN_TOKENS_PART),
    };
    let (model, prompt) = (model?, prompt?);
    Some(StepKind::Model(Box::new(ModelCall { model, system, prompt, max_tokens, min_tokens })))
}

fn tokens(reader: &mut Reader<'_>, node: &Node) -> Option<u32> {
    reader.whole(node, 1, u64::from(TOKENS_MAX)).and_then(|tokens| u32::try_from(tokens).ok())
}

/// The name of the file that a template is in, if it is in one: a text that is one word and ends like a file of text.
pub(super) fn file_of(node: &Node) -> Option<&str> {
    let Value::Text(text) = &node.value else { return None };
    let is_word = !text.contains(|c: char| c.is_whitespace() || c == '{');
    let is_file = [".md", ".txt", ".j2"].iter().any(|ending| text.ends_with(ending));
    (is_word && is_file).then_some(text)
}

/// The names that a template may read.
fn names_of(with: Option<&Node>) -> BTreeSet<&str> {
    match with.map(|node| &node.value) {
        Some(Value::Object(entries)) => entries.iter().map(|entry| entry.key.as_str()).collect(),
        _ => BTreeSet::new(),
    }
}

fn template(reader: &mut Reader<'_>, node: &Node, given: &BTreeSet<&str>) -> Option<Arc<str>> {
    let expected = "a text in place, or a file such as prompts/check.md";
    let text: Arc<str> = match file_of(node) {
        Some(file) => match (reader.files)(file) {
            Ok(text) => Arc::from(text),
            Err(problem) => {
                reader.at(node, Code::BadFile, problem, expected);
                return None;
            }
        },
        None => Arc::from(reader.text(node, expected)?),
    };
    if text.len() > TEMPLATE_BYTES_MAX {
        let message = format!("the template has {} bytes", text.len());
        reader.at(node, Code::TooLarge, message, format!("at most {TEMPLATE_BYTES_MAX}"));
        return None;
    }
    if text.trim().is_empty() {
        let message = format!("{} asks nothing", quote(&text));
        reader.at(node, Code::OutOfRange, message, expected);
        return None;
    }
    let template = match Template::parse(&text, Mode::Text) {
        Ok(template) => template,
        Err(mistake) => {
            let message = format!("the template cannot be read: {mistake}");
            reader.at(node, Code::BadTemplate, message, "a text with {{ name }} for each value");
            return None;
        }
    };
    let unknown: Vec<&str> =
        template.names().iter().map(String::as_str).filter(|name| !given.contains(name)).collect();
    for name in &unknown {
        let message = format!("the template reads {}, which the step is not given", quote(name));
        let expected = match nearest(name, given.iter().copied()) {
            Some(meant) => format!("{meant} (did you mean that?)"),
            None => format!("{name} in the with of the step"),
        };
        reader.at(node, Code::UnknownVariable, message, expected);
    }
    unknown.is_empty().then_some(text)
}
