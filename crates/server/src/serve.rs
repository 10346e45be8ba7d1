//! The server as a whole: what its parts share, how it starts, how connections are served, how it stops.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fairlane_audit::PublicKey;
use fairlane_core::auth::AllTenants;
use fairlane_core::cell::change::Snapshot;
use fairlane_core::cell::input::{Configure, Input};
use fairlane_core::id::{RegionName, TenantId};
use fairlane_core::quota::Share;
use fairlane_core::row::{IdempotencyRow, Role};
use fairlane_core::tenant::TenantScope;
use fairlane_core::time::Time;
use fairlane_store::Store;
use fairlane_store::memory::{Disk, MemoryStore};
use fairlane_store::sqlite::SqliteStore;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use places::Places;
use tls::Tls;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{Semaphore, watch};
use tokio_io_timeout::TimeoutStream;

use crate::access;
use crate::assembly::Assembly;
use crate::auth::Auth;
use crate::cache::Cache;
use crate::cells::App;
use crate::clock::Clock;
use crate::config::{self, Config, StoreKind};
use crate::effects::Effects;
use crate::engine::Engine;
use crate::engine::health::State;
use crate::engine::owner::{Owner, Place, RELOAD_MIN, own};
use crate::gateway::TokenKey;
use crate::head;
use crate::metrics::ScrapeToken;
use crate::notify::mail::Mailer;
use crate::notify::{Courier, Notifier};
use crate::problem::Refused;
use crate::readings::Lately;
use crate::reads::Reads;
use crate::registry::Registry;
use crate::root_key::{self, RootKeys};
use crate::telemetry::{self, Traces};
use crate::upstream::Upstream;
use crate::used::UsedKeys;

/// Name of the file that an operator's first key is written to.
pub const OPERATOR_KEY_FILE: &str = "operator.key";
/// What the kernel keeps of an answer that is not taken yet. Left to itself it keeps megabytes for each connection.
const SEND_BUFFER_BYTES: u32 = 256 << 10;
/// Connections that wait to be accepted.
const BACKLOG: u32 = 1_024;
/// A connection whose client takes nothing of an answer for this long is closed: it would hold the answer for ever.
const WRITE_TIME_MAX: Duration = Duration::from_mins(1);
/// A connection on which no complete request head arrives for this long is closed.
const HEADER_TIME_MAX: Duration = Duration::from_mins(1);

/// How long what is cut off has to end.
const CUT_OFF_TIME_MAX: Duration = Duration::from_secs(1);

/// What surrounds one cell: all requests of its tenants share it.
pub(crate) type Shared = Arc<Surroundings>;

#[derive(Debug)]
pub(crate) struct Surroundings {
    pub(crate) config: Config,
    /// Where this cell's store is.
    pub(crate) region: RegionName,
    /// The cell's part of the limits of providers.
    pub(crate) share: Share,
    pub(crate) engine: Engine,
    pub(crate) registry: Arc<Registry>,
    pub(crate) reads: Reads,
    pub(crate) used_keys: Arc<UsedKeys>,
    pub(crate) assembly: Assembly,
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) traces: Traces,
    pub(crate) token_key: TokenKey,
    /// What a person may see can be any tenant's: see [`crate::reviews`].
    pub(crate) rights: AllTenants,
    pub(crate) lately: Lately,
    stopping: watch::Receiver<Stopping>,
}

/// How far a server is on its way to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stopping {
    No,
    /// What is under way may end.
    Draining,
    /// It has had its time.
    CutOff,
}

/// A running server. Dropped, it goes on serving; [`Server::stop`] ends it.
#[derive(Debug)]
pub struct Server {
    addr: SocketAddr,
    operator_key: Option<String>,
    stop: watch::Sender<Stopping>,
    app: App,
    listening: tokio::task::JoinHandle<()>,
    owners: Vec<JoinHandle<()>>,
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Config(#[from] config::Error),
    #[error("cannot open the store")]
    Store(#[from] fairlane_store::Error),
    #[error(transparent)]
    RootKey(#[from] root_key::Error),
    #[error(transparent)]
    AuditKey(#[from] crate::audit::key::Error),
    #[error(transparent)]
    Tls(#[from] tls::Error),
    #[error("cannot trust the authorities in {path}: {detail}")]
    Authorities { path: String, detail: String },
    #[error("cannot use the token for metrics in {path}: {detail}")]
    ScrapeToken { path: String, detail: String },
    #[error(transparent)]
    Telemetry(#[from] telemetry::Error),
    #[error("cannot listen on {addr}")]
    Listen { addr: SocketAddr, source: std::io::Error },
    #[error("cannot start the driver thread")]
    Thread(#[source] std::io::Error),
    #[error("cannot write the operator's key to {path}")]
    KeyFile { path: String, source: std::io::Error },
    #[error("cannot use `gateway.key` in {path}")]
    TokenKey { path: String, source: std::io::Error },
    #[error("cannot make the operator's key: {detail}")]
    Key { detail: String },
    #[error("cannot declare the pool of the server's own calls: {detail}")]
    Pool { detail: String },
}

impl Surroundings {
    /// The wall clock, for rows that only people read it in.
    #[expect(clippy::unused_self, reason = "the clock is one of the surroundings")]
    pub(crate) fn now(&self) -> Time {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Time(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
    }

    /// Whether the log, which is one for all regions, names runs.
    pub(crate) fn names_runs(&self) -> bool {
        names_runs(&self.config)
    }

    /// What the store knows of each idempotency key, in their order; asked for only those that it may have. The request
    /// that is sent with them must name the session in which this was called.
    pub(crate) async fn idempotency(
        &self,
        scope: &TenantScope,
        keys: Vec<Option<Arc<str>>>,
    ) -> Result<Vec<Option<IdempotencyRow>>, Refused> {
        let now = self.now();
        let may_be_used = |key: &Arc<str>| !self.used_keys.is_new(now, scope, key);
        let keys: Vec<_> = keys.into_iter().map(|key| key.filter(may_be_used)).collect();
        if keys.iter().all(Option::is_none) {
            return Ok(vec![None; keys.len()]);
        }
        self.reads.idempotency(scope, keys).await
    }

    /// Ends when the server begins to stop.
    pub(crate) async fn stopping(&self) {
        let mut stopping = self.stopping.clone();
        // An error means that the server is gone, which is stopping too.
        let _ = stopping.wait_for(|stopping| *stopping >= Stopping::Draining).await;
    }

    /// Ends when a server that stops waits no longer for what is under way.
    pub(crate) async fn cut_off(&self) {
        let mut stopping = self.stopping.clone();
        let _ = stopping.wait_for(|stopping| *stopping == Stopping::CutOff).await;
    }
}

impl Server {
    /// Opens the store, loads the cell and serves. Must be called inside a tokio runtime. While the cell is loaded
    /// probes are answered, and everything else is told to come again.
    ///
    /// # Errors
    /// If the configuration, the store or the address cannot be used.
    pub async fn start(config: Config) -> Result<Self, Error> {
        config.check()?;
        let (stores, keys) = {
            let config = config.clone();
            blocking(move || open_stores(&config)).await?
        };
        Self::start_with(config, stores, keys).await
    }

    /// The same in one region, on a store that is open already; the configuration's own is not used.
    ///
    /// # Errors
    /// If the configuration, the store or the address cannot be used.
    pub async fn start_on(config: Config, store: Box<dyn Store>) -> Result<Self, Error> {
        config.check()?;
        let token = token_key(&Config { store: StoreKind::Memory, ..config.clone() })?;
        let home = config.all_regions().swap_remove(0);
        Self::start_with(config, vec![(home, store)], Keys { token, root: None, audit: None }).await
    }

    async fn start_with(config: Config, stores: Stores, keys: Keys) -> Result<Self, Error> {
        let files = config.tls_certificate_file.as_ref().zip(config.tls_key_file.as_ref());
        let tls = files.map(|(certificate, key)| Tls::open(certificate, key)).transpose()?;
        let addr = config.listen;
        let listener = bind(addr).map_err(|source| Error::Listen { addr, source })?;
        let addr = listener.local_addr().map_err(|source| Error::Listen { addr, source })?;
        let (stop, stopping) = watch::channel(Stopping::No);
        // With the port that was taken, if any would do.
        let config = Config { listen: addr, ..config };
        let started = {
            let config = config.clone();
            let runtime = tokio::runtime::Handle::current();
            blocking(move || open_all(&(config, keys), stores, &stopping, &runtime)).await
        };
        let (app, owners) = started?;
        // Probes are answered while the cell is loaded, which may take long.
        let listening = tokio::spawn(listen((listener, tls), app.clone()));
        for cell in app.all() {
            cell.engine.health.started().await;
        }
        let server = Self { addr, operator_key: None, stop, app, listening, owners };
        let prepared = async {
            let operator_key = first_key(&server.app).await?;
            let failed = |refused: Refused| Error::Pool { detail: refused.0.to_string() };
            crate::calls::declare_pool(&server.app).await.map_err(failed)?;
            crate::declare::reconcile(&server.app).await.map_err(failed)?;
            Ok(operator_key)
        };
        match prepared.await {
            Ok(operator_key) => {
                server.app.prepared();
                for cell in server.app.all() {
                    tokio::spawn(crate::calls::work(cell.clone()));
                    tokio::spawn(crate::audit::carry::work(cell.clone()));
                }
                tracing::info!(event = "serving", %addr, regions = config.all_regions().iter().map(RegionName::as_str).collect::<Vec<_>>().join(", "), "serving");
                Ok(Self { operator_key, ..server })
            }
            Err(error) => {
                server.stop().await;
                Err(error)
            }
        }
    }

    /// The address that it listens on.
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where it is reached from this machine.
    pub fn url(&self) -> String {
        self.app.config.local_url()
    }

    /// The operator's key, if the store was new. It is kept nowhere else, unless the configuration asked for
    /// a file.
    pub fn operator_key(&self) -> Option<&str> {
        self.operator_key.as_deref()
    }

    /// Stops: no new connections, requests under way end (long polls at once), what was accepted is committed.
    pub async fn stop(self) {
        self.stop.send_replace(Stopping::Draining);
        let drain = Duration::from_millis(self.app.config.drain_ms);
        let mut listening = self.listening;
        if tokio::time::timeout(drain, &mut listening).await.is_err() {
            tracing::warn!(
                event = "requests-cut-off",
                "some requests did not end in time and were cut off"
            );
            self.stop.send_replace(Stopping::CutOff);
            // What was cut off is written before the cell goes.
            let _ = tokio::time::timeout(CUT_OFF_TIME_MAX, listening).await;
        }
        for cell in self.app.all() {
            cell.engine.health.enter(State::Stopping);
            cell.engine.stop();
        }
        for owner in self.owners {
            let joined = tokio::task::spawn_blocking(move || owner.join()).await;
            if !matches!(joined, Ok(Ok(()))) {
                tracing::error!(event = "owner-panicked", "the driver thread ended with a panic");
            }
        }
        for cell in self.app.all() {
            cell.traces.stop().await;
        }
    }
}

type Stores = Vec<(RegionName, Box<dyn Store>)>;

/// Keys of the server itself.
#[derive(Debug)]
struct Keys {
    token: TokenKey,
    /// `None`: nothing is sealed.
    root: Option<Arc<RootKeys>>,
    /// `None`: no log is closed with checkpoints.
    audit: Option<PublicKey>,
}

/// Opens the cells of all stores.
fn open_all(
    (config, keys): &(Config, Keys),
    stores: Stores,
    stopping: &watch::Receiver<Stopping>,
    runtime: &tokio::runtime::Handle,
) -> Result<(App, Vec<JoinHandle<()>>), Error> {
    let upstream = Arc::new(upstream(config)?);
    let auth = Auth::new(config, &upstream);
    let scrape_token = scrape_token(config)?;
    let notifier = Notifier {
        upstream,
        mailer: config.smtp.as_ref().and_then(Mailer::new),
        public_url: config.public_url().into(),
    };
    let mut cells = Vec::with_capacity(stores.len());
    let mut owners = Vec::with_capacity(stores.len());
    let of = u32::try_from(stores.len()).unwrap_or(u32::MAX);
    for ((region, store), at) in stores.into_iter().zip(0..) {
        let traces = Traces::open(&config.telemetry, &region, &notifier.upstream, runtime)?;
        let sampling = traces.sampling();
        let place = Place { region, share: Share { at, of }, means: config.means(), sampling };
        let common = Common {
            config: config.clone(),
            token_key: keys.token.clone(),
            notifier: notifier.clone(),
            traces,
            stopping: stopping.clone(),
            runtime: runtime.clone(),
        };
        let (shared, owner) = open(common, (place, store))?;
        cells.push(shared);
        owners.push(owner);
    }
    let app = App::new(cells, (keys.root.clone(), keys.audit), (auth, scrape_token));
    Ok((app, owners))
}

fn scrape_token(config: &Config) -> Result<ScrapeToken, Error> {
    let Some(path) = &config.metrics_token_file else { return Ok(ScrapeToken::default()) };
    let failed = |detail: &str| Error::ScrapeToken {
        path: path.display().to_string(),
        detail: detail.to_owned(),
    };
    let text = std::fs::read_to_string(path).map_err(|error| failed(&error.to_string()))?;
    ScrapeToken::new(text.trim())
        .ok_or_else(|| failed("expected a secret of 16 characters or more"))
}

fn upstream(config: &Config) -> Result<Upstream, Error> {
    let Some(path) = &config.trusted_authorities_file else { return Ok(Upstream::new()) };
    let failed = |detail: String| Error::Authorities { path: path.display().to_string(), detail };
    let pem = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
    Upstream::with_roots(&pem).map_err(|error| failed(error.to_string()))
}

/// What a cell is given besides its store.
struct Common {
    config: Config,
    token_key: TokenKey,
    notifier: Notifier,
    traces: Traces,
    stopping: watch::Receiver<Stopping>,
    runtime: tokio::runtime::Handle,
}

/// Whether the log, which is one for all regions, names runs.
const fn names_runs(config: &Config) -> bool {
    config.regions.len() <= 1
}

/// Loads a cell and starts its driver thread.
fn open(
    common: Common,
    (place, store): (Place, Box<dyn Store>),
) -> Result<(Shared, JoinHandle<()>), Error> {
    let Common { config, token_key, notifier, traces, stopping, runtime } = common;
    let Place { region, share, .. } = place.clone();
    let reads = Reads::new(&*store)?;
    let journal = Arc::new(Mutex::new(store));
    let (epoch, snapshot) = own(&journal, &place)?;
    let rights = snapshot.all_tenants();
    let registry = Arc::new(Registry::new(&snapshot));
    let tenants: Vec<TenantId> = snapshot.tenants.iter().map(|tenant| tenant.id.clone()).collect();
    let cache = Arc::new(Cache::new(config.payload_cache_bytes));
    let engine = Engine::new(Arc::default());
    let assembly = Assembly::new(registry.clone(), cache.clone(), (reads.clone(), rights));
    let owner = Owner {
        inbox: engine.inbox.clone(),
        health: engine.health.clone(),
        loaded: engine.loaded.clone(),
        journal,
        registry: registry.clone(),
        cache,
        effects: Effects::new(
            assembly.clone(),
            engine.inbox.clone(),
            runtime.clone(),
            names_runs(&config),
        ),
        courier: Courier { notifier: notifier.clone(), inbox: engine.inbox.clone(), runtime },
        clock: Clock::new(newest(&snapshot)),
        traces: traces.clone(),
        place,
        reload_wait: RELOAD_MIN,
    };
    let thread = std::thread::Builder::new()
        .name("fairlane-cell".to_owned())
        .spawn(move || owner.run(epoch, snapshot))
        .map_err(Error::Thread)?;
    let used_keys = Arc::new(UsedKeys::new(tenants.is_empty()));
    let shared = Arc::new(Surroundings {
        config,
        region,
        share,
        engine,
        registry,
        reads,
        used_keys,
        assembly,
        upstream: notifier.upstream,
        traces,
        token_key,
        rights,
        lately: Lately::default(),
        stopping,
    });
    if !tenants.is_empty() {
        read_used_keys(&shared, (rights, tenants))?;
    }
    Ok((shared, thread))
}

/// What signs the tokens of leases. It lives as long as the leases do.
fn token_key(config: &Config) -> Result<TokenKey, Error> {
    let key = match config.store {
        StoreKind::Memory => TokenKey::random(),
        StoreKind::Sqlite => TokenKey::open(&config.data_dir),
    };
    let path = config.data_dir.display().to_string();
    key.map_err(|source| Error::TokenKey { path, source })
}

/// Reads which idempotency keys are used, while requests are served already.
fn read_used_keys(
    shared: &Shared,
    (rights, tenants): (AllTenants, Vec<TenantId>),
) -> Result<(), Error> {
    let (used_keys, reads, now) = (shared.used_keys.clone(), shared.reads.clone(), shared.now());
    let read = move || {
        if let Err(error) = used_keys.read_from_store(now, (rights, &tenants), &reads) {
            tracing::warn!(event = "idempotency-keys-unread", %error, "idempotency keys could not be read; submissions ask the store");
        }
    };
    // Nobody waits for it: it ends by itself.
    let thread = std::thread::Builder::new().name("fairlane-keys".to_owned()).spawn(read);
    thread.map(drop).map_err(Error::Thread)
}

/// The newest time that live rows know: the clock of the last start may have been ahead of this one.
fn newest(snapshot: &Snapshot) -> Time {
    let runs = snapshot.runs.iter().map(|run| run.created);
    let steps = snapshot.steps.iter().map(|step| step.since);
    runs.chain(steps).max().unwrap_or_default()
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Error::Thread(std::io::Error::other(error)))?
}

/// A store for each region, and the keys beside them.
fn open_stores(config: &Config) -> Result<(Stores, Keys), Error> {
    let regions = config.all_regions();
    if config.store == StoreKind::Memory {
        let store = |region| -> (RegionName, Box<dyn Store>) {
            (region, Box::new(MemoryStore::open(&Disk::default())))
        };
        let stores = regions.into_iter().map(store).collect();
        return Ok((stores, Keys { token: token_key(config)?, root: None, audit: None }));
    }
    let root = Arc::new(RootKeys::read(config)?);
    let open = |region: RegionName| {
        let store = SqliteStore::open(&config.data_dir, region.as_str(), root.roots.clone())?;
        Ok((region, store))
    };
    let opened = regions.into_iter().map(open).collect::<Result<Vec<_>, Error>>()?;
    root.keep()?;
    // The stores have made the folder that the keys are in.
    let signer = crate::audit::key::open(config)?;
    let sign = |(region, store): (RegionName, SqliteStore)| -> (RegionName, Box<dyn Store>) {
        (region, Box::new(store.sign_with(signer.clone())))
    };
    let stores = opened.into_iter().map(sign).collect();
    let keys = Keys { token: token_key(config)?, root: Some(root), audit: Some(signer.public()) };
    Ok((stores, keys))
}

/// Makes the first operator's key of a new store. The file is written before the key takes effect, so that a
/// crash in between leaves a store that is still new.
async fn first_key(app: &App) -> Result<Option<String>, Error> {
    let shared = app.home();
    let keys = shared.registry.keys(None, usize::MAX);
    if keys.iter().any(|key| key.role == Role::Operator) {
        return Ok(None);
    }
    let failed = |refused: Refused| Error::Key { detail: refused.0.to_string() };
    let label = "first operator's key";
    let (row, secret) = crate::auth::mint(Role::Operator, label, shared.now()).map_err(failed)?;
    if shared.config.operator_key_file {
        let path = shared.config.data_dir.join(OPERATOR_KEY_FILE);
        write_secret(&path, &secret)
            .map_err(|source| Error::KeyFile { path: path.display().to_string(), source })?;
    }
    let configured = shared.engine.ask(|reply| Input::Configure(reply, None, Configure::Key(row)));
    configured.await.map_err(failed)?;
    Ok(Some(secret))
}

/// Writes a file that only its owner can read.
pub(crate) fn write_secret(path: &Path, secret: &str) -> std::io::Result<()> {
    use std::io::Write;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    #[cfg(unix)]
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    writeln!(file, "{secret}")?;
    file.sync_all()
}

fn bind(addr: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A server that starts again takes its port back at once.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    // Its connections inherit it.
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    socket.bind(addr)?;
    socket.listen(BACKLOG)
}

/// Accepts connections until the server stops, then waits for those that are open.
async fn listen((listener, tls): (TcpListener, Option<Tls>), app: App) {
    let shared = app.home().clone();
    let following = tls.clone().map(|tls| tokio::spawn(async move { tls.follow().await }));
    let is_secure = tls.is_some();
    let guard = move |request, next| head::guard(is_secure, request, next);
    let router = crate::openapi::router(app)
        .layer(axum::middleware::from_fn(guard))
        .layer(axum::middleware::from_fn(access::follow));
    let max = u32::try_from(shared.config.connections_max).unwrap_or(u32::MAX);
    let room = Arc::new(Semaphore::new(max as usize));
    let places = Places::new(shared.config.connections_of_one());
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else { break };
        let (stream, from) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors, most likely: others must close first.
                    tracing::warn!(event = "accept-failed", %error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
            () = shared.stopping() => break,
        };
        let Some(place) = places.take(from.ip()) else {
            tracing::debug!(event = "address-full", address = %from.ip(), "an address has as many connections as it may");
            continue;
        };
        // An answer is small and complete: it must not wait for the acknowledgement of the one before.
        let _ = stream.set_nodelay(true);
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(WRITE_TIME_MAX));
        let stream = Box::pin(stream);
        let (router, shared, tls) = (router.clone(), shared.clone(), tls.clone());
        tokio::spawn(async move {
            match tls {
                None => serve(stream, router, shared).await,
                Some(tls) => {
                    if let Some(stream) = tls.accept(stream).await {
                        serve(stream, router, shared).await;
                    }
                }
            }
            drop((permit, place));
        });
    }
    drop(listener);
    if let Some(following) = following {
        following.abort();
    }
    // All permits are back once all connections are closed.
    let _ = room.acquire_many(max).await;
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: axum::Router,
    shared: Shared,
) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME_MAX)
        .max_buf_size(head::READ_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shared.stopping() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(event = "connection-broke", %error, "a connection broke");
    }
}

mod places;
mod tls;

#[cfg(test)]
mod tests;
