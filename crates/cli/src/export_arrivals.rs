//! `fairlane export-arrivals`: what came in a time and what it took, with what was declared, as a scenario to simulate.
//!
//! - `declared` reads the declarations that a scenario needs, without secrets, addresses and names of people.
//! - `anonymous` gives tenants and organisations other names.
//! - `recorded` (beside this module) is the form of the arrivals.
//!
//! Payloads are never asked for.

mod anonymous;
mod declared;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use fairlane_api::Timestamp;
use fairlane_api::arrival::{Arrival, StepTaken};
use fairlane_api::run as wire;
use fairlane_api::view::{Part as WirePart, Phase};
use fairlane_api::workflow::Workflow;
use fairlane_client::Client;
use fairlane_core::row::{Lane, Part, RunStatus};
use fairlane_core::time::Span;
use fairlane_workflow::show_span;
use serde::Serialize;
use tokio::task::JoinSet;

use crate::exit::Usage;
use crate::recorded::{self, End, Place, Recorded, Taken};
use crate::target::Target;
use crate::{input, text};
use declared::Declared;

/// Tenants that are asked about at once.
const CONCURRENCY: usize = 8;
const DAY: Span = Span::from_secs(24 * 3_600);
/// What a scenario lasts beyond the last end, to the next whole one.
const MINUTE: u64 = 60_000_000;

/// Write what came in a time, and what it took, as a scenario to simulate
///
/// The folder has the arrivals with the service times of their steps, the declarations, and a scenario that plays them:
/// `fairlane simulate FOLDER/scenario.yaml`. It has no payloads, no secrets and no names of people.
#[derive(Debug, Args)]
pub(crate) struct ExportArrivals {
    /// A folder that is not there yet, or is empty
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// Only arrivals of this tenant; can be given several times. All tenants if not given
    #[arg(long = "tenant", value_name = "TENANT")]
    tenants: Vec<String>,
    /// A day in UTC, such as 2026-12-01, or `yesterday` (if no time is given)
    #[arg(long, value_name = "DAY", conflicts_with_all = ["from", "until"])]
    day: Option<String>,
    /// Runs that came then or later: a day such as 2026-12-01 (in UTC), or a time
    #[arg(long, value_name = "TIME", value_parser = input::moment, requires = "until")]
    from: Option<Timestamp>,
    /// Runs that came before
    #[arg(long, value_name = "TIME", value_parser = input::moment, requires = "from")]
    until: Option<Timestamp>,
    /// Give tenants and organisations other names: t1, t2 and so on
    #[arg(long)]
    anonymous: bool,
}

/// What was written.
#[derive(Debug, Serialize)]
struct Exported {
    scenario: PathBuf,
    from: Timestamp,
    until: Timestamp,
    tenants: usize,
    runs: usize,
    /// Slot time of all their attempts.
    service_us: u64,
    left_out: LeftOut,
}

/// Runs of the time that cannot be played.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct LeftOut {
    /// Under way.
    live: u64,
    /// Their plan was changed under way.
    replanned: u64,
    /// Their steps were kept for their time, and are gone.
    expired: u64,
    /// They ended before the server noted how long steps work.
    unmeasured: u64,
}

impl ExportArrivals {
    pub(crate) async fn execute(self, target: &Target) -> anyhow::Result<()> {
        let (client, printer) = (target.client()?, target.printer());
        let (from, until) = self.period()?;
        is_free(&self.out)?;
        let all: Vec<String> =
            client.tenants().await?.into_iter().map(|tenant| tenant.id).collect();
        let asked = if self.tenants.is_empty() { all.clone() } else { self.tenants.clone() };
        if let Some(unknown) = asked.iter().find(|tenant| !all.contains(tenant)) {
            return Err(Usage(format!("there is no tenant {unknown}")).into());
        }
        let bar = printer.bar(asked.len() as u64, "tenants");
        let arrivals = arrivals(&client, asked, (from, until), &bar).await?;
        bar.finish_and_clear();
        let workflows = workflows(&client, &arrivals).await?;
        let mut declared = Declared::read(&client, &arrivals, workflows).await?;
        let (mut runs, left_out) = recorded(&arrivals, &declared, from);
        if runs.is_empty() {
            return Err(nothing((from, until), left_out));
        }
        if self.anonymous {
            anonymous::rename(&mut runs, &mut declared);
        }
        let lasts = lasts(&runs, (from, until));
        let scenario = write(&self.out, &runs, &declared, (from, lasts))?;
        let tenants: BTreeSet<&str> = runs.iter().map(|run| run.tenant.as_str()).collect();
        let exported = Exported {
            scenario,
            from,
            until,
            tenants: tenants.len(),
            runs: runs.len(),
            service_us: runs.iter().map(|run| run.service().0).sum(),
            left_out,
        };
        for note in left_out.notes().into_iter().chain(declared.notes()) {
            printer.note(&note);
        }
        printer.data(&exported, Exported::words)
    }

    fn period(&self) -> anyhow::Result<(Timestamp, Timestamp)> {
        let (from, until) = if let (Some(from), Some(until)) = (self.from, self.until) {
            (from, until)
        } else {
            let day = match self.day.as_deref().unwrap_or("yesterday") {
                "yesterday" => text::now().0 / DAY.0 * DAY.0 - DAY.0,
                day => input::moment(day).map_err(|error| Usage(format!("--day: {error}")))?.0,
            };
            (Timestamp(day), Timestamp(day + DAY.0))
        };
        if from >= until {
            let (from, until) = (text::time(from), text::time(until));
            return Err(Usage(format!("--until {until} is not after --from {from}")).into());
        }
        Ok((from, until))
    }
}

impl LeftOut {
    fn notes(self) -> Vec<String> {
        let Self { live, replanned, expired, unmeasured } = self;
        [
            (live, ["run that has not ended", "runs that have not ended"]),
            (replanned, ["run with a plan changed under way", "runs with plans changed under way"]),
            (expired, ["run whose steps are gone", "runs whose steps are gone"]),
            (
                unmeasured,
                ["run from before work was measured", "runs from before work was measured"],
            ),
        ]
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, [one, many])| {
            format!("Left out: {count} {}", if count == 1 { one } else { many })
        })
        .collect()
    }
}

impl Exported {
    fn words(&self) -> String {
        let Self { tenants, runs, .. } = self;
        format!(
            "{runs} runs of {tenants} tenants from {} to {}, with {} of work\nfairlane simulate {}\n",
            text::time(self.from),
            text::time(self.until),
            text::span_us(self.service_us),
            self.scenario.display()
        )
    }
}

fn nothing((from, until): (Timestamp, Timestamp), left_out: LeftOut) -> anyhow::Error {
    let (from, until) = (text::time(from), text::time(until));
    let mut message = format!("no run that came between {from} and {until} has ended");
    for note in left_out.notes() {
        message.push_str(&format!("\n{note}"));
    }
    Usage(message).into()
}

/// Nothing that is there is written over.
fn is_free(folder: &Path) -> anyhow::Result<()> {
    match std::fs::read_dir(folder) {
        Ok(mut entries) => {
            if entries.next().is_some() {
                let message = format!("the folder {} is not empty", folder.display());
                return Err(Usage(format!("{message}: name one that is not there yet")).into());
            }
            Ok(())
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", folder.display())),
    }
}

/// What came, with whose it is, in the order in which it came.
async fn arrivals(
    client: &Client,
    tenants: Vec<String>,
    period: (Timestamp, Timestamp),
    bar: &indicatif::ProgressBar,
) -> anyhow::Result<Vec<(String, Arrival)>> {
    let mut found = Vec::new();
    let mut under_way = JoinSet::new();
    let mut tenants = tenants.into_iter();
    loop {
        while under_way.len() < CONCURRENCY
            && let Some(tenant) = tenants.next()
        {
            let client = client.clone();
            under_way.spawn(async move { of_tenant(&client, tenant, period).await });
        }
        let Some(read) = under_way.join_next().await else { break };
        found.extend(read.context("reading broke off")??);
        bar.inc(1);
    }
    found.sort_by(|(_, a), (_, b)| (a.created_at, &a.run).cmp(&(b.created_at, &b.run)));
    Ok(found)
}

async fn of_tenant(
    client: &Client,
    tenant: String,
    period: (Timestamp, Timestamp),
) -> anyhow::Result<Vec<(String, Arrival)>> {
    let mut found = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let page = client.arrivals(&tenant, period, cursor.as_deref()).await?;
        found.extend(page.items.into_iter().map(|arrival| (tenant.clone(), arrival)));
        cursor = page.next;
        if cursor.is_none() {
            return Ok(found);
        }
    }
}

/// The versions of workflows that came.
async fn workflows(
    client: &Client,
    arrivals: &[(String, Arrival)],
) -> anyhow::Result<Vec<Workflow>> {
    let versions: BTreeSet<(&str, u32)> =
        arrivals.iter().map(|(_, arrival)| (&*arrival.workflow, arrival.version)).collect();
    let mut workflows = Vec::new();
    for (name, version) in versions {
        workflows.push(client.workflow(name, Some(version)).await?);
    }
    Ok(workflows)
}

/// Arrivals as they are written, and how many are not.
fn recorded(
    arrivals: &[(String, Arrival)],
    declared: &Declared,
    from: Timestamp,
) -> (Vec<Recorded>, LeftOut) {
    let mut left_out = LeftOut::default();
    let mut playable = Vec::new();
    for (tenant, arrival) in arrivals {
        let count = if !is_ended(arrival.status) {
            &mut left_out.live
        } else if arrival.replanned {
            &mut left_out.replanned
        } else if arrival.payloads_expired {
            &mut left_out.expired
        } else if is_unmeasured(arrival, declared) {
            &mut left_out.unmeasured
        } else {
            playable.push((tenant, arrival));
            continue;
        };
        *count += 1;
    }
    let numbers: BTreeMap<&str, u32> =
        playable.iter().map(|(_, arrival)| arrival.run.as_str()).zip(1..).collect();
    let runs = playable.iter().zip(1..).map(|((tenant, arrival), run)| {
        let latency = arrival.ended_at.map_or(0, |ended| ended.0 - arrival.created_at.0);
        Recorded {
            tenant: (*tenant).clone(),
            org: declared.org_of(tenant).to_owned(),
            at: Span(arrival.created_at.0.saturating_sub(from.0)),
            run,
            parent: arrival.parent.as_ref().and_then(|caller| {
                let place = Place { step: caller.step.clone(), part: part(caller.part) };
                Some((*numbers.get(caller.run.as_str())?, place))
            }),
            workflow: arrival.workflow.clone(),
            version: arrival.version,
            lane: match arrival.lane {
                wire::Lane::Urgent => Lane::Urgent,
                wire::Lane::Normal => Lane::Normal,
                wire::Lane::Background => Lane::Background,
            },
            outcome: match arrival.status {
                wire::RunStatus::Completed => RunStatus::Completed,
                wire::RunStatus::Failed => RunStatus::Failed,
                _ => RunStatus::Cancelled,
            },
            latency: Span(latency),
            spent: arrival.spent.to_string(),
            steps: steps(arrival),
        }
    });
    (runs.collect(), left_out)
}

const fn is_ended(status: wire::RunStatus) -> bool {
    matches!(
        status,
        wire::RunStatus::Completed | wire::RunStatus::Failed | wire::RunStatus::Cancelled
    )
}

/// A step that a worker has done, and nobody noted how long.
fn is_unmeasured(arrival: &Arrival, declared: &Declared) -> bool {
    let mapped: BTreeSet<&str> = arrival
        .steps
        .iter()
        .filter(|step| matches!(step.part, WirePart::Item(_)))
        .map(|step| &*step.name)
        .collect();
    arrival.steps.iter().any(|step| {
        let is_map = step.part == WirePart::Whole && mapped.contains(&*step.name);
        let is_work = declared.is_work(&arrival.workflow, arrival.version, &step.name);
        step.phase == Phase::Done && step.worked_us.is_empty() && !is_map && is_work
    })
}

fn steps(arrival: &Arrival) -> BTreeMap<Place, Taken> {
    let mut items = BTreeMap::<&str, u32>::new();
    for step in &arrival.steps {
        if let WirePart::Item(at) = step.part {
            let count = items.entry(&step.name).or_default();
            *count = (*count).max(at + 1);
        }
    }
    let steps = arrival.steps.iter().map(|step| {
        let place = Place { step: step.name.clone(), part: part(step.part) };
        let mapped = items.get(&*step.name).filter(|_| step.part == WirePart::Whole);
        (place, mapped.map_or_else(|| taken(step), |items| Taken::Mapped(*items)))
    });
    steps.collect()
}

fn taken(step: &StepTaken) -> Taken {
    let end = match step.phase {
        Phase::Skipped => return Taken::Skipped,
        Phase::Done => End::Done,
        Phase::Failed => End::Failed,
        _ => End::Cut,
    };
    if step.worked_us.is_empty() {
        return Taken::Waited { took: Span(step.since.0.saturating_sub(step.ready_at.0)), end };
    }
    let tokens = step.tokens.map(|used| {
        let number = |tokens: u64| u32::try_from(tokens).unwrap_or(u32::MAX);
        (number(used.input), number(used.output))
    });
    let attempts = step.worked_us.iter().copied().map(Span).collect();
    Taken::Worked { attempts, end, tokens }
}

const fn part(part: WirePart) -> Part {
    match part {
        WirePart::Whole => Part::Whole,
        WirePart::Compensation => Part::Compensation,
        WirePart::Item(at) => Part::Item(at),
    }
}

/// The period, and as long as its runs took, in whole minutes.
fn lasts(runs: &[Recorded], (from, until): (Timestamp, Timestamp)) -> Span {
    let ended = runs.iter().map(|run| run.at.0 + run.latency.0).max().unwrap_or_default();
    Span(ended.max(until.0 - from.0).div_ceil(MINUTE) * MINUTE)
}

fn write(
    folder: &Path,
    runs: &[Recorded],
    declared: &Declared,
    (from, lasts): (Timestamp, Span),
) -> anyhow::Result<PathBuf> {
    let cannot = |path: &Path| format!("cannot write {}", path.display());
    std::fs::create_dir_all(folder).with_context(|| cannot(folder))?;
    let put = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        std::fs::write(&path, bytes).with_context(|| cannot(&path))
    };
    put("arrivals.csv", &recorded::write(runs)?)?;
    put("declarations.json", declared.json()?.as_bytes())?;
    let mut files = vec!["declarations.json".to_owned()];
    for (name, source) in declared.workflows() {
        put(&name, source.as_bytes())?;
        files.push(name);
    }
    let scenario = format!(
        "# What came, as it was recorded. Change the declarations, or see what a change would do:\n\
         #\n\
         #   fairlane simulate scenario.yaml --what-if 'tiers/gold.weight=8' --what-if 'arrivals/acme=x2'\n\
         declare: [{}]\n\
         start: {from}\n\
         lasts: {}\n\
         recorded: arrivals.csv\n",
        files.join(", "),
        show_span(lasts)
    );
    put("scenario.yaml", scenario.as_bytes())?;
    Ok(folder.join("scenario.yaml"))
}
