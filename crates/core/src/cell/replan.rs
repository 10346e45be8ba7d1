//! Replanning: a step that cannot stand as it is makes a planner look at the plan again.
//!
//! A step that fails for good, or is not sure enough, is *disputed* instead of ended, if its workflow says so: its
//! dependents wait, and the rest of the run goes on. The planner is appended to the plan as a step of its own, so that it
//! waits, spends and is recorded as any step. Its output is a revision, which the surroundings read (`Question::Revision`)
//! and [`judge`] accepts or refuses; what is accepted becomes the plan once the steps that it stops have stopped
//! ([`apply`]).
//!
//! INVARIANT: while a replan is under way, its planner is not final. A run has one replan at a time; further disputed steps
//! wait for it.

mod apply;
mod judge;

use std::sync::Arc;

use crate::id::{OutcomeName, PersonId, StepName};
use crate::plan::{STEPS_MAX, StepIndex, StepKind, Workflow};
use crate::replan::{Diff, ReplanRow, Revision, Trigger, Trust, Unfit, Verdict};
use crate::review::{Kind, Terms};
use crate::row::{Failure, Instance, Part, ReviewCause};
use crate::time::Time;

use super::advance::class;
use super::change::Change;
use super::effect::{Question, Waiting};
use super::live::{Asked, At, Dispute, Node, Run, Shape, State};
use super::review::{Opening, review_id};
use super::{Cell, Turn};

/// A replan that is under way.
#[derive(Debug)]
pub(crate) struct Replan {
    pub(crate) row: ReplanRow,
    /// Accepted: it becomes the plan once nothing of what it touches is held any more.
    pub(crate) accepted: Option<Box<Revision>>,
}

impl Run {
    /// Whether a planner is asked when that happens to one of its steps.
    fn may_replan(&self, trigger: Trigger) -> bool {
        let declared = self.shape.workflow.replan.as_ref();
        declared.is_some_and(|declared| {
            // One that is under way may see to this step too.
            let has_left = self.replans < declared.max || self.replan.is_some();
            has_left && declared.on.contains(&trigger)
        })
    }

    /// Whether the node is the step that plans now.
    fn plans_now(&self, node: u32) -> bool {
        let step = self.node(node).instance.step;
        self.replan.as_ref().is_some_and(|replan| replan.row.planner == step)
    }

    fn is_planner(&self, node: u32) -> bool {
        self.shape.workflow.revised.planners.contains(&self.node(node).instance.step)
    }

    /// Whether the node is the step that plans now, and has answered.
    pub(crate) fn has_planned(&self, node: u32) -> bool {
        let is_answered = |replan: &Replan| replan.row.reason.is_some();
        self.plans_now(node)
            && (matches!(self.node(node).state, State::Proposed)
                || self.replan.as_deref().is_some_and(is_answered))
    }

    fn disputed(&self) -> Option<(u32, &Dispute)> {
        self.wholes().find_map(|(node, whole)| match &whole.state {
            State::Disputed(dispute) => Some((node, &**dispute)),
            _ => None,
        })
    }

    /// Follows a plan that has the steps of the one before at their places, and more behind them. What steps wait for is not
    /// counted.
    fn follow_plan(&mut self, plan: Arc<Workflow>, now: Time) {
        for at in self.shape.workflow.steps.len()..plan.steps.len() {
            let step = StepIndex(u16::try_from(at).expect("steps are bounded"));
            self.late.push(u32::try_from(self.nodes.len()).expect("maps and steps are bounded"));
            self.nodes.push(Node::new(Instance { step, part: Part::Whole }, 0, now));
            self.open += 1;
        }
        self.shape = Arc::new(Shape::new(plan));
    }
}

impl Cell {
    /// The state that a node ends with: a planner may have a say in what becomes of it.
    pub(crate) fn or_disputed(&self, at: At, state: State) -> State {
        let run = self.runs.get(at.run);
        if run.outcome.is_some() || run.node(at.node).instance.part != Part::Whole {
            return state;
        }
        if run.is_planner(at.node) {
            return match state {
                State::Done if run.plans_now(at.node) => State::Proposed,
                state => state,
            };
        }
        let State::Failed(failure) = state else { return state };
        let trigger = trigger_of(&failure);
        if !self.is_for_planner(at, trigger) {
            return State::Failed(failure);
        }
        State::Disputed(Box::new(Dispute { trigger, failure: *failure, doubt: None }))
    }

    /// Whether a planner sees to a step to which that has happened. A run bears the failure of an optional step, and not that
    /// others go on with an output that is in doubt.
    pub(crate) fn is_for_planner(&self, at: At, trigger: Trigger) -> bool {
        let run = self.runs.get(at.run);
        let is_borne = run.step(at.node).optional && trigger != Trigger::LowConfidence;
        run.node(at.node).instance.part == Part::Whole
            && !is_borne
            && !run.is_planner(at.node)
            && run.may_replan(trigger)
    }

    /// What follows when a node of that state was entered; false if it is none of a replan.
    pub(crate) fn follow_replan(&mut self, at: At, turn: &mut Turn) -> bool {
        let run = self.runs.get(at.run);
        match &run.node(at.node).state {
            State::Disputed(_) => {
                let age = run.age;
                self.replan(at.run, turn);
                // A revision may have waited for this step to stop, however it did.
                if self.runs.aged(at.run, age).is_some() {
                    self.conclude(at.run, turn);
                }
            }
            State::Proposed => self.ask_revision(at, turn),
            State::Failed(failure) if run.plans_now(at.node) => {
                let failure = (**failure).clone();
                self.refuse(at.run, Unfit::NoAnswer { failure }, turn);
            }
            State::Skipped | State::Cancelled if run.plans_now(at.node) => {
                let failure = super::advance::fail(class::NO_PLAN, "the planner was called off");
                self.refuse(at.run, Unfit::NoAnswer { failure }, turn);
            }
            State::Failed(_) if run.is_planner(at.node) => self.conclude(at.run, turn),
            _ => return false,
        }
        true
    }

    /// Asks a planner about the first disputed step, unless one is at work. A step that nobody may plan for any more ends.
    pub(crate) fn replan(&mut self, run: u32, turn: &mut Turn) {
        let age = self.runs.get(run).age;
        while let Some(live) = self.runs.aged(run, age) {
            if live.replan.is_some() || live.outcome.is_some() {
                return;
            }
            let Some((node, dispute)) = live.disputed() else { return };
            let (at, dispute) = (At { run, node }, dispute.clone());
            let max = live.shape.workflow.replan.as_ref().map_or(0, |declared| declared.max);
            if live.replans < max && live.shape.workflow.steps.len() < STEPS_MAX {
                return self.begin_replan(at, dispute, turn);
            }
            self.stands_alone(at, dispute, turn);
        }
    }

    fn begin_replan(&mut self, at: At, dispute: Dispute, turn: &mut Turn) {
        let now = self.now;
        let live = self.runs.get_mut(at.run);
        live.replans += 1;
        let number = live.replans;
        let (plan, planner) = with_planner(&live.shape.workflow, number);
        let step = live.node(at.node).instance.step;
        let row = ReplanRow {
            tenant: live.key.tenant.clone(),
            run: live.key.run,
            number,
            trigger: dispute.trigger,
            step,
            failure: dispute.failure,
            planner,
            began: now,
            ended: None,
            verdict: None,
            reason: None,
            planned_by: Vec::new(),
            approved_by: Vec::new(),
            diff: Diff::default(),
            plan: plan.clone(),
        };
        // It waits for nothing.
        live.follow_plan(plan, now);
        let node = live.whole(planner);
        let facts = serde_json::json!({
            "run": live.key.run.to_string(),
            "step": live.step(at.node).name.as_str(),
            "trigger": row.trigger.code(),
            "because": &*row.failure.class,
            "number": number,
        });
        let tenant = live.key.tenant.clone();
        turn.write(Change::Replan(Box::new(row.clone())));
        live.replan = Some(Box::new(Replan { row, accepted: None }));
        self.write_run(at.run, turn);
        self.decide(Some(tenant), "replan-began", facts.to_string(), turn);
        self.begin(At { run: at.run, node }, turn);
    }

    /// Nobody may plan for the step any more: what it handed on is for people to see, and a failure stands.
    fn stands_alone(&mut self, at: At, dispute: Dispute, turn: &mut Turn) {
        if let Some(doubt) = dispute.doubt
            && self.escalate_doubt(at, (None, doubt), turn)
        {
            return;
        }
        let state = State::Failed(Box::new(dispute.failure));
        self.clear_timers(at);
        self.move_to(at, state, None, turn);
        self.follow_step(at, turn);
    }

    /// Has the planner's output read; again after a restart, and after people have agreed to it.
    pub(crate) fn ask_revision(&mut self, at: At, turn: &mut Turn) {
        self.ask(at, Asked::Revision, Question::Revision, turn);
    }

    /// The planner's output has been read.
    pub(crate) fn revised(&mut self, at: At, revision: Revision, turn: &mut Turn) {
        let Some(replan) = &mut self.runs.get_mut(at.run).replan else { return };
        replan.row.reason = Some(revision.reason.clone());
        if replan.row.verdict == Some(Verdict::Accepted) {
            // Before a restart: steps have been stopped for it.
            return self.accept(at, revision, turn);
        }
        let is_approved = !replan.row.approved_by.is_empty();
        if let Err(unfit) = self.judge(at.run, &revision) {
            return self.refuse(at.run, unfit, turn);
        }
        match self.approval_terms(at.run).filter(|_| !is_approved) {
            Some(terms) => self.ask_approval(at, &terms, &revision, turn),
            None => self.accept(at, revision, turn),
        }
    }

    /// What people are asked before a revision becomes the plan, if they have to be.
    fn approval_terms(&self, run: u32) -> Option<Arc<Terms>> {
        let live = self.runs.get(run);
        let declared = live.shape.workflow.replan.as_ref()?.approval.clone();
        let context = self.directory.tenants.get(live.tenant).context();
        let is_ruled = [context, &*live.context]
            .into_iter()
            .any(|context| context.rules.replan_approval == Some(true));
        declared.or_else(|| {
            is_ruled.then(|| Arc::new(Terms { kind: Kind::Approval, ..Terms::default() }))
        })
    }

    fn ask_approval(&mut self, at: At, terms: &Terms, revision: &Revision, turn: &mut Turn) {
        self.fence += 1;
        let live = self.runs.get(at.run);
        let number = live.replans;
        let planned_by = live.replan.iter().flat_map(|replan| &replan.row.planned_by);
        let mut terms = terms.clone();
        terms.exclude.extend(planned_by.cloned());
        let terms = Arc::new(terms);
        let id = review_id(live.key.run, self.now, self.fence);
        let cause = ReviewCause::Replan { number };
        let opening = Opening { id, cause, terms, digest: revision.digest };
        if self.open_review(at, opening, turn) {
            self.write_replan(at.run, turn);
            self.move_to(at, State::Reviewing(Box::new(id)), None, turn);
        } else {
            self.refuse(at.run, Unfit::NoReviewers, turn);
        }
    }

    /// People have made a revision, if the step is the one that plans.
    pub(crate) fn note_planners(&mut self, at: At, by: &[PersonId], turn: &mut Turn) {
        let live = self.runs.get_mut(at.run);
        if live.plans_now(at.node)
            && let Some(replan) = &mut live.replan
        {
            replan.row.planned_by = by.to_vec();
            self.write_replan(at.run, turn);
        }
    }

    /// People have decided of a revision.
    pub(crate) fn replan_reviewed(
        &mut self,
        at: At,
        (approves, by): (bool, &[PersonId]),
        turn: &mut Turn,
    ) {
        if !approves {
            return self.refuse(at.run, Unfit::Rejected, turn);
        }
        if let Some(replan) = &mut self.runs.get_mut(at.run).replan {
            replan.row.approved_by = by.to_vec();
        }
        self.write_replan(at.run, turn);
        self.move_to(at, State::Proposed, None, turn);
        self.ask_revision(at, turn);
    }

    /// Whether that outcome of its review lets a revision through.
    pub(crate) fn approves_replan(&self, run: u32, outcome: &OutcomeName) -> bool {
        let terms = self.approval_terms(run).unwrap_or_default();
        terms.outcome(outcome).is_some_and(|outcome| outcome.approving)
    }

    fn write_replan(&self, run: u32, turn: &mut Turn) {
        if let Some(replan) = &self.runs.get(run).replan {
            turn.write(Change::Replan(Box::new(replan.row.clone())));
        }
    }

    /// The plan stays as it is: another planner is asked, or the step that was disputed ends.
    pub(crate) fn refuse(&mut self, run: u32, unfit: Unfit, turn: &mut Turn) {
        let age = self.runs.get(run).age;
        self.close_replan(run, Verdict::Refused(unfit), turn);
        if self.runs.aged(run, age).is_some() {
            self.replan(run, turn);
        }
        if self.runs.aged(run, age).is_some() {
            self.conclude(run, turn);
        }
    }

    /// The run is given up: nobody has to plan for it any more.
    pub(crate) fn cancel_replan(&mut self, run: u32, turn: &mut Turn) {
        if let Some(replan) = self.runs.get_mut(run).replan.take() {
            let row = ReplanRow {
                ended: Some(self.now),
                verdict: Some(Verdict::Cancelled),
                ..replan.row
            };
            turn.write(Change::Replan(Box::new(row)));
        }
    }

    fn close_replan(&mut self, run: u32, verdict: Verdict, turn: &mut Turn) {
        let live = self.runs.get_mut(run);
        let Some(mut replan) = live.replan.take() else { return };
        replan.row.ended = Some(self.now);
        let code = match &verdict {
            Verdict::Accepted => "replan-accepted",
            Verdict::Refused(_) | Verdict::Cancelled => "replan-refused",
        };
        let facts = serde_json::json!({
            "run": live.key.run.to_string(),
            "number": replan.row.number,
            "verdict": &verdict,
            "diff": &replan.row.diff,
        });
        replan.row.verdict = Some(verdict);
        let at = At { run, node: live.whole(replan.row.planner) };
        let tenant = live.key.tenant.clone();
        turn.write(Change::Replan(Box::new(replan.row)));
        self.decide(Some(tenant), code, facts.to_string(), turn);
        if !self.runs.get(run).node(at.node).is_final() {
            // It has done its work, whatever came of it.
            self.clear_timers(at);
            self.move_to(at, State::Done, None, turn);
        }
    }

    /// What these steps handed on is in doubt, and all that was made from it and was not checked.
    pub(crate) fn suspect(&mut self, at: At, steps: &[StepName], turn: &mut Turn) {
        let live = self.runs.get(at.run);
        let workflow = live.shape.workflow.clone();
        let before = upstream(&workflow, live.node(at.node).instance.step);
        let named: Vec<StepIndex> = workflow
            .indexed()
            .filter(|(index, step)| before[usize::from(index.0)] && steps.contains(&step.name))
            .map(|(index, _)| index)
            .collect();
        let reached = super::advance::downstream(&workflow, &named);
        for (index, _) in workflow.indexed().filter(|(index, _)| reached[usize::from(index.0)]) {
            let live = self.runs.get_mut(at.run);
            let node = live.whole(index);
            let whole = live.node_mut(node);
            let is_doubted = named.contains(&index) || whole.trust == Trust::Derived;
            if matches!(whole.state, State::Done) && is_doubted {
                whole.trust = Trust::Suspect;
                live.revision += 1;
                let row = live.step_row(node, &self.directory);
                turn.write(Change::Step(Box::new(row.expect("what is done has a row"))));
            }
        }
    }

    /// How far the output of a node that is done now can be relied upon.
    pub(crate) fn trust_of(&self, at: At) -> Trust {
        let run = self.runs.get(at.run);
        let node = run.node(at.node);
        let step = run.step(at.node);
        if node.trust == Trust::Verified || matches!(step.kind, StepKind::Review(_)) {
            return Trust::Verified;
        }
        let is_suspect = |before: &StepIndex| run.whole_node(*before).trust == Trust::Suspect;
        if step.after.iter().any(is_suspect) { Trust::Suspect } else { Trust::Derived }
    }

    pub(crate) fn waits_for_planner(&self, at: At, dispute: &Dispute) -> Waiting {
        let run = self.runs.get(at.run);
        let planner = run.replan.as_ref().map(|replan| replan.row.planner);
        Waiting::Replan {
            trigger: dispute.trigger,
            failure: dispute.failure.clone(),
            planner: planner.map(|step| run.shape.workflow.step(step).name.clone()),
        }
    }

    /// What a revision that was accepted waits for.
    pub(crate) fn waits_to_apply(&self, at: At) -> Waiting {
        let run = self.runs.get(at.run);
        let held = run.nodes.iter().filter(|node| node.is_held());
        let touched = |node: &&Node| {
            let accepted = run.replan.as_ref().and_then(|replan| replan.accepted.as_deref());
            accepted.is_some_and(|revision| {
                apply::stops(run, revision)[usize::from(node.instance.step.0)]
            })
        };
        let name = |node: &Node| run.shape.workflow.step(node.instance.step).name.clone();
        Waiting::Stopping(held.filter(touched).map(name).collect())
    }
}

/// The plan with a further step that plans.
fn with_planner(plan: &Workflow, number: u32) -> (Arc<Workflow>, StepIndex) {
    let declared = plan.replan.as_ref().expect("a workflow that is planned again says who plans");
    let mut plan = plan.clone();
    let planner = StepIndex(u16::try_from(plan.steps.len()).expect("steps are bounded"));
    let mut step = declared.planner.clone();
    step.name = StepName::parse(&format!("replan_{number}")).expect("the name is one");
    plan.steps.push(step);
    plan.revised.replans = number;
    plan.revised.planners.insert(planner);
    (Arc::new(plan), planner)
}

/// Marks all that come before a step.
fn upstream(plan: &Workflow, step: StepIndex) -> Vec<bool> {
    let mut reached = vec![false; plan.steps.len()];
    let mut open = vec![step];
    while let Some(step) = open.pop() {
        for before in &plan.step(step).after {
            if !std::mem::replace(&mut reached[usize::from(before.0)], true) {
                open.push(*before);
            }
        }
    }
    reached
}

fn trigger_of(failure: &Failure) -> Trigger {
    match &*failure.class {
        class::OUTPUT_REJECTED => Trigger::Rejected,
        class::CONTRADICTION => Trigger::Contradiction,
        class::BUDGET_EXHAUSTED => Trigger::Budget,
        class::LOW_CONFIDENCE => Trigger::LowConfidence,
        _ => Trigger::Failed,
    }
}
