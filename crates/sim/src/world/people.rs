//! Reviewers and the host: what they ask for, late, twice or lost on its way.

use fairlane_core::cell::effect::Response;
use fairlane_core::cell::input::{Configure, Input, ReviewCommand};
use fairlane_core::id::{PersonId, RunId};
use fairlane_core::review::ReviewerPool;
use fairlane_core::row::{ReviewCause, ReviewRow};

use super::traffic::delivery;
use super::{Act, Event, World};
use crate::host::{About, Sender};
use crate::landscape::millis;
use crate::people::{self, PERSONS};
use crate::violation::Verdict;

/// Of requests, those that come twice.
const TWICE_PERMILLE: u32 = 40;

impl World {
    pub(super) fn reviewer_acts(&mut self, at: usize) {
        if self.act != Act::Busy {
            return;
        }
        let open: Vec<&ReviewRow> =
            self.rows.reviews.values().filter(|row| row.ended.is_none()).collect();
        let command = self.reviewers[at].act(&open);
        if let Some(command) = command {
            let draws = &mut self.draws.reviewers[at];
            let again = draws.chance(TWICE_PERMILLE).then(|| millis(draws, 1, 2_000));
            let delay = delivery(draws, self.faults.lost);
            for delay in delay.into_iter().chain(again) {
                self.plan(delay, Event::Reviews(at, Box::new(command.clone())));
            }
        }
        let gap = self.reviewers[at].gap();
        self.plan(gap, Event::ReviewerActs(at));
    }

    /// A reviewer's request is at the host.
    pub(super) fn reviews(&mut self, at: usize, mut command: ReviewCommand) -> Verdict {
        if self.host.driver.is_none() {
            return Ok(());
        }
        self.checks.asked(&command);
        if let Some(planted) = self.scenario.planted {
            planted.hand_on(&mut command, &self.rows);
        }
        let reply = self.host.expect_reply(Sender::Reviewer(at), About::Review);
        self.step(Input::Review(reply, command))
    }

    /// What the platform asks people has a day: an operator lets it fail in the place of everybody who has gone.
    pub(super) fn let_reviews_go(&mut self) -> Verdict {
        let pools: Vec<ReviewerPool> = self.rows.reviewer_pools.values().cloned().collect();
        for pool in pools {
            let members = people::everybody();
            self.declare(Configure::ReviewerPool(ReviewerPool { members, ..pool }))?;
        }
        let is_asked = |row: &&ReviewRow| {
            row.ended.is_none()
                && matches!(row.cause, ReviewCause::Outage { .. } | ReviewCause::Confidence { .. })
        };
        let asked: Vec<ReviewRow> = self.rows.reviews.values().filter(is_asked).cloned().collect();
        for row in &asked {
            if self.host.driver.is_none() {
                break;
            }
            let given = crate::reviewer::failed(row);
            let reply = self.host.expect_reply(Sender::Operator, About::Review);
            self.step(Input::Review(reply, ReviewCommand::BreakGlass(Box::new(given))))?;
        }
        Ok(())
    }

    /// Some runs are submitted by a person, who then decides none of their reviews.
    pub(super) fn requester(&self, run: RunId) -> Option<PersonId> {
        let drawn = u64::try_from(run.0 & 0xff).expect("less than 256");
        let is_person = !self.reviewers.is_empty() && drawn.is_multiple_of(3);
        is_person.then(|| people::person(drawn % PERSONS))
    }

    pub(super) fn reviewer_is_told(&mut self, at: usize, response: Response) {
        let lost = self.faults.lost;
        if let Some(delay) = delivery(&mut self.draws.reviewers[at], lost) {
            self.plan(delay, Event::ReviewerHears(at, Box::new(response)));
        }
    }
}
