//! What this machine allows at best, measured in the same run as everything else: a durable append, and a durable
//! commit of one row.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use fairlane_core::cell::change::Change;
use fairlane_core::id::{RunId, TenantId};
use fairlane_core::row::IdempotencyRow;
use fairlane_core::time::Time;
use fairlane_store::Store;
use fairlane_store::seal::Roots;
use fairlane_store::sqlite::SqliteStore;

use super::report::{Line, Part, Unit};
use crate::measure;

const BLOCK: usize = 4_096;
/// Bound on what the append writes.
const BLOCKS_MAX: u64 = 200_000;

pub(crate) fn measure(folder: &Path, length: Duration) -> anyhow::Result<Part> {
    let appends = appends(&folder.join("floor.log"), length)?;
    let commits = commits(&folder.join("floor"), length)?;
    Ok(Part {
        name: "floors",
        method: "4 KiB append and fdatasync; SQLite as the store opens it (WAL, synchronous=FULL), one row a commit"
            .to_owned(),
        lines: vec![
            Line::new("append 4 KiB and fdatasync", appends, Unit::PerSecond),
            Line::new("SQLite commits of one row", commits, Unit::PerSecond),
        ],
    })
}

fn appends(path: &Path, length: Duration) -> anyhow::Result<f64> {
    let open = OpenOptions::new().create(true).append(true).open(path);
    let mut file = open.with_context(|| format!("cannot write {}", path.display()))?;
    let block = [7; BLOCK];
    let begin = Instant::now();
    let mut count = 0;
    while begin.elapsed() < length && count < BLOCKS_MAX {
        file.write_all(&block)?;
        file.sync_data()?;
        count += 1;
    }
    let rate = measure::per_second(count, begin.elapsed());
    std::fs::remove_file(path)?;
    Ok(rate)
}

fn commits(folder: &Path, length: Duration) -> anyhow::Result<f64> {
    let mut store = SqliteStore::open(folder, "floor", Roots::ephemeral())?;
    let epoch = store.claim()?;
    let tenant = TenantId::parse("floor").context("a plain name")?;
    let begin = Instant::now();
    let mut count = 0;
    while begin.elapsed() < length {
        let row = IdempotencyRow {
            tenant: tenant.clone(),
            key: Arc::from(format!("{count:08}")),
            digest: [0; 32],
            run: RunId(u128::from(count)),
            created: Time(count),
        };
        store.commit(epoch, &[Change::Idempotency(row)])?;
        count += 1;
    }
    let rate = measure::per_second(count, begin.elapsed());
    Box::new(store).close()?;
    std::fs::remove_dir_all(folder)?;
    Ok(rate)
}
