//! What only a file can do wrong. What every store must do stands in the conformance suite.

mod audit;
mod backup;
mod damage;
mod durability;
mod erasures;
mod migrations;
mod retention;
mod sealing;

use fairlane_core::row::{RunRow, RunStatus, StepState};
use tempfile::TempDir;

use super::*;
use crate::conformance::samples::{done, ended, key, name, org, payload, run, step, whole};
use crate::seal::{Key, LocalRoot};

fn open(folder: &TempDir) -> Result<SqliteStore, Error> {
    SqliteStore::open(folder.path(), "eu", roots(7))
}

/// A root key that is the same for the same number.
fn roots(number: u8) -> Arc<Roots> {
    Arc::new(Roots::new(Arc::new(LocalRoot::new(Key::new([number; 32]))), Vec::new()))
}

/// Commits an organisation of that name.
fn commit(store: &mut SqliteStore, epoch: Epoch, name: &str) -> Result<(), Error> {
    store.commit(epoch, &[Change::Org(org(name))])
}

fn orgs(store: &mut SqliteStore) -> Vec<String> {
    store.load().unwrap().orgs.iter().map(|org| org.id.to_string()).collect()
}

#[test]
fn a_new_region_opens_and_opens_again() {
    let folder = TempDir::new().unwrap();
    let mut store = open(&folder).unwrap();
    assert_eq!(store.claim().unwrap(), Epoch(1));
    drop(store);
    let mut store = open(&folder).unwrap();
    assert_eq!(store.claim().unwrap(), Epoch(2));
    assert_eq!(store.load().unwrap(), Snapshot::default());
}

#[test]
fn two_regions_of_a_folder_are_two_stores() {
    let folder = TempDir::new().unwrap();
    let mut eu = open(&folder).unwrap();
    let mut us = SqliteStore::open(folder.path(), "us-east_1", roots(7)).unwrap();
    let epoch = eu.claim().unwrap();
    commit(&mut eu, epoch, "banks").unwrap();
    assert_eq!(orgs(&mut eu), ["banks"]);
    assert!(orgs(&mut us).is_empty());
}

#[test]
fn a_region_cannot_lead_out_of_its_folder() {
    let folder = TempDir::new().unwrap();
    for name in ["", "..", "../eu", "a/b", "EU", "a.b", "a\0", &"a".repeat(65)] {
        let error = SqliteStore::open(folder.path(), name, roots(7)).unwrap_err();
        assert!(matches!(error, Error::RegionName { .. }), "{name:?}: {error}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_reader_cannot_write() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).unwrap();
    let reader = open::reader(store.path()).unwrap();
    assert!(reader.execute("INSERT INTO orgs VALUES ('banks', '{}')", []).is_err());
}

#[test]
fn a_small_payload_leaves_nothing_of_the_large_one_it_replaces() {
    let folder = TempDir::new().unwrap();
    let mut store = open(&folder).unwrap();
    let epoch = store.claim().unwrap();
    let acme = key("acme", 1);
    let mut put = |bytes| {
        let row = RunRow { input: Some(payload(bytes)), ..run(&acme) };
        let changes = [
            Change::Run(Box::new(row)),
            Change::Step(Box::new(done(&acme, whole(0), &payload(bytes)))),
        ];
        store.commit(epoch, &changes).unwrap();
        let count = "SELECT count(*) FROM payloads";
        store.connection.query_row(count, [], |row| row.get::<_, u32>(0)).unwrap()
    };
    assert_eq!([put(2_000), put(10), put(3_000), put(1_024), put(1_025)], [2, 0, 2, 0, 2]);
}

#[test]
fn an_update_of_a_row_does_not_write_its_large_payload_again() {
    let folder = TempDir::new().unwrap();
    let mut store = open(&folder).unwrap();
    let epoch = store.claim().unwrap();
    let acme = key("acme", 1);
    let large = RunRow { input: Some(payload(1 << 20)), ..run(&acme) };
    store.commit(epoch, &[Change::Run(Box::new(large))]).unwrap();
    let log = || std::fs::metadata(folder.path().join("eu.db-wal")).unwrap().len();
    let before = log();
    store.commit(epoch, &[Change::Run(Box::new(ended(&acme, RunStatus::Completed)))]).unwrap();
    assert!(log() - before < 100_000, "{} bytes for one row", log() - before);
}

#[test]
fn loads_and_pages_walk_an_index_and_sort_nothing() {
    let folder = TempDir::new().unwrap();
    let mut store = open(&folder).unwrap();
    let epoch = store.claim().unwrap();
    let acme = key("acme", 1);
    let ready = step(&acme, whole(0), StepState::Ready);
    store
        .commit(epoch, &[Change::Run(Box::new(run(&acme))), Change::Step(Box::new(ready))])
        .unwrap();
    for sql in [
        runs::LIVE,
        runs::PAGE,
        runs::LIVE_PAGE,
        runs::CHILD,
        steps::LIVE,
        signals::LIVE,
        reviews::OPEN,
        reviews::TENANT,
    ] {
        let mut statement = store.connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let values = vec!["x"; statement.parameter_count()];
        let plan: Vec<String> = statement
            .query_map(rusqlite::params_from_iter(values), |row| row.get(3))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        let scans = |line: &String| line.starts_with("SCAN runs") && !line.contains("runs_live");
        let sorts = |line: &String| line.contains("TEMP B-TREE") || line.contains("AUTOMATIC");
        assert!(!plan.iter().any(|line| scans(line) || sorts(line)), "{plan:?} of {sql}");
        assert!(!plan.iter().any(|line| line.starts_with("SCAN steps")), "{plan:?} of {sql}");
    }
}
