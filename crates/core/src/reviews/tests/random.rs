//! Random callers against a reference that knows no queues: it looks at every review each time.

use proptest::prelude::*;

use super::*;

/// Weights divide it, so that a tag is a whole number.
const SHARE: u64 = 8;
const TENANTS: u32 = 4;
const PEOPLE: [&str; 5] = ["ada", "bob", "cleo", "far", "lost"];

#[derive(Clone, Debug)]
enum Op {
    Open {
        tenant: u32,
        class: u8,
        facts: u32,
        skill: usize,
        excluded: usize,
        due: u64,
        persons: u32,
    },
    Next(usize),
    Decide(usize, bool),
    Release(usize),
    Reassign(usize, usize),
    Cancel(usize),
    Wait(u64),
    Move(usize, bool),
}

/// One review as the reference knows it.
#[derive(Clone, Debug)]
struct Known {
    id: ReviewId,
    tenant: u32,
    class: u8,
    facts: u32,
    skill: bool,
    excluded: Option<usize>,
    due: u64,
    persons: u32,
    votes: Vec<usize>,
    claim: Option<(usize, u64, u64)>,
}

/// A class of the reference: virtual time, and tags with what is owed.
#[derive(Clone, Debug, Default)]
struct Class {
    virtual_time: i64,
    highest: i64,
    passed: u32,
    arrivals: u64,
    tags: BTreeMap<u32, (i64, i64, u64)>,
}

#[derive(Debug)]
struct Reference {
    known: Vec<Known>,
    classes: Vec<Class>,
    /// Whether each works in `eu`.
    near: [bool; 5],
}

fn weight(tenant: u32) -> u32 {
    [1, 2, 4, 8][tenant as usize % 4]
}

fn cost(tenant: u32) -> i64 {
    i64::try_from(SHARE / u64::from(weight(tenant))).unwrap()
}

impl Reference {
    fn may(&self, who: usize, known: &Known) -> bool {
        let is_skilled = who != 2 || !known.skill;
        (known.facts == 0 || self.near[who])
            && is_skilled
            && known.excluded != Some(who)
            && !known.votes.contains(&who)
    }

    fn is_open(&self, class: u8, tenant: u32) -> bool {
        self.known.iter().any(|k| k.class == class && k.tenant == tenant && k.claim.is_none())
    }

    fn put(&mut self, known: Known) {
        let (class, tenant) = (known.class, known.tenant);
        let standing: Vec<u32> = (0..TENANTS).filter(|t| self.is_open(class, *t)).collect();
        if !standing.contains(&tenant) {
            let at = &mut self.classes[usize::from(class)];
            let smallest = standing.iter().map(|t| at.tags[t].0).min().unwrap_or(at.highest);
            at.virtual_time = at.virtual_time.max(smallest);
            at.arrivals += 1;
            let before = at.tags.get(&tenant).map_or(0, |tag| tag.0);
            let start = before.max(at.virtual_time);
            at.highest = at.highest.max(start);
            at.tags.insert(tenant, (start, 0, at.arrivals));
        }
        self.known.push(known);
    }

    /// After a review has left the open ones.
    fn left(&mut self, class: u8) {
        if (0..TENANTS).all(|tenant| !self.is_open(class, tenant)) {
            let at = &mut self.classes[usize::from(class)];
            at.virtual_time = at.virtual_time.max(at.highest);
        }
    }

    fn charge(&mut self, class: u8, tenant: u32) {
        let at = &mut self.classes[usize::from(class)];
        let v = at.virtual_time;
        let (start, owed, _) = at.tags.get_mut(&tenant).unwrap();
        *start = (*start).max((v - *owed).max(0)) + cost(tenant);
        *owed = (*owed).min((v - *start).max(0));
        at.highest = at.highest.max(*start);
    }

    fn refund(&mut self, class: u8, tenant: u32) {
        let (start, owed, _) = self.classes[usize::from(class)].tags.get_mut(&tenant).unwrap();
        *start = (*start - cost(tenant)).max(0);
        *owed += cost(tenant);
    }

    fn reopen(&mut self, id: ReviewId, refund: bool) {
        let at = self.known.iter().position(|known| known.id == id).unwrap();
        let known = Known { claim: None, ..self.known.remove(at) };
        let (class, tenant) = (known.class, known.tenant);
        self.put(known);
        if refund {
            self.refund(class, tenant);
        }
    }

    fn next(&mut self, who: usize) -> Option<ReviewId> {
        let mut best: BTreeMap<u8, (i64, u64, u64, ReviewId, u32)> = BTreeMap::new();
        for known in self.known.iter().filter(|k| k.claim.is_none() && self.may(who, k)) {
            let (start, _, arrived) = self.classes[usize::from(known.class)].tags[&known.tenant];
            let key = (start, arrived, known.due, known.id, known.tenant);
            let slot = best.entry(known.class).or_insert(key);
            *slot = (*slot).min(key);
        }
        let passed = |class: &u8| self.classes[usize::from(*class)].passed;
        let overdue = best.keys().copied().filter(|class| passed(class) >= 3);
        let overdue = overdue.min_by_key(|class| (std::cmp::Reverse(passed(class)), *class));
        let class = overdue.or_else(|| best.keys().next().copied())?;
        let (start, _, _, id, tenant) = best[&class];
        for lower in best.keys().filter(|lower| **lower > class) {
            self.classes[usize::from(*lower)].passed += 1;
        }
        let at = &mut self.classes[usize::from(class)];
        at.passed = 0;
        at.virtual_time = at.virtual_time.max(start);
        self.charge(class, tenant);
        Some(id)
    }
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let open = (0..TENANTS, 0_u8..3, 0_u32..2, 0_usize..2, 0_usize..6, 1_u64..5, 1_u32..3)
        .prop_map(|(tenant, class, facts, skill, excluded, due, persons)| Op::Open {
            tenant,
            class: class * 2,
            facts,
            skill,
            excluded,
            due,
            persons,
        });
    let op = prop_oneof![
        8 => open,
        8 => (0_usize..5).prop_map(Op::Next),
        4 => (0_usize..40, any::<bool>()).prop_map(|(at, yes)| Op::Decide(at, yes)),
        1 => (0_usize..40).prop_map(Op::Release),
        1 => (0_usize..40, 0_usize..5).prop_map(|(at, to)| Op::Reassign(at, to)),
        1 => (0_usize..40).prop_map(Op::Cancel),
        1 => (1_u64..100).prop_map(Op::Wait),
        1 => (0_usize..5, any::<bool>()).prop_map(|(who, near)| Op::Move(who, near)),
    ];
    prop::collection::vec(op, 1..300)
}

fn declared(near: [bool; 5]) -> Arc<ReviewerPool> {
    let members = PEOPLE.iter().zip(near).enumerate().map(|(at, (name, near))| {
        let mut member = member(name);
        member.region = if near { Some(region("eu")) } else { (at != 4).then(|| region("us")) };
        if at == 2 {
            member.skills.clear();
        }
        member
    });
    Arc::new(pool("shared", members.collect()))
}

struct Both {
    reviews: Reviews,
    reference: Reference,
    now: u64,
    next: u64,
    ended: BTreeSet<ReviewId>,
}

impl Both {
    fn new() -> Self {
        let near = [true, true, true, false, false];
        let mut reviews = Reviews::default();
        reviews.put_pool(declared(near), &number);
        let classes = vec![Class::default(); usize::from(CLASSES)];
        let reference = Reference { known: Vec::new(), classes, near };
        Self { reviews, reference, now: 0, next: 0, ended: BTreeSet::new() }
    }

    fn open(&mut self, op: &Op) {
        let Op::Open { tenant, class, facts, skill, excluded, due, persons } = *op else {
            unreachable!()
        };
        self.next += 1;
        // Nothing falls due: the ladder has tests of its own.
        let due = 1_000_000_000_000 * due;
        let excluded = (excluded < 5).then_some(excluded);
        let mut terms = Terms { persons, ..terms() };
        if skill == 1 {
            terms.skills = skills(&["law"]);
        }
        assert!(self.reviews.open(Ask {
            tenant,
            weight: weight(tenant),
            class,
            facts,
            due: Time(due),
            terms: Arc::new(terms),
            excluded: excluded.map(|who| person(PEOPLE[who])).into_iter().collect(),
            ..ask(self.next.into())
        }));
        self.reference.put(Known {
            id: id(self.next.into()),
            tenant,
            class,
            facts,
            skill: skill == 1,
            excluded,
            due,
            persons,
            votes: Vec::new(),
            claim: None,
        });
    }

    fn take(&mut self, who: usize) {
        self.next += 1;
        let now = Time(self.now);
        let found = self.reviews.claim_next(now, &person(PEOPLE[who]), (None, self.next), &zone);
        assert_eq!(found, self.reference.next(who));
        let Some(found) = found else { return };
        let lease = self.now + 60_000_000;
        let fence = self.next;
        let known = self.reference.known.iter_mut().find(|known| known.id == found).unwrap();
        known.claim = Some((who, fence, lease));
        let class = known.class;
        self.reference.left(class);
    }

    /// The claim that was made before so many others.
    fn held(&self, at: usize) -> Option<Known> {
        let held: Vec<&Known> =
            self.reference.known.iter().filter(|known| known.claim.is_some()).collect();
        (!held.is_empty()).then(|| held[at % held.len()].clone())
    }

    fn decide(&mut self, at: usize, yes: bool) {
        let Some(known) = self.held(at) else { return };
        let (who, fence, _) = known.claim.unwrap();
        let mut decision = decision(PEOPLE[who], fence, if yes { "approved" } else { "rejected" });
        decision.digest = *self.reviews.item(known.id).unwrap().digest();
        let decided = self.reviews.decide(Time(self.now), known.id, &decision, &zone);
        if !self.reference.may(who, &known) {
            assert!(matches!(decided, Err(Refused::Barred(_))), "{decided:?}");
            return;
        }
        match decided.unwrap() {
            Decided::Ended { by, .. } => {
                let persons: BTreeSet<_> = by.iter().collect();
                let needed = if yes { known.persons as usize } else { 1 };
                assert_eq!((persons.len(), by.len()), (needed, needed));
                assert!(self.ended.insert(known.id), "decided twice");
                self.reference.known.retain(|other| other.id != known.id);
            }
            Decided::Needs(_) => {
                let at = self.reference.known.iter_mut().find(|other| other.id == known.id);
                at.unwrap().votes.push(who);
                self.reference.reopen(known.id, false);
            }
        }
    }

    fn step(&mut self, op: &Op) {
        match *op {
            Op::Open { .. } => self.open(op),
            Op::Next(who) => self.take(who),
            Op::Decide(at, yes) => self.decide(at, yes),
            Op::Release(at) => {
                let Some(known) = self.held(at) else { return };
                let (who, fence, _) = known.claim.unwrap();
                self.reviews.release(known.id, &person(PEOPLE[who]), fence).unwrap();
                self.reference.reopen(known.id, true);
            }
            Op::Reassign(at, to) => {
                let Some(known) = self.held(at) else { return };
                self.next += 1;
                let to_whom = (&person(PEOPLE[to]), self.next);
                let given = self.reviews.reassign(Time(self.now), known.id, to_whom, &zone);
                assert_eq!(given.is_ok(), self.reference.may(to, &known));
                if let Ok(claim) = given {
                    let at = self.reference.known.iter_mut().find(|other| other.id == known.id);
                    at.unwrap().claim = Some((to, claim.fence, claim.until.0));
                }
            }
            Op::Cancel(at) => {
                let Some(known) = self.reference.known.get(at).cloned() else { return };
                assert!(self.reviews.cancel(known.id));
                self.reference.known.retain(|other| other.id != known.id);
                self.reference.left(known.class);
            }
            Op::Wait(seconds) => self.wait(seconds),
            Op::Move(who, near) => {
                self.reference.near[who] = near;
                self.reviews.put_pool(declared(self.reference.near), &number);
            }
        }
    }

    fn wait(&mut self, seconds: u64) {
        self.now += seconds * 1_000_000;
        let mut over: Vec<(u64, ReviewId)> = self
            .reference
            .known
            .iter()
            .filter_map(|known| Some((known.claim?.2, known.id)))
            .filter(|(until, _)| *until <= self.now)
            .collect();
        over.sort_unstable();
        for (_, id) in over {
            self.reference.reopen(id, true);
        }
        while self.reviews.pass(Time(self.now)).is_some() {}
    }

    fn check(&self) {
        for queue in &self.reviews.desks[0].queues {
            queue.assert_sound();
        }
        for (at, name) in PEOPLE.iter().enumerate() {
            let mut seen: Vec<(u64, ReviewId)> = self
                .reference
                .known
                .iter()
                .filter(|known| known.claim.is_none() && self.reference.may(at, known))
                .map(|known| (known.due, known.id))
                .collect();
            seen.sort_unstable();
            let listed = self.reviews.list(&person(name), None, 1_000, &zone);
            assert_eq!(listed, seen.iter().map(|(_, id)| *id).collect::<Vec<_>>());
            if let Some(first) = seen.first() {
                let after = Some((Time(first.0), first.1));
                let rest = self.reviews.list(&person(name), after, 2, &zone);
                assert_eq!(
                    rest,
                    seen.iter().skip(1).take(2).map(|(_, id)| *id).collect::<Vec<_>>()
                );
            }
        }
        let claims = self.reviews.items().filter(|(_, item)| item.claim.is_some()).count();
        let timers = self.reviews.timers.iter().filter(|(_, timer, _)| *timer == Timer::Lease);
        assert_eq!(timers.count(), claims, "each claim ends");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_queue_agrees_with_one_that_looks_at_everything(ops in ops()) {
        let mut both = Both::new();
        for op in &ops {
            both.step(op);
            both.check();
        }
    }
}
