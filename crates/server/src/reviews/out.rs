//! Reviews as they go out.

use fairlane_api::Json;
use fairlane_api::review::{
    Review, ReviewClaim, ReviewDetail, ReviewEntry, ReviewKind, ReviewOutcome, ReviewState,
};
use fairlane_core::cell::effect::ReviewView;
use fairlane_core::review::{Claim, Kind, Terms};
use fairlane_core::row::{self, ReviewCause, ReviewEventRow, ReviewRow};
use fairlane_core::time::Time;

use crate::hex;
use crate::wire::{json, timestamp};

pub(super) fn view_out(view: &ReviewView) -> Review {
    let standing = &view.standing;
    let state = if standing.claim.is_some() { ReviewState::Claimed } else { ReviewState::Open };
    Review {
        id: view.id.to_string(),
        tenant: view.key.tenant.to_string(),
        run: view.key.run.to_string(),
        step: view.workflow.step(view.instance.step).name.to_string(),
        state,
        kind: kind(view.terms.kind),
        cause: cause(&view.cause).to_owned(),
        pool: standing.pool.to_string(),
        class: standing.class,
        opened_at: timestamp(view.opened),
        due_at: timestamp(standing.due),
        persons: view.terms.persons,
        decided_by: view.votes.iter().map(ToString::to_string).collect(),
        outcomes: outcomes(&view.terms),
        digest: hex::encode(&view.digest),
        claim: standing.claim.as_ref().map(claim),
        proposed: view.proposal.as_ref().map(|proposal| proposal.outcome.to_string()),
        before: standing.claim.is_none().then(|| standing.before + standing.higher),
        outcome: None,
    }
}

pub(super) fn detail_of_view(
    view: &ReviewView,
    subject: Option<&[u8]>,
    record: &[ReviewEventRow],
) -> ReviewDetail {
    let subject = subject.and_then(|subject| serde_json::from_slice(subject).ok());
    ReviewDetail {
        review: view_out(view),
        subject,
        form: view.terms.form.as_deref().map(json),
        record: record.iter().map(entry).collect(),
    }
}

pub(super) fn detail_of_row(row: &ReviewRow, record: &[ReviewEventRow]) -> ReviewDetail {
    let (state, outcome) = match &row.state {
        row::ReviewState::Open => (ReviewState::Open, None),
        row::ReviewState::Claimed => (ReviewState::Claimed, None),
        row::ReviewState::Decided { outcome } => (ReviewState::Decided, Some(outcome.to_string())),
        row::ReviewState::Overdue => (ReviewState::Overdue, None),
        row::ReviewState::Cancelled => (ReviewState::Cancelled, None),
        row::ReviewState::Superseded => (ReviewState::Superseded, None),
    };
    let review = Review {
        id: row.id.to_string(),
        tenant: row.tenant.to_string(),
        run: row.run.to_string(),
        step: row.instance.step.0.to_string(),
        state,
        kind: kind(row.terms.kind),
        cause: cause(&row.cause).to_owned(),
        pool: row.pool.to_string(),
        class: row.class,
        opened_at: timestamp(row.opened),
        due_at: timestamp(row.due),
        persons: row.terms.persons,
        decided_by: row.votes.iter().map(ToString::to_string).collect(),
        outcomes: outcomes(&row.terms),
        digest: hex::encode(row.proposal.as_ref().map_or(&row.digest, |proposal| &proposal.digest)),
        claim: row.claim.as_ref().map(claim),
        proposed: row.proposal.as_ref().map(|proposal| proposal.outcome.to_string()),
        before: None,
        outcome,
    };
    let record = record.iter().map(entry).collect();
    ReviewDetail { review, subject: None, form: row.terms.form.as_deref().map(json), record }
}

/// An event is stored as its name, or as an object with its name and its facts. Times and fences go out as everywhere.
fn entry(row: &ReviewEventRow) -> ReviewEntry {
    let value = serde_json::to_value(&row.event).unwrap_or_default();
    let (what, mut facts) = match value {
        serde_json::Value::Object(fields) => {
            fields.into_iter().next().unwrap_or_else(|| (String::new(), serde_json::json!({})))
        }
        serde_json::Value::String(name) => (name, serde_json::json!({})),
        _ => (String::new(), serde_json::json!({})),
    };
    if let Some(due) = facts.get_mut("due")
        && let Some(micros) = due.as_u64()
    {
        *due = serde_json::json!(timestamp(Time(micros)));
    }
    if let Some(fence) = facts.get_mut("fence") {
        *fence = fence.to_string().into();
    }
    ReviewEntry { at: timestamp(row.at), what, facts: text(&facts) }
}

fn text(value: &serde_json::Value) -> Json {
    json(&value.to_string())
}

fn claim(claim: &Claim) -> ReviewClaim {
    ReviewClaim {
        person: claim.person.to_string(),
        fence: claim.fence.to_string(),
        until: timestamp(claim.until),
    }
}

fn outcomes(terms: &Terms) -> Vec<ReviewOutcome> {
    let out = |outcome: &fairlane_core::review::Outcome| ReviewOutcome {
        name: outcome.name.to_string(),
        approves: outcome.approving,
    };
    terms.outcomes.iter().map(out).collect()
}

const fn cause(cause: &ReviewCause) -> &'static str {
    match cause {
        ReviewCause::Step => "step",
        ReviewCause::Money { .. } => "money",
        ReviewCause::Outage { .. } => "outage",
        ReviewCause::Confidence { .. } => "confidence",
        ReviewCause::Replan { .. } => "replan",
    }
}

const fn kind(kind: Kind) -> ReviewKind {
    match kind {
        Kind::Review => ReviewKind::Review,
        Kind::Approval => ReviewKind::Approval,
        Kind::Escalation => ReviewKind::Escalation,
    }
}
