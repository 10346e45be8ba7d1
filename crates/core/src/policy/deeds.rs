//! What policies have answered about people and reviews.
//!
//! An answer depends on the policies (one set at a time), the version of the tenant's context, the pool with its owner's
//! version, what the review is for, and the person with their region: all of it is in the key, so an entry never grows
//! old. Who looks for the next of many reviews asks for each tenant once, however many it has.

use std::collections::BTreeMap;

use crate::id::{PersonId, RegionName, ReviewerPoolName};

use super::{Deed, Denied, Person, Policies, Review, Subject};

/// Answers that are kept at most, about 100 bytes each.
const ANSWERS_MAX: usize = 200_000;

/// What people may do to reviews, as answered so far.
#[derive(Debug, Default)]
pub struct Deeds {
    by_tenant: BTreeMap<u32, Answers>,
    held: usize,
    evaluations: u64,
}

/// What one version of a tenant's context has been answered.
#[derive(Debug, Default)]
struct Answers {
    version: u32,
    of: BTreeMap<Asked, Result<(), Denied>>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Asked {
    pool: ReviewerPoolName,
    kind: Box<str>,
    person: PersonId,
    region: Option<RegionName>,
    /// The version of the context of the pool's own tenant.
    owner: Option<u32>,
}

impl Deeds {
    /// Forgets all: other policies are in force.
    pub fn clear(&mut self) {
        *self = Self { evaluations: self.evaluations, ..Self::default() };
    }

    /// How often policies were evaluated, rather than an answer looked up.
    pub const fn evaluations(&self) -> u64 {
        self.evaluations
    }

    /// Whether the person may claim and decide reviews like this one of the tenant with that number.
    pub fn may_review(
        &mut self,
        policies: &Policies,
        tenant: u32,
        (person, review): (&Person<'_>, &Review<'_>),
    ) -> Result<(), Denied> {
        let Subject { context, .. } = review.tenant;
        let asked = Asked {
            pool: review.pool.clone(),
            kind: review.kind.into(),
            person: person.id.clone(),
            region: person.region.cloned(),
            owner: person.tenant.map(|owner| owner.context.version),
        };
        let answers = self.by_tenant.get(&tenant);
        let answers = answers.filter(|answers| answers.version == context.version);
        if let Some(known) = answers.and_then(|answers| answers.of.get(&asked)) {
            return known.clone();
        }
        self.evaluations += 1;
        let answer = policies
            .decide_deed(person, Deed::ClaimReview, review)
            .and_then(|()| policies.decide_deed(person, Deed::DecideReview, review));
        if self.held >= ANSWERS_MAX {
            self.clear();
        }
        let answers = self.by_tenant.entry(tenant).or_default();
        if answers.version != context.version {
            self.held -= std::mem::take(&mut answers.of).len();
            answers.version = context.version;
        }
        answers.of.insert(asked, answer.clone());
        self.held += 1;
        answer
    }
}
