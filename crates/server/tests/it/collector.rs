//! A collector of traces that keeps what it is sent, read with the messages of OpenTelemetry's own project.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::Span as WireSpan;
use prost::Message;
use tokio::sync::watch;

/// Nothing of a test takes so long.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Collector {
    pub(crate) addr: SocketAddr,
    kept: Kept,
}

#[derive(Clone)]
struct Kept {
    spans: Arc<watch::Sender<Vec<Span>>>,
    /// All that came, as it came.
    bytes: Arc<Mutex<Vec<u8>>>,
    requests: Arc<Mutex<Vec<HeaderMap>>>,
    /// How the next requests are answered; after that, well.
    answers: Arc<Mutex<Vec<StatusCode>>>,
}

#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) trace: String,
    pub(crate) id: String,
    pub(crate) parent: String,
    pub(crate) name: String,
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) is_error: bool,
    pub(crate) attributes: BTreeMap<String, String>,
}

impl Collector {
    pub(crate) async fn start() -> Self {
        Self::start_with(Vec::new()).await
    }

    /// Answers so first.
    pub(crate) async fn start_with(answers: Vec<StatusCode>) -> Self {
        let kept = Kept {
            spans: Arc::new(watch::Sender::new(Vec::new())),
            bytes: Arc::default(),
            requests: Arc::default(),
            answers: Arc::new(Mutex::new(answers)),
        };
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let router = Router::new().route("/v1/traces", post(take)).with_state(kept.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { addr, kept }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// What there is once it has all that.
    pub(crate) async fn until(&self, is_enough: impl Fn(&[Span]) -> bool) -> Vec<Span> {
        let mut spans = self.kept.spans.subscribe();
        let waited = tokio::time::timeout(PATIENCE, spans.wait_for(|spans| is_enough(spans))).await;
        let Ok(spans) = waited else { panic!("only these spans came: {:#?}", self.now()) };
        spans.unwrap().clone()
    }

    pub(crate) fn now(&self) -> Vec<Span> {
        self.kept.spans.borrow().clone()
    }

    /// Whether the text is anywhere in what came.
    pub(crate) fn has(&self, text: &str) -> bool {
        let bytes = self.kept.bytes.lock().unwrap();
        bytes.windows(text.len()).any(|part| part == text.as_bytes())
    }

    /// The headers of all requests.
    pub(crate) fn requests(&self) -> Vec<HeaderMap> {
        self.kept.requests.lock().unwrap().clone()
    }
}

async fn take(State(kept): State<Kept>, headers: HeaderMap, body: Bytes) -> StatusCode {
    kept.requests.lock().unwrap().push(headers);
    let answer = {
        let mut answers = kept.answers.lock().unwrap();
        if answers.is_empty() { StatusCode::OK } else { answers.remove(0) }
    };
    if answer != StatusCode::OK {
        return answer;
    }
    let request = ExportTraceServiceRequest::decode(&*body).unwrap();
    kept.bytes.lock().unwrap().extend_from_slice(&body);
    for resource in request.resource_spans {
        let common = resource.resource.unwrap_or_default().attributes;
        let spans = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
        let read: Vec<Span> = spans.map(|span| Span::read(&span, &common)).collect();
        kept.spans.send_modify(|spans| spans.extend(read));
    }
    answer
}

impl Span {
    fn read(span: &WireSpan, common: &[KeyValue]) -> Self {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert_eq!((span.trace_id.len(), span.span_id.len()), (16, 8), "{span:?}");
        let attributes = common.iter().chain(&span.attributes).map(|pair| {
            let value = pair.value.clone().and_then(|value| value.value);
            let value = match value {
                Some(Value::StringValue(text)) => text,
                Some(Value::IntValue(number)) => number.to_string(),
                Some(Value::BoolValue(flag)) => flag.to_string(),
                other => panic!("{}: {other:?}", pair.key),
            };
            (pair.key.clone(), value)
        });
        Self {
            trace: hex(&span.trace_id),
            id: hex(&span.span_id),
            parent: hex(&span.parent_span_id),
            name: span.name.clone(),
            from: span.start_time_unix_nano,
            to: span.end_time_unix_nano,
            is_error: span.status.as_ref().is_some_and(|status| status.code == 2),
            attributes: attributes.collect(),
        }
    }

    pub(crate) fn get(&self, attribute: &str) -> &str {
        self.attributes.get(attribute).map_or("", String::as_str)
    }

    pub(crate) fn holds(&self, other: &Self) -> bool {
        other.parent == self.id && self.from <= other.from && other.to <= self.to
    }
}

/// The one of that name.
#[track_caller]
pub(crate) fn named<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let mut found = spans.iter().filter(|span| span.name == name);
    let span = found.next().unwrap_or_else(|| panic!("no `{name}` in {spans:#?}"));
    assert!(found.next().is_none(), "several `{name}` in {spans:#?}");
    span
}
