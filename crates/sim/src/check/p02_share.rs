//! P2: of two flows that both have work waiting throughout an interval, none gets more than the other for its weight,
//! beyond the bound of `core::scheduler`; between organisations, and between the tenants of one.

use std::collections::BTreeMap;

use super::contest::{Entrant, Round};
use crate::violation::{Verdict, holds};

const PROMISE: &str = "P2 share";

#[derive(Debug, Default)]
pub(crate) struct Shares {
    /// By the numbers of two flows: how far the one was ahead of the other, least and most, since both stand.
    leads: BTreeMap<(u32, u32), (i128, i128)>,
}

impl Shares {
    pub(crate) fn judge(&mut self, round: &Round) -> Verdict {
        for (one, other) in round.pairs().filter(|(one, other)| one.number < other.number) {
            let pair = (one.number, other.number);
            if !one.stands || !other.stands {
                self.leads.remove(&pair);
                continue;
            }
            let lead = one.lead(other);
            let (least, most) = self.leads.entry(pair).or_insert((lead, lead));
            if one.stayed && other.stayed {
                (*least, *most) = ((*least).min(lead), (*most).max(lead));
            } else {
                (*least, *most) = (lead, lead);
            }
            let apart = *most - *least;
            // Either may have come back from its cap behind the other.
            let bound = round.bound(one, other) + round.lag(one, other);
            holds(apart <= bound, PROMISE, || facts(round, (one, other), apart, bound))?;
        }
        Ok(())
    }
}

/// What is said of two flows that are too far apart.
pub(super) fn facts(
    round: &Round,
    (one, other): (&Entrant, &Entrant),
    apart: i128,
    bound: i128,
) -> String {
    let Round { pool, now, .. } = round;
    format!("at {now} in {pool} {one:?} and {other:?} came to be {apart} apart, above {bound}")
}
