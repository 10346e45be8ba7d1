//! `fairlane pool`: list, show and declare pools of worker slots.

use clap::{Args, Subcommand};
use fairlane_api::resource::{self, LongSteps, Policy, PoolSpec};
use fairlane_client::{Client, Error, Write};
use serde_json::json;

use crate::table::Table;
use crate::target::Target;
use crate::{input, text};

/// List, show and declare pools of worker slots
#[derive(Debug, Args)]
pub(crate) struct Pool {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List all pools, with what each holds now
    List,
    /// Show one pool
    Get { pool: String },
    /// Declare a pool, or change what is given of it
    Put(Put),
}

#[derive(Debug, Args)]
struct Put {
    pool: String,
    /// Steps of the pool that may run at once
    #[arg(long)]
    slots: Option<u32>,
    /// How tenants share the slots
    #[arg(long, value_parser = input::policy())]
    policy: Option<Policy>,
    /// A lease not renewed for this long is lost
    #[arg(long, value_name = "MS")]
    lease_ms: Option<u64>,
    /// What a dispatch is charged before its real use is known
    #[arg(long, value_name = "MS")]
    quantum_ms: Option<u64>,
    /// A step is long if it is expected to take longer than this
    #[arg(long, value_name = "MS", requires = "long_share_permille")]
    long_over_ms: Option<u64>,
    /// Part of the slots that long steps may hold
    #[arg(long, value_name = "PERMILLE", requires = "long_over_ms")]
    long_share_permille: Option<u32>,
}

impl Pool {
    pub(crate) async fn execute(self, target: &Target) -> anyhow::Result<()> {
        let (client, printer) = (target.client()?, target.printer());
        match self.verb {
            Verb::List => printer.data(&client.pools().await?, |pools| list(pools)),
            Verb::Get { pool } => printer.data(&client.pool(&pool).await?, show),
            Verb::Put(put) => {
                let spec = put.spec(&client).await?;
                let applied = client.put_pool(&put.pool, &spec, Write::Apply).await?;
                printer.data(&json!({ "pool": put.pool, "changed": applied.changed }), |_| {
                    format!(
                        "{} {}",
                        put.pool,
                        if applied.changed { "changed" } else { "unchanged" }
                    )
                })
            }
        }
    }
}

impl Put {
    /// What is given, over what the pool is declared to be, over the defaults.
    async fn spec(&self, client: &Client) -> anyhow::Result<PoolSpec> {
        let known = match client.pool(&self.pool).await {
            Ok(pool) => Some(declared(pool)),
            Err(Error::Problem(problem)) if problem.status == 404 => None,
            Err(error) => return Err(error.into()),
        };
        let mut spec = match (known, self.slots) {
            (Some(spec), _) => spec,
            // The rest takes the defaults that the wire type has.
            (None, Some(slots)) => serde_json::from_value(json!({ "slots": slots }))?,
            (None, None) => {
                let message = format!("the pool {} is new: give --slots", self.pool);
                return Err(crate::exit::Usage(message).into());
            }
        };
        spec.slots = self.slots.unwrap_or(spec.slots);
        spec.policy = self.policy.unwrap_or(spec.policy);
        spec.lease_ms = self.lease_ms.unwrap_or(spec.lease_ms);
        spec.quantum_ms = self.quantum_ms.unwrap_or(spec.quantum_ms);
        if let (Some(over_ms), Some(share_permille)) = (self.long_over_ms, self.long_share_permille)
        {
            spec.long = Some(LongSteps { over_ms, share_permille });
        }
        Ok(spec)
    }
}

fn declared(pool: resource::Pool) -> PoolSpec {
    PoolSpec {
        slots: pool.slots,
        policy: pool.policy,
        quantum_ms: pool.quantum_ms,
        long: pool.long,
        lease_ms: pool.lease_ms,
        age_guard_ms: pool.age_guard_ms,
        burst_credit_max_ms: pool.burst_credit_max_ms,
        tasks: pool.tasks,
    }
}

fn list(pools: &[resource::Pool]) -> String {
    let has_regions = pools.iter().any(|pool| pool.region != pools[0].region);
    let titles = ["POOL", "POLICY", ">SLOTS", ">RUNNING", ">WAITING", ">WORKERS", ">OFFERED"];
    let mut table = Table::new(&titles);
    for pool in pools {
        let of = if has_regions { format!(" in {}", pool.region) } else { String::new() };
        table.row([
            format!("{}{of}", pool.name),
            text::word(&pool.policy),
            pool.slots.to_string(),
            pool.in_flight.to_string(),
            pool.waiting.to_string(),
            pool.workers.to_string(),
            pool.offered.to_string(),
        ]);
    }
    table.render()
}

fn show(pool: &resource::Pool) -> String {
    let long = pool.long.map(|long| {
        let share = f64::from(long.share_permille) / 10.0;
        format!("above {}, at most {share} % of the slots", text::span_ms(long.over_ms))
    });
    let tasks = pool.tasks.as_ref().map(|tasks| tasks.join(", "));
    let lines = [
        ("pool", pool.name.clone()),
        ("policy", text::word(&pool.policy)),
        ("slots", format!("{}, {} dispatchable now", pool.slots, pool.dispatchable)),
        ("running", pool.in_flight.to_string()),
        ("waiting", pool.waiting.to_string()),
        ("workers", format!("{}, offering {} slots", pool.workers, pool.offered)),
        ("lease", text::span_ms(pool.lease_ms)),
        ("quantum", text::span_ms(pool.quantum_ms)),
        ("age guard", text::span_ms(pool.age_guard_ms)),
        ("burst", format!("at most {} of credit in use", text::span_ms(pool.burst_credit_max_ms))),
        ("long steps", text::or_dash(long)),
        ("tasks", tasks.unwrap_or_else(|| "any".to_owned())),
    ];
    lines.iter().map(|(name, value)| format!("{name:<11} {value}\n")).collect()
}
