//! What the cell refuses, as problem documents: the one place where its facts become sentences.

use fairlane_api::Code;
use fairlane_core::calendar::Calendar;
use fairlane_core::gate::{Account, LimitHolder};
use fairlane_core::id::{ChannelName, ReviewId, StepName, TenantId, ToolName};
use fairlane_core::money::Nano;
use fairlane_core::policy;
use fairlane_core::reject::{CandidateFault, Rejection, ValveCause};
use fairlane_core::residency::Outside;
use fairlane_core::review::{self, Barrier, Over};
use fairlane_core::router::NoWay;
use fairlane_core::row::Owner;
use fairlane_core::time::Time;

use super::Refused;
use crate::catalog::policies::mistake_out;
use crate::places::outside_words;
use crate::wire::{
    barrier_words, budget_words, limit_words, never_words, no_way_words, status_name, timestamp,
};

impl From<Rejection> for Refused {
    #[expect(clippy::too_many_lines, reason = "a flat match, one case per rejection")]
    fn from(rejection: Rejection) -> Self {
        let facts = facts(&rejection);
        let refused = |code, detail: String| {
            let refused = Self::new(code).detail(detail);
            if let Some(facts) = &facts { refused.facts(facts) } else { refused }
        };
        match &rejection {
            Rejection::UnknownTenant { tenant } => unknown_tenant(tenant.as_str()),
            Rejection::UnknownOrg { org } => {
                refused(Code::UnknownOrg, format!("no organisation is named `{org}`")).at("/org")
            }
            Rejection::UnknownTier { tier } => {
                refused(Code::UnknownTier, format!("no tier is named `{tier}`")).at("/tier")
            }
            Rejection::UnknownPool { pool } => {
                refused(Code::UnknownPool, format!("no pool is named `{pool}`")).at("/pool")
            }
            Rejection::UnknownWorkflow { workflow, version } => {
                let detail = match version {
                    Some(version) => format!("workflow `{workflow}` has no version {version}"),
                    None => format!("no workflow is named `{workflow}`"),
                };
                let pointer = if version.is_some() { "/version" } else { "/workflow" };
                refused(Code::UnknownWorkflow, detail).at(pointer)
            }
            Rejection::UnknownRun { run } => unknown_run(&run.to_string()),
            Rejection::UnknownStep { step } => {
                refused(Code::UnknownStep, format!("the workflow has no step `{step}`")).at("/from")
            }
            Rejection::UnknownTool { tool } => {
                refused(Code::UnknownTool, format!("no tool is named `{tool}`"))
            }
            Rejection::UnknownClass { class } => {
                refused(Code::UnknownBudgetClass, format!("no budget class is named `{class}`"))
                    .at("/budget_class")
            }
            Rejection::NoAccount { owner, every } => no_account(owner, *every),
            Rejection::BudgetExhausted { account, need, left, opens } => {
                exhausted(*account, *need, *left, *opens)
            }
            Rejection::ModelUnavailable { step, model, because, passed } => {
                let why = no_way_words(*because, passed);
                let (detail, pointer) = match step {
                    Some(step) => {
                        (format!("step `{step}` calls model `{model}`: {why}"), "/workflow")
                    }
                    None => (format!("model `{model}`: {why}"), "/model"),
                };
                let (code, expected) = unavailable(*because);
                refused(code, detail).at(pointer).expected(expected)
            }
            Rejection::UnknownPolicy { policy } => {
                refused(Code::UnknownPolicy, format!("no policy is named `{policy}`"))
            }
            Rejection::BadPolicy { mistakes } => bad_policy(mistakes),
            Rejection::PolicyDenied { policy, because, action, thing, step } => {
                let what = deed(step.as_ref().map(StepName::as_str), action, thing);
                refused(Code::PolicyDenied, denied(policy, *because, &what))
            }
            Rejection::ToolDenied { step, tool } => refused(
                Code::ToolDenied,
                format!("step `{step}` uses tool `{tool}`, which the tenant may not use"),
            )
            .at("/workflow")
            .expected("a workflow that does without it, or a tenant that may use it"),
            Rejection::ToolOutside { step, tool, outside } => refused(
                Code::OutsideZone,
                format!("step `{step}` uses tool `{tool}`, which {}", outside_words(outside)),
            )
            .at("/workflow")
            .expected("a tool that works, and keeps data, where the tenant's data may be"),
            Rejection::UnknownRegion { field, region } => {
                refused(Code::UnknownRegion, format!("no region is named `{region}`"))
                    .at(*field)
                    .expected("a region of the catalog")
            }
            Rejection::UnknownZone { zone } => {
                refused(Code::UnknownZone, format!("no zone is named `{zone}`"))
                    .at("/data_residency/zone")
                    .expected("`eu`, `eea`, `eea+adequate`, `us`, or a zone of the catalog")
            }
            Rejection::StoreOutside { field, outside } => {
                let what =
                    format!("the store that has the tenant's data {}", outside_words(outside));
                let refused = refused(Code::StoreOutside, what)
                    .expected("a constraint that has the region of the store in it");
                if field.is_empty() { refused } else { refused.at(*field) }
            }
            Rejection::TenantsOutside { field, count, tenants, outside } => refused(
                Code::StoreOutside,
                format!(
                    "with this {} would have its data where it may not be: the store {}",
                    some_tenants(*count, tenants),
                    outside_words(outside)
                ),
            )
            .at(*field)
            .expected("those tenants elsewhere first, or what leaves their data where it may be"),
            Rejection::DecisionsOverlap { at } => refused(
                Code::InvalidValue,
                "this decision begins before the one before it ends".to_owned(),
            )
            .at(format!("/decisions/{at}/from"))
            .expected("decisions in the order of their beginning, each after the end of the last"),
            Rejection::DecisionNeverHolds { at } => {
                refused(Code::InvalidValue, "this decision ends no later than it begins".to_owned())
                    .at(format!("/decisions/{at}/until"))
                    .expected("an end after the beginning")
            }
            Rejection::DecisionPast { at, until } => refused(
                Code::InvalidValue,
                format!("this decision is new here, and ended at {}", timestamp(*until)),
            )
            .at(format!("/decisions/{at}/until"))
            .expected("decisions that are in force, or will be"),
            Rejection::LimitReached { tool, holder, rule, of, is_never: true, .. } => {
                never(tool, *holder, rule, *of)
            }
            Rejection::LimitReached {
                tool, holder, rule, used, of, opens, retry_after, ..
            } => limit_reached(tool, *holder, (rule, *used, *of), *opens).retry_after(*retry_after),
            Rejection::StaleLease { run } => refused(
                Code::StaleLease,
                format!("the lease is over, or run `{run}` does not want its work any more"),
            ),
            Rejection::UnknownReviewerPool { pool } => {
                refused(Code::UnknownReviewerPool, format!("no reviewer pool is named `{pool}`"))
                    .at("/reviewer_pool")
            }
            Rejection::PoolOfAnother { pool } => refused(
                Code::InvalidValue,
                format!("the reviewer pool `{pool}` works for another tenant alone"),
            )
            .at("/reviewer_pool")
            .expected("a shared pool, or the tenant's own"),
            Rejection::MemberTwice { person } => {
                refused(Code::InvalidValue, format!("`{person}` is in the pool twice"))
                    .at("/members")
                    .expected("each person once")
            }
            Rejection::ApprovesItself { step } => refused(
                Code::ApprovesItself,
                format!("the review `{step}` would approve because nobody decided"),
            )
            .at(format!("/steps/{step}/review/on_overdue"))
            .expected("`fail`, or an outcome that does not approve"),
            Rejection::UnknownReview { review } => unknown_review(&review.to_string()),
            Rejection::Review { review, refused: why } => review_refused(*review, why),
            Rejection::UnknownChannel { channel } => {
                refused(Code::UnknownChannel, format!("the tenant has no channel `{channel}`"))
            }
            Rejection::UnknownNotice { notice } => unknown_notice(&notice.to_string()),
            Rejection::ChannelOutside { field, outside } => channel_outside(field, outside),
            Rejection::NoMailRelay => {
                refused(Code::NoMailRelay, "this server has no relay for mail".to_owned())
                    .at("/email")
                    .expected("a webhook, or a server that is set up with `smtp`")
            }
            Rejection::NoSecret { channel } => {
                refused(Code::NoSecret, format!("the channel `{channel}` is no webhook"))
            }
            Rejection::ChannelClosed { channel, is_gone } => channel_closed(channel, *is_gone),
            Rejection::UnknownKey => Self::new(Code::UnknownKey),
            Rejection::BadCandidate { at, fault } => bad_candidate(*at, fault),
            Rejection::EndpointInUse { model } => refused(
                Code::EndpointInUse,
                format!("model `{model}` names this tool as an endpoint"),
            )
            .at("/endpoint")
            .expected("an endpoint with `protocol: chat`, as long as models name it"),
            Rejection::VersionOutOfOrder { at } => refused(
                Code::InvalidValue,
                "this version does not begin after the one before it".to_owned(),
            )
            .at(format!("/versions/{at}/from"))
            .expected("versions in the order of their beginning"),
            Rejection::OutOfRange { field, value, min, max } => {
                // Spans are microseconds inside, and milliseconds on the wire.
                let (unit, suffix) = match *field {
                    "/quantum" | "/lease" => (1_000, "_ms"),
                    _ => (1, ""),
                };
                let [value, min, max] = [value, min, max].map(|number| number / unit);
                Self::new(Code::OutOfRange)
                    .detail(format!("the value is {value}"))
                    .at(format!("{field}{suffix}"))
                    .expected(format!("{min} to {max}"))
                    .facts(&serde_json::json!({ "value": value, "min": min, "max": max }))
            }
            Rejection::TooLong { field, bytes, max } => {
                refused(Code::TooLong, format!("the value has {bytes} bytes"))
                    .at(*field)
                    .expected(format!("at most {max} bytes"))
            }
            Rejection::VersionExists { workflow, version } => refused(
                Code::VersionExists,
                format!("version {version} of `{workflow}` exists with other content"),
            )
            .at("/version")
            .expected("a new version number: versions never change"),
            Rejection::StepPoolUnknown { step, pool } => refused(
                Code::UnknownPool,
                format!("step `{step}` runs in pool `{pool}`, which is not declared"),
            )
            .at(format!("/steps/{step}/pool")),
            Rejection::Suspended { tenant } => {
                refused(Code::TenantSuspended, format!("tenant `{tenant}` takes no new runs"))
            }
            Rejection::NotKept { run } => refused(
                Code::NotKept,
                format!("what run {run} was given and gave is kept for a time that is over"),
            )
            .expected("a new run"),
            Rejection::NotSuspended { tenant } => refused(
                Code::TenantNotSuspended,
                format!("tenant `{tenant}` may still submit runs"),
            )
            .expected("a tenant that is suspended: then what is erased is all that there is"),
            Rejection::IdempotencyConflict { run } => refused(
                Code::IdempotencyConflict,
                format!("the key led to run {run}, which was submitted with other content"),
            ),
            Rejection::TenantQueueFull { live, max, retry_after } => {
                refused(Code::TenantQueueFull, format!("{live} of {max} runs are live"))
                    .retry_after(*retry_after)
            }
            Rejection::ValveClosed { cause, depth, threshold, retry_after } => {
                refused(Code::ValveClosed, valve(*cause, *depth, *threshold))
                    .retry_after(*retry_after)
            }
            Rejection::StoreFull { .. } => {
                Self::new(Code::StoreFull).detail("nothing was lost; what is new is refused")
            }
            Rejection::WrongStatus { run, status, needs } => {
                refused(Code::WrongStatus, format!("run {run} is {}", status_name(*status)))
                    .expected(*needs)
            }
            Rejection::NothingToRetry { run, status } => refused(
                Code::WrongStatus,
                format!(
                    "run {run} is {}, and all its steps are done or skipped: none is left to retry",
                    status_name(*status)
                ),
            )
            .expected("in `from`, the step to run again with all that follow it"),
            Rejection::InboxFull { pending, max } => refused(
                Code::InboxFull,
                format!("{pending} signals wait to be taken, at most {max} may"),
            ),
            Rejection::TooDeep { depth, max } => {
                refused(Code::TooDeep, format!("runs call each other {depth} deep"))
                    .expected(format!("at most {max}"))
            }
            Rejection::TooMany { what, max } => {
                refused(Code::TooMany, format!("there would be more than {max} {what}"))
            }
        }
    }
}

/// The fields of the rejection, as an object.
fn facts(rejection: &Rejection) -> Option<serde_json::Value> {
    let serde_json::Value::Object(fields) = serde_json::to_value(rejection).ok()? else {
        return None;
    };
    fields.into_iter().next().map(|(_, facts)| with_units(facts))
}

/// Spans are microseconds inside; on the wire they are milliseconds, and say so.
fn with_units(mut facts: serde_json::Value) -> serde_json::Value {
    if let Some(fields) = facts.as_object_mut()
        && let Some(micros) = fields.remove("retry_after").and_then(|span| span.as_u64())
    {
        fields.insert("retry_after_ms".to_owned(), micros.div_ceil(1_000).into());
    }
    facts
}

/// The code of a model that cannot be used, and what would be right.
const fn unavailable(because: NoWay) -> (Code, &'static str) {
    match because {
        NoWay::Outside => (
            Code::OutsideZone,
            "a candidate whose endpoint works, and keeps data, where the tenant's data may be",
        ),
        NoWay::Denied => (Code::ToolDenied, "a candidate whose endpoint the tenant may use"),
        NoWay::UnknownModel | NoWay::Tier | NoWay::Endpoint | NoWay::Price | NoWay::Context => (
            Code::ModelUnavailable,
            "a candidate with an endpoint, and a price, for the tenant's tier",
        ),
    }
}

fn bad_policy(mistakes: &[policy::Mistake]) -> Refused {
    let detail = match mistakes.len() {
        1 => "there is 1 mistake".to_owned(),
        count => format!("there are {count} mistakes"),
    };
    Refused::new(Code::InvalidPolicy)
        .detail(detail)
        .mistakes(mistakes.iter().map(mistake_out).collect())
}

/// What policy does not let happen, as the rest of a sentence.
fn deed(step: Option<&str>, action: &str, thing: &str) -> String {
    let step = step.map_or_else(String::new, |step| format!("step `{step}` "));
    match action {
        "start_run" => format!("the tenant to start workflow `{thing}`"),
        "call_tool" => format!("{step}to call tool `{thing}`, and the run can do nothing without"),
        _ if step.is_empty() => format!("the tenant to use model `{thing}`"),
        _ => format!("{step}to use model `{thing}`, and the run can do nothing without"),
    }
}

fn denied(policy: &str, because: policy::Because, what: &str) -> String {
    match because {
        policy::Because::Forbidden => format!("policy `{policy}` does not allow {what}"),
        policy::Because::NotPermitted => format!("no policy allows {what}"),
        policy::Because::Failed => {
            format!("policy `{policy}` could not be decided, and so does not allow {what}")
        }
    }
}

fn bad_candidate(at: u32, fault: &CandidateFault) -> Refused {
    let (code, detail, field, expected) = match fault {
        CandidateFault::UnknownTool { tool } => (
            Code::UnknownTool,
            format!("no tool is named `{tool}`"),
            "endpoint",
            "a tool that is declared with an endpoint",
        ),
        CandidateFault::NoChatEndpoint { tool } => (
            Code::NoEndpoint,
            format!("the server does not call tool `{tool}` for chat completions"),
            "endpoint",
            "a tool that is declared with an endpoint with `protocol: chat`",
        ),
        CandidateFault::UnknownPrice { price } => (
            Code::UnknownPrice,
            format!("no price is named `{price}`"),
            "price",
            "a price that is declared",
        ),
        CandidateFault::UnknownTier { tier } => (
            Code::UnknownTier,
            format!("no tier or model tier is named `{tier}`"),
            "tiers",
            "tiers that are declared, or model tiers that they name",
        ),
    };
    Refused::new(code).detail(detail).at(format!("/candidates/{at}/{field}")).expected(expected)
}

fn exhausted(account: Account, need: Nano, left: Nano, opens: Option<Time>) -> Refused {
    let words = budget_words(account, need, left);
    let until = opens.map(|opens| format!(", until {}", timestamp(opens)));
    let until = until.unwrap_or_default();
    Refused::new(Code::BudgetExhausted).detail(format!("it takes at least {words}{until}")).facts(
        &serde_json::json!({
            "account": account,
            "need": need.to_string(),
            "left": (account != Account::OrgMonth).then(|| left.to_string()),
            "opens": opens.map(timestamp),
        }),
    )
}

fn no_account(owner: &Owner, every: Calendar) -> Refused {
    let whose = match owner {
        Owner::Tenant(tenant) => format!("tenant `{tenant}`"),
        Owner::Org(org) => format!("organisation `{org}`"),
    };
    Refused::new(Code::NoAccount)
        .detail(format!("{whose} has no budget for the {}", every.as_str()))
}

/// A call that does not wait: of a limit that all share it gives no numbers.
/// It asks for more than the limit ever has: to come again is of no use.
fn never(tool: &ToolName, holder: LimitHolder, rule: &str, of: u64) -> Refused {
    let (code, holder) = limit_code(holder);
    let facts = serde_json::json!({ "tool": tool.as_str(), "holder": holder, "never": true });
    Refused::new(code)
        .detail(format!("the call needs {}", never_words(tool, rule, of)))
        .facts(&facts)
}

const fn limit_code(holder: LimitHolder) -> (Code, &'static str) {
    match holder {
        LimitHolder::Tenant => (Code::TenantLimit, "tenant"),
        LimitHolder::Provider => (Code::ProviderLimit, "provider"),
    }
}

fn limit_reached(
    tool: &ToolName,
    holder: LimitHolder,
    counted: (&str, u64, u64),
    opens: Option<Time>,
) -> Refused {
    let (code, holder_name) = limit_code(holder);
    let words = limit_words(tool, holder, counted, opens);
    let opens = opens.map(timestamp);
    Refused::new(code)
        .detail(format!("the call needs {words}"))
        .facts(&serde_json::json!({ "tool": tool.as_str(), "holder": holder_name, "opens": opens }))
}

/// Missing, or not the caller's: the same answer.
pub(crate) fn unknown_tenant(tenant: &str) -> Refused {
    Refused::new(Code::UnknownTenant).detail(format!("no tenant is named `{tenant}`"))
}

/// Missing, or another tenant's: the same answer.
pub(crate) fn unknown_run(run: &str) -> Refused {
    Refused::new(Code::UnknownRun).detail(format!("the tenant has no run `{run}`"))
}

fn valve(cause: ValveCause, depth: u64, threshold: u64) -> String {
    match cause {
        ValveCause::RunsOverShare => format!(
            "much waits, and the tenant has {depth} live runs, where its share of the queue is {threshold}"
        ),
        ValveCause::BytesOverShare => format!(
            "much waits, and the tenant's inputs would hold {depth} bytes, where its share of the queue is \
             {threshold}"
        ),
        ValveCause::RunsHard => format!("{depth} runs are live, and {threshold} may be"),
        ValveCause::BytesHard => {
            format!("the inputs of live runs would hold {depth} bytes, and {threshold} may be")
        }
        ValveCause::Calls => {
            format!("{depth} calls of models are under way, and {threshold} may be")
        }
    }
}

/// The first tenants of so many.
fn some_tenants(count: u64, first: &[TenantId]) -> String {
    let named: Vec<String> = first.iter().map(|tenant| format!("`{tenant}`")).collect();
    let named = named.join(", ");
    match count.saturating_sub(first.len() as u64) {
        0 if count == 1 => format!("tenant {named}"),
        0 => format!("each of {count} tenants ({named})"),
        more => format!("each of {count} tenants ({named} and {more} more)"),
    }
}

/// Missing, delivered, or another tenant's: the same answer.
pub(crate) fn unknown_notice(notice: &str) -> Refused {
    Refused::new(Code::UnknownNotice)
        .detail(format!("no notice `{notice}` of the tenant waits or was given up"))
}

fn channel_outside(field: &'static str, outside: &Outside) -> Refused {
    let (who, expected) = match field {
        "/region" => (
            "the receiver",
            "the region where the receiver is, inside of where the tenant's data may be",
        ),
        _ => ("the relay for mail", "a webhook inside of where the tenant's data may be"),
    };
    Refused::new(Code::OutsideZone)
        .detail(format!("{who} {}", outside_words(outside)))
        .at(field)
        .expected(expected)
        .facts(&serde_json::json!({ "outside": outside }))
}

fn channel_closed(channel: &ChannelName, is_gone: bool) -> Refused {
    let (why, expected) = if is_gone {
        ("its receiver answered that it is no more", "the channel declared again")
    } else {
        ("it is disabled", "the channel declared again with `disabled: false`")
    };
    Refused::new(Code::ChannelClosed)
        .detail(format!("nothing is sent through `{channel}`: {why}"))
        .expected(expected)
}

pub(crate) fn unknown_review(review: &str) -> Refused {
    Refused::new(Code::UnknownReview)
        .detail(format!("there is no open review `{review}` that you may decide"))
}

/// Why nothing was done to a review.
fn review_refused(review: ReviewId, why: &review::Refused) -> Refused {
    use review::Refused as Why;
    let refused = |code, detail: String| {
        Refused::new(code).detail(detail).facts(&serde_json::json!({ "refused": why }))
    };
    match why {
        Why::Unknown => unknown_review(&review.to_string()),
        Why::Barred(Barrier::Zone) => refused(Code::ReviewerOutside, barrier_words(&Barrier::Zone)),
        Why::Barred(Barrier::Policy(policy)) => refused(
            Code::PolicyDenied,
            format!("policy `{policy}` does not allow the person to claim or to decide it"),
        ),
        Why::Barred(barrier) => refused(Code::NotEligible, barrier_words(barrier)),
        Why::NotNext => {
            refused(Code::ReviewNotNext, format!("it is not the turn of `{review}` in its pool"))
                .expected("the review whose turn it is")
        }
        Why::Claimed => refused(
            Code::ReviewClaimed,
            format!("`{review}` is theirs until they decide it, give it up or let their claim end"),
        ),
        Why::NotClaimed => {
            refused(Code::ReviewNotClaimed, format!("`{review}` is open")).expected("a claim of it")
        }
        Why::ClaimOver(over) => {
            let how = match over {
                Over::Expired => "expired",
                Over::Released => "was released",
                Over::Reassigned => "was given to somebody else",
                Over::Escalated => "ended when the review was escalated",
                Over::Voted => "ended with its decision",
            };
            refused(Code::ClaimOver, format!("the claim {how}")).expected("a new claim")
        }
        Why::StaleFence => refused(Code::StaleFence, "the fence is not the claim's".to_owned())
            .expected("the `fence` of the claim"),
        Why::WrongDigest => refused(
            Code::WrongDigest,
            "the decision is on something else than what is there now".to_owned(),
        )
        .at("/digest")
        .expected("the `digest` of the review as it is now"),
        Why::UnknownOutcome => {
            refused(Code::UnknownOutcome, "the review has no such outcome".to_owned())
                .at("/outcome")
        }
        Why::NoRung => refused(Code::NoRung, "its ladder has no rung left".to_owned()),
    }
}
