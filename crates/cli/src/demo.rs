//! `fairlane demo`: two hundred institutions on one platform, and the Monday on which one of them sends 5,000
//! applications at once. Four phases, the same traffic: without the burst, with it under first in, first out, with it
//! under the default policy, and so again where it runs out of calls and another one of money. In a fifth one a model
//! looks at loans and people decide them, and some banks' data may be in the EU only. Everything is real but the work,
//! which is sleeping.

mod desk;
mod endpoint;
mod live;
mod people;
mod report;
mod town;
mod traffic;
mod witness;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use fairlane_client::api::key::{NewKey, Role};
use fairlane_client::api::resource::Policy;
use serde_json::json;

use crate::exit::Interrupted;
use crate::load::collect::Begin;
use crate::load::drive::{Arrival, Target as Load};
use crate::load::phase::{self, Phase, Phased};
use crate::load::stage::Stage;
use crate::printer::Printer;
use crate::target::Target;
use live::Live;
use people::{HOME, People, REGION, Reviewer, Scene, ZONE};
use report::{Broke, Kept, PhaseResult, Report};
use town::{BURST_BANK, POOL, Town, WORKFLOW};
use traffic::{Burst, Traffic};

/// Traffic before the first phase, so that no phase pays for cold caches and new connections.
const WARM_UP: Duration = Duration::from_secs(1);
/// Of a burst that comes again and again: so many are done before the next one.
const LIVE_BURST_MAX: u32 = 1_000;
/// A phase in which nothing ends for this long is over.
const PATIENCE: Duration = Duration::from_secs(20);

/// Show on a real server how one tenant's burst does, or does not, reach the others
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Leave the server and its workers running, and print the address and the keys
    #[arg(long)]
    keep: bool,
    /// Folder for the server's store (default: a temporary one, removed at the end)
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Institutions, the one with the burst included
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(2..=10_000))]
    institutions: u32,
    /// Applications in the burst
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    burst: u32,
    /// Slots of the pool
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    slots: u32,
    /// Worker processes
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64))]
    workers: u32,
    /// Normal traffic, in percent of the pool
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=90))]
    load: u32,
    /// Seconds of normal traffic in each phase
    #[arg(long, default_value_t = 13, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Another seed gives other arrivals
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    live: Live,
}

impl Demo {
    pub(crate) async fn execute(self, target: &Target) -> anyhow::Result<()> {
        let printer = target.printer();
        if !printer.is_json() && !self.live.is_on {
            printer.note(&self.introduction());
        }
        let mut stage = Stage::start_in(self.data.as_deref(), &[HOME, REGION]).await?;
        let mut scene = None;
        let performance = self.perform((&mut stage, &mut scene), printer);
        let done = attend(performance, crate::signals::stop(), self.keep).await;
        if let Some(scene) = scene {
            scene.close().await;
        }
        stage.stop().await;
        done
    }

    fn introduction(&self) -> String {
        format!(
            "Fairlane demo: {} institutions share {} worker slots. Each sends loan applications, which go through\n\
             verify -> credit -> compliance -> decide: 45 s of work each, here at a thousandth, 45 ms. Then one of\n\
             them ({BURST_BANK}) sends {} at once. The server, its store on disk, {} worker processes and every\n\
             request are real; only the work is sleeping. Four phases of about {} s each, and a short one in which\n\
             people decide, and banks of the EU stay there.\n",
            self.institutions, self.slots, self.burst, self.workers, self.seconds
        )
    }

    async fn perform(
        &self,
        (stage, scene): (&mut Stage, &mut Option<Scene>),
        printer: Printer,
    ) -> anyhow::Result<()> {
        let pace = self.live.pace();
        let town = Town::new(self.institutions, self.slots).at_pace(pace.times);
        town.declare(stage.client()).await?;
        stage.start_paced_workers(POOL, (self.workers, self.slots), pace).await?;
        if self.live.is_on {
            let burst = self.burst.min(LIVE_BURST_MAX);
            let traffic = (self.load, burst, self.seed);
            return self.live.perform(stage, &town, traffic, printer).await;
        }
        if !printer.is_json() {
            printer.note(&format!("Server at {}, store in {}.", stage.url(), folder(stage)));
            let key = stage.key().unwrap_or_default();
            let address = crate::dev::dashboard(stage.url(), key);
            printer.note(&format!("Look on, as long as it runs: {address}\n"));
        }
        let mut show = Show { stage: &mut *stage, town: &town, printer };
        let phases = self.measure(&mut show).await?;
        let scene = scene.insert(Scene::set(show.stage, &town, Some(ZONE)).await?);
        let (people, reviewer) = show.people(scene, self.burst).await?;
        let mut report = Report::new(phases.0, phases.1, people);
        if self.keep {
            report.server = Some(kept(stage, reviewer).await?);
        }
        printer.data(&report, Report::render)?;
        if !printer.is_json() {
            printer.note(&closing(report.server.as_ref()));
        }
        Ok(())
    }

    /// The phases without people, one after the other.
    async fn measure(
        &self,
        show: &mut Show<'_>,
    ) -> anyhow::Result<([PhaseResult; 4], Option<Broke>)> {
        let length = Duration::from_secs(self.seconds);
        let traffic = Traffic { length, load_percent: self.load, seed: self.seed };
        let burst = Burst {
            from: (length / 8).min(Duration::from_secs(1)),
            length: (length / 4).min(Duration::from_millis(2_500)),
            applications: self.burst,
        };
        let warm_up = Traffic { length: WARM_UP.min(length), seed: !self.seed, ..traffic };
        show.phase("warming up", warm_up.normal(show.town)).await?;

        let normal = show.phase("no burst", traffic.normal(show.town)).await?;
        let baseline = PhaseResult::new("no burst", "fair", show.town, &normal, &burst);

        let arrivals = traffic.with_burst(show.town, &burst);
        show.policy(Policy::Fifo).await?;
        let fifo = show.phase("burst, fifo", arrivals.clone()).await?;
        let fifo = PhaseResult::new("burst, fifo", "fifo", show.town, &fifo, &burst);

        show.policy(Policy::Fair).await?;
        let fair = show.phase("burst, default", arrivals.clone()).await?;
        let fair = PhaseResult::new("burst, default", "fair", show.town, &fair, &burst);

        show.limit().await?;
        let quotas = show.phase("burst, quotas", arrivals).await?;
        let broke = show.broke(&quotas).await?;
        let quotas =
            PhaseResult::without(broke.as_ref(), "burst, quotas", show.town, &quotas, &burst);
        Ok(([baseline, fifo, fair, quotas], broke))
    }
}

/// Sees the performance to its end, and with `keep` waits after it until told to stop, which is then as it should
/// be; before its end it is an interruption. One listener hears it at any time, so that each stop counts once.
async fn attend(
    performance: impl Future<Output = anyhow::Result<()>>,
    stop: impl Future<Output = std::io::Result<()>>,
    keep: bool,
) -> anyhow::Result<()> {
    let mut stop = std::pin::pin!(stop);
    tokio::select! {
        // What has ended is not interrupted any more.
        biased;
        performed = performance => performed?,
        stopped = &mut stop => return stopped.map_err(Into::into).and(Err(Interrupted.into())),
    }
    if keep {
        stop.await?;
    }
    Ok(())
}

/// Where the phases take place.
struct Show<'a> {
    stage: &'a mut Stage,
    town: &'a Town,
    printer: Printer,
}

impl Show<'_> {
    async fn policy(&self, policy: Policy) -> anyhow::Result<()> {
        town::set_policy(self.stage.client(), self.town.slots(), policy).await
    }

    async fn limit(&self) -> anyhow::Result<()> {
        town::limit(self.stage.client(), self.town).await
    }

    /// What became of the bank without money.
    async fn broke(&self, phased: &Phased) -> anyhow::Result<Option<Broke>> {
        let Some(at) = self.town.broke() else { return Ok(None) };
        let tenant = self.town.institutions[at].id.clone();
        let accounts = self.stage.client().tenant_accounts(&tenant).await?;
        let month = accounts.into_iter().find(|account| account.budget.is_some());
        let month = month.with_context(|| format!("{tenant} has no budget"))?;
        Ok(Some(Broke::new(at, tenant, &month, phased)))
    }

    /// The phase in which people decide.
    async fn people(&self, scene: &Scene, burst: u32) -> anyhow::Result<(People, Reviewer)> {
        let bar = self.printer.bar(0, "people and places");
        let performed = scene.perform(self.stage, burst).await;
        bar.finish_and_clear();
        performed.context("the phase with people could not be measured")
    }

    async fn phase(
        &mut self,
        label: &'static str,
        arrivals: Vec<Arrival>,
    ) -> anyhow::Result<Phased> {
        let target = Load {
            client: self.stage.client().clone(),
            workflow: WORKFLOW.to_owned(),
            tenants: self.town.institutions.iter().map(|one| one.id.clone()).collect(),
            input,
            key: |_| None,
        };
        let phase = Phase {
            target: &target,
            pool: POOL,
            begin: Begin::Due,
            label,
            bar: self.printer.bar(arrivals.len() as u64, label),
            patience: PATIENCE,
        };
        let phased = phase::run(&phase, arrivals.into_iter().map(Ok)).await;
        let phased =
            phased.with_context(|| format!("the phase \"{label}\" could not be measured"))?;
        self.stage.check_workers()?;
        Ok(phased)
    }
}

/// An application: who asks, and for how much.
fn input(arrival: &Arrival) -> serde_json::Value {
    let number = crate::load::drive::micros(arrival.due) ^ u64::from(arrival.tenant);
    json!({ "applicant": format!("applicant-{number}"), "amount": 1_000 + number % 50_000 })
}

fn folder(stage: &Stage) -> String {
    stage.folder().map_or_else(String::new, |folder| folder.display().to_string())
}

/// What whoever wants to look around needs.
async fn kept(stage: &Stage, reviewer: Reviewer) -> anyhow::Result<Kept> {
    let new = NewKey {
        tenant: Some(BURST_BANK.to_owned()),
        label: Some("demo: the burst bank's own key".to_owned()),
        ..NewKey::of(Role::Tenant)
    };
    let created = stage.client().create_key(&new).await.context("cannot make a tenant's key")?;
    Ok(Kept {
        url: stage.url().to_owned(),
        operator_key: stage.key().unwrap_or_default().to_owned(),
        tenant: BURST_BANK.to_owned(),
        tenant_key: created.secret,
        reviewer: reviewer.name,
        reviewer_key: reviewer.key,
    })
}

fn closing(kept: Option<&Kept>) -> String {
    let Some(kept) = kept else {
        return "\nNext: `fairlane demo --keep` leaves this server running so that you can look around;\n      \
                `fairlane dev` starts an empty one for your own workflows."
            .to_owned();
    };
    format!(
        "\nThe server is still running, with its workers, until you press ctrl-c:\n\n  \
         export FAIRLANE_URL={}\n  export FAIRLANE_KEY={}    # the operator's\n\n  \
         fairlane top                                 # tenants: slots, caps, shares, waits\n  \
         {}    # the same in a browser\n  \
         fairlane runs --tenant {}           # what the burst bank sent\n  \
         fairlane run {WORKFLOW} --tenant bank-001 --input '{{\"applicant\":\"you\",\"amount\":9000}}'\n\n  \
         FAIRLANE_KEY={}    # sees {} and nothing else\n\n  \
         fairlane run {} --tenant eu-standard --input '{{\"applicant\":\"you\",\"amount\":9000}}'\n  \
         FAIRLANE_KEY={}    # is {}: fairlane review list, claim, decide",
        kept.url,
        kept.operator_key,
        crate::dev::dashboard(&kept.url, &kept.operator_key),
        kept.tenant,
        kept.tenant_key,
        kept.tenant,
        people::WORKFLOW,
        kept.reviewer_key,
        kept.reviewer
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{pending, ready};

    fn code(done: anyhow::Result<()>) -> u8 {
        match done {
            Ok(()) => crate::exit::Code::Ok as u8,
            Err(error) if error.is::<Interrupted>() => crate::exit::Code::Interrupted as u8,
            Err(error) => panic!("{error}"),
        }
    }

    #[tokio::test]
    async fn a_stop_before_the_report_is_an_interruption_and_after_it_the_end() {
        // What is ready at once comes in either order: a hundred tries find it out.
        for _ in 0..100 {
            for keep in [false, true] {
                assert_eq!(code(attend(pending(), ready(Ok(())), keep).await), 130);
                assert_eq!(code(attend(ready(Ok(())), ready(Ok(())), keep).await), 0);
            }
        }
        assert_eq!(code(attend(ready(Ok(())), pending(), false).await), 0);
    }

    #[tokio::test]
    async fn what_is_kept_goes_on_until_it_is_told_to_stop() {
        let (stop, told) = tokio::sync::oneshot::channel::<()>();
        let told = async { told.await.map_err(std::io::Error::other) };
        let kept = tokio::spawn(async { attend(ready(Ok(())), told, true).await });
        tokio::task::yield_now().await;
        assert!(!kept.is_finished());
        stop.send(()).unwrap();
        assert_eq!(code(kept.await.unwrap()), 0);
    }
}
