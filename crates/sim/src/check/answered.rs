//! Which conditions of steps have been answered with yes: the one thing about readiness that is in no row.
//!
//! A new owner asks again, and so does a run that is retried.

use std::collections::BTreeMap;

use fairlane_core::cell::change::Change;
use fairlane_core::cell::effect::{Effect, Question};
use fairlane_core::cell::input::{Input, Value};
use fairlane_core::row::{Instance, RunKey};

#[derive(Debug, Default)]
pub(crate) struct Answered {
    /// The round of the newest condition that was asked.
    asked: BTreeMap<RunKey, BTreeMap<Instance, u32>>,
    /// The turn whose input said yes.
    passed: BTreeMap<RunKey, BTreeMap<Instance, u64>>,
}

impl Answered {
    pub(crate) fn released(&mut self, effect: &Effect) {
        if let Effect::Evaluate(evaluation) = effect
            && matches!(evaluation.what, Question::When(_))
        {
            let asked = self.asked.entry(evaluation.key.clone()).or_default();
            asked.insert(evaluation.instance, evaluation.round);
        }
    }

    pub(crate) fn stepped(&mut self, input: &Input, turn: u64) {
        if let Input::Evaluated(answer) = input
            && matches!(answer.result, Ok(Value::Condition(true)))
            && self.asked.get(&answer.key).and_then(|asked| asked.get(&answer.instance))
                == Some(&answer.round)
        {
            let passed = self.passed.entry(answer.key.clone()).or_default();
            passed.entry(answer.instance).or_insert(turn);
        }
    }

    /// A run that ended asks anew if it is retried.
    pub(crate) fn follow(&mut self, change: &Change) {
        if let Change::Run(run) = change
            && run.status.is_ended()
        {
            self.asked.remove(&run.key);
            self.passed.remove(&run.key);
        }
    }

    pub(crate) fn forget(&mut self) {
        self.asked.clear();
        self.passed.clear();
    }

    /// Whether the instance's condition held when that turn was closed.
    pub(crate) fn has_passed(&self, key: &RunKey, instance: Instance, turn: u64) -> bool {
        let passed = self.passed.get(key).and_then(|passed| passed.get(&instance));
        passed.is_some_and(|at| *at <= turn)
    }
}
