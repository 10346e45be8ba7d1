//! The generic cell rate algorithm in exact integers.
//!
//! A unit takes `T = per / rate`, which need not be whole microseconds: times are kept with a part in `1/rate` of a
//! microsecond, so that nothing is lost however many units pass. The state is one number, `full`: when the bucket is
//! full again (the theoretical arrival time). `n` units pass at `t` if `max(full, t) + n T <= t + burst T`, and that
//! left side is the new `full`. So in any interval of length `L` at most `burst + L / T` units pass.

#![warn(clippy::arithmetic_side_effects)]

use crate::time::{Span, Time};

/// What a bucket is, without what was taken of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// Units per `per`.
    pub(super) rate: u64,
    pub(super) per: Span,
    pub(super) burst: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Bucket {
    rate: u64,
    per: Span,
    /// Whole microseconds since the epoch. Beyond 64 bits where a large burst of a slow bucket is taken.
    full: u128,
    /// And so many parts of `1/rate` microsecond.
    part: u64,
    /// The last take.
    last: Time,
    /// Units ever taken, those that were given back included.
    total: u128,
    /// Tells this state from one of the same label that was forgotten, or that had another rate.
    born: u64,
}

/// A take, as giving it back needs it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Drawn {
    born: u64,
    /// `total` just after it.
    total: u128,
}

impl Shape {
    /// What `units` take, in `1/rate` microseconds.
    fn length(&self, units: u64) -> u128 {
        length(self.per, u128::from(units))
    }
}

fn length(per: Span, units: u128) -> u128 {
    u128::from(per.0).saturating_mul(units)
}

impl Bucket {
    pub(super) const fn new(shape: &Shape, born: u64) -> Self {
        let Shape { rate, per, .. } = *shape;
        Self { rate, per, full: 0, part: 0, last: Time(0), total: 0, born }
    }

    pub(super) fn restored(per: Span, full: Time, born: u64) -> Self {
        let shape = Shape { rate: 1, per, burst: 1 };
        Self { full: u128::from(full.0), ..Self::new(&shape, born) }
    }

    /// In `1/rate` microseconds since the epoch.
    fn exact(&self) -> u128 {
        self.full.saturating_mul(self.rate.into()).saturating_add(self.part.into())
    }

    fn set_exact(&mut self, exact: u128) {
        let rate = u128::from(self.rate);
        self.full = exact.checked_div(rate).expect("a bucket has a rate");
        let part = exact.checked_rem(rate).expect("a bucket has a rate");
        self.part = u64::try_from(part).expect("the rest is below the rate");
    }

    /// The same moment in parts of another rate, rounded up.
    fn at_rate(&self, rate: u64) -> Self {
        let mut same = Self { rate, ..self.clone() };
        if rate != self.rate {
            let part = u128::from(self.part).saturating_mul(rate.into());
            let part = part.div_ceil(self.rate.into());
            same.set_exact(self.full.saturating_mul(rate.into()).saturating_add(part));
        }
        same
    }

    /// When so many units may be taken; `None`: now. They must not be more than the burst if they are ever to pass.
    pub(super) fn opens(&self, now: Time, shape: &Shape, units: u64) -> Option<Time> {
        let rate = u128::from(shape.rate);
        let moment = u128::from(now.0).saturating_mul(rate);
        let end = self.at_rate(shape.rate).exact().max(moment).saturating_add(shape.length(units));
        let earliest = end.saturating_sub(shape.length(shape.burst));
        (earliest > moment).then(|| time(earliest.div_ceil(rate)))
    }

    pub(super) fn draw(&mut self, now: Time, shape: &Shape, units: u64, born: u64) -> Drawn {
        if self.rate != shape.rate {
            *self = Self { born, ..self.at_rate(shape.rate) };
        }
        let moment = u128::from(now.0).saturating_mul(shape.rate.into());
        self.set_exact(self.exact().max(moment).saturating_add(shape.length(units)));
        self.last = now;
        self.total = self.total.saturating_add(units.into());
        Drawn { born: self.born, total: self.total }
    }

    /// Gives units back that were not used. What time has given back since is not given twice: the bucket is never fuller
    /// than if the later takes had found it full.
    pub(super) fn give_back(&mut self, drawn: Drawn, units: u64) -> bool {
        if drawn.born != self.born {
            return false;
        }
        let later = length(self.per, self.total.saturating_sub(drawn.total));
        let last = u128::from(self.last.0).saturating_mul(self.rate.into());
        let without = self.exact().saturating_sub(length(self.per, units.into()));
        let exact = without.max(last.saturating_add(later));
        let is_less = exact < self.exact();
        if is_less {
            self.set_exact(exact);
        }
        is_less
    }

    /// More units were used than were drawn: it is full later, whatever its burst is.
    pub(super) fn add(&mut self, units: u64) {
        self.set_exact(self.exact().saturating_add(length(self.per, units.into())));
    }

    /// Units that have not come back yet, begun ones included.
    pub(super) fn used(&self, now: Time, shape: &Shape) -> u64 {
        let moment = u128::from(now.0).saturating_mul(shape.rate.into());
        let ahead = self.at_rate(shape.rate).exact().saturating_sub(moment);
        u64::try_from(ahead.div_ceil(u128::from(self.per.0).max(1))).unwrap_or(u64::MAX)
    }

    /// When it is full again, rounded up.
    pub(super) fn full(&self) -> Time {
        time(self.full.saturating_add(u128::from(self.part > 0)))
    }
}

fn time(micros: u128) -> Time {
    Time(u64::try_from(micros).unwrap_or(u64::MAX).min(Time::MAX.0))
}
