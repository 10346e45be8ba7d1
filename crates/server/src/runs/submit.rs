//! Submissions. The input is checked against the workflow's schema before the cell hears of it, so the version
//! that it was checked for is the one that runs.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::Json as Answer;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use fairlane_api::run::{self as wire, Batch, BatchAnswer, BatchResult, Submission, Submitted};
use fairlane_api::{Code, Problem};
use fairlane_core::cell::effect::Progress;
use fairlane_core::cell::input::{Idempotency, ReplyId, Submit};
use fairlane_core::erasure::Subject;
use fairlane_core::id::RunId;
use fairlane_core::plan::Workflow;
use fairlane_core::row::{Payload, RunKey, RunRow, RunStatus};
use fairlane_core::tenant::TenantScope;
use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use tokio::sync::oneshot;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::access;
use crate::assembly::Unassembled;
use crate::auth::{Identity, Scoped};
use crate::body::{self, Json, Params};
use crate::cells::{App, Here};
use crate::engine::Engine;
use crate::engine::desk::Outcome;
use crate::problem::Refused;
use crate::serve::Surroundings;
use crate::wire::{failure_out, lane, name, null, status_out, timestamp};

/// Submissions of one batch.
const BATCH_MAX: usize = 1_000;
/// Longest idempotency key.
const KEY_BYTES_MAX: usize = 200;
const WAIT_MS_MAX: u64 = 60_000;
/// Changes of a run that may wait for whoever waits for its end.
const WATCH_MAX: usize = 64;

#[derive(Clone, Copy, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Wait {
    /// Answer when the run has ended, or after this time with its state then. At most 60,000.
    #[serde(default)]
    #[param(maximum = 60_000)]
    wait_ms: u64,
}

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(submit_run)).routes(routes!(submit_batch))
}

/// Submits a run
///
/// With the header `Idempotency-Key` the same submission again gives the same run.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/runs", tag = "runs",
    params(
        ("tenant" = String, Path), Wait,
        ("Idempotency-Key" = Option<String>, Header, description = "At most 200 visible ASCII characters")
    ),
    request_body = Submission,
    responses(
        (status = 201, body = Submitted, description = "A new run"),
        (status = 200, body = Submitted, description = "The run that the idempotency key led to before"),
        (status = "4XX", body = Problem), (status = "5XX", body = Problem)
    )
)]
#[expect(clippy::too_many_arguments, reason = "one for each part of the request")]
async fn submit_run(
    Here(shared): Here,
    Scoped(scope): Scoped,
    identity: Identity,
    Params(Wait { wait_ms }): Params<Wait>,
    headers: HeaderMap,
    Json(body): Json<Submission>,
) -> Result<Response, Refused> {
    if wait_ms > WAIT_MS_MAX {
        return Err(Refused::new(Code::MalformedRequest)
            .detail(format!("the parameter `wait_ms` is {wait_ms}"))
            .expected(format!("at most {WAIT_MS_MAX}")));
    }
    let key = headers.get("idempotency-key").map(idempotency_key).transpose()?;
    let draft = Draft::check(&shared, &scope, body, key).await?;
    let workflow = draft.workflow.clone();
    let session = shared.engine.session();
    let mut drafts = [Ok(draft)];
    look_up(&shared, &scope, &mut drafts).await?;
    let [draft] = drafts;
    let mut submit = draft?.into_submit(&shared, &scope, &identity);
    submit.trace = shared.traces.incoming(&headers);
    let (id, key) = (submit.reply, submit.key.clone());
    access::is_about_run(&shared, &key);
    let outcome = shared.engine.submit(submit, session, wait_ms > 0)?;
    let outcome = wait(&shared, id, outcome, Duration::from_millis(wait_ms)).await?;
    let answer = match outcome {
        Outcome::Ended(progress) => ended(&shared, &key, workflow, &progress).await,
        Outcome::Accepted { run, existing: false } => Ok(blank(run, RunStatus::Running)),
        Outcome::Accepted { run, existing: true } => {
            existing(&shared, &scope, run, Duration::from_millis(wait_ms)).await
        }
        Outcome::Rejected(rejection) => Err(rejection.into()),
    }?;
    Ok(respond(&scope, &answer))
}

/// Submits up to 1,000 runs, each with its own result
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/runs:batch", tag = "runs", params(("tenant" = String, Path)),
    request_body = Batch,
    responses((status = 200, body = BatchAnswer), (status = "4XX", body = Problem), (status = "5XX", body = Problem))
)]
async fn submit_batch(
    Here(shared): Here,
    Scoped(scope): Scoped,
    identity: Identity,
    headers: HeaderMap,
    Json(body): Json<UnreadBatch>,
) -> Result<Answer<BatchAnswer>, Refused> {
    if body.runs.count > BATCH_MAX {
        let refused = Refused::new(Code::TooMany).at("/runs");
        return Err(refused.expected(format!("at most {BATCH_MAX} runs")));
    }
    let mut drafts = Vec::with_capacity(body.runs.count);
    for (at, entry) in body.runs.kept.into_iter().enumerate() {
        let draft = Draft::of_entry(&shared, &scope, &entry).await;
        drafts.push(draft.map_err(|refused| refused.below(&format!("/runs/{at}"))));
    }
    let session = shared.engine.session();
    look_up(&shared, &scope, &mut drafts).await?;
    let trace = shared.traces.incoming(&headers);
    let sent: Vec<_> = drafts
        .into_iter()
        .map(|draft| {
            let mut submit = draft?.into_submit(&shared, &scope, &identity);
            submit.trace = trace;
            shared.engine.submit(submit, session, false)
        })
        .collect();
    let mut results = Vec::with_capacity(sent.len());
    for (at, outcome) in sent.into_iter().enumerate() {
        results.push(batch_result(&shared.engine, at, outcome).await);
    }
    Ok(Answer(BatchAnswer { results }))
}

/// A [`Batch`] whose entries are not read yet, so that a mistake in one is its own result.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct UnreadBatch {
    runs: Unread,
}

/// The entries of a batch. Those past the bound are counted only, so that they hold no memory.
#[derive(Debug, Default)]
struct Unread {
    kept: Vec<Box<RawValue>>,
    count: usize,
}

impl<'de> Deserialize<'de> for Unread {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Unread;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a sequence")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Unread, A::Error> {
                let mut unread = Unread::default();
                while unread.count < BATCH_MAX
                    && let Some(entry) = entries.next_element()?
                {
                    unread.kept.push(entry);
                    unread.count += 1;
                }
                while entries.next_element::<IgnoredAny>()?.is_some() {
                    unread.count += 1;
                }
                Ok(unread)
            }
        }
        deserializer.deserialize_seq(Entries)
    }
}

/// What the store knows of the drafts' idempotency keys.
async fn look_up(
    shared: &Surroundings,
    scope: &TenantScope,
    drafts: &mut [Result<Draft, Refused>],
) -> Result<(), Refused> {
    let keys = drafts.iter().map(|draft| draft.as_ref().ok()?.key.clone()).collect();
    for (draft, row) in drafts.iter_mut().zip(shared.idempotency(scope, keys).await?) {
        if let Ok(draft) = draft {
            draft.prior = row.map(|row| (row.run, row.digest));
        }
    }
    Ok(())
}

/// A submission that the edge finds nothing wrong with.
struct Draft {
    /// The version that the input was checked for; the cell says so if there is none.
    workflow: Option<Arc<Workflow>>,
    body: Submission,
    input: Payload,
    subject: Option<Subject>,
    key: Option<Arc<str>>,
    digest: [u8; 32],
    prior: Option<(RunId, [u8; 32])>,
}

impl Draft {
    async fn of_entry(
        shared: &Surroundings,
        scope: &TenantScope,
        entry: &RawValue,
    ) -> Result<Self, Refused> {
        let entry: wire::BatchEntry = body::parse(entry.get().as_bytes())?;
        let wire::BatchEntry { workflow, version, lane, input, idempotency_key } = entry;
        let key = idempotency_key.as_deref().map(checked_key).transpose();
        let key = key.map_err(|refused| refused.at("/idempotency_key"))?;
        Self::check(shared, scope, Submission { workflow, version, lane, input }, key).await
    }

    async fn check(
        shared: &Surroundings,
        scope: &TenantScope,
        body: Submission,
        key: Option<Arc<str>>,
    ) -> Result<Self, Refused> {
        let input = body.input.as_ref().map_or("null", |input| input.get());
        let max = shared.config.payload_bytes_max;
        if input.len() > max {
            let refused = Refused::new(Code::BodyTooLarge).at("/input");
            return Err(refused.expected(format!("at most {max} bytes")));
        }
        let input = Payload::from(input.as_bytes());
        let workflow = shared.registry.workflow(&name(&body.workflow, "/workflow")?, body.version);
        if let Some(schema) = workflow.as_ref().and_then(|found| found.input_schema.clone()) {
            let checked = shared.assembly.check(schema, input.clone()).await?;
            checked.map_err(|violations| invalid_input(&violations))?;
        }
        let path = workflow.as_ref().and_then(|found| found.subject.clone());
        let subject = path.map(|path| subject(scope, &path, &input)).transpose()?;
        let digest = if key.is_some() { digest(scope, &body, &input) } else { [0; 32] };
        Ok(Self { workflow, body, input, subject, key, digest, prior: None })
    }

    fn into_submit(
        self,
        shared: &Surroundings,
        scope: &TenantScope,
        identity: &Identity,
    ) -> Box<Submit> {
        let run = RunId(uuid::Uuid::now_v7().as_u128());
        let (digest, prior) = (self.digest, self.prior);
        let named = || self.body.workflow.parse().expect("the name was checked with the draft");
        Box::new(Submit {
            reply: shared.engine.reply_id(),
            key: RunKey { tenant: scope.tenant().clone(), run },
            workflow: self.workflow.as_ref().map_or_else(named, |found| found.name.clone()),
            version: self.workflow.map_or(self.body.version, |found| Some(found.version)),
            lane: lane(self.body.lane.unwrap_or_default()),
            requester: identity.person().cloned(),
            by: Some(identity.actor()),
            subject: self.subject,
            trace: None,
            input: self.input,
            idempotency: self.key.map(|key| Idempotency { key, digest, prior }),
        })
    }
}

/// Whom or what the run is about, as the input says where its workflow points.
fn subject(scope: &TenantScope, path: &str, input: &[u8]) -> Result<Subject, Refused> {
    let pointer = format!("/{}", path.replace('.', "/"));
    let input: serde_json::Value = serde_json::from_slice(input).unwrap_or_default();
    let named = match input.pointer(&pointer) {
        Some(serde_json::Value::String(text)) if !text.is_empty() => text.clone(),
        Some(serde_json::Value::Number(number)) => number.to_string(),
        _ => {
            return Err(Refused::new(Code::InvalidInput)
                .at(format!("/input{pointer}"))
                .detail("the workflow says that the run's subject stands here")
                .expected("a text or a number"));
        }
    };
    Ok(crate::erasures::subject(scope.tenant(), &named))
}

/// What an idempotency key stands for. The version is the one that was asked for: "the newest" stays the same
/// request when a newer one comes.
fn digest(scope: &TenantScope, body: &Submission, input: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in [
        scope.tenant().as_str().as_bytes(),
        body.workflow.as_bytes(),
        &body.version.unwrap_or(0).to_be_bytes(),
        &[body.lane.unwrap_or_default() as u8],
        input,
    ] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

pub(super) fn idempotency_key(value: &HeaderValue) -> Result<Arc<str>, Refused> {
    checked_key(value.to_str().unwrap_or_default())
}

fn checked_key(text: &str) -> Result<Arc<str>, Refused> {
    let is_visible = text.bytes().all(|byte| byte.is_ascii_graphic());
    if is_visible && (1..=KEY_BYTES_MAX).contains(&text.len()) {
        return Ok(Arc::from(text));
    }
    Err(Refused::new(Code::MalformedRequest)
        .detail("the idempotency key is not well formed")
        .expected(format!("1 to {KEY_BYTES_MAX} visible ASCII characters")))
}

fn invalid_input(violations: &[fairlane_workflow::Violation]) -> Refused {
    let first = violations.first();
    let pointer = first.map_or("", |violation| violation.pointer.as_str());
    let refused = Refused::new(Code::InvalidInput).at(format!("/input{pointer}"));
    let refused = refused.facts(&serde_json::json!({ "violations": violations }));
    refused.detail(first.map_or_else(String::new, |violation| violation.message.clone()))
}

/// Waits for the outcome; when the time is over, or the server stops, for the admission only.
async fn wait(
    shared: &Surroundings,
    id: ReplyId,
    mut outcome: oneshot::Receiver<Outcome>,
    span: Duration,
) -> Result<Outcome, Refused> {
    let result = if span.is_zero() {
        outcome.await
    } else {
        tokio::select! {
            biased;
            result = &mut outcome => result,
            () = tokio::time::sleep(span) => {
                shared.engine.nudge(id);
                outcome.await
            }
            () = shared.stopping() => {
                shared.engine.nudge(id);
                outcome.await
            }
        }
    };
    result.map_err(|_| shared.engine.unavailable())
}

async fn ended(
    shared: &Surroundings,
    key: &RunKey,
    workflow: Option<Arc<Workflow>>,
    progress: &Progress,
) -> Result<Submitted, Refused> {
    let mut answer = blank(progress.key.run, progress.status);
    answer.created_at = Some(timestamp(progress.created));
    answer.ended_at = progress.ended.map(timestamp);
    answer.failure = progress.failure.as_ref().map(failure_out);
    if let (RunStatus::Completed, Some(workflow)) = (progress.status, workflow) {
        answer.output = Some(output(shared, key, &workflow).await?);
    }
    Ok(answer)
}

/// The run that the idempotency key led to before.
async fn existing(
    shared: &Surroundings,
    scope: &TenantScope,
    run: RunId,
    span: Duration,
) -> Result<Submitted, Refused> {
    let key = RunKey { tenant: scope.tenant().clone(), run };
    let watch = || shared.engine.watch(key.clone(), WATCH_MAX);
    let mut watch = (!span.is_zero()).then(watch).transpose()?;
    // Read after the watch has begun: a run that has not ended here is seen to end there.
    let row = read(shared, scope, run).await?;
    let row = if span.is_zero() || row.status.is_ended() {
        row
    } else {
        let end = async {
            while let Some(watch) = &mut watch
                && let Some(change) = watch.next().await
                && !change.status.is_ended()
            {}
        };
        tokio::select! {
            () = end => {}
            () = tokio::time::sleep(span) => {}
            () = shared.stopping() => {}
        }
        read(shared, scope, run).await?
    };
    let mut answer = Submitted { existing: true, ..blank(run, row.status) };
    answer.created_at = Some(timestamp(row.created));
    answer.ended_at = row.ended.map(timestamp);
    answer.failure = row.failure.as_ref().map(failure_out);
    if !span.is_zero()
        && row.status == RunStatus::Completed
        && let Some(workflow) = shared.assembly.plan(&row).await?
    {
        answer.output = Some(output(shared, &key, &workflow).await?);
    }
    Ok(answer)
}

async fn read(shared: &Surroundings, scope: &TenantScope, run: RunId) -> Result<RunRow, Refused> {
    let row = shared.reads.run(scope, run).await?;
    row.ok_or_else(|| crate::problem::rejection::unknown_run(&run.to_string()))
}

/// The output of a completed run, as JSON.
pub(super) async fn output(
    shared: &Surroundings,
    key: &RunKey,
    workflow: &Arc<Workflow>,
) -> Result<fairlane_api::Json, Refused> {
    match shared.assembly.run_output(key, workflow).await {
        Ok(output) => {
            let text = std::str::from_utf8(&output).unwrap_or("null");
            Ok(RawValue::from_string(text.to_owned()).unwrap_or_else(|_| null()))
        }
        Err(Unassembled::Failed(failure)) => {
            Err(Refused::new(Code::NoOutput).detail(failure.message.to_string()))
        }
        Err(Unassembled::Unavailable) => Err(Refused::new(Code::StoreUnavailable)),
    }
}

async fn batch_result(
    engine: &Engine,
    at: usize,
    sent: Result<oneshot::Receiver<Outcome>, Refused>,
) -> BatchResult {
    let outcome = match sent {
        Ok(outcome) => outcome.await.map_err(|_| engine.unavailable()),
        Err(refused) => Err(refused),
    };
    let accepted = match outcome {
        Ok(Outcome::Accepted { run, existing }) => Ok((run, existing)),
        Ok(Outcome::Ended(progress)) => Ok((progress.key.run, false)),
        Ok(Outcome::Rejected(rejection)) => {
            let refused = Refused::from(rejection);
            Err(if refused.0.pointer.is_some() {
                refused.below(&format!("/runs/{at}"))
            } else {
                refused
            })
        }
        Err(refused) => Err(refused),
    };
    match accepted {
        Ok((run, existing)) => BatchResult {
            status: if existing { 200 } else { 201 },
            run: Some(run.to_string()),
            problem: None,
        },
        Err(refused) => {
            BatchResult { status: refused.status(), run: None, problem: Some(*refused.0) }
        }
    }
}

fn blank(run: RunId, status: RunStatus) -> Submitted {
    Submitted {
        run: run.to_string(),
        existing: false,
        status: status_out(status),
        created_at: None,
        ended_at: None,
        failure: None,
        output: None,
    }
}

fn respond(scope: &TenantScope, answer: &Submitted) -> Response {
    let status = if answer.existing { StatusCode::OK } else { StatusCode::CREATED };
    let location = format!("/v1/tenants/{}/runs/{}", scope.tenant(), answer.run);
    let body = serde_json::to_vec(answer).unwrap_or_default();
    let json = HeaderValue::from_static("application/json");
    let mut response = (status, [(header::CONTENT_TYPE, json)], body).into_response();
    if let Ok(location) = HeaderValue::try_from(location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}
