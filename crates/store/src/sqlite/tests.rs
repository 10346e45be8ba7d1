//! What only a file can do wrong. What every store must do stands in the conformance suite.

use tempfile::TempDir;

use super::*;

#[test]
fn a_new_region_opens_and_opens_again() {
    let folder = TempDir::new().unwrap();
    let mut store = SqliteStore::open(folder.path(), "eu").unwrap();
    assert_eq!(store.claim().unwrap(), Epoch(1));
    drop(store);
    let mut store = SqliteStore::open(folder.path(), "eu").unwrap();
    assert_eq!(store.claim().unwrap(), Epoch(2));
    assert_eq!(store.load().unwrap(), Snapshot::default());
}
