//! What a play changes: how pools share their slots, whose runs come and how often, and what is declared.
//!
//! In a scenario's `compare`, or on the command line: `--what-if 'tenants/acme.cap=20, arrivals/acme=x2'`.

use std::collections::BTreeMap;
use std::sync::Arc;

use fairlane_api::resource::Policy;
use serde::{Deserialize, Deserializer, de};
use serde_json::{Map, Value};

use crate::apply::located;
use crate::apply::resource::Origin;

/// Times as many arrivals, at most.
const TIMES_MAX: f64 = 1_000.0;

/// One play of the scenario.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Variant {
    pub(super) name: String,
    /// How all pools share their slots; nothing: as declared.
    #[serde(default)]
    pub(super) policy: Option<Policy>,
    /// Tenants and groups whose runs are left out.
    #[serde(default)]
    pub(super) without: Vec<String>,
    /// By tenant or group: how many come for each that does.
    #[serde(default)]
    pub(super) times: BTreeMap<String, Times>,
    /// What is declared otherwise: by section and name the fields that change, `null` to take one out.
    #[serde(default)]
    pub(super) change: BTreeMap<String, BTreeMap<String, Map<String, Value>>>,
    /// Where it stands, if not in the scenario.
    #[serde(skip)]
    pub(super) origin: Option<Origin>,
}

/// A factor, in thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Times(u64);

impl Times {
    pub(super) const ONCE: Self = Self(1_000);

    /// How many come for `count` arrivals after the first `at`: of one and a half every other one comes twice.
    pub(super) const fn copies(self, at: u64, count: u64) -> u64 {
        (at + count).saturating_mul(self.0) / 1_000 - at.saturating_mul(self.0) / 1_000
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is within bounds"
    )]
    fn new(times: f64) -> Option<Self> {
        (0.0..=TIMES_MAX).contains(&times).then(|| Self((times * 1_000.0).round() as u64))
    }

    fn read(text: &str) -> Option<Self> {
        let number = text.strip_prefix('x').or_else(|| text.strip_suffix('x')).unwrap_or(text);
        Self::new(number.trim().parse().ok()?)
    }
}

impl<'de> Deserialize<'de> for Times {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Given {
            Number(f64),
            Text(String),
        }
        let expected = "how many come for each, 0 to 1,000, such as 2 or 0.5";
        match Given::deserialize(from)? {
            Given::Number(number) => Self::new(number)
                .ok_or_else(|| de::Error::invalid_value(de::Unexpected::Float(number), &expected)),
            Given::Text(text) => Self::read(&text)
                .ok_or_else(|| de::Error::invalid_value(de::Unexpected::Str(&text), &expected)),
        }
    }
}

impl Variant {
    /// As the scenario says.
    pub(super) fn unchanged(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    pub(super) fn times_of(&self, names: [&str; 2]) -> Times {
        names.iter().find_map(|name| self.times.get(*name)).copied().unwrap_or(Times::ONCE)
    }

    /// One on the command line: `KIND/NAME.FIELD=VALUE`, `arrivals/NAME=x2` or `policy=fifo`, several with commas between.
    ///
    /// # Errors
    /// If it is none, with what would be right.
    pub(super) fn what_if(text: &str) -> Result<Self, String> {
        let mut variant = Self::unchanged(text);
        for part in parts(text) {
            variant.add(part)?;
        }
        let value = serde_json::to_string(&variant.change).unwrap_or_default();
        let file = format!("--what-if '{text}'");
        let (root, _) = located::read(&file, &format!("{{\"change\":{value}}}"));
        variant.origin = root.map(|root| Origin {
            file: file.into(),
            root: Arc::new(root),
            pointer: String::new(),
        });
        Ok(variant)
    }

    fn add(&mut self, part: &str) -> Result<(), String> {
        let wrong = |why: &str| {
            format!(
                "--what-if {part:?}: {why}; expected what changes, such as tenants/acme.cap=20, tiers/gold.weight=8, \
                 pools/default.slots=40, arrivals/acme=x2 or policy=fifo"
            )
        };
        let (what, value) = part.split_once('=').ok_or_else(|| wrong("there is no `=`"))?;
        let (what, value) = (what.trim(), value.trim());
        if what == "policy" {
            let policy = serde_json::from_value(Value::from(value));
            self.policy = Some(policy.map_err(|_| wrong("there is no such policy"))?);
            return Ok(());
        }
        let (kind, rest) = what.split_once('/').ok_or_else(|| wrong("it has no `/`"))?;
        if kind == "arrivals" {
            let times =
                Times::read(value).ok_or_else(|| wrong("this is no factor from 0 to 1,000"))?;
            self.times.insert(rest.to_owned(), times);
            return Ok(());
        }
        let (name, path) = rest.split_once('.').ok_or_else(|| wrong("it names no field"))?;
        let mut fields = path.split('.').rev();
        let last = fields.next().unwrap_or_default();
        // What is no JSON is text.
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
        let mut change = Map::from_iter([(last.to_owned(), value)]);
        for field in fields {
            change = Map::from_iter([(field.to_owned(), Value::Object(change))]);
        }
        let section = self.change.entry(section(kind)).or_default();
        let known = section.entry(name.to_owned()).or_default();
        let mut merged = Value::Object(std::mem::take(known));
        merge(&mut merged, Value::Object(change), Nulls::Keep);
        if let Value::Object(merged) = merged {
            *known = merged;
        }
        Ok(())
    }
}

/// A section by its name, or by that of one in it.
fn section(kind: &str) -> String {
    match kind {
        "tenant" | "tier" | "org" | "pool" | "tool" | "model" | "price" => format!("{kind}s"),
        "class" | "budget_class" => "budget_classes".to_owned(),
        other => other.to_owned(),
    }
}

/// Those between commas; a comma inside of a value is no end.
fn parts(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut begin) = (0_i32, 0);
    let mut is_text = false;
    for (at, character) in text.char_indices() {
        match character {
            '"' => is_text = !is_text,
            '{' | '[' if !is_text => depth += 1,
            '}' | ']' if !is_text => depth -= 1,
            ',' if !is_text && depth == 0 => {
                parts.push(text[begin..at].trim());
                begin = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text[begin..].trim());
    parts
}

/// What `null` means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nulls {
    /// It takes the field out.
    Drop,
    /// It is a value, for later.
    Keep,
}

/// Puts a change on a value: objects field by field, all else as a whole (RFC 7386).
pub(super) fn merge(value: &mut Value, change: Value, nulls: Nulls) {
    let Value::Object(change) = change else {
        *value = change;
        return;
    };
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    let Value::Object(fields) = value else { return };
    for (name, change) in change {
        if change.is_null() && nulls == Nulls::Drop {
            fields.remove(&name);
        } else {
            merge(fields.entry(name).or_insert(Value::Null), change, nulls);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn half_as_many_are_every_other_one() {
        let copies = |times: f64| -> Vec<u64> {
            let times = Times::new(times).unwrap();
            (0..4).map(|at| times.copies(at, 1)).collect()
        };
        assert_eq!(copies(2.0), [2, 2, 2, 2]);
        assert_eq!(copies(0.5), [0, 1, 0, 1]);
        assert_eq!(copies(1.5), [1, 2, 1, 2]);
        assert_eq!(copies(0.0), [0, 0, 0, 0]);
        assert_eq!(Times::new(0.5).unwrap().copies(3, 8), 4, "of eight at once four");
    }

    #[test]
    fn what_if_says_several_changes_at_once() {
        let text = "tenant/a.cap=20, tenants/a.sla.latency_ms=null,arrivals/b=x1.5, policy=fifo, \
                    tools/t.limits=[{\"concurrent\":{\"calls\":2}}]";
        let variant = Variant::what_if(text).unwrap();
        let change = serde_json::to_value(&variant.change).unwrap();
        assert_eq!(
            change,
            json!({
                "tenants": { "a": { "cap": 20, "sla": { "latency_ms": null } } },
                "tools": { "t": { "limits": [{ "concurrent": { "calls": 2 } }] } },
            })
        );
        assert_eq!((variant.policy, variant.times["b"]), (Some(Policy::Fifo), Times(1_500)));
        for (wrong, why) in [
            ("tenants/a.cap", "there is no `=`"),
            ("cap=20", "it has no `/`"),
            ("tenants/a=20", "it names no field"),
            ("arrivals/a=twice", "this is no factor"),
            ("arrivals/a=-1", "this is no factor"),
            ("policy=fast", "there is no such policy"),
        ] {
            let said = Variant::what_if(wrong).unwrap_err();
            assert!(said.contains(why) && said.contains("expected"), "{said}");
        }
    }

    #[test]
    fn a_change_leaves_what_it_does_not_name() {
        let mut value =
            json!({ "cap": 10, "sla": { "latency_ms": 5, "percentile_permille": 950 }, "l": [1] });
        let change = json!({ "cap": null, "sla": { "latency_ms": 9 }, "l": [2, 3], "new": { "x": null, "y": 1 } });
        merge(&mut value, change, Nulls::Drop);
        assert_eq!(
            value,
            json!({ "sla": { "latency_ms": 9, "percentile_permille": 950 }, "l": [2, 3], "new": { "y": 1 } })
        );
    }
}
