//! Table `calls`: calls of models.

use fairlane_core::catalog::{Metered, Usage};
use fairlane_core::id::TenantId;
use fairlane_core::money::Nano;
use fairlane_core::plan::StepIndex;
use fairlane_core::row::{CallAttempt, CallRow, Instance};
use fairlane_core::tenant::TenantScope;
use fairlane_core::time::Time;
use rusqlite::{Connection, params};

use super::codec::{Columns, Fault, Names, id_bytes, signed, to_json};
use super::payloads;
use crate::read::{CallQuery, Page, UsageRow, one_more, page_limit};

/// In the order in which `row` takes them.
macro_rules! columns {
    () => {
        "tenant, id, run, step, part, attempt, model, endpoint, upstream, rung, began, ended, hold, \
         input, cached, output, is_certain, cost, considered"
    };
}

pub(super) fn put(connection: &Connection, row: &CallRow) -> Result<(), Fault> {
    let attempt = row.attempt.as_ref();
    let Metered { usage, is_certain } = row.metered;
    connection
        .prepare_cached(concat!(
            "INSERT INTO calls (",
            columns!(),
            ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)
             ON CONFLICT DO UPDATE SET ended = excluded.ended, hold = excluded.hold,
             input = excluded.input, cached = excluded.cached, output = excluded.output,
             is_certain = excluded.is_certain, cost = excluded.cost",
        ))?
        .execute(params![
            row.tenant.as_str(),
            signed(row.id),
            attempt.map(|made_for| id_bytes(made_for.run)),
            attempt.map(|made_for| made_for.instance.step.0),
            attempt.map(|made_for| made_for.instance.part.code()),
            attempt.map(|made_for| made_for.attempt),
            row.model.as_str(),
            row.endpoint.as_str(),
            &*row.upstream,
            row.rung.as_ref().map(to_json),
            signed(row.began.0),
            row.ended.map(|ended| signed(ended.0)),
            row.hold.as_ref().map(to_json),
            usage.input,
            usage.cached,
            usage.output,
            is_certain,
            signed(row.cost.0),
            (!row.considered.is_nothing()).then(|| to_json(&row.considered)),
        ])?;
    Ok(())
}

/// Calls that are under way.
pub(super) fn open(connection: &Connection) -> Result<Vec<CallRow>, Fault> {
    let mut statement = connection.prepare(concat!(
        "SELECT ",
        columns!(),
        " FROM calls INDEXED BY calls_open WHERE ended IS NULL ORDER BY tenant, id",
    ))?;
    all(statement.query([])?)
}

pub(super) fn page(
    connection: &Connection,
    scope: &TenantScope,
    query: CallQuery,
) -> Result<Page<CallRow, u64>, Fault> {
    let limit = page_limit(query.limit);
    let tenant = scope.tenant().as_str();
    let before = query.before.map_or(i64::MAX, |before| i64::try_from(before).unwrap_or(i64::MAX));
    let found = match query.run {
        None => all(connection
            .prepare_cached(concat!(
                "SELECT ",
                columns!(),
                " FROM calls WHERE tenant = ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3",
            ))?
            .query(params![tenant, before, one_more(limit)])?)?,
        Some(run) => all(connection
            .prepare_cached(concat!(
                "SELECT ",
                columns!(),
                " FROM calls WHERE tenant = ?1 AND run = ?4 AND id < ?2 ORDER BY id DESC LIMIT ?3",
            ))?
            .query(params![tenant, before, one_more(limit), id_bytes(run)])?)?,
    };
    Ok(Page::cut(found, limit, |call| call.id))
}

pub(super) fn usage(
    connection: &Connection,
    scope: &TenantScope,
    from: Time,
    until: Time,
) -> Result<Vec<UsageRow>, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT model, endpoint, upstream, considered ->> 'region' AS region, count(*), sum(input), sum(cached), sum(output),
         sum(cost), sum(iif(is_certain, 0, cost))
         FROM calls WHERE tenant = ?1 AND began >= ?2 AND began < ?3 AND ended IS NOT NULL
         GROUP BY model, endpoint, upstream, region ORDER BY model, endpoint, upstream, region",
    )?;
    let mut rows =
        statement.query(params![scope.tenant().as_str(), signed(from.0), signed(until.0)])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()?.map(Columns) {
        found.push(UsageRow {
            model: row.name(0)?,
            endpoint: row.name(1)?,
            upstream: row.text(2)?.into(),
            region: row.optional_name(3)?,
            calls: row.unsigned(4)?,
            input: row.unsigned(5)?,
            cached: row.unsigned(6)?,
            output: row.unsigned(7)?,
            cost: Nano(row.unsigned(8)?),
            uncertain: Nano(row.unsigned(9)?),
        });
    }
    Ok(found)
}

fn all(mut rows: rusqlite::Rows<'_>) -> Result<Vec<CallRow>, Fault> {
    let mut tenants = Names::default();
    let mut found = Vec::new();
    while let Some(columns) = rows.next()?.map(Columns) {
        found.push(row(&mut tenants, columns)?);
    }
    Ok(found)
}

fn row(tenants: &mut Names<TenantId>, row: Columns<'_, '_>) -> Result<CallRow, Fault> {
    let attempt = match row.optional_run_id(2)? {
        None => None,
        Some(run) => {
            let (step, part) = (StepIndex(row.number(3)?), payloads::part(row.number(4)?)?);
            Some(CallAttempt { run, instance: Instance { step, part }, attempt: row.number(5)? })
        }
    };
    Ok(CallRow {
        tenant: tenants.get(row.text(0)?)?,
        id: row.unsigned(1)?,
        attempt,
        model: row.name(6)?,
        endpoint: row.name(7)?,
        upstream: row.text(8)?.into(),
        rung: row.optional_json(9)?,
        considered: row.optional_json(18)?.unwrap_or_default(),
        began: row.time(10)?,
        ended: row.optional_time(11)?,
        hold: row.optional_json(12)?,
        metered: Metered {
            usage: Usage {
                input: row.number(13)?,
                cached: row.number(14)?,
                output: row.number(15)?,
            },
            is_certain: row.number(16)?,
        },
        cost: Nano(row.unsigned(17)?),
    })
}
