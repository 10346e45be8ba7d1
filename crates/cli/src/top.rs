//! `fairlane top`: tenants by what they hold and wait for, as a live table or printed once.

mod screen;

use std::io::IsTerminal as _;

use clap::{Args, ValueEnum};
use fairlane_api::reading::{Overview, Readings};
use fairlane_api::resource::{Pool, Valve};
use fairlane_client::Client;
use serde::Serialize;

use crate::exit::Usage;
use crate::table::Table;
use crate::target::Target;
use crate::text;

/// Watch tenants: slots, cap, share, waiting, wait, p95, debt, and why one is slow
///
/// SHARE is of the slots that are held now, WAIT the 95th percentile of the wait for a slot and P50 and P95 those of runs
/// from submission to end, all over the last minute; LATE counts runs that missed their target. Keys: q ends, s sorts
/// by the next column, arrows and page keys scroll. `fairlane explain TENANT` says more of one.
#[derive(Debug, Args)]
pub(crate) struct Top {
    /// Print the table once and end
    #[arg(long)]
    once: bool,
    /// Time between two looks
    #[arg(long, value_name = "MS", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(100..))]
    interval_ms: u64,
    #[arg(long, value_enum, default_value_t = Sort::Slots)]
    sort: Sort,
    /// Most tenants to print with --once
    #[arg(long)]
    limit: Option<usize>,
}

/// What comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Sort {
    Slots,
    Waiting,
    Wait,
    P95,
    Debt,
    Runs,
    Tenant,
}

impl Sort {
    const fn next(self) -> Self {
        match self {
            Self::Slots => Self::Waiting,
            Self::Waiting => Self::Wait,
            Self::Wait => Self::P95,
            Self::P95 => Self::Debt,
            Self::Debt => Self::Runs,
            Self::Runs => Self::Tenant,
            Self::Tenant => Self::Slots,
        }
    }

    /// Where its column is.
    const fn column(self) -> usize {
        match self {
            Self::Tenant => 0,
            Self::Slots => 2,
            Self::Waiting => 5,
            Self::Runs => 6,
            Self::Wait => 7,
            Self::P95 => 9,
            Self::Debt => 10,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Slots => "slots",
            Self::Waiting => "waiting",
            Self::Wait => "wait",
            Self::P95 => "p95",
            Self::Debt => "debt",
            Self::Runs => "runs",
            Self::Tenant => "tenant",
        }
    }

    /// Large numbers first; names from a to z.
    fn apply(self, tenants: &mut [Readings]) {
        let p95 = |tenant: &Readings| tenant.latency.map_or(0, |latency| latency.p95_us);
        let wait = |tenant: &Readings| tenant.queue_wait.map_or(0, |wait| wait.p95_us);
        tenants.sort_by(|a, b| {
            let order = match self {
                Self::Slots => b.slots.cmp(&a.slots).then(b.waiting.cmp(&a.waiting)),
                Self::Waiting => b.waiting.cmp(&a.waiting),
                Self::Wait => wait(b).cmp(&wait(a)),
                Self::P95 => p95(b).cmp(&p95(a)),
                Self::Debt => b.debt_us.cmp(&a.debt_us),
                Self::Runs => b.live_runs.cmp(&a.live_runs),
                Self::Tenant => std::cmp::Ordering::Equal,
            };
            order.then_with(|| a.tenant.cmp(&b.tenant))
        });
    }
}

impl Top {
    pub(crate) async fn execute(self, target: &Target) -> anyhow::Result<()> {
        let (client, printer) = (target.client()?, target.printer());
        if !self.once && !printer.is_json() {
            if !std::io::stdout().is_terminal() {
                let message =
                    "the live table needs a terminal; `fairlane top --once` prints the table";
                return Err(Usage(message.to_owned()).into());
            }
            return screen::show(&client, &self).await;
        }
        let mut look = Look::take(&client).await?;
        self.sort.apply(&mut look.tenants);
        if let Some(limit) = self.limit {
            look.tenants.truncate(limit);
        }
        printer.data(&look, |look| format!("{}\n\n{}", look.summary(), table(look)))
    }
}

/// What one look at the platform shows.
#[derive(Debug, Serialize)]
struct Look {
    overview: Overview,
    pools: Vec<Pool>,
    valve: Valve,
    tenants: Vec<Readings>,
}

impl Look {
    async fn take(client: &Client) -> anyhow::Result<Self> {
        let (overview, pools, valve, tenants) = tokio::try_join!(
            client.overview(None),
            client.pools(),
            client.valve(),
            client.all_readings()
        )?;
        Ok(Self { overview, pools, valve, tenants })
    }

    fn slots_held(&self) -> u64 {
        self.tenants.iter().map(|tenant| u64::from(tenant.slots)).sum()
    }

    /// The platform in one line: whether it is well, the valve, then the pools.
    fn summary(&self) -> String {
        self.summary_within(usize::MAX)
    }

    /// The same with as many pools as there is room for, and how many more there are.
    fn summary_within(&self, width: usize) -> String {
        const BETWEEN: &str = "  |  ";
        let valve = if self.valve.open { "open" } else { "closed" };
        let state = text::word(&self.overview.state);
        let mut line = format!("{state}{BETWEEN}valve {valve}, {} live runs", self.valve.live_runs);
        let is_in_many = self.overview.regions.len() > 1;
        for (at, pool) in self.pools.iter().enumerate() {
            let Pool { name, region, in_flight, slots, waiting, workers, .. } = pool;
            let place = if is_in_many { format!(" in {region}") } else { String::new() };
            let this = format!(
                "{BETWEEN}pool {name}{place}: {in_flight}/{slots} slots, {waiting} waiting, {workers} workers"
            );
            let behind = match self.pools.len() - at - 1 {
                0 => String::new(),
                left => format!("{BETWEEN}{left} more pools"),
            };
            if line.chars().count() + this.chars().count() + behind.chars().count() > width {
                line.push_str(&format!("{BETWEEN}{} more pools", self.pools.len() - at));
                break;
            }
            line.push_str(&this);
        }
        line
    }
}

const TITLES: [&str; 13] = [
    "TENANT", "TIER", ">SLOTS", ">CAP", ">SHARE", ">WAITING", ">RUNS", ">WAIT", ">P50", ">P95",
    ">DEBT", ">LATE", "WHY",
];

/// What holds the tenant up, if it is slow.
fn why(tenant: &Readings) -> String {
    let Some(reason) = &tenant.diagnosis.reason else { return String::new() };
    let place = reason.place.as_ref().map_or_else(String::new, |place| format!(" {place}"));
    format!("{}{place}", reason.code)
}

/// The cells of one tenant's line.
fn cells(tenant: &Readings, slots_held: u64) -> [String; TITLES.len()] {
    let latency = |of: fn(&fairlane_api::reading::Latency) -> u64| {
        text::or_dash(tenant.latency.as_ref().map(|latency| text::span_us(of(latency))))
    };
    let tenths = u64::from(tenant.slots) * 1_000 / slots_held.max(1);
    let slots = match tenant.burst_slots {
        0 => tenant.slots.to_string(),
        burst => format!("{} (+{burst})", tenant.slots),
    };
    [
        if tenant.suspended {
            format!("{} (suspended)", tenant.tenant)
        } else {
            tenant.tenant.clone()
        },
        tenant.tier.clone(),
        slots,
        tenant.cap.to_string(),
        format!("{}.{} %", tenths / 10, tenths % 10),
        tenant.waiting.to_string(),
        tenant.live_runs.to_string(),
        text::or_dash(tenant.queue_wait.map(|wait| text::span_us(wait.p95_us))),
        latency(|latency| latency.p50_us),
        latency(|latency| latency.p95_us),
        if tenant.debt_us == 0 { "-".to_owned() } else { text::span_us(tenant.debt_us) },
        tenant.sla_violations.to_string(),
        why(tenant),
    ]
}

fn table(look: &Look) -> String {
    let held = look.slots_held();
    let mut table = Table::new(&TITLES);
    for tenant in &look.tenants {
        table.row(cells(tenant, held));
    }
    table.render()
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;

    /// A platform with one bank in a burst and one that is quiet.
    pub(super) fn look() -> Look {
        let tenant = |name: &str, slots: u32, waiting: u32, debt_us: u64| {
            let reason = (waiting > 0)
                .then(|| json!({ "code": "tenant-cap", "place": "default", "own": true }));
            json!({
                "tenant": name, "org": "north", "tier": "standard", "weight": 4, "cap": 20,
                "suspended": false, "slots": slots, "burst_slots": slots.saturating_sub(20),
                "waiting": waiting, "live_runs": waiting + slots, "completed": 9, "failed": 0,
                "service_us": 5, "debt_us": debt_us, "sla_violations": 0,
                "diagnosis": {
                    "state": "healthy", "reason": reason, "says": "", "held_us": 0, "held_in_all_us": 0
                },
                "queue_wait": { "count": 9, "p50_us": 2, "p95_us": waiting * 1_000, "p99_us": 1, "max_us": 1 },
                "latency": { "count": 9, "p50_us": 52_000, "p95_us": 61_500, "p99_us": 1, "max_us": 1 }
            })
        };
        let pool = json!({
            "name": "default", "slots": 100, "policy": "fair", "quantum_ms": 10, "lease_ms": 30_000,
            "age_guard_ms": 60_000, "burst_credit_max_ms": 600_000, "dispatchable": 100,
            "in_flight": 24, "waiting": 4_979, "workers": 2, "offered": 100
        });
        let valve = json!({
            "open": true, "live_runs": 5_003, "runs_soft": 1, "runs_hard": 2, "waiting_bytes": 0,
            "bytes_soft": 1, "bytes_hard": 2, "refused": 0
        });
        let overview = json!({
            "region": "home", "regions": ["home"], "at": "2026-11-27T10:00:00Z", "state": "healthy",
            "says": "All is well.", "reasons": [], "tenants": 2, "active": 2, "slow_expected": 1, "slow": 0,
            "pools": [], "tiers": [], "work": [], "commits": [], "reviewers": [], "interference": [],
            "valve": valve, "cross_tenant_attempts": 0, "decisions": []
        });
        Look {
            overview: serde_json::from_value(overview).unwrap(),
            pools: vec![serde_json::from_value(pool).unwrap()],
            valve: serde_json::from_value(valve).unwrap(),
            tenants: serde_json::from_value(json!([
                tenant("bank-1", 3, 0, 0),
                tenant("bank-7", 21, 4_979, 1_500_000)
            ]))
            .unwrap(),
        }
    }

    #[test]
    fn the_table_has_a_line_for_each_tenant() {
        let mut look = look();
        Sort::Waiting.apply(&mut look.tenants);
        expect![[r#"
            TENANT  TIER        SLOTS  CAP   SHARE  WAITING  RUNS   WAIT    P50    P95   DEBT  LATE  WHY
            bank-7  standard  21 (+1)   20  87.5 %     4979  5000  4.9 s  52 ms  61 ms  1.5 s     0  tenant-cap default
            bank-1  standard        3   20  12.5 %        0     3   0 us  52 ms  61 ms      -     0
        "#]]
        .assert_eq(&table(&look));
        expect![
            "healthy  |  valve open, 5003 live runs  |  pool default: 24/100 slots, 4979 waiting, 2 workers"
        ]
        .assert_eq(&look.summary());
    }
}
