//! Stands for the expression engine and the cron library: the same question about the same run has the same answer.

use fairlane_core::cell::effect::{Evaluation, Question};
use fairlane_core::cell::input::{Evaluated, Value};
use fairlane_core::id::mix;
use fairlane_core::row::{Failure, Payload};
use fairlane_core::time::{Span, Time};

use crate::plans::ITEMS_MAX;
use crate::revision::revision;

/// Longest wait that an `until` names.
const UNTIL_MAX_MS: u64 = 4_000;

/// Longest prompt.
const PROMPT_TOKENS_MAX: u64 = 4_000;

/// Answers a question; `now` is what "in a while" counts from.
pub fn answer(now: Time, evaluation: &Evaluation) -> Evaluated {
    let draw = draw(evaluation);
    let result = if draw.is_multiple_of(50) {
        Err(Failure { class: "evaluation".into(), message: "no such field".into(), step: None })
    } else {
        Ok(value(now, draw >> 8, evaluation))
    };
    Evaluated {
        key: evaluation.key.clone(),
        instance: evaluation.instance,
        round: evaluation.round,
        result,
    }
}

/// The next time of a schedule, whose "cron" is a number of milliseconds.
pub fn next_time(cron: &str, after: Time) -> Option<Time> {
    Some(after + Span::from_millis(cron.parse().ok()?))
}

fn value(now: Time, draw: u64, evaluation: &Evaluation) -> Value {
    match &evaluation.what {
        Question::When(_) => Value::Condition(!draw.is_multiple_of(4)),
        Question::Over(_) => Value::Items(
            u32::try_from(draw % u64::from(ITEMS_MAX + 2)).expect("less than a small constant"),
        ),
        Question::Until(_) => {
            let shifted = now + Span::from_millis(draw % UNTIL_MAX_MS);
            Value::Until(shifted - Span::from_millis(UNTIL_MAX_MS / 4))
        }
        Question::ChildInput => Value::Input(Payload::from(&b"{\"child\":true}"[..])),
        Question::Prompt => Value::Tokens(
            u32::try_from(draw % PROMPT_TOKENS_MAX).expect("less than a small constant"),
        ),
        Question::Subject => Value::Digest([draw.to_be_bytes()[7]; 32]),
        Question::Revision => Value::Revision(Box::new(revision(draw, &evaluation.workflow))),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the halves of an id are mixed one by one")]
fn draw(evaluation: &Evaluation) -> u64 {
    let Evaluation { key, instance, what, .. } = evaluation;
    let kind = match what {
        Question::When(_) => 1,
        Question::Over(_) => 2,
        Question::Until(_) => 3,
        Question::ChildInput => 4,
        Question::Prompt => 5,
        Question::Subject => 6,
        Question::Revision => 7,
    };
    let run = mix(key.run.0 as u64) ^ mix((key.run.0 >> 64) as u64);
    let place = (u64::from(instance.step.0) << 40) ^ instance.part.code().cast_unsigned();
    mix(run ^ mix(place) ^ mix(kind))
}
