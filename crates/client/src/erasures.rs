//! Erasures: what of a tenant is to be forgotten, and their receipts.

use fairlane_api::erasure::{Erasure, ErasureSpec};
use fairlane_api::page::Page;

use crate::client::{Call, Path};
use crate::{Client, Error};

impl Client {
    /// Asks for an erasure. Asked for twice, it is two erasures, of which the second finds nothing.
    pub async fn erase(&self, tenant: &str, spec: &ErasureSpec) -> Result<Erasure, Error> {
        let path = Path::new(&["v1", "tenants", tenant, "erasures"]).into_string();
        self.call(Call::post(path).json(spec)?).await
    }

    pub async fn erasure(&self, tenant: &str, erasure: &str) -> Result<Erasure, Error> {
        self.get(&["v1", "tenants", tenant, "erasures", erasure]).await
    }

    /// A page of a tenant's erasures, newest first, from that cursor on.
    pub async fn erasures(
        &self,
        tenant: &str,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<Erasure>, Error> {
        let path = Path::new(&["v1", "tenants", tenant, "erasures"])
            .query("cursor", cursor)
            .query("limit", Some(limit));
        self.call(Call::get(path.into_string())).await
    }
}
