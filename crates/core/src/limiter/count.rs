//! How much of one rule is used.

use std::sync::Arc;

use crate::calendar::Window;
use crate::quota::Rule;
use crate::row::Used;
use crate::time::Time;

#[derive(Clone, Debug)]
pub(super) struct Count {
    pub(super) label: Arc<str>,
    state: State,
}

/// There is no room in a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full {
    /// When there is, if that is known.
    pub(super) opens: Option<Time>,
}

#[derive(Clone, Debug)]
enum State {
    Window {
        window: Window,
        units: u64,
    },
    /// The time at which the bucket is full again, in microseconds times `scale`, the rule's units.
    Bucket {
        full: u128,
        scale: u64,
    },
    Concurrent {
        calls: u32,
    },
}

impl Count {
    pub(super) fn unused(rule: &Rule) -> Self {
        let nowhere = Window { start: Time(0), end: Time(0) };
        let state = match rule {
            Rule::Window { .. } => State::Window { window: nowhere, units: 0 },
            Rule::Bucket { units, .. } => State::Bucket { full: 0, scale: *units },
            Rule::Concurrent { .. } => State::Concurrent { calls: 0 },
        };
        Self { label: rule.label().into(), state }
    }

    /// The end of a stored window is found when it is first asked about.
    pub(super) fn restored(label: &str, used: Used) -> Self {
        let state = match used {
            Used::Window { start, units } => {
                State::Window { window: Window { start, end: start }, units }
            }
            Used::Bucket { full } => State::Bucket { full: u128::from(full.0), scale: 1 },
        };
        Self { label: label.into(), state }
    }

    /// What outlives a restart: calls under way are known from their leases.
    pub(super) fn stored(&self) -> Option<Used> {
        match &self.state {
            State::Window { window, units } => {
                Some(Used::Window { start: window.start, units: *units })
            }
            State::Bucket { full, scale } => Some(Used::Bucket { full: time(full, *scale) }),
            State::Concurrent { .. } => None,
        }
    }

    /// `Some` if there is no room for so many units.
    pub(super) fn is_full(&self, rule: &Rule, now: Time, units: u64) -> Option<Full> {
        match (rule, &self.state) {
            (Rule::Window { units: of, .. }, _) => {
                let (window, used) = self.window(rule, now);
                let is_full = used.saturating_add(units) > *of;
                is_full.then_some(Full { opens: (units <= *of).then_some(window.end) })
            }
            (Rule::Bucket { units: rate, per, burst }, _) => {
                let (now, full) = (scaled(now, *rate), self.full(*rate).max(scaled(now, *rate)));
                let room = u128::from(*burst) * u128::from(per.0);
                let after = full + u128::from(units) * u128::from(per.0);
                let is_full = after > now + room;
                let opens = || time(&(after - room), *rate);
                is_full.then(|| Full { opens: (units <= *burst).then(opens) })
            }
            (Rule::Concurrent { calls: of }, State::Concurrent { calls }) => {
                let is_full = u64::from(*calls).saturating_add(units) > u64::from(*of);
                is_full.then_some(Full { opens: None })
            }
            (Rule::Concurrent { .. }, _) => None,
        }
    }

    /// Counts the units. Gives the beginning of their window, and when they count no more.
    pub(super) fn add(&mut self, rule: &Rule, now: Time, units: u64) -> (Time, Option<Time>) {
        match rule {
            Rule::Window { units: of, .. } => {
                let (window, used) = self.window(rule, now);
                let units = used + units;
                assert!(units <= *of, "{units} units of {of} in the window of {}", self.label);
                self.state = State::Window { window, units };
                (window.start, Some(window.end))
            }
            Rule::Bucket { units: rate, per, .. } => {
                let full = self.full(*rate).max(scaled(now, *rate));
                let full = full + u128::from(units) * u128::from(per.0);
                self.state = State::Bucket { full, scale: *rate };
                (now, Some(time(&full, *rate)))
            }
            Rule::Concurrent { .. } => {
                self.begin();
                (now, None)
            }
        }
    }

    pub(super) fn give_back(&mut self, rule: &Rule, returned: u64, start: Time) {
        match (&mut self.state, rule) {
            (State::Window { window, units }, _) if window.start == start => {
                *units = units.saturating_sub(returned);
            }
            (State::Bucket { full, scale }, Rule::Bucket { units, per, .. })
                if *scale == *units =>
            {
                *full = full.saturating_sub(u128::from(returned) * u128::from(per.0));
            }
            (State::Concurrent { calls }, _) => *calls = calls.saturating_sub(1),
            (State::Window { .. } | State::Bucket { .. }, _) => {}
        }
    }

    /// Whether that made room.
    pub(super) const fn finish(&mut self) -> bool {
        let State::Concurrent { calls } = &mut self.state else { return false };
        *calls = calls.saturating_sub(1);
        true
    }

    pub(super) const fn begin(&mut self) {
        if let State::Concurrent { calls } = &mut self.state {
            *calls = calls.saturating_add(1);
        }
    }

    /// Used, of how many, and when there is room for one more or the window is new.
    pub(super) fn reading(&self, rule: &Rule, now: Time) -> (u64, u64, Option<Time>) {
        match rule {
            Rule::Window { units, .. } => {
                let (window, used) = self.window(rule, now);
                (used, *units, Some(window.end))
            }
            Rule::Bucket { units: rate, per, burst } => {
                let behind = self.full(*rate).saturating_sub(scaled(now, *rate));
                let used = behind.div_ceil(u128::from(per.0));
                let used = u64::try_from(used).unwrap_or(u64::MAX).min(*burst);
                (used, *burst, self.is_full(rule, now, 1).and_then(|full| full.opens))
            }
            Rule::Concurrent { calls: of } => {
                let State::Concurrent { calls } = self.state else {
                    return (0, u64::from(*of), None);
                };
                (u64::from(calls), u64::from(*of), None)
            }
        }
    }

    /// Whether it says nothing any more at that time.
    pub(super) fn is_over(&self, now: Time) -> bool {
        match &self.state {
            State::Window { window, .. } => window.end <= now,
            State::Bucket { full, scale } => time(full, *scale) <= now,
            State::Concurrent { calls } => *calls == 0,
        }
    }

    /// The window that is under way, and what is used of it.
    fn window(&self, rule: &Rule, now: Time) -> (Window, u64) {
        let Rule::Window { every, time_zone, .. } = rule else { unreachable!("only windows turn") };
        match &self.state {
            State::Window { window, units } if window.has(now) => (*window, *units),
            State::Window { window: before, units } => {
                let window = Window::at(now, *every, time_zone);
                (window, if window.start == before.start { *units } else { 0 })
            }
            _ => (Window::at(now, *every, time_zone), 0),
        }
    }

    fn full(&self, rate: u64) -> u128 {
        match &self.state {
            State::Bucket { full, scale } if *scale == rate => *full,
            // The rate was changed: the time at which it is full stays.
            State::Bucket { full, scale } => full.div_ceil(u128::from(*scale)) * u128::from(rate),
            _ => 0,
        }
    }
}

fn scaled(now: Time, rate: u64) -> u128 {
    u128::from(now.0) * u128::from(rate)
}

/// Rounded up: a bucket that is read back is never fuller than it was.
fn time(full: &u128, scale: u64) -> Time {
    Time(u64::try_from(full.div_ceil(u128::from(scale.max(1)))).unwrap_or(u64::MAX))
}
