//! Where steps may go and which tools they may use: what is declared of places, and what follows from it for running work.
//!
//! Both the version of the context that a run is pinned to and the one in force have to allow it: what protects acts at
//! once, what relaxes acts on runs that come later. What the catalog says of places is pinned by nobody.
//!
//! A leased step that may not be where it is any more is *withdrawn*: its worker is told to stop at its next exchange, and
//! the step tries again to pass the gates, where it finds another way or waits.

use std::collections::BTreeSet;

use crate::gate::Refusal;
use crate::id::{RegionName, ToolName};
use crate::plan::Step;
use crate::quota::Tool;
use crate::reject::Rejection;
use crate::residency::{
    Adequacy, Country, DECISIONS_MAX, Declaration, Inside, Location, PLACES_MAX, Residency,
    Storage, Zone,
};
use crate::router::Because;
use crate::row::Part;
use crate::scheduler::TenantIx;
use crate::tenant::{Context, Rules, Tenant};
use crate::time::Time;

use super::change::Change;
use super::configure::{full, wide};
use super::directory::Directory;
use super::live::{At, Revoked, Run, State};
use super::model::WAY;
use super::{Cell, Turn};

/// Bounds on how much can be declared in one cell.
const REGIONS_MAX: usize = 10_000;
const ZONES_MAX: usize = 1_000;
const TOOLS_NAMED_MAX: usize = 10_000;
/// A hundred years.
const RETENTION_DAYS_MAX: u32 = 36_525;

impl Directory {
    /// Whether work under this context may use a tool, and on which country's adequacy that rests.
    pub(crate) fn may_use(
        &self,
        context: &Context,
        (name, location): (&ToolName, &Location),
        now: Time,
    ) -> Result<Option<Country>, Because> {
        if !context.rules.allows(name) {
            return Err(Because::Denied);
        }
        let residency = context.rules.data_residency.as_ref();
        match self.atlas.admits(residency, location, now) {
            Ok(Inside::Adequacy { country, .. }) => Ok(Some(country)),
            Ok(Inside::Unbound | Inside::Zone) => Ok(None),
            Err(outside) => Err(Because::Outside(outside)),
        }
    }

    /// The same for a declared tool and all contexts that bind the work.
    pub(crate) fn all_may_use(
        &self,
        contexts: &[&Context],
        tool: &Tool,
        now: Time,
    ) -> Result<Option<Country>, Because> {
        let mut adequate = None;
        for context in contexts {
            adequate = adequate.or(self.may_use(context, (&tool.name, &tool.location), now)?);
        }
        Ok(adequate)
    }

    /// The contexts that bind a run's steps: the one in force, and the one that it is pinned to if that has other rules.
    pub(crate) fn binding<'a>(&'a self, run: &'a Run) -> Vec<&'a Context> {
        let newest: &Context = self.tenants.get(run.tenant).context();
        if newest.rules_since == run.context.rules_since {
            return vec![newest];
        }
        vec![newest, &run.context]
    }

    /// Why a node that is no call of a model may not use its tool.
    pub(crate) fn forbids(&self, run: &Run, node: u32, now: Time) -> Option<Refusal> {
        let tool = run.step(node).tool.as_ref()?;
        if run.node(node).instance.part == Part::Compensation {
            return None;
        }
        self.binding(run).into_iter().find_map(|context| self.forbids_tool(context, tool, now))
    }

    /// Why work under a context may not use a tool. One that nobody has declared is nowhere.
    fn forbids_tool(&self, context: &Context, tool: &ToolName, now: Time) -> Option<Refusal> {
        let nowhere = Location::default();
        let location = self.tools.get(tool).map_or(&nowhere, |tool| &tool.location);
        let tool = tool.clone();
        match self.may_use(context, (&tool, location), now).err()? {
            Because::Outside(outside) => Some(Refusal::Outside { tool, outside }),
            _ => Some(Refusal::Denied { tool }),
        }
    }
}

/// The tool of a node that the rules deny which its run is pinned to: they never change.
pub(crate) fn denied_for_good(run: &Run, node: u32) -> Option<&ToolName> {
    let is_undo = run.node(node).instance.part == Part::Compensation;
    let tool = run.step(node).tool.as_ref().filter(|_| !is_undo)?;
    (!run.context.rules.allows(tool)).then_some(tool)
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
        let days = rules.audit_retention_days.unwrap_or(1);
        wide("/audit_retention_days", days.into(), 1, RETENTION_DAYS_MAX.into())?;
        let Some(Residency { zone, regions, adequate }) = data_residency else { return Ok(()) };
        wide("/data_residency/regions", regions.len() as u64, 0, PLACES_MAX as u64)?;
        wide("/data_residency/adequate", adequate.len() as u64, 0, PLACES_MAX as u64)?;
        if let Some(zone) = zone.as_ref().filter(|zone| self.directory.atlas.zone(zone).is_none()) {
            return Err(Rejection::UnknownZone { zone: zone.clone() });
        }
        self.known_regions("/data_residency/regions", regions)
    }

    /// A tenant's rows are kept where its data may be.
    pub(crate) fn check_store(&self, tenant: &Tenant) -> Result<(), Rejection> {
        let of_tier = self.directory.tiers.get(&tenant.tier);
        let of_tier = of_tier.and_then(|tier| tier.rules.data_residency.as_ref());
        let residency = tenant.rules.data_residency.as_ref().or(of_tier);
        let region = self.directory.region.as_ref();
        match self.directory.atlas.admits_region(residency, region, self.now) {
            Ok(_) => Ok(()),
            Err(outside) => Err(Rejection::StoreOutside { outside: Box::new(outside) }),
        }
    }

    /// Whether a run may use the tools that it cannot do without.
    pub(crate) fn may_begin<'a>(
        &self,
        context: &Context,
        mut steps: impl Iterator<Item = &'a Step>,
    ) -> Result<(), Rejection> {
        let forbidden = steps.find_map(|step| {
            let tool = step.tool.as_ref()?;
            Some((step, self.directory.forbids_tool(context, tool, self.now)?))
        });
        let step = |step: &Step| step.name.clone();
        match forbidden {
            None => Ok(()),
            Some((of, Refusal::Outside { tool, outside })) => {
                let outside = Box::new(outside);
                Err(Rejection::ToolOutside { step: step(of), tool, outside })
            }
            Some((of, Refusal::Denied { tool })) => {
                Err(Rejection::ToolDenied { step: step(of), tool })
            }
            Some((_, other)) => unreachable!("{other:?} is no answer of the rules"),
        }
    }

    /// What may go where is another thing now, for one tenant or for all: what waits tries again, and what is where it may
    /// not be any more is withdrawn.
    pub(crate) fn rules_changed(&mut self, tenant: Option<TenantIx>, turn: &mut Turn) {
        for pool in &mut self.pools {
            pool.scheduler.wake(self.now, WAY.0, u32::MAX);
        }
        self.wake_policed(tenant);
        let places: Vec<u32> = self.runs.places().collect();
        for run in places {
            if tenant.is_none_or(|tenant| self.runs.get(run).tenant == tenant) {
                self.withdraw_of(run, turn);
            }
        }
    }

    /// A decision on a country has begun or ended.
    pub(crate) fn follow_decisions(&mut self, turn: &mut Turn) {
        if self.rules_next.is_some_and(|next| next <= self.now) {
            self.rules_next = self.directory.atlas.next_change(self.now);
            self.rules_changed(None, turn);
        }
    }

    /// Leases that outlived their owner may not be where they may be now.
    pub(crate) fn withdraw_all(&mut self, turn: &mut Turn) {
        let places: Vec<u32> = self.runs.places().collect();
        for run in places {
            self.withdraw_of(run, turn);
        }
        self.withdraw_forbidden(None, turn);
    }

    fn withdraw_of(&mut self, run: u32, turn: &mut Turn) {
        let live = self.runs.get(run);
        if live.held == 0 {
            return;
        }
        let nodes = u32::try_from(live.nodes.len()).expect("a run's nodes are bounded");
        for node in 0..nodes {
            let at = At { run, node };
            if let Some((tool, because)) = self.misplaced(at) {
                self.revoke_as(at, Revoked::Withdrawn);
                self.log_withdrawn(at, &tool, &because, turn);
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

    pub(crate) fn log_withdrawn(
        &mut self,
        at: At,
        tool: &ToolName,
        because: &Because,
        turn: &mut Turn,
    ) {
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
