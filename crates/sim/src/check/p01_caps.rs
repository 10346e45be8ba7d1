//! P1: at no dispatch does a tenant hold more slots than its cap and its burst, an organisation more than its cap, long
//! steps more than their share, or all together more than the pool has; through crashes and changes of all these.
//!
//! Counted on the stream of committed changes, in the order in which they were decided. That the outside agrees is
//! checked apart: every lease that a worker believes in must have its row ([`believed`]).

use std::collections::{BTreeMap, BTreeSet};

use fairlane_core::cell::change::Change;
use fairlane_core::id::{OrgId, PoolName, TenantId, WorkerName};
use fairlane_core::pool::{Policy, Pool};
use fairlane_core::row::{Instance, LeaseId, RunKey, StepRow, StepState};

use super::declared::Declared;
use crate::rows::Rows;
use crate::violation::{Verdict, holds};

const PROMISE: &str = "P1 cap";

/// What is leased, by whom and where.
#[derive(Debug, Default)]
pub(crate) struct Caps {
    held: BTreeMap<(RunKey, Instance), Held>,
    fences: BTreeSet<u64>,
    by_pool: BTreeMap<PoolName, u32>,
    by_org: BTreeMap<(PoolName, OrgId), u32>,
    by_tenant: BTreeMap<(PoolName, TenantId), u32>,
    by_worker: BTreeMap<(PoolName, WorkerName), u32>,
    /// Long steps that count against the pool's share of them: those that were dispatched while it had one.
    long: BTreeMap<PoolName, u32>,
    /// All long steps.
    any_long: BTreeMap<PoolName, u32>,
}

#[derive(Clone, Debug)]
pub(crate) struct Held {
    pool: PoolName,
    org: OrgId,
    worker: WorkerName,
    is_long: bool,
    is_bounded: bool,
}

impl Caps {
    pub(crate) fn follow(&mut self, change: &Change, declared: &Declared, rows: &Rows) -> Verdict {
        match change {
            Change::Step(step) => {
                let place = (step.key.clone(), step.instance);
                let before = self.held.get(&place).cloned();
                if let Some(before) = &before {
                    self.count(&place, before, -1);
                    self.held.remove(&place);
                }
                let StepState::Leased { worker, pool, .. } = &step.state else { return Ok(()) };
                holds(before.is_none(), PROMISE, || {
                    format!("{place:?} is leased again while it is leased as {before:?}")
                })?;
                holds(self.fences.insert(step.fence), PROMISE, || {
                    format!("fence {} of {place:?} was given before", step.fence)
                })?;
                self.lease(step, worker, pool, &Around { declared, rows })
            }
            Change::Tenant(tenant, _) => {
                self.move_tenant(&tenant.id, &tenant.org);
                Ok(())
            }
            Change::DropStep(key, step) => {
                let held = self.held.keys().find(|(of, at)| of == key && at.step == *step);
                holds(held.is_none(), "P9 nothing leaks", || {
                    format!("{held:?} is dropped while it is leased")
                })
            }
            Change::Run(run) if run.status.is_ended() => {
                let held = self.held.keys().find(|(key, _)| *key == run.key);
                holds(held.is_none(), "P9 nothing leaks", || {
                    format!("run {:?} ends while {held:?} is leased", run.key)
                })
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn emptied(&self) -> Verdict {
        holds(self.held.is_empty(), "P9 nothing leaks", || format!("leased: {:?}", self.held))
    }

    pub(crate) fn grants(&self) -> u64 {
        self.fences.len() as u64
    }

    pub(crate) fn in_pool(&self, pool: &PoolName) -> u32 {
        self.by_pool.get(pool).copied().unwrap_or(0)
    }

    pub(crate) fn of_org(&self, pool: &PoolName, org: &OrgId) -> u32 {
        self.by_org.get(&(pool.clone(), org.clone())).copied().unwrap_or(0)
    }

    pub(crate) fn of_tenant(&self, pool: &PoolName, tenant: &TenantId) -> u32 {
        self.by_tenant.get(&(pool.clone(), tenant.clone())).copied().unwrap_or(0)
    }

    pub(crate) fn of_worker(&self, pool: &PoolName, worker: &WorkerName) -> u32 {
        self.by_worker.get(&(pool.clone(), worker.clone())).copied().unwrap_or(0)
    }

    /// Long steps, whether they count or not.
    pub(crate) fn long_in(&self, pool: &PoolName) -> u32 {
        self.any_long.get(pool).copied().unwrap_or(0)
    }

    /// What a tenant holds counts against the cap of the organisation that it belongs to now.
    fn move_tenant(&mut self, tenant: &TenantId, org: &OrgId) {
        let moved =
            self.held.iter().filter(|((key, _), held)| key.tenant == *tenant && held.org != *org);
        let moved: Vec<_> = moved.map(|(place, held)| (place.clone(), held.clone())).collect();
        for (place, before) in moved {
            self.count(&place, &before, -1);
            let held = Held { org: org.clone(), ..before };
            self.count(&place, &held, 1);
            self.held.insert(place, held);
        }
    }

    fn lease(
        &mut self,
        step: &StepRow,
        worker: &WorkerName,
        pool: &PoolName,
        around: &Around<'_>,
    ) -> Verdict {
        let tenant = &step.key.tenant;
        let Some(context) = around.declared.contexts.get(tenant) else {
            return holds(false, PROMISE, || format!("tenant {tenant} is not declared"));
        };
        let Some(declared) = around.declared.pools.get(pool) else {
            return holds(false, PROMISE, || format!("pool {pool} is not declared"));
        };
        let held = Held {
            pool: pool.clone(),
            org: context.org.clone(),
            worker: worker.clone(),
            is_long: is_long(around.rows, &step.key, step.instance, declared),
            is_bounded: declared.policy == Policy::Fair,
        };
        let place = (step.key.clone(), step.instance);
        self.count(&place, &held, 1);
        let told = |what: &str, count: u32, cap: u32| {
            holds(count <= cap, PROMISE, || {
                format!("{what} holds {count} of {cap} slots of {pool} with {place:?}")
            })
        };
        told("the pool", self.in_pool(pool), declared.slots)?;
        if declared.policy == Policy::Fair {
            let cap = context.cap + context.burst.map_or(0, |burst| burst.extra_slots);
            told(tenant.as_str(), self.of_tenant(pool, tenant), cap)?;
            let org = around.declared.orgs.get(&context.org).and_then(|org| org.cap);
            let org = org.unwrap_or(u32::MAX);
            told(context.org.as_str(), self.of_org(pool, &context.org), org)?;
            let long = if held.is_long { long_slots(declared) } else { u32::MAX };
            told("long steps", self.long.get(pool).copied().unwrap_or(0), long)?;
        }
        self.held.insert(place, held);
        Ok(())
    }

    fn count(&mut self, place: &(RunKey, Instance), held: &Held, by: i32) {
        let Held { pool, org, worker, is_long, is_bounded } = held;
        let add = |count: &mut u32| {
            *count = count.checked_add_signed(by).expect("what is given back was counted");
        };
        add(self.by_pool.entry(pool.clone()).or_default());
        add(self.by_org.entry((pool.clone(), org.clone())).or_default());
        add(self.by_tenant.entry((pool.clone(), place.0.tenant.clone())).or_default());
        add(self.by_worker.entry((pool.clone(), worker.clone())).or_default());
        if *is_long {
            add(self.any_long.entry(pool.clone()).or_default());
        }
        if *is_long && *is_bounded {
            add(self.long.entry(pool.clone()).or_default());
        }
    }
}

struct Around<'a> {
    declared: &'a Declared,
    rows: &'a Rows,
}

/// A worker that works in good faith does so under a lease that the rows know.
pub(crate) fn believed<'a>(
    leases: impl Iterator<Item = &'a LeaseId>,
    worker: &WorkerName,
    rows: &Rows,
) -> Verdict {
    for lease in leases {
        let row = rows.step(&lease.key, lease.instance);
        let is_held = row.is_some_and(|row| {
            row.fence == lease.fence
                && matches!(&row.state, StepState::Leased { worker: holder, .. } if holder == worker)
        });
        holds(is_held, PROMISE, || {
            format!("{worker} works on {lease:?}, which counts against no cap: {row:?}")
        })?;
    }
    Ok(())
}

/// Most slots of the pool that long steps may hold.
pub(crate) fn long_slots(pool: &Pool) -> u32 {
    let Some(long) = pool.long else { return u32::MAX };
    let share = u64::from(pool.slots) * u64::from(long.share_permille) / 1_000;
    u32::try_from(share.max(1)).unwrap_or(u32::MAX)
}

pub(crate) fn is_long(rows: &Rows, key: &RunKey, instance: Instance, pool: &Pool) -> bool {
    let workflow = rows.runs.get(key).and_then(|run| rows.workflow_of(run));
    let expected = workflow.map(|workflow| workflow.step(instance.step).expected);
    pool.long.is_some_and(|long| expected.is_some_and(|expected| expected > long.over))
}
