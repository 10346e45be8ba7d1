//! Values of expressions, borrowed from the payloads where they can be.
//!
//! INVARIANT: cloning a value costs a fixed time: texts, lists and objects are borrowed or counted.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::rc::Rc;

use serde_json::Value as Json;

#[derive(Clone, Debug)]
pub(crate) enum Value<'v> {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(Text<'v>),
    List(List<'v>),
    Object(Object<'v>),
    Timestamp(jiff::Timestamp),
    Duration(jiff::SignedDuration),
}

#[derive(Clone, Debug)]
pub(crate) enum Text<'v> {
    Borrowed(&'v str),
    Made(Rc<str>),
}

#[derive(Clone, Debug)]
pub(crate) enum List<'v> {
    Json(&'v [Json]),
    Made(Rc<[Value<'v>]>),
}

#[derive(Clone, Debug)]
pub(crate) enum Object<'v> {
    Json(&'v serde_json::Map<String, Json>),
    Made(Rc<BTreeMap<String, Value<'v>>>),
}

impl<'v> Value<'v> {
    /// Whole numbers are `int` if they fit, else `uint`; all others are `double`.
    pub(crate) fn from_json(json: &'v Json) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(value) => Self::Bool(*value),
            Json::Number(number) => match (number.as_i64(), number.as_u64()) {
                (Some(value), _) => Self::Int(value),
                (None, Some(value)) => Self::Uint(value),
                (None, None) => Self::Double(number.as_f64().unwrap_or(f64::NAN)),
            },
            Json::String(text) => Self::Text(Text::Borrowed(text)),
            Json::Array(items) => Self::List(List::Json(items)),
            Json::Object(object) => Self::Object(Object::Json(object)),
        }
    }

    pub(crate) fn made_text(text: &str) -> Self {
        Self::Text(Text::Made(Rc::from(text)))
    }

    /// The type's name in CEL.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Uint(_) => "uint",
            Self::Double(_) => "double",
            Self::Text(_) => "string",
            Self::List(_) => "list",
            Self::Object(_) => "map",
            Self::Timestamp(_) => "timestamp",
            Self::Duration(_) => "duration",
        }
    }
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Made(text) => text,
        }
    }
}

impl<'v> List<'v> {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Json(items) => items.len(),
            Self::Made(items) => items.len(),
        }
    }

    pub(crate) fn get(&self, index: usize) -> Option<Value<'v>> {
        match self {
            Self::Json(items) => items.get(index).map(Value::from_json),
            Self::Made(items) => items.get(index).cloned(),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Value<'v>> + '_ {
        (0..self.len()).filter_map(|index| self.get(index))
    }
}

impl<'v> Object<'v> {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Json(object) => object.len(),
            Self::Made(object) => object.len(),
        }
    }

    pub(crate) fn get(&self, key: &str) -> Option<Value<'v>> {
        match self {
            Self::Json(object) => object.get(key).map(Value::from_json),
            Self::Made(object) => object.get(key).cloned(),
        }
    }

    /// The keys, in the order in which the object holds them.
    pub(crate) fn keys(&self) -> Vec<Value<'v>> {
        match self {
            Self::Json(object) => {
                object.keys().map(|key| Value::Text(Text::Borrowed(key))).collect()
            }
            Self::Made(object) => object.keys().map(|key| Value::made_text(key)).collect(),
        }
    }
}
