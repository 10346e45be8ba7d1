//! `fairlane erase` and `fairlane erasures`: what of a tenant is to be forgotten, and the receipts.

use std::time::Duration;

use anyhow::bail;
use clap::Args;
use fairlane_api::erasure::{Erasure, ErasureSpec, ErasureState};

use crate::table::Table;
use crate::target::{ForTenant, Target};
use crate::text;

/// Between two looks at whether it is done.
const PAUSE: Duration = Duration::from_millis(500);

/// Erase a run, all there is of a person, or all of a tenant
///
/// What is under way is cancelled and waited for. Then the rows are deleted and the keys destroyed that they are sealed with; what
/// is left is the receipt. It cannot be undone.
#[derive(Debug, Args)]
pub(crate) struct Erase {
    #[command(flatten)]
    what: What,
    #[command(flatten)]
    of: ForTenant,
    /// Do not wait until it is done
    #[arg(long)]
    no_wait: bool,
    /// Do it without asking
    #[arg(long, short)]
    yes: bool,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct What {
    /// A run, with the runs that it has called
    #[arg(long)]
    run: Option<String>,
    /// Whom or what runs are about, as it stands in their inputs
    #[arg(long)]
    subject: Option<String>,
    /// All of the tenant, which has to be suspended
    #[arg(long)]
    all: bool,
}

/// List erasures, newest first, or show one
#[derive(Debug, Args)]
pub(crate) struct Erasures {
    /// Show this one
    erasure: Option<String>,
    #[command(flatten)]
    of: ForTenant,
    /// Go on where the last list ended
    #[arg(long)]
    cursor: Option<String>,
    /// Most erasures to list
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    limit: u32,
}

impl Erase {
    pub(crate) async fn execute(self, target: &Target) -> anyhow::Result<()> {
        let (client, printer) = (target.client()?, target.printer());
        let tenant = self.of.tenant()?;
        let What { run, subject, all } = self.what;
        if !self.yes && !printer.is_json() && !confirmed(tenant, run.as_deref(), all)? {
            bail!("nothing was erased");
        }
        let mut erasure = client.erase(tenant, &ErasureSpec { run, subject, all }).await?;
        while !self.no_wait && erasure.state == ErasureState::Open {
            tokio::time::sleep(PAUSE).await;
            erasure = client.erasure(tenant, &erasure.id).await?;
        }
        printer.data(&erasure, show)
    }
}

impl Erasures {
    pub(crate) async fn execute(self, target: &Target) -> anyhow::Result<()> {
        let (client, printer) = (target.client()?, target.printer());
        let tenant = self.of.tenant()?;
        if let Some(erasure) = &self.erasure {
            return printer.data(&client.erasure(tenant, erasure).await?, show);
        }
        let page = client.erasures(tenant, self.cursor.as_deref(), self.limit).await?;
        printer.data(&page, |page| list(&page.items))?;
        if let Some(next) = page.next.as_ref().filter(|_| !printer.is_json()) {
            printer.note(&format!("There are older ones: --cursor {next}"));
        }
        Ok(())
    }
}

/// Asks at a terminal; where there is none, `--yes` has to say it.
fn confirmed(tenant: &str, run: Option<&str>, all: bool) -> anyhow::Result<bool> {
    use std::io::{BufRead as _, IsTerminal as _, Write as _};
    if !std::io::stdin().is_terminal() {
        bail!("erasing cannot be undone: say --yes to do it without being asked");
    }
    let what = match (run, all) {
        (Some(run), _) => format!("run {run} of {tenant}"),
        (None, true) => format!("ALL of {tenant}"),
        (None, false) => format!("all runs of {tenant} about that subject"),
    };
    let mut stderr = std::io::stderr();
    write!(stderr, "Erase {what}? This cannot be undone. Type yes: ")?;
    stderr.flush()?;
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    Ok(line.trim() == "yes")
}

fn what(erasure: &Erasure) -> String {
    match (&erasure.run, &erasure.subject_digest) {
        (Some(run), _) => format!("run {run}"),
        (None, Some(digest)) => format!("subject {digest}"),
        (None, None) => "all of the tenant".to_owned(),
    }
}

fn show(erasure: &Erasure) -> String {
    let line = match erasure.done {
        Some(done) => format!("Erased at {}. Runs erased: {}.", text::time(done), erasure.runs),
        None => format!("Under way. Runs erased so far: {}.", erasure.runs),
    };
    let by = erasure.by.as_deref().unwrap_or("the platform");
    format!(
        "{}\n{line}\nReceipt {}, asked for at {} by {by}.",
        what(erasure),
        erasure.id,
        text::time(erasure.asked),
    )
}

fn list(erasures: &[Erasure]) -> String {
    let mut table = Table::new(&["ERASURE", "OF", "ASKED", "BY", "STATE", ">RUNS", "DONE"]);
    for erasure in erasures {
        table.row(vec![
            erasure.id.clone(),
            what(erasure),
            text::time(erasure.asked),
            erasure.by.clone().unwrap_or_default(),
            text::word(&erasure.state),
            erasure.runs.to_string(),
            erasure.done.map(text::time).unwrap_or_default(),
        ]);
    }
    table.render()
}
