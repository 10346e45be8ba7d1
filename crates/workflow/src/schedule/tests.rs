//! When schedules fire, above all where the clock changes.

use std::fmt::Write as _;

use expect_test::{Expect, expect};
use fairlane_core::time::Time;

use super::{next_fire, parse_cron, parse_time_zone};

/// The next times at which the pattern fires, in the time zone.
fn check(cron: &str, zone: &str, after: &str, count: usize, expect: &Expect) {
    let start: jiff::Timestamp = after.parse().unwrap();
    let mut time = Time(u64::try_from(start.as_microsecond()).unwrap());
    let mut out = String::new();
    for _ in 0..count {
        let Some(next) = next_fire(cron, zone, time) else {
            out.push_str("never\n");
            break;
        };
        assert!(next > time, "time goes forward");
        time = next;
        let stamp = jiff::Timestamp::from_microsecond(i64::try_from(next.0).unwrap()).unwrap();
        let local = stamp.to_zoned_datetime(parse_time_zone(zone).unwrap());
        writeln!(out, "{} ({stamp})", local.strftime("%a %F %T %z")).unwrap();
    }
    expect.assert_eq(&out);
}

#[test]
fn a_nightly_job_runs_once_in_the_night_in_which_its_time_does_not_exist() {
    check(
        "30 2 * * *",
        "Europe/Berlin",
        "2026-03-27T12:00:00Z",
        3,
        &expect![[r#"
        Sat 2026-03-28 02:30:00 +0100 (2026-03-28T01:30:00Z)
        Sun 2026-03-29 03:00:00 +0200 (2026-03-29T01:00:00Z)
        Mon 2026-03-30 02:30:00 +0200 (2026-03-30T00:30:00Z)
    "#]],
    );
}

#[test]
fn a_nightly_job_runs_once_in_the_night_in_which_its_time_comes_twice() {
    check(
        "30 2 * * *",
        "Europe/Berlin",
        "2026-10-23T12:00:00Z",
        3,
        &expect![[r#"
        Sat 2026-10-24 02:30:00 +0200 (2026-10-24T00:30:00Z)
        Sun 2026-10-25 02:30:00 +0200 (2026-10-25T00:30:00Z)
        Mon 2026-10-26 02:30:00 +0100 (2026-10-26T01:30:00Z)
    "#]],
    );
}

#[test]
fn an_hourly_job_runs_once_each_hour_that_passes() {
    check(
        "0 * * * *",
        "Europe/Berlin",
        "2026-03-29T00:00:00Z",
        3,
        &expect![[r#"
        Sun 2026-03-29 03:00:00 +0200 (2026-03-29T01:00:00Z)
        Sun 2026-03-29 04:00:00 +0200 (2026-03-29T02:00:00Z)
        Sun 2026-03-29 05:00:00 +0200 (2026-03-29T03:00:00Z)
    "#]],
    );
    check(
        "0 * * * *",
        "Europe/Berlin",
        "2026-10-24T23:30:00Z",
        4,
        &expect![[r#"
        Sun 2026-10-25 02:00:00 +0200 (2026-10-25T00:00:00Z)
        Sun 2026-10-25 02:00:00 +0100 (2026-10-25T01:00:00Z)
        Sun 2026-10-25 03:00:00 +0100 (2026-10-25T02:00:00Z)
        Sun 2026-10-25 04:00:00 +0100 (2026-10-25T03:00:00Z)
    "#]],
    );
    check(
        "*/30 2 * * *",
        "Europe/Berlin",
        "2026-10-24T12:00:00Z",
        5,
        &expect![[r#"
        Sun 2026-10-25 02:00:00 +0200 (2026-10-25T00:00:00Z)
        Sun 2026-10-25 02:30:00 +0200 (2026-10-25T00:30:00Z)
        Sun 2026-10-25 02:00:00 +0100 (2026-10-25T01:00:00Z)
        Sun 2026-10-25 02:30:00 +0100 (2026-10-25T01:30:00Z)
        Mon 2026-10-26 02:00:00 +0100 (2026-10-26T01:00:00Z)
    "#]],
    );
}

#[test]
fn half_hour_shifts_and_zones_without_shifts_work_alike() {
    check(
        "15 2 * * *",
        "Australia/Lord_Howe",
        "2026-10-02T12:00:00Z",
        3,
        &expect![[r#"
        Sat 2026-10-03 02:15:00 +1030 (2026-10-02T15:45:00Z)
        Sun 2026-10-04 02:30:00 +1100 (2026-10-03T15:30:00Z)
        Mon 2026-10-05 02:15:00 +1100 (2026-10-04T15:15:00Z)
    "#]],
    );
    check(
        "0 9 * * 1-5",
        "Asia/Tokyo",
        "2026-01-02T00:00:01Z",
        2,
        &expect![[r#"
        Mon 2026-01-05 09:00:00 +0900 (2026-01-05T00:00:00Z)
        Tue 2026-01-06 09:00:00 +0900 (2026-01-06T00:00:00Z)
    "#]],
    );
}

#[test]
fn patterns_have_five_fields_or_six_with_seconds_first() {
    check(
        "*/15 * * * * *",
        "UTC",
        "2026-01-01T00:00:50Z",
        2,
        &expect![[r#"
        Thu 2026-01-01 00:01:00 +0000 (2026-01-01T00:01:00Z)
        Thu 2026-01-01 00:01:15 +0000 (2026-01-01T00:01:15Z)
    "#]],
    );
    check(
        "0 0 29 2 *",
        "UTC",
        "2026-01-01T00:00:00Z",
        2,
        &expect![[r#"
        Tue 2028-02-29 00:00:00 +0000 (2028-02-29T00:00:00Z)
        Sun 2032-02-29 00:00:00 +0000 (2032-02-29T00:00:00Z)
    "#]],
    );
    check(
        "0 0 L * *",
        "UTC",
        "2026-02-01T00:00:00Z",
        2,
        &expect![[r#"
        Sat 2026-02-28 00:00:00 +0000 (2026-02-28T00:00:00Z)
        Tue 2026-03-31 00:00:00 +0000 (2026-03-31T00:00:00Z)
    "#]],
    );
    check(
        "@daily",
        "UTC",
        "2026-02-01T00:00:00Z",
        1,
        &expect![[r#"
        Mon 2026-02-02 00:00:00 +0000 (2026-02-02T00:00:00Z)
    "#]],
    );
    for wrong in [
        "",
        "* * * *",
        "* * * * * * *",
        "61 * * * *",
        "* * * * MOO",
        "a",
        "*/0 * * * *",
        "5-1 * * * *",
    ] {
        assert!(parse_cron(wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn a_pattern_of_days_that_there_are_not_never_fires() {
    check(
        "0 0 30 2 *",
        "UTC",
        "2026-01-01T00:00:00Z",
        1,
        &expect![[r#"
        never
    "#]],
    );
    assert_eq!(next_fire("0 0 * * *", "Europe/Bern", Time(0)), None);
    assert_eq!(next_fire("0 0 * * *", "UTC", Time(u64::MAX)), None);
    assert_eq!(next_fire("0 0 * * *", "UTC", Time::MAX), None);
}

#[test]
fn hostile_patterns_are_answered_without_a_panic() {
    for pattern in [
        "* * * * * *",
        "0 0 1 1 1#6",
        "0 0 31W * *",
        "0 0 LW * *",
        "? ? ? ? ?",
        "0 0 0 0 0",
        "99999999999 * * * *",
        "é * * * *",
        "-1 * * * *",
        "1-99999999999 * * * *",
        "*/99999999999999999999 * * * *",
        "L L L L L",
        "# # # # #",
        "1#9 * * * *",
        "0 0 * * 1#L",
        "@",
        "@never",
    ] {
        let _ = next_fire(pattern, "Europe/Berlin", Time(0));
    }
    let long = format!("{} * * * *", vec!["1"; 10_000].join(","));
    let _ = next_fire(&long, "UTC", Time(0));
}
