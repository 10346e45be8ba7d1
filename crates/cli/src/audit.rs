//! `fairlane audit`: logs taken out of the server, and checked without it.

mod check;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use fairlane_api::audit::{AuditKey, AuditPage, AuditRecord, Checkpoint};
use fairlane_audit::export::{Head, Line, RecordLine, VERSION};
use fairlane_audit::{Hash, Signed, unhex};
use fairlane_client::{AuditOf, Client};

use crate::target::Target;

/// Records that are asked for at once.
const PAGE: u32 = 1_000;

/// Take audit logs out, and check that nothing in them was changed
#[derive(Debug, Args)]
pub(crate) struct Audit {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show the public key that checkpoints are signed with
    ///
    /// Keep it with whoever checks logs: a log that brings its own key proves nothing.
    Key,
    /// Write a whole log, closed with a checkpoint of now
    Export(Export),
    /// Check an export, without any server: find what was edited, deleted, reordered, or cut off
    Verify(check::Verify),
    /// Write a proof that one record is in its log
    Prove(Prove),
    /// Check such a proof, without any server
    VerifyProof(check::VerifyProof),
}

#[derive(Debug, Args)]
struct Of {
    // Not from the environment, or whoever has set a tenant could not read the platform's.
    /// The tenant; without it the platform's own log, for operators
    #[arg(long, short)]
    tenant: Option<String>,
    /// The region of the platform's own log; the server's first one if absent
    #[arg(long, conflicts_with = "tenant")]
    region: Option<String>,
}

#[derive(Debug, Args)]
struct Export {
    #[command(flatten)]
    of: Of,
    /// Write to this file instead of stdout
    #[arg(long, short)]
    out: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Prove {
    #[command(flatten)]
    of: Of,
    /// The record's sequence
    sequence: u64,
}

impl Of {
    fn log(&self) -> AuditOf<'_> {
        match &self.tenant {
            Some(tenant) => AuditOf::Tenant(tenant),
            None => AuditOf::Platform(self.region.as_deref()),
        }
    }
}

impl Audit {
    pub(crate) async fn execute(self, target: &Target) -> anyhow::Result<()> {
        let printer = target.printer();
        match self.verb {
            Verb::Key => {
                let key: AuditKey = target.client()?.audit_key().await?;
                printer.data(&key, |key| key.public_key.clone())
            }
            Verb::Export(export) => export.execute(target).await,
            Verb::Prove(Prove { of, sequence }) => {
                let proof = target.client()?.audit_proof(of.log(), sequence).await?;
                printer.text(&serde_json::to_string(&proof)?)
            }
            Verb::Verify(verify) => verify.execute(printer),
            Verb::VerifyProof(verify) => verify.execute(printer),
        }
    }
}

impl Export {
    async fn execute(self, target: &Target) -> anyhow::Result<()> {
        let printer = target.printer();
        let client = target.client()?;
        let log = self.of.log();
        // What is open is closed first: a log is whole up to its last checkpoint.
        let closed = client.close_audit(log).await?;
        match &self.out {
            None => {
                let mut out = BufWriter::new(std::io::stdout().lock());
                write(&client, log, closed, &mut out).await?;
            }
            Some(path) => {
                let bar = printer.spinner("exporting");
                let file = File::create(path);
                let file = file.with_context(|| format!("cannot write {}", path.display()))?;
                let mut out = BufWriter::new(file);
                let written = write(&client, log, closed, &mut out).await;
                bar.finish_and_clear();
                let records = written?;
                let file = out.into_inner().context("cannot write all of it")?;
                file.sync_all().with_context(|| format!("cannot write {}", path.display()))?;
                printer.note(&format!("Wrote {records} records to {}.", path.display()));
            }
        }
        Ok(())
    }
}

/// Writes the log up to that checkpoint, page by page.
async fn write(
    client: &Client,
    log: AuditOf<'_>,
    closed: Checkpoint,
    out: &mut impl Write,
) -> anyhow::Result<u64> {
    let (mut after, mut records) = (0, 0);
    loop {
        let page = client.audit(log, after, PAGE).await?;
        if after == 0 {
            let first = page.records.first().map_or(1, |record| record.sequence);
            let head = Head {
                version: VERSION,
                log: page.log.clone(),
                first,
                last: closed.last,
                after: page.base.as_ref().filter(|_| first > 1).map(signed).transpose()?,
                closed: Some(signed(&closed)?),
            };
            line(out, &Line::Export(Box::new(head)))?;
        }
        let AuditPage { records: found, checkpoints, has_more, .. } = page;
        let mut checkpoints = checkpoints.iter().peekable();
        for record in found.iter().filter(|record| record.sequence <= closed.last) {
            record_line(out, record)?;
            records += 1;
            if let Some(ends) = checkpoints.next_if(|ends| ends.last == record.sequence) {
                line(out, &Line::Checkpoint(Box::new(signed(ends)?)))?;
            }
        }
        after = found.last().map_or(u64::MAX, |record| record.sequence);
        if !has_more || after >= closed.last {
            break;
        }
    }
    out.flush()?;
    Ok(records)
}

fn line(out: &mut impl Write, line: &Line<'_>) -> anyhow::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n")?;
    Ok(())
}

fn record_line(out: &mut impl Write, record: &AuditRecord) -> anyhow::Result<()> {
    let hash = unhex(&record.hash).context("the server sent a hash that is none")?;
    line(
        out,
        &Line::Record(RecordLine {
            sequence: record.sequence,
            at_us: record.at_us,
            code: (&*record.code).into(),
            by: (&*record.by).into(),
            facts: &record.facts,
            hash: Hash(hash),
        }),
    )
}

/// A checkpoint as the server sent it. The two have one form.
fn signed(sent: &Checkpoint) -> anyhow::Result<Signed> {
    Ok(serde_json::from_value(serde_json::to_value(sent)?)?)
}
