//! What a server has declared, as `fairlane apply` would declare it again: by section and name.

use std::collections::BTreeMap;

use fairlane_client::Client;
use serde::Serialize;
use serde_json::{Map, Value};

/// What lists show beside what was declared.
const SHOWN: [&str; 15] = [
    "id",
    "name",
    "version",
    "built_in",
    "declared",
    "shipped",
    "dispatchable",
    "in_flight",
    "waiting",
    "workers",
    "offered",
    "open",
    "live_runs",
    "waiting_bytes",
    "refused",
];

/// By section, then by name.
pub(crate) type Sections = BTreeMap<&'static str, Map<String, Value>>;

/// All that says how the platform is shared; not what says where it is.
pub(crate) async fn read(client: &Client) -> anyhow::Result<Sections> {
    let tiers = section(client.tiers().await?, "name");
    let mut tenants = section(client.tenants().await?, "id");
    tenants.values_mut().for_each(|tenant| own(tenant, &tiers));
    let mut pools = section(client.pools().await?, "name");
    // Where they are follows from the server; of a tool it is declared.
    for of_server in tenants.values_mut().chain(pools.values_mut()) {
        if let Some(fields) = of_server.as_object_mut() {
            fields.remove("region");
        }
    }
    let sections = [
        ("tiers", tiers),
        ("tenants", tenants),
        ("orgs", section(client.orgs().await?, "id")),
        ("pools", pools),
        ("tools", section(client.tools().await?, "name")),
        ("reviewer_pools", section(client.reviewer_pools().await?, "name")),
        ("models", section(client.models().await?, "name")),
        ("prices", section(client.prices().await?, "name")),
        ("budget_classes", section(client.budget_classes().await?, "name")),
    ];
    Ok(sections.into_iter().collect())
}

/// What was listed, by name.
fn section(listed: Vec<impl Serialize>, key: &str) -> Map<String, Value> {
    let mut section = Map::new();
    for entry in listed {
        let Ok(Value::Object(mut entry)) = serde_json::to_value(entry) else { continue };
        let Some(Value::String(name)) = entry.remove(key) else { continue };
        entry.retain(|field, _| !SHOWN.contains(&field.as_str()));
        section.insert(name, Value::Object(entry));
    }
    section
}

/// A tenant is shown with what its tier gives it: its own is what differs.
fn own(tenant: &mut Value, tiers: &Map<String, Value>) {
    let tier = tenant["tier"].as_str().and_then(|tier| tiers.get(tier)).cloned();
    let Some(tenant) = tenant.as_object_mut() else { return };
    tenant.retain(|name, value| {
        let of_tier = tier.as_ref().and_then(|tier| tier.get(name));
        !matches!(name.as_str(), "urgent_share_permille" | "runs_max") && of_tier != Some(value)
    });
}
