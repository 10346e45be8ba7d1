//! The checks that are a cargo command: formatting, lints, rustdoc, tests.
//!
//! All use the development profile and one target folder: lints and rustdoc share the metadata of dependencies,
//! doctests and tests share their code, so that nothing is compiled twice.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::console;
use crate::workspace;

pub(crate) fn fmt() -> Result<()> {
    component("fmt", "rustfmt")?;
    run(&["fmt", "--all", "--check"], "`cargo fmt --all` puts it right")
}

pub(crate) fn clippy() -> Result<()> {
    component("clippy", "clippy")?;
    let arguments = ["clippy", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"];
    run(&arguments, "each warning above says what would be right")
}

pub(crate) fn doc() -> Result<()> {
    let mut command = cargo(&["doc", "--locked", "--workspace", "--no-deps"]);
    command.env("RUSTDOCFLAGS", "-D warnings");
    finish(command, "each warning above says what would be right")
}

pub(crate) fn doctest() -> Result<()> {
    run(&["test", "--locked", "--workspace", "--doc", "--quiet"], "the failures are above")
}

pub(crate) fn test() -> Result<()> {
    let help = "the failures are above";
    if succeeds(&["nextest", "--version"]) {
        return run(&["nextest", "run", "--locked", "--workspace"], help);
    }
    console::complain(
        "   (cargo-nextest is not installed: the tests run by cargo test, a crate at a time)",
    );
    run(&["test", "--locked", "--workspace", "--lib", "--bins", "--tests"], help)
}

/// Asks cargo-deny and the copy of the advisory database that it keeps on this machine. Nothing is fetched: a check that depends
/// on the network fails for what is no fault of the change. Where one of the two is missing, that is said.
pub(crate) fn advisories() -> Result<()> {
    let kept = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let kept = kept.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    let has_database = kept.is_some_and(|home| home.join("advisory-dbs").is_dir());
    let missing = match (succeeds(&["deny", "--version"]), has_database) {
        (false, _) => "cargo-deny is not installed: `cargo install --locked cargo-deny`",
        (true, false) => "there is no advisory database: `cargo deny fetch`",
        (true, true) => {
            let arguments = ["deny", "--offline", "check", "advisories"];
            return run(&arguments, "each advisory above says which release is right");
        }
    };
    console::complain(&format!("   (not run: {missing})"));
    Ok(())
}

/// Says how to get a part of the toolchain that is not there.
fn component(subcommand: &str, component: &str) -> Result<()> {
    if !succeeds(&[subcommand, "--version"]) {
        bail!("{component} is not installed; `rustup component add {component}` installs it");
    }
    Ok(())
}

fn succeeds(arguments: &[&str]) -> bool {
    cargo(arguments).output().is_ok_and(|output| output.status.success())
}

fn run(arguments: &[&str], help: &str) -> Result<()> {
    finish(cargo(arguments), help)
}

fn finish(mut command: Command, help: &str) -> Result<()> {
    let words: Vec<_> =
        command.get_args().map(|word| word.to_string_lossy().into_owned()).collect();
    let line = format!("cargo {}", words.join(" "));
    let status = command.status().with_context(|| format!("`{line}` could not be started"))?;
    if !status.success() {
        bail!("`{line}` failed; {help}");
    }
    Ok(())
}

fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(workspace::cargo());
    command.args(arguments).current_dir(workspace::root());
    command
}
