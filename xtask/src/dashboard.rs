//! The dashboard: made with Node from its own folder, and tried in a browser against the server that embeds it.
//!
//! Nothing but these two checks needs Node or a browser. What is missing is installed where that takes no question (by
//! root, with the system's own packages), and otherwise named with what installs it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::console;
use crate::workspace;

/// The oldest Node that the bundler runs on.
const NODE_MIN: (u32, u32) = (20, 19);
/// What a browser that the tests can drive is called.
const BROWSERS: &[&str] =
    &["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
/// Names another browser, or one that is not in `PATH`.
const BROWSER_VARIABLE: &str = "FAIRLANE_BROWSER";
/// What was installed, beside it: the lock file as it was then.
const INSTALLED: &str = "node_modules/.installed-lock.json";

/// Installs what the lock file says, checks the types against the API's document, and builds the page.
pub(crate) fn build() -> Result<()> {
    node()?;
    let folder = folder();
    let lock = fs::read_to_string(folder.join("package-lock.json"))?;
    let installed = folder.join(INSTALLED);
    if fs::read_to_string(&installed).ok().as_ref() != Some(&lock) {
        let help = "it needs the registry of packages that npm is set up with";
        npm(&["ci", "--ignore-scripts", "--no-audit", "--no-fund"], help)?;
        fs::write(installed, lock)?;
    }
    npm(&["run", "--silent", "types"], "is docs/reference/openapi.json as it should be?")?;
    npm(&["run", "--silent", "check"], "each line above is a mistake of types")?;
    npm(&["run", "--silent", "build"], "the reason is above")
}

/// Tries every page of it in a browser.
pub(crate) fn browse() -> Result<()> {
    let browser = browser()?;
    build()?;
    let mut command = Command::new(workspace::cargo());
    // What the test suite builds, so that nothing is built twice.
    command.args([
        "test",
        "--locked",
        "--workspace",
        "--lib",
        "--bins",
        "--tests",
        "--no-run",
        "--quiet",
    ]);
    finish(command.current_dir(workspace::root()), "the reason is above")?;
    let target = workspace::metadata()?.target_directory;
    let mut tests = Command::new("npm");
    tests.args(["run", "--silent", "test"]).current_dir(folder());
    tests.env("FAIRLANE_BINARY", target.join("debug/fairlane")).env(BROWSER_VARIABLE, browser);
    finish(
        &mut tests,
        "the failures are above, and what the browser showed is in dashboard/test-results",
    )
}

fn folder() -> PathBuf {
    workspace::root().join("dashboard")
}

/// Node, in a version that will do.
fn node() -> Result<()> {
    let found = version().or_else(|| {
        install(&["nodejs", "npm"]);
        version()
    });
    let (major, minor) = NODE_MIN;
    let expected = format!("Node {major}.{minor} or newer with npm makes the dashboard");
    match found {
        Some(found) if found >= NODE_MIN && succeeds("npm", &["--version"]) => Ok(()),
        Some((major, minor)) => bail!("{expected}; there is Node {major}.{minor}"),
        None => bail!(
            "{expected}, and is not installed (`apt-get install nodejs npm`, `brew install node`)"
        ),
    }
}

fn version() -> Option<(u32, u32)> {
    let output = Command::new("node").arg("--version").output().ok()?;
    parse(&String::from_utf8(output.stdout).ok()?)
}

/// `v20.19.2`
fn parse(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.trim().strip_prefix('v')?.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn browser() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os(BROWSER_VARIABLE) {
        return Ok(named.into());
    }
    let found = || BROWSERS.iter().find_map(|name| in_path(name));
    let found = found().or_else(|| {
        install(&["chromium"]);
        found()
    });
    found.with_context(|| {
        format!(
            "the dashboard is tried in Chromium, which is not installed (`apt-get install chromium`); \
             {BROWSER_VARIABLE} names one that is not in PATH"
        )
    })
}

fn in_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// Where somebody would be asked for a password, or there is no such package manager, nothing happens.
fn install(packages: &[&str]) {
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n");
    if !is_root || !succeeds("apt-get", &["--version"]) {
        return;
    }
    console::complain(&format!("   (installing {})", packages.join(", ")));
    // Whether it went well shows when it is looked for again.
    let _ = Command::new("apt-get").args(["update", "--quiet"]).status();
    let mut command = Command::new("apt-get");
    command.args(["install", "--yes", "--quiet", "--no-install-recommends"]).args(packages);
    let _ = command.env("DEBIAN_FRONTEND", "noninteractive").status();
}

fn succeeds(program: &str, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
}

fn npm(arguments: &[&str], help: &str) -> Result<()> {
    let mut command = Command::new("npm");
    // The browser is the system's.
    command.env("PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD", "1");
    finish(command.args(arguments).current_dir(folder()), help)
}

fn finish(command: &mut Command, help: &str) -> Result<()> {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(|word| Path::new(word).display().to_string()).collect();
    let line = words.join(" ");
    let status = command.status().with_context(|| format!("`{line}` could not be started"))?;
    if !status.success() {
        bail!("`{line}` failed; {help}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn versions_of_node_are_read() {
        assert_eq!(parse("v20.19.2\n"), Some((20, 19)));
        assert_eq!(parse("v24.0.0"), Some((24, 0)));
        assert_eq!(parse("20.19.2"), None);
        assert_eq!(parse("v20"), None);
    }
}
