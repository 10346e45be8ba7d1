//! What happened, as a hash that tells two simulations apart and, if wanted, as lines to read.

use std::collections::VecDeque;
use std::fmt::{self, Write};

use fairlane_core::id::mix;
use fairlane_core::time::Time;

/// Lines that are kept: the last ones before a failure tell its story.
const LINES_MAX: usize = 4_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Times and kinds of events only.
    Hash,
    /// Everything that is committed and released goes into the hash.
    FullHash,
    /// Like `FullHash`, and the lines are kept.
    Lines,
}

#[derive(Debug)]
pub struct Trace {
    detail: Detail,
    hash: u64,
    lines: VecDeque<String>,
}

impl Trace {
    pub const fn new(detail: Detail) -> Self {
        Self { detail, hash: 0, lines: VecDeque::new() }
    }

    /// Notes that something happened. The text is made only if somebody wants it.
    pub fn note(&mut self, now: Time, kind: &str, text: fmt::Arguments<'_>) {
        self.hash = mix(self.hash ^ now.0);
        self.hash = mix(self.hash ^ kind.bytes().fold(0, |sum, byte| sum * 31 + u64::from(byte)));
        match self.detail {
            Detail::Hash => {}
            Detail::FullHash => {
                let hashed = Hashed(self.hash).with(text);
                self.hash = hashed;
            }
            Detail::Lines => {
                self.hash = Hashed(self.hash).with(text);
                self.lines.push_back(format!("{now} {kind} {text}"));
                let excess = self.lines.len().saturating_sub(LINES_MAX);
                self.lines.drain(..excess);
            }
        }
    }

    pub const fn hash(&self) -> u64 {
        self.hash
    }

    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }
}

struct Hashed(u64);

impl Hashed {
    fn with(mut self, text: fmt::Arguments<'_>) -> u64 {
        self.write_fmt(text).expect("hashing never fails");
        self.0
    }
}

impl Write for Hashed {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.0 = self.0.rotate_left(5).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ u64::from(byte);
        }
        Ok(())
    }
}
