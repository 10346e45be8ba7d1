//! What is asked of a model.
//!
//! Fields that decide what is paid are read; the rest goes to the provider untouched.

use hyper::body::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::upstream::fields::{Fields, Malformed, malformed};
use crate::upstream::tokens::{MEDIA_TOKENS, MESSAGE_TOKENS, REQUEST_TOKENS, tokens_of};

#[derive(Debug, Clone)]
pub(crate) struct Request(Fields);

/// A message as this server writes one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Message {
    pub(crate) role: &'static str,
    pub(crate) content: String,
}

/// How a provider calls the bound of an answer. The second is the newer name; some servers know the first only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OutputField {
    MaxTokens,
    MaxCompletionTokens,
}

impl Request {
    pub(crate) fn new(model: &str, messages: &[Message]) -> Self {
        let mut fields = Fields::default();
        fields.set("model", &model);
        fields.set("messages", &messages);
        Self(fields)
    }

    /// A request as a client sends it. What is read here has its type; the rest is the provider's to check.
    pub(crate) fn parse(json: &[u8]) -> Result<Self, Malformed> {
        let request = Fields::parse(json)?;
        request.field::<String>("model", "the name of a model")?;
        let messages = request.field::<Vec<Value>>("messages", "a list of messages")?;
        if messages.is_empty() {
            return Err(malformed("/messages", &"at least one message"));
        }
        if let Some(at) = messages.iter().position(|message| !message.is_object()) {
            return Err(malformed(&format!("/messages/{at}"), &"an object"));
        }
        for name in ["max_tokens", "max_completion_tokens", "n"] {
            request.field::<Option<u32>>(name, "a whole number, not below zero")?;
        }
        request.field::<Option<bool>>("stream", "true or false")?;
        request.field::<Option<StreamOptions>>("stream_options", "an object")?;
        Ok(Self(request))
    }

    pub(crate) fn model(&self) -> String {
        self.0.get("model").unwrap_or_default()
    }

    pub(crate) fn set_model(&mut self, model: &str) {
        self.0.set("model", &model);
    }

    pub(crate) fn is_streamed(&self) -> bool {
        self.0.get::<bool>("stream").unwrap_or(false)
    }

    /// Whether its client wants to see the usage of a stream.
    pub(crate) fn is_usage_asked(&self) -> bool {
        let options = self.0.get::<StreamOptions>("stream_options");
        options.and_then(|options| options.include_usage).unwrap_or(false)
    }

    /// How many answers are asked for; each may be as long as the bound.
    pub(crate) fn choices(&self) -> u32 {
        self.0.get("n").unwrap_or(1)
    }

    /// The bound of an answer, if there is one.
    pub(crate) fn output_tokens_max(&self) -> Option<u32> {
        let bounds = ["max_tokens", "max_completion_tokens"].map(|name| self.0.get::<u32>(name));
        bounds.into_iter().flatten().min()
    }

    /// Lowers each bound to this one, and sets it if there is none.
    pub(crate) fn bound_output(&mut self, tokens_max: u32, unless_set: OutputField) {
        let had = self.output_tokens_max();
        for field in [OutputField::MaxTokens, OutputField::MaxCompletionTokens] {
            let bound = self.0.get::<u32>(field.name());
            if bound.is_some_and(|bound| bound > tokens_max)
                || (had.is_none() && field == unless_set)
            {
                self.0.set(field.name(), &tokens_max);
            }
        }
    }

    /// Asks for an answer that is JSON by this schema: strictly, if it is one that providers take strictly.
    pub(crate) fn set_schema(&mut self, name: &str, schema: &RawValue) {
        let is_strict = serde_json::from_str(schema.get()).is_ok_and(|schema| is_strict(&schema));
        let schema = json!({ "name": name, "strict": is_strict, "schema": schema });
        self.0.set("response_format", &json!({ "type": "json_schema", "json_schema": schema }));
    }

    /// The own count of what a provider will read.
    pub(crate) fn input_tokens(&self) -> u32 {
        let messages: Vec<Value> = self.0.get("messages").unwrap_or_default();
        let mut tokens = REQUEST_TOKENS;
        for message in &messages {
            tokens = tokens.saturating_add(MESSAGE_TOKENS).saturating_add(read_tokens(message));
        }
        for name in ["tools", "functions", "response_format"] {
            let text = self.0.raw(name).map_or("", RawValue::get);
            tokens = tokens.saturating_add(tokens_of(text));
        }
        tokens
    }

    /// The request for a whole answer.
    pub(crate) fn whole_body(&self) -> Bytes {
        self.0.but(&["stream", "stream_options"]).body()
    }

    /// The request for a stream that ends with its usage. Other options of the stream are kept.
    pub(crate) fn streamed_body(&self) -> Bytes {
        let mut streamed = self.0.clone();
        let mut options: serde_json::Map<String, Value> =
            self.0.get("stream_options").unwrap_or_default();
        options.insert("include_usage".into(), true.into());
        streamed.set("stream", &true);
        streamed.set("stream_options", &options);
        streamed.body()
    }
}

impl OutputField {
    fn name(self) -> &'static str {
        match self {
            Self::MaxTokens => "max_tokens",
            Self::MaxCompletionTokens => "max_completion_tokens",
        }
    }
}

#[derive(Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
}

/// All texts of a message, whatever their place in it. What stands for an image, a sound or a file has no text.
fn read_tokens(value: &Value) -> u32 {
    match value {
        Value::String(text) => tokens_of(text),
        Value::Array(many) => many.iter().map(read_tokens).fold(0, u32::saturating_add),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| match name.as_str() {
                "image_url" | "input_audio" | "file" => MEDIA_TOKENS,
                "type" => 0,
                _ => read_tokens(value),
            })
            .fold(0, u32::saturating_add),
        Value::Null | Value::Bool(_) | Value::Number(_) => 1,
    }
}

/// Whether every object that the schema describes is closed and has all of its properties: providers refuse a request
/// for strict output by another one.
fn is_strict(schema: &Value) -> bool {
    match schema {
        Value::Object(fields) => {
            let names = fields.get("properties").and_then(Value::as_object);
            let is_object = names.is_some() || fields.get("type").is_some_and(is_object_type);
            let required: Vec<&str> = fields
                .get("required")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect();
            let is_closed = fields.get("additionalProperties") == Some(&Value::Bool(false));
            let has_all =
                names.into_iter().flatten().all(|(name, _)| required.contains(&name.as_str()));
            (!is_object || (is_closed && has_all)) && fields.values().all(is_strict)
        }
        Value::Array(items) => items.iter().all(is_strict),
        _ => true,
    }
}

fn is_object_type(kind: &Value) -> bool {
    match kind {
        Value::Array(kinds) => kinds.iter().any(is_object_type),
        kind => kind == "object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<Request, String> {
        Request::parse(json.as_bytes()).map_err(|error| error.to_string())
    }

    fn text(bytes: &Bytes) -> &str {
        std::str::from_utf8(bytes).unwrap()
    }

    #[test]
    fn what_is_not_known_goes_on_as_it_came() {
        let json = concat!(
            r#"{"model":"m","x":{"b": 1.50,"a":[1e3]},"#,
            r#""messages":[{"role":"user","content":"é"}],"seed":9007199254740993}"#
        );
        let mut request = parse(json).unwrap();
        assert_eq!(text(&request.whole_body()), json);
        request.set_model("n");
        assert_eq!(text(&request.whole_body()), json.replace(r#""m""#, r#""n""#));
    }

    #[test]
    fn an_answer_is_asked_for_strictly_by_a_schema_that_allows_it() {
        let strict = |schema: &str| {
            let mut request = parse(r#"{"model":"m","messages":[{}]}"#).unwrap();
            request.set_schema("ask", serde_json::from_str(schema).unwrap());
            let body: Value = serde_json::from_slice(&request.whole_body()).unwrap();
            body["response_format"]["json_schema"]["strict"] == true
        };
        let closed = |inner: &str| {
            format!(
                r#"{{"type":"object","properties":{{"a":{inner}}},"required":["a"],"additionalProperties":false}}"#
            )
        };
        assert!(strict(&closed(r#"{"type":"string"}"#)));
        assert!(strict(&closed(&closed(r#"{"type":"array","items":{"type":"number"}}"#))));
        assert!(!strict(r#"{"type":"object","required":["a"],"properties":{"a":{}}}"#), "open");
        assert!(!strict(&closed("{}").replace(r#"["a"]"#, "[]")), "not required");
        assert!(!strict(&closed(r#"{"type":["object","null"]}"#)), "open within");
    }

    #[test]
    fn a_field_that_stands_there_twice_is_refused() {
        let refused =
            parse(r#"{"model":"m","messages":[{}],"max_tokens":1,"max_tokens":9}"#).unwrap_err();
        assert!(refused.contains("`max_tokens` is there twice"), "{refused}");
    }

    #[test]
    fn what_is_read_has_its_type() {
        let of = |rest: &str| {
            parse(&format!(r#"{{"model":"m","messages":[{{}}],{rest}}}"#)).unwrap_err()
        };
        for rest in [r#""max_tokens":-1"#, r#""max_tokens":1.5"#, r#""n":"2""#] {
            assert!(of(rest).ends_with("a whole number, not below zero"), "{rest}");
        }
        assert_eq!(of(r#""stream":1"#), "/stream: true or false");
        assert_eq!(of(r#""stream_options":{"include_usage":1}"#), "/stream_options: an object");
        assert_eq!(parse(r#"{"messages":[{}]}"#).unwrap_err(), "/model: the name of a model");
        assert_eq!(
            parse(r#"{"model":"m","messages":[]}"#).unwrap_err(),
            "/messages: at least one message"
        );
        assert_eq!(
            parse(r#"{"model":"m","messages":["x"]}"#).unwrap_err(),
            "/messages/0: an object"
        );
        assert!(parse("[]").is_err() && parse("{").is_err());
    }

    #[test]
    fn a_bound_is_lowered_and_never_raised() {
        let bounded = |rest: &str| {
            let mut request =
                parse(&format!(r#"{{"model":"m","messages":[{{}}]{rest}}}"#)).unwrap();
            request.bound_output(100, OutputField::MaxCompletionTokens);
            let body = text(&request.whole_body()).to_owned();
            assert!(request.output_tokens_max().unwrap() <= 100, "{body}");
            body.split_once("[{}]").unwrap().1.to_owned()
        };
        assert_eq!(bounded(""), r#","max_completion_tokens":100}"#);
        assert_eq!(
            bounded(r#","max_tokens":null"#),
            r#","max_tokens":null,"max_completion_tokens":100}"#
        );
        assert_eq!(bounded(r#","max_tokens":50"#), r#","max_tokens":50}"#);
        assert_eq!(bounded(r#","max_tokens":500"#), r#","max_tokens":100}"#);
        assert_eq!(
            bounded(r#","max_tokens":500,"max_completion_tokens":60"#),
            r#","max_tokens":100,"max_completion_tokens":60}"#
        );
    }

    #[test]
    fn a_stream_is_asked_for_its_usage_and_a_whole_answer_for_no_stream() {
        let json = r#"{"model":"m","messages":[{}],"stream_options":{"x":1},"stream":false}"#;
        let request = parse(json).unwrap();
        assert!(!request.is_streamed() && !request.is_usage_asked());
        assert_eq!(
            text(&request.streamed_body()),
            concat!(
                r#"{"model":"m","messages":[{}],"#,
                r#""stream_options":{"x":1,"include_usage":true},"stream":true}"#
            )
        );
        assert_eq!(text(&request.whole_body()), r#"{"model":"m","messages":[{}]}"#);
    }

    #[test]
    fn the_schema_of_an_answer_is_part_of_the_request() {
        let mut request = Request::new("m", &[Message { role: "user", content: "hi".into() }]);
        let before = request.input_tokens();
        request
            .set_schema("answer", &RawValue::from_string(r#"{"type": "object"}"#.into()).unwrap());
        let body: Value = serde_json::from_slice(&request.whole_body()).unwrap();
        assert_eq!(body["response_format"]["json_schema"]["schema"], json!({ "type": "object" }));
        assert_eq!(body["messages"], json!([{ "role": "user", "content": "hi" }]));
        assert!(request.input_tokens() > before);
    }

    #[test]
    fn an_image_counts_by_itself_and_not_by_its_bytes() {
        let image = format!("data:image/png;base64,{}", "A".repeat(1_000_000));
        let parts = json!([
            { "type": "text", "text": "what is this" },
            { "type": "image_url", "image_url": { "url": image } },
        ]);
        let body = json!({ "model": "m", "messages": [{ "role": "user", "content": parts }] });
        let tokens = parse(&body.to_string()).unwrap().input_tokens();
        assert!((MEDIA_TOKENS..MEDIA_TOKENS + 60).contains(&tokens), "{tokens}");
    }
}
