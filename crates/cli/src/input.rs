//! Values on the command line: JSON given in place or in a file, and words of the API.

use std::io::Read;

use anyhow::Context;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use fairlane_api::resource::Policy;
use fairlane_api::run::{Lane, RunStatus};
use fairlane_api::{Json, Timestamp};
use serde::de::DeserializeOwned;

use crate::exit::Usage;

/// Largest file or standard input that is read as a value.
const BYTES_MAX: u64 = 64 << 20;

/// JSON in place, `@FILE`, or `-` for standard input.
pub(crate) fn json(option: &str, text: &str) -> anyhow::Result<Json> {
    let (text, from) = match text {
        "-" => {
            let mut read = String::new();
            let stdin = std::io::stdin().lock();
            stdin
                .take(BYTES_MAX)
                .read_to_string(&mut read)
                .context("cannot read standard input")?;
            (read, "standard input".to_owned())
        }
        text => match text.strip_prefix('@') {
            Some(file) => {
                let read = std::fs::read_to_string(file);
                (read.with_context(|| format!("cannot read {file}"))?, file.to_owned())
            }
            None => (text.to_owned(), option.to_owned()),
        },
    };
    serde_json::from_str(text.trim())
        .map_err(|error| Usage(format!("{from} is not JSON: {error}")).into())
}

/// A day or a time.
pub(crate) fn moment(text: &str) -> Result<Timestamp, String> {
    let day = format!("{text}T00:00:00Z");
    text.parse().or_else(|_| day.parse()).map_err(|_| {
        "expected a day such as 2026-12-01, or a time in UTC such as 2026-12-01T09:30:00Z"
            .to_owned()
    })
}

pub(crate) fn lane() -> impl TypedValueParser<Value = Lane> {
    words(&["urgent", "normal", "background"])
}

pub(crate) fn status() -> impl TypedValueParser<Value = RunStatus> {
    words(&["running", "paused", "stopping", "compensating", "completed", "failed", "cancelled"])
}

pub(crate) fn policy() -> impl TypedValueParser<Value = Policy> {
    words(&["fair", "fifo", "round_robin", "weighted"])
}

/// Values that are written as the API writes them.
fn words<T>(words: &'static [&'static str]) -> impl TypedValueParser<Value = T>
where
    T: DeserializeOwned + Clone + Send + Sync + 'static,
{
    PossibleValuesParser::new(words)
        .try_map(|word| serde_json::from_value::<T>(serde_json::Value::String(word)))
}

#[cfg(test)]
mod tests {
    use super::moment;

    #[test]
    fn a_moment_is_a_day_or_a_time() {
        let day = moment("2026-12-01").unwrap();
        assert_eq!(Ok(day), moment("2026-12-01T00:00:00Z"));
        assert!(moment("2026-13-01").is_err());
        assert!(moment("tomorrow").is_err());
    }
}
