//! Licences and sources of everything that is linked, built or tested with.
//!
//! The lists stand in `deny.toml`, so that cargo-deny reads the same.

use std::fs;

use anyhow::{Context as _, Result};

use crate::finding::{self, Finding};
use crate::{spdx, workspace};

/// What matters of a package of the resolved graph.
struct Package {
    /// Name and version.
    name: String,
    licence: Option<String>,
    source: Source,
}

#[derive(Debug, PartialEq, Eq)]
enum Source {
    Workspace,
    CratesIo,
    /// A git repository or another registry.
    Other(String),
}

/// The lists of `deny.toml`.
#[derive(Debug, Default)]
struct Allowed {
    licences: Vec<String>,
    /// Crate and the further licences that it alone may have.
    exceptions: Vec<(String, Vec<String>)>,
}

pub(crate) fn run() -> Result<()> {
    let text = fs::read_to_string(workspace::root().join("deny.toml")).context("no deny.toml")?;
    let allowed = Allowed::parse(&text)?;
    let packages: Vec<Package> = workspace::metadata()?.packages.iter().map(package).collect();
    finding::none(
        &packages.iter().filter_map(|package| judge(package, &allowed)).collect::<Vec<_>>(),
    )
}

fn package(found: &cargo_metadata::Package) -> Package {
    Package {
        name: format!("{} {}", found.name, found.version),
        licence: found.license.clone(),
        source: match &found.source {
            None => Source::Workspace,
            Some(source) if source.is_crates_io() => Source::CratesIo,
            Some(source) => Source::Other(source.repr.clone()),
        },
    }
}

fn judge(package: &Package, allowed: &Allowed) -> Option<Finding> {
    if let Source::Other(source) = &package.source {
        return Some(Finding::new(
            &package.name,
            format!("comes from {source}"),
            "dependencies come from crates.io",
        ));
    }
    let Some(licence) = &package.licence else {
        return Some(Finding::new(
            &package.name,
            "declares no licence",
            "take another crate, or list it in deny.toml with its reason",
        ));
    };
    let finding = |wrong: String| {
        let right = "take another crate, or allow the licence in deny.toml";
        Some(Finding::new(&package.name, wrong, right))
    };
    match spdx::is_satisfied(licence, &allowed.for_package(&package.name)) {
        Ok(true) => None,
        Ok(false) => finding(format!("has the licence {licence}, which is not allowed")),
        Err(because) => {
            finding(format!("has the licence `{licence}`, which cannot be read: {because}"))
        }
    }
}

impl Allowed {
    fn parse(text: &str) -> Result<Self> {
        let table: toml::Table = text.parse().context("deny.toml is not TOML")?;
        let licences = table.get("licenses").context("deny.toml has no [licenses]")?;
        let strings = |value: Option<&toml::Value>| -> Vec<String> {
            let list = value.and_then(toml::Value::as_array);
            list.into_iter().flatten().filter_map(|one| one.as_str().map(String::from)).collect()
        };
        let exceptions = licences.get("exceptions").and_then(toml::Value::as_array);
        let exception = |entry: &toml::Value| {
            let name = entry.get("crate").or_else(|| entry.get("name"))?.as_str()?.to_owned();
            Some((name, strings(entry.get("allow"))))
        };
        Ok(Self {
            licences: strings(licences.get("allow")),
            exceptions: exceptions.into_iter().flatten().filter_map(exception).collect(),
        })
    }

    fn for_package(&self, name: &str) -> Vec<String> {
        let crate_name = name.split(' ').next().unwrap_or(name);
        let more = self.exceptions.iter().filter(|(only, _)| only == crate_name);
        self.licences.iter().chain(more.flat_map(|(_, licences)| licences)).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Allowed, Package, Source, judge};

    const DENY: &str = r#"
        [licenses]
        allow = ["MIT"]
        exceptions = [{ crate = "odd", allow = ["MPL-2.0"] }]
    "#;

    fn said(name: &str, licence: Option<&str>, source: Source) -> String {
        let allowed = Allowed::parse(DENY).expect("the list is good");
        let package = Package { name: name.to_owned(), licence: licence.map(String::from), source };
        judge(&package, &allowed).map(|finding| finding.to_string()).unwrap_or_default()
    }

    #[test]
    fn a_package_with_an_allowed_licence_from_the_registry_passes() {
        assert_eq!(said("good 1.0.0", Some("MIT OR GPL-3.0-only"), Source::CratesIo), "");
    }

    #[test]
    fn other_licences_are_named_and_an_exception_is_for_one_crate() {
        assert!(said("bad 1.0.0", Some("MPL-2.0"), Source::CratesIo).contains("MPL-2.0"));
        assert_eq!(said("odd 1.0.0", Some("MPL-2.0"), Source::CratesIo), "");
        assert!(said("bare 1.0.0", None, Source::CratesIo).contains("no licence"));
        assert!(said("torn 1.0.0", Some("MIT OR"), Source::CratesIo).contains("cannot be read"));
    }

    #[test]
    fn git_and_other_registries_are_refused_whatever_the_licence() {
        let git = Source::Other("git+https://example.com/x".to_owned());
        assert!(said("forked 1.0.0", Some("MIT"), git).contains("example.com"));
    }
}
