//! The only place that prints. Data goes to stdout, for people or as JSON; everything else goes to stderr.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::exit;

/// How a command speaks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Printer {
    json: bool,
}

impl Printer {
    pub(crate) const fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether data is written for programs.
    pub(crate) const fn is_json(self) -> bool {
        self.json
    }

    /// The command's answer: `value` as JSON, or what `people` makes of it.
    pub(crate) fn data<T: Serialize + ?Sized>(
        self,
        value: &T,
        people: impl FnOnce(&T) -> String,
    ) -> anyhow::Result<()> {
        if self.json {
            return self.text(&serde_json::to_string_pretty(value)?);
        }
        self.text(&people(value))
    }

    /// One of many answers that come one after the other: on a line of its own, as JSON too.
    pub(crate) fn line<T: Serialize + ?Sized>(
        self,
        value: &T,
        people: impl FnOnce(&T) -> String,
    ) -> anyhow::Result<()> {
        let line = if self.json { serde_json::to_string(value)? } else { people(value) };
        self.text(&line)
    }

    /// Text for stdout as it is, with a line end if it has none. Nothing if it is empty.
    #[expect(clippy::unused_self, reason = "whoever prints has a printer")]
    pub(crate) fn text(self, text: &str) -> anyhow::Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        let mut out = std::io::stdout().lock();
        out.write_all(text.as_bytes())?;
        if !text.ends_with('\n') {
            out.write_all(b"\n")?;
        }
        out.flush()?;
        Ok(())
    }

    /// A remark for whoever watches.
    #[expect(clippy::unused_self, reason = "whoever prints has a printer")]
    pub(crate) fn note(self, text: &str) {
        // There is nobody to tell if stderr is gone.
        let _ = writeln!(std::io::stderr().lock(), "{text}");
    }

    /// Why the command failed.
    pub(crate) fn failure(self, error: &anyhow::Error) {
        let code = exit::code(error);
        let text = sentence(error);
        if code == exit::Code::Ok || text.is_empty() {
            return;
        }
        if !self.json {
            self.note(&format!("error: {text}"));
            for further in further(error) {
                self.note(&format!("  also: {further}"));
            }
            if let Some(hint) = hint(error) {
                self.note(&format!("  hint: {hint}"));
            }
            return;
        }
        let problem = error.chain().find_map(|cause| {
            cause.downcast_ref::<fairlane_client::Error>().and_then(fairlane_client::Error::problem)
        });
        let document = json!({ "error": text, "exit_code": code as u8, "problem": problem });
        self.note(&document.to_string());
    }

    /// Progress of work whose length is known. Invisible where nobody watches.
    pub(crate) fn bar(self, length: u64, what: &'static str) -> ProgressBar {
        let style = ProgressStyle::with_template("{msg} [{wide_bar}] {pos}/{len} {eta}")
            .map_or_else(|_| ProgressStyle::default_bar(), |style| style.progress_chars("=> "));
        self.progress(ProgressBar::new(length).with_style(style).with_message(what))
    }

    /// Progress of work that takes as long as it takes.
    pub(crate) fn spinner(self, what: impl Into<std::borrow::Cow<'static, str>>) -> ProgressBar {
        let bar = self.progress(ProgressBar::new_spinner().with_message(what));
        bar.enable_steady_tick(Duration::from_millis(100));
        bar
    }

    fn progress(self, bar: ProgressBar) -> ProgressBar {
        if self.json || !std::io::stderr().is_terminal() {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        bar
    }
}

/// What clap has to say: help on stdout, mistakes on stderr.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    let _ = error.print();
    let code = if error.use_stderr() { exit::Code::Usage } else { exit::Code::Ok };
    code.into()
}

/// The error and its causes, each once: a layer may quote the one below.
fn sentence(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// What else is wrong with a value that breaks its schema: the sentence has the first mistake only.
fn further(error: &anyhow::Error) -> Vec<String> {
    #[derive(Default, Deserialize)]
    struct Facts {
        #[serde(default)]
        violations: Vec<Violation>,
    }
    #[derive(Deserialize)]
    struct Violation {
        pointer: String,
        message: String,
    }
    let problem = error.chain().find_map(|cause| {
        cause.downcast_ref::<fairlane_client::Error>().and_then(fairlane_client::Error::problem)
    });
    let facts = problem.and_then(|problem| problem.facts.as_ref());
    let facts: Facts =
        facts.and_then(|facts| serde_json::from_str(facts.get()).ok()).unwrap_or_default();
    let rest = facts.violations.into_iter().skip(1);
    rest.map(|violation| format!("{} (at /input{})", violation.message, violation.pointer))
        .collect()
}

/// What to try next.
fn hint(error: &anyhow::Error) -> Option<&'static str> {
    use fairlane_api::Code;
    use fairlane_client::Error;
    let error = error.chain().find_map(|cause| cause.downcast_ref::<Error>())?;
    match error {
        Error::Tls { .. } => Some(
            "--ca-file or FAIRLANE_CA_FILE names certificates to trust besides those that browsers trust; http:// is for \
             servers without TLS",
        ),
        Error::Connect { .. } => Some(
            "is the server running? `fairlane dev` starts one; --url or FAIRLANE_URL names another",
        ),
        _ => match error.code()? {
            Code::Unauthenticated => Some("give a key with --key or FAIRLANE_KEY"),
            Code::UnknownTenant => Some("`fairlane tenant list` shows the tenants"),
            Code::UnknownWorkflow => Some("`fairlane workflow list` shows the workflows"),
            Code::UnknownModel => Some("`fairlane model list` shows the models"),
            Code::UnknownPrice => Some("`fairlane price list` shows the prices"),
            Code::UnknownPolicy => Some("`fairlane policy list` shows the policies"),
            Code::UnknownPool => Some("`fairlane pool list` shows the pools"),
            Code::UnknownReview => Some("`fairlane review list` shows what you may decide"),
            Code::ReviewNotClaimed | Code::ClaimOver => {
                Some("`fairlane review claim REVIEW` claims it")
            }
            Code::ReviewNotNext => Some("`fairlane review claim` claims the one whose turn it is"),
            _ => None,
        },
    }
}
