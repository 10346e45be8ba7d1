//! `/v1/workflows`: declare versions as YAML or JSON text, read and list them.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json as Answer;
use axum::extract::{Path, State};
use fairlane_api::page::Page;
use fairlane_api::workflow::{self as wire, AppliedWorkflow, WorkflowStep, WorkflowSummary};
use fairlane_api::{Code, Mistake, Problem};
use fairlane_core::cell::input::Configure;
use fairlane_core::plan::{Step, StepKind, Workflow};
use fairlane_workflow::{Format, Known, Source};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::auth::{Identity, Operator};
use crate::body::{MediaType, Params, Raw, wrong_media_type};
use crate::cells::App;
use crate::declare::{DryRun, configure};
use crate::page::{Paging, page};
use crate::problem::Refused;
use crate::registry::Registry;
use crate::wire::path_name;

/// Version numbers that one answer shows.
const VERSIONS_SHOWN: usize = 100;

#[derive(Clone, Copy, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Version {
    /// The newest if absent.
    version: Option<u32>,
}

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list_workflows)).routes(routes!(get_workflow, put_workflow))
}

/// Declares a version of a workflow
///
/// The body is the definition, as YAML or JSON. All mistakes in it are reported at once.
#[utoipa::path(
    put, path = "/v1/workflows/{workflow}", tag = "workflows",
    params(("workflow" = String, Path), DryRun),
    request_body(content(
        (String = "application/yaml"),
        (serde_json::Value = "application/json")
    )),
    responses((status = 200, body = AppliedWorkflow), (status = "4XX", body = Problem), (status = "5XX", body = Problem))
)]
async fn put_workflow(
    State(shared): State<App>,
    operator: Operator,
    Path(path): Path<String>,
    Params(dry_run): Params<DryRun>,
    body: Raw,
) -> Result<Answer<AppliedWorkflow>, Refused> {
    let name = path_name(&path)?;
    let format = match body.media_type {
        Some(MediaType::Yaml) => Format::Yaml,
        Some(MediaType::Json) => Format::Json,
        _ => return Err(wrong_media_type("application/yaml or application/json")),
    };
    let known = known(&shared.registry);
    // Checking a large definition takes some milliseconds, which other connections must not wait for.
    let parsed = tokio::task::spawn_blocking(move || read(&body.bytes, format, &known)).await;
    let workflow = parsed.map_err(|error| Refused::internal(&error))??;
    if workflow.name != name {
        return Err(Refused::new(Code::InvalidValue)
            .at("/workflow")
            .detail(format!("the definition names the workflow `{}`", workflow.name))
            .expected(format!("`{name}`, as in the path")));
    }
    let version = workflow.version;
    let resource = Configure::Workflow(Arc::new(workflow));
    let applied = configure((&shared, &operator), resource, dry_run).await?;
    Ok(Answer(AppliedWorkflow {
        workflow: path,
        version,
        changed: applied.changed,
        dry_run: applied.dry_run,
    }))
}

/// Reads a version of a workflow
///
/// A tenant's key reads it without its schedules, which belong to tenants: as JSON, and without comments.
#[utoipa::path(
    get, path = "/v1/workflows/{workflow}", tag = "workflows",
    params(("workflow" = String, Path), Version),
    responses((status = 200, body = wire::Workflow), (status = "4XX", body = Problem), (status = "5XX", body = Problem))
)]
async fn get_workflow(
    State(shared): State<App>,
    identity: Identity,
    Path(path): Path<String>,
    Params(Version { version }): Params<Version>,
) -> Result<Answer<wire::Workflow>, Refused> {
    identity.read_workflows()?;
    let found = path.parse().ok().and_then(|name| shared.registry.workflow(&name, version));
    let workflow = found.ok_or_else(|| {
        let version = version.map_or_else(String::new, |version| format!(" version {version}"));
        Refused::new(Code::UnknownWorkflow)
            .detail(format!("there is no workflow `{path}`{version}"))
    })?;
    let source = if identity.is_operator() {
        workflow.source.to_string()
    } else {
        shared_source(&workflow).await?
    };
    Ok(Answer(wire::Workflow {
        name: workflow.name.to_string(),
        version: workflow.version,
        versions: shared.registry.versions(&workflow.name, VERSIONS_SHOWN),
        steps: workflow.steps.iter().map(|step| step_out(&workflow, step)).collect(),
        source,
    }))
}

/// What every tenant may read of a definition.
async fn shared_source(workflow: &Arc<Workflow>) -> Result<String, Refused> {
    let workflow = workflow.clone();
    // Reading a large definition takes some milliseconds, which other connections must not wait for.
    let read = move || fairlane_workflow::without_schedules(&workflow.source);
    let read =
        tokio::task::spawn_blocking(read).await.map_err(|error| Refused::internal(&error))?;
    read.ok_or_else(|| Refused::internal(&"a declared definition cannot be read again"))
}

/// Lists workflows
#[utoipa::path(
    get, path = "/v1/workflows", tag = "workflows", params(Paging),
    responses((status = 200, body = Page<WorkflowSummary>), (status = "4XX", body = Problem))
)]
async fn list_workflows(
    State(shared): State<App>,
    identity: Identity,
    Params(paging): Params<Paging>,
) -> Result<Answer<Page<WorkflowSummary>>, Refused> {
    identity.read_workflows()?;
    let limit = paging.limit()?;
    let read = shared.registry.workflows(paging.after()?.as_ref(), limit + 1);
    let view = |workflow: Arc<Workflow>| WorkflowSummary {
        name: workflow.name.to_string(),
        version: workflow.version,
        steps: u32::try_from(workflow.steps.len()).unwrap_or(u32::MAX),
    };
    Ok(Answer(page(read, limit, |workflow| workflow.name.to_string(), view)))
}

fn known(registry: &Registry) -> Known {
    let pools = registry.pools().into_iter().map(|pool| (pool.name, pool.tasks));
    Known { pools: Some(pools.collect::<BTreeMap<_, _>>()) }
}

fn read(bytes: &[u8], format: Format, known: &Known) -> Result<Workflow, Refused> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        Refused::new(Code::MalformedRequest).detail(error.to_string()).expected("UTF-8 text")
    })?;
    let source = Source { text, format, file: "body" };
    fairlane_workflow::parse(&source, known, &fairlane_workflow::no_files).map_err(|mistakes| {
        let count = mistakes.len();
        let mistakes = mistakes.into_iter().map(mistake_out).collect();
        Refused::new(Code::InvalidWorkflow)
            .detail(format!("{count} {}", if count == 1 { "mistake" } else { "mistakes" }))
            .mistakes(mistakes)
    })
}

fn mistake_out(mistake: fairlane_workflow::Mistake) -> Mistake {
    Mistake {
        code: mistake.code.as_str().to_owned(),
        message: mistake.message,
        line: mistake.line,
        column: mistake.column,
        pointer: Some(mistake.path),
        expected: Some(mistake.expected),
    }
}

fn pool(kind: &StepKind) -> Option<String> {
    kind.pool().map(ToString::to_string)
}

fn step_out(workflow: &Workflow, step: &Step) -> WorkflowStep {
    let (kind, task, pool, calls) = match &step.kind {
        StepKind::Task { task, pool } => {
            (wire::StepKind::Task, Some(task.to_string()), Some(pool.to_string()), None)
        }
        StepKind::Model(_) => (wire::StepKind::Model, None, pool(&step.kind), None),
        StepKind::Tool => (wire::StepKind::Tool, None, pool(&step.kind), None),
        StepKind::Wait(_) => (wire::StepKind::Wait, None, None, None),
        StepKind::Review(_) => (wire::StepKind::Review, None, None, None),
        StepKind::Call { workflow, .. } => {
            (wire::StepKind::Call, None, None, Some(workflow.to_string()))
        }
    };
    let model = match &step.kind {
        StepKind::Model(call) => Some(call.model.to_string()),
        _ => None,
    };
    WorkflowStep {
        model,
        name: step.name.to_string(),
        kind: if step.map.is_some() { wire::StepKind::Map } else { kind },
        after: step.after.iter().map(|before| workflow.step(*before).name.to_string()).collect(),
        task,
        pool,
        tool: step.tool.as_ref().map(ToString::to_string),
        calls,
        optional: step.optional,
    }
}
