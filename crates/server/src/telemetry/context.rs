//! The header `traceparent` of W3C Trace Context: what a client says of its trace, and what is said of ours.

use std::fmt;

use axum::http::{HeaderMap, HeaderName};
use fairlane_core::trace::{Anchor, Incoming, SpanId, TraceId};

pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const SAMPLED: u8 = 1;

/// An [`Anchor`] as the header has it. Whatever is said of a trace is said of one that is kept.
pub(crate) struct Traceparent(pub(crate) Anchor);

impl fmt::Display for Traceparent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Anchor { trace, span } = self.0;
        write!(f, "00-{:032x}-{:016x}-{SAMPLED:02x}", trace.0, span.0)
    }
}

/// What the request says. A header that is not well formed, or is there twice, says nothing: that is what the standard asks for.
pub(crate) fn incoming(headers: &HeaderMap) -> Option<Incoming> {
    let mut values = headers.get_all(TRACEPARENT).iter();
    let value = values.next()?;
    if values.next().is_some() {
        return None;
    }
    parse(value.to_str().ok()?)
}

fn parse(text: &str) -> Option<Incoming> {
    let mut parts = text.split('-');
    let mut next = |digits| parts.next().filter(|part| is_hex(part, digits));
    let (version, trace, span, flags) = (next(2)?, next(32)?, next(16)?, next(2)?);
    // A later version may say more than this one knows.
    let has_more = parts.next().is_some();
    if version == "ff" || version == "00" && has_more {
        return None;
    }
    let trace = u128::from_str_radix(trace, 16).ok().filter(|trace| *trace != 0)?;
    let span = u64::from_str_radix(span, 16).ok().filter(|span| *span != 0)?;
    let flags = u8::from_str_radix(flags, 16).ok()?;
    let anchor = Anchor { trace: TraceId(trace), span: SpanId(span) };
    Some(Incoming { anchor, is_sampled: flags & SAMPLED != 0 })
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    #[test]
    fn what_is_written_is_read() {
        let text = format!("00-{TRACE}-{SPAN}-01");
        let read = parse(&text).unwrap();
        assert!(read.is_sampled);
        assert_eq!(Traceparent(read.anchor).to_string(), text);
        assert!(!parse(&format!("00-{TRACE}-{SPAN}-00")).unwrap().is_sampled);
        assert!(parse(&format!("01-{TRACE}-{SPAN}-03-later")).unwrap().is_sampled);
    }

    #[test]
    fn what_is_not_well_formed_says_nothing() {
        let zero = "0".repeat(32);
        for text in [
            String::new(),
            format!("00-{TRACE}-{SPAN}"),
            format!("00-{TRACE}-{SPAN}-01-more"),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("00-{zero}-{SPAN}-01"),
            format!("00-{TRACE}-{}-01", &zero[..16]),
            format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
            format!("00-{TRACE}-{SPAN}-1"),
            format!("00-+{}-{SPAN}-01", &TRACE[1..]),
        ] {
            assert_eq!(parse(&text), None, "{text}");
        }
        let mut headers = HeaderMap::new();
        let value = || format!("00-{TRACE}-{SPAN}-01").parse().unwrap();
        headers.append(TRACEPARENT, value());
        assert!(incoming(&headers).is_some());
        headers.append(TRACEPARENT, value());
        assert_eq!(incoming(&headers), None);
    }
}
