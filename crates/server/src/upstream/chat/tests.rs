//! Questions to a provider that answers as it is told.

use std::time::Duration;

use fairlane_fake_provider::{self as fake, Provider, Reply};
use serde_json::{Value, json};

use super::events::End;
use super::usage::Usage;
use super::*;
use crate::upstream::Secret;
use crate::upstream::tokens::tokens_of;

fn target(provider: &Provider) -> Target {
    Target {
        url: provider.url("/v1/chat/completions").parse().unwrap(),
        allow_private: true,
        timeout: Duration::from_secs(30),
        idle: Duration::from_secs(10),
        response_bytes_max: 16_000_000,
    }
}

fn question() -> Request {
    Request::new("m", &[Message { role: "user", content: "how many".into() }])
}

async fn completed(reply: Reply) -> Result<Answer, Fault> {
    let provider = Provider::start().await.unwrap();
    provider.always(reply);
    complete(&Upstream::new(), &target(&provider), HeaderMap::new(), &question()).await
}

async fn opened(provider: &Provider) -> Result<Events, Fault> {
    stream(&Upstream::new(), &target(provider), HeaderMap::new(), &question()).await
}

/// All events, the fault if there is one, and the end.
async fn streamed(reply: Reply) -> (Vec<Event>, Option<Fault>, End) {
    let provider = Provider::start().await.unwrap();
    provider.always(reply);
    let mut events = opened(&provider).await.unwrap();
    let (mut seen, mut fault) = (Vec::new(), None);
    while let Some(next) = events.next().await {
        match next {
            Ok(event) => seen.push(event),
            Err(found) => fault = Some(found),
        }
    }
    (seen, fault, events.end())
}

fn with_usage(usage: Value) -> fake::Answer {
    fake::Answer::new("forty two or so").with_usage(fake::Usage::Json(usage))
}

/// A stream of these bytes.
fn raw(body: &str) -> Reply {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n\r\n";
    Reply::Raw([head.as_bytes(), body.as_bytes()].concat())
}

fn own() -> Usage {
    Usage {
        input_tokens: question().input_tokens(),
        cached_tokens: 0,
        output_tokens: tokens_of("forty two or so"),
    }
}

#[tokio::test]
async fn a_question_is_answered_and_its_usage_known() {
    let provider = Provider::start().await.unwrap();
    let usage = json!({
        "prompt_tokens": 50,
        "completion_tokens": 4,
        "prompt_tokens_details": { "cached_tokens": 20 },
    });
    provider.always(Reply::Answer(with_usage(usage)));
    let secret = Secret::from_variables("FAIRLANE_SECRET_A", |_| Some("sk-1".into())).unwrap();
    let headers = HeaderMap::from_iter([(hyper::header::AUTHORIZATION, secret.bearer())]);
    let upstream = Upstream::new();
    let answer = complete(&upstream, &target(&provider), headers, &question()).await.unwrap();
    assert_eq!(answer.text, "forty two or so");
    assert_eq!(answer.finish_reason.as_deref(), Some("stop"));
    let usage = Usage { input_tokens: 50, cached_tokens: 20, output_tokens: 4 };
    assert_eq!(answer.counted, Counted { usage, is_certain: true });
    let received = provider.received().remove(0);
    assert_eq!(received.header("authorization"), Some("Bearer sk-1"));
    assert_eq!(received.header("content-type"), Some("application/json"));
    let messages = json!([{ "role": "user", "content": "how many" }]);
    assert_eq!(received.json(), json!({ "model": "m", "messages": messages }));
}

#[test]
fn what_decides_on_the_price_of_a_clients_request_can_be_read_and_bounded() {
    let json = br#"{"model":"m","messages":[{"role":"user","content":"x"}],"n":3,"stream":true}"#;
    let mut request = Request::parse(json).unwrap();
    assert_eq!((&*request.model(), request.choices(), request.is_streamed()), ("m", 3, true));
    assert_eq!(request.output_tokens_max(), None);
    request.bound_output(100, OutputField::MaxTokens);
    assert_eq!(request.output_tokens_max(), Some(100));
    let crate::upstream::Malformed { pointer, .. } = Request::parse(br#"{"model":1}"#).unwrap_err();
    assert_eq!(pointer, "/model");
}

#[tokio::test]
async fn a_usage_that_is_missing_or_wrong_is_counted_here() {
    let missing = fake::Answer::new("forty two or so").with_usage(fake::Usage::Missing);
    let wrong = json!({ "prompt_tokens": -1, "completion_tokens": 4_000_000_000_u64 });
    for answer in [missing, with_usage(wrong)] {
        let counted = Counted { usage: own(), is_certain: false };
        assert_eq!(completed(Reply::Answer(answer.clone())).await.unwrap().counted, counted);
        assert_eq!(streamed(Reply::Answer(answer)).await.2.counted, counted);
    }
}

#[tokio::test]
async fn an_answer_that_is_none_is_garbage() {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n";
    let fault = completed(Reply::Raw(format!("{head}{{}}").into())).await.unwrap_err();
    assert_eq!(fault.class(), "provider-garbage");
}

#[tokio::test]
async fn a_stream_yields_each_event_and_at_its_end_the_usage() {
    let usage = json!({ "prompt_tokens": 50, "completion_tokens": 4 });
    let (events, fault, end) = streamed(Reply::Answer(with_usage(usage))).await;
    assert!(fault.is_none(), "{fault:?}");
    let contents: String = events
        .iter()
        .filter_map(|event| serde_json::from_slice::<Value>(&event.data).ok())
        .filter_map(|event| Some(event["choices"][0]["delta"]["content"].as_str()?.to_owned()))
        .collect();
    assert_eq!(contents, "forty two or so");
    let [.., usage, done] = events.as_slice() else { panic!("{events:?}") };
    assert!(usage.is_usage && done.is_done());
    assert_eq!(events.iter().filter(|event| event.is_usage || event.is_done()).count(), 2);
    assert_eq!(done.framed(), "data: [DONE]\n\n");
    assert!(end.is_done && end.counted.is_certain);
    assert_eq!((end.counted.usage.input_tokens, end.counted.usage.output_tokens), (50, 4));
    assert_eq!(end.finish_reason.as_deref(), Some("stop"));
}

#[tokio::test]
async fn half_a_stream_is_cut_and_what_came_is_counted() {
    let answer = fake::Answer::new("forty two or so");
    let (events, fault, end) = streamed(Reply::HalfStream { answer, events: 3 }).await;
    assert_eq!((events.len(), fault.unwrap().class()), (3, "provider-cut"));
    assert!(!end.is_done && !end.counted.is_certain);
    assert_eq!(end.counted.usage.output_tokens, tokens_of("forty two "));
    assert_eq!(end.counted.usage.input_tokens, own().input_tokens);
}

#[tokio::test]
async fn a_stream_that_ends_without_its_last_word_is_not_done() {
    let (events, fault, end) = streamed(raw("data: {\"choices\":[]}\n\n")).await;
    assert!(fault.is_none() && events.len() == 1 && !end.is_done);
    let (events, fault, end) = streamed(raw("data: {\"choices\":[]}\n\ndata: {\"cho")).await;
    assert_eq!((events.len(), fault.unwrap().class(), end.is_done), (1, "provider-cut", false));
}

#[tokio::test]
async fn a_usage_that_was_not_the_last_is_uncertain_and_not_below_what_came() {
    let event = |text: &str, tokens: u32| {
        let choices = json!([{ "delta": { "content": text } }]);
        let usage = json!({ "prompt_tokens": 50, "completion_tokens": tokens });
        format!("data: {}\n\n", json!({ "choices": choices, "usage": usage }))
    };
    let body = event("forty", 1) + &event(" two or so", 2);
    let (_, _, end) = streamed(raw(&body)).await;
    assert!(!end.counted.is_certain);
    assert_eq!(end.counted.usage, Usage { input_tokens: 50, ..own() });
    let (_, _, end) = streamed(raw(&(body + "data: [DONE]\n\n"))).await;
    assert!(end.counted.is_certain && end.counted.usage.output_tokens == 2);
}

#[tokio::test]
async fn a_usage_that_something_was_written_after_is_not_the_last() {
    let usage = json!({ "prompt_tokens": 50, "completion_tokens": 1 });
    let last = json!({ "choices": [{ "delta": {}, "finish_reason": "stop" }], "usage": usage });
    let more = json!({ "choices": [{ "delta": { "content": "forty two or so" } }] });
    let (_, _, end) = streamed(raw(&format!("data: {last}\n\n"))).await;
    assert!(end.counted.is_certain && end.counted.usage.output_tokens == 1);
    let (_, _, end) = streamed(raw(&format!("data: {last}\n\ndata: {more}\n\n"))).await;
    assert!(!end.counted.is_certain);
    assert_eq!(end.counted.usage.output_tokens, own().output_tokens);
}

#[tokio::test]
async fn calls_of_tools_are_counted_as_they_are_written() {
    let call = |arguments: &str| {
        let calls = json!([{ "index": 0, "function": { "name": "f", "arguments": arguments } }]);
        format!("data: {}\n\n", json!({ "choices": [{ "delta": { "tool_calls": calls } }] }))
    };
    let (_, _, end) = streamed(raw(&(call("{\"a\"") + &call(":1}")))).await;
    assert_eq!(end.counted.usage.output_tokens, tokens_of("f{\"a\"f:1}"));
}

#[tokio::test]
async fn events_that_are_none_end_a_stream() {
    for (body, class) in [
        ("data: {\"error\":{\"message\":\"overloaded\"}}\n\ndata: [DONE]\n\n", "provider-garbage"),
        ("data: nonsense\n\n", "provider-garbage"),
        ("data: {\"choices\":7}\n\n", "provider-garbage"),
    ] {
        let (events, fault, end) = streamed(raw(body)).await;
        assert_eq!(
            (events.len(), fault.unwrap().class(), end.is_done),
            (0, class, false),
            "{body}"
        );
    }
}

#[tokio::test]
async fn a_line_of_ten_megabytes_is_refused() {
    let (events, fault, _) = streamed(raw(&format!("data: {}\n\n", "x".repeat(10_000_000)))).await;
    let fault = fault.unwrap();
    assert!(
        events.is_empty() && matches!(fault, Fault::TooLarge { limit: 1_048_576, .. }),
        "{fault}"
    );
}

#[tokio::test]
async fn what_is_no_stream_is_garbage() {
    let provider = Provider::start().await.unwrap();
    provider.always(Reply::Raw("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}".into()));
    assert_eq!(opened(&provider).await.unwrap_err().class(), "provider-garbage");
}

#[tokio::test]
async fn a_caller_can_cut_an_answer_off_at_its_own_count() {
    let provider = Provider::start().await.unwrap();
    let answer = fake::Answer::new("forty two or so");
    provider.always(Reply::Stall { answer, events: 4 });
    let mut events = opened(&provider).await.unwrap();
    while events.output_tokens() < 3 {
        events.next().await.unwrap().unwrap();
    }
    let end = events.end();
    assert!(!end.counted.is_certain && end.counted.usage.output_tokens >= 3);
    provider.all_closed().await;
}
