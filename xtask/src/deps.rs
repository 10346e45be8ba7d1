//! Which crate may know which, and that nothing is depended on that no source file names.
//!
//! The arrows of `docs/architecture.md` stand here as a table, and cargo is asked whether the manifests keep to
//! them. Dependencies of tests count like the others, apart from the core's own list: a test that needs a crate
//! from above belongs there.

mod unused;

use anyhow::Result;
use cargo_metadata::DependencyKind;

use crate::finding::{self, Finding};
use crate::words::code;
use crate::{tree, workspace};

/// A crate of the workspace, and the crates of the workspace that it may depend on.
const ARROWS: &[(&str, &[&str])] = &[
    ("fairlane-core", &[]),
    ("fairlane-audit", &["fairlane-fuzz"]),
    ("fairlane-api", &[]),
    ("fairlane-workflow", &["fairlane-core", "fairlane-fuzz"]),
    ("fairlane-store", &["fairlane-core", "fairlane-audit"]),
    ("fairlane-client", &["fairlane-api"]),
    ("fairlane-fake-provider", &[]),
    ("fairlane-fuzz", &[]),
    (
        "fairlane-server",
        &[
            "fairlane-core",
            "fairlane-store",
            "fairlane-audit",
            "fairlane-api",
            "fairlane-workflow",
            "fairlane-fake-provider",
            "fairlane-fuzz",
        ],
    ),
    ("fairlane-sim", &["fairlane-core", "fairlane-store", "fairlane-workflow"]),
    (
        "fairlane",
        &[
            "fairlane-core",
            "fairlane-store",
            "fairlane-audit",
            "fairlane-api",
            "fairlane-workflow",
            "fairlane-client",
            "fairlane-server",
            "fairlane-sim",
            "fairlane-fake-provider",
        ],
    ),
    ("xtask", &[]),
];

/// Crates of the workspace that are no part of the product: only tests may name them.
const TESTS_ONLY: &[&str] = &["fairlane-fake-provider", "fairlane-fuzz"];

/// What the core may take from outside: data crates, which bring no clock, no files and no threads.
const CORE_ALLOWED: &[&str] =
    &["cedar-policy", "jiff", "miette", "serde", "serde_json", "thiserror"];
const CORE_TESTS_ALLOWED: &[&str] = &["expect-test", "proptest"];

/// Crates from outside that only these may depend on.
const RESERVED: &[(&str, &[&str], &str)] = &[
    ("rusqlite", &["fairlane-store"], "only the store holds SQL"),
    (
        "tokio",
        &["fairlane-server", "fairlane-client", "fairlane-fake-provider", "fairlane"],
        "only what speaks to the network waits asynchronously",
    ),
    ("cedar-policy", &["fairlane-core"], "the core decides what policies say"),
    ("cel", &["fairlane-workflow"], "expressions belong to the workflow format"),
    ("axum", &["fairlane-server"], "only the server serves HTTP"),
];

/// Modules of the core that compose the others, and siblings that know nothing of each other, and the only places that may
/// name them. Tests may name anything.
const CORE_COMPOSERS: &[(&str, &[&str])] = &[
    ("cell", &["cell.rs", "cell/", "driver.rs"]),
    ("driver", &["driver.rs"]),
    ("limiter", &["limiter.rs", "limiter/", "cell.rs", "cell/"]),
    ("ledger", &["ledger.rs", "ledger/", "cell.rs", "cell/"]),
    ("notices", &["notices.rs", "notices/", "cell.rs", "cell/"]),
    ("reviews", &["reviews.rs", "reviews/", "cell.rs", "cell/"]),
    ("policy", &["policy.rs", "policy/", "gate.rs", "reject.rs", "cell.rs", "cell/"]),
];

/// A crate of the workspace as its manifest declares it.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) name: String,
    /// The folder from the root of the repository.
    pub(crate) folder: String,
    pub(crate) needs: Vec<Need>,
}

/// One line of a manifest's dependencies.
#[derive(Debug)]
pub(crate) struct Need {
    pub(crate) package: String,
    /// How source files name it.
    pub(crate) identifier: String,
    pub(crate) kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Normal,
    Test,
    Build,
}

pub(crate) fn run() -> Result<()> {
    let members = members()?;
    let files = tree::files(&workspace::root())?;
    let mut findings = directions(&members);
    findings.extend(unused::in_manifests(&members, &files));
    findings.extend(unused::in_workspace(&members, &files)?);
    findings.extend(composers(&files));
    finding::none(&findings)
}

/// Arrows that point up or out of the lists above.
fn directions(members: &[Member]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for member in members {
        let Some((_, below)) = ARROWS.iter().find(|(name, _)| *name == member.name) else {
            findings.push(Finding::new(
                &member.folder,
                format!("the crate {} has no place in the order of crates", member.name),
                "give it one in xtask/src/deps.rs and in docs/architecture.md",
            ));
            continue;
        };
        for need in &member.needs {
            findings.extend(direction(member, below, need));
        }
    }
    findings
}

fn direction(member: &Member, below: &[&str], need: &Need) -> Option<Finding> {
    let place = format!("{}/Cargo.toml", member.folder);
    let wrong = format!("{} depends on {}", member.name, need.package);
    let package = need.package.as_str();
    if TESTS_ONLY.contains(&package) && need.kind != Kind::Test {
        return Some(Finding::new(place, wrong, "only its tests may: a line of dev-dependencies"));
    }
    if ARROWS.iter().any(|(name, _)| *name == package) {
        return (!below.contains(&package)).then(|| {
            let right = if below.is_empty() {
                "it may depend on no crate of the workspace".to_owned()
            } else {
                format!("it may depend on {}", below.join(", "))
            };
            Finding::new(place, wrong, right)
        });
    }
    if member.name == "fairlane-core" {
        let is_allowed = CORE_ALLOWED.contains(&package)
            || (need.kind == Kind::Test && CORE_TESTS_ALLOWED.contains(&package));
        return (!is_allowed).then(|| {
            let right = format!(
                "the core may take {} (its tests: {}); more needs a decision record",
                CORE_ALLOWED.join(", "),
                CORE_TESTS_ALLOWED.join(", ")
            );
            Finding::new(place, wrong, right)
        });
    }
    let (_, holders, why) = RESERVED.iter().find(|(name, ..)| *name == package)?;
    (!holders.contains(&member.name.as_str()))
        .then(|| Finding::new(place, wrong, format!("{why}: {}", holders.join(", "))))
}

/// Files of the core that name a module above them.
fn composers(files: &[tree::File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files {
        let Some(path) = file.path.strip_prefix("crates/core/src/") else { continue };
        if path.split('/').any(|part| part == "tests" || part == "tests.rs") {
            continue;
        }
        for (module, allowed) in CORE_COMPOSERS {
            if path == "lib.rs" || allowed.iter().any(|start| path.starts_with(start)) {
                continue;
            }
            let named = format!("crate::{module}::");
            for (line, text) in (1..).zip(file.text.lines()) {
                if code(text).contains(&named) {
                    findings.push(Finding::new(
                        format!("{}:{line}", file.path),
                        format!("names the module `{module}`, which stands above it"),
                        format!("only {} may; pass in what is needed", allowed.join(", ")),
                    ));
                }
            }
        }
    }
    findings
}

fn members() -> Result<Vec<Member>> {
    let metadata = workspace::metadata()?;
    let root = metadata.workspace_root.clone();
    let member = |package: &cargo_metadata::Package| {
        let folder = package.manifest_path.parent().expect("a manifest lies in a folder");
        let need = |need: &cargo_metadata::Dependency| Need {
            package: need.name.clone(),
            identifier: need.rename.as_ref().unwrap_or(&need.name).replace('-', "_"),
            kind: match need.kind {
                DependencyKind::Development => Kind::Test,
                DependencyKind::Build => Kind::Build,
                _ => Kind::Normal,
            },
        };
        Member {
            name: package.name.to_string(),
            folder: folder.strip_prefix(&root).unwrap_or(folder).to_string(),
            needs: package.dependencies.iter().map(need).collect(),
        }
    };
    Ok(metadata.workspace_packages().into_iter().map(member).collect())
}

#[cfg(test)]
mod tests;
