//! Reads of the store beside the writer: a few readers, each used by one thread at a time, off the threads
//! that serve connections.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

use fairlane_api::Code;
use fairlane_core::cell::change::EndedRun;
use fairlane_core::id::RunId;
use fairlane_core::row::{DecisionRow, IdempotencyRow, RunRow, StepRow};
use fairlane_core::tenant::TenantScope;
use fairlane_core::time::Span;
use fairlane_store::{DecisionQuery, Error, Page, Payloads, Read, RunQuery, Store};

use crate::problem::Refused;

/// Readers of one server: more than the cores that could use them.
const READERS: usize = 4;

#[derive(Clone, Debug)]
pub(crate) struct Reads(Arc<Pool>);

#[derive(Debug)]
struct Pool {
    free: Mutex<Vec<Box<dyn Read>>>,
    returned: Condvar,
}

impl Reads {
    /// # Errors
    /// If the store cannot give its readers.
    pub(crate) fn new(store: &dyn Store) -> Result<Self, Error> {
        let readers = (0..READERS).map(|_| store.reader()).collect::<Result<_, _>>()?;
        Ok(Self(Arc::new(Pool { free: Mutex::new(readers), returned: Condvar::new() })))
    }

    /// Reads on this thread, which may wait: not for a thread that serves connections.
    pub(crate) fn here<T>(
        &self,
        read: impl FnOnce(&mut dyn Read) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut lent = Lent { pool: &self.0, reader: Some(self.0.take()) };
        let reader = lent.reader.as_mut().expect("a lent reader is there until it is returned");
        read(&mut **reader)
    }

    /// Reads on a thread that may wait.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&mut dyn Read) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Refused> {
        let this = self.clone();
        match tokio::task::spawn_blocking(move || this.here(read)).await {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(error)) => Err(unavailable(&error)),
            Err(error) => Err(Refused::internal(&error)),
        }
    }

    pub(crate) async fn run(
        &self,
        scope: &TenantScope,
        run: RunId,
    ) -> Result<Option<RunRow>, Refused> {
        let scope = scope.clone();
        self.read(move |reader| reader.run(&scope, run, Payloads::Leave)).await
    }

    pub(crate) async fn run_and_steps(
        &self,
        scope: &TenantScope,
        run: RunId,
    ) -> Result<Option<(RunRow, Vec<StepRow>)>, Refused> {
        let scope = scope.clone();
        self.read(move |reader| reader.run_and_steps(&scope, run, Payloads::Leave)).await
    }

    pub(crate) async fn ended_run(
        &self,
        scope: &TenantScope,
        run: RunId,
    ) -> Result<Option<EndedRun>, Refused> {
        let scope = scope.clone();
        self.read(move |reader| reader.ended_run(&scope, run)).await
    }

    pub(crate) async fn runs(
        &self,
        scope: &TenantScope,
        query: RunQuery,
    ) -> Result<Page<RunRow, RunId>, Refused> {
        let scope = scope.clone();
        self.read(move |reader| reader.runs(&scope, &query)).await
    }

    /// What the store knows of each key, in their order.
    pub(crate) async fn idempotency(
        &self,
        scope: &TenantScope,
        keys: Vec<Option<Arc<str>>>,
    ) -> Result<Vec<Option<IdempotencyRow>>, Refused> {
        let scope = scope.clone();
        self.read(move |reader| {
            keys.iter()
                .map(|key| match key {
                    Some(key) => reader.idempotency(&scope, key),
                    None => Ok(None),
                })
                .collect()
        })
        .await
    }

    /// Decisions about one tenant, or about the platform.
    pub(crate) async fn decisions(
        &self,
        scope: Option<TenantScope>,
        query: DecisionQuery,
    ) -> Result<Page<DecisionRow, u64>, Refused> {
        self.read(move |reader| match scope {
            Some(scope) => reader.decisions(&scope, query),
            None => reader.platform_decisions(query),
        })
        .await
    }
}

impl Pool {
    fn take(&self) -> Box<dyn Read> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(reader) = free.pop() {
                return reader;
            }
            free = self.returned.wait(free).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// A reader that goes back to the pool, also if the thread panics.
struct Lent<'a> {
    pool: &'a Pool,
    reader: Option<Box<dyn Read>>,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if let Some(reader) = self.reader.take() {
            self.pool.free.lock().unwrap_or_else(PoisonError::into_inner).push(reader);
            self.pool.returned.notify_one();
        }
    }
}

fn unavailable(error: &Error) -> Refused {
    tracing::error!(%error, "a read of the store failed");
    Refused::new(Code::StoreUnavailable).retry_after(Span::from_secs(1))
}
