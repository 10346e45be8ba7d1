//! Which steps are ready, computed anew from committed rows: the reference that the cell's own queue is compared with.
//!
//! A task is ready if its run is running, the steps before it are final, its condition has been answered with yes, and it
//! has no row, one that says `Ready`, or one of a backoff that is over; a call of a model, once its prompt is counted. Items of a map begin in order, so many at a time; compensations one at a
//! time, the step that was completed last first.

use std::collections::BTreeMap;

use fairlane_core::id::PoolName;
use fairlane_core::plan::{Step, StepIndex, StepKind, Workflow};
use fairlane_core::replan::Diff;
use fairlane_core::row::{Instance, Part, RunKey, RunRow, RunStatus, StepRow, StepState};
use fairlane_core::time::Time;

use super::answered::{Answered, Asked};
use crate::rows::Rows;

/// A step that waits for a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ready {
    pub(crate) key: RunKey,
    pub(crate) instance: Instance,
    pub(crate) pool: PoolName,
}

/// Where in the cell's life the rows are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    /// The turn that was closed last.
    pub(crate) turn: u64,
    /// The time that the cell knew then.
    pub(crate) clock: Time,
}

/// What was ready when that was asked last, as long as nothing has happened that could change it: most turns change
/// nothing.
#[derive(Debug, Default)]
pub(crate) struct Known(Option<Found>);

#[derive(Debug)]
struct Found {
    ready: Vec<Ready>,
    moment: Moment,
    /// When the next backoff is over.
    until: Time,
    answers: u64,
}

impl Known {
    /// The rows are other ones now.
    pub(crate) fn forget(&mut self) {
        self.0 = None;
    }

    /// All ready steps as they were at that moment.
    pub(crate) fn at(&mut self, moment: Moment, answered: &Answered, rows: &Rows) -> &[Ready] {
        let answers = answered.until(moment.turn);
        let still = |found: &Found| {
            let since = found.moment.clock;
            found.answers == answers && (since..found.until).contains(&moment.clock)
        };
        let known = self.0.take().filter(still);
        &self.0.insert(known.unwrap_or_else(|| find(moment, answers, answered, rows))).ready
    }
}

fn find(moment: Moment, answers: u64, answered: &Answered, rows: &Rows) -> Found {
    let (mut ready, mut until) = (Vec::new(), Time::MAX);
    // Runs of one workflow mostly follow each other.
    let mut known: Option<&Workflow> = None;
    for run in rows.live_runs() {
        let is_it = |known: &&Workflow| {
            let is_plain = run.replans == 0 && known.revised.is_plain();
            is_plain && known.name == run.workflow && known.version == run.version
        };
        known = known.filter(is_it).or_else(|| rows.workflow_of(run).map(|found| &**found));
        let Some(workflow) = known else { continue };
        let applying = rows.applying(&run.key);
        let steps = rows.steps.get(&run.key);
        let planner = rows.planner(&run.key);
        let view = View { steps, run, workflow, answered, moment, applying, planner };
        match run.status {
            RunStatus::Running => view.tasks(&mut ready),
            RunStatus::Compensating => ready.extend(view.compensation()),
            _ => {}
        }
        let backoffs = view.rows().filter_map(|step| match &step.state {
            StepState::Backoff { until, .. } if *until > moment.clock => Some(*until),
            _ => None,
        });
        until = backoffs.min().map_or(until, |over| until.min(over));
    }
    Found { ready, moment, until, answers }
}

struct View<'a> {
    steps: Option<&'a BTreeMap<Instance, StepRow>>,
    run: &'a RunRow,
    workflow: &'a Workflow,
    answered: &'a Answered,
    moment: Moment,
    /// What was stopped for a new plan holds up what comes after it.
    applying: Option<&'a Diff>,
    /// Of all steps that plan, the one whose turn it is.
    planner: Option<StepIndex>,
}

impl View<'_> {
    fn tasks(&self, ready: &mut Vec<Ready>) {
        for (index, step) in self.workflow.indexed() {
            let Some(pool) = step.kind.pool() else { continue };
            if !self.workflow.has(index) && self.planner != Some(index) {
                continue;
            }
            let mut instances = match &step.map {
                None => self.whole(index, step).into_iter().collect(),
                Some(map) => self.items(index, map.parallel),
            };
            if matches!(step.kind, StepKind::Model(_)) {
                instances.retain(|instance| self.has_passed(*instance, Asked::Prompt));
            }
            ready.extend(instances.into_iter().map(|instance| self.found(instance, pool)));
        }
    }

    fn whole(&self, index: StepIndex, step: &Step) -> Option<Instance> {
        let instance = Instance { step: index, part: Part::Whole };
        let is_ready = match self.row(instance) {
            Some(row) => self.is_back(&row.state),
            None => {
                step.after.iter().all(|before| self.is_final(*before))
                    && (step.when.is_none() || self.has_passed(instance, Asked::When))
            }
        };
        is_ready.then_some(instance)
    }

    fn items(&self, index: StepIndex, parallel: u32) -> Vec<Instance> {
        let item = |at| Instance { step: index, part: Part::Item(at) };
        let whole = self.row(Instance { step: index, part: Part::Whole });
        let Some(StepState::Mapping { items }) = whole.map(|row| &row.state) else {
            return Vec::new();
        };
        let state = |at: &u32| self.row(item(*at)).map(|row| &row.state);
        let done = (0..*items).filter(|at| state(at).is_some_and(StepState::is_final)).count();
        let begun = u32::try_from(done).unwrap_or(u32::MAX).saturating_add(parallel).min(*items);
        let is_ready = |at: &u32| state(at).is_none_or(|state| self.is_back(state));
        (0..begun).filter(is_ready).map(item).collect()
    }

    /// The one compensation that is under way, if it waits for a slot.
    fn compensation(&self) -> Option<Ready> {
        let undo = |step| Instance { step, part: Part::Compensation };
        let open = self.rows().filter(|row| row.instance.part == Part::Compensation);
        let instance = match open.filter(|row| !row.state.is_final()).last() {
            Some(row) if self.is_back(&row.state) => row.instance,
            Some(_) => return None,
            None => {
                let done = self
                    .rows()
                    .filter(|row| row.instance.part == Part::Whole && row.state == StepState::Done);
                let left = done.filter(|row| {
                    self.workflow.step(row.instance.step).compensate.is_some()
                        && self.row(undo(row.instance.step)).is_none()
                });
                undo(left.max_by_key(|row| (row.since, row.instance.step))?.instance.step)
            }
        };
        let pool = &self.workflow.step(instance.step).compensate.as_ref()?.pool;
        Some(self.found(instance, pool))
    }

    fn has_passed(&self, instance: Instance, asked: Asked) -> bool {
        self.answered.has_passed(&self.run.key, (instance, asked), self.moment.turn)
    }

    /// Ready again, after an attempt that came to nothing.
    fn is_back(&self, state: &StepState) -> bool {
        match state {
            StepState::Ready => true,
            StepState::Backoff { until, .. } => *until <= self.moment.clock,
            _ => false,
        }
    }

    fn is_final(&self, step: StepIndex) -> bool {
        let whole = self.row(Instance { step, part: Part::Whole });
        let name = &self.workflow.step(step).name;
        // One that has called a run fails with it: it is stopped all the same.
        let is_stopped = |state: &StepState| {
            self.applying.is_some_and(|diff| {
                let is_named = diff.redone.contains(name) || diff.dropped.contains(name);
                is_named || *state == StepState::Cancelled
            })
        };
        whole.is_some_and(|row| row.state.is_final() && !is_stopped(&row.state))
    }

    fn row(&self, instance: Instance) -> Option<&StepRow> {
        self.steps?.get(&instance)
    }

    fn rows(&self) -> impl Iterator<Item = &StepRow> {
        self.steps.into_iter().flat_map(BTreeMap::values)
    }

    fn found(&self, instance: Instance, pool: &PoolName) -> Ready {
        Ready { key: self.run.key.clone(), instance, pool: pool.clone() }
    }
}
