//! What a replay found, by size class of the tenants and by policy.

use std::fmt::Write;

use serde::Serialize;

use super::trace::Trace;
use crate::load::report::{COLUMNS, GroupResult, Groups};
use crate::measure::{self, Summary};
use crate::table::Table;

/// A tenant with this part of all arrivals, or of all work, is a whale, in thousandths.
const WHALE_PERMILLE: u64 = 50;
/// One with less than this part of both is small.
const SMALL_PERMILLE: u64 = 1;

/// The trace under one policy.
#[derive(Debug, Serialize)]
pub(crate) struct PolicyResult {
    pub(crate) policy: &'static str,
    pub(crate) groups: Vec<GroupResult>,
    pub(crate) all: GroupResult,
    /// Over service / min(demand, entitlement), the mean of windows of `window_ms`.
    pub(crate) jain: Option<f64>,
    pub(crate) window_ms: u64,
    pub(crate) elapsed_ms: u64,
    /// Slot time used over slot time offered, until the last arrival.
    pub(crate) utilisation: f64,
    /// Slot time per run above its work.
    pub(crate) overhead_us: u64,
    pub(crate) slots_seen: u32,
    pub(crate) waiting_seen: u64,
    pub(crate) lateness: Summary,
    /// Submissions that the server refused, by its code.
    pub(crate) refused: std::collections::BTreeMap<String, u64>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) file: String,
    pub(crate) arrivals: u64,
    pub(crate) tenants: u64,
    pub(crate) speed: f64,
    pub(crate) slots: u32,
    /// Most slots that one tenant may hold under the default policy.
    pub(crate) cap: u32,
    /// Slots that would be busy on average if each run were served at once.
    pub(crate) mean_demand: f64,
    pub(crate) target_us: u64,
    pub(crate) policies: Vec<PolicyResult>,
}

/// Whales, the middle, and the small.
pub(crate) fn size_classes(trace: &Trace) -> Groups {
    let class = |arrivals: u64, work_us: u64| {
        let permille = |part: u64, whole: u64| u128::from(part) * 1_000 / u128::from(whole.max(1));
        let most = permille(arrivals, trace.arrivals).max(permille(work_us, trace.work_us));
        if most >= u128::from(WHALE_PERMILLE) {
            0
        } else if most >= u128::from(SMALL_PERMILLE) {
            1
        } else {
            2
        }
    };
    Groups {
        names: ["whales", "middle", "small"].map(str::to_owned).to_vec(),
        of: trace.tenants.iter().map(|one| Some(class(one.arrivals, one.work_us))).collect(),
    }
}

impl Report {
    /// For people.
    pub(crate) fn render(&self) -> String {
        let mut text = self.table();
        let _ = writeln!(
            text,
            "\n{} arrivals of {} tenants at {} times the speed. Served at once they would keep {} slots busy on\n\
             average; the pool has {}, of which a tenant may hold {} under the default policy.\n\
             Times run from when an arrival was due to its end; WAIT is that less its own work. The target is to\n\
             wait at most {}. Whales have 5 % or more of the arrivals or of the work, the small under 0.1 %.",
            measure::count(self.arrivals),
            measure::count(self.tenants),
            self.speed,
            measure::digits(self.mean_demand),
            self.slots,
            self.cap,
            measure::micros(self.target_us)
        );
        for result in &self.policies {
            let jain = result.jain.map_or_else(|| "-".to_owned(), |jain| format!("{jain:.3}"));
            let _ = writeln!(
                text,
                "  {}: {:.1} s to the last end, {:.0} % of the slots used while runs arrived, at most {} steps waiting;\n    \
                 Jain's index {jain} over service / min(demand, entitlement) in windows of {}",
                result.policy,
                measure::ratio(result.elapsed_ms, 1_000),
                result.utilisation * 100.0,
                measure::count(result.waiting_seen),
                measure::micros(result.window_ms * 1_000)
            );
            warn(result, &mut text);
        }
        if let Some(sentence) = self.small_tenants() {
            let _ = writeln!(text, "\n{sentence}");
        }
        text
    }

    fn table(&self) -> String {
        let mut titles = vec!["TENANTS OF SIZE", "POLICY"];
        titles.extend(COLUMNS);
        titles.extend([">P50 WAIT", ">P95 WAIT"]);
        let mut table = Table::new(&titles);
        let classes = self.policies.first().map_or(0, |result| result.groups.len());
        for class in 0..=classes {
            for (at, result) in self.policies.iter().enumerate() {
                let row = result.groups.get(class).unwrap_or(&result.all);
                let name = if at == 0 { row.group.clone() } else { String::new() };
                let [tenants, submitted, done, p50, p95, max, missed] = row.cells();
                let wait = [row.wait.p50_us, row.wait.p95_us].map(measure::micros);
                let [wait50, wait95] = wait;
                let policy = result.policy.to_owned();
                table.row([
                    name, policy, tenants, submitted, done, p50, p95, max, missed, wait50, wait95,
                ]);
            }
        }
        table.render()
    }

    /// What the comparison is about.
    fn small_tenants(&self) -> Option<String> {
        let of = |policy: &str| {
            let result = self.policies.iter().find(|result| result.policy == policy)?;
            let small = result.groups.last().filter(|group| group.done > 0)?;
            Some((measure::micros(small.latency.p95_us), measure::micros(small.wait.p95_us)))
        };
        let ((fifo, fifo_wait), (fair, fair_wait)) = (of("fifo")?, of("default")?);
        Some(format!(
            "The small tenants' p95: {fifo} under fifo, {fair} under the default; of that they waited {fifo_wait} and {fair_wait}."
        ))
    }
}

fn warn(result: &PolicyResult, text: &mut String) {
    if result.lateness.p99_us > 10_000 {
        let late = measure::micros(result.lateness.p99_us);
        let _ = writeln!(
            text,
            "    warning: 1 in 100 submissions was sent {late} late or more; the wait counts"
        );
    }
    for (code, count) in &result.refused {
        let _ = writeln!(text, "    {} submissions refused: {code}", measure::count(*count));
    }
    let open = result.all.submitted - result.all.done - result.all.refused;
    if open > 0 {
        let _ = writeln!(text, "    warning: {} runs did not complete", measure::count(open));
    }
}
