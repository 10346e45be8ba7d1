//! Tenants that are alike, taken together: what the plays of a scenario with groups show first.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use fairlane_core::money::Nano;
use fairlane_core::row::RunStatus;
use serde::Serialize;

use super::reviews::Reviews;
use super::{Tenant, span};
use crate::measure::{self, Latencies, Summary};
use crate::simulate::scenario::Scenario;
use crate::simulate::story::{COLUMNS, Story, Told};
use crate::table::Table;

/// The tenants of a group, or one tenant that is in none; of recorded arrivals those of a tier.
#[derive(Debug, Serialize)]
pub(super) struct Group {
    pub(super) name: String,
    pub(super) tenants: u64,
    pub(super) runs: u64,
    pub(super) completed: u64,
    /// Failed, cancelled, or not let in.
    pub(super) failed: u64,
    pub(super) live: u64,
    /// From submission to the first attempt.
    pub(super) wait: Summary,
    /// From submission to the end, of completed runs.
    pub(super) latency: Summary,
    /// From submission to the end, or to that of the play, whatever the outcome.
    pub(super) took: Summary,
    /// Absent: nobody was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reviews: Option<Reviews>,
    pub(super) spent: String,
    /// Runs that were refused, halted or failed for want of money.
    pub(super) short_of_money: u64,
    /// Slot time used.
    pub(super) service_us: u64,
    /// The part of all slot time used that was theirs.
    pub(super) share: f64,
    /// Runs that took, or have been taking, longer than their tenant's target.
    pub(super) late: u64,
    /// Tenants of which more runs were late than their target lets be; absent if none has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sla_missed: Option<u64>,
    /// When the last of its runs ended, after the start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) last_end_us: Option<u64>,
    /// Mean of slots held, in each column of time.
    pub(super) slots: Vec<f64>,
    /// Of completed runs that were submitted in each column of time.
    pub(super) latency_p95_us: Vec<Option<u64>>,
}

impl Group {
    /// Those of a play, in the order of their names.
    pub(super) fn all(
        scenario: &Scenario,
        tenants: &BTreeMap<String, Tenant>,
        story: &Story,
    ) -> Vec<Self> {
        let mut members = BTreeMap::<&str, Vec<(&Tenant, &Told)>>::new();
        for (id, told) in &story.tenants {
            let Some(tenant) = tenants.get(id.as_str()) else { continue };
            let name = match scenario.group_of(id.as_str()) {
                // Recorded tenants are alike if they have the same tier.
                own if own == id.as_str() && scenario.recorded.is_some() => &told.tier,
                name => name,
            };
            members.entry(name).or_default().push((tenant, told));
        }
        members.into_iter().map(|(name, members)| Self::of(name, &members, story)).collect()
    }

    fn of(name: &str, members: &[(&Tenant, &Told)], story: &Story) -> Self {
        let (mut wait, mut latency) = (Latencies::default(), Latencies::default());
        let (mut took, mut spent) = (Latencies::default(), 0_u64);
        let mut columns = BTreeMap::<usize, Latencies>::new();
        let mut slots = vec![0; COLUMNS];
        let mut last_end = None;
        for (_, told) in members {
            for seen in told.runs.values() {
                if let Some(began) = seen.began {
                    wait.record(began.since(seen.created).0);
                }
                if let (Some(ended), RunStatus::Completed) = (seen.ended, seen.status) {
                    let after = ended.since(seen.created).0;
                    latency.record(after);
                    columns.entry(story.column(seen.created)).or_default().record(after);
                }
                took.record(seen.took(story.now()).0);
                spent = spent.saturating_add(seen.spent.0);
                last_end = last_end.max(seen.ended);
            }
            slots.iter_mut().zip(told.slots.0).for_each(|(sum, held)| *sum += held);
        }
        let asked = members.iter().flat_map(|(_, told)| told.reviews.values());
        let each = || members.iter().map(|(tenant, _)| *tenant);
        let service = slots.iter().sum();
        let sum = |of: fn(&Tenant) -> u64| each().map(of).sum();
        let has_target = each().any(|tenant| tenant.sla.is_some());
        let missed = each().filter(|tenant| tenant.sla.is_some_and(|sla| !sla.met)).count();
        Self {
            name: name.to_owned(),
            tenants: members.len() as u64,
            runs: sum(|tenant| tenant.runs + tenant.refused),
            completed: sum(|tenant| tenant.completed),
            failed: sum(|tenant| tenant.failed + tenant.cancelled + tenant.refused),
            live: sum(|tenant| tenant.live),
            wait: wait.summary(),
            latency: latency.summary(),
            took: took.summary(),
            reviews: Reviews::of(asked, story.now()),
            spent: Nano(spent).to_string(),
            short_of_money: sum(|tenant| tenant.short_of_money),
            service_us: service,
            share: measure::ratio(service, story.service().max(1)),
            late: sum(|tenant| tenant.sla.map_or(0, |sla| sla.late)),
            sla_missed: has_target.then_some(missed as u64),
            last_end_us: last_end.map(|at| story.since_start(at).0),
            slots: slots.into_iter().map(|held| measure::ratio(held, story.width().0)).collect(),
            latency_p95_us: (0..COLUMNS)
                .map(|at| columns.get(&at).map(|of| of.summary().p95_us))
                .collect(),
        }
    }
}

/// The groups of all plays, each beside itself in the others; those of many tenants first.
pub(super) fn rows<'a>(
    plays: impl Iterator<Item = (&'a str, &'a [Group])>,
) -> impl Iterator<Item = (&'a Group, &'a str)> {
    let mut rows: Vec<_> = plays
        .enumerate()
        .flat_map(|(at, (play, groups))| groups.iter().map(move |group| (group, at, play)))
        .collect();
    rows.sort_by_key(|(group, at, _)| (Reverse(group.tenants > 1), &group.name, *at));
    rows.into_iter().map(|(group, _, play)| (group, play))
}

/// The same as a table.
pub(super) fn table<'a>(plays: impl Iterator<Item = (&'a str, &'a [Group])>) -> Table {
    let mut table = Table::new(&[
        "GROUP",
        "PLAY",
        ">TENANTS",
        ">RUNS",
        ">DONE",
        ">FAILED",
        ">LIVE",
        ">WAIT P95",
        ">LATENCY P50",
        ">P95",
        ">MAX",
        ">LATE",
        ">SLA MISSED",
        ">SHARE",
        ">SPENT",
        ">NO MONEY",
        ">LAST END",
    ]);
    let mut before = None;
    for (group, play) in rows(plays) {
        let name = Some(&*group.name).filter(|name| before != Some(*name)).unwrap_or_default();
        before = Some(&*group.name);
        table.row([
            name.to_owned(),
            play.to_owned(),
            group.tenants.to_string(),
            group.runs.to_string(),
            group.completed.to_string(),
            group.failed.to_string(),
            group.live.to_string(),
            span(group.wait.p95_us),
            span(group.latency.p50_us),
            span(group.latency.p95_us),
            span(group.latency.max_us),
            group.sla_missed.map_or_else(|| "-".to_owned(), |_| group.late.to_string()),
            group.sla_missed.map_or_else(|| "-".to_owned(), |missed| missed.to_string()),
            format!("{:.1} %", group.share * 100.0),
            group.spent.clone(),
            group.short_of_money.to_string(),
            group.last_end_us.map_or_else(|| "-".to_owned(), span),
        ]);
    }
    table
}
