//! A desk at which a test plays all sides of the cell: clients, workers, evaluator, clock and disk.

use std::fmt::Write as _;
use std::sync::Arc;

use crate::cell::change::{Change, Snapshot};
use crate::cell::effect::{Effect, Exchanged, Grant, Response, TenantView, Waiting, Work};
use crate::cell::input::{
    AskId, Command, Configure, Evaluated, Exchange, Input, Judged, Outcome, Query, ReplyId, Report,
    Retry, Scheduled, Submit, Value,
};
use crate::driver::Driver;
use crate::id::{OrgId, PoolName, RunId, TaskName, TenantId, TierName, WorkerName, WorkflowName};
use crate::notice::{Means, Relay};
use crate::plan::{Step, StepIndex, StepKind, Timeouts, Workflow};
use crate::pool::{Policy, Pool};
use crate::row::{
    Decision, Failure, Lane, LeaseId, Part, Payload, RunKey, RunRow, SignalRow, StepRow,
};
use crate::tenant::{Org, Tenant, Tier};
use crate::time::{Span, Time};
use crate::trace::Sampling;

use super::disk::Disk;

pub(crate) struct Desk {
    pub(crate) driver: Driver,
    pub(crate) now: Time,
    epoch: u64,
    next: u64,
    /// Everything that was released, oldest first, until `log` takes it.
    pub(super) released: Vec<Effect>,
    pub(super) committed: Vec<Change>,
}

pub(crate) fn name<T: std::str::FromStr>(text: &str) -> T
where
    T::Err: std::fmt::Debug,
{
    text.parse().unwrap()
}

/// A task step: `step("credit", &[0])` comes after the step at 0.
pub(crate) fn step(text: &str, after: &[u16]) -> Step {
    Step {
        name: name(text),
        kind: StepKind::Task { task: name::<TaskName>(text), pool: name::<PoolName>("default") },
        after: after.iter().copied().map(StepIndex).collect(),
        when: None,
        with: Vec::new(),
        retry: crate::plan::Retry::default(),
        timeout: Timeouts::default(),
        optional: false,
        map: None,
        compensate: None,
        tool: None,
        cost_nano: 0,
        expected: Span::from_secs(1),
        output_schema: None,
        judge: crate::plan::Judge::default(),
    }
}

pub(crate) fn workflow(text: &str, steps: Vec<Step>) -> Workflow {
    Workflow {
        name: name(text),
        version: 1,
        source: Arc::from(format!("{steps:?}")),
        input_schema: None,
        subject: None,
        steps,
        timeout: None,
        schedules: Vec::new(),
        replan: None,
        revised: crate::replan::Revised::default(),
    }
}

/// The cell's rows are kept in Ireland, where its relay for mail is too; all runs are followed.
fn placed(snapshot: Snapshot) -> Snapshot {
    let relay = Some(Relay { region: Some(name("eu-west-1")) });
    let means = Means { relay, ..Means::default() };
    let sampling = Some(Sampling { permille: 1_000 });
    Snapshot { region: Some(name("eu-west-1")), means, sampling, ..snapshot }
}

impl Desk {
    /// Two tenants, `a` with cap 2 and `b` with cap 10, a pool of 4 slots, and the workflow.
    pub(crate) fn new(workflow: Workflow) -> Self {
        let now = Time(1_000_000_000);
        let mut desk = Self {
            driver: Driver::load(now, 1, placed(Snapshot::default())),
            now,
            epoch: 1,
            next: 0,
            released: Vec::new(),
            committed: Vec::new(),
        };
        desk.declare(Configure::Org(Org { id: name("org"), weight: 1, cap: None, budget: None }));
        for (tier, cap) in [("small", 2), ("large", 10)] {
            desk.declare(Configure::Tier(Tier {
                review_class: 4,
                reviewer_pool: None,
                name: name::<TierName>(tier),
                weight: 1,
                cap,
                burst: None,
                urgent_share_permille: 1_000,
                runs_max: 100,
                sla: None,
                budget_class: None,
                rules: crate::tenant::Rules::default(),
            }));
        }
        desk.declare(Configure::Pool(pool("default")));
        desk.declare(Configure::Tenant(tenant("a", "small")));
        desk.declare(Configure::Tenant(tenant("b", "large")));
        desk.declare(Configure::Workflow(Arc::new(workflow)));
        desk
    }

    pub(crate) const fn now(&self) -> Time {
        self.now
    }

    /// Declares something that must be accepted.
    pub(crate) fn declare(&mut self, configure: Configure) {
        let response = self.ask(|reply| Input::Configure(reply, None, configure));
        assert!(matches!(response, Response::Configured { .. }), "{response:?}");
    }

    /// One input, one turn, committed and released.
    pub(crate) fn input(&mut self, input: Input) {
        self.driver.step(self.now, input);
        self.flush();
    }

    /// Commits and releases what is there.
    pub(super) fn flush(&mut self) {
        while let Some(changes) = self.driver.take() {
            self.committed.extend(changes);
            let released = self.driver.committed();
            self.released.extend(released);
        }
    }

    pub(crate) fn ask(&mut self, input: impl FnOnce(ReplyId) -> Input) -> Response {
        self.next += 1;
        let reply = ReplyId(self.next);
        self.input(input(reply));
        let at = self
            .released
            .iter()
            .position(|effect| matches!(effect, Effect::Reply(to, _) if *to == reply))
            .expect("every request is answered in its turn");
        match self.released.remove(at) {
            Effect::Reply(_, response) => response,
            effect => panic!("{effect:?}"),
        }
    }

    /// Asks something that need not be answered in its turn.
    pub(crate) fn begin(&mut self, input: impl FnOnce(ReplyId) -> Input) -> ReplyId {
        self.next += 1;
        let reply = ReplyId(self.next);
        self.input(input(reply));
        reply
    }

    /// The answers to those that have come since the last call.
    pub(crate) fn answers(&mut self) -> Vec<(ReplyId, Response)> {
        let mut answers = Vec::new();
        self.released.retain(|effect| {
            let Effect::Reply(to, response) = effect else { return true };
            answers.push((*to, response.clone()));
            false
        });
        answers
    }

    pub(crate) fn submit(&mut self, tenant: &str, workflow: &str) -> RunKey {
        self.next += 1;
        let key = RunKey { tenant: name(tenant), run: RunId(u128::from(self.next)) };
        let response = self.try_submit(&key, workflow);
        assert!(matches!(response, Response::Submitted { existing: false, .. }), "{response:?}");
        key
    }

    pub(crate) fn try_submit(&mut self, key: &RunKey, workflow: &str) -> Response {
        self.ask(|reply| {
            Input::Submit(Box::new(Submit {
                trace: None,
                subject: None,
                by: None,
                requester: None,
                reply,
                key: key.clone(),
                workflow: name::<WorkflowName>(workflow),
                version: None,
                lane: Lane::Normal,
                input: payload("{}"),
                idempotency: None,
            }))
        })
    }

    /// Retries the run with rows that were read at some time.
    pub(crate) fn retry(&mut self, rows: &(RunRow, Vec<StepRow>)) -> Response {
        let (run, steps) = rows.clone();
        let (key, rows) = (run.key.clone(), Some(self.disk().ended(run, steps)));
        self.ask(|reply| Input::Retry(Box::new(Retry { reply, by: None, key, from: None, rows })))
    }

    /// The server is killed, and the next one starts from what was committed.
    pub(crate) fn restart(&mut self) {
        self.restart_at(self.now);
        self.input(Input::Tick);
    }

    /// The same at another time, which may be an earlier one, and without a look at what is due.
    pub(crate) fn restart_at(&mut self, now: Time) {
        self.now = now;
        self.epoch += 1;
        self.released.clear();
        self.driver = Driver::load(now, self.epoch, placed(self.disk().snapshot()));
        self.flush();
    }

    /// A signal is in the run's inbox on the disk, and the cell does not know it.
    pub(crate) fn store_signal(&mut self, key: &RunKey, sequence: u64, signal: &str) {
        self.committed.push(Change::Signal(SignalRow {
            key: key.clone(),
            sequence,
            name: name(signal),
            at: self.now,
            payload: payload("1"),
        }));
    }

    pub(super) fn disk(&self) -> Disk {
        Disk::of(&self.committed)
    }

    /// The run's rows as they are committed.
    pub(crate) fn rows(&self, key: &RunKey) -> (RunRow, Vec<StepRow>) {
        let disk = self.disk();
        (disk.runs[key].clone(), disk.steps_of(key))
    }

    /// Signals in the run's inbox as they are committed: sequence and payload.
    pub(crate) fn signals(&self, key: &RunKey) -> Vec<(u64, Payload)> {
        self.disk().signals_of(key)
    }

    pub(crate) fn command(&mut self, key: &RunKey, command: Command) -> Response {
        self.ask(|reply| Input::Command(reply, None, key.clone(), command))
    }

    /// A worker with ten slots takes all it can get.
    pub(crate) fn lease(&mut self, worker: &str) -> Vec<Grant> {
        self.exchange(worker, 10, Vec::new()).grants
    }

    pub(crate) fn exchange(&mut self, worker: &str, want: u32, reports: Vec<Report>) -> Exchanged {
        self.exchange_in("default", worker, want, reports)
    }

    pub(crate) fn exchange_in(
        &mut self,
        pool: &str,
        worker: &str,
        want: u32,
        reports: Vec<Report>,
    ) -> Exchanged {
        let ask = self.ask_for_work((worker, pool, None), want, reports, false);
        self.answer_to(ask).expect("an exchange that is not held is answered in its turn")
    }

    /// Sends an exchange of a worker that is there for these tenants.
    pub(crate) fn ask_for_work(
        &mut self,
        (worker, pool, tenants): (&str, &str, Option<&[&str]>),
        want: u32,
        reports: Vec<Report>,
        hold: bool,
    ) -> AskId {
        self.next += 1;
        let ask = AskId(self.next);
        let (worker, pool) = (name::<WorkerName>(worker), name(pool));
        let tenants = tenants.map(|tenants| tenants.iter().map(|tenant| name(tenant)).collect());
        let slots = 10;
        self.input(Input::Exchange(Exchange {
            ask,
            worker,
            pool,
            tenants,
            slots,
            want,
            reports,
            hold,
        }));
        ask
    }

    /// What an exchange was answered with, if it was.
    pub(crate) fn answer_to(&mut self, ask: AskId) -> Option<Exchanged> {
        let is_it = |effect: &Effect| matches!(effect, Effect::Exchanged(to, _) if *to == ask);
        let at = self.released.iter().position(is_it)?;
        match self.released.remove(at) {
            Effect::Exchanged(_, exchanged) => Some(exchanged),
            effect => panic!("{effect:?}"),
        }
    }

    /// The worker reports that it has done these, and says what the receipts were.
    pub(crate) fn complete(&mut self, worker: &str, leases: &[LeaseId]) -> String {
        self.report(worker, leases, &completed("1"))
    }

    pub(crate) fn fail(&mut self, worker: &str, lease: &LeaseId, retryable: bool) -> String {
        let failure = Failure { class: "boom".into(), message: "it broke".into(), step: None };
        let outcome = Outcome::failed(failure, retryable, None);
        self.report(worker, std::slice::from_ref(lease), &outcome)
    }

    pub(crate) fn report(&mut self, worker: &str, leases: &[LeaseId], outcome: &Outcome) -> String {
        let report = |lease: &LeaseId| Report { lease: lease.clone(), outcome: outcome.clone() };
        let exchanged = self.exchange(worker, 0, leases.iter().map(report).collect());
        let receipts: Vec<String> =
            exchanged.receipts.iter().map(|(_, receipt)| format!("{receipt:?}")).collect();
        receipts.join(" ")
    }

    /// Answers the evaluation that waits longest.
    pub(crate) fn evaluate(&mut self, result: Result<Value, Failure>) {
        let at = self.released.iter().position(|effect| matches!(effect, Effect::Evaluate(_)));
        let Effect::Evaluate(question) =
            self.released.remove(at.expect("an evaluation is asked for"))
        else {
            unreachable!()
        };
        let (key, instance, round) = (question.key, question.instance, question.round);
        self.input(Input::Evaluated(Evaluated { key, instance, round, result }));
    }

    /// The oldest question for a schedule's next time: its pattern, and after when.
    pub(crate) fn asked_next(&self) -> Option<(Arc<str>, Time)> {
        self.released.iter().find_map(|effect| match effect {
            Effect::NextTime(asked) => Some((asked.cron.clone(), asked.after)),
            _ => None,
        })
    }

    /// Answers the oldest question for a schedule's next time.
    pub(crate) fn find_next(&mut self, next: Time) {
        let at = self.released.iter().position(|effect| matches!(effect, Effect::NextTime(_)));
        self.answer_next(at, next);
    }

    /// Answers the newest question, before older ones.
    pub(crate) fn find_newest_next(&mut self, next: Time) {
        let at = self.released.iter().rposition(|effect| matches!(effect, Effect::NextTime(_)));
        self.answer_next(at, next);
    }

    fn answer_next(&mut self, at: Option<usize>, next: Time) {
        let asked = self.released.remove(at.expect("a next time is asked for"));
        let Effect::NextTime(asked) = asked else { unreachable!() };
        let (schedule, round) = (asked.schedule, asked.round);
        self.input(Input::Scheduled(Scheduled { schedule, round, next: Some(next) }));
    }

    /// Time passes; timers fire at their times.
    pub(crate) fn pass(&mut self, span: Span) {
        let end = self.now + span;
        while let Some(due) = self.driver.next_wake().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.input(Input::Tick);
        }
        self.now = end;
        self.input(Input::Tick);
    }

    /// What clients have seen of runs since the last call, one line each.
    pub(crate) fn progress(&mut self) -> String {
        let mut text = String::new();
        self.released.retain(|effect| {
            let Effect::Progress(progress) = effect else { return true };
            if let Some((instance, step, phase)) = &progress.step {
                let part = match instance.part {
                    Part::Whole => String::new(),
                    Part::Item(at) => format!("[{at}]"),
                    Part::Compensation => " undo".into(),
                };
                let _ = writeln!(text, "{step}{part}: {phase:?}");
            } else {
                let because = progress.failure.as_ref().map_or(String::new(), |failure| {
                    format!(" {} {}", failure.class, failure.message)
                });
                let _ = writeln!(text, "run: {:?}{because}", progress.status);
            }
            false
        });
        text
    }

    /// Each step of a live run with what it waits for, one line each.
    pub(crate) fn explain(&mut self, key: &RunKey) -> String {
        match self.ask(|reply| Input::Query(reply, Query::Explain(key.clone()))) {
            Response::Explained(view) => view.steps.iter().fold(String::new(), |mut text, step| {
                let waits = step
                    .waits
                    .as_ref()
                    .map_or(String::new(), |waits: &Waiting| format!(" {waits:?}"));
                let _ = writeln!(text, "{}: {:?}{waits}", step.name, step.phase);
                text
            }),
            other => format!("{other:?}"),
        }
    }

    /// Codes of the decisions that were logged, but for what every run and declaration brings with it.
    pub(crate) fn decisions(&self) -> Vec<String> {
        let is_usual = |code: &str| {
            code.starts_with("run-")
                || ["admitted", "declared", "held", "parked", "rejected", "review-opened", "routed"]
                    .contains(&code)
        };
        let codes = self.logged(|_| true).into_iter().map(|decision| decision.code.into_owned());
        codes.filter(|code| !is_usual(code)).collect()
    }

    /// The entries of the audit log that are wanted.
    pub(crate) fn logged(&self, is_wanted: impl Fn(&Decision) -> bool) -> Vec<Decision> {
        let decision = |change: &Change| match change {
            Change::Decision(decision) if is_wanted(decision) => Some(decision.clone()),
            _ => None,
        };
        self.committed.iter().filter_map(decision).collect()
    }

    pub(crate) fn tenant_view(&mut self, tenant: &str) -> TenantView {
        match self.ask(|reply| Input::Query(reply, Query::Tenant(name(tenant)))) {
            Response::Tenant(view) => *view,
            other => panic!("{other:?}"),
        }
    }

    /// Slots that are taken in the pool.
    pub(crate) fn in_flight(&mut self) -> u32 {
        match self.ask(|reply| Input::Query(reply, Query::Pools)) {
            Response::Pools(pools) => pools[0].in_flight,
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) fn pool(id: &str) -> Pool {
    Pool {
        name: name(id),
        slots: 4,
        policy: Policy::Fair,
        quantum: Span::from_millis(10),
        long: None,
        lease: Span::from_secs(10),
        age_guard: Span::from_secs(60),
        burst_credit_max: Span::from_secs(60),
        tasks: None,
    }
}

pub(crate) fn tenant(id: &str, tier: &str) -> Tenant {
    Tenant {
        reviewer_pool: None,
        id: name::<TenantId>(id),
        org: name::<OrgId>("org"),
        tier: name::<TierName>(tier),
        weight: None,
        cap: None,
        burst: None,
        sla: None,
        budget_class: None,
        rules: crate::tenant::Rules::default(),
        suspended: false,
        attributes: "{}".into(),
    }
}

pub(crate) fn payload(json: &str) -> Payload {
    Payload::from(json.as_bytes())
}

pub(crate) fn completed(output: &str) -> Outcome {
    Outcome::Completed { output: payload(output), judged: Judged::default(), cost: None }
}

/// The leases' ids, and the names of their tasks.
pub(crate) fn ids(grants: &[Grant]) -> Vec<LeaseId> {
    grants.iter().map(|grant| grant.lease.clone()).collect()
}

pub(crate) fn task(grant: &Grant) -> &str {
    match &grant.work {
        Work::Task(task) => task.as_str(),
        Work::Model(route) => &route.upstream,
        Work::Tool => "tool",
    }
}

pub(crate) fn tasks(grants: &[Grant]) -> String {
    let mut names: Vec<&str> = grants.iter().map(task).collect();
    names.sort_unstable();
    names.join(" ")
}
