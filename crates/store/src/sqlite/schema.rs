//! The schema and how a file comes to it: numbered migrations, forward only, one statement each.
//!
//! `PRAGMA user_version` is the number of migrations that a file has seen. A new file gets `schema.sql` at once, and a
//! test compares that with the chain. To change the schema, change `schema.sql` and append a migration; those that
//! were released are never edited.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::codec::Fault;
use super::keyring::{Db, Keyring};
use super::{audit, cleartext};
use crate::error::Error;

/// The newest schema.
pub(super) const FRESH: &str = include_str!("../../schema.sql");

/// What led to it, oldest first.
pub(super) const MIGRATIONS: &[&str] = &[
    include_str!("../../migrations/0001_cells.sql"),
    include_str!("../../migrations/0002_orgs.sql"),
    include_str!("../../migrations/0003_tiers.sql"),
    include_str!("../../migrations/0004_tenants.sql"),
    include_str!("../../migrations/0005_contexts.sql"),
    include_str!("../../migrations/0006_pools.sql"),
    include_str!("../../migrations/0007_valves.sql"),
    include_str!("../../migrations/0008_workflows.sql"),
    include_str!("../../migrations/0009_keys.sql"),
    include_str!("../../migrations/0010_runs.sql"),
    include_str!("../../migrations/0011_steps.sql"),
    include_str!("../../migrations/0012_payloads.sql"),
    include_str!("../../migrations/0013_signals.sql"),
    include_str!("../../migrations/0014_idempotency.sql"),
    include_str!("../../migrations/0015_schedules.sql"),
    include_str!("../../migrations/0016_decisions.sql"),
    include_str!("../../migrations/0017_idempotency_by_age.sql"),
    include_str!("../../migrations/0018_runs_live.sql"),
    include_str!("../../migrations/0019_runs_by_parent.sql"),
    include_str!("../../migrations/0020_runs_money.sql"),
    include_str!("../../migrations/0021_tools.sql"),
    include_str!("../../migrations/0022_budget_classes.sql"),
    include_str!("../../migrations/0023_uses.sql"),
    include_str!("../../migrations/0024_accounts.sql"),
    include_str!("../../migrations/0025_models.sql"),
    include_str!("../../migrations/0026_prices.sql"),
    include_str!("../../migrations/0027_calls.sql"),
    include_str!("../../migrations/0028_calls_by_time.sql"),
    include_str!("../../migrations/0029_calls_by_run.sql"),
    include_str!("../../migrations/0030_calls_open.sql"),
    include_str!("../../migrations/0031_residency.sql"),
    include_str!("../../migrations/0032_calls_considered.sql"),
    include_str!("../../migrations/0033_policies.sql"),
    include_str!("../../migrations/0034_runs_requester.sql"),
    include_str!("../../migrations/0035_reviewer_pools.sql"),
    include_str!("../../migrations/0036_reviews.sql"),
    include_str!("../../migrations/0037_review_events.sql"),
    include_str!("../../migrations/0038_reviews_open.sql"),
    include_str!("../../migrations/0039_runs_replans.sql"),
    include_str!("../../migrations/0040_replans.sql"),
    include_str!("../../migrations/0041_channels.sql"),
    include_str!("../../migrations/0042_notices.sql"),
    include_str!("../../migrations/0043_tenant_keys.sql"),
    include_str!("../../migrations/0044_runs_key.sql"),
    include_str!("../../migrations/0045_runs_fault.sql"),
    include_str!("../../migrations/0046_steps_fault.sql"),
    include_str!("../../migrations/0047_reviews_run.sql"),
    include_str!("../../migrations/0048_reviews_sealed.sql"),
    include_str!("../../migrations/0049_review_events_run.sql"),
    include_str!("../../migrations/0050_review_events_sealed.sql"),
    include_str!("../../migrations/0051_replans_sealed.sql"),
    include_str!("../../migrations/0052_channels_sealed.sql"),
    include_str!("../../migrations/0053_runs_failure.sql"),
    include_str!("../../migrations/0054_reviews_body.sql"),
    include_str!("../../migrations/0055_review_events_event.sql"),
    include_str!("../../migrations/0056_replans_body.sql"),
    include_str!("../../migrations/0057_channels_body.sql"),
    include_str!("../../migrations/0058_reviews_by_id.sql"),
    include_str!("../../migrations/0059_audit.sql"),
    include_str!("../../migrations/0060_audit_checkpoints.sql"),
    include_str!("../../migrations/0061_audit_checkpoints_by_ordinal.sql"),
    include_str!("../../migrations/0062_decisions_to_audit.sql"),
    include_str!("../../migrations/0063_cells_without_decisions.sql"),
    include_str!("../../migrations/0064_keys_expires.sql"),
    include_str!("../../migrations/0065_audit_open.sql"),
    include_str!("../../migrations/0066_runs_subject.sql"),
    include_str!("../../migrations/0067_runs_by_subject.sql"),
    include_str!("../../migrations/0068_reviews_by_run.sql"),
    include_str!("../../migrations/0069_erasures.sql"),
    include_str!("../../migrations/0070_erasures_open.sql"),
    include_str!("../../migrations/0071_runs_bare.sql"),
    include_str!("../../migrations/0072_expiry.sql"),
    include_str!("../../migrations/0073_expiry_late.sql"),
    include_str!("../../migrations/0074_keys_sign_in.sql"),
    include_str!("../../migrations/0075_keys_rate.sql"),
    include_str!("../../migrations/0076_runs_trace.sql"),
    include_str!("../../migrations/0077_steps_worked.sql"),
];

/// The version that this program writes.
#[expect(clippy::cast_possible_wrap, reason = "there are few migrations")]
pub(super) const VERSION: i64 = MIGRATIONS.len() as i64;

pub(super) fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Fills an empty database.
pub(super) fn create(connection: &mut Connection) -> Result<(), Fault> {
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    tx.execute_batch(FRESH)?;
    tx.pragma_update(None, "user_version", VERSION)?;
    Ok(tx.commit()?)
}

/// Brings a file of an older version up to `version`, in one transaction.
pub(super) fn migrate(
    connection: &mut Connection,
    (region, keys): (&str, &Keyring),
    from: i64,
    version: i64,
) -> Result<(), Fault> {
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for (migration, number) in MIGRATIONS.iter().zip(1..) {
        if from < number && number <= version {
            tx.execute_batch(migration)?;
            if number == cleartext::VERSION {
                cleartext::seal(Db { connection: &tx, keys })?;
            }
            if number == audit::VERSION {
                audit::adopt(&tx, region)?;
            }
        }
    }
    tx.pragma_update(None, "user_version", version)?;
    Ok(tx.commit()?)
}

/// The version of a file, if this program can use it.
pub(super) fn supported(found: i64, path: &Path) -> Result<i64, Error> {
    match found {
        0..=VERSION => Ok(found),
        ..0 => Err(Error::Corrupt {
            path: path.to_owned(),
            detail: format!("its schema version is {found}"),
        }),
        _ => Err(Error::NewerSchema { path: path.to_owned(), found, supported: VERSION }),
    }
}
