//! All declarations of some files, with the mistakes of all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use fairlane_api::{Code, Problem};
use serde_json::Value;

use super::Definition;
use super::located::{self, Located};
use super::references::tenants_of;
use super::resource::{self, Declaration, Kind, Origin, Spec};
use crate::mistake::Mistake;

/// Largest file that is read.
const FILE_BYTES_MAX: u64 = 64 << 20;

#[derive(Debug, Default)]
pub(super) struct Set {
    /// By kind and name; of a workflow also by version. One with mistakes is here as far as it can be read, so
    /// that the server can be asked about the rest of it.
    declarations: BTreeMap<(Kind, String, u32), Arc<Declaration>>,
    /// Also of declarations that have mistakes: what refers to them has none.
    names: BTreeSet<(Kind, String)>,
    mistakes: Vec<Mistake>,
}

impl Set {
    /// Reads files, and of folders the files in them that can be declarations.
    pub(super) fn read(paths: &[PathBuf]) -> anyhow::Result<(Self, Vec<Mistake>)> {
        let mut set = Self::default();
        for path in paths {
            if path.is_dir() {
                let inside = files(path)?;
                if inside.is_empty() {
                    anyhow::bail!(
                        "the folder {} has no .yaml, .yml, .json or .cedar file",
                        path.display()
                    );
                }
                for path in inside {
                    set.read_file(&path, From::Folder)?;
                }
            } else {
                set.read_file(path, From::CommandLine)?;
            }
        }
        let mistakes = std::mem::take(&mut set.mistakes);
        Ok((set, mistakes))
    }

    /// Of values that no file has, each with its section, its name and where it is said.
    pub(super) fn made(values: Vec<(&'static str, String, Value, Origin)>) -> (Self, Vec<Mistake>) {
        let mut set = Self::default();
        for (section, name, value, origin) in values {
            if let Some((_, kind)) = Kind::SECTIONS.iter().find(|(known, _)| *known == section) {
                set.read_value(*kind, &name, value, origin);
            }
        }
        let mistakes = std::mem::take(&mut set.mistakes);
        (set, mistakes)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Declaration>> {
        self.declarations.values()
    }

    pub(super) fn len(&self) -> usize {
        self.declarations.len()
    }

    pub(super) fn names(&self) -> impl Iterator<Item = (Kind, &str)> {
        self.names.iter().map(|(kind, name)| (*kind, name.as_str()))
    }

    /// Whether the server refuses it for what it has, and the set declares that anew before. What is wrong then all the same
    /// is found when it is written.
    fn may_mend(&self, declaration: &Declaration, problem: &Problem) -> bool {
        let declares = |kind, name: &Option<String>| {
            name.as_ref().is_some_and(|name| self.names.contains(&(kind, name.clone())))
        };
        let at = problem.pointer.as_deref();
        let (tier, residency, pool) = match &declaration.spec {
            Spec::Tenant(spec) => {
                (Some(spec.tier.clone()), &spec.data_residency, &spec.reviewer_pool)
            }
            Spec::Tier(spec) => (None, &spec.data_residency, &spec.reviewer_pool),
            _ => return false,
        };
        if at == Some("/reviewer_pool") && problem.code() == Some(Code::InvalidValue) {
            return declares(Kind::Reviewers, pool);
        }
        if problem.code() != Some(Code::StoreOutside) {
            return false;
        }
        let zone = residency.as_ref().and_then(|residency| residency.zone.clone());
        let by_tier = residency.is_none() && declares(Kind::Tier, &tier);
        by_tier || declares(Kind::Zone, &zone) || self.has_any(Kind::Region)
    }

    /// In whose turn a declaration is written: its kind's, or later, if it names what the set declares later.
    pub(super) fn written_as(&self, declaration: &Declaration) -> Kind {
        let is_ours =
            |(_, tenant): &(String, String)| self.names.contains(&(Kind::Tenant, tenant.clone()));
        let is_late = tenants_of(declaration).iter().any(is_ours);
        if is_late { Kind::Model } else { declaration.kind() }
    }

    pub(super) fn definitions(&self) -> impl Iterator<Item = &Definition> {
        self.all().filter_map(|declaration| match &declaration.spec {
            Spec::Workflow(definition) => Some(definition),
            _ => None,
        })
    }

    pub(super) fn has_any(&self, kind: Kind) -> bool {
        self.declarations.values().any(|declaration| declaration.kind() == kind)
    }

    /// What a refusal of the server says about the files, beyond the names that are checked for the whole set.
    pub(super) fn refused(&self, declaration: &Declaration, problem: &Problem) -> Vec<Mistake> {
        if self.may_mend(declaration, problem) {
            return Vec::new();
        }
        match (&declaration.spec, problem.code()) {
            (Spec::Zone(_) | Spec::Tool(_), Some(Code::UnknownRegion))
            | (Spec::Reviewers(_), Some(Code::UnknownRegion | Code::UnknownTenant))
            | (
                Spec::Tier(_),
                Some(
                    Code::UnknownBudgetClass
                    | Code::UnknownRegion
                    | Code::UnknownZone
                    | Code::UnknownReviewerPool,
                ),
            )
            | (
                Spec::Tenant(_),
                Some(
                    Code::UnknownOrg
                    | Code::UnknownTier
                    | Code::UnknownBudgetClass
                    | Code::UnknownRegion
                    | Code::UnknownZone
                    | Code::UnknownReviewerPool,
                ),
            )
            | (
                Spec::Model(_),
                Some(Code::UnknownTool | Code::NoEndpoint | Code::UnknownPrice | Code::UnknownTier),
            )
            | (Spec::Workflow(_), Some(Code::UnknownTenant | Code::UnknownReviewerPool)) => {
                Vec::new()
            }
            (Spec::Workflow(_), Some(Code::InvalidWorkflow)) => {
                let mut mistakes = declaration.mistakes(problem);
                mistakes.retain(|mistake| mistake.code != "unknown-pool");
                mistakes
            }
            _ => declaration.mistakes(problem),
        }
    }

    fn read_file(&mut self, path: &Path, from: From) -> anyhow::Result<()> {
        let name = path.display();
        let size = std::fs::metadata(path).with_context(|| format!("cannot read {name}"))?.len();
        anyhow::ensure!(
            size <= FILE_BYTES_MAX,
            "{name} has {size} bytes, at most {FILE_BYTES_MAX} are read"
        );
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {name}"))?;
        let file = name.to_string();
        if path.extension().is_some_and(|ending| ending == "cedar") {
            self.policy(path, &file, &text);
            return Ok(());
        }
        let (root, mistakes) = located::read(&file, &text);
        let Some(root) = root else {
            self.mistakes.extend(mistakes);
            return Ok(());
        };
        let is_json = path.extension().is_some_and(|ending| ending == "json");
        match content(&root) {
            // The reader of workflows finds the mistakes of the text again.
            Holds::Workflow => self.workflow(path, &text, root),
            // A schema, most likely, that a workflow beside it names.
            Holds::Other if is_json && from == From::Folder => {}
            Holds::Resources | Holds::Other => {
                self.mistakes.extend(mistakes);
                self.resources(&file, root);
            }
        }
        Ok(())
    }

    /// The file is named like the policy in it.
    fn policy(&mut self, path: &Path, file: &str, text: &str) {
        let value = serde_json::json!({ "text": text });
        let (root, _) = located::read(file, &value.to_string());
        let Some(root) = root else { return };
        let origin = Origin { file: file.into(), root: Arc::new(root), pointer: String::new() };
        let value = origin.root.clone();
        self.declare(Kind::Policy, &crate::policy::name_of(path), &value, origin);
    }

    fn workflow(&mut self, path: &Path, text: &str, root: Located) {
        match Definition::parse(path, text) {
            Ok(definition) => {
                let key = (Kind::Workflow, definition.name.clone(), definition.version);
                let file = Arc::from(definition.file.as_str());
                let origin = Origin { file, root: Arc::new(root), pointer: String::new() };
                let name = definition.name.clone();
                self.names.insert((Kind::Workflow, name.clone()));
                let (spec, value) = (Spec::Workflow(definition), Value::Null);
                self.insert(key, Declaration { name, spec, value, origin });
            }
            Err(mistakes) => self.mistakes.extend(mistakes),
        }
    }

    fn resources(&mut self, file: &str, root: Located) {
        let origin = Origin { file: file.into(), root: Arc::new(root), pointer: String::new() };
        let root = origin.root.clone();
        let expected = "regions, zones, adequacy, orgs, tiers, pools, reviewer_pools, tenants, tools, models, prices, policies, budget_classes, valve, or a workflow";
        let Some(sections) = root.object() else {
            let message = "this is no object".to_owned();
            let expected = Some(format!("an object with {expected}"));
            self.mistakes.push(origin.mistake(root.at, "wrong-type", message, expected));
            return;
        };
        for (section, entry) in sections {
            let origin =
                Origin { pointer: format!("/{}", resource::escape(section)), ..origin.clone() };
            if section == "valve" {
                self.declare(Kind::Valve, section, &entry.value, origin);
                continue;
            }
            let Some((_, kind)) = Kind::SECTIONS.iter().find(|(name, _)| name == section) else {
                let message = format!("there is no section `{section}`");
                let expected = Some(expected.to_owned());
                self.mistakes.push(origin.mistake(entry.at, "unknown-field", message, expected));
                continue;
            };
            let Some(named) = entry.value.object() else {
                let message = format!("`{section}` is no object");
                let expected = Some("an object with an entry for each name".to_owned());
                self.mistakes.push(origin.mistake(entry.value.at, "wrong-type", message, expected));
                continue;
            };
            for (name, entry) in named {
                let pointer = format!("{}/{}", origin.pointer, resource::escape(name));
                self.declare(*kind, name, &entry.value, Origin { pointer, ..origin.clone() });
            }
        }
    }

    fn declare(&mut self, kind: Kind, name: &str, value: &Located, origin: Origin) {
        self.read_value(kind, name, value.to_json(), origin);
    }

    fn read_value(&mut self, kind: Kind, name: &str, value: Value, origin: Origin) {
        self.names.insert((kind, name.to_owned()));
        let (read, mistakes) = resource::read(kind, name, value, &origin);
        self.mistakes.extend(mistakes);
        if let Some((spec, value)) = read {
            let declaration = Declaration { name: name.to_owned(), spec, value, origin };
            self.insert((kind, name.to_owned(), 0), declaration);
        }
    }

    fn insert(&mut self, key: (Kind, String, u32), declaration: Declaration) {
        if let Some(first) = self.declarations.get(&key) {
            let (line, _) = first.origin.key_place("");
            let message = format!(
                "{} {} is declared twice, first in {}, line {line}",
                key.0.word(),
                key.1,
                first.origin.file
            );
            let origin = &declaration.origin;
            let expected = Some("one declaration".to_owned());
            let mistake = origin.mistake(origin.key_place(""), "duplicate", message, expected);
            self.mistakes.push(mistake);
            return;
        }
        self.declarations.insert(key, Arc::new(declaration));
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum From {
    CommandLine,
    Folder,
}

/// What a file is about.
enum Holds {
    Workflow,
    Resources,
    Other,
}

fn content(root: &Located) -> Holds {
    let Some(fields) = root.object() else { return Holds::Other };
    let is_section =
        |field: &String| field == "valve" || Kind::SECTIONS.iter().any(|(name, _)| name == field);
    if fields.contains_key("workflow") {
        Holds::Workflow
    } else if fields.keys().any(is_section) {
        Holds::Resources
    } else {
        Holds::Other
    }
}

/// The files of a folder that can be declarations, by name.
fn files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let cannot = || format!("cannot read the folder {}", folder.display());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(cannot)? {
        let path = entry.with_context(cannot)?.path();
        let ending = path.extension().and_then(|ending| ending.to_str());
        if matches!(ending, Some("yaml" | "yml" | "json" | "cedar")) && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn read(files: &[(&str, &str)]) -> (Set, String) {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let (set, mut mistakes) = Set::read(&[folder.path().to_owned()]).unwrap();
        mistakes.sort();
        let lines: String = mistakes.iter().map(|mistake| format!("{mistake}\n")).collect();
        (set, lines.replace(&format!("{}/", folder.path().display()), ""))
    }

    #[test]
    fn a_folder_of_good_files_is_read_whole() {
        let (set, mistakes) = read(&[
            ("a.yaml", "orgs: { north: }\ntiers: { standard: { weight: 4, cap: 10 } }\n"),
            ("b.json", r#"{ "tenants": { "bank-1": { "org": "north", "tier": "standard" } } }"#),
            ("loan.yml", "workflow: loan\nversion: 1\nsteps: { verify: { task: verify } }\n"),
            ("loan.schema.json", r#"{ "type": "object" }"#),
            ("notes.txt", "nothing"),
        ]);
        assert_eq!(mistakes, "");
        let kinds: Vec<_> = set.all().map(|declaration| declaration.kind().word()).collect();
        assert_eq!(kinds, ["tier", "org", "tenant", "workflow"]);
    }

    #[test]
    fn rules_and_amounts_are_read_as_people_write_them() {
        let (set, mistakes) = read(&[(
            "money.yaml",
            "tools:\n  Bureau/v2:\n    limits:\n      - window: { units: 5, every: hour, time_zone: Europe/Berlin }\n\
             \x20     - bucket: { units: 100, per: 1s, burst: 20, of: tokens }\n\
             \x20   breaker: { failures: 5, open_for: 30s }\nbudget_classes:\n  basic:\n    quotas:\n\
             \x20     Bureau/v2: [{ concurrent: { calls: 2 } }]\n    budget: { run: 0.50, day: '7' }\n",
        )]);
        assert_eq!(mistakes, "");
        let specs: Vec<_> =
            set.all().map(|declaration| format!("{:?}", declaration.spec)).collect();
        expect![[r#"
            Tool(ToolSpec { limits: [Window { units: 5, every: Hour, time_zone: "Europe/Berlin", of: Calls }, Bucket { units: 100, per: "1s", burst: 20, of: Tokens }], endpoint: None, breaker: Some(Breaker { failures: 5, open_for: "30s" }), region: None, storage_region: None, certificates: [] })
            Class(BudgetClassSpec { quotas: {"Bureau/v2": [Concurrent { calls: 2 }]}, budget: Budget { run: Some(Amount("0.5")), reserve: Amount("0"), day: Some(Amount("7")), month: None, time_zone: "UTC", short: [] } })"#]]
        .assert_eq(&specs.join("\n"));

        let (_, mistakes) = read(&[(
            "wrong.yaml",
            "tools:\n  b: { limits: [{ window: { unit: 5, every: week } }, { bucket: 1 }] }\n\
             budget_classes:\n  Basic: {}\n  free: { budget: { run: [], reserve: 0.01 } }\n",
        )]);
        expect![[r#"
            wrong.yaml:2:27: missing field `units` [missing-field]
            wrong.yaml:2:29: unknown field `unit`; expected one of `units`, `every`, `time_zone`, `of` [unknown-field]
            wrong.yaml:2:45: `week` is not known; expected one of `minute`, `hour`, `day`, `month` [invalid-value]
            wrong.yaml:4:3: the name "Basic" has 'B' at byte 0; allowed are a-z 0-9 - _; expected 1 to 64 of a-z 0-9 - _ [bad-name]
            wrong.yaml:5:26: this is a list; expected an amount such as "0.05" [invalid-value]
        "#]].assert_eq(&mistakes);
    }

    #[test]
    fn all_mistakes_of_all_files_are_found_with_their_places() {
        let (_, mistakes) = read(&[
            (
                "a.yaml",
                "orgs:\n  North: {}\n  south: { wieght: 2, cap: many }\ntenants:\n  bank: { tier: free }\n\
                 polls: {}\n",
            ),
            (
                "b.yaml",
                "tiers:\n  free: { weight: 1, cap: 3 }\npools: 7\nvalve: { runs_soft: 1 }\n",
            ),
            ("c.yaml", "tiers:\n  free: { weight: 1, cap: 3 }\n"),
            ("d.yaml", "tiers: [\n"),
            ("loan.yaml", "workflow: loan\nversion: 1\nsteps:\n  a: { task: x, after: [b] }\n"),
        ]);
        expect![[r#"
            a.yaml:2:3: the name "North" has 'N' at byte 0; allowed are a-z 0-9 - _; expected 1 to 64 of a-z 0-9 - _ [bad-name]
            a.yaml:3:12: unknown field `wieght`; expected one of `weight`, `cap`, `budget` [unknown-field]
            a.yaml:3:28: this is the text "many"; expected a whole number from 0 to 4294967295 [invalid-value]
            a.yaml:5:9: missing field `org` [missing-field]
            a.yaml:6:1: there is no section `polls`; expected regions, zones, adequacy, orgs, tiers, pools, reviewer_pools, tenants, tools, models, prices, policies, budget_classes, valve, or a workflow [unknown-field]
            b.yaml:3:8: `pools` is no object; expected an object with an entry for each name [wrong-type]
            b.yaml:4:8: missing field `bytes_hard` [missing-field]
            b.yaml:4:8: missing field `bytes_soft` [missing-field]
            b.yaml:4:8: missing field `runs_hard` [missing-field]
            c.yaml:2:3: tier free is declared twice, first in b.yaml, line 2; expected one declaration [duplicate]
            d.yaml:1:8: this is not YAML: unclosed bracket '['; expected YAML 1.2 [syntax]
            loan.yaml:4:25: there is no step "b"; expected a (did you mean that?) [unknown-step]
        "#]].assert_eq(&mistakes);
    }
}
