//! Table `schedules`: where cron schedules stand.

use fairlane_core::id::{StepName, TenantId, WorkflowName};
use fairlane_core::row::ScheduleRow;
use rusqlite::{Connection, params};

use super::codec::{Columns, Fault, id_bytes, signed};

pub(super) fn put(connection: &Connection, row: &ScheduleRow) -> Result<(), Fault> {
    connection
        .prepare_cached(
            "INSERT INTO schedules (tenant, workflow, name, next, last, queued) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT DO UPDATE SET next = excluded.next, last = excluded.last, queued = excluded.queued",
        )?
        .execute(params![
            row.tenant.as_str(),
            row.workflow.as_str(),
            row.name.as_str(),
            row.next.map(|time| signed(time.0)),
            row.last.map(id_bytes),
            row.queued,
        ])?;
    Ok(())
}

pub(super) fn delete(
    connection: &Connection,
    tenant: &TenantId,
    workflow: &WorkflowName,
    name: &StepName,
) -> Result<(), Fault> {
    connection
        .prepare_cached("DELETE FROM schedules WHERE tenant = ?1 AND workflow = ?2 AND name = ?3")?
        .execute(params![tenant.as_str(), workflow.as_str(), name.as_str()])?;
    Ok(())
}

pub(super) fn all(connection: &Connection) -> Result<Vec<ScheduleRow>, Fault> {
    let mut statement = connection.prepare(
        "SELECT tenant, workflow, name, next, last, queued FROM schedules
         ORDER BY tenant, workflow, name",
    )?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()?.map(Columns) {
        found.push(ScheduleRow {
            tenant: row.name(0)?,
            workflow: row.name(1)?,
            name: row.name(2)?,
            next: row.optional_time(3)?,
            last: row.optional_run_id(4)?,
            queued: row.number(5)?,
        });
    }
    Ok(found)
}
