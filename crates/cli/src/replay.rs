//! `fairlane replay`: the arrivals of a CSV file, submitted at their times as runs whose work is sleeping.

mod report;
pub(crate) mod trace;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use fairlane_client::api::resource::{OrgSpec, Policy, PoolSpec, TierSpec};
use fairlane_client::{Client, Definition, Write};
use serde_json::json;

use crate::exit::{Interrupted, Usage};
use crate::load::collect::Begin;
use crate::load::declare::{self, pool_defaults, tier_defaults};
use crate::load::drive::{Arrival, End, Target as Load, micros};
use crate::load::fairness::{self, Shares, TenantShare, Windows};
use crate::load::phase::{self, Phase, Phased};
use crate::load::report::{Groups, Target as Goal, rows};
use crate::load::stage::Stage;
use crate::load::work::SIMULATE;
use crate::measure;
use crate::printer::Printer;
use crate::target::Target;
use report::{PolicyResult, Report, size_classes};
use trace::Trace;

const POOL: &str = "replay";
const TIER: &str = "replayed";
const WORKFLOW: &str = "replay";
const DEFINITION: &str = "\
workflow: replay
version: 1
steps:
  serve:
    task: simulate
    pool: replay
    with: { service_us: input.service_us }
    timeout: 24h
";
/// Of the pool, the part that the trace needs on average if no number of slots is given: enough contention to see
/// who waits, and no backlog that only grows.
const UTILISATION: f64 = 0.9;
const SLOTS_MAX: u32 = 100_000;

/// Replay real arrivals with simulated work and compare policies
#[derive(Debug, Args)]
pub(crate) struct Replay {
    /// CSV with a first line that names the columns `tenant`, `arrival_ms`, `service_ms` and, optionally, `org`
    #[arg(long, value_name = "FILE")]
    arrivals: PathBuf,
    /// Times as fast, with work as much shorter
    #[arg(long, default_value_t = 1.0, value_parser = positive)]
    speed: f64,
    /// How the pool shares its slots; `both` compares `fifo` with the default, which is `fair`
    #[arg(long, value_enum, default_value_t = Choice::Both)]
    policy: Choice,
    /// Slots of the pool (default: as many as make the mean demand nine tenths of them)
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=i64::from(SLOTS_MAX)))]
    slots: Option<u32>,
    /// Most slots that one tenant may hold under the default policy (default: half of the pool)
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=i64::from(SLOTS_MAX)))]
    cap: Option<u32>,
    /// Leave out what arrives later in the file
    #[arg(long, value_name = "MS", value_parser = positive)]
    limit_ms: Option<f64>,
    /// A run should not wait longer than this, in milliseconds of the file
    #[arg(long, value_name = "MS", default_value_t = 3_000.0, value_parser = positive)]
    target_ms: f64,
    /// Worker processes
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64))]
    workers: u32,
    /// Folder for the server's store (default: a temporary one, removed at the end)
    #[arg(long, value_name = "DIR", conflicts_with = "running")]
    data: Option<PathBuf>,
    /// Use the server at --url with the operator's --key instead of one of its own
    #[arg(long)]
    running: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Choice {
    Fair,
    Fifo,
    RoundRobin,
    Weighted,
    Both,
}

impl Choice {
    /// The policies to replay, with their names in the report.
    fn policies(self) -> Vec<(&'static str, Policy)> {
        match self {
            Self::Fair => vec![("default", Policy::Fair)],
            Self::Fifo => vec![("fifo", Policy::Fifo)],
            Self::RoundRobin => vec![("round-robin", Policy::RoundRobin)],
            Self::Weighted => vec![("weighted", Policy::Weighted)],
            Self::Both => vec![("fifo", Policy::Fifo), ("default", Policy::Fair)],
        }
    }
}

impl Replay {
    pub(crate) async fn execute(self, target: &Target) -> anyhow::Result<()> {
        let printer = target.printer();
        let trace = Trace::read(&self.arrivals, self.limit_ms)?;
        let slots = self.slots(&trace)?;
        let mut stage = if self.running {
            Stage::connect(target.client()?).await?
        } else {
            Stage::start(self.data.as_deref()).await?
        };
        let done = tokio::select! {
            done = self.perform(&mut stage, &trace, slots, printer) => done,
            stopped = crate::signals::stop() => stopped.map_err(Into::into).and(Err(Interrupted.into())),
        };
        stage.stop().await;
        done
    }

    fn slots(&self, trace: &Trace) -> anyhow::Result<u32> {
        if let Some(slots) = self.slots {
            return Ok(slots);
        }
        let wanted = (trace.mean_demand() / UTILISATION).ceil().max(1.0);
        if wanted > f64::from(SLOTS_MAX) {
            bail!(Usage(format!(
                "the arrivals need {wanted:.0} slots on average: give a number with --slots"
            )));
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 1 and SLOTS_MAX"
        )]
        Ok(wanted as u32)
    }

    async fn perform(
        &self,
        stage: &mut Stage,
        trace: &Trace,
        slots: u32,
        printer: Printer,
    ) -> anyhow::Result<()> {
        let cap = self.cap.unwrap_or((slots / 2).max(1));
        let shares = shares(trace, slots, cap);
        declare(stage.client(), trace, slots, cap).await?;
        stage.start_workers(POOL, self.workers, slots).await?;
        if !printer.is_json() {
            printer.note(&self.introduction(trace, slots));
        }
        let mut report = Report {
            file: self.arrivals.display().to_string(),
            arrivals: trace.arrivals,
            tenants: trace.tenants.len() as u64,
            speed: self.speed,
            slots,
            cap,
            mean_demand: trace.mean_demand(),
            target_us: self.target_us(),
            policies: Vec::new(),
        };
        for (name, policy) in self.policy.policies() {
            set_policy(stage.client(), slots, policy).await?;
            let phased = self.phase(stage, trace, name, printer).await?;
            stage.check_workers()?;
            report.policies.push(self.result(name, trace, &shares, &phased));
        }
        printer.data(&report, Report::render)
    }

    fn introduction(&self, trace: &Trace, slots: u32) -> String {
        let each = trace.span.div_f64(self.speed);
        format!(
            "Replaying {} arrivals of {} tenants over {slots} slots, about {:.0} s for each of {} policies.\n",
            measure::count(trace.arrivals),
            measure::count(trace.tenants.len() as u64),
            each.as_secs_f64(),
            self.policy.policies().len()
        )
    }

    async fn phase(
        &self,
        stage: &Stage,
        trace: &Trace,
        label: &'static str,
        printer: Printer,
    ) -> anyhow::Result<Phased> {
        let target = Load {
            client: stage.client().clone(),
            workflow: WORKFLOW.to_owned(),
            tenants: trace.tenants.iter().map(|tenant| tenant.id.clone()).collect(),
            input: |arrival: &Arrival| json!({ "service_us": arrival.work_us }),
            key: |_| None,
        };
        let longest = trace.span.div_f64(self.speed).max(Duration::from_mins(1));
        let phase = Phase {
            target: &target,
            pool: POOL,
            begin: if stage.is_own() { Begin::Due } else { Begin::Admitted },
            label,
            bar: printer.bar(trace.arrivals, label),
            patience: longest,
        };
        phase::run(&phase, trace.replay(self.speed)?)
            .await
            .with_context(|| format!("the replay under {label} could not be measured"))
    }

    fn target_us(&self) -> u64 {
        micros(Duration::from_secs_f64(self.target_ms / 1_000.0 / self.speed))
    }

    fn result(
        &self,
        policy: &'static str,
        trace: &Trace,
        shares: &Shares,
        phased: &Phased,
    ) -> PolicyResult {
        let records = &phased.sent.records;
        let goal = Goal::Wait { us: self.target_us() };
        let all = Groups {
            names: vec!["all".to_owned()],
            of: trace.tenants.iter().map(|_| Some(0)).collect(),
        };
        let done = || records.iter().filter(|record| matches!(record.end, End::Completed { .. }));
        let work_us: u64 = done().map(|record| record.work_us).sum();
        let overhead_us =
            phased.service_us.saturating_sub(work_us) / (done().count() as u64).max(1);
        let span = trace.span.div_f64(self.speed);
        let windows = Windows::over(span, trace.tenants.len());
        PolicyResult {
            policy,
            groups: rows(records, &size_classes(trace), goal),
            all: rows(records, &all, goal).remove(0),
            jain: fairness::index(shares, records, overhead_us, windows),
            window_ms: u64::try_from(windows.length.as_millis()).unwrap_or(u64::MAX),
            elapsed_ms: u64::try_from(phased.elapsed.as_millis()).unwrap_or(u64::MAX),
            utilisation: fairness::utilisation(shares, records, overhead_us, span),
            overhead_us,
            slots_seen: phased.slots_seen,
            waiting_seen: phased.waiting_seen,
            lateness: phased.sent.lateness.summary(),
            refused: phased.sent.refused.clone(),
        }
    }
}

/// The organisations of a trace: how many tenants each has, which is its weight.
fn orgs(trace: &Trace) -> BTreeMap<&str, u32> {
    let mut orgs = BTreeMap::new();
    for tenant in &trace.tenants {
        *orgs.entry(&*tenant.org).or_default() += 1;
    }
    orgs
}

fn shares(trace: &Trace, slots: u32, cap: u32) -> Shares {
    let orgs = orgs(trace);
    let numbers: BTreeMap<&str, usize> = orgs.keys().copied().zip(0..).collect();
    let tenants =
        trace.tenants.iter().map(|one| TenantShare { org: numbers[&*one.org], weight: 1, cap });
    Shares { slots, tenants: tenants.collect(), org_weights: orgs.into_values().collect() }
}

async fn declare(client: &Client, trace: &Trace, slots: u32, cap: u32) -> anyhow::Result<()> {
    set_policy(client, slots, Policy::Fair).await?;
    let applied = client.put_workflow(WORKFLOW, Definition::Yaml(DEFINITION), Write::Apply).await;
    applied.context("cannot declare the workflow")?;
    let tier = TierSpec { cap, ..tier_defaults() };
    client.put_tier(TIER, &tier, Write::Apply).await.context("cannot declare the tier")?;
    let orgs = orgs(trace).into_iter();
    declare::orgs(
        client,
        orgs.map(|(org, weight)| (org.to_owned(), OrgSpec { weight, cap: None, budget: None })),
    )
    .await?;
    let tenants = trace.tenants.iter();
    declare::tenants(client, tenants.map(|one| (one.id.clone(), declare::tenant(&one.org, TIER))))
        .await
}

/// Declares the pool under a policy.
async fn set_policy(client: &Client, slots: u32, policy: Policy) -> anyhow::Result<()> {
    let tasks = Some(vec![SIMULATE.to_owned()]);
    let spec = PoolSpec { slots, policy, tasks, ..pool_defaults() };
    client.put_pool(POOL, &spec, Write::Apply).await.context("cannot declare the pool")?;
    Ok(())
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value > 0.0 && value.is_finite() => Ok(value),
        _ => Err("expected a number above 0".to_owned()),
    }
}
