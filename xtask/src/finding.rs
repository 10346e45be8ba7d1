//! What a check found: where, what is wrong, and what would be right.

use std::fmt;

use anyhow::{Result, bail};

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// `path:line`, or what the rule is about if it is no line of a file.
    pub(crate) place: String,
    pub(crate) wrong: String,
    pub(crate) right: String,
}

impl Finding {
    pub(crate) fn new(
        place: impl Into<String>,
        wrong: impl Into<String>,
        right: impl Into<String>,
    ) -> Self {
        Self { place: place.into(), wrong: wrong.into(), right: right.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.place, self.wrong, self.right)
    }
}

/// Passes if there is none, else fails with all of them, one to a line.
pub(crate) fn none(findings: &[Finding]) -> Result<()> {
    if findings.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = findings.iter().map(|finding| format!("  {finding}")).collect();
    let noun = if findings.len() == 1 { "mistake" } else { "mistakes" };
    bail!("{} {noun}:\n{}", findings.len(), lines.join("\n"))
}
