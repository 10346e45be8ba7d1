//! Whether quiet tenants wait longer when a loud one wants more: where isolation is incomplete.
//!
//! Time is cut into buckets of [`BUCKET`]. In each, `x` is how many slots a loud tenant wanted in the mean (held and
//! waiting), and `y` how long the steps of quiet tenants waited in the mean at a place (slots, a provider's limit,
//! reviewers, the store). Loud is whose wants, beyond what it is entitled to, are a tenth or more of all tenants' over the
//! half hour; quiet is everybody else, so that `y` should not follow `x` at all.
//!
//! `r` is Pearson's correlation of `x` at `t - lag` with `y` at `t`, for the lag up to [`LAGS`] at which it is largest.
//! Neighbouring buckets are alike, so there are fewer independent ones than buckets: `n' = n (1 - a b) / (1 + a b)` with `a`
//! and `b` the correlations of each series with itself one bucket later (M. Bartlett, "Some aspects of the
//! time-correlation problem", 1935). The probability of such an `r` without any connection is that of `atanh(r)
//! sqrt(n' - 3)` under the normal distribution (R. Fisher, 1921), times the number of pairs that were looked at, lags
//! included (Bonferroni). `slope` is that of the line of least squares.
//!
//! What is found is told if that probability is below [`SIGNIFICANT`] and the effect, slope times how far the load moved,
//! is more than what is unavoidable at the place: a slot must be given back before it can be given on.

#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "statistics for people, of which no decision is made"
)]

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::time::{Span, Time};

const BUCKET: Span = Span::from_secs(10);
/// Buckets that are kept: half an hour.
const BUCKETS: u64 = 180;
/// Buckets in which somebody quiet waited, at least.
const BUCKETS_MIN: usize = 24;
/// Tenants of a bucket that are told apart, those that want most.
const KEPT: usize = 16;
/// A loud tenant wants at least one in so many of all slots that are wanted.
const LOUD_ONE_IN: u64 = 10;
const LAGS: usize = 3;
/// Probability of chance.
const SIGNIFICANT: f64 = 0.01;
/// An effect of less than this is nothing to anybody.
const EFFECT_MIN: Span = Span::from_millis(5);

/// Where tenants can meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Place {
    Slots { pool: u32 },
    Limit { tool: u32 },
    Reviewers { pool: u32 },
    Store,
}

/// What was seen in the last half hour, in constant memory.
#[derive(Clone, Debug, Default)]
pub struct Neighbours {
    /// The one that is under way last.
    buckets: VecDeque<Bucket>,
}

#[derive(Clone, Debug, Default)]
struct Bucket {
    number: u64,
    /// Slot time wanted, by tenant.
    loads: BTreeMap<u32, u64>,
    /// Of all tenants.
    waits: BTreeMap<Place, Waits>,
    /// Of those that want most; of everybody while the bucket is under way.
    own_waits: BTreeMap<(u32, Place), Waits>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Waits {
    sum: u64,
    count: u64,
}

impl Waits {
    const fn add(&mut self, wait: Span) {
        self.sum = self.sum.saturating_add(wait.0);
        self.count += 1;
    }

    /// What is left without those.
    const fn less(self, other: Self) -> Self {
        Self { sum: self.sum.saturating_sub(other.sum), count: self.count - other.count }
    }
}

/// That the waits of quiet tenants follow the load of a loud one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interference {
    pub tenant: u32,
    pub place: Place,
    /// Pearson's correlation.
    pub correlation: f64,
    pub lag: Span,
    /// Of seeing that by chance.
    pub probability: f64,
    /// Milliseconds that a quiet tenant's step waits longer for each slot that the loud one wants.
    pub ms_per_slot: f64,
    /// Slots that it wanted, in the mean of the busiest tenth of the time less that of the quietest.
    pub slots: f64,
    /// How much longer quiet tenants' steps waited for that.
    pub effect: Span,
    /// Buckets that were compared.
    pub buckets: u32,
    /// It is unlikely by chance, and more than what is unavoidable.
    pub is_significant: bool,
}

impl Neighbours {
    /// A tenant wanted slots, and more of them than it was entitled to, for so long: slots times time.
    pub fn wanted(&mut self, at: Time, tenant: u32, slot_time: Span) {
        let load = self.bucket(at).loads.entry(tenant).or_default();
        *load = load.saturating_add(slot_time.0);
    }

    /// Something of a tenant, or of everybody, waited there.
    pub fn waited(&mut self, at: Time, tenant: Option<u32>, place: Place, wait: Span) {
        let bucket = self.bucket(at);
        bucket.waits.entry(place).or_default().add(wait);
        if let Some(tenant) = tenant {
            bucket.own_waits.entry((tenant, place)).or_default().add(wait);
        }
    }

    fn bucket(&mut self, at: Time) -> &mut Bucket {
        let number = at.0 / BUCKET.0;
        if self.buckets.back().is_none_or(|last| last.number < number) {
            if let Some(over) = self.buckets.back_mut() {
                over.keep_the_loudest();
            }
            while self.buckets.front().is_some_and(|first| number - first.number >= BUCKETS) {
                self.buckets.pop_front();
            }
            self.buckets.push_back(Bucket { number, ..Bucket::default() });
        }
        self.buckets.back_mut().expect("a bucket was pushed")
    }

    /// Each loud tenant at each place where quiet ones waited, the surest first. `unavoidable` says what a place does to
    /// everybody. O(loud tenants x places x buckets).
    pub fn find(&self, unavoidable: impl Fn(Place) -> Span) -> Vec<Interference> {
        let places: Vec<Place> = self.places();
        let loud = self.loud();
        let pairs = (places.len() * loud.len() * (LAGS + 1)).max(1);
        let mut found: Vec<Interference> = Vec::new();
        for place in places {
            let least = unavoidable(place).max(EFFECT_MIN);
            for tenant in &loud {
                let Some(one) = self.compare((*tenant, &loud), place, pairs) else { continue };
                let is_significant = one.probability < SIGNIFICANT && one.effect > least;
                found.push(Interference { is_significant, ..one });
            }
        }
        found.sort_by(|one, other| {
            let surer = one.probability.total_cmp(&other.probability);
            (other.is_significant.cmp(&one.is_significant)).then(surer)
        });
        found
    }

    fn places(&self) -> Vec<Place> {
        let mut counts: BTreeMap<Place, usize> = BTreeMap::new();
        for place in self.buckets.iter().flat_map(|bucket| bucket.waits.keys()) {
            *counts.entry(*place).or_default() += 1;
        }
        counts.retain(|_, count| *count >= BUCKETS_MIN);
        counts.into_keys().collect()
    }

    fn loud(&self) -> Vec<u32> {
        let mut loads: BTreeMap<u32, u64> = BTreeMap::new();
        for (tenant, load) in self.buckets.iter().flat_map(|bucket| &bucket.loads) {
            let sum = loads.entry(*tenant).or_default();
            *sum = sum.saturating_add(*load);
        }
        let all = loads.values().fold(0_u64, |sum, load| sum.saturating_add(*load));
        loads.retain(|_, load| *load >= all / LOUD_ONE_IN);
        loads.into_keys().collect()
    }

    /// `None` if there is too little to say anything.
    fn compare(
        &self,
        (tenant, loud): (u32, &[u32]),
        place: Place,
        pairs: usize,
    ) -> Option<Interference> {
        let mut best: Option<(usize, Line)> = None;
        for lag in 0..=LAGS {
            let Some(line) = Line::through(&self.points((tenant, loud), place, lag)) else {
                continue;
            };
            if best.as_ref().is_none_or(|(_, best)| best.correlation < line.correlation) {
                best = Some((lag, line));
            }
        }
        let (lag, line) = best?;
        if line.correlation <= 0.0 {
            return None;
        }
        let effect = (line.slope * line.range).max(0.0);
        Some(Interference {
            tenant,
            place,
            correlation: line.correlation,
            lag: Span(BUCKET.0 * lag as u64),
            probability: (line.probability() * pairs as f64).min(1.0),
            ms_per_slot: line.slope / 1_000.0,
            slots: line.range,
            effect: Span(effect as u64),
            buckets: u32::try_from(line.count).unwrap_or(u32::MAX),
            is_significant: false,
        })
    }

    /// Slots wanted so many buckets ago, and the mean wait in microseconds, of each bucket in which somebody waited.
    fn points(&self, (tenant, loud): (u32, &[u32]), place: Place, lag: usize) -> Vec<(f64, f64)> {
        let Some(first) = self.buckets.front().map(|first| first.number) else { return Vec::new() };
        let by_number: BTreeMap<u64, &Bucket> =
            self.buckets.iter().map(|bucket| (bucket.number, bucket)).collect();
        let points = self.buckets.iter().filter_map(|bucket| {
            let own = loud.iter().filter_map(|loud| bucket.own_waits.get(&(*loud, place)));
            let quiet = own.fold(*bucket.waits.get(&place)?, |all, own| all.less(*own));
            if quiet.count == 0 {
                return None;
            }
            let before = bucket.number.checked_sub(lag as u64).filter(|number| *number >= first)?;
            let load = by_number.get(&before).and_then(|bucket| bucket.loads.get(&tenant));
            let slots = load.copied().unwrap_or_default() as f64 / BUCKET.0 as f64;
            Some((slots, quiet.sum as f64 / quiet.count as f64))
        });
        points.collect()
    }
}

impl Bucket {
    fn keep_the_loudest(&mut self) {
        let mut loads: Vec<(u32, u64)> = self.loads.iter().map(|(at, load)| (*at, *load)).collect();
        loads.sort_by_key(|(tenant, load)| (std::cmp::Reverse(*load), *tenant));
        loads.truncate(KEPT);
        self.loads = loads.into_iter().collect();
        self.own_waits.retain(|(tenant, _), _| self.loads.contains_key(tenant));
    }
}

/// The line of least squares through points, and what it is worth.
struct Line {
    count: usize,
    correlation: f64,
    slope: f64,
    /// The mean of the highest tenth of x less that of the lowest.
    range: f64,
    /// As many independent points say as much.
    independent: f64,
}

impl Line {
    fn through(points: &[(f64, f64)]) -> Option<Self> {
        let count = points.len();
        if count < BUCKETS_MIN {
            return None;
        }
        let (xs, ys): (Vec<f64>, Vec<f64>) = points.iter().copied().unzip();
        let (x, y) = (deviations(&xs), deviations(&ys));
        let (xx, yy, xy) = (product(&x, &x), product(&y, &y), product(&x, &y));
        if xx <= 0.0 || yy <= 0.0 {
            return None;
        }
        let alike = (product(&x[1..], &x) / xx) * (product(&y[1..], &y) / yy);
        let alike = alike.clamp(0.0, 0.99);
        let mut sorted = xs;
        sorted.sort_by(f64::total_cmp);
        let tenth = (count / 10).max(1);
        let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
        Some(Self {
            count,
            correlation: xy / (xx * yy).sqrt(),
            slope: xy / xx,
            range: mean(&sorted[count - tenth..]) - mean(&sorted[..tenth]),
            independent: count as f64 * (1.0 - alike) / (1.0 + alike),
        })
    }

    /// Of a correlation as far from zero if there is no connection.
    fn probability(&self) -> f64 {
        if self.independent <= 4.0 {
            return 1.0;
        }
        let r = self.correlation.clamp(-0.999_999, 0.999_999);
        beyond(r.atanh().abs() * (self.independent - 3.0).sqrt())
    }
}

fn deviations(values: &[f64]) -> Vec<f64> {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    values.iter().map(|value| value - mean).collect()
}

/// Over as many as both have.
fn product(one: &[f64], other: &[f64]) -> f64 {
    one.iter().zip(other).map(|(one, other)| one * other).sum()
}

/// The probability that a normal variable is further than `z` standard deviations from its mean, either way: within 2e-7
/// (M. Abramowitz, I. Stegun, "Handbook of Mathematical Functions", 7.1.26).
fn beyond(z: f64) -> f64 {
    let x = z / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * x);
    let terms = [0.254_829_592, -0.284_496_736, 1.421_413_741, -1.453_152_027, 1.061_405_429];
    let sum = terms.iter().rev().fold(0.0, |sum, term| (sum + term) * t);
    (sum * (-x * x).exp()).clamp(0.0, 1.0)
}
