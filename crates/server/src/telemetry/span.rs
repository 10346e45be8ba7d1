//! Spans of what the cell says of runs. Names of attributes are those of OpenTelemetry where it has them, and begin with
//! `fairlane.` otherwise.

use fairlane_core::cell::effect::{Phase, Segment, Try, WaitedOn, What};
use fairlane_core::gate::{Gate, LimitHolder, Refusal};
use fairlane_core::id::{RegionName, RunId, TenantId};
use fairlane_core::row::{Instance, Lane, Part, RunStatus};
use fairlane_core::time::Time;
use fairlane_core::trace::{SpanId, TraceId};

use super::otlp::{AnyValue, KeyValue, Kind, Resource, Span, Status, StatusCode, Value};
use crate::wire::status_name;

/// Classes of failures are names that workers make up: what is longer or has other characters than names have is not exported.
const CLASS_BYTES_MAX: usize = 64;
const SAMPLED: u32 = 1;

/// What all spans of a cell have in common.
pub(super) fn resource(service: &str, region: &RegionName) -> Resource {
    let attributes = vec![
        text("service.name", service),
        text("service.version", env!("CARGO_PKG_VERSION")),
        text("service.instance.id", uuid::Uuid::now_v7().to_string()),
        text("fairlane.region", region.as_str()),
    ];
    Resource { attributes }
}

/// Where a span is in its trace.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) trace: TraceId,
    pub(super) span: SpanId,
    pub(super) parent: Option<SpanId>,
}

pub(super) fn of_segment(segment: &Segment) -> Span {
    let run = segment.trace.span(segment.key.run);
    let at = |span, parent| Place { trace: segment.trace.id, span, parent };
    let times = (segment.from, segment.to);
    let kind = match &segment.what {
        What::Run { .. } => "run",
        What::Try(_) => "step",
        What::Wait { .. } => "gate",
    };
    let mut span = match &segment.what {
        What::Run { .. } => begun(at(run, segment.trace.parent), Kind::Internal, times),
        What::Try(tried) => {
            begun(at(run.of_try(tried.instance, tried.number), Some(run)), Kind::Internal, times)
        }
        What::Wait { instance, of, .. } => {
            // Those of several steps that hang on their run are told apart too.
            let tried = run.of_try(*instance, of.unwrap_or_default());
            let parent = of.map_or(run, |_| tried);
            begun(at(tried.of_wait(segment.from.0), Some(parent)), Kind::Internal, times)
        }
    };
    span.attributes.push(text("fairlane.kind", kind));
    of_run(&mut span, &segment.key.tenant, Some(segment.key.run));
    span.attributes.push(text("fairlane.workflow", segment.workflow.name.as_str()));
    match &segment.what {
        What::Run { status, failure, lane, schedule } => {
            span.name = format!("run {}", segment.workflow.name);
            let version = i64::from(segment.workflow.version);
            span.attributes.push(number("fairlane.workflow.version", version));
            span.attributes.push(text("fairlane.status", status_name(*status)));
            span.attributes.push(text("fairlane.lane", lane_text(*lane)));
            span.attributes.extend(
                schedule.iter().map(|schedule| text("fairlane.schedule", schedule.as_str())),
            );
            failed(&mut span, failure.as_deref(), *status == RunStatus::Failed);
        }
        What::Try(tried) => of_try(&mut span, segment, tried),
        What::Wait { instance, on, .. } => of_wait(&mut span, segment, (*instance, on)),
    }
    span
}

fn of_try(span: &mut Span, segment: &Segment, tried: &Try) {
    span.name = format!("step {}", segment.workflow.step(tried.instance.step).name);
    of_instance(span, segment, tried.instance);
    let became = became_text(tried.became);
    span.attributes.push(text("fairlane.outcome", became));
    if tried.attempt > 0 {
        span.attributes.push(number("fairlane.attempt", tried.attempt.into()));
    }
    if let Some((worker, pool)) = &tried.worker {
        span.attributes.push(text("fairlane.worker", worker.as_str()));
        span.attributes.push(text("fairlane.pool", pool.as_str()));
    }
    failed(span, tried.failure.as_deref(), tried.failure.is_some());
}

fn of_wait(span: &mut Span, segment: &Segment, (instance, on): (Instance, &WaitedOn)) {
    let gate = gate_text(on);
    span.name = format!("gate {gate}");
    of_instance(span, segment, instance);
    span.attributes.push(text("fairlane.gate", gate));
    match on {
        WaitedOn::Gate(refusal) => of_refusal(span, refusal),
        WaitedOn::Review(review) => {
            span.attributes.push(text("fairlane.review", review.to_string()));
        }
        WaitedOn::Signal(signal) => {
            span.attributes.push(text("fairlane.signal", signal.as_str()));
        }
        WaitedOn::Money(_) => span.attributes.push(text("fairlane.account", "run")),
        WaitedOn::Slot | WaitedOn::Resume | WaitedOn::Time | WaitedOn::Replan => {}
    }
}

/// What there is to name of a refusal; its numbers can be others' too.
fn of_refusal(span: &mut Span, refusal: &Refusal) {
    let said = match refusal {
        Refusal::Route { model, .. } => vec![text("gen_ai.request.model", model.as_str())],
        Refusal::Outside { tool, .. } | Refusal::Denied { tool } => {
            vec![text("fairlane.tool", tool.as_str())]
        }
        Refusal::Policy { policy, .. } => vec![text("fairlane.policy", &**policy)],
        Refusal::Budget { account, .. } => vec![text("fairlane.account", account.code())],
        Refusal::Limit { tool, holder, rule, .. } => vec![
            text("fairlane.tool", tool.as_str()),
            text("fairlane.limit.holder", holder_text(*holder)),
            text("fairlane.limit.rule", &**rule),
        ],
        Refusal::NoWorker { pool } => vec![text("fairlane.pool", pool.as_str())],
        Refusal::Slot(_) => Vec::new(),
    };
    span.attributes.extend(said);
}

fn of_instance(span: &mut Span, segment: &Segment, instance: Instance) {
    let step = &segment.workflow.step(instance.step).name;
    span.attributes.push(text("fairlane.step", step.as_str()));
    match instance.part {
        Part::Whole => {}
        Part::Item(item) => span.attributes.push(number("fairlane.item", item.into())),
        Part::Compensation => span.attributes.push(flag("fairlane.compensation")),
    }
}

/// A span that has whereabouts and times, and nothing else yet.
pub(super) fn begun(at: Place, kind: Kind, (from, to): (Time, Time)) -> Span {
    Span {
        trace_id: at.trace.0.to_be_bytes().to_vec(),
        span_id: at.span.0.to_be_bytes().to_vec(),
        parent_span_id: at.parent.map_or_else(Vec::new, |parent| parent.0.to_be_bytes().to_vec()),
        kind: kind.into(),
        start_time_unix_nano: nanos(from),
        end_time_unix_nano: nanos(to),
        flags: SAMPLED,
        ..Span::default()
    }
}

/// Whose it is.
pub(super) fn of_run(span: &mut Span, tenant: &TenantId, run: Option<RunId>) {
    span.attributes.push(text("fairlane.tenant", tenant.as_str()));
    span.attributes.extend(run.map(|run| text("fairlane.run", run.to_string())));
}

pub(super) fn failed(span: &mut Span, class: Option<&str>, is_error: bool) {
    if let Some(class) = class {
        let is_name = class.len() <= CLASS_BYTES_MAX
            && class.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        span.attributes.push(text("error.type", if is_name { class } else { "_OTHER" }));
    }
    if is_error {
        span.status = Some(Status { code: StatusCode::Error.into() });
    }
}

pub(super) const fn nanos(time: Time) -> u64 {
    time.0.saturating_mul(1_000)
}

pub(super) fn text(key: &str, value: impl Into<String>) -> KeyValue {
    pair(key, Value::Text(value.into()))
}

pub(super) fn number(key: &str, value: i64) -> KeyValue {
    pair(key, Value::Number(value))
}

fn flag(key: &str) -> KeyValue {
    pair(key, Value::Flag(true))
}

fn pair(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }) }
}

const fn gate_text(on: &WaitedOn) -> &'static str {
    match on {
        WaitedOn::Gate(refusal) => match refusal.gate() {
            Gate::Route => "route",
            Gate::Policy => "policy",
            Gate::Budget => "budget",
            Gate::Limit => "limit",
            Gate::Slot => "slot",
        },
        WaitedOn::Slot => "slot",
        WaitedOn::Money(_) => "budget",
        WaitedOn::Resume => "paused",
        WaitedOn::Review(_) => "review",
        WaitedOn::Signal(_) => "signal",
        WaitedOn::Time => "time",
        WaitedOn::Replan => "replan",
    }
}

const fn became_text(phase: Phase) -> &'static str {
    match phase {
        Phase::Done => "completed",
        Phase::Failed => "failed",
        Phase::Skipped => "skipped",
        Phase::Cancelled => "cancelled",
        Phase::Backoff => "failed, and is tried again",
        Phase::Ready | Phase::Pending => "lost, and is done again",
        Phase::Disputed => "disputed",
        Phase::Proposed => "proposed",
        Phase::Reviewing => "reviewed",
        Phase::Evaluating
        | Phase::Leased
        | Phase::Sleeping
        | Phase::Listening
        | Phase::Calling
        | Phase::Mapping => "under way",
    }
}

const fn lane_text(lane: Lane) -> &'static str {
    match lane {
        Lane::Urgent => "urgent",
        Lane::Normal => "normal",
        Lane::Background => "background",
    }
}

const fn holder_text(holder: LimitHolder) -> &'static str {
    match holder {
        LimitHolder::Tenant => "tenant",
        LimitHolder::Provider => "provider",
    }
}
