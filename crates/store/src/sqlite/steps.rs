//! Table `steps`.

use fairlane_core::id::{RunId, TenantId};
use fairlane_core::plan::StepIndex;
use fairlane_core::row::{Instance, Part, Payload, RunKey, StepRow};
use fairlane_core::tenant::TenantScope;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::codec::{Columns, Fault, Names, id_bytes, signed, state, state_columns, to_json};
use super::keyring::{Db, Place};
use super::payloads::{self, Slot, place};
use crate::read::Payloads;

/// In the order in which `row` takes them.
macro_rules! columns {
    () => {
        "steps.tenant, steps.run, steps.step, steps.part, state, detail, attempt, fence, since, ready, steps.fault, worked"
    };
}

/// Position of the output where a statement reads it.
const OUTPUT: usize = 12;

macro_rules! output {
    () => {
        "coalesce(output, (SELECT body FROM payloads WHERE payloads.tenant = steps.tenant \
         AND payloads.run = steps.run AND payloads.step = steps.step AND payloads.part = steps.part))"
    };
}

pub(super) fn put(db: Db<'_>, row: &StepRow) -> Result<(), Fault> {
    let slot = Slot::output(row.instance);
    let output = place(db, &row.key, slot, row.output.as_ref())?;
    let (state, detail, failure) = state_columns(&row.state, row.trust);
    let fault = failure.map(|failure| db.seal_json(&row.key, Place::StepFailure(slot), failure));
    db
        .prepare_cached(
            "INSERT INTO steps
             (tenant, run, step, part, state, detail, attempt, fence, since, ready, output, fault, worked)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?13, ?14)
             ON CONFLICT DO UPDATE SET state = excluded.state, detail = excluded.detail,
             attempt = excluded.attempt, fence = excluded.fence, since = excluded.since,
             ready = excluded.ready, output = iif(?12, excluded.output, output), fault = excluded.fault,
             worked = excluded.worked",
        )?
        .execute(params![
            row.key.tenant.as_str(),
            id_bytes(row.key.run),
            row.instance.step.0,
            row.instance.part.code(),
            state,
            detail,
            row.attempt,
            signed(row.fence),
            signed(row.since.0),
            signed(row.ready.0),
            output.bytes,
            output.replace,
            fault.transpose()?,
            (!row.worked.spans().is_empty()).then(|| to_json(&row.worked)),
        ])?;
    Ok(())
}

/// Gives a stored instance its output.
pub(super) fn put_output(
    db: Db<'_>,
    key: &RunKey,
    instance: Instance,
    output: &Payload,
) -> Result<(), Fault> {
    let output = place(db, key, Slot::output(instance), Some(output))?;
    let changed = db
        .prepare_cached(
            "UPDATE steps SET output = ?5 WHERE tenant = ?1 AND run = ?2 AND step = ?3 AND part = ?4",
        )?
        .execute(params![
            key.tenant.as_str(),
            id_bytes(key.run),
            instance.step.0,
            instance.part.code(),
            output.bytes,
        ])?;
    if changed == 0 {
        return Err(Fault::Missing(format!("the step {instance:?} of {key:?}")));
    }
    Ok(())
}

pub(super) fn drop_step(
    connection: &Connection,
    key: &RunKey,
    step: StepIndex,
) -> Result<(), Fault> {
    connection
        .prepare_cached("DELETE FROM steps WHERE tenant = ?1 AND run = ?2 AND step = ?3")?
        .execute(params![key.tenant.as_str(), id_bytes(key.run), step.0])?;
    payloads::drop_step(connection, key, i64::from(step.0))
}

pub(super) const LIVE: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM runs INDEXED BY runs_live CROSS JOIN steps
     ON steps.tenant = runs.tenant AND steps.run = runs.run WHERE ended IS NULL",
);

/// Steps of runs that have not ended, in order of key and instance.
pub(super) fn live(db: Db<'_>) -> Result<Vec<StepRow>, Fault> {
    let mut statement = db.prepare(LIVE)?;
    let mut rows = statement.query([])?;
    let mut tenants = Names::default();
    let mut found = Vec::new();
    while let Some(columns) = rows.next()? {
        found.push(row(db, &mut tenants, Columns(columns), Payloads::Leave)?);
    }
    // They come in this order as it is, and then sorting only looks; asked for in SQL, it would sort each run.
    found.sort_by(|a, b| (&a.key, a.instance).cmp(&(&b.key, b.instance)));
    Ok(found)
}

pub(super) fn of_run(
    db: Db<'_>,
    scope: &TenantScope,
    run: RunId,
    payloads: Payloads,
) -> Result<Vec<StepRow>, Fault> {
    let mut statement = db.prepare_cached(match payloads {
        Payloads::Leave => concat!(
            "SELECT ",
            columns!(),
            " FROM steps WHERE tenant = ?1 AND run = ?2 ORDER BY step, part"
        ),
        Payloads::Read => concat!(
            "SELECT ",
            columns!(),
            ", ",
            output!(),
            " FROM steps WHERE tenant = ?1 AND run = ?2 ORDER BY step, part",
        ),
    })?;
    let mut rows = statement.query(params![scope.tenant().as_str(), id_bytes(run)])?;
    let mut tenants = Names::default();
    let mut found = Vec::new();
    while let Some(columns) = rows.next()?.map(Columns) {
        found.push(row(db, &mut tenants, columns, payloads)?);
    }
    Ok(found)
}

pub(super) fn output(
    db: Db<'_>,
    scope: &TenantScope,
    run: RunId,
    instance: Instance,
) -> Result<Option<Payload>, Fault> {
    let sealed = db
        .prepare_cached(concat!(
            "SELECT ",
            output!(),
            " FROM steps WHERE tenant = ?1 AND run = ?2 AND step = ?3 AND part = ?4",
        ))?
        .query_row(
            params![scope.tenant().as_str(), id_bytes(run), instance.step.0, instance.part.code()],
            |row| Ok(Columns(row).optional_bytes(0)),
        )
        .optional()?;
    let Some(sealed) = sealed.transpose()?.flatten() else { return Ok(None) };
    let key = RunKey { tenant: scope.tenant().clone(), run };
    db.open(&key, Place::Payload(Slot::output(instance)), &sealed).map(|open| Some(open.into()))
}

/// Outputs of a mapped step's items, by position.
pub(super) fn outputs(
    db: Db<'_>,
    scope: &TenantScope,
    run: RunId,
    step: StepIndex,
) -> Result<Vec<(u32, Payload)>, Fault> {
    let mut statement = db.prepare_cached(concat!(
        "SELECT part, ",
        output!(),
        " FROM steps WHERE tenant = ?1 AND run = ?2 AND step = ?3 AND part >= 0 ORDER BY part",
    ))?;
    let mut rows = statement.query(params![scope.tenant().as_str(), id_bytes(run), step.0])?;
    let key = RunKey { tenant: scope.tenant().clone(), run };
    let mut found = Vec::new();
    while let Some(row) = rows.next()?.map(Columns) {
        if let Some(sealed) = row.optional_bytes(1)? {
            let at: u32 = row.number(0)?;
            let slot = Slot::output(Instance { step, part: Part::Item(at) });
            found.push((at, db.open(&key, Place::Payload(slot), &sealed)?.into()));
        }
    }
    Ok(found)
}

fn row(
    db: Db<'_>,
    tenants: &mut Names<TenantId>,
    row: Columns<'_, '_>,
    payloads: Payloads,
) -> Result<StepRow, Fault> {
    let key = RunKey { tenant: tenants.get(row.text(0)?)?, run: row.run_id(1)? };
    let instance =
        Instance { step: StepIndex(row.number(2)?), part: payloads::part(row.number(3)?)? };
    let slot = Slot::output(instance);
    let fault = row.optional_bytes(10)?;
    let failure =
        fault.map(|sealed| db.open_json(&key, Place::StepFailure(slot), &sealed)).transpose()?;
    let (state, trust) = state(row.text(4)?, row.optional_text(5)?, failure)?;
    let sealed = match payloads {
        Payloads::Leave => None,
        Payloads::Read => row.optional_bytes(OUTPUT)?,
    };
    let output = sealed.map(|sealed| db.open(&key, Place::Payload(slot), &sealed)).transpose()?;
    Ok(StepRow {
        key,
        instance,
        state,
        attempt: row.number(6)?,
        fence: row.unsigned(7)?,
        since: row.time(8)?,
        ready: row.time(9)?,
        trust,
        worked: row.optional_json(11)?.unwrap_or_default(),
        output: output.map(Into::into),
    })
}
