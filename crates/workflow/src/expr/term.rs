//! The form in which expressions are evaluated: every name resolved, every function known.

use fairlane_core::id::StepName;

use super::{Refs, Wrong};

/// An expression that has been parsed, checked and found within the caps.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) term: Term,
    /// The steps that it names; terms refer to them by position.
    pub(crate) steps: Vec<StepName>,
    pub(crate) refs: Refs,
    /// Where it reads what is not there for every expression.
    pub(crate) spots: Vec<Spot>,
    /// Comparisons that can never hold. They can be computed, so that only the reader of definitions minds.
    pub(crate) never: Vec<Wrong>,
}

/// A place where an expression reads a step, or the item of a `map`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Spot {
    /// Byte in the text.
    pub(crate) offset: usize,
    /// The step, or `None` for `item` and `index`.
    pub(crate) step: Option<StepName>,
}

#[derive(Debug)]
pub(crate) enum Term {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(String),
    Root(Source),
    /// The variable of an enclosing loop, counted from the outermost.
    Variable(usize),
    Field(Box<Term>, String),
    /// Whether the object has the field and it can be read.
    Has(Box<Term>, String),
    Index(Box<Term>, Box<Term>),
    Choose(Box<[Term; 3]>),
    And(Box<[Term; 2]>),
    Or(Box<[Term; 2]>),
    Not(Box<Term>),
    Negate(Box<Term>),
    Binary(Operator, Box<[Term; 2]>),
    List(Vec<Term>),
    Object(Vec<(Term, Term)>),
    Loop(Box<Loop>),
    Call(Function, Vec<Term>),
    Matches(Box<Term>, Box<regex::Regex>),
}

/// What an expression can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Input,
    /// Positions in [`Compiled::steps`].
    Output(usize),
    Status(usize),
    Tenant,
    Run,
    Item,
    Index,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
}

/// A loop over a list, or over the keys of an object.
#[derive(Debug)]
pub(crate) struct Loop {
    pub(crate) kind: LoopKind,
    pub(crate) over: Term,
    /// Of `map` with three arguments: which elements are mapped.
    pub(crate) only: Option<Term>,
    pub(crate) body: Term,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LoopKind {
    All,
    Exists,
    ExistsOne,
    Map,
    Filter,
}

macro_rules! functions {
    ($($variant:ident = $name:literal, $member:literal, $arguments:literal;)*) => {
        /// Functions of the language, the loops, `has` and `matches` apart.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Function { $($variant,)* }

        impl Function {
            /// Finds a function: by its name, whether it is called on a value, and how many arguments it has,
            /// that value included.
            pub(crate) fn find(name: &str, member: bool, arguments: usize) -> Option<Self> {
                match (name, member, arguments) {
                    $(($name, $member, $arguments) => Some(Self::$variant),)*
                    ("size", true, 1) => Some(Self::Size),
                    _ => None,
                }
            }

            pub(crate) const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// Every name that a call may use.
            pub(crate) const NAMES: &[&str] = &[
                $($name,)*
                "has", "matches", "all", "exists", "exists_one", "existsOne", "map", "filter",
            ];
        }
    };
}

functions! {
    Size = "size", false, 1;
    Contains = "contains", true, 2;
    StartsWith = "startsWith", true, 2;
    EndsWith = "endsWith", true, 2;
    Int = "int", false, 1;
    Uint = "uint", false, 1;
    Double = "double", false, 1;
    Text = "string", false, 1;
    Bool = "bool", false, 1;
    Timestamp = "timestamp", false, 1;
    Duration = "duration", false, 1;
}
