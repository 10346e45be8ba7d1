//! Values as JSON text.

use super::function::text_of;
use super::value::{List, Object, Value};
use super::{Fault, RESULT_BYTES_MAX};

/// Appends the value. Fails before `out` grows past [`RESULT_BYTES_MAX`] by more than one payload.
pub(crate) fn write(out: &mut Vec<u8>, value: &Value<'_>) -> Result<(), Fault> {
    if out.len() > RESULT_BYTES_MAX {
        return Err(Fault::ResultTooLarge);
    }
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(value) => out.extend_from_slice(if *value { b"true" } else { b"false" }),
        Value::Int(value) => out.extend_from_slice(value.to_string().as_bytes()),
        Value::Uint(value) => out.extend_from_slice(value.to_string().as_bytes()),
        Value::Double(value) => {
            let number = serde_json::Number::from_f64(*value)
                .ok_or_else(|| Fault::NotJson { text: value.to_string() })?;
            out.extend_from_slice(number.to_string().as_bytes());
        }
        Value::Text(text) => serialize(out, &**text)?,
        Value::Timestamp(_) | Value::Duration(_) => {
            serialize(out, &text_of(value).unwrap_or_default())?;
        }
        Value::List(List::Json(items)) => serialize(out, items)?,
        Value::Object(Object::Json(object)) => serialize(out, object)?,
        Value::List(List::Made(items)) => {
            out.push(b'[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                write(out, item)?;
            }
            out.push(b']');
        }
        Value::Object(Object::Made(object)) => {
            out.push(b'{');
            for (at, (key, value)) in object.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                serialize(out, key)?;
                out.push(b':');
                write(out, value)?;
            }
            out.push(b'}');
        }
    }
    if out.len() > RESULT_BYTES_MAX { Err(Fault::ResultTooLarge) } else { Ok(()) }
}

fn serialize<T: serde::Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) -> Result<(), Fault> {
    serde_json::to_writer(out, value).map_err(|error| Fault::NotJson { text: error.to_string() })
}
