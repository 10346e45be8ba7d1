//! Checks a declaration without making it: a cell that knows only what the declaration refers to is asked, and
//! thrown away. So the rules exist once, in the core.

use fairlane_core::catalog::Model;
use fairlane_core::cell::change::Snapshot;
use fairlane_core::cell::effect::{Effect, Response};
use fairlane_core::cell::input::{Configure, Input, ReplyId};
use fairlane_core::driver::Driver;
use fairlane_core::id::{ClassName, ReviewerPoolName, TierName};
use fairlane_core::plan::StepKind;
use fairlane_core::review::CLASS_DEFAULT;
use fairlane_core::row::Role;
use fairlane_core::tenant::{Context, Rules, Tenant, Tier};

use crate::problem::Refused;
use crate::registry::Registry;
use crate::serve::Surroundings;

pub(crate) fn check(cell: &Surroundings, resource: &Configure) -> Result<(), Refused> {
    let mut snapshot = surroundings(&cell.registry, resource);
    snapshot.region = Some(cell.region.clone());
    snapshot.share = cell.share;
    let now = cell.now();
    let mut driver = Driver::load(now, 1, snapshot);
    drop(driver.take());
    let pending = if driver.is_committing() { driver.committed() } else { Vec::new() };
    drop(pending);
    driver.step(now, Input::Configure(ReplyId(0), None, resource.clone()));
    drop(driver.take());
    for effect in driver.committed() {
        if let Effect::Reply(_, Response::Rejected(rejection)) = effect {
            return Err(rejection.into());
        }
    }
    Ok(())
}

/// What the candidates of a model refer to.
fn add_candidates(registry: &Registry, model: &Model, snapshot: &mut Snapshot) {
    for candidate in &model.candidates {
        if snapshot.tools.iter().all(|known| known.name != candidate.endpoint) {
            snapshot.tools.extend(registry.tool(&candidate.endpoint));
        }
        if snapshot.prices.iter().all(|known| known.name != candidate.price) {
            snapshot.prices.extend(registry.price(&candidate.price));
        }
        for tier in &candidate.tiers {
            if snapshot.tiers.iter().all(|known| known.name != *tier) {
                snapshot.tiers.extend(registry.tier(tier).or_else(|| model_tier(registry, tier)));
            }
        }
    }
}

/// What the declaration refers to, as far as it exists.
fn surroundings(registry: &Registry, resource: &Configure) -> Snapshot {
    let mut snapshot = Snapshot { residency: registry.residency(), ..Snapshot::default() };
    match resource {
        Configure::Tier(tier) => {
            add_class(registry, tier.budget_class.as_ref(), &mut snapshot);
            add_reviewers(registry, tier.reviewer_pool.as_ref(), &mut snapshot);
        }
        Configure::Org(_)
        | Configure::Pool(_)
        | Configure::Valve(_)
        | Configure::Class(_)
        | Configure::Price(_)
        // Of these the cell itself is asked: see `catalog::policies`.
        | Configure::Policy(_)
        | Configure::DropPolicy(_)
        | Configure::Residency(_)
        | Configure::Account(_)
        | Configure::ReviewerPool(_)
        | Configure::DropKey(_)
        | Configure::RenewSeal(_)
        | Configure::CloseLog(_) => {}
        Configure::Tool(tool) => {
            let model = registry.model_at(&tool.name);
            snapshot.tools.extend(model.as_ref().and_then(|_| registry.tool(&tool.name)));
            snapshot.models.extend(model);
        }
        Configure::Model(model) => add_candidates(registry, model, &mut snapshot),
        Configure::Tenant(tenant) => {
            snapshot.orgs.extend(registry.org(&tenant.org));
            snapshot.tiers.extend(registry.tier(&tenant.tier));
            add_class(registry, tenant.budget_class.as_ref(), &mut snapshot);
            add_reviewers(registry, tenant.reviewer_pool.as_ref(), &mut snapshot);
            add_tenant(registry, &tenant.id, &mut snapshot);
        }
        Configure::Workflow(workflow) => {
            for step in &workflow.steps {
                if let Some(pool) = step.kind.pool()
                    && snapshot.pools.iter().all(|known| known.name != *pool)
                {
                    snapshot.pools.extend(registry.pool(pool));
                }
            }
            for step in &workflow.steps {
                let StepKind::Review(terms) = &step.kind else { continue };
                let rungs = terms.escalate.iter().filter_map(|rung| rung.pool.as_ref());
                for pool in terms.pool.iter().chain(rungs) {
                    add_reviewers(registry, Some(pool), &mut snapshot);
                }
            }
            for schedule in &workflow.schedules {
                add_tenant(registry, &schedule.tenant, &mut snapshot);
            }
            snapshot.workflows.extend(registry.workflow(&workflow.name, Some(workflow.version)));
        }
        Configure::Key(key) => {
            if let Role::Tenant { tenant, .. } = &key.role {
                add_tenant(registry, tenant, &mut snapshot);
            }
        }
    }
    snapshot
}

/// Any tier whose tenants are served by candidates of that name.
fn model_tier(registry: &Registry, name: &TierName) -> Option<Tier> {
    registry.is_model_tier(name).then(|| Tier {
        name: name.clone(),
        weight: 1,
        cap: 1,
        burst: None,
        urgent_share_permille: 0,
        runs_max: 1,
        sla: None,
        budget_class: None,
        reviewer_pool: None,
        review_class: CLASS_DEFAULT,
        rules: Rules::default(),
    })
}

fn add_class(registry: &Registry, class: Option<&ClassName>, snapshot: &mut Snapshot) {
    snapshot.classes.extend(class.and_then(|class| registry.class(class)));
}

fn add_reviewers(registry: &Registry, pool: Option<&ReviewerPoolName>, snapshot: &mut Snapshot) {
    let Some(pool) = pool else { return };
    if snapshot.reviewer_pools.iter().all(|known| known.name != *pool) {
        snapshot.reviewer_pools.extend(registry.reviewer_pool(pool));
    }
}

fn add_tenant(registry: &Registry, id: &fairlane_core::id::TenantId, snapshot: &mut Snapshot) {
    let Some(context) = registry.context(id) else { return };
    if snapshot.tenants.iter().any(|known| known.id == *id) {
        return;
    }
    if snapshot.orgs.iter().all(|known| known.id != context.org) {
        snapshot.orgs.extend(registry.org(&context.org));
    }
    if snapshot.tiers.iter().all(|known| known.name != context.tier) {
        snapshot.tiers.extend(registry.tier(&context.tier));
    }
    snapshot.tenants.push(declared(&context));
    snapshot.contexts.push(context);
}

fn declared(context: &Context) -> Tenant {
    Tenant {
        id: context.tenant.clone(),
        org: context.org.clone(),
        tier: context.tier.clone(),
        weight: Some(context.weight),
        cap: Some(context.cap),
        burst: context.burst,
        sla: context.sla,
        budget_class: context.budget_class.clone(),
        reviewer_pool: context.reviewer_pool.clone(),
        rules: context.rules.clone(),
        suspended: context.suspended,
        attributes: context.attributes.clone(),
    }
}
