//! Bounds on an expression's text before the CEL parser reads it.
//!
//! That parser recurses once or more for each bracket, operator and selection that nests. A scan without
//! recursion finds an upper bound on that nesting, and refuses the text if it could be deep. Knows only as
//! much of the grammar as that takes: brackets, texts, comments, operators.

use super::{BRACKETS_MAX, CHAIN_MAX, TEXT_BYTES_MAX, Wrong};
use crate::mistake::Code;

/// One bracket that is open: operators in the current operand, and those that enclose it.
#[derive(Clone, Copy, Default)]
struct Level {
    /// Selections and binary operators since the last comma, `&&` or `||`: they nest to the left.
    chain: usize,
    /// Question marks: what follows nests to the right.
    choices: usize,
}

pub(super) fn check(text: &str) -> Result<(), Wrong> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(too_large(
            0,
            format!("the expression has {} bytes", text.len()),
            format!("at most {TEXT_BYTES_MAX}"),
        ));
    }
    let mut levels = vec![Level::default()];
    let mut enclosing = 0;
    let mut at = 0;
    while at < text.len() {
        let (token, length) = next(&text[at..]);
        let top = levels.last_mut().expect("the outermost level is never closed");
        match token {
            Token::Open => {
                enclosing += top.chain + top.choices + 1;
                levels.push(Level::default());
            }
            Token::Close => {
                if levels.len() > 1 {
                    levels.pop();
                    let outer = levels.last_mut().expect("the outermost level is never closed");
                    enclosing -= outer.chain + outer.choices + 1;
                    outer.chain += 1;
                }
            }
            Token::Separator => top.chain = 0,
            Token::Choice => top.choices += 1,
            Token::Operator => top.chain += 1,
            Token::Other => {}
        }
        if levels.len() > BRACKETS_MAX + 1 {
            return Err(too_large(
                at,
                "brackets are nested too deep".to_owned(),
                format!("at most {BRACKETS_MAX} levels of brackets"),
            ));
        }
        let top = levels[levels.len() - 1];
        if enclosing + top.chain + top.choices > CHAIN_MAX {
            return Err(too_large(
                at,
                "the expression is too deep".to_owned(),
                format!(
                    "at most {CHAIN_MAX} operators, selections and brackets inside one another"
                ),
            ));
        }
        at += length;
    }
    Ok(())
}

fn too_large(offset: usize, message: String, expected: String) -> Wrong {
    Wrong { offset, code: Code::ExpressionTooLarge, message, expected }
}

enum Token {
    Open,
    Close,
    /// Ends an operand, so that what follows does not nest in it.
    Separator,
    Choice,
    Operator,
    Other,
}

/// The next token of a text that is not empty, and its bytes.
fn next(rest: &str) -> (Token, usize) {
    let first = rest.chars().next().unwrap_or(' ');
    match first {
        '(' | '[' | '{' => (Token::Open, 1),
        ')' | ']' | '}' => (Token::Close, 1),
        ',' | '&' | '|' => (Token::Separator, 1),
        '?' => (Token::Choice, 1),
        '/' if rest.starts_with("//") => (Token::Other, rest.find('\n').unwrap_or(rest.len())),
        '.' | '+' | '-' | '*' | '/' | '%' | '<' | '>' | '=' | '!' => (Token::Operator, 1),
        '"' | '\'' => (Token::Other, quoted(rest, first, false)),
        c if c.is_alphanumeric() || c == '_' => {
            let length =
                rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            let word = &rest[..length];
            match rest[length..].chars().next() {
                Some(quote @ ('"' | '\'')) if is_prefix(word) => {
                    let raw = word.contains(['r', 'R']);
                    (Token::Other, length + quoted(&rest[length..], quote, raw))
                }
                _ if word == "in" => (Token::Operator, length),
                _ => (Token::Other, length),
            }
        }
        c => (Token::Other, c.len_utf8()),
    }
}

/// Whether a word before a quote belongs to the text: raw texts and bytes.
fn is_prefix(word: &str) -> bool {
    matches!(word.to_ascii_lowercase().as_str(), "r" | "b" | "br" | "rb")
}

/// Bytes of the text that begins here; all the rest if it has no end.
fn quoted(rest: &str, quote: char, raw: bool) -> usize {
    let triple: String = [quote; 3].iter().collect();
    let end = if rest.starts_with(&triple) { triple } else { quote.to_string() };
    let mut at = end.len();
    while at < rest.len() {
        let tail = &rest[at..];
        if tail.starts_with(&end) {
            return at + end.len();
        }
        let c = tail.chars().next().unwrap_or(' ');
        at += c.len_utf8();
        if c == '\\' && !raw {
            at += rest[at..].chars().next().map_or(0, char::len_utf8);
        }
    }
    rest.len()
}
