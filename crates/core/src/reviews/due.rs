//! Time: claims that are over, and reviews whose due time has passed.

use crate::id::{PersonId, ReviewId, ReviewerPoolName};
use crate::review::{Escalation, Over, Refused};
use crate::time::Time;

use super::{Item, Reviews, Timer};

/// What time alone has done.
#[derive(Clone, Debug)]
pub enum Event {
    /// A claim was not renewed; the review is open again at its place.
    Expired { id: ReviewId, person: PersonId },
    /// The due time passed, and the next rung of the ladder was taken. `lost`: who had claimed it, and has it no more.
    Escalated { id: ReviewId, rung: Escalation, lost: Option<PersonId> },
    /// The due time passed at the end of the ladder: the review has ended.
    Overdue { id: ReviewId, item: Box<Item> },
}

impl Reviews {
    /// When time alone changes something.
    pub fn next_due(&self) -> Option<Time> {
        self.timers.first().map(|(at, ..)| *at)
    }

    /// The next thing that time has done by now. Call it until there is none.
    pub fn pass(&mut self, now: Time) -> Option<Event> {
        let (at, timer, id) = self.timers.first().copied().filter(|(at, ..)| *at <= now)?;
        match timer {
            Timer::Lease => {
                let item = &self.items[&id];
                let person = item.claim.as_ref().expect("a lease has its claim").person.clone();
                self.reopen(id, Over::Expired);
                Some(Event::Expired { id, person })
            }
            Timer::Due => {
                self.timers.remove(&(at, timer, id));
                let item = &self.items[&id];
                if let Some(rung) = item.terms.escalate.get(item.rung).cloned() {
                    let lost = self.escalate(now, id, &rung);
                    return Some(Event::Escalated { id, rung, lost });
                }
                let item = Box::new(self.end(id).expect("it was just found"));
                Some(Event::Overdue { id, item })
            }
        }
    }

    /// Somebody does not wait for the due time: the next rung is taken now.
    pub fn escalate_now(&mut self, now: Time, id: ReviewId) -> Result<Event, Refused> {
        let item = self.items.get(&id).ok_or(Refused::Unknown)?;
        let rung = item.terms.escalate.get(item.rung).cloned().ok_or(Refused::NoRung)?;
        self.timers.remove(&(item.due, Timer::Due, id));
        let lost = self.escalate(now, id, &rung);
        Ok(Event::Escalated { id, rung, lost })
    }

    /// Takes one rung. A claim ends if the review goes to another pool, and stays otherwise.
    fn escalate(&mut self, now: Time, id: ReviewId, rung: &Escalation) -> Option<PersonId> {
        let item = &self.items[&id];
        let is_new = |pool: &usize| *pool != item.pool;
        let pool = rung.pool.as_ref().and_then(|name| self.find(name)).filter(is_new);
        let mut lost = None;
        let mut item = item.clone();
        if item.claim.is_none() {
            self.leave(&item);
        } else if pool.is_some() {
            lost = item.claim.as_ref().map(|claim| claim.person.clone());
            item = self.end_claim(id, Over::Escalated).clone();
            item.charged = None;
        }
        item.rung += 1;
        item.pool = pool.unwrap_or(item.pool);
        item.class = rung.class.map_or(item.class, |class| class.min(item.class));
        item.due = now + rung.within;
        item.place.slot.0 = item.due;
        self.timers.insert((item.due, Timer::Due, id));
        if item.claim.is_none() {
            self.enter(&item);
        }
        self.items.insert(id, item);
        lost
    }

    fn find(&self, name: &ReviewerPoolName) -> Option<usize> {
        self.names.get(name).copied()
    }
}
