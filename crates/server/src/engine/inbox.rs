//! What waits to be stepped: a bounded list that the driver thread takes whole.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fairlane_store::{Epoch, Error as StoreError};

use super::Message;

/// Requests that may wait to be stepped. At a hundred thousand inputs a second this is two thirds of a second
/// of work; a client that comes later is told to try again.
const REQUESTS_MAX: usize = 65_536;
/// How long what nobody waits for may wait for something to come with. At a hundred inputs a second that something
/// comes in twice this time, and then there are few commits to save.
const DEFER_MAX: Duration = Duration::from_millis(5);

#[derive(Debug, Default)]
pub(crate) struct Inbox {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    messages: Vec<Message>,
    /// When what is there must be taken at the latest, if all of it was deferred. None: at once.
    due: Option<Instant>,
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
        waiting.due = None;
        self.wake(waiting);
        Ok(())
    }

    /// Takes the message whatever waits; dropped if the inbox is closed.
    pub(crate) fn force(&self, message: Message) {
        let mut waiting = self.lock();
        if !waiting.closed {
            waiting.messages.push(message);
            waiting.due = None;
            self.wake(waiting);
        }
    }

    /// The same for what can wait a little, to be committed with what comes next and not by itself.
    pub(crate) fn defer(&self, message: Message) {
        let mut waiting = self.lock();
        if waiting.closed {
            return;
        }
        if waiting.messages.is_empty() {
            waiting.due = Some(Instant::now() + DEFER_MAX);
        }
        waiting.messages.push(message);
        // It goes to sleep again, until then.
        self.wake(waiting);
    }

    pub(crate) fn committed(&self, committed: Committed) {
        let mut waiting = self.lock();
        waiting.committed = Some(committed);
        self.wake(waiting);
    }

    /// Waits until there is something or the time has come, and takes all of it, unless all of it can still be deferred.
    /// `into` is empty before.
    pub(crate) fn take(
        &self,
        into: &mut Vec<Message>,
        until: Option<Instant>,
    ) -> Option<Committed> {
        let mut waiting = self.lock();
        while !waiting.is_urgent() && waiting.committed.is_none() {
            waiting.asleep = true;
            let until = until.into_iter().chain(waiting.due).min();
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
        if waiting.due.is_none_or(|due| due <= Instant::now()) {
            waiting.due = None;
            std::mem::swap(&mut waiting.messages, into);
        }
        waiting.committed.take()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lock().messages.is_empty()
    }

    /// Whether something waits that cannot be deferred.
    pub(crate) fn is_urgent(&self) -> bool {
        self.lock().is_urgent()
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

impl Waiting {
    fn is_urgent(&self) -> bool {
        !self.messages.is_empty() && self.due.is_none()
    }
}

#[cfg(test)]
mod tests {
    use fairlane_core::cell::input::Input;

    use super::*;

    fn taken(inbox: &Inbox) -> usize {
        let mut messages = Vec::new();
        assert!(inbox.take(&mut messages, None).is_none());
        messages.len()
    }

    #[test]
    fn what_is_deferred_comes_with_what_is_not() {
        let inbox = Inbox::default();
        inbox.defer(Message::Note(Input::Tick));
        assert!(!inbox.is_urgent() && !inbox.is_empty());
        inbox.force(Message::Note(Input::Tick));
        inbox.defer(Message::Note(Input::Tick));
        assert!(inbox.is_urgent());
        assert_eq!(taken(&inbox), 3);
        assert!(inbox.is_empty());
    }

    #[test]
    fn a_commit_that_has_ended_does_not_bring_what_is_deferred() {
        let inbox = Inbox::default();
        inbox.defer(Message::Note(Input::Tick));
        let result = Ok(Ok(()));
        inbox.committed(Committed { epoch: Epoch(1), result, took: Duration::ZERO });
        let mut messages = Vec::new();
        assert!(inbox.take(&mut messages, None).is_some());
        assert_eq!(messages.len(), 0);
        assert_eq!(taken(&inbox), 1);
    }

    #[test]
    fn what_is_deferred_comes_by_itself_in_the_end() {
        let inbox = Inbox::default();
        for _ in 0..2 {
            inbox.defer(Message::Note(Input::Tick));
            assert_eq!(taken(&inbox), 1);
        }
    }
}
