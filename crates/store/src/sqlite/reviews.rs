//! Tables `reviews` and `review_events`: what people are asked, and what has become of it.

use fairlane_core::id::{ReviewId, TenantId};
use fairlane_core::row::{ReviewEventRow, ReviewRow, ReviewState, RunKey};
use fairlane_core::tenant::TenantScope;
use rusqlite::{Connection, Params, params};

use super::codec::{Columns, Fault, id_bytes, signed, to_json};
use super::keyring::{Db, Place};
use crate::read::{Page, ReviewQuery, one_more, page_limit};

/// The state stands in a column of its own, since it alone changes when a review is superseded.
pub(super) fn put(db: Db<'_>, row: &ReviewRow) -> Result<(), Fault> {
    let key = RunKey { tenant: row.tenant.clone(), run: row.run };
    let sealed = db.seal_json(&key, Place::Review(row.id), row)?;
    db.prepare_cached(
            "INSERT INTO reviews (tenant, review, state, ended, run, sealed) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT DO UPDATE SET state = excluded.state, ended = excluded.ended, run = excluded.run,
             sealed = excluded.sealed",
        )?
        .execute(params![
            row.tenant.as_str(),
            id_bytes(row.id.0),
            to_json(&row.state),
            row.ended.map(|ended| signed(ended.0)),
            id_bytes(row.run),
            sealed,
        ])?;
    Ok(())
}

pub(super) fn put_event(db: Db<'_>, row: &ReviewEventRow) -> Result<(), Fault> {
    let key = RunKey { tenant: row.tenant.clone(), run: row.run };
    let sealed = db.seal_json(&key, Place::ReviewEvent(row.review, row.sequence), &row.event)?;
    db.prepare_cached(
            "INSERT INTO review_events (tenant, review, sequence, at, run, sealed) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT DO UPDATE SET at = excluded.at, run = excluded.run, sealed = excluded.sealed",
        )?
        .execute(params![
            row.tenant.as_str(),
            id_bytes(row.review.0),
            row.sequence,
            signed(row.at.0),
            id_bytes(row.run),
            sealed,
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

pub(super) const OPEN: &str =
    "SELECT state, sealed, tenant, run, review FROM reviews INDEXED BY reviews_open
     WHERE ended IS NULL ORDER BY tenant, review";

/// Reviews that have not ended, by tenant and id.
pub(super) fn open(db: Db<'_>) -> Result<Vec<ReviewRow>, Fault> {
    read(db, OPEN, [])
}

pub(super) fn one(
    db: Db<'_>,
    scope: &TenantScope,
    review: ReviewId,
) -> Result<Option<ReviewRow>, Fault> {
    let sql =
        "SELECT state, sealed, tenant, run, review FROM reviews WHERE tenant = ?1 AND review = ?2";
    let found = read(db, sql, params![scope.tenant().as_str(), id_bytes(review.0)])?;
    Ok(found.into_iter().next())
}

pub(super) const TENANT: &str =
    "SELECT tenant FROM reviews INDEXED BY reviews_by_id WHERE review = ?1 LIMIT 1";

pub(super) fn tenant(connection: &Connection, review: ReviewId) -> Result<Option<TenantId>, Fault> {
    let mut statement = connection.prepare_cached(TENANT)?;
    let mut rows = statement.query([id_bytes(review.0)])?;
    rows.next()?.map(|row| Columns(row).name(0)).transpose()
}

/// A page, newest first.
pub(super) fn page(
    db: Db<'_>,
    scope: &TenantScope,
    query: ReviewQuery,
) -> Result<Page<ReviewRow, ReviewId>, Fault> {
    let limit = page_limit(query.limit);
    let before = query.before.map_or([u8::MAX; 16], |before| id_bytes(before.0));
    let sql =
        "SELECT state, sealed, tenant, run, review FROM reviews WHERE tenant = ?1 AND review < ?2
         ORDER BY review DESC LIMIT ?3";
    let found = read(db, sql, params![scope.tenant().as_str(), before, one_more(limit)])?;
    Ok(Page::cut(found, limit, |row| row.id))
}

/// The record of a review, oldest entry first.
pub(super) fn events(
    db: Db<'_>,
    scope: &TenantScope,
    review: ReviewId,
) -> Result<Vec<ReviewEventRow>, Fault> {
    let mut statement = db.prepare_cached(
        "SELECT sequence, at, run, sealed FROM review_events WHERE tenant = ?1 AND review = ?2
         ORDER BY sequence",
    )?;
    let mut rows = statement.query(params![scope.tenant().as_str(), id_bytes(review.0)])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()?.map(Columns) {
        let key = RunKey { tenant: scope.tenant().clone(), run: row.run_id(2)? };
        let sequence = row.number(0)?;
        found.push(ReviewEventRow {
            run: key.run,
            review,
            sequence,
            at: row.time(1)?,
            event: db.open_json(&key, Place::ReviewEvent(review, sequence), &row.bytes(3)?)?,
            tenant: key.tenant,
        });
    }
    Ok(found)
}

fn read(db: Db<'_>, sql: &str, values: impl Params) -> Result<Vec<ReviewRow>, Fault> {
    let mut statement = db.prepare_cached(sql)?;
    let mut rows = statement.query(values)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()?.map(Columns) {
        let state = row.json(0)?;
        let key = RunKey { tenant: row.name(2)?, run: row.run_id(3)? };
        let place = Place::Review(ReviewId(row.run_id(4)?));
        found.push(ReviewRow { state, ..db.open_json::<ReviewRow>(&key, place, &row.bytes(1)?)? });
    }
    Ok(found)
}
