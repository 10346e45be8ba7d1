//! Table `cells`: who owns the cell.

use rusqlite::Connection;

use super::codec::{Columns, Fault};
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
        "INSERT INTO cells (cell, epoch) VALUES (0, 1)
         ON CONFLICT DO UPDATE SET epoch = epoch + 1 RETURNING epoch",
    )?;
    let epoch = statement.query_one([], |row| Ok(Columns(row).unsigned(0)))??;
    Ok(Epoch(epoch))
}
