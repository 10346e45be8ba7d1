//! What happened in one play, tenant by tenant.

use std::collections::BTreeMap;

use fairlane_core::id::{PoolName, ReviewId, ReviewerPoolName, RunId, TenantId, ToolName};
use fairlane_core::money::Nano;
use fairlane_core::row::{LeaseId, ReviewRow, ReviewState, RunRow, RunStatus};
use fairlane_core::tenant::Sla;
use fairlane_core::time::{Span, Time};

use super::contest::{Contest, Shared};

/// Columns of a picture over time.
pub(super) const COLUMNS: usize = 240;

#[derive(Debug)]
pub(super) struct Story {
    start: Time,
    /// The play's end.
    now: Time,
    /// Of a column.
    width: Span,
    pub(super) tenants: BTreeMap<TenantId, Told>,
    /// Of attempts under way, where and when they began.
    leases: BTreeMap<LeaseId, (PoolName, Time)>,
    pub(super) contest: Contest,
    pub(super) desks: BTreeMap<ReviewerPoolName, Desk>,
}

/// The members of a reviewer pool.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Desk {
    pub(super) people: u64,
    /// When they come and go, after the start.
    pub(super) from: Span,
    pub(super) until: Option<Span>,
    /// For how long they had reviews, all taken together.
    pub(super) busy: Span,
}

/// A review as it was seen last.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) pool: ReviewerPoolName,
    pub(super) opened: Time,
    /// For the first time.
    pub(super) claimed: Option<Time>,
    pub(super) ended: Option<(Time, Fate)>,
}

/// How a review ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fate {
    Decided,
    Overdue,
    /// It was called off, or settled in another way.
    Dropped,
}

impl Desk {
    /// The time that they were at work, all taken together.
    pub(super) fn offered(&self, story: &Story) -> u64 {
        let end = story.now.since(story.start);
        let there = self.until.unwrap_or(end).min(end).0.saturating_sub(self.from.0);
        there.saturating_mul(self.people)
    }
}

/// A number for each column.
#[derive(Clone, Copy, Debug)]
pub(super) struct Columns(pub(super) [u64; COLUMNS]);

impl Default for Columns {
    fn default() -> Self {
        Self([0; COLUMNS])
    }
}

/// What happened to one tenant.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) tier: String,
    pub(super) sla: Option<Sla>,
    pub(super) runs: BTreeMap<RunId, Seen>,
    /// Runs that were not let in.
    pub(super) refused: u64,
    /// Of those, for want of money.
    refused_short: u64,
    /// By tool or endpoint, in each column.
    pub(super) calls: BTreeMap<ToolName, Columns>,
    pub(super) reviews: BTreeMap<ReviewId, Asked>,
    /// Slot time in each column, in microseconds.
    pub(super) slots: Columns,
    pub(super) slots_max: u64,
    held: u64,
    live: u64,
    /// Since when it has runs and holds nothing.
    still_since: Option<Time>,
    /// The longest time for which that was so.
    pub(super) still: Option<(Time, Time)>,
}

/// A run as it was seen last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) created: Time,
    /// Its first attempt.
    pub(super) began: Option<Time>,
    pub(super) ended: Option<Time>,
    pub(super) status: RunStatus,
    pub(super) spent: Nano,
    /// A step of it could not be paid for.
    is_short: bool,
}

/// A step of the run could not be paid for.
fn is_short(row: &RunRow) -> bool {
    let failed = row.failure.as_ref().is_some_and(|failure| &*failure.class == "budget-exhausted");
    failed || row.money.halt.is_some()
}

impl Seen {
    /// Until it ended, or until now.
    pub(super) fn took(&self, now: Time) -> Span {
        self.ended.unwrap_or(now).since(self.created)
    }
}

impl Story {
    /// Of tenants, with their tiers and targets.
    pub(super) fn new(
        tenants: impl Iterator<Item = (TenantId, (String, Option<Sla>))>,
        start: Time,
        lasts: Span,
        contest: Contest,
    ) -> Self {
        let width = Span(lasts.0.div_ceil(COLUMNS as u64).max(1));
        let tenants =
            tenants.map(|(tenant, (tier, sla))| (tenant, Told { tier, sla, ..Told::default() }));
        let tenants = tenants.collect();
        let (leases, desks) = (BTreeMap::new(), BTreeMap::new());
        Self { start, now: start, width, tenants, leases, contest, desks }
    }

    /// A run has changed.
    pub(super) fn run(&mut self, row: &RunRow) {
        let told = self.tenants.entry(row.key.tenant.clone()).or_default();
        let now = row.ended.unwrap_or(row.created);
        let before = told.runs.get(&row.key.run).copied();
        let seen = Seen {
            created: row.created,
            began: before.and_then(|before| before.began),
            ended: row.ended,
            status: row.status,
            spent: row.money.posted,
            is_short: before.is_some_and(|before| before.is_short) || is_short(row),
        };
        told.runs.insert(row.key.run, seen);
        let was_live = before.is_some_and(|before| before.ended.is_none());
        match (was_live, row.ended.is_none()) {
            (false, true) => told.live += 1,
            (true, false) => told.live -= 1,
            _ => return,
        }
        told.look(now);
    }

    /// A review has changed.
    pub(super) fn review(&mut self, row: &ReviewRow, now: Time) {
        let told = self.tenants.entry(row.tenant.clone()).or_default();
        let asked = told.reviews.entry(row.id).or_insert_with(|| Asked {
            pool: row.pool.clone(),
            opened: row.opened,
            claimed: None,
            ended: None,
        });
        asked.pool = row.pool.clone();
        if row.claim.is_some() {
            asked.claimed.get_or_insert(now);
        }
        let fate = match row.state {
            ReviewState::Open | ReviewState::Claimed => return,
            ReviewState::Decided { .. } => Fate::Decided,
            ReviewState::Overdue => Fate::Overdue,
            ReviewState::Cancelled | ReviewState::Superseded => Fate::Dropped,
        };
        asked.ended = Some((row.ended.unwrap_or(now), fate));
    }

    /// Somebody of the pool has had a review.
    pub(super) fn reviewed(&mut self, pool: &ReviewerPoolName, (from, until): (Time, Time)) {
        if let Some(desk) = self.desks.get_mut(pool) {
            desk.busy.0 += until.since(from).0;
        }
    }

    /// A run was not let in, perhaps for want of money.
    pub(super) fn refused(&mut self, tenant: &TenantId, is_short: bool) {
        let told = self.tenants.entry(tenant.clone()).or_default();
        told.refused += 1;
        told.refused_short += u64::from(is_short);
    }

    /// An attempt has begun, perhaps with a call of a provider.
    pub(super) fn began(
        &mut self,
        lease: &LeaseId,
        pool: &PoolName,
        now: Time,
        provider: Option<&ToolName>,
    ) {
        let column = self.column(now);
        self.leases.insert(lease.clone(), (pool.clone(), now));
        let told = self.tenants.entry(lease.key.tenant.clone()).or_default();
        if let Some(provider) = provider {
            told.calls.entry(provider.clone()).or_default().0[column] += 1;
        }
        if let Some(seen) = told.runs.get_mut(&lease.key.run) {
            seen.began.get_or_insert(now);
        }
        told.held += 1;
        told.slots_max = told.slots_max.max(told.held);
        told.look(now);
    }

    /// An attempt is over.
    pub(super) fn ended(&mut self, lease: &LeaseId, now: Time) {
        let Some((pool, began)) = self.leases.remove(lease) else { return };
        self.contest.held(&pool, &lease.key.tenant, (began, now));
        self.held_between(&lease.key.tenant, began, now);
        let told = self.tenants.entry(lease.key.tenant.clone()).or_default();
        told.held -= 1;
        told.look(now);
    }

    /// The play is over: what is under way has lasted until now.
    pub(super) fn end(&mut self, now: Time) {
        self.now = now;
        for (lease, (pool, began)) in std::mem::take(&mut self.leases) {
            self.contest.held(&pool, &lease.key.tenant, (began, now));
            self.held_between(&lease.key.tenant, began, now);
        }
        for told in self.tenants.values_mut() {
            told.moves(now);
        }
    }

    /// A moment as the time since the start.
    pub(super) const fn since_start(&self, at: Time) -> Span {
        at.since(self.start)
    }

    /// How the slots of each pool were used and shared.
    pub(super) fn shared(&self) -> Vec<Shared> {
        self.contest.shared((self.start, self.now), self.width)
    }

    pub(super) const fn now(&self) -> Time {
        self.now
    }

    /// Slot time that all have used.
    pub(super) fn service(&self) -> u64 {
        self.tenants.values().map(Told::service).sum()
    }

    pub(super) const fn width(&self) -> Span {
        self.width
    }

    #[expect(clippy::cast_possible_truncation, reason = "a column is less than COLUMNS")]
    pub(super) fn column(&self, at: Time) -> usize {
        (at.since(self.start).0 / self.width.0).min(COLUMNS as u64 - 1) as usize
    }

    fn held_between(&mut self, tenant: &TenantId, from: Time, to: Time) {
        let (first, last) = (self.column(from), self.column(to));
        let (start, width) = (self.start, self.width.0);
        let Some(told) = self.tenants.get_mut(tenant) else { return };
        for (at, slot_time) in told.slots.0.iter_mut().enumerate().take(last + 1).skip(first) {
            let begin = start + Span(width * at as u64);
            let overlap = to.min(begin + Span(width)).since(from.max(begin));
            *slot_time += overlap.0;
        }
    }
}

impl Told {
    /// Runs that were refused, halted or failed for want of money.
    pub(super) fn short_of_money(&self) -> u64 {
        let halted = self.runs.values().filter(|seen| seen.is_short).count() as u64;
        halted + self.refused_short
    }

    /// Slot time used, in microseconds.
    pub(super) fn service(&self) -> u64 {
        self.slots.0.iter().sum()
    }

    /// Something has changed: does it stand still?
    fn look(&mut self, now: Time) {
        if self.live > 0 && self.held == 0 {
            self.still_since.get_or_insert(now);
        } else {
            self.moves(now);
        }
    }

    fn moves(&mut self, now: Time) {
        let Some(since) = self.still_since.take() else { return };
        let longest = self.still.map_or(Span::ZERO, |(from, to)| to.since(from));
        if now.since(since) > longest {
            self.still = Some((since, now));
        }
    }
}
