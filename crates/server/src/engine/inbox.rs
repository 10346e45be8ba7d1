//! What waits to be stepped: a bounded list that the driver thread takes whole.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fairlane_store::{Epoch, Error as StoreError};

use super::Message;

/// Requests that may wait to be stepped. At a hundred thousand inputs a second this is two thirds of a second
/// of work; a client that comes later is told to try again.
const REQUESTS_MAX: usize = 65_536;

#[derive(Debug, Default)]
pub(crate) struct Inbox {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    messages: Vec<Message>,
    committed: Option<Committed>,
    /// The thread sleeps, so that whoever brings something must wake it.
    asleep: bool,
    closed: bool,
}

/// How a commit went that another thread made.
#[derive(Debug)]
pub(crate) struct Committed {
    /// Under which the commit was made: one of an earlier epoch means nothing any more.
    pub(crate) epoch: Epoch,
    /// The outer error is a panic of the store.
    pub(crate) result: std::thread::Result<Result<(), StoreError>>,
    pub(crate) took: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Full,
    Closed,
}

impl Inbox {
    pub(crate) fn push(&self, message: Message) -> Result<(), Refusal> {
        let mut waiting = self.lock();
        if waiting.closed {
            return Err(Refusal::Closed);
        }
        if waiting.messages.len() >= REQUESTS_MAX {
            return Err(Refusal::Full);
        }
        waiting.messages.push(message);
        self.wake(waiting);
        Ok(())
    }

    /// Takes the message whatever waits; dropped if the inbox is closed.
    pub(crate) fn force(&self, message: Message) {
        let mut waiting = self.lock();
        if !waiting.closed {
            waiting.messages.push(message);
            self.wake(waiting);
        }
    }

    pub(crate) fn committed(&self, committed: Committed) {
        let mut waiting = self.lock();
        waiting.committed = Some(committed);
        self.wake(waiting);
    }

    /// Waits until there is something or the time has come, and takes all of it. `into` is empty before.
    pub(crate) fn take(
        &self,
        into: &mut Vec<Message>,
        until: Option<Instant>,
    ) -> Option<Committed> {
        let mut waiting = self.lock();
        while waiting.messages.is_empty() && waiting.committed.is_none() {
            waiting.asleep = true;
            match until.map(|until| until.saturating_duration_since(Instant::now())) {
                None => {
                    waiting = self.arrived.wait(waiting).unwrap_or_else(PoisonError::into_inner);
                }
                Some(Duration::ZERO) => break,
                Some(left) => {
                    let result = self.arrived.wait_timeout(waiting, left);
                    waiting = result.unwrap_or_else(PoisonError::into_inner).0;
                }
            }
        }
        waiting.asleep = false;
        std::mem::swap(&mut waiting.messages, into);
        waiting.committed.take()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lock().messages.is_empty()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Nothing comes in any more; what waits is dropped, so that its requesters are told.
    pub(crate) fn close(&self) {
        let mut waiting = self.lock();
        waiting.closed = true;
        let messages = std::mem::take(&mut waiting.messages);
        drop(waiting);
        drop(messages);
    }

    fn wake(&self, mut waiting: MutexGuard<'_, Waiting>) {
        let asleep = std::mem::take(&mut waiting.asleep);
        drop(waiting);
        if asleep {
            self.arrived.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
