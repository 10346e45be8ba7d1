//! The arrivals of a CSV file: `tenant, arrival_ms, service_ms` and, if there is one, `org`, found by the names in
//! the first line. Other columns are passed over.
//!
//! The file is read twice, first to know its tenants and its sums, then row by row while it is replayed: what is
//! kept in memory are the tenants.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use csv::StringRecord;

use crate::exit::Usage;
use crate::load::drive::{ARRIVALS_MAX, Arrival};

const TENANTS_MAX: usize = 100_000;
/// Longest name of a tenant or an organisation.
const NAME_MAX: usize = 64;
/// A thousand years in milliseconds: beyond it a number is a mistake.
const MILLIS_MAX: f64 = 3.2e13;

/// What a file holds, its times not yet divided by the speed.
#[derive(Debug)]
pub(crate) struct Trace {
    path: PathBuf,
    columns: Columns,
    limit_ms: Option<f64>,
    /// In the order of their names.
    pub(crate) tenants: Vec<Tenant>,
    numbers: BTreeMap<String, u32>,
    pub(crate) arrivals: u64,
    pub(crate) work_us: u64,
    /// From the first arrival to the last.
    pub(crate) span: Duration,
    first_ms: f64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tenant {
    pub(crate) id: String,
    /// The organisation; its own name if the file has none.
    pub(crate) org: String,
    pub(crate) arrivals: u64,
    pub(crate) work_us: u64,
}

#[derive(Clone, Copy, Debug)]
struct Columns {
    tenant: usize,
    arrival_ms: usize,
    service_ms: usize,
    org: Option<usize>,
}

/// A row as it stands in the file.
#[derive(Debug, PartialEq)]
struct Row<'a> {
    tenant: &'a str,
    org: Option<&'a str>,
    arrival_ms: f64,
    service_ms: f64,
}

impl Trace {
    /// Reads the whole file once. Arrivals later than `limit_ms` are left out.
    pub(crate) fn read(path: &Path, limit_ms: Option<f64>) -> anyhow::Result<Self> {
        let mut reader = open(path)?;
        let head = reader.headers().with_context(|| cannot_read(path))?.clone();
        let mut trace = Self {
            path: path.to_owned(),
            columns: Columns::find(&head).map_err(|error| wrong(path, 1, &error))?,
            limit_ms,
            tenants: Vec::new(),
            numbers: BTreeMap::new(),
            arrivals: 0,
            work_us: 0,
            span: Duration::ZERO,
            first_ms: 0.0,
        };
        let mut tenants: BTreeMap<String, Tenant> = BTreeMap::new();
        let mut last_ms = 0.0;
        let mut record = StringRecord::new();
        while reader.read_record(&mut record).with_context(|| cannot_read(path))? {
            let line = line_of(&record);
            let row = trace.columns.row(&record).map_err(|error| wrong(path, line, &error))?;
            if trace.is_beyond(&row) {
                break;
            }
            if trace.arrivals == 0 {
                (trace.first_ms, last_ms) = (row.arrival_ms, row.arrival_ms);
            }
            if row.arrival_ms < last_ms {
                let error = format!(
                    "arrival_ms is {}, earlier than {last_ms} in the row before: sort the file by arrival_ms",
                    row.arrival_ms
                );
                return Err(wrong(path, line, &error));
            }
            last_ms = row.arrival_ms;
            trace.arrivals += 1;
            trace.work_us += micros(row.service_ms);
            note(&mut tenants, &row).map_err(|error| wrong(path, line, &error))?;
        }
        trace.span = Duration::from_secs_f64((last_ms - trace.first_ms) / 1_000.0);
        trace.tenants = tenants.into_values().collect();
        trace.number();
        trace.check()?;
        Ok(trace)
    }

    fn number(&mut self) {
        let names = self.tenants.iter().map(|tenant| tenant.id.clone());
        self.numbers = names.zip(0..).collect();
    }

    fn check(&self) -> anyhow::Result<()> {
        let path = self.path.display();
        if self.arrivals == 0 {
            bail!(Usage(format!("{path} has no arrivals")));
        }
        if self.arrivals > ARRIVALS_MAX as u64 {
            bail!(Usage(format!(
                "{path} has {} arrivals, at most {ARRIVALS_MAX} can be replayed at once: shorten it with --limit-ms",
                self.arrivals
            )));
        }
        Ok(())
    }

    fn is_beyond(&self, row: &Row<'_>) -> bool {
        self.limit_ms.is_some_and(|limit| row.arrival_ms > limit)
    }

    /// Slots that are busy on average if every run is served at once.
    #[expect(clippy::cast_precision_loss, reason = "a mean, for a default and a report")]
    pub(crate) fn mean_demand(&self) -> f64 {
        self.work_us as f64 / (self.span.as_secs_f64() * 1e6).max(1.0)
    }

    /// The arrivals, `speed` times as fast and as much shorter, read as they are asked for.
    pub(crate) fn replay(
        &self,
        speed: f64,
    ) -> anyhow::Result<impl Iterator<Item = anyhow::Result<Arrival>> + '_> {
        let records = open(&self.path)?.into_records();
        Ok(records.take(usize::try_from(self.arrivals).unwrap_or(usize::MAX)).map(move |record| {
            let record = record.with_context(|| cannot_read(&self.path))?;
            let at = |error: &String| wrong(&self.path, line_of(&record), error);
            let row = self.columns.row(&record).map_err(|error| at(&error))?;
            let Some(tenant) = self.numbers.get(row.tenant) else {
                return Err(at(&"the file was changed while it was read".to_owned()));
            };
            let due = (row.arrival_ms - self.first_ms).max(0.0) / 1_000.0 / speed;
            let work_us = micros(row.service_ms / speed).max(1);
            Ok(Arrival { due: Duration::from_secs_f64(due), tenant: *tenant, work_us })
        }))
    }
}

impl Columns {
    fn find(head: &StringRecord) -> Result<Self, String> {
        let find = |name: &str| head.iter().position(|column| column == name);
        let need = |name: &str| {
            let names: Vec<&str> = head.iter().collect();
            find(name).ok_or_else(|| {
                format!("the first line has no column {name:?}, only {}", names.join(", "))
            })
        };
        Ok(Self {
            tenant: need("tenant")?,
            arrival_ms: need("arrival_ms")?,
            service_ms: need("service_ms")?,
            org: find("org"),
        })
    }

    fn row<'a>(&self, record: &'a StringRecord) -> Result<Row<'a>, String> {
        let cell = |at: usize, name: &str| {
            record.get(at).ok_or_else(|| format!("the row ends before its {name}"))
        };
        let org = self.org.map(|at| cell(at, "org")).transpose()?.filter(|org| !org.is_empty());
        Ok(Row {
            tenant: name(cell(self.tenant, "tenant")?, "tenant")?,
            org: org.map(|org| name(org, "org")).transpose()?,
            arrival_ms: millis(cell(self.arrival_ms, "arrival_ms")?, "arrival_ms")?,
            service_ms: millis(cell(self.service_ms, "service_ms")?, "service_ms")?,
        })
    }
}

/// Counts a row for its tenant.
fn note(tenants: &mut BTreeMap<String, Tenant>, row: &Row<'_>) -> Result<(), String> {
    if !tenants.contains_key(row.tenant) {
        if tenants.len() == TENANTS_MAX {
            return Err(format!("more than {TENANTS_MAX} tenants"));
        }
        let (id, org) = (row.tenant.to_owned(), row.org.unwrap_or(row.tenant).to_owned());
        tenants.insert(id.clone(), Tenant { id, org, ..Tenant::default() });
    }
    let tenant = tenants.get_mut(row.tenant).expect("it was just inserted");
    if let Some(org) = row.org
        && org != tenant.org
    {
        return Err(format!(
            "{} belongs to {} in an earlier row and to {org} here",
            tenant.id, tenant.org
        ));
    }
    tenant.arrivals += 1;
    tenant.work_us += micros(row.service_ms);
    Ok(())
}

fn open(path: &Path) -> anyhow::Result<csv::Reader<File>> {
    csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .flexible(true)
        .from_path(path)
        .with_context(|| cannot_read(path))
}

fn name<'a>(text: &'a str, column: &str) -> Result<&'a str, String> {
    let allowed =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
    if (1..=NAME_MAX).contains(&text.len()) && text.bytes().all(allowed) {
        return Ok(text);
    }
    Err(format!("{column} is {text:?}: expected 1 to {NAME_MAX} of a-z 0-9 - _"))
}

fn millis(text: &str, column: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if (0.0..=MILLIS_MAX).contains(&value) => Ok(value),
        _ => Err(format!("{column} is {text:?}: expected milliseconds, 0 or more")),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a number of milliseconds between 0 and MILLIS_MAX"
)]
fn micros(millis: f64) -> u64 {
    (millis * 1_000.0) as u64
}

fn line_of(record: &StringRecord) -> u64 {
    record.position().map_or(0, csv::Position::line)
}

fn cannot_read(path: &Path) -> String {
    format!("cannot read {}", path.display())
}

fn wrong(path: &Path, line: u64, error: &str) -> anyhow::Error {
    Usage(format!("{}, line {line}: {error}", path.display())).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    fn error(text: &str) -> String {
        let file = file(text);
        Trace::read(file.path(), None).unwrap_err().to_string()
    }

    #[test]
    fn columns_are_found_by_name_and_others_passed_over() {
        let file =
            file("trigger,service_ms,tenant,arrival_ms\nx,20,b,100\ny,40,a,300\nz,2.5,b,300\n");
        let trace = Trace::read(file.path(), None).unwrap();
        let names: Vec<_> =
            trace.tenants.iter().map(|one| (&*one.id, one.arrivals, one.work_us)).collect();
        assert_eq!(names, [("a", 1, 40_000), ("b", 2, 22_500)]);
        assert_eq!(trace.span, Duration::from_millis(200));
        let arrivals: Vec<Arrival> = trace.replay(10.0).unwrap().map(Result::unwrap).collect();
        assert_eq!(
            arrivals[2],
            Arrival { due: Duration::from_millis(20), tenant: 1, work_us: 250 },
            "ten times as fast, ten times as short"
        );
    }

    #[test]
    fn what_comes_after_the_limit_is_left_out() {
        let file = file("tenant,arrival_ms,service_ms\na,1,1\na,2,1\na,3,1\n");
        let trace = Trace::read(file.path(), Some(2.0)).unwrap();
        assert_eq!((trace.arrivals, trace.replay(1.0).unwrap().count()), (2, 2));
    }

    #[test]
    fn a_bad_row_is_named_by_its_line() {
        let head = "tenant,arrival_ms,service_ms,org";
        for (rows, expected) in [
            ("a,1,1,o\nA b,2,1,o", "line 3: tenant is \"A b\": expected 1 to 64 of a-z 0-9 - _"),
            ("a,1,soon,o", "line 2: service_ms is \"soon\": expected milliseconds, 0 or more"),
            ("a,-1,1,o", "line 2: arrival_ms is \"-1\""),
            ("a,1", "line 2: the row ends before its"),
            ("a,5,1,o\na,4,1,o", "line 3: arrival_ms is 4, earlier than 5 in the row before"),
            ("a,1,1,o\na,2,1,p", "line 3: a belongs to o in an earlier row and to p here"),
        ] {
            let found = error(&format!("{head}\n{rows}\n"));
            assert!(found.contains(expected), "{rows:?}: {found}");
        }
        assert!(
            error("tenant,at\na,1\n")
                .contains("line 1: the first line has no column \"arrival_ms\"")
        );
        assert!(error("tenant,arrival_ms,service_ms\n").contains("has no arrivals"));
    }
}
