//! Runs that other runs start: the children of `call`.

use crate::id::{RunId, mix};
use crate::plan::StepKind;
use crate::row::{Parent, Payload, RunKey, RunStatus};

use super::advance::{class, fail};
use super::live::{At, Run, State};
use super::submit::Admission;
use super::{Cell, Turn};

/// How deep calls may nest.
pub(crate) const CALL_DEPTH_MAX: u32 = 8;

impl Cell {
    /// The input of a `call` is there: the child comes in.
    pub(crate) fn call(&mut self, at: At, input: Payload, turn: &mut Turn) {
        let run = self.runs.get(at.run);
        let node = run.node(at.node);
        let depth = run.parent.as_ref().map_or(0, |parent| parent.depth) + 1;
        let StepKind::Call { workflow, version } = &run.step(at.node).kind else {
            unreachable!("only a call has a child");
        };
        let salt =
            (u64::from(node.instance.step.0) << 48) ^ node.instance.part.code().cast_unsigned();
        let (origin, salt) = (run.key.run, mix(salt) ^ u64::from(node.attempt));
        let found = self.directory.shape(workflow, *version).cloned();
        let refusal = match &found {
            None => Some(format!("the workflow {workflow} is not declared")),
            Some(_) if depth > CALL_DEPTH_MAX => {
                Some(format!("calls nest deeper than {CALL_DEPTH_MAX}"))
            }
            Some(_) => None,
        };
        if let Some(refusal) = refusal {
            let failure = fail(class::CHILD_REFUSED, &refusal);
            return self.end(at, State::Failed(Box::new(failure)), None, turn);
        }
        let mut admission = Admission {
            key: run.key.clone(),
            tenant: run.tenant,
            shape: found.expect("a refusal would have been given"),
            lane: run.lane,
            input,
            parent: Some(Parent { run: run.key.run, instance: node.instance, depth }),
            schedule: None,
        };
        let child = self.new_id(origin, salt);
        admission.key.run = child;
        self.move_to(at, State::Calling(Box::new(child)), None, turn);
        self.admit(admission, turn);
    }

    /// A child is over: its caller's step is.
    pub(crate) fn child_ended(
        &mut self,
        caller: &RunKey,
        parent: &Parent,
        ended: &Run,
        turn: &mut Turn,
    ) {
        let Some(run) = self.runs.find(caller) else { return };
        let live = self.runs.get(run);
        let Some(node) = live.find(parent.instance) else { return };
        let at = At { run, node };
        if !matches!(&live.node(node).state, State::Calling(child) if **child == ended.key.run) {
            return;
        }
        let is_abandoned = live.outcome.is_some();
        let state = match ended.status {
            RunStatus::Completed => State::Done,
            _ if is_abandoned => State::Cancelled,
            status => {
                let because = ended.failure.as_deref().map_or("", |failure| &failure.message);
                let message =
                    format!("the child run {} ended as {status:?}: {because}", ended.key.run);
                State::Failed(Box::new(fail(class::CHILD_FAILED, &message)))
            }
        };
        self.end(at, state, None, turn);
    }

    /// The id of a run that another run or a schedule starts. No run has it, live or ended: the fence is in it, which
    /// no two ids of a cell share.
    pub(crate) fn new_id(&mut self, origin: RunId, salt: u64) -> RunId {
        loop {
            self.fence += 1;
            let id = origin.derive(self.now, mix(salt) ^ self.fence.rotate_left(20));
            if !self.runs.is_taken(id) {
                return id;
            }
        }
    }
}
