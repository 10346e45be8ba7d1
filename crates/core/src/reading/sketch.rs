//! A mergeable histogram of spans.
//!
//! Buckets grow by an eighth of a power of two, as those of an HDR histogram with three bits of precision do, so that
//! the middle of one is within 1/16 (6.25 %) of every value in it. Only buckets with something in them take memory: at
//! most 8 for each doubling between the shortest and the longest value.
//!
//! Gil Tene, `HdrHistogram`; C. Masson, J. Rim, H. Lee, "`DDSketch`: a fast and fully-mergeable quantile sketch with
//! relative-error guarantees", VLDB 2019.

use serde::{Deserialize, Serialize};

use crate::time::Span;

use super::windows::Merge;

/// Buckets to a power of two, as a power of two.
const FINE: u32 = 3;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sketch {
    /// In order of the buckets.
    buckets: Vec<(u16, u32)>,
    count: u64,
    sum: u64,
    max: Span,
}

/// What a [`Sketch`] says: each percentile within 6.25 % of the true value, the count and the maximum exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Percentiles {
    pub count: u64,
    pub p50: Span,
    pub p95: Span,
    pub p99: Span,
    pub max: Span,
}

impl Sketch {
    pub fn add(&mut self, value: Span) {
        self.put(bucket(value.0), 1);
        self.count += 1;
        self.sum = self.sum.saturating_add(value.0);
        self.max = self.max.max(value);
    }

    /// As often as it is milliseconds long, and once if it is shorter: what a moment at random falls into.
    pub fn add_by_length(&mut self, value: Span) {
        let times = u32::try_from(value.0 / 1_000).unwrap_or(u32::MAX).max(1);
        self.put(bucket(value.0), times);
        self.count += u64::from(times);
        self.sum = self.sum.saturating_add(value.0.saturating_mul(times.into()));
        self.max = self.max.max(value);
    }

    fn put(&mut self, bucket: u16, count: u32) {
        match self.buckets.binary_search_by_key(&bucket, |(at, _)| *at) {
            Ok(at) => self.buckets[at].1 = self.buckets[at].1.saturating_add(count),
            Err(at) => self.buckets.insert(at, (bucket, count)),
        }
    }

    /// Whether any value is above the span.
    pub fn is_above(&self, span: Span) -> bool {
        self.max > span
    }

    pub const fn count(&self) -> u64 {
        self.count
    }

    /// The sum of all values.
    pub const fn sum(&self) -> Span {
        Span(self.sum)
    }

    /// `None` if there is no value.
    pub fn percentiles(&self) -> Option<Percentiles> {
        (self.count > 0).then(|| Percentiles {
            count: self.count,
            p50: self.percentile(500),
            p95: self.percentile(950),
            p99: self.percentile(990),
            max: self.max,
        })
    }

    /// The middle of the bucket in which that part of the values, in thousandths, has been seen; zero if there is none.
    pub fn percentile(&self, permille: u64) -> Span {
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

impl Merge for Sketch {
    fn merge(&mut self, other: &Self) {
        for (bucket, count) in &other.buckets {
            self.put(*bucket, *count);
        }
        self.count += other.count;
        self.sum = self.sum.saturating_add(other.sum);
        self.max = self.max.max(other.max);
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
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn percentiles_are_within_a_sixteenth_of_the_true_value(
            mut values in prop::collection::vec(16..10_000_000_000_u64, 1..400),
            split in 0..400_usize,
        ) {
            let (mut sketch, mut other) = (Sketch::default(), Sketch::default());
            for (at, value) in values.iter().enumerate() {
                if at < split { sketch.add(Span(*value)) } else { other.add(Span(*value)) }
            }
            sketch.merge(&other);
            values.sort_unstable();
            let percentiles = sketch.percentiles().unwrap();
            for (permille, got) in [(500, percentiles.p50), (950, percentiles.p95), (990, percentiles.p99)] {
                let rank = (values.len() * permille).div_ceil(1_000);
                let want = values[rank - 1];
                prop_assert!(got.0.abs_diff(want) * 16 <= want + 16, "{permille}: {got} against {want}us");
            }
            prop_assert_eq!(percentiles.count, values.len() as u64);
            prop_assert_eq!(percentiles.max.0, values[values.len() - 1]);
            prop_assert_eq!(sketch.sum().0, values.iter().sum::<u64>());
        }
    }

    #[test]
    fn memory_is_bounded_by_the_range_of_the_values() {
        let mut sketch = Sketch::default();
        (0..1_000_000_u64).for_each(|at| sketch.add(Span(1_000 + at % 9_000)));
        assert!(sketch.buckets.len() <= 8 * 4 + 1, "{}", sketch.buckets.len());
    }
}
