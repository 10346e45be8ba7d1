//! `fairlane explain`: what a run waits for, why a tenant is slow, or whether the platform is well, in sentences made from
//! the state that decided.

mod readings;

use clap::Args;
use fairlane_api::Timestamp;
use fairlane_api::residency::Passed;
use fairlane_api::run::{Replan, ReplanVerdict, RunDetail};
use fairlane_api::view::{Phase, Step, Waiting, WaitingOn};

use crate::target::{ForTenant, Target};
use crate::{runs, text, usage};

/// Explain what a run waits for, why a tenant is slow, or whether the platform is well and fair
///
/// Of a run: the gate that each step waits at, since when, and what would let it through; and where its calls of models
/// went. Of a tenant: what held its steps up, whether that is its own, and how far its target is met. Of the platform,
/// if nothing is named: what is shared and makes tenants slow.
#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// A run's id, or a tenant's; the platform if absent
    #[arg(value_name = "RUN|TENANT")]
    what: Option<String>,
    #[command(flatten)]
    of: ForTenant,
    /// The region of which the platform is explained; the server's first one if absent
    #[arg(long, conflicts_with = "what")]
    region: Option<String>,
}

impl Explain {
    pub(crate) async fn execute(self, target: &Target) -> anyhow::Result<()> {
        let (client, printer) = (target.client()?, target.printer());
        match &self.what {
            None => {
                let overview = client.overview(self.region.as_deref()).await?;
                printer.data(&overview, readings::platform)
            }
            Some(run) if is_run(run) => {
                let detail = client.explain(self.of.tenant()?, run).await?;
                printer.data(&detail, |detail| explain(detail, text::now()))
            }
            Some(tenant) => {
                let found = client.readings(tenant).await?;
                printer.data(&found, readings::tenant)
            }
        }
    }
}

/// Ids of runs are UUIDs: 32 hexadecimal digits in five groups.
fn is_run(text: &str) -> bool {
    let groups = text.split('-').map(str::len);
    groups.eq([8, 4, 4, 4, 12]) && text.chars().all(|c| c == '-' || c.is_ascii_hexdigit())
}

fn explain(detail: &RunDetail, now: Timestamp) -> String {
    let mut text = runs::head(&detail.run);
    text.push_str("\n\n");
    let (pending, active): (Vec<&Step>, Vec<&Step>) =
        detail.steps.iter().partition(|step| step.phase == Phase::Pending);
    for step in &active {
        text.push_str(&sentence(step, now));
        text.push('\n');
        text.push_str(&usage::passed_lines(passed(step)));
    }
    if !pending.is_empty() {
        let names: Vec<String> =
            pending.iter().map(|step| text::step(&step.name, step.part)).collect();
        text.push_str(&format!("Not begun: {}.\n", names.join(", ")));
    }
    for replan in &detail.replans {
        text.push_str(&replanned(replan));
    }
    if detail.steps.iter().all(|step| step.phase.is_final()) {
        text.push_str(if detail.run.status.is_ended() {
            "The run has ended; nothing waits.\n"
        } else {
            "No step waits.\n"
        });
    }
    text
}

/// How the plan was looked at again: why, by whom, what came of it, and what it changed.
fn replanned(replan: &Replan) -> String {
    let Replan { number, step, failure, planner, .. } = replan;
    let mut text = format!("Plan {number}: {step} met {}, and {planner} ", text::failure(failure));
    text.push_str(match replan.verdict {
        ReplanVerdict::Open => "is to plan anew",
        ReplanVerdict::Accepted => "made the plan that is followed since",
        ReplanVerdict::Refused => "made none that is followed",
        ReplanVerdict::Cancelled => "was called off",
    });
    if let Some(refused) = &replan.refused {
        text.push_str(&format!(": {refused}"));
    }
    if let Some(reason) = &replan.reason {
        text.push_str(&format!(" (it says: {reason})"));
    }
    if !replan.approved_by.is_empty() {
        text.push_str(&format!("; agreed to by {}", replan.approved_by.join(", ")));
    }
    text.push('.');
    let mut is_first = true;
    for (what, steps) in [
        ("added", &replan.added),
        ("changed", &replan.changed),
        ("dropped", &replan.dropped),
        ("done again", &replan.redone),
        ("distrusted", &replan.distrusted),
        ("kept", &replan.kept),
    ] {
        if steps.is_empty() {
            continue;
        }
        let (head, rest) = what.split_at(1);
        let head = if is_first { head.to_ascii_uppercase() } else { head.to_owned() };
        text.push_str(&format!(" {head}{rest}: {};", steps.join(", ")));
        is_first = false;
    }
    let mut text = text.trim_end_matches([';', '.']).to_owned();
    text.push_str(".\n");
    text
}

/// The candidates that were refused: where it waits, for the call that is under way, or for the last one.
fn passed(step: &Step) -> &[Passed] {
    let waits = step.waits.iter().map(|waits| &waits.passed);
    let route = step.route.iter().map(|route| &route.passed);
    let mut all = waits.chain(route).filter(|passed| !passed.is_empty());
    match all.next() {
        Some(passed) => passed,
        None if step.route.is_some() => &[],
        None => step.call.as_ref().map_or(&[], |call| &call.passed),
    }
}

fn sentence(step: &Step, now: Timestamp) -> String {
    let name = text::step(&step.name, step.part);
    let since = step.since.map(|since| text::span_us(now.0.saturating_sub(since.0)));
    let since = since.map_or_else(String::new, |span| format!(" for {span}"));
    let Some(waits) = &step.waits else {
        let since = if step.phase.is_final() { "" } else { &since };
        let mut sentence = format!("{name} is {}{since}.", text::word(&step.phase));
        add_calls(step, &mut sentence);
        return sentence;
    };
    let mut sentence = match waits.on {
        WaitingOn::Worker => format!("{name} runs{since}"),
        _ => format!("{name} waits{since}"),
    };
    if let Some(gate) = waits.gate {
        sentence.push_str(&format!(" at the gate `{}`", text::word(&gate)));
    }
    sentence.push_str(match waits.on {
        WaitingOn::Worker => "; it needs ",
        _ => "; what lets it through: ",
    });
    sentence.push_str(&waits.needs);
    sentence.push_str(&details(step, waits));
    sentence.push('.');
    add_calls(step, &mut sentence);
    sentence
}

/// The call that is under way, and the last one.
fn add_calls(step: &Step, sentence: &mut String) {
    if let Some(route) = &step.route {
        sentence.push_str(&format!(" It calls {}.", usage::route_words(route)));
    }
    if let Some(call) = &step.call {
        sentence.push_str(&format!(" Its last call: {}.", usage::call_words(call)));
    }
}

/// Numbers that the sentence about the need leaves out.
fn details(step: &Step, waits: &Waiting) -> String {
    let mut details = String::new();
    if let (Some(done), Some(all)) = (waits.items_done, waits.items) {
        details.push_str(&format!(" ({done} of {all} items done)"));
    }
    if let Some(opens) = waits.opens_at {
        details.push_str(&format!(", opens {}", text::time(opens)));
    }
    if let Some(until) = waits.until {
        // What it needs may have an end of its own.
        let has_until = waits.needs.contains(" until ");
        let by = if has_until { "; at the latest at" } else { ", until" };
        let end = if has_until { "" } else { " at the latest" };
        details.push_str(&format!("{by} {}{end}", text::time(until)));
    }
    if step.attempt > 1 {
        details.push_str(&format!(", in attempt {}", step.attempt));
    }
    if let Some(failure) = &waits.failure {
        details.push_str(&format!(", after {}", text::failure(failure)));
    }
    details
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_plan_that_was_looked_at_again_says_why_and_what_came_of_it() {
        let at = Timestamp(1_769_851_800_000_000);
        let detail: RunDetail = serde_json::from_value(json!({
            "run": {
                "id": "0190a", "workflow": "loan", "version": 3, "lane": "normal",
                "status": "failed", "created_at": at, "revision": 7
            },
            "steps": [],
            "replans": [
                { "number": 1, "trigger": "failed", "step": "credit", "planner": "replan_1",
                  "failure": { "class": "no-file", "message": "404" }, "began_at": at,
                  "verdict": "accepted", "reason": "ask the bank", "approved_by": ["ada"],
                  "added": ["bank"], "dropped": ["credit"], "kept": ["verify"] },
                { "number": 2, "trigger": "failed", "step": "bank", "planner": "replan_2",
                  "failure": { "class": "closed", "message": "" }, "began_at": at,
                  "verdict": "refused", "code": "changes-nothing", "refused": "it changes nothing" },
            ]
        }))
        .unwrap();
        expect![[r#"
            run       0190a
            workflow  loan v3
            lane      normal
            status    failed
            created   2026-01-31T09:30:00Z

            Plan 1: credit met no-file: 404, and replan_1 made the plan that is followed since (it says: ask the bank); agreed to by ada. Added: bank; dropped: credit; kept: verify.
            Plan 2: bank met closed, and replan_2 made none that is followed: it changes nothing.
            The run has ended; nothing waits.
        "#]].assert_eq(&explain(&detail, at));
    }

    #[test]
    fn each_waiting_step_says_what_would_let_it_through() {
        let at = |seconds: u64| Timestamp(1_769_851_800_000_000 + seconds * 1_000_000);
        let detail: RunDetail = serde_json::from_value(json!({
            "run": {
                "id": "0190a", "workflow": "loan-application", "version": 3, "lane": "normal",
                "status": "running", "created_at": at(0), "revision": 7
            },
            "steps": [
                { "name": "verify", "part": "whole", "phase": "leased", "attempt": 2, "since": at(1),
                  "waits": { "on": "worker", "needs": "the report of worker `w1`", "worker": "w1",
                             "until": at(31) } },
                { "name": "credit", "part": { "item": 4 }, "phase": "ready", "attempt": 0, "since": at(4),
                  "waits": { "on": "gate", "gate": "slot", "pool": "default",
                             "needs": "a free slot of pool `default`" } },
                { "name": "score", "part": "whole", "phase": "ready", "attempt": 0, "since": at(4),
                  "waits": { "on": "gate", "gate": "limit", "opens_at": at(90), "until": at(64),
                             "needs": "room in the tenant's own quota of tool `bureau`" } },
                { "name": "fraud", "part": "whole", "phase": "backoff", "attempt": 1, "since": at(5),
                  "waits": { "on": "backoff", "needs": "its next attempt", "until": at(12),
                             "failure": { "class": "bureau-away", "message": "503" } } },
                { "name": "judge", "part": "whole", "phase": "leased", "attempt": 1, "since": at(6),
                  "waits": { "on": "worker", "needs": "the report of worker `server`" },
                  "route": { "model": "reasoner", "endpoint": "eu", "served_by": "small",
                             "degraded": "cheaper_model", "input_tokens": 120, "max_tokens": 800,
                             "region": "us-east-1", "adequate": "US",
                             "passed": [{ "endpoint": "asia", "served_by": "small", "code": "not-in-zone",
                                          "reason": "it works in `ap-1`, where the tenant's data may not be" }] },
                  "call": { "id": "7", "model": "reasoner", "endpoint": "eu", "served_by": "large",
                            "status": "ended", "began_at": at(1), "certain": false, "cost": "0.01",
                            "tokens": { "input": 120, "cached": 0, "output": 30 } } },
                { "name": "decide", "part": "whole", "phase": "pending", "attempt": 0,
                  "waits": { "on": "steps", "needs": "the end of `credit`", "steps": ["credit"] } }
            ]
        }))
        .unwrap();
        expect![[r"
            run       0190a
            workflow  loan-application v3
            lane      normal
            status    running
            created   2026-01-31T09:30:00Z

            verify runs for 9.0 s; it needs the report of worker `w1`, until 2026-01-31T09:30:31Z at the latest, in attempt 2.
            credit[4] waits for 6.0 s at the gate `slot`; what lets it through: a free slot of pool `default`.
            score waits for 6.0 s at the gate `limit`; what lets it through: room in the tenant's own quota of tool `bureau`, opens 2026-01-31T09:31:30Z, until 2026-01-31T09:31:04Z at the latest.
            fraud waits for 5.0 s; what lets it through: its next attempt, until 2026-01-31T09:30:12Z at the latest, after bureau-away: 503.
            judge runs for 4.0 s; it needs the report of worker `server`. It calls `reasoner` as `small` at `eu` in us-east-1, by the adequacy of US (cheaper_model), 120 tokens in and at most 800 out. Its last call: `reasoner` as `large` at `eu`, 120 tokens in and 30 out, for 0.01 that nobody has confirmed.
              not `small` at `asia`: it works in `ap-1`, where the tenant's data may not be [not-in-zone]
            Not begun: decide.
        "]]
        .assert_eq(&explain(&detail, at(10)));
    }
}
