//! What the server tells those who look after it of the way that work takes: traces, as OTLP has them.
//!
//! - `span` makes spans of what the cell says of followed runs, `call` of what the server itself calls.
//! - `export` sends them, and never makes anybody wait: what does not fit into its queue is dropped and counted.
//! - `context` reads and writes the header `traceparent`; `otlp` has the messages.
//!
//! Each cell has its own, which sends to the collector of its region alone: the spans of a region without one are not even made.
//! A span has ids, times, names that the operator has given, and numbers. No payload, no message and no secret comes here.

mod call;
mod context;
mod export;
mod otlp;
mod span;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, HeaderValue};
use fairlane_core::cell::effect::Segment;
use fairlane_core::id::RegionName;
use fairlane_core::time::Time;
use fairlane_core::trace::{Incoming, Sampling};
use tokio::runtime::Handle;

use crate::config::Telemetry;
use crate::upstream::Upstream;
pub(crate) use call::{CHAT, CallSpan, Called, EMBEDDINGS};
pub(crate) use context::Traceparent;
pub(crate) use export::Error;
use export::{Exporter, Message};

/// The way of a cell's spans to the collector of its region, if there is one. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Traces(Option<Arc<Inner>>);

#[derive(Debug)]
struct Inner {
    exporter: Exporter,
    sampling: Sampling,
    continues: bool,
    propagates: bool,
    clock: Follower,
}

/// The time as the cell reads it, so that what is called lies within the steps that call it.
#[derive(Debug)]
struct Follower {
    started: Instant,
    /// What the cell's clock has shown then, in microseconds.
    began: AtomicU64,
}

impl Traces {
    /// Begins to export what happens in the region, if it has a collector.
    pub(crate) fn open(
        config: &Telemetry,
        region: &RegionName,
        upstream: &Arc<Upstream>,
        runtime: &Handle,
    ) -> Result<Self, Error> {
        let Some(collector) = config.collector(region) else { return Ok(Self(None)) };
        let resource = span::resource(&config.service_name, region);
        let exporter = Exporter::open(&collector, resource, upstream.clone(), runtime)?;
        Ok(Self(Some(Arc::new(Inner {
            exporter,
            sampling: config.sampling(),
            continues: config.continue_traces,
            propagates: config.propagate,
            clock: Follower { started: Instant::now(), began: AtomicU64::new(0) },
        }))))
    }

    /// What the cell is told of it.
    pub(crate) fn sampling(&self) -> Option<Sampling> {
        self.0.as_ref().map(|inner| inner.sampling)
    }

    /// The trace that a request is part of, if that counts here.
    pub(crate) fn incoming(&self, headers: &HeaderMap) -> Option<Incoming> {
        self.0.as_ref().filter(|inner| inner.continues)?;
        context::incoming(headers)
    }

    /// The cell has read its clock.
    pub(crate) fn follow(&self, now: Time) {
        if let Some(Follower { started, began }) = self.0.as_deref().map(|inner| &inner.clock) {
            began.store(now.0.saturating_sub(micros(started.elapsed())), Ordering::Relaxed);
        }
    }

    /// The time by the clock of the cell.
    pub(crate) fn now(&self) -> Time {
        self.0.as_ref().map_or(Time::default(), |inner| {
            let Follower { started, began } = &inner.clock;
            Time(began.load(Ordering::Relaxed).saturating_add(micros(started.elapsed())))
        })
    }

    /// A part of a run's time is over.
    pub(crate) fn segment(&self, segment: Box<Segment>) {
        self.send(Message::Segment(segment));
    }

    /// Names the span to whoever is called with these headers, if they are to know.
    pub(crate) fn propagate(&self, span: Option<&CallSpan>, headers: &mut HeaderMap) {
        let propagates = self.0.as_ref().is_some_and(|inner| inner.propagates);
        if let Some(span) = span.filter(|_| propagates)
            && let Ok(value) = HeaderValue::try_from(Traceparent(span.anchor()).to_string())
        {
            headers.insert(context::TRACEPARENT, value);
        }
    }

    /// Exports what is left, as far as that takes no time worth speaking of.
    pub(crate) async fn stop(&self) {
        if let Some(inner) = &self.0 {
            inner.exporter.stop().await;
        }
    }

    fn send(&self, message: Message) {
        if let Some(inner) = &self.0 {
            inner.exporter.send(message);
        }
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}
