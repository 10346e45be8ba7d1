//! What people have to decide, as a fair queue: whose review is next, who may decide it, and what a decision needs.
//!
//! A pool has up to [`CLASSES`] priority classes, and each class is a start-time fair queue (Goyal,
//! Vin, Cheng 1996) of tenants with one review as the unit of service; within a tenant the earliest due time is first.
//! Tenants are numbers here. What the rest of the platform knows (zones, policies) comes in with each call as [`Known`], and so do
//! time and fencing tokens.
//!
//! # How long a review waits
//!
//! Take reviewers who may decide everything in a class, and let tenant `i` of weight `w_i` come to the queue with `n`
//! reviews while others have any number of them. It enters at virtual time `V`, so its `k`-th review is taken at tag
//! `V + (k-1)/w_i`. Another tenant `j` stands at a tag of at least `V`, and is taken at most once for each of its tags up
//! to that one: `floor((k-1) w_j / w_i) + 1` times. Two more things can come first. A tenant that was passed over, since
//! nobody could serve it, stands below `V`; taking it once brings it to `V + 1/w_j`, so this costs one review. And `r_j`
//! claims of `j` that came to nothing are given back to it. So before the `k`-th review of `i` the class sees at most
//!
//! `N_k = (k-1) + sum over j of ( floor((k-1) w_j / w_i) + 2 + r_j )`
//!
//! others (the 2 is a 1 while nobody was passed over). With `m` reviewers who take at most `c` for each, the `k`-th is
//! taken after `(floor(N_k / m) + 1) c`. The number of reviews that `j` has does not occur in it: 5,000 of one tenant
//! delay two of another, at equal weights, by three.
//!
//! Classes: a reviewer who takes something while a lower class has something for the same reviewer passes it over. After
//! `class_bound` (`b`) times the class that was passed over most often is next. A class that has been passed over `b`
//! times waits for those only that were so more often, and each of them once: so of reviewers who could serve it, at
//! most `b + CLASSES - 1` take something else. And lower classes take at most one in `b + 1` for each of them.
//!
//! # Who may decide
//!
//! A member of the pool, who may serve the tenant, works in its zone now, has the certifications and skills, is allowed by
//! policy, and is not excluded: not the requester, and not one who has already decided the same review. Checked at the
//! claim and again at the decision; nothing relaxes with time. A decision carries the fence of its claim and the digest of
//! what it decides on.
//!
//! INVARIANT: a review stands in a queue exactly while it is open; a claim has a timer; a review ends once.

#![warn(clippy::float_arithmetic)]

mod decide;
mod due;
mod explain;
mod queue;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use crate::id::{CertificateName, PersonId, ReviewId, ReviewerPoolName, SkillName, TenantId};
use crate::review::{
    Barrier, CLASSES, Claim, Digest, Kind, Member, Over, Proposal, Refused, ReviewerPool, Terms,
};
use crate::time::Time;

use queue::{Place, Queue, View};

pub use decide::{Decided, Decision};
pub use due::Event;
pub use explain::Standing;

/// What the caller knows of persons and reviews. Asked at each claim and at each decision.
pub type Facts<'a> = &'a dyn Known;

/// What only the rest of the platform knows. A closure over the first question has nothing to say to the second.
pub trait Known {
    /// Why the person may decide nothing that asks for this, as who works outside its zone.
    fn of_need(&self, member: &Member, need: &Need) -> Option<Barrier>;

    /// Why the person may not decide what a tenant asks of this pool, as who is forbidden it by a policy.
    fn of_matter(&self, _member: &Member, _matter: Matter<'_>) -> Option<Barrier> {
        None
    }
}

impl<F: Fn(&Member, &Need) -> Option<Barrier>> Known for F {
    fn of_need(&self, member: &Member, need: &Need) -> Option<Barrier> {
        self(member, need)
    }
}

/// What policies tell reviews apart by.
#[derive(Clone, Copy, Debug)]
pub struct Matter<'a> {
    pub tenant: u32,
    pub pool: &'a ReviewerPool,
    pub kind: Kind,
}

/// All reviews that nobody has decided.
#[derive(Debug, Default)]
pub struct Reviews {
    desks: Vec<Desk>,
    names: BTreeMap<ReviewerPoolName, usize>,
    /// The pools of each person.
    pools_of: BTreeMap<PersonId, BTreeSet<usize>>,
    items: BTreeMap<ReviewId, Item>,
    timers: BTreeSet<(Time, Timer, ReviewId)>,
}

/// What reviews ask of whoever decides them: reviews of one tenant with the same need are for the same people, but for
/// those whom they exclude.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Need {
    pub kind: Kind,
    pub skills: BTreeSet<SkillName>,
    pub certifications: BTreeSet<CertificateName>,
    /// Stands for what only the caller knows, such as the tenant's zone.
    pub facts: u32,
}

/// A review that is to be decided.
#[derive(Clone, Debug)]
pub struct Ask {
    pub id: ReviewId,
    pub tenant: u32,
    pub weight: u32,
    /// 0 is served first.
    pub class: u8,
    pub pool: ReviewerPoolName,
    pub terms: Arc<Terms>,
    /// See [`Need::facts`].
    pub facts: u32,
    /// Who may not decide: the requester, and whom the terms exclude.
    pub excluded: BTreeSet<PersonId>,
    pub digest: Digest,
    pub due: Time,
}

/// A review that nobody has decided.
#[derive(Clone, Debug)]
pub struct Item {
    pub terms: Arc<Terms>,
    pub weight: u32,
    pub due: Time,
    /// Rungs of the ladder that it has gone up.
    pub rung: usize,
    pub claim: Option<Claim>,
    /// Who has decided, if more persons are needed, and what for.
    pub votes: Vec<PersonId>,
    pub proposal: Option<Proposal>,
    pool: usize,
    class: u8,
    place: Place,
    digest: Digest,
    excluded: BTreeSet<PersonId>,
    /// The queue in which its claim was charged.
    charged: Option<(usize, u8)>,
    /// The claim before this one, and how it ended.
    over: Option<(u64, Over)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Lease,
    Due,
}

/// A pool at work.
#[derive(Debug)]
struct Desk {
    declared: Arc<ReviewerPool>,
    members: BTreeMap<PersonId, Seat>,
    /// By class.
    queues: Vec<Queue>,
}

#[derive(Debug)]
struct Seat {
    member: Member,
    /// By number; `None`: every tenant.
    tenants: Option<BTreeSet<u32>>,
}

impl Reviews {
    /// Declares a pool, or changes it: who was a member and is not any more can decide nothing from then on, whatever
    /// they have claimed.
    pub fn put_pool(&mut self, pool: Arc<ReviewerPool>, number: &dyn Fn(&TenantId) -> Option<u32>) {
        let dedicated: Option<BTreeSet<u32>> =
            pool.tenant.as_ref().map(|tenant| number(tenant).into_iter().collect());
        let seat = |member: &Member| {
            let own = member.tenants.as_ref().map(|own| own.iter().filter_map(number).collect());
            let tenants = match (&dedicated, own) {
                (Some(dedicated), Some(own)) => Some(&own & dedicated),
                (Some(dedicated), None) => Some(dedicated.clone()),
                (None, own) => own,
            };
            (member.person.clone(), Seat { member: member.clone(), tenants })
        };
        let members: BTreeMap<PersonId, Seat> = pool.members.iter().map(seat).collect();
        let at = self.names.get(&pool.name).copied().unwrap_or_else(|| {
            self.names.insert(pool.name.clone(), self.desks.len());
            let queues = (0..CLASSES).map(|_| Queue::default()).collect();
            let (declared, members) = (pool.clone(), BTreeMap::new());
            self.desks.push(Desk { declared, members, queues });
            self.desks.len() - 1
        });
        let desk = &mut self.desks[at];
        for person in desk.members.keys() {
            let pools = self.pools_of.get_mut(person).expect("a member has its pools");
            pools.remove(&at);
            if pools.is_empty() {
                self.pools_of.remove(person);
            }
        }
        for person in members.keys() {
            self.pools_of.entry(person.clone()).or_default().insert(at);
        }
        (desk.declared, desk.members) = (pool, members);
    }

    pub fn pool(&self, name: &ReviewerPoolName) -> Option<&Arc<ReviewerPool>> {
        self.names.get(name).map(|at| &self.desks[*at].declared)
    }

    /// All that are declared, by name.
    pub fn pools(&self) -> impl Iterator<Item = &Arc<ReviewerPool>> {
        self.names.values().map(|at| &self.desks[*at].declared)
    }

    pub fn item(&self, id: ReviewId) -> Option<&Item> {
        self.items.get(&id)
    }

    /// The pool and the class that a review is in now.
    pub fn place(&self, item: &Item) -> (&ReviewerPoolName, u8) {
        (&self.desks[item.pool].declared.name, item.class)
    }

    /// A review is to be decided. False if its pool is not declared, or one with its id is open already.
    pub fn open(&mut self, ask: Ask) -> bool {
        let Some(&pool) = self.names.get(&ask.pool) else { return false };
        if self.items.contains_key(&ask.id) {
            return false;
        }
        let place = Place {
            tenant: ask.tenant,
            need: Arc::new(Need {
                kind: ask.terms.kind,
                skills: ask.terms.skills.clone(),
                certifications: ask.terms.certifications.clone(),
                facts: ask.facts,
            }),
            excluded: Arc::new(ask.excluded.clone()),
            slot: (ask.due, ask.id),
        };
        let class = ask.class.min(CLASSES - 1);
        self.desks[pool].queues[usize::from(class)].put(&place, ask.weight);
        self.timers.insert((ask.due, Timer::Due, ask.id));
        let item = Item {
            terms: ask.terms,
            weight: ask.weight,
            due: ask.due,
            rung: 0,
            claim: None,
            votes: Vec::new(),
            proposal: None,
            pool,
            class,
            place,
            digest: ask.digest,
            excluded: ask.excluded,
            charged: None,
            over: None,
        };
        self.items.insert(ask.id, item);
        true
    }

    /// What was stored of a review that has just been opened: a claim keeps its fence.
    pub fn restore(&mut self, id: ReviewId, stored: Stored) {
        let Some(mut item) = self.items.remove(&id) else { return };
        self.leave(&item);
        item.rung = stored.rung;
        item.votes = stored.votes;
        item.proposal = stored.proposal;
        item.place.excluded = Arc::new(item.shut_out());
        match stored.claim {
            Some(claim) => {
                self.timers.insert((claim.until, Timer::Lease, id));
                item.claim = Some(claim);
            }
            None => self.enter(&item),
        }
        self.items.insert(id, item);
    }

    /// Gives the person the review whose turn it is: of the pool, or of the one of their pools where the earliest is due.
    pub fn claim_next(
        &mut self,
        now: Time,
        person: &PersonId,
        (pool, fence): (Option<&ReviewerPoolName>, u64),
        facts: Facts<'_>,
    ) -> Option<ReviewId> {
        let pools: Vec<usize> = match pool {
            Some(pool) => self.names.get(pool).copied().into_iter().collect(),
            None => self.pools_of.get(person).into_iter().flatten().copied().collect(),
        };
        let turns = pools.iter().filter_map(|at| Some((*at, self.turn(*at, person, facts)?)));
        let (at, turn) = turns.min_by_key(|(_, turn)| turn.place.slot)?;
        let id = turn.place.slot.1;
        self.desks[at].serve(turn);
        self.take(now, id, person, fence);
        Some(id)
    }

    /// Gives the person this review, if they may have it; who has it already keeps it longer, under the same fence.
    pub fn claim(
        &mut self,
        now: Time,
        id: ReviewId,
        (person, fence): (&PersonId, u64),
        facts: Facts<'_>,
    ) -> Result<Claim, Refused> {
        let item = self.items.get(&id).ok_or(Refused::Unknown)?;
        self.barrier(item, person, facts)
            .map_or(Ok(()), |barrier| Err(Refused::Barred(barrier)))?;
        match &item.claim {
            Some(claim) if claim.person == *person => return Ok(self.renew(now, id)),
            Some(_) => return Err(Refused::Claimed),
            None => {}
        }
        let (pool, class) = (item.pool, usize::from(item.class));
        let desk = &self.desks[pool];
        if desk.declared.pick || desk.declared.tenant.is_some() {
            let tenant = item.place.tenant;
            self.desks[pool].queues[class].charge(tenant);
        } else {
            let turn = self.turn(pool, person, facts).ok_or(Refused::NotNext)?;
            if turn.place.slot.1 != id {
                return Err(Refused::NotNext);
            }
            self.desks[pool].serve(turn);
        }
        Ok(self.take(now, id, person, fence))
    }

    /// Gives up a claim: the review is open again, at its place.
    pub fn release(&mut self, id: ReviewId, person: &PersonId, fence: u64) -> Result<(), Refused> {
        let item = self.items.get(&id).ok_or(Refused::Unknown)?;
        item.held_by(person, fence)?;
        self.reopen(id, Over::Released);
        Ok(())
    }

    /// Gives a review to another person, whoever has it. Who may do that is the caller's to know; whom it is given to has to
    /// be able to decide it.
    pub fn reassign(
        &mut self,
        now: Time,
        id: ReviewId,
        (to, fence): (&PersonId, u64),
        facts: Facts<'_>,
    ) -> Result<Claim, Refused> {
        let item = self.items.get(&id).ok_or(Refused::Unknown)?;
        self.barrier(item, to, facts).map_or(Ok(()), |barrier| Err(Refused::Barred(barrier)))?;
        let (pool, class, tenant) = (item.pool, usize::from(item.class), item.place.tenant);
        if item.claim.is_some() {
            let item = self.end_claim(id, Over::Reassigned);
            // Both claims are charged as one.
            item.charged = Some((pool, item.class));
        } else {
            self.desks[pool].queues[class].charge(tenant);
        }
        Ok(self.take(now, id, to, fence))
    }

    /// The review is not wanted any more; false if it has ended.
    pub fn cancel(&mut self, id: ReviewId) -> bool {
        self.end(id).is_some()
    }

    /// What only the caller knows of a review is another thing now: see [`Need::facts`].
    pub fn set_facts(&mut self, id: ReviewId, facts: u32) {
        let Some(mut item) = self.items.remove(&id) else { return };
        if item.place.need.facts != facts {
            if item.claim.is_none() {
                self.leave(&item);
            }
            item.place.need = Arc::new(Need { facts, ..(*item.place.need).clone() });
            if item.claim.is_none() {
                self.enter(&item);
            }
        }
        self.items.insert(id, item);
    }

    /// The tenant has another weight: what waits follows.
    pub fn set_weight(&mut self, tenant: u32, weight: u32) {
        for queue in self.desks.iter_mut().flat_map(|desk| &mut desk.queues) {
            queue.reweigh(tenant, weight);
        }
    }

    /// What the person can decide and nobody has, by due time, after that place: `most` of them.
    pub fn list(
        &self,
        person: &PersonId,
        after: Option<(Time, ReviewId)>,
        most: usize,
        facts: Facts<'_>,
    ) -> Vec<ReviewId> {
        let pools = self.pools_of.get(person).into_iter().flatten();
        let mut found = BTreeSet::new();
        for at in pools {
            let desk = &self.desks[*at];
            let Some(seat) = desk.members.get(person) else { continue };
            let may = |need: &Need| seat.barrier(need, facts).is_none();
            let serves = |need: &Need, tenant| desk.matter(seat, (need, tenant), facts).is_none();
            let view = View { person, tenants: seat.tenants.as_ref(), may: &may, serves: &serves };
            for lane in desk.queues.iter().flat_map(|queue| queue.lanes(view)) {
                let from = after.map_or(Bound::Unbounded, Bound::Excluded);
                found.extend(lane.range((from, Bound::Unbounded)).take(most).copied());
                while found.len() > most {
                    found.pop_last();
                }
            }
        }
        found.into_iter().map(|(_, id)| id).collect()
    }

    /// What the person has claimed, by due time.
    pub fn held(&self, person: &PersonId) -> Vec<ReviewId> {
        let is_held = |item: &Item| item.claim.as_ref().is_some_and(|held| held.person == *person);
        let mut held: Vec<(Time, ReviewId)> = self
            .items
            .iter()
            .filter(|(_, item)| is_held(item))
            .map(|(id, item)| (item.due, *id))
            .collect();
        held.sort_unstable();
        held.into_iter().map(|(_, id)| id).collect()
    }

    /// Why the person may not decide it; `None` if they may.
    pub fn barrier(&self, item: &Item, person: &PersonId, facts: Facts<'_>) -> Option<Barrier> {
        let desk = &self.desks[item.pool];
        let Some(seat) = desk.members.get(person) else {
            return Some(Barrier::NotMember);
        };
        if seat.tenants.as_ref().is_some_and(|tenants| !tenants.contains(&item.place.tenant)) {
            return Some(Barrier::Tenant);
        }
        let need = &*item.place.need;
        let barrier = seat.barrier(need, facts);
        let barrier = barrier.or_else(|| desk.matter(seat, (need, item.place.tenant), facts));
        if barrier.is_some() {
            return barrier;
        }
        if item.excluded.contains(person) {
            return Some(Barrier::Excluded);
        }
        item.votes.contains(person).then_some(Barrier::Voted)
    }

    /// The review of the pool whose turn it is for that person.
    fn turn(&self, pool: usize, person: &PersonId, facts: Facts<'_>) -> Option<Turn> {
        let desk = &self.desks[pool];
        let seat = desk.members.get(person)?;
        let may = |need: &Need| seat.barrier(need, facts).is_none();
        let serves = |need: &Need, tenant| desk.matter(seat, (need, tenant), facts).is_none();
        let view = View { person, tenants: seat.tenants.as_ref(), may: &may, serves: &serves };
        let found: Vec<(usize, Place)> = desk
            .queues
            .iter()
            .enumerate()
            .filter_map(|(class, queue)| Some((class, queue.first(view)?)))
            .collect();
        let passed = |class: usize| desk.queues[class].passed;
        let overdue = found
            .iter()
            .map(|(class, _)| *class)
            .filter(|class| passed(*class) >= desk.declared.class_bound)
            .min_by_key(|class| (std::cmp::Reverse(passed(*class)), *class));
        let chosen = overdue.or_else(|| found.first().map(|(class, _)| *class))?;
        let lower = found.iter().map(|(class, _)| *class).filter(|class| *class > chosen);
        let passed = lower.collect();
        let (class, place) = found.into_iter().find(|(class, _)| *class == chosen)?;
        Some(Turn { class, place, passed })
    }

    /// The person has it from now on; it was charged.
    fn take(&mut self, now: Time, id: ReviewId, person: &PersonId, fence: u64) -> Claim {
        let item = self.items.get_mut(&id).expect("it was just found");
        let desk = &mut self.desks[item.pool];
        if item.charged.is_none() {
            desk.queues[usize::from(item.class)].take(&item.place);
            item.charged = Some((item.pool, item.class));
        }
        let until = now + desk.declared.lease;
        let claim = Claim { person: person.clone(), fence, until };
        item.claim = Some(claim.clone());
        self.timers.insert((until, Timer::Lease, id));
        claim
    }

    fn renew(&mut self, now: Time, id: ReviewId) -> Claim {
        let item = self.items.get_mut(&id).expect("it was just found");
        let until = now + self.desks[item.pool].declared.lease;
        let claim = item.claim.as_mut().expect("only a claim is renewed");
        self.timers.remove(&(claim.until, Timer::Lease, id));
        self.timers.insert((until, Timer::Lease, id));
        claim.until = until;
        claim.clone()
    }

    /// The claim is over and the review still stands in no queue.
    fn end_claim(&mut self, id: ReviewId, over: Over) -> &mut Item {
        let item = self.items.get_mut(&id).expect("a claim has its review");
        let claim = item.claim.take().expect("only a claim ends");
        self.timers.remove(&(claim.until, Timer::Lease, id));
        item.over = Some((claim.fence, over));
        item
    }

    /// The claim is over: the review stands in its queue again, and what it was charged there is given back unless
    /// somebody has done something for it.
    fn reopen(&mut self, id: ReviewId, over: Over) {
        self.end_claim(id, over);
        let item = self.items.get_mut(&id).expect("a claim has its review");
        let charged = item.charged.take();
        let queue = &mut self.desks[item.pool].queues[usize::from(item.class)];
        queue.put(&item.place, item.weight);
        if over != Over::Voted && charged == Some((item.pool, item.class)) {
            queue.refund(item.place.tenant);
        }
    }

    /// Takes the review out of everything.
    fn end(&mut self, id: ReviewId) -> Option<Item> {
        let item = self.items.remove(&id)?;
        self.timers.remove(&(item.due, Timer::Due, id));
        match &item.claim {
            Some(claim) => drop(self.timers.remove(&(claim.until, Timer::Lease, id))),
            None => self.leave(&item),
        }
        Some(item)
    }

    fn enter(&mut self, item: &Item) {
        self.desks[item.pool].queues[usize::from(item.class)].put(&item.place, item.weight);
    }

    fn leave(&mut self, item: &Item) {
        self.desks[item.pool].queues[usize::from(item.class)].take(&item.place);
    }
}

/// What is stored of a review besides what it asks for.
#[derive(Clone, Debug, Default)]
pub struct Stored {
    pub rung: usize,
    pub claim: Option<Claim>,
    pub votes: Vec<PersonId>,
    pub proposal: Option<Proposal>,
}

/// Whose turn it is, and the classes that are passed over.
#[derive(Debug)]
struct Turn {
    class: usize,
    place: Place,
    passed: Vec<usize>,
}

impl Desk {
    /// Somebody takes the review whose turn it is.
    fn serve(&mut self, turn: Turn) {
        for class in turn.passed {
            self.queues[class].passed = self.queues[class].passed.saturating_add(1);
        }
        self.queues[turn.class].serve(turn.place.tenant);
    }

    /// Why the member may not decide what the tenant asks of this pool.
    fn matter(
        &self,
        seat: &Seat,
        (need, tenant): (&Need, u32),
        facts: Facts<'_>,
    ) -> Option<Barrier> {
        let matter = Matter { tenant, pool: &self.declared, kind: need.kind };
        facts.of_matter(&seat.member, matter)
    }
}

impl Seat {
    fn barrier(&self, need: &Need, facts: Facts<'_>) -> Option<Barrier> {
        let Self { member, .. } = self;
        let lacks = need.certifications.difference(&member.certifications).next().cloned();
        let unskilled = || need.skills.difference(&member.skills).next().cloned();
        facts
            .of_need(member, need)
            .or_else(|| lacks.map(Barrier::Certification))
            .or_else(|| unskilled().map(Barrier::Skill))
    }
}

impl Item {
    /// Of what the next decision is on: with what was decided before it, where more persons are needed.
    pub fn digest(&self) -> &Digest {
        self.proposal.as_ref().map_or(&self.digest, |proposal| &proposal.digest)
    }

    /// Of what the review is about.
    pub const fn subject(&self) -> &Digest {
        &self.digest
    }

    pub const fn tenant(&self) -> u32 {
        self.place.tenant
    }

    /// Who may not decide it: those who have decided already apart.
    pub const fn excluded(&self) -> &BTreeSet<PersonId> {
        &self.excluded
    }

    /// Whoever may not decide, those who have included.
    fn shut_out(&self) -> BTreeSet<PersonId> {
        self.excluded.iter().chain(&self.votes).cloned().collect()
    }

    /// Whether the person has it, under that fence.
    pub fn held_by(&self, person: &PersonId, fence: u64) -> Result<(), Refused> {
        match &self.claim {
            Some(claim) if claim.fence == fence && claim.person == *person => Ok(()),
            _ if self.over.is_some_and(|(before, _)| before == fence) => {
                Err(Refused::ClaimOver(self.over.expect("it was just looked at").1))
            }
            Some(claim) if claim.person == *person => Err(Refused::StaleFence),
            Some(_) => Err(Refused::Claimed),
            None => Err(Refused::NotClaimed),
        }
    }
}
