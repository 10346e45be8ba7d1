//! An export, and everything that can be done to it.

use crate::export::{Head as ExportHead, Line, RecordLine};
use crate::{Checkpoint, Head, Signed, Signer};
use serde_json::value::RawValue;

use super::*;

mod fuzzed;

/// A log of ten records, closed after the fourth, the seventh and the last; as lines of its export.
struct Log {
    lines: Vec<String>,
    checkpoints: Vec<Signed>,
}

fn signer(seed: u8) -> Signer {
    Signer::of_seed(&[seed; 32])
}

fn record(sequence: u64, facts: &str, before: Hash) -> (String, Hash) {
    let record = crate::Record { sequence, at: 1_000 + sequence, code: "held", by: "", facts };
    let hash = record.hash(before);
    let line = RecordLine {
        sequence,
        at_us: record.at,
        code: "held".into(),
        by: "".into(),
        facts: &RawValue::from_string(facts.to_owned()).unwrap(),
        hash,
    };
    (serde_json::to_string(&Line::Record(line)).unwrap(), hash)
}

/// With the facts of one record different.
fn log_with(signer: &Signer, changed: Option<u64>) -> Log {
    let mut head = Head::new("acme");
    let (mut lines, mut checkpoints): (Vec<String>, Vec<Signed>) = (Vec::new(), Vec::new());
    for sequence in 1..=10 {
        let facts = if changed == Some(sequence) { r#"{"cost":"9"}"# } else { r#"{"cost":"1"}"# };
        let (line, hash) = record(sequence, facts, head.hash);
        assert_eq!(head.append((1_000 + sequence, "held", "", facts)), (sequence, hash));
        lines.push(line);
        if [4, 7, 10].contains(&sequence) {
            let before = checkpoints.last().map(|signed| &signed.checkpoint);
            let closed = Checkpoint::close("acme", &head, before, 2_000 + sequence).unwrap();
            head.open = Frontier::default();
            let signed = closed.sign(signer);
            lines.push(serde_json::to_string(&Line::Checkpoint(Box::new(signed.clone()))).unwrap());
            checkpoints.push(signed);
        }
    }
    let export = ExportHead {
        version: VERSION,
        log: "acme".to_owned(),
        first: 1,
        last: 10,
        after: None,
        closed: checkpoints.last().cloned(),
    };
    lines.insert(0, serde_json::to_string(&Line::Export(Box::new(export))).unwrap());
    Log { lines, checkpoints }
}

fn log() -> Log {
    log_with(&signer(1), None)
}

fn check(lines: &[String], witnesses: &[Signed]) -> Report {
    verify(lines.join("\n").as_bytes(), &[signer(1).public()], witnesses).unwrap()
}

fn found(lines: &[String], witnesses: &[Signed]) -> Vec<String> {
    check(lines, witnesses).findings.iter().map(ToString::to_string).collect()
}

#[test]
fn an_export_as_it_was_made_is_good() {
    let Log { lines, checkpoints } = log();
    let report = check(&lines, &checkpoints);
    assert_eq!(report.findings, []);
    assert_eq!((report.records, report.checkpoints, report.witnessed), (10, 3, 3));
    assert_eq!(report.closed_at_us, Some(2_010));
}

#[test]
fn an_edited_record_is_found() {
    let Log { mut lines, .. } = log();
    lines[6] = lines[6].replace(r#""cost":"1""#, r#""cost":"2""#);
    assert_eq!(found(&lines, &[]), ["record 5 was changed, or the one before it"]);
    // With a hash that fits it, what follows does not.
    let Log { mut lines, .. } = log();
    let before: serde_json::Value = serde_json::from_str(&lines[4]).unwrap();
    let before = serde_json::from_value(before["record"]["hash"].clone()).unwrap();
    lines[6] = record(5, r#"{"cost":"2"}"#, before).0;
    assert_eq!(
        found(&lines, &[]),
        [
            "record 6 was changed, or the one before it",
            "records 5 to 7 are not those that were signed: some were changed, moved, added or taken away",
        ]
    );
}

#[test]
fn an_edited_log_with_all_its_hashes_is_found() {
    let Log { mut lines, .. } = log();
    let rewritten = log_with(&signer(1), Some(5)).lines;
    for (line, other) in lines.iter_mut().zip(rewritten) {
        if line.starts_with(r#"{"record""#) {
            *line = other;
        }
    }
    let found = found(&lines, &[]);
    assert!(
        found.iter().all(|finding| finding.contains("not those that were signed")),
        "{found:?}"
    );
    assert_eq!(found.len(), 2, "the range of the record, and the one after it: {found:?}");
}

#[test]
fn a_log_that_its_owner_wrote_anew_is_found_by_who_kept_a_checkpoint() {
    let rewritten = log_with(&signer(1), Some(5));
    assert_eq!(found(&rewritten.lines, &[]), [] as [&str; 0]);
    let kept = &log().checkpoints[1..2];
    assert_eq!(
        found(&rewritten.lines, kept),
        [
            "a signed checkpoint (number 2) says something else of records 5 to 7: the log was written anew"
        ]
    );
}

#[test]
fn a_deleted_record_is_found() {
    let Log { mut lines, .. } = log();
    lines.remove(6);
    let found = found(&lines, &[]);
    assert_eq!(found[0], "record 5 is missing");
    assert!(found[1].starts_with("records 5 to 7 are not those"), "{found:?}");
}

#[test]
fn a_deleted_range_is_found_with_its_checkpoint() {
    let Log { mut lines, .. } = log();
    lines.drain(6..10);
    let found = found(&lines, &[]);
    assert_eq!(found[0], "records 5 to 7 are missing");
    assert!(found[1].starts_with("checkpoint 3 stands where checkpoint 2 belongs"), "{found:?}");
}

#[test]
fn reordered_records_are_found() {
    let Log { mut lines, .. } = log();
    lines.swap(6, 7);
    let found = found(&lines, &[]);
    assert_eq!(found[0], "record 5 is missing");
    assert_eq!(found[1], "record 5 stands where record 7 belongs");
}

#[test]
fn a_truncated_log_is_found() {
    let ends = "the end is missing: the log had 10 records when a checkpoint was signed, and ends here with record 7";
    let Log { lines, checkpoints } = log();
    assert_eq!(found(&lines[..10], &[]), [ends]);
    // Cut off within a range.
    assert_eq!(found(&lines[..12], &[])[0], "no checkpoint closes records 8 to 9");
    // With a head that says so, only a checkpoint from elsewhere shows it.
    let mut short = lines[..10].to_vec();
    let head = ExportHead {
        version: VERSION,
        log: "acme".to_owned(),
        first: 1,
        last: 7,
        after: None,
        closed: Some(checkpoints[1].clone()),
    };
    short[0] = serde_json::to_string(&Line::Export(Box::new(head))).unwrap();
    assert_eq!(found(&short, &[]), [] as [&str; 0]);
    assert_eq!(found(&short, &checkpoints), [ends]);
}

#[test]
fn nobody_else_can_sign() {
    let mine = log_with(&signer(2), None);
    let found = found(&mine.lines, &[]);
    assert_eq!(found.len(), 4, "{found:?}");
    assert!(found.iter().all(|finding| finding.ends_with("a key that you did not name")));
    let Log { mut lines, .. } = log();
    lines[5] = lines[5].replace(r#""at_us":2004"#, r#""at_us":2005"#);
    let found = self::found(&lines, &[]);
    assert!(
        found[0].ends_with("its signature is wrong: it was changed, or somebody else signed it")
    );
}

#[test]
fn a_log_without_its_oldest_ranges_begins_after_a_checkpoint() {
    let Log { mut lines, checkpoints } = log();
    lines.drain(1..=5);
    let head = ExportHead {
        version: VERSION,
        log: "acme".to_owned(),
        first: 5,
        last: 10,
        after: Some(checkpoints[0].clone()),
        closed: checkpoints.last().cloned(),
    };
    lines[0] = serde_json::to_string(&Line::Export(Box::new(head))).unwrap();
    assert_eq!(found(&lines, &[]), [] as [&str; 0]);
    assert_eq!(found(&lines, &checkpoints[1..]), [] as [&str; 0]);
    lines.remove(1);
    assert_eq!(found(&lines, &[])[0], "record 5 is missing");
}

#[test]
fn what_is_no_export_is_said_to_be_none() {
    for text in ["", "\n", "{}", "hello", r#"{"record":{}}"#] {
        let report = verify(text.as_bytes(), &[], &[]).unwrap();
        assert_eq!(report.findings, [Finding::NoHead], "{text}");
    }
    let Log { mut lines, .. } = log();
    lines.insert(3, "x".repeat(3 << 20));
    lines.insert(3, "{\"record\":{\"sequence\":1}}".to_owned());
    let found = found(&lines, &[]);
    assert!(found[0].starts_with("line 4 cannot be read: missing field"), "{found:?}");
    assert_eq!(found[1], "line 5 cannot be read: it is longer than 1048576 bytes");
    assert_eq!(found.len(), 2, "what is between is no part of it: {found:?}");
}

#[test]
fn the_largest_number_is_an_answer_like_any_other() {
    let changed = |line: usize, from: &str, to: &str| {
        let Log { mut lines, checkpoints } = log();
        assert!(lines[line].contains(from), "{}", lines[line]);
        lines[line] = lines[line].replacen(from, to, 1);
        (found(&lines, &[]), found(&lines, &checkpoints))
    };
    let largest = u64::MAX;
    // Of a record, with more of them behind it; and of a checkpoint, which then is signed by nobody.
    for (line, from, name) in [
        (3, r#""sequence":3"#, "sequence"),
        (12, r#""sequence":10"#, "sequence"),
        (5, r#""number":1"#, "number"),
        (5, r#""last":4"#, "last"),
        (0, r#""first":1"#, "first"),
        (0, r#""last":10"#, "last"),
    ] {
        let (alone, witnessed) = changed(line, from, &format!("\"{name}\":{largest}"));
        assert!(!alone.is_empty() && !witnessed.is_empty(), "{line} {name}");
    }
    // Of the checkpoint that a log begins after.
    let Log { mut lines, checkpoints } = log();
    let mut after = checkpoints[0].clone();
    (after.checkpoint.last, after.checkpoint.number) = (largest, largest);
    let head = ExportHead {
        version: VERSION,
        log: "acme".to_owned(),
        first: 1,
        last: 10,
        after: Some(after),
        closed: checkpoints.last().cloned(),
    };
    lines[0] = serde_json::to_string(&Line::Export(Box::new(head))).unwrap();
    assert!(found(&lines, &[])[0].ends_with("it was changed, or somebody else signed it"));
}

/// Whatever one byte of an export becomes, it is not good any more.
#[test]
fn no_byte_of_an_export_can_be_changed() {
    let text = log().lines.join("\n").into_bytes();
    let is_good = |text: &[u8]| verify(text, &[signer(1).public()], &[]).unwrap().is_good();
    assert!(is_good(&text));
    for at in 0..text.len() {
        let mut changed = text.clone();
        changed[at] ^= 0x01;
        let end = text.len().min(at + 40);
        let place = String::from_utf8_lossy(&text[at.saturating_sub(40)..end]);
        assert!(!is_good(&changed), "byte {at}: {place}");
    }
}
