//! Evaluation of a workflow's expressions on the payloads of a run.
//!
//! Expressions and schemas are compiled once and kept, by their text, in bounded caches: versions of a workflow
//! share most of them. A plain path is resolved on the bytes and never compiled. Nothing here waits, reads a
//! clock or touches a file; an evaluation's cost is bounded as [`expr`] describes.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use fairlane_core::plan::{Expr, MAP_ITEMS_MAX, Workflow};
use fairlane_core::time::Time;
use serde_json::value::RawValue;

use crate::expr::{self, Budget, Compiled, Fault, Path, RESULT_BYTES_MAX, Refs, Value};
use crate::schema::{Schemas, Violation};
use crate::scope::{Scope, Session};

/// Compiled expressions that are kept: about 1 KiB each.
const CACHED_MAX: usize = 10_000;

/// Evaluates expressions. Cheap to share; all methods may be called from many threads at once.
#[derive(Debug, Default)]
pub struct Evaluator {
    compiled: RwLock<BTreeMap<Arc<str>, Arc<Compiled>>>,
    schemas: Schemas,
}

/// An expression that has no value, or not one of the kind that is needed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {expression}: {fault}")]
pub struct EvalError {
    /// The field that holds the expression, such as `with.applicant` or `when`.
    pub field: String,
    /// Its text, cut if it is long.
    pub expression: String,
    pub fault: Fault,
}

impl Evaluator {
    pub fn new() -> Self {
        Self::default()
    }

    /// The input of an attempt, of a compensation or of a child run: a JSON object with one field for each
    /// entry of `with`.
    ///
    /// Entries that are plain paths are copied as they stand in their payload.
    pub fn assemble(
        &self,
        _workflow: &Workflow,
        with: &[(String, Expr)],
        scope: &Scope<'_>,
    ) -> Result<Vec<u8>, EvalError> {
        let session = Session::new(*scope);
        let budget = Budget::new();
        let mut out = vec![b'{'];
        for (at, (name, expression)) in with.iter().enumerate() {
            let error = |fault| failed(format!("with.{name}"), expression, fault);
            if at > 0 {
                out.push(b',');
            }
            serde_json::to_writer(&mut out, name)
                .map_err(|error_| error(Fault::NotJson { text: error_.to_string() }))?;
            out.push(b':');
            self.append(expression, &session, &budget, &mut out).map_err(error)?;
        }
        out.push(b'}');
        Ok(out)
    }

    fn append(
        &self,
        expression: &Expr,
        session: &Session<'_>,
        budget: &Budget,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        if let Some(path) = Path::parse(&expression.0) {
            let found = path.find(session.scope.payload(&path.root))?;
            if out.len().saturating_add(found.len()) > RESULT_BYTES_MAX {
                return Err(Fault::ResultTooLarge);
            }
            out.extend_from_slice(found);
            return Ok(());
        }
        let compiled = self.compiled(expression)?;
        expr::write(out, &expr::run(&compiled, session, budget)?)
    }

    /// The answer of a `when`.
    pub fn condition(&self, expression: &Expr, scope: &Scope<'_>) -> Result<bool, EvalError> {
        self.with_value(expression, scope, "when", |value| match value {
            Value::Bool(value) => Ok(*value),
            other => Err(Fault::Result { found: other.kind(), wanted: "true or false" }),
        })
    }

    /// A number, such as how sure a step is.
    pub fn number(&self, expression: &Expr, scope: &Scope<'_>) -> Result<f64, EvalError> {
        let mut text = Vec::new();
        let session = Session::new(*scope);
        self.append(expression, &session, &Budget::new(), &mut text)
            .and_then(|()| {
                let wanted = Fault::Result { found: "something else", wanted: "a number" };
                serde_json::from_slice(&text).map_err(|_| wanted)
            })
            .map_err(|fault| failed("output".to_owned(), expression, fault))
    }

    /// The items of the list that a `map` runs over, each as JSON.
    pub fn list(&self, expression: &Expr, scope: &Scope<'_>) -> Result<Vec<Vec<u8>>, EvalError> {
        let field = "map.over";
        if let Some(path) = Path::parse(&expression.0) {
            return path
                .find(scope.payload(&path.root))
                .and_then(split)
                .map_err(|fault| failed(field.to_owned(), expression, fault));
        }
        self.with_value(expression, scope, field, |value| {
            let Value::List(list) = value else {
                return Err(Fault::Result { found: value.kind(), wanted: "a list" });
            };
            bound_items(list.len())?;
            let mut bytes = 0_usize;
            let mut items = Vec::with_capacity(list.len());
            for item in list.iter() {
                let mut out = Vec::new();
                expr::write(&mut out, &item)?;
                bytes = bytes.saturating_add(out.len());
                if bytes > RESULT_BYTES_MAX {
                    return Err(Fault::ResultTooLarge);
                }
                items.push(out);
            }
            Ok(items)
        })
    }

    /// The time that a `wait` runs until: an RFC 3339 text, or a `timestamp`. Times before 1970 are its
    /// beginning.
    pub fn time(&self, expression: &Expr, scope: &Scope<'_>) -> Result<Time, EvalError> {
        self.with_value(expression, scope, "wait.until", |value| {
            let timestamp = match value {
                Value::Timestamp(timestamp) => *timestamp,
                Value::Text(text) => text.parse().map_err(|_| Fault::Unreadable {
                    function: "wait.until",
                    text: text.chars().take(60).collect(),
                })?,
                other => {
                    return Err(Fault::Result { found: other.kind(), wanted: "an RFC 3339 time" });
                }
            };
            Ok(Time(u64::try_from(timestamp.as_microsecond()).unwrap_or(0)))
        })
    }

    /// What the expression reads.
    pub fn references(&self, expression: &Expr) -> Result<Refs, EvalError> {
        self.compiled(expression)
            .map(|compiled| compiled.refs.clone())
            .map_err(|fault| failed(String::new(), expression, fault))
    }

    /// What the expressions of a `with` read together.
    pub fn references_of(&self, with: &[(String, Expr)]) -> Result<Refs, EvalError> {
        let mut all = Refs::default();
        for (_, expression) in with {
            all.merge(&self.references(expression)?);
        }
        Ok(all)
    }

    /// Checks a payload against a JSON Schema: all violations, up to a bound.
    pub fn check_schema(&self, schema: &Arc<str>, payload: &[u8]) -> Result<(), Vec<Violation>> {
        self.schemas.check(schema, payload)
    }

    fn with_value<T>(
        &self,
        expression: &Expr,
        scope: &Scope<'_>,
        field: &str,
        read: impl FnOnce(&Value<'_>) -> Result<T, Fault>,
    ) -> Result<T, EvalError> {
        let (session, budget) = (Session::new(*scope), Budget::new());
        self.compiled(expression)
            .and_then(|compiled| read(&expr::run(&compiled, &session, &budget)?))
            .map_err(|fault| failed(field.to_owned(), expression, fault))
    }

    fn compiled(&self, expression: &Expr) -> Result<Arc<Compiled>, Fault> {
        // A panic cannot leave the map half changed, so a poisoned lock is still good.
        let found = {
            let cache = self.compiled.read().unwrap_or_else(PoisonError::into_inner);
            cache.get(&expression.0).cloned()
        };
        if let Some(compiled) = found {
            return Ok(compiled);
        }
        let compiled = expr::compile(&expression.0).map_err(|wrongs| Fault::Invalid {
            detail: wrongs.first().map_or_else(String::new, |wrong| wrong.message.clone()),
        })?;
        let compiled = Arc::new(compiled);
        let mut cache = self.compiled.write().unwrap_or_else(PoisonError::into_inner);
        if cache.len() >= CACHED_MAX {
            cache.clear();
        }
        cache.insert(expression.0.clone(), compiled.clone());
        Ok(compiled)
    }
}

/// The items of a JSON list, as they stand in it.
fn split(payload: &[u8]) -> Result<Vec<Vec<u8>>, Fault> {
    if payload.first() != Some(&b'[') {
        let found = match payload.first() {
            Some(b'{') => "map",
            Some(b'"') => "string",
            Some(b'n') => "null",
            Some(b't' | b'f') => "bool",
            _ => "number",
        };
        return Err(Fault::Result { found, wanted: "a list" });
    }
    let items: Vec<&RawValue> = serde_json::from_slice(payload)
        .map_err(|error| Fault::Payload { detail: error.to_string() })?;
    bound_items(items.len())?;
    Ok(items.into_iter().map(|item| item.get().as_bytes().to_vec()).collect())
}

fn bound_items(items: usize) -> Result<(), Fault> {
    let max = MAP_ITEMS_MAX as usize;
    if items > max { Err(Fault::TooManyItems { items, max }) } else { Ok(()) }
}

fn failed(field: String, expression: &Expr, fault: Fault) -> EvalError {
    EvalError { field, expression: expression.0.chars().take(200).collect(), fault }
}

#[cfg(test)]
mod tests;
