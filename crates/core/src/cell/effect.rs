//! What a turn causes outside, once its changes are committed.

use std::sync::Arc;

use serde::Serialize;

use crate::cell::input::{AskId, Configure, ReplyId, ScheduleKey};
use crate::cell::residency_view::ResidencyView;
use crate::cell::view::{DiagnosisView, PlatformView, WindowView};
use crate::erasure::ErasureRow;
use crate::gate::{Account, Refusal};
use crate::id::{
    NoticeId, OrgId, PersonId, PoolName, ReviewId, RunId, SignalName, StepName, TaskName, TenantId,
    TierName, ToolName, WorkerName,
};
use crate::limiter::Circuit;
use crate::money::Nano;
use crate::notice::{Channel, NoticeRow, Receiver, Secret};
use crate::notices::Counts;
use crate::plan::{Expr, Workflow};
use crate::policy;
use crate::pool::Policy;
use crate::reading::Percentiles;
use crate::reject::Rejection;
use crate::replan::{Trigger, Trust};
use crate::review::{Digest, Proposal, Terms};
use crate::reviews::Standing;
use crate::row::{Failure, Halt, Instance, Lane, LeaseId, ReviewCause, Route, RunKey, RunStatus};
use crate::tenant::{Context, Sla, TenantScope};
use crate::time::{Span, Time};
use crate::trace::{Anchor, Trace};

/// One effect. Released in order, after the commit of its turn only.
#[derive(Clone, Debug)]
pub enum Effect {
    Reply(ReplyId, Response),
    /// Answer an exchange.
    Exchanged(AskId, Exchanged),
    /// Evaluate on committed payloads, and send the result back as `Input::Evaluated`.
    Evaluate(Box<Evaluation>),
    /// Find the next time of a schedule, and send it back as `Input::Scheduled`.
    NextTime(Box<NextTime>),
    /// A run changed in a way that clients can see.
    Progress(Progress),
    /// A declaration took effect: read caches outside follow.
    Declared(Declared),
    /// A part of the time of a run that is followed is over.
    Segment(Box<Segment>),
    /// Tell somebody, and send back how that went as `Input::Delivered`, always and soon.
    Deliver(Box<Delivery>),
}

/// One attempt to deliver a notice.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Names the attempt.
    pub fence: u64,
    pub to: Receiver,
    /// What it is signed with, the newest first.
    pub secrets: Vec<Secret>,
    pub row: NoticeRow,
}

/// What happened to an exchange: receipts in the order of the reports, and leases.
#[derive(Clone, Debug, Default)]
pub struct Exchanged {
    pub receipts: Vec<(LeaseId, Receipt)>,
    pub grants: Vec<Grant>,
    /// Leases of this worker that it should stop working on (run cancelled, attempt timed out). Each is told until the
    /// worker reports it in any way; the slot stays taken until then or until the lease runs out.
    pub revoked: Vec<LeaseId>,
    /// The exchange could not be served at all.
    pub rejection: Option<Rejection>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Receipt {
    /// The outcome is recorded, once.
    Recorded,
    /// The lease is renewed.
    Renewed,
    /// Stop: the lease is held but its work is not wanted any more.
    Revoked,
    /// Nothing was recorded.
    Stale(Stale),
    /// Nothing was recorded: the outcome names a step that the run has not, only these.
    UnknownStep { step: StepName, known: Vec<StepName> },
}

/// Why a report had no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stale {
    /// No such lease, or its run has ended and is forgotten.
    Unknown,
    /// The instance already ended; its outcome stands.
    Ended,
    /// The lease ran out and the instance was dispatched again, or waits to be.
    Superseded,
    /// Another worker holds it.
    NotHolder,
}

/// A slot given to a worker for one attempt. The surroundings assemble the input from `with`.
#[derive(Clone, Debug)]
pub struct Grant {
    pub lease: LeaseId,
    pub workflow: Arc<Workflow>,
    pub context: Arc<Context>,
    pub work: Work,
    /// 1 for the first.
    pub attempt: u32,
    /// Hard end of the attempt.
    pub deadline: Time,
    /// A heartbeat is due within this.
    pub renew_within: Span,
    /// The span of the attempt, if its run is followed.
    pub trace: Option<Anchor>,
}

/// What is to be done under a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work {
    Task(TaskName),
    /// The server calls a model, this way.
    Model(Box<Route>),
    /// The server calls the step's tool.
    Tool,
}

/// A pure evaluation on the payloads of a run.
#[derive(Clone, Debug)]
pub struct Evaluation {
    pub key: RunKey,
    pub instance: Instance,
    pub round: u32,
    pub workflow: Arc<Workflow>,
    pub context: Arc<Context>,
    pub what: Question,
}

#[derive(Clone, Debug)]
pub enum Question {
    When(Expr),
    /// The list that a `map` runs over.
    Over(Expr),
    Until(Expr),
    /// The `with` of a `call`, as the child's input.
    ChildInput,
    /// How many tokens the prompt of a model's call has.
    Prompt,
    /// The digest of the step's `with`, which people are to decide on.
    Subject,
    /// The step's output as a revision of the plan.
    Revision,
}

/// A question for the first time of a schedule after a moment.
#[derive(Clone, Debug)]
pub struct NextTime {
    pub schedule: ScheduleKey,
    pub round: u32,
    pub cron: Arc<str>,
    pub time_zone: Arc<str>,
    pub after: Time,
}

/// The newest state of a run.
#[derive(Clone, Debug)]
pub struct Progress {
    pub key: RunKey,
    pub revision: u64,
    pub status: RunStatus,
    pub created: Time,
    pub ended: Option<Time>,
    pub failure: Option<Failure>,
    /// The instance that changed, if it was one.
    pub step: Option<(Instance, StepName, Phase)>,
}

/// A part of a run's time that is over.
#[derive(Clone, Debug)]
pub struct Segment {
    pub key: RunKey,
    pub trace: Trace,
    pub workflow: Arc<Workflow>,
    pub from: Time,
    pub to: Time,
    pub what: What,
}

/// What a part of a run's time went to.
#[derive(Clone, Debug)]
pub enum What {
    /// The whole of it.
    Run {
        status: RunStatus,
        failure: Option<Arc<str>>,
        lane: Lane,
        schedule: Option<StepName>,
    },
    Try(Try),
    /// A wait of an instance: of that try, or of its run where there is none.
    Wait {
        instance: Instance,
        of: Option<u64>,
        on: WaitedOn,
    },
}

/// An attempt, from when the step began to want it; or all of what is no attempt.
#[derive(Clone, Debug)]
pub struct Try {
    pub instance: Instance,
    /// See [`SpanId::of_try`](crate::trace::SpanId::of_try).
    pub number: u64,
    /// 0: it was none.
    pub attempt: u32,
    /// What it came to.
    pub became: Phase,
    /// Class of the failure that it ended with.
    pub failure: Option<Arc<str>>,
    pub worker: Option<(WorkerName, PoolName)>,
}

/// What was waited for, and has come, or is not wanted any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WaitedOn {
    /// What the gate answered last.
    Gate(Refusal),
    /// The pool's queue, or a worker.
    Slot,
    /// Somebody had paused the run.
    Resume,
    /// The run could not pay for a step.
    Money(Halt),
    Review(ReviewId),
    Signal(SignalName),
    Time,
    /// A planner.
    Replan,
}

/// A declaration that took effect.
#[derive(Clone, Debug)]
pub enum Declared {
    Resource(Box<Configure>),
    Context(Arc<Context>),
    /// A policy with its versions.
    Policy(Box<policy::Policy>),
}

#[derive(Clone, Debug)]
pub enum Response {
    /// The declaration stands; `changed` is false if it already did.
    Configured {
        changed: bool,
    },
    /// `existing`: the idempotency key had been used for the same request.
    Submitted {
        run: RunId,
        existing: bool,
    },
    /// The call may be made, this way.
    Opened {
        call: u64,
        route: Box<Route>,
        /// The span of the attempt that it is made for, if that one's run is followed.
        trace: Option<Anchor>,
    },
    /// It is under way.
    Erasure(Box<ErasureRow>),
    /// The command is done; this is the run's status now.
    Commanded {
        status: RunStatus,
    },
    Explained(Box<RunView>),
    Tenant(Box<TenantView>),
    Tenants(Vec<TenantView>),
    Platform(Box<PlatformView>),
    Pools(Vec<PoolView>),
    Valve(ValveView),
    Accounts(Vec<AccountView>),
    Budgets(Vec<(TenantId, AccountView)>),
    Limits(Vec<LimitView>),
    Residency(Box<ResidencyView>),
    /// The limits of a tool that all tenants share, and whether its provider is called.
    Provider(Vec<LimitView>, Circuit),
    /// The person has the review.
    Claimed(Box<ReviewView>),
    /// There is none for the person.
    NothingToReview,
    /// The command is done.
    Reviewed,
    /// One answer for each decision, in their order: how many more persons are needed, 0 if it has ended.
    Decided(Vec<Result<u32, Rejection>>),
    Review(Box<ReviewView>),
    Reviews(Vec<ReviewView>),
    PolicyEffect(Box<PolicyEffect>),
    /// The channel is declared, or is no more; `takes_secret`: the secret that came along is its own now.
    Channel {
        changed: bool,
        takes_secret: bool,
    },
    /// The secret before signs too until then.
    Rotated {
        until: Time,
    },
    /// The notice is on its way.
    Noted(NoticeId),
    Channels(Vec<ChannelView>),
    Notices(Vec<NoticeView>),
    Rejected(Rejection),
}

/// A channel as its tenant sees it: without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelView {
    pub channel: Channel,
    pub gone: Option<Time>,
    /// Until when the secret before signs too.
    pub previous_until: Option<Time>,
    /// Until when the receiver wants to be left alone.
    pub rests_until: Option<Time>,
    pub counts: Counts,
}

/// A notice that is not delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoticeView {
    pub row: NoticeRow,
    pub is_under_way: bool,
}

/// A review that nobody has decided.
#[derive(Clone, Debug)]
pub struct ReviewView {
    pub id: ReviewId,
    pub key: RunKey,
    pub workflow: Arc<Workflow>,
    pub context: Arc<Context>,
    pub instance: Instance,
    pub cause: ReviewCause,
    pub opened: Time,
    pub terms: Arc<Terms>,
    /// Of what it is about.
    pub subject: Digest,
    /// Of what the next decision is on: with what was decided before it, where more persons are needed.
    pub digest: Digest,
    pub votes: Vec<PersonId>,
    pub proposal: Option<Proposal>,
    pub standing: Standing,
}

impl ReviewView {
    /// The right to its record, which goes with what the cell has shown.
    pub fn scope(&self) -> TenantScope {
        TenantScope::granted(self.key.tenant.clone())
    }
}

/// What a change of policies would do to steps that wait or run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyEffect {
    /// Steps that may go on now, and might not any more.
    pub forbidden: Affected,
    /// Steps that may not go on now, and might then.
    pub allowed: Affected,
    /// What would be forbidden first, and of it what concerns most steps; a few of them.
    pub groups: Vec<AffectedGroup>,
    pub groups_in_all: u64,
    /// False: only a part of the work was looked at.
    pub is_complete: bool,
}

/// Numbers of steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Affected {
    pub waiting: u64,
    pub leased: u64,
}

/// Steps of one tenant that ask for the same thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AffectedGroup {
    pub tenant: TenantId,
    /// As policies name it.
    pub action: &'static str,
    pub thing: Arc<str>,
    /// They would be forbidden; otherwise they would be allowed.
    pub is_forbidden: bool,
    /// What would forbid them, or forbids them now.
    pub policy: Arc<str>,
    pub steps: Affected,
}

/// How much of a rule is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitView {
    pub tool: ToolName,
    /// [`crate::quota::Rule::label`].
    pub rule: Arc<str>,
    pub used: u64,
    pub of: u64,
    /// When it is new, or has room for one more call.
    pub opens: Option<Time>,
}

/// An account in the period that is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountView {
    pub account: Account,
    pub start: Time,
    pub end: Time,
    /// `None`: it is counted and bounds nothing.
    pub budget: Option<Nano>,
    pub posted: Nano,
    /// Part of `posted` that nobody has confirmed.
    pub uncertain: Nano,
    pub held: Nano,
    pub topped_up: Nano,
    pub forgiven: Nano,
    pub debt: Nano,
    pub available: Option<Nano>,
    /// What will have been posted at the end of the period if it goes on as it did so far; while less than a thirtieth
    /// of it has passed, as if that had.
    pub forecast: Nano,
}

/// A live run as the cell sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RunView {
    pub run: RunId,
    pub status: RunStatus,
    pub revision: u64,
    pub created: Time,
    pub deadline: Option<Time>,
    pub money: MoneyView,
    pub steps: Vec<StepView>,
}

/// The account of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct MoneyView {
    pub limit: Option<Nano>,
    pub reserve: Nano,
    pub posted: Nano,
    pub uncertain: Nano,
    pub held: Nano,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StepView {
    pub name: StepName,
    pub instance: Instance,
    pub phase: Phase,
    pub attempt: u32,
    /// When it entered the phase.
    pub since: Time,
    pub waits: Option<Waiting>,
    pub failure: Option<Failure>,
    /// Of its output, if it is done.
    pub trust: Option<Trust>,
    /// The way of the call of a model that is under way.
    pub route: Option<Box<Route>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Steps before it have not ended.
    Pending,
    /// An expression of it is being evaluated.
    Evaluating,
    /// Waits at a gate, or for its child to be let in.
    Ready,
    Leased,
    Backoff,
    Sleeping,
    Listening,
    Calling,
    /// People decide.
    Reviewing,
    Mapping,
    /// A planner decides what becomes of it.
    Disputed,
    /// It has planned, and its revision is looked at.
    Proposed,
    Done,
    Skipped,
    Failed,
    Cancelled,
}

/// What an instance waits for, and what would let it through.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Waiting {
    Steps(Vec<StepName>),
    Evaluation,
    Gate {
        refusal: Refusal,
        until: Option<Time>,
    },
    Worker {
        worker: WorkerName,
        until: Time,
    },
    Backoff {
        until: Time,
        failure: Failure,
    },
    Time {
        until: Time,
    },
    Signal {
        name: SignalName,
        until: Option<Time>,
    },
    Child {
        run: RunId,
    },
    /// A place for the child of a call: why there is none, unless there is and calls of older runs come first.
    Place(Option<Rejection>),
    Items {
        done: u32,
        of: u32,
    },
    Resume,
    /// The run is paused, since a step of it could not be paid for.
    Money(Halt),
    /// People decide.
    Review {
        review: ReviewId,
        standing: Box<Standing>,
    },
    /// A planner decides, or will when it has decided of another step. `planner`: the step that plans now.
    Replan {
        trigger: Trigger,
        failure: Failure,
        planner: Option<StepName>,
    },
    /// The revision becomes the plan once these steps, which are to be done again or dropped, have stopped.
    Stopping(Vec<StepName>),
}

/// One tenant's numbers over all pools.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TenantView {
    pub tenant: TenantId,
    pub org: OrgId,
    pub tier: TierName,
    pub weight: u32,
    pub cap: u32,
    pub suspended: bool,
    pub slots: u32,
    pub burst_slots: u32,
    /// Steps that are ready and wait for a slot.
    pub waiting: u32,
    pub live_runs: u64,
    pub completed: u64,
    pub failed: u64,
    /// Slot time used so far.
    pub service: Span,
    /// Slot time used ahead of its share.
    pub debt: Span,
    /// Submission to end over the last minute; `None` if no run ended.
    pub latency: Option<Percentiles>,
    /// Of an attempt, from ready to dispatched, over the last minute.
    pub queue_wait: Option<Percentiles>,
    /// Slot time held over what it was entitled to in the last minute, in thousandths; `None` if it wanted no more than it held.
    pub share_permille: Option<u64>,
    /// Of its budget of the day or the month, whichever is nearer to its end, what is spent or held, in thousandths; `None` if
    /// neither is bounded.
    pub budget_used_permille: Option<u64>,
    pub sla: Option<Sla>,
    pub sla_violations: u64,
    pub diagnosis: DiagnosisView,
    /// Of the last minute, ten minutes, hour and day; only for one tenant.
    pub windows: Vec<WindowView>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PoolView {
    pub pool: PoolName,
    pub policy: Policy,
    pub slots: u32,
    /// Fewer than `slots` while the valve shrinks dispatch.
    pub dispatchable: u32,
    pub in_flight: u32,
    pub waiting: u64,
    pub workers: u32,
    /// Slots that connected workers offer.
    pub offered: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ValveView {
    pub open: bool,
    pub live_runs: u64,
    pub runs_soft: u64,
    pub runs_hard: u64,
    pub waiting_bytes: u64,
    pub bytes_soft: u64,
    pub bytes_hard: u64,
    pub refused: u64,
}
