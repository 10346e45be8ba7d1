//! What is on the disk after the changes of some turns: what the next owner of the cell loads.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::cell::change::{Change, EndedRun, Snapshot};
use crate::id::{StepName, TenantId, WorkflowName};
use crate::replan::ReplanRow;
use crate::residency::Declaration;
use crate::row::{
    CallRow, Decision, Instance, Payload, ReviewRow, RunKey, RunRow, ScheduleRow, SignalRow,
    StepRow,
};
use crate::tenant::Context;

use super::Desk;

/// Rows by their keys; of declarations the last of each name.
#[derive(Default)]
pub(crate) struct Disk {
    declared: Snapshot,
    contexts: BTreeMap<(TenantId, u32), Arc<Context>>,
    pub(crate) runs: BTreeMap<RunKey, RunRow>,
    pub(crate) steps: BTreeMap<(RunKey, Instance), StepRow>,
    pub(crate) signals: BTreeMap<(RunKey, u64), SignalRow>,
    schedules: BTreeMap<(TenantId, WorkflowName, StepName), ScheduleRow>,
}

impl Disk {
    pub(crate) fn of(changes: &[Change]) -> Self {
        let mut disk = Self::default();
        for change in changes {
            disk.write(change);
        }
        disk
    }

    #[expect(clippy::too_many_lines, reason = "a flat match, one case per change")]
    fn write(&mut self, change: &Change) {
        let Self { declared, contexts, runs, steps, signals, schedules } = self;
        match change {
            Change::Org(org) => replace(&mut declared.orgs, org, |org| org.id.clone()),
            Change::Tier(row) => replace(&mut declared.tiers, row, |row| row.name.clone()),
            Change::Tenant(tenant, context) => {
                replace(&mut declared.tenants, tenant, |tenant| tenant.id.clone());
                contexts.insert((tenant.id.clone(), context.version), context.clone());
            }
            Change::Pool(pool) => replace(&mut declared.pools, pool, |pool| pool.name.clone()),
            Change::Workflow(workflow) => declared.workflows.push(workflow.clone()),
            Change::Tool(tool) => replace(&mut declared.tools, tool, |tool| tool.name.clone()),
            Change::Class(class) => {
                replace(&mut declared.classes, class, |class| class.name.clone());
            }
            Change::Model(row) => replace(&mut declared.models, row, |row| row.name.clone()),
            Change::Price(row) => replace(&mut declared.prices, row, |row| row.name.clone()),
            Change::Policy(policy) => {
                replace(&mut declared.policies, policy, |policy| policy.name.clone());
            }
            Change::DropPolicy(name) => declared.policies.retain(|policy| policy.name != *name),
            Change::Residency(one) => put_place(&mut declared.residency, one),
            Change::Use(row) => replace(&mut declared.uses, row, |row| {
                (row.tool.clone(), row.tenant.clone(), row.rule.clone())
            }),
            Change::Account(row) => replace(&mut declared.accounts, row, |row| {
                (row.owner.clone(), row.every, row.start)
            }),
            Change::Call(row) => {
                replace(&mut declared.calls, row, |row| (row.tenant.clone(), row.id));
            }
            Change::Run(row) => drop(runs.insert(row.key.clone(), (**row).clone())),
            Change::Step(row) => {
                steps.insert((row.key.clone(), row.instance), (**row).clone());
            }
            Change::DropStep(key, step) => {
                steps.retain(|(of, instance), _| of != key || instance.step != *step);
            }
            Change::Signal(row) => {
                let clash = signals.insert((row.key.clone(), row.sequence), row.clone());
                assert!(clash.is_none(), "{row:?} replaces one that was acknowledged");
            }
            Change::TakeSignal { key, sequence, instance } => {
                let taken = signals.remove(&(key.clone(), *sequence)).expect("it is there");
                let step = steps.get_mut(&(key.clone(), *instance)).expect("its row comes first");
                step.output = Some(taken.payload);
            }
            Change::ReviewerPool(pool) => {
                replace(&mut declared.reviewer_pools, pool, |pool| pool.name.clone());
            }
            Change::Review(row) => replace(&mut declared.reviews, row, |row| row.id),
            Change::SupersedeReview(_, id) => {
                let row = declared.reviews.iter_mut().find(|row| row.id == *id);
                row.expect("it was decided").state = crate::row::ReviewState::Superseded;
            }
            Change::Channel(row) => replace(&mut declared.channels, row, |row| {
                (row.channel.tenant.clone(), row.channel.name.clone())
            }),
            Change::DropChannel(tenant, name) => declared
                .channels
                .retain(|row| row.channel.tenant != *tenant || row.channel.name != *name),
            Change::Notice(row) => replace(&mut declared.notices, row, |row| row.id),
            Change::DropNotice(_, id) => declared.notices.retain(|row| row.id != *id),
            Change::Replan(row) => replace(&mut declared.replans, row, |row| (row.run, row.number)),
            Change::Erasure(row) => replace(&mut declared.erasures, row, |row| row.id),
            Change::Idempotency(_) | Change::ReviewEvent(_) | Change::Decision(_) => {}
            Change::Valve(valve) => declared.valve = Some(valve.clone()),
            Change::Schedule(row) => {
                let key = (row.tenant.clone(), row.workflow.clone(), row.name.clone());
                schedules.insert(key, row.clone());
            }
            Change::DropSchedule(tenant, workflow, name) => {
                schedules.remove(&(tenant.clone(), workflow.clone(), name.clone()));
            }
            Change::Key(_)
            | Change::DropKey(_)
            | Change::RenewSeal(_)
            | Change::CloseLog { .. } => {
                panic!("no scenario restarts with {change:?}")
            }
        }
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let live = |key: &RunKey| self.runs[key].ended.is_none();
        let mut runs: Vec<RunRow> =
            self.runs.values().filter(|row| live(&row.key)).cloned().collect();
        runs.sort_by_key(|row| (row.created, row.key.run));
        let pinned: BTreeSet<_> =
            runs.iter().map(|row| (row.key.tenant.clone(), row.context)).collect();
        let newest: BTreeMap<_, _> = self.contexts.keys().cloned().collect();
        let is_kept =
            |key: &(TenantId, u32)| pinned.contains(key) || newest.get(&key.0) == Some(&key.1);
        Snapshot {
            contexts: self
                .contexts
                .iter()
                .filter(|(key, _)| is_kept(key))
                .map(|(_, context)| context.clone())
                .collect(),
            runs,
            calls: self.calls().iter().filter(|call| call.ended.is_none()).cloned().collect(),
            steps: self.steps.values().filter(|row| live(&row.key)).cloned().collect(),
            schedules: self.schedules.values().cloned().collect(),
            signals: self.signals.values().filter(|row| live(&row.key)).cloned().collect(),
            reviews: self.reviews().filter(|row| row.ended.is_none()).cloned().collect(),
            replans: self.newest_replans(live),
            ..self.declared.clone()
        }
    }

    fn newest_replans(&self, live: impl Fn(&RunKey) -> bool) -> Vec<ReplanRow> {
        let of = |run: &RunRow| self.replans_of(&run.key).last().cloned();
        self.runs.values().filter(|run| live(&run.key)).filter_map(of).collect()
    }

    /// Calls of models, in the order in which they began.
    pub(crate) fn calls(&self) -> &[CallRow] {
        &self.declared.calls
    }

    /// Reviews, in the order in which they were opened.
    pub(crate) fn reviews(&self) -> impl Iterator<Item = &ReviewRow> {
        self.declared.reviews.iter()
    }

    /// Replans of a run, oldest first.
    pub(crate) fn replans_of(&self, key: &RunKey) -> impl Iterator<Item = &ReplanRow> {
        self.declared.replans.iter().filter(|row| row.run == key.run)
    }

    pub(crate) fn steps_of(&self, key: &RunKey) -> Vec<StepRow> {
        self.steps.values().filter(|row| row.key == *key).cloned().collect()
    }

    /// Signals in the run's inbox: sequence and payload.
    pub(crate) fn signals_of(&self, key: &RunKey) -> Vec<(u64, Payload)> {
        let of = self.signals.values().filter(|row| row.key == *key);
        of.map(|row| (row.sequence, row.payload.clone())).collect()
    }

    /// What a retry of the run is given beside these rows of it.
    pub(crate) fn ended(&self, run: RunRow, steps: Vec<StepRow>) -> EndedRun {
        let of = self.signals.values().filter(|row| row.key == run.key);
        let context = self.contexts.get(&(run.key.tenant.clone(), run.context)).cloned();
        let plan = self.replans_of(&run.key).last().map(|newest| newest.plan.clone());
        EndedRun { signals: of.cloned().collect(), run, steps, context, plan }
    }
}

impl Desk {
    /// All runs, in order of their creation.
    pub(crate) fn runs(&self) -> Vec<RunRow> {
        let mut runs: Vec<RunRow> = self.disk().runs.into_values().collect();
        runs.sort_by_key(|run| (run.created, run.key.run));
        runs
    }

    pub(crate) fn live(&self) -> Vec<RunKey> {
        let live = |run: RunRow| (!run.status.is_ended()).then_some(run.key);
        self.runs().into_iter().filter_map(live).collect()
    }

    pub(crate) fn schedules(&self) -> Vec<ScheduleRow> {
        self.disk().schedules.into_values().collect()
    }

    /// Decisions of that code, with their facts.
    pub(crate) fn decided(&self, code: &str) -> Vec<Decision> {
        let decision = |change: &Change| match change {
            Change::Decision(decision) if decision.code == code => Some(decision.clone()),
            _ => None,
        };
        self.committed.iter().filter_map(decision).collect()
    }
}

fn put_place(rows: &mut Vec<Declaration>, row: &Declaration) {
    let key = |one: &Declaration| {
        let (kind, name) = one.key();
        (kind, name.to_owned())
    };
    replace(rows, row, key);
}

fn replace<T: Clone, K: PartialEq>(rows: &mut Vec<T>, row: &T, key: impl Fn(&T) -> K) {
    match rows.iter_mut().find(|known| key(known) == key(row)) {
        Some(known) => *known = row.clone(),
        None => rows.push(row.clone()),
    }
}
