//! Table `erasures`: what is to be erased, and what is. And doing it: rows go, and with them the keys that they are sealed with.
//!
//! A legal hold lets it wait.
//!
//! Each is on a [list](List) beside the file before the first row goes. Whoever puts an older copy of the file in its place has the
//! rows again, and not what they were erased by: the list is gone through when the file is opened.

mod list;

use fairlane_core::erasure::{Erased, ErasureRow, Subject};
use fairlane_core::id::{ErasureId, RunId, TenantId};
use fairlane_core::row::RunKey;
use fairlane_core::tenant::TenantScope;
use fairlane_core::time::Time;
use rusqlite::{Connection, OptionalExtension as _, params};

pub(super) use self::list::{List, list_beside};
use super::codec::{Columns, Fault, from_json, id_bytes, signed, to_json};
use super::keyring::Db;
use super::retention::Holds;
use crate::read::{ErasureQuery, Page, page_limit};
use crate::store::{FORGOTTEN_MAX, Forgotten};

/// Erasures that one step looks at.
const OPEN_MAX: usize = 100;
/// Rows after which one step ends: about two milliseconds of the committing thread.
pub(super) const ROWS_MAX: usize = 500;

pub(super) fn put(connection: &Connection, row: &ErasureRow) -> Result<(), Fault> {
    connection
        .prepare_cached(
            "INSERT INTO erasures (tenant, erasure, asked, done, runs, listed, body)
             VALUES (?1, ?2, ?3, ?4, ?5, 0, ?6)
             ON CONFLICT DO UPDATE SET done = excluded.done, runs = excluded.runs, body = excluded.body",
        )?
        .execute(params![
            row.tenant.as_str(),
            id_bytes(row.id.0),
            signed(row.asked.0),
            row.done.map(|time| signed(time.0)),
            signed(row.runs),
            to_json(row),
        ])?;
    Ok(())
}

/// In the order of columns body and runs.
fn row(row: Columns<'_, '_>) -> Result<ErasureRow, Fault> {
    Ok(ErasureRow { runs: row.unsigned(1)?, ..from_json(row.text(0)?)? })
}

fn all(mut rows: rusqlite::Rows<'_>) -> Result<Vec<ErasureRow>, Fault> {
    let mut found = Vec::new();
    while let Some(next) = rows.next()?.map(Columns) {
        found.push(row(next)?);
    }
    Ok(found)
}

/// Those that are not done, oldest first.
pub(super) fn open(connection: &Connection) -> Result<Vec<ErasureRow>, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT body, runs FROM erasures WHERE done IS NULL ORDER BY asked, tenant, erasure",
    )?;
    all(statement.query([])?)
}

/// Some of them, after that one.
fn open_after(
    connection: &Connection,
    after: Option<&(Time, TenantId, ErasureId)>,
) -> Result<Vec<ErasureRow>, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT body, runs FROM erasures INDEXED BY erasures_open
         WHERE done IS NULL AND (asked, tenant, erasure) > (?1, ?2, ?3)
         ORDER BY asked, tenant, erasure LIMIT ?4",
    )?;
    let most = signed(OPEN_MAX as u64);
    all(match after {
        None => statement.query(params![i64::MIN, "", [0_u8; 16], most])?,
        Some((asked, tenant, id)) => {
            statement.query(params![signed(asked.0), tenant.as_str(), id_bytes(id.0), most])?
        }
    })
}

pub(super) fn one(
    connection: &Connection,
    scope: &TenantScope,
    id: ErasureId,
) -> Result<Option<ErasureRow>, Fault> {
    let mut statement = connection
        .prepare_cached("SELECT body, runs FROM erasures WHERE tenant = ?1 AND erasure = ?2")?;
    let of = params![scope.tenant().as_str(), id_bytes(id.0)];
    let found = statement.query_one(of, |found| Ok(row(Columns(found)))).optional()?;
    found.transpose()
}

/// A tenant's, newest first.
pub(super) fn page(
    connection: &Connection,
    scope: &TenantScope,
    query: ErasureQuery,
) -> Result<Page<ErasureRow, ErasureId>, Fault> {
    let limit = page_limit(query.limit);
    let before = query.before.map_or([u8::MAX; 16], |before| id_bytes(before.0));
    let mut statement = connection.prepare_cached(
        "SELECT body, runs FROM erasures WHERE tenant = ?1 AND erasure < ?2
         ORDER BY erasure DESC LIMIT ?3",
    )?;
    let rows = all(statement.query(params![
        scope.tenant().as_str(),
        before,
        signed(limit as u64 + 1)
    ])?)?;
    Ok(Page::cut(rows, limit, |row| row.id))
}

/// Which runs may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    Ended,
    /// No cell has them: the file was not in use.
    All,
}

/// After which of the open erasures the next step goes on, so that those which wait do not keep others from their turn.
pub(super) type Turn = Option<(Time, TenantId, ErasureId)>;

/// Deletes some of what is to be erased. What is gone wholly is named again and again until it is said to be done.
pub(super) fn erase(
    db: Db<'_>,
    (list, which): (&List, Which),
    turn: &mut Turn,
    forgotten: &mut Forgotten,
) -> Result<(), Fault> {
    let next = open_after(&db, turn.as_ref())?;
    if next.is_empty() {
        // Those before it may wait still.
        forgotten.is_waiting = turn.take().is_some();
        return Ok(());
    }
    list.add_unlisted(&db)?;
    let mut held = Holds::default();
    for erasure in &next {
        let room = FORGOTTEN_MAX.saturating_sub(forgotten.runs.len());
        if room == 0 || forgotten.rows >= ROWS_MAX {
            forgotten.has_more = true;
            return Ok(());
        }
        if which == Which::Ended && held.of(&db, &erasure.tenant)? {
            forgotten.is_waiting = true;
        } else if erase_one(db, (erasure, which), room, forgotten)? {
            // The same one goes on with the next step.
            forgotten.has_more = true;
            return Ok(());
        }
        *turn = Some((erasure.asked, erasure.tenant.clone(), erasure.id));
    }
    if next.len() < OPEN_MAX {
        *turn = None;
    } else {
        forgotten.has_more = true;
    }
    Ok(())
}

/// Gives whether more of it could go at once.
fn erase_one(
    db: Db<'_>,
    (erasure, which): (&ErasureRow, Which),
    room: usize,
    forgotten: &mut Forgotten,
) -> Result<bool, Fault> {
    let tenant = &erasure.tenant;
    let (mut found, is_all) = covered(&db, erasure, which, room)?;
    let (deleted, rows) = some_of(&found, |run| delete_run(db, tenant, run))?;
    forgotten.rows += rows;
    let is_all = is_all && deleted == found.len();
    found.truncate(deleted);
    delete_requests(&db, tenant, &found)?;
    let gone = deleted as u64;
    forgotten.runs.extend(found.into_iter().map(|run| RunKey { tenant: tenant.clone(), run }));
    if gone > 0 {
        db.prepare_cached(
            "UPDATE erasures SET runs = runs + ?3 WHERE tenant = ?1 AND erasure = ?2",
        )?
        .execute(params![tenant.as_str(), id_bytes(erasure.id.0), signed(gone)])?;
    }
    if !is_all {
        forgotten.is_waiting = true;
        return Ok(gone > 0);
    }
    if erasure.of == Erased::Tenant {
        delete_rest(db, tenant, erasure.asked)?;
    }
    forgotten.finished.push((tenant.clone(), erasure.id, erasure.runs + gone));
    Ok(false)
}

/// Runs that an erasure is about and that can go now, and whether these are all.
fn covered(
    connection: &Connection,
    erasure: &ErasureRow,
    which: Which,
    room: usize,
) -> Result<(Vec<RunId>, bool), Fault> {
    let tenant = erasure.tenant.as_str();
    let asked = signed(erasure.asked.0);
    let (source, of) = match erasure.of {
        Erased::Run(run) => {
            let found = family(connection, tenant, run)?;
            let all = found.len();
            let may_go = |(_, has_ended): &(RunId, bool)| *has_ended || which == Which::All;
            let mut ready: Vec<RunId> =
                found.into_iter().filter(may_go).map(|(run, _)| run).collect();
            let is_all = ready.len() == all && all <= room;
            ready.truncate(room);
            return Ok((ready, is_all));
        }
        Erased::Subject(Subject(subject)) => {
            ("runs INDEXED BY runs_by_subject WHERE subject = ?3 AND", subject)
        }
        Erased::Tenant => ("runs WHERE ?3 IS NOT NULL AND", [0; 16]),
    };
    let state = match which {
        Which::Ended => "ended IS NOT NULL AND",
        Which::All => "",
    };
    let mut statement = connection.prepare_cached(&format!(
        "SELECT run FROM {source} {state} tenant = ?1 AND created <= ?2 LIMIT ?4"
    ))?;
    let mut rows = statement.query(params![tenant, asked, of, signed(room as u64)])?;
    let mut ready = Vec::new();
    while let Some(row) = rows.next()?.map(Columns) {
        ready.push(row.run_id(0)?);
    }
    let is_left = ready.len() == room
        || which == Which::Ended && {
            let sql = "SELECT EXISTS (SELECT 1 FROM runs INDEXED BY runs_live WHERE tenant = ?1
                     AND ended IS NULL AND created <= ?2 AND (?3 IS NULL OR subject = ?3))";
            let subject = matches!(erasure.of, Erased::Subject(_)).then_some(of);
            connection
                .prepare_cached(sql)?
                .query_one(params![tenant, asked, subject], |row| row.get(0))?
        };
    Ok((ready, !is_left))
}

fn with_state(mut rows: rusqlite::Rows<'_>) -> Result<Vec<(RunId, bool)>, Fault> {
    let mut found = Vec::new();
    while let Some(row) = rows.next()?.map(Columns) {
        found.push((row.run_id(0)?, row.unsigned(1)? != 0));
    }
    Ok(found)
}

/// A run and all that it has called, what was called last first: if some of it has gone, the rest is still found.
fn family(connection: &Connection, tenant: &str, run: RunId) -> Result<Vec<(RunId, bool)>, Fault> {
    let mut found = {
        let mut statement = connection.prepare_cached(
            "SELECT run, ended IS NOT NULL FROM runs WHERE tenant = ?1 AND run = ?2",
        )?;
        with_state(statement.query(params![tenant, id_bytes(run)])?)?
    };
    let mut children = connection.prepare_cached(
        "SELECT run, ended IS NOT NULL FROM runs INDEXED BY runs_by_parent
         WHERE tenant = ?1 AND parent ->> '$.run' = ?2 AND parent IS NOT NULL",
    )?;
    let mut at = 0;
    while let Some((caller, _)) = found.get(at).copied() {
        at += 1;
        let of_caller = children.query(params![tenant, caller.to_string()])?;
        let called = with_state(of_caller)?;
        found.extend(called.into_iter().filter(|(run, _)| *run != caller));
    }
    found.reverse();
    Ok(found)
}

/// What a run has beside its own row and its reviews, in tables whose key begins with the run's.
const BESIDE_RUN: [&str; 4] = [
    "DELETE FROM steps WHERE tenant = ?1 AND run = ?2",
    "DELETE FROM payloads WHERE tenant = ?1 AND run = ?2",
    "DELETE FROM signals WHERE tenant = ?1 AND run = ?2",
    "DELETE FROM replans WHERE tenant = ?1 AND run = ?2",
];

/// Does it for runs until that was much; it says for each how many rows that was. Gives for how many, and how many rows.
pub(super) fn some_of(
    runs: &[RunId],
    mut each: impl FnMut(RunId) -> Result<usize, Fault>,
) -> Result<(usize, usize), Fault> {
    let (mut rows, mut done) = (0, 0);
    for run in runs {
        rows += each(*run)?;
        done += 1;
        if rows >= ROWS_MAX {
            break;
        }
    }
    Ok((done, rows))
}

/// All that there is of a run, but for the idempotency key that led to it. Gives how many rows that was, as do those below.
pub(super) fn delete_run(db: Db<'_>, tenant: &TenantId, run: RunId) -> Result<usize, Fault> {
    let rows = delete_reviews(&db, tenant, run)? + delete_beside(&db, tenant, run)?;
    // The run's key is in its row: what is not found of it cannot be opened any more.
    let sql = "DELETE FROM runs WHERE tenant = ?1 AND run = ?2";
    let own = db.prepare_cached(sql)?.execute(params![tenant.as_str(), id_bytes(run)])?;
    db.was_there(&RunKey { tenant: tenant.clone(), run });
    Ok(rows + own)
}

pub(super) fn delete_beside(
    connection: &Connection,
    tenant: &TenantId,
    run: RunId,
) -> Result<usize, Fault> {
    let of = params![tenant.as_str(), id_bytes(run)];
    BESIDE_RUN
        .iter()
        .try_fold(0, |rows, sql| Ok(rows + connection.prepare_cached(sql)?.execute(of)?))
}

pub(super) fn delete_reviews(
    connection: &Connection,
    tenant: &TenantId,
    run: RunId,
) -> Result<usize, Fault> {
    let of = params![tenant.as_str(), id_bytes(run)];
    let events = connection
        .prepare_cached(
            "DELETE FROM review_events WHERE tenant = ?1 AND review IN
               (SELECT review FROM reviews WHERE tenant = ?1 AND run = ?2)",
        )?
        .execute(of)?;
    let sql = "DELETE FROM reviews WHERE tenant = ?1 AND run = ?2";
    Ok(events + connection.prepare_cached(sql)?.execute(of)?)
}

/// Idempotency keys that led to these runs. Takes time in the tenant's of the last day, once for all of them.
fn delete_requests(
    connection: &Connection,
    tenant: &TenantId,
    runs: &[RunId],
) -> Result<(), Fault> {
    if runs.is_empty() {
        return Ok(());
    }
    let gone: std::collections::BTreeSet<RunId> = runs.iter().copied().collect();
    let mut statement =
        connection.prepare_cached("SELECT key, run FROM idempotency WHERE tenant = ?1")?;
    let mut rows = statement.query([tenant.as_str()])?;
    let mut keys: Vec<String> = Vec::new();
    while let Some(row) = rows.next()?.map(Columns) {
        if gone.contains(&row.run_id(1)?) {
            keys.push(row.text(0)?.to_owned());
        }
    }
    drop(rows);
    let mut delete =
        connection.prepare_cached("DELETE FROM idempotency WHERE tenant = ?1 AND key = ?2")?;
    for key in keys {
        delete.execute(params![tenant.as_str(), key])?;
    }
    Ok(())
}

/// What a tenant has beside its runs. What came in later stays, with the key that it is sealed with.
fn delete_rest(db: Db<'_>, tenant: &TenantId, asked: Time) -> Result<(), Fault> {
    let of = params![tenant.as_str(), signed(asked.0)];
    db.prepare_cached("DELETE FROM idempotency WHERE tenant = ?1 AND created <= ?2")?
        .execute(of)?;
    let is_empty: bool = db
        .prepare_cached(
            "SELECT NOT EXISTS (SELECT 1 FROM runs WHERE tenant = ?1)
                AND NOT EXISTS (SELECT 1 FROM channels WHERE tenant = ?1)",
        )?
        .query_one([tenant.as_str()], |row| row.get(0))?;
    if !is_empty {
        return Ok(());
    }
    for sql in [
        "DELETE FROM notices WHERE tenant = ?1",
        "DELETE FROM contexts WHERE tenant = ?1
           AND version < (SELECT max(version) FROM contexts WHERE tenant = ?1)",
        "DELETE FROM tenant_keys WHERE tenant = ?1",
    ] {
        db.prepare_cached(sql)?.execute([tenant.as_str()])?;
    }
    db.forget_tenant(tenant);
    Ok(())
}

/// What the list names and the file does not know is done again, before anybody sees the rows.
pub(super) fn catch_up(db: Db<'_>, list: &List) -> Result<(), Fault> {
    let mut is_new = false;
    let mut tenants = Vec::new();
    for row in list.read()? {
        let of = params![row.tenant.as_str(), id_bytes(row.id.0)];
        let sql = "SELECT EXISTS (SELECT 1 FROM erasures WHERE tenant = ?1 AND erasure = ?2)";
        if !db.prepare_cached(sql)?.query_one(of, |row| row.get::<_, bool>(0))? {
            put(&db, &row)?;
            db.prepare_cached("UPDATE erasures SET listed = 1 WHERE tenant = ?1 AND erasure = ?2")?
                .execute(of)?;
            is_new = true;
            if row.of == Erased::Tenant {
                tenants.push(row.tenant);
            }
        }
    }
    let mut turn = Turn::default();
    while is_new {
        let mut forgotten = Forgotten::default();
        erase(db, (list, Which::All), &mut turn, &mut forgotten)?;
        is_new = forgotten.has_more;
    }
    // What its declaration said is in the copy again, and the cell that had it forget that is not there.
    for tenant in tenants {
        for sql in [
            "UPDATE tenants SET body = json_set(body, '$.attributes', '{}') WHERE tenant = ?1",
            "UPDATE contexts SET body = json_set(body, '$.attributes', '{}') WHERE tenant = ?1",
        ] {
            db.prepare_cached(sql)?.execute([tenant.as_str()])?;
        }
    }
    Ok(())
}
