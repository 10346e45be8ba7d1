//! `fairlane review`: what people are asked, and what they decide.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use fairlane_api::review::{
    self, Decide, DecideAll, DecideOne, NextReview, Reassign, ReviewComment, WithFence,
};
use fairlane_api::{Code, Json};
use fairlane_client::{Client, Error};
use serde_json::json;

use crate::exit::Negative;
use crate::input;
use crate::table::Table;
use crate::target::Target;
use crate::text;

/// List, claim and decide reviews, with a reviewer's key
#[derive(Debug, Args)]
pub(crate) struct Review {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List what may be decided and nobody has claimed, by due time
    List {
        /// What you have claimed instead
        #[arg(long)]
        claimed: bool,
    },
    /// Show one review: what is decided on, its form, its record
    Show { review: String },
    /// Claim a review, or the one whose turn it is
    Claim {
        /// Without it, the review whose turn it is
        review: Option<String>,
        /// Only of this pool
        #[arg(long)]
        pool: Option<String>,
    },
    /// Give up a claim
    Release { review: String },
    /// Give a review to another person
    Reassign { review: String, person: String },
    /// Take the next rung of a review's ladder now
    Escalate { review: String },
    /// Comment on a review
    Comment { review: String, text: String },
    /// Decide a review that is claimed
    Decide {
        review: String,
        outcome: String,
        /// What the form asks for: JSON, @FILE, or - for standard input
        #[arg(long)]
        data: Option<String>,
        /// The digest that `show` printed: the decision has no effect if it is on something else by now
        #[arg(long)]
        digest: Option<String>,
    },
    /// Decide several claimed reviews with the same outcome
    Batch {
        outcome: String,
        #[arg(required = true)]
        reviews: Vec<String>,
        /// What the form asks for: JSON, @FILE, or - for standard input
        #[arg(long)]
        data: Option<String>,
    },
}

impl Review {
    pub(crate) async fn execute(self, target: &Target) -> anyhow::Result<()> {
        let (client, printer) = (target.client()?, target.printer());
        let done = |id: &str, what: &str| {
            printer.data(&json!({ "review": id, "done": what }), |_| format!("{id} {what}"))
        };
        match self.verb {
            Verb::List { claimed: false } => {
                printer.data(&client.reviews().await?, |reviews| list(reviews))
            }
            Verb::List { claimed: true } => {
                printer.data(&client.claimed_reviews().await?, |reviews| list(reviews))
            }
            Verb::Show { review } => printer.data(&client.review(&review).await?, show),
            Verb::Claim { review: Some(review), .. } => printer
                .data(&client.claim_review(&review).await?, |one| list(std::slice::from_ref(one))),
            Verb::Claim { review: None, pool } => {
                match client.next_review(&NextReview { pool }).await? {
                    Some(one) => printer.data(&one, |one| list(std::slice::from_ref(one))),
                    None => printer.data(&json!(null), |_| "nothing to review".to_owned()),
                }
            }
            Verb::Release { review } => {
                let fence = Some(held(&client, &review).await?.0.unwrap_or_else(no_fence));
                client.release_review(&review, &WithFence { fence }).await?;
                done(&review, "released")
            }
            Verb::Reassign { review, person } => {
                let fence = held(&client, &review).await?.0;
                client.reassign_review(&review, &Reassign { to: person, fence }).await?;
                done(&review, "reassigned")
            }
            Verb::Escalate { review } => {
                let fence = held(&client, &review).await?.0;
                client.escalate_review(&review, &WithFence { fence }).await?;
                done(&review, "escalated")
            }
            Verb::Comment { review, text } => {
                client.comment_review(&review, &ReviewComment { text }).await?;
                done(&review, "commented")
            }
            Verb::Decide { review, outcome, data, digest } => {
                let data = json_of(data.as_deref())?;
                let (fence, now) = held(&client, &review).await?;
                let digest = digest.unwrap_or(now);
                let fence = fence.unwrap_or_else(no_fence);
                let decision = Decide { fence, digest, outcome, data };
                let decided = client.decide_review(&review, &decision).await?;
                printer.data(&decided, result)
            }
            Verb::Batch { outcome, reviews, data } => {
                let data = json_of(data.as_deref())?;
                let decided = batch(&client, &reviews, (&outcome, data.as_ref())).await?;
                printer
                    .data(&decided, |all| all.iter().map(result).collect::<Vec<_>>().join("\n"))?;
                all_done(&decided)
            }
        }
    }
}

/// Decides each by itself, in their order: what is said of one that cannot be read is the server's refusal of it.
async fn batch(
    client: &Client,
    reviews: &[String],
    (outcome, data): (&str, Option<&Json>),
) -> anyhow::Result<Vec<review::Decided>> {
    let (mut decisions, mut unread) = (Vec::new(), BTreeMap::new());
    for review in reviews {
        let (fence, digest) = match held(client, review).await {
            Ok(held) => held,
            Err(Error::Problem(problem)) if problem.code() == Some(Code::UnknownReview) => {
                unread.insert(review, problem);
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let fence = fence.unwrap_or_else(no_fence);
        let (review, outcome, data) = (review.clone(), outcome.to_owned(), data.cloned());
        decisions.push(DecideOne { review, fence, digest, outcome, data });
    }
    let mut told = Vec::new();
    if !decisions.is_empty() {
        told = client.decide_reviews(&DecideAll { decisions }).await?;
    }
    let mut told = told.into_iter();
    let each = reviews.iter().filter_map(|review| match unread.get(review) {
        Some(problem) => {
            let problem = Some(problem.clone());
            Some(review::Decided { review: review.clone(), more: None, problem })
        }
        None => told.next(),
    });
    Ok(each.collect())
}

/// The fence of the claim, if there is one, and the digest of what is decided on.
async fn held(client: &Client, review: &str) -> Result<(Option<String>, String), Error> {
    let found = client.review(review).await?.review;
    Ok((found.claim.map(|claim| claim.fence), found.digest))
}

/// Of a claim that there is not: the server says so.
fn no_fence() -> String {
    "0".to_owned()
}

fn json_of(text: Option<&str>) -> anyhow::Result<Option<Json>> {
    text.map(|text| input::json("--data", text)).transpose()
}

/// Bad news if one of the decisions had no effect.
fn all_done(decided: &[review::Decided]) -> anyhow::Result<()> {
    match decided.iter().filter(|one| one.problem.is_some()).count() {
        0 => Ok(()),
        refused => Err(Negative(format!("{refused} of {} had no effect", decided.len())).into()),
    }
}

fn result(decided: &review::Decided) -> String {
    let outcome = match (&decided.more, &decided.problem) {
        (Some(0), _) => "decided".to_owned(),
        (Some(1), _) => "recorded; 1 more person is needed".to_owned(),
        (Some(more), _) => format!("recorded; {more} more persons are needed"),
        (None, Some(problem)) => format!("refused: {problem}"),
        (None, None) => "nothing".to_owned(),
    };
    format!("{} {outcome}", decided.review)
}

fn list(reviews: &[review::Review]) -> String {
    let mut table = Table::new(&["REVIEW", "TENANT", "STEP", "STATE", "DUE", "CLASS", "HELD BY"]);
    for review in reviews {
        table.row([
            review.id.clone(),
            review.tenant.clone(),
            review.step.clone(),
            review.state.to_string(),
            text::time(review.due_at),
            review.class.to_string(),
            text::or_dash(review.claim.as_ref().map(|claim| &claim.person)),
        ]);
    }
    table.render()
}

fn show(detail: &review::ReviewDetail) -> String {
    let review = &detail.review;
    let outcomes: Vec<&str> = review.outcomes.iter().map(|one| one.name.as_str()).collect();
    let mut lines = vec![
        list(std::slice::from_ref(review)),
        format!("run {}, digest {}", review.run, review.digest),
        format!("outcomes: {}", outcomes.join(", ")),
    ];
    lines.extend(detail.subject.as_ref().map(|subject| format!("on: {}", subject.get())));
    lines.extend(detail.form.as_ref().map(|form| format!("form: {}", form.get())));
    let entry = |entry: &review::ReviewEntry| {
        format!("{} {} {}", text::time(entry.at), entry.what, entry.facts.get())
    };
    lines.extend(detail.record.iter().map(entry));
    lines.join("\n")
}
