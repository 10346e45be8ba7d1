//! P8 and P9: what is posted to a run is what its attempts have cost. An attempt that calls a model has exactly one row of
//! that call once it is settled, and none if nothing was sent: with the price that was in force when it was let through, at
//! what its worker says was used, or with what was held for it if nobody says.

use std::collections::{BTreeMap, BTreeSet};

use fairlane_core::catalog::{Metered, Usage};
use fairlane_core::cell::change::Change;
use fairlane_core::cell::input::{Input, Outcome};
use fairlane_core::id::TenantId;
use fairlane_core::money::Nano;
use fairlane_core::row::{CallAttempt, CallRow, Route, RunKey, StepRow, StepState};

use crate::rows::Rows;
use crate::violation::{Verdict, holds};

const PROMISE: &str = "P9 cost";

/// An amount, and the part of it that nobody has confirmed.
type Cost = (Nano, Nano);

#[derive(Debug, Default)]
pub(crate) struct Costs {
    /// Leases under way, by fence.
    attempts: BTreeMap<u64, Attempt>,
    ended: BTreeSet<(TenantId, u64)>,
    posted: BTreeMap<RunKey, Cost>,
    said: BTreeMap<u64, Said>,
}

#[derive(Debug)]
struct Attempt {
    step: StepRow,
    hold: Nano,
    route: Option<Route>,
}

/// What was said of a lease, by whoever it was.
#[derive(Debug, Default)]
struct Said {
    is_unsent: bool,
    /// What it cost, in words of a worker that calls no models; `None`: what was held.
    costs: BTreeSet<Option<Nano>>,
    metered: Vec<Metered>,
}

/// What the settlements of one turn can have cost each run.
type Possible = BTreeMap<RunKey, BTreeSet<Cost>>;

impl Costs {
    pub(crate) fn stepped(&mut self, input: &Input) {
        match input {
            Input::Undelivered(leases) => {
                for lease in leases {
                    self.said.entry(lease.fence).or_default().is_unsent = true;
                }
            }
            Input::Exchange(exchange) => {
                for report in &exchange.reports {
                    let said = self.said.entry(report.lease.fence).or_default();
                    match &report.outcome {
                        Outcome::Heartbeat => {}
                        Outcome::Called(called) => said.metered.push(called.metered),
                        Outcome::NotSent(_) => said.is_unsent = true,
                        Outcome::Completed { cost, .. } | Outcome::Failed { cost, .. } => {
                            said.costs.insert(*cost);
                        }
                    }
                }
            }
            _ => {}
        }
    }

    /// One turn. The rows are those after it.
    pub(crate) fn committed(&mut self, changes: &[Change], rows: &Rows) -> Verdict {
        let mut possible = Possible::new();
        let mut calls = BTreeMap::new();
        for change in changes {
            match change {
                Change::Call(row) => {
                    self.call(row)?;
                    calls.insert(row.id, &**row);
                }
                Change::Step(step) => {
                    if let StepState::Leased { hold, route, .. } = &step.state {
                        let hold = hold.as_ref().map_or(Nano::ZERO, |hold| hold.amount);
                        let (step, route) = ((**step).clone(), route.as_deref().cloned());
                        self.begins(Attempt { step, hold, route })?;
                    } else if let Some(attempt) = self.attempts.remove(&step.fence) {
                        let said = self.said.remove(&step.fence).unwrap_or_default();
                        let costs = attempt.costs(&said, calls.remove(&step.fence))?;
                        add(&mut possible, &step.key, &costs);
                    }
                }
                Change::Run(run) => add(&mut possible, &run.key, &[(Nano::ZERO, Nano::ZERO)]),
                _ => {}
            }
        }
        if let Some(row) = calls.into_values().next() {
            return holds(false, PROMISE, || format!("no attempt has ended that made {row:?}"));
        }
        possible.iter().try_for_each(|(run, costs)| self.posted(run, costs, rows))
    }

    fn call(&mut self, row: &CallRow) -> Verdict {
        holds(row.ended.is_some(), PROMISE, || format!("{row:?} of an attempt has not ended"))?;
        let is_new = self.ended.insert((row.tenant.clone(), row.id));
        holds(is_new, PROMISE, || format!("{row:?} had ended already"))
    }

    fn begins(&mut self, attempt: Attempt) -> Verdict {
        let most = attempt.route.as_ref().map(|route| {
            let Route { input, output, .. } = *route;
            route.cost(Usage { input, cached: 0, output })
        });
        holds(most.is_none_or(|most| most == attempt.hold), PROMISE, || {
            format!("{attempt:?} may cost {most:?}")
        })?;
        self.attempts.insert(attempt.step.fence, attempt);
        Ok(())
    }

    /// What was posted to the run in the turn is one of these.
    fn posted(&mut self, run: &RunKey, costs: &BTreeSet<Cost>, rows: &Rows) -> Verdict {
        let Some(row) = rows.runs.get(run) else { return Ok(()) };
        let now = (row.money.posted, row.money.uncertain);
        let before = self.posted.insert(run.clone(), now).unwrap_or_default();
        let is_it = |cost: &Cost| now == (before.0.plus(cost.0), before.1.plus(cost.1));
        holds(costs.iter().any(is_it), PROMISE, || {
            format!(
                "{before:?} and then {now:?} is posted to {run:?}, and what was settled cost {costs:?}"
            )
        })
    }
}

impl Attempt {
    /// What it may have cost.
    fn costs(
        &self,
        said: &Said,
        call: Option<&CallRow>,
    ) -> Result<Vec<Cost>, crate::violation::Violation> {
        let nothing = (Nano::ZERO, Nano::ZERO);
        let Some(route) = &self.route else {
            let named = said.costs.iter().map(|cost| (cost.unwrap_or(self.hold), Nano::ZERO));
            let lost = (self.hold, self.hold);
            return Ok(named.chain([lost]).chain(said.is_unsent.then_some(nothing)).collect());
        };
        let Some(row) = call else {
            holds(said.is_unsent, PROMISE, || format!("{self:?} has ended without its call"))?;
            return Ok(vec![nothing]);
        };
        let step = &self.step;
        let (run, instance, attempt) = (step.key.run, step.instance, step.attempt);
        let is_its = row.tenant == step.key.tenant
            && row.attempt == Some(CallAttempt { run, instance, attempt })
            && (&row.model, &row.endpoint) == (&route.model, &route.endpoint)
            && (&row.upstream, row.rung, row.began) == (&route.upstream, route.rung, step.since)
            && row.hold.is_none();
        holds(is_its, PROMISE, || format!("{row:?} is written for {self:?}"))?;
        let Metered { usage, is_certain } = row.metered;
        if said.metered.contains(&row.metered) && row.cost == route.cost(usage) {
            return Ok(vec![(row.cost, if is_certain { Nano::ZERO } else { row.cost })]);
        }
        let is_untold = row.metered == Metered::default();
        let named = said.costs.iter().map(|cost| cost.unwrap_or(self.hold));
        let mut costs: Vec<Cost> = named.map(|cost| (cost, Nano::ZERO)).collect();
        costs.push((self.hold, self.hold));
        costs.retain(|(cost, _)| *cost == row.cost);
        holds(is_untold && !costs.is_empty(), PROMISE, || {
            format!("{row:?} is written for {self:?}, of which was said {said:?}")
        })?;
        Ok(costs)
    }
}

/// One more settlement: each sum so far, with each of its costs.
fn add(possible: &mut Possible, run: &RunKey, costs: &[Cost]) {
    let nothing = || BTreeSet::from([(Nano::ZERO, Nano::ZERO)]);
    let sums = possible.entry(run.clone()).or_insert_with(nothing);
    let with = |sum: &Cost| {
        costs.iter().map(|cost| (sum.0.plus(cost.0), sum.1.plus(cost.1))).collect::<Vec<_>>()
    };
    *sums = sums.iter().flat_map(with).collect();
}
