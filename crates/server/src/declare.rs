//! Declarations of the operator, on their way into the cells.
//!
//! What belongs to a tenant goes to the cell that has it, or to the one that a new tenant is given; a key of a worker goes to
//! the region in which the worker is. Everything else is declared in all cells, in home first, which refuses what is wrong.
//! A cell that cannot be reached then leaves a declaration that is in force in some regions and not in others: the answer
//! says so, the same request again completes it, and so does the next start.

use fairlane_api::Code;
use fairlane_api::resource::Applied;
use fairlane_core::cell::effect::Response;
use fairlane_core::cell::input::{Configure, Input, Query};
use fairlane_core::id::{OrgId, TenantId};
use fairlane_core::plan::Workflow;
use fairlane_core::residency::{Atlas, Declaration};
use fairlane_core::row::{Actor, Owner, Role};
use fairlane_core::tenant::{Org, Tenant};
use fairlane_core::time::Time;
use serde::Deserialize;
use std::sync::Arc;
use utoipa::IntoParams;

use crate::auth::Operator;
use crate::cells::App;
use crate::problem::Refused;
use crate::serve::Shared;

#[derive(Clone, Copy, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct DryRun {
    /// Check only, write nothing.
    #[serde(default)]
    pub(crate) dry_run: bool,
}

/// Declares a resource, or checks whether it could be.
pub(crate) async fn configure(
    (app, operator): (&App, &Operator),
    resource: Configure,
    DryRun { dry_run }: DryRun,
) -> Result<Applied, Refused> {
    let cells = cells(app, &resource)?;
    if matches!(resource, Configure::Tier(_) | Configure::Residency(_)) {
        // All cells first: what one of them refuses is to be in force in none.
        for cell in &cells {
            leaves_nobody_outside(cell, &resource).await?;
        }
    }
    let mut changed = false;
    for (at, cell) in cells.iter().enumerate() {
        let resource = for_cell(&resource, cell);
        if dry_run {
            crate::dry_run::check(cell, &resource)?;
        } else {
            changed |= ask(cell, Some(operator.by.clone()), resource)
                .await
                .map_err(|refused| partly(refused, at, cell))?;
        }
    }
    Ok(Applied { changed, dry_run })
}

/// Brings the other cells to what home knows.
pub(crate) async fn reconcile(app: &App) -> Result<(), Refused> {
    let (home, others) = app.all().split_first().expect("a server has a cell");
    if others.is_empty() {
        return Ok(());
    }
    let declared = home.registry.declared();
    for cell in others {
        for policy in cell.registry.policies(None, usize::MAX) {
            if home.registry.policy(&policy.name).is_none() {
                ask(cell, None, Configure::DropPolicy(policy.name)).await?;
            }
        }
        let now = home.now();
        for resource in declared.iter().filter_map(|resource| still_new(resource, now)) {
            ask(cell, None, for_cell(&resource, cell)).await?;
        }
    }
    Ok(())
}

/// A resource as a cell may be told of it that has never heard of it: decisions that have ended are refused as new ones, and
/// decide nothing any more.
fn still_new(resource: &Configure, now: Time) -> Option<Configure> {
    let Configure::Residency(Declaration::Adequacy(adequacy)) = resource else {
        return Some(resource.clone());
    };
    let mut adequacy = adequacy.clone();
    adequacy.decisions.retain(|decision| decision.until.is_none_or(|until| until > now));
    let is_any = !adequacy.decisions.is_empty();
    is_any.then(|| Configure::Residency(Declaration::Adequacy(adequacy)))
}

async fn ask(cell: &Shared, by: Option<Actor>, resource: Configure) -> Result<bool, Refused> {
    match cell.engine.ask(|reply| Input::Configure(reply, by, resource)).await? {
        Response::Configured { changed } => Ok(changed),
        other => Err(Refused::internal(&format!("a declaration was answered by {other:?}"))),
    }
}

/// Asks the cell itself, which knows its tenants.
async fn leaves_nobody_outside(cell: &Shared, resource: &Configure) -> Result<(), Refused> {
    let query = Query::StoresAfter(Box::new(resource.clone()));
    let asked = cell.engine.query(query, |response| match response {
        Response::Configured { .. } => Ok(()),
        other => Err(other),
    });
    asked.await
}

/// A cell after the first did not take what those before it have.
fn partly(refused: Refused, at: usize, cell: &Shared) -> Refused {
    if at == 0 {
        return refused;
    }
    let detail = refused.0.detail.clone().unwrap_or_default();
    refused.detail(format!(
        "it is declared in the regions before `{}`, and not there: {detail}; send it again",
        cell.region
    ))
}

/// The cells that a resource is declared in.
fn cells(app: &App, resource: &Configure) -> Result<Vec<Shared>, Refused> {
    let one = |cell: &Shared| Ok(vec![cell.clone()]);
    match resource {
        Configure::Tenant(tenant) => one(place(app, tenant)?),
        Configure::Account(account) => one(match &account.owner {
            Owner::Tenant(tenant) => app.at(tenant),
            Owner::Org(org) => app.account_of(org),
        }),
        Configure::Key(key) => one(match &key.role {
            Role::Tenant { tenant, .. } => app.at(tenant),
            Role::Worker { region: Some(region), .. } => {
                let cell = app.region(region.as_str());
                cell.ok_or_else(|| app.no_region(region.as_str()).at("/region"))?
            }
            Role::Operator | Role::Reviewer { .. } | Role::Worker { region: None, .. } => {
                app.home()
            }
        }),
        Configure::DropKey(id) => {
            let has_it = |cell: &&Shared| cell.registry.key(id).is_some();
            one(app.all().iter().find(has_it).unwrap_or(app.home()))
        }
        Configure::Org(org) => {
            one_region(app, org)?;
            Ok(app.all().to_vec())
        }
        Configure::Workflow(workflow) => {
            known_tenants(app, workflow)?;
            Ok(app.all().to_vec())
        }
        Configure::RenewSeal(Some(tenant)) | Configure::CloseLog(Some(tenant)) => {
            one(app.at(tenant))
        }
        Configure::RenewSeal(None)
        | Configure::CloseLog(None)
        | Configure::ReviewerPool(_)
        | Configure::Tier(_)
        | Configure::Pool(_)
        | Configure::Valve(_)
        | Configure::Tool(_)
        | Configure::Class(_)
        | Configure::Model(_)
        | Configure::Price(_)
        | Configure::Policy(_)
        | Configure::DropPolicy(_)
        | Configure::Residency(_) => Ok(app.all().to_vec()),
    }
}

/// A resource as one cell is told of it: of a workflow's schedules those of the cell's own tenants.
fn for_cell(resource: &Configure, cell: &Shared) -> Configure {
    match resource {
        Configure::Workflow(workflow) => {
            let is_here = |tenant: &TenantId| cell.registry.context(tenant).is_some();
            if workflow.schedules.iter().all(|schedule| is_here(&schedule.tenant)) {
                return resource.clone();
            }
            let mut own = Workflow::clone(workflow);
            own.schedules.retain(|schedule| is_here(&schedule.tenant));
            Configure::Workflow(Arc::new(own))
        }
        _ => resource.clone(),
    }
}

/// The cell of a tenant: the one that has it, or else the first whose region is one where its data may be.
fn place<'a>(app: &'a App, tenant: &Tenant) -> Result<&'a Shared, Refused> {
    let cell = app.of(&tenant.id).unwrap_or_else(|| first_allowed(app, tenant));
    let org = app.home().registry.org(&tenant.org);
    if org.is_some_and(|org| org.budget.is_some())
        && let Some(other) = elsewhere(app, &tenant.org, cell)
    {
        return Err(split_budget(&tenant.org, &other).at("/org"));
    }
    Ok(cell)
}

/// The first cell whose region is one where a new tenant's data may be. If there is none: home, which says why not.
fn first_allowed<'a>(app: &'a App, tenant: &Tenant) -> &'a Shared {
    let tier = app.home().registry.tier(&tenant.tier);
    let residency = tenant.residency(tier.as_ref());
    let now = app.home().now();
    let may = |cell: &&Shared| {
        let asked = |atlas: &Atlas| atlas.admits_region(residency, Some(&cell.region), now).is_ok();
        cell.registry.places(asked)
    };
    app.all().iter().find(may).unwrap_or(app.home())
}

/// An organisation with a budget has its tenants in one region: there is one ledger that its money is counted in.
fn one_region(app: &App, org: &Org) -> Result<(), Refused> {
    if org.budget.is_none() || app.all().len() == 1 {
        return Ok(());
    }
    let first = app.account_of(&org.id);
    match elsewhere(app, &org.id, first) {
        Some(_) => Err(split_budget(&org.id, first).at("/budget")),
        None => Ok(()),
    }
}

/// Another cell that has tenants of the organisation.
fn elsewhere(app: &App, org: &OrgId, cell: &Shared) -> Option<Shared> {
    let is_other = |other: &&Shared| !Arc::ptr_eq(other, cell) && other.registry.has_tenant_of(org);
    app.all().iter().find(is_other).cloned()
}

fn split_budget(org: &OrgId, other: &Shared) -> Refused {
    Refused::new(Code::InvalidValue)
        .detail(format!(
            "organisation `{org}` has a budget, and tenants in region `{}`: its money is counted in one region",
            other.region
        ))
        .expected("an organisation for each region, or one without a budget")
}

/// The tenants that schedules name are known in some cell.
fn known_tenants(app: &App, workflow: &Workflow) -> Result<(), Refused> {
    let unknown = |tenant: &TenantId| app.of(tenant).is_none();
    match workflow.schedules.iter().find(|schedule| unknown(&schedule.tenant)) {
        Some(schedule) => Err(crate::problem::rejection::unknown_tenant(schedule.tenant.as_str())
            .at(format!("/schedules/{}/tenant", schedule.name))
            .expected("a tenant that is declared")),
        None => Ok(()),
    }
}
