//! Embeddings on the OpenAI wire: texts in, vectors out, which are passed on unread.

use hyper::body::Bytes;
use hyper::header::HeaderMap;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::chat::{Counted, sent};
use super::fields::{Fields, Malformed, malformed};
use super::tokens::{REQUEST_TOKENS, tokens_of};
use super::{Fault, Target, Upstream};

/// What is asked for.
#[derive(Debug, Clone)]
pub(crate) struct Request(Fields);

/// The vectors, as they came.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) counted: Counted,
    pub(crate) raw: Bytes,
}

#[derive(Deserialize)]
struct Vectors {
    #[serde(rename = "data")]
    _data: Vec<IgnoredAny>,
    usage: Option<Value>,
}

/// Asks for vectors. The headers are those that authenticate.
pub(crate) async fn embed(
    upstream: &Upstream,
    target: &Target,
    headers: HeaderMap,
    request: &Request,
) -> Result<Answer, Fault> {
    let raw = upstream.call(target, sent(headers, "application/json", request.0.body())).await?;
    let raw = raw.into_body();
    let Vectors { usage, .. } = serde_json::from_slice(&raw).map_err(|_| Fault::Garbage {
        host: super::host(&target.url),
        what: "it is no list of embeddings",
    })?;
    Ok(Answer { counted: Counted::of_input(usage.as_ref(), request.input_tokens()), raw })
}

impl Request {
    /// A request as a client sends it. What is read here has its type; the rest is the provider's to check.
    pub(crate) fn parse(json: &[u8]) -> Result<Self, Malformed> {
        let fields = Fields::parse(json)?;
        fields.field::<String>("model", "the name of a model")?;
        match fields.field("input", "a text or a list")? {
            Value::String(_) => {}
            Value::Array(texts) if !texts.is_empty() => {}
            _ => return Err(malformed("/input", &"a text, or a list of at least one")),
        }
        Ok(Self(fields))
    }

    pub(crate) fn model(&self) -> String {
        self.0.get("model").unwrap_or_default()
    }

    pub(crate) fn set_model(&mut self, model: &str) {
        self.0.set("model", &model);
    }

    /// The own count of what a provider will read: texts, or tokens that the client has made of them.
    pub(crate) fn input_tokens(&self) -> u32 {
        let input: Value = self.0.get("input").unwrap_or_default();
        REQUEST_TOKENS.saturating_add(tokens_in(&input))
    }
}

fn tokens_in(input: &Value) -> u32 {
    match input {
        Value::String(text) => tokens_of(text),
        Value::Array(many) => many.iter().map(tokens_in).fold(0, u32::saturating_add),
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(body: &Value) -> Result<Request, String> {
        Request::parse(body.to_string().as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn texts_and_tokens_are_counted() {
        let count = |input| parse(&json!({ "model": "m", "input": input })).unwrap().input_tokens();
        assert_eq!(count(json!("abcd")), REQUEST_TOKENS + 2);
        assert_eq!(count(json!(["abcd", "abcd"])), REQUEST_TOKENS + 4);
        assert_eq!(count(json!([[1, 2, 3], [4]])), REQUEST_TOKENS + 4);
    }

    #[test]
    fn what_is_no_request_is_said() {
        for (body, expected) in [
            (json!({ "input": "a" }), "/model: the name of a model"),
            (json!({ "model": "m" }), "/input: a text, or a list of at least one"),
            (json!({ "model": "m", "input": [] }), "/input: a text, or a list of at least one"),
            (json!({ "model": "m", "input": 7 }), "/input: a text, or a list of at least one"),
        ] {
            assert_eq!(parse(&body).unwrap_err(), expected);
        }
    }
}
