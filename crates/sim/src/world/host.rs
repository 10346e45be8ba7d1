//! The host's life: inputs are stepped, turns are committed, effects are released, and in between it dies.

use fairlane_core::cell::change::{Change, Snapshot};
use fairlane_core::cell::effect::Effect;
use fairlane_core::cell::input::{Configure, Input};
use fairlane_core::driver::Driver;
use fairlane_core::id::PoolName;
use fairlane_core::time::{Span, Time};
use fairlane_core::trace::Sampling;

use super::{Event, World};
use crate::bounds;
use crate::check::p01_caps;
use crate::host::{About, Batch, Fate, Sender};
use crate::landscape::millis;
use crate::planted::Planted;
use crate::prng::Prng;
use crate::violation::Verdict;
use crate::worker::Worker;

/// No valve that is drawn calls a shorter commit slow.
const SLOW_AT_LEAST: Span = Span::from_millis(20);
/// A store that was slow and is no more has all slots back after this.
const RECOVERED_AFTER: Span = Span::from_secs(5);
/// How often the cell is asked about itself after a commit.
const PROBED_PERMILLE: u32 = 60;

impl World {
    /// An input that comes from the host itself, if it lives.
    pub(super) fn input(&mut self, process: u64, input: Input) -> Verdict {
        if self.host.process != process || self.host.driver.is_none() {
            return Ok(());
        }
        self.step(input)
    }

    /// Steps the driver, and begins a commit if none is under way.
    pub(super) fn step(&mut self, input: Input) -> Verdict {
        let clock = self.clock();
        self.note("step", format_args!("{input:?}"));
        if let Input::Hurry(ask) = &input {
            self.host.end_poll(*ask);
        }
        self.checks.stepped(&input, self.host.turn);
        if let Some(driver) = &mut self.host.driver {
            driver.step(clock, input);
        }
        self.pump()
    }

    pub(super) fn declare(&mut self, declaration: Configure) -> Verdict {
        if self.host.driver.is_none() {
            return Ok(());
        }
        let declaration = match self.scenario.planted {
            Some(planted) => planted.misread(declaration),
            None => declaration,
        };
        let reply = self.host.expect_reply(Sender::Operator, About::Configure);
        self.step(Input::Configure(reply, None, declaration))
    }

    /// Closes the open turn and hands it to the store, unless the last one is still on its way.
    fn pump(&mut self) -> Verdict {
        loop {
            let Some(driver) = &mut self.host.driver else { return Ok(()) };
            let Some(changes) = driver.take() else { break };
            let turn = self.host.turn;
            self.host.turn += 1;
            self.host.closed = self.now;
            self.host.closed_clock = driver.now();
            if changes.is_empty() {
                let effects = driver.committed();
                self.release(turn, effects)?;
                continue;
            }
            self.begin_commit(turn, changes)?;
        }
        self.plan_tick();
        Ok(())
    }

    fn begin_commit(&mut self, turn: u64, changes: Vec<Change>) -> Verdict {
        let draws = &mut self.draws.commit;
        let took = if draws.chance(self.faults.commit_slow) {
            millis(draws, 100, 4_000)
        } else {
            Span(draws.between(200, 6_000))
        };
        let fate = if draws.chance(self.faults.commit_fails) {
            Fate::Refused
        } else if draws.chance(self.faults.commit_answer_lost) {
            Fate::AnswerLost
        } else {
            Fate::Durable
        };
        self.note("take", format_args!("turn {turn}, {fate:?} in {took}"));
        let epoch = self.host.epoch;
        self.batches.insert((epoch, turn), Batch { turn, changes, took, fate });
        self.plan(took, Event::CommitEnds { epoch, turn });
        if self.scenario.planted == Some(Planted::ReleasesBeforeCommit) {
            let effects = self.host.driver.as_mut().map(Driver::committed).unwrap_or_default();
            return effects.into_iter().try_for_each(|effect| self.release_one(effect));
        }
        Ok(())
    }

    pub(super) fn commit_ends(&mut self, epoch: u64, turn: u64) -> Verdict {
        let Some(mut batch) = self.batches.remove(&(epoch, turn)) else { return Ok(()) };
        let is_ours = epoch == self.host.epoch && self.host.driver.is_some();
        if batch.fate != Fate::Refused {
            self.make_durable(epoch, &mut batch)?;
        }
        if !is_ours {
            return Ok(());
        }
        if batch.fate != Fate::Durable {
            return self.crash();
        }
        let driver = self.host.driver.as_mut().filter(|driver| driver.is_committing());
        let effects = driver.map(Driver::committed).unwrap_or_default();
        self.release(turn, effects)?;
        if let (Some(driver), true) = (&self.host.driver, batch.took > SLOW_AT_LEAST) {
            self.host.throttled = driver.now().max(self.clock()) + RECOVERED_AFTER;
        }
        if self.host.driver.is_some() {
            self.step(Input::CommitTook(batch.took))?;
        }
        if self.draws.probe.chance(PROBED_PERMILLE) { self.probe() } else { Ok(()) }
    }

    fn make_durable(&mut self, epoch: u64, batch: &mut Batch) -> Verdict {
        if self.scenario.planted == Some(Planted::LosesTail) {
            self.tail = Some(Box::new(self.rows.clone()));
        }
        if let Some(planted) = self.scenario.planted {
            planted.rewrite(&mut batch.changes);
        }
        let claimed = if self.scenario.planted == Some(Planted::IgnoresEpoch) {
            self.rows.epoch()
        } else {
            epoch
        };
        if self.rows.commit(claimed, &batch.changes).is_err() {
            self.note("stale", format_args!("epoch {epoch}, turn {}", batch.turn));
            return Ok(());
        }
        self.commits += 1;
        for change in &batch.changes {
            self.note("commit", format_args!("{change:?}"));
        }
        self.checks.committed(epoch, &batch.changes, &self.rows)?;
        self.hire();
        let now = self.now;
        for worker in &self.workers {
            p01_caps::believed(worker.believes(now), &worker.name, &self.rows)?;
        }
        Ok(())
    }

    /// A pool that is new gets a worker.
    fn hire(&mut self) {
        let has_worker = |pool: &&PoolName| self.workers.iter().any(|worker| worker.pool == **pool);
        let Some(pool) = self.rows.pools.keys().find(|pool| !has_worker(pool)).cloned() else {
            return;
        };
        let (seed, at) = (self.scenario.seed, self.workers.len());
        self.workers.push(Worker::new(seed, at as u64, pool, self.faults.worker));
        self.draws.workers.push(Prng::split(seed, "network of worker", at as u64));
        self.plan(Span::from_millis(100), Event::WorkerWakes(at));
    }

    /// Releases the effects of a turn one by one, and sometimes dies before the last.
    fn release(&mut self, turn: u64, effects: Vec<Effect>) -> Verdict {
        self.checks.closed(turn, &effects, &self.host, &self.rows)?;
        for effect in effects {
            if self.draws.release.chance(self.faults.dies_releasing) {
                return self.crash();
            }
            self.release_one(effect)?;
        }
        Ok(())
    }

    fn release_one(&mut self, effect: Effect) -> Verdict {
        self.note("release", format_args!("{effect:?}"));
        self.checks.released(&effect, &self.host, &self.rows)?;
        match effect {
            Effect::Reply(id, response) => {
                let Some(pending) = self.host.replies.remove(&id) else { return Ok(()) };
                // An answer about rows that have changed since cannot be compared with them.
                if matches!(pending.about, About::Query { commits } if commits == self.commits) {
                    self.checks.probed(&response, &self.host, &self.rows)?;
                }
                if let About::Call(tenant) = &pending.about {
                    self.call_opened(tenant, &response);
                }
                self.reply(pending.from, response);
            }
            Effect::Exchanged(ask, exchanged) => self.answer(ask, exchanged)?,
            Effect::Evaluate(evaluation) => {
                let delay = self.draws.evaluator.between(0, 5_000);
                self.plan(Span(delay), Event::Evaluates(self.host.process, evaluation));
            }
            Effect::NextTime(asked) => {
                let delay = Span(self.draws.evaluator.between(0, 5_000));
                let process = self.host.process;
                self.plan(delay, Event::FindsNextTime(process, asked));
            }
            // No tenant of a simulated landscape has a channel.
            Effect::Progress(_) | Effect::Segment(_) | Effect::Declared(_) | Effect::Deliver(_) => {
            }
        }
        Ok(())
    }

    /// The cell is lost, and mostly the process with it. What it had handed to the store is durable already, will never
    /// be, or arrives later.
    pub(super) fn crash(&mut self) -> Verdict {
        if self.host.driver.is_none() {
            return Ok(());
        }
        self.crashes += 1;
        let epoch = self.host.epoch;
        self.note("crash", format_args!("epoch {epoch}"));
        let under_way: Vec<(u64, u64)> =
            self.batches.range((epoch, 0)..=(epoch, u64::MAX)).map(|(key, _)| *key).collect();
        for key in under_way {
            match self.draws.crash.below(3) {
                0 => drop(self.batches.remove(&key)),
                1 => {
                    if let Some(mut batch) = self.batches.remove(&key) {
                        self.make_durable(epoch, &mut batch)?;
                    }
                }
                _ => {}
            }
        }
        if self.draws.crash.chance(self.faults.reloads) {
            self.host.drop_cell();
        } else {
            self.host.die();
        }
        let down = millis(&mut self.draws.crash, 1, 800);
        self.plan(down, Event::Restart);
        Ok(())
    }

    pub(super) fn crash_planned(&mut self) -> Verdict {
        if let Some(gap) = self.faults.crash_gap {
            let gap = Span(self.draws.crash.between(1, gap.0 * 2));
            self.plan(gap, Event::Crash);
            return self.crash();
        }
        Ok(())
    }

    pub(super) fn restart(&mut self) -> Verdict {
        let epoch = self.rows.take_over();
        if let (Some(Planted::LosesTail), Some(tail)) = (self.scenario.planted, self.tail.take()) {
            self.rows.fall_back(*tail);
        }
        let mut snapshot = self.rows.snapshot();
        if let Some(planted) = self.scenario.planted {
            planted.leave_out(&mut snapshot, &self.rows);
        }
        let region = Some(bounds::region(bounds::HERE));
        // Nothing may depend on whether a run is followed.
        let sampling = Some(Sampling { permille: 500 });
        let snapshot = Snapshot { region, sampling, ..snapshot };
        let driver = Driver::load(self.clock(), epoch, snapshot);
        self.note("load", format_args!("epoch {epoch}"));
        self.host.live(epoch, driver);
        self.checks
            .reloaded(self.host.driver.as_ref().map_or(self.now, Driver::now), &self.rows)?;
        self.pump()?;
        // The operator declares until it stands: a crash may have come in between.
        if self.is_declared() { Ok(()) } else { self.declare_all() }
    }

    pub(super) fn tick(&mut self, epoch: u64) -> Verdict {
        let is_ours = self.host.epoch == epoch && self.host.driver.is_some();
        if !is_ours || self.host.tick != Some(self.now) {
            return Ok(());
        }
        self.host.tick = None;
        self.step(Input::Tick)
    }

    fn plan_tick(&mut self) {
        let Some(driver) = &self.host.driver else { return };
        let Some(wake) = driver.next_wake() else { return };
        let at = wake.0.saturating_add(self.clock_lag.0).saturating_sub(self.clock_lead.0);
        let at = Time(at).max(self.now);
        if self.host.tick.is_none_or(|planned| planned > at) {
            self.host.tick = Some(at);
            self.agenda.plan(at, Event::Tick(self.host.epoch));
        }
    }

    /// The clock jumps back or forward, for good.
    pub(super) fn clock_jumps(&mut self) {
        let Some(gap) = self.faults.clock_gap else { return };
        let draws = &mut self.draws.clock;
        if draws.chance(self.faults.clock_leaps) {
            let most = if draws.chance(200) { 120_000_000 } else { 3_000_000 };
            let by = Span(draws.between(1_000, most));
            self.clock_lead = Span(self.clock_lead.0 + by.0);
            self.workers.iter_mut().for_each(|worker| worker.clock_leaps(by));
        } else {
            self.clock_lag = Span(self.clock_lag.0 + draws.between(1_000, 2_000_000));
        }
        let gap = Span(self.draws.clock.between(1, gap.0 * 2));
        self.plan(gap, Event::ClockJumps);
        let (lag, lead) = (self.clock_lag, self.clock_lead);
        self.note("clock", format_args!("{lag} behind, {lead} ahead"));
        self.plan_tick();
    }
}
