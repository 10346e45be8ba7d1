//! Answers of the evaluator: conditions, list lengths, times and inputs of children.

use crate::row::Failure;

use super::input::{Evaluated, Value};
use super::live::{Asked, At, State};
use super::{Cell, Turn};

impl Cell {
    pub(crate) fn evaluated(&mut self, answer: Evaluated, turn: &mut Turn) {
        let Some(run) = self.runs.find(&answer.key) else { return };
        let live = self.runs.get(run);
        let Some(node) = live.find(answer.instance) else { return };
        let at = At { run, node };
        let node = live.node(node);
        let State::Evaluating(asked) = node.state else { return };
        if node.round != answer.round {
            return;
        }
        match answer.result {
            Ok(value) => self.apply(at, asked, value, turn),
            Err(failure) => self.end(at, State::Failed(Box::new(failure)), None, turn),
        }
    }

    fn apply(&mut self, at: At, asked: Asked, value: Value, turn: &mut Turn) {
        match (asked, value) {
            (Asked::When, Value::Condition(true)) => self.enter(at, turn),
            (Asked::When, Value::Condition(false)) => self.end(at, State::Skipped, None, turn),
            (Asked::Over, Value::Items(items)) => self.fan_out(at, items, turn),
            (Asked::Until, Value::Until(until)) => self.sleep(at, until, turn),
            (Asked::ChildInput, Value::Input(input)) => self.call(at, input, turn),
            (asked, value) => {
                let message = format!("the evaluator answered {asked:?} with {value:?}");
                let failure =
                    Failure { class: "evaluation".into(), message: message.into(), step: None };
                self.end(at, State::Failed(Box::new(failure)), None, turn);
            }
        }
    }
}
