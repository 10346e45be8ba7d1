//! Answers of the evaluator: conditions, list lengths, times and inputs of children.

use crate::catalog::TOKENS_MAX;
use crate::replan::Unfit;
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
            Err(failure) if asked == Asked::Revision => {
                self.refuse(at.run, Unfit::Invalid { message: failure.message }, turn);
            }
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
            (Asked::Prompt, Value::Tokens(tokens)) => {
                let node = self.runs.get_mut(at.run).node_mut(at.node);
                node.tokens = rounded_up(tokens.clamp(1, TOKENS_MAX));
                self.make_ready(at, turn);
            }
            (Asked::Subject, Value::Digest(digest)) => self.begin_review(at, digest, turn),
            (Asked::Revision, Value::Revision(revision)) => self.revised(at, *revision, turn),
            (asked, value) => {
                let message = format!("the evaluator answered {asked:?} with {value:?}");
                let failure =
                    Failure { class: "evaluation".into(), message: message.into(), step: None };
                self.end(at, State::Failed(Box::new(failure)), None, turn);
            }
        }
    }
}

/// To four significant bits, so that steps with about as many tokens meet the same gates, and wait as one; an eighth more at
/// most.
const fn rounded_up(tokens: u32) -> u32 {
    let unit = 1 << tokens.ilog2().saturating_sub(3);
    tokens.div_ceil(unit) * unit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_tokens_are_rounded_up_by_an_eighth_at_most() {
        let rounded: Vec<u32> = [1, 15, 16, 17, 1_000, 1_025, TOKENS_MAX].map(rounded_up).into();
        assert_eq!(rounded, [1, 15, 16, 18, 1_024, 1_152, 100_663_296]);
        assert!((1..10_000).all(|n| (n..=n + n / 8).contains(&rounded_up(n))));
    }
}
