//! P14: with a run that comes in, and with a lease that money is held for or that goes somewhere, the tenant's log says so in the
//! same turn; and with what nobody decided it does not.

use std::collections::{BTreeMap, BTreeSet};

use fairlane_core::cell::change::Change;
use fairlane_core::id::TenantId;
use fairlane_core::row::{Decision, RunKey, StepState};

use crate::violation::{Verdict, holds};

pub(crate) const PROMISE: &str = "P14 audit";

#[derive(Debug, Default)]
pub(crate) struct Audit {
    known: BTreeSet<RunKey>,
    /// The newest lease that was ever given.
    fence: u64,
}

/// What happened, or is said to have happened, how often: by tenant, run and code.
type Tally = BTreeMap<(TenantId, String, &'static str), u32>;

impl Audit {
    pub(crate) fn committed(&mut self, changes: &[Change]) -> Verdict {
        let (mut done, mut said) = (Tally::new(), Tally::new());
        let mut newest = self.fence;
        for change in changes {
            match change {
                Change::Run(row) if self.known.insert(row.key.clone()) => {
                    count(&mut done, &row.key, "admitted");
                }
                Change::Step(row) if row.fence > self.fence => {
                    newest = newest.max(row.fence);
                    if let StepState::Leased { hold, route, .. } = &row.state
                        && (hold.is_some() || route.is_some())
                    {
                        count(&mut done, &row.key, "passed");
                    }
                }
                Change::Decision(decision) => note(&mut said, decision),
                _ => {}
            }
        }
        self.fence = newest;
        for (what, times) in &done {
            let found = said.get(what).copied().unwrap_or(0);
            holds(found >= *times, PROMISE, || {
                format!("{what:?} happened {times} times, and is {found} times in the log")
            })?;
        }
        for (what, times) in said.iter().filter(|((.., code), _)| *code == "admitted") {
            let found = done.get(what).copied().unwrap_or(0);
            holds(found == *times, PROMISE, || {
                format!("{what:?} is {times} times in the log, and happened {found} times")
            })?;
        }
        Ok(())
    }
}

fn count(tally: &mut Tally, key: &RunKey, code: &'static str) {
    *tally.entry((key.tenant.clone(), key.run.to_string(), code)).or_default() += 1;
}

fn note(tally: &mut Tally, decision: &Decision) {
    let code = match &*decision.code {
        "admitted" => "admitted",
        "held" | "routed" => "passed",
        _ => return,
    };
    let facts: serde_json::Value = serde_json::from_str(&decision.facts).unwrap_or_default();
    if let (Some(tenant), Some(run)) = (&decision.tenant, facts["run"].as_str()) {
        *tally.entry((tenant.clone(), run.to_owned(), code)).or_default() += 1;
    }
}
