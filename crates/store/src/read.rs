//! Pages and rows for the API, each as of one point in time.
//!
//! INVARIANT: what belongs to a tenant is read under its scope only, and the scope's tenant is the first column of
//! the key that is looked up. There is no other path to such a row, so that a foreign id and a missing id take the
//! same way and give the same answer.

use std::fmt;
use std::sync::Arc;

use fairlane_audit::{Hash, Proof, Signed};
use fairlane_core::calendar::Calendar;
use fairlane_core::cell::change::EndedRun;
use fairlane_core::erasure::ErasureRow;
use fairlane_core::id::{
    ErasureId, ModelName, RegionName, ReviewId, RunId, TenantId, ToolName, WorkflowName,
};
use fairlane_core::money::Nano;
use fairlane_core::plan::{StepIndex, Workflow};
use fairlane_core::replan::ReplanRow;
use fairlane_core::row::{
    AccountRow, CallRow, Decision, IdempotencyRow, Instance, Lane, Payload, ReviewEventRow,
    ReviewRow, RunRow, RunStatus, StepRow,
};
use fairlane_core::tenant::{Tenant, TenantScope};
use fairlane_core::time::Time;

use crate::error::Error;

/// Most rows in one page, whatever was asked for.
pub const PAGE_MAX: u32 = 1_000;
/// Most rows that one page looks at to find those that match: about 20 milliseconds.
pub const SCAN_MAX: u32 = 20_000;

/// Reads committed rows. Cheap to make and to pool; used by one thread at a time.
pub trait Read: Send + fmt::Debug {
    /// One run.
    fn run(
        &mut self,
        scope: &TenantScope,
        run: RunId,
        payloads: Payloads,
    ) -> Result<Option<RunRow>, Error>;

    /// The steps of a run that have a row, in order of their instance. A run that is not there has none.
    fn steps(
        &mut self,
        scope: &TenantScope,
        run: RunId,
        payloads: Payloads,
    ) -> Result<Vec<StepRow>, Error>;

    /// A run and its steps as of the same commit.
    fn run_and_steps(
        &mut self,
        scope: &TenantScope,
        run: RunId,
        payloads: Payloads,
    ) -> Result<Option<(RunRow, Vec<StepRow>)>, Error>;

    /// All that it takes to retry a run, as of the same commit; `None` if it has not ended.
    fn ended_run(&mut self, scope: &TenantScope, run: RunId) -> Result<Option<EndedRun>, Error>;

    /// How its plan was looked at again, oldest first: the newest has its plan. A run that is not there has none.
    fn replans(&mut self, scope: &TenantScope, run: RunId) -> Result<Vec<ReplanRow>, Error>;

    /// The newest run that a step instance has called, input left out. The output of a call that is done is the output
    /// of this run.
    fn child(
        &mut self,
        scope: &TenantScope,
        run: RunId,
        instance: Instance,
    ) -> Result<Option<RunRow>, Error>;

    /// The tenant's runs, newest id first, inputs left out. A page that had to look at [`SCAN_MAX`] rows ends
    /// early: it may be short, or empty, with a cursor to go on from.
    fn runs(&mut self, scope: &TenantScope, query: &RunQuery)
    -> Result<Page<RunRow, RunId>, Error>;

    fn input(&mut self, scope: &TenantScope, run: RunId) -> Result<Option<Payload>, Error>;

    fn output(
        &mut self,
        scope: &TenantScope,
        run: RunId,
        instance: Instance,
    ) -> Result<Option<Payload>, Error>;

    /// Outputs of the items of a mapped step, by position. An item that has none is left out.
    fn outputs(
        &mut self,
        scope: &TenantScope,
        run: RunId,
        step: StepIndex,
    ) -> Result<Vec<(u32, Payload)>, Error>;

    /// What was submitted under the key, also if it is past its retention and not yet swept.
    fn idempotency(
        &mut self,
        scope: &TenantScope,
        key: &str,
    ) -> Result<Option<IdempotencyRow>, Error>;

    /// The tenant's idempotency keys after the given one, in their order.
    fn idempotency_keys(
        &mut self,
        scope: &TenantScope,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Page<Arc<str>, Arc<str>>, Error>;

    /// Decisions about the tenant, newest first.
    fn decisions(
        &mut self,
        scope: &TenantScope,
        query: DecisionQuery,
    ) -> Result<Page<DecisionRow, u64>, Error>;

    fn erasure(&mut self, scope: &TenantScope, id: ErasureId) -> Result<Option<ErasureRow>, Error>;

    /// A tenant's erasures, newest first.
    fn erasures(
        &mut self,
        scope: &TenantScope,
        query: ErasureQuery,
    ) -> Result<Page<ErasureRow, ErasureId>, Error>;

    /// Decisions about the platform itself, newest first. For the operator.
    fn platform_decisions(&mut self, query: DecisionQuery)
    -> Result<Page<DecisionRow, u64>, Error>;

    /// Records of a tenant's audit log, or of the platform's own, after that sequence, oldest first. `None`: the store keeps its
    /// rows in memory and chains nothing.
    fn audit(
        &mut self,
        scope: Option<&TenantScope>,
        after: u64,
        limit: u32,
    ) -> Result<Option<AuditPage>, Error>;

    /// That a record is in its log. `None`: there is no such record, or no checkpoint closes it yet. Takes time in the range
    /// that is closed with it.
    fn audit_proof(
        &mut self,
        scope: Option<&TenantScope>,
        sequence: u64,
    ) -> Result<Option<Proof>, Error>;

    /// Checkpoints of all logs, each with its place in the order in which they were made, after that place. For who carries
    /// them elsewhere.
    fn checkpoints(&mut self, after: u64, limit: u32) -> Result<Vec<(u64, Signed)>, Error>;

    /// The tenant's calls of models, newest first, those under way included.
    fn calls(&mut self, scope: &TenantScope, query: CallQuery)
    -> Result<Page<CallRow, u64>, Error>;

    /// One review, ended or not.
    fn review(&mut self, scope: &TenantScope, review: ReviewId)
    -> Result<Option<ReviewRow>, Error>;

    /// Whose review it is, ended or not. For the owner of the cell: a person is given reviews of many tenants, and their ids do
    /// not say of which.
    fn tenant_of_review(&mut self, review: ReviewId) -> Result<Option<TenantId>, Error>;

    /// The tenant's reviews, newest first.
    fn reviews(
        &mut self,
        scope: &TenantScope,
        query: ReviewQuery,
    ) -> Result<Page<ReviewRow, ReviewId>, Error>;

    /// The record of a review, oldest entry first. One that is not there has none.
    fn review_events(
        &mut self,
        scope: &TenantScope,
        review: ReviewId,
    ) -> Result<Vec<ReviewEventRow>, Error>;

    /// What the tenant's calls have used that began at `from` or later and before `until`, by model and who served it, in
    /// that order. Takes time in their number.
    fn usage(
        &mut self,
        scope: &TenantScope,
        from: Time,
        until: Time,
    ) -> Result<Vec<UsageRow>, Error>;

    /// The tenant's accounts of days or of months that begin at `from` or later, newest first. A period in which nothing
    /// was spent or topped up has none.
    fn accounts(
        &mut self,
        scope: &TenantScope,
        every: Calendar,
        from: Time,
    ) -> Result<Vec<AccountRow>, Error>;

    /// A version of a workflow; `None` for the newest. Workflows belong to the operator, not to a tenant.
    fn workflow(
        &mut self,
        name: &WorkflowName,
        version: Option<u32>,
    ) -> Result<Option<Arc<Workflow>>, Error>;

    /// Version numbers of a workflow below `before`, newest first.
    fn workflow_versions(
        &mut self,
        name: &WorkflowName,
        before: Option<u32>,
        limit: u32,
    ) -> Result<Page<u32, u32>, Error>;

    /// Declared tenants after the given one, by id. For the operator.
    fn tenants(
        &mut self,
        after: Option<&TenantId>,
        limit: u32,
    ) -> Result<Page<Tenant, TenantId>, Error>;
}

/// Whether rows come with their payloads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payloads {
    /// `input` and `output` are `None`, stored or not.
    Leave,
    Read,
}

/// Some rows, and where to go on: `None` if there are no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<Row, Cursor> {
    pub rows: Vec<Row>,
    pub next: Option<Cursor>,
}

impl<Row, Cursor> Default for Page<Row, Cursor> {
    fn default() -> Self {
        Self { rows: Vec::new(), next: None }
    }
}

/// Which runs to list.
#[derive(Clone, Debug, Default)]
pub struct RunQuery {
    /// Only runs with a smaller id: the last page's `next`. Any id will do, such as one made from a time.
    pub before: Option<RunId>,
    /// At most [`PAGE_MAX`].
    pub limit: u32,
    pub filter: RunFilter,
}

/// Conditions on a run; all must hold.
#[derive(Clone, Debug, Default)]
pub struct RunFilter {
    pub status: Option<RunStatus>,
    pub workflow: Option<WorkflowName>,
    pub lane: Option<Lane>,
    /// Created at this time or later.
    pub created_from: Option<Time>,
    /// Created before this time.
    pub created_until: Option<Time>,
}

/// A decision, with its place in its log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecisionRow {
    /// 1 for the first of the log, and one more for each.
    pub sequence: u64,
    pub decision: Decision,
}

/// A record of an audit log as it is hashed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRecord {
    pub sequence: u64,
    pub at: Time,
    pub code: Box<str>,
    /// `person:<id>` or `key:<id>`; empty: the platform itself.
    pub by: Box<str>,
    pub facts: Box<str>,
    pub hash: Hash,
}

/// A part of an audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditPage {
    /// What the log is called in what is signed.
    pub log: String,
    /// The checkpoint that ends before the first record, if one does.
    pub base: Option<Signed>,
    pub records: Vec<AuditRecord>,
    /// Those that close ranges up to the last record.
    pub checkpoints: Vec<Signed>,
    /// The newest of the log.
    pub newest: Option<Signed>,
    pub has_more: bool,
}

/// Which decisions to list.
#[derive(Clone, Copy, Debug, Default)]
pub struct DecisionQuery {
    /// Only decisions with a smaller sequence: the last page's `next`.
    pub before: Option<u64>,
    /// At most [`PAGE_MAX`].
    pub limit: u32,
}

/// Which calls to list.
#[derive(Clone, Copy, Debug, Default)]
pub struct CallQuery {
    /// Only calls with a smaller id: the last page's `next`.
    pub before: Option<u64>,
    /// At most [`PAGE_MAX`].
    pub limit: u32,
    /// Only calls that were made for steps of this run.
    pub run: Option<RunId>,
}

/// Which erasures to list.
#[derive(Clone, Copy, Debug, Default)]
pub struct ErasureQuery {
    /// Only erasures with a smaller id: the last page's `next`.
    pub before: Option<ErasureId>,
    /// At most [`PAGE_MAX`].
    pub limit: u32,
}

/// Which reviews to list.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReviewQuery {
    /// Only reviews with a smaller id: the last page's `next`.
    pub before: Option<ReviewId>,
    /// At most [`PAGE_MAX`].
    pub limit: u32,
}

/// What calls of a model have used that the same endpoint served in the same region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageRow {
    pub model: ModelName,
    pub endpoint: ToolName,
    pub upstream: Arc<str>,
    /// Where the endpoint worked, if that was known.
    pub region: Option<RegionName>,
    pub calls: u64,
    pub input: u64,
    pub cached: u64,
    pub output: u64,
    pub cost: Nano,
    /// Part of `cost` that no provider has confirmed.
    pub uncertain: Nano,
}

/// What a filter looks at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facets<'a> {
    pub(crate) status: RunStatus,
    pub(crate) workflow: &'a str,
    pub(crate) lane: Lane,
    pub(crate) created: Time,
}

impl RunFilter {
    pub(crate) fn matches(&self, run: Facets<'_>) -> bool {
        self.status.is_none_or(|status| status == run.status)
            && self.workflow.as_ref().is_none_or(|workflow| workflow.as_str() == run.workflow)
            && self.lane.is_none_or(|lane| lane == run.lane)
            && self.created_from.is_none_or(|from| run.created >= from)
            && self.created_until.is_none_or(|until| run.created < until)
    }
}

/// A limit as it is applied: at least one row, at most [`PAGE_MAX`].
pub(crate) fn page_limit(limit: u32) -> usize {
    limit.clamp(1, PAGE_MAX) as usize
}

/// How many rows to ask for: one beyond the page tells whether there is a next one.
pub(crate) fn one_more(limit: usize) -> i64 {
    i64::try_from(limit + 1).expect("a page is small")
}

impl<Row, Cursor> Page<Row, Cursor> {
    /// A page of at most `limit` rows, made of one row more if there are more.
    pub(crate) fn cut(mut rows: Vec<Row>, limit: usize, cursor: impl Fn(&Row) -> Cursor) -> Self {
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = if more { rows.last().map(cursor) } else { None };
        Self { rows, next }
    }
}
