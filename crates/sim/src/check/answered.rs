//! Which conditions of steps have been answered with yes: the one thing about readiness that is in no row.
//!
//! A new owner asks again, and so does a run that is retried.

use std::collections::{BTreeMap, BTreeSet};

use fairlane_core::cell::change::Change;
use fairlane_core::cell::effect::{Effect, Evaluation, Question};
use fairlane_core::cell::input::{Input, Value};
use fairlane_core::row::{Instance, RunKey};

use crate::violation::{Verdict, holds};

#[derive(Debug, Default)]
pub(crate) struct Answered {
    /// The round of the newest condition that was asked.
    asked: BTreeMap<RunKey, BTreeMap<Instance, u32>>,
    /// The turn whose input said yes.
    passed: BTreeMap<RunKey, BTreeMap<Instance, u64>>,
    /// Evaluations that were asked for, in all lives of the host.
    rounds: BTreeSet<(RunKey, Instance, u32)>,
    ended: BTreeSet<RunKey>,
    /// The turns of all answers so far, in order.
    turns: Vec<u64>,
}

impl Answered {
    /// A number that was used twice would let the answer to one question pass for that to the other.
    pub(crate) fn released(&mut self, effect: &Effect) -> Verdict {
        let Effect::Evaluate(evaluation) = effect else { return Ok(()) };
        let Evaluation { key, instance, round, what, .. } = &**evaluation;
        if matches!(what, Question::When(_)) {
            self.asked.entry(key.clone()).or_default().insert(*instance, *round);
        }
        let is_new = self.rounds.insert((key.clone(), *instance, *round));
        holds(is_new, "P12 once", || format!("evaluation {round} of {key:?} {instance:?} again"))
    }

    pub(crate) fn stepped(&mut self, input: &Input, turn: u64) {
        if let Input::Evaluated(answer) = input
            && matches!(answer.result, Ok(Value::Condition(true)))
            && self.asked.get(&answer.key).and_then(|asked| asked.get(&answer.instance))
                == Some(&answer.round)
        {
            let passed = self.passed.entry(answer.key.clone()).or_default();
            passed.entry(answer.instance).or_insert(turn);
            self.turns.push(turn);
        }
    }

    /// A run that ended asks anew if it is retried.
    pub(crate) fn follow(&mut self, change: &Change) {
        let Change::Run(run) = change else { return };
        if run.status.is_ended() {
            self.ended.insert(run.key.clone());
        } else if self.ended.remove(&run.key) {
            self.asked.remove(&run.key);
            self.passed.remove(&run.key);
        }
    }

    pub(crate) fn forget(&mut self) {
        self.asked.clear();
        self.passed.clear();
        self.turns.clear();
    }

    /// How many answers there were when that turn was closed.
    pub(crate) fn until(&self, turn: u64) -> u64 {
        self.turns.partition_point(|at| *at <= turn) as u64
    }

    /// Whether the instance's condition held when that turn was closed.
    pub(crate) fn has_passed(&self, key: &RunKey, instance: Instance, turn: u64) -> bool {
        let passed = self.passed.get(key).and_then(|passed| passed.get(&instance));
        passed.is_some_and(|at| *at <= turn)
    }
}
