//! Table `replans`: how the plans of runs were looked at again. A row has the run's plan since then.

use fairlane_core::id::RunId;
use fairlane_core::replan::ReplanRow;
use fairlane_core::row::RunKey;
use fairlane_core::tenant::TenantScope;
use rusqlite::{Params, params};

use super::codec::{Columns, Fault, id_bytes};
use super::keyring::{Db, Place};

pub(super) fn put(db: Db<'_>, row: &ReplanRow) -> Result<(), Fault> {
    let key = RunKey { tenant: row.tenant.clone(), run: row.run };
    let sealed = db.seal_json(&key, Place::Replan(row.number), row)?;
    db.prepare_cached(
        "INSERT INTO replans (tenant, run, number, sealed) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET sealed = excluded.sealed",
    )?
    .execute(params![row.tenant.as_str(), id_bytes(row.run), row.number, sealed])?;
    Ok(())
}

pub(super) const LIVE: &str =
    "SELECT replans.sealed, replans.tenant, replans.run, replans.number FROM runs INDEXED BY runs_live CROSS JOIN replans
     ON replans.tenant = runs.tenant AND replans.run = runs.run AND replans.number = runs.replans
     WHERE ended IS NULL AND runs.replans > 0 ORDER BY runs.tenant, runs.run";

/// The newest of each run that has not ended, by tenant and run.
pub(super) fn live(db: Db<'_>) -> Result<Vec<ReplanRow>, Fault> {
    read(db, LIVE, [])
}

/// Those of a run, oldest first.
pub(super) fn of_run(db: Db<'_>, scope: &TenantScope, run: RunId) -> Result<Vec<ReplanRow>, Fault> {
    let sql = "SELECT sealed, tenant, run, number FROM replans WHERE tenant = ?1 AND run = ?2 ORDER BY number";
    read(db, sql, params![scope.tenant().as_str(), id_bytes(run)])
}

fn read(db: Db<'_>, sql: &str, params: impl Params) -> Result<Vec<ReplanRow>, Fault> {
    let mut statement = db.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()?.map(Columns) {
        let key = RunKey { tenant: row.name(1)?, run: row.run_id(2)? };
        found.push(db.open_json(&key, Place::Replan(row.number(3)?), &row.bytes(0)?)?);
    }
    Ok(found)
}
