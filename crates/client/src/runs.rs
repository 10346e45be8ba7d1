//! Runs: submit, look, and act on them.

use std::time::Duration;

use fairlane_api::Json;
use fairlane_api::page::Page;
use fairlane_api::run::{
    Batch, BatchAnswer, BatchEntry, Commanded, Lane, Resolve, Retry, Run, RunDetail, RunStatus,
    Submission, Submitted,
};
use serde::Serialize;

use crate::client::{Call, Path};
use crate::{Client, Error, EventStream};

/// Longest wait that one request may ask for; longer ones are made of several.
const WAIT_MAX: Duration = Duration::from_mins(1);

/// What is submitted: a workflow, its input, and how.
///
/// ```
/// use fairlane_client::Submit;
/// use fairlane_client::api::run::Lane;
///
/// let submit = Submit::new("loan-application")
///     .input(&serde_json::json!({ "applicant": { "id": 17 } }))
///     .lane(Lane::Urgent)
///     .idempotency_key("application-17");
/// ```
#[derive(Debug)]
#[must_use = "it is sent by `Client::submit`"]
pub struct Submit {
    workflow: String,
    version: Option<u32>,
    lane: Option<Lane>,
    input: Result<Option<Json>, serde_json::Error>,
    key: Key,
    wait: Duration,
}

#[derive(Debug)]
enum Key {
    Generated,
    Given(String),
    Absent,
}

impl Submit {
    /// The newest version of a workflow, with the input `null`.
    pub fn new(workflow: impl Into<String>) -> Self {
        Self {
            workflow: workflow.into(),
            version: None,
            lane: None,
            input: Ok(None),
            key: Key::Generated,
            wait: Duration::ZERO,
        }
    }

    /// The run's input. Should it not become JSON, [`Client::submit`] says so.
    pub fn input(mut self, input: &(impl Serialize + ?Sized)) -> Self {
        self.input = serde_json::value::to_raw_value(input).map(Some);
        self
    }

    /// An input that is JSON text already.
    pub fn json(mut self, input: Json) -> Self {
        self.input = Ok(Some(input));
        self
    }

    pub const fn version(mut self, version: u32) -> Self {
        self.version = Some(version);
        self
    }

    pub const fn lane(mut self, lane: Lane) -> Self {
        self.lane = Some(lane);
        self
    }

    /// Names the submission: a second one of the same name is the same run. Without it the client makes one up,
    /// so that a submission whose answer was lost can be repeated.
    pub fn idempotency_key(mut self, key: impl Into<String>) -> Self {
        self.key = Key::Given(key.into());
        self
    }

    /// No idempotency key. A submission whose answer is lost is then not repeated, and may have begun a run.
    pub fn without_key(mut self) -> Self {
        self.key = Key::Absent;
        self
    }

    /// Answer when the run has ended, or after this long (at most a minute). See [`Client::submit_and_wait`].
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = wait.min(WAIT_MAX);
        self
    }
}

/// Which runs of a tenant to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunFilter {
    pub status: Option<RunStatus>,
    pub workflow: Option<String>,
    pub lane: Option<Lane>,
    /// `next` of the page before.
    pub cursor: Option<String>,
    /// Most entries of the page.
    pub limit: Option<u32>,
}

/// Submissions.
impl Client {
    /// Submits a run.
    ///
    /// ```no_run
    /// # async fn example(client: fairlane_client::Client) -> Result<(), fairlane_client::Error> {
    /// use fairlane_client::Submit;
    ///
    /// let submit = Submit::new("loan-application").input(&serde_json::json!({ "amount": 9000 }));
    /// let submitted = client.submit("bank-17", submit).await?;
    /// println!("{} is {:?}", submitted.run, submitted.status);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn submit(&self, tenant: &str, submit: Submit) -> Result<Submitted, Error> {
        let key = match submit.key {
            Key::Generated => Some(self.new_idempotency_key()),
            Key::Given(key) => Some(key),
            Key::Absent => None,
        };
        let body = Submission {
            workflow: submit.workflow,
            version: submit.version,
            lane: submit.lane,
            input: submit.input?,
        };
        let path = Path::new(&["v1", "tenants", tenant, "runs"])
            .query("wait_ms", (!submit.wait.is_zero()).then_some(submit.wait.as_millis()));
        let call = Call::post(path.into_string()).json(&body)?.waits(submit.wait);
        match &key {
            Some(key) => self.call(call.keyed(key)).await,
            None => self.call(call).await,
        }
    }

    /// Submits a run and waits for its end, however long that takes.
    pub async fn submit_and_wait(&self, tenant: &str, submit: Submit) -> Result<Submitted, Error> {
        let submitted = self.submit(tenant, submit.wait(WAIT_MAX)).await?;
        if submitted.status.is_ended() {
            return Ok(submitted);
        }
        let run = self.wait(tenant, &submitted.run).await?;
        let output = match run.status {
            RunStatus::Completed => Some(self.run_output(tenant, &run.id).await?),
            _ => None,
        };
        Ok(Submitted {
            status: run.status,
            ended_at: run.ended_at,
            failure: run.failure,
            output,
            ..submitted
        })
    }

    /// Submits up to 1,000 runs in one request, each with its own result. Entries without an idempotency key are
    /// given one.
    pub async fn submit_batch(
        &self,
        tenant: &str,
        mut entries: Vec<BatchEntry>,
    ) -> Result<BatchAnswer, Error> {
        for entry in &mut entries {
            entry.idempotency_key.get_or_insert_with(|| self.new_idempotency_key());
        }
        let path = Path::new(&["v1", "tenants", tenant, "runs"]).suffix(":batch");
        self.call(Call::post(path.into_string()).json(&Batch { runs: entries })?.harmless()).await
    }
}

/// Reading runs.
impl Client {
    /// One page of a tenant's runs, newest first.
    pub async fn runs(&self, tenant: &str, filter: &RunFilter) -> Result<Page<Run>, Error> {
        let path = Path::new(&["v1", "tenants", tenant, "runs"])
            .query("status", filter.status.map(status_text))
            .query("workflow", filter.workflow.as_deref())
            .query("lane", filter.lane.map(lane_text))
            .query("cursor", filter.cursor.as_deref())
            .query("limit", filter.limit);
        self.call(Call::get(path.into_string())).await
    }

    /// A run with every step of its plan.
    pub async fn run(&self, tenant: &str, run: &str) -> Result<RunDetail, Error> {
        self.get(&["v1", "tenants", tenant, "runs", run]).await
    }

    /// A run with those of its steps that have not ended, and what each waits for.
    pub async fn explain(&self, tenant: &str, run: &str) -> Result<RunDetail, Error> {
        self.get(&["v1", "tenants", tenant, "runs", run, "explain"]).await
    }

    /// The outputs of the steps that no other step waits for, by name. A run that has not completed has none:
    /// that is a problem of code `no-output`.
    pub async fn run_output(&self, tenant: &str, run: &str) -> Result<Json, Error> {
        self.get(&["v1", "tenants", tenant, "runs", run, "output"]).await
    }

    /// Everything that happens to a run from now on; first its present state.
    ///
    /// ```no_run
    /// # async fn example(client: fairlane_client::Client) -> Result<(), fairlane_client::Error> {
    /// let mut events = client.events("bank-17", "0190...").await?;
    /// while let Some(event) = events.next().await? {
    ///     println!("{:?}", event.status());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn events(&self, tenant: &str, run: &str) -> Result<EventStream, Error> {
        EventStream::open(self, Path::new(&["v1", "tenants", tenant, "runs", run, "events"])).await
    }

    /// Waits for a run's end, however long that takes.
    pub async fn wait(&self, tenant: &str, run: &str) -> Result<Run, Error> {
        let mut events = self.events(tenant, run).await?;
        while events.next().await?.is_some() {}
        self.run(tenant, run).await.map(|detail| detail.run)
    }
}

/// Acting on runs. Each answers with the status that the run has then.
impl Client {
    /// Ends a run; its children and the steps that workers hold end with it.
    pub async fn cancel(&self, tenant: &str, run: &str) -> Result<Commanded, Error> {
        self.command(tenant, run, "cancel").await
    }

    /// Nothing new is dispatched; what runs, ends.
    pub async fn pause(&self, tenant: &str, run: &str) -> Result<Commanded, Error> {
        self.command(tenant, run, "pause").await
    }

    pub async fn resume(&self, tenant: &str, run: &str) -> Result<Commanded, Error> {
        self.command(tenant, run, "resume").await
    }

    /// Runs an ended run again: from a step, or from the steps that failed.
    pub async fn retry_run(
        &self,
        tenant: &str,
        run: &str,
        from: Option<&str>,
    ) -> Result<Commanded, Error> {
        let path = Path::new(&["v1", "tenants", tenant, "runs", run, "retry"]);
        let body = Retry { from: from.map(str::to_owned) };
        self.call(Call::post(path.into_string()).json(&body)?).await
    }

    /// Ends the step that a run is halted for, since it could not be paid for, with an output that a person gives.
    pub async fn resolve(
        &self,
        tenant: &str,
        run: &str,
        step: &str,
        output: &(impl Serialize + ?Sized),
    ) -> Result<Commanded, Error> {
        let output = Some(serde_json::value::to_raw_value(output)?);
        let body = Resolve { step: Some(step.to_owned()), output, cheaper_model: false };
        self.decide(tenant, run, &body).await
    }

    /// Lets cheaper candidates of models stand in for the rest of a run that is halted for want of money.
    pub async fn allow_cheaper_model(&self, tenant: &str, run: &str) -> Result<Commanded, Error> {
        let body = Resolve { cheaper_model: true, ..Resolve::default() };
        self.decide(tenant, run, &body).await
    }

    async fn decide(&self, tenant: &str, run: &str, body: &Resolve) -> Result<Commanded, Error> {
        let path = Path::new(&["v1", "tenants", tenant, "runs", run, "resolve"]);
        self.call(Call::post(path.into_string()).json(body)?).await
    }

    /// Puts a signal into a run's inbox, under an idempotency key that the client makes up: sent again after a
    /// lost answer it has no second effect.
    pub async fn signal(
        &self,
        tenant: &str,
        run: &str,
        name: &str,
        payload: &(impl Serialize + ?Sized),
    ) -> Result<Commanded, Error> {
        let path = Path::new(&["v1", "tenants", tenant, "runs", run, "signals", name]);
        let key = self.new_idempotency_key();
        self.call(Call::post(path.into_string()).json(payload)?.keyed(&key)).await
    }

    async fn command(&self, tenant: &str, run: &str, verb: &str) -> Result<Commanded, Error> {
        let path = Path::new(&["v1", "tenants", tenant, "runs", run, verb]);
        self.call(Call::post(path.into_string())).await
    }
}

/// A status as the API writes it.
const fn status_text(status: RunStatus) -> &'static str {
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

const fn lane_text(lane: Lane) -> &'static str {
    match lane {
        Lane::Urgent => "urgent",
        Lane::Normal => "normal",
        Lane::Background => "background",
    }
}
