//! Scripted reviewers: each is a person with a key of the role `reviewer`, who asks the server for the review whose
//! turn it is, reads it, thinks, and decides.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use fairlane_client::api::key::{NewKey, Role};
use fairlane_client::api::review::{Decide, NextReview};
use fairlane_client::{Client, Write};
use serde_json::value::to_raw_value;
use serde_json::{Value, from_value, json};
use tokio::task::JoinSet;

use super::witness::Watch;
use crate::load::phase::unix_now;

/// Forty seconds to think, at a thousandth of the time.
pub(crate) const THINKS: Duration = Duration::from_millis(40);
/// Whoever has nothing to review asks again after this.
const IDLE: Duration = Duration::from_millis(10);

/// A person of a reviewer pool.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    pub(crate) name: String,
    pub(crate) region: &'static str,
}

/// A review that was decided. Times are microseconds of the epoch.
#[derive(Clone, Debug)]
pub(crate) struct Decision {
    pub(crate) tenant: String,
    pub(crate) pool: String,
    pub(crate) opened_us: u64,
    pub(crate) decided_us: u64,
}

/// People at work.
#[derive(Debug)]
pub(crate) struct Desk {
    working: JoinSet<anyhow::Result<Vec<Decision>>>,
    closing: Arc<AtomicBool>,
    pub(crate) reviewers: Vec<Reviewer>,
}

/// A person with a key.
#[derive(Clone, Debug)]
pub(crate) struct Reviewer {
    pub(crate) name: String,
    pub(crate) key: String,
}

/// Declares a pool with its people: dedicated to a tenant, or shared.
pub(crate) async fn declare(
    client: &Client,
    pool: &str,
    tenant: Option<&str>,
    people: &[Person],
) -> anyhow::Result<()> {
    let member = |one: &Person| json!({ "person": one.name, "region": one.region });
    let members: Vec<Value> = people.iter().map(member).collect();
    let spec = from_value(json!({ "tenant": tenant, "members": members }))?;
    let declared = client.put_reviewer_pool(pool, &spec, Write::Apply).await;
    declared.map(drop).with_context(|| format!("cannot declare the reviewer pool {pool}"))
}

impl Desk {
    /// Seats people, each with a key of their own; `watch` is told what those of a region are shown.
    pub(crate) async fn open(
        url: &str,
        operator: &Client,
        people: Vec<Person>,
        watch: impl Fn(&'static str) -> Arc<Watch>,
    ) -> anyhow::Result<Self> {
        let closing = Arc::new(AtomicBool::new(false));
        let (mut working, mut reviewers) = (JoinSet::new(), Vec::new());
        for person in people {
            let new = NewKey {
                person: Some(person.name.clone()),
                label: Some("demo: a scripted reviewer".to_owned()),
                ..NewKey::of(Role::Reviewer)
            };
            let key = operator.create_key(&new).await.context("cannot make a reviewer's key")?;
            let client = Client::new(url, &key.secret)?;
            reviewers.push(Reviewer { name: person.name, key: key.secret });
            working.spawn(work(client, watch(person.region), closing.clone()));
        }
        Ok(Self { working, closing, reviewers })
    }

    /// Everybody finishes what they hold; all that they decided.
    pub(crate) async fn close(mut self) -> anyhow::Result<Vec<Decision>> {
        self.closing.store(true, Ordering::Relaxed);
        let mut decisions = Vec::new();
        while let Some(done) = self.working.join_next().await {
            decisions.extend(done?.context("a reviewer could not go on")?);
        }
        Ok(decisions)
    }
}

async fn work(
    client: Client,
    watch: Arc<Watch>,
    closing: Arc<AtomicBool>,
) -> anyhow::Result<Vec<Decision>> {
    let mut decisions = Vec::new();
    loop {
        let claimed = client.next_review(&NextReview { pool: None }).await?;
        let Some(review) = claimed else {
            if closing.load(Ordering::Relaxed) {
                return Ok(decisions);
            }
            tokio::time::sleep(IDLE).await;
            continue;
        };
        let shown = client.review(&review.id).await?;
        watch.see(&serde_json::to_vec(&shown)?);
        tokio::time::sleep(THINKS).await;
        let fence = review.claim.context("what was claimed has a claim")?.fence;
        let amount = shown.subject.as_ref().and_then(|subject| amount(subject.get()));
        let (outcome, limit) = verdict(amount.unwrap_or_default());
        let decision = Decide {
            fence,
            digest: shown.review.digest,
            outcome: outcome.to_owned(),
            data: Some(to_raw_value(&json!({ "limit": limit }))?),
        };
        client.decide_review(&review.id, &decision).await?;
        let (tenant, pool) = (review.tenant, review.pool);
        let opened_us = review.opened_at.0;
        decisions.push(Decision { tenant, pool, opened_us, decided_us: unix_now() });
    }
}

fn amount(subject: &str) -> Option<u64> {
    serde_json::from_str::<Value>(subject).ok()?["amount"].as_u64()
}

/// Small loans are approved.
const fn verdict(amount: u64) -> (&'static str, u64) {
    if amount < 40_000 { ("approved", amount) } else { ("rejected", 0) }
}
