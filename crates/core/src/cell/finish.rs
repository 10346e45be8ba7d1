//! How runs end: completed, or abandoned (failed, cancelled, overdue), with slots awaited and compensation run
//! in between.

use crate::limiter::Answer;
use crate::money::Nano;
use crate::row::{Failure, Part, ReviewEvent, RunKey, RunStatus};
use crate::time::Time;

use super::advance::{class, fail};
use super::change::Change;
use super::effect::{Effect, Progress};
use super::gates::Spent;
use super::live::{At, State};
use super::timer::Kind;
use super::{Cell, Later, Turn};

impl Cell {
    /// Gives the run up: nothing new is dispatched, what waits is called off, what runs is told to stop.
    pub(crate) fn abandon(
        &mut self,
        run: u32,
        outcome: RunStatus,
        failure: Option<Failure>,
        turn: &mut Turn,
    ) {
        let live = self.runs.get_mut(run);
        assert!(live.outcome.is_none(), "run {} is abandoned already", live.key.run);
        live.outcome = Some(outcome);
        live.status = RunStatus::Stopping;
        let halt = live.halt.take();
        live.failure = failure.map(Box::new);
        if let Some(deadline) = live.deadline {
            self.timers.clear(deadline, Kind::Run, At { run, node: 0 });
        }
        let nodes = u32::try_from(live.nodes.len()).expect("maps and steps are bounded");
        self.cancel_replan(run, turn);
        self.end_halt_review(halt, ReviewEvent::Cancelled, turn);
        for node in 0..nodes {
            self.call_off(At { run, node }, turn);
        }
        if self.runs.get(run).held > 0 {
            self.write_run(run, turn);
        }
        self.conclude(run, turn);
    }

    /// Ends a node that is not wanted any more. One that a worker or a child run holds is told, and ends when
    /// it is given back.
    pub(crate) fn call_off(&mut self, at: At, turn: &mut Turn) {
        self.call_off_as(at, false, turn);
    }

    /// The same; with `is_told`, a step says so in a row of its own, since its run goes on.
    pub(crate) fn call_off_as(&mut self, at: At, is_told: bool, turn: &mut Turn) {
        let node = self.runs.get(at.run).node(at.node);
        let has_row = match &node.state {
            State::Done | State::Skipped | State::Failed(_) | State::Cancelled => return,
            State::Leased(_) => return self.revoke(at),
            State::Calling(child) => {
                let key = RunKey { tenant: self.runs.get(at.run).key.tenant.clone(), run: **child };
                self.later.push_back(Later::Cancel(key));
                return;
            }
            State::Ready { queued } => {
                let has_row = node.fence > 0;
                if *queued {
                    self.withdraw(at);
                }
                has_row
            }
            // The prompt of a call is counted again after a restart, and the row is of what was before.
            State::Evaluating(_) => node.fence > 0,
            State::Pending | State::InLine(_) => false,
            State::Reviewing(review) => {
                let review = **review;
                self.drop_review(review, ReviewEvent::Cancelled, turn);
                true
            }
            State::Disputed(dispute) => {
                // What it is without anybody who plans for it.
                let state = if dispute.doubt.is_some() {
                    State::Done
                } else {
                    State::Failed(Box::new(dispute.failure.clone()))
                };
                return self.move_to(at, state, None, turn);
            }
            State::Proposed => return self.move_to(at, State::Done, None, turn),
            State::Mapping(_) | State::Backoff(_) | State::Sleeping(_) | State::Listening => true,
        };
        self.clear_timers(at);
        let is_step = self.runs.get(at.run).node(at.node).instance.part == Part::Whole;
        if has_row || is_told && is_step {
            self.move_to(at, State::Cancelled, None, turn);
        } else {
            // That it was never reached follows from the run's row.
            self.trace_left(at, &State::Cancelled, turn);
            self.set(at, State::Cancelled);
        }
    }

    pub(crate) fn call_off_items(&mut self, whole: At, turn: &mut Turn) {
        let live = self.runs.get(whole.run);
        let step = live.node(whole.node).instance.step;
        let Some((_, base, items)) = live.maps.iter().find(|(mapped, ..)| *mapped == step).copied()
        else {
            return;
        };
        for node in base..base + items {
            self.call_off(At { run: whole.run, node }, turn);
        }
    }

    /// The run is over: it leaves memory, and whoever waits for it is told.
    pub(crate) fn finish(&mut self, run: u32, status: RunStatus, turn: &mut Turn) {
        let now = self.now;
        let mut live = self.runs.remove(run);
        assert!(live.held == 0, "run {} ends with {} nodes held", live.key.run, live.held);
        assert!(live.money.held == Nano::ZERO, "run {} ends with money held", live.key.run);
        live.status = status;
        live.outcome = None;
        live.halt = None;
        live.revision += 1;
        if let Some(deadline) = live.deadline {
            self.timers.clear(deadline, Kind::Run, At { run, node: 0 });
        }
        turn.write(Change::Run(Box::new(live.row(Some(now), None))));
        turn.cause(Effect::Progress(Progress {
            key: live.key.clone(),
            revision: live.revision,
            status,
            created: live.created,
            ended: Some(now),
            failure: live.failure.as_deref().cloned(),
            step: None,
        }));
        self.trace_ended(&live, turn);
        self.queue.leave(live.tenant, live.level(), u64::from(live.input_bytes), now);
        self.directory.ended(&live, now);
        self.note_end(&live);
        self.notify_of_end(&live, turn);
        if live.parent.is_some() || live.schedule.is_some() {
            self.later.push_back(Later::Ended(live));
        }
    }

    pub(crate) fn write_run(&mut self, run: u32, turn: &mut Turn) {
        let live = self.runs.get_mut(run);
        live.revision += 1;
        turn.write(Change::Run(Box::new(live.row(None, None))));
        turn.cause(Effect::Progress(Progress {
            key: live.key.clone(),
            revision: live.revision,
            status: live.status,
            created: live.created,
            ended: None,
            failure: live.failure.as_deref().cloned(),
            step: None,
        }));
    }

    pub(crate) fn run_overdue(&mut self, run: u32, turn: &mut Turn) {
        let live = self.runs.get(run);
        let bound = live.deadline.unwrap_or(Time::MAX).since(live.created);
        let failure = fail(class::RUN_TIMEOUT, &format!("the run did not end within {bound}"));
        self.abandon(run, RunStatus::Failed, Some(failure), turn);
    }

    /// `timeout: step` is over, and the step has failed: no attempt of it was given a deadline after this moment.
    pub(crate) fn step_overdue(&mut self, at: At, turn: &mut Turn) {
        let live = self.runs.get(at.run);
        let bound = live.step(at.node).timeout.step.unwrap_or_default();
        let failure = fail(class::STEP_TIMEOUT, &format!("the step did not end within {bound}"));
        if live.node(at.node).instance.part == Part::Whole {
            self.call_off_items(at, turn);
        }
        if matches!(self.runs.get(at.run).node(at.node).state, State::Calling(_)) {
            // The child is told; its end is the step's, as a failure.
            self.call_off(at, turn);
            return;
        }
        if matches!(self.runs.get(at.run).node(at.node).state, State::Ready { queued: true }) {
            self.withdraw(at);
        }
        if let State::Reviewing(review) = &self.runs.get(at.run).node(at.node).state {
            let review = **review;
            self.drop_review(review, ReviewEvent::Cancelled, turn);
        }
        self.give_back(at, Spent::Lost(Answer::Unknown), turn);
        self.end(at, State::Failed(Box::new(failure)), None, turn);
    }

    pub(crate) fn queue_overdue(&mut self, at: At, turn: &mut Turn) {
        let bound = self.runs.get(at.run).step(at.node).timeout.queue.unwrap_or_default();
        let failure = fail(class::QUEUE_TIMEOUT, &format!("no slot was given within {bound}"));
        self.withdraw(at);
        self.end(at, State::Failed(Box::new(failure)), None, turn);
    }
}
