//! New keys: what a root key has wrapped is wrapped by a newer one, and what a tenant's key has wrapped by the tenant's newer one.
//! No payload is read or written.

use std::sync::Arc;

use fairlane_core::id::{RunId, TenantId};
use fairlane_core::row::RunKey;
use rusqlite::{Connection, TransactionBehavior, params};

use super::{Db, Keyring, RunSecret, tenant_key_context};
use crate::seal::RootId;
use crate::sqlite::codec::{Columns, Fault, id_bytes};
use crate::sqlite::notices;

/// A run, and its key as it stands in its row.
type WrappedRun = (RunKey, Arc<[u8]>);

/// How far the runs of tenants with a new key are.
#[derive(Debug, Default)]
pub(super) enum Sweep {
    /// It may be that a tenant has several keys.
    #[default]
    Unknown,
    /// The tenant's runs up to this one are wrapped with its newest key.
    At(TenantId, RunId),
    /// No tenant has several.
    Done,
}

/// Wraps every key of a tenant with the newest root key, in a transaction of its own. Takes time in the number of tenants if the
/// root key is another one than the last time, and nothing otherwise.
pub(in crate::sqlite) fn renew_root(
    connection: &mut Connection,
    keys: &Keyring,
) -> Result<(), Fault> {
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    Db { connection: &tx, keys }.renew_root()?;
    Ok(tx.commit()?)
}

/// Opens every tenant's key, and keeps none. Takes time in the number of tenants.
pub(in crate::sqlite) fn open_all(connection: &Connection, keys: &Keyring) -> Result<(), Fault> {
    let mut statement = connection.prepare("SELECT tenant, version FROM tenant_keys")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()?.map(Columns) {
        let (tenant, version) = (row.name::<TenantId>(0)?, row.number(1)?);
        let db = Db { connection, keys };
        let opened = db.of_tenant(&tenant, version)?;
        opened.ok_or_else(|| Fault::Missing(format!("key {version} of {tenant}")))?;
    }
    keys.forget();
    Ok(())
}

impl Db<'_> {
    /// Wraps every key of a tenant with the newest root key.
    pub(in crate::sqlite) fn renew_root(self) -> Result<(), Fault> {
        let newest = self.keys.roots.newest();
        let mut statement = self
            .prepare("SELECT tenant, version, root, wrapped FROM tenant_keys WHERE root <> ?1")?;
        let mut rows = statement.query([newest.id().0])?;
        let mut renewed = Vec::new();
        while let Some(row) = rows.next()?.map(Columns) {
            let (tenant, version) = (row.name::<TenantId>(0)?, row.number(1)?);
            let id = RootId(row.number(2)?);
            let earlier = self.keys.roots.find(id).ok_or(Fault::UnknownRoot(id))?;
            let context = tenant_key_context(&tenant, version);
            let key = earlier.unwrap(&context, &row.bytes(3)?)?;
            renewed.push((tenant, version, newest.wrap(&context, &key)?));
        }
        for (tenant, version, wrapped) in renewed {
            let set =
                "UPDATE tenant_keys SET root = ?3, wrapped = ?4 WHERE tenant = ?1 AND version = ?2";
            let values = params![tenant.as_str(), version, newest.id().0, wrapped];
            self.prepare_cached(set)?.execute(values)?;
        }
        Ok(())
    }

    /// Gives a tenant a new key. Its new runs have it at once, those that are there in the background: see [`Db::sweep_keys`].
    pub(in crate::sqlite) fn renew_tenant(self, tenant: &TenantId) -> Result<(), Fault> {
        let (version, _) = self.newest_of_tenant(tenant)?;
        self.make_tenant(tenant, version + 1)?;
        *self.keys.sweep() = Sweep::Unknown;
        Ok(())
    }

    /// Wraps the keys of at most so many runs with the newest keys of their tenants, and returns how many it looked at. A key
    /// that wraps nothing any more is destroyed.
    pub(in crate::sqlite) fn sweep_keys(self, rows_max: u32) -> Result<u32, Fault> {
        let (tenant, after) = match &*self.keys.sweep() {
            Sweep::Done => return Ok(0),
            Sweep::At(tenant, after) => (Some(tenant.clone()), *after),
            Sweep::Unknown => (self.tenant_with_several()?, RunId(0)),
        };
        let Some(tenant) = tenant else {
            *self.keys.sweep() = Sweep::Done;
            return Ok(0);
        };
        let (newest, key) = self.newest_of_tenant(&tenant)?;
        let runs = self.wrapped_after(&tenant, after, rows_max)?;
        let last = runs.last().map(|(run, _)| run.run);
        let count = u32::try_from(runs.len()).unwrap_or(u32::MAX);
        for (run, wrapped) in runs {
            if wrapped.starts_with(&newest.to_be_bytes()) {
                continue;
            }
            let secret = self.unwrapped(&run, &wrapped)?;
            let wrapped = self.wrapped(&run, newest, &key, &secret);
            self.prepare_cached("UPDATE runs SET key = ?3 WHERE tenant = ?1 AND run = ?2")?
                .execute(params![run.tenant.as_str(), id_bytes(run.run), &*wrapped])?;
            self.keys.runs().put(run, RunSecret { key: secret, wrapped, is_small: false });
        }
        match last.filter(|_| count == rows_max) {
            Some(last) => *self.keys.sweep() = Sweep::At(tenant, last),
            None => self.destroy_before(&tenant, newest)?,
        }
        Ok(count)
    }

    fn tenant_with_several(self) -> Result<Option<TenantId>, Fault> {
        let mut statement = self.prepare_cached(
            "SELECT tenant FROM tenant_keys GROUP BY tenant HAVING count(*) > 1 LIMIT 1",
        )?;
        let mut rows = statement.query([])?;
        rows.next()?.map(|row| Columns(row).name(0)).transpose()
    }

    fn wrapped_after(
        self,
        tenant: &TenantId,
        after: RunId,
        rows_max: u32,
    ) -> Result<Vec<WrappedRun>, Fault> {
        let mut statement = self.prepare_cached(
            "SELECT run, key FROM runs WHERE tenant = ?1 AND run > ?2 AND key IS NOT NULL
             ORDER BY run LIMIT ?3",
        )?;
        let mut rows = statement.query(params![tenant.as_str(), id_bytes(after), rows_max])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()?.map(Columns) {
            let key = RunKey { tenant: tenant.clone(), run: row.run_id(0)? };
            found.push((key, row.bytes(1)?));
        }
        Ok(found)
    }

    /// All runs of the tenant have its newest key: its channels get it too, and the others go.
    fn destroy_before(self, tenant: &TenantId, newest: u32) -> Result<(), Fault> {
        notices::seal_again(self, tenant)?;
        self.prepare_cached("DELETE FROM tenant_keys WHERE tenant = ?1 AND version < ?2")?
            .execute(params![tenant.as_str(), newest])?;
        if let Some(keys) = self.keys.tenants().get_mut(tenant) {
            keys.retain(|version, _| *version >= newest);
        }
        *self.keys.sweep() = Sweep::Unknown;
        Ok(())
    }
}
