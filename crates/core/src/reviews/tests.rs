//! Reviews in virtual time.

mod bounds;
mod decisions;
mod ladder;
mod random;

use super::*;
use crate::id::{OutcomeName, RegionName, RunId};
use crate::review::{Escalation, Outcome, Overdue};
use crate::time::Span;

fn person(name: &str) -> PersonId {
    PersonId::parse(name).unwrap()
}

fn pool_name(name: &str) -> ReviewerPoolName {
    ReviewerPoolName::parse(name).unwrap()
}

fn skills(names: &[&str]) -> BTreeSet<SkillName> {
    names.iter().map(|name| SkillName::parse(name).unwrap()).collect()
}

fn region(name: &str) -> RegionName {
    RegionName::parse(name).unwrap()
}

fn id(number: u128) -> ReviewId {
    ReviewId(RunId(number))
}

/// Knows everything and works in `eu`.
fn member(name: &str) -> Member {
    Member {
        person: person(name),
        skills: skills(&["credit", "law"]),
        certifications: BTreeSet::new(),
        region: Some(region("eu")),
        tenants: None,
    }
}

fn pool(name: &str, members: Vec<Member>) -> ReviewerPool {
    ReviewerPool {
        name: pool_name(name),
        tenant: None,
        lease: Span::from_secs(60),
        class_bound: 3,
        pick: true,
        members,
    }
}

fn terms() -> Terms {
    Terms {
        kind: Kind::Approval,
        pool: None,
        due: Span::from_secs(3_600),
        persons: 1,
        skills: BTreeSet::new(),
        certifications: BTreeSet::new(),
        exclude: BTreeSet::new(),
        escalate: Vec::new(),
        outcomes: Terms::outcomes_default(),
        on_overdue: Overdue::Fail,
        form: None,
    }
}

/// Of tenant 1 in the pool `shared`, at class 4, due after an hour.
fn ask(number: u128) -> Ask {
    Ask {
        id: id(number),
        tenant: 1,
        weight: 1,
        class: 4,
        pool: pool_name("shared"),
        terms: Arc::new(terms()),
        facts: 0,
        excluded: BTreeSet::new(),
        digest: [1; 32],
        due: Time(3_600_000_000),
    }
}

fn shared(members: &[&str]) -> Reviews {
    let mut reviews = Reviews::default();
    let members = members.iter().map(|name| member(name)).collect();
    reviews.put_pool(Arc::new(pool("shared", members)), &number);
    reviews
}

/// Tenants are called by their numbers.
fn number(tenant: &TenantId) -> Option<u32> {
    tenant.as_str().parse().ok()
}

/// A review with facts 1 is for people in `eu` only.
fn zone(member: &Member, need: &Need) -> Option<Barrier> {
    let is_outside = need.facts == 1 && member.region != Some(region("eu"));
    is_outside.then_some(Barrier::Zone)
}

fn decision(name: &str, fence: u64, outcome: &str) -> Decision {
    Decision {
        person: person(name),
        fence,
        digest: [1; 32],
        outcome: OutcomeName::parse(outcome).unwrap(),
        result: [2; 32],
    }
}
