//! P7: a provider that is left alone is called by nobody until the time that the decision log names, and after that by one
//! at a time, until the log says that it serves again.

use std::collections::BTreeMap;

use fairlane_core::cell::change::Change;
use fairlane_core::id::ToolName;
use fairlane_core::row::{Decision, Part, StepRow, StepState};
use fairlane_core::time::Time;

use crate::rows::Rows;
use crate::violation::{Verdict, holds};

pub(crate) const PROMISE: &str = "P7 circuit";

#[derive(Debug, Default)]
pub(crate) struct Circuits {
    /// Tools that are shut, by name.
    shut: BTreeMap<String, Shut>,
    /// The newest lease that was ever given.
    fence: u64,
}

#[derive(Debug)]
struct Shut {
    until: Time,
    /// The call that tries it, by its lease's fence or its own number, which are never the same.
    trial: Option<u64>,
}

impl Circuits {
    /// A new owner calls all tools until it is told not to.
    pub(crate) fn reloaded(&mut self) {
        self.shut.clear();
    }

    pub(crate) fn follow(&mut self, change: &Change, rows: &Rows) -> Verdict {
        match change {
            Change::Decision(entry) => {
                self.decided(entry);
                Ok(())
            }
            Change::Call(row) if row.ended.is_none() => {
                self.begins(&row.endpoint, row.id, row.began)
            }
            Change::Call(row) => {
                self.over(row.id);
                Ok(())
            }
            Change::Step(step) => match step.state {
                StepState::Leased { .. } if step.fence > self.fence => {
                    self.fence = step.fence;
                    self.called(step, rows)
                }
                StepState::Leased { .. } => Ok(()),
                _ => {
                    self.over(step.fence);
                    Ok(())
                }
            },
            _ => Ok(()),
        }
    }

    fn decided(&mut self, entry: &Decision) {
        let facts: serde_json::Value = serde_json::from_str(&entry.facts).unwrap_or_default();
        let Some(tool) = facts["tool"].as_str() else { return };
        match &*entry.code {
            "tool-shut" => {
                let until = Time(facts["until"].as_u64().unwrap_or(0));
                let shut = self.shut.entry(tool.to_owned()).or_insert(Shut { until, trial: None });
                shut.until = until;
            }
            "tool-open" => drop(self.shut.remove(tool)),
            _ => {}
        }
    }

    fn called(&mut self, step: &StepRow, rows: &Rows) -> Verdict {
        if step.instance.part == Part::Compensation {
            return Ok(());
        }
        let Some(run) = rows.runs.get(&step.key) else { return Ok(()) };
        let Some(plan) = rows.workflow_of(run) else { return Ok(()) };
        let endpoint = match &step.state {
            StepState::Leased { route, .. } => route.as_deref().map(|route| &route.endpoint),
            _ => None,
        };
        let tool = endpoint.or(plan.step(step.instance.step).tool.as_ref());
        let Some(tool) = tool else { return Ok(()) };
        self.begins(tool, step.fence, step.since)
    }

    /// A call of a lease, or of the gateway.
    fn begins(&mut self, tool: &ToolName, call: u64, since: Time) -> Verdict {
        let Some(shut) = self.shut.get_mut(tool.as_str()) else { return Ok(()) };
        holds(since >= shut.until && shut.trial.is_none(), PROMISE, || {
            format!("{call} calls {tool} at {since}, which is {shut:?}")
        })?;
        shut.trial = Some(call);
        Ok(())
    }

    fn over(&mut self, fence: u64) {
        for shut in self.shut.values_mut().filter(|shut| shut.trial == Some(fence)) {
            shut.trial = None;
        }
    }
}
