//! A mistake in a workflow file: where it is, what is wrong with which value, and what would be right.
//!
//! Knows nothing of the format; the readers of the format make these. A file's mistakes are reported all at
//! once, in the order of the file.

use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};

/// Most mistakes that are reported of one file. Past it the file is not what its author believes it is, and
/// a longer list would only cost time.
pub const MISTAKES_MAX: usize = 200;

/// One mistake. Displays as one line, `file:line:column: message; expected ...`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mistake {
    pub file: Arc<str>,
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
    /// JSON pointer to the value.
    pub path: String,
    pub code: Code,
    /// What is wrong with which value.
    pub message: String,
    /// What would be right.
    pub expected: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column, message, expected, .. } = self;
        write!(f, "{file}:{line}:{column}: {message}; expected {expected} [{}]", self.code.as_str())
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $text:literal,)*) => {
        /// What kind of mistake it is. The text is stable: programs may match on it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Code { $($(#[$doc])* $variant,)* }

        impl Code {
            /// Every code, for the reference.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}

codes! {
    /// Not YAML, or not JSON.
    Syntax = "syntax",
    /// The text, a list or a name is longer than allowed.
    TooLarge = "too-large",
    /// Values nested deeper than allowed.
    TooDeep = "too-deep",
    /// More steps than a workflow may have.
    TooManySteps = "too-many-steps",
    /// An anchor, alias, tag or second document: YAML that JSON cannot say.
    YamlFeature = "yaml-feature",
    UnknownField = "unknown-field",
    MissingField = "missing-field",
    /// A field that this kind of step does not have.
    WrongField = "wrong-field",
    Duplicate = "duplicate",
    WrongType = "wrong-type",
    BadName = "bad-name",
    OutOfRange = "out-of-range",
    BadDuration = "bad-duration",
    /// A field of the format that this release does not run.
    NotAvailable = "not-available",
    UnknownStep = "unknown-step",
    /// Steps that wait for each other.
    Cycle = "cycle",
    /// An expression reads a step that has not run by then.
    NotUpstream = "not-upstream",
    /// An expression that cannot be read.
    Expression = "expression",
    /// An expression or a template names a variable or field that there is not.
    UnknownVariable = "unknown-variable",
    /// An expression calls a function that there is not.
    UnknownFunction = "unknown-function",
    /// An expression beyond the caps on size, depth or loops.
    ExpressionTooLarge = "expression-too-large",
    UnknownPool = "unknown-pool",
    UnknownTask = "unknown-task",
    BadCron = "bad-cron",
    UnknownTimeZone = "unknown-time-zone",
    BadSchema = "bad-schema",
    /// A template that cannot be read.
    BadTemplate = "bad-template",
    /// A review that would approve by itself, or outcomes that do not fit together.
    WrongOutcome = "wrong-outcome",
    /// A file that the definition names cannot be read.
    BadFile = "bad-file",
    /// A schedule's input does not fit the schema of the input.
    InputMismatch = "input-mismatch",
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// A place in a file, both numbers from 1; columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub line: u32,
    pub column: u32,
}

impl Position {
    pub(crate) const START: Self = Self { line: 1, column: 1 };

    /// The place after `text` has been read from here.
    pub(crate) fn after(self, text: &str) -> Self {
        let mut at = self;
        for c in text.chars() {
            if c == '\n' {
                at = Self { line: at.line.saturating_add(1), column: 1 };
            } else {
                at.column = at.column.saturating_add(1);
            }
        }
        at
    }
}

/// The candidate nearest to what was written, if one is near enough to have been meant.
pub(crate) fn nearest<'a>(
    written: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    candidates
        .into_iter()
        .filter_map(|candidate| Some((distance(written, candidate)?, candidate)))
        .min()
        .map(|(_, candidate)| candidate)
}

/// Most edits between what was written and what was meant.
const EDITS_MAX: usize = 2;

/// Edits (insert, delete, replace, swap of neighbours) that turn one word into the other, if they are few
/// for the length of the word. Only the band of the table that few edits can reach is computed.
fn distance(written: &str, meant: &str) -> Option<usize> {
    let a: Vec<char> = written.to_lowercase().chars().take(65).collect();
    let b: Vec<char> = meant.to_lowercase().chars().take(65).collect();
    let allowed = EDITS_MAX.min(a.len().max(b.len()).div_ceil(3));
    if a.len().abs_diff(b.len()) > allowed {
        return None;
    }
    let far = EDITS_MAX + 1;
    let mut rows = vec![vec![far; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in i.saturating_sub(EDITS_MAX)..=b.len().min(i + EDITS_MAX) {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                let swapped = if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    rows[i - 2][j - 2] + 1
                } else {
                    far
                };
                replaced.min(swapped).min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1)
            };
        }
    }
    Some(rows[a.len()][b.len()]).filter(|edits| *edits <= allowed)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_slip_of_the_finger_is_recognised_and_another_word_is_not() {
        let fields = ["task", "pool", "after", "timeout", "retry"];
        assert_eq!(nearest("aftr", fields), Some("after"));
        assert_eq!(nearest("timoeut", fields), Some("timeout"));
        assert_eq!(nearest("Retry", fields), Some("retry"));
        assert_eq!(nearest("worker", fields), None);
        assert_eq!(nearest("", fields), None);
    }
}
