//! The events of a run, as the server sends them (server-sent events, WHATWG HTML section 9.2).

use bytes::{Bytes, BytesMut};
use fairlane_api::run::{Event, RunDetail, RunStatus};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::{HeaderName, HeaderValue};

use crate::client::{Call, Path, refusal};
use crate::retry::Backoff;
use crate::{Client, Error};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Largest event that is read: a snapshot of a run with the most steps and items fits.
const EVENT_BYTES_MAX: usize = 64 << 20;

/// Something that happened to a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunEvent {
    /// The whole run: at first, and again when changes were missed.
    Snapshot(Box<RunDetail>),
    /// One change after it.
    Change(Event),
}

impl RunEvent {
    /// The run's status then.
    pub const fn status(&self) -> RunStatus {
        match self {
            Self::Snapshot(detail) => detail.run.status,
            Self::Change(event) => event.status,
        }
    }

    /// The run's revision then.
    pub const fn revision(&self) -> u64 {
        match self {
            Self::Snapshot(detail) => detail.run.revision,
            Self::Change(event) => event.revision,
        }
    }
}

/// What happens to a run, one event after the other until its end. A stream that breaks is opened again where
/// it was, within the client's [`RetryPolicy`](crate::RetryPolicy).
#[derive(Debug)]
pub struct EventStream {
    client: Client,
    path: String,
    /// `None`: to be opened again.
    body: Option<Incoming>,
    parser: Parser,
    seen: Option<u64>,
    ended: bool,
    backoff: Backoff,
}

impl EventStream {
    pub(crate) async fn open(client: &Client, path: Path) -> Result<Self, Error> {
        let mut stream = Self {
            client: client.clone(),
            path: path.into_string(),
            body: None,
            parser: Parser::default(),
            seen: None,
            ended: false,
            backoff: Backoff::new(client.retry()),
        };
        stream.connect().await?;
        Ok(stream)
    }

    /// The next event; `None` after the run's last one.
    ///
    /// # Errors
    /// If the server refuses, or does not come back.
    pub async fn next(&mut self) -> Result<Option<RunEvent>, Error> {
        while !self.ended {
            while let Some(message) = self.parser.next_message() {
                if let Some(event) = self.read(&message)? {
                    self.backoff = Backoff::new(self.client.retry());
                    self.seen = Some(event.revision());
                    self.ended = event.status().is_ended();
                    return Ok(Some(event));
                }
            }
            if let Err(error) = self.fill().await {
                self.body = None;
                let wait = if error.is_unavailable() {
                    self.backoff.next(error.retry_after())
                } else {
                    None
                };
                let Some(wait) = wait else { return Err(error) };
                tokio::time::sleep(wait).await;
            }
        }
        Ok(None)
    }

    /// Reads more of the stream, opening it first if need be.
    async fn fill(&mut self) -> Result<(), Error> {
        let Some(body) = &mut self.body else { return self.connect().await };
        match body.frame().await {
            Some(Ok(frame)) => {
                if let Ok(bytes) = frame.into_data() {
                    self.parser.buffer.extend_from_slice(&bytes);
                }
            }
            Some(Err(error)) => return Err(self.client.transport().broken(&error)),
            // The server stops, or it takes us for too slow: there is more to come.
            None => {
                let error = std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
                return Err(self.client.transport().broken(&error));
            }
        }
        if self.parser.buffer.len() > EVENT_BYTES_MAX {
            return Err(
                self.wrong(&format_args!("an event is larger than {EVENT_BYTES_MAX} bytes"))
            );
        }
        Ok(())
    }

    async fn connect(&mut self) -> Result<(), Error> {
        self.parser = Parser::default();
        let mut call = Call::get(self.path.clone());
        call.accept = Some("text/event-stream");
        let mut request = self.client.request(&call)?;
        if let Some(seen) = self.seen {
            request.headers_mut().insert(LAST_EVENT_ID, HeaderValue::from(seen));
        }
        let transport = self.client.transport();
        let response = transport.open(request, self.client.answer_within()).await?;
        let status = response.status();
        let body = response.into_body();
        if !status.is_success() {
            let bytes = body.collect().await.map_err(|error| transport.broken(&error))?;
            return Err(refusal(&call, status.as_u16(), &bytes.to_bytes()));
        }
        self.body = Some(body);
        Ok(())
    }

    /// Events of kinds that this version does not know are passed over.
    fn read(&self, message: &Message) -> Result<Option<RunEvent>, Error> {
        let data = &message.data;
        let event = match message.name.as_ref() {
            b"snapshot" => serde_json::from_slice(data).map(|run| Some(RunEvent::Snapshot(run))),
            b"change" => serde_json::from_slice(data).map(|event| Some(RunEvent::Change(event))),
            _ => Ok(None),
        };
        event.map_err(|error| self.wrong(&error))
    }

    fn wrong(&self, detail: &dyn std::fmt::Display) -> Error {
        let call = format!("GET {}", self.path);
        Error::Answer { call, status: 200, detail: detail.to_string() }
    }
}

/// One message of the stream.
#[derive(Debug, Default, PartialEq, Eq)]
struct Message {
    name: Bytes,
    data: Bytes,
}

/// Splits the stream into lines and the lines into messages.
#[derive(Debug, Default)]
struct Parser {
    buffer: BytesMut,
    /// The buffer has no end of a line before this.
    scanned: usize,
    name: Vec<u8>,
    /// The `data` lines of the message that is not complete.
    data: Vec<u8>,
}

impl Parser {
    /// The next complete message. Ids and comments (which keep the connection alive) are passed over.
    fn next_message(&mut self) -> Option<Message> {
        loop {
            let unread = &self.buffer[self.scanned..];
            let Some(end) = unread.iter().position(|byte| *byte == b'\n') else {
                self.scanned = self.buffer.len();
                return None;
            };
            let line = self.buffer.split_to(self.scanned + end + 1);
            self.scanned = 0;
            let line = line.trim_ascii_end();
            if line.is_empty() {
                let name = std::mem::take(&mut self.name);
                if self.data.is_empty() {
                    continue;
                }
                let data = std::mem::take(&mut self.data);
                return Some(Message { name: name.into(), data: data.into() });
            }
            if let Some(name) = line.strip_prefix(b"event:") {
                name.trim_ascii_start().clone_into(&mut self.name);
            } else if let Some(data) = line.strip_prefix(b"data:") {
                if !self.data.is_empty() {
                    self.data.push(b'\n');
                }
                self.data.extend_from_slice(data.trim_ascii_start());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Parser;

    #[test]
    fn messages_are_found_however_the_bytes_arrive() {
        let stream: &[u8] = b": ping\n\nevent: a\nid: 1\ndata: {\"a\":1}\n\n\
            data:{\"b\":\r\ndata: 2}\r\n\r\nevent: lost\n\ndata: x";
        for size in 1..stream.len() {
            let mut parser = Parser::default();
            let mut found = Vec::new();
            for chunk in stream.chunks(size) {
                parser.buffer.extend_from_slice(chunk);
                while let Some(message) = parser.next_message() {
                    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                    found.push((text(&message.name), text(&message.data)));
                }
            }
            let expected = [("a", "{\"a\":1}"), ("", "{\"b\":\n2}")];
            assert_eq!(
                found,
                expected.map(|(a, b)| (a.to_owned(), b.to_owned())),
                "chunks of {size}"
            );
        }
    }
}
