//! The one place that prints.

/// What was asked for: standard output.
#[expect(clippy::print_stdout, reason = "this is the printer")]
pub(crate) fn say(text: &str) {
    println!("{text}");
}

/// Progress and complaints: standard error, in order with what the started programs write there.
#[expect(clippy::print_stderr, reason = "this is the printer")]
pub(crate) fn complain(text: &str) {
    eprintln!("{text}");
}
