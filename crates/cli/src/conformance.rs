//! `fairlane conformance`: asks a server for what belongs to another tenant, in every way that its API has, and
//! expects the answers that there are for what does not exist.
//!
//! - `cases` is the table: for each operation, who asks for what.
//! - `fixture` makes two tenants and all that one of them has; `made` undoes it.
//! - `probe` turns the table into requests, and compares answers; `ask` sends them.
//! - `timing` compares how long they took; `report` is what is shown.

mod ask;
mod cases;
mod fixture;
mod made;
mod probe;
mod report;
mod timing;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use anyhow::Context as _;
use clap::Args;
use fairlane_client::Client;
use hyper::Method;
use serde::Deserialize;

use crate::exit::{Interrupted, Negative};
use crate::load::random::Random;
use crate::printer::Printer;
use crate::target::Target;
use ask::{Asked, Asker};
use cases::CASES;
use fixture::Fixture;
use made::Made;
use report::{Attempts, Power, Report, Row, Verdict};
use wire::{Base, Request, Wire};

/// Prove that one tenant cannot see what another one has, nor that it is there
///
/// With an operator's key. It makes two tenants with all that a tenant can have, asks as the one for everything of the other
/// by every operation that the server says it has, and compares the answers with those for what does not exist: status,
/// headers, body and time. At its end it suspends its tenants and deletes its keys; what stays is said.
#[derive(Debug, Args)]
pub(crate) struct Conformance {
    /// Do not compare how long answers take
    #[arg(long)]
    no_timing: bool,
    /// Pairs of answers for each comparison of times
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u16).range(10..=10_000))]
    samples: u16,
    /// Only operations whose method and path contain this
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
}

impl Conformance {
    pub(crate) async fn execute(self, target: &Target) -> anyhow::Result<()> {
        let (client, printer) = (target.client()?, target.printer());
        let base = client.gateway_url();
        let url = base.strip_suffix("/v1").unwrap_or(&base).to_owned();
        let base = Base { url, trust: target.trust()? };
        let made = Made::new(client.clone());
        let interrupted = crate::signals::stop();
        let asked = tokio::select! {
            report = self.ask(&client, &base, &made, printer) => report,
            stopped = interrupted => stopped.map_err(Into::into).and(Err(Interrupted.into())),
        };
        let left = made.undo().await;
        for what in &left.stays {
            printer.note(&format!("stays: {what}"));
        }
        for what in &left.not_undone {
            printer.note(&format!("could not be undone: {what}"));
        }
        let report = Report { left, ..asked? };
        printer.data(&report, Report::render)?;
        if report.passed {
            return Ok(());
        }
        Err(Negative(match report.bad() {
            0 => "the operations are as they have to be, and something else is not".to_owned(),
            bad => format!("{bad} operations are not as they have to be"),
        })
        .into())
    }

    async fn ask(
        &self,
        client: &Client,
        base: &Base,
        made: &Made,
        printer: Printer,
    ) -> anyhow::Result<Report> {
        client.health().await?;
        let mut wire = Wire::new(base)?;
        let of_server = operations(&mut wire).await?;
        let mut random = Random::new(RandomState::new().build_hasher().finish());
        printer.note("Two tenants named conformance-.., with a tier, pools, workflows, runs, reviews, a channel and keys, are made.");
        let fixture = Fixture::make(client, base, made, &mut random).await?;
        let samples = if self.no_timing { 0 } else { usize::from(self.samples) };
        let (requests, attempts) = (0, 0);
        let mut asker = Asker { wire, fixture: &fixture, random, samples, requests, attempts };
        let before = asker.state().await?;
        let mut all: BTreeMap<&'static str, Asked> = BTreeMap::new();
        let is_meant =
            |operation: &str| self.only.as_ref().is_none_or(|text| operation.contains(text));
        let cases = || CASES.iter().filter(|case| of_server.contains_key(case.operation));
        let bar = printer.bar(of_server.len() as u64, "asking");
        for case in cases().filter(|case| is_meant(case.operation)) {
            let probes = probe::derive(case, &fixture, &mut asker.random)?;
            all.insert(case.operation, asker.operation(&probes).await?);
            bar.inc(1);
        }
        bar.finish_and_clear();
        let after = asker.state().await?;
        let changed =
            before.into_iter().filter(|(target, answer)| after.get(target) != Some(answer));
        let changed: Vec<String> = changed.map(|(target, _)| target).collect();
        let comparisons = all.values().map(Asked::comparisons).sum();
        let mut rows = not_matched(&of_server, is_meant);
        for case in cases() {
            if let Some(asked) = all.remove(case.operation) {
                let vain = asker.vain(case, &asked).await?;
                rows.push(asked.row(case.operation, vain, comparisons));
            }
        }
        let timing = (samples > 0).then(|| Power::of(&rows, samples));
        let attempts = Attempts { made: asker.attempts, counted: asker.counted(client).await? };
        let passed = changed.is_empty()
            && attempts.are_counted()
            && rows.iter().all(|row| row.verdict == Verdict::Alike);
        let (requests, left) = (asker.requests, made::Left::default());
        Ok(Report { passed, operations: rows, requests, timing, changed, attempts, left })
    }
}

/// Operations that are on one side only, and those with a parameter that no case tries.
fn not_matched(of_server: &Operations, is_meant: impl Fn(&str) -> bool) -> Vec<Row> {
    let row = |operation: &str, verdict, untried: Vec<String>| Row {
        operation: operation.to_owned(),
        verdict,
        probes: 0,
        requests: 0,
        untried,
        findings: Vec::new(),
        timings: Vec::new(),
    };
    let mut rows = Vec::new();
    for (operation, parameters) in of_server {
        match CASES.iter().find(|case| case.operation == operation) {
            None => rows.push(row(operation, Verdict::NotCovered, Vec::new())),
            Some(case) => {
                let untried = parameters.iter().filter(|name| !case.tries(name));
                let untried: Vec<String> = untried.cloned().collect();
                if !untried.is_empty() {
                    rows.push(row(operation, Verdict::NotCovered, untried));
                }
            }
        }
    }
    let gone = CASES.iter().filter(|case| !of_server.contains_key(case.operation));
    rows.extend(gone.map(|case| row(case.operation, Verdict::Gone, Vec::new())));
    rows.retain(|row| is_meant(&row.operation));
    rows
}

/// Each operation, with the names of what its query and headers can have.
type Operations = BTreeMap<String, BTreeSet<String>>;

/// What the server says that it can be asked.
async fn operations(wire: &mut Wire) -> anyhow::Result<Operations> {
    #[derive(Deserialize)]
    struct Document {
        paths: BTreeMap<String, BTreeMap<String, serde_json::Value>>,
    }
    #[derive(Deserialize)]
    struct Operation {
        #[serde(default)]
        parameters: Vec<Parameter>,
    }
    #[derive(Deserialize)]
    struct Parameter {
        name: String,
        r#in: String,
    }
    let (target, headers, body) = ("/openapi.json".to_owned(), Vec::new(), None);
    let request = Request { method: Method::GET, target, headers, body };
    let (answer, _) = wire.ask(&request, None).await?;
    let no_document = "the server's /openapi.json is not an OpenAPI document";
    let document: Document = serde_json::from_str(&answer.body).context(no_document)?;
    let mut operations = BTreeMap::new();
    for (path, fields) in document.paths {
        for (method, operation) in fields {
            // Besides methods, a path can have fields that hold for all of them.
            let method = method.to_uppercase();
            if !METHODS.contains(&method.as_str()) {
                continue;
            }
            let operation: Operation = serde_json::from_value(operation).context(no_document)?;
            let named = operation.parameters.into_iter().filter(|one| one.r#in != "path");
            let named = named.map(|parameter| parameter.name).collect();
            operations.insert(format!("{method} {path}"), named);
        }
    }
    Ok(operations)
}

const METHODS: [&str; 8] = ["GET", "PUT", "POST", "DELETE", "OPTIONS", "HEAD", "PATCH", "TRACE"];
