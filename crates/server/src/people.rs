//! `/v1/me` and `/v1/sign-in`: who asks, and where people sign in.

use axum::Extension;
use axum::Json as Answer;
use axum::extract::State;
use fairlane_api::Problem;
use fairlane_api::key::{IdentityProvider, Me, SignInAt};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::auth::{Identity, OwnKeys};
use crate::cells::App;
use crate::keys::key_out;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(get_me)).routes(routes!(get_sign_in))
}

/// Says who asks, and what keys the credential opens
#[utoipa::path(
    get, path = "/v1/me", tag = "platform",
    responses((status = 200, body = Me), (status = "4XX", body = Problem), (status = "5XX", body = Problem))
)]
async fn get_me(identity: Identity, own: Option<Extension<OwnKeys>>) -> Answer<Me> {
    let person = identity.person().map(ToString::to_string);
    let keys = match own {
        Some(Extension(OwnKeys(keys))) => keys.iter().map(|key| key_out(key)).collect(),
        None => vec![key_out(identity.key_row())],
    };
    Answer(Me { person, keys })
}

/// Says where people sign in
#[utoipa::path(
    get, path = "/v1/sign-in", tag = "platform", security(()),
    responses((status = 200, body = SignInAt), (status = "5XX", body = Problem))
)]
async fn get_sign_in(State(app): State<App>) -> Answer<SignInAt> {
    let provider = app.auth().provider.as_ref().map(|provider| {
        let config = provider.config();
        IdentityProvider {
            issuer: config.issuer.clone(),
            client_id: config.client_id().to_owned(),
            scopes: config.scopes.clone(),
        }
    });
    Answer(SignInAt { provider })
}
