//! A provider of models that does what a test says: the chat completions, embeddings and models of the OpenAI wire,
//! on a free port of this machine.
//!
//! It is for tests and benchmarks, and no part of the product: only `dev-dependencies` may name it. It speaks
//! HTTP by hand, because half of its use is to speak it wrongly. What it is sent it records, so that a test can look.
//!
//! ```
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
//! # runtime.block_on(async {
//! use fairlane_fake_provider::{Provider, Reply};
//!
//! let provider = Provider::start().await.unwrap();
//! provider.next(Reply::throttled("7"));
//! provider.always(Reply::answer("forty two"));
//! assert!(provider.url("/v1/models").starts_with("http://127.0.0.1:"));
//! assert_eq!(provider.received_count(), 0);
//! # });
//! ```

mod http;
pub mod identity;
mod reply;
mod script;

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

pub use http::Received;
pub use script::{Answer, Reply, Usage};

/// So many of the newest requests are kept: a test has far fewer, a benchmark would fill the memory.
const RECORDED_MAX: usize = 10_000;

/// A running provider. It ends, with its connections, when this is dropped.
#[derive(Debug)]
pub struct Provider {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    script: Mutex<Script>,
    open_connections: watch::Sender<usize>,
    requests: watch::Sender<u64>,
}

#[derive(Debug)]
struct Script {
    next: VecDeque<Reply>,
    always: Reply,
    received: VecDeque<Received>,
}

impl Provider {
    /// Listens on 127.0.0.1 and answers `ok` until told otherwise. It runs on the caller's runtime.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let script = Script {
            next: VecDeque::new(),
            always: Reply::answer("ok"),
            received: VecDeque::new(),
        };
        let shared = Arc::new(Shared {
            script: Mutex::new(script),
            open_connections: watch::Sender::new(0),
            requests: watch::Sender::new(0),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, accepting })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address of a path, such as `/v1/chat/completions`.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// How one more request is answered, after those that were already said.
    pub fn next(&self, reply: Reply) {
        self.shared.script().next.push_back(reply);
    }

    /// How requests are answered for which nothing else is said.
    pub fn always(&self, reply: Reply) {
        self.shared.script().always = reply;
    }

    /// The newest requests, oldest first.
    pub fn received(&self) -> Vec<Received> {
        self.shared.script().received.iter().cloned().collect()
    }

    /// How many requests came since the start.
    pub fn received_count(&self) -> u64 {
        *self.shared.requests.borrow()
    }

    /// Waits until so many requests have come since the start.
    pub async fn has_received(&self, count: u64) {
        let mut requests = self.shared.requests.subscribe();
        drop(requests.wait_for(|seen| *seen >= count).await);
    }

    /// How many connections are open now.
    pub fn open_connections(&self) -> usize {
        *self.shared.open_connections.borrow()
    }

    /// Waits until no connection is open.
    pub async fn all_closed(&self) {
        let mut open = self.shared.open_connections.subscribe();
        drop(open.wait_for(|count| *count == 0).await);
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Shared {
    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record(&self, received: Received) -> Reply {
        let mut script = self.script();
        if script.received.len() == RECORDED_MAX {
            script.received.pop_front();
        }
        script.received.push_back(received);
        let reply = script.next.pop_front().unwrap_or_else(|| script.always.clone());
        drop(script);
        self.requests.send_modify(|count| *count += 1);
        reply
    }
}

/// Counts a connection as open for as long as it lives, however its task ends.
struct Open(Arc<Shared>);

impl Open {
    fn new(shared: Arc<Shared>) -> Self {
        shared.open_connections.send_modify(|count| *count += 1);
        Self(shared)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open_connections.send_modify(|count| *count -= 1);
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                let open = Open::new(Arc::clone(&shared));
                connections.spawn(serve(stream, open));
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Answers requests of one connection until one of the two closes it.
async fn serve(mut stream: TcpStream, open: Open) {
    let _ = stream.set_nodelay(true);
    let mut unread = Vec::new();
    while let Ok(Some(received)) = http::read(&mut stream, &mut unread).await {
        let reply = open.0.record(received.clone());
        match reply::send(&mut stream, &received, reply).await {
            Ok(reply::Then::KeepAlive) => {}
            Ok(reply::Then::Close) | Err(_) => return,
        }
    }
}
