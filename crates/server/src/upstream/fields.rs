//! A request that is passed on.
//!
//! It is kept as its fields in their order, each as the JSON that it came as: what this version of the server does not
//! know goes to the provider untouched, numbers included. A field that stands there twice is refused, because the
//! provider might read the other one.

use std::fmt;

use hyper::body::Bytes;
use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};

#[derive(Debug, Clone, Default)]
pub(super) struct Fields(Vec<(Box<str>, Box<RawValue>)>);

/// Why a text is no request: where, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{pointer}: {expected}")]
pub(crate) struct Malformed {
    /// JSON pointer.
    pub(crate) pointer: String,
    pub(crate) expected: String,
}

impl Fields {
    pub(super) fn parse(json: &[u8]) -> Result<Self, Malformed> {
        serde_json::from_slice(json).map_err(|error| malformed("", &error))
    }

    /// Sets a field, in its place if it is there.
    pub(super) fn set(&mut self, name: &str, value: &(impl Serialize + ?Sized)) {
        let value = to_raw_value(value).expect("what is set has text keys only");
        match self.0.iter_mut().find(|(known, _)| &**known == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name.into(), value)),
        }
    }

    /// All but these.
    pub(super) fn but(&self, names: &[&str]) -> Self {
        let kept = |(name, _): &&(Box<str>, _)| !names.contains(&&**name);
        Self(self.0.iter().filter(kept).cloned().collect())
    }

    pub(super) fn body(&self) -> Bytes {
        serde_json::to_vec(self).expect("raw JSON under text keys is JSON").into()
    }

    pub(super) fn raw(&self, name: &str) -> Option<&RawValue> {
        self.0.iter().find(|(known, _)| &**known == name).map(|(_, value)| &**value)
    }

    /// The field, if it is there and of that type.
    pub(super) fn get<'r, T: Deserialize<'r>>(&'r self, name: &str) -> Option<T> {
        serde_json::from_str::<Option<T>>(self.raw(name)?.get()).ok()?
    }

    pub(super) fn field<'r, T: Deserialize<'r>>(
        &'r self,
        name: &str,
        expected: &str,
    ) -> Result<T, Malformed> {
        let text = self.raw(name).map_or("null", RawValue::get);
        serde_json::from_str(text).map_err(|_| malformed(&format!("/{name}"), &expected))
    }
}

pub(super) fn malformed(pointer: &str, expected: &dyn fmt::Display) -> Malformed {
    Malformed { pointer: pointer.to_owned(), expected: expected.to_string() }
}

impl Serialize for Fields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Fields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
        let mut fields: Vec<(Box<str>, Box<RawValue>)> = Vec::new();
        while let Some((name, value)) = map.next_entry::<Box<str>, Box<RawValue>>()? {
            if fields.iter().any(|(known, _)| *known == name) {
                return Err(serde::de::Error::custom(format!(
                    "each field once; `{name}` is there twice"
                )));
            }
            fields.push((name, value));
        }
        Ok(Fields(fields))
    }
}
