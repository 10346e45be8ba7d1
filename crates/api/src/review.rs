//! Reviews: what people are asked to decide, and the pools of those who decide.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::schema::open;
use crate::{Json, Problem, Timestamp};

/// Body of `PUT /v1/catalog/reviewer-pools/{pool}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReviewerPoolSpec {
    /// The pool works for this tenant only. Absent: it is shared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// A claim that is not renewed for so long is over.
    #[serde(default = "default_lease_ms")]
    #[schema(default = 3_600_000)]
    pub lease_ms: u64,
    /// A lower class is served after so many reviews of higher ones.
    #[serde(default = "default_class_bound")]
    #[schema(default = 9, minimum = 1, maximum = 1_000)]
    pub class_bound: u32,
    /// Whether members of a shared pool may claim any review that they see, and not just the one whose turn it is.
    #[serde(default)]
    pub pick: bool,
    #[serde(default)]
    pub members: Vec<Reviewer>,
}

/// A person in a pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Reviewer {
    pub person: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skills: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certifications: Vec<String>,
    /// The region where the person works now. Absent: outside of every zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The tenants that the person may serve. Absent: all of the pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenants: Option<Vec<String>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReviewerPool {
    pub name: String,
    #[serde(flatten)]
    #[schema(schema_with = open::<ReviewerPoolSpec>)]
    pub spec: ReviewerPoolSpec,
}

/// Something to decide.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Review {
    pub id: String,
    pub tenant: String,
    pub run: String,
    pub step: String,
    pub state: ReviewState,
    pub kind: ReviewKind,
    /// Why there is one: `step`, or `money` if the step could not be paid for, `outage` if no
    /// endpoint that it may go to has answered for as long as its tenant waits.
    pub cause: String,
    pub pool: String,
    /// 0 is served first.
    pub class: u8,
    pub opened_at: Timestamp,
    pub due_at: Timestamp,
    /// How many distinct persons have to say the same for an outcome that approves.
    pub persons: u32,
    /// Those who have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub decided_by: Vec<String>,
    pub outcomes: Vec<ReviewOutcome>,
    /// Of what the next decision is on, in hexadecimal.
    pub digest: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<ReviewClaim>,
    /// What those who have decided agree on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposed: Option<String>,
    /// Open reviews of its class that come first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
    /// What it came to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
}

/// A review with what is decided on, its form, and its record.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ReviewDetail {
    #[serde(flatten)]
    pub review: Review,
    /// What the step names in `with`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub subject: Option<Json>,
    /// JSON Schema of the data that comes with a decision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub form: Option<Json>,
    pub record: Vec<ReviewEntry>,
}

/// An entry of a review's record.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ReviewEntry {
    pub at: Timestamp,
    /// What happened: `opened`, `claimed`, `released`, `expired`, `reassigned`, `commented`, `voted`, `escalated`,
    /// `overdue`, `cancelled`, `superseded` or `broken_glass`.
    pub what: String,
    /// Its facts.
    #[schema(value_type = Object)]
    pub facts: Json,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReviewOutcome {
    pub name: String,
    pub approves: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReviewClaim {
    pub person: String,
    /// A decision has to carry it.
    pub fence: String,
    pub until: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReviewState {
    Open,
    Claimed,
    Decided,
    Overdue,
    Cancelled,
    Superseded,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReviewKind {
    Review,
    Approval,
    Escalation,
}

impl fmt::Display for ReviewState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Claimed => "claimed",
            Self::Decided => "decided",
            Self::Overdue => "overdue",
            Self::Cancelled => "cancelled",
            Self::Superseded => "superseded",
        })
    }
}

/// Body of `POST /v1/reviews/next`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NextReview {
    /// Absent: any pool of the person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
}

/// Body of `POST /v1/reviews/{review}/release` and `/escalate`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WithFence {
    /// That of the claim; needed from a reviewer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fence: Option<String>,
}

/// Body of `POST /v1/reviews/{review}/reassign`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Reassign {
    /// The person who has it from now on.
    pub to: String,
    /// That of the claim; needed from a reviewer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fence: Option<String>,
}

/// Body of `POST /v1/reviews/{review}/comment`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReviewComment {
    /// At most 16 KiB.
    pub text: String,
}

/// Body of `POST /v1/reviews/{review}/decide`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Decide {
    /// That of the claim.
    pub fence: String,
    /// That of the review as it was shown.
    pub digest: String,
    pub outcome: String,
    /// What was filled in or edited. Absent: what was proposed, if somebody has, and else `null`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub data: Option<Json>,
}

/// Body of `POST /v1/reviews/{review}/break-glass`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BreakGlass {
    /// The member of the pool who answers for it.
    pub person: String,
    /// Why nobody else could.
    pub reason: String,
    pub digest: String,
    pub outcome: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub data: Option<Json>,
}

/// Body of `POST /v1/reviews/decide`: each is done or refused by itself.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DecideAll {
    /// At most 100.
    pub decisions: Vec<DecideOne>,
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DecideOne {
    pub review: String,
    pub fence: String,
    pub digest: String,
    pub outcome: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub data: Option<Json>,
}

/// What a decision did.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Decided {
    pub review: String,
    /// How many more persons have to say the same; 0: the review has ended. Absent if the decision had no effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub more: Option<u32>,
    /// Why the decision had no effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Box<Problem>>,
}

const fn default_lease_ms() -> u64 {
    3_600_000
}

const fn default_class_bound() -> u32 {
    9
}
