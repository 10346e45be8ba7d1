//! Who calls a model, and who pays for it.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use fairlane_core::id::TenantId;

use super::error::Error;
use crate::auth::{Identity, TENANT_HEADER};
use crate::serve::Shared;

/// The tenant whose models are called and whose money that costs.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) tenant: TenantId,
}

impl FromRequestParts<Shared> for Caller {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, Error> {
        let identity = Identity::from_request_parts(parts, shared).await?;
        let named = parts.headers.get(TENANT_HEADER).map(|value| value.to_str().unwrap_or(""));
        let scope = identity.caller(&shared.registry, named)?;
        Ok(Self { tenant: scope.tenant().clone() })
    }
}
