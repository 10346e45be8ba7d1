//! When a schedule fires: cron patterns in a time zone, by `croner` over `jiff`'s bundled time zones.
//!
//! # When the clock changes
//!
//! - **Spring forward** (wall times that do not exist): a pattern with a fixed hour and minute fires at the
//!   first instant after the gap; a pattern with a wildcard or a step in the hour or minute has no time there
//!   and goes on after it.
//! - **Fall back** (wall times that happen twice): a pattern with a fixed hour and minute fires once, at the
//!   first of the two; a pattern with a wildcard or a step fires in both.
//!
//! So a nightly job runs exactly once each night, and an hourly one once each hour that passes.

use std::cmp::Ordering;

use croner::errors::CronError;
use croner::parser::{CronParser, Seconds, Year};
use croner::{CivilDateTime, Cron, CronDateTime, Resolution, Weekday};
use fairlane_core::time::Time;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp, ZonedDateTime};

/// The next time after `after` at which the pattern fires in the time zone; `None` if it never does, or if
/// the pattern or the time zone is not valid.
pub fn next_fire(cron: &str, time_zone: &str, after: Time) -> Option<Time> {
    let cron = parse_cron(cron).ok()?;
    let zone = parse_time_zone(time_zone)?;
    let micros = i64::try_from(after.0).ok()?;
    let start = Local(Timestamp::from_microsecond(micros).ok()?.to_zoned_datetime(zone));
    let next = cron.find_next_occurrence(&start, false).ok()?;
    u64::try_from(next.0.timestamp().as_microsecond()).ok().map(Time).filter(|time| *time > after)
}

/// Five fields, or six with seconds first.
pub(crate) fn parse_cron(text: &str) -> Result<Cron, CronError> {
    CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build().parse(text)
}

/// A zone of the IANA database, from the copy in this program: what a schedule means does not depend on the
/// machine that it runs on.
pub(crate) fn parse_time_zone(name: &str) -> Option<TimeZone> {
    jiff::tz::TimeZoneDatabase::bundled().get(name).ok()
}

/// Names of all zones, to suggest one.
pub(crate) fn time_zone_names() -> Vec<String> {
    jiff::tz::TimeZoneDatabase::bundled().available().map(|name| name.as_str().to_owned()).collect()
}

/// A time in its zone, as `croner` searches over it. (`croner` has this for an older `jiff`.)
#[derive(Clone)]
struct Local(ZonedDateTime);

impl CronDateTime for Local {
    fn to_civil(&self) -> CivilDateTime {
        let time = self.0.datetime();
        let small = |n: i8| u32::try_from(n).unwrap_or(0);
        CivilDateTime::from_ymd_hms_opt(
            i32::from(time.year()),
            small(time.month()),
            small(time.day()),
            small(time.hour()),
            small(time.minute()),
            small(time.second()),
        )
        .expect("jiff's civil times are in range")
    }

    fn civil_weekday(&self) -> Weekday {
        match self.0.weekday() {
            jiff::civil::Weekday::Monday => Weekday::Monday,
            jiff::civil::Weekday::Tuesday => Weekday::Tuesday,
            jiff::civil::Weekday::Wednesday => Weekday::Wednesday,
            jiff::civil::Weekday::Thursday => Weekday::Thursday,
            jiff::civil::Weekday::Friday => Weekday::Friday,
            jiff::civil::Weekday::Saturday => Weekday::Saturday,
            jiff::civil::Weekday::Sunday => Weekday::Sunday,
        }
    }

    fn resolve_civil(&self, civil: CivilDateTime) -> Result<Resolution<Self>, CronError> {
        let ambiguous = self.0.time_zone().to_ambiguous_zoned_datetime(to_jiff(civil)?);
        let local = |zoned: Result<ZonedDateTime, jiff::Error>| {
            zoned.map(Self).map_err(|_| CronError::InvalidTime)
        };
        Ok(match ambiguous.offset() {
            AmbiguousOffset::Unambiguous { .. } => {
                Resolution::Single(local(ambiguous.unambiguous())?)
            }
            AmbiguousOffset::Fold { .. } => Resolution::Ambiguous(
                local(ambiguous.clone().earlier())?,
                local(ambiguous.later())?,
            ),
            AmbiguousOffset::Gap { .. } => Resolution::Gap,
        })
    }

    fn checked_add_seconds(&self, seconds: i64) -> Option<Self> {
        self.0.checked_add(SignedDuration::from_secs(seconds)).ok().map(Self)
    }

    fn cmp_instant(&self, other: &Self) -> Ordering {
        self.0.timestamp().cmp(&other.0.timestamp())
    }
}

fn to_jiff(civil: CivilDateTime) -> Result<jiff::civil::DateTime, CronError> {
    let small = |n: u32| i8::try_from(n).map_err(|_| CronError::InvalidTime);
    jiff::civil::DateTime::new(
        i16::try_from(civil.year()).map_err(|_| CronError::InvalidDate)?,
        small(civil.month())?,
        small(civil.day())?,
        small(civil.hour())?,
        small(civil.minute())?,
        small(civil.second())?,
        0,
    )
    .map_err(|_| CronError::InvalidDate)
}

#[cfg(test)]
mod tests;
