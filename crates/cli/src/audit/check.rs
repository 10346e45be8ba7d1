//! `fairlane audit verify` and `verify-proof`: what an auditor runs, who has no server and trusts none.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use fairlane_api::Timestamp;
use fairlane_audit::{Proof, PublicKey, Report, Signed, verify};
use serde_json::json;

use crate::exit::{Negative, Usage};
use crate::printer::Printer;
use crate::text;

#[derive(Debug, Args)]
struct Keys {
    /// A public key that is trusted, or a file with one; several if the server's was changed
    #[arg(long = "public-key", required = true, value_name = "KEY_OR_FILE")]
    keys: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct Verify {
    /// What `audit export` wrote; `-` is stdin
    file: PathBuf,
    #[command(flatten)]
    keys: Keys,
    /// Checkpoints that were kept elsewhere, a line of JSON each: they show what the export alone cannot, that its end was
    /// cut off, or that all of it was written anew
    #[arg(long, value_name = "FILE")]
    checkpoints: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct VerifyProof {
    /// What `audit prove` wrote; `-` is stdin
    file: PathBuf,
    #[command(flatten)]
    keys: Keys,
}

impl Keys {
    fn read(&self) -> anyhow::Result<Vec<PublicKey>> {
        self.keys.iter().map(|text| key(text)).collect()
    }
}

fn key(text: &str) -> anyhow::Result<PublicKey> {
    if let Ok(key) = text.parse() {
        return Ok(key);
    }
    let wrong = |why: &dyn std::fmt::Display| {
        Usage(format!("--public-key {text}: {why}; `fairlane audit key` shows the server's"))
    };
    let file = std::fs::read_to_string(text).map_err(|_| {
        wrong(&"it is neither a public key, which has 64 hexadecimal digits, nor a file")
    })?;
    Ok(file.trim().parse::<PublicKey>().map_err(|error| wrong(&error))?)
}

impl Verify {
    pub(super) fn execute(self, printer: Printer) -> anyhow::Result<()> {
        let keys = self.keys.read()?;
        let mut witnesses = Vec::new();
        for path in &self.checkpoints {
            witnesses.append(&mut checkpoints(path)?);
        }
        let report = verify(open(&self.file)?, &keys, &witnesses)
            .with_context(|| format!("cannot read {}", self.file.display()))?;
        let findings: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
        let answer = json!({
            "log": report.log,
            "is_good": report.is_good(),
            "records": report.records,
            "first": report.first,
            "last": report.last,
            "checkpoints": report.checkpoints,
            "witnessed": report.witnessed,
            "closed_at_us": report.closed_at_us,
            "findings": findings,
            "more_findings": report.more,
        });
        printer.data(&answer, |_| told(&report, &findings, !self.checkpoints.is_empty()))?;
        if report.is_good() {
            return Ok(());
        }
        let count = findings.len() as u64 + report.more;
        Err(Negative(format!("{count} thing{} wrong with this log", plural(count))).into())
    }
}

const fn plural(count: u64) -> &'static str {
    if count == 1 { " is" } else { "s are" }
}

fn told(report: &Report, findings: &[String], has_witnesses: bool) -> String {
    let mut lines = findings.to_vec();
    if report.more > 0 {
        lines.push(format!("and {} more", report.more));
    }
    if report.is_good() {
        let Report { log, records, first, last, checkpoints, witnessed, .. } = report;
        let at = report.closed_at_us.map_or_else(String::new, |at| {
            format!(" It is whole up to {}.", text::time(Timestamp(at)))
        });
        lines.push(format!(
            "The log `{log}` is as it was written: {records} records, {first} to {last}, checkpoints: {checkpoints}.{at}"
        ));
        lines.push(if has_witnesses {
            format!("{witnessed} of its checkpoints were kept elsewhere, and say the same.")
        } else {
            "With checkpoints that were kept elsewhere (--checkpoints) it would be known that nothing was cut off after that, \
             and that its owner has not written it anew."
                .to_owned()
        });
    }
    lines.join("\n")
}

impl VerifyProof {
    pub(super) fn execute(self, printer: Printer) -> anyhow::Result<()> {
        let keys = self.keys.read()?;
        let mut text = String::new();
        std::io::Read::read_to_string(&mut open(&self.file)?, &mut text)
            .with_context(|| format!("cannot read {}", self.file.display()))?;
        let proof: Proof = serde_json::from_str(&text)
            .with_context(|| format!("{} is no proof of a record", self.file.display()))?;
        proof.check(&keys).map_err(|wrong| Negative(wrong.to_string()))?;
        let answer = json!({
            "log": proof.checkpoint.checkpoint.log,
            "sequence": proof.sequence,
            "at_us": proof.at_us,
            "code": proof.code,
            "by": proof.by,
            "facts": proof.facts,
            "is_good": true,
        });
        printer.data(&answer, |_| {
            let log = &proof.checkpoint.checkpoint.log;
            let by = if proof.by.is_empty() { "the platform" } else { &proof.by };
            let at = text::time(Timestamp(proof.at_us));
            format!(
                "Record {} of the log `{log}`, of {at}, by {by}:\n{} {}",
                proof.sequence, proof.code, proof.facts
            )
        })
    }
}

fn open(path: &Path) -> anyhow::Result<Box<dyn BufRead>> {
    if path.as_os_str() == "-" {
        return Ok(Box::new(BufReader::new(std::io::stdin())));
    }
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(Box::new(BufReader::new(file)))
}

/// Checkpoints as a server appended them to a file.
fn checkpoints(path: &Path) -> anyhow::Result<Vec<Signed>> {
    let mut found = Vec::new();
    for (line, number) in open(path)?.lines().zip(1..) {
        let line = line.with_context(|| format!("cannot read {}", path.display()))?;
        if line.trim().is_empty() {
            continue;
        }
        let what = || format!("line {number} of {} is no checkpoint", path.display());
        found.push(serde_json::from_str(&line).with_context(what)?);
    }
    Ok(found)
}
