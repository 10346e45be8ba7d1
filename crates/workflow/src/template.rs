//! Texts with values in them: prompts, bodies of JSON, and parts of an address.
//!
//! A template is written by whoever writes a workflow, its values come from runs. So a value can never become part of
//! what the template says: in JSON it stays one value, in an address one part. Names that are not given are mistakes,
//! never empty texts. There is no way from a template to another one, to a file or to the clock, and how much it works
//! and writes is bounded.
//!
//! The language is that of Jinja, without blocks, includes and macros: `{{ credit.score }}`, `{% if .. %}`,
//! `{% for .. %}`, `{% set .. %}` and filters.

use std::collections::BTreeSet;
use std::io;

use minijinja::value::{Serde, ValueKind};
use minijinja::{Environment, ErrorKind, Output, State, UndefinedBehavior, Value};
use serde::de::IgnoredAny;
use serde_json::Map;

/// Most of what a template makes. It is above what a model reads at once.
const OUTPUT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Most work for one text: so many steps, each of which may also be 64 bytes that are written or copied. A text of the
/// size above takes 65,536 and some.
const FUEL: u64 = 1_000_000;
/// Under this name the one template of an environment is kept. It ends in nothing that turns escaping on.
const NAME: &str = "template";

/// What becomes of the values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Texts as they are, everything else as JSON.
    Text,
    /// Everything as JSON, so that `{"name": {{ name }}}` is right and needs no quotes. The whole is JSON.
    Json,
    /// A part of an address: percent-encoded, and only what is a text, a number or a boolean.
    Url,
}

/// A template that has been read.
#[derive(Debug)]
pub struct Template {
    environment: Environment<'static>,
    mode: Mode,
    names: BTreeSet<String>,
}

/// What is wrong with the text of a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct TemplateMistake {
    /// From 1.
    pub line: usize,
    pub message: String,
}

/// Why a template makes no text of its values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    #[error("`{name}` is not given; {given}")]
    Unknown { name: String, given: String },
    #[error("line {line}: {message}")]
    Render { line: usize, message: String },
    #[error("the text is larger than {OUTPUT_BYTES_MAX} bytes")]
    TooLarge,
    #[error("line {line}: the template works too long")]
    TooLong { line: usize },
    #[error("the text is no JSON: {message}")]
    NotJson { message: String },
}

impl Template {
    /// Filters and tests that do not exist are found only when it is used.
    ///
    /// # Errors
    /// If the text is not in the language.
    pub fn parse(source: &str, mode: Mode) -> Result<Self, TemplateMistake> {
        let mut environment = environment(mode);
        environment.add_template_owned(NAME, source.to_owned()).map_err(|error| {
            TemplateMistake { line: error.line().unwrap_or(1), message: message(&error) }
        })?;
        let mut names: BTreeSet<_> =
            template(&environment).undeclared_variables(false).into_iter().collect();
        for (known, _) in environment.globals() {
            names.remove(known);
        }
        Ok(Self { environment, mode, names })
    }

    /// The inputs that it needs, by name. Each must be given, if only as null.
    pub fn names(&self) -> &BTreeSet<String> {
        &self.names
    }

    /// # Errors
    /// If a value is missing, or the text that comes out is beyond its bounds or, of JSON, none.
    pub fn render(&self, inputs: &Map<String, serde_json::Value>) -> Result<String, TemplateError> {
        if let Some(name) = self.names.iter().find(|name| !inputs.contains_key(*name)) {
            return Err(TemplateError::Unknown {
                name: name.clone(),
                given: given("there", inputs),
            });
        }
        let mut text = Bounded::default();
        let template = template(&self.environment);
        let rendered = template.render_captured_to(Value::from(Serde(inputs)), &mut text).map(drop);
        if text.is_full {
            return Err(TemplateError::TooLarge);
        }
        rendered.map_err(|error| self.error(&error, inputs))?;
        let text = String::from_utf8(text.bytes).expect("texts are written whole");
        if self.mode == Mode::Json {
            let parsed: Result<IgnoredAny, _> = serde_json::from_str(&text);
            parsed.map_err(|error| TemplateError::NotJson { message: error.to_string() })?;
        }
        Ok(text)
    }

    fn error(
        &self,
        error: &minijinja::Error,
        inputs: &Map<String, serde_json::Value>,
    ) -> TemplateError {
        let line = error.line().unwrap_or(1);
        match error.kind() {
            ErrorKind::OutOfFuel => TemplateError::TooLong { line },
            ErrorKind::UndefinedError => self
                .missing(inputs)
                .unwrap_or_else(|| TemplateError::Render { line, message: message(error) }),
            _ => TemplateError::Render { line, message: message(error) },
        }
    }

    /// The engine does not say which value is undefined: it is a path of the template that leads nowhere.
    fn missing(&self, inputs: &Map<String, serde_json::Value>) -> Option<TemplateError> {
        let paths = template(&self.environment).undeclared_variables(true);
        let paths: BTreeSet<_> = paths.into_iter().collect();
        paths.iter().find_map(|path| {
            let mut at = inputs;
            let mut seen = "there".to_owned();
            for (depth, name) in path.split('.').enumerate() {
                match at.get(name) {
                    None if depth > 0 => {
                        let given = given(&format!("in `{seen}`"), at);
                        return Some(TemplateError::Unknown { name: path.clone(), given });
                    }
                    Some(serde_json::Value::Object(fields)) => at = fields,
                    _ => return None,
                }
                seen = if depth == 0 { name.to_owned() } else { format!("{seen}.{name}") };
            }
            None
        })
    }
}

fn environment(mode: Mode) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    // They would make parts of the template out of values.
    for name in ["safe", "escape", "e"] {
        environment.remove_filter(name);
    }
    environment.remove_global("debug");
    environment.add_filter("tojson", |value: &Value| json(value).map(Value::from_safe_string));
    environment.set_formatter(match mode {
        Mode::Text => write_text,
        Mode::Json => write_json,
        Mode::Url => write_url,
    });
    environment
}

fn template<'e>(environment: &'e Environment<'static>) -> minijinja::Template<'e, 'e> {
    environment.get_template(NAME).expect("it was added when the template was read")
}

fn write_text(out: &mut Output<'_>, _: &mut State<'_, '_>, value: &Value) -> Written {
    let written = match value.as_str() {
        Some(text) => out.write_str(text),
        // An `if` without `else` within an expression.
        None if value.is_undefined() => Ok(()),
        None => out.write_str(&json(value)?),
    };
    Ok(written?)
}

/// What `tojson` has made is JSON already.
fn write_json(out: &mut Output<'_>, _: &mut State<'_, '_>, value: &Value) -> Written {
    let written = match value.as_str() {
        Some(text) if value.is_safe() => out.write_str(text),
        _ => out.write_str(&json(value)?),
    };
    Ok(written?)
}

/// A part that is `.` or `..` would be taken for a step within the path, however it is encoded.
fn write_url(out: &mut Output<'_>, _: &mut State<'_, '_>, value: &Value) -> Written {
    let refused = |what| minijinja::Error::new(ErrorKind::InvalidOperation, what);
    let text = match value.kind() {
        ValueKind::String => value.as_str().unwrap_or_default().to_owned(),
        ValueKind::Number | ValueKind::Bool => json(value)?,
        _ => return Err(refused("only a text, a number or a boolean can be part of an address")),
    };
    if matches!(text.as_str(), "." | "..") {
        return Err(refused("`.` and `..` cannot be part of an address"));
    }
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.write_str(char::from(byte).encode_utf8(&mut [0; 1]))?;
        } else {
            write!(out, "%{byte:02X}")?;
        }
    }
    Ok(())
}

type Written = Result<(), minijinja::Error>;

fn json(value: &Value) -> Result<String, minijinja::Error> {
    serde_json::to_string(value).map_err(|error| {
        minijinja::Error::new(ErrorKind::BadSerialization, "it has no form in JSON")
            .with_source(error)
    })
}

fn message(error: &minijinja::Error) -> String {
    match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    }
}

fn given(place: &str, inputs: &Map<String, serde_json::Value>) -> String {
    const SHOWN_MAX: usize = 20;
    if inputs.is_empty() {
        return format!("{place} is nothing");
    }
    let mut names: Vec<_> = inputs.keys().map(String::as_str).collect();
    names.sort_unstable();
    names.truncate(SHOWN_MAX);
    let more = if inputs.len() > SHOWN_MAX { ", ..." } else { "" };
    let verb = if inputs.len() == 1 { "is" } else { "are" };
    format!("{place} {verb} {}{more}", names.join(", "))
}

/// A text that grows to [`OUTPUT_BYTES_MAX`].
#[derive(Debug, Default)]
struct Bounded {
    bytes: Vec<u8>,
    is_full: bool,
}

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > OUTPUT_BYTES_MAX {
            self.is_full = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
