//! Where runs stand in traces. Ids of traces and spans follow from other ids, so that nothing has to be stored to find them
//! again: the same run, step and attempt are the same span before and after a restart.
//!
//! The cell carries this as it carries payloads, and decides nothing by it. What it says of a run that is followed is a
//! [`Segment`](crate::cell::effect::Segment): a part of its time that is over. Who sends that where is the surroundings' matter.

use serde::{Deserialize, Serialize};

use crate::id::{RunId, mix};
use crate::row::Instance;

/// Names a trace: the id of the run that it begins with, or what its client calls it. Never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TraceId(pub u128);

/// Names a span of a trace. Never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SpanId(pub u64);

/// A span that others hang on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchor {
    pub trace: TraceId,
    pub span: SpanId,
}

/// What a client says of the trace in which it submits a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incoming {
    pub anchor: Anchor,
    /// Whether the client keeps the trace, and so whether the run is followed.
    pub is_sampled: bool,
}

/// The trace of a run that is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    pub id: TraceId,
    /// The span outside of the run that the run's own hangs on: its client's, its caller's, or that of its life before a retry.
    pub parent: Option<SpanId>,
}

/// Which runs are followed that come without a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampling {
    /// So many of a thousand.
    pub permille: u16,
}

impl Sampling {
    /// The same answer for the same run, always.
    pub fn takes(self, run: RunId) -> bool {
        let [high, low] = halves(run.0);
        hash(&[SAMPLE, high, low]) % 1_000 < u64::from(self.permille)
    }
}

// What is hashed begins with what it is the id of.
const SAMPLE: u64 = 1;
const RUN: u64 = 2;
const TRY: u64 = 3;
const WAIT: u64 = 4;
const CALL: u64 = 5;

impl Trace {
    /// The trace that begins with the run.
    pub const fn of_run(run: RunId) -> Self {
        Self { id: TraceId(run.0), parent: None }
    }

    /// The span of the run itself.
    pub fn span(&self, run: RunId) -> SpanId {
        let [high, low] = halves(run.0);
        let parent = self.parent.map_or(0, |parent| parent.0);
        SpanId(hash(&[RUN, high, low, parent]))
    }

    /// The trace of the same run when it is retried: its second life hangs on the first.
    #[must_use]
    pub fn again(&self, run: RunId) -> Self {
        Self { id: self.id, parent: Some(self.span(run)) }
    }
}

impl SpanId {
    /// A try at a step of the run whose span this is. The number tells apart what is done for one instance: it is the fence of an
    /// attempt, and when it began of what is none.
    #[must_use]
    pub fn of_try(self, instance: Instance, number: u64) -> Self {
        let part = instance.part.code().cast_unsigned();
        Self(hash(&[TRY, self.0, instance.step.0.into(), part, number]))
    }

    /// A wait of the step, or of the run, whose span this is.
    #[must_use]
    pub fn of_wait(self, began: u64) -> Self {
        Self(hash(&[WAIT, self.0, began]))
    }

    /// A call that is made for what this is the span of.
    #[must_use]
    pub fn of_call(self, number: u64) -> Self {
        Self(hash(&[CALL, self.0, number]))
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the two halves are taken one by one")]
const fn halves(number: u128) -> [u64; 2] {
    [(number >> 64) as u64, number as u64]
}

/// Spreads the parts over 64 bits; 0 names no span.
fn hash(parts: &[u64]) -> u64 {
    parts.iter().fold(0, |hash, part| mix(hash ^ part)).max(1)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::plan::StepIndex;
    use crate::row::Part;

    #[test]
    fn ids_are_the_same_always_and_tell_everything_apart() {
        let trace = Trace::of_run(RunId(7 << 64 | 9));
        let run = trace.span(RunId(7 << 64 | 9));
        let other = trace.span(RunId(9 << 64 | 7));
        let mut known = BTreeSet::from([run, other, trace.again(RunId(7)).span(RunId(7))]);
        for part in [Part::Whole, Part::Compensation, Part::Item(0), Part::Item(1)] {
            for number in 0..3 {
                let instance = Instance { step: StepIndex(4), part };
                let step = run.of_try(instance, number);
                assert_eq!(step, run.of_try(instance, number));
                known.extend([step, step.of_wait(number), step.of_call(number)]);
            }
        }
        assert_eq!(known.len(), 3 + 4 * 3 * 3);
        assert!(known.iter().all(|span| span.0 != 0));
    }

    #[test]
    fn as_many_runs_are_followed_as_the_permille_says() {
        let of = |permille| {
            let sampling = Sampling { permille };
            (0..10_000).filter(|run| sampling.takes(RunId(*run << 60 | *run))).count()
        };
        assert_eq!([of(0), of(1_000)], [0, 10_000]);
        let some = of(100);
        assert!((900..1_100).contains(&some), "{some} of 10,000 at 100 of 1,000");
    }
}
