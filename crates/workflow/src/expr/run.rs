//! Evaluation of a [`Term`], every operation counted.
//!
//! INVARIANT: recursion is as deep as the term, or as the data where values are compared; both are bounded.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::function::{binary, call, equal, negate};
use super::term::{Compiled, Loop, LoopKind, Operator, Source, Term};
use super::value::{List, Object, Text, Value};
use super::{Fault, OPERATIONS_MAX, Root};
use crate::scope::Session;

/// Operations that an evaluation may still do.
#[derive(Debug)]
pub(crate) struct Budget(Cell<u64>);

impl Budget {
    pub(crate) const fn new() -> Self {
        Self(Cell::new(OPERATIONS_MAX))
    }

    #[cfg(test)]
    pub(super) const fn of(operations: u64) -> Self {
        Self(Cell::new(operations))
    }

    #[cfg(test)]
    pub(super) const fn left(&self) -> u64 {
        self.0.get()
    }

    /// Counts `operations`; nothing is done any more once they are used up.
    pub(super) fn spend(&self, operations: usize) -> Result<(), Fault> {
        let wanted = u64::try_from(operations).unwrap_or(u64::MAX);
        if let Some(left) = self.0.get().checked_sub(wanted) {
            self.0.set(left);
            Ok(())
        } else {
            self.0.set(0);
            Err(Fault::Spent)
        }
    }

    /// Counts the making of a text.
    pub(super) fn spend_made(&self, bytes: usize) -> Result<(), Fault> {
        /// Bytes of new text that count as one operation.
        const MADE_BYTES: usize = 16;
        self.spend(bytes / MADE_BYTES)
    }

    /// Counts the making of a list.
    pub(super) fn spend_elements(&self, elements: usize) -> Result<(), Fault> {
        /// Operations for each element, which takes 32 bytes.
        const OPERATIONS: usize = 2;
        self.spend(elements.saturating_mul(OPERATIONS))
    }

    /// Counts the reading of a text.
    pub(super) fn spend_text(&self, bytes: usize) -> Result<(), Fault> {
        /// Bytes of text that count as one operation.
        const TEXT_BYTES: usize = 32;
        self.spend(bytes / TEXT_BYTES)
    }
}

/// The value of the expression.
pub(crate) fn run<'v>(
    compiled: &'v Compiled,
    session: &'v Session<'_>,
    budget: &'v Budget,
) -> Result<Value<'v>, Fault> {
    Run { compiled, session, budget, variables: Vec::new() }.term(&compiled.term)
}

struct Run<'v, 's> {
    compiled: &'v Compiled,
    session: &'v Session<'s>,
    budget: &'v Budget,
    variables: Vec<Value<'v>>,
}

impl<'v> Run<'v, '_> {
    fn term(&mut self, term: &'v Term) -> Result<Value<'v>, Fault> {
        self.budget.spend(1)?;
        Ok(match term {
            Term::Null => Value::Null,
            Term::Bool(value) => Value::Bool(*value),
            Term::Int(value) => Value::Int(*value),
            Term::Uint(value) => Value::Uint(*value),
            Term::Double(value) => Value::Double(*value),
            Term::Text(text) => Value::Text(Text::Borrowed(text)),
            Term::Root(source) => self.root(*source)?,
            Term::Variable(slot) => self.variables[*slot].clone(),
            Term::Field(of, name) => field(&self.term(of)?, name)?,
            Term::Has(of, name) => Value::Bool(has(&self.term(of)?, name)?),
            Term::Index(of, index) => {
                let of = self.term(of)?;
                index_into(&of, &self.term(index)?)?
            }
            Term::Choose(parts) => {
                let [condition, then, otherwise] = &**parts;
                let branch = if truth("?:", self.term(condition)?)? { then } else { otherwise };
                self.term(branch)?
            }
            Term::And(pair) => self.both("&&", pair, false)?,
            Term::Or(pair) => self.both("||", pair, true)?,
            Term::Not(of) => Value::Bool(!truth("!", self.term(of)?)?),
            Term::Negate(of) => negate(&self.term(of)?)?,
            Term::Binary(operator, pair) => self.binary(*operator, pair)?,
            Term::List(items) => {
                self.budget.spend_elements(items.len())?;
                let items: Result<Vec<_>, _> = items.iter().map(|item| self.term(item)).collect();
                Value::List(List::Made(items?.into()))
            }
            Term::Object(pairs) => self.object(pairs)?,
            Term::Loop(parts) => self.repeat(parts)?,
            Term::Call(function, arguments) => {
                let arguments: Result<Vec<_>, _> =
                    arguments.iter().map(|argument| self.term(argument)).collect();
                call(*function, &arguments?, self.budget)?
            }
            Term::Matches(of, pattern) => {
                let Value::Text(text) = self.term(of)? else {
                    return Err(Fault::Kinds {
                        operation: "matches()",
                        kinds: vec!["other than string"],
                    });
                };
                self.budget.spend(text.len())?;
                Value::Bool(pattern.is_match(&text))
            }
        })
    }

    fn root(&self, source: Source) -> Result<Value<'v>, Fault> {
        let scope = &self.session.scope;
        match source {
            Source::Input => self.session.value(&Root::Input),
            Source::Tenant => self.session.value(&Root::Tenant),
            Source::Item => self.session.value(&Root::Item),
            Source::Output(slot) => {
                self.session.value(&Root::Output(self.compiled.steps[slot].clone()))
            }
            Source::Status(slot) => Ok(scope
                .step(&self.compiled.steps[slot])
                .map_or(Value::Null, |step| Value::Text(Text::Borrowed(step.status)))),
            Source::Run => Ok(Value::made_text(&scope.run.to_string())),
            Source::Index => {
                Ok(scope.item.map_or(Value::Null, |item| Value::Int(i64::from(item.index))))
            }
        }
    }

    /// `&&` and `||`: `decisive` decides alone, even beside an operand that has a fault.
    fn both(
        &mut self,
        operation: &'static str,
        pair: &'v [Term; 2],
        decisive: bool,
    ) -> Result<Value<'v>, Fault> {
        let left = self.term(&pair[0]).and_then(|value| truth(operation, value));
        match left {
            Ok(left) if left == decisive => return Ok(Value::Bool(decisive)),
            Err(fault) if !fault.is_absorbed() => return Err(fault),
            _ => {}
        }
        let right = self.term(&pair[1]).and_then(|value| truth(operation, value))?;
        if right == decisive { Ok(Value::Bool(decisive)) } else { left.map(Value::Bool) }
    }

    fn binary(&mut self, operator: Operator, pair: &'v [Term; 2]) -> Result<Value<'v>, Fault> {
        let left = self.term(&pair[0])?;
        let right = self.term(&pair[1])?;
        match operator {
            Operator::Equal => equal(&left, &right, self.budget).map(Value::Bool),
            Operator::NotEqual => equal(&left, &right, self.budget).map(|same| Value::Bool(!same)),
            operator => binary(operator, &left, &right, self.budget),
        }
    }

    fn object(&mut self, pairs: &'v [(Term, Term)]) -> Result<Value<'v>, Fault> {
        let mut object = BTreeMap::new();
        for (key, value) in pairs {
            let key = match self.term(key)? {
                Value::Text(key) => key.to_string(),
                other => {
                    return Err(Fault::Kinds { operation: "a key", kinds: vec![other.kind()] });
                }
            };
            self.budget.spend_made(key.len())?;
            self.budget.spend_elements(1)?;
            let value = self.term(value)?;
            if object.insert(key.clone(), value).is_some() {
                return Err(Fault::RepeatedKey { key });
            }
        }
        Ok(Value::Object(Object::Made(Rc::new(object))))
    }

    fn repeat(&mut self, parts: &'v Loop) -> Result<Value<'v>, Fault> {
        let elements = match self.term(&parts.over)? {
            Value::List(list) => list,
            Value::Object(object) => {
                let keys = object.keys();
                self.budget.spend_elements(keys.len())?;
                List::Made(keys.into())
            }
            other => return Err(Fault::Kinds { operation: "a loop", kinds: vec![other.kind()] }),
        };
        let depth = self.variables.len();
        let result = match parts.kind {
            LoopKind::All => self.decide(parts, &elements, false),
            LoopKind::Exists => self.decide(parts, &elements, true),
            LoopKind::ExistsOne => self.count(parts, &elements),
            LoopKind::Map | LoopKind::Filter => self.collect(parts, &elements),
        };
        self.variables.truncate(depth);
        result
    }

    /// The part of a loop, for one element.
    fn at(
        &mut self,
        part: &'v Term,
        element: &Value<'v>,
        depth: usize,
    ) -> Result<Value<'v>, Fault> {
        self.variables.truncate(depth);
        self.variables.push(element.clone());
        self.term(part)
    }

    /// `all` and `exists`: the first element that is decisive ends it; a fault counts only if none is.
    fn decide(
        &mut self,
        parts: &'v Loop,
        elements: &List<'v>,
        decisive: bool,
    ) -> Result<Value<'v>, Fault> {
        let depth = self.variables.len();
        let operation = if decisive { "exists()" } else { "all()" };
        let mut first_fault = None;
        for element in elements.iter() {
            self.budget.spend(1)?;
            match self.at(&parts.body, &element, depth).and_then(|value| truth(operation, value)) {
                Ok(value) if value == decisive => return Ok(Value::Bool(decisive)),
                Ok(_) => {}
                Err(fault) if fault.is_absorbed() => {
                    first_fault.get_or_insert(fault);
                }
                Err(fault) => return Err(fault),
            }
        }
        first_fault.map_or(Ok(Value::Bool(!decisive)), Err)
    }

    fn count(&mut self, parts: &'v Loop, elements: &List<'v>) -> Result<Value<'v>, Fault> {
        let depth = self.variables.len();
        let mut found = 0_usize;
        for element in elements.iter() {
            self.budget.spend(1)?;
            found += usize::from(truth("exists_one()", self.at(&parts.body, &element, depth)?)?);
        }
        Ok(Value::Bool(found == 1))
    }

    fn collect(&mut self, parts: &'v Loop, elements: &List<'v>) -> Result<Value<'v>, Fault> {
        let depth = self.variables.len();
        let mut made = Vec::new();
        for element in elements.iter() {
            self.budget.spend(1)?;
            if let Some(only) = &parts.only
                && !truth("map()", self.at(only, &element, depth)?)?
            {
                continue;
            }
            let value = self.at(&parts.body, &element, depth)?;
            self.budget.spend_elements(1)?;
            if parts.kind == LoopKind::Map {
                made.push(value);
            } else if truth("filter()", value)? {
                made.push(element);
            }
        }
        Ok(Value::List(List::Made(made.into())))
    }
}

fn truth(operation: &'static str, value: Value<'_>) -> Result<bool, Fault> {
    match value {
        Value::Bool(value) => Ok(value),
        other => Err(Fault::Kinds { operation, kinds: vec![other.kind()] }),
    }
}

fn field<'v>(of: &Value<'v>, name: &str) -> Result<Value<'v>, Fault> {
    match of {
        Value::Object(object) => object.get(name),
        _ => None,
    }
    .ok_or_else(|| Fault::NoField { field: name.to_owned(), of: of.kind() })
}

/// A field of `null` is not there: the output of a step that was skipped is `null`.
fn has(of: &Value<'_>, name: &str) -> Result<bool, Fault> {
    match of {
        Value::Object(object) => Ok(object.get(name).is_some()),
        Value::Null => Ok(false),
        other => Err(Fault::Kinds { operation: "has()", kinds: vec![other.kind()] }),
    }
}

fn index_into<'v>(of: &Value<'v>, index: &Value<'v>) -> Result<Value<'v>, Fault> {
    match (of, index) {
        (Value::Object(_), Value::Text(name)) => field(of, name),
        (Value::List(list), Value::Int(at)) => usize::try_from(*at)
            .ok()
            .and_then(|at| list.get(at))
            .ok_or(Fault::NoIndex { index: *at, length: list.len() }),
        (Value::List(list), Value::Uint(at)) => {
            usize::try_from(*at).ok().and_then(|at| list.get(at)).ok_or(Fault::NoIndex {
                index: i64::try_from(*at).unwrap_or(i64::MAX),
                length: list.len(),
            })
        }
        (of, index) => Err(Fault::Kinds { operation: "[]", kinds: vec![of.kind(), index.kind()] }),
    }
}
