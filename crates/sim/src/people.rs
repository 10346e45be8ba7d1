//! People in one simulation: pools of reviewers, shared and dedicated, who have skills and are somewhere; what steps ask of
//! them; and the classes in which tenants wait for them.
//!
//! All of it has draws of its own, so that a world without people stays as it was.

use std::collections::BTreeSet;

use fairlane_core::cell::input::Configure;
use fairlane_core::id::{OutcomeName, PersonId, ReviewerPoolName, SkillName};
use fairlane_core::plan::{Step, StepKind};
use fairlane_core::quota::Rung;
use fairlane_core::review::{Escalation, Member, Outcome, Overdue, ReviewerPool, Terms};

use crate::bounds;
use crate::landscape::{Landscape, millis};
use crate::prng::Prng;

/// Everybody there is.
pub(crate) const PERSONS: u64 = 5;
/// Pools for all; one more may be a tenant's own.
const SHARED_MAX: u64 = 2;

pub(crate) fn person(at: u64) -> PersonId {
    PersonId::parse(&format!("p{at}")).expect("a valid name")
}

fn pool_name(at: u64) -> ReviewerPoolName {
    ReviewerPoolName::parse(&format!("people-{at}")).expect("a valid name")
}

fn skill() -> SkillName {
    SkillName::parse("law").expect("a valid name")
}

/// People for a world, and who sends them what no step names a pool for.
pub(crate) fn draw(prng: &mut Prng, landscape: &mut Landscape) {
    let shared = prng.between(1, SHARED_MAX);
    let mut pools: Vec<ReviewerPool> = (0..shared).map(|at| pool(prng, at, landscape)).collect();
    for tier in &mut landscape.tiers {
        tier.review_class = *prng.pick(&[0, 1, 1, 4]);
        tier.reviewer_pool = prng.chance(700).then(|| pool_name(prng.below(shared)));
    }
    // Where money is short, people are asked sooner.
    for class in &mut landscape.classes {
        if prng.chance(500) {
            class.budget.short = vec![Rung::Escalate];
        }
    }
    if prng.chance(400) {
        let at = prng.index(landscape.tenants.len());
        let tenant = Some(landscape.tenants[at].id.clone());
        let own = ReviewerPool { tenant, ..pool(prng, shared, landscape) };
        landscape.tenants[at].reviewer_pool = prng.chance(700).then(|| own.name.clone());
        pools.push(own);
    }
    landscape.reviewers = pools;
}

fn pool(prng: &mut Prng, at: u64, landscape: &Landscape) -> ReviewerPool {
    ReviewerPool {
        name: pool_name(at),
        tenant: None,
        lease: millis(prng, 1_000, 4_000),
        class_bound: prng.small(1, 5),
        pick: prng.chance(300),
        members: members(prng, landscape),
    }
}

/// Mostly almost everybody.
fn members(prng: &mut Prng, landscape: &Landscape) -> Vec<Member> {
    let mut members = Vec::new();
    for at in 0..PERSONS {
        if prng.chance(200) {
            continue;
        }
        let own: BTreeSet<_> = landscape.tenants.iter().map(|tenant| tenant.id.clone()).collect();
        let own = prng.chance(150).then(|| own.into_iter().filter(|_| prng.chance(600)).collect());
        members.push(Member {
            person: person(at),
            skills: if prng.chance(600) { [skill()].into() } else { BTreeSet::new() },
            certifications: BTreeSet::new(),
            region: bounds::location(prng).region,
            tenants: own,
        });
    }
    members
}

/// Everybody, knowing everything, where all data may be.
pub(crate) fn everybody() -> Vec<Member> {
    let member = |at| Member {
        person: person(at),
        skills: [skill()].into(),
        certifications: BTreeSet::new(),
        region: bounds::inside().region,
        tenants: None,
    };
    (0..PERSONS).map(member).collect()
}

/// Somebody comes, goes, moves or learns something.
pub(crate) fn change(prng: &mut Prng, landscape: &mut Landscape) -> Configure {
    let at = prng.index(landscape.reviewers.len());
    let members = members(prng, landscape);
    let pool = &mut landscape.reviewers[at];
    pool.members = members;
    Configure::ReviewerPool(pool.clone())
}

/// Some steps are for people.
pub(crate) fn review(prng: &mut Prng, step: &mut Step, landscape: &Landscape) {
    if !matches!(step.kind, StepKind::Task { .. }) || !prng.chance(350) {
        return;
    }
    step.kind = StepKind::Review(terms(prng, landscape).into());
    (step.compensate, step.tool, step.cost_nano) = (None, None, 0);
}

fn terms(prng: &mut Prng, landscape: &Landscape) -> Terms {
    let pools = &landscape.reviewers;
    let named = |prng: &mut Prng| prng.pick(pools).name.clone();
    let mut outcomes = Terms::outcomes_default();
    if prng.chance(200) {
        let name = OutcomeName::parse("limited").expect("a valid name");
        outcomes.push(Outcome { name, approving: true });
    }
    let rejected = outcomes[1].name.clone();
    let rung = |prng: &mut Prng| Escalation {
        pool: prng.chance(500).then(|| named(prng)),
        class: prng.chance(500).then_some(0),
        notify: prng.chance(500),
        within: millis(prng, 300, 4_000),
    };
    Terms {
        pool: prng.chance(700).then(|| named(prng)),
        due: millis(prng, 500, 8_000),
        persons: *prng.pick(&[1, 1, 2, 3]),
        skills: if prng.chance(300) { [skill()].into() } else { BTreeSet::new() },
        exclude: if prng.chance(200) {
            [person(prng.below(PERSONS))].into()
        } else {
            BTreeSet::new()
        },
        escalate: (0..prng.below(3)).map(|_| rung(prng)).collect(),
        outcomes,
        on_overdue: if prng.chance(500) { Overdue::Outcome(rejected) } else { Overdue::Fail },
        ..Terms::default()
    }
}
