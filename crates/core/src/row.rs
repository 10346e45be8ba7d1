//! The rows of a cell: what is durable of runs, steps, signals and the rest.
//!
//! A row holds facts, not derivations: a step that is merely ready has no row, because its readiness follows
//! from the rows of the steps before it. Payloads travel through rows on their way to the store and are not
//! kept by the cell.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};

use crate::calendar::Calendar;
use crate::catalog::{Metered, PriceVersion, Usage};
use crate::erasure::Subject;
use crate::id::{
    KeyId, ModelName, OrgId, OutcomeName, PersonId, PoolName, RegionName, ReviewId,
    ReviewerPoolName, RunId, SignalName, StepName, TenantId, ToolName, WorkerName, WorkflowName,
};
use crate::money::Nano;
use crate::plan::StepIndex;
use crate::quota::Rung;
use crate::replan::{Confidence, Trigger, Trust};
use crate::residency::Country;
use crate::review::{Claim, Digest, Proposal, Terms};
use crate::router::Passed;
use crate::time::{Span, Time};
use crate::trace::Trace;

/// Bytes of a JSON value: an input, an output or a signal's payload. Moved, not parsed.
pub type Payload = Arc<[u8]>;

/// A run's key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunKey {
    pub tenant: TenantId,
    pub run: RunId,
}

/// Which instance of a step: the step itself, one item of its `map`, or its compensation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    Compensation,
    Whole,
    Item(u32),
}

impl Part {
    /// -2 compensation, -1 whole, else the item's position: the form in keys.
    pub const fn code(self) -> i64 {
        match self {
            Self::Compensation => -2,
            Self::Whole => -1,
            Self::Item(at) => at as i64,
        }
    }

    /// The inverse of [`Part::code`].
    pub fn from_code(code: i64) -> Option<Self> {
        match code {
            -2 => Some(Self::Compensation),
            -1 => Some(Self::Whole),
            at => u32::try_from(at).ok().map(Self::Item),
        }
    }
}

/// One instance of a step of one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Instance {
    pub step: StepIndex,
    pub part: Part,
}

/// Names one lease for ever: the instance and the fencing token that its dispatch raised.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId {
    pub key: RunKey,
    pub instance: Instance,
    /// Unique to the dispatch, and higher than that of every dispatch before it (the owner's epoch, then a
    /// counter): a report with another one is stale.
    pub fence: u64,
}

/// A tenant's priority for a run. Never changes the order between tenants.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Lane {
    Urgent,
    #[default]
    Normal,
    Background,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    Running,
    /// Nothing new is dispatched; what runs, ends.
    Paused,
    /// Failed or cancelled: steps that workers still hold are told to stop, and their slots are awaited.
    Stopping,
    /// Failed or cancelled, and undoing completed steps in reverse order.
    Compensating,
    Completed,
    Failed,
    Cancelled,
}

impl RunStatus {
    pub const fn is_ended(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

/// Why a step or a run failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Stable code, such as `attempt-timeout`, or the class that the worker reported.
    pub class: Arc<str>,
    /// For people; at most [`Failure::MESSAGE_BYTES_MAX`].
    pub message: Arc<str>,
    /// The step that failed, for a run's failure.
    pub step: Option<StepName>,
}

impl Failure {
    pub const MESSAGE_BYTES_MAX: usize = 4 * 1024;

    /// Of no step; a message that is too long is cut.
    pub fn cut(class: &str, message: &str) -> Self {
        let message = &message[..message.floor_char_boundary(Self::MESSAGE_BYTES_MAX)];
        Self { class: class.into(), message: message.into(), step: None }
    }
}

/// A run. `input` is written once: `None` leaves the stored one alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunRow {
    pub key: RunKey,
    pub workflow: WorkflowName,
    pub version: u32,
    /// Version of the tenant's context that admitted it.
    pub context: u32,
    pub lane: Lane,
    pub status: RunStatus,
    /// How the run will end once compensation is through.
    pub outcome: Option<RunStatus>,
    pub created: Time,
    pub ended: Option<Time>,
    pub deadline: Option<Time>,
    pub failure: Option<Failure>,
    /// The run and step that called this one.
    pub parent: Option<Parent>,
    /// The schedule that started it.
    pub schedule: Option<StepName>,
    /// The person who submitted it, and who decides none of its reviews.
    pub requester: Option<PersonId>,
    /// Whom or what it is about, if its workflow names that.
    pub subject: Option<Subject>,
    /// The trace that it is followed in. `None`: it is not followed.
    pub trace: Option<Trace>,
    /// Raised by each change of the run or of one of its steps that a client can see.
    pub revision: u64,
    /// Size of the input, which is what the valve counts.
    pub input_bytes: u32,
    /// Its own account.
    pub money: RunMoney,
    /// How often its plan was looked at again: if ever, the plan is in the newest of its replans.
    pub replans: u32,
    /// What it was given and gave, and its steps, were kept for long enough and are gone.
    pub is_bare: bool,
    pub input: Option<Payload>,
}

/// The account of a run. What is held follows from the leases of its steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunMoney {
    /// What it may spend, top-ups included; `None`: no bound of its own.
    pub limit: Option<Nano>,
    /// Part of the limit that is kept back.
    pub reserve: Nano,
    pub posted: Nano,
    /// Part of `posted` that nobody has confirmed.
    pub uncertain: Nano,
    /// The run is paused because a step could not be paid for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub halt: Option<Halt>,
    /// A person lets cheaper candidates of models stand in, whatever the ladder of the tenant's class says.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allows_cheaper: bool,
}

/// A step of a run could not be paid for, and the run is paused until somebody decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Halt {
    /// What the ladder of the tenant's class came to: `Escalate` or `Pause`.
    pub rung: Rung,
    pub step: StepIndex,
    pub need: Nano,
    pub left: Nano,
    pub since: Time,
    /// The review that it was escalated to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review: Option<ReviewId>,
    /// Only what other steps of the run hold is in the way: nothing is to be decided until they have ended.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_for_holds: bool,
}

/// Money that is set aside for one attempt of a step, at every level at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    pub amount: Nano,
    /// Where the periods begin that it belongs to, whenever it is settled; `None`: no account at that level.
    pub tenant_day: Option<Time>,
    pub tenant_month: Option<Time>,
    pub org_month: Option<(OrgId, Time)>,
}

/// The way that a call of a model was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    pub model: ModelName,
    pub endpoint: ToolName,
    /// What the endpoint calls the model.
    pub upstream: Arc<str>,
    /// In force when the way was given, and what the call is charged by.
    pub price: PriceVersion,
    pub surcharge_permille: u32,
    /// Tokens that go in, as they were counted before the call.
    pub input: u32,
    /// Most tokens that may come out.
    pub output: u32,
    /// What was done because the money was short.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rung: Option<Rung>,
    #[serde(default, skip_serializing_if = "Considered::is_nothing")]
    pub considered: Considered,
}

/// Why a call goes where it goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Considered {
    /// Where the endpoint works on what it is sent, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<RegionName>,
    /// The country whose adequacy lets the tenant's data go there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adequate: Option<Country>,
    /// Candidates that the call did not go to, in the order in which they were found wanting.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub passed: Vec<Passed>,
}

impl Considered {
    /// There was one candidate, and nobody asked where it is.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

impl Route {
    /// What it costs to use that much.
    pub fn cost(&self, usage: Usage) -> Nano {
        self.price.cost(usage, self.surcharge_permille)
    }
}

/// A call of a model, and what it used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallRow {
    pub tenant: TenantId,
    /// Unique in its cell, and higher than that of every call before it.
    pub id: u64,
    /// The attempt that it was made for.
    pub attempt: Option<CallAttempt>,
    pub model: ModelName,
    pub endpoint: ToolName,
    /// What the endpoint calls the model.
    pub upstream: Arc<str>,
    /// What was done because the money was short.
    pub rung: Option<Rung>,
    pub considered: Considered,
    pub began: Time,
    /// `None`: it is under way, or the server that made it was killed.
    pub ended: Option<Time>,
    /// What is held for it while it is under way, unless the lease of its step holds that.
    pub hold: Option<Box<Hold>>,
    pub metered: Metered,
    pub cost: Nano,
}

/// The attempt of a step that a call was made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallAttempt {
    pub run: RunId,
    pub instance: Instance,
    /// 1 for the first.
    pub attempt: u32,
}

/// How much of a rule of a tool is used: by a tenant, or by all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UseRow {
    pub tool: ToolName,
    /// `None`: the provider's own limit.
    pub tenant: Option<TenantId>,
    /// [`crate::quota::Rule::label`].
    pub rule: Arc<str>,
    pub used: Used,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Used {
    /// Units in the window that begins then.
    Window { start: Time, units: u64 },
    /// When the bucket is full again: the theoretical arrival time of GCRA.
    Bucket { full: Time },
}

/// An account of a tenant or an organisation in one period. What is held follows from the leases of steps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountRow {
    pub owner: Owner,
    /// A day or a month.
    pub every: Calendar,
    pub start: Time,
    pub posted: Nano,
    /// Part of `posted` that nobody has confirmed.
    pub uncertain: Nano,
    /// Added to the budget for this period.
    pub topped_up: Nano,
    /// Debt that was let off.
    pub forgiven: Nano,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Owner {
    Org(OrgId),
    Tenant(TenantId),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    pub run: RunId,
    pub instance: Instance,
    /// How many callers stand above; bounded.
    pub depth: u32,
}

/// A step instance with something to remember. `output` is written once per completion: `None` leaves the
/// stored one alone, and only that of a completed step means anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepRow {
    pub key: RunKey,
    pub instance: Instance,
    pub state: StepState,
    /// Attempts begun so far.
    pub attempt: u32,
    /// The fencing token of its newest dispatch, 0 if there was none.
    pub fence: u64,
    /// When it entered the state.
    pub since: Time,
    /// When it first became ready.
    pub ready: Time,
    /// Of its output; of a step that is not done it means nothing.
    pub trust: Trust,
    /// How long it held its slots.
    pub worked: Worked,
    pub output: Option<Payload>,
}

/// How long each dispatch of an instance held its slot, the oldest first. Of more than [`Worked::MAX`] the last are one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Worked(Box<[Span]>);

impl Worked {
    /// More than the attempts of all but a few steps: who wants to know how long work takes needs no more.
    pub const MAX: usize = 16;

    /// Another dispatch is over.
    pub fn add(&mut self, held: Span) {
        if let Some(last) = self.0.get_mut(Self::MAX - 1) {
            last.0 = last.0.saturating_add(held.0);
            return;
        }
        let mut spans = Vec::with_capacity(self.0.len() + 1);
        spans.extend_from_slice(&self.0);
        spans.push(held);
        self.0 = spans.into_boxed_slice();
    }

    pub const fn spans(&self) -> &[Span] {
        &self.0
    }
}

impl FromIterator<Span> for Worked {
    fn from_iter<I: IntoIterator<Item = Span>>(spans: I) -> Self {
        let mut worked = Self::default();
        spans.into_iter().for_each(|held| worked.add(held));
        worked
    }
}

/// States of a step instance that are stored. Pending and ready for the first time follow from other rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    /// Ready again after a dispatch that came to nothing.
    Ready,
    /// A worker holds the lease; `until` is the hard deadline of the attempt.
    Leased {
        worker: WorkerName,
        pool: PoolName,
        until: Time,
        /// What is held for it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hold: Option<Box<Hold>>,
        /// The way of its model's call.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        route: Option<Box<Route>>,
    },
    /// Waits for its next attempt.
    Backoff {
        until: Time,
        failure: Failure,
    },
    /// `wait: for` and `wait: until`.
    Sleeping {
        until: Time,
    },
    /// `wait: signal`.
    Listening {
        signal: SignalName,
    },
    /// `call`: the child runs.
    Calling {
        child: RunId,
    },
    /// People decide.
    Reviewing {
        review: ReviewId,
    },
    /// `map`: this many items are under way or done.
    Mapping {
        items: u32,
    },
    /// A planner decides what becomes of it. `doubt`: it has an output, which may stand.
    Disputed {
        trigger: Trigger,
        failure: Failure,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        doubt: Option<Confidence>,
    },
    /// It has planned: its output is a revision, of which nobody has decided.
    Proposed,
    Done,
    Skipped,
    Failed {
        failure: Failure,
    },
    Cancelled,
}

impl StepState {
    /// A worker or a child run holds the instance, which ends when it is given back.
    pub const fn is_held(&self) -> bool {
        matches!(self, Self::Leased { .. } | Self::Calling { .. })
    }

    /// The instance will not change any more (unless the run is retried).
    pub const fn is_final(&self) -> bool {
        matches!(self, Self::Done | Self::Skipped | Self::Failed { .. } | Self::Cancelled)
    }
}

/// What an idempotency key stands for: a submission and the run that it led to, or a signal and the run that it
/// was sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyRow {
    pub tenant: TenantId,
    pub key: Arc<str>,
    /// SHA-256 of what was asked for.
    pub digest: [u8; 32],
    pub run: RunId,
    pub created: Time,
}

/// A signal in a run's inbox, not yet taken by a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignalRow {
    pub key: RunKey,
    pub sequence: u64,
    pub name: SignalName,
    pub at: Time,
    pub payload: Payload,
}

/// Where a cron schedule stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleRow {
    pub tenant: TenantId,
    pub workflow: WorkflowName,
    pub name: StepName,
    pub next: Option<Time>,
    pub last: Option<RunId>,
    /// A time came while the last run was under way and `overlap: queue` holds it.
    pub queued: bool,
}

/// What a role is given to: an API key, or who signs in. The secret itself is never stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRow {
    pub id: KeyId,
    pub credential: Credential,
    pub role: Role,
    pub created: Time,
    /// From then on it opens nothing. `None`: it does not expire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Time>,
    /// Most requests a second with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<u32>,
    /// For people: what the key is for.
    pub label: Arc<str>,
}

/// By what a key opens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Credential {
    /// SHA-256 of the secret, which has 256 random bits.
    Secret([u8; 32]),
    /// Whoever the identity provider says this of.
    SignIn(SignIn),
}

/// Something that an identity provider vouches for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SignIn {
    /// The name of a claim, such as `email`, `sub` or `groups`.
    pub claim: Arc<str>,
    /// What it is, or has among others.
    pub value: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything.
    Operator,
    /// One tenant's runs and readings.
    Tenant {
        tenant: TenantId,
        /// What of it the key may do.
        #[serde(default, skip_serializing_if = "Access::is_full")]
        access: Access,
        /// Who uses it, if that is one person: what they submit they do not decide.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        person: Option<PersonId>,
    },
    /// The reviews that this person may decide.
    Reviewer { person: PersonId },
    /// Exchange for these pools; empty means all.
    Worker {
        pools: Vec<PoolName>,
        /// Whose steps it may be given; empty means everyone's.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        tenants: Vec<TenantId>,
        /// Where the worker is, as the operator says; `None`: nobody knows.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        region: Option<RegionName>,
    },
}

/// What a key may do with what its tenant has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    #[default]
    Full,
    /// Read all of it, change nothing.
    View,
    /// Read its log, and nothing else.
    Audit,
}

impl Access {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    const fn is_full(&self) -> bool {
        matches!(self, Self::Full)
    }
}

/// A review, from when it is opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReviewRow {
    pub tenant: TenantId,
    pub id: ReviewId,
    pub state: ReviewState,
    pub ended: Option<Time>,
    pub run: RunId,
    pub instance: Instance,
    pub cause: ReviewCause,
    pub pool: ReviewerPoolName,
    /// 0 is served first.
    pub class: u8,
    pub opened: Time,
    pub due: Time,
    /// Rungs of its ladder that it has gone up.
    pub rung: u32,
    /// Of what is decided on.
    pub digest: Digest,
    /// Who may not decide it.
    pub excluded: BTreeSet<PersonId>,
    pub terms: Arc<Terms>,
    pub claim: Option<Claim>,
    /// Who has decided: those who agree while more are needed, and at the end all of them.
    pub votes: Vec<PersonId>,
    pub proposal: Option<Proposal>,
    /// Entries of its record so far.
    pub events: u32,
}

/// What has become of a review.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReviewState {
    Open,
    Claimed,
    Decided {
        outcome: OutcomeName,
    },
    /// Nobody decided in time.
    Overdue,
    /// Its step was called off.
    Cancelled,
    /// What it was for was settled in another way, or is done again.
    Superseded,
}

/// Why there is a review.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReviewCause {
    /// The workflow has a step for it.
    Step,
    /// The step could not be paid for.
    Money { need: Nano, left: Nano },
    /// No endpoint that it may go to has answered since then.
    Outage { since: Time },
    /// The step is less sure of its output than it must be.
    Confidence { permille: u32, least_permille: u32 },
    /// A planner wants to change the plan of the run.
    Replan { number: u32 },
}

/// An entry of a review's record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReviewEventRow {
    pub tenant: TenantId,
    /// The run that waits for the review.
    pub run: RunId,
    pub review: ReviewId,
    /// 1 for the first.
    pub sequence: u32,
    pub at: Time,
    pub event: ReviewEvent,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReviewEvent {
    Opened {
        pool: ReviewerPoolName,
        class: u8,
        due: Time,
    },
    Claimed {
        by: PersonId,
        fence: u64,
    },
    Released {
        by: PersonId,
    },
    /// A claim ended with its lease.
    Expired {
        by: PersonId,
    },
    Reassigned {
        to: PersonId,
        fence: u64,
        by: Actor,
    },
    Commented {
        by: Actor,
        text: Arc<str>,
    },
    /// One decision; `more` persons have to say the same. `data`: JSON text.
    Voted {
        by: PersonId,
        outcome: OutcomeName,
        data: Arc<str>,
        more: u32,
    },
    /// The due time passed, or somebody did not wait for it. `by`: `None` for time.
    Escalated {
        pool: ReviewerPoolName,
        class: u8,
        due: Time,
        notify: bool,
        by: Option<Actor>,
    },
    Overdue,
    Cancelled,
    Superseded,
    BrokenGlass {
        #[serde(deserialize_with = "actor_or_key")]
        by: Actor,
        person: PersonId,
        reason: Arc<str>,
        outcome: OutcomeName,
        data: Arc<str>,
    },
}

/// Who did something: a person, or whoever has a key that is no person's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Actor {
    Person(PersonId),
    Key(KeyId),
}

/// What was written before it was known who had signed in names a key.
fn actor_or_key<'de, D: Deserializer<'de>>(from: D) -> Result<Actor, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Known {
        Actor(Actor),
        Key(KeyId),
    }
    Ok(match Known::deserialize(from)? {
        Known::Actor(actor) => actor,
        Known::Key(key) => Actor::Key(key),
    })
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Person(person) => write!(f, "person:{person}"),
            Self::Key(key) => write!(f, "key:{key}"),
        }
    }
}

/// An entry of the audit log: something that was decided, or done by somebody. The store numbers and chains them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// `None` for decisions about the platform.
    pub tenant: Option<TenantId>,
    pub at: Time,
    /// Stable code, such as `cap-reached`.
    pub code: Cow<'static, str>,
    /// Who did it. `None`: the platform itself.
    pub by: Option<Actor>,
    /// A JSON object of facts.
    pub facts: Arc<str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_dispatches_the_last_are_one() {
        let worked: Worked = (1..=20).map(Span).collect();
        assert_eq!(worked.spans().len(), Worked::MAX);
        assert_eq!(worked.spans()[14], Span(15));
        assert_eq!(worked.spans()[15], Span(16 + 17 + 18 + 19 + 20));
    }
}
