//! Everything that can wake the cell.

use std::sync::Arc;

use crate::calendar::Calendar;
use crate::catalog::{Metered, Model, Price};
use crate::erasure::{Erased, Subject};
use crate::id::{
    ChannelName, ErasureId, KeyId, ModelName, NoticeId, OutcomeName, PersonId, PolicyName,
    PoolName, ReviewId, ReviewerPoolName, RunId, SignalName, StepName, TenantId, ToolName,
    WorkerName, WorkflowName,
};
use crate::limiter::Answer;
use crate::money::Nano;
use crate::notice::{Channel, Secret};
use crate::plan::Workflow;
use crate::policy::Source;
use crate::pool::{Pool, Valve};
use crate::quota::{BudgetClass, Tool};
use crate::replan::{Confidence, Revision};
use crate::residency::Declaration;
use crate::review::{Digest, ReviewerPool};
use crate::router::Demand;
use crate::row::{Actor, Failure, Instance, KeyRow, Lane, LeaseId, Owner, Payload, RunKey};
use crate::tenant::{Org, Tenant, Tier};
use crate::time::{Span, Time};
use crate::trace::Incoming;

use super::change::EndedRun;

/// Names the waiting requester of a reply; chosen by the surroundings, opaque to the cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplyId(pub u64);

/// One input. Closed: this file is the list of what the engine reacts to. Of what people do it says who, for the record; `None`:
/// the surroundings themselves.
#[derive(Clone, Debug)]
pub enum Input {
    /// Nothing but the time, which comes with every input.
    Tick,
    Configure(ReplyId, Option<Actor>, Configure),
    Submit(Box<Submit>),
    Command(ReplyId, Option<Actor>, RunKey, Command),
    /// What people do to reviews.
    Review(ReplyId, ReviewCommand),
    /// What tenants do to their channels and notices.
    Notice(ReplyId, Option<Actor>, NoticeCommand),
    /// How an attempt to deliver a notice went.
    Delivered(Delivered),
    /// A tenant, or the operator for it, wants this to be erased.
    Erase(ReplyId, Option<Actor>, Erase),
    /// Whoever has the rows has deleted some.
    Erased(ErasureDone),
    /// Retry an ended run from a step. The surroundings read its rows, since the cell keeps live runs only.
    Retry(Box<Retry>),
    Exchange(Exchange),
    /// A long poll that is not answered yet ends: answer it now, with what there is.
    Hurry(AskId),
    /// Grants that never reached their worker (the connection was gone): give the slots back, count no attempt.
    Undelivered(Vec<LeaseId>),
    /// A call of a model that wants to be made now.
    OpenCall(ReplyId, Box<OpenCall>),
    /// Whoever wanted that call has gone: it need not wait any more.
    GiveUpCall(ReplyId),
    /// One that was let through is over.
    CloseCall(CloseCall),
    Evaluated(Evaluated),
    Scheduled(Scheduled),
    Query(ReplyId, Query),
    /// How the last commit went: the valve shrinks dispatch while the store suffers.
    CommitTook(Span),
}

/// Names one exchange of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AskId(pub u64);

/// A declaration by the operator. `PUT` semantics: the same one twice changes nothing.
#[derive(Clone, Debug)]
pub enum Configure {
    Org(Org),
    Tier(Tier),
    Tenant(Tenant),
    Pool(Pool),
    Valve(Valve),
    Workflow(Arc<Workflow>),
    Tool(Tool),
    Class(BudgetClass),
    Model(Model),
    Price(Price),
    Residency(Declaration),
    Policy(Source),
    DropPolicy(PolicyName),
    Account(SetAccount),
    ReviewerPool(ReviewerPool),
    Key(KeyRow),
    DropKey(KeyId),
    /// What a tenant's rows are sealed with is wrapped anew: with a new key of the tenant's own, or if none is named, that of
    /// every tenant with the newest root key.
    RenewSeal(Option<TenantId>),
    /// A tenant's audit log, or the platform's own, is closed with a checkpoint now. Changes nothing that is declared.
    CloseLog(Option<TenantId>),
}

/// Changes an account in the period that is under way: what it has on top of its budget, and what of its debt is let off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAccount {
    pub owner: Owner,
    /// A day or a month.
    pub every: Calendar,
    pub topped_up: Nano,
    pub forgiven: Nano,
}

#[derive(Clone, Debug)]
pub struct Submit {
    pub reply: ReplyId,
    pub key: RunKey,
    pub workflow: WorkflowName,
    /// `None`: the newest version at that moment.
    pub version: Option<u32>,
    pub lane: Lane,
    /// The person who submits it, if the key is one person's.
    pub requester: Option<PersonId>,
    /// For the record.
    pub by: Option<Actor>,
    /// Whom or what it is about, if the workflow names that.
    pub subject: Option<Subject>,
    /// The trace in which it is submitted.
    pub trace: Option<Incoming>,
    pub input: Payload,
    pub idempotency: Option<Idempotency>,
}

#[derive(Clone, Debug)]
pub struct Idempotency {
    pub key: Arc<str>,
    /// SHA-256 of what is asked for.
    pub digest: [u8; 32],
    /// What the store knows of the key, read before this input was sent.
    pub prior: Option<(RunId, [u8; 32])>,
}

/// What a tenant can do to a live run.
#[derive(Clone, Debug)]
pub enum Command {
    Cancel,
    Pause,
    Resume,
    Signal {
        name: SignalName,
        payload: Payload,
        idempotency: Option<Idempotency>,
    },
    /// Sets what the run may spend in all.
    Budget {
        limit: Nano,
    },
    /// A person gives the output of the step that the run is halted for.
    Resolve(Box<ByHand>),
    /// The run is halted: from now on cheaper candidates of models may stand in, whatever the ladder of the tenant's
    /// class says.
    AllowCheaper,
}

/// What a person gives in place of a step.
#[derive(Clone, Debug)]
pub struct ByHand {
    pub step: StepName,
    pub output: Payload,
}

/// What is to be erased. Who may want it was checked.
#[derive(Clone, Debug)]
pub struct Erase {
    pub tenant: TenantId,
    /// Chosen by the surroundings.
    pub id: ErasureId,
    pub of: Erased,
}

#[derive(Clone, Debug, Default)]
pub struct ErasureDone {
    pub runs: Vec<RunKey>,
    /// What was kept for long enough and is gone: of whom, what, and of how many runs, or of how many records.
    pub expired: Vec<(TenantId, &'static str, u64)>,
    /// Of which nothing is left, with how many runs each of them was.
    pub finished: Vec<(TenantId, ErasureId, u64)>,
}

/// What people do to reviews. Who may speak for that person, and with which rights, was checked.
#[derive(Clone, Debug)]
pub enum ReviewCommand {
    /// Give the person the review whose turn it is.
    Next {
        person: PersonId,
        pool: Option<ReviewerPoolName>,
    },
    /// Give the person this one, or leave it with the person for longer.
    Claim {
        review: ReviewId,
        person: PersonId,
    },
    Release {
        review: ReviewId,
        person: PersonId,
        fence: u64,
    },
    Reassign {
        review: ReviewId,
        to: PersonId,
        by: Handler,
    },
    /// Take the next rung of its ladder now.
    Escalate {
        review: ReviewId,
        by: Handler,
    },
    Comment {
        review: ReviewId,
        by: Handler,
        text: Arc<str>,
    },
    /// Each is done or refused by itself.
    Decide(Vec<Decide>),
    BreakGlass(Box<BreakGlass>),
}

/// What tenants do to their channels and notices. Who may do it was checked.
#[derive(Clone, Debug)]
pub enum NoticeCommand {
    Declare {
        channel: Channel,
        /// Random bytes, for a channel that needs a secret and has none.
        secret: Secret,
        is_dry_run: bool,
    },
    Drop {
        tenant: TenantId,
        channel: ChannelName,
    },
    /// Give it another secret.
    Rotate {
        tenant: TenantId,
        channel: ChannelName,
        secret: Secret,
    },
    /// Send something that is of no other use.
    Test {
        tenant: TenantId,
        channel: ChannelName,
    },
    /// Deliver a notice that was given up, or one that waits at once.
    Redeliver {
        tenant: TenantId,
        notice: NoticeId,
    },
}

/// The answer to an effect `Deliver`.
#[derive(Clone, Debug)]
pub struct Delivered {
    pub tenant: TenantId,
    pub notice: NoticeId,
    /// The number that the effect carried; another one is ignored.
    pub fence: u64,
    pub verdict: Verdict,
}

/// How an attempt to deliver a notice ended. `class` is a stable code, `status` that of HTTP or SMTP.
#[derive(Clone, Debug)]
pub enum Verdict {
    Accepted,
    /// Another attempt may do better. `rest`: the receiver asks to be left alone for so long.
    Missed {
        class: Arc<str>,
        status: Option<u16>,
        rest: Option<Span>,
    },
    /// No attempt will do better.
    Refused {
        class: Arc<str>,
        status: Option<u16>,
    },
    /// Nobody wants anything there any more.
    Gone {
        class: Arc<str>,
        status: Option<u16>,
    },
}

/// Who does something to a review.
#[derive(Clone, Debug)]
pub enum Handler {
    /// A person who may decide it. With a fence: who has it.
    Person { person: PersonId, fence: Option<u64> },
    /// Whoever may do what they like with the tenant's reviews, or, without a tenant, with all.
    Owner { by: Actor, tenant: Option<TenantId> },
}

/// One decision.
#[derive(Clone, Debug)]
pub struct Decide {
    pub review: ReviewId,
    pub person: PersonId,
    pub fence: u64,
    /// Of what it is made on, as it was shown.
    pub digest: Digest,
    pub outcome: OutcomeName,
    /// The form, as JSON text.
    pub data: Arc<str>,
    /// Of the review's subject, with the outcome and the data.
    pub result: Digest,
}

/// A decision of an operator, without a claim and without the others that it takes.
#[derive(Clone, Debug)]
pub struct BreakGlass {
    pub decide: Decide,
    pub by: Actor,
    pub reason: Arc<str>,
}

#[derive(Clone, Debug)]
pub struct Retry {
    pub reply: ReplyId,
    /// For the record.
    pub by: Option<Actor>,
    pub key: RunKey,
    /// `None`: from the steps that failed.
    pub from: Option<StepName>,
    /// The rows of the run if the store has it as ended.
    pub rows: Option<EndedRun>,
}

/// A worker reports and asks, in one message.
#[derive(Clone, Debug)]
pub struct Exchange {
    pub ask: AskId,
    pub worker: WorkerName,
    pub pool: PoolName,
    /// Whose steps it may be given. `None`: everyone's.
    pub tenants: Option<Vec<TenantId>>,
    /// Leases that the worker can hold at once.
    pub slots: u32,
    /// Leases that it wants now.
    pub want: u32,
    pub reports: Vec<Report>,
    /// Keep the ask open if there is nothing to lease; `Hurry` ends it. A newer exchange of the same worker
    /// answers an older open one.
    pub hold: bool,
}

#[derive(Clone, Debug)]
pub struct Report {
    pub lease: LeaseId,
    pub outcome: Outcome,
}

/// A call of a model through the gateway.
#[derive(Clone, Debug)]
pub struct OpenCall {
    pub tenant: TenantId,
    /// Whose key it is made with; `None` under a lease.
    pub by: Option<Actor>,
    /// The lease that it is made under; `None`: it is the tenant's own.
    pub lease: Option<LeaseId>,
    pub model: ModelName,
    pub demand: Demand,
    /// Endpoints that have just failed this call, which are left out.
    pub avoid: Vec<ToolName>,
    /// How long it waits for room at most; zero: it is refused at once.
    pub wait_max: Span,
}

/// What a call used that is over.
#[derive(Clone, Debug)]
pub struct CloseCall {
    pub tenant: TenantId,
    /// As `Opened` named it.
    pub call: u64,
    pub metered: Metered,
    pub answer: Answer,
}

/// How a call of a model ended, and what it used.
#[derive(Clone, Debug)]
pub struct Called {
    /// The output, or the failure and whether another attempt may succeed.
    pub result: Result<Payload, (Failure, bool)>,
    pub judged: Judged,
    pub metered: Metered,
    pub answer: Answer,
}

/// What the surroundings found of an output when they checked it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Judged {
    /// It has passed a check of its step.
    pub is_checked: bool,
    /// `None`: the step does not say, or need not be sure.
    pub confidence: Option<Confidence>,
}

#[derive(Clone, Debug)]
pub enum Outcome {
    /// The server has called a model.
    Called(Box<Called>),
    /// Still at work: renew the lease.
    Heartbeat,
    /// `cost`: what it really cost, if that is not what was held for it.
    Completed { output: Payload, judged: Judged, cost: Option<Nano> },
    Failed {
        failure: Failure,
        retryable: bool,
        cost: Option<Nano>,
        /// Nobody knows whether what was asked for was done: without a `cost` what was held is posted unconfirmed.
        is_uncertain: bool,
        /// The provider of the step's tool asked to be left alone for so long: by everybody, at most a day.
        retry_after: Option<Span>,
        /// The provider did not answer, or answered with an error of its own.
        is_provider_down: bool,
    },
    /// What these steps before it handed on cannot be true, the worker says. No attempt goes better with the same inputs.
    Contradicted { failure: Failure, steps: Vec<StepName>, cost: Option<Nano> },
    /// The step could not get its input: nothing was called, and no attempt will go better.
    NotSent(Failure),
}

impl Outcome {
    /// A failure that says nothing of a provider.
    pub const fn failed(failure: Failure, retryable: bool, cost: Option<Nano>) -> Self {
        Self::Failed {
            failure,
            retryable,
            cost,
            is_uncertain: false,
            retry_after: None,
            is_provider_down: false,
        }
    }
}

/// The answer to an effect `Evaluate`.
#[derive(Clone, Debug)]
pub struct Evaluated {
    pub key: RunKey,
    pub instance: Instance,
    /// The number that the effect carried; an older one is ignored.
    pub round: u32,
    pub result: Result<Value, Failure>,
}

/// The answer to an effect `NextTime`.
#[derive(Clone, Debug)]
pub struct Scheduled {
    pub schedule: ScheduleKey,
    /// The number that the effect carried; an older one is ignored.
    pub round: u32,
    /// `None` if there is no further time.
    pub next: Option<Time>,
}

#[derive(Clone, Debug)]
pub enum Value {
    Condition(bool),
    /// Length of the list that a `map` runs over.
    Items(u32),
    Until(Time),
    /// Input for the child of a `call`.
    Input(Payload),
    /// Tokens of a prompt, as the server counts them.
    Tokens(u32),
    /// SHA-256 of what a review is on: the step's `with`, as JSON text.
    Digest(Digest),
    /// What a planner has answered. An answer that is no plan is a failure.
    Revision(Box<Revision>),
}

/// Rows that one question about reviews or notices is answered with at most: a page of the largest size, and one row more, which
/// shows that another page follows.
pub const QUERY_ROWS_MAX: u32 = 1_001;

/// Questions about the live state that decided.
#[derive(Clone, Debug)]
pub enum Query {
    /// Every step of a live run, with what it waits for.
    Explain(RunKey),
    /// One tenant's numbers.
    Tenant(TenantId),
    /// All active tenants' numbers, by id, at most `limit` after the given one.
    Tenants {
        after: Option<TenantId>,
        limit: u32,
    },
    /// Readings of the whole cell, with a diagnosis.
    Platform,
    Pools,
    Valve,
    /// The accounts of a tenant or an organisation, in the periods under way.
    Accounts(Owner),
    /// One account of each tenant, in the period under way, by id, at most `limit` after the given one.
    Budgets {
        after: Option<TenantId>,
        /// A day or a month.
        every: Calendar,
        limit: u32,
    },
    /// How much a tenant has used of its own quotas.
    Quotas(TenantId),
    /// How much all tenants together have used of a provider's limits.
    Provider(ToolName),
    /// A review that nobody has decided: for the person, or, without one, for whoever may see the tenant's.
    Review {
        review: ReviewId,
        person: Option<PersonId>,
    },
    /// Reviews that nobody has decided: those that a person can claim or has claimed, by due time; or a tenant's, or all, by id.
    Reviews {
        of: ReviewsOf,
        after: Option<(Time, ReviewId)>,
        limit: u32,
    },
    /// What live work rests on the adequacy of a country, and what is where it may not be any more.
    Residency,
    /// A tenant's channels.
    Channels(TenantId),
    /// A tenant's notices that are not delivered.
    Notices(NoticesOf),
    /// What a change of policies would do to the work that is there.
    PolicyEffect(Box<PolicyEdit>),
    /// Whether a tier, a region or a zone, declared so, would leave tenants' data where it may not be.
    StoresAfter(Box<Configure>),
}

/// Which notices to list.
#[derive(Clone, Debug)]
pub struct NoticesOf {
    pub tenant: TenantId,
    /// `None`: all.
    pub state: Option<NoticeStateIs>,
    pub channel: Option<ChannelName>,
    pub after: Option<NoticeId>,
    pub limit: u32,
}

/// Where a notice stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoticeStateIs {
    Pending,
    UnderWay,
    Failed,
}

/// A change of policies that is not made yet.
#[derive(Clone, Debug)]
pub enum PolicyEdit {
    Declare(Source),
    Remove(PolicyName),
}

/// Whose reviews to list.
#[derive(Clone, Debug)]
pub enum ReviewsOf {
    /// What the person can claim.
    Open(PersonId),
    /// What the person has claimed.
    Claimed(PersonId),
    Tenant(TenantId),
    All,
}

/// Names a schedule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ScheduleKey {
    pub tenant: TenantId,
    pub workflow: WorkflowName,
    pub name: StepName,
}
