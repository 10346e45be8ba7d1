//! The audit logs in the file: chained over turns, restarts and failures, closed, and proven.

use fairlane_audit::export::{Head, Line, RecordLine, VERSION};
use fairlane_audit::{PublicKey, Report, Signed, Signer, verify};
use fairlane_core::row::{Actor, Decision};
use fairlane_core::time::Span;
use rusqlite::params;
use serde_json::value::RawValue;

use super::*;
use crate::conformance::samples::scope;
use crate::read::{AuditPage, DecisionQuery, Read};

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

/// Much later, so that everything said before is brought into rows of its log.
fn take_apart(store: &mut SqliteStore, epoch: Epoch) {
    while store.sweep(epoch, Time(1_000) + Span::from_secs(60)).unwrap() == SWEEP_MAX {}
}

fn rows(store: &SqliteStore, table: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM {table}");
    store.connection.query_one(&sql, [], |row| row.get(0)).unwrap()
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
    lines_of(&head, pages)
}

/// One page as it is exported.
pub(super) fn lines(head: &Head, page: AuditPage) -> String {
    lines_of(head, vec![page])
}

fn lines_of(head: &Head, pages: Vec<AuditPage>) -> String {
    let mut lines = vec![serde_json::to_string(&Line::Export(Box::new(head.clone()))).unwrap()];
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
    // Whatever of it is in rows of its own, and however they are cut.
    for apart in 0..6 {
        let folder = TempDir::new().unwrap();
        let mut at = 0;
        for restart in 0..4 {
            let mut store = open(&folder).unwrap();
            let epoch = store.claim().unwrap();
            if restart == apart {
                take_apart(&mut store, epoch);
            }
            store = store.sign_with(Arc::new(signer()));
            for records in [1, 5, 2] {
                let mut changes: Vec<Change> = (0..records).map(|more| acme(at + more)).collect();
                changes.insert(0, said(Some("bolt"), at, "{}"));
                changes.insert(0, said(None, at, "{}"));
                at += records;
                if records == restart + 1 {
                    changes.push(close(Some("acme"), at));
                }
                store.commit(epoch, &changes).unwrap();
                if restart + 1 == apart {
                    take_apart(&mut store, epoch);
                }
            }
        }
        let mut store = signing(&folder);
        let epoch = store.claim().unwrap();
        let closes = [close(Some("acme"), 100), close(None, 100), close(Some("bolt"), 100)];
        store.commit(epoch, &closes).unwrap();
        store.commit(epoch, &closes).unwrap();
        if apart == 5 {
            take_apart(&mut store, epoch);
            assert_eq!((rows(&store, "audit_open"), rows(&store, "audit")), (0, 5));
        }
        let mut reader = store.reader().unwrap();
        for (tenant, records) in [(Some("acme"), 32), (Some("bolt"), 12), (None, 12)] {
            let text = export(&mut *reader, tenant);
            let report = check(&text);
            assert_eq!(report.findings, [], "{apart}: {text}");
            assert_eq!(report.records, records, "{apart}: {text}");
            let newest_first = newest_first(&mut *reader, tenant);
            assert!(newest_first.into_iter().eq((1..=records).rev()), "{apart}: {tenant:?}");
        }
        assert!(export(&mut *reader, None).contains("\"log\":\"platform@eu\""));
    }
}

/// Sequences of a log as people look at it, in pages of three.
fn newest_first(reader: &mut dyn Read, tenant: Option<&str>) -> Vec<u64> {
    let (mut all, mut before) = (Vec::new(), None);
    loop {
        let query = DecisionQuery { limit: 3, before };
        let page = match tenant {
            Some(tenant) => reader.decisions(&scope(tenant), query),
            None => reader.platform_decisions(query),
        };
        let page = page.unwrap();
        all.extend(page.rows.iter().map(|row| row.sequence));
        before = page.next;
        if before.is_none() {
            return all;
        }
    }
}

#[test]
fn what_turns_said_comes_into_rows_of_each_log_when_it_is_much_or_old() {
    let folder = TempDir::new().unwrap();
    let mut store = signing(&folder);
    let epoch = store.claim().unwrap();
    let long = format!("{{\"text\":\"{}\"}}", "x".repeat(4_000));
    // 200 logs, each with more than a row's fill: neither all of the logs nor all of the text is taken at once.
    for turn in 0..20 {
        let turn: Vec<Change> =
            (0..200).map(|of| said(Some(&format!("t{of:03}")), turn, &long)).collect();
        store.commit(epoch, &turn).unwrap();
        let waiting = store.connection.query_one(
            "SELECT coalesce(sum(length(sections)), 0) FROM audit_open",
            [],
            |row| row.get::<_, i64>(0),
        );
        assert!(waiting.unwrap() < 2 << 20);
    }
    // Tenants of which each has one record.
    let many: Vec<Change> =
        (0..1_200).map(|of| said(Some(&format!("u{of:04}")), 20, "{}")).collect();
    for turn in many.chunks(300) {
        store.commit(epoch, turn).unwrap();
    }
    assert!(rows(&store, "audit_open") >= 4);
    let now = Time(20) + Span::from_secs(59);
    store.sweep(epoch, now).unwrap();
    assert!(rows(&store, "audit_open") >= 4, "it is not old yet");
    let mut sweeps = 0;
    while store.sweep(epoch, now + Span::from_secs(1)).unwrap() == SWEEP_MAX {
        sweeps += 1;
    }
    assert!(sweeps > 12, "a checkpoint of 1,400 logs, 100 at once");
    assert_eq!(rows(&store, "audit_open"), 0);
    let cut: i64 = store
        .connection
        .query_one("SELECT max(length(records)) FROM audit", [], |row| row.get(0))
        .unwrap();
    assert!(cut < 70_000, "{cut}");
    let mut reader = store.reader().unwrap();
    for (tenant, records) in [("t007", 20), ("t199", 20), ("u0000", 1), ("u1199", 1)] {
        let report = check(&export(&mut *reader, Some(tenant)));
        assert_eq!((report.records, report.checkpoints, report.findings), (records, 1, vec![]));
    }
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

fn findings(store: &SqliteStore, tenant: &str) -> Vec<String> {
    let report = check(&export(&mut *store.reader().unwrap(), Some(tenant)));
    report.findings.iter().map(ToString::to_string).collect()
}

fn begins(findings: &[String], expected: &str) -> bool {
    findings.iter().any(|finding| finding.starts_with(expected))
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
    // The same of what is not in rows of its own yet.
    let changes_of_open = [
        (
            r#"UPDATE audit_open SET sections = replace(sections, '"at":5', '"at":6') WHERE turn = 5"#,
            "record 5 was changed",
        ),
        ("UPDATE audit_open SET heads = zeroblob(32) WHERE turn = 6", "record 6 was changed"),
        ("UPDATE audit_open SET heads = zeroblob(31) WHERE turn = 4", "record 4 is missing"),
        ("UPDATE audit_open SET sections = 'x' WHERE turn = 4", "record 4 is missing"),
        ("DELETE FROM audit_open WHERE turn = 4", "record 4 is missing"),
        ("DELETE FROM audit_open WHERE turn > 4", "the end is missing"),
        ("DELETE FROM audit_open WHERE turn < 3", "records 1 to 2 are missing"),
    ];
    let all = changes.map(|change| (change, true)).into_iter();
    for ((sql, expected), is_apart) in all.chain(changes_of_open.map(|change| (change, false))) {
        let folder = TempDir::new().unwrap();
        let mut store = open(&folder).unwrap();
        let epoch = store.claim().unwrap();
        for at in 1..=6 {
            store.commit(epoch, &[acme(at)]).unwrap();
            if is_apart {
                take_apart(&mut store, epoch);
            }
        }
        let mut store = store.sign_with(Arc::new(signer()));
        store.commit(epoch, &[close(Some("acme"), 7)]).unwrap();
        assert!(store.connection.execute(sql, []).unwrap() > 0);
        let found = findings(&store, "acme");
        assert!(begins(&found, expected), "{sql}: {found:?}");
        // It is found wherever it comes to later.
        take_apart(&mut store, epoch);
        assert_eq!(rows(&store, "audit_open"), 0);
        assert_ne!(findings(&store, "acme"), [""; 0], "{sql}");
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
        ("UPDATE audit_open SET sections = 'nothing' WHERE turn = 2", "record 2 is missing"),
        ("UPDATE audit_open SET sections = 'a b acme\n' WHERE turn = 2", "record 2 is missing"),
        ("UPDATE audit_open SET heads = zeroblob(7) WHERE turn = 2", "record 2 is missing"),
        ("UPDATE audit_open SET heads = zeroblob(32) WHERE turn = 2", "record 2 was changed"),
    ];
    for (sql, expected) in changes {
        let folder = TempDir::new().unwrap();
        let mut store = open(&folder).unwrap();
        let epoch = store.claim().unwrap();
        for at in 1..=3 {
            store.commit(epoch, &[acme(at)]).unwrap();
            if sql.contains("audit ") {
                take_apart(&mut store, epoch);
            }
        }
        assert_eq!(store.connection.execute(sql, []).unwrap(), 1);
        drop(store);
        // The next owner has to read what is open of the log to go on with it.
        let mut store = signing(&folder);
        let epoch = store.claim().unwrap();
        store.commit(epoch, &[acme(4), close(Some("acme"), 5)]).unwrap();
        let found = findings(&store, "acme");
        assert!(begins(&found, expected), "{sql}: {found:?}");
        take_apart(&mut store, epoch);
        store.commit(epoch, &[acme(5)]).unwrap();
        assert_ne!(findings(&store, "acme"), [""; 0], "{sql}");
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
    assert_eq!(rows(&store, "audit_open"), 1);
    for (tenant, records) in [(Some("acme"), 601), (None, 600)] {
        let report = check(&export(&mut *reader, tenant));
        assert_eq!((report.records, report.findings), (records, vec![]));
    }
    let page = reader.audit(Some(&scope("acme")), 0, 1).unwrap().unwrap();
    assert_eq!(&*page.records[0].facts, "{\"n\":2}");
}
