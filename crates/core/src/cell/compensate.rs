//! Compensation: after a run has failed or was cancelled, its completed steps are undone, newest first, one at
//! a time. A compensation that fails for good is recorded, and the others go on.

use crate::row::{Instance, Part, RunStatus};

use super::live::{At, Node, State};
use super::{Cell, Turn};

impl Cell {
    /// Begins the next compensation, or ends the run if none is left.
    pub(crate) fn compensate(&mut self, run: u32, turn: &mut Turn) {
        let now = self.now;
        let live = self.runs.get_mut(run);
        let outcome = live.outcome.expect("only an abandoned run is compensated");
        if live
            .nodes
            .iter()
            .any(|node| node.instance.part == Part::Compensation && !node.is_final())
        {
            return;
        }
        let next = live
            .wholes()
            .map(|(_, node)| node)
            .filter(|node| matches!(node.state, State::Done))
            .filter(|node| live.shape.workflow.step(node.instance.step).compensate.is_some())
            .filter(|node| live.find(undo(node)).is_none())
            .max_by_key(|node| (node.since, node.instance.step))
            .map(undo);
        let Some(instance) = next else {
            self.finish(run, outcome, turn);
            return;
        };
        let node = u32::try_from(live.nodes.len()).expect("maps and steps are bounded");
        live.nodes.push(Node::new(instance, 0, now));
        if live.status != RunStatus::Compensating {
            live.status = RunStatus::Compensating;
            self.write_run(run, turn);
        }
        self.make_ready(At { run, node }, turn);
    }
}

const fn undo(node: &Node) -> Instance {
    Instance { step: node.instance.step, part: Part::Compensation }
}
