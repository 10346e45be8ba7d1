//! `fairlane simulate`: a scenario in virtual time, by the code that decides on the server.
//!
//! - `scenario` is the file, with all its mistakes.
//! - `world` plays it: the real cell and driver, and workers that take as long as the scenario says. It knows no clock.
//! - `story` is what happened, tenant by tenant; `report` what is shown of it.
//!
//! What the scenario declares is read by a server of its own, on a temporary folder, so that it is refused for the same
//! reasons and means the same.

mod report;
mod scenario;
mod story;
mod world;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use clap::Args;
use fairlane_api::resource::Policy as Named;
use fairlane_core::cell::change::Snapshot;
use fairlane_core::pool::Policy;
use fairlane_store::Store as _;
use fairlane_store::sqlite::SqliteStore;
use fairlane_workflow::Evaluator;

use crate::apply;
use crate::exit::Interrupted;
use crate::load::stage::{self, Stage};
use crate::mistake;
use crate::printer::Printer;
use crate::target::Target;
use report::Report;
use scenario::{Read, Scenario, Variant};
use story::Story;
use world::World;

/// Play a scenario in virtual time, and compare policies and arrivals
///
/// The scenario names files with declarations as `fairlane apply` takes them, what arrives, and how long work takes. It is
/// played by the scheduler, the limits and the budgets of the server, a day in about a second. Nothing is called, and no
/// server is needed.
#[derive(Debug, Args)]
pub(crate) struct Simulate {
    /// The scenario, in YAML or JSON
    scenario: PathBuf,
    /// Another seed gives other service times and failures (default: the scenario's)
    #[arg(long)]
    seed: Option<u64>,
    /// Write the report as one page for browsers too, which needs nothing else
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
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
        let mut declared = declared(printer, &read.scenario.declare).await?;
        let mut mistakes = read.add_groups(&mut declared);
        mistakes.extend(read.check(&declared));
        mistake::report(printer, mistakes)?;
        let declared = without_schedules(printer, declared);
        let file = self.scenario.display().to_string();
        let playing = tokio::task::spawn_blocking(move || {
            let began = Instant::now();
            let plays = play_all(&read.scenario, &declared);
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

/// What the files declare, as a server that starts would read it from its store.
async fn declared(printer: Printer, files: &[PathBuf]) -> anyhow::Result<Snapshot> {
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let stage = Stage::start(Some(folder.path())).await?;
    let applied = apply::load(stage.client(), printer, files).await;
    stage.stop().await;
    applied?;
    snapshot(folder.path())
}

fn snapshot(folder: &Path) -> anyhow::Result<Snapshot> {
    let config = stage::config(folder);
    let roots = fairlane_server::root_key::read(&config)?;
    let mut store = SqliteStore::open(&config.data_dir, &config.region, roots)?;
    store.claim()?;
    Ok(store.load()?)
}

/// What comes is for the scenario to say.
fn without_schedules(printer: Printer, mut declared: Snapshot) -> Snapshot {
    let mut left_out = 0;
    for workflow in &mut declared.workflows {
        left_out += workflow.schedules.len();
        if !workflow.schedules.is_empty() {
            Arc::make_mut(workflow).schedules.clear();
        }
    }
    declared.schedules.clear();
    if left_out > 0 {
        printer.note(&format!("{left_out} schedules are left out: `arrivals` says what comes"));
    }
    declared
}

fn play_all(scenario: &Scenario, declared: &Snapshot) -> Vec<(String, Story)> {
    let evaluator = Evaluator::new();
    let usual = [Variant { name: "as declared".to_owned(), policy: None, without: Vec::new() }];
    let variants = if scenario.compare.is_empty() { &usual[..] } else { &scenario.compare };
    let plays = variants.iter().map(|variant| {
        let mut declared = declared.clone();
        if let Some(named) = variant.policy {
            declared.pools.iter_mut().for_each(|pool| pool.policy = policy(named));
        }
        let world = World::new(scenario, &evaluator, declared, &variant.without);
        (variant.name.clone(), world.play())
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
