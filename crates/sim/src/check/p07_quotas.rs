//! P7: in no window more is called than a rule allows, and never more at once, by a tenant or by all of them. Counted anew
//! from the leases that are given.

use std::collections::{BTreeMap, BTreeSet};

use fairlane_core::calendar::Window;
use fairlane_core::cell::change::Change;
use fairlane_core::cell::input::Input;
use fairlane_core::id::{TenantId, ToolName};
use fairlane_core::quota::Rule;
use fairlane_core::row::{Part, StepRow, StepState};
use fairlane_core::time::Time;

use crate::rows::Rows;
use crate::violation::{Verdict, holds};

/// A rule of a tenant, or of a tool's provider.
type Holder = (ToolName, Option<TenantId>, String);

#[derive(Debug, Default)]
pub(crate) struct Quotas {
    /// Leases under way, by fence, with the rules that they count for and their windows.
    calls: BTreeMap<u64, Vec<(Holder, Option<Time>)>>,
    windows: BTreeMap<(Holder, Time), u64>,
    at_once: BTreeMap<Holder, u64>,
    undelivered: BTreeSet<u64>,
}

impl Quotas {
    pub(crate) fn stepped(&mut self, input: &Input) {
        if let Input::Undelivered(leases) = input {
            self.undelivered.extend(leases.iter().map(|lease| lease.fence));
        }
    }

    /// One change of a turn, whose rows are those after it.
    pub(crate) fn follow(&mut self, change: &Change, rows: &Rows) -> Verdict {
        match change {
            Change::Step(step) => {
                if let StepState::Leased { .. } = step.state {
                    self.called(step, rows)
                } else {
                    self.over(step.fence);
                    Ok(())
                }
            }
            // A provider's rule that is gone has counted nothing when it comes again.
            Change::Tool(tool) => {
                let labels: BTreeSet<String> = tool.limits.iter().map(Rule::label).collect();
                let is_kept = |(of, tenant, label): &Holder| {
                    *of != tool.name || tenant.is_some() || labels.contains(label)
                };
                self.windows.retain(|(holder, _), _| is_kept(holder));
                self.at_once.retain(|holder, _| is_kept(holder));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn called(&mut self, step: &StepRow, rows: &Rows) -> Verdict {
        if step.instance.part == Part::Compensation || self.calls.contains_key(&step.fence) {
            return Ok(());
        }
        let Some(run) = rows.runs.get(&step.key) else { return Ok(()) };
        let Some(plan) = rows.workflows.get(&(run.workflow.clone(), run.version)) else {
            return Ok(());
        };
        let Some(tool) = &plan.step(step.instance.step).tool else { return Ok(()) };
        let mut counted = Vec::new();
        for (tenant, rule) in rules(tool, &step.key.tenant, rows) {
            let holder = (tool.clone(), tenant, rule.label());
            let (of, count, window) = match rule {
                Rule::Window { units, every, time_zone, .. } => {
                    let start = Window::at(step.since, *every, time_zone).start;
                    let count = self.windows.entry((holder.clone(), start)).or_default();
                    (*units, count, Some(start))
                }
                Rule::Concurrent { calls } => {
                    (u64::from(*calls), self.at_once.entry(holder.clone()).or_default(), None)
                }
                Rule::Bucket { .. } => continue,
            };
            *count += 1;
            holds(*count <= of, "P7 quota", || {
                format!("{step:?} is number {count} of {holder:?}, which allows {of}")
            })?;
            counted.push((holder, window));
        }
        self.calls.insert(step.fence, counted);
        Ok(())
    }

    /// The lease is over. What never left counts in no window.
    fn over(&mut self, fence: u64) {
        let never_left = self.undelivered.remove(&fence);
        for (holder, window) in self.calls.remove(&fence).unwrap_or_default() {
            match window {
                None => less(self.at_once.get_mut(&holder)),
                Some(start) if never_left => less(self.windows.get_mut(&(holder, start))),
                Some(_) => {}
            }
        }
    }
}

fn less(count: Option<&mut u64>) {
    if let Some(count) = count {
        *count = count.saturating_sub(1);
    }
}

/// The rules that a call meets now: the tenant's own and the provider's.
fn rules<'a>(
    tool: &ToolName,
    tenant: &TenantId,
    rows: &'a Rows,
) -> impl Iterator<Item = (Option<TenantId>, &'a Rule)> + use<'a> {
    let class = rows.context(tenant).and_then(|context| context.budget_class.as_ref());
    let own = class.and_then(|class| rows.classes.get(class)?.quotas.get(tool));
    let shared = rows.tools.get(tool).map(|tool| &tool.limits);
    let tenant = tenant.clone();
    let own = own.into_iter().flatten().map(move |rule| (Some(tenant.clone()), rule));
    own.chain(shared.into_iter().flatten().map(|rule| (None, rule)))
}
