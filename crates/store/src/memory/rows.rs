//! All rows of a cell in memory: what each change does to them, and what `load` reads.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fairlane_core::calendar::Calendar;
use fairlane_core::catalog::{Model, Price};
use fairlane_core::cell::change::{Change, Snapshot};
use fairlane_core::erasure::ErasureRow;
use fairlane_core::id::{
    ChannelName, ClassName, ErasureId, KeyId, ModelName, NoticeId, OrgId, PolicyName, PoolName,
    PriceName, ReviewId, ReviewerPoolName, RunId, StepName, TenantId, TierName, ToolName,
    WorkflowName,
};
use fairlane_core::notice::{ChannelRow, NoticeRow};
use fairlane_core::plan::{StepIndex, Workflow};
use fairlane_core::policy::Policy;
use fairlane_core::pool::{Pool, Valve};
use fairlane_core::quota::{BudgetClass, Tool};
use fairlane_core::replan::ReplanRow;
use fairlane_core::residency::Declaration;
use fairlane_core::review::ReviewerPool;
use fairlane_core::row::{
    AccountRow, CallRow, IdempotencyRow, Instance, KeyRow, Owner, Part, ReviewEventRow, ReviewRow,
    ReviewState, RunKey, RunRow, ScheduleRow, SignalRow, StepRow, UseRow,
};
use fairlane_core::tenant::{Context, Org, Tenant, Tier};
use fairlane_core::time::Time;

use super::table::Table;
use crate::error::Error;
use crate::read::DecisionRow;
use crate::store::{ACCOUNTS_LOADED, Epoch};

#[derive(Clone, Debug, Default)]
pub(super) struct Rows {
    pub(super) epoch: Epoch,
    orgs: Table<OrgId, Org>,
    tiers: Table<TierName, Tier>,
    pub(super) tenants: Table<TenantId, Tenant>,
    pub(super) contexts: Table<(TenantId, u32), Arc<Context>>,
    pools: Table<PoolName, Pool>,
    /// One row.
    valves: Table<(), Valve>,
    pub(super) workflows: Table<(WorkflowName, u32), Arc<Workflow>>,
    tools: Table<ToolName, Tool>,
    classes: Table<ClassName, BudgetClass>,
    models: Table<ModelName, Model>,
    prices: Table<PriceName, Price>,
    policies: Table<PolicyName, Policy>,
    residency: Table<(&'static str, String), Declaration>,
    /// The provider's own counts have no tenant.
    uses: Table<(Option<TenantId>, ToolName, Arc<str>), UseRow>,
    pub(super) accounts: Table<(Owner, Calendar, Time), AccountRow>,
    pub(super) calls: Table<(TenantId, u64), CallRow>,
    reviewer_pools: Table<ReviewerPoolName, ReviewerPool>,
    pub(super) reviews: Table<(TenantId, ReviewId), ReviewRow>,
    pub(super) review_events: Table<(TenantId, ReviewId, u32), ReviewEventRow>,
    channels: Table<(TenantId, ChannelName), ChannelRow>,
    notices: Table<(TenantId, NoticeId), NoticeRow>,
    keys: Table<KeyId, KeyRow>,
    pub(super) runs: Table<RunKey, RunRow>,
    pub(super) steps: Table<(RunKey, Instance), StepRow>,
    /// Runs by the step that called them, oldest first: the caller, its instance, when it was called.
    pub(super) children: Table<(RunKey, Instance, Time, RunId), ()>,
    pub(super) replans: Table<(RunKey, u32), ReplanRow>,
    pub(super) idempotency: Table<(TenantId, Arc<str>), IdempotencyRow>,
    pub(super) signals: Table<(RunKey, u64), SignalRow>,
    schedules: Table<(TenantId, WorkflowName, StepName), ScheduleRow>,
    pub(super) erasures: Table<(TenantId, ErasureId), ErasureRow>,
    /// The platform's own rows have no tenant.
    pub(super) decisions: Table<(Option<TenantId>, u64), DecisionRow>,
}

/// Calls a method of every table.
macro_rules! each_table {
    ($rows:ident.$method:ident()) => {
        each_table!($rows.$method(): orgs tiers tenants contexts pools valves workflows tools
            classes models prices policies residency uses accounts calls reviewer_pools reviews review_events channels notices keys runs steps children replans idempotency signals schedules erasures decisions)
    };
    ($rows:ident.$method:ident(): $($table:ident)*) => {
        $($rows.$table.$method();)*
    };
}

impl Rows {
    /// What was written stays.
    pub(super) fn keep(&mut self) {
        each_table!(self.keep());
    }

    /// Applies all changes or, if one fails, none.
    pub(super) fn commit(&mut self, changes: &[Change]) -> Result<(), Error> {
        let applied = changes.iter().try_for_each(|change| self.apply(change));
        if applied.is_ok() {
            self.keep();
        } else {
            each_table!(self.take_back());
        }
        applied
    }

    #[expect(clippy::too_many_lines, reason = "a flat match, one case per change")]
    fn apply(&mut self, change: &Change) -> Result<(), Error> {
        match change {
            Change::Org(org) => self.orgs.put(org.id.clone(), org.clone()),
            Change::Tier(tier) => self.tiers.put(tier.name.clone(), tier.clone()),
            Change::Tenant(tenant, context) => {
                self.tenants.put(tenant.id.clone(), tenant.clone());
                self.contexts.put((context.tenant.clone(), context.version), Arc::clone(context));
            }
            Change::Pool(pool) => self.pools.put(pool.name.clone(), pool.clone()),
            Change::Valve(valve) => self.valves.put((), valve.clone()),
            Change::Workflow(workflow) => {
                let key = (workflow.name.clone(), workflow.version);
                self.workflows.put(key, Arc::clone(workflow));
            }
            Change::Tool(tool) => self.tools.put(tool.name.clone(), tool.clone()),
            Change::Class(class) => self.classes.put(class.name.clone(), class.clone()),
            Change::Model(model) => self.models.put(model.name.clone(), model.clone()),
            Change::Price(price) => self.prices.put(price.name.clone(), price.clone()),
            Change::Policy(policy) => self.policies.put(policy.name.clone(), policy.clone()),
            Change::DropPolicy(policy) => drop(self.policies.remove(policy)),
            Change::Residency(declaration) => {
                let (kind, name) = declaration.key();
                self.residency.put((kind, name.to_owned()), declaration.clone());
            }
            Change::Use(row) => {
                let key = (row.tenant.clone(), row.tool.clone(), Arc::clone(&row.rule));
                self.uses.put(key, row.clone());
            }
            Change::Account(row) => {
                self.accounts.put((row.owner.clone(), row.every, row.start), row.clone());
            }
            Change::Call(row) => self.put_call(row),
            Change::ReviewerPool(pool) => self.reviewer_pools.put(pool.name.clone(), pool.clone()),
            Change::Key(key) => self.keys.put(key.id.clone(), key.clone()),
            Change::DropKey(key) => drop(self.keys.remove(key)),
            // Nothing is sealed in memory.
            Change::RenewSeal(_) | Change::CloseLog { .. } => {}
            Change::Run(row) => self.put_run(row),
            Change::Step(row) => self.put_step(row),
            Change::DropStep(key, step) => self.drop_step(key, *step),
            Change::Replan(row) => {
                self.replans.put((run_of(row), row.number), (**row).clone());
            }
            Change::Idempotency(row) => {
                self.idempotency.put((row.tenant.clone(), Arc::clone(&row.key)), row.clone());
            }
            Change::Signal(row) => self.signals.put((row.key.clone(), row.sequence), row.clone()),
            Change::TakeSignal { key, sequence, instance } => {
                return self.take_signal(key, *sequence, *instance);
            }
            Change::Schedule(row) => {
                let key = (row.tenant.clone(), row.workflow.clone(), row.name.clone());
                self.schedules.put(key, row.clone());
            }
            Change::DropSchedule(tenant, workflow, name) => {
                drop(self.schedules.remove(&(tenant.clone(), workflow.clone(), name.clone())));
            }
            Change::Review(row) => {
                self.reviews.put((row.tenant.clone(), row.id), (**row).clone());
            }
            Change::ReviewEvent(row) => {
                let key = (row.tenant.clone(), row.review, row.sequence);
                self.review_events.put(key, (**row).clone());
            }
            Change::SupersedeReview(tenant, review) => {
                self.supersede((tenant.clone(), *review));
            }
            Change::Channel(row) => {
                let key = (row.channel.tenant.clone(), row.channel.name.clone());
                self.channels.put(key, (**row).clone());
            }
            Change::DropChannel(tenant, channel) => {
                drop(self.channels.remove(&(tenant.clone(), channel.clone())));
            }
            Change::Notice(row) => self.notices.put((row.tenant.clone(), row.id), (**row).clone()),
            Change::DropNotice(tenant, notice) => {
                drop(self.notices.remove(&(tenant.clone(), *notice)));
            }
            Change::Erasure(row) => self.erasures.put((row.tenant.clone(), row.id), row.clone()),
            Change::Decision(decision) => {
                let tenant = &decision.tenant;
                let log = (tenant.clone(), 0)..=(tenant.clone(), u64::MAX);
                let newest = self.decisions.range(log).next_back();
                let sequence = newest.map_or(0, |((_, sequence), _)| *sequence) + 1;
                let row = DecisionRow { sequence, decision: decision.clone() };
                self.decisions.put((tenant.clone(), sequence), row);
            }
        }
        Ok(())
    }

    fn supersede(&mut self, key: (TenantId, ReviewId)) {
        if let Some(mut row) = self.reviews.get(&key).cloned() {
            row.state = ReviewState::Superseded;
            self.reviews.put(key, row);
        }
    }

    /// What is known from its beginning does not change with its end.
    fn put_call(&mut self, row: &CallRow) {
        let key = (row.tenant.clone(), row.id);
        let mut call = row.clone();
        if let Some(begun) = self.calls.get(&key) {
            let CallRow { ended, hold, metered, cost, .. } = call;
            call = CallRow { ended, hold, metered, cost, ..begun.clone() };
        }
        self.calls.put(key, call);
    }

    fn put_run(&mut self, row: &RunRow) {
        let mut row = row.clone();
        if row.input.is_none() {
            row.input = self.runs.get(&row.key).and_then(|stored| stored.input.clone());
        }
        if let Some(parent) = &row.parent {
            let caller = RunKey { tenant: row.key.tenant.clone(), run: parent.run };
            self.children.put((caller, parent.instance, row.created, row.key.run), ());
        }
        self.runs.put(row.key.clone(), row);
    }

    fn put_step(&mut self, row: &StepRow) {
        let mut row = row.clone();
        let key = (row.key.clone(), row.instance);
        if row.output.is_none() {
            row.output = self.steps.get(&key).and_then(|stored| stored.output.clone());
        }
        self.steps.put(key, row);
    }

    fn drop_step(&mut self, key: &RunKey, step: StepIndex) {
        let instances: Vec<_> =
            self.steps.range(instances(key, Some(step))).map(|(key, _)| key.clone()).collect();
        for instance in &instances {
            self.steps.remove(instance);
        }
    }

    fn take_signal(
        &mut self,
        key: &RunKey,
        sequence: u64,
        instance: Instance,
    ) -> Result<(), Error> {
        let Some(signal) = self.signals.remove(&(key.clone(), sequence)) else {
            return Err(Error::Missing { what: format!("signal {sequence} of {key:?}") });
        };
        let key = (key.clone(), instance);
        let Some(mut step) = self.steps.get(&key).cloned() else {
            return Err(Error::Missing { what: format!("the step {instance:?} of {:?}", key.0) });
        };
        step.output = Some(signal.payload);
        self.steps.put(key, step);
        Ok(())
    }

    /// Forgets idempotency keys created before `limit`, oldest first, and returns how many.
    pub(super) fn sweep(&mut self, limit: Time, rows_max: u32) -> u32 {
        let mut old: Vec<_> = self
            .idempotency
            .iter()
            .filter(|(_, row)| row.created < limit)
            .map(|(key, row)| (row.created, key.clone()))
            .collect();
        old.sort_unstable();
        old.truncate(rows_max as usize);
        for (_, key) in &old {
            self.idempotency.remove(key);
        }
        self.idempotency.keep();
        u32::try_from(old.len()).expect("no more rows than the limit are deleted")
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let mut runs: Vec<RunRow> = self
            .runs
            .values()
            .filter(|row| row.ended.is_none())
            .map(|row| RunRow { input: None, ..row.clone() })
            .collect();
        let live: Vec<RunKey> = runs.iter().map(|row| row.key.clone()).collect();
        runs.sort_by(|a, b| {
            (a.created, a.key.run, &a.key.tenant).cmp(&(b.created, b.key.run, &b.key.tenant))
        });
        let steps = live.iter().flat_map(|key| self.steps.range(instances(key, None)));
        let signals = live.iter().flat_map(|key| self.signals_of(key));
        let replans = live.iter().filter_map(|key| self.replans_of(key).last());
        Snapshot {
            orgs: self.orgs.values().cloned().collect(),
            tiers: self.tiers.values().cloned().collect(),
            tenants: self.tenants.values().cloned().collect(),
            contexts: self.contexts_for(&runs),
            pools: self.pools.values().cloned().collect(),
            valve: self.valves.get(&()).cloned(),
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
            uses: self.uses.values().cloned().collect(),
            accounts: self.recent_accounts(),
            calls: self.calls.values().filter(|call| call.ended.is_none()).cloned().collect(),
            reviewer_pools: self.reviewer_pools.values().cloned().collect(),
            reviews: self.reviews.values().filter(|row| row.ended.is_none()).cloned().collect(),
            channels: self.channels.values().cloned().collect(),
            notices: self.notices.values().cloned().collect(),
            keys: self.keys.values().cloned().collect(),
            schedules: self.schedules.values().cloned().collect(),
            steps: steps.map(|(_, row)| StepRow { output: None, ..row.clone() }).collect(),
            signals: signals.collect(),
            replans: replans.cloned().collect(),
            erasures: self.open_erasures(),
            runs,
        }
    }

    /// Accounts of each owner's last periods.
    fn recent_accounts(&self) -> Vec<AccountRow> {
        let mut newest: BTreeMap<&Owner, Time> = BTreeMap::new();
        for row in self.accounts.values() {
            let known = newest.entry(&row.owner).or_insert(row.start);
            *known = row.start.max(*known);
        }
        let is_recent = |row: &&AccountRow| row.start >= newest[&row.owner] - ACCOUNTS_LOADED;
        self.accounts.values().filter(is_recent).cloned().collect()
    }

    /// Signals in a run's inbox, payloads left empty.
    pub(super) fn signals_of(&self, key: &RunKey) -> impl Iterator<Item = SignalRow> {
        let empty: Arc<[u8]> = Arc::from([]);
        self.signals
            .range((key.clone(), 0)..=(key.clone(), u64::MAX))
            .map(move |(_, row)| SignalRow { payload: Arc::clone(&empty), ..row.clone() })
    }

    /// Replans of a run, oldest first.
    pub(super) fn replans_of(&self, key: &RunKey) -> impl Iterator<Item = &ReplanRow> {
        self.replans.range((key.clone(), 0)..=(key.clone(), u32::MAX)).map(|(_, row)| row)
    }

    /// The contexts that these runs are pinned to, and each tenant's newest.
    fn contexts_for(&self, runs: &[RunRow]) -> Vec<Arc<Context>> {
        let pinned: BTreeSet<(&TenantId, u32)> =
            runs.iter().map(|run| (&run.key.tenant, run.context)).collect();
        let is_newest = |tenant: &TenantId, version: u32| {
            let all = (tenant.clone(), 0)..=(tenant.clone(), u32::MAX);
            self.contexts.range(all).next_back().is_some_and(|(key, _)| key.1 == version)
        };
        self.contexts
            .iter()
            .filter(|((tenant, version), _)| {
                pinned.contains(&(tenant, *version)) || is_newest(tenant, *version)
            })
            .map(|(_, context)| Arc::clone(context))
            .collect()
    }
}

fn run_of(row: &ReplanRow) -> RunKey {
    RunKey { tenant: row.tenant.clone(), run: row.run }
}

/// The keys of a run's step instances: of all steps, or of one.
pub(super) fn instances(
    key: &RunKey,
    step: Option<StepIndex>,
) -> std::ops::RangeInclusive<(RunKey, Instance)> {
    let first = step.unwrap_or(StepIndex(0));
    let last = step.unwrap_or(StepIndex(u16::MAX));
    (key.clone(), Instance { step: first, part: Part::Compensation })
        ..=(key.clone(), Instance { step: last, part: Part::Item(u32::MAX) })
}
