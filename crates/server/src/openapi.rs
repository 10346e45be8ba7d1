//! All routes, and the document that is generated from them.

use axum::Router;
use axum::body::Bytes;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use fairlane_api::{Code, Problem, problem};
use utoipa::openapi::response::Response;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Content, Ref, RefOr};
use utoipa::{OpenApi, ToSchema};
use utoipa_axum::router::OpenApiRouter;

use crate::cells::App;
use crate::problem::Refused;
use crate::{
    arrivals, audit, catalog, channels, dashboard, decisions, erasures, events, gateway, keys,
    metrics, people, pools, probes, quotas, readings, reports, reviews, runs, sealing, tenants,
    usage, worker, workflows,
};

#[derive(Debug, OpenApi)]
#[openapi(
    info(
        title = "Fairlane",
        description = "The control plane for platforms that serve many organisations. Errors are problem \
                       documents (RFC 9457) with a stable `code`. Unknown fields of requests are refused; \
                       answers may gain fields."
    ),
    tags(
        (name = "tenants", description = "Organisations, tiers, tenants, and what they may spend"),
        (name = "catalog", description = "What steps call"),
        (name = "workflows", description = "Workflow definitions"),
        (name = "runs", description = "Runs of one tenant"),
        (name = "reviews", description = "What people are asked, and what they decide"),
        (name = "notices", description = "Where tenants are told of things, and what they still are to be told"),
        (name = "worker", description = "The worker protocol"),
        (name = "gateway", description = "Calls of models, as clients of OpenAI make them"),
        (name = "audit", description = "Logs of what was decided and done, as they are chained, signed and proven"),
        (name = "erasures", description = "What of tenants is to be forgotten, and the receipts"),
        (name = "platform", description = "The operator's view: pools, valve, readings, keys"),
        (name = "probes", description = "Whether the server lives and serves")
    )
)]
struct Document;

/// The routes with their state, ready to serve.
pub(crate) fn router(app: App) -> Router {
    let (router, document) = described().split_for_parts();
    let document = Bytes::from(document_text(document));
    let serve_document = move || {
        let document = document.clone();
        async move { ([(header::CONTENT_TYPE, "application/json")], document).into_response() }
    };
    router
        .route("/openapi.json", get(serve_document))
        .merge(dashboard::routes())
        .fallback(async || Refused::new(Code::UnknownPath))
        .method_not_allowed_fallback(async || Refused::new(Code::MethodNotAllowed))
        .with_state(app)
}

/// The document as it is served and checked in.
pub fn document() -> String {
    document_text(described().into_openapi())
}

fn described() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(Document::openapi())
        .merge(tenants::routes())
        .merge(workflows::routes())
        .merge(runs::routes())
        .merge(reviews::routes())
        .merge(channels::routes())
        .merge(events::routes())
        .merge(worker::routes())
        .merge(gateway::routes())
        .merge(pools::routes())
        .merge(readings::routes())
        .merge(decisions::routes())
        .merge(metrics::routes())
        .merge(quotas::routes())
        .merge(usage::routes())
        .merge(arrivals::routes())
        .merge(reports::routes())
        .merge(catalog::routes())
        .merge(keys::routes())
        .merge(people::routes())
        .merge(sealing::routes())
        .merge(audit::routes())
        .merge(erasures::routes())
        .merge(probes::routes())
}

fn document_text(mut document: utoipa::openapi::OpenApi) -> String {
    let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    let components = document.components.get_or_insert_default();
    components.security_schemes.insert("key".to_owned(), bearer.into());
    document.security = Some(vec![SecurityRequirement::new("key", std::iter::empty::<&str>())]);
    for path in document.paths.paths.values_mut() {
        let methods = [&mut path.get, &mut path.put, &mut path.post, &mut path.delete];
        for operation in methods.into_iter().flatten() {
            for (status, response) in &mut operation.responses.responses {
                if let RefOr::T(response) = response {
                    complete(status, response);
                }
            }
        }
    }
    let mut text = document.to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

/// Adds what is the same wherever an operation answers so, and would be forgotten somewhere if each had to say it.
fn complete(status: &str, response: &mut Response) {
    let problem = Content::new(Some(Ref::from_schema_name(Problem::name())));
    let typed = |(media_type, content): (String, RefOr<Content>)| match &content {
        RefOr::T(body) if *body == problem => (problem::MEDIA_TYPE.to_owned(), content),
        _ => (media_type, content),
    };
    response.content = std::mem::take(&mut response.content).into_iter().map(typed).collect();
    // The standard wants a description of every response.
    if response.description.is_empty() {
        describe(status).clone_into(&mut response.description);
    }
}

fn describe(status: &str) -> &'static str {
    let exact = StatusCode::from_bytes(status.as_bytes()).ok();
    match (status, exact.and_then(|status| status.canonical_reason())) {
        ("4XX", _) => "The request is refused",
        ("5XX", _) => "The server could not do it",
        (_, reason) => reason.unwrap_or_default(),
    }
}
