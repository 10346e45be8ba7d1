//! What is shown of the plays: a table for each, and who differs from the first.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use fairlane_core::row::RunStatus;
use fairlane_core::time::Span;
use fairlane_workflow::show_span;
use serde::Serialize;

use super::scenario::Scenario;
use super::story::{Seen, Story, Told};
use crate::measure::{self, Latencies, Summary};
use crate::table::Table;
use crate::text;

/// Tenants of a table, and of a list of those that differ: those that wait longest.
const SHOWN_MAX: usize = 20;
/// A tenant that holds nothing for less than this does not stand still.
const STILL_MIN: Span = Span::from_secs(1);
const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

#[derive(Debug, Serialize)]
pub(super) struct Report {
    scenario: String,
    start: fairlane_api::Timestamp,
    lasts_us: u64,
    column_us: u64,
    plays: Vec<Play>,
    /// Each play beside the first one.
    differences: Vec<Difference>,
    /// How long the plays took on this machine.
    took_us: u64,
}

#[derive(Debug, Serialize)]
struct Play {
    name: String,
    tenants: BTreeMap<String, Tenant>,
}

#[derive(Debug, Serialize)]
struct Tenant {
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
    slots_max: u64,
    /// Mean of slots held, in each column of time.
    slots: Vec<f64>,
    /// The longest time for which it had runs and held no slot, after the start.
    #[serde(skip_serializing_if = "Option::is_none")]
    still: Option<Still>,
    /// By tool or endpoint.
    calls: BTreeMap<String, Calls>,
    spent: String,
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

#[derive(Debug, Serialize)]
struct Difference {
    play: String,
    to: String,
    /// Tenants with runs in both whose every run began and ended at the same microsecond.
    same: Vec<String>,
    changed: Vec<Changed>,
}

#[derive(Debug, Serialize)]
struct Changed {
    tenant: String,
    /// In the first play, and in this one; so are the others.
    latency_p95_us: [u64; 2],
    latency_max_us: [u64; 2],
    completed: [u64; 2],
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
        let plays: Vec<Play> = plays.iter().map(|(name, story)| Play::new(name, story)).collect();
        let both: Vec<(&Play, &Story)> = plays.iter().zip(stories).collect();
        let differences = match &both[..] {
            [first, others @ ..] => others.iter().map(|other| difference(*first, *other)).collect(),
            [] => Vec::new(),
        };
        Self {
            scenario: file.to_owned(),
            start: scenario.start,
            lasts_us: scenario.lasts.0,
            column_us,
            plays,
            differences,
            took_us: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
        }
    }

    pub(super) fn render(&self) -> String {
        let lasts = show_span(Span(self.lasts_us));
        let took = measure::micros(self.took_us);
        let mut out = format!(
            "{}: {lasts} from {}, played in {took}\n",
            self.scenario,
            text::time(self.start)
        );
        for play in &self.plays {
            out.push_str(&format!("\n{}\n", play.name));
            out.push_str(&play.table().render());
            if let Some(more @ 1..) = play.tenants.len().checked_sub(SHOWN_MAX) {
                out.push_str(&format!("and {more} more, which wait no longer: --json has them\n"));
            }
        }
        for difference in &self.differences {
            out.push_str(&difference.render());
        }
        let column = show_span(Span(self.column_us));
        out.push_str(&format!(
            "\nwait: to the first attempt; latency: to the end, of completed runs; still: the longest time with runs and no slot;\n\
             the line: slots held, {column} a column\n"
        ));
        out
    }
}

impl Play {
    fn new(name: &str, story: &Story) -> Self {
        let seen = |told: &&Told| !told.runs.is_empty() || told.refused > 0;
        let tenants = story.tenants.iter().filter(|(_, told)| seen(told));
        let tenants = tenants.map(|(id, told)| (id.to_string(), Tenant::new(told, story)));
        Self { name: name.to_owned(), tenants: tenants.collect() }
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
        for seen in told.runs.values() {
            if let Some(began) = seen.began {
                wait.record(began.since(seen.created).0);
            }
            if let (Some(ended), RunStatus::Completed) = (seen.ended, seen.status) {
                latency.record(ended.since(seen.created).0);
            }
        }
        let still = told.still.filter(|(from, to)| to.since(*from) >= STILL_MIN);
        let calls = told.calls.iter().map(|(tool, columns)| {
            let count = columns.0.iter().sum();
            (tool.to_string(), Calls { count, columns: columns.0.to_vec() })
        });
        let spent = told.runs.values().map(|seen| seen.spent.0).fold(0, u64::saturating_add);
        Self {
            runs: told.runs.len() as u64,
            completed: count(RunStatus::Completed),
            failed: count(RunStatus::Failed),
            cancelled: count(RunStatus::Cancelled),
            refused: told.refused,
            paused: count(RunStatus::Paused),
            live,
            wait: wait.summary(),
            latency: latency.summary(),
            slots_max: told.slots_max,
            slots: told.slots.0.iter().map(|held| measure::ratio(*held, story.width().0)).collect(),
            still: still.map(|(from, to)| Still {
                from_us: story.since_start(from).0,
                to_us: story.since_start(to).0,
            }),
            calls: calls.collect(),
            spent: fairlane_core::money::Nano(spent).to_string(),
        }
    }
}

impl Still {
    fn words(self) -> String {
        // To the second: what is less does not matter here.
        let at = |micros: u64| show_span(Span(micros / 1_000_000 * 1_000_000));
        format!("{}..{}", at(self.from_us), at(self.to_us))
    }
}

impl Difference {
    fn render(&self) -> String {
        let mut out = format!("\n{}, beside {}\n", self.play, self.to);
        if !self.same.is_empty() {
            out.push_str(&format!("  the same to the microsecond: {}\n", listed(&self.same)));
        }
        for changed in self.changed.iter().take(SHOWN_MAX) {
            let [was, is] = changed.latency_p95_us.map(span);
            let [longest_before, longest] = changed.latency_max_us.map(span);
            let [done_before, done] = changed.completed;
            out.push_str(&format!(
                "  {}: latency p95 {is} (was {was}), max {longest} (was {longest_before}), {done} done (were {done_before})\n",
                changed.tenant
            ));
        }
        if let Some(more @ 1..) = self.changed.len().checked_sub(SHOWN_MAX) {
            out.push_str(&format!("  and {more} more, which changed less: --json has them\n"));
        }
        out
    }
}

fn difference((to, first): (&Play, &Story), (play, story): (&Play, &Story)) -> Difference {
    let mut difference = Difference {
        play: play.name.clone(),
        to: to.name.clone(),
        same: Vec::new(),
        changed: Vec::new(),
    };
    for (id, before) in first.tenants.iter().filter(|(_, told)| !told.runs.is_empty()) {
        let Some(after) = story.tenants.get(id).filter(|told| !told.runs.is_empty()) else {
            continue;
        };
        let times = |told: &Told| -> Vec<[Option<_>; 3]> {
            let of = |seen: &Seen| [Some(seen.created), seen.began, seen.ended];
            told.runs.values().map(of).collect()
        };
        if times(before) == times(after) && before.refused == after.refused {
            difference.same.push(id.to_string());
            continue;
        }
        let tenant = id.to_string();
        let [before, after] = [to, play].map(|play| &play.tenants[&tenant]);
        difference.changed.push(Changed {
            latency_p95_us: [before.latency.p95_us, after.latency.p95_us],
            latency_max_us: [before.latency.max_us, after.latency.max_us],
            completed: [before.completed, after.completed],
            tenant,
        });
    }
    difference.changed.sort_by_key(|changed| {
        let [was, is] = changed.latency_max_us;
        Reverse(was.abs_diff(is))
    });
    difference
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

/// A character for each value, the highest of them at the top.
fn line(values: &[f64]) -> String {
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
