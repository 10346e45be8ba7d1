//! Each reply as its bytes on the wire.

use super::*;
use crate::Provider;

async fn ask(provider: &Provider, path: &str, body: &Value) -> String {
    let mut stream = TcpStream::connect(provider.address()).await.unwrap();
    let body = body.to_string();
    let head = format!("POST {path} HTTP/1.1\r\nhost: h\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all(&[head.as_bytes(), body.as_bytes()].concat()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut text = Vec::new();
    stream.read_to_end(&mut text).await.unwrap();
    String::from_utf8_lossy(&text).into_owned()
}

fn question() -> Value {
    json!({ "model": "m", "messages": [{ "role": "user", "content": "a b" }] })
}

#[tokio::test]
async fn an_answer_has_the_text_and_a_token_for_each_word() {
    let provider = Provider::start().await.unwrap();
    provider.always(Reply::answer("forty two"));
    let text = ask(&provider, "/v1/chat/completions", &question()).await;
    let body: Value = serde_json::from_str(text.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    assert_eq!(body["choices"][0]["message"]["content"], "forty two");
    assert_eq!(body["usage"]["completion_tokens"], 2);
}

#[tokio::test]
async fn a_stream_tells_its_usage_only_if_asked() {
    let provider = Provider::start().await.unwrap();
    let mut asked = question();
    asked["stream"] = true.into();
    let without = ask(&provider, "/v1/chat/completions", &asked).await;
    assert!(without.contains("data: [DONE]") && !without.contains("usage"), "{without}");
    asked["stream_options"] = json!({ "include_usage": true });
    let with = ask(&provider, "/v1/chat/completions", &asked).await;
    assert!(with.contains("\"usage\":{") && with.contains("\"completion_tokens\":1"), "{with}");
}

#[tokio::test]
async fn what_was_said_for_the_next_request_holds_once() {
    let provider = Provider::start().await.unwrap();
    provider.next(Reply::throttled("7"));
    let first = ask(&provider, "/v1/chat/completions", &question()).await;
    let second = ask(&provider, "/v1/chat/completions", &question()).await;
    assert!(first.starts_with("HTTP/1.1 429 ") && first.contains("retry-after: 7"), "{first}");
    assert!(second.starts_with("HTTP/1.1 200 "), "{second}");
    assert_eq!(provider.received()[1].json(), question());
    provider.all_closed().await;
}

#[tokio::test]
async fn half_a_stream_has_no_end() {
    let provider = Provider::start().await.unwrap();
    provider.next(Reply::HalfStream { answer: Answer::new("a b c"), events: 2 });
    let text = ask(&provider, "/v1/chat/completions", &question()).await;
    assert!(text.contains("\"content\":\"a \"") && !text.contains("[DONE]"), "{text}");
}

#[tokio::test]
async fn embeddings_and_models_have_their_shapes() {
    let provider = Provider::start().await.unwrap();
    let asked = json!({ "model": "e", "input": ["a", "b"] });
    let vectors = ask(&provider, "/v1/embeddings", &asked).await;
    assert!(vectors.contains("\"index\":1") && vectors.contains("\"usage\""), "{vectors}");
    assert!(ask(&provider, "/v1/models", &json!({})).await.contains("fake-large"));
}
