//! The declarations that a recorded scenario needs, as `fairlane apply` takes them.
//!
//! Left out is what would tell more than how the platform is shared: where endpoints are and how they are asked, who
//! reviews, what tenants are like, where their data may be, and the policies that read all that.

use std::collections::BTreeSet;

use fairlane_api::arrival::Arrival;
use fairlane_api::workflow::{StepKind, Workflow};
use fairlane_client::Client;
use serde_json::{Map, Value, json};

use crate::declarations::{self, Sections};
use crate::simulate::world::recorded::REVIEWER;

/// What tenants, tiers and tools have that is not exported.
const LEFT_OUT: [&str; 12] = [
    "attributes",
    "data_residency",
    "outage",
    "region",
    "storage_region",
    "certificates",
    "audit_retention_days",
    "payload_retention_days",
    "review_retention_days",
    "run_retention_days",
    "legal_hold",
    "suspended",
];

#[derive(Debug)]
pub(super) struct Declared {
    /// By section, then by name.
    pub(super) sections: Sections,
    workflows: Vec<Workflow>,
    policies: usize,
}

impl Declared {
    /// What those arrivals met.
    pub(super) async fn read(
        client: &Client,
        arrivals: &[(String, Arrival)],
        workflows: Vec<Workflow>,
    ) -> anyhow::Result<Self> {
        let came: BTreeSet<&str> = arrivals.iter().map(|(tenant, _)| &**tenant).collect();
        let mut sections = declarations::read(client).await?;
        let entries = sections.values_mut().flat_map(Map::values_mut);
        entries.filter_map(Value::as_object_mut).for_each(|entry| {
            entry.retain(|field, _| !LEFT_OUT.contains(&field.as_str()));
        });
        let tenants = sections.entry("tenants").or_default();
        tenants.retain(|tenant, _| came.contains(tenant.as_str()));
        let org = |tenant: &Value| tenant["org"].as_str().map(ToOwned::to_owned);
        let used: BTreeSet<String> = tenants.values().filter_map(org).collect();
        sections.entry("orgs").or_default().retain(|org, _| used.contains(org));
        for (name, tool) in sections.entry("tools").or_default() {
            if let Some(endpoint) = tool.get_mut("endpoint") {
                *endpoint = stand_in(name, endpoint);
            }
        }
        for pool in sections.entry("reviewer_pools").or_default().values_mut() {
            pool["members"] = json!([{ "person": REVIEWER }]);
            pool["tenant"] = Value::Null;
        }
        let policies = client.policies().await?.iter().filter(|policy| !policy.shipped).count();
        Ok(Self { sections, workflows, policies })
    }

    pub(super) fn org_of<'a>(&'a self, tenant: &'a str) -> &'a str {
        self.sections["tenants"].get(tenant).and_then(|of| of["org"].as_str()).unwrap_or(tenant)
    }

    /// Whether a step is worked on, by a worker or by the server.
    pub(super) fn is_work(&self, workflow: &str, version: u32, step: &str) -> bool {
        let is_it = |of: &&Workflow| of.name == workflow && of.version == version;
        let steps = self.workflows.iter().find(is_it).map(|of| &of.steps);
        steps.into_iter().flatten().any(|of| {
            of.name == step
                && (of.task.is_some() || of.model.is_some() || of.kind == StepKind::Tool)
        })
    }

    pub(super) fn json(&self) -> anyhow::Result<String> {
        Ok(serde_json::to_string_pretty(&self.sections)? + "\n")
    }

    /// Files, by their names, with the definitions as they were written.
    pub(super) fn workflows(&self) -> impl Iterator<Item = (String, &str)> {
        self.workflows.iter().map(|workflow| {
            let extension =
                if workflow.source.trim_start().starts_with('{') { "json" } else { "yaml" };
            let Workflow { name, version, source, .. } = workflow;
            (format!("{name}.{version}.{extension}"), source.as_str())
        })
    }

    pub(super) fn notes(&self) -> Vec<String> {
        if self.policies == 0 {
            return Vec::new();
        }
        let policies = if self.policies == 1 { "policy" } else { "policies" };
        vec![format!("Left out: {} {policies}, and what they decide of steps", self.policies)]
    }
}

/// An endpoint of the same kind that is nowhere: nothing is called when it is played.
fn stand_in(name: &str, endpoint: &Value) -> Value {
    let mut own = json!({ "url": format!("https://{name}.example/v1") });
    for field in ["protocol", "timeout", "surcharge"] {
        if let Some(value) = endpoint.get(field) {
            own[field] = value.clone();
        }
    }
    own
}
