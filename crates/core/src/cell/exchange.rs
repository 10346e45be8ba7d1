//! Exchanges of workers: reports taken, leases renewed and lost, asks opened and answered.
//!
//! Delivery is at least once, outcomes are recorded once: a report counts only with the fence of the lease that
//! its instance holds now, from the worker that holds it.

use std::collections::BTreeSet;

use crate::id::{PoolName, StepName, TenantId, WorkerName};
use crate::limiter::Answer;
use crate::replan::{Confidence, Trigger, Trust};
use crate::row::{Failure, LeaseId, Part, Payload};
use crate::time::Time;

use super::advance::{backoff, class, fail};
use super::dispatch::{Ask, Worker};
use super::effect::{Effect, Exchanged, Receipt, Stale};
use super::gates::Spent;
use super::input::{AskId, Exchange, Judged, Outcome, Report};
use super::live::{At, Dispute, Revoked, State};
use super::timer::Kind;
use super::{Cell, Turn};
use crate::reject::Rejection;
use crate::scheduler::Ticket;

/// A step whose lease is lost this often fails: its work may be what kills the workers.
const LOSSES_MAX: u16 = 20;
/// Open asks of one pool.
const ASKS_MAX: usize = 100_000;

impl Cell {
    pub(crate) fn exchange(&mut self, exchange: Exchange, turn: &mut Turn) {
        let Exchange { ask, worker, pool: name, tenants, slots, want, reports, hold } = exchange;
        let mut answer = Exchanged::default();
        for report in reports {
            let lease = report.lease.clone();
            let receipt = self.report((&worker, &name), report, turn);
            answer.receipts.push((lease, receipt));
        }
        let Some(pool) = self.directory.pools.find(&name) else {
            answer.rejection = Some(Rejection::UnknownPool { pool: name });
            turn.cause(Effect::Exchanged(ask, answer));
            return;
        };
        if self.pools[pool].asks.len() >= ASKS_MAX {
            answer.rejection =
                Some(Rejection::TooMany { what: "open exchanges", max: ASKS_MAX as u64 });
            turn.cause(Effect::Exchanged(ask, answer));
            return;
        }
        let now = self.now;
        let find = |id: &TenantId| self.directory.tenants.find(id);
        let tenants = tenants.map(|ids| {
            let known: BTreeSet<_> = ids.iter().filter_map(find).collect();
            known.into_iter().collect()
        });
        let state = &mut self.pools[pool];
        let known = state.workers.entry(worker.clone()).or_insert_with(|| Worker {
            slots,
            held: 0,
            seen: now,
            revoked: Vec::new(),
        });
        known.slots = slots;
        known.seen = now;
        for older in &mut state.asks {
            if older.worker == worker {
                older.hold = false;
                older.want = 0;
            }
        }
        state.asks.push_back(Ask { id: ask, worker, tenants, want, hold, answer });
        self.sweep_workers(pool);
    }

    /// The client of a long poll has waited long enough, or has gone.
    pub(crate) fn hurry(&mut self, ask: AskId, _turn: &mut Turn) {
        for pool in &mut self.pools {
            if let Some(open) = pool.asks.iter_mut().find(|open| open.id == ask) {
                open.hold = false;
                open.want = 0;
                return;
            }
        }
    }

    pub(crate) fn undelivered(&mut self, leases: &[LeaseId], turn: &mut Turn) {
        for lease in leases {
            let Ok(at) = self.find_lease(lease) else { continue };
            let State::Leased(held) = &self.runs.get(at.run).node(at.node).state else { continue };
            let (pool, worker, until, revoked) =
                (held.pool, held.worker.clone(), held.until, held.revoked);
            self.close_calls_of(lease.fence, turn);
            self.release(at, turn);
            if revoked == Revoked::CalledOff {
                self.give_back(at, Spent::Lost(Answer::Unknown), turn);
                self.end(at, State::Cancelled, None, turn);
                continue;
            }
            self.timers.clear(until, Kind::Lease, at);
            self.pools[pool].scheduler.unstart(self.now, Ticket(at.ticket()));
            if let Some(worker) = self.pools[pool].workers.get_mut(&worker) {
                worker.held = worker.held.saturating_sub(1);
            }
            self.runs.get_mut(at.run).node_mut(at.node).attempt -= 1;
            self.ready_again(at, turn);
        }
    }

    fn report(
        &mut self,
        (worker, pool): (&WorkerName, &PoolName),
        report: Report,
        turn: &mut Turn,
    ) -> Receipt {
        let at = match self.find_lease(&report.lease) {
            Ok(at) => at,
            Err(stale) => return Receipt::Stale(stale),
        };
        let State::Leased(lease) = &self.runs.get(at.run).node(at.node).state else {
            return Receipt::Stale(Stale::Superseded);
        };
        // A worker's key may be bound to pools, so a report counts only from the pool of its lease.
        if lease.worker != *worker || self.directory.pools.names[lease.pool] != *pool {
            return Receipt::Stale(Stale::NotHolder);
        }
        let revoked = lease.revoked;
        match report.outcome {
            Outcome::Heartbeat => self.renew(at),
            Outcome::Completed { output, judged, cost } => {
                self.give_back(at, Spent::Said(cost, Answer::Served), turn);
                self.done(at, output, judged, turn);
                Receipt::Recorded
            }
            Outcome::Called(called) => {
                self.note_broken(at, called.answer);
                self.give_back(at, Spent::Metered(called.metered, called.answer), turn);
                match called.result {
                    Ok(output) => self.done(at, output, called.judged, turn),
                    Err(failed) => self.failed(at, revoked, failed, turn),
                }
                Receipt::Recorded
            }
            Outcome::Failed {
                failure,
                retryable,
                cost,
                is_uncertain,
                retry_after,
                is_provider_down,
            } => {
                let is_revoked = revoked != Revoked::No;
                let answer = self.answer_of_failure(retry_after, is_provider_down, is_revoked);
                let is_unknown = is_uncertain && cost.is_none();
                let spent =
                    if is_unknown { Spent::Lost(answer) } else { Spent::Said(cost, answer) };
                self.give_back(at, spent, turn);
                self.failed(at, revoked, (failure, retryable), turn);
                Receipt::Recorded
            }
            Outcome::Contradicted { failure, steps, cost } => {
                if let Some(unknown) = self.unknown_step(at, &steps) {
                    return unknown;
                }
                self.give_back(at, Spent::Said(cost, Answer::Served), turn);
                if revoked == Revoked::No {
                    self.suspect(at, &steps, turn);
                }
                self.failed(at, revoked, (failure, false), turn);
                Receipt::Recorded
            }
            Outcome::NotSent(failure) => {
                self.release(at, turn);
                self.give_back(at, Spent::Lost(Answer::Unknown), turn);
                self.failed(at, revoked, (failure, false), turn);
                Receipt::Recorded
            }
        }
    }

    /// A step among these that the run's plan has not.
    fn unknown_step(&self, at: At, steps: &[StepName]) -> Option<Receipt> {
        let workflow = &self.runs.get(at.run).shape.workflow;
        let has = |name: &&StepName| workflow.steps.iter().any(|step| step.name == **name);
        let step = steps.iter().find(|name| !has(name))?.clone();
        let known = workflow.steps.iter().map(|step| step.name.clone()).collect();
        Some(Receipt::UnknownStep { step, known })
    }

    /// The next attempt tries another endpoint first than one that gave no answer.
    fn note_broken(&mut self, at: At, answer: Answer) {
        let node = self.runs.get_mut(at.run).node_mut(at.node);
        let State::Leased(lease) = &node.state else { return };
        let endpoint = lease.passed.route.as_ref().map(|route| Box::new(route.endpoint.clone()));
        node.broken = endpoint.filter(|_| answer == Answer::Broken);
    }

    fn failed(&mut self, at: At, revoked: Revoked, failed: (Failure, bool), turn: &mut Turn) {
        let (failure, retryable) = failed;
        match revoked {
            Revoked::No => self.attempt_failed(at, failure, retryable, turn),
            Revoked::Withdrawn => self.withdrawn(at, turn),
            Revoked::CalledOff => self.end(at, State::Cancelled, None, turn),
        }
    }

    /// An attempt was broken off because the step may not go where it was sent any more. That is no failure of the step, so
    /// it costs no attempt.
    fn withdrawn(&mut self, at: At, turn: &mut Turn) {
        self.runs.get_mut(at.run).node_mut(at.node).attempt -= 1;
        self.ready_again(at, turn);
    }

    /// An attempt has made an output. Where the step is not sure enough of it, a planner or people decide.
    fn done(&mut self, at: At, output: Payload, judged: Judged, turn: &mut Turn) {
        let run = self.runs.get_mut(at.run);
        let node = run.node_mut(at.node);
        node.trust = if judged.is_checked { Trust::Verified } else { Trust::Derived };
        let is_whole = node.instance.part == Part::Whole && run.outcome.is_none();
        match judged.confidence.filter(|confidence| is_whole && confidence.is_low()) {
            Some(confidence) => self.unsure(at, output, confidence, turn),
            None => self.end(at, State::Done, Some(output), turn),
        }
    }

    fn unsure(&mut self, at: At, output: Payload, confidence: Confidence, turn: &mut Turn) {
        let Confidence { permille, least_permille } = confidence;
        let part = |permille: u32| format!("0.{permille:03}");
        let message = format!(
            "the step is sure of its output to {}, and must be to {}",
            part(permille),
            part(least_permille.min(999))
        );
        let failure = fail(class::LOW_CONFIDENCE, &message);
        let trigger = Trigger::LowConfidence;
        if self.is_for_planner(at, trigger) {
            let dispute = Dispute { trigger, failure, doubt: Some(confidence) };
            self.clear_timers(at);
            self.move_to(at, State::Disputed(Box::new(dispute)), Some(output), turn);
            self.follow_step(at, turn);
        } else if !self.escalate_doubt(at, (Some(output), confidence), turn) {
            self.end(at, State::Failed(Box::new(failure)), None, turn);
        }
    }

    fn renew(&mut self, at: At) -> Receipt {
        let now = self.now;
        let State::Leased(lease) = &mut self.runs.get_mut(at.run).node_mut(at.node).state else {
            return Receipt::Stale(Stale::Superseded);
        };
        if lease.revoked != Revoked::No {
            return Receipt::Revoked;
        }
        self.timers.clear(lease.until, Kind::Lease, at);
        lease.until = lease.deadline.min(now + self.directory.pools.list[lease.pool].lease);
        self.timers.set(lease.until, Kind::Lease, at);
        Receipt::Renewed
    }

    /// The node that holds this lease now.
    pub(crate) fn find_lease(&self, lease: &LeaseId) -> Result<At, Stale> {
        let run = self.runs.find(&lease.key).ok_or(Stale::Unknown)?;
        let live = self.runs.get(run);
        let node = live.find(lease.instance).ok_or(Stale::Unknown)?;
        let held = live.node(node);
        match held.state {
            State::Leased(_) if held.fence == lease.fence => Ok(At { run, node }),
            _ if held.is_final() => Err(Stale::Ended),
            _ if held.fence == 0 => Err(Stale::Unknown),
            _ => Err(Stale::Superseded),
        }
    }

    /// An attempt came to nothing: another one after a while, if the step has one left.
    pub(crate) fn attempt_failed(
        &mut self,
        at: At,
        failure: Failure,
        retryable: bool,
        turn: &mut Turn,
    ) {
        let run = self.runs.get(at.run);
        let node = run.node(at.node);
        let step = run.step(at.node);
        let retry = match (&step.compensate, node.instance.part) {
            (Some(undo), Part::Compensation) => &undo.retry,
            _ => &step.retry,
        };
        if !retryable || node.attempt >= retry.attempts {
            self.end(at, State::Failed(Box::new(failure)), None, turn);
            return;
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the low half of a run's id is its random part"
        )]
        let seed = run.key.run.0 as u64 ^ (u64::from(at.node) << 32) ^ u64::from(node.attempt);
        let until = self.now + backoff(retry, node.attempt, seed);
        self.move_to(at, State::Backoff(Box::new((until, failure))), None, turn);
        self.timers.set(until, Kind::Backoff, at);
    }

    pub(crate) fn backoff_over(&mut self, at: At, turn: &mut Turn) {
        self.make_ready(at, turn);
    }

    /// The lease ran out, or the attempt's time is over.
    pub(crate) fn lease_overdue(&mut self, at: At, turn: &mut Turn) {
        let State::Leased(lease) = &self.runs.get(at.run).node(at.node).state else { return };
        let (deadline, started, revoked) = (lease.deadline, lease.started, lease.revoked);
        self.give_back(at, Spent::Lost(Answer::Unknown), turn);
        if revoked == Revoked::CalledOff {
            self.end(at, State::Cancelled, None, turn);
        } else if revoked == Revoked::Withdrawn {
            self.withdrawn(at, turn);
        } else if self.now >= deadline {
            let bound = deadline.since(started);
            let failure =
                fail(class::ATTEMPT_TIMEOUT, &format!("the attempt did not end within {bound}"));
            self.attempt_failed(at, failure, true, turn);
        } else {
            self.lease_lost(at, started, turn);
        }
    }

    /// The worker is silent. That is no failure of the step, so it costs no attempt.
    fn lease_lost(&mut self, at: At, started: Time, turn: &mut Turn) {
        let now = self.now;
        let node = self.runs.get_mut(at.run).node_mut(at.node);
        node.attempt -= 1;
        node.losses += 1;
        if node.losses >= LOSSES_MAX {
            let silence = now.since(started);
            let message = format!(
                "{LOSSES_MAX} workers in a row fell silent with it, the last one after {silence}"
            );
            self.end(at, State::Failed(Box::new(fail(class::LEASE_LOST, &message))), None, turn);
            return;
        }
        self.ready_again(at, turn);
    }

    /// Ready after a dispatch that came to nothing; the row says so, or a restart would wait for the lease.
    fn ready_again(&mut self, at: At, turn: &mut Turn) {
        self.move_to(at, State::Ready { queued: false }, None, turn);
        self.make_ready(at, turn);
    }
}
