//! Dependencies that no source file names.
//!
//! A crate is used if its identifier stands in the code: in the sources for a normal dependency, in sources, tests,
//! benches or examples for one of tests, in the build script for one of that. Comments do not count.

use anyhow::{Context as _, Result};

use super::{Kind, Member, Need};
use crate::finding::Finding;
use crate::tree::File;
use crate::words::{code, has_word};

/// Lines of crates' manifests that could go.
pub(super) fn in_manifests(members: &[Member], files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for member in members {
        for need in &member.needs {
            if !is_named(member, need, files) {
                findings.push(Finding::new(
                    format!("{}/Cargo.toml", member.folder),
                    format!(
                        "{} is declared, and {} names `{}`",
                        need.package,
                        nobody(need.kind),
                        need.identifier
                    ),
                    "remove the line, or move it to the section of those that need it",
                ));
            }
        }
    }
    findings
}

/// Lines of `[workspace.dependencies]` that no crate takes.
pub(super) fn in_workspace(members: &[Member], files: &[File]) -> Result<Vec<Finding>> {
    let manifest = files.iter().find(|file| file.path == "Cargo.toml").context("no Cargo.toml")?;
    let table: toml::Table = manifest.text.parse().context("Cargo.toml is not TOML")?;
    let declared = table
        .get("workspace")
        .and_then(|workspace| workspace.get("dependencies"))
        .and_then(toml::Value::as_table)
        .context("Cargo.toml has no [workspace.dependencies]")?;
    let is_taken = |name: &str| {
        members.iter().flat_map(|member| &member.needs).any(|need| need.package == name)
    };
    let unused = declared.keys().filter(|name| !is_taken(name)).map(|name| {
        Finding::new(
            "Cargo.toml",
            format!("[workspace.dependencies] has {name}, and no crate takes it"),
            "remove the line",
        )
    });
    Ok(unused.collect())
}

const fn nobody(kind: Kind) -> &'static str {
    match kind {
        Kind::Normal => "no source file",
        Kind::Test => "no source file, test, bench or example",
        Kind::Build => "no build script",
    }
}

fn is_named(member: &Member, need: &Need, files: &[File]) -> bool {
    let parts: &[&str] = match need.kind {
        Kind::Normal => &["src/"],
        Kind::Test => &["src/", "tests/", "benches/", "examples/"],
        Kind::Build => &["build.rs"],
    };
    files.iter().filter(|file| file.is_rust()).any(|file| {
        file.path
            .strip_prefix(&member.folder)
            .and_then(|path| path.strip_prefix('/'))
            .is_some_and(|path| parts.iter().any(|part| path.starts_with(part)))
            && file.text.lines().any(|line| has_word(code(line), &need.identifier))
    })
}
