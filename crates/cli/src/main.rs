//! The binary. One file per family of commands; this one has a line for each.
//!
//! Commands return what they found and whether it is bad news; [`printer`] alone prints, and [`exit`] alone
//! chooses the exit code.

mod apply;
mod audit;
mod backup;
mod bench;
mod budget;
mod catalog;
mod channel;
mod class;
mod completions;
mod conformance;
mod decisions;
mod declarations;
mod demo;
mod dev;
mod erase;
mod events;
mod exit;
mod explain;
mod export_arrivals;
mod input;
mod key;
mod load;
mod log;
mod login;
mod measure;
mod mistake;
mod model;
mod notice;
mod policy;
mod pool;
mod price;
mod printer;
mod recorded;
mod replay;
mod report;
mod review;
mod run;
mod runs;
mod serve;
mod signals;
mod signed_in;
mod simulate;
mod table;
mod target;
mod tenant;
mod text;
mod tool;
mod top;
mod usage;
mod worker;
mod workflow;

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use printer::Printer;
use target::Target;

/// Under load most of the server's allocations are small and freed on another thread; this allocator is made
/// for that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The control plane for platforms that run workflows for many organisations.
#[derive(Debug, Parser)]
#[command(name = "fairlane", version, about, after_help = exit::HELP, max_term_width = 110)]
#[command(propagate_version = true, subcommand_required = true, arg_required_else_help = true)]
struct Cli {
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Demo),
    Dev(dev::Dev),
    Serve(serve::Serve),
    Apply(apply::Apply),
    Run(run::Run),
    Runs(runs::List),
    Get(runs::Get),
    Explain(explain::Explain),
    Events(events::Events),
    Cancel(runs::Cancel),
    Pause(runs::Pause),
    Resume(runs::Resume),
    Retry(runs::Retry),
    Resolve(runs::Resolve),
    Signal(runs::Signal),
    Tenant(tenant::Tenant),
    Workflow(workflow::Workflow),
    Pool(pool::Pool),
    Tool(tool::Tool),
    Model(model::Model),
    Price(price::Price),
    Policy(policy::Policy),
    Catalog(catalog::Catalog),
    Class(class::Class),
    Budget(budget::Budget),
    Limits(budget::Limits),
    Calls(usage::Calls),
    Usage(usage::Usage),
    Report(report::Report),
    Review(review::Review),
    Channel(channel::Channel),
    Notice(notice::Notice),
    Key(key::Key),
    Login(login::Login),
    Logout(login::Logout),
    Whoami(login::Whoami),
    Decisions(decisions::Decisions),
    Audit(audit::Audit),
    Erase(erase::Erase),
    Erasures(erase::Erasures),
    Top(top::Top),
    Worker(worker::Worker),
    Backup(backup::Backup),
    Restore(backup::Restore),
    ExportArrivals(export_arrivals::ExportArrivals),
    Replay(replay::Replay),
    Simulate(simulate::Simulate),
    Bench(bench::Bench),
    Conformance(conformance::Conformance),
    Completions(completions::Completions),
    /// The demo's and the benchmark's workers, in a process of their own
    #[command(hide = true)]
    LoadWorker,
    /// The benchmark's server, in a process of its own
    #[command(hide = true)]
    LoadServer,
}

impl Command {
    /// Whether it has more to do than one thread can: the server runs inside this process, or a terminal is read.
    const fn needs_threads(&self) -> bool {
        matches!(
            self,
            Self::Demo(_)
                | Self::Dev(_)
                | Self::Serve(_)
                | Self::Replay(_)
                | Self::Simulate(_)
                | Self::LoadServer
                | Self::Top(_)
        )
    }

    /// Whether it asks no server that is there already.
    const fn is_local(&self) -> bool {
        matches!(
            self,
            Self::Demo(_)
                | Self::Dev(_)
                | Self::Serve(_)
                | Self::Replay(_)
                | Self::Simulate(_)
                | Self::Bench(_)
                | Self::Backup(_)
                | Self::Restore(_)
                | Self::Completions(_)
                | Self::Login(_)
                | Self::Logout(_)
                | Self::LoadWorker
                | Self::LoadServer
        )
    }

    async fn execute(self, target: &Target) -> anyhow::Result<()> {
        match self {
            Self::Demo(command) => command.execute(target).await,
            Self::Dev(command) => command.execute(target).await,
            Self::Serve(command) => command.execute(target).await,
            Self::Apply(command) => command.execute(target).await,
            Self::Run(command) => command.execute(target).await,
            Self::Runs(command) => command.execute(target).await,
            Self::Get(command) => command.execute(target).await,
            Self::Explain(command) => command.execute(target).await,
            Self::Events(command) => command.execute(target).await,
            Self::Cancel(command) => command.execute(target).await,
            Self::Pause(command) => command.execute(target).await,
            Self::Resume(command) => command.execute(target).await,
            Self::Retry(command) => command.execute(target).await,
            Self::Resolve(command) => command.execute(target).await,
            Self::Signal(command) => command.execute(target).await,
            Self::Tenant(command) => command.execute(target).await,
            Self::Workflow(command) => command.execute(target).await,
            Self::Tool(command) => command.execute(target).await,
            Self::Model(command) => command.execute(target).await,
            Self::Price(command) => command.execute(target).await,
            Self::Policy(command) => command.execute(target).await,
            Self::Catalog(command) => command.execute(target).await,
            Self::Class(command) => command.execute(target).await,
            Self::Budget(command) => command.execute(target).await,
            Self::Limits(command) => command.execute(target).await,
            Self::Calls(command) => command.execute(target).await,
            Self::Usage(command) => command.execute(target).await,
            Self::Review(command) => command.execute(target).await,
            Self::Channel(command) => command.execute(target).await,
            Self::Notice(command) => command.execute(target).await,
            Self::Report(command) => command.execute(target).await,
            Self::Pool(command) => command.execute(target).await,
            Self::Key(command) => command.execute(target).await,
            Self::Login(command) => command.execute(target).await,
            Self::Logout(command) => command.execute(target),
            Self::Whoami(command) => command.execute(target).await,
            Self::Decisions(command) => command.execute(target).await,
            Self::Audit(command) => command.execute(target).await,
            Self::Erase(command) => command.execute(target).await,
            Self::Erasures(command) => command.execute(target).await,
            Self::Top(command) => command.execute(target).await,
            Self::Worker(command) => command.execute(target).await,
            Self::Backup(command) => command.execute(target),
            Self::Restore(command) => command.execute(target),
            Self::ExportArrivals(command) => command.execute(target).await,
            Self::Replay(command) => command.execute(target).await,
            Self::Simulate(command) => command.execute(target).await,
            Self::Bench(command) => command.execute(target).await,
            Self::Conformance(command) => command.execute(target).await,
            Self::Completions(command) => command.execute(target),
            Self::LoadWorker => load::work::run().await,
            Self::LoadServer => load::server::run().await,
        }
    }
}

fn main() -> ExitCode {
    let parsed = grammar(Cli::command()).try_get_matches();
    let cli = match parsed.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => return printer::usage(&error),
    };
    let printer = cli.target.printer();
    match start(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(printer, &error),
    }
}

/// A negative number after an option is its value, which may be wrong, and not an option that there is not.
fn grammar(command: clap::Command) -> clap::Command {
    let takes_numbers = |arg: clap::Arg| {
        let is_option = arg.get_long().is_some() && arg.get_action().takes_values();
        if is_option { arg.allow_negative_numbers(true) } else { arg }
    };
    command.mut_args(takes_numbers).mut_subcommands(grammar)
}

fn start(cli: Cli) -> anyhow::Result<()> {
    let Cli { target, command } = cli;
    // A client or a worker waits more than it computes: on one thread it wakes no other to do so.
    let mut builder = if command.needs_threads() {
        tokio::runtime::Builder::new_multi_thread()
    } else {
        tokio::runtime::Builder::new_current_thread()
    };
    let runtime = builder.enable_all().build()?;
    let result = runtime.block_on(async {
        // What needs no server needs nobody who has signed in.
        let target = if command.is_local() { target } else { target.with_signed_in().await? };
        Box::pin(command.execute(&target)).await
    });
    // What is left are connections: nothing waits for them.
    runtime.shutdown_background();
    result
}

fn fail(printer: Printer, error: &anyhow::Error) -> ExitCode {
    let code = exit::code(error);
    printer.failure(error);
    code.into()
}
