//! Copies of a file in use, and stores made of them.

use std::sync::atomic::{AtomicBool, Ordering};

use fairlane_core::row::RunKey;

use super::super::backup::{Copy, back_up, check, restore};
use super::*;
use crate::conformance::samples::scope;
use crate::read::Payloads;

fn run_of(at: u32) -> (RunKey, Change) {
    let key = key("acme", u128::from(at));
    let row = RunRow { input: Some(payload(200)), ..run(&key) };
    (key, Change::Run(Box::new(row)))
}

fn inputs(store: &SqliteStore, up_to: u32) -> usize {
    let mut reader = store.reader().unwrap();
    let read = |at| reader.run(&scope("acme"), run_of(at).0.run, Payloads::Read).unwrap();
    (1..=up_to).filter_map(read).filter(|row| row.input == Some(payload(200))).count()
}

#[test]
fn a_copy_that_is_made_while_the_store_is_written_is_one_commit_and_opens() {
    let (folder, kept, other) =
        (TempDir::new().unwrap(), TempDir::new().unwrap(), TempDir::new().unwrap());
    let mut store = open(&folder).unwrap();
    let epoch = store.claim().unwrap();
    for at in 1..=200 {
        store.commit(epoch, &[run_of(at).1]).unwrap();
    }
    let is_done = AtomicBool::new(false);
    let copy = std::thread::scope(|threads| {
        threads.spawn(|| {
            let mut at = 200;
            while !is_done.load(Ordering::Relaxed) {
                // Two in a turn, of which a copy has both or none.
                store.commit(epoch, &[run_of(at + 1).1, run_of(at + 2).1]).unwrap();
                at += 2;
            }
        });
        let copy = back_up(folder.path(), "eu", kept.path());
        is_done.store(true, Ordering::Relaxed);
        copy.unwrap()
    });
    drop(store);
    check(&copy, kept.path()).unwrap();
    assert!(copy.runs >= 200 && copy.runs % 2 == 0, "{copy:?}");
    assert_eq!((copy.live, copy.root_keys.len()), (copy.runs, 1));

    restore(&copy, kept.path(), other.path(), roots(7)).unwrap();
    let mut again = open(&other).unwrap();
    assert_eq!(again.load().unwrap().runs.len() as u64, copy.runs);
    assert_eq!(inputs(&again, 200), 200);
    let later = again.claim().unwrap();
    assert!(later.0 > epoch.0 + 1_000, "no lease of the first owner's can be one of this one's");
    let files = std::fs::read_dir(kept.path()).unwrap().count();
    assert_eq!(files, 1, "nothing but the copy");
}

/// A copy of a store with one run.
fn copied(kept: &TempDir) -> Copy {
    let folder = TempDir::new().unwrap();
    let mut store = open(&folder).unwrap();
    let epoch = store.claim().unwrap();
    store.commit(epoch, &[run_of(1).1]).unwrap();
    back_up(folder.path(), "eu", kept.path()).unwrap()
}

#[test]
fn what_was_deleted_is_in_no_copy() {
    let (folder, kept) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let mut store = open(&folder).unwrap();
    let epoch = store.claim().unwrap();
    commit(&mut store, epoch, "planted-mark").unwrap();
    store.connection.execute("DELETE FROM orgs", []).unwrap();
    back_up(folder.path(), "eu", kept.path()).unwrap();
    let bytes = std::fs::read(kept.path().join("eu.db")).unwrap();
    assert!(!bytes.windows(12).any(|window| window == b"planted-mark"));
}

#[test]
fn a_copy_that_was_changed_is_not_restored() {
    let (kept, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let copy = copied(&kept);
    let path = kept.path().join("eu.db");
    let whole = std::fs::read(&path).unwrap();
    let mut changed = whole.clone();
    *changed.last_mut().unwrap() ^= 1;
    for (bytes, expected) in [
        (&changed[..], "SHA-256"),
        (&whole[..whole.len() - 1], "bytes and has"),
        (b"", "it is empty"),
    ] {
        std::fs::write(&path, bytes).unwrap();
        let error = restore(&copy, kept.path(), other.path(), roots(7)).unwrap_err().to_string();
        assert!(error.contains(expected), "{expected}: {error}");
        assert!(!other.path().join("eu.db").exists());
    }
    std::fs::write(&path, whole).unwrap();
    let error = restore(&copy, kept.path(), other.path(), roots(8)).unwrap_err().to_string();
    assert!(error.contains(&copy.root_keys[0]), "the root key is named: {error}");
    restore(&copy, kept.path(), other.path(), roots(7)).unwrap();
    let names: Vec<_> = std::fs::read_dir(other.path()).unwrap().collect();
    assert_eq!(names.len(), 2, "the file and its lock: {names:?}");
}

#[test]
fn a_store_is_restored_where_there_is_none() {
    let (kept, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let copy = copied(&kept);
    let store = open(&other).unwrap();
    let error = restore(&copy, kept.path(), other.path(), roots(7)).unwrap_err();
    assert!(matches!(error, Error::Locked { .. }), "{error}");
    drop(store);
    let error = restore(&copy, kept.path(), other.path(), roots(7)).unwrap_err();
    assert!(matches!(error, Error::Exists { .. }), "{error}");
}

#[test]
fn there_is_no_copy_of_what_is_no_store() {
    let (folder, kept) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    assert!(back_up(folder.path(), "eu", kept.path()).is_err());
    std::fs::write(folder.path().join("eu.db"), "hello").unwrap();
    assert!(back_up(folder.path(), "eu", kept.path()).is_err());
    assert_eq!(std::fs::read_dir(kept.path()).unwrap().count(), 0);
}
