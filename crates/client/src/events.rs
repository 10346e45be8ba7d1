//! The events of a run, as the server sends them (server-sent events, WHATWG HTML section 9.2).

use bytes::{Bytes, BytesMut};
use fairlane_api::run::Event;
use http_body_util::BodyExt;
use hyper::body::Incoming;

use crate::client::{Call, Path, refusal};
use crate::{Client, Error};

/// Largest event that is read.
const EVENT_BYTES_MAX: usize = 1 << 20;

/// What happens to a run, one event after the other.
#[derive(Debug)]
pub struct EventStream {
    client: Client,
    call: Call<'static>,
    body: Incoming,
    lines: Lines,
}

impl EventStream {
    pub(crate) async fn open(client: &Client, path: Path) -> Result<Self, Error> {
        let mut call = Call::get(path.into_string());
        call.accept = Some("text/event-stream");
        let request = client.request(&call)?;
        let response = client.transport().open(request, client.answer_within()).await?;
        let status = response.status();
        let body = response.into_body();
        if !status.is_success() {
            let bytes = body.collect().await.map_err(|error| client.transport().broken(&error))?;
            return Err(refusal(&call, status.as_u16(), &bytes.to_bytes()));
        }
        Ok(Self { client: client.clone(), call, body, lines: Lines::default() })
    }

    /// The next event. `None`: the server ended the stream, which it does after the run's last event.
    ///
    /// # Errors
    /// If the connection breaks: open a new stream, which begins with the run's present state.
    pub async fn next(&mut self) -> Result<Option<Event>, Error> {
        loop {
            if let Some(text) = self.lines.next_event() {
                return serde_json::from_slice(&text).map(Some).map_err(|error| self.wrong(&error));
            }
            if self.lines.buffer.len() > EVENT_BYTES_MAX {
                return Err(
                    self.wrong(&format_args!("an event is larger than {EVENT_BYTES_MAX} bytes"))
                );
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(Err(error)) => return Err(self.client.transport().broken(&error)),
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data() {
                        self.lines.buffer.extend_from_slice(&bytes);
                    }
                }
            }
        }
    }

    fn wrong(&self, detail: &dyn std::fmt::Display) -> Error {
        Error::Answer { call: self.call.to_string(), status: 200, detail: detail.to_string() }
    }
}

/// Splits the stream into lines and the lines into events.
#[derive(Debug, Default)]
struct Lines {
    buffer: BytesMut,
    /// The `data` lines of the event that is not complete.
    data: Vec<u8>,
}

impl Lines {
    /// The data of the next complete event. Names, ids and comments (which keep the connection alive) are
    /// passed over.
    fn next_event(&mut self) -> Option<Bytes> {
        while let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
            let line = self.buffer.split_to(end + 1);
            let line = line.trim_ascii_end();
            if line.is_empty() {
                if self.data.is_empty() {
                    continue;
                }
                return Some(Bytes::from(std::mem::take(&mut self.data)));
            }
            if let Some(data) = line.strip_prefix(b"data:") {
                if !self.data.is_empty() {
                    self.data.push(b'\n');
                }
                self.data.extend_from_slice(data.trim_ascii_start());
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::Lines;

    #[test]
    fn events_are_found_however_the_bytes_arrive() {
        let stream = b": ping\n\nevent: run\nid: 1\ndata: {\"a\":1}\n\ndata:{\"b\":\r\ndata: 2}\r\n\r\ndata: x";
        for size in 1..stream.len() {
            let mut lines = Lines::default();
            let mut found = Vec::new();
            for chunk in stream.chunks(size) {
                lines.buffer.extend_from_slice(chunk);
                while let Some(event) = lines.next_event() {
                    found.push(String::from_utf8(event.to_vec()).unwrap());
                }
            }
            assert_eq!(found, ["{\"a\":1}", "{\"b\":\n2}"], "in chunks of {size}");
        }
    }
}
