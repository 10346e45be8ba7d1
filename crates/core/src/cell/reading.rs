//! What the cell counts for people: how many runs ended, and how long they took.
//!
//! Latency is kept in buckets that grow by an eighth of a power of two, so that a percentile is within 7 % of
//! the true value, and in two windows of a minute, so that what is shown is of the last one to two minutes.
//! No decision reads these numbers.

use std::collections::BTreeMap;

use crate::row::RunStatus;
use crate::tenant::Sla;
use crate::time::{Span, Time};

use super::effect::Latency;

const WINDOW: Span = Span::from_secs(60);
/// Buckets to a power of two, as a power of two.
const FINE: u32 = 3;

#[derive(Debug, Default)]
pub(crate) struct TenantReading {
    pub(crate) completed: u64,
    pub(crate) failed: u64,
    pub(crate) sla_violations: u64,
    window: Time,
    current: Sketch,
    previous: Sketch,
}

impl TenantReading {
    pub(crate) fn ended(&mut self, now: Time, took: Span, status: RunStatus, sla: Option<Sla>) {
        if status == RunStatus::Completed {
            self.completed += 1;
        } else {
            self.failed += 1;
        }
        if sla.is_some_and(|sla| took > sla.latency) {
            self.sla_violations += 1;
        }
        if now.since(self.window) >= WINDOW {
            let last = std::mem::take(&mut self.current);
            // A window that ended more than one window ago says nothing of the last minutes.
            self.previous =
                if now.since(self.window) < Span(2 * WINDOW.0) { last } else { Sketch::default() };
            self.window = now;
        }
        self.current.add(took);
    }

    pub(crate) fn latency(&self, now: Time) -> Option<Latency> {
        let recent = |start: Time| now.since(start) < Span(2 * WINDOW.0);
        let mut both = Sketch::default();
        if recent(self.window) {
            both.merge(&self.current);
            both.merge(&self.previous);
        }
        (both.count > 0).then(|| Latency {
            count: both.count,
            p50: both.percentile(500),
            p95: both.percentile(950),
            p99: both.percentile(990),
            max: both.max,
        })
    }
}

/// A mergeable histogram of spans.
#[derive(Debug, Default)]
pub(crate) struct Sketch {
    buckets: BTreeMap<u16, u32>,
    count: u64,
    max: Span,
}

impl Sketch {
    pub(crate) fn add(&mut self, value: Span) {
        *self.buckets.entry(bucket(value.0)).or_default() += 1;
        self.count += 1;
        self.max = self.max.max(value);
    }

    fn merge(&mut self, other: &Self) {
        for (at, count) in &other.buckets {
            *self.buckets.entry(*at).or_default() += count;
        }
        self.count += other.count;
        self.max = self.max.max(other.max);
    }

    /// The middle of the bucket in which that part of the values has been seen.
    fn percentile(&self, permille: u64) -> Span {
        let wanted = (self.count * permille).div_ceil(1_000).max(1);
        let mut seen = 0;
        for (at, count) in &self.buckets {
            seen += u64::from(*count);
            if seen >= wanted {
                return Span(middle(*at)).min(self.max);
            }
        }
        self.max
    }
}

/// The bucket of a value: its exponent, and the bits that follow the leading one.
fn bucket(value: u64) -> u16 {
    let value = value.max(1 << FINE);
    let exponent = value.ilog2();
    let fraction = (value >> (exponent - FINE)) & ((1 << FINE) - 1);
    u16::try_from((u64::from(exponent) << FINE) | fraction).expect("exponents are below 64")
}

fn middle(bucket: u16) -> u64 {
    let exponent = u32::from(bucket >> FINE);
    let step = 1u64 << (exponent - FINE);
    let fraction = u64::from(bucket) & ((1 << FINE) - 1);
    (1u64 << exponent) + fraction * step + step / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_within_seven_percent_of_the_true_value() {
        let mut sketch = Sketch::default();
        for value in 1..=10_000u64 {
            sketch.add(Span(value * 100));
        }
        for (permille, want) in [(500, 500_000), (950, 950_000), (990, 990_000)] {
            let got = sketch.percentile(permille).0;
            assert!(got.abs_diff(want) * 100 <= want * 7, "{permille}: {got} against {want}");
        }
    }

    #[test]
    fn an_old_window_is_not_shown() {
        let mut reading = TenantReading::default();
        let start = Time(1_000_000_000);
        reading.ended(start, Span::from_millis(10), RunStatus::Completed, None);
        assert!(reading.latency(start + Span::from_secs(30)).is_some());
        assert!(reading.latency(start + Span::from_secs(300)).is_none());
    }
}
