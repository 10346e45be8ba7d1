//! `/v1/tenants/{tenant}/channels` and `/v1/tenants/{tenant}/notices`: how a tenant is told of things, and what it still is
//! to be told.
//!
//! The secret of a webhook is made here, handed to the cell, and shown in the answer that made it; no other answer has it.

mod wire;

use axum::Json as Answer;
use axum::extract::Path;
use axum::http::StatusCode;
use fairlane_api::Problem;
use fairlane_api::notice::{
    Channel, ChannelApplied, ChannelSpec, Noted, Notice, NoticeState, RotatedSecret,
};
use fairlane_api::page::Page;
use fairlane_core::cell::effect::{ChannelView, NoticeView, Response};
use fairlane_core::cell::input::{Input, NoticeCommand, NoticesOf, Query};
use fairlane_core::id::{ChannelName, NoticeId, TenantId};
use fairlane_core::reject::Rejection;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::auth::{Identity, Scoped};
use crate::body::{Json, Params};
use crate::cells::{App, Here};
use crate::declare::DryRun;
use crate::notify::sign::{new_secret, secret_text};
use crate::page::{Paging, after, limit, page};
use crate::problem::Refused;
use crate::problem::rejection::unknown_notice;
use crate::serve::Shared;
use crate::wire::{path_name, timestamp};

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_channels))
        .routes(routes!(get_channel, put_channel, delete_channel))
        .routes(routes!(rotate_channel))
        .routes(routes!(test_channel))
        .routes(routes!(list_notices))
        .routes(routes!(redeliver_notice))
}

/// Declares a channel: where a tenant is told of things, and of which
///
/// The answer to a new webhook has the secret that its requests are signed with. A channel whose receiver was gone is open
/// again.
#[utoipa::path(
    put, path = "/v1/tenants/{tenant}/channels/{channel}", tag = "notices",
    params(("tenant" = String, Path), ("channel" = String, Path), DryRun), request_body = ChannelSpec,
    responses((status = 200, body = ChannelApplied), (status = "4XX", body = Problem), (status = "5XX", body = Problem))
)]
async fn put_channel(
    Here(shared): Here,
    (Scoped(scope), identity): (Scoped, Identity),
    Path((_, channel)): Path<(String, String)>,
    Params(DryRun { dry_run }): Params<DryRun>,
    Json(spec): Json<ChannelSpec>,
) -> Result<Answer<ChannelApplied>, Refused> {
    let channel = wire::read(scope.tenant(), path_name(&channel)?, &spec, identity.is_operator())?;
    let secret = new_secret()?;
    let command = NoticeCommand::Declare { channel, secret, is_dry_run: dry_run };
    match command_of((&shared, &identity), command).await? {
        Response::Channel { changed, takes_secret } => Ok(Answer(ChannelApplied {
            changed,
            dry_run,
            secret: (takes_secret && !dry_run).then(|| secret_text(secret)),
        })),
        other => Err(unexpected(&other)),
    }
}

/// Reads a channel, without its secret
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/channels/{channel}", tag = "notices",
    params(("tenant" = String, Path), ("channel" = String, Path)),
    responses((status = 200, body = Channel), (status = "4XX", body = Problem), (status = "5XX", body = Problem))
)]
async fn get_channel(
    Here(shared): Here,
    Scoped(scope): Scoped,
    Path((_, channel)): Path<(String, String)>,
) -> Result<Answer<Channel>, Refused> {
    let name = known_name(&channel)?;
    let views = channels_of(&shared, scope.tenant()).await?;
    let found = views.into_iter().find(|view| view.channel.name == name);
    let found = found.ok_or(Rejection::UnknownChannel { channel: name })?;
    Ok(Answer(wire::channel_out(&found)))
}

/// Lists a tenant's channels
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/channels", tag = "notices", params(("tenant" = String, Path), Paging),
    responses((status = 200, body = Page<Channel>), (status = "4XX", body = Problem), (status = "5XX", body = Problem))
)]
async fn list_channels(
    Here(shared): Here,
    Scoped(scope): Scoped,
    Params(paging): Params<Paging>,
) -> Result<Answer<Page<Channel>>, Refused> {
    let (limit, after) = (paging.limit()?, paging.after::<ChannelName>()?);
    let mut views = channels_of(&shared, scope.tenant()).await?;
    views.retain(|view| after.as_ref().is_none_or(|after| view.channel.name > *after));
    let cursor = |view: &ChannelView| view.channel.name.to_string();
    Ok(Answer(page(views, limit, cursor, |view| wire::channel_out(&view))))
}

/// Removes a channel
///
/// What was to be told through it is forgotten.
#[utoipa::path(
    delete, path = "/v1/tenants/{tenant}/channels/{channel}", tag = "notices",
    params(("tenant" = String, Path), ("channel" = String, Path)),
    responses((status = 204), (status = "4XX", body = Problem), (status = "5XX", body = Problem))
)]
async fn delete_channel(
    Here(shared): Here,
    (Scoped(scope), identity): (Scoped, Identity),
    Path((_, channel)): Path<(String, String)>,
) -> Result<StatusCode, Refused> {
    let (tenant, channel) = (scope.tenant().clone(), known_name(&channel)?);
    command_of((&shared, &identity), NoticeCommand::Drop { tenant, channel }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Gives a webhook a new secret
///
/// Requests are signed with both for a day, so that the receiver can be changed to the new one meanwhile.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/channels/{channel}/rotate", tag = "notices",
    params(("tenant" = String, Path), ("channel" = String, Path)),
    responses((status = 200, body = RotatedSecret), (status = "4XX", body = Problem), (status = "5XX", body = Problem))
)]
async fn rotate_channel(
    Here(shared): Here,
    (Scoped(scope), identity): (Scoped, Identity),
    Path((_, channel)): Path<(String, String)>,
) -> Result<Answer<RotatedSecret>, Refused> {
    let (tenant, channel) = (scope.tenant().clone(), known_name(&channel)?);
    let secret = new_secret()?;
    match command_of((&shared, &identity), NoticeCommand::Rotate { tenant, channel, secret })
        .await?
    {
        Response::Rotated { until } => Ok(Answer(RotatedSecret {
            secret: secret_text(secret),
            previous_until: timestamp(until),
        })),
        other => Err(unexpected(&other)),
    }
}

/// Sends a notice that is of no other use
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/channels/{channel}/test", tag = "notices",
    params(("tenant" = String, Path), ("channel" = String, Path)),
    responses((status = 202, body = Noted), (status = "4XX", body = Problem), (status = "5XX", body = Problem))
)]
async fn test_channel(
    Here(shared): Here,
    (Scoped(scope), identity): (Scoped, Identity),
    Path((_, channel)): Path<(String, String)>,
) -> Result<(StatusCode, Answer<Noted>), Refused> {
    let (tenant, channel) = (scope.tenant().clone(), known_name(&channel)?);
    noted((&shared, &identity), NoticeCommand::Test { tenant, channel }).await
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Listing {
    /// Only those of this state.
    state: Option<NoticeState>,
    /// Only those of this channel.
    channel: Option<String>,
    /// `next` of the page before.
    cursor: Option<String>,
    /// Most entries, 1 to 1,000; 100 if absent.
    #[param(minimum = 1, maximum = 1_000)]
    limit: Option<u32>,
}

/// Lists notices that are not delivered, oldest first
///
/// What is delivered is forgotten.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/notices", tag = "notices", params(("tenant" = String, Path), Listing),
    responses((status = 200, body = Page<Notice>), (status = "4XX", body = Problem), (status = "5XX", body = Problem))
)]
async fn list_notices(
    Here(shared): Here,
    Scoped(scope): Scoped,
    Params(listing): Params<Listing>,
) -> Result<Answer<Page<Notice>>, Refused> {
    let limit = limit(listing.limit)?;
    let channel = listing.channel.as_deref().map(known_name).transpose()?;
    let of = NoticesOf {
        tenant: scope.tenant().clone(),
        state: listing.state.map(wire::state),
        channel,
        after: listing.cursor.as_deref().map(after).transpose()?,
        limit: u32::try_from(limit + 1).unwrap_or(u32::MAX),
    };
    let read = |response| match response {
        Response::Notices(views) => Ok(views),
        other => Err(other),
    };
    let views = shared.engine.query(Query::Notices(of), read).await?;
    let cursor = |view: &NoticeView| view.row.id.to_string();
    Ok(Answer(page(views, limit, cursor, |view| wire::notice_out(&view))))
}

/// Delivers a notice that was given up, or at once one that waits
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/notices/{notice}/redeliver", tag = "notices",
    params(("tenant" = String, Path), ("notice" = String, Path)),
    responses((status = 202, body = Noted), (status = "4XX", body = Problem), (status = "5XX", body = Problem))
)]
async fn redeliver_notice(
    Here(shared): Here,
    (Scoped(scope), identity): (Scoped, Identity),
    Path((_, notice)): Path<(String, String)>,
) -> Result<(StatusCode, Answer<Noted>), Refused> {
    let tenant = scope.tenant().clone();
    let notice: NoticeId = notice.parse().map_err(|_| unknown_notice(&notice))?;
    noted((&shared, &identity), NoticeCommand::Redeliver { tenant, notice }).await
}

async fn noted(
    (shared, identity): (&Shared, &Identity),
    command: NoticeCommand,
) -> Result<(StatusCode, Answer<Noted>), Refused> {
    match command_of((shared, identity), command).await? {
        Response::Noted(notice) => {
            Ok((StatusCode::ACCEPTED, Answer(Noted { notice: notice.to_string() })))
        }
        other => Err(unexpected(&other)),
    }
}

async fn command_of(
    (shared, identity): (&Shared, &Identity),
    command: NoticeCommand,
) -> Result<Response, Refused> {
    let by = Some(identity.actor());
    shared.engine.ask(|reply| Input::Notice(reply, by, command)).await
}

async fn channels_of(shared: &Shared, tenant: &TenantId) -> Result<Vec<ChannelView>, Refused> {
    let read = |response| match response {
        Response::Channels(views) => Ok(views),
        other => Err(other),
    };
    shared.engine.query(Query::Channels(tenant.clone()), read).await
}

/// The name in the path of something that should be there: what can be no name is not there.
fn known_name(text: &str) -> Result<ChannelName, Refused> {
    use fairlane_api::Code;
    let missing = || crate::tenants::missing(Code::UnknownChannel, "channel", text);
    text.parse().map_err(|_| missing())
}

fn unexpected(response: &Response) -> Refused {
    Refused::internal(&format!("a command for a channel was answered by {response:?}"))
}
