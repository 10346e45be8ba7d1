//! Whether a revision may become the plan: its scope, what it uses, what it costs, and that it leaves no failure as it is.

use std::collections::BTreeSet;

use crate::money::Nano;
use crate::plan::{STEPS_MAX, Step, StepIndex, Workflow};
use crate::reject::Rejection;
use crate::replan::{Revision, Scope, Trust, Unfit};

use super::super::Cell;
use super::super::advance::downstream;
use super::super::live::{Run, State};
use super::apply::again;

impl Cell {
    /// Fine, or why not. Changes nothing; asks policies, whose answers are kept.
    pub(super) fn judge(&mut self, run: u32, revision: &Revision) -> Result<(), Unfit> {
        let live = self.runs.get(run);
        let replan = live.replan.as_ref().expect("a revision belongs to a replan");
        let plan = &revision.plan;
        if plan.steps.len() > STEPS_MAX {
            let steps = u32::try_from(plan.steps.len()).unwrap_or(u32::MAX);
            return Err(Unfit::TooManySteps { steps });
        }
        let named = named(revision);
        if named.is_empty() && revision.added.is_empty() {
            return Err(Unfit::Empty);
        }
        let again = again(live, revision);
        within_scope(live, &named, &again)?;
        let new: BTreeSet<StepIndex> = revision.added.union(&revision.changed).copied().collect();
        let declared = plan.replan.as_ref().expect("the plan of a replan says what it may use");
        for index in &new {
            let step = plan.step(*index);
            if let Some((part, name)) = declared.parts.lacks(step) {
                return Err(Unfit::NotAllowed { step: step.name.clone(), part, name });
            }
        }
        let trigger = replan.row.step;
        let node = live.whole_node(trigger);
        let is_failed = matches!(&node.state, State::Disputed(dispute) if dispute.doubt.is_none());
        let is_seen_to = revision.dropped.contains(&trigger) || again[usize::from(trigger.0)];
        if is_failed && !is_seen_to {
            return Err(Unfit::LeavesFailure { step: plan.step(trigger).name.clone() });
        }
        self.may_do(run, revision, &again)?;
        self.can_afford(run, plan, &again)
    }

    /// Whether the tenant may use what the new steps use, and those that are done again.
    fn may_do(&mut self, run: u32, revision: &Revision, again: &[bool]) -> Result<(), Unfit> {
        let live = self.runs.get(run);
        let (tenant, plan) = (live.tenant, revision.plan.clone());
        let is_asked = |index: StepIndex| {
            let is_again = again.get(usize::from(index.0)).copied().unwrap_or(false);
            is_again || revision.added.contains(&index) || revision.changed.contains(&index)
        };
        let pinned = live.context.clone();
        let newest = self.directory.tenants.get(tenant).context().clone();
        for (_, step) in plan.indexed().filter(|(index, _)| is_asked(*index)) {
            for context in [&pinned, &newest] {
                self.may_begin(context, std::iter::once(step))
                    .map_err(|refused| denied(step, &refused))?;
            }
            if let Some(name) = self.policy_denies(tenant, step) {
                return Err(Unfit::Denied { step: step.name.clone(), name });
            }
        }
        Ok(())
    }

    /// Whether there is enough for all that is still to be done, along the cheapest way.
    fn can_afford(&self, run: u32, plan: &Workflow, again: &[bool]) -> Result<(), Unfit> {
        let live = self.runs.get(run);
        let is_to_do = |index: StepIndex| {
            let at = usize::from(index.0);
            let is_new = at >= live.shape.workflow.steps.len();
            let is_left = || {
                let node = live.whole_node(index);
                // What runs has its money already.
                !node.is_final() && !node.is_held() && !matches!(node.state, State::Disputed(_))
            };
            plan.has(index) && (is_new || again[at] || is_left())
        };
        let steps: Vec<&Step> = plan
            .indexed()
            .filter(|(index, step)| is_to_do(*index) && super::super::live::is_bound(step))
            .map(|(_, step)| step)
            .collect();
        let costs = steps.iter().map(|step| Nano(step.cost_nano)).fold(Nano::ZERO, Nano::plus);
        let models = self.models_cost(live.tenant, steps.into_iter());
        let models = models.map_err(|refused| match refused {
            Rejection::ModelUnavailable { step: Some(step), model, .. } => {
                Unfit::Denied { step, name: model.as_str().into() }
            }
            refused => Unfit::Invalid { message: format!("{refused:?}").into() },
        })?;
        let need = costs.plus(models);
        self.can_pay(live.tenant, &live.money, need).map_err(|refused| match refused {
            Rejection::BudgetExhausted { need, left, .. } => Unfit::TooCostly { need, left },
            refused => Unfit::Invalid { message: format!("{refused:?}").into() },
        })
    }
}

/// The steps that are there and that a revision names.
fn named(revision: &Revision) -> BTreeSet<StepIndex> {
    let Revision { changed, dropped, redo, distrust, .. } = revision;
    [changed, dropped, redo, distrust].into_iter().flatten().copied().collect()
}

fn within_scope(run: &Run, named: &BTreeSet<StepIndex>, again: &[bool]) -> Result<(), Unfit> {
    let inside = scope(run);
    let workflow = &run.shape.workflow;
    let is_outside = |index: StepIndex| !inside[usize::from(index.0)];
    let is_again = |index: StepIndex| again[usize::from(index.0)];
    let found = workflow
        .indexed()
        .find(|(index, _)| (named.contains(index) || is_again(*index)) && is_outside(*index));
    found.map_or(Ok(()), |(_, step)| Err(Unfit::OutOfScope { step: step.name.clone() }))
}

/// Marks the steps that a revision may touch.
pub(super) fn scope(run: &Run) -> Vec<bool> {
    let workflow = &run.shape.workflow;
    let replan = run.replan.as_ref().expect("a scope belongs to a replan");
    let declared = workflow.replan.as_ref().expect("a run that is planned again says how");
    let mut inside = match &declared.scope {
        Scope::All => vec![true; workflow.steps.len()],
        Scope::Steps(names) => {
            workflow.steps.iter().map(|step| names.contains(&step.name)).collect()
        }
        Scope::Downstream => {
            // What is in doubt is as much the trigger as the step that said so.
            let mut roots = vec![replan.row.step];
            roots.extend(suspects(run));
            downstream(workflow, &roots)
        }
    };
    for (index, _) in workflow.indexed() {
        inside[usize::from(index.0)] &= workflow.has(index);
    }
    inside
}

/// Steps that are done and whose output is in doubt.
pub(super) fn suspects(run: &Run) -> impl Iterator<Item = StepIndex> {
    let is_suspect = |step: &StepIndex| {
        let node = run.whole_node(*step);
        matches!(node.state, State::Done) && node.trust == Trust::Suspect
    };
    run.shape.workflow.indexed().map(|(index, _)| index).filter(is_suspect)
}

fn denied(step: &Step, refused: &Rejection) -> Unfit {
    let name = match refused {
        Rejection::ToolDenied { tool, .. } | Rejection::ToolOutside { tool, .. } => tool.as_str(),
        _ => step.name.as_str(),
    };
    Unfit::Denied { step: step.name.clone(), name: name.into() }
}
