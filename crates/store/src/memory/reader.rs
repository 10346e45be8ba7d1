//! Reading beside the writer.

use std::collections::BTreeMap;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use fairlane_audit::{Proof, Signed};
use fairlane_core::calendar::Calendar;
use fairlane_core::catalog::Metered;
use fairlane_core::cell::change::EndedRun;
use fairlane_core::erasure::ErasureRow;
use fairlane_core::id::{ErasureId, ReviewId, RunId, TenantId, WorkflowName};
use fairlane_core::money::Nano;
use fairlane_core::plan::{StepIndex, Workflow};
use fairlane_core::replan::ReplanRow;
use fairlane_core::row::{
    AccountRow, CallRow, IdempotencyRow, Instance, Owner, Part, Payload, ReviewEventRow, ReviewRow,
    RunKey, RunRow, StepRow,
};
use fairlane_core::tenant::{Tenant, TenantScope};
use fairlane_core::time::Time;

use super::rows::{Rows, instances};
use super::{Disk, Held};
use crate::error::Error;
use crate::read::{
    AuditPage, CallQuery, DecisionQuery, DecisionRow, ErasureQuery, Facets, Page, Payloads, Read,
    ReviewQuery, RunQuery, SCAN_MAX, UsageRow, page_limit,
};

/// Sees the newest commit at each call.
#[derive(Debug)]
pub struct MemoryReader {
    pub(super) disk: Disk,
}

impl MemoryReader {
    fn rows(&self) -> Held<'_> {
        self.disk.hold()
    }
}

fn key(scope: &TenantScope, run: RunId) -> RunKey {
    RunKey { tenant: scope.tenant().clone(), run }
}

fn run(rows: &Rows, key: &RunKey, payloads: Payloads) -> Option<RunRow> {
    let mut row = rows.runs.get(key)?.clone();
    if payloads == Payloads::Leave {
        row.input = None;
    }
    Some(row)
}

fn steps(rows: &Rows, key: &RunKey, payloads: Payloads) -> Vec<StepRow> {
    let mut found: Vec<StepRow> =
        rows.steps.range(instances(key, None)).map(|(_, row)| row.clone()).collect();
    if payloads == Payloads::Leave {
        for row in &mut found {
            row.output = None;
        }
    }
    found
}

fn decisions(
    rows: &Rows,
    tenant: Option<&TenantId>,
    query: DecisionQuery,
) -> Page<DecisionRow, u64> {
    let limit = page_limit(query.limit);
    let before = query.before.map_or(Bound::Included(u64::MAX), Bound::Excluded);
    let all = keys(Bound::Included(0), before, |sequence| (tenant.cloned(), sequence));
    let found = rows.decisions.range(all).rev().map(|(_, row)| row.clone()).take(limit + 1);
    Page::cut(found.collect(), limit, |row| row.sequence)
}

/// A range of keys from a range of their last part.
fn keys<K, P>(from: Bound<P>, to: Bound<P>, key: impl Fn(P) -> K) -> impl RangeBounds<K> {
    (from.map(&key), to.map(&key))
}

impl Read for MemoryReader {
    fn run(
        &mut self,
        scope: &TenantScope,
        id: RunId,
        payloads: Payloads,
    ) -> Result<Option<RunRow>, Error> {
        Ok(run(&self.rows(), &key(scope, id), payloads))
    }

    fn steps(
        &mut self,
        scope: &TenantScope,
        run: RunId,
        payloads: Payloads,
    ) -> Result<Vec<StepRow>, Error> {
        Ok(steps(&self.rows(), &key(scope, run), payloads))
    }

    fn run_and_steps(
        &mut self,
        scope: &TenantScope,
        id: RunId,
        payloads: Payloads,
    ) -> Result<Option<(RunRow, Vec<StepRow>)>, Error> {
        let (rows, key) = (self.rows(), key(scope, id));
        Ok(run(&rows, &key, payloads).map(|row| (row, steps(&rows, &key, payloads))))
    }

    fn ended_run(&mut self, scope: &TenantScope, id: RunId) -> Result<Option<EndedRun>, Error> {
        let (rows, key) = (self.rows(), key(scope, id));
        let found = run(&rows, &key, Payloads::Leave).filter(|row| row.status.is_ended());
        Ok(found.map(|row| EndedRun {
            steps: steps(&rows, &key, Payloads::Leave),
            signals: rows.signals_of(&key).collect(),
            context: rows.contexts.get(&(key.tenant.clone(), row.context)).cloned(),
            plan: rows.replans_of(&key).last().map(|newest| newest.plan.clone()),
            run: row,
        }))
    }

    fn replans(&mut self, scope: &TenantScope, run: RunId) -> Result<Vec<ReplanRow>, Error> {
        Ok(self.rows().replans_of(&key(scope, run)).cloned().collect())
    }

    fn child(
        &mut self,
        scope: &TenantScope,
        id: RunId,
        instance: Instance,
    ) -> Result<Option<RunRow>, Error> {
        let (rows, caller) = (self.rows(), key(scope, id));
        let called = |at, child| (caller.clone(), instance, at, child);
        let all = called(Time(0), RunId(0))..=called(Time::MAX, RunId(u128::MAX));
        let newest = rows.children.range(all).next_back().map(|((.., child), ())| *child);
        Ok(newest.and_then(|child| run(&rows, &key(scope, child), Payloads::Leave)))
    }

    fn runs(
        &mut self,
        scope: &TenantScope,
        query: &RunQuery,
    ) -> Result<Page<RunRow, RunId>, Error> {
        let rows = self.rows();
        let limit = page_limit(query.limit);
        let before = query.before.unwrap_or(RunId(u128::MAX));
        let mut all = rows.runs.range(key(scope, RunId(0))..key(scope, before)).rev();
        let mut page = Page { rows: Vec::new(), next: None };
        let mut last = None;
        for _ in 0..SCAN_MAX {
            let Some((key, row)) = all.next() else { return Ok(page) };
            if page.rows.len() == limit {
                break;
            }
            last = Some(key.run);
            let facets = Facets {
                status: row.status,
                workflow: row.workflow.as_str(),
                lane: row.lane,
                created: row.created,
            };
            if query.filter.matches(facets) {
                page.rows.push(RunRow { input: None, ..row.clone() });
            }
        }
        page.next = last;
        Ok(page)
    }

    fn input(&mut self, scope: &TenantScope, run: RunId) -> Result<Option<Payload>, Error> {
        Ok(self.rows().runs.get(&key(scope, run)).and_then(|row| row.input.clone()))
    }

    fn output(
        &mut self,
        scope: &TenantScope,
        run: RunId,
        instance: Instance,
    ) -> Result<Option<Payload>, Error> {
        let key = (key(scope, run), instance);
        Ok(self.rows().steps.get(&key).and_then(|row| row.output.clone()))
    }

    fn outputs(
        &mut self,
        scope: &TenantScope,
        run: RunId,
        step: StepIndex,
    ) -> Result<Vec<(u32, Payload)>, Error> {
        let rows = self.rows();
        let all = rows.steps.range(instances(&key(scope, run), Some(step)));
        let items = all.filter_map(|((_, instance), row)| match instance.part {
            Part::Item(at) => Some((at, row.output.clone()?)),
            Part::Compensation | Part::Whole => None,
        });
        Ok(items.collect())
    }

    fn idempotency(
        &mut self,
        scope: &TenantScope,
        key: &str,
    ) -> Result<Option<IdempotencyRow>, Error> {
        Ok(self.rows().idempotency.get(&(scope.tenant().clone(), Arc::from(key))).cloned())
    }

    fn idempotency_keys(
        &mut self,
        scope: &TenantScope,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Page<Arc<str>, Arc<str>>, Error> {
        let limit = page_limit(limit);
        let first = (scope.tenant().clone(), Arc::from(after.unwrap_or_default()));
        let rows = self.rows();
        let found = rows.idempotency.range((Bound::Excluded(first), Bound::Unbounded));
        let own = found.map(|(key, _)| key).take_while(|(tenant, _)| tenant == scope.tenant());
        let keys = own.map(|(_, key)| Arc::clone(key)).take(limit + 1).collect();
        Ok(Page::cut(keys, limit, Arc::clone))
    }

    fn decisions(
        &mut self,
        scope: &TenantScope,
        query: DecisionQuery,
    ) -> Result<Page<DecisionRow, u64>, Error> {
        Ok(decisions(&self.rows(), Some(scope.tenant()), query))
    }

    fn erasure(&mut self, scope: &TenantScope, id: ErasureId) -> Result<Option<ErasureRow>, Error> {
        Ok(self.rows().erasures.get(&(scope.tenant().clone(), id)).cloned())
    }

    fn erasures(
        &mut self,
        scope: &TenantScope,
        query: ErasureQuery,
    ) -> Result<Page<ErasureRow, ErasureId>, Error> {
        let limit = page_limit(query.limit);
        let tenant = scope.tenant();
        let all =
            (tenant.clone(), ErasureId(RunId(0)))..=(tenant.clone(), ErasureId(RunId(u128::MAX)));
        let rows = self.rows();
        let newest = rows.erasures.range(all).rev().map(|(_, row)| row);
        let newest = newest.filter(|row| query.before.is_none_or(|before| row.id < before));
        Ok(Page::cut(newest.take(limit + 1).cloned().collect(), limit, |row| row.id))
    }

    fn platform_decisions(
        &mut self,
        query: DecisionQuery,
    ) -> Result<Page<DecisionRow, u64>, Error> {
        Ok(decisions(&self.rows(), None, query))
    }

    fn audit(
        &mut self,
        _: Option<&TenantScope>,
        _: u64,
        _: u32,
    ) -> Result<Option<AuditPage>, Error> {
        Ok(None)
    }

    fn audit_proof(&mut self, _: Option<&TenantScope>, _: u64) -> Result<Option<Proof>, Error> {
        Ok(None)
    }

    fn checkpoints(&mut self, _: u64, _: u32) -> Result<Vec<(u64, Signed)>, Error> {
        Ok(Vec::new())
    }

    fn calls(
        &mut self,
        scope: &TenantScope,
        query: CallQuery,
    ) -> Result<Page<CallRow, u64>, Error> {
        let limit = page_limit(query.limit);
        let before = query.before.map_or(Bound::Included(u64::MAX), Bound::Excluded);
        let own = keys(Bound::Included(0), before, |id| (scope.tenant().clone(), id));
        let is_of_run = |call: &&CallRow| {
            query.run.is_none_or(|run| call.attempt.is_some_and(|made_for| made_for.run == run))
        };
        let rows = self.rows();
        let found = rows.calls.range(own).rev().map(|(_, call)| call).filter(is_of_run);
        Ok(Page::cut(found.take(limit + 1).cloned().collect(), limit, |call| call.id))
    }

    fn review(
        &mut self,
        scope: &TenantScope,
        review: ReviewId,
    ) -> Result<Option<ReviewRow>, Error> {
        Ok(self.rows().reviews.get(&(scope.tenant().clone(), review)).cloned())
    }

    fn tenant_of_review(&mut self, review: ReviewId) -> Result<Option<TenantId>, Error> {
        let rows = self.rows();
        let mut all = rows.reviews.range(..).map(|(_, row)| row);
        Ok(all.find(|row| row.id == review).map(|row| row.tenant.clone()))
    }

    fn reviews(
        &mut self,
        scope: &TenantScope,
        query: ReviewQuery,
    ) -> Result<Page<ReviewRow, ReviewId>, Error> {
        let limit = page_limit(query.limit);
        let last = ReviewId(RunId(u128::MAX));
        let before = query.before.map_or(Bound::Included(last), Bound::Excluded);
        let from = Bound::Included(ReviewId(RunId(0)));
        let own = keys(from, before, |review| (scope.tenant().clone(), review));
        let rows = self.rows();
        let found = rows.reviews.range(own).rev().map(|(_, row)| row.clone()).take(limit + 1);
        Ok(Page::cut(found.collect(), limit, |row| row.id))
    }

    fn review_events(
        &mut self,
        scope: &TenantScope,
        review: ReviewId,
    ) -> Result<Vec<ReviewEventRow>, Error> {
        let key = |sequence| (scope.tenant().clone(), review, sequence);
        let rows = self.rows();
        let found = rows.review_events.range(key(0)..=key(u32::MAX));
        Ok(found.map(|(_, row)| row.clone()).collect())
    }

    fn usage(
        &mut self,
        scope: &TenantScope,
        from: Time,
        until: Time,
    ) -> Result<Vec<UsageRow>, Error> {
        let own = (scope.tenant().clone(), 0)..=(scope.tenant().clone(), u64::MAX);
        let rows = self.rows();
        let calls = rows.calls.range(own).map(|(_, call)| call);
        let counted =
            calls.filter(|call| call.ended.is_some() && (from..until).contains(&call.began));
        let mut sums = BTreeMap::new();
        for call in counted {
            let served = (
                call.model.clone(),
                call.endpoint.clone(),
                call.upstream.clone(),
                call.considered.region.clone(),
            );
            let sum = sums.entry(served.clone()).or_insert_with(|| UsageRow {
                model: served.0,
                endpoint: served.1,
                upstream: served.2,
                region: served.3,
                calls: 0,
                input: 0,
                cached: 0,
                output: 0,
                cost: Nano::ZERO,
                uncertain: Nano::ZERO,
            });
            let Metered { usage, is_certain } = call.metered;
            sum.calls += 1;
            sum.input += u64::from(usage.input);
            sum.cached += u64::from(usage.cached);
            sum.output += u64::from(usage.output);
            sum.cost = sum.cost.plus(call.cost);
            sum.uncertain = sum.uncertain.plus(if is_certain { Nano::ZERO } else { call.cost });
        }
        Ok(sums.into_values().collect())
    }

    fn accounts(
        &mut self,
        scope: &TenantScope,
        every: Calendar,
        from: Time,
    ) -> Result<Vec<AccountRow>, Error> {
        let owner = Owner::Tenant(scope.tenant().clone());
        let rows = self.rows();
        let own = rows.accounts.range((owner.clone(), every, from)..=(owner, every, Time::MAX));
        Ok(own.rev().map(|(_, row)| row.clone()).collect())
    }

    fn workflow(
        &mut self,
        name: &WorkflowName,
        version: Option<u32>,
    ) -> Result<Option<Arc<Workflow>>, Error> {
        let (from, to) = version.map_or((0, u32::MAX), |version| (version, version));
        let rows = self.rows();
        let mut all = rows.workflows.range((name.clone(), from)..=(name.clone(), to));
        Ok(all.next_back().map(|(_, workflow)| Arc::clone(workflow)))
    }

    fn workflow_versions(
        &mut self,
        name: &WorkflowName,
        before: Option<u32>,
        limit: u32,
    ) -> Result<Page<u32, u32>, Error> {
        let limit = page_limit(limit);
        let before = before.map_or(Bound::Included(u32::MAX), Bound::Excluded);
        let all = keys(Bound::Included(0), before, |version| (name.clone(), version));
        let rows = self.rows();
        let found = rows.workflows.range(all).rev().map(|((_, version), _)| *version);
        Ok(Page::cut(found.take(limit + 1).collect(), limit, |version| *version))
    }

    fn tenants(
        &mut self,
        after: Option<&TenantId>,
        limit: u32,
    ) -> Result<Page<Tenant, TenantId>, Error> {
        let limit = page_limit(limit);
        let after = after.map_or(Bound::Unbounded, |tenant| Bound::Excluded(tenant.clone()));
        let rows = self.rows();
        let found = rows.tenants.range((after, Bound::Unbounded)).map(|(_, row)| row.clone());
        Ok(Page::cut(found.take(limit + 1).collect(), limit, |tenant| tenant.id.clone()))
    }
}
