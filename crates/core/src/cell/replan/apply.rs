//! A revision becomes the plan: what it touches is stopped, then forgotten or dropped, and the run goes on along the new
//! plan. All in the turn in which the last of it has stopped.

use std::collections::BTreeSet;

use crate::id::StepName;
use crate::plan::StepIndex;
use crate::replan::{Diff, Revision, Trust, Verdict};
use crate::row::{Instance, Part};

use super::super::advance::downstream;
use super::super::change::Change;
use super::super::live::{At, Node, Run, State};
use super::super::review::superseded;
use super::super::{Cell, Turn};
use super::judge::{scope, suspects};

/// The part of a node that nothing leads to any more: no list has so many items.
const NOWHERE: Part = Part::Item(u32::MAX);

impl Cell {
    /// The revision is to become the plan. That is said before anything is stopped for it, so that nothing is stopped in vain.
    pub(super) fn accept(&mut self, planner: At, revision: Revision, turn: &mut Turn) {
        let run = planner.run;
        let live = self.runs.get_mut(run);
        let diff = diff(live, &revision);
        let Some(replan) = &mut live.replan else { return };
        if replan.row.verdict.is_none() {
            replan.row.verdict = Some(Verdict::Accepted);
            replan.row.diff = diff;
        }
        replan.accepted = Some(Box::new(revision));
        self.write_replan(run, turn);
        if matches!(self.runs.get(run).node(planner.node).state, State::Evaluating(_)) {
            self.set(planner, State::Proposed);
        }
        self.apply_revision(run, turn);
    }

    /// Makes a revision that was accepted the plan, if all that it touches has stopped. True if there is one that waits.
    pub(crate) fn apply_revision(&mut self, run: u32, turn: &mut Turn) -> bool {
        let live = self.runs.get(run);
        let Some(revision) = live.replan.as_ref().and_then(|replan| replan.accepted.as_ref())
        else {
            return false;
        };
        let again = again(live, revision);
        let stops = stopped(&again, revision);
        let touched: Vec<At> = (0..)
            .zip(&live.nodes)
            .filter(|(_, node)| stops[usize::from(node.instance.step.0)])
            .map(|(node, _)| At { run, node })
            .collect();
        for at in &touched {
            // What is disputed stays so until it is forgotten, or dropped.
            if !matches!(self.runs.get(run).node(at.node).state, State::Disputed(_)) {
                self.call_off_as(*at, true, turn);
            }
        }
        let live = self.runs.get(run);
        if touched.iter().any(|at| live.node(at.node).is_held()) {
            return true;
        }
        self.become_plan(run, &again, turn);
        true
    }

    /// `again`: the steps that are done again.
    fn become_plan(&mut self, run: u32, again: &[bool], turn: &mut Turn) {
        let now = self.now;
        let live = self.runs.get_mut(run);
        let age = live.age;
        let replan = live.replan.as_mut().expect("it was accepted");
        let revision = replan.accepted.take().expect("it was accepted");
        replan.row.plan = revision.plan.clone();
        let trigger = replan.row.step;
        self.forget(run, again, turn);
        for step in &revision.dropped {
            let node = self.runs.get(run).whole(*step);
            self.call_off_as(At { run, node }, true, turn);
        }
        let live = self.runs.get_mut(run);
        live.follow_plan(revision.plan.clone(), now);
        self.close_replan(run, Verdict::Accepted, turn);
        self.runs.get_mut(run).count_blocked();
        self.write_run(run, turn);
        self.let_stand(run, trigger, turn);
        if self.runs.aged(run, age).is_some_and(|live| live.outcome.is_none()) {
            self.begin_unblocked(run, turn);
        }
        if self.runs.aged(run, age).is_some() {
            self.replan(run, turn);
        }
        if self.runs.aged(run, age).is_some() {
            self.conclude(run, turn);
        }
    }

    /// The output that was in doubt stands, if the plan goes on with it.
    fn let_stand(&mut self, run: u32, trigger: StepIndex, turn: &mut Turn) {
        let live = self.runs.get(run);
        let at = At { run, node: live.whole(trigger) };
        if matches!(&live.node(at.node).state, State::Disputed(dispute) if dispute.doubt.is_some())
        {
            self.end(at, State::Done, None, turn);
        }
    }

    /// Forgets what the steps have done. Reviews that were decided for them are superseded.
    fn forget(&mut self, run: u32, again: &[bool], turn: &mut Turn) {
        let now = self.now;
        let live = self.runs.get_mut(run);
        let key = live.key.clone();
        for (at, _) in again.iter().enumerate().filter(|(_, is_again)| **is_again) {
            let step = StepIndex(u16::try_from(at).expect("steps are bounded"));
            let place = live.whole(step);
            let node = live.node(place);
            if matches!(node.state, State::Done) {
                let declared = live.shape.workflow.step(step);
                superseded(&key, declared, (node.ready, node.fence), turn);
            }
            turn.write(Change::DropStep(key.clone(), step));
            live.open += u32::from(node.is_final());
            *live.node_mut(place) = Node::new(Instance { step, part: Part::Whole }, 0, now);
            // Items of a map that are over: their nodes stay, and nothing leads to them. So with what has undone the step in an
            // earlier life of the run, or it would not be undone again.
            live.maps.retain(|(mapped, ..)| *mapped != step);
            let undone = Instance { step, part: Part::Compensation };
            for node in live.nodes.iter_mut().filter(|node| node.instance == undone) {
                node.instance.part = NOWHERE;
            }
        }
    }
}

impl Run {
    /// Whether a plan was accepted, and is not followed yet, for which the step is stopped. What it does meanwhile is forgotten,
    /// so nothing comes after it.
    pub(crate) fn is_stopped(&self, step: StepIndex) -> bool {
        let accepted = self.replan.as_ref().map(|replan| &replan.row);
        let accepted = accepted.filter(|row| row.verdict == Some(Verdict::Accepted));
        accepted.is_some_and(|row| {
            let Diff { redone, dropped, .. } = &row.diff;
            let name = &self.shape.workflow.step(step).name;
            redone.contains(name) || dropped.contains(name)
        })
    }

    /// Whether the node comes after a step that is stopped.
    pub(crate) fn is_held_back(&self, node: u32) -> bool {
        self.replan.is_some() && self.step(node).after.iter().any(|step| self.is_stopped(*step))
    }

    /// Counts anew what each step waits for.
    pub(crate) fn count_blocked(&mut self) {
        let shape = self.shape.clone();
        for (index, step) in shape.workflow.indexed() {
            let is_open = |before: &&StepIndex| {
                !self.whole_node(**before).is_final() || self.is_stopped(**before)
            };
            let blocked = step.after.iter().filter(is_open).count();
            let node = self.whole(index);
            self.node_mut(node).blocked = u16::try_from(blocked).expect("steps are bounded");
        }
    }
}

/// Marks the steps of the run's plan that are done again: those that the revision says, those whose output is in doubt and
/// within its scope, and all that was made from any of them.
pub(super) fn again(run: &Run, revision: &Revision) -> Vec<bool> {
    let inside = scope(run);
    let Revision { changed, redo, distrust, .. } = revision;
    let mut roots: BTreeSet<StepIndex> =
        [changed, redo, distrust].into_iter().flatten().copied().collect();
    roots.extend(suspects(run).filter(|step| inside[usize::from(step.0)]));
    roots.retain(|step| revision.plan.has(*step));
    let roots: Vec<StepIndex> = roots.into_iter().collect();
    let mut again = downstream(&revision.plan, &roots);
    again.truncate(run.shape.workflow.steps.len());
    for (at, is_again) in again.iter_mut().enumerate() {
        let step = StepIndex(u16::try_from(at).expect("steps are bounded"));
        *is_again &=
            revision.plan.has(step) && !matches!(run.whole_node(step).state, State::Pending);
    }
    again
}

/// Marks the steps of the run's plan that are to stop: those that are done again, and those that are dropped.
pub(super) fn stops(run: &Run, revision: &Revision) -> Vec<bool> {
    stopped(&again(run, revision), revision)
}

fn stopped(again: &[bool], revision: &Revision) -> Vec<bool> {
    let mut stops = again.to_vec();
    for dropped in &revision.dropped {
        stops[usize::from(dropped.0)] = true;
    }
    stops
}

fn diff(run: &Run, revision: &Revision) -> Diff {
    let plan = &revision.plan;
    let again = again(run, revision);
    let names = |steps: &BTreeSet<StepIndex>| -> Vec<StepName> {
        steps.iter().map(|step| plan.step(*step).name.clone()).collect()
    };
    let is_again = |step: StepIndex| again.get(usize::from(step.0)).copied().unwrap_or(false);
    let redone = plan.indexed().filter(|(step, _)| is_again(*step));
    let is_kept = |step: StepIndex| {
        let is_there = usize::from(step.0) < run.shape.workflow.steps.len() && plan.has(step);
        is_there && !is_again(step) && {
            let node = run.whole_node(step);
            matches!(node.state, State::Done) && node.trust != Trust::Suspect
        }
    };
    Diff {
        added: names(&revision.added),
        changed: names(&revision.changed),
        dropped: names(&revision.dropped),
        redone: redone.map(|(_, step)| step.name.clone()).collect(),
        distrusted: names(&revision.distrust),
        kept: plan
            .indexed()
            .filter(|(step, _)| is_kept(*step))
            .map(|(_, step)| step.name.clone())
            .collect(),
    }
}
