//! The way into the cell: requests are put into an inbox, one thread steps the cell with them, and what it
//! causes comes back once it is durable.
//!
//! - `inbox` holds what has come since the thread last looked: natural batching, no timer.
//! - `owner` is the thread: it steps, commits and releases.
//! - `desk` knows who waits for which reply, exchange or run.
//! - `watch` is held by whoever follows a run.
//!
//! A waiting requester holds nothing but a channel. If the store fails, all channels are dropped, and each
//! requester answers with what [`Health`] says.

pub(crate) mod desk;
pub(crate) mod health;
pub(crate) mod inbox;
pub(crate) mod owner;
pub(crate) mod watch;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fairlane_api::Code;
use fairlane_core::cell::effect::{Progress, Response};
use fairlane_core::cell::input::{AskId, Exchange, Input, Query, ReplyId, Submit};
use fairlane_core::row::RunKey;
use fairlane_core::time::Span;
use tokio::sync::{mpsc, oneshot};

use crate::problem::Refused;
use desk::{Handover, Outcome};
use health::{Health, State};
use inbox::{Inbox, Refusal};
use watch::Watches;

/// What comes to the driver thread.
#[derive(Debug)]
pub(crate) enum Message {
    /// An input that nobody waits for.
    Note(Input),
    Ask(ReplyId, Input, oneshot::Sender<Response>),
    /// The same for an input with rows that were read in that session of the cell.
    AskIn(u64, ReplyId, Input, oneshot::Sender<Response>),
    /// A submission, whose idempotency key was looked up in `session`. With `until_end` the answer waits for the end
    /// of the run.
    Submit {
        submit: Box<Submit>,
        session: u64,
        until_end: bool,
        answer: oneshot::Sender<Outcome>,
    },
    /// Answer a waiting submission as soon as it is committed, without its end.
    Nudge(ReplyId),
    Exchange(Exchange, oneshot::Sender<Handover>),
    /// Send every change of the run from now on.
    Watch(RunKey, mpsc::Sender<Progress>),
    /// Somebody has stopped to follow the run.
    Unwatch(RunKey),
    Stop,
}

/// The handle that requests use.
#[derive(Clone, Debug)]
pub(crate) struct Engine {
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) health: Arc<Health>,
    /// The epoch under which the cell was loaded last.
    pub(crate) loaded: Arc<AtomicU64>,
    ids: Arc<AtomicU64>,
    watches: Arc<Watches>,
}

impl Engine {
    pub(crate) fn new(health: Arc<Health>) -> Self {
        Self {
            inbox: Arc::default(),
            health,
            loaded: Arc::default(),
            ids: Arc::default(),
            watches: Arc::default(),
        }
    }

    /// Names the cell's present memory. What was read of the store beside it is told apart by this from what is read
    /// after the cell had to be loaded again: commits in between are known to neither.
    pub(crate) fn session(&self) -> u64 {
        self.loaded.load(Ordering::Acquire)
    }

    /// Sends an input and waits for its reply, which may be a rejection.
    pub(crate) async fn reply(
        &self,
        input: impl FnOnce(ReplyId) -> Input,
    ) -> Result<Response, Refused> {
        let id = self.reply_id();
        self.reply_as(id, input(id)).await
    }

    /// The same for an input that has its number already, which is not used for another one.
    pub(crate) async fn reply_as(&self, id: ReplyId, input: Input) -> Result<Response, Refused> {
        let (answer, reply) = oneshot::channel();
        self.send(Message::Ask(id, input, answer))?;
        reply.await.map_err(|_| self.unavailable())
    }

    /// Sends an input and waits for its reply; a rejection becomes a refusal.
    pub(crate) async fn ask(
        &self,
        input: impl FnOnce(ReplyId) -> Input,
    ) -> Result<Response, Refused> {
        accepted(self.reply(input).await?)
    }

    /// Asks a question; `read` takes the answer that belongs to it, and gives back any other.
    pub(crate) async fn query<T>(
        &self,
        query: Query,
        read: impl FnOnce(Response) -> Result<T, Response>,
    ) -> Result<T, Refused> {
        let response = self.ask(|reply| Input::Query(reply, query)).await?;
        read(response)
            .map_err(|other| Refused::internal(&format!("a query was answered by {other:?}")))
    }

    /// The same for an input that carries rows, read in the named session: it is not done in another one.
    pub(crate) async fn ask_in(
        &self,
        session: u64,
        input: impl FnOnce(ReplyId) -> Input,
    ) -> Result<Response, Refused> {
        let id = self.reply_id();
        let (answer, reply) = oneshot::channel();
        self.send(Message::AskIn(session, id, input(id), answer))?;
        accepted(reply.await.map_err(|_| self.unavailable())?)
    }

    /// Sends a submission; the outcome comes through the channel. It is not done in another session than the one in
    /// which its idempotency key was looked up.
    pub(crate) fn submit(
        &self,
        submit: Box<Submit>,
        session: u64,
        until_end: bool,
    ) -> Result<oneshot::Receiver<Outcome>, Refused> {
        let (answer, outcome) = oneshot::channel();
        self.send(Message::Submit { submit, session, until_end, answer })?;
        Ok(outcome)
    }

    pub(crate) fn exchange(
        &self,
        exchange: Exchange,
    ) -> Result<oneshot::Receiver<Handover>, Refused> {
        let (answer, handover) = oneshot::channel();
        self.send(Message::Exchange(exchange, answer))?;
        Ok(handover)
    }

    /// For inputs that follow from one already taken, and so are bounded by it: never refused.
    pub(crate) fn note(&self, input: Input) {
        self.inbox.force(Message::Note(input));
    }

    /// The same for what nobody waits for: it is committed with what comes next.
    pub(crate) fn note_later(&self, input: Input) {
        self.inbox.defer(Message::Note(input));
    }

    pub(crate) fn nudge(&self, id: ReplyId) {
        self.inbox.force(Message::Nudge(id));
    }

    pub(crate) fn stop(&self) {
        self.inbox.force(Message::Stop);
    }

    pub(crate) fn reply_id(&self) -> ReplyId {
        ReplyId(self.ids.fetch_add(1, Ordering::Relaxed))
    }

    pub(crate) fn ask_id(&self) -> AskId {
        AskId(self.ids.fetch_add(1, Ordering::Relaxed))
    }

    /// Why a channel was dropped without an answer.
    pub(crate) fn unavailable(&self) -> Refused {
        match self.health.state() {
            State::Starting => Refused::new(Code::Starting).retry_after(Span::from_secs(1)),
            State::Stopping => Refused::new(Code::ShuttingDown).retry_after(Span::from_secs(1)),
            State::StoreFull => Refused::new(Code::StoreFull)
                .detail("what is acknowledged is safe; nothing new is taken until there is room")
                .retry_after(Span::from_secs(5)),
            State::Broken => Refused::new(Code::Internal).retry_after(Span::from_secs(1)),
            State::Ready | State::StoreFailed | State::Lost => Refused::new(Code::StoreUnavailable)
                .detail("the request may or may not have been done: try again with the same idempotency key")
                .retry_after(Span::from_secs(1)),
        }
    }

    fn send(&self, message: Message) -> Result<(), Refused> {
        if self.health.state() != State::Ready {
            return Err(self.unavailable());
        }
        self.inbox.push(message).map_err(|refusal| match refusal {
            Refusal::Full => Refused::new(Code::Overloaded).retry_after(Span::from_millis(500)),
            Refusal::Closed => self.unavailable(),
        })
    }
}

fn accepted(response: Response) -> Result<Response, Refused> {
    match response {
        Response::Rejected(rejection) => Err(rejection.into()),
        response => Ok(response),
    }
}
