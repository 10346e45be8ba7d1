//! Who calls a model, and who pays for it: a tenant, by its key or through an operator, or the run of a lease.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use fairlane_api::Code;
use fairlane_core::id::TenantId;
use fairlane_core::row::{Actor, LeaseId};
use fairlane_core::trace::Incoming;
use tokio::time::Instant;

use super::error::Error;
use super::token::PREFIX;
use crate::access;
use crate::auth::{Identity, Sender, TENANT_HEADER, bearer, too_many};
use crate::cells::App;
use crate::problem::Refused;
use crate::problem::rejection::unknown_tenant;
use crate::serve::Shared;

/// The tenant whose models are called and whose money that costs.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) tenant: TenantId,
    /// The lease that the calls are made under.
    pub(crate) lease: Option<LeaseId>,
    /// Whose key they are made with, if there is no lease.
    pub(crate) by: Option<Actor>,
    /// The trace of the request.
    pub(crate) trace: Option<Incoming>,
    /// What surrounds the cell that has the tenant.
    pub(crate) shared: Shared,
}

impl FromRequestParts<App> for Caller {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, shared: &App) -> Result<Self, Error> {
        let named = parts.headers.get(TENANT_HEADER).map(|value| value.to_str().unwrap_or(""));
        let credential = bearer(parts)?;
        if credential.is_some_and(|credential| credential.starts_with(PREFIX)) {
            let lease = credential.and_then(|token| shared.token_key.read(token));
            let unknown =
                || Refused::new(Code::Unauthenticated).detail("the token of a lease is not valid");
            let lease = lease.ok_or_else(unknown)?;
            let tenant = lease.key.tenant.clone();
            let taken = shared.auth().limits.take_of_tenant(&tenant, Instant::now());
            taken.map_err(|limited| too_many(&limited))?;
            parts.extensions.insert(Sender::Tenant(tenant.clone()));
            access::is_about(&tenant);
            return match named {
                Some(named) if named != tenant.as_str() => Err(unknown_tenant(named).into()),
                _ => {
                    let shared = shared.at(&tenant).clone();
                    access::is_about_run(&shared, &lease.key);
                    Ok(Self { tenant, lease: Some(lease), by: None, trace: None, shared })
                }
            };
        }
        let identity = Identity::from_request_parts(parts, shared).await?;
        let named = parts.headers.get(TENANT_HEADER).map(|value| value.to_str().unwrap_or(""));
        let scope = identity.caller(shared, named)?;
        identity.asks_about(&scope);
        let shared = shared.of_scope(&scope).clone();
        let by = Some(identity.actor());
        let trace = shared.traces.incoming(&parts.headers);
        Ok(Self { tenant: scope.tenant().clone(), lease: None, by, trace, shared })
    }
}
