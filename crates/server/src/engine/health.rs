//! Whether requests can be served, as probes and refusals tell it.

use std::sync::atomic::{AtomicU8, Ordering};

use tokio::sync::Notify;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum State {
    /// The cell is being loaded for the first time.
    Starting,
    /// The cell is loaded, and what follows from what was loaded is done.
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
pub(crate) struct Health {
    state: AtomicU8,
    changed: Notify,
}

impl Default for Health {
    fn default() -> Self {
        Self { state: AtomicU8::new(State::Starting as u8), changed: Notify::new() }
    }
}

impl Health {
    pub(crate) fn state(&self) -> State {
        state(self.state.load(Ordering::Acquire))
    }

    /// Enters a state, unless the server is stopping.
    pub(crate) fn enter(&self, next: State) {
        let unless_stopping = |now| (state(now) != State::Stopping).then_some(next as u8);
        // An error means that it is stopping, which it goes on to do.
        let _ = self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, unless_stopping);
        self.changed.notify_waiters();
    }

    /// Ends when the cell was loaded, or could not be.
    pub(crate) async fn started(&self) {
        loop {
            let changed = self.changed.notified();
            if self.state() != State::Starting {
                return;
            }
            changed.await;
        }
    }

    pub(crate) fn describe(&self) -> &'static str {
        match self.state() {
            State::Starting => "starting",
            State::Ready => "ok",
            State::StoreFull => "the store is full",
            State::StoreFailed => "the store does not answer",
            State::Broken => "recovering from a mistake of the server",
            State::Lost => "another server owns the store",
            State::Stopping => "stopping",
        }
    }
}

const fn state(number: u8) -> State {
    match number {
        0 => State::Starting,
        1 => State::Ready,
        2 => State::StoreFull,
        3 => State::StoreFailed,
        4 => State::Broken,
        5 => State::Lost,
        _ => State::Stopping,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_starts_as_starting_and_every_state_comes_back_as_it_was_entered() {
        let health = Health::default();
        assert_eq!(health.state(), State::Starting);
        let states = [
            State::Ready,
            State::StoreFull,
            State::StoreFailed,
            State::Broken,
            State::Lost,
            State::Stopping,
        ];
        for state in states {
            health.enter(state);
            assert_eq!(health.state(), state);
        }
        health.enter(State::Ready);
        assert_eq!(health.state(), State::Stopping, "stopping is not taken back");
    }

    #[test]
    fn what_comes_before_the_cell_is_loaded_is_told_to_come_again() {
        let health = std::sync::Arc::new(Health::default());
        let engine = crate::engine::Engine::new(health.clone());
        let run = fairlane_core::id::RunId(1);
        let watch = || {
            let key = fairlane_core::row::RunKey { tenant: "a".parse().unwrap(), run };
            engine.watch(key, 1).map_err(|refused| (refused.status(), refused.0.code()))
        };
        assert_eq!(watch().unwrap_err(), (503, Some(fairlane_api::Code::Starting)));
        health.enter(State::Ready);
        assert!(watch().is_ok());
    }

    #[tokio::test]
    async fn whoever_waits_for_the_start_hears_of_it_before_or_after() {
        let health = std::sync::Arc::new(Health::default());
        let waiting = tokio::spawn({
            let health = health.clone();
            async move { health.started().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        health.enter(State::Ready);
        waiting.await.unwrap();
        health.started().await;
    }
}
