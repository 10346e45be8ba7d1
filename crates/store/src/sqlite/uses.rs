//! Table `uses`: how much of the rules of tools is used. The counts that all tenants share have the empty text as
//! tenant, which is no tenant's id.

use fairlane_core::row::UseRow;
use rusqlite::{Connection, params};

use super::codec::{Columns, Fault, to_json};

pub(super) fn put(connection: &Connection, row: &UseRow) -> Result<(), Fault> {
    connection
        .prepare_cached(
            "INSERT INTO uses (tenant, tool, rule, used) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET used = excluded.used",
        )?
        .execute(params![
            row.tenant.as_ref().map_or("", |tenant| tenant.as_str()),
            row.tool.as_str(),
            &*row.rule,
            to_json(&row.used),
        ])?;
    Ok(())
}

pub(super) fn all(connection: &Connection) -> Result<Vec<UseRow>, Fault> {
    let mut statement = connection.prepare(
        "SELECT nullif(tenant, ''), tool, rule, used FROM uses ORDER BY tenant, tool, rule",
    )?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()?.map(Columns) {
        found.push(UseRow {
            tenant: row.optional_name(0)?,
            tool: row.name(1)?,
            rule: row.text(2)?.into(),
            used: row.json(3)?,
        });
    }
    Ok(found)
}
