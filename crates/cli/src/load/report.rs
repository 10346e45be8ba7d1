//! From records to rows of the result table: what a group of tenants submitted, got done, and waited for.

use serde::Serialize;

use super::drive::{End, Record};
use crate::measure::{self, Latencies, Summary};

/// Titles of the columns that [`GroupResult::cells`] fills.
pub(crate) const COLUMNS: [&str; 7] =
    [">TENANTS", ">SUBMITTED", ">DONE", ">P50", ">P95", ">MAX", ">SLA MISSED"];

/// What one group of tenants experienced in one phase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct GroupResult {
    pub(crate) group: String,
    pub(crate) tenants: u64,
    /// All that was sent, the refused included.
    pub(crate) submitted: u64,
    pub(crate) done: u64,
    pub(crate) refused: u64,
    pub(crate) failed: u64,
    /// From submission to decision, of those that are done.
    pub(crate) latency: Summary,
    /// The part of it that was not work.
    pub(crate) wait: Summary,
    /// Not done within the target: late, failed, refused or never ended.
    pub(crate) sla_missed: u64,
}

/// The target that a run misses if it takes longer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    /// From submission to decision.
    Latency { us: u64 },
    /// The part of it that is not work, where runs differ in how much work they are.
    Wait { us: u64 },
}

/// Groups of tenants: the names, and each tenant's group if it is in one.
#[derive(Clone, Debug)]
pub(crate) struct Groups {
    pub(crate) names: Vec<String>,
    pub(crate) of: Vec<Option<usize>>,
}

/// One row for each group.
pub(crate) fn rows(records: &[Record], groups: &Groups, target: Target) -> Vec<GroupResult> {
    let mut rows: Vec<Row> = groups.names.iter().map(|_| Row::default()).collect();
    for record in records {
        if let Some(group) = groups.of[record.tenant as usize] {
            rows[group].add(record, target);
        }
    }
    let tenants = |group| groups.of.iter().filter(|of| **of == Some(group)).count() as u64;
    groups
        .names
        .iter()
        .zip(rows)
        .enumerate()
        .map(|(at, (name, row))| row.finish(name.clone(), tenants(at)))
        .collect()
}

#[derive(Debug, Default)]
struct Row {
    latencies: Latencies,
    waits: Latencies,
    submitted: u64,
    done: u64,
    refused: u64,
    failed: u64,
    in_time: u64,
}

impl Row {
    fn add(&mut self, record: &Record, target: Target) {
        self.submitted += 1;
        match record.end {
            End::Completed { at_us } => {
                let latency = at_us - record.due_us;
                let wait = latency.saturating_sub(record.work_us);
                let is_in_time = match target {
                    Target::Latency { us } => latency <= us,
                    Target::Wait { us } => wait <= us,
                };
                self.done += 1;
                self.in_time += u64::from(is_in_time);
                self.latencies.record(latency);
                self.waits.record(wait);
            }
            End::Refused => self.refused += 1,
            End::Failed => self.failed += 1,
            End::Open => {}
        }
    }

    fn finish(self, group: String, tenants: u64) -> GroupResult {
        GroupResult {
            group,
            tenants,
            submitted: self.submitted,
            done: self.done,
            refused: self.refused,
            failed: self.failed,
            latency: self.latencies.summary(),
            wait: self.waits.summary(),
            sla_missed: self.submitted - self.in_time,
        }
    }
}

impl GroupResult {
    /// The cells below [`COLUMNS`].
    pub(crate) fn cells(&self) -> [String; 7] {
        let time = |micros| match self.done {
            0 => "-".to_owned(),
            _ => measure::micros(micros),
        };
        [
            measure::count(self.tenants),
            measure::count(self.submitted),
            measure::count(self.done),
            time(self.latency.p50_us),
            time(self.latency.p95_us),
            time(self.latency.max_us),
            measure::count(self.sla_missed),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_done_in_time_missed_the_target() {
        let record = |tenant, end| Record { tenant, due_us: 100, work_us: 1, end };
        let records = [
            record(0, End::Completed { at_us: 200 }),
            record(0, End::Completed { at_us: 400 }),
            record(0, End::Open),
            record(0, End::Failed),
            record(1, End::Refused),
            record(2, End::Completed { at_us: 101 }),
        ];
        let groups = Groups {
            names: vec!["one".to_owned(), "two".to_owned()],
            of: vec![Some(0), Some(1), None],
        };
        let rows = rows(&records, &groups, Target::Latency { us: 150 });
        assert_eq!((rows[0].submitted, rows[0].done, rows[0].sla_missed), (4, 2, 3));
        assert_eq!((rows[1].submitted, rows[1].refused, rows[1].sla_missed), (1, 1, 1));
        assert_eq!(rows[1].cells()[3], "-");
    }
}
