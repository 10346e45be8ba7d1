//! Organisations, tiers and tenants: declare, read, list.

use fairlane_api::page::Page;
use fairlane_api::resource::{Applied, Org, OrgSpec, Tenant, TenantSpec, Tier, TierSpec};
use serde::de::DeserializeOwned;

use crate::client::{Call, Path};
use crate::{Client, Error};

/// Entries of a page when all are read: the most that the server gives.
const PAGE: u32 = 1_000;

/// Whether a declaration is written, or only checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Write {
    #[default]
    Apply,
    /// Nothing is written; the answer says what is wrong.
    Check,
}

impl Write {
    pub(crate) const fn parameter(self) -> Option<bool> {
        match self {
            Self::Apply => None,
            Self::Check => Some(true),
        }
    }
}

/// Declarations. The same one twice changes nothing.
impl Client {
    pub async fn put_org(&self, id: &str, spec: &OrgSpec, write: Write) -> Result<Applied, Error> {
        self.put(&["v1", "orgs", id], spec, write).await
    }

    pub async fn put_tier(
        &self,
        name: &str,
        spec: &TierSpec,
        write: Write,
    ) -> Result<Applied, Error> {
        self.put(&["v1", "tiers", name], spec, write).await
    }

    /// Declares a tenant: its organisation, its tier, and what differs from the tier.
    pub async fn put_tenant(
        &self,
        id: &str,
        spec: &TenantSpec,
        write: Write,
    ) -> Result<Applied, Error> {
        self.put(&["v1", "tenants", id], spec, write).await
    }

    pub async fn org(&self, id: &str) -> Result<Org, Error> {
        self.get(&["v1", "orgs", id]).await
    }

    pub async fn tier(&self, name: &str) -> Result<Tier, Error> {
        self.get(&["v1", "tiers", name]).await
    }

    /// A tenant, with what its tier fills in.
    pub async fn tenant(&self, id: &str) -> Result<Tenant, Error> {
        self.get(&["v1", "tenants", id]).await
    }

    pub async fn orgs(&self) -> Result<Vec<Org>, Error> {
        self.list(&["v1", "orgs"]).await
    }

    pub async fn tiers(&self) -> Result<Vec<Tier>, Error> {
        self.list(&["v1", "tiers"]).await
    }

    pub async fn tenants(&self) -> Result<Vec<Tenant>, Error> {
        self.list(&["v1", "tenants"]).await
    }
}

impl Client {
    pub(crate) async fn put<T: DeserializeOwned>(
        &self,
        path: &[&str],
        spec: &impl serde::Serialize,
        write: Write,
    ) -> Result<T, Error> {
        let path = Path::new(path).query("dry_run", write.parameter());
        self.call(Call::put(path.into_string()).json(spec)?).await
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &[&str]) -> Result<T, Error> {
        self.call(Call::get(Path::new(path).into_string())).await
    }

    /// Every page of a list.
    pub(crate) async fn list<T: DeserializeOwned>(&self, path: &[&str]) -> Result<Vec<T>, Error> {
        let mut items = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let page =
                Path::new(path).query("limit", Some(PAGE)).query("cursor", cursor.as_deref());
            let mut page: Page<T> = self.call(Call::get(page.into_string())).await?;
            items.append(&mut page.items);
            match page.next {
                Some(next) => cursor = Some(next),
                None => return Ok(items),
            }
        }
    }
}
