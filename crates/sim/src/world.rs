//! One simulation: the real driver among simulated clients, workers, an operator, a store and their faults, in
//! virtual time.
//!
//! The world plays three acts. *Busy*: everybody acts and everything fails as the seed says. *Healing*: faults stop,
//! nothing new is submitted, what is paused or suspended is let go. *Empty*: every run has ended; then nothing may be held
//! any more. The checkers look on all the time and say what they find wrong at once.
//!
//! Files: `host` steps, commits, crashes and reloads; `traffic` carries messages, those of reviewers `people`; `healing`
//! drains.

mod healing;
mod host;
mod people;
mod traffic;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use fairlane_core::cell::effect::{Evaluation, NextTime, Response};
use fairlane_core::cell::input::{Input, ReplyId, ReviewCommand, Scheduled};
use fairlane_core::time::{Span, Time};

use crate::agenda::Agenda;
use crate::check::Checks;
use crate::client::{Client, Request};
use crate::fault::Faults;
use crate::gateway::Gateway;
use crate::host::{Batch, Host, Pending, Sender};
use crate::landscape::Landscape;
use crate::operator::Operator;
use crate::people::PERSONS;
use crate::plans;
use crate::planted::Planted;
use crate::prng::Prng;
use crate::reviewer::Reviewer;
use crate::rows::Rows;
use crate::trace::{Detail, Trace};
use crate::violation::{Verdict, Violation, holds};
use crate::worker::{Answer, Heard, Message, Worker};
use crate::workload::Workload;

/// Virtual time begins here, so that clocks that jump back stay far above zero.
pub(crate) const START: Time = Time(1_000_000_000_000);
/// Healing must have emptied the cell after this long: longer than all timeouts and retries of a run together.
const HEALING_MAX: Span = Span::from_secs(1_800);
/// Far more events than any seed needs: beyond them the cell asks to be woken without end.
const EVENTS_MAX: u64 = 2_000_000;

/// What to simulate.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub seed: u64,
    pub detail: Detail,
    /// A bug in the surroundings, to see that the checkers notice it.
    pub planted: Option<Planted>,
}

impl Scenario {
    /// The seed as it is, without any bug.
    pub const fn of(seed: u64, detail: Detail) -> Self {
        Self { seed, detail, planted: None }
    }
}

/// A simulation that went through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub hash: u64,
    pub events: u64,
    pub commits: u64,
    pub crashes: u64,
    pub runs: u64,
    pub grants: u64,
}

#[derive(Debug)]
pub struct World {
    scenario: Scenario,
    now: Time,
    agenda: Agenda<Event>,
    act: Act,
    rows: Rows,
    /// The rows before the last commit, for the store that loses its tail.
    tail: Option<Box<Rows>>,
    host: Host,
    /// Turns that are on their way to the disk, by epoch and turn; those of a dead owner may still arrive.
    batches: BTreeMap<(u64, u64), Batch>,
    clients: Vec<Client>,
    workers: Vec<Worker>,
    /// Nobody where there are no pools of people.
    reviewers: Vec<Reviewer>,
    operator: Operator,
    gateway: Gateway,
    landscape: Landscape,
    plans: Vec<std::sync::Arc<fairlane_core::plan::Workflow>>,
    heard: VecDeque<Heard>,
    faults: Faults,
    draws: Draws,
    /// How far the host's clock is behind.
    clock_lag: Span,
    /// How far it has jumped forward, apart from that.
    clock_lead: Span,
    pub(crate) checks: Checks,
    trace: Trace,
    events: u64,
    commits: u64,
    crashes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Busy,
    Healing { since: Time },
    Empty,
}

/// One stream of draws for each purpose of the world's own.
#[derive(Debug)]
struct Draws {
    clients: Vec<Prng>,
    workers: Vec<Prng>,
    reviewers: Vec<Prng>,
    commit: Prng,
    release: Prng,
    crash: Prng,
    clock: Prng,
    evaluator: Prng,
    probe: Prng,
    planted: Prng,
}

#[derive(Debug)]
enum Event {
    ClientActs(usize),
    ClientHears {
        at: usize,
        number: u64,
        response: Box<Response>,
    },
    ClientLosesPatience {
        at: usize,
        number: u64,
    },
    OperatorActs,
    GatewayCalls,
    ReviewerActs(usize),
    ReviewerHears(usize, Box<Response>),
    /// A reviewer's request arrives.
    Reviews(usize, Box<ReviewCommand>),
    WorkerWakes(usize),
    WorkerHears(usize, Box<Answer>),
    Arrives(Sender, Box<Request>),
    Asks(usize, Box<Message>),
    /// A request's look-ups are done, in that process.
    LooksUp {
        process: u64,
        epoch: u64,
        pending: Box<(ReplyId, Pending)>,
        input: Box<Input>,
    },
    /// For the driver, if that process still lives.
    Input(u64, Box<Input>),
    Evaluates(u64, Box<Evaluation>),
    FindsNextTime(u64, Box<NextTime>),
    Tick(u64),
    CommitEnds {
        epoch: u64,
        turn: u64,
    },
    Crash,
    Restart,
    ClockJumps,
    Heal,
    Drain,
}

impl World {
    pub fn new(scenario: &Scenario) -> Self {
        let seed = scenario.seed;
        let landscape = Landscape::draw(seed);
        let faults = Faults::draw(seed);
        let plans = plans::draw(seed, &landscape);
        let names: Vec<_> = plans.iter().map(|plan| plan.name.clone()).collect();
        let clients: Vec<Client> = (0..)
            .zip(&landscape.tenants)
            .map(|(at, tenant)| Client::new(seed, at, tenant.id.clone(), names.clone()))
            .collect();
        let crews = Prng::split(seed, "crews", 0).between(1, 3);
        let pools = landscape.pools.iter().flat_map(|pool| (0..crews).map(|_| pool.name.clone()));
        let workers: Vec<Worker> =
            (0..).zip(pools).map(|(at, pool)| Worker::new(seed, at, pool, faults.worker)).collect();
        let streams = |purpose, count: usize| {
            (0..count as u64).map(|at| Prng::split(seed, purpose, at)).collect::<Vec<_>>()
        };
        let persons = if landscape.reviewers.is_empty() { 0 } else { PERSONS };
        let reviewers: Vec<Reviewer> = (0..persons).map(|at| Reviewer::new(seed, at)).collect();
        let mut world = Self {
            scenario: scenario.clone(),
            now: START,
            agenda: Agenda::default(),
            act: Act::Busy,
            rows: Rows::default(),
            tail: None,
            host: Host::new(seed),
            batches: BTreeMap::new(),
            draws: Draws {
                clients: streams("network of client", clients.len()),
                workers: streams("network of worker", workers.len()),
                reviewers: streams("network of reviewer", reviewers.len()),
                commit: Prng::split(seed, "commit", 0),
                release: Prng::split(seed, "release", 0),
                crash: Prng::split(seed, "crash", 0),
                clock: Prng::split(seed, "clock", 0),
                evaluator: Prng::split(seed, "evaluator", 0),
                probe: Prng::split(seed, "probe", 0),
                planted: Prng::split(seed, "planted", 0),
            },
            clients,
            workers,
            reviewers,
            operator: Operator::new(seed, landscape.clone(), plans.clone()),
            gateway: Gateway::new(seed, &landscape),
            landscape,
            plans,
            heard: VecDeque::new(),
            faults,
            clock_lag: Span::ZERO,
            clock_lead: Span::ZERO,
            checks: Checks::default(),
            trace: Trace::new(scenario.detail),
            events: 0,
            commits: 0,
            crashes: 0,
        };
        world.set_the_stage(seed);
        world
    }

    /// Plays the whole simulation.
    pub fn play(&mut self) -> Result<Outcome, Violation> {
        self.restart()?;
        while self.act != Act::Empty {
            let Some((at, event)) = self.agenda.pop() else { break };
            assert!(at >= self.now, "the agenda went back");
            self.now = at;
            self.events += 1;
            holds(self.events < EVENTS_MAX, "progress", || {
                format!("{EVENTS_MAX} events and no end, the last one {event:?}, {}", self.stuck())
            })?;
            self.happen(event)?;
        }
        Ok(Outcome {
            hash: self.trace.hash(),
            events: self.events,
            commits: self.commits,
            crashes: self.crashes,
            runs: self.rows.runs.len() as u64,
            grants: self.checks.grants(),
        })
    }

    /// Plays the whole simulation, and then a second one that differs by the lanes of one tenant's runs: P5. Only in a
    /// crowd are runs so much alike that the two can be compared, and only while the cell is not loaded again: then everyone
    /// starts level, and who comes first among equals is told by the runs that wait.
    pub fn play_with_turned_lanes(&mut self) -> Result<Outcome, Violation> {
        let outcome = self.play()?;
        let seed = self.scenario.seed;
        if Workload::of(seed) == Workload::Crowded && outcome.crashes == 0 {
            let mut turned = Self::new(&Scenario { detail: Detail::Hash, ..self.scenario.clone() });
            let at = Prng::split(seed, "turned lanes", 0).index(turned.clients.len());
            let client = &mut turned.clients[at];
            client.turns_lanes = true;
            let tenant = client.tenant.clone();
            turned.play()?;
            self.checks.dispatches().agree(turned.checks.dispatches(), &tenant)?;
        }
        Ok(outcome)
    }

    pub const fn trace(&self) -> &Trace {
        &self.trace
    }

    fn happen(&mut self, event: Event) -> Verdict {
        match event {
            Event::ClientActs(at) => self.client_acts(at),
            Event::ClientHears { at, number, response } => self.clients[at].hear(number, &response),
            Event::ClientLosesPatience { at, number } => self.client_loses_patience(at, number),
            Event::OperatorActs => self.operator_acts()?,
            Event::GatewayCalls => self.gateway_calls()?,
            Event::ReviewerActs(at) => self.reviewer_acts(at),
            Event::ReviewerHears(at, response) => self.reviewers[at].hear(&response),
            Event::Reviews(at, command) => self.reviews(at, *command)?,
            Event::WorkerWakes(at) => self.worker_wakes(at),
            Event::WorkerHears(at, answer) => self.worker_hears(at, *answer),
            Event::Arrives(from, request) => self.arrives(from, *request)?,
            Event::LooksUp { process, epoch, pending, input } => {
                if self.may_reach(process, epoch, &input) {
                    self.host.replies.insert(pending.0, pending.1);
                    self.step(*input)?;
                }
            }
            Event::Asks(at, message) => self.asks(at, *message)?,
            Event::Input(process, input) => self.input(process, *input)?,
            Event::Evaluates(process, evaluation) => self.evaluates(process, &evaluation)?,
            Event::FindsNextTime(process, asked) => {
                let NextTime { schedule, round, cron, after, .. } = *asked;
                let next = crate::evaluator::next_time(&cron, after);
                self.input(process, Input::Scheduled(Scheduled { schedule, round, next }))?;
            }
            Event::Tick(epoch) => self.tick(epoch)?,
            Event::CommitEnds { epoch, turn } => self.commit_ends(epoch, turn)?,
            Event::Crash => self.crash_planned()?,
            Event::Restart => self.restart()?,
            Event::ClockJumps => self.clock_jumps(),
            Event::Heal => self.heal()?,
            Event::Drain => self.drain()?,
        }
        Ok(())
    }

    fn plan(&mut self, after: Span, event: Event) {
        self.agenda.plan(self.now + after, event);
    }

    /// The host's clock.
    fn clock(&self) -> Time {
        self.now + self.clock_lead - self.clock_lag
    }

    fn note(&mut self, kind: &str, text: fmt::Arguments<'_>) {
        self.trace.note(self.now, kind, text);
    }
}
