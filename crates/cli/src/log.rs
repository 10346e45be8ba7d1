//! The log, on standard error. It is for people who look after a process, not the answer of a command.

use tracing_subscriber::EnvFilter;

/// What is logged, as `tracing` filters are written: `info`, or `fairlane_server=debug,warn`.
const VARIABLE: &str = "FAIRLANE_LOG";

/// Logs in lines for people.
pub(crate) fn text(level: &str) {
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter(level));
    // Only the first one of a process counts.
    let _ = subscriber.with_writer(std::io::stderr).try_init();
}

/// Logs in lines of JSON: what is said in each, and of which request or run it is said in `span`.
pub(crate) fn json(level: &str) {
    let subscriber = tracing_subscriber::fmt().json().flatten_event(true).with_span_list(false);
    let subscriber = subscriber.with_env_filter(filter(level));
    let _ = subscriber.with_writer(std::io::stderr).try_init();
}

fn filter(level: &str) -> EnvFilter {
    EnvFilter::try_from_env(VARIABLE).unwrap_or_else(|_| EnvFilter::new(level))
}
