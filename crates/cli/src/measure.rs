//! What the measuring commands share: percentiles, fair shares, Jain's index, and how numbers are written.
//!
//! Nothing here knows a server. Floats are for reports; no decision depends on them.

pub(crate) mod share;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Percentiles are within a thousandth of the true value.
const DIGITS: u8 = 3;

/// Durations in microseconds, of which only the distribution is kept: its size does not grow with their number.
#[derive(Clone, Debug)]
pub(crate) struct Latencies(Histogram<u64>);

/// The percentiles of some durations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Summary {
    pub(crate) count: u64,
    pub(crate) p50_us: u64,
    pub(crate) p95_us: u64,
    pub(crate) p99_us: u64,
    pub(crate) max_us: u64,
}

impl Default for Latencies {
    fn default() -> Self {
        Self(Histogram::new(DIGITS).expect("three digits are within the histogram's bounds"))
    }
}

impl Latencies {
    pub(crate) fn record(&mut self, micros: u64) {
        self.0.record(micros.max(1)).expect("the histogram grows to any value");
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.0.add(&other.0).expect("the histogram grows to any value");
    }

    pub(crate) fn summary(&self) -> Summary {
        Summary {
            count: self.0.len(),
            p50_us: self.0.value_at_quantile(0.50),
            p95_us: self.0.value_at_quantile(0.95),
            p99_us: self.0.value_at_quantile(0.99),
            max_us: self.0.max(),
        }
    }
}

/// `part` of `whole`, 0 if there is no whole.
#[expect(clippy::cast_precision_loss, reason = "a ratio of counts, for a report")]
pub(crate) fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// A count over a span in seconds.
#[expect(clippy::cast_precision_loss, reason = "a rate, for a report")]
pub(crate) fn per_second(count: u64, span: std::time::Duration) -> f64 {
    let seconds = span.as_secs_f64();
    if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
}

/// Three significant digits and a unit: `52.3 ms`.
pub(crate) fn micros(value: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let value = value as f64;
    if value < 1_000.0 {
        format!("{value:.0} µs")
    } else if value < 1_000_000.0 {
        format!("{} ms", digits(value / 1_000.0))
    } else {
        format!("{} s", digits(value / 1_000_000.0))
    }
}

/// `52_300_000` as `49.9 MiB`.
pub(crate) fn bytes(value: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let value = value as f64;
    if value < 1024.0 * 1024.0 {
        format!("{} KiB", digits(value / 1024.0))
    } else if value < 1024.0 * 1024.0 * 1024.0 {
        format!("{} MiB", digits(value / (1024.0 * 1024.0)))
    } else {
        format!("{} GiB", digits(value / (1024.0 * 1024.0 * 1024.0)))
    }
}

/// A count with separators: `152,371`.
pub(crate) fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number that is at least 1 in three significant digits.
pub(crate) fn digits(value: f64) -> String {
    if value < 10.0 {
        format!("{value:.2}")
    } else if value < 100.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.0}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_recorded_values() {
        let mut latencies = Latencies::default();
        for value in 1..=1_000 {
            latencies.record(value * 100);
        }
        let summary = latencies.summary();
        assert_eq!(summary.count, 1_000);
        for (found, expected) in
            [(summary.p50_us, 50_000), (summary.p95_us, 95_000), (summary.max_us, 100_000)]
        {
            assert!(found.abs_diff(expected) <= expected / 500, "{found} for {expected}");
        }
    }

    #[test]
    fn merging_is_recording_both() {
        let (mut one, mut other) = (Latencies::default(), Latencies::default());
        one.record(10);
        other.record(1_000_000);
        one.merge(&other);
        assert_eq!(one.summary().count, 2);
        assert!(one.summary().max_us >= 1_000_000);
    }

    #[test]
    fn numbers_are_written_with_three_digits_and_a_unit() {
        assert_eq!(micros(999), "999 µs");
        assert_eq!(micros(52_345), "52.3 ms");
        assert_eq!(micros(11_250_000), "11.2 s");
        assert_eq!(bytes(31 << 20), "31.0 MiB");
        assert_eq!(count(152_371), "152,371");
        assert_eq!(count(12), "12");
    }
}
