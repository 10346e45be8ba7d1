//! `fairlane catalog import-residency`: brings regions and adequacy decisions up to what files say.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use fairlane_api::residency::{Adequacy, AdequacySpec, Decision, Region, RegionSpec};
use fairlane_client::{Client, Error, Write};
use serde::Serialize;

use super::FILE_BYTES_MAX;
use super::place_list::{Line, PlaceList, Ruling, day_text, is_contested};
use super::plan::Became;
use crate::exit::Usage;
use crate::mistake::{self, Mistake};
use crate::printer::Printer;
use crate::table::Table;
use crate::text;

/// The files that are read of a folder.
const FILES: [&str; 2] = ["cloud_regions.json", "eu_adequacy.json"];

#[derive(Debug, Args)]
pub(super) struct ImportResidency {
    /// A file, or a folder that has `cloud_regions.json`, `eu_adequacy.json` or both; can be given several times
    #[arg(value_name = "FOLDER|FILE", required = true)]
    paths: Vec<PathBuf>,
    /// Check only, against the server too, and write nothing
    #[arg(long)]
    dry_run: bool,
}

/// What is to be declared under a name, and what is said about it.
struct Plan {
    name: String,
    file: String,
    at: (u32, u32),
    spec: Spec,
    became: Became,
    note: String,
}

enum Spec {
    Region(RegionSpec),
    Adequacy(AdequacySpec),
}

#[derive(Debug, Serialize)]
struct Told {
    kind: &'static str,
    name: String,
    became: Became,
    #[serde(skip_serializing_if = "String::is_empty")]
    note: String,
}

impl ImportResidency {
    pub(super) async fn execute(self, client: &Client, printer: Printer) -> anyhow::Result<()> {
        let list = self.read(printer)?;
        let mut plans = Vec::new();
        if !list.regions.is_empty() {
            let known = client.regions().await?.into_iter();
            let known = known.map(|region| (region.name.clone(), region)).collect();
            plans.extend(regions(&list.regions, &known));
        }
        if !list.decisions.is_empty() {
            let known = client.adequacies().await?.into_iter();
            let known = known.map(|adequacy| (adequacy.country.clone(), adequacy)).collect();
            plans.extend(adequacies(&list.decisions, &known));
        }
        let mistakes = put(client, printer, &plans, Write::Check).await?;
        mistake::report(printer, mistakes)?;
        if !self.dry_run {
            mistake::report(printer, put(client, printer, &plans, Write::Apply).await?)?;
        }
        let told = told(&plans, list);
        printer.data(&told, |told| table(told))?;
        printer.note(&summary(&told, self.dry_run));
        Ok(())
    }

    fn read(&self, printer: Printer) -> anyhow::Result<PlaceList> {
        let mut list = PlaceList::default();
        let mut mistakes = Vec::new();
        for path in self.files()? {
            let name = path.display().to_string();
            let cannot = || format!("cannot read {name}");
            let size = std::fs::metadata(&path).with_context(cannot)?.len();
            anyhow::ensure!(
                size <= FILE_BYTES_MAX,
                "{name} has {size} bytes, at most {FILE_BYTES_MAX} are read"
            );
            let text = std::fs::read_to_string(&path).with_context(cannot)?;
            let (is_known, wrong) = list.read(&name, &text, text::now());
            mistakes.extend(wrong);
            if !is_known {
                let message = format!("{name} has neither `regions` nor `decisions`");
                return Err(Usage(message).into());
            }
        }
        mistake::report(printer, mistakes)?;
        Ok(list)
    }

    fn files(&self) -> anyhow::Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for path in &self.paths {
            if !path.is_dir() {
                files.push(path.clone());
                continue;
            }
            let before = files.len();
            files
                .extend(FILES.map(|name| path.join(name)).into_iter().filter(|file| file.exists()));
            if files.len() == before {
                let [regions, adequacy] = FILES;
                let folder = path.display();
                let message = format!("the folder {folder} has neither {regions} nor {adequacy}");
                return Err(Usage(message).into());
            }
        }
        Ok(files)
    }
}

fn regions(lines: &[Line<RegionSpec>], known: &BTreeMap<String, Region>) -> Vec<Plan> {
    let plan = |line: &Line<RegionSpec>| {
        let before = known.get(&line.name);
        let was = before.map(|region| (region.country.as_str(), region.label.as_deref()));
        let is = (line.spec.country.as_str(), line.spec.label.as_deref());
        let became = match was {
            None => Became::New,
            Some(was) if was == is => Became::Same,
            Some(_) => Became::Changed,
        };
        let words = |(country, label): (&str, Option<&str>)| {
            let label = label.map_or_else(String::new, |label| format!(", {label}"));
            format!("in {country}{label}")
        };
        let was = was.filter(|_| became == Became::Changed);
        let was = was.map_or_else(String::new, |was| format!("; was {}", words(was)));
        Plan {
            note: format!("{}{was}", words(is)),
            became,
            ..Plan::of(line, Spec::Region(line.spec.clone()))
        }
    };
    lines.iter().map(plan).collect()
}

/// All decisions on a country are declared at once. Those that the files do not have stay, and so does a suspension; and
/// what a decision needs, unless its file says that it needs nothing.
fn adequacies(lines: &[Line<Ruling>], known: &BTreeMap<String, Adequacy>) -> Vec<Plan> {
    let mut by_country: BTreeMap<&str, Vec<&Line<Ruling>>> = BTreeMap::new();
    for line in lines {
        by_country.entry(&line.name).or_default().push(line);
    }
    let plan = |(country, lines): (&str, Vec<&Line<Ruling>>)| {
        let before = known.get(country);
        let is_given =
            |decision: &Decision| lines.iter().any(|line| line.spec.decision.name == decision.name);
        let kept = before.into_iter().flat_map(|before| &before.decisions);
        let mut decisions: Vec<Decision> =
            kept.filter(|decision| !is_given(decision)).cloned().collect();
        let given: Vec<(Decision, String)> =
            lines.iter().map(|line| ruled(&line.spec, before)).collect();
        decisions.extend(given.iter().map(|(decision, _)| decision.clone()));
        decisions.sort_by_key(|decision| decision.from);
        let suspended = before.is_some_and(|before| before.suspended);
        let became = match before {
            None => Became::New,
            Some(before) if before.decisions == decisions => Became::Same,
            Some(_) => Became::Changed,
        };
        let mut notes: Vec<String> = given.into_iter().map(|(_, note)| note).collect();
        notes.extend(suspended.then(|| "stays suspended".to_owned()));
        let spec = Spec::Adequacy(AdequacySpec { suspended, decisions });
        let first = lines.first().copied().expect("a country is here for a decision on it");
        Plan { note: notes.join("; "), became, ..Plan::of(first, spec) }
    };
    by_country.into_iter().map(plan).collect()
}

/// What a decision is to be, and what is said of it: what it needs until now is not lost in silence.
fn ruled(ruling: &Ruling, before: Option<&Adequacy>) -> (Decision, String) {
    let mut decision = ruling.decision.clone();
    let decisions = before.into_iter().flat_map(|before| &before.decisions);
    let same = decisions.clone().find(|known| known.name == decision.name);
    let needed = same.and_then(|known| known.certificate.clone());
    if !ruling.is_explicit && decision.certificate.is_none() {
        decision.certificate.clone_from(&needed);
    }
    let note = words(&decision);
    let note = match needed {
        Some(needed) if decision.certificate.is_none() => format!("{note}; needs {needed} no more"),
        Some(needed) if decision.certificate.as_ref() != Some(&needed) => {
            format!("{note}; needed {needed}")
        }
        _ => note,
    };
    let mut other = decisions.filter(|known| known.name != decision.name);
    let stricter = other.rfind(|known| known.certificate.is_some());
    let note = match stricter {
        Some(known) if decision.certificate.is_none() => {
            let needs = known.certificate.as_deref().unwrap_or_default();
            format!("{note}; unlike {}, which needs {needs}", known.name)
        }
        _ => note,
    };
    (decision, note)
}

impl Plan {
    fn of<T>(line: &Line<T>, spec: Spec) -> Self {
        let (name, file, at) = (line.name.clone(), line.file.clone(), line.at);
        Self { name, file, at, spec, became: Became::New, note: String::new() }
    }

    const fn kind(&self) -> &'static str {
        match self.spec {
            Spec::Region(_) => "region",
            Spec::Adequacy(_) => "adequacy",
        }
    }
}

fn words(decision: &Decision) -> String {
    let until =
        decision.until.map_or_else(String::new, |until| format!(" until {}", day_text(until)));
    let needs = decision.certificate.as_ref();
    let needs = needs.map_or_else(String::new, |needs| format!(", needs {needs}"));
    let contested = if is_contested(decision) { ", contested" } else { "" };
    format!("{} from {}{until}{needs}{contested}", decision.name, day_text(decision.from))
}

/// Puts what is new or changed, one after the other: they are few. What the server refuses is told at its place.
async fn put(
    client: &Client,
    printer: Printer,
    plans: &[Plan],
    write: Write,
) -> anyhow::Result<Vec<Mistake>> {
    let doing = if write == Write::Check { "checking" } else { "declaring" };
    let bar = printer.bar(plans.len() as u64, doing);
    let mut mistakes = Vec::new();
    for plan in plans.iter().filter(|plan| plan.became != Became::Same) {
        let answer = match &plan.spec {
            Spec::Region(spec) => client.put_region(&plan.name, spec, write).await,
            Spec::Adequacy(spec) => client.put_adequacy(&plan.name, spec, write).await,
        };
        bar.inc(1);
        match answer {
            Ok(_) => {}
            Err(Error::Problem(problem)) if matches!(problem.status, 400 | 413 | 422) => {
                mistakes.push(Mistake::refused(&plan.file, plan.at, &problem));
            }
            Err(error) => return Err(error.into()),
        }
    }
    bar.finish_and_clear();
    Ok(mistakes)
}

fn told(plans: &[Plan], list: PlaceList) -> Vec<Told> {
    let planned = plans.iter().map(|plan| Told {
        kind: plan.kind(),
        name: plan.name.clone(),
        became: plan.became,
        note: plan.note.clone(),
    });
    let skipped = list.skipped.into_iter().map(|skipped| Told {
        kind: skipped.kind,
        name: skipped.name,
        became: Became::Skipped,
        note: skipped.why,
    });
    planned.chain(skipped).collect()
}

/// What is the same already is counted, and not shown.
fn table(told: &[Told]) -> String {
    let mut table = Table::new(&["KIND", "NAME", "BECAME", "NOTE"]);
    for one in told.iter().filter(|one| one.became != Became::Same) {
        let (kind, name) = (one.kind.to_owned(), one.name.clone());
        table.row([kind, name, text::word(&one.became), one.note.clone()]);
    }
    table.render()
}

fn summary(told: &[Told], is_dry: bool) -> String {
    let of = |became| told.iter().filter(|one| one.became == became).count();
    let all = [Became::New, Became::Changed, Became::Same, Became::Skipped].map(of);
    let [new, changed, same, skipped] = all;
    let written = if is_dry { "; nothing was written" } else { "" };
    format!("{new} new, {changed} changed, {same} the same, {skipped} skipped{written}")
}
