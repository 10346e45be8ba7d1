//! Reading beside the writer, on a connection of its own.

use std::path::PathBuf;
use std::sync::Arc;

use fairlane_audit::{Proof, Signed};
use fairlane_core::calendar::Calendar;
use fairlane_core::cell::change::EndedRun;
use fairlane_core::erasure::ErasureRow;
use fairlane_core::id::{ErasureId, ReviewId, RunId, TenantId, WorkflowName};
use fairlane_core::plan::{StepIndex, Workflow};
use fairlane_core::replan::ReplanRow;
use fairlane_core::row::{
    AccountRow, CallRow, IdempotencyRow, Instance, Payload, ReviewEventRow, ReviewRow, RunRow,
    StepRow,
};
use fairlane_core::tenant::{Tenant, TenantScope};
use fairlane_core::time::Time;
use rusqlite::Connection;

use super::codec::Fault;
use super::keyring::{Db, Keyring};
use super::{
    accounts, audit, calls, erasures, idempotency, replans, report, resources, reviews, runs,
    signals, steps,
};
use crate::error::Error;
use crate::read::{
    AuditPage, CallQuery, DecisionQuery, DecisionRow, ErasureQuery, Page, Payloads, Read,
    ReviewQuery, RunQuery, UsageRow,
};

/// Reads a region's file; each call sees the newest commit.
#[derive(Debug)]
pub struct SqliteReader {
    pub(super) connection: Connection,
    pub(super) keys: Arc<Keyring>,
    /// What the platform's own log is called.
    pub(super) log: String,
    pub(super) path: PathBuf,
}

impl SqliteReader {
    fn db(&self) -> Db<'_> {
        Db { connection: &self.connection, keys: &self.keys }
    }

    fn named<T>(&self, action: &'static str, result: Result<T, Fault>) -> Result<T, Error> {
        result.map_err(|fault| report(action, &self.path, fault))
    }

    /// All statements see the commit that the first one saw.
    fn at_once<T>(
        &self,
        action: &'static str,
        read: impl FnOnce(&Connection) -> Result<T, Fault>,
    ) -> Result<T, Error> {
        let tx = self.connection.unchecked_transaction();
        self.named(action, tx.map_err(Fault::from).and_then(|tx| read(&tx)))
    }
}

impl Read for SqliteReader {
    fn run(
        &mut self,
        scope: &TenantScope,
        run: RunId,
        payloads: Payloads,
    ) -> Result<Option<RunRow>, Error> {
        self.named("read a run", runs::one(self.db(), scope, run, payloads))
    }

    fn steps(
        &mut self,
        scope: &TenantScope,
        run: RunId,
        payloads: Payloads,
    ) -> Result<Vec<StepRow>, Error> {
        self.named("read steps", steps::of_run(self.db(), scope, run, payloads))
    }

    fn run_and_steps(
        &mut self,
        scope: &TenantScope,
        run: RunId,
        payloads: Payloads,
    ) -> Result<Option<(RunRow, Vec<StepRow>)>, Error> {
        let read = || -> Result<_, Fault> {
            // Both statements see the commit that the first one saw.
            let tx = self.connection.unchecked_transaction()?;
            let db = Db { connection: &tx, keys: &self.keys };
            let Some(row) = runs::one(db, scope, run, payloads)? else { return Ok(None) };
            Ok(Some((row, steps::of_run(db, scope, run, payloads)?)))
        };
        self.named("read a run and its steps", read())
    }

    fn ended_run(&mut self, scope: &TenantScope, run: RunId) -> Result<Option<EndedRun>, Error> {
        let read = || -> Result<_, Fault> {
            // All statements see the commit that the first one saw.
            let tx = self.connection.unchecked_transaction()?;
            let db = Db { connection: &tx, keys: &self.keys };
            let found = runs::one(db, scope, run, Payloads::Leave)?;
            let Some(row) = found.filter(|row| row.status.is_ended()) else { return Ok(None) };
            Ok(Some(EndedRun {
                steps: steps::of_run(db, scope, run, Payloads::Leave)?,
                signals: signals::of_run(&tx, scope, run)?,
                context: resources::context(&tx, scope, row.context)?,
                plan: match row.replans {
                    0 => None,
                    _ => replans::of_run(db, scope, run)?.pop().map(|newest| newest.plan),
                },
                run: row,
            }))
        };
        self.named("read a run to retry", read())
    }

    fn replans(&mut self, scope: &TenantScope, run: RunId) -> Result<Vec<ReplanRow>, Error> {
        self.named("read the replans of a run", replans::of_run(self.db(), scope, run))
    }

    fn child(
        &mut self,
        scope: &TenantScope,
        run: RunId,
        instance: Instance,
    ) -> Result<Option<RunRow>, Error> {
        self.named("read a child run", runs::child(self.db(), scope, run, instance))
    }

    fn runs(
        &mut self,
        scope: &TenantScope,
        query: &RunQuery,
    ) -> Result<Page<RunRow, RunId>, Error> {
        self.named("list runs", runs::page(self.db(), scope, query))
    }

    fn input(&mut self, scope: &TenantScope, run: RunId) -> Result<Option<Payload>, Error> {
        self.named("read an input", runs::input(self.db(), scope, run))
    }

    fn output(
        &mut self,
        scope: &TenantScope,
        run: RunId,
        instance: Instance,
    ) -> Result<Option<Payload>, Error> {
        self.named("read an output", steps::output(self.db(), scope, run, instance))
    }

    fn outputs(
        &mut self,
        scope: &TenantScope,
        run: RunId,
        step: StepIndex,
    ) -> Result<Vec<(u32, Payload)>, Error> {
        self.named("read outputs", steps::outputs(self.db(), scope, run, step))
    }

    fn idempotency(
        &mut self,
        scope: &TenantScope,
        key: &str,
    ) -> Result<Option<IdempotencyRow>, Error> {
        self.named("read an idempotency key", idempotency::one(&self.connection, scope, key))
    }

    fn idempotency_keys(
        &mut self,
        scope: &TenantScope,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Page<Arc<str>, Arc<str>>, Error> {
        let page = idempotency::keys(&self.connection, scope, after, limit);
        self.named("list idempotency keys", page)
    }

    fn decisions(
        &mut self,
        scope: &TenantScope,
        query: DecisionQuery,
    ) -> Result<Page<DecisionRow, u64>, Error> {
        self.at_once("list decisions", |db| audit::page(db, Some(scope), query))
    }

    fn erasure(&mut self, scope: &TenantScope, id: ErasureId) -> Result<Option<ErasureRow>, Error> {
        self.named("read an erasure", erasures::one(&self.connection, scope, id))
    }

    fn erasures(
        &mut self,
        scope: &TenantScope,
        query: ErasureQuery,
    ) -> Result<Page<ErasureRow, ErasureId>, Error> {
        self.named("list erasures", erasures::page(&self.connection, scope, query))
    }

    fn platform_decisions(
        &mut self,
        query: DecisionQuery,
    ) -> Result<Page<DecisionRow, u64>, Error> {
        self.at_once("list decisions", |db| audit::page(db, None, query))
    }

    fn audit(
        &mut self,
        scope: Option<&TenantScope>,
        after: u64,
        limit: u32,
    ) -> Result<Option<AuditPage>, Error> {
        self.at_once("read an audit log", |db| {
            audit::after(db, (scope, &self.log), after, limit).map(Some)
        })
    }

    fn audit_proof(
        &mut self,
        scope: Option<&TenantScope>,
        sequence: u64,
    ) -> Result<Option<Proof>, Error> {
        self.at_once("prove a record", |db| audit::proof(db, scope, sequence))
    }

    fn checkpoints(&mut self, after: u64, limit: u32) -> Result<Vec<(u64, Signed)>, Error> {
        self.named("list checkpoints", audit::made_after(&self.connection, after, limit))
    }

    fn calls(
        &mut self,
        scope: &TenantScope,
        query: CallQuery,
    ) -> Result<Page<CallRow, u64>, Error> {
        self.named("list calls", calls::page(&self.connection, scope, query))
    }

    fn review(
        &mut self,
        scope: &TenantScope,
        review: ReviewId,
    ) -> Result<Option<ReviewRow>, Error> {
        self.named("read a review", reviews::one(self.db(), scope, review))
    }

    fn tenant_of_review(&mut self, review: ReviewId) -> Result<Option<TenantId>, Error> {
        self.named("look for a review", reviews::tenant(&self.connection, review))
    }

    fn reviews(
        &mut self,
        scope: &TenantScope,
        query: ReviewQuery,
    ) -> Result<Page<ReviewRow, ReviewId>, Error> {
        self.named("list reviews", reviews::page(self.db(), scope, query))
    }

    fn review_events(
        &mut self,
        scope: &TenantScope,
        review: ReviewId,
    ) -> Result<Vec<ReviewEventRow>, Error> {
        self.named("read the record of a review", reviews::events(self.db(), scope, review))
    }

    fn usage(
        &mut self,
        scope: &TenantScope,
        from: Time,
        until: Time,
    ) -> Result<Vec<UsageRow>, Error> {
        self.named("sum up calls", calls::usage(&self.connection, scope, from, until))
    }

    fn accounts(
        &mut self,
        scope: &TenantScope,
        every: Calendar,
        from: Time,
    ) -> Result<Vec<AccountRow>, Error> {
        self.named("read accounts", accounts::of_tenant(&self.connection, scope, every, from))
    }

    fn workflow(
        &mut self,
        name: &WorkflowName,
        version: Option<u32>,
    ) -> Result<Option<Arc<Workflow>>, Error> {
        self.named("read a workflow", resources::workflow(&self.connection, name, version))
    }

    fn workflow_versions(
        &mut self,
        name: &WorkflowName,
        before: Option<u32>,
        limit: u32,
    ) -> Result<Page<u32, u32>, Error> {
        let page = resources::workflow_versions(&self.connection, name, before, limit);
        self.named("list versions of a workflow", page)
    }

    fn tenants(
        &mut self,
        after: Option<&TenantId>,
        limit: u32,
    ) -> Result<Page<Tenant, TenantId>, Error> {
        self.named("list tenants", resources::tenant_page(&self.connection, after, limit))
    }
}
