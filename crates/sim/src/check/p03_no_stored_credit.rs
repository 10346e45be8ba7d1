//! P3: a flow that comes back (from idleness, a pause or its cap) gets no more than one that has waited all the time, for
//! their weights and beyond the bound of `core::scheduler`, however often it goes and comes. That bound holds between flows
//! that were there all the time; one that its cap kept away may come back behind by a stair, and has that on top.

use std::collections::BTreeMap;

use super::contest::Round;
use super::p02_share::facts;
use crate::violation::{Verdict, holds};

const PROMISE: &str = "P3 no stored credit";

#[derive(Debug, Default)]
pub(crate) struct Credits {
    /// By the numbers of the flow that comes and goes, and of the one that waits.
    pairs: BTreeMap<(u32, u32), Pair>,
}

#[derive(Debug, Default)]
struct Pair {
    /// How far the first one was ahead at least when it was there, since the second one waits.
    least: Option<i128>,
    was_away: bool,
}

impl Credits {
    pub(crate) fn judge(&mut self, round: &Round) -> Verdict {
        for (one, waits) in round.pairs() {
            let numbers = (one.number, waits.number);
            if !waits.stayed || one.is_new {
                self.pairs.remove(&numbers);
            }
            if !waits.stands {
                continue;
            }
            let pair = self.pairs.entry(numbers).or_default();
            let lead = one.lead(waits);
            if one.is_present {
                pair.least = Some(pair.least.map_or(lead, |least| least.min(lead)));
            }
            pair.was_away |= !one.stands;
            let Some(least) = pair.least.filter(|_| pair.was_away) else { continue };
            let bound = round.bound(one, waits) + round.lag(one, waits);
            let apart = lead - least;
            holds(apart <= bound, PROMISE, || facts(round, (one, waits), apart, bound))?;
        }
        Ok(())
    }
}
