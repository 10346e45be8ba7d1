//! Reviews: steps that people do, and what the platform asks people when it cannot go on.
//!
//! [`crate::reviews`] knows whose turn it is and who may decide. This composes it with runs: [`Cell::open_review`] is the one
//! way in, for steps and for escalations alike, and every review that ends here says so in its row, in its record and, if
//! somebody or something decided, in the decision log. A review that waits holds no slot, no quota and no money: its step
//! stands in no pool and has passed no gate.
//!
//! INVARIANT: a review is open here exactly while its step is `Reviewing` it or its run is halted with it.

mod commands;
mod pools;
mod views;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::id::{OutcomeName, PersonId, ReviewId, RunId, mix};
use crate::money::Nano;
use crate::plan::{Step, StepKind};
use crate::replan::{Confidence, Trust, Unfit};
use crate::review::{Digest, Kind, Outcome, Overdue, Terms};
use crate::reviews::{Ask, Event, Item, Reviews, Stored};
use crate::row::{
    Actor, Instance, Part, ReviewCause, ReviewEvent, ReviewEventRow, ReviewRow, ReviewState, RunKey,
};
use crate::time::Time;

use super::advance::{class, fail};
use super::change::Change;
use super::live::{At, State};
use super::{Cell, Turn};

/// The queue of reviews, and what each is for.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    pub(crate) queue: Reviews,
    open: BTreeMap<ReviewId, Opened>,
}

/// What the cell knows of a review that is open.
#[derive(Clone, Debug)]
struct Opened {
    key: RunKey,
    instance: Instance,
    cause: ReviewCause,
    since: Time,
    /// Entries of its record so far.
    events: u32,
}

/// A review that is to be opened.
pub(crate) struct Opening {
    pub(crate) id: ReviewId,
    pub(crate) cause: ReviewCause,
    pub(crate) terms: Arc<Terms>,
    pub(crate) digest: Digest,
}

/// The id of a review: a fixed function of its run and of the token that was raised for it.
pub(crate) const fn review_id(run: RunId, at: Time, fence: u64) -> ReviewId {
    ReviewId(run.derive(at, mix(fence)))
}

/// A step is done again: if people were asked, when it was ready and with that token, their review is superseded.
pub(crate) fn superseded(key: &RunKey, step: &Step, (ready, fence): (Time, u64), turn: &mut Turn) {
    if fence > 0 && matches!(step.kind, StepKind::Review(_)) {
        let review = review_id(key.run, ready, fence);
        turn.write(Change::SupersedeReview(key.tenant.clone(), review));
    }
}

impl Desk {
    pub(crate) fn is_open(&self, review: ReviewId) -> bool {
        self.open.contains_key(&review)
    }

    /// When it was opened.
    pub(crate) fn since(&self, review: ReviewId) -> Option<Time> {
        self.open.get(&review).map(|opened| opened.since)
    }

    /// The row of a review that is open.
    fn row(&self, review: ReviewId) -> ReviewRow {
        let item = self.queue.item(review).expect("a review that is open stands in the queue");
        let state = if item.claim.is_some() { ReviewState::Claimed } else { ReviewState::Open };
        self.row_of(review, item, state)
    }

    fn row_of(&self, review: ReviewId, item: &Item, state: ReviewState) -> ReviewRow {
        let opened = &self.open[&review];
        let (pool, class) = self.queue.place(item);
        ReviewRow {
            tenant: opened.key.tenant.clone(),
            id: review,
            state,
            ended: None,
            run: opened.key.run,
            instance: opened.instance,
            cause: opened.cause.clone(),
            pool: pool.clone(),
            class,
            opened: opened.since,
            due: item.due,
            rung: u32::try_from(item.rung).expect("ladders are bounded"),
            digest: *item.subject(),
            excluded: item.excluded().clone(),
            terms: item.terms.clone(),
            claim: item.claim.clone(),
            votes: item.votes.clone(),
            proposal: item.proposal.clone(),
            events: opened.events,
        }
    }
}

impl Cell {
    /// For people: how long the review was open until somebody claimed it.
    fn note_claimed(&mut self, review: ReviewId) {
        let opened = &self.desk.open[&review];
        let waited = self.now.since(opened.since);
        let tenant = self.directory.tenants.find(&opened.key.tenant);
        let item = self.desk.queue.item(review).expect("an open review stands in the queue");
        let (pool, _) = self.desk.queue.number_and_class(item);
        if let Some(tenant) = tenant {
            self.note_claim(tenant, pool, waited);
        }
    }

    /// Asks people about a step: one item in the pool that the terms name, or in the tenant's own. False if there is none
    /// that works for the tenant: nothing has happened then.
    pub(crate) fn open_review(&mut self, at: At, opening: Opening, turn: &mut Turn) -> bool {
        let Opening { id, cause, terms, digest } = opening;
        let facts = self.directory.review_facts(self.runs.get(at.run));
        let run = self.runs.get(at.run);
        let context = self.directory.tenants.get(run.tenant).context();
        let Some(name) = terms.pool.as_ref().or(context.reviewer_pool.as_ref()) else {
            return false;
        };
        let serves = |tenant: &crate::id::TenantId| *tenant == run.key.tenant;
        let declared = self.desk.queue.pool(name);
        if !declared.is_some_and(|pool| pool.tenant.as_ref().is_none_or(serves)) {
            return false;
        }
        let ask = Ask {
            id,
            tenant: run.tenant.0,
            weight: context.weight,
            class: context.review_class,
            pool: name.clone(),
            facts,
            excluded: run.requester.iter().chain(&terms.exclude).cloned().collect(),
            digest,
            due: self.now + terms.due,
            terms,
        };
        let event = ReviewEvent::Opened { pool: ask.pool.clone(), class: ask.class, due: ask.due };
        let opened = Opened {
            key: run.key.clone(),
            instance: run.node(at.node).instance,
            cause,
            since: self.now,
            events: 0,
        };
        assert!(self.desk.queue.open(ask), "review {id} is open already");
        self.desk.open.insert(id, opened);
        let place = self.desk.queue.item(id).map(|item| self.desk.queue.number_and_class(item));
        let place = place.expect("it was just opened");
        self.note_turnover(place, |turnover| turnover.opened += 1);
        self.note(id, event, turn);
        true
    }

    /// The subject of a step's review is known: people are asked.
    pub(crate) fn begin_review(&mut self, at: At, digest: Digest, turn: &mut Turn) {
        let run = self.runs.get_mut(at.run);
        let StepKind::Review(terms) = &run.step(at.node).kind else {
            unreachable!("only a review has a subject");
        };
        let terms = terms.clone();
        self.fence += 1;
        let key = run.key.run;
        let node = run.node_mut(at.node);
        node.fence = self.fence;
        let id = review_id(key, node.ready, node.fence);
        let opening = Opening { id, cause: ReviewCause::Step, terms, digest };
        if self.open_review(at, opening, turn) {
            self.move_to(at, State::Reviewing(Box::new(id)), None, turn);
        } else {
            let message = "no reviewer pool is declared that works for the tenant";
            let failure = fail(class::NO_REVIEWERS, message);
            self.end(at, State::Failed(Box::new(failure)), None, turn);
        }
    }

    /// The run is halted for want of money, and its ladder says that a person is asked. Without a pool of the tenant it waits
    /// as any run that is halted.
    pub(crate) fn escalate_shortage(
        &mut self,
        at: At,
        (need, left): (Nano, Nano),
        turn: &mut Turn,
    ) {
        let (cause, terms) = (ReviewCause::Money { need, left }, shortage_terms());
        if let Some(id) = self.escalate(at, (cause, terms), [need.0, left.0], turn) {
            let halt = self.runs.get_mut(at.run).halt.as_mut();
            halt.expect("the run is halted").review = Some(id);
        }
    }

    /// No endpoint that a step may go to has answered for long, and the tenant wants a person to decide: the step is done by
    /// that person, or fails. False if there is no pool for it.
    pub(crate) fn escalate_outage(&mut self, at: At, since: Time, turn: &mut Turn) -> bool {
        let (cause, terms) = (ReviewCause::Outage { since }, outage_terms());
        let opened = self.escalate(at, (cause, terms), [since.0, 0], turn);
        if let Some(id) = opened {
            self.move_to(at, State::Reviewing(Box::new(id)), None, turn);
        }
        opened.is_some()
    }

    /// A step is less sure of its output than it must be, and nobody plans for it: people decide whether it stands. With
    /// `made`: what it has just made; else what is stored. False if there is no pool for it.
    pub(crate) fn escalate_doubt(
        &mut self,
        at: At,
        (made, confidence): (Option<crate::row::Payload>, Confidence),
        turn: &mut Turn,
    ) -> bool {
        let Confidence { permille, least_permille } = confidence;
        let cause = ReviewCause::Confidence { permille, least_permille };
        let numbers = [permille.into(), least_permille.into()];
        let Some(id) = self.escalate(at, (cause, doubt_terms()), numbers, turn) else {
            return false;
        };
        self.clear_timers(at);
        self.move_to(at, State::Reviewing(Box::new(id)), made, turn);
        true
    }

    /// Asks people about a step that is none for people. `None` if it cannot be theirs, or nobody works for the tenant.
    fn escalate(
        &mut self,
        at: At,
        (cause, terms): (ReviewCause, Arc<Terms>),
        numbers: [u64; 2],
        turn: &mut Turn,
    ) -> Option<ReviewId> {
        let run = self.runs.get(at.run);
        if run.node(at.node).instance.part != Part::Whole {
            // What one item of a map comes to is not for a person to write.
            return None;
        }
        self.fence += 1;
        let id = review_id(run.key.run, self.now, self.fence);
        let digest = digest_of([self.fence, at.node.into(), numbers[0], numbers[1]]);
        self.open_review(at, Opening { id, cause, terms, digest }, turn).then_some(id)
    }

    /// The run is not halted any more: nobody has to decide of it.
    pub(crate) fn end_halt_review(
        &mut self,
        halt: Option<crate::row::Halt>,
        because: ReviewEvent,
        turn: &mut Turn,
    ) {
        if let Some(review) = halt.and_then(|halt| halt.review) {
            self.drop_review(review, because, turn);
        }
    }

    /// A review is not wanted any more; nothing happens if it has ended.
    pub(crate) fn drop_review(&mut self, review: ReviewId, because: ReviewEvent, turn: &mut Turn) {
        if !self.desk.is_open(review) {
            return;
        }
        let state = match because {
            ReviewEvent::Superseded => ReviewState::Superseded,
            _ => ReviewState::Cancelled,
        };
        let item =
            self.desk.queue.item(review).expect("an open review stands in the queue").clone();
        self.desk.queue.cancel(review);
        self.close_review(review, (&item, state), because, turn);
    }

    /// What time alone has done to reviews.
    pub(crate) fn pass_reviews(&mut self, turn: &mut Turn) {
        while let Some(event) = self.desk.queue.pass(self.now) {
            match event {
                Event::Expired { id, person } => {
                    self.note(id, ReviewEvent::Expired { by: person }, turn);
                }
                Event::Escalated { id, rung, lost } => {
                    self.log_rung_taken(id, (rung.notify, lost), None, turn);
                }
                Event::Overdue { id, item } => self.review_overdue(id, &item, turn),
            }
        }
    }

    fn log_rung_taken(
        &mut self,
        id: ReviewId,
        (notify, lost): (bool, Option<PersonId>),
        by: Option<Actor>,
        turn: &mut Turn,
    ) {
        let item = self.desk.queue.item(id).expect("a review that goes up its ladder is open");
        let (pool, class) = self.desk.queue.place(item);
        let (pool, due) = (pool.clone(), item.due);
        let facts = serde_json::json!({
            "review": id.to_string(),
            "run": self.desk.open[&id].key.run.to_string(),
            "pool": pool.as_str(),
            "class": class,
            "notify": notify,
            "lost": lost.as_ref().map(PersonId::as_str),
        });
        let tenant = self.desk.open[&id].key.tenant.clone();
        self.log((Some(tenant), by.clone()), "review-escalated", facts.to_string(), turn);
        self.note(id, ReviewEvent::Escalated { pool, class, due, notify, by }, turn);
    }

    /// The ladder is at its end: the step fails, or ends with the outcome that was declared for this, which does not
    /// approve. A run that is halted stays so.
    fn review_overdue(&mut self, id: ReviewId, item: &Item, turn: &mut Turn) {
        let opened = self.desk.open[&id].clone();
        let facts = serde_json::json!({ "review": id });
        self.log_review((&opened, None), "review-overdue", facts, turn);
        let at = self.place_of(&opened);
        self.close_review(id, (item, ReviewState::Overdue), ReviewEvent::Overdue, turn);
        let Some(at) = at else { return };
        match (&opened.cause, &item.terms.on_overdue) {
            (ReviewCause::Money { .. }, _) => {
                if let Some(halt) = &mut self.runs.get_mut(at.run).halt {
                    halt.review = None;
                }
                self.write_run(at.run, turn);
            }
            (ReviewCause::Step, Overdue::Outcome(outcome)) if !item.terms.approves_itself() => {
                let output = self.output(id, outcome, (&[], "null"));
                self.end(at, State::Done, Some(output), turn);
            }
            (ReviewCause::Replan { .. }, _) => self.refuse(at.run, Unfit::Overdue, turn),
            (
                ReviewCause::Step | ReviewCause::Outage { .. } | ReviewCause::Confidence { .. },
                _,
            ) => {
                self.undecided(id, at, turn);
            }
        }
    }

    fn undecided(&mut self, id: ReviewId, at: At, turn: &mut Turn) {
        let message = format!("nobody decided the review {id} in time");
        let failure = fail(class::REVIEW_OVERDUE, &message);
        self.end(at, State::Failed(Box::new(failure)), None, turn);
    }

    /// People have decided: the step goes on.
    fn reviewed(
        &mut self,
        (id, opened): (ReviewId, &Opened),
        (outcome, by): (&OutcomeName, &[PersonId]),
        data: &str,
        turn: &mut Turn,
    ) {
        let Some(at) = self.place_of(opened) else { return };
        if matches!(opened.cause, ReviewCause::Money { .. })
            && let Some(halt) = &mut self.runs.get_mut(at.run).halt
        {
            halt.review = None;
        }
        match (&opened.cause, outcome.as_str()) {
            (ReviewCause::Step, _) => {
                let output = self.output(id, outcome, (by, data));
                self.note_planners(at, by, turn);
                self.end(at, State::Done, Some(output), turn);
            }
            (ReviewCause::Replan { .. }, _) => {
                let approves = self.approves_replan(at.run, outcome);
                self.replan_reviewed(at, (approves, by), turn);
            }
            (ReviewCause::Confidence { .. }, ACCEPTED) => {
                self.runs.get_mut(at.run).node_mut(at.node).trust = Trust::Verified;
                self.end(at, State::Done, None, turn);
            }
            (_, RESOLVED) => {
                self.runs.get_mut(at.run).node_mut(at.node).trust = Trust::Verified;
                let output = data.as_bytes().into();
                self.end(at, State::Done, Some(output), turn);
            }
            (ReviewCause::Money { .. }, CHEAPER) => {
                self.runs.get_mut(at.run).allows_cheaper = true;
                let resumed = self.resume(at.run, turn);
                assert!(resumed.is_ok(), "a run that is halted is paused: {resumed:?}");
            }
            (
                ReviewCause::Money { .. }
                | ReviewCause::Outage { .. }
                | ReviewCause::Confidence { .. },
                _,
            ) => {
                let failure = fail(class::REVIEW_FAILED, "a reviewer let the step fail");
                self.end(at, State::Failed(Box::new(failure)), None, turn);
            }
        }
    }

    /// What a step that people have decided hands on.
    fn output(
        &self,
        id: ReviewId,
        outcome: &OutcomeName,
        (by, data): (&[PersonId], &str),
    ) -> crate::row::Payload {
        let by: Vec<&str> = by.iter().map(PersonId::as_str).collect();
        let by = serde_json::Value::from(by);
        let at = i64::try_from(self.now.0)
            .ok()
            .and_then(|at| jiff::Timestamp::from_microsecond(at).ok());
        let at = at.map_or(serde_json::Value::Null, |at| at.to_string().into());
        let text = format!(
            r#"{{"outcome":"{outcome}","data":{data},"by":{by},"at":{at},"review":"{id}"}}"#
        );
        text.as_bytes().into()
    }

    /// The step that a review is for, as long as it waits for it.
    fn place_of(&self, opened: &Opened) -> Option<At> {
        let run = self.runs.find(&opened.key)?;
        let node = self.runs.get(run).find(opened.instance)?;
        Some(At { run, node })
    }

    /// A review has left the queue: its row and its record say why.
    fn close_review(
        &mut self,
        id: ReviewId,
        (item, state): (&Item, ReviewState),
        event: ReviewEvent,
        turn: &mut Turn,
    ) {
        let place = self.desk.queue.number_and_class(item);
        self.note_turnover(place, |turnover| turnover.ended += 1);
        self.write_event(id, event, turn);
        let mut row = self.desk.row_of(id, item, state);
        row.ended = Some(self.now);
        row.claim = None;
        turn.write(Change::Review(Box::new(row)));
        self.desk.open.remove(&id);
    }

    /// Something happened to a review that is open: its record says so, and its row is as it is now.
    fn note(&mut self, id: ReviewId, event: ReviewEvent, turn: &mut Turn) {
        self.write_event(id, event, turn);
        turn.write(Change::Review(Box::new(self.desk.row(id))));
    }

    fn write_event(&mut self, id: ReviewId, event: ReviewEvent, turn: &mut Turn) {
        self.log_event(id, &event, turn);
        let opened = self.desk.open.get_mut(&id).expect("a review that is open is known");
        opened.events += 1;
        let (key, told) = (opened.key.clone(), event.clone());
        turn.write(Change::ReviewEvent(Box::new(ReviewEventRow {
            tenant: opened.key.tenant.clone(),
            run: opened.key.run,
            review: id,
            sequence: opened.events,
            at: self.now,
            event,
        })));
        self.notify_of_review(&key, id, &told, turn);
    }

    /// What is not said of it where it is decided.
    fn log_event(&self, id: ReviewId, event: &ReviewEvent, turn: &mut Turn) {
        let (code, by, facts) = match event {
            ReviewEvent::Opened { pool, class, due } => {
                let facts = serde_json::json!({
                    "review": id, "pool": pool, "class": class, "due": due,
                });
                ("review-opened", None, facts)
            }
            ReviewEvent::Reassigned { to, by, .. } => {
                let facts = serde_json::json!({ "review": id, "to": to });
                ("review-reassigned", Some(by.clone()), facts)
            }
            _ => return,
        };
        self.log_review((&self.desk.open[&id], by), code, facts, turn);
    }

    fn log_review(
        &self,
        (opened, by): (&Opened, Option<Actor>),
        code: &'static str,
        mut facts: serde_json::Value,
        turn: &mut Turn,
    ) {
        if let Some(facts) = facts.as_object_mut() {
            facts.insert("run".into(), opened.key.run.to_string().into());
        }
        self.log((Some(opened.key.tenant.clone()), by), code, facts.to_string(), turn);
    }

    /// Puts the reviews back that are stored as open: a claim keeps its fence and its end.
    pub(crate) fn load_reviews(&mut self, rows: Vec<ReviewRow>, turn: &mut Turn) {
        for row in rows {
            self.load_review(row, turn);
        }
        // Halts of which nobody has to decide any more.
        for run in self.runs.places().collect::<Vec<_>>() {
            let desk = &self.desk;
            if let Some(halt) = &mut self.runs.get_mut(run).halt {
                halt.review = halt.review.filter(|review| desk.is_open(*review));
            }
        }
    }

    fn load_review(&mut self, row: ReviewRow, turn: &mut Turn) {
        let opened = Opened {
            key: RunKey { tenant: row.tenant.clone(), run: row.run },
            instance: row.instance,
            cause: row.cause.clone(),
            since: row.opened,
            events: row.events,
        };
        let waits = self.place_of(&opened).filter(|at| {
            let run = self.runs.get(at.run);
            let is_reviewing =
                matches!(&run.node(at.node).state, State::Reviewing(id) if **id == row.id);
            is_reviewing || run.halt.is_some_and(|halt| halt.review == Some(row.id))
        });
        let is_back = waits.is_some_and(|at| {
            let facts = self.directory.review_facts(self.runs.get(at.run));
            let run = self.runs.get(at.run);
            let weight = self.directory.tenants.get(run.tenant).context().weight;
            self.desk.queue.open(Ask {
                id: row.id,
                tenant: run.tenant.0,
                weight,
                class: row.class,
                pool: row.pool.clone(),
                terms: row.terms.clone(),
                facts,
                excluded: row.excluded.clone(),
                digest: row.digest,
                due: row.due,
            })
        });
        if !is_back {
            // Its step has gone on without it, in the same turn in which it should have ended.
            let (state, ended) = (ReviewState::Cancelled, Some(self.now));
            turn.write(Change::Review(Box::new(ReviewRow { state, ended, claim: None, ..row })));
            return;
        }
        self.desk.open.insert(row.id, opened);
        let ReviewRow { id, rung, claim, votes, proposal, .. } = row;
        self.desk.queue.restore(id, Stored { rung: rung as usize, claim, votes, proposal });
    }
}

/// The step's output stands.
const ACCEPTED: &str = "accepted";
/// The person gives the step's output.
const RESOLVED: &str = "resolved";
/// A cheaper model may stand in from now on.
const CHEAPER: &str = "cheaper";
const FAILED: &str = "failed";

/// What people are asked of an output that its step is not sure of: it stands, they write another one, or the step fails.
fn doubt_terms() -> Arc<Terms> {
    escalation_terms(&[(ACCEPTED, true), (RESOLVED, true), (FAILED, false)])
}

/// What people are asked of a step whose endpoints are down: they do it, or let it fail.
fn outage_terms() -> Arc<Terms> {
    escalation_terms(&[(RESOLVED, true), (FAILED, false)])
}

/// What people are asked of a step that could not be paid for.
fn shortage_terms() -> Arc<Terms> {
    escalation_terms(&[(RESOLVED, true), (CHEAPER, true), (FAILED, false)])
}

fn escalation_terms(outcomes: &[(&str, bool)]) -> Arc<Terms> {
    let outcome = |&(name, approving): &(&str, bool)| Outcome {
        name: OutcomeName::parse(name).expect("the name is one"),
        approving,
    };
    let outcomes = outcomes.iter().map(outcome).collect();
    Arc::new(Terms { kind: Kind::Escalation, outcomes, ..Terms::default() })
}

/// Tells apart what people are shown of the platform's own numbers, of which the cell has no text to digest.
fn digest_of(numbers: [u64; 4]) -> Digest {
    let mut digest = [0; 32];
    let mut seed = 0;
    for (part, number) in digest.chunks_exact_mut(8).zip(numbers) {
        seed = mix(seed ^ number);
        part.copy_from_slice(&seed.to_be_bytes());
    }
    digest
}
