//! Server-sent events, cut out of bytes as they come: the data of each, in the order of the stream.
//!
//! It follows the HTML standard's "event stream interpretation" as far as there are data: lines end with LF, CR or
//! CRLF, lines of data are joined, comments and other fields are passed over.

use std::collections::VecDeque;

use hyper::body::Bytes;

/// Longest line, and most data of one event. A model's event has less than a KiB; one with the arguments of a tool in
/// one piece may have some hundred.
pub(super) const EVENT_BYTES_MAX: usize = 1024 * 1024;

/// A line or an event is larger than [`EVENT_BYTES_MAX`].
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLarge;

#[derive(Debug, Default)]
pub(super) struct Decoder {
    /// A line without its end.
    line: Vec<u8>,
    /// The data of an event without its end; none if it has no line of data yet.
    data: Option<Vec<u8>>,
    ready: VecDeque<Bytes>,
    /// The last byte was CR, so that LF belongs to it.
    is_after_cr: bool,
    is_begun: bool,
}

impl Decoder {
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), TooLarge> {
        let mut rest = bytes;
        if self.is_after_cr && !rest.is_empty() {
            self.is_after_cr = false;
            rest = rest.strip_prefix(b"\n").unwrap_or(rest);
        }
        while let Some(end) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            self.extend(&rest[..end])?;
            let is_cr = rest[end] == b'\r';
            rest = &rest[end + 1..];
            if is_cr {
                self.is_after_cr = rest.is_empty();
                rest = rest.strip_prefix(b"\n").unwrap_or(rest);
            }
            self.end_line()?;
        }
        self.extend(rest)
    }

    /// The data of the next event.
    pub(super) fn next(&mut self) -> Option<Bytes> {
        self.ready.pop_front()
    }

    /// After the last byte: an event whose empty line was left out counts, since some providers end so. False if
    /// the stream ended within a line.
    pub(super) fn finish(&mut self) -> bool {
        self.end_event();
        self.line.is_empty()
    }

    fn extend(&mut self, bytes: &[u8]) -> Result<(), TooLarge> {
        if self.line.len() + bytes.len() > EVENT_BYTES_MAX {
            return Err(TooLarge);
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn end_line(&mut self) -> Result<(), TooLarge> {
        let line = std::mem::take(&mut self.line);
        let mut line = line.as_slice();
        if !self.is_begun {
            self.is_begun = true;
            line = line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line);
        }
        if line.is_empty() {
            self.end_event();
            return Ok(());
        }
        let (name, value) = match line.iter().position(|byte| *byte == b':') {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &[][..]),
        };
        if name != b"data" {
            return Ok(());
        }
        let value = value.strip_prefix(b" ").unwrap_or(value);
        let data = match &mut self.data {
            Some(data) => {
                data.push(b'\n');
                data
            }
            none => none.insert(Vec::new()),
        };
        if data.len() + value.len() > EVENT_BYTES_MAX {
            return Err(TooLarge);
        }
        data.extend_from_slice(value);
        Ok(())
    }

    fn end_event(&mut self) {
        self.ready.extend(self.data.take().map(Bytes::from));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The events of a stream that comes in pieces, and whether it ended with a line.
    fn read(pieces: &[&[u8]]) -> (Vec<String>, bool) {
        let mut decoder = Decoder::default();
        for piece in pieces {
            decoder.push(piece).unwrap();
        }
        let is_whole = decoder.finish();
        let events = std::iter::from_fn(|| decoder.next());
        (events.map(|event| String::from_utf8(event.to_vec()).unwrap()).collect(), is_whole)
    }

    fn events(text: &str) -> Vec<String> {
        read(&[text.as_bytes()]).0
    }

    #[test]
    fn lines_may_end_in_each_of_the_three_ways() {
        for end in ["\n", "\r", "\r\n"] {
            let text = format!("data: a{end}{end}data:b{end}data:  c{end}{end}");
            assert_eq!(events(&text), ["a", "b\n c"], "{end:?}");
        }
    }

    #[test]
    fn it_does_not_matter_where_the_bytes_are_cut() {
        let text =
            "\u{feff}data: 1é\r\n\r\n: note\r\nevent: x\rdata: 2\r\rdata: [DONE]\n\n".as_bytes();
        let whole = read(&[text]);
        assert_eq!(whole.0, ["1é", "2", "[DONE]"]);
        for cut in 0..=text.len() {
            assert_eq!(read(&[&text[..cut], &text[cut..]]), whole, "{cut}");
        }
        let single: Vec<_> = text.chunks(1).collect();
        assert_eq!(read(&single), whole);
    }

    #[test]
    fn comments_and_events_without_data_are_passed_over() {
        assert_eq!(events(": ping\n\n\n\nevent: x\n\nid\n\ndata\n\n"), [""]);
    }

    #[test]
    fn an_event_counts_without_its_empty_line_and_half_a_line_does_not() {
        assert_eq!(read(&[b"data: [DONE]\n"]), (vec!["[DONE]".to_owned()], true));
        assert_eq!(read(&[b"data: {\"a\""]), (vec![], false));
    }

    #[test]
    fn lines_and_events_beyond_the_bound_are_refused() {
        let mut decoder = Decoder::default();
        let piece = vec![b'x'; 64 * 1024];
        let refused = (0..99).find(|_| decoder.push(&piece).is_err());
        assert_eq!(refused, Some(16));
        let mut decoder = Decoder::default();
        let line = [b"data: ".as_slice(), &piece, b"\n"].concat();
        let refused = (0..99).find(|_| decoder.push(&line).is_err());
        assert_eq!(refused, Some(15));
    }
}
