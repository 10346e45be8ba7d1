//! What the desk has committed, read as rows, and a restart from it.

use std::collections::BTreeMap;

use super::Desk;
use crate::cell::change::{Change, Snapshot};
use crate::driver::Driver;
use crate::row::{DecisionRow, RunKey, RunRow, ScheduleRow};
use crate::time::Time;

impl Desk {
    /// The process ends, and another owner reads what was committed. What was released and not answered is gone.
    pub(crate) fn restart(&mut self, now: Time) {
        self.now = now;
        self.epoch += 1;
        self.released.clear();
        self.driver = Driver::load(now, self.epoch, snapshot(&self.committed));
        self.flush();
    }

    /// Newest rows of all runs, in order of their creation.
    pub(crate) fn runs(&self) -> Vec<RunRow> {
        let mut runs: Vec<RunRow> = latest_runs(&self.committed).into_values().collect();
        runs.sort_by_key(|run| (run.created, run.key.run));
        runs
    }

    pub(crate) fn live(&self) -> Vec<RunKey> {
        let live = |run: RunRow| (!run.status.is_ended()).then_some(run.key);
        self.runs().into_iter().filter_map(live).collect()
    }

    pub(crate) fn schedules(&self) -> Vec<ScheduleRow> {
        snapshot(&self.committed).schedules
    }

    /// Decisions of that code, with their facts.
    pub(crate) fn decided(&self, code: &str) -> Vec<DecisionRow> {
        let decision = |change: &Change| match change {
            Change::Decision(decision) if decision.code == code => Some(decision.clone()),
            _ => None,
        };
        self.committed.iter().filter_map(decision).collect()
    }
}

fn latest_runs(changes: &[Change]) -> BTreeMap<RunKey, RunRow> {
    let mut runs = BTreeMap::new();
    for change in changes {
        if let Change::Run(row) = change {
            runs.insert(row.key.clone(), RunRow { input: None, ..(**row).clone() });
        }
    }
    runs
}

fn snapshot(changes: &[Change]) -> Snapshot {
    let mut runs = latest_runs(changes);
    runs.retain(|_, run| !run.status.is_ended());
    let (mut orgs, mut tiers, mut tenants, mut pools) =
        (BTreeMap::new(), BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    let (mut steps, mut schedules) = (BTreeMap::new(), BTreeMap::new());
    let mut found = Snapshot::default();
    for change in changes {
        match change {
            Change::Org(org) => drop(orgs.insert(org.id.clone(), org.clone())),
            Change::Tier(tier) => drop(tiers.insert(tier.name.clone(), tier.clone())),
            Change::Tenant(tenant, context) => {
                tenants.insert(tenant.id.clone(), tenant.clone());
                found.contexts.push(context.clone());
            }
            Change::Pool(pool) => drop(pools.insert(pool.name.clone(), pool.clone())),
            Change::Valve(valve) => found.valve = Some(valve.clone()),
            Change::Workflow(workflow) => found.workflows.push(workflow.clone()),
            Change::Step(row) if runs.contains_key(&row.key) => {
                steps.insert((row.key.clone(), row.instance), (**row).clone());
            }
            Change::DropStep(key, step) => {
                steps.retain(|(of, instance), _| of != key || instance.step != *step);
            }
            Change::Schedule(row) => {
                let key = (row.tenant.clone(), row.workflow.clone(), row.name.clone());
                schedules.insert(key, row.clone());
            }
            Change::DropSchedule(tenant, workflow, name) => {
                schedules.remove(&(tenant.clone(), workflow.clone(), name.clone()));
            }
            Change::Decision(row) => found.decisions = row.sequence,
            _ => {}
        }
    }
    Snapshot {
        orgs: orgs.into_values().collect(),
        tiers: tiers.into_values().collect(),
        tenants: tenants.into_values().collect(),
        pools: pools.into_values().collect(),
        schedules: schedules.into_values().collect(),
        runs: {
            let mut runs: Vec<RunRow> = runs.into_values().collect();
            runs.sort_by_key(|run| (run.created, run.key.run));
            runs
        },
        steps: steps.into_values().collect(),
        ..found
    }
}
