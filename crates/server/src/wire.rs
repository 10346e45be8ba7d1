//! Conversions between wire and domain that more than one resource needs. Sentences about waits are made here.

use std::fmt::Display;
use std::str::FromStr;

use fairlane_api as api;
use fairlane_api::{Code, Timestamp};
use fairlane_core::cell::effect::{Phase, StepView, Waiting};
use fairlane_core::gate::{Account, Gate, LimitHolder, Refusal};
use fairlane_core::id::{StepName, ToolName};
use fairlane_core::limiter::{CIRCUIT_OPEN, RETRY_AFTER};
use fairlane_core::money::Nano;
use fairlane_core::policy;
use fairlane_core::quota::{Rung, Unit};
use fairlane_core::reject::Rejection;
use fairlane_core::replan::{Trigger, Trust};
use fairlane_core::review::Barrier;
use fairlane_core::reviews::Standing;
use fairlane_core::router::{NoWay, Passed};
use fairlane_core::row::{Failure, Halt, Lane, Part, Route, RunStatus};
use fairlane_core::scheduler::Wait;
use fairlane_core::tenant::{Burst, Sla};
use fairlane_core::time::{Span, Time};
use serde_json::value::RawValue;

use crate::places::{all_passed_words, outside_words, passed_out};
use crate::problem::Refused;
use crate::quotas::rung_out;

/// As long as the longest duration of a workflow: 3,660 days.
const LATENCY_MS_MAX: u64 = 3_660 * 24 * 60 * 60 * 1_000;

/// Checks a name of the request body.
pub(crate) fn name<T>(text: &str, pointer: &str) -> Result<T, Refused>
where
    T: FromStr,
    T::Err: Display,
{
    text.parse().map_err(|error: T::Err| {
        Refused::new(Code::InvalidName).detail(format!("the name {error}")).at(pointer)
    })
}

/// Checks a name of the path under which something is to be declared.
pub(crate) fn path_name<T>(text: &str) -> Result<T, Refused>
where
    T: FromStr,
    T::Err: Display,
{
    text.parse().map_err(|error: T::Err| {
        Refused::new(Code::InvalidName).detail(format!("the name in the path {error}"))
    })
}

/// A number of the request that has a largest value.
pub(crate) fn at_most(value: u64, max: u64, pointer: &str) -> Result<(), Refused> {
    if value <= max {
        return Ok(());
    }
    Err(Refused::new(Code::OutOfRange)
        .detail(format!("the value is {value}"))
        .at(pointer)
        .expected(format!("at most {max}")))
}

/// A number of the request that has a smallest and a largest value.
pub(crate) fn between(value: u64, [min, max]: [u64; 2], pointer: &str) -> Result<(), Refused> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(Refused::new(Code::OutOfRange)
        .detail(format!("the value is {value}"))
        .at(pointer)
        .expected(format!("{min} to {max}"))
        .facts(&serde_json::json!({ "value": value, "min": min, "max": max })))
}

/// A text that is known to be JSON.
pub(crate) fn json(text: &str) -> api::Json {
    RawValue::from_string(text.to_owned()).unwrap_or_else(|_| null())
}

pub(crate) fn null() -> api::Json {
    RawValue::NULL.to_owned()
}

pub(crate) const fn timestamp(time: Time) -> Timestamp {
    Timestamp(time.0)
}

/// Whole milliseconds, rounded down; what was declared in milliseconds comes back as it was.
pub(crate) const fn millis(span: Span) -> u64 {
    span.0 / 1_000
}

pub(crate) const fn lane(lane: api::run::Lane) -> Lane {
    match lane {
        api::run::Lane::Urgent => Lane::Urgent,
        api::run::Lane::Normal => Lane::Normal,
        api::run::Lane::Background => Lane::Background,
    }
}

pub(crate) const fn lane_out(lane: Lane) -> api::run::Lane {
    match lane {
        Lane::Urgent => api::run::Lane::Urgent,
        Lane::Normal => api::run::Lane::Normal,
        Lane::Background => api::run::Lane::Background,
    }
}

pub(crate) const fn status(status: api::run::RunStatus) -> RunStatus {
    match status {
        api::run::RunStatus::Running => RunStatus::Running,
        api::run::RunStatus::Paused => RunStatus::Paused,
        api::run::RunStatus::Stopping => RunStatus::Stopping,
        api::run::RunStatus::Compensating => RunStatus::Compensating,
        api::run::RunStatus::Completed => RunStatus::Completed,
        api::run::RunStatus::Failed => RunStatus::Failed,
        api::run::RunStatus::Cancelled => RunStatus::Cancelled,
    }
}

/// A status as it is written in sentences and traces.
pub(crate) const fn status_name(status: RunStatus) -> &'static str {
    match status {
        RunStatus::Running => "running",
        RunStatus::Paused => "paused",
        RunStatus::Stopping => "stopping",
        RunStatus::Compensating => "compensating",
        RunStatus::Completed => "completed",
        RunStatus::Failed => "failed",
        RunStatus::Cancelled => "cancelled",
    }
}

pub(crate) const fn status_out(status: RunStatus) -> api::run::RunStatus {
    match status {
        RunStatus::Running => api::run::RunStatus::Running,
        RunStatus::Paused => api::run::RunStatus::Paused,
        RunStatus::Stopping => api::run::RunStatus::Stopping,
        RunStatus::Compensating => api::run::RunStatus::Compensating,
        RunStatus::Completed => api::run::RunStatus::Completed,
        RunStatus::Failed => api::run::RunStatus::Failed,
        RunStatus::Cancelled => api::run::RunStatus::Cancelled,
    }
}

pub(crate) const fn part_out(part: Part) -> api::view::Part {
    match part {
        Part::Whole => api::view::Part::Whole,
        Part::Compensation => api::view::Part::Compensation,
        Part::Item(at) => api::view::Part::Item(at),
    }
}

pub(crate) const fn phase_out(phase: Phase) -> api::view::Phase {
    match phase {
        Phase::Pending => api::view::Phase::Pending,
        Phase::Evaluating => api::view::Phase::Evaluating,
        Phase::Ready => api::view::Phase::Ready,
        Phase::Leased => api::view::Phase::Leased,
        Phase::Backoff => api::view::Phase::Backoff,
        Phase::Sleeping => api::view::Phase::Sleeping,
        Phase::Listening => api::view::Phase::Listening,
        Phase::Calling => api::view::Phase::Calling,
        Phase::Reviewing => api::view::Phase::Reviewing,
        Phase::Mapping => api::view::Phase::Mapping,
        Phase::Disputed => api::view::Phase::Disputed,
        Phase::Proposed => api::view::Phase::Proposed,
        Phase::Done => api::view::Phase::Done,
        Phase::Skipped => api::view::Phase::Skipped,
        Phase::Failed => api::view::Phase::Failed,
        Phase::Cancelled => api::view::Phase::Cancelled,
    }
}

pub(crate) fn failure_out(failure: &Failure) -> api::run::Failure {
    api::run::Failure {
        class: failure.class.to_string(),
        message: failure.message.to_string(),
        step: failure.step.as_ref().map(ToString::to_string),
    }
}

pub(crate) fn burst(burst: api::resource::Burst) -> Burst {
    Burst { extra_slots: burst.extra_slots, credit: Span::from_millis(burst.credit_ms) }
}

pub(crate) const fn burst_out(burst: Burst) -> api::resource::Burst {
    api::resource::Burst { extra_slots: burst.extra_slots, credit_ms: millis(burst.credit) }
}

/// Checks a target; one that every run meets, or none can, is a slip.
pub(crate) fn sla(sla: api::resource::Sla) -> Result<Sla, Refused> {
    between(sla.percentile_permille.into(), [1, 1_000], "/sla/percentile_permille")?;
    between(sla.latency_ms, [1, LATENCY_MS_MAX], "/sla/latency_ms")?;
    let latency = Span::from_millis(sla.latency_ms);
    Ok(Sla { percentile_permille: sla.percentile_permille, latency })
}

pub(crate) const fn sla_out(sla: Sla) -> api::resource::Sla {
    api::resource::Sla {
        percentile_permille: sla.percentile_permille,
        latency_ms: millis(sla.latency),
    }
}

pub(crate) fn step_out(view: &StepView) -> api::view::Step {
    api::view::Step {
        name: view.name.to_string(),
        part: part_out(view.instance.part),
        phase: phase_out(view.phase),
        attempt: view.attempt,
        since: Some(timestamp(view.since)),
        waits: view.waits.as_ref().map(waiting_out),
        failure: view.failure.as_ref().map(failure_out),
        trust: view.trust.map(trust_out),
        route: view.route.as_deref().map(route_out),
        call: None,
    }
}

pub(crate) fn route_out(route: &Route) -> api::view::Route {
    api::view::Route {
        model: route.model.to_string(),
        endpoint: route.endpoint.to_string(),
        served_by: route.upstream.to_string(),
        degraded: route.rung.map(rung_out),
        input_tokens: route.input,
        max_tokens: route.output,
        region: route.considered.region.as_ref().map(ToString::to_string),
        adequate: route.considered.adequate.map(|country| country.to_string()),
        passed: passed_out(&route.considered.passed),
    }
}

/// What a step waits for, with the sentence that says what would let it through.
fn waiting_out(waiting: &Waiting) -> api::view::Waiting {
    use api::view::WaitingOn as On;
    let with = |on, needs: String| api::view::Waiting { needs, ..blank(on) };
    match waiting {
        Waiting::Steps(steps) => api::view::Waiting {
            steps: steps.iter().map(ToString::to_string).collect(),
            ..with(On::Steps, format!("the end of {}", list(steps)))
        },
        Waiting::Evaluation => with(On::Evaluation, "the value of its expression".to_owned()),
        Waiting::Gate { refusal, until } => {
            api::view::Waiting { until: until.map(timestamp), ..gate(refusal) }
        }
        Waiting::Worker { worker, until } => api::view::Waiting {
            until: Some(timestamp(*until)),
            worker: Some(worker.to_string()),
            ..with(On::Worker, format!("the report of worker `{worker}`"))
        },
        Waiting::Backoff { until, failure } => api::view::Waiting {
            until: Some(timestamp(*until)),
            failure: Some(failure_out(failure)),
            ..with(On::Backoff, "the time of its next attempt".to_owned())
        },
        Waiting::Time { until } => api::view::Waiting {
            until: Some(timestamp(*until)),
            ..with(On::Time, "the time that it sleeps until".to_owned())
        },
        Waiting::Signal { name, until } => api::view::Waiting {
            until: until.map(timestamp),
            signal: Some(name.to_string()),
            ..with(On::Signal, format!("a signal named `{name}`"))
        },
        Waiting::Child { run } => api::view::Waiting {
            child: Some(run.to_string()),
            ..with(On::Child, format!("the end of run {run}"))
        },
        Waiting::Place(refused) => with(On::Child, place(refused.as_ref())),
        Waiting::Items { done, of } => api::view::Waiting {
            items_done: Some(*done),
            items: Some(*of),
            ..with(On::Items, format!("the end of its items, of which {done} of {of} are done"))
        },
        Waiting::Review { review, standing } => api::view::Waiting {
            review: Some(review.to_string()),
            pool: Some(standing.pool.to_string()),
            class: Some(standing.class),
            before: standing.claim.is_none().then(|| standing.before + standing.higher),
            until: Some(timestamp(standing.due)),
            ..with(On::Review, review_words(standing))
        },
        Waiting::Replan { trigger, failure, planner } => api::view::Waiting {
            failure: Some(failure_out(failure)),
            steps: planner.iter().map(ToString::to_string).collect(),
            ..with(On::Replan, replan_words(*trigger, planner.as_ref()))
        },
        Waiting::Stopping(steps) => api::view::Waiting {
            steps: steps.iter().map(ToString::to_string).collect(),
            ..with(
                On::Replan,
                match steps.as_slice() {
                    [] => "its revision to be judged".to_owned(),
                    steps => format!("{} to stop, which the revision touches", list(steps)),
                },
            )
        },
        Waiting::Money(halt) => with(On::Money, halted(halt)),
        Waiting::Resume => with(On::Resume, "the run to be resumed".to_owned()),
    }
}

/// What a step waits for that a planner decides of.
fn replan_words(trigger: Trigger, planner: Option<&StepName>) -> String {
    let what = match trigger {
        Trigger::Failed => "the step has failed",
        Trigger::Rejected => "its output was rejected",
        Trigger::LowConfidence => "it is not sure enough of its output",
        Trigger::Contradiction => "it contradicts what it was given",
        Trigger::Budget => "it cannot be paid for",
    };
    match planner {
        Some(planner) => format!("a new plan from `{planner}`, since {what}"),
        None => format!("a planner, since {what}"),
    }
}

pub(crate) const fn trust_out(trust: Trust) -> api::view::Trust {
    match trust {
        Trust::Verified => api::view::Trust::Verified,
        Trust::Derived => api::view::Trust::Derived,
        Trust::Suspect => api::view::Trust::Suspect,
    }
}

/// What a review waits for. Of other tenants it says no more than how many reviews come first.
fn review_words(standing: &Standing) -> String {
    let Standing { pool, claim, before, higher, able, barred, persons, decided, .. } = standing;
    if let Some(claim) = claim {
        let until = timestamp(claim.until);
        return format!("the decision of `{}`, who has claimed it until {until}", claim.person);
    }
    if *able == 0 {
        let reasons: Vec<String> = barred
            .iter()
            .map(|(barrier, count)| format!("{count} {}", barrier_words(barrier)))
            .collect();
        let why =
            if reasons.is_empty() { "it has no members".to_owned() } else { reasons.join(", ") };
        return format!("a member of the reviewer pool `{pool}` who may decide it: {why}");
    }
    let left = persons.saturating_sub(*decided).max(1);
    let first = match before + higher {
        0 => "none comes first".to_owned(),
        1 => "1 review comes first".to_owned(),
        first => format!("{first} reviews come first"),
    };
    format!("{left} of {able} who may decide it in the reviewer pool `{pool}`; {first}")
}

/// Why members of a pool may not decide a review: a clause that follows their number.
pub(crate) fn barrier_words(barrier: &Barrier) -> String {
    match barrier {
        Barrier::NotMember => "no member of the pool".to_owned(),
        Barrier::Tenant => "may not serve the tenant".to_owned(),
        Barrier::Zone => {
            "outside of where the tenant's data may be, or nobody knows where".to_owned()
        }
        Barrier::Certification(lacks) => format!("without the certificate `{lacks}`"),
        Barrier::Skill(lacks) => format!("without the skill `{lacks}`"),
        Barrier::Policy(policy) => format!("not allowed by policy `{policy}`"),
        Barrier::Excluded => "excluded, or the requester".to_owned(),
        Barrier::Voted => "already decided".to_owned(),
    }
}

/// What a call needs whose child run has not come in. It says nothing of other tenants, as `slot` does.
fn place(refused: Option<&Rejection>) -> String {
    match refused {
        Some(Rejection::TenantQueueFull { live, max, .. }) => format!(
            "a place for its child run: {live} of {max} runs of the tenant are live at its depth"
        ),
        Some(_) => "a place for its child run: the platform is near its bound".to_owned(),
        None => "a place for its child run: older runs of the tenant come first".to_owned(),
    }
}

fn gate(refusal: &Refusal) -> api::view::Waiting {
    let mut waits = blank(api::view::WaitingOn::Gate);
    waits.gate = Some(match refusal.gate() {
        Gate::Route => api::view::Gate::Route,
        Gate::Policy => api::view::Gate::Policy,
        Gate::Budget => api::view::Gate::Budget,
        Gate::Limit => api::view::Gate::Limit,
        Gate::Slot => api::view::Gate::Slot,
    });
    waits.needs = match refusal {
        Refusal::Route { model, because, passed } => {
            waits.passed = passed_out(passed);
            format!("a candidate of model `{model}`: {}", no_way(*because))
        }
        Refusal::Outside { tool, outside } => {
            format!(
                "tool `{tool}` to be where the tenant's data may be: it {}",
                outside_words(outside)
            )
        }
        Refusal::Denied { tool } => format!("tool `{tool}` to be allowed to the tenant"),
        Refusal::Policy { policy, because } => policy_needs(policy, *because),
        Refusal::Budget { account, need, left, opens } => {
            waits.opens_at = opens.map(timestamp);
            budget_words(*account, *need, *left)
        }
        Refusal::Limit { tool, rule, of, is_never: true, .. } => never_words(tool, rule, *of),
        Refusal::Limit { tool, holder, rule, used, of, opens, is_never: false } => {
            waits.opens_at = opens.map(timestamp);
            limit_words(tool, *holder, (rule, *used, *of), *opens)
        }
        Refusal::NoWorker { pool } => {
            waits.pool = Some(pool.to_string());
            format!("a worker of pool `{pool}` that asks for work")
        }
        Refusal::Slot(wait) => slot(wait),
    };
    waits
}

fn policy_needs(policy: &str, because: policy::Because) -> String {
    match because {
        policy::Because::Forbidden => {
            format!(
                "policy `{policy}`, which forbids it, to be changed, or what it reads of the tenant"
            )
        }
        policy::Because::NotPermitted => {
            format!("a policy that permits it: none does, `{policy}` included")
        }
        policy::Because::Failed => {
            format!("policy `{policy}` to be mended: it could not be decided, and so denies")
        }
    }
}

/// Why no candidate of a model can serve a call, with the reason of each.
pub(crate) fn no_way_words(because: NoWay, passed: &[Passed]) -> String {
    match all_passed_words(passed) {
        each if each.is_empty() => no_way(because).to_owned(),
        each => format!("{} ({each})", no_way(because)),
    }
}

/// That a rule is none of numbers: the endpoint is left alone.
pub(crate) fn down_words(rule: &str) -> Option<&'static str> {
    match rule {
        RETRY_AFTER => Some("it asked to be left alone"),
        CIRCUIT_OPEN => Some("it is left alone, since its calls fail"),
        _ => None,
    }
}

/// Why no candidate of a model can serve a call.
pub(crate) const fn no_way(because: NoWay) -> &'static str {
    match because {
        NoWay::UnknownModel => "no model of that name is declared",
        NoWay::Tier => "none of its candidates is for the tenant's tier",
        NoWay::Denied => "the tenant may not use its endpoints",
        NoWay::Outside => "none of its endpoints is where the tenant's data may be",
        NoWay::Endpoint => "its endpoints are not declared, or the server cannot call them",
        NoWay::Price => "no price is in force for them",
        NoWay::Context => "more goes in and comes out than they take",
    }
}

/// What a step needs whose tool is limited. Of a limit that all share it gives no numbers, as who asks is one tenant.
pub(crate) fn limit_words(
    tool: &ToolName,
    holder: LimitHolder,
    (rule, used, of): (&str, u64, u64),
    opens: Option<Time>,
) -> String {
    if let Some(circuit) = circuit(tool, rule, used, opens) {
        return circuit;
    }
    let used = used_words(rule, used, of);
    match holder {
        LimitHolder::Tenant => format!("room in the tenant's own quota of tool `{tool}`: {used}"),
        LimitHolder::Provider => {
            format!("its turn at the limit of tool `{tool}` that all tenants share")
        }
    }
}

/// What a call needs that asks for more than a rule ever has.
pub(crate) fn never_words(tool: &ToolName, rule: &str, of: u64) -> String {
    let unit = if rule.starts_with("tokens:") { "tokens" } else { "units" };
    format!("a limit of tool `{tool}` that has more than {of} {unit} at once, or to ask for fewer")
}

/// What a step needs whose tool is left alone.
fn circuit(tool: &ToolName, rule: &str, failures: u64, opens: Option<Time>) -> Option<String> {
    let until = opens.map(timestamp);
    let because = match (rule, until) {
        (RETRY_AFTER, Some(until)) => format!("its provider asked to be left alone until {until}"),
        (RETRY_AFTER, None) => {
            "its provider asked to be left alone, and one call at a time tries it".to_owned()
        }
        (CIRCUIT_OPEN, until) => {
            let row = if failures == 1 {
                "a failure".to_owned()
            } else {
                format!("{failures} failures in a row")
            };
            match until {
                Some(until) => format!("its circuit is open after {row} until {until}"),
                None => format!("its circuit is open after {row}, and one call at a time tries it"),
            }
        }
        _ => return None,
    };
    Some(format!("tool `{tool}` to be called again: {because}"))
}

fn used_words(rule: &str, used: u64, of: u64) -> String {
    let tokens = rule.strip_prefix(Unit::Tokens.label());
    let units = if tokens.is_some() { "tokens" } else { "units" };
    match tokens.unwrap_or(rule).split_once('@') {
        None => format!("{used} of {of} calls are under way"),
        Some(("bucket", _)) => format!("{used} of the {of} {units} that it gives at once are used"),
        Some((every, zone)) => format!("{used} of {of} {units} of the {every} in {zone} are used"),
    }
}

/// An account, as sentences name it.
pub(crate) const fn account_words(account: Account) -> &'static str {
    match account {
        Account::Run => "the run's budget",
        Account::TenantDay => "the tenant's budget for the day",
        Account::TenantMonth => "the tenant's budget for the month",
        Account::OrgMonth => "the organisation's budget for the month",
    }
}

/// What is missing in which account. Of one that others share it does not say how much there is.
pub(crate) fn budget_words(account: Account, need: Nano, left: Nano) -> String {
    let whose = account_words(account);
    match account {
        Account::OrgMonth => format!("{need} of {whose}, which has less left"),
        Account::Run | Account::TenantDay | Account::TenantMonth => {
            format!("{need} of {whose}, which has {left} left")
        }
    }
}

/// What a run needs that is paused, since a step of it could not be paid for.
fn halted(halt: &Halt) -> String {
    let Halt { need, left, .. } = halt;
    let short = format!("{need} of the run's budget, which has {left} left");
    if halt.is_for_holds {
        return format!(
            "{short} beside what its other steps hold: that they end, or a larger budget"
        );
    }
    match halt.rung {
        Rung::Escalate => format!("{short}: an operator is to decide"),
        _ => {
            format!(
                "{short}: a larger budget, a cheaper model, its output by hand, or the run to be \
                 resumed or cancelled"
            )
        }
    }
}

/// What a step in a pool's queue needs. It says nothing of other tenants, as who asks is one tenant.
fn slot(wait: &Wait) -> String {
    match wait {
        Wait::Paused => "the tenant to be active: it is suspended".to_owned(),
        Wait::Parked { since, .. } => {
            format!("its gate to open, which is closed since {}", timestamp(*since))
        }
        Wait::TenantCap { in_flight, cap, older_steps } => format!(
            "a slot of the tenant, which holds {in_flight} of {cap}; \
             {older_steps} older steps of it come first"
        ),
        Wait::OrgCap { cap, .. } => {
            format!("a slot of the organisation, which holds all {cap} that it may")
        }
        Wait::LongSlots { cap, .. } => {
            format!("one of the {cap} slots for long steps, which are all taken")
        }
        Wait::PoolFull { slots, older_steps, .. } => format!(
            "a slot of the pool, of which all {slots} are taken; \
             {older_steps} older steps of the tenant come first"
        ),
        Wait::Turn { older_steps, .. } => {
            format!("its turn; {older_steps} older steps of the tenant come first")
        }
    }
}

const fn blank(on: api::view::WaitingOn) -> api::view::Waiting {
    api::view::Waiting {
        on,
        needs: String::new(),
        gate: None,
        until: None,
        opens_at: None,
        steps: Vec::new(),
        worker: None,
        pool: None,
        signal: None,
        review: None,
        class: None,
        before: None,
        child: None,
        items_done: None,
        items: None,
        failure: None,
        passed: Vec::new(),
    }
}

fn list(steps: &[StepName]) -> String {
    let names: Vec<String> = steps.iter().map(|step| format!("`{step}`")).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use fairlane_core::money::Nano;

    use super::*;

    fn needs(refusal: Refusal) -> (String, Option<api::view::Gate>, Option<Timestamp>) {
        let waits = waiting_out(&Waiting::Gate { refusal, until: Some(Time(9)) });
        assert_eq!(waits.until, Some(Timestamp(9)), "the queue is left then");
        (waits.needs, waits.gate, waits.opens_at)
    }

    #[test]
    fn a_wait_for_a_limit_says_whose_it_is_and_how_much_is_used() {
        let limit = |holder, rule: &str, used, of| {
            let (tool, rule) = ("bureau".parse().unwrap(), Arc::from(rule));
            let refusal = Refusal::Limit {
                tool,
                holder,
                rule,
                used,
                of,
                opens: Some(Time(5)),
                is_never: false,
            };
            let (needs, gate, opens) = needs(refusal);
            assert_eq!((gate, opens), (Some(api::view::Gate::Limit), Some(Timestamp(5))));
            needs
        };
        assert_eq!(
            limit(LimitHolder::Tenant, "hour@Europe/Berlin", 500, 500),
            "room in the tenant's own quota of tool `bureau`: 500 of 500 units of the hour in \
             Europe/Berlin are used"
        );
        assert_eq!(
            limit(LimitHolder::Provider, "bucket@1000000", 20, 20),
            "its turn at the limit of tool `bureau` that all tenants share"
        );
        assert_eq!(
            limit(LimitHolder::Provider, "concurrent", 10, 10),
            "its turn at the limit of tool `bureau` that all tenants share"
        );
    }

    #[test]
    fn a_wait_for_tokens_says_so() {
        assert_eq!(
            used_words("tokens:hour@UTC", 570, 100),
            "570 of 100 tokens of the hour in UTC are used"
        );
        let bucket = used_words("tokens:bucket@1000000", 20, 20);
        assert_eq!(bucket, "20 of the 20 tokens that it gives at once are used");
    }

    #[test]
    fn a_wait_for_a_provider_that_is_left_alone_says_why_and_until_when() {
        let tool = "bureau".parse().unwrap();
        let says = |rule, failures, opens| circuit(&tool, rule, failures, opens).unwrap();
        let until = Some(Time(0));
        for (rule, failures, opens, because) in [
            (
                RETRY_AFTER,
                0,
                until,
                "its provider asked to be left alone until 1970-01-01T00:00:00.000000Z",
            ),
            (
                RETRY_AFTER,
                0,
                None,
                "its provider asked to be left alone, and one call at a time tries it",
            ),
            (
                CIRCUIT_OPEN,
                5,
                until,
                "its circuit is open after 5 failures in a row until 1970-01-01T00:00:00.000000Z",
            ),
            (
                CIRCUIT_OPEN,
                1,
                None,
                "its circuit is open after a failure, and one call at a time tries it",
            ),
        ] {
            let needs = format!("tool `bureau` to be called again: {because}");
            assert_eq!(says(rule, failures, opens), needs);
        }
        assert_eq!(circuit(&tool, "hour@UTC", 5, until), None);
    }

    #[test]
    fn a_wait_for_money_says_whose_budget_it_is_and_when_it_is_new() {
        let [need, left] = [15, 5].map(Nano::from_cents);
        let account = Account::OrgMonth;
        let refusal = Refusal::Budget { account, need, left, opens: Some(Time(5)) };
        let (needs, gate, opens) = needs(refusal);
        assert_eq!(needs, "0.15 of the organisation's budget for the month, which has less left");
        assert_eq!((gate, opens), (Some(api::view::Gate::Budget), Some(Timestamp(5))));
    }

    #[test]
    fn a_run_that_is_paused_for_money_says_who_is_to_decide() {
        let [need, left] = [15, 5].map(Nano::from_cents);
        let step = fairlane_core::plan::StepIndex(0);
        let halt = |rung| Halt {
            review: None,
            rung,
            step,
            need,
            left,
            since: Time(0),
            is_for_holds: false,
        };
        let waits = halted(&Halt { is_for_holds: true, ..halt(Rung::Pause) });
        assert!(waits.ends_with("hold: that they end, or a larger budget"), "{waits}");
        let halt = |rung| halted(&halt(rung));
        let short = "0.15 of the run's budget, which has 0.05 left: ";
        assert_eq!(halt(Rung::Escalate), format!("{short}an operator is to decide"));
        assert!(halt(Rung::Pause).starts_with(&format!("{short}a larger budget")));
    }
}
