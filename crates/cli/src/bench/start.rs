//! How long a server takes to be ready, and what it takes up while it has nothing to do.

use std::path::Path;
use std::time::Duration;

use super::report::{Line, Part};
use crate::load::drive::micros;
use crate::load::server::ServerProcess;

const STARTS: usize = 5;
/// What is allocated for the start is given back a little later.
const SETTLE: Duration = Duration::from_millis(500);
const TARGET_START_US: u64 = 100_000;
const TARGET_IDLE_BYTES: u64 = 30 << 20;

pub(crate) async fn measure(folder: &Path) -> anyhow::Result<Part> {
    let mut fresh = Vec::new();
    for number in 0..STARTS {
        let folder = folder.join(format!("start-{number}"));
        let server = ServerProcess::start(&folder).await?;
        fresh.push(server.ready_after);
        server.stop().await;
    }
    let again = folder.join("start-0");
    let mut existing = Vec::new();
    let mut idle = None;
    for number in 0..STARTS {
        let server = ServerProcess::start(&again).await?;
        existing.push(server.ready_after);
        if number + 1 == STARTS {
            tokio::time::sleep(SETTLE).await;
            idle = server.resident_bytes();
        }
        server.stop().await;
    }
    let mut lines = vec![
        Line::micros_with_target("start to ready, new store", median(fresh), TARGET_START_US),
        Line::micros_with_target(
            "start to ready, existing store",
            median(existing),
            TARGET_START_US,
        ),
    ];
    lines.extend(idle.map(|bytes| {
        Line::bytes_with_target("memory of an idle server", bytes, TARGET_IDLE_BYTES)
    }));
    Ok(Part {
        name: "start",
        method: format!(
            "from the start of the process until /readyz answers, the median of {STARTS}; resident memory half a second later"
        ),
        lines,
    })
}

fn median(mut spans: Vec<Duration>) -> u64 {
    spans.sort_unstable();
    spans.get(spans.len() / 2).copied().map_or(0, micros)
}
