//! Where steps may go and which tools they may use: what is declared of places, and what follows from it for running work.
//!
//! Both the version of the context that a run is pinned to and the one in force have to allow it: what protects acts at
//! once, what relaxes acts on runs that come later. What the catalog says of places is pinned by nobody.
//!
//! A leased step that may not be where it is any more is *withdrawn*: its worker is told to stop at its next exchange, and
//! the step tries again to pass the gates, where it finds another way or waits.

use std::collections::BTreeSet;

use crate::gate::Refusal;
use crate::id::{RegionName, TenantId, ToolName};
use crate::plan::Step;
use crate::reject::Rejection;
use crate::residency::{
    Adequacy, Atlas, Country, DECISIONS_MAX, Declaration, Inside, Location, Outside, PLACES_MAX,
    Residency, Storage, Zone,
};
use crate::router::Because;
use crate::scheduler::TenantIx;
use crate::tenant::{Context, Rules, Tenant, Tier};
use crate::time::Time;

use super::change::Change;
use super::configure::{full, wide};
use super::directory::Directory;
use super::input::Configure;
use super::live::{At, Revoked, Run, State};
use super::model::WAY;
use super::{Cell, Turn};

/// Where a tool is that nobody has declared.
static NOWHERE: Location = Location::unknown();

/// Bounds on how much can be declared in one cell.
const REGIONS_MAX: usize = 10_000;
const ZONES_MAX: usize = 1_000;
const TOOLS_NAMED_MAX: usize = 10_000;
/// Tenants that a refusal names; all are counted.
const OUTSIDE_NAMED_MAX: usize = 5;
/// A hundred years.
const RETENTION_DAYS_MAX: u32 = 36_525;

/// The contexts that bind work: the one in force, and the one that its run is pinned to if that has other rules.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Binding<'a> {
    pub(crate) newest: &'a Context,
    pinned: Option<&'a Context>,
}

impl<'a> Binding<'a> {
    /// Of work that is no run's.
    pub(crate) const fn newest(newest: &'a Context) -> Self {
        Self { newest, pinned: None }
    }

    pub(crate) fn all(self) -> impl Iterator<Item = &'a Context> {
        std::iter::once(self.newest).chain(self.pinned)
    }
}

impl Directory {
    pub(crate) fn binding<'a>(&'a self, run: &'a Run) -> Binding<'a> {
        let newest: &Context = self.tenants.get(run.tenant).context();
        let has_others = newest.rules_since != run.context.rules_since;
        Binding { newest, pinned: has_others.then_some(&*run.context) }
    }

    /// Where a tool is.
    pub(crate) fn location(&self, tool: &ToolName) -> &Location {
        self.tools.get(tool).map_or(&NOWHERE, |tool| &tool.location)
    }

    /// Whether work may use a tool that is there, and on which country's adequacy that rests.
    pub(crate) fn may_use(
        &self,
        binding: Binding<'_>,
        (name, location): (&ToolName, &Location),
        now: Time,
    ) -> Result<Option<Country>, Because> {
        let mut adequate = None;
        for Context { rules, .. } in binding.all() {
            if !rules.allows(name) {
                return Err(Because::Denied);
            }
            match self.atlas.admits(rules.data_residency.as_ref(), location, now) {
                Ok(Inside::Adequacy { country, .. }) => adequate = adequate.or(Some(country)),
                Ok(Inside::Unbound | Inside::Zone) => {}
                Err(outside) => return Err(Because::Outside(outside)),
            }
        }
        Ok(adequate)
    }

    /// Why a node that is no call of a model may not use its tool.
    pub(crate) fn forbids(&self, run: &Run, node: u32, now: Time) -> Option<Refusal> {
        let tool = run.tool(node)?;
        let may = self.may_use(self.binding(run), (tool, self.location(tool)), now);
        let tool = tool.clone();
        Some(match may.err()? {
            Because::Outside(outside) => Refusal::Outside { tool, outside },
            _ => Refusal::Denied { tool },
        })
    }
}

/// The tool of a node that the rules deny which its run is pinned to: they never change.
pub(crate) fn denied_for_good(run: &Run, node: u32) -> Option<&ToolName> {
    run.tool(node).filter(|tool| !run.context.rules.allows(tool))
}

impl Cell {
    pub(crate) fn declare_residency(
        &mut self,
        declaration: Declaration,
        turn: &mut Turn,
    ) -> Result<bool, Rejection> {
        if self.directory.atlas.has(&declaration) {
            return Ok(false);
        }
        self.leaves_nobody_outside(&declaration)?;
        let atlas = &self.directory.atlas;
        match &declaration {
            Declaration::Region(region) => {
                let is_new = atlas.region(&region.name).is_none();
                full("regions", is_new, atlas.regions().len(), REGIONS_MAX)?;
            }
            Declaration::Zone(zone) => {
                self.check_zone(zone)?;
                let is_new = atlas.zone(&zone.name).is_none();
                full("zones", is_new, atlas.zones().len(), ZONES_MAX)?;
            }
            Declaration::Adequacy(adequacy) => self.check_adequacy(adequacy)?,
        }
        turn.write(Change::Residency(declaration.clone()));
        self.directory.atlas.declare(declaration);
        self.rules_next = self.directory.atlas.next_change(self.now);
        self.rules_changed(None, turn);
        Ok(true)
    }

    fn check_zone(&self, zone: &Zone) -> Result<(), Rejection> {
        wide("/countries", zone.countries.len() as u64, 0, PLACES_MAX as u64)?;
        wide("/regions", zone.regions.len() as u64, 0, PLACES_MAX as u64)?;
        self.known_regions("/regions", &zone.regions)
    }

    fn check_adequacy(&self, adequacy: &Adequacy) -> Result<(), Rejection> {
        wide("/decisions", adequacy.decisions.len() as u64, 1, DECISIONS_MAX as u64)?;
        let known = self.directory.atlas.adequacy(adequacy.country);
        for (decision, at) in adequacy.decisions.iter().zip(0..) {
            if decision.until.is_some_and(|until| until <= decision.from) {
                return Err(Rejection::DecisionNeverHolds { at });
            }
            let is_known = known.is_some_and(|known| known.decisions.contains(decision));
            if let Some(until) = decision.until.filter(|until| *until <= self.now && !is_known) {
                return Err(Rejection::DecisionPast { at, until });
            }
        }
        for (pair, at) in adequacy.decisions.windows(2).zip(1..) {
            if pair[0].until.is_none_or(|until| until > pair[1].from) {
                return Err(Rejection::DecisionsOverlap { at });
            }
        }
        Ok(())
    }

    pub(crate) fn known_regions(
        &self,
        field: &'static str,
        regions: &BTreeSet<RegionName>,
    ) -> Result<(), Rejection> {
        match regions.iter().find(|region| self.directory.atlas.region(region).is_none()) {
            Some(region) => Err(Rejection::UnknownRegion { field, region: region.clone() }),
            None => Ok(()),
        }
    }

    /// A tool is where the catalog knows regions.
    pub(crate) fn check_location(&self, location: &Location) -> Result<(), Rejection> {
        let Location { region, storage, certificates } = location;
        wide("/certificates", certificates.len() as u64, 0, PLACES_MAX as u64)?;
        let region = region.iter().cloned().collect();
        self.known_regions("/region", &region)?;
        match storage {
            Some(Storage::Region(kept)) => {
                self.known_regions("/storage_region", &BTreeSet::from([kept.clone()]))
            }
            Some(Storage::Nothing) | None => Ok(()),
        }
    }

    pub(crate) fn check_rules(&self, rules: &Rules) -> Result<(), Rejection> {
        let Rules { data_residency, allowed_tools, denied_tools, .. } = rules;
        let allowed = allowed_tools.as_ref().map_or(0, BTreeSet::len);
        wide("/allowed_tools", allowed as u64, 0, TOOLS_NAMED_MAX as u64)?;
        wide("/denied_tools", denied_tools.len() as u64, 0, TOOLS_NAMED_MAX as u64)?;
        for (days, field) in [
            (rules.audit_retention_days, "/audit_retention_days"),
            (rules.payload_retention_days, "/payload_retention_days"),
            (rules.review_retention_days, "/review_retention_days"),
            (rules.run_retention_days, "/run_retention_days"),
        ] {
            wide(field, days.unwrap_or(1).into(), 1, RETENTION_DAYS_MAX.into())?;
        }
        let Some(Residency { zone, regions, adequate }) = data_residency else { return Ok(()) };
        wide("/data_residency/regions", regions.len() as u64, 0, PLACES_MAX as u64)?;
        wide("/data_residency/adequate", adequate.len() as u64, 0, PLACES_MAX as u64)?;
        if let Some(zone) = zone.as_ref().filter(|zone| self.directory.atlas.zone(zone).is_none()) {
            return Err(Rejection::UnknownZone { zone: zone.clone() });
        }
        self.known_regions("/data_residency/regions", regions)
    }

    /// A tenant's rows are kept where its data may be. Of a tenant that is there only a declaration is asked that says
    /// something else of that: whatever has become of its place, it can be suspended.
    pub(crate) fn check_store(&self, tenant: &Tenant) -> Result<(), Rejection> {
        let residency = tenant.residency(self.directory.tiers.get(&tenant.tier));
        let known = self.directory.tenants.find(&tenant.id);
        let before = known.map(|at| self.directory.tenants.get(at).context());
        if before.is_some_and(|before| before.rules.data_residency.as_ref() == residency) {
            return Ok(());
        }
        let field = match (&tenant.rules.data_residency, before) {
            (None, Some(before)) if before.tier != tenant.tier => "/tier",
            _ => "/data_residency",
        };
        let may = self.store_admits(&self.directory.atlas, residency);
        may.map_err(|outside| Rejection::StoreOutside { field, outside: Box::new(outside) })
    }

    /// Whether this cell's store is where the tenant's data may be now: what is new is written there.
    pub(crate) fn may_store(&self, tenant: TenantIx) -> Result<(), Rejection> {
        let context = self.directory.tenants.get(tenant).context();
        let residency = context.rules.data_residency.as_ref();
        let may = self.store_admits(&self.directory.atlas, residency);
        may.map_err(|outside| Rejection::StoreOutside { field: "", outside: Box::new(outside) })
    }

    fn store_admits(&self, atlas: &Atlas, residency: Option<&Residency>) -> Result<(), Outside> {
        atlas.admits_region(residency, self.directory.region.as_ref(), self.now).map(drop)
    }

    pub(crate) fn stores_after(&self, configure: &Configure) -> Result<(), Rejection> {
        match configure {
            Configure::Tier(tier) => self.tier_leaves_nobody_outside(tier),
            Configure::Residency(declaration) => self.leaves_nobody_outside(declaration),
            _ => Ok(()),
        }
    }

    /// Refuses a region or a zone that would take the store of a tenant out of where its data may be. An end of adequacy is
    /// refused to nobody: it protects, and takes effect on what is new.
    pub(crate) fn leaves_nobody_outside(&self, declaration: &Declaration) -> Result<(), Rejection> {
        let field = match declaration {
            Declaration::Region(_) => "/country",
            Declaration::Zone(_) => "/countries",
            Declaration::Adequacy(_) => return Ok(()),
        };
        let mut after = self.directory.atlas.clone();
        after.declare(declaration.clone());
        let all = self.directory.tenants.indexed();
        let all = all.map(|(_, entry)| entry.context()).map(|context| {
            let residency = context.rules.data_residency.as_ref();
            (&context.tenant, residency, residency)
        });
        self.tenants_outside(field, &after, all)
    }

    /// Refuses a tier by which the store of one of its tenants would be where that tenant's data may not be.
    pub(crate) fn tier_leaves_nobody_outside(&self, tier: &Tier) -> Result<(), Rejection> {
        let members = self.directory.tenants.indexed().map(|(_, entry)| entry);
        let members = members.filter(|entry| entry.declared.tier == tier.name).map(|entry| {
            let before = entry.context().rules.data_residency.as_ref();
            (&entry.declared.id, before, entry.declared.residency(Some(tier)))
        });
        self.tenants_outside("/data_residency", &self.directory.atlas, members)
    }

    /// Of each tenant where its data may be before and after. Whose store is outside already stays as it is.
    fn tenants_outside<'a>(
        &self,
        field: &'static str,
        after: &Atlas,
        all: impl Iterator<Item = (&'a TenantId, Option<&'a Residency>, Option<&'a Residency>)>,
    ) -> Result<(), Rejection> {
        let mut tenants = Vec::new();
        let (mut count, mut first) = (0, None);
        for (tenant, was, is) in all {
            let Err(outside) = self.store_admits(after, is) else { continue };
            if self.store_admits(&self.directory.atlas, was).is_err() {
                continue;
            }
            count += 1;
            if tenants.len() < OUTSIDE_NAMED_MAX {
                tenants.push(tenant.clone());
            }
            first = first.or(Some(outside));
        }
        let Some(outside) = first else { return Ok(()) };
        tenants.sort();
        Err(Rejection::TenantsOutside { field, count, tenants, outside: Box::new(outside) })
    }

    /// Whether a run may use the tools that it cannot do without.
    pub(crate) fn may_begin<'a>(
        &self,
        context: &Context,
        steps: impl Iterator<Item = &'a Step>,
    ) -> Result<(), Rejection> {
        let binding = Binding::newest(context);
        for step in steps {
            let Some(tool) = &step.tool else { continue };
            let at = (tool, self.directory.location(tool));
            let Err(because) = self.directory.may_use(binding, at, self.now) else { continue };
            let (step, tool) = (step.name.clone(), tool.clone());
            return Err(match because {
                Because::Outside(outside) => {
                    Rejection::ToolOutside { step, tool, outside: Box::new(outside) }
                }
                _ => Rejection::ToolDenied { step, tool },
            });
        }
        Ok(())
    }

    /// What may go where is another thing now, for one tenant or for all: what waits tries again, and what is where it may
    /// not be any more is withdrawn.
    pub(crate) fn rules_changed(&mut self, tenant: Option<TenantIx>, turn: &mut Turn) {
        self.wake_parked(WAY.0);
        self.policed_changed(tenant, turn);
    }

    /// A decision on a country has begun or ended.
    pub(crate) fn follow_decisions(&mut self, turn: &mut Turn) {
        if self.rules_next.is_some_and(|next| next <= self.now) {
            self.rules_next = self.directory.atlas.next_change(self.now);
            self.rules_changed(None, turn);
        }
    }

    /// Tells workers to stop what may not go on, of one tenant or of all. O(live runs), but for a tenant that has none.
    pub(crate) fn withdraw_leases(&mut self, tenant: Option<TenantIx>, turn: &mut Turn) {
        if tenant.is_some_and(|tenant| self.queue.runs_of(tenant) == 0) {
            return;
        }
        let is_theirs = |run: &Run| tenant.is_none_or(|tenant| run.tenant == tenant);
        let may_hold = |place: &u32| {
            let run = self.runs.get(*place);
            run.held > 0 && is_theirs(run)
        };
        let places: Vec<u32> = self.runs.places().filter(may_hold).collect();
        for run in places {
            let nodes = self.runs.get(run).nodes.len();
            for node in 0..u32::try_from(nodes).expect("a run's nodes are bounded") {
                let at = At { run, node };
                let found = self.misplaced(at).or_else(|| self.forbidden_lease(at));
                if let Some((tool, because)) = found {
                    self.revoke_as(at, Revoked::Withdrawn);
                    self.log_withdrawn(at, &tool, &because, turn);
                }
            }
        }
    }

    /// The tool that a leased node uses and may not use any more.
    fn misplaced(&self, at: At) -> Option<(ToolName, Because)> {
        let State::Leased(lease) = &self.runs.get(at.run).node(at.node).state else { return None };
        if lease.revoked != Revoked::No {
            return None;
        }
        let (tool, may) = self.tool_in_use(at)?;
        Some((tool.clone(), may.err()?))
    }

    fn log_withdrawn(&mut self, at: At, tool: &ToolName, because: &Because, turn: &mut Turn) {
        let run = self.runs.get(at.run);
        let facts = serde_json::json!({
            "run": run.key.run.to_string(),
            "step": run.step(at.node).name.as_str(),
            "tool": tool.as_str(),
            "because": because,
        });
        let tenant = run.key.tenant.clone();
        self.decide(Some(tenant), "withdrawn", facts.to_string(), turn);
    }
}
