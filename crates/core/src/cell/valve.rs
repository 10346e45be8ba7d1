//! The valve: how many runs are live and how many bytes their inputs hold, per tenant and in all, and whether a further
//! one is let in.
//!
//! Runs and bytes are bounded each by itself, in the same way. Up to the soft threshold all are let in. Above it, a
//! tenant that holds more than its share (its weight's part of the soft threshold, among the tenants that have live runs)
//! is refused: background runs at once, normal ones from a third of the way to the hard threshold, urgent ones from two
//! thirds. So the last third is kept for tenants under their share, which are let in until the hard threshold: one
//! tenant cannot shut out the others. What was accepted is never dropped.
//!
//! Besides, `runs_max` bounds a tenant's live runs, at each level of calls by itself. The child of a call waits where
//! a submission is refused (see `call`); that a tenant's first child at a level never waits is what keeps a caller and
//! its child from waiting for each other.

use std::collections::BTreeMap;

use crate::pool::Valve;
use crate::reject::{Rejection, ValveCause};
use crate::row::Lane;
use crate::scheduler::TenantIx;
use crate::time::{Span, Time};

use super::call::LEVELS;
use super::effect::ValveView;
use super::live::At;
use super::timer::Kind;
use super::{Cell, Turn};

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
    /// Children whose places are kept.
    coming: u64,
    freed: Vec<TenantIx>,
}

#[derive(Debug, Default)]
struct Holding {
    runs: u64,
    bytes: u64,
    weight: u64,
    /// Runs at each level, with the children that are about to come in.
    levels: [u64; LEVELS],
    coming: u64,
}

/// What the valve must know of a run that wants to come in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Applicant {
    pub(crate) tenant: TenantIx,
    pub(crate) weight: u32,
    pub(crate) runs_max: u32,
    pub(crate) level: usize,
    pub(crate) lane: Lane,
    pub(crate) bytes: u64,
}

/// One of the things that the valve bounds, as it would be with a further run.
#[derive(Clone, Copy, Debug)]
struct Demand {
    of_tenant: u64,
    in_all: u64,
    soft: u64,
    hard: u64,
}

impl Demand {
    /// What a tenant above its share may bring it to with a run of that lane.
    fn bound(&self, lane: Lane) -> u64 {
        let room = self.hard.saturating_sub(self.soft);
        self.soft
            + match lane {
                Lane::Background => 0,
                Lane::Normal => room / 3,
                Lane::Urgent => room - room.div_ceil(3),
            }
    }

    /// A tenant's part of the soft threshold.
    fn share(&self, weight: u64, weights: u64) -> u64 {
        let share = u128::from(self.soft) * u128::from(weight) / u128::from(weights.max(1));
        u64::try_from(share).unwrap_or(u64::MAX)
    }
}

impl Queue {
    pub(crate) fn enter(&mut self, tenant: TenantIx, weight: u32, level: usize, bytes: u64) {
        self.runs += 1;
        self.bytes += bytes;
        let holding = self.tenants.entry(tenant).or_default();
        holding.runs += 1;
        holding.bytes += bytes;
        holding.levels[level] += 1;
        self.reweigh(tenant, weight);
    }

    pub(crate) fn leave(&mut self, tenant: TenantIx, level: usize, bytes: u64, now: Time) {
        let holding =
            self.tenants.get_mut(&tenant).expect("a tenant with a live run has a holding");
        holding.runs -= 1;
        holding.bytes -= bytes;
        holding.levels[level] -= 1;
        if holding.runs == 0 {
            assert!(holding.coming == 0, "a child of no live run is about to come in");
            self.weights -= holding.weight;
            self.tenants.remove(&tenant);
        }
        self.runs -= 1;
        self.bytes -= bytes;
        self.freed.push(tenant);
        if now.since(self.rate_start) >= RATE_WINDOW {
            self.ended_before = std::mem::take(&mut self.ended_now);
            self.rate_start = now;
        }
        self.ended_now += 1;
    }

    /// The tenant's weight has changed; one without live runs has none.
    pub(crate) fn reweigh(&mut self, tenant: TenantIx, weight: u32) {
        if let Some(holding) = self.tenants.get_mut(&tenant) {
            let before = std::mem::replace(&mut holding.weight, u64::from(weight));
            self.weights = self.weights - before + holding.weight;
        }
    }

    /// A child is about to come in: its place is kept.
    pub(crate) fn keep_place(&mut self, tenant: TenantIx, level: usize) {
        let holding = self.tenants.get_mut(&tenant).expect("a caller is a live run");
        holding.levels[level] += 1;
        holding.coming += 1;
        self.coming += 1;
    }

    /// The place that was kept for a child is given back.
    pub(crate) fn give_place_back(&mut self, tenant: TenantIx, level: usize) {
        let holding = self.tenants.get_mut(&tenant).expect("a caller is a live run");
        holding.levels[level] -= 1;
        holding.coming -= 1;
        self.coming -= 1;
        self.freed.push(tenant);
    }

    /// Tenants of which something has left since the last call.
    pub(crate) fn take_freed(&mut self) -> Vec<TenantIx> {
        std::mem::take(&mut self.freed)
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
        let nothing = Holding::default();
        let held = self.tenants.get(&run.tenant).unwrap_or(&nothing);
        let (live, max) = (held.levels[run.level], u64::from(run.runs_max));
        if live >= max {
            let retry_after = self.retry_after(live - max + 1);
            return Err(Rejection::TenantQueueFull { live, max, retry_after });
        }
        let runs = Demand {
            of_tenant: held.runs + held.coming + 1,
            in_all: self.runs + self.coming + 1,
            soft: valve.runs_soft,
            hard: valve.runs_hard,
        };
        let bytes = Demand {
            of_tenant: held.bytes + run.bytes,
            in_all: self.bytes + run.bytes,
            soft: valve.bytes_soft,
            hard: valve.bytes_hard,
        };
        if runs.in_all > runs.hard {
            let excess = runs.in_all - runs.hard;
            return Err(self.closed(ValveCause::RunsHard, runs.in_all - 1, runs.hard, excess));
        }
        if bytes.in_all > bytes.hard {
            let excess = self.runs_of_bytes(bytes.in_all - bytes.hard);
            return Err(self.closed(ValveCause::BytesHard, bytes.in_all, bytes.hard, excess));
        }
        // A tenant's first run is never above its share.
        if held.runs == 0 {
            return Ok(());
        }
        let weight = u64::from(run.weight);
        let weights = self.weights - held.weight + weight;
        let (bound, share) = (runs.bound(run.lane), runs.share(weight, weights));
        if runs.in_all > bound && runs.of_tenant > share {
            let excess = runs.in_all - bound;
            return Err(self.closed(ValveCause::RunsOverShare, runs.of_tenant - 1, share, excess));
        }
        let (bound, share) = (bytes.bound(run.lane), bytes.share(weight, weights));
        if bytes.in_all > bound && bytes.of_tenant > share {
            let excess = self.runs_of_bytes(bytes.in_all - bound);
            return Err(self.closed(ValveCause::BytesOverShare, bytes.of_tenant, share, excess));
        }
        Ok(())
    }
    /// Whether the child of a call may come in now. It is accepted work and comes before what is new, so it counts as urgent;
    /// and the tenant's first at its level needs no room.
    pub(crate) fn has_place(&self, valve: &Valve, child: &Applicant) -> Result<(), Rejection> {
        if self.tenants.get(&child.tenant).is_none_or(|held| held.levels[child.level] == 0) {
            return Ok(());
        }
        self.admit(valve, child)
    }

    fn closed(&self, cause: ValveCause, depth: u64, threshold: u64, excess: u64) -> Rejection {
        let retry_after = self.retry_after(excess);
        Rejection::ValveClosed { cause, depth, threshold, retry_after }
    }

    /// How many live runs hold that many bytes, as they are on average.
    fn runs_of_bytes(&self, bytes: u64) -> u64 {
        let runs = u128::from(bytes) * u128::from(self.runs) / u128::from(self.bytes.max(1));
        u64::try_from(runs).unwrap_or(u64::MAX).saturating_add(1)
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

impl Cell {
    /// The store suffers: fewer slots are dispatchable until no commit has been slow for a while, so that the queue
    /// waits here, in order, and not behind the disk.
    pub(crate) fn commit_took(&mut self, took: Span) {
        self.note_commit(took);
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
        let code = if view.open { "valve-opened" } else { "valve-closing" };
        self.decide(None, code, serde_json::to_string(&view).unwrap_or_default(), turn);
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
        Applicant { tenant: TenantIx(tenant), weight: 1, runs_max: 1_000, level: 0, lane, bytes }
    }

    fn queue_of(holdings: &[(u64, u64)]) -> Queue {
        let mut queue = Queue::default();
        for (tenant, (runs, bytes)) in (0..).zip(holdings) {
            (0..*runs).for_each(|_| queue.enter(TenantIx(tenant), 1, 0, *bytes));
        }
        queue
    }

    fn filled(greedy: u64, modest: u64) -> Queue {
        queue_of(&[(greedy, 10), (modest, 10)])
    }

    /// How many of the three lanes are refused.
    fn refused(queue: &Queue, tenant: u32, bytes: u64) -> usize {
        let lanes = [Lane::Background, Lane::Normal, Lane::Urgent];
        lanes
            .iter()
            .filter(|lane| queue.admit(&VALVE, &run(tenant, **lane, bytes)).is_err())
            .count()
    }

    /// Runs that one tenant can bring in while nobody else is there.
    fn fills(valve: &Valve, run: &Applicant) -> u64 {
        let mut queue = Queue::default();
        while queue.admit(valve, run).is_ok() {
            queue.enter(run.tenant, run.weight, run.level, run.bytes);
        }
        queue.runs
    }

    #[test]
    fn below_the_soft_threshold_everyone_is_let_in() {
        let queue = filled(99, 0);
        assert_eq!(queue.admit(&VALVE, &run(0, Lane::Background, 10)), Ok(()));
    }

    #[test]
    fn the_over_demanding_are_refused_first_and_lane_by_lane() {
        for (runs, count) in [(99, 0), (100, 1), (199, 1), (200, 2), (299, 2), (300, 3), (399, 3)] {
            let queue = filled(runs - 1, 1);
            assert_eq!(refused(&queue, 0, 10), count, "at {runs} runs");
            assert_eq!(refused(&queue, 1, 10), 0, "the modest one at {runs}");
        }
    }

    #[test]
    fn bytes_are_shared_as_runs_are() {
        // A greedy tenant with few runs, and a modest one with many: of bytes the shares are half a million each.
        for (kilobytes, count) in
            [(980, 0), (981, 1), (1_313, 1), (1_314, 2), (1_646, 2), (1_647, 3)]
        {
            let queue = queue_of(&[(1, kilobytes * 1_000), (18, 1_000)]);
            assert_eq!(refused(&queue, 0, 2_000), count, "at {kilobytes} kB");
            assert_eq!(refused(&queue, 1, 2_000), 0, "the one with many runs at {kilobytes} kB");
        }
    }

    #[test]
    fn a_tenant_alone_leaves_the_last_third_to_others() {
        for (lane, most) in [(Lane::Background, 100), (Lane::Normal, 200), (Lane::Urgent, 300)] {
            assert_eq!(fills(&VALVE, &run(0, lane, 10)), most, "{lane:?} by runs");
            let bytes = fills(&VALVE, &run(0, lane, 10_000));
            let most = 100 + (most - 100) / 3;
            assert_eq!(bytes, most, "{lane:?} by bytes");
        }
        for room in 1..10 {
            let valve = Valve { runs_hard: 100 + room, ..VALVE };
            assert!(fills(&valve, &run(0, Lane::Urgent, 10)) < valve.runs_hard, "of {room}");
        }
    }

    #[test]
    fn a_tenants_first_run_is_let_in_until_the_hard_threshold_however_large() {
        let queue = queue_of(&[(99, 15_000)]);
        assert_eq!(queue.admit(&VALVE, &run(1, Lane::Background, 500_000)), Ok(()));
    }

    #[test]
    fn a_changed_weight_changes_the_shares() {
        let mut queue = queue_of(&[(60, 10), (60, 10)]);
        assert_eq!(refused(&queue, 0, 10), 1);
        queue.reweigh(TenantIx(0), 9);
        let heavy = Applicant { weight: 9, ..run(0, Lane::Background, 10) };
        assert_eq!(queue.admit(&VALVE, &heavy), Ok(()));
        assert!(matches!(
            queue.admit(&VALVE, &run(1, Lane::Background, 10)),
            Err(Rejection::ValveClosed {
                cause: ValveCause::RunsOverShare,
                depth: 60,
                threshold: 10,
                ..
            })
        ));
    }

    #[test]
    fn the_hard_thresholds_refuse_everyone_with_the_numbers() {
        let refusal = |queue: &Queue, bytes| match queue.admit(&VALVE, &run(2, Lane::Urgent, bytes))
        {
            Err(Rejection::ValveClosed { cause, depth, threshold, .. }) => {
                format!("{cause:?} {depth} {threshold}")
            }
            other => format!("{other:?}"),
        };
        assert_eq!(refusal(&filled(399, 1), 10), "RunsHard 400 400");
        assert_eq!(refusal(&filled(10, 0), 2_000_000), "BytesHard 2000100 2000000");
    }

    #[test]
    fn the_first_child_at_a_level_needs_no_room_and_further_ones_pass_as_urgent_runs() {
        let child = |level| Applicant { level, ..run(0, Lane::Urgent, 10) };
        let mut queue = filled(399, 1);
        assert_eq!(queue.has_place(&VALVE, &child(1)), Ok(()));
        queue.keep_place(TenantIx(0), 1);
        assert!(queue.has_place(&VALVE, &child(1)).is_err());
        assert_eq!(queue.has_place(&VALVE, &child(2)), Ok(()), "or its caller would wait for ever");
        queue.give_place_back(TenantIx(0), 1);
        assert_eq!(queue.has_place(&VALVE, &child(1)), Ok(()));
    }

    #[test]
    fn runs_max_holds_at_each_level_by_itself() {
        let bounded = |level| Applicant { runs_max: 2, level, ..run(0, Lane::Normal, 10) };
        let mut queue = filled(2, 0);
        assert!(matches!(
            queue.admit(&VALVE, &bounded(0)),
            Err(Rejection::TenantQueueFull { live: 2, max: 2, .. })
        ));
        queue.enter(TenantIx(0), 1, 1, 10);
        assert_eq!(queue.has_place(&VALVE, &bounded(1)), Ok(()));
        queue.enter(TenantIx(0), 1, 1, 10);
        assert!(queue.has_place(&VALVE, &bounded(1)).is_err());
    }

    #[test]
    fn the_retry_time_follows_the_pace_at_which_runs_end() {
        let mut queue = filled(400, 0);
        assert_eq!(queue.retry_after(1_000), RETRY_MAX);
        (0..100).for_each(|_| queue.leave(TenantIx(0), 0, 10, Time(20_000_000)));
        assert_eq!(queue.retry_after(50), Span::from_secs(5));
    }
}
