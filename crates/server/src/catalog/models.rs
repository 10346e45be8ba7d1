//! `/v1/catalog/models`: what a model's name stands for.

use axum::Json as Answer;
use axum::extract::{Path, State};
use fairlane_api::catalog::{self as wire, ModelSpec};
use fairlane_api::page::Page;
use fairlane_api::resource::Applied;
use fairlane_api::{Code, Problem};
use fairlane_core::catalog::{CANDIDATES_MAX, Candidate, MODEL_ID_BYTES_MAX, Model, TIERS_MAX};
use fairlane_core::cell::input::Configure;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::auth::Operator;
use crate::body::{Json, Params};
use crate::cells::App;
use crate::declare::{DryRun, configure};
use crate::page::{Paging, page};
use crate::problem::Refused;
use crate::quotas::Check;
use crate::tenants::missing;
use crate::wire::{name, path_name};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list_models)).routes(routes!(get_model, put_model))
}

/// Declares a model: the candidates that its name stands for
///
/// Each names a tool with an endpoint for chat completions, and a price. A tenant may use those without `tiers`, and
/// those that name its own.
#[utoipa::path(
    put, path = "/v1/catalog/models/{model}", tag = "catalog",
    params(("model" = String, Path), DryRun), request_body = ModelSpec,
    responses((status = 200, body = Applied), (status = "4XX", body = Problem), (status = "5XX", body = Problem))
)]
async fn put_model(
    State(shared): State<App>,
    operator: Operator,
    Path(model): Path<String>,
    Params(dry_run): Params<DryRun>,
    Json(spec): Json<ModelSpec>,
) -> Result<Answer<Applied>, Refused> {
    let name = path_name(&model)?;
    let mut check = Check::default();
    let candidates = candidates(&mut check, &spec.candidates);
    let model = check.finish(Model { name, candidates })?;
    configure((&shared, &operator), Configure::Model(model), dry_run).await.map(Answer)
}

/// Reads a model
#[utoipa::path(
    get, path = "/v1/catalog/models/{model}", tag = "catalog", params(("model" = String, Path)),
    responses((status = 200, body = wire::Model), (status = "4XX", body = Problem))
)]
async fn get_model(
    State(shared): State<App>,
    _: Operator,
    Path(model): Path<String>,
) -> Result<Answer<wire::Model>, Refused> {
    let found = model.parse().ok().and_then(|name| shared.registry.model(&name));
    let found = found.ok_or_else(|| missing(Code::UnknownModel, "model", &model))?;
    Ok(Answer(model_out(&found)))
}

/// Lists models
#[utoipa::path(
    get, path = "/v1/catalog/models", tag = "catalog", params(Paging),
    responses((status = 200, body = Page<wire::Model>), (status = "4XX", body = Problem))
)]
async fn list_models(
    State(shared): State<App>,
    _: Operator,
    Params(paging): Params<Paging>,
) -> Result<Answer<Page<wire::Model>>, Refused> {
    let limit = paging.limit()?;
    let read = shared.registry.models(paging.after()?.as_ref(), limit + 1);
    Ok(Answer(page(read, limit, |model| model.name.to_string(), |model| model_out(&model))))
}

fn candidates(check: &mut Check, given: &[wire::Candidate]) -> Vec<Candidate> {
    if given.is_empty() || given.len() > CANDIDATES_MAX {
        let refused = Refused::new(if given.is_empty() { Code::OutOfRange } else { Code::TooMany });
        let expected = format!("1 to {CANDIDATES_MAX} candidates");
        check.wrong(
            refused
                .detail(format!("there are {}", given.len()))
                .at("/candidates")
                .expected(expected),
        );
        return Vec::new();
    }
    let read = given.iter().zip(0..).map(|(one, at)| candidate(check, one, at));
    read.flatten().collect()
}

fn candidate(check: &mut Check, given: &wire::Candidate, at: usize) -> Option<Candidate> {
    let pointer = |field: &str| format!("/candidates/{at}/{field}");
    let endpoint = check.keep(name(&given.endpoint, &pointer("endpoint")));
    let id = &given.model;
    if id.is_empty() || id.len() > MODEL_ID_BYTES_MAX || id.chars().any(char::is_control) {
        check.wrong(
            Refused::new(Code::InvalidValue)
                .detail("this cannot be the name of a model")
                .at(pointer("model"))
                .expected(format!("1 to {MODEL_ID_BYTES_MAX} bytes without control characters")),
        );
    }
    let price = match &given.price {
        Some(price) => name(price, &pointer("price")),
        None => name(id, &pointer("price")).map_err(|refused| {
            refused
                .detail(format!("no price can be named `{id}` like the model"))
                .expected("the name of a price")
        }),
    };
    let price = check.keep(price);
    if given.tiers.len() > TIERS_MAX {
        let refused = Refused::new(Code::TooMany).at(pointer("tiers"));
        check.wrong(refused.expected(format!("at most {TIERS_MAX} tiers")));
        return None;
    }
    let tiers = given.tiers.iter().zip(0..).filter_map(|(tier, tier_at)| {
        let pointer = format!("{}/{tier_at}", pointer("tiers"));
        check.keep(name(tier, &pointer))
    });
    let tiers = tiers.collect();
    Some(Candidate { endpoint: endpoint?, model: id.as_str().into(), price: price?, tiers })
}

fn model_out(model: &Model) -> wire::Model {
    let candidate = |candidate: &Candidate| wire::Candidate {
        endpoint: candidate.endpoint.to_string(),
        model: candidate.model.to_string(),
        price: Some(candidate.price.to_string()),
        tiers: candidate.tiers.iter().map(ToString::to_string).collect(),
    };
    wire::Model {
        name: model.name.to_string(),
        candidates: model.candidates.iter().map(candidate).collect(),
    }
}
