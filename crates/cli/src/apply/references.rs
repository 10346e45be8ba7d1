//! Names that declarations refer to: each must be declared in the files or on the server.

mod places;

use std::collections::{BTreeMap, BTreeSet};

use fairlane_api::catalog::{Candidate, Endpoint, Protocol};
use fairlane_client::Client;

use super::resource::{Declaration, Kind, Origin, Spec, escape};
use super::set::Set;
use crate::mistake::Mistake;
use places::Places;

/// What can be referred to.
#[derive(Debug, Default)]
pub(super) struct Names {
    classes: BTreeSet<String>,
    /// Whether it is an endpoint for chat completions.
    tools: BTreeMap<String, bool>,
    models: BTreeSet<String>,
    prices: BTreeSet<String>,
    orgs: BTreeSet<String>,
    tiers: BTreeSet<String>,
    pools: BTreeSet<String>,
    tenants: BTreeSet<String>,
    workflows: BTreeSet<String>,
    reviewers: BTreeSet<String>,
    places: Places,
    /// What candidates can be meant for that is no tier.
    model_tiers: BTreeSet<String>,
}

impl Names {
    /// The names on the server and those of the set.
    pub(super) async fn read(client: &Client, set: &Set) -> anyhow::Result<Self> {
        let mut names = Self::default();
        if set.has_any(Kind::Tier) || set.has_any(Kind::Tenant) {
            let classes = client.budget_classes().await?.into_iter();
            names.classes = classes.map(|class| class.name).collect();
        }
        if set.has_any(Kind::Model) {
            let (prices, tiers) = tokio::try_join!(client.prices(), client.tiers())?;
            names.prices = prices.into_iter().map(|price| price.name).collect();
            names.model_tiers = tiers.iter().filter_map(|tier| tier.model_tier.clone()).collect();
            names.tiers = tiers.into_iter().map(|tier| tier.name).collect();
        }
        if set.has_any(Kind::Tenant) {
            let (orgs, tiers) = tokio::try_join!(client.orgs(), client.tiers())?;
            names.orgs = orgs.into_iter().map(|org| org.id).collect();
            names.tiers = tiers.into_iter().map(|tier| tier.name).collect();
        }
        if set.has_any(Kind::Workflow) {
            names.pools = client.pools().await?.into_iter().map(|pool| pool.name).collect();
        }
        let are_scheduled = set.definitions().any(|definition| !definition.schedules.is_empty());
        if are_scheduled || set.all().any(|declaration| !tenants_of(declaration).is_empty()) {
            names.tenants = client.tenants().await?.into_iter().map(|tenant| tenant.id).collect();
        }
        if set.definitions().any(|definition| !definition.calls.is_empty()) {
            let workflows = client.workflows().await?.into_iter();
            names.workflows = workflows.map(|workflow| workflow.name).collect();
        }
        if set.definitions().any(|definition| !definition.models.is_empty()) {
            names.models = client.models().await?.into_iter().map(|model| model.name).collect();
        }
        if name_reviewers(set) {
            let pools = client.reviewer_pools().await?.into_iter();
            names.reviewers = pools.map(|pool| pool.name).collect();
        }
        names.places = Places::read(client, set).await?;
        let are_called = set.definitions().any(|definition| !definition.tools.is_empty());
        if are_called
            || places::name_tools(set)
            || set.has_any(Kind::Class)
            || set.has_any(Kind::Model)
        {
            let tools = client.tools().await?.into_iter();
            names.tools = tools.map(|tool| (tool.name, is_chat(tool.endpoint.as_ref()))).collect();
        }
        names.add(set);
        if names.has_strange_tier(set) {
            let tenants = client.tenants().await?.into_iter();
            names.model_tiers.extend(tenants.filter_map(|tenant| tenant.model_tier));
        }
        Ok(names)
    }

    /// Those that the files declare. What has mistakes is taken for what others need: one mistake is enough.
    fn add(&mut self, set: &Set) {
        for (kind, name) in set.names() {
            let name = name.to_owned();
            match kind {
                Kind::Tool => drop(self.tools.insert(name, true)),
                Kind::Price => drop(self.prices.insert(name)),
                Kind::Class => drop(self.classes.insert(name)),
                Kind::Org => drop(self.orgs.insert(name)),
                Kind::Tier => drop(self.tiers.insert(name)),
                Kind::Pool => drop(self.pools.insert(name)),
                Kind::Tenant => drop(self.tenants.insert(name)),
                Kind::Workflow => drop(self.workflows.insert(name)),
                Kind::Model => drop(self.models.insert(name)),
                Kind::Region => drop(self.places.regions.insert(name)),
                Kind::Zone => drop(self.places.zones.insert(name)),
                Kind::Reviewers => drop(self.reviewers.insert(name)),
                Kind::Adequacy | Kind::Valve | Kind::Policy => {}
            }
        }
        for declaration in set.all() {
            match &declaration.spec {
                Spec::Tool(spec) => {
                    self.tools.insert(declaration.name.clone(), is_chat(spec.endpoint.as_ref()));
                }
                Spec::Tier(spec) => self.model_tiers.extend(spec.model_tier.clone()),
                Spec::Tenant(spec) => self.model_tiers.extend(spec.model_tier.clone()),
                _ => {}
            }
        }
    }

    /// Whether a candidate is meant for what may be the model tier of a tenant on the server, if it is anything.
    fn has_strange_tier(&self, set: &Set) -> bool {
        set.all().any(|declaration| match &declaration.spec {
            Spec::Model(spec) => {
                let mut tiers = spec.candidates.iter().flat_map(|candidate| &candidate.tiers);
                tiers.any(|tier| !self.is_tier_of_models(tier))
            }
            _ => false,
        })
    }

    fn is_tier_of_models(&self, name: &String) -> bool {
        self.tiers.contains(name) || self.model_tiers.contains(name)
    }

    /// What a declaration refers to and is nowhere.
    pub(super) fn missing(&self, declaration: &Declaration) -> Vec<Mistake> {
        let origin = &declaration.origin;
        let mistake =
            |pointer: &str, code, what, name: &str| missing(origin, pointer, code, what, name);
        let unknown_class = |class: &Option<String>| {
            let class = class.as_ref().filter(|class| !self.classes.contains(*class))?;
            Some(mistake("/budget_class", "unknown-budget-class", "budget class", class))
        };
        let unknown_reviewers = |(pointer, pool): (String, String)| {
            let is_unknown = !self.reviewers.contains(&pool);
            is_unknown.then(|| mistake(&pointer, "unknown-reviewer-pool", "reviewer pool", &pool))
        };
        let unknown = reviewers_of(declaration).into_iter().filter_map(unknown_reviewers);
        match &declaration.spec {
            Spec::Zone(_) | Spec::Tool(_) => self.places.missing(declaration),
            Spec::Reviewers(_) => {
                let mut mistakes = self.places.missing(declaration);
                let named = tenants_of(declaration).into_iter();
                let unknown = named.filter(|(_, tenant)| !self.tenants.contains(tenant));
                mistakes.extend(unknown.map(|(pointer, tenant)| {
                    mistake(&pointer, "unknown-tenant", "tenant", &tenant)
                }));
                mistakes
            }
            Spec::Tier(spec) => {
                let mut mistakes = self.places.missing(declaration);
                mistakes.extend(unknown);
                mistakes.extend(unknown_class(&spec.budget_class));
                mistakes
            }
            Spec::Tenant(spec) => {
                let mut mistakes = self.places.missing(declaration);
                mistakes.extend(unknown);
                mistakes.extend(unknown_class(&spec.budget_class));
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
                mistakes.extend(unknown);
                for (schedule, tenant) in &definition.schedules {
                    if !self.tenants.contains(tenant) {
                        let pointer = format!("/schedules/{schedule}/tenant");
                        mistakes.push(mistake(&pointer, "unknown-tenant", "tenant", tenant));
                    }
                }
                mistakes
            }
            Spec::Model(spec) => {
                let candidates = spec.candidates.iter().zip(0..);
                candidates.flat_map(|(one, at)| self.missing_of(origin, one, at)).collect()
            }
            Spec::Region(_)
            | Spec::Adequacy(_)
            | Spec::Price(_)
            | Spec::Class(_)
            | Spec::Org(_)
            | Spec::Pool(_)
            | Spec::Valve(_)
            | Spec::Policy(_) => Vec::new(),
        }
    }

    fn missing_of(&self, origin: &Origin, candidate: &Candidate, at: usize) -> Vec<Mistake> {
        let pointer = |field: &str| format!("/candidates/{at}/{field}");
        let mut mistakes = Vec::new();
        let endpoint = &candidate.endpoint;
        match self.tools.get(endpoint) {
            None => {
                let pointer = pointer("endpoint");
                mistakes.push(missing(origin, &pointer, "unknown-tool", "tool", endpoint));
            }
            Some(false) => mistakes.push(origin.mistake(
                origin.place(&pointer("endpoint")),
                "no-endpoint",
                format!("tool `{endpoint}` has no endpoint for chat completions"),
                Some("a tool that has an endpoint with `protocol: chat`".to_owned()),
            )),
            Some(true) => {}
        }
        let (field, price) = match &candidate.price {
            Some(price) => ("price", price),
            None => ("model", &candidate.model),
        };
        if !self.prices.contains(price) {
            let pointer = pointer(field);
            mistakes.push(missing(origin, &pointer, "unknown-price", "price", price));
        }
        for (tier, tier_at) in candidate.tiers.iter().zip(0..) {
            if !self.is_tier_of_models(tier) {
                let pointer = format!("{}/{tier_at}", pointer("tiers"));
                mistakes.push(missing(origin, &pointer, "unknown-tier", "tier", tier));
            }
        }
        mistakes
    }

    /// What a declaration refers to and may still come to be.
    pub(super) fn doubts(&self, declaration: &Declaration) -> Vec<String> {
        let doubt = |pointer: &str, what: &str, name: &str, until: &str| {
            let (line, column) = declaration.origin.place(pointer);
            let file = &declaration.origin.file;
            format!(
                "{file}:{line}:{column}: no {what} is named `{name}` yet; {until} until there is one"
            )
        };
        match &declaration.spec {
            Spec::Class(class) => class
                .quotas
                .keys()
                .filter(|tool| !self.tools.contains_key(*tool))
                .map(|tool| {
                    let pointer = format!("/quotas/{}", escape(tool));
                    doubt(&pointer, "tool", tool, "the quota bounds nothing")
                })
                .collect(),
            Spec::Tier(_) | Spec::Tenant(_) => {
                let named = places::tools_of(declaration).into_iter();
                let unknown = named.filter(|(_, tool)| !self.tools.contains_key(tool));
                let says = |(pointer, tool): (String, String)| {
                    doubt(&pointer, "tool", &tool, "it says nothing")
                };
                unknown.map(says).collect()
            }
            Spec::Workflow(definition) => {
                let of = |steps: &[(String, String)], known: &dyn Fn(&String) -> bool| {
                    let unknown = steps.iter().filter(|(_, name)| !known(name)).cloned();
                    unknown.collect::<Vec<_>>()
                };
                let calls = of(&definition.calls, &|name| self.workflows.contains(name));
                let tools = of(&definition.tools, &|name| self.tools.contains_key(name));
                let models = of(&definition.models, &|name| self.models.contains(name));
                let calls = calls.iter().map(|(step, name)| {
                    let pointer = format!("/steps/{step}/call/workflow");
                    doubt(&pointer, "workflow", name, "a run that comes to this step fails")
                });
                let tools = tools.iter().map(|(step, name)| {
                    let pointer = format!("/steps/{step}/tool");
                    doubt(&pointer, "tool", name, "nothing limits these calls")
                });
                let models = models.iter().map(|(step, name)| {
                    let pointer = format!("/steps/{step}/model");
                    doubt(&pointer, "model", name, "runs are refused")
                });
                calls.chain(tools).chain(models).collect()
            }
            _ => Vec::new(),
        }
    }
}

/// Whether anything names a pool of reviewers.
fn name_reviewers(set: &Set) -> bool {
    set.all().any(|declaration| !reviewers_of(declaration).is_empty())
}

/// Where a pool of reviewers names tenants, and which.
pub(super) fn tenants_of(declaration: &Declaration) -> Vec<(String, String)> {
    let Spec::Reviewers(spec) = &declaration.spec else { return Vec::new() };
    let own = spec.tenant.iter().map(|tenant| ("/tenant".to_owned(), tenant.clone()));
    let members = spec.members.iter().zip(0..).flat_map(|(member, at): (_, u32)| {
        let named = member.tenants.iter().flatten().zip(0..);
        named.map(move |(tenant, place): (_, u32)| {
            (format!("/members/{at}/tenants/{place}"), tenant.clone())
        })
    });
    own.chain(members).collect()
}

/// Where a declaration names pools of reviewers, and which.
fn reviewers_of(declaration: &Declaration) -> Vec<(String, String)> {
    let own = |pool: &Option<String>| {
        pool.iter().map(|pool| ("/reviewer_pool".to_owned(), pool.clone())).collect()
    };
    match &declaration.spec {
        Spec::Tier(spec) => own(&spec.reviewer_pool),
        Spec::Tenant(spec) => own(&spec.reviewer_pool),
        Spec::Workflow(definition) => definition.reviewers.clone(),
        _ => Vec::new(),
    }
}

pub(super) fn missing(
    origin: &Origin,
    pointer: &str,
    code: &str,
    what: &str,
    name: &str,
) -> Mistake {
    let message = format!("no {what} is named `{name}`");
    let expected = Some(format!("{what} in the files or on the server"));
    origin.mistake(origin.place(pointer), code, message, expected)
}

fn is_chat(endpoint: Option<&Endpoint>) -> bool {
    endpoint.is_some_and(|endpoint| endpoint.protocol == Protocol::Chat)
}
