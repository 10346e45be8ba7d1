//! The operator's side: pools, the valve, keys, readings, health; and the worker exchange.

use std::time::Duration;

use fairlane_api::audit::{AuditKey, AuditPage, AuditProof, Checkpoint};
use fairlane_api::key::{CreatedKey, Key, Me, NewKey, RootKey};
use fairlane_api::page::Page;
use fairlane_api::platform::{Decision, Health};
use fairlane_api::reading::{Overview, Readings};
use fairlane_api::resource::{Applied, Pool, PoolSpec, Valve, ValveSpec};
use fairlane_api::worker::{Exchange, Exchanged};
use hyper::Method;

use crate::client::{Call, Path};
use crate::{Client, Error, Write};

/// Pools and the valve.
impl Client {
    pub async fn put_pool(
        &self,
        name: &str,
        spec: &PoolSpec,
        write: Write,
    ) -> Result<Applied, Error> {
        self.put(&["v1", "platform", "pools", name], spec, write).await
    }

    /// A pool, with what it holds now.
    pub async fn pool(&self, name: &str) -> Result<Pool, Error> {
        self.get(&["v1", "platform", "pools", name]).await
    }

    pub async fn pools(&self) -> Result<Vec<Pool>, Error> {
        self.list(&["v1", "platform", "pools"]).await
    }

    pub async fn put_valve(&self, spec: &ValveSpec, write: Write) -> Result<Applied, Error> {
        self.put(&["v1", "platform", "valve"], spec, write).await
    }

    pub async fn valve(&self) -> Result<Valve, Error> {
        self.get(&["v1", "platform", "valve"]).await
    }
}

/// API keys.
impl Client {
    /// Makes a key. The answer is the only place where its secret stands.
    pub async fn create_key(&self, new: &NewKey) -> Result<CreatedKey, Error> {
        let path = Path::new(&["v1", "platform", "keys"]);
        self.call(Call::post(path.into_string()).json(new)?).await
    }

    pub async fn keys(&self) -> Result<Vec<Key>, Error> {
        self.list(&["v1", "platform", "keys"]).await
    }

    /// Says who asks, and what keys the credential opens.
    pub async fn me(&self) -> Result<Me, Error> {
        self.get(&["v1", "me"]).await
    }

    /// Names the root key.
    pub async fn root_key(&self) -> Result<RootKey, Error> {
        self.get(&["v1", "platform", "root-key"]).await
    }

    /// Makes a new root key, and wraps the keys of all tenants with it.
    pub async fn rotate_root_key(&self) -> Result<RootKey, Error> {
        let path = Path::new(&["v1", "platform", "root-key", "rotate"]);
        self.call(Call::post(path.into_string())).await
    }

    /// Gives a tenant a new key; its runs have it in a while.
    pub async fn rotate_tenant_key(&self, tenant: &str) -> Result<(), Error> {
        let path = Path::new(&["v1", "platform", "tenants", tenant, "key", "rotate"]);
        self.call_raw(Call::post(path.into_string())).await.map(drop)
    }

    /// Drops a key, which stops working at once.
    pub async fn delete_key(&self, id: &str) -> Result<(), Error> {
        let path = Path::new(&["v1", "platform", "keys", id]);
        self.call_raw(Call::new(Method::DELETE, path.into_string())).await.map(drop)
    }
}

/// Readings and probes.
impl Client {
    /// One tenant's numbers.
    pub async fn readings(&self, tenant: &str) -> Result<Readings, Error> {
        self.get(&["v1", "tenants", tenant, "readings"]).await
    }

    /// The numbers of all tenants.
    pub async fn all_readings(&self) -> Result<Vec<Readings>, Error> {
        self.list(&["v1", "platform", "tenants"]).await
    }

    /// Whether the platform is well and fair in a region, the server's first one if none is named.
    pub async fn overview(&self, region: Option<&str>) -> Result<Overview, Error> {
        let path = Path::new(&["v1", "platform", "overview"]).query("region", region);
        self.call(Call::get(path.into_string())).await
    }

    /// One page of the decision log, newest first: about one tenant, or about the platform.
    /// `cursor` is `next` of the page before.
    pub async fn decisions(
        &self,
        tenant: Option<&str>,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<Decision>, Error> {
        let path = match tenant {
            Some(tenant) => Path::new(&["v1", "tenants", tenant, "decisions"]),
            None => Path::new(&["v1", "platform", "decisions"]),
        };
        let path = path.query("cursor", cursor).query("limit", Some(limit));
        self.call(Call::get(path.into_string())).await
    }

    /// A part of an audit log, oldest first: a tenant's, or the platform's own in a region.
    pub async fn audit(&self, of: AuditOf<'_>, after: u64, limit: u32) -> Result<AuditPage, Error> {
        let path = of.path(None).query("after", Some(after)).query("limit", Some(limit));
        self.call(Call::get(path.into_string())).await
    }

    /// Closes an audit log with a checkpoint, if something of it is open, and gives the newest one.
    pub async fn close_audit(&self, of: AuditOf<'_>) -> Result<Checkpoint, Error> {
        self.call(Call::post(of.path(Some("close")).into_string())).await
    }

    /// That a record is in its log.
    pub async fn audit_proof(&self, of: AuditOf<'_>, sequence: u64) -> Result<AuditProof, Error> {
        let path = of.path(Some("proof")).query("sequence", Some(sequence));
        self.call(Call::get(path.into_string())).await
    }

    /// What checks checkpoints.
    pub async fn audit_key(&self) -> Result<AuditKey, Error> {
        self.get(&["v1", "audit-key"]).await
    }

    /// Whether the server serves.
    pub async fn health(&self) -> Result<Health, Error> {
        self.get(&["readyz"]).await
    }
}

/// Whose audit log.
#[derive(Clone, Copy, Debug)]
pub enum AuditOf<'a> {
    Tenant(&'a str),
    /// The platform's own, in that region; in the server's first one if none is named.
    Platform(Option<&'a str>),
}

impl AuditOf<'_> {
    fn path(self, what: Option<&str>) -> Path {
        let (parts, region): (Vec<&str>, _) = match self {
            Self::Tenant(tenant) => (vec!["v1", "tenants", tenant, "audit"], None),
            Self::Platform(region) => (vec!["v1", "platform", "audit"], region),
        };
        let parts: Vec<&str> = parts.into_iter().chain(what).collect();
        Path::new(&parts).query("region", region)
    }
}

/// The worker protocol. [`Worker`](crate::worker::Worker) speaks it.
impl Client {
    /// Reports, renews and asks for leases. Repeated after a failure that had no effect only; what else is to be
    /// said again is the caller's to know.
    pub async fn exchange(&self, exchange: &Exchange) -> Result<Exchanged, Error> {
        let path = Path::new(&["v1", "worker", "exchange"]);
        let waits = Duration::from_millis(exchange.wait_ms);
        self.call(Call::post(path.into_string()).json(exchange)?.waits(waits)).await
    }
}
