//! What is declared, as the edge reads it: a copy of the cell's declarations that follows its effects.
//!
//! A declaration appears here once its turn is committed, in the order of the turns; the cell alone decides
//! with them. Reads take a lock for the time of one look-up.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use fairlane_core::catalog::{Model, Price};
use fairlane_core::cell::change::Snapshot;
use fairlane_core::cell::effect::Declared;
use fairlane_core::cell::input::Configure;
use fairlane_core::id::{
    ClassName, KeyId, ModelName, OrgId, PolicyName, PoolName, PriceName, ReviewerPoolName,
    TenantId, TierName, ToolName, WorkflowName,
};
use fairlane_core::plan::Workflow;
use fairlane_core::policy::{DEFAULT_NAME, Policy};
use fairlane_core::pool::{Pool, Valve};
use fairlane_core::quota::{BudgetClass, Tool};
use fairlane_core::residency::{Atlas, Declaration};
use fairlane_core::review::ReviewerPool;
use fairlane_core::row::{Credential, KeyRow, SignIn};
use fairlane_core::tenant::{Context, Org, Rules, Tier};

#[derive(Debug)]
pub(crate) struct Registry(RwLock<Declarations>);

#[derive(Debug, Default)]
struct Declarations {
    orgs: BTreeMap<OrgId, Org>,
    tiers: BTreeMap<TierName, Tier>,
    /// The newest context of each tenant.
    contexts: BTreeMap<TenantId, Arc<Context>>,
    pools: BTreeMap<PoolName, Pool>,
    valve: Valve,
    workflows: BTreeMap<WorkflowName, BTreeMap<u32, Arc<Workflow>>>,
    tools: BTreeMap<ToolName, Tool>,
    classes: BTreeMap<ClassName, BudgetClass>,
    models: BTreeMap<ModelName, Model>,
    prices: BTreeMap<PriceName, Price>,
    policies: BTreeMap<PolicyName, Policy>,
    residency: BTreeMap<(&'static str, String), Declaration>,
    atlas: Atlas,
    reviewer_pools: BTreeMap<ReviewerPoolName, ReviewerPool>,
    keys: BTreeMap<KeyId, Arc<KeyRow>>,
    /// Those that ask for a claim of who signs in.
    sign_ins: BTreeMap<SignIn, BTreeSet<KeyId>>,
}

impl Registry {
    pub(crate) fn new(snapshot: &Snapshot) -> Self {
        Self(RwLock::new(Declarations::of(snapshot)))
    }

    /// Starts again from the store.
    pub(crate) fn reset(&self, snapshot: &Snapshot) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Declarations::of(snapshot);
    }

    /// Follows a declaration that took effect.
    pub(crate) fn follow(&self, declared: Declared) {
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        match declared {
            Declared::Context(context) => all.newer(context),
            Declared::Policy(policy) => drop(all.policies.insert(policy.name.clone(), *policy)),
            Declared::Resource(resource) => match *resource {
                Configure::Org(org) => drop(all.orgs.insert(org.id.clone(), org)),
                Configure::Tier(tier) => drop(all.tiers.insert(tier.name.clone(), tier)),
                Configure::Tenant(_)
                | Configure::Account(_)
                | Configure::Policy(_)
                | Configure::RenewSeal(_)
                | Configure::CloseLog(_) => {}
                Configure::DropPolicy(policy) => drop(all.policies.remove(&policy)),
                Configure::Pool(pool) => drop(all.pools.insert(pool.name.clone(), pool)),
                Configure::Valve(valve) => all.valve = valve,
                Configure::Workflow(workflow) => all.version(workflow),
                Configure::Tool(tool) => drop(all.tools.insert(tool.name.clone(), tool)),
                Configure::Class(class) => drop(all.classes.insert(class.name.clone(), class)),
                Configure::Model(model) => drop(all.models.insert(model.name.clone(), model)),
                Configure::Price(price) => drop(all.prices.insert(price.name.clone(), price)),
                Configure::Residency(declaration) => all.place(declaration),
                Configure::ReviewerPool(pool) => {
                    drop(all.reviewer_pools.insert(pool.name.clone(), pool));
                }
                Configure::Key(key) => all.put_key(key),
                Configure::DropKey(id) => all.drop_key(&id),
            },
        }
    }

    pub(crate) fn key(&self, id: &KeyId) -> Option<Arc<KeyRow>> {
        self.read().keys.get(id).cloned()
    }

    /// Those that ask for one of these.
    pub(crate) fn keys_for(&self, vouched: &[SignIn]) -> Vec<Arc<KeyRow>> {
        let all = self.read();
        let ids = vouched.iter().filter_map(|claim| all.sign_ins.get(claim)).flatten();
        ids.filter_map(|id| all.keys.get(id).cloned()).collect()
    }

    pub(crate) fn keys(&self, after: Option<&KeyId>, limit: usize) -> Vec<Arc<KeyRow>> {
        page(&self.read().keys, after, limit, |_, key| key.clone())
    }

    pub(crate) fn reviewer_pool(&self, name: &ReviewerPoolName) -> Option<ReviewerPool> {
        self.read().reviewer_pools.get(name).cloned()
    }

    pub(crate) fn reviewer_pools(
        &self,
        after: Option<&ReviewerPoolName>,
        limit: usize,
    ) -> Vec<ReviewerPool> {
        page(&self.read().reviewer_pools, after, limit, |_, pool| pool.clone())
    }

    pub(crate) fn org(&self, id: &OrgId) -> Option<Org> {
        self.read().orgs.get(id).cloned()
    }

    pub(crate) fn orgs(&self, after: Option<&OrgId>, limit: usize) -> Vec<Org> {
        page(&self.read().orgs, after, limit, |_, org| org.clone())
    }

    pub(crate) fn tier(&self, name: &TierName) -> Option<Tier> {
        self.read().tiers.get(name).cloned()
    }

    pub(crate) fn tiers(&self, after: Option<&TierName>, limit: usize) -> Vec<Tier> {
        page(&self.read().tiers, after, limit, |_, tier| tier.clone())
    }

    pub(crate) fn tool(&self, name: &ToolName) -> Option<Tool> {
        self.read().tools.get(name).cloned()
    }

    pub(crate) fn tools(&self, after: Option<&ToolName>, limit: usize) -> Vec<Tool> {
        page(&self.read().tools, after, limit, |_, tool| tool.clone())
    }

    pub(crate) fn class(&self, name: &ClassName) -> Option<BudgetClass> {
        self.read().classes.get(name).cloned()
    }

    pub(crate) fn classes(&self, after: Option<&ClassName>, limit: usize) -> Vec<BudgetClass> {
        page(&self.read().classes, after, limit, |_, class| class.clone())
    }

    pub(crate) fn model(&self, name: &ModelName) -> Option<Model> {
        self.read().models.get(name).cloned()
    }

    pub(crate) fn models(&self, after: Option<&ModelName>, limit: usize) -> Vec<Model> {
        page(&self.read().models, after, limit, |_, model| model.clone())
    }

    pub(crate) fn prices(&self, after: Option<&PriceName>, limit: usize) -> Vec<Price> {
        page(&self.read().prices, after, limit, |_, price| price.clone())
    }

    /// A model that names the tool as an endpoint.
    pub(crate) fn model_at(&self, tool: &ToolName) -> Option<Model> {
        let names_it = |model: &&Model| model.candidates.iter().any(|of| of.endpoint == *tool);
        self.read().models.values().find(names_it).cloned()
    }

    pub(crate) fn price(&self, name: &PriceName) -> Option<Price> {
        self.read().prices.get(name).cloned()
    }

    /// All that is declared and belongs to no tenant, in an order in which it can be declared.
    pub(crate) fn declared(&self) -> Vec<Configure> {
        let all = self.read();
        let mut declared: Vec<Configure> =
            all.residency.values().cloned().map(Configure::Residency).collect();
        declared.push(Configure::Valve(all.valve.clone()));
        declared.extend(all.classes.values().cloned().map(Configure::Class));
        declared.extend(all.orgs.values().cloned().map(Configure::Org));
        declared.extend(all.pools.values().cloned().map(Configure::Pool));
        declared.extend(all.tools.values().cloned().map(Configure::Tool));
        declared.extend(all.prices.values().cloned().map(Configure::Price));
        declared.extend(all.reviewer_pools.values().cloned().map(Configure::ReviewerPool));
        declared.extend(all.tiers.values().cloned().map(Configure::Tier));
        declared.extend(all.models.values().cloned().map(Configure::Model));
        let workflows = all.workflows.values().flat_map(BTreeMap::values);
        declared.extend(workflows.cloned().map(Configure::Workflow));
        // The default last: it may permit less than what is shipped, and others what it does not.
        let mut policies: Vec<&Policy> = all.policies.values().collect();
        policies.sort_by_key(|policy| policy.name.as_str() == DEFAULT_NAME);
        declared.extend(policies.into_iter().map(|policy| Configure::Policy(policy.source())));
        declared
    }

    /// All that was declared of places.
    pub(crate) fn residency(&self) -> Vec<Declaration> {
        self.read().residency.values().cloned().collect()
    }

    /// Whether a place was declared; those that were not are known anyway.
    pub(crate) fn is_place_declared(&self, kind: &'static str, name: &str) -> bool {
        self.read().residency.contains_key(&(kind, name.to_owned()))
    }

    /// Whether a tier or a tenant says that candidates of this name are meant for it.
    pub(crate) fn is_model_tier(&self, name: &TierName) -> bool {
        let all = self.read();
        let names_it = |rules: &Rules| rules.model_tier.as_ref() == Some(name);
        all.tiers.values().any(|tier| names_it(&tier.rules))
            || all.contexts.values().any(|context| names_it(&context.rules))
    }

    /// Looks something up in what is known of places.
    pub(crate) fn places<T>(&self, look: impl FnOnce(&Atlas) -> T) -> T {
        look(&self.read().atlas)
    }

    pub(crate) fn policy(&self, name: &PolicyName) -> Option<Policy> {
        self.read().policies.get(name).cloned()
    }

    pub(crate) fn policies(&self, after: Option<&PolicyName>, limit: usize) -> Vec<Policy> {
        page(&self.read().policies, after, limit, |_, policy| policy.clone())
    }

    pub(crate) fn context(&self, tenant: &TenantId) -> Option<Arc<Context>> {
        self.read().contexts.get(tenant).cloned()
    }

    pub(crate) fn has_tenant_of(&self, org: &OrgId) -> bool {
        self.read().contexts.values().any(|context| context.org == *org)
    }

    pub(crate) fn contexts(&self, after: Option<&TenantId>, limit: usize) -> Vec<Arc<Context>> {
        page(&self.read().contexts, after, limit, |_, context| context.clone())
    }

    pub(crate) fn pool(&self, name: &PoolName) -> Option<Pool> {
        self.read().pools.get(name).cloned()
    }

    pub(crate) fn pools(&self) -> Vec<Pool> {
        self.read().pools.values().cloned().collect()
    }

    pub(crate) fn workflow(
        &self,
        name: &WorkflowName,
        version: Option<u32>,
    ) -> Option<Arc<Workflow>> {
        let all = self.read();
        let versions = all.workflows.get(name)?;
        match version {
            Some(version) => versions.get(&version).cloned(),
            None => versions.last_key_value().map(|(_, newest)| newest.clone()),
        }
    }

    /// Versions of a workflow, newest first.
    pub(crate) fn versions(&self, name: &WorkflowName, limit: usize) -> Vec<u32> {
        let all = self.read();
        let versions = all.workflows.get(name).map(|versions| versions.keys().rev());
        versions.into_iter().flatten().take(limit).copied().collect()
    }

    /// The newest version of each workflow.
    pub(crate) fn workflows(
        &self,
        after: Option<&WorkflowName>,
        limit: usize,
    ) -> Vec<Arc<Workflow>> {
        let newest = |_: &WorkflowName, versions: &BTreeMap<u32, Arc<Workflow>>| {
            versions.last_key_value().map(|(_, newest)| newest.clone())
        };
        page(&self.read().workflows, after, limit, newest).into_iter().flatten().collect()
    }

    fn read(&self) -> RwLockReadGuard<'_, Declarations> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Declarations {
    fn put_key(&mut self, key: KeyRow) {
        self.drop_key(&key.id);
        if let Credential::SignIn(asked) = &key.credential {
            self.sign_ins.entry(asked.clone()).or_default().insert(key.id.clone());
        }
        self.keys.insert(key.id.clone(), Arc::new(key));
    }

    fn drop_key(&mut self, id: &KeyId) {
        let Some(gone) = self.keys.remove(id) else { return };
        let Credential::SignIn(asked) = &gone.credential else { return };
        if let Some(ids) = self.sign_ins.get_mut(asked) {
            ids.remove(id);
            if ids.is_empty() {
                self.sign_ins.remove(asked);
            }
        }
    }

    fn of(snapshot: &Snapshot) -> Self {
        let mut all = Self { valve: snapshot.valve.clone().unwrap_or_default(), ..Self::default() };
        all.orgs.extend(snapshot.orgs.iter().map(|org| (org.id.clone(), org.clone())));
        all.tiers.extend(snapshot.tiers.iter().map(|tier| (tier.name.clone(), tier.clone())));
        all.pools.extend(snapshot.pools.iter().map(|pool| (pool.name.clone(), pool.clone())));
        all.tools.extend(snapshot.tools.iter().map(|tool| (tool.name.clone(), tool.clone())));
        all.classes
            .extend(snapshot.classes.iter().map(|class| (class.name.clone(), class.clone())));
        all.models.extend(snapshot.models.iter().map(|model| (model.name.clone(), model.clone())));
        all.prices.extend(snapshot.prices.iter().map(|price| (price.name.clone(), price.clone())));
        all.reviewer_pools
            .extend(snapshot.reviewer_pools.iter().map(|pool| (pool.name.clone(), pool.clone())));
        all.policies
            .extend(snapshot.policies.iter().map(|policy| (policy.name.clone(), policy.clone())));
        snapshot.keys.iter().for_each(|key| all.put_key(key.clone()));
        snapshot.residency.iter().cloned().for_each(|declaration| all.place(declaration));
        snapshot.contexts.iter().cloned().for_each(|context| all.newer(context));
        snapshot.workflows.iter().cloned().for_each(|workflow| all.version(workflow));
        all
    }

    fn place(&mut self, declaration: Declaration) {
        let (kind, name) = declaration.key();
        self.residency.insert((kind, name.to_owned()), declaration.clone());
        self.atlas.declare(declaration);
    }

    fn newer(&mut self, context: Arc<Context>) {
        let known = self.contexts.get(&context.tenant);
        if known.is_none_or(|known| known.version <= context.version) {
            self.contexts.insert(context.tenant.clone(), context);
        }
    }

    fn version(&mut self, workflow: Arc<Workflow>) {
        self.workflows.entry(workflow.name.clone()).or_default().insert(workflow.version, workflow);
    }
}

fn page<K: Ord, V, T>(
    map: &BTreeMap<K, V>,
    after: Option<&K>,
    limit: usize,
    view: impl Fn(&K, &V) -> T,
) -> Vec<T> {
    let from = after.map_or(Bound::Unbounded, Bound::Excluded);
    map.range((from, Bound::Unbounded)).take(limit).map(|(key, value)| view(key, value)).collect()
}
