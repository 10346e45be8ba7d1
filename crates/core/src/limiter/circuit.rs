//! Whether one tool's provider is called at all: it asked to be left alone, or its calls fail.
//!
//! Closed, open until a moment, half open: then one call at a time is let through, the *trial*, until one is served.
//! Calls that were under way when it was shut prove nothing by their answers. A later moment is never made an earlier one.

use serde::Serialize;

use crate::quota::Breaker;
use crate::time::{Span, Time};

use super::count::{Kept, Short};

/// How refusals name a provider that asked to be left alone, where they would name a rule.
pub const RETRY_AFTER: &str = "retry-after";
/// How refusals name a provider whose calls fail.
pub const CIRCUIT_OPEN: &str = "circuit-open";

/// A trial of a tool without a breaker has failed.
const UNDECLARED: Breaker = Breaker { failures: 1, open_for: Span::from_secs(1) };
/// How often the time is doubled.
const DOUBLED_MAX: u32 = 4;

/// How a call ended, as far as the provider goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Served,
    /// It asked to be left alone, by everybody (HTTP 429, `Retry-After`).
    TurnedAway {
        until: Time,
    },
    /// No answer, or an error of its own (HTTP 5xx).
    Broken,
    /// Nobody knows.
    Unknown,
}

/// Whether a provider is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Circuit {
    Closed,
    Open {
        until: Time,
        why: Why,
    },
    /// One call at a time tries it.
    HalfOpen {
        why: Why,
    },
}

/// Why a provider is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    RetryAfter,
    Failures,
}

#[derive(Debug, Default)]
pub(super) struct Switch {
    breaker: Option<Breaker>,
    /// In a row.
    failures: u32,
    /// How often failures have opened it since it was closed last.
    opened: u32,
    shut: Option<Shut>,
}

#[derive(Clone, Copy, Debug)]
struct Shut {
    /// Since when it is shut for that reason.
    since: Time,
    until: Time,
    why: Why,
    /// The call that will tell.
    trial: Option<u64>,
}

impl Switch {
    pub(super) fn set_breaker(&mut self, breaker: Option<Breaker>) {
        let had_one = std::mem::replace(&mut self.breaker, breaker).is_some();
        if had_one && breaker.is_none() && self.why() == Some(Why::Failures) {
            self.close();
        }
    }

    pub(super) const fn is_closed(&self) -> bool {
        self.shut.is_none()
    }

    pub(super) fn state(&self, now: Time) -> Circuit {
        match self.shut {
            None => Circuit::Closed,
            Some(Shut { until, why, .. }) if now < until => Circuit::Open { until, why },
            Some(Shut { why, .. }) => Circuit::HalfOpen { why },
        }
    }

    /// Since when its calls fail, if it is left alone for that.
    pub(super) fn down_since(&self) -> Option<Time> {
        self.shut.filter(|shut| shut.why == Why::Failures).map(|shut| shut.since)
    }

    /// Whether it is in the way of a call, beside those that were called already.
    pub(super) fn short(&self, now: Time, kept: Kept) -> Option<Short> {
        let shut = self.shut?;
        let is_over = now >= shut.until;
        let is_in_way = !is_over || shut.trial.is_some() || kept.takes > 0;
        is_in_way.then(|| self.named(shut.why, (!is_over).then_some(shut.until)))
    }

    /// Others are to try it first.
    pub(super) fn in_trial(&self) -> Option<Short> {
        self.shut.map(|shut| self.named(shut.why, None))
    }

    fn named(&self, why: Why, opens: Option<Time>) -> Short {
        let (rule, used, of) = match why {
            Why::RetryAfter => (RETRY_AFTER, 0, 0),
            Why::Failures => {
                (CIRCUIT_OPEN, self.failures, self.breaker.unwrap_or(UNDECLARED).failures)
            }
        };
        Short { rule: rule.into(), used: used.into(), of: of.into(), opens, is_never: false }
    }

    /// A call leaves: if it is shut, that is the trial.
    pub(super) fn begin(&mut self, call: u64) {
        if let Some(shut) = &mut self.shut {
            assert!(shut.trial.is_none(), "one call at a time tries a provider that is shut");
            shut.trial = Some(call);
        }
    }

    pub(super) fn end(&mut self, now: Time, call: u64, answer: Answer) {
        let trial = self.shut.as_mut().and_then(|shut| shut.trial.take_if(|trial| *trial == call));
        let is_trial = trial.is_some();
        match answer {
            Answer::Served => {
                self.failures = 0;
                // A call that left before it may have been told of a later moment meanwhile.
                if is_trial && self.shut.is_some_and(|shut| now >= shut.until) {
                    self.close();
                }
            }
            Answer::TurnedAway { until } => self.shut_until(now, until, Why::RetryAfter),
            Answer::Broken => self.fail(now, is_trial),
            Answer::Unknown => {}
        }
    }

    fn fail(&mut self, now: Time, is_trial: bool) {
        self.failures = self.failures.saturating_add(1);
        let is_enough = self.breaker.is_some_and(|breaker| self.failures >= breaker.failures);
        if is_trial || (self.is_closed() && is_enough) {
            let span = self.breaker.unwrap_or(UNDECLARED).open_for;
            let doubled = span.0.saturating_mul(1 << self.opened.min(DOUBLED_MAX));
            self.opened = self.opened.saturating_add(1);
            self.shut_until(now, now + Span(doubled), Why::Failures);
        }
    }

    fn shut_until(&mut self, now: Time, until: Time, why: Why) {
        let (since, trial) = match self.shut {
            Some(shut) if shut.until >= until => return,
            Some(shut) => (if shut.why == why { shut.since } else { now }, shut.trial),
            None => (now, None),
        };
        self.shut = Some(Shut { since, until, why, trial });
    }

    fn why(&self) -> Option<Why> {
        self.shut.map(|shut| shut.why)
    }

    fn close(&mut self) {
        self.shut = None;
        self.failures = 0;
        self.opened = 0;
    }
}
