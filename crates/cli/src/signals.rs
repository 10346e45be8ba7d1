//! The signals that ask a process to end.

use std::io;

/// Ends at SIGTERM or ctrl-c, each time it is called. It listens from the call on, not only once somebody waits: whoever is
/// told that a server is ready may end it at once.
#[cfg(unix)]
pub(crate) fn stop() -> impl Future<Output = io::Result<()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let listening = [SignalKind::interrupt(), SignalKind::terminate()].map(signal);
    async move {
        let [interrupt, terminate] = listening;
        let (mut interrupt, mut terminate) = (interrupt?, terminate?);
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        Ok(())
    }
}

/// Ends at ctrl-c.
#[cfg(not(unix))]
pub(crate) fn stop() -> impl Future<Output = io::Result<()>> {
    tokio::signal::ctrl_c()
}
