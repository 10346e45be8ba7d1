//! `/v1/tenants/{tenant}/runs`: submit, list, read, command.
//!
//! - `submit`: one run or a batch, with idempotency keys.
//! - `read`: rows of the store, with what the cell knows of a live run.
//! - `command`: cancel, pause, resume, retry, signal, resolve, budget.

mod command;
pub(crate) mod read;
mod replan;
mod submit;

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use fairlane_core::id::RunId;
use fairlane_core::row::{Actor, RunKey};
use fairlane_core::tenant::TenantScope;
use utoipa_axum::router::OpenApiRouter;

use crate::access;
use crate::auth::Identity;
use crate::cells::App;
use crate::problem::Refused;
use crate::problem::rejection::unknown_run;

pub(crate) fn routes() -> OpenApiRouter<App> {
    submit::routes().merge(read::routes()).merge(command::routes())
}

/// The run that the path names, for a caller who may ask about its tenant. It may not exist.
#[derive(Debug)]
pub(crate) struct Named {
    pub(crate) scope: TenantScope,
    pub(crate) run: RunId,
    /// Who asks, for the record.
    pub(crate) by: Actor,
}

impl FromRequestParts<App> for Named {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, shared: &App) -> Result<Self, Refused> {
        let identity = Identity::from_request_parts(parts, shared).await?;
        let scope = identity.scope_of_path(parts, shared).await?;
        identity.asks_about(&scope);
        let params = RawPathParams::from_request_parts(parts, shared)
            .await
            .map_err(|rejection| Refused::internal(&rejection.body_text()))?;
        let run = params.iter().find(|(name, _)| *name == "run").map(|(_, value)| value);
        let run = run.unwrap_or_default();
        let run = run.parse().map_err(|_| unknown_run(run))?;
        let named = Self { scope, run, by: identity.actor() };
        access::is_about_run(shared, &named.key());
        Ok(named)
    }
}

impl Named {
    pub(crate) fn key(&self) -> RunKey {
        RunKey { tenant: self.scope.tenant().clone(), run: self.run }
    }

    pub(crate) fn unknown(&self) -> Refused {
        unknown_run(&self.run.to_string())
    }
}
