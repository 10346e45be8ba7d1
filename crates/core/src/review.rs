//! Reviewer pools as the operator declares them, and what a step of a workflow asks of the people in them.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::id::{
    CertificateName, OutcomeName, PersonId, RegionName, ReviewerPoolName, SkillName, TenantId,
};
use crate::time::{Span, Time};

/// Priority classes: 0 is served first.
pub const CLASSES: u8 = 8;
/// The class of tenants whose tier names none.
pub const CLASS_DEFAULT: u8 = 4;
/// Most members of one pool.
pub const MEMBERS_MAX: usize = 10_000;
/// Most skills, certifications or tenants of one member, and most skills that a review asks for.
pub const NAMES_MAX: usize = 256;
/// Most distinct persons that one decision takes.
pub const PERSONS_MAX: u32 = 16;
/// Most rungs of an escalation ladder.
pub const LADDER_MAX: usize = 16;
/// Most outcomes of a review.
pub const OUTCOMES_MAX: usize = 32;
/// Most persons that a review names as excluded.
pub const EXCLUDED_MAX: usize = 64;
/// Shortest and longest lease of a claim.
pub const LEASE_MIN: Span = Span::from_secs(1);
pub const LEASE_MAX: Span = Span::from_secs(7 * 24 * 3_600);
/// Longest time until a review, or a rung of its ladder, is due.
pub const DUE_MAX: Span = Span::from_secs(366 * 24 * 3_600);
/// Most reviews of higher classes that one of a lower class waits for.
pub const CLASS_BOUND_MAX: u32 = 1_000;

/// People who decide, for one tenant or for all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReviewerPool {
    pub name: ReviewerPoolName,
    /// The pool works for this tenant only; `None`: it is shared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<TenantId>,
    /// A claim that is not renewed for so long is over.
    pub lease: Span,
    /// A lower class is served after so many of higher classes that its reviewers took meanwhile.
    pub class_bound: u32,
    /// Whether members may claim any review that they see, and not just the one whose turn it is. Between the tenants of
    /// a shared pool it is then the members who are fair or not.
    pub pick: bool,
    pub members: Vec<Member>,
}

impl ReviewerPool {
    /// An hour: long enough to read a file, short enough that an item of somebody who went home comes back the same day.
    pub const LEASE_DEFAULT: Span = Span::from_secs(3_600);
    /// A tenth of the work may go to lower classes.
    pub const CLASS_BOUND_DEFAULT: u32 = 9;
}

/// One person in a pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    pub person: PersonId,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub skills: BTreeSet<SkillName>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub certifications: BTreeSet<CertificateName>,
    /// Where the person works now. Without one the person counts as outside of every zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<RegionName>,
    /// The tenants that the person may serve; `None`: all of the pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenants: Option<BTreeSet<TenantId>>,
}

/// What a review is for.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Somebody is to look and to say what they found.
    #[default]
    Review,
    /// Somebody is to allow what was prepared.
    Approval,
    /// The platform could not go on by itself.
    Escalation,
}

impl Kind {
    /// As policies and the API name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Review => "review",
            Self::Approval => "approval",
            Self::Escalation => "escalation",
        }
    }
}

/// Something that a review can come to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    pub name: OutcomeName,
    /// It lets through what was asked for: it takes as many persons as the review says, and never comes by itself.
    pub approving: bool,
}

/// What happens when the due time passes and nobody has decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Escalation {
    /// The pool that goes on with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<ReviewerPoolName>,
    /// The class that it has from now on, if that is a higher one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<u8>,
    /// Tell the tenant.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub notify: bool,
    /// The new due time, from now.
    pub within: Span,
}

/// What becomes of a review that nobody decided, at the end of its ladder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overdue {
    /// The step fails.
    #[default]
    Fail,
    /// The step ends with this outcome, which is not an approving one.
    Outcome(OutcomeName),
}

/// What a step asks of people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    pub kind: Kind,
    /// `None`: the tenant's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<ReviewerPoolName>,
    /// From when it is open.
    pub due: Span,
    /// How many distinct persons have to say the same for an approving outcome.
    pub persons: u32,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub skills: BTreeSet<SkillName>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub certifications: BTreeSet<CertificateName>,
    /// Persons who may not decide, besides whoever submitted the run.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub exclude: BTreeSet<PersonId>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub escalate: Vec<Escalation>,
    pub outcomes: Vec<Outcome>,
    #[serde(default)]
    pub on_overdue: Overdue,
    /// JSON Schema of the data that comes with a decision, as JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub form: Option<Arc<str>>,
}

/// One person, who approves or rejects within a day.
impl Default for Terms {
    fn default() -> Self {
        Self {
            kind: Kind::Review,
            pool: None,
            due: Self::DUE_DEFAULT,
            persons: 1,
            skills: BTreeSet::new(),
            certifications: BTreeSet::new(),
            exclude: BTreeSet::new(),
            escalate: Vec::new(),
            outcomes: Self::outcomes_default(),
            on_overdue: Overdue::Fail,
            form: None,
        }
    }
}

impl Terms {
    /// A day: a review that nobody gave a time is no emergency, and has an end.
    pub const DUE_DEFAULT: Span = Span::from_secs(24 * 3_600);

    /// `approved`, which approves, and `rejected`: what a review has that declares no outcomes.
    pub fn outcomes_default() -> Vec<Outcome> {
        let outcome = |name, approving| Outcome {
            name: OutcomeName::parse(name).expect("the name is one"),
            approving,
        };
        vec![outcome("approved", true), outcome("rejected", false)]
    }

    pub fn outcome(&self, name: &OutcomeName) -> Option<&Outcome> {
        self.outcomes.iter().find(|outcome| outcome.name == *name)
    }

    /// A review that decides itself must not decide to let through what was asked for.
    pub fn approves_itself(&self) -> bool {
        match &self.on_overdue {
            Overdue::Fail => false,
            Overdue::Outcome(name) => self.outcome(name).is_none_or(|outcome| outcome.approving),
        }
    }
}

/// SHA-256 of what is decided on.
pub type Digest = [u8; 32];

/// Somebody has a review, until then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    pub person: PersonId,
    pub fence: u64,
    pub until: Time,
}

/// What those who have decided agree on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    pub outcome: OutcomeName,
    /// Of what was decided on, with the outcome and what was edited.
    pub digest: Digest,
}

/// How a claim ended without a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Over {
    Expired,
    Released,
    Reassigned,
    /// The review went on to another pool.
    Escalated,
    /// More persons are needed, and this one has decided.
    Voted,
}

/// Why a person may not decide a review.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Barrier {
    NotMember,
    /// May not serve the tenant.
    Tenant,
    /// Works outside the tenant's zone, or nobody knows where.
    Zone,
    Certification(CertificateName),
    Skill(SkillName),
    /// This policy forbids the person its claim or its decision.
    Policy(Arc<str>),
    /// Is the requester, or named as excluded.
    Excluded,
    /// Has decided already: the others are to be somebody else.
    Voted,
}

/// Why nothing was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Refused {
    /// There is no such review, or it has ended.
    Unknown,
    /// Not for this person.
    Barred(Barrier),
    /// Another review is this person's next, and the pool's members do not pick.
    NotNext,
    /// Another person has it. To the holder of the claim before that one: see [`Refused::ClaimOver`].
    Claimed,
    NotClaimed,
    /// The claim that the decision names is over.
    ClaimOver(Over),
    /// The fence is not that of the claim.
    StaleFence,
    /// Something else was decided on.
    WrongDigest,
    UnknownOutcome,
    /// Its ladder has no rung left.
    NoRung,
}
