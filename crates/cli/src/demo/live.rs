//! `fairlane demo --live`: traffic that goes on, with a fault in it if one is asked for, to look at with `fairlane top`,
//! `fairlane explain` and a browser.

use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use fairlane_client::api::resource::Policy;

use super::town::{self, BURST_BANK, Town, WORKFLOW};
use super::traffic::{Burst, Traffic};
use crate::load::drive::{Target as Load, drive};
use crate::load::stage::Stage;
use crate::load::work::Pace;
use crate::printer::Printer;

/// The burst bank comes so often.
const BURST_EVERY: Duration = Duration::from_secs(40);
/// Work takes as many times as long as in the measured phases, so that there are fewer applications for the same load.
const SLOWER: u32 = 10;
/// So much of the pool is left by the fault of a small one: less than the normal traffic needs.
const SMALL_ONE_IN: u32 = 8;

#[derive(Clone, Copy, Debug, Args)]
pub(super) struct Live {
    /// Instead of the measured phases: normal traffic with a burst every 40 s, until stopped or for so long
    #[arg(long = "live")]
    pub(super) is_on: bool,
    /// Minutes that the live traffic goes on
    #[arg(long, requires = "is_on", default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=120))]
    minutes: u64,
    /// A fault to look for in the live traffic
    #[arg(long, requires = "is_on", value_enum)]
    fault: Option<Fault>,
    /// Seconds until the fault
    #[arg(long, requires = "is_on", default_value_t = 180, value_parser = clap::value_parser!(u64).range(0..=3_600))]
    fault_after: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Fault {
    /// The pool serves first in, first out: bursts of one bank reach all others
    Fifo,
    /// The credit bureau takes four times as long
    SlowBureau,
    /// The pool has an eighth of its slots
    SmallPool,
    /// All workers end
    NoWorkers,
}

impl Fault {
    const fn words(self) -> &'static str {
        match self {
            Self::Fifo => "the pool serves first in, first out",
            Self::SlowBureau => "the credit bureau takes four times as long",
            Self::SmallPool => "the pool has an eighth of its slots",
            Self::NoWorkers => "all workers end",
        }
    }
}

impl Live {
    /// How long work takes. That of the phases unless it is live, which is for people to look at while the machine does
    /// other things too.
    pub(super) fn pace(&self) -> Pace {
        let is_slow = self.fault == Some(Fault::SlowBureau);
        let slow_credit_after_ms = is_slow.then_some(self.fault_after * 1_000);
        Pace { times: if self.is_on { SLOWER } else { 1 }, slow_credit_after_ms }
    }

    /// Until the time is over; whoever calls it stops it before.
    pub(super) async fn perform(
        &self,
        stage: &mut Stage,
        town: &Town,
        (load_percent, burst, seed): (u32, u32, u64),
        printer: Printer,
    ) -> anyhow::Result<()> {
        town::call_bureau(stage.client()).await?;
        printer.note(&self.introduction(stage, town, burst));
        let length = Duration::from_secs(self.minutes * 60);
        let traffic = Traffic { length, load_percent, seed };
        let mut arrivals = traffic.normal(town);
        let mut from = BURST_EVERY / 2;
        while from < length {
            let burst = Burst { from, length: Duration::from_secs(2), applications: burst };
            arrivals.extend(burst.arrivals(town));
            from += BURST_EVERY;
        }
        arrivals.sort_by_key(|arrival| (arrival.due, arrival.tenant));
        let target = Load {
            client: stage.client().clone(),
            workflow: WORKFLOW.to_owned(),
            tenants: town.institutions.iter().map(|one| one.id.clone()).collect(),
            input: super::input,
            key: |_| None,
        };
        let taken = AtomicU64::new(0);
        let traffic = drive(&target, arrivals.into_iter().map(Ok), Instant::now(), &taken);
        let (sent, ()) = tokio::try_join!(traffic, self.inject(stage, town, printer))?;
        let refused: u64 = sent.refused.values().sum();
        printer.note(&format!("Over: {} applications, {refused} refused.", sent.records.len()));
        Ok(())
    }

    async fn inject(&self, stage: &mut Stage, town: &Town, printer: Printer) -> anyhow::Result<()> {
        let Some(fault) = self.fault else { return Ok(()) };
        tokio::time::sleep(Duration::from_secs(self.fault_after)).await;
        let set_policy =
            async |slots, policy| town::set_policy(stage.client(), slots, policy).await;
        match fault {
            Fault::Fifo => set_policy(town.slots(), Policy::Fifo).await?,
            Fault::SmallPool => {
                set_policy((town.slots() / SMALL_ONE_IN).max(1), Policy::Fair).await?;
            }
            Fault::NoWorkers => stage.end_workers().await,
            // The workers know when by themselves.
            Fault::SlowBureau => {}
        }
        printer.note(&format!("Now {}.", fault.words()));
        Ok(())
    }

    fn introduction(&self, stage: &Stage, town: &Town, burst: u32) -> String {
        let fault = self.fault.map_or_else(String::new, |fault| {
            format!("After {} s {}.\n", self.fault_after, fault.words())
        });
        format!(
            "Normal traffic for {} minutes, and {burst} applications of {BURST_BANK} every {} s, each of {} ms of work.\n\
             Ctrl-c ends it. {fault}\n  \
             export FAIRLANE_URL={}\n  export FAIRLANE_KEY={}    # the operator's\n\n  \
             fairlane explain                # is the platform well, and is it fair?\n  \
             fairlane explain {BURST_BANK}    # why is this one slow?\n  \
             fairlane top                    # all of them, live\n",
            self.minutes,
            BURST_EVERY.as_secs(),
            town.work().as_millis(),
            stage.url(),
            stage.key().unwrap_or_default()
        )
    }
}
