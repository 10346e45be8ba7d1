//! The committed rows of one cell in memory, with the meaning that the store gives to changes.
//!
//! It is both the store of the simulation and the outside truth that the checkers read: what is here survives a
//! crash, everything else does not. A commit is refused if its epoch is not the newest one.

use std::collections::BTreeMap;
use std::sync::Arc;

use fairlane_core::calendar::Calendar;
use fairlane_core::catalog::{Model, Price};
use fairlane_core::cell::change::{Change, EndedRun, Snapshot};
use fairlane_core::id::{
    ClassName, KeyId, ModelName, OrgId, PolicyName, PoolName, PriceName, StepName, TenantId,
    TierName, ToolName, WorkflowName,
};
use fairlane_core::plan::{StepIndex, Workflow};
use fairlane_core::policy::Policy;
use fairlane_core::pool::{Pool, Valve};
use fairlane_core::quota::{BudgetClass, Tool};
use fairlane_core::replan::{Diff, ReplanRow};
use fairlane_core::residency::Declaration;
use fairlane_core::row::{
    AccountRow, CallRow, IdempotencyRow, Instance, KeyRow, LeaseId, Owner, Payload, RunKey, RunRow,
    ScheduleRow, SignalRow, StepRow, StepState, UseRow,
};
use fairlane_core::tenant::{Context, Org, Tenant, Tier};
use fairlane_core::time::Time;

/// A commit came from an owner that is one no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StaleEpoch;

#[derive(Clone, Debug, Default)]
pub struct Rows {
    epoch: u64,
    pub orgs: BTreeMap<OrgId, Org>,
    pub tiers: BTreeMap<TierName, Tier>,
    pub tenants: BTreeMap<TenantId, Tenant>,
    pub contexts: BTreeMap<TenantId, BTreeMap<u32, Arc<Context>>>,
    pub pools: BTreeMap<PoolName, Pool>,
    pub valve: Option<Valve>,
    pub workflows: BTreeMap<(WorkflowName, u32), Arc<Workflow>>,
    pub tools: BTreeMap<ToolName, Tool>,
    pub classes: BTreeMap<ClassName, BudgetClass>,
    pub models: BTreeMap<ModelName, Model>,
    pub prices: BTreeMap<PriceName, Price>,
    pub policies: BTreeMap<PolicyName, Policy>,
    pub residency: BTreeMap<(&'static str, String), Declaration>,
    pub uses: BTreeMap<(Option<TenantId>, ToolName, Arc<str>), UseRow>,
    pub accounts: BTreeMap<(Owner, Calendar, Time), AccountRow>,
    pub calls: BTreeMap<(TenantId, u64), CallRow>,
    pub reviewer_pools:
        BTreeMap<fairlane_core::id::ReviewerPoolName, fairlane_core::review::ReviewerPool>,
    pub reviews: BTreeMap<(TenantId, fairlane_core::id::ReviewId), fairlane_core::row::ReviewRow>,
    /// The newest of each run that has one.
    replans: BTreeMap<RunKey, ReplanRow>,
    keys: BTreeMap<KeyId, KeyRow>,
    pub runs: BTreeMap<RunKey, RunRow>,
    pub steps: BTreeMap<RunKey, BTreeMap<Instance, StepRow>>,
    pub idempotency: BTreeMap<(TenantId, Arc<str>), IdempotencyRow>,
    pub signals: BTreeMap<(RunKey, u64), SignalRow>,
    pub schedules: BTreeMap<(TenantId, WorkflowName, StepName), ScheduleRow>,
}

impl Rows {
    /// Makes the caller the owner; every commit of the owner before is refused from now on.
    pub const fn take_over(&mut self) -> u64 {
        self.epoch += 1;
        self.epoch
    }

    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// A store that had acknowledged more than it kept: these rows are all there is. Who owns them stays.
    pub(crate) fn fall_back(&mut self, to: Self) {
        *self = Self { epoch: self.epoch, ..to };
    }

    /// One transaction: all changes or none.
    pub fn commit(&mut self, epoch: u64, changes: &[Change]) -> Result<(), StaleEpoch> {
        if epoch != self.epoch {
            return Err(StaleEpoch);
        }
        for change in changes {
            self.apply(change);
        }
        Ok(())
    }

    /// What an owner reads: live runs without payloads, and all declarations.
    pub fn snapshot(&self) -> Snapshot {
        let mut runs: Vec<RunRow> = self
            .runs
            .values()
            .filter(|run| !run.status.is_ended())
            .map(|run| RunRow { input: None, ..run.clone() })
            .collect();
        runs.sort_by_key(|run| (run.created, run.key.run));
        let is_live = |key: &RunKey| self.runs.get(key).is_some_and(|run| !run.status.is_ended());
        let steps = self.steps.iter().filter(|(key, _)| is_live(key));
        let signals = self.signals.values().filter(|signal| is_live(&signal.key));
        Snapshot {
            orgs: self.orgs.values().cloned().collect(),
            tiers: self.tiers.values().cloned().collect(),
            tenants: self.tenants.values().cloned().collect(),
            contexts: self.contexts.values().flat_map(BTreeMap::values).cloned().collect(),
            pools: self.pools.values().cloned().collect(),
            valve: self.valve.clone(),
            workflows: self.workflows.values().cloned().collect(),
            tools: self.tools.values().cloned().collect(),
            classes: self.classes.values().cloned().collect(),
            models: self.models.values().cloned().collect(),
            prices: self.prices.values().cloned().collect(),
            policies: self.policies.values().cloned().collect(),
            residency: self.residency.values().cloned().collect(),
            region: None,
            share: fairlane_core::quota::Share::default(),
            means: fairlane_core::notice::Means::default(),
            sampling: None,
            channels: Vec::new(),
            erasures: Vec::new(),
            notices: Vec::new(),
            uses: self.uses.values().cloned().collect(),
            accounts: self.accounts.values().cloned().collect(),
            calls: self.open_calls().cloned().collect(),
            reviewer_pools: self.reviewer_pools.values().cloned().collect(),
            reviews: self.reviews.values().filter(|row| row.ended.is_none()).cloned().collect(),
            replans: self.replans.values().filter(|row| is_live(&key_of(row))).cloned().collect(),
            keys: self.keys.values().cloned().collect(),
            schedules: self.schedules.values().cloned().collect(),
            runs,
            steps: steps.flat_map(|(_, steps)| steps.values()).map(without_output).collect(),
            signals: signals.map(without_payload).collect(),
        }
    }

    /// The rows of one run that has ended, without payloads, as a retry takes them.
    pub fn ended_run(&self, key: &RunKey) -> Option<EndedRun> {
        let run = self.runs.get(key).filter(|run| run.status.is_ended())?;
        let signals = self.signals.range((key.clone(), 0)..=(key.clone(), u64::MAX));
        Some(EndedRun {
            steps: self.steps_of(key).map(without_output).collect(),
            signals: signals.map(|(_, signal)| without_payload(signal)).collect(),
            context: self.contexts.get(&key.tenant)?.get(&run.context).cloned(),
            plan: self.replans.get(key).map(|newest| newest.plan.clone()),
            run: RunRow { input: None, ..run.clone() },
        })
    }

    pub fn steps_of(&self, key: &RunKey) -> impl Iterator<Item = &StepRow> {
        self.steps.get(key).into_iter().flat_map(BTreeMap::values)
    }

    pub fn step(&self, key: &RunKey, instance: Instance) -> Option<&StepRow> {
        self.steps.get(key)?.get(&instance)
    }

    /// The version of the tenant's context that is in force.
    pub fn context(&self, tenant: &TenantId) -> Option<&Arc<Context>> {
        self.contexts.get(tenant)?.last_key_value().map(|(_, context)| context)
    }

    pub fn workflow_of(&self, run: &RunRow) -> Option<&Arc<Workflow>> {
        match self.replans.get(&run.key) {
            Some(newest) => Some(&newest.plan),
            None => self.workflows.get(&(run.workflow.clone(), run.version)),
        }
    }

    /// The step that plans now for the run.
    pub fn planner(&self, key: &RunKey) -> Option<StepIndex> {
        self.replans.get(key).filter(|row| row.ended.is_none()).map(|row| row.planner)
    }

    /// The plan that the run will follow, for which steps are being stopped: how it differs.
    pub fn applying(&self, key: &RunKey) -> Option<&Diff> {
        let row = self.replans.get(key)?;
        (row.verdict.is_some() && row.ended.is_none()).then_some(&row.diff)
    }

    pub fn live_runs(&self) -> impl Iterator<Item = &RunRow> {
        self.runs.values().filter(|run| !run.status.is_ended())
    }

    /// Leases that workers hold.
    pub fn leases(&self) -> impl Iterator<Item = LeaseId> {
        let steps = self.steps.values().flat_map(BTreeMap::values);
        let leased = steps.filter(|step| matches!(step.state, StepState::Leased { .. }));
        leased.map(|step| LeaseId {
            key: step.key.clone(),
            instance: step.instance,
            fence: step.fence,
        })
    }

    /// Calls through the gateway that are under way.
    pub fn open_calls(&self) -> impl Iterator<Item = &CallRow> {
        self.calls.values().filter(|call| call.ended.is_none())
    }

    #[expect(clippy::too_many_lines, reason = "a flat match, one case per change")]
    fn apply(&mut self, change: &Change) {
        match change {
            Change::Org(org) => drop(self.orgs.insert(org.id.clone(), org.clone())),
            Change::Tier(tier) => drop(self.tiers.insert(tier.name.clone(), tier.clone())),
            Change::Tenant(tenant, context) => self.put_tenant(tenant, context),
            Change::Pool(pool) => drop(self.pools.insert(pool.name.clone(), pool.clone())),
            Change::Valve(valve) => self.valve = Some(valve.clone()),
            Change::Workflow(workflow) => {
                let key = (workflow.name.clone(), workflow.version);
                self.workflows.insert(key, workflow.clone());
            }
            Change::Tool(tool) => drop(self.tools.insert(tool.name.clone(), tool.clone())),
            Change::Class(class) => drop(self.classes.insert(class.name.clone(), class.clone())),
            Change::Model(model) => drop(self.models.insert(model.name.clone(), model.clone())),
            Change::Price(price) => drop(self.prices.insert(price.name.clone(), price.clone())),
            Change::Policy(policy) => {
                self.policies.insert(policy.name.clone(), policy.clone());
            }
            Change::DropPolicy(policy) => drop(self.policies.remove(policy)),
            Change::Residency(declaration) => {
                let (kind, name) = declaration.key();
                self.residency.insert((kind, name.to_owned()), declaration.clone());
            }
            Change::Use(row) => {
                let key = (row.tenant.clone(), row.tool.clone(), row.rule.clone());
                self.uses.insert(key, row.clone());
            }
            Change::Account(row) => {
                self.accounts.insert((row.owner.clone(), row.every, row.start), row.clone());
            }
            Change::Call(row) => {
                self.calls.insert((row.tenant.clone(), row.id), (**row).clone());
            }
            Change::Replan(row) => drop(self.replans.insert(key_of(row), (**row).clone())),
            Change::Key(key) => drop(self.keys.insert(key.id.clone(), key.clone())),
            Change::DropKey(key) => drop(self.keys.remove(key)),
            Change::Run(run) => self.put_run(run),
            Change::Step(step) => self.put_step(step),
            Change::DropStep(key, step) => self.drop_step(key, *step),
            Change::Idempotency(row) => {
                self.idempotency.insert((row.tenant.clone(), row.key.clone()), row.clone());
            }
            Change::Signal(signal) => {
                self.signals.insert((signal.key.clone(), signal.sequence), signal.clone());
            }
            Change::TakeSignal { key, sequence, instance } => {
                self.take_signal(key, *sequence, *instance);
            }
            Change::Schedule(row) => {
                let key = (row.tenant.clone(), row.workflow.clone(), row.name.clone());
                self.schedules.insert(key, row.clone());
            }
            Change::DropSchedule(tenant, workflow, name) => {
                self.schedules.remove(&(tenant.clone(), workflow.clone(), name.clone()));
            }
            Change::ReviewerPool(pool) => {
                self.reviewer_pools.insert(pool.name.clone(), pool.clone());
            }
            Change::Review(row) => {
                self.reviews.insert((row.tenant.clone(), row.id), (**row).clone());
            }
            Change::RenewSeal(_)
            | Change::CloseLog { .. }
            | Change::Decision(_)
            | Change::Erasure(_)
            | Change::ReviewEvent(_)
            | Change::Channel(_)
            | Change::DropChannel(..)
            | Change::Notice(_)
            | Change::DropNotice(..) => {}
            Change::SupersedeReview(tenant, review) => {
                if let Some(row) = self.reviews.get_mut(&(tenant.clone(), *review)) {
                    row.state = fairlane_core::row::ReviewState::Superseded;
                }
            }
        }
    }

    fn put_tenant(&mut self, tenant: &Tenant, context: &Arc<Context>) {
        self.tenants.insert(tenant.id.clone(), tenant.clone());
        let versions = self.contexts.entry(tenant.id.clone()).or_default();
        versions.insert(context.version, context.clone());
    }

    fn put_run(&mut self, run: &RunRow) {
        let mut run = run.clone();
        if run.input.is_none() {
            run.input = self.runs.get(&run.key).and_then(|stored| stored.input.clone());
        }
        self.runs.insert(run.key.clone(), run);
    }

    fn put_step(&mut self, step: &StepRow) {
        let steps = self.steps.entry(step.key.clone()).or_default();
        let mut step = step.clone();
        if step.output.is_none() {
            step.output = steps.get(&step.instance).and_then(|stored| stored.output.clone());
        }
        steps.insert(step.instance, step);
    }

    fn drop_step(&mut self, key: &RunKey, step: StepIndex) {
        if let Some(steps) = self.steps.get_mut(key) {
            steps.retain(|instance, _| instance.step != step);
        }
    }

    fn take_signal(&mut self, key: &RunKey, sequence: u64, instance: Instance) {
        let taken = self.signals.remove(&(key.clone(), sequence));
        let step = self.steps.get_mut(key).and_then(|steps| steps.get_mut(&instance));
        if let (Some(taken), Some(step)) = (taken, step) {
            step.output = Some(taken.payload);
        }
    }
}

fn without_payload(signal: &SignalRow) -> SignalRow {
    SignalRow { payload: Payload::from(&b""[..]), ..signal.clone() }
}

fn without_output(step: &StepRow) -> StepRow {
    StepRow { output: None, ..step.clone() }
}

fn key_of(row: &ReplanRow) -> RunKey {
    RunKey { tenant: row.tenant.clone(), run: row.run }
}
