//! Table `runs`.

use std::sync::Arc;

use fairlane_core::erasure::Subject;
use fairlane_core::id::{PersonId, RunId, StepName, TenantId, WorkflowName};
use fairlane_core::row::{Instance, Payload, RunKey, RunMoney, RunRow, RunStatus};
use fairlane_core::tenant::TenantScope;
use rusqlite::{OptionalExtension as _, params};

use super::codec::{
    Columns, Fault, Names, id_bytes, lane, lane_code, signed, status, status_code, to_json,
};
use super::keyring::{Db, Place, RunSecret};
use super::payloads::{Slot, place};
use crate::read::{Facets, Page, Payloads, RunQuery, SCAN_MAX, page_limit};

/// In the order in which `Reading::row` takes them.
macro_rules! columns {
    () => {
        "tenant, run, workflow, version, context, lane, status, outcome, created, ended, deadline, fault, parent, \
         schedule, revision, input_bytes, money, requester, replans, subject, bare, trace"
    };
}

/// Position of the input where a statement reads it.
const INPUT: usize = 22;

macro_rules! input {
    () => {
        "coalesce(input, (SELECT body FROM payloads WHERE payloads.tenant = runs.tenant \
         AND payloads.run = runs.run AND step = -1 AND part = -1))"
    };
}

/// What all writes of a row begin with; `?23` to `?25` are the input, whether it replaces a stored one, and the run's key.
macro_rules! insert {
    () => {
        concat!(
            "INSERT INTO runs (",
            columns!(),
            ", input, key) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18,
             ?19, ?20, ?21, ?22, iif(?24, ?23, NULL), ?25) "
        )
    };
}

const INSERT: &str = concat!(insert!(), "ON CONFLICT DO NOTHING");

const UPSERT: &str = concat!(
    insert!(),
    "ON CONFLICT DO UPDATE SET workflow = excluded.workflow, version = excluded.version,
     context = excluded.context, lane = excluded.lane, status = excluded.status,
     outcome = excluded.outcome, created = excluded.created, ended = excluded.ended,
     deadline = excluded.deadline, fault = excluded.fault, parent = excluded.parent,
     schedule = excluded.schedule, revision = excluded.revision,
     input_bytes = excluded.input_bytes, money = excluded.money,
     requester = excluded.requester, replans = excluded.replans, subject = excluded.subject, bare = excluded.bare,
     trace = excluded.trace,
     input = iif(?24, excluded.input, input)",
);

pub(super) fn put(db: Db<'_>, row: &RunRow) -> Result<(), Fault> {
    // A run comes with its input once, when it is new: then its row need not be looked for.
    if row.input.is_some()
        && let Some(secret) = db.likely_new_run(&row.key)?
    {
        if write(db, INSERT, row, &secret)? == 1 {
            return Ok(());
        }
        db.was_there(&row.key);
    }
    let secret = db.new_run(&row.key)?;
    write(db, UPSERT, row, &secret).map(drop)
}

fn write(db: Db<'_>, sql: &str, row: &RunRow, secret: &RunSecret) -> Result<usize, Fault> {
    let input = place(db, &row.key, Slot::INPUT, row.input.as_ref())?;
    let fault = row.failure.as_ref();
    let fault = fault.map(|failure| db.seal_json(&row.key, Place::RunFailure, failure));
    let written = db.prepare_cached(sql)?.execute(params![
        row.key.tenant.as_str(),
        id_bytes(row.key.run),
        row.workflow.as_str(),
        row.version,
        row.context,
        lane_code(row.lane),
        status_code(row.status),
        row.outcome.map(status_code),
        signed(row.created.0),
        row.ended.map(|time| signed(time.0)),
        row.deadline.map(|time| signed(time.0)),
        fault.transpose()?,
        row.parent.as_ref().map(to_json),
        row.schedule.as_ref().map(StepName::as_str),
        signed(row.revision),
        row.input_bytes,
        (row.money != RunMoney::default()).then(|| to_json(&row.money)),
        row.requester.as_ref().map(PersonId::as_str),
        row.replans,
        row.subject.map(|subject| subject.0),
        row.is_bare,
        row.trace.as_ref().map(to_json),
        input.bytes,
        input.replace,
        &*secret.wrapped,
    ])?;
    Ok(written)
}

pub(super) const LIVE: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM runs INDEXED BY runs_live WHERE ended IS NULL ORDER BY tenant, run",
);

pub(super) const PAGE: &str =
    concat!("SELECT ", columns!(), " FROM runs WHERE tenant = ?1 AND run < ?2 ORDER BY run DESC");

pub(super) const LIVE_PAGE: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM runs INDEXED BY runs_live WHERE tenant = ?1 AND run < ?2 AND ended IS NULL ORDER BY run DESC",
);

/// Runs that have not ended, oldest first.
pub(super) fn live(db: Db<'_>) -> Result<Vec<RunRow>, Fault> {
    let mut statement = db.prepare(LIVE)?;
    let mut rows = statement.query([])?;
    let mut reading = Reading::default();
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(reading.row(db, Columns(row), None)?);
    }
    found.sort_unstable_by(|a, b| {
        (a.created, a.key.run, &a.key.tenant).cmp(&(b.created, b.key.run, &b.key.tenant))
    });
    Ok(found)
}

pub(super) fn one(
    db: Db<'_>,
    scope: &TenantScope,
    run: RunId,
    payloads: Payloads,
) -> Result<Option<RunRow>, Fault> {
    let mut statement = db.prepare_cached(match payloads {
        Payloads::Leave => {
            concat!("SELECT ", columns!(), " FROM runs WHERE tenant = ?1 AND run = ?2")
        }
        Payloads::Read => concat!(
            "SELECT ",
            columns!(),
            ", ",
            input!(),
            " FROM runs WHERE tenant = ?1 AND run = ?2"
        ),
    })?;
    let mut rows = statement.query(params![scope.tenant().as_str(), id_bytes(run)])?;
    let Some(row) = rows.next()?.map(Columns) else { return Ok(None) };
    let input = match payloads {
        Payloads::Leave => None,
        Payloads::Read => row.optional_bytes(INPUT)?,
    };
    Reading::default().row(db, row, input).map(Some)
}

pub(super) const CHILD: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM runs INDEXED BY runs_by_parent WHERE tenant = ?1 AND parent ->> '$.run' = ?2
     AND parent -> '$.instance' = ?3 AND parent IS NOT NULL ORDER BY created DESC, run DESC LIMIT 1",
);

/// The newest run that the instance has called.
pub(super) fn child(
    db: Db<'_>,
    scope: &TenantScope,
    run: RunId,
    instance: Instance,
) -> Result<Option<RunRow>, Fault> {
    let mut statement = db.prepare_cached(CHILD)?;
    let mut rows = statement.query(params![
        scope.tenant().as_str(),
        run.to_string(),
        // As `parent` has it: both are written by `to_json`.
        to_json(&instance),
    ])?;
    let Some(row) = rows.next()?.map(Columns) else { return Ok(None) };
    Reading::default().row(db, row, None).map(Some)
}

pub(super) fn input(db: Db<'_>, scope: &TenantScope, run: RunId) -> Result<Option<Payload>, Fault> {
    let sealed = db
        .prepare_cached(concat!("SELECT ", input!(), " FROM runs WHERE tenant = ?1 AND run = ?2"))?
        .query_row(params![scope.tenant().as_str(), id_bytes(run)], |row| {
            Ok(Columns(row).optional_bytes(0))
        })
        .optional()?;
    let Some(sealed) = sealed.transpose()?.flatten() else { return Ok(None) };
    let key = RunKey { tenant: scope.tenant().clone(), run };
    db.open(&key, Place::Payload(Slot::INPUT), &sealed).map(|open| Some(open.into()))
}

/// A page, newest id first. Looks at [`SCAN_MAX`] rows at most; a live status has its own index, so that it looks at
/// live runs only.
pub(super) fn page(
    db: Db<'_>,
    scope: &TenantScope,
    query: &RunQuery,
) -> Result<Page<RunRow, RunId>, Fault> {
    let live = query.filter.status.is_some_and(|status| !RunStatus::is_ended(status));
    let mut statement = db.prepare_cached(if live { LIVE_PAGE } else { PAGE })?;
    // Nothing is smaller than the largest id but that id itself, which no version of UUID allows.
    let before = query.before.unwrap_or(RunId(u128::MAX));
    let mut rows = statement.query(params![scope.tenant().as_str(), id_bytes(before)])?;
    let mut reading = Reading::default();
    let limit = page_limit(query.limit);
    let mut page = Page { rows: Vec::new(), next: None };
    let mut last = None;
    for _ in 0..SCAN_MAX {
        let Some(row) = rows.next()?.map(Columns) else { return Ok(page) };
        if page.rows.len() == limit {
            page.next = last;
            return Ok(page);
        }
        last = Some(row.run_id(1)?);
        let facets = Facets {
            status: status(row.text(6)?)?,
            workflow: row.text(2)?,
            lane: lane(row.text(5)?)?,
            created: row.time(8)?,
        };
        if query.filter.matches(facets) {
            page.rows.push(reading.row(db, row, None)?);
        }
    }
    page.next = last;
    Ok(page)
}

/// Reads rows, sharing the names that repeat.
#[derive(Debug, Default)]
struct Reading {
    tenants: Names<TenantId>,
    workflows: Names<WorkflowName>,
}

impl Reading {
    /// `input` is sealed.
    fn row(
        &mut self,
        db: Db<'_>,
        row: Columns<'_, '_>,
        input: Option<Arc<[u8]>>,
    ) -> Result<RunRow, Fault> {
        let key = RunKey { tenant: self.tenants.get(row.text(0)?)?, run: row.run_id(1)? };
        let open = |sealed: Arc<[u8]>| db.open(&key, Place::Payload(Slot::INPUT), &sealed);
        let input = input.map(open).transpose()?.map(Payload::from);
        let fault = row.optional_bytes(11)?;
        let failure =
            fault.map(|sealed| db.open_json(&key, Place::RunFailure, &sealed)).transpose()?;
        Ok(RunRow {
            key,
            workflow: self.workflows.get(row.text(2)?)?,
            version: row.number(3)?,
            context: row.number(4)?,
            lane: lane(row.text(5)?)?,
            status: status(row.text(6)?)?,
            outcome: row.optional_text(7)?.map(status).transpose()?,
            created: row.time(8)?,
            ended: row.optional_time(9)?,
            deadline: row.optional_time(10)?,
            failure,
            parent: row.optional_json(12)?,
            schedule: row.optional_name(13)?,
            revision: row.unsigned(14)?,
            input_bytes: row.number(15)?,
            money: row.optional_json(16)?.unwrap_or_default(),
            requester: row.optional_name(17)?,
            replans: row.number(18)?,
            subject: row.optional_id(19)?.map(Subject),
            is_bare: row.unsigned(20)? != 0,
            trace: row.optional_json(21)?,
            input,
        })
    }
}
