//! What the expressions of one evaluation read: the payloads of a run, as bytes.
//!
//! A payload is parsed only if an expression computes with it, and then once for all expressions of the
//! evaluation.

use std::cell::{Cell, OnceCell};
use std::collections::BTreeSet;

use fairlane_core::id::{RunId, StepName};
use fairlane_core::tenant::Context;
use serde_json::Value as Json;

use crate::expr::{DATA_BYTES_MAX, Fault, Root, Value};

/// Payloads of one run, as an evaluation sees them. All bytes are JSON that was checked when it came in.
///
/// Give what [`Refs`](crate::Refs) asks for; what is not given reads as `null`.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    pub input: &'a [u8],
    pub steps: &'a [StepResult<'a>],
    /// A JSON object with the fields that [`tenant_json`] gives it.
    pub tenant: &'a [u8],
    pub run: RunId,
    /// Inside a `map`.
    pub item: Option<Item<'a>>,
}

/// What of a tenant expressions can read.
pub(crate) const TENANT_FIELDS: [&str; 11] = [
    "id",
    "org",
    "tier",
    "version",
    "budget_class",
    "model_tier",
    "zone",
    "regions",
    "allowed_tools",
    "denied_tools",
    "attributes",
];

/// The tenant as expressions see it: what [`Scope::tenant`] is.
pub fn tenant_json(context: &Context) -> Vec<u8> {
    let Context { tenant, org, tier, version, budget_class, rules, attributes, .. } = context;
    let residency = rules.data_residency.as_ref();
    let none = BTreeSet::new();
    let fields = serde_json::json!({
        "id": tenant,
        "org": org,
        "tier": tier,
        "version": version,
        "budget_class": budget_class,
        "model_tier": context.model_tier(),
        "zone": residency.and_then(|residency| residency.zone.as_ref()),
        "regions": residency.map_or(&none, |residency| &residency.regions),
        "allowed_tools": rules.allowed_tools,
        "denied_tools": rules.denied_tools,
    });
    let mut text = fields.to_string();
    // What the tenant itself says stays as it was written.
    text.truncate(text.len() - 1);
    text.push_str(",\"attributes\":");
    text.push_str(attributes);
    text.push('}');
    text.into_bytes()
}

/// A step as expressions see it.
#[derive(Clone, Copy, Debug)]
pub struct StepResult<'a> {
    pub name: &'a StepName,
    /// Reads as `steps.NAME.status`.
    pub status: &'a str,
    /// Reads as `steps.NAME.output`; `None`, as for a step that was skipped, reads as `null`.
    pub output: Option<&'a [u8]>,
}

/// The item of a `map` that the step runs for.
#[derive(Clone, Copy, Debug)]
pub struct Item<'a> {
    pub value: &'a [u8],
    pub index: u32,
}

/// What `steps.NAME.status` can be. Only a compensation sees a step that was cancelled, or never began.
pub const STATUSES: [&str; 5] = ["done", "failed", "skipped", "cancelled", "pending"];

const NULL: &[u8] = b"null";

impl<'a> Scope<'a> {
    pub(crate) fn step(&self, name: &StepName) -> Option<&'a StepResult<'a>> {
        self.steps.iter().find(|step| step.name == name)
    }

    /// The bytes of a payload.
    pub(crate) fn payload(&self, root: &Root) -> &'a [u8] {
        match root {
            Root::Input => self.input,
            Root::Tenant => self.tenant,
            Root::Item => self.item.map_or(NULL, |item| item.value),
            Root::Output(name) => self.step(name).and_then(|step| step.output).unwrap_or(NULL),
        }
    }
}

/// A scope with the payloads that have been parsed so far.
#[derive(Debug)]
pub(crate) struct Session<'a> {
    pub(crate) scope: Scope<'a>,
    input: OnceCell<Json>,
    tenant: OnceCell<Json>,
    item: OnceCell<Json>,
    outputs: Vec<OnceCell<Json>>,
    bytes: Cell<usize>,
}

impl<'a> Session<'a> {
    pub(crate) fn new(scope: Scope<'a>) -> Self {
        Self {
            scope,
            input: OnceCell::new(),
            tenant: OnceCell::new(),
            item: OnceCell::new(),
            outputs: scope.steps.iter().map(|_| OnceCell::new()).collect(),
            bytes: Cell::new(0),
        }
    }

    /// The payload as a value.
    pub(crate) fn value(&self, root: &Root) -> Result<Value<'_>, Fault> {
        let cell = match root {
            Root::Input => &self.input,
            Root::Tenant => &self.tenant,
            Root::Item => &self.item,
            Root::Output(name) => {
                match self.scope.steps.iter().position(|step| step.name == name) {
                    Some(at) => &self.outputs[at],
                    None => return Ok(Value::Null),
                }
            }
        };
        if let Some(json) = cell.get() {
            return Ok(Value::from_json(json));
        }
        let payload = self.scope.payload(root);
        let bytes = self.bytes.get().saturating_add(payload.len());
        if bytes > DATA_BYTES_MAX {
            return Err(Fault::DataTooLarge);
        }
        self.bytes.set(bytes);
        let json = serde_json::from_slice(payload)
            .map_err(|error| Fault::Payload { detail: error.to_string() })?;
        Ok(Value::from_json(cell.get_or_init(|| json)))
    }
}

#[cfg(test)]
mod tests {
    use fairlane_core::residency::Residency;
    use fairlane_core::tenant::Rules;
    use serde_json::json;

    use super::*;

    fn context(rules: Rules) -> Context {
        Context {
            version: 3,
            tenant: "acme".parse().unwrap(),
            org: "group".parse().unwrap(),
            tier: "gold".parse().unwrap(),
            weight: 1,
            cap: 1,
            burst: None,
            urgent_share_permille: 0,
            runs_max: 1,
            sla: None,
            budget_class: Some("small".parse().unwrap()),
            reviewer_pool: None,
            review_class: 0,
            suspended: false,
            rules,
            rules_since: 3,
            attributes: r#"{"limit": 1.0}"#.into(),
        }
    }

    #[test]
    fn a_tenant_has_every_field_that_expressions_can_name() {
        let residency = Residency {
            zone: Some("eea+adequate".parse().unwrap()),
            regions: ["own-1".parse().unwrap()].into(),
            ..Residency::default()
        };
        let rules = Rules {
            data_residency: Some(residency),
            denied_tools: ["mail".parse().unwrap()].into(),
            ..Rules::default()
        };
        let text = tenant_json(&context(rules));
        assert!(text.ends_with(br#","attributes":{"limit": 1.0}}"#), "it stays as it was written");
        let tenant: Json = serde_json::from_slice(&text).unwrap();
        let expected = json!({
            "id": "acme", "org": "group", "tier": "gold", "version": 3, "budget_class": "small",
            "model_tier": "gold", "zone": "eea+adequate", "regions": ["own-1"],
            "allowed_tools": null, "denied_tools": ["mail"], "attributes": { "limit": 1.0 },
        });
        assert_eq!(tenant, expected);
        let fields: Vec<&str> = tenant.as_object().unwrap().keys().map(String::as_str).collect();
        assert!(TENANT_FIELDS.iter().all(|field| fields.contains(field)), "{fields:?}");
        assert_eq!(fields.len(), TENANT_FIELDS.len());
    }

    #[test]
    fn a_tenant_without_rules_may_be_anywhere() {
        let text = tenant_json(&context(Rules::default()));
        let tenant: Json = serde_json::from_slice(&text).unwrap();
        assert_eq!((&tenant["zone"], &tenant["regions"]), (&Json::Null, &json!([])));
    }
}
