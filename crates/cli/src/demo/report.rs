//! What the demo found: the numbers of each phase, and whether they are what they should be.

mod people;

use std::fmt::Write;
use std::time::Duration;

use fairlane_client::api::quota::{Account, Amount};
use serde::Serialize;

use super::people::People;
use super::town::{BUREAU_BURST, BUREAU_RATE, SLA, TIERS, Town};
use super::traffic::{Burst, work};
use crate::load::drive::{End, micros};
use crate::load::fairness::{self, Windows};
use crate::load::phase::Phased;
use crate::load::report::{COLUMNS, GroupResult, Groups, Target, rows};
use crate::measure::{self, Summary};
use crate::table::Table;

/// With the burst the others' p95 may be this much of what it is without.
const RATIO_MAX: f64 = 1.1;
/// Under first in, first out it grows at least by this.
const RATIO_FIFO_MIN: f64 = 10.0;
/// A loader that is later than this at the 99th percentile says more about the machine than about the server.
const LATENESS_MAX_US: u64 = 10_000;

/// One phase, measured.
#[derive(Debug, Serialize)]
pub(crate) struct PhaseResult {
    pub(crate) phase: String,
    pub(crate) policy: &'static str,
    pub(crate) groups: Vec<GroupResult>,
    /// All institutions but the burst bank.
    pub(crate) others: GroupResult,
    /// Over service / min(demand, entitlement), in one-second windows while the burst comes in.
    pub(crate) jain: Option<f64>,
    /// From the burst's first application to its last decision.
    pub(crate) burst_drained_us: Option<u64>,
    /// The part of its own slots that the burst bank used in that time.
    pub(crate) burst_utilisation: Option<f64>,
    pub(crate) elapsed_ms: u64,
    /// Slot time per application, as the server counted it.
    pub(crate) slot_time_us: u64,
    pub(crate) slots_seen: u32,
    pub(crate) waiting_seen: u64,
    /// How late the loader sent what was due.
    pub(crate) lateness: Summary,
}

/// Everything.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) sla_us: u64,
    pub(crate) baseline: PhaseResult,
    pub(crate) fifo: PhaseResult,
    pub(crate) fair: PhaseResult,
    pub(crate) quotas: PhaseResult,
    /// The others' p95 with the burst over that without.
    pub(crate) fifo_ratio: f64,
    pub(crate) fair_ratio: f64,
    pub(crate) quotas_ratio: f64,
    /// The bank that ran out of money in the last phase; it is none of the others there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) broke: Option<Broke>,
    /// The phase with people and places.
    pub(crate) people: People,
    pub(crate) expectations: Vec<Expectation>,
    pub(crate) warnings: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) server: Option<Kept>,
}

/// Something that the demo is to show, and whether it did.
#[derive(Debug, Serialize)]
pub(crate) struct Expectation {
    pub(crate) expected: String,
    pub(crate) measured: String,
    pub(crate) met: bool,
}

/// A bank whose budget is too small for what it sends.
#[derive(Debug, Serialize)]
pub(crate) struct Broke {
    #[serde(skip)]
    at: usize,
    pub(crate) tenant: String,
    pub(crate) budget: Amount,
    pub(crate) posted: Amount,
    pub(crate) debt: Amount,
    pub(crate) submitted: u64,
    pub(crate) done: u64,
    pub(crate) refused: u64,
}

impl Broke {
    pub(crate) fn new(at: usize, tenant: String, month: &Account, phased: &Phased) -> Self {
        let of = |is_it: fn(&End) -> bool| {
            let records = phased.sent.records.iter().filter(|one| one.tenant as usize == at);
            records.filter(|record| is_it(&record.end)).count() as u64
        };
        Self {
            at,
            tenant,
            budget: month.budget.clone().unwrap_or_default(),
            posted: month.posted.clone(),
            debt: month.debt.clone(),
            submitted: of(|_| true),
            done: of(|end| matches!(end, End::Completed { .. })),
            refused: of(|end| matches!(end, End::Refused)),
        }
    }
}

/// The server that was left running.
#[derive(Debug, Serialize)]
pub(crate) struct Kept {
    pub(crate) url: String,
    pub(crate) operator_key: String,
    /// A key that sees the burst bank only.
    pub(crate) tenant: String,
    pub(crate) tenant_key: String,
    /// A key of somebody who may decide reviews of the EU.
    pub(crate) reviewer: String,
    pub(crate) reviewer_key: String,
}

impl PhaseResult {
    pub(crate) fn new(
        name: &str,
        policy: &'static str,
        town: &Town,
        phased: &Phased,
        burst: &Burst,
    ) -> Self {
        Self { policy, ..Self::without(None, name, town, phased, burst) }
    }

    /// Under the default policy, with one bank left out of all groups.
    pub(crate) fn without(
        broke: Option<&Broke>,
        name: &str,
        town: &Town,
        phased: &Phased,
        burst: &Burst,
    ) -> Self {
        let is_out = |at: usize| broke.is_some_and(|broke| broke.at == at);
        let records = &phased.sent.records;
        let target = Target::Latency { us: micros(SLA) };
        let all = Groups {
            names: vec!["others".to_owned()],
            of: (0..town.institutions.len())
                .map(|at| (at != town.burst() && !is_out(at)).then_some(0))
                .collect(),
        };
        let done = records.iter().filter(|record| matches!(record.end, End::Completed { .. }));
        let slot_time_us = phased.service_us / (done.count() as u64).max(1);
        let overhead_us = slot_time_us.saturating_sub(micros(work()));
        let length = Duration::from_secs(1).min(burst.length);
        let windows = Windows { from: burst.from, length, count: 3 };
        let others = rows(records, &all, target).remove(0);
        let mut groups = groups(town);
        groups
            .of
            .iter_mut()
            .enumerate()
            .filter(|(at, _)| is_out(*at))
            .for_each(|(_, of)| *of = None);
        let groups = rows(records, &groups, target);
        let burst_drained_us = drained(phased, town, burst);
        let used_us = slot_time_us * groups.last().map_or(0, |group| group.done);
        let offered_us = |drained| drained * u64::from(town.cap(town.burst()));
        Self {
            phase: name.to_owned(),
            policy: "fair",
            groups,
            others,
            jain: fairness::index(&town.shares(), records, overhead_us, windows),
            burst_drained_us,
            burst_utilisation: burst_drained_us
                .map(|drained| measure::ratio(used_us, offered_us(drained))),
            elapsed_ms: u64::try_from(phased.elapsed.as_millis()).unwrap_or(u64::MAX),
            slot_time_us,
            slots_seen: phased.slots_seen,
            waiting_seen: phased.waiting_seen,
            lateness: phased.sent.lateness.summary(),
        }
    }
}

/// The tiers, and the burst bank by itself.
fn groups(town: &Town) -> Groups {
    let names = TIERS.iter().map(|tier| tier.name).chain(["burst bank"]);
    let group = |at, tier| if at == town.burst() { TIERS.len() } else { tier };
    let of = town.institutions.iter().enumerate().map(|(at, one)| Some(group(at, one.tier)));
    Groups { names: names.map(str::to_owned).collect(), of: of.collect() }
}

fn drained(phased: &Phased, town: &Town, burst: &Burst) -> Option<u64> {
    let of_burst = phased.sent.records.iter().filter(|one| one.tenant as usize == town.burst());
    let ends = of_burst.filter_map(|record| match record.end {
        End::Completed { at_us } => Some(at_us),
        _ => None,
    });
    Some(ends.max()?.saturating_sub(micros(burst.from)))
}

impl Report {
    pub(crate) fn new(phases: [PhaseResult; 4], broke: Option<Broke>, people: People) -> Self {
        let [baseline, fifo, fair, quotas] = phases;
        let over = |phase: &PhaseResult| {
            measure::ratio(phase.others.latency.p95_us, baseline.others.latency.p95_us)
        };
        let (fifo_ratio, fair_ratio, quotas_ratio) = (over(&fifo), over(&fair), over(&quotas));
        let mut report = Self {
            sla_us: micros(SLA),
            fifo_ratio,
            fair_ratio,
            quotas_ratio,
            broke,
            people,
            expectations: Vec::new(),
            warnings: Vec::new(),
            baseline,
            fifo,
            fair,
            quotas,
            server: None,
        };
        report.expectations = report.expected();
        report.warnings = report.warned();
        report
    }

    fn phases(&self) -> [&PhaseResult; 4] {
        [&self.baseline, &self.fifo, &self.fair, &self.quotas]
    }

    fn expected(&self) -> Vec<Expectation> {
        let p95 = |phase: &PhaseResult| measure::micros(phase.others.latency.p95_us);
        let from = p95(&self.baseline);
        let mut expectations = vec![
            expect(
                "first in, first out: the others' p95 grows by an order of magnitude",
                format!(
                    "{from} -> {}, {} times",
                    p95(&self.fifo),
                    measure::digits(self.fifo_ratio)
                ),
                self.fifo_ratio >= RATIO_FIFO_MIN,
            ),
            expect(
                "first in, first out: others miss their target",
                format!("{} missed", measure::count(self.fifo.others.sla_missed)),
                self.fifo.others.sla_missed > 0,
            ),
            expect(
                "default: the others' p95 stays within 1.1 times",
                format!("{from} -> {}, {:.2} times", p95(&self.fair), self.fair_ratio),
                self.fair_ratio <= RATIO_MAX,
            ),
            expect(
                "default: nobody else misses a target",
                format!("{} missed", measure::count(self.fair.others.sla_missed)),
                self.fair.others.sla_missed == 0,
            ),
        ];
        self.expect_of_quotas(&mut expectations);
        expectations.extend(people::expected(&self.people));
        expectations
    }

    fn expect_of_quotas(&self, expectations: &mut Vec<Expectation>) {
        let p95 = |phase: &PhaseResult| measure::micros(phase.others.latency.p95_us);
        expectations.extend([
            expect(
                "quotas: the others' p95 stays within 1.1 times",
                format!(
                    "{} -> {}, {:.2} times",
                    p95(&self.baseline),
                    p95(&self.quotas),
                    self.quotas_ratio
                ),
                self.quotas_ratio <= RATIO_MAX,
            ),
            expect(
                "quotas: nobody else misses a target",
                format!("{} missed", measure::count(self.quotas.others.sla_missed)),
                self.quotas.others.sla_missed == 0,
            ),
        ]);
        let bank = &self.quotas.groups[TIERS.len()];
        let calls = bank.done.saturating_sub(u64::from(BUREAU_BURST));
        // A smaller burst has calls enough.
        if let Some(took_us) = self.quotas.burst_drained_us.filter(|_| calls > 0) {
            let least_us = calls * 1_000_000 / u64::from(BUREAU_RATE);
            expectations.push(expect(
                "quotas: the burst bank waits for its own calls of the bureau",
                format!(
                    "{} calls took {}, {} at once and {} a second would take {}",
                    measure::count(bank.done),
                    measure::micros(took_us),
                    measure::count(u64::from(BUREAU_BURST)),
                    measure::count(u64::from(BUREAU_RATE)),
                    measure::micros(least_us)
                ),
                took_us >= least_us,
            ));
        }
        if let Some(broke) = &self.broke {
            expectations.push(expect(
                &format!("quotas: {} stops at its budget", broke.tenant),
                format!(
                    "{} of {} spent, {} of {} done, {} refused",
                    broke.posted, broke.budget, broke.done, broke.submitted, broke.refused
                ),
                broke.refused > 0 && broke.done > 0 && broke.debt.0 == "0.00",
            ));
        }
    }

    fn warned(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        for phase in self.phases() {
            let late = phase.lateness.p99_us;
            if late > LATENESS_MAX_US {
                warnings.push(format!(
                    "{}: 1 in 100 submissions was sent {} late or more, so the machine was busy; the wait counts",
                    phase.phase,
                    measure::micros(late)
                ));
            }
            for group in &phase.groups {
                if group.done < group.submitted {
                    warnings.push(format!(
                        "{}: {} of {} applications of {} are not done ({} refused, {} failed)",
                        phase.phase,
                        measure::count(group.submitted - group.done),
                        measure::count(group.submitted),
                        group.group,
                        group.refused,
                        group.failed
                    ));
                }
            }
        }
        warnings
    }

    /// For people.
    pub(crate) fn render(&self) -> String {
        let mut text = self.table();
        let _ = writeln!(
            text,
            "\nTimes run from the moment an application was due (the loader's clock) to its decision (the server's\n\
             stamp; one machine, one clock). The target is {}: five minutes at a thousandth of the time.\n\
             JAIN: Jain's index over service / min(demand, entitlement) while the burst comes in; 1 is even.\n",
            measure::micros(self.sla_us)
        );
        text += &people::render(&self.people);
        text.push('\n');
        for expectation in &self.expectations {
            let mark = if expectation.met { "met    " } else { "NOT MET" };
            let _ = writeln!(text, "  {mark}  {}: {}", expectation.expected, expectation.measured);
        }
        if let (Some(drained), Some(used)) =
            (self.fair.burst_drained_us, self.fair.burst_utilisation)
        {
            let _ = writeln!(
                text,
                "\nUnder the default the burst took {}, and {:.0} % of the burst bank's own slots in that time.",
                measure::micros(drained),
                used * 100.0
            );
        }
        for warning in &self.warnings {
            let _ = writeln!(text, "  warning: {warning}");
        }
        text
    }

    fn table(&self) -> String {
        let mut titles = vec!["GROUP", "PHASE"];
        titles.extend(COLUMNS);
        titles.push(">JAIN");
        let mut table = Table::new(&titles);
        for group in 0..=TIERS.len() {
            for (at, phase) in self.phases().into_iter().enumerate() {
                let row = &phase.groups[group];
                if row.submitted == 0 {
                    continue;
                }
                let name =
                    if at == 0 || row.group == "burst bank" && at == 1 { &row.group } else { "" };
                add(&mut table, name, phase, row, String::new());
            }
        }
        for (at, phase) in self.phases().into_iter().enumerate() {
            let jain = phase.jain.map_or_else(String::new, |jain| format!("{jain:.3}"));
            add(&mut table, if at == 0 { "all others" } else { "" }, phase, &phase.others, jain);
        }
        table.render()
    }
}

fn expect(expected: &str, measured: String, met: bool) -> Expectation {
    Expectation { expected: expected.to_owned(), measured, met }
}

fn add(table: &mut Table, name: &str, phase: &PhaseResult, row: &GroupResult, jain: String) {
    let [tenants, submitted, done, p50, p95, max, missed] = row.cells();
    let (name, phase) = (name.to_owned(), phase.phase.clone());
    table.row([name, phase, tenants, submitted, done, p50, p95, max, missed, jain]);
}
