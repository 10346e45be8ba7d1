//! Table `cells`: who owns the cell, and how far its decision log goes.

use rusqlite::{Connection, params};

use super::codec::{Columns, Fault, signed};
use crate::store::Epoch;

/// The epoch, 0 before the first claim.
pub(super) fn epoch(connection: &Connection) -> Result<Epoch, Fault> {
    let mut statement = connection.prepare_cached("SELECT epoch FROM cells WHERE cell = 0")?;
    let mut rows = statement.query([])?;
    rows.next()?.map_or(Ok(Epoch(0)), |row| Columns(row).unsigned(0).map(Epoch))
}

/// Raises the epoch by one.
pub(super) fn claim(connection: &Connection) -> Result<Epoch, Fault> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO cells (cell, epoch, decisions) VALUES (0, 1, 0)
         ON CONFLICT DO UPDATE SET epoch = epoch + 1 RETURNING epoch",
    )?;
    let epoch = statement.query_one([], |row| Ok(Columns(row).unsigned(0)))??;
    Ok(Epoch(epoch))
}

/// The newest decision's sequence, 0 if there is none.
pub(super) fn decisions(connection: &Connection) -> Result<u64, Fault> {
    let mut statement = connection.prepare_cached("SELECT decisions FROM cells WHERE cell = 0")?;
    let mut rows = statement.query([])?;
    rows.next()?.map_or(Ok(0), |row| Columns(row).unsigned(0))
}

/// Remembers that the log goes as far as this.
pub(super) fn reach(connection: &Connection, sequence: u64) -> Result<(), Fault> {
    connection
        .prepare_cached("UPDATE cells SET decisions = max(decisions, ?1) WHERE cell = 0")?
        .execute(params![signed(sequence)])?;
    Ok(())
}
