//! Tables `reviews` and `review_events`: what people are asked, and what has become of it.

use fairlane_core::id::{ReviewId, TenantId};
use fairlane_core::row::{ReviewEventRow, ReviewRow, ReviewState};
use fairlane_core::tenant::TenantScope;
use rusqlite::{Connection, Params, params};

use super::codec::{Columns, Fault, id_bytes, signed, to_json};
use crate::read::{Page, ReviewQuery, one_more, page_limit};

/// The state stands in a column of its own, since it alone changes when a review is superseded.
pub(super) fn put(connection: &Connection, row: &ReviewRow) -> Result<(), Fault> {
    connection
        .prepare_cached(
            "INSERT INTO reviews (tenant, review, state, ended, body) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT DO UPDATE SET state = excluded.state, ended = excluded.ended, body = excluded.body",
        )?
        .execute(params![
            row.tenant.as_str(),
            id_bytes(row.id.0),
            to_json(&row.state),
            row.ended.map(|ended| signed(ended.0)),
            to_json(row),
        ])?;
    Ok(())
}

pub(super) fn put_event(connection: &Connection, row: &ReviewEventRow) -> Result<(), Fault> {
    connection
        .prepare_cached(
            "INSERT INTO review_events (tenant, review, sequence, at, event) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT DO UPDATE SET at = excluded.at, event = excluded.event",
        )?
        .execute(params![
            row.tenant.as_str(),
            id_bytes(row.review.0),
            row.sequence,
            signed(row.at.0),
            to_json(&row.event),
        ])?;
    Ok(())
}

pub(super) fn supersede(
    connection: &Connection,
    tenant: &TenantId,
    review: ReviewId,
) -> Result<(), Fault> {
    connection
        .prepare_cached("UPDATE reviews SET state = ?3 WHERE tenant = ?1 AND review = ?2")?
        .execute(params![tenant.as_str(), id_bytes(review.0), to_json(&ReviewState::Superseded)])?;
    Ok(())
}

pub(super) const OPEN: &str = "SELECT state, body FROM reviews INDEXED BY reviews_open
     WHERE ended IS NULL ORDER BY tenant, review";

/// Reviews that have not ended, by tenant and id.
pub(super) fn open(connection: &Connection) -> Result<Vec<ReviewRow>, Fault> {
    read(connection, OPEN, [])
}

pub(super) fn one(
    connection: &Connection,
    scope: &TenantScope,
    review: ReviewId,
) -> Result<Option<ReviewRow>, Fault> {
    let sql = "SELECT state, body FROM reviews WHERE tenant = ?1 AND review = ?2";
    let found = read(connection, sql, params![scope.tenant().as_str(), id_bytes(review.0)])?;
    Ok(found.into_iter().next())
}

/// A page, newest first.
pub(super) fn page(
    connection: &Connection,
    scope: &TenantScope,
    query: ReviewQuery,
) -> Result<Page<ReviewRow, ReviewId>, Fault> {
    let limit = page_limit(query.limit);
    let before = query.before.map_or([u8::MAX; 16], |before| id_bytes(before.0));
    let sql = "SELECT state, body FROM reviews WHERE tenant = ?1 AND review < ?2
         ORDER BY review DESC LIMIT ?3";
    let found = read(connection, sql, params![scope.tenant().as_str(), before, one_more(limit)])?;
    Ok(Page::cut(found, limit, |row| row.id))
}

/// The record of a review, oldest entry first.
pub(super) fn events(
    connection: &Connection,
    scope: &TenantScope,
    review: ReviewId,
) -> Result<Vec<ReviewEventRow>, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT sequence, at, event FROM review_events WHERE tenant = ?1 AND review = ?2
         ORDER BY sequence",
    )?;
    let mut rows = statement.query(params![scope.tenant().as_str(), id_bytes(review.0)])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()?.map(Columns) {
        found.push(ReviewEventRow {
            tenant: scope.tenant().clone(),
            review,
            sequence: row.number(0)?,
            at: row.time(1)?,
            event: row.json(2)?,
        });
    }
    Ok(found)
}

fn read(connection: &Connection, sql: &str, values: impl Params) -> Result<Vec<ReviewRow>, Fault> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(values)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()?.map(Columns) {
        let state = row.json(0)?;
        found.push(ReviewRow { state, ..row.json::<ReviewRow>(1)? });
    }
    Ok(found)
}
