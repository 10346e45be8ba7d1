//! Whether two kinds of requests take the same time.
//!
//! Both kinds are sent in one random order, so that whatever the machine does meanwhile meets both alike: if the
//! server makes no difference, each order of the samples is as likely as any other. That is all that the rank-sum
//! test of Mann and Whitney (*On a Test of Whether one of Two Random Variables is Stochastically Larger than the
//! Other*, Annals of Mathematical Statistics 18, 1947) supposes; it knows ranks only, so that a few slow answers
//! weigh nothing. For a remote timing leak the same design is in Crosby, Wallach and Riedi, *Opportunities and
//! Limits of Remote Timing Attacks* (ACM TISSEC 12, 2009).
//!
//! A difference is reported if it is certain *and* large enough to be of use: the probability of the ranks by
//! chance is below one in a million for a whole run (Bonferroni: divided by the number of comparisons), and the
//! medians are 50 microseconds and a fifth apart. The normal approximation of the test's tail is larger than the
//! exact one, so it errs to the side of silence.

use std::time::Duration;

use serde::Serialize;

/// A healthy server fails once in so many runs.
const RUNS_PER_FALSE_ALARM: f64 = 1e6;
/// Medians nearer to each other than this are alike: the network between hides more.
const FLOOR: Duration = Duration::from_micros(50);
/// And nearer than so many percent of the shorter one.
const FLOOR_PERCENT: u32 = 20;
/// The largest difference that is tried when it is asked what could have been found.
const DETECTABLE_US_MAX: u64 = 10_000_000;

/// How long the answers took of one pair of requests.
#[derive(Clone, Debug, Default)]
pub(super) struct Samples {
    pub(super) foreign: Vec<Duration>,
    pub(super) missing: Vec<Duration>,
}

/// What was compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Timing {
    pub(super) foreign_median_us: u64,
    pub(super) missing_median_us: u64,
    /// A difference of this much would have been found in these samples. Absent if none would have been: there are
    /// too few.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) detectable_us: Option<u64>,
    pub(super) differs: bool,
}

impl Samples {
    /// Compares both kinds, as one of so many comparisons of the run.
    pub(super) fn compare(&self, comparisons: usize) -> Timing {
        let shifted = |shift: Duration| {
            let foreign = self.foreign.iter().map(|took| *took + shift).collect::<Vec<_>>();
            differ(&foreign, &self.missing, comparisons)
        };
        Timing {
            foreign_median_us: micros(median(&self.foreign)),
            missing_median_us: micros(median(&self.missing)),
            detectable_us: smallest(shifted),
            differs: shifted(Duration::ZERO),
        }
    }
}

/// The smallest shift in microseconds that is found, by halving.
fn smallest(is_found: impl Fn(Duration) -> bool) -> Option<u64> {
    let (mut below, mut found) = (0, DETECTABLE_US_MAX);
    if !is_found(Duration::from_micros(found)) {
        return None;
    }
    while found - below > 1 {
        let middle = u64::midpoint(below, found);
        if is_found(Duration::from_micros(middle)) {
            found = middle;
        } else {
            below = middle;
        }
    }
    Some(found)
}

fn differ(one: &[Duration], other: &[Duration], comparisons: usize) -> bool {
    let (left, right) = (median(one), median(other));
    let apart = left.abs_diff(right);
    let is_large = apart > FLOOR && apart * 100 > left.min(right) * FLOOR_PERCENT;
    is_large && by_chance(one, other) < 1.0 / (RUNS_PER_FALSE_ALARM * float(comparisons.max(1)))
}

/// The two-sided probability that two kinds of samples of one and the same distribution are ranked as unequally
/// as these.
fn by_chance(one: &[Duration], other: &[Duration]) -> f64 {
    // Twice the count of pairs in which the one is longer, so that ties count half.
    let mut twice_u = 0usize;
    for left in one {
        for right in other {
            twice_u += match left.cmp(right) {
                std::cmp::Ordering::Greater => 2,
                std::cmp::Ordering::Equal => 1,
                std::cmp::Ordering::Less => 0,
            };
        }
    }
    let (n, m) = (float(one.len()), float(other.len()));
    let spread = (n * m * (n + m + 1.0) / 12.0).sqrt();
    if spread == 0.0 {
        return 1.0;
    }
    // A half is taken off for the step from whole numbers to a curve.
    let off = ((float(twice_u) / 2.0 - n * m / 2.0).abs() - 0.5).max(0.0);
    erfc(off / spread / std::f64::consts::SQRT_2)
}

/// The complementary error function, for arguments from 0, to 1.2e-7 of its value: the Chebyshev fit of *Numerical
/// Recipes* (Press and others, 2nd edition, section 6.2).
fn erfc(x: f64) -> f64 {
    const FIT: [f64; 10] = [
        0.170_872_77,
        -0.822_152_23,
        1.488_515_87,
        -1.135_203_98,
        0.278_868_07,
        -0.186_288_06,
        0.096_784_18,
        0.374_091_96,
        1.000_023_68,
        -1.265_512_23,
    ];
    let t = 1.0 / (1.0 + 0.5 * x);
    let power = FIT.iter().fold(0.0, |sum, factor| sum * t + factor);
    t * (-x * x + power).exp()
}

fn median(samples: &[Duration]) -> Duration {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "counts of samples are far below 2^53")]
const fn float(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::random::Random;

    /// Answers of about half a millisecond, each tenth of them much slower.
    fn noise(random: &mut Random, count: usize, more: Duration) -> Vec<Duration> {
        let one = |random: &mut Random| {
            let usual = 450 + random.next() % 100;
            let slow = if random.next().is_multiple_of(10) { random.next() % 20_000 } else { 0 };
            Duration::from_micros(usual + slow) + more
        };
        (0..count).map(|_| one(random)).collect()
    }

    fn samples(seed: u64, count: usize, more: Duration) -> Samples {
        let mut random = Random::new(seed);
        Samples {
            foreign: noise(&mut random, count, more),
            missing: noise(&mut random, count, Duration::ZERO),
        }
    }

    #[test]
    fn a_foreign_id_that_takes_longer_is_found_among_slow_answers() {
        for seed in 0..50 {
            let timing = samples(seed, 80, Duration::from_micros(400)).compare(200);
            assert!(timing.differs, "{seed}: {timing:?}");
        }
    }

    #[test]
    fn answers_of_one_distribution_are_alike_whatever_the_noise() {
        for seed in 0..300 {
            let timing = samples(seed, 40, Duration::ZERO).compare(1);
            assert!(!timing.differs, "{seed}: {timing:?}");
        }
    }

    #[test]
    fn a_difference_that_is_certain_but_tiny_is_left_alone() {
        let even = |micros| vec![Duration::from_micros(micros); 40];
        let timing = Samples { foreign: even(540), missing: even(500) }.compare(1);
        assert!(!timing.differs, "{timing:?}");
        let timing = Samples { foreign: even(5_060), missing: even(5_000) }.compare(1);
        assert!(!timing.differs, "more than 50 microseconds, but one percent: {timing:?}");
    }

    #[test]
    fn it_says_what_it_could_have_found() {
        let even = |micros| vec![Duration::from_micros(micros); 40];
        let timing = Samples { foreign: even(500), missing: even(500) }.compare(200);
        assert_eq!(timing.detectable_us, Some(101), "a fifth of 500, and a microsecond");
        let noisy = samples(1, 40, Duration::ZERO).compare(200).detectable_us.unwrap();
        assert!((101..1_000).contains(&noisy), "{noisy}");
        let few = samples(1, 2, Duration::ZERO).compare(200);
        assert_eq!(few.detectable_us, None, "two samples of each kind tell nothing");
    }

    #[test]
    fn the_tail_of_the_normal_curve_is_the_published_one() {
        // Abramowitz and Stegun, table 26.2: two-sided beyond 1, 2 and 5 standard deviations.
        for (deviations, expected) in [(1.0, 0.317_310_5), (2.0, 0.045_500_3), (5.0, 5.733_03e-7)] {
            let found = erfc(deviations / std::f64::consts::SQRT_2);
            assert!((found / expected - 1.0).abs() < 1e-5, "{deviations}: {found}");
        }
    }
}
