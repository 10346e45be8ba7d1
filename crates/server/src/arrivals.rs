//! `/v1/tenants/{tenant}/arrivals`: runs as they came and what they took, to be played again elsewhere.
//!
//! Runs are read newest first, with their steps and no payload. What one answer looks at is bounded: it may be short, with
//! a cursor to go on from.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json as Answer;
use fairlane_api::arrival::{Arrival, Caller, StepTaken};
use fairlane_api::page::Page;
use fairlane_api::usage::Tokens;
use fairlane_api::{Code, Problem, Timestamp};
use fairlane_core::id::{RunId, WorkflowName};
use fairlane_core::plan::{StepIndex, StepKind, Workflow};
use fairlane_core::row::{CallRow, Instance, RunRow, StepRow};
use fairlane_core::tenant::TenantScope;
use fairlane_core::time::{Span, Time};
use fairlane_store::{Error, Payloads, Read, RunFilter, RunQuery};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::auth::Scoped;
use crate::body::Params;
use crate::cells::{App, Here};
use crate::page::{after, limit};
use crate::problem::Refused;
use crate::quotas::amount_out;
use crate::reads::{last_calls, revised};
use crate::runs::read::phase_out;
use crate::serve::Shared;
use crate::wire::{lane_out, part_out, status_out, timestamp};

/// Steps that one answer looks at, about: some tens of milliseconds of one reader.
const STEPS_MAX: usize = 10_000;
/// A run's id is made before the run comes in, by another clock.
const SLACK: Span = Span::from_secs(60);

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Listing {
    /// Runs that were submitted then or later.
    from: Timestamp,
    /// Runs that were submitted before.
    until: Timestamp,
    /// `next` of the page before.
    cursor: Option<String>,
    /// Most entries, 1 to 1,000; 100 if absent. A page can be shorter and still have a `next`.
    #[param(minimum = 1, maximum = 1_000)]
    limit: Option<u32>,
}

/// A run with its steps, as they are read.
struct Found {
    row: RunRow,
    steps: Vec<StepRow>,
    calls: BTreeMap<Instance, CallRow>,
    /// The plan of the run that called it.
    caller: Option<Arc<Workflow>>,
}

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list_arrivals))
}

/// Lists a tenant's runs of a time with what their steps took, newest first
///
/// They have no payloads: `fairlane simulate` plays them again.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/arrivals", tag = "tenants", params(("tenant" = String, Path), Listing),
    responses((status = 200, body = Page<Arrival>), (status = "4XX", body = Problem), (status = "5XX", body = Problem))
)]
async fn list_arrivals(
    Here(shared): Here,
    Scoped(scope): Scoped,
    Params(listing): Params<Listing>,
) -> Result<Answer<Page<Arrival>>, Refused> {
    let (from, until) = (Time(listing.from.0), Time(listing.until.0));
    if from >= until {
        return Err(Refused::new(Code::MalformedRequest)
            .detail("the parameter `until` is not after `from`")
            .expected("a time after `from`"));
    }
    let cursor: Option<RunId> = listing.cursor.as_deref().map(after).transpose()?;
    let query = RunQuery {
        before: Some(cursor.unwrap_or_else(|| RunId::first_of(until + SLACK))),
        limit: u32::try_from(limit(listing.limit)?).unwrap_or(u32::MAX),
        filter: RunFilter {
            created_from: Some(from),
            created_until: Some(until),
            ..RunFilter::default()
        },
    };
    let oldest = RunId::first_of(Time(from.0.saturating_sub(SLACK.0)));
    let asked = Arc::clone(&shared);
    let (found, next) = shared
        .reads
        .of(&scope, move |reader, scope| {
            let workflow = |name: &WorkflowName, version| asked.registry.workflow(name, version);
            page(reader, scope, &query, (oldest, &workflow))
        })
        .await?;
    Ok(Answer(Page {
        items: found.iter().map(|found| arrival_out(&shared, found)).collect(),
        next: next.map(|next| next.to_string()),
    }))
}

type Workflows<'a> = &'a dyn Fn(&WorkflowName, Option<u32>) -> Option<Arc<Workflow>>;

/// The runs of a page. No run that is looked for has an id before `oldest`.
fn page(
    reader: &mut dyn Read,
    scope: &TenantScope,
    query: &RunQuery,
    (oldest, workflow): (RunId, Workflows<'_>),
) -> Result<(Vec<Found>, Option<RunId>), Error> {
    let page = reader.runs(scope, query)?;
    let mut next = page.next.filter(|next| *next > oldest);
    let mut found = Vec::with_capacity(page.rows.len());
    let (mut looked_at, many) = (0, page.rows.len());
    for row in page.rows {
        let run = row.key.run;
        let steps = reader.steps(scope, run, Payloads::Leave)?;
        looked_at += steps.len();
        let declared = workflow(&row.workflow, Some(row.version));
        let has_model = declared.is_none_or(|workflow| {
            workflow.steps.iter().any(|step| matches!(step.kind, StepKind::Model(_)))
        });
        let calls = if has_model { last_calls(reader, scope, run)? } else { BTreeMap::new() };
        let caller = match &row.parent {
            None => None,
            Some(parent) => match reader.run(scope, parent.run, Payloads::Leave)? {
                None => None,
                Some(parent) => revised(reader, scope, &parent)?
                    .or_else(|| workflow(&parent.workflow, Some(parent.version))),
            },
        };
        found.push(Found { row, steps, calls, caller });
        if looked_at >= STEPS_MAX && found.len() < many {
            next = Some(run);
            break;
        }
    }
    Ok((found, next))
}

fn arrival_out(shared: &Shared, found: &Found) -> Arrival {
    let Found { row, steps, calls, caller } = found;
    let declared = shared.registry.workflow(&row.workflow, Some(row.version));
    // Without its plan nobody knows what its steps are called.
    let plan = declared.filter(|_| row.replans == 0);
    let taken = |step: &StepRow| {
        let name = step_name(plan.as_deref()?, step.instance.step)?;
        let tokens = calls.get(&step.instance).map(|call| call.metered.usage);
        Some(StepTaken {
            name,
            part: part_out(step.instance.part),
            phase: phase_out(&step.state),
            ready_at: timestamp(step.ready),
            since: timestamp(step.since),
            worked_us: by_attempt(step),
            tokens: tokens.map(|used| Tokens {
                input: used.input.into(),
                cached: used.cached.into(),
                output: used.output.into(),
            }),
        })
    };
    Arrival {
        run: row.key.run.to_string(),
        workflow: row.workflow.to_string(),
        version: row.version,
        lane: lane_out(row.lane),
        status: status_out(row.status),
        created_at: timestamp(row.created),
        ended_at: row.ended.map(timestamp),
        parent: row.parent.as_ref().and_then(|parent| {
            let step = step_name(caller.as_deref()?, parent.instance.step)?;
            let (run, part) = (parent.run.to_string(), part_out(parent.instance.part));
            Some(Caller { run, step, part })
        }),
        spent: amount_out(row.money.posted),
        replanned: row.replans > 0,
        payloads_expired: row.is_bare,
        steps: steps.iter().filter_map(taken).collect(),
    }
}

/// A dispatch that was lost is no attempt: its time is part of the next one's.
fn by_attempt(step: &StepRow) -> Vec<u64> {
    let spans = step.worked.spans();
    let lost = spans.len().saturating_sub(step.attempt.max(1) as usize);
    let (lost, attempts) = spans.split_at(lost);
    let mut attempts: Vec<u64> = attempts.iter().map(|span| span.0).collect();
    if let Some(first) = attempts.first_mut() {
        *first = lost.iter().map(|span| span.0).fold(*first, u64::saturating_add);
    }
    attempts
}

fn step_name(plan: &Workflow, step: StepIndex) -> Option<String> {
    plan.steps.get(usize::from(step.0)).map(|step| step.name.to_string())
}
