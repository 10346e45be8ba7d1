//! Lengths of time and decimal amounts as the format writes them: `30s`, `1h30m`, `250ms`, `5d`; `0.02`.

use fairlane_core::time::Span;

/// Longest span that a definition may name: ten years of 366 days. Deadlines computed from it stay far
/// inside the range of the clock.
pub const SPAN_MAX: Span = Span::from_secs(3_660 * 24 * 3_600);

/// How a message names a valid duration.
pub const EXAMPLE: &str = "a duration such as 30s, 1h30m, 250ms or 5d";

/// Microseconds of each unit, the longest first. `ms` stands before `m` so that it is recognised.
const UNITS: [(&str, u64); 6] = [
    ("d", 86_400_000_000),
    ("h", 3_600_000_000),
    ("ms", 1_000),
    ("us", 1),
    ("m", 60_000_000),
    ("s", 1_000_000),
];

/// Whole numbers with units, the longest unit first, each at most once.
pub fn parse(text: &str) -> Option<Span> {
    let mut rest = text;
    let (mut total, mut longest) = (0_u64, u64::MAX);
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let count: u64 = rest[..digits].parse().ok()?;
        let (name, micros) = *UNITS.iter().find(|(name, _)| rest[digits..].starts_with(name))?;
        if micros >= longest {
            return None;
        }
        longest = micros;
        total = total.checked_add(count.checked_mul(micros)?)?;
        rest = &rest[digits + name.len()..];
    }
    (longest != u64::MAX && total <= SPAN_MAX.0).then_some(Span(total))
}

/// As it is written: the longest units first.
pub fn show(span: Span) -> String {
    let mut rest = span.0;
    let mut text = String::new();
    for unit in ["d", "h", "m", "s", "ms", "us"] {
        let (_, micros) = UNITS.into_iter().find(|(name, _)| *name == unit).unwrap_or((unit, 1));
        if rest >= micros {
            text.push_str(&format!("{}{unit}", rest / micros));
            rest %= micros;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// `1s..30s`, or one span for both ends.
pub fn parse_range(text: &str) -> Option<(Span, Span)> {
    match text.split_once("..") {
        Some((from, to)) => Some((parse(from)?, parse(to)?)),
        None => parse(text).map(|span| (span, span)),
    }
}

/// A decimal number times ten to the `places`, exactly; `None` if it is negative, has more places, or is too
/// large.
pub(crate) fn scaled(text: &str, places: usize) -> Option<u64> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if !whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let shift =
        i64::try_from(places).ok()? - i64::try_from(fraction.len()).ok()? + i64::from(exponent);
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() {
        return Some(0);
    }
    let dropped = usize::try_from(-shift).unwrap_or(0);
    let kept = digits.len().checked_sub(dropped)?;
    if digits[kept..].bytes().any(|byte| byte != b'0') {
        return None;
    }
    let value: u64 = if kept == 0 { 0 } else { digits[..kept].parse().ok()? };
    value.checked_mul(10_u64.checked_pow(u32::try_from(shift.max(0)).ok()?)?)
}

#[cfg(test)]
mod tests {
    use super::{parse, parse_range, scaled, show};

    #[test]
    fn spans_are_whole_numbers_with_units_the_longest_first() {
        let micros = |text| parse(text).map(|span| span.0);
        assert_eq!(micros("30s"), Some(30_000_000));
        assert_eq!(micros("1h30m"), Some(5_400_000_000));
        assert_eq!(micros("250ms"), Some(250_000));
        assert_eq!(micros("5d"), Some(432_000_000_000));
        assert_eq!(micros("1m1ms"), Some(60_001_000));
        for wrong in ["", "30", "s", "1.5s", "-1s", "1m1h", "1s1s", "1s ", "1 s", "99999d", "+1s"] {
            assert_eq!(micros(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_span_is_shown_as_it_is_read() {
        for text in ["0s", "1s", "1h30m", "250ms", "366d", "1d2h3m4s5ms6us", "1m1ms"] {
            assert_eq!(show(parse(text).unwrap()), text);
        }
        assert_eq!(show(parse("90m").unwrap()), "1h30m");
    }

    #[test]
    fn a_range_is_two_spans_or_one_for_both_ends() {
        assert_eq!(parse_range("1s..30s"), Some((parse("1s").unwrap(), parse("30s").unwrap())));
        assert_eq!(parse_range("2s"), Some((parse("2s").unwrap(), parse("2s").unwrap())));
        assert_eq!(parse_range("1s.."), None);
    }

    #[test]
    fn decimals_are_exact_or_refused() {
        assert_eq!(scaled("0.02", 9), Some(20_000_000));
        assert_eq!(scaled("1e-9", 9), Some(1));
        assert_eq!(scaled("12", 9), Some(12_000_000_000));
        assert_eq!(scaled("0.0000000001", 9), None);
        assert_eq!(scaled("0.0000000010", 9), Some(1));
        assert_eq!(scaled("18446744073.709551615", 9), Some(u64::MAX));
        assert_eq!(scaled("18446744073.709551616", 9), None);
        assert_eq!(scaled("1e30", 9), None);
        assert_eq!(scaled("0e-400", 9), Some(0));
        assert_eq!(scaled("1e-400", 9), None);
        assert_eq!(scaled("-1", 9), None);
    }
}
