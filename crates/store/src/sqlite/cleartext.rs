//! What older versions left in the clear is sealed, once, on the way to the newest schema.
//!
//! A column that is sealed has a new one beside it meanwhile, since its type changes; the old one goes with a later migration.

use fairlane_core::id::ReviewId;
use fairlane_core::row::{Instance, Part, RunKey};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, params, params_from_iter};

use super::codec::{Columns, Fault, id_bytes};
use super::keyring::{Db, Place};
use super::payloads::{Slot, part};

/// How many migrations a file has seen that has the columns for what is sealed, and still those for what is not.
pub(super) const VERSION: i64 = 52;

/// A column that held something in the clear.
struct Clear {
    table: &'static str,
    /// Of the primary key, after tenant and run.
    key: &'static [&'static str],
    from: &'static str,
    to: &'static str,
    place: fn(&[Value]) -> Option<Place>,
}

const ALL: &[Clear] = &[
    Clear { table: "runs", key: &[], from: "input", to: "input", place: |_| Some(INPUT) },
    Clear {
        table: "runs",
        key: &[],
        from: "failure",
        to: "fault",
        place: |_| Some(Place::RunFailure),
    },
    Clear {
        table: "steps",
        key: STEP,
        from: "output",
        to: "output",
        place: |at| slot(at).map(Place::Payload),
    },
    Clear {
        table: "steps",
        key: STEP,
        from: "detail ->> '$.failure'",
        to: "fault",
        place: |at| slot(at).map(Place::StepFailure),
    },
    Clear {
        table: "payloads",
        key: STEP,
        from: "body",
        to: "body",
        place: |at| slot(at).map(Place::Payload),
    },
    Clear {
        table: "signals",
        key: &["sequence"],
        from: "payload",
        to: "payload",
        place: |at| number(at, 0).map(|at| Place::Signal(at.cast_unsigned())),
    },
    Clear {
        table: "reviews",
        key: &["review"],
        from: "body",
        to: "sealed",
        place: |at| review(at).map(Place::Review),
    },
    Clear {
        table: "review_events",
        key: &["review", "sequence"],
        from: "event",
        to: "sealed",
        place: |at| Some(Place::ReviewEvent(review(at)?, number(at, 1)?.try_into().ok()?)),
    },
    Clear {
        table: "replans",
        key: &["number"],
        from: "body",
        to: "sealed",
        place: |at| Some(Place::Replan(number(at, 0)?.try_into().ok()?)),
    },
];

const STEP: &[&str] = &["step", "part"];
const INPUT: Place = Place::Payload(Slot::INPUT);

/// Of which run reviews are stood in their bodies only.
const RUNS_OF_REVIEWS: &str = "UPDATE reviews SET run = unhex(replace(body ->> '$.run', '-', ''));
     UPDATE review_events SET run = (SELECT run FROM reviews
       WHERE reviews.tenant = review_events.tenant AND reviews.review = review_events.review);";

const FAILURES_OF_STEPS: &str =
    "UPDATE steps SET detail = nullif(json_remove(detail, '$.failure'), '{}')
     WHERE detail ->> '$.failure' IS NOT NULL;";

/// Seals everything, in the transaction that is open. Takes time in all that is stored.
pub(super) fn seal(db: Db<'_>) -> Result<(), Fault> {
    for run in runs(db.connection)? {
        let secret = db.new_run(&run)?;
        db.prepare_cached("UPDATE runs SET key = ?3 WHERE tenant = ?1 AND run = ?2")?
            .execute(params![run.tenant.as_str(), id_bytes(run.run), &*secret.wrapped])?;
    }
    db.execute_batch(RUNS_OF_REVIEWS)?;
    ALL.iter().try_for_each(|column| column.seal(db))?;
    db.execute_batch(FAILURES_OF_STEPS)?;
    channels(db)
}

impl Clear {
    fn seal(&self, db: Db<'_>) -> Result<(), Fault> {
        let Self { table, key, from, to, place } = self;
        let columns: String = key.iter().map(|column| format!(", {column}")).collect();
        let all = format!("SELECT tenant, run{columns} FROM {table} WHERE {from} IS NOT NULL");
        let matches = key.iter().zip(4..).map(|(column, at)| format!(" AND {column} = ?{at}"));
        let matches = format!("tenant = ?1 AND run = ?2{}", matches.collect::<String>());
        // The third parameter is the new value, which looking up has none of.
        let one = format!("SELECT {from} FROM {table} WHERE {matches} AND ?3 IS NULL");
        let set = format!("UPDATE {table} SET {to} = ?3 WHERE {matches}");
        for (run, at) in keys(db.connection, &all, key.len())? {
            let values = |text: Value| {
                let tenant = Value::Text(run.tenant.to_string());
                let head = [tenant, Value::Blob(id_bytes(run.run).to_vec()), text];
                params_from_iter(head.into_iter().chain(at.iter().cloned()))
            };
            let strange = || Fault::Column(format!("the key {at:?} of {table} is none"));
            let place = place(&at).ok_or_else(strange)?;
            let mut statement = db.prepare_cached(&one)?;
            let text = statement.query_one(values(Value::Null), |row| row.get(0))?;
            let text = match text {
                Value::Text(text) => text.into_bytes(),
                Value::Blob(bytes) => bytes,
                other => return Err(Fault::Column(format!("{other:?} is no content of {table}"))),
            };
            let sealed = db.seal(&run, place, &text)?;
            db.prepare_cached(&set)?.execute(values(Value::Blob(sealed)))?;
        }
        Ok(())
    }
}

fn runs(connection: &Connection) -> Result<Vec<RunKey>, Fault> {
    let all = keys(connection, "SELECT tenant, run FROM runs", 0)?;
    Ok(all.into_iter().map(|(run, _)| run).collect())
}

fn keys(
    connection: &Connection,
    sql: &str,
    more: usize,
) -> Result<Vec<(RunKey, Vec<Value>)>, Fault> {
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()?.map(Columns) {
        let key = RunKey { tenant: row.name(0)?, run: row.run_id(1)? };
        let rest = (2..2 + more).map(|at| row.number::<Value>(at)).collect::<Result<_, _>>()?;
        found.push((key, rest));
    }
    Ok(found)
}

fn channels(db: Db<'_>) -> Result<(), Fault> {
    let mut statement = db.prepare("SELECT tenant, channel FROM channels")?;
    let names = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let names: Vec<(String, String)> = names.collect::<Result<_, _>>()?;
    for (tenant, channel) in &names {
        let find = "SELECT tenant, channel, body FROM channels WHERE tenant = ?1 AND channel = ?2";
        let row = db
            .query_row(find, [tenant, channel], |row| {
                let row = Columns(row);
                Ok(row.name(0).and_then(|tenant| {
                    Ok((tenant, row.name(1)?, row.json::<serde_json::Value>(2)?))
                }))
            })
            .optional()?;
        let Some((owner, name, body)) = row.transpose()? else { continue };
        let sealed = db.seal_channel(&owner, &name, &body)?;
        let set = "UPDATE channels SET sealed = ?3 WHERE tenant = ?1 AND channel = ?2";
        db.execute(set, params![tenant, channel, sealed])?;
    }
    Ok(())
}

fn number(at: &[Value], which: usize) -> Option<i64> {
    match at.get(which)? {
        Value::Integer(number) => Some(*number),
        _ => None,
    }
}

fn review(at: &[Value]) -> Option<ReviewId> {
    let Value::Blob(bytes) = at.first()? else { return None };
    let bytes: [u8; 16] = bytes.as_slice().try_into().ok()?;
    Some(ReviewId(fairlane_core::id::RunId(u128::from_be_bytes(bytes))))
}

fn slot(at: &[Value]) -> Option<Slot> {
    let (step, code) = (number(at, 0)?, number(at, 1)?);
    if step < 0 {
        return Some(Slot::INPUT);
    }
    let part: Part = part(code).ok()?;
    let step = fairlane_core::plan::StepIndex(step.try_into().ok()?);
    Some(Slot::output(Instance { step, part }))
}
