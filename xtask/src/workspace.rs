//! Where the workspace is, and what cargo knows of it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use cargo_metadata::{Metadata, MetadataCommand};

/// The folder of the workspace, in which all checks run.
pub(crate) fn root() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().expect("xtask lies in the workspace").to_path_buf()
}

/// The cargo that started this program.
pub(crate) fn cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// The resolved graph for this machine's platform: what other platforms would need may not have been fetched.
pub(crate) fn metadata() -> Result<Metadata> {
    let host = host()?;
    MetadataCommand::new()
        .cargo_path(PathBuf::from(cargo()))
        .current_dir(root())
        .other_options(["--locked", "--filter-platform", &host].map(String::from))
        .exec()
        .context("cargo cannot resolve the workspace (is Cargo.lock up to date?)")
}

fn host() -> Result<String> {
    let output = Command::new("rustc").arg("-vV").output().context("rustc does not start")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("`rustc -vV` names no host")?.to_owned())
}
