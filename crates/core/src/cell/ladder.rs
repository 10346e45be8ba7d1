//! What becomes of a step that its run's account has no money for: the rungs of the tenant's class, in its order.
//!
//! A run that stops here holds nothing. It goes on when its account has enough again, when it is resumed, or when it is
//! cancelled.

use crate::gate::Refusal;
use crate::money::Nano;
use crate::quota::Rung;
use crate::reject::Rejection;
use crate::replan::Trigger;
use crate::router::NoWay;
use crate::row::{Halt, Part, RunStatus};

use super::advance::{class, fail};
use super::live::{At, Run, State};
use super::quotas::money;
use super::{Cell, Turn};

impl Cell {
    /// These steps have left their queue, since the accounts of their runs are short.
    pub(crate) fn set_aside(&mut self, steps: &[(At, Refusal)], turn: &mut Turn) {
        let mut ages = Vec::with_capacity(steps.len());
        for (at, _) in steps {
            self.clear_queue_timer(*at);
            let run = self.runs.get_mut(at.run);
            run.node_mut(at.node).state = State::Ready { queued: false };
            ages.push(run.age);
        }
        for ((at, refusal), age) in steps.iter().zip(ages) {
            // What became of one step of a run can have ended the run, or called off its other steps.
            let run = self.runs.aged(at.run, age).filter(|run| run.outcome.is_none());
            let waits = |run: &Run| matches!(run.node(at.node).state, State::Ready { .. });
            if run.is_some_and(waits) {
                // What becomes of those that cannot be paid for is said by itself.
                if !matches!(refusal, Refusal::Budget { .. }) {
                    self.log_aside(*at, refusal, turn);
                }
                self.go_down(*at, refusal, turn);
            }
        }
    }

    fn go_down(&mut self, at: At, refusal: &Refusal, turn: &mut Turn) {
        let (need, left) = match refusal {
            Refusal::Budget { need, left, .. } => (*need, *left),
            Refusal::Route { model, because: NoWay::Denied, .. } => {
                let message =
                    format!("the run was admitted without the right to any endpoint of {model}");
                let failure = fail(class::TOOL_DENIED, &message);
                return self.end(at, State::Failed(Box::new(failure)), None, turn);
            }
            Refusal::Route { model, .. } => {
                let message = format!("the prompt is too long for every candidate of {model}");
                let failure = fail(class::PROMPT_TOO_LONG, &message);
                return self.end(at, State::Failed(Box::new(failure)), None, turn);
            }
            Refusal::Denied { tool } => {
                let message = format!("the run was admitted without the right to use {tool}");
                let failure = fail(class::TOOL_DENIED, &message);
                return self.end(at, State::Failed(Box::new(failure)), None, turn);
            }
            _ => {
                unreachable!("only money, a model's context or a tool is short for one step alone")
            }
        };
        let run = self.runs.get(at.run);
        if run.status == RunStatus::Paused {
            // Another step of the run came to the end of its money in the same turn.
            return;
        }
        if run.money.has_after_holds(need) {
            // Only what its other steps hold is in the way: it waits for them, and nothing is to be decided.
            return self.halt(at, (Rung::Pause, true), (need, left), turn);
        }
        if self.is_for_planner(at, Trigger::Budget) {
            let message = format!("the step needs {need}, and the run has {left} left");
            let failure = fail(class::BUDGET_EXHAUSTED, &message);
            return self.end(at, State::Failed(Box::new(failure)), None, turn);
        }
        let is_optional =
            run.step(at.node).optional && run.node(at.node).instance.part == Part::Whole;
        let rungs = self.directory.ladder(self.directory.tenants.get(run.tenant).context());
        let fits = |rung: &&Rung| match rung {
            // What they could do was tried before the step came here.
            Rung::CheaperModel | Rung::ShorterOutput => false,
            Rung::SkipOptional => is_optional,
            Rung::Escalate | Rung::Pause | Rung::Fail => true,
        };
        let rung = rungs.iter().find(fits).copied().unwrap_or(Rung::Pause);
        self.log_rung(at, rung, (need, left), turn);
        match rung {
            Rung::SkipOptional => self.end(at, State::Skipped, None, turn),
            Rung::Fail => {
                let message = format!("the step needs {need}, and the run has {left} left");
                let failure = fail(class::BUDGET_EXHAUSTED, &message);
                self.end(at, State::Failed(Box::new(failure)), None, turn);
            }
            Rung::Escalate | Rung::Pause | Rung::CheaperModel | Rung::ShorterOutput => {
                self.halt(at, (rung, false), (need, left), turn);
            }
        }
    }

    fn halt(
        &mut self,
        at: At,
        (rung, is_for_holds): (Rung, bool),
        (need, left): (Nano, Nano),
        turn: &mut Turn,
    ) {
        let since = self.now;
        let run = self.runs.get_mut(at.run);
        let step = run.node(at.node).instance.step;
        run.halt = Some(Halt { rung, step, need, left, since, is_for_holds, review: None });
        if rung == Rung::Escalate && !is_for_holds {
            self.escalate_shortage(at, (need, left), turn);
        }
        if !is_for_holds {
            self.notify_of_halt(at.run, turn);
        }
        self.pause_now(at.run, turn);
    }

    /// The step that a run was halted for has ended in some other way: nothing is to be decided any more.
    pub(crate) fn end_halt(&mut self, at: At, turn: &mut Turn) {
        let run = self.runs.get(at.run);
        let step = run.node(at.node).instance.step;
        if run.outcome.is_none() && run.halt.is_some_and(|halt| halt.step == step) {
            let resumed = self.resume(at.run, turn);
            assert!(resumed.is_ok(), "a run that is halted is paused: {resumed:?}");
        }
    }

    /// Something that the run held or was to spend is free, or was spent: it goes on if that is enough, and also if what its
    /// other steps held was spent, so that its step comes to the ladder.
    pub(crate) fn end_shortage(&mut self, run: u32, turn: &mut Turn) {
        let live = self.runs.get(run);
        let is_enough = |halt: &Halt| live.money.left().is_none_or(|left| left >= halt.need);
        let is_decided = |halt: &Halt| halt.is_for_holds && !live.money.has_after_holds(halt.need);
        let is_halted = live.outcome.is_none() && live.status == RunStatus::Paused;
        if is_halted && live.halt.is_some_and(|halt| is_enough(&halt) || is_decided(&halt)) {
            let resumed = self.resume(run, turn);
            assert!(resumed.is_ok(), "a run that is halted is paused: {resumed:?}");
        }
    }

    /// What the run may spend in all changes. It goes on if that is what it waited for.
    pub(crate) fn set_run_budget(
        &mut self,
        run: u32,
        limit: Nano,
        turn: &mut Turn,
    ) -> Result<RunStatus, Rejection> {
        money("/limit", limit)?;
        let live = self.runs.get_mut(run);
        if live.outcome.is_some() {
            let (run, status) = (live.key.run, live.status);
            return Err(Rejection::WrongStatus { run, status, needs: "running or paused" });
        }
        live.money.limit = Some(limit);
        self.write_run(run, turn);
        self.end_shortage(run, turn);
        Ok(self.runs.get(run).status)
    }

    fn log_rung(&mut self, at: At, rung: Rung, (need, left): (Nano, Nano), turn: &mut Turn) {
        let run = self.runs.get(at.run);
        let facts = serde_json::json!({
            "run": run.key.run.to_string(),
            "step": run.step(at.node).name.as_str(),
            "need": need.to_string(),
            "left": left.to_string(),
            "rung": rung,
        });
        let tenant = run.key.tenant.clone();
        self.decide(Some(tenant), "budget-short", facts.to_string(), turn);
    }
}
