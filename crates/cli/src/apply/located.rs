//! A YAML or JSON file as a tree whose values know their places, so that a mistake can be shown where it is.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_saphyr::{Location, Spanned};

use crate::mistake::Mistake;

/// Line and column, both from 1.
pub(super) type Place = (u32, u32);

/// A value, and where it and what is in it stands.
#[derive(Debug)]
pub(super) struct Located {
    pub(super) at: Place,
    pub(super) content: Content,
}

#[derive(Debug)]
pub(super) enum Content {
    /// Null, a truth value, a number or a text.
    Scalar(Value),
    List(Vec<Located>),
    Object(BTreeMap<String, Entry>),
}

#[derive(Debug)]
pub(super) struct Entry {
    /// Where the key stands.
    pub(super) at: Place,
    pub(super) value: Located,
}

/// Reads a file. The error is the first mistake of its syntax: what follows one means nothing.
pub(super) fn read(file: &str, text: &str) -> Result<Located, Mistake> {
    let options = serde_saphyr::options! { with_snippet: false };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let message = error.to_string();
        let message = message.split(" at line ").next().unwrap_or_default().to_owned();
        let (line, column) = error.location().map_or((1, 1), |location| place(&location));
        Mistake {
            file: file.to_owned(),
            line,
            column,
            message,
            expected: Some("YAML or JSON".to_owned()),
            code: "syntax".to_owned(),
        }
    })
}

impl Located {
    pub(super) const fn object(&self) -> Option<&BTreeMap<String, Entry>> {
        match &self.content {
            Content::Object(entries) => Some(entries),
            _ => None,
        }
    }

    /// The value without its places.
    pub(super) fn to_json(&self) -> Value {
        match &self.content {
            Content::Scalar(value) => value.clone(),
            Content::List(items) => Value::Array(items.iter().map(Self::to_json).collect()),
            Content::Object(entries) => Value::Object(
                entries.iter().map(|(key, entry)| (key.clone(), entry.value.to_json())).collect(),
            ),
        }
    }

    /// Where the value at a JSON pointer stands; of a value that is not there, what it would stand in.
    pub(super) fn place(&self, pointer: &str) -> Place {
        self.nearest(pointer).0
    }

    /// Where the key of the value at a JSON pointer stands, or the value if it has none.
    pub(super) fn key_place(&self, pointer: &str) -> Place {
        let (at, key) = self.nearest(pointer);
        key.unwrap_or(at)
    }

    fn nearest(&self, pointer: &str) -> (Place, Option<Place>) {
        let (mut node, mut key) = (self, None);
        for segment in pointer.split('/').skip(1) {
            let segment = segment.replace("~1", "/").replace("~0", "~");
            let child = match &node.content {
                Content::Object(entries) => {
                    entries.get(&segment).map(|entry| (&entry.value, Some(entry.at)))
                }
                Content::List(items) => {
                    segment.parse::<usize>().ok().and_then(|at| Some((items.get(at)?, None)))
                }
                Content::Scalar(_) => None,
            };
            let Some(child) = child else { return (node.at, None) };
            (node, key) = child;
        }
        (node.at, key)
    }
}

fn place(location: &Location) -> Place {
    let number = |value: u64| u32::try_from(value).unwrap_or(u32::MAX).max(1);
    (number(location.line()), number(location.column()))
}

impl<'de> Deserialize<'de> for Located {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Spanned { value: content, referenced, .. } =
            Spanned::<Content>::deserialize(deserializer)?;
        Ok(Self { at: place(&referenced), content })
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ContentVisitor)
    }
}

struct ContentVisitor;

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Content;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value that JSON can say")
    }

    fn visit_unit<E>(self) -> Result<Content, E> {
        Ok(Content::Scalar(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Content, E> {
        Ok(Content::Scalar(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Content, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Content, E> {
        let number =
            serde_json::Number::from_f64(value).ok_or_else(|| E::custom("not a finite number"))?;
        Ok(Content::Scalar(Value::Number(number)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Content, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Content::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Content, A::Error> {
        let mut object = BTreeMap::new();
        while let Some(key) = entries.next_key::<Spanned<String>>()? {
            let entry = Entry { at: place(&key.referenced), value: entries.next_value()? };
            if object.insert(key.value.clone(), entry).is_some() {
                return Err(A::Error::custom(format!("`{}` is given twice", key.value)));
            }
        }
        Ok(Content::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const FILE: &str =
        "tiers:\n  free:\n    weight: 1\n    cap: 3 # slots\npools: {a/b: {slots: [1, \"2\"]}}\n";

    #[test]
    fn values_are_what_json_would_call_them() {
        let located = read("f", FILE).unwrap();
        let value = json!({
            "tiers": { "free": { "weight": 1, "cap": 3 } }, "pools": { "a/b": { "slots": [1, "2"] } }
        });
        assert_eq!(located.to_json(), value);
        assert_eq!(read("f", &value.to_string()).unwrap().to_json(), value);
    }

    #[test]
    fn every_value_and_key_knows_its_place() {
        let located = read("f", FILE).unwrap();
        for (pointer, value, key) in [
            ("/tiers/free/cap", (4, 10), (4, 5)),
            ("/tiers/free", (3, 5), (2, 3)),
            ("/pools/a~1b/slots/1", (5, 26), (5, 26)),
            ("/tiers/free/missing", (3, 5), (3, 5)),
        ] {
            assert_eq!(located.place(pointer), value, "{pointer}");
            assert_eq!(located.key_place(pointer), key, "{pointer}");
        }
    }

    #[test]
    fn what_is_no_yaml_is_said_with_its_place() {
        let mistake = read("f", "tiers:\n  a: [1\nb: 2\n").unwrap_err();
        assert_eq!((mistake.code.as_str(), mistake.line), ("syntax", 3));
        assert!(read("f", "a: 1\na: 2\n").is_err(), "a key twice");
    }
}
