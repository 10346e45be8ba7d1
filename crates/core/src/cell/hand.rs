//! What a person decides of a run that is halted since a step could not be paid for: the step's output, or that a
//! cheaper model may stand in. Who it was is in the decision log.

use crate::reject::Rejection;
use crate::replan::Trust;
use crate::row::RunStatus;

use super::input::ByHand;
use super::live::{At, Run, State};
use super::{Cell, Turn};

impl Cell {
    /// The step that the run is halted for ends with what a person gives, and the run goes on.
    pub(crate) fn resolve(
        &mut self,
        run: u32,
        given: ByHand,
        turn: &mut Turn,
    ) -> Result<RunStatus, Rejection> {
        let ByHand { step, output } = given;
        let live = self.runs.get(run);
        let found = live.shape.workflow.indexed().find(|(_, known)| known.name == step);
        let Some((index, _)) = found else { return Err(Rejection::UnknownStep { step }) };
        if live.outcome.is_some() || live.halt.is_none_or(|halt| halt.step != index) {
            return Err(wrong(live, "halted at that step for want of money"));
        }
        let node = live.whole(index);
        if !matches!(live.node(node).state, State::Ready { .. }) {
            // An item of its map, or its compensation, is what could not be paid for.
            return Err(wrong(live, "halted at a step that is no map and is not being undone"));
        }
        let age = live.age;
        self.runs.get_mut(run).node_mut(node).trust = Trust::Verified;
        self.end(At { run, node }, State::Done, Some(output), turn);
        Ok(self.runs.aged(run, age).map_or(RunStatus::Completed, |live| live.status))
    }

    /// From now on the calls of models of a run that is halted may go to a cheaper candidate, and the run goes on.
    ///
    /// Its steps stand in no queue while it is halted: they come back into one in the gate class that is theirs then.
    pub(crate) fn allow_cheaper(
        &mut self,
        run: u32,
        turn: &mut Turn,
    ) -> Result<RunStatus, Rejection> {
        let live = self.runs.get_mut(run);
        if live.outcome.is_some() || live.halt.is_none() {
            return Err(wrong(live, "halted for want of money"));
        }
        live.allows_cheaper = true;
        self.resume(run, turn)
    }
}

const fn wrong(live: &Run, needs: &'static str) -> Rejection {
    Rejection::WrongStatus { run: live.key.run, status: live.status, needs }
}
