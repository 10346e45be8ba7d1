//! A person who reviews: claims, decides, gives up, hands on, and lets claims run out; and does now and then what has to have
//! no effect, such as deciding late, twice, under an old fence or on something else.

use std::sync::Arc;

use fairlane_core::cell::effect::{Response, ReviewView};
use fairlane_core::cell::input::{BreakGlass, Decide, Handler, ReviewCommand};
use fairlane_core::id::{KeyId, OutcomeName, PersonId, ReviewId, mix};
use fairlane_core::review::Digest;
use fairlane_core::row::{Actor, ReviewRow};
use fairlane_core::time::Span;

use crate::landscape::millis;
use crate::people::{self, PERSONS};
use crate::prng::Prng;

/// Claims that are remembered when they are over, for decisions that come too late.
const PAST_MAX: usize = 8;

#[derive(Debug)]
pub struct Reviewer {
    pub person: PersonId,
    prng: Prng,
    /// Some do little but claim, and some are quick.
    pace: Span,
    held: Vec<Held>,
    past: Vec<Held>,
}

/// A claim, as its holder knows it.
#[derive(Clone, Debug)]
struct Held {
    review: ReviewId,
    fence: u64,
    /// Of what the next decision is on, and of what all of them are on.
    digest: Digest,
    subject: Digest,
    outcomes: Vec<OutcomeName>,
}

impl Reviewer {
    pub fn new(seed: u64, number: u64) -> Self {
        let mut prng = Prng::split(seed, "reviewer", number);
        let pace = millis(&mut prng, 50, 1_500);
        let person = people::person(number);
        Self { person, prng, pace, held: Vec::new(), past: Vec::new() }
    }

    /// Time until it acts again.
    pub fn gap(&mut self) -> Span {
        Span(self.prng.between(1_000, self.pace.0))
    }

    /// What it does next, where these reviews are open.
    pub fn act(&mut self, open: &[&ReviewRow]) -> Option<ReviewCommand> {
        let person = self.person.clone();
        match self.prng.below(100) {
            0..35 => Some(ReviewCommand::Next { person, pool: None }),
            35..45 => Some(ReviewCommand::Claim { review: self.open(open)?.id, person }),
            45..80 => self.decides(),
            80..85 => {
                let Held { review, fence, .. } = self.drop_one()?;
                Some(ReviewCommand::Release { review, person, fence })
            }
            85..90 => {
                let to = people::person(self.prng.below(PERSONS));
                let (review, by) = self.handles(open)?;
                Some(ReviewCommand::Reassign { review, to, by })
            }
            90..93 => {
                let (review, by) = self.handles(open)?;
                Some(ReviewCommand::Escalate { review, by })
            }
            93..95 => {
                let review = self.open(open)?.id;
                let by = Handler::Person { person, fence: None };
                Some(ReviewCommand::Comment { review, by, text: "hm".into() })
            }
            95..96 => self.breaks_glass(open),
            // It goes home with what it has.
            96..98 => {
                while self.drop_one().is_some() {}
                None
            }
            _ => None,
        }
    }

    pub fn hear(&mut self, response: &Response) {
        if let Response::Claimed(view) = response
            && let Some(held) = held(view, &self.person)
        {
            self.held.retain(|known| known.review != held.review);
            self.held.push(held);
        }
    }

    /// Mostly as it should be.
    fn decides(&mut self) -> Option<ReviewCommand> {
        let is_late = self.held.is_empty() || self.prng.chance(50);
        let held = if is_late {
            if self.past.is_empty() {
                return None;
            }
            self.prng.pick(&self.past).clone()
        } else {
            self.drop_one()?
        };
        let mut decide = self.decision(&held);
        match self.prng.below(40) {
            0 => decide.fence = decide.fence.wrapping_sub(1),
            1 => decide.digest = [9; 32],
            2 => decide.outcome = OutcomeName::parse("never").expect("a valid name"),
            3 => decide.person = people::person(self.prng.below(PERSONS)),
            _ => {}
        }
        let times = if self.prng.chance(50) { 2 } else { 1 };
        Some(ReviewCommand::Decide(vec![decide; times]))
    }

    fn decision(&mut self, held: &Held) -> Decide {
        let outcome = match self.prng.below(4) {
            0 => self.prng.pick(&held.outcomes).clone(),
            _ => held.outcomes[0].clone(),
        };
        let data: Arc<str> = if self.prng.chance(800) { "1".into() } else { "2".into() };
        Decide {
            review: held.review,
            person: self.person.clone(),
            fence: held.fence,
            digest: held.digest,
            result: result(&held.subject, &outcome, &data),
            outcome,
            data,
        }
    }

    fn breaks_glass(&mut self, open: &[&ReviewRow]) -> Option<ReviewCommand> {
        let row = self.open(open)?;
        let held = Held {
            review: row.id,
            fence: 0,
            digest: row.proposal.as_ref().map_or(row.digest, |proposal| proposal.digest),
            subject: row.digest,
            outcomes: row.terms.outcomes.iter().map(|outcome| outcome.name.clone()).collect(),
        };
        let decide = self.decision(&held);
        let given = BreakGlass { decide, by: by_key(), reason: "nobody is there".into() };
        Some(ReviewCommand::BreakGlass(Box::new(given)))
    }

    /// Of a review that it has, or, as an operator, of any.
    fn handles(&mut self, open: &[&ReviewRow]) -> Option<(ReviewId, Handler)> {
        if self.prng.chance(300) {
            let review = self.open(open)?.id;
            return Some((review, Handler::Owner { by: by_key(), tenant: None }));
        }
        let held = self.drop_one()?;
        let by = Handler::Person { person: self.person.clone(), fence: Some(held.fence) };
        Some((held.review, by))
    }

    fn open<'a>(&mut self, open: &[&'a ReviewRow]) -> Option<&'a ReviewRow> {
        if open.is_empty() { None } else { Some(open[self.prng.index(open.len())]) }
    }

    fn drop_one(&mut self) -> Option<Held> {
        if self.held.is_empty() {
            return None;
        }
        let held = self.held.swap_remove(self.prng.index(self.held.len()));
        self.forget(held.clone());
        Some(held)
    }

    fn forget(&mut self, held: Held) {
        self.past.push(held);
        let excess = self.past.len().saturating_sub(PAST_MAX);
        self.past.drain(..excess);
    }
}

/// That an operator lets a step fail which the platform has asked people about.
pub(crate) fn failed(row: &ReviewRow) -> BreakGlass {
    let outcome = OutcomeName::parse("failed").expect("a valid name");
    let decide = Decide {
        review: row.id,
        person: people::person(0),
        fence: 0,
        digest: row.digest,
        result: row.digest,
        outcome,
        data: "null".into(),
    };
    BreakGlass { decide, by: by_key(), reason: "it is over".into() }
}

fn held(view: &ReviewView, person: &PersonId) -> Option<Held> {
    let claim = view.standing.claim.as_ref().filter(|claim| claim.person == *person)?;
    Some(Held {
        review: view.id,
        fence: claim.fence,
        digest: view.digest,
        subject: view.subject,
        outcomes: view.terms.outcomes.iter().map(|outcome| outcome.name.clone()).collect(),
    })
}

fn by_key() -> Actor {
    Actor::Key(KeyId::parse("0123456789abcdef").expect("a valid id"))
}

/// Stands for the hash that the server makes of a subject with an outcome and its data.
fn result(subject: &Digest, outcome: &OutcomeName, data: &str) -> Digest {
    let bytes = subject.iter().copied().chain(outcome.as_str().bytes()).chain(data.bytes());
    let mut state = 0;
    let mut digest = [0; 32];
    for byte in bytes {
        state = mix(state ^ u64::from(byte));
    }
    for part in digest.chunks_exact_mut(8) {
        state = mix(state);
        part.copy_from_slice(&state.to_be_bytes());
    }
    digest
}
