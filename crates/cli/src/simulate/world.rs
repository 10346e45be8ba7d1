//! The platform in virtual time: the real cell and driver, and workers that take as long as the scenario says.
//!
//! Time goes from one thing that happens to the next: a run arrives, an attempt ends, a lease is renewed, the cell wants to
//! be woken. Nothing here reads a clock or waits. A commit takes no time; what a run's work takes and whether it fails
//! follows from the seed, its arrival, the step and the attempt, so that variants differ in what they change alone.

mod arrivals;
mod outages;
mod people;
pub(crate) mod recorded;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use fairlane_core::catalog::{Metered, Usage};
use fairlane_core::cell::change::{Change, Snapshot};
use fairlane_core::cell::effect::{
    Effect, Evaluation, Exchanged, Grant, Phase, Question, Response, RunView, Waiting, Work,
};
use fairlane_core::cell::input::{
    AskId, Called, Evaluated, Exchange, Input, Judged, Outcome, Query, ReplyId, Report, Value,
};
use fairlane_core::driver::Driver;
use fairlane_core::gate::Refusal;
use fairlane_core::id::{PersonId, PoolName, ReviewId, SignalName, WorkerName};
use fairlane_core::limiter::Answer;
use fairlane_core::plan::{Expr, StepIndex, StepKind, Workflow};
use fairlane_core::reject::Rejection;
use fairlane_core::row::{
    Failure, LeaseId, Part, Payload, ReviewRow, Route, RunKey, StepRow, StepState,
};
use fairlane_core::tenant::Context;
use fairlane_core::time::{Span, Time};
use fairlane_workflow::{Evaluator, Scope, StepResult, tenant_json};

use super::contest::Contest;
use super::scenario::{Effort, Range, Scenario, Source};
use super::story::Story;
use super::variant::Variant;
use crate::load::random::Random;
use crate::recorded::Place;
use arrivals::Copied;
use people::People;
use recorded::Attempt;

/// What came of a run.
#[derive(Debug)]
struct Run {
    came: Came,
    /// How long attempts take of work that the scenario does not name.
    takes: Option<Span>,
    /// How steps ended that did, with what they gave.
    steps: BTreeMap<StepIndex, (&'static str, Option<Payload>)>,
}

/// Where it is said that a run comes.
#[derive(Clone, Copy, Debug)]
enum Came {
    /// In `Scenario::arrivals`.
    Arrival(usize),
    /// In `Scenario::records`.
    Recorded(usize),
}

#[derive(Debug)]
enum Event {
    Arrive(Copied),
    Renew(LeaseId),
    End(LeaseId),
    /// What came to recorded runs from outside.
    Cancel(RunKey),
    Signal(RunKey, SignalName),
    Decide(Box<ReviewRow>),
    /// Reviewers come to work.
    Shift,
    /// One still has it.
    Keep(PersonId, ReviewId),
    /// One has thought about it.
    Verdict(PersonId, ReviewId),
    /// A pool loses slots, or has them again.
    Slots(PoolName),
}

/// Takes all that its pool has, and says what came of it.
#[derive(Debug)]
struct Worker {
    name: WorkerName,
    /// Of its pool.
    declared: u32,
    /// That outages leave it.
    slots: u32,
    /// It has not said yet that it has another number of slots.
    is_changed: bool,
    held: u32,
    reports: Vec<Report>,
    /// The exchange that waits for something to do.
    open: Option<AskId>,
}

impl Worker {
    fn has_to_say(&self) -> bool {
        let is_free = self.open.is_none() && self.held < self.slots;
        self.is_changed || is_free || !self.reports.is_empty()
    }
}

#[derive(Debug)]
struct Held {
    pool: PoolName,
    outcome: Outcome,
    renew_within: Span,
}

pub(super) struct World<'a> {
    scenario: &'a Scenario,
    sources: Vec<Source>,
    driver: Driver,
    evaluator: &'a Evaluator,
    now: Time,
    end: Time,
    /// What happens, in the order of its time, and of what was planned first.
    agenda: BTreeMap<(Time, u64), Event>,
    planned: u64,
    ids: u64,
    workers: BTreeMap<PoolName, Worker>,
    /// Of exchanges without an answer, the pool.
    asked: HashMap<AskId, PoolName>,
    held: HashMap<LeaseId, Held>,
    runs: HashMap<RunKey, Run>,
    submitted: HashMap<ReplyId, RunKey>,
    /// Runs that are looked at when the play ends.
    explained: HashMap<ReplyId, RunKey>,
    workflows: Vec<Arc<Workflow>>,
    /// Of recorded runs, those that a step of another one calls.
    called: HashMap<(usize, Place), usize>,
    people: People,
    story: Story,
}

impl<'a> World<'a> {
    /// With the arrivals that the variant has.
    pub(super) fn new(
        scenario: &'a Scenario,
        evaluator: &'a Evaluator,
        declared: Snapshot,
        variant: &Variant,
    ) -> Self {
        let start = Time(scenario.start.0);
        let workers = declared.pools.iter().map(|pool| {
            let name = WorkerName::parse(pool.name.as_str()).expect("a pool's name is one");
            let worker = Worker {
                name,
                declared: pool.slots,
                slots: pool.slots,
                is_changed: false,
                held: 0,
                reports: Vec::new(),
                open: None,
            };
            (pool.name.clone(), worker)
        });
        let tenants: BTreeMap<_, _> = declared
            .contexts
            .iter()
            .map(|context| (context.tenant.clone(), (context.tier.to_string(), context.sla)))
            .collect();
        let mut world = Self {
            scenario,
            sources: scenario.sources(),
            evaluator,
            now: start,
            end: start + scenario.lasts,
            agenda: BTreeMap::new(),
            planned: 0,
            ids: 0,
            workers: workers.collect(),
            asked: HashMap::new(),
            held: HashMap::new(),
            runs: HashMap::new(),
            submitted: HashMap::new(),
            explained: HashMap::new(),
            workflows: declared.workflows.clone(),
            called: arrivals::called(&scenario.records),
            people: People::new(scenario, &declared),
            story: Story::new(tenants.into_iter(), start, scenario.lasts, Contest::new(&declared)),
            driver: Driver::load(start, 1, declared),
        };
        world.story.desks = world.people.desks(scenario);
        world.plan_outages();
        world.plan_people();
        world.plan_arrivals(variant, start);
        world
    }

    /// Plays until the scenario's end, and tells what happened.
    pub(super) fn play(mut self) -> Story {
        self.exchange();
        loop {
            let planned = self.agenda.keys().next().map(|(at, _)| *at);
            let next = planned.into_iter().chain(self.driver.next_wake()).min();
            let Some(next) = next.filter(|next| *next <= self.end) else { break };
            self.now = self.now.max(next);
            if self.driver.next_wake().is_some_and(|due| due <= self.now) {
                self.input(Input::Tick);
            }
            while let Some(entry) = self.agenda.first_entry()
                && entry.key().0 <= self.now
            {
                let event = entry.remove();
                self.happen(event);
            }
            self.exchange();
        }
        self.now = self.end;
        self.note_waiting();
        self.leave_desks();
        self.story.end(self.end);
        self.story
    }

    /// Steps that wait for their first slot when the play ends have waited too.
    fn note_waiting(&mut self) {
        let mut runs: Vec<RunKey> = self.runs.keys().cloned().collect();
        runs.sort_unstable();
        for key in runs {
            let reply = ReplyId(self.next_id());
            self.explained.insert(reply, key.clone());
            self.input(Input::Query(reply, Query::Explain(key)));
        }
    }

    /// What a run waits for at the end.
    fn note_explained(&mut self, key: &RunKey, view: &RunView) {
        let Some(workflow) = self.runs.get(key).and_then(|run| self.plan_of(run.came)).cloned()
        else {
            return;
        };
        for step in view.steps.iter().filter(|step| step.phase == Phase::Ready && step.attempt == 0)
        {
            let is_for_slot =
                matches!(step.waits, Some(Waiting::Gate { refusal: Refusal::Slot(_), .. }));
            if let Some(pool) =
                workflow.step(step.instance.step).kind.pool().filter(|_| is_for_slot)
            {
                self.story.contest.waited(pool, &key.tenant, (step.since, self.end));
            }
        }
    }

    fn plan(&mut self, at: Time, event: Event) {
        self.planned += 1;
        self.agenda.insert((at, self.planned), event);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrive(copied) => self.arrive(copied),
            Event::Cancel(key) => self.cancel(key),
            Event::Signal(key, name) => self.signal(key, name),
            Event::Decide(review) => self.decide(&review),
            Event::Shift => self.shift(),
            Event::Keep(person, review) => self.keep(person, review),
            Event::Verdict(person, review) => self.verdict(person, review),
            Event::Slots(pool) => self.change_slots(&pool),
            Event::Renew(lease) => {
                let Some(held) = self.held.get(&lease) else { return };
                let (pool, within) = (held.pool.clone(), held.renew_within);
                self.report(&pool, Report { lease: lease.clone(), outcome: Outcome::Heartbeat });
                self.plan(self.now + within, Event::Renew(lease));
            }
            Event::End(lease) => {
                let Some(held) = self.held.remove(&lease) else { return };
                self.let_go(&lease, &held.pool);
                self.report(&held.pool, Report { lease, outcome: held.outcome });
            }
        }
    }

    /// Steps the cell, and does what follows, until nothing does.
    fn input(&mut self, input: Input) {
        self.driver.step(self.now, input);
        while let Some(changes) = self.driver.take() {
            for change in &changes {
                self.note(change);
            }
            for effect in self.driver.committed() {
                self.release(effect);
            }
        }
    }

    fn note(&mut self, change: &Change) {
        match change {
            Change::Run(row) => {
                self.note_called(row);
                self.story.run(row);
                if row.status.is_ended() {
                    self.runs.remove(&row.key);
                }
            }
            Change::Step(row) => {
                self.note_waits(row);
                if let (StepState::Leased { pool, .. }, 1) = (&row.state, row.attempt) {
                    let waited = (row.ready, row.since);
                    self.story.contest.waited(pool, &row.key.tenant, waited);
                }
                if row.instance.part == Part::Whole {
                    self.ended(row);
                }
            }
            Change::Review(row) => {
                self.story.review(row, self.now);
                self.note_review(row);
                self.note_for_people(row);
            }
            _ => {}
        }
    }

    fn ended(&mut self, row: &StepRow) {
        let Some(run) = self.runs.get_mut(&row.key) else { return };
        let status = match row.state {
            StepState::Done => "done",
            StepState::Skipped => "skipped",
            StepState::Failed { .. } => "failed",
            StepState::Cancelled => "cancelled",
            _ => return,
        };
        run.steps.insert(row.instance.step, (status, row.output.clone()));
    }

    fn release(&mut self, effect: Effect) {
        match effect {
            Effect::Reply(reply, Response::Explained(view)) => {
                if let Some(key) = self.explained.remove(&reply) {
                    self.note_explained(&key, &view);
                }
            }
            Effect::Reply(reply, response) => {
                let Some(key) = self.submitted.remove(&reply) else {
                    return self.hear_review(reply, &response);
                };
                if let Response::Rejected(rejection) = response {
                    self.runs.remove(&key);
                    let is_short = matches!(rejection, Rejection::BudgetExhausted { .. });
                    self.story.refused(&key.tenant, is_short);
                }
            }
            Effect::Exchanged(ask, exchanged) => self.hear(ask, exchanged),
            Effect::Evaluate(evaluation) => {
                let result = self.evaluate(&evaluation);
                let Evaluation { key, instance, round, .. } = *evaluation;
                self.driver
                    .step(self.now, Input::Evaluated(Evaluated { key, instance, round, result }));
            }
            // Schedules are left out: arrivals say what comes. Scenarios have no channels.
            Effect::NextTime(_)
            | Effect::Progress(_)
            | Effect::Segment(_)
            | Effect::Declared(_)
            | Effect::Deliver(_) => {}
        }
    }

    fn hear(&mut self, ask: AskId, exchanged: Exchanged) {
        let Some(pool) = self.asked.remove(&ask) else { return };
        if let Some(worker) = self.workers.get_mut(&pool)
            && worker.open == Some(ask)
        {
            worker.open = None;
        }
        for lease in exchanged.revoked {
            let Some(held) = self.held.remove(&lease) else { continue };
            self.let_go(&lease, &held.pool);
            let outcome = Outcome::failed(failure("stopped"), false, None);
            self.report(&held.pool, Report { lease, outcome });
        }
        for grant in exchanged.grants {
            self.begin(pool.clone(), &grant);
        }
    }

    fn begin(&mut self, pool: PoolName, grant: &Grant) {
        let lease = grant.lease.clone();
        let step = grant.workflow.step(lease.instance.step);
        let (name, provider) = match &grant.work {
            Work::Task(task) => (task.as_str(), step.tool.as_ref()),
            Work::Tool => (step.tool.as_ref().map_or("", |tool| tool.as_str()), step.tool.as_ref()),
            Work::Model(route) => (route.model.as_str(), Some(&route.endpoint)),
        };
        let provider = provider.cloned();
        let Attempt { takes, outcome } =
            self.repeat(grant).unwrap_or_else(|| self.attempt(grant, name));
        self.story.began(&lease, &pool, self.now, provider.as_ref());
        if let Some(worker) = self.workers.get_mut(&pool) {
            worker.held += 1;
        }
        if takes >= grant.renew_within {
            self.plan(self.now + grant.renew_within, Event::Renew(lease.clone()));
        }
        self.plan(self.now + takes, Event::End(lease.clone()));
        self.held.insert(lease, Held { pool, outcome, renew_within: grant.renew_within });
    }

    /// What an attempt takes that no record has, and what comes of it.
    fn attempt(&self, grant: &Grant, name: &str) -> Attempt {
        let usual = Effort::default();
        let effort = self.scenario.work.get(name);
        let (slower, failing) = self.outage_of(name);
        let draws = &mut self.draws(&grant.lease, grant.attempt);
        let traced = self.runs.get(&grant.lease.key).and_then(|run| run.takes);
        let expected = grant.workflow.step(grant.lease.instance.step).expected;
        let usually = traced.unwrap_or(expected);
        let range = slower.or_else(|| effort.map(|effort| effort.takes));
        let takes = range.map_or(usually, |range| within(range, draws));
        let effort = effort.unwrap_or(&usual);
        let fails_percent = failing.unwrap_or(effort.fails_percent);
        let fails =
            grant.attempt <= effort.fails_first || draws.next() % 100 < u64::from(fails_percent);
        Attempt { takes, outcome: outcome(effort, &grant.work, fails.then_some(true)) }
    }

    /// What an attempt draws: nothing but this attempt shifts it.
    fn draws(&self, lease: &LeaseId, attempt: u32) -> Random {
        let part = lease.instance.part.code().cast_unsigned();
        #[expect(clippy::cast_possible_truncation, reason = "names of runs are short here")]
        let run = lease.key.run.0 as u64;
        self.chance([run, u64::from(lease.instance.step.0), part, u64::from(attempt)])
    }

    /// Numbers that follow from the seed and from these.
    fn chance(&self, words: [u64; 4]) -> Random {
        let mixed = words
            .into_iter()
            .fold(self.scenario.seed, |seed, word| Random::new(seed ^ word).next());
        Random::new(mixed)
    }

    fn report(&mut self, pool: &PoolName, report: Report) {
        if let Some(worker) = self.workers.get_mut(pool) {
            worker.reports.push(report);
        }
    }

    fn let_go(&mut self, lease: &LeaseId, pool: &PoolName) {
        self.story.ended(lease, self.now);
        if let Some(worker) = self.workers.get_mut(pool) {
            worker.held -= 1;
        }
    }

    /// All workers and reviewers say what there is to say, and take what there is, until there is no more.
    fn exchange(&mut self) {
        loop {
            self.take_reviews();
            let ready = self.workers.iter_mut().find(|(_, worker)| worker.has_to_say());
            let Some((pool, worker)) = ready else { return };
            worker.is_changed = false;
            self.ids += 1;
            let ask = AskId(self.ids);
            worker.open = Some(ask);
            self.asked.insert(ask, pool.clone());
            let exchange = Exchange {
                ask,
                worker: worker.name.clone(),
                pool: pool.clone(),
                tenants: None,
                slots: worker.slots,
                want: worker.slots.saturating_sub(worker.held),
                reports: std::mem::take(&mut worker.reports),
                hold: true,
            };
            self.input(Input::Exchange(exchange));
        }
    }

    fn evaluate(&self, evaluation: &Evaluation) -> Result<Value, Failure> {
        if let Some(remembered) = self.remember(evaluation) {
            return remembered;
        }
        let Evaluation { key, workflow, context, what, .. } = evaluation;
        match what {
            Question::Prompt => Ok(Value::Tokens(self.prompt(evaluation))),
            Question::When(when) => self.compute(key, workflow, context, |scope| {
                self.evaluator.condition(when, scope).map(Value::Condition)
            }),
            Question::Until(until) => self.compute(key, workflow, context, |scope| {
                self.evaluator.time(until, scope).map(Value::Until)
            }),
            // The scenario is refused if its workflows ask this.
            Question::Over(Expr(_)) | Question::ChildInput | Question::Revision => {
                Err(failure("not-simulated"))
            }
            Question::Subject => Ok(Value::Digest([0; 32])),
        }
    }

    fn prompt(&self, evaluation: &Evaluation) -> u32 {
        let step = evaluation.workflow.step(evaluation.instance.step);
        let effort = match &step.kind {
            StepKind::Model(call) => self.scenario.work.get(call.model.as_str()),
            _ => None,
        };
        effort.map_or_else(|| Effort::default().input_tokens, |effort| effort.input_tokens)
    }

    fn compute(
        &self,
        key: &RunKey,
        workflow: &Workflow,
        context: &Arc<Context>,
        compute: impl FnOnce(&Scope<'_>) -> Result<Value, fairlane_workflow::EvalError>,
    ) -> Result<Value, Failure> {
        let Some(run) = self.runs.get(key) else { return Err(failure("not-simulated")) };
        let steps: Vec<StepResult<'_>> = workflow
            .indexed()
            .map(|(at, step)| {
                let (status, output) = run
                    .steps
                    .get(&at)
                    .map_or(("pending", None), |ended| (ended.0, ended.1.as_deref()));
                StepResult { name: &step.name, status, output }
            })
            .collect();
        let tenant = tenant_json(context);
        let scope = Scope {
            input: self.input_of(run.came),
            steps: &steps,
            tenant: &tenant,
            run: key.run,
            item: None,
        };
        compute(&scope).map_err(|error| Failure::cut("expression-failed", &error.to_string()))
    }

    const fn next_id(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }
}

fn within(range: Range, draws: &mut Random) -> Span {
    let (from, to) = (range.from.0, range.to.0);
    if from == to { Span(from) } else { Span(from + draws.next() % (to - from + 1)) }
}

/// `fails`: whether it may be tried again then.
fn outcome(effort: &Effort, work: &Work, fails: Option<bool>) -> Outcome {
    let output = effort.output.as_ref().map_or("null", |output| output.get());
    let output = Payload::from(output.as_bytes().to_vec());
    match work {
        Work::Task(_) | Work::Tool => match fails {
            Some(retryable) => Outcome::failed(failure("simulated"), retryable, None),
            None => Outcome::Completed { output, judged: Judged::default(), cost: None },
        },
        Work::Model(route) => called(effort, route, fails, output),
    }
}

fn called(effort: &Effort, route: &Route, fails: Option<bool>, output: Payload) -> Outcome {
    let used = Usage {
        input: effort.input_tokens.min(route.input),
        output: effort.output_tokens.min(route.output),
        ..Usage::default()
    };
    let usage = if fails.is_some() { Usage::default() } else { used };
    let (result, answer) = match fails {
        Some(retryable) => (Err((failure("simulated"), retryable)), Answer::Unknown),
        None => (Ok(output), Answer::Served),
    };
    let metered = Metered { usage, is_certain: true };
    Outcome::Called(Box::new(Called { result, judged: Judged::default(), metered, answer }))
}

fn failure(class: &str) -> Failure {
    Failure::cut(class, "simulated")
}
