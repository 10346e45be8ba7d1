//! One call that was let through, from its hold to its settlement.

use fairlane_core::catalog::{Metered, Usage};
use fairlane_core::cell::effect::Response;
use fairlane_core::cell::input::{CloseCall, Input, OpenCall, ReplyId};
use fairlane_core::id::TenantId;
use fairlane_core::limiter::Answer;
use fairlane_core::row::Route;
use fairlane_core::trace::Incoming;
use hyper::Uri;

use super::error::Error;
use crate::engine::Engine;
use crate::problem::Refused;
use crate::provider::{answered, used_by};
use crate::serve::Shared;
use crate::telemetry::{CallSpan, Called};
use crate::upstream::Fault;

/// A call that was let through.
///
/// INVARIANT: when it is dropped, for whatever reason, the cell is told what is known of it by then. It is told once, as
/// there is one of these for each call.
#[derive(Debug)]
pub(crate) struct Call {
    engine: Engine,
    tenant: TenantId,
    pub(crate) id: u64,
    pub(crate) route: Route,
    metered: Metered,
    answer: Answer,
    /// None: it is not followed.
    span: Option<CallSpan>,
}

impl Call {
    /// Asks the cell to let it through, which may wait for room. A client that goes away meanwhile loses nothing: the call
    /// waits no more, or is closed unsent.
    pub(crate) async fn open(
        shared: &Shared,
        wanted: OpenCall,
        (incoming, operation): (Option<Incoming>, &'static str),
    ) -> Result<Self, Error> {
        let (traces, began) = (shared.traces.clone(), shared.traces.now());
        let engine = shared.engine.clone();
        let id = engine.reply_id();
        let mut client = Client { engine: engine.clone(), waits_for: Some(id) };
        let opening = tokio::spawn(async move {
            let tenant = wanted.tenant.clone();
            let run = wanted.lease.as_ref().map(|lease| lease.key.run);
            let opened = engine.reply_as(id, Input::OpenCall(id, Box::new(wanted))).await?;
            match opened {
                Response::Opened { call, route, trace } => {
                    let called = Called { tenant: &tenant, run, number: call };
                    let mut span = traces.client_call(trace, incoming, &called, began);
                    if let Some(span) = &mut span {
                        span.of_model(operation, &route);
                    }
                    Ok(Self::new((engine, tenant), call, *route, span))
                }
                Response::Rejected(rejection) => Err(rejection.into()),
                other => {
                    let bug = format!("a call was answered by {other:?}");
                    Err(Refused::internal(&bug).into())
                }
            }
        });
        let opened = opening.await;
        client.waits_for = None;
        opened.unwrap_or_else(|error| Err(Refused::internal(&error).into()))
    }

    fn new(
        (engine, tenant): (Engine, TenantId),
        id: u64,
        route: Route,
        span: Option<CallSpan>,
    ) -> Self {
        let metered = Metered { usage: Usage::default(), is_certain: true };
        Self { engine, tenant, id, route, metered, answer: Answer::Unknown, span }
    }

    /// Where it goes.
    pub(crate) fn goes_to(&mut self, url: &Uri) {
        if let Some(span) = &mut self.span {
            span.at(url);
        }
    }

    /// None: it is not followed.
    pub(crate) const fn span(&self) -> Option<&CallSpan> {
        self.span.as_ref()
    }

    /// The request leaves: from here on what goes in may have been used.
    pub(crate) fn sent(&mut self) {
        let usage = Usage { input: self.route.input, ..Usage::default() };
        self.metered = Metered { usage, is_certain: false };
    }

    pub(crate) fn used(&mut self, metered: Metered) {
        self.metered = metered;
    }

    pub(crate) fn served(&mut self, metered: Metered) {
        self.metered = metered;
        self.answer = Answer::Served;
        if let Some(span) = &mut self.span {
            span.served(metered.usage);
        }
    }

    /// There is no answer.
    pub(crate) fn failed(&mut self, fault: &Fault, shared: &Shared) {
        self.metered = used_by(fault, self.route.input);
        self.broke_off(fault, shared);
    }

    /// There is a part of an answer, which is counted by itself.
    pub(crate) fn broke_off(&mut self, fault: &Fault, shared: &Shared) {
        if let Some(span) = &mut self.span {
            span.failed(fault);
        }
        self.answer = answered(fault, shared);
    }
}

/// Whoever waits for a call to be let through.
struct Client {
    engine: Engine,
    waits_for: Option<ReplyId>,
}

impl Drop for Client {
    fn drop(&mut self) {
        if let Some(id) = self.waits_for {
            self.engine.note(Input::GiveUpCall(id));
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.engine.note_later(Input::CloseCall(CloseCall {
            tenant: self.tenant.clone(),
            call: self.id,
            metered: self.metered,
            answer: self.answer,
        }));
    }
}
