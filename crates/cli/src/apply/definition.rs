//! A workflow file: checked as the server would, and made ready to be sent.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Context;
use fairlane_core::id::PoolName;
use fairlane_core::plan::Workflow;
use fairlane_workflow::{Format, Known, Source, no_files, parse};
use serde_json::Value;

use super::located;
use crate::mistake::Mistake;

/// A definition without mistakes.
#[derive(Debug)]
pub(crate) struct Definition {
    pub(crate) name: String,
    pub(crate) version: u32,
    /// How many steps it has.
    pub(crate) steps: usize,
    pub(super) file: String,
    /// What is sent. The author's text, unless it names files: their content then stands in it, since the
    /// server reads no files.
    pub(super) text: String,
    pub(super) format: Format,
    /// What the author wrote.
    original: String,
    /// Tenants of its schedules.
    pub(super) tenants: BTreeSet<String>,
}

impl Definition {
    /// Reads a file. The inner error is everything that is wrong with it.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Result<Self, Vec<Mistake>>> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Self::parse(path, &text))
    }

    pub(super) fn parse(path: &Path, text: &str) -> Result<Self, Vec<Mistake>> {
        let file = path.display().to_string();
        let folder = path.parent().unwrap_or(Path::new("."));
        let files = |name: &str| {
            std::fs::read_to_string(folder.join(name))
                .map_err(|error| format!("the file {name:?} cannot be read: {error}"))
        };
        let workflow = read(&file, text, &Known::default(), &files)?;
        let tenants = workflow.schedules.iter().map(|schedule| schedule.tenant.to_string());
        let (sent, format) =
            self_contained(&file, text, &files).map_err(|mistake| vec![mistake])?;
        Ok(Self {
            name: workflow.name.to_string(),
            version: workflow.version,
            steps: workflow.steps.len(),
            tenants: tenants.collect(),
            file,
            text: sent,
            format,
            original: text.to_owned(),
        })
    }

    /// Steps whose pool is none of these.
    pub(super) fn check_pools(&self, pools: &BTreeSet<String>) -> Vec<Mistake> {
        let pools = pools.iter().filter_map(|name| Some((PoolName::parse(name).ok()?, None)));
        let known = Known { pools: Some(pools.collect()) };
        // Whatever else is said is known already, or is about files that are not read again.
        let mut mistakes = match read(&self.file, &self.original, &known, &no_files) {
            Ok(_) => Vec::new(),
            Err(mistakes) => mistakes,
        };
        mistakes.retain(|mistake| mistake.code == "unknown-pool");
        mistakes
    }
}

/// Reads a definition as the server would.
fn read(
    file: &str,
    text: &str,
    known: &Known,
    files: &fairlane_workflow::Files<'_>,
) -> Result<Workflow, Vec<Mistake>> {
    let source = Source { text, format: Format::Auto, file };
    parse(&source, known, files)
        .map_err(|mistakes| mistakes.into_iter().map(Mistake::from).collect())
}

/// The definition with the schemas in it that it names by file.
fn self_contained(
    file: &str,
    text: &str,
    files: &impl Fn(&str) -> Result<String, String>,
) -> Result<(String, Format), Mistake> {
    let is_json = Path::new(file).extension().is_some_and(|ending| ending == "json")
        || text.trim_start().starts_with('{');
    let written = if is_json { Format::Json } else { Format::Yaml };
    let mut value = located::read(file, text)?.to_json();
    let mut inlined = false;
    for schema in schemas(&mut value) {
        let Some(name) = schema.as_str() else { continue };
        // It was read a moment ago; one that is gone since stays a name, which the server refuses.
        if let Some(content) = files(name).ok().and_then(|text| serde_json::from_str(&text).ok()) {
            *schema = content;
            inlined = true;
        }
    }
    if inlined { Ok((value.to_string(), Format::Json)) } else { Ok((text.to_owned(), written)) }
}

/// The places where the format has a schema.
fn schemas(definition: &mut Value) -> Vec<&mut Value> {
    let Some(fields) = definition.as_object_mut() else { return Vec::new() };
    let mut found = Vec::new();
    for (field, value) in fields {
        match field.as_str() {
            "input" => found.extend(value.get_mut("schema")),
            "steps" => {
                let steps = value.as_object_mut().into_iter().flatten();
                found.extend(
                    steps.filter_map(|(_, step)| step.get_mut("output")?.get_mut("schema")),
                );
            }
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_schema_named_by_file_travels_in_the_definition() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("loan.yaml");
        std::fs::write(folder.path().join("loan.schema.json"), r#"{"type":"object"}"#).unwrap();
        let text = "workflow: loan\nversion: 1\ninput: { schema: loan.schema.json }\n\
            steps:\n  verify: { task: verify }\n";
        let definition = Definition::parse(&path, text).unwrap();
        assert_eq!(definition.format, Format::Json);
        let sent: Value = serde_json::from_str(&definition.text).unwrap();
        assert_eq!(sent["input"]["schema"], json!({ "type": "object" }));
    }

    #[test]
    fn a_definition_without_files_travels_as_it_is_written() {
        let text = "# by hand\nworkflow: loan\nversion: 2\nsteps:\n  verify: { task: verify, pool: fast }\n";
        let definition = Definition::parse(Path::new("loan.yaml"), text).unwrap();
        assert_eq!((definition.text.as_str(), definition.format), (text, Format::Yaml));
        assert_eq!(
            (definition.name.as_str(), definition.version, definition.steps),
            ("loan", 2, 1)
        );
        assert_eq!(definition.check_pools(&["fast".to_owned()].into()), []);
        let [mistake] = definition.check_pools(&BTreeSet::new()).try_into().unwrap();
        assert_eq!((mistake.line, mistake.code.as_str()), (5, "unknown-pool"));
    }
}
