//! Stands for planners: revisions of plans, drawn from a seed. Most of them can be plans, and some go too far.

use std::collections::BTreeSet;
use std::sync::Arc;

use fairlane_core::id::{PoolName, StepName, TaskName};
use fairlane_core::plan::{Step, StepIndex, StepKind, Workflow};
use fairlane_core::replan::{Parts, Replanning, Revision, Scope, Trigger};

use crate::prng::Prng;

/// Most replans that a run is allowed: small, so that bounds are met.
const REPLANS_MAX: u32 = 3;

/// Who plans, when, and within which bounds.
pub(crate) fn replanning(prng: &mut Prng, workflow: &Workflow, pool: &PoolName) -> Replanning {
    let mut parts = Parts::default();
    for step in &workflow.steps {
        parts.add(step);
    }
    let mut planner = workflow.steps[0].clone();
    planner.kind = StepKind::Task { task: task("plan"), pool: pool.clone() };
    planner.after = Vec::new();
    planner.when = None;
    planner.map = None;
    planner.compensate = None;
    planner.optional = false;
    planner.tool = None;
    Replanning {
        on: Trigger::ALL.into_iter().filter(|_| prng.chance(800)).collect(),
        planner,
        scope: if prng.chance(500) { Scope::All } else { Scope::Downstream },
        max: prng.small(1, REPLANS_MAX),
        parts,
        approval: None,
    }
}

/// What a planner's answer to that plan is read as: always the same for the same draw.
pub(crate) fn revision(draw: u64, plan: &Arc<Workflow>) -> Revision {
    let prng = &mut Prng::split(draw, "revision", 0);
    let mut revised = (**plan).clone();
    let mut revision = Revision {
        plan: plan.clone(),
        reason: "drawn".into(),
        added: BTreeSet::new(),
        changed: BTreeSet::new(),
        dropped: BTreeSet::new(),
        redo: BTreeSet::new(),
        distrust: BTreeSet::new(),
        digest: [7; 32],
    };
    let there: Vec<StepIndex> =
        plan.indexed().map(|(step, _)| step).filter(|step| plan.has(*step)).collect();
    for step in &there {
        match prng.below(100) {
            0..30 => drop(revision.redo.insert(*step)),
            30..40 => drop(revision.distrust.insert(*step)),
            40..50 => {
                revised.steps[usize::from(step.0)].cost_nano /= 2;
                revision.changed.insert(*step);
            }
            50..65 if there.len() > revision.dropped.len() + 1 => {
                leave_out(*step, &mut revised, &mut revision);
            }
            65..75 => put_before(*step, prng, &mut revised, &mut revision),
            _ => {}
        }
    }
    revised.revised.dropped.extend(&revision.dropped);
    for gone in &revision.dropped {
        for steps in [&mut revision.changed, &mut revision.redo, &mut revision.distrust] {
            steps.remove(gone);
        }
    }
    revision.plan = Arc::new(revised);
    revision
}

/// What came after the step comes after those before it.
fn leave_out(step: StepIndex, revised: &mut Workflow, revision: &mut Revision) {
    let before = revised.step(step).after.clone();
    for at in 0..revised.steps.len() {
        let other = StepIndex(u16::try_from(at).expect("few steps"));
        let after = &mut revised.steps[at].after;
        if !after.contains(&step) || revision.dropped.contains(&other) {
            continue;
        }
        after.retain(|known| *known != step);
        for known in &before {
            if !after.contains(known) {
                after.push(*known);
            }
        }
        if !revision.added.contains(&other) {
            revision.changed.insert(other);
        }
    }
    revision.dropped.insert(step);
}

/// A new step between the step and those before it.
fn put_before(step: StepIndex, prng: &mut Prng, revised: &mut Workflow, revision: &mut Revision) {
    let place = StepIndex(u16::try_from(revised.steps.len()).expect("few steps"));
    let like = revised.step(*prng.pick(&[step])).clone();
    let name = StepName::parse(&format!("n{}", place.0)).expect("a valid name");
    let new = Step { name, after: like.after.clone(), optional: prng.chance(200), ..like };
    revised.steps.push(new);
    revised.steps[usize::from(step.0)].after = vec![place];
    revision.added.insert(place);
    revision.changed.insert(step);
}

fn task(name: &str) -> TaskName {
    TaskName::parse(name).expect("a valid name")
}
