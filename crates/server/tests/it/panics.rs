//! Assertions that do not hold, in the cell or below it: the server says so, comes back, and loses nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fairlane_core::cell::change::{Change, Snapshot};
use fairlane_core::time::Time;
use fairlane_store::memory::{Disk, MemoryStore};
use fairlane_store::{Epoch, Error, Forgotten, Read, Store};
use serde_json::json;

use crate::harness::{Harness, Reply};

/// A store with a mistake in it while the switch is on.
#[derive(Debug)]
struct Mistaken {
    store: MemoryStore,
    mistake: Mistake,
    on: Arc<AtomicBool>,
    /// The next load panics.
    breaks_load: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mistake {
    /// Every run is loaded twice, which the cell asserts not to be.
    LoadsTwice,
    /// A commit panics on the thread of that name, once, and the load after it.
    CommitPanics(&'static str),
}

impl Store for Mistaken {
    fn claim(&mut self) -> Result<Epoch, Error> {
        self.store.claim()
    }

    fn load(&mut self) -> Result<Snapshot, Error> {
        assert!(!std::mem::take(&mut self.breaks_load), "the store makes another mistake");
        let mut snapshot = self.store.load()?;
        if self.mistake == Mistake::LoadsTwice && self.on.load(Ordering::SeqCst) {
            snapshot.runs.extend(snapshot.runs.clone());
        }
        Ok(snapshot)
    }

    fn commit(&mut self, epoch: Epoch, changes: &[Change]) -> Result<(), Error> {
        if let Mistake::CommitPanics(name) = self.mistake
            && std::thread::current().name() == Some(name)
        {
            self.breaks_load = self.on.swap(false, Ordering::SeqCst);
            assert!(!self.breaks_load, "the store makes a mistake");
        }
        self.store.commit(epoch, changes)
    }

    fn sweep(&mut self, epoch: Epoch, now: Time) -> Result<u32, Error> {
        self.store.sweep(epoch, now)
    }

    fn forget(&mut self, epoch: Epoch, now: Time) -> Result<Forgotten, Error> {
        self.store.forget(epoch, now)
    }

    fn reader(&self) -> Result<Box<dyn Read>, Error> {
        self.store.reader()
    }

    fn close(self: Box<Self>) -> Result<(), Error> {
        Box::new(self.store).close()
    }
}

/// A server that has a run, on a store with the mistake.
async fn start(mistake: Mistake) -> (Harness, Arc<AtomicBool>) {
    let disk = Disk::default();
    let harness = Harness::start_with_store(Box::new(MemoryStore::open(&disk))).await;
    harness.declare().await;
    harness.submit("pair", json!({ "n": 1 })).await;
    let on = Arc::new(AtomicBool::new(true));
    let store =
        Mistaken { store: MemoryStore::open(&disk), mistake, on: on.clone(), breaks_load: false };
    (harness.restart_with_store(Box::new(store)).await, on)
}

async fn submit(harness: &Harness) -> Reply {
    let body = json!({ "workflow": "pair", "input": { "n": 1 } });
    harness.operator.post("/v1/tenants/a/runs", body).await
}

async fn until_ready(harness: &Harness) {
    while harness.anonymous().get("/readyz").await.status != 200 {
        tokio::task::yield_now().await;
    }
}

/// All runs that were acknowledged are there, and can be worked on.
async fn check(harness: &Harness, runs: usize) {
    let (mut found, mut cursor) = (0, String::new());
    loop {
        let path = format!("/v1/tenants/a/runs?limit=1000{cursor}");
        let page = harness.operator.get(&path).await.ok();
        found += page["items"].as_array().unwrap().len();
        let Some(next) = page["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(found, runs);
    harness.worker("w").echo(2).await;
}

#[tokio::test]
async fn a_cell_that_cannot_be_loaded_is_not_ready_and_is_loaded_again() {
    let (harness, on) = start(Mistake::LoadsTwice).await;
    let ready = harness.anonymous().get("/readyz").await;
    assert_eq!(
        (ready.status.as_u16(), &ready.json()["status"]),
        (503, &json!("recovering from a mistake of the server"))
    );
    assert_eq!(submit(&harness).await.refusal(), (500, "internal".into(), String::new()));
    on.store(false, Ordering::SeqCst);
    until_ready(&harness).await;
    submit(&harness).await.ok();
    check(&harness, 2).await;
}

#[tokio::test]
async fn a_commit_that_panics_beside_the_cell_is_told_and_recovered_from() {
    let (harness, on) = start(Mistake::CommitPanics("fairlane-commit")).await;
    let harness = Arc::new(harness);
    let (mut accepted, mut refused) = (1, 0);
    // Many at once, so that some are stepped while others are committed.
    while on.load(Ordering::SeqCst) {
        let all: Vec<_> = (0..50)
            .map(|_| {
                let harness = harness.clone();
                tokio::spawn(async move { submit(&harness).await })
            })
            .collect();
        for sent in all {
            let reply = sent.await.unwrap();
            if reply.status.is_success() {
                accepted += 1;
            } else {
                assert_eq!(reply.refusal(), (500, "internal".into(), String::new()));
                refused += 1;
            }
        }
    }
    assert!(refused > 0, "those who wait for a commit that panics are told");
    until_ready(&harness).await;
    check(&harness, accepted).await;
}

#[tokio::test]
async fn a_commit_that_panics_on_the_cells_thread_is_told_and_recovered_from() {
    let (harness, _) = start(Mistake::CommitPanics("fairlane-cell")).await;
    // The first commit of the new owner may be its own.
    let mut accepted = 1;
    for _ in 0..2 {
        until_ready(&harness).await;
        let reply = submit(&harness).await;
        accepted += usize::from(reply.status.is_success());
    }
    assert!(accepted < 3, "one was refused");
    until_ready(&harness).await;
    check(&harness, accepted).await;
}
