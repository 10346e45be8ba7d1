//! Buckets, against one that pours tokens as exact fractions.

use proptest::prelude::*;

use super::*;
use crate::limiter::bucket::{Bucket, Shape};

/// Tokens are counted times `per`, so that they are whole.
struct Tokens {
    shape: Shape,
    there: u128,
    at: Time,
}

impl Tokens {
    fn new(shape: Shape) -> Self {
        Self { shape, there: most(&shape), at: Time(0) }
    }

    fn take(&mut self, now: Time, units: u64) -> bool {
        let poured = u128::from(now.since(self.at).0) * u128::from(self.shape.rate);
        self.there = (self.there + poured).min(most(&self.shape));
        self.at = now;
        let need = u128::from(units) * u128::from(self.shape.per.0);
        let passes = need <= self.there;
        self.there -= if passes { need } else { 0 };
        passes
    }
}

fn most(shape: &Shape) -> u128 {
    u128::from(shape.burst) * u128::from(shape.per.0)
}

fn shapes() -> impl Strategy<Value = Shape> {
    let pers = prop_oneof![Just(1_000), Just(1_000_003), Just(60_000_000), 1_000_u64..1 << 44];
    (prop_oneof![1_u64..40, 1_u64..1_000_000_000_000], pers, 1_u64..50)
        .prop_map(|(rate, per, burst)| Shape { rate, per: Span(per), burst })
}

proptest! {
    #[test]
    fn a_bucket_lets_through_what_tokens_would(
        shape in shapes(),
        asks in prop::collection::vec((0_u64..4, 0_u64..1_000_000, 1_u64..6), 1..200),
    ) {
        let mut tokens = Tokens::new(shape);
        let mut bucket = Bucket::new(&shape, 0);
        let mut now = Time(0);
        for (kind, step, units) in asks {
            let unit = shape.per.0 / shape.rate;
            now = now + Span(match kind { 0 => 0, 1 => unit, 2 => unit + 1, _ => step });
            let opens = bucket.opens(now, &shape, units);
            prop_assert_eq!(opens.is_none(), tokens.take(now, units), "at {} for {}", now, units);
            match opens {
                None => { bucket.draw(now, &shape, units, 0); }
                Some(opens) if units <= shape.burst => {
                    prop_assert!(opens > now && bucket.opens(opens, &shape, units).is_none());
                    prop_assert!(bucket.opens(opens - Span(1), &shape, units).is_some());
                }
                Some(_) => {}
            }
        }
    }
}

#[test]
fn seven_a_second_are_seven_a_second_for_a_day() {
    let mut limiter = provider(&[bucket(7, Span::from_secs(1), 2)]);
    let mut now = Time(0);
    let mut units = 0_u64;
    while now < Time(24 * HOUR) {
        units += take_all(&mut limiter, now, &caller(0, &[]));
        limiter.gone(key(0));
        now = limiter.take(now, &caller(0, &[]), Units::CALL).unwrap_err().opens.unwrap();
        limiter.gone(key(0));
    }
    // Each may come up to a microsecond late, and none of that adds up. One more was there at the start.
    assert_eq!(units, 7 * 24 * 3_600 + 1);
}

#[test]
fn units_come_back_to_a_bucket_once() {
    let rules = [bucket(1, Span::from_secs(1), 2)];
    let mut limiter = provider(&rules);
    let early = limiter.take(Time(0), &caller(0, &[]), Units::CALL).unwrap();
    let late = limiter.take(Time(5 * SECOND), &caller(0, &[]), Units::CALL).unwrap();
    limiter.give_back(&early);
    assert_eq!(take_all(&mut limiter, Time(5 * SECOND), &caller(0, &[])), 1, "time gave it back");
    limiter.give_back(&late);
    assert_eq!(take_all(&mut limiter, Time(5 * SECOND), &caller(0, &[])), 1);
}

#[test]
fn another_rate_keeps_the_time_at_which_the_bucket_is_full() {
    let mut limiter = provider(&[bucket(3, Span::from_secs(1), 3)]);
    take_all(&mut limiter, Time(0), &caller(0, &[]));
    limiter.gone(key(0));
    limiter.set_tool(Time(0), TOOL, &[bucket(1_000, Span::from_secs(1), 1_000)], None);
    assert_eq!(take_all(&mut limiter, Time(500_000), &caller(0, &[])), 500);
}
