//! Words for values: spans, times, names of states.

use std::time::{SystemTime, UNIX_EPOCH};

use fairlane_api::Timestamp;
use fairlane_api::run::Failure;
use fairlane_api::view::Part;
use serde::Serialize;

/// A span of microseconds with at most two units.
pub(crate) fn span_us(micros: u64) -> String {
    match micros {
        0..1_000 => format!("{micros} us"),
        1_000..10_000 => format!("{}.{} ms", micros / 1_000, micros / 100 % 10),
        10_000..1_000_000 => format!("{} ms", micros / 1_000),
        1_000_000..60_000_000 => format!("{}.{} s", micros / 1_000_000, micros / 100_000 % 10),
        60_000_000..3_600_000_000 => {
            format!("{} min {} s", micros / 60_000_000, micros / 1_000_000 % 60)
        }
        _ => format!("{} h {} min", micros / 3_600_000_000, micros / 60_000_000 % 60),
    }
}

/// A span of milliseconds.
pub(crate) fn span_ms(millis: u64) -> String {
    match millis {
        millis if millis < 1_000 || millis % 1_000 != 0 => format!("{millis} ms"),
        millis if millis % 60_000 == 0 => format!("{} min", millis / 60_000),
        millis => format!("{} s", millis / 1_000),
    }
}

/// A point in time to the second.
pub(crate) fn time(at: Timestamp) -> String {
    let text = at.to_string();
    match text.split_once('.') {
        Some((whole, _)) => format!("{whole}Z"),
        None => text,
    }
}

/// This machine's clock.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

/// A state, lane or role as the API writes it.
pub(crate) fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        Ok(other) => other.to_string(),
        Err(_) => "?".to_owned(),
    }
}

/// A step or a part of it.
pub(crate) fn step(name: &str, part: Part) -> String {
    match part {
        Part::Whole => name.to_owned(),
        Part::Compensation => format!("{name} (undo)"),
        Part::Item(at) => format!("{name}[{at}]"),
    }
}

/// Why something failed, in one line.
pub(crate) fn failure(failure: &Failure) -> String {
    let class = match &failure.step {
        Some(step) => format!("{} in {step}", failure.class),
        None => failure.class.clone(),
    };
    if failure.message.is_empty() { class } else { format!("{class}: {}", failure.message) }
}

/// The value, or a dash.
pub(crate) fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_short() {
        let rows = [
            (0, "0 us"),
            (4_560, "4.5 ms"),
            (45_600, "45 ms"),
            (12_340_000, "12.3 s"),
            (250_000_000, "4 min 10 s"),
            (7_260_000_000, "2 h 1 min"),
        ];
        for (micros, text) in rows {
            assert_eq!(span_us(micros), text);
        }
        assert_eq!(span_ms(1_500), "1500 ms");
        assert_eq!(span_ms(30_000), "30 s");
        assert_eq!(span_ms(600_000), "10 min");
    }

    #[test]
    fn times_have_seconds() {
        assert_eq!(time(Timestamp(1_769_851_800_123_456)), "2026-01-31T09:30:00Z");
    }
}
