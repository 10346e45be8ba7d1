//! What is shown of the plays: a table for each, and who differs from the first.
//!
//! - `groups` takes tenants together that are alike; `gains` says what a play changes for whom; `reviews` says who
//!   decided, and whose reviews they were; `page` is the same as one page for browsers.

mod gains;
mod groups;
pub(super) mod page;
mod reviews;

use std::cmp::Reverse;
use std::collections::BTreeMap;

use fairlane_core::row::RunStatus;
use fairlane_core::time::Span;
use fairlane_workflow::show_span;
use serde::Serialize;

use self::gains::{Difference, Sides};
use self::groups::Group;
use self::reviews::{Desk, Reviews};
use super::contest::Shared;
use super::scenario::Scenario;
use super::story::{COLUMNS, Seen, Story, Told};
use crate::measure::{self, Latencies, Summary};
use crate::table::Table;
use crate::text;

/// Tenants of a table, and of a list of those that differ: those that wait longest.
const SHOWN_MAX: usize = 20;
/// A tenant that holds nothing for less than this does not stand still.
const STILL_MIN: Span = Span::from_secs(1);
/// Characters of a line over time.
const CHARACTERS: usize = 48;
const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

#[derive(Debug, Serialize)]
pub(super) struct Report {
    scenario: String,
    start: fairlane_api::Timestamp,
    lasts_us: u64,
    column_us: u64,
    #[serde(skip)]
    has_groups: bool,
    plays: Vec<Play>,
    /// Each play beside the first one.
    differences: Vec<Difference>,
    /// How long the plays took on this machine.
    took_us: u64,
}

#[derive(Debug, Serialize)]
struct Play {
    name: String,
    #[serde(skip)]
    has_groups: bool,
    pools: Vec<Shared>,
    /// Reviewer pools that were asked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    desks: Vec<Desk>,
    groups: Vec<Group>,
    tenants: BTreeMap<String, Tenant>,
}

#[derive(Debug, Serialize)]
struct Tenant {
    tier: String,
    runs: u64,
    completed: u64,
    failed: u64,
    cancelled: u64,
    /// Not let in.
    refused: u64,
    /// Of those that have not ended.
    paused: u64,
    live: u64,
    /// From submission to the first attempt, of runs that had one.
    wait: Summary,
    /// From submission to the end, of completed runs.
    latency: Summary,
    /// From submission to the end, or to that of the play, whatever the outcome.
    took: Summary,
    slots_max: u64,
    /// Slot time used.
    service_us: u64,
    /// The part of all slot time used that was its.
    share: f64,
    /// Mean of slots held, in each column of time.
    slots: Vec<f64>,
    /// The longest time for which it had runs and held no slot, after the start.
    #[serde(skip_serializing_if = "Option::is_none")]
    still: Option<Still>,
    /// By tool or endpoint.
    calls: BTreeMap<String, Calls>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reviews: Option<Reviews>,
    spent: String,
    /// Runs that were refused, halted or failed for want of money.
    short_of_money: u64,
    /// Absent: it has no target.
    #[serde(skip_serializing_if = "Option::is_none")]
    sla: Option<Attained>,
}

/// How a tenant's target was kept, over the runs that have ended or are late already.
#[derive(Clone, Copy, Debug, Serialize)]
struct Attained {
    percentile_permille: u32,
    latency_us: u64,
    late: u64,
    /// The part of the runs that were in time, from 0 to 1; 1 if there were none.
    in_time: f64,
    met: bool,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Still {
    from_us: u64,
    to_us: u64,
}

#[derive(Debug, Serialize)]
struct Calls {
    count: u64,
    /// In each column of time.
    columns: Vec<u64>,
}

impl Report {
    /// `plays` are names and what happened, in the order of the scenario.
    pub(super) fn new(
        file: &str,
        scenario: &Scenario,
        plays: &[(String, Story)],
        took: std::time::Duration,
    ) -> Self {
        let column_us = plays.first().map_or(0, |(_, story)| story.width().0);
        let stories = plays.iter().map(|(_, story)| story);
        let plays: Vec<Play> =
            plays.iter().map(|(name, story)| Play::new(name, scenario, story)).collect();
        let both: Vec<(&Play, &Story)> = plays.iter().zip(stories).collect();
        let differences = match &both[..] {
            [first, others @ ..] => {
                let of_groups = scenario.has_groups();
                others.iter().map(|other| difference(*first, *other, of_groups)).collect()
            }
            [] => Vec::new(),
        };
        Self {
            scenario: file.to_owned(),
            start: scenario.start,
            lasts_us: scenario.lasts.0,
            column_us,
            has_groups: scenario.has_groups(),
            plays,
            differences,
            took_us: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
        }
    }

    /// The groups of each play, by its name.
    fn groups(&self) -> impl Iterator<Item = (&str, &[Group])> {
        self.plays.iter().map(|play| (&*play.name, &*play.groups))
    }

    pub(super) fn render(&self) -> String {
        let lasts = show_span(Span(self.lasts_us));
        let took = measure::micros(self.took_us);
        let mut out = format!(
            "{}: {lasts} from {}, played in {took}\n",
            self.scenario,
            text::time(self.start)
        );
        if self.has_groups {
            out.push('\n');
            out.push_str(&groups::table(self.groups()).render());
            out.push_str(
                "\nwait: to the first attempt; latency: to the end, of completed runs; late: runs beyond their tenant's target;\n\
                 SLA missed: tenants of which more were late than it lets be; --json has each tenant\n",
            );
            out.push_str(&self.pools());
            out.push_str(&reviews::tables(&self.plays));
            self.differences.iter().for_each(|difference| out.push_str(&difference.render()));
            return out;
        }
        for play in &self.plays {
            out.push_str(&format!("\n{}\n", play.name));
            out.push_str(&play.table().render());
            if let Some(more @ 1..) = play.tenants.len().checked_sub(SHOWN_MAX) {
                out.push_str(&format!("and {more} more, which wait no longer: --json has them\n"));
            }
        }
        out.push_str(&self.pools());
        out.push_str(&reviews::tables(&self.plays));
        self.differences.iter().for_each(|difference| out.push_str(&difference.render()));
        let column = show_span(Span(self.column_us * (COLUMNS / CHARACTERS) as u64));
        out.push_str(&format!(
            "\nwait: to the first attempt; latency: to the end, of completed runs; still: the longest time with runs and no slot;\n\
             the line: slots held, {column} a column\n"
        ));
        out
    }
}

impl Report {
    /// How slots were used and shared, in each play. Nothing of pools that nobody used.
    fn pools(&self) -> String {
        let mut table = Table::new(&["POOL", "PLAY", ">SLOTS", ">USED", ">FULL", ">JAIN"]);
        let mut is_empty = true;
        for [name, play, slots, used, full, jain] in self.pool_rows() {
            is_empty = false;
            table.row([name, play, slots, used, full, jain]);
        }
        if is_empty {
            return String::new();
        }
        format!(
            "\n{}full: all slots held; Jain: over service / min(demand, entitlement) of the tenants that contend then, 1 is even\n",
            table.render()
        )
    }

    fn pool_rows(&self) -> Vec<[String; 6]> {
        let mut rows: Vec<_> = self
            .plays
            .iter()
            .flat_map(|play| play.pools.iter().map(move |pool| (pool, &play.name)))
            .filter(|(pool, _)| pool.used > 0.0)
            .collect();
        rows.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
        let cells = |(pool, play): (&Shared, &String)| {
            [
                pool.name.clone(),
                play.clone(),
                pool.slots.to_string(),
                format!("{:.1} %", pool.used * 100.0),
                span(pool.full_us),
                pool.jain.map_or_else(|| "-".to_owned(), |jain| format!("{jain:.3}")),
            ]
        };
        rows.into_iter().map(cells).collect()
    }
}

impl Play {
    fn new(name: &str, scenario: &Scenario, story: &Story) -> Self {
        let seen = |told: &&Told| !told.runs.is_empty() || told.refused > 0;
        let tenants = story.tenants.iter().filter(|(_, told)| seen(told));
        let tenants = tenants.map(|(id, told)| (id.to_string(), Tenant::new(told, story)));
        let tenants: BTreeMap<_, _> = tenants.collect();
        let groups = Group::all(scenario, &tenants, story);
        let (pools, desks) = (story.shared(), Desk::all(story));
        let has_groups = scenario.has_groups();
        Self { name: name.to_owned(), has_groups, pools, desks, groups, tenants }
    }

    fn table(&self) -> Table {
        let mut table = Table::new(&[
            "TENANT",
            ">RUNS",
            ">DONE",
            ">FAILED",
            ">LIVE",
            ">WAIT P50",
            ">P95",
            ">LATENCY P50",
            ">P95",
            ">SLOTS MAX",
            ">CALLS",
            ">SPENT",
            "STILL",
            "SLOTS",
        ]);
        let mut shown: Vec<_> = self.tenants.iter().collect();
        shown.sort_by_key(|(_, tenant)| Reverse(tenant.wait.p95_us));
        shown.truncate(SHOWN_MAX);
        shown.sort_by_key(|(id, _)| *id);
        for (id, tenant) in shown {
            let Tenant { wait, latency, .. } = tenant;
            table.row([
                id.clone(),
                (tenant.runs + tenant.refused).to_string(),
                tenant.completed.to_string(),
                (tenant.failed + tenant.cancelled + tenant.refused).to_string(),
                tenant.live.to_string(),
                span(wait.p50_us),
                span(wait.p95_us),
                span(latency.p50_us),
                span(latency.p95_us),
                tenant.slots_max.to_string(),
                tenant.calls.values().map(|calls| calls.count).sum::<u64>().to_string(),
                tenant.spent.clone(),
                tenant.still.map_or_else(|| "-".to_owned(), Still::words),
                line(&tenant.slots),
            ]);
        }
        table
    }
}

impl Tenant {
    fn new(told: &Told, story: &Story) -> Self {
        let count = |status| told.runs.values().filter(|seen| seen.status == status).count() as u64;
        let live = told.runs.values().filter(|seen| seen.ended.is_none()).count() as u64;
        let (mut wait, mut latency) = (Latencies::default(), Latencies::default());
        let mut took = Latencies::default();
        for seen in told.runs.values() {
            if let Some(began) = seen.began {
                wait.record(began.since(seen.created).0);
            }
            if let (Some(ended), RunStatus::Completed) = (seen.ended, seen.status) {
                latency.record(ended.since(seen.created).0);
            }
            took.record(seen.took(story.now()).0);
        }
        let still = told.still.filter(|(from, to)| to.since(*from) >= STILL_MIN);
        let calls = told.calls.iter().map(|(tool, columns)| {
            let count = columns.0.iter().sum();
            (tool.to_string(), Calls { count, columns: columns.0.to_vec() })
        });
        let spent = told.runs.values().map(|seen| seen.spent.0).fold(0, u64::saturating_add);
        Self {
            tier: told.tier.clone(),
            short_of_money: told.short_of_money(),
            runs: told.runs.len() as u64,
            completed: count(RunStatus::Completed),
            failed: count(RunStatus::Failed),
            cancelled: count(RunStatus::Cancelled),
            refused: told.refused,
            paused: count(RunStatus::Paused),
            live,
            wait: wait.summary(),
            latency: latency.summary(),
            took: took.summary(),
            slots_max: told.slots_max,
            service_us: told.service(),
            share: measure::ratio(told.service(), story.service().max(1)),
            slots: told.slots.0.iter().map(|held| measure::ratio(*held, story.width().0)).collect(),
            still: still.map(|(from, to)| Still {
                from_us: story.since_start(from).0,
                to_us: story.since_start(to).0,
            }),
            calls: calls.collect(),
            reviews: Reviews::of(told.reviews.values(), story.now()),
            sla: Attained::of(told, story),
            spent: fairlane_core::money::Nano(spent).to_string(),
        }
    }
}

impl Attained {
    fn of(told: &Told, story: &Story) -> Option<Self> {
        let sla = told.sla?;
        let is_late = |seen: &&Seen| seen.took(story.now()) > sla.latency;
        let late = told.runs.values().filter(is_late).count() as u64;
        let judged = told.runs.values().filter(|seen| seen.ended.is_some() || is_late(seen));
        let judged = judged.count() as u64;
        let permille = u64::from(sla.percentile_permille);
        Some(Self {
            percentile_permille: sla.percentile_permille,
            latency_us: sla.latency.0,
            late,
            in_time: if judged == 0 { 1.0 } else { measure::ratio(judged - late, judged) },
            met: (judged - late) * 1_000 >= judged * permille,
        })
    }
}

impl Still {
    fn words(self) -> String {
        // To the second: what is less does not matter here.
        let at = |micros: u64| show_span(Span(micros / 1_000_000 * 1_000_000));
        format!("{}..{}", at(self.from_us), at(self.to_us))
    }
}

fn difference(
    (to, first): (&Play, &Story),
    (play, story): (&Play, &Story),
    of_groups: bool,
) -> Difference {
    let times = |told: &Told| -> Vec<[Option<_>; 3]> {
        let of = |seen: &Seen| [Some(seen.created), seen.began, seen.ended];
        told.runs.values().map(of).collect()
    };
    let same = first.tenants.iter().filter(|(_, told)| !told.runs.is_empty());
    let same = same.filter(|(id, before)| {
        let after = story.tenants.get(*id);
        after.is_some_and(|after| times(before) == times(after) && before.refused == after.refused)
    });
    Difference {
        play: play.name.clone(),
        to: to.name.clone(),
        tenants: Sides::of_tenants(to, play),
        groups: of_groups.then(|| Sides::of_groups(to, play)),
        same: same.map(|(id, _)| id.to_string()).collect(),
    }
}

/// The shortest that percentiles know stands for nothing at all.
fn span(micros: u64) -> String {
    if micros <= 1 { "0 s".to_owned() } else { text::span_us(micros) }
}

/// A few of them by name, and how many more there are.
fn listed(names: &[String]) -> String {
    const SHOWN: usize = 8;
    let shown = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// A character for as many values as it takes, the highest at the top.
fn line(values: &[f64]) -> String {
    let wide = values.len().div_ceil(CHARACTERS).max(1);
    #[expect(clippy::cast_precision_loss, reason = "there are few")]
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let values: Vec<f64> = values.chunks(wide).map(mean).collect();
    let highest = values.iter().copied().fold(0.0, f64::max);
    let level = |value: f64| {
        // The lowest level that is not below it.
        let reached =
            LEVELS.iter().zip(1_u32..).find(|(_, at)| value * 8.0 <= highest * f64::from(*at));
        if value > 0.0 { reached.map_or('█', |(level, _)| *level) } else { ' ' }
    };
    values.iter().map(|value| level(*value)).collect()
}

#[cfg(test)]
mod tests {
    use super::line;

    #[test]
    fn a_line_is_as_high_as_its_highest_value() {
        assert_eq!(line(&[0.0, 0.1, 5.0, 10.0]), " ▁▄█");
        assert_eq!(line(&[0.0, 0.0]), "  ");
    }
}
