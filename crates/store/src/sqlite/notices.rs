//! Tables `channels` and `notices`: whom tenants want to be told, and what they are still to be told. Each row is one JSON
//! document under its key, a channel's sealed: it has a secret. A notice that is delivered has no row.

use fairlane_core::id::{ChannelName, NoticeId, TenantId};
use fairlane_core::notice::{ChannelRow, NoticeRow};
use rusqlite::{Connection, params};

use super::codec::{Columns, Fault, id_bytes, to_json};
use super::keyring::Db;

pub(super) fn put_channel(db: Db<'_>, row: &ChannelRow) -> Result<(), Fault> {
    let (tenant, channel) = (&row.channel.tenant, &row.channel.name);
    let sealed = db.seal_channel(tenant, channel, row)?;
    db.prepare_cached(
        "INSERT INTO channels (tenant, channel, sealed) VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET sealed = excluded.sealed",
    )?
    .execute(params![tenant.as_str(), channel.as_str(), sealed])?;
    Ok(())
}

/// Seals the channels of a tenant with its newest key.
pub(super) fn seal_again(db: Db<'_>, tenant: &TenantId) -> Result<(), Fault> {
    let of = db.prepare_cached("SELECT channel, sealed FROM channels WHERE tenant = ?1");
    let mut statement = of?;
    let mut rows = statement.query([tenant.as_str()])?;
    let mut found: Vec<ChannelRow> = Vec::new();
    while let Some(row) = rows.next()?.map(Columns) {
        found.push(db.open_channel(tenant, &row.name(0)?, &row.bytes(1)?)?);
    }
    found.iter().try_for_each(|row| put_channel(db, row))
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
pub(super) fn channels(db: Db<'_>) -> Result<Vec<ChannelRow>, Fault> {
    let mut statement =
        db.prepare("SELECT tenant, channel, sealed FROM channels ORDER BY tenant, channel")?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()?.map(Columns) {
        found.push(db.open_channel(&row.name(0)?, &row.name(1)?, &row.bytes(2)?)?);
    }
    Ok(found)
}

/// By tenant and id.
pub(super) fn all(connection: &Connection) -> Result<Vec<NoticeRow>, Fault> {
    let mut statement = connection.prepare("SELECT body FROM notices ORDER BY tenant, notice")?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(Columns(row).json(0)?);
    }
    Ok(found)
}
