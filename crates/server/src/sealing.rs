//! `/v1/platform/root-key` and `/v1/platform/tenants/{tenant}/key/rotate`: new keys for what is sealed.

use std::sync::Arc;

use axum::Json as Answer;
use axum::extract::State;
use axum::http::StatusCode;
use fairlane_api::key::{RootKey, RootKeySource};
use fairlane_api::{Code, Problem};
use fairlane_core::cell::input::Configure;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::auth::{Operator, Scoped};
use crate::cells::App;
use crate::declare::{DryRun, configure};
use crate::problem::Refused;
use crate::root_key::{Error, RootKeys};

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(get_root_key))
        .routes(routes!(rotate_root_key))
        .routes(routes!(rotate_tenant_key))
}

/// Names the root key that wraps the tenants' keys
#[utoipa::path(
    get, path = "/v1/platform/root-key", tag = "platform",
    responses((status = 200, body = RootKey), (status = "4XX", body = Problem))
)]
async fn get_root_key(State(app): State<App>, _: Operator) -> Result<Answer<RootKey>, Refused> {
    root_keys(&app).map(|keys| Answer(root_key_out(keys)))
}

/// Makes a new root key, with which the keys of all tenants are wrapped when the answer comes
///
/// The file of the root key has the new one then, and nothing is left that the old one opens, but for backups.
#[utoipa::path(
    post, path = "/v1/platform/root-key/rotate", tag = "platform",
    responses((status = 200, body = RootKey), (status = "4XX", body = Problem), (status = "5XX", body = Problem))
)]
async fn rotate_root_key(
    State(app): State<App>,
    operator: Operator,
) -> Result<Answer<RootKey>, Refused> {
    let keys = root_keys(&app)?.clone();
    // A caller that goes away does not leave it half done.
    let rotation = tokio::spawn(async move {
        let _one_at_a_time = keys.rotating.lock().await;
        file(&keys, RootKeys::begin_rotation).await?;
        configure((&app, &operator), Configure::RenewSeal(None), DryRun::default()).await?;
        file(&keys, RootKeys::end_rotation).await?;
        Ok(Answer(root_key_out(&keys)))
    });
    rotation.await.map_err(|error| Refused::internal(&error))?
}

/// Gives a tenant a new key
///
/// What is submitted from now on has it; what is there already is wrapped with it in the background, and then the old key is
/// destroyed. No payload is written again.
#[utoipa::path(
    post, path = "/v1/platform/tenants/{tenant}/key/rotate", tag = "platform", params(("tenant" = String, Path)),
    responses((status = 202), (status = "4XX", body = Problem), (status = "5XX", body = Problem))
)]
async fn rotate_tenant_key(
    State(app): State<App>,
    operator: Operator,
    Scoped(scope): Scoped,
) -> Result<StatusCode, Refused> {
    root_keys(&app)?;
    let renew = Configure::RenewSeal(Some(scope.tenant().clone()));
    configure((&app, &operator), renew, DryRun::default()).await?;
    Ok(StatusCode::ACCEPTED)
}

fn root_keys(app: &App) -> Result<&Arc<RootKeys>, Refused> {
    app.root_keys().ok_or_else(|| {
        Refused::new(Code::NoRootKey)
            .detail("this server keeps its rows in memory and seals nothing")
    })
}

async fn file(
    keys: &Arc<RootKeys>,
    change: impl FnOnce(&RootKeys) -> Result<(), Error> + Send + 'static,
) -> Result<(), Refused> {
    let keys = keys.clone();
    let changed = tokio::task::spawn_blocking(move || change(&keys)).await;
    match changed.map_err(|error| Refused::internal(&error))? {
        Ok(()) => Ok(()),
        Err(error @ Error::OfVariable) => {
            Err(Refused::new(Code::NoRootKey).detail(error.to_string()))
        }
        Err(error) => {
            Err(Refused::internal(&format!("{error}: {:?}", std::error::Error::source(&error))))
        }
    }
}

fn root_key_out(keys: &RootKeys) -> RootKey {
    let source = if keys.is_file() { RootKeySource::File } else { RootKeySource::Environment };
    RootKey { id: keys.roots.newest().id().to_string(), source }
}
