//! Table `idempotency`: what submissions under a key led to.

use std::sync::Arc;

use fairlane_core::row::IdempotencyRow;
use fairlane_core::tenant::TenantScope;
use fairlane_core::time::Time;
use rusqlite::{Connection, params};

use super::codec::{Columns, Fault, id_bytes, signed};
use crate::read::{Page, one_more, page_limit};

pub(super) fn put(connection: &Connection, row: &IdempotencyRow) -> Result<(), Fault> {
    connection
        .prepare_cached(
            "INSERT INTO idempotency (tenant, key, digest, run, created) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT DO UPDATE SET digest = excluded.digest, run = excluded.run, created = excluded.created",
        )?
        .execute(params![
            row.tenant.as_str(),
            &*row.key,
            row.digest,
            id_bytes(row.run),
            signed(row.created.0),
        ])?;
    Ok(())
}

pub(super) fn one(
    connection: &Connection,
    scope: &TenantScope,
    key: &str,
) -> Result<Option<IdempotencyRow>, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT digest, run, created FROM idempotency WHERE tenant = ?1 AND key = ?2",
    )?;
    let mut rows = statement.query(params![scope.tenant().as_str(), key])?;
    let Some(row) = rows.next()?.map(Columns) else { return Ok(None) };
    Ok(Some(IdempotencyRow {
        tenant: scope.tenant().clone(),
        key: Arc::from(key),
        digest: row.digest(0)?,
        run: row.run_id(1)?,
        created: row.time(2)?,
    }))
}

pub(super) fn keys(
    connection: &Connection,
    scope: &TenantScope,
    after: Option<&str>,
    limit: u32,
) -> Result<Page<Arc<str>, Arc<str>>, Fault> {
    let limit = page_limit(limit);
    let mut statement = connection.prepare_cached(
        "SELECT key FROM idempotency WHERE tenant = ?1 AND key > ?2 ORDER BY key LIMIT ?3",
    )?;
    // No key is empty, so that the empty text stands before all of them.
    let after = after.unwrap_or_default();
    let tenant = scope.tenant().as_str();
    let keys = statement.query_map(params![tenant, after, one_more(limit)], |row| row.get(0))?;
    Ok(Page::cut(keys.collect::<Result<_, _>>()?, limit, Arc::clone))
}

/// Deletes rows created before `limit`, oldest first, at most `rows_max`.
pub(super) fn sweep(connection: &Connection, limit: Time, rows_max: u32) -> Result<u32, Fault> {
    let swept = connection
        .prepare_cached(
            "DELETE FROM idempotency WHERE (tenant, key) IN
             (SELECT tenant, key FROM idempotency WHERE created < ?1 ORDER BY created LIMIT ?2)",
        )?
        .execute(params![signed(limit.0), rows_max])?;
    Ok(u32::try_from(swept).expect("no more rows than the limit are deleted"))
}
