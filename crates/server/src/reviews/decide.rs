//! Decisions: one, or many like ones with a record each; and the broken glass.

use std::sync::Arc;

use axum::Json as Answer;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use fairlane_api::review::{self as wire, BreakGlass, Decide, DecideAll, Decided};
use fairlane_api::{Code, Json as Text, Problem};
use fairlane_core::cell::effect::{Response, ReviewView};
use fairlane_core::cell::input::{self, Handler, Input, ReviewCommand};
use fairlane_core::id::{OutcomeName, PersonId, ReviewId};
use fairlane_core::review::Digest;
use fairlane_core::row::{Payload, ReviewCause, ReviewEvent};
use sha2::{Digest as _, Sha256};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ended::Ended;
use super::{done, fence, find, needed, record_of, review_id, unexpected};
use crate::assembly::listed;
use crate::auth::{Deciding, Identity, Operator};
use crate::body::Json;
use crate::cells::App;
use crate::hex;
use crate::problem::Refused;
use crate::problem::rejection::unknown_review;
use crate::serve::Shared;
use crate::wire::name;

/// The outcome of an escalation with which a person gives the step's output.
const RESOLVED: &str = "resolved";
/// Decisions of one batch.
const BATCH_MAX: usize = 100;
const REASON_BYTES_MAX: usize = 4 * 1024;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(decide_review))
        .routes(routes!(decide_reviews))
        .routes(routes!(break_glass))
}

/// Decides a review
///
/// The decision carries the fence of the claim and the digest of what it is on; one that is late, double or stale has no
/// effect and says why.
#[utoipa::path(
    post, path = "/v1/reviews/{review}/decide", tag = "reviews", params(("review" = String, Path)),
    request_body = Decide,
    responses((status = 200, body = Decided), (status = "4XX", body = Problem), (status = "5XX", body = Problem))
)]
async fn decide_review(
    State(app): State<App>,
    Deciding(person): Deciding,
    Path(review): Path<String>,
    Json(body): Json<Decide>,
) -> Result<Answer<Decided>, Refused> {
    let more = decide(&app, &person, &review, &body).await?;
    Ok(Answer(Decided { review, more: Some(more), problem: None }))
}

/// Decides up to 100 reviews, each with its own result and record
#[utoipa::path(
    post, path = "/v1/reviews/decide", tag = "reviews", request_body = DecideAll,
    responses((status = 200, body = Vec<Decided>), (status = "4XX", body = Problem), (status = "5XX", body = Problem))
)]
async fn decide_reviews(
    State(app): State<App>,
    Deciding(person): Deciding,
    Json(body): Json<DecideAll>,
) -> Result<Answer<Vec<Decided>>, Refused> {
    if body.decisions.len() > BATCH_MAX {
        let refused = Refused::new(Code::TooMany).at("/decisions");
        return Err(refused.expected(format!("at most {BATCH_MAX}")));
    }
    let mut results = Vec::with_capacity(body.decisions.len());
    for one in body.decisions {
        let wire::DecideOne { review, fence, digest, outcome, data } = one;
        let given = Decide { fence, digest, outcome, data };
        let result = decide(&app, &person, &review, &given).await;
        let (more, problem) = match result {
            Ok(more) => (Some(more), None),
            Err(refused) => (None, Some(refused.0)),
        };
        results.push(Decided { review, more, problem });
    }
    Ok(Answer(results))
}

/// Ends a review without a claim and without the others that it takes
///
/// For an operator, when there is no other way. The person who answers for it has to be a member of the pool who may see
/// what is decided on. The decision log has it under a code of its own.
#[utoipa::path(
    post, path = "/v1/reviews/{review}/break-glass", tag = "reviews", params(("review" = String, Path)),
    request_body = BreakGlass,
    responses((status = 204), (status = "4XX", body = Problem), (status = "5XX", body = Problem))
)]
async fn break_glass(
    State(app): State<App>,
    operator: Operator,
    identity: Identity,
    Path(review): Path<String>,
    Json(body): Json<BreakGlass>,
) -> Result<StatusCode, Refused> {
    if body.reason.trim().is_empty() || body.reason.len() > REASON_BYTES_MAX {
        let expected = format!("a reason of 1 to {REASON_BYTES_MAX} bytes");
        return Err(Refused::new(Code::InvalidValue).at("/reason").expected(expected));
    }
    let person: PersonId = name(&body.person, "/person")?;
    let found = find(&app, review_id(&review)?, &identity.handler(None)?).await?;
    let (cell, view) = found.ok_or_else(|| unknown_review(&review))?;
    let given = Decide {
        fence: "0".to_owned(),
        digest: body.digest,
        outcome: body.outcome,
        data: body.data,
    };
    let decide = prepared(&cell, &view, (&person, 0), &given).await?;
    let (by, reason) = (operator.by, body.reason.into());
    let command = ReviewCommand::BreakGlass(Box::new(input::BreakGlass { decide, by, reason }));
    done(&app, view.id, command).await
}

async fn decide(
    app: &App,
    person: &PersonId,
    review: &str,
    given: &Decide,
) -> Result<u32, Refused> {
    let fence = needed(fence(Some(&given.fence))?)?;
    let id = review_id(review)?;
    let handler = Handler::Person { person: person.clone(), fence: Some(fence) };
    // Who may not see it learns only what the cell says of the decision.
    let Some((cell, view)) = find(app, id, &handler).await? else {
        return unseen(app, person, (id, fence), given).await;
    };
    let decide = prepared(&cell, &view, (person, fence), given).await?;
    answered(&cell, decide).await
}

/// The person may not decide it: the cell says why, or that there is no such review.
async fn unseen(
    app: &App,
    person: &PersonId,
    (review, fence): (ReviewId, u64),
    given: &Decide,
) -> Result<u32, Refused> {
    let outcome: OutcomeName = name(&given.outcome, "/outcome")?;
    let digest = digest_in(&given.digest)?;
    for cell in app.all() {
        let decide = input::Decide {
            review,
            person: person.clone(),
            fence,
            digest,
            outcome: outcome.clone(),
            data: "null".into(),
            result: [0; 32],
        };
        match answered(cell, decide).await {
            Err(refused) if super::is_unknown(&refused) => {}
            Ok(_) => {
                return Err(Refused::internal(&"a decision that was not checked had an effect"));
            }
            refused => return refused,
        }
    }
    let handler = Handler::Person { person: person.clone(), fence: None };
    match Ended::find(app, review, &handler).await? {
        Some(ended) => Err(ended.decided()),
        None => Err(unknown_review(&review.to_string())),
    }
}

async fn answered(cell: &Shared, decide: input::Decide) -> Result<u32, Refused> {
    let command = ReviewCommand::Decide(vec![decide]);
    match cell.engine.ask(|reply| Input::Review(reply, command)).await? {
        Response::Decided(mut answers) if answers.len() == 1 => {
            answers.remove(0).map_err(Refused::from)
        }
        other => Err(unexpected(&other)),
    }
}

/// The decision with its data, which was checked against the form.
async fn prepared(
    cell: &Shared,
    view: &ReviewView,
    (person, fence): (&PersonId, u64),
    given: &Decide,
) -> Result<input::Decide, Refused> {
    let outcome = outcome(view, given)?;
    let data = data(cell, view, &outcome, given.data.as_ref()).await?;
    let max = cell.config.payload_bytes_max;
    if data.len() > max {
        let refused = Refused::new(Code::BodyTooLarge).at("/data");
        return Err(refused.expected(format!("at most {max} bytes")));
    }
    if let Some(form) = &view.terms.form
        && let Err(violations) =
            cell.assembly.check(form.clone(), Payload::from(data.as_bytes())).await?
    {
        return Err(Refused::new(Code::InvalidForm)
            .detail(listed(&violations))
            .at("/data")
            .expected("data that the review's form allows"));
    }
    if let Some(schema) = output_schema(view, &outcome)
        && let Err(violations) = cell.assembly.check(schema, Payload::from(data.as_bytes())).await?
    {
        return Err(Refused::new(Code::InvalidForm)
            .detail(listed(&violations))
            .at("/data")
            .expected("an output that the step's schema allows"));
    }
    Ok(input::Decide {
        review: view.id,
        person: person.clone(),
        fence,
        digest: digest_in(&given.digest)?,
        result: result(&view.subject, &outcome, &data),
        outcome,
        data,
    })
}

/// The outcome, which has to be one of the review's.
fn outcome(view: &ReviewView, given: &Decide) -> Result<OutcomeName, Refused> {
    let outcome: OutcomeName = name(&given.outcome, "/outcome")?;
    if view.terms.outcomes.iter().any(|one| one.name == outcome) {
        return Ok(outcome);
    }
    let names = view.terms.outcomes.iter().map(|one| format!("`{}`", one.name));
    Err(Refused::new(Code::UnknownOutcome)
        .detail(format!("none is named `{outcome}`"))
        .at("/outcome")
        .expected(names.collect::<Vec<_>>().join(" or ")))
}

/// Where a person gives the output of a step that is none for people: what it has to be.
fn output_schema(view: &ReviewView, outcome: &OutcomeName) -> Option<Arc<str>> {
    let is_given = match view.cause {
        ReviewCause::Money { .. } | ReviewCause::Outage { .. } | ReviewCause::Confidence { .. } => {
            outcome.as_str() == RESOLVED
        }
        ReviewCause::Step | ReviewCause::Replan { .. } => false,
    };
    let step = view.workflow.step(view.instance.step);
    step.output_schema.clone().filter(|_| is_given)
}

/// What was given, or what was proposed for the same outcome by those who have decided.
async fn data(
    cell: &Shared,
    view: &ReviewView,
    outcome: &OutcomeName,
    given: Option<&Text>,
) -> Result<Arc<str>, Refused> {
    if let Some(given) = given {
        return Ok(given.get().into());
    }
    let agrees = view.proposal.as_ref().is_some_and(|proposal| proposal.outcome == *outcome);
    if !agrees {
        return Ok("null".into());
    }
    let record = record_of(cell, &view.scope(), view.id).await?;
    let last = record.into_iter().rev().find_map(|row| match row.event {
        ReviewEvent::Voted { data, .. } => Some(data),
        _ => None,
    });
    Ok(last.unwrap_or_else(|| "null".into()))
}

/// Of the subject with the outcome and the data: what the others have to agree with.
fn result(subject: &Digest, outcome: &OutcomeName, data: &str) -> Digest {
    let mut hash = Sha256::new();
    hash.update(b"a decision");
    for part in [&subject[..], outcome.as_str().as_bytes(), data.as_bytes()] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

fn digest_in(text: &str) -> Result<Digest, Refused> {
    hex::decode(text).ok_or_else(|| {
        let refused = Refused::new(Code::InvalidValue).at("/digest");
        refused.expected("the `digest` of the review: 64 hexadecimal digits")
    })
}
