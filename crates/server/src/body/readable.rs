//! What every reader of JSON can read, of what is handed on as its text.
//!
//! Payloads are kept as they came and stand beside those of other tenants in one answer. Raw values are skipped without
//! recursion and without a look at what numbers and escapes mean, so that one which a strict reader cannot read would keep
//! it from reading the others.

use fairlane_api::Code;

use crate::problem::Refused;

/// Deepest nesting of arrays and objects. Expressions and schema checks recurse over payloads; this is far above what people
/// write and far below what a stack holds.
pub(crate) const JSON_DEPTH_MAX: usize = 64;

/// Digits of the largest float of 64 bits, less one: a number without an exponent and with no more than these is below it.
const DIGITS_SURE: usize = 308;

/// Looks at text that is JSON, or is parsed later: what is none may pass. Time grows with its length.
pub(crate) fn check(json: &[u8]) -> Result<(), Refused> {
    let mut depth = 0usize;
    let mut at = 0;
    while let Some(byte) = json.get(at) {
        match byte {
            b'"' => {
                at = text(json, at + 1)?;
                continue;
            }
            b'0'..=b'9' => {
                at = number(json, at)?;
                continue;
            }
            b'{' | b'[' => {
                depth += 1;
                if depth > JSON_DEPTH_MAX {
                    return Err(Refused::new(Code::TooDeep)
                        .detail("arrays and objects are nested too deeply")
                        .expected(format!("at most {JSON_DEPTH_MAX} levels")));
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    Ok(())
}

/// Where the text that begins there has ended.
fn text(json: &[u8], mut at: usize) -> Result<usize, Refused> {
    while let Some(byte) = json.get(at) {
        match byte {
            b'"' => return Ok(at + 1),
            b'\\' if json.get(at + 1) == Some(&b'u') => {
                let is_pair = match unit(json, at) {
                    Some(0xD800..0xDC00) => {
                        matches!(unit(json, at + 6), Some(0xDC00..0xE000))
                    }
                    Some(0xDC00..0xE000) => return Err(half()),
                    _ => {
                        at += 2;
                        continue;
                    }
                };
                if !is_pair {
                    return Err(half());
                }
                at += 12;
            }
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    Ok(at)
}

/// The value of an escape `\uXXXX` that begins there.
fn unit(json: &[u8], at: usize) -> Option<u16> {
    let digits = json.get(at..at + 6)?.strip_prefix(b"\\u")?;
    let is_hex = digits.iter().all(u8::is_ascii_hexdigit);
    is_hex
        .then(|| std::str::from_utf8(digits).ok())
        .flatten()
        .and_then(|digits| u16::from_str_radix(digits, 16).ok())
}

/// Where the number that begins there has ended.
fn number(json: &[u8], from: usize) -> Result<usize, Refused> {
    let is_part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-');
    let length = json[from..].iter().take_while(|byte| is_part(byte)).count();
    let number = &json[from..from + length];
    if length > DIGITS_SURE || number.iter().any(|byte| matches!(byte, b'e' | b'E')) {
        let value = std::str::from_utf8(number).ok().and_then(|text| text.parse::<f64>().ok());
        if value.is_some_and(f64::is_infinite) {
            return Err(Refused::new(Code::MalformedJson)
                .detail("a number is too large")
                .expected(format!("numbers of at most {:e}", f64::MAX)));
        }
    }
    Ok(from + length)
}

fn half() -> Refused {
    Refused::new(Code::MalformedJson)
        .detail("an escape is half of a character")
        .expected("both surrogates of a pair, the high one first")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(json: &str) -> Option<String> {
        check(json.as_bytes()).err().map(|refused| refused.0.code)
    }

    #[test]
    fn depth_counts_brackets_outside_of_texts_only() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert_eq!(code(&nested(JSON_DEPTH_MAX)), None);
        assert_eq!(code(&nested(JSON_DEPTH_MAX + 1)).as_deref(), Some("too-deep"));
        assert_eq!(code(&format!("[\"{}\\\"[\"]", "[".repeat(100))), None);
    }

    #[test]
    fn numbers_beyond_64_bits_and_half_characters_are_no_json() {
        let digits = |count: usize| "9".repeat(count);
        let long = format!("0.{}", digits(1_000));
        for good in [
            "1e308",
            "-1.5E+300",
            "1e-999999",
            "[1,2]",
            "0",
            &digits(308),
            &long,
            "\"1e999\"",
            "\"\\\\ud800\"",
            r#""\ud83d\ude00""#,
            r#""\u00e9\n\"\u0022""#,
            r#"{"1e9999": "\uD83D\uDE00x"}"#,
        ] {
            assert_eq!(code(good), None, "{good}");
            assert!(serde_json::from_str::<serde_json::Value>(good).is_ok(), "{good}");
        }
        for bad in [
            "1e309",
            "[-1E+400]",
            "{\"n\": 1e99999999999}",
            &digits(310),
            r#""\ud800""#,
            r#""\udc00\ud800""#,
            r#""\ud800\u0041""#,
            r#""\ud800x""#,
            r#"{"\uDBFF": 1}"#,
            r#""\ud800\""#,
        ] {
            assert_eq!(code(bad).as_deref(), Some("malformed-json"), "{bad}");
            assert!(serde_json::from_str::<serde_json::Value>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_cut_off_anywhere_is_looked_at_without_harm() {
        let json = r#"{"a\ud83d\ude00": [1.5e10, "\\", "\u0041"], "b": -12e+4}"#.as_bytes();
        for end in 0..json.len() {
            let _ = check(&json[..end]);
        }
    }
}
