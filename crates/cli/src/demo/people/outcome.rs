//! What came of it: how long reviews waited, who decided them, and where applications were seen.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;

use super::super::desk::Decision;
use super::super::town::TIERS;
use super::super::witness::Seen;
use super::cast::{Cast, DEDICATED};
use crate::load::drive::{End, Sent};
use crate::measure::{Latencies, Summary};

/// The phase, measured.
#[derive(Debug, Serialize)]
pub(crate) struct People {
    /// The tiers, and the burst bank by itself.
    pub(crate) groups: Vec<ReviewGroup>,
    /// All banks but the burst bank.
    pub(crate) others: ReviewGroup,
    /// Applications of European banks.
    pub(crate) european: u64,
    /// Where they were seen.
    pub(crate) places: Vec<Place>,
    /// How often one was seen outside of their zone.
    pub(crate) residency_violations: u64,
    pub(crate) elapsed_ms: u64,
}

/// Reviews of a group of tenants.
#[derive(Debug, Serialize)]
pub(crate) struct ReviewGroup {
    pub(crate) group: String,
    pub(crate) tenants: u64,
    /// Applications that were sent; each needs a review.
    pub(crate) submitted: u64,
    /// Of them, those whose runs came to their end.
    pub(crate) done: u64,
    pub(crate) decided: u64,
    /// By people of the shared pool, and of a dedicated one.
    pub(crate) by_shared: u64,
    pub(crate) by_dedicated: u64,
    /// From the moment when a review was opened to its decision.
    pub(crate) wait: Summary,
}

/// A kind of place, and how many applications were seen there.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Place {
    pub(crate) what: &'static str,
    /// Applications of European banks in the EU, and outside of it: each of these is a violation.
    pub(crate) european_inside: u64,
    pub(crate) european_outside: u64,
    /// Those of other banks outside of the EU: that somebody looks there.
    pub(crate) others_outside: u64,
}

impl Place {
    /// A name may be cut, where a file has it in two pieces: that counts outside and not as one that was found inside.
    pub(crate) fn new(
        what: &'static str,
        names: &BTreeSet<String>,
        [inside, outside]: [&Seen; 2],
    ) -> Self {
        Self {
            what,
            european_inside: inside.european.intersection(names).count() as u64,
            european_outside: outside.european.len() as u64,
            others_outside: outside.others.intersection(names).count() as u64,
        }
    }

    pub(crate) const fn named(what: &'static str) -> Self {
        Self { what, european_inside: 0, european_outside: 0, others_outside: 0 }
    }

    pub(crate) const fn count(&mut self, is_european: bool, is_inside: bool) {
        match (is_european, is_inside) {
            (true, true) => self.european_inside += 1,
            (true, false) => self.european_outside += 1,
            (false, false) => self.others_outside += 1,
            (false, true) => {}
        }
    }
}

impl People {
    pub(crate) fn new(
        cast: &Cast,
        sent: &Sent,
        decisions: &[Decision],
        places: Vec<Place>,
        elapsed: Duration,
    ) -> Self {
        let is_burst = |bank: usize| bank == cast.burst();
        let group_of = |bank| if is_burst(bank) { TIERS.len() } else { cast.banks()[bank].tier };
        let names = TIERS.iter().map(|tier| tier.name).chain(["burst bank"]);
        let of =
            |name: &str, takes: &dyn Fn(usize) -> bool| group(name, cast, takes, (sent, decisions));
        let groups =
            names.enumerate().map(|(at, name)| of(name, &|bank| group_of(bank) == at)).collect();
        let is_european =
            |record: &&crate::load::drive::Record| cast.banks()[record.tenant as usize].is_european;
        Self {
            groups,
            others: of("all others", &|bank| !is_burst(bank)),
            european: sent.records.iter().filter(is_european).count() as u64,
            residency_violations: places.iter().map(|place| place.european_outside).sum(),
            places,
            elapsed_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

fn group(
    name: &str,
    cast: &Cast,
    takes: &dyn Fn(usize) -> bool,
    (sent, decisions): (&Sent, &[Decision]),
) -> ReviewGroup {
    let banks = cast.banks().iter().enumerate();
    let at: BTreeMap<&str, usize> = banks.map(|(at, bank)| (&*bank.id, at)).collect();
    let records: Vec<_> =
        sent.records.iter().filter(|record| takes(record.tenant as usize)).collect();
    let decided: Vec<_> =
        decisions.iter().filter(|decision| takes(at[&*decision.tenant])).collect();
    let dedicated = decided.iter().filter(|decision| decision.pool == DEDICATED).count() as u64;
    let mut waits = Latencies::default();
    for decision in &decided {
        waits.record(decision.decided_us.saturating_sub(decision.opened_us));
    }
    let is_done =
        |record: &&&crate::load::drive::Record| matches!(record.end, End::Completed { .. });
    ReviewGroup {
        group: name.to_owned(),
        tenants: at.values().filter(|bank| takes(**bank)).count() as u64,
        submitted: records.len() as u64,
        done: records.iter().filter(is_done).count() as u64,
        decided: decided.len() as u64,
        by_shared: decided.len() as u64 - dedicated,
        by_dedicated: dedicated,
        wait: waits.summary(),
    }
}
