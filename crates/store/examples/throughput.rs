//! How many rows a second the SQLite store commits, how long one commit takes, and how long `load` takes.
//!
//! `cargo run --release -p fairlane-store --example throughput -- [FOLDER [TENANTS]]`; the folder decides which disk is
//! measured. Without tenants it goes through several numbers of them, and loads at the end.

#![expect(clippy::print_stdout, reason = "it prints what it measured")]
#![expect(clippy::cast_precision_loss, reason = "a rate is printed with few digits")]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fairlane_core::cell::change::Change;
use fairlane_core::id::{RunId, TenantId};
use fairlane_core::plan::StepIndex;
use fairlane_core::replan::Trust;
use fairlane_core::row::{
    Instance, Lane, Part, Payload, RunKey, RunRow, RunStatus, StepRow, StepState,
};
use fairlane_core::time::{Span, Time};
use fairlane_store::seal::Roots;
use fairlane_store::sqlite::SqliteStore;
use fairlane_store::{Epoch, Store};

/// Runs that enter in one commit; with ten row writes a run, a commit has a thousand.
const GROUP: u64 = 100;
/// A 4-step run: its row, (leased, done) for each step, its end.
const STAGES: u64 = 10;
const COMMITS: u64 = 1_000;
const PAYLOAD_BYTES: usize = 100;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = folder.join(format!("fairlane-throughput-{}", std::process::id()));
    if let Some(tenants) = std::env::args().nth(2) {
        commits(&folder, tenants.parse()?)?;
    } else {
        for tenants in [1, 200, 10_000] {
            commits(&folder, tenants)?;
        }
        waiting(&folder, 1_000_000, 200)?;
    }
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

fn commits(folder: &Path, tenants: u64) -> Result<(), Box<dyn Error>> {
    let (mut store, epoch) = open(folder, &format!("commits-{tenants}"))?;
    let names = names(tenants);
    let mut took = Vec::new();
    let mut rows = 0;
    for commit in 0..COMMITS + STAGES {
        let mut changes = Vec::new();
        for stage in 0..STAGES {
            if let Some(group) = commit.checked_sub(stage).filter(|group| *group < COMMITS) {
                let runs = group * GROUP..(group + 1) * GROUP;
                changes.extend(runs.map(|run| change(&names, run, stage)));
            }
        }
        rows += changes.len();
        let begin = Instant::now();
        store.commit(epoch, &changes)?;
        took.push(begin.elapsed());
    }
    let total: Duration = took.iter().sum();
    took.sort_unstable();
    let rank = |permille: usize| took[took.len() * permille / 1_000];
    println!(
        "{tenants:>6} tenants: {:>8.0} rows/s; commits of {}: p50 {:.2?} p99 {:.2?} p999 {:.2?} max {:.2?}",
        rows as f64 / total.as_secs_f64(),
        GROUP * STAGES,
        rank(500),
        rank(990),
        rank(999),
        took[took.len() - 1],
    );
    Ok(())
}

fn waiting(folder: &Path, runs: u64, tenants: u64) -> Result<(), Box<dyn Error>> {
    let roots = Roots::ephemeral();
    let mut store = SqliteStore::open(folder, "waiting", roots.clone())?;
    let epoch = store.claim()?;
    let names = names(tenants);
    for first in (0..runs).step_by(1_000) {
        let changes: Vec<Change> =
            (first..first + 1_000).map(|run| change(&names, run, 0)).collect();
        store.commit(epoch, &changes)?;
    }
    drop(store);
    let begin = Instant::now();
    let mut store = SqliteStore::open(folder, "waiting", roots)?;
    let opened = begin.elapsed();
    let snapshot = store.load()?;
    let all = begin.elapsed();
    println!("load of {} waiting runs: {:.2?} (open {opened:.2?})", snapshot.runs.len(), all);
    Ok(())
}

fn open(folder: &Path, region: &str) -> Result<(SqliteStore, Epoch), fairlane_store::Error> {
    let mut store = SqliteStore::open(folder, region, Roots::ephemeral())?;
    let epoch = store.claim()?;
    Ok((store, epoch))
}

fn names(tenants: u64) -> Vec<TenantId> {
    (0..tenants)
        .map(|tenant| TenantId::parse(&format!("tenant-{tenant}")).expect("a valid name"))
        .collect()
}

/// What the stage of a run writes. Ids are made like those of submitted runs: by time, then at random.
fn change(tenants: &[TenantId], number: u64, stage: u64) -> Change {
    let at = Time(1_700_000_000_000_000 + number * 50);
    let tenant = fairlane_core::id::mix(number) % tenants.len() as u64;
    let key = RunKey {
        tenant: tenants[usize::try_from(tenant).expect("few tenants")].clone(),
        run: RunId(u128::from(number)).derive(at, number),
    };
    let payload = || Some(Payload::from([b'1'; PAYLOAD_BYTES].as_slice()));
    if stage == 0 || stage == STAGES - 1 {
        let ended = stage != 0;
        return Change::Run(Box::new(RunRow {
            trace: None,
            is_bare: false,
            subject: None,
            requester: None,
            replans: 0,
            key,
            workflow: "loan".parse().expect("a valid name"),
            version: 1,
            context: 1,
            lane: Lane::Normal,
            status: if ended { RunStatus::Completed } else { RunStatus::Running },
            outcome: None,
            created: at,
            ended: ended.then_some(Time(at.0 + 100_000)),
            deadline: None,
            failure: None,
            parent: None,
            schedule: None,
            revision: stage,
            input_bytes: 100,
            money: fairlane_core::row::RunMoney::default(),
            input: if ended { None } else { payload() },
        }));
    }
    let done = stage.is_multiple_of(2);
    let leased = || StepState::Leased {
        worker: "worker-1".parse().expect("a valid name"),
        pool: "default".parse().expect("a valid name"),
        until: at,
        hold: None,
        route: None,
    };
    Change::Step(Box::new(StepRow {
        key,
        instance: Instance {
            step: StepIndex(u16::try_from((stage - 1) / 2).expect("four steps")),
            part: Part::Whole,
        },
        state: if done { StepState::Done } else { leased() },
        attempt: 1,
        fence: (1 << 40) + number,
        since: at,
        ready: at,
        trust: Trust::Derived,
        worked: done.then_some(Span(1_000_000)).into_iter().collect(),
        output: if done { payload() } else { None },
    }))
}
