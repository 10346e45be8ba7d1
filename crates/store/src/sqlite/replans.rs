//! Table `replans`: how the plans of runs were looked at again. A row has the run's plan since then.

use fairlane_core::id::RunId;
use fairlane_core::replan::ReplanRow;
use fairlane_core::tenant::TenantScope;
use rusqlite::{Connection, Params, params};

use super::codec::{Columns, Fault, from_json, id_bytes, to_json};

pub(super) fn put(connection: &Connection, row: &ReplanRow) -> Result<(), Fault> {
    connection
        .prepare_cached(
            "INSERT INTO replans (tenant, run, number, body) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET body = excluded.body",
        )?
        .execute(params![row.tenant.as_str(), id_bytes(row.run), row.number, to_json(row)])?;
    Ok(())
}

pub(super) const LIVE: &str = "SELECT body FROM runs INDEXED BY runs_live CROSS JOIN replans
     ON replans.tenant = runs.tenant AND replans.run = runs.run AND replans.number = runs.replans
     WHERE ended IS NULL AND runs.replans > 0 ORDER BY runs.tenant, runs.run";

/// The newest of each run that has not ended, by tenant and run.
pub(super) fn live(connection: &Connection) -> Result<Vec<ReplanRow>, Fault> {
    read(connection, LIVE, [])
}

/// Those of a run, oldest first.
pub(super) fn of_run(
    connection: &Connection,
    scope: &TenantScope,
    run: RunId,
) -> Result<Vec<ReplanRow>, Fault> {
    let sql = "SELECT body FROM replans WHERE tenant = ?1 AND run = ?2 ORDER BY number";
    read(connection, sql, params![scope.tenant().as_str(), id_bytes(run)])
}

fn read(connection: &Connection, sql: &str, params: impl Params) -> Result<Vec<ReplanRow>, Fault> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()?.map(Columns) {
        found.push(from_json(row.text(0)?)?);
    }
    Ok(found)
}
