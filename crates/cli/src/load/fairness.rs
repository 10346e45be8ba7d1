//! Jain's index over what tenants received of what they were entitled to, from the records of a measurement.
//!
//! Time is cut into windows. In each, a tenant's *demand* is the slot time that its runs could have used, had each
//! been given a slot the moment it was due; its *entitlement* is what water filling by weights and caps gives it of
//! the pool, and never more than its demand; its *service* is the slot time that its runs used, which for a run is
//! the time before its end. The index is over service / entitlement of the tenants that have a demand.

use std::time::Duration;

use super::drive::{End, Record, micros};
use crate::measure::ratio;
use crate::measure::share::{Claim, Member, jain_of_shares};

/// Bound on windows times tenants.
const CELLS_MAX: usize = 4_000_000;
/// In shorter windows most runs lie across a border.
const WINDOW_MIN: Duration = Duration::from_secs(1);

/// Who shares the pool.
#[derive(Clone, Debug)]
pub(crate) struct Shares {
    pub(crate) slots: u32,
    pub(crate) org_weights: Vec<u32>,
    pub(crate) tenants: Vec<TenantShare>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct TenantShare {
    pub(crate) org: usize,
    pub(crate) weight: u32,
    pub(crate) cap: u32,
}

/// The part of a measurement that is looked at: `count` windows from `from` on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Windows {
    pub(crate) from: Duration,
    pub(crate) length: Duration,
    pub(crate) count: usize,
}

impl Windows {
    /// The windows of a whole measurement: at most a hundred, none shorter than [`WINDOW_MIN`].
    pub(crate) fn over(span: Duration, tenants: usize) -> Self {
        let long = usize::try_from(span.as_millis() / WINDOW_MIN.as_millis()).unwrap_or(usize::MAX);
        let count = long.min(CELLS_MAX / tenants.max(1)).clamp(1, 100);
        let length = span / u32::try_from(count).unwrap_or(1);
        Self { from: Duration::ZERO, length: length.max(Duration::from_millis(1)), count }
    }
}

/// The mean of the index over the windows; `None` if nobody asked for anything.
///
/// `overhead_us` is the slot time that a run takes above its nominal work: polling, waking up, reporting.
pub(crate) fn index(
    shares: &Shares,
    records: &[Record],
    overhead_us: u64,
    windows: Windows,
) -> Option<f64> {
    let mut cells = vec![Cell::default(); windows.count * shares.tenants.len()];
    for record in records {
        spread(&mut cells, record, record.work_us + overhead_us, windows, shares.tenants.len());
    }
    let indices: Vec<f64> = cells
        .chunks(shares.tenants.len())
        .filter_map(|window| window_index(shares, window, windows.length))
        .collect();
    #[expect(clippy::cast_precision_loss, reason = "at most a hundred")]
    let count = indices.len() as f64;
    (count > 0.0).then(|| indices.iter().sum::<f64>() / count)
}

/// Slot time that was used until `until`, as a part of what the pool offered.
pub(crate) fn utilisation(
    shares: &Shares,
    records: &[Record],
    overhead_us: u64,
    until: Duration,
) -> f64 {
    let window = Windows { from: Duration::ZERO, length: until, count: 1 };
    let mut cells = vec![Cell::default(); shares.tenants.len()];
    for record in records {
        spread(&mut cells, record, record.work_us + overhead_us, window, shares.tenants.len());
    }
    let used = cells.iter().map(|cell| cell.service).sum();
    ratio(used, micros(until).saturating_mul(u64::from(shares.slots)))
}

/// Slot-microseconds of one tenant in one window.
#[derive(Clone, Copy, Debug, Default)]
struct Cell {
    demand: u64,
    service: u64,
}

/// Adds a run to the windows in which it waited or ran.
fn spread(cells: &mut [Cell], record: &Record, work: u64, windows: Windows, tenants: usize) {
    let (from, length) = (micros(windows.from), micros(windows.length));
    let until = from + length * windows.count as u64;
    let end = match record.end {
        End::Completed { at_us } => at_us.min(until),
        End::Open => until,
        End::Refused | End::Failed => return,
    };
    let began = match record.end {
        End::Completed { at_us } => at_us.saturating_sub(work).max(record.due_us),
        _ => until,
    };
    let mut left = work;
    let first = record.due_us.saturating_sub(from) / length;
    for window in usize::try_from(first).unwrap_or(usize::MAX)..windows.count {
        let opens = from + length * window as u64;
        let closes = opens + length;
        if end <= opens {
            break;
        }
        let cell = &mut cells[window * tenants + record.tenant as usize];
        let served = end.min(closes).saturating_sub(began.max(opens)).min(left);
        cell.demand += left.min(closes.saturating_sub(record.due_us.max(opens)));
        cell.service += served;
        left -= served;
    }
}

#[expect(clippy::cast_precision_loss, reason = "slot time, for a report")]
fn window_index(shares: &Shares, window: &[Cell], length: Duration) -> Option<f64> {
    let length = micros(length) as f64;
    let weights: Vec<f64> = shares.org_weights.iter().map(|weight| f64::from(*weight)).collect();
    let members: Vec<Member> = shares
        .tenants
        .iter()
        .zip(window)
        .map(|(tenant, cell)| Member {
            org: tenant.org,
            claim: Claim {
                weight: f64::from(tenant.weight),
                limit: (cell.demand as f64).min(f64::from(tenant.cap) * length),
            },
        })
        .collect();
    let received = window.iter().map(|cell| cell.service as f64);
    jain_of_shares(f64::from(shares.slots) * length, &weights, &members, received)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    fn shares() -> Shares {
        let tenant = TenantShare { org: 0, weight: 1, cap: 2 };
        Shares { slots: 2, org_weights: vec![1], tenants: vec![tenant, tenant] }
    }

    fn run(tenant: u32, due_us: u64, at_us: u64) -> Record {
        Record { tenant, due_us, work_us: SECOND, end: End::Completed { at_us } }
    }

    fn one_window(records: &[Record]) -> Option<f64> {
        let length = Duration::from_secs(1);
        index(&shares(), records, 0, Windows { from: Duration::ZERO, length, count: 1 })
    }

    #[test]
    fn who_is_served_at_once_has_all_that_it_is_entitled_to() {
        assert_eq!(one_window(&[run(0, 0, SECOND), run(1, 0, SECOND)]), Some(1.0));
    }

    #[test]
    fn one_that_takes_both_slots_lowers_the_index() {
        let records =
            [run(0, 0, SECOND), run(0, 0, SECOND), run(1, 0, 2 * SECOND), run(1, 0, 2 * SECOND)];
        assert_eq!(one_window(&records), Some(0.5));
        assert!((utilisation(&shares(), &records, 0, Duration::from_secs(4)) - 0.5).abs() < 1e-9);
    }

    #[test]
    fn a_run_over_several_windows_is_counted_once() {
        let windows =
            Windows { from: Duration::ZERO, length: Duration::from_millis(500), count: 4 };
        let mut cells = vec![Cell::default(); 8];
        spread(&mut cells, &run(1, 0, 2 * SECOND), SECOND, windows, 2);
        let service: Vec<u64> = cells.iter().map(|cell| cell.service).collect();
        assert_eq!(service, [0, 0, 0, 0, 0, 500_000, 0, 500_000]);
        assert_eq!(cells[3].demand, 500_000, "it could have used all of the second window");
    }

    #[test]
    fn nobody_asks_nobody_is_measured() {
        assert_eq!(one_window(&[]), None);
    }
}
