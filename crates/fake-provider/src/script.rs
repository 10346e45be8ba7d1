//! What a provider is told to do with a request.

use std::time::Duration;

use serde_json::Value;

/// How one request is answered.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Reply {
    /// As a provider in good health does.
    Answer(Answer),
    /// With a status and a body of JSON, and `Retry-After` if given.
    Status { status: u16, retry_after: Option<String>, body: String },
    /// With a status of the 300s that leads there.
    Redirect { status: u16, to: String },
    /// With bytes that are no HTTP.
    Garbage,
    /// With these bytes, after which the connection is closed.
    Raw(Vec<u8>),
    /// As [`Reply::Answer`] to a stream, of which so many events are sent before the connection is closed.
    HalfStream { answer: Answer, events: usize },
    /// As [`Reply::Answer`] to a stream, of which so many events are sent, and then nothing more.
    Stall { answer: Answer, events: usize },
    /// With headers of so many bytes.
    BigHeaders { bytes: usize },
    /// With a body of so many bytes, of which the head says nothing.
    BigBody { bytes: usize },
    /// With nothing; the connection stays open.
    Silence,
    /// By closing the connection.
    Close,
    /// As said, but that much later. Tests let time stand still; this is for benchmarks.
    After(Duration, Box<Reply>),
}

/// What a model says.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub text: String,
    pub finish_reason: String,
    pub usage: Usage,
    /// In place of the text, calls of functions as the wire has them.
    pub tool_calls: Option<Value>,
}

/// What a provider says about the tokens that an answer took.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Usage {
    /// One token for each word, if asked for in a stream.
    Words,
    /// This, right or wrong, if asked for in a stream.
    Json(Value),
    Missing,
}

impl Reply {
    pub fn answer(text: &str) -> Self {
        Self::Answer(Answer::new(text))
    }

    /// 429 with this `Retry-After`.
    pub fn throttled(retry_after: &str) -> Self {
        let body = r#"{"error":{"message":"slow down","type":"rate_limit_error"}}"#.into();
        Self::Status { status: 429, retry_after: Some(retry_after.into()), body }
    }

    /// A status with a short body.
    pub fn status(status: u16) -> Self {
        let body = r#"{"error":{"message":"no"}}"#.into();
        Self::Status { status, retry_after: None, body }
    }
}

impl Answer {
    pub fn new(text: &str) -> Self {
        Self {
            text: text.into(),
            finish_reason: "stop".into(),
            usage: Usage::Words,
            tool_calls: None,
        }
    }

    #[must_use]
    pub fn with_usage(self, usage: Usage) -> Self {
        Self { usage, ..self }
    }
}
