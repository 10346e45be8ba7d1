//! Windows of the calendar in a time zone: the minute, hour, day or month that a moment is in.
//!
//! Time zones come from the database that `jiff` carries in the binary, never from the machine, so that a window is
//! the same wherever it is computed. A day with a change of summer time has 23 or 25 hours, and the hour that a change
//! repeats is two windows.

use std::fmt;

use jiff::tz::{self, TimeZoneDatabase};
use jiff::{Timestamp, ZonedDateTime};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::time::Time;

/// A unit of the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Calendar {
    Minute,
    Hour,
    Day,
    Month,
}

impl Calendar {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Month => "month",
        }
    }
}

/// A time zone that exists, by its IANA name.
#[derive(Clone, PartialEq, Eq)]
pub struct TimeZone(tz::TimeZone);

/// No time zone has that name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is no time zone; expected an IANA name such as `Europe/Berlin` or `UTC`")]
pub struct UnknownTimeZone;

impl TimeZone {
    pub const UTC: Self = Self(tz::TimeZone::UTC);

    pub fn parse(name: &str) -> Result<Self, UnknownTimeZone> {
        TimeZoneDatabase::bundled().get(name).map(Self).map_err(|_| UnknownTimeZone)
    }

    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }
}

impl Default for TimeZone {
    fn default() -> Self {
        Self::UTC
    }
}

impl fmt::Debug for TimeZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name().fmt(f)
    }
}

impl Serialize for TimeZone {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for TimeZone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Self::parse(&name).map_err(|unknown| serde::de::Error::custom(format!("{name} {unknown}")))
    }
}

/// From `start`, up to and without `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Window {
    pub start: Time,
    pub end: Time,
}

impl Window {
    /// The window that `now` is in. O(log n) in the changes of the zone's offset.
    pub fn at(now: Time, every: Calendar, zone: &TimeZone) -> Self {
        Self::find(now, every, zone).unwrap_or(Self { start: Time(0), end: Time::MAX })
    }

    fn find(now: Time, every: Calendar, zone: &TimeZone) -> Option<Self> {
        let moment = Timestamp::from_microsecond(i64::try_from(now.0).ok()?).ok()?;
        let day = || moment.to_zoned_datetime(zone.0.clone());
        let (start, end) = match every {
            Calendar::Minute => return Self::of_clock(moment, 60, zone),
            Calendar::Hour => return Self::of_clock(moment, 3_600, zone),
            Calendar::Day => (day(), day().tomorrow().ok()?),
            Calendar::Month => {
                (day().first_of_month().ok()?, day().last_of_month().ok()?.tomorrow().ok()?)
            }
        };
        let midnight = |at: ZonedDateTime| time(at.start_of_day().ok()?.timestamp());
        Some(Self { start: midnight(start)?, end: midnight(end)? })
    }

    /// So many seconds of the local clock. Where the clock is changed a window ends and another one begins.
    fn of_clock(moment: Timestamp, length: i64, zone: &TimeZone) -> Option<Self> {
        let offset = i64::from(zone.0.to_offset(moment).seconds());
        let local = moment.as_second() + offset;
        let start = Timestamp::from_second(local - local.rem_euclid(length) - offset).ok()?;
        let end = Timestamp::from_second(start.as_second() + length).ok()?;
        let after = zone.0.following(moment).next().map(|change| change.timestamp());
        let just_after = Timestamp::from_microsecond(moment.as_microsecond() + 1).ok()?;
        let before = zone.0.preceding(just_after).next().map(|change| change.timestamp());
        Some(Self {
            start: time(before.map_or(start, |before| before.max(start)))?,
            end: time(after.map_or(end, |after| after.min(end)))?,
        })
    }

    pub const fn has(&self, at: Time) -> bool {
        self.start.0 <= at.0 && at.0 < self.end.0
    }
}

fn time(at: Timestamp) -> Option<Time> {
    u64::try_from(at.as_microsecond().max(0)).ok().map(Time)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Time {
        time(text.parse().unwrap()).unwrap()
    }

    fn window(now: &str, every: Calendar, zone: &str) -> (String, String) {
        let window = Window::at(at(now), every, &TimeZone::parse(zone).unwrap());
        assert!(window.has(at(now)));
        let show = |time: Time| {
            let micros = i64::try_from(time.0).unwrap();
            Timestamp::from_microsecond(micros).unwrap().to_string()
        };
        (show(window.start), show(window.end))
    }

    fn pair(start: &str, end: &str) -> (String, String) {
        (start.into(), end.into())
    }

    #[test]
    fn a_day_with_a_change_of_summer_time_has_23_or_25_hours() {
        assert_eq!(
            window("2026-03-29T12:00:00Z", Calendar::Day, "Europe/Berlin"),
            pair("2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z")
        );
        assert_eq!(
            window("2026-10-25T12:00:00Z", Calendar::Day, "Europe/Berlin"),
            pair("2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z")
        );
    }

    #[test]
    fn an_hour_that_comes_twice_is_two_windows() {
        assert_eq!(
            window("2026-10-25T00:30:00Z", Calendar::Hour, "Europe/Berlin"),
            pair("2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z")
        );
        assert_eq!(
            window("2026-10-25T01:00:00Z", Calendar::Hour, "Europe/Berlin"),
            pair("2026-10-25T01:00:00Z", "2026-10-25T02:00:00Z")
        );
    }

    #[test]
    fn hours_are_those_of_the_local_clock_where_it_differs_by_half_an_hour() {
        assert_eq!(
            window("2026-06-01T12:10:00Z", Calendar::Hour, "Asia/Kolkata"),
            pair("2026-06-01T11:30:00Z", "2026-06-01T12:30:00Z")
        );
        // The clock goes back by half an hour from 02:00.
        assert_eq!(
            window("2026-04-04T15:10:00Z", Calendar::Hour, "Australia/Lord_Howe"),
            pair("2026-04-04T15:00:00Z", "2026-04-04T15:30:00Z")
        );
    }

    #[test]
    fn months_and_minutes_end_where_the_next_one_begins() {
        assert_eq!(
            window("2028-02-29T23:59:59Z", Calendar::Month, "America/New_York"),
            pair("2028-02-01T05:00:00Z", "2028-03-01T05:00:00Z")
        );
        assert_eq!(
            window("2026-06-01T12:10:59Z", Calendar::Minute, "UTC"),
            pair("2026-06-01T12:10:00Z", "2026-06-01T12:11:00Z")
        );
    }

    #[test]
    fn a_zone_that_does_not_exist_is_refused() {
        assert_eq!(TimeZone::parse("Europe/Atlantis"), Err(UnknownTimeZone));
        assert_eq!(TimeZone::parse("Europe/Berlin").unwrap().name(), "Europe/Berlin");
    }
}
