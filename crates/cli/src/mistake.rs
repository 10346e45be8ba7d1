//! A mistake in a file: where it is, what is wrong, and what would be right.

use std::fmt;

use fairlane_api::Problem;
use serde::Serialize;

use crate::exit::Negative;
use crate::printer::Printer;

/// Displays as one line, `file:line:column: message; expected ...`, which editors can follow.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Mistake {
    pub(crate) file: String,
    /// From 1.
    pub(crate) line: u32,
    /// From 1, in characters.
    pub(crate) column: u32,
    pub(crate) message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expected: Option<String>,
    pub(crate) code: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)?;
        if let Some(expected) = &self.expected {
            write!(f, "; expected {expected}")?;
        }
        write!(f, " [{}]", self.code)
    }
}

impl From<fairlane_workflow::Mistake> for Mistake {
    fn from(mistake: fairlane_workflow::Mistake) -> Self {
        Self {
            file: mistake.file.to_string(),
            line: mistake.line,
            column: mistake.column,
            message: mistake.message,
            expected: Some(mistake.expected),
            code: mistake.code.as_str().to_owned(),
        }
    }
}

impl Mistake {
    /// A declaration that the server refused, at the place of the value that it named.
    pub(crate) fn refused(file: &str, (line, column): (u32, u32), problem: &Problem) -> Self {
        let message = problem.detail.clone().unwrap_or_else(|| problem.title.clone());
        let expected = problem.expected.clone();
        Self { file: file.to_owned(), line, column, message, expected, code: problem.code.clone() }
    }

    /// One of several mistakes that the server has found in a declaration.
    pub(crate) fn told(
        file: &str,
        (line, column): (u32, u32),
        told: &fairlane_api::Mistake,
    ) -> Self {
        let (message, expected) = (told.message.clone(), told.expected.clone());
        Self { file: file.to_owned(), line, column, message, expected, code: told.code.clone() }
    }

    /// The same for a text of its own, a workflow or a policy, whose mistakes have their own places.
    pub(crate) fn in_text(file: &str, problem: &Problem) -> Vec<Self> {
        let mistakes = problem.mistakes.iter().cloned().map(|mistake| Self {
            file: file.to_owned(),
            line: mistake.line,
            column: mistake.column,
            message: mistake.message,
            expected: mistake.expected,
            code: mistake.code,
        });
        mistakes.collect()
    }
}

/// Says all of them, in the order of the files. An error if there are any.
pub(crate) fn report(printer: Printer, mut mistakes: Vec<Mistake>) -> anyhow::Result<()> {
    if mistakes.is_empty() {
        return Ok(());
    }
    mistakes.sort();
    mistakes.dedup();
    if printer.is_json() {
        printer.data(&serde_json::json!({ "mistakes": mistakes }), |_| String::new())?;
    } else {
        for mistake in &mistakes {
            printer.note(&mistake.to_string());
        }
    }
    let found = match mistakes.len() {
        1 => "1 mistake".to_owned(),
        count => format!("{count} mistakes"),
    };
    Err(Negative(found).into())
}
