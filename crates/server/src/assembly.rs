//! Payloads put together: the inputs of leases, the answers to the cell's questions, the outputs of runs.
//!
//! Only what an expression reads is loaded, from the cache if it is there. An evaluation on what is in memory
//! and small is done on the spot; anything else on a thread that may wait.
//!
//! - `gather` finds payloads: cache, then store, then other rows for maps and calls.
//! - `judge` says how an output does at its step's own check; `plan` serves planners.
//! - `lists` remembers the lists that maps run over.

mod gather;
mod judge;
mod lists;
mod plan;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use fairlane_core::auth::AllTenants;
use fairlane_core::cell::effect::{Evaluation, Grant, Question, ReviewView};
use fairlane_core::cell::input::{Judged, Value};
use fairlane_core::id::{PoolName, TenantId};
use fairlane_core::plan::{Expr, StepIndex, StepKind, Workflow};
use fairlane_core::row::{Failure, Instance, LeaseId, Part, Payload, ReviewCause, RunKey};
use fairlane_core::tenant::{Context, TenantScope};
use fairlane_workflow::{EvalError, Evaluator, Refs, Violation, tenant_json};
use sha2::{Digest as _, Sha256};
use tokio::task::JoinError;

use crate::cache::{Cache, Followed};
use crate::calls::prompt;
use crate::problem::Refused;
use crate::reads::Reads;
use crate::registry::Registry;
use crate::turns::Turns;
use gather::{Gathered, Gatherer, Miss};
pub(crate) use judge::Unfit;
use lists::Lists;

/// Payloads above this, taken together, are evaluated on a thread that may take its time.
const SMALL_BYTES: usize = 32 << 10;

#[derive(Clone, Debug)]
pub(crate) struct Assembly(Arc<Inner>);

/// Threads that work on what may wait for the store.
const THREADS: usize = 16;

#[derive(Debug)]
struct Inner {
    registry: Arc<Registry>,
    cache: Arc<Cache>,
    reads: Reads,
    evaluator: Evaluator,
    lists: Lists,
    /// With threads that wait for the store: few, or who has a reader of it would find none.
    turns: Arc<Turns<()>>,
    /// What the cell asks for is made of its own tenants' rows.
    rights: AllTenants,
}

/// Why there is no payload.
#[derive(Debug)]
pub(crate) enum Unassembled {
    /// It cannot be made from this run's payloads.
    Failed(Failure),
    /// The store does not answer.
    Unavailable,
}

/// For whom expressions are evaluated.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    pub(crate) key: RunKey,
    pub(crate) instance: Instance,
    pub(crate) workflow: Arc<Workflow>,
    pub(crate) context: Arc<Context>,
}

impl Subject {
    pub(crate) fn of_review(view: &ReviewView) -> Self {
        Self {
            key: view.key.clone(),
            instance: view.instance,
            workflow: view.workflow.clone(),
            context: view.context.clone(),
        }
    }
}

/// What is to be evaluated.
#[derive(Clone, Debug)]
enum Task {
    /// The input of a task, its compensation or a child.
    With,
    When(Expr),
    Over(Expr),
    Until(Expr),
}

impl Assembly {
    pub(crate) fn new(
        registry: Arc<Registry>,
        cache: Arc<Cache>,
        (reads, rights): (Reads, AllTenants),
    ) -> Self {
        let (evaluator, lists) = (Evaluator::new(), Lists::default());
        let turns = Turns::new(vec![(); THREADS]);
        Self(Arc::new(Inner { registry, cache, reads, evaluator, lists, turns, rights }))
    }

    fn scope(&self, key: &RunKey) -> TenantScope {
        self.0.rights.scope(&key.tenant)
    }

    /// The input of a lease: a JSON object of what the step names in `with`.
    pub(crate) async fn input(&self, grant: &Grant) -> Result<Payload, Unassembled> {
        let subject = Subject {
            key: grant.lease.key.clone(),
            instance: grant.lease.instance,
            workflow: grant.workflow.clone(),
            context: grant.context.clone(),
        };
        match self.run(subject, Task::With).await? {
            Value::Input(input) => Ok(input),
            other => Err(failed("input-invalid", &format!("the input came out as {other:?}"))),
        }
    }

    /// What people are asked to decide on: the step's `with`.
    pub(crate) async fn review_subject(
        &self,
        subject: Subject,
        cause: &ReviewCause,
    ) -> Result<Payload, Unassembled> {
        if matches!(cause, ReviewCause::Confidence { .. } | ReviewCause::Replan { .. }) {
            // What the step itself has made is what is decided on.
            return self.made(subject).await;
        }
        match self.run(subject, Task::With).await? {
            Value::Input(input) => Ok(input),
            other => Err(failed("input-invalid", &format!("the input came out as {other:?}"))),
        }
    }

    /// The output of a step that is not done with it.
    async fn made(&self, subject: Subject) -> Result<Payload, Unassembled> {
        let (scope, run, instance) = (self.scope(&subject.key), subject.key.run, subject.instance);
        let read =
            self.0.reads.of(&scope, move |reader, scope| reader.output(scope, run, instance)).await;
        match read {
            Ok(Some(output)) => Ok(output),
            Ok(None) => Err(failed("payload-missing", "the step's output is not stored")),
            Err(_) => Err(Unassembled::Unavailable),
        }
    }

    /// The answer to a question of the cell.
    pub(crate) async fn evaluate(&self, evaluation: &Evaluation) -> Result<Value, Unassembled> {
        let subject = Subject {
            key: evaluation.key.clone(),
            instance: evaluation.instance,
            workflow: evaluation.workflow.clone(),
            context: evaluation.context.clone(),
        };
        let task = match &evaluation.what {
            Question::When(when) => Task::When(when.clone()),
            Question::Over(over) => Task::Over(over.clone()),
            Question::Until(until) => Task::Until(until.clone()),
            Question::ChildInput => return self.child_input(subject).await,
            Question::Prompt => return self.prompt_tokens(subject).await,
            Question::Revision => {
                let this = self.clone();
                let tenant = subject.key.tenant.clone();
                return self.blocking(tenant, move || this.revision(&subject)).await;
            }
            Question::Subject => {
                return match self.run(subject, Task::With).await? {
                    Value::Input(input) => Ok(Value::Digest(Sha256::digest(&input).into())),
                    other => Err(failed("internal", &format!("the input came out as {other:?}"))),
                };
            }
        };
        self.run(subject, task).await
    }

    /// How many tokens a model's call is asked with, as they are counted here.
    async fn prompt_tokens(&self, subject: Subject) -> Result<Value, Unassembled> {
        let step = subject.workflow.clone();
        let (at, tenant) = (subject.instance.step, subject.key.tenant.clone());
        let input = match self.run(subject, Task::With).await? {
            Value::Input(input) => input,
            other => return Err(failed("internal", &format!("the input came out as {other:?}"))),
        };
        let counted = move || {
            let request = prompt::request(step.step(at), "", &input);
            request
                .map(|request| Value::Tokens(request.input_tokens()))
                .map_err(Unassembled::Failed)
        };
        // A template may work long.
        self.blocking(tenant, counted).await
    }

    /// The input of a called run, which must fit the schema of its workflow as a submitted one must.
    async fn child_input(&self, subject: Subject) -> Result<Value, Unassembled> {
        let step = subject.workflow.steps.get(usize::from(subject.instance.step.0));
        let called = match step.map(|step| &step.kind) {
            Some(StepKind::Call { workflow, version }) => {
                self.0.registry.workflow(workflow, *version)
            }
            Some(_) | None => None,
        };
        let value = self.run(subject, Task::With).await?;
        // A workflow that is not there is refused by the cell.
        let Some(called) = called else { return Ok(value) };
        let (Some(schema), Value::Input(input)) = (&called.input_schema, &value) else {
            return Ok(value);
        };
        let checked = self.check(schema.clone(), input.clone()).await;
        match checked.map_err(|_| failed("internal", "the check of the input was broken off"))? {
            Ok(()) => Ok(value),
            Err(violations) => {
                let (name, all) = (&called.name, listed(&violations));
                let message = format!("the input breaks the schema of `{name}`: {all}");
                Err(failed("input-invalid", &message))
            }
        }
    }

    /// Whether an output fits its step's schema, and what else the step asks of it.
    pub(crate) async fn check_output(
        &self,
        lease: &LeaseId,
        output: &Payload,
    ) -> Result<Result<Judged, Unfit>, Refused> {
        if lease.instance.part == Part::Compensation {
            return Ok(Ok(Judged::default()));
        }
        let workflow = self.workflow_of(&lease.key).await?;
        let Some(workflow) = workflow else { return Ok(Ok(Judged::default())) };
        let Some(step) = workflow.steps.get(usize::from(lease.instance.step.0)) else {
            return Ok(Ok(Judged::default()));
        };
        if let Some(schema) = step.output_schema.clone()
            && let Err(violations) = self.check(schema, output.clone()).await?
        {
            return Ok(Err(("output-invalid", output_breaks(&violations))));
        }
        self.judge(lease, (&workflow, step), output).await
    }

    /// Whether a payload fits a schema.
    pub(crate) async fn check(
        &self,
        schema: Arc<str>,
        payload: Payload,
    ) -> Result<Result<(), Vec<Violation>>, Refused> {
        if payload.len() <= SMALL_BYTES {
            return Ok(self.0.evaluator.check_schema(&schema, &payload));
        }
        let inner = self.0.clone();
        let checked =
            tokio::task::spawn_blocking(move || inner.evaluator.check_schema(&schema, &payload));
        checked.await.map_err(|error| Refused::internal(&error))
    }

    /// The output of a completed run: the outputs of the steps that no other waits for, by name.
    pub(crate) async fn run_output(
        &self,
        key: &RunKey,
        workflow: &Arc<Workflow>,
    ) -> Result<Payload, Unassembled> {
        match gather::run_output(&mut self.gatherer(key, workflow, None), workflow) {
            Err(Miss::Store) => {}
            Ok(output) => return Ok(output),
            Err(miss) => return Err(miss.into()),
        }
        let (this, key, workflow) = (self.clone(), key.clone(), workflow.clone());
        self.blocking(key.tenant.clone(), move || {
            let reads = this.0.reads.clone();
            let mut gatherer = this.gatherer(&key, &workflow, Some(&reads));
            gather::run_output(&mut gatherer, &workflow).map_err(Unassembled::from)
        })
        .await
    }

    /// The pool whose workers a lease is for, if its run is at hand.
    pub(crate) fn pool_at_hand(&self, lease: &LeaseId) -> Option<PoolName> {
        pool_in(&*self.workflow_at_hand(&lease.key)?, lease)
    }

    /// The same as the store has it, at hand or not; `None` if there is no such run or no such step.
    pub(crate) async fn pool_stored(&self, lease: &LeaseId) -> Result<Option<PoolName>, Refused> {
        let workflow = self.workflow_stored(&lease.key).await?;
        Ok(workflow.and_then(|workflow| pool_in(&workflow, lease)))
    }

    /// The plan that a run follows; `None` if there is no such run.
    async fn workflow_of(&self, key: &RunKey) -> Result<Option<Arc<Workflow>>, Refused> {
        match self.workflow_at_hand(key) {
            Some(found) => Ok(Some(found)),
            None => self.workflow_stored(key).await,
        }
    }

    fn workflow_at_hand(&self, key: &RunKey) -> Option<Arc<Workflow>> {
        match self.0.cache.follows(key)? {
            Followed::Revised(plan) => Some(plan),
            Followed::Declared(name, version) => self.0.registry.workflow(&name, Some(version)),
        }
    }

    async fn workflow_stored(&self, key: &RunKey) -> Result<Option<Arc<Workflow>>, Refused> {
        match self.0.reads.run(&self.scope(key), key.run).await? {
            Some(row) => self.plan(&row).await,
            None => Ok(None),
        }
    }

    /// Works on a thread that may wait for the store, when it is the tenant's turn.
    async fn blocking<T: Send + 'static>(
        &self,
        of: TenantId,
        work: impl FnOnce() -> Result<T, Unassembled> + Send + 'static,
    ) -> Result<T, Unassembled> {
        self.on_thread(of, work).await.unwrap_or_else(|_| Err(broken_off()))
    }

    /// The same for what has other failures; the error is that of work that panicked.
    async fn on_thread<T: Send + 'static>(
        &self,
        of: TenantId,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        let turn = self.0.turns.take(Some(of)).ready().await;
        let work = move || {
            let _turn = turn;
            work()
        };
        tokio::task::spawn_blocking(work).await
    }

    async fn run(&self, subject: Subject, task: Task) -> Result<Value, Unassembled> {
        let plans = matches!(task, Task::With)
            && subject.workflow.revised.planners.contains(&subject.instance.step);
        if !plans && let Some(result) = contained(|| self.run_here(&subject, &task)) {
            return result;
        }
        let (this, tenant) = (self.clone(), subject.key.tenant.clone());
        self.blocking(tenant, move || {
            let reads = this.0.reads.clone();
            let gathered = this.gather(&subject, &task, Some(&reads))?;
            let value = this.0.compute(&subject, &task, &gathered)?;
            if plans { this.with_situation(&subject, value, &reads) } else { Ok(value) }
        })
        .await
    }

    /// The result, if it takes neither waiting nor long.
    fn run_here(&self, subject: &Subject, task: &Task) -> Option<Result<Value, Unassembled>> {
        match self.gather(subject, task, None) {
            Ok(gathered) if gathered.bytes <= SMALL_BYTES => {
                Some(self.0.compute(subject, task, &gathered))
            }
            Ok(_) | Err(Miss::Store) => None,
            Err(miss) => Some(Err(miss.into())),
        }
    }

    /// Finds what the task's expressions read.
    fn gather(
        &self,
        subject: &Subject,
        task: &Task,
        reads: Option<&Reads>,
    ) -> Result<Gathered, Miss> {
        let refs = self.0.references(subject, task).map_err(|error| invalid(task, &error))?;
        let Subject { key, instance, workflow, .. } = subject;
        let mut gathered = self.gatherer(key, workflow, reads).gather(&refs)?;
        if let (true, Part::Item(at)) = (refs.item, instance.part) {
            gathered.item = Some((self.item(subject, instance.step, at, reads)?, at));
        }
        Ok(gathered)
    }

    /// One item of the list that a map runs over.
    fn item(
        &self,
        subject: &Subject,
        step: StepIndex,
        at: u32,
        reads: Option<&Reads>,
    ) -> Result<Payload, Miss> {
        let list = self.items(subject, step, reads)?;
        list.get(at as usize).cloned().ok_or_else(|| {
            let message = format!("the list has {} items now, and no item {at}", list.len());
            Miss::Failed(Failure::cut("input-invalid", &message))
        })
    }

    /// The list that a map runs over.
    fn items(
        &self,
        subject: &Subject,
        step: StepIndex,
        reads: Option<&Reads>,
    ) -> Result<Arc<Vec<Payload>>, Miss> {
        let place = (subject.key.clone(), step);
        if let Some(list) = self.0.lists.get(&place) {
            return Ok(list);
        }
        let map = subject.workflow.step(step).map.as_ref();
        let over = map.map(|map| map.over.clone());
        let over = over
            .ok_or_else(|| Miss::Failed(Failure::cut("input-invalid", "the step is not mapped")))?;
        // The list is not inside of itself, so this goes one level deep at most.
        let whole = Subject { instance: Instance { step, part: Part::Whole }, ..subject.clone() };
        let task = Task::Over(over.clone());
        let gathered = self.gather(&whole, &task, reads)?;
        let list = self.0.list(&whole, &over, &gathered);
        Ok(self.0.lists.put(place, list.map_err(|error| invalid(&task, &error))?))
    }

    fn gatherer<'a>(
        &'a self,
        key: &'a RunKey,
        workflow: &'a Workflow,
        reads: Option<&'a Reads>,
    ) -> Gatherer<'a> {
        let Inner { cache, registry, rights, .. } = &*self.0;
        Gatherer { cache, registry, reads, rights: *rights, key, workflow }
    }
}

impl Inner {
    fn references(&self, subject: &Subject, task: &Task) -> Result<Refs, EvalError> {
        match task {
            Task::With => self.evaluator.references_of(with(subject)),
            Task::When(expression) | Task::Over(expression) | Task::Until(expression) => {
                self.evaluator.references(expression)
            }
        }
    }

    fn compute(
        &self,
        subject: &Subject,
        task: &Task,
        gathered: &Gathered,
    ) -> Result<Value, Unassembled> {
        let tenant = tenant_json(&subject.context);
        let steps = gathered.steps();
        let scope = gathered.scope(&steps, &tenant, subject.key.run);
        let result = match task {
            Task::With => self
                .evaluator
                .assemble(&subject.workflow, with(subject), &scope)
                .map(|input| Value::Input(Payload::from(input))),
            Task::When(when) => self.evaluator.condition(when, &scope).map(Value::Condition),
            Task::Until(until) => self.evaluator.time(until, &scope).map(Value::Until),
            Task::Over(over) => self.list(subject, over, gathered).map(|list| {
                let items = u32::try_from(list.len()).unwrap_or(u32::MAX);
                self.lists.put((subject.key.clone(), subject.instance.step), list);
                Value::Items(items)
            }),
        };
        result.map_err(|error| invalid(task, &error).into())
    }

    fn list(
        &self,
        subject: &Subject,
        over: &Expr,
        gathered: &Gathered,
    ) -> Result<Vec<Payload>, EvalError> {
        let tenant = tenant_json(&subject.context);
        let steps = gathered.steps();
        let scope = gathered.scope(&steps, &tenant, subject.key.run);
        let items = self.evaluator.list(over, &scope)?;
        Ok(items.into_iter().map(Payload::from).collect())
    }
}

impl From<Miss> for Unassembled {
    fn from(miss: Miss) -> Self {
        match miss {
            Miss::Failed(failure) => Self::Failed(failure),
            Miss::Store | Miss::Unavailable => Self::Unavailable,
        }
    }
}

/// The expressions that make the instance's input.
fn with(subject: &Subject) -> &[(String, Expr)] {
    let step = subject.workflow.step(subject.instance.step);
    match (&step.compensate, subject.instance.part) {
        (Some(undo), Part::Compensation) => &undo.with,
        _ => &step.with,
    }
}

/// The pool whose workers do that part of the step.
fn pool_in(workflow: &Workflow, lease: &LeaseId) -> Option<PoolName> {
    let step = workflow.steps.get(usize::from(lease.instance.step.0))?;
    let pool = match lease.instance.part {
        Part::Compensation => step.compensate.as_ref().map(|undo| &undo.pool),
        _ => step.kind.pool(),
    };
    pool.cloned()
}

fn invalid(task: &Task, error: &EvalError) -> Miss {
    let class = match task {
        Task::With => "input-invalid",
        Task::When(_) | Task::Over(_) | Task::Until(_) => "expression-failed",
    };
    Miss::Failed(Failure::cut(class, &error.to_string()))
}

/// That an output is none of its step's, in words.
pub(crate) fn output_breaks(violations: &[Violation]) -> String {
    format!("the output breaks the step's schema: {}", listed(violations))
}

pub(crate) fn listed(violations: &[Violation]) -> String {
    let all: Vec<String> = violations.iter().map(ToString::to_string).collect();
    all.join("; ")
}

fn failed(class: &str, message: &str) -> Unassembled {
    Unassembled::Failed(Failure::cut(class, message))
}

/// A panic of the work is its failure: whoever waits for the result gets one.
fn contained<T>(
    work: impl FnOnce() -> Option<Result<T, Unassembled>>,
) -> Option<Result<T, Unassembled>> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Some(Err(broken_off())))
}

/// What was written to shared memory before a panic stands: lists and payloads, each put there whole.
fn broken_off() -> Unassembled {
    tracing::error!(event = "evaluation-panicked", "an evaluation was broken off");
    failed("internal", "the evaluation was broken off")
}
