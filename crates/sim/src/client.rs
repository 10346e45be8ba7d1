//! A tenant's client: submits, repeats itself, commands its runs, and keeps its own record of what it was told.

use std::collections::BTreeMap;
use std::sync::Arc;

use fairlane_core::cell::effect::Response;
use fairlane_core::cell::input::Command;
use fairlane_core::id::{RunId, SignalName, StepName, TenantId, WorkflowName};
use fairlane_core::money::Nano;
use fairlane_core::row::{Lane, Payload, RunKey};
use fairlane_core::time::Span;

use crate::plans::SIGNALS;
use crate::prng::Prng;
use crate::workload::Workload;

/// A request on its way to the host.
#[derive(Clone, Debug)]
pub enum Request {
    Submit(Submission),
    Command(RunKey, Command),
    Retry(RunKey, Option<StepName>),
}

#[derive(Clone, Debug)]
pub struct Submission {
    pub tenant: TenantId,
    pub workflow: WorkflowName,
    pub lane: Lane,
    pub input: Payload,
    /// The idempotency key.
    pub key: Option<Arc<str>>,
    /// Stands for the hash of what is submitted.
    pub digest: [u8; 32],
}

#[derive(Debug)]
pub struct Client {
    pub tenant: TenantId,
    prng: Prng,
    workload: Workload,
    /// Its runs have another lane than the one that was drawn.
    pub turns_lanes: bool,
    workflows: Vec<WorkflowName>,
    /// Submissions that it still makes.
    budget: u32,
    made: Vec<Submission>,
    /// Runs that the host has acknowledged.
    runs: Vec<RunId>,
    waiting: BTreeMap<u64, Request>,
    numbers: u64,
    signals: u64,
}

impl Client {
    pub fn new(seed: u64, number: u64, tenant: TenantId, workflows: Vec<WorkflowName>) -> Self {
        let mut prng = Prng::split(seed, "client", number);
        let workload = Workload::of(seed);
        let budget = match workload {
            Workload::Crowded => prng.small(15, 30),
            Workload::Mixed | Workload::Paid if prng.chance(150) => prng.small(20, 40),
            Workload::Mixed | Workload::Paid => prng.small(1, 12),
        };
        Self {
            tenant,
            prng,
            workload,
            turns_lanes: false,
            workflows,
            budget,
            made: Vec::new(),
            runs: Vec::new(),
            waiting: BTreeMap::new(),
            numbers: 0,
            signals: number << 32,
        }
    }

    /// Time until it acts again: now and then a burst, else some rest.
    pub fn gap(&mut self) -> Span {
        let high = match self.workload {
            Workload::Crowded if self.budget > 0 => 40,
            Workload::Mixed | Workload::Paid if self.prng.chance(400) => 50,
            _ => 2_000,
        };
        Span::from_millis(self.prng.between(0, high))
    }

    /// What it does next, and the number under which it waits for the answer.
    pub fn act(&mut self) -> Option<(u64, Request)> {
        let request = match self.prng.below(100) {
            what if self.workload == Workload::Crowded => {
                if what < 90 {
                    self.submit()?
                } else {
                    Request::Submit(self.again()?)
                }
            }
            0..45 => self.submit()?,
            45..55 => Request::Submit(self.again()?),
            55..62 => Request::Command(self.run()?, Command::Cancel),
            62..69 if self.workload == Workload::Paid && self.prng.chance(500) => {
                let limit = Nano::from_cents(self.prng.between(0, 200));
                Request::Command(self.run()?, Command::Budget { limit })
            }
            62..69 => Request::Command(self.run()?, Command::Pause),
            69..79 => Request::Command(self.run()?, Command::Resume),
            79..90 => {
                let name = *self.prng.pick(&SIGNALS);
                let run = self.run()?;
                self.signal(run, SignalName::parse(name).expect("a valid name"))
            }
            _ => {
                let from = self.prng.chance(400).then(|| format!("s{}", self.prng.below(4)));
                let from = from.map(|name| StepName::parse(&name).expect("a valid name"));
                Request::Retry(self.run()?, from)
            }
        };
        Some(self.waits(request))
    }

    /// A signal with a payload that no other signal has.
    pub fn signal(&mut self, run: RunKey, name: SignalName) -> Request {
        self.signals += 1;
        let payload = Payload::from(format!("{{\"signal\":{}}}", self.signals).into_bytes());
        Request::Command(run, Command::Signal { name, payload, idempotency: None })
    }

    /// Registers a request, so that its answer is known when it comes.
    pub fn waits(&mut self, request: Request) -> (u64, Request) {
        self.numbers += 1;
        self.waiting.insert(self.numbers, request.clone());
        (self.numbers, request)
    }

    pub fn hear(&mut self, number: u64, response: &Response) {
        if self.waiting.remove(&number).is_none() {
            return;
        }
        if let Response::Submitted { run, .. } = response
            && !self.runs.contains(run)
        {
            self.runs.push(*run);
        }
    }

    /// No answer came: it tries again if that is safe, and now and then if it is not.
    pub fn lose_patience(&mut self, number: u64) -> Option<(u64, Request)> {
        let request = self.waiting.remove(&number)?;
        let is_safe = match &request {
            Request::Submit(submission) => submission.key.is_some(),
            Request::Command(_, Command::Signal { .. }) => false,
            Request::Command(..) | Request::Retry(..) => true,
        };
        (is_safe || self.prng.chance(200)).then(|| self.waits(request))
    }

    fn submit(&mut self) -> Option<Request> {
        self.budget = self.budget.checked_sub(1)?;
        let number = self.made.len();
        let length = self.prng.between(2, 120);
        let mut lanes = [Lane::Urgent, Lane::Normal, Lane::Normal, Lane::Background];
        if self.turns_lanes {
            lanes.rotate_left(1);
        }
        let submission = Submission {
            tenant: self.tenant.clone(),
            workflow: self.prng.pick(&self.workflows).clone(),
            lane: *self.prng.pick(&lanes),
            input: (0..length).map(|_| b'0').collect(),
            key: self.prng.chance(600).then(|| format!("key-{number}").into()),
            digest: [u8::try_from(number % 251).expect("less than 251"); 32],
        };
        self.made.push(submission.clone());
        Some(Request::Submit(submission))
    }

    /// An earlier submission once more, or another one under the same key.
    fn again(&mut self) -> Option<Submission> {
        if self.made.is_empty() {
            return None;
        }
        let mut submission = self.prng.pick(&self.made).clone();
        // Without a key it would be a new submission, of which there is a bounded number.
        submission.key.as_ref()?;
        if self.prng.chance(200) {
            submission.digest = [255; 32];
        }
        Some(submission)
    }

    fn run(&mut self) -> Option<RunKey> {
        if self.runs.is_empty() {
            return None;
        }
        // Rather a late one, since early ones have mostly ended.
        let low = if self.prng.chance(700) { self.runs.len().saturating_sub(3) } else { 0 };
        let run = *self.prng.pick(&self.runs[low..]);
        Some(RunKey { tenant: self.tenant.clone(), run })
    }
}
