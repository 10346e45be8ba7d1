//! Tables `channels` and `notices`: whom tenants want to be told, and what they are still to be told. Each row is one JSON
//! document under its key. A notice that is delivered has no row.

use fairlane_core::id::{ChannelName, NoticeId, TenantId};
use fairlane_core::notice::{ChannelRow, NoticeRow};
use rusqlite::{Connection, params};
use serde::de::DeserializeOwned;

use super::codec::{Columns, Fault, id_bytes, to_json};

pub(super) fn put_channel(connection: &Connection, row: &ChannelRow) -> Result<(), Fault> {
    connection
        .prepare_cached(
            "INSERT INTO channels (tenant, channel, body) VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET body = excluded.body",
        )?
        .execute(params![row.channel.tenant.as_str(), row.channel.name.as_str(), to_json(row)])?;
    Ok(())
}

pub(super) fn delete_channel(
    connection: &Connection,
    tenant: &TenantId,
    channel: &ChannelName,
) -> Result<(), Fault> {
    connection
        .prepare_cached("DELETE FROM channels WHERE tenant = ?1 AND channel = ?2")?
        .execute(params![tenant.as_str(), channel.as_str()])?;
    Ok(())
}

pub(super) fn put(connection: &Connection, row: &NoticeRow) -> Result<(), Fault> {
    connection
        .prepare_cached(
            "INSERT INTO notices (tenant, notice, body) VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET body = excluded.body",
        )?
        .execute(params![row.tenant.as_str(), id_bytes(row.id.0), to_json(row)])?;
    Ok(())
}

pub(super) fn delete(
    connection: &Connection,
    tenant: &TenantId,
    notice: NoticeId,
) -> Result<(), Fault> {
    connection
        .prepare_cached("DELETE FROM notices WHERE tenant = ?1 AND notice = ?2")?
        .execute(params![tenant.as_str(), id_bytes(notice.0)])?;
    Ok(())
}

/// By tenant and name.
pub(super) fn channels(connection: &Connection) -> Result<Vec<ChannelRow>, Fault> {
    read(connection, "SELECT body FROM channels ORDER BY tenant, channel")
}

/// By tenant and id.
pub(super) fn all(connection: &Connection) -> Result<Vec<NoticeRow>, Fault> {
    read(connection, "SELECT body FROM notices ORDER BY tenant, notice")
}

fn read<T: DeserializeOwned>(connection: &Connection, sql: &str) -> Result<Vec<T>, Fault> {
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(Columns(row).json(0)?);
    }
    Ok(found)
}
