//! Whether requests can be served, as probes and refusals tell it.

use std::sync::atomic::{AtomicU8, Ordering};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum State {
    Ready,
    /// The disk is full. Tried again and again.
    StoreFull,
    /// The store failed. Tried again and again.
    StoreFailed,
    /// The cell broke an assertion, and is loaded again.
    Broken,
    /// Another owner has the store now. Not tried again.
    Lost,
    Stopping,
}

#[derive(Debug)]
pub(crate) struct Health(AtomicU8);

impl Default for Health {
    fn default() -> Self {
        Self(AtomicU8::new(State::Ready as u8))
    }
}

impl Health {
    pub(crate) fn state(&self) -> State {
        match self.0.load(Ordering::Acquire) {
            0 => State::Ready,
            1 => State::StoreFull,
            2 => State::StoreFailed,
            3 => State::Broken,
            4 => State::Lost,
            _ => State::Stopping,
        }
    }

    /// Enters a state, unless the server is stopping.
    pub(crate) fn enter(&self, state: State) {
        if self.state() != State::Stopping {
            self.0.store(state as u8, Ordering::Release);
        }
    }

    pub(crate) fn describe(&self) -> &'static str {
        match self.state() {
            State::Ready => "ok",
            State::StoreFull => "the store is full",
            State::StoreFailed => "the store does not answer",
            State::Broken => "recovering from a mistake of the server",
            State::Lost => "another server owns the store",
            State::Stopping => "stopping",
        }
    }
}
