//! Money: integer nano-units of the platform's one currency.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Decimal places of one unit.
const PLACES: usize = 9;
const UNIT: u64 = 1_000_000_000;

/// An amount in nano-units. Sums of amounts within [`Nano::MAX`] stay far inside 64 bits.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Nano(pub u64);

/// Why a text is no amount.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    #[error("is no amount; expected a decimal number such as 0.05")]
    Malformed,
    #[error("is negative; expected 0 or more")]
    Negative,
    #[error("has more than {PLACES} decimal places")]
    TooFine,
    #[error("is more than {}", Nano::MAX)]
    TooMuch,
}

impl Nano {
    pub const ZERO: Self = Self(0);
    /// A thousand million units: more than any account holds.
    pub const MAX: Self = Self(1_000_000_000 * UNIT);

    /// Hundredths of a unit.
    pub const fn from_cents(cents: u64) -> Self {
        Self(cents * (UNIT / 100))
    }

    /// To the nearest hundredth of a unit: an estimate is no finer.
    #[must_use]
    pub const fn rounded(self) -> Self {
        let cent = UNIT / 100;
        Self(self.0.saturating_add(cent / 2) / cent * cent)
    }

    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// Zero if `other` is more.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl fmt::Display for Nano {
    /// With at least two decimal places, and no zeros behind them: `0.50`, `0.000125`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places = format!("{:0PLACES$}", self.0 % UNIT);
        let kept = places.trim_end_matches('0').len().max(2);
        write!(f, "{}.{}", self.0 / UNIT, &places[..kept])
    }
}

impl FromStr for Nano {
    type Err = MoneyError;

    fn from_str(text: &str) -> Result<Self, MoneyError> {
        if let Some(amount) = text.strip_prefix('-') {
            amount.parse::<Self>()?;
            return Err(MoneyError::Negative);
        }
        let (whole, places) = text.split_once('.').unwrap_or((text, "0"));
        let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !is_number(whole) || !is_number(places) {
            return Err(MoneyError::Malformed);
        }
        let places = places.trim_end_matches('0');
        if places.len() > PLACES {
            return Err(MoneyError::TooFine);
        }
        let digits = format!("{whole}{places:0<PLACES$}");
        let nano = digits.parse::<u64>().map_err(|_| MoneyError::TooMuch)?;
        Some(Self(nano)).filter(|nano| *nano <= Self::MAX).ok_or(MoneyError::TooMuch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_and_shown_as_decimals() {
        for (text, nano, shown) in [
            ("0.05", 50_000_000, "0.05"),
            ("2", 2_000_000_000, "2.00"),
            ("0.000000001", 1, "0.000000001"),
            ("1000000000.0", 1_000_000_000_000_000_000, "1000000000.00"),
        ] {
            let amount: Nano = text.parse().unwrap();
            assert_eq!((amount.0, amount.to_string()), (nano, shown.to_owned()));
        }
    }

    #[test]
    fn estimates_are_rounded_to_hundredths() {
        for (nano, rounded) in
            [(4_999_999, 0), (5_000_000, 10_000_000), (24_136_511_920, 24_140_000_000)]
        {
            assert_eq!(Nano(nano).rounded(), Nano(rounded));
        }
    }

    #[test]
    fn what_is_no_amount_says_why() {
        for (text, error) in [
            ("", MoneyError::Malformed),
            ("1,5", MoneyError::Malformed),
            ("1e3", MoneyError::Malformed),
            ("-0.05", MoneyError::Negative),
            ("0.0000000001", MoneyError::TooFine),
            ("1000000000.01", MoneyError::TooMuch),
            ("99999999999999999999999", MoneyError::TooMuch),
        ] {
            assert_eq!(text.parse::<Nano>(), Err(error), "{text}");
        }
    }
}
