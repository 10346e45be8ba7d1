//! Who gains and who loses by what a play changes, beside the first one.
//!
//! What counts is how long it took until runs ended, whatever their outcome; one that has not ended counts with the time that
//! it has been under way, so that nobody gains by leaving work undone. A tenant loses if the 95th percentile of that is more
//! than a twentieth longer, or if more of its runs were refused or failed.

use std::collections::BTreeMap;

use serde::Serialize;

use super::groups::Group;
use super::{Play, SHOWN_MAX, Tenant, span};
use crate::measure::{self, Summary};
use crate::table::Table;

/// What is within a twentieth is no difference.
const ALIKE_PERCENT: u64 = 5;
/// To the first attempt at what would be at once: less is no difference either.
const ALIKE_US: u64 = 1_000;

#[derive(Debug, Serialize)]
pub(super) struct Difference {
    pub(super) play: String,
    pub(super) to: String,
    pub(super) tenants: Sides,
    /// If the scenario has groups.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) groups: Option<Sides>,
    /// Tenants with runs in both whose every run began and ended at the same microsecond.
    pub(super) same: Vec<String>,
}

/// How many are on which side, and each of them, who loses most first.
#[derive(Debug, Serialize)]
pub(super) struct Sides {
    pub(super) gain: u64,
    pub(super) lose: u64,
    pub(super) unchanged: u64,
    pub(super) all: Vec<Effect>,
}

/// What it is for one tenant or group. Pairs are of the first play and of this one.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Effect {
    pub(super) name: String,
    pub(super) side: Side,
    /// How many times as long the 95th percentile of `took` is.
    pub(super) ratio: f64,
    wait_p50_us: [u64; 2],
    wait_p95_us: [u64; 2],
    latency_p50_us: [u64; 2],
    latency_p95_us: [u64; 2],
    latency_max_us: [u64; 2],
    /// Until runs ended, or have been under way.
    took_p95_us: [u64; 2],
    completed: [u64; 2],
    /// Failed, cancelled, or not let in.
    failed: [u64; 2],
    /// Not at its end when the play was.
    live: [u64; 2],
    /// Later than the target of the tenant; absent if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    late: Option<[u64; 2]>,
    /// Tenants that have missed their target.
    #[serde(skip_serializing_if = "Option::is_none")]
    sla_missed: Option<[u64; 2]>,
    spent: [String; 2],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Side {
    Gains,
    Loses,
    Unchanged,
}

/// The numbers of a tenant or a group in one play.
struct Numbers<'a> {
    wait: &'a Summary,
    latency: &'a Summary,
    took: &'a Summary,
    completed: u64,
    failed: u64,
    live: u64,
    late: Option<u64>,
    sla_missed: Option<u64>,
    spent: &'a str,
}

impl<'a> From<&'a Tenant> for Numbers<'a> {
    fn from(of: &'a Tenant) -> Self {
        Self {
            wait: &of.wait,
            latency: &of.latency,
            took: &of.took,
            completed: of.completed,
            failed: of.failed + of.cancelled + of.refused,
            live: of.live,
            late: of.sla.map(|sla| sla.late),
            sla_missed: of.sla.map(|sla| u64::from(!sla.met)),
            spent: &of.spent,
        }
    }
}

impl<'a> From<&'a Group> for Numbers<'a> {
    fn from(of: &'a Group) -> Self {
        Self {
            wait: &of.wait,
            latency: &of.latency,
            took: &of.took,
            completed: of.completed,
            failed: of.failed,
            live: of.live,
            late: of.sla_missed.map(|_| of.late),
            sla_missed: of.sla_missed,
            spent: &of.spent,
        }
    }
}

impl Sides {
    pub(super) fn of_tenants(first: &Play, play: &Play) -> Self {
        let after = &play.tenants;
        let both =
            first.tenants.iter().filter_map(|(id, before)| Some((id, before, after.get(id)?)));
        Self::new(both.map(|(id, before, after)| Effect::new(id, &before.into(), &after.into())))
    }

    pub(super) fn of_groups(first: &Play, play: &Play) -> Self {
        let after: BTreeMap<&str, &Group> =
            play.groups.iter().map(|group| (&*group.name, group)).collect();
        let both =
            first.groups.iter().filter_map(|before| Some((before, *after.get(&*before.name)?)));
        Self::new(
            both.map(|(before, after)| Effect::new(&before.name, &before.into(), &after.into())),
        )
    }

    fn new(effects: impl Iterator<Item = Effect>) -> Self {
        let mut all: Vec<Effect> = effects.collect();
        all.sort_by(|a, b| {
            let worse = b.ratio.total_cmp(&a.ratio);
            (a.rank().cmp(&b.rank())).then(worse).then_with(|| a.name.cmp(&b.name))
        });
        let count = |side| all.iter().filter(|effect| effect.side == side).count() as u64;
        let [gain, lose, unchanged] = [Side::Gains, Side::Loses, Side::Unchanged].map(count);
        Self { gain, lose, unchanged, all }
    }

    /// Those that gain or lose, who loses most first.
    pub(super) fn moved(&self) -> impl Iterator<Item = &Effect> {
        self.all.iter().filter(|effect| effect.side != Side::Unchanged)
    }

    /// A few of them: of each side those that move most, in the same order.
    fn most_moved(&self, few: usize) -> Vec<&Effect> {
        let (losers, gainers): (Vec<_>, Vec<_>) =
            self.moved().partition(|effect| effect.side == Side::Loses);
        let gaining = gainers.len().min((few / 4).max(few.saturating_sub(losers.len())));
        let losing = losers.into_iter().take(few - gaining);
        losing.chain(gainers.into_iter().rev().take(gaining).rev()).collect()
    }

    pub(super) fn words(&self, one: &str, many: &str) -> String {
        let Self { gain, lose, unchanged, .. } = self;
        let of = if *gain == 1 { one } else { many };
        let verb = if *gain == 1 { "gains" } else { "gain" };
        format!(
            "{gain} {of} {verb}, {lose} {}, {unchanged} unchanged (within {ALIKE_PERCENT} %)",
            if *lose == 1 { "loses" } else { "lose" }
        )
    }
}

impl Effect {
    fn new(name: &str, before: &Numbers<'_>, after: &Numbers<'_>) -> Self {
        let (was, is) = (before.took.p95_us, after.took.p95_us);
        let more_failed = is_more(before.failed, after.failed, 0);
        let side = if more_failed || is_more(was, is, ALIKE_US) {
            Side::Loses
        } else if is_more(is, was, ALIKE_US) || is_more(after.failed, before.failed, 0) {
            Side::Gains
        } else {
            Side::Unchanged
        };
        let both = |before: Option<u64>, after: Option<u64>| Some([before?, after?]);
        Self {
            name: name.to_owned(),
            side,
            ratio: measure::ratio(is, was.max(1)),
            wait_p50_us: [before.wait.p50_us, after.wait.p50_us],
            wait_p95_us: [before.wait.p95_us, after.wait.p95_us],
            latency_p50_us: [before.latency.p50_us, after.latency.p50_us],
            latency_p95_us: [before.latency.p95_us, after.latency.p95_us],
            latency_max_us: [before.latency.max_us, after.latency.max_us],
            took_p95_us: [was, is],
            completed: [before.completed, after.completed],
            failed: [before.failed, after.failed],
            live: [before.live, after.live],
            late: both(before.late, after.late),
            sla_missed: both(before.sla_missed, after.sla_missed),
            spent: [before.spent.to_owned(), after.spent.to_owned()],
        }
    }

    /// Losers first, then those that do not move, then those that gain.
    const fn rank(&self) -> u8 {
        match self.side {
            Side::Loses => 0,
            Side::Unchanged => 1,
            Side::Gains => 2,
        }
    }

    /// What a row shows of it.
    pub(super) fn cells(&self) -> [String; HEADS.len()] {
        let spans = |[was, is]: [u64; 2]| change(&span(was), &span(is));
        let counts = |[was, is]: [u64; 2]| change(&was.to_string(), &is.to_string());
        let side = match self.side {
            Side::Gains => "gains",
            Side::Loses => "loses",
            Side::Unchanged => "unchanged",
        };
        [
            self.name.clone(),
            side.to_owned(),
            spans(self.wait_p50_us),
            spans(self.wait_p95_us),
            spans(self.latency_p50_us),
            spans(self.latency_p95_us),
            format!("x{:.2}", self.ratio),
            self.late.map_or_else(|| "-".to_owned(), counts),
            self.sla_missed.map_or_else(|| "-".to_owned(), counts),
            counts(self.completed),
            counts(self.failed),
            counts(self.live),
            change(&self.spent[0], &self.spent[1]),
        ]
    }
}

/// The heads of such rows; those of numbers begin with `>`.
pub(super) const HEADS: [&str; 13] = [
    "TENANT",
    "SIDE",
    ">WAIT P50",
    ">P95",
    ">LATENCY P50",
    ">P95",
    ">TOOK P95",
    ">LATE",
    ">SLA MISSED",
    ">DONE",
    ">FAILED",
    ">LIVE",
    ">SPENT",
];

impl Difference {
    pub(super) fn render(&self) -> String {
        let words = self.tenants.words("tenant", "tenants");
        let mut out = format!("\n{}, beside {}: {words}\n", self.play, self.to);
        let mut table = Table::new(&HEADS);
        let shown = self.tenants.most_moved(SHOWN_MAX);
        for effect in &shown {
            table.row(effect.cells());
        }
        if !shown.is_empty() {
            out.push_str(&table.render());
        }
        let moved = self.tenants.gain + self.tenants.lose;
        if let Some(more @ 1..) = moved.checked_sub(SHOWN_MAX as u64) {
            out.push_str(&format!("and {more} more: --json has them\n"));
        }
        if !self.same.is_empty() {
            out.push_str(&format!("the same to the microsecond: {}\n", super::listed(&self.same)));
        }
        out
    }
}

/// More by more than what is no difference.
const fn is_more(was: u64, is: u64, least: u64) -> bool {
    let bound = was.saturating_add(was / 100 * ALIKE_PERCENT + was % 100 * ALIKE_PERCENT / 100);
    is > bound && is - was > least
}

fn change(was: &str, is: &str) -> String {
    if was == is { is.to_owned() } else { format!("{was} → {is}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_within_a_twentieth_is_no_difference() {
        assert!(!is_more(100_000, 105_000, ALIKE_US) && is_more(100_000, 105_001, ALIKE_US));
        assert!(!is_more(10, 1_010, ALIKE_US), "half a millisecond is nothing");
        assert!(is_more(0, 1, 0) && !is_more(0, 0, 0));
        assert!(!is_more(u64::MAX, u64::MAX, 0));
    }
}
