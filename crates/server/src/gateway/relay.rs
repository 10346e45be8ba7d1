//! An answer that is passed on as it is written.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use fairlane_api::Code;
use http_body::{Body, Frame};

use super::call::Call;
use super::error::Error;
use crate::problem::Refused;
use crate::provider::metered;
use crate::serve::Shared;
use crate::upstream::chat::{Event, Events};

/// The own count is up to five times too high, see `tokens`: a model that by it has written so many times its bound does
/// not keep to that.
const OVER_BOUND: u32 = 6;
/// So few tokens prove nothing: one may be a line of spaces, which the own count takes for many.
const SLACK: u32 = 32;
/// How long the end of a connection is waited for after the last event, so that it can be used again.
const END_TIME_MAX: Duration = Duration::from_secs(1);

/// An answer under way. Dropped, it tells the provider to stop, and settles what was written so far.
pub(super) struct Relay {
    shared: Shared,
    call: Call,
    /// None once it has ended.
    events: Option<Events>,
    /// Was read to know that there is an answer.
    first: Option<Event>,
    is_usage_asked: bool,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Writing,
    /// The provider said that this is all.
    Done,
    /// Its client was told why there is no more.
    BrokenOff,
}

impl Relay {
    pub(super) fn new(
        shared: Shared,
        call: Call,
        (first, events): (Option<Event>, Events),
        is_usage_asked: bool,
    ) -> Self {
        let events = Some(events);
        Self { shared, call, events, first, is_usage_asked, state: State::Writing }
    }

    pub(super) fn into_body(self) -> axum::body::Body {
        axum::body::Body::new(Relayed(Some(Box::pin(self.next()))))
    }

    /// What is sent next, and what remains; none at the end, when all is settled.
    async fn next(mut self) -> Option<(Bytes, Self)> {
        loop {
            match self.state {
                State::Writing => {}
                State::Done => {
                    if let Some(events) = &mut self.events {
                        let _ = tokio::time::timeout(END_TIME_MAX, events.next()).await;
                    }
                    return None;
                }
                State::BrokenOff => return None,
            }
            match self.read().await {
                Ok(None) => return None,
                Ok(Some(event)) => {
                    if event.is_done() {
                        self.state = State::Done;
                    }
                    if !event.is_usage || self.is_usage_asked {
                        return Some((event.framed(), self));
                    }
                }
                Err(error) => {
                    self.state = State::BrokenOff;
                    self.end();
                    let event = Event { data: error.body(), is_usage: false };
                    return Some((event.framed(), self));
                }
            }
        }
    }

    async fn read(&mut self) -> Result<Option<Event>, Error> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        let Some(events) = &mut self.events else { return Ok(None) };
        let next = tokio::select! {
            next = events.next() => next,
            () = self.shared.cut_off() => return Err(Refused::new(Code::ShuttingDown).into()),
        };
        let endpoint = &self.call.route.endpoint;
        match next {
            None => Ok(None),
            Some(Err(fault)) => {
                let error = Error::of_fault(endpoint, &fault);
                self.call.broke_off(&fault, &self.shared);
                Err(error)
            }
            Some(Ok(_)) if is_over(events, self.call.route.output) => {
                let detail = "the model wrote more than it was let, and was cut off";
                Err(Refused::new(Code::ProviderFailed).detail(detail).into())
            }
            Some(Ok(event)) => Ok(Some(event)),
        }
    }

    /// Stops the provider, and takes note of what it has written.
    fn end(&mut self) {
        let Some(events) = self.events.take() else { return };
        let end = events.end();
        if end.is_done || end.finish_reason.is_some() {
            self.call.served(metered(&end.counted, &self.call.route));
        } else {
            self.call.used(metered(&end.counted, &self.call.route));
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.end();
    }
}

fn is_over(events: &Events, bound: u32) -> bool {
    events.output_tokens() / OVER_BOUND > bound.saturating_add(SLACK)
}

type Next = Pin<Box<dyn Future<Output = Option<(Bytes, Relay)>> + Send>>;

/// The body of an answer to a client.
struct Relayed(Option<Next>);

impl Body for Relayed {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(next) = &mut self.0 else { return Poll::Ready(None) };
        let next = ready!(next.as_mut().poll(context));
        let (bytes, rest) = next.unzip();
        self.0 = rest.map(|rest| Box::pin(rest.next()) as Next);
        Poll::Ready(bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}
