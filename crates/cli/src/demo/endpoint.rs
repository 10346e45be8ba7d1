//! An endpoint of a model in some region: it answers what the demo's workflow asks, and notes whose applications it
//! was sent. It speaks as much HTTP as the server's own requests need.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

use super::witness::Watch;

/// Far above what the demo's prompts are.
const REQUEST_BYTES_MAX: usize = 1 << 20;

/// It answers as long as this lives.
#[derive(Debug)]
pub(crate) struct Endpoint {
    url: String,
    accepting: AbortHandle,
}

impl Endpoint {
    /// Listens on a free port of the loopback interface; an answer takes that long.
    pub(crate) async fn start(takes: Duration, watch: Arc<Watch>) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await;
        let listener = listener.context("cannot listen as an endpoint of a model")?;
        let url = format!("http://{}/v1", listener.local_addr()?);
        let accepting = tokio::task::spawn(accept(listener, takes, watch)).abort_handle();
        Ok(Self { url, accepting })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, takes: Duration, watch: Arc<Watch>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(serve(stream, takes, watch.clone()));
        while connections.try_join_next().is_some() {}
    }
}

/// One connection, which ends with what is no request.
async fn serve(mut stream: TcpStream, takes: Duration, watch: Arc<Watch>) -> io::Result<()> {
    let mut unread = Vec::new();
    while let Some(request) = read(&mut stream, &mut unread).await? {
        watch.see(&request);
        tokio::time::sleep(takes).await;
        stream.write_all(answer().as_bytes()).await?;
    }
    Ok(())
}

/// Head and body of the next request, or nothing if there is none. `unread` is what came behind the last one.
async fn read(stream: &mut TcpStream, unread: &mut Vec<u8>) -> io::Result<Option<Vec<u8>>> {
    loop {
        if let Some(length) = length(unread)
            && unread.len() >= length
        {
            return Ok(Some(unread.drain(..length).collect()));
        }
        if unread.len() > REQUEST_BYTES_MAX || stream.read_buf(unread).await? == 0 {
            return Ok(None);
        }
    }
}

/// Bytes of the request that begins here, once its head is there.
fn length(unread: &[u8]) -> Option<usize> {
    let end = unread.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&unread[..end]).to_ascii_lowercase();
    let body = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    Some(end + body.and_then(|text| text.trim().parse().ok()).unwrap_or(0))
}

fn answer() -> String {
    let body = json!({
        "id": "demo",
        "object": "chat.completion",
        "choices": [{
            "index": 0,
            "message": { "role": "assistant", "content": "{\"clear\": true}" },
            "finish_reason": "stop",
        }],
        "usage": { "prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 25 },
    })
    .to_string();
    let length = body.len();
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_its_head_and_as_much_as_that_says() {
        assert_eq!(length(b"POST / HTTP/1.1\r\nContent-Le"), None);
        assert_eq!(length(b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nab"), Some(41));
        assert_eq!(length(b"GET / HTTP/1.1\r\n\r\n"), Some(18));
    }
}
