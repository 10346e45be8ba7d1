//! What is declared: organisations, tiers, tenants, pools and workflows, and the numbers that stand for their
//! names inside.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::id::{KeyId, OrgId, PoolName, TenantId, TierName, ToolName, WorkflowName};
use crate::plan::Workflow;
use crate::pool::{Pool, Valve};
use crate::row::{KeyRow, RunStatus};
use crate::scheduler::{OrgIx, TenantIx};
use crate::tenant::{Context, Org, Tenant, Tier};
use crate::time::{Span, Time};

use super::live::Shape;
use super::reading::TenantReading;

#[derive(Debug, Default)]
pub(crate) struct Directory {
    pub(crate) orgs: Orgs,
    pub(crate) tiers: BTreeMap<TierName, Tier>,
    pub(crate) tenants: Tenants,
    pub(crate) pools: Pools,
    pub(crate) valve: Valve,
    pub(crate) keys: BTreeMap<KeyId, KeyRow>,
    /// Versions of each workflow; the last one is the newest.
    pub(crate) workflows: BTreeMap<WorkflowName, BTreeMap<u32, Arc<Shape>>>,
    tools: BTreeMap<ToolName, u32>,
}

#[derive(Debug, Default)]
pub(crate) struct Orgs {
    list: Vec<Org>,
    by_id: BTreeMap<OrgId, OrgIx>,
}

/// Tenants by place; places are never reused, as ids are not.
#[derive(Debug, Default)]
pub(crate) struct Tenants {
    list: Vec<TenantEntry>,
    by_id: BTreeMap<TenantId, TenantIx>,
}

#[derive(Debug)]
pub(crate) struct TenantEntry {
    pub(crate) declared: Tenant,
    pub(crate) org: OrgIx,
    /// All versions that live runs may be pinned to; the last one is in force.
    contexts: BTreeMap<u32, Arc<Context>>,
    pub(crate) reading: TenantReading,
}

/// Pools by place, which is also the place of their state in the cell.
#[derive(Debug, Default)]
pub(crate) struct Pools {
    pub(crate) names: Vec<PoolName>,
    pub(crate) list: Vec<Pool>,
}

impl Orgs {
    pub(crate) fn put(&mut self, org: Org) -> OrgIx {
        if let Some(&at) = self.by_id.get(&org.id) {
            self.list[at.0 as usize] = org;
            return at;
        }
        let at = OrgIx(u32::try_from(self.list.len()).expect("organisations are bounded"));
        self.by_id.insert(org.id.clone(), at);
        self.list.push(org);
        at
    }

    pub(crate) fn find(&self, id: &OrgId) -> Option<OrgIx> {
        self.by_id.get(id).copied()
    }

    pub(crate) fn get(&self, at: OrgIx) -> &Org {
        &self.list[at.0 as usize]
    }

    pub(crate) fn indexed(&self) -> impl Iterator<Item = (OrgIx, &Org)> {
        (0..).map(OrgIx).zip(&self.list)
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }
}

impl Tenants {
    /// Declares a tenant, or a new version of one.
    pub(crate) fn put(&mut self, declared: Tenant, org: OrgIx, context: Arc<Context>) -> TenantIx {
        if let Some(&at) = self.by_id.get(&declared.id) {
            let entry = &mut self.list[at.0 as usize];
            entry.declared = declared;
            entry.contexts.insert(context.version, context);
            return at;
        }
        let at = TenantIx(u32::try_from(self.list.len()).expect("tenants are bounded"));
        self.by_id.insert(declared.id.clone(), at);
        self.list.push(TenantEntry {
            declared,
            org,
            contexts: BTreeMap::from([(context.version, context)]),
            reading: TenantReading::default(),
        });
        at
    }

    pub(crate) fn find(&self, id: &TenantId) -> Option<TenantIx> {
        self.by_id.get(id).copied()
    }

    pub(crate) fn get(&self, at: TenantIx) -> &TenantEntry {
        &self.list[at.0 as usize]
    }

    pub(crate) fn get_mut(&mut self, at: TenantIx) -> &mut TenantEntry {
        &mut self.list[at.0 as usize]
    }

    /// In order of ids, after the given one.
    pub(crate) fn after(&self, id: Option<&TenantId>) -> impl Iterator<Item = TenantIx> {
        use std::ops::Bound;
        let from = id.map_or(Bound::Unbounded, |id| Bound::Excluded(id.clone()));
        self.by_id.range((from, Bound::Unbounded)).map(|(_, at)| *at)
    }

    pub(crate) fn indexed(&self) -> impl Iterator<Item = (TenantIx, &TenantEntry)> {
        (0..).map(TenantIx).zip(&self.list)
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }
}

impl TenantEntry {
    /// The version in force.
    pub(crate) fn context(&self) -> &Arc<Context> {
        self.contexts.last_key_value().expect("a tenant has at least one context").1
    }

    /// The version that a run is pinned to.
    pub(crate) fn pinned(&self, version: u32) -> &Arc<Context> {
        self.contexts.get(&version).unwrap_or_else(|| self.context())
    }

    pub(crate) fn add(&mut self, context: Arc<Context>) {
        self.contexts.insert(context.version, context);
    }
}

impl Pools {
    pub(crate) fn find(&self, name: &PoolName) -> Option<usize> {
        self.names.iter().position(|known| known == name)
    }

    pub(crate) fn put(&mut self, pool: Pool) -> usize {
        if let Some(at) = self.find(&pool.name) {
            self.list[at] = pool;
            return at;
        }
        self.names.push(pool.name.clone());
        self.list.push(pool);
        self.list.len() - 1
    }
}

impl Directory {
    pub(crate) fn put_workflow(&mut self, workflow: Arc<Workflow>) {
        let versions = self.workflows.entry(workflow.name.clone()).or_default();
        versions.insert(workflow.version, Arc::new(Shape::new(workflow)));
    }

    /// A version, or the newest.
    pub(crate) fn shape(&self, name: &WorkflowName, version: Option<u32>) -> Option<&Arc<Shape>> {
        let versions = self.workflows.get(name)?;
        match version {
            Some(version) => versions.get(&version),
            None => versions.last_key_value().map(|(_, shape)| shape),
        }
    }

    /// The gate class of steps that call this tool: they would meet the same gates.
    pub(crate) fn class(&mut self, tool: Option<&ToolName>) -> u64 {
        let Some(tool) = tool else { return 0 };
        let next = u32::try_from(self.tools.len() + 1).expect("tools are bounded by workflows");
        if let Some(&known) = self.tools.get(tool) {
            return u64::from(known);
        }
        self.tools.insert(tool.clone(), next);
        u64::from(next)
    }

    /// Counts a run that has ended.
    pub(crate) fn ended(&mut self, tenant: TenantIx, now: Time, took: Span, status: RunStatus) {
        let entry = self.tenants.get_mut(tenant);
        let sla = entry.context().sla;
        entry.reading.ended(now, took, status, sla);
    }
}
