//! What the suite makes on the server before it asks: two tenants, of which one (A) has one of everything, and keys
//! of every role.
//!
//! All of it has a random part in its name, and all that A says carries a *marker*, a word that stands nowhere else:
//! an answer to somebody else that has it was not theirs to read.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, bail};
use fairlane_api::erasure::ErasureSpec;
use fairlane_api::key::{NewKey, Role};
use fairlane_api::review::{Review, ReviewComment};
use fairlane_api::run::Run;
use fairlane_api::worker::{Exchange, Lease, Report};
use fairlane_client::{Client, Definition, Submit, Write};
use hyper::Method;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::made::Made;
use super::wire::{Base, Request, Wire};
use crate::load::random::Random;

/// Looks at what has to come, and the wait between two of them.
const LOOKS_MAX: u32 = 600;
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Longer than the suite takes: nobody renews the lease and the claim.
const LEASE_MS: u64 = 3_600_000;

/// Whose key a request carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Who {
    Operator,
    /// The tenant A, to whom everything belongs.
    Owner,
    /// The tenant B.
    Tenant,
    /// A reviewer who may decide A's reviews.
    Member,
    /// A reviewer who may not.
    Stranger,
    /// The worker that holds A's lease.
    Holder,
    /// A worker of another pool.
    Worker,
    /// Without a key.
    Nobody,
}

/// What a placeholder of a request may stand for.
#[derive(Clone, Debug, Default)]
pub(super) struct Thing {
    /// A's, at least one.
    pub(super) foreign: Vec<String>,
    /// B's, if it has such a thing.
    pub(super) own: Option<String>,
}

/// Everything that the requests name.
pub(super) struct Fixture {
    pub(super) things: BTreeMap<&'static str, Thing>,
    pub(super) keys: BTreeMap<Who, String>,
    /// What no answer to anybody but A may have in it, unless it was in the request.
    pub(super) words: Vec<String>,
}

impl Who {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Operator => "an operator",
            Self::Owner => "its own tenant",
            Self::Tenant => "another tenant",
            Self::Member => "a reviewer of its pool",
            Self::Stranger => "a reviewer of another pool",
            Self::Holder => "the worker that holds it",
            Self::Worker => "a worker of another pool",
            Self::Nobody => "nobody",
        }
    }
}

/// Random names, and what they are of.
struct Names {
    random: String,
    marker: String,
}

impl Names {
    /// Ends with eight random digits, as all names of the suite do.
    fn of(&self, what: &str) -> String {
        format!("conformance-{what}-{}", self.random)
    }
}

/// On the way to a fixture.
struct Making<'a> {
    client: &'a Client,
    base: &'a Base,
    made: &'a Made,
    names: Names,
    things: BTreeMap<&'static str, Thing>,
    keys: BTreeMap<Who, String>,
    region: Option<String>,
}

impl Fixture {
    /// Makes everything, and notes in `made` what is to be undone.
    pub(super) async fn make(
        client: &Client,
        base: &Base,
        made: &Made,
        random: &mut Random,
    ) -> anyhow::Result<Self> {
        let hex = |random: &mut Random| format!("{:08x}", random.next() >> 32);
        let names =
            Names { random: hex(random), marker: format!("marker-{}{}", hex(random), hex(random)) };
        let (things, keys) = (BTreeMap::new(), BTreeMap::new());
        let mut making = Making { client, base, made, names, things, keys, region: None };
        making.declare().await.context("the suite's tenants could not be declared")?;
        making.keys().await.context("the suite's keys could not be made")?;
        let at = |who: Who, making: &Making<'_>| {
            Client::trusting(&base.url, &making.keys[&who], &base.trust)
        };
        let (owner, other) = (at(Who::Owner, &making)?, at(Who::Tenant, &making)?);
        let (holder, member) = (at(Who::Holder, &making)?, at(Who::Member, &making)?);
        making.notice(&owner).await.context("a notice could not be made")?;
        making.runs(&owner, &other, &holder).await.context("runs could not be made")?;
        making.reviews(&owner, &member).await.context("reviews could not be made")?;
        let Making { names, things, keys, .. } = making;
        let words = things
            .iter()
            .filter(|(name, _)| !SHARED.contains(name))
            .flat_map(|(_, thing)| thing.foreign.iter().cloned());
        let words = words.chain([names.marker]).collect();
        Ok(Self { things, keys, words })
    }

    /// The key that a request of theirs carries.
    pub(super) fn key(&self, who: Who) -> Option<&str> {
        (who != Who::Nobody).then(|| self.keys[&who].as_str())
    }
}

/// Things that belong to all tenants, or that say nothing of any.
const SHARED: [&str; 9] =
    ["class", "fence", "pool", "reviewers", "sequence", "short", "signal", "tier", "workflow"];

impl Making<'_> {
    fn thing(&mut self, name: &'static str, foreign: impl Into<String>) {
        self.things.entry(name).or_default().foreign.push(foreign.into());
    }

    fn own(&mut self, name: &'static str, own: impl Into<String>) {
        self.things.entry(name).or_default().own = Some(own.into());
    }

    fn first(&self, name: &str) -> String {
        self.things.get(name).and_then(|thing| thing.foreign.first()).cloned().unwrap_or_default()
    }

    /// Declares what workflows need, and the tenants.
    async fn declare(&mut self) -> anyhow::Result<()> {
        let (client, made) = (self.client, self.made);
        let (tier, class) = (self.names.of("tier"), self.names.of("class"));
        let spec = from(&json!({ "weight": 1, "cap": 10 }))?;
        client.put_tier(&tier, &spec, Write::Apply).await?;
        made.stays(format!("tier {tier}"));
        self.thing("tier", tier.clone());
        let spec = from(&json!({ "budget": { "month": 1_000_000 } }))?;
        client.put_budget_class(&class, &spec, Write::Apply).await?;
        made.stays(format!("budget class {class}"));
        self.thing("class", class.clone());
        for letter in ["a", "b"] {
            let name = |what: &str| self.names.of(&format!("{what}-{letter}"));
            let (pool, reviewers, person) = (name("pool"), name("reviewers"), name("person"));
            let (org, tenant) = (name("org"), name("tenant"));
            let spec = from(&json!({ "slots": 10, "lease_ms": LEASE_MS }))?;
            client.put_pool(&pool, &spec, Write::Apply).await?;
            made.stays(format!("pool {pool}"));
            let members = json!([{ "person": person }]);
            let spec = json!({ "members": members, "pick": true, "lease_ms": LEASE_MS });
            client.put_reviewer_pool(&reviewers, &from(&spec)?, Write::Apply).await?;
            made.stays(format!("reviewer pool {reviewers}"));
            client.put_org(&org, &from(&json!({}))?, Write::Apply).await?;
            made.stays(format!("organisation {org}"));
            let mark = (letter == "a").then_some(&self.names.marker);
            let spec = json!({
                "org": org,
                "tier": tier,
                "budget_class": class,
                "attributes": { "mark": mark },
            });
            made.tenant(&tenant, from(&spec)?).await?;
            let things = [
                ("pool", pool),
                ("reviewers", reviewers),
                ("person", person),
                ("org", org),
                ("tenant", tenant),
            ];
            for (thing, name) in things {
                if letter == "a" { self.thing(thing, name) } else { self.own(thing, name) }
            }
        }
        self.workflows().await
    }

    /// One workflow that waits for a worker, a person and a signal at once, and one that a worker ends.
    async fn workflows(&mut self) -> anyhow::Result<()> {
        let (workflow, short) = (self.names.of("workflow"), self.names.of("short"));
        let (pool, reviewers) = (self.first("pool"), self.first("reviewers"));
        let (tenant, marker) = (self.first("tenant"), &self.names.marker);
        let input = json!({ "text": "input.text" });
        let steps = json!({
            "work": { "task": "conformance", "pool": pool, "with": input },
            "ask": { "with": input, "review": { "pool": reviewers, "due": "1d" } },
            "hear": { "wait": { "signal": "go" } },
        });
        let yearly = json!({ "tenant": tenant, "cron": "0 0 1 1 *", "input": { "text": marker } });
        let schedules = json!({ "yearly": yearly });
        let long =
            json!({ "workflow": workflow, "version": 1, "steps": steps, "schedules": schedules });
        let work = json!({ "work": { "task": "conformance", "pool": pool } });
        let brief = json!({ "workflow": short, "version": 1, "steps": work });
        for (name, text) in [(&workflow, long.to_string()), (&short, brief.to_string())] {
            self.client.put_workflow(name, Definition::Json(&text), Write::Apply).await?;
            self.made.stays(format!("workflow {name}"));
        }
        self.thing("workflow", workflow);
        self.thing("short", short);
        self.thing("signal", "go");
        self.own("signal", "later");
        Ok(())
    }

    async fn keys(&mut self) -> anyhow::Result<()> {
        let pools = self.client.pools().await?;
        let named = self.first("pool");
        let tenant = self.client.tenant(&self.first("tenant")).await?;
        let is_there =
            |region: &String| pools.iter().any(|pool| pool.name == named && pool.region == *region);
        self.region = Some(tenant.region).filter(is_there);
        for (who, letter) in [
            (Who::Operator, "b"),
            (Who::Owner, "a"),
            (Who::Tenant, "b"),
            (Who::Member, "a"),
            (Who::Stranger, "b"),
            (Who::Holder, "a"),
            (Who::Worker, "b"),
        ] {
            let name = |what: &str| Some(self.names.of(&format!("{what}-{letter}")));
            let other = self.names.of("key");
            let label = if letter == "a" { &self.names.marker } else { &other };
            let blank = NewKey { label: Some(label.clone()), ..NewKey::of(Role::Tenant) };
            let new = match who {
                Who::Operator => NewKey { role: Role::Operator, ..blank },
                Who::Member | Who::Stranger => {
                    NewKey { role: Role::Reviewer, person: name("person"), ..blank }
                }
                Who::Holder | Who::Worker => {
                    let (pools, region) =
                        (name("pool").map(|pool| vec![pool]), self.region.clone());
                    NewKey { role: Role::Worker, pools, region, ..blank }
                }
                _ => NewKey { tenant: name("tenant"), ..blank },
            };
            let created = self.made.key(&new).await?;
            if letter == "a" {
                self.thing("key", created.key.id);
            }
            self.keys.insert(who, created.secret);
        }
        Ok(())
    }

    /// A channel of A, whose receiver's name does not exist, with a notice that waits.
    async fn notice(&mut self, owner: &Client) -> anyhow::Result<()> {
        let (tenant, channel) = (self.first("tenant"), self.names.of("channel"));
        let url = format!("https://{}.invalid/", self.names.marker);
        let spec = |is_disabled: bool| {
            from(&json!({
                "webhook": { "url": url },
                "events": ["run.completed"],
                "disabled": is_disabled,
            }))
        };
        self.made.channel(&tenant, &channel);
        owner.put_channel(&tenant, &channel, &spec(false)?, Write::Apply).await?;
        let noted = owner.test_channel(&tenant, &channel).await?;
        // Nothing is tried again from now on.
        owner.put_channel(&tenant, &channel, &spec(true)?, Write::Apply).await?;
        self.thing("channel", channel);
        self.thing("notice", noted.notice);
        // Of somebody whom no run is about.
        let of = ErasureSpec { subject: Some(self.names.marker.clone()), ..ErasureSpec::default() };
        self.thing("erasure", owner.erase(&tenant, &of).await?.id);
        Ok(())
    }

    /// Runs of A in the states that matter, and one of B.
    async fn runs(
        &mut self,
        owner: &Client,
        other: &Client,
        holder: &Client,
    ) -> anyhow::Result<()> {
        let tenant = self.first("tenant");
        let (workflow, short) = (self.first("workflow"), self.first("short"));
        let input = json!({ "text": self.names.marker });
        let submit = |workflow: &str| Submit::new(workflow).input(&input);

        let completed = owner.submit(&tenant, submit(&short)).await?.run;
        let lease = self.lease(holder).await?;
        let output = from(&json!({ "text": self.names.marker }))?;
        let report = Report::completed(lease.lease, output);
        self.exchange(holder, 0, vec![report]).await?;
        owner.wait(&tenant, &completed).await?;

        let key = self.names.of("submission");
        let live = owner.submit(&tenant, submit(&workflow).idempotency_key(&key)).await?.run;
        self.thing("submission", key);
        let lease = self.lease(holder).await?;
        self.thing("lease", lease.lease);
        let key = self.names.of("batched");
        let claimed = owner.submit(&tenant, submit(&workflow).idempotency_key(&key)).await?.run;
        self.thing("batched", key);
        let cancelled = owner.submit(&tenant, submit(&workflow)).await?.run;
        let key = self.names.of("signal");
        let signal = Request {
            method: Method::POST,
            target: format!("/v1/tenants/{tenant}/runs/{claimed}/signals/later"),
            headers: vec![("idempotency-key", key.clone())],
            body: Some(json!(self.names.marker).to_string()),
        };
        let key_of_a = self.keys.get(&Who::Owner).map(String::as_str);
        let (answer, _) = Wire::new(self.base)?.ask(&signal, key_of_a).await?;
        anyhow::ensure!(answer.status == 200, "a signal was refused: {}", answer.body);
        self.thing("signalled", key);
        owner.cancel(&tenant, &cancelled).await?;
        let _: Run = owner.wait(&tenant, &cancelled).await?;
        for run in [live, claimed, cancelled, completed] {
            self.thing("run", run);
        }
        let newest = owner.decisions(Some(&tenant), None, 1).await?.items;
        let sequence = newest.first().map_or(1, |decision| decision.sequence);
        self.thing("sequence", sequence.to_string());
        let tenant = self.names.of("tenant-b");
        let input = json!({ "text": "nothing to hide" });
        let own = other.submit(&tenant, Submit::new(workflow).input(&input)).await?.run;
        self.own("run", own);
        Ok(())
    }

    async fn exchange(
        &self,
        holder: &Client,
        want: u32,
        report: Vec<Report>,
    ) -> anyhow::Result<Vec<Lease>> {
        let exchange = Exchange {
            worker: "conformance".to_owned(),
            pool: self.first("pool"),
            slots: 10,
            want,
            wait_ms: if want > 0 { 10_000 } else { 0 },
            report,
            ..Exchange::default()
        };
        Ok(holder.exchange(&exchange).await?.leases)
    }

    async fn lease(&self, holder: &Client) -> anyhow::Result<Lease> {
        let leases = self.exchange(holder, 1, Vec::new()).await?;
        leases.into_iter().next().context("a worker was given nothing within ten seconds")
    }

    /// The reviews of A's live runs: one open with a comment, one claimed.
    async fn reviews(&mut self, owner: &Client, member: &Client) -> anyhow::Result<()> {
        let runs = self.things["run"].foreign.clone();
        let open = opened(owner, &runs[0]).await?;
        let text = self.names.marker.clone();
        owner.comment_review(&open.id, &ReviewComment { text }).await?;
        let claimed = opened(owner, &runs[1]).await?;
        let claimed = member.claim_review(&claimed.id).await?;
        let claim = claimed.claim.context("a review that was claimed has no claim")?;
        self.thing("review_cursor", format!("0.{}", open.id));
        self.thing("review", open.id);
        self.thing("review", claimed.id);
        self.thing("fence", claim.fence);
        self.thing("digest", claimed.digest);
        Ok(())
    }
}

/// The review of a run, once it is there.
async fn opened(owner: &Client, run: &str) -> anyhow::Result<Review> {
    for _ in 0..LOOKS_MAX {
        let reviews = owner.reviews().await?;
        if let Some(found) = reviews.into_iter().find(|review| review.run == run) {
            return Ok(found);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    bail!("no review of run {run} was opened")
}

/// A declaration from its fields, as the API reads it.
fn from<T: DeserializeOwned>(fields: &Value) -> anyhow::Result<T> {
    Ok(serde_json::from_str(&fields.to_string())?)
}
