//! Names that declarations refer to: each must be declared in the files or on the server.

use std::collections::BTreeSet;

use fairlane_client::Client;

use super::resource::{Declaration, Kind, Spec};
use super::set::Set;
use crate::mistake::Mistake;

/// What can be referred to.
#[derive(Debug, Default)]
pub(super) struct Names {
    classes: BTreeSet<String>,
    orgs: BTreeSet<String>,
    tiers: BTreeSet<String>,
    pools: BTreeSet<String>,
    tenants: BTreeSet<String>,
    workflows: BTreeSet<String>,
}

impl Names {
    /// The names on the server and those of the set.
    pub(super) async fn read(client: &Client, set: &Set) -> anyhow::Result<Self> {
        let mut names = Self::default();
        if set.has_any(Kind::Tier) || set.has_any(Kind::Tenant) {
            let classes = client.budget_classes().await?.into_iter();
            names.classes = classes.map(|class| class.name).collect();
        }
        if set.has_any(Kind::Tenant) {
            let (orgs, tiers) = tokio::try_join!(client.orgs(), client.tiers())?;
            names.orgs = orgs.into_iter().map(|org| org.id).collect();
            names.tiers = tiers.into_iter().map(|tier| tier.name).collect();
        }
        if set.has_any(Kind::Workflow) {
            names.pools = client.pools().await?.into_iter().map(|pool| pool.name).collect();
        }
        if set.definitions().any(|definition| !definition.schedules.is_empty()) {
            names.tenants = client.tenants().await?.into_iter().map(|tenant| tenant.id).collect();
        }
        if set.definitions().any(|definition| !definition.calls.is_empty()) {
            let workflows = client.workflows().await?.into_iter();
            names.workflows = workflows.map(|workflow| workflow.name).collect();
        }
        for (kind, name) in set.names() {
            match kind {
                Kind::Class => names.classes.insert(name.to_owned()),
                Kind::Org => names.orgs.insert(name.to_owned()),
                Kind::Tier => names.tiers.insert(name.to_owned()),
                Kind::Pool => names.pools.insert(name.to_owned()),
                Kind::Tenant => names.tenants.insert(name.to_owned()),
                Kind::Workflow => names.workflows.insert(name.to_owned()),
                Kind::Tool | Kind::Valve => false,
            };
        }
        Ok(names)
    }

    /// What a declaration refers to and is nowhere.
    pub(super) fn missing(&self, declaration: &Declaration) -> Vec<Mistake> {
        let origin = &declaration.origin;
        let mistake = |pointer: &str, code: &str, what: &str, name: &str| {
            let message = format!("no {what} is named `{name}`");
            let expected = Some(format!("{what} in the files or on the server"));
            origin.mistake(origin.place(pointer), code, message, expected)
        };
        let unknown_class = |class: &Option<String>| {
            let class = class.as_ref().filter(|class| !self.classes.contains(*class))?;
            Some(mistake("/budget_class", "unknown-budget-class", "budget class", class))
        };
        match &declaration.spec {
            Spec::Tier(spec) => unknown_class(&spec.budget_class).into_iter().collect(),
            Spec::Tenant(spec) => {
                let mut mistakes = Vec::from_iter(unknown_class(&spec.budget_class));
                if !self.orgs.contains(&spec.org) {
                    mistakes.push(mistake("/org", "unknown-org", "organisation", &spec.org));
                }
                if !self.tiers.contains(&spec.tier) {
                    mistakes.push(mistake("/tier", "unknown-tier", "tier", &spec.tier));
                }
                mistakes
            }
            Spec::Workflow(definition) => {
                let mut mistakes = definition.check_pools(&self.pools);
                for (schedule, tenant) in &definition.schedules {
                    if !self.tenants.contains(tenant) {
                        let pointer = format!("/schedules/{schedule}/tenant");
                        mistakes.push(mistake(&pointer, "unknown-tenant", "tenant", tenant));
                    }
                }
                mistakes
            }
            Spec::Tool(_) | Spec::Class(_) | Spec::Org(_) | Spec::Pool(_) | Spec::Valve(_) => {
                Vec::new()
            }
        }
    }

    /// What a declaration refers to and may still come to be.
    pub(super) fn doubts(&self, declaration: &Declaration) -> Vec<String> {
        let Spec::Workflow(definition) = &declaration.spec else { return Vec::new() };
        let unknown =
            definition.calls.iter().filter(|(_, called)| !self.workflows.contains(called));
        let doubt = |(step, called): &(String, String)| {
            let origin = &declaration.origin;
            let (line, column) = origin.place(&format!("/steps/{step}/call/workflow"));
            format!(
                "{}:{line}:{column}: no workflow is named `{called}` yet; \
                 a run that comes to this step fails until there is one",
                origin.file
            )
        };
        unknown.map(doubt).collect()
    }
}
