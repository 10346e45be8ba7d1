//! Table `signals`: the inboxes of runs.

use std::sync::Arc;

use fairlane_core::id::RunId;
use fairlane_core::row::{Instance, RunKey, SignalRow};
use fairlane_core::tenant::TenantScope;
use rusqlite::{Connection, OptionalExtension as _, Rows, params};

use super::codec::{Columns, Fault, Names, id_bytes, signed};
use super::keyring::{Db, Place};
use super::steps;

pub(super) fn put(db: Db<'_>, row: &SignalRow) -> Result<(), Fault> {
    let payload = db.seal(&row.key, Place::Signal(row.sequence), &row.payload)?;
    db
        .prepare_cached(
            "INSERT INTO signals (tenant, run, sequence, name, at, payload) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT DO UPDATE SET name = excluded.name, at = excluded.at, payload = excluded.payload",
        )?
        .execute(params![
            row.key.tenant.as_str(),
            id_bytes(row.key.run),
            signed(row.sequence),
            row.name.as_str(),
            signed(row.at.0),
            payload,
        ])?;
    Ok(())
}

/// Moves a signal's payload to the output of an instance.
pub(super) fn take(
    db: Db<'_>,
    key: &RunKey,
    sequence: u64,
    instance: Instance,
) -> Result<(), Fault> {
    let sealed = db
        .prepare_cached(
            "DELETE FROM signals WHERE tenant = ?1 AND run = ?2 AND sequence = ?3 RETURNING payload",
        )?
        .query_row(params![key.tenant.as_str(), id_bytes(key.run), signed(sequence)], |row| {
            Ok(Columns(row).bytes(0))
        })
        .optional()?
        .ok_or_else(|| Fault::Missing(format!("signal {sequence} of {key:?}")))??;
    let payload = db.open(key, Place::Signal(sequence), &sealed)?;
    steps::put_output(db, key, instance, &payload.into())
}

pub(super) const LIVE: &str = "SELECT signals.tenant, signals.run, sequence, name, at FROM signals
     CROSS JOIN runs ON runs.tenant = signals.tenant AND runs.run = signals.run
     WHERE runs.ended IS NULL ORDER BY signals.tenant, signals.run, signals.sequence";

/// Signals of runs that have not ended, in order of key and sequence, payloads left empty.
pub(super) fn live(connection: &Connection) -> Result<Vec<SignalRow>, Fault> {
    let mut statement = connection.prepare(LIVE)?;
    read(statement.query([])?)
}

/// Signals of one run, in order of their sequence, payloads left empty.
pub(super) fn of_run(
    connection: &Connection,
    scope: &TenantScope,
    run: RunId,
) -> Result<Vec<SignalRow>, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT tenant, run, sequence, name, at FROM signals WHERE tenant = ?1 AND run = ?2 ORDER BY sequence",
    )?;
    read(statement.query(params![scope.tenant().as_str(), id_bytes(run)])?)
}

fn read(mut rows: Rows<'_>) -> Result<Vec<SignalRow>, Fault> {
    let mut tenants = Names::default();
    let empty: Arc<[u8]> = Arc::from([]);
    let mut found = Vec::new();
    while let Some(row) = rows.next()?.map(Columns) {
        found.push(SignalRow {
            key: RunKey { tenant: tenants.get(row.text(0)?)?, run: row.run_id(1)? },
            sequence: row.unsigned(2)?,
            name: row.name(3)?,
            at: row.time(4)?,
            payload: Arc::clone(&empty),
        });
    }
    Ok(found)
}
