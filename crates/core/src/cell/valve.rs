//! The valve: how many runs are live and how many bytes they hold, per tenant and in all, and whether a further
//! one is let in.
//!
//! Below the soft threshold all are. Above it, a tenant that holds more than its share of the queue (its
//! weight's part of the soft threshold, among the tenants that have live runs) is refused: background runs at once, normal
//! ones from a third of the way to the hard threshold, urgent ones from two thirds. A tenant under its share is let
//! in until the hard threshold. What was accepted is never dropped.

use std::collections::BTreeMap;

use crate::pool::Valve;
use crate::reject::{Rejection, ValveCause};
use crate::row::Lane;
use crate::scheduler::TenantIx;
use crate::time::{Span, Time};

use super::change::Change;
use super::effect::ValveView;
use super::live::At;
use super::timer::Kind;
use super::{Cell, Turn};
use crate::row::DecisionRow;

const RETRY_MIN: Span = Span::from_secs(1);
const RETRY_MAX: Span = Span::from_secs(300);
/// The drain rate is counted over windows of this length.
const RATE_WINDOW: Span = Span::from_secs(10);

/// Without a slow commit for this long, the store counts as well again.
const RECOVERY: Span = Span::from_secs(5);

#[derive(Debug, Default)]
pub(crate) struct Queue {
    pub(crate) runs: u64,
    pub(crate) bytes: u64,
    pub(crate) refused: u64,
    /// Sum of the weights of the tenants with live runs.
    weights: u64,
    tenants: BTreeMap<TenantIx, Holding>,
    rate_start: Time,
    ended_now: u64,
    ended_before: u64,
    /// Past a soft threshold when that was noted last.
    is_closing: bool,
    /// When all slots are dispatchable again, while they are not.
    recovers: Option<Time>,
}

#[derive(Debug, Default)]
struct Holding {
    runs: u64,
    weight: u64,
}

/// What the valve must know of a run that wants to come in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Applicant {
    pub(crate) tenant: TenantIx,
    pub(crate) weight: u32,
    pub(crate) lane: Lane,
    pub(crate) bytes: u64,
}

impl Queue {
    pub(crate) fn enter(&mut self, tenant: TenantIx, weight: u32, bytes: u64) {
        let holding = self.tenants.entry(tenant).or_insert_with(|| {
            self.weights += u64::from(weight);
            Holding { runs: 0, weight: u64::from(weight) }
        });
        holding.runs += 1;
        self.runs += 1;
        self.bytes += bytes;
    }

    pub(crate) fn leave(&mut self, tenant: TenantIx, bytes: u64, now: Time) {
        let holding =
            self.tenants.get_mut(&tenant).expect("a tenant with a live run has a holding");
        holding.runs -= 1;
        if holding.runs == 0 {
            self.weights -= holding.weight;
            self.tenants.remove(&tenant);
        }
        self.runs -= 1;
        self.bytes -= bytes;
        if now.since(self.rate_start) >= RATE_WINDOW {
            self.ended_before = std::mem::take(&mut self.ended_now);
            self.rate_start = now;
        }
        self.ended_now += 1;
    }

    /// Counts what the valve refuses.
    pub(crate) fn count(&mut self, rejection: &Rejection) {
        self.refused += u64::from(matches!(rejection, Rejection::ValveClosed { .. }));
    }

    pub(crate) fn runs_of(&self, tenant: TenantIx) -> u64 {
        self.tenants.get(&tenant).map_or(0, |holding| holding.runs)
    }

    /// How long the queue needs, at the pace of the last seconds, to fall by `excess` runs.
    pub(crate) fn retry_after(&self, excess: u64) -> Span {
        let pace = self.ended_now.max(self.ended_before).max(1);
        let needed = u128::from(excess) * u128::from(RATE_WINDOW.0) / u128::from(pace);
        Span(u64::try_from(needed).unwrap_or(u64::MAX)).clamp(RETRY_MIN, RETRY_MAX)
    }

    /// Whether a run may come in now.
    pub(crate) fn admit(&self, valve: &Valve, run: &Applicant) -> Result<(), Rejection> {
        let Applicant { tenant, weight, lane, bytes } = *run;
        let closed = |cause, depth, threshold, excess| {
            Err(Rejection::ValveClosed {
                cause,
                depth,
                threshold,
                retry_after: self.retry_after(excess),
            })
        };
        if self.runs >= valve.runs_hard {
            return closed(
                ValveCause::RunsHard,
                self.runs,
                valve.runs_hard,
                self.runs - valve.runs_hard + 1,
            );
        }
        if self.bytes + bytes > valve.bytes_hard {
            return closed(ValveCause::BytesHard, self.bytes, valve.bytes_hard, self.runs / 10 + 1);
        }
        let pressure = pressure(self.runs, valve.runs_soft, valve.runs_hard).max(pressure(
            self.bytes,
            valve.bytes_soft,
            valve.bytes_hard,
        ));
        let bears = match lane {
            Lane::Background => 0,
            Lane::Normal => 333,
            Lane::Urgent => 667,
        };
        let Some(pressure) = pressure.filter(|pressure| *pressure >= bears) else { return Ok(()) };
        let held = self.runs_of(tenant);
        let weights = if held == 0 { self.weights + u64::from(weight) } else { self.weights };
        let share = u128::from(valve.runs_soft) * u128::from(weight) / u128::from(weights.max(1));
        let share = u64::try_from(share).unwrap_or(u64::MAX);
        if held >= share.max(1) {
            return closed(
                ValveCause::OverShare,
                held,
                share,
                (self.runs - valve.runs_soft.min(self.runs)).max(pressure),
            );
        }
        Ok(())
    }

    pub(crate) fn view(&self, valve: &Valve) -> ValveView {
        ValveView {
            open: self.runs < valve.runs_soft && self.bytes < valve.bytes_soft,
            live_runs: self.runs,
            runs_soft: valve.runs_soft,
            runs_hard: valve.runs_hard,
            waiting_bytes: self.bytes,
            bytes_soft: valve.bytes_soft,
            bytes_hard: valve.bytes_hard,
            refused: self.refused,
        }
    }
}

/// How far `value` is from `soft` to `hard`, in thousandths; `None` below `soft`.
fn pressure(value: u64, soft: u64, hard: u64) -> Option<u64> {
    let above = value.checked_sub(soft)?;
    Some(above.saturating_mul(1_000) / hard.saturating_sub(soft).max(1))
}

impl Cell {
    /// The store suffers: fewer slots are dispatchable until no commit has been slow for a while, so that the queue
    /// waits here, in order, and not behind the disk.
    pub(crate) fn commit_took(&mut self, took: Span) {
        let slow = self.directory.valve.commit_slow.0.max(1);
        if took.0 <= slow {
            return;
        }
        for (pool, declared) in self.pools.iter_mut().zip(&self.directory.pools.list) {
            let left = (u64::from(declared.slots) * slow / took.0).max(1);
            let left = u32::try_from(left).expect("never more than the pool's slots");
            pool.scheduler.set_dispatchable(self.now, left);
        }
        let place = At { run: 0, node: 0 };
        let until = self.now + RECOVERY;
        if let Some(before) = self.queue.recovers.replace(until) {
            self.timers.clear(before, Kind::Recover, place);
        }
        self.timers.set(until, Kind::Recover, place);
    }

    pub(crate) fn recover(&mut self) {
        self.queue.recovers = None;
        for (pool, declared) in self.pools.iter_mut().zip(&self.directory.pools.list) {
            pool.scheduler.set_dispatchable(self.now, declared.slots);
        }
    }

    /// Notes when the valve begins and ceases to refuse (P18).
    pub(crate) fn log_valve(&mut self, turn: &mut Turn) {
        let view = self.queue.view(&self.directory.valve);
        if view.open != self.queue.is_closing {
            return;
        }
        self.queue.is_closing = !view.open;
        self.decisions += 1;
        let code = if view.open { "valve-opened" } else { "valve-closing" };
        turn.write(Change::Decision(DecisionRow {
            tenant: None,
            sequence: self.decisions,
            at: self.now,
            code: code.into(),
            facts: serde_json::to_string(&view).unwrap_or_default().into(),
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALVE: Valve = Valve {
        runs_soft: 100,
        runs_hard: 400,
        bytes_soft: 1_000_000,
        bytes_hard: 2_000_000,
        commit_slow: Span::from_secs(1),
    };

    const fn run(tenant: u32, lane: Lane, bytes: u64) -> Applicant {
        Applicant { tenant: TenantIx(tenant), weight: 1, lane, bytes }
    }

    fn filled(greedy: u64, modest: u64) -> Queue {
        let mut queue = Queue::default();
        (0..greedy).for_each(|_| queue.enter(TenantIx(0), 1, 10));
        (0..modest).for_each(|_| queue.enter(TenantIx(1), 1, 10));
        queue
    }

    #[test]
    fn below_the_soft_threshold_everyone_is_let_in() {
        let queue = filled(99, 0);
        assert_eq!(queue.admit(&VALVE, &run(0, Lane::Background, 10)), Ok(()));
    }

    #[test]
    fn the_over_demanding_are_refused_first_and_lane_by_lane() {
        for (runs, refused) in [(100, 1), (199, 1), (200, 2), (300, 2), (301, 3), (399, 3)] {
            let queue = filled(runs - 1, 1);
            let lanes = [Lane::Background, Lane::Normal, Lane::Urgent];
            let count = lanes
                .iter()
                .filter(|lane| queue.admit(&VALVE, &run(0, **lane, 10)).is_err())
                .count();
            assert_eq!(count, refused, "at {runs} runs");
            assert_eq!(
                queue.admit(&VALVE, &run(1, Lane::Background, 10)),
                Ok(()),
                "the modest one at {runs}"
            );
        }
    }

    #[test]
    fn the_hard_thresholds_refuse_everyone_with_the_numbers() {
        let queue = filled(399, 1);
        let refusal = queue.admit(&VALVE, &run(2, Lane::Urgent, 10));
        assert!(
            matches!(
                refusal,
                Err(Rejection::ValveClosed {
                    cause: ValveCause::RunsHard,
                    depth: 400,
                    threshold: 400,
                    ..
                })
            ),
            "{refusal:?}"
        );
        let bytes = filled(10, 0).admit(&VALVE, &run(2, Lane::Urgent, 2_000_000));
        assert!(
            matches!(bytes, Err(Rejection::ValveClosed { cause: ValveCause::BytesHard, .. })),
            "{bytes:?}"
        );
    }

    #[test]
    fn the_retry_time_follows_the_pace_at_which_runs_end() {
        let mut queue = filled(400, 0);
        assert_eq!(queue.retry_after(1_000), RETRY_MAX);
        (0..100).for_each(|_| queue.leave(TenantIx(0), 10, Time(20_000_000)));
        assert_eq!(queue.retry_after(50), Span::from_secs(5));
    }
}
