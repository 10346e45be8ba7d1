//! An input that fails: made small, written to a file, and shown.

use std::fmt;
use std::path::PathBuf;

use crate::INPUT;
use crate::search::{Check, outcome};

/// Tries to make an input smaller. Slow checks take some milliseconds each.
const TRIES_MAX: usize = 4_000;

#[derive(Debug)]
pub(crate) struct Find {
    name: &'static str,
    seed: u64,
    pub(crate) input: Vec<u8>,
    message: String,
    /// Where the input is, if it could be written.
    path: Option<PathBuf>,
}

impl Find {
    pub(crate) fn new(
        (name, seed): (&'static str, u64),
        check: &Check<'_>,
        input: &[u8],
        message: String,
    ) -> Self {
        let (input, message) = quietly(|| smaller(check, input, message));
        let process = std::process::id();
        let path = std::env::temp_dir().join(format!("fairlane-found-{name}-{process}"));
        let path = std::fs::write(&path, &input).is_ok().then_some(path);
        Self { name, seed, input, message, path }
    }
}

impl fmt::Display for Find {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, seed, input, message, path } = self;
        writeln!(f, "{name}: {message}\n")?;
        writeln!(f, "The input, {} bytes (seed {seed}):\n", input.len())?;
        writeln!(f, "b\"{}\"\n", input.escape_ascii())?;
        match path {
            Some(path) => {
                write!(f, "To try it again: {INPUT}={} and this test alone", path.display())
            }
            None => Ok(()),
        }
    }
}

/// Takes away all that the failure does not need: halves, quarters, down to single bytes.
fn smaller(check: &Check<'_>, input: &[u8], message: String) -> (Vec<u8>, String) {
    let kind = kind(&message).to_owned();
    let (mut best, mut said) = (input.to_vec(), message);
    let mut piece = best.len().div_ceil(2);
    let (mut at, mut tries) = (0, 0);
    while piece > 0 && tries < TRIES_MAX {
        if at >= best.len() {
            (at, piece) = (0, if piece == 1 { 0 } else { piece.div_ceil(2) });
            continue;
        }
        let mut without = best.clone();
        without.drain(at..best.len().min(at + piece));
        tries += 1;
        match outcome(check, &without) {
            Err(message) if self::kind(&message) == kind => (best, said) = (without, message),
            _ => at += piece,
        }
    }
    (best, said)
}

/// What the failures of one kind have in common: the message up to the first value in it.
fn kind(message: &str) -> &str {
    message.split(|c: char| c.is_ascii_digit() || "\"`':".contains(c)).next().unwrap_or(message)
}

/// Without what each panic prints. The hook belongs to the whole process; what else fails meanwhile is reported without
/// its message, beside a find that is to be mended first.
fn quietly<T>(work: impl FnOnce() -> T) -> T {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let result = work();
    std::panic::set_hook(hook);
    result
}
