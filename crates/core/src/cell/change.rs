//! What a turn writes: new values of rows, in order; the last write of a row wins.

use std::sync::Arc;

use crate::auth::AllTenants;
use crate::catalog::{Model, Price};
use crate::erasure::ErasureRow;
use crate::id::{ChannelName, KeyId, NoticeId, PolicyName, RegionName, ReviewId, TenantId};
use crate::notice::{ChannelRow, Means, NoticeRow};
use crate::plan::{StepIndex, Workflow};
use crate::policy::Policy;
use crate::pool::{Pool, Valve};
use crate::quota::{BudgetClass, Share, Tool};
use crate::replan::ReplanRow;
use crate::residency::Declaration;
use crate::review::ReviewerPool;
use crate::row::{
    AccountRow, CallRow, Decision, IdempotencyRow, Instance, KeyRow, ReviewEventRow, ReviewRow,
    RunKey, RunRow, ScheduleRow, SignalRow, StepRow, UseRow,
};
use crate::tenant::{Context, Org, Tenant, Tier};
use crate::time::Time;
use crate::trace::Sampling;

/// One change of one row. All changes of a turn are committed in one transaction, under the cell's epoch.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    Org(Org),
    Tier(Tier),
    /// The declaration and the context version that it gives.
    Tenant(Tenant, Arc<Context>),
    Pool(Pool),
    Valve(Valve),
    Workflow(Arc<Workflow>),
    Tool(Tool),
    Class(BudgetClass),
    Model(Model),
    Price(Price),
    Policy(Policy),
    DropPolicy(PolicyName),
    Residency(Declaration),
    /// How much of a tool's rule is used.
    Use(UseRow),
    Account(AccountRow),
    /// A call of a model has begun, or is over.
    Call(Box<CallRow>),
    ReviewerPool(ReviewerPool),
    Key(KeyRow),
    DropKey(KeyId),
    /// The store, which has the keys, makes a tenant a new one, or wraps those of all tenants with the newest root key.
    RenewSeal(Option<TenantId>),

    Run(Box<RunRow>),
    Step(Box<StepRow>),
    /// Forget every instance of the step: the run is retried from it.
    DropStep(RunKey, StepIndex),
    /// A replan of a run has begun, or is over.
    Replan(Box<ReplanRow>),
    Idempotency(IdempotencyRow),
    Signal(SignalRow),
    /// The instance consumes a signal of its run's inbox: the signal's payload becomes the instance's output, and the
    /// signal's row goes. Follows the instance's `Step` change.
    TakeSignal {
        key: RunKey,
        sequence: u64,
        instance: Instance,
    },
    Schedule(ScheduleRow),
    DropSchedule(TenantId, crate::id::WorkflowName, crate::id::StepName),
    Review(Box<ReviewRow>),
    ReviewEvent(Box<ReviewEventRow>),
    /// A review that has ended is done again, with its step.
    SupersedeReview(TenantId, ReviewId),
    Channel(Box<ChannelRow>),
    /// Its notices go by changes of their own.
    DropChannel(TenantId, ChannelName),
    /// Something is to be told, or an attempt to tell it has missed.
    Notice(Box<NoticeRow>),
    /// It is told, or not wanted any more.
    DropNotice(TenantId, NoticeId),
    /// Something is to be erased, or is.
    Erasure(ErasureRow),
    Decision(Decision),
    /// The store closes a tenant's audit log, or the platform's own, with a checkpoint.
    CloseLog {
        tenant: Option<TenantId>,
        at: Time,
    },
}

/// Everything durable that a cell needs in memory: what `load` reads, without payloads of waiting runs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    pub orgs: Vec<Org>,
    pub tiers: Vec<Tier>,
    /// Declarations; contexts of all versions that live runs are pinned to, and the newest.
    pub tenants: Vec<Tenant>,
    pub contexts: Vec<Arc<Context>>,
    pub pools: Vec<Pool>,
    pub valve: Option<Valve>,
    pub workflows: Vec<Arc<Workflow>>,
    pub tools: Vec<Tool>,
    pub classes: Vec<BudgetClass>,
    pub models: Vec<Model>,
    pub prices: Vec<Price>,
    pub policies: Vec<Policy>,
    /// What the operator declared of places.
    pub residency: Vec<Declaration>,
    /// Where the cell keeps its rows. The surroundings say it, no row does; `None`: nobody knows.
    pub region: Option<RegionName>,
    /// The cell's part of the limits of providers, which the surroundings say too.
    pub share: Share,
    /// How the server can tell anybody anything, which they say too.
    pub means: Means,
    /// Which runs are followed, which they say too. `None`: nobody wants to know of any.
    pub sampling: Option<Sampling>,
    pub uses: Vec<UseRow>,
    /// Of periods of the last 62 days.
    pub accounts: Vec<AccountRow>,
    /// Calls that are under way, by tenant and id.
    pub calls: Vec<CallRow>,
    pub reviewer_pools: Vec<ReviewerPool>,
    pub keys: Vec<KeyRow>,
    pub schedules: Vec<ScheduleRow>,
    /// Runs that have not ended, oldest first (by `created`, then id), `input` left out.
    pub runs: Vec<RunRow>,
    /// Step rows of those runs, `output` left out, in order of key and instance.
    pub steps: Vec<StepRow>,
    /// Signals in their inboxes, payload left empty, in order of key and sequence.
    pub signals: Vec<SignalRow>,
    /// Reviews that have not ended, by tenant and id.
    pub reviews: Vec<ReviewRow>,
    /// The newest replan of each of those runs that has one.
    pub replans: Vec<ReplanRow>,
    /// By tenant and name.
    pub channels: Vec<ChannelRow>,
    /// By tenant and id.
    pub notices: Vec<NoticeRow>,
    /// Those that are not done, oldest first.
    pub erasures: Vec<ErasureRow>,
}

impl Snapshot {
    /// The right to the rows of all tenants: whoever has loaded the rows of a cell owns it, and does what they ask for.
    pub fn all_tenants(&self) -> AllTenants {
        AllTenants::of_owner()
    }
}

/// An ended run as it is stored, as of one commit and without payloads: what it takes to retry it.
#[derive(Clone, Debug, PartialEq)]
pub struct EndedRun {
    pub run: RunRow,
    pub steps: Vec<StepRow>,
    /// Signals that no step has taken, in order of their sequence.
    pub signals: Vec<SignalRow>,
    /// The version of its tenant's context that the run is pinned to.
    pub context: Option<Arc<Context>>,
    /// Its plan, if that is another one than its workflow declares.
    pub plan: Option<Arc<Workflow>>,
}
