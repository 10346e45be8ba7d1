//! P8 and P9: what is posted to a run is what its attempts have cost. An attempt that calls a model has exactly one row of
//! that call once it is settled, and none if nothing was sent: with the price that was in force when it was let through, at
//! what its worker says was used, or with what was held for it if nobody says. A call of the gateway is written before anyone
//! is told of it, ends once, by its own end or with the lease that it was made under, and outlives neither that lease nor its
//! server.

use std::collections::{BTreeMap, BTreeSet};

use fairlane_core::catalog::{Metered, Usage};
use fairlane_core::cell::change::Change;
use fairlane_core::cell::effect::{Effect, Response};
use fairlane_core::cell::input::{Input, Outcome};
use fairlane_core::id::TenantId;
use fairlane_core::money::Nano;
use fairlane_core::row::{CallAttempt, CallRow, Route, RunKey, StepRow, StepState};

use super::p08_money::run_of;
use crate::rows::Rows;
use crate::violation::{Verdict, Violation, holds};
use crate::worker::Message;

const PROMISE: &str = "P9 cost";
/// Calls and leases are numbered within the epoch of their owner.
const FENCE_BITS: u32 = 40;

/// An amount, and the part of it that nobody has confirmed.
type Cost = (Nano, Nano);

#[derive(Debug, Default)]
pub(crate) struct Costs {
    /// Leases under way, by fence.
    attempts: BTreeMap<u64, Attempt>,
    /// Calls of the gateway under way, by number.
    open: BTreeMap<u64, Open>,
    ended: BTreeSet<(TenantId, u64)>,
    posted: BTreeMap<RunKey, Cost>,
    said: BTreeMap<u64, Said>,
    /// What the gateway said of calls, by tenant and number.
    closed: BTreeMap<(TenantId, u64), Vec<Metered>>,
    /// The number of the newest call.
    newest: u64,
}

#[derive(Debug)]
struct Open {
    row: CallRow,
    /// As the gateway was told.
    route: Option<Route>,
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
    /// A worker's message is at the host's door: a host that passes other numbers on cannot hide that.
    pub(crate) fn said(&mut self, message: &Message) {
        for report in &message.reports {
            if let Outcome::Called(called) = &report.outcome {
                let said = self.said.entry(report.lease.fence).or_default();
                said.metered.push(called.metered);
            }
        }
    }

    pub(crate) fn stepped(&mut self, input: &Input) {
        match input {
            Input::CloseCall(close) => {
                let of = self.closed.entry((close.tenant.clone(), close.call)).or_default();
                of.push(close.metered);
            }
            Input::Undelivered(leases) => {
                for lease in leases {
                    self.said.entry(lease.fence).or_default().is_unsent = true;
                }
            }
            Input::Exchange(exchange) => {
                for report in &exchange.reports {
                    let said = self.said.entry(report.lease.fence).or_default();
                    match &report.outcome {
                        Outcome::Heartbeat | Outcome::Called(_) => {}
                        Outcome::NotSent(_) => said.is_unsent = true,
                        Outcome::Completed { cost, .. }
                        | Outcome::Failed { cost, .. }
                        | Outcome::Contradicted { cost, .. } => {
                            said.costs.insert(*cost);
                        }
                    }
                }
            }
            _ => {}
        }
    }

    /// One turn. The rows are those after it.
    pub(crate) fn committed(&mut self, epoch: u64, changes: &[Change], rows: &Rows) -> Verdict {
        let mut possible = Possible::new();
        let mut calls = BTreeMap::new();
        for change in changes {
            match change {
                Change::Call(row) if row.ended.is_none() => self.opens(row)?,
                Change::Call(row) => {
                    self.ends(row)?;
                    if let Some(open) = self.open.remove(&row.id) {
                        let closed = self.closed.remove(&(row.tenant.clone(), row.id));
                        let costs = open.costs(row, &closed.unwrap_or_default())?;
                        if let Some(run) = run_of(row) {
                            add(&mut possible, &run, &costs);
                        }
                    } else {
                        calls.insert(row.id, &**row);
                    }
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
        self.open.values().try_for_each(|open| self.may_be_open(open, epoch))?;
        possible.iter().try_for_each(|(run, costs)| self.posted(run, costs, rows))
    }

    /// Who is told that a call may be made finds it written, and all that it may cost held.
    pub(crate) fn released(&mut self, effect: &Effect, rows: &Rows) -> Verdict {
        let Effect::Reply(_, Response::Opened { call, route, .. }) = effect else { return Ok(()) };
        let row = rows.calls.values().find(|row| row.id == *call);
        let Route { input, output, .. } = **route;
        let most = route.cost(Usage { input, cached: 0, output });
        let is_its = row.is_some_and(|row| {
            (&row.model, &row.endpoint) == (&route.model, &route.endpoint)
                && (&row.upstream, row.rung) == (&route.upstream, route.rung)
                && row.hold.as_ref().is_none_or(|hold| hold.amount == most)
                && (row.hold.is_some() || row.ended.is_some())
        });
        holds(is_its, PROMISE, || format!("call {call} may go {route:?}, and is {row:?}"))?;
        if let Some(open) = self.open.get_mut(call) {
            open.route = Some((**route).clone());
        }
        Ok(())
    }

    /// No run is live, and nobody calls.
    pub(crate) fn emptied(&self) -> Verdict {
        holds(self.open.is_empty(), PROMISE, || format!("{:?} are under way", self.open))
    }

    fn opens(&mut self, row: &CallRow) -> Verdict {
        holds(row.id > self.newest && row.hold.is_some(), PROMISE, || {
            format!("{row:?} begins after call {}", self.newest)
        })?;
        self.newest = row.id;
        self.open.insert(row.id, Open { row: row.clone(), route: None });
        Ok(())
    }

    fn ends(&mut self, row: &CallRow) -> Verdict {
        let is_new = self.ended.insert((row.tenant.clone(), row.id));
        holds(is_new, PROMISE, || format!("{row:?} had ended already"))
    }

    /// Its server lives, and the lease that it is made under is one.
    fn may_be_open(&self, open: &Open, epoch: u64) -> Verdict {
        let row = &open.row;
        holds(row.id >> FENCE_BITS == epoch, PROMISE, || {
            format!("{row:?} is under way in epoch {epoch}")
        })?;
        let Some(made_for) = row.attempt else { return Ok(()) };
        let is_its = |attempt: &Attempt| {
            let step = &attempt.step;
            let (run, instance, attempt) = (step.key.run, step.instance, step.attempt);
            step.key.tenant == row.tenant && made_for == CallAttempt { run, instance, attempt }
        };
        holds(self.attempts.values().any(is_its), PROMISE, || {
            format!("{row:?} has outlived its lease")
        })
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
            format!("{before:?}, then {now:?} is posted to {run:?}, which was to cost {costs:?}")
        })
    }
}

impl Open {
    /// What it may have cost.
    fn costs(&self, row: &CallRow, closed: &[Metered]) -> Result<Vec<Cost>, Violation> {
        let begun = CallRow {
            ended: row.ended,
            metered: row.metered,
            cost: row.cost,
            hold: None,
            ..self.row.clone()
        };
        let held = self.row.hold.as_ref().map_or(Nano::ZERO, |hold| hold.amount);
        let Metered { usage, is_certain } = row.metered;
        let is_told = closed.first() == Some(&row.metered)
            && self.route.as_ref().is_some_and(|route| route.cost(usage) == row.cost);
        let is_lost = row.metered == Metered::default() && row.cost == held;
        holds(*row == begun && (is_told || is_lost), PROMISE, || {
            format!("{row:?} is the end of {self:?}, of which was said {closed:?}")
        })?;
        Ok(vec![(row.cost, if is_certain { Nano::ZERO } else { row.cost })])
    }
}

impl Attempt {
    /// What it may have cost.
    fn costs(&self, said: &Said, call: Option<&CallRow>) -> Result<Vec<Cost>, Violation> {
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
