//! What hostile clients do to everybody else: one tenant submits runs at a steady rate, while others misbehave in one way
//! after another.
//!
//! ```text
//! cargo run --release -p fairlane-server --example hostile -- [RATE [SECONDS]]
//! ```
//!
//! - Hostile clients come from 127.0.0.2, and have a tenant's key where that is what it takes. Those that hold connections
//!   hold as many as an address may have, and try for more.
//! - What is measured is the submission of a run by another tenant from 127.0.0.1, and the reading of it, on connections of
//!   their own each time, so that they have to be let in: from when it was due until the run is shown.
//! - Hostile clients are a process of their own. The load is bounded in rate, time and connections.

#![expect(clippy::print_stdout, reason = "what it prints is what it is for")]

use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use fairlane_server::{Config, Server};
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

const RATE: u64 = 50;
const RATE_MAX: u64 = 1_000;
const SECONDS: u64 = 8;
const SECONDS_MAX: u64 = 60;
/// Connections of the server; an address may have half of them.
const CONNECTIONS: usize = 1_000;
/// Connections that hostile clients try to hold.
const HELD: usize = 600;
/// Clients that send as fast as they can.
const LOOPS: usize = 16;
/// Connections that one of them opens at most: each leaves a port behind for a minute.
const OPENED_MAX: usize = 1_000;
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
const STEP: &str = "workflow: one\nversion: 1\nsteps:\n  only:\n    pool: main\n    task: t\n";

/// Where hostile clients go.
#[derive(Clone)]
struct Prey {
    addr: SocketAddr,
    key: Arc<str>,
    run: Arc<str>,
}

/// What one client does until it is stopped.
#[derive(Clone, Copy, Debug)]
enum Way {
    Quiet,
    /// Holds a connection and says nothing.
    Silent,
    /// A byte of a head now and then.
    SlowHead,
    /// A piece of an announced body now and then.
    SlowBody,
    /// Heads far above what is read.
    HugeHead,
    /// Connects and goes away.
    Connect,
    /// Asks for a large answer, and does not take it.
    Deaf,
    /// Follows a run, and does not take what is told.
    DeafStream,
    /// Asks as fast as it is answered.
    Requests,
    /// Reads a run from the store as fast as it is answered.
    Reads,
    /// Guesses secrets as fast as it is refused.
    Guesses,
}

const WAYS: [(Way, &str, usize); 11] = [
    (Way::Quiet, "nobody", 0),
    (Way::Silent, "silent connections", HELD),
    (Way::SlowHead, "slow heads", HELD),
    (Way::SlowBody, "slow bodies", HELD),
    (Way::HugeHead, "huge heads", LOOPS),
    (Way::Connect, "connects and leaves", LOOPS),
    (Way::Deaf, "answers not read", HELD),
    (Way::DeafStream, "streams not read", HELD),
    (Way::Requests, "requests of a tenant", LOOPS),
    (Way::Reads, "reads of a tenant", HELD),
    (Way::Guesses, "guesses of keys", LOOPS),
];

/// What the process of the hostile clients is told.
const ATTACK: &str = "attack";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [first, way, addr, key, run] = &arguments[..]
        && first == ATTACK
    {
        let prey = Prey { addr: addr.parse()?, key: key.as_str().into(), run: run.as_str().into() };
        return attack(WAYS[way.parse::<usize>()?], &prey).await;
    }
    let mut arguments = arguments.into_iter().map(|text| text.parse::<u64>());
    let rate = arguments.next().transpose()?.unwrap_or(RATE);
    let seconds = arguments.next().transpose()?.unwrap_or(SECONDS);
    ensure!((1..=RATE_MAX).contains(&rate), "RATE is 1 to {RATE_MAX}");
    ensure!((1..=SECONDS_MAX).contains(&seconds), "SECONDS is 1 to {SECONDS_MAX}");
    let folder = tempfile::tempdir()?;
    let config = Config::new(folder.path(), SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let server = Server::start(Config { connections_max: CONNECTIONS, ..config }).await?;
    let (prey, key) = declare(&server).await?;
    println!(
        "{:<22} {:>8} {:>8} {:>8} {:>8} {:>7}",
        "HOSTILE", "P50 ms", "P95", "P99", "MAX", "FAILED"
    );
    submit(&prey, &key, (rate, 2)).await?;
    for (at, (_, name, _)) in WAYS.iter().enumerate() {
        let hostile = Hostile::begin(at, &prey)?;
        // They are there before it is measured.
        sleep(Duration::from_secs(1)).await;
        let (latency, failed) = submit(&prey, &key, (rate, seconds)).await?;
        let at = |quantile| millis(latency.value_at_quantile(quantile));
        println!(
            "{name:<22} {:>8.2} {:>8.2} {:>8.2} {:>8.2} {failed:>7}",
            at(0.5),
            at(0.95),
            at(0.99),
            millis(latency.max())
        );
        drop(hostile);
        sleep(Duration::from_secs(1)).await;
    }
    server.stop().await;
    Ok(())
}

/// The process of the hostile clients, which ends with this.
struct Hostile(Child);

impl Hostile {
    fn begin(way: usize, prey: &Prey) -> anyhow::Result<Self> {
        let arguments = [ATTACK, &way.to_string(), &prey.addr.to_string(), &prey.key, &prey.run];
        let mut command = Command::new(std::env::current_exe()?);
        Ok(Self(command.args(arguments).stdin(Stdio::piped()).spawn()?))
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Until whoever wanted it has gone.
async fn attack((way, _, clients): (Way, &str, usize), prey: &Prey) -> anyhow::Result<()> {
    let mut hostile = JoinSet::new();
    for _ in 0..clients {
        let prey = prey.clone();
        hostile.spawn(async move {
            // A client that is cut off tries again, after a while.
            loop {
                drop(way.act(&prey).await);
                sleep(Duration::from_millis(100)).await;
            }
        });
    }
    let gone = tokio::task::spawn_blocking(|| std::io::stdin().read(&mut [0]));
    gone.await??;
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "it is printed with two digits")]
fn millis(micros: u64) -> f64 {
    micros as f64 / 1_000.0
}

impl Way {
    async fn act(self, prey: &Prey) -> std::io::Result<()> {
        if matches!(self, Self::Quiet) {
            return Ok(());
        }
        let mut stream = connect(prey.addr).await?;
        let authorised = |method: &str, path: &str, more: &str| {
            let key = &prey.key;
            format!(
                "{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n{more}\r\n"
            )
        };
        match self {
            Self::Quiet => {}
            Self::Silent => drop(stream.read(&mut [0]).await?),
            Self::SlowHead => loop {
                stream.write_all(b"x").await?;
                sleep(Duration::from_millis(200)).await;
            },
            Self::SlowBody => {
                let more = "content-type: application/json\r\ncontent-length: 1000000\r\n";
                let head = authorised("POST", "/v1/tenants/hostile/runs", more);
                stream.write_all(head.as_bytes()).await?;
                loop {
                    stream.write_all(&[b' '; 1_024]).await?;
                    sleep(Duration::from_millis(200)).await;
                }
            }
            Self::HugeHead => {
                let head = format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(1 << 20));
                stream.write_all(head.as_bytes()).await?;
            }
            Self::Connect => {
                for _ in 0..OPENED_MAX {
                    drop(connect(prey.addr).await?);
                }
                sleep(Duration::from_secs(SECONDS_MAX)).await;
            }
            Self::Deaf => {
                // As many as it takes to fill what the kernel keeps.
                for _ in 0..20 {
                    let head = authorised("GET", "/openapi.json", "");
                    stream.write_all(head.as_bytes()).await?;
                }
                sleep(Duration::from_secs(SECONDS_MAX)).await;
            }
            Self::DeafStream => {
                let path = format!("/v1/tenants/hostile/runs/{}/events", prey.run);
                stream.write_all(authorised("GET", &path, "").as_bytes()).await?;
                sleep(Duration::from_secs(SECONDS_MAX)).await;
            }
            Self::Requests | Self::Reads | Self::Guesses => {
                let path = match self {
                    Self::Reads => format!("/v1/tenants/hostile/runs/{}", prey.run),
                    _ => "/v1/tenants/hostile".to_owned(),
                };
                let mut request = authorised("GET", &path, "");
                if matches!(self, Self::Guesses) {
                    request = request.replace(&*prey.key, &format!("{}0", prey.key));
                }
                let mut answer = vec![0; 16 << 10];
                loop {
                    stream.write_all(request.as_bytes()).await?;
                    if stream.read(&mut answer).await? == 0 {
                        break;
                    }
                }
            }
        }
        Ok(())
    }
}

/// From another address than everybody else.
async fn connect(to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from(([127, 0, 0, 2], 0)))?;
    socket.connect(to).await
}

/// Submits runs of the other tenant at a rate, and gives how long each took, and how many were not taken.
async fn submit(
    prey: &Prey,
    key: &Arc<str>,
    (rate, seconds): (u64, u64),
) -> anyhow::Result<(Histogram<u64>, u64)> {
    let start = Instant::now();
    let mut sent = JoinSet::new();
    for at in 0..rate * seconds {
        let due = start + Duration::from_micros(at * 1_000_000 / rate);
        let (addr, key) = (prey.addr, key.clone());
        sleep_until(due).await;
        sent.spawn(async move {
            let body = json!({ "workflow": "one", "input": 1 }).to_string();
            let sent = ask(addr, &key, ("POST", "/v1/tenants/other/runs"), &body);
            let (status, made) = timeout(ANSWER_WITHIN, sent).await.ok()?.ok()?;
            let path = format!("/v1/tenants/other/runs/{}", made["run"].as_str()?);
            let read = ask(addr, &key, ("GET", &path), "");
            let read = timeout(ANSWER_WITHIN, read).await.ok()?.ok()?.0;
            (status == 201 && read == 200).then(|| due.elapsed())
        });
    }
    let mut latency = Histogram::new(3)?;
    let mut failed = 0;
    while let Some(done) = sent.join_next().await {
        match done? {
            Some(took) => latency.record(u64::try_from(took.as_micros())?.max(1))?,
            None => failed += 1,
        }
    }
    Ok((latency, failed))
}

/// One request on a connection of its own; its status and its body.
async fn ask(
    addr: SocketAddr,
    key: &str,
    (method, path): (&str, &str),
    body: &str,
) -> anyhow::Result<(u16, Value)> {
    let kind = if body.starts_with("workflow:") { "yaml" } else { "json" };
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\nconnection: close\r\n\
         content-type: application/{kind}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(addr).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let text = String::from_utf8(answer)?;
    let (head, body) = text.split_once("\r\n\r\n").context("the answer has no end of its head")?;
    let status = head.split(' ').nth(1).context("the answer has no status")?.parse()?;
    Ok((status, serde_json::from_str(body).unwrap_or_default()))
}

/// Two tenants, and a run of the hostile one that does not end.
async fn declare(server: &Server) -> anyhow::Result<(Prey, Arc<str>)> {
    let (addr, operator) = (server.addr(), server.operator_key().context("the store is new")?);
    let tenant = r#"{"org":"o","tier":"t"}"#;
    for (path, body) in [
        ("/v1/orgs/o", "{}"),
        ("/v1/tiers/t", r#"{"weight":1,"cap":10}"#),
        ("/v1/tenants/hostile", tenant),
        ("/v1/tenants/other", tenant),
        ("/v1/platform/pools/main", r#"{"slots":10}"#),
        ("/v1/workflows/one", STEP),
    ] {
        let (status, said) = ask(addr, operator, ("PUT", path), body).await?;
        ensure!(status < 300, "{path}: {status} {said}");
    }
    let mut keys = Vec::new();
    for tenant in ["hostile", "other"] {
        let body = json!({ "role": "tenant", "tenant": tenant }).to_string();
        let (_, made) = ask(addr, operator, ("POST", "/v1/platform/keys"), &body).await?;
        keys.push(Arc::from(made["secret"].as_str().context("a key has a secret")?));
    }
    let body = r#"{"workflow":"one","input":1}"#;
    let (_, run) = ask(addr, operator, ("POST", "/v1/tenants/hostile/runs"), body).await?;
    let run = Arc::from(run["run"].as_str().context("a run has an id")?);
    let other = keys.pop().context("there are two")?;
    let key = keys.pop().context("there are two")?;
    Ok((Prey { addr, key, run }, other))
}
