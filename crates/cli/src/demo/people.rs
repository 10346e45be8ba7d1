//! The phase with people and places: loans that a model looks at and a person decides, of banks of all tiers, three of
//! which may be nowhere but in the EU, while the burst bank asks for hundreds of reviews at once.
//!
//! There are two of everything, one in each region of the server: a store, an endpoint of the model, a worker, and
//! reviewers. The endpoint in the US is the faster one and the first candidate. Whoever is given anything says to
//! [`super::witness`] what that was.

mod cast;
mod outcome;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use fairlane_client::api::Timestamp;
use fairlane_client::api::key::{NewKey, Role};
use fairlane_client::worker::{Context, TaskError, Worker};
use fairlane_client::{CallFilter, Client, Definition, Write};
use serde_json::{Value, from_value, json};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::desk::Desk;
pub(crate) use super::desk::Reviewer;
use super::endpoint::Endpoint;
use super::town::Town;
use super::witness::{self, ELSEWHERE, EUROPEAN, Watch};
use crate::load::collect::{Begin, collect};
use crate::load::drive::{Arrival, End, Sent, Taken, Target, drive, micros};
use crate::load::phase::unix_now;
use crate::load::stage::Stage;
use crate::load::work::loan_output;
pub(crate) use cast::{Cast, HOME, REGION, ZONE};
pub(crate) use outcome::{People, Place, ReviewGroup};

pub(crate) const WORKFLOW: &str = "loan-with-review";
const DEFINITION: &str = include_str!("loan-with-review.yaml");
const POOL: &str = "reviewed-loans";
const SLOTS: u32 = 40;
const MODEL: &str = "compliance";
/// Begins the names of the files of the store in the EU.
const STORE: &str = "eu-west-1.";
/// The model near by, and the one thirty seconds further away, at a thousandth of the time.
const TAKES: [Duration; 2] = [Duration::from_millis(5), Duration::from_millis(35)];
/// How often it is looked whether all runs have ended.
const LOOK: Duration = Duration::from_millis(200);
/// Nothing ended for this long: the rest is given up.
const PATIENCE: Duration = Duration::from_secs(20);

/// Who saw what in one region.
#[derive(Clone, Debug, Default)]
struct Watches {
    endpoint: Arc<Watch>,
    worker: Arc<Watch>,
    people: Arc<Watch>,
}

/// Everything that is there for this phase, until it is closed.
#[derive(Debug)]
pub(crate) struct Scene {
    cast: Cast,
    /// In the US and in the EU.
    watches: [Watches; 2],
    endpoints: [Endpoint; 2],
    workers: Vec<(oneshot::Sender<()>, JoinHandle<()>)>,
    url: String,
}

impl Scene {
    /// Declares all that takes part, and starts endpoints and workers. `zone` is where the data of European banks may be.
    pub(crate) async fn set(
        stage: &Stage,
        town: &Town,
        zone: Option<&str>,
    ) -> anyhow::Result<Self> {
        let client = stage.client();
        let watches = [Watches::default(), Watches::default()];
        let [us, eu] = TAKES;
        let endpoints = [
            Endpoint::start(us, watches[0].endpoint.clone()).await?,
            Endpoint::start(eu, watches[1].endpoint.clone()).await?,
        ];
        declare_work(client, [endpoints[0].url(), endpoints[1].url()]).await?;
        let cast = Cast::new(town);
        cast.declare(client, zone).await?;
        let url = stage.url().to_owned();
        let mut scene = Self { cast, watches, endpoints, workers: Vec::new(), url };
        for at in [0, 1] {
            scene.start_worker(client, at).await?;
        }
        Ok(scene)
    }

    async fn start_worker(&mut self, operator: &Client, at: usize) -> anyhow::Result<()> {
        let region = [HOME, REGION][at];
        let new = NewKey {
            pools: Some(vec![POOL.to_owned()]),
            region: Some(region.to_owned()),
            label: Some(format!("demo: a worker in {region}")),
            ..NewKey::of(Role::Worker)
        };
        let key = operator.create_key(&new).await.context("cannot make a worker's key")?;
        let mut worker = Worker::new(Client::new(&self.url, &key.secret)?, POOL)
            .slots(SLOTS)
            .name(format!("{POOL}-{region}"));
        for (task, takes) in crate::load::work::LOAN_TASKS {
            let watch = self.watches[at].worker.clone();
            worker = worker.task(task, move |context: Context, input: Value| {
                watch.see(input.to_string().as_bytes());
                async move {
                    tokio::time::sleep(takes).await;
                    Ok::<Value, TaskError>(loan_output(&context, &input))
                }
            });
        }
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(async move {
            let until = async { drop(stopped.await) };
            // A worker that could not go on leaves runs that do not end, which the report says.
            drop(worker.run_until(until).await);
        });
        self.workers.push((stop, running));
        Ok(())
    }

    /// Sends the loans, has people decide them, and looks where everything was. With it, a
    /// reviewer of the EU.
    pub(crate) async fn perform(
        &self,
        stage: &Stage,
        burst: u32,
    ) -> anyhow::Result<(People, Reviewer)> {
        let client = stage.client();
        let seat = |region| self.watches[usize::from(region == REGION)].people.clone();
        let desk = Desk::open(&self.url, client, self.cast.people(), seat).await?;
        let is_there = |one: &&Reviewer| one.name.starts_with(REGION);
        let reviewer = desk.reviewers.iter().find(is_there).cloned();
        let reviewer = reviewer.context("nobody reviews in the EU")?;
        let begin = Instant::now();
        let (start, clock) = (begin + LOOK, unix_now() + micros(LOOK));
        let target = Target {
            client: client.clone(),
            workflow: WORKFLOW.to_owned(),
            tenants: self.cast.ids(),
            input,
            // What stores seal cannot be looked for in their files; under what key it was submitted can.
            key: |arrival| Some(applicant(arrival.tenant, micros(arrival.due))),
        };
        let arrivals = self.cast.arrivals(burst).into_iter().map(Ok);
        let mut sent = drive(&target, arrivals, start, &Taken::default()).await?;
        until_ended(&target, &mut sent, Timestamp(clock)).await?;
        let decisions = desk.close().await?;
        let names = sent.records.iter().map(|one| applicant(one.tenant, one.due_us)).collect();
        let places = self.places(stage, &names).await?;
        let people = People::new(&self.cast, &sent, &decisions, places, begin.elapsed());
        Ok((people, reviewer))
    }

    /// What was seen where, of applicants with these names.
    async fn places(&self, stage: &Stage, names: &BTreeSet<String>) -> anyhow::Result<Vec<Place>> {
        let [us, eu] = &self.watches;
        let mut places = Vec::new();
        for (what, of) in [
            (
                "sent to an endpoint of the model",
                (|one: &Watches| &one.endpoint) as fn(&Watches) -> &Arc<Watch>,
            ),
            ("given to a worker", |one| &one.worker),
            ("shown to a reviewer", |one| &one.people),
        ] {
            places.push(Place::new(what, names, [&of(eu).seen(), &of(us).seen()]));
        }
        let folder = stage.folder().context("the server is our own")?.to_owned();
        let scanned = tokio::task::spawn_blocking(move || witness::scan(&folder, STORE)).await?;
        let [own, elsewhere] = scanned.context("cannot read the files of the stores")?;
        places.push(Place::new("in the files of a store", names, [&own, &elsewhere]));
        places.push(self.recorded(stage.client()).await?);
        Ok(places)
    }

    /// The region of each call of the model that the server has on record.
    async fn recorded(&self, client: &Client) -> anyhow::Result<Place> {
        let mut place = Place::named("calls on record, by their region");
        for bank in self.cast.banks() {
            let mut filter = CallFilter { limit: Some(1_000), ..CallFilter::default() };
            loop {
                let page = client.calls(&bank.id, &filter).await?;
                for call in page.items {
                    let is_inside = call.region.as_deref() == Some(REGION);
                    place.count(bank.is_european, is_inside);
                }
                match page.next {
                    Some(next) => filter.cursor = Some(next),
                    None => break,
                }
            }
        }
        Ok(place)
    }

    pub(crate) async fn close(self) {
        for (stop, running) in self.workers {
            drop(stop);
            // It fails if the worker panicked, which the report has shown by then.
            let _ = running.await;
        }
        drop(self.endpoints);
    }
}

/// The model with its two endpoints, the pool and the workflow.
async fn declare_work(client: &Client, [us, eu]: [&str; 2]) -> anyhow::Result<()> {
    let tool = |region: &str, url: &str| {
        json!({
            "region": region, "storage_region": "none",
            "endpoint": { "protocol": "chat", "url": url, "allow_private": true },
        })
    };
    for (name, region, url) in [("models-us", HOME, us), ("models-eu", REGION, eu)] {
        let spec = from_value(tool(region, url))?;
        let declared = client.put_tool(name, &spec, Write::Apply).await;
        declared.with_context(|| format!("cannot declare the tool {name}"))?;
    }
    let price = json!({ "versions": [{ "input": "2.00", "output": "10.00", "context": 200_000 }] });
    client.put_price("compliance-1", &from_value(price)?, Write::Apply).await?;
    let candidate = |endpoint: &str| json!({ "endpoint": endpoint, "model": "compliance-1" });
    let model = json!({ "candidates": [candidate("models-us"), candidate("models-eu")] });
    let declared = client.put_model(MODEL, &from_value(model)?, Write::Apply).await;
    declared.context("cannot declare the model")?;
    let pool = from_value(json!({ "slots": SLOTS, "tasks": ["pull_credit", "issue_decision"] }))?;
    client.put_pool(POOL, &pool, Write::Apply).await.context("cannot declare the pool")?;
    let applied = client.put_workflow(WORKFLOW, Definition::Yaml(DEFINITION), Write::Apply).await;
    applied.map(drop).context("cannot declare the workflow with a review")
}

/// An application, whose applicant's name says where its bank is.
fn input(arrival: &Arrival) -> Value {
    let number = micros(arrival.due);
    let amount = 1_000 + number.wrapping_mul(7_919) % 50_000;
    json!({ "applicant": applicant(arrival.tenant, number), "amount": amount })
}

fn applicant(bank: u32, due_us: u64) -> String {
    let mark = if cast::is_european(bank) { EUROPEAN } else { ELSEWHERE };
    format!("{mark}{bank}-{due_us}")
}

/// Reads the runs until all have ended, or none does any more.
async fn until_ended(target: &Target, sent: &mut Sent, clock: Timestamp) -> anyhow::Result<()> {
    let (mut least, mut since) = (usize::MAX, Instant::now());
    loop {
        collect(&target.client, &target.tenants, sent, clock, Begin::Due).await?;
        let open = sent.records.iter().filter(|record| record.end == End::Open).count();
        if open == 0 || since.elapsed() > PATIENCE {
            return Ok(());
        }
        if open < least {
            (least, since) = (open, Instant::now());
        }
        tokio::time::sleep(LOOK).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::stage::Stage;

    /// The phase on a server of its own, small.
    async fn performed(zone: Option<&str>) -> People {
        let town = Town::new(4, 4);
        let stage = Stage::start_in(None, &[HOME, REGION]).await.unwrap();
        town.declare(stage.client()).await.unwrap();
        let scene = Scene::set(&stage, &town, zone).await.unwrap();
        let (people, _) = scene.perform(&stage, 40).await.unwrap();
        scene.close().await;
        stage.stop().await;
        people
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn nothing_of_the_banks_of_a_zone_is_seen_outside_of_it() {
        let people = performed(Some(ZONE)).await;
        assert_eq!(people.residency_violations, 0, "{people:?}");
        for place in &people.places {
            assert_eq!(place.european_inside, people.european, "{place:?}");
            assert!(place.others_outside > 0, "somebody looks outside: {place:?}");
        }
        let groups = people.groups.iter();
        assert!(groups.clone().all(|group| group.decided == group.submitted), "{people:?}");
        assert!(groups.map(|group| group.by_dedicated).sum::<u64>() > 0, "{people:?}");
    }

    /// The fault that the demo has to show, planted: nobody said that the banks' data has to stay in the EU.
    #[tokio::test(flavor = "multi_thread")]
    async fn without_a_zone_their_applications_are_seen_outside_at_every_kind_of_place() {
        let people = performed(None).await;
        for place in &people.places {
            assert!(place.european_outside > 0, "{place:?}");
        }
        assert!(people.residency_violations > 0, "{people:?}");
    }
}
