//! Who waits for a quota of its own, and whom to wake.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::time::{Span, Time};

/// Most keys that are woken at once.
pub(super) const WAKES_MAX: usize = 64;
/// When a window turns, so much time lies between one batch and the next, so that a boundary is no stampede.
pub(super) const PACE: Span = Span::from_millis(10);

/// Tells the limiter's wake keys from those of others.
const MARK: u64 = 1 << 62;
/// The tool stands above the tenant's 32 bits, and below the mark.
const TOOLS: u32 = 1 << 30;

/// A tenant at a tool: a tenant's waits are together.
pub(super) type Spot = (u32, u32);

pub(super) fn wake_key((tenant, tool): Spot) -> u64 {
    assert!(tool < TOOLS, "tools are counted in 30 bits");
    MARK | (u64::from(tool) << 32) | u64::from(tenant)
}

#[expect(clippy::cast_possible_truncation, reason = "the halves of the key are what is wanted")]
pub(super) const fn spot_of(wake: u64) -> Option<Spot> {
    let tool = (wake >> 32) as u32 & !(MARK >> 32) as u32;
    if wake & MARK == 0 || tool >= TOOLS { None } else { Some((wake as u32, tool)) }
}

#[derive(Debug, Default)]
pub(super) struct Waits {
    /// When the quota opens; `None`: when a call of the tenant is over, or a rule changes.
    waiting: BTreeMap<Spot, Option<Time>>,
    due: BTreeSet<(Time, Spot)>,
    /// May try again now.
    ready: VecDeque<u64>,
    /// The next batch of those that are due.
    paced: Time,
}

impl Waits {
    /// Waits until then, or until the moment that it waits for already if that is earlier: others may wait at the same
    /// place for less.
    pub(super) fn wait(&mut self, spot: Spot, until: Option<Time>) {
        let before = self.waiting.get(&spot).copied().flatten();
        let until = before.into_iter().chain(until).min();
        self.forget(spot);
        self.waiting.insert(spot, until);
        self.due.extend(until.map(|until| (until, spot)));
    }

    pub(super) fn forget(&mut self, spot: Spot) -> bool {
        let gone = self.waiting.remove(&spot);
        if let Some(until) = gone.flatten() {
            self.due.remove(&(until, spot));
        }
        gone.is_some()
    }

    /// May try again, if it waits.
    pub(super) fn rouse(&mut self, spot: Spot) {
        if self.forget(spot) {
            self.ready.push_back(wake_key(spot));
        }
    }

    /// A call is over: may try again if that is what it waits for.
    pub(super) fn rouse_for_call(&mut self, spot: Spot) {
        if self.waiting.get(&spot) == Some(&None) {
            self.rouse(spot);
        }
    }

    pub(super) fn rouse_tenant(&mut self, tenant: u32) {
        let all = (tenant, 0)..=(tenant, u32::MAX);
        let spots: Vec<Spot> = self.waiting.range(all).map(|(spot, _)| *spot).collect();
        for spot in spots {
            self.rouse(spot);
        }
    }

    pub(super) fn rouse_all(&mut self) {
        let spots: Vec<Spot> = self.waiting.keys().copied().collect();
        for spot in spots {
            self.rouse(spot);
        }
    }

    /// Puts what waits elsewhere among those that may try again.
    pub(super) fn push_ready(&mut self, spot: Spot) {
        self.ready.push_back(wake_key(spot));
    }

    pub(super) fn wake(&mut self, now: Time, woken: &mut Vec<u64>) {
        while woken.len() < WAKES_MAX
            && let Some(key) = self.ready.pop_front()
        {
            woken.push(key);
        }
        if now < self.paced {
            return;
        }
        while let Some((_, spot)) = self.due.first().copied().filter(|(at, _)| *at <= now) {
            if woken.len() >= WAKES_MAX {
                self.paced = now + PACE;
                return;
            }
            self.forget(spot);
            woken.push(wake_key(spot));
        }
    }

    pub(super) fn next(&self, now: Time) -> Option<Time> {
        if !self.ready.is_empty() {
            return Some(now);
        }
        self.due.first().map(|(at, _)| (*at).max(self.paced))
    }

    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.waiting.len()
    }
}
