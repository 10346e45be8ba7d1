//! P16: past its thresholds no new work comes in, and who is refused is told when to come again. What came in stays until
//! it has ended (see `p12_durability`).

use std::collections::{BTreeMap, BTreeSet};

use fairlane_core::cell::change::Change;
use fairlane_core::cell::effect::{Effect, Response};
use fairlane_core::reject::{Rejection, ValveCause};
use fairlane_core::row::{RunKey, RunRow};
use fairlane_core::time::Span;

use super::declared::Declared;
use crate::violation::{Verdict, holds};

const PROMISE: &str = "P16 valve";

/// Live runs at each point of the stream, with the bytes that they hold.
#[derive(Debug, Default)]
pub(crate) struct Admissions {
    live: BTreeMap<RunKey, u64>,
    known: BTreeSet<RunKey>,
}

impl Admissions {
    pub(crate) fn follow(&mut self, change: &Change, declared: &Declared) -> Verdict {
        let Change::Run(run) = change else { return Ok(()) };
        if self.known.insert(run.key.clone()) && is_submitted(run) {
            self.admits(run, declared)?;
        }
        if run.status.is_ended() {
            self.live.remove(&run.key);
        } else {
            self.live.insert(run.key.clone(), u64::from(run.input_bytes));
        }
        Ok(())
    }

    fn admits(&self, run: &RunRow, declared: &Declared) -> Verdict {
        let valve = &declared.valve;
        let count = self.live.len() as u64 + 1;
        holds(count <= valve.runs_hard, PROMISE, || {
            format!("{:?} came in as number {count} against {valve:?}", run.key)
        })?;
        let bytes = self.live.values().sum::<u64>() + u64::from(run.input_bytes);
        holds(bytes <= valve.bytes_hard, PROMISE, || {
            format!("{:?} came in and makes {bytes} bytes against {valve:?}", run.key)
        })?;
        let of_tenant = self.live.keys().filter(|key| key.tenant == run.key.tenant).count() + 1;
        let most = declared.contexts.get(&run.key.tenant).map_or(0, |context| context.runs_max);
        holds(of_tenant <= most as usize, PROMISE, || {
            format!("{:?} came in as number {of_tenant} of its tenant's {most}", run.key)
        })
    }
}

/// Submitted by a client: children and scheduled runs are not the valve's.
fn is_submitted(run: &RunRow) -> bool {
    run.parent.is_none() && run.schedule.is_none()
}

/// A refusal says when to come again, and its numbers are such that it had to be given.
pub(crate) fn released(effect: &Effect) -> Verdict {
    let Effect::Reply(_, Response::Rejected(rejection)) = effect else { return Ok(()) };
    let (is_due, retry_after) = match rejection {
        Rejection::TenantQueueFull { live, max, retry_after } => (live >= max, *retry_after),
        Rejection::ValveClosed { cause: ValveCause::BytesHard, retry_after, .. } => {
            (true, *retry_after)
        }
        Rejection::ValveClosed { depth, threshold, retry_after, .. } => {
            (*depth >= (*threshold).max(1), *retry_after)
        }
        _ => return Ok(()),
    };
    holds(is_due && retry_after > Span::ZERO, PROMISE, || format!("refused with {rejection:?}"))
}
