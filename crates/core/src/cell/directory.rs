//! What is declared: organisations, tiers, tenants, pools and workflows, and the numbers that stand for their
//! names inside.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::calendar::Calendar;
use crate::catalog::{Candidate, Model, Price};
use crate::id::{
    ClassName, KeyId, ModelName, OrgId, PoolName, PriceName, RegionName, TenantId, TierName,
    ToolName, WorkflowName,
};
use crate::ledger::{self, Held, RunAccount};
use crate::plan::{ModelCall, Workflow};
use crate::pool::{Pool, Valve};
use crate::quota::{BudgetClass, Rung, Share, Tool};
use crate::residency::{Atlas, Residency};
use crate::router;
use crate::row::{Hold, KeyRow, Owner};
use crate::scheduler::{OrgIx, TenantIx};
use crate::tenant::{Context, Org, Tenant, Tier};
use crate::time::Time;

use super::live::{Run, Shape};
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
    pub(crate) tools: BTreeMap<ToolName, Tool>,
    pub(crate) classes: BTreeMap<ClassName, BudgetClass>,
    pub(crate) models: BTreeMap<ModelName, Model>,
    pub(crate) prices: BTreeMap<PriceName, Price>,
    pub(crate) atlas: Atlas,
    /// Where this cell keeps its rows, if that is known.
    pub(crate) region: Option<RegionName>,
    /// Its part of the limits of providers.
    pub(crate) share: Share,
    /// Where reviewers have to work, by the number that stands for it.
    pub(crate) review_bounds: Vec<Vec<Residency>>,
    /// Tools that steps name, declared or not, by number.
    tool_names: Vec<ToolName>,
    tool_numbers: BTreeMap<ToolName, u32>,
    /// Gate classes, by what their steps have in common.
    gates: BTreeMap<Meets, u64>,
}

/// What decides which gates a step meets: steps of one tool and one cost, and calls of one model with as many tokens, meet the
/// same, if their runs are pinned to the same rules.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Meets {
    Tool {
        tool: Option<u32>,
        cost: u64,
        rules: u32,
    },
    Model {
        model: ModelName,
        tokens: u32,
        max_tokens: u32,
        min_tokens: u32,
        optional: bool,
        cheaper: bool,
        rules: u32,
    },
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
    /// The version in force.
    newest: Pinned,
    /// Older versions, as long as live runs are pinned to them.
    older: BTreeMap<u32, Pinned>,
    pub(crate) reading: TenantReading,
}

/// A version of a tenant's context.
#[derive(Debug)]
struct Pinned {
    context: Arc<Context>,
    /// Live runs that are pinned to it.
    runs: u32,
}

impl router::Catalog for Directory {
    fn candidates(&self, model: &ModelName) -> Option<&[Candidate]> {
        self.models.get(model).map(|model| &model.candidates[..])
    }

    fn tool(&self, name: &ToolName) -> Option<&Tool> {
        self.tools.get(name)
    }

    fn price(&self, name: &PriceName) -> Option<&Price> {
        self.prices.get(name)
    }
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

    /// A hold as it is stored.
    pub(crate) fn hold(&self, held: &Held) -> Hold {
        Hold {
            amount: held.amount,
            tenant_day: held.tenant_day,
            tenant_month: held.tenant_month,
            org_month: held.org_month.map(|(org, start)| (self.get(OrgIx(org)).id.clone(), start)),
        }
    }

    /// A stored hold; organisations are never removed.
    pub(crate) fn held(&self, hold: &Hold) -> Held {
        let org = |(org, start): &(OrgId, Time)| Some((self.find(org)?.0, *start));
        Held {
            amount: hold.amount,
            tenant_day: hold.tenant_day,
            tenant_month: hold.tenant_month,
            org_month: hold.org_month.as_ref().and_then(org),
        }
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
            entry.org = org;
            entry.renew(context);
            return at;
        }
        let at = TenantIx(u32::try_from(self.list.len()).expect("tenants are bounded"));
        self.by_id.insert(declared.id.clone(), at);
        self.list.push(TenantEntry {
            declared,
            org,
            newest: Pinned { context, runs: 0 },
            older: BTreeMap::new(),
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
    pub(crate) const fn context(&self) -> &Arc<Context> {
        &self.newest.context
    }

    /// Puts a version in force.
    fn renew(&mut self, context: Arc<Context>) {
        let before = std::mem::replace(&mut self.newest, Pinned { context, runs: 0 });
        if before.runs > 0 {
            self.older.insert(before.context.version, before);
        }
    }

    /// A run comes in that is pinned to that version, or to the one in force.
    pub(crate) fn pin(&mut self, context: Option<Arc<Context>>) -> Arc<Context> {
        let older = context.filter(|context| context.version != self.newest.context.version);
        let pinned = match older {
            Some(context) => {
                self.older.entry(context.version).or_insert_with(|| Pinned { context, runs: 0 })
            }
            None => &mut self.newest,
        };
        pinned.runs += 1;
        pinned.context.clone()
    }

    /// A run that was pinned to that version has ended: an older version that nobody needs any more is forgotten.
    fn unpin(&mut self, version: u32) {
        if version == self.newest.context.version {
            self.newest.runs -= 1;
            return;
        }
        let pinned = self.older.get_mut(&version).expect("a version is kept while runs need it");
        pinned.runs -= 1;
        if pinned.runs == 0 {
            self.older.remove(&version);
        }
    }

    /// All versions that are kept.
    #[cfg(test)]
    pub(crate) fn versions(&self) -> Vec<u32> {
        self.older.keys().copied().chain([self.newest.context.version]).collect()
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

    /// The gate class of steps that call this tool: they would meet the same gates. `rules`: the version of the rules that
    /// their run is pinned to.
    pub(crate) fn class(&mut self, (tool, cost_nano): (Option<&ToolName>, u64), rules: u32) -> u64 {
        if tool.is_none() && cost_nano == 0 {
            return 0;
        }
        // Without a tool no rule is asked.
        let rules = if tool.is_some() { rules } else { 0 };
        let tool = tool.map(|tool| self.number_tool(tool));
        self.class_of(Meets::Tool { tool, cost: cost_nano, rules })
    }

    /// The gate class of calls of a model with so many tokens. `cheaper`: of runs that allow a cheaper one.
    pub(crate) fn model_class(
        &mut self,
        call: &ModelCall,
        tokens: u32,
        (optional, cheaper): (bool, bool),
        rules: u32,
    ) -> u64 {
        let ModelCall { model, max_tokens, min_tokens, .. } = call;
        let (model, max_tokens, min_tokens) = (model.clone(), *max_tokens, *min_tokens);
        self.class_of(Meets::Model {
            model,
            tokens,
            max_tokens,
            min_tokens,
            optional,
            cheaper,
            rules,
        })
    }

    fn class_of(&mut self, meets: Meets) -> u64 {
        let next = self.gates.len() as u64 + 1;
        *self.gates.entry(meets).or_insert(next)
    }

    /// The budget class in force for tenants of that context.
    pub(crate) fn budget_class(&self, context: &Context) -> Option<&BudgetClass> {
        self.classes.get(context.budget_class.as_ref()?)
    }

    /// What is done with steps that there is no money for, in this order.
    pub(crate) fn ladder(&self, context: &Context) -> &[Rung] {
        self.budget_class(context).map_or(&[], |class| &class.budget.short)
    }

    /// The account that a run begins with.
    pub(crate) fn run_account(&self, context: &Context) -> RunAccount {
        self.budget_class(context).map_or_else(RunAccount::default, |class| RunAccount {
            limit: class.budget.run,
            reserve: class.budget.reserve,
            ..RunAccount::default()
        })
    }

    pub(crate) fn tool_number(&self, tool: &ToolName) -> Option<u32> {
        self.tool_numbers.get(tool).copied()
    }

    /// The number that stands for the tool, given now if it has none.
    pub(crate) fn number_tool(&mut self, tool: &ToolName) -> u32 {
        if let Some(&known) = self.tool_numbers.get(tool) {
            return known;
        }
        let next = u32::try_from(self.tool_names.len()).expect("tools are bounded by workflows");
        self.tool_numbers.insert(tool.clone(), next);
        self.tool_names.push(tool.clone());
        next
    }

    pub(crate) fn knows_tool(&self, number: u32) -> bool {
        (number as usize) < self.tool_names.len()
    }

    pub(crate) fn tool_name(&self, number: u32) -> &ToolName {
        &self.tool_names[number as usize]
    }

    /// Whose account it is, and of which periods.
    pub(crate) fn owner_of(&self, key: ledger::Key) -> (Owner, Calendar) {
        let tenant = |at| Owner::Tenant(self.tenants.get(TenantIx(at)).declared.id.clone());
        match key {
            ledger::Key::TenantDay(at) => (tenant(at), Calendar::Day),
            ledger::Key::TenantMonth(at) => (tenant(at), Calendar::Month),
            ledger::Key::OrgMonth(at) => {
                (Owner::Org(self.orgs.get(OrgIx(at)).id.clone()), Calendar::Month)
            }
        }
    }

    /// The account, if its owner is declared and has periods of that kind.
    pub(crate) fn account(&self, owner: &Owner, every: Calendar) -> Option<ledger::Key> {
        match (owner, every) {
            (Owner::Tenant(id), Calendar::Day) => {
                Some(ledger::Key::TenantDay(self.tenants.find(id)?.0))
            }
            (Owner::Tenant(id), Calendar::Month) => {
                Some(ledger::Key::TenantMonth(self.tenants.find(id)?.0))
            }
            (Owner::Org(id), Calendar::Month) => Some(ledger::Key::OrgMonth(self.orgs.find(id)?.0)),
            _ => None,
        }
    }

    /// Counts a run that has ended, and takes its pin away.
    pub(crate) fn ended(&mut self, run: &Run, now: Time) {
        let entry = self.tenants.get_mut(run.tenant);
        let sla = entry.context().sla;
        entry.reading.ended(now, now.since(run.created), run.status, sla);
        entry.unpin(run.context.version);
    }
}
