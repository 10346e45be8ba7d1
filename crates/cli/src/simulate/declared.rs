//! What is declared in each play, as a server that starts would read it from its store.
//!
//! A server of its own, on a temporary folder, reads the files, so that they are refused for the same reasons and mean the
//! same. Where a play changes something, another one goes on from a copy of that folder.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use fairlane_core::cell::change::Snapshot;
use fairlane_store::Store as _;
use fairlane_store::sqlite::SqliteStore;
use serde_json::{Value, json};

use super::scenario::Read;
use super::variant::{Nulls, Variant, merge};
use crate::apply;
use crate::apply::resource::{Origin, escape};
use crate::declarations::{self, Sections};
use crate::load::stage::{self, Stage};
use crate::mistake::{self, Mistake};
use crate::printer::Printer;

/// Sections whose declarations a play can change.
const CHANGED: &str =
    "tenants, tiers, orgs, pools, budget_classes, tools, models, prices or reviewer_pools";

/// The folder of a server that has read the files.
#[derive(Debug)]
pub(super) struct Declared {
    folder: tempfile::TempDir,
    all: Sections,
}

impl Declared {
    pub(super) async fn read(printer: Printer, files: &[PathBuf]) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
        let stage = Stage::start(Some(folder.path())).await?;
        let applied = apply::load(stage.client(), printer, files).await;
        let all = declarations::read(stage.client()).await;
        stage.stop().await;
        applied?;
        Ok(Self { folder, all: all? })
    }

    /// As the files say.
    pub(super) fn unchanged(&self) -> anyhow::Result<Snapshot> {
        snapshot(self.folder.path())
    }

    /// As one play has it, with the names of the tenants that it declares.
    pub(super) async fn changed(
        &self,
        printer: Printer,
        read: &Read,
        (at, variant): (usize, &Variant),
    ) -> anyhow::Result<(Snapshot, BTreeSet<String>)> {
        let origin = variant
            .origin
            .clone()
            .unwrap_or_else(|| Origin { pointer: format!("/compare/{at}"), ..read.origin.clone() });
        let (changes, mistakes) = self.changes(read, variant, &origin);
        mistake::report(printer, mistakes)?;
        let tenants = changes.iter().filter(|(section, ..)| *section == "tenants");
        let tenants = tenants.map(|(_, name, ..)| name.clone()).collect();
        let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
        copy(self.folder.path(), folder.path())?;
        let stage = Stage::start(Some(folder.path())).await?;
        let applied = apply::change(stage.client(), printer, changes).await;
        stage.stop().await;
        applied?;
        Ok((snapshot(folder.path())?, tenants))
    }

    /// What is declared anew: what was, with the changes on it.
    fn changes(&self, read: &Read, variant: &Variant, origin: &Origin) -> (Changes, Vec<Mistake>) {
        let (mut changes, mut mistakes) = (Vec::new(), Vec::new());
        let mut wrong = |pointer: &str, message: String, expected: &str| {
            let at = origin.key_place(pointer);
            mistakes.push(origin.mistake(at, "unknown-name", message, Some(expected.to_owned())));
        };
        for (section, named) in &variant.change {
            let pointer = format!("/change/{}", escape(section));
            let Some((section, known)) = self.all.get_key_value(section.as_str()) else {
                wrong(&pointer, format!("there is no section `{section}`"), CHANGED);
                continue;
            };
            for (name, change) in named {
                let pointer = format!("{pointer}/{}", escape(name));
                let mut value = match known.get(name) {
                    Some(value) => value.clone(),
                    None if *section == "tenants" && member(read, name).is_some() => {
                        let (org, tier) = member(read, name).unwrap_or_default();
                        let origin = Origin {
                            pointer: format!("{}{pointer}", origin.pointer),
                            ..origin.clone()
                        };
                        let is_changed = |orgs: &BTreeMap<String, _>| orgs.contains_key(&org);
                        let is_changed = variant.change.get("orgs").is_some_and(is_changed);
                        if !is_changed && !self.all["orgs"].contains_key(&org) {
                            changes.push(("orgs", org.clone(), json!({}), origin));
                        }
                        json!({ "org": org, "tier": tier })
                    }
                    None if *section == "orgs" && is_org_of_member(read, name) => json!({}),
                    None => {
                        let section = section.replace('_', " ");
                        wrong(
                            &pointer,
                            format!("{name} is not among the {section} that are declared"),
                            "the name of one",
                        );
                        continue;
                    }
                };
                merge(&mut value, Value::Object(change.clone()), Nulls::Drop);
                let origin =
                    Origin { pointer: format!("{}{pointer}", origin.pointer), ..origin.clone() };
                changes.push((*section, name.clone(), value, origin));
            }
        }
        (changes, mistakes)
    }
}

type Changes = Vec<(&'static str, String, Value, Origin)>;

/// The organisation and the tier of a tenant that is in a group.
fn member(read: &Read, tenant: &str) -> Option<(String, String)> {
    let scenario = &read.scenario;
    let name = scenario.group_of(tenant);
    let group = scenario.groups.get(name)?;
    let members = scenario.members(name);
    let (_, org) = members.into_iter().find(|(member, _)| member == tenant)?;
    Some((org, group.tier.clone()))
}

/// Whether a tenant of a group is in that organisation.
fn is_org_of_member(read: &Read, org: &str) -> bool {
    let scenario = &read.scenario;
    let mut groups = scenario.groups.keys();
    groups.any(|name| scenario.members(name).iter().any(|(_, of)| of == org))
}

fn snapshot(folder: &Path) -> anyhow::Result<Snapshot> {
    let config = stage::config(folder);
    let roots = fairlane_server::root_key::read(&config)?;
    let mut store = SqliteStore::open(&config.data_dir, &config.region, roots)?;
    store.claim()?;
    Ok(store.load()?)
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    let cannot = || format!("cannot copy {}", from.display());
    for entry in std::fs::read_dir(from).with_context(cannot)? {
        let entry = entry.with_context(cannot)?;
        let to = to.join(entry.file_name());
        if entry.file_type().with_context(cannot)?.is_dir() {
            std::fs::create_dir_all(&to).with_context(cannot)?;
            copy(&entry.path(), &to)?;
        } else {
            std::fs::copy(entry.path(), &to).with_context(cannot)?;
        }
    }
    Ok(())
}
