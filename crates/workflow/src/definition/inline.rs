//! Puts the schemas and templates that a definition names as files into its text, so that it can be sent where there are no
//! files. All else of the text stays as its author wrote it.

use super::model;
use super::reader::Reader;
use super::{Files, Known, Source};
use crate::mistake::{Code, Mistake};
use crate::tree::{self, Node, Value, quote};

/// The text with its schemas and templates in place, as JSON on one line; or what is wrong with the files.
///
/// A text that is no workflow is left for [`parse`](super::parse) to refuse.
pub fn inline(source: &Source<'_>, files: &Files<'_>) -> Result<String, Vec<Mistake>> {
    let known = Known::default();
    let mut reader = Reader::new(source, &known, files);
    let (Some(root), _) = tree::read(source.text, source.format, source.file) else {
        return Ok(source.text.to_owned());
    };
    let mut schemas = Vec::new();
    schemas.extend(member(&root, "input").and_then(|input| member(input, "schema")));
    if let Some(Node { value: Value::Object(steps), .. }) = member(&root, "steps") {
        let outputs = steps.iter().filter_map(|step| member(&step.node, "output"));
        schemas.extend(outputs.filter_map(|output| member(output, "schema")));
        let reviews = steps.iter().filter_map(|step| member(&step.node, "review"));
        schemas.extend(reviews.filter_map(|review| member(review, "form")));
    }
    let mut replaced = Vec::new();
    if let Some(Node { value: Value::Object(steps), .. }) = member(&root, "steps") {
        let of = |field| steps.iter().filter_map(move |step| member(&step.node, field));
        for node in of("prompt").chain(of("system")) {
            let Some(file) = model::file_of(node) else { continue };
            match (reader.files)(file) {
                Ok(text) => {
                    let text = serde_json::Value::from(text).to_string();
                    replaced.push((node.range.clone(), text));
                }
                Err(problem) => {
                    reader.at(node, Code::BadFile, problem, "a file that can be read");
                }
            }
        }
    }
    for node in schemas {
        if let Value::Text(file) = &node.value {
            replaced.extend(read(&mut reader, node, file).map(|json| (node.range.clone(), json)));
        }
    }
    let mistakes = reader.finish();
    if !mistakes.is_empty() {
        return Err(mistakes);
    }
    let mut text = source.text.to_owned();
    replaced.sort_by_key(|(range, _)| std::cmp::Reverse(range.start));
    for (range, json) in replaced {
        text.replace_range(range, &json);
    }
    Ok(text)
}

fn member<'n>(node: &'n Node, key: &str) -> Option<&'n Node> {
    match &node.value {
        Value::Object(entries) => {
            entries.iter().find(|entry| entry.key == key).map(|entry| &entry.node)
        }
        _ => None,
    }
}

fn read(reader: &mut Reader<'_>, node: &Node, file: &str) -> Option<String> {
    let text = (reader.files)(file)
        .map_err(|problem| reader.at(node, Code::BadFile, problem, "a file that can be read"))
        .ok()?;
    serde_json::from_str::<serde_json::Value>(&text)
        .map_err(|error| {
            let message = format!("{} is not JSON: {error}", quote(file));
            reader.at(node, Code::BadSchema, message, "a JSON Schema");
        })
        .ok()
        .map(|json| json.to_string())
}
