//! `fairlane bench`: what this build does on this machine, beside the targets of the design. Everything is measured
//! in the run that prints it, the machine's own floors too.

mod floors;
mod memory;
mod report;
mod scheduler;
mod start;
mod workflow;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, ValueEnum};

use crate::exit::Interrupted;
use crate::printer::Printer;
use crate::target::Target;
use report::{Part, Report};

/// Measure throughput, latency, the scheduler, memory and start, beside their targets
#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// What to measure
    #[arg(value_enum, default_value_t = Choice::All)]
    part: Choice,
    /// Folder in which the stores are made; it should be on the disk that matters (default: the current folder)
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Seconds of each measurement of throughput and latency
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Clients that submit and wait, in the measurement of throughput
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    clients: u32,
    /// Tenants, in the measurement of memory
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    tenants: u64,
    /// Waiting runs, in the measurement of memory
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..=5_000_000))]
    runs: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Choice {
    All,
    Floors,
    Workflow,
    Latency,
    Scheduler,
    Memory,
    Start,
}

impl Choice {
    fn parts(self) -> Vec<Self> {
        use Choice::{All, Floors, Latency, Memory, Scheduler, Start, Workflow};
        match self {
            All => vec![Floors, Start, Latency, Workflow, Scheduler, Memory],
            one => vec![one],
        }
    }
}

impl Bench {
    pub(crate) async fn execute(self, target: &Target) -> anyhow::Result<()> {
        let printer = target.printer();
        // Children end when this future is dropped: each is held by a value in it.
        tokio::select! {
            done = self.perform(printer) => done,
            stopped = crate::signals::stop() => stopped.map_err(Into::into).and(Err(Interrupted.into())),
        }
    }

    async fn perform(&self, printer: Printer) -> anyhow::Result<()> {
        let within = match &self.data {
            Some(folder) => folder.clone(),
            None => std::env::current_dir().context("there is no current folder")?,
        };
        let folder = tempfile::Builder::new()
            .prefix("fairlane-bench-")
            .tempdir_in(&within)
            .with_context(|| format!("cannot make a folder in {}", within.display()))?;
        let mut report = Report {
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            folder: within.display().to_string(),
            parts: Vec::new(),
        };
        for part in self.part.parts() {
            report.parts.push(self.measure(part, folder.path(), printer).await?);
        }
        printer.data(&report, Report::render)
    }

    async fn measure(
        &self,
        part: Choice,
        folder: &std::path::Path,
        printer: Printer,
    ) -> anyhow::Result<Part> {
        let length = Duration::from_secs(self.seconds);
        match part {
            Choice::Floors => {
                let folder = folder.to_owned();
                blocking(move || floors::measure(&folder, length / 4)).await
            }
            Choice::Scheduler => blocking(scheduler::measure).await,
            Choice::Workflow => {
                let setup = workflow::Setup { clients: self.clients as usize, length };
                workflow::throughput(folder, setup, printer).await
            }
            Choice::Latency => workflow::latency(folder, length / 2, printer).await,
            Choice::Memory => {
                let amounts = memory::Amounts { tenants: self.tenants, runs: self.runs };
                memory::measure(folder, amounts, printer).await
            }
            Choice::Start => start::measure(folder).await,
            Choice::All => unreachable!("`All` is not among its own parts"),
        }
    }
}

async fn blocking(
    measure: impl FnOnce() -> anyhow::Result<Part> + Send + 'static,
) -> anyhow::Result<Part> {
    tokio::task::spawn_blocking(measure).await?
}
