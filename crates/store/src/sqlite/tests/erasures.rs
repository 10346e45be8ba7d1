//! What is erased is not left in any file, stays erased when an older copy comes back, and is listed before it goes.

use std::fs;

use fairlane_core::erasure::{Erased, ErasureRow};
use fairlane_core::id::RunId;
use fairlane_core::row::{Failure, IdempotencyRow, RunKey};
use fairlane_core::tenant::{Context, Tenant};

use super::super::backup::{back_up, restore};
use super::*;
use crate::conformance::samples::{context, erasure, idempotency, scope, tenant};
use crate::read::Payloads;
use crate::store::Forgotten;

fn failure() -> Failure {
    Failure { class: "worker".into(), message: "x".repeat(200).into(), step: None }
}

/// A run that has ended, with payloads in its rows and apart from them.
fn rows(key: &RunKey) -> Vec<Change> {
    let row = RunRow {
        input: Some(payload(9_000)),
        failure: Some(failure()),
        ..ended(key, RunStatus::Failed)
    };
    let request = format!("request-of-{}", key.run.0);
    let of = idempotency(key.tenant.as_str(), &request, Time(5));
    vec![
        Change::Run(Box::new(row)),
        Change::Step(Box::new(done(key, whole(0), &payload(500)))),
        Change::Step(Box::new(done(key, whole(1), &payload(9_000)))),
        Change::Idempotency(IdempotencyRow { run: key.run, ..of }),
    ]
}

fn is_there(store: &SqliteStore, key: &RunKey) -> bool {
    let mut reader = store.reader().unwrap();
    let tenant = scope(key.tenant.as_str());
    reader.run(&tenant, key.run, Payloads::Read).unwrap().is_some()
}

fn forget(store: &mut SqliteStore, epoch: Epoch) -> Forgotten {
    crate::conformance::forget(store, epoch).unwrap()
}

/// Bytes of a run that must not be found any more: its key as it is wrapped, what is sealed with it, and what is in the clear.
fn marks(store: &SqliteStore, key: &RunKey) -> Vec<Vec<u8>> {
    let bytes = |sql: &str| -> Vec<u8> {
        let of = rusqlite::params![key.tenant.as_str(), key.run.0.to_be_bytes()];
        store.connection.query_one(sql, of, |row| row.get(0)).unwrap()
    };
    let mut marks = vec![
        bytes("SELECT key FROM runs WHERE tenant = ?1 AND run = ?2"),
        bytes("SELECT fault FROM runs WHERE tenant = ?1 AND run = ?2"),
        bytes("SELECT output FROM steps WHERE tenant = ?1 AND run = ?2 AND step = 0"),
        bytes(
            "SELECT substr(body, 20, 60) FROM payloads WHERE tenant = ?1 AND run = ?2 AND step = 1",
        ),
        bytes(
            "SELECT substr(body, 8000, 60) FROM payloads WHERE tenant = ?1 AND run = ?2 AND step = -1",
        ),
    ];
    for mark in &mut marks {
        mark.truncate(60);
        assert!(mark.len() >= 40);
    }
    marks.push(format!("request-of-{}", key.run.0).into_bytes());
    marks
}

/// Names of files in the folder in which one of these is.
fn found_in(folder: &TempDir, marks: &[Vec<u8>]) -> Vec<String> {
    let files = fs::read_dir(folder.path()).unwrap().map(Result::unwrap);
    let mut found: Vec<String> = files
        .filter(|file| {
            let bytes = fs::read(file.path()).unwrap();
            marks.iter().any(|mark| bytes.windows(mark.len()).any(|window| window == mark))
        })
        .map(|file| file.file_name().into_string().unwrap())
        .collect();
    found.sort_unstable();
    found
}

#[test]
fn nothing_of_it_is_left_in_any_file() {
    let folder = TempDir::new().unwrap();
    let mut store = open(&folder).unwrap();
    let epoch = store.claim().unwrap();
    for id in 1..=40 {
        store.commit(epoch, &rows(&key("acme", id))).unwrap();
    }
    let (gone, stays) = (key("acme", 20), key("acme", 21));
    let (of_gone, of_stays) = (marks(&store, &gone), marks(&store, &stays));
    // Rows are written again and again: copies of them must not be left either.
    for id in [19, 20, 21] {
        let row = RunRow { revision: 77, ..ended(&key("acme", id), RunStatus::Failed) };
        let row = RunRow { failure: Some(failure()), ..row };
        store.commit(epoch, &[Change::Run(Box::new(row))]).unwrap();
    }
    assert!(!found_in(&folder, &of_gone).is_empty());

    let asked = erasure("acme", 1_000, Erased::Run(gone.run));
    store.commit(epoch, &[Change::Erasure(asked.clone())]).unwrap();
    let forgotten = forget(&mut store, epoch);
    assert_eq!(forgotten.finished, [(asked.tenant.clone(), asked.id, 1)]);
    assert_eq!(found_in(&folder, &of_gone), [""; 0]);
    assert_eq!(found_in(&folder, &of_stays), ["eu.db"]);
    assert!(!is_there(&store, &gone) && is_there(&store, &stays));
}

#[test]
fn all_of_a_tenant_leaves_no_key_of_it() {
    let folder = TempDir::new().unwrap();
    let mut store = open(&folder).unwrap();
    let epoch = store.claim().unwrap();
    for tenant in ["acme", "bolt"] {
        (1..=3).for_each(|id| store.commit(epoch, &rows(&key(tenant, id))).unwrap());
    }
    let keys = |store: &SqliteStore, tenant: &str| -> Vec<Vec<u8>> {
        let sql = "SELECT wrapped FROM tenant_keys WHERE tenant = ?1";
        let mut statement = store.connection.prepare(sql).unwrap();
        let keys = statement.query_map([tenant], |row| row.get(0)).unwrap();
        keys.map(Result::unwrap).collect()
    };
    let (of_acme, of_bolt) = (keys(&store, "acme"), keys(&store, "bolt"));
    assert_eq!((of_acme.len(), of_bolt.len()), (1, 1));
    store.commit(epoch, &[Change::Erasure(erasure("acme", 1_000, Erased::Tenant))]).unwrap();
    assert_eq!(forget(&mut store, epoch).runs.len(), 3);
    assert_eq!(found_in(&folder, &of_acme), [""; 0]);
    assert_eq!(found_in(&folder, &of_bolt), ["eu.db"]);
    // It can be used again, with another key.
    store.commit(epoch, &rows(&key("acme", 9))).unwrap();
    assert!(is_there(&store, &key("acme", 9)));
    assert_ne!(keys(&store, "acme"), of_acme);
    drop(store);
    assert!(is_there(&open(&folder).unwrap(), &key("acme", 9)));
}

#[test]
fn a_reader_in_the_middle_of_something_only_delays_that_it_is_done() {
    let folder = TempDir::new().unwrap();
    let mut store = open(&folder).unwrap();
    let epoch = store.claim().unwrap();
    store.commit(epoch, &rows(&key("acme", 1))).unwrap();
    store.commit(epoch, &[Change::Erasure(erasure("acme", 9, Erased::Tenant))]).unwrap();
    let other = rusqlite::Connection::open(store.path()).unwrap();
    other.execute_batch("BEGIN; SELECT count(*) FROM runs;").unwrap();
    let forgotten = store.forget(epoch, Time(0)).unwrap();
    assert_eq!((forgotten.runs.len(), forgotten.finished.len()), (1, 0));
    assert!(forgotten.is_waiting);
    other.execute_batch("COMMIT").unwrap();
    assert_eq!(store.forget(epoch, Time(1)).unwrap().finished.len(), 1);
    // The log is not emptied again at once for the next one.
    store.commit(epoch, &[Change::Erasure(erasure("bolt", 9, Erased::Tenant))]).unwrap();
    assert_eq!(store.forget(epoch, Time(2)).unwrap().finished.len(), 0);
    assert_eq!(store.forget(epoch, Time(10_000_001)).unwrap().finished.len(), 2);
}

#[test]
fn what_was_erased_is_erased_again_when_an_older_copy_comes_back() {
    let (folder, kept) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let mut store = open(&folder).unwrap();
    let epoch = store.claim().unwrap();
    let live = key("acme", 5);
    for id in 1..=4 {
        store.commit(epoch, &rows(&key("acme", id))).unwrap();
        store.commit(epoch, &rows(&key("bolt", id))).unwrap();
    }
    store.commit(epoch, &[Change::Run(Box::new(run(&live)))]).unwrap();
    for of in ["acme", "bolt"] {
        let declared = Tenant { attributes: r#"{"contact":"ada"}"#.into(), ..tenant(of) };
        let minted =
            Context { attributes: declared.attributes.clone(), ..(*context(&name(of), 1)).clone() };
        store.commit(epoch, &[Change::Tenant(declared, Arc::new(minted))]).unwrap();
    }
    let copy = back_up(folder.path(), "eu", kept.path()).unwrap();
    let over = ended(&live, RunStatus::Cancelled);
    store.commit(epoch, &[Change::Run(Box::new(over))]).unwrap();
    let rows_of: [(&str, u64, Erased); 3] = [
        ("acme", 1_000, Erased::Run(RunId(2))),
        ("acme", 1_001, Erased::Run(live.run)),
        ("bolt", 1_002, Erased::Tenant),
    ];
    for (tenant, id, of) in rows_of {
        let asked = erasure(tenant, id, of);
        store.commit(epoch, &[Change::Erasure(asked.clone())]).unwrap();
        let finished = forget(&mut store, epoch).finished;
        assert!(finished.contains(&(asked.tenant.clone(), asked.id, finished[0].2)));
        let done = ErasureRow { done: Some(Time(2_000)), ..asked };
        store.commit(epoch, &[Change::Erasure(done)]).unwrap();
    }
    drop(store);
    for file in ["eu.db", "eu.db-wal", "eu.db-shm"] {
        let _ = fs::remove_file(folder.path().join(file));
    }
    restore(&copy, kept.path(), folder.path(), roots(7)).unwrap();
    let mut store = open(&folder).unwrap();
    let there = |tenant: &str| (1..=5).filter(|id| is_there(&store, &key(tenant, *id))).collect();
    let (of_acme, of_bolt): (Vec<u128>, Vec<u128>) = (there("acme"), there("bolt"));
    assert_eq!((of_acme, of_bolt), (vec![1, 3, 4], vec![]));
    // The next owner says so of each, in a row that the copy did not have.
    let epoch = store.claim().unwrap();
    let snapshot = store.load().unwrap();
    assert_eq!((snapshot.erasures.len(), snapshot.runs.len()), (3, 0));
    let attributes: Vec<_> = snapshot.tenants.iter().map(|tenant| &*tenant.attributes).collect();
    assert_eq!(attributes, [r#"{"contact":"ada"}"#, "{}"]);
    let attributes: Vec<_> = snapshot.contexts.iter().map(|one| &*one.attributes).collect();
    assert_eq!(attributes, [r#"{"contact":"ada"}"#, "{}"]);
    let finished = forget(&mut store, epoch).finished;
    assert_eq!(finished.iter().map(|(_, _, runs)| *runs).collect::<Vec<_>>(), [1, 1, 4]);
}

#[test]
fn a_copy_has_the_list_with_it_and_does_not_replace_a_newer_one() {
    let (folder, kept, other) =
        (TempDir::new().unwrap(), TempDir::new().unwrap(), TempDir::new().unwrap());
    let mut store = open(&folder).unwrap();
    let epoch = store.claim().unwrap();
    for id in [1_u64, 2] {
        store.commit(epoch, &rows(&key("acme", id.into()))).unwrap();
    }
    let erase = |store: &mut SqliteStore, id: u64| {
        let of = Erased::Run(RunId(id.into()));
        store.commit(epoch, &[Change::Erasure(erasure("acme", 100 + id, of))]).unwrap();
        forget(store, epoch);
    };
    erase(&mut store, 1);
    let copy = back_up(folder.path(), "eu", kept.path()).unwrap();
    erase(&mut store, 2);
    let lines = |folder: &TempDir| {
        fs::read_to_string(folder.path().join("eu.erased")).unwrap().lines().count()
    };
    assert_eq!((lines(&folder), lines(&kept)), (2, 1));
    // Where nothing is known of the second one.
    restore(&copy, kept.path(), other.path(), roots(7)).unwrap();
    assert_eq!(lines(&other), 1);
    let there = open(&other).unwrap();
    assert!(!is_there(&there, &key("acme", 1)) && is_there(&there, &key("acme", 2)));
    // Where the newer list is.
    drop(there);
    for file in ["eu.db", "eu.db-wal", "eu.db-shm"] {
        let _ = fs::remove_file(other.path().join(file));
    }
    fs::copy(folder.path().join("eu.erased"), other.path().join("eu.erased")).unwrap();
    restore(&copy, kept.path(), other.path(), roots(7)).unwrap();
    let there = open(&other).unwrap();
    assert!(!is_there(&there, &key("acme", 1)) && !is_there(&there, &key("acme", 2)));
}

#[test]
fn those_that_wait_do_not_keep_others_from_their_turn() {
    let folder = TempDir::new().unwrap();
    let mut store = open(&folder).unwrap();
    let epoch = store.claim().unwrap();
    store.commit(epoch, &[Change::Run(Box::new(run(&key("acme", 1))))]).unwrap();
    // More than one step looks at, all of a run that goes on; then one of a run that has ended.
    let waiting = (0..150).map(|at| erasure("acme", 1_000 + at, Erased::Run(RunId(1))));
    store.commit(epoch, &waiting.map(Change::Erasure).collect::<Vec<_>>()).unwrap();
    store.commit(epoch, &rows(&key("bolt", 2))).unwrap();
    let last = erasure("bolt", 2_000, Erased::Run(RunId(2)));
    store.commit(epoch, &[Change::Erasure(last)]).unwrap();
    assert_eq!(forget(&mut store, epoch).runs, [key("bolt", 2)]);
    // Round and round, until all can go.
    let over = ended(&key("acme", 1), RunStatus::Cancelled);
    store.commit(epoch, &[Change::Run(Box::new(over))]).unwrap();
    let mut done = std::collections::BTreeSet::new();
    for second in 0..20 {
        let forgotten = store.forget(epoch, Time((1 << 50) + second * 20_000_000)).unwrap();
        assert!(forgotten.has_more || forgotten.is_waiting || !forgotten.finished.is_empty());
        done.extend(forgotten.finished.into_iter().map(|(_, id, _)| id));
    }
    assert_eq!(done.len(), 151);
}

#[test]
fn a_line_that_a_crash_cut_off_is_written_again() {
    let folder = TempDir::new().unwrap();
    let mut store = open(&folder).unwrap();
    let epoch = store.claim().unwrap();
    let list = folder.path().join("eu.erased");
    store.commit(epoch, &rows(&key("acme", 1))).unwrap();
    store.commit(epoch, &[Change::Erasure(erasure("acme", 9, Erased::Tenant))]).unwrap();
    forget(&mut store, epoch);
    let whole = fs::read_to_string(&list).unwrap();
    assert_eq!(whole.lines().count(), 1);
    fs::write(&list, format!("{whole}{}", &whole[..20])).unwrap();
    drop(store);

    let mut store = open(&folder).unwrap();
    let epoch = store.claim().unwrap();
    store.commit(epoch, &[Change::Erasure(erasure("bolt", 9, Erased::Tenant))]).unwrap();
    forget(&mut store, epoch);
    let text = fs::read_to_string(&list).unwrap();
    assert!(text.starts_with(&whole) && text.lines().count() == 2, "{text}");
    drop(store);
    // What is no list at all is no reason to serve what it may have named.
    fs::write(&list, format!("nonsense\n{text}")).unwrap();
    let error = open(&folder).unwrap_err().to_string();
    assert!(error.contains("nonsense"), "{error}");
}

#[test]
fn without_a_place_for_the_list_nothing_is_erased() {
    let folder = TempDir::new().unwrap();
    let mut store = open(&folder).unwrap();
    let epoch = store.claim().unwrap();
    store.commit(epoch, &rows(&key("acme", 1))).unwrap();
    store.commit(epoch, &[Change::Erasure(erasure("acme", 9, Erased::Tenant))]).unwrap();
    fs::create_dir(folder.path().join("eu.erased")).unwrap();
    let error = store.forget(epoch, Time(0)).unwrap_err();
    assert!(error.to_string().contains("list of erasures"), "{error}");
    assert!(is_there(&store, &key("acme", 1)));
    fs::remove_dir(folder.path().join("eu.erased")).unwrap();
    assert_eq!(forget(&mut store, epoch).runs, [key("acme", 1)]);
}
