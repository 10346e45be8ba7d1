//! A tenant's free attributes, as policies read them.
//!
//! Cedar wants one type for all tags of an entity, and attributes are whatever JSON the operator declared. So:
//!
//! | JSON | how a policy reads it |
//! |---|---|
//! | text | `principal.getTag("telemetry") == "off"` |
//! | `true`, `false` | the texts `"true"` and `"false"` |
//! | number | its text, and `principal.numbers.getTag("threshold").lessThan(decimal("0.8"))` if it has at most four digits after the point and fits |
//! | list | `principal.lists.getTag("repositories").contains("core")`: its texts, and other values as text |
//! | object | its members, with the names joined by a point: `principal.getTag("filter.level")` |
//! | `null` | not there |
//!
//! Where a name with a point and a nested one meet, the one that is less nested counts.

use std::collections::BTreeMap;

use serde_json::{Map, Number, Value};

/// Digits after the point that Cedar's decimals have.
const DECIMAL_SCALE: usize = 4;

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Attributes {
    pub(super) texts: BTreeMap<String, String>,
    /// As Cedar writes decimals.
    pub(super) numbers: BTreeMap<String, String>,
    pub(super) lists: BTreeMap<String, Vec<String>>,
}

impl Attributes {
    /// `None` if the text is no JSON object.
    pub(super) fn read(text: &str) -> Option<Self> {
        let mut attributes = Self::default();
        let mut level: Vec<(String, Map<String, Value>)> =
            vec![(String::new(), serde_json::from_str(text).ok()?)];
        // Level by level, so that what is less nested is there first.
        while !level.is_empty() {
            let mut deeper = Vec::new();
            for (prefix, members) in level {
                for (key, value) in members {
                    let name = format!("{prefix}{key}");
                    match value {
                        Value::Object(members) => deeper.push((format!("{name}."), members)),
                        value => attributes.put(name, value),
                    }
                }
            }
            level = deeper;
        }
        Some(attributes)
    }

    fn put(&mut self, name: String, value: Value) {
        match value {
            Value::Null | Value::Object(_) => {}
            Value::Array(values) => {
                let texts = values.into_iter().map(text).collect();
                self.lists.entry(name).or_insert(texts);
            }
            value => {
                if let Value::Number(number) = &value
                    && let Some(decimal) = decimal(number)
                    && !self.texts.contains_key(&name)
                {
                    self.numbers.insert(name.clone(), decimal);
                }
                self.texts.entry(name).or_insert_with(|| text(value));
            }
        }
    }
}

fn text(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

/// The number as Cedar writes it, if it can hold it exactly.
fn decimal(number: &Number) -> Option<String> {
    let text = number.to_string();
    let (whole, part) = text.split_once('.').unwrap_or((&text, "0"));
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let part = match part.trim_end_matches('0') {
        "" => "0",
        part => part,
    };
    if !is_digits(whole.strip_prefix('-').unwrap_or(whole))
        || !is_digits(part)
        || part.len() > DECIMAL_SCALE
    {
        return None;
    }
    let scaled: i128 = format!("{whole}{part:0<4}").parse().ok()?;
    i64::try_from(scaled).is_ok().then(|| format!("{whole}.{part}"))
}
