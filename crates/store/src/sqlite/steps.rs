//! Table `steps`.

use fairlane_core::id::{RunId, TenantId};
use fairlane_core::plan::StepIndex;
use fairlane_core::row::{Instance, Payload, RunKey, StepRow};
use fairlane_core::tenant::TenantScope;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::codec::{Columns, Fault, Names, id_bytes, signed, state, state_columns};
use super::payloads::{self, Slot, place};
use crate::read::Payloads;

/// In the order in which `row` takes them.
macro_rules! columns {
    () => {
        "steps.tenant, steps.run, steps.step, steps.part, state, detail, attempt, fence, since, ready"
    };
}

/// Position of the output where a statement reads it.
const OUTPUT: usize = 10;

macro_rules! output {
    () => {
        "coalesce(output, (SELECT body FROM payloads WHERE payloads.tenant = steps.tenant \
         AND payloads.run = steps.run AND payloads.step = steps.step AND payloads.part = steps.part))"
    };
}

pub(super) fn put(connection: &Connection, row: &StepRow) -> Result<(), Fault> {
    let output = place(connection, &row.key, Slot::output(row.instance), row.output.as_ref())?;
    let (state, detail) = state_columns(&row.state, row.trust);
    connection
        .prepare_cached(
            "INSERT INTO steps
             (tenant, run, step, part, state, detail, attempt, fence, since, ready, output)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
             ON CONFLICT DO UPDATE SET state = excluded.state, detail = excluded.detail,
             attempt = excluded.attempt, fence = excluded.fence, since = excluded.since,
             ready = excluded.ready, output = iif(?12, excluded.output, output)",
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
        ])?;
    Ok(())
}

/// Gives a stored instance its output.
pub(super) fn put_output(
    connection: &Connection,
    key: &RunKey,
    instance: Instance,
    output: &Payload,
) -> Result<(), Fault> {
    let output = place(connection, key, Slot::output(instance), Some(output))?;
    let changed = connection
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
pub(super) fn live(connection: &Connection) -> Result<Vec<StepRow>, Fault> {
    let mut statement = connection.prepare(LIVE)?;
    let mut rows = statement.query([])?;
    let mut tenants = Names::default();
    let mut found = Vec::new();
    while let Some(columns) = rows.next()? {
        found.push(row(&mut tenants, Columns(columns), None)?);
    }
    // They come in this order as it is, and then sorting only looks; asked for in SQL, it would sort each run.
    found.sort_by(|a, b| (&a.key, a.instance).cmp(&(&b.key, b.instance)));
    Ok(found)
}

pub(super) fn of_run(
    connection: &Connection,
    scope: &TenantScope,
    run: RunId,
    payloads: Payloads,
) -> Result<Vec<StepRow>, Fault> {
    let mut statement = connection.prepare_cached(match payloads {
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
        let output = match payloads {
            Payloads::Leave => None,
            Payloads::Read => columns.optional_bytes(OUTPUT)?,
        };
        found.push(row(&mut tenants, columns, output)?);
    }
    Ok(found)
}

pub(super) fn output(
    connection: &Connection,
    scope: &TenantScope,
    run: RunId,
    instance: Instance,
) -> Result<Option<Payload>, Fault> {
    let found = connection
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
    found.transpose().map(Option::flatten)
}

/// Outputs of a mapped step's items, by position.
pub(super) fn outputs(
    connection: &Connection,
    scope: &TenantScope,
    run: RunId,
    step: StepIndex,
) -> Result<Vec<(u32, Payload)>, Fault> {
    let mut statement = connection.prepare_cached(concat!(
        "SELECT part, ",
        output!(),
        " FROM steps WHERE tenant = ?1 AND run = ?2 AND step = ?3 AND part >= 0 ORDER BY part",
    ))?;
    let mut rows = statement.query(params![scope.tenant().as_str(), id_bytes(run), step.0])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()?.map(Columns) {
        if let Some(output) = row.optional_bytes(1)? {
            found.push((row.number(0)?, output));
        }
    }
    Ok(found)
}

fn row(
    tenants: &mut Names<TenantId>,
    row: Columns<'_, '_>,
    output: Option<Payload>,
) -> Result<StepRow, Fault> {
    let (state, trust) = state(row.text(4)?, row.optional_text(5)?)?;
    Ok(StepRow {
        key: RunKey { tenant: tenants.get(row.text(0)?)?, run: row.run_id(1)? },
        instance: Instance {
            step: StepIndex(row.number(2)?),
            part: payloads::part(row.number(3)?)?,
        },
        state,
        attempt: row.number(6)?,
        fence: row.unsigned(7)?,
        since: row.time(8)?,
        ready: row.time(9)?,
        trust,
        output,
    })
}
