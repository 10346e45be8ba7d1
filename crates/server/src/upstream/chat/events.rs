//! An answer as it is written.

use std::sync::Arc;

use hyper::body::Bytes;
use serde::Deserialize;
use serde_json::Value;

use super::usage::{Counted, Usage};
use crate::upstream::sse::{Decoder, EVENT_BYTES_MAX};
use crate::upstream::tokens::Count;
use crate::upstream::{Fault, Stream};

/// The events of a stream. Dropped before its end it closes the connection, which tells the provider to stop.
#[derive(Debug)]
pub(crate) struct Events {
    host: Arc<str>,
    /// None after the end or a fault.
    stream: Option<Stream>,
    decoder: Decoder,
    input_tokens: u32,
    /// What the deltas said so far.
    count: Count,
    /// The newest, and whether nothing was written after it.
    usage: Option<(Value, bool)>,
    finish_reason: Option<Box<str>>,
    is_done: bool,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    /// The JSON as it came, or `[DONE]`.
    pub(crate) data: Bytes,
    /// It says the usage and nothing else: a caller that did not ask for it must not see it.
    pub(crate) is_usage: bool,
}

/// What is known when a stream has ended, in whatever way.
#[derive(Debug)]
pub(crate) struct End {
    /// Certain only if the usage is that of the whole answer.
    pub(crate) counted: Counted,
    pub(crate) finish_reason: Option<Box<str>>,
    /// Whether the provider said that this is all.
    pub(crate) is_done: bool,
}

#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Vec<Choice>,
    usage: Option<Value>,
    error: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    delta: Delta,
    finish_reason: Option<Box<str>>,
}

#[derive(Default, Deserialize)]
struct Delta {
    content: Option<String>,
    refusal: Option<String>,
    #[serde(alias = "reasoning")]
    reasoning_content: Option<String>,
    tool_calls: Option<Vec<ToolCall>>,
}

#[derive(Deserialize)]
struct ToolCall {
    function: Option<Function>,
}

#[derive(Deserialize)]
struct Function {
    name: Option<String>,
    arguments: Option<String>,
}

impl Events {
    pub(super) fn new(host: Arc<str>, stream: Stream, input_tokens: u32) -> Self {
        Self {
            host,
            stream: Some(stream),
            decoder: Decoder::default(),
            input_tokens,
            count: Count::default(),
            usage: None,
            finish_reason: None,
            is_done: false,
        }
    }

    /// The next event; none at the end, and after a fault.
    pub(crate) async fn next(&mut self) -> Option<Result<Event, Fault>> {
        let next = self.read().await.transpose();
        if !matches!(next, Some(Ok(_))) {
            self.stream = None;
            self.decoder = Decoder::default();
        }
        next
    }

    /// The own count of what was written so far, by which a caller can cut an answer off.
    pub(crate) fn output_tokens(&self) -> u32 {
        self.count.tokens()
    }

    /// Ends the stream, wherever it is.
    pub(crate) fn end(self) -> End {
        let own = Usage {
            input_tokens: self.input_tokens,
            cached_tokens: 0,
            output_tokens: self.count.tokens(),
        };
        let mut counted = Counted::of(self.usage.as_ref().map(|(said, _)| said), own);
        let is_last = self.usage.is_some_and(|(_, is_last)| is_last);
        if !is_last && !self.is_done {
            // Some providers say with each event what it took so far.
            counted.is_certain = false;
            let output = &mut counted.usage.output_tokens;
            *output = (*output).max(own.output_tokens);
        }
        End { counted, finish_reason: self.finish_reason, is_done: self.is_done }
    }

    async fn read(&mut self) -> Result<Option<Event>, Fault> {
        loop {
            if let Some(data) = self.decoder.next() {
                return self.event(data).map(Some);
            }
            let Some(stream) = &mut self.stream else { return Ok(None) };
            if let Some(bytes) = stream.next().await {
                let too_large =
                    |_| Fault::TooLarge { host: Arc::clone(&self.host), limit: EVENT_BYTES_MAX };
                self.decoder.push(&bytes?).map_err(too_large)?;
            } else {
                self.stream = None;
                if !self.decoder.finish() {
                    return Err(Fault::Cut { host: Arc::clone(&self.host) });
                }
            }
        }
    }

    fn event(&mut self, data: Bytes) -> Result<Event, Fault> {
        if data.trim_ascii() == b"[DONE]" {
            self.is_done = true;
            return Ok(Event { data, is_usage: false });
        }
        let garbage = |what| Fault::Garbage { host: Arc::clone(&self.host), what };
        let chunk: Chunk = serde_json::from_slice(&data)
            .map_err(|_| garbage("an event is no part of a chat completion"))?;
        if chunk.error.is_some() {
            return Err(garbage("an error stands in place of an event"));
        }
        for choice in &chunk.choices {
            choice.delta.count(&mut self.count);
            if let Some(reason) = &choice.finish_reason {
                self.finish_reason = Some(reason.clone());
            }
        }
        let is_alone = chunk.choices.is_empty();
        let said = chunk.usage.filter(|usage| !usage.is_null());
        let is_usage = is_alone && said.is_some();
        if let Some(said) = said {
            self.usage = Some((said, is_alone || self.finish_reason.is_some()));
        } else if let Some((_, is_last)) = &mut self.usage {
            *is_last &= is_alone;
        }
        Ok(Event { data, is_usage })
    }
}

impl Event {
    pub(crate) fn is_done(&self) -> bool {
        self.data.trim_ascii() == b"[DONE]"
    }

    /// As it is sent on to a client.
    pub(crate) fn framed(&self) -> Bytes {
        let mut framed = Vec::with_capacity(self.data.len() + 8);
        for line in self.data.split(|byte| *byte == b'\n') {
            framed.extend_from_slice(b"data: ");
            framed.extend_from_slice(line);
            framed.push(b'\n');
        }
        framed.push(b'\n');
        framed.into()
    }
}

impl Delta {
    fn count(&self, count: &mut Count) {
        let calls = self.tool_calls.iter().flatten().filter_map(|call| call.function.as_ref());
        let calls = calls.flat_map(|function| [&function.name, &function.arguments]);
        let texts =
            [&self.content, &self.refusal, &self.reasoning_content].into_iter().chain(calls);
        texts.flatten().for_each(|text| count.add(text));
    }
}
