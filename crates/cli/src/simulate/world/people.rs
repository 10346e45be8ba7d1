//! Reviewers: each takes the review whose turn it is, thinks for as long as the scenario says, decides, and takes the next.
//!
//! Who has been idle for longest takes first. How long a decision takes, and what it is, follows from the seed, the run, the
//! step and how many have decided before: another number of people changes when reviews are decided, and not how.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use fairlane_core::cell::change::Snapshot;
use fairlane_core::cell::effect::{Response, ReviewView};
use fairlane_core::cell::input::{Decide, Input, ReplyId, ReviewCommand};
use fairlane_core::id::{PersonId, ReviewId, ReviewerPoolName};
use fairlane_core::row::ReviewRow;
use fairlane_core::time::{Span, Time};

use super::{Event, World, within};
use crate::simulate::scenario::Scenario;
use crate::simulate::story::Desk;

#[derive(Debug, Default)]
pub(super) struct People {
    /// Of those that the scenario lets work, how long a claim lasts that is not renewed.
    pools: BTreeMap<ReviewerPoolName, Span>,
    /// Everybody in them, and where.
    members: BTreeMap<PersonId, Vec<ReviewerPoolName>>,
    /// Who has nothing, who had nothing first at the front.
    idle: VecDeque<PersonId>,
    busy: BTreeMap<PersonId, Reviewing>,
    has: HashMap<ReviewId, PersonId>,
    /// Pools in which there may be something for somebody who is idle.
    news: BTreeSet<ReviewerPoolName>,
    asked: HashMap<ReplyId, PersonId>,
    /// Who has a review because of the question asked last.
    found: bool,
}

/// What somebody decides, and on which.
#[derive(Clone, Debug)]
struct Reviewing {
    decide: Decide,
    pool: ReviewerPoolName,
    since: Time,
}

impl People {
    pub(super) fn new(scenario: &Scenario, declared: &Snapshot) -> Self {
        let mut people = Self::default();
        for pool in &declared.reviewer_pools {
            if !scenario.reviewers.contains_key(pool.name.as_str()) {
                continue;
            }
            people.pools.insert(pool.name.clone(), pool.lease);
            for member in &pool.members {
                people.members.entry(member.person.clone()).or_default().push(pool.name.clone());
            }
        }
        people.idle = people.members.keys().cloned().collect();
        people
    }

    /// How many there are in each pool, and when.
    pub(super) fn desks(&self, scenario: &Scenario) -> BTreeMap<ReviewerPoolName, Desk> {
        let desk = |pool: &ReviewerPoolName| {
            let reviewers = scenario.reviewers.get(pool.as_str())?;
            let people = self.members.values().filter(|pools| pools.contains(pool)).count() as u64;
            let (from, until) = (reviewers.from, reviewers.until);
            Some((pool.clone(), Desk { people, from, until, busy: Span::ZERO }))
        };
        self.pools.keys().filter_map(desk).collect()
    }

    /// The first who is idle and in one of the pools with news, from that place on.
    fn next_idle(&self, from: usize, open: &BTreeSet<ReviewerPoolName>) -> Option<usize> {
        let is_in = |person: &PersonId| self.members[person].iter().any(|pool| open.contains(pool));
        (from..self.idle.len()).find(|at| is_in(&self.idle[*at]))
    }
}

impl World<'_> {
    /// The moments at which reviewers come.
    pub(super) fn plan_people(&mut self) {
        let moments: BTreeSet<Span> =
            self.scenario.reviewers.values().map(|reviewers| reviewers.from).collect();
        for moment in moments {
            self.plan(self.now + moment, Event::Shift);
        }
    }

    /// Reviewers come: there may be something for them.
    pub(super) fn shift(&mut self) {
        self.people.news = self.people.pools.keys().cloned().collect();
    }

    /// A review has changed.
    pub(super) fn note_for_people(&mut self, row: &ReviewRow) {
        if !self.people.pools.contains_key(&row.pool) {
            return;
        }
        if row.ended.is_some() {
            // It has ended without the one who has it.
            if let Some(person) = self.people.has.remove(&row.id) {
                self.free(person);
            }
        } else if row.claim.is_none() {
            self.people.news.insert(row.pool.clone());
        }
    }

    fn free(&mut self, person: PersonId) {
        let Some(reviewing) = self.people.busy.remove(&person) else { return };
        self.people.has.remove(&reviewing.decide.review);
        self.story.reviewed(&reviewing.pool, (reviewing.since, self.now));
        self.people.news.extend(self.people.members[&person].iter().cloned());
        self.people.idle.push_back(person);
    }

    /// Everybody who is idle takes what there is.
    pub(super) fn take_reviews(&mut self) {
        while !self.people.news.is_empty() {
            let now = self.now.since(Time(self.scenario.start.0));
            let mut news = std::mem::take(&mut self.people.news);
            news.retain(|pool| {
                let reviewers = self.scenario.reviewers.get(pool.as_str());
                reviewers.is_some_and(|reviewers| reviewers.is_there(now))
            });
            let mut at = 0;
            while let Some(idle) = self.people.next_idle(at, &news) {
                let person = self.people.idle[idle].clone();
                let pools = self.people.members[&person].clone();
                let asked = pools.into_iter().filter(|pool| news.contains(pool));
                self.people.found = false;
                for pool in asked {
                    let reply = ReplyId(self.next_id());
                    self.people.asked.insert(reply, person.clone());
                    let next = ReviewCommand::Next { person: person.clone(), pool: Some(pool) };
                    self.input(Input::Review(reply, next));
                    if self.people.found {
                        break;
                    }
                }
                // Who has found something is not among them any more.
                at = if self.people.found { idle } else { idle + 1 };
            }
        }
    }

    /// An answer to somebody who asked for something to do, or to keep it.
    pub(super) fn hear_review(&mut self, reply: ReplyId, response: &Response) {
        let Some(person) = self.people.asked.remove(&reply) else { return };
        let Response::Claimed(view) = response else { return };
        let is_new = !self.people.busy.contains_key(&person);
        if is_new {
            self.begin_review(person, view);
        }
    }

    fn begin_review(&mut self, person: PersonId, view: &ReviewView) {
        let pool = view.standing.pool.clone();
        let Some(reviewers) = self.scenario.reviewers.get(pool.as_str()) else { return };
        let part = view.instance.part.code().cast_unsigned();
        #[expect(clippy::cast_possible_truncation, reason = "names of runs are short here")]
        let run = view.key.run.0 as u64;
        let before = view.votes.len() as u64;
        let draws = &mut self.chance([run, u64::from(view.instance.step.0), part, before]);
        let takes = within(reviewers.takes, draws);
        let rejects = draws.next() % 100 < u64::from(reviewers.rejects_percent);
        let mut outcomes = view.terms.outcomes.iter();
        let wanted = outcomes.find(|outcome| outcome.approving != rejects);
        let Some(outcome) = wanted.or(view.terms.outcomes.first()) else { return };
        let claim = view.standing.claim.as_ref();
        let decide = Decide {
            review: view.id,
            person: person.clone(),
            fence: claim.map_or(0, |claim| claim.fence),
            digest: view.digest,
            outcome: outcome.name.clone(),
            data: reviewers.data.as_ref().map_or("null", |data| data.get()).into(),
            result: view.digest,
        };
        self.people.found = true;
        self.people.idle.retain(|idle| *idle != person);
        self.people.has.insert(view.id, person.clone());
        let lease = self.people.pools.get(&pool).copied().unwrap_or(takes);
        if takes >= lease {
            self.plan(self.now + half(lease), Event::Keep(person.clone(), view.id));
        }
        self.plan(self.now + takes, Event::Verdict(person.clone(), view.id));
        self.people.busy.insert(person, Reviewing { decide, pool, since: self.now });
    }

    fn has(&self, person: &PersonId, review: ReviewId) -> Option<&Reviewing> {
        self.people.busy.get(person).filter(|reviewing| reviewing.decide.review == review)
    }

    /// The play is over: who has a review has had it until now.
    pub(super) fn leave_desks(&mut self) {
        for reviewing in self.people.busy.values() {
            self.story.reviewed(&reviewing.pool, (reviewing.since, self.now));
        }
    }

    /// Somebody who thinks for long says that it is not left lying.
    pub(super) fn keep(&mut self, person: PersonId, review: ReviewId) {
        let Some(reviewing) = self.has(&person, review) else { return };
        let Some(lease) = self.people.pools.get(&reviewing.pool).copied() else { return };
        let reply = ReplyId(self.next_id());
        self.plan(self.now + half(lease), Event::Keep(person.clone(), review));
        self.input(Input::Review(reply, ReviewCommand::Claim { review, person }));
    }

    /// Somebody has thought.
    pub(super) fn verdict(&mut self, person: PersonId, review: ReviewId) {
        let Some(reviewing) = self.has(&person, review) else { return };
        let decide = reviewing.decide.clone();
        let reply = ReplyId(self.next_id());
        self.input(Input::Review(reply, ReviewCommand::Decide(vec![decide])));
        // Unless its end has freed them already.
        if self.has(&person, review).is_some() {
            self.free(person);
        }
    }
}

fn half(lease: Span) -> Span {
    Span((lease.0 / 2).max(1))
}
