//! A broken promise: which one, and the facts that show it.

use std::fmt;

/// The first thing that a checker found wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The promise's name, such as `P1 cap`.
    pub promise: &'static str,
    pub facts: String,
}

/// What a checker says.
pub type Verdict = Result<(), Violation>;

/// The promise is broken unless the condition holds; the facts are written only then.
pub fn holds(condition: bool, promise: &'static str, facts: impl FnOnce() -> String) -> Verdict {
    if condition { Ok(()) } else { Err(Violation { promise, facts: facts() }) }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is broken: {}", self.promise, self.facts)
    }
}
