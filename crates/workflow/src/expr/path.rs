//! Plain paths, such as `input.applicant` and `steps.credit.output.score`: resolved on the bytes of the
//! payload, which are neither parsed into values nor copied.

use std::fmt;

use fairlane_core::id::StepName;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::Fault;

/// A payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Root {
    Input,
    Output(StepName),
    Tenant,
    Item,
}

/// A payload and the fields to a value in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Path<'t> {
    pub(crate) root: Root,
    pub(crate) fields: Vec<&'t str>,
}

impl<'t> Path<'t> {
    /// The path, if the expression is nothing else.
    pub(crate) fn parse(text: &'t str) -> Option<Self> {
        let text = text.trim_matches([' ', '\t', '\n', '\r']);
        let mut fields: Vec<&str> = text.split('.').collect();
        if !fields.iter().all(|field| is_name(field)) {
            return None;
        }
        let (root, taken) = match fields.as_slice() {
            ["input", ..] => (Root::Input, 1),
            ["tenant", ..] => (Root::Tenant, 1),
            ["item", ..] => (Root::Item, 1),
            ["steps", name, "output", ..] => (Root::Output(StepName::parse(name).ok()?), 3),
            _ => return None,
        };
        fields.drain(..taken);
        Some(Self { root, fields })
    }

    /// The bytes of the value.
    pub(crate) fn find<'p>(&self, payload: &'p [u8]) -> Result<&'p [u8], Fault> {
        let mut found = payload.trim_ascii();
        for field in &self.fields {
            found = step_into(found, field)?;
        }
        Ok(found)
    }
}

fn is_name(field: &str) -> bool {
    field.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && field.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        // Words of the language, which CEL does not read as names.
        && !matches!(field, "true" | "false" | "null" | "in")
}

fn step_into<'p>(payload: &'p [u8], field: &str) -> Result<&'p [u8], Fault> {
    let of = match payload.first() {
        Some(b'{') => "map",
        Some(b'[') => "list",
        Some(b'"') => "string",
        Some(b'n') => "null",
        Some(b't' | b'f') => "bool",
        _ => "number",
    };
    let missing = || Fault::NoField { field: field.to_owned(), of };
    if of != "map" {
        return Err(missing());
    }
    let mut reader = serde_json::Deserializer::from_slice(payload);
    let found = reader
        .deserialize_map(Pick { field })
        .map_err(|error| Fault::Payload { detail: error.to_string() })?;
    found.map(|value| value.get().as_bytes()).ok_or_else(missing)
}

/// Finds one field of an object, the last if it is repeated, as a full parse would.
struct Pick<'f> {
    field: &'f str,
}

impl<'de> Visitor<'de> for Pick<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(is_wanted) = map.next_key_seed(Key { wanted: self.field })? {
            if is_wanted {
                found = Some(map.next_value::<&'de RawValue>()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// Whether a key is the wanted one, its escapes resolved.
struct Key<'f> {
    wanted: &'f str,
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<bool, E> {
        Ok(key == self.wanted)
    }
}
