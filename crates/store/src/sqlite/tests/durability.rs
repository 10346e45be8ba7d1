//! What a commit survives, and who may write.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Stdio};

use super::*;

#[test]
fn a_commit_is_on_the_disk_when_it_returns() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).unwrap();
    let pragma = |name| {
        store
            .connection
            .pragma_query_value(None, name, |row| row.get::<_, rusqlite::types::Value>(0))
            .unwrap()
    };
    assert_eq!(pragma("journal_mode"), "wal".to_owned().into());
    // 2 is FULL: the log is flushed by each commit.
    assert_eq!(pragma("synchronous"), 2.into());
}

/// Copies a store's files as a power loss would leave them, and opens the copy.
fn after_power_loss(folder: &TempDir, lost_log_bytes: u64) -> (TempDir, SqliteStore) {
    let copy = TempDir::new().unwrap();
    for name in ["eu.db", "eu.db-wal"] {
        std::fs::copy(folder.path().join(name), copy.path().join(name)).unwrap();
    }
    let log = copy.path().join("eu.db-wal");
    let log = std::fs::OpenOptions::new().write(true).open(log).unwrap();
    log.set_len(log.metadata().unwrap().len() - lost_log_bytes).unwrap();
    let store = open(&copy).unwrap();
    (copy, store)
}

#[test]
fn commits_survive_a_power_loss_before_they_reach_their_places() {
    let folder = TempDir::new().unwrap();
    let mut store = open(&folder).unwrap();
    let epoch = store.claim().unwrap();
    commit(&mut store, epoch, "banks").unwrap();
    commit(&mut store, epoch, "shops").unwrap();
    let (_copy, mut recovered) = after_power_loss(&folder, 0);
    assert_eq!(orgs(&mut recovered), ["banks", "shops"]);
    assert_eq!(recovered.claim().unwrap(), Epoch(2));
}

#[test]
fn a_commit_that_was_torn_is_gone_as_a_whole() {
    let folder = TempDir::new().unwrap();
    let mut store = open(&folder).unwrap();
    let epoch = store.claim().unwrap();
    commit(&mut store, epoch, "banks").unwrap();
    let turn: Vec<Change> = (0..500).map(|at| Change::Org(org(&format!("org-{at}")))).collect();
    store.commit(epoch, &turn).unwrap();
    let (_copy, mut recovered) = after_power_loss(&folder, 10);
    assert_eq!(orgs(&mut recovered), ["banks"]);
}

#[test]
fn a_full_disk_refuses_the_commit_and_keeps_what_is_there() {
    let folder = TempDir::new().unwrap();
    let mut store = open(&folder).unwrap();
    let epoch = store.claim().unwrap();
    commit(&mut store, epoch, "banks").unwrap();
    let pages: i64 =
        store.connection.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
    let limit = |store: &SqliteStore, pages: i64| {
        store
            .connection
            .pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))
            .unwrap();
    };
    limit(&store, pages + 2);
    let row = RunRow { input: Some(payload(1 << 20)), ..run(&key("acme", 1)) };
    let turn = [Change::Org(org("shops")), Change::Run(Box::new(row))];
    let error = store.commit(epoch, &turn).unwrap_err();
    assert!(error.is_full(), "{error}");
    assert_eq!(orgs(&mut store), ["banks"]);

    limit(&store, i64::from(u32::MAX - 1));
    store.commit(epoch, &turn).unwrap();
    assert_eq!(orgs(&mut store), ["banks", "shops"]);
}

#[test]
fn a_second_store_on_the_region_is_refused_and_told_by_whom() {
    let folder = TempDir::new().unwrap();
    let first = open(&folder).unwrap();
    let error = open(&folder).unwrap_err();
    let process = format!("process {}", std::process::id());
    assert!(
        matches!(&error, Error::Locked { path, by } if path.ends_with("eu.lock") && by.starts_with(&process)),
        "{error}"
    );
    drop(first);
    open(&folder).unwrap();
}

/// Names the folder that the other process of the next test works in.
const FOLDER: &str = "FAIRLANE_STORE_TEST_FOLDER";

#[test]
fn a_killed_process_leaves_its_commits_and_no_lock() {
    let folder = TempDir::new().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "sqlite::tests::durability::works_until_it_is_killed", "--nocapture"])
        .env(FOLDER, folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    assert!(output.lines().map_while(Result::ok).any(|line| line.ends_with("committed")));
    let error = open(&folder).unwrap_err();
    let process = format!("process {} ", child.id());
    assert!(matches!(&error, Error::Locked { by, .. } if by.starts_with(&process)), "{error}");

    child.kill().unwrap();
    child.wait().unwrap();
    let mut store = open(&folder).unwrap();
    assert_eq!(orgs(&mut store), ["banks"]);
    assert_eq!(store.claim().unwrap(), Epoch(2));
}

/// Not a test of its own: the process that the test above kills.
#[test]
fn works_until_it_is_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let mut store = SqliteStore::open(Path::new(&folder), "eu", roots(7)).unwrap();
    let epoch = store.claim().unwrap();
    commit(&mut store, epoch, "banks").unwrap();
    println!("committed");
    // Ends when the parent does, if that fails before it kills.
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}
