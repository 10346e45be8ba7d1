//! Decisions: who may make one, on what, and how many of them it takes.
//!
//! An outcome that does not approve decides at once. An approving one takes as many distinct persons as the terms say, who
//! all say the same of the same: whoever edits, or chooses another approving outcome, begins a new proposal, and those who
//! agreed with the one before it may look again.

use std::sync::Arc;

use crate::id::{OutcomeName, PersonId, ReviewId};
use crate::time::Time;

use crate::review::{Barrier, Digest, Over, Proposal, Refused};

use super::{Facts, Item, Reviews};

/// What somebody says of a review.
#[derive(Clone, Debug)]
pub struct Decision {
    pub person: PersonId,
    /// Of the claim that it is made under.
    pub fence: u64,
    /// Of what it is made on, as it was shown.
    pub digest: Digest,
    pub outcome: OutcomeName,
    /// Of what it is made on, with the outcome and with what was edited: what others have to agree with.
    pub result: Digest,
}

/// What a decision did.
#[derive(Clone, Debug)]
pub enum Decided {
    /// The review has ended. Its persons: those who agreed, the last one included.
    Ended { item: Box<Item>, by: Vec<PersonId> },
    /// So many more persons have to say the same.
    Needs(u32),
}

impl Reviews {
    /// Everything is checked before anything changes.
    pub fn decide(
        &mut self,
        now: Time,
        id: ReviewId,
        decision: &Decision,
        facts: Facts<'_>,
    ) -> Result<Decided, Refused> {
        self.may_decide(now, id, decision, facts)?;
        let item = self.items.get_mut(&id).expect("it was just found");
        let outcome = item.terms.outcome(&decision.outcome).ok_or(Refused::UnknownOutcome)?;
        let agrees = item.proposal.as_ref().is_some_and(|proposal| {
            proposal.outcome == decision.outcome && proposal.digest == decision.result
        });
        let before = if agrees { item.votes.len() } else { 0 };
        let persons = item.terms.persons as usize;
        if !outcome.approving || before + 1 >= persons {
            let mut item = self.end(id).expect("it was just found");
            let mut by = std::mem::take(&mut item.votes);
            by.truncate(if outcome_approves(&item, &decision.outcome) { before } else { 0 });
            by.push(decision.person.clone());
            return Ok(Decided::Ended { item: Box::new(item), by });
        }
        item.votes.truncate(before);
        item.votes.push(decision.person.clone());
        item.proposal =
            Some(Proposal { outcome: decision.outcome.clone(), digest: decision.result });
        item.place.excluded = Arc::new(item.shut_out());
        let more = u32::try_from(persons - item.votes.len()).expect("persons are bounded");
        self.reopen(id, Over::Voted);
        Ok(Decided::Needs(more))
    }

    /// Whether the decision would have an effect.
    pub fn may_decide(
        &self,
        now: Time,
        id: ReviewId,
        decision: &Decision,
        facts: Facts<'_>,
    ) -> Result<(), Refused> {
        let item = self.items.get(&id).ok_or(Refused::Unknown)?;
        item.held_by(&decision.person, decision.fence)?;
        if item.claim.as_ref().is_some_and(|claim| claim.until <= now) {
            return Err(Refused::ClaimOver(Over::Expired));
        }
        if let Some(barrier) = self.barrier(item, &decision.person, facts) {
            return Err(Refused::Barred(barrier));
        }
        if decision.digest != *item.digest() {
            return Err(Refused::WrongDigest);
        }
        item.terms.outcome(&decision.outcome).map(drop).ok_or(Refused::UnknownOutcome)
    }

    /// Ends a review without a claim, without the other persons that it asks for, and whoever is excluded: the glass is
    /// broken. What protects the tenant's data holds all the same: the person has to be a member of the pool whom the
    /// zone, the certifications and the policy let see it.
    pub fn break_glass(
        &mut self,
        id: ReviewId,
        decision: &Decision,
        facts: Facts<'_>,
    ) -> Result<Box<Item>, Refused> {
        let item = self.items.get(&id).ok_or(Refused::Unknown)?;
        let barrier = self.barrier(item, &decision.person, facts);
        let waived = |barrier: &Barrier| {
            matches!(barrier, Barrier::Skill(_) | Barrier::Excluded | Barrier::Voted)
        };
        if let Some(barrier) = barrier.filter(|barrier| !waived(barrier)) {
            return Err(Refused::Barred(barrier));
        }
        if decision.digest != *item.digest() {
            return Err(Refused::WrongDigest);
        }
        item.terms.outcome(&decision.outcome).ok_or(Refused::UnknownOutcome)?;
        Ok(Box::new(self.end(id).expect("it was just found")))
    }
}

fn outcome_approves(item: &Item, name: &OutcomeName) -> bool {
    item.terms.outcome(name).is_some_and(|outcome| outcome.approving)
}
