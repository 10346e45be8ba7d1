//! Values on the command line: JSON given in place or in a file, and words of the API.

use std::io::Read;

use anyhow::Context;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use fairlane_api::Json;
use fairlane_api::resource::Policy;
use fairlane_api::run::{Lane, RunStatus};
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
