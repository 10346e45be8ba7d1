//! Table `decisions`: the decision log. Rows about the platform have the empty text as tenant, which is no tenant's
//! id, so that no scope reaches them.

use std::sync::Arc;

use fairlane_core::row::DecisionRow;
use fairlane_core::tenant::TenantScope;
use rusqlite::{Connection, params};

use super::codec::{Columns, Fault, signed};
use crate::read::{DecisionQuery, Page, one_more, page_limit};

const PLATFORM: &str = "";

pub(super) fn put(connection: &Connection, row: &DecisionRow) -> Result<(), Fault> {
    connection
        .prepare_cached(
            "INSERT INTO decisions (tenant, sequence, at, code, facts) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT DO UPDATE SET at = excluded.at, code = excluded.code, facts = excluded.facts",
        )?
        .execute(params![
            row.tenant.as_ref().map_or(PLATFORM, |tenant| tenant.as_str()),
            signed(row.sequence),
            signed(row.at.0),
            row.code,
            &*row.facts,
        ])?;
    Ok(())
}

/// A page of a tenant's log, or of the platform's own, newest first.
pub(super) fn page(
    connection: &Connection,
    scope: Option<&TenantScope>,
    query: DecisionQuery,
) -> Result<Page<DecisionRow, u64>, Fault> {
    let tenant = scope.map(|scope| scope.tenant().clone());
    let limit = page_limit(query.limit);
    let mut statement = connection.prepare_cached(
        "SELECT sequence, at, code, facts FROM decisions WHERE tenant = ?1 AND sequence < ?2
         ORDER BY sequence DESC LIMIT ?3",
    )?;
    let mut rows = statement.query(params![
        tenant.as_ref().map_or(PLATFORM, |tenant| tenant.as_str()),
        query.before.map_or(i64::MAX, |before| i64::try_from(before).unwrap_or(i64::MAX)),
        one_more(limit),
    ])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()?.map(Columns) {
        found.push(DecisionRow {
            tenant: tenant.clone(),
            sequence: row.unsigned(0)?,
            at: row.time(1)?,
            code: row.text(2)?.to_owned().into(),
            facts: Arc::from(row.text(3)?),
        });
    }
    Ok(Page::cut(found, limit, |decision| decision.sequence))
}
