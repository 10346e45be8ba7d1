//! What the gateway adds to a call of a model: requests at a steady rate, straight to a provider and through the
//! gateway, in turns.
//!
//! ```text
//! cargo run --release -p fairlane-server --example gateway_cost -- [RATE [SECONDS [sqlite|memory]]]
//! ```
//!
//! - The provider is the fake one, on loopback, and answers at once: what is measured is what is added, and nothing of
//!   a model's own time.
//! - The gateway runs on the SQLite store, each call with its limit taken and its money held in four accounts. Both are
//!   durable before the call leaves.
//! - What a durable write costs on this disk is measured beside, at the same rate: the gateway cannot add less than one.
//!   With `memory` in place of the SQLite store the rest remains.
//! - The load is an open loop: a request is due at its time, whether those before it are answered or not, and its
//!   latency counts from then. It is bounded in rate and time.
//! - Client, gateway and provider have a runtime each, and share the machine.

#![expect(clippy::print_stdout, reason = "what it prints is what it is for")]

use std::io::{Seek as _, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use fairlane_fake_provider::{Provider, Reply};
use fairlane_server::{Config, Server, StoreKind};
use hdrhistogram::Histogram;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;

const RATE: u64 = 1_000;
const RATE_MAX: u64 = 10_000;
const SECONDS: u64 = 5;
const SECONDS_MAX: u64 = 60;
/// Each goes straight for so many seconds, and then through the gateway for as many.
const ROUNDS: u64 = 3;
/// Connections, prepared statements and caches are warm after this.
const WARM_UP_SECONDS: u64 = 1;
/// Bytes of a durable write: the pages that a call's commit changes.
const WRITE: usize = 5 * 4_096;
/// Writes until the log begins anew.
const LOG_WRITES: usize = 800;

type Http = Client<HttpConnector, Full<Bytes>>;

/// Where requests go, and the key that goes with them.
#[derive(Clone)]
struct To {
    addr: SocketAddr,
    key: Arc<str>,
}

struct Measured {
    latency: Histogram<u64>,
    /// How much later than due requests left: the part of the latency that is the load's own.
    late: Histogram<u64>,
}

fn main() -> anyhow::Result<()> {
    let (store, numbers): (Vec<_>, Vec<_>) =
        std::env::args().skip(1).partition(|text| ["sqlite", "memory"].contains(&text.as_str()));
    let is_memory = store.iter().any(|store| store == "memory");
    let mut arguments = numbers.iter().map(|text| text.parse::<u64>());
    let rate = arguments.next().transpose()?.unwrap_or(RATE);
    let seconds = arguments.next().transpose()?.unwrap_or(SECONDS);
    ensure!((1..=RATE_MAX).contains(&rate), "RATE is 1 to {RATE_MAX}");
    ensure!((1..=SECONDS_MAX).contains(&seconds), "SECONDS is 1 to {SECONDS_MAX}");

    let [far, near] = [one_thread()?, one_thread()?];
    let middle = Builder::new_multi_thread().enable_all().build()?;
    let provider = far.block_on(Provider::start())?;
    provider.always(Reply::answer("It is a house with a garden, and the loan is safe."));
    std::thread::spawn(move || far.block_on(std::future::pending::<()>()));
    let folder = tempfile::tempdir()?;
    let store = if is_memory { StoreKind::Memory } else { StoreKind::Sqlite };
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    // It is all one tenant's.
    let tenant_requests_per_second = 0;
    let config = Config { store, tenant_requests_per_second, ..Config::new(folder.path(), listen) };
    let server = middle.block_on(Server::start(config))?;
    let http = Client::builder(TokioExecutor::new()).build_http();

    let through = near.block_on(declare(&http, &server, &provider))?;
    let straight = To { addr: provider.address(), key: "none".into() };
    let mut all = [Measured::new()?, Measured::new()?];
    let mut disk = histogram()?;
    for round in 0..=ROUNDS {
        let span = if round == 0 { WARM_UP_SECONDS } else { seconds };
        let mut floor = histogram()?;
        write_durably(folder.path(), (rate, span), &mut floor)?;
        if round > 0 {
            disk.add(&floor)?;
        }
        for (to, measured) in [&straight, &through].into_iter().zip(&mut all) {
            let load = load(&near, &http, to, (rate, span))?;
            if round > 0 {
                measured.add(&load)?;
            }
        }
    }
    report(rate, seconds, &all, &disk);
    middle.block_on(server.stop());
    drop(provider);
    Ok(())
}

fn one_thread() -> anyhow::Result<Runtime> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}

impl Measured {
    fn new() -> anyhow::Result<Self> {
        Ok(Self { latency: histogram()?, late: histogram()? })
    }

    fn add(&mut self, other: &Self) -> anyhow::Result<()> {
        self.latency.add(&other.latency)?;
        Ok(self.late.add(&other.late)?)
    }
}

fn histogram() -> anyhow::Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, 60_000_000, 3)?)
}

/// What the commit of a small turn costs at least: five pages, and the wait until they are on the disk. Due at the rate
/// of the requests, so that what queues behind a stall of the disk counts here as it does there.
fn write_durably(
    folder: &Path,
    (rate, seconds): (u64, u64),
    disk: &mut Histogram<u64>,
) -> anyhow::Result<()> {
    let mut file = std::fs::File::create(folder.join("floor"))?;
    // As a log that is written again from its start: the file does not grow.
    file.write_all(&vec![0; WRITE * LOG_WRITES])?;
    file.sync_all()?;
    let pages = vec![7; WRITE];
    let start = Instant::now();
    for at in 0..rate * seconds {
        let due = start + Duration::from_nanos(at * 1_000_000_000 / rate);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        if at % LOG_WRITES as u64 == 0 {
            file.rewind()?;
        }
        file.write_all(&pages)?;
        file.sync_data()?;
        disk.saturating_record(micros(due.elapsed()));
    }
    Ok(())
}

/// A tenant with a budget and a quota that bound nothing here, and a model.
async fn declare(http: &Http, server: &Server, provider: &Provider) -> anyhow::Result<To> {
    let operator =
        To { addr: server.addr(), key: server.operator_key().context("the store is new")?.into() };
    let rule = json!({ "bucket": { "units": 100_000, "per": "1s", "burst": 100_000 } });
    let endpoint = json!({ "protocol": "chat", "url": provider.url("/v1"), "allow_private": true });
    for (path, body) in [
        ("/v1/orgs/bank", json!({ "budget": { "month": "1000000" } })),
        ("/v1/tiers/standard", json!({ "weight": 1, "cap": 10 })),
        (
            "/v1/budget-classes/usual",
            json!({
                "budget": { "day": "100000", "month": "1000000" },
                "quotas": { "provider": [rule] },
            }),
        ),
        (
            "/v1/tenants/bank-17",
            json!({ "org": "bank", "tier": "standard", "budget_class": "usual" }),
        ),
        ("/v1/catalog/tools/provider", json!({ "limits": [rule], "endpoint": endpoint })),
        ("/v1/catalog/prices/large", json!({ "versions": [{ "input": "2", "output": "10" }] })),
        (
            "/v1/catalog/models/reasoner",
            json!({ "candidates": [{ "endpoint": "provider", "model": "large" }] }),
        ),
    ] {
        send(http, &operator, Method::PUT, path, &body).await?;
    }
    let body = json!({ "role": "tenant", "tenant": "bank-17" });
    let key = send(http, &operator, Method::POST, "/v1/platform/keys", &body).await?;
    let key = key["secret"].as_str().context("a key has its secret")?.into();
    Ok(To { addr: server.addr(), key })
}

async fn send(
    http: &Http,
    to: &To,
    method: Method,
    path: &str,
    body: &Value,
) -> anyhow::Result<Value> {
    let (status, answer) = ask(http, to, method, path, Bytes::from(body.to_string())).await?;
    if !status.is_success() {
        bail!("{path}: {status}: {}", String::from_utf8_lossy(&answer));
    }
    Ok(serde_json::from_slice(&answer)?)
}

async fn ask(
    http: &Http,
    to: &To,
    method: Method,
    path: &str,
    body: Bytes,
) -> anyhow::Result<(StatusCode, Bytes)> {
    let request = Request::builder()
        .method(method)
        .uri(format!("http://{}{path}", to.addr))
        .header("authorization", format!("Bearer {}", to.key))
        .header("content-type", "application/json")
        .body(Full::new(body))?;
    let response = http.request(request).await?;
    let status = response.status();
    Ok((status, response.into_body().collect().await?.to_bytes()))
}

/// Requests at the rate for the time. A thread says when each is due, since a runtime's timers are too coarse for that.
fn load(
    runtime: &Runtime,
    http: &Http,
    to: &To,
    (rate, seconds): (u64, u64),
) -> anyhow::Result<Measured> {
    let count = rate * seconds;
    let (due, mut requests) = mpsc::unbounded_channel::<Instant>();
    let clock = std::thread::spawn(move || {
        let start = Instant::now();
        for at in 0..count {
            let moment = start + Duration::from_nanos(at * 1_000_000_000 / rate);
            std::thread::sleep(moment.saturating_duration_since(Instant::now()));
            if due.send(moment).is_err() {
                return;
            }
        }
    });
    let failed = Arc::new(AtomicU64::new(0));
    let body = Bytes::from(prompt().to_string());
    let measured = runtime.block_on(async {
        let mut measured = Measured::new()?;
        let (ended, mut latencies) = mpsc::unbounded_channel::<(Duration, Duration)>();
        while let Some(moment) = requests.recv().await {
            let late = moment.elapsed();
            let (http, to, body) = (http.clone(), to.clone(), body.clone());
            let (failed, ended) = (failed.clone(), ended.clone());
            tokio::spawn(async move {
                let answer = ask(&http, &to, Method::POST, "/v1/chat/completions", body).await;
                if !matches!(answer, Ok((StatusCode::OK, _))) {
                    failed.fetch_add(1, Ordering::Relaxed);
                }
                let _ = ended.send((moment.elapsed(), late));
            });
        }
        drop(ended);
        while let Some((latency, late)) = latencies.recv().await {
            measured.latency.saturating_record(micros(latency));
            measured.late.saturating_record(micros(late));
        }
        anyhow::Ok(measured)
    })?;
    ensure!(clock.join().is_ok(), "the clock stopped");
    let failed = failed.load(Ordering::Relaxed);
    ensure!(failed == 0, "{failed} of {count} requests failed");
    ensure!(measured.latency.len() == count, "each request is answered");
    Ok(measured)
}

/// About 400 tokens, as a step's prompt has.
fn prompt() -> Value {
    let text = "The applicant earns 4,250 a month and asks for a loan of 180,000 over 25 years. ";
    json!({
        "model": "reasoner",
        "messages": [
            { "role": "system", "content": "You check applications for loans. Answer in one sentence." },
            { "role": "user", "content": text.repeat(20) },
        ],
        "max_tokens": 200,
    })
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn report(rate: u64, seconds: u64, [straight, through]: &[Measured; 2], disk: &Histogram<u64>) {
    println!("{rate} requests a second, {ROUNDS} times {seconds} s each way; microseconds");
    println!("{:>12} {:>10} {:>10} {:>10} {:>10}", "", "p50", "p95", "p99", "max");
    let row = |name: &str, of: &dyn Fn(f64) -> u64| {
        let [p50, p95, p99, max] = [0.50, 0.95, 0.99, 1.0].map(of);
        println!("{name:>12} {p50:>10} {p95:>10} {p99:>10} {max:>10}");
    };
    let at = |measured: &Histogram<u64>, quantile| measured.value_at_quantile(quantile);
    row("direct", &|q| at(&straight.latency, q));
    row("gateway", &|q| at(&through.latency, q));
    row("added", &|q| at(&through.latency, q).saturating_sub(at(&straight.latency, q)));
    row("disk", &|q| at(disk, q));
    row("late, direct", &|q| at(&straight.late, q));
    row("late, gw", &|q| at(&through.late, q));
}
