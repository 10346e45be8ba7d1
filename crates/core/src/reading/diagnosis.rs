//! The cause rather than the number: what makes a tenant slow, and what makes the platform.
//!
//! A tenant is *slow* if one of these is so:
//!
//! * its runs miss their target: `late / ended > 1 - target` over ten minutes (the burn rate is above 1), and some of the last
//!   minute did, or none ended in it: two windows, so that one late run is no alarm and what is mended is soon well;
//! * its steps wait: the mean wait of the last minute (time that ready steps stood there, over those that were dispatched or
//!   still stand there), or the 95th percentile of those that were dispatched, is more than its *patience*: a quarter of its
//!   target if it has one, else twice what a step takes, and a second at least;
//! * its reviews stand in a pool of reviewers to which more comes than goes: ten or more are older than ten minutes;
//! * its work is slow: half of the attempts of the last minute took at least twice as long as half of those of the last hour
//!   or of the last day, and a tenth of a second longer.
//!
//! The reason is what held its steps up longest in the last minute; if nothing did, a tool, an endpoint or a pool whose
//! work became slow; if none did and its runs miss their target, what held its steps up longest in ten minutes; then the
//! store; else it is not known. A reason of the tenant's own (its cap, quota, budget,
//! part of the pool) is *expected*: nobody else feels it, and the tenant can be told. It is `broken` if nothing of what it
//! has ready was dispatched in the last minute, or more runs of the last hour missed its target than may; else it is
//! `degrading`.
//!
//! The platform is `degrading` if a tenant is slow for a reason that is not its own, if several are for want of slots in one
//! pool that is full, if a shared resource is slow, if the valve refuses, or if quiet tenants' waits follow a loud one's
//! load; it is `broken` if half of the active tenants are slow for a reason that is not their own.

use serde::{Deserialize, Serialize};

use crate::tenant::Sla;
use crate::time::Span;

use super::cause::{Cause, Held, WorkAt};
use super::sketch::Sketch;

/// No wait below this is told.
const PATIENCE_MIN: Span = Span::from_secs(1);
/// Attempts below which nothing is said of how long they take.
const ATTEMPTS_MIN: u64 = 10;
/// Work that takes this much longer than it did is slow, if it takes twice as long too.
const SLOWER_MIN: Span = Span::from_millis(100);
/// If a twentieth of the commits take longer the store is slow, if that is four times what half of them usually do too.
const COMMIT_SLOW: Span = Span::from_millis(100);
/// Reviews below which nobody is short of reviewers.
const REVIEWS_MIN: u64 = 10;
/// Of the last minute, how long steps stood ready without one dispatched if nothing goes on.
const STUCK: Span = Span::from_secs(45);

#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum State {
    #[default]
    Healthy,
    Degrading,
    Broken,
}

/// What a tenant or the platform is slow for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// Steps wait.
    Waits(Cause),
    /// They wait for slots of a pool that gives others more than their part.
    Unfair { pool: u32 },
    /// What is done takes longer than it did.
    SlowWork(WorkAt),
    /// Commits take long.
    SlowStore,
    /// Runs take too long, and nothing that is looked at says why.
    Unknown,
}

/// What is known of a tenant that has a diagnosis made.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    pub sla: Option<Sla>,
    /// Of the last minute.
    pub queue: &'a Sketch,
    pub work: &'a Sketch,
    pub held: &'a Held,
    /// Of the last ten minutes.
    pub held_lately: &'a Held,
    /// How long its reviews stood unclaimed.
    pub reviewing: &'a Held,
    /// How long some step of it was ready.
    pub stood: Span,
    /// Steps that are ready now.
    pub waiting: u64,
    /// Runs that ended in a minute, in ten and in an hour with a target in force, and those that missed it.
    pub minute: (u64, u64),
    pub ten_minutes: (u64, u64),
    pub hour: (u64, u64),
    /// Half of its attempts took less, over the hour or the day, whichever is less.
    pub usual_work: Span,
}

/// What is known of what tenants share.
#[derive(Clone, Debug, Default)]
pub struct Shared {
    /// What became slow.
    pub slow_work: Vec<WorkAt>,
    /// Pools in which some get more than their part, and others less.
    pub unfair_pools: Vec<u32>,
    pub is_store_slow: bool,
    /// Pools of reviewers to which more comes than goes.
    pub short_reviewers: Vec<u32>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Diagnosis {
    pub state: State,
    pub reason: Option<Reason>,
    /// Time that ready steps stood there in the last minute, for this reason and for any.
    pub held: Span,
    pub held_in_all: Span,
}

impl Reason {
    /// Whether nobody but the tenant is touched.
    pub const fn is_own(self) -> bool {
        matches!(self, Self::Waits(cause) if cause.is_own())
    }
}

/// The part of the error budget that is used in a window of that many runs, in thousandths: 1,000 is all of it, and what
/// lasts if it goes on is the inverse. `None` without a run, or if none may be late.
pub fn burn_permille((aimed, late): (u64, u64), sla: Sla) -> Option<u64> {
    let allowed = u64::from(1_000 - sla.percentile_permille.min(1_000));
    (aimed > 0 && allowed > 0).then(|| late.saturating_mul(1_000_000) / (aimed * allowed))
}

fn is_missed(counts: (u64, u64), sla: Sla) -> bool {
    let (aimed, late) = counts;
    let allowed = u64::from(1_000 - sla.percentile_permille.min(1_000));
    late * 1_000 > aimed * allowed
}

/// Whether a pool of reviewers has too few: of `open` that nobody has claimed ten are older than ten minutes, and more came
/// in the hour than went. `opened` and `ended` in the last hour, `lately` of those opened in the last ten minutes.
pub const fn is_short(open: u64, (opened, lately): (u64, u64), ended: u64) -> bool {
    open >= REVIEWS_MIN && opened - lately >= ended + REVIEWS_MIN && opened * 10 > ended * 11
}

/// Whether attempts take longer than they did.
pub fn is_slower(minute: &Sketch, usual: Span) -> bool {
    let now = minute.percentile(500);
    minute.count() >= ATTEMPTS_MIN
        && usual > Span::ZERO
        && now.0 >= usual.0 * 2
        && now.0 >= usual.0 + SLOWER_MIN.0
}

/// The same for commits: `usual` is what half of them take.
pub fn is_store_slow(minute: &Sketch, usual: Span) -> bool {
    let now = minute.percentile(950);
    minute.count() >= ATTEMPTS_MIN && now >= COMMIT_SLOW && now.0 >= usual.0 * 4
}

/// How long a tenant's steps may wait before it is slow.
pub fn patience(sla: Option<Sla>, usual_work: Span) -> Span {
    match sla {
        Some(sla) => Span(sla.latency.0 / 4),
        None => Span(usual_work.0 * 2).max(PATIENCE_MIN),
    }
}

pub fn diagnose(facts: &Facts<'_>, shared: &Shared) -> Diagnosis {
    let Facts { sla, queue, work, held, ten_minutes, hour, usual_work, .. } = *facts;
    let held_in_all = held.total();
    let steps = (queue.count() + facts.waiting).max(1);
    let mean_wait = held_in_all.0 / steps;
    let patience = patience(sla, usual_work);
    let waits = mean_wait > patience.0 || queue.percentile(950) > patience;
    let is_late_now = facts.minute.1 > 0 || facts.minute.0 == 0;
    let misses = is_late_now && sla.is_some_and(|sla| is_missed(ten_minutes, sla));
    let slower = is_slower(work, usual_work);
    let is_short = |cause| matches!(cause, Cause::Reviewers { pool } if shared.short_reviewers.contains(&pool));
    let reviewers = facts.reviewing.longest().filter(|(cause, _)| misses || is_short(*cause));
    if !waits && !misses && !slower && reviewers.is_none() {
        return Diagnosis { held_in_all, ..Diagnosis::default() };
    }
    let longest = held.longest().filter(|(_, time)| {
        // Without a wait that is worth the name it is something else that makes runs late.
        waits || time.0 / steps > patience.0 / 4
    });
    let longest = longest.or(reviewers);
    // Enough to have made late those that were.
    let enough = Span((patience.0 / 4).saturating_mul(ten_minutes.1));
    let lately = facts.held_lately;
    let lately = lately.longest().filter(|_| misses && lately.total() >= enough);
    let waits_for = |cause| match cause {
        Cause::Slots { pool } if shared.unfair_pools.contains(&pool) => Reason::Unfair { pool },
        other => Reason::Waits(other),
    };
    let reason = match (longest, lately) {
        (Some((cause, _)), _) => waits_for(cause),
        _ if slower && !shared.slow_work.is_empty() => Reason::SlowWork(shared.slow_work[0]),
        (None, Some((cause, _))) => waits_for(cause),
        _ if shared.is_store_slow => Reason::SlowStore,
        _ => shared.slow_work.first().map_or(Reason::Unknown, |at| Reason::SlowWork(*at)),
    };
    let is_stuck = queue.count() == 0 && facts.stood >= STUCK;
    let is_spent = sla.is_some_and(|sla| is_missed(hour, sla)) && misses;
    Diagnosis {
        state: if is_stuck || is_spent { State::Broken } else { State::Degrading },
        reason: Some(reason),
        held: longest.map_or(Span::ZERO, |(_, time)| time),
        held_in_all,
    }
}
