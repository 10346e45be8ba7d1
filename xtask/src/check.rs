//! The list of checks, and how one is run: said what, timed, and explained when it fails.
//!
//! What is quick comes first, so that a slip in a document does not cost a build. The test suite comes last and
//! nothing is printed after it on success, so that the output closes with the test runner's own summary.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;

use crate::{bans, cargo, console, dashboard, deps, licences, tidy};

struct Check {
    name: &'static str,
    what: &'static str,
    run: fn() -> Result<()>,
}

const CHECKS: &[Check] = &[
    Check { name: "fmt", what: "every file is formatted", run: cargo::fmt },
    Check { name: "tidy", what: "sizes, headers, leftovers, paths in documents", run: tidy::run },
    Check { name: "deps", what: "dependencies point down and are used", run: deps::run },
    Check {
        name: "licences",
        what: "licences and sources of dependencies are allowed",
        run: licences::run,
    },
    Check {
        name: "advisories",
        what: "no dependency has a known weakness, as far as is known here",
        run: cargo::advisories,
    },
    // Before anything is compiled: the server embeds it.
    Check { name: "dashboard", what: "the page for browsers is built", run: dashboard::build },
    Check { name: "clippy", what: "lints, with warnings denied", run: cargo::clippy },
    Check { name: "bans", what: "the lints that keep the core pure really bite", run: bans::run },
    Check { name: "doc", what: "rustdoc, with warnings denied", run: cargo::doc },
    Check { name: "doctest", what: "examples in rustdoc", run: cargo::doctest },
    Check { name: "browser", what: "the dashboard in a browser", run: dashboard::browse },
    Check { name: "test", what: "the test suite", run: cargo::test },
];

/// All checks in order, up to the first that fails.
pub(crate) fn run_all() -> ExitCode {
    let started = Instant::now();
    for (at, check) in CHECKS.iter().enumerate() {
        let is_last = at + 1 == CHECKS.len();
        if is_last {
            console::complain(&format!("all other checks passed in {}", since(started)));
        }
        if !pass(check, is_last) {
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// The check of that name.
pub(crate) fn run_one(name: &str) -> ExitCode {
    match CHECKS.iter().find(|check| check.name == name) {
        Some(check) if pass(check, check.name == "test") => ExitCode::SUCCESS,
        Some(_) => ExitCode::FAILURE,
        None => {
            console::complain(&format!("there is no check `{name}`\n\n{}", usage()));
            ExitCode::from(2)
        }
    }
}

pub(crate) fn usage() -> String {
    let mut text = String::from(
        "usage: cargo xtask ci       every check, then the test suite\n       \
         cargo xtask CHECK    one of:\n",
    );
    for check in CHECKS {
        let _ = write!(text, "\n  {:<10} {}", check.name, check.what);
    }
    text
}

/// Runs one check. One that speaks for itself at its end is not followed by a line of ours.
fn pass(check: &Check, speaks_for_itself: bool) -> bool {
    let Check { name, what, run } = check;
    console::complain(&format!("== {name}: {what}"));
    let started = Instant::now();
    match run() {
        Ok(()) => {
            if !speaks_for_itself {
                console::complain(&format!("   {name} passed in {}", since(started)));
            }
            true
        }
        Err(error) => {
            console::complain(&format!(
                "\n{name} FAILED after {}: {error:#}\n\nTo run it alone: cargo xtask {name}",
                since(started)
            ));
            false
        }
    }
}

fn since(started: Instant) -> String {
    format!("{:.1} s", started.elapsed().as_secs_f32())
}
