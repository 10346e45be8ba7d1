//! Why a review waits: what stands before it, who has it, and why nobody can take it.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::id::{ReviewId, ReviewerPoolName};
use crate::time::Time;

use crate::review::{Barrier, Claim};

use super::queue::Queue;
use super::{Facts, Item, Reviews};

/// Where a review stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Standing {
    pub pool: ReviewerPoolName,
    pub class: u8,
    pub due: Time,
    pub claim: Option<Claim>,
    /// Open reviews of its class that come first, if everybody could serve everything.
    pub before: u64,
    /// Open reviews of higher classes.
    pub higher: u64,
    /// Members of the pool who may decide it.
    pub able: u32,
    /// What keeps the others from it, and how many of them: if nobody is able, this is why.
    pub barred: Vec<(Barrier, u32)>,
    pub persons: u32,
    /// Of those, how many have decided.
    pub decided: u32,
    /// Rungs of its ladder that are left.
    pub rungs: u32,
}

impl Reviews {
    /// Costs as much as a listing.
    pub fn standing(&self, id: ReviewId, facts: Facts<'_>) -> Option<Standing> {
        let item = self.items.get(&id)?;
        let desk = &self.desks[item.pool];
        let mut able = 0;
        let mut barred: BTreeMap<Barrier, u32> = BTreeMap::new();
        for person in desk.members.keys() {
            match self.barrier(item, person, facts) {
                Some(barrier) => *barred.entry(barrier).or_default() += 1,
                None => able += 1,
            }
        }
        let class = usize::from(item.class);
        let is_open = item.claim.is_none();
        let before = if is_open { desk.queues[class].before(&item.place) } else { 0 };
        let above = if is_open { &desk.queues[..class] } else { &[] };
        let higher = above.iter().map(|queue| queue.open() as u64).sum();
        let rungs = item.terms.escalate.len().saturating_sub(item.rung);
        Some(Standing {
            pool: desk.declared.name.clone(),
            class: item.class,
            due: item.due,
            claim: item.claim.clone(),
            before,
            higher,
            able,
            barred: barred.into_iter().collect(),
            persons: item.terms.persons,
            decided: u32::try_from(item.votes.len()).expect("persons are bounded"),
            rungs: u32::try_from(rungs).expect("ladders are bounded"),
        })
    }

    /// Reviews that nobody has claimed: the number of their pool, the tenant, and how many. O(tenants that have some).
    pub fn waiting(&self) -> impl Iterator<Item = (u32, u32, u32)> {
        (0..).zip(&self.desks).flat_map(|(pool, desk)| {
            let counts = desk.queues.iter().flat_map(Queue::waiting);
            counts.map(move |(tenant, open)| (pool, tenant, open))
        })
    }

    /// The number of the pool in which it is, as [`Reviews::waiting`] gives it, and its class.
    pub fn number_and_class(&self, item: &Item) -> (u32, u8) {
        (u32::try_from(item.pool).expect("pools are bounded"), item.class)
    }

    /// Reviews of a class that nobody has claimed.
    pub fn open_in(&self, pool: u32, class: u8) -> u64 {
        let desk = self.desks.get(pool as usize);
        desk.and_then(|desk| desk.queues.get(usize::from(class)))
            .map_or(0, |queue| queue.open() as u64)
    }

    /// The pool that the number stands for.
    pub fn name_of(&self, number: u32) -> Option<&ReviewerPoolName> {
        self.desks.get(number as usize).map(|desk| &desk.declared.name)
    }

    /// All reviews that nobody has decided: their number.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// All of them, by id.
    pub fn items(&self) -> impl Iterator<Item = (ReviewId, &Item)> {
        self.items.iter().map(|(id, item)| (*id, item))
    }
}
