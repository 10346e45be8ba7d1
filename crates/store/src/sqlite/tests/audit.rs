//! The audit logs in the file: chained over turns, restarts and failures, closed, and proven.

use fairlane_audit::export::{Head, Line, RecordLine, VERSION};
use fairlane_audit::{PublicKey, Report, Signed, Signer, verify};
use fairlane_core::row::{Actor, Decision};
use fairlane_core::time::Span;
use rusqlite::params;
use serde_json::value::RawValue;

use super::*;
use crate::conformance::samples::scope;
use crate::read::{AuditPage, Read};

fn signer() -> Signer {
    Signer::of_seed(&[5; 32])
}

fn signing(folder: &TempDir) -> SqliteStore {
    open(folder).unwrap().sign_with(Arc::new(signer()))
}

fn said(tenant: Option<&str>, at: u64, facts: &str) -> Change {
    Change::Decision(Decision {
        tenant: tenant.map(name),
        at: Time(at),
        code: "held".into(),
        by: at.is_multiple_of(2).then(|| Actor::Key(name("k1"))),
        facts: facts.into(),
    })
}

fn acme(at: u64) -> Change {
    said(Some("acme"), at, &format!("{{\"at\":{at}}}"))
}

fn close(tenant: Option<&str>, at: u64) -> Change {
    Change::CloseLog { tenant: tenant.map(name), at: Time(at) }
}

/// The log as it is exported, in pages of three.
fn export(reader: &mut dyn Read, tenant: Option<&str>) -> String {
    let scope = tenant.map(scope);
    let (mut pages, mut after) = (Vec::<AuditPage>::new(), 0);
    loop {
        let page = reader.audit(scope.as_ref(), after, 3).unwrap().unwrap();
        after = page.records.last().map_or(after, |record| record.sequence);
        let has_more = page.has_more;
        pages.push(page);
        if !has_more {
            break;
        }
    }
    let head = Head {
        version: VERSION,
        log: pages[0].log.clone(),
        first: pages[0].records[0].sequence,
        last: after,
        after: pages[0].base.clone(),
        closed: pages[0].newest.clone(),
    };
    let mut lines = vec![serde_json::to_string(&Line::Export(Box::new(head))).unwrap()];
    for page in pages {
        let mut closes: Vec<Signed> = page.checkpoints.into_iter().rev().collect();
        for record in page.records {
            let facts = RawValue::from_string(record.facts.into()).unwrap();
            lines.push(
                serde_json::to_string(&Line::Record(RecordLine {
                    sequence: record.sequence,
                    at_us: record.at.0,
                    code: record.code.into_string().into(),
                    by: record.by.into_string().into(),
                    facts: &facts,
                    hash: record.hash,
                }))
                .unwrap(),
            );
            if let Some(closed) = closes.pop_if(|closed| closed.checkpoint.last == record.sequence)
            {
                lines.push(serde_json::to_string(&Line::Checkpoint(Box::new(closed))).unwrap());
            }
        }
    }
    lines.join("\n")
}

fn check(text: &str) -> Report {
    let keys: [PublicKey; 1] = [signer().public()];
    verify(text.as_bytes(), &keys, &[]).unwrap()
}

#[test]
fn a_log_goes_on_over_turns_restarts_and_checkpoints_and_verifies() {
    let folder = TempDir::new().unwrap();
    let mut at = 0;
    for restart in 0..4 {
        let mut store = signing(&folder);
        let epoch = store.claim().unwrap();
        for records in [1, 5, 2] {
            let mut changes: Vec<Change> = (0..records).map(|more| acme(at + more)).collect();
            changes.insert(0, said(Some("bolt"), at, "{}"));
            changes.insert(0, said(None, at, "{}"));
            at += records;
            if records == restart + 1 {
                changes.push(close(Some("acme"), at));
            }
            store.commit(epoch, &changes).unwrap();
        }
    }
    let mut store = signing(&folder);
    let epoch = store.claim().unwrap();
    let closes = [close(Some("acme"), 100), close(None, 100), close(Some("bolt"), 100)];
    store.commit(epoch, &closes).unwrap();
    store.commit(epoch, &closes).unwrap();
    let mut reader = store.reader().unwrap();
    for (tenant, records, checkpoints) in
        [(Some("acme"), 32, 3), (Some("bolt"), 12, 1), (None, 12, 1)]
    {
        let text = export(&mut *reader, tenant);
        let report = check(&text);
        assert_eq!(report.findings, [], "{text}");
        assert_eq!((report.records, report.checkpoints), (records, checkpoints), "{text}");
    }
    assert!(export(&mut *reader, None).contains("\"log\":\"platform@eu\""));
}

#[test]
fn a_log_is_closed_a_minute_after_it_was_opened() {
    let folder = TempDir::new().unwrap();
    let mut store = signing(&folder);
    let epoch = store.claim().unwrap();
    store.commit(epoch, &[acme(1_000)]).unwrap();
    let begun = Time(1_000);
    let made = |store: &SqliteStore| store.reader().unwrap().checkpoints(0, 10).unwrap().len();
    store.sweep(epoch, begun + Span::from_secs(59)).unwrap();
    assert_eq!(made(&store), 0);
    store.sweep(epoch, begun + Span::from_secs(60)).unwrap();
    assert_eq!(made(&store), 1);
    store.sweep(epoch, begun + Span::from_secs(600)).unwrap();
    assert_eq!(made(&store), 1, "nothing is open");

    // A new owner finds what the last one has left open, of however many tenants.
    let all: Vec<Change> = (0..250).map(|at| said(Some(&format!("t{at:03}")), 7, "{}")).collect();
    store.commit(epoch, &all).unwrap();
    drop(store);
    let mut store = signing(&folder);
    let epoch = store.claim().unwrap();
    let now = begun + Span::from_secs(900);
    let mut sweeps = 1;
    while store.sweep(epoch, now).unwrap() == SWEEP_MAX {
        sweeps += 1;
    }
    assert_eq!((made(&store), sweeps), (10, 3), "a page of them");
    let all = store.reader().unwrap().checkpoints(0, 1_000).unwrap();
    assert_eq!(all.len(), 251);
    assert!(all.iter().map(|(ordinal, _)| *ordinal).eq(1..=251));
    assert_eq!(store.reader().unwrap().checkpoints(250, 10).unwrap().len(), 1);
}

#[test]
fn a_turn_that_failed_is_not_in_the_chain() {
    let folder = TempDir::new().unwrap();
    let mut store = signing(&folder);
    let epoch = store.claim().unwrap();
    store.commit(epoch, &[acme(1)]).unwrap();
    let missing = key("acme", 9);
    let fails = Change::TakeSignal { key: missing, sequence: 1, instance: whole(0) };
    store.commit(epoch, &[acme(2), fails]).unwrap_err();
    store.commit(epoch, &[acme(3), close(Some("acme"), 4)]).unwrap();
    let report = check(&export(&mut *store.reader().unwrap(), Some("acme")));
    assert_eq!((report.records, report.findings), (2, vec![]));
}

#[test]
fn what_is_changed_in_the_file_is_found() {
    let changes = [
        (
            r#"UPDATE audit SET records = replace(records, '"at":5', '"at":6') WHERE last = 5"#,
            "record 5 was changed",
        ),
        (
            "UPDATE audit SET records = '4' || substr(records, 2) WHERE last = 2",
            "record 2 was changed",
        ),
        (
            "UPDATE audit SET records = (SELECT records FROM audit WHERE last = 3) WHERE last = 2",
            "record 2 was changed",
        ),
        ("UPDATE audit SET head = zeroblob(32) WHERE last = 6", "record 6 was changed"),
        ("DELETE FROM audit WHERE last = 4", "record 4 is missing"),
        ("DELETE FROM audit WHERE last > 4", "the end is missing"),
        ("DELETE FROM audit WHERE last < 3", "records 1 to 2 are missing"),
    ];
    for (sql, expected) in changes {
        let folder = TempDir::new().unwrap();
        let mut store = signing(&folder);
        let epoch = store.claim().unwrap();
        for at in 1..=6 {
            store.commit(epoch, &[acme(at)]).unwrap();
        }
        store.commit(epoch, &[close(Some("acme"), 7)]).unwrap();
        assert!(store.connection.execute(sql, []).unwrap() > 0);
        let found = check(&export(&mut *store.reader().unwrap(), Some("acme"))).findings;
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert!(found.iter().any(|finding| finding.starts_with(expected)), "{sql}: {found:?}");
    }
}

#[test]
fn a_row_that_was_changed_stops_nobody_and_is_found() {
    let changes = [
        (
            "UPDATE audit SET records = '9' || substr(records, 2) WHERE last = 2",
            "record 2 was changed",
        ),
        ("DELETE FROM audit WHERE last = 2", "record 2 is missing"),
        ("UPDATE audit SET records = 'nothing' WHERE last = 2", "record 2 is missing"),
    ];
    for (sql, expected) in changes {
        let folder = TempDir::new().unwrap();
        let mut store = signing(&folder);
        let epoch = store.claim().unwrap();
        for at in 1..=3 {
            store.commit(epoch, &[acme(at)]).unwrap();
        }
        assert_eq!(store.connection.execute(sql, []).unwrap(), 1);
        drop(store);
        // The next owner has to read what is open of the log to go on with it.
        let mut store = signing(&folder);
        let epoch = store.claim().unwrap();
        store.commit(epoch, &[acme(4), close(Some("acme"), 5)]).unwrap();
        let found = check(&export(&mut *store.reader().unwrap(), Some("acme"))).findings;
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert!(found.iter().any(|finding| finding.starts_with(expected)), "{sql}: {found:?}");
    }
}

#[test]
fn nothing_comes_after_the_end_of_a_log() {
    let folder = TempDir::new().unwrap();
    let mut store = signing(&folder);
    let epoch = store.claim().unwrap();
    store.commit(epoch, &[acme(1), close(Some("acme"), 2)]).unwrap();
    let mut reader = store.reader().unwrap();
    for after in [1, i64::MAX.cast_unsigned(), u64::MAX] {
        let page = reader.audit(Some(&scope("acme")), after, 10).unwrap().unwrap();
        assert_eq!((page.records.len(), page.has_more), (0, false), "{after}");
    }
}

#[test]
fn each_record_that_is_closed_can_be_proven_alone() {
    let folder = TempDir::new().unwrap();
    let mut store = signing(&folder);
    let epoch = store.claim().unwrap();
    store.commit(epoch, &[acme(1), acme(2), close(Some("acme"), 2)]).unwrap();
    let turn: Vec<Change> = (3..10).map(acme).chain([close(Some("acme"), 10)]).collect();
    store.commit(epoch, &turn).unwrap();
    store.commit(epoch, &[acme(11)]).unwrap();
    let mut reader = store.reader().unwrap();
    let (acme, keys) = (scope("acme"), [signer().public()]);
    for sequence in 1..=9 {
        let mut proof = reader.audit_proof(Some(&acme), sequence).unwrap().unwrap();
        assert_eq!(proof.check(&keys), Ok(()));
        assert_eq!(proof.facts.get(), format!("{{\"at\":{sequence}}}"));
        assert_eq!(proof.by.is_empty(), sequence % 2 == 1);
        proof.at_us += 1;
        assert!(proof.check(&keys).is_err());
        proof.at_us -= 1;
        proof.sequence = if sequence == 2 { 1 } else { sequence + 1 };
        assert!(proof.check(&keys).is_err());
    }
    for sequence in [0, 10, 11, u64::MAX] {
        assert!(reader.audit_proof(Some(&acme), sequence).unwrap().is_none(), "{sequence}");
    }
    assert!(reader.audit_proof(Some(&scope("bolt")), 1).unwrap().is_none());
}

#[test]
fn what_an_older_version_logged_is_the_beginning_of_the_chain() {
    let folder = TempDir::new().unwrap();
    let old = super::migrations::file_of_version(&folder, 58);
    old.execute("INSERT INTO cells (cell, epoch, decisions) VALUES (0, 1, 1200)", []).unwrap();
    for sequence in 1..=1_200 {
        let tenant = if sequence % 2 == 0 { "acme" } else { "" };
        let facts = format!("{{\"n\":{sequence}}}");
        old.execute(
            "INSERT INTO decisions VALUES (?1, ?2, ?2, 'cap-reached', ?3)",
            params![tenant, sequence, facts],
        )
        .unwrap();
    }
    drop(old);
    let mut store = signing(&folder);
    let epoch = store.claim().unwrap();
    store.commit(epoch, &[acme(5_000), close(Some("acme"), 5_000), close(None, 5_000)]).unwrap();
    let mut reader = store.reader().unwrap();
    for (tenant, records) in [(Some("acme"), 601), (None, 600)] {
        let report = check(&export(&mut *reader, tenant));
        assert_eq!((report.records, report.findings), (records, vec![]));
    }
    let page = reader.audit(Some(&scope("acme")), 0, 1).unwrap().unwrap();
    assert_eq!(&*page.records[0].facts, "{\"n\":2}");
}
