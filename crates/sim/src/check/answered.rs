//! Which conditions of steps have been answered with yes, and which prompts have been counted: what is in no row of
//! readiness.
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
    /// The round of the newest question of each kind.
    asked: BTreeMap<RunKey, BTreeMap<(Instance, Asked), u32>>,
    /// The turn whose input let the step go on.
    passed: BTreeMap<RunKey, BTreeMap<(Instance, Asked), u64>>,
    /// Evaluations that were asked for, in all lives of the host.
    rounds: BTreeSet<(RunKey, Instance, u32)>,
    ended: BTreeSet<RunKey>,
    /// The turns of all answers so far, in order.
    turns: Vec<u64>,
}

/// Questions without whose answer a step is not ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Asked {
    When,
    Prompt,
}

impl Answered {
    /// A number that was used twice would let the answer to one question pass for that to the other.
    pub(crate) fn released(&mut self, effect: &Effect) -> Verdict {
        let Effect::Evaluate(evaluation) = effect else { return Ok(()) };
        let Evaluation { key, instance, round, what, .. } = &**evaluation;
        let asked = match what {
            Question::When(_) => Some(Asked::When),
            Question::Prompt => Some(Asked::Prompt),
            Question::Over(_)
            | Question::Until(_)
            | Question::ChildInput
            | Question::Subject
            | Question::Revision => None,
        };
        if let Some(asked) = asked {
            self.asked.entry(key.clone()).or_default().insert((*instance, asked), *round);
        }
        let is_new = self.rounds.insert((key.clone(), *instance, *round));
        holds(is_new, "P12 once", || format!("evaluation {round} of {key:?} {instance:?} again"))
    }

    pub(crate) fn stepped(&mut self, input: &Input, turn: u64) {
        let Input::Evaluated(answer) = input else { return };
        let asked = match answer.result {
            Ok(Value::Condition(true)) => Asked::When,
            Ok(Value::Tokens(_)) => Asked::Prompt,
            _ => return,
        };
        let place = (answer.instance, asked);
        if self.asked.get(&answer.key).and_then(|rounds| rounds.get(&place)) == Some(&answer.round)
        {
            self.passed.entry(answer.key.clone()).or_default().entry(place).or_insert(turn);
            self.turns.push(turn);
        }
    }

    /// A run that ended asks anew if it is retried, and so does a step that is done again.
    pub(crate) fn follow(&mut self, change: &Change) {
        if let Change::DropStep(key, step) = change {
            let is_kept = |instance: &Instance| instance.step != *step;
            if let Some(asked) = self.asked.get_mut(key) {
                asked.retain(|(instance, _), _| is_kept(instance));
            }
            if let Some(passed) = self.passed.get_mut(key) {
                passed.retain(|(instance, _), _| is_kept(instance));
            }
        }
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

    /// Whether the instance had that answer when that turn was closed.
    pub(crate) fn has_passed(
        &self,
        key: &RunKey,
        (instance, asked): (Instance, Asked),
        turn: u64,
    ) -> bool {
        let passed = self.passed.get(key).and_then(|passed| passed.get(&(instance, asked)));
        passed.is_some_and(|at| *at <= turn)
    }
}
