//! P10: nothing of a run goes to a tool or an endpoint outside of where its tenant's data may be, nor to one that is denied:
//! by the rules in force, and by those that the run was admitted under. A lease that breaks them is never renewed.
//!
//! Where things are is looked up here in a list of its own, not in the one that decided.

use fairlane_core::cell::change::Change;
use fairlane_core::cell::effect::{Effect, Receipt};
use fairlane_core::id::{RegionName, TenantId, ToolName};
use fairlane_core::residency::{Declaration, Location, Residency, Storage};
use fairlane_core::row::{CallRow, Part, RunKey, StepRow, StepState};
use fairlane_core::tenant::Context;

use crate::rows::Rows;
use crate::violation::{Verdict, holds};

const PROMISE: &str = "P10";

#[derive(Debug, Default)]
pub(crate) struct Bounds {
    /// The turn changed what may be where: what it renewed before that was right.
    is_changed: bool,
}

impl Bounds {
    pub(crate) fn committed(&mut self, changes: &[Change], rows: &Rows) -> Verdict {
        self.is_changed = changes.iter().any(|change| {
            matches!(change, Change::Tenant(..) | Change::Tool(_) | Change::Residency(_))
        });
        leased(changes, rows)?;
        if self.is_changed { Ok(()) } else { called(changes, rows) }
    }

    /// What workers are told of their leases.
    pub(crate) fn closed(&self, effects: &[Effect], rows: &Rows) -> Verdict {
        if self.is_changed { Ok(()) } else { renewed(effects, rows) }
    }
}

fn leased(changes: &[Change], rows: &Rows) -> Verdict {
    for change in changes {
        match change {
            Change::Step(step) if matches!(step.state, StepState::Leased { .. }) => {
                let Some(tool) = tool_of(step, rows) else { continue };
                may(&step.key.tenant, Some(&step.key), &tool, rows)?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn called(changes: &[Change], rows: &Rows) -> Verdict {
    changes.iter().try_for_each(|change| match change {
        Change::Call(call) if call.ended.is_none() => own_call(call, rows),
        _ => Ok(()),
    })
}

fn renewed(effects: &[Effect], rows: &Rows) -> Verdict {
    let exchanged = effects.iter().filter_map(|effect| match effect {
        Effect::Exchanged(_, exchanged) => Some(exchanged),
        _ => None,
    });
    for (lease, receipt) in exchanged.flat_map(|exchanged| &exchanged.receipts) {
        if *receipt != Receipt::Renewed {
            continue;
        }
        let Some(step) = rows.steps.get(&lease.key).and_then(|of| of.get(&lease.instance)) else {
            continue;
        };
        if step.fence == lease.fence
            && matches!(step.state, StepState::Leased { .. })
            && let Some(tool) = tool_of(step, rows)
        {
            may(&step.key.tenant, Some(&step.key), &tool, rows)?;
        }
    }
    Ok(())
}

fn own_call(call: &CallRow, rows: &Rows) -> Verdict {
    let run = call.attempt.map(|attempt| RunKey { tenant: call.tenant.clone(), run: attempt.run });
    may(&call.tenant, run.as_ref(), &call.endpoint, rows)
}

/// The tool that a leased step uses.
fn tool_of(step: &StepRow, rows: &Rows) -> Option<ToolName> {
    if step.instance.part == Part::Compensation {
        return None;
    }
    if let StepState::Leased { route: Some(route), .. } = &step.state {
        return Some(route.endpoint.clone());
    }
    let run = rows.runs.get(&step.key)?;
    rows.workflow_of(run)?.step(step.instance.step).tool.clone()
}

/// Whether a run may use a tool.
pub(crate) fn may_use(run: &RunKey, tool: &ToolName, rows: &Rows) -> bool {
    may(&run.tenant, Some(run), tool, rows).is_ok()
}

/// Whether a person in that region may read what a run is about.
pub(crate) fn may_read(run: &RunKey, region: Option<&RegionName>, rows: &Rows) -> bool {
    let newest = rows.context(&run.tenant);
    let pinned =
        rows.runs.get(run).and_then(|row| rows.contexts.get(&run.tenant)?.get(&row.context));
    newest.into_iter().chain(pinned).all(|context| match &context.rules.data_residency {
        None => true,
        Some(residency) => region.is_some_and(|region| is_in(residency, region, rows)),
    })
}

fn may(tenant: &TenantId, run: Option<&RunKey>, tool: &ToolName, rows: &Rows) -> Verdict {
    let newest = rows.context(tenant);
    let pinned = run.and_then(|key| {
        let run = rows.runs.get(key)?;
        rows.contexts.get(tenant)?.get(&run.context)
    });
    for context in newest.into_iter().chain(pinned) {
        let is_denied = context.rules.denied_tools.contains(tool);
        holds(!is_denied && is_inside(context, tool, rows), PROMISE, || {
            format!("{tool} of {run:?} is forbidden by version {} of {tenant}", context.version)
        })?;
    }
    Ok(())
}

fn is_inside(context: &Context, tool: &ToolName, rows: &Rows) -> bool {
    let Some(residency) = &context.rules.data_residency else { return true };
    let Some(Location { region: Some(region), storage: Some(storage), .. }) =
        rows.tools.get(tool).map(|tool| &tool.location)
    else {
        return false;
    };
    let is_kept_inside = match storage {
        Storage::Nothing => true,
        Storage::Region(kept) => is_in(residency, kept, rows),
    };
    is_in(residency, region, rows) && is_kept_inside
}

fn is_in(residency: &Residency, region: &RegionName, rows: &Rows) -> bool {
    match region.as_str() {
        "eu-west-1" | "eu-central-1" => true,
        "ap-northeast-1" => {
            let is_named = residency.adequate.iter().any(|country| country.as_str() == "JP");
            let adequacy = rows.residency.get(&("adequacy", "JP".to_owned()));
            let is_on = matches!(adequacy, Some(Declaration::Adequacy(on)) if !on.suspended);
            is_named && is_on
        }
        _ => false,
    }
}
