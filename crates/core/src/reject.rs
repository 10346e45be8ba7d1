//! Why the cell refuses a request: facts, no sentences. The edge turns each into a problem document.

use std::sync::Arc;

use serde::Serialize;

use crate::calendar::Calendar;
use crate::gate::{Account, LimitHolder};
use crate::id::{
    ChannelName, ClassName, ModelName, NoticeId, OrgId, PersonId, PolicyName, PoolName, PriceName,
    RegionName, ReviewId, ReviewerPoolName, RunId, StepName, TenantId, TierName, ToolName,
    WorkflowName, ZoneName,
};
use crate::money::Nano;
use crate::policy::{Because, Mistake};
use crate::residency::Outside;
use crate::review::Refused;
use crate::router::{NoWay, Passed};
use crate::row::{Owner, RunStatus};
use crate::time::{Span, Time};

/// A request that the cell will not do. Expected, and part of the answer; never an error of the program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rejection {
    UnknownTenant {
        tenant: TenantId,
    },
    UnknownOrg {
        org: OrgId,
    },
    UnknownTier {
        tier: TierName,
    },
    UnknownPool {
        pool: PoolName,
    },
    UnknownWorkflow {
        workflow: WorkflowName,
        version: Option<u32>,
    },
    /// Missing, or another tenant's: the answers are the same.
    UnknownRun {
        run: RunId,
    },
    UnknownStep {
        step: StepName,
    },
    UnknownTool {
        tool: ToolName,
    },
    UnknownClass {
        class: ClassName,
    },
    UnknownKey,
    UnknownReviewerPool {
        pool: ReviewerPoolName,
    },
    /// Missing, ended, or not for whoever asks: the answers are the same.
    UnknownReview {
        review: ReviewId,
    },
    /// Nothing was done to the review.
    Review {
        review: ReviewId,
        refused: Refused,
    },
    UnknownChannel {
        channel: ChannelName,
    },
    /// Missing, delivered, or another tenant's: the answers are the same.
    UnknownNotice {
        notice: NoticeId,
    },
    /// A channel's receiver, or the relay for its mail, is outside of where the tenant's data may be.
    ChannelOutside {
        field: &'static str,
        outside: Box<Outside>,
    },
    /// The server has no relay for mail.
    NoMailRelay,
    /// The channel signs nothing.
    NoSecret {
        channel: ChannelName,
    },
    /// Nothing is sent through the channel: its receiver is gone, or its tenant has disabled it.
    ChannelClosed {
        channel: ChannelName,
        is_gone: bool,
    },
    /// The step's review would let through by itself what it is to decide on.
    ApprovesItself {
        step: StepName,
    },
    /// The pool works for another tenant.
    PoolOfAnother {
        pool: ReviewerPoolName,
    },
    /// A member stands in the pool twice.
    MemberTwice {
        person: PersonId,
    },
    /// A candidate of a model, by its place, cannot be called or paid for.
    BadCandidate {
        at: u32,
        fault: CandidateFault,
    },
    /// A model names the tool as an endpoint, which it would be no more.
    EndpointInUse {
        model: ModelName,
    },
    /// The version of a price at that place begins no later than the one before it.
    VersionOutOfOrder {
        at: u32,
    },
    /// The owner has no budget for such periods.
    NoAccount {
        owner: Owner,
        every: Calendar,
    },
    /// There is not enough money left to admit the run. `account` says whose.
    BudgetExhausted {
        account: Account,
        need: Nano,
        left: Nano,
        /// When the account's next period begins.
        opens: Option<Time>,
    },
    /// No candidate of a model that the run needs can serve the tenant.
    ModelUnavailable {
        /// `None` if it is no step's call.
        step: Option<StepName>,
        model: ModelName,
        because: NoWay,
        passed: Vec<Passed>,
    },
    /// The tenant may not use a tool that the run cannot do without.
    ToolDenied {
        step: StepName,
        tool: ToolName,
    },
    /// A tool that the run cannot do without is outside of where the tenant's data may be.
    ToolOutside {
        step: StepName,
        tool: ToolName,
        outside: Box<Outside>,
    },
    /// The catalog has no such region; `field` is a JSON pointer into the request.
    UnknownRegion {
        field: &'static str,
        region: RegionName,
    },
    UnknownZone {
        zone: ZoneName,
    },
    /// The tenant's data rests in this cell's region, where it may not be; `field` is a JSON pointer into the request.
    StoreOutside {
        field: &'static str,
        outside: Box<Outside>,
    },
    /// The change would leave tenants' data where it may not be after it: so many, of which these are the first.
    TenantsOutside {
        field: &'static str,
        count: u64,
        tenants: Vec<TenantId>,
        outside: Box<Outside>,
    },
    /// The decision at that place begins before the one before it ends.
    DecisionsOverlap {
        at: u32,
    },
    /// The decision at that place ends no later than it begins.
    DecisionNeverHolds {
        at: u32,
    },
    /// The decision at that place, which is new, has ended already.
    DecisionPast {
        at: u32,
        until: Time,
    },
    /// A tool's limit is reached, and the call is not one that waits.
    LimitReached {
        tool: ToolName,
        holder: LimitHolder,
        rule: Arc<str>,
        used: u64,
        of: u64,
        opens: Option<Time>,
        /// More is asked for than the rule ever allows at once.
        is_never: bool,
        retry_after: Span,
    },
    UnknownPolicy {
        policy: PolicyName,
    },
    /// A policy has mistakes, or there would be too little left that anybody may do.
    BadPolicy {
        mistakes: Vec<Mistake>,
    },
    /// Policy does not let the tenant do it.
    PolicyDenied {
        policy: Arc<str>,
        because: Because,
        /// As policies name it.
        action: &'static str,
        /// The tool, the model or the workflow.
        thing: Arc<str>,
        /// The step that would do it; `None` if it is the run itself, or no step's call.
        step: Option<StepName>,
    },
    /// The lease that a call was to be made under is over, or not wanted any more.
    StaleLease {
        run: RunId,
    },
    /// A number outside its range; `field` is a JSON pointer into the request.
    OutOfRange {
        field: &'static str,
        value: u64,
        min: u64,
        max: u64,
    },
    TooLong {
        field: &'static str,
        bytes: u64,
        max: u64,
    },
    /// That version exists with other content; versions are immutable.
    VersionExists {
        workflow: WorkflowName,
        version: u32,
    },
    /// The workflow names a pool that is not declared.
    StepPoolUnknown {
        step: StepName,
        pool: PoolName,
    },
    /// What the run was given was kept for long enough, and is gone.
    NotKept {
        run: RunId,
    },
    /// All of a tenant is erased only when nothing new comes in.
    NotSuspended {
        tenant: TenantId,
    },
    Suspended {
        tenant: TenantId,
    },
    /// The key was used for another request.
    IdempotencyConflict {
        run: RunId,
    },
    /// The tenant has as many live runs as it may have; children of calls count apart, at each depth.
    TenantQueueFull {
        live: u64,
        max: u64,
        retry_after: Span,
    },
    /// The valve is closed for this tenant and lane. `depth` and `threshold` are what `cause` says.
    ValveClosed {
        cause: ValveCause,
        depth: u64,
        threshold: u64,
        retry_after: Span,
    },
    /// The store cannot take more; nothing was lost.
    StoreFull {
        detail: Arc<str>,
    },
    WrongStatus {
        run: RunId,
        status: RunStatus,
        needs: &'static str,
    },
    /// All steps of the run are done or skipped, and the retry names none to begin at.
    NothingToRetry {
        run: RunId,
        status: RunStatus,
    },
    InboxFull {
        pending: u32,
        max: u32,
    },
    TooDeep {
        depth: u32,
        max: u32,
    },
    TooMany {
        what: &'static str,
        max: u64,
    },
}

/// What a candidate of a model names and there is not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CandidateFault {
    UnknownTool {
        tool: ToolName,
    },
    /// The tool is declared, and not as one that the server calls for chat completions.
    NoChatEndpoint {
        tool: ToolName,
    },
    UnknownPrice {
        price: PriceName,
    },
    UnknownTier {
        tier: TierName,
    },
}

/// What the valve found too much of, and what the two numbers of the refusal are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ValveCause {
    /// Past the soft threshold of runs: the tenant's runs, and its share.
    RunsOverShare,
    /// Past the soft threshold of bytes: the tenant's bytes with the refused run's, and its share.
    BytesOverShare,
    /// All runs, and the hard threshold.
    RunsHard,
    /// All bytes with the refused run's, and the hard threshold.
    BytesHard,
    /// Calls of models that are under way, and how many may be.
    Calls,
}
