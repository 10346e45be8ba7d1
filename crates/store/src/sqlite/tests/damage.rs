//! Files that are no store, or no longer. None of them is ever written to.

use std::path::PathBuf;

use super::*;

/// Opening must say that the file is damaged, with these words, and leave it as it is.
fn check(folder: &TempDir, words: &str) {
    let path = folder.path().join("eu.db");
    let before = std::fs::read(&path).unwrap();
    let error = open(folder).unwrap_err();
    let Error::Corrupt { path: told, detail } = &error else { panic!("{error}") };
    assert_eq!(told, &path);
    assert!(detail.contains(words), "{detail}");
    assert!(std::fs::read(&path).unwrap() == before, "the file was changed");
}

/// A folder with a file of these bytes where the store should be.
fn file(bytes: &[u8]) -> TempDir {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("eu.db"), bytes).unwrap();
    folder
}

/// The bytes of a store with some rows, closed properly.
fn good_file() -> Vec<u8> {
    let folder = TempDir::new().unwrap();
    let mut store = open(&folder).unwrap();
    let epoch = store.claim().unwrap();
    let turn: Vec<Change> =
        (1..2_000).map(|id| Change::Run(Box::new(run(&key("acme", id))))).collect();
    store.commit(epoch, &turn).unwrap();
    Box::new(store).close().unwrap();
    std::fs::read(folder.path().join("eu.db")).unwrap()
}

#[test]
fn an_empty_file_is_damage_and_no_new_store() {
    check(&file(b""), "it is empty");
}

#[test]
fn a_file_that_is_no_database_is_reported() {
    check(&file(&b"garbage ".repeat(1_000)), "no SQLite database");
    check(&file(b"short"), "cut off within its header");
}

#[test]
fn another_programs_database_is_reported() {
    let folder = TempDir::new().unwrap();
    let other = Connection::open(folder.path().join("eu.db")).unwrap();
    other.execute_batch("CREATE TABLE recipes (name TEXT)").unwrap();
    drop(other);
    check(&folder, "another program");
}

#[test]
fn a_truncated_file_is_reported() {
    let good = good_file();
    for length in [good.len() / 2, 4_096 * 3, 4_096, good.len() - 1] {
        check(&file(&good[..length]), "");
    }
    let whole = file(&good);
    assert_eq!(open(&whole).unwrap().load().unwrap().runs.len(), 1_999);
}

#[test]
fn a_truncated_file_beside_its_log_is_reported() {
    let folder = TempDir::new().unwrap();
    let mut store = open(&folder).unwrap();
    let epoch = store.claim().unwrap();
    let turn: Vec<Change> =
        (1..2_000).map(|id| Change::Run(Box::new(run(&key("acme", id))))).collect();
    store.commit(epoch, &turn).unwrap();
    store.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    commit(&mut store, epoch, "banks").unwrap();
    // Behind the schema, without which SQLite does not even count the pages.
    let bytes = std::fs::read(store.path()).unwrap();
    let copy = file(&bytes[..bytes.len() / 2 / 4_096 * 4_096]);
    std::fs::copy(folder.path().join("eu.db-wal"), copy.path().join("eu.db-wal")).unwrap();
    check(&copy, "its log included");
}

#[test]
fn an_overwritten_page_is_reported() {
    let mut bytes = good_file();
    let middle = bytes.len() / 2 / 4_096 * 4_096;
    bytes[middle..middle + 4_096].fill(0xff);
    check(&file(&bytes), "");
}

#[test]
fn a_log_without_its_file_is_reported_and_no_new_store_made() {
    let folder = TempDir::new().unwrap();
    let log: PathBuf = folder.path().join("eu.db-wal");
    std::fs::write(&log, b"a log").unwrap();
    let error = open(&folder).unwrap_err();
    assert!(matches!(&error, Error::Corrupt { detail, .. } if detail.contains("log")), "{error}");
    assert!(!folder.path().join("eu.db").exists());
    assert_eq!(std::fs::read(&log).unwrap(), b"a log");
}

#[test]
fn a_row_that_nobody_wrote_is_reported_and_not_skipped() {
    let folder = TempDir::new().unwrap();
    let mut store = open(&folder).unwrap();
    let epoch = store.claim().unwrap();
    store.commit(epoch, &[Change::Run(Box::new(run(&key("acme", 1))))]).unwrap();
    store.connection.execute("UPDATE runs SET status = 'asleep'", []).unwrap();
    let error = store.load().unwrap_err();
    assert!(
        matches!(&error, Error::Corrupt { detail, .. } if detail.contains("asleep")),
        "{error}"
    );
}

#[test]
fn a_creation_that_was_interrupted_is_begun_again() {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("eu.db.new"), b"half").unwrap();
    std::fs::write(folder.path().join("eu.db.new-journal"), b"of it").unwrap();
    assert_eq!(open(&folder).unwrap().claim().unwrap(), Epoch(1));
    assert!(!folder.path().join("eu.db.new").exists());
}
