//! `/v1/reviews`: what people are asked, and what they decide.
//!
//! A reviewer's key is one person's: it sees what that person may decide, and nobody decides as somebody else. A tenant's
//! key sees its own reviews, an operator's all. A review is in the cell of its tenant; who may decide it is the cell's to say.

mod decide;
mod ended;
mod out;

use axum::Json as Answer;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response as HttpResponse};
use fairlane_api::page::Page;
use fairlane_api::review::{
    self as wire, NextReview, Reassign, ReviewComment, ReviewDetail, WithFence,
};
use fairlane_api::{Code, Problem};
use fairlane_core::cell::effect::{Response, ReviewView};
use fairlane_core::cell::input::{Handler, Input, Query, ReviewCommand, ReviewsOf};
use fairlane_core::id::{PersonId, ReviewId, ReviewerPoolName};
use fairlane_core::review::ReviewerPool;
use fairlane_core::row::ReviewEventRow;
use fairlane_core::tenant::TenantScope;
use fairlane_core::time::Time;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::assembly::Subject;
use crate::auth::{Deciding, OfReviews};
use crate::body::{Json, OptionalJson, Params};
use crate::cells::App;
use crate::page;
use crate::problem::Refused;
use crate::problem::rejection::unknown_review;
use crate::serve::Shared;
use crate::wire::name;
use ended::Ended;
use out::{detail_of_view, view_out};

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_reviews))
        .routes(routes!(next_review))
        .routes(routes!(get_review))
        .routes(routes!(claim_review))
        .routes(routes!(release_review))
        .routes(routes!(reassign_review))
        .routes(routes!(escalate_review))
        .routes(routes!(comment_review))
        .merge(decide::routes())
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Listing {
    /// For a reviewer: what the person has claimed, and not what is open.
    #[serde(default)]
    claimed: bool,
    /// `next` of the page before.
    cursor: Option<String>,
    /// Most entries, 1 to 1,000; 100 if absent.
    #[param(minimum = 1, maximum = 1_000)]
    limit: Option<u32>,
}

/// Lists reviews that nobody has decided
///
/// Of a reviewer: what the person may decide, by due time. Of a tenant or an operator: theirs, or all.
#[utoipa::path(
    get, path = "/v1/reviews", tag = "reviews", params(Listing),
    responses((status = 200, body = Page<wire::Review>), (status = "4XX", body = Problem), (status = "5XX", body = Problem))
)]
async fn list_reviews(
    State(app): State<App>,
    OfReviews(identity): OfReviews,
    Params(listing): Params<Listing>,
) -> Result<Answer<Page<wire::Review>>, Refused> {
    let limit = page::limit(listing.limit)?;
    let most = u32::try_from(limit + 1).unwrap_or(u32::MAX);
    let after = listing.cursor.as_deref().map(cursor).transpose()?;
    let (of, by_due) = match identity.handler(None)? {
        Handler::Person { person, .. } if listing.claimed => (ReviewsOf::Claimed(person), true),
        Handler::Person { person, .. } => (ReviewsOf::Open(person), true),
        Handler::Owner { tenant: Some(tenant), .. } => (ReviewsOf::Tenant(tenant), false),
        Handler::Owner { tenant: None, .. } => (ReviewsOf::All, false),
    };
    let mut found = Vec::new();
    for cell in app.all() {
        let query = Query::Reviews { of: of.clone(), after, limit: most };
        let read = |response| match response {
            Response::Reviews(views) => Ok(views),
            other => Err(other),
        };
        found.extend(cell.engine.query(query, read).await?);
    }
    let key = |view: &ReviewView| (if by_due { view.standing.due } else { Time(0) }, view.id);
    found.sort_by_key(key);
    let next = |view: &ReviewView| format!("{}.{}", key(view).0.0, view.id);
    Ok(Answer(page::page(found, limit, next, |view| view_out(&view))))
}

/// Gives the caller the review whose turn it is
///
/// 204 if there is none that the person may decide. Of a server with several regions, each has its own turns, and a person
/// is given a review of one after the other.
#[utoipa::path(
    post, path = "/v1/reviews/next", tag = "reviews", request_body = Option<NextReview>,
    responses((status = 200, body = wire::Review), (status = 204), (status = "4XX", body = Problem), (status = "5XX", body = Problem))
)]
async fn next_review(
    State(app): State<App>,
    Deciding(person): Deciding,
    OptionalJson(body): OptionalJson<NextReview>,
) -> Result<HttpResponse, Refused> {
    let pool = body.pool.as_deref().map(|pool| name(pool, "/pool")).transpose()?;
    if let Some(pool) = &pool {
        member_of(&app, &person, pool)?;
    }
    for (at, cell) in app.by_turns(&person) {
        let command = ReviewCommand::Next { person: person.clone(), pool: pool.clone() };
        match cell.engine.ask(|reply| Input::Review(reply, command)).await? {
            Response::Claimed(view) => {
                app.served_by(&person, at);
                return Ok(Answer(view_out(&view)).into_response());
            }
            Response::NothingToReview => {}
            other => return Err(unexpected(&other)),
        }
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Refuses a pool in which the person is not, whether there is one or not.
fn member_of(app: &App, person: &PersonId, pool: &ReviewerPoolName) -> Result<(), Refused> {
    let declared = app.home().registry.reviewer_pool(pool);
    let is_in = |pool: &ReviewerPool| pool.members.iter().any(|member| member.person == *person);
    if declared.is_some_and(|pool| is_in(&pool)) {
        return Ok(());
    }
    Err(Refused::new(Code::UnknownReviewerPool)
        .detail(format!("`{person}` is in no reviewer pool that is named `{pool}`"))
        .at("/pool")
        .expected("a pool that you are a member of"))
}

/// Reads a review, with what is decided on and its record
#[utoipa::path(
    get, path = "/v1/reviews/{review}", tag = "reviews", params(("review" = String, Path)),
    responses((status = 200, body = ReviewDetail), (status = "4XX", body = Problem), (status = "5XX", body = Problem))
)]
async fn get_review(
    State(app): State<App>,
    OfReviews(identity): OfReviews,
    Path(review): Path<String>,
) -> Result<Answer<ReviewDetail>, Refused> {
    let id = review_id(&review)?;
    let handler = identity.handler(None)?;
    if let Some((cell, view)) = find(&app, id, &handler).await? {
        let subject = Subject::of_review(&view);
        let subject = cell.assembly.review_subject(subject, &view.cause).await.ok();
        let record = record_of(&cell, &view.scope(), id).await?;
        return Ok(Answer(detail_of_view(&view, subject.as_deref(), &record)));
    }
    match Ended::find(&app, id, &handler).await? {
        Some(ended) => ended.detail().await.map(Answer),
        None => Err(unknown_review(&review)),
    }
}

/// Claims a review, or keeps it for longer
#[utoipa::path(
    post, path = "/v1/reviews/{review}/claim", tag = "reviews", params(("review" = String, Path)),
    responses((status = 200, body = wire::Review), (status = "4XX", body = Problem), (status = "5XX", body = Problem))
)]
async fn claim_review(
    State(app): State<App>,
    Deciding(person): Deciding,
    Path(review): Path<String>,
) -> Result<Answer<wire::Review>, Refused> {
    let review = review_id(&review)?;
    match command(&app, review, ReviewCommand::Claim { review, person }).await? {
        Response::Claimed(view) => Ok(Answer(view_out(&view))),
        other => Err(unexpected(&other)),
    }
}

/// Gives up a claim: the review is open again, at its place
#[utoipa::path(
    post, path = "/v1/reviews/{review}/release", tag = "reviews", params(("review" = String, Path)),
    request_body = WithFence,
    responses((status = 204), (status = "4XX", body = Problem), (status = "5XX", body = Problem))
)]
async fn release_review(
    State(app): State<App>,
    Deciding(person): Deciding,
    Path(review): Path<String>,
    Json(body): Json<WithFence>,
) -> Result<StatusCode, Refused> {
    let review = review_id(&review)?;
    let fence = needed(fence(body.fence.as_deref())?)?;
    done(&app, review, ReviewCommand::Release { review, person, fence }).await
}

/// Gives a review to another person who may decide it
#[utoipa::path(
    post, path = "/v1/reviews/{review}/reassign", tag = "reviews", params(("review" = String, Path)),
    request_body = Reassign,
    responses((status = 204), (status = "4XX", body = Problem), (status = "5XX", body = Problem))
)]
async fn reassign_review(
    State(app): State<App>,
    OfReviews(identity): OfReviews,
    Path(review): Path<String>,
    Json(body): Json<Reassign>,
) -> Result<StatusCode, Refused> {
    let review = review_id(&review)?;
    let to: PersonId = name(&body.to, "/to")?;
    let by = holding(identity.handler(fence(body.fence.as_deref())?)?)?;
    done(&app, review, ReviewCommand::Reassign { review, to, by }).await
}

/// Takes the next rung of a review's ladder, without waiting for its due time
#[utoipa::path(
    post, path = "/v1/reviews/{review}/escalate", tag = "reviews", params(("review" = String, Path)),
    request_body = Option<WithFence>,
    responses((status = 204), (status = "4XX", body = Problem), (status = "5XX", body = Problem))
)]
async fn escalate_review(
    State(app): State<App>,
    OfReviews(identity): OfReviews,
    Path(review): Path<String>,
    OptionalJson(body): OptionalJson<WithFence>,
) -> Result<StatusCode, Refused> {
    let review = review_id(&review)?;
    let by = holding(identity.handler(fence(body.fence.as_deref())?)?)?;
    done(&app, review, ReviewCommand::Escalate { review, by }).await
}

/// Comments on a review
#[utoipa::path(
    post, path = "/v1/reviews/{review}/comment", tag = "reviews", params(("review" = String, Path)),
    request_body = ReviewComment,
    responses((status = 204), (status = "4XX", body = Problem), (status = "5XX", body = Problem))
)]
async fn comment_review(
    State(app): State<App>,
    OfReviews(identity): OfReviews,
    Path(review): Path<String>,
    Json(body): Json<ReviewComment>,
) -> Result<StatusCode, Refused> {
    let (review, by) = (review_id(&review)?, identity.handler(None)?);
    if body.text.trim().is_empty() {
        let refused = Refused::new(Code::InvalidValue).detail("the comment is empty");
        return Err(refused.at("/text").expected("a text"));
    }
    let text = body.text.into();
    done(&app, review, ReviewCommand::Comment { review, by, text }).await
}

/// A review that nobody has decided, and its cell, if whoever asks may see it.
async fn find(
    app: &App,
    review: ReviewId,
    handler: &Handler,
) -> Result<Option<(Shared, Box<ReviewView>)>, Refused> {
    let person = match handler {
        Handler::Person { person, .. } => Some(person.clone()),
        Handler::Owner { .. } => None,
    };
    for cell in app.all() {
        let query = Query::Review { review, person: person.clone() };
        let response = match cell.engine.ask(|reply| Input::Query(reply, query)).await {
            Err(refused) if is_unknown(&refused) => continue,
            response => response?,
        };
        let Response::Review(view) = response else { return Err(unexpected(&response)) };
        let is_theirs = match handler {
            Handler::Owner { tenant: Some(tenant), .. } => *tenant == view.key.tenant,
            Handler::Owner { tenant: None, .. } | Handler::Person { .. } => true,
        };
        return Ok(is_theirs.then(|| (cell.clone(), view)));
    }
    Ok(None)
}

async fn record_of(
    cell: &Shared,
    scope: &TenantScope,
    review: ReviewId,
) -> Result<Vec<ReviewEventRow>, Refused> {
    cell.reads.of(scope, move |reader, scope| reader.review_events(scope, review)).await
}

/// Does it in the cell that has the review.
async fn command(app: &App, review: ReviewId, command: ReviewCommand) -> Result<Response, Refused> {
    for cell in app.all() {
        let command = command.clone();
        match cell.engine.ask(|reply| Input::Review(reply, command)).await {
            Err(refused) if is_unknown(&refused) => {}
            answer => return answer,
        }
    }
    Err(unknown_review(&review.to_string()))
}

async fn done(app: &App, review: ReviewId, asked: ReviewCommand) -> Result<StatusCode, Refused> {
    match command(app, review, asked).await? {
        Response::Reviewed => Ok(StatusCode::NO_CONTENT),
        other => Err(unexpected(&other)),
    }
}

fn is_unknown(refused: &Refused) -> bool {
    refused.0.code() == Some(Code::UnknownReview)
}

fn review_id(text: &str) -> Result<ReviewId, Refused> {
    text.parse().map_err(|_| unknown_review(text))
}

fn fence(given: Option<&str>) -> Result<Option<u64>, Refused> {
    let parse = |text: &str| {
        text.parse().map_err(|_| {
            Refused::new(Code::InvalidValue).at("/fence").expected("the `fence` of the claim")
        })
    };
    given.map(parse).transpose()
}

fn needed(fence: Option<u64>) -> Result<u64, Refused> {
    fence.ok_or_else(|| {
        Refused::new(Code::InvalidValue)
            .detail("the fence of your claim is missing")
            .at("/fence")
            .expected("the `fence` of the claim")
    })
}

/// A person does it with the fence of their claim.
fn holding(by: Handler) -> Result<Handler, Refused> {
    match by {
        Handler::Person { fence: None, .. } => needed(None).map(|_| by),
        _ => Ok(by),
    }
}

fn cursor(text: &str) -> Result<(Time, ReviewId), Refused> {
    let parts = text
        .split_once('.')
        .and_then(|(due, id)| Some((Time(due.parse().ok()?), id.parse().ok()?)));
    parts.ok_or_else(|| {
        Refused::new(Code::MalformedRequest)
            .detail("the parameter `cursor` is not one that this list gave")
            .expected("`next` of the page before")
    })
}

fn unexpected(response: &Response) -> Refused {
    Refused::internal(&format!("a review was answered by {response:?}"))
}
