//! Reads of the store beside the writer: a few readers, each used by one thread at a time, off the threads
//! that serve connections. Tenants take turns with them.

use std::collections::BTreeMap;
use std::sync::Arc;

use fairlane_api::Code;
use fairlane_audit::{Proof, Signed};
use fairlane_core::cell::change::EndedRun;
use fairlane_core::erasure::ErasureRow;
use fairlane_core::id::{ErasureId, RunId, TenantId, WorkflowName};
use fairlane_core::plan::Workflow;
use fairlane_core::replan::ReplanRow;
use fairlane_core::row::{CallRow, IdempotencyRow, Instance, RunRow, StepRow};
use fairlane_core::tenant::TenantScope;
use fairlane_core::time::{Span, Time};
use fairlane_store::{
    AuditPage, CallQuery, DecisionQuery, DecisionRow, ErasureQuery, Error, PAGE_MAX, Page,
    Payloads, Read, RunQuery, Store, UsageRow,
};

use crate::problem::Refused;
use crate::turns::{Of, Turns};

/// Readers of one server: more than the cores that could use them.
const READERS: usize = 4;
/// Pages of a run's calls that are looked at for the last one of each step.
const CALL_PAGES_MAX: usize = 4;

/// A run with its steps, and the last call of a model of each that has made one.
pub(crate) type RunAndSteps = (RunRow, Vec<StepRow>, BTreeMap<Instance, CallRow>);

/// The workflow of a run, and its version; and its plan, if that is another one.
pub(crate) type Planned = (WorkflowName, u32, Option<Arc<Workflow>>);

#[derive(Clone, Debug)]
pub(crate) struct Reads(Arc<Turns<Box<dyn Read>>>);

fn tenant(scope: &TenantScope) -> TenantId {
    scope.tenant().clone()
}

impl Reads {
    /// # Errors
    /// If the store cannot give its readers.
    pub(crate) fn new(store: &dyn Store) -> Result<Self, Error> {
        let readers = (0..READERS).map(|_| store.reader()).collect::<Result<_, _>>()?;
        Ok(Self(Turns::new(readers)))
    }

    /// Reads on this thread, which may wait: not for a thread that serves connections, and for few threads at once, since who
    /// has a reader by [`Self::turn`] needs one too.
    pub(crate) fn here<T>(
        &self,
        of: &TenantScope,
        read: impl FnOnce(&mut dyn Read) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut lent = self.0.take(Some(tenant(of))).ready_here();
        read(&mut **lent.get())
    }

    /// Reads on a thread that may wait, when it is the tenant's turn.
    pub(crate) async fn of<T: Send + 'static>(
        &self,
        scope: &TenantScope,
        read: impl FnOnce(&mut dyn Read, &TenantScope) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Refused> {
        let own = scope.clone();
        self.turn(Some(tenant(scope)), move |reader| read(reader, &own)).await
    }

    /// The same for one tenant, or, without one, of many or of the platform.
    pub(crate) async fn turn<T: Send + 'static>(
        &self,
        of: Of,
        read: impl FnOnce(&mut dyn Read) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Refused> {
        let mut lent = self.0.take(of).ready().await;
        match tokio::task::spawn_blocking(move || read(&mut **lent.get())).await {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(error)) => Err(unavailable(&error)),
            Err(error) => Err(Refused::internal(&error)),
        }
    }

    pub(crate) async fn run(
        &self,
        scope: &TenantScope,
        run: RunId,
    ) -> Result<Option<RunRow>, Refused> {
        self.of(scope, move |reader, scope| reader.run(scope, run, Payloads::Leave)).await
    }

    pub(crate) async fn run_and_steps(
        &self,
        scope: &TenantScope,
        run: RunId,
    ) -> Result<Option<RunAndSteps>, Refused> {
        self.of(scope, move |reader, scope| {
            let Some((row, steps)) = reader.run_and_steps(scope, run, Payloads::Leave)? else {
                return Ok(None);
            };
            let calls = last_calls(reader, scope, run)?;
            Ok(Some((row, steps, calls)))
        })
        .await
    }

    /// A tenant's calls of models, with the plans of the runs that they were made for.
    pub(crate) async fn calls(
        &self,
        scope: &TenantScope,
        query: CallQuery,
    ) -> Result<(Page<CallRow, u64>, BTreeMap<RunId, Planned>), Refused> {
        self.of(scope, move |reader, scope| {
            let page = reader.calls(scope, query)?;
            let mut plans = BTreeMap::new();
            for attempt in page.rows.iter().filter_map(|call| call.attempt) {
                if plans.contains_key(&attempt.run) {
                    continue;
                }
                if let Some(row) = reader.run(scope, attempt.run, Payloads::Leave)? {
                    let plan = revised(reader, scope, &row)?;
                    plans.insert(attempt.run, (row.workflow, row.version, plan));
                }
            }
            Ok((page, plans))
        })
        .await
    }

    pub(crate) async fn usage(
        &self,
        scope: &TenantScope,
        from: Time,
        until: Time,
    ) -> Result<Vec<UsageRow>, Refused> {
        self.of(scope, move |reader, scope| reader.usage(scope, from, until)).await
    }

    pub(crate) async fn ended_run(
        &self,
        scope: &TenantScope,
        run: RunId,
    ) -> Result<Option<EndedRun>, Refused> {
        self.of(scope, move |reader, scope| reader.ended_run(scope, run)).await
    }

    /// How the plan of a run was looked at again, oldest first.
    pub(crate) async fn replans(
        &self,
        scope: &TenantScope,
        run: RunId,
    ) -> Result<Vec<ReplanRow>, Refused> {
        self.of(scope, move |reader, scope| reader.replans(scope, run)).await
    }

    pub(crate) async fn runs(
        &self,
        scope: &TenantScope,
        query: RunQuery,
    ) -> Result<Page<RunRow, RunId>, Refused> {
        self.of(scope, move |reader, scope| reader.runs(scope, &query)).await
    }

    /// What the store knows of each key, in their order.
    pub(crate) async fn idempotency(
        &self,
        scope: &TenantScope,
        keys: Vec<Option<Arc<str>>>,
    ) -> Result<Vec<Option<IdempotencyRow>>, Refused> {
        self.of(scope, move |reader, scope| {
            keys.iter()
                .map(|key| match key {
                    Some(key) => reader.idempotency(scope, key),
                    None => Ok(None),
                })
                .collect()
        })
        .await
    }

    /// Decisions about one tenant, or about the platform.
    pub(crate) async fn erasure(
        &self,
        scope: &TenantScope,
        id: ErasureId,
    ) -> Result<Option<ErasureRow>, Refused> {
        self.of(scope, move |reader, scope| reader.erasure(scope, id)).await
    }

    pub(crate) async fn erasures(
        &self,
        scope: &TenantScope,
        query: ErasureQuery,
    ) -> Result<Page<ErasureRow, ErasureId>, Refused> {
        self.of(scope, move |reader, scope| reader.erasures(scope, query)).await
    }

    pub(crate) async fn decisions(
        &self,
        scope: Option<TenantScope>,
        query: DecisionQuery,
    ) -> Result<Page<DecisionRow, u64>, Refused> {
        let of = scope.as_ref().map(tenant);
        self.turn(of, move |reader| match scope {
            Some(scope) => reader.decisions(&scope, query),
            None => reader.platform_decisions(query),
        })
        .await
    }

    /// Records of a tenant's audit log, or of the platform's own. `None`: they are not chained.
    pub(crate) async fn audit(
        &self,
        scope: Option<TenantScope>,
        after: u64,
        limit: u32,
    ) -> Result<Option<AuditPage>, Refused> {
        let of = scope.as_ref().map(tenant);
        self.turn(of, move |reader| reader.audit(scope.as_ref(), after, limit)).await
    }

    pub(crate) async fn audit_proof(
        &self,
        scope: Option<TenantScope>,
        sequence: u64,
    ) -> Result<Option<Proof>, Refused> {
        let of = scope.as_ref().map(tenant);
        self.turn(of, move |reader| reader.audit_proof(scope.as_ref(), sequence)).await
    }

    /// Checkpoints of all logs, after a place in their order.
    pub(crate) async fn checkpoints(
        &self,
        after: u64,
        limit: u32,
    ) -> Result<Vec<(u64, Signed)>, Refused> {
        self.turn(None, move |reader| reader.checkpoints(after, limit)).await
    }
}

/// The last call of a model of each instance of a run that has made one.
pub(crate) fn last_calls(
    reader: &mut dyn Read,
    scope: &TenantScope,
    run: RunId,
) -> Result<BTreeMap<Instance, CallRow>, Error> {
    let mut last = BTreeMap::new();
    let mut query = CallQuery { run: Some(run), limit: PAGE_MAX, before: None };
    for _ in 0..CALL_PAGES_MAX {
        let page = reader.calls(scope, query)?;
        for call in page.rows {
            if let Some(attempt) = call.attempt {
                last.entry(attempt.instance).or_insert(call);
            }
        }
        match page.next {
            Some(next) => query.before = Some(next),
            None => break,
        }
    }
    Ok(last)
}

/// The plan of a run that was revised: that of its newest replan.
pub(crate) fn revised(
    reader: &mut dyn Read,
    scope: &TenantScope,
    row: &RunRow,
) -> Result<Option<Arc<Workflow>>, Error> {
    if row.replans == 0 {
        return Ok(None);
    }
    Ok(reader.replans(scope, row.key.run)?.pop().map(|newest| newest.plan))
}

fn unavailable(error: &Error) -> Refused {
    tracing::error!(event = "read-failed", %error, "a read of the store failed");
    Refused::new(Code::StoreUnavailable).retry_after(Span::from_secs(1))
}
