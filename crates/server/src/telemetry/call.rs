//! Spans of what the server itself calls: models and tools.

use fairlane_core::catalog::Usage;
use fairlane_core::id::{RunId, TenantId};
use fairlane_core::row::Route;
use fairlane_core::time::Time;
use fairlane_core::trace::{Anchor, Incoming, Trace};
use hyper::{Method, StatusCode, Uri};

use super::Traces;
use super::export::Message;
use super::otlp::{Kind, Span};
use super::span::{Place, begun, failed, nanos, number, of_run, text};
use crate::upstream::Fault;

/// Class of a call that nobody has waited for to the end.
const BROKEN_OFF: &str = "broken-off";
/// What OpenTelemetry calls asking a model for an answer, and for embeddings.
pub(crate) const CHAT: &str = "chat";
pub(crate) const EMBEDDINGS: &str = "embeddings";

/// A wait for room that is shorter is none.
const WAIT_MIN_MICROS: u64 = 1_000;

/// For whom a call is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Called<'a> {
    pub(crate) tenant: &'a TenantId,
    pub(crate) run: Option<RunId>,
    /// Tells apart the calls of one attempt.
    pub(crate) number: u64,
}

/// A call under way. It is exported when it is dropped, which is when the call is over, however that came.
#[derive(Debug)]
pub(crate) struct CallSpan {
    traces: Traces,
    at: Place,
    is_over: bool,
    span: Box<Span>,
}

impl Traces {
    /// A call for an attempt whose run is followed begins.
    pub(crate) fn call(&self, anchor: Option<Anchor>, called: &Called<'_>) -> Option<CallSpan> {
        let anchor = anchor?;
        let span = anchor.span.of_call(called.number);
        let at = Place { trace: anchor.trace, span, parent: Some(anchor.span) };
        self.begin(at, called, self.now())
    }

    /// A call of a client's began at that time, and was let through now: for an attempt, in the trace of its request, or in one of
    /// its own.
    pub(crate) fn client_call(
        &self,
        anchor: Option<Anchor>,
        incoming: Option<Incoming>,
        called: &Called<'_>,
        began: Time,
    ) -> Option<CallSpan> {
        let at = match (anchor, incoming) {
            (None, _) if called.run.is_some() => return None,
            (Some(Anchor { trace, span }), _)
            | (None, Some(Incoming { anchor: Anchor { trace, span }, is_sampled: true })) => {
                Place { trace, span: span.of_call(called.number), parent: Some(span) }
            }
            (None, Some(_)) => return None,
            (None, None) => {
                let id = RunId(uuid::Uuid::now_v7().as_u128());
                self.sampling().filter(|sampling| sampling.takes(id))?;
                let trace = Trace::of_run(id);
                Place { trace: trace.id, span: trace.span(id), parent: None }
            }
        };
        let call = self.begin(at, called, began)?;
        let now = self.now();
        if now.since(began).0 >= WAIT_MIN_MICROS {
            let at = Place { span: at.span.of_wait(began.0), parent: Some(at.span), ..at };
            let mut wait = begun(at, Kind::Internal, (began, now));
            "gate limit".clone_into(&mut wait.name);
            wait.attributes.push(text("fairlane.kind", "gate"));
            of_run(&mut wait, called.tenant, called.run);
            wait.attributes.push(text("fairlane.gate", "limit"));
            self.send(Message::Span(Box::new(wait)));
        }
        Some(call)
    }

    fn begin(&self, at: Place, called: &Called<'_>, began: Time) -> Option<CallSpan> {
        self.0.as_ref()?;
        let mut span = Box::new(begun(at, Kind::Client, (began, began)));
        span.attributes.push(text("fairlane.kind", "call"));
        of_run(&mut span, called.tenant, called.run);
        Some(CallSpan { traces: self.clone(), at, is_over: false, span })
    }
}

impl CallSpan {
    /// What others may hang on it.
    pub(crate) const fn anchor(&self) -> Anchor {
        let Place { trace, span, .. } = self.at;
        Anchor { trace, span }
    }

    /// It is one of a model. `operation` is what OpenTelemetry calls it.
    pub(crate) fn of_model(&mut self, operation: &'static str, route: &Route) {
        self.span.name = format!("{operation} {}", route.model);
        self.span.attributes.extend([
            text("gen_ai.operation.name", operation),
            text("gen_ai.provider.name", route.endpoint.as_str()),
            text("gen_ai.request.model", &*route.upstream),
            text("fairlane.model", route.model.as_str()),
            text("fairlane.endpoint", route.endpoint.as_str()),
        ]);
        let region = route.considered.region.as_ref();
        self.span
            .attributes
            .extend(region.map(|region| text("fairlane.endpoint.region", region.as_str())));
    }

    /// It is one of a tool. Of its address only the host is said: the rest is made of inputs.
    pub(crate) fn of_tool(&mut self, tool: &str, method: &Method) {
        self.span.name = format!("{method} {tool}");
        self.span
            .attributes
            .extend([text("http.request.method", method.as_str()), text("fairlane.tool", tool)]);
    }

    pub(crate) fn at(&mut self, url: &Uri) {
        let host = url.host().map(|host| text("server.address", host));
        let port = url.port_u16().map(|port| number("server.port", port.into()));
        self.span.attributes.extend(host.into_iter().chain(port));
    }

    pub(crate) fn answered(&mut self, status: StatusCode) {
        self.is_over = true;
        let status = number("http.response.status_code", status.as_u16().into());
        self.span.attributes.push(status);
    }

    /// There is an answer of a model.
    pub(crate) fn served(&mut self, usage: Usage) {
        self.is_over = true;
        self.span.attributes.extend([
            number("gen_ai.usage.input_tokens", usage.input.into()),
            number("gen_ai.usage.output_tokens", usage.output.into()),
        ]);
    }

    pub(crate) fn failed(&mut self, fault: &Fault) {
        if let Fault::Status { status, .. } = fault {
            self.answered(*status);
        }
        self.fail(fault.class());
    }

    fn fail(&mut self, class: &str) {
        self.is_over = true;
        failed(&mut self.span, Some(class), true);
    }
}

impl Drop for CallSpan {
    fn drop(&mut self) {
        if !self.is_over {
            self.fail(BROKEN_OFF);
        }
        self.span.end_time_unix_nano = nanos(self.traces.now()).max(self.span.start_time_unix_nano);
        let span = std::mem::take(&mut self.span);
        self.traces.send(Message::Span(span));
    }
}
