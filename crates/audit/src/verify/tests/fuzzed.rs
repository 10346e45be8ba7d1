//! Exports and proofs that somebody has changed: whatever is taken says what the real one says, and nothing panics.

use std::collections::BTreeMap;

use fairlane_fuzz::Target;
use serde_json::Value;

use super::*;
use crate::proof::Unproven;
use crate::{Proof, tree};

/// What a log says of one record.
type Said = (u64, String, String, String);

/// Two real logs, whole and in parts, as one who can choose among them would have them.
struct Real {
    /// The records of each log, by sequence.
    records: BTreeMap<String, BTreeMap<u64, Said>>,
    checkpoints: Vec<Signed>,
    exports: Vec<String>,
}

fn real() -> Real {
    let Log { lines, checkpoints } = log();
    let mut short = lines[..10].to_vec();
    short[0] = head("acme", (1, 7), None, Some(&checkpoints[1]));
    let mut late = lines.clone();
    late.drain(1..=5);
    late[0] = head("acme", (5, 10), Some(&checkpoints[0]), checkpoints.last());
    let empty = vec![head("acme", (1, 0), None, None)];
    let other = other();
    let mut records: BTreeMap<String, BTreeMap<u64, Said>> = BTreeMap::new();
    for (log, lines) in [("acme", &lines), ("bank", &other.lines)] {
        let said = lines.iter().filter_map(|line| said(line.as_bytes()));
        records.insert(log.to_owned(), said.collect());
    }
    let exports = [lines, short, late, empty, other.lines].map(|lines| lines.join("\n"));
    let checkpoints = checkpoints.into_iter().chain(other.checkpoints).collect();
    Real { records, checkpoints, exports: exports.into() }
}

/// The log of somebody else, signed with the same key.
fn other() -> Log {
    let mut head = Head::new("bank");
    let mut lines = Vec::new();
    for sequence in 1..=3 {
        let (line, _) = record(sequence, r#"{"of":"bank"}"#, head.hash);
        head.append((1_000 + sequence, "held", "", r#"{"of":"bank"}"#));
        lines.push(line);
    }
    let signed = Checkpoint::close("bank", &head, None, 3_000).unwrap().sign(&signer(1));
    lines.push(serde_json::to_string(&Line::Checkpoint(Box::new(signed.clone()))).unwrap());
    lines.insert(0, self::head("bank", (1, 3), None, Some(&signed)));
    Log { lines, checkpoints: vec![signed] }
}

fn head(log: &str, ends: (u64, u64), after: Option<&Signed>, closed: Option<&Signed>) -> String {
    let (first, last) = ends;
    let (log, after, closed) = (log.to_owned(), after.cloned(), closed.cloned());
    let head = ExportHead { version: VERSION, log, first, last, after, closed };
    serde_json::to_string(&Line::Export(Box::new(head))).unwrap()
}

/// The record on a line, read without what is under test.
fn said(line: &[u8]) -> Option<(u64, Said)> {
    #[derive(serde::Deserialize)]
    struct Facts<'a> {
        #[serde(borrow)]
        facts: &'a RawValue,
    }
    #[derive(serde::Deserialize)]
    struct Whole<'a> {
        #[serde(borrow)]
        record: Facts<'a>,
    }
    let facts = serde_json::from_slice::<Whole<'_>>(line).ok()?.record.facts.get().to_owned();
    let line: Value = serde_json::from_slice(line).ok()?;
    let record = line.get("record")?;
    let text = |name| record.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let number = |name| record.get(name).and_then(Value::as_u64);
    Some((number("sequence")?, (number("at_us")?, text("code"), text("by"), facts)))
}

fn words() -> [&'static str; 16] {
    [
        "export",
        "record",
        "checkpoint",
        "after",
        "closed",
        "first",
        "last",
        "number",
        "sequence",
        "at_us",
        "facts",
        "hash",
        "signature",
        "acme",
        "bank",
        "18446744073709551615",
    ]
}

#[test]
fn no_changed_export_is_taken_for_a_real_one() {
    let real = real();
    let keys = [signer(1).public()];
    let target = Target::new("audit-export", 5_000).seeds(real.exports.iter().cloned());
    target.words(words()).run(|input| {
        let alone = verify(input, &keys, &[]).expect("memory can be read");
        let witnessed = verify(input, &keys, &real.checkpoints).expect("memory can be read");
        assert!(alone.findings.len() <= FINDINGS_MAX, "the list of findings has a bound");
        for report in [&alone, &witnessed] {
            if report.is_good() {
                is_real(&real, input, report);
            }
        }
        if witnessed.is_good() {
            let newest = |signed: &&Signed| signed.checkpoint.log == witnessed.log;
            let last = real.checkpoints.iter().filter(newest).map(|signed| signed.checkpoint.last);
            assert_eq!(Some(witnessed.last), last.max().or(Some(0)), "nothing is cut off");
        }
        let kinds: Vec<String> = alone.findings.iter().map(kind).collect();
        (kinds, witnessed.findings.len(), witnessed.is_good())
    });
}

/// Each record that the export has is one of that log, and none is left out.
fn is_real(real: &Real, input: &[u8], report: &Report) {
    let found: Vec<_> = input.split(|byte| *byte == b'\n').filter_map(said).collect();
    assert_eq!(found.len() as u64, report.records, "each record is read");
    let Some((last, _)) = found.last() else {
        assert_eq!((report.last, report.checkpoints), (0, 0), "an empty log says nothing");
        return;
    };
    let log = real.records.get(&report.log).expect("the log is one of the real ones");
    let wanted = log.range(report.first..=report.last);
    let wanted: Vec<_> = wanted.map(|(sequence, said)| (*sequence, said.clone())).collect();
    assert_eq!(found, wanted, "what is taken is what the log says");
    let ends =
        |signed: &Signed| signed.checkpoint.last == *last && signed.checkpoint.log == report.log;
    let closes = real.checkpoints.iter().find(|signed| ends(signed));
    assert_eq!(
        report.closed_at_us,
        closes.map(|signed| signed.checkpoint.at_us),
        "it ends where somebody has signed that it ends"
    );
}

/// The variant of a finding, without its values.
fn kind(finding: &Finding) -> String {
    let text = format!("{finding:?}");
    text.split([' ', '{']).next().unwrap_or_default().to_owned()
}

/// Proofs of all records of the log.
fn proofs() -> Vec<String> {
    let Log { lines, checkpoints } = log();
    let read = |line: &String| match serde_json::from_str::<Value>(line).ok()?.get("record") {
        Some(record) => serde_json::from_value::<Hash>(record["hash"].clone()).ok(),
        None => None,
    };
    let hashes: Vec<Hash> = lines.iter().filter_map(read).collect();
    let of = |at: usize| {
        let signed = checkpoints.iter().find(|signed| signed.checkpoint.last > at as u64).unwrap();
        let (first, last) = (signed.checkpoint.first, signed.checkpoint.last);
        let from = usize::try_from(first - 1).unwrap();
        let until = usize::try_from(last).unwrap();
        let facts = r#"{"cost":"1"}"#.to_owned();
        let proof = Proof {
            sequence: at as u64 + 1,
            at_us: 1_001 + at as u64,
            code: "held".to_owned(),
            by: String::new(),
            facts: RawValue::from_string(facts).unwrap(),
            before: at.checked_sub(1).map_or_else(|| genesis("acme"), |at| hashes[at]),
            path: tree::Path::of(&hashes[from..until], at - from).unwrap(),
            checkpoint: signed.clone(),
        };
        serde_json::to_string(&proof).unwrap()
    };
    (0..hashes.len()).map(of).collect()
}

#[test]
fn no_changed_proof_is_taken_for_a_real_one() {
    let real = real();
    let keys = [signer(1).public()];
    let target = Target::new("audit-proof", 8_000).seeds(proofs());
    target.words(words()).run(|input| {
        let Ok(proof) = serde_json::from_slice::<Proof>(input) else { return "no proof" };
        match proof.check(&keys) {
            Ok(()) => {
                let Proof { sequence, at_us, code, by, facts, checkpoint, .. } = &proof;
                let said = (*at_us, code.clone(), by.clone(), facts.get().to_owned());
                let log = &real.records[&checkpoint.checkpoint.log];
                assert_eq!(log.get(sequence), Some(&said), "what is proven is what the log says");
                "proven"
            }
            Err(Unproven::Checkpoint(Wrong::Key)) => "another key",
            Err(Unproven::Checkpoint(Wrong::Signature)) => "another signature",
            Err(Unproven::Range { .. }) => "another range",
            Err(Unproven::Root) => "another record",
        }
    });
}
