//! JSON (RFC 8259) as a located tree.
//!
//! Recursive descent over the bytes; recursion is bounded by [`DEPTH_MAX`]. Stops at the first error of
//! syntax, because what follows it has no certain meaning; duplicate keys are noted and reading goes on.

use super::{DEPTH_MAX, Entry, Flaw, Node, Seen, Value, child, insert, is_finite_number, item};
use crate::mistake::{Code, Position};

pub(super) fn read(source: &str, flaws: &mut Vec<Flaw>) -> Result<Node, Flaw> {
    let mut reader = Reader { source, offset: 0, at: Position::START, flaws };
    if source.starts_with('\u{feff}') {
        reader.offset = '\u{feff}'.len_utf8();
    }
    let node = reader.value(String::new(), 0)?;
    reader.space();
    match reader.peek() {
        None => Ok(node),
        Some(c) => Err(reader.flaw(&format!("{c:?} follows the value"), "the end of the text")),
    }
}

struct Reader<'s, 'f> {
    source: &'s str,
    offset: usize,
    at: Position,
    flaws: &'f mut Vec<Flaw>,
}

impl<'s> Reader<'s, '_> {
    fn value(&mut self, path: String, depth: usize) -> Result<Node, Flaw> {
        self.space();
        let (at, start) = (self.at, self.offset);
        let value = match self.peek() {
            Some('{' | '[') if depth == DEPTH_MAX => {
                return Err(Flaw {
                    at,
                    path,
                    code: Code::TooDeep,
                    message: "lists and objects are nested too deep".to_owned(),
                    expected: format!("at most {DEPTH_MAX} levels"),
                });
            }
            Some('{') => self.object(&path, depth)?,
            Some('[') => self.list(&path, depth)?,
            Some('"') => Value::Text(self.text()?),
            Some('-' | '0'..='9') => self.number()?,
            Some('a'..='z') => self.word()?,
            _ => return Err(self.unexpected("a value")),
        };
        let is_text = matches!(value, Value::Text(_));
        let range = if is_text { start..self.offset } else { 0..0 };
        Ok(Node { at, path, range, value })
    }

    fn object(&mut self, path: &str, depth: usize) -> Result<Value, Flaw> {
        self.take();
        let (mut entries, mut seen) = (Vec::new(), Seen::new());
        self.space();
        if self.skip('}') {
            return Ok(Value::Object(entries));
        }
        loop {
            self.space();
            let at = self.at;
            if self.peek() != Some('"') {
                return Err(self.unexpected("a key in double quotes"));
            }
            let key = self.text()?;
            self.space();
            if !self.skip(':') {
                return Err(self.unexpected("a colon after the key"));
            }
            let node = self.value(child(path, &key), depth + 1)?;
            insert(&mut entries, &mut seen, Entry { key, at, node }, self.flaws);
            self.space();
            if self.skip('}') {
                return Ok(Value::Object(entries));
            }
            if !self.skip(',') {
                return Err(self.unexpected("a comma or a closing brace"));
            }
        }
    }

    fn list(&mut self, path: &str, depth: usize) -> Result<Value, Flaw> {
        self.take();
        let mut items = Vec::new();
        self.space();
        if self.skip(']') {
            return Ok(Value::List(items));
        }
        loop {
            items.push(self.value(item(path, items.len()), depth + 1)?);
            self.space();
            if self.skip(']') {
                return Ok(Value::List(items));
            }
            if !self.skip(',') {
                return Err(self.unexpected("a comma or a closing bracket"));
            }
        }
    }

    /// A string: finds its end, and leaves the escapes to `serde_json`.
    fn text(&mut self) -> Result<String, Flaw> {
        let (at, start) = (self.at, self.offset);
        self.take();
        loop {
            match self.take() {
                Some('"') => break,
                Some('\\') => {
                    self.take();
                }
                Some(c) if c < ' ' => {
                    return Err(flaw_at(
                        at,
                        "the text holds a control character",
                        "an escape such as \\n",
                    ));
                }
                Some(_) => {}
                None => {
                    return Err(flaw_at(at, "the text has no end", "a closing double quote"));
                }
            }
        }
        serde_json::from_str(&self.source[start..self.offset]).map_err(|_| {
            flaw_at(
                at,
                "the text holds an escape that JSON does not have",
                "an escape such as \\n or \\u00e9",
            )
        })
    }

    fn number(&mut self) -> Result<Value, Flaw> {
        let (at, start) = (self.at, self.offset);
        while matches!(self.peek(), Some('0'..='9' | '-' | '+' | '.' | 'e' | 'E')) {
            self.take();
        }
        let text = &self.source[start..self.offset];
        if is_finite_number(text) {
            Ok(Value::Number(text.to_owned()))
        } else {
            Err(flaw_at(
                at,
                &format!("{text} is not a number of JSON"),
                "a number such as 12 or 0.5",
            ))
        }
    }

    fn word(&mut self) -> Result<Value, Flaw> {
        let (at, start) = (self.at, self.offset);
        while self.peek().is_some_and(char::is_alphanumeric) {
            self.take();
        }
        match &self.source[start..self.offset] {
            "null" => Ok(Value::Null),
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            word => Err(flaw_at(
                at,
                &format!("{} has no quotes", super::quote(word)),
                "a text in double quotes, true, false or null",
            )),
        }
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(' ' | '\t' | '\n' | '\r')) {
            self.take();
        }
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn rest(&self) -> &'s str {
        &self.source[self.offset..]
    }

    fn take(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.offset += c.len_utf8();
        if c == '\n' {
            self.at = Position { line: self.at.line + 1, column: 1 };
        } else {
            self.at.column += 1;
        }
        Some(c)
    }

    fn skip(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.take();
        }
        found
    }

    fn unexpected(&self, expected: &str) -> Flaw {
        let found = self
            .peek()
            .map_or("the text ends here".to_owned(), |c| format!("{c:?} cannot stand here"));
        self.flaw(&found, expected)
    }

    fn flaw(&self, message: &str, expected: &str) -> Flaw {
        flaw_at(self.at, message, expected)
    }
}

fn flaw_at(at: Position, message: &str, expected: &str) -> Flaw {
    Flaw {
        at,
        path: String::new(),
        code: Code::Syntax,
        message: message.to_owned(),
        expected: expected.to_owned(),
    }
}
