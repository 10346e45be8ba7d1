//! As much of HTTP/1.1 as it takes to read a request.

use std::io;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Larger requests are an error of the test.
const REQUEST_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A request as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    pub method: String,
    /// With the query.
    pub path: String,
    /// In their order; names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Received {
    /// The first header of that name, which is in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON, null if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// The next request, or none if the other side has closed. `unread` is what came behind the last one.
pub(crate) async fn read(
    stream: &mut TcpStream,
    unread: &mut Vec<u8>,
) -> io::Result<Option<Received>> {
    let end = loop {
        if let Some(at) = unread.windows(4).position(|four| four == b"\r\n\r\n") {
            break at;
        }
        if !more(stream, unread).await? {
            return Ok(None);
        }
    };
    let head = String::from_utf8_lossy(&unread[..end]).into_owned();
    unread.drain(..end + 4);
    let mut received = parse(&head).ok_or(io::ErrorKind::InvalidData)?;
    if received.header("expect").is_some() {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
    }
    let length = received.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    while unread.len() < length {
        if !more(stream, unread).await? {
            return Ok(None);
        }
    }
    received.body = unread.drain(..length).collect();
    Ok(Some(received))
}

async fn more(stream: &mut TcpStream, unread: &mut Vec<u8>) -> io::Result<bool> {
    if unread.len() > REQUEST_BYTES_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(stream.read_buf(unread).await? > 0)
}

fn parse(head: &str) -> Option<Received> {
    let mut lines = head.split("\r\n");
    let mut words = lines.next()?.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let headers = lines
        .map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_ascii_lowercase(), value.trim().to_owned()))
        })
        .collect::<Option<_>>()?;
    Some(Received { method, path, headers, body: Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_a_line_and_headers_whose_names_are_in_lower_case() {
        let received = parse("POST /v1/x?a=b HTTP/1.1\r\nHost: h:1\r\nX-Key:  k ").unwrap();
        assert_eq!((received.method.as_str(), received.path.as_str()), ("POST", "/v1/x?a=b"));
        assert_eq!(received.header("host"), Some("h:1"));
        assert_eq!(received.header("x-key"), Some("k"));
    }

    #[test]
    fn what_is_no_head_is_none() {
        assert_eq!(parse("GET"), None);
        assert_eq!(parse("GET / HTTP/1.1\r\nno colon"), None);
    }
}
