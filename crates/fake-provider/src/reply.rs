//! The bytes of an answer, right or wrong as the script says.

use std::io;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::http::Received;
use crate::script::{Answer, Reply, Usage};

/// What becomes of the connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Then {
    KeepAlive,
    Close,
}

pub(crate) async fn send(
    stream: &mut TcpStream,
    received: &Received,
    mut reply: Reply,
) -> io::Result<Then> {
    while let Reply::After(delay, later) = reply {
        tokio::time::sleep(delay).await;
        reply = *later;
    }
    match reply {
        Reply::Answer(answer) => answered(stream, received, &answer).await,
        Reply::Status { status, retry_after, body } => {
            let retry = retry_after.map(|text| format!("retry-after: {text}\r\n"));
            whole(stream, status, &retry.unwrap_or_default(), &body).await
        }
        Reply::Redirect { status, to } => {
            whole(stream, status, &format!("location: {to}\r\n"), "").await
        }
        Reply::Garbage => close_after(stream, b"\x00\x01 this is no HTTP \xff\r\n\r\n").await,
        Reply::Raw(bytes) => close_after(stream, &bytes).await,
        Reply::HalfStream { answer, events } => {
            some_events(stream, received, &answer, events).await?;
            Ok(Then::Close)
        }
        Reply::Stall { answer, events } => {
            some_events(stream, received, &answer, events).await?;
            until_closed(stream).await
        }
        Reply::BigHeaders { bytes } => {
            let line = format!("x-filler: {}\r\n", "f".repeat(bytes));
            whole(stream, 200, &line, "{}").await
        }
        Reply::BigBody { bytes } => big_body(stream, bytes).await,
        Reply::Silence => until_closed(stream).await,
        Reply::Close | Reply::After(..) => Ok(Then::Close),
    }
}

async fn answered(
    stream: &mut TcpStream,
    received: &Received,
    answer: &Answer,
) -> io::Result<Then> {
    let asked = received.json();
    let path = received.path.split('?').next().unwrap_or_default();
    let body = match path {
        "/v1/chat/completions" if asked["stream"] == true => {
            let events = events(&asked, answer);
            some_events(stream, received, answer, events.len()).await?;
            stream.write_all(b"0\r\n\r\n").await?;
            return Ok(Then::KeepAlive);
        }
        "/v1/chat/completions" => completion(&asked, answer),
        "/v1/embeddings" => embeddings(&asked, answer),
        "/v1/models" => json!({
            "object": "list",
            "data": [
                { "id": "fake-large", "object": "model" },
                { "id": "fake-small", "object": "model" },
            ],
        }),
        _ => return whole(stream, 200, "", &answer.text).await,
    };
    whole(stream, 200, "", &body.to_string()).await
}

fn completion(asked: &Value, answer: &Answer) -> Value {
    let mut body = json!({
        "id": "chatcmpl-fake",
        "object": "chat.completion",
        "model": asked["model"],
        "choices": [{
            "index": 0,
            "message": { "role": "assistant", "content": answer.text },
            "finish_reason": answer.finish_reason,
        }],
    });
    if let Some(calls) = &answer.tool_calls {
        body["choices"][0]["message"]["content"] = Value::Null;
        body["choices"][0]["message"]["tool_calls"] = calls.clone();
    }
    if let Some(usage) = usage(asked, answer) {
        body["usage"] = usage;
    }
    body
}

/// A vector for each input, of four numbers that depend on nothing but its length.
fn embeddings(asked: &Value, answer: &Answer) -> Value {
    let inputs = match &asked["input"] {
        Value::Array(many) => many.iter().map(Value::to_string).collect(),
        one => vec![one.to_string()],
    };
    let vector = |text: &String| [1, 2, 3, 4].map(|n| text.len() % (n + 1));
    let data: Vec<_> = inputs
        .iter()
        .enumerate()
        .map(|(index, text)| json!({ "index": index, "embedding": vector(text) }))
        .collect();
    let mut body = json!({ "object": "list", "model": asked["model"], "data": data });
    if let Some(usage) = usage(asked, answer) {
        body["usage"] = usage;
    }
    body
}

/// The events of a streamed answer, each a JSON text but the last: one for each word, one with the reason why it
/// ended, and one with the usage if it was asked for.
fn events(asked: &Value, answer: &Answer) -> Vec<String> {
    let chunk = |choices: Value| {
        json!({
            "id": "chatcmpl-fake",
            "object": "chat.completion.chunk",
            "model": asked["model"],
            "choices": choices,
        })
    };
    let delta =
        |delta: Value| chunk(json!([{ "index": 0, "delta": delta, "finish_reason": null }]));
    let mut events = vec![delta(json!({ "role": "assistant", "content": "" }))];
    match &answer.tool_calls {
        Some(calls) => events.push(delta(json!({ "tool_calls": calls }))),
        None => events
            .extend(answer.text.split_inclusive(' ').map(|word| delta(json!({ "content": word })))),
    }
    events.push(chunk(json!([{ "index": 0, "delta": {}, "finish_reason": answer.finish_reason }])));
    if asked["stream_options"]["include_usage"] == true
        && let Some(usage) = usage(asked, answer)
    {
        let mut last = chunk(json!([]));
        last["usage"] = usage;
        events.push(last);
    }
    events.iter().map(Value::to_string).chain(["[DONE]".to_owned()]).collect()
}

fn usage(asked: &Value, answer: &Answer) -> Option<Value> {
    let words = |text: &str| text.split_whitespace().count();
    match &answer.usage {
        Usage::Missing => None,
        Usage::Json(value) => Some(value.clone()),
        Usage::Words => {
            let (asked, said) = (words(&asked["messages"].to_string()), words(&answer.text));
            Some(json!({
                "prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said,
            }))
        }
    }
}

/// The head of a stream, and as many of its events, each in a chunk of its own.
async fn some_events(
    stream: &mut TcpStream,
    received: &Received,
    answer: &Answer,
    count: usize,
) -> io::Result<()> {
    let head =
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    let mut bytes = head.as_bytes().to_vec();
    for event in events(&received.json(), answer).iter().take(count) {
        let event = format!("data: {event}\n\n");
        bytes.extend_from_slice(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes());
    }
    stream.write_all(&bytes).await
}

async fn whole(stream: &mut TcpStream, status: u16, headers: &str, body: &str) -> io::Result<Then> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status} Fake\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n{headers}\r\n"
    );
    stream.write_all(&[head.as_bytes(), body.as_bytes()].concat()).await?;
    Ok(Then::KeepAlive)
}

async fn big_body(stream: &mut TcpStream, bytes: usize) -> io::Result<Then> {
    const PIECE: usize = 16 * 1024;
    stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n").await?;
    let piece = vec![b'x'; PIECE];
    let mut left = bytes;
    while left > 0 {
        let now = left.min(PIECE);
        stream.write_all(&piece[..now]).await?;
        left -= now;
    }
    Ok(Then::Close)
}

async fn close_after(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<Then> {
    stream.write_all(bytes).await?;
    Ok(Then::Close)
}

async fn until_closed(stream: &mut TcpStream) -> io::Result<Then> {
    let mut ignored = [0; 256];
    while stream.read(&mut ignored).await? > 0 {}
    Ok(Then::Close)
}

#[cfg(test)]
mod tests;
