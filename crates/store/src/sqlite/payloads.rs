//! Table `payloads`: inputs and outputs too large to stand in their own row.
//!
//! A row is rewritten whole by each update, so a payload above [`INLINE_MAX`] lives here, under its row's key. Its
//! column in the row is NULL then.
//!
//! INVARIANT: a payload stands in its row or here, never in both.

use fairlane_core::row::{Instance, Part, Payload, RunKey};
use rusqlite::{Connection, params};

use super::codec::{Fault, id_bytes};
use super::keyring::{Db, Place};

/// Largest payload inside its row, in bytes before it is sealed. A row above 1,002 bytes spills into one overflow page of its own, so that
/// an update never writes more than two pages for it.
pub(super) const INLINE_MAX: usize = 1024;

/// Which payload of a run: the place of an output is its instance's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    pub(super) step: i64,
    pub(super) part: i64,
}

impl Slot {
    /// No step has this place.
    pub(super) const INPUT: Self = Self { step: -1, part: -1 };

    pub(super) fn output(instance: Instance) -> Self {
        Self { step: i64::from(instance.step.0), part: instance.part.code() }
    }
}

/// What a row's own column gets.
#[derive(Debug)]
pub(super) struct Inline {
    /// False: the column keeps what it has.
    pub(super) replace: bool,
    pub(super) bytes: Option<Vec<u8>>,
}

/// Seals a payload, puts it where it belongs, and says what is left for the row's column.
pub(super) fn place(
    db: Db<'_>,
    key: &RunKey,
    slot: Slot,
    payload: Option<&Payload>,
) -> Result<Inline, Fault> {
    let Some(payload) = payload else {
        return Ok(Inline { replace: false, bytes: None });
    };
    let sealed = db.seal(key, Place::Payload(slot), payload)?;
    if payload.len() > INLINE_MAX {
        db.has_large(key);
        db.prepare_cached(
            "INSERT INTO payloads (tenant, run, step, part, body) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT DO UPDATE SET body = excluded.body",
        )?
        .execute(params![
            key.tenant.as_str(),
            id_bytes(key.run),
            slot.step,
            slot.part,
            sealed
        ])?;
        return Ok(Inline { replace: true, bytes: None });
    }
    if !db.may_have_large(key) {
        return Ok(Inline { replace: true, bytes: Some(sealed) });
    }
    db.prepare_cached(
        "DELETE FROM payloads WHERE tenant = ?1 AND run = ?2 AND step = ?3 AND part = ?4",
    )?
    .execute(params![key.tenant.as_str(), id_bytes(key.run), slot.step, slot.part])?;
    Ok(Inline { replace: true, bytes: Some(sealed) })
}

/// Forgets the large outputs of all instances of a step.
pub(super) fn drop_step(connection: &Connection, key: &RunKey, step: i64) -> Result<(), Fault> {
    connection
        .prepare_cached("DELETE FROM payloads WHERE tenant = ?1 AND run = ?2 AND step = ?3")?
        .execute(params![key.tenant.as_str(), id_bytes(key.run), step])?;
    Ok(())
}

/// The part of a step that a key column names.
pub(super) fn part(code: i64) -> Result<Part, Fault> {
    Part::from_code(code).ok_or_else(|| Fault::Column(format!("{code} is no part of a step")))
}
