//! YAML 1.2 with the core schema as a located tree, from the events of `granit-parser`.
//!
//! Plain `true`, `null` and numbers are what JSON would call them; every other plain text is a text, so that
//! `no` is a word and a date is a text. Aliases, tags, complex keys and further documents are refused.

use granit_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, StrInput};

use super::{DEPTH_MAX, Entry, Flaw, Node, Seen, Value, child, insert, is_finite_number, item};
use crate::mistake::{Code, Position};

pub(super) fn read(source: &str, flaws: &mut Vec<Flaw>) -> Result<Node, Flaw> {
    let mut options = granit_parser::options! {
        flow_nesting_limit: DEPTH_MAX + 1,
        block_nesting_limit: DEPTH_MAX + 1,
        disallow_directives: true,
    };
    options.set_emit_comments(false);
    let mut reader = Reader { events: Parser::new_from_str_with_options(source, options), flaws };
    reader.document()
}

struct Reader<'s, 'f> {
    events: Parser<'s, StrInput<'s>>,
    flaws: &'f mut Vec<Flaw>,
}

impl<'s> Reader<'s, '_> {
    fn document(&mut self) -> Result<Node, Flaw> {
        let mut root = None;
        loop {
            let (event, span) = self.next("")?;
            match event {
                Event::StreamEnd => break,
                Event::DocumentStart(..) if root.is_some() => {
                    return Err(Flaw {
                        at: position(span.start),
                        path: String::new(),
                        code: Code::YamlFeature,
                        message: "a second document begins here".to_owned(),
                        expected: "one workflow in each file".to_owned(),
                    });
                }
                Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd => {}
                event => root = Some(self.node(event, span, String::new(), 0)?),
            }
        }
        root.ok_or_else(|| Flaw {
            at: Position::START,
            path: String::new(),
            code: Code::Syntax,
            message: "the file is empty".to_owned(),
            expected: "a workflow, or sections such as `tenants`".to_owned(),
        })
    }

    fn node(
        &mut self,
        event: Event<'s>,
        span: Span,
        path: String,
        depth: usize,
    ) -> Result<Node, Flaw> {
        let at = position(span.start);
        if event.tag().is_some() {
            self.refuse(at, &path, "a tag", "a plain value without a tag");
        }
        let mut range = 0..0;
        let value = match event {
            Event::Scalar(text, style, ..) => {
                let value = scalar(&text, style);
                if matches!(value, Value::Text(_)) {
                    range = span.byte_range().unwrap_or(0..0);
                }
                value
            }
            Event::SequenceStart(..) | Event::MappingStart(..) if depth == DEPTH_MAX => {
                return Err(too_deep(at, path));
            }
            Event::SequenceStart(..) => self.list(&path, depth)?,
            Event::MappingStart(..) => self.object(&path, depth)?,
            Event::Alias(..) | Event::UnresolvedAlias(..) => {
                self.refuse(at, &path, "an alias", "the value itself");
                Value::Null
            }
            _ => Value::Null,
        };
        Ok(Node { at, path, range, value })
    }

    fn list(&mut self, path: &str, depth: usize) -> Result<Value, Flaw> {
        let mut items = Vec::new();
        loop {
            let (event, span) = self.next(path)?;
            if matches!(event, Event::SequenceEnd) {
                return Ok(Value::List(items));
            }
            items.push(self.node(event, span, item(path, items.len()), depth + 1)?);
        }
    }

    fn object(&mut self, path: &str, depth: usize) -> Result<Value, Flaw> {
        let (mut entries, mut seen) = (Vec::new(), Seen::new());
        loop {
            let (event, span) = self.next(path)?;
            if matches!(event, Event::MappingEnd) {
                return Ok(Value::Object(entries));
            }
            let at = position(span.start);
            let key = if let Event::Scalar(text, ..) = &event {
                Some(text.clone().into_owned())
            } else {
                self.node(event, span, path.to_owned(), depth + 1)?;
                self.refuse(at, path, "a key that is not a text", "a text as key");
                None
            };
            let pointer = child(path, key.as_deref().unwrap_or(""));
            let (event, span) = self.next(&pointer)?;
            let node = self.node(event, span, pointer, depth + 1)?;
            if let Some(key) = key {
                insert(&mut entries, &mut seen, Entry { key, at, node }, self.flaws);
            }
        }
    }

    fn next(&mut self, path: &str) -> Result<(Event<'s>, Span), Flaw> {
        match self.events.next_event() {
            Some(Ok(next)) => Ok(next),
            Some(Err(error)) => Err(syntax(&error, path)),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn refuse(&mut self, at: Position, path: &str, what: &str, expected: &str) {
        self.flaws.push(Flaw {
            at,
            path: path.to_owned(),
            code: Code::YamlFeature,
            message: format!("{what} cannot be used here"),
            expected: expected.to_owned(),
        });
    }
}

fn too_deep(at: Position, path: String) -> Flaw {
    Flaw {
        at,
        path,
        code: Code::TooDeep,
        message: "lists and objects are nested too deep".to_owned(),
        expected: format!("at most {DEPTH_MAX} levels"),
    }
}

fn syntax(error: &ScanError, path: &str) -> Flaw {
    use granit_parser::ErrorKind;
    let at = position(*error.marker());
    match error.kind() {
        ErrorKind::UnknownAnchor => Flaw {
            at,
            path: path.to_owned(),
            code: Code::YamlFeature,
            message: "an alias cannot be used here".to_owned(),
            expected: "the value itself".to_owned(),
        },
        kind => {
            let text = error.info();
            if text.contains("nesting") || text.contains("recursion") {
                return too_deep(at, path.to_owned());
            }
            Flaw {
                at,
                path: path.to_owned(),
                code: Code::Syntax,
                message: format!("this is not YAML: {kind}"),
                expected: "YAML 1.2".to_owned(),
            }
        }
    }
}

fn position(marker: Marker) -> Position {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Position { line: number(marker.line()), column: number(marker.col()).saturating_add(1) }
}

/// The core schema of YAML 1.2, without the numbers that are none (`.inf`, `.nan` stay texts).
fn scalar(text: &str, style: ScalarStyle) -> Value {
    if style != ScalarStyle::Plain {
        return Value::Text(text.to_owned());
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        text => number(text).map_or_else(|| Value::Text(text.to_owned()), Value::Number),
    }
}

/// The number as JSON writes it: `+5` is `5`, `0x1f` is `31`, `.5` is `0.5`, `007` is `7`.
fn number(text: &str) -> Option<String> {
    let radix =
        |digits: &str, radix| u64::from_str_radix(digits, radix).ok().map(|n| n.to_string());
    if let Some(digits) = text.strip_prefix("0x").filter(|digits| !digits.starts_with('+')) {
        return radix(digits, 16);
    }
    if let Some(digits) = text.strip_prefix("0o").filter(|digits| !digits.starts_with('+')) {
        return radix(digits, 8);
    }
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    if !rest.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    let at_exponent = rest.find(['e', 'E']).unwrap_or(rest.len());
    let (mantissa, exponent) = rest.split_at(at_exponent);
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    let point = if fraction.is_empty() { "" } else { "." };
    let written = format!("{sign}{whole}{point}{fraction}{exponent}");
    is_finite_number(&written).then_some(written)
}
