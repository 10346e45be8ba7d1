//! Time as integers: points in time and spans, both in microseconds.
//!
//! Nothing here reads a clock. Points count from the Unix epoch; the driver guarantees that the points it
//! hands to the cell never fall.

use std::fmt;
use std::ops::{Add, Sub};

use serde::{Deserialize, Serialize};

/// A point in time: microseconds since the Unix epoch.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Time(pub u64);

/// A length of time in microseconds.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Span(pub u64);

impl Time {
    /// Later than every deadline that a request can name (year 294,246).
    pub const MAX: Self = Self(i64::MAX as u64);

    /// The span from `earlier` to `self`, zero if `earlier` is the later one.
    pub const fn since(self, earlier: Self) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }

    /// Whole milliseconds since the Unix epoch, rounded down.
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000
    }
}

impl Span {
    pub const ZERO: Self = Self(0);
    /// About 292,000 years: "no bound" where a bound must be a number.
    pub const MAX: Self = Self(i64::MAX as u64);

    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Saturates at [`Span::MAX`].
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000))
    }

    /// Saturates at [`Span::MAX`].
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1_000_000))
    }

    /// Whole milliseconds, rounded up, so that a client that waits for them does not come too early.
    pub const fn as_millis_ceil(self) -> u64 {
        self.0.div_ceil(1_000)
    }
}

/// Saturates at [`Time::MAX`].
impl Add<Span> for Time {
    type Output = Self;

    fn add(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.0).min(Self::MAX.0))
    }
}

/// Saturates at the Unix epoch.
impl Sub<Span> for Time {
    type Output = Self;

    fn sub(self, span: Span) -> Self {
        Self(self.0.saturating_sub(span.0))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}us", self.0)
    }
}

impl Span {
    /// For people: to the second, and from an hour on to the minute.
    pub fn in_words(self) -> String {
        let seconds = self.0 / 1_000_000;
        match seconds {
            0..60 => format!("{seconds} s"),
            60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
            _ => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            us if us >= 1_000_000 && us % 1_000_000 == 0 => write!(f, "{}s", us / 1_000_000),
            us if us >= 1_000 && us % 1_000 == 0 => write!(f, "{}ms", us / 1_000),
            us => write!(f, "{us}us"),
        }
    }
}
