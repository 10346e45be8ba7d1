//! Declarations by the operator, checked and put in force: at once, on what waits too.

use std::sync::Arc;

use crate::id::{ClassName, TenantId};
use crate::money::Nano;
use crate::plan::Workflow;
use crate::pool::{Pool, SLOTS_MAX, Valve};
use crate::reject::Rejection;
use crate::review::CLASSES;
use crate::row::{Actor, KeyRow, Role};
use crate::scheduler::{self, OrgConfig, OrgIx, TenantConfig, TenantIx};
use crate::tenant::{ATTRIBUTES_BYTES_MAX, CAP_MAX, Context, Org, Tenant, Tier, WEIGHT_MAX};
use crate::time::Span;

use super::change::Change;
use super::dispatch::PoolState;
use super::effect::{Declared, Effect, Response};
use super::input::{Configure, ReplyId};
use super::quotas::money;
use super::{Cell, Turn};

/// Bounds on how much can be declared in one cell.
pub(crate) const ORGS_MAX: usize = 1_000_000;
pub(crate) const TENANTS_MAX: usize = 2_000_000;
pub(crate) const TIERS_MAX: usize = 1_000;
pub(crate) const POOLS_MAX: usize = 256;
pub(crate) const WORKFLOWS_MAX: usize = 100_000;
pub(crate) const KEYS_MAX: usize = 1_000_000;

const QUANTUM_MIN: Span = Span::from_millis(1);
const QUANTUM_MAX: Span = Span::from_secs(60);
const LEASE_MIN: Span = Span::from_millis(100);
const LEASE_MAX: Span = Span::from_secs(24 * 3_600);

impl Cell {
    pub(crate) fn configure(
        &mut self,
        reply: ReplyId,
        by: Option<Actor>,
        configure: Configure,
        turn: &mut Turn,
    ) {
        let declaring = self.declaring(&configure);
        match self.declare(configure, turn) {
            Ok(changed) => {
                if changed {
                    self.log_declared(declaring, by, turn);
                }
                turn.reply(reply, Response::Configured { changed });
            }
            Err(rejection) => turn.reject(reply, rejection),
        }
    }

    fn declare(&mut self, configure: Configure, turn: &mut Turn) -> Result<bool, Rejection> {
        let declared = configure.clone();
        let changed = match configure {
            Configure::Org(org) => self.declare_org(org, turn),
            Configure::Tier(tier) => self.declare_tier(tier, turn),
            Configure::Tenant(tenant) => self.declare_tenant(tenant, turn),
            Configure::Pool(pool) => self.declare_pool(&pool, turn),
            Configure::Valve(valve) => self.declare_valve(&valve, turn),
            Configure::Workflow(workflow) => self.declare_workflow(&workflow, turn),
            Configure::Tool(tool) => self.declare_tool(tool, turn),
            Configure::Class(class) => self.declare_class(class, turn),
            Configure::Model(model) => self.declare_model(model, turn),
            Configure::Price(price) => self.declare_price(price, turn),
            Configure::Residency(declaration) => self.declare_residency(declaration, turn),
            Configure::Policy(source) => self.declare_policy(source, turn),
            Configure::DropPolicy(policy) => self.drop_policy(&policy, turn),
            Configure::Account(account) => self.set_account(&account),
            Configure::ReviewerPool(pool) => self.declare_reviewer_pool(pool, turn),
            Configure::Key(key) => self.declare_key(key, turn),
            Configure::DropKey(key) => {
                self.directory.keys.remove(&key).ok_or(Rejection::UnknownKey)?;
                turn.write(Change::DropKey(key));
                Ok(true)
            }
            Configure::RenewSeal(of) => self.renew_seal(of, turn),
            Configure::CloseLog(of) => self.close_log(of, turn),
        }?;
        if changed {
            turn.cause(Effect::Declared(Declared::Resource(Box::new(declared))));
            self.fill_all_places(turn);
        }
        Ok(changed)
    }

    fn known_tenant(&self, of: Option<&TenantId>) -> Result<(), Rejection> {
        match of.filter(|tenant| self.directory.tenants.find(tenant).is_none()) {
            Some(tenant) => Err(Rejection::UnknownTenant { tenant: tenant.clone() }),
            None => Ok(()),
        }
    }

    fn close_log(&self, tenant: Option<TenantId>, turn: &mut Turn) -> Result<bool, Rejection> {
        self.known_tenant(tenant.as_ref())?;
        turn.write(Change::CloseLog { tenant, at: self.now });
        Ok(false)
    }

    fn renew_seal(&self, of: Option<TenantId>, turn: &mut Turn) -> Result<bool, Rejection> {
        self.known_tenant(of.as_ref())?;
        turn.write(Change::RenewSeal(of));
        Ok(true)
    }

    fn declare_org(&mut self, org: Org, turn: &mut Turn) -> Result<bool, Rejection> {
        range("/weight", org.weight, 1, WEIGHT_MAX)?;
        range("/cap", org.cap.unwrap_or(1), 1, CAP_MAX)?;
        let month = org.budget.as_ref().map_or(Nano::ZERO, |budget| budget.month);
        money("/budget/month", month)?;
        let known = self.directory.orgs.find(&org.id);
        if known.is_some_and(|at| *self.directory.orgs.get(at) == org) {
            return Ok(false);
        }
        full("organisations", known.is_none(), self.directory.orgs.len(), ORGS_MAX)?;
        turn.write(Change::Org(org.clone()));
        self.put_org(org);
        Ok(true)
    }

    pub(crate) fn put_org(&mut self, org: Org) {
        let config = org_config(&org);
        let at = self.directory.orgs.put(org);
        for pool in &mut self.pools {
            pool.scheduler.set_org(self.now, at, config);
        }
        self.set_org_terms(at);
    }

    fn declare_tier(&mut self, tier: Tier, turn: &mut Turn) -> Result<bool, Rejection> {
        range("/weight", tier.weight, 1, WEIGHT_MAX)?;
        range("/cap", tier.cap, 1, CAP_MAX)?;
        range("/urgent_share_permille", tier.urgent_share_permille, 0, 1_000)?;
        range("/runs_max", tier.runs_max, 1, u32::MAX)?;
        range("/burst/extra_slots", tier.burst.map_or(1, |burst| burst.extra_slots), 1, CAP_MAX)?;
        self.known_class(tier.budget_class.as_ref())?;
        self.known_reviewers(tier.reviewer_pool.as_ref(), None)?;
        range("/review_class", tier.review_class.into(), 0, u32::from(CLASSES) - 1)?;
        self.check_rules(&tier.rules)?;
        if self.directory.tiers.get(&tier.name) == Some(&tier) {
            return Ok(false);
        }
        self.tier_leaves_nobody_outside(&tier)?;
        let is_new = !self.directory.tiers.contains_key(&tier.name);
        full("tiers", is_new, self.directory.tiers.len(), TIERS_MAX)?;
        turn.write(Change::Tier(tier.clone()));
        let name = tier.name.clone();
        self.directory.tiers.insert(name.clone(), tier);
        // The tier's tenants follow at once.
        let members: Vec<Tenant> = self
            .directory
            .tenants
            .indexed()
            .filter(|(_, entry)| entry.declared.tier == name)
            .map(|(_, entry)| entry.declared.clone())
            .collect();
        let has_members = !members.is_empty();
        let mut are_new_rules = false;
        for tenant in members {
            are_new_rules |= self.renew_tenant(tenant, turn);
        }
        if has_members {
            self.contexts_changed(None, are_new_rules, turn);
        }
        Ok(true)
    }

    fn declare_tenant(&mut self, tenant: Tenant, turn: &mut Turn) -> Result<bool, Rejection> {
        range("/weight", tenant.weight.unwrap_or(1), 1, WEIGHT_MAX)?;
        range("/cap", tenant.cap.unwrap_or(1), 1, CAP_MAX)?;
        range("/burst/extra_slots", tenant.burst.map_or(1, |burst| burst.extra_slots), 1, CAP_MAX)?;
        if tenant.attributes.len() > ATTRIBUTES_BYTES_MAX {
            return Err(Rejection::TooLong {
                field: "/attributes",
                bytes: tenant.attributes.len() as u64,
                max: ATTRIBUTES_BYTES_MAX as u64,
            });
        }
        if self.directory.orgs.find(&tenant.org).is_none() {
            return Err(Rejection::UnknownOrg { org: tenant.org });
        }
        if !self.directory.tiers.contains_key(&tenant.tier) {
            return Err(Rejection::UnknownTier { tier: tenant.tier });
        }
        self.known_class(tenant.budget_class.as_ref())?;
        self.known_reviewers(tenant.reviewer_pool.as_ref(), Some(&tenant.id))?;
        let known =
            self.directory.tenants.find(&tenant.id).map(|at| self.directory.tenants.get(at));
        if known.is_some_and(|entry| entry.declared == tenant) {
            return Ok(false);
        }
        full("tenants", known.is_none(), self.directory.tenants.len(), TENANTS_MAX)?;
        self.check_rules(&tenant.rules)?;
        self.check_store(&tenant)?;
        let known = self.directory.tenants.find(&tenant.id);
        let are_new_rules = self.renew_tenant(tenant, turn);
        if known.is_some() {
            self.contexts_changed(known, are_new_rules, turn);
        }
        Ok(true)
    }

    fn known_class(&self, class: Option<&ClassName>) -> Result<(), Rejection> {
        match class.filter(|class| !self.directory.classes.contains_key(*class)) {
            Some(class) => Err(Rejection::UnknownClass { class: class.clone() }),
            None => Ok(()),
        }
    }

    /// Mints the tenant's next context version and puts it in force. Gives whether a tenant that was there has other rules now:
    /// what follows for its live work is the caller's to see to.
    pub(crate) fn renew_tenant(&mut self, tenant: Tenant, turn: &mut Turn) -> bool {
        let known = self.directory.tenants.find(&tenant.id);
        let before = known.map(|at| self.directory.tenants.get(at).context().clone());
        let version = before.as_ref().map_or(1, |before| before.version + 1);
        let tier = self.directory.tiers.get(&tenant.tier).expect("a tenant's tier was checked");
        let mut context = Context::resolve(&tenant, tier, version);
        if let Some(before) = &before {
            context = context.after(before);
        }
        let context = Arc::new(context);
        turn.write(Change::Tenant(tenant.clone(), context.clone()));
        turn.cause(Effect::Declared(Declared::Context(context.clone())));
        let are_new_rules = before.is_some() && context.rules_since == version;
        self.put_tenant(tenant, context);
        if let Some(at) = known.filter(|_| are_new_rules) {
            self.refit_reviews(at);
        }
        are_new_rules
    }

    /// The context of one tenant, or those of many, are others: policies read all of them.
    fn contexts_changed(&mut self, tenant: Option<TenantIx>, are_new_rules: bool, turn: &mut Turn) {
        if are_new_rules {
            self.rules_changed(tenant, turn);
        } else {
            self.policed_changed(tenant, turn);
        }
    }

    pub(crate) fn put_tenant(&mut self, tenant: Tenant, context: Arc<Context>) {
        let Some(org) = self.directory.orgs.find(&tenant.org) else { return };
        let config = tenant_config(&context, org);
        let weight = context.weight;
        let is_new = self.directory.tenants.find(&tenant.id).is_none();
        let id = tenant.id.clone();
        let at = self.directory.tenants.put(tenant, org, context);
        if is_new {
            self.put_pools_of(&id);
        }
        self.queue.reweigh(at, weight);
        self.desk.queue.set_weight(at.0, weight);
        for pool in &mut self.pools {
            pool.scheduler.set_tenant(self.now, at, config);
        }
        self.set_terms(at);
    }

    fn declare_pool(&mut self, pool: &Pool, turn: &mut Turn) -> Result<bool, Rejection> {
        range("/slots", pool.slots, 1, SLOTS_MAX)?;
        span("/quantum", pool.quantum, QUANTUM_MIN, QUANTUM_MAX)?;
        span("/lease", pool.lease, LEASE_MIN, LEASE_MAX)?;
        range("/long/share_permille", pool.long.map_or(1, |long| long.share_permille), 1, 1_000)?;
        let known = self.directory.pools.find(&pool.name);
        if known.is_some_and(|at| self.directory.pools.list[at] == *pool) {
            return Ok(false);
        }
        full("pools", known.is_none(), self.directory.pools.list.len(), POOLS_MAX)?;
        turn.write(Change::Pool(pool.clone()));
        self.put_pool(pool);
        Ok(true)
    }

    pub(crate) fn put_pool(&mut self, pool: &Pool) {
        let config = queue_config(pool);
        let at = self.directory.pools.put(pool.clone());
        if let Some(state) = self.pools.get_mut(at) {
            state.scheduler.configure(self.now, config);
            return;
        }
        let mut state = PoolState::new(pool);
        for (at, org) in self.directory.orgs.indexed() {
            state.scheduler.set_org(self.now, at, org_config(org));
        }
        for (at, entry) in self.directory.tenants.indexed() {
            state.scheduler.set_tenant(self.now, at, tenant_config(entry.context(), entry.org));
        }
        self.pools.push(state);
    }

    fn declare_valve(&mut self, valve: &Valve, turn: &mut Turn) -> Result<bool, Rejection> {
        let most = 1 << 40;
        wide("/runs_soft", valve.runs_soft, 1, valve.runs_hard)?;
        wide("/runs_hard", valve.runs_hard, 1, u64::from(u32::MAX / 2))?;
        wide("/bytes_soft", valve.bytes_soft, 1, valve.bytes_hard)?;
        wide("/bytes_hard", valve.bytes_hard, 1, most)?;
        if self.directory.valve == *valve {
            return Ok(false);
        }
        turn.write(Change::Valve(valve.clone()));
        self.directory.valve = valve.clone();
        Ok(true)
    }

    fn declare_workflow(
        &mut self,
        workflow: &Arc<Workflow>,
        turn: &mut Turn,
    ) -> Result<bool, Rejection> {
        let versions = self.directory.workflows.get(&workflow.name);
        if let Some(known) = versions.and_then(|versions| versions.get(&workflow.version)) {
            if known.workflow.source == workflow.source {
                return Ok(false);
            }
            return Err(Rejection::VersionExists {
                workflow: workflow.name.clone(),
                version: workflow.version,
            });
        }
        let replan = workflow.replan.as_deref();
        let planner = replan.map(|replan| &replan.planner);
        let of_steps = workflow.steps.iter().chain(planner);
        let of_steps = of_steps.filter_map(|step| Some((step, step.kind.pool()?)));
        // What steps of a revision may do, in the name of who plans.
        let of_revisions = replan
            .into_iter()
            .flat_map(|replan| replan.parts.tasks.iter().map(|(pool, _)| (&replan.planner, pool)));
        for (step, pool) in of_steps.chain(of_revisions) {
            if self.directory.pools.find(pool).is_none() {
                let (step, pool) = (step.name.clone(), pool.clone());
                return Err(Rejection::StepPoolUnknown { step, pool });
            }
        }
        self.known_review_steps(workflow)?;
        for schedule in &workflow.schedules {
            if self.directory.tenants.find(&schedule.tenant).is_none() {
                return Err(Rejection::UnknownTenant { tenant: schedule.tenant.clone() });
            }
        }
        full("workflows", versions.is_none(), self.directory.workflows.len(), WORKFLOWS_MAX)?;
        turn.write(Change::Workflow(workflow.clone()));
        let newest = versions.and_then(|versions| versions.keys().next_back().copied());
        self.directory.put_workflow(workflow.clone());
        if newest.is_none_or(|newest| newest < workflow.version) {
            self.plan_schedules(workflow, turn);
        }
        Ok(true)
    }

    fn declare_key(&mut self, key: KeyRow, turn: &mut Turn) -> Result<bool, Rejection> {
        if let Role::Tenant { tenant, .. } = &key.role {
            self.known_tenant(Some(tenant))?;
        }
        let is_new = !self.directory.keys.contains_key(&key.id);
        full("API keys", is_new, self.directory.keys.len(), KEYS_MAX)?;
        turn.write(Change::Key(key.clone()));
        self.directory.keys.insert(key.id.clone(), key);
        Ok(true)
    }
}

pub(crate) fn queue_config(pool: &Pool) -> scheduler::PoolConfig {
    scheduler::PoolConfig {
        slots: pool.slots,
        policy: match pool.policy {
            crate::pool::Policy::Fair => scheduler::Policy::Fair,
            crate::pool::Policy::Fifo => scheduler::Policy::Fifo,
            crate::pool::Policy::RoundRobin => scheduler::Policy::RoundRobin,
            crate::pool::Policy::Weighted => scheduler::Policy::Weighted,
        },
        quantum: pool.quantum,
        long: pool.long.map(|long| scheduler::LongClass {
            over: long.over,
            share_permille: long.share_permille,
        }),
        burst_max: pool.burst_credit_max,
        age_guard: pool.age_guard,
    }
}

const fn org_config(org: &Org) -> OrgConfig {
    OrgConfig { weight: org.weight, cap: org.cap }
}

fn tenant_config(context: &Context, org: OrgIx) -> TenantConfig {
    TenantConfig {
        org,
        weight: context.weight,
        cap: context.cap,
        burst: context
            .burst
            .map(|burst| scheduler::Burst { extra_slots: burst.extra_slots, credit: burst.credit }),
        urgent_share_permille: context.urgent_share_permille,
        paused: context.suspended,
    }
}

pub(crate) fn range(field: &'static str, value: u32, min: u32, max: u32) -> Result<(), Rejection> {
    wide(field, u64::from(value), u64::from(min), u64::from(max))
}

pub(crate) fn span(
    field: &'static str,
    value: Span,
    min: Span,
    max: Span,
) -> Result<(), Rejection> {
    wide(field, value.0, min.0, max.0)
}

pub(crate) fn wide(field: &'static str, value: u64, min: u64, max: u64) -> Result<(), Rejection> {
    if (min..=max).contains(&value) {
        Ok(())
    } else {
        Err(Rejection::OutOfRange { field, value, min, max })
    }
}

pub(crate) fn full(
    what: &'static str,
    is_new: bool,
    count: usize,
    max: usize,
) -> Result<(), Rejection> {
    if is_new && count >= max { Err(Rejection::TooMany { what, max: max as u64 }) } else { Ok(()) }
}
