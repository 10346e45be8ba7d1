//! `fairlane simulate`: a scenario in virtual time, by the code that decides on the server.
//!
//! - `scenario` is the file, with all its mistakes; `variant` is what one play changes of it.
//! - `declared` is what a server would make of the declarations, in each play.
//! - `world` plays it: the real cell and driver, and workers that take as long as the scenario says. It knows no clock.
//! - `story` is what happened, tenant by tenant; `contest`, how evenly slots were shared; `report` what is shown of it.

mod contest;
mod declared;
mod report;
mod scenario;
mod story;
mod variant;
pub(crate) mod world;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use clap::Args;
use fairlane_api::resource::Policy as Named;
use fairlane_core::cell::change::Snapshot;
use fairlane_core::pool::Policy;
use fairlane_workflow::Evaluator;

use crate::exit::{Interrupted, Usage};
use crate::mistake;
use crate::printer::Printer;
use crate::target::Target;
use declared::Declared;
use report::Report;
use scenario::{Read, Scenario};
use story::Story;
use variant::Variant;
use world::World;

/// Play a scenario in virtual time, and compare policies, declarations and arrivals
///
/// The scenario names files with declarations as `fairlane apply` takes them, what arrives, and how long work takes, or is one
/// that `fairlane export-arrivals` has written. It is played by the scheduler, the limits and the budgets of the server, a day
/// in about a second. Nothing is called, and no server is needed.
#[derive(Debug, Args)]
pub(crate) struct Simulate {
    /// The scenario, in YAML or JSON
    scenario: PathBuf,
    /// Play it with a change too, and say who gains and who loses: `tenants/acme.cap=20`, `arrivals/acme=x2`, `policy=fifo`,
    /// several with commas between. Can be given several times; the plays of the scenario itself are left out then
    #[arg(long, value_name = "CHANGE")]
    what_if: Vec<String>,
    /// Another seed gives other service times and failures (default: the scenario's)
    #[arg(long)]
    seed: Option<u64>,
    /// Write the report as one page for browsers too, which needs nothing else
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// One play, before it is played.
struct Prepared {
    variant: Variant,
    declared: Snapshot,
}

impl Simulate {
    pub(crate) async fn execute(self, target: &Target) -> anyhow::Result<()> {
        let printer = target.printer();
        let mut read = match Read::file(&self.scenario)? {
            Ok(read) => read,
            Err(mistakes) => return mistake::report(printer, mistakes),
        };
        if let Some(seed) = self.seed {
            read.scenario.seed = seed;
        }
        if !self.what_if.is_empty() {
            let what_ifs = self.what_if.iter().map(|text| Variant::what_if(text));
            let what_ifs: Result<Vec<_>, _> = what_ifs.collect();
            read.scenario.compare = vec![Variant::unchanged("unchanged")];
            read.scenario.compare.extend(what_ifs.map_err(Usage)?);
        }
        let prepared = prepare(printer, &mut read).await?;
        let file = self.scenario.display().to_string();
        let playing = tokio::task::spawn_blocking(move || {
            let began = Instant::now();
            let plays = play_all(&read.scenario, prepared);
            Report::new(&file, &read.scenario, &plays, began.elapsed())
        });
        let report = tokio::select! {
            report = playing => report.context("the simulation broke off")?,
            stopped = crate::signals::stop() => return stopped.map_err(Into::into).and(Err(Interrupted.into())),
        };
        if let Some(file) = &self.html {
            std::fs::write(file, report::page::page(&report))
                .with_context(|| format!("cannot write {}", file.display()))?;
            printer.note(&format!("The report is in {}", file.display()));
        }
        printer.data(&report, Report::render)
    }
}

/// What is declared in each play. All mistakes of the scenario are told.
async fn prepare(printer: Printer, read: &mut Read) -> anyhow::Result<Vec<Prepared>> {
    if read.scenario.compare.is_empty() {
        read.scenario.compare.push(Variant::unchanged("as declared"));
    }
    let files = Declared::read(printer, &read.scenario.declare).await?;
    let mut unchanged = files.unchanged()?;
    let mut mistakes = read.add_groups(&mut unchanged, &BTreeSet::new());
    mistakes.extend(read.check(&unchanged));
    mistake::report(printer, mistakes)?;
    let unchanged = without_schedules(Some(printer), unchanged);
    let mut prepared = Vec::new();
    for (at, variant) in read.scenario.compare.iter().enumerate() {
        let mut declared = unchanged.clone();
        if !variant.change.is_empty() {
            let (mut changed, tenants) = files.changed(printer, read, (at, variant)).await?;
            mistake::report(printer, read.add_groups(&mut changed, &tenants))?;
            declared = without_schedules(None, changed);
        }
        if let Some(named) = variant.policy {
            declared.pools.iter_mut().for_each(|pool| pool.policy = policy(named));
        }
        prepared.push(Prepared { variant: variant.clone(), declared });
    }
    Ok(prepared)
}

/// What comes is for the scenario to say.
fn without_schedules(printer: Option<Printer>, mut declared: Snapshot) -> Snapshot {
    let mut left_out = 0;
    for workflow in &mut declared.workflows {
        left_out += workflow.schedules.len();
        if !workflow.schedules.is_empty() {
            Arc::make_mut(workflow).schedules.clear();
        }
    }
    declared.schedules.clear();
    if let Some(printer) = printer.filter(|_| left_out > 0) {
        printer.note(&format!("{left_out} schedules are left out: the scenario says what comes"));
    }
    declared
}

fn play_all(scenario: &Scenario, prepared: Vec<Prepared>) -> Vec<(String, Story)> {
    let evaluator = Evaluator::new();
    let plays = prepared.into_iter().map(|Prepared { variant, declared }| {
        let world = World::new(scenario, &evaluator, declared, &variant);
        (variant.name, world.play())
    });
    plays.collect()
}

const fn policy(named: Named) -> Policy {
    match named {
        Named::Fair => Policy::Fair,
        Named::Fifo => Policy::Fifo,
        Named::RoundRobin => Policy::RoundRobin,
        Named::Weighted => Policy::Weighted,
    }
}
