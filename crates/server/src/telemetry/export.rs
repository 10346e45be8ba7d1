//! The way to the collector: a bounded queue, batches, a few tries. It makes nobody wait; what has no place is dropped, counted,
//! and said in the log at most once a minute.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, header};
use fairlane_core::cell::effect::Segment;
use hyper::body::Bytes;
use prost::Message as _;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::otlp::{ExportRequest, Resource, ResourceSpans, Scope, ScopeSpans, Span};
use super::span;
use crate::config::Collector;
use crate::upstream::{Fault, Target, Upstream};

/// Spans that wait to be exported: some seconds of a busy server, and less than 16 MiB.
const QUEUE_MAX: usize = 16_384;
/// Spans of one request: about 200 KiB.
const BATCH_MAX: usize = 512;
/// How long a batch waits to become larger.
const BATCH_WAIT: Duration = Duration::from_secs(1);
const TRIES_MAX: u32 = 5;
/// Before the second try; doubled before each further one.
const RETRY_WAIT: Duration = Duration::from_secs(1);
/// Longest of these, whatever the collector asks for.
const RETRY_WAIT_MAX: Duration = Duration::from_secs(30);
const REQUEST_TIME_MAX: Duration = Duration::from_secs(10);
/// What a server that stops waits for its last spans.
const STOP_TIME_MAX: Duration = Duration::from_secs(2);
const SAY_EVERY: Duration = Duration::from_mins(1);

/// Why there is no way to a collector.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read the headers for the collector in {path}")]
    Read { path: String, source: std::io::Error },
    #[error("line {line} of {path} is no header: expected `name: value`")]
    Header { path: String, line: usize },
}

#[derive(Debug)]
pub(super) enum Message {
    Segment(Box<Segment>),
    Span(Box<Span>),
}

#[derive(Debug)]
pub(super) struct Exporter {
    queue: mpsc::Sender<Message>,
    dropped: Arc<AtomicU64>,
    stopping: watch::Sender<bool>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Exporter {
    pub(super) fn open(
        collector: &Collector,
        resource: Resource,
        upstream: Arc<Upstream>,
        runtime: &Handle,
    ) -> Result<Self, Error> {
        let headers = match &collector.otlp_headers_file {
            Some(path) => headers(path)?,
            None => HeaderMap::new(),
        };
        let url = format!("{}/v1/traces", collector.otlp_endpoint.trim_end_matches('/'));
        let url: Uri = url.parse().expect("the configuration was checked");
        let target = Target {
            url,
            allow_private: true,
            timeout: REQUEST_TIME_MAX,
            idle: REQUEST_TIME_MAX,
            response_bytes_max: 0,
        };
        let (queue, waiting) = mpsc::channel(QUEUE_MAX);
        let (stopping, stops) = watch::channel(false);
        let dropped = Arc::new(AtomicU64::new(0));
        let said = Said { dropped: dropped.clone(), before: 0, at: None };
        let to = To { target, headers, resource, upstream };
        let task = runtime.spawn(Export { waiting, stops, to, said }.work());
        Ok(Self { queue, dropped, stopping, task: Mutex::new(Some(task)) })
    }

    pub(super) fn send(&self, message: Message) {
        if self.queue.try_send(message).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) async fn stop(&self) {
        self.stopping.send_replace(true);
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            let _ = timeout(STOP_TIME_MAX, task).await;
        }
    }
}

/// What is sent with each request. What it says is a secret as likely as not.
fn headers(path: &Path) -> Result<HeaderMap, Error> {
    let named = path.display().to_string();
    let text = std::fs::read_to_string(path)
        .map_err(|source| Error::Read { path: named.clone(), source })?;
    let mut headers = HeaderMap::new();
    for (line, number) in text.lines().zip(1..) {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let header = line.split_once(':').and_then(|(name, value)| {
            let mut value = HeaderValue::from_str(value.trim()).ok()?;
            value.set_sensitive(true);
            Some((name.trim().parse::<HeaderName>().ok()?, value))
        });
        let wrong = || Error::Header { path: named.clone(), line: number };
        let (name, value) = header.ok_or_else(wrong)?;
        headers.append(name, value);
    }
    Ok(headers)
}

/// The task that exports.
struct Export {
    waiting: mpsc::Receiver<Message>,
    stops: watch::Receiver<bool>,
    to: To,
    said: Said,
}

struct To {
    target: Target,
    headers: HeaderMap,
    resource: Resource,
    upstream: Arc<Upstream>,
}

impl Export {
    async fn work(mut self) {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        loop {
            self.collect(&mut batch).await;
            if batch.is_empty() {
                return;
            }
            let spans = batch.drain(..).map(spanned).collect::<Vec<_>>();
            let count = spans.len() as u64;
            if let Err(fault) = self.deliver(spans).await {
                self.said.dropped.fetch_add(count, Ordering::Relaxed);
                self.said.say(Some(&fault));
            } else {
                self.said.say(None);
            }
        }
    }

    /// Waits for spans, and then for more, but not for long. There are none when the server stops.
    async fn collect(&mut self, batch: &mut Vec<Message>) {
        let is_stopping = *self.stops.borrow();
        if !is_stopping {
            tokio::select! {
                _ = self.waiting.recv_many(batch, BATCH_MAX) => {}
                _ = self.stops.changed() => {}
            }
        }
        let until = Instant::now() + BATCH_WAIT;
        while batch.len() < BATCH_MAX && !*self.stops.borrow() {
            let room = BATCH_MAX - batch.len();
            tokio::select! {
                more = timeout_at(until, self.waiting.recv_many(batch, room)) => match more {
                    Ok(1..) => {}
                    Ok(0) | Err(_) => break,
                },
                _ = self.stops.changed() => {}
            }
        }
        while batch.len() < BATCH_MAX
            && let Ok(message) = self.waiting.try_recv()
        {
            batch.push(message);
        }
    }

    async fn deliver(&mut self, spans: Vec<Span>) -> Result<(), Fault> {
        let body = Bytes::from(self.to.request(spans).encode_to_vec());
        let mut wait = RETRY_WAIT;
        let mut tries = 1;
        loop {
            let fault = match self.to.send(body.clone()).await {
                Ok(()) => return Ok(()),
                Err(fault) => fault,
            };
            if tries == TRIES_MAX || !fault.is_retryable() || *self.stops.borrow() {
                return Err(fault);
            }
            let asked = fault.retry_after().unwrap_or_default();
            tokio::select! {
                () = sleep(wait.max(asked).min(RETRY_WAIT_MAX)) => {}
                _ = self.stops.changed() => {}
            }
            wait *= 2;
            tries += 1;
        }
    }
}

impl To {
    fn request(&self, spans: Vec<Span>) -> ExportRequest {
        let (name, version) = (env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
        let scope = Some(Scope { name: name.to_owned(), version: version.to_owned() });
        let scope_spans = vec![ScopeSpans { scope, spans }];
        let resource = Some(self.resource.clone());
        ExportRequest { resource_spans: vec![ResourceSpans { resource, scope_spans }] }
    }

    async fn send(&self, body: Bytes) -> Result<(), Fault> {
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.headers_mut() = self.headers.clone();
        let kind = HeaderValue::from_static("application/x-protobuf");
        request.headers_mut().insert(header::CONTENT_TYPE, kind);
        self.upstream.call(&self.target, request).await.map(drop)
    }
}

fn spanned(message: Message) -> Span {
    match message {
        Message::Segment(segment) => span::of_segment(&segment),
        Message::Span(span) => *span,
    }
}

/// What was said of spans that were dropped.
struct Said {
    dropped: Arc<AtomicU64>,
    before: u64,
    at: Option<Instant>,
}

impl Said {
    fn say(&mut self, fault: Option<&Fault>) {
        let dropped = self.dropped.load(Ordering::Relaxed);
        if dropped == self.before || self.at.is_some_and(|at| at.elapsed() < SAY_EVERY) {
            return;
        }
        (self.before, self.at) = (dropped, Some(Instant::now()));
        let class = fault.map_or("queue-full", Fault::class);
        tracing::warn!(
            event = "spans-dropped",
            dropped,
            class,
            "spans were dropped: the collector does not take them in time"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::span;

    fn exporter(url: &str) -> Exporter {
        let collector = Collector { otlp_endpoint: url.to_owned(), otlp_headers_file: None };
        let resource = span::resource("s", &"local".parse().unwrap());
        let upstream = Arc::new(Upstream::new());
        Exporter::open(&collector, resource, upstream, &Handle::current()).unwrap()
    }

    #[tokio::test]
    async fn what_has_no_room_is_dropped_and_counted() {
        // The task that exports has no turn before this one waits for something.
        let exporter = exporter("http://127.0.0.1:9");
        for _ in 0..QUEUE_MAX + 7 {
            exporter.send(Message::Span(Box::default()));
        }
        assert_eq!(exporter.dropped.load(Ordering::Relaxed), 7);
    }

    #[test]
    fn headers_are_read_and_a_line_that_is_none_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("headers");
        std::fs::write(&path, "# words\n\nAuthorization: Bearer a:b\nx-a: 1\nx-a: 2\n").unwrap();
        let read = headers(&path).unwrap();
        assert_eq!(read["authorization"], "Bearer a:b");
        assert_eq!(read.get_all("x-a").iter().collect::<Vec<_>>(), ["1", "2"]);
        assert!(!format!("{read:?}").contains("Bearer"));
        std::fs::write(&path, "x-a: 1\nBearer hunter2\n").unwrap();
        let error = headers(&path).unwrap_err().to_string();
        assert!(error.contains("line 2 of") && !error.contains("hunter2"), "{error}");
    }
}
