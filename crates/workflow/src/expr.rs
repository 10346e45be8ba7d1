//! Expressions: CEL (the Common Expression Language) with a bounded cost.
//!
//! The grammar is that of the `cel` crate. Evaluation is our own, because that crate's interpreter has no
//! bound on its cost and copies values at will: a text is parsed once, checked, and lowered to a form
//! in which every name is resolved; the evaluator then counts every operation against a budget. A test
//! compares it with the crate's interpreter, so that the language stays CEL.
//!
//! # What bounds an expression
//!
//! | bound | where | value |
//! |---|---|---|
//! | bytes of text | parse | [`TEXT_BYTES_MAX`] |
//! | nesting of brackets, and an upper bound on the depth, before the CEL parser sees the text | parse | [`BRACKETS_MAX`], [`CHAIN_MAX`] |
//! | depth and number of terms | parse | [`DEPTH_MAX`], [`TERMS_MAX`] |
//! | nesting of `map`, `filter`, `all`, `exists`, `exists_one` | parse | [`LOOPS_MAX`] |
//! | patterns of `matches` | parse | literals only, [`PATTERN_BYTES_MAX`], no backtracking |
//! | bytes of JSON read | evaluation | [`DATA_BYTES_MAX`] |
//! | operations | evaluation | [`OPERATIONS_MAX`] |
//! | bytes of the result | evaluation | [`RESULT_BYTES_MAX`] |
//!
//! One operation is: one term evaluated, one element visited by `==`, `in` or a loop, half an element of a new
//! list, 32 bytes of text read, 16 bytes of text made, or one byte matched by a pattern. So none takes longer
//! than a fixed time or allocates more than a few words, and the budget is shared by all expressions of one
//! `with`: time is bounded by [`OPERATIONS_MAX`], memory by that many times 16 bytes (16 MB) and the parsed
//! data, whatever the expression and the data say, without a clock. An expression that runs out fails; `&&`,
//! `||`, `all` and `exists` absorb other faults as CEL says, but not this one.
//!
//! Knows nothing of workflows: which steps are upstream of which is checked by the reader of the definition.

mod depth;
mod fault;
mod function;
mod lower;
mod number;
mod path;
mod run;
mod term;
mod value;
mod write;

use fairlane_core::id::StepName;

pub use fault::Fault;
pub(crate) use path::{Path, Root};
pub(crate) use run::{Budget, run};
pub(crate) use term::Compiled;
pub(crate) use value::Value;
pub(crate) use write::write;

use crate::mistake::Code;

/// Longest text of an expression.
pub const TEXT_BYTES_MAX: usize = 4 * 1024;
/// Deepest nesting of brackets in the text.
pub const BRACKETS_MAX: usize = 32;
/// Most operators, selections and brackets that could nest in one another, estimated from the text: keeps
/// the CEL parser's recursion within the stack of any thread.
pub const CHAIN_MAX: usize = 160;
/// Deepest nesting of terms.
pub const DEPTH_MAX: usize = 40;
/// Most terms of one expression.
pub const TERMS_MAX: usize = 1_000;
/// Deepest nesting of loops (`map`, `filter`, `all`, `exists`, `exists_one`).
pub const LOOPS_MAX: usize = 2;
/// Longest pattern of `matches`.
pub const PATTERN_BYTES_MAX: usize = 256;
/// Most bytes of JSON that the expressions of one evaluation may read, the plain paths not counted.
pub const DATA_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Most operations of one evaluation. The dearest take 100 ns, so that it ends within about a tenth of a second.
pub const OPERATIONS_MAX: u64 = 1_000_000;
/// Most bytes of JSON that one evaluation may produce.
pub const RESULT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What an expression reads, so that only those payloads are loaded.
#[expect(clippy::struct_excessive_bools, reason = "each says of one payload whether it is read")]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refs {
    pub input: bool,
    /// Steps whose output is read, sorted.
    pub steps: Vec<StepName>,
    /// Steps whose status is read, sorted.
    pub statuses: Vec<StepName>,
    pub tenant: bool,
    pub run: bool,
    /// `item` or `index`: only inside a `map`.
    pub item: bool,
}

impl Refs {
    /// Adds what another expression reads.
    pub fn merge(&mut self, other: &Self) {
        self.input |= other.input;
        self.tenant |= other.tenant;
        self.run |= other.run;
        self.item |= other.item;
        for (into, from) in [(&mut self.steps, &other.steps), (&mut self.statuses, &other.statuses)]
        {
            into.extend(from.iter().cloned());
            into.sort();
            into.dedup();
        }
    }
}

/// Something wrong with the text of an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    /// Byte in the text.
    pub(crate) offset: usize,
    pub(crate) code: Code,
    pub(crate) message: String,
    pub(crate) expected: String,
}

/// Parses, checks and resolves the text; all that is wrong with it, or the term.
pub(crate) fn compile(text: &str) -> Result<Compiled, Vec<Wrong>> {
    depth::check(text).map_err(|wrong| vec![wrong])?;
    lower::compile(text)
}

#[cfg(test)]
mod tests;
