//! JSON Schemas of inputs and outputs: checked when a workflow is declared, applied to payloads when it runs.
//!
//! A schema is one document: it refers to itself at most, never to a file or an address. Patterns are matched
//! without backtracking, and how often a schema looks at one value is bounded (see [`cost`]), so that neither
//! a payload nor a schema can make a check slow.

mod cost;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use jsonschema::{PatternOptions, Validator};
use serde::Serialize;
use serde_json::Value as Json;

/// Longest text of one schema.
pub const SCHEMA_BYTES_MAX: usize = 256 * 1024;
/// Most violations that are reported of one payload.
pub const VIOLATIONS_MAX: usize = 50;
/// Compiled schemas that are kept.
const CACHED_MAX: usize = 1_000;

/// A value that its schema does not allow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// JSON pointer to the value.
    pub pointer: String,
    pub message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pointer = if self.pointer.is_empty() { "/" } else { &self.pointer };
        write!(f, "{pointer}: {}", self.message)
    }
}

/// Schemas, compiled once.
#[derive(Default)]
pub(crate) struct Schemas {
    compiled: RwLock<BTreeMap<Arc<str>, Arc<Compiled>>>,
}

/// A schema ready for use.
pub(crate) struct Compiled {
    validator: Validator,
    /// The deepest payload that it can be applied to, where that matters.
    depth_max: Option<usize>,
}

impl fmt::Debug for Schemas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schemas").finish_non_exhaustive()
    }
}

impl Schemas {
    pub(crate) fn check(&self, schema: &Arc<str>, payload: &[u8]) -> Result<(), Vec<Violation>> {
        let whole = |message: String| vec![Violation { pointer: String::new(), message }];
        let compiled = self.compiled(schema).map_err(whole)?;
        let json: Json = serde_json::from_slice(payload)
            .map_err(|error| whole(format!("this is not JSON: {error}")))?;
        if let Some(max) = compiled.depth_max {
            let depth = cost::depth_of(payload);
            if depth > max {
                return Err(whole(format!(
                    "the value nests {depth} levels; this schema branches too often for more than {max}"
                )));
            }
        }
        violations(&compiled, &json)
    }

    fn compiled(&self, schema: &Arc<str>) -> Result<Arc<Compiled>, String> {
        let found = {
            let cache = self.compiled.read().unwrap_or_else(PoisonError::into_inner);
            cache.get(schema).cloned()
        };
        if let Some(compiled) = found {
            return Ok(compiled);
        }
        let parsed: Json = serde_json::from_str(schema).map_err(|error| error.to_string())?;
        let compiled = Arc::new(compile(&parsed)?);
        let mut cache = self.compiled.write().unwrap_or_else(PoisonError::into_inner);
        if cache.len() >= CACHED_MAX {
            cache.clear();
        }
        cache.insert(schema.clone(), compiled.clone());
        Ok(compiled)
    }
}

/// The schema ready for use, or what is wrong with it.
pub(crate) fn compile(schema: &Json) -> Result<Compiled, String> {
    /// Compiled size of one pattern.
    const PATTERN_BYTES_MAX: usize = 256 * 1024;
    if !schema.is_object() && !schema.is_boolean() {
        return Err("a schema is an object".to_owned());
    }
    let depth_max = cost::depth_max(schema)?;
    let patterns =
        PatternOptions::regex().size_limit(PATTERN_BYTES_MAX).dfa_size_limit(PATTERN_BYTES_MAX);
    let validator = jsonschema::options()
        .with_pattern_options(patterns)
        .should_validate_formats(true)
        .offline()
        .build(schema)
        .map_err(|error| {
            let pointer = error.instance_path().to_string();
            if pointer.is_empty() { error.to_string() } else { format!("{pointer}: {error}") }
        })?;
    Ok(Compiled { validator, depth_max })
}

/// All that is wrong with the payload, up to [`VIOLATIONS_MAX`].
pub(crate) fn violations(schema: &Compiled, payload: &Json) -> Result<(), Vec<Violation>> {
    let found: Vec<Violation> = schema
        .validator
        .iter_errors(payload)
        .take(VIOLATIONS_MAX)
        .map(|error| Violation {
            pointer: error.instance_path().to_string(),
            message: error.to_string().chars().take(300).collect(),
        })
        .collect();
    if found.is_empty() { Ok(()) } else { Err(found) }
}

#[cfg(test)]
mod tests;
