//! The platform in virtual time: the real cell and driver, and workers that take as long as the scenario says.
//!
//! Time goes from one thing that happens to the next: a run arrives, an attempt ends, a lease is renewed, the cell wants to
//! be woken. Nothing here reads a clock or waits. A commit takes no time; what a run's work takes and whether it fails
//! follows from the seed, its arrival, the step and the attempt, so that variants differ in what they change alone.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use fairlane_core::catalog::{Metered, Usage};
use fairlane_core::cell::change::{Change, Snapshot};
use fairlane_core::cell::effect::{Effect, Evaluation, Exchanged, Grant, Question, Response, Work};
use fairlane_core::cell::input::{
    AskId, Called, Evaluated, Exchange, Input, Judged, Outcome, ReplyId, Report, Submit, Value,
};
use fairlane_core::driver::Driver;
use fairlane_core::id::{PoolName, RunId, TenantId, WorkerName, WorkflowName};
use fairlane_core::limiter::Answer;
use fairlane_core::plan::{Expr, StepIndex, StepKind, Workflow};
use fairlane_core::row::{
    Failure, Lane, LeaseId, Part, Payload, Route, RunKey, StepRow, StepState,
};
use fairlane_core::tenant::Context;
use fairlane_core::time::{Span, Time};
use fairlane_workflow::{Evaluator, Scope, StepResult, tenant_json};

use super::scenario::{Effort, Scenario, Source};
use super::story::Story;
use crate::load::random::Random;

/// What came of a run of an arrival in `Scenario::arrivals`.
#[derive(Debug)]
struct Run {
    arrival: usize,
    /// How long attempts take of work that the scenario does not name.
    takes: Option<Span>,
    /// How steps ended that did, with what they gave.
    steps: BTreeMap<StepIndex, (&'static str, Option<Payload>)>,
}

#[derive(Debug)]
enum Event {
    /// Runs of one source.
    Arrive {
        source: usize,
        time: u64,
    },
    /// A row of the trace of a group whose arrivals these are.
    Traced {
        arrival: usize,
        row: usize,
    },
    Renew(LeaseId),
    End(LeaseId),
}

/// Takes all that its pool has, and says what came of it.
#[derive(Debug)]
struct Worker {
    name: WorkerName,
    slots: u32,
    held: u32,
    reports: Vec<Report>,
    /// The exchange that waits for something to do.
    open: Option<AskId>,
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
    story: Story,
}

impl<'a> World<'a> {
    /// The arrivals of those tenants are left out.
    pub(super) fn new(
        scenario: &'a Scenario,
        evaluator: &'a Evaluator,
        declared: Snapshot,
        without: &[String],
    ) -> Self {
        let start = Time(scenario.start.0);
        let workers = declared.pools.iter().map(|pool| {
            let name = WorkerName::parse(pool.name.as_str()).expect("a pool's name is one");
            let worker =
                Worker { name, slots: pool.slots, held: 0, reports: Vec::new(), open: None };
            (pool.name.clone(), worker)
        });
        let tenants: BTreeMap<_, _> = declared
            .contexts
            .iter()
            .map(|context| (context.tenant.clone(), (context.version, context.sla)))
            .collect();
        let tenants = tenants.into_iter().map(|(tenant, (_, sla))| (tenant, sla));
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
            story: Story::new(tenants, start, scenario.lasts),
            driver: Driver::load(start, 1, declared),
        };
        for at in 0..world.sources.len() {
            let source = &world.sources[at];
            if scenario.is_among(&source.tenant, without) {
                continue;
            }
            for (time, moment) in (0..).zip(scenario.moments(source)) {
                world.plan(start + moment, Event::Arrive { source: at, time });
            }
        }
        for (arrival, arrivals) in scenario.arrivals.iter().enumerate() {
            let Some(traced) = scenario.traced(arrivals) else { continue };
            for (row, each) in traced.arrivals.iter().enumerate() {
                if !scenario.is_among(traced.whose(each), without) {
                    world.plan(start + each.at, Event::Traced { arrival, row });
                }
            }
        }
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
        self.story.end(self.end);
        self.story
    }

    fn plan(&mut self, at: Time, event: Event) {
        self.planned += 1;
        self.agenda.insert((at, self.planned), event);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrive { source, time } => self.arrive(source, time),
            Event::Traced { arrival, row } => self.arrive_traced(arrival, row),
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

    fn arrive(&mut self, source: usize, time: u64) {
        let Source { arrival, tenant, .. } = &self.sources[source];
        let arrival = *arrival;
        let arrivals = &self.scenario.arrivals[arrival];
        let Ok(tenant) = TenantId::parse(tenant) else { return };
        for number in 0..arrivals.count {
            // The same run has the same name in each variant.
            let place = ((source as u64) << 40) + time * arrivals.count + number;
            let key = RunKey { tenant: tenant.clone(), run: RunId(u128::from(place) + 1) };
            self.submit(key, arrival, None);
        }
    }

    fn arrive_traced(&mut self, arrival: usize, row: usize) {
        let Some(traced) = self.scenario.traced(&self.scenario.arrivals[arrival]) else { return };
        let each = &traced.arrivals[row];
        let Ok(tenant) = TenantId::parse(traced.whose(each)) else { return };
        // Beyond all those that are in no file.
        let place = (arrival as u128 + 1) << 96 | row as u128;
        self.submit(RunKey { tenant, run: RunId(place) }, arrival, Some(each.takes));
    }

    fn submit(&mut self, key: RunKey, arrival: usize, takes: Option<Span>) {
        let arrivals = &self.scenario.arrivals[arrival];
        let Ok(workflow) = WorkflowName::parse(&arrivals.workflow) else { return };
        let reply = ReplyId(self.next_id());
        self.submitted.insert(reply, key.clone());
        self.runs.insert(key.clone(), Run { arrival, takes, steps: BTreeMap::new() });
        self.input(Input::Submit(Box::new(Submit {
            trace: None,
            by: None,
            requester: None,
            subject: None,
            reply,
            key,
            workflow,
            version: None,
            lane: Lane::Normal,
            input: Payload::from(self.input_of(arrival).to_vec()),
            idempotency: None,
        })));
    }

    fn input_of(&self, arrival: usize) -> &'a [u8] {
        let input = self.scenario.arrivals[arrival].input.as_ref();
        input.map_or(b"{}", |input| input.get().as_bytes())
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
                self.story.run(row);
                if row.status.is_ended() {
                    self.runs.remove(&row.key);
                }
            }
            Change::Step(row) if row.instance.part == Part::Whole => self.ended(row),
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
            Effect::Reply(reply, response) => {
                let Some(key) = self.submitted.remove(&reply) else { return };
                if let Response::Rejected(_) = response {
                    self.runs.remove(&key);
                    self.story.refused(&key.tenant);
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
            self.begin(pool.clone(), grant);
        }
    }

    fn begin(&mut self, pool: PoolName, grant: Grant) {
        let lease = grant.lease;
        let step = grant.workflow.step(lease.instance.step);
        let (name, provider) = match &grant.work {
            Work::Task(task) => (task.as_str(), step.tool.as_ref()),
            Work::Tool => (step.tool.as_ref().map_or("", |tool| tool.as_str()), step.tool.as_ref()),
            Work::Model(route) => (route.model.as_str(), Some(&route.endpoint)),
        };
        let usual = Effort::default();
        let effort = self.scenario.work.get(name);
        let draws = &mut self.draws(&lease, grant.attempt);
        let traced = self.runs.get(&lease.key).and_then(|run| run.takes);
        let usually = traced.unwrap_or(step.expected);
        let takes = effort.map_or(usually, |effort| within(effort, draws));
        let effort = effort.unwrap_or(&usual);
        let fails = grant.attempt <= effort.fails_first
            || draws.next() % 100 < u64::from(effort.fails_percent);
        let outcome = outcome(effort, &grant.work, fails);
        self.story.began(&lease, self.now, provider);
        if let Some(worker) = self.workers.get_mut(&pool) {
            worker.held += 1;
        }
        if takes >= grant.renew_within {
            self.plan(self.now + grant.renew_within, Event::Renew(lease.clone()));
        }
        self.plan(self.now + takes, Event::End(lease.clone()));
        self.held.insert(lease, Held { pool, outcome, renew_within: grant.renew_within });
    }

    /// What an attempt draws: nothing but this attempt shifts it.
    fn draws(&self, lease: &LeaseId, attempt: u32) -> Random {
        let mut seed = self.scenario.seed;
        let part = lease.instance.part.code().cast_unsigned();
        #[expect(clippy::cast_possible_truncation, reason = "names of runs are short here")]
        let run = lease.key.run.0 as u64;
        for word in [run, u64::from(lease.instance.step.0), part, u64::from(attempt)] {
            seed = Random::new(seed ^ word).next();
        }
        Random::new(seed)
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

    /// All workers say what there is to say, and take what there is, until there is no more.
    fn exchange(&mut self) {
        loop {
            let ready = self.workers.iter_mut().find(|(_, worker)| {
                !worker.reports.is_empty() || (worker.open.is_none() && worker.held < worker.slots)
            });
            let Some((pool, worker)) = ready else { return };
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
                want: worker.slots - worker.held,
                reports: std::mem::take(&mut worker.reports),
                hold: true,
            };
            self.input(Input::Exchange(exchange));
        }
    }

    fn evaluate(&self, evaluation: &Evaluation) -> Result<Value, Failure> {
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
            Question::Over(Expr(_))
            | Question::ChildInput
            | Question::Subject
            | Question::Revision => Err(failure("not-simulated")),
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
            input: self.input_of(run.arrival),
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

fn within(effort: &Effort, draws: &mut Random) -> Span {
    let (from, to) = (effort.takes.from.0, effort.takes.to.0);
    if from == to { Span(from) } else { Span(from + draws.next() % (to - from + 1)) }
}

fn outcome(effort: &Effort, work: &Work, fails: bool) -> Outcome {
    let output = effort.output.as_ref().map_or("null", |output| output.get());
    let output = Payload::from(output.as_bytes().to_vec());
    match work {
        Work::Task(_) | Work::Tool if fails => Outcome::failed(failure("simulated"), true, None),
        Work::Task(_) | Work::Tool => {
            Outcome::Completed { output, judged: Judged::default(), cost: None }
        }
        Work::Model(route) => called(effort, route, fails, output),
    }
}

fn called(effort: &Effort, route: &Route, fails: bool, output: Payload) -> Outcome {
    let used = Usage {
        input: effort.input_tokens.min(route.input),
        output: effort.output_tokens.min(route.output),
        ..Usage::default()
    };
    let usage = if fails { Usage::default() } else { used };
    let (result, answer) = if fails {
        (Err((failure("simulated"), true)), Answer::Unknown)
    } else {
        (Ok(output), Answer::Served)
    };
    let metered = Metered { usage, is_certain: true };
    Outcome::Called(Box::new(Called { result, judged: Judged::default(), metered, answer }))
}

fn failure(class: &str) -> Failure {
    Failure::cut(class, "simulated")
}
