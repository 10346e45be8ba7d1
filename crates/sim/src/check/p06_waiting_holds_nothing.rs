//! P6 and P9: what the cell says it holds is what the rows say is leased, and what it says waits is what is ready;
//! neither more nor less, while everything runs and when all is over.

use std::collections::BTreeMap;

use fairlane_core::cell::effect::{
    Phase, PoolView, Response, RunView, StepView, TenantView, ValveView, Waiting,
};
use fairlane_core::row::{Part, RunRow, RunStatus, StepState};

use super::p01_caps::Caps;
use super::ready::Ready;
use crate::rows::Rows;
use crate::violation::{Verdict, holds};

const PROMISE: &str = "P6 waiting holds nothing";

/// Compares an answer with the rows it was given about.
pub(crate) fn probed(response: &Response, caps: &Caps, ready: &[Ready], rows: &Rows) -> Verdict {
    match response {
        Response::Pools(pools) => pools.iter().try_for_each(|pool| agrees_pool(pool, caps, ready)),
        Response::Tenants(tenants) => {
            tenants.iter().try_for_each(|tenant| agrees_tenant(tenant, caps, ready, rows))
        }
        Response::Valve(valve) => agrees_valve(valve, rows),
        Response::Explained(run) => agrees_run(run, ready, rows),
        _ => Ok(()),
    }
}

/// With no run live, nothing is held.
pub(crate) fn emptied(rows: &Rows) -> Verdict {
    let leased: Vec<_> = rows
        .steps
        .values()
        .flat_map(BTreeMap::values)
        .filter(|step| matches!(step.state, StepState::Leased { .. }))
        .collect();
    holds(leased.is_empty(), "P9 nothing leaks", || format!("leased rows: {leased:?}"))
}

fn agrees_pool(view: &PoolView, caps: &Caps, ready: &[Ready]) -> Verdict {
    let waiting = ready.iter().filter(|step| step.pool == view.pool).count() as u64;
    holds(view.in_flight == caps.in_pool(&view.pool), PROMISE, || {
        format!("{} steps are leased, but {view:?}", caps.in_pool(&view.pool))
    })?;
    holds(view.waiting == waiting, PROMISE, || format!("{waiting} steps are ready, but {view:?}"))
}

fn agrees_tenant(view: &TenantView, caps: &Caps, ready: &[Ready], rows: &Rows) -> Verdict {
    let slots: u32 = rows.pools.keys().map(|pool| caps.of_tenant(pool, &view.tenant)).sum();
    holds(view.slots == slots, PROMISE, || format!("{slots} slots are leased, but {view:?}"))?;
    let waiting = ready.iter().filter(|step| step.key.tenant == view.tenant).count();
    holds(view.waiting as usize == waiting, PROMISE, || {
        format!("{waiting} steps are ready, but {view:?}")
    })?;
    let live = rows.live_runs().filter(|run| run.key.tenant == view.tenant).count();
    holds(view.live_runs == live as u64, PROMISE, || format!("{live} runs are live, but {view:?}"))
}

fn agrees_valve(view: &ValveView, rows: &Rows) -> Verdict {
    let live = rows.live_runs().count() as u64;
    let bytes: u64 = rows.live_runs().map(|run| u64::from(run.input_bytes)).sum();
    holds(view.live_runs == live && view.waiting_bytes == bytes, PROMISE, || {
        format!("{live} runs of {bytes} bytes are live, but {view:?}")
    })
}

/// What explains a run says the same as its rows, and names a cause for all that waits.
fn agrees_run(view: &RunView, ready: &[Ready], rows: &Rows) -> Verdict {
    let Some(run) = rows.runs.iter().find(|(key, _)| key.run == view.run).map(|(_, run)| run)
    else {
        return holds(false, PROMISE, || format!("no row of {view:?}"));
    };
    holds(run.status == view.status, PROMISE, || format!("{run:?} is shown as {view:?}"))?;
    view.steps.iter().try_for_each(|step| {
        let stored = rows.step(&run.key, step.instance).map(|row| &row.state);
        let is_queued = ready.iter().any(|at| at.key == run.key && at.instance == step.instance);
        // What was never begun of a plan, and is no part of it any more, has no row.
        let is_left_out = step.phase == Phase::Cancelled
            && stored.is_none()
            && rows.workflow_of(run).is_some_and(|plan| !plan.has(step.instance.step));
        let agrees = is_left_out || agrees_phase(step, stored, is_queued, run);
        holds(agrees, PROMISE, || {
            format!("{step:?} is shown for {stored:?}, ready {is_queued}, in {run:?}")
        })?;
        let is_final =
            matches!(step.phase, Phase::Done | Phase::Skipped | Phase::Failed | Phase::Cancelled);
        holds(is_final == step.waits.is_none(), "P13 explain", || format!("{step:?} of {run:?}"))
    })
}

fn agrees_phase(
    step: &StepView,
    stored: Option<&StepState>,
    is_queued: bool,
    run: &RunRow,
) -> bool {
    // Items that were not reached when their map was called off have no row either.
    let is_item = matches!(step.instance.part, Part::Item(_));
    match (step.phase, stored) {
        // A new owner has the prompt of a call counted again.
        (Phase::Pending | Phase::Evaluating, None)
        | (Phase::Evaluating, Some(StepState::Ready | StepState::Backoff { .. })) => !is_queued,
        (Phase::Ready, None | Some(StepState::Ready | StepState::Backoff { .. })) => {
            is_queued
                || run.status == RunStatus::Paused
                || matches!(step.waits, Some(Waiting::Place(_)))
        }
        (Phase::Cancelled, None) => run.outcome.is_some() || is_item,
        (Phase::Leased, Some(StepState::Leased { .. }))
        | (Phase::Backoff, Some(StepState::Backoff { .. }))
        | (Phase::Sleeping, Some(StepState::Sleeping { .. }))
        | (Phase::Listening, Some(StepState::Listening { .. }))
        | (Phase::Calling, Some(StepState::Calling { .. }))
        | (Phase::Reviewing, Some(StepState::Reviewing { .. }))
        | (Phase::Mapping, Some(StepState::Mapping { .. }))
        | (Phase::Disputed, Some(StepState::Disputed { .. }))
        | (Phase::Proposed | Phase::Evaluating, Some(StepState::Proposed))
        | (Phase::Done, Some(StepState::Done))
        | (Phase::Skipped, Some(StepState::Skipped))
        | (Phase::Failed, Some(StepState::Failed { .. }))
        | (Phase::Cancelled, Some(StepState::Cancelled)) => true,
        _ => false,
    }
}
