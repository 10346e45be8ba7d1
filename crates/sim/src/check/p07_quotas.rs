//! P7: in no window more is called than a rule allows, and never more at once, by a tenant or by all of them; and what is
//! stored as counted is that. Counted anew from the leases that are given: a call takes what it is expected to use from the
//! window in which it is sent, and is put right there by what it used, or given back if it was never sent.

use std::collections::{BTreeMap, BTreeSet};

use fairlane_core::calendar::Window;
use fairlane_core::catalog::Metered;
use fairlane_core::cell::change::Change;
use fairlane_core::cell::input::{Input, Outcome};
use fairlane_core::id::{TenantId, ToolName};
use fairlane_core::money::Nano;
use fairlane_core::quota::{Rule, Unit};
use fairlane_core::row::{CallRow, Part, Route, StepRow, StepState, UseRow, Used};
use fairlane_core::time::Time;

use crate::rows::Rows;
use crate::violation::{Verdict, holds};
use crate::worker::NOT_SENT;

const PROMISE: &str = "P7 quota";

/// A rule of a tenant, or of a tool's provider.
type Holder = (ToolName, Option<TenantId>, String);

#[derive(Debug, Default)]
pub(crate) struct Quotas {
    /// Under way, by fence.
    calls: BTreeMap<u64, Call>,
    windows: BTreeMap<(Holder, Time), Count>,
    at_once: BTreeMap<Holder, u64>,
    /// Leases of which somebody said that nothing was sent under them.
    unsent: BTreeSet<u64>,
}

#[derive(Debug)]
struct Call {
    /// What a call of a model takes, and holds; others take no tokens.
    model: Option<(u64, Nano)>,
    /// The rules that it counts for, in which window what.
    counted: Vec<(Holder, Option<(Time, Unit)>)>,
    /// It is from before a restart: what it took stays as it is.
    is_resumed: bool,
}

#[derive(Debug, Default)]
struct Count {
    units: u64,
    /// Nobody outside can tell what was given back: there may be more.
    is_blurred: bool,
}

impl Quotas {
    pub(crate) fn stepped(&mut self, input: &Input) {
        match input {
            Input::Undelivered(leases) => {
                self.unsent.extend(leases.iter().map(|lease| lease.fence));
            }
            Input::Exchange(exchange) => {
                let is_unsent = |outcome: &Outcome| matches!(outcome, Outcome::NotSent(_));
                let unsent = exchange.reports.iter().filter(|report| is_unsent(&report.outcome));
                self.unsent.extend(unsent.map(|report| report.lease.fence));
            }
            _ => {}
        }
    }

    /// A new owner knows what was counted, and not by whom.
    pub(crate) fn reloaded(&mut self) {
        self.calls.values_mut().for_each(|call| call.is_resumed = true);
    }

    /// One turn. The rows are those after it.
    pub(crate) fn committed(&mut self, changes: &[Change], rows: &Rows) -> Verdict {
        let mut ended = BTreeMap::new();
        for change in changes {
            match change {
                Change::Call(row) if row.ended.is_some() => drop(ended.insert(row.id, &**row)),
                Change::Step(step) => match &step.state {
                    StepState::Leased { hold, route, .. } => {
                        let hold = hold.as_ref().map_or(Nano::ZERO, |hold| hold.amount);
                        self.called(step, route.as_deref().map(|route| (route, hold)), rows)?;
                    }
                    state => self.over(step.fence, state, ended.remove(&step.fence)),
                },
                Change::Use(row) => self.stored(row)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn called(&mut self, step: &StepRow, model: Option<(&Route, Nano)>, rows: &Rows) -> Verdict {
        if step.instance.part == Part::Compensation || self.calls.contains_key(&step.fence) {
            return Ok(());
        }
        let run = rows.runs.get(&step.key);
        let Some(plan) = run.and_then(|run| rows.workflow_of(run)) else { return Ok(()) };
        let tool = match model {
            Some((route, _)) => Some(&route.endpoint),
            None => plan.step(step.instance.step).tool.as_ref(),
        };
        let Some(tool) = tool else { return Ok(()) };
        let model = model.map(|(route, hold)| {
            let tokens = u64::from(route.input) + u64::from(route.output);
            (tokens, hold)
        });
        let tokens = model.map_or(0, |(tokens, _)| tokens);
        let mut call = Call { model, counted: Vec::new(), is_resumed: false };
        for (tenant, rule) in rules(tool, &step.key.tenant, rows) {
            let holder = (tool.clone(), tenant, rule.label());
            let (of, count, window, units) = match rule {
                Rule::Window { units, every, time_zone, of } => {
                    let start = Window::at(step.since, *every, time_zone).start;
                    let count = self.windows.entry((holder.clone(), start)).or_default();
                    let taken = if *of == Unit::Tokens { tokens } else { 1 };
                    (*units, &mut count.units, Some((start, *of)), taken)
                }
                Rule::Concurrent { calls } => {
                    let count = self.at_once.entry(holder.clone()).or_default();
                    (u64::from(*calls), count, None, 1)
                }
                Rule::Bucket { .. } => continue,
            };
            *count += units;
            holds(units == 0 || *count <= of, PROMISE, || {
                format!("{step:?} makes it {count} of {holder:?}, which allows {of}")
            })?;
            call.counted.push((holder, window));
        }
        self.calls.insert(step.fence, call);
        Ok(())
    }

    /// The lease is over, and a call of a model with it.
    fn over(&mut self, fence: u64, state: &StepState, ended: Option<&CallRow>) {
        let is_unsent = self.unsent.remove(&fence);
        let Some(call) = self.calls.remove(&fence) else { return };
        let back = match call.model {
            Some((taken, hold)) => back_of_model(taken, hold, ended),
            None if !is_unsent => Back::Nothing,
            None => match state {
                StepState::Failed { failure } if &*failure.class == NOT_SENT => Back::All(0),
                // What was said may have come when the lease was over already.
                _ => Back::Unknown(0),
            },
        };
        for (holder, window) in call.counted {
            let Some((start, of)) = window else {
                let count = self.at_once.entry(holder).or_default();
                *count = count.saturating_sub(1);
                continue;
            };
            if !call.is_resumed {
                let count = self.windows.entry((holder, start)).or_default();
                back.give(of, count);
            }
        }
    }

    fn stored(&self, row: &UseRow) -> Verdict {
        let Used::Window { start, units } = row.used else { return Ok(()) };
        let holder = (row.tool.clone(), row.tenant.clone(), row.rule.to_string());
        let count = self.windows.get(&(holder, start));
        let is_blurred = count.is_some_and(|count| count.is_blurred);
        holds(is_blurred || count.map_or(0, |count| count.units) == units, PROMISE, || {
            format!("{row:?} is stored, but calls took {count:?}")
        })
    }
}

/// What returns to its window.
#[derive(Clone, Copy, Debug)]
enum Back {
    Nothing,
    /// The call, and so many tokens.
    All(u64),
    /// It took so many tokens, and used so many.
    Corrected(u64, u64),
    /// Nothing, or all of these tokens and the call.
    Unknown(u64),
}

impl Back {
    fn give(self, of: Unit, count: &mut Count) {
        let less = match (self, of) {
            (Self::Nothing, _) | (Self::Corrected(..), Unit::Calls) => 0,
            (Self::All(_) | Self::Unknown(_), Unit::Calls) => 1,
            (Self::All(tokens) | Self::Unknown(tokens), Unit::Tokens) => tokens,
            (Self::Corrected(taken, used), Unit::Tokens) => {
                count.units += used;
                taken
            }
        };
        count.units = count.units.saturating_sub(less);
        count.is_blurred |= matches!(self, Self::Unknown(_));
    }
}

/// Every call of a model that was sent has its row; what is in it was used, unless nobody said so.
fn back_of_model(taken: u64, hold: Nano, ended: Option<&CallRow>) -> Back {
    match ended {
        None => Back::All(taken),
        Some(row) if row.metered != Metered::default() => {
            Back::Corrected(taken, row.metered.usage.total())
        }
        Some(row) if row.cost == Nano::ZERO || hold == Nano::ZERO => Back::Unknown(taken),
        Some(_) => Back::Nothing,
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
