//! Why an expression has no value.

use super::{DATA_BYTES_MAX, OPERATIONS_MAX, RESULT_BYTES_MAX};

/// Why an expression has no value. Kinds are the names that CEL gives to the types of values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    #[error("there is no field {field:?} in {of}")]
    NoField { field: String, of: &'static str },
    #[error("there is no index {index} in a list of {length}")]
    NoIndex { index: i64, length: usize },
    #[error("{operation} cannot be used on {}", .kinds.join(" and "))]
    Kinds { operation: &'static str, kinds: Vec<&'static str> },
    #[error("{operation}: the result is out of range")]
    Overflow { operation: &'static str },
    #[error("division by zero")]
    DivisionByZero,
    #[error("{function} cannot read {text:?}")]
    Unreadable { function: &'static str, text: String },
    #[error("the object literal has the key {key:?} twice")]
    RepeatedKey { key: String },
    #[error("the result holds a number that JSON cannot: {text}")]
    NotJson { text: String },
    #[error("the result is {found}, not {wanted}")]
    Result { found: &'static str, wanted: &'static str },
    #[error("the list has {items} items, at most {max} are allowed")]
    TooManyItems { items: usize, max: usize },
    #[error("it takes more than {OPERATIONS_MAX} operations")]
    Spent,
    #[error("it reads more than {DATA_BYTES_MAX} bytes of data")]
    DataTooLarge,
    #[error("the result has more than {RESULT_BYTES_MAX} bytes")]
    ResultTooLarge,
    #[error("the payload is not JSON, or nests too deep: {detail}")]
    Payload { detail: String },
    #[error("it is not a valid expression: {detail}")]
    Invalid { detail: String },
}

impl Fault {
    /// Whether `&&`, `||`, `all` and `exists` may decide without the operand that has it. Caps are not facts
    /// of the language, so they always end the evaluation.
    pub(super) const fn is_absorbed(&self) -> bool {
        !matches!(
            self,
            Self::Spent | Self::DataTooLarge | Self::ResultTooLarge | Self::Payload { .. }
        )
    }
}
