//! Proof that the core's own lint file is read and that each ban in it bites.
//!
//! Clippy takes the nearest `clippy.toml` and ignores a path that it cannot resolve, so a ban can be lost without a
//! word: by a moved file, a renamed function, a typing error. A fixture uses everything that is banned; clippy
//! must refuse all of it.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::{env, fs};

use anyhow::{Context as _, Result, bail};

use crate::finding::{self, Finding};
use crate::workspace;

const LINTS: &str = "crates/core/clippy.toml";
const FIXTURE: &str = "xtask/fixtures/core_bans.rs";

pub(crate) fn run() -> Result<()> {
    let root = workspace::root();
    let banned = banned(&fs::read_to_string(root.join(LINTS)).context(LINTS)?)?;
    let refused = refused(&clippy(&root)?);
    finding::none(&lost(&banned, &refused))
}

/// The paths that the lint file bans.
fn banned(text: &str) -> Result<BTreeSet<String>> {
    let table: toml::Table = text.parse().with_context(|| format!("{LINTS} is not TOML"))?;
    let list = |key: &str| table.get(key).and_then(toml::Value::as_array).cloned();
    let entries = ["disallowed-methods", "disallowed-types"].into_iter().filter_map(list).flatten();
    let path = |entry: toml::Value| {
        let path = entry.get("path").unwrap_or(&entry);
        path.as_str().map(String::from).with_context(|| format!("{LINTS}: a ban without a path"))
    };
    entries.map(path).collect()
}

/// What clippy says about the fixture, with the core's settings.
fn clippy(root: &Path) -> Result<String> {
    let sysroot = Command::new("rustc").args(["--print", "sysroot"]).output().context("rustc")?;
    let sysroot = String::from_utf8(sysroot.stdout).context("the sysroot is not UTF-8")?;
    let output = Command::new("clippy-driver")
        .env("CLIPPY_CONF_DIR", root.join(LINTS).parent().expect("the lint file lies in a folder"))
        .env("SYSROOT", sysroot.trim())
        .args(["--edition", "2024", "--crate-type", "lib", "--emit", "metadata", "-o"])
        .arg(env::temp_dir().join(format!("fairlane-bans-{}.rmeta", std::process::id())))
        .args(["-D", "clippy::disallowed_methods", "-D", "clippy::disallowed_types"])
        .arg(root.join(FIXTURE))
        .output()
        .context("clippy-driver does not start; `rustup component add clippy` installs it")?;
    if output.status.success() {
        bail!("clippy finds nothing wrong with {FIXTURE}: the lints of {LINTS} are not in force");
    }
    Ok(String::from_utf8_lossy(&output.stderr).into_owned())
}

/// The paths in the messages "use of a disallowed method `path`".
fn refused(said: &str) -> BTreeSet<String> {
    said.lines()
        .filter(|line| line.starts_with("error: use of a disallowed"))
        .filter_map(|line| line.split('`').nth(1).map(String::from))
        .collect()
}

fn lost(banned: &BTreeSet<String>, refused: &BTreeSet<String>) -> Vec<Finding> {
    let finding = |path: &String| {
        Finding::new(
            LINTS,
            format!("the ban of {path} does not bite"),
            format!("see that the path is right, and that {FIXTURE} uses it"),
        )
    };
    banned.difference(refused).map(finding).collect()
}

#[cfg(test)]
mod tests {
    use super::{banned, lost, refused};

    #[test]
    fn a_ban_that_clippy_does_not_report_is_lost() {
        let text = "disallowed-methods = [{ path = \"a::b\", reason = \"r\" }, \"c::d\"]\n";
        let banned = banned(text).expect("the list is good");
        let said = "error: use of a disallowed method `a::b`\n  --> x\nwarning: `c::d`\n";
        let found = lost(&banned, &refused(said));
        assert_eq!(found.len(), 1);
        assert!(found[0].wrong.contains("c::d"), "{}", found[0]);
    }
}
