//! What people do to reviews.

use std::sync::Arc;

use crate::id::{PersonId, ReviewId, ReviewerPoolName};
use crate::reject::Rejection;
use crate::review::{Barrier, Refused};
use crate::reviews::{Decided, Decision, Event};
use crate::row::{Actor, ReviewEvent, ReviewState};

use super::super::effect::Response;
use super::super::input::{BreakGlass, Decide, Handler, ReplyId, ReviewCommand};
use super::super::{Cell, Turn};
use super::pools::People;

/// Longest comment.
pub(crate) const COMMENT_BYTES_MAX: usize = 16 * 1024;
/// Most entries of one review's record that people can make: comments, claims and what follows from them.
pub(crate) const EVENTS_MAX: u32 = 10_000;

impl Cell {
    pub(crate) fn review(&mut self, reply: ReplyId, command: ReviewCommand, turn: &mut Turn) {
        let done = match command {
            ReviewCommand::Next { person, pool } => {
                Ok(self.next_review(&person, pool.as_ref(), turn))
            }
            ReviewCommand::Claim { review, person } => self.claim_review(review, &person, turn),
            ReviewCommand::Release { review, person, fence } => {
                self.release_review(review, person, fence, turn)
            }
            ReviewCommand::Reassign { review, to, by } => {
                self.reassign_review(review, to, &by, turn)
            }
            ReviewCommand::Escalate { review, by } => self.escalate_review(review, &by, turn),
            ReviewCommand::Comment { review, by, text } => self.comment(review, &by, text, turn),
            ReviewCommand::Decide(decisions) => Ok(Response::Decided(
                decisions.into_iter().map(|decide| self.decide_review(decide, turn)).collect(),
            )),
            ReviewCommand::BreakGlass(given) => self.break_glass(*given, turn),
        };
        match done {
            Ok(response) => turn.reply(reply, response),
            Err(rejection) => turn.reject(reply, rejection),
        }
    }

    fn next_review(
        &mut self,
        person: &PersonId,
        pool: Option<&ReviewerPoolName>,
        turn: &mut Turn,
    ) -> Response {
        self.fence += 1;
        let fence = self.fence;
        let found = self.desk.queue.claim_next(
            self.now,
            person,
            (pool, fence),
            &People::of(&self.directory, &self.policed, self.now),
        );
        let Some(review) = found else { return Response::NothingToReview };
        self.note_claimed(review);
        self.note(review, ReviewEvent::Claimed { by: person.clone(), fence }, turn);
        Response::Claimed(Box::new(self.view(review)))
    }

    fn claim_review(
        &mut self,
        review: ReviewId,
        person: &PersonId,
        turn: &mut Turn,
    ) -> Result<Response, Rejection> {
        self.fence += 1;
        let fence = self.fence;
        let was_open = self.desk.queue.item(review).is_some_and(|item| item.claim.is_none());
        let claim = self
            .desk
            .queue
            .claim(
                self.now,
                review,
                (person, fence),
                &People::of(&self.directory, &self.policed, self.now),
            )
            .map_err(|refused| refusal(review, refused))?;
        if was_open {
            self.note_claimed(review);
        }
        let event = ReviewEvent::Claimed { by: claim.person, fence: claim.fence };
        self.note(review, event, turn);
        Ok(Response::Claimed(Box::new(self.view(review))))
    }

    fn release_review(
        &mut self,
        review: ReviewId,
        person: PersonId,
        fence: u64,
        turn: &mut Turn,
    ) -> Result<Response, Rejection> {
        let released = self.desk.queue.release(review, &person, fence);
        released.map_err(|refused| self.visible(review, &person, refused))?;
        self.note(review, ReviewEvent::Released { by: person }, turn);
        Ok(Response::Reviewed)
    }

    fn reassign_review(
        &mut self,
        review: ReviewId,
        to: PersonId,
        by: &Handler,
        turn: &mut Turn,
    ) -> Result<Response, Rejection> {
        let by = self.handler(review, by, true)?;
        self.fence += 1;
        let fence = self.fence;
        self.desk
            .queue
            .reassign(
                self.now,
                review,
                (&to, fence),
                &People::of(&self.directory, &self.policed, self.now),
            )
            .map_err(|refused| Rejection::Review { review, refused })?;
        self.note(review, ReviewEvent::Reassigned { to, fence, by }, turn);
        Ok(Response::Reviewed)
    }

    fn escalate_review(
        &mut self,
        review: ReviewId,
        by: &Handler,
        turn: &mut Turn,
    ) -> Result<Response, Rejection> {
        let by = self.handler(review, by, true)?;
        let event = self
            .desk
            .queue
            .escalate_now(self.now, review)
            .map_err(|refused| Rejection::Review { review, refused })?;
        if let Event::Escalated { id, rung, lost } = event {
            self.log_rung_taken(id, (rung.notify, lost), Some(by), turn);
        }
        Ok(Response::Reviewed)
    }

    fn comment(
        &mut self,
        review: ReviewId,
        by: &Handler,
        text: Arc<str>,
        turn: &mut Turn,
    ) -> Result<Response, Rejection> {
        let by = self.handler(review, by, false)?;
        if text.len() > COMMENT_BYTES_MAX {
            let (bytes, max) = (text.len() as u64, COMMENT_BYTES_MAX as u64);
            return Err(Rejection::TooLong { field: "/text", bytes, max });
        }
        if self.desk.open[&review].events >= EVENTS_MAX {
            let max = u64::from(EVENTS_MAX);
            return Err(Rejection::TooMany { what: "entries of a review's record", max });
        }
        self.note(review, ReviewEvent::Commented { by, text }, turn);
        Ok(Response::Reviewed)
    }

    fn decide_review(&mut self, decide: Decide, turn: &mut Turn) -> Result<u32, Rejection> {
        let Decide { review, person, fence, digest, outcome, data, result } = decide;
        let opened = self.desk.open.get(&review).cloned();
        let opened = opened.ok_or(Rejection::UnknownReview { review })?;
        let decision = Decision { person: person.clone(), fence, digest, outcome, result };
        let decided = self.desk.queue.decide(
            self.now,
            review,
            &decision,
            &People::of(&self.directory, &self.policed, self.now),
        );
        let decided = decided.map_err(|refused| self.visible(review, &person, refused))?;
        let Decision { outcome, .. } = decision;
        let (more, by) = match &decided {
            Decided::Ended { by, .. } => (0, by.clone()),
            Decided::Needs(more) => (*more, vec![person.clone()]),
        };
        let facts = serde_json::json!({
            "review": review,
            "outcome": outcome,
            "by": person,
            "fence": fence,
            "more": more,
        });
        let actor = Some(Actor::Person(person.clone()));
        self.log_review((&opened, actor), "review-decided", facts, turn);
        let event =
            ReviewEvent::Voted { by: person, outcome: outcome.clone(), data: data.clone(), more };
        match decided {
            Decided::Needs(_) => self.note(review, event, turn),
            Decided::Ended { mut item, by: all } => {
                item.votes = all;
                let state = ReviewState::Decided { outcome: outcome.clone() };
                self.close_review(review, (&item, state), event, turn);
                self.reviewed((review, &opened), (&outcome, &by), &data, turn);
            }
        }
        Ok(more)
    }

    fn break_glass(&mut self, given: BreakGlass, turn: &mut Turn) -> Result<Response, Rejection> {
        let BreakGlass { decide, by, reason } = given;
        let Decide { review, person, fence, digest, outcome, data, result } = decide;
        let opened = self.desk.open.get(&review).cloned();
        let opened = opened.ok_or(Rejection::UnknownReview { review })?;
        let decision = Decision { person: person.clone(), fence, digest, outcome, result };
        let mut item = self
            .desk
            .queue
            .break_glass(review, &decision, &People::of(&self.directory, &self.policed, self.now))
            .map_err(|refused| Rejection::Review { review, refused })?;
        let Decision { outcome, .. } = decision;
        let facts = serde_json::json!({
            "review": review,
            "outcome": outcome,
            "person": person,
            "reason": &*reason,
        });
        let actor = Some(by.clone());
        self.log_review((&opened, actor), "review-glass-broken", facts, turn);
        let event = ReviewEvent::BrokenGlass {
            by,
            person: person.clone(),
            reason,
            outcome: outcome.clone(),
            data: data.clone(),
        };
        item.votes = vec![person.clone()];
        let state = ReviewState::Decided { outcome: outcome.clone() };
        self.close_review(review, (&item, state), event, turn);
        self.reviewed((review, &opened), (&outcome, &[person]), &data, turn);
        Ok(Response::Reviewed)
    }

    /// Who does it, if they may see the review: a person who may decide it, or has it; a key of its tenant; or any key that
    /// is no tenant's. `holds`: a person must have it.
    fn handler(&self, review: ReviewId, by: &Handler, holds: bool) -> Result<Actor, Rejection> {
        let unknown = || Rejection::UnknownReview { review };
        let opened = self.desk.open.get(&review).ok_or_else(unknown)?;
        match by {
            Handler::Owner { by, tenant } => {
                let is_theirs = tenant.as_ref().is_none_or(|tenant| *tenant == opened.key.tenant);
                is_theirs.then(|| by.clone()).ok_or_else(unknown)
            }
            Handler::Person { person, fence } => {
                let item = self.desk.queue.item(review).ok_or_else(unknown)?;
                let facts = People::of(&self.directory, &self.policed, self.now);
                if holds || fence.is_some() {
                    item.held_by(person, fence.unwrap_or_default())
                        .map_err(|refused| self.visible(review, person, refused))?;
                } else if let Some(barrier) = self.desk.queue.barrier(item, person, &facts)
                    && barrier != Barrier::Voted
                {
                    return Err(refusal(review, Refused::Barred(barrier)));
                }
                Ok(Actor::Person(person.clone()))
            }
        }
    }

    /// What is said to a person whose command had no effect: nothing of a review that is not for them.
    fn visible(&self, review: ReviewId, person: &PersonId, refused: Refused) -> Rejection {
        let Some(item) = self.desk.queue.item(review) else {
            return Rejection::UnknownReview { review };
        };
        match self.desk.queue.barrier(
            item,
            person,
            &People::of(&self.directory, &self.policed, self.now),
        ) {
            Some(barrier) if is_hidden(&barrier) => Rejection::UnknownReview { review },
            _ => refusal(review, refused),
        }
    }
}

/// A person who is no member, or not for that tenant, learns nothing of a review, not even that it is there.
pub(super) const fn is_hidden(barrier: &Barrier) -> bool {
    matches!(barrier, Barrier::NotMember | Barrier::Tenant)
}

pub(super) fn refusal(review: ReviewId, refused: Refused) -> Rejection {
    match refused {
        Refused::Unknown => Rejection::UnknownReview { review },
        Refused::Barred(barrier) if is_hidden(&barrier) => Rejection::UnknownReview { review },
        refused => Rejection::Review { review, refused },
    }
}
