//! A worker as the cell sees it from outside: it asks, works, reports, renews, and misbehaves as its faults say.
//!
//! A worker believes in a lease from the moment at which the grant reaches it until it reports, is told to stop, or
//! the time that was promised is over. What it believes is what the checker of caps counts.

use std::collections::BTreeMap;

use fairlane_core::catalog::{Metered, Usage};
use fairlane_core::cell::effect::{Exchanged, Receipt, Work as Asked};
use fairlane_core::cell::input::{Called, Judged, Outcome, Report};
use fairlane_core::id::{PoolName, WorkerName, mix};
use fairlane_core::limiter::Answer as Answered;
use fairlane_core::money::Nano;
use fairlane_core::replan::Confidence;
use fairlane_core::row::{Failure, LeaseId, Payload, Route};
use fairlane_core::time::{Span, Time};

use crate::catalog;
use crate::fault::WorkerFaults;
use crate::prng::Prng;
use crate::workload::Workload;

/// A worker that has heard nothing for this long asks again.
const PATIENCE: Span = Span::from_millis(2_500);
/// Outcomes that a worker remembers after their receipts, to report them once more.
const REMEMBERED_MAX: usize = 4;
/// What every failure of a worker says, and no failure that the cell found itself.
/// One attempt in so many finds that what it was given cannot be true, and one is not sure of its output.
const CONTRADICTS: u64 = 60;
pub(crate) const FAILURE_MESSAGE: &str = "simulated";
/// The class of attempts whose call was never sent.
pub(crate) const NOT_SENT: &str = "not-sent";

#[derive(Debug)]
pub struct Worker {
    pub name: WorkerName,
    pub pool: PoolName,
    pub slots: u32,
    pub faults: WorkerFaults,
    workload: Workload,
    /// Raised by each restart: what was sent to the life before reaches nobody.
    pub life: u32,
    is_alive: bool,
    prng: Prng,
    work: BTreeMap<LeaseId, Work>,
    /// Outcomes without a receipt so far.
    outcomes: BTreeMap<LeaseId, Outcome>,
    has_news: bool,
    remembered: Vec<Report>,
    open: Option<Open>,
    messages: u64,
    beat: Time,
}

/// An attempt under way.
#[derive(Debug)]
pub struct Work {
    /// When it would be finished; `None`: never.
    ends: Option<Time>,
    outcome: Outcome,
    /// The lease is the worker's until then, unless it is renewed or the host's clock jumps forward.
    until: Time,
    deadline: Time,
    lease: Span,
}

#[derive(Debug)]
struct Open {
    message: u64,
    sent: Time,
}

/// An exchange on its way to the host.
#[derive(Clone, Debug)]
pub struct Message {
    pub number: u64,
    pub life: u32,
    /// The worker's name in that life.
    pub name: WorkerName,
    pub want: u32,
    pub reports: Vec<Report>,
    pub hold: bool,
}

/// A lease and its holder, as anyone may have heard of them.
#[derive(Clone, Debug)]
pub struct Heard {
    pub lease: LeaseId,
    pub worker: WorkerName,
}

/// An answer on its way to the worker, with what only the simulation knows: when it came about.
#[derive(Clone, Debug)]
pub struct Answer {
    pub number: u64,
    pub life: u32,
    pub exchanged: Exchanged,
    /// When the reports were taken.
    pub stepped: Time,
    /// When the grants were given.
    pub closed: Time,
    /// How far the host's clock had jumped forward when the reports were taken.
    pub lead: Span,
}

impl Worker {
    pub fn new(seed: u64, number: u64, pool: PoolName, faults: WorkerFaults) -> Self {
        let mut prng = Prng::split(seed, "worker", number);
        Self {
            name: name(number, 0),
            pool,
            slots: prng.small(1, 4),
            faults,
            workload: Workload::of(seed),
            life: 0,
            is_alive: true,
            prng,
            work: BTreeMap::new(),
            outcomes: BTreeMap::new(),
            has_news: false,
            remembered: Vec::new(),
            open: None,
            messages: 0,
            beat: Time::default(),
        }
    }

    /// Leases that it works on in good faith.
    pub fn believes(&self, now: Time) -> impl Iterator<Item = &LeaseId> {
        let is_valid = move |work: &Work| now < work.until;
        self.work.iter().filter(move |(_, work)| is_valid(work)).map(|(lease, _)| lease)
    }

    pub const fn is_alive(&self) -> bool {
        self.is_alive
    }

    /// Does what is due, and gives what it sends. `heard` are leases that it knows from hearsay.
    pub fn wake(&mut self, now: Time, heard: &[Heard]) -> Option<Message> {
        if !self.is_alive {
            self.start_again();
        } else if self.prng.chance(self.faults.dies) {
            self.die();
            return None;
        }
        self.finish(now);
        let is_open = self.open.as_ref().is_some_and(|open| now < open.sent + PATIENCE);
        if is_open && !self.has_news && now < self.beat {
            return None;
        }
        Some(self.message(now, heard))
    }

    /// When it wants to be woken next.
    pub fn next_wake(&mut self, now: Time) -> Time {
        if !self.is_alive {
            return now + Span::from_millis(self.prng.between(100, 6_000));
        }
        let ends = self.work.values().filter_map(|work| work.ends);
        let patience = self.open.as_ref().map_or(now, |open| open.sent + PATIENCE);
        let next = ends.chain([patience, self.beat]).min().unwrap_or(patience);
        next.max(now + Span::from_millis(1))
    }

    /// The host's clock jumps forward, and every lease ends sooner.
    pub fn clock_leaps(&mut self, by: Span) {
        for work in self.work.values_mut() {
            work.until = work.until - by;
        }
    }

    /// Takes an answer of the host.
    /// `lead` is how far the host's clock has jumped forward so far.
    pub fn hear(&mut self, now: Time, lead: Span, answer: Answer) {
        let Answer { number, exchanged, stepped, closed, .. } = answer;
        // By what it jumped since then, leases end sooner.
        let leapt = Span(lead.0 - answer.lead.0);
        let stepped = stepped - leapt;
        for (lease, receipt) in exchanged.receipts {
            self.take_receipt(&lease, &receipt, stepped, lead);
        }
        exchanged.revoked.iter().for_each(|lease| self.stop(lease));
        for grant in exchanged.grants {
            let lease = Span(grant.renew_within.0 * 2);
            let (ends, outcome) = self.effort(now, grant.lease.fence, &grant.work);
            let deadline = grant.deadline;
            let until = (closed - leapt + lease).min(deadline - lead);
            let work = Work { ends, outcome, until, deadline, lease };
            self.work.insert(grant.lease, work);
        }
        if self.open.as_ref().is_some_and(|open| open.message == number) {
            self.open = None;
        }
    }

    fn take_receipt(&mut self, lease: &LeaseId, receipt: &Receipt, stepped: Time, lead: Span) {
        match receipt {
            Receipt::Recorded | Receipt::Stale(_) | Receipt::UnknownStep { .. } => {
                self.work.remove(lease);
                if let Some(outcome) = self.outcomes.remove(lease) {
                    self.remembered.push(Report { lease: lease.clone(), outcome });
                    let excess = self.remembered.len().saturating_sub(REMEMBERED_MAX);
                    self.remembered.drain(..excess);
                }
            }
            Receipt::Renewed => {
                if let Some(work) = self.work.get_mut(lease) {
                    let renewed = (stepped + work.lease).min(work.deadline - lead);
                    work.until = work.until.max(renewed);
                }
            }
            Receipt::Revoked => self.stop(lease),
        }
    }

    /// It is told to stop: it says so, or it just stops, or it does not care.
    fn stop(&mut self, lease: &LeaseId) {
        if !self.work.contains_key(lease) || self.prng.chance(self.faults.ignores_stop) {
            return;
        }
        self.work.remove(lease);
        if self.prng.chance(800) {
            self.outcomes.insert(lease.clone(), failed("stopped", false));
            self.has_news = true;
        }
    }

    /// Draws how long an attempt takes and what comes of it.
    fn effort(&mut self, now: Time, fence: u64, asked: &Asked) -> (Option<Time>, Outcome) {
        let service = self.workload.service(&mut self.prng);
        let ends = (!self.prng.chance(self.faults.hangs)).then(|| now + service);
        let outcome = match (asked, self.prng.below(100)) {
            (Asked::Tool | Asked::Model(_), 0..2) => not_sent(),
            // One that is no server of ours may take what it offers in the server's pool, and say what it likes.
            (Asked::Model(_), 2..5) => {
                let what = self.prng.below(100);
                self.outcome(fence, what)
            }
            (Asked::Model(route), _) => self.called(now, fence, route),
            (_, what) => self.outcome(fence, what),
        };
        (ends, outcome)
    }

    fn outcome(&mut self, fence: u64, what: u64) -> Outcome {
        match what {
            0..4 => failed("broken", false),
            4..8 if self.workload == Workload::Paid => self.provider_fault(),
            4..16 => failed("flaky", true),
            _ if mix(fence).is_multiple_of(CONTRADICTS) => contradicted(),
            _ => completed(fence, self.prng.next(), self.workload),
        }
    }

    /// A model was called: it says what it used, or nobody does, or it turned the call away.
    fn called(&mut self, now: Time, fence: u64, route: &Route) -> Outcome {
        let prng = &mut self.prng;
        let usage = catalog::usage(prng, route.input, route.output);
        let mut metered = Metered { usage, is_certain: prng.chance(850) };
        let answer = match prng.below(100) {
            0..5 => Answered::TurnedAway { until: now + Span::from_millis(prng.between(1, 5_000)) },
            5..10 => Answered::Broken,
            10..13 => Answered::Unknown,
            _ => Answered::Served,
        };
        let is_served = answer == Answered::Served && prng.chance(950);
        if !is_served && prng.chance(700) {
            metered = Metered { usage: Usage::default(), is_certain: true };
        }
        let failure =
            Failure { class: "flaky".into(), message: FAILURE_MESSAGE.into(), step: None };
        let result = if is_served {
            Ok(Payload::from(format!("[{fence},{}]", prng.next()).into_bytes()))
        } else {
            Err((failure, prng.chance(800)))
        };
        Outcome::Called(Box::new(Called { result, judged: Judged::default(), metered, answer }))
    }

    /// The provider of the step's tool asks to be left alone, or does not answer.
    fn provider_fault(&mut self) -> Outcome {
        let retry_after =
            self.prng.chance(500).then(|| Span::from_millis(self.prng.between(1, 5_000)));
        let Outcome::Failed { failure, retryable, cost, .. } = failed("flaky", true) else {
            unreachable!("a failure fails")
        };
        let is_provider_down = retry_after.is_none();
        Outcome::Failed {
            failure,
            retryable,
            cost,
            is_uncertain: false,
            retry_after,
            is_provider_down,
        }
    }

    fn finish(&mut self, now: Time) {
        let done = |work: &Work| work.ends.is_some_and(|ends| ends <= now);
        let finished: Vec<LeaseId> = self
            .work
            .iter()
            .filter(|(_, work)| done(work))
            .map(|(lease, _)| lease.clone())
            .collect();
        for lease in finished {
            if let Some(work) = self.work.remove(&lease) {
                self.outcomes.insert(lease, work.outcome);
                self.has_news = true;
            }
        }
        // Past its time an attempt is given up, or goes on and is reported too late.
        let is_hopeless = |work: &Work| work.ends.is_none() && now >= work.deadline;
        self.work.retain(|_, work| !is_hopeless(work));
    }

    fn message(&mut self, now: Time, heard: &[Heard]) -> Message {
        let beat = |lease: &LeaseId| Report { lease: lease.clone(), outcome: Outcome::Heartbeat };
        let outcome = |(lease, outcome): (&LeaseId, &Outcome)| Report {
            lease: lease.clone(),
            outcome: outcome.clone(),
        };
        let mut reports: Vec<Report> = self.outcomes.iter().map(outcome).collect();
        reports.extend(self.work.keys().map(beat));
        // In the order in which they were given, whatever their runs are called.
        reports.sort_by_key(|report| report.lease.fence);
        if !self.remembered.is_empty() && self.prng.chance(self.faults.repeats) {
            reports.push(self.prng.pick(&self.remembered).clone());
        }
        if !heard.is_empty() && self.prng.chance(self.faults.forges) {
            reports.push(self.forge(heard));
        }
        let shortest = self.work.values().map(|work| work.lease.0 / 2).min().unwrap_or(PATIENCE.0);
        self.beat = now + Span(shortest * 2 / 3);
        self.has_news = false;
        self.messages += 1;
        self.open = Some(Open { message: self.messages, sent: now });
        let busy = u32::try_from(self.work.len()).unwrap_or(u32::MAX);
        Message {
            number: self.messages,
            life: self.life,
            name: self.name.clone(),
            want: self.slots.saturating_sub(busy),
            reports,
            hold: self.prng.chance(800),
        }
    }

    /// Never the end of a lease of its own, because then it would be no forgery.
    fn forge(&mut self, heard: &[Heard]) -> Report {
        let Heard { mut lease, worker } = self.prng.pick(heard).clone();
        if self.prng.chance(200) {
            // Further than any dispatch of the simulation counts.
            lease.fence += 1 << 30;
        }
        let outcome = match self.prng.below(3) {
            _ if worker == self.name => Outcome::Heartbeat,
            0 => Outcome::Heartbeat,
            1 => failed("forged", self.prng.chance(500)),
            _ => completed(lease.fence, self.prng.next(), self.workload),
        };
        Report { lease, outcome }
    }

    fn die(&mut self) {
        self.is_alive = false;
        self.life += 1;
        self.work.clear();
        self.outcomes.clear();
        self.remembered.clear();
        self.has_news = false;
        self.open = None;
    }

    /// Comes back under the same name, or under another one.
    fn start_again(&mut self) {
        self.is_alive = true;
        if self.prng.chance(500) {
            let plain = self.name.as_str().split('.').next().unwrap_or("worker");
            self.name = WorkerName::parse(&format!("{plain}.{}", self.life)).expect("a valid name");
        }
    }
}

fn name(number: u64, life: u32) -> WorkerName {
    WorkerName::parse(&format!("worker-{number}.{life}")).expect("a valid name")
}

/// The output names its lease and a draw, so that each outcome can be told from every other one.
fn completed(fence: u64, draw: u64, workload: Workload) -> Outcome {
    let cost = match (workload, draw % 20) {
        (Workload::Paid, cost @ 0..8) => Some(Nano::from_cents(cost)),
        (Workload::Paid, 8) => Some(Nano::from_cents(40)),
        _ => None,
    };
    let output = Payload::from(format!("[{fence},{draw}]").into_bytes());
    let confidence = Confidence { permille: 500, least_permille: 800 };
    let is_unsure = mix(fence) % CONTRADICTS == 1;
    let judged = Judged { is_checked: false, confidence: is_unsure.then_some(confidence) };
    Outcome::Completed { output, judged, cost }
}

/// What the first steps handed on cannot be true.
fn contradicted() -> Outcome {
    let name = |text| fairlane_core::id::StepName::parse(text).expect("a valid name");
    let failure =
        Failure { class: "contradiction".into(), message: FAILURE_MESSAGE.into(), step: None };
    Outcome::Contradicted { failure, steps: vec![name("s0"), name("s1")], cost: None }
}

fn failed(class: &str, retryable: bool) -> Outcome {
    let failure = Failure { class: class.into(), message: FAILURE_MESSAGE.into(), step: None };
    Outcome::failed(failure, retryable, None)
}

/// Nothing was called. No other failure has this class.
fn not_sent() -> Outcome {
    let (class, message) = (NOT_SENT.into(), FAILURE_MESSAGE.into());
    Outcome::NotSent(Failure { class, message, step: None })
}
