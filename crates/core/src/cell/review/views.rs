//! Reviews that nobody has decided, as people see them.

use crate::id::{PersonId, ReviewId};
use crate::reject::Rejection;
use crate::review::{Barrier, Refused};
use crate::time::Time;

use super::super::Cell;
use super::super::effect::{Response, ReviewView, Waiting};
use super::super::input::ReviewsOf;
use super::commands::refusal;
use super::pools::People;

impl Cell {
    /// A review that is open.
    pub(super) fn view(&self, review: ReviewId) -> ReviewView {
        let opened = &self.desk.open[&review];
        let item = self.desk.queue.item(review).expect("an open review stands in the queue");
        let facts = People::of(&self.directory, &self.policed, self.now);
        let standing = self.desk.queue.standing(review, &facts);
        let run = self.runs.find(&opened.key).expect("an open review has its run");
        let run = self.runs.get(run);
        ReviewView {
            id: review,
            key: opened.key.clone(),
            workflow: run.shape.workflow.clone(),
            context: run.context.clone(),
            instance: opened.instance,
            cause: opened.cause.clone(),
            opened: opened.since,
            terms: item.terms.clone(),
            subject: *item.subject(),
            digest: *item.digest(),
            votes: item.votes.clone(),
            proposal: item.proposal.clone(),
            standing: standing.expect("an open review stands in the queue"),
        }
    }

    /// For a person: what they may decide, or have decided. A member of its pool is told why not, as at a claim; to anybody
    /// else it is not there.
    pub(crate) fn review_answer(&self, review: ReviewId, person: Option<&PersonId>) -> Response {
        let Some(item) = self.desk.queue.item(review) else {
            return Response::Rejected(Rejection::UnknownReview { review });
        };
        let facts = People::of(&self.directory, &self.policed, self.now);
        let barrier = person.and_then(|person| self.desk.queue.barrier(item, person, &facts));
        if let Some(barrier) = barrier.filter(|barrier| *barrier != Barrier::Voted) {
            return Response::Rejected(refusal(review, Refused::Barred(barrier)));
        }
        Response::Review(Box::new(self.view(review)))
    }

    pub(crate) fn list_reviews(
        &self,
        of: &ReviewsOf,
        after: Option<(Time, ReviewId)>,
        limit: usize,
    ) -> Vec<ReviewView> {
        let facts = People::of(&self.directory, &self.policed, self.now);
        let is_after = |id: &ReviewId| after.is_none_or(|(_, after)| *id > after);
        let found: Vec<ReviewId> = match of {
            ReviewsOf::Open(person) => self.desk.queue.list(person, after, limit, &facts),
            ReviewsOf::Claimed(person) => self
                .desk
                .queue
                .held(person)
                .into_iter()
                .filter(|id| {
                    let item = self.desk.queue.item(*id);
                    let is_later =
                        item.is_some_and(|item| after.is_none_or(|after| (item.due, *id) > after));
                    is_later
                        && item.is_some_and(|item| {
                            self.desk.queue.barrier(item, person, &facts).is_none()
                        })
                })
                .take(limit)
                .collect(),
            ReviewsOf::Tenant(tenant) => {
                let own = self.desk.open.iter().filter(|(_, opened)| opened.key.tenant == *tenant);
                own.map(|(id, _)| *id).filter(is_after).take(limit).collect()
            }
            ReviewsOf::All => self.desk.open.keys().copied().filter(is_after).take(limit).collect(),
        };
        found.into_iter().map(|id| self.view(id)).collect()
    }

    /// What a step, or a run without money, waits for.
    pub(crate) fn waits_for_review(&self, review: ReviewId) -> Option<Waiting> {
        let facts = People::of(&self.directory, &self.policed, self.now);
        let standing = Box::new(self.desk.queue.standing(review, &facts)?);
        Some(Waiting::Review { review, standing })
    }
}
