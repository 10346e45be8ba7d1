//! A whole answer.

use hyper::body::Bytes;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::usage::{Counted, Usage};
use crate::upstream::tokens::Count;

/// What a model said. Of several choices it is the first; all of them are counted.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Empty if it called tools instead.
    pub(crate) text: String,
    /// Why it ended, in the provider's word: `stop`, `length`, `tool_calls`, `content_filter`.
    pub(crate) finish_reason: Option<Box<str>>,
    pub(crate) counted: Counted,
    /// The body as it came.
    pub(crate) raw: Bytes,
}

#[derive(Deserialize)]
struct Completion {
    choices: Vec<Choice>,
    usage: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    message: Message,
    finish_reason: Option<Box<str>>,
}

#[derive(Deserialize)]
struct Message {
    content: Option<Content>,
    refusal: Option<String>,
    #[serde(alias = "reasoning")]
    reasoning_content: Option<String>,
    tool_calls: Option<Box<RawValue>>,
}

/// Some providers send parts, as in a request.
#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Deserialize)]
struct Part {
    text: Option<String>,
}

impl Answer {
    /// `input_tokens`: the own count, for the case that the provider does not say.
    pub(super) fn read(raw: Bytes, input_tokens: u32) -> Result<Self, &'static str> {
        let Completion { choices, usage } =
            serde_json::from_slice(&raw).map_err(|_| "it is no chat completion")?;
        let mut count = Count::default();
        for choice in &choices {
            choice.message.count(&mut count);
        }
        let own = Usage { input_tokens, cached_tokens: 0, output_tokens: count.tokens() };
        let counted = Counted::of(usage.as_ref(), own);
        let first = choices.into_iter().next().ok_or("it has no choice")?;
        Ok(Self {
            text: first.message.content.map(Content::into_text).unwrap_or_default(),
            finish_reason: first.finish_reason,
            counted,
            raw,
        })
    }
}

impl Message {
    fn count(&self, count: &mut Count) {
        match &self.content {
            Some(Content::Text(text)) => count.add(text),
            Some(Content::Parts(parts)) => {
                parts
                    .iter()
                    .filter_map(|part| part.text.as_deref())
                    .for_each(|text| count.add(text));
            }
            None => {}
        }
        for text in [&self.refusal, &self.reasoning_content].into_iter().flatten() {
            count.add(text);
        }
        if let Some(calls) = &self.tool_calls {
            count.add(calls.get());
        }
    }
}

impl Content {
    fn into_text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Parts(parts) => parts.into_iter().filter_map(|part| part.text).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(body: &Value) -> Result<Answer, &'static str> {
        Answer::read(body.to_string().into(), 70)
    }

    #[test]
    fn calls_of_tools_stay_as_they_came() {
        let raw = r#"{"choices":[{"message":{"content":null,"tool_calls":[{"id":"1", "n":1.0}]},
            "finish_reason":"tool_calls"}]}"#;
        let answer = Answer::read(raw.into(), 70).unwrap();
        assert_eq!((&*answer.text, answer.finish_reason.as_deref()), ("", Some("tool_calls")));
        assert!(answer.counted.usage.output_tokens > 5 && !answer.counted.is_certain);
        assert_eq!(answer.raw, raw);
    }

    #[test]
    fn parts_are_one_text() {
        let content = json!([{ "type": "text", "text": "a" }, { "type": "x" }, { "text": "b" }]);
        let answer = read(&json!({ "choices": [{ "message": { "content": content } }] })).unwrap();
        assert_eq!(answer.text, "ab");
    }

    #[test]
    fn what_is_no_completion_is_said() {
        let said = |body| read(&body).map(|answer| answer.text).unwrap_err();
        assert_eq!(said(json!({ "error": { "message": "x" } })), "it is no chat completion");
        assert_eq!(said(json!({ "choices": [] })), "it has no choice");
        assert_eq!(
            said(json!({ "choices": [{ "message": { "content": 5 } }] })),
            "it is no chat completion"
        );
    }
}
