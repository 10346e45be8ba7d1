//! Messages between clients, workers, the operator and the host: late, lost, or to somebody who is no more.

use fairlane_core::cell::effect::{Evaluation, Exchanged, Response};
use fairlane_core::cell::input::{
    AskId, Command, Configure, Exchange, Idempotency, Input, ReplyId, Retry, Submit,
};
use fairlane_core::id::TenantId;
use fairlane_core::row::{Lane, LeaseId, RunKey, StepState};
use fairlane_core::tenant::Tenant;
use fairlane_core::time::Span;

use super::{Act, Event, World};
use crate::client::{Request, Submission};
use crate::fault::LOOK_UPS_OUTLIVE_A_RELOAD;
use crate::host::{About, Ask, Pending, Sender};
use crate::landscape::millis;
use crate::planted::Planted;
use crate::prng::Prng;
use crate::violation::{Verdict, Violation, holds};
use crate::worker::{Answer, Heard, Message};

/// Clients wait this long for an answer.
const CLIENT_PATIENCE: Span = Span::from_secs(4);
/// A worker's exchange is held open this long.
const POLL: Span = Span::from_millis(1_500);
/// Leases that are known by hearsay.
const HEARD_MAX: usize = 24;
/// Of these, the latest, which calls may still be made under when they are over.
const LATE_MAX: usize = 3;

impl World {
    pub(super) fn client_acts(&mut self, at: usize) {
        if self.act != Act::Busy {
            return;
        }
        if let Some((number, request)) = self.clients[at].act() {
            self.client_sends(at, number, request);
        }
        let gap = self.clients[at].gap();
        self.plan(gap, Event::ClientActs(at));
    }

    pub(super) fn client_loses_patience(&mut self, at: usize, number: u64) {
        if let Some((number, request)) = self.clients[at].lose_patience(number) {
            self.client_sends(at, number, request);
        }
    }

    pub(super) fn client_sends(&mut self, at: usize, number: u64, request: Request) {
        self.plan(CLIENT_PATIENCE, Event::ClientLosesPatience { at, number });
        if let Some(delay) = delivery(&mut self.draws.clients[at], self.faults.lost) {
            self.plan(delay, Event::Arrives(Sender::Client { at, number }, Box::new(request)));
        }
    }

    /// A request is at the host, which looks up what the cell does not keep, and then hands it on.
    pub(super) fn arrives(&mut self, from: Sender, request: Request) -> Verdict {
        if self.host.driver.is_none() {
            return Ok(());
        }
        let reply = self.host.reply_id();
        let (about, input) = match request {
            Request::Submit(submission) => {
                self.sell(&submission)?;
                (About::Submission(submission.clone()), self.submission(reply, submission))
            }
            Request::Command(key, command) => {
                let about = About::Command(key.clone(), command.clone());
                (about, Input::Command(reply, None, key, command))
            }
            Request::Retry(key, from_step) => {
                let rows = self.rows.ended_run(&key);
                let about = About::Retry(key.clone());
                (
                    about,
                    Input::Retry(Box::new(Retry { reply, by: None, key, from: from_step, rows })),
                )
            }
        };
        let at = if let Sender::Client { at, .. } = from { at } else { 0 };
        let draws = &mut self.draws.clients[at];
        let look_up = if draws.chance(self.faults.looks_up_long) {
            millis(draws, 10, 2_000)
        } else {
            Span(draws.between(0, 3_000))
        };
        let (process, epoch) = (self.host.process, self.host.epoch);
        let (pending, input) = (Box::new((reply, Pending { from, about })), Box::new(input));
        self.plan(look_up, Event::LooksUp { process, epoch, pending, input });
        Ok(())
    }

    /// Whether a request whose look-ups were made in that process and that epoch still reaches the cell.
    pub(super) const fn may_reach(&self, process: u64, epoch: u64, input: &Input) -> bool {
        let depends = matches!(input, Input::Submit(_) | Input::Retry(_));
        let is_late = self.host.epoch != epoch && !LOOK_UPS_OUTLIVE_A_RELOAD;
        self.host.process == process && self.host.driver.is_some() && !(depends && is_late)
    }

    /// A host that [`Planted::SellsUrgency`] lets a tenant's priorities count between tenants.
    fn sell(&mut self, submission: &Submission) -> Verdict {
        let Some(tenant) = self.rows.tenants.get(&submission.tenant) else { return Ok(()) };
        if self.scenario.planted != Some(Planted::SellsUrgency) {
            return Ok(());
        }
        let weight = Some(if submission.lane == Lane::Urgent { 50 } else { 1 });
        self.declare(Configure::Tenant(Tenant { weight, ..tenant.clone() }))
    }

    fn submission(&mut self, reply: ReplyId, submission: Submission) -> Input {
        let run = self.host.run_id(self.now);
        let Submission { tenant, workflow, lane, input, key, digest } = submission;
        let requester = self.requester(run);
        let idempotency = key.map(|key| {
            let known = self.rows.idempotency.get(&(tenant.clone(), key.clone()));
            Idempotency { key, digest, prior: known.map(|row| (row.run, row.digest)) }
        });
        Input::Submit(Box::new(Submit {
            trace: None,
            by: None,
            requester,
            subject: None,
            reply,
            key: RunKey { tenant, run },
            workflow,
            version: None,
            lane,
            input,
            idempotency,
        }))
    }

    pub(super) fn operator_acts(&mut self) -> Verdict {
        if self.act != Act::Busy {
            return Ok(());
        }
        if let Some(gap) = self.operator.gap() {
            self.plan(gap, Event::OperatorActs);
        }
        let declaration = self.operator.act();
        self.declare(declaration)
    }

    /// A call comes to the gateway.
    pub(super) fn gateway_calls(&mut self) -> Verdict {
        if self.act != Act::Busy {
            return Ok(());
        }
        if let Some(gap) = self.gateway.gap() {
            self.plan(gap, Event::GatewayCalls);
        }
        if self.host.driver.is_none() {
            return Ok(());
        }
        let heard = self.heard.iter().rev().take(LATE_MAX).map(|heard| heard.lease.clone());
        let leases: Vec<LeaseId> = self.rows.leases().chain(heard).collect();
        let call = self.gateway.open(&leases);
        let reply = self.host.expect_reply(Sender::Gateway, About::Call(call.tenant.clone()));
        // Some clients do not wait as long as they said.
        if let Some(after) = self.gateway.patience(call.wait_max) {
            let input = Box::new(Input::GiveUpCall(reply));
            self.plan(after, Event::Input(self.host.process, input));
        }
        self.step(Input::OpenCall(reply, Box::new(call)))
    }

    /// A call was let through: the gateway makes it, if the process lives so long.
    pub(super) fn call_opened(&mut self, tenant: &TenantId, response: &Response) {
        let Response::Opened { call, route, .. } = response else { return };
        for (after, close) in self.gateway.closes(self.now, (*call, tenant), route) {
            let input = Box::new(Input::CloseCall(close));
            self.plan(after, Event::Input(self.host.process, input));
        }
    }

    pub(super) fn worker_wakes(&mut self, at: usize) {
        let heard = self.heard.make_contiguous();
        let message = self.workers[at].wake(self.now, heard);
        let next = self.workers[at].next_wake(self.now);
        self.agenda.plan(next, Event::WorkerWakes(at));
        if let Some(message) = message
            && let Some(delay) = delivery(&mut self.draws.workers[at], self.faults.lost)
        {
            self.plan(delay, Event::Asks(at, Box::new(message)));
        }
    }

    /// A worker's message is at the host.
    pub(super) fn asks(&mut self, at: usize, message: Message) -> Verdict {
        if self.host.driver.is_none() {
            return Ok(());
        }
        self.checks.said(&message);
        let mut message = self.pass_off(at, message)?;
        if let Some(planted) = self.scenario.planted {
            planted.pass_on(&mut message.reports);
        }
        let worker = &self.workers[at];
        let Message { number, life, name, want, reports, hold } = message;
        let ask = Ask {
            at,
            life,
            number,
            worker: name.clone(),
            pool: worker.pool.clone(),
            slots: worker.slots,
            want,
            stepped: self.now,
            lead: self.clock_lead,
            turn: self.host.turn,
            over: None,
        };
        let (pool, slots) = (worker.pool.clone(), worker.slots);
        let ask = self.host.open_ask(ask);
        if hold {
            self.plan(POLL, Event::Input(self.host.process, Box::new(Input::Hurry(ask))));
        }
        if self.scenario.planted == Some(Planted::SwallowsAsks) && self.draws.planted.chance(200) {
            return Ok(());
        }
        let exchange =
            Exchange { ask, worker: name, pool, tenants: None, slots, want, reports, hold };
        self.step(Input::Exchange(exchange))
    }

    /// A host that [`Planted::TrustsReports`] takes reports on leases of others for reports of these others.
    fn pass_off(&mut self, at: usize, mut message: Message) -> Result<Message, Violation> {
        if self.scenario.planted != Some(Planted::TrustsReports) {
            return Ok(message);
        }
        for mut report in std::mem::take(&mut message.reports) {
            let row = self.rows.step(&report.lease.key, report.lease.instance);
            let held = row.and_then(|row| match &row.state {
                StepState::Leased { worker, pool, .. } => {
                    Some((row.fence, worker.clone(), pool.clone()))
                }
                _ => None,
            });
            let Some((fence, worker, pool)) = held.filter(|held| held.1 != message.name) else {
                message.reports.push(report);
                continue;
            };
            report.lease.fence = fence;
            let holder = self.workers.iter().find(|holder| holder.name == worker);
            let slots = holder.map_or(1, |holder| holder.slots);
            let ask = self.host.open_ask(Ask {
                at,
                life: message.life,
                number: message.number,
                worker: worker.clone(),
                pool: pool.clone(),
                slots,
                want: 0,
                stepped: self.now,
                lead: self.clock_lead,
                turn: self.host.turn,
                over: None,
            });
            let (reports, hold) = (vec![report], false);
            self.step(Input::Exchange(Exchange {
                ask,
                worker,
                pool,
                tenants: None,
                slots,
                want: 0,
                reports,
                hold,
            }))?;
        }
        Ok(message)
    }

    pub(super) fn worker_hears(&mut self, at: usize, answer: Answer) {
        let worker = &mut self.workers[at];
        if worker.life == answer.life {
            worker.hear(self.now, self.clock_lead, answer);
            self.plan(Span(100), Event::WorkerWakes(at));
        }
    }

    pub(super) fn evaluates(&mut self, process: u64, evaluation: &Evaluation) -> Verdict {
        let answer = crate::evaluator::answer(self.now, evaluation);
        self.input(process, Input::Evaluated(answer))
    }

    /// The host answers an exchange.
    pub(super) fn answer(&mut self, ask: AskId, exchanged: Exchanged) -> Verdict {
        let Some(asked) = self.host.asks.remove(&ask) else {
            return holds(false, "P12 once", || format!("{ask:?} is answered twice"));
        };
        for grant in &exchanged.grants {
            let worker = asked.worker.clone();
            self.heard.push_back(Heard { lease: grant.lease.clone(), worker });
        }
        let excess = self.heard.len().saturating_sub(HEARD_MAX);
        self.heard.drain(..excess);
        let worker = &self.workers[asked.at];
        let is_there = worker.is_alive() && worker.life == asked.life;
        let draws = &mut self.draws.workers[asked.at];
        match delivery(draws, self.faults.lost).filter(|_| is_there) {
            Some(delay) => {
                let Ask { at, life, number, stepped, lead, .. } = asked;
                let closed = self.host.closed;
                let answer = Answer { number, life, exchanged, stepped, closed, lead };
                self.plan(delay, Event::WorkerHears(at, Box::new(answer)));
            }
            None if !exchanged.grants.is_empty() && draws.chance(self.faults.undelivered) => {
                let leases = exchanged.grants.into_iter().map(|grant| grant.lease).collect();
                let input = Input::Undelivered(leases);
                self.plan(Span::from_millis(1), Event::Input(self.host.process, Box::new(input)));
            }
            None => {}
        }
        Ok(())
    }

    /// The host answers a request.
    pub(super) fn reply(&mut self, to: Sender, response: Response) {
        if let Sender::Reviewer(at) = to {
            return self.reviewer_is_told(at, response);
        }
        if let Sender::Client { at, number } = to
            && let Some(delay) = delivery(&mut self.draws.clients[at], self.faults.lost)
        {
            self.plan(delay, Event::ClientHears { at, number, response: Box::new(response) });
        }
    }

    /// A tenant's command that nobody waits for.
    pub(super) fn command(&mut self, key: RunKey, command: Command) -> Verdict {
        if self.host.driver.is_none() {
            return Ok(());
        }
        let about = About::Command(key.clone(), command.clone());
        let reply = self.host.expect_reply(Sender::Operator, about);
        self.step(Input::Command(reply, None, key, command))
    }
}

/// How long a message takes, if it arrives: mostly about a millisecond, now and then long enough to be overtaken.
pub(super) fn delivery(draws: &mut Prng, lost: u32) -> Option<Span> {
    let delay =
        if draws.chance(30) { millis(draws, 50, 1_500) } else { Span(draws.between(100, 3_000)) };
    (!draws.chance(lost)).then_some(delay)
}
