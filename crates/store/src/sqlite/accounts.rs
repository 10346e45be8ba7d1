//! Table `accounts`: what tenants and organisations have spent, by period. Of `tenant` and `org` one is the empty text,
//! which is no name.

use fairlane_core::calendar::Calendar;
use fairlane_core::money::Nano;
use fairlane_core::row::{AccountRow, Owner};
use fairlane_core::tenant::TenantScope;
use fairlane_core::time::Time;
use rusqlite::{Connection, params};

use super::codec::{Columns, Fault, signed};
use crate::store::ACCOUNTS_LOADED;

pub(super) fn put(connection: &Connection, row: &AccountRow) -> Result<(), Fault> {
    let (tenant, org) = match &row.owner {
        Owner::Tenant(tenant) => (tenant.as_str(), ""),
        Owner::Org(org) => ("", org.as_str()),
    };
    connection
        .prepare_cached(
            "INSERT INTO accounts (tenant, org, every, start, posted, uncertain, topped_up, forgiven)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
             ON CONFLICT DO UPDATE SET posted = excluded.posted, uncertain = excluded.uncertain,
             topped_up = excluded.topped_up, forgiven = excluded.forgiven",
        )?
        .execute(params![
            tenant,
            org,
            row.every.as_str(),
            signed(row.start.0),
            signed(row.posted.0),
            signed(row.uncertain.0),
            signed(row.topped_up.0),
            signed(row.forgiven.0),
        ])?;
    Ok(())
}

/// Accounts of each owner's last periods: those that began within [`ACCOUNTS_LOADED`] before its newest one.
pub(super) fn recent(connection: &Connection) -> Result<Vec<AccountRow>, Fault> {
    let mut statement = connection.prepare(
        "SELECT nullif(tenant, ''), org, every, start, posted, uncertain, topped_up, forgiven
         FROM accounts JOIN (SELECT tenant, org, max(start) AS newest FROM accounts GROUP BY tenant, org)
         USING (tenant, org)
         WHERE start >= newest - ?1 ORDER BY tenant, org, every, start",
    )?;
    all(statement.query([signed(ACCOUNTS_LOADED.0)])?)
}

/// A tenant's accounts that begin then or later, newest first.
pub(super) fn of_tenant(
    connection: &Connection,
    scope: &TenantScope,
    every: Calendar,
    from: Time,
) -> Result<Vec<AccountRow>, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT nullif(tenant, ''), org, every, start, posted, uncertain, topped_up, forgiven
         FROM accounts WHERE tenant = ?1 AND org = '' AND every = ?2 AND start >= ?3 ORDER BY start DESC",
    )?;
    all(statement.query(params![scope.tenant().as_str(), every.as_str(), signed(from.0)])?)
}

fn all(mut rows: rusqlite::Rows<'_>) -> Result<Vec<AccountRow>, Fault> {
    let mut found = Vec::new();
    while let Some(row) = rows.next()?.map(Columns) {
        let owner = match row.optional_name(0)? {
            Some(tenant) => Owner::Tenant(tenant),
            None => Owner::Org(row.name(1)?),
        };
        found.push(AccountRow {
            owner,
            every: every(row.text(2)?)?,
            start: row.time(3)?,
            posted: row.unsigned(4).map(Nano)?,
            uncertain: row.unsigned(5).map(Nano)?,
            topped_up: row.unsigned(6).map(Nano)?,
            forgiven: row.unsigned(7).map(Nano)?,
        });
    }
    Ok(found)
}

fn every(code: &str) -> Result<Calendar, Fault> {
    [Calendar::Day, Calendar::Month]
        .into_iter()
        .find(|every| every.as_str() == code)
        .ok_or_else(|| Fault::Column(format!("{code} is no period of an account")))
}
