//! Points in time on the wire: RFC 3339 in UTC with microseconds.
//!
//! The conversion between days and dates is the one of Howard Hinnant, "chrono-compatible low-level date
//! algorithms" (2013): years begin in March, so that the leap day is a year's last.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

const MICROS_PER_DAY: u64 = 86_400_000_000;
/// Days from 0000-03-01 to 1970-01-01.
const EPOCH_DAYS: u64 = 719_468;
const DAYS_PER_ERA: u64 = 146_097;
/// The end of year 9999: RFC 3339 has four digits for a year. What is later is shown as this.
const MICROS_MAX: u64 = 253_402_300_799_999_999;

/// A point in time: microseconds since the Unix epoch. On the wire `2026-01-31T09:30:00.000000Z`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

/// The text is not a point in time that this API writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimestampError;

impl fmt::Display for TimestampError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("is not a time in UTC such as 2026-01-31T09:30:00.000000Z")
    }
}

impl std::error::Error for TimestampError {}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.min(MICROS_MAX);
        let (year, month, day) = date(micros / MICROS_PER_DAY);
        let rest = micros % MICROS_PER_DAY;
        let seconds = rest / 1_000_000;
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:06}Z",
            rest % 1_000_000
        )
    }
}

impl FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Self, TimestampError> {
        let text = text.strip_suffix('Z').ok_or(TimestampError)?;
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let bytes = whole.as_bytes();
        let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
        if bytes.len() != 19 || marks.iter().any(|(at, mark)| bytes[*at] != *mark) {
            return Err(TimestampError);
        }
        let part = |from: usize, to: usize| digits(&bytes[from..to]);
        let (year, month, day) = (part(0, 4)?, part(5, 7)?, part(8, 10)?);
        let (hour, minute, second) = (part(11, 13)?, part(14, 16)?, part(17, 19)?);
        if year < 1970 || !(1..=12).contains(&month) || hour > 23 || minute > 59 || second > 59 {
            return Err(TimestampError);
        }
        let days = days(year, month, day);
        if date(days) != (year, month, day) || fraction.len() > 6 {
            return Err(TimestampError);
        }
        let micros = digits(format!("{fraction:0<6}").as_bytes())?;
        let seconds = hour * 3600 + minute * 60 + second;
        Ok(Self(days * MICROS_PER_DAY + seconds * 1_000_000 + micros))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|error| serde::de::Error::custom(format!("`{text}` {error}")))
    }
}

impl utoipa::PartialSchema for Timestamp {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .format(Some(utoipa::openapi::SchemaFormat::Custom("date-time".to_owned())))
            .description(Some("RFC 3339 in UTC, with microseconds."))
            .into()
    }
}

impl utoipa::ToSchema for Timestamp {}

fn digits(text: &[u8]) -> Result<u64, TimestampError> {
    text.iter().try_fold(0, |sum, byte| match byte {
        b'0'..=b'9' => Ok(sum * 10 + u64::from(byte - b'0')),
        _ => Err(TimestampError),
    })
}

/// Days since the Unix epoch to year, month and day.
fn date(days: u64) -> (u64, u64, u64) {
    let shifted = days + EPOCH_DAYS;
    let era = shifted / DAYS_PER_ERA;
    let day_of_era = shifted % DAYS_PER_ERA;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

/// The inverse of [`date`].
fn days(year: u64, month: u64, day: u64) -> u64 {
    let year = year - u64::from(month <= 2);
    let era = year / 400;
    let year_of_era = year % 400;
    let shifted_month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted_month + 2) / 5 + day.max(1) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * DAYS_PER_ERA + day_of_era - EPOCH_DAYS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_and_read_back() {
        let rows = [
            (0, "1970-01-01T00:00:00.000000Z"),
            (951_782_400_000_001, "2000-02-29T00:00:00.000001Z"),
            (1_769_851_800_123_456, "2026-01-31T09:30:00.123456Z"),
            (MICROS_MAX, "9999-12-31T23:59:59.999999Z"),
        ];
        for (micros, text) in rows {
            assert_eq!(Timestamp(micros).to_string(), text);
            assert_eq!(text.parse(), Ok(Timestamp(micros)));
        }
    }

    #[test]
    fn every_day_of_a_century_survives_the_way_there_and_back() {
        for day in 0..47_000 {
            let (year, month, number) = date(day);
            assert_eq!(days(year, month, number), day, "{year}-{month}-{number}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "2026-01-31",
            "2026-02-30T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-01-00T00:00:00Z",
            "2026-01-31T24:00:00Z",
            "2026-01-31T00:00:00+01:00",
            "2026-01-31T00:00:00.1234567Z",
            "1969-12-31T00:00:00Z",
        ] {
            assert_eq!(text.parse::<Timestamp>(), Err(TimestampError), "{text}");
        }
    }
}
