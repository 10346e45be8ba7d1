//! Tables `expiry` and `expiry_late`: how far the clocks of each tenant have gone through its runs.
//!
//! Ids of runs are in the order in which runs came in, and a run ends after that. So each clock goes through a tenant's runs once,
//! oldest first, up to those that came in after its limit: what has ended before the limit goes; what has not is noted as late,
//! and looked at again with each pass. A run needs no row for its time, and nothing is written when it ends. A clock that is
//! changed counts from then on; what is gone is gone.
//!
//! A legal hold stops the clocks, and erasures.

use std::collections::BTreeMap;

use fairlane_audit::Signed;
use fairlane_core::id::{RunId, TenantId, TierName};
use fairlane_core::row::RunKey;
use fairlane_core::tenant::{Rules, Tenant};
use fairlane_core::time::{Span, Time};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::codec::{Columns, Fault, from_json, id_bytes, signed};
use super::erasures::{ROWS_MAX, delete_beside, delete_reviews, delete_run, some_of};
use super::keyring::Db;
use super::resources;
use crate::store::{FORGOTTEN_MAX, Forgotten};

/// Tenants that one step looks at: about two milliseconds if there is nothing to do.
const TENANTS_MAX: usize = 100;
/// From the end of one pass over all tenants to the next.
const PASS_EVERY: Span = Span::from_secs(600);
const DAY: Span = Span::from_secs(24 * 60 * 60);
/// Runs that one step looks at for one clock.
const LOOKED_MAX: usize = 500;
/// Ranges of an audit log that one step deletes.
const RANGES_MAX: usize = 5;

/// What a clock is for. In this order: what is gone wholly needs no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Runs,
    Payloads,
    Reviews,
}

impl What {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Runs => "runs",
            Self::Payloads => "payloads",
            Self::Reviews => "reviews",
        }
    }

    const fn days(self, rules: &Rules) -> Option<u32> {
        match self {
            Self::Runs => rules.run_retention_days,
            Self::Payloads => rules.payload_retention_days,
            Self::Reviews => rules.review_retention_days,
        }
    }
}

/// How far a pass over all tenants is.
#[derive(Debug, Default)]
pub(super) struct Pass {
    after: Option<TenantId>,
    /// When the next one begins.
    next: Option<Time>,
}

fn limit(now: Time, days: u32) -> Time {
    now - Span(DAY.0 * u64::from(days))
}

/// Of which tenants nothing may be deleted, as far as it was asked.
#[derive(Debug, Default)]
pub(super) struct Holds {
    tiers: Option<BTreeMap<TierName, Rules>>,
    known: BTreeMap<TenantId, bool>,
}

impl Holds {
    pub(super) fn of(&mut self, connection: &Connection, tenant: &TenantId) -> Result<bool, Fault> {
        if let Some(known) = self.known.get(tenant) {
            return Ok(*known);
        }
        let mut statement =
            connection.prepare_cached("SELECT body FROM tenants WHERE tenant = ?1")?;
        let body = statement.query_one([tenant.as_str()], |row| row.get::<_, String>(0));
        let is_held = match body.optional()? {
            None => false,
            Some(body) => {
                let tiers = match &mut self.tiers {
                    Some(tiers) => tiers,
                    none => none.insert(tier_rules(connection)?),
                };
                rules(tiers, &from_json(&body)?).legal_hold == Some(true)
            }
        };
        self.known.insert(tenant.clone(), is_held);
        Ok(is_held)
    }
}

fn tier_rules(connection: &Connection) -> Result<BTreeMap<TierName, Rules>, Fault> {
    let tiers = resources::tiers(connection)?;
    Ok(tiers.into_iter().map(|tier| (tier.name, tier.rules)).collect())
}

/// What a tenant says, and where it says nothing its tier.
fn rules(tiers: &BTreeMap<TierName, Rules>, tenant: &Tenant) -> Rules {
    match tiers.get(&tenant.tier) {
        Some(of_tier) => tenant.rules.over(of_tier),
        None => tenant.rules.clone(),
    }
}

/// Deletes some of what was kept for long enough.
pub(super) fn expire(
    db: Db<'_>,
    now: Time,
    pass: &mut Pass,
    forgotten: &mut Forgotten,
) -> Result<(), Fault> {
    if pass.next.is_some_and(|next| now < next) {
        return Ok(());
    }
    let tiers = tier_rules(&db)?;
    let mut statement =
        db.prepare_cached("SELECT body FROM tenants WHERE tenant > ?1 ORDER BY tenant")?;
    let after = pass.after.clone();
    let mut tenants = statement.query([after.as_ref().map_or("", TenantId::as_str)])?;
    for _ in 0..TENANTS_MAX {
        let Some(row) = tenants.next()?.map(Columns) else {
            *pass = Pass { after: None, next: Some(now + PASS_EVERY) };
            return Ok(());
        };
        forgotten.has_more = true;
        if forgotten.runs.len() >= FORGOTTEN_MAX || forgotten.rows >= ROWS_MAX {
            return Ok(());
        }
        let tenant: Tenant = from_json(row.text(0)?)?;
        if expire_of(db, now, (&tenant.id, &rules(&tiers, &tenant)), forgotten)? {
            // The same one goes on with the next step.
            return Ok(());
        }
        pass.after = Some(tenant.id);
    }
    Ok(())
}

/// Gives whether there is more of the tenant.
fn expire_of(
    db: Db<'_>,
    now: Time,
    (tenant, rules): (&TenantId, &Rules),
    forgotten: &mut Forgotten,
) -> Result<bool, Fault> {
    if rules.legal_hold == Some(true) {
        return Ok(false);
    }
    let mut has_more = false;
    for what in [What::Runs, What::Payloads, What::Reviews] {
        let Some(days) = what.days(rules) else { continue };
        let room = FORGOTTEN_MAX.saturating_sub(forgotten.runs.len());
        let (mut due, is_all) = due(&db, (tenant, what), limit(now, days), room)?;
        let (gone, rows) = match what {
            // Idempotency keys of runs as old as that are gone already.
            What::Runs => some_of(&due, |run| delete_run(db, tenant, run))?,
            What::Payloads => some_of(&due, |run| strip(db, tenant, run))?,
            What::Reviews => some_of(&due, |run| drop_reviews(db, tenant, run))?,
        };
        forgotten.rows += rows;
        // The clock has gone by those that there was no time for.
        has_more |= gone < due.len();
        due.split_off(gone).into_iter().try_for_each(|run| note_late(&db, (tenant, what), run))?;
        if !due.is_empty() {
            forgotten.expired.push((tenant.clone(), what.as_str(), due.len() as u64));
        }
        has_more |= !is_all;
        let key = |run| RunKey { tenant: tenant.clone(), run };
        forgotten.runs.extend(due.into_iter().map(key));
    }
    if let Some(days) = rules.audit_retention_days {
        has_more |= expire_log(&db, tenant, limit(now, days), forgotten)?;
    }
    Ok(has_more)
}

/// Runs for which that clock has run out, and whether these are all.
fn due(
    connection: &Connection,
    (tenant, what): (&TenantId, What),
    limit: Time,
    room: usize,
) -> Result<(Vec<RunId>, bool), Fault> {
    let of = params![tenant.as_str(), what.as_str()];
    let mut due = late(connection, (tenant, what), limit, room)?;
    if due.len() >= room {
        return Ok((due, false));
    }
    let mut statement =
        connection.prepare_cached("SELECT run FROM expiry WHERE tenant = ?1 AND what = ?2")?;
    let begun: Option<[u8; 16]> = statement.query_one(of, |row| row.get(0)).optional()?;
    let mut statement = connection.prepare_cached(
        "SELECT run, created, ended FROM runs WHERE tenant = ?1 AND run > ?2 ORDER BY run LIMIT ?3",
    )?;
    let after = begun.unwrap_or_default();
    let mut rows = statement.query(params![tenant.as_str(), after, signed(LOOKED_MAX as u64)])?;
    let (mut last, mut looked, mut is_all) = (None, 0, false);
    while due.len() < room {
        let Some(row) = rows.next()?.map(Columns) else {
            is_all = looked < LOOKED_MAX;
            break;
        };
        let run = row.run_id(0)?;
        if row.time(1)? > limit {
            is_all = true;
            break;
        }
        looked += 1;
        last = Some(run);
        if row.optional_time(2)?.is_some_and(|ended| ended <= limit) {
            due.push(run);
        } else {
            note_late(connection, (tenant, what), run)?;
        }
    }
    if let Some(last) = last {
        connection
            .prepare_cached(
                "INSERT INTO expiry VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET run = excluded.run",
            )?
            .execute(params![tenant.as_str(), what.as_str(), id_bytes(last)])?;
    }
    Ok((due, is_all))
}

/// To be looked at again, although the clock has gone by.
fn note_late(
    connection: &Connection,
    (tenant, what): (&TenantId, What),
    run: RunId,
) -> Result<(), Fault> {
    connection
        .prepare_cached("INSERT OR IGNORE INTO expiry_late VALUES (?1, ?2, ?3)")?
        .execute(params![tenant.as_str(), what.as_str(), id_bytes(run)])?;
    Ok(())
}

/// Those that were not over when the clock came by, and are now.
fn late(
    connection: &Connection,
    (tenant, what): (&TenantId, What),
    limit: Time,
    room: usize,
) -> Result<Vec<RunId>, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT late.run, iif(runs.created IS NULL, 2, runs.ended <= ?3)
         FROM expiry_late AS late LEFT JOIN runs ON runs.tenant = late.tenant AND runs.run = late.run
         WHERE late.tenant = ?1 AND late.what = ?2",
    )?;
    let mut rows = statement.query(params![tenant.as_str(), what.as_str(), signed(limit.0)])?;
    let (mut over, mut gone) = (Vec::new(), Vec::new());
    while over.len() < room
        && let Some(row) = rows.next()?.map(Columns)
    {
        match row.optional_time(1)? {
            Some(Time(1)) => over.push(row.run_id(0)?),
            Some(Time(2)) => gone.push(row.run_id(0)?),
            _ => {}
        }
    }
    drop(rows);
    let mut delete = connection
        .prepare_cached("DELETE FROM expiry_late WHERE tenant = ?1 AND what = ?2 AND run = ?3")?;
    for run in over.iter().chain(&gone) {
        delete.execute(params![tenant.as_str(), what.as_str(), id_bytes(*run)])?;
    }
    Ok(over)
}

/// A run keeps its own row, and the key that its reviews are sealed with.
fn strip(db: Db<'_>, tenant: &TenantId, run: RunId) -> Result<usize, Fault> {
    let beside = delete_beside(&db, tenant, run)?;
    let sql = "UPDATE runs SET input = NULL, fault = NULL, subject = NULL, replans = 0, bare = 1
               WHERE tenant = ?1 AND run = ?2";
    let own = db.prepare_cached(sql)?.execute(params![tenant.as_str(), id_bytes(run)])?;
    destroy_key(db, tenant, run)?;
    Ok(beside + own)
}

fn drop_reviews(db: Db<'_>, tenant: &TenantId, run: RunId) -> Result<usize, Fault> {
    let rows = delete_reviews(&db, tenant, run)?;
    destroy_key(db, tenant, run)?;
    Ok(rows)
}

/// The key of a run of which nothing is left that it has sealed.
fn destroy_key(db: Db<'_>, tenant: &TenantId, run: RunId) -> Result<(), Fault> {
    db.prepare_cached(
        "UPDATE runs SET key = NULL WHERE tenant = ?1 AND run = ?2 AND bare = 1
           AND NOT EXISTS (SELECT 1 FROM reviews WHERE tenant = ?1 AND run = ?2)",
    )?
    .execute(params![tenant.as_str(), id_bytes(run)])?;
    db.was_there(&RunKey { tenant: tenant.clone(), run });
    Ok(())
}

/// Deletes ranges of a log that were closed before the limit; the last of their checkpoints stays, as what the log begins after.
fn expire_log(
    connection: &Connection,
    tenant: &TenantId,
    limit: Time,
    forgotten: &mut Forgotten,
) -> Result<bool, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT body FROM audit_checkpoints WHERE tenant = ?1 ORDER BY last LIMIT ?2",
    )?;
    let most = RANGES_MAX + 1;
    let mut rows = statement.query(params![tenant.as_str(), signed(most as u64)])?;
    let mut closed: Vec<Signed> = Vec::new();
    while let Some(row) = rows.next()?.map(Columns) {
        let next: Signed = from_json(row.text(0)?)?;
        if Time(next.checkpoint.at_us) > limit {
            break;
        }
        closed.push(next);
    }
    drop(rows);
    let Some(last) = closed.last().map(|closed| closed.checkpoint.last) else { return Ok(false) };
    let of = params![tenant.as_str(), signed(last)];
    let sql = "SELECT coalesce(sum(last - first + 1), 0) FROM audit
               WHERE tenant = ?1 AND last <= ?2";
    let records: i64 = connection.prepare_cached(sql)?.query_one(of, |row| row.get(0))?;
    for sql in [
        "DELETE FROM audit WHERE tenant = ?1 AND last <= ?2",
        "DELETE FROM audit_checkpoints WHERE tenant = ?1 AND last < ?2",
    ] {
        connection.prepare_cached(sql)?.execute(of)?;
    }
    if records > 0 {
        forgotten.expired.push((tenant.clone(), "audit", records.unsigned_abs()));
    }
    Ok(closed.len() == most)
}
